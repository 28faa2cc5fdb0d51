/* Memory, sessions by owner and client id, and what a CONNECT and its end need. */
#include "core/gateway/broker.h"

#include "base/arena.h"
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"

#include <stdalign.h>
#include <string.h>

struct gw_broker_limits gw_broker_limits_default(void)
{
    return (struct gw_broker_limits){
        .sessions_max = 16384,
        .sessions_per_owner_max = 64,
        .filters_max = 256,
        .subscriptions_max = 65536,
        .nodes_max = 131072,
        .groups_max = 1024,
        .inbound_max = 1024,
        .inbounds_max = 65536,
        .queue_messages_max = 16384,
        .queue_bytes_max = UINT64_C(64) << 20,
        .deliveries_max = 262144,
        .messages_max = 131072,
        .retained_max = 65536,
        .retained_bytes_max = UINT64_C(256) << 20,
        .brought_max = 4096,
        .inflight_max = 1024,
        .targets_max = 4096,
        .stall_ms = 10000,
        .keep_after_bytes = UINT64_C(64) << 20,
    };
}

/* ---- memory ---- */

static uint32_t buckets_for(uint32_t count)
{
    uint32_t buckets = 8;
    while (buckets < count) {
        buckets *= 2;
    }
    return buckets;
}

/* A level of a topic is mostly shorter than a chunk, a client id than two. */
static uint32_t texts_for(const struct gw_broker_limits *l)
{
    return 2 * l->nodes_max + 3 * l->sessions_max + 2 * l->groups_max
           + l->targets_max * (BUS_TARGET_IDS_MAX * 4 / GW_TEXT_CHUNK + 1) / 4;
}

static size_t room(size_t count, size_t size)
{
    size_t align = alignof(max_align_t);
    return (count * size + align - 1) / align * align;
}

size_t gw_broker_size(const struct gw_broker_limits *l)
{
    return room(1, sizeof(struct gw_broker)) + room(texts_for(l), sizeof(struct gw_text_chunk))
           + room(l->nodes_max, sizeof(struct gw_node))
           + room(buckets_for(l->nodes_max), sizeof(uint32_t))
           + room(l->sessions_max, sizeof(struct session))
           + room(buckets_for(l->sessions_max), sizeof(uint32_t))
           + room(l->messages_max, sizeof(struct message))
           + room(buckets_for(l->messages_max), sizeof(uint32_t))
           + room(l->deliveries_max, sizeof(struct delivery))
           + room(l->subscriptions_max, sizeof(struct subscription))
           + room(l->groups_max, sizeof(struct group))
           + room(l->inbounds_max, sizeof(struct inbound)) + room(l->sessions_max, sizeof(uint32_t))
           + room(l->targets_max, sizeof(struct target))
           + room((size_t)l->targets_max * 2, sizeof(struct route_id));
}

static void limits_check(const struct gw_broker_limits *l)
{
    INVARIANT(l->sessions_max > 0);
    INVARIANT(l->sessions_max <= SLOTS_MAX);
    INVARIANT(l->sessions_per_owner_max > 0);
    INVARIANT(l->nodes_max > 1);
    INVARIANT(l->inflight_max > 0);
    INVARIANT(l->inflight_max <= ACK_WINDOW_MAX);
    INVARIANT(l->queue_messages_max > 0);
    INVARIANT(l->targets_max > 0);
    INVARIANT(l->messages_max > 0);
    INVARIANT(l->deliveries_max > 0);
}

