/*
 * Starting roles: what `holdfast run` and `holdfast demo` share.
 */
#ifndef CMD_ROLES_H
#define CMD_ROLES_H

#include "cmd/cli.h"
#include "role/config.h"
#include "role/supervise.h"

/* Reads the file that --config or HOLDFAST_CONFIG names, else ./holdfast.toml; says what is wrong
 * with it. */
MUST_USE bool roles_read_config(struct cli *cli, struct config *config, int *exit);

/* DATA's own folders. */
MUST_USE bool roles_make_folders(struct port *port, const struct config *config);

/* Adds keeper, control, ingest and each gateway as children; `roles` picks some ("core,ingest"),
 * NULL takes all. */
void roles_start(struct supervise *s, const struct config *config, const char *roles);

/* Every field trace that a role of this configuration has written. */
void roles_traces(const struct config *config,
                  void (*each)(void *context, const char *path),
                  void *context);

#endif
