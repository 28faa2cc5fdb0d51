#include "core/gateway/bucket.h"

uint64_t gw_rate_cost_us(const struct gw_rate *rate, uint64_t amount)
{
    return rate->per_s == 0 ? 0 : amount * 1000000u / rate->per_s;
}

uint64_t gw_bucket_wait_us(const struct gw_bucket *b, const struct gw_rate *rate, uint64_t now_us)
{
    if (rate->per_s == 0 || b->full_us <= now_us) {
        return 0;
    }
    uint64_t missing_us = b->full_us - now_us;
    uint64_t whole_us = gw_rate_cost_us(rate, rate->burst);
    uint64_t wanted_us = missing_us + gw_rate_cost_us(rate, 1);
    return wanted_us <= whole_us ? 0 : wanted_us - whole_us;
}

void gw_bucket_charge(struct gw_bucket *b,
                      const struct gw_rate *rate,
                      uint64_t now_us,
                      uint64_t amount)
{
    if (rate->per_s == 0) {
        return;
    }
    uint64_t most_us =
        now_us + gw_rate_cost_us(rate, rate->burst) + (uint64_t)GW_DEBT_MAX_S * 1000000u;
    uint64_t from_us = b->full_us > now_us ? b->full_us : now_us;
    uint64_t full_us = from_us + gw_rate_cost_us(rate, amount);
    b->full_us = full_us < most_us ? full_us : most_us;
}

bool gw_bucket_is_full(const struct gw_bucket *b, uint64_t now_us)
{
    return b->full_us <= now_us;
}
