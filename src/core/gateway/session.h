/*
 * One client's MQTT connection: what it may say when, and what is answered. Decides and does
 * nothing: packets, time and the outcome of what was ordered come in as events, orders go out as
 * effects, to be carried out in their order. Knows the one device or application its certificate
 * named, and no other connection; sessions that outlive it, subscriptions and queues are
 * core/gateway/broker.h.
 *
 *     NEW --CONNECT--> CHECKING --admitted, stored--> LIVE
 *       \__________________\______________________\____--> CLOSED
 *
 * NEW: the handshake named the client; nothing but a CONNECT is taken, and only until `connect_ms`.
 * CHECKING: a good CONNECT waits for a place among the sessions and in the journal; no packet is
 * looked at. LIVE: CONNACK 0x00 went out. Every unacknowledged PUBLISH is in the journal below
 * `staged`. CLOSED: GW_CLOSE was ordered, or the connection went; nothing is ordered any more.
 *
 * What waits for stable storage: PUBACK, PUBREC and PUBCOMP in a ring, in the order of their
 * packets; a SUBACK, an UNSUBACK or the CONNACK of a session that is kept, alone: nothing more is
 * read until it is out.
 */
#ifndef CORE_GATEWAY_SESSION_H
#define CORE_GATEWAY_SESSION_H

#include "base/id.h"
#include "codec/mqtt.h"
#include "core/gateway/rights.h"

enum {
    GW_CLIENT_ID_MAX = 128, /* bytes */
    GW_TOPIC_MAX = 512,     /* bytes of a topic name or filter */
    GW_FILTERS_MAX = 32,    /* in one SUBSCRIBE or UNSUBSCRIBE */
    GW_ALIASES_MAX = 16,    /* topic aliases, each way; the bits of an uint16_t */
    GW_INFLIGHT_CAP = 65535,
    GW_EFFECTS_MAX = 6
};

struct gw_limits {
    uint32_t packet_max;           /* bytes of one control packet */
    uint32_t inflight_max;         /* unfinished QoS 1 and 2 publishes; at most GW_INFLIGHT_CAP */
    uint32_t keep_alive_max_s;     /* 1 to 65,535 */
    uint32_t connect_ms;           /* from the handshake to a whole CONNECT */
    uint32_t session_expiry_max_s; /* a longer one becomes this */
    bool allow_3_1_1;
};

enum gw_state { GW_NEW, GW_CHECKING, GW_LIVE, GW_CLOSED };
enum { GW_STATE_COUNT = GW_CLOSED + 1 };

/* Why a connection ended, for the record of the bus and the metrics. */
enum gw_end {
    GW_END_CLIENT,     /* it said DISCONNECT */
    GW_END_LOST,       /* the connection went without one */
    GW_END_REFUSED,    /* it did what it may not */
    GW_END_KEEP_ALIVE, /* silent for one and a half times its keep alive */
    GW_END_TAKEN_OVER, /* a newer connection has its client id */
    GW_END_STOPPING,   /* the gateway stops or is drained */
    GW_END_ORDERED     /* the gateway ended it: a right withdrawn, a queue nobody empties */
};
enum { GW_END_COUNT = GW_END_ORDERED + 1 };

enum gw_event_kind {
    GW_SAW_PACKET, /* packet */
    GW_SAW_FAULT,  /* fault: what came is no packet, or not one for this gateway */
    GW_ADMITTED, /* answers GW_ASK_ADMISSION: the session has its place. admitted.position: CONNACK
                    waits until that is stored; 0: for nothing */
    GW_DENIED,   /* answers GW_ASK_ADMISSION: stop.reason */
    GW_STAGED,   /* answers GW_APPEND, GW_RELEASE, GW_SUBSCRIBE, GW_UNSUBSCRIBE and GW_TAKE_ACK:
                    staged */
    GW_NO_ROOM,  /* answers the same: the journal is full, the packet was not taken */
    GW_QUEUE_FULL, /* answers GW_APPEND: a subscriber's queue is full, the packet was not taken */
    GW_HAS_ROOM,   /* after GW_NO_ROOM and GW_QUEUE_FULL: try again */
    GW_STORED,     /* everything below position is on stable storage */
    GW_TOOK_OVER,  /* another connection has this client id now */
    GW_STOPPING,   /* the gateway ends the connection: stop; all that was staged has been stored */
    GW_LOST,       /* the connection is gone */
    GW_TICK
};
enum { GW_EVENT_COUNT = GW_TICK + 1 };

