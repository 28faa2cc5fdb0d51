#include "sim/run.h"

#include "role/trace.h"
#include "sim/collect.h"
#include "sim/feed.h"
#include "sim/forge.h"
#include "sim/strike.h"
#include "sim/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 250,         /* how often it is looked whether the fleet stands, or has drained */
    MEASURE_ON_MS = 3000,  /* after healing the fleet goes on measuring for so long */
    HELLOS_IN_CALM_MAX = 1 /* of one device: a renewal begins its session anew */
};

struct run {
    const struct plan *plan;
    struct report *report;
    struct plant *plant;
    struct sim_world *world;
    struct strikes *strikes;
    struct feed *feed;
    struct history history;
    uint32_t devices;
    uint32_t wholes; /* devices whose storage did not lie */
    uint64_t cpu_us; /* when the phase began */
};

static uint64_t wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t cpu_us(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static uint64_t set(const struct run *r, enum plan_setting which)
{
    return r->plan->settings[which];
}

static bool asks(const struct run *r, enum checker which)
{
    return r->report->covers[which] != COVER_NOTHING;
}

/* What is known so far, should the next moment be the last. */
static void enter(struct run *r, enum run_phase phase)
{
    uint64_t now_us = cpu_us();
    r->report->cpu_us[r->report->phase] += now_us - r->cpu_us;
    r->cpu_us = now_us;
    r->report->phase = phase;
    r->report->virtual_ms = sim_now_ms(r->world);
    r->report->hash = sim_hash(r->world);
}

/* ---- building, and until the fleet stands ---- */

/* A server's machine, and its links to all devices. */
static void prepare_server(struct run *r, const char *server)
{
    sim_set_sync_time(r->world, server, set(r, PLAN_SYNC_US));
    for (uint32_t i = 0; i < r->devices; i++) {
        const char *name = plant_machine(r->plant, plant_device(r->plant, i));
        sim_set_link(r->world, name, server, set(r, PLAN_LINK_US), set(r, PLAN_JITTER_US));
        sim_set_link(r->world, server, name, set(r, PLAN_LINK_US), set(r, PLAN_JITTER_US));
    }
}

static void prepare_machines(struct run *r)
{
    prepare_server(r, "core");
    for (uint32_t i = 0; set(r, PLAN_APART) != 0 && i < set(r, PLAN_GATEWAYS); i++) {
        prepare_server(r, plant_machine(r->plant, plant_gateway(r->plant, i)));
    }
    for (uint32_t i = 0; i < r->devices; i++) {
        const char *name = plant_machine(r->plant, plant_device(r->plant, i));
        sim_set_sync_time(r->world, name, set(r, PLAN_SYNC_US));
    }
}

/* Of devices whose storage lies less is asked, of all others all of it. */
static void mark_spoilt(struct run *r)
{
    for (uint32_t d = 0; d < r->devices; d++) {
        const char *name = plant_name(r->plant, plant_device(r->plant, d));
        for (size_t i = 0; i < r->plan->count; i++) {
            const struct plan_event *e = &r->plan->events[i];
            if (fault_is_beyond(e->kind) && plan_names(e, name)) {
                history_spoil(&r->history, d);
            }
        }
        r->wholes += history_is_spoilt(&r->history, d) ? 0 : 1;
    }
}

static bool build(struct run *r)
{
    r->devices = (uint32_t)set(r, PLAN_DEVICES);
    r->plant =
        plant_open(&(struct plant_spec){.seed = set(r, PLAN_SEED),
                                        .gateways = (uint32_t)set(r, PLAN_GATEWAYS),
                                        .is_apart = set(r, PLAN_APART) != 0,
                                        .devices = r->devices,
                                        .devices_per_s = (uint32_t)set(r, PLAN_BURST_PER_S),
                                        .journal_percent = (uint32_t)set(r, PLAN_JOURNAL_PCT)});
    if (r->plant == NULL) {
        findings_add(&r->report->findings, CHECK_LIVENESS, 1, "the plant cannot be built");
        return false;
    }
    r->world = plant_world(r->plant);
    r->strikes = strikes_new(r->plant, r->plan, r->report);
    for (uint32_t i = 0; i < r->devices; i++) {
        (void)watch_device(plant_device_id(r->plant, i)); /* numbers in order */
    }
    prepare_machines(r);
    mark_spoilt(r);
    return true;
}

static void stand_up(struct run *r)
{
    enter(r, RUN_STANDING);
    plant_begin(r->plant);
    while (plant_live(r->plant) < r->devices && sim_now_ms(r->world) < set(r, PLAN_STAND_MS)) {
        sim_run_for(r->world, LOOK_MS);
    }
    r->report->stood_ms = sim_now_ms(r->world);
    /* Asked in every run: no fault has struck yet. */
    uint32_t live = plant_live(r->plant);
    findings_looked(&r->report->findings, CHECK_LIVENESS, r->devices);
    findings_add(&r->report->findings, CHECK_LIVENESS, r->devices - live,
                 "%u of %u devices were live when the fleet should have stood, after %llu ms", live,
                 r->devices, (unsigned long long)r->report->stood_ms);
    r->feed = feed_begin(r->plant, r->devices, (uint32_t)set(r, PLAN_PERIOD_MS));
    sim_run_for(r->world, set(r, PLAN_PERIOD_MS));
}

/* ---- faults ---- */

static void run_to(struct run *r, uint64_t until_ms)
{
    for (uint64_t due = strikes_due_ms(r->strikes); due <= until_ms;
         due = strikes_due_ms(r->strikes)) {
        if (due > sim_now_ms(r->world)) {
            sim_run_until(r->world, due);
        }
        strikes_end_due(r->strikes);
    }
    sim_run_until(r->world, until_ms);
}

static void be_safe(struct run *r)
{
    enter(r, RUN_SAFETY);
    uint64_t base_ms = sim_now_ms(r->world);
    r->report->planned = r->plan->count;
    for (size_t i = 0; i < r->plan->count; i++) {
        if (r->plan->events[i].at_ms > set(r, PLAN_SAFETY_MS)) {
            break;
        }
        run_to(r, base_ms + r->plan->events[i].at_ms);
        strike(r->strikes, &r->plan->events[i]);
    }
    run_to(r, base_ms + set(r, PLAN_SAFETY_MS));
}

/* ---- liveness ---- */

/* Of those that all of liveness is asked of. */
static uint32_t drained(const struct run *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->devices; i++) {
        const struct device *d = plant_device_role(r->plant, i);
        struct device_counts counts = {0};
        if (d != NULL && !history_is_spoilt(&r->history, i)) {
            device_counts(d, &counts);
            count += counts.is_live && watch_is_drained(d) ? 1 : 0;
        }
    }
    return count;
}

