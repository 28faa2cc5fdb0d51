#include "core/control/identity.h"

#include "base/invariant.h"

static const bool allowed[IDENTITY_STATE_COUNT][IDENTITY_STATE_COUNT] = {
    [IDENTITY_EXPECTED] = {[IDENTITY_ENROLLED] = true},
    [IDENTITY_ENROLLED] = {[IDENTITY_ENROLLED] = true, [IDENTITY_ACTIVE] = true},
    [IDENTITY_ACTIVE] = {[IDENTITY_ACTIVE] = true, [IDENTITY_REENROLLING] = true},
    [IDENTITY_REENROLLING] = {[IDENTITY_REENROLLING] = true, [IDENTITY_ACTIVE] = true},
};

bool identity_may_move(enum identity_state from, enum identity_state to)
{
    return promise_holds(PROMISE_KNOWN_TRANSITION, allowed[from][to]);
}

bool identity_after_issue(enum identity_state from, bool by_hardware, enum identity_state *to)
{
    switch (from) {
    case IDENTITY_EXPECTED:
    case IDENTITY_ENROLLED: *to = IDENTITY_ENROLLED; break;
    case IDENTITY_ACTIVE: *to = by_hardware ? IDENTITY_REENROLLING : IDENTITY_ACTIVE; break;
    case IDENTITY_REENROLLING: *to = IDENTITY_REENROLLING; break;
    case IDENTITY_QUARANTINED:
    case IDENTITY_REVOKED:
    case IDENTITY_DECOMMISSIONED: return false;
    }
    return identity_may_move(from, *to);
}
