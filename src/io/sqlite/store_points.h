/*
 * The open block of a series and its chunks: shared by what appends and what queries.
 */
#ifndef IO_SQLITE_STORE_POINTS_H
#define IO_SQLITE_STORE_POINTS_H

#include "io/sqlite/store_db.h"

struct head {
    uint64_t points;
    int64_t first_ms, last_ms;
    struct point last;
    bool has_chunks;
    int64_t closed_to_ms; /* newest time in a chunk */
    int64_t span_ms;      /* no chunk covers more time than this */
    size_t fresh_count;
    struct point fresh[STORE_BLOCK_POINTS]; /* ordered by time, equals by arrival */
};

/* STORE_OK with an empty head where the series has none yet. */
enum store_result store_head_get(struct store *st, int64_t series, struct head *out);
enum store_result store_head_put(struct store *st, int64_t series, const struct head *head);

/* The points of a chunk: at most STORE_BLOCK_POINTS. */
enum store_result store_chunk_read(struct store *st, int64_t id, struct point *out, size_t *count);

/* The same into st->chunk, unless it is there already. */
enum store_result store_chunk_cached(struct store *st, int64_t id);

int64_t store_bits_of(double value);
double store_double_of(int64_t bits);

/* a - b and a + b, held at the ends of the range. */
int64_t store_time_minus(int64_t a, int64_t b);

#endif
