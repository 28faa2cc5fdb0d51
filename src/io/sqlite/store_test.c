#include "base/rng.h"
#include "io/sqlite/checked.h"
#include "io/sqlite/test_port.h"
#include "io/store.h"
#include "test/test.h"

#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct device_id press = {{1, 2, 3}};
static const struct device_id valve = {{9, 8, 7}};
static char path[512];

static const char *store_path(void)
{
    (void)snprintf(path, sizeof path, "%s/store.db", test_scratch_dir());
    return path;
}

static struct store *open_writer(const struct store_limits *limits)
{
    struct store *st = NULL;
    struct port_why why = {{0}};
    if (store_open(test_port(), store_path(), limits, &st, &why) != STORE_OK) {
        printf("  %s\n", why.text);
        return NULL;
    }
    return st;
}

static struct point device_point(int64_t time_ms, double value)
{
    return (struct point){time_ms, value, TIME_SYNCED, PROVENANCE_DEVICE};
}

static struct point gateway_point(int64_t time_ms, double value)
{
    return (struct point){time_ms, value, TIME_HOLDOVER, PROVENANCE_GATEWAY};
}

static bool same(const struct point *a, const struct point *b)
{
    return a->time_ms == b->time_ms && memcmp(&a->value, &b->value, sizeof a->value) == 0
           && a->quality == b->quality && a->provenance == b->provenance;
}

/* One transaction around one append. */
static bool append(
    struct store *st, int64_t series, const struct point *points, size_t count, size_t *repeated)
{
    uint64_t change;
    return store_begin(st) == STORE_OK
           && store_append(st, series, points, count, repeated) == STORE_OK
           && store_commit(st, &change) == STORE_OK;
}

static int64_t make_series(struct store *st, const struct device_id *device, const char *name)
{
    int64_t id = 0;
    uint64_t change;
    if (store_begin(st) != STORE_OK
        || store_series_ensure(st, device, "s", name, "Cel", &id, NULL) != STORE_OK
        || store_commit(st, &change) != STORE_OK) {
        return 0;
    }
    return id;
}

/* A plain array beside the store, in order of time and arrival. */
enum { MODEL_MAX = 8192 };
static struct point model[MODEL_MAX];
static struct point got[MODEL_MAX];
static size_t model_count;

static void model_add(struct point p)
{
    size_t at = model_count;
    while (at > 0 && model[at - 1].time_ms > p.time_ms) {
        model[at] = model[at - 1];
        at--;
    }
    model[at] = p;
    model_count++;
}

static bool model_has(const struct point *p)
{
    for (size_t i = 0; i < model_count; i++) {
        if (model[i].time_ms == p->time_ms && model[i].provenance == PROVENANCE_GATEWAY
            && memcmp(&model[i].value, &p->value, sizeof p->value) == 0) {
            return true;
        }
    }
    return false;
}

/* All of [from, to) by pages of `page`, held against the model. */
static bool range_agrees(struct store *st, int64_t series, int64_t from, int64_t to, size_t page)
{
    struct store_points_at at = {0};
    size_t total = 0;
    size_t count;
    do {
        if (total + page > MODEL_MAX
            || store_points(st, series, from, to, &at, got + total, page, &count) != STORE_OK) {
            return false;
        }
        total += count;
    } while (count == page);
    size_t begin = 0;
    while (begin < model_count && model[begin].time_ms < from) {
        begin++;
    }
    size_t end = begin;
    while (end < model_count && model[end].time_ms < to) {
        end++;
    }
    if (total != end - begin) {
        return false;
    }
    for (size_t i = 0; i < total; i++) {
        if (!same(&got[i], &model[begin + i])) {
            return false;
        }
    }
    return true;
}

static bool buckets_agree(struct store *st, int64_t series, int64_t from, int64_t to, size_t count)
{
    static struct store_bucket buckets[STORE_BUCKETS_MAX];
    if (store_buckets(st, series, from, to, buckets, count) != STORE_OK) {
        return false;
    }
    for (size_t b = 0; b < count; b++) {
        uint64_t n = 0;
        double low = 0;
        double high = 0;
        double sum = 0;
        for (size_t i = 0; i < model_count; i++) {
            int64_t t = model[i].time_ms;
            double v = model[i].value;
            if (t < from || t >= to || isnan(v)
                || (uint64_t)(t - from) * count / (uint64_t)(to - from) != b) {
                continue;
            }
            low = n == 0 || v < low ? v : low;
            high = n == 0 || v > high ? v : high;
            sum += v;
            n++;
        }
        if (buckets[b].count != n) {
            return false;
        }
        if (n > 0
            && (buckets[b].min != low || buckets[b].max != high
                || fabs(buckets[b].mean - sum / (double)n) > 1e-9 * (1 + fabs(sum)))) {
            return false;
        }
    }
    return true;
}

