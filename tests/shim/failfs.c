/*
 * A library to preload (LD_PRELOAD) that makes file calls of a real process fail or wait, moves its
 * wall clock, and notes what a power cut would take (power.h).
 *
 *   HOLDFAST_FAIL = RULE[,RULE...]         RULE = CALL[@PART]:N:WHAT:MODE
 *
 *   CALL  open, write, pwrite, fsync, fdatasync, ftruncate, rename; grow: a write or ftruncate that
 *         makes a file longer, which is what a full disk refuses on file systems that write in
 * place PART  only files whose path contains this text N     the rule begins to hold at the N-th
 * such call, counted from 1 in each process WHAT  EIO, ENOSPC, EDQUOT, EMFILE, EACCES, EINTR: the
 * call fails so; or a time as 5ms: it waits, then works; or lies: a sync does nothing and says that
 * it was done MODE  once or forever
 *
 * "fdatasync@spool:3:EIO:forever" breaks the disk under a spool at its third sync. A rule that
 * cannot be read ends the process at once: a test must not pass because its fault never came.
 *
 *   HOLDFAST_FAULTS = FILE   a page of a test that changes while the process runs: struct page
 * below.
 *
 * Whenever the page's generation changes its rules replace those in force and are counted from 1
 * again; its offset is added to what CLOCK_REALTIME says (never to CLOCK_MONOTONIC). All processes
 * that inherit the variable obey the same page: one write fills a disk, or moves a machine's clock.
 */
#define _GNU_SOURCE
#include "power.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { RULES_MAX = 8, LIES = 1 << 20 /* beside the errors */ };

struct rule {
    char call[16];
    char part[64];
    unsigned from;
    int error; /* 0: wait only */
    unsigned delay_ms;
    bool forever;
    unsigned seen;
};

static struct rule rules[RULES_MAX];
static unsigned rules_count;

/* Written by a test (tests/system/faults.py): everything else first, the generation last. */
struct page {
    uint64_t generation;
    int64_t wall_offset_ms;
    char rules[1008];
};
static const volatile struct page *page;
static uint64_t obeyed; /* the generation whose rules are in force */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

static void refuse(const char *rule)
{
    (void)fprintf(stderr, "failfs: HOLDFAST_FAIL has a rule that cannot be read: %s\n", rule);
    _exit(126);
}

static int error_named(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } known[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},
                 {"EMFILE", EMFILE}, {"EACCES", EACCES}, {"EINTR", EINTR}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0) {
            return known[i].error;
        }
    }
    return 0;
}

static void read_rule(const char *text, struct rule *r)
{
    char target[96];
    char what[16];
    char mode[16];
    char unit[4] = "";
    if (sscanf(text, "%95[^:]:%u:%15[^:]:%15s", target, &r->from, what, mode) != 4
        || r->from == 0) {
        refuse(text);
    }
    char *part = strchr(target, '@');
    if (part != NULL) {
        *part++ = '\0';
        (void)snprintf(r->part, sizeof r->part, "%.63s", part);
    }
    (void)snprintf(r->call, sizeof r->call, "%.15s", target);
    r->error = error_named(what);
    if (strcmp(what, "lies") == 0 && strstr(r->call, "sync") != NULL) {
        r->error = LIES;
    }
    if (r->error == 0
        && (sscanf(what, "%u%3s", &r->delay_ms, unit) != 2 || strcmp(unit, "ms") != 0)) {
        refuse(text);
    }
    r->forever = strcmp(mode, "forever") == 0;
    if (!r->forever && strcmp(mode, "once") != 0) {
        refuse(text);
    }
}

static void read_rules(const char *all)
{
    char copy[1024];
    char *rest = copy;
    (void)snprintf(copy, sizeof copy, "%s", all);
    rules_count = 0;
    memset(rules, 0, sizeof rules);
    for (char *one = strsep(&rest, ","); one != NULL; one = strsep(&rest, ",")) {
        if (one[0] == '\0') {
            continue;
        }
        if (rules_count == RULES_MAX) {
            refuse(one);
        }
        read_rule(one, &rules[rules_count]);
        rules_count++;
    }
}

static void map_page(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *page, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        refuse(path);
    }
    (void)syscall(SYS_close, fd);
    page = at;
}

