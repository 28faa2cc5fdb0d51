/*
 * The grants of applications, as a gateway knows them: reads DATA/grants/applications.toml, watches
 * it, and keeps the last good one. A file that cannot be used is said, counted, and changes
 * nothing; no file: no application is let in.
 */
#ifndef ROLE_GATEWAY_GRANTS_H
#define ROLE_GATEWAY_GRANTS_H

#include "base/id.h"
#include "codec/grants.h"
#include "io/port.h"

struct gateway_grants;

/* `path` must outlive it; NULL gives NULL, which every function below takes for no grants. */
struct gateway_grants *gateway_grants_open(struct port *port, const char *path, const char *who);
void gateway_grants_close(struct gateway_grants *grants);

/* With each report: looks again where a watch could not be had, or the file was not there. True
 * where the grants are others now. */
MUST_USE bool gateway_grants_refresh(struct gateway_grants *grants);
/* Was the event of the watch? Then *changed says whether the grants are others now. */
bool gateway_grants_event(struct gateway_grants *grants,
                          const struct port_event *ev,
                          bool *changed);

/* The grant of an application with this key; NULL: it is not let in. Valid until the grants change.
 */
const struct grant *gateway_grants_find(const struct gateway_grants *grants,
                                        struct slice name,
                                        const struct digest *key);

/* The same by the id of its sessions' owner (identity_application_id). */
const struct grant *gateway_grants_of(const struct gateway_grants *grants,
                                      const struct device_id *owner);

uint64_t gateway_grants_number(const struct gateway_grants *grants);  /* 0: no file was read */
uint64_t gateway_grants_refused(const struct gateway_grants *grants); /* files of no use */

#endif
