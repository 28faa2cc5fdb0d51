#include "base/invariant.h"

#include <stdlib.h>

/* The one global of the pure layers: counters that only a metric or a test reads, and who is told.
 */
static struct {
    struct invariant_breach last;
    uint64_t breaches;
    uint64_t evaluations[PROMISE_COUNT];
    uint64_t violations[PROMISE_COUNT];
    invariant_listener *listener;
    void *context;
    bool is_telling;
} counted;

static void tell(bool is_end)
{
    if (counted.listener != NULL && !counted.is_telling) {
        counted.is_telling = true;
        counted.listener(counted.context, &counted.last, is_end);
        counted.is_telling = false;
    }
}

void invariant_listen(invariant_listener *listener, void *context)
{
    counted.listener = listener;
    counted.context = context;
    counted.is_telling = false;
}

bool invariant_note(const char *file, int line, const char *text)
{
    counted.last = (struct invariant_breach){.file = file, .line = line, .text = text};
    counted.breaches++;
    tell(false);
    return false;
}

_Noreturn void invariant_stop(const char *file, int line, const char *text)
{
    counted.last = (struct invariant_breach){.file = file, .line = line, .text = text};
    counted.breaches++;
    tell(true);
    abort();
}

bool promise_holds(enum promise which, bool holds)
{
    counted.evaluations[which]++;
    if (!holds) {
        counted.violations[which]++;
        counted.last = (struct invariant_breach){.file = "", .text = promise_name(which)};
        tell(false);
    }
    return holds;
}

struct invariant_breach invariant_last(void)
{
    return counted.last;
}

uint64_t invariant_breaches(void)
{
    return counted.breaches;
}

uint64_t invariant_noted(void)
{
    uint64_t count = counted.breaches;
    for (int i = 0; i < PROMISE_COUNT; i++) {
        count += counted.violations[i];
    }
    return count;
}

uint64_t promise_evaluations(enum promise which)
{
    return counted.evaluations[which];
}

uint64_t promise_violations(enum promise which)
{
    return counted.violations[which];
}

const char *promise_name(enum promise which)
{
    switch (which) {
    case PROMISE_KNOWN_TRANSITION: return "KnownTransition";
    case PROMISE_ONE_IDENTITY: return "OneIdentity";
    case PROMISE_REVOKED_IS_OUT: return "RevokedIsOut";
    case PROMISE_ONCE_APPLIED: return "OnceApplied";
    case PROMISE_ACKED_IS_KEPT: return "AckedIsKept";
    case PROMISE_ONLY_AUTHENTIC: return "OnlyAuthentic";
    case PROMISE_AT_MOST_ONCE: return "AtMostOnce";
    case PROMISE_SAFE_WITHOUT_LEASE: return "SafeWithoutLease";
    case PROMISE_BOOTS_VERIFIED: return "BootsVerified";
    case PROMISE_NEVER_UNVERIFIED: return "NeverUnverified";
    case PROMISE_FLOOR_MONOTONE: return "FloorMonotone";
    case PROMISE_GATE_HOLDS: return "GateHolds";
    case PROMISE_APPEND_ONLY: return "AppendOnly";
    case PROMISE_SCOPED_RIGHT: return "ScopedRight";
    case PROMISE_BOUNDED_COST: return "BoundedCost";
    }
    UNREACHABLE();
}
