/*
 * The fold: what each record does, live and in replay alike. Each function first looks whether the
 * record can be, then does it, so that a refused one changes nothing.
 */
#include "base/invariant.h"
#include "codec/mqtt_topic.h"
#include "core/gateway/broker_inside.h"

#include <string.h>

static uint32_t size_of(const struct bus_record *r)
{
    return (uint32_t)(r->topic.len + r->payload.len + r->delivery.properties.len);
}

/*
 * The session a record speaks of. What a keeping had written of it is not the whole any more; where
 * replay knows no more than that, it knows nothing: NULL, as for one that is unknown.
 */
static struct session *touch(struct gw_broker *b, uint32_t number)
{
    struct session *s = gw_slot(b, number);
    if (s == NULL) {
        return NULL;
    }
    s->kept_part = 0;
    if (s->is_partial) {
        gw_session_free(b, s);
        return NULL;
    }
    return s;
}

static const struct session *known(const struct gw_broker *b, uint32_t number)
{
    const struct session *s = gw_slot(b, number);
    return s != NULL && !s->is_partial ? s : NULL;
}

/* ---- messages ---- */

static void drop_will(struct gw_broker *b, struct session *s)
{
    if (s->will != NONE) {
        gw_message_unref(b, s->will);
        s->will = NONE;
    }
}

/* Targets that are known, and whether there is room for them. */
static bool targets_fit(const struct gw_broker *b, const struct bus_record *r, uint32_t *count)
{
    struct bus_target target;
    uint32_t texts = 0;
    *count = 0;
    for (struct slice rest = r->delivery.targets; bus_target_next(&rest, &target);) {
        if (known(b, target.session) != NULL) {
            *count += 1;
            texts += target.ids_count > 1 ? gw_texts_need(target.ids_count * sizeof(uint32_t)) : 0;
        }
    }
    return *count <= b->limits.deliveries_max - b->counts.deliveries
           && texts <= b->texts.free_count;
}

static void give_to_targets(struct gw_broker *b,
                            const struct bus_record *r,
                            uint32_t i,
                            uint64_t at)
{
    struct bus_target target;
    for (struct slice rest = r->delivery.targets; bus_target_next(&rest, &target);) {
        struct session *s = touch(b, target.session);
        if (s == NULL) {
            continue;
        }
        struct delivery *d = gw_delivery_new(b, s, target.qos, i, at);
        d->is_retained = target.is_retained;
        d->share = target.share;
        s->shared_count += target.share != 0;
        gw_delivery_ids(b, d, target.ids, target.ids_count);
    }
}

/* The node of the topic that retains, made where it has to be; false: there is no room. */
static bool retaining_node(struct gw_broker *b, const struct bus_record *r, uint32_t *node)
{
    struct gw_levels levels;
    if (!gw_topics_split(&b->topics, r->topic, &levels)) {
        return false;
    }
    if (r->payload.len == 0) {
        *node = gw_topics_find(&b->topics, &levels);
        return true;
    }
    *node = gw_topics_make(&b->topics, &levels);
    if (*node == GW_NODE_NONE) {
        gw_sweep_expired(b, b->clock_ms);
        *node = gw_topics_make(&b->topics, &levels);
    }
    return *node != GW_NODE_NONE;
}

