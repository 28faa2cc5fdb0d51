/* The VFS of one simulated process: files and their locks. Shared memory is in sqlite_shared.c. */
#include "io/sim/sqlite.h"

#include "io/sim/inside.h"
#include "io/sim/sqlite_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 4096, NAME_CAP = 48 };
static const int64_t julian_epoch_ms = INT64_C(210866760000000); /* 1970 in days of SQLite's */

/* One process and its VFS. Lives until its process is gone and its last file is closed. */
struct sim_sqlite {
    sqlite3_vfs vfs;
    struct port *port; /* NULL: gone */
    struct sqlite_file *files;
    uint64_t temporary; /* names given out */
    char name[NAME_CAP];
};

static const struct sim_world *seeded; /* whose chance SQLite's generator was last seeded from */
static size_t connections;

size_t sim_sqlite_connections(void)
{
    return connections;
}

/* ---- the life of files ---- */

static struct sqlite_file *file_of(sqlite3_file *base)
{
    return (struct sqlite_file *)base;
}

bool sqlite_is_dead(const struct sqlite_file *f)
{
    return f->home->port == NULL || f->home->port->dead;
}

/* SQLite has one generator for the whole program: what each world does draws from its own, also
 * when another world had its turn in the midst of an operation. */
static void seed_from(const struct port *port)
{
    if (seeded != port->world) {
        seeded = port->world;
        sqlite3_randomness(0, NULL);
    }
}

/* After an operation that others may have watched. */
static int done(const struct sqlite_file *f, int code)
{
    if (!sqlite_is_dead(f)) {
        seed_from(f->home->port);
    }
    return code;
}

static void free_home(struct sim_sqlite *home)
{
    if (home->port == NULL && home->files == NULL) {
        (void)sqlite3_vfs_unregister(&home->vfs);
        free(home);
    }
}

static int result_of(enum port_result result, int otherwise)
{
    switch (result) {
    case PORT_OK: return SQLITE_OK;
    case PORT_NO_SPACE: return SQLITE_FULL;
    case PORT_NOT_FOUND:
    case PORT_EXISTS:
    case PORT_DENIED:
    case PORT_BUSY:
    case PORT_BAD:
    case PORT_FAILED: return otherwise;
    }
    UNREACHABLE();
}