/* Lists of what is free, first to last. */
static void chain_up(struct gw_broker *b)
{
    const struct gw_broker_limits *l = &b->limits;
    for (uint32_t i = 0; i < l->sessions_max; i++) {
        b->sessions[i].owner_next = i + 1 < l->sessions_max ? i + 1 : NONE;
        b->sessions[i].owner_previous = i > 0 ? i - 1 : NONE;
        b->sessions[i].heap_at = NONE;
    }
    b->sessions_free_tail = l->sessions_max - 1;
    for (uint32_t i = 0; i < l->messages_max; i++) {
        b->messages[i].next = i + 1 < l->messages_max ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < l->deliveries_max; i++) {
        b->deliveries[i].next = i + 1 < l->deliveries_max ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < l->subscriptions_max; i++) {
        b->subscriptions[i].next = i + 1 < l->subscriptions_max ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < l->groups_max; i++) {
        b->groups[i].next = i + 1 < l->groups_max ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < l->inbounds_max; i++) {
        b->inbounds[i].next = i + 1 < l->inbounds_max ? i + 1 : NONE;
    }
    b->subscriptions_free = l->subscriptions_max > 0 ? 0 : NONE;
    b->groups_free = l->groups_max > 0 ? 0 : NONE;
    b->inbounds_free = l->inbounds_max > 0 ? 0 : NONE;
}

static const struct list empty = {.head = NONE, .tail = NONE};

struct gw_broker *gw_broker_init(const struct gw_broker_limits *limits,
                                 void *memory,
                                 size_t size,
                                 uint64_t seed)
{
    limits_check(limits);
    INVARIANT(size >= gw_broker_size(limits));
    struct arena a = arena_over(memory, size);
    struct gw_broker *b = arena_take(&a, sizeof *b);
    INVARIANT(b != NULL);
    *b = (struct gw_broker){.limits = *limits,
                            .seed = seed,
                            .session_oldest = NONE,
                            .session_newest = NONE,
                            .message_oldest = NONE,
                            .message_newest = NONE,
                            .ready = empty,
                            .waiting = empty};
    uint32_t texts = texts_for(limits);
    uint32_t node_buckets = buckets_for(limits->nodes_max);
    struct gw_text_chunk *chunks = arena_take(&a, texts * sizeof *chunks);
    struct gw_node *nodes = arena_take(&a, limits->nodes_max * sizeof *nodes);
    uint32_t *buckets = arena_take(&a, node_buckets * sizeof *buckets);
    b->owner_bucket_count = buckets_for(limits->sessions_max);
    b->message_bucket_count = buckets_for(limits->messages_max);
    b->sessions = arena_take(&a, limits->sessions_max * sizeof *b->sessions);
    b->owner_buckets = arena_take(&a, b->owner_bucket_count * sizeof *b->owner_buckets);
    b->messages = arena_take(&a, limits->messages_max * sizeof *b->messages);
    b->message_buckets = arena_take(&a, b->message_bucket_count * sizeof *b->message_buckets);
    b->deliveries = arena_take(&a, limits->deliveries_max * sizeof *b->deliveries);
    b->subscriptions = arena_take(&a, limits->subscriptions_max * sizeof *b->subscriptions);
    b->groups = arena_take(&a, limits->groups_max * sizeof *b->groups);
    b->inbounds = arena_take(&a, limits->inbounds_max * sizeof *b->inbounds);
    b->heap = arena_take(&a, limits->sessions_max * sizeof *b->heap);
    b->targets = arena_take(&a, limits->targets_max * sizeof *b->targets);
    b->route_ids = arena_take(&a, (size_t)limits->targets_max * 2 * sizeof *b->route_ids);
    INVARIANT(b->route_ids != NULL);
    gw_texts_init(&b->texts, chunks, texts);
    gw_topics_init(&b->topics, nodes, limits->nodes_max, buckets, node_buckets, &b->texts, seed);
    memset(b->owner_buckets, 0xff, b->owner_bucket_count * sizeof *b->owner_buckets);
    memset(b->message_buckets, 0xff, b->message_bucket_count * sizeof *b->message_buckets);
    chain_up(b);
    return b;
}

/* ---- sessions by number ---- */

struct session *gw_slot(const struct gw_broker *b, uint32_t number)
{
    uint32_t at = (number & ((1U << SLOT_BITS) - 1)) - 1;
    if (number == 0 || at >= b->limits.sessions_max || b->sessions[at].number != number) {
        return NULL;
    }
    return &b->sessions[at];
}

static struct session *get(const struct gw_broker *b, uint32_t number)
{
    struct session *s = gw_slot(b, number);
    INVARIANT(s != NULL);
    return s;
}

bool gw_broker_has(const struct gw_broker *b, uint32_t session)
{
    return gw_slot(b, session) != NULL;
}

