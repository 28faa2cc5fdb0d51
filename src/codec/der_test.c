#include "codec/der.h"
#include "test/test.h"

#include <string.h>

#define BYTES(text) slice_of(text, sizeof(text) - 1)

static bool is_item(struct slice der)
{
    struct reader r = reader_over(der);
    (void)der_read_item(&r);
    return reader_done(&r);
}

TEST("a length is accepted in its shortest definite form and in no other")
{
    static uint8_t long_value[4 + 200] = {DER_OCTET_STRING, 0x81, 200};
    CHECK(is_item(BYTES("\x04\x00")));
    CHECK(is_item(BYTES("\x04\x01\xaa")));
    CHECK(is_item(slice_of(long_value, 3 + 200)));
    CHECK(!is_item(BYTES("\x04\x81\x01\xaa")));         /* 1 needs no long form */
    CHECK(!is_item(BYTES("\x04\x82\x00\x80\x00")));     /* a leading zero */
    CHECK(!is_item(BYTES("\x30\x80\x00\x00")));         /* indefinite */
    CHECK(!is_item(BYTES("\x04\x84\x7f\xff\xff\xff"))); /* beyond every limit */
    CHECK(!is_item(BYTES("\x04\xff")));
    CHECK(!is_item(BYTES("\x04\x02\xaa")));     /* cut short */
    CHECK(!is_item(BYTES("\x1f\x85\x01\x00"))); /* a tag of two octets */
    CHECK(!is_item(BYTES("")));
}

TEST("an element without content is whole, also where the bytes end with it")
{
    struct slice bytes = BYTES("\x05\x00\x30\x00");
    struct reader r = reader_over(bytes);
    struct der_item first = der_read_item(&r);
    struct der_item last = der_read_item(&r);
    CHECK(reader_done(&r));
    CHECK(slice_equal(first.whole, slice_of(bytes.at, 2)) && first.value.len == 0);
    CHECK(slice_equal(last.whole, slice_of(bytes.at + 2, 2)) && last.value.len == 0);
}