static enum gw_fold fold_message(struct gw_broker *b, const struct bus_record *r, uint64_t at)
{
    const struct bus_delivery *d = &r->delivery;
    uint32_t count, node = GW_NODE_NONE;
    bool retains = d->is_retained && r->payload.len > 0;
    if (d->is_retained && !mqtt_topic_name_is_valid(r->topic)) {
        return GW_FOLD_DAMAGED;
    }
    if (b->messages_free == NONE) {
        gw_sweep_expired(b, b->clock_ms);
    }
    if (!targets_fit(b, r, &count) || ((count > 0 || retains) && b->messages_free == NONE)) {
        return GW_FOLD_FULL;
    }
    const struct session *from = known(b, d->sender);
    if (from != NULL && !gw_broker_inbound_has(b, d->sender, d->packet_id)
        && !gw_broker_inbound_may(b, d->sender)) {
        return GW_FOLD_FULL;
    }
    if (d->is_retained && !retaining_node(b, r, &node)) {
        return GW_FOLD_FULL;
    }
    struct session *sender = touch(b, d->sender);
    if (sender != NULL && !gw_broker_inbound_has(b, d->sender, d->packet_id)) {
        INVARIANT(gw_inbound_add(b, sender, d->packet_id, true));
    }
    struct session *dead = touch(b, d->will_of);
    if (dead != NULL) {
        drop_will(b, dead);
        gw_due_update(b, dead);
    }
    if (count > 0 || retains) {
        uint32_t i = gw_message_new(b, at, size_of(r), d->expires_ms);
        b->messages[i].qos = d->qos;
        b->messages[i].refs++; /* ours, until it is given away */
        give_to_targets(b, r, i, at);
        if (retains) {
            gw_retain(b, node, i);
        }
        gw_message_unref(b, i);
    }
    if (d->is_retained && !retains && node != GW_NODE_NONE
        && b->topics.nodes[node].retained != GW_NODE_NONE) {
        gw_unretain(b, node);
    }
    return GW_FOLDED;
}

static enum gw_fold fold_kept(struct gw_broker *b, const struct bus_record *r, uint64_t at)
{
    uint32_t node = GW_NODE_NONE;
    uint32_t i = gw_message_find(b, r->delivery.was);
    if (r->delivery.was >= at
        || (r->delivery.is_retained
            && (r->payload.len == 0 || !mqtt_topic_name_is_valid(r->topic)))) {
        return GW_FOLD_DAMAGED;
    }
    if (!r->delivery.is_retained) {
        if (i != NONE) {
            gw_message_move(b, i, at);
        }
        return GW_FOLDED;
    }
    if (i == NONE && b->messages_free == NONE) {
        return GW_FOLD_FULL;
    }
    if (!retaining_node(b, r, &node)) {
        return GW_FOLD_FULL;
    }
    uint32_t old = b->topics.nodes[node].retained;
    bool is_elsewhere = i != NONE && b->messages[i].node != NONE && b->messages[i].node != node;
    if ((old != GW_NODE_NONE && old != i) || is_elsewhere) {
        gw_topics_release(&b->topics, node);
        return GW_FOLD_DAMAGED; /* something newer is retained there, or it was another topic's */
    }
    if (i == NONE) {
        i = gw_message_new(b, at, size_of(r), r->delivery.expires_ms);
    } else {
        gw_message_move(b, i, at);
    }
    b->messages[i].qos = r->delivery.qos;
    if (old == GW_NODE_NONE) {
        gw_retain(b, node, i);
    }
    return GW_FOLDED;
}

static enum gw_fold fold_will(struct gw_broker *b, const struct bus_record *r, uint64_t at)
{
    const struct session *has = known(b, r->delivery.will_of);
    if (has != NULL && (has->will != NONE || !has->is_open || !has->is_durable)) {
        return GW_FOLD_DAMAGED;
    }
    if (has != NULL && b->messages_free == NONE) {
        return GW_FOLD_FULL;
    }
    struct session *s = touch(b, r->delivery.will_of);
    if (s != NULL) {
        s->will = gw_message_new(b, at, size_of(r), 0);
        b->messages[s->will].refs++;
        b->messages[s->will].qos = r->delivery.qos;
    }
    return GW_FOLDED;
}

/*
 * A process began: what was open is closed now. How far sending had got nobody knows: all that the
 * client's receive maximum may have let out counts as sent.
 */
