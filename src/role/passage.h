/*
 * The pass-through role, in front of the core where devices reach a gateway only: TLS connections
 * that ask for a server on a list are passed on, byte for byte, to the enrolment service. It holds
 * no key, understands nothing but the name asked for, and is a process of its own: whoever takes it
 * over can call that one port and write a report. What a connection may do is core/gateway/passage.
 */
#ifndef ROLE_PASSAGE_H
#define ROLE_PASSAGE_H

#include "role/confine.h"

enum { PASSAGE_LISTEN_MAX = 8 };

struct passage_config {
    const char *name;          /* of the gateway: "gw-1" */
    const char *const *listen; /* "[::]:9443" */
    size_t listen_count;       /* 1 to PASSAGE_LISTEN_MAX */
    const char *const *names;  /* of servers that may be asked for; any case */
    size_t names_count;        /* 1 to PASSAGE_NAMES_MAX */
    const char *service;       /* "core.plant.example:9443" */
    const char *metrics_path;  /* replaced about once a second; NULL: none */
    const char *refusals_path; /* the newest refusals, one a line; NULL: none */
    uint32_t connections_max;  /* 0: 256 */
    uint32_t per_address_max;  /* 0: 16 */
    enum confine_policy sandbox;
};

/* Runs until SIGTERM. Exit status: 0, 1 where the machine refuses, 9 for a configuration that
 * cannot be used; prints "passage NAME listens on ADDRESS:PORT" for each address. */
int passage_run(const struct passage_config *config);

#endif
