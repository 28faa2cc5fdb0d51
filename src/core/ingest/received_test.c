#include "base/invariant.h"
#include "base/rng.h"
#include "core/ingest/received.h"
#include "test/test.h"

#include <stdlib.h>
#include <string.h>

/* The plain truth: what every number is. */
enum truth { TRUTH_AHEAD, TRUTH_APPLIED, TRUTH_MISSING, TRUTH_RESTART, TRUTH_LOST };

enum { MODEL_MAX = 2048 };
struct model {
    uint8_t of[MODEL_MAX];
    uint32_t next;
    uint64_t lost;
};

static void model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    m->next = 1;
}

static uint32_t model_gaps(const struct model *m)
{
    uint32_t gaps = 0;
    for (uint32_t i = 1; i < m->next; i++) {
        bool is_gap = m->of[i] == TRUTH_MISSING || m->of[i] == TRUTH_RESTART;
        gaps += is_gap && m->of[i] != m->of[i - 1];
    }
    return gaps;
}

static void model_advance(struct model *m, uint32_t next, enum truth truth)
{
    for (uint32_t i = m->next; i < next; i++) {
        m->of[i] = (uint8_t)truth;
    }
    m->next = next > m->next ? next : m->next;
}

/* What was declared lost must have been the oldest numbers still missing; only then the model
 * believes it. */
static bool model_lose(struct model *m, const struct received_losses *losses)
{
    for (uint32_t l = 0; l < losses->count; l++) {
        const struct received_loss *loss = &losses->list[l];
        enum truth want = loss->why == GAP_MISSING ? TRUTH_MISSING : TRUTH_RESTART;
        if (loss->from == 0 || loss->to >= m->next || loss->from > loss->to) {
            return false;
        }
        for (uint64_t i = 1; i < loss->from; i++) {
            if (m->of[i] == TRUTH_MISSING || m->of[i] == TRUTH_RESTART) {
                return false;
            }
        }
        for (uint64_t i = loss->from; i <= loss->to; i++) {
            if (m->of[i] != want) {
                return false;
            }
            m->of[i] = TRUTH_LOST;
            m->lost++;
        }
    }
    return true;
}

static bool agrees(const struct model *m,
                   const struct received *r,
                   const struct received_pool *pool)
{
    struct received_report report;
    received_check(r, pool);
    received_to_report(r, pool, &report);
    if (r->next != m->next || r->lost != m->lost || !received_report_is_sound(&report)) {
        return false;
    }
    for (uint32_t i = 1; i < m->next + 2 && i < MODEL_MAX; i++) {
        bool has = m->of[i] == TRUTH_APPLIED || m->of[i] == TRUTH_LOST;
        if (received_has(r, pool, i) != has) {
            return false;
        }
    }
    for (uint32_t g = 0; g < report.gap_count; g++) {
        for (uint32_t k = 0; k < report.gaps[g].count; k++) {
            enum truth truth = (enum truth)m->of[report.gaps[g].from + k];
            if (truth != (report.gaps[g].why == GAP_MISSING ? TRUTH_MISSING : TRUTH_RESTART)) {
                return false;
            }
        }
    }
    return true;
}

/* One operation on both: `op` below MODEL_MAX offers it, above restarts at op - MODEL_MAX. */
static bool step(struct model *m, struct received *r, struct received_pool *pool, uint32_t op)
{
    struct received_losses losses;
    if (op >= MODEL_MAX) {
        bool ok = received_restart(r, pool, op - MODEL_MAX, 7, &losses);
        model_advance(m, op - MODEL_MAX, TRUTH_RESTART);
        return ok && model_lose(m, &losses);
    }
    bool is_new =
        m->of[op] == TRUTH_AHEAD || m->of[op] == TRUTH_MISSING || m->of[op] == TRUTH_RESTART;
    enum received_result got = received_offer(r, pool, op, 7, &losses);
    model_advance(m, op, TRUTH_MISSING);
    if (op >= m->next) {
        m->next = op + 1;
    }
    if (is_new) {
        m->of[op] = TRUTH_APPLIED;
    }
    return (got == RECEIVED_NEW) == is_new && model_lose(m, &losses);
}

TEST("a number is new once and a duplicate ever after")
{
    struct received_pool pool;
    struct received r;
    struct received_losses losses;
    received_pool_init(&pool, NULL, 0);
    received_init(&r);
    CHECK(received_offer(&r, &pool, 1, 0, &losses) == RECEIVED_NEW);
    CHECK(received_offer(&r, &pool, 3, 0, &losses) == RECEIVED_NEW);
    CHECK(received_offer(&r, &pool, 3, 0, &losses) == RECEIVED_DUPLICATE);
    CHECK(received_offer(&r, &pool, 2, 0, &losses) == RECEIVED_NEW);
    CHECK(received_offer(&r, &pool, 2, 0, &losses) == RECEIVED_DUPLICATE);
    CHECK_U64(r.next, 4);
    CHECK_U64(r.count, 0);
    CHECK_U64(r.duplicates, 2);
}

