/*
 * Adding points: into the open block, in their place by time; a full block becomes a chunk. Also
 * what retention takes away again.
 */
#include "base/invariant.h"
#include "codec/ts_block.h"
#include "io/sqlite/store_points.h"

#include <assert.h>
#include <string.h>

static_assert((int)STORE_BLOCK_POINTS == (int)TS_BLOCK_POINTS_MAX, "a chunk is one block");

int64_t store_bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

double store_double_of(int64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int64_t store_time_minus(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference)) {
        return b < 0 ? INT64_MAX : INT64_MIN;
    }
    return difference;
}

static enum store_result head_decode(struct store *st, sqlite3_stmt *s, struct head *out)
{
    out->points = (uint64_t)sqlite3_column_int64(s, 0);
    out->first_ms = sqlite3_column_int64(s, 1);
    out->last_ms = sqlite3_column_int64(s, 2);
    out->last = (struct point){.time_ms = out->last_ms,
                               .value = store_double_of(sqlite3_column_int64(s, 3)),
                               .quality = (enum time_quality)sqlite3_column_int(s, 4),
                               .provenance = (enum provenance)sqlite3_column_int(s, 5)};
    out->has_chunks = sqlite3_column_type(s, 6) != SQLITE_NULL;
    out->closed_to_ms = sqlite3_column_int64(s, 6);
    out->span_ms = sqlite3_column_int64(s, 7);
    out->fresh_count = 0;
    struct slice block = column_slice(s, 8);
    if (block.len > 0
        && ts_block_decode(block, out->fresh, COUNT_OF(out->fresh), &out->fresh_count)
               != TS_BLOCK_OK) {
        return store_damaged(st, "the open block of a series");
    }
    return STORE_OK;
}

enum store_result store_head_get(struct store *st, int64_t series, struct head *out)
{
    sqlite3_stmt *s = store_statement(st, SQL_HEAD_GET);
    (void)sqlite3_bind_int64(s, 1, series);
    enum store_result result = store_row(st, s);
    if (result == STORE_NOT_FOUND) {
        out->points = 0;
        out->first_ms = 0;
        out->last_ms = 0;
        out->last = (struct point){0};
        out->has_chunks = false;
        out->closed_to_ms = 0;
        out->span_ms = 0;
        out->fresh_count = 0;
        return STORE_OK;
    }
    if (result == STORE_OK) {
        result = head_decode(st, s, out);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_head_put(struct store *st, int64_t series, const struct head *head)
{
    struct writer w = writer_over(st->block, sizeof st->block);
    sqlite3_stmt *s = store_statement(st, SQL_HEAD_PUT);
    (void)sqlite3_bind_int64(s, 1, series);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)store_next_change(st));
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)head->points);
    (void)sqlite3_bind_int64(s, 4, head->first_ms);
    (void)sqlite3_bind_int64(s, 5, head->last_ms);
    (void)sqlite3_bind_int64(s, 6, store_bits_of(head->last.value));
    (void)sqlite3_bind_int(s, 7, (int)head->last.quality);
    (void)sqlite3_bind_int(s, 8, (int)head->last.provenance);
    if (head->has_chunks) {
        (void)sqlite3_bind_int64(s, 9, head->closed_to_ms);
    }
    (void)sqlite3_bind_int64(s, 10, head->span_ms);
    if (head->fresh_count > 0) {
        enum ts_block_result encoded = ts_block_encode(head->fresh, head->fresh_count, &w);
        INVARIANT(encoded == TS_BLOCK_OK);
        bind_bytes(s, 11, st->block, w.len);
    }
    return store_run(st, s);
}

enum store_result store_chunk_read(struct store *st, int64_t id, struct point *out, size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_CHUNK_BLOCK);
    (void)sqlite3_bind_int64(s, 1, id);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        if (ts_block_decode(column_slice(s, 0), out, STORE_BLOCK_POINTS, count) != TS_BLOCK_OK) {
            result = store_damaged(st, "a chunk");
        }
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_chunk_cached(struct store *st, int64_t id)
{
    if (id == st->chunk_id) {
        return STORE_OK;
    }
    st->chunk_id = 0;
    enum store_result result = store_chunk_read(st, id, st->chunk, &st->chunk_count);
    st->chunk_id = result == STORE_OK ? id : 0;
    return result;
}

