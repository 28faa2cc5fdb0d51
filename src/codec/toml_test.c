#include "codec/toml.h"
#include "test/test.h"

#include <string.h>

static const struct {
    const char *text;
    uint32_t line, column;
    const char *what;
} bad[] = {
    {"a = ", 1, 5, "a value is missing"},
    {"a = \"x", 1, 7, "a string is not closed"},
    {"a = 'x\n'", 1, 7, "a string is not closed"},
    {"\n a 1", 2, 4, "= is missing"},
    {"a.b = 1", 1, 2, "dotted keys"},
    {"a = {b = 1}", 1, 5, "inline tables"},
    {"a = 1.5", 1, 6, "not a whole number"},
    {"a = 90s", 1, 7, "not a whole number"},
    {"a = 007", 1, 8, "a number begins with 0"},
    {"a = 99999999999999999999", 1, 0, "a number is too large"},
    {"a = yes", 1, 5, "a value is missing"},
    {"a = 1 b = 2", 1, 7, "the line goes on"},
    {"[a", 1, 3, "the heading is not closed with ]"},
    {"[[a]", 1, 5, "the heading is not closed with ]]"},
    {"[]", 1, 2, "a table has no name"},
    {"[a.]", 1, 4, "a table has no name"},
    {"a = [1 2]", 1, 8, "items of an array"},
    {"a = [[1]]", 1, 6, "nothing nested"},
    {"a = [1, ", 1, 9, "an array is not closed"},
    {"= 1", 1, 1, "a key is missing"},
    {"a = \"x\x01\"", 1, 7, "control character"},
    {"a = \"x\x7f\"", 1, 7, "control character"},
    {"a = \"x\\\x01\"", 1, 8, "control character"},
    {"a = \"x\\\r\n\"", 1, 8, "a string is not closed"},
    {"a = \"x\xc3\"", 1, 8, "not UTF-8"},
    {"a = 'x\xed\xa0\x80'", 1, 10, "not UTF-8"},
    {"a = 1 # x\x7f", 1, 10, "control character"},
    {"a = 1 # x\rb = 2", 1, 10, "control character"},
    {"a = 1 # x\xff", 1, 11, "not UTF-8"},
    {"# x\xff\na = 1", 1, 5, "not UTF-8"},
    {"a = 1\r", 1, 6, "the line goes on"},
    {"a = 1_", 1, 6, "not a whole number"},
    {"a = 1__0", 1, 6, "not a whole number"},
    {"[a..b]", 1, 4, "a table has no name"},
};

TEST("what is wrong in a file is told with its line and column")
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct toml t;
        struct toml_entry entry;
        toml_init(&t, slice_text(bad[i].text));
        enum toml_result result = TOML_OK;
        while ((result = toml_next(&t, &entry)) == TOML_OK) {
        }
        CHECK(result == TOML_WRONG);
        if (result != TOML_WRONG || strstr(t.fault.what, bad[i].what) == NULL
            || t.fault.line != bad[i].line
            || (bad[i].column != 0 && t.fault.column != bad[i].column)) {
            test_failed(__FILE__, __LINE__, "row %zu: %u:%u %s", i, t.fault.line, t.fault.column,
                        t.fault.what ? t.fault.what : "no fault");
        }
    }
}

TEST("entries come in the order of the file with their places")
{
    struct toml t;
    struct toml_entry e;
    toml_init(&t, slice_text("# first\n[site]\nname = \"A \\\"b\\\"\" # c\r\n\n[[gateway]]\n"
                             "  listen = [ 'x', # one\n \"y\",\n]\non = true\nn = -1_000\n"));
    REQUIRE(toml_next(&t, &e) == TOML_OK);
    CHECK(e.kind == TOML_TABLE && slice_is_text(e.name, "site") && e.line == 2);
    REQUIRE(toml_next(&t, &e) == TOML_OK);
    uint8_t room[32];
    struct writer w = writer_over(room, sizeof room);
    CHECK(toml_string(&e, &w) && slice_is_text(writer_slice(&w), "A \"b\""));
    CHECK(e.line == 3 && e.column == 1 && e.value_column == 8);
    REQUIRE(toml_next(&t, &e) == TOML_OK);
    CHECK(e.kind == TOML_TABLE_ITEM && slice_is_text(e.name, "gateway"));
    REQUIRE(toml_next(&t, &e) == TOML_OK);
    CHECK(e.kind == TOML_ARRAY && e.column == 3);
    struct toml items;
    struct toml_entry item;
    toml_array_init(&items, &e);
    CHECK(toml_array_next(&items, &item) == TOML_OK && slice_is_text(item.raw, "x"));
    CHECK(toml_array_next(&items, &item) == TOML_OK && slice_is_text(item.raw, "y"));
    CHECK(item.value_line == 7);
    CHECK(toml_array_next(&items, &item) == TOML_END);
    REQUIRE(toml_next(&t, &e) == TOML_OK);
    CHECK(e.kind == TOML_BOOLEAN && e.integer == 1);
    REQUIRE(toml_next(&t, &e) == TOML_OK);
    CHECK(e.kind == TOML_INTEGER && e.integer == -1000);
    CHECK(toml_next(&t, &e) == TOML_END);
}

TEST("durations and sizes need a space and a known unit")
{
    uint64_t v = 0;
    CHECK(toml_duration_ms(slice_text("91 d"), &v) && v == 7862400000);
    CHECK(toml_duration_ms(slice_text("500 ms"), &v) && v == 500);
    CHECK(!toml_duration_ms(slice_text("91d"), &v));
    CHECK(!toml_duration_ms(slice_text("91 days"), &v));
    CHECK(!toml_duration_ms(slice_text("-1 s"), &v));
    CHECK(!toml_duration_ms(slice_text("1 KiB"), &v));
    CHECK(!toml_duration_ms(slice_text("9999999999999999 d"), &v));
    CHECK(toml_size_bytes(slice_text("64 KiB"), &v) && v == 65536);
    CHECK(!toml_size_bytes(slice_text("64"), &v));
}
