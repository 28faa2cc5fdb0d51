#include "base/invariant.h"
#include "io/sqlite/checked.h"
#include "io/sqlite/store_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_WAIT_MS = 2000, WRITE_WAIT_MS = 10000, WAL_PAGES = 4096 };

const char *store_why(const struct store *st)
{
    return st->why;
}

enum store_result store_failed(struct store *st, const char *what)
{
    int code = sqlite3_extended_errcode(st->db);
    (void)snprintf(st->why, sizeof st->why, "%s: %s (SQLite %d)", what,
                   code == SQLITE_IOERR_DATA ? CHECKED_WHY : sqlite3_errmsg(st->db), code);
    switch (code & 0xff) {
    case SQLITE_FULL: return STORE_FULL;
    case SQLITE_BUSY: return STORE_BUSY;
    case SQLITE_LOCKED: return STORE_BUSY;
    default: return STORE_BROKEN;
    }
}

enum store_result store_damaged(struct store *st, const char *what)
{
    (void)snprintf(st->why, sizeof st->why, "%s: the stored bytes are damaged", what);
    return STORE_BROKEN;
}

sqlite3_stmt *store_statement(struct store *st, enum store_statement which)
{
    sqlite3_stmt **slot = &st->statements[which];
    if (*slot == NULL) {
        if (sqlite3_prepare_v3(st->db, store_sql[which], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL)
            != SQLITE_OK) {
            (void)store_failed(st, "prepare");
            return NULL;
        }
        return *slot;
    }
    (void)sqlite3_reset(*slot);
    (void)sqlite3_clear_bindings(*slot);
    return *slot;
}

enum store_result store_row(struct store *st, sqlite3_stmt *statement)
{
    if (statement == NULL) {
        return STORE_BROKEN;
    }
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        return STORE_OK;
    }
    enum store_result result = STORE_NOT_FOUND;
    if (code != SQLITE_DONE) {
        result = store_failed(st, sqlite3_sql(statement));
    }
    (void)sqlite3_reset(statement);
    return result;
}

