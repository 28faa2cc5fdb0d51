#include "sim/findings.h"

#include "base/invariant.h"

#include <stdarg.h>
#include <stdio.h>

const char *checker_name(enum checker which)
{
    switch (which) {
    case CHECK_TELEMETRY: return "telemetry";
    case CHECK_NUMBERS: return "numbers";
    case CHECK_REGISTRY: return "registry";
    case CHECK_LIVENESS: return "liveness";
    case CHECK_PROMISES: return "promises";
    }
    UNREACHABLE();
}

void findings_looked(struct findings *f, enum checker which, uint64_t facts)
{
    f->looked[which] += facts;
}

void findings_add(struct findings *f, enum checker which, uint64_t times, const char *format, ...)
{
    if (times == 0) {
        return;
    }
    f->count[which] += times;
    if (f->kept < FINDINGS_KEPT) {
        char *text = f->text[f->kept++];
        int len = snprintf(text, FINDING_MAX, "%s: ", checker_name(which));
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text + len, FINDING_MAX - (size_t)len, format, args);
        va_end(args);
    }
}

uint64_t findings_total(const struct findings *f)
{
    uint64_t total = 0;
    for (int i = 0; i < CHECKER_COUNT; i++) {
        total += f->count[i];
    }
    return total;
}
