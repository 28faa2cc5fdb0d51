/*
 * Civil time without a clock: wall times come in as milliseconds since 1970 and go out as text.
 * Nothing is ever decided by them; they are data with a quality.
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/slice.h"
#include "base/writer.h"

enum time_quality { TIME_UNKNOWN, TIME_HOLDOVER, TIME_SYNCED };
enum { TIME_QUALITY_COUNT = TIME_SYNCED + 1 };

struct civil {
    int32_t year;
    uint8_t month, day, hour, minute, second;
    uint16_t ms;
};

struct civil civil_from_unix_ms(int64_t unix_ms);

/* The proleptic Gregorian calendar, UTC. False where a field is out of range; leap second 60 is
 * refused. */
bool civil_to_unix_ms(const struct civil *at, int64_t *unix_ms);

/* RFC 3339 in UTC with milliseconds: 2026-11-23T14:03:41.322Z */
void time_write_rfc3339(struct writer *w, int64_t unix_ms);

/*
 * RFC 3339 with any offset, or the space-separated form that recorders write ("2020-03-09
 * 10:14:33", taken as UTC), with 0 to 9 fraction digits. `unix_ms` is written only on true.
 */
bool time_from_text(struct slice text, int64_t *unix_ms);

const char *time_quality_name(enum time_quality quality); /* "unknown", "holdover", "synced" */

#endif