/* What the core lost at the end of a device's numbers shows as soon as it says another. */
static uint64_t measure_on_ms(const struct run *r)
{
    bool may_lose = r->report->covers[CHECK_TELEMETRY] == COVER_TOLD;
    return MEASURE_ON_MS + (may_lose ? 2 * set(r, PLAN_PERIOD_MS) : 0);
}

static void be_live(struct run *r)
{
    enter(r, RUN_LIVENESS);
    struct findings *found = &r->report->findings;
    strikes_heal(r->strikes);
    uint64_t healed_ms = sim_now_ms(r->world);
    uint64_t limit_ms = healed_ms + set(r, PLAN_LIVENESS_MS);
    sim_run_for(r->world, measure_on_ms(r));
    feed_end(r->feed);
    r->feed = NULL;
    bool all = false;
    while (!all && sim_now_ms(r->world) < limit_ms) {
        sim_run_for(r->world, LOOK_MS);
        all = drained(r) == r->wholes
              && collect_is_ingested(r->plant, (uint32_t)set(r, PLAN_GATEWAYS));
    }
    r->report->drained_ms = sim_now_ms(r->world) - healed_ms;
    if (!asks(r, CHECK_LIVENESS)) {
        return;
    }
    findings_looked(found, CHECK_LIVENESS, r->wholes);
    uint32_t count = drained(r);
    findings_add(found, CHECK_LIVENESS, r->wholes - count,
                 "%u of %u devices were live and drained %llu ms after everything was healed",
                 count, r->wholes, (unsigned long long)r->report->drained_ms);
    findings_add(found, CHECK_LIVENESS, count == r->wholes && !all ? 1 : 0,
                 "ingest had not taken all that the gateways hold %llu ms after healing",
                 (unsigned long long)r->report->drained_ms);
}

