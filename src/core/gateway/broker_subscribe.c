/* Subscriptions: at the nodes of the tree, or in the groups there (4.8.2). */
#include "base/invariant.h"
#include "codec/mqtt_topic.h"
#include "core/gateway/broker_inside.h"

static struct session *get(const struct gw_broker *b, uint32_t number)
{
    struct session *s = gw_slot(b, number);
    INVARIANT(s != NULL);
    return s;
}

/* The part of a filter that names topics; *name: of the group, empty where it is not shared. */
static struct slice rest_of(struct slice filter, struct slice *name)
{
    struct slice rest;
    if (mqtt_filter_is_shared(filter, name, &rest)) {
        return rest;
    }
    *name = (struct slice){0};
    return filter;
}

static uint32_t group_find(const struct gw_broker *b, uint32_t node, struct slice name)
{
    uint32_t i = b->topics.nodes[node].groups;
    while (i != NONE
           && !gw_texts_equal(&b->texts, b->groups[i].name, b->groups[i].name_len, name)) {
        i = b->groups[i].next;
    }
    return i;
}

uint32_t gw_subscription_find(struct gw_broker *b, const struct session *s, struct slice filter)
{
    struct gw_levels levels;
    struct slice name;
    if (s->subscriptions == NONE || !gw_topics_split(&b->topics, rest_of(filter, &name), &levels)) {
        return NONE;
    }
    uint32_t node = gw_topics_find(&b->topics, &levels);
    uint32_t group = node != GW_NODE_NONE && name.len > 0 ? group_find(b, node, name) : NONE;
    if (node == GW_NODE_NONE || (name.len > 0 && group == NONE)) {
        return NONE;
    }
    uint32_t i = s->subscriptions;
    while (i != NONE && (b->subscriptions[i].node != node || b->subscriptions[i].group != group)) {
        i = b->subscriptions[i].next_own;
    }
    return i;
}

uint32_t gw_subscription_by_share(const struct gw_broker *b,
                                  const struct session *s,
                                  uint32_t share)
{
    uint32_t i = s->subscriptions;
    while (i != NONE && b->subscriptions[i].share != share) {
        i = b->subscriptions[i].next_own;
    }
    return i;
}

/* A group of this name, made where there is none. */
static uint32_t group_make(struct gw_broker *b, uint32_t node, struct slice name)
{
    uint32_t i = group_find(b, node, name);
    if (i != NONE || b->groups_free == NONE || gw_texts_need(name.len) > b->texts.free_count) {
        return i;
    }
    i = b->groups_free;
    b->groups_free = b->groups[i].next;
    uint32_t *head = &b->topics.nodes[node].groups;
    b->groups[i] = (struct group){.node = node,
                                  .name = gw_texts_put(&b->texts, name),
                                  .name_len = (uint32_t)name.len,
                                  .next = *head,
                                  .previous = NONE,
                                  .members = NONE,
                                  .turn = NONE};
    if (*head != NONE) {
        b->groups[*head].previous = i;
    }
    *head = i;
    b->counts.groups++;
    return i;
}

static void group_free(struct gw_broker *b, uint32_t i)
{
    struct group *g = &b->groups[i];
    if (g->previous != NONE) {
        b->groups[g->previous].next = g->next;
    } else {
        b->topics.nodes[g->node].groups = g->next;
    }
    if (g->next != NONE) {
        b->groups[g->next].previous = g->previous;
    }
    gw_texts_drop(&b->texts, g->name, g->name_len);
    g->next = b->groups_free;
    b->groups_free = i;
    b->counts.groups--;
}

static uint32_t *list_of(struct gw_broker *b, const struct subscription *sub)
{
    return sub->group != NONE ? &b->groups[sub->group].members
                              : &b->topics.nodes[sub->node].subscriptions;
}

static void hang(struct gw_broker *b, struct session *s, uint32_t i)
{
    struct subscription *sub = &b->subscriptions[i];
    uint32_t *head = list_of(b, sub);
    sub->next = *head;
    sub->previous = NONE;
    if (*head != NONE) {
        b->subscriptions[*head].previous = i;
    }
    *head = i;
    sub->next_own = NONE;
    sub->previous_own = s->subscriptions_tail;
    if (s->subscriptions_tail != NONE) {
        b->subscriptions[s->subscriptions_tail].next_own = i;
    } else {
        s->subscriptions = i;
    }
    s->subscriptions_tail = i;
    s->subscription_count++;
    b->counts.subscriptions++;
}

