#include "codec/cbor.h"

#include "base/utf8.h"

#include <string.h>

enum {
    MAJOR_UINT = 0,
    MAJOR_NINT = 1,
    MAJOR_BYTES = 2,
    MAJOR_TEXT = 3,
    MAJOR_ARRAY = 4,
    MAJOR_MAP = 5,
    MAJOR_TAG = 6,
    MAJOR_SIMPLE = 7
};
enum { INFO_1 = 24, INFO_2 = 25, INFO_4 = 26, INFO_8 = 27 };
enum {
    SIMPLE_FALSE = 20,
    SIMPLE_TRUE = 21,
    SIMPLE_NULL = 22,
    SIMPLE_UNDEFINED = 23,
    SIMPLE_LONG = 32
};

struct head {
    uint8_t major;
    uint8_t info;
    uint64_t value;
};

struct cbor_reader cbor_over(struct slice bytes, enum cbor_mode mode)
{
    return (struct cbor_reader){.in = reader_over(bytes), .size = bytes.len, .mode = mode};
}

void cbor_fail(struct cbor_reader *r, const char *clause)
{
    if (!r->in.failed) {
        r->fault = (struct fault){.clause = clause, .at = r->size - r->in.rest.len};
        reader_fail(&r->in);
    }
}

bool cbor_ok(const struct cbor_reader *r)
{
    return reader_ok(&r->in);
}

bool cbor_done(struct cbor_reader *r)
{
    if (cbor_ok(r) && r->in.rest.len > 0) {
        cbor_fail(r, "bytes follow the item");
    }
    return cbor_ok(r);
}

enum cbor_kind cbor_peek(const struct cbor_reader *r)
{
    static const enum cbor_kind kinds[] = {CBOR_UINT,  CBOR_NINT, CBOR_BYTES, CBOR_TEXT,
                                           CBOR_ARRAY, CBOR_MAP,  CBOR_TAG};
    int first = reader_peek(&r->in);
    if (first < 0) {
        return CBOR_NONE;
    }
    int major = first >> 5;
    int info = first & 31;
    if (major != MAJOR_SIMPLE) {
        return kinds[major];
    }
    switch (info) {
    case SIMPLE_FALSE:
    case SIMPLE_TRUE: return CBOR_BOOL;
    case SIMPLE_NULL: return CBOR_NULL;
    case SIMPLE_UNDEFINED: return CBOR_UNDEFINED;
    case INFO_2:
    case INFO_4:
    case INFO_8: return CBOR_FLOAT;
    default: return info <= INFO_1 ? CBOR_SIMPLE : CBOR_NONE;
    }
}

/* ---- heads ---- */

/* The bare bytes of a head; false where they are not there or reserved. */
static bool take_head(struct reader *in, struct head *out)
{
    uint8_t first = read_u8(in);
    struct head h = {.major = (uint8_t)(first >> 5), .info = (uint8_t)(first & 31)};
    switch (h.info) {
    case INFO_1: h.value = read_u8(in); break;
    case INFO_2: h.value = read_u16(in); break;
    case INFO_4: h.value = read_u32(in); break;
    case INFO_8: h.value = read_u64(in); break;
    default:
        h.value = h.info;
        if (h.info > INFO_8) {
            reader_fail(in);
        }
        break;
    }
    *out = h;
    return reader_ok(in);
}

static bool is_shortest(const struct head *h)
{
    switch (h->info) {
    case INFO_1: return h->value >= INFO_1;
    case INFO_2: return h->value > UINT8_MAX;
    case INFO_4: return h->value > UINT16_MAX;
    case INFO_8: return h->value > UINT32_MAX;
    default: return true;
    }
}

/* What is wrong with a head that can be read, given the bytes behind it; NULL where nothing is. */
static const char *head_fault(const struct head *h, size_t behind, enum cbor_mode mode)
{
    if (h->major == MAJOR_SIMPLE) {
        return h->info == INFO_1 && h->value < SIMPLE_LONG
                   ? "a simple value in two bytes that has one"
                   : NULL;
    }
    if (mode == CBOR_DETERMINISTIC && !is_shortest(h)) {
        return "a head that is not the shortest";
    }
    bool is_string = h->major == MAJOR_BYTES || h->major == MAJOR_TEXT;
    if ((is_string || h->major == MAJOR_ARRAY) && h->value > behind) {
        return "a length beyond the end";
    }
    if (h->major == MAJOR_MAP && h->value > behind / 2) {
        return "a length beyond the end";
    }
    return NULL;
}

