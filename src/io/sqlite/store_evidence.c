/*
 * What did not become points: dead letters, ranges declared lost; and what counts: counters,
 * sources.
 */
#include "base/invariant.h"
#include "io/sqlite/store_db.h"

#include <string.h>

/* Rows are numbered without a hole: those `keep` and more below the newest go. */
static enum store_result trim(struct store *st, enum store_statement which, uint32_t keep)
{
    int64_t below = sqlite3_last_insert_rowid(st->db) - (int64_t)keep;
    if (below <= 0) {
        return STORE_OK;
    }
    sqlite3_stmt *s = store_statement(st, which);
    (void)sqlite3_bind_int64(s, 1, below);
    return store_run(st, s);
}

enum store_result store_dead_letter_add(struct store *st,
                                        const struct store_dead_letter *letter,
                                        struct slice payload)
{
    INVARIANT(st->in_transaction);
    size_t kept = payload.len < st->limits.dead_letter_bytes_max ? payload.len
                                                                 : st->limits.dead_letter_bytes_max;
    sqlite3_stmt *s = store_statement(st, SQL_LETTER_ADD);
    (void)sqlite3_bind_int64(s, 1, letter->at_ms);
    bind_text(s, 2, letter->gateway);
    bind_device(s, 3, &letter->device);
    bind_text(s, 4, letter->topic);
    bind_text(s, 5, letter->reason);
    (void)sqlite3_bind_int64(s, 6, (sqlite3_int64)payload.len);
    bind_bytes(s, 7, payload.at, kept);
    enum store_result result = store_run(st, s);
    return result == STORE_OK ? trim(st, SQL_LETTER_TRIM, st->limits.dead_letters_max) : result;
}

enum store_result store_dead_letters(struct store *st,
                                     const struct device_id *device,
                                     const char *reason,
                                     int64_t before_id,
                                     struct store_dead_letter *out,
                                     size_t cap,
                                     size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_LETTER_LIST);
    (void)sqlite3_bind_int64(s, 1, before_id > 0 ? before_id : INT64_MAX);
    bind_device(s, 2, device);
    bind_text(s, 3, reason);
    (void)sqlite3_bind_int64(s, 4, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        struct store_dead_letter *letter = &out[*count];
        memset(letter, 0, sizeof *letter);
        letter->id = sqlite3_column_int64(s, 0);
        letter->at_ms = sqlite3_column_int64(s, 1);
        column_text(s, 2, letter->gateway, sizeof letter->gateway);
        column_text(s, 4, letter->topic, sizeof letter->topic);
        column_text(s, 5, letter->reason, sizeof letter->reason);
        letter->bytes = (uint64_t)sqlite3_column_int64(s, 6);
        if (!column_bytes(s, 3, letter->device.bytes, sizeof letter->device.bytes)) {
            result = store_damaged(st, "a dead letter");
        } else {
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_dead_letter_payload(struct store *st, int64_t id, struct writer *w)
{
    sqlite3_stmt *s = store_statement(st, SQL_LETTER_PAYLOAD);
    (void)sqlite3_bind_int64(s, 1, id);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        write_slice(w, column_slice(s, 0));
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_lost_add(struct store *st, const struct store_lost *lost)
{
    INVARIANT(st->in_transaction);
    sqlite3_stmt *s = store_statement(st, SQL_LOST_ADD);
    bind_device(s, 1, &lost->device);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)lost->from);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)lost->to);
    (void)sqlite3_bind_int(s, 4, (int)lost->why);
    (void)sqlite3_bind_int64(s, 5, lost->since_ms);
    (void)sqlite3_bind_int64(s, 6, lost->at_ms);
    enum store_result result = store_run(st, s);
    return result == STORE_OK ? trim(st, SQL_LOST_TRIM, st->limits.lost_ranges_max) : result;
}

enum store_result store_lost_list(struct store *st,
                                  const struct device_id *device,
                                  int64_t before_id,
                                  struct store_lost *out,
                                  size_t cap,
                                  size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_LOST_LIST);
    (void)sqlite3_bind_int64(s, 1, before_id > 0 ? before_id : INT64_MAX);
    bind_device(s, 2, device);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        struct store_lost *lost = &out[*count];
        *lost = (struct store_lost){.id = sqlite3_column_int64(s, 0),
                                    .from = (uint64_t)sqlite3_column_int64(s, 2),
                                    .to = (uint64_t)sqlite3_column_int64(s, 3),
                                    .why = (enum gap_why)sqlite3_column_int(s, 4),
                                    .since_ms = sqlite3_column_int64(s, 5),
                                    .at_ms = sqlite3_column_int64(s, 6)};
        if (!column_bytes(s, 1, lost->device.bytes, sizeof lost->device.bytes)) {
            result = store_damaged(st, "a lost range");
        } else {
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_counter_add(struct store *st, const char *name, uint64_t by)
{
    INVARIANT(st->in_transaction);
    INVARIANT(strlen(name) <= STORE_COUNTER_MAX);
    sqlite3_stmt *s = store_statement(st, SQL_COUNTER_ADD);
    bind_text(s, 1, name);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)by);
    return store_run(st, s);
}

enum store_result store_counters(struct store *st,
                                 struct store_counter *out,
                                 size_t cap,
                                 size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_COUNTER_LIST);
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        struct store_counter *counter = &out[(*count)++];
        column_text(s, 0, counter->name, sizeof counter->name);
        counter->value = (uint64_t)sqlite3_column_int64(s, 1);
        result = store_row(st, s);
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

static void read_source(sqlite3_stmt *s, struct store_source *out)
{
    column_text(s, 0, out->name, sizeof out->name);
    out->position = (uint64_t)sqlite3_column_int64(s, 1);
    out->received_ms = sqlite3_column_int64(s, 2);
    out->records = (uint64_t)sqlite3_column_int64(s, 3);
}

enum store_result store_source_put(struct store *st, const struct store_source *source)
{
    INVARIANT(st->in_transaction);
    sqlite3_stmt *s = store_statement(st, SQL_SOURCE_PUT);
    bind_text(s, 1, source->name);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)source->position);
    (void)sqlite3_bind_int64(s, 3, source->received_ms);
    (void)sqlite3_bind_int64(s, 4, (sqlite3_int64)source->records);
    return store_run(st, s);
}

enum store_result store_source_get(struct store *st, const char *name, struct store_source *out)
{
    sqlite3_stmt *s = store_statement(st, SQL_SOURCE_GET);
    bind_text(s, 1, name);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        read_source(s, out);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_sources(struct store *st,
                                struct store_source *out,
                                size_t cap,
                                size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_SOURCE_LIST);
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        read_source(s, &out[(*count)++]);
        result = store_row(st, s);
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}
