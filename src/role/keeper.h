/*
 * The keeper role: a process of its own that holds the authority keys and answers one request,
 * *sign this*, after its own policy (core/control/signing) allowed it. It listens on
 * DATA/run/keeper.sock for processes of its own user and reads the keys of DATA/keeper, which must
 * have mode 0600.
 */
#ifndef ROLE_KEEPER_H
#define ROLE_KEEPER_H

#include "role/confine.h"

#include <stdint.h>

struct keeper_config {
    const char *data;
    const char *domain;                   /* of the certificates it may sign */
    uint64_t device_lifetime_max_ms;      /* longest life of a device certificate */
    uint64_t application_lifetime_max_ms; /* and of an application's; 0: none is signed */
    enum confine_policy sandbox;          /* of keeper_run */
};

/* Runs until SIGTERM. Exit status: 0, 1, or 9 where a key is missing or readable by others; one
 * line on stderr. */
int keeper_run(const struct keeper_config *config);

/* The same in two halves, where the loop is somebody else's: see gateway_begin in role/gateway.h.
 */
struct keeper;
int keeper_begin(const struct keeper_config *config, struct keeper **out);
int keeper_end(struct keeper *keeper);

#endif
