/* Rates, tables of peers, who may begin a handshake, what one device may have. */
#include "base/rng.h"
#include "core/gateway/admission.h"
#include "core/gateway/quota.h"
#include "test/test.h"

#include <string.h>

enum { CAP = 64, MAX = 20, SECOND = 1000000 };

static struct table_slot slots[CAP];
static struct gw_peer list[MAX + 1];

struct name {
    uint8_t bytes[TABLE_KEY_LEN];
};

static struct name name_of(uint32_t n)
{
    return (struct name){{(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16)}};
}

static struct gw_entrance fresh(struct gw_rate address, uint32_t handshakes_max)
{
    struct gw_entrance a;
    struct gw_admission_limits limits = {.address = address,
                                         .shared = {.per_s = address.per_s, .burst = address.burst},
                                         .failure_cost = 4,
                                         .handshakes_max = handshakes_max};
    gw_admission_init(&a, &limits, list, MAX, slots, CAP, 7);
    return a;
}

static enum gw_entry ask(struct gw_entrance *a, uint32_t n, uint64_t now_us)
{
    struct name name = name_of(n);
    return gw_admission_ask(a, name.bytes, now_us).entry;
}

static void done(struct gw_entrance *a, uint32_t n, bool is_good, uint64_t now_us)
{
    struct name name = name_of(n);
    gw_admission_done(a, name.bytes, is_good, now_us);
}

TEST("a bucket gives its burst at once and then its rate, however it is asked")
{
    struct gw_rate rate = {.per_s = 10, .burst = 5};
    struct gw_bucket b = {0};
    struct rng chance = rng_from_seed(3);
    uint64_t taken = 0;
    uint64_t now_us = 1000 * (uint64_t)SECOND;
    uint64_t end_us = now_us + 100 * (uint64_t)SECOND;
    for (; now_us < end_us; now_us += rng_below(&chance, 20000)) {
        if (gw_bucket_wait_us(&b, &rate, now_us) == 0) {
            gw_bucket_charge(&b, &rate, now_us, 1);
            taken++;
        }
    }
    CHECK(taken >= 1000 && taken <= 1006);
    uint64_t wait_us = gw_bucket_wait_us(&b, &rate, now_us);
    CHECK(wait_us <= SECOND / 10 + 1);
    CHECK_U64(gw_bucket_wait_us(&b, &rate, now_us + wait_us), 0);
}

TEST("a long packet goes into debt, and no debt is longer than a minute beyond the bucket")
{
    struct gw_rate rate = {.per_s = 1000, .burst = 100};
    struct gw_bucket b = {0};
    gw_bucket_charge(&b, &rate, SECOND, 2100);
    CHECK_U64(gw_bucket_wait_us(&b, &rate, SECOND), 2 * SECOND + 1000);
    gw_bucket_charge(&b, &rate, SECOND, UINT32_MAX);
    CHECK_U64(gw_bucket_wait_us(&b, &rate, SECOND), GW_DEBT_MAX_S * (uint64_t)SECOND + 1000);
    CHECK(!gw_bucket_is_full(&b, 2 * SECOND));
    struct gw_rate none = {0};
    CHECK_U64(gw_bucket_wait_us(&b, &none, SECOND), 0);
}

TEST("an address that comes too fast is told when to come back, and others do not notice")
{
    struct gw_entrance a = fresh((struct gw_rate){.per_s = 2, .burst = 3}, 100);
    struct name one = name_of(1);
    uint64_t now_us = SECOND;
    for (int i = 0; i < 3; i++) {
        CHECK(ask(&a, 1, now_us) == GW_ENTRY_GRANTED);
    }
    struct gw_entry_answer no = gw_admission_ask(&a, one.bytes, now_us);
    CHECK(no.entry == GW_ENTRY_TOO_FAST && no.is_news);
    CHECK(no.wait_ms >= 1 && no.wait_ms <= 501);
    CHECK(!gw_admission_ask(&a, one.bytes, now_us + 10).is_news); /* told of once a second */
    CHECK(gw_admission_ask(&a, one.bytes, now_us).entry == GW_ENTRY_TOO_FAST);
    CHECK(ask(&a, 2, now_us) == GW_ENTRY_GRANTED);
    CHECK(ask(&a, 1, now_us + 501 * 1000) == GW_ENTRY_GRANTED);
    CHECK_U64(a.counts[GW_ENTRY_TOO_FAST], 3);
    gw_admission_check(&a);
}

