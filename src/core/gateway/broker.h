/*
 * The sessions of a gateway's clients: who subscribed to what, what waits for whom, what is
 * retained, whose will is due. Knows no connection (core/gateway/session.h is one) and no journal:
 * it is the fold of the journal's records (docs/decisions/0070). Decides and does nothing.
 *
 * THE RULE. Everything that changes goes through a record: ask what to do, stage the record that
 * says it, hand it to gw_broker_commit with `at`, the place where it begins (bus_staged just before
 * bus_publish), and let nothing be seen before the journal is durable beyond `at`: no PUBACK,
 * PUBREC, PUBCOMP, SUBACK, CONNACK, PUBREL, no delivery. gw_broker_next waits for that by itself;
 * the answers to the client's own packets are the role's to hold back. After a restart the same
 * records go through gw_broker_apply, in order, from the floor on, and the state is the same.
 *
 * VOLATILE SESSIONS end with their connection and have no will (session expiry 0). The same
 * functions, the same records, and `at` 0: committed and not staged.
 *
 * POSITIONS: a message is known by the `at` of the record that holds it now; a reader opened there
 * finds its topic, payload and properties. A QoS 0 message without a record has GW_VOLATILE set in
 * `at`, the rest is the role's own number for it.
 *
 * CLOCK: milliseconds of the gateway's lifetime clock, which rises only while it runs. It is in
 * each record, and what is asked with `clock_ms` must not be older than the last record.
 *
 *   a message in:  route -> stage -> commit -> (durable) PUBACK or PUBREC
 *   a message out: ready_pop -> next -> PUBLISH -> sent;  PUBACK -> ack -> stage -> commit
 *   QoS 2 out:     PUBREC -> ack -> stage -> commit -> (durable) next gives the PUBREL;
 *                  PUBCOMP -> ack -> stage -> commit
 *   time:          due -> stage what it gives -> commit, until it gives nothing
 *   room:          keep -> stage what it gives -> commit; floor -> retention
 *
 * Bounded: each table has a limit below; no function looks at more than the entries of one topic's
 * path, one session, or one message's targets, but for gw_broker_check, gw_broker_digest and what
 * says so. Memory is the caller's, given once.
 */
#ifndef CORE_GATEWAY_BROKER_H
#define CORE_GATEWAY_BROKER_H

#include "base/id.h"
#include "codec/mqtt_packet.h"
#include "codec/session_record.h"

struct gw_broker; /* broker_inside.h */

enum {
    GW_MOVES_MAX = 64 /* deliveries that one SESSION_MOVED moves */
};
#define GW_NOWHERE  UINT32_MAX /* no connection */
#define GW_VOLATILE (UINT64_C(1) << 63)

struct gw_broker_limits {
    uint32_t sessions_max;           /* all, volatile ones too: at least one each connection */
    uint32_t sessions_per_owner_max; /* at least 1 */
    uint32_t filters_max;            /* subscriptions of one session */
    uint32_t subscriptions_max;      /* all */
    uint32_t nodes_max;          /* levels of topics that have a subscription or retain something */
    uint32_t groups_max;         /* shared subscription groups */
    uint32_t inbound_max;        /* unreleased QoS 2 packet ids of one session */
    uint32_t inbounds_max;       /* all */
    uint32_t queue_messages_max; /* deliveries of one session */
    uint64_t queue_bytes_max;    /* of what they deliver */
    uint32_t deliveries_max;     /* all */
    uint32_t messages_max;       /* that wait for somebody or are retained, or are a will */
    uint32_t retained_max;
    uint64_t retained_bytes_max;
    uint32_t brought_max;      /* retained messages that one SUBSCRIBE brings at QoS 1 and 2 */
    uint32_t inflight_max;     /* sent to one client and not finished; at most 65,534 */
    uint32_t targets_max;      /* copies of one message */
    uint32_t stall_ms;         /* a full queue without an acknowledgement ends its session */
    uint64_t keep_after_bytes; /* what lies this far behind the head is written again (or 4 times
                                  what lives, where that is more) */
};

