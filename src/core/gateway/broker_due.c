/*
 * What time brings: wills, the end of sessions that nobody came back to, and of those whose full
 * queue stands in everybody's way. A heap of sessions by the time of the next such thing.
 */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"

static struct session *get(const struct gw_broker *b, uint32_t number)
{
    struct session *s = gw_slot(b, number);
    INVARIANT(s != NULL);
    return s;
}

/* ---- when ---- */

uint64_t gw_end_due_ms(const struct session *s)
{
    if (s->is_open || !s->is_durable || s->is_partial || s->expiry_s == SESSION_NEVER_EXPIRES) {
        return UINT64_MAX;
    }
    return s->closed_ms + (uint64_t)s->expiry_s * 1000;
}

/* At the end of its delay or of its session, whichever is first (3.1.3.2.2). */
uint64_t gw_will_due_ms(const struct session *s)
{
    if (s->is_open || s->is_partial || s->will == NONE) {
        return UINT64_MAX;
    }
    uint64_t delayed_ms = s->closed_ms + (uint64_t)s->will_delay_s * 1000;
    uint64_t end_ms = gw_end_due_ms(s);
    return delayed_ms < end_ms ? delayed_ms : end_ms;
}

static uint64_t stall_due_ms(const struct gw_broker *b, const struct session *s)
{
    if (!s->is_blocked) {
        return UINT64_MAX;
    }
    return s->connection != GW_NOWHERE ? s->blocked_ms + b->limits.stall_ms : s->blocked_ms;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the heap ---- */

static uint64_t due_at(const struct gw_broker *b, uint32_t at)
{
    return b->sessions[b->heap[at]].due_ms;
}

static void put(struct gw_broker *b, uint32_t at, uint32_t slot)
{
    b->heap[at] = slot;
    b->sessions[slot].heap_at = at;
}

static void sift(struct gw_broker *b, uint32_t at)
{
    uint32_t slot = b->heap[at];
    uint64_t due_ms = b->sessions[slot].due_ms;
    while (at > 0 && due_at(b, (at - 1) / 2) > due_ms) {
        put(b, at, b->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (uint32_t child = 2 * at + 1; child < b->heap_count; child = 2 * at + 1) {
        child += child + 1 < b->heap_count && due_at(b, child + 1) < due_at(b, child);
        if (due_at(b, child) >= due_ms) {
            break;
        }
        put(b, at, b->heap[child]);
        at = child;
    }
    put(b, at, slot);
}

void gw_due_remove(struct gw_broker *b, struct session *s)
{
    uint32_t at = s->heap_at;
    if (at == NONE) {
        return;
    }
    s->heap_at = NONE;
    uint32_t last = b->heap[--b->heap_count];
    if (at < b->heap_count) {
        put(b, at, last);
        sift(b, at);
    }
}

void gw_due_update(struct gw_broker *b, struct session *s)
{
    s->due_ms = earliest(gw_will_due_ms(s), earliest(gw_end_due_ms(s), stall_due_ms(b, s)));
    s->due_ms = s->due_ms < s->not_before_ms ? s->not_before_ms : s->due_ms;
    if (s->due_ms == UINT64_MAX) {
        gw_due_remove(b, s);
        return;
    }
    if (s->heap_at == NONE) {
        put(b, b->heap_count++, gw_slot_of(b, s));
    }
    sift(b, s->heap_at);
}

void gw_broker_due_later(struct gw_broker *b, uint32_t session, uint64_t not_before_ms)
{
    struct session *s = get(b, session);
    s->not_before_ms = not_before_ms;
    gw_due_update(b, s);
}

uint64_t gw_broker_due_ms(const struct gw_broker *b)
{
    return b->heap_count > 0 ? due_at(b, 0) : UINT64_MAX;
}

/* ---- the end of a session ---- */

/*
 * QoS 1 messages that a member of a group still had go to other members (4.8.2). Those of QoS 2
 * never do: it may have them. Other members may get more than their queues should hold, so that
 * nothing is lost.
 */
static bool move_some(struct gw_broker *b, const struct session *s, struct session_record *out)
{
    struct writer w = writer_over(b->moves, sizeof b->moves);
    b->moves_count = 0;
    for (uint32_t i = s->queue.head; i != NONE && b->moves_count < GW_MOVES_MAX;
         i = b->deliveries[i].next) {
        const struct delivery *d = &b->deliveries[i];
        if (d->share == 0 || d->qos != 1 || d->message == NONE) {
            continue;
        }
        const struct message *m = &b->messages[d->message];
        struct session_move move = {.n = d->n};
        uint32_t own = gw_subscription_by_share(b, s, d->share);
        uint32_t member = NONE, full = NONE;
        if (own != NONE && b->subscriptions[own].group != NONE) {
            member = gw_group_pick(b, b->subscriptions[own].group, 1, 0, s, &full);
            member = member != NONE ? member : full;
        }
        const struct subscription *sub = member != NONE ? &b->subscriptions[member] : NULL;
        bool is_durable =
            sub != NULL && b->sessions[sub->session].is_durable && sub->options.qos > 0;
        if (is_durable) {
            move.to = b->sessions[sub->session].number;
            move.share = sub->share;
            move.subscription_id = sub->id;
            move.position = m->at;
            move.expires_ms = m->expires_ms;
            move.size = m->size;
        }
        b->moved_to[b->moves_count++] = is_durable ? NONE : member;
        session_move_write(&w, &move);
    }
    *out = (struct session_record){
        .kind = SESSION_MOVED, .session = s->number, .items = writer_slice(&w)};
    INVARIANT(writer_ok(&w));
    return b->moves_count > 0;
}

static bool end_step(struct gw_broker *b,
                     const struct session *s,
                     enum session_end end,
                     struct session_record *out)
{
    if (s->shared_count > 0 && move_some(b, s, out)) {
        return true;
    }
    *out = (struct session_record){.kind = SESSION_ENDED, .session = s->number, .end = end};
    return true;
}

bool gw_broker_end(struct gw_broker *b,
                   uint32_t session,
                   enum session_end end,
                   struct session_record *out)
{
    const struct session *s = gw_slot(b, session);
    return s != NULL && end_step(b, s, end, out);
}

/* ---- what is due ---- */

/* The first of the waiting deliveries whose time is over; it makes room without ending anything. */
static bool drop_expired(const struct gw_broker *b,
                         const struct session *s,
                         uint64_t clock_ms,
                         struct session_record *out)
{
    uint32_t i = s->queue.head;
    while (i != NONE
           && (b->deliveries[i].n <= s->begun || !gw_is_expired(b, &b->deliveries[i], clock_ms))) {
        i = b->deliveries[i].next;
    }
    if (i == NONE) {
        return false;
    }
    uint64_t last = b->deliveries[i].n;
    *out = (struct session_record){
        .kind = SESSION_ACKED, .session = s->number, .first = last, .last = last};
    for (i = b->deliveries[i].next; i != NONE && gw_is_expired(b, &b->deliveries[i], clock_ms)
                                    && b->deliveries[i].n == last + 1;
         i = b->deliveries[i].next) {
        out->last = ++last;
    }
    return true;
}

bool gw_broker_due(struct gw_broker *b, uint64_t clock_ms, struct gw_due *out)
{
    while (b->heap_count > 0 && due_at(b, 0) <= clock_ms) {
        struct session *s = &b->sessions[b->heap[0]];
        *out = (struct gw_due){
            .kind = GW_DUE_RECORD, .session = s->number, .connection = s->connection};
        if (gw_will_due_ms(s) <= clock_ms) {
            out->kind = GW_DUE_WILL;
            out->position = b->messages[s->will].at;
            return true;
        }
        if (gw_end_due_ms(s) <= clock_ms) {
            return end_step(b, s, SESSION_END_EXPIRED, &out->record);
        }
        if (!gw_broker_is_blocked(b, s->number)) {
            s->is_blocked = false;
            gw_due_update(b, s);
            continue;
        }
        if (drop_expired(b, s, clock_ms, &out->record)) {
            return true;
        }
        if (s->connection != GW_NOWHERE) {
            out->kind = GW_DUE_STALLED;
            return true;
        }
        if (s->will != NONE) { /* it ends now, and its will with it */
            out->kind = GW_DUE_WILL;
            out->position = b->messages[s->will].at;
            return true;
        }
        return end_step(b, get(b, s->number), SESSION_END_STALLED, &out->record);
    }
    return false;
}
