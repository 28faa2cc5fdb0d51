#include "io/sqlite/checked.h"

#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/reader.h"
#include "base/writer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_MIN = 512,
    PAGE_MAX = 65536,
    HEADER_LEN = 100,
    PAGE_SIZE_AT = 16,
    RESERVE_AT = 20, /* of the database's header (sqlite.org/fileformat2.html 1.3) */
    NAME_CAP = 64
};
static const uint8_t mark[4] = {'h', 'f', 'c', 'k'};

/* One connection's. */
struct checked {
    sqlite3_vfs vfs;
    struct checked *next;
    sqlite3 *db;
    sqlite3_vfs *base;
    char name[NAME_CAP];
    uint32_t page_len; /* 0: nothing of the header was seen yet */
    bool has_values;
    uint8_t page[PAGE_MAX];
};

struct checked_file {
    sqlite3_file base;
    struct checked *home;
    sqlite3_file *real; /* behind this struct */
};

static struct checked *opened; /* SQLite asks by name for the VFS of a connection, and has no room
                                  for ours in it */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct checked_file *)file)->real;
}

/* ---- pages ---- */

static uint32_t value_of(const uint8_t *page, uint32_t len, int64_t offset)
{
    uint8_t number[8];
    struct writer w = writer_over(number, sizeof number);
    write_u64(&w, (uint64_t)offset / len);
    return crc32c(crc32c(0, writer_slice(&w)), slice_of(page, len - CHECKED_RESERVE));
}

static void seal(uint8_t *page, uint32_t len, int64_t offset)
{
    struct writer w = writer_over(page + len - CHECKED_RESERVE, CHECKED_RESERVE);
    write_bytes(&w, mark, sizeof mark);
    write_u32(&w, value_of(page, len, offset));
}

