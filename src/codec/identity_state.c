#include "codec/identity_state.h"

#include "base/invariant.h"

const char *identity_state_name(enum identity_state state)
{
    switch (state) {
    case IDENTITY_EXPECTED: return "expected";
    case IDENTITY_ENROLLED: return "enrolled";
    case IDENTITY_ACTIVE: return "active";
    case IDENTITY_QUARANTINED: return "quarantined";
    case IDENTITY_REENROLLING: return "re-enrolling";
    case IDENTITY_REVOKED: return "revoked";
    case IDENTITY_DECOMMISSIONED: return "decommissioned";
    }
    UNREACHABLE();
}

bool identity_state_from_number(int64_t raw, enum identity_state *out)
{
    if (raw < IDENTITY_EXPECTED || raw > IDENTITY_DECOMMISSIONED) {
        return false;
    }
    *out = (enum identity_state)raw;
    return true;
}
