#include "codec/ts_value.h"

#include "base/invariant.h"
#include "codec/int_stream.h"

#include <string.h>

/*
 *   values  = mode (2 bits), then
 *   DECIMAL : exponent e (4 bits), exceptions x (6 bits), x times { index (9 bits), value (64 bits)
 * }, an int_stream m: value = m / 10^e TABLE   : entries n - 1 (6 bits), n values (64 bits each),
 * an int_stream of indexes XOR     : first value (64 bits), then per value the XOR with the one
 * before it: 0 for none; 10 and the bits of the window last given; 11, leading zeros (6 bits),
 *             length - 1 (6 bits) and the bits of that window
 * A decimal m / 10^e is one correctly rounded division of two exact numbers: every machine gets the
 * same double.
 */
enum mode { MODE_DECIMAL, MODE_TABLE, MODE_XOR };
enum {
    EXPONENT_MAX = 13,
    EXCEPTIONS_MAX = 32,
    TABLE_MAX = 48,
    XOR_WORTH_TRYING = 36, /* bits a value */
    SCRATCH_BYTES = 6144   /* more than any mode needs for 512 values */
};

static const double power_of_ten[EXPONENT_MAX + 1] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5,  1e6,
                                                      1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};

static uint64_t double_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Is `v` the double nearest to some m / 10^e with |m| < 2^51? Not for -0, NaN and infinities. */
static bool decimal_of(double v, unsigned e, int64_t *m)
{
    double scaled = v * power_of_ten[e];
    if (!(scaled > -2251799813685248.0 && scaled < 2251799813685248.0)) {
        return false;
    }
    int64_t rounded = (int64_t)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    if (double_bits((double)rounded / power_of_ten[e]) != double_bits(v)) {
        return false;
    }
    *m = rounded;
    return true;
}

struct decimals {
    unsigned exponent;
    size_t exceptions;
    uint16_t exception_at[EXCEPTIONS_MAX];
    int64_t m[TS_VALUE_MAX];
};

/* The least exponent that all values but a few have. False where there is none. */
static bool find_decimals(const double *values, size_t count, struct decimals *d)
{
    size_t odd = 0;
    d->exponent = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned e = d->exponent;
        while (e <= EXPONENT_MAX && !decimal_of(values[i], e, &d->m[i])) {
            e++;
        }
        if (e <= EXPONENT_MAX) {
            d->exponent = e;
        } else if (++odd > EXCEPTIONS_MAX || odd > 1 + count / 8) {
            return false;
        }
    }
    d->exceptions = 0;
    for (size_t i = 0; i < count; i++) {
        if (!decimal_of(values[i], d->exponent, &d->m[i])) {
            if (d->exceptions == EXCEPTIONS_MAX) {
                return false;
            }
            d->exception_at[d->exceptions++] = (uint16_t)i;
            d->m[i] = i > 0 ? d->m[i - 1] : 0;
        }
    }
    return true;
}

static void put_decimals(const double *values,
                         size_t count,
                         const struct decimals *d,
                         struct bits_out *b)
{
    bits_put_short(b, MODE_DECIMAL, 2);
    bits_put_short(b, d->exponent, 4);
    bits_put_short(b, d->exceptions, 6);
    for (size_t i = 0; i < d->exceptions; i++) {
        bits_put_short(b, d->exception_at[i], 9);
        bits_put(b, double_bits(values[d->exception_at[i]]), 64);
    }
    int_stream_encode(d->m, count, b);
}

struct value_table {
    size_t entries;
    uint64_t
        entry[TABLE_MAX]; /* in the order of the numbers, so that near values have near indexes */
    int64_t index[TS_VALUE_MAX];
};

/* The place of `bits` among the entries, by signed order of their patterns; true where it is there.
 */
static bool table_place(const struct value_table *t, uint64_t bits, size_t *place)
{
    size_t low = 0;
    size_t high = t->entries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((int64_t)t->entry[middle] < (int64_t)bits) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *place = low;
    return low < t->entries && t->entry[low] == bits;
}

static bool find_table(const double *values, size_t count, struct value_table *t)
{
    size_t place;
    t->entries = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = double_bits(values[i]);
        if (table_place(t, bits, &place)) {
            continue;
        }
        if (t->entries == TABLE_MAX || t->entries > 2 + count / 8) {
            return false;
        }
        memmove(&t->entry[place + 1], &t->entry[place], (t->entries - place) * sizeof t->entry[0]);
        t->entry[place] = bits;
        t->entries++;
    }
    for (size_t i = 0; i < count; i++) {
        (void)table_place(t, double_bits(values[i]), &place);
        t->index[i] = (int64_t)place;
    }
    return true;
}

static void put_table(size_t count, const struct value_table *t, struct bits_out *b)
{
    bits_put_short(b, MODE_TABLE, 2);
    bits_put_short(b, t->entries - 1, 6);
    for (size_t i = 0; i < t->entries; i++) {
        bits_put(b, t->entry[i], 64);
    }
    int_stream_encode(t->index, count, b);
}

