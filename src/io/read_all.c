#include "io/read_all.h"

enum port_result port_file_read_all(
    struct port *port, const char *path, void *to, size_t cap, size_t *len)
{
    struct port_file *file;
    uint64_t size = 0;
    size_t got = 0;
    enum port_result result = port_file_open(port, path, PORT_READ, &file);
    if (result != PORT_OK) {
        return result;
    }
    result = port_file_size(file, &size);
    if (result == PORT_OK && size > cap) {
        result = PORT_BAD;
    }
    if (result == PORT_OK) {
        result = port_file_read(file, 0, to, (size_t)size, &got);
    }
    port_file_close(file);
    if (result == PORT_OK) {
        *len = got;
    }
    return result;
}
