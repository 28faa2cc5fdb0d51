/*
 * Files. Every call returns when the kernel has answered, but for port_file_sync_begin: that one
 * waits in the thread pool, because a sync takes as long as the disk likes.
 */
#include "io/posix/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static enum port_result failed(void)
{
    return port_result_of_errno(errno);
}

enum port_result port_file_open(struct port *port,
                                const char *path,
                                unsigned flags,
                                struct port_file **out)
{
    bool writes = (flags & PORT_WRITE) != 0;
    int how = O_CLOEXEC | O_NOCTTY;
    how |= !writes ? O_RDONLY : (flags & PORT_READ) != 0 ? O_RDWR : O_WRONLY;
    how |= (flags & PORT_CREATE) != 0 ? O_CREAT : 0;
    how |= (flags & PORT_EXCLUSIVE) != 0 ? O_EXCL : 0;
    int fd;
    do {
        fd = open(path, how, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return failed();
    }
    if ((flags & PORT_LOCK) != 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum port_result result = failed();
        (void)close(fd);
        return result;
    }
    struct port_file *file = port_alloc(sizeof *file);
    file->port = port;
    file->fd = fd;
    LIST_ADD(port->files, file);
    *out = file;
    return PORT_OK;
}

const char *port_sqlite_vfs(struct port *port)
{
    (void)port;
    return NULL;
}

static void let_go(struct port_file *file)
{
    (void)close(file->fd);
    free(file);
}

/* A sync under way ends first, unseen by the role. */
void port_file_close(struct port_file *file)
{
    if (file == NULL) {
        return;
    }
    LIST_REMOVE(file->port->files, file);
    file->closed = true;
    if (!file->syncing) {
        let_go(file);
    }
}

void files_close_all(struct port *port)
{
    while (port->files != NULL) {
        port_file_close(port->files);
    }
}

enum port_result port_file_size(struct port_file *file, uint64_t *size)
{
    struct stat about;
    if (fstat(file->fd, &about) != 0) {
        return failed();
    }
    *size = (uint64_t)about.st_size;
    return PORT_OK;
}

enum port_result port_file_is_private(struct port_file *file, bool *is_private)
{
    struct stat about;
    if (fstat(file->fd, &about) != 0) {
        return failed();
    }
    *is_private = about.st_uid == geteuid() && (about.st_mode & 077) == 0;
    return PORT_OK;
}

enum port_result port_file_read(
    struct port_file *file, uint64_t offset, void *to, size_t len, size_t *got)
{
    size_t done = 0;
    while (done < len) {
        ssize_t step = pread(file->fd, (uint8_t *)to + done, len - done, (off_t)(offset + done));
        if (step < 0 && errno == EINTR) {
            continue;
        }
        if (step < 0) {
            return failed();
        }
        if (step == 0) {
            break;
        }
        done += (size_t)step;
    }
    *got = done;
    return PORT_OK;
}

enum port_result port_file_write(struct port_file *file, uint64_t offset, struct slice bytes)
{
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t step = pwrite(file->fd, bytes.at + done, bytes.len - done, (off_t)(offset + done));
        if (step < 0 && errno == EINTR) {
            continue;
        }
        if (step < 0) {
            return failed();
        }
        done += (size_t)step;
    }
    return PORT_OK;
}