TEST("points come back in order of time, those of one time in order of arrival, through every page "
     "size")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    int64_t series = make_series(st, &press, "t");
    struct rng rng = rng_from_seed(42);
    model_count = 0;
    int64_t now = 1000000;
    for (unsigned batch = 0; batch < 60; batch++) {
        struct point points[90];
        size_t count = 1 + (size_t)rng_below(&rng, 90);
        size_t repeated = 0;
        for (size_t i = 0; i < count; i++) {
            int64_t time = now += (int64_t)rng_below(&rng, 3) * 500;
            if (rng_below(&rng, 10) == 0) { /* a spool that comes late */
                time = (int64_t)rng_below(&rng, (uint64_t)now);
            }
            points[i] = device_point(
                time, rng_below(&rng, 50) == 0 ? (double)NAN : (double)batch + (double)i / 8);
            model_add(points[i]);
        }
        REQUIRE(append(st, series, points, count, &repeated));
        CHECK_U64(repeated, 0);
    }
    CHECK(model_count > 3 * STORE_BLOCK_POINTS);
    size_t pages[] = {1, 7, 64, 511, 512, 513, 4000};
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        CHECK(range_agrees(st, series, INT64_MIN, INT64_MAX, pages[i]));
        CHECK(range_agrees(st, series, 400000, 1100000, pages[i]));
    }
    CHECK(range_agrees(st, series, 5, 5, 10));
    for (unsigned i = 0; i < 60; i++) {
        int64_t from = (int64_t)rng_below(&rng, (uint64_t)now);
        int64_t to = from + 1 + (int64_t)rng_below(&rng, (uint64_t)now);
        CHECK(range_agrees(st, series, from, to, 1 + (size_t)rng_below(&rng, 600)));
        CHECK(buckets_agree(st, series, from, to, 1 + (size_t)rng_below(&rng, 40)));
    }
    CHECK(buckets_agree(st, series, 0, now + 1, 1));
    CHECK(buckets_agree(st, series, 0, now + 1, 3));
    struct store_series row;
    CHECK(store_series_get(st, series, &row) == STORE_OK);
    CHECK_U64(row.count, model_count);
    CHECK(row.first_ms == model[0].time_ms && same(&row.last, &model[model_count - 1]));
    store_close(st);
}

TEST("equal times beyond a page do not lose or repeat a point")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    int64_t series = make_series(st, &press, "t");
    model_count = 0;
    for (unsigned i = 0; i < 1500; i++) {
        struct point p = device_point(i < 100 || i > 1300 ? (int64_t)i : 777, (double)i);
        size_t repeated;
        model_add(p);
        REQUIRE(i % 300 != 0 || store_begin(st) == STORE_OK);
        REQUIRE(store_append(st, series, &p, 1, &repeated) == STORE_OK);
        uint64_t change;
        REQUIRE(i % 300 != 299 || store_commit(st, &change) == STORE_OK);
    }
    CHECK(range_agrees(st, series, 0, 5000, 10));
    CHECK(range_agrees(st, series, 0, 5000, 1000));
    store_close(st);
}

TEST("a gateway's exact repeat collapses, in the open block and in closed chunks; a device's never "
     "does")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    int64_t series = make_series(st, &press, "t");
    struct rng rng = rng_from_seed(8);
    model_count = 0;
    for (unsigned batch = 0; batch < 120; batch++) {
        struct point points[40];
        size_t want = 0;
        size_t repeated = 0;
        for (size_t i = 0; i < COUNT_OF(points); i++) {
            int64_t time = (int64_t)rng_below(&rng, 3000);
            double value = (double)rng_below(&rng, 2);
            points[i] =
                rng_below(&rng, 20) == 0 ? device_point(time, value) : gateway_point(time, value);
            if (points[i].provenance == PROVENANCE_GATEWAY && model_has(&points[i])) {
                want++;
            } else {
                model_add(points[i]);
            }
        }
        REQUIRE(append(st, series, points, COUNT_OF(points), &repeated));
        CHECK_U64(repeated, want);
    }
    CHECK(model_count > 3 * STORE_BLOCK_POINTS);
    CHECK(range_agrees(st, series, 0, 3000, 100));
    store_close(st);
}

