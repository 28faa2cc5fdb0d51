/* Who gets a message (4.7, 4.8), and whether it can be taken now. */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"

static uint8_t lower(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* ---- groups of shared subscriptions ---- */

/* How well this member could take one more: 0 is best, PICK_NO not at all. */
enum { PICK_FREE, PICK_ATTACHED, PICK_AWAY, PICK_FULL, PICK_NO };

static int rank_of(const struct gw_broker *b,
                   const struct subscription *sub,
                   uint8_t qos,
                   uint32_t size)
{
    const struct session *s = &b->sessions[sub->session];
    bool is_attached = s->connection != GW_NOWHERE;
    if (lower(qos, sub->options.qos) == 0) {
        bool has_room = s->queue_0.count < b->limits.queue_messages_max;
        return is_attached && has_room ? PICK_FREE : PICK_NO;
    }
    if (gw_is_full(b, s, size)) {
        return PICK_FULL;
    }
    if (!is_attached) {
        return PICK_AWAY;
    }
    return s->window < s->window_max && s->cursor == NONE ? PICK_FREE : PICK_ATTACHED;
}

uint32_t gw_group_pick(struct gw_broker *b,
                       uint32_t group,
                       uint8_t qos,
                       uint32_t size,
                       const struct session *not_this,
                       uint32_t *full)
{
    struct group *g = &b->groups[group];
    uint32_t first = g->turn != NONE ? g->turn : g->members;
    uint32_t i = first;
    uint32_t best = NONE;
    int best_rank = PICK_FULL;
    *full = NONE;
    for (uint32_t looked = 0; looked < PICKS_MAX; looked++) {
        const struct subscription *sub = &b->subscriptions[i];
        int rank = &b->sessions[sub->session] != not_this ? rank_of(b, sub, qos, size) : PICK_NO;
        if (rank < best_rank) {
            best_rank = rank;
            best = i;
        }
        *full = rank == PICK_FULL && *full == NONE ? i : *full;
        i = sub->next != NONE ? sub->next : g->members;
        if (i == first || best_rank == PICK_FREE) {
            break;
        }
    }
    /* The next message begins at the member after this one, or after those that were looked at. */
    uint32_t after = best != NONE ? b->subscriptions[best].next : i;
    g->turn = after;
    return best;
}

/* ---- targets ---- */

static bool add_id(struct gw_broker *b, struct target *t, uint32_t id)
{
    if (id == 0) {
        return true;
    }
    if (b->route.ids_count == b->limits.targets_max * 2) {
        return false;
    }
    uint32_t at = b->route.ids_count++;
    b->route_ids[at] = (struct route_id){.id = id, .next = t->ids};
    t->ids = at;
    t->ids_count++;
    return true;
}

static struct target *add_target(struct gw_broker *b, uint32_t slot)
{
    if (b->route.count == b->limits.targets_max) {
        return NULL;
    }
    struct target *t = &b->targets[b->route.count++];
    *t = (struct target){.session = slot, .ids = NONE};
    return t;
}

/* Overlapping subscriptions of one session: one copy, the highest QoS, all identifiers (3.3.4-4).
 * More identifiers than a copy can have make another. */
static bool add_plain(struct gw_broker *b,
                      const struct gw_message *m,
                      const struct subscription *sub)
{
    struct session *s = &b->sessions[sub->session];
    struct target *t = NULL;
    if (sub->options.no_local && s->number == m->sender) {
        return true; /* 3.8.3.1-3 */
    }
    if (s->route_epoch == b->route.epoch) {
        t = &b->targets[s->route_target];
        t = t->ids_count < BUS_TARGET_IDS_MAX ? t : NULL;
    }
    if (t == NULL) {
        t = add_target(b, sub->session);
        if (t == NULL) {
            return false;
        }
        s->route_epoch = b->route.epoch;
        s->route_target = b->route.count - 1;
    }
    uint8_t qos = lower(m->qos, sub->options.qos);
    t->qos = qos > t->qos ? qos : t->qos;
    t->is_retained = t->is_retained || (m->is_retained && sub->options.retain_as_published);
    return add_id(b, t, sub->id);
}

static enum gw_route block(struct gw_broker *b,
                           struct session *s,
                           uint32_t size,
                           uint64_t clock_ms,
                           struct gw_routing *out)
{
    if (!s->is_blocked) {
        s->is_blocked = true;
        s->blocked_ms = clock_ms;
        gw_due_update(b, s);
    }
    s->blocked_size = size;
    out->blocked_by = s->number;
    return GW_WAIT;
}

static enum gw_route add_shared(struct gw_broker *b,
                                const struct gw_message *m,
                                uint32_t group,
                                uint64_t clock_ms,
                                struct gw_routing *out)
{
    uint32_t full;
    uint32_t picked = gw_group_pick(b, group, m->qos, m->size, NULL, &full);
    if (picked == NONE) {
        return full == NONE
                   ? GW_ROUTED
                   : block(b, &b->sessions[b->subscriptions[full].session], m->size, clock_ms, out);
    }
    const struct subscription *sub = &b->subscriptions[picked];
    struct target *t = add_target(b, sub->session);
    if (t == NULL) {
        return GW_TOO_MANY;
    }
    t->share = sub->share;
    t->qos = lower(m->qos, sub->options.qos);
    t->is_retained = m->is_retained && sub->options.retain_as_published;
    return add_id(b, t, sub->id) ? GW_ROUTED : GW_TOO_MANY;
}

static enum gw_route collect(struct gw_broker *b,
                             const struct gw_message *m,
                             const struct gw_levels *levels,
                             uint64_t clock_ms,
                             struct gw_routing *out)
{
    struct gw_match match;
    uint32_t node;
    gw_match_begin(&match, &b->topics, levels);
    while (gw_match_next(&match, &node)) {
        for (uint32_t i = b->topics.nodes[node].subscriptions; i != NONE;
             i = b->subscriptions[i].next) {
            if (!add_plain(b, m, &b->subscriptions[i])) {
                return GW_TOO_MANY;
            }
        }
        for (uint32_t i = b->topics.nodes[node].groups; i != NONE; i = b->groups[i].next) {
            enum gw_route result = add_shared(b, m, i, clock_ms, out);
            if (result != GW_ROUTED) {
                return result;
            }
        }
    }
    return GW_ROUTED;
}

/* ---- room ---- */

/* Who has most waiting, those without a connection first: where all the room is taken, that queue
 * is in the way. Looks at all sessions. */
static struct session *most_waiting(const struct gw_broker *b)
{
    struct session *most = NULL;
    for (uint32_t i = 0; i < b->limits.sessions_max; i++) {
        struct session *s = &b->sessions[i];
        if (s->number == 0 || s->queue.count == 0) {
            continue;
        }
        bool is_away = s->connection == GW_NOWHERE;
        bool most_is_away = most != NULL && most->connection == GW_NOWHERE;
        if (most == NULL || (is_away && !most_is_away)
            || (is_away == most_is_away && s->queue.count > most->queue.count)) {
            most = s;
        }
    }
    return most;
}

static uint32_t texts_wanted(const struct gw_broker *b)
{
    uint32_t texts = 0;
    for (uint32_t i = 0; i < b->route.count; i++) {
        if (b->targets[i].ids_count > 1) {
            texts += gw_texts_need(b->targets[i].ids_count * sizeof(uint32_t));
        }
    }
    return texts;
}

/* QoS 0 goes to who is there and has room; for the others all must have room. */
static enum gw_route fit(struct gw_broker *b,
                         const struct gw_message *m,
                         uint64_t clock_ms,
                         struct gw_routing *out)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->route.count; i++) {
        const struct target t = b->targets[i];
        struct session *s = &b->sessions[t.session];
        if (t.qos == 0) {
            if (s->connection == GW_NOWHERE) {
                continue;
            }
            if (s->queue_0.count >= b->limits.queue_messages_max) {
                b->counts.dropped_qos0++;
                continue;
            }
        } else if (gw_is_full(b, s, m->size)) {
            return block(b, s, m->size, clock_ms, out);
        }
        b->targets[kept++] = t;
    }
    b->route.count = kept;
    if (b->messages_free == NONE) {
        gw_sweep_expired(b, clock_ms);
    }
    uint32_t free_deliveries = b->limits.deliveries_max - b->counts.deliveries;
    bool has_room = kept <= free_deliveries && texts_wanted(b) <= b->texts.free_count
                    && (kept == 0 || b->messages_free != NONE);
    if (has_room) {
        return GW_ROUTED;
    }
    struct session *s = most_waiting(b);
    return s != NULL ? block(b, s, m->size, clock_ms, out) : GW_TOO_MANY;
}

