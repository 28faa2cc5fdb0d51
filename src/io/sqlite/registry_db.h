/*
 * For the files of io/sqlite that keep tables of their own in the registry's database
 * (io/operators.h).
 */
#ifndef IO_SQLITE_REGISTRY_DB_H
#define IO_SQLITE_REGISTRY_DB_H

#include "io/registry.h"

#include <sqlite3.h>

/* The connection: WAL, synchronous=FULL, foreign keys on, busy timeout set. Owned by the registry.
 */
sqlite3 *registry_db(struct registry *r);

/*
 * Brings the tables of `component` ("operators") to `steps_count` by running the SQL scripts it has
 * not seen yet, each in a transaction with its version row. REGISTRY_NEWER where the file knows
 * more steps than we do.
 */
MUST_USE enum registry_result registry_db_migrate(struct registry *r,
                                                  const char *component,
                                                  const char *const *steps,
                                                  size_t steps_count,
                                                  struct port_why *why);

/* What an SQLite result code means to our callers. */
enum registry_result registry_db_result(int sqlite_code);

#endif
