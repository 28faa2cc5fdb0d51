/*
 * The faults the simulator knows, each a row: its name in a plan, what it is done to, the meaning
 * of its numbers, and what it leaves of each promise. docs/verification.md shows the same table.
 *
 * A fault that lasts says how long, in the same event: an event can be left out of a plan without
 * changing what the others mean.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include "sim/findings.h"

#include <stdbool.h>

enum fault_kind {
    /* the network */
    FAULT_DELAY,     /* link: arrives late by us, with jitter, for ms (clogging) */
    FAULT_CUT,       /* one-way partition for ms */
    FAULT_PARTITION, /* both ways for ms */
    FAULT_RESET,     /* every connection between the two breaks */
    FAULT_HALF_OPEN, /* they break at the first end alone */
    /* processes and machines */
    FAULT_PAUSE,     /* SIGSTOP for ms */
    FAULT_KILL,      /* kill -9, started again after ms */
    FAULT_TERMINATE, /* SIGTERM, started again after ms */
    FAULT_POWER_CUT, /* at once, back after ms */
    FAULT_CUT_WRITE, /* power cut inside the n-th operation of the disk from now, back after ms */
    FAULT_CUT_AGAIN, /* as before, and again in the n-th operation of the recovery */
    FAULT_VERSION,   /* kill -9, and started again as version n of the agent (sim/watch.h) */
    /* clocks */
    FAULT_CLOCK_JUMP, /* the wall clock goes forth or back by ms */
    FAULT_NO_CLOCK,   /* the wall clock is at 1970 and says that it does not know, for ms */
    FAULT_DRIFT,      /* the monotonic clock runs ppm too fast, for ms */
    /* disks */
    FAULT_NO_SPACE,    /* ENOSPC for ms */
    FAULT_WRITE_FAILS, /* the n-th write fails once with EIO */
    FAULT_SYNC_FAILS,  /* the n-th sync fails once; its writes are in limbo */
    FAULT_DISK_DIES,   /* from the n-th write on all fail, until the machine is started again */
    FAULT_SLOW_SYNC,   /* a sync takes us, for ms */
    /* storage that lies: beyond what is promised */
    FAULT_ROLL_BACK,   /* after ms the disk becomes what it is now (flash or a backup restored) */
    FAULT_STALE_SPOOL, /* after ms a gateway's spool becomes what it is now, all else stays */
    FAULT_CLONE,       /* a second machine runs from a copy of this disk, for ms */
    FAULT_LYING_SYNC,  /* for ms syncs keep nothing, then the power goes, and they are honest again
                        */
    FAULT_LOST_WRITE,  /* the n-th write is reported well and reaches nothing; ms later a power cut
                        */
    FAULT_MISDIRECT,   /* the n-th write reaches other sectors of the disk; ms later a power cut */
    FAULT_ROT,         /* n bits of what is stored flip while the power is gone, for ms */
    /* peers that know the protocol */
    FAULT_HOSTILE_DEVICE, /* a valid identity sends n things that it should not */
    FAULT_HOSTILE_GATEWAY /* n records are forged between the gateway's journal and ingest */
};
enum { FAULT_KIND_COUNT = FAULT_HOSTILE_GATEWAY + 1, FAULT_ARGS_MAX = 3 };

/* What is done to: decides what a target in a plan may name. "dev-*" and "gw-*" name all of them.
 */
enum fault_target {
    FAULT_ON_LINK,    /* two machines: a device's, and the core or a gateway's */
    FAULT_ON_MACHINE, /* "core", a gateway's where they are apart, or a device's */
    FAULT_ON_PROCESS, /* "keeper", "control", "ingest", "gw-1", "dev-0000" */
    FAULT_ON_DEVICE,
    FAULT_ON_GATEWAY
};

/* What remains of a promise where the fault may happen. */
enum cover {
    COVER_HOLDS,    /* all of it */
    COVER_OTHERS,   /* all of it for every device that it was not done to; of those, nothing */
    COVER_DETECTED, /* of those it was done to it may be broken, never silently; all of it for
                       others */
    COVER_TOLD,     /* it may be broken where a gap shows it, or where a server role says that its
                       storage is damaged */
    COVER_NOTHING   /* the checker is not asked */
};
enum { COVER_COUNT = COVER_NOTHING + 1 };

struct fault_row {
    const char *name;
    enum fault_target target;
    const char *args[FAULT_ARGS_MAX]; /* their names, NULL beyond the last */
    enum cover covers[CHECKER_COUNT];
    const char *what;
    enum cover on_core[CHECKER_COUNT]; /* beyond what is promised: where it is done to the core */
};

const struct fault_row *fault_row(enum fault_kind kind);
bool fault_find(const char *name, enum fault_kind *out);

/* Beyond what is promised: kept for runs that ask for it. */
bool fault_is_beyond(enum fault_kind kind);

/* What one such event leaves of a promise, done to this target. */
enum cover fault_cover(enum fault_kind kind, const char *target, enum checker which);

#endif
