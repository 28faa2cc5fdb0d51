#include "base/id.h"
#include "codec/cbor.h"
#include "test/test.h"

#include <math.h>
#include <string.h>

enum { BYTES_MAX = 256 };

struct bytes {
    uint8_t at[BYTES_MAX];
    size_t len;
};

static struct bytes unhex(const char *text)
{
    struct bytes out = {.len = strlen(text) / 2};
    bool ok = out.len <= sizeof out.at && bytes_from_hex(slice_text(text), out.at, out.len);
    CHECK(ok);
    return out;
}

static struct slice of(const struct bytes *b)
{
    return slice_of(b->at, b->len);
}

/* Reads every item in turn, by the pull reads, and writes it again. */
static void copy_items(struct cbor_reader *r, struct writer *w)
{
    while (cbor_ok(r) && cbor_peek(r) != CBOR_NONE) {
        uint64_t value;
        switch (cbor_peek(r)) {
        case CBOR_UINT: cbor_write_u64(w, cbor_read_u64(r)); break;
        case CBOR_NINT: cbor_write_i64(w, cbor_read_i64(r)); break;
        case CBOR_BYTES: cbor_write_bytes(w, cbor_read_bytes(r)); break;
        case CBOR_TEXT: cbor_write_text(w, cbor_read_text(r)); break;
        case CBOR_ARRAY: cbor_write_array(w, cbor_enter_array(r)); break;
        case CBOR_MAP: cbor_write_map(w, cbor_enter_map(r).left); break;
        case CBOR_TAG: cbor_write_tag(w, cbor_read_tag(r)); break;
        case CBOR_BOOL: cbor_write_bool(w, cbor_read_bool(r)); break;
        case CBOR_NULL:
            cbor_read_null(r);
            cbor_write_null(w);
            break;
        case CBOR_FLOAT: cbor_write_double(w, cbor_read_double(r)); break;
        case CBOR_SIMPLE:
            value = cbor_read_simple(r);
            write_u8(w, (uint8_t)(value < 24 ? 0xe0 | value : 0xf8));
            if (value >= 24) {
                write_u8(w, (uint8_t)value);
            }
            break;
        case CBOR_UNDEFINED: write_slice(w, cbor_skip(r)); break;
        case CBOR_NONE: return;
        }
    }
}

/* RFC 8949 appendix A, what is definite in it and in the shortest form. */
static const char *const appendix_a[] = {
    "00",
    "01",
    "0a",
    "17",
    "1818",
    "1819",
    "1864",
    "1903e8",
    "1a000f4240",
    "1b000000e8d4a51000",
    "1bffffffffffffffff",
    "c249010000000000000000",
    "c349010000000000000000",
    "20",
    "29",
    "3863",
    "3903e7",
    "f90000",
    "f98000",
    "f93c00",
    "fb3ff199999999999a",
    "f93e00",
    "f97bff",
    "fa47c35000",
    "fa7f7fffff",
    "fb7e37e43c8800759c",
    "f90001",
    "f90400",
    "f9c400",
    "fbc010666666666666",
    "f97c00",
    "f97e00",
    "f9fc00",
    "f4",
    "f5",
    "f6",
    "f7",
    "f0",
    "f8ff",
    "c074323031332d30332d32315432303a30343a30305a",
    "c11a514b67b0",
    "c1fb41d452d9ec200000",
    "d74401020304",
    "d818456449455446",
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
    "40",
    "4401020304",
    "60",
    "6161",
    "6449455446",
    "62225c",
    "62c3bc",
    "63e6b0b4",
    "64f0908591",
    "80",
    "83010203",
    "8301820203820405",
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    "a0",
    "a201020304",
    "a26161016162820203",
    "826161a161626163",
    "a56161614161626142616361436164614461656145",
};