TEST("every kind of double survives as a point, as the last value and in a chunk")
{
    const double odd[] = {0.0, -0.0, (double)NAN, (double)INFINITY, -(double)INFINITY, 5e-324, 0.1};
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    for (size_t k = 0; k < COUNT_OF(odd); k++) {
        char name[8];
        (void)snprintf(name, sizeof name, "n%zu", k);
        int64_t series = make_series(st, &press, name);
        model_count = 0;
        for (int64_t t = 0; t < 700; t++) {
            model_add(device_point(t, odd[(size_t)(t + (int64_t)k) % COUNT_OF(odd)]));
        }
        size_t repeated;
        REQUIRE(append(st, series, model, model_count, &repeated));
        CHECK(range_agrees(st, series, 0, 700, 300));
        struct store_series row;
        CHECK(store_series_get(st, series, &row) == STORE_OK);
        CHECK(same(&row.last, &model[model_count - 1]));
        struct store_bucket bucket;
        CHECK(store_buckets(st, series, 0, 700, &bucket, 1) == STORE_OK);
        CHECK_U64(bucket.count, 600); /* the hundred NaN are not counted */
    }
    store_close(st);
}

TEST("a batch that is rolled back or never committed leaves nothing")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    int64_t series = make_series(st, &press, "t");
    uint64_t before = 0;
    uint64_t after = 0;
    struct point p = device_point(5, 1);
    size_t repeated;
    CHECK(store_change(st, &before) == STORE_OK);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_append(st, series, &p, 1, &repeated) == STORE_OK);
    CHECK(store_counter_add(st, "applied", 3) == STORE_OK);
    store_rollback(st);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_append(st, series, &p, 1, &repeated) == STORE_OK);
    store_close(st); /* as if killed */
    st = open_writer(NULL);
    REQUIRE(st != NULL);
    struct store_counter counter;
    size_t count;
    model_count = 0;
    CHECK(range_agrees(st, series, 0, 100, 10));
    CHECK(store_counters(st, &counter, 1, &count) == STORE_OK && count == 0);
    CHECK(store_change(st, &after) == STORE_OK);
    CHECK_U64(after, before);
    store_close(st);
}

TEST("there is one writer at a time, and readers beside it see whole batches")
{
    struct store *st = NULL;
    struct store *reader = NULL;
    struct port_why why = {{0}};
    CHECK(store_open_reading(test_port(), store_path(), &reader, &why) == STORE_NOT_FOUND);
    st = open_writer(NULL);
    REQUIRE(st != NULL);
    struct store *second = NULL;
    CHECK(store_open(test_port(), store_path(), NULL, &second, &why) == STORE_BUSY);
    CHECK(strstr(why.text, "another process") != NULL);
    REQUIRE(store_open_reading(test_port(), store_path(), &reader, &why) == STORE_OK);
    int64_t series = make_series(st, &press, "t");
    struct point p = device_point(5, 1);
    size_t repeated;
    size_t count;
    uint64_t change;
    struct store_points_at at = {0};
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_append(st, series, &p, 1, &repeated) == STORE_OK);
    CHECK(store_points(reader, series, 0, 10, &at, got, 5, &count) == STORE_OK && count == 0);
    CHECK(store_commit(st, &change) == STORE_OK);
    CHECK(store_points(reader, series, 0, 10, &at, got, 5, &count) == STORE_OK && count == 1);
    store_close(reader);
    store_close(st);
}

