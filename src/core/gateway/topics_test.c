#include "base/rng.h"
#include "codec/mqtt_topic.h"
#include "core/gateway/topics.h"
#include "test/test.h"

#include <string.h>

enum { NODES = 256, CHUNKS = 512, BUCKETS = 64, NAMES = 64 };

static struct gw_text_chunk chunks[CHUNKS];
static struct gw_node nodes[NODES];
static uint32_t buckets[BUCKETS];
static struct gw_texts texts;
static struct gw_topics topics;

static void begin(uint64_t seed)
{
    gw_texts_init(&texts, chunks, CHUNKS);
    gw_topics_init(&topics, nodes, NODES, buckets, BUCKETS, &texts, seed);
}

static uint32_t make(const char *name)
{
    struct gw_levels levels;
    return gw_topics_split(&topics, slice_text(name), &levels) ? gw_topics_make(&topics, &levels)
                                                               : GW_NODE_NONE;
}

static void subscribe(const char *filter, uint32_t number)
{
    uint32_t node = make(filter);
    if (node != GW_NODE_NONE) {
        topics.nodes[node].subscriptions = number;
    }
}

static uint32_t matches(const char *name)
{
    struct gw_levels levels;
    struct gw_match m;
    uint32_t node, count = 0;
    if (gw_topics_split(&topics, slice_text(name), &levels)) {
        gw_match_begin(&m, &topics, &levels);
        while (gw_match_next(&m, &node)) {
            count++;
        }
    }
    return count;
}

TEST("a filter of the tree matches as the standard's examples say")
{
    static const struct {
        const char *filter, *name;
        bool does;
    } rows[] = {
        /* 4.7.1.2 */
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/#", "sport", true},
        {"#", "sport/tennis", true},
        /* 4.7.1.3 */
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        /* 4.7.2-1 */
        {"#", "$SYS/monitor", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/monitor", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"a/+", "a/$x", true},
        {"a/#", "a/$x", true},
        /* 4.7.3: an empty level is one, case counts */
        {"/", "/", true},
        {"a", "/a", false},
        {"ACCOUNTS", "Accounts", false},
        {"a//b", "a//b", true},
        {"a/+/b", "a//b", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        begin(i);
        subscribe(rows[i].filter, 1);
        if (matches(rows[i].name) != (rows[i].does ? 1 : 0)) {
            test_failed(__FILE__, __LINE__, "%s and %s", rows[i].filter, rows[i].name);
        }
        gw_topics_check(&topics);
    }
}

/* A few words, so that many names meet. */
static struct slice random_name(struct rng *rng, bool is_filter, char *to)
{
    static const char *const words[] = {"a", "b", "", "$s", "a-level-longer-than-one-chunk-of-text",
                                        "+", "#"};
    size_t len = 0;
    uint32_t levels = 1 + (uint32_t)rng_below(rng, 4);
    for (uint32_t i = 0; i < levels; i++) {
        uint64_t word = rng_below(rng, is_filter ? 7 : 5);
        if (i > 0) {
            to[len++] = '/';
        }
        size_t n = strlen(words[word]);
        memcpy(to + len, words[word], n);
        len += n;
        if (word == 6) {
            break;
        }
    }
    return slice_of(to, len);
}

TEST("the tree finds the filters that match and the retained names that are matched, one by one")
{
    struct rng rng = rng_from_seed(7);
    for (uint32_t round = 0; round < 300; round++) {
        static char filters[NAMES][256], names[NAMES][256];
        struct slice filter[NAMES], name[NAMES];
        uint32_t at[NAMES], name_at[NAMES];
        struct gw_levels levels;
        begin(round);
        for (uint32_t i = 0; i < NAMES; i++) {
            filter[i] = random_name(&rng, true, filters[i]);
            name[i] = random_name(&rng, false, names[i]);
            bool is_valid = mqtt_topic_filter_is_valid(filter[i]);
            REQUIRE(gw_topics_split(&topics, filter[i], &levels));
            at[i] = is_valid ? gw_topics_make(&topics, &levels) : GW_NODE_NONE;
            if (at[i] != GW_NODE_NONE) {
                topics.nodes[at[i]].subscriptions = i;
            }
            REQUIRE(gw_topics_split(&topics, name[i], &levels));
            name_at[i] =
                mqtt_topic_name_is_valid(name[i]) ? gw_topics_make(&topics, &levels) : GW_NODE_NONE;
            if (name_at[i] != GW_NODE_NONE) {
                gw_topics_retain(&topics, name_at[i], i);
            }
        }
        gw_topics_check(&topics);
        for (uint32_t i = 0; i < NAMES; i++) {
            struct gw_match m;
            struct gw_walk w;
            bool found[NODES] = {false};
            uint32_t node;
            if (name_at[i] != GW_NODE_NONE) {
                REQUIRE(gw_topics_split(&topics, name[i], &levels));
                gw_match_begin(&m, &topics, &levels);
                while (gw_match_next(&m, &node)) {
                    CHECK(!found[node]); /* each once */
                    found[node] = true;
                }
                for (uint32_t k = 0; k < NAMES; k++) {
                    CHECK(at[k] == GW_NODE_NONE
                          || found[at[k]] == mqtt_filter_matches(filter[k], name[i]));
                }
            }
            memset(found, 0, sizeof found);
            if (at[i] != GW_NODE_NONE) {
                REQUIRE(gw_topics_split(&topics, filter[i], &levels));
                gw_walk_begin(&w, &topics, &levels);
                while (gw_walk_next(&w, &node)) {
                    CHECK(!found[node]);
                    found[node] = true;
                }
                for (uint32_t k = 0; k < NAMES; k++) {
                    CHECK(name_at[k] == GW_NODE_NONE
                          || found[name_at[k]] == mqtt_filter_matches(filter[i], name[k]));
                }
            }
        }
        for (uint32_t i = 0; i < NAMES; i++) {
            if (at[i] != GW_NODE_NONE && topics.nodes[at[i]].subscriptions == i) {
                topics.nodes[at[i]].subscriptions = GW_NODE_NONE;
                gw_topics_release(&topics, at[i]);
            }
            if (name_at[i] != GW_NODE_NONE && topics.nodes[name_at[i]].retained == i) {
                gw_topics_retain(&topics, name_at[i], GW_NODE_NONE);
                gw_topics_release(&topics, name_at[i]);
            }
        }
        gw_topics_check(&topics);
        CHECK_U64(topics.count, 1);
        CHECK_U64(texts.free_count, CHUNKS);
    }
}

TEST("a name of too many levels is refused, and a tree that is full keeps nothing of what it "
     "refused")
{
    struct gw_levels levels;
    char deep[2 * GW_LEVELS_MAX + 2];
    memset(deep, '/', sizeof deep);
    begin(1);
    CHECK(gw_topics_split(&topics, slice_of(deep, GW_LEVELS_MAX - 1), &levels));
    CHECK(!gw_topics_split(&topics, slice_of(deep, GW_LEVELS_MAX), &levels));
    for (uint32_t i = 0; topics.count + 2 < NODES; i++) {
        char name[3] = {(char)('a' + i % 26), (char)('a' + i / 26), 0};
        subscribe(name, i);
    }
    uint32_t before = topics.count, before_texts = texts.free_count;
    CHECK(make("x/y/z/w") == GW_NODE_NONE);
    CHECK_U64(topics.count, before);
    CHECK_U64(texts.free_count, before_texts);
    gw_topics_check(&topics);
}
