/*
 * A token bucket as one number: the time at which it will be full again (the generic cell rate
 * algorithm of ATM, ITU-T I.371). Who finds one unit left may take what it holds in its hands, goes
 * into debt with it, and then waits until the debt is paid, so that one long packet needs no bucket
 * of its size.
 */
#ifndef CORE_GATEWAY_BUCKET_H
#define CORE_GATEWAY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

enum { GW_DEBT_MAX_S = 60 /* no debt is longer: nobody waits for ever */ };

struct gw_rate {
    uint32_t per_s; /* what comes back in a second; 0: nothing is limited */
    uint32_t burst; /* what a full bucket holds */
};

struct gw_bucket {
    uint64_t full_us; /* zero: full from the beginning */
};

/* How long until one unit is left, and so something may be taken; 0: now. */
uint64_t gw_bucket_wait_us(const struct gw_bucket *b, const struct gw_rate *rate, uint64_t now_us);

/* Takes `amount`, into debt where it has to; asks nobody. */
void gw_bucket_charge(struct gw_bucket *b,
                      const struct gw_rate *rate,
                      uint64_t now_us,
                      uint64_t amount);

/* How long `amount` takes to come back to an empty bucket. */
uint64_t gw_rate_cost_us(const struct gw_rate *rate, uint64_t amount);

/* Is it full, so that forgetting it changes nothing? */
bool gw_bucket_is_full(const struct gw_bucket *b, uint64_t now_us);

#endif
