#include "base/invariant.h"
#include "core/device/enroll.h"
#include "test/test.h"

enum { DAY_MS = 86400000 };

static struct enroll_effects fx;

static void feed(struct enroll *e, struct enroll_event ev)
{
    enroll_step(e, &ev, &fx);
    enroll_check(e);
}

static void tick(struct enroll *e)
{
    feed(e, (struct enroll_event){.kind = ENROLL_TICK, .now_ms = enroll_due_ms(e)});
}

static bool ordered(enum enroll_effect_kind kind)
{
    return fx.count == 1 && fx.list[0].kind == kind;
}

TEST("a new device stores its key before it asks, and its certificate before it uses it")
{
    struct enroll e;
    enroll_init(&e, 1);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED});
    CHECK(ordered(ENROLL_MAKE_KEY));
    CHECK(enroll_due_ms(&e) == UINT64_MAX);
    feed(&e, (struct enroll_event){.kind = ENROLL_KEY_STORED, .now_ms = 5});
    CHECK(fx.count == 0);
    tick(&e);
    CHECK(ordered(ENROLL_ASK) && !fx.list[0].is_renewal);
    feed(&e, (struct enroll_event){.kind = ENROLL_CERTIFIED, .now_ms = 6});
    CHECK(ordered(ENROLL_STORE));
    feed(&e, (struct enroll_event){.kind = ENROLL_STORED, .now_ms = 7, .not_after_ms = DAY_MS});
    CHECK(ordered(ENROLL_USE));
}

TEST("a lost answer, a later and a refusal are asked again with the same key")
{
    static const enum enroll_event_kind kinds[] = {ENROLL_UNANSWERED, ENROLL_LATER, ENROLL_REFUSED};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct enroll e;
        enroll_init(&e, 1);
        feed(&e, (struct enroll_event){.kind = ENROLL_STARTED, .has_next_key = true});
        CHECK(fx.count == 0);
        for (int turn = 0; turn < 20; turn++) {
            tick(&e);
            CHECK(ordered(ENROLL_ASK));
            uint64_t now_ms = 1000;
            feed(&e, (struct enroll_event){.kind = kinds[i], .now_ms = now_ms, .retry_after_s = 7});
            CHECK(fx.count == 0); /* no new key */
            uint64_t wait = enroll_due_ms(&e) - now_ms;
            CHECK(wait < ENROLL_BACKOFF_MAX_MS + ENROLL_REFUSED_MS);
            CHECK(kinds[i] != ENROLL_LATER || wait >= 7000);
            CHECK(kinds[i] != ENROLL_REFUSED || wait >= ENROLL_REFUSED_MS);
        }
        CHECK_U64(e.asked, 20);
    }
}

TEST("renewal begins between 50 and 60 percent of the life, with a new key, and the old one stays "
     "in use")
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct enroll e;
        enroll_init(&e, seed);
        feed(&e, (struct enroll_event){.kind = ENROLL_STARTED,
                                       .now_ms = 500,
                                       .wall_ms = DAY_MS,
                                       .has_certificate = true,
                                       .not_before_ms = 0,
                                       .not_after_ms = (int64_t)10 * DAY_MS});
        CHECK(ordered(ENROLL_USE));
        uint64_t at = 0;
        do { /* it looks at the wall clock again and again */
            uint64_t due = enroll_due_ms(&e);
            CHECK(due - 500 - at <= ENROLL_LOOK_MS);
            at = due - 500;
            feed(&e, (struct enroll_event){
                         .kind = ENROLL_TICK, .now_ms = due, .wall_ms = DAY_MS + (int64_t)at});
        } while (fx.count == 0);
        at += DAY_MS;
        CHECK(at >= (uint64_t)5 * DAY_MS && at <= (uint64_t)6 * DAY_MS);
        CHECK(ordered(ENROLL_MAKE_KEY));
        feed(&e, (struct enroll_event){.kind = ENROLL_KEY_STORED});
        tick(&e);
        CHECK(ordered(ENROLL_ASK) && fx.list[0].is_renewal);
    }
}