TEST("an INTEGER is read in its shortest form and only where it is not negative")
{
    static const struct {
        struct slice der;
        bool good;
        uint32_t value;
    } rows[] = {
        {{(const uint8_t *)"\x02\x01\x00", 3}, true, 0},
        {{(const uint8_t *)"\x02\x01\x7f", 3}, true, 127},
        {{(const uint8_t *)"\x02\x02\x00\x80", 4}, true, 128},
        {{(const uint8_t *)"\x02\x05\x00\xff\xff\xff\xff", 7}, true, 4294967295u},
        {{(const uint8_t *)"\x02\x05\x01\x00\x00\x00\x00", 7}, false, 0},
        {{(const uint8_t *)"\x02\x02\x00\x7f", 4}, false, 0},
        {{(const uint8_t *)"\x02\x01\x80", 3}, false, 0},
        {{(const uint8_t *)"\x02\x00", 2}, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reader r = reader_over(rows[i].der);
        uint32_t value = der_read_u32(&r);
        CHECK(reader_done(&r) == rows[i].good);
        CHECK_U64(value, rows[i].value);
    }
    struct reader zero = reader_over(BYTES("\x02\x01\x00"));
    (void)der_read_positive(&zero);
    CHECK(!reader_ok(&zero));
}

TEST("BOOLEAN is 00 or FF")
{
    struct reader yes = reader_over(BYTES("\x01\x01\xff"));
    struct reader no = reader_over(BYTES("\x01\x01\x00"));
    struct reader odd = reader_over(BYTES("\x01\x01\x01"));
    CHECK(der_read_bool(&yes) && reader_done(&yes));
    CHECK(!der_read_bool(&no) && reader_done(&no));
    CHECK(!der_read_bool(&odd) && !reader_ok(&odd));
}

TEST("an OBJECT IDENTIFIER has no padded and no unfinished number")
{
    static const struct {
        struct slice der;
        bool good;
    } rows[] = {
        {{(const uint8_t *)"\x06\x03\x55\x1d\x11", 5}, true},
        {{(const uint8_t *)"\x06\x02\x2a\x86", 4}, false},
        {{(const uint8_t *)"\x06\x03\x2a\x80\x01", 5}, false},
        {{(const uint8_t *)"\x06\x00", 2}, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reader r = reader_over(rows[i].der);
        (void)der_read_oid(&r);
        CHECK(reader_done(&r) == rows[i].good);
    }
}

TEST("a named bit list has no zero at its end and comes back as it was written")
{
    static const uint16_t lists[] = {0, 0x8000, 0x0600, 0x8400, 0x0080, 0xff80, 0x0001};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        uint8_t bytes[8];
        struct writer w = writer_over(bytes, sizeof bytes);
        der_write_named_bits(&w, lists[i]);
        struct reader r = reader_over(writer_slice(&w));
        CHECK_U64(der_read_named_bits(&r), lists[i]);
        CHECK(reader_done(&r));
    }
    static const struct slice bad[] = {
        {(const uint8_t *)"\x03\x02\x00\x80", 4},     /* seven zeros at the end */
        {(const uint8_t *)"\x03\x02\x07\xc0", 4},     /* an unused bit set */
        {(const uint8_t *)"\x03\x01\x01", 3},         /* unused bits of nothing */
        {(const uint8_t *)"\x03\x03\x00\x80\x00", 5}, /* an octet of zeros at the end */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct reader r = reader_over(bad[i]);
        (void)der_read_named_bits(&r);
        CHECK(!reader_ok(&r));
    }
}

TEST("times follow RFC 5280: UTCTime up to 2049, GeneralizedTime from 2050, seconds, Z")
{
    static const struct {
        const char *der;
        int64_t unix_ms;
    } rows[] = {
        {"\x17\x0d"
         "700101000000Z",
         0},
        {"\x17\x0d"
         "380119031407Z",
         INT64_C(2147483647000)},
        {"\x17\x0d"
         "380119031408Z",
         INT64_C(2147483648000)},
        {"\x17\x0d"
         "491231235959Z",
         INT64_C(2524607999000)},
        {"\x18\x0f"
         "20500101000000Z",
         INT64_C(2524608000000)},
        {"\x18\x0f"
         "99991231235959Z",
         INT64_C(253402300799000)},
        {"\x17\x0d"
         "500101000000Z",
         -INT64_C(631152000000)}, /* 1950 */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice der = slice_text(rows[i].der);
        struct reader r = reader_over(der);
        CHECK(der_read_time_ms(&r) == rows[i].unix_ms);
        CHECK(reader_done(&r));
        uint8_t bytes[20];
        struct writer w = writer_over(bytes, sizeof bytes);
        der_write_time_ms(&w, rows[i].unix_ms);
        CHECK(slice_equal(writer_slice(&w), der));
    }
    static const char *const bad[] = {
        "\x18\x0f"
        "20491231235959Z", /* too early for this form */
        "\x17\x0b"
        "7001010000Z", /* no seconds */
        "\x17\x11"
        "700101000000+0000", /* an offset */
        "\x18\x11"
        "20500101000000.0Z", /* a fraction */
        "\x17\x0d"
        "700230000000Z", /* no such day */
        "\x17\x0d"
        "700101000060Z",
        "\x17\x0d"
        "7001010000 0Z",
        "\x04\x0d"
        "700101000000Z",
        "\x17\x0d"
        "700101000000z",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct reader r = reader_over(slice_text(bad[i]));
        (void)der_read_time_ms(&r);
        CHECK(!reader_ok(&r));
    }
}

TEST("nested elements get their lengths whatever they grow to")
{
    static uint8_t bytes[70000];
    static uint8_t filling[66000];
    static const size_t lens[] = {0, 1, 126, 127, 128, 255, 256, 65530, 66000};
    for (size_t i = 0; i < COUNT_OF(lens); i++) {
        struct writer w = writer_over(bytes, sizeof bytes);
        size_t outer = der_begin(&w, DER_SEQUENCE);
        der_write_u32(&w, 5);
        der_write(&w, DER_OCTET_STRING, slice_of(filling, lens[i]));
        der_end(&w, outer);
        struct reader r = reader_over(writer_slice(&w));
        struct reader seq = der_enter(&r, DER_SEQUENCE);
        CHECK_U64(der_read_u32(&seq), 5);
        CHECK_U64(der_read(&seq, DER_OCTET_STRING).len, lens[i]);
        der_leave(&r, &seq);
        CHECK(reader_done(&r));
    }
}

TEST("an element that does not fit leaves the writer overflowed, at every size")
{
    uint8_t bytes[300];
    uint8_t filling[200] = {0};
    for (size_t cap = 0; cap < 206; cap++) {
        struct writer w = writer_over(bytes, cap);
        size_t outer = der_begin(&w, DER_SEQUENCE);
        der_write(&w, DER_OCTET_STRING, slice_of(filling, sizeof filling));
        der_end(&w, outer);
        CHECK(writer_ok(&w) == (cap >= 206));
    }
    struct writer w = writer_over(bytes, 206);
    size_t outer = der_begin(&w, DER_SEQUENCE);
    der_write(&w, DER_OCTET_STRING, slice_of(filling, sizeof filling));
    der_end(&w, outer);
    CHECK(writer_ok(&w));
}

TEST("an element that was not read to its end fails the reader around it")
{
    struct reader r = reader_over(BYTES("\x30\x06\x02\x01\x05\x02\x01\x06"));
    struct reader seq = der_enter(&r, DER_SEQUENCE);
    CHECK_U64(der_read_u32(&seq), 5);
    der_leave(&r, &seq);
    CHECK(!reader_ok(&r));
}
