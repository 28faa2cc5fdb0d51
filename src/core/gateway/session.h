/*
 * One device's MQTT connection: what it may say when, and what is answered. Decides and does
 * nothing: packets, time and the outcome of what was ordered come in as events, orders go out as
 * effects, to be carried out in their order. Knows the one device its certificate named, and no
 * other connection.
 *
 *     NEW --CONNECT--> CHECKING --admitted--> LIVE
 *       \__________________\__________________\____--> CLOSED
 *
 * NEW: the handshake named the device; nothing but a CONNECT is taken, and only until `connect_ms`.
 * CHECKING: a good CONNECT waits for a place among the sessions and in the journal; no packet is
 * looked at. LIVE: CONNACK 0x00 went out. Every unacknowledged PUBLISH is in the journal below
 * `staged`. CLOSED: GW_CLOSE was ordered, or the connection went; nothing is ordered any more.
 */
#ifndef CORE_GATEWAY_SESSION_H
#define CORE_GATEWAY_SESSION_H

#include "base/id.h"
#include "codec/mqtt.h"

enum {
    GW_CLIENT_ID_MAX = 128, /* bytes */
    GW_FILTERS_MAX = 32,    /* in one SUBSCRIBE or UNSUBSCRIBE */
    GW_INFLIGHT_CAP = 65535,
    GW_EFFECTS_MAX = 4,
    GW_TOPIC_PREFIX_LEN = 5 + DEVICE_ID_TEXT_LEN + 1 /* "hf/1/hf1:.../" */
};

struct gw_limits {
    uint32_t packet_max;       /* bytes of one control packet */
    uint32_t inflight_max;     /* unacknowledged QoS 1 publishes; at most GW_INFLIGHT_CAP */
    uint32_t keep_alive_max_s; /* 1 to 65,535 */
    uint32_t connect_ms;       /* from the handshake to a whole CONNECT */
    bool allow_3_1_1;
};

enum gw_state { GW_NEW, GW_CHECKING, GW_LIVE, GW_CLOSED };
enum { GW_STATE_COUNT = GW_CLOSED + 1 };

/* Why a session ended, for the record of the bus and the metrics. */
enum gw_end {
    GW_END_CLIENT,     /* it said DISCONNECT */
    GW_END_LOST,       /* the connection went without one */
    GW_END_REFUSED,    /* it did what it may not */
    GW_END_KEEP_ALIVE, /* silent for one and a half times its keep alive */
    GW_END_TAKEN_OVER, /* a newer connection has its client id */
    GW_END_STOPPING    /* the gateway stops */
};
enum { GW_END_COUNT = GW_END_STOPPING + 1 };

enum gw_event_kind {
    GW_SAW_PACKET, /* packet */
    GW_SAW_FAULT,  /* fault: what came is no packet, or not one for this gateway */
    GW_ADMITTED,  /* answers GW_ASK_ADMISSION: the session has its place, its link is in the journal
                   */
    GW_DENIED,    /* answers GW_ASK_ADMISSION: reason */
    GW_STAGED,    /* answers GW_APPEND: position */
    GW_NO_ROOM,   /* answers GW_APPEND: the journal is full, the packet was not taken */
    GW_HAS_ROOM,  /* after GW_NO_ROOM: the journal can take records again */
    GW_STORED,    /* everything below position is on stable storage */
    GW_TOOK_OVER, /* another connection has this client id now */
    GW_STOPPING,  /* the gateway stops; all that was staged has been stored */
    GW_LOST,      /* the connection is gone */
    GW_TICK
};
enum { GW_EVENT_COUNT = GW_TICK + 1 };

struct gw_event {
    enum gw_event_kind kind;
    uint64_t now_ms;
    union {
        const struct mqtt_packet *packet; /* borrowed until the step returns */
        struct mqtt_fault fault;
        enum mqtt_reason reason;
        uint64_t position;
    };
};

enum gw_effect_kind {
    GW_ASK_ADMISSION, /* client_id: take a place, stage the link, answer with GW_ADMITTED or
                         GW_DENIED */
    GW_APPEND,        /* message: stage it, answer with GW_STAGED or GW_NO_ROOM */
    GW_ACK,           /* acks: a PUBACK for each, in this order */
    GW_SEND,          /* packet */
    GW_PAUSE,         /* stop reading; the packet that caused it was not taken and comes again */
    GW_RESUME,        /* read on */
    GW_REFUSE,        /* fault: count it and keep it for the operator */
    GW_CLOSE          /* end: send what is waiting, then close */
};

struct gw_pending { /* a PUBLISH that waits for its PUBACK */
    uint64_t position;
    uint16_t packet_id;
    uint8_t reason;
};

struct gw_effect {
    enum gw_effect_kind kind;
    union {
        struct slice client_id;
        struct {
            struct slice topic, payload;
        } message;
        struct {
            const struct gw_pending *list;
            uint32_t count;
        } acks;
        struct mqtt_packet packet;
        struct mqtt_fault fault;
        enum gw_end end;
    };
};

struct gw_effects {
    uint32_t count;
    struct gw_effect list[GW_EFFECTS_MAX]; /* slices live until the next step */
};

enum gw_stall { GW_FLOWS, GW_WAITS_FOR_ACKS, GW_WAITS_FOR_ROOM };

struct gw_session {
    const struct gw_limits *limits;
    struct gw_pending *inflight; /* a ring of limits->inflight_max, the caller's */
    uint32_t inflight_head, inflight_count;
    enum gw_state state;
    enum mqtt_version version;
    enum gw_stall stall;
    bool is_staging; /* GW_APPEND was ordered, its answer is due */
    bool wants_reasons;
    bool may_keep_session; /* asked for a session expiry above zero */
    uint8_t staging_qos;
    uint16_t staging_packet_id;
    uint16_t keep_alive_s; /* in force */
    uint16_t asked_keep_alive_s;
    uint32_t peer_packet_max; /* the client takes no larger packet */
    uint64_t heard_ms;        /* of the newest packet */
    uint64_t staged;          /* behind the last message of this session */
    uint64_t durable;
    uint64_t number; /* of this connection, in this process: makes assigned client ids unique */
    bool takes_commands, takes_notices;
    bool was_assigned;
    uint32_t client_id_len;
    uint8_t client_id[GW_CLIENT_ID_MAX];
    uint8_t prefix[GW_TOPIC_PREFIX_LEN];
    uint8_t codes[GW_FILTERS_MAX]; /* of the SUBACK or UNSUBACK that was ordered last */
    struct device_id device;
};

/* `inflight` has limits->inflight_max entries; both outlive the session. */
void gw_session_init(struct gw_session *s,
                     const struct gw_limits *limits,
                     struct gw_pending *inflight,
                     const struct device_id *device,
                     uint64_t number,
                     uint64_t now_ms);
void gw_session_step(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
uint64_t gw_session_due_ms(const struct gw_session *s); /* when GW_TICK is due; UINT64_MAX: never */
void gw_session_check(const struct gw_session *s);

/* AckedIsKept, where it counts: each of these messages lies below what the journal has made
 * durable. The role asks before a PUBACK leaves. */
void gw_acks_check(const struct gw_pending *list, uint32_t count, uint64_t durable);

struct slice gw_session_client_id(const struct gw_session *s);
const char *gw_end_name(enum gw_end end); /* "keep-alive" */

#endif
