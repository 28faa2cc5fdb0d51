#define _GNU_SOURCE
#include "power.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { WROTE = 1, TRUNCATED, SYNCED, CREATED, RENAMED, REMOVED };

/* As tests/history/power.py reads it, then the path (or "FROM\0TO"), then the old bytes. */
struct note {
    uint64_t kind;
    uint64_t ino; /* of the file; of names, of their folder */
    /* WROTE: offset; TRUNCATED: new size; SYNCED: mark; CREATED: ino of the new file; RENAMED,
     * REMOVED: of the one that went */
    uint64_t at;
    uint64_t was; /* WROTE, TRUNCATED: size before */
    uint64_t len; /* WROTE: of the new bytes */
    uint64_t path_len, old_len;
};

static int notes = -1;
static char folder[PATH_MAX], root[PATH_MAX];
static size_t root_len;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

/* The calls of the kernel itself: those of the library are ours. */
static long raw_open(const char *path, int flags)
{
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
}

static void fail(const char *what)
{
    char text[PATH_MAX + 100];
    int len = snprintf(text, sizeof text, "power: %s: %s\n", what, strerror(errno));
    (void)syscall(SYS_write, STDERR_FILENO, text, (size_t)len);
    _exit(126);
}

/* A process that is forked while another thread is amid a note would wait for that thread for ever.
 */
static void hold(void)
{
    (void)pthread_mutex_lock(&guard);
}

static void let_go(void)
{
    (void)pthread_mutex_unlock(&guard);
}

