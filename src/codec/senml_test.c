#include "base/id.h"
#include "codec/senml.h"
#include "test/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NOW_MS = 1800000000, TEXT_MAX = 2048 };
static const int64_t now_ms = (int64_t)NOW_MS * 1000;

/* Every point as "name unit time value", joined by '|'; then the result where it is not SENML_OK.
 */
static const char *told(struct senml_reader *r)
{
    static char out[TEXT_MAX];
    struct senml_point p;
    size_t len = 0;
    out[0] = 0;
    while (senml_next(r, &p) && len < sizeof out - 256) {
        len += (size_t)snprintf(out + len, sizeof out - len, "%s%.*s %.*s %s%lld ",
                                len > 0 ? "|" : "", (int)p.name.len, (const char *)p.name.at,
                                (int)p.unit.len, (const char *)p.unit.at, p.has_time ? "" : "now ",
                                (long long)p.time_ms);
        switch (p.kind) {
        case SENML_NUMBER: len += (size_t)snprintf(out + len, 64, "%.17g", p.number); break;
        case SENML_TEXT:
            len += (size_t)snprintf(out + len, 128, "'%.*s'", (int)p.text.len,
                                    (const char *)p.text.at);
            break;
        case SENML_BOOL: len += (size_t)snprintf(out + len, 64, p.truth ? "true" : "false"); break;
        }
    }
    if (r->result != SENML_OK) {
        CHECK(r->fault.clause != NULL);
        (void)snprintf(out + len, sizeof out - len, "!%d", (int)r->result);
    }
    CHECK(!senml_next(r, &p));
    return out;
}

static void check_told(struct senml_reader *r, const char *want, size_t row)
{
    const char *got = told(r);
    if (strcmp(got, want) != 0) {
        test_failed(__FILE__, __LINE__, "row %zu\n    gives %s\n    not   %s", row, got, want);
    }
}

static const struct {
    const char *json, *told;
} json_rows[] = {
    /* RFC 8428 5.1.1 to 5.1.3 */
    {"[{\"n\":\"urn:dev:ow:10e2073a01080063\",\"u\":\"Cel\",\"v\":23.1}]",
     "urn:dev:ow:10e2073a01080063 Cel now 1800000000000 23.100000000000001"},
    {"[{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"voltage\",\"u\":\"V\",\"v\":120.1},"
     "{\"n\":\"current\",\"u\":\"A\",\"v\":1.2}]",
     "urn:dev:ow:10e2073a01080063:voltage V now 1800000000000 120.09999999999999|"
     "urn:dev:ow:10e2073a01080063:current A now 1800000000000 1.2"},
    {"[{\"bn\":\"urn:dev:ow:10e2073a0108006:\",\"bt\":1.276020076001e+09,\"bu\":\"A\",\"bver\":5,"
     "\"n\":\"voltage\",\"u\":\"V\",\"v\":120.1},"
     "{\"n\":\"current\",\"t\":-5,\"v\":1.2},{\"n\":\"current\",\"t\":-4,\"v\":1.3}]",
     "urn:dev:ow:10e2073a0108006:voltage V 1276020076001 120.09999999999999|"
     "urn:dev:ow:10e2073a0108006:current A 1276020071001 1.2|"
     "urn:dev:ow:10e2073a0108006:current A 1276020072001 1.3"},
    /* relative to now, both ways */
    {"[{\"n\":\"a\",\"t\":-10,\"v\":1},{\"n\":\"a\",\"t\":0.5,\"v\":2},{\"n\":\"a\",\"t\":"
     "268435456,\"v\":3}]",
     "a  1799999990000 1|a  1800000000500 2|a  268435456000 3"},
    {"[{\"bn\":\"x/\",\"bv\":100,\"n\":\"a\",\"v\":-0.5},{\"n\":\"b\",\"vs\":\"on \\\"it\\\"\"},"
     "{\"n\":\"c\",\"vb\":false}]",
     "x/a  now 1800000000000 99.5|x/b  now 1800000000000 'on \"it\"'|x/c  now 1800000000000 false"},
    {"[{\"n\":\"a\\u0062\",\"v\":1,\"note\":{\"x\":[1,2]},\"ut\":5}]", "ab  now 1800000000000 1"},
    {"[{\"bn\":\"a\",\"v\":1},{\"bn\":\"b\",\"v\":2},{\"v\":3}]",
     "a  now 1800000000000 1|b  now 1800000000000 2|b  now 1800000000000 3"},
    {"[]", "!1"},
    {"[{}]", "!1"},
    {"[{\"n\":\"a\"}]", "!1"},
    {"[{\"v\":1}]", "!1"},
    {"[{\"n\":\"a\",\"v\":1,\"vs\":\"x\"}]", "!1"},
    {"[{\"n\":\"a\",\"v\":1,\"n\":\"b\"}]", "!1"},
    {"[{\"n\":\"a b\",\"v\":1}]", "!1"},
    {"[{\"n\":\"-a\",\"v\":1}]", "!1"},
    {"[{\"n\":\"a\",\"v\":\"1\"}]", "!1"},
    {"[{\"n\":\"a\",\"v\":1}", "a  now 1800000000000 1!1"},
    {"[{\"n\":\"a\",\"v\":1}]x", "a  now 1800000000000 1!1"},
    {"[{\"n\":\"a\",\"v\":1},7]", "a  now 1800000000000 1!1"},
    {"[{\"n\":\"a\",\"t\":1e300,\"v\":1}]", "!1"},
    {"[{\"bv\":1.7e308,\"n\":\"a\",\"v\":1.7e308}]", "!1"},
    {"[{\"n\":\"a\",\"s\":1}]", "!2"},
    {"[{\"n\":\"a\",\"vd\":\"aGk\"}]", "!2"},
    {"[{\"bver\":11,\"n\":\"a\",\"v\":1}]", "!2"},
    {"[{\"n\":\"a\",\"v\":1,\"x_\":1}]", "!2"},
    {"{\"n\":\"a\",\"v\":1}", "!1"},
};