static bool next_head(struct cbor_reader *r, struct head *out)
{
    struct reader in = r->in;
    struct head h = {0};
    if (!take_head(&in, &h)) {
        bool is_reserved = h.info > INFO_8 && r->in.rest.len > 0;
        cbor_fail(r, is_reserved ? "an indefinite length or a reserved head" : "cut short");
        return false;
    }
    const char *clause = head_fault(&h, in.rest.len, r->mode);
    if (clause != NULL) {
        cbor_fail(r, clause);
        return false;
    }
    r->in = in;
    *out = h;
    return true;
}

/* The head of an item that must be of this major type; zero after a failure. */
static uint64_t head_of(struct cbor_reader *r, uint8_t major, const char *clause)
{
    int first = reader_peek(&r->in);
    struct head h = {0};
    if (first >= 0 && first >> 5 != major) {
        cbor_fail(r, clause);
        return 0;
    }
    return next_head(r, &h) ? h.value : 0;
}

/* ---- floats ---- */

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* IEEE 754: the fields of the narrow formats, as those of the wide one. */
struct narrow {
    int fraction_bits;
    int bias;
    int exponent_max; /* the exponent field of infinity and NaN */
};
static const struct narrow half_format = {.fraction_bits = 10, .bias = 15, .exponent_max = 31};
static const struct narrow single_format = {.fraction_bits = 23, .bias = 127, .exponent_max = 255};
enum { DOUBLE_FRACTION = 52, DOUBLE_BIAS = 1023, DOUBLE_EXPONENT_MAX = 2047 };
#define DOUBLE_FRACTION_MASK ((UINT64_C(1) << DOUBLE_FRACTION) - 1)

static double widen(uint64_t bits, const struct narrow *f)
{
    uint64_t fraction = bits & ((UINT64_C(1) << f->fraction_bits) - 1);
    int exponent = (int)(bits >> f->fraction_bits) & f->exponent_max;
    uint64_t sign = bits >> f->fraction_bits > (uint64_t)f->exponent_max ? UINT64_C(1) << 63 : 0;
    uint64_t wide = fraction << (DOUBLE_FRACTION - f->fraction_bits);
    if (exponent == f->exponent_max) {
        return double_of_bits(sign | (uint64_t)DOUBLE_EXPONENT_MAX << DOUBLE_FRACTION | wide);
    }
    if (exponent > 0) {
        return double_of_bits(sign | (uint64_t)(exponent - f->bias + DOUBLE_BIAS) << DOUBLE_FRACTION
                              | wide);
    }
    /* Zero or subnormal: fraction x 2^(1 - bias - fraction_bits), which is a normal double. */
    uint64_t unit = (uint64_t)(DOUBLE_BIAS + 1 - f->bias - f->fraction_bits) << DOUBLE_FRACTION;
    double magnitude = (double)fraction * double_of_bits(unit);
    return double_of_bits(sign | bits_of_double(magnitude));
}

/* Gives the same number in the narrow format; false where there is none. Not for NaN. */
static bool narrow_to(uint64_t bits, const struct narrow *f, uint64_t *out)
{
    uint64_t sign = bits >> 63 << (f->fraction_bits + (f == &half_format ? 5 : 8));
    uint64_t fraction = bits & DOUBLE_FRACTION_MASK;
    int field = (int)(bits >> DOUBLE_FRACTION) & DOUBLE_EXPONENT_MAX;
    int drop = DOUBLE_FRACTION - f->fraction_bits;
    if (field == DOUBLE_EXPONENT_MAX) {
        *out = sign | (uint64_t)f->exponent_max << f->fraction_bits;
        return true;
    }
    if (field == 0) {
        *out = sign;
        return fraction == 0;
    }
    int exponent = field - DOUBLE_BIAS + f->bias;
    if (exponent >= f->exponent_max) {
        return false;
    }
    if (exponent > 0) {
        *out = sign | (uint64_t)exponent << f->fraction_bits | fraction >> drop;
        return (fraction & ((UINT64_C(1) << drop) - 1)) == 0;
    }
    drop += 1 - exponent; /* subnormal: the implicit one becomes explicit */
    if (drop > DOUBLE_FRACTION) {
        return false;
    }
    uint64_t significand = fraction | UINT64_C(1) << DOUBLE_FRACTION;
    *out = sign | significand >> drop;
    return (significand & ((UINT64_C(1) << drop) - 1)) == 0;
}

