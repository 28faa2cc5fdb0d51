/*
 * The words for where a device's identity is in its life. The table of moves between them is
 * core/control/identity.h.
 */
#ifndef CODEC_IDENTITY_STATE_H
#define CODEC_IDENTITY_STATE_H

#include "base/slice.h"

enum identity_state {
    IDENTITY_EXPECTED =
        1,             /* announced, or its manufacturer is accepted; no certificate of ours yet */
    IDENTITY_ENROLLED, /* has a certificate that it was not yet seen to use */
    IDENTITY_ACTIVE,   /* was seen to use it */
    IDENTITY_QUARANTINED,
    IDENTITY_REENROLLING,
    IDENTITY_REVOKED,
    IDENTITY_DECOMMISSIONED
};
enum { IDENTITY_STATE_COUNT = IDENTITY_DECOMMISSIONED + 1 };

const char *identity_state_name(enum identity_state state); /* "expected", "re-enrolling", ... */
bool identity_state_from_number(int64_t raw, enum identity_state *out);

#endif
