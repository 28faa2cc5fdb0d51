/*
 * What a power cut takes from a machine's files, for real processes: every write, truncation, new
 * name, rename and removal below a folder is noted with what was there before, and every sync that
 * succeeded with what it covers. tests/history/power.py takes back, after the processes were
 * killed, what no sync covered.
 *
 *   HOLDFAST_POWER = FOLDER        where the notes go; not below the root, on its file system
 *   HOLDFAST_POWER_ROOT = FOLDER   the machine's files: absolute, without links in it
 *
 * All processes of a machine share the notes. What cannot be noted ends the process (126): a test
 * must not pass because a cut took nothing. Files made by openat, folders, and memory maps
 * (SQLite's "-shm", which the first to open a database makes anew) are not looked at.
 */
#ifndef TESTS_SHIM_POWER_H
#define TESTS_SHIM_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

void power_begin(void);

/* Around a call that changes bytes: between the two no other thread's change is noted or made.
 * `offset` -1: at the file's own place. False: the file is not the machine's, and nothing is held.
 */
bool power_writes(int fd, off_t offset, size_t len);
bool power_truncates(int fd, off_t len);
void power_changed(void);

/* Around a sync: only what was done before it began is covered. */
uint64_t power_sync_begins(int fd);
void power_synced(int fd, uint64_t mark);

/* Around an open: whether the name is new, and what an O_TRUNC takes. */
struct power_open {
    bool is_held, is_new;
};
struct power_open power_opens(const char *path, int flags);
void power_opened(struct power_open open, const char *path, int fd);

/* Around a rename and a removal; `to` NULL: a removal. */
struct power_name {
    bool is_held;
    uint64_t ino; /* of the file that the name stood for and does not any more; 0: none */
    char *bytes;  /* what was in it */
    size_t len;
};
struct power_name power_renames(const char *from, const char *to);
void power_renamed(struct power_name name, const char *from, const char *to, bool is_done);

#endif
