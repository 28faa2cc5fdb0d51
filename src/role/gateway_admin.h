/*
 * What an operator's tools ask of a running gateway, over a local socket (run/NAME.sock, mode 0600,
 * this user only) in HTTP/1.1 and JSON; control is the one client:
 *
 *     GET  /state                         drain: open, draining, drained; what is still there
 *     GET  /sessions?after=N&limit=N      live sessions, in the order of their places
 *     POST /drain, POST /undrain          kept on disk before it takes effect: it holds over a
 * restart POST /watch?device=ID&seconds=N     keeps what one device says and hears, for that long
 *     GET  /watch?after=N                 what was kept since event N
 *
 * While nobody asks it costs an open socket, and a watch one comparison a packet.
 */
#ifndef ROLE_GATEWAY_ADMIN_H
#define ROLE_GATEWAY_ADMIN_H

#include "codec/json.h"
#include "role/gateway_inside.h"

/* A socket that cannot be had is said: devices come first, and are served without it. */
void gateway_admin_open(struct gateway *g);
void gateway_admin_close(struct gateway *g);
bool gateway_admin_event(struct gateway *g, const struct port_event *ev);

/* With each tick: sends the next of a drain away, ends a watch whose time is over. */
void gateway_admin_tick(struct gateway *g);

/* gateway_watch.c */
void gateway_watch_begin(struct gateway *g, const struct device_id *device, uint32_t seconds);
void gateway_watch_end(struct gateway *g);
void gateway_watch_write(struct gateway *g, struct json_writer *j, uint64_t after);

#endif