TEST("series are unique by device, stream, name and unit, listed by id and by what changed, and "
     "limited")
{
    struct store *st = open_writer(&(struct store_limits){.series_per_device_max = 3});
    REQUIRE(st != NULL);
    int64_t a = make_series(st, &press, "a");
    int64_t b = make_series(st, &press, "b");
    int64_t c = make_series(st, &press, "c");
    int64_t other = make_series(st, &valve, "a");
    CHECK(a > 0 && b > a && c > b && other > c);
    CHECK(make_series(st, &press, "a") == a);
    bool is_new = true;
    int64_t id = 0;
    store_rollback(st);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_series_ensure(st, &press, "s", "d", "Cel", &id, &is_new) == STORE_TOO_MANY);
    CHECK(store_series_ensure(st, &press, "s", "c", "Cel", &id, &is_new) == STORE_OK && id == c
          && !is_new);
    store_rollback(st);
    struct point p = device_point(5, 21.5);
    size_t repeated;
    size_t count;
    uint64_t since;
    static struct store_series rows[8];
    CHECK(append(st, a, &p, 1, &repeated));
    CHECK(store_change(st, &since) == STORE_OK);
    CHECK(append(st, c, &p, 1, &repeated));
    CHECK(store_series_list(st, &press, 0, 0, rows, 8, &count) == STORE_OK && count == 3);
    CHECK(rows[0].id == a && rows[1].count == 0 && rows[2].last.value == 21.5);
    CHECK(strcmp(rows[0].name, "a") == 0 && strcmp(rows[0].unit, "Cel") == 0);
    CHECK(store_series_list(st, &press, 0, since, rows, 8, &count) == STORE_OK);
    CHECK(count == 1 && rows[0].id == c && rows[0].change > since);
    CHECK(store_series_list(st, NULL, a, 0, rows, 2, &count) == STORE_OK && count == 2
          && rows[0].id == b);
    CHECK(store_series_find(st, &press, "s", "a", NULL, rows) == STORE_OK && rows[0].id == a);
    CHECK(store_series_find(st, &press, "s", "a", "K", rows) == STORE_NOT_FOUND);
    store_close(st);
}

TEST("devices are found by what changed since, even where one transaction changed more than a page")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    uint64_t change;
    REQUIRE(store_begin(st) == STORE_OK);
    for (uint8_t i = 0; i < 50; i++) {
        struct store_device row = {
            .device = {{i}},
            .gateway = "gw-1",
            .connected = true,
            .seen_ms = 1000 + i,
            .boot = 7,
            .has_clock_offset = i % 2 == 0,
            .clock_offset_ms = -(int64_t)i,
            .agent = "holdfast-agent 0.1.0",
            .received = {.next = 9, .gap_count = 1, .gaps = {{.from = 3, .count = 2}}},
            .links = {1, i},
            .links_len = 2};
        CHECK(store_device_put(st, &row) == STORE_OK);
    }
    REQUIRE(store_commit(st, &change) == STORE_OK);
    uint64_t since = 0;
    size_t total = 0;
    size_t count = 0;
    static struct store_device rows[8];
    do {
        REQUIRE(store_devices_since(st, since, rows, COUNT_OF(rows), &count) == STORE_OK);
        total += count;
        since = count > 0 ? rows[count - 1].change : since;
    } while (count == COUNT_OF(rows));
    CHECK_U64(total, 50);
    CHECK_U64(since, change);
    struct device_id id = {{13}};
    CHECK(store_device_get(st, &id, rows) == STORE_OK);
    CHECK(rows[0].seen_ms == 1013 && !rows[0].has_clock_offset && rows[0].boot == 7);
    CHECK(rows[0].links_len == 2 && rows[0].links[1] == 13);
    CHECK(rows[0].received.gaps[0].from == 3 && strcmp(rows[0].gateway, "gw-1") == 0);
    id.bytes[1] = 1;
    CHECK(store_device_get(st, &id, rows) == STORE_NOT_FOUND);
    store_close(st);
}