/* One renewal; the certificate that comes has the same life, by a clock that is far behind. */
static uint64_t renewed_ms(struct enroll *e, int64_t wall_ms)
{
    uint64_t due = enroll_due_ms(e);
    feed(e, (struct enroll_event){.kind = ENROLL_TICK, .now_ms = due, .wall_ms = wall_ms});
    CHECK(ordered(ENROLL_MAKE_KEY));
    feed(e, (struct enroll_event){.kind = ENROLL_KEY_STORED, .now_ms = due});
    tick(e);
    feed(e, (struct enroll_event){.kind = ENROLL_CERTIFIED, .now_ms = due});
    feed(e, (struct enroll_event){.kind = ENROLL_STORED,
                                  .now_ms = due,
                                  .wall_ms = wall_ms,
                                  .not_after_ms = (int64_t)10 * DAY_MS});
    return due;
}

TEST("certificates that are past their renewal when they come are not asked for in a loop")
{
    struct enroll e;
    enroll_init(&e, 11);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED,
                                   .wall_ms = (int64_t)500 * DAY_MS,
                                   .has_certificate = true,
                                   .not_after_ms = (int64_t)10 * DAY_MS});
    unsigned renewals = 0;
    while (enroll_due_ms(&e) <= DAY_MS) {
        (void)renewed_ms(&e, (int64_t)500 * DAY_MS);
        renewals++;
    }
    CHECK(renewals > 5 && renewals < 20);
    feed(&e, (struct enroll_event){.kind = ENROLL_TICK,
                                   .now_ms = enroll_due_ms(&e),
                                   .wall_ms = (int64_t)500 * DAY_MS});
    feed(&e, (struct enroll_event){.kind = ENROLL_KEY_STORED});
    tick(&e);
    feed(&e, (struct enroll_event){.kind = ENROLL_CERTIFIED});
    feed(&e, (struct enroll_event){.kind = ENROLL_STORED, .not_after_ms = (int64_t)10 * DAY_MS});
    CHECK(e.hurry_ms == 0); /* clocks agree again */
}

TEST("a certificate of the future is renewed by a device whose clock is set, and kept by one "
     "without")
{
    for (int has_clock = 0; has_clock < 2; has_clock++) {
        struct enroll e;
        enroll_init(&e, 13);
        feed(&e, (struct enroll_event){.kind = ENROLL_STARTED,
                                       .has_certificate = true,
                                       .has_clock = has_clock,
                                       .wall_ms = (int64_t)100 * DAY_MS,
                                       .not_before_ms = (int64_t)600 * DAY_MS,
                                       .not_after_ms = (int64_t)691 * DAY_MS});
        feed(&e, (struct enroll_event){.kind = ENROLL_TICK,
                                       .has_clock = has_clock,
                                       .now_ms = enroll_due_ms(&e),
                                       .wall_ms = (int64_t)100 * DAY_MS});
        CHECK(has_clock ? ordered(ENROLL_MAKE_KEY) : fx.count == 0);
    }
}

TEST("a clock that was wrong when the certificate came does not put its renewal off")
{
    struct enroll e;
    enroll_init(&e, 12);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED, /* in 1970 */
                                   .has_certificate = true,
                                   .not_before_ms = (int64_t)20000 * DAY_MS,
                                   .not_after_ms = (int64_t)20091 * DAY_MS});
    uint64_t due = enroll_due_ms(&e);
    CHECK(due <= ENROLL_LOOK_MS);
    feed(&e, (struct enroll_event){
                 .kind = ENROLL_TICK, .now_ms = due, .wall_ms = (int64_t)20070 * DAY_MS});
    CHECK(ordered(ENROLL_MAKE_KEY));
}

TEST("a device that was cut in the midst of a renewal uses what it has and asks with the key it "
     "stored")
{
    struct enroll e;
    enroll_init(&e, 3);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED,
                                   .has_certificate = true,
                                   .has_next_key = true,
                                   .not_after_ms = DAY_MS});
    CHECK(ordered(ENROLL_USE));
    tick(&e);
    CHECK(ordered(ENROLL_ASK) && fx.list[0].is_renewal);
}

