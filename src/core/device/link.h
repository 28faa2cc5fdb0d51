/*
 * The device's session with a gateway: MQTT 5.0, a clean start each time, the hello first, then
 * telemetry inside the gateway's Receive Maximum. Decides when to dial, greet, ping, give up and
 * try again; knows neither sockets nor what is in a message.
 *
 *   IDLE --start--> OPENING --opened--> GREETING --CONNACK--> HELLO --its PUBACK--> LIVE
 *                      ^                   |                    |                    |
 *                      |                   +---------+----------+---- lost, refused -+
 *                      +--due-- WAITING <------------+           (any state --stop--> STOPPED)
 *
 * WAITING lasts a random time up to a bound that doubles with each attempt (full jitter), and that
 * is never below what the site's signed hint says: slots for the whole fleet to connect in, one
 * after the other, after a power cut or the loss of a gateway. So the first dial waits, too, once
 * there is a hint: IDLE --start--> WAITING.
 *
 * Which gateway: one that has not failed or sent us away lately, of those the one of the best
 * priority (the lowest number), of those the one that failed least, of those the next of the list.
 * A device that is live at a lesser one goes back to a better one after 10 to 20 minutes.
 */
#ifndef CORE_DEVICE_LINK_H
#define CORE_DEVICE_LINK_H

#include "base/rng.h"
#include "base/slice.h"
#include "codec/mqtt_packet.h"

enum {
    LINK_KEEP_ALIVE_S = 60,
    LINK_ANSWER_MS = 20000, /* for CONNACK, the hello's PUBACK and PINGRESP */
    LINK_BACKOFF_MS = 1000, /* bound of the first wait */
    LINK_BACKOFF_MAX_MS = 60000,
    LINK_HOLD_MS = 1000,  /* no publishing after the gateway said that it is full */
    LINK_WINDOW_MAX = 64, /* unacknowledged messages, whatever the gateway would allow */
    LINK_GATEWAYS_MAX = 16,
    LINK_AWAY_MS = 60000,         /* a gateway that sent us away is left alone for so long */
    LINK_RETURN_MS = 600000,      /* live at a lesser gateway: back after once to twice this */
    LINK_SPREAD_MAX_MS = 3600000, /* of any hint */
    LINK_HELLO_ID = 1             /* packet id of the hello: nothing else is under way then */
};

enum link_state {
    LINK_IDLE,
    LINK_OPENING,  /* dialled; connection and TLS are under way */
    LINK_GREETING, /* CONNECT is sent */
    LINK_HELLO,    /* CONNACK came, the hello is sent */
    LINK_LIVE,     /* the hello is acknowledged: it is durable at the gateway */
    LINK_WAITING,
    LINK_STOPPED
};
enum { LINK_STATE_COUNT = LINK_STOPPED + 1 };

enum link_event_kind {
    LINK_START, /* identity and trust list are there */
    LINK_TICK,  /* link_due_ms has come */
    LINK_OPENED,
    LINK_GOT,    /* a packet of the gateway */
    LINK_SENT,   /* something of ours left */
    LINK_CLOSED, /* the connection is gone, or could not be made */
    LINK_RENEW,  /* identity or ingest key changed: connect anew */
    LINK_HINTED, /* the site's signed hint: slots, slot_ms */
    LINK_STOP
};

struct link_event {
    enum link_event_kind kind;
    uint64_t now_ms;
    const struct mqtt_packet *packet; /* LINK_GOT */
    uint32_t slots, slot_ms;          /* LINK_HINTED; 0: there is none */
};

enum link_effect_kind {
    LINK_DIAL = 1,     /* gateway number `gateway` */
    LINK_SEND_CONNECT, /* with LINK_KEEP_ALIVE_S, clean start */
    LINK_SEND_HELLO,   /* QoS 1, packet id LINK_HELLO_ID */
    LINK_SEND_PING,
    LINK_SEND_DISCONNECT, /* with `reason` */
    LINK_HANG_UP,         /* `why` says it for the log; LINK_CLOSED follows */
    LINK_UP,              /* publishing may begin */
    LINK_DOWN,            /* what was sent and not acknowledged waits again */
    LINK_ACKED,           /* packet_id */
    LINK_REFUSED,         /* packet_id, for good, with `reason` */
    LINK_AGAIN            /* packet_id, later, with `reason` */
};
enum { LINK_EFFECTS_MAX = 4 };

struct link_effect {
    enum link_effect_kind kind;
    uint32_t gateway;
    uint16_t packet_id;
    uint8_t reason;
    const char *why; /* static */
};
struct link_effects {
    uint32_t count;
    struct link_effect list[LINK_EFFECTS_MAX];
};

struct link {
    enum link_state state;
    struct rng rng;
    uint32_t gateways, preferred;
    uint32_t attempts; /* since it was live */
    uint32_t current;  /* the gateway that was dialled last */
    uint32_t slots, slot_ms;
    uint8_t priority[LINK_GATEWAYS_MAX];  /* the lowest number is the best */
    uint8_t failures[LINK_GATEWAYS_MAX];  /* in a row */
    uint64_t rests_ms[LINK_GATEWAYS_MAX]; /* it is left alone until then, where there is another */
    uint64_t return_ms; /* LIVE: when to go back to a better one; UINT64_MAX: it is the best */
    bool is_sent;       /* on our way to another gateway: the wait is short */
    bool is_hung_up;    /* LINK_HANG_UP was ordered, LINK_CLOSED is awaited */
    uint16_t window;
    uint16_t keep_alive_s;
    uint32_t packet_max; /* the gateway's Maximum Packet Size; UINT32_MAX: none said */
    uint64_t due_ms;     /* WAITING: dial; GREETING, HELLO: give up */
    uint64_t sent_ms;    /* newest packet of ours */
    uint64_t ping_ms;    /* when the open PINGREQ was sent; 0: none is open */
    uint64_t hold_ms;    /* no publishing before */
    uint8_t last_reason; /* of the newest refusal, 0 where there was none */
};

/* All gateways of one priority; `preferred` is the first of the list for this device. At most
 * LINK_GATEWAYS_MAX are used. */
void link_init(struct link *l, uint32_t gateways, uint32_t preferred, uint64_t seed);
/* Before the first step. */
void link_set_priority(struct link *l, uint32_t gateway, uint8_t priority);
void link_step(struct link *l, const struct link_event *ev, struct link_effects *out);

/* When to send the next LINK_TICK; UINT64_MAX: not at all. */
uint64_t link_due_ms(const struct link *l);

/* May another message go out while `sent` are unacknowledged? */
bool link_may_publish(const struct link *l, uint32_t sent, uint64_t now_ms);

void link_check(const struct link *l);

#endif
