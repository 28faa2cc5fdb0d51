#include "core/control/condition.h"

#include "base/invariant.h"

/* What is wrong, in the order in which it is told: the first that holds decides. */
enum cause {
    CAUSE_NONE,
    CAUSE_QUARANTINED,
    CAUSE_OUT, /* revoked or decommissioned: nothing is expected of it */
    CAUSE_NEVER_HEARD,
    CAUSE_SILENT,
    CAUSE_MISSING,
    CAUSE_LOST,
    CAUSE_REFUSED,
    CAUSE_CLOCK
};

static int64_t silence_limit_ms(const struct condition_facts *f)
{
    int64_t usual = f->interval_ms > 0 && f->interval_ms < INT64_C(1) << 40 ? f->interval_ms : 0;
    int64_t limit = CONDITION_INTERVALS * usual;
    return limit > CONDITION_SILENCE_LEAST_MS ? limit : CONDITION_SILENCE_LEAST_MS;
}

static bool is_recent(int64_t at_ms, int64_t now_ms, int64_t window_ms)
{
    return at_ms > 0 && now_ms - at_ms < window_ms;
}

static bool clock_is_off(const struct condition_facts *f)
{
    bool off = f->clock_offset_ms > CONDITION_CLOCK_OFFSET_MS
               || f->clock_offset_ms < -CONDITION_CLOCK_OFFSET_MS;
    return f->has_clock_offset && f->clock_quality == TIME_SYNCED && off;
}

static enum cause cause_of(const struct condition_facts *f)
{
    if (f->identity == IDENTITY_QUARANTINED) {
        return CAUSE_QUARANTINED;
    }
    if (f->identity == IDENTITY_REVOKED || f->identity == IDENTITY_DECOMMISSIONED) {
        return CAUSE_OUT;
    }
    if (f->seen_ms == 0) {
        return CAUSE_NEVER_HEARD;
    }
    if (f->now_ms - f->seen_ms >= silence_limit_ms(f)) {
        return CAUSE_SILENT;
    }
    if (f->missing > 0) {
        return CAUSE_MISSING;
    }
    if (is_recent(f->lost_ms, f->now_ms, CONDITION_LOST_MS)) {
        return CAUSE_LOST;
    }
    if (is_recent(f->dead_letter_ms, f->now_ms, CONDITION_DEAD_LETTER_MS)) {
        return CAUSE_REFUSED;
    }
    return clock_is_off(f) ? CAUSE_CLOCK : CAUSE_NONE;
}

enum condition condition_of(const struct condition_facts *f)
{
    switch (cause_of(f)) {
    case CAUSE_NONE: return CONDITION_HEALTHY;
    case CAUSE_QUARANTINED: return CONDITION_QUARANTINED;
    case CAUSE_OUT:
    case CAUSE_NEVER_HEARD:
    case CAUSE_SILENT: return CONDITION_UNKNOWN;
    case CAUSE_MISSING:
    case CAUSE_LOST:
    case CAUSE_REFUSED:
    case CAUSE_CLOCK: return CONDITION_DEGRADED;
    }
    UNREACHABLE();
}

static void write_seconds(struct writer *w, int64_t ms)
{
    write_decimal(w, (uint64_t)(ms < 0 ? -ms : ms) / 1000);
    write_text(w, " s");
}

static void write_count(struct writer *w, uint64_t count, const char *one, const char *many)
{
    write_decimal(w, count);
    write_text(w, count == 1 ? one : many);
}

void condition_write_why(struct writer *w, const struct condition_facts *f)
{
    switch (cause_of(f)) {
    case CAUSE_NONE: return;
    case CAUSE_QUARANTINED: write_text(w, "Its identity is quarantined."); return;
    case CAUSE_OUT:
        write_text(w, "Its identity is ");
        write_text(w, identity_state_name(f->identity));
        write_text(w, ": nothing is expected of it.");
        return;
    case CAUSE_NEVER_HEARD: write_text(w, "Nothing was ever heard of it."); return;
    case CAUSE_SILENT:
        write_text(w, "Not heard for ");
        write_seconds(w, f->now_ms - f->seen_ms);
        write_text(w, "; its limit is ");
        write_seconds(w, silence_limit_ms(f));
        write_text(w, ".");
        return;
    case CAUSE_MISSING:
        write_count(w, f->missing, " message is missing", " messages are missing");
        write_text(w, " and may still come.");
        return;
    case CAUSE_LOST:
        write_count(w, f->lost, " message was", " messages were");
        write_text(w, " declared lost, some within the last hour.");
        return;
    case CAUSE_REFUSED: write_text(w, "A message of it was refused within the last hour."); return;
    case CAUSE_CLOCK:
        write_text(w, "Its clock is ");
        write_seconds(w, f->clock_offset_ms);
        write_text(w, f->clock_offset_ms < 0 ? " behind." : " ahead.");
        return;
    }
    UNREACHABLE();
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t condition_due_ms(const struct condition_facts *f)
{
    int64_t due = INT64_MAX;
    enum cause cause = cause_of(f);
    if (cause == CAUSE_QUARANTINED || cause == CAUSE_OUT || cause == CAUSE_NEVER_HEARD
        || cause == CAUSE_SILENT) {
        return due;
    }
    due = f->seen_ms + silence_limit_ms(f);
    if (cause == CAUSE_LOST) {
        due = sooner(due, f->lost_ms + CONDITION_LOST_MS);
    }
    if (cause == CAUSE_REFUSED) {
        due = sooner(due, f->dead_letter_ms + CONDITION_DEAD_LETTER_MS);
    }
    return due;
}

static const char *const names[CONDITION_COUNT] = {"healthy", "degraded", "failing", "unknown",
                                                   "quarantined"};

const char *condition_name(enum condition condition)
{
    return names[condition];
}
