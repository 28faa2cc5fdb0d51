#include "codec/mqtt_topic.h"
#include "test/test.h"

#include <string.h>

static struct slice s(const char *text)
{
    return slice_text(text);
}

TEST("a string is well-formed UTF-8 without U+0000 and surrogates (1.5.4)")
{
    static const struct {
        const char *bytes;
        size_t len;
        bool valid;
    } rows[] = {
        {"", 0, true},
        {"A\xF0\xAA\x9B\x94", 5, true}, /* figure 1-1 */
        {"\xEF\xBB\xBF", 3, true},      /* U+FEFF is a character like others */
        {"\0", 1, false},
        {"a\0b", 3, false},
        {"\x80", 1, false},
        {"\xC0\x80", 2, false},
        {"\xC1\xBF", 2, false},
        {"\xC2", 1, false},
        {"\xC2\x41", 2, false},
        {"\xE0\x9F\xBF", 3, false},
        {"\xE0\xA0\x80", 3, true},
        {"\xED\x9F\xBF", 3, true},
        {"\xED\xA0\x80", 3, false},
        {"\xED\xBF\xBF", 3, false},
        {"\xEE\x80\x80", 3, true},
        {"\xF0\x8F\xBF\xBF", 4, false},
        {"\xF0\x90\x80\x80", 4, true},
        {"\xF4\x8F\xBF\xBF", 4, true},
        {"\xF4\x90\x80\x80", 4, false},
        {"\xF5\x80\x80\x80", 4, false},
        {"\xE2\x82", 2, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (mqtt_string_is_valid(slice_of(rows[i].bytes, rows[i].len)) != rows[i].valid) {
            test_failed(__FILE__, __LINE__, "row %zu", i);
        }
    }
}

TEST("filters are valid as the standard's examples say (4.7.1, 4.8.2)")
{
    static const char *const valid[] = {
        "sport/tennis/player1/#",
        "sport/#",
        "#",
        "sport/tennis/#",
        "+",
        "+/tennis/#",
        "sport/+/player1",
        "/",
        "/finance",
        "//",
        "a//b",
        "+/+",
        "/+",
        "$SYS/#",
        "$SYS/monitor/+",
        "$share/consumer1/sport/#",
        "$share/c//x",
        "$shared/#",
        "a b",
        "$share/c/$SYS/#",
    };
    static const char *const invalid[] = {
        "",
        "sport/tennis#",
        "sport/tennis/#/ranking",
        "sport+",
        "+a",
        "a/+b/c",
        "##",
        "#/",
        "a/#/",
        "$share",
        "$share/",
        "$share/a",
        "$share/a/",
        "$share//a",
        "$share/a+/b",
        "$share/#/b",
        "$share/+/b",
    };
    for (size_t i = 0; i < COUNT_OF(valid); i++) {
        if (!mqtt_topic_filter_is_valid(s(valid[i]))) {
            test_failed(__FILE__, __LINE__, "%s is valid", valid[i]);
        }
    }
    for (size_t i = 0; i < COUNT_OF(invalid); i++) {
        if (mqtt_topic_filter_is_valid(s(invalid[i]))) {
            test_failed(__FILE__, __LINE__, "%s is not valid", invalid[i]);
        }
    }
}

TEST("a topic name has no wildcard and at least one character (4.7.3)")
{
    CHECK(mqtt_topic_name_is_valid(s("/")) && mqtt_topic_name_is_valid(s("a/b c/$")));
    CHECK(!mqtt_topic_name_is_valid(s("")) && !mqtt_topic_name_is_valid(s("a/+")));
    CHECK(!mqtt_topic_name_is_valid(s("#")) && !mqtt_topic_name_is_valid(slice_of("a\0", 2)));
}

TEST("a filter matches the names of the standard's examples and no others (4.7.1, 4.7.2)")
{
    static const struct {
        const char *filter, *name;
        bool matches;
    } rows[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/#", "sport", true},
        {"sport/#", "sports", false},
        {"#", "a/b/c", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"#", "$SYS/monitor", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/a/b", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"a/b", "a/b", true},
        {"a/b", "A/b", false},
        {"a/b", "a/b/", false},
        {"a/b/", "a/b", false},
        {"/a", "a", false},
        {"a//b", "a//b", true},
        {"a/+/b", "a//b", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (mqtt_filter_matches(s(rows[i].filter), s(rows[i].name)) != rows[i].matches) {
            test_failed(__FILE__, __LINE__, "%s on %s", rows[i].filter, rows[i].name);
        }
    }
}

TEST("a shared filter gives its share name and the filter behind it (4.8.2)")
{
    struct slice name, rest;
    CHECK(mqtt_filter_is_shared(s("$share/c/sport/#"), &name, &rest));
    CHECK(slice_is_text(name, "c") && slice_is_text(rest, "sport/#"));
    CHECK(!mqtt_filter_is_shared(s("$shared/c/x"), &name, &rest));
    CHECK(mqtt_filter_has_wildcard(rest) && !mqtt_filter_has_wildcard(s("a/b")));
}