static void folder_of(const char *path, char out[SIM_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int len = slash == NULL || slash == path ? 1 : (int)(slash - path);
    (void)snprintf(out, SIM_PATH_MAX, "%.*s", len, slash == NULL ? "." : path);
}

static int close_file(sqlite3_file *base)
{
    struct sqlite_file *f = file_of(base);
    struct sim_sqlite *home = f->home;
    struct sqlite_file **link = &home->files;
    while (*link != f) {
        link = &(*link)->next;
    }
    *link = f->next;
    sqlite_shared_leave(f);
    connections -= f->is_main ? 1 : 0;
    if (f->file != NULL) {
        port_file_close(f->file);
        if (f->goes_at_close && !sqlite_is_dead(f)) {
            (void)port_unlink(home->port, f->path);
        }
    }
    free_home(home);
    return SQLITE_OK;
}

/* ---- contents ---- */

static int read_file(sqlite3_file *base, void *to, int len, sqlite3_int64 offset)
{
    struct sqlite_file *f = file_of(base);
    size_t got = 0;
    if (sqlite_is_dead(f)
        || port_file_read(f->file, (uint64_t)offset, to, (size_t)len, &got) != PORT_OK) {
        return SQLITE_IOERR_READ;
    }
    memset((uint8_t *)to + got, 0, (size_t)len - got);
    return got == (size_t)len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *base, const void *at, int len, sqlite3_int64 offset)
{
    const struct sqlite_file *f = file_of(base);
    if (sqlite_is_dead(f)) {
        return SQLITE_IOERR_WRITE;
    }
    enum port_result result = port_file_write(f->file, (uint64_t)offset, slice_of(at, (size_t)len));
    return done(f, result_of(result, SQLITE_IOERR_WRITE));
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
    const struct sqlite_file *f = file_of(base);
    if (sqlite_is_dead(f)) {
        return SQLITE_IOERR_TRUNCATE;
    }
    enum port_result result = port_file_truncate(f->file, (uint64_t)size);
    return done(f, result_of(result, SQLITE_IOERR_TRUNCATE));
}

/* As on Linux: the first sync of a new log makes its name durable, too. */
static int sync_file(sqlite3_file *base, int flags)
{
    struct sqlite_file *f = file_of(base);
    (void)flags;
    if (sqlite_is_dead(f) || port_file_sync(f->file) != PORT_OK) {
        return SQLITE_IOERR_FSYNC;
    }
    if (f->name_is_new) {
        char folder[SIM_PATH_MAX];
        folder_of(f->path, folder);
        if (port_dir_sync(f->home->port, folder) != PORT_OK) {
            return SQLITE_IOERR_DIR_FSYNC;
        }
        f->name_is_new = false;
    }
    return done(f, SQLITE_OK);
}

static int size_of(sqlite3_file *base, sqlite3_int64 *out)
{
    struct sqlite_file *f = file_of(base);
    uint64_t size = 0;
    if (sqlite_is_dead(f) || port_file_size(f->file, &size) != PORT_OK) {
        return SQLITE_IOERR_FSTAT;
    }
    *out = (sqlite3_int64)size;
    return SQLITE_OK;
}

/* ---- locks of the database file: sqlite3.h, SQLITE_LOCK_* ---- */

static int lock_file(sqlite3_file *base, int level)
{
    struct sqlite_file *f = file_of(base);
    if (sqlite_is_dead(f)) {
        return SQLITE_IOERR_LOCK;
    }
    seed_from(f->home->port);
    if (f->level >= level) {
        return SQLITE_OK;
    }
    int others = sqlite_highest_other_lock(f);
    if (level == SQLITE_LOCK_SHARED) {
        if (others >= SQLITE_LOCK_PENDING) {
            return SQLITE_BUSY;
        }
    } else if (others >= SQLITE_LOCK_RESERVED) {
        return SQLITE_BUSY;
    } else if (level == SQLITE_LOCK_EXCLUSIVE && others >= SQLITE_LOCK_SHARED) {
        f->level = SQLITE_LOCK_PENDING; /* no new readers; those that are there may finish */
        return SQLITE_BUSY;
    }
    f->level = level;
    return SQLITE_OK;
}

static int unlock_file(sqlite3_file *base, int level)
{
    struct sqlite_file *f = file_of(base);
    f->level = f->level > level ? level : f->level;
    return SQLITE_OK;
}

static int check_reserved(sqlite3_file *base, int *out)
{
    const struct sqlite_file *f = file_of(base);
    *out = f->level >= SQLITE_LOCK_RESERVED || sqlite_highest_other_lock(f) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
}

/* ---- the rest of a file ---- */

static int control_file(sqlite3_file *base, int what, void *arg)
{
    const struct sqlite_file *f = file_of(base);
    if (what == SQLITE_FCNTL_LOCKSTATE) {
        *(int *)arg = f->level;
        return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *base)
{
    (void)base;
    return SECTOR;
}

/* What SQLite takes for granted on Linux: a write changes no byte beside it. */
static int characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_of,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = sqlite_shared_map,
    .xShmLock = sqlite_shared_lock,
    .xShmBarrier = sqlite_shared_barrier,
    .xShmUnmap = sqlite_shared_unmap,
};

/* ---- names ---- */

static struct sim_sqlite *home_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out)
{
    struct sim_sqlite *home = home_of(vfs);
    struct sqlite_file *f = file_of(base);
    *f = (struct sqlite_file){.home = home};
    if (home->port == NULL || home->port->dead) {
        return SQLITE_CANTOPEN;
    }
    seed_from(home->port);
    if (name != NULL) {
        (void)snprintf(f->path, sizeof f->path, "%s", name);
    } else {
        (void)snprintf(f->path, sizeof f->path, "/sqlite-temporary-%llu-%llu",
                       (unsigned long long)home->port->id, (unsigned long long)++home->temporary);
    }
    bool writes = (flags & SQLITE_OPEN_READWRITE) != 0;
    bool makes = (flags & SQLITE_OPEN_CREATE) != 0;
    unsigned how = PORT_READ | (writes ? PORT_WRITE : 0u) | (makes ? PORT_CREATE : 0u)
                   | ((flags & SQLITE_OPEN_EXCLUSIVE) != 0 ? PORT_EXCLUSIVE : 0u);
    if (port_file_open(home->port, f->path, how, &f->file) != PORT_OK) {
        return SQLITE_CANTOPEN;
    }
    f->inode = f->file->inode;
    f->is_main = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    f->goes_at_close = name == NULL || (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    f->name_is_new =
        makes
        && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL)) != 0;
    f->next = home->files;
    home->files = f;
    connections += f->is_main ? 1 : 0;
    if (f->is_main) {
        sqlite_shared_join(f);
    }
    f->base.pMethods = &methods;
    if (out != NULL) {
        *out = flags;
    }
    return done(f, SQLITE_OK);
}

