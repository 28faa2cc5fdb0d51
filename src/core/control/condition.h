/*
 * The condition of a device, from facts: what the console colours and the query language calls
 * `state`. A device of which nothing was heard is unknown, never healthy and never failing.
 */
#ifndef CORE_CONTROL_CONDITION_H
#define CORE_CONTROL_CONDITION_H

#include "base/slice.h"
#include "base/time.h"
#include "base/writer.h"
#include "codec/identity_state.h"

enum condition {
    CONDITION_HEALTHY,
    CONDITION_DEGRADED,
    CONDITION_FAILING,
    CONDITION_UNKNOWN,
    CONDITION_QUARANTINED
};
enum { CONDITION_COUNT = CONDITION_QUARANTINED + 1 };

enum {
    CONDITION_SILENCE_LEAST_MS = 30 * 1000, /* nobody is silent before this */
    CONDITION_INTERVALS = 3,                /* usual intervals without a word */
    CONDITION_DEAD_LETTER_MS = 60 * 60 * 1000,
    CONDITION_LOST_MS = 60 * 60 * 1000,
    CONDITION_CLOCK_OFFSET_MS = 2000
};

struct condition_facts {
    int64_t now_ms;
    enum identity_state identity;
    int64_t seen_ms;        /* newest message; 0: never */
    int64_t interval_ms;    /* between its messages, usually; 0: not known yet */
    uint64_t missing;       /* numbers that did not come and may still */
    uint64_t lost;          /* numbers declared lost, ever */
    int64_t lost_ms;        /* when that number last rose; 0: never */
    uint64_t dead_letters;  /* ever */
    int64_t dead_letter_ms; /* the newest; 0: never */
    bool has_clock_offset;
    int64_t clock_offset_ms;
    enum time_quality clock_quality; /* of the clock it was compared with */
};

enum condition condition_of(const struct condition_facts *facts);

/* One sentence why; empty when healthy. */
void condition_write_why(struct writer *w, const struct condition_facts *facts);

/* The wall time at which the condition may change without any new fact; INT64_MAX: it will not. */
int64_t condition_due_ms(const struct condition_facts *facts);

const char *condition_name(enum condition condition); /* "healthy", ... */

#endif