enum store_result store_run(struct store *st, sqlite3_stmt *statement)
{
    enum store_result result = store_row(st, statement);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_read_begin(struct store *st, bool *begun)
{
    *begun = sqlite3_get_autocommit(st->db) != 0;
    return *begun ? store_run(st, store_statement(st, SQL_BEGIN_READ)) : STORE_OK;
}

void store_read_end(struct store *st, bool begun)
{
    if (begun && sqlite3_get_autocommit(st->db) == 0) {
        (void)store_run(st, store_statement(st, SQL_COMMIT));
    }
}

uint64_t store_next_change(struct store *st)
{
    return ++st->change;
}

void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    if (s != NULL && text != NULL) {
        (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
    }
}

void bind_bytes(sqlite3_stmt *s, int at, const void *bytes, size_t len)
{
    if (s != NULL) {
        (void)sqlite3_bind_blob64(s, at, len > 0 ? bytes : "", len, SQLITE_STATIC);
    }
}

void bind_device(sqlite3_stmt *s, int at, const struct device_id *device)
{
    if (device != NULL) {
        bind_bytes(s, at, device->bytes, sizeof device->bytes);
    }
}

struct slice column_slice(sqlite3_stmt *s, int at)
{
    const void *bytes = sqlite3_column_blob(s, at);
    return slice_of(bytes, (size_t)sqlite3_column_bytes(s, at));
}

bool column_bytes(sqlite3_stmt *s, int at, void *out, size_t len)
{
    struct slice bytes = column_slice(s, at);
    if (bytes.at == NULL || bytes.len != len) {
        return false;
    }
    memcpy(out, bytes.at, len);
    return true;
}

void column_text(sqlite3_stmt *s, int at, char *out, size_t cap)
{
    const unsigned char *text = sqlite3_column_text(s, at);
    size_t len = text != NULL ? (size_t)sqlite3_column_bytes(s, at) : 0;
    len = len < cap ? len : cap - 1;
    if (text != NULL && len > 0) {
        memcpy(out, text, len);
    }
    out[len] = '\0';
}

static void fill_limits(struct store_limits *l)
{
    l->series_per_device_max = l->series_per_device_max != 0 ? l->series_per_device_max : 256;
    l->waiting_per_device_max = l->waiting_per_device_max != 0 ? l->waiting_per_device_max : 64;
    l->waiting_max = l->waiting_max != 0 ? l->waiting_max : 4096;
    l->dead_letters_max = l->dead_letters_max != 0 ? l->dead_letters_max : 10000;
    l->dead_letter_bytes_max = l->dead_letter_bytes_max != 0 ? l->dead_letter_bytes_max : 4096;
    l->hellos_per_device_max = l->hellos_per_device_max != 0 ? l->hellos_per_device_max : 4096;
    l->lost_ranges_max = l->lost_ranges_max != 0 ? l->lost_ranges_max : 10000;
}

static enum store_result say(struct port_why *why, enum store_result result, const char *text)
{
    if (why != NULL) {
        (void)snprintf(why->text, sizeof why->text, "%s", text);
    }
    return result;
}

static enum store_result execute(struct store *st, const char *sql)
{
    return sqlite3_exec(st->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STORE_OK
                                                                    : store_failed(st, sql);
}

static enum store_result pragma_number(struct store *st, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    enum store_result result = STORE_OK;
    if (sqlite3_prepare_v2(st->db, sql, -1, &s, NULL) != SQLITE_OK
        || sqlite3_step(s) != SQLITE_ROW) {
        result = store_failed(st, sql);
    } else {
        *out = sqlite3_column_int64(s, 0);
    }
    (void)sqlite3_finalize(s);
    return result;
}

/* One writer: the lock goes with the process, whatever ends it. */
static enum store_result lock_writer(struct store *st, const char *path)
{
    char name[4096];
    int len = snprintf(name, sizeof name, "%s.writer", path);
    if (len < 0 || (size_t)len >= sizeof name) {
        (void)snprintf(st->why, sizeof st->why, "the path is too long");
        return STORE_BROKEN;
    }
    enum port_result result =
        port_file_open(st->port, name, PORT_WRITE | PORT_CREATE | PORT_LOCK, &st->lock);
    if (result == PORT_BUSY) {
        (void)snprintf(st->why, sizeof st->why,
                       "another process writes this store (%.150s is locked)", name);
        return STORE_BUSY;
    }
    if (result != PORT_OK) {
        (void)snprintf(st->why, sizeof st->why, "%.200s cannot be opened", name);
        return result == PORT_NO_SPACE ? STORE_FULL : STORE_BROKEN;
    }
    return STORE_OK;
}

static enum store_result write_schema(struct store *st, const char *sql)
{
    char version[64];
    (void)snprintf(version, sizeof version, "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
    enum store_result result = execute(st, "BEGIN IMMEDIATE");
    result = result == STORE_OK ? execute(st, sql) : result;
    result = result == STORE_OK ? execute(st, version) : result;
    return result == STORE_OK ? execute(st, "COMMIT") : result;
}

static enum store_result check_version(struct store *st)
{
    int64_t version = 0;
    enum store_result result = pragma_number(st, "PRAGMA user_version", &version);
    if (result == STORE_OK && version < STORE_SCHEMA_VERSION && !st->is_writer) {
        return STORE_NOT_FOUND; /* the writer makes it, or brings it up to date */
    }
    if (result == STORE_OK && version == 0) {
        return write_schema(st, store_schema);
    }
    if (result == STORE_OK && version == 1) {
        return write_schema(st, store_migration_2);
    }
    if (result == STORE_OK && version == 2) {
        return write_schema(st, ""); /* its pages have check values now (checked.h) */
    }
    if (result == STORE_OK && version != STORE_SCHEMA_VERSION) {
        (void)snprintf(st->why, sizeof st->why, "the store has layout %lld, this program knows %d",
                       (long long)version, STORE_SCHEMA_VERSION);
        return STORE_VERSION;
    }
    return result;
}

static enum store_result read_counts(struct store *st)
{
    sqlite3_stmt *s = store_statement(st, SQL_CHANGE_GET);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        st->change = (uint64_t)sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
        s = store_statement(st, SQL_WAITING_COUNT_ALL);
        result = store_row(st, s);
    }
    if (result == STORE_OK) {
        st->waiting = (uint64_t)sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    return result == STORE_NOT_FOUND ? store_damaged(st, "meta") : result;
}

static enum store_result read_arrivals(struct store *st)
{
    sqlite3_stmt *s = store_statement(st, SQL_DATED_GET);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        st->dated_ms = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    if (result == STORE_OK || result == STORE_NOT_FOUND) { /* only a store of layout 1 has it */
        s = store_statement(st, SQL_ARRIVED_MAX);
        result = store_row(st, s);
    }
    if (result == STORE_OK) {
        st->arrived_ms = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_arrives(struct store *st, int64_t now_ms)
{
    INVARIANT(st->in_transaction);
    st->arrived_ms = now_ms > st->arrived_ms ? now_ms : st->arrived_ms;
    if (st->dated_ms != 0 || st->arrived_ms == 0) {
        return STORE_OK;
    }
    st->dated_ms = st->arrived_ms;
    sqlite3_stmt *s = store_statement(st, SQL_DATED_PUT);
    (void)sqlite3_bind_int64(s, 1, st->dated_ms);
    return store_run(st, s);
}

static enum store_result set_up(struct store *st, const char *path)
{
    int flags = st->is_writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    enum store_result result = st->is_writer ? lock_writer(st, path) : STORE_OK;
    if (result != STORE_OK) {
        return result;
    }
    if (checked_open(path, &st->db, flags | SQLITE_OPEN_NOMUTEX, port_sqlite_vfs(st->port))
        != SQLITE_OK) {
        return store_failed(st, path);
    }
    (void)sqlite3_extended_result_codes(st->db, 1);
    (void)sqlite3_busy_timeout(st->db, st->is_writer ? WRITE_WAIT_MS : READ_WAIT_MS);
    if (st->is_writer) {
        result = execute(st, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                             "PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864;"
                             "PRAGMA temp_store = MEMORY");
        (void)sqlite3_wal_autocheckpoint(st->db, WAL_PAGES);
    } else {
        result = execute(st, "PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY");
    }
    result = result == STORE_OK ? check_version(st) : result;
    result = result == STORE_OK ? read_counts(st) : result;
    return result == STORE_OK ? read_arrivals(st) : result;
}

static bool exists(struct port *port, const char *path)
{
    struct port_file *file;
    if (port_file_open(port, path, PORT_READ, &file) != PORT_OK) {
        return false;
    }
    port_file_close(file);
    return true;
}

static enum store_result open_store(struct port *port,
                                    const char *path,
                                    const struct store_limits *limits,
                                    bool is_writer,
                                    struct store **out,
                                    struct port_why *why)
{
    if (!is_writer && !exists(port, path)) {
        return say(why, STORE_NOT_FOUND, "there is no store yet");
    }
    struct store *st = calloc(1, sizeof *st);
    if (st == NULL) {
        return say(why, STORE_BROKEN, "no memory");
    }
    st->port = port;
    st->is_writer = is_writer;
    if (limits != NULL) {
        st->limits = *limits;
    }
    fill_limits(&st->limits);
    enum store_result result = set_up(st, path);
    if (result != STORE_OK) {
        (void)say(why, result, st->why);
        store_close(st);
        return result;
    }
    *out = st;
    return STORE_OK;
}

enum store_result store_open(struct port *port,
                             const char *path,
                             const struct store_limits *limits,
                             struct store **out,
                             struct port_why *why)
{
    return open_store(port, path, limits, true, out, why);
}

enum store_result store_open_reading(struct port *port,
                                     const char *path,
                                     struct store **out,
                                     struct port_why *why)
{
    return open_store(port, path, NULL, false, out, why);
}

void store_close(struct store *st)
{
    if (st == NULL) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(st->statements); i++) {
        (void)sqlite3_finalize(st->statements[i]);
    }
    checked_close(st->db);
    port_file_close(st->lock);
    free(st);
}

enum store_result store_begin(struct store *st)
{
    INVARIANT(st->is_writer);
    INVARIANT(!st->in_transaction);
    enum store_result result = store_run(st, store_statement(st, SQL_BEGIN_WRITE));
    st->in_transaction = result == STORE_OK;
    return result;
}

enum store_result store_commit(struct store *st, uint64_t *change)
{
    INVARIANT(st->in_transaction);
    sqlite3_stmt *s = store_statement(st, SQL_CHANGE_PUT);
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)st->change);
    enum store_result result = store_run(st, s);
    if (result == STORE_OK) {
        result = store_run(st, store_statement(st, SQL_COMMIT));
    }
    if (result != STORE_OK) {
        char why[sizeof st->why];
        memcpy(why, st->why, sizeof why);
        store_rollback(st);
        memcpy(st->why, why, sizeof why);
        return result;
    }
    st->in_transaction = false;
    *change = st->change;
    return STORE_OK;
}

void store_rollback(struct store *st)
{
    st->in_transaction = false;
    st->chunk_id = 0;
    if (sqlite3_get_autocommit(st->db) == 0) { /* some failures have rolled back already */
        (void)store_run(st, store_statement(st, SQL_ROLLBACK));
    }
    (void)read_counts(st);
    (void)read_arrivals(st);
}

enum store_result store_change(struct store *st, uint64_t *change)
{
    sqlite3_stmt *s = store_statement(st, SQL_CHANGE_GET);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        *change = st->in_transaction ? st->change : (uint64_t)sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    return result;
}