static int delete_file(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    struct port *port = home_of(vfs)->port;
    char folder[SIM_PATH_MAX];
    if (port == NULL) {
        return SQLITE_IOERR_DELETE;
    }
    enum port_result result = port_unlink(port, path);
    if (result != PORT_OK) {
        return result == PORT_NOT_FOUND ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    }
    folder_of(path, folder);
    bool is_synced = sync_folder == 0 || port_dir_sync(port, folder) == PORT_OK;
    seed_from(port);
    return is_synced ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

/* An empty file counts as none, as in SQLite's own: a log that was made and never written. */
static int access_file(sqlite3_vfs *vfs, const char *path, int how, int *out)
{
    const struct port *port = home_of(vfs)->port;
    if (port == NULL || port->dead) {
        return SQLITE_IOERR_ACCESS;
    }
    const struct sim_inode *inode = sim_disk_find(port->machine->disk, path);
    *out = inode != NULL && (how != SQLITE_ACCESS_EXISTS || sim_disk_size(inode) > 0);
    return SQLITE_OK;
}

static int full_name(sqlite3_vfs *vfs, const char *path, int cap, char *out)
{
    (void)vfs;
    return snprintf(out, (size_t)cap, "%s", path) < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int draw(sqlite3_vfs *vfs, int len, char *to)
{
    struct port *port = home_of(vfs)->port;
    if (port == NULL) {
        return 0;
    }
    port_entropy(port, to, (size_t)len);
    return len;
}

static int wait_us(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

static int now_julian_ms(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    const struct port *port = home_of(vfs)->port;
    if (port == NULL) {
        return SQLITE_ERROR;
    }
    *out = port_wall_ms(port, NULL) + julian_epoch_ms;
    return SQLITE_OK;
}

static int now_julian_days(sqlite3_vfs *vfs, double *out)
{
    sqlite3_int64 ms = 0;
    int code = now_julian_ms(vfs, &ms);
    *out = (double)ms / 86400000.0;
    return code;
}

static int last_error(sqlite3_vfs *vfs, int len, char *text)
{
    (void)vfs;
    (void)len;
    (void)text;
    return 0;
}

/* ---- processes come and go ---- */

/* Tells each file whose connection it is. */
static int see_connection(sqlite3 *db, char **why, const struct sqlite3_api_routines *api)
{
    sqlite3_file *base = NULL;
    (void)why;
    (void)api;
    (void)sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &base);
    if (base != NULL && base->pMethods == &methods) {
        file_of(base)->connection = db;
    }
    return SQLITE_OK;
}

static sqlite3_vfs *whole; /* SQLite's own */

/* A look at the world's chance that does not move it on. */
static int draw_for_all(sqlite3_vfs *vfs, int len, char *to)
{
    (void)vfs;
    struct rng chance = seeded != NULL ? seeded->chance : rng_from_seed(1);
    for (int i = 0; i < len; i++) {
        to[i] = (char)(uint8_t)rng_u64(&chance);
    }
    return len;
}

/* SQLite asks its default VFS for randomness, whatever VFS the file has. */
static void prepare(void)
{
    static sqlite3_vfs chance;
    if (whole == NULL) {
        whole = sqlite3_vfs_find(NULL);
        INVARIANT(whole != NULL);
        chance = *whole;
        chance.pNext = NULL;
        chance.zName = "sim-chance";
        chance.xRandomness = draw_for_all;
        INVARIANT(sqlite3_vfs_register(&chance, 1) == SQLITE_OK);
        INVARIANT(sqlite3_auto_extension((void (*)(void))see_connection) == SQLITE_OK);
    }
}

/* What it left open is closed; by then no operation of its own does anything. */
static void process_gone(struct port *port)
{
    struct sim_sqlite *home = port->sqlite;
    struct sqlite_file *f = home->files;
    while (port->dead && f != NULL) {
        sqlite3 *db = f->connection;
        f->connection = NULL;
        if (db != NULL) {
            sqlite3_stmt *statement;
            while ((statement = sqlite3_next_stmt(db, NULL)) != NULL) {
                (void)sqlite3_finalize(statement);
            }
            (void)sqlite3_close(db);
        }
        f = db != NULL ? home->files : f->next;
    }
    for (f = home->files; f != NULL; f = f->next) {
        f->file = NULL;
    }
    if (seeded == port->world) {
        seeded = NULL;
        sqlite3_randomness(0, NULL);
    }
    home->port = NULL;
    port->sqlite = NULL;
    free_home(home);
}

const char *port_sqlite_vfs(struct port *port)
{
    if (port->sqlite != NULL) {
        return port->sqlite->name;
    }
    static uint64_t made;
    struct sim_sqlite *home = sim_alloc(sizeof *home);
    prepare();
    (void)snprintf(home->name, sizeof home->name, "sim-%llu", (unsigned long long)++made);
    home->port = port;
    home->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct sqlite_file),
        .mxPathname = SIM_PATH_MAX - 1,
        .zName = home->name,
        .pAppData = home,
        .xOpen = open_file,
        .xDelete = delete_file,
        .xAccess = access_file,
        .xFullPathname = full_name,
        .xRandomness = draw,
        .xSleep = wait_us,
        .xCurrentTime = now_julian_days,
        .xGetLastError = last_error,
        .xCurrentTimeInt64 = now_julian_ms,
    };
    INVARIANT(sqlite3_vfs_register(&home->vfs, 0) == SQLITE_OK);
    port->sqlite = home;
    port->sqlite_gone = process_gone;
    return home->name;
}
