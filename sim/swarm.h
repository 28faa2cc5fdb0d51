/*
 * A world out of one number: how large, how busy, which kinds of faults are on (each on or off,
 * never all) and how often each strikes. The same number makes the same plan for ever, as long as
 * the table of faults is the same.
 */
#ifndef SIM_SWARM_H
#define SIM_SWARM_H

#include "sim/plan.h"

/* Where a run goes beyond what is promised, one such kind is on. *out is initialised; plan_free. */
void swarm_plan(uint64_t seed, bool beyond, struct plan *out);

#endif
