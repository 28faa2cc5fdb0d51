/* What must hold of a broker, and what two brokers of one history have in common. */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"
#include "crypto/hash.h"

/* ---- the digest ---- */

static void add_number(struct hash *h, uint64_t value)
{
    uint8_t bytes[8];
    struct writer w = writer_over(bytes, sizeof bytes);
    write_u64(&w, value);
    hash_add(h, writer_slice(&w));
}

static void add_delivery(const struct gw_broker *b, const struct delivery *d, struct hash *h)
{
    uint32_t ids[BUS_TARGET_IDS_MAX];
    add_number(h, d->n);
    add_number(h, (uint64_t)d->qos << 2 | (uint64_t)d->is_retained << 1 | d->is_received);
    add_number(h, d->share);
    if (d->message != NONE) {
        add_number(h, b->messages[d->message].at);
        add_number(h, b->messages[d->message].size);
        add_number(h, b->messages[d->message].expires_ms);
        gw_delivery_ids_read(b, d, ids);
        for (uint32_t i = 0; i < d->ids_count; i++) {
            add_number(h, ids[i]);
        }
    }
}

/* How far sending had got is the connection's as long as there is one, and says something only of
 * deliveries that are still there: a session that was kept knows of others that it has ended since,
 * which a replay from before that never saw. */
static void add_session(struct gw_broker *b,
                        const struct session *s,
                        uint64_t clock_ms,
                        struct hash *h)
{
    add_number(h, s->number);
    add_number(h, s->owner.kind);
    hash_add(h, slice_of(s->owner.id, sizeof s->owner.id));
    hash_add(h, gw_broker_client_id(b, s->number));
    add_number(h, s->expiry_s);
    add_number(h, s->will_delay_s);
    add_number(h, s->is_open);
    add_number(h, s->closed_ms);
    add_number(h, s->will != NONE ? b->messages[s->will].at : 0);
    add_number(h, s->next_n);
    add_number(h, s->next_share);
    for (uint32_t i = s->subscriptions; i != NONE; i = b->subscriptions[i].next_own) {
        const struct subscription *sub = &b->subscriptions[i];
        struct writer w = writer_over(b->name, sizeof b->name);
        gw_subscription_write(b, sub, &w);
        hash_add(h, writer_slice(&w));
        add_number(h, (uint64_t)sub->share << 32 | sub->id);
        add_number(h, (uint64_t)sub->options.qos | (uint64_t)sub->options.no_local << 2
                          | (uint64_t)sub->options.retain_as_published << 3
                          | (uint64_t)sub->options.retain_handling << 4);
    }
    for (uint32_t i = s->inbound.head; i != NONE; i = b->inbounds[i].next) {
        if (b->inbounds[i].is_durable) {
            add_number(h, b->inbounds[i].packet_id);
        }
    }
    for (uint32_t i = s->queue.head; i != NONE; i = b->deliveries[i].next) {
        if (!gw_is_expired(b, &b->deliveries[i], clock_ms)) {
            add_delivery(b, &b->deliveries[i], h);
            add_number(h, !s->is_open && b->deliveries[i].n <= s->begun);
        }
    }
}

void gw_broker_digest(struct gw_broker *b, uint64_t clock_ms, struct digest *out)
{
    struct hash h;
    hash_init(&h);
    for (uint32_t i = 0; i < b->limits.sessions_max; i++) {
        const struct session *s = &b->sessions[i];
        if (s->number != 0 && s->is_durable && !s->is_partial) {
            add_session(b, s, clock_ms, &h);
        }
    }
    for (uint32_t i = b->message_oldest; i != NONE; i = b->messages[i].newer) {
        const struct message *m = &b->messages[i];
        if (m->node == NONE || (m->expires_ms != 0 && m->expires_ms <= clock_ms)) {
            continue;
        }
        struct writer w = writer_over(b->name, sizeof b->name);
        gw_topics_write(&b->topics, m->node, &w);
        hash_add(&h, writer_slice(&w));
        add_number(&h, m->at);
        add_number(&h, m->expires_ms);
        add_number(&h, m->qos);
    }
    hash_end(&h, out);
}

/* ---- invariants ---- */

