/*
 * What a run did and what it found, in words for somebody who was woken up, or as JSON. Plain data:
 * it lies in memory that a run shares with the process that started it, so that a run that dies
 * leaves what it knew.
 */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "base/invariant.h"
#include "base/writer.h"
#include "sim/plan.h"

enum run_phase {
    RUN_BUILDING,
    RUN_STANDING,
    RUN_SAFETY,
    RUN_LIVENESS,
    RUN_CALM,
    RUN_CHECKING,
    RUN_OVER
};

enum run_outcome {
    OUTCOME_NONE,    /* it has not ended */
    OUTCOME_WELL,    /* nothing found */
    OUTCOME_FOUND,   /* findings */
    OUTCOME_CRASHED, /* a signal: an invariant, a sanitizer, a bad pointer */
    OUTCOME_NO_END   /* it took longer than its limit of wall time */
};

/* Cores, in the order of the flow. The first four step on an event each; of the others each call
 * that decides or changes something is a step. */
enum step_kind {
    STEP_SESSION,
    STEP_ADMIT,
    STEP_LINK,
    STEP_ENROLL,
    STEP_OUTBOX,
    STEP_SEQUENCE,
    STEP_GENERATION,
    STEP_REGISTRY,
    STEP_RECEIVED,
    STEP_ENROLMENT,
    STEP_SIGNING,
    STEP_RESTART
};
enum { STEP_KIND_COUNT = STEP_RESTART + 1 };

struct report {
    enum run_outcome outcome;
    enum run_phase phase; /* the last one reached */
    char name[64];        /* "seed 42", of a scenario or a file */
    uint64_t settings[PLAN_SETTING_COUNT];
    uint64_t planned;                     /* events */
    uint64_t faults[FAULT_KIND_COUNT];    /* struck */
    uint64_t pointless[FAULT_KIND_COUNT]; /* found nothing to strike: the machine was down */
    enum cover covers[CHECKER_COUNT];
    struct findings findings;
    uint64_t evaluations[PROMISE_COUNT], violations[PROMISE_COUNT], breaches;
    char breach[160]; /* the newest broken invariant; empty: none */

    uint64_t hash, turns, events; /* of the world */
    uint64_t steps[STEP_KIND_COUNT];
    uint64_t virtual_ms, device_ms; /* device_ms: virtual time of all devices together */
    uint64_t wall_us;
    uint64_t cpu_us[RUN_OVER];     /* of the processor, by phase: what speeds are told by */
    uint64_t stood_ms, drained_ms; /* how long it took, of virtual time */
    uint64_t sent, acked, applied, dropped; /* values, messages, values, ranges */
    uint64_t restarts, refusals;
    int signal;
};

const char *run_phase_name(enum run_phase phase);
const char *run_outcome_name(enum run_outcome outcome);
const char *step_kind_name(enum step_kind kind);
uint64_t report_steps(const struct report *r);
uint64_t report_cpu_us(const struct report *r); /* of the processor, while the world ran */

void report_write_text(const struct report *r, struct writer *w);
void report_write_json(const struct report *r, struct writer *w); /* one line */

#endif