static void put_xor(const double *values, size_t count, struct bits_out *b)
{
    bits_put_short(b, MODE_XOR, 2);
    bits_put(b, double_bits(values[0]), 64);
    unsigned lead = 0;
    unsigned len = 0;
    for (size_t i = 1; i < count; i++) {
        uint64_t x = double_bits(values[i]) ^ double_bits(values[i - 1]);
        if (x == 0) {
            bits_put_short(b, 0, 1);
            continue;
        }
        unsigned x_lead = (unsigned)__builtin_clzll(x);
        unsigned x_trail = (unsigned)__builtin_ctzll(x);
        unsigned x_len = 64 - x_lead - x_trail;
        if (len > 0 && x_lead >= lead && x_lead + x_len <= lead + len && len < x_len + 12) {
            bits_put_short(b, 2, 2);
        } else {
            lead = x_lead;
            len = x_len;
            bits_put_short(b, 3, 2);
            bits_put_short(b, lead, 6);
            bits_put_short(b, len - 1, 6);
        }
        bits_put(b, x >> (64 - lead - len), len);
    }
}

static size_t bits_written(const struct bits_out *b)
{
    return b->len * 8 + b->count;
}

static void copy_bits(const uint8_t *bytes, size_t count, struct bits_out *b)
{
    for (; count >= 8; count -= 8) {
        bits_put_short(b, *bytes++, 8);
    }
    if (count > 0) {
        bits_put_short(b, (uint64_t)*bytes >> (8 - count), (unsigned)count);
    }
}

void ts_value_encode(const double *values, size_t count, struct bits_out *b)
{
    INVARIANT(count > 0 && count <= TS_VALUE_MAX);
    uint8_t kept_bytes[SCRATCH_BYTES];
    struct bits_out kept = {.at = kept_bytes, .cap = sizeof kept_bytes};
    struct decimals d;
    bool is_decimal = find_decimals(values, count, &d);
    if (is_decimal) {
        put_decimals(values, count, &d, &kept);
    }
    if (!is_decimal || bits_written(&kept) > XOR_WORTH_TRYING * count) {
        struct bits_out trial = *b;
        put_xor(values, count, &trial);
        if (!is_decimal || bits_written(&trial) - bits_written(b) < bits_written(&kept)) {
            kept = (struct bits_out){.at = kept_bytes, .cap = sizeof kept_bytes};
            put_xor(values, count, &kept);
        }
    }
    size_t kept_bits = bits_written(&kept);
    struct value_table t;
    if (kept_bits > 64 && find_table(values, count, &t)) {
        struct bits_out trial = *b;
        put_table(count, &t, &trial);
        if (!trial.overflow && bits_written(&trial) - bits_written(b) < kept_bits) {
            *b = trial;
            return;
        }
    }
    INVARIANT(!kept.overflow);
    bits_end(&kept);
    copy_bits(kept_bytes, kept_bits, b);
}

static bool get_decimals(struct bits_in *b, double *values, size_t count)
{
    unsigned exponent = (unsigned)bits_get_short(b, 4);
    size_t exceptions = (size_t)bits_get_short(b, 6);
    uint16_t at[EXCEPTIONS_MAX];
    uint64_t exception[EXCEPTIONS_MAX];
    int64_t m[TS_VALUE_MAX];
    if (exponent > EXPONENT_MAX || exceptions > EXCEPTIONS_MAX) {
        return false;
    }
    for (size_t i = 0; i < exceptions; i++) {
        at[i] = (uint16_t)bits_get_short(b, 9);
        exception[i] = bits_get(b, 64);
        if (at[i] >= count || (i > 0 && at[i] <= at[i - 1])) {
            return false;
        }
    }
    if (!int_stream_decode(b, m, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = (double)m[i] / power_of_ten[exponent];
    }
    for (size_t i = 0; i < exceptions; i++) {
        values[at[i]] = double_of(exception[i]);
    }
    return true;
}

static bool get_table(struct bits_in *b, double *values, size_t count)
{
    size_t entries = (size_t)bits_get_short(b, 6) + 1;
    uint64_t entry[TABLE_MAX];
    int64_t index[TS_VALUE_MAX];
    if (entries > TABLE_MAX) {
        return false;
    }
    for (size_t i = 0; i < entries; i++) {
        entry[i] = bits_get(b, 64);
    }
    if (!int_stream_decode(b, index, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (index[i] < 0 || (uint64_t)index[i] >= entries) {
            return false;
        }
        values[i] = double_of(entry[index[i]]);
    }
    return true;
}

static bool get_xor(struct bits_in *b, double *values, size_t count)
{
    uint64_t now = bits_get(b, 64);
    unsigned lead = 0;
    unsigned len = 0;
    values[0] = double_of(now);
    for (size_t i = 1; i < count; i++) {
        if (bits_get_short(b, 1) != 0) {
            if (bits_get_short(b, 1) != 0) {
                lead = (unsigned)bits_get_short(b, 6);
                len = (unsigned)bits_get_short(b, 6) + 1;
            }
            if (len == 0 || lead + len > 64) {
                return false;
            }
            now ^= bits_get(b, len) << (64 - lead - len);
        }
        values[i] = double_of(now);
    }
    return true;
}

bool ts_value_decode(struct bits_in *b, double *values, size_t count)
{
    if (count == 0 || count > TS_VALUE_MAX) {
        return false;
    }
    switch (bits_get_short(b, 2)) {
    case MODE_DECIMAL: return get_decimals(b, values, count);
    case MODE_TABLE: return get_table(b, values, count);
    case MODE_XOR: return get_xor(b, values, count);
    }
    return false;
}