bool gw_broker_is_durable(const struct gw_broker *b, uint32_t session)
{
    return get(b, session)->is_durable;
}

void gw_broker_owner(const struct gw_broker *b, uint32_t session, struct session_owner *owner)
{
    *owner = get(b, session)->owner;
}

struct slice gw_broker_client_id(struct gw_broker *b, uint32_t session)
{
    const struct session *s = get(b, session);
    gw_texts_read(&b->texts, s->client_id, s->client_id_len, b->name);
    return slice_of(b->name, s->client_id_len);
}

uint32_t gw_broker_connection(const struct gw_broker *b, uint32_t session)
{
    return get(b, session)->connection;
}

uint32_t gw_broker_expiry_s(const struct gw_broker *b, uint32_t session)
{
    return get(b, session)->expiry_s;
}

uint64_t gw_broker_clock(const struct gw_broker *b)
{
    return b->clock_ms;
}

/* ---- sessions by name ---- */

static bool same_owner(const struct session_owner *a, const struct session_owner *b)
{
    return a->kind == b->kind && memcmp(a->id, b->id, sizeof a->id) == 0;
}

static uint32_t *owner_bucket(const struct gw_broker *b, const struct session_owner *owner)
{
    uint64_t parts[2];
    memcpy(parts, owner->id, sizeof parts);
    uint64_t x = (parts[0] ^ b->seed) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32 ^ parts[1] ^ owner->kind) * UINT64_C(0xbf58476d1ce4e5b9);
    return &b->owner_buckets[(x ^ x >> 29) & (b->owner_bucket_count - 1)];
}

uint32_t gw_broker_find(const struct gw_broker *b,
                        const struct session_owner *owner,
                        struct slice client_id)
{
    for (uint32_t i = *owner_bucket(b, owner); i != NONE; i = b->sessions[i].owner_next) {
        const struct session *s = &b->sessions[i];
        if (same_owner(&s->owner, owner)
            && gw_texts_equal(&b->texts, s->client_id, s->client_id_len, client_id)) {
            return s->number;
        }
    }
    return 0;
}

static uint32_t sessions_of(const struct gw_broker *b, const struct session_owner *owner)
{
    uint32_t count = 0;
    for (uint32_t i = *owner_bucket(b, owner); i != NONE; i = b->sessions[i].owner_next) {
        count += same_owner(&b->sessions[i].owner, owner);
    }
    return count;
}

static void leave_free_list(struct gw_broker *b, uint32_t at)
{
    struct session *s = &b->sessions[at];
    if (s->owner_previous != NONE) {
        b->sessions[s->owner_previous].owner_next = s->owner_next;
    } else {
        b->sessions_free = s->owner_next;
    }
    if (s->owner_next != NONE) {
        b->sessions[s->owner_next].owner_previous = s->owner_previous;
    } else {
        b->sessions_free_tail = s->owner_previous;
    }
}

struct session *gw_session_take(struct gw_broker *b,
                                uint32_t number,
                                const struct session_owner *owner,
                                struct slice client_id,
                                bool is_durable)
{
    uint32_t at = (number & ((1U << SLOT_BITS) - 1)) - 1;
    if (number == 0 || at >= b->limits.sessions_max || b->sessions[at].number != 0
        || gw_texts_need(client_id.len) > b->texts.free_count) {
        return NULL;
    }
    struct session *s = &b->sessions[at];
    uint32_t *bucket = owner_bucket(b, owner);
    leave_free_list(b, at);
    *s = (struct session){.number = number,
                          .uses = number >> SLOT_BITS,
                          .owner = *owner,
                          .client_id = gw_texts_put(&b->texts, client_id),
                          .client_id_len = (uint32_t)client_id.len,
                          .owner_next = *bucket,
                          .owner_previous = NONE,
                          .is_durable = is_durable,
                          .will = NONE,
                          .subscriptions = NONE,
                          .subscriptions_tail = NONE,
                          .next_share = 1,
                          .inbound = empty,
                          .queue = empty,
                          .queue_0 = empty,
                          .releases = empty,
                          .next_n = 1,
                          .connection = GW_NOWHERE,
                          .cursor = NONE,
                          .heap_at = NONE,
                          .newer = NONE,
                          .older = NONE};
    if (*bucket != NONE) {
        b->sessions[*bucket].owner_previous = at;
    }
    *bucket = at;
    b->counts.sessions++;
    b->counts.durable_sessions += is_durable;
    return s;
}

