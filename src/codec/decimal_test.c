#include "base/rng.h"
#include "codec/decimal.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bits_of(double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool writes(double value, const char *expected)
{
    char text[DECIMAL_WRITE_MAX];
    struct writer w = writer_over(text, sizeof text);
    decimal_write(&w, value);
    return slice_is_text(writer_slice(&w), expected);
}

TEST("a double is written with the fewest digits, in the forms of ECMAScript")
{
    CHECK(writes(0, "0"));
    CHECK(writes(-0.0, "-0"));
    CHECK(writes(0.1, "0.1"));
    CHECK(writes(0.1 + 0.2, "0.30000000000000004"));
    CHECK(writes(25, "25"));
    CHECK(writes(-1.5, "-1.5"));
    CHECK(writes(123456789012345680000.0, "123456789012345680000"));
    CHECK(writes(1e21, "1e+21"));
    CHECK(writes(1.5e300, "1.5e+300"));
    CHECK(writes(0.000001, "0.000001"));
    CHECK(writes(0.0000001, "1e-7"));
    CHECK(writes(5e-324, "5e-324"));
    CHECK(writes(1.7976931348623157e308, "1.7976931348623157e+308"));
    CHECK(writes(9007199254740993.0, "9007199254740992"));
    CHECK(writes(9007199254740991.0, "9007199254740991"));
}

TEST("reading rounds to nearest and ties to even, whatever the length of the text")
{
    static const struct {
        const char *text;
        double value;
    } rows[] = {
        {"9007199254740993", 9007199254740992.0},
        {"9007199254740993.0000000000000000000000000000000001", 9007199254740994.0},
        {"2.4703282292062327e-324", 0},
        {"2.4703282292062328e-324", 5e-324},
        {"1e-400", 0},
        {"0e99999999999", 0},
        {"1.797693134862315807e308", 1.7976931348623157e308},
        {"-1e22", -1e22},
        {"1e23", 1e23},
        {"0.1", 0.1},
        {"1000000000000000000000000000000000000e-36", 1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double got = -1;
        CHECK(decimal_read(slice_text(rows[i].text), &got) == DECIMAL_OK);
        CHECK(bits_of(got) == bits_of(rows[i].value));
    }
}

TEST("what rounds to infinity or is no number of JSON is refused")
{
    static const char *const malformed[] = {"",    "-",  "+1", "01",  "-01",  ".5",  "1.",  "1e",
                                            "1e+", "1 ", " 1", "0x1", "1.e1", "--1", "NaN", "1,5"};
    double untouched = 7;
    for (size_t i = 0; i < COUNT_OF(malformed); i++) {
        CHECK(decimal_read(slice_text(malformed[i]), &untouched) == DECIMAL_MALFORMED);
    }
    CHECK(decimal_read(slice_text("1e309"), &untouched) == DECIMAL_TOO_LARGE);
    CHECK(decimal_read(slice_text("1.797693134862315809e308"), &untouched) == DECIMAL_TOO_LARGE);
    CHECK(decimal_read(slice_text("-1e99999999999"), &untouched) == DECIMAL_TOO_LARGE);
    static uint8_t nines[DECIMAL_TEXT_MAX + 1];
    memset(nines, '9', sizeof nines);
    CHECK(decimal_read(slice_of(nines, sizeof nines), &untouched) == DECIMAL_TOO_LARGE);
    CHECK(untouched == 7);
}

/* The C library of the test's machine is the oracle here; test/system compares with Python's as
 * well. */
TEST("200,000 doubles of every size read back the same, and as the C library reads them")
{
    struct rng rng = rng_from_seed(4);
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = rng_u64(&rng);
        double value = double_of(bits);
        if (i % 2 == 0) {
            value = (double)(int64_t)rng_below(&rng, 2000000) / (double)(1 + rng_below(&rng, 1000));
        }
        if ((bits_of(value) >> 52 & 0x7FF) == 0x7FF) {
            continue;
        }
        char text[DECIMAL_WRITE_MAX + 1] = {0};
        struct writer w = writer_over(text, DECIMAL_WRITE_MAX);
        decimal_write(&w, value);
        double back = 0;
        REQUIRE(writer_ok(&w));
        REQUIRE(decimal_read(writer_slice(&w), &back) == DECIMAL_OK);
        REQUIRE(bits_of(back) == bits_of(value));
        REQUIRE(bits_of(strtod(text, NULL)) == bits_of(value));
    }
}
