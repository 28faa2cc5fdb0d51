/* What sqlite.c (files) and sqlite_shared.c (what the processes of a machine share) share. */
#ifndef IO_SIM_SQLITE_INSIDE_H
#define IO_SIM_SQLITE_INSIDE_H

#include "io/sim/disk.h"

#include <sqlite3.h>

struct sqlite_shared;

struct sqlite_file {
    sqlite3_file base; /* first: SQLite knows only this */
    struct sim_sqlite *home;
    struct sqlite_file *next; /* of the process */
    struct port_file *file;   /* NULL: the process is gone */
    const struct sim_inode *inode;
    sqlite3 *connection; /* whose main database this is */
    char path[SIM_PATH_MAX];
    bool is_main;
    bool goes_at_close;
    bool name_is_new; /* not yet synced with the folder */
    int level;        /* SQLITE_LOCK_* */

    /* Of a main database. */
    struct sqlite_shared *shared;
    struct sqlite_file *next_shared;
    bool is_mapped;
    unsigned shared_locks, exclusive_locks; /* a bit per lock of the log's index */
};

bool sqlite_is_dead(const struct sqlite_file *f); /* its process was killed or is gone */

/* Meets the other connections to the same file on this machine. */
void sqlite_shared_join(struct sqlite_file *f);
void sqlite_shared_leave(struct sqlite_file *f);

/* The highest lock of the database file that another living connection holds. */
int sqlite_highest_other_lock(const struct sqlite_file *f);

/* The methods of shared memory: sqlite3.h, sqlite3_io_methods. */
int sqlite_shared_map(sqlite3_file *base, int region, int size, int extend, void volatile **out);
int sqlite_shared_lock(sqlite3_file *base, int offset, int count, int flags);
void sqlite_shared_barrier(sqlite3_file *base);
int sqlite_shared_unmap(sqlite3_file *base, int delete);

#endif