/* Called with the guard held. */
static void obey_page(void)
{
    uint64_t generation = page == NULL ? obeyed : page->generation;
    if (generation != obeyed) {
        char text[sizeof page->rules];
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = page->rules[i];
        }
        text[sizeof text - 1] = '\0';
        read_rules(text);
        obeyed = generation;
    }
}

/* A process that is forked while another thread judges would wait for that thread for ever. */
static void hold(void)
{
    (void)pthread_mutex_lock(&guard);
}

static void let_go(void)
{
    (void)pthread_mutex_unlock(&guard);
}

__attribute__((constructor)) static void begin(void)
{
    const char *fail = getenv("HOLDFAST_FAIL");
    const char *faults = getenv("HOLDFAST_FAULTS");
    if (fail != NULL) {
        read_rules(fail);
    }
    if (faults != NULL && faults[0] != '\0') {
        map_page(faults);
    }
    power_begin();
    if (pthread_atfork(hold, let_go, let_go) != 0) {
        refuse("pthread_atfork");
    }
}

static bool is_meant(const struct rule *r, const char *call, const char *path)
{
    return strcmp(r->call, call) == 0 && (r->part[0] == '\0' || strstr(path, r->part) != NULL);
}

/* The error with which the call is to fail, or 0; how long it is to wait. */
static int judge(const char *call, const char *path, unsigned *wait_ms)
{
    int error = 0;
    (void)pthread_mutex_lock(&guard);
    obey_page();
    for (unsigned i = 0; i < rules_count; i++) {
        struct rule *r = &rules[i];
        if (!is_meant(r, call, path)) {
            continue;
        }
        unsigned number = ++r->seen;
        if (number != r->from && !(r->forever && number > r->from)) {
            continue;
        }
        error = r->error != 0 ? r->error : error;
        *wait_ms += r->delay_ms;
    }
    (void)pthread_mutex_unlock(&guard);
    return error;
}

/* True: the call is to fail, errno says how. */
static bool strikes(const char *call, const char *path)
{
    unsigned wait_ms = 0;
    int error = judge(call, path, &wait_ms);
    if (wait_ms > 0) {
        struct timespec wait = {.tv_sec = wait_ms / 1000,
                                .tv_nsec = (long)(wait_ms % 1000) * 1000000};
        (void)nanosleep(&wait, NULL);
    }
    if (error != 0) {
        errno = error;
    }
    return error != 0;
}

static bool strikes_fd(const char *call, int fd)
{
    char link[32];
    char path[512];
    if (rules_count == 0 && (page == NULL || page->generation == obeyed)) {
        return false;
    }
    int before = errno;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    errno = before;
    return strikes(call, path);
}

/* As strikes_fd, where bytes up to `end` (-1: from the file's own place on) would make it longer.
 */
static bool strikes_growth(int fd, off_t end, size_t len)
{
    struct stat st;
    if (rules_count == 0 && (page == NULL || page->generation == obeyed)) {
        return false;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    if (end < 0) {
        bool appends = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
        end = (appends ? st.st_size : lseek(fd, 0, SEEK_CUR)) + (off_t)len;
    }
    return end > st.st_size && strikes_fd("grow", fd);
}

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        _exit(126);
    }
    return found;
}

#define REAL(type, name) ((type)real(name))
#define OPEN_MODE(flags, mode)                                                                     \
    do {                                                                                           \
        if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                              \
            va_list args;                                                                          \
            va_start(args, flags);                                                                 \
            (mode) = va_arg(args, mode_t);                                                         \
            va_end(args);                                                                          \
        }                                                                                          \
    } while (0)
#define SHOWN __attribute__((visibility("default")))

typedef int open_call(const char *, int, ...);
typedef int openat_call(int, const char *, int, ...);
typedef ssize_t pwrite_call(int, const void *, size_t, off_t);
typedef ssize_t write_call(int, const void *, size_t);
typedef int fd_call(int);
typedef int truncate_call(int, off_t);
typedef int rename_call(const char *, const char *);
typedef int unlink_call(const char *);

