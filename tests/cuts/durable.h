/*
 * A durable thing and its promise, in a form that power cuts, failing calls and damaged disks can
 * all be tried on. To add one: write a scenario that does the work of the product's own code on
 * CUTS_MACHINE and notes in its context what was promised (acknowledged, used, answered); write a
 * recovery that starts on whatever is left and holds it against the context; name it in main.c.
 */
#ifndef TESTS_CUTS_DURABLE_H
#define TESTS_CUTS_DURABLE_H

#include "io/sim/cuts.h"

enum verdict {
    KEPT,  /* all that was promised is there, and nothing that never was */
    TOLD,  /* something is lost, and the product says so: it stops, or refuses with a reason */
    BROKEN /* something is lost or wrong, and nobody says so */
};

struct durable {
    const char *name;
    size_t context_len; /* zeroed before each run */

    /* Once per run, before and after everything; NULL: nothing to do. */
    void (*begin)(void *context);
    void (*end)(void *context);

    /* Does the work until it is done or a call fails, with processes of its own that are gone when
     * it returns. A failure ends it as it ends the role. */
    void (*scenario)(void *context, struct sim_world *world);

    /* Called many times for one run of the scenario: it may look at the context, and must leave it
     * as it is. */
    enum verdict (*recover)(void *context, struct sim_world *world);

    /* A number that changes whenever something is promised. */
    uint64_t (*promised)(void *context);

    unsigned seeded; /* random subsets per operation in the short run; more in the long one */
    unsigned one_in,
        one_in_of_recovery; /* of the short run: io/sim/cuts.h. The long one does more */
    unsigned calls_step;    /* the short run fails every so many-th call; 0: each */
    bool sets_faults;       /* of its own: no others are set beside them */
    bool sees_rot;          /* one flipped bit of any of its files is survived, or told */
    bool recovery_is_whole; /* the recovery is too long to be cut again in the short run */
};

extern const struct durable durable_replace, durable_journal, durable_journal_long,
    durable_journal_doubt, durable_sequence, durable_outbox, durable_keys, durable_registry,
    durable_ingest;

#endif
