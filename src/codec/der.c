#include "codec/der.h"

#include "base/time.h"

#include <assert.h>
#include <string.h>

enum { LONG_LENGTH_OCTETS_MAX = 3, HIGH_TAG = 0x1f };
static_assert(DER_VALUE_MAX == 1 << (8 * LONG_LENGTH_OCTETS_MAX),
              "three octets count up to the limit");

/* X.690 8.1.3 with 10.1: definite, and the shortest form there is. */
static size_t read_length(struct reader *r)
{
    uint8_t first = read_u8(r);
    if (first < 0x80) {
        return first;
    }
    unsigned octets = first & 0x7f;
    if (octets == 0 || octets > LONG_LENGTH_OCTETS_MAX) {
        reader_fail(r);
        return 0;
    }
    size_t len = 0;
    for (unsigned i = 0; i < octets; i++) {
        len = len << 8 | read_u8(r);
    }
    if (len < 0x80 || len >> (8 * (octets - 1)) == 0) {
        reader_fail(r);
        return 0;
    }
    return len;
}

struct der_item der_read_item(struct reader *r)
{
    struct slice from = r->rest;
    uint8_t tag = read_u8(r);
    if ((tag & HIGH_TAG) == HIGH_TAG) {
        reader_fail(r);
    }
    size_t len = read_length(r);
    size_t head_len = from.len - r->rest.len;
    struct slice value = read_bytes(r, len);
    if (!reader_ok(r)) {
        return (struct der_item){0};
    }
    return (struct der_item){
        .tag = tag,
        .value = value,
        .whole = slice_of(from.at, head_len + len),
    };
}

bool der_next_is(const struct reader *r, uint8_t tag)
{
    return reader_peek(r) == tag;
}

static struct der_item read_expected(struct reader *r, uint8_t tag)
{
    struct der_item item = der_read_item(r);
    if (item.tag != tag) {
        reader_fail(r);
        return (struct der_item){0};
    }
    return item;
}

struct slice der_read(struct reader *r, uint8_t tag)
{
    return read_expected(r, tag).value;
}

struct slice der_read_whole(struct reader *r, uint8_t tag)
{
    return read_expected(r, tag).whole;
}

struct reader der_enter(struct reader *r, uint8_t tag)
{
    struct reader inner = reader_over(der_read(r, tag));
    if (!reader_ok(r)) {
        reader_fail(&inner);
    }
    return inner;
}

void der_leave(struct reader *outer, const struct reader *inner)
{
    if (!reader_done(inner)) {
        reader_fail(outer);
    }
}

bool der_read_bool(struct reader *r)
{
    struct slice value = der_read(r, DER_BOOLEAN);
    if (value.len != 1 || (value.at[0] != 0x00 && value.at[0] != 0xff)) {
        reader_fail(r);
        return false;
    }
    return value.at[0] == 0xff;
}

/* The magnitude of an INTEGER that is not negative, in its shortest form: X.690 8.3.2. */
static struct slice read_unsigned(struct reader *r)
{
    struct slice value = der_read(r, DER_INTEGER);
    bool is_negative = value.len > 0 && (value.at[0] & 0x80) != 0;
    bool is_padded = value.len > 1 && value.at[0] == 0 && (value.at[1] & 0x80) == 0;
    if (value.len == 0 || is_negative || is_padded) {
        reader_fail(r);
        return (struct slice){0};
    }
    return value.at[0] == 0 ? slice_after(value, 1) : value;
}

uint32_t der_read_u32(struct reader *r)
{
    struct slice magnitude = read_unsigned(r);
    uint32_t number = 0;
    if (magnitude.len > sizeof number) {
        reader_fail(r);
        return 0;
    }
    for (size_t i = 0; i < magnitude.len; i++) {
        number = number << 8 | magnitude.at[i];
    }
    return number;
}

struct slice der_read_positive(struct reader *r)
{
    struct slice magnitude = read_unsigned(r);
    if (magnitude.len == 0) {
        reader_fail(r);
    }
    return magnitude;
}