static int opened(const char *name, const char *path, int flags, mode_t mode)
{
    struct power_open noted = power_opens(path, flags);
    int fd = REAL(open_call *, name)(path, flags, mode);
    power_opened(noted, path, fd);
    return fd;
}

SHOWN int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return strikes("open", path) ? -1 : opened("open", path, flags, mode);
}

SHOWN int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return strikes("open", path) ? -1 : opened("open64", path, flags, mode);
}

SHOWN int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    OPEN_MODE(flags, mode);
    return strikes("open", path) ? -1 : REAL(openat_call *, "openat")(dir, path, flags, mode);
}

SHOWN ssize_t write(int fd, const void *at, size_t len)
{
    if (strikes_fd("write", fd) || strikes_growth(fd, -1, len)) {
        return -1;
    }
    bool is_noted = power_writes(fd, -1, len);
    ssize_t done = REAL(write_call *, "write")(fd, at, len);
    if (is_noted) {
        power_changed();
    }
    return done;
}

static ssize_t written_at(const char *name, int fd, const void *at, size_t len, off_t offset)
{
    if (strikes_fd("pwrite", fd) || strikes_growth(fd, offset + (off_t)len, 0)) {
        return -1;
    }
    bool is_noted = power_writes(fd, offset, len);
    ssize_t done = REAL(pwrite_call *, name)(fd, at, len, offset);
    if (is_noted) {
        power_changed();
    }
    return done;
}

SHOWN ssize_t pwrite(int fd, const void *at, size_t len, off_t offset)
{
    return written_at("pwrite", fd, at, len, offset);
}

SHOWN ssize_t pwrite64(int fd, const void *at, size_t len, off_t offset)
{
    return written_at("pwrite64", fd, at, len, offset);
}

static int synced(const char *name, int fd)
{
    int before = errno;
    if (strikes_fd(name, fd)) {
        bool lies = errno == LIES;
        errno = lies ? before : errno;
        return lies ? 0 : -1;
    }
    uint64_t mark = power_sync_begins(fd);
    int result = REAL(fd_call *, name)(fd);
    if (result == 0) {
        power_synced(fd, mark);
    }
    return result;
}

SHOWN int fsync(int fd)
{
    return synced("fsync", fd);
}

SHOWN int fdatasync(int fd)
{
    return synced("fdatasync", fd);
}

static int truncated(const char *name, int fd, off_t len)
{
    if (strikes_fd("ftruncate", fd) || strikes_growth(fd, len, 0)) {
        return -1;
    }
    bool is_noted = power_truncates(fd, len);
    int result = REAL(truncate_call *, name)(fd, len);
    if (is_noted) {
        power_changed();
    }
    return result;
}

SHOWN int ftruncate(int fd, off_t len)
{
    return truncated("ftruncate", fd, len);
}

SHOWN int ftruncate64(int fd, off_t len)
{
    return truncated("ftruncate64", fd, len);
}

SHOWN int rename(const char *from, const char *to)
{
    if (strikes("rename", to)) {
        return -1;
    }
    struct power_name noted = power_renames(from, to);
    int result = REAL(rename_call *, "rename")(from, to);
    power_renamed(noted, from, to, result == 0);
    return result;
}

SHOWN int unlink(const char *path)
{
    struct power_name noted = power_renames(path, NULL);
    int result = REAL(unlink_call *, "unlink")(path);
    power_renamed(noted, path, NULL, result == 0);
    return result;
}

/* ---- the wall clock ---- */

typedef int clock_call(clockid_t, struct timespec *);

SHOWN int clock_gettime(clockid_t which, struct timespec *out)
{
    static clock_call *found; /* the loop asks for the time far more often than for files */
    if (found == NULL) {
        found = REAL(clock_call *, "clock_gettime");
    }
    int result = found(which, out);
    if (result == 0 && page != NULL && which == CLOCK_REALTIME) {
        int64_t ns = out->tv_nsec + page->wall_offset_ms % 1000 * 1000000;
        out->tv_sec += (time_t)(page->wall_offset_ms / 1000) + (ns < 0 ? -1 : ns / 1000000000);
        out->tv_nsec = (long)(ns < 0 ? ns + 1000000000 : ns % 1000000000);
    }
    return result;
}

SHOWN int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return result;
}

SHOWN time_t time(time_t *out)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
