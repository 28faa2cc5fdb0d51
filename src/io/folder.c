#include "io/folder.h"

#include <string.h>

enum { PATH_LEN_MAX = 1000 };

enum port_result port_folder_make(struct port *port, const char *path)
{
    char parent[PATH_LEN_MAX + 1];
    size_t len = strlen(path);
    if (len == 0 || len > PATH_LEN_MAX) {
        return PORT_BAD;
    }
    memcpy(parent, path, len + 1);
    enum port_result result = port_dir_make(port, path);
    while (result == PORT_OK && len > 0) {
        while (len > 0 && parent[len - 1] != '/') {
            len--;
        }
        while (len > 1 && parent[len - 1] == '/') {
            len--;
        }
        parent[len] = '\0';
        result = port_dir_sync(port, len == 0 ? "." : parent);
        if (result == PORT_DENIED) {
            return PORT_OK;
        }
        if (len == 1 && parent[0] == '/') {
            break;
        }
    }
    return result;
}
