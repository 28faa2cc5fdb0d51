/*
 * Starts the roles as children, starts again those that end, stops all of them in order. Knows how
 * a child is called and nothing of what it does; when to start again is decided by
 * core/control/restart.
 */
#ifndef ROLE_SUPERVISE_H
#define ROLE_SUPERVISE_H

#include "core/control/restart.h"
#include "io/port.h"

enum { SUPERVISE_CHILDREN_MAX = 64, SUPERVISE_ARGS_MAX = 24, SUPERVISE_STOP_MS = 10000 };

struct supervise_child {
    char name[64];                      /* "keeper", "gw-1" */
    char args[SUPERVISE_ARGS_MAX][256]; /* args[0] is the program */
    uint32_t args_count;
    char log_path[256];
    /* kept by supervise */
    struct restart restart;
    struct port_child *process;
    struct port_wake *wake;
};

struct supervise {
    struct port *port;
    uint32_t count;
    struct supervise_child children[SUPERVISE_CHILDREN_MAX];
    bool is_stopping;
    struct port_wake *deadline;
    /* Called after each start, exit and the end of all (which = UINT32_MAX, after supervise_stop).
     */
    void (*changed)(void *context, uint32_t which);
    void *context;
};

/* Adds a child and starts it; its index. Stops the process where the table is full. */
uint32_t supervise_add(struct supervise *s, const struct supervise_child *child);
void supervise_arg(struct supervise_child *child, const char *arg);

/* True where the event was one of ours. To be called first by the owner's handler. */
bool supervise_event(struct supervise *s, const struct port_event *ev);

/* SIGTERM to all, last started first; SIGKILL after SUPERVISE_STOP_MS. */
void supervise_stop(struct supervise *s);

int supervise_pid(const struct supervise *s, uint32_t which); /* 0 where it is not running */

#endif