TEST("zero and the highest number are refused and change nothing")
{
    struct received_pool pool;
    struct received r;
    struct received_losses losses;
    received_pool_init(&pool, NULL, 0);
    received_init(&r);
    struct received before = r;
    CHECK(received_offer(&r, &pool, 0, 0, &losses) == RECEIVED_REFUSED);
    CHECK(received_offer(&r, &pool, UINT64_MAX, 0, &losses) == RECEIVED_REFUSED);
    CHECK(!received_restart(&r, &pool, 0, 0, &losses));
    CHECK(!received_restart(&r, &pool, UINT64_MAX, 0, &losses));
    CHECK(memcmp(&before, &r, sizeof r) == 0);
    CHECK(received_offer(&r, &pool, UINT64_MAX - 1, 0, &losses) == RECEIVED_NEW);
    CHECK_U64(losses.count, 1); /* of so long a gap only the newer part may still come */
    CHECK_U64(losses.list[0].from, 1);
    CHECK_U64(r.lost, UINT64_MAX - 2 - RECEIVED_GAP_SPAN_MAX);
    CHECK(received_offer(&r, &pool, 5, 0, &losses) == RECEIVED_DUPLICATE);
    CHECK(received_offer(&r, &pool, UINT64_MAX - 9, 0, &losses) == RECEIVED_NEW);
    received_check(&r, &pool);
}

TEST("a gap opened by a restart is told from one that is missing")
{
    struct received_pool pool;
    struct received r;
    struct received_losses losses;
    struct received_report report;
    received_pool_init(&pool, NULL, 0);
    received_init(&r);
    CHECK(received_offer(&r, &pool, 1, 10, &losses) == RECEIVED_NEW);
    CHECK(received_restart(&r, &pool, 1001, 20, &losses));
    CHECK(received_offer(&r, &pool, 1003, 30, &losses) == RECEIVED_NEW);
    CHECK(received_restart(&r, &pool, 900, 40, &losses)); /* the hello of an older boot came late */
    received_to_report(&r, &pool, &report);
    CHECK_U64(report.gap_count, 2);
    CHECK_U64(received_report_missing(&report, GAP_RESTART), 999);
    CHECK_U64(received_report_missing(&report, GAP_MISSING), 2);
    CHECK_U64(report.gaps[0].since_s, 20);
    CHECK(received_offer(&r, &pool, 2, 50, &losses)
          == RECEIVED_NEW); /* it had been issued after all */
}

static struct received_spill spill[4];

TEST("agrees with a plain list of every number over random histories")
{
    static struct model m;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rng rng = rng_from_seed(seed);
        uint32_t span = 8 + (uint32_t)rng_below(&rng, 600);
        uint32_t pool_cap = (uint32_t)rng_below(&rng, 3);
        struct received_pool pool;
        struct received r;
        received_pool_init(&pool, spill, pool_cap);
        received_init(&r);
        model_init(&m);
        uint32_t top = 1;
        for (uint32_t i = 0; i < 300; i++) {
            uint32_t roll = (uint32_t)rng_below(&rng, 100);
            uint32_t op = 1 + (uint32_t)rng_below(&rng, span);
            if (roll < 60) {
                op = top + (uint32_t)rng_below(&rng, 4);
            } else if (roll < 64) {
                op = MODEL_MAX + 1 + (uint32_t)rng_below(&rng, span);
            }
            op = op % MODEL_MAX == 0 ? op + 1 : op;
            top = op < MODEL_MAX && op > top && op < MODEL_MAX - 8 ? op : top;
            bool ok = step(&m, &r, &pool, op);
            if (!ok || !agrees(&m, &r, &pool)) {
                test_failed(__FILE__, __LINE__, "seed %llu step %u", (unsigned long long)seed, i);
                return;
            }
            CHECK(pool_cap > 0 || model_gaps(&m) <= RECEIVED_INLINE);
        }
        received_release(&r, &pool);
        CHECK_U64(pool.used, 0);
    }
}

/* Depth first through every history of `depth` operations over numbers 1 to `span`. */
static uint64_t explore(const struct model *m,
                        const struct received *r,
                        struct received_pool *pool,
                        uint32_t span,
                        uint32_t depth)
{
    uint64_t seen = 1;
    if (depth == 0) {
        return seen;
    }
    for (uint32_t op = 1; op <= 2 * span; op++) {
        struct model next_m;
        memcpy(&next_m, m, sizeof next_m);
        struct received next_r = *r;
        uint32_t act = op <= span ? op : MODEL_MAX + op - span;
        if (!step(&next_m, &next_r, pool, act) || !agrees(&next_m, &next_r, pool)) {
            test_failed(__FILE__, __LINE__, "operation %u with %u left", act, depth);
            return seen;
        }
        seen += explore(&next_m, &next_r, pool, span, depth - 1);
    }
    return seen;
}