TEST("an address has a share of the handshakes in flight, and one that fails costs several")
{
    struct gw_entrance a = fresh((struct gw_rate){.per_s = 1, .burst = 10}, 2);
    CHECK(ask(&a, 1, SECOND) == GW_ENTRY_GRANTED);
    CHECK(ask(&a, 1, SECOND) == GW_ENTRY_GRANTED);
    CHECK(ask(&a, 1, SECOND) == GW_ENTRY_TOO_MANY);
    CHECK(ask(&a, 2, SECOND) == GW_ENTRY_GRANTED);
    done(&a, 1, true, SECOND);
    CHECK(ask(&a, 1, SECOND) == GW_ENTRY_GRANTED);
    done(&a, 1, false, SECOND); /* 3 and 2 * 3 of 10 */
    done(&a, 1, false, SECOND);
    CHECK(ask(&a, 1, SECOND) == GW_ENTRY_GRANTED);
    CHECK(ask(&a, 1, SECOND) == GW_ENTRY_TOO_FAST);
    gw_admission_check(&a);
}

TEST("many addresses share one bucket once the table is full of ones that still owe")
{
    struct gw_entrance a = fresh((struct gw_rate){.per_s = 1, .burst = 4}, 100);
    unsigned granted = 0;
    for (uint32_t n = 0; n < 1000; n++) {
        granted += ask(&a, n, SECOND) == GW_ENTRY_GRANTED;
    }
    CHECK_U64(granted, MAX + 4);
    CHECK(a.peers.shared > 0);
    CHECK_U64(a.in_flight, granted);
    gw_admission_check(&a);
    for (uint32_t n = 0; n < granted; n++) {
        done(&a, n, true, SECOND);
    }
    CHECK_U64(a.in_flight, 0);
    gw_admission_check(&a);
    CHECK(ask(&a, 5000, 10 * (uint64_t)SECOND) == GW_ENTRY_GRANTED); /* the oldest made room */
    CHECK_U64(a.peers.evicted, 1);
}

TEST("whoever owes is remembered when its connections are gone")
{
    struct gw_entrance a = fresh((struct gw_rate){.per_s = 1, .burst = 4}, 100);
    unsigned granted = 0;
    for (uint32_t n = 0; n < 1000; n++) {
        if (ask(&a, n, SECOND) == GW_ENTRY_GRANTED) {
            granted++;
            done(&a, n, true, SECOND);
        }
    }
    CHECK_U64(granted, MAX + 4);
    CHECK_U64(a.peers.evicted, 0);
    gw_admission_check(&a);
}

TEST("whoever has a connection on its way keeps its entry, however many come after it")
{
    struct gw_entrance a = fresh((struct gw_rate){.per_s = 1000, .burst = 4}, 1);
    uint64_t now_us = SECOND;
    CHECK(ask(&a, 0, now_us) == GW_ENTRY_GRANTED);
    for (uint32_t n = 1; n < 500; n++) {
        now_us += SECOND;
        CHECK(ask(&a, n, now_us) == GW_ENTRY_GRANTED);
        done(&a, n, true, now_us);
    }
    CHECK(ask(&a, 0, now_us) == GW_ENTRY_TOO_MANY);
    gw_admission_check(&a);
}