static void leave_bucket(struct gw_broker *b, struct session *s)
{
    if (s->owner_previous != NONE) {
        b->sessions[s->owner_previous].owner_next = s->owner_next;
    } else {
        *owner_bucket(b, &s->owner) = s->owner_next;
    }
    if (s->owner_next != NONE) {
        b->sessions[s->owner_next].owner_previous = s->owner_previous;
    }
}

void gw_session_free(struct gw_broker *b, struct session *s)
{
    uint32_t at = gw_slot_of(b, s);
    if (s->connection != GW_NOWHERE) {
        gw_broker_detach(b, s->number);
    }
    while (s->queue.head != NONE) {
        gw_delivery_free(b, s, s->queue.head);
    }
    while (s->subscriptions != NONE) {
        gw_subscription_remove(b, s, s->subscriptions);
    }
    while (s->inbound.head != NONE) {
        INVARIANT(gw_inbound_remove(b, s, b->inbounds[s->inbound.head].packet_id));
    }
    if (s->will != NONE) {
        gw_message_unref(b, s->will);
    }
    gw_due_remove(b, s);
    if (s->is_durable) {
        gw_session_unage(b, s);
    }
    leave_bucket(b, s);
    gw_texts_drop(&b->texts, s->client_id, s->client_id_len);
    b->counts.sessions--;
    b->counts.durable_sessions -= s->is_durable;
    /* Last in line, so that its number is long in coming again. */
    *s = (struct session){.uses = s->uses,
                          .owner_next = NONE,
                          .owner_previous = b->sessions_free_tail,
                          .heap_at = NONE};
    if (b->sessions_free_tail != NONE) {
        b->sessions[b->sessions_free_tail].owner_next = at;
    } else {
        b->sessions_free = at;
    }
    b->sessions_free_tail = at;
}

/* ---- a connection's begin and end ---- */

static uint32_t next_number(const struct gw_broker *b)
{
    uint32_t at = b->sessions_free;
    uint32_t uses = (b->sessions[at].uses + 1) & ((1U << (32 - SLOT_BITS)) - 1);
    return uses << SLOT_BITS | (at + 1);
}

enum mqtt_reason gw_broker_may_open(struct gw_broker *b,
                                    const struct session_owner *owner,
                                    struct slice client_id,
                                    uint32_t expiry_s,
                                    bool has_will,
                                    uint32_t will_delay_s,
                                    struct session_record *out)
{
    uint32_t number = gw_broker_find(b, owner, client_id);
    *out = (struct session_record){.kind = SESSION_OPENED,
                                   .owner = *owner,
                                   .client_id = client_id,
                                   .expiry_s = expiry_s,
                                   .will_delay_s = will_delay_s,
                                   .has_will = has_will,
                                   .is_resumed = number != 0};
    if (has_will && b->messages_free == NONE) {
        return MQTT_QUOTA_EXCEEDED;
    }
    if (number != 0) {
        INVARIANT(get(b, number)->is_durable);
        out->session = number;
        return MQTT_SUCCESS;
    }
    if (client_id.len > SESSION_CLIENT_ID_MAX) {
        return MQTT_CLIENT_ID_NOT_VALID;
    }
    if (b->sessions_free == NONE || sessions_of(b, owner) >= b->limits.sessions_per_owner_max
        || gw_texts_need(client_id.len) > b->texts.free_count) {
        return MQTT_QUOTA_EXCEEDED;
    }
    out->session = next_number(b);
    return MQTT_SUCCESS;
}

