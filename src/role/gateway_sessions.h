/*
 * What the gateway role asks of the broker for its connections. Every answer's position is that of
 * the record it stands for; 0: it needed none.
 */
#ifndef ROLE_GATEWAY_SESSIONS_H
#define ROLE_GATEWAY_SESSIONS_H

#include "role/gateway_inside.h"

enum {
    GATEWAY_DUE_MAX = 256 /* wills, expiries and stalls that are looked after in one go */
};

/* Milliseconds of the gateway's lifetime, which does not run while it does not. */
uint64_t gateway_clock(const struct gateway *g);

/* Each gives the answer to one order of the session core. */
struct gw_event gateway_session_open(struct gateway *g,
                                     struct gateway_conn *c,
                                     const struct gw_effect *effect);
struct gw_event gateway_session_publish(struct gateway *g,
                                        struct gateway_conn *c,
                                        const struct gw_effect *effect);
struct gw_event gateway_session_release(struct gateway *g,
                                        struct gateway_conn *c,
                                        uint16_t packet_id);
struct gw_event gateway_session_subscribe(struct gateway *g,
                                          struct gateway_conn *c,
                                          const struct gw_effect *effect);
struct gw_event gateway_session_unsubscribe(struct gateway *g,
                                            struct gateway_conn *c,
                                            const struct gw_effect *effect);
struct gw_event gateway_session_ack(struct gateway *g,
                                    struct gateway_conn *c,
                                    const struct gw_effect *effect);

/* The connection is gone, or goes: nothing more is sent to it. What that means for its session is
 * owed where the journal has no room for it now. */
void gateway_session_close(struct gateway *g,
                           struct gateway_conn *c,
                           uint32_t expiry_s,
                           bool drops_will);
/* Pays what is owed; false where something still is. */
bool gateway_sessions_settle(struct gateway *g);

/* Ends a session, without its will; with it: gateway_session_finish. False: there is no room now.
 */
bool gateway_session_end(struct gateway *g, uint32_t session, enum session_end end);
bool gateway_session_finish(struct gateway *g, uint32_t session, enum session_end end);

/* Wills, expiries and stalls whose time has come. */
void gateway_sessions_due(struct gateway *g);

/* Stages the record where its session is durable, and applies it. */
enum bus_result gateway_commit_session(struct gateway *g,
                                       const struct session_record *session,
                                       bus_position *at);

/* gateway_deliver.c */
bool gateway_fetch(struct gateway *g, uint64_t position, struct bus_record *record);
void gateway_deliver(struct gateway *g);

/* gateway_keep.c: 0, or the exit status; before anybody is let in */
int gateway_sessions_begin(struct gateway *g);
void gateway_sessions_free(struct gateway *g);
void gateway_keep(struct gateway *g);
void gateway_note_floor(struct gateway *g);

#endif