static void fold_started(struct gw_broker *b)
{
    for (uint32_t i = 0; i < b->limits.sessions_max; i++) {
        struct session *s = &b->sessions[i];
        if (s->number == 0 || !s->is_open) {
            continue;
        }
        s->is_open = false;
        s->closed_ms = b->clock_ms;
        s->kept_part = 0;
        uint32_t left = b->limits.inflight_max;
        for (uint32_t at = s->queue.head; at != NONE && left > 0; at = b->deliveries[at].next) {
            const struct delivery *d = &b->deliveries[at];
            left -= d->is_received ? 0 : 1;
            s->begun = d->n > s->begun ? d->n : s->begun;
        }
        gw_due_update(b, s);
    }
}

/* ---- sessions ---- */

static bool same_session(struct gw_broker *b,
                         const struct session *s,
                         const struct session_record *r)
{
    return s->owner.kind == r->owner.kind && memcmp(s->owner.id, r->owner.id, 16) == 0
           && gw_texts_equal(&b->texts, s->client_id, s->client_id_len, r->client_id);
}

static bool slot_is_taken(const struct gw_broker *b, uint32_t number)
{
    uint32_t at = (number & ((1U << SLOT_BITS) - 1)) - 1;
    return at < b->limits.sessions_max && b->sessions[at].number != 0;
}

static enum gw_fold fold_opened(struct gw_broker *b, const struct session_record *r, uint64_t at)
{
    const struct session *has = known(b, r->session);
    bool is_durable = at != 0;
    if (has == NULL && r->is_resumed) {
        (void)touch(b, r->session);
        return GW_FOLDED; /* it began below the floor, and ended before it was kept */
    }
    if (has != NULL
        && (!r->is_resumed || has->is_open || !has->is_durable || !same_session(b, has, r))) {
        return GW_FOLD_DAMAGED;
    }
    if (has == NULL && gw_broker_find(b, &r->owner, r->client_id) != 0) {
        return GW_FOLD_DAMAGED;
    }
    struct session *s = touch(b, r->session);
    if (s == NULL) {
        s = gw_session_take(b, r->session, &r->owner, r->client_id, is_durable);
        if (s == NULL) {
            return slot_is_taken(b, r->session) ? GW_FOLD_DAMAGED : GW_FOLD_FULL;
        }
        if (is_durable) {
            gw_session_age(b, s, at);
        }
    }
    drop_will(b, s); /* 3.1.3-9: the session goes on before its will was due */
    s->is_open = true;
    s->closed_ms = 0;
    s->expiry_s = r->expiry_s;
    s->will_delay_s = r->will_delay_s;
    gw_due_update(b, s);
    return GW_FOLDED;
}

static enum gw_fold fold_closed(struct gw_broker *b, const struct session_record *r)
{
    const struct session *has = known(b, r->session);
    if (has != NULL && (!has->is_open || !has->is_durable || r->sent >= has->next_n)) {
        return GW_FOLD_DAMAGED;
    }
    struct session *s = touch(b, r->session);
    if (s != NULL) {
        s->is_open = false;
        s->closed_ms = b->clock_ms;
        s->expiry_s = r->expiry_s;
        s->begun = r->sent;
        if (!r->has_will) {
            drop_will(b, s);
        }
        gw_due_update(b, s);
    }
    return GW_FOLDED;
}

static enum gw_fold fold_ended(struct gw_broker *b, const struct session_record *r)
{
    struct session *s = touch(b, r->session);
    if (s != NULL) {
        b->counts.ends[r->end]++;
        gw_session_free(b, s);
    }
    return GW_FOLDED;
}

/* A message that a session's record names; NONE: no room. */
static uint32_t message_at(struct gw_broker *b, uint64_t at, uint32_t size, uint64_t expires_ms)
{
    uint32_t i = gw_message_find(b, at);
    return i != NONE ? i : gw_message_new(b, at, size, expires_ms);
}