TEST("agrees with the plain list over every history of four operations on eleven numbers")
{
    static struct model m;
    struct received_pool pool;
    struct received r;
    received_pool_init(&pool, NULL, 0);
    received_init(&r);
    model_init(&m);
    CHECK_U64(explore(&m, &r, &pool, 11, 4), 1 + 22 + 22 * 22 + 22 * 22 * 22 + 22 * 22 * 22 * 22);
    /* From a set whose four places are taken, so that closing, splitting and merging meet. */
    uint32_t gaps[] = {2, 6, 10, 14};
    for (size_t i = 0; i < COUNT_OF(gaps); i++) {
        CHECK(step(&m, &r, &pool, gaps[i]));
    }
    CHECK_U64(r.count, RECEIVED_INLINE);
    CHECK(explore(&m, &r, &pool, 18, 3) > 36 * 36 * 36);
}

TEST("when the list is full the oldest gap closes as declared lost and is named")
{
    struct received_pool pool;
    struct received r;
    struct received_losses losses;
    received_pool_init(&pool, spill, 1);
    received_init(&r);
    for (uint64_t seq = 2; seq <= 2 * RECEIVED_GAPS_MAX; seq += 2) {
        CHECK(received_offer(&r, &pool, seq, 0, &losses) == RECEIVED_NEW);
        CHECK_U64(losses.count, 0);
    }
    CHECK_U64(r.count, RECEIVED_GAPS_MAX);
    CHECK(received_offer(&r, &pool, 2 * RECEIVED_GAPS_MAX + 2, 0, &losses) == RECEIVED_NEW);
    CHECK_U64(losses.count, 1);
    CHECK_U64(losses.list[0].from, 1);
    CHECK_U64(losses.list[0].to, 1);
    CHECK(received_offer(&r, &pool, 1, 0, &losses) == RECEIVED_DUPLICATE);
    CHECK(received_offer(&r, &pool, 3, 0, &losses) == RECEIVED_NEW);
}

TEST("a set survives being written down and read back, with and without a block of the pool")
{
    struct rng rng = rng_from_seed(5);
    for (uint32_t round = 0; round < 200; round++) {
        struct received_pool pool;
        struct received r;
        struct received again;
        struct received_losses losses;
        received_pool_init(&pool, spill, 2);
        received_init(&r);
        uint64_t seq = 1;
        for (uint32_t i = rng_below(&rng, 90) > 45 ? 6 : 200; i > 0; i--) {
            seq += 1 + rng_below(&rng, 3);
            CHECK(received_offer(&r, &pool, seq, (uint32_t)i, &losses) == RECEIVED_NEW);
        }
        uint8_t bytes[RECEIVED_REPORT_MAX];
        struct writer w = writer_over(bytes, sizeof bytes);
        struct received_report report;
        struct received_report decoded;
        received_to_report(&r, &pool, &report);
        REQUIRE(received_report_encode(&report, &w) == RECEIVED_REPORT_OK);
        REQUIRE(received_report_decode(writer_slice(&w), &decoded) == RECEIVED_REPORT_OK);
        REQUIRE(received_from_report(&again, &pool, &decoded) == RECEIVED_LOADED);
        received_check(&again, &pool);
        for (uint64_t i = 0; i < seq + 3; i++) {
            CHECK(received_has(&r, &pool, i) == received_has(&again, &pool, i));
        }
        for (size_t cut = 0; cut < w.len; cut++) {
            CHECK(received_report_decode(slice_of(bytes, cut), &decoded)
                  == RECEIVED_REPORT_MALFORMED);
        }
    }
}

TEST("a report that breaks its own rules is not loaded")
{
    struct received_pool pool;
    struct received r;
    received_pool_init(&pool, NULL, 0);
    received_init(&r);
    struct received before = r;
    struct received_report bad[] = {
        {.next = 0},
        {.next = 5, .gap_count = 1, .gaps = {{.from = 0, .count = 1}}},
        {.next = 5, .gap_count = 1, .gaps = {{.from = 4, .count = 2}}},
        {.next = 5, .gap_count = 1, .gaps = {{.from = 2, .count = 0}}},
        {.next = 9, .gap_count = 2, .gaps = {{.from = 4, .count = 2}, {.from = 5, .count = 1}}},
        {.next = 9, .gap_count = 2, .gaps = {{.from = 4, .count = 2}, {.from = 2, .count = 1}}},
        {.next = 9, .gap_count = RECEIVED_GAPS_MAX + 1},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(received_from_report(&r, &pool, &bad[i]) == RECEIVED_UNSOUND);
    }
    struct received_report wide = {.next = 20, .gap_count = 5};
    for (uint32_t i = 0; i < 5; i++) {
        wide.gaps[i] = (struct received_gap){.from = 1 + 3 * i, .count = 1};
    }
    CHECK(received_from_report(&r, &pool, &wide) == RECEIVED_NO_BLOCK);
    CHECK(memcmp(&before, &r, sizeof r) == 0);
}
