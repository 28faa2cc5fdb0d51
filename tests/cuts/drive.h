/* What is done to a durable thing. Each prints one line of figures; false: a promise was broken. */
#ifndef TESTS_CUTS_DRIVE_H
#define TESTS_CUTS_DRIVE_H

#include "durable.h"

enum { SEED = 20260101 };

enum effort {
    BRIEF, /* for canaries: what a mistake cannot hide from */
    SHORT,
    LONG
};

/* The power goes after every operation, and again in every recovery. */
bool drive_cuts(const struct durable *thing, enum effort effort);

/* The n-th call fails, once and from then on, n = 1, 2, ... until a run that none failed in. */
bool drive_failures(const struct durable *thing, enum effort effort);

/* One bit rots, anywhere: what is lost is told. Beyond what is promised, but never silent. */
bool drive_rot(const struct durable *thing, enum effort effort);

/* The device's counters on NOR flash. */
bool drive_nor(enum effort effort);

#endif