/* A set that suits 10,000 devices and some applications. */
struct gw_broker_limits gw_broker_limits_default(void);

/* Bytes gw_broker_init wants for these limits. */
size_t gw_broker_size(const struct gw_broker_limits *limits);

/* `memory` is aligned for any type and outlives the broker. The seed, of entropy, keeps strangers
 * from choosing topics that collide; the fold does not depend on it. */
struct gw_broker *gw_broker_init(const struct gw_broker_limits *limits,
                                 void *memory,
                                 size_t size,
                                 uint64_t seed);

/* ---- the fold ---- */

enum gw_fold {
    GW_FOLDED,
    GW_FOLD_DAMAGED, /* no broker wrote these records in this order; nothing was changed */
    GW_FOLD_FULL     /* the limits are smaller than when it was written; nothing was changed */
};

/*
 * Replay: the next record of the journal, which begins at `at`. Kinds that are no business of
 * sessions are passed by, version 1 too. At the end gw_broker_replayed with the position where
 * reading began. Whoever gets another answer than GW_FOLDED stops: its state is no state.
 */
MUST_USE enum gw_fold gw_broker_apply(struct gw_broker *b,
                                      const struct bus_record *record,
                                      uint64_t at);
MUST_USE enum gw_fold gw_broker_replayed(struct gw_broker *b, uint64_t floor);

/*
 * Live: the record that was just staged and begins at `at`, or, with `at` 0, one that a volatile
 * session needs nowhere. After gw_broker_route: the message that was routed; its volatile targets
 * are those it was routed to. The first one of a process is BUS_STARTED: it closes what was open.
 * Breaks an invariant where gw_broker_apply would refuse: ask first (may_open, may_subscribe,
 * route).
 */
void gw_broker_commit(struct gw_broker *b, const struct bus_record *record, uint64_t at);

/* Is this to be staged? False: nothing durable changes, commit it with `at` 0. */
bool gw_broker_must_stage(const struct gw_broker *b, const struct session_record *record);

/* As gw_broker_commit for a BUS_SESSION record that is still a struct. SESSION_ACKED that found no
 * room in the journal may be committed with `at` 0: a restart delivers again. */
void gw_broker_commit_session(struct gw_broker *b,
                              const struct session_record *record,
                              uint64_t clock_ms,
                              uint64_t at);

uint64_t gw_broker_clock(const struct gw_broker *b); /* of the newest record; go on from here */

/* ---- sessions ---- */

/* The number of the session, 0 where there is none. */
uint32_t gw_broker_find(const struct gw_broker *b,
                        const struct session_owner *owner,
                        struct slice client_id);
/* Numbers of ended sessions come again, much later. */
bool gw_broker_has(const struct gw_broker *b, uint32_t session);
bool gw_broker_is_durable(const struct gw_broker *b, uint32_t session);
/* The session's names, borrowed until the next call. */
void gw_broker_owner(const struct gw_broker *b, uint32_t session, struct session_owner *owner);
struct slice gw_broker_client_id(struct gw_broker *b, uint32_t session);

/*
 * A CONNECT wants a session: what to commit. Fills `out` (SESSION_OPENED) and gives MQTT_SUCCESS,
 * or why not (0x97). Before: commit SESSION_CLOSED of a connection that this one takes over, then
 * all that gw_broker_due gives, so that a will without delay is published (3.1.4-3); for a clean
 * start gw_broker_end until it gives nothing. A volatile session that comes back is not resumed:
 * end it. A will: stage and commit a BUS_WILL with will_of = out->session just after it.
 */
enum mqtt_reason gw_broker_may_open(struct gw_broker *b,
                                    const struct session_owner *owner,
                                    struct slice client_id,
                                    uint32_t expiry_s,
                                    bool has_will,
                                    uint32_t will_delay_s,
                                    struct session_record *out);
/* After SESSION_OPENED: `connection` sends and hears from now on; nothing that was in flight counts
 * against receive_max any more (4.9). */
void gw_broker_attach(struct gw_broker *b,
                      uint32_t session,
                      uint32_t connection,
                      uint16_t receive_max);
