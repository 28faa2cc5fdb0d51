/* Opening, tables, statements and transactions of the registry. */
#include "io/registry.h"

#include "base/invariant.h"
#include "io/sqlite/checked.h"
#include "io/sqlite/registry_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_MS = 5000, STEP_MAX = 64 };

static const char *const steps[] = {
    "CREATE TABLE devices(row INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, name "
    "TEXT NOT NULL UNIQUE,"
    " serial TEXT NOT NULL, model TEXT NOT NULL, manufacturer TEXT NOT NULL, origin INTEGER NOT "
    "NULL,"
    " hardware_key BLOB NOT NULL UNIQUE, state INTEGER NOT NULL, created_ms INTEGER NOT NULL) "
    "STRICT;"
    "CREATE TABLE certificates(device BLOB NOT NULL REFERENCES devices(id), generation INTEGER NOT "
    "NULL,"
    " serial BLOB NOT NULL UNIQUE, key BLOB NOT NULL UNIQUE, state INTEGER NOT NULL, not_before_ms "
    "INTEGER NOT NULL,"
    " not_after_ms INTEGER NOT NULL, issued_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, der "
    "BLOB NOT NULL,"
    " PRIMARY KEY(device, generation)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE entries(idx INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, "
    "actor TEXT NOT NULL,"
    " object TEXT NOT NULL, detail TEXT NOT NULL) STRICT;"
    "CREATE INDEX entries_by_object ON entries(object, idx);"
    "CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are "
    "append-only'); END;"
    "CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are "
    "append-only'); END;"
    "CREATE TABLE trust_lists(number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, payload BLOB NOT "
    "NULL,"
    " bytes BLOB NOT NULL) STRICT;",
    /* Its pages have check values now (checked.h), which an older Holdfast would not make. */
    "SELECT 1;",
};

#define DEVICE_COLUMNS                                                                             \
    "row, id, name, serial, model, manufacturer, origin, hardware_key, state, created_ms"
#define CERT_COLUMNS                                                                               \
    "device, generation, serial, key, state, not_before_ms, not_after_ms, issued_ms, seen_ms, der"
#define ENTRY_COLUMNS "idx, at_ms, kind, actor, object, detail"

static const char *const texts[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_DEVICE_BY_ID] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE id = ?1",
    [ST_DEVICE_BY_NAME] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE name = ?1",
    [ST_DEVICE_BY_KEY] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE hardware_key = ?1",
    [ST_DEVICES_AFTER] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE row > ?1 ORDER BY row",
    [ST_DEVICES_COUNT] = "SELECT state, count(*) FROM devices GROUP BY state",
    [ST_CERT_BY_KEY] = "SELECT " CERT_COLUMNS " FROM certificates WHERE key = ?1",
    [ST_CERT_BY_SERIAL] = "SELECT " CERT_COLUMNS " FROM certificates WHERE serial = ?1",
    [ST_CERTS_OF] =
        "SELECT " CERT_COLUMNS " FROM certificates WHERE device = ?1 ORDER BY generation DESC",
    [ST_ENTRIES] = "SELECT " ENTRY_COLUMNS " FROM entries WHERE idx < ?1 ORDER BY idx DESC",
    [ST_ENTRIES_OF] =
        "SELECT " ENTRY_COLUMNS " FROM entries WHERE object = ?2 AND idx < ?1 ORDER BY idx DESC",
    [ST_LAST_ENTRY] = "SELECT coalesce(max(idx), 0) FROM entries",
    [ST_ENTRY_ADD] = "INSERT INTO entries(idx, at_ms, kind, actor, object, detail)"
                     " VALUES((SELECT coalesce(max(idx), 0) + 1 FROM entries), ?1, ?2, ?3, ?4, ?5)",
    [ST_DEVICE_ADD] = "INSERT INTO devices(id, name, serial, model, manufacturer, origin, "
                      "hardware_key, state, created_ms)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [ST_DEVICE_MOVE] = "UPDATE devices SET state = ?3 WHERE id = ?1 AND state = ?2",
    [ST_DEVICE_SET_STATE] = "UPDATE devices SET state = ?2 WHERE id = ?1",
    [ST_DEVICE_RENAME] = "UPDATE devices SET name = ?2 WHERE id = ?1",
    [ST_CERT_NEXT] = "SELECT coalesce(max(generation), 0) + 1 FROM certificates WHERE device = ?1",
    [ST_CERT_KEPT] = "SELECT generation FROM certificates WHERE device = ?1 AND state IN (1, 2)"
                     " ORDER BY seen_ms > 0 DESC, generation DESC LIMIT 1",
    [ST_CERTS_SUPERSEDE] = "UPDATE certificates SET state = 3 WHERE device = ?1 AND generation < "
                           "?2 AND state IN (1, 2)",
    [ST_CERT_SET_PREVIOUS] =
        "UPDATE certificates SET state = 2 WHERE device = ?1 AND generation = ?2",
    [ST_CERT_ADD] = "INSERT INTO certificates(" CERT_COLUMNS
                    ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [ST_CERTS_LIVE] = "SELECT count(*) FROM certificates WHERE device = ?1 AND state IN (1, 2)",
    [ST_CERTS_SINCE] = "SELECT count(*) FROM certificates WHERE device = ?1 AND issued_ms >= ?2",
    [ST_CERT_SEEN] = "UPDATE certificates SET seen_ms = ?2 WHERE serial = ?1 AND seen_ms = 0",
    [ST_TRUST_LAST] = "SELECT number, payload, bytes FROM trust_lists ORDER BY number DESC LIMIT 1",
    [ST_TRUST_ADD] =
        "INSERT INTO trust_lists(number, at_ms, payload, bytes)"
        " SELECT ?1, ?2, ?3, ?4 WHERE ?1 > (SELECT coalesce(max(number), 0) FROM trust_lists)",
};

