/* Plans: written and read again, made by a seed, shortened. */
#include "sim/shrink.h"
#include "sim/swarm.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

static uint8_t text_of_one[1 << 18], text_of_other[1 << 18];

static struct slice written(const struct plan *plan, uint8_t *to)
{
    struct writer w = writer_over(to, sizeof text_of_one);
    plan_write(plan, &w);
    CHECK(writer_ok(&w));
    return writer_slice(&w);
}

TEST("a plan that was written down is read as it was, whichever seed made it")
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct plan plan, again;
        struct plan_fault fault = {0};
        swarm_plan(seed, seed % 4 == 0, &plan);
        struct slice text = written(&plan, text_of_one);
        CHECK(plan_read(&again, text, &fault));
        CHECK(slice_equal(text, written(&again, text_of_other)));
        plan_free(&plan);
        plan_free(&again);
    }
}

TEST("a plan that is wrong is refused, and the line is named")
{
    static const struct {
        const char *text;
        size_t line;
    } rows[] = {
        {"", 1},
        {"set devices 3\n", 1},
        {"plan 2\n", 1},
        {"plan 1\nset devices 0\n", 2},
        {"plan 1\nset nothing 1\n", 2},
        {"plan 1\nset devices three\n", 2},
        {"plan 1\n# a comment\nat 5 kill\n", 3},
        {"plan 1\nat 5 burn gw-1 3\n", 2},
        {"plan 1\nat 5 kill gw-1\n", 2},
        {"plan 1\nat 5 kill gw-1 3 4\n", 2},
        {"plan 1\nat 5 cut gw-1 5\n", 2},
        {"plan 1\nat x kill gw-1 3\n", 2},
        {"plan 1\nat 5 kill a-name-that-is-longer-than-a-machine-may-have 3\n", 2},
        {"plan 1\nbegin\n", 2},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct plan plan;
        struct plan_fault fault = {0};
        CHECK(!plan_read(&plan, slice_text(rows[i].text), &fault));
        CHECK_U64(fault.line, rows[i].line);
        CHECK(fault.why[0] != '\0');
        plan_free(&plan);
    }
}

TEST("a swarm has some kinds on and never all; every kind is on in some run, in its own mode only")
{
    uint64_t seen[2] = {0};
    uint64_t all[2] = {0};
    for (int i = 0; i < FAULT_KIND_COUNT; i++) {
        all[fault_is_beyond((enum fault_kind)i) ? 1 : 0] |= UINT64_C(1) << i;
    }
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct plan plan;
        bool beyond = seed % 2 == 1;
        swarm_plan(seed, beyond, &plan);
        uint64_t kinds = plan_kinds(&plan);
        CHECK(kinds != 0 && (kinds & ~all[beyond]) == 0 && kinds != all[beyond]);
        seen[beyond] |= kinds;
        for (int i = 0; i < CHECKER_COUNT && !beyond; i++) {
            CHECK(plan_cover(&plan, (enum checker)i) == COVER_HOLDS);
        }
        plan_free(&plan);
    }
    CHECK_U64(seen[0], all[0]);
    CHECK_U64(seen[1], all[1]);
}