static bool is_nan_bits(uint64_t bits)
{
    return (bits & ~(UINT64_C(1) << 63)) > (uint64_t)DOUBLE_EXPONENT_MAX << DOUBLE_FRACTION;
}

void cbor_write_double(struct writer *w, double value)
{
    enum { MAJOR = MAJOR_SIMPLE << 5 };
    uint64_t bits = bits_of_double(value);
    uint64_t narrow;
    if (is_nan_bits(bits)) {
        write_u8(w, MAJOR | INFO_2);
        write_u16(w, 0x7e00);
    } else if (narrow_to(bits, &half_format, &narrow)) {
        write_u8(w, MAJOR | INFO_2);
        write_u16(w, (uint16_t)narrow);
    } else if (narrow_to(bits, &single_format, &narrow)) {
        write_u8(w, MAJOR | INFO_4);
        write_u32(w, (uint32_t)narrow);
    } else {
        write_u8(w, MAJOR | INFO_8);
        write_u64(w, bits);
    }
}

static double float_of(struct cbor_reader *r, const struct head *h)
{
    double value = h->info == INFO_2   ? widen(h->value, &half_format)
                   : h->info == INFO_4 ? widen(h->value, &single_format)
                                       : double_of_bits(h->value);
    if (r->mode == CBOR_DETERMINISTIC) {
        uint8_t shortest[CBOR_HEAD_MAX];
        struct writer w = writer_over(shortest, sizeof shortest);
        cbor_write_double(&w, value);
        bool is_nan = is_nan_bits(bits_of_double(value));
        if ((shortest[0] & 31) != h->info || (is_nan && h->value != 0x7e00)) {
            cbor_fail(r, "a float that is not the shortest");
            return 0;
        }
    }
    return value;
}

/* ---- reads ---- */

uint64_t cbor_read_u64(struct cbor_reader *r)
{
    return head_of(r, MAJOR_UINT, "not an unsigned integer");
}

uint64_t cbor_read_u64_most(struct cbor_reader *r, uint64_t most)
{
    uint64_t value = cbor_read_u64(r);
    if (value > most) {
        cbor_fail(r, "a number beyond its range");
        return 0;
    }
    return value;
}

int64_t cbor_read_i64(struct cbor_reader *r)
{
    bool is_negative = cbor_peek(r) == CBOR_NINT;
    uint64_t value = head_of(r, is_negative ? MAJOR_NINT : MAJOR_UINT, "not an integer");
    if (value > INT64_MAX) {
        cbor_fail(r, "a number beyond its range");
        return 0;
    }
    return is_negative ? -1 - (int64_t)value : (int64_t)value;
}

struct slice cbor_read_bytes(struct cbor_reader *r)
{
    uint64_t len = head_of(r, MAJOR_BYTES, "not a byte string");
    return read_bytes(&r->in, (size_t)len);
}

struct slice cbor_read_bytes_of(struct cbor_reader *r, size_t len)
{
    struct slice bytes = cbor_read_bytes(r);
    if (bytes.len != len) {
        cbor_fail(r, "a byte string of another length");
        return (struct slice){0};
    }
    return bytes;
}

struct slice cbor_read_text(struct cbor_reader *r)
{
    uint64_t len = head_of(r, MAJOR_TEXT, "not a text string");
    struct slice text = read_bytes(&r->in, (size_t)len);
    if (!utf8_is_valid(text)) {
        cbor_fail(r, "text that is not UTF-8");
        return (struct slice){0};
    }
    return text;
}

uint64_t cbor_enter_array(struct cbor_reader *r)
{
    return head_of(r, MAJOR_ARRAY, "not an array");
}

uint64_t cbor_read_tag(struct cbor_reader *r)
{
    return head_of(r, MAJOR_TAG, "not a tag");
}

static struct head simple_of(struct cbor_reader *r, enum cbor_kind kind, const char *clause)
{
    struct head h = {0};
    if (cbor_peek(r) != kind) {
        cbor_fail(r, r->in.rest.len == 0 ? "cut short" : clause);
        return h;
    }
    return next_head(r, &h) ? h : (struct head){0};
}

bool cbor_read_bool(struct cbor_reader *r)
{
    return simple_of(r, CBOR_BOOL, "not a boolean").value == SIMPLE_TRUE;
}

void cbor_read_null(struct cbor_reader *r)
{
    (void)simple_of(r, CBOR_NULL, "not null");
}

uint8_t cbor_read_simple(struct cbor_reader *r)
{
    return (uint8_t)simple_of(r, CBOR_SIMPLE, "not a simple value").value;
}

