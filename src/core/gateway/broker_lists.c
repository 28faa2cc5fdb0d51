/* Messages, deliveries, packet ids, and the lists they are in. */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"

#include <string.h>

/* ---- messages ---- */

static uint32_t *message_bucket(const struct gw_broker *b, uint64_t at)
{
    uint64_t x = (at ^ b->seed) * UINT64_C(0x9e3779b97f4a7c15);
    return &b->message_buckets[(x >> 32) & (b->message_bucket_count - 1)];
}

uint32_t gw_message_find(const struct gw_broker *b, uint64_t at)
{
    uint32_t i = *message_bucket(b, at);
    while (i != NONE && b->messages[i].at != at) {
        i = b->messages[i].next;
    }
    return i;
}

static void message_enter(struct gw_broker *b, uint32_t i, uint64_t at)
{
    struct message *m = &b->messages[i];
    uint32_t *bucket = message_bucket(b, at);
    m->at = at;
    m->next = *bucket;
    *bucket = i;
    m->newer = m->older = NONE;
    if ((at & GW_VOLATILE) != 0) {
        return; /* not in the journal: holds no floor and is never kept */
    }
    m->older = b->message_newest;
    if (m->older != NONE) {
        b->messages[m->older].newer = i;
    } else {
        b->message_oldest = i;
    }
    b->message_newest = i;
}

static void message_leave(struct gw_broker *b, uint32_t i)
{
    const struct message *m = &b->messages[i];
    uint32_t *link = message_bucket(b, m->at);
    while (*link != i) {
        link = &b->messages[*link].next;
    }
    *link = m->next;
    if ((m->at & GW_VOLATILE) != 0) {
        return;
    }
    if (m->older != NONE) {
        b->messages[m->older].newer = m->newer;
    } else {
        b->message_oldest = m->newer;
    }
    if (m->newer != NONE) {
        b->messages[m->newer].older = m->older;
    } else {
        b->message_newest = m->older;
    }
}

uint32_t gw_message_new(struct gw_broker *b, uint64_t at, uint32_t size, uint64_t expires_ms)
{
    uint32_t i = b->messages_free;
    if (i == NONE) {
        return NONE;
    }
    b->messages_free = b->messages[i].next;
    b->messages[i] = (struct message){.size = size, .expires_ms = expires_ms, .node = NONE};
    message_enter(b, i, at);
    b->counts.messages++;
    b->counts.message_bytes += size;
    return i;
}

void gw_message_unref(struct gw_broker *b, uint32_t i)
{
    struct message *m = &b->messages[i];
    INVARIANT(m->refs > 0);
    if (--m->refs > 0) {
        return;
    }
    message_leave(b, i);
    b->counts.messages--;
    b->counts.message_bytes -= m->size;
    m->next = b->messages_free;
    b->messages_free = i;
}

void gw_message_move(struct gw_broker *b, uint32_t i, uint64_t at)
{
    message_leave(b, i);
    message_enter(b, i, at);
}

/* Merges two runs by position, linked by `newer`. */
static uint32_t merge(struct message *m, uint32_t a, uint32_t z)
{
    uint32_t first = NONE;
    uint32_t *link = &first;
    while (a != NONE && z != NONE) {
        uint32_t *least = m[a].at <= m[z].at ? &a : &z;
        *link = *least;
        link = &m[*least].newer;
        *least = *link;
    }
    *link = a != NONE ? a : z;
    return first;
}

/* After replay: what kept sessions named came in no order. Runs of doubling length, in bins. */
void gw_messages_sort(struct gw_broker *b)
{
    struct message *m = b->messages;
    uint32_t bins[32];
    memset(bins, 0xff, sizeof bins);
    for (uint32_t i = b->message_oldest; i != NONE;) {
        uint32_t next = m[i].newer;
        uint32_t run = i;
        m[i].newer = NONE;
        size_t at = 0;
        for (; bins[at] != NONE; at++) {
            run = merge(m, bins[at], run);
            bins[at] = NONE;
        }
        bins[at] = run;
        i = next;
    }
    uint32_t all = NONE;
    for (size_t at = 0; at < COUNT_OF(bins); at++) {
        all = merge(m, bins[at], all);
    }
    b->message_oldest = all;
    b->message_newest = NONE;
    for (uint32_t i = all; i != NONE; i = m[i].newer) {
        m[i].older = b->message_newest;
        b->message_newest = i;
    }
}