bool gw_subscription_set(struct gw_broker *b,
                         struct session *s,
                         struct slice filter,
                         const struct session_options *options,
                         uint32_t id,
                         uint32_t share)
{
    struct gw_levels levels;
    struct slice name;
    uint32_t old = gw_subscription_find(b, s, filter);
    if (old != NONE) {
        b->subscriptions[old].options = *options;
        b->subscriptions[old].id = id;
        return true;
    }
    if (b->subscriptions_free == NONE || s->subscription_count >= b->limits.filters_max
        || !gw_topics_split(&b->topics, rest_of(filter, &name), &levels)) {
        return false;
    }
    uint32_t node = gw_topics_make(&b->topics, &levels);
    if (node == GW_NODE_NONE) {
        return false;
    }
    uint32_t group = name.len > 0 ? group_make(b, node, name) : NONE;
    if (name.len > 0 && group == NONE) {
        gw_topics_release(&b->topics, node);
        return false;
    }
    uint32_t i = b->subscriptions_free;
    b->subscriptions_free = b->subscriptions[i].next;
    b->subscriptions[i] = (struct subscription){.session = gw_slot_of(b, s),
                                                .node = node,
                                                .group = group,
                                                .share = share,
                                                .id = id,
                                                .options = *options};
    hang(b, s, i);
    return true;
}

bool gw_subscription_fits(struct gw_broker *b, const struct session *s, struct slice filter)
{
    struct gw_levels levels;
    struct slice name;
    if (gw_subscription_find(b, s, filter) != NONE) {
        return true;
    }
    if (b->subscriptions_free == NONE || s->subscription_count >= b->limits.filters_max
        || filter.len > SESSION_FILTER_MAX
        || !gw_topics_split(&b->topics, rest_of(filter, &name), &levels)) {
        return false;
    }
    /* As if nothing of it were there yet. */
    uint32_t texts = gw_texts_need(name.len);
    for (uint32_t i = 0; i < levels.count; i++) {
        texts += gw_texts_need(levels.level[i].len);
    }
    return (name.len == 0 || b->groups_free != NONE) && texts <= b->texts.free_count
           && levels.count <= b->topics.cap - b->topics.count;
}

void gw_subscription_remove(struct gw_broker *b, struct session *s, uint32_t i)
{
    struct subscription *sub = &b->subscriptions[i];
    if (sub->group != NONE && b->groups[sub->group].turn == i) {
        b->groups[sub->group].turn = sub->next;
    }
    if (sub->previous != NONE) {
        b->subscriptions[sub->previous].next = sub->next;
    } else {
        *list_of(b, sub) = sub->next;
    }
    if (sub->next != NONE) {
        b->subscriptions[sub->next].previous = sub->previous;
    }
    if (sub->previous_own != NONE) {
        b->subscriptions[sub->previous_own].next_own = sub->next_own;
    } else {
        s->subscriptions = sub->next_own;
    }
    if (sub->next_own != NONE) {
        b->subscriptions[sub->next_own].previous_own = sub->previous_own;
    } else {
        s->subscriptions_tail = sub->previous_own;
    }
    if (sub->group != NONE && b->groups[sub->group].members == NONE) {
        group_free(b, sub->group);
    }
    gw_topics_release(&b->topics, sub->node);
    s->subscription_count--;
    b->counts.subscriptions--;
    sub->next = b->subscriptions_free;
    b->subscriptions_free = i;
}

void gw_subscription_write(const struct gw_broker *b,
                           const struct subscription *sub,
                           struct writer *w)
{
    if (sub->group != NONE) {
        const struct group *g = &b->groups[sub->group];
        write_text(w, "$share/");
        uint8_t *to = write_reserve(w, g->name_len);
        if (to != NULL) {
            gw_texts_read(&b->texts, g->name, g->name_len, to);
        }
        write_u8(w, '/');
    }
    gw_topics_write(&b->topics, sub->node, w);
}

/* ---- what a client asks ---- */