double cbor_read_double(struct cbor_reader *r)
{
    struct head h = simple_of(r, CBOR_FLOAT, "not a float");
    return cbor_ok(r) ? float_of(r, &h) : 0;
}

double cbor_read_number(struct cbor_reader *r)
{
    switch (cbor_peek(r)) {
    case CBOR_UINT: return (double)cbor_read_u64(r);
    case CBOR_NINT: return -1 - (double)head_of(r, MAJOR_NINT, "not a number");
    case CBOR_FLOAT: return cbor_read_double(r);
    case CBOR_NONE:
    case CBOR_BYTES:
    case CBOR_TEXT:
    case CBOR_ARRAY:
    case CBOR_MAP:
    case CBOR_TAG:
    case CBOR_BOOL:
    case CBOR_NULL:
    case CBOR_UNDEFINED:
    case CBOR_SIMPLE: break;
    }
    cbor_fail(r, r->in.rest.len == 0 ? "cut short" : "not a number");
    return 0;
}

/* ---- maps ---- */

/* The encoding of the next item, whose bytes were held against the rules before. */
static struct slice checked_item(struct reader *in)
{
    struct slice from = in->rest;
    for (uint64_t pending = 1; pending > 0 && reader_ok(in);) {
        struct head h = {0};
        pending--;
        if (!take_head(in, &h)) {
            break;
        }
        switch (h.major) {
        case MAJOR_BYTES:
        case MAJOR_TEXT: (void)read_bytes(in, (size_t)h.value); break;
        case MAJOR_ARRAY: pending += h.value; break;
        case MAJOR_MAP: pending += 2 * h.value; break;
        case MAJOR_TAG: pending++; break;
        default: break;
        }
    }
    return slice_of(from.at, from.len - in->rest.len);
}

/* The same value? Keys of CBOR_ANY may spell an integer or a length in several ways. */
static bool is_same_key(struct slice a, struct slice b)
{
    struct reader ra = reader_over(a);
    struct reader rb = reader_over(b);
    struct head ha = {0};
    struct head hb = {0};
    if (!take_head(&ra, &ha) || !take_head(&rb, &hb) || ha.major != hb.major) {
        return false;
    }
    if (ha.major == MAJOR_SIMPLE) {
        return slice_equal(a, b);
    }
    return ha.value == hb.value && slice_equal(ra.rest, rb.rest);
}

/* What is wrong with `key` after `seen` pairs from `from`, the last of which had the key `last`. */
static const char *key_fault(
    enum cbor_mode mode, struct slice key, struct slice last, struct reader from, uint64_t seen)
{
    if (seen == 0) {
        return NULL;
    }
    if (mode == CBOR_DETERMINISTIC) {
        int order = slice_compare(last, key);
        return order < 0 ? NULL : order == 0 ? "a map key twice" : "map keys out of order";
    }
    if (seen >= CBOR_LAX_KEYS_MAX) {
        return "more map keys than can be compared";
    }
    for (uint64_t i = 0; i < seen; i++) {
        if (is_same_key(checked_item(&from), key)) {
            return "a map key twice";
        }
        (void)checked_item(&from);
    }
    return NULL;
}

struct cbor_map cbor_enter_map(struct cbor_reader *r)
{
    uint64_t pairs = head_of(r, MAJOR_MAP, "not a map");
    return (struct cbor_map){.left = pairs, .from = r->in};
}

bool cbor_next_key(struct cbor_reader *r, struct cbor_map *map)
{
    if (!cbor_ok(r) || map->left == 0) {
        return false;
    }
    struct cbor_reader ahead = *r;
    struct slice key = cbor_skip(&ahead);
    if (!cbor_ok(&ahead)) {
        *r = ahead;
        return false;
    }
    const char *clause = key_fault(r->mode, key, map->key, map->from, map->seen);
    if (clause != NULL) {
        cbor_fail(r, clause);
        return false;
    }
    map->key = key;
    map->left--;
    map->seen++;
    return true;
}

/* ---- skipping, with every rule held ---- */

struct level {
    uint64_t left; /* items of this array, map or tag not yet complete */
    bool is_map;
    uint64_t seen;      /* keys complete */
    struct reader from; /* at the first key */
    struct slice key;
    struct slice item; /* begins at the item that is being read */
};

