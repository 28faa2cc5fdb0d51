#include "codec/json.h"
#include "test/test.h"

#include <math.h>
#include <string.h>

static enum json_result check(const char *text)
{
    static struct json_string scratch[64];
    return json_check(slice_text(text), scratch, COUNT_OF(scratch));
}

TEST("what RFC 8259 does not have is refused")
{
    static const struct {
        const char *text;
        enum json_result result;
    } rows[] = {
        {"", JSON_MALFORMED},
        {" ", JSON_MALFORMED},
        {"[1,]", JSON_MALFORMED},
        {"[,1]", JSON_MALFORMED},
        {"{\"a\":1,}", JSON_MALFORMED},
        {"{a:1}", JSON_MALFORMED},
        {"{\"a\"}", JSON_MALFORMED},
        {"{\"a\":}", JSON_MALFORMED},
        {"[1 2]", JSON_MALFORMED},
        {"[1}", JSON_MALFORMED},
        {"{\"a\":1]", JSON_MALFORMED},
        {"1 2", JSON_MALFORMED},
        {"[1]x", JSON_MALFORMED},
        {"nul", JSON_MALFORMED},
        {"True", JSON_MALFORMED},
        {"'a'", JSON_MALFORMED},
        {"\"a", JSON_MALFORMED},
        {"\"\\\"", JSON_MALFORMED},
        {"\"\\x\"", JSON_MALFORMED},
        {"\"\\u12g4\"", JSON_MALFORMED},
        {"\"\\u123\"", JSON_MALFORMED},
        {"\"a\tb\"", JSON_MALFORMED},
        {"// c\n1", JSON_MALFORMED},
        {"[", JSON_MALFORMED},
        {"{", JSON_MALFORMED},
        {"]", JSON_MALFORMED},
        {"NaN", JSON_MALFORMED},
        {"-Infinity", JSON_MALFORMED},
        {"\xEF\xBB\xBF"
         "1",
         JSON_MALFORMED},
        {"[01]", JSON_MALFORMED},
        {"\"\\ud800\"", JSON_BAD_UTF8},
        {"\"\\udc00\\ud800\"", JSON_BAD_UTF8},
        {"\"\\ud800\\u0041\"", JSON_BAD_UTF8},
        {"\"\xC0\xAF\"", JSON_BAD_UTF8},
        {"\"\xED\xA0\x80\"", JSON_BAD_UTF8},
        {"\"\xF5\x80\x80\x80\"", JSON_BAD_UTF8},
        {"\"\xE2\x82\"", JSON_BAD_UTF8},
        {"1e400", JSON_TOO_LARGE},
        {"{\"a\":1,\"a\":2}", JSON_DUPLICATE},
        {"{\"a\":1,\"\\u0061\":2}", JSON_DUPLICATE},
        {"[{\"a\":{\"b\":1,\"b\":1}}]", JSON_DUPLICATE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (check(rows[i].text) != rows[i].result) {
            test_failed(__FILE__, __LINE__, "%s gives %d", rows[i].text, check(rows[i].text));
        }
    }
}

TEST("what RFC 8259 has is read")
{
    static const char *const rows[] = {
        "0",
        " [ ] ",
        "{}",
        "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
        "\"\\u0000\\\"\\/\"",
        "\"\\ud83d\\ude00\"",
        "[1,-0,1e3,1.5E-2]",
        "true",
        "\r\n\t null",
        "\"\x7F\"",
        "{\"\":1,\"a\":2}",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (check(rows[i]) != JSON_OK) {
            test_failed(__FILE__, __LINE__, "%s gives %d", rows[i], check(rows[i]));
        }
    }
}

TEST("nesting ends at its limit, not in the reader")
{
    uint8_t text[2 * JSON_DEPTH_MAX + 2];
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    struct json_string scratch[1];
    CHECK(json_check(slice_of(text, sizeof text), scratch, 1) == JSON_TOO_DEEP);
    CHECK(json_check(slice_of(text + 1, sizeof text - 2), scratch, 1) == JSON_OK);
}

TEST("more open names than the scratch holds are an end, not an overrun")
{
    struct json_string scratch[3];
    CHECK(json_check(slice_text("{\"a\":1,\"b\":2}"), scratch, 3) == JSON_OK);
    CHECK(json_check(slice_text("{\"a\":1,\"b\":2,\"c\":3}"), scratch, 3) == JSON_TOO_LARGE);
}

TEST("a whole number keeps its value beyond 2^53 and says when it is none")
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t integer;
    } rows[] = {
        {"9007199254740993", true, 9007199254740993},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"1e3", true, 1000},
        {"2.50e1", true, 25},
        {"-0", true, 0},
        {"0.5", false, 0},
        {"1e18", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_reader r = json_reader_over(slice_text(rows[i].text));
        struct json_token token;
        CHECK(json_next(&r, &token) && token.kind == JSON_NUMBER);
        CHECK(token.is_integer == rows[i].is_integer);
        CHECK(token.integer == rows[i].integer);
    }
}

static const char *const names[] = {"name", "count", "on", "list", "ratio"};

struct sample {
    char name[16];
    int64_t count;
    bool on;
    double sum, ratio;
};