/* Before SESSION_CLOSED, and after it has no connection. */
void gw_broker_detach(struct gw_broker *b, uint32_t session);
uint32_t gw_broker_connection(const struct gw_broker *b, uint32_t session); /* or GW_NOWHERE */

/* The SESSION_CLOSED to commit; `expiry_s` from the DISCONNECT or the CONNECT. A volatile session:
 * commit what gw_broker_end gives instead. */
void gw_broker_close(struct gw_broker *b,
                     uint32_t session,
                     uint32_t expiry_s,
                     bool will_is_due,
                     struct session_record *out);
/* Expiry interval in force. */
uint32_t gw_broker_expiry_s(const struct gw_broker *b, uint32_t session);

/*
 * Ends the session, a step a call: stage (gw_broker_must_stage) and commit what it gives
 * (SESSION_MOVED, then SESSION_ENDED) and call again, until false. A will that is still there goes
 * first: gw_broker_will gives its position (publish it as gw_broker_due says), 0: none.
 */
bool gw_broker_end(struct gw_broker *b,
                   uint32_t session,
                   enum session_end end,
                   struct session_record *out);
uint64_t gw_broker_will(const struct gw_broker *b, uint32_t session);

/* ---- subscriptions ---- */

/*
 * A filter of a SUBSCRIBE (valid, and within the client's rights): fills `out` with a
 * SESSION_SUBSCRIBED, which holds the retained messages it brings, and gives the code for the
 * SUBACK: granted QoS 0 to 2, or MQTT_QUOTA_EXCEEDED. `items` is room for out->items and must
 * outlive it: GW_ITEM_MAX bytes for each of brought_max messages.
 */
enum { GW_ITEM_MAX = 40 }; /* bytes of one brought delivery: at most one subscription id */
uint8_t gw_broker_may_subscribe(struct gw_broker *b,
                                uint32_t session,
                                const struct mqtt_subscription *subscription,
                                uint32_t subscription_id,
                                uint64_t clock_ms,
                                struct writer *items,
                                struct session_record *out);
/* MQTT_SUCCESS and a SESSION_UNSUBSCRIBED in `out`, or MQTT_NO_SUBSCRIPTION_EXISTED. */
uint8_t gw_broker_may_unsubscribe(struct gw_broker *b,
                                  uint32_t session,
                                  struct slice filter,
                                  struct session_record *out);

/* The session's subscriptions, for a console or a check of rights: `cursor` begins as 0; false at
 * the end. The filter is borrowed until the next call. */
bool gw_broker_subscription_next(struct gw_broker *b,
                                 uint32_t session,
                                 uint32_t *cursor,
                                 struct session_item *out);

/* ---- messages in ---- */

struct gw_message {
    struct slice topic;
    uint32_t sender;    /* session; 0: none (a will) */
    uint16_t packet_id; /* QoS 2, else 0 */
    uint8_t qos;
    bool is_retained;
    uint32_t size;       /* bytes that it counts for in queues: topic, payload and properties */
    bool is_empty;       /* no payload: with is_retained it deletes (3.3.1.3) */
    uint64_t expires_ms; /* 0: never */
};

enum gw_route {
    GW_ROUTED,  /* stage and commit it */
    GW_NOBODY,  /* nobody is subscribed and nothing is to be retained: PUBACK 0x10 */
    GW_WAIT,    /* somebody's queue is full: take nothing more from its sender for now */
    GW_TOO_MANY /* more targets or more retained messages than the limits have: 0x97 */
};

struct gw_routing {
    uint32_t blocked_by; /* GW_WAIT: the session in the way, see gw_broker_is_blocked */
    uint32_t durable_count, volatile_count; /* targets */
    bool needs_record; /* some target has QoS above 0, or it is retained, or its sender is durable
                          and QoS 2: stage it. Else commit it with GW_VOLATILE. */
    uint32_t sender;   /* for the record's sender and packet_id: 0 where the sender is volatile */
    uint16_t packet_id;
};

