/*
 * A plan: how large the world is, what it does, and every fault that happens to it, as an explicit
 * list. A seed makes a plan (sim/swarm.h); a plan can be written down, shortened (sim/shrink.h) and
 * run again, and running it is the same each time.
 *
 * As text, one item a line, '#' begins a comment:
 *     plan 1
 *     set seed 42
 *     set devices 12
 *     at 10500 kill gw-1 2000
 *     at 12000 cut dev-0003 gw-2 5000
 * Times are milliseconds after the fleet stands: every device is enrolled and has sent something.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "base/slice.h"
#include "base/writer.h"
#include "sim/fault.h"

enum {
    PLAN_NAME_MAX = 32,     /* bytes of a machine's name, NUL included */
    PLAN_EVENTS_MAX = 4096, /* of one plan */
    PLAN_DEVICES_MAX = 20000,
    PLAN_GATEWAYS_MAX = 8
};

/* What a plan sets, each a number with a name: plan.c has the table with limits and defaults. */
enum plan_setting {
    PLAN_SEED,        /* of all chance in the world */
    PLAN_DEVICES,     /* how many */
    PLAN_GATEWAYS,    /* how many */
    PLAN_APART,       /* 1: each gateway on a machine of its own */
    PLAN_PERIOD_MS,   /* between two messages of a device */
    PLAN_JOURNAL_PCT, /* devices whose outbox is a journal; the others keep it in memory */
    PLAN_LINK_US,     /* one way, between any two machines */
    PLAN_JITTER_US,   /* on top, at most */
    PLAN_SYNC_US,     /* of a disk */
    PLAN_BURST_PER_S, /* devices that start a second */
    PLAN_STAND_MS,    /* how long the fleet may take until it stands */
    PLAN_SAFETY_MS,   /* how long faults happen and promises are watched */
    PLAN_LIVENESS_MS, /* how long all may take to drain, once everything is healed */
    PLAN_CALM_MS,     /* after that: nobody may try anything again and again */
    PLAN_BEYOND       /* 1: faults beyond what is promised; loss must be detected */
};
enum { PLAN_SETTING_COUNT = PLAN_BEYOND + 1 };

struct plan_event {
    uint64_t at_ms;
    enum fault_kind kind;
    char target[PLAN_NAME_MAX];
    char other[PLAN_NAME_MAX]; /* of FAULT_ON_LINK: the other end; else empty */
    int64_t args[FAULT_ARGS_MAX];
};

struct plan {
    uint64_t settings[PLAN_SETTING_COUNT];
    struct plan_event *events; /* by time; on the heap */
    size_t count, cap;
};

struct plan_fault {
    size_t line;
    char why[120];
};

/* All settings at their defaults, no events. */
void plan_init(struct plan *plan);
void plan_free(struct plan *plan);
struct plan plan_copy(const struct plan *plan);

/* Keeps the list in order of time; of equal times the later added comes later. */
void plan_add(struct plan *plan, const struct plan_event *event);

const char *plan_setting_name(enum plan_setting which);
/* False where no setting is called so, or it takes no such value. */
bool plan_set(struct plan *plan, const char *name, uint64_t value);

/* *plan is initialised in any case. */
MUST_USE bool plan_read(struct plan *plan, struct slice text, struct plan_fault *fault);
void plan_write(const struct plan *plan, struct writer *w);

/* The kinds that happen in it, a bit each. */
uint64_t plan_kinds(const struct plan *plan);

/* The weakest cover of a checker that any of its events leaves. */
enum cover plan_cover(const struct plan *plan, enum checker which);

/* Does the event name this machine, by its name or as one of all? */
bool plan_names(const struct plan_event *event, const char *machine);

#endif
