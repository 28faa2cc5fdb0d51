/*
 * Each role gives up, once it has opened what it needs, every right that it does not need any more:
 * what it may still do is said here in the terms of its own configuration. Knows how a role is told
 * to do so; how it is done is the port's.
 */
#ifndef ROLE_CONFINE_H
#define ROLE_CONFINE_H

#include "base/writer.h"
#include "io/port.h"

/* [site] sandbox */
enum confine_policy {
    CONFINE_AUTO,     /* as far as the kernel has the means; what is missing is said */
    CONFINE_REQUIRED, /* the role does not start where one of the means is missing */
    CONFINE_OFF
};

/* "auto", "required" or "off"; false on any other word. */
MUST_USE bool confine_policy_from(const char *word, enum confine_policy *out);

/* One line on stderr says what was reached. False: the role must not go on. */
MUST_USE bool confine(struct port *port,
                      const char *role,
                      enum confine_policy policy,
                      const struct port_rights *rights);

/* holdfast_confined{by="files"|"calls"|"network"} and holdfast_refused_calls_total of this
 * process, once a report. */
void confine_metrics(struct writer *w);

/* A list of paths for struct port_rights: "BASE/REST" each. */
enum { CONFINE_PATHS_MAX = 8, CONFINE_PATH_CAP = 512 };
struct confine_paths {
    uint32_t count;
    const char *list[CONFINE_PATHS_MAX + 1]; /* ends with NULL */
    char text[CONFINE_PATHS_MAX][CONFINE_PATH_CAP];
};
/* `rest` may be NULL. A path that does not fit is left out: what it names cannot be opened. */
void confine_path(struct confine_paths *paths, const char *base, const char *rest);
/* The folder that holds `path`; nothing where `path` is NULL. */
void confine_folder_of(struct confine_paths *paths, const char *path);

#endif
