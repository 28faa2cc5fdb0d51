/*
 * Delta debugging (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input): leaves
 * out what a failing plan does not need, until leaving out any one more event makes it pass; then
 * it tries a smaller fleet and shorter times.
 */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "sim/plan.h"

/* Does this plan still fail in the way that is looked for? */
typedef bool shrink_fails(void *context, const struct plan *plan);

struct shrink_report {
    uint32_t runs;
    size_t from, to; /* events */
};

enum { SHRINK_RUNS_MAX = 2000 };

/* `plan`, which fails, becomes a smaller one that does. Ends after SHRINK_RUNS_MAX runs at most. */
void shrink(struct plan *plan, shrink_fails *fails, void *context, struct shrink_report *report);

#endif
