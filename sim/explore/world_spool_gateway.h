/*
 * The state of world_spool.c, and the gateway in it: its role's loop around core/gateway/session,
 * with a journal of durable and of staged records in place of the bus.
 */
#ifndef SIM_EXPLORE_WORLD_SPOOL_GATEWAY_H
#define SIM_EXPLORE_WORLD_SPOOL_GATEWAY_H

#include "core/device/outbox.h"
#include "core/gateway/session.h"
#include "core/ingest/received.h"
#include "sim/explore/explore.h"

enum { MESSAGES_MAX = 5, WINDOW = 2, ROOM_MAX = 6, ACKS_MAX = 8, BYTES = 64, ODD = 9 };
enum { BAD_ID = 60000 };
enum bound {
    MESSAGES,
    ROOM,
    IS_3_1_1,
    ODDITIES
}; /* ODDITIES: publishes of QoS 0 and refused ones */

struct link {
    bool is_up;
    struct gw_session session;
    struct gw_pending pendings[WINDOW];
    bool is_paused;
    uint8_t held; /* the message that was not taken and comes again; 0: none */
    uint16_t held_id;
    uint32_t acks_len; /* PUBACKs on their way to the device */
    uint16_t acks[ACKS_MAX];
};

struct spool { /* positions count records */
    uint64_t kept, durable, staged;
    uint64_t syncing;          /* what the sync under way makes durable; 0: none is */
    uint8_t records[ROOM_MAX]; /* from `kept` on; a message's number, or ODD */
};

struct world {
    uint32_t bounds[EXPLORE_BOUNDS_MAX];
    struct gw_limits limits;
    struct outbox outbox;
    struct outbox_entry entries[MESSAGES_MAX];
    uint8_t bytes[BYTES];
    struct link link;
    struct spool spool;
    uint64_t cursor; /* of ingest */
    struct received received;
    struct received_pool pool;
    uint32_t promised, applied; /* bits */
    uint32_t odd_left;
};

/* A world is copied as it is: what points into it is put right before each step. */
void world_bind(struct world *w);

void gateway_connect(struct world *w, struct explore_breach *breach);

/* `packet_id` 0: of QoS 0; BAD_ID: to a topic that is refused. */
void gateway_publish(struct world *w,
                     uint8_t number,
                     uint16_t packet_id,
                     struct explore_breach *breach);

/* Steps until the core waits for something that is not known yet. */
void gateway_feed(struct world *w, struct gw_event ev, struct explore_breach *breach);

/* As the role does: sessions that wait for acknowledgements are told, then those that wait for
 * room. */
void gateway_tell_session(struct world *w, bool is_durable, struct explore_breach *breach);

void gateway_link_down(struct world *w);

/* What was not durable is lost but for its first `left` records; what is left is made durable. */
void gateway_cut(struct world *w, uint8_t left);

#endif
