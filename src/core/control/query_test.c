#include "core/control/query.h"
#include "test/test.h"

#include <string.h>

static struct query_row press(void)
{
    return (struct query_row){
        .name = slice_text("press-07-a3"),
        .id = slice_text("hf1:00112233445566778899aabbccddeeff"),
        .serial = slice_text("SN-4711"),
        .model = slice_text("P4-B"),
        .agent = slice_text("holdfast-agent 0.1.0"),
        .gateway = slice_text("gw-1"),
        .state = CONDITION_UNKNOWN,
        .identity = IDENTITY_ACTIVE,
        .connected = false,
        .seen_age_ms = 11 * 60 * 1000,
        .gaps = 4,
        .boot = 7,
    };
}

static int matches(const char *text)
{
    struct query q;
    struct query_fault fault;
    struct query_row row = press();
    if (!query_parse(slice_text(text), &q, &fault)) {
        return -1;
    }
    return query_matches(&q, &row);
}

TEST("a query says what it means")
{
    static const struct {
        const char *text;
        int expected;
    } rows[] = {
        {"", 1},
        {"   ", 1},
        {"state:unknown", 1},
        {"state:Unknown", 1},
        {"state:healthy", 0},
        {"-state:healthy", 1},
        {"NOT state:unknown", 0},
        {"--state:unknown", 1},
        {"state:unknown gateway:gw-1", 1},
        {"state:unknown gateway:gw-2", 0},
        {"state:unknown OR gateway:gw-2", 1},
        {"state:healthy OR gateway:gw-2", 0},
        {"state:healthy OR gateway:gw-1 boot:7", 1},
        {"(state:healthy OR gateway:gw-1) boot:8", 0},
        {"state:healthy OR (gateway:gw-1 AND boot:8)", 0},
        {"-(state:healthy OR boot:8)", 1},
        {"NOT state:healthy boot:8", 0},
        {"press", 1},
        {"PRESS-07", 1},
        {"\"press-07\"", 1},
        {"\"press 07\"", 0},
        {"4711", 1},
        {"ress*a3", 1},
        {"a3*", 1},
        {"b*a3", 0},
        {"name:press", 0},
        {"name:press-*", 1},
        {"name:*a3", 1},
        {"name:*", 1},
        {"name:p*-*-a3", 1},
        {"-name:press-0*", 0},
        {"name:\"press-07-a3\"", 1},
        {"id:hf1:00112233445566778899aabbccddeeff", 1},
        {"hf1:0011", 1},
        {"hf1:0012", 0},
        {"serial:sn-4711", 1},
        {"model:P4-*", 1},
        {"agent:*0.1.0", 1},
        {"identity:active", 1},
        {"identity:re-enrolling", 0},
        {"connected:no", 1},
        {"connected:true", 0},
        {"seen:>10m", 1},
        {"seen:>11min", 0},
        {"seen:>=11m", 1},
        {"seen:<1h", 1},
        {"seen:10m", 0},
        {"seen:660s", 1},
        {"seen:never", 0},
        {"gaps:>0", 1},
        {"gaps:4", 1},
        {"gaps:<=3", 0},
        {"boot:>=7 boot:<8", 1},
        {"state:unknown gateway:gw-1 seen:>10m -name:press-1* \"press\"", 1},
        {"-", 1},
        {"order", 0},
        {"a(b)", 1},
        {"a3(boot:8)", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (matches(rows[i].text) != rows[i].expected) {
            test_failed(__FILE__, __LINE__, "%s gives %d", rows[i].text, matches(rows[i].text));
        }
    }
}

TEST("a device never seen was seen longer ago than any time, and not within any")
{
    struct query q;
    struct query_fault fault;
    struct query_row row = press();
    row.seen_age_ms = -1;
    static const struct {
        const char *text;
        bool expected;
    } rows[] = {{"seen:>10m", true},
                {"seen:<10m", false},
                {"seen:10m", false},
                {"seen:never", true},
                {"-seen:never", false}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        REQUIRE(query_parse(slice_text(rows[i].text), &q, &fault));
        CHECK(query_matches(&q, &row) == rows[i].expected);
    }
}

TEST("what is no query is an error that says where, what and what was meant")
{
    static const struct {
        const char *text;
        size_t at;
        const char *word;
        const char *clause;
        const char *suggestion;
    } rows[] = {
        {"stat:unknown", 0, "stat", "unknown field", "state"},
        {"press gatway:gw-1", 6, "gatway", "unknown field", "gateway"},
        {"colour:red", 0, "colour", "unknown field", NULL},
        {"state:unknwon", 6, "unknwon", "a value this field does not have", "unknown"},
        {"identity:actve", 9, "actve", "a value this field does not have", "active"},
        {"state:>unknown", 7, "unknown", "this field is not ordered", NULL},
        {"name:<a", 6, "a", "this field is not ordered", NULL},
        {"connected:maybe", 10, "maybe", "a value this field does not have", NULL},
        {"seen:>10", 6, "10", "not a duration such as 90s, 10m, 2h, 3d or never", NULL},
        {"seen:>10y", 6, "10y", "not a duration such as 90s, 10m, 2h, 3d or never", NULL},
        {"seen:>99999999999999999s", 6, "99999999999999999s",
         "not a duration such as 90s, 10m, 2h, 3d or never", NULL},
        {"gaps:many", 5, "many", "not a whole number", NULL},
        {"gaps:-1", 5, "-1", "not a whole number", NULL},
        {"state:", 6, "", "nothing to look for", NULL},
        {"name:\"\"", 5, "", "nothing to look for", NULL},
        {"\"open", 0, "\"open", "a quotation mark without its end", NULL},
        {"(press", 0, "(", "a parenthesis that is not closed", NULL},
        {"press)", 5, ")", "a parenthesis that was not opened", NULL},
        {"()", 1, ")", "nothing stands before it", NULL},
        {"OR press", 0, "OR", "nothing stands before it", NULL},
        {"press OR", 8, "", "ends where something must follow", NULL},
        {"press AND", 9, "", "ends where something must follow", NULL},
        {"NOT", 3, "", "ends where something must follow", NULL},
        {"press OR OR a", 9, "OR", "nothing stands before it", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct query q;
        struct query_fault f = {0};
        bool parsed = query_parse(slice_text(rows[i].text), &q, &f);
        bool same = !parsed && f.at == rows[i].at && slice_is_text(f.word, rows[i].word)
                    && strcmp(f.clause, rows[i].clause) == 0
                    && (f.suggestion == NULL) == (rows[i].suggestion == NULL)
                    && (f.suggestion == NULL || strcmp(f.suggestion, rows[i].suggestion) == 0);
        if (!same) {
            test_failed(__FILE__, __LINE__, "%s: at %zu, %s, %s", rows[i].text, f.at,
                        f.clause == NULL ? "accepted" : f.clause,
                        f.suggestion == NULL ? "-" : f.suggestion);
        }
    }
}

TEST("terms, nesting and length end at their limits with an error")
{
    static char text[QUERY_TEXT_MAX + 2];
    static struct query q;
    struct query_fault f;
    memset(text, '(', 200);
    CHECK(!query_parse(slice_of(text, 200), &q, &f) && strcmp(f.clause, "nested too deeply") == 0);
    for (size_t i = 0; i < 100; i++) {
        memcpy(text + 2 * i, "a ", 2);
    }
    CHECK(!query_parse(slice_of(text, 200), &q, &f)
          && strcmp(f.clause, "more than 64 terms and operators") == 0);
    CHECK(query_parse(slice_of(text, 64), &q, &f));
    memset(text, ' ', sizeof text);
    CHECK(!query_parse(slice_of(text, QUERY_TEXT_MAX + 1), &q, &f));
    CHECK(query_parse(slice_of(text, QUERY_TEXT_MAX), &q, &f));
}
