/* Messages out: what a client may be sent next, and what its acknowledgements mean (4.3, 4.4, 4.9).
 */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"

static struct session *get(const struct gw_broker *b, uint32_t number)
{
    struct session *s = gw_slot(b, number);
    INVARIANT(s != NULL);
    return s;
}

static uint16_t packet_id_of(uint64_t n)
{
    return n == 0 ? 0 : (uint16_t)(1 + n % 65535);
}

/* ---- next ---- */

static void describe(const struct gw_broker *b,
                     const struct session *s,
                     const struct delivery *d,
                     uint64_t clock_ms,
                     struct gw_delivery *out)
{
    const struct message *m = &b->messages[d->message];
    *out = (struct gw_delivery){.kind = GW_SEND_PUBLISH,
                                .n = d->n,
                                .packet_id = packet_id_of(d->n),
                                .position = m->at,
                                .qos = d->qos,
                                .is_dup = d->n != 0 && d->n <= s->begun,
                                .is_retained = d->is_retained,
                                .has_expiry = m->expires_ms != 0,
                                .ids_count = d->ids_count};
    gw_delivery_ids_read(b, d, out->ids);
    if (m->expires_ms > clock_ms) {
        uint64_t left_s = (m->expires_ms - clock_ms + 999) / 1000;
        out->expiry_s = left_s < UINT32_MAX ? (uint32_t)left_s : UINT32_MAX;
    }
}

static bool next_release(const struct gw_broker *b,
                         const struct session *s,
                         uint64_t durable,
                         struct gw_delivery *out)
{
    if (s->releases.head == NONE) {
        return false;
    }
    const struct delivery *d = &b->deliveries[s->releases.head];
    if (!gw_is_durable(d->at, durable)) {
        return false;
    }
    *out = (struct gw_delivery){
        .kind = GW_SEND_PUBREL, .n = d->n, .packet_id = packet_id_of(d->n), .qos = 2};
    return true;
}

static bool next_of_qos_0(struct gw_broker *b,
                          struct session *s,
                          uint64_t durable,
                          uint64_t clock_ms,
                          struct gw_delivery *out)
{
    while (s->queue_0.head != NONE) {
        const struct delivery *d = &b->deliveries[s->queue_0.head];
        if (!gw_is_expired(b, d, clock_ms)) {
            if (!gw_is_durable(b->messages[d->message].at, durable)
                || !gw_is_durable(d->at, durable)) {
                return false;
            }
            describe(b, s, d, clock_ms, out);
            return true;
        }
        b->counts.expired++;
        gw_delivery_free(b, s, s->queue_0.head);
    }
    return false;
}

static bool next_of_queue(const struct gw_broker *b,
                          struct session *s,
                          uint64_t durable,
                          uint64_t clock_ms,
                          struct gw_delivery *out)
{
    while (s->cursor != NONE && b->deliveries[s->cursor].is_received) {
        s->cursor = b->deliveries[s->cursor].next;
    }
    if (s->cursor == NONE) {
        return false;
    }
    const struct delivery *d = &b->deliveries[s->cursor];
    uint64_t oldest = b->deliveries[s->queue.head].n;
    if (gw_is_expired(b, d, clock_ms) && d->n > s->begun) {
        *out = (struct gw_delivery){.kind = GW_DROP_EXPIRED, .n = d->n};
        out->drop = (struct session_record){
            .kind = SESSION_ACKED, .session = s->number, .first = d->n, .last = d->n};
        return true;
    }
    if (s->window >= s->window_max || d->n - oldest > ACK_WINDOW_MAX
        || !gw_is_durable(d->at, durable) || !gw_is_durable(b->messages[d->message].at, durable)) {
        return false;
    }
    describe(b, s, d, clock_ms, out);
    return true;
}

bool gw_broker_next(struct gw_broker *b,
                    uint32_t session,
                    uint64_t durable,
                    uint64_t clock_ms,
                    struct gw_delivery *out)
{
    struct session *s = get(b, session);
    INVARIANT(s->connection != GW_NOWHERE);
    return next_release(b, s, durable, out) || next_of_qos_0(b, s, durable, clock_ms, out)
           || next_of_queue(b, s, durable, clock_ms, out);
}

void gw_broker_sent(struct gw_broker *b, uint32_t session, const struct gw_delivery *sent)
{
    struct session *s = get(b, session);
    if (sent->kind == GW_SEND_PUBREL) {
        struct delivery *d = &b->deliveries[s->releases.head];
        INVARIANT(d->n == sent->n);
        d->is_released = true;
        s->releases.head = d->next_release;
        s->releases.tail = s->releases.head == NONE ? NONE : s->releases.tail;
        s->releases.count--;
        return;
    }
    INVARIANT(sent->kind == GW_SEND_PUBLISH);
    if (sent->n == 0) {
        gw_delivery_free(b, s, s->queue_0.head);
        return;
    }
    struct delivery *d = &b->deliveries[s->cursor];
    INVARIANT(d->n == sent->n);
    INVARIANT(s->window < s->window_max);
    d->is_counted = true;
    s->window++;
    s->begun = d->n > s->begun ? d->n : s->begun;
    s->cursor = d->next;
}

bool gw_broker_skip(struct gw_broker *b,
                    uint32_t session,
                    const struct gw_delivery *skipped,
                    struct session_record *out)
{
    struct session *s = get(b, session);
    INVARIANT(skipped->kind == GW_SEND_PUBLISH);
    if (skipped->n == 0) {
        b->counts.dropped_qos0++;
        gw_delivery_free(b, s, s->queue_0.head);
        return false;
    }
    *out = (struct session_record){
        .kind = SESSION_ACKED, .session = session, .first = skipped->n, .last = skipped->n};
    return true;
}

/* ---- acknowledgements ---- */

/* Of what was ever sent; what of it this connection saw, its marks tell. */
static struct delivery *in_flight(const struct gw_broker *b,
                                  const struct session *s,
                                  uint16_t packet_id)
{
    for (uint32_t i = s->queue.head; i != NONE && b->deliveries[i].n <= s->begun;
         i = b->deliveries[i].next) {
        if (packet_id_of(b->deliveries[i].n) == packet_id) {
            return &b->deliveries[i];
        }
    }
    return NULL;
}

enum gw_ack gw_broker_ack(struct gw_broker *b,
                          uint32_t session,
                          enum mqtt_type type,
                          uint16_t packet_id,
                          uint8_t reason,
                          struct session_record *out)
{
    const struct session *s = get(b, session);
    const struct delivery *d = in_flight(b, s, packet_id);
    if (d == NULL) {
        return GW_ACK_UNKNOWN;
    }
    *out = (struct session_record){
        .kind = SESSION_ACKED, .session = session, .first = d->n, .last = d->n};
    bool is_sent = d->is_counted && !d->is_received;
    if (type == MQTT_PUBACK) {
        return d->qos == 1 && is_sent ? GW_ACK_TAKEN : GW_ACK_UNKNOWN;
    }
    if (type == MQTT_PUBCOMP) {
        return d->is_received && d->is_released ? GW_ACK_TAKEN : GW_ACK_UNKNOWN;
    }
    INVARIANT(type == MQTT_PUBREC);
    if (d->is_received) {
        return d->is_released ? GW_ACK_AGAIN : GW_ACK_UNKNOWN;
    }
    if (d->qos != 2 || !is_sent) {
        return GW_ACK_UNKNOWN;
    }
    if (reason < MQTT_UNSPECIFIED_ERROR) {
        out->kind = SESSION_RECEIVED;
        out->last = 0;
    }
    return GW_ACK_TAKEN;
}