static bool deliveries_fit(const struct gw_broker *b, uint32_t count)
{
    return count <= b->limits.deliveries_max - b->counts.deliveries;
}

static bool brought_lies_before(const struct session_record *r, uint64_t at)
{
    struct session_item item;
    for (struct slice rest = r->items; session_item_next(&rest, &item);) {
        if (item.position >= at) {
            return false;
        }
    }
    return true;
}

/* Room for what a subscription brought, and for those of its messages that are not known yet. */
static bool brought_fits(const struct gw_broker *b, const struct session_record *r)
{
    uint32_t count = 0, missing = 0;
    struct session_item item;
    for (struct slice rest = r->items; session_item_next(&rest, &item);) {
        count++;
        missing += gw_message_find(b, item.position) == NONE;
    }
    return deliveries_fit(b, count) && missing <= b->limits.messages_max - b->counts.messages;
}

static enum gw_fold fold_subscribed(struct gw_broker *b,
                                    const struct session_record *r,
                                    uint64_t at)
{
    const struct session *has = known(b, r->session);
    if (has == NULL) {
        (void)touch(b, r->session);
        return GW_FOLDED;
    }
    if (at != 0 && !brought_lies_before(r, at)) {
        return GW_FOLD_DAMAGED;
    }
    if (!brought_fits(b, r) || !gw_subscription_fits(b, has, r->filter)) {
        return GW_FOLD_FULL;
    }
    struct session *s = touch(b, r->session);
    INVARIANT(s != NULL);
    bool is_new = gw_subscription_find(b, s, r->filter) == NONE;
    INVARIANT(gw_subscription_set(b, s, r->filter, &r->options, r->subscription_id, s->next_share));
    s->next_share += is_new;
    struct session_item item;
    for (struct slice rest = r->items; session_item_next(&rest, &item);) {
        if (item.qos == 0 && s->connection == GW_NOWHERE) {
            continue;
        }
        uint32_t i = message_at(b, item.position, item.size, item.expires_ms);
        INVARIANT(i != NONE);
        struct delivery *d = gw_delivery_new(b, s, item.qos, i, at != 0 ? at : b->at);
        d->is_retained = item.is_retained;
        gw_delivery_ids(b, d, item.ids, item.ids_count);
    }
    return GW_FOLDED;
}

static enum gw_fold fold_unsubscribed(struct gw_broker *b, const struct session_record *r)
{
    struct session *s = touch(b, r->session);
    if (s == NULL) {
        return GW_FOLDED;
    }
    uint32_t i = gw_subscription_find(b, s, r->filter);
    if (i == NONE) {
        return GW_FOLD_DAMAGED;
    }
    gw_subscription_remove(b, s, i);
    return GW_FOLDED;
}

static enum gw_fold fold_acked(struct gw_broker *b, const struct session_record *r)
{
    const struct session *has = known(b, r->session);
    if (has != NULL && r->last >= has->next_n) {
        return GW_FOLD_DAMAGED;
    }
    struct session *s = touch(b, r->session);
    if (s == NULL) {
        return GW_FOLDED;
    }
    uint32_t next;
    for (uint32_t i = s->queue.head; i != NONE && b->deliveries[i].n <= r->last; i = next) {
        next = b->deliveries[i].next;
        if (b->deliveries[i].n >= r->first) {
            gw_delivery_free(b, s, i);
        }
    }
    s->is_blocked = false;
    gw_due_update(b, s);
    return GW_FOLDED;
}

