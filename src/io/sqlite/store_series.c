/*
 * Series: finding, making, listing.
 */
#include "base/invariant.h"
#include "io/sqlite/store_points.h"

#include <string.h>

static enum store_result read_series(struct store *st, sqlite3_stmt *s, struct store_series *out)
{
    memset(out, 0, sizeof *out);
    out->id = sqlite3_column_int64(s, 0);
    if (!column_bytes(s, 1, out->device.bytes, sizeof out->device.bytes)) {
        return store_damaged(st, "series");
    }
    column_text(s, 2, out->stream, sizeof out->stream);
    column_text(s, 3, out->name, sizeof out->name);
    column_text(s, 4, out->unit, sizeof out->unit);
    out->count = (uint64_t)sqlite3_column_int64(s, 5);
    out->first_ms = sqlite3_column_int64(s, 6);
    out->last_ms = sqlite3_column_int64(s, 7);
    out->last = (struct point){.time_ms = out->last_ms,
                               .value = store_double_of(sqlite3_column_int64(s, 8)),
                               .quality = (enum time_quality)sqlite3_column_int(s, 9),
                               .provenance = (enum provenance)sqlite3_column_int(s, 10)};
    out->change = (uint64_t)sqlite3_column_int64(s, 11);
    return STORE_OK;
}

static enum store_result one_series(struct store *st, sqlite3_stmt *s, struct store_series *out)
{
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        result = read_series(st, s, out);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_series_list(struct store *st,
                                    const struct device_id *device,
                                    int64_t after_id,
                                    uint64_t since,
                                    struct store_series *out,
                                    size_t cap,
                                    size_t *count)
{
    sqlite3_stmt *s = store_statement(st, device != NULL ? SQL_SERIES_LIST : SQL_SERIES_LIST_ALL);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, after_id);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)since);
    (void)sqlite3_bind_int64(s, 4, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        result = read_series(st, s, &out[*count]);
        if (result == STORE_OK) {
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_series_count(struct store *st,
                                     const struct device_id *device,
                                     uint64_t *count)
{
    sqlite3_stmt *s = store_statement(st, device != NULL ? SQL_SERIES_COUNT : SQL_SERIES_COUNT_ALL);
    bind_device(s, 1, device);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        *count = (uint64_t)sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_series_get(struct store *st, int64_t id, struct store_series *out)
{
    sqlite3_stmt *s = store_statement(st, SQL_SERIES_GET);
    (void)sqlite3_bind_int64(s, 1, id);
    return one_series(st, s, out);
}

enum store_result store_series_find(struct store *st,
                                    const struct device_id *device,
                                    const char *stream,
                                    const char *name,
                                    const char *unit,
                                    struct store_series *out)
{
    sqlite3_stmt *s = store_statement(st, SQL_SERIES_BY_NAMES);
    bind_device(s, 1, device);
    bind_text(s, 2, stream);
    bind_text(s, 3, name);
    bind_text(s, 4, unit);
    return one_series(st, s, out);
}

enum store_result store_series_ensure(struct store *st,
                                      const struct device_id *device,
                                      const char *stream,
                                      const char *name,
                                      const char *unit,
                                      int64_t *id,
                                      bool *is_new)
{
    INVARIANT(st->in_transaction);
    sqlite3_stmt *s = store_statement(st, SQL_SERIES_FIND);
    bind_device(s, 1, device);
    bind_text(s, 2, stream);
    bind_text(s, 3, name);
    bind_text(s, 4, unit);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        *id = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    } else if (result == STORE_NOT_FOUND) {
        uint64_t count = 0;
        result = store_series_count(st, device, &count);
        if (result == STORE_OK && count >= st->limits.series_per_device_max) {
            return STORE_TOO_MANY;
        }
        s = store_statement(st, SQL_SERIES_ADD);
        bind_device(s, 1, device);
        bind_text(s, 2, stream);
        bind_text(s, 3, name);
        bind_text(s, 4, unit);
        result = result == STORE_OK ? store_run(st, s) : result;
        if (result == STORE_OK) {
            *id = sqlite3_last_insert_rowid(st->db);
        }
        if (is_new != NULL) {
            *is_new = true;
        }
        return result;
    }
    if (is_new != NULL) {
        *is_new = false;
    }
    return result;
}
