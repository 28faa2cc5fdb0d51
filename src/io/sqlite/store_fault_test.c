/*
 * The store on a disk whose n-th write, sync, truncation or open fails, once or from then on, n =
 * 1, 2, ... until a clean run: whatever was acknowledged is there afterwards, and nothing but whole
 * batches.
 */
#include "io/sqlite/test_port.h"
#include "io/store.h"
#include "test/test.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { BATCHES = 6, POINTS = 130 };

/* ---- SQLite's own file functions, counted ---- */

static struct {
    unsigned calls, fail_at;
    bool from_then_on;
    int code;
    bool has_failed;
} plan;

static bool fails(void)
{
    plan.calls++;
    bool now = plan.fail_at != 0
               && (plan.calls == plan.fail_at || (plan.from_then_on && plan.calls > plan.fail_at));
    plan.has_failed = plan.has_failed || now;
    return now;
}

/* One for each of SQLite's own tables: the database, its log and its index have their own. */
static struct wrapper {
    sqlite3_io_methods methods; /* what a file points to: a copy but for three */
    const sqlite3_io_methods *whole;
} wrappers[8];
static sqlite3_vfs vfs;
static sqlite3_vfs *base;

static const sqlite3_io_methods *whole_of(const sqlite3_file *file)
{
    for (size_t i = 0; i < COUNT_OF(wrappers); i++) {
        if (file->pMethods == &wrappers[i].methods) {
            return wrappers[i].whole;
        }
    }
    return file->pMethods;
}

static int wrap_write(sqlite3_file *file, const void *at, int len, sqlite3_int64 offset)
{
    return fails() ? plan.code : whole_of(file)->xWrite(file, at, len, offset);
}

/* No power is cut here: a sync that works need not be waited for. */
static int wrap_sync(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return fails() ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int wrap_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails() ? SQLITE_IOERR_TRUNCATE : whole_of(file)->xTruncate(file, size);
}

static int wrap_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)self;
    if (fails()) {
        file->pMethods = NULL;
        return SQLITE_CANTOPEN;
    }
    int code = base->xOpen(base, name, file, flags, out);
    for (size_t i = 0; code == SQLITE_OK && file->pMethods != NULL && i < COUNT_OF(wrappers); i++) {
        struct wrapper *w = &wrappers[i];
        if (w->whole == NULL) {
            w->whole = file->pMethods;
            w->methods = *file->pMethods;
            w->methods.xWrite = wrap_write;
            w->methods.xSync = wrap_sync;
            w->methods.xTruncate = wrap_truncate;
        }
        if (w->whole == file->pMethods) {
            file->pMethods = &w->methods;
            break;
        }
    }
    return code;
}

static void use_wrapped_files(void)
{
    if (base == NULL) {
        base = sqlite3_vfs_find(NULL);
        vfs = *base;
        vfs.zName = "counted";
        vfs.xOpen = wrap_open;
        vfs.pNext = NULL;
        (void)sqlite3_vfs_register(&vfs, 1);
    }
}

/* ---- one life of a writer ---- */

static const struct device_id press = {{1}};
static char path[512];

/* Batches until one cannot be committed; how many were. A failure at any call ends this life, as it
 * ends the role. */
static unsigned live(void)
{
    struct store *st = NULL;
    struct port_why why = {{0}};
    unsigned done = 0;
    if (store_open(test_port(), path, &(struct store_limits){.dead_letters_max = 20}, &st, &why)
        != STORE_OK) {
        return 0;
    }
    for (; done < BATCHES; done++) {
        struct point points[POINTS];
        int64_t series;
        size_t repeated;
        uint64_t change;
        for (int64_t i = 0; i < POINTS; i++) {
            points[i] = (struct point){done * POINTS + i, (double)(i * i % 71) / 8, TIME_SYNCED,
                                       PROVENANCE_DEVICE};
        }
        struct store_device row = {
            .device = press, .messages = done + 1, .received = {.next = done + 2}};
        struct store_dead_letter letter = {.device = press, .reason = "bad-mac"};
        struct store_source source = {.name = "gw-1", .position = done + 1};
        if (store_begin(st) != STORE_OK) {
            break;
        }
        bool ok = store_series_ensure(st, &press, "s", "t", "", &series, NULL) == STORE_OK
                  && store_append(st, series, points, POINTS, &repeated) == STORE_OK
                  && store_device_put(st, &row) == STORE_OK
                  && store_dead_letter_add(st, &letter, slice_text("x")) == STORE_OK
                  && store_counter_add(st, "applied", 1) == STORE_OK
                  && store_source_put(st, &source) == STORE_OK;
        if (!ok) {
            store_rollback(st);
            break;
        }
        if (store_commit(st, &change) != STORE_OK) {
            break;
        }
    }
    store_close(st);
    return done;
}

/* Everything a batch wrote is there or nothing of it; `at_least` batches are. */
static bool is_whole(unsigned at_least)
{
    static struct point points[BATCHES * POINTS + 1];
    struct store *st = NULL;
    struct port_why why = {{0}};
    struct store_points_at at = {0};
    struct store_series series;
    struct store_device row;
    struct store_source source;
    size_t count = 0;
    if (store_open(test_port(), path, NULL, &st, &why) != STORE_OK) {
        printf("  %s\n", why.text);
        return false;
    }
    bool ok = true;
    if (store_series_find(st, &press, "s", "t", NULL, &series) == STORE_OK) {
        ok =
            store_points(st, series.id, INT64_MIN, INT64_MAX, &at, points, COUNT_OF(points), &count)
                == STORE_OK
            && count % POINTS == 0 && store_device_get(st, &press, &row) == STORE_OK
            && row.messages == count / POINTS && row.received.next == count / POINTS + 1
            && store_source_get(st, "gw-1", &source) == STORE_OK
            && source.position == count / POINTS;
    }
    for (size_t i = 0; i < count; i++) {
        ok = ok && points[i].time_ms == (int64_t)i;
    }
    store_close(st);
    /* A commit whose answer was an error may have reached the disk: at most that one more. */
    return ok && count / POINTS >= at_least && count / POINTS <= at_least + 1u;
}

static void fail_every_call(bool from_then_on, int code)
{
    (void)snprintf(path, sizeof path, "%s/store.db", test_scratch_dir());
    use_wrapped_files();
    unsigned clean_runs = 0;
    unsigned n = 0;
    while (clean_runs == 0 && n < 5000) {
        char command[600];
        (void)snprintf(command, sizeof command, "%s-wal", path);
        (void)remove(command);
        (void)snprintf(command, sizeof command, "%s-shm", path);
        (void)remove(command);
        (void)remove(path);
        plan.calls = 0;
        plan.fail_at = ++n;
        plan.from_then_on = from_then_on;
        plan.code = code;
        plan.has_failed = false;
        unsigned done = live();
        clean_runs += !plan.has_failed;
        plan.fail_at = 0;
        if (!is_whole(done)) {
            test_failed(__FILE__, __LINE__, "call %u failed, %u batches were acknowledged", n,
                        done);
            return;
        }
        CHECK(plan.has_failed || done == BATCHES);
    }
    CHECK(n > 40);
}

TEST("whichever call of the disk fails once, what was acknowledged is kept, in whole batches")
{
    fail_every_call(false, SQLITE_IOERR_WRITE);
}

TEST("whichever call of the disk is the last that works, what was acknowledged is kept")
{
    fail_every_call(true, SQLITE_IOERR_WRITE);
}

TEST("a disk that is full at any call loses nothing that was acknowledged")
{
    fail_every_call(true, SQLITE_FULL);
}