static uint64_t starts(const struct run *r)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < plant_processes(r->plant); i++) {
        count += plant_starts(r->plant, i);
    }
    return count;
}

/* What was tried so far by those that nothing lied to. */
struct tries {
    uint64_t hellos, sent, starts;
};

static struct tries tries(const struct run *r)
{
    struct tries t = {0};
    for (size_t i = 0; i < r->history.boots.count; i++) {
        t.hellos += !history_is_spoilt(&r->history, r->history.boots.list[i].device);
    }
    for (size_t i = 0; i < r->history.sent.count; i++) {
        t.sent += !history_is_spoilt(&r->history, r->history.sent.list[i].device);
    }
    uint32_t first = plant_device(r->plant, 0);
    for (uint32_t i = 0; i < plant_processes(r->plant); i++) {
        bool lied = i >= first && history_is_spoilt(&r->history, i - first);
        t.starts += lied ? 0 : plant_starts(r->plant, i);
    }
    return t;
}

/* When nothing fails any more and nothing is measured, nobody tries anything again. */
static void be_calm(struct run *r)
{
    enter(r, RUN_CALM);
    struct findings *found = &r->report->findings;
    struct tries before = tries(r);
    sim_run_for(r->world, set(r, PLAN_CALM_MS));
    if (set(r, PLAN_CALM_MS) == 0 || !asks(r, CHECK_LIVENESS)) {
        return;
    }
    struct tries after = tries(r);
    findings_looked(found, CHECK_LIVENESS, 3);
    uint64_t hellos = after.hellos - before.hellos;
    findings_add(found, CHECK_LIVENESS, hellos > (uint64_t)r->wholes * HELLOS_IN_CALM_MAX ? 1 : 0,
                 "%llu hellos were said while nothing failed", (unsigned long long)hellos);
    findings_add(found, CHECK_LIVENESS, after.sent > before.sent ? 1 : 0,
                 "%llu values were sent again while nothing failed",
                 (unsigned long long)(after.sent - before.sent));
    findings_add(found, CHECK_LIVENESS, after.starts > before.starts ? 1 : 0,
                 "%llu processes were started again while nothing failed",
                 (unsigned long long)(after.starts - before.starts));
}

/* ---- checkers ---- */

static void take_promises(struct run *r)
{
    struct report *report = r->report;
    for (int i = 0; i < PROMISE_COUNT; i++) {
        report->evaluations[i] = promise_evaluations((enum promise)i);
        report->violations[i] = promise_violations((enum promise)i);
        findings_looked(&report->findings, CHECK_PROMISES, report->evaluations[i]);
        if (report->covers[CHECK_PROMISES] == COVER_HOLDS) {
            findings_add(&report->findings, CHECK_PROMISES, report->violations[i],
                         "%s did not hold %llu times", promise_name((enum promise)i),
                         (unsigned long long)report->violations[i]);
        }
    }
    struct invariant_breach breach = invariant_last();
    report->breaches = invariant_breaches();
    if (breach.text != NULL) {
        (void)snprintf(report->breach, sizeof report->breach, "%s:%d: %s", breach.file, breach.line,
                       breach.text);
    }
    findings_add(&report->findings, CHECK_PROMISES, report->breaches, "%s", report->breach);
}

/* Whose identity was stolen is not spoken for any more. */
static void exclude_stolen(struct run *r)
{
    for (size_t i = 0; i < r->plan->count; i++) {
        const struct plan_event *e = &r->plan->events[i];
        for (uint32_t d = 0; e->kind == FAULT_HOSTILE_DEVICE && d < r->devices; d++) {
            if (plan_names(e, plant_name(r->plant, plant_device(r->plant, d)))) {
                history_exclude(&r->history, watch_device(plant_device_id(r->plant, d)));
            }
        }
    }
}

/* What was acknowledged to an agent of the future waits for a hello that was refused: counted, at
 * most so many, and shown; but no gap. */