enum port_result port_file_truncate(struct port_file *file, uint64_t size)
{
    int result;
    do {
        result = ftruncate(file->fd, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? PORT_OK : failed();
}

/* EINTR is not retried: after a failed sync nobody knows what the kernel still holds. */
enum port_result port_file_sync(struct port_file *file)
{
    return fdatasync(file->fd) == 0 ? PORT_OK : failed();
}

static void sync_in_pool(uv_work_t *work)
{
    struct port_file *file = work->data;
    file->sync_error = fdatasync(file->fd) == 0 ? 0 : errno;
}

static void on_synced(uv_work_t *work, int status)
{
    struct port_file *file = work->data;
    file->syncing = false;
    if (file->closed) {
        let_go(file);
        return;
    }
    enum port_result result = status != 0             ? PORT_FAILED
                              : file->sync_error != 0 ? port_result_of_errno(file->sync_error)
                                                      : PORT_OK;
    port_tell(file->port, &(struct port_event){.kind = PORT_SYNCED,
                                               .user = file->sync_user,
                                               .synced = {.result = result}});
}

enum port_result port_file_sync_begin(struct port_file *file, void *user)
{
    INVARIANT(!file->syncing);
    file->sync_user = user;
    file->work.data = file;
    if (uv_queue_work(&file->port->loop, &file->work, sync_in_pool, on_synced) != 0) {
        return PORT_FAILED;
    }
    file->syncing = true;
    return PORT_OK;
}

/* ---- names ---- */

enum port_result port_rename(struct port *port, const char *from, const char *to)
{
    (void)port;
    return rename(from, to) == 0 ? PORT_OK : failed();
}

enum port_result port_unlink(struct port *port, const char *path)
{
    (void)port;
    return unlink(path) == 0 ? PORT_OK : failed();
}

static bool is_dir(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

enum port_result port_dir_make(struct port *port, const char *path)
{
    (void)port;
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return PORT_BAD;
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0) {
            int error = errno; /* EROFS or EACCES for a folder that is there, too */
            if (!is_dir(part)) {
                return error == EEXIST ? PORT_EXISTS : port_result_of_errno(error);
            }
        }
    }
    return PORT_OK;
}

enum port_result port_dir_sync(struct port *port, const char *path)
{
    (void)port;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return failed();
    }
    enum port_result result = fsync(fd) == 0 ? PORT_OK : failed();
    (void)close(fd);
    return result;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **list;
    size_t count, cap;
};

static void names_add(struct names *names, const char *name)
{
    if (names->count == names->cap) {
        names->cap = names->cap == 0 ? 64 : names->cap * 2;
        names->list = realloc(names->list, names->cap * sizeof *names->list);
        INVARIANT(names->list != NULL);
    }
    names->list[names->count] = strdup(name);
    INVARIANT(names->list[names->count] != NULL);
    names->count++;
}

/* The names are collected first, so that `each` may make and remove files there. */
enum port_result port_dir_list(struct port *port,
                               const char *path,
                               void (*each)(void *context, const char *name),
                               void *context)
{
    (void)port;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return failed();
    }
    struct names names = {0};
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            names_add(&names, entry->d_name);
        }
    }
    enum port_result result = errno == 0 ? PORT_OK : failed();
    (void)closedir(dir);
    if (names.count > 0) {
        qsort(names.list, names.count, sizeof *names.list, by_bytes);
    }
    for (size_t i = 0; i < names.count; i++) {
        if (result == PORT_OK) {
            each(context, names.list[i]);
        }
        free(names.list[i]);
    }
    free(names.list);
    return result;
}

enum port_result port_dir_room(struct port *port, const char *path, uint64_t *bytes)
{
    (void)port;
    struct statvfs about;
    if (statvfs(path, &about) != 0) {
        return failed();
    }
    *bytes = (uint64_t)about.f_bavail * about.f_frsize;
    return PORT_OK;
}

enum port_result port_stdin_read(struct port *port, void *to, size_t cap, size_t *got)
{
    (void)port;
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    *got = 0;
    int count = poll(&ready, 1, 0);
    if (count == 0 || (count < 0 && errno == EINTR)) {
        return PORT_OK;
    }
    ssize_t len = read(STDIN_FILENO, to, cap);
    if (len > 0) {
        *got = (size_t)len;
        return PORT_OK;
    }
    return len == 0 ? PORT_NOT_FOUND : PORT_FAILED;
}

/* ---- last words: with system calls alone ---- */

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t done = write(fd, bytes.at, bytes.len);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        bytes = slice_after(bytes, done > 0 ? (size_t)done : 0);
    }
    return true;
}

enum port_result port_last_words(const char *dir,
                                 const char *name,
                                 struct slice (*more)(void *context),
                                 void *context)
{
    (void)mkdir(dir, 0700); /* where it fails, the next call does */
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return PORT_FAILED;
    }
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum port_result result = fd >= 0 ? PORT_OK : errno == EEXIST ? PORT_EXISTS : PORT_FAILED;
    for (struct slice bytes = {0}; result == PORT_OK && (bytes = more(context)).len > 0;) {
        result = write_all(fd, bytes) ? PORT_OK : PORT_FAILED;
    }
    if (fd >= 0) {
        result = fsync(fd) == 0 ? result : PORT_FAILED;
        (void)close(fd);
        if (result != PORT_OK) { /* half a trace is none, and would take a place */
            (void)unlinkat(folder, name, 0);
        }
        (void)fsync(folder);
    }
    (void)close(folder);
    return result;
}