TEST("the table of peers stays whole through random comings and goings")
{
    enum { NAMES = 60 };
    struct gw_entrance a = fresh((struct gw_rate){.per_s = 50, .burst = 3}, 2);
    struct rng chance = rng_from_seed(11);
    unsigned there[NAMES] = {0};
    unsigned sum = 0;
    uint64_t now_us = SECOND;
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t n = (uint32_t)rng_below(&chance, NAMES);
        now_us += rng_below(&chance, 30000);
        if (there[n] > 0 && rng_below(&chance, 2) == 0) {
            done(&a, n, rng_below(&chance, 4) > 0, now_us);
            there[n]--;
            sum--;
        } else if (ask(&a, n, now_us) == GW_ENTRY_GRANTED) {
            there[n]++;
            sum++;
        }
        CHECK_U64(a.in_flight, sum);
    }
    gw_admission_check(&a);
}

/* ---- devices ---- */

static struct gw_quota fresh_quota(void)
{
    struct gw_quota q;
    struct gw_quota_limits limits = {.connects = {.per_s = 1, .burst = 3},
                                     .packets = {.per_s = 100, .burst = 50},
                                     .bytes = {.per_s = 10000, .burst = 1000},
                                     .connections_max = 2,
                                     .shared_factor = 4,
                                     .patience_ms = 2000};
    gw_quota_init(&q, &limits, list, MAX, slots, CAP, 9);
    return q;
}

TEST("a device has so many connections and no more, and a reconnect loop is slowed")
{
    struct gw_quota q = fresh_quota();
    struct device_id a = {{1}}, b = {{2}};
    uint32_t place, other, wait_ms = 0;
    CHECK(gw_quota_enter(&q, &a, SECOND, &place));
    CHECK(gw_quota_enter(&q, &a, SECOND, &place));
    CHECK(!gw_quota_enter(&q, &a, SECOND, &other));
    CHECK(gw_quota_enter(&q, &b, SECOND, &other));
    for (int i = 0; i < 3; i++) {
        CHECK(gw_quota_connects(&q, place, SECOND, &wait_ms));
        gw_quota_leave(&q, place);
        CHECK(gw_quota_enter(&q, &a, SECOND, &place)); /* leaving fills no bucket */
    }
    CHECK(!gw_quota_connects(&q, place, SECOND, &wait_ms));
    CHECK(wait_ms >= 1 && wait_ms <= 1001);
    CHECK(gw_quota_connects(&q, other, SECOND, &wait_ms));
    CHECK(gw_quota_connects(&q, place, SECOND + wait_ms * UINT64_C(1000), &wait_ms));
}

static enum gw_quota_verdict take(
    struct gw_quota *q, uint32_t place, size_t len, uint64_t now_us, uint32_t *wait_ms)
{
    enum gw_quota_verdict verdict = gw_quota_may(q, place, len, now_us, wait_ms);
    if (verdict == GW_QUOTA_TAKES) {
        gw_quota_took(q, place, len, now_us);
    }
    return verdict;
}

TEST("a device's packets and bytes wait, and only what could never be waited for is refused")
{
    struct gw_quota q = fresh_quota();
    struct device_id a = {{1}};
    uint32_t place, wait_ms = 0;
    CHECK(gw_quota_enter(&q, &a, SECOND, &place));
    unsigned taken = 0;
    while (take(&q, place, 2, SECOND, &wait_ms) == GW_QUOTA_TAKES) {
        taken++;
    }
    CHECK_U64(taken, 50);
    CHECK(wait_ms >= 1 && wait_ms <= 11);
    CHECK(take(&q, place, 2, SECOND + wait_ms * UINT64_C(1000), &wait_ms) == GW_QUOTA_TAKES);
    uint64_t later_us = 100 * (uint64_t)SECOND;
    CHECK(take(&q, place, 21001, later_us, &wait_ms) == GW_QUOTA_NEVER);
    CHECK(take(&q, place, 20000, later_us, &wait_ms) == GW_QUOTA_TAKES);
    CHECK(take(&q, place, 2, later_us, &wait_ms) == GW_QUOTA_WAITS);
    CHECK(wait_ms >= 1900 && wait_ms <= 1901);
    CHECK_U64(q.waits, 2);
}