static enum gw_fold fold_received(struct gw_broker *b, const struct session_record *r, uint64_t at)
{
    const struct session *has = known(b, r->session);
    if (has != NULL && r->first >= has->next_n) {
        return GW_FOLD_DAMAGED;
    }
    struct session *s = touch(b, r->session);
    uint32_t i = s != NULL ? s->queue.head : NONE;
    while (i != NONE && b->deliveries[i].n < r->first) {
        i = b->deliveries[i].next;
    }
    if (i == NONE || b->deliveries[i].n != r->first) {
        return GW_FOLDED; /* finished, by what was said of it later */
    }
    if (b->deliveries[i].qos != 2 || b->deliveries[i].is_received) {
        return GW_FOLD_DAMAGED;
    }
    s->begun = r->first > s->begun ? r->first : s->begun;
    gw_delivery_receive(b, s, &b->deliveries[i], at);
    s->is_blocked = false;
    gw_due_update(b, s);
    return GW_FOLDED;
}

/* ---- moves between members of a shared subscription ---- */

static void move_one(struct gw_broker *b,
                     const struct session_move *move,
                     uint32_t volatile_member,
                     uint64_t at)
{
    struct session *to = touch(b, move->to);
    uint32_t share = move->share, id = move->subscription_id;
    uint8_t qos = 1;
    if (volatile_member != NONE) {
        const struct subscription *sub = &b->subscriptions[volatile_member];
        to = &b->sessions[sub->session];
        qos = sub->options.qos > 0 ? 1 : 0;
        share = qos > 0 ? sub->share : 0;
        id = sub->id;
    }
    if (to == NULL || (qos == 0 && to->connection == GW_NOWHERE)) {
        return;
    }
    uint32_t i = message_at(b, move->position, move->size, move->expires_ms);
    INVARIANT(i != NONE);
    struct delivery *d = gw_delivery_new(b, to, qos, i, at);
    d->share = share;
    to->shared_count += share != 0;
    gw_delivery_ids(b, d, &id, id != 0 ? 1 : 0);
    b->counts.moved++;
}

/* The delivery with this number that still has its message; NONE where it is finished. */
static uint32_t waiting_at(const struct gw_broker *b, const struct session *s, uint64_t n)
{
    uint32_t i = s != NULL ? s->queue.head : NONE;
    while (i != NONE && b->deliveries[i].n < n) {
        i = b->deliveries[i].next;
    }
    bool is_it = i != NONE && b->deliveries[i].n == n && !b->deliveries[i].is_received;
    return is_it ? i : NONE;
}

/* What is moved out of a queue makes room for itself; what the fold does not know takes some. */
static enum gw_fold moves_fit(const struct gw_broker *b,
                              const struct session_record *r,
                              uint64_t at)
{
    const struct session *from = known(b, r->session);
    struct session_move move;
    uint32_t count = 0;
    for (struct slice rest = r->items; session_move_next(&rest, &move);) {
        if (at != 0 && move.position >= at) {
            return GW_FOLD_DAMAGED;
        }
        count += move.to != 0 && waiting_at(b, from, move.n) == NONE;
    }
    bool fits = deliveries_fit(b, count) && count <= b->limits.messages_max - b->counts.messages;
    return fits || count == 0 ? GW_FOLDED : GW_FOLD_FULL;
}

static enum gw_fold fold_moved(struct gw_broker *b,
                               const struct session_record *r,
                               bool is_live,
                               uint64_t at)
{
    enum gw_fold result = moves_fit(b, r, at);
    if (result != GW_FOLDED) {
        return result;
    }
    struct session *from = touch(b, r->session);
    struct session_move move;
    uint32_t nth = 0;
    for (struct slice rest = r->items; session_move_next(&rest, &move); nth++) {
        uint32_t member = is_live && nth < b->moves_count ? b->moved_to[nth] : NONE;
        uint32_t i = waiting_at(b, from, move.n);
        uint32_t held = i != NONE ? b->deliveries[i].message : NONE;
        if (held != NONE) { /* its message, also where the record does not say it */
            const struct message *m = &b->messages[held];
            move.position = m->at;
            move.size = m->size;
            move.expires_ms = m->expires_ms;
            b->messages[held].refs++;
            gw_delivery_free(b, from, i);
        }
        if (move.position != 0) {
            move_one(b, &move, member, at != 0 ? at : b->at);
        }
        if (held != NONE) {
            gw_message_unref(b, held);
        }
    }
    b->moves_count = is_live ? 0 : b->moves_count;
    return GW_FOLDED;
}

