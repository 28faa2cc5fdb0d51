/* What strike.c (who is meant, when it ends) and strike_disk.c (what is done to disks) share. */
#ifndef SIM_STRIKE_INSIDE_H
#define SIM_STRIKE_INSIDE_H

#include "sim/hostile.h"
#include "sim/strike.h"
#include "sim/twin.h"

/* What ends at its time. */
struct lasting {
    uint64_t until_ms;
    enum fault_kind kind;
    char a[PLAN_NAME_MAX], b[PLAN_NAME_MAX];
    uint64_t back_ms;      /* of what ends with a power cut: how long it is down then */
    struct sim_disk *disk; /* of FAULT_ROLL_BACK: what comes back */
};

struct strikes {
    struct plant *plant;
    struct sim_world *world;
    const struct plan *plan;
    struct report *report;
    struct lasting *lasting;
    size_t count, cap;
    /* a power cut that waits for an operation of a disk */
    struct trap {
        struct strikes *strikes;
        char machine[PLAN_NAME_MAX];
        uint64_t left, again, back_ms; /* again: of the recovery; 0: not */
        bool armed;
    } trap;
    struct twins *twins;
    struct hostiles *hostiles;
};

/* It ends `for_ms` from now; the pointer is good until the next one. */
struct lasting *strike_lasts(struct strikes *s, const struct plan_event *event, int64_t for_ms);

typedef void ender(struct strikes *s, struct lasting *l);
ender end_no_space;
ender end_slow_sync;
ender end_roll_back;
ender end_stale_spool;
ender end_lies;

/* False where it met nothing. */
typedef bool striker(struct strikes *s, const struct plan_event *e);
striker strike_no_space;
striker strike_write_fails;
striker strike_sync_fails;
striker strike_slow_sync;
striker strike_roll_back;
striker strike_stale_spool;
striker strike_lying_sync;
striker strike_spoilt_write;
striker strike_rot;

/* A copy of all that is on it, synced or not. */
struct sim_disk *strike_image_of(struct sim_disk *disk);
void strike_be_honest(struct strikes *s, const char *machine);

#endif