void power_begin(void)
{
    const char *where = getenv("HOLDFAST_POWER");
    const char *what = getenv("HOLDFAST_POWER_ROOT");
    if (where == NULL || what == NULL) {
        return;
    }
    (void)snprintf(folder, sizeof folder, "%s", where);
    (void)snprintf(root, sizeof root, "%s", what);
    root_len = strlen(root);
    char path[PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/notes", folder);
    notes = (int)raw_open(path, O_WRONLY | O_APPEND | O_CREAT);
    if (notes < 0 || pthread_atfork(hold, let_go, let_go) != 0) {
        fail(path);
    }
}

static bool is_ours(const char *path)
{
    size_t len = strlen(path);
    return strncmp(path, root, root_len) == 0 && path[root_len] == '/'
           && (len < 4 || strcmp(path + len - 4, "-shm") != 0);
}

/* With the guard held. One call: whole, and behind all others. */
static void put(const struct note *head, const char *path, const void *old)
{
    size_t len = sizeof *head + head->path_len + head->old_len;
    char *whole = malloc(len);
    if (whole == NULL) {
        fail("no memory");
    }
    memcpy(whole, head, sizeof *head);
    memcpy(whole + sizeof *head, path, head->path_len);
    if (head->old_len > 0) {
        memcpy(whole + sizeof *head + head->path_len, old, head->old_len);
    }
    if (syscall(SYS_write, notes, whole, len) != (long)len) {
        fail("a note");
    }
    free(whole);
}

static bool file_of(int fd, struct stat *about, char path[PATH_MAX])
{
    char link[32];
    if (notes < 0 || fstat(fd, about) != 0
        || !(S_ISREG(about->st_mode) || S_ISDIR(about->st_mode))) {
        return false;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    path[len > 0 ? len : 0] = '\0';
    return is_ours(path) || (strcmp(path, root) == 0);
}

/* The bytes of the file at [from, to), as they are now; by a descriptor of our own, for `fd` may
 * not be open for reading. */
static char *bytes_of(const char *path, uint64_t from, uint64_t to)
{
    size_t len = to > from ? (size_t)(to - from) : 0;
    char *bytes = malloc(len + 1);
    int fd = len > 0 ? (int)raw_open(path, O_RDONLY) : -1;
    if (bytes == NULL || (len > 0 && fd < 0)) {
        fail(path);
    }
    for (size_t done = 0; done < len;) {
        long got = syscall(SYS_pread64, fd, bytes + done, len - done, from + done);
        if (got <= 0) {
            fail(path);
        }
        done += (size_t)got;
    }
    if (fd >= 0) {
        (void)syscall(SYS_close, fd);
    }
    return bytes;
}

/* With the guard held. */
static void note_change(
    enum kind kind, const struct stat *about, const char *path, uint64_t at, uint64_t len)
{
    uint64_t size = (uint64_t)about->st_size;
    uint64_t end = kind == TRUNCATED ? size : at + len < size ? at + len : size;
    struct note head = {.kind = kind,
                        .ino = about->st_ino,
                        .at = at,
                        .was = size,
                        .len = len,
                        .path_len = strlen(path),
                        .old_len = end > at ? end - at : 0};
    char *old = bytes_of(path, at, end > at ? end : at);
    put(&head, path, old);
    free(old);
}

static bool changes(enum kind kind, int fd, off_t at, size_t len)
{
    struct stat about;
    char path[PATH_MAX];
    int before = errno;
    if (!file_of(fd, &about, path) || !S_ISREG(about.st_mode)) {
        errno = before;
        return false;
    }
    (void)pthread_mutex_lock(&guard);
    if (fstat(fd, &about) != 0) { /* it may have grown meanwhile */
        fail(path);
    }
    if (at < 0) {
        bool appends = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
        at = appends ? about.st_size : lseek(fd, 0, SEEK_CUR);
    }
    note_change(kind, &about, path, (uint64_t)at, len);
    errno = before;
    return true;
}

bool power_writes(int fd, off_t offset, size_t len)
{
    return notes >= 0 && changes(WROTE, fd, offset, len);
}

bool power_truncates(int fd, off_t len)
{
    return notes >= 0 && len >= 0 && changes(TRUNCATED, fd, len, 0);
}

void power_changed(void)
{
    (void)pthread_mutex_unlock(&guard);
}

uint64_t power_sync_begins(int fd)
{
    (void)fd;
    if (notes < 0) {
        return 0;
    }
    (void)pthread_mutex_lock(&guard);
    off_t end = lseek(notes, 0, SEEK_END);
    (void)pthread_mutex_unlock(&guard);
    return (uint64_t)end;
}

void power_synced(int fd, uint64_t mark)
{
    struct stat about;
    char path[PATH_MAX];
    int before = errno;
    if (file_of(fd, &about, path)) {
        struct note head = {
            .kind = SYNCED, .ino = about.st_ino, .at = mark, .path_len = strlen(path)};
        (void)pthread_mutex_lock(&guard);
        put(&head, path, NULL);
        (void)pthread_mutex_unlock(&guard);
    }
    errno = before;
}

/* ---- names ---- */

static uint64_t folder_of(const char *path)
{
    char dir[PATH_MAX];
    struct stat about;
    (void)snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        fail(path);
    }
    *slash = '\0';
    if (stat(dir, &about) != 0) {
        return 0;
    }
    return about.st_ino;
}

struct power_open power_opens(const char *path, int flags)
{
    struct stat about;
    struct power_open open = {0};
    int before = errno;
    if (notes < 0 || (flags & (O_CREAT | O_TRUNC)) == 0 || !is_ours(path)) {
        return open;
    }
    (void)pthread_mutex_lock(&guard);
    open.is_held = true;
    open.is_new = lstat(path, &about) != 0;
    if (!open.is_new && (flags & O_TRUNC) != 0 && S_ISREG(about.st_mode)) {
        note_change(TRUNCATED, &about, path, 0, 0);
    }
    errno = before;
    return open;
}

void power_opened(struct power_open open, const char *path, int fd)
{
    struct stat about;
    int before = errno;
    if (open.is_new && fd >= 0 && fstat(fd, &about) == 0) {
        struct note head = {
            .kind = CREATED, .ino = folder_of(path), .at = about.st_ino, .path_len = strlen(path)};
        put(&head, path, NULL);
    }
    if (open.is_held) {
        (void)pthread_mutex_unlock(&guard);
    }
    errno = before;
}

/* What the name stands for, and its bytes: they go into the note, so that the file can be made
 * again. A link to it would be simpler; roles that gave up their rights may not make one. */
static void save(const char *path, struct power_name *name)
{
    struct stat about;
    if (lstat(path, &about) == 0 && S_ISREG(about.st_mode)) {
        name->ino = about.st_ino;
        name->len = (size_t)about.st_size;
        name->bytes = bytes_of(path, 0, name->len);
    }
}

struct power_name power_renames(const char *from, const char *to)
{
    struct power_name name = {0};
    const char *gone = to != NULL ? to : from;
    int before = errno;
    if (notes >= 0 && is_ours(gone)) {
        (void)pthread_mutex_lock(&guard);
        name.is_held = true;
        save(gone, &name);
    }
    errno = before;
    return name;
}

void power_renamed(struct power_name name, const char *from, const char *to, bool is_done)
{
    int before = errno;
    if (name.is_held && is_done) {
        char paths[2 * PATH_MAX];
        int len = snprintf(paths, sizeof paths, "%s%c%s", from, '\0', to != NULL ? to : "");
        struct note head = {.kind = to != NULL ? RENAMED : REMOVED,
                            .ino = folder_of(from),
                            .at = name.ino,
                            .path_len = (size_t)len,
                            .old_len = name.len};
        put(&head, paths, name.bytes);
    }
    free(name.bytes);
    if (name.is_held) {
        (void)pthread_mutex_unlock(&guard);
    }
    errno = before;
}
