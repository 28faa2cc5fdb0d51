/* A small file read whole: keys, certificates, configuration, cursors. Works over any definition of
 * the port. */
#ifndef IO_READ_ALL_H
#define IO_READ_ALL_H

#include "io/port.h"

/*
 * Reads the whole file to `to`, which has room for `cap` bytes, and says in *len how many there
 * are. PORT_BAD where the file is longer: a part of it is never returned. `to` and *len are defined
 * on PORT_OK only.
 */
MUST_USE enum port_result port_file_read_all(
    struct port *port, const char *path, void *to, size_t cap, size_t *len);

#endif