TEST("the highest boots of a device are kept, listed in pages and found with their neighbours")
{
    const struct store_limits limits = {.hellos_per_device_max = 8};
    struct store *st = open_writer(&limits);
    REQUIRE(st != NULL);
    struct store_hello hellos[5];
    struct store_hello_around around;
    size_t count = 0;
    uint32_t expired = 0;
    uint64_t change;
    REQUIRE(store_begin(st) == STORE_OK);
    for (uint32_t boot = 24; boot > 0; boot -= 2) {
        struct store_hello hello = {
            .boot = boot, .first = boot * 1000ull, .ephemeral = {4, (uint8_t)boot}};
        CHECK(store_hello_put(st, &press, &hello, &expired) == STORE_OK);
        CHECK_U64(expired, boot > 8 ? 0 : boot);
    }
    CHECK(store_commit(st, &change) == STORE_OK);
    CHECK(store_hellos(st, &press, UINT32_MAX, hellos, 5, &count) == STORE_OK && count == 5);
    CHECK(hellos[0].boot == 24 && hellos[4].boot == 16 && hellos[4].ephemeral[1] == 16);
    CHECK(store_hellos(st, &press, 15, hellos, 5, &count) == STORE_OK && count == 3);
    CHECK(hellos[0].boot == 14 && hellos[2].boot == 10);
    CHECK(store_hellos(st, &valve, UINT32_MAX, hellos, 5, &count) == STORE_OK && count == 0);
    CHECK(store_hello_around(st, &press, 12, &around) == STORE_OK);
    CHECK(around.is_known && around.hello.ephemeral[1] == 12 && !around.is_stale);
    CHECK(around.above_first == 14000 && around.below_first == 10000);
    CHECK(store_hello_around(st, &press, 13, &around) == STORE_OK);
    CHECK(!around.is_known && !around.is_stale);
    CHECK(around.above_first == 14000 && around.below_first == 12000);
    CHECK(store_hello_around(st, &press, 9, &around) == STORE_OK);
    CHECK(!around.is_known && around.is_stale && around.above_first == 10000);
    CHECK(store_hello_around(st, &press, 24, &around) == STORE_OK);
    CHECK(around.is_known && around.above_first == UINT64_MAX);
    store_close(st);
}

TEST("each certificate of a device is kept once, with the first time that it was seen")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    struct store_certificate list[STORE_CERTIFICATES_PER_DEVICE];
    size_t count = 0;
    uint64_t change;
    REQUIRE(store_begin(st) == STORE_OK);
    for (uint8_t i = 0; i < 40; i++) {
        struct store_certificate seen = {.key = {{i % 20}},
                                         .serial = {0x41, i % 20},
                                         .serial_len = 16,
                                         .seen_ms = 100 + i,
                                         .boot = i};
        CHECK(store_certificate_seen(st, &press, &seen) == STORE_OK);
        CHECK(store_certificate_seen(st, &press, &seen) == STORE_OK);
        if (i == 7) {
            CHECK(store_certificates(st, &press, list, &count) == STORE_OK && count == 8);
            CHECK(list[0].seen_ms == 107 && list[7].seen_ms == 100 && list[7].boot == 0);
            CHECK(list[3].key.bytes[0] == 4 && list[3].serial[1] == 4 && list[3].serial_len == 16);
        }
    }
    CHECK(store_commit(st, &change) == STORE_OK);
    CHECK(store_certificates(st, &press, list, &count) == STORE_OK);
    CHECK_U64(count, STORE_CERTIFICATES_PER_DEVICE);
    CHECK(store_certificates(st, &valve, list, &count) == STORE_OK && count == 0);
    store_close(st);
}

TEST("links are kept with gateway, times and how they ended, the newest sixty-four")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    struct store_link links[70];
    size_t count = 0;
    uint64_t change;
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_link_begin(st, &press, "gw-1", 10) == STORE_OK);
    CHECK(store_link_begin(st, &press, "gw-2", 20) == STORE_OK);
    CHECK(store_link_end(st, &press, "gw-2", 30, "keep alive") == STORE_OK);
    CHECK(store_link_end(st, &valve, "gw-1", 30, "not this device") == STORE_OK);
    CHECK(store_links(st, &press, 0, links, 70, &count) == STORE_OK && count == 2);
    CHECK(strcmp(links[0].gateway, "gw-2") == 0);
    CHECK(strcmp(links[0].why, "keep alive") == 0);
    CHECK(links[0].has_ended && links[0].from_ms == 20 && links[0].to_ms == 30);
    CHECK(!links[1].has_ended && links[1].from_ms == 10 && links[1].why[0] == '\0');
    CHECK(store_link_begin(st, &press, "gw-1", 40) == STORE_OK);
    CHECK(store_links(st, &press, links[0].id, links, 70, &count) == STORE_OK && count == 1);
    CHECK(links[0].has_ended && links[0].to_ms == 40);
    CHECK(strcmp(links[0].why, "replaced by a newer link") == 0);
    for (int64_t i = 0; i < 100; i++) {
        CHECK(store_link_begin(st, &press, "gw-1", 100 + i) == STORE_OK);
    }
    CHECK(store_commit(st, &change) == STORE_OK);
    CHECK(store_links(st, &press, 0, links, 70, &count) == STORE_OK);
    CHECK_U64(count, STORE_LINKS_PER_DEVICE);
    CHECK(links[0].from_ms == 199 && !links[0].has_ended && links[63].from_ms == 136);
    store_close(st);
}