void gw_unretain(struct gw_broker *b, uint32_t node)
{
    uint32_t i = b->topics.nodes[node].retained;
    INVARIANT(i != GW_NODE_NONE);
    b->messages[i].node = NONE;
    b->counts.retained--;
    b->counts.retained_bytes -= b->messages[i].size;
    gw_topics_retain(&b->topics, node, GW_NODE_NONE);
    gw_topics_release(&b->topics, node);
    gw_message_unref(b, i);
}

void gw_retain(struct gw_broker *b, uint32_t node, uint32_t i)
{
    uint32_t old = b->topics.nodes[node].retained;
    b->messages[i].refs++;
    b->messages[i].node = node;
    b->counts.retained++;
    b->counts.retained_bytes += b->messages[i].size;
    gw_topics_retain(&b->topics, node, i);
    if (old != GW_NODE_NONE) {
        b->messages[old].node = NONE;
        b->counts.retained--;
        b->counts.retained_bytes -= b->messages[old].size;
        gw_message_unref(b, old);
    }
}

void gw_sweep_expired(struct gw_broker *b, uint64_t clock_ms)
{
    uint32_t next;
    for (uint32_t i = b->message_oldest; i != NONE; i = next) {
        const struct message *m = &b->messages[i];
        next = m->newer;
        if (m->node != NONE && m->expires_ms != 0 && m->expires_ms <= clock_ms) {
            gw_unretain(b, m->node);
        }
    }
}

/* ---- deliveries ---- */

static void append(struct gw_broker *b, struct list *list, uint32_t at)
{
    b->deliveries[at].previous = list->tail;
    b->deliveries[at].next = NONE;
    if (list->tail != NONE) {
        b->deliveries[list->tail].next = at;
    } else {
        list->head = at;
    }
    list->tail = at;
    list->count++;
}

static void take_out(struct gw_broker *b, struct list *list, uint32_t at)
{
    const struct delivery *d = &b->deliveries[at];
    if (d->previous != NONE) {
        b->deliveries[d->previous].next = d->next;
    } else {
        list->head = d->next;
    }
    if (d->next != NONE) {
        b->deliveries[d->next].previous = d->previous;
    } else {
        list->tail = d->previous;
    }
    list->count--;
}

struct delivery *gw_delivery_new(
    struct gw_broker *b, struct session *s, uint8_t qos, uint32_t message, uint64_t at)
{
    uint32_t i = b->deliveries_free;
    INVARIANT(i != NONE);
    struct delivery *d = &b->deliveries[i];
    b->deliveries_free = d->next;
    *d = (struct delivery){.message = message, .at = at, .qos = qos, .next_release = NONE};
    append(b, qos > 0 ? &s->queue : &s->queue_0, i);
    if (qos > 0) {
        d->n = s->next_n++;
    }
    if (message != NONE) {
        b->messages[message].refs++;
        s->queue_bytes += b->messages[message].size;
    }
    b->counts.deliveries++;
    if (s->connection != GW_NOWHERE) {
        s->cursor = s->cursor == NONE && qos > 0 ? i : s->cursor;
        gw_ready(b, s);
    }
    return d;
}

void gw_delivery_ids(struct gw_broker *b, struct delivery *d, const uint32_t *ids, uint8_t count)
{
    d->ids_count = count;
    if (count == 1) {
        d->ids = ids[0];
    } else if (count > 1) {
        d->ids = gw_texts_put(&b->texts, slice_of(ids, count * sizeof *ids));
    }
}

void gw_delivery_ids_read(const struct gw_broker *b, const struct delivery *d, uint32_t *ids)
{
    if (d->ids_count == 1) {
        ids[0] = d->ids;
    } else {
        uint8_t bytes[BUS_TARGET_IDS_MAX * sizeof *ids];
        gw_texts_read(&b->texts, d->ids, d->ids_count * sizeof *ids, bytes);
        memcpy(ids, bytes, d->ids_count * sizeof *ids);
    }
}

static void drop_ids(struct gw_broker *b, struct delivery *d)
{
    if (d->ids_count > 1) {
        gw_texts_drop(&b->texts, d->ids, d->ids_count * sizeof(uint32_t));
    }
    d->ids_count = 0;
}

static void drop_message(struct gw_broker *b, struct session *s, struct delivery *d)
{
    if (d->message != NONE) {
        s->queue_bytes -= b->messages[d->message].size;
        gw_message_unref(b, d->message);
        d->message = NONE;
    }
}

static void leave_releases(struct gw_broker *b, struct session *s, uint32_t at)
{
    uint32_t before = NONE;
    uint32_t i = s->releases.head;
    while (i != NONE && i != at) {
        before = i;
        i = b->deliveries[i].next_release;
    }
    if (i == NONE) {
        return;
    }
    uint32_t next = b->deliveries[i].next_release;
    if (before != NONE) {
        b->deliveries[before].next_release = next;
    } else {
        s->releases.head = next;
    }
    s->releases.tail = next == NONE ? before : s->releases.tail;
    s->releases.count--;
}

