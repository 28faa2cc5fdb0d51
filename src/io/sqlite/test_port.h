/* The port of a test that opens files and waits for nothing. */
#ifndef IO_SQLITE_TEST_PORT_H
#define IO_SQLITE_TEST_PORT_H

#include "io/port.h"

struct port *test_port(void); /* the same one until the end */

#endif