/*
 * Who gets the message (4.7, 4.8). Writes the durable targets for the record. Overlapping
 * subscriptions of a session give one copy with the highest QoS and all identifiers (3.3.4); a
 * group of a shared subscription gives one copy to one member (4.8.2). Changes nothing that lasts;
 * good until anything is committed.
 */
enum gw_route gw_broker_route(struct gw_broker *b,
                              const struct gw_message *message,
                              uint64_t clock_ms,
                              struct writer *targets,
                              struct gw_routing *out);
/* Is this session still in the way? False: try again. */
bool gw_broker_is_blocked(const struct gw_broker *b, uint32_t session);

/* A QoS 2 PUBLISH that is here already: answer PUBREC and do not take it again (4.3.3). */
bool gw_broker_inbound_has(const struct gw_broker *b, uint32_t session, uint16_t packet_id);
/* There is room for one more; else 0x97 or 0x93. */
bool gw_broker_inbound_may(const struct gw_broker *b, uint32_t session);
/* A QoS 2 PUBLISH that nobody got and that was not staged: its id is in use until PUBREL. */
void gw_broker_inbound_note(struct gw_broker *b, uint32_t session, uint16_t packet_id);
/*
 * PUBREL: MQTT_SUCCESS or MQTT_PACKET_ID_NOT_FOUND, for the PUBCOMP. *must_stage: commit `out`, and
 * send the PUBCOMP when it is durable.
 */
enum mqtt_reason gw_broker_release(struct gw_broker *b,
                                   uint32_t session,
                                   uint16_t packet_id,
                                   struct session_record *out,
                                   bool *must_stage);

/* ---- messages out ---- */

enum gw_delivery_kind {
    GW_SEND_PUBLISH, /* then gw_broker_sent */
    GW_SEND_PUBREL,  /* then gw_broker_sent */
    GW_DROP_EXPIRED  /* commit `drop`: its time is over (3.3.2.3.3) */
};

struct gw_delivery {
    enum gw_delivery_kind kind;
    uint64_t n;         /* its number in the session; 0: QoS 0 */
    uint16_t packet_id; /* 1 + n mod 65,535; 0: QoS 0 */
    uint64_t position;  /* of its message */
    uint8_t qos;
    bool is_dup; /* may have been sent before (3.3.1.1) */
    bool is_retained;
    bool has_expiry;
    uint32_t expiry_s; /* what is left of it */
    uint8_t ids_count;
    uint32_t ids[BUS_TARGET_IDS_MAX];
    struct session_record drop;
};

/*
 * The next packet this attached session may be sent now, in its order: within the client's receive
 * maximum, only what is durable. False: nothing for now; the session becomes ready again by itself.
 * The same answer until sent or commit.
 */
bool gw_broker_next(struct gw_broker *b,
                    uint32_t session,
                    uint64_t durable,
                    uint64_t clock_ms,
                    struct gw_delivery *out);
/* What next gave left. QoS 0: it is finished. */
void gw_broker_sent(struct gw_broker *b, uint32_t session, const struct gw_delivery *sent);
/* What next gave cannot be sent (larger than the client takes, 3.1.2-25; or the connection is full
 * and it is QoS 0): as if finished. True: commit `out`. */
bool gw_broker_skip(struct gw_broker *b,
                    uint32_t session,
                    const struct gw_delivery *skipped,
                    struct session_record *out);

enum gw_ack {
    GW_ACK_TAKEN,  /* commit `out`; nothing waits for it */
    GW_ACK_AGAIN,  /* a PUBREC again: send the PUBREL again */
    GW_ACK_UNKNOWN /* not in flight on this connection: PUBREL 0x92 for a PUBREC, else a protocol
                      error */
};

/* A PUBACK, PUBREC or PUBCOMP of the client. */
enum gw_ack gw_broker_ack(struct gw_broker *b,
                          uint32_t session,
                          enum mqtt_type type,
                          uint16_t packet_id,
                          uint8_t reason,
                          struct session_record *out);

/* An attached session that may have something to send; false: none. */
bool gw_broker_ready_pop(struct gw_broker *b, uint64_t durable, uint32_t *session);
/* Not done with it in this turn: again. */
void gw_broker_ready_push(struct gw_broker *b, uint32_t session);

