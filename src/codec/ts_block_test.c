#include "base/rng.h"
#include "codec/int_stream.h"
#include "codec/ts_block.h"
#include "test/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t bytes[TS_BLOCK_MAX];
static struct point points[TS_BLOCK_POINTS_MAX];
static struct point decoded[TS_BLOCK_POINTS_MAX];

static bool same(const struct point *a, const struct point *b)
{
    return a->time_ms == b->time_ms && memcmp(&a->value, &b->value, sizeof a->value) == 0
           && a->quality == b->quality && a->provenance == b->provenance;
}

/* Encodes and decodes `count` of `points`; the length of the block, or 0 where they do not come
 * back. */
static size_t round_trip(size_t count)
{
    struct writer w = writer_over(bytes, sizeof bytes);
    size_t got = 0;
    memset(decoded, 0, sizeof decoded);
    if (ts_block_encode(points, count, &w) != TS_BLOCK_OK
        || ts_block_decode(writer_slice(&w), decoded, COUNT_OF(decoded), &got) != TS_BLOCK_OK
        || got != count) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!same(&points[i], &decoded[i])) {
            return 0;
        }
    }
    return w.len;
}

static void fill_plain(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        points[i] = (struct point){.time_ms = 1583748873000 + (int64_t)i * 1000,
                                   .quality = TIME_SYNCED,
                                   .provenance = PROVENANCE_DEVICE};
    }
}

static double double_from(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

TEST("every kind of double comes back bit for bit, alone and among others")
{
    const double odd[] = {0.0,
                          -0.0,
                          1.0,
                          -1.0,
                          0.1,
                          1e300,
                          -1e-300,
                          5e-324,
                          2.2e-308,
                          1.0 / 3.0,
                          1e15,
                          1e16,
                          9007199254740993.0,
                          (double)INFINITY,
                          -(double)INFINITY,
                          (double)NAN,
                          -(double)NAN,
                          123456.789,
                          -0.00001,
                          1e22,
                          1e23};
    fill_plain(TS_BLOCK_POINTS_MAX);
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        points[0].value = odd[i];
        CHECK(round_trip(1) > 0);
        for (size_t n = 0; n < TS_BLOCK_POINTS_MAX; n++) {
            points[n].value = 0.25 * (double)n;
        }
        points[77].value = odd[i];
        CHECK(round_trip(TS_BLOCK_POINTS_MAX) > 0);
    }
    points[0].value = double_from(0x7ff0000000000001); /* a signalling NaN with a payload */
    points[1].value = double_from(0xfff8dead0000beef);
    CHECK(round_trip(2) > 0);
}

TEST("random points of every length and shape come back")
{
    struct rng rng = rng_from_seed(11);
    for (unsigned round = 0; round < 3000; round++) {
        size_t count = 1 + (size_t)rng_below(&rng, TS_BLOCK_POINTS_MAX);
        unsigned time_kind = (unsigned)rng_below(&rng, 4);
        unsigned value_kind = (unsigned)rng_below(&rng, 7);
        unsigned width = (unsigned)rng_below(&rng, 64);
        int64_t time = (int64_t)rng_u64(&rng) >> rng_below(&rng, 50);
        double scale = (double[]){1, 10, 1000, 1e7, 1e13}[rng_below(&rng, 5)];
        double value = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t bits = rng_u64(&rng);
            time = time_kind == 0   ? (int64_t)bits
                   : time_kind == 1 ? (int64_t)((uint64_t)time + 1000)
                   : time_kind == 2 ? (int64_t)((uint64_t)time + 990 + bits % 21)
                                    : (int64_t)((uint64_t)time + (bits >> width));
            switch (value_kind) {
            case 0: value = double_from(bits); break;
            case 1: value = (double)(int64_t)(bits >> 40) / scale; break;
            case 2: value += (double)(int64_t)(bits % 7) - 3; break;
            case 3: value = (double)(bits % 5) / 3.0; break;
            case 4: value = i % 17 == 0 ? double_from(bits) : (double)(bits % 4096) / 100; break;
            case 5: value = (double)(int64_t)bits; break;
            default: value = 21.5; break;
            }
            points[i] = (struct point){
                .time_ms = time,
                .value = value,
                .quality = (enum time_quality)(bits >> 60) > 2 ? TIME_SYNCED : TIME_UNKNOWN,
                .provenance =
                    round % 3 == 0 && bits % 3 == 0 ? PROVENANCE_GATEWAY : PROVENANCE_DEVICE};
        }
        if (round_trip(count) == 0) {
            test_failed(__FILE__, __LINE__, "round %u: %zu points of kinds %u %u", round, count,
                        time_kind, value_kind);
            return;
        }
    }
}