struct slice der_read_bits(struct reader *r)
{
    struct slice value = der_read(r, DER_BIT_STRING);
    if (value.len == 0 || value.at[0] != 0) {
        reader_fail(r);
        return (struct slice){0};
    }
    return slice_after(value, 1);
}

uint16_t der_read_named_bits(struct reader *r)
{
    struct slice value = der_read(r, DER_BIT_STRING);
    if (value.len == 0 || value.len > 3 || value.at[0] > 7) {
        reader_fail(r);
        return 0;
    }
    uint8_t unused = value.at[0];
    if (value.len == 1) {
        if (unused != 0) {
            reader_fail(r);
        }
        return 0;
    }
    /* X.690 11.2.2: the last bit that is there is a one. */
    uint8_t last = value.at[value.len - 1];
    if ((last & (1u << unused)) == 0 || (last & ((1u << unused) - 1)) != 0) {
        reader_fail(r);
        return 0;
    }
    return (uint16_t)(value.at[1] << 8 | (value.len == 3 ? value.at[2] : 0));
}

static bool digits_pair(struct slice text, size_t index, uint8_t *out)
{
    uint8_t tens = text.at[index];
    uint8_t ones = text.at[index + 1];
    if (tens < '0' || tens > '9' || ones < '0' || ones > '9') {
        return false;
    }
    *out = (uint8_t)((tens - '0') * 10 + (ones - '0'));
    return true;
}

/* MMDDHHMMSSZ at the end of `text`. */
static bool read_month_to_second(struct slice text, struct civil *at)
{
    size_t base = text.len - 11;
    return digits_pair(text, base, &at->month) && digits_pair(text, base + 2, &at->day)
           && digits_pair(text, base + 4, &at->hour) && digits_pair(text, base + 6, &at->minute)
           && digits_pair(text, base + 8, &at->second) && text.at[text.len - 1] == 'Z';
}

static bool year_of(const struct der_item *item, int32_t *year)
{
    uint8_t high = 0;
    uint8_t low = 0;
    if (item->tag == DER_UTC_TIME) {
        if (item->value.len != 13 || !digits_pair(item->value, 0, &low)) {
            return false;
        }
        *year = low >= 50 ? 1900 + low : 2000 + low;
        return true;
    }
    if (item->tag != DER_GENERALIZED_TIME || item->value.len != 15
        || !digits_pair(item->value, 0, &high) || !digits_pair(item->value, 2, &low)) {
        return false;
    }
    *year = high * 100 + low;
    return *year >= 2050 || *year < 1950;
}

int64_t der_read_time_ms(struct reader *r)
{
    struct der_item item = der_read_item(r);
    struct civil at = {0};
    int64_t unix_ms = 0;
    if (!year_of(&item, &at.year) || !read_month_to_second(item.value, &at)
        || !civil_to_unix_ms(&at, &unix_ms)) {
        reader_fail(r);
        return 0;
    }
    return unix_ms;
}

bool der_is_oid(struct slice octets)
{
    bool is_start = true;
    bool is_good = octets.len > 0 && (octets.at[octets.len - 1] & 0x80) == 0;
    for (size_t i = 0; i < octets.len; i++) {
        is_good = is_good && !(is_start && octets.at[i] == 0x80);
        is_start = (octets.at[i] & 0x80) == 0;
    }
    return is_good;
}

struct slice der_read_oid(struct reader *r)
{
    struct slice value = der_read(r, DER_OID);
    if (!der_is_oid(value)) {
        reader_fail(r);
        return (struct slice){0};
    }
    return value;
}

size_t der_begin(struct writer *w, uint8_t tag)
{
    write_u8(w, tag);
    write_u8(w, 0);
    return w->len;
}

static unsigned length_octets(size_t len)
{
    unsigned octets = 0;
    for (; len > 0; len >>= 8) {
        octets++;
    }
    return octets;
}

