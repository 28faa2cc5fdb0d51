#include "codec/grants.h"
#include "test/test.h"

#include <string.h>

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct grants grants;
static struct toml_fault fault;

static bool reads(const char *text)
{
    return grants_read(slice_text(text), &grants, &fault) == GRANTS_OK;
}

TEST("a file of grants that is not as it must be is refused whole, with its place")
{
    static const struct {
        const char *text;
        uint32_t line;
    } rows[] = {
        {"", 0},
        {"number = 0\n", 1},
        {"number = 1\nnumber = 2\n", 2},
        {"number = 1\n[application]\n", 2},
        {"number = 1\n[[gateway]]\n", 2},
        {"[[application]]\nname = \"a\"\nsubscribe = [\"x\"]\n", 1}, /* no number */
        {"number = 1\n[[application]]\nsubscribe = [\"x\"]\n", 2},   /* no name */
        {"number = 1\n[[application]]\nname = \"a\"\n", 2},          /* no right */
        {"number = 1\n[[application]]\nname = \"a\"\nname = \"b\"\nsubscribe = [\"x\"]\n", 4},
        {"number = 1\n[[application]]\nname = \"a\"\nsubscribes = [\"x\"]\n", 4},
        {"number = 1\n[[application]]\nname = \"a\"\nsubscribe = \"x\"\n", 4},
        {"number = 1\n[[application]]\nname = \"a\"\nsubscribe = [\"x\\u0041\"]\n", 4},
        {"number = 1\n[[application]]\nname = \"a\"\nsubscribe = [\"x\"]\nkeys = [\"00\"]\n", 5},
        {"number = 1\n[[application]]\nname = \"a\"\nsubscribe = [\"x\"]\n[[application]]\nname = "
         "\"a\"\nsubscribe = [\"y\"]\n",
         5},
        {"number = 1\n[[application]]\nname = \"a\"\nsubscribe = [\"x/#/y\"]\n", 2},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fault = (struct toml_fault){0};
        if (reads(rows[i].text) || fault.what == NULL || fault.line != rows[i].line) {
            test_failed(__FILE__, __LINE__, "row %zu: line %u: %s", i, (unsigned)fault.line,
                        fault.what == NULL ? "taken" : fault.what);
        }
    }
}

TEST("a filter that would speak for devices or the server cannot be granted to publish to")
{
    static const struct {
        const char *publish, *words;
    } rows[] = {
        {"hf/1/x", "below hf/"},     {"hf/#", "below hf/"},     {"$SYS/x", "$"},
        {"a/b#", "no topic filter"}, {"$share/g/a", "$share/"}, {"", "no topic filter"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice at;
        struct grant g = {.name = slice_text("a"),
                          .publish = {.count = 1, .items = {slice_text(rows[i].publish)}}};
        const char *what = grant_fault(&g, &at);
        if (what == NULL || strstr(what, rows[i].words) == NULL) {
            test_failed(__FILE__, __LINE__, "row %zu: %s", i, what == NULL ? "taken" : what);
        }
        CHECK(slice_is_text(at, rows[i].publish));
    }
    struct slice at;
    struct grant reads_all = {.name = slice_text("a"),
                              .subscribe = {.count = 1, .items = {slice_text("#")}}};
    CHECK(grant_fault(&reads_all, &at) == NULL);
}

TEST("what is written is read again, the same")
{
    static uint8_t text[4096];
    static struct grants again;
    REQUIRE(reads("number = 17\n[[application]]\nname = \"historian\"\npublish = "
                  "[\"plant/historian/#\", \"x\"]\nsubscribe = [\"hf/1/+/t/#\"]\nclient_ids = "
                  "[\"historian-*\"]\nkeys = [\"" KEY "\"]\n[[application]]\nname = "
                  "\"hmi\"\nsubscribe = [\"#\"]\n"));
    struct writer w = writer_over(text, sizeof text);
    grants_write(&w, &grants);
    REQUIRE(grants_read(writer_slice(&w), &again, &fault) == GRANTS_OK);
    CHECK(again.number == 17 && again.count == 2);
    CHECK(grant_equal(&grants.list[0], &again.list[0]));
    CHECK(grant_equal(&grants.list[1], &again.list[1]));
    CHECK(!grant_equal(&grants.list[0], &again.list[1]));
    CHECK(grants_find(&again, slice_text("hmi")) == &again.list[1]);
    CHECK(grants_find(&again, slice_text("hm")) == NULL);
    struct digest key = again.list[0].keys[0];
    CHECK(grant_has_key(&again.list[0], &key));
    CHECK(!grant_has_key(&again.list[1], &key));
    key.bytes[31] ^= 1;
    CHECK(!grant_has_key(&again.list[0], &key));
}

TEST("a client id fits a pattern whole, and without patterns is the name")
{
    static const struct {
        const char *pattern, *id;
        bool fits;
    } rows[] = {
        {"historian-*", "historian-1", true},
        {"historian-*", "historian-", true},
        {"historian-*", "xhistorian-1", false},
        {"historian-*", "historian", false},
        {"*", "anything", true},
        {"a*b*c", "axxbyyc", true},
        {"a*b*c", "axxbyy", false},
        {"a", "ab", false},
        {"a*a*a*a*b", "aaaaaaaaaaaaaaaa", false},
    };
    struct grant named = {.name = slice_text("hmi")};
    CHECK(grant_allows_client_id(&named, slice_text("hmi")));
    CHECK(!grant_allows_client_id(&named, slice_text("hmi-2")));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct grant g = {.name = slice_text("hmi"),
                          .client_ids = {.count = 1, .items = {slice_text(rows[i].pattern)}}};
        if (grant_allows_client_id(&g, slice_text(rows[i].id)) != rows[i].fits) {
            test_failed(__FILE__, __LINE__, "row %zu", i);
        }
    }
}