struct gw_event {
    enum gw_event_kind kind;
    uint64_t now_ms;
    union {
        const struct mqtt_packet *packet; /* borrowed until the step returns */
        struct mqtt_fault fault;
        uint64_t position;
        struct {
            uint64_t position;
            bool session_present;
        } admitted;
        struct {
            uint64_t position; /* 0: nothing had to be staged, or it was before */
            uint8_t reason;    /* below 0x80: taken. PUBREL: 0x92 for an unknown id; acks: 0x92, or
                                  0x82 for one of the wrong kind */
            bool is_repeat;    /* a QoS 2 PUBLISH whose id is waiting for its PUBREL already */
            const uint8_t *codes; /* of GW_SUBSCRIBE and GW_UNSUBSCRIBE: one for each filter */
        } staged;
        struct {
            enum gw_end end;         /* of GW_STOPPING */
            enum mqtt_reason reason; /* 0: of GW_STOPPING, the gateway stops (0x8B) */
            const char *clause;      /* static; NULL: the reason's name */
            struct slice server_reference;
            bool drops_will; /* the client lost the right to it */
        } stop;
    };
};

enum gw_effect_kind {
    GW_ASK_ADMISSION, /* admission: take a place, stage the link, open the session; answered by
                         GW_ADMITTED or GW_DENIED */
    GW_APPEND,        /* message: route and stage it */
    GW_RELEASE,       /* packet_id: of a PUBREL */
    GW_SUBSCRIBE,     /* filters: those with a code below 0x80 */
    GW_UNSUBSCRIBE,   /* filters */
    GW_TAKE_ACK,      /* ack: a PUBACK, PUBREC or PUBCOMP of the client */
    GW_ACK,           /* acks: a PUBACK, PUBREC or PUBCOMP for each, in this order */
    GW_SEND,          /* packet */
    GW_PAUSE,         /* stop reading; comes_again: the packet was not taken and is given again */
    GW_RESUME,        /* read on */
    GW_REFUSE,        /* fault: count it and keep it for the operator */
    GW_CLOSE          /* close: send what is waiting, then close */
};

struct gw_pending { /* an answer that waits for stable storage */
    uint64_t position;
    uint16_t packet_id;
    uint8_t reason;
    uint8_t type; /* MQTT_PUBACK, MQTT_PUBREC or MQTT_PUBCOMP */
    bool is_repeat;
};

struct gw_effect {
    enum gw_effect_kind kind;
    union {
        struct {
            struct slice client_id;
            uint32_t expiry_s;                  /* of the session; 0: it ends with the connection */
            uint16_t receive_max;               /* 1 to 65,535: of the client */
            const struct mqtt_connect *connect; /* clean start, will */
        } admission;
        struct {
            struct slice topic, payload;        /* the topic, also where an alias stood for it */
            const struct mqtt_publish *publish; /* QoS, retain, packet id, properties */
        } message;
        uint16_t packet_id;
        struct {
            struct slice entries; /* of mqtt_subscription_next, or mqtt_filter_next */
            uint32_t count;
            uint32_t subscription_id; /* 0: none */
            const uint8_t *codes;     /* one for each */
        } filters;
        struct {
            enum mqtt_type type;
            uint16_t packet_id;
            uint8_t reason;
        } ack;
        struct {
            const struct gw_pending *list;
            uint32_t count;
        } acks;
        bool comes_again;
        struct mqtt_packet packet;
        struct mqtt_fault fault;
        struct {
            enum gw_end end;
            uint32_t expiry_s; /* of the session, from now on */
            bool drops_will;   /* the client said goodbye as it should (3.14.4-3) */
        } close;
    };
};

struct gw_effects {
    uint32_t count;
    struct gw_effect list[GW_EFFECTS_MAX]; /* slices live until the next step */
};

enum gw_stall {
    GW_FLOWS,
    GW_WAITS_FOR_ACKS,   /* the ring is full */
    GW_WAITS_FOR_ROOM,   /* the journal is */
    GW_WAITS_FOR_QUEUE,  /* a subscriber's queue is */
    GW_WAITS_FOR_STORAGE /* CONNACK, SUBACK or UNSUBACK waits */
};

