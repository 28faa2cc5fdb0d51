/*
 * Facts about the MQTT sessions of a gateway's clients, the payload of a BUS_SESSION record. The
 * sessions are the fold of these records and of the messages between them (docs/decisions/0070).
 * Only durable sessions are recorded: those that outlive their connection, or have a will.
 * docs/protocol/bus-record.md has the layout and vectors.
 */
#ifndef CODEC_SESSION_RECORD_H
#define CODEC_SESSION_RECORD_H

#include "codec/bus_record.h"

enum session_record_kind {
    SESSION_OPENED = 1, /* a connection has it: begun, or resumed */
    SESSION_CLOSED,     /* its connection is gone; expiry and will delay begin to run */
    SESSION_ENDED,      /* it is no more, nor is what waited for it */
    SESSION_SUBSCRIBED,
    SESSION_UNSUBSCRIBED,
    SESSION_RELEASED, /* PUBREL came: the client may use this packet id again (4.3.3) */
    SESSION_ACKED,    /* deliveries first..last are finished */
    SESSION_RECEIVED, /* PUBREC came for delivery `first`: PUBREL from now on (4.3.3) */
    SESSION_MOVED,    /* deliveries of shared subscriptions, to other members (4.8.2) */
    SESSION_KEPT      /* one part of a whole session, written again nearer to the head */
};
enum { SESSION_RECORD_KIND_COUNT = SESSION_KEPT + 1 };

/* Why a session ended. */
enum session_end {
    SESSION_END_EXPIRED = 1, /* its expiry interval passed (3.1.2.11.2) */
    SESSION_END_CLEAN,       /* a CONNECT with clean start (3.1.2.4) */
    SESSION_END_STALLED,     /* its queue was full and it made no progress */
    SESSION_END_REVOKED      /* its owner has no rights here any more */
};
enum { SESSION_END_COUNT = SESSION_END_REVOKED + 1 };

enum session_owner_kind { SESSION_OWNER_DEVICE = 1, SESSION_OWNER_APPLICATION };

/* A client id means something only below its owner. */
struct session_owner {
    enum session_owner_kind kind;
    uint8_t id[16];
};

enum {
    SESSION_CLIENT_ID_MAX = 256, /* bytes */
    SESSION_FILTER_MAX = 512     /* bytes, with "$share/NAME/" */
};
#define SESSION_NEVER_EXPIRES UINT32_C(0xffffffff) /* 3.1.2.11.2 */

/* The options of a subscription, one byte of the packet (3.8.3.1). */
struct session_options {
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling;
};

struct session_record {
    enum session_record_kind kind;
    uint32_t session; /* its number, never 0 */

    /* OPENED, KEPT part 0 */
    struct session_owner owner;
    struct slice client_id;
    uint32_t expiry_s;     /* also CLOSED: what is in force now */
    uint32_t will_delay_s; /* 3.1.3.2.2 */
    bool is_resumed;       /* OPENED: the session was there before */
    bool has_will;         /* OPENED: a BUS_WILL follows. CLOSED: it is due after its delay. */

    uint64_t sent; /* CLOSED, KEPT: no delivery above this number has ever been sent */

    enum session_end end; /* ENDED */

    /* SUBSCRIBED; UNSUBSCRIBED: the filter alone */
    struct slice filter;
    struct session_options options;
    uint32_t subscription_id; /* 0: none */

    uint16_t packet_id; /* RELEASED */

    uint64_t first, last; /* ACKED; RECEIVED: first */

    /* KEPT */
    uint16_t part; /* 0, 1, ...: without a gap */
    bool is_last;
    /* part 0 */
    bool is_open;
    uint64_t closed_ms;  /* by the lifetime clock; 0 while open */
    uint64_t will_at;    /* position of its BUS_WILL; 0: none */
    uint64_t next;       /* number of its next delivery */
    uint32_t next_share; /* number of its next subscription */

    /* SUBSCRIBED: the retained messages it brought; KEPT: one part's things; MOVED: session_move_*
     */
    struct slice items;
};

enum session_record_result { SESSION_RECORD_OK = 0, SESSION_RECORD_MALFORMED };

/* Slices in `out` borrow from `bytes`. Each item is well-formed and has its place in its record. */
MUST_USE enum session_record_result session_record_decode(struct slice bytes,
                                                          struct session_record *out);
/* MALFORMED also where the writer is too small. */
MUST_USE enum session_record_result session_record_encode(const struct session_record *record,
                                                          struct writer *w);

/* ---- things of a session, in `items` ---- */

enum session_item_kind {
    SESSION_ITEM_SUBSCRIPTION = 1,
    SESSION_ITEM_INBOUND,
    SESSION_ITEM_DELIVERY
};

struct session_item {
    enum session_item_kind kind;
    /* SESSION_ITEM_SUBSCRIPTION */
    uint32_t share; /* its number in the session; of a delivery: as bus_target.share */
    struct slice filter;
    struct session_options options;
    uint32_t subscription_id;
    uint16_t packet_id; /* SESSION_ITEM_INBOUND: a QoS 2 PUBLISH whose PUBREL has not come */
    /* SESSION_ITEM_DELIVERY */
    uint64_t n;          /* its number; 0 in SUBSCRIBED, where it is the next one */
    bool is_received;    /* PUBREC came: no message any more */
    uint64_t position;   /* of its message; 0 where is_received */
    uint64_t expires_ms; /* of its message */
    uint32_t size;       /* bytes its message counts for */
    uint8_t qos;
    bool is_retained;
    uint8_t ids_count;
    uint32_t ids[BUS_TARGET_IDS_MAX];
};
bool session_item_next(struct slice *rest, struct session_item *out);
void session_item_write(struct writer *w, const struct session_item *item);

/* One delivery of a session that ends, now another member's. All but `n` is zero where no durable
 * session gets it. */
struct session_move {
    uint64_t n;     /* its number in the session that ends */
    uint32_t to;    /* the other session; its next delivery */
    uint32_t share; /* that session's subscription */
    uint32_t subscription_id;
    uint64_t position; /* of the message, as in session_item */
    uint64_t expires_ms;
    uint32_t size;
};
bool session_move_next(struct slice *rest, struct session_move *out);
void session_move_write(struct writer *w, const struct session_move *move);

const char *session_end_name(enum session_end end); /* "expired" */

#endif