/* What a chunk says of itself, so that a bucket that holds it whole need not open it. */
struct summary {
    size_t counted;
    double low, high, total;
};

static struct summary summary_of(const struct point *points, size_t count)
{
    struct summary sum = {0};
    for (size_t i = 0; i < count; i++) {
        double v = points[i].value;
        if (v != v) {
            continue;
        }
        sum.low = sum.counted == 0 || v < sum.low ? v : sum.low;
        sum.high = sum.counted == 0 || v > sum.high ? v : sum.high;
        sum.total += v;
        sum.counted++;
    }
    return sum;
}

/* The full open block becomes a chunk. */
static enum store_result close_block(struct store *st, int64_t series, struct head *head)
{
    struct writer w = writer_over(st->block, sizeof st->block);
    size_t count = head->fresh_count;
    int64_t from = head->fresh[0].time_ms;
    int64_t to = head->fresh[count - 1].time_ms;
    INVARIANT(from <= to);
    enum ts_block_result encoded = ts_block_encode(head->fresh, count, &w);
    INVARIANT(encoded == TS_BLOCK_OK);
    struct summary sum = summary_of(head->fresh, count);
    sqlite3_stmt *s = store_statement(st, SQL_CHUNK_ADD);
    (void)sqlite3_bind_int64(s, 1, series);
    (void)sqlite3_bind_int64(s, 2, from);
    (void)sqlite3_bind_int64(s, 3, to);
    (void)sqlite3_bind_int64(s, 4, (sqlite3_int64)count);
    (void)sqlite3_bind_int64(s, 5, (sqlite3_int64)sum.counted);
    if (sum.counted > 0) {
        (void)sqlite3_bind_double(s, 6, sum.low);
        (void)sqlite3_bind_double(s, 7, sum.high);
        (void)sqlite3_bind_double(s, 8, sum.total); /* NULL where it is NaN: inf - inf */
    }
    bind_bytes(s, 9, st->block, w.len);
    (void)sqlite3_bind_int64(s, 10, st->arrived_ms);
    int64_t span = store_time_minus(to, from);
    head->span_ms = span > head->span_ms ? span : head->span_ms;
    head->closed_to_ms = !head->has_chunks || to > head->closed_to_ms ? to : head->closed_to_ms;
    head->has_chunks = true;
    head->fresh_count = 0;
    return store_run(st, s);
}