static void check_queue(const struct gw_broker *b, const struct session *s)
{
    uint64_t bytes = 0, last = 0;
    uint32_t count = 0, counted = 0, shared = 0;
    bool is_behind_cursor = true;
    for (uint32_t i = s->queue.head; i != NONE; i = b->deliveries[i].next) {
        const struct delivery *d = &b->deliveries[i];
        is_behind_cursor = is_behind_cursor && i != s->cursor;
        count++;
        counted += d->is_counted;
        shared += d->share != 0;
        INVARIANT(d->n > last);
        INVARIANT(d->qos == 1 || d->qos == 2);
        INVARIANT(d->is_received == (d->message == NONE));
        INVARIANT(!d->is_counted || is_behind_cursor);
        INVARIANT(!d->is_received || d->n <= s->begun);
        last = d->n;
        bytes += d->message != NONE ? b->messages[d->message].size : 0;
    }
    INVARIANT(last < s->next_n);
    INVARIANT(s->begun < s->next_n);
    INVARIANT(count == s->queue.count);
    INVARIANT(counted == s->window);
    INVARIANT(shared == s->shared_count);
    for (uint32_t i = s->queue_0.head; i != NONE; i = b->deliveries[i].next) {
        INVARIANT(b->deliveries[i].n == 0);
        INVARIANT(s->connection != GW_NOWHERE);
        bytes += b->messages[b->deliveries[i].message].size;
    }
    INVARIANT(bytes == s->queue_bytes);
    INVARIANT(s->window <= s->window_max || s->connection == GW_NOWHERE);
}

static void check_session(const struct gw_broker *b, const struct session *s)
{
    uint32_t filters = 0, inbounds = 0;
    for (uint32_t i = s->subscriptions; i != NONE; i = b->subscriptions[i].next_own) {
        INVARIANT(&b->sessions[b->subscriptions[i].session] == s);
        INVARIANT(b->subscriptions[i].share < s->next_share);
        filters++;
    }
    for (uint32_t i = s->inbound.head; i != NONE; i = b->inbounds[i].next) {
        inbounds++;
    }
    INVARIANT(filters == s->subscription_count);
    INVARIANT(filters <= b->limits.filters_max);
    INVARIANT(inbounds == s->inbound.count);
    INVARIANT(inbounds <= b->limits.inbound_max);
    INVARIANT(s->heap_at == NONE || &b->sessions[b->heap[s->heap_at]] == s);
    INVARIANT(s->will == NONE || s->is_durable);
    INVARIANT(s->connection == GW_NOWHERE || s->is_open);
    INVARIANT((s->ready == READY_NOT) == (s->connection == GW_NOWHERE));
    check_queue(b, s);
}

static void check_messages(const struct gw_broker *b)
{
    uint32_t retained = 0;
    uint64_t retained_bytes = 0, at = 0;
    for (uint32_t i = b->message_oldest; i != NONE; i = b->messages[i].newer) {
        const struct message *m = &b->messages[i];
        INVARIANT(m->refs > 0);
        INVARIANT(m->at >= at || b->is_replaying);
        INVARIANT(m->node == NONE || b->topics.nodes[m->node].retained == i);
        retained += m->node != NONE;
        retained_bytes += m->node != NONE ? m->size : 0;
        at = m->at;
    }
    INVARIANT(retained == b->counts.retained);
    INVARIANT(retained_bytes == b->counts.retained_bytes);
    INVARIANT(retained == b->topics.nodes[GW_NODE_ROOT].retained_count);
}

void gw_broker_check(const struct gw_broker *b)
{
    uint32_t sessions = 0, subscriptions = 0, deliveries = 0, inbounds = 0, attached = 0;
    for (uint32_t i = 0; i < b->limits.sessions_max; i++) {
        const struct session *s = &b->sessions[i];
        if (s->number != 0) {
            check_session(b, s);
            sessions++;
            subscriptions += s->subscription_count;
            deliveries += s->queue.count + s->queue_0.count;
            inbounds += s->inbound.count;
            attached += s->connection != GW_NOWHERE;
        }
    }
    INVARIANT(sessions == b->counts.sessions);
    INVARIANT(subscriptions == b->counts.subscriptions);
    INVARIANT(deliveries == b->counts.deliveries);
    INVARIANT(inbounds == b->counts.inbounds);
    INVARIANT(attached == b->counts.attached);
    for (uint32_t i = 1; i < b->heap_count; i++) {
        INVARIANT(b->sessions[b->heap[(i - 1) / 2]].due_ms <= b->sessions[b->heap[i]].due_ms);
    }
    uint64_t at = 0;
    for (uint32_t i = b->session_oldest; i != NONE; i = b->sessions[i].newer) {
        INVARIANT(b->sessions[i].at >= at);
        at = b->sessions[i].at;
    }
    gw_topics_check(&b->topics);
    check_messages(b);
}
