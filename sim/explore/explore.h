/*
 * The explorer: every state that a small world of real cores can be in, breadth first. A world is a
 * struct with the cores in it, the events that can happen to it, what must hold after each, and two
 * views of it: `pack`, everything that its future depends on, in bytes (two states with the same
 * bytes are one), and `image`, the same in the variables of its specification in spec/.
 *
 * Nothing is sampled: the search ends when no event leads anywhere new, at a breach, or at
 * EXPLORE_STATES_MAX. The first breach found is at the least number of events from the beginning;
 * it is printed as a trace and can be written to a file that replays it.
 *
 * Coverage: which event happened in which row of the world's states. A pair that never happened
 * must be among the world's `unreached`, with its reason, and one that is listed must not have
 * happened: otherwise the run fails, so that a world cannot quietly look at less than it says.
 *
 * docs/verification.md has how to add a world.
 */
#ifndef SIM_EXPLORE_EXPLORE_H
#define SIM_EXPLORE_EXPLORE_H

#include "base/slice.h"
#include "base/writer.h"

#include <stdio.h>

enum {
    EXPLORE_STATES_MAX = 5000000, /* of one world */
    EXPLORE_STEPS_MAX = 200000000,
    EXPLORE_OFFERS_MAX = 64, /* events that can happen in one state */
    EXPLORE_PACKED_MAX = 1024,
    EXPLORE_IMAGE_MAX = 256,
    EXPLORE_TEXT_MAX = 1024,
    EXPLORE_ROWS_MAX = 16,
    EXPLORE_KINDS_MAX = 24,
    EXPLORE_BOUNDS_MAX = 8,
    EXPLORE_TRACE_MAX = 1024, /* events of a trace */
    EXPLORE_RECHECKS_MAX = 4096
};

struct explore_event {
    uint8_t kind;    /* an index of the world's kinds */
    uint8_t a, b, c; /* what the kind makes of them */
};

/* The first thing that did not hold; NULL while all does. */
struct explore_breach {
    const char *what;
};

/* Notes `what` where `holds` is false and nothing was noted before. */
void explore_expect(struct explore_breach *breach, bool holds, const char *what);

struct explore_config {
    const char *name;    /* a configuration of the specification: spec/SPEC-NAME.cfg */
    bool is_long;        /* only in the long run */
    bool is_unspecified; /* no configuration of the specification goes with it */
    uint32_t bounds[EXPLORE_BOUNDS_MAX];
};

/* Every kind of `kinds` in every row of `rows`: bits, EXPLORE_BIT(row) | ... */
struct explore_unreached {
    uint32_t rows, kinds;
    const char *why;
};
#define EXPLORE_BIT(i) (UINT32_C(1) << (i))

struct explore_world {
    const char *name, *spec;
    const char *const *rows; /* classes of states */
    uint32_t rows_count;
    const char *const *kinds; /* of events */
    uint32_t kinds_count;
    const struct explore_unreached *unreached;
    uint32_t unreached_count;
    const struct explore_config *configs;
    uint32_t configs_count;
    size_t size; /* of the struct; it may be copied at any time */

    void (*begin)(void *world, const struct explore_config *config);
    uint32_t (*offer)(const void *world, struct explore_event list[EXPLORE_OFFERS_MAX]);
    void (*step)(void *world, const struct explore_event *event, struct explore_breach *breach);
    uint32_t (*row)(const void *world);
    void (*pack)(const void *world, struct writer *w);
    void (*image)(const void *world, struct writer *w);
    void (*tell)(const void *world, struct writer *w); /* in words, one line */
    void (*tell_event)(const struct explore_event *event, struct writer *w);

    /* For tests/spin: where nothing but the world's own steps happens any more, it settles for
     * ever. `restless`: the kinds that are not its own (faults, and what comes from outside), bits.
     * `fair`: the kinds of which one happens, now and then, where they can. */
    uint32_t restless, fair;
    bool (*is_settled)(const void *world); /* NULL: nothing is said of that */
};

struct explore_counts {
    uint64_t states, steps; /* steps: events tried, all states together */
    uint32_t depth;         /* of the state farthest from the beginning, in events */
    uint64_t digest;        /* of the set of states, whatever their order */
    uint64_t images;        /* states of the specification, and how they are connected */
    uint64_t image_steps;   /* pairs of different images, one step apart */
    uint32_t image_depth;
    uint64_t rechecks; /* states seen again whose every next state was compared */
};

enum explore_result {
    EXPLORE_COMPLETE = 0,
    EXPLORE_BREACH,  /* the trace says where */
    EXPLORE_TOO_BIG, /* EXPLORE_STATES_MAX or EXPLORE_STEPS_MAX */
    EXPLORE_UNSOUND  /* two states with the same bytes have different futures: pack forgot something
                      */
};

struct explore_trace {
    uint32_t count;
    struct explore_event events[EXPLORE_TRACE_MAX];
    char what[256]; /* the breach */
};

struct explore_report {
    struct explore_counts counts;
    uint64_t matrix[EXPLORE_ROWS_MAX][EXPLORE_KINDS_MAX];
    struct explore_trace trace; /* EXPLORE_BREACH, EXPLORE_UNSOUND */
};

/* `blind`: a kind of event that is kept from happening, to show that the coverage notices; or
 * EXPLORE_KINDS_MAX. */
MUST_USE enum explore_result explore_run(const struct explore_world *world,
                                         const struct explore_config *config,
                                         uint32_t blind,
                                         struct explore_report *out);

/* ---- report.c ---- */

typedef uint64_t explore_matrix[EXPLORE_ROWS_MAX][EXPLORE_KINDS_MAX];

/* The matrix in words (where `is_told`); how many pairs are not as the world says. */
uint32_t explore_print_coverage(const struct explore_world *world,
                                explore_matrix matrix,
                                bool is_told,
                                FILE *out);

/* Every state along the trace. Stops at the breach; false where there was none. */
bool explore_print_trace(const struct explore_world *world,
                         const struct explore_config *config,
                         const struct explore_trace *trace,
                         FILE *out);

void explore_trace_write(const struct explore_world *world,
                         const struct explore_config *config,
                         const struct explore_trace *trace,
                         FILE *out);

/* One step, where a broken INVARIANT of the cores is a breach and not the end of the process. */
void explore_step(const struct explore_world *world,
                  void *state,
                  const struct explore_event *event,
                  struct explore_breach *breach);

extern const struct explore_world explore_admit, explore_received, explore_spool, explore_enrol,
    explore_sequence, explore_broker;

#endif