TEST("the devices connected at a gateway are found in pages")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    struct store_connected page[3];
    size_t count = 0;
    uint64_t change;
    REQUIRE(store_begin(st) == STORE_OK);
    for (uint8_t i = 0; i < 10; i++) {
        struct store_device row = {
            .device = {{i}}, .connected = i % 2 == 0, .received = {.next = 1}};
        (void)snprintf(row.gateway, sizeof row.gateway, "%s", i < 8 ? "gw-1" : "gw-2");
        CHECK(store_device_put(st, &row) == STORE_OK);
    }
    CHECK(store_commit(st, &change) == STORE_OK);
    CHECK(store_devices_connected(st, "gw-1", 0, page, 3, &count) == STORE_OK && count == 3);
    CHECK(page[0].device.bytes[0] == 0 && page[2].device.bytes[0] == 4);
    CHECK(store_devices_connected(st, "gw-1", page[2].row, page, 3, &count) == STORE_OK);
    CHECK(count == 1 && page[0].device.bytes[0] == 6);
    CHECK(store_devices_connected(st, "gw-3", 0, page, 3, &count) == STORE_OK && count == 0);
    store_close(st);
}

TEST("waiting messages are bounded per device and in all, and come out oldest first")
{
    struct store *st =
        open_writer(&(struct store_limits){.waiting_per_device_max = 3, .waiting_max = 5});
    REQUIRE(st != NULL);
    uint64_t change;
    char gateway[STORE_GATEWAY_MAX + 1];
    uint8_t bytes[64];
    struct writer w = writer_over(bytes, sizeof bytes);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_waiting_add(st, &press, 2, "gw-1", slice_text("one")) == STORE_OK);
    CHECK(store_waiting_add(st, &press, 1, "gw-2", slice_text("two")) == STORE_OK);
    CHECK(store_waiting_add(st, &press, 2, "gw-1", slice_text("three")) == STORE_OK);
    CHECK(store_waiting_add(st, &press, 2, "gw-1", slice_text("four")) == STORE_TOO_MANY);
    CHECK(store_waiting_add(st, &valve, 2, "gw-1", slice_text("five")) == STORE_OK);
    CHECK(store_waiting_add(st, &valve, 2, "gw-1", slice_text("six")) == STORE_OK);
    CHECK(store_waiting_add(st, &valve, 2, "gw-1", slice_text("seven")) == STORE_TOO_MANY);
    REQUIRE(store_commit(st, &change) == STORE_OK);
    store_close(st);
    st = open_writer(&(struct store_limits){.waiting_per_device_max = 3, .waiting_max = 5});
    REQUIRE(st != NULL);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_waiting_add(st, &valve, 2, "gw-1", slice_text("seven")) == STORE_TOO_MANY);
    CHECK(store_waiting_take(st, &press, 2, gateway, &w) == STORE_OK);
    CHECK(slice_is_text(writer_slice(&w), "one") && strcmp(gateway, "gw-1") == 0);
    writer_reset(&w);
    CHECK(store_waiting_expire(st, &press, 1, gateway, &w) == STORE_OK);
    CHECK(slice_is_text(writer_slice(&w), "two") && strcmp(gateway, "gw-2") == 0);
    writer_reset(&w);
    CHECK(store_waiting_expire(st, NULL, 0, gateway, &w) == STORE_OK);
    CHECK(slice_is_text(writer_slice(&w), "three"));
    CHECK(store_waiting_take(st, &press, 2, gateway, &w) == STORE_NOT_FOUND);
    CHECK(store_waiting_add(st, &valve, 2, "gw-1", slice_text("seven")) == STORE_OK);
    store_close(st);
}