TEST("what a lie leaves of a promise depends on whose disk it is, and the weakest counts")
{
    static const struct {
        const char *events;
        enum cover telemetry, numbers, registry, liveness;
    } rows[] = {
        {"at 1 kill gw-1 1", COVER_HOLDS, COVER_HOLDS, COVER_HOLDS, COVER_HOLDS},
        {"at 1 rot dev-0001 1 1", COVER_DETECTED, COVER_OTHERS, COVER_HOLDS, COVER_OTHERS},
        {"at 1 rot dev-* 1 1", COVER_DETECTED, COVER_OTHERS, COVER_HOLDS, COVER_OTHERS},
        {"at 1 rot core 1 1", COVER_TOLD, COVER_HOLDS, COVER_NOTHING, COVER_NOTHING},
        {"at 1 rot core 1 1\nat 2 clone dev-0000 9", COVER_TOLD, COVER_OTHERS, COVER_NOTHING,
         COVER_NOTHING},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256];
        struct plan plan;
        struct plan_fault fault = {0};
        (void)snprintf(text, sizeof text, "plan 1\n%s\n", rows[i].events);
        REQUIRE(plan_read(&plan, slice_text(text), &fault));
        CHECK(plan_cover(&plan, CHECK_TELEMETRY) == rows[i].telemetry);
        CHECK(plan_cover(&plan, CHECK_NUMBERS) == rows[i].numbers);
        CHECK(plan_cover(&plan, CHECK_REGISTRY) == rows[i].registry);
        CHECK(plan_cover(&plan, CHECK_LIVENESS) == rows[i].liveness);
        plan_free(&plan);
    }
}

TEST("an event names a machine by its name or as one of all of its kind")
{
    struct plan_event event = {.target = "dev-*"};
    CHECK(plan_names(&event, "dev-0000") && !plan_names(&event, "gw-1"));
    event = (struct plan_event){.target = "gw-1"};
    CHECK(plan_names(&event, "gw-1") && !plan_names(&event, "gw-10"));
}

TEST("the events of a plan are in the order of their times, equal ones in that of adding")
{
    struct plan plan;
    plan_init(&plan);
    for (uint64_t i = 0; i < 100; i++) {
        plan_add(&plan, &(struct plan_event){.at_ms = i * 37 % 10, .args = {(int64_t)i}});
    }
    for (size_t i = 1; i < plan.count; i++) {
        const struct plan_event *a = &plan.events[i - 1];
        const struct plan_event *b = &plan.events[i];
        CHECK(a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->args[0] < b->args[0]));
    }
    plan_free(&plan);
}

/* Fails where a kill of gw-1 comes before a power cut of core, in a fleet of at least three. */
static bool fails(void *context, const struct plan *plan)
{
    bool killed = false;
    uint32_t *runs = context;
    ++*runs;
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_event *e = &plan->events[i];
        killed = killed || (e->kind == FAULT_KILL && strcmp(e->target, "gw-1") == 0);
        if (killed && e->kind == FAULT_POWER_CUT && strcmp(e->target, "core") == 0
            && plan->settings[PLAN_DEVICES] >= 3) {
            return true;
        }
    }
    return false;
}

TEST("shrinking leaves only what the failure needs, and the rest as small as it goes")
{
    struct plan plan;
    struct shrink_report report;
    uint32_t runs = 0;
    struct rng {
        uint64_t state;
    } r = {7};
    plan_init(&plan);
    plan.settings[PLAN_DEVICES] = 24;
    for (uint64_t i = 0; i < 200; i++) {
        struct plan_event event = {.at_ms = 10 * i, .kind = FAULT_PAUSE, .args = {100}};
        r.state = r.state * 6364136223846793005u + 1;
        (void)snprintf(event.target, sizeof event.target, "dev-%04u", (unsigned)(r.state >> 61));
        if (i == 60 || i == 90) {
            event.kind = FAULT_KILL;
            (void)snprintf(event.target, sizeof event.target, "gw-1");
        } else if (i == 55 || i == 150) {
            event.kind = FAULT_POWER_CUT;
            (void)snprintf(event.target, sizeof event.target, "core");
        }
        plan_add(&plan, &event);
    }
    CHECK(fails(&runs, &plan));
    shrink(&plan, fails, &runs, &report);
    CHECK(fails(&runs, &plan));
    CHECK_U64(report.from, 200);
    CHECK_U64(plan.count, 2);
    CHECK_U64(plan.settings[PLAN_DEVICES], 3);
    CHECK_U64(plan.events[0].args[0], 1);
    CHECK(report.runs < 300);
    plan_free(&plan);
}