/* The first of the ordered points whose time is above `time_ms`. */
static size_t place_after(const struct point *points, size_t count, int64_t time_ms)
{
    size_t low = 0;
    size_t high = count;
    if (count > 0 && points[count - 1].time_ms <= time_ms) {
        return count;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (points[middle].time_ms <= time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool holds_repeat(const struct point *points, size_t count, const struct point *p)
{
    for (size_t i = place_after(points, count, p->time_ms); i > 0; i--) {
        const struct point *there = &points[i - 1];
        if (there->time_ms != p->time_ms) {
            return false;
        }
        if (there->provenance == PROVENANCE_GATEWAY
            && store_bits_of(there->value) == store_bits_of(p->value)) {
            return true;
        }
    }
    return false;
}

static enum store_result is_in_chunks(
    struct store *st, int64_t series, const struct head *head, const struct point *p, bool *found)
{
    *found = false;
    if (!head->has_chunks || p->time_ms > head->closed_to_ms) {
        return STORE_OK;
    }
    sqlite3_stmt *s = store_statement(st, SQL_CHUNK_AT);
    (void)sqlite3_bind_int64(s, 1, series);
    (void)sqlite3_bind_int64(s, 2, store_time_minus(p->time_ms, head->span_ms));
    (void)sqlite3_bind_int64(s, 3, p->time_ms);
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && !*found) {
        int64_t id = sqlite3_column_int64(s, 0);
        result = store_chunk_cached(st, id);
        if (result != STORE_OK) {
            break;
        }
        *found = holds_repeat(st->chunk, st->chunk_count, p);
        result = *found ? STORE_OK : store_row(st, s);
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

static void insert_fresh(struct head *head, const struct point *p)
{
    size_t place = place_after(head->fresh, head->fresh_count, p->time_ms);
    INVARIANT(head->fresh_count < STORE_BLOCK_POINTS);
    memmove(&head->fresh[place + 1], &head->fresh[place],
            (head->fresh_count - place) * sizeof head->fresh[0]);
    head->fresh[place] = *p;
    head->fresh_count++;
    head->first_ms = head->points == 0 || p->time_ms < head->first_ms ? p->time_ms : head->first_ms;
    if (head->points == 0 || p->time_ms >= head->last_ms) {
        head->last_ms = p->time_ms;
        head->last = *p;
    }
    head->points++;
}

enum store_result store_append(
    struct store *st, int64_t series, const struct point *points, size_t count, size_t *repeated)
{
    struct head head;
    INVARIANT(st->in_transaction);
    enum store_result result = store_head_get(st, series, &head);
    size_t collapsed = 0;
    for (size_t i = 0; i < count && result == STORE_OK; i++) {
        if (points[i].provenance == PROVENANCE_GATEWAY) {
            bool found = holds_repeat(head.fresh, head.fresh_count, &points[i]);
            if (!found) {
                result = is_in_chunks(st, series, &head, &points[i], &found);
            }
            if (found) {
                collapsed++;
                continue;
            }
        }
        if (result == STORE_OK) {
            insert_fresh(&head, &points[i]);
            if (head.fresh_count == STORE_BLOCK_POINTS) {
                result = close_block(st, series, &head);
            }
        }
    }
    if (result == STORE_OK && collapsed < count) {
        result = store_head_put(st, series, &head);
    }
    if (result == STORE_OK) {
        *repeated = collapsed;
    }
    return result;
}

/* The oldest time that is left after a chunk went. */
static enum store_result find_first(struct store *st, int64_t series, struct head *head)
{
    sqlite3_stmt *s = store_statement(st, SQL_CHUNK_FIRST);
    (void)sqlite3_bind_int64(s, 1, series);
    enum store_result result = store_row(st, s);
    bool has_chunk = result == STORE_OK;
    int64_t first = has_chunk ? sqlite3_column_int64(s, 0) : INT64_MAX;
    (void)sqlite3_reset(s);
    if (head->fresh_count > 0 && head->fresh[0].time_ms < first) {
        first = head->fresh[0].time_ms;
    }
    head->first_ms = head->points > 0 ? first : head->first_ms;
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

static enum store_result forget_chunk(struct store *st, int64_t id, int64_t series, uint64_t points)
{
    struct head head;
    sqlite3_stmt *s = store_statement(st, SQL_CHUNK_DELETE);
    (void)sqlite3_bind_int64(s, 1, id);
    enum store_result result = store_run(st, s);
    result = result == STORE_OK ? store_head_get(st, series, &head) : result;
    if (result != STORE_OK) {
        return result;
    }
    if (!HOLDS(head.points >= points)) {
        return store_damaged(st, "the totals of a series");
    }
    head.points -= points;
    result = find_first(st, series, &head);
    return result == STORE_OK ? store_head_put(st, series, &head) : result;
}

enum store_result store_retain(struct store *st,
                               int64_t before_ms,
                               size_t chunks_max,
                               size_t *deleted)
{
    INVARIANT(st->in_transaction);
    enum store_result result = STORE_OK;
    size_t count = 0;
    bool takes_undated = st->dated_ms != 0 && st->dated_ms < before_ms;
    st->chunk_id = 0;
    while (count < chunks_max) {
        sqlite3_stmt *s = store_statement(st, SQL_CHUNK_OLD);
        (void)sqlite3_bind_int64(s, 1, takes_undated ? 0 : 1);
        (void)sqlite3_bind_int64(s, 2, before_ms);
        result = store_row(st, s);
        if (result != STORE_OK) {
            break;
        }
        int64_t id = sqlite3_column_int64(s, 0);
        int64_t series = sqlite3_column_int64(s, 1);
        uint64_t points = (uint64_t)sqlite3_column_int64(s, 2);
        (void)sqlite3_reset(s);
        result = forget_chunk(st, id, series, points);
        if (result != STORE_OK) {
            break;
        }
        count++;
    }
    *deleted = count;
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}
