/* What the files of the broker share. Links are indices; NONE ends a list. */
#ifndef CORE_GATEWAY_BROKER_INSIDE_H
#define CORE_GATEWAY_BROKER_INSIDE_H

#include "core/gateway/broker.h"
#include "core/gateway/topics.h"

#define NONE         UINT32_MAX
#define CLOCK_MAX_MS (UINT64_MAX / 4) /* of a lifetime; no sum with an interval goes round */

enum {
    SLOT_BITS = 20, /* of a session number; the rest counts the slot's uses */
    SLOTS_MAX = (1 << SLOT_BITS) - 2,
    PICKS_MAX = 64,         /* members of a group that are looked at for one message */
    ACK_WINDOW_MAX = 65534, /* numbers apart that two unfinished deliveries may be */
    KEPT_ITEM_ROOM = 720,   /* what the largest item of a kept session takes */
    KEEP_FACTOR = 4         /* a journal of this many times what lives is not cleaned */
};

struct message {
    uint64_t at;
    uint64_t expires_ms; /* 0: never */
    uint32_t size;
    uint32_t refs;         /* deliveries, being retained, being a will */
    uint32_t node;         /* of the topic that retains it */
    uint32_t newer, older; /* by position */
    uint32_t next;         /* in its bucket, or in the free list */
    uint8_t qos;           /* as published */
};

struct delivery {
    uint64_t n;  /* 0: QoS 0 */
    uint64_t at; /* of the record that made it, or that made it received */
    uint32_t message;
    uint32_t next, previous; /* in its session; next: also in the free list */
    uint32_t next_release;   /* in the session's list of PUBRELs to send */
    uint32_t share;
    uint32_t ids; /* one identifier, or the text of several */
    uint8_t ids_count;
    uint8_t qos;
    bool is_retained;
    bool is_received; /* PUBREC came, the message is gone */
    bool is_counted;  /* sent on this connection: against its receive maximum */
    bool is_released; /* PUBREL was sent on this connection */
};

struct subscription {
    uint32_t session; /* slot */
    uint32_t node, group;
    uint32_t next, previous;         /* at its node, or in its group; next: also in the free list */
    uint32_t next_own, previous_own; /* in its session */
    uint32_t share;                  /* its number in the session */
    uint32_t id;
    struct session_options options;
};

struct group {
    uint32_t node;
    uint32_t name;
    uint32_t name_len;
    uint32_t next, previous; /* at its node; next: also in the free list */
    uint32_t members;        /* first */
    uint32_t turn;           /* the member to ask first; NONE: the first */
};

struct inbound {
    uint32_t next; /* in its session, or in the free list */
    uint16_t packet_id;
    bool is_durable;
};

struct list {
    uint32_t head, tail, count;
};

enum ready { READY_NOT, READY_NOW, READY_WHEN_DURABLE };

struct session {
    uint32_t number; /* 0: free */
    uint32_t uses;   /* of this slot */
    struct session_owner owner;
    uint32_t client_id, client_id_len;
    uint32_t owner_next; /* in the owner's bucket; free list */
    uint32_t owner_previous;
    bool is_durable;
    bool is_open;    /* a connection has it, or had when the process ended */
    bool is_partial; /* replay: its parts are not all there yet */
    bool is_blocked; /* a message could not be taken because of it */
    uint32_t expiry_s, will_delay_s;
    uint64_t closed_ms;
    uint32_t will; /* message */
    uint32_t subscriptions, subscriptions_tail, subscription_count, next_share;
    struct list inbound;
    struct list queue; /* QoS 1 and 2, by number */
    struct list queue_0;
    uint64_t queue_bytes;
    uint64_t next_n, begun; /* begun: none above has ever been sent */
    uint32_t shared_count;  /* deliveries of shared subscriptions */

    uint32_t connection;         /* the rest is of it */
    uint32_t window, window_max; /* sent and unfinished, and how many may be */
    uint32_t cursor;             /* the first delivery not sent */
    struct list releases;        /* PUBRELs to send */
    enum ready ready;
    uint32_t ready_next, ready_previous;

    uint64_t blocked_ms;
    uint32_t blocked_size;
    uint32_t heap_at; /* its place among those with something due */
    uint64_t due_ms, not_before_ms;

    uint64_t at; /* of its OPENED or KEPT */
    uint32_t newer, older;
    uint64_t kept_at; /* of part 0 of the keeping that goes on */
    uint16_t kept_part;
    uint8_t kept_stage;
    uint32_t kept_cursor;

    uint64_t route_epoch;
    uint32_t route_target;
};

struct target {       /* of the message that is being routed */
    uint32_t session; /* slot */
    uint32_t share;
    uint32_t ids; /* in route_ids */
    uint8_t ids_count;
    uint8_t qos;
    bool is_retained;
};

struct route_id {
    uint32_t id, next;
};

struct route {
    uint64_t epoch;
    bool is_good; /* nothing was committed since */
    uint32_t count, ids_count;
    uint32_t sender; /* slot of a volatile QoS 2 publisher */
    uint16_t packet_id;
    uint32_t size;
};

struct gw_broker {
    struct gw_broker_limits limits;
    struct gw_broker_counts counts;
    uint64_t clock_ms;
    uint64_t at; /* of the newest record */
    bool has_begun;
    bool is_replaying; /* messages are in no order yet */
    uint64_t seed;

    struct gw_texts texts;
    struct gw_topics topics;

    struct session *sessions;
    uint32_t sessions_free, sessions_free_tail;
    uint32_t *owner_buckets;
    uint32_t owner_bucket_count;
    uint32_t session_oldest, session_newest; /* durable ones, by position */