TEST("integers at both ends of their range come back from every prediction")
{
    static int64_t values[INT_STREAM_MAX];
    static int64_t again[INT_STREAM_MAX];
    static uint8_t room[8192];
    const int64_t ends[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MIN + 1, INT64_MAX - 1};
    struct rng rng = rng_from_seed(3);
    for (unsigned round = 0; round < 2000; round++) {
        size_t count = 1 + (size_t)rng_below(&rng, 100);
        for (size_t i = 0; i < count; i++) {
            values[i] = ends[rng_below(&rng, COUNT_OF(ends))];
        }
        struct bits_out b = {.at = room, .cap = sizeof room};
        int_stream_encode(values, count, &b);
        bits_end(&b);
        struct bits_in in = bits_over(slice_of(room, b.len));
        CHECK(int_stream_decode(&in, again, count));
        CHECK(memcmp(values, again, count * sizeof values[0]) == 0);
        CHECK(bits_used(&in) <= b.len);
    }
}

TEST("the worst block there is fits the stated room, and less room is refused without a word "
     "written beyond")
{
    struct rng rng = rng_from_seed(23);
    for (size_t i = 0; i < TS_BLOCK_POINTS_MAX; i++) {
        points[i] =
            (struct point){.time_ms = (int64_t)(rng_u64(&rng) | (i % 2 == 0 ? 1ull << 63 : 0)),
                           .value = double_from(rng_u64(&rng) | 1),
                           .quality = i % 2 == 0 ? TIME_SYNCED : TIME_HOLDOVER,
                           .provenance = PROVENANCE_DEVICE};
    }
    size_t len = round_trip(TS_BLOCK_POINTS_MAX);
    CHECK(len > 0);
    for (size_t cap = 0; cap < len; cap += 1 + len / 97) {
        bytes[cap] = 0xa5;
        struct writer w = writer_over(bytes, cap);
        CHECK(ts_block_encode(points, TS_BLOCK_POINTS_MAX, &w) == TS_BLOCK_NO_ROOM);
        CHECK(bytes[cap] == 0xa5);
    }
    struct writer w = writer_over(bytes, sizeof bytes);
    CHECK(ts_block_encode(points, 0, &w) == TS_BLOCK_MALFORMED);
}

TEST("a block with a bit turned, cut short or longer than it should be is not read")
{
    fill_plain(100);
    for (size_t i = 0; i < 100; i++) {
        points[i].value = (double)(i * i % 37) / 8;
    }
    size_t len = round_trip(100);
    size_t count = 0;
    REQUIRE(len > 0);
    for (size_t bit = 0; bit < len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(ts_block_decode(slice_of(bytes, len), decoded, COUNT_OF(decoded), &count)
              == TS_BLOCK_MALFORMED);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        CHECK(ts_block_decode(slice_of(bytes, cut), decoded, COUNT_OF(decoded), &count)
              == TS_BLOCK_MALFORMED);
    }
    bytes[len] = 0;
    CHECK(ts_block_decode(slice_of(bytes, len + 1), decoded, COUNT_OF(decoded), &count)
          == TS_BLOCK_MALFORMED);
    CHECK(ts_block_decode(slice_of(bytes, len), decoded, 99, &count) == TS_BLOCK_NO_ROOM);
    CHECK_U64(count, 0);
}

