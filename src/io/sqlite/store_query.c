/*
 * Reading points: ranges in order of time, and ranges cut in buckets.
 */
#include "base/invariant.h"
#include "io/sqlite/store_points.h"

#include <stdlib.h>
#include <string.h>

enum {
    TIME_LIMIT_BITS = 49
}; /* of a query: 17,000 years around 1970, so that nothing below overflows */

static int64_t clamp_time(int64_t t)
{
    const int64_t limit = (int64_t)1 << TIME_LIMIT_BITS;
    return t < -limit ? -limit : t > limit ? limit : t;
}

/* Points in order of (time, arrival); grows. */
struct gathered {
    struct point *at;
    uint64_t *source; /* the id of the chunk each came from: the order of arrival */
    size_t count, cap;
};

static enum store_result make_room(struct store *st, struct gathered *g)
{
    if (g->cap - g->count >= STORE_BLOCK_POINTS) {
        return STORE_OK;
    }
    size_t cap = g->cap * 2 + (size_t)STORE_BLOCK_POINTS * 2;
    struct point *at = realloc(g->at, cap * sizeof *at);
    g->at = at != NULL ? at : g->at;
    uint64_t *source = realloc(g->source, cap * sizeof *source);
    g->source = source != NULL ? source : g->source;
    if (at == NULL || source == NULL) {
        return store_damaged(st, "no memory for a query");
    }
    g->cap = cap;
    return STORE_OK;
}

/* The first of the ordered points with a time of `time_ms` or more. */
static size_t place_from(const struct point *points, size_t count, int64_t time_ms)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (points[middle].time_ms < time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool comes_before(int64_t a_ms, uint64_t a_source, int64_t b_ms, uint64_t b_source)
{
    return a_ms != b_ms ? a_ms < b_ms : a_source < b_source;
}

/*
 * The `extra` points of one source that lie behind the gathered ones are merged in from the back:
 * what lies before the first of them does not move.
 */
static enum store_result merge_tail(struct store *st,
                                    struct gathered *g,
                                    size_t extra,
                                    uint64_t source)
{
    struct point *part = g->at + g->count;
    for (size_t i = 0; i < extra; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): make_room was asked */
        g->source[g->count + i] = source;
    }
    if (extra == 0 || g->count == 0
        || comes_before(g->at[g->count - 1].time_ms, g->source[g->count - 1], part[0].time_ms,
                        source)) {
        g->count += extra;
        return STORE_OK;
    }
    struct point *copy = malloc(extra * sizeof *copy);
    if (copy == NULL) {
        return store_damaged(st, "no memory for a query");
    }
    memcpy(copy, part, extra * sizeof *copy);
    size_t left = g->count;
    size_t more = extra;
    for (size_t to = g->count + extra; more > 0;) {
        to--;
        if (left > 0
            && comes_before(copy[more - 1].time_ms, source, g->at[left - 1].time_ms,
                            g->source[left - 1])) {
            left--;
            g->at[to] = g->at[left];
            g->source[to] = g->source[left];
        } else {
            more--;
            g->at[to] = copy[more];
            g->source[to] = source;
        }
    }
    g->count += extra;
    free(copy);
    return STORE_OK;
}

/* Leaves of the `count` points behind the gathered ones those from `from_ms` to before `to_ms`. */
static size_t trim(struct gathered *g, size_t count, int64_t from_ms, int64_t to_ms)
{
    struct point *part = g->at + g->count;
    size_t begin = place_from(part, count, from_ms);
    size_t end = place_from(part, count, to_ms);
    if (begin > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): begin is within what is there */
        memmove(part, part + begin, (end - begin) * sizeof *part);
    }
    return end - begin;
}

static sqlite3_stmt *chunks_between(
    struct store *st, int64_t series, const struct head *head, int64_t from_ms, int64_t to_ms)
{
    sqlite3_stmt *s = store_statement(st, SQL_CHUNK_RANGE);
    (void)sqlite3_bind_int64(s, 1, series);
    (void)sqlite3_bind_int64(s, 2, store_time_minus(from_ms, head->span_ms));
    (void)sqlite3_bind_int64(s, 3, from_ms);
    (void)sqlite3_bind_int64(s, 4, to_ms);
    return s;
}

/*
 * At least the first `want` points from `from_ms` on, or all there are. Chunks come by their first
 * time: once `want` gathered points lie before the next chunk's first, no chunk can add to them.
 */
static enum store_result gather(struct store *st,
                                int64_t series,
                                int64_t from_ms,
                                int64_t to_ms,
                                size_t want,
                                struct gathered *g)
{
    struct head head;
    enum store_result result = store_head_get(st, series, &head);
    if (result != STORE_OK) {
        return result;
    }
    sqlite3_stmt *s = chunks_between(st, series, &head, from_ms, to_ms);
    result = head.has_chunks ? store_row(st, s) : STORE_NOT_FOUND;
    while (result == STORE_OK) {
        int64_t id = sqlite3_column_int64(s, 0);
        int64_t chunk_from = sqlite3_column_int64(s, 1);
        size_t count = 0;
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): count >= want > 0 */
        if (g->count >= want && g->at[want - 1].time_ms < chunk_from) {
            break;
        }
        result = make_room(st, g);
        result = result == STORE_OK ? store_chunk_read(st, id, g->at + g->count, &count) : result;
        if (result == STORE_OK) {
            result = merge_tail(st, g, trim(g, count, from_ms, to_ms), (uint64_t)id);
        }
        if (result == STORE_OK) {
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    if (result != STORE_OK && result != STORE_NOT_FOUND) {
        return result;
    }
    result = make_room(st, g);
    if (result == STORE_OK && head.fresh_count > 0) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): make_room was asked */
        memcpy(g->at + g->count, head.fresh, head.fresh_count * sizeof head.fresh[0]);
        result = merge_tail(st, g, trim(g, head.fresh_count, from_ms, to_ms), UINT64_MAX);
    }
    return result;
}