TEST("the definite items of RFC 8949 appendix A are read, and written again as they were")
{
    for (size_t i = 0; i < COUNT_OF(appendix_a); i++) {
        struct bytes in = unhex(appendix_a[i]);
        struct cbor_reader r = cbor_over(of(&in), CBOR_DETERMINISTIC);
        struct slice item = cbor_skip(&r);
        if (!cbor_done(&r) || !slice_equal(item, of(&in))) {
            test_failed(__FILE__, __LINE__, "%s: %s", appendix_a[i], r.fault.clause);
        }
        uint8_t out[BYTES_MAX];
        struct writer w = writer_over(out, sizeof out);
        struct cbor_reader copy = cbor_over(of(&in), CBOR_DETERMINISTIC);
        copy_items(&copy, &w);
        if (!slice_equal(writer_slice(&w), of(&in))) {
            test_failed(__FILE__, __LINE__, "%s is written otherwise", appendix_a[i]);
        }
    }
}

TEST("every prefix of an item of appendix A is refused as cut short")
{
    for (size_t i = 0; i < COUNT_OF(appendix_a); i++) {
        struct bytes in = unhex(appendix_a[i]);
        for (size_t len = 0; len < in.len; len++) {
            struct cbor_reader r = cbor_over(slice_of(in.at, len), CBOR_ANY);
            (void)cbor_skip(&r);
            CHECK(!cbor_done(&r));
            CHECK(r.fault.clause != NULL);
        }
    }
}

static const struct {
    const char *hex;
    double value;
} float_rows[] = {
    {"f90000", 0.0},
    {"f93c00", 1.0},
    {"fb3ff199999999999a", 1.1},
    {"f93e00", 1.5},
    {"f97bff", 65504.0},
    {"fa47c35000", 100000.0},
    {"fa7f7fffff", 3.4028234663852886e+38},
    {"fb7e37e43c8800759c", 1.0e+300},
    {"f90001", 5.960464477539063e-8},
    {"f90400", 0.00006103515625},
    {"f9c400", -4.0},
    {"fbc010666666666666", -4.1},
    {"f97c00", (double)INFINITY},
    {"f9fc00", -(double)INFINITY},
    {"fa00000001", 1.401298464324817e-45},
    {"fa007fffff", 1.1754942106924411e-38},
    {"f903ff", 6.097555160522461e-05},
    {"fa38800001", 6.103516352595761e-05},
    {"fb36a0000000000001", 1.4012984643248174e-45},
    {"fa477fe100", 65505.0},
    {"fb0000000000000001", 4.9406564584124654e-324},
    {"fb3ff0000000000001", 1.0000000000000002},
};

TEST("floats of 16, 32 and 64 bits are the numbers of appendix A, and go out as the shortest")
{
    for (size_t i = 0; i < COUNT_OF(float_rows); i++) {
        struct bytes in = unhex(float_rows[i].hex);
        struct cbor_reader r = cbor_over(of(&in), CBOR_DETERMINISTIC);
        double got = cbor_read_double(&r);
        if (!cbor_done(&r) || memcmp(&got, &float_rows[i].value, sizeof got) != 0) {
            test_failed(__FILE__, __LINE__, "%s is read as %a", float_rows[i].hex, got);
        }
        uint8_t out[CBOR_HEAD_MAX];
        struct writer w = writer_over(out, sizeof out);
        cbor_write_double(&w, float_rows[i].value);
        if (!slice_equal(writer_slice(&w), of(&in))) {
            test_failed(__FILE__, __LINE__, "%s is written otherwise", float_rows[i].hex);
        }
    }
    struct bytes nan = unhex("f97e00");
    struct cbor_reader r = cbor_over(of(&nan), CBOR_DETERMINISTIC);
    double got = cbor_read_double(&r);
    CHECK(cbor_done(&r) && isnan(got));
    struct bytes minus_zero = unhex("f98000");
    r = cbor_over(of(&minus_zero), CBOR_DETERMINISTIC);
    got = cbor_read_double(&r);
    CHECK(cbor_done(&r) && got == 0 && signbit(got));
}