/* The retained messages of a filter, as deliveries without number; false: more than may come. */
static bool bring(struct gw_broker *b,
                  const struct session *s,
                  const struct mqtt_subscription *want,
                  uint32_t id,
                  uint64_t clock_ms,
                  struct writer *items)
{
    struct gw_levels levels;
    struct gw_walk walk;
    uint32_t node, count = 0, room = b->limits.queue_messages_max - s->queue.count;
    uint64_t bytes = s->queue_bytes;
    if (!gw_topics_split(&b->topics, want->filter, &levels)) {
        return false;
    }
    gw_walk_begin(&walk, &b->topics, &levels);
    while (gw_walk_next(&walk, &node)) {
        const struct message *m = &b->messages[b->topics.nodes[node].retained];
        uint8_t qos = m->qos < want->qos ? m->qos : want->qos;
        if (m->expires_ms != 0 && m->expires_ms <= clock_ms) {
            continue;
        }
        bytes += m->size;
        if (count == b->limits.brought_max || count == room
            || (count > 0 && bytes > b->limits.queue_bytes_max)) {
            return false;
        }
        count++;
        session_item_write(items, &(struct session_item){.kind = SESSION_ITEM_DELIVERY,
                                                         .position = m->at,
                                                         .expires_ms = m->expires_ms,
                                                         .size = m->size,
                                                         .qos = qos,
                                                         .is_retained = true,
                                                         .ids_count = id != 0 ? 1 : 0,
                                                         .ids = {id}});
    }
    return writer_ok(items) && count <= b->limits.deliveries_max - b->counts.deliveries;
}

uint8_t gw_broker_may_subscribe(struct gw_broker *b,
                                uint32_t session,
                                const struct mqtt_subscription *want,
                                uint32_t subscription_id,
                                uint64_t clock_ms,
                                struct writer *items,
                                struct session_record *out)
{
    const struct session *s = get(b, session);
    struct slice name;
    (void)rest_of(want->filter, &name);
    bool is_shared = name.len > 0;
    if (is_shared && want->no_local) {
        return MQTT_PROTOCOL_ERROR; /* 3.8.3.1-4 */
    }
    bool is_new = gw_subscription_find(b, s, want->filter) == NONE;
    if (!gw_subscription_fits(b, s, want->filter)) {
        return MQTT_QUOTA_EXCEEDED;
    }
    bool brings =
        !is_shared && (want->retain_handling == 0 || (want->retain_handling == 1 && is_new));
    size_t before = items->len;
    if (brings && !bring(b, s, want, subscription_id, clock_ms, items)) {
        return MQTT_QUOTA_EXCEEDED;
    }
    *out = (struct session_record){
        .kind = SESSION_SUBSCRIBED,
        .session = session,
        .filter = want->filter,
        .options = {.qos = want->qos,
                    .no_local = want->no_local,
                    .retain_as_published = want->retain_as_published,
                    .retain_handling = want->retain_handling},
        .subscription_id = subscription_id,
        .items = slice_of(items->at + before, items->len - before),
    };
    return want->qos;
}

uint8_t gw_broker_may_unsubscribe(struct gw_broker *b,
                                  uint32_t session,
                                  struct slice filter,
                                  struct session_record *out)
{
    if (gw_subscription_find(b, get(b, session), filter) == NONE) {
        return MQTT_NO_SUBSCRIPTION_EXISTED;
    }
    *out =
        (struct session_record){.kind = SESSION_UNSUBSCRIBED, .session = session, .filter = filter};
    return MQTT_SUCCESS;
}

bool gw_broker_subscription_next(struct gw_broker *b,
                                 uint32_t session,
                                 uint32_t *cursor,
                                 struct session_item *out)
{
    const struct session *s = get(b, session);
    uint32_t i = s->subscriptions;
    for (uint32_t skipped = 0; skipped < *cursor && i != NONE; skipped++) {
        i = b->subscriptions[i].next_own;
    }
    if (i == NONE) {
        return false;
    }
    const struct subscription *sub = &b->subscriptions[i];
    struct writer w = writer_over(b->name, sizeof b->name);
    gw_subscription_write(b, sub, &w);
    (*cursor)++;
    *out = (struct session_item){.kind = SESSION_ITEM_SUBSCRIPTION,
                                 .share = sub->share,
                                 .filter = writer_slice(&w),
                                 .options = sub->options,
                                 .subscription_id = sub->id};
    return true;
}
