/*
 * The journal's room: what still lives and lies too far behind is written again, as a
 * log-structured store cleans its log, and the floor is where replay must begin.
 */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"

enum { STAGE_SUBSCRIPTIONS, STAGE_INBOUNDS, STAGE_DELIVERIES, STAGE_DONE };
enum { SESSION_BYTES = 256, ENTRY_BYTES = 64 }; /* about what they take in a journal */

static uint64_t live_bytes(const struct gw_broker *b)
{
    return b->counts.message_bytes + (uint64_t)b->counts.durable_sessions * SESSION_BYTES
           + ((uint64_t)b->counts.subscriptions + b->counts.deliveries) * ENTRY_BYTES;
}

static uint64_t oldest_message(const struct gw_broker *b)
{
    return b->message_oldest != NONE ? b->messages[b->message_oldest].at : UINT64_MAX;
}

static uint64_t oldest_session(const struct gw_broker *b)
{
    return b->session_oldest != NONE ? b->sessions[b->session_oldest].at : UINT64_MAX;
}

uint64_t gw_broker_floor(const struct gw_broker *b, uint64_t head)
{
    uint64_t message = oldest_message(b);
    uint64_t session = oldest_session(b);
    uint64_t floor = message < session ? message : session;
    return floor < head ? floor : head;
}

bool gw_broker_keep(struct gw_broker *b, uint64_t head, struct gw_keep *out)
{
    uint64_t distance = live_bytes(b) * KEEP_FACTOR;
    distance = distance > b->limits.keep_after_bytes ? distance : b->limits.keep_after_bytes;
    uint64_t floor = gw_broker_floor(b, head);
    if (head - floor <= distance) {
        return false;
    }
    if (oldest_session(b) == floor) {
        *out = (struct gw_keep){.kind = GW_KEEP_SESSION,
                                .session = b->sessions[b->session_oldest].number};
        return true;
    }
    const struct message *m = &b->messages[b->message_oldest];
    *out = (struct gw_keep){.kind = GW_KEEP_MESSAGE,
                            .position = m->at,
                            .delivery = {.qos = m->qos,
                                         .is_retained = m->node != NONE,
                                         .was = m->at,
                                         .expires_ms = m->expires_ms}};
    return true;
}

/* ---- a session in parts ---- */

static void write_subscription(struct gw_broker *b, uint32_t i, struct writer *w)
{
    const struct subscription *sub = &b->subscriptions[i];
    struct writer name = writer_over(b->name, sizeof b->name);
    gw_subscription_write(b, sub, &name);
    session_item_write(w, &(struct session_item){.kind = SESSION_ITEM_SUBSCRIPTION,
                                                 .share = sub->share,
                                                 .filter = writer_slice(&name),
                                                 .options = sub->options,
                                                 .subscription_id = sub->id});
}

static void write_delivery(const struct gw_broker *b, uint32_t i, struct writer *w)
{
    const struct delivery *d = &b->deliveries[i];
    struct session_item item = {.kind = SESSION_ITEM_DELIVERY,
                                .n = d->n,
                                .qos = d->qos,
                                .is_retained = d->is_retained,
                                .is_received = d->is_received,
                                .share = d->share,
                                .ids_count = d->ids_count};
    if (!d->is_received) {
        const struct message *m = &b->messages[d->message];
        item.position = m->at;
        item.size = m->size;
        item.expires_ms = m->expires_ms;
        gw_delivery_ids_read(b, d, item.ids);
    }
    session_item_write(w, &item);
}

/* Writes one thing and goes on to the next; false: this list is at its end. */
static bool write_next(struct gw_broker *b, struct session *s, struct writer *w)
{
    uint32_t i = s->kept_cursor;
    if (i == NONE) {
        return false;
    }
    if (s->kept_stage == STAGE_SUBSCRIPTIONS) {
        write_subscription(b, i, w);
        s->kept_cursor = b->subscriptions[i].next_own;
    } else if (s->kept_stage == STAGE_INBOUNDS) {
        if (b->inbounds[i].is_durable) {
            session_item_write(w, &(struct session_item){.kind = SESSION_ITEM_INBOUND,
                                                         .packet_id = b->inbounds[i].packet_id});
        }
        s->kept_cursor = b->inbounds[i].next;
    } else {
        write_delivery(b, i, w);
        s->kept_cursor = b->deliveries[i].next;
    }
    return true;
}

static void next_stage(struct session *s)
{
    s->kept_stage++;
    s->kept_cursor = s->kept_stage == STAGE_INBOUNDS     ? s->inbound.head
                     : s->kept_stage == STAGE_DELIVERIES ? s->queue.head
                                                         : NONE;
}

void gw_broker_write_session(struct gw_broker *b,
                             uint32_t session,
                             struct writer *items,
                             struct session_record *out)
{
    struct session *s = gw_slot(b, session);
    INVARIANT(s != NULL);
    INVARIANT(s->is_durable);
    INVARIANT(writer_room(items) >= KEPT_ITEM_ROOM);
    if (s->kept_part == 0) {
        s->kept_stage = STAGE_SUBSCRIPTIONS;
        s->kept_cursor = s->subscriptions;
    }
    size_t before = items->len;
    while (s->kept_stage != STAGE_DONE && writer_room(items) >= KEPT_ITEM_ROOM) {
        if (!write_next(b, s, items)) {
            next_stage(s);
        }
    }
    *out = (struct session_record){.kind = SESSION_KEPT,
                                   .session = session,
                                   .part = s->kept_part,
                                   .is_last = s->kept_stage == STAGE_DONE,
                                   .items = slice_of(items->at + before, items->len - before)};
    if (s->kept_part == 0) {
        out->owner = s->owner;
        out->client_id = gw_broker_client_id(b, session);
        out->expiry_s = s->expiry_s;
        out->will_delay_s = s->will_delay_s;
        out->is_open = s->is_open;
        out->closed_ms = s->closed_ms;
        out->has_will = s->will != NONE;
        out->will_at = s->will != NONE ? b->messages[s->will].at : 0;
        out->sent = s->begun;
        out->next = s->next_n;
        out->next_share = s->next_share;
    }
}