TEST("SenML in JSON gives the points that RFC 8428 says, or the result of its fault")
{
    for (size_t i = 0; i < COUNT_OF(json_rows); i++) {
        struct senml_reader r;
        senml_open_json(&r, slice_text(json_rows[i].json), now_ms);
        check_told(&r, json_rows[i].told, i);
    }
}

static const struct {
    const char *json, *told;
} flat_rows[] = {
    {"{\"time\":\"2020-03-09 10:14:33\",\"Current\":1.3302,\"Volume Flow RateRMS\":32.0}",
     "Current  1583748873000 1.3302|Volume_Flow_RateRMS  1583748873000 32"},
    {"{\"temp\":21.5,\"on\":true,\"mode\":\"auto\",\"gone\":null,\"time\":1583748873.25}",
     "temp  1583748873250 21.5|on  1583748873250 true|mode  1583748873250 'auto'"},
    {"{\"ts\":1583748873250,\"a\":1}", "a  1583748873250 1"},
    {"{\"a\":1}", "a  now 1800000000000 1"},
    {"{\"\\u00b0 C\":1}", "C  now 1800000000000 1"},
    {"{}", ""},
    {"{\"time\":\"yesterday\",\"a\":1}", "!1"},
    {"{\"time\":12.5,\"a\":1}", "!1"},
    {"{\"time\":1583748873,\"ts\":1583748873,\"a\":1}", "!1"},
    {"{\"time\":null,\"a\":1}", "!1"},
    {"{\"a\":1,\"a\":2}", "!1"},
    {"{\"a\":{\"b\":1}}", "!2"},
    {"{\"a\":[1]}", "!2"},
    {"{\"\\u00b0\":1}", "!1"},
    {"{\"a\":1}{", "!1"},
    {"7", "!1"},
    {"", "!1"},
};

TEST("a flat object gives a point for each member, all at its own time")
{
    for (size_t i = 0; i < COUNT_OF(flat_rows); i++) {
        struct senml_reader r;
        senml_open_flat(&r, slice_text(flat_rows[i].json), now_ms);
        check_told(&r, flat_rows[i].told, i);
    }
}

TEST("JSON is a pack where it is an array and flat where it is an object")
{
    struct senml_reader r;
    senml_open_any_json(&r, slice_text(" [{\"n\":\"a\",\"v\":1}]"), now_ms);
    check_told(&r, "a  now 1800000000000 1", 0);
    senml_open_any_json(&r, slice_text("\n{\"n\":1}"), now_ms);
    check_told(&r, "n  now 1800000000000 1", 1);
}

static const struct {
    const char *hex, *told;
} cbor_rows[] = {
    {"83a5006b74656d7065726174757265016343656c02f94d60216570756d702f221a69800e80a3006772756e6e696e6"
     "704f506f93400a30065737461746503666cc3a47566740601",
     "pump/temperature Cel 1770000000000 21.5|pump/running  1770000000250 true|pump/state  "
     "1770000001000 'l\xc3\xa4uft'"},
    {"81a200616102182a", "a  now 1800000000000 42"},
    {"81a2006161023863", "a  now 1800000000000 -100"},
    {"81a400616102186406292401", "a  1799999990000 101"}, /* t -10, bv 1 */
    {"81a400616102186424010629", "!1"},                   /* bv before t */
    {"80", "!1"},
    {"990101", "!1"},                                 /* 257 records, cut */
    {"81a200616102f97e00", "!1"},                     /* NaN */
    {"81a200616102f97c00", "!1"},                     /* infinity */
    {"81a2021864006161", "!1"},                       /* keys out of order */
    {"81a3006161021864186400", "!1"},                 /* label 100 */
    {"81a2006161026131", "!1"},                       /* a number that is text */
    {"81a20061610501", "!2"},                         /* a sum */
    {"81a30061610201200b", "!2"},                     /* bver 11 */
    {"81a2006161020100", "a  now 1800000000000 1!1"}, /* bytes behind the pack */
    {"82a20061610201", "a  now 1800000000000 1!1"},
    {"81a1006161", "!1"},
    {"81a20062c3280201", "!1"}, /* not UTF-8 */
    {"00", "!1"},
    {"", "!1"},
};