static void set_shared(struct session *s, struct delivery *d, uint32_t share)
{
    s->shared_count -= d->share != 0;
    s->shared_count += share != 0;
    d->share = share;
}

void gw_delivery_free(struct gw_broker *b, struct session *s, uint32_t at)
{
    struct delivery *d = &b->deliveries[at];
    if (d->is_received && s->connection != GW_NOWHERE) {
        leave_releases(b, s, at);
    }
    if (d->is_counted) {
        INVARIANT(s->window > 0);
        s->window--;
    }
    s->cursor = s->cursor == at ? d->next : s->cursor;
    set_shared(s, d, 0);
    drop_ids(b, d);
    drop_message(b, s, d);
    take_out(b, d->n != 0 ? &s->queue : &s->queue_0, at);
    d->next = b->deliveries_free;
    b->deliveries_free = at;
    b->counts.deliveries--;
    gw_ready(b, s);
}

void gw_delivery_receive(struct gw_broker *b, struct session *s, struct delivery *d, uint64_t at)
{
    uint32_t i = (uint32_t)(d - b->deliveries);
    d->is_received = true;
    d->at = at;
    set_shared(s, d, 0);
    drop_ids(b, d);
    drop_message(b, s, d);
    s->cursor = s->cursor == i ? d->next : s->cursor;
    if (s->connection == GW_NOWHERE) {
        return;
    }
    d->next_release = NONE;
    if (s->releases.tail != NONE) {
        b->deliveries[s->releases.tail].next_release = i;
    } else {
        s->releases.head = i;
    }
    s->releases.tail = i;
    s->releases.count++;
    gw_ready(b, s);
}

bool gw_is_expired(const struct gw_broker *b, const struct delivery *d, uint64_t clock_ms)
{
    uint64_t expires_ms = d->message != NONE ? b->messages[d->message].expires_ms : 0;
    return expires_ms != 0 && expires_ms <= clock_ms;
}

bool gw_is_full(const struct gw_broker *b, const struct session *s, uint32_t size)
{
    return s->queue.count >= b->limits.queue_messages_max
           || (s->queue.count > 0 && s->queue_bytes + size > b->limits.queue_bytes_max);
}

/* ---- packet ids of QoS 2 publishers ---- */

static uint32_t inbound_find(const struct gw_broker *b,
                             const struct session *s,
                             uint16_t packet_id,
                             uint32_t *before)
{
    *before = NONE;
    for (uint32_t i = s->inbound.head; i != NONE; i = b->inbounds[i].next) {
        if (b->inbounds[i].packet_id == packet_id) {
            return i;
        }
        *before = i;
    }
    return NONE;
}

bool gw_broker_inbound_has(const struct gw_broker *b, uint32_t session, uint16_t packet_id)
{
    uint32_t before;
    const struct session *s = gw_slot(b, session);
    INVARIANT(s != NULL);
    return inbound_find(b, s, packet_id, &before) != NONE;
}

bool gw_broker_inbound_may(const struct gw_broker *b, uint32_t session)
{
    const struct session *s = gw_slot(b, session);
    INVARIANT(s != NULL);
    return b->inbounds_free != NONE && s->inbound.count < b->limits.inbound_max;
}

bool gw_inbound_add(struct gw_broker *b, struct session *s, uint16_t packet_id, bool is_durable)
{
    uint32_t i = b->inbounds_free;
    if (i == NONE || s->inbound.count >= b->limits.inbound_max) {
        return false;
    }
    b->inbounds_free = b->inbounds[i].next;
    b->inbounds[i] =
        (struct inbound){.next = NONE, .packet_id = packet_id, .is_durable = is_durable};
    if (s->inbound.tail != NONE) {
        b->inbounds[s->inbound.tail].next = i;
    } else {
        s->inbound.head = i;
    }
    s->inbound.tail = i;
    s->inbound.count++;
    b->counts.inbounds++;
    return true;
}

bool gw_inbound_remove(struct gw_broker *b, struct session *s, uint16_t packet_id)
{
    uint32_t before;
    uint32_t i = inbound_find(b, s, packet_id, &before);
    if (i == NONE) {
        return false;
    }
    uint32_t next = b->inbounds[i].next;
    if (before != NONE) {
        b->inbounds[before].next = next;
    } else {
        s->inbound.head = next;
    }
    s->inbound.tail = next == NONE ? before : s->inbound.tail;
    s->inbound.count--;
    b->inbounds[i].next = b->inbounds_free;
    b->inbounds_free = i;
    b->counts.inbounds--;
    return true;
}

