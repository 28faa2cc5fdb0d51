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
        uint64_t at = enroll_due_ms(&e) - 500 + DAY_MS;
        CHECK(at >= (uint64_t)5 * DAY_MS && at <= (uint64_t)6 * DAY_MS);
        tick(&e);
        CHECK(ordered(ENROLL_MAKE_KEY));
        feed(&e, (struct enroll_event){.kind = ENROLL_KEY_STORED});
        tick(&e);
        CHECK(ordered(ENROLL_ASK) && fx.list[0].is_renewal);
    }
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