sqlite3 *registry_db(struct registry *r)
{
    return r->db;
}

enum registry_result registry_db_result(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return REGISTRY_OK;
    case SQLITE_CONSTRAINT: return REGISTRY_TAKEN;
    case SQLITE_FULL: return REGISTRY_FULL;
    default: return REGISTRY_BROKEN;
    }
}

static enum registry_result refuse(enum registry_result result,
                                   struct port_why *why,
                                   const char *what,
                                   const char *detail)
{
    if (why != NULL) {
        (void)snprintf(why->text, sizeof why->text, "%s: %s", what, detail);
    }
    return result;
}

/* Made with mode 0600 before SQLite sees it, and its folder entry durable: WAL and shared memory
 * take the mode over. */
static bool make_file(struct port *port, const char *path)
{
    char dir[1024];
    const char *slash = strrchr(path, '/');
    struct port_file *file;
    if (port_file_open(port, path, PORT_READ | PORT_WRITE | PORT_CREATE, &file) != PORT_OK) {
        return false;
    }
    port_file_close(file);
    (void)snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path) : 1,
                   slash != NULL ? path : ".");
    return port_dir_sync(port, dir[0] != '\0' ? dir : "/") == PORT_OK;
}

static enum registry_result run_text(struct registry *r, const char *sql, struct port_why *why)
{
    int code = sqlite3_exec(r->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK
               ? REGISTRY_OK
               : refuse(registry_db_result(code), why, "registry", sqlite3_errmsg(r->db));
}

static enum registry_result read_version(struct registry *r,
                                         const char *component,
                                         int64_t *version,
                                         struct port_why *why)
{
    sqlite3_stmt *statement = NULL;
    *version = 0;
    if (sqlite3_prepare_v2(r->db, "SELECT version FROM schema_versions WHERE component = ?1", -1,
                           &statement, NULL)
        != SQLITE_OK) {
        return refuse(REGISTRY_BROKEN, why, "registry", sqlite3_errmsg(r->db));
    }
    (void)sqlite3_bind_text(statement, 1, component, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *version = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE
               ? REGISTRY_OK
               : refuse(registry_db_result(code), why, "registry", "no versions");
}

static enum registry_result run_step(struct registry *r,
                                     const char *component,
                                     const char *step,
                                     size_t version,
                                     struct port_why *why)
{
    char *record =
        sqlite3_mprintf("INSERT INTO schema_versions(component, version) VALUES(%Q, %lld)"
                        " ON CONFLICT(component) DO UPDATE SET version = excluded.version",
                        component, (long long)version);
    enum registry_result result = run_text(r, "BEGIN IMMEDIATE", why);
    if (result == REGISTRY_OK) {
        result = run_text(r, step, why);
        result = result == REGISTRY_OK ? run_text(r, record, why) : result;
        result = result == REGISTRY_OK ? run_text(r, "COMMIT", why) : result;
        if (result != REGISTRY_OK) {
            (void)run_text(r, "ROLLBACK", NULL);
        }
    }
    sqlite3_free(record);
    return result;
}

enum registry_result registry_db_migrate(struct registry *r,
                                         const char *component,
                                         const char *const *component_steps,
                                         size_t steps_count,
                                         struct port_why *why)
{
    int64_t version = 0;
    INVARIANT(steps_count <= STEP_MAX);
    enum registry_result result = read_version(r, component, &version, why);
    if (result == REGISTRY_OK && (version < 0 || (size_t)version > steps_count)) {
        return refuse(REGISTRY_NEWER, why,
                      "the registry was written by a newer Holdfast; its tables", component);
    }
    for (size_t i = (size_t)version; result == REGISTRY_OK && i < steps_count; i++) {
        result = run_step(r, component, component_steps[i], i + 1, why);
    }
    return result;
}

static const char for_all[] =
    "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;";
static const char for_writers[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                  "CREATE TABLE IF NOT EXISTS schema_versions(component TEXT "
                                  "PRIMARY KEY, version INTEGER NOT NULL) STRICT;";

static enum registry_result check_readable(struct registry *r, struct port_why *why)
{
    int64_t version = 0;
    enum registry_result result = read_version(r, "registry", &version, why);
    if (result == REGISTRY_OK && version != (int64_t)COUNT_OF(steps)) {
        return refuse(REGISTRY_NEWER, why, "registry", "its tables are of another version");
    }
    return result;
}

enum registry_result registry_open(struct port *port,
                                   const char *path,
                                   bool for_writing,
                                   struct registry **out,
                                   struct port_why *why)
{
    struct registry *r = calloc(1, sizeof *r);
    INVARIANT(r != NULL);
    enum registry_result result = REGISTRY_OK;
    if (for_writing && !make_file(port, path)) {
        result = refuse(REGISTRY_BROKEN, why, path, "the file or its folder cannot be written");
    } else if (checked_open(path, &r->db,
                            for_writing ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
                            port_sqlite_vfs(port))
               != SQLITE_OK) {
        result = refuse(for_writing ? REGISTRY_BROKEN : REGISTRY_NOT_FOUND, why, path,
                        sqlite3_errmsg(r->db));
    }
    result = result == REGISTRY_OK ? run_text(r, for_all, why) : result;
    if (for_writing) {
        result = result == REGISTRY_OK ? run_text(r, for_writers, why) : result;
        result = result == REGISTRY_OK
                     ? registry_db_migrate(r, "registry", steps, COUNT_OF(steps), why)
                     : result;
    } else {
        result = result == REGISTRY_OK ? check_readable(r, why) : result;
    }
    if (result != REGISTRY_OK) {
        registry_close(r);
        return result;
    }
    *out = r;
    return REGISTRY_OK;
}

void registry_close(struct registry *r)
{
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < ST_COUNT; i++) {
        (void)sqlite3_finalize(r->statements[i]);
    }
    checked_close(r->db);
    free(r);
}

sqlite3_stmt *registry_statement(struct registry *r, enum registry_statement which)
{
    sqlite3_stmt **slot = &r->statements[which];
    if (*slot == NULL) {
        (void)sqlite3_prepare_v3(r->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
    }
    if (*slot != NULL) {
        (void)sqlite3_reset(*slot);
        (void)sqlite3_clear_bindings(*slot);
    }
    return *slot;
}

enum registry_result registry_run(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement); /* of NULL: SQLITE_MISUSE */
    if (statement != NULL) {
        (void)sqlite3_reset(statement);
    }
    return code == SQLITE_DONE  ? REGISTRY_OK
           : code == SQLITE_ROW ? REGISTRY_BROKEN
                                : registry_db_result(code);
}

enum registry_result registry_begin(struct registry *r)
{
    return registry_run(registry_statement(r, ST_BEGIN));
}

enum registry_result registry_end(struct registry *r, enum registry_result result)
{
    if (result == REGISTRY_OK) {
        result = registry_run(registry_statement(r, ST_COMMIT));
    }
    if (result == REGISTRY_FULL || result == REGISTRY_BROKEN) {
        (void)snprintf(r->why, sizeof r->why, "%s (SQLite %d)", sqlite3_errmsg(r->db),
                       sqlite3_extended_errcode(r->db));
    }
    if (result != REGISTRY_OK && sqlite3_get_autocommit(r->db) == 0) {
        (void)registry_run(registry_statement(r, ST_ROLLBACK));
    }
    return result;
}

const char *registry_why(const struct registry *r)
{
    return r->why[0] != '\0' ? r->why : sqlite3_errmsg(r->db);
}

void registry_bind_text(sqlite3_stmt *statement, int at, struct slice text)
{
    (void)sqlite3_bind_text(statement, at, text.len > 0 ? (const char *)text.at : "", (int)text.len,
                            SQLITE_TRANSIENT);
}

void registry_bind_blob(sqlite3_stmt *statement, int at, const void *bytes, size_t len)
{
    (void)sqlite3_bind_blob(statement, at, bytes, (int)len, SQLITE_TRANSIENT);
}

struct slice registry_column(sqlite3_stmt *statement, int at)
{
    const void *bytes = sqlite3_column_blob(statement, at);
    return slice_of(bytes, (size_t)sqlite3_column_bytes(statement, at));
}