static bool sample_decode(struct slice text, struct sample *out, struct json_reader *r)
{
    struct json_string name;
    struct json_string text_value = {0};
    uint64_t seen = 0;
    *out = (struct sample){0};
    *r = json_reader_over(text);
    json_read_object(r);
    while (json_next_name(r, &name)) {
        switch (json_name_once(r, &name, names, COUNT_OF(names), &seen)) {
        case 0: text_value = json_read_string(r); break;
        case 1: out->count = json_read_int(r, 1, 10); break;
        case 2: out->on = json_read_bool(r); break;
        case 3:
            json_read_array(r);
            while (json_next_element(r)) {
                out->sum += json_read_double(r);
            }
            break;
        case 4: out->ratio = json_read_double(r); break;
        default: json_skip(r); break;
        }
    }
    struct writer w = writer_over(out->name, sizeof out->name - 1);
    json_string_write(&w, &text_value);
    return json_reader_done(r);
}

TEST("a decoder reads like a schema and learns at the end what was wrong, and where")
{
    struct sample got;
    struct json_reader r;
    CHECK(sample_decode(slice_text("{\"name\":\"pr\\u00e9s\",\"x\":[{\"y\":1},2],\"count\":7,"
                                   "\"on\":true,\"list\":[1,2.5],\"ratio\":0.25}"),
                        &got, &r));
    CHECK(strcmp(got.name, "pr\xC3\xA9s") == 0);
    CHECK(got.count == 7 && got.on && got.sum == 3.5 && got.ratio == 0.25);
    CHECK(sample_decode(slice_text("{\"list\":[]}"), &got, &r));
    static const struct {
        const char *text;
        enum json_result result;
        size_t at;
    } rows[] = {
        {"{\"count\":11}", JSON_UNEXPECTED, 9},
        {"{\"count\":\"7\"}", JSON_UNEXPECTED, 9},
        {"{\"count\":1.5}", JSON_UNEXPECTED, 9},
        {"[1]", JSON_UNEXPECTED, 0},
        {"{\"list\":{}}", JSON_UNEXPECTED, 8},
        {"{\"list\":[\"a\"]}", JSON_UNEXPECTED, 9},
        {"{\"on\":1}", JSON_UNEXPECTED, 6},
        {"{\"list\":[1,]}", JSON_MALFORMED, 11},
        {"{\"on\":true", JSON_MALFORMED, 10},
        {"{\"count\":}", JSON_MALFORMED, 9},
        {"{} {}", JSON_MALFORMED, 3},
        {"{\"name\":null}", JSON_UNEXPECTED, 8},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK(!sample_decode(slice_text(rows[i].text), &got, &r));
        if (r.result != rows[i].result || r.at != rows[i].at || r.clause == NULL) {
            test_failed(__FILE__, __LINE__, "%s: %d at %zu", rows[i].text, r.result, r.at);
        }
    }
    CHECK(!sample_decode(slice_text("{\"on\":true,\"on\":true}"), &got, &r)
          && r.result == JSON_DUPLICATE);
}

TEST("names are compared by what they say, not by how they are escaped")
{
    struct json_reader r = json_reader_over(slice_text("{\"a\\u0062\\n\\\\\":1}"));
    struct json_string name;
    json_read_object(&r);
    CHECK(json_next_name(&r, &name));
    CHECK(json_string_is(&name, "ab\n\\"));
    CHECK(!json_string_is(&name, "ab\n\\\\") && !json_string_is(&name, "ab\n")
          && !json_string_is(&name, ""));
}

TEST("what is written is read back the same, and bytes that are no text do no harm")
{
    char text[512];
    struct writer w = writer_over(text, sizeof text);
    struct json_writer j = json_writer_to(&w);
    json_object(&j);
    json_put_slice(&j, "q\"\\", slice_of("\x01\n\"\xFF\xC3\xA9", 6));
    json_put_double(&j, "d", 0.1);
    json_put_double(&j, "inf", (double)INFINITY);
    json_put_double(&j, "nan", (double)NAN);
    json_put_i64(&j, "i", INT64_MIN);
    json_put_u64(&j, "u", UINT64_MAX);
    json_name(&j, "a");
    json_array(&j);
    json_bool(&j, true);
    json_null(&j);
    json_object(&j);
    json_object_end(&j);
    json_array(&j);
    json_array_end(&j);
    json_array_end(&j);
    json_put_time(&j, "t", 1795442621322);
    json_put_time(&j, "never", 0);
    json_put_text(&j, "none", NULL);
    json_object_end(&j);
    CHECK(slice_is_text(
        writer_slice(&w),
        "{\"q\\\"\\\\\":\"\\u0001\\n\\\"\xEF\xBF\xBD\xC3\xA9\",\"d\":0.1,\"inf\":null,"
        "\"nan\":null,\"i\":-9223372036854775808,\"u\":18446744073709551615,"
        "\"a\":[true,null,{},[]],\"t\":\"2026-11-23T14:03:41.322Z\",\"never\":null,"
        "\"none\":null}"));
    struct json_string scratch[32];
    CHECK(json_check(writer_slice(&w), scratch, 32) == JSON_OK);
}