/* Never written: a hole that SQLite left in the file. */
static bool is_hole(const uint8_t *page, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (page[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool is_whole(const uint8_t *page, uint32_t len, int64_t offset)
{
    struct reader r = reader_over(
        slice_of(page + len - CHECKED_RESERVE + sizeof mark, CHECKED_RESERVE - sizeof mark));
    return (memcmp(page + len - CHECKED_RESERVE, mark, sizeof mark) == 0
            && read_u32(&r) == value_of(page, len, offset))
           || is_hole(page, len);
}

static void learn(struct checked *c, const uint8_t *bytes, int len, int64_t offset)
{
    if (offset != 0 || len < HEADER_LEN || memcmp(bytes, "SQLite format 3", 16) != 0) {
        return;
    }
    uint32_t page_len = (uint32_t)bytes[PAGE_SIZE_AT] << 8 | bytes[PAGE_SIZE_AT + 1];
    page_len = page_len == 1 ? PAGE_MAX : page_len;
    if (page_len >= PAGE_MIN) {
        c->page_len = page_len;
        c->has_values = bytes[RESERVE_AT] == CHECKED_RESERVE;
    }
}

static bool is_page(const struct checked *c, int len, int64_t offset)
{
    return c->has_values && (uint32_t)len == c->page_len && offset % (int64_t)c->page_len == 0;
}

static int read_file(sqlite3_file *file, void *to, int len, sqlite3_int64 offset)
{
    struct checked *c = ((struct checked_file *)file)->home;
    sqlite3_file *real = real_of(file);
    int code = real->pMethods->xRead(real, to, len, offset);
    if (code != SQLITE_OK) {
        return code;
    }
    learn(c, to, len, offset);
    return is_page(c, len, offset) && !is_whole(to, (uint32_t)len, offset) ? SQLITE_IOERR_DATA
                                                                           : SQLITE_OK;
}

static int write_file(sqlite3_file *file, const void *from, int len, sqlite3_int64 offset)
{
    struct checked *c = ((struct checked_file *)file)->home;
    sqlite3_file *real = real_of(file);
    learn(c, from, len, offset);
    if (is_page(c, len, offset)) {
        memcpy(c->page, from, (size_t)len);
        seal(c->page, (uint32_t)len, offset);
        from = c->page;
    }
    return real->pMethods->xWrite(real, from, len, offset);
}

/* ---- what passes through ---- */

static int close_file(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    int code = real->pMethods != NULL ? real->pMethods->xClose(real) : SQLITE_OK;
    file->pMethods = NULL;
    return code;
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int sync_file(sqlite3_file *file, int flags)
{
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int size_of_file(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int lock_file(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int unlock_file(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int is_reserved(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int control_file(sqlite3_file *file, int op, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shared_map(sqlite3_file *file, int page, int len, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, len, extend, out);
}

static int shared_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shared_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shared_unmap(sqlite3_file *file, int removes)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), removes);
}

/* Without xFetch: a page that is mapped would be read past us. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_of_file,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = is_reserved,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shared_map,
    .xShmLock = shared_lock,
    .xShmBarrier = shared_barrier,
    .xShmUnmap = shared_unmap,
};

/* ---- the VFS ---- */

static struct checked *checked_of(sqlite3_vfs *vfs)
{
    return (struct checked *)vfs;
}

/* The database itself is looked at; its log, its journal and what is temporary are not. */
static int open_file(
    sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    struct checked *c = checked_of(vfs);
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0) {
        return c->base->xOpen(c->base, name, file, flags, out_flags);
    }
    struct checked_file *own = (struct checked_file *)file;
    own->home = c;
    own->real = (sqlite3_file *)(own + 1);
    own->real->pMethods = NULL;
    int code = c->base->xOpen(c->base, name, own->real, flags, out_flags);
    own->base.pMethods = own->real->pMethods != NULL ? &methods : NULL;
    return code;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync)
{
    return checked_of(vfs)->base->xDelete(checked_of(vfs)->base, name, sync);
}

static int access_file(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    return checked_of(vfs)->base->xAccess(checked_of(vfs)->base, name, flags, out);
}

static int full_path(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
    return checked_of(vfs)->base->xFullPathname(checked_of(vfs)->base, name, cap, out);
}

static int randomness(sqlite3_vfs *vfs, int len, char *out)
{
    return checked_of(vfs)->base->xRandomness(checked_of(vfs)->base, len, out);
}

static int pause(sqlite3_vfs *vfs, int us)
{
    return checked_of(vfs)->base->xSleep(checked_of(vfs)->base, us);
}

static int now(sqlite3_vfs *vfs, double *out)
{
    return checked_of(vfs)->base->xCurrentTime(checked_of(vfs)->base, out);
}

static int last_error(sqlite3_vfs *vfs, int len, char *out)
{
    return checked_of(vfs)->base->xGetLastError(checked_of(vfs)->base, len, out);
}

static int now_ms(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    return checked_of(vfs)->base->xCurrentTimeInt64(checked_of(vfs)->base, out);
}

static struct checked *make(const char *base_name)
{
    sqlite3_vfs *base = sqlite3_vfs_find(base_name);
    struct checked *c = base != NULL ? calloc(1, sizeof *c) : NULL;
    if (c == NULL) {
        return NULL;
    }
    (void)snprintf(c->name, sizeof c->name, "checked-%p", (void *)c);
    c->base = base;
    c->vfs = (sqlite3_vfs){.iVersion = 2,
                           .szOsFile = (int)sizeof(struct checked_file) + base->szOsFile,
                           .mxPathname = base->mxPathname,
                           .zName = c->name,
                           .xOpen = open_file,
                           .xDelete = delete_file,
                           .xAccess = access_file,
                           .xFullPathname = full_path,
                           .xRandomness = randomness,
                           .xSleep = pause,
                           .xCurrentTime = now,
                           .xGetLastError = last_error,
                           .xCurrentTimeInt64 = now_ms};
    return c;
}

/* One made by an older Holdfast: all of it is written anew, with values. */
static int add_values(sqlite3 *db, const struct checked *c, int flags)
{
    int reserve = CHECKED_RESERVE;
    if ((flags & SQLITE_OPEN_READWRITE) == 0) {
        return SQLITE_OK;
    }
    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    int code = sqlite3_exec(db, "PRAGMA schema_version", NULL, NULL, NULL);
    return code == SQLITE_OK && c->page_len != 0 && !c->has_values
               ? sqlite3_exec(db, "VACUUM", NULL, NULL, NULL)
               : code;
}

int checked_open(const char *path, sqlite3 **db, int flags, const char *vfs)
{
    struct checked *c = make(vfs);
    *db = NULL;
    if (c == NULL || sqlite3_vfs_register(&c->vfs, 0) != SQLITE_OK) {
        free(c);
        return SQLITE_NOMEM;
    }
    int code = sqlite3_open_v2(path, db, flags, c->name);
    if (*db == NULL) {
        (void)sqlite3_vfs_unregister(&c->vfs);
        free(c);
        return code;
    }
    c->db = *db;
    c->next = opened;
    opened = c;
    return code == SQLITE_OK ? add_values(*db, c, flags) : code;
}

void checked_close(sqlite3 *db)
{
    struct checked **link = &opened;
    if (db == NULL) {
        return;
    }
    while ((*link)->db != db) {
        link = &(*link)->next;
    }
    struct checked *c = *link;
    bool is_closed = sqlite3_close(db) == SQLITE_OK;
    INVARIANT(is_closed);
    *link = c->next;
    (void)sqlite3_vfs_unregister(&c->vfs);
    free(c);
}