TEST("the vector of docs/protocol/ts-block.md is what is written and read")
{
    static const uint8_t vector[] = {0x01, 0x00, 0x03, 0x00, 0x01, 0x06, 0x00, 0x03,
                                     0x85, 0xfd, 0x01, 0x7f, 0x43, 0xf0, 0x40, 0x42,
                                     0xf8, 0x20, 0x3e, 0x00, 0x77, 0xc4, 0x0f, 0x1d};
    size_t count = 0;
    struct writer w = writer_over(bytes, sizeof bytes);
    for (size_t i = 0; i < 3; i++) {
        points[i] = (struct point){1000 + (int64_t)i * 1000, i < 2 ? 1.5 : 2.5, TIME_SYNCED,
                                   PROVENANCE_DEVICE};
    }
    CHECK(ts_block_encode(points, 3, &w) == TS_BLOCK_OK);
    CHECK(slice_equal(writer_slice(&w), slice_of(vector, sizeof vector)));
    CHECK(ts_block_decode(slice_of(vector, sizeof vector), decoded, 3, &count) == TS_BLOCK_OK);
    CHECK(count == 3 && same(&decoded[2], &points[2]));
}

TEST("a steady series costs next to nothing")
{
    fill_plain(TS_BLOCK_POINTS_MAX);
    size_t len = round_trip(TS_BLOCK_POINTS_MAX);
    CHECK(len > 0 && len < 64);
}

/* Columns of a recorded plant, one at a time. Bytes a point over all of them, 0 where something was
 * lost. */
static double measure(const char *path, size_t *columns_total)
{
    size_t total_bytes = 0;
    size_t total_points = 0;
    for (unsigned column = 1; column <= 8; column++) {
        FILE *file = fopen(path, "r");
        char line[512];
        size_t filled = 0;
        if (file == NULL || fgets(line, sizeof line, file) == NULL) {
            return 0;
        }
        bool more = true;
        while (more) {
            more = fgets(line, sizeof line, file) != NULL;
            if (more) {
                char *field = line;
                for (unsigned skip = 0; skip < column && field != NULL; skip++) {
                    field = strchr(field, ';');
                    field = field != NULL ? field + 1 : NULL;
                }
                points[filled] =
                    (struct point){.quality = TIME_SYNCED, .provenance = PROVENANCE_DEVICE};
                if (field == NULL || !time_from_text(slice_of(line, 19), &points[filled].time_ms)) {
                    (void)fclose(file);
                    return 0;
                }
                points[filled++].value = strtod(field, NULL);
            }
            if (filled > 0 && (filled == TS_BLOCK_POINTS_MAX || !more)) {
                size_t len = round_trip(filled);
                if (len == 0) {
                    (void)fclose(file);
                    return 0;
                }
                total_bytes += len;
                total_points += filled;
                filled = 0;
            }
        }
        (void)fclose(file);
        (*columns_total)++;
    }
    return (double)total_bytes / (double)total_points;
}

TEST("a recorded plant takes at most three bytes a point and comes back whole")
{
    const char *names[] = {"valve1-0.csv", "valve1-6.csv", "valve2-0.csv", "other-1.csv",
                           "anomaly-free-anomaly-free.csv"};
    const char *shared = getenv("HOLDFAST_SHARED");
    if (shared == NULL) {
        test_skipped("HOLDFAST_SHARED names no folder with data/skab");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[512];
        size_t columns = 0;
        (void)snprintf(path, sizeof path, "%s/data/skab/%s", shared, names[i]);
        double cost = measure(path, &columns);
        CHECK_U64(columns, 8);
        printf("  %s: %.2f bytes a point\n", names[i], cost);
        CHECK(cost > 0 && cost <= 3.0);
    }
}