TEST("every half-precision float survives the way through a double")
{
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        uint8_t in[3] = {0xf9, (uint8_t)(bits >> 8), (uint8_t)bits};
        struct cbor_reader r = cbor_over(slice_of(in, sizeof in), CBOR_ANY);
        double value = cbor_read_double(&r);
        if (isnan(value)) {
            continue;
        }
        uint8_t out[CBOR_HEAD_MAX];
        struct writer w = writer_over(out, sizeof out);
        cbor_write_double(&w, value);
        if (!slice_equal(writer_slice(&w), slice_of(in, sizeof in))) {
            test_failed(__FILE__, __LINE__, "%04x", (unsigned)bits);
        }
    }
}

TEST("integers at the edges of their types are read or refused, never wrapped")
{
    static const struct {
        const char *hex;
        bool fits;
        int64_t value;
    } rows[] = {
        {"1b7fffffffffffffff", true, INT64_MAX}, {"3b7fffffffffffffff", true, INT64_MIN},
        {"1b8000000000000000", false, 0},        {"3b8000000000000000", false, 0},
        {"3bffffffffffffffff", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes in = unhex(rows[i].hex);
        struct cbor_reader r = cbor_over(of(&in), CBOR_DETERMINISTIC);
        int64_t value = cbor_read_i64(&r);
        CHECK(cbor_done(&r) == rows[i].fits);
        CHECK(value == rows[i].value);
        r = cbor_over(of(&in), CBOR_DETERMINISTIC);
        CHECK(isfinite(cbor_read_number(&r)));
    }
    struct bytes limit = unhex("1901f5");
    struct cbor_reader r = cbor_over(of(&limit), CBOR_DETERMINISTIC);
    CHECK_U64(cbor_read_u64_most(&r, 500), 0);
    CHECK(!cbor_ok(&r));
}

static const struct {
    const char *hex;
    enum cbor_mode mode; /* the strictest that takes it, or CBOR_ANY where `never` */
    bool never;
} refused[] = {
    {"1800", CBOR_ANY, false}, /* 0 in two bytes */
    {"1817", CBOR_ANY, false},
    {"1900ff", CBOR_ANY, false},
    {"1a0000ffff", CBOR_ANY, false},
    {"1b00000000ffffffff", CBOR_ANY, false},
    {"3800", CBOR_ANY, false},
    {"5801ff", CBOR_ANY, false},
    {"7800", CBOR_ANY, false},
    {"980100", CBOR_ANY, false},
    {"b8010000", CBOR_ANY, false},
    {"d80100", CBOR_ANY, false},
    {"fa3f800000", CBOR_ANY, false}, /* 1.0 in 32 bits */
    {"fb3ff0000000000000", CBOR_ANY, false},
    {"fa7fc00000", CBOR_ANY, false}, /* NaN in 32 bits */
    {"f97e01", CBOR_ANY, false},     /* NaN with a payload */
    {"fb7ff0000000000000", CBOR_ANY, false},
    {"a202000100", CBOR_ANY, false}, /* keys out of order */
    {"a2200001"
     "00",
     CBOR_ANY, false},
    {"a201000100", CBOR_ANY, true},   /* a key twice */
    {"a20100180100", CBOR_ANY, true}, /* the same, spelt in two ways */
    {"a2616100616100", CBOR_ANY, true},
    {"81a201000100", CBOR_ANY, true},
    {"a1a20100010000", CBOR_ANY, true},
    {"1c", CBOR_ANY, true}, /* reserved */
    {"fc", CBOR_ANY, true},
    {"5f420102ff", CBOR_ANY, true}, /* indefinite */
    {"9f01ff", CBOR_ANY, true},
    {"bf0102ff", CBOR_ANY, true},
    {"ff", CBOR_ANY, true},
    {"f800", CBOR_ANY, true}, /* simple 0 in two bytes */
    {"f81f", CBOR_ANY, true},
    {"61ff", CBOR_ANY, true}, /* not UTF-8 */
    {"62c080", CBOR_ANY, true},
    {"63eda080", CBOR_ANY, true},
    {"9bffffffffffffffff", CBOR_ANY, true}, /* counts nothing can hold */
    {"bbffffffffffffffff", CBOR_ANY, true},
    {"bb8000000000000000", CBOR_ANY, true},
    {"5bffffffffffffffff", CBOR_ANY, true},
    {"818181818181818181818181818181818100", CBOR_ANY, true}, /* 17 deep */
    {"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c100", CBOR_ANY, true},
    {"0000", CBOR_ANY, true}, /* a second item */
    {"", CBOR_ANY, true},
};

TEST("what RFC 8949 does not allow is refused, and what only 4.2.1 forbids is refused as "
     "deterministic")
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct bytes in = unhex(refused[i].hex);
        struct cbor_reader strict = cbor_over(of(&in), CBOR_DETERMINISTIC);
        (void)cbor_skip(&strict);
        struct cbor_reader lax = cbor_over(of(&in), CBOR_ANY);
        (void)cbor_skip(&lax);
        if (cbor_done(&strict) || cbor_done(&lax) == refused[i].never) {
            test_failed(__FILE__, __LINE__, "row %zu: %s", i, refused[i].hex);
        }
        CHECK(strict.fault.clause != NULL);
    }
}