TEST("dead letters, lost ranges, sources and counters are kept, listed newest first, and "
     "bounded")
{
    struct store *st = open_writer(&(struct store_limits){
        .dead_letters_max = 10, .dead_letter_bytes_max = 4, .lost_ranges_max = 5});
    REQUIRE(st != NULL);
    uint64_t change;
    size_t count;
    REQUIRE(store_begin(st) == STORE_OK);
    for (int i = 1; i <= 25; i++) {
        struct store_dead_letter letter = {
            .at_ms = i, .gateway = "gw-1", .device = i % 2 ? press : valve};
        (void)snprintf(letter.reason, sizeof letter.reason, i % 5 ? "bad-mac" : "malformed");
        CHECK(store_dead_letter_add(st, &letter, slice_text("payload")) == STORE_OK);
        CHECK(store_lost_add(
                  st, &(struct store_lost){.device = press, .from = 10, .to = 10 + (uint64_t)i})
              == STORE_OK);
    }
    CHECK(store_counter_add(st, "refused.bad-mac", 20) == STORE_OK);
    CHECK(store_counter_add(st, "applied", 2) == STORE_OK);
    CHECK(store_counter_add(st, "applied", 3) == STORE_OK);
    CHECK(
        store_source_put(st, &(struct store_source){.name = "gw-1", .position = 4096, .records = 3})
        == STORE_OK);
    REQUIRE(store_commit(st, &change) == STORE_OK);
    static struct store_dead_letter letters[32];
    CHECK(store_dead_letters(st, NULL, NULL, 0, letters, 32, &count) == STORE_OK && count == 10);
    CHECK(letters[0].at_ms == 25 && letters[9].at_ms == 16 && letters[0].bytes == 7);
    CHECK(store_dead_letters(st, NULL, NULL, letters[4].id, letters, 32, &count) == STORE_OK
          && count == 5);
    CHECK(store_dead_letters(st, &press, "malformed", 0, letters, 32, &count) == STORE_OK
          && count == 1);
    uint8_t bytes[16];
    struct writer w = writer_over(bytes, sizeof bytes);
    CHECK(store_dead_letter_payload(st, letters[0].id, &w) == STORE_OK);
    CHECK(slice_is_text(writer_slice(&w), "payl"));
    struct store_lost lost[8];
    CHECK(store_lost_list(st, &press, 0, lost, 8, &count) == STORE_OK && count == 5
          && lost[0].to == 35);
    struct store_counter counters[4];
    CHECK(store_counters(st, counters, 4, &count) == STORE_OK && count == 2
          && counters[0].value == 5);
    struct store_source source;
    CHECK(store_source_get(st, "gw-1", &source) == STORE_OK && source.position == 4096);
    CHECK(store_source_get(st, "gw-2", &source) == STORE_NOT_FOUND);
    store_close(st);
}

/* 2,000 points of 2020, in four portions that arrive at 1000, 2000, ... */
static int64_t append_portions(struct store *st)
{
    int64_t series = make_series(st, &press, "t");
    size_t repeated;
    uint64_t change;
    model_count = 0;
    for (int64_t t = 0; t < 2000; t++) {
        model_add(device_point(t, (double)t));
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK(store_begin(st) == STORE_OK);
        CHECK(store_arrives(st, (int64_t)(i + 1) * 1000) == STORE_OK);
        CHECK(store_append(st, series, model + i * 500, 500, &repeated) == STORE_OK);
        CHECK(store_commit(st, &change) == STORE_OK);
    }
    return series;
}

TEST("retention goes by the arrival of a chunk's last point, not by the times of its points")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    int64_t series = append_portions(st); /* chunks of 512 that arrived at 2000, 3000 and 4000 */
    size_t deleted;
    uint64_t change;
    struct store_series row;
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_retain(st, 2000, 9, &deleted) == STORE_OK && deleted == 0);
    CHECK(store_retain(st, 3001, 1, &deleted) == STORE_OK && deleted == 1);
    CHECK(store_retain(st, 3001, 9, &deleted) == STORE_OK && deleted == 1);
    CHECK(store_commit(st, &change) == STORE_OK);
    CHECK(store_series_get(st, series, &row) == STORE_OK);
    CHECK(row.count == 976 && row.first_ms == 1024 && row.last_ms == 1999);
    memmove(model, model + 1024, 976 * sizeof model[0]);
    model_count = 976;
    CHECK(range_agrees(st, series, 0, 5000, 100));
    store_close(st);
}

TEST("a clock that goes back lets nothing arrive earlier than what came before it")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    (void)append_portions(st);
    store_close(st);
    st = open_writer(NULL);
    REQUIRE(st != NULL);
    int64_t other = make_series(st, &valve, "t");
    size_t repeated;
    size_t deleted;
    uint64_t change;
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_arrives(st, 5) == STORE_OK);
    CHECK(store_append(st, other, model, 600, &repeated) == STORE_OK);
    CHECK(store_retain(st, 4000, 9, &deleted) == STORE_OK && deleted == 2);
    CHECK(store_retain(st, 4001, 9, &deleted) == STORE_OK && deleted == 2);
    CHECK(store_commit(st, &change) == STORE_OK);
    store_close(st);
}

