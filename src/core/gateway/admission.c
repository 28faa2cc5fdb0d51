#include "core/gateway/admission.h"

#include "base/invariant.h"

enum { CONNECTS = 0, NEWS_US = 1000000 };

void gw_admission_init(struct gw_entrance *a,
                       const struct gw_admission_limits *limits,
                       struct gw_peer *list,
                       uint32_t max,
                       struct table_slot *slots,
                       uint32_t cap,
                       uint64_t seed)
{
    INVARIANT(limits->failure_cost > 0 && limits->handshakes_max > 0);
    *a = (struct gw_entrance){.limits = *limits};
    gw_peers_init(&a->peers, list, max, slots, cap, seed);
}

static const struct gw_rate *rate_of(const struct gw_entrance *a, uint32_t i)
{
    return i == a->peers.max ? &a->limits.shared : &a->limits.address;
}

static bool is_news(struct gw_peer *e, uint64_t now_us)
{
    bool news = e->told_us == 0 || now_us >= e->told_us + NEWS_US;
    if (news) {
        e->told_us = now_us > 0 ? now_us : 1;
    }
    return news;
}

struct gw_entry_answer gw_admission_ask(struct gw_entrance *a,
                                        const uint8_t source[TABLE_KEY_LEN],
                                        uint64_t now_us)
{
    uint32_t i = gw_peers_get(&a->peers, source, now_us);
    struct gw_peer *e = &a->peers.list[i];
    struct gw_entry_answer answer = {0};
    uint64_t wait_us = gw_bucket_wait_us(&e->buckets[CONNECTS], rate_of(a, i), now_us);
    if (wait_us > 0) {
        answer.entry = GW_ENTRY_TOO_FAST;
        answer.wait_ms = (uint32_t)((wait_us + 999) / 1000);
    } else if (e->pins >= a->limits.handshakes_max) {
        answer.entry = GW_ENTRY_TOO_MANY;
    } else {
        gw_bucket_charge(&e->buckets[CONNECTS], rate_of(a, i), now_us, 1);
        e->pins++;
        a->in_flight++;
    }
    answer.is_news = answer.entry != GW_ENTRY_GRANTED && is_news(e, now_us);
    a->counts[answer.entry]++;
    (void)promise_holds(PROMISE_BOUNDED_COST, e->pins <= a->limits.handshakes_max);
    return answer;
}

void gw_admission_done(struct gw_entrance *a,
                       const uint8_t source[TABLE_KEY_LEN],
                       bool is_good,
                       uint64_t now_us)
{
    uint32_t i = gw_peers_find(&a->peers, source);
    if (i == GW_PEERS_NONE || a->peers.list[i].pins == 0) {
        i = a->peers.max; /* it came in as one of those without a place */
    }
    struct gw_peer *e = &a->peers.list[i];
    if (!HOLDS(e->pins > 0 && a->in_flight > 0)) {
        return;
    }
    e->pins--;
    a->in_flight--;
    if (!is_good) {
        gw_bucket_charge(&e->buckets[CONNECTS], rate_of(a, i), now_us, a->limits.failure_cost - 1);
    }
}

void gw_admission_check(const struct gw_entrance *a)
{
    uint64_t pins = 0;
    gw_peers_check(&a->peers);
    for (uint32_t i = 0; i <= a->peers.max; i++) {
        INVARIANT(a->peers.list[i].pins <= a->limits.handshakes_max);
        pins += a->peers.list[i].pins;
    }
    INVARIANT(pins == a->in_flight);
}
