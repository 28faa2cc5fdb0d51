/*
 * Two generations of a device's operational key, and which of them a connection is made with. A new
 * certificate proves nothing before it was used: until a session with it was live (TLS, CONNECT and
 * hello accepted, the hello durable at the gateway) the old key stays, durable and in use.
 *
 *   PROVEN --a new certificate is stored--> TRYING --a session with it is live--> PROVEN
 *                                           |    ^                                (the new one)
 *                     no session came of it |    | the rest is over, the old one has expired,
 *                                           v    | or a newer one is stored
 *                                           RESTING (connections use the old one)
 *
 * A rest lasts a random time up to a bound that doubles with each attempt. Where the old
 * certificate has expired there is nothing to rest on: every connection uses the new one.
 */
#ifndef CORE_DEVICE_GENERATION_H
#define CORE_DEVICE_GENERATION_H

#include "base/rng.h"
#include "base/slice.h"

enum {
    GENERATION_REST_MS = 60000, /* least rest; the bound of the first is twice that */
    GENERATION_REST_MAX_MS = 3600000
};

enum generation_state { GENERATION_PROVEN, GENERATION_TRYING, GENERATION_RESTING };
enum { GENERATION_STATE_COUNT = GENERATION_RESTING + 1 };

struct generation {
    enum generation_state state;
    struct rng rng;
    bool uses_new;     /* the present connection, or the last one, was made with the new key */
    uint32_t attempts; /* connections with the new key that came to nothing */
    uint64_t due_ms;   /* RESTING: when the new one is tried again */
};

/* `has_new`: a certificate that was not yet used is in stable storage. */
void generation_init(struct generation *g, bool has_new, uint64_t seed);

/* A new certificate is in stable storage; one that was never used is gone. */
void generation_renewed(struct generation *g);

/* A connection is about to be made: true where with the new key. */
MUST_USE bool generation_dial(struct generation *g, uint64_t now_ms, bool old_is_valid);

/* The session is live. True where it is the first with the new key: that one is the device's
 * identity now, the old key is to be destroyed. */
MUST_USE bool generation_live(struct generation *g);

/* The connection ended before its session was live, or could not be made. */
void generation_failed(struct generation *g, uint64_t now_ms);

/* When the session with the old key should make room for another attempt; UINT64_MAX: there is
 * nothing to try. */
uint64_t generation_due_ms(const struct generation *g);

void generation_check(const struct generation *g);

#endif
