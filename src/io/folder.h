/* Folders that are still there when the power comes back. Works over any definition of the port. */
#ifndef IO_FOLDER_H
#define IO_FOLDER_H

#include "io/port.h"

/*
 * Makes the folder and the parents that are missing, and makes their names durable: a file in it is
 * only as durable as the folder's own name. Parents that we may not look into were there before us.
 * PORT_OK where it was there. A path of 1 to 1,000 bytes, else PORT_BAD.
 */
MUST_USE enum port_result port_folder_make(struct port *port, const char *path);

#endif
