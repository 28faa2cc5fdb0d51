/*
 * SQLite on the simulated disk. port_sqlite_vfs gives every process a VFS of its own, whose files
 * are those of its machine, whose randomness comes from the world's seed and whose time is the
 * machine's; nothing else of the process's memory is shared. Write-ahead logs work between the
 * processes of a machine: shared memory and locks live in the heap, per file, and a process that
 * dies lets go of both. Every operation goes through port_file_*, so what sim_fail, sim_power_cut
 * and the disk do to files they do to databases.
 *
 * A connection that a killed process left open is closed when the process is gone, without a trace
 * on the disk; whoever still holds it must not touch it again. Waiting for a lock takes no time:
 * nobody else runs meanwhile, so SQLITE_BUSY is said at once.
 */
#ifndef IO_SIM_SQLITE_H
#define IO_SIM_SQLITE_H

#include "io/sim/sim.h"

/* Connections that are open anywhere in this program: 0 after a world is closed. */
size_t sim_sqlite_connections(void);

#endif