TEST("an answer nobody waits for changes nothing")
{
    struct enroll e;
    enroll_init(&e, 3);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED});
    struct enroll before = e;
    static const enum enroll_event_kind kinds[] = {ENROLL_CERTIFIED, ENROLL_LATER, ENROLL_REFUSED,
                                                   ENROLL_UNANSWERED, ENROLL_STORED};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        feed(&e, (struct enroll_event){.kind = kinds[i]});
        CHECK(fx.count == 0 && e.state == before.state && e.due_ms == before.due_ms);
    }
    CHECK_U64(invariant_breaches(), 0);
}

TEST("a certificate whose life is none, or past, is renewed at once")
{
    static const int64_t lives[][2] = {{5000, 5000}, {6000, 5000}, {0, 1000}};
    for (size_t i = 0; i < COUNT_OF(lives); i++) {
        struct enroll e;
        enroll_init(&e, 1);
        feed(&e, (struct enroll_event){.kind = ENROLL_STARTED,
                                       .now_ms = 70,
                                       .wall_ms = 9000,
                                       .has_certificate = true,
                                       .not_before_ms = lives[i][0],
                                       .not_after_ms = lives[i][1]});
        CHECK(ordered(ENROLL_USE));
        CHECK_U64(enroll_due_ms(&e), 70);
        feed(&e, (struct enroll_event){.kind = ENROLL_TICK, .now_ms = 70, .wall_ms = 9000});
        CHECK(ordered(ENROLL_MAKE_KEY) && fx.list[0].is_renewal);
    }
}

TEST("a second start, a key or a tick that nobody waits for changes nothing")
{
    struct enroll e;
    enroll_init(&e, 1);
    feed(&e, (struct enroll_event){.kind = ENROLL_TICK, .now_ms = UINT64_MAX});
    CHECK(fx.count == 0);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED, .has_next_key = true, .now_ms = 5});
    CHECK(fx.count == 0);
    feed(&e, (struct enroll_event){.kind = ENROLL_STARTED, .now_ms = 5});
    feed(&e, (struct enroll_event){.kind = ENROLL_KEY_STORED, .now_ms = 999});
    CHECK(fx.count == 0);
    CHECK_U64(enroll_due_ms(&e), 5);
    tick(&e);
    CHECK(ordered(ENROLL_ASK));
}

TEST("without a wall clock a certificate is renewed by our own: when half is over, or soon after a "
     "start")
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct enroll e;
        struct enroll_event ev = {.kind = ENROLL_STARTED,
                                  .now_ms = 1000,
                                  .wall_ms = 5,
                                  .has_certificate = true,
                                  .not_before_ms = INT64_C(20000) * DAY_MS,
                                  .not_after_ms = INT64_C(20010) * DAY_MS};
        uint64_t looks = 0;
        enroll_init(&e, seed);
        feed(&e, ev);
        while (fx.count == 0 || fx.list[0].kind != ENROLL_MAKE_KEY) {
            uint64_t now_ms = enroll_due_ms(&e);
            REQUIRE(now_ms <= 1000 + (uint64_t)DAY_MS + ENROLL_LOOK_MS && looks++ < 2000);
            feed(&e, (struct enroll_event){.kind = ENROLL_TICK, .now_ms = now_ms, .wall_ms = 5});
        }
        feed(&e, (struct enroll_event){.kind = ENROLL_KEY_STORED, .now_ms = 2000});
        tick(&e);
        feed(&e, (struct enroll_event){.kind = ENROLL_CERTIFIED, .now_ms = 3000});
        ev.kind = ENROLL_STORED;
        feed(&e, ev);
        uint64_t now_ms = 0;
        for (looks = 0; fx.count == 0 || fx.list[0].kind != ENROLL_MAKE_KEY; looks++) {
            now_ms = enroll_due_ms(&e);
            REQUIRE(looks < 10000);
            feed(&e, (struct enroll_event){.kind = ENROLL_TICK, .now_ms = now_ms, .wall_ms = 5});
        }
        CHECK(now_ms >= 5 * (uint64_t)DAY_MS && now_ms <= 6 * (uint64_t)DAY_MS + 61000);
    }
}
