/*
 * Databases whose every page carries a check value: a bit that flipped at rest, or a page that was
 * written to the place of another, is an error of the read (SQLITE_IOERR_DATA) and never a value.
 *
 * It stands between SQLite and the VFS that reaches the files, posix or simulated. The last
 * CHECKED_RESERVE bytes of a page of the database file hold a mark and CRC-32C over the page's
 * number and all before; they are made when the page is written to that file, by a checkpoint too.
 * The write-ahead log has check values of its own. A database that was made without them gets them
 * when it is opened for writing: it is written anew, once.
 */
#ifndef IO_SQLITE_CHECKED_H
#define IO_SQLITE_CHECKED_H

#include <sqlite3.h>

enum { CHECKED_RESERVE = 8 };

/* What SQLITE_IOERR_DATA means here. */
#define CHECKED_WHY "a page of the database is damaged: its check value is wrong"

/* As sqlite3_open_v2; `vfs` may be NULL. To be closed by checked_close, whatever it returns. */
int checked_open(const char *path, sqlite3 **db, int flags, const char *vfs);

/* As sqlite3_close: all statements were finalised. NULL is accepted. */
void checked_close(sqlite3 *db);

#endif
