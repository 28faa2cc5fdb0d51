#include "sim/shrink.h"

#include <stdlib.h>
#include <string.h>

struct shrinking {
    shrink_fails *fails;
    void *context;
    struct shrink_report *report;
};

static bool try(struct shrinking *s, struct plan *plan, struct plan *candidate)
{
    bool better = s->report->runs < SHRINK_RUNS_MAX;
    if (better) {
        s->report->runs++;
        better = s->fails(s->context, candidate);
    }
    if (better) {
        plan_free(plan);
        *plan = *candidate;
    } else {
        plan_free(candidate);
    }
    return better;
}

/* Without the events [from, from + count). */
static bool try_without(struct shrinking *s, struct plan *plan, size_t from, size_t count)
{
    struct plan candidate = plan_copy(plan);
    memmove(candidate.events + from, candidate.events + from + count,
            (candidate.count - from - count) * sizeof *candidate.events);
    candidate.count -= count;
    return try(s, plan, &candidate);
}

static void shrink_events(struct shrinking *s, struct plan *plan)
{
    for (size_t part = plan->count; part > 0;) {
        bool removed = false;
        for (size_t at = 0; at < plan->count;) {
            size_t count = part < plan->count - at ? part : plan->count - at;
            if (try_without(s, plan, at, count)) {
                removed = true;
            } else {
                at += count;
            }
        }
        if (part == 1 && !removed) {
            return;
        }
        part = part == 1 || removed ? (part < plan->count ? part : plan->count) : (part + 1) / 2;
    }
}

/* Half of what it is, as long as it fails; not below `least`. */
static void shrink_setting(struct shrinking *s,
                           struct plan *plan,
                           enum plan_setting which,
                           uint64_t least)
{
    for (uint64_t value = plan->settings[which] / 2; value >= least;
         value = plan->settings[which] / 2) {
        struct plan candidate = plan_copy(plan);
        candidate.settings[which] = value;
        if (value == plan->settings[which] || !try(s, plan, &candidate)) {
            return;
        }
    }
}

static void shrink_durations(struct shrinking *s, struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        for (size_t arg = 0; arg < FAULT_ARGS_MAX; arg++) {
            bool smaller = true;
            while (smaller && plan->events[i].args[arg] / 2 != 0) {
                struct plan candidate = plan_copy(plan);
                candidate.events[i].args[arg] /= 2;
                smaller = try(s, plan, &candidate);
            }
        }
    }
}

void shrink(struct plan *plan, shrink_fails *fails, void *context, struct shrink_report *report)
{
    struct shrinking s = {.fails = fails, .context = context, .report = report};
    *report = (struct shrink_report){.from = plan->count};
    shrink_events(&s, plan);
    shrink_setting(&s, plan, PLAN_DEVICES, 1);
    shrink_setting(&s, plan, PLAN_GATEWAYS, 1);
    shrink_setting(&s, plan, PLAN_SAFETY_MS, 1000);
    shrink_durations(&s, plan);
    shrink_events(&s, plan);
    report->to = plan->count;
}