static bool retained_fits(const struct gw_broker *b,
                          const struct gw_message *m,
                          const struct gw_levels *levels)
{
    uint32_t texts = 0;
    uint32_t node = gw_topics_find(&b->topics, levels);
    bool is_new = node == GW_NODE_NONE || b->topics.nodes[node].retained == GW_NODE_NONE;
    uint64_t old = is_new ? 0 : b->messages[b->topics.nodes[node].retained].size;
    if (b->counts.retained_bytes - old + m->size > b->limits.retained_bytes_max
        || (is_new && b->counts.retained >= b->limits.retained_max) || (b->messages_free == NONE)) {
        return false;
    }
    for (uint32_t i = 0; i < levels->count; i++) {
        texts += gw_texts_need(levels->level[i].len);
    }
    return node != GW_NODE_NONE
           || (texts <= b->texts.free_count && levels->count <= b->topics.cap - b->topics.count);
}

/* ---- the record's targets ---- */

static void write_target(const struct gw_broker *b, const struct target *t, struct writer *w)
{
    struct bus_target target = {.session = b->sessions[t->session].number,
                                .qos = t->qos,
                                .is_retained = t->is_retained,
                                .share = t->share};
    for (uint32_t i = t->ids; i != NONE; i = b->route_ids[i].next) {
        target.ids[target.ids_count++] = b->route_ids[i].id;
    }
    bus_target_write(w, &target);
}

