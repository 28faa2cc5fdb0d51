/* The parts of port_confine. */
#ifndef IO_POSIX_CONFINE_H
#define IO_POSIX_CONFINE_H

#include "io/posix/inside.h"

/* True, with why, where this build cannot live with fewer rights: sanitizers and coverage open
 * files and trace themselves when they end. */
bool confine_cannot(struct port_why *why);

/* PORT_CONFINED_FILES and, without rights->dials, PORT_CONFINED_NETWORK; 0 with why. */
unsigned confine_files(const struct port_rights *rights, struct port_why *why);

/* PORT_CONFINED_CALLS, or 0 with why. A call that is not on the list fails with EPERM, is counted
 * (confine_refused) and named on stderr; one that could only serve an intruder ends the process. */
unsigned confine_calls(const struct port_rights *rights, struct port_why *why);
uint64_t confine_refused(void);

#endif