/* How many items belong to this head; the bytes of a string are taken. */
static uint64_t children(struct cbor_reader *r, const struct head *h)
{
    switch (h->major) {
    case MAJOR_BYTES: (void)read_bytes(&r->in, (size_t)h->value); return 0;
    case MAJOR_TEXT:
        if (!utf8_is_valid(read_bytes(&r->in, (size_t)h->value))) {
            cbor_fail(r, "text that is not UTF-8");
        }
        return 0;
    case MAJOR_ARRAY: return h->value;
    case MAJOR_MAP: return 2 * h->value;
    case MAJOR_TAG: return 1;
    default:
        if (h->major == MAJOR_SIMPLE && h->info >= INFO_2) {
            (void)float_of(r, h);
        }
        return 0;
    }
}

/* An item of this level is complete: was it a key, and a good one? */
static void level_advance(struct cbor_reader *r, struct level *at)
{
    bool was_key = at->is_map && at->left % 2 == 0;
    at->left--;
    if (was_key) {
        struct slice key = slice_of(at->item.at, at->item.len - r->in.rest.len);
        const char *clause = key_fault(r->mode, key, at->key, at->from, at->seen);
        if (clause != NULL) {
            cbor_fail(r, clause);
        }
        at->key = key;
        at->seen++;
    }
    at->item = r->in.rest;
}

struct slice cbor_skip(struct cbor_reader *r)
{
    struct level levels[CBOR_DEPTH_MAX];
    size_t depth = 0;
    struct slice from = r->in.rest;
    do {
        struct head h = {0};
        if (!next_head(r, &h)) {
            return (struct slice){0};
        }
        uint64_t count = children(r, &h);
        if (count > 0) {
            if (depth == CBOR_DEPTH_MAX) {
                cbor_fail(r, "nested too deep");
                return (struct slice){0};
            }
            levels[depth++] = (struct level){
                .left = count, .is_map = h.major == MAJOR_MAP, .from = r->in, .item = r->in.rest};
            continue;
        }
        while (depth > 0 && cbor_ok(r)) {
            level_advance(r, &levels[depth - 1]);
            if (levels[depth - 1].left > 0) {
                break;
            }
            depth--;
        }
    } while (depth > 0 && cbor_ok(r));
    return cbor_ok(r) ? slice_of(from.at, from.len - r->in.rest.len) : (struct slice){0};
}

/* ---- writing ---- */

static void write_head(struct writer *w, uint8_t major, uint64_t value)
{
    uint8_t top = (uint8_t)(major << 5);
    if (value < INFO_1) {
        write_u8(w, (uint8_t)(top | value));
    } else if (value <= UINT8_MAX) {
        write_u8(w, top | INFO_1);
        write_u8(w, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        write_u8(w, top | INFO_2);
        write_u16(w, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        write_u8(w, top | INFO_4);
        write_u32(w, (uint32_t)value);
    } else {
        write_u8(w, top | INFO_8);
        write_u64(w, value);
    }
}

void cbor_write_u64(struct writer *w, uint64_t value)
{
    write_head(w, MAJOR_UINT, value);
}

void cbor_write_i64(struct writer *w, int64_t value)
{
    if (value < 0) {
        write_head(w, MAJOR_NINT, (uint64_t)(-1 - value));
    } else {
        write_head(w, MAJOR_UINT, (uint64_t)value);
    }
}

void cbor_write_bytes_head(struct writer *w, uint64_t len)
{
    write_head(w, MAJOR_BYTES, len);
}

void cbor_write_bytes(struct writer *w, struct slice bytes)
{
    cbor_write_bytes_head(w, bytes.len);
    write_slice(w, bytes);
}

void cbor_write_text(struct writer *w, struct slice text)
{
    if (!utf8_is_valid(text)) {
        w->overflow = true;
        return;
    }
    write_head(w, MAJOR_TEXT, text.len);
    write_slice(w, text);
}

void cbor_write_array(struct writer *w, uint64_t count)
{
    write_head(w, MAJOR_ARRAY, count);
}

void cbor_write_map(struct writer *w, uint64_t pairs)
{
    write_head(w, MAJOR_MAP, pairs);
}

void cbor_write_tag(struct writer *w, uint64_t tag)
{
    write_head(w, MAJOR_TAG, tag);
}

void cbor_write_bool(struct writer *w, bool value)
{
    write_u8(w, (uint8_t)(MAJOR_SIMPLE << 5 | (value ? SIMPLE_TRUE : SIMPLE_FALSE)));
}

void cbor_write_null(struct writer *w)
{
    write_u8(w, MAJOR_SIMPLE << 5 | SIMPLE_NULL);
}