static enum gw_route finish(struct gw_broker *b,
                            const struct gw_message *m,
                            struct writer *targets,
                            struct gw_routing *out)
{
    bool has_qos = false;
    for (uint32_t i = 0; i < b->route.count; i++) {
        const struct target *t = &b->targets[i];
        has_qos = has_qos || t->qos > 0;
        if (t->qos > 0 && b->sessions[t->session].is_durable) {
            write_target(b, t, targets);
            out->durable_count++;
        } else {
            out->volatile_count++;
        }
    }
    if (!writer_ok(targets)) {
        return GW_TOO_MANY;
    }
    const struct session *sender = gw_slot(b, m->sender);
    bool is_tracked = m->qos == 2 && m->packet_id != 0 && sender != NULL;
    if (is_tracked && sender->is_durable) {
        out->sender = m->sender;
        out->packet_id = m->packet_id;
    } else if (is_tracked) {
        b->route.sender = gw_slot_of(b, sender);
        b->route.packet_id = m->packet_id;
    }
    out->needs_record = has_qos || m->is_retained || (b->route.count > 0 && out->sender != 0);
    return b->route.count == 0 && !m->is_retained ? GW_NOBODY : GW_ROUTED;
}

enum gw_route gw_broker_route(struct gw_broker *b,
                              const struct gw_message *m,
                              uint64_t clock_ms,
                              struct writer *targets,
                              struct gw_routing *out)
{
    struct gw_levels levels;
    uint64_t epoch = b->route.epoch + 1;
    b->route = (struct route){.epoch = epoch, .sender = NONE, .size = m->size};
    *out = (struct gw_routing){0};
    if (!gw_topics_split(&b->topics, m->topic, &levels)) {
        return GW_TOO_MANY;
    }
    enum gw_route result = collect(b, m, &levels, clock_ms, out);
    if (result == GW_ROUTED) {
        result = fit(b, m, clock_ms, out);
    }
    if (result == GW_ROUTED && m->is_retained && !m->is_empty && !retained_fits(b, m, &levels)) {
        gw_sweep_expired(b, clock_ms);
        result = retained_fits(b, m, &levels) ? GW_ROUTED : GW_TOO_MANY;
    }
    if (result != GW_ROUTED) {
        return result;
    }
    result = finish(b, m, targets, out);
    b->route.is_good = result == GW_ROUTED || result == GW_NOBODY;
    return result;
}

bool gw_broker_is_blocked(const struct gw_broker *b, uint32_t session)
{
    const struct session *s = gw_slot(b, session);
    if (s == NULL) {
        return false;
    }
    uint32_t free_deliveries = b->limits.deliveries_max - b->counts.deliveries;
    return gw_is_full(b, s, s->blocked_size) || free_deliveries == 0 || b->messages_free == NONE;
}
