#include "base/time.h"

#include "base/invariant.h"

enum { MS_PER_DAY = 86400000 };

/* Days since 1970-01-01, and back, counted in eras of 400 years that begin in March. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, struct civil *out)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    out->day = (uint8_t)(day_of_year - (153 * shifted + 2) / 5 + 1);
    out->month = (uint8_t)(shifted < 10 ? shifted + 3 : shifted - 9);
    out->year = (int32_t)(year_of_era + era * 400 + (out->month <= 2));
}

struct civil civil_from_unix_ms(int64_t unix_ms)
{
    int64_t days = unix_ms / MS_PER_DAY;
    int64_t left = unix_ms % MS_PER_DAY;
    if (left < 0) {
        left += MS_PER_DAY;
        days--;
    }
    struct civil out = {0};
    date_from_days(days, &out);
    out.hour = (uint8_t)(left / 3600000);
    out.minute = (uint8_t)(left / 60000 % 60);
    out.second = (uint8_t)(left / 1000 % 60);
    out.ms = (uint16_t)(left % 1000);
    return out;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool civil_to_unix_ms(const struct civil *at, int64_t *unix_ms)
{
    static const uint8_t days_in[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (at->month < 1 || at->month > 12 || at->day < 1) {
        return false;
    }
    unsigned last = days_in[at->month] + (at->month == 2 && is_leap(at->year) ? 1u : 0u);
    if (at->day > last || at->hour > 23 || at->minute > 59 || at->second > 59 || at->ms > 999) {
        return false;
    }
    int64_t days = days_from_date(at->year, at->month, at->day);
    *unix_ms = days * MS_PER_DAY + at->hour * INT64_C(3600000) + at->minute * INT64_C(60000)
               + at->second * INT64_C(1000) + at->ms;
    return true;
}

static void write_padded(struct writer *w, uint32_t value, unsigned digits)
{
    uint8_t *to = write_reserve(w, digits);
    for (unsigned i = digits; to != NULL && i > 0; i--) {
        to[i - 1] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

void time_write_rfc3339(struct writer *w, int64_t unix_ms)
{
    struct civil at = civil_from_unix_ms(unix_ms);
    write_padded(w, (uint32_t)(at.year < 0 ? 0 : at.year), 4);
    write_u8(w, '-');
    write_padded(w, at.month, 2);
    write_u8(w, '-');
    write_padded(w, at.day, 2);
    write_u8(w, 'T');
    write_padded(w, at.hour, 2);
    write_u8(w, ':');
    write_padded(w, at.minute, 2);
    write_u8(w, ':');
    write_padded(w, at.second, 2);
    write_u8(w, '.');
    write_padded(w, at.ms, 3);
    write_u8(w, 'Z');
}

struct scan {
    struct slice rest;
    bool failed;
};

static uint32_t scan_digits(struct scan *s, size_t count)
{
    uint32_t value = 0;
    if (s->rest.len < count) {
        s->failed = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t digit = s->rest.at[i];
        if (digit < '0' || digit > '9') {
            s->failed = true;
            return 0;
        }
        value = value * 10 + (uint32_t)(digit - '0');
    }
    s->rest = slice_after(s->rest, count);
    return value;
}

static bool scan_one_of(struct scan *s, const char *accepted, uint8_t *got)
{
    for (; s->rest.len > 0 && *accepted != '\0'; accepted++) {
        if (s->rest.at[0] == (uint8_t)*accepted) {
            *got = s->rest.at[0];
            s->rest = slice_after(s->rest, 1);
            return true;
        }
    }
    return false;
}

static void scan_expect(struct scan *s, const char *accepted)
{
    uint8_t got = 0;
    if (!scan_one_of(s, accepted, &got)) {
        s->failed = true;
    }
}

static uint16_t scan_fraction_ms(struct scan *s)
{
    uint32_t ms = 0;
    unsigned count = 0;
    while (s->rest.len > 0 && s->rest.at[0] >= '0' && s->rest.at[0] <= '9' && count < 9) {
        if (count < 3) {
            ms = ms * 10 + (uint32_t)(s->rest.at[0] - '0');
        }
        s->rest = slice_after(s->rest, 1);
        count++;
    }
    s->failed = s->failed || count == 0;
    for (; count < 3; count++) {
        ms *= 10;
    }
    return (uint16_t)ms;
}

bool time_from_text(struct slice text, int64_t *unix_ms)
{
    struct scan s = {.rest = text};
    struct civil at = {0};
    uint8_t got = 0;
    at.year = (int32_t)scan_digits(&s, 4);
    scan_expect(&s, "-");
    at.month = (uint8_t)scan_digits(&s, 2);
    scan_expect(&s, "-");
    at.day = (uint8_t)scan_digits(&s, 2);
    scan_expect(&s, "Tt ");
    at.hour = (uint8_t)scan_digits(&s, 2);
    scan_expect(&s, ":");
    at.minute = (uint8_t)scan_digits(&s, 2);
    scan_expect(&s, ":");
    at.second = (uint8_t)scan_digits(&s, 2);
    if (scan_one_of(&s, ".", &got)) {
        at.ms = scan_fraction_ms(&s);
    }
    int64_t offset_min = 0;
    if (scan_one_of(&s, "+-", &got)) {
        offset_min = (int64_t)scan_digits(&s, 2) * 60;
        scan_expect(&s, ":");
        offset_min += scan_digits(&s, 2);
        offset_min = got == '-' ? -offset_min : offset_min;
    } else {
        (void)scan_one_of(&s, "Zz", &got);
    }
    int64_t value = 0;
    if (s.failed || s.rest.len > 0 || !civil_to_unix_ms(&at, &value)) {
        return false;
    }
    *unix_ms = value - offset_min * 60000;
    return true;
}

const char *time_quality_name(enum time_quality quality)
{
    switch (quality) {
    case TIME_UNKNOWN: return "unknown";
    case TIME_HOLDOVER: return "holdover";
    case TIME_SYNCED: return "synced";
    }
    UNREACHABLE();
}