void gw_broker_attach(struct gw_broker *b,
                      uint32_t session,
                      uint32_t connection,
                      uint16_t receive_max)
{
    struct session *s = get(b, session);
    INVARIANT(s->connection == GW_NOWHERE);
    INVARIANT(connection != GW_NOWHERE);
    s->connection = connection;
    s->window = 0;
    s->window_max = receive_max < b->limits.inflight_max ? receive_max : b->limits.inflight_max;
    s->cursor = s->queue.head;
    /* PUBRELs in the order of their PUBRECs, as near as their numbers tell; none lies behind what
     * was ever sent. */
    for (uint32_t i = s->queue.head; i != NONE && b->deliveries[i].n <= s->begun;
         i = b->deliveries[i].next) {
        struct delivery *d = &b->deliveries[i];
        if (d->is_received) {
            d->next_release = NONE;
            if (s->releases.tail != NONE) {
                b->deliveries[s->releases.tail].next_release = i;
            } else {
                s->releases.head = i;
            }
            s->releases.tail = i;
            s->releases.count++;
        }
    }
    b->counts.attached++;
    gw_due_update(b, s);
    gw_ready(b, s);
}

void gw_broker_detach(struct gw_broker *b, uint32_t session)
{
    struct session *s = get(b, session);
    if (s->connection == GW_NOWHERE) {
        return;
    }
    while (s->queue_0.head != NONE) {
        gw_delivery_free(b, s, s->queue_0.head);
    }
    for (uint32_t i = s->queue.head; i != NONE && b->deliveries[i].n <= s->begun;
         i = b->deliveries[i].next) {
        b->deliveries[i].is_counted = false;
        b->deliveries[i].is_released = false;
        b->deliveries[i].next_release = NONE;
    }
    s->releases = empty;
    s->connection = GW_NOWHERE;
    s->cursor = NONE;
    s->window = 0;
    gw_ready_remove(b, s);
    gw_due_update(b, s);
    b->counts.attached--;
}

void gw_broker_close(struct gw_broker *b,
                     uint32_t session,
                     uint32_t expiry_s,
                     bool will_is_due,
                     struct session_record *out)
{
    const struct session *s = get(b, session);
    INVARIANT(s->is_durable);
    *out = (struct session_record){.kind = SESSION_CLOSED,
                                   .session = session,
                                   .expiry_s = expiry_s,
                                   .has_will = will_is_due && s->will != NONE,
                                   .sent = s->begun};
}

uint64_t gw_broker_will(const struct gw_broker *b, uint32_t session)
{
    const struct session *s = get(b, session);
    return s->will != NONE ? b->messages[s->will].at : 0;
}

bool gw_broker_must_stage(const struct gw_broker *b, const struct session_record *record)
{
    if (record->kind == SESSION_OPENED) {
        return record->expiry_s > 0 || record->has_will || record->is_resumed;
    }
    if (record->kind == SESSION_MOVED) {
        struct slice rest = record->items;
        for (struct session_move move; session_move_next(&rest, &move);) {
            if (move.to != 0) {
                return true;
            }
        }
    }
    const struct session *s = gw_slot(b, record->session);
    return s != NULL && s->is_durable;
}

/* ---- what it has ---- */

void gw_broker_count(const struct gw_broker *b, struct gw_broker_counts *out)
{
    *out = b->counts;
    out->nodes = b->topics.count;
}

void gw_broker_view(const struct gw_broker *b, uint32_t session, struct gw_session_view *out)
{
    const struct session *s = get(b, session);
    *out = (struct gw_session_view){
        .deliveries = s->queue.count + s->queue_0.count,
        .filters = s->subscription_count,
        .inbounds = s->inbound.count,
        .queue_bytes = s->queue_bytes,
        .connection = s->connection,
        .is_durable = s->is_durable,
        .is_blocked = s->is_blocked,
        .expiry_s = s->expiry_s,
    };
    if (!s->is_open && s->expiry_s != SESSION_NEVER_EXPIRES) {
        out->expires_ms = s->closed_ms + (uint64_t)s->expiry_s * 1000;
    }
}

uint32_t gw_broker_session_next(const struct gw_broker *b, uint32_t *cursor)
{
    while (*cursor < b->limits.sessions_max) {
        uint32_t number = b->sessions[(*cursor)++].number;
        if (number != 0) {
            return number;
        }
    }
    return 0;
}