/* ---- kept sessions ---- */

static enum gw_fold kept_item(struct gw_broker *b,
                              struct session *s,
                              const struct session_item *item,
                              uint64_t at)
{
    switch (item->kind) {
    case SESSION_ITEM_SUBSCRIPTION:
        if (item->share >= s->next_share || gw_subscription_find(b, s, item->filter) != NONE) {
            return GW_FOLD_DAMAGED;
        }
        return gw_subscription_set(b, s, item->filter, &item->options, item->subscription_id,
                                   item->share)
                   ? GW_FOLDED
                   : GW_FOLD_FULL;
    case SESSION_ITEM_INBOUND:
        if (gw_broker_inbound_has(b, s->number, item->packet_id)) {
            return GW_FOLD_DAMAGED;
        }
        return gw_inbound_add(b, s, item->packet_id, true) ? GW_FOLDED : GW_FOLD_FULL;
    case SESSION_ITEM_DELIVERY: break;
    }
    uint64_t last = s->queue.tail != NONE ? b->deliveries[s->queue.tail].n : 0;
    if (item->n <= last || item->n >= s->next_n || item->position >= at) {
        return GW_FOLD_DAMAGED;
    }
    if (b->deliveries_free == NONE
        || (item->ids_count > 1
            && gw_texts_need(item->ids_count * sizeof(uint32_t)) > b->texts.free_count)) {
        return GW_FOLD_FULL;
    }
    uint32_t i = NONE;
    if (!item->is_received) {
        i = message_at(b, item->position, item->size, item->expires_ms);
        if (i == NONE) {
            return GW_FOLD_FULL;
        }
    }
    uint64_t next = s->next_n;
    struct delivery *d = gw_delivery_new(b, s, item->qos, i, at);
    d->n = item->n;
    s->next_n = next;
    d->is_retained = item->is_retained;
    d->is_received = item->is_received;
    d->share = item->share;
    s->shared_count += item->share != 0;
    gw_delivery_ids(b, d, item->ids, item->ids_count);
    return GW_FOLDED;
}

static enum gw_fold kept_head(struct gw_broker *b,
                              const struct session_record *r,
                              uint64_t at,
                              struct session **out)
{
    if (gw_broker_find(b, &r->owner, r->client_id) != 0 || r->will_at >= at
        || r->closed_ms > b->clock_ms) {
        return GW_FOLD_DAMAGED;
    }
    struct session *s = gw_session_take(b, r->session, &r->owner, r->client_id, true);
    if (s == NULL) {
        return slot_is_taken(b, r->session) ? GW_FOLD_DAMAGED : GW_FOLD_FULL;
    }
    gw_session_age(b, s, at);
    s->is_partial = true;
    s->is_open = r->is_open;
    s->closed_ms = r->closed_ms;
    s->expiry_s = r->expiry_s;
    s->will_delay_s = r->will_delay_s;
    s->begun = r->sent;
    s->next_n = r->next;
    s->next_share = r->next_share;
    *out = s;
    if (r->has_will) {
        s->will = message_at(b, r->will_at, 0, 0);
        if (s->will == NONE) {
            return GW_FOLD_FULL;
        }
        b->messages[s->will].refs++;
    }
    return GW_FOLDED;
}

