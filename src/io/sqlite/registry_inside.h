/*
 * What the registry's own files share: the connection, its prepared statements, transactions. The
 * other files of io/sqlite use registry_db.h.
 */
#ifndef IO_SQLITE_REGISTRY_INSIDE_H
#define IO_SQLITE_REGISTRY_INSIDE_H

#include "io/registry.h"
#include "io/sqlite/registry_db.h"

#include <sqlite3.h>

enum registry_statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_DEVICE_BY_ID,
    ST_DEVICE_BY_NAME,
    ST_DEVICE_BY_KEY,
    ST_DEVICES_AFTER,
    ST_DEVICES_COUNT,
    ST_CERT_BY_KEY,
    ST_CERT_BY_SERIAL,
    ST_CERTS_OF,
    ST_ENTRIES,
    ST_ENTRIES_OF,
    ST_LAST_ENTRY,
    ST_ENTRY_ADD,
    ST_DEVICE_ADD,
    ST_DEVICE_MOVE,
    ST_DEVICE_SET_STATE,
    ST_DEVICE_RENAME,
    ST_CERT_NEXT,
    ST_CERT_KEPT,
    ST_CERTS_SUPERSEDE,
    ST_CERT_SET_PREVIOUS,
    ST_CERT_ADD,
    ST_CERTS_LIVE,
    ST_CERTS_SINCE,
    ST_CERT_SEEN,
    ST_TRUST_LAST,
    ST_TRUST_ADD
};
enum { ST_COUNT = ST_TRUST_ADD + 1 };

struct registry {
    sqlite3 *db;
    sqlite3_stmt *statements[ST_COUNT];
    char why[160]; /* of the newest transaction that failed */
};

/* The statement, reset and ready for its parameters; NULL where SQLite refuses it. */
sqlite3_stmt *registry_statement(struct registry *r, enum registry_statement which);

/* Runs a statement that gives no rows. SQLITE_DONE becomes REGISTRY_OK. */
enum registry_result registry_run(sqlite3_stmt *statement);

enum registry_result registry_begin(struct registry *r);
/* Commits where `result` is REGISTRY_OK, else rolls back; gives what came of it. */
enum registry_result registry_end(struct registry *r, enum registry_result result);

/* Appends the entry within a transaction. */
enum registry_result registry_note_add(struct registry *r, const struct registry_note *note);

void registry_bind_text(sqlite3_stmt *statement, int at, struct slice text);
void registry_bind_blob(sqlite3_stmt *statement, int at, const void *bytes, size_t len);
struct slice registry_column(sqlite3_stmt *statement, int at);
/* A row of the columns DEVICE_COLUMNS or CERT_COLUMNS; false where the file says what cannot be. */
bool registry_device_row(sqlite3_stmt *statement, struct registry_device *out);
bool registry_certificate_row(sqlite3_stmt *statement, struct registry_certificate *out);

#endif
