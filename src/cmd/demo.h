/*
 * The parts of `holdfast demo`: its site and identities (demo.c), its device agents (demo_fleet.c),
 * what it writes for scripts (demo_up.c).
 */
#ifndef CMD_DEMO_H
#define CMD_DEMO_H

#include "cmd/roles.h"
#include "cmd/site.h"
#include "role/http_client.h"

enum {
    DEMO_AGENTS = 3, /* this many devices are holdfast-agent processes of their own */
    DEMO_NAME_MAX = 64
};

enum demo_phase { DEMO_STARTING, DEMO_ASKING_FLEET, DEMO_ASKING_LINK, DEMO_READY, DEMO_STOPPING };

struct demo {
    struct cli *cli;
    struct port *port;
    struct supervise supervise;
    struct config config;
    struct site site;
    long devices;
    char token[128];
    enum demo_phase phase;
    uint64_t began_ms;
    struct port_wake *ask;
    struct http_client *client;
    char fields[256];
    long active;
    long connected;
    char login[400];
    int exit;
};

void demo_device_name(long device, char name[DEMO_NAME_MAX]);

/* Adds the agents: the first DEMO_AGENTS as processes of their own, the others in one. */
void demo_fleet_start(struct demo *d);

/* That one: runs devices DEMO_AGENTS + 1 and on in this process. */
int demo_fleet_run(struct demo *d);

/* DIR/up.json: everything is ready, and where it is. */
void demo_up_write(struct demo *d);

#endif