static enum gw_fold fold_session_kept(struct gw_broker *b,
                                      const struct session_record *r,
                                      uint64_t at)
{
    struct session *s = gw_slot(b, r->session);
    enum gw_fold result = GW_FOLDED;
    bool is_new = s == NULL || s->is_partial;
    if (s != NULL && s->is_partial && r->part != s->kept_part) {
        (void)touch(b, r->session); /* begun again, or its middle is missing */
        s = NULL;
    }
    if (s == NULL && r->part > 0) {
        return GW_FOLDED; /* its beginning lies below the floor: it is kept again later, or over */
    }
    if (s == NULL) {
        result = kept_head(b, r, at, &s);
        if (s == NULL) {
            return result;
        }
    }
    if (r->part == 0) {
        s->kept_at = at;
    } else if (r->part != s->kept_part) {
        return GW_FOLD_DAMAGED;
    }
    struct session_item item;
    for (struct slice rest = r->items;
         is_new && result == GW_FOLDED && session_item_next(&rest, &item);) {
        result = kept_item(b, s, &item, at);
    }
    s->kept_part = (uint16_t)(r->part + 1);
    if (r->is_last) {
        s->kept_part = 0;
        s->is_partial = false;
        gw_session_unage(b, s);
        gw_session_age(b, s, s->kept_at);
        gw_due_update(b, s);
    }
    if (result != GW_FOLDED && is_new) {
        gw_session_free(b, s);
    }
    return result;
}

/* ---- records ---- */

static enum gw_fold fold_session(struct gw_broker *b,
                                 const struct session_record *r,
                                 bool is_live,
                                 uint64_t at)
{
    switch (r->kind) {
    case SESSION_OPENED: return fold_opened(b, r, at);
    case SESSION_CLOSED: return fold_closed(b, r);
    case SESSION_ENDED: return fold_ended(b, r);
    case SESSION_SUBSCRIBED: return fold_subscribed(b, r, at);
    case SESSION_UNSUBSCRIBED: return fold_unsubscribed(b, r);
    case SESSION_RELEASED: {
        struct session *s = touch(b, r->session);
        bool is_in_use = s == NULL || gw_inbound_remove(b, s, r->packet_id);
        return is_in_use ? GW_FOLDED : GW_FOLD_DAMAGED;
    }
    case SESSION_ACKED: return fold_acked(b, r);
    case SESSION_RECEIVED: return fold_received(b, r, at);
    case SESSION_MOVED: return fold_moved(b, r, is_live, at);
    case SESSION_KEPT: return fold_session_kept(b, r, at);
    }
    return GW_FOLD_DAMAGED;
}

static enum gw_fold fold(struct gw_broker *b, const struct bus_record *r, bool is_live, uint64_t at)
{
    struct session_record session;
    b->route.is_good = false;
    switch (r->kind) {
    case BUS_PUBLISHED:
    case BUS_LOCAL: return fold_message(b, r, at);
    case BUS_KEPT: return fold_kept(b, r, at);
    case BUS_WILL: return fold_will(b, r, at);
    case BUS_STARTED: fold_started(b); return GW_FOLDED;
    case BUS_SESSION:
        if (session_record_decode(r->payload, &session) != SESSION_RECORD_OK) {
            return GW_FOLD_DAMAGED;
        }
        return fold_session(b, &session, is_live, at);
    case BUS_LINKED:
    case BUS_UNLINKED: return GW_FOLDED;
    }
    return GW_FOLD_DAMAGED;
}

/* Records come in their order, and their clock never goes back. */
static bool advance(struct gw_broker *b, uint64_t clock_ms, uint64_t at)
{
    bool is_after = !b->has_begun || at > b->at;
    if ((at & GW_VOLATILE) != 0 || clock_ms > CLOCK_MAX_MS || !is_after
        || (clock_ms != 0 && clock_ms < b->clock_ms)) {
        return false;
    }
    b->at = at;
    b->has_begun = true;
    b->clock_ms = clock_ms > b->clock_ms ? clock_ms : b->clock_ms;
    return true;
}

enum gw_fold gw_broker_apply(struct gw_broker *b, const struct bus_record *r, uint64_t at)
{
    if (at == 0 && r->kind != BUS_STARTED) { /* a journal begins with its first process */
        return GW_FOLD_DAMAGED;
    }
    b->is_replaying = true;
    return advance(b, r->clock_ms, at) ? fold(b, r, false, at) : GW_FOLD_DAMAGED;
}