    struct message *messages;
    uint32_t messages_free;
    uint32_t *message_buckets;
    uint32_t message_bucket_count;
    uint32_t message_oldest, message_newest;

    struct delivery *deliveries;
    uint32_t deliveries_free;
    struct subscription *subscriptions;
    uint32_t subscriptions_free;
    struct group *groups;
    uint32_t groups_free;
    struct inbound *inbounds;
    uint32_t inbounds_free;

    uint32_t *heap; /* slots by due_ms */
    uint32_t heap_count;
    struct list ready, waiting; /* attached sessions; waiting for the journal */
    uint64_t durable;           /* as ready_pop was told */

    struct target *targets;
    struct route_id *route_ids;
    struct route route;

    uint32_t moved_to[GW_MOVES_MAX]; /* volatile members: subscription, or NONE */
    uint32_t moves_count;
    uint8_t moves[GW_MOVES_MAX * 48];
    uint8_t name[SESSION_FILTER_MAX + SESSION_CLIENT_ID_MAX];
};

/* ---- broker.c ---- */

struct session *gw_slot(const struct gw_broker *b, uint32_t number); /* NULL: no such session */
static inline uint32_t gw_slot_of(const struct gw_broker *b, const struct session *s)
{
    return (uint32_t)(s - b->sessions);
}

/* The session in the slot its number names; NULL where that is taken. */
struct session *gw_session_take(struct gw_broker *b,
                                uint32_t number,
                                const struct session_owner *owner,
                                struct slice client_id,
                                bool is_durable);
void gw_session_free(struct gw_broker *b, struct session *s);

/* ---- broker_lists.c ---- */

uint32_t gw_message_find(const struct gw_broker *b, uint64_t at);
uint32_t gw_message_new(struct gw_broker *b, uint64_t at, uint32_t size, uint64_t expires_ms);
void gw_message_unref(struct gw_broker *b, uint32_t message);
void gw_message_move(struct gw_broker *b, uint32_t message, uint64_t at);
void gw_messages_sort(struct gw_broker *b);
void gw_retain(struct gw_broker *b, uint32_t node, uint32_t message);
void gw_unretain(struct gw_broker *b, uint32_t node);
/* Lets go what is retained but over: to nobody it is there any more. Looks at all messages, only
 * where there is no room. */
void gw_sweep_expired(struct gw_broker *b, uint64_t clock_ms);

struct delivery *gw_delivery_new(
    struct gw_broker *b, struct session *s, uint8_t qos, uint32_t message, uint64_t at);
void gw_delivery_ids(struct gw_broker *b, struct delivery *d, const uint32_t *ids, uint8_t count);
void gw_delivery_ids_read(const struct gw_broker *b, const struct delivery *d, uint32_t *ids);
void gw_delivery_free(struct gw_broker *b, struct session *s, uint32_t at);
/* PUBREC came: the message goes, the number stays. */
void gw_delivery_receive(struct gw_broker *b, struct session *s, struct delivery *d, uint64_t at);

bool gw_inbound_add(struct gw_broker *b, struct session *s, uint16_t packet_id, bool is_durable);
bool gw_inbound_remove(struct gw_broker *b, struct session *s, uint16_t packet_id);

void gw_session_age(struct gw_broker *b, struct session *s, uint64_t at);
void gw_session_unage(struct gw_broker *b, struct session *s);

void gw_ready(struct gw_broker *b, struct session *s);
void gw_ready_remove(struct gw_broker *b, struct session *s);

bool gw_is_full(const struct gw_broker *b, const struct session *s, uint32_t size);
bool gw_is_expired(const struct gw_broker *b, const struct delivery *d, uint64_t clock_ms);

/* ---- broker_subscribe.c ---- */

uint32_t gw_subscription_find(struct gw_broker *b, const struct session *s, struct slice filter);
uint32_t gw_subscription_by_share(const struct gw_broker *b,
                                  const struct session *s,
                                  uint32_t share);
/* Whether there is room for one more filter like this. */
bool gw_subscription_fits(struct gw_broker *b, const struct session *s, struct slice filter);
/* Adds or replaces; false where there is no room. */
bool gw_subscription_set(struct gw_broker *b,
                         struct session *s,
                         struct slice filter,
                         const struct session_options *options,
                         uint32_t id,
                         uint32_t share);
void gw_subscription_remove(struct gw_broker *b, struct session *s, uint32_t at);
void gw_subscription_write(const struct gw_broker *b,
                           const struct subscription *sub,
                           struct writer *w);

/* ---- broker_due.c ---- */

void gw_due_update(struct gw_broker *b, struct session *s); /* after its times changed */
void gw_due_remove(struct gw_broker *b, struct session *s);

/* ---- broker_route.c ---- */

/* A member of the group for one more copy: its subscription, or NONE; *best: the fullest of those
 * that have no room. */
uint32_t gw_group_pick(struct gw_broker *b,
                       uint32_t group,
                       uint8_t qos,
                       uint32_t size,
                       const struct session *not_this,
                       uint32_t *full);

/* Is what lies at `at` on stable storage, or needs not be? */
static inline bool gw_is_durable(uint64_t at, uint64_t durable)
{
    return at == 0 || (at & GW_VOLATILE) != 0 || at < durable;
}

/* When the session's will is due; UINT64_MAX: it has none that waits. */
uint64_t gw_will_due_ms(const struct session *s);
uint64_t gw_end_due_ms(const struct session *s);

#endif
