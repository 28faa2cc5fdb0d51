/*
 * The control plane: registry, API, console, device services and metrics in one process. Reads the
 * store that ingest writes, never writes it; its own facts are in the registry, each with its entry
 * before its effect.
 */
#ifndef ROLE_CONTROL_H
#define ROLE_CONTROL_H

#include "base/slice.h"
#include "codec/grants.h"
#include "io/port.h"
#include "role/confine.h"

struct control_config {
    const char *data;           /* DATA */
    const char *site;           /* [site] name */
    const char *domain;         /* [site] domain */
    const char *console_listen; /* "127.0.0.1:8080"; NULL: no console */
    bool console_tls;           /* with DATA/pki/devices.pem: false only on loopback */
    const char
        *console_origin; /* "http://localhost:8080": what links are made of, what Origin must be */
    const char *console_dir;     /* serve the console's files from here instead of from the binary;
                                    NULL: binary */
    const char *devices_listen;  /* device services, "127.0.0.1:9443"; NULL: none */
    bool require_linking;        /* first enrolments must be linked to their connection */
    uint64_t device_lifetime_ms; /* of the certificates issued */
    uint64_t application_lifetime_ms; /* the longest of an application's certificate; 0: 398 d */
    const struct grant *applications; /* that the configuration grants; must outlive the role */
    size_t applications_count;        /* at most GRANTS_MAX */
    const char *metrics_listen;       /* NULL: none */
    const char *ready_path;           /* written, atomically, when all listeners are open:
                                         {"v":1,"console":PORT,...}; NULL: not */
    enum confine_policy sandbox;      /* of control_run */
};

/* Runs until SIGTERM; the process's exit code. `port_handler` and loop are its own. */
int control_run(const struct control_config *config);

/* The same in two halves, where the loop is somebody else's: see gateway_begin in role/gateway.h.
 */
struct control;
int control_begin(const struct control_config *config, struct control **out);
int control_end(struct control *control);

#endif