/* The layout before arrivals, certificates and links were kept. */
static const char to_layout_1[] =
    "BEGIN; DROP INDEX chunk_arrived; ALTER TABLE chunk DROP COLUMN arrived_ms;"
    "CREATE INDEX chunk_age ON chunk(to_ms); ALTER TABLE device DROP COLUMN certificate;"
    "DROP TABLE certificate; DROP TABLE link; PRAGMA user_version = 1; COMMIT";

TEST("a store of layout 1 is brought up to date, its points count as arrived then")
{
    struct store *st = open_writer(NULL);
    REQUIRE(st != NULL);
    struct store_device row = {.device = press, .received = {.next = 7}};
    struct port_why why;
    uint64_t change;
    size_t deleted;
    int64_t series = append_portions(st);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_device_put(st, &row) == STORE_OK);
    CHECK(store_commit(st, &change) == STORE_OK);
    store_close(st);
    sqlite3 *db = NULL;
    REQUIRE(checked_open(store_path(), &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    CHECK(sqlite3_exec(db, to_layout_1, NULL, NULL, NULL) == SQLITE_OK);
    checked_close(db);
    CHECK(store_open_reading(test_port(), store_path(), &st, &why) == STORE_NOT_FOUND);
    for (int i = 0; i < 2; i++) { /* the second time finds it done */
        st = open_writer(NULL);
        REQUIRE(st != NULL);
        CHECK(range_agrees(st, series, 0, 5000, 100));
        CHECK(store_device_get(st, &press, &row) == STORE_OK && row.received.next == 7);
        REQUIRE(store_begin(st) == STORE_OK);
        CHECK(store_arrives(st, 90000 + i) == STORE_OK);
        CHECK(store_link_begin(st, &press, "gw-1", 1) == STORE_OK);
        CHECK(store_retain(st, 90000, 9, &deleted) == STORE_OK && deleted == 0);
        CHECK(store_commit(st, &change) == STORE_OK);
        store_close(st);
    }
    st = open_writer(NULL);
    REQUIRE(st != NULL);
    REQUIRE(store_begin(st) == STORE_OK);
    CHECK(store_retain(st, 90001, 9, &deleted) == STORE_OK && deleted == 3);
    CHECK(store_commit(st, &change) == STORE_OK);
    store_close(st);
}

/* A child appends numbered batches until it is killed; what it acknowledged, and whole batches
 * alone, are there. */
TEST("a writer killed at any time leaves whole batches, and all it had acknowledged")
{
    for (unsigned round = 0; round < 6; round++) {
        int pipe_fd[2];
        REQUIRE(pipe(pipe_fd) == 0);
        (void)store_path();
        (void)unlink(path);
        pid_t child = fork();
        if (child == 0) {
            struct store *st = open_writer(NULL);
            int64_t series = st != NULL ? make_series(st, &press, "t") : 0;
            for (int64_t batch = 0; series > 0; batch++) {
                struct point points[10];
                size_t repeated;
                for (int64_t i = 0; i < 10; i++) {
                    points[i] = device_point(batch * 10 + i, (double)batch);
                }
                if (!append(st, series, points, 10, &repeated) || write(pipe_fd[1], "x", 1) != 1) {
                    break;
                }
            }
            _exit(1);
        }
        unsigned acknowledged = 0;
        char byte;
        for (unsigned want = 20 + round * 37; acknowledged < want; acknowledged++) {
            REQUIRE(read(pipe_fd[0], &byte, 1) == 1);
        }
        CHECK(kill(child, SIGKILL) == 0);
        (void)waitpid(child, NULL, 0);
        (void)close(pipe_fd[1]);
        while (read(pipe_fd[0], &byte, 1) == 1) {
            acknowledged++;
        }
        (void)close(pipe_fd[0]);
        struct store *st = open_writer(NULL);
        REQUIRE(st != NULL);
        struct store_points_at at = {0};
        size_t count = 0;
        CHECK(store_points(st, 1, 0, INT64_MAX, &at, got, MODEL_MAX, &count) == STORE_OK);
        CHECK(count % 10 == 0 && count / 10 >= acknowledged && count / 10 <= acknowledged + 1u);
        for (size_t i = 0; i < count; i++) {
            CHECK(got[i].time_ms == (int64_t)i);
        }
        store_close(st);
    }
}
