#include "io/replace.h"

#include <string.h>

enum { PATH_LEN_MAX = 1000 };
static const char suffix[] = ".new";

static enum port_result write_whole(struct port *port, const char *path, struct slice bytes)
{
    struct port_file *file;
    enum port_result result = port_file_open(port, path, PORT_WRITE | PORT_CREATE, &file);
    if (result != PORT_OK) {
        return result;
    }
    result = port_file_truncate(file, 0); /* one that a cut left behind may be longer */
    if (result == PORT_OK) {
        result = port_file_write(file, 0, bytes);
    }
    if (result == PORT_OK) {
        result = port_file_sync(file);
    }
    port_file_close(file);
    return result;
}

/* The folder of `path`: "." where it names none, "/" for what lies in the root. */
static void folder_of(const char *path, char folder[PATH_LEN_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == NULL) {
        memcpy(folder, ".", 2);
    } else if (len == 0) {
        memcpy(folder, "/", 2);
    } else {
        memcpy(folder, path, len);
        folder[len] = '\0';
    }
}

enum port_result port_file_replace(struct port *port, const char *path, struct slice bytes)
{
    char made[PATH_LEN_MAX + sizeof suffix];
    char folder[PATH_LEN_MAX + 1];
    size_t len = strlen(path);
    if (len == 0 || len > PATH_LEN_MAX) {
        return PORT_BAD;
    }
    memcpy(made, path, len); /* NOLINT(bugprone-not-null-terminated-result): the suffix ends it */
    memcpy(made + len, suffix, sizeof suffix);
    folder_of(path, folder);
    enum port_result result = write_whole(port, made, bytes);
    if (result == PORT_OK) {
        result = port_rename(port, made, path);
    }
    if (result == PORT_OK) {
        return port_dir_sync(port, folder);
    }
    (void)port_unlink(port, made);
    return result;
}