void der_end(struct writer *w, size_t mark)
{
    if (w->overflow) {
        return;
    }
    size_t len = w->len - mark;
    if (len < 0x80) {
        w->at[mark - 1] = (uint8_t)len;
        return;
    }
    unsigned octets = length_octets(len);
    if (octets > LONG_LENGTH_OCTETS_MAX || write_reserve(w, octets) == NULL) {
        w->overflow = true;
        return;
    }
    memmove(w->at + mark + octets, w->at + mark, len);
    w->at[mark - 1] = (uint8_t)(0x80 | octets);
    for (unsigned i = 0; i < octets; i++) {
        w->at[mark + i] = (uint8_t)(len >> (8 * (octets - 1 - i)));
    }
}

void der_write(struct writer *w, uint8_t tag, struct slice value)
{
    size_t mark = der_begin(w, tag);
    write_slice(w, value);
    der_end(w, mark);
}

void der_write_bool(struct writer *w, bool value)
{
    der_write(w, DER_BOOLEAN, value ? slice_of("\xff", 1) : slice_of("\x00", 1));
}

void der_write_u32(struct writer *w, uint32_t value)
{
    uint8_t octets[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                         (uint8_t)value};
    der_write_positive(w, slice_of(octets, sizeof octets));
}

void der_write_positive(struct writer *w, struct slice magnitude)
{
    while (magnitude.len > 1 && magnitude.at[0] == 0) {
        magnitude = slice_after(magnitude, 1);
    }
    size_t mark = der_begin(w, DER_INTEGER);
    if (magnitude.len == 0 || (magnitude.at[0] & 0x80) != 0) {
        write_u8(w, 0);
    }
    write_slice(w, magnitude);
    der_end(w, mark);
}

void der_write_null(struct writer *w)
{
    der_write(w, DER_NULL, (struct slice){0});
}

void der_write_oid(struct writer *w, struct slice oid)
{
    der_write(w, DER_OID, oid);
}

void der_write_bits(struct writer *w, struct slice octets)
{
    size_t mark = der_begin(w, DER_BIT_STRING);
    write_u8(w, 0);
    write_slice(w, octets);
    der_end(w, mark);
}

void der_write_named_bits(struct writer *w, uint16_t bits)
{
    size_t mark = der_begin(w, DER_BIT_STRING);
    uint8_t unused = 0;
    while (bits != 0 && (bits >> unused & 1) == 0) {
        unused++;
    }
    write_u8(w, unused % 8);
    if (bits != 0) {
        write_u8(w, (uint8_t)(bits >> 8));
    }
    if ((bits & 0xff) != 0) {
        write_u8(w, (uint8_t)bits);
    }
    der_end(w, mark);
}

static void write_pair(struct writer *w, uint32_t number)
{
    write_u8(w, (uint8_t)('0' + number / 10 % 10));
    write_u8(w, (uint8_t)('0' + number % 10));
}

void der_write_time_ms(struct writer *w, int64_t unix_ms)
{
    struct civil at = civil_from_unix_ms(unix_ms);
    if (at.year < 0 || at.year > 9999) {
        w->overflow = true;
        return;
    }
    uint32_t year = (uint32_t)at.year;
    bool is_short = year >= 1950 && year < 2050;
    size_t mark = der_begin(w, is_short ? DER_UTC_TIME : DER_GENERALIZED_TIME);
    if (!is_short) {
        write_pair(w, year / 100);
    }
    write_pair(w, year % 100);
    write_pair(w, at.month);
    write_pair(w, at.day);
    write_pair(w, at.hour);
    write_pair(w, at.minute);
    write_pair(w, at.second);
    write_u8(w, 'Z');
    der_end(w, mark);
}

bool der_is_printable(struct slice text)
{
    static const char others[] = " '()+,-./:=?";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && memchr(others, c, sizeof others - 1) == NULL) {
            return false;
        }
    }
    return true;
}