enum store_result store_points(struct store *st,
                               int64_t series,
                               int64_t from_ms,
                               int64_t to_ms,
                               struct store_points_at *at,
                               struct point *out,
                               size_t cap,
                               size_t *count)
{
    *count = 0;
    if (at->begun) {
        from_ms = at->time_ms > from_ms ? at->time_ms : from_ms;
    }
    if (cap == 0 || from_ms >= to_ms) {
        return STORE_OK;
    }
    struct gathered g = {0};
    bool begun;
    enum store_result result = store_read_begin(st, &begun);
    size_t skip = at->begun && at->time_ms == from_ms ? (size_t)at->skip : 0;
    if (result == STORE_OK) {
        size_t want = skip <= SIZE_MAX - cap ? skip + cap : SIZE_MAX;
        result = gather(st, series, from_ms, to_ms, want, &g);
    }
    store_read_end(st, begun);
    if (result == STORE_OK && g.count > skip) {
        size_t give = g.count - skip < cap ? g.count - skip : cap;
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): points were gathered */
        memcpy(out, g.at + skip, give * sizeof *out);
        int64_t last_ms = out[give - 1].time_ms;
        size_t same = skip + give - place_from(g.at, skip + give, last_ms);
        *at = (struct store_points_at){.begun = true, .time_ms = last_ms, .skip = same};
        *count = give;
    }
    free(g.at);
    free(g.source);
    return result;
}

/* ---- buckets ---- */

struct cut {
    int64_t from_ms, to_ms;
    uint64_t span;
    struct store_bucket *buckets; /* mean holds the sum while they fill */
    size_t count;
};

static int64_t bucket_begin(const struct cut *c, size_t i)
{
    /* The least time t with (t - from) * count / span >= i. */
    uint64_t offset = (i * c->span + c->count - 1) / c->count;
    return c->from_ms + (int64_t)offset;
}

static size_t bucket_of(const struct cut *c, int64_t time_ms)
{
    return (size_t)((uint64_t)(time_ms - c->from_ms) * c->count / c->span);
}

static void bucket_add(
    struct store_bucket *b, uint64_t count, double low, double high, double total)
{
    b->min = b->count == 0 || low < b->min ? low : b->min;
    b->max = b->count == 0 || high > b->max ? high : b->max;
    b->mean = b->count == 0 ? total : b->mean + total;
    b->count += count;
}

static void cut_points(struct cut *c, const struct point *points, size_t count)
{
    size_t i = place_from(points, count, c->from_ms);
    while (i < count && points[i].time_ms < c->to_ms) {
        size_t which = bucket_of(c, points[i].time_ms);
        int64_t end = which + 1 < c->count ? bucket_begin(c, which + 1) : c->to_ms;
        INVARIANT(points[i].time_ms < end);
        for (; i < count && points[i].time_ms < end; i++) {
            double v = points[i].value;
            if (v == v) {
                bucket_add(&c->buckets[which], 1, v, v, v);
            }
        }
    }
}

/* A chunk that lies in one bucket whole and knows its sum is not opened. */
static enum store_result cut_chunk(struct store *st, struct cut *c, sqlite3_stmt *s)
{
    int64_t id = sqlite3_column_int64(s, 0);
    int64_t first = sqlite3_column_int64(s, 1);
    int64_t last = sqlite3_column_int64(s, 2);
    bool has_total = sqlite3_column_type(s, 6) != SQLITE_NULL;
    if (first >= c->from_ms && last < c->to_ms && has_total
        && bucket_of(c, first) == bucket_of(c, last)) {
        bucket_add(&c->buckets[bucket_of(c, first)], (uint64_t)sqlite3_column_int64(s, 3),
                   sqlite3_column_double(s, 4), sqlite3_column_double(s, 5),
                   sqlite3_column_double(s, 6));
        return STORE_OK;
    }
    enum store_result result = store_chunk_cached(st, id);
    if (result == STORE_OK) {
        cut_points(c, st->chunk, st->chunk_count);
    }
    return result;
}

static enum store_result cut_series(struct store *st, struct cut *c, int64_t series)
{
    struct head head;
    enum store_result result = store_head_get(st, series, &head);
    if (result != STORE_OK) {
        return result;
    }
    cut_points(c, head.fresh, head.fresh_count);
    if (!head.has_chunks) {
        return STORE_OK;
    }
    sqlite3_stmt *s = chunks_between(st, series, &head, c->from_ms, c->to_ms);
    result = store_row(st, s);
    while (result == STORE_OK) {
        result = cut_chunk(st, c, s);
        result = result == STORE_OK ? store_row(st, s) : result;
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_buckets(struct store *st,
                                int64_t series,
                                int64_t from_ms,
                                int64_t to_ms,
                                struct store_bucket *out,
                                size_t count)
{
    INVARIANT(count > 0 && count <= STORE_BUCKETS_MAX);
    memset(out, 0, count * sizeof *out);
    struct cut c = {
        .from_ms = clamp_time(from_ms), .to_ms = clamp_time(to_ms), .buckets = out, .count = count};
    if (c.from_ms >= c.to_ms) {
        return STORE_OK;
    }
    c.span = (uint64_t)(c.to_ms - c.from_ms);
    bool begun;
    enum store_result result = store_read_begin(st, &begun);
    if (result == STORE_OK) {
        result = cut_series(st, &c, series);
    }
    store_read_end(st, begun);
    for (size_t i = 0; i < count; i++) {
        out[i].mean = out[i].count > 0 ? out[i].mean / (double)out[i].count : 0;
    }
    return result;
}
