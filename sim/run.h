/*
 * Runs a plan: builds the plant, lets the fleet stand up, strikes with every fault at its time
 * while promises are watched (safety), heals everything and waits until all has drained (liveness),
 * and looks at what is left (checkers). The same plan gives the same report, but for wall time.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/report.h"

/* In this process. `report` must be zero but for its name. */
void run_plan(const struct plan *plan, struct report *report);

struct run_how {
    bool is_loud;       /* the roles' words reach stderr; otherwise nobody hears them */
    uint32_t limit_s;   /* of wall time; 0: 600 */
    const char *traces; /* a folder for field traces of what breaks; NULL: none */
};

/* In a process of its own, so that a run that dies is a report, too. */
void run_apart(const struct plan *plan, const struct run_how *how, struct report *report);

#endif
