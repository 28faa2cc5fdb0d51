/*
 * When a role that ended is started again. Pure: exits and times come in, the time of the next
 * start comes out.
 *
 *   RUNNING --exit--> WAITING --due--> RUNNING
 *      |                 the wait doubles from 100 ms to 10 s, and begins anew after 10 s of life
 *      +--exit that starting again cannot mend--> GIVEN_UP      +--exit while stopping--> ENDED
 */
#ifndef CORE_CONTROL_RESTART_H
#define CORE_CONTROL_RESTART_H

#include <stdbool.h>
#include <stdint.h>

enum restart_state { RESTART_RUNNING, RESTART_WAITING, RESTART_GIVEN_UP, RESTART_ENDED };

enum {
    RESTART_FIRST_MS = 100,
    RESTART_LAST_MS = 10000,
    RESTART_CALM_MS = 10000, /* a life this long forgives earlier failures */
    RESTART_BAD_CONFIG = 9,  /* exit status: the configuration cannot be used */
    RESTART_STORAGE =
        74 /* exit status: a write or sync failed; its cause must be looked at first */
};

struct restart {
    enum restart_state state;
    uint32_t failures; /* in a row */
    uint32_t exits;    /* ever */
    uint64_t started_ms;
    uint64_t due_ms; /* WAITING: when to start again */
};

void restart_init(struct restart *r, uint64_t now_ms); /* just started */
void restart_exited(struct restart *r, uint64_t now_ms, int status, bool is_stopping);
void restart_started(struct restart *r, uint64_t now_ms);
void restart_check(const struct restart *r);

#endif
