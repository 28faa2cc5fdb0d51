/*
 * A file that is always whole: either the old bytes or the new ones, whatever fails or whenever the
 * power goes. Works over any definition of the port.
 */
#ifndef IO_REPLACE_H
#define IO_REPLACE_H

#include "io/port.h"

/*
 * Writes PATH.new, syncs it, renames it over PATH and syncs the folder. PORT_OK: the new bytes are
 * durable. Anything else: PATH holds the old bytes or the new ones; a failed sync stops the role,
 * as any other. One writer per path. A path of 1 to 1,000 bytes, else PORT_BAD.
 */
MUST_USE enum port_result port_file_replace(struct port *port,
                                            const char *path,
                                            struct slice bytes);

#endif