void gw_broker_inbound_note(struct gw_broker *b, uint32_t session, uint16_t packet_id)
{
    struct session *s = gw_slot(b, session);
    INVARIANT(s != NULL);
    INVARIANT(gw_inbound_add(b, s, packet_id, false));
}

enum mqtt_reason gw_broker_release(struct gw_broker *b,
                                   uint32_t session,
                                   uint16_t packet_id,
                                   struct session_record *out,
                                   bool *must_stage)
{
    uint32_t before;
    struct session *s = gw_slot(b, session);
    INVARIANT(s != NULL);
    uint32_t i = inbound_find(b, s, packet_id, &before);
    *must_stage = false;
    if (i == NONE) {
        return MQTT_PACKET_ID_NOT_FOUND;
    }
    if (b->inbounds[i].is_durable) {
        *must_stage = true;
        *out = (struct session_record){
            .kind = SESSION_RELEASED, .session = session, .packet_id = packet_id};
    } else {
        (void)gw_inbound_remove(b, s, packet_id);
    }
    return MQTT_SUCCESS;
}

/* ---- sessions by age ---- */

void gw_session_age(struct gw_broker *b, struct session *s, uint64_t at)
{
    uint32_t i = gw_slot_of(b, s);
    s->at = at;
    s->newer = NONE;
    s->older = b->session_newest;
    /* Others may have begun while this one was kept in parts. */
    while (s->older != NONE && b->sessions[s->older].at > at) {
        s->newer = s->older;
        s->older = b->sessions[s->older].older;
    }
    *(s->older != NONE ? &b->sessions[s->older].newer : &b->session_oldest) = i;
    *(s->newer != NONE ? &b->sessions[s->newer].older : &b->session_newest) = i;
}

void gw_session_unage(struct gw_broker *b, struct session *s)
{
    if (s->older != NONE) {
        b->sessions[s->older].newer = s->newer;
    } else {
        b->session_oldest = s->newer;
    }
    if (s->newer != NONE) {
        b->sessions[s->newer].older = s->older;
    } else {
        b->session_newest = s->older;
    }
}

/* ---- sessions that may have something to send ---- */

static struct list *ready_list(struct gw_broker *b, const struct session *s)
{
    return s->ready == READY_NOW ? &b->ready : &b->waiting;
}

static void ready_append(struct gw_broker *b, struct session *s, enum ready ready)
{
    s->ready = ready;
    struct list *list = ready_list(b, s);
    uint32_t at = gw_slot_of(b, s);
    s->ready_next = NONE;
    s->ready_previous = list->tail;
    if (list->tail != NONE) {
        b->sessions[list->tail].ready_next = at;
    } else {
        list->head = at;
    }
    list->tail = at;
    list->count++;
}

void gw_ready_remove(struct gw_broker *b, struct session *s)
{
    if (s->ready == READY_NOT) {
        return;
    }
    struct list *list = ready_list(b, s);
    if (s->ready_previous != NONE) {
        b->sessions[s->ready_previous].ready_next = s->ready_next;
    } else {
        list->head = s->ready_next;
    }
    if (s->ready_next != NONE) {
        b->sessions[s->ready_next].ready_previous = s->ready_previous;
    } else {
        list->tail = s->ready_previous;
    }
    list->count--;
    s->ready = READY_NOT;
}

void gw_ready(struct gw_broker *b, struct session *s)
{
    if (s->connection != GW_NOWHERE && s->ready != READY_NOW) {
        gw_ready_remove(b, s);
        ready_append(b, s, READY_NOW);
    }
}

void gw_broker_ready_push(struct gw_broker *b, uint32_t session)
{
    struct session *s = gw_slot(b, session);
    if (s != NULL) {
        gw_ready(b, s);
    }
}

bool gw_broker_ready_pop(struct gw_broker *b, uint64_t durable, uint32_t *session)
{
    if (durable > b->durable) {
        b->durable = durable;
        while (b->waiting.head != NONE) {
            gw_ready(b, &b->sessions[b->waiting.head]);
        }
    }
    if (b->ready.head == NONE) {
        return false;
    }
    struct session *s = &b->sessions[b->ready.head];
    /* Until it is known to have nothing: gw_broker_next that says so after this is not asked. */
    gw_ready_remove(b, s);
    ready_append(b, s, READY_WHEN_DURABLE);
    *session = s->number;
    return true;
}
