#include "core/gateway/quota.h"

#include "base/invariant.h"

enum { CONNECTS, PACKETS, BYTES };

static struct gw_rate times(struct gw_rate rate, uint32_t factor)
{
    return (struct gw_rate){.per_s = rate.per_s * factor, .burst = rate.burst * factor};
}

void gw_quota_init(struct gw_quota *q,
                   const struct gw_quota_limits *limits,
                   struct gw_peer *list,
                   uint32_t max,
                   struct table_slot *slots,
                   uint32_t cap,
                   uint64_t seed)
{
    INVARIANT(limits->connections_max > 0 && limits->shared_factor > 0);
    *q = (struct gw_quota){.limits = *limits, .shared = *limits};
    q->shared.connects = times(limits->connects, limits->shared_factor);
    q->shared.packets = times(limits->packets, limits->shared_factor);
    q->shared.bytes = times(limits->bytes, limits->shared_factor);
    q->shared.connections_max *= limits->shared_factor;
    gw_peers_init(&q->peers, list, max, slots, cap, seed);
}

static const struct gw_quota_limits *limits_of(const struct gw_quota *q, uint32_t place)
{
    return place == q->peers.max ? &q->shared : &q->limits;
}

bool gw_quota_enter(struct gw_quota *q,
                    const struct device_id *device,
                    uint64_t now_us,
                    uint32_t *place)
{
    uint32_t i = gw_peers_get(&q->peers, device->bytes, now_us);
    struct gw_peer *e = &q->peers.list[i];
    if (e->pins >= limits_of(q, i)->connections_max) {
        return false;
    }
    e->pins++;
    *place = i;
    (void)promise_holds(PROMISE_BOUNDED_COST, e->pins <= limits_of(q, i)->connections_max);
    return true;
}

void gw_quota_leave(struct gw_quota *q, uint32_t place)
{
    INVARIANT(place <= q->peers.max && q->peers.list[place].pins > 0);
    q->peers.list[place].pins--;
}

static uint32_t in_ms(uint64_t us)
{
    return (uint32_t)((us + 999) / 1000);
}

bool gw_quota_connects(struct gw_quota *q, uint32_t place, uint64_t now_us, uint32_t *wait_ms)
{
    struct gw_bucket *b = &q->peers.list[place].buckets[CONNECTS];
    const struct gw_rate *rate = &limits_of(q, place)->connects;
    uint64_t wait_us = gw_bucket_wait_us(b, rate, now_us);
    if (wait_us > 0) {
        *wait_ms = in_ms(wait_us);
        return false;
    }
    gw_bucket_charge(b, rate, now_us, 1);
    return true;
}

enum gw_quota_verdict gw_quota_may(
    struct gw_quota *q, uint32_t place, size_t len, uint64_t now_us, uint32_t *wait_ms)
{
    const struct gw_bucket *b = q->peers.list[place].buckets;
    const struct gw_quota_limits *limits = limits_of(q, place);
    uint64_t whole_us = gw_rate_cost_us(&limits->bytes, limits->bytes.burst);
    if (gw_rate_cost_us(&limits->bytes, len) > whole_us + (uint64_t)limits->patience_ms * 1000u) {
        return GW_QUOTA_NEVER;
    }
    uint64_t packets_us = gw_bucket_wait_us(&b[PACKETS], &limits->packets, now_us);
    uint64_t bytes_us = gw_bucket_wait_us(&b[BYTES], &limits->bytes, now_us);
    uint64_t wait_us = packets_us > bytes_us ? packets_us : bytes_us;
    if (wait_us > 0) {
        *wait_ms = in_ms(wait_us);
        q->waits++;
        return GW_QUOTA_WAITS;
    }
    return GW_QUOTA_TAKES;
}

void gw_quota_took(struct gw_quota *q, uint32_t place, size_t len, uint64_t now_us)
{
    struct gw_bucket *b = q->peers.list[place].buckets;
    gw_bucket_charge(&b[PACKETS], &limits_of(q, place)->packets, now_us, 1);
    gw_bucket_charge(&b[BYTES], &limits_of(q, place)->bytes, now_us, len);
}