static void forget_future(struct run *r)
{
    for (size_t i = 0; i < r->plan->count; i++) {
        const struct plan_event *e = &r->plan->events[i];
        bool is_future = e->kind == FAULT_VERSION && (e->args[0] & VERSION_CRITICAL) != 0;
        for (uint32_t d = 0; is_future && d < r->devices; d++) {
            if (plan_names(e, plant_name(r->plant, plant_device(r->plant, d)))) {
                history_forget_acks(&r->history, d);
            }
        }
    }
}

/* What a device and the core both forgot nobody knows any more. */
static void exclude_forgotten(struct run *r)
{
    for (uint32_t d = 0; d < r->devices && r->report->covers[CHECK_TELEMETRY] == COVER_TOLD; d++) {
        if (history_is_spoilt(&r->history, d)) {
            history_exclude(&r->history, d);
        }
    }
}

static void check(struct run *r)
{
    struct report *report = r->report;
    struct plant_reader reader;
    enter(r, RUN_CHECKING);
    report->sent = r->history.sent.count;
    report->acked = r->history.acked.count;
    r->history.loss_is_told =
        report->covers[CHECK_TELEMETRY] == COVER_TOLD && collect_is_damage_told(r->plant);
    if (asks(r, CHECK_NUMBERS)) {
        check_numbers(&r->history, &report->findings);
    }
    if (!plant_read(r->plant, &reader)) {
        findings_add(&report->findings, CHECK_TELEMETRY, r->history.loss_is_told ? 0 : 1,
                     "the store cannot be read");
        return;
    }
    bool ok = collect_store(&reader, &r->history) || r->history.loss_is_told;
    report->applied = r->history.applied.count;
    report->dropped = r->history.dropped.count;
    exclude_stolen(r);
    exclude_forgotten(r);
    forget_future(r);
    findings_add(&report->findings, CHECK_TELEMETRY, ok ? 0 : 1, "the store cannot be read");
    if (asks(r, CHECK_REGISTRY)) {
        check_registry(&reader, r->devices, &report->findings);
    }
    plant_leave(&reader);
    if (asks(r, CHECK_TELEMETRY)) {
        check_versions(&r->history, &report->findings);
        check_telemetry(&r->history, report->covers[CHECK_TELEMETRY] == COVER_TOLD,
                        &report->findings);
    }
}

static void finish(struct run *r, uint64_t began_us)
{
    struct report *report = r->report;
    if (findings_total(&report->findings)
        > 0) { /* the roles still live: what led to it is theirs */
        (void)trace_claim_all("sim/run.c", __LINE__, report->findings.text[0]);
    }
    enter(r, RUN_OVER);
    report->wall_us = wall_us() - began_us;
    report->virtual_ms = sim_now_ms(r->world);
    report->device_ms = report->virtual_ms * r->devices;
    report->hash = sim_hash(r->world);
    report->turns = sim_turns(r->world);
    report->events = sim_events(r->world);
    report->restarts = starts(r) - plant_processes(r->plant);
    for (uint32_t i = 0; i < plant_processes(r->plant); i++) {
        report->refusals += plant_refusals(r->plant, i);
    }
    feed_end(r->feed);
    strikes_free(r->strikes);
    plant_close(r->plant);
}

void run_plan(const struct plan *plan, struct report *report)
{
    struct run r = {.plan = plan, .report = report, .cpu_us = cpu_us()};
    uint64_t began_us = wall_us();
    memcpy(report->settings, plan->settings, sizeof report->settings);
    for (int i = 0; i < CHECKER_COUNT; i++) {
        report->covers[i] = plan_cover(plan, (enum checker)i);
    }
    watch_begin(&r.history, report->steps);
    if (build(&r)) {
        stand_up(&r);
        be_safe(&r);
        be_live(&r);
        be_calm(&r);
        check(&r);
        finish(&r, began_us);
    }
    take_promises(&r);
    watch_end();
    history_free(&r.history);
    report->phase = RUN_OVER;
    report->outcome = findings_total(&report->findings) > 0 ? OUTCOME_FOUND : OUTCOME_WELL;
}
