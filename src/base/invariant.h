/*
 * What we promise ourselves, in every build. INVARIANT stops where going on could cost keys, data
 * or a device; HOLDS counts and is false where there is a safe branch; promise_* are the system's
 * numbered promises (docs/invariants.md), each counted by name so that "zero violations" can be
 * told from "never looked at".
 */
#ifndef BASE_INVARIANT_H
#define BASE_INVARIANT_H

#include <stdbool.h>
#include <stdint.h>

enum promise {
    PROMISE_KNOWN_TRANSITION,
    PROMISE_ONE_IDENTITY,
    PROMISE_REVOKED_IS_OUT,
    PROMISE_ONCE_APPLIED,
    PROMISE_ACKED_IS_KEPT,
    PROMISE_ONLY_AUTHENTIC,
    PROMISE_AT_MOST_ONCE,
    PROMISE_SAFE_WITHOUT_LEASE,
    PROMISE_BOOTS_VERIFIED,
    PROMISE_NEVER_UNVERIFIED,
    PROMISE_FLOOR_MONOTONE,
    PROMISE_GATE_HOLDS,
    PROMISE_APPEND_ONLY,
    PROMISE_SCOPED_RIGHT,
    PROMISE_BOUNDED_COST
};
enum { PROMISE_COUNT = PROMISE_BOUNDED_COST + 1 };

#define INVARIANT(cond) ((cond) ? (void)0 : invariant_stop(__FILE__, __LINE__, #cond))
#define HOLDS(cond)     ((cond) || invariant_note(__FILE__, __LINE__, #cond))
#define UNREACHABLE()   invariant_stop(__FILE__, __LINE__, "unreachable")

/* Remembers the breach (invariant_last) and ends the process. */
_Noreturn void invariant_stop(const char *file, int line, const char *text);

/* Remembers and counts the breach; always false. */
bool invariant_note(const char *file, int line, const char *text);

/* Counts an evaluation of the promise, and a violation where it does not hold; returns `holds`. */
bool promise_holds(enum promise which, bool holds);

struct invariant_breach {
    const char *file;
    int line;
    const char *text;
};

/*
 * Tells somebody of every breach: the recorder of what led to it. One listener a process, the
 * newest; NULL: none. `is_end`: the process ends when the listener returns, and may not trust its
 * heap. A violated promise has its name as `text` and an empty `file`. A listener is not told of
 * breaches of its own; one that does not return registers again.
 */
typedef void invariant_listener(void *context, const struct invariant_breach *breach, bool is_end);
void invariant_listen(invariant_listener *listener, void *context);

/* The newest breach; `text` is NULL where there was none. */
struct invariant_breach invariant_last(void);

/* Breaches noted since the process began: a metric in production. */
uint64_t invariant_breaches(void);
/* Breaches and violated promises together: zero after each test and simulation. */
uint64_t invariant_noted(void);
uint64_t promise_evaluations(enum promise which);
uint64_t promise_violations(enum promise which);

/* The name as docs, models and metrics spell it: "OnceApplied". */
const char *promise_name(enum promise which);

#endif