/* What lies below the floor is needed by nobody: whatever still points there is finished. */
static void finish_below(struct gw_broker *b, struct session *s, uint64_t floor)
{
    uint32_t next;
    for (uint32_t i = s->queue.head; i != NONE; i = next) {
        const struct delivery *d = &b->deliveries[i];
        next = d->next;
        if (d->message != NONE && b->messages[d->message].at < floor) {
            gw_delivery_free(b, s, i);
        }
    }
    if (s->will != NONE && b->messages[s->will].at < floor) {
        drop_will(b, s);
        gw_due_update(b, s);
    }
}

enum gw_fold gw_broker_replayed(struct gw_broker *b, uint64_t floor)
{
    for (uint32_t i = 0; i < b->limits.sessions_max; i++) {
        struct session *s = &b->sessions[i];
        if (s->number != 0 && s->is_partial) {
            (void)touch(b, s->number); /* cut in the middle: never told to anybody */
        } else if (s->number != 0) {
            s->kept_part = 0;
            finish_below(b, s, floor);
        }
    }
    gw_messages_sort(b);
    b->is_replaying = false;
    return GW_FOLDED;
}

/* ---- live ---- */

/* The copies of the routed message that no record names. */
static void give_to_volatile(struct gw_broker *b, const struct bus_record *r, uint64_t at)
{
    uint32_t i = gw_message_find(b, at);
    for (uint32_t t = 0; t < b->route.count; t++) {
        const struct target *target = &b->targets[t];
        struct session *s = &b->sessions[target->session];
        if (target->qos > 0 && s->is_durable) {
            continue;
        }
        i = i != NONE ? i : gw_message_new(b, at, size_of(r), r->delivery.expires_ms);
        INVARIANT(i != NONE);
        b->messages[i].qos = r->delivery.qos;
        struct delivery *d = gw_delivery_new(b, s, target->qos, i, at);
        uint32_t ids[BUS_TARGET_IDS_MAX];
        uint8_t count = 0;
        for (uint32_t id = target->ids; id != NONE; id = b->route_ids[id].next) {
            ids[count++] = b->route_ids[id].id;
        }
        d->is_retained = target->is_retained;
        d->share = target->qos > 0 ? target->share : 0;
        s->shared_count += d->share != 0;
        gw_delivery_ids(b, d, ids, count);
    }
}

void gw_broker_commit(struct gw_broker *b, const struct bus_record *r, uint64_t at)
{
    bool is_message = r->kind == BUS_PUBLISHED || r->kind == BUS_LOCAL;
    bool was_routed = is_message && b->route.is_good;
    struct route route = b->route;
    bool is_staged = (at & GW_VOLATILE) == 0 && (at != 0 || r->kind == BUS_STARTED);
    INVARIANT(!is_staged || advance(b, r->clock_ms, at));
    INVARIANT(is_staged || !is_message || (at & GW_VOLATILE) != 0);
    INVARIANT(fold(b, r, true, at) == GW_FOLDED);
    if (was_routed) {
        if (route.sender != NONE) {
            struct session *s = &b->sessions[route.sender];
            INVARIANT(gw_inbound_add(b, s, route.packet_id, false));
        }
        give_to_volatile(b, r, at);
    }
}

void gw_broker_commit_session(struct gw_broker *b,
                              const struct session_record *record,
                              uint64_t clock_ms,
                              uint64_t at)
{
    const struct session *s = gw_slot(b, record->session);
    INVARIANT(at == 0 || advance(b, clock_ms, at));
    INVARIANT(at != 0 || s == NULL || !s->is_durable || record->kind == SESSION_ACKED);
    b->route.is_good = false;
    INVARIANT(fold_session(b, record, true, at) == GW_FOLDED);
}