struct gw_alias { /* what one number stands for */
    uint16_t len;
    uint8_t topic[GW_TOPIC_MAX];
};
struct gw_aliases { /* touched only where a client uses them */
    struct gw_alias in[GW_ALIASES_MAX], out[GW_ALIASES_MAX];
};

struct gw_session {
    const struct gw_limits *limits;
    struct gw_pending *inflight;    /* a ring of limits->inflight_max, the caller's */
    struct gw_aliases *aliases;     /* the caller's; NULL: none are offered */
    const struct gw_rights *rights; /* of an application, the caller's; NULL: a device */
    uint32_t inflight_head, inflight_count;
    uint32_t unreleased; /* QoS 2 messages of this connection between PUBREC and PUBREL */
    enum gw_state state;
    enum mqtt_version version;
    enum gw_stall stall;
    bool is_staging; /* an order is out whose answer is due */
    bool wants_reasons;
    bool is_application;
    bool has_session; /* session_present, of the CONNACK that waits */
    bool drops_will;
    uint8_t staging_type; /* enum mqtt_type of the packet that waits for that answer */
    uint8_t staging_qos;
    uint8_t answer_type;  /* GW_WAITS_FOR_STORAGE: MQTT_CONNACK, MQTT_SUBACK or MQTT_UNSUBACK */
    uint8_t answer_count; /* of codes */
    uint16_t staging_packet_id;
    uint16_t answer_packet_id;
    uint16_t aliases_in, aliases_out; /* bit n: number n + 1 stands for something */
    uint16_t peer_alias_max;          /* the client takes so many */
    uint16_t keep_alive_s;            /* in force */
    uint16_t asked_keep_alive_s;
    uint32_t expiry_s; /* in force */
    uint32_t asked_expiry_s;
    uint32_t peer_packet_max; /* the client takes no larger packet */
    uint64_t heard_ms;        /* of the newest packet */
    uint64_t staged;          /* behind the last record of this session */
    uint64_t durable;
    uint64_t answer_position;
    uint64_t number; /* of this connection, in this process: makes assigned client ids unique */
    bool was_assigned;
    uint32_t client_id_len;
    uint8_t client_id[GW_CLIENT_ID_MAX];
    uint8_t prefix[GW_TOPIC_PREFIX_LEN]; /* of a device */
    uint8_t codes[GW_FILTERS_MAX];       /* of the SUBACK or UNSUBACK that was ordered last */
    struct device_id owner;              /* the device, or the application's id of the same form */
};

/* What a session borrows; all of it outlives the session. */
struct gw_place {
    const struct gw_limits *limits;
    struct gw_pending *inflight;    /* limits->inflight_max entries */
    struct gw_aliases *aliases;     /* NULL: no topic aliases */
    const struct gw_rights *rights; /* NULL: a device */
};
void gw_session_init(struct gw_session *s,
                     const struct gw_place *place,
                     const struct device_id *owner,
                     uint64_t number,
                     uint64_t now_ms);
void gw_session_step(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out);
uint64_t gw_session_due_ms(const struct gw_session *s); /* when GW_TICK is due; UINT64_MAX: never */
void gw_session_check(const struct gw_session *s);

/* Does it wait for GW_STORED? */
static inline bool gw_session_waits(const struct gw_session *s)
{
    return s->inflight_count > 0 || s->stall == GW_WAITS_FOR_STORAGE;
}

/*
 * Topic aliases towards the client (3.3.2.3.4). Gives the number that stands for `topic` from this
 * PUBLISH on, 0 where the client takes none; *is_known: it does so already, and the topic may be
 * left out. gw_alias_told: the PUBLISH with that number and its topic was sent.
 */
uint16_t gw_alias_out(const struct gw_session *s, struct slice topic, bool *is_known);
void gw_alias_told(struct gw_session *s, struct slice topic, uint16_t alias);

/* AckedIsKept, where it counts: each of these messages lies below what the journal has made
 * durable. The role asks before an acknowledgement leaves. */
void gw_acks_check(const struct gw_pending *list, uint32_t count, uint64_t durable);

struct slice gw_session_client_id(const struct gw_session *s);
const char *gw_end_name(enum gw_end end); /* "keep-alive" */

#endif
