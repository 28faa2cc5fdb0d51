/*
 * What checkers found wrong: counted by checker, the first ones kept in words. A run is well where
 * there are none; and a checker that looked at nothing says so, too.
 */
#ifndef SIM_FINDINGS_H
#define SIM_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checker {
    CHECK_TELEMETRY, /* AckedIsKept, OnceApplied, OnlyAuthentic, on what was attempted and stored */
    CHECK_NUMBERS,   /* FloorMonotone: boots and sequence numbers are never used twice */
    CHECK_REGISTRY,  /* OneIdentity, KnownTransition: the tables are what was decided */
    CHECK_LIVENESS,  /* after healing all drains, in bounded time, and nothing retries for ever */
    CHECK_PROMISES   /* the counters of base/invariant.h, and how roles ended */
};
enum { CHECKER_COUNT = CHECK_PROMISES + 1, FINDINGS_KEPT = 12, FINDING_MAX = 240 };

const char *checker_name(enum checker which); /* "telemetry" ... */

struct findings {
    uint64_t looked[CHECKER_COUNT]; /* facts held against the promise */
    uint64_t count[CHECKER_COUNT];
    uint32_t kept;
    char text[FINDINGS_KEPT][FINDING_MAX]; /* "telemetry: lost ..." */
};

void findings_looked(struct findings *f, enum checker which, uint64_t facts);

/* `times`: how many facts are wrong in this way; 0 is nothing found. */
void findings_add(struct findings *f, enum checker which, uint64_t times, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
uint64_t findings_total(const struct findings *f);

#endif