TEST("SenML in CBOR gives the points of the protocol's profile, or the result of its fault")
{
    for (size_t i = 0; i < COUNT_OF(cbor_rows); i++) {
        uint8_t bytes[256];
        size_t len = strlen(cbor_rows[i].hex) / 2;
        CHECK(bytes_from_hex(slice_text(cbor_rows[i].hex), bytes, len));
        struct senml_reader r;
        senml_open_cbor(&r, slice_of(bytes, len), now_ms);
        check_told(&r, cbor_rows[i].told, i);
    }
}

TEST("a pack of 257 records is too large in either form")
{
    static uint8_t bytes[8192];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct senml_reader r;
    struct senml_point p;
    struct senml_record record = {.name = slice_text("a"), .kind = SENML_NUMBER, .number = 1};
    senml_pack_write(&w, SENML_RECORDS_MAX + 1);
    for (int i = 0; i <= SENML_RECORDS_MAX; i++) {
        senml_record_write(&w, &record);
    }
    senml_open_cbor(&r, writer_slice(&w), now_ms);
    CHECK(!senml_next(&r, &p) && r.result == SENML_TOO_LARGE);
    writer_reset(&w);
    for (int i = 0; i <= SENML_RECORDS_MAX; i++) {
        write_text(&w, i == 0 ? "[" : ",");
        write_text(&w, "{\"n\":\"a\",\"v\":1}");
    }
    write_text(&w, "]");
    senml_open_json(&r, writer_slice(&w), now_ms);
    int count = 0;
    while (senml_next(&r, &p)) {
        count++;
    }
    CHECK(count == SENML_RECORDS_MAX && r.result == SENML_TOO_LARGE);
}

TEST("a name or unit beyond its limit is too large, with the base name counted in")
{
    char json[1024];
    char name[SENML_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    struct senml_reader r;
    (void)snprintf(json, sizeof json, "[{\"bn\":\"%.200s\",\"n\":\"%.56s\",\"v\":1}]", name, name);
    senml_open_json(&r, slice_text(json), now_ms);
    check_told(&r, "!3", 0);
    (void)snprintf(json, sizeof json, "[{\"n\":\"a\",\"u\":\"%.32s\",\"v\":1}]", name);
    senml_open_json(&r, slice_text(json), now_ms);
    check_told(&r, "!3", 1);
    (void)snprintf(json, sizeof json, "{\"%.256s\":1}", name);
    senml_open_flat(&r, slice_text(json), now_ms);
    check_told(&r, "!3", 2);
}

TEST("what the writer wrote is read back, to the millisecond and to the last bit")
{
    struct senml_record records[] = {
        {.base_name = slice_text("line/"),
         .base_unit = slice_text("Cel"),
         .has_base_time = true,
         .base_time_ms = 1583748873123,
         .name = slice_text("a"),
         .kind = SENML_NUMBER,
         .number = 79.3366},
        {.name = slice_text("b"),
         .unit = slice_text("V"),
         .has_time = true,
         .time_ms = 1,
         .kind = SENML_NUMBER,
         .number = -0.0},
        {.name = slice_text("c"),
         .has_time = true,
         .time_ms = -2000,
         .kind = SENML_TEXT,
         .text = slice_text("ok")},
        {.name = slice_text("d"), .kind = SENML_BOOL, .truth = true},
    };
    uint8_t bytes[256];
    struct writer w = writer_over(bytes, sizeof bytes);
    senml_pack_write(&w, COUNT_OF(records));
    for (size_t i = 0; i < COUNT_OF(records); i++) {
        senml_record_write(&w, &records[i]);
    }
    struct senml_reader r;
    senml_open_cbor(&r, writer_slice(&w), now_ms);
    check_told(&r,
               "line/a Cel 1583748873123 79.336600000000004|line/b V 1583748873124 -0|"
               "line/c Cel 1583748871123 'ok'|line/d Cel 1583748873123 true",
               0);
}

TEST("any text becomes a SenML name or nothing")
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"Volume Flow RateRMS", "Volume_Flow_RateRMS"},
        {"Temp (\xc2\xb0"
         "C)",
         "Temp_C"},
        {"  a  ", "a"},
        {"_a-", "a-"},
        {"a/b:c.d", "a/b:c.d"},
        {"", ""},
        {"\xc2\xb0", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t out[64];
        struct writer w = writer_over(out, sizeof out);
        senml_name_write(&w, slice_text(rows[i].text));
        CHECK(slice_is_text(writer_slice(&w), rows[i].name));
        CHECK(w.len == 0 || senml_name_is_valid(writer_slice(&w)));
    }
}

TEST("a time before 1978 is absolute to nobody who reads it")
{
    CHECK(!senml_time_is_absolute(0));
    CHECK(!senml_time_is_absolute(INT64_C(268435455999)));
    CHECK(senml_time_is_absolute(INT64_C(268435456000)));
    CHECK(senml_time_is_absolute(INT64_C(1795435200000)));
}