TEST("sixteen levels are not too deep")
{
    struct bytes in = unhex("8181818181818181818181818181818100");
    struct cbor_reader r = cbor_over(of(&in), CBOR_DETERMINISTIC);
    (void)cbor_skip(&r);
    CHECK(cbor_done(&r));
}

/* Sums the values of an integer map; what a decoder of ours looks like. */
static bool sum_map(const char *hex, enum cbor_mode mode, uint64_t *sum)
{
    struct bytes in = unhex(hex);
    struct cbor_reader r = cbor_over(of(&in), mode);
    struct cbor_map map = cbor_enter_map(&r);
    *sum = 0;
    while (cbor_next_key(&r, &map)) {
        (void)cbor_read_i64(&r);
        *sum += cbor_read_u64(&r);
    }
    return cbor_done(&r);
}

TEST("a map is walked key by key, and a key that comes twice stops it")
{
    uint64_t sum;
    CHECK(sum_map("a3010a0214201864", CBOR_DETERMINISTIC, &sum));
    CHECK_U64(sum, 130);
    CHECK(sum_map("a320186402140a01", CBOR_ANY, &sum));
    CHECK(!sum_map("a320186402140a01", CBOR_DETERMINISTIC, &sum));
    CHECK(!sum_map("a3010a02140201", CBOR_DETERMINISTIC, &sum));
    CHECK(!sum_map("a3010a02141802"
                   "01",
                   CBOR_ANY, &sum));
    CHECK(!sum_map("a2010a", CBOR_DETERMINISTIC, &sum));
    CHECK(!sum_map("a2010a0214"
                   "00",
                   CBOR_DETERMINISTIC, &sum));
    CHECK(sum_map("a0", CBOR_DETERMINISTIC, &sum));
}

TEST("a read of the wrong kind fails, says where, and every later read gives zero")
{
    struct bytes in = unhex("8401614102f5");
    struct cbor_reader r = cbor_over(of(&in), CBOR_DETERMINISTIC);
    CHECK_U64(cbor_enter_array(&r), 4);
    CHECK_U64(cbor_read_u64(&r), 1);
    CHECK_U64(cbor_read_u64(&r), 0);
    CHECK(!cbor_ok(&r));
    CHECK_U64(r.fault.at, 2);
    const char *clause = r.fault.clause;
    CHECK(cbor_read_text(&r).len == 0 && cbor_peek(&r) == CBOR_NONE && !cbor_read_bool(&r));
    CHECK(cbor_read_number(&r) == 0 && cbor_skip(&r).len == 0 && cbor_enter_array(&r) == 0);
    CHECK(r.fault.clause == clause);
}

TEST("text that is not UTF-8 is never written")
{
    uint8_t out[8];
    struct writer w = writer_over(out, sizeof out);
    cbor_write_text(&w, slice_text("\xff"));
    CHECK(!writer_ok(&w));
}