/* ---- time ---- */

enum gw_due_kind {
    GW_DUE_WILL, /* publish the BUS_WILL at `position`: a message with will_of = session, staged in
                    any case (BUS_LOCAL where nobody else reads it), committed: it is gone then */
    GW_DUE_RECORD, /* stage and commit `record` */
    GW_DUE_STALLED /* close `connection` with 0x97 as if it were lost: its will is due */
};

struct gw_due {
    enum gw_due_kind kind;
    uint32_t session;
    uint32_t connection; /* GW_NOWHERE: none */
    uint64_t position;
    struct session_record record;
};

/* The next thing whose time has come: expired sessions, wills, stalled queues. False: none. The
 * same answer until it was committed. */
bool gw_broker_due(struct gw_broker *b, uint64_t clock_ms, struct gw_due *out);
uint64_t gw_broker_due_ms(const struct gw_broker *b); /* when to ask; UINT64_MAX: never */
/* This one cannot be done yet (its will waits for somebody's queue): give others until then. */
void gw_broker_due_later(struct gw_broker *b, uint32_t session, uint64_t not_before_ms);

/* ---- the journal's room ---- */

enum gw_keep_kind {
    GW_KEEP_MESSAGE, /* the message at `position`, again: BUS_KEPT with its topic, payload and
                        properties, and what `delivery` says */
    GW_KEEP_SESSION  /* stage and commit the parts of `session`, one after the other, now */
};

struct gw_keep {
    enum gw_keep_kind kind;
    uint32_t session;
    uint64_t position;
    struct bus_delivery delivery; /* qos, is_retained, will_of, was and expires_ms */
};

/* The oldest thing that lies too far behind `head`, the end of the journal; false: none. */
bool gw_broker_keep(struct gw_broker *b, uint64_t head, struct gw_keep *out);

/*
 * The next part of a durable session as a SESSION_KEPT, `items` is room for its things (at least
 * 1,024 bytes, at most BUS_RECORD_PAYLOAD_MAX less 1,024). Begins at part 0 again where anything
 * else of the session was committed since the last part. `out`->is_last: it is done when this one
 * is committed.
 */
void gw_broker_write_session(struct gw_broker *b,
                             uint32_t session,
                             struct writer *items,
                             struct session_record *out);

/*
 * Replay must begin here or before: `head` where nothing is needed. Holds once all that has been
 * committed is durable.
 */
uint64_t gw_broker_floor(const struct gw_broker *b, uint64_t head);

/* ---- what it has ---- */

struct gw_broker_counts {
    uint32_t sessions, durable_sessions, attached, subscriptions, groups, nodes;
    uint32_t deliveries, messages, retained, inbounds;
    uint64_t message_bytes, retained_bytes;
    uint64_t dropped_qos0; /* full queue or connection */
    uint64_t expired;      /* deliveries whose time was over */
    uint64_t moved;        /* of shared subscriptions */
    uint64_t ends[SESSION_END_COUNT];
};
void gw_broker_count(const struct gw_broker *b, struct gw_broker_counts *out);

struct gw_session_view {
    uint32_t deliveries, filters, inbounds;
    uint64_t queue_bytes;
    uint32_t connection; /* GW_NOWHERE: none */
    bool is_durable, is_blocked;
    uint32_t expiry_s;
    uint64_t expires_ms; /* by the lifetime clock; 0: not running */
};
void gw_broker_view(const struct gw_broker *b, uint32_t session, struct gw_session_view *out);
/* Each session once: `cursor` begins as 0; 0 at the end. */
uint32_t gw_broker_session_next(const struct gw_broker *b, uint32_t *cursor);

/*
 * Of the durable state alone, as it is at `clock_ms`: two brokers that folded the same records have
 * the same, whatever their volatile sessions. Walks everything.
 */
void gw_broker_digest(struct gw_broker *b, uint64_t clock_ms, struct digest *out);

/* Every invariant. Walks everything. */
void gw_broker_check(const struct gw_broker *b);

#endif
