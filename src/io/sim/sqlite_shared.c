/*
 * What the connections to one database share on a simulated machine: the memory of the log's index,
 * and who holds which lock. It is gone when nobody who lives uses it, as the real one is.
 */
#include "io/sim/disk_inside.h"
#include "io/sim/inside.h"
#include "io/sim/sqlite_inside.h"

#include <stdlib.h>

enum { REGIONS_MAX = 1024 };

struct sqlite_shared {
    struct sqlite_shared *next;
    const struct sim_inode *inode;
    struct sqlite_file *files;
    void *regions[REGIONS_MAX];
    size_t regions_count;
    void **abandoned; /* what only the dead still point to */
    size_t abandoned_count, abandoned_cap;
};

static struct sqlite_shared *all;

static bool has_living(const struct sqlite_shared *shared)
{
    for (const struct sqlite_file *f = shared->files; f != NULL; f = f->next_shared) {
        if (!sqlite_is_dead(f)) {
            return true;
        }
    }
    return false;
}

void sqlite_shared_join(struct sqlite_file *f)
{
    struct sqlite_shared *shared = all;
    while (shared != NULL && (shared->inode != f->inode || !has_living(shared))) {
        shared = shared->next;
    }
    if (shared == NULL) {
        shared = sim_alloc(sizeof *shared);
        shared->inode = f->inode;
        shared->next = all;
        all = shared;
    }
    f->shared = shared;
    f->next_shared = shared->files;
    shared->files = f;
}

static void free_shared(struct sqlite_shared *shared)
{
    struct sqlite_shared **link = &all;
    while (*link != shared) {
        link = &(*link)->next;
    }
    *link = shared->next;
    for (size_t i = 0; i < shared->regions_count; i++) {
        free(shared->regions[i]);
    }
    for (size_t i = 0; i < shared->abandoned_count; i++) {
        free(shared->abandoned[i]);
    }
    free(shared->abandoned);
    free(shared);
}

void sqlite_shared_leave(struct sqlite_file *f)
{
    struct sqlite_shared *shared = f->shared;
    if (shared == NULL) {
        return;
    }
    struct sqlite_file **link = &shared->files;
    while (*link != f) {
        link = &(*link)->next_shared;
    }
    *link = f->next_shared;
    f->shared = NULL;
    if (shared->files == NULL) {
        free_shared(shared);
    }
}

int sqlite_highest_other_lock(const struct sqlite_file *f)
{
    int highest = SQLITE_LOCK_NONE;
    for (const struct sqlite_file *other = f->shared != NULL ? f->shared->files : NULL;
         other != NULL; other = other->next_shared) {
        if (other != f && !sqlite_is_dead(other) && other->level > highest) {
            highest = other->level;
        }
    }
    return highest;
}

static bool others_map(const struct sqlite_file *f)
{
    for (const struct sqlite_file *other = f->shared->files; other != NULL;
         other = other->next_shared) {
        if (other != f && other->is_mapped && !sqlite_is_dead(other)) {
            return true;
        }
    }
    return false;
}

/* The first of the living starts with memory that says nothing. */
static void abandon_regions(struct sqlite_shared *shared)
{
    for (size_t i = 0; i < shared->regions_count; i++) {
        shared->abandoned = disk_grown(shared->abandoned, &shared->abandoned_cap,
                                       shared->abandoned_count + 1, sizeof *shared->abandoned);
        shared->abandoned[shared->abandoned_count++] = shared->regions[i];
        shared->regions[i] = NULL;
    }
    shared->regions_count = 0;
}

int sqlite_shared_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    struct sqlite_file *f = (struct sqlite_file *)base;
    struct sqlite_shared *shared = f->shared;
    *out = NULL;
    if (shared == NULL || sqlite_is_dead(f) || region < 0 || region >= REGIONS_MAX) {
        return SQLITE_IOERR_SHMMAP;
    }
    if (!f->is_mapped && !others_map(f)) {
        abandon_regions(shared);
    }
    f->is_mapped = true;
    while (extend != 0 && shared->regions_count <= (size_t)region) {
        shared->regions[shared->regions_count++] = sim_alloc((size_t)size);
    }
    if ((size_t)region < shared->regions_count) {
        *out = shared->regions[region];
    }
    return SQLITE_OK;
}

int sqlite_shared_lock(sqlite3_file *base, int offset, int count, int flags)
{
    struct sqlite_file *f = (struct sqlite_file *)base;
    unsigned mask = ((1u << count) - 1u) << offset;
    if (f->shared == NULL || sqlite_is_dead(f)) {
        return SQLITE_IOERR_SHMLOCK;
    }
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
        f->shared_locks &= ~mask;
        f->exclusive_locks &= ~mask;
        return SQLITE_OK;
    }
    bool is_exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (const struct sqlite_file *other = f->shared->files; other != NULL;
         other = other->next_shared) {
        unsigned held = other->exclusive_locks | (is_exclusive ? other->shared_locks : 0u);
        if (other != f && !sqlite_is_dead(other) && (held & mask) != 0) {
            return SQLITE_BUSY;
        }
    }
    if (is_exclusive) {
        f->exclusive_locks |= mask;
    } else {
        f->shared_locks |= mask;
    }
    return SQLITE_OK;
}

void sqlite_shared_barrier(sqlite3_file *base)
{
    (void)base; /* one thread */
}

int sqlite_shared_unmap(sqlite3_file *base, int delete)
{
    struct sqlite_file *f = (struct sqlite_file *)base;
    (void)delete;
    f->is_mapped = false;
    f->shared_locks = 0;
    f->exclusive_locks = 0;
    if (f->shared != NULL && !sqlite_is_dead(f) && !others_map(f)) {
        abandon_regions(f->shared);
    }
    return SQLITE_OK;
}
