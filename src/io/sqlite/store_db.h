/*
 * What the files of the store share: the connection, its prepared statements, and how a step's
 * outcome becomes a store_result. The layout of the tables is in store_schema.c and
 * docs/protocol/store.md.
 */
#ifndef IO_SQLITE_STORE_DB_H
#define IO_SQLITE_STORE_DB_H

#include "codec/ts_block.h"
#include "io/store.h"

#include <sqlite3.h>

enum { STORE_SCHEMA_VERSION = 3 };

enum store_statement {
    SQL_BEGIN_WRITE,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_CHANGE_GET,
    SQL_CHANGE_PUT,
    SQL_SERIES_FIND,
    SQL_SERIES_ADD,
    SQL_SERIES_COUNT,
    SQL_SERIES_COUNT_ALL,
    SQL_SERIES_LIST,
    SQL_SERIES_LIST_ALL,
    SQL_SERIES_GET,
    SQL_SERIES_BY_NAMES,
    SQL_HEAD_GET,
    SQL_HEAD_PUT,
    SQL_DATED_GET,
    SQL_DATED_PUT,
    SQL_ARRIVED_MAX,
    SQL_CHUNK_ADD,
    SQL_CHUNK_RANGE,
    SQL_CHUNK_AT,
    SQL_CHUNK_BLOCK,
    SQL_CHUNK_OLD,
    SQL_CHUNK_DELETE,
    SQL_CHUNK_FIRST,
    SQL_DEVICE_GET,
    SQL_DEVICE_PUT,
    SQL_DEVICES_SINCE,
    SQL_HELLO_PUT,
    SQL_HELLO_SURPLUS,
    SQL_HELLO_TRIM,
    SQL_HELLO_LIST,
    SQL_HELLO_ABOVE,
    SQL_HELLO_COUNT,
    SQL_CERTIFICATE_ADD,
    SQL_CERTIFICATE_TRIM,
    SQL_CERTIFICATE_LIST,
    SQL_LINK_ADD,
    SQL_LINK_END,
    SQL_LINK_TRIM,
    SQL_LINK_LIST,
    SQL_LINKED_LIST,
    SQL_WAITING_COUNT,
    SQL_WAITING_COUNT_ALL,
    SQL_WAITING_ADD,
    SQL_WAITING_NEXT,
    SQL_WAITING_OLDER,
    SQL_WAITING_OLDEST,
    SQL_WAITING_DELETE,
    SQL_LETTER_ADD,
    SQL_LETTER_TRIM,
    SQL_LETTER_LIST,
    SQL_LETTER_PAYLOAD,
    SQL_LOST_ADD,
    SQL_LOST_TRIM,
    SQL_LOST_LIST,
    SQL_COUNTER_ADD,
    SQL_COUNTER_LIST,
    SQL_SOURCE_PUT,
    SQL_SOURCE_GET,
    SQL_SOURCE_LIST,
    SQL_STATEMENT_LAST
};
enum { SQL_STATEMENT_COUNT = SQL_STATEMENT_LAST };

struct store {
    sqlite3 *db;
    struct port *port;
    struct port_file *lock; /* of the one writer */
    struct store_limits limits;
    bool is_writer;
    bool in_transaction;
    uint64_t change;    /* newest number given out; written back by store_commit */
    uint64_t waiting;   /* rows of the table */
    int64_t arrived_ms; /* of what is appended now; never goes back */
    int64_t dated_ms; /* when chunks of layout 1 count as arrived; 0: there are none, or not yet */
    sqlite3_stmt *statements[SQL_STATEMENT_COUNT];
    char why[240];
    /* A chunk decoded for the last look at closed points. */
    int64_t chunk_id;
    size_t chunk_count;
    struct point chunk[STORE_BLOCK_POINTS];
    uint8_t block[TS_BLOCK_MAX]; /* while it is bound to a statement */
};

extern const char *const store_sql[SQL_STATEMENT_COUNT];
extern const char *const store_schema;
extern const char *const store_migration_2;

/* The statement, reset and without bindings; NULL where it cannot be prepared (store_why says why).
 */
sqlite3_stmt *store_statement(struct store *st, enum store_statement which);

/* Steps once: STORE_OK for a row, STORE_NOT_FOUND for the end; errors by store_failed. */
enum store_result store_row(struct store *st, sqlite3_stmt *statement);

/* Steps a statement that gives no rows. */
enum store_result store_run(struct store *st, sqlite3_stmt *statement);

/* Names the failure; the result that the SQLite code means. */
enum store_result store_failed(struct store *st, const char *what);

/* Damage that SQLite does not know of: STORE_BROKEN. */
enum store_result store_damaged(struct store *st, const char *what);

/* Brackets a query of several statements, so that it sees one state; nests in a writer's
 * transaction. */
enum store_result store_read_begin(struct store *st, bool *begun);
void store_read_end(struct store *st, bool begun);

uint64_t store_next_change(struct store *st);

void bind_text(sqlite3_stmt *s, int at, const char *text);
void bind_device(sqlite3_stmt *s, int at, const struct device_id *device);
void bind_bytes(sqlite3_stmt *s, int at, const void *bytes, size_t len);

/* Copies a text column; cut at `cap` - 1 bytes. */
void column_text(sqlite3_stmt *s, int at, char *out, size_t cap);
/* False where the column does not have exactly `len` bytes. */
bool column_bytes(sqlite3_stmt *s, int at, void *out, size_t len);
struct slice column_slice(sqlite3_stmt *s, int at);

#endif
