/*
 * Power cuts, everywhere: runs a scenario once on a simulated disk, and after each operation on
 * that disk imagines the power gone. Each disk that may then be found is given to a recovery, which
 * says whether all that was promised is still true; then the power goes within the recovery, too,
 * after each of its operations.
 *
 * Cutting before an operation, inside it and after it are the choices made right after it: its
 * write lost, torn or kept. Up to SUBSETS_WHOLE unsynced writes all subsets are tried; with more:
 * none, all, prefixes, each write dropped alone, each kept alone, and `seeded` random ones. A disk
 * that was seen with the same promises is not tried twice.
 */
#ifndef IO_SIM_CUTS_H
#define IO_SIM_CUTS_H

#include "io/sim/sim.h"

#define CUTS_MACHINE "machine" /* the one whose disk is cut */

enum { CUTS_SUBSETS_WHOLE = 10 };

struct cuts {
    void *context;

    /* Does the work, with processes of its own started by sim_start on CUTS_MACHINE and closed
     * before it returns. */
    void (*scenario)(void *context, struct sim_world *world);

    /* Starts on what the cut left and checks it; false: a promise is broken. Called many times
     * while the scenario stands still: it may look at the context, and must leave it as it is. */
    bool (*recover)(void *context, struct sim_world *world);

    /* A number that changes whenever something is promised (acknowledged). NULL: nothing ever is.
     */
    uint64_t (*promised)(void *context);

    uint64_t seed;
    unsigned whole;     /* all subsets of so many writes; 0: CUTS_SUBSETS_WHOLE */
    unsigned seeded;    /* random subsets and tears per operation; 0: none */
    bool cuts_recovery; /* cut the recovery, too */

    /* Where recoveries are slow: of the states found, one in so many is recovered, chosen by the
     * seed, and those of each operation where nothing or all of what was not synced survives; 0 and
     * 1: all. The report says how many were left out. Of the recoveries, one in so many is cut. */
    unsigned one_in, one_in_of_recovery;
};

struct cuts_report {
    uint64_t operations; /* of the scenario */
    uint64_t cuts;       /* imagined, those of recoveries included */
    uint64_t states;     /* distinct disks (with their promises) that recovered */
    uint64_t left_out;   /* distinct disks that were not tried */
    uint64_t violations;
    uint64_t first_operation; /* of the first violation: how many the scenario had done, counted
                                 from 1 */
    bool first_in_recovery;
};

void cuts_run(const struct cuts *cuts, struct cuts_report *report);

#endif
