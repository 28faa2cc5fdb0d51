/* From the broker to the connections: what each subscriber may be sent now. */
#include "base/invariant.h"
#include "codec/mqtt_forward.h"
#include "role/gateway_sessions.h"

#include <stdio.h>

enum {
    DELIVER_BYTES_MAX = 4 << 20, /* of one turn, to all */
    DELIVER_COUNT_MAX = 256,     /* to one session, before the next one's turn */
    ANSWERS_ROOM = 65536         /* of a connection's output: kept free for answers */
};

bool gateway_fetch(struct gateway *g, uint64_t position, struct bus_record *record)
{
    struct slice bytes;
    const struct gateway_recent *recent = (position & GW_VOLATILE) != 0 ? &g->fleeting : &g->recent;
    if (!gateway_recent_find(recent, position, &bytes)
        && ((position & GW_VOLATILE) != 0
            || !gateway_fetch_at(g->reader, &g->read_to, position, &bytes))) {
        return false;
    }
    return bus_record_decode(bytes, record) == BUS_RECORD_OK;
}

enum outcome {
    SENT,
    SKIPPED, /* it will never be sent */
    CLOGGED  /* not now */
};

/* Room for it, and for the answers that must not wait behind it. Where there is none, PORT_DRAINED
 * says when to go on: a send that cannot be taken asks for that. */
static bool has_room(struct gateway *g, struct gateway_conn *c, size_t size)
{
    size_t room = port_send_room(c->port);
    if (room >= size + ANSWERS_ROOM) {
        return true;
    }
    if (room < g->out_cap && !port_send(c->port, slice_of(g->out, room + 1))) {
        c->is_clogged = true;
    }
    return false;
}

static void forward_of(const struct gw_delivery *d,
                       const struct bus_record *message,
                       struct mqtt_forward *out)
{
    *out = (struct mqtt_forward){
        .dup = d->is_dup,
        .retain = d->is_retained,
        .has_expiry = d->has_expiry,
        .qos = d->qos,
        .ids_count = d->ids_count,
        .packet_id = d->packet_id,
        .expiry_s = d->expiry_s,
        .ids = d->ids,
        .topic = message->topic,
        .properties = message->delivery.properties,
        .payload = message->payload,
    };
}

static enum outcome send_message(struct gateway *g,
                                 struct gateway_conn *c,
                                 const struct gw_delivery *d,
                                 size_t *size)
{
    struct bus_record message;
    struct mqtt_forward forward;
    const enum mqtt_version version = c->session.version;
    if (!gateway_fetch(g, d->position, &message)) {
        if ((d->position & GW_VOLATILE) == 0) {
            gateway_fail(g, GATEWAY_STORAGE_FAILED, "a message that waits cannot be read",
                         bus_reader_why(g->reader));
        }
        return SKIPPED;
    }
    forward_of(d, &message, &forward);
    *size = mqtt_forward_size(&forward, version);
    if (*size > c->session.peer_packet_max) {
        return SKIPPED; /* 3.1.2-25 */
    }
    if (!has_room(g, c, *size + 3)) {
        return CLOGGED;
    }
    bool is_known = false;
    uint16_t alias = gw_alias_out(&c->session, message.topic, &is_known);
    if (alias != 0 && (is_known || *size + 3 <= c->session.peer_packet_max)) {
        forward.topic_alias = alias;
        forward.topic = is_known ? (struct slice){0} : message.topic;
    }
    struct writer w = writer_over(g->out, g->out_cap);
    mqtt_forward_write(&w, &forward, version);
    if (!HOLDS(writer_ok(&w)) || !port_send(c->port, writer_slice(&w))) {
        return SKIPPED;
    }
    if (forward.topic_alias != 0 && !is_known) {
        gw_alias_told(&c->session, message.topic, alias);
    }
    g->counts.deliveries[d->qos]++;
    return SENT;
}

static enum outcome send_release(struct gateway *g,
                                 struct gateway_conn *c,
                                 const struct gw_delivery *d)
{
    uint8_t bytes[MQTT_ACK_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    mqtt_ack_write(&w, c->session.version, MQTT_PUBREL, d->packet_id, MQTT_SUCCESS);
    if (!has_room(g, c, w.len)) {
        return CLOGGED;
    }
    return port_send(c->port, writer_slice(&w)) ? SENT : SKIPPED;
}

/* True: go on with the same session. */
static bool deliver_one(struct gateway *g,
                        struct gateway_conn *c,
                        const struct gw_delivery *d,
                        size_t *sent_bytes)
{
    struct session_record record;
    bus_position at = 0;
    enum outcome outcome = SKIPPED;
    size_t size = 0;
    switch (d->kind) {
    case GW_SEND_PUBLISH: outcome = send_message(g, c, d, &size); break;
    case GW_SEND_PUBREL: outcome = send_release(g, c, d); break;
    case GW_DROP_EXPIRED:
        g->queue_moved = true;
        return gateway_commit_session(g, &d->drop, &at) == BUS_OK;
    }
    *sent_bytes += size;
    if (outcome == SENT) {
        gw_broker_sent(g->broker, c->session_number, d);
        return true;
    }
    /* QoS 0 waits for nobody (4.3.1). */
    if (g->exit_code != 0 || d->kind != GW_SEND_PUBLISH || (outcome == CLOGGED && d->qos > 0)) {
        return false;
    }
    g->counts.deliveries_dropped++;
    if (gw_broker_skip(g->broker, c->session_number, d, &record)) {
        g->queue_moved = true;
        return gateway_commit_session(g, &record, &at) == BUS_OK;
    }
    return true;
}

static void deliver_to(struct gateway *g, uint32_t session, bus_position durable, size_t *bytes)
{
    uint32_t connection = gw_broker_connection(g->broker, session);
    struct gateway_conn *c = connection != GW_NOWHERE ? &g->conns[connection] : NULL;
    if (c == NULL || c->port == NULL || c->is_closing || c->session_number != session) {
        return;
    }
    if (c->session.state != GW_LIVE || c->is_leaving) {
        return; /* with its CONNACK it becomes ready again */
    }
    struct gw_delivery d;
    for (int i = 0; i < DELIVER_COUNT_MAX; i++) {
        if (c->is_closing || c->is_clogged
            || !gw_broker_next(g->broker, session, durable, gateway_clock(g), &d)) {
            return;
        }
        if (!deliver_one(g, c, &d, bytes)) {
            if (!c->is_clogged && g->exit_code == 0) {
                g->is_delayed = true; /* the journal is full: with the next tick */
                gw_broker_ready_push(g->broker, session);
            }
            return;
        }
    }
    gw_broker_ready_push(g->broker, session);
}

void gateway_deliver(struct gateway *g)
{
    bus_position durable = bus_durable(g->bus);
    size_t bytes = 0;
    uint32_t session = 0;
    while (g->exit_code == 0 && !g->is_delayed && bytes < DELIVER_BYTES_MAX
           && gw_broker_ready_pop(g->broker, durable, &session)) {
        deliver_to(g, session, durable, &bytes);
    }
    if (bytes >= DELIVER_BYTES_MAX) {
        port_wake_at(g->flush_wake, port_now_ms(g->port)); /* the rest, after what came meanwhile */
    }
}

void gateway_conn_drained(struct gateway *g, struct gateway_conn *c)
{
    if (c->is_clogged) {
        c->is_clogged = false;
        if (c->session_number != 0) {
            gw_broker_ready_push(g->broker, c->session_number);
        }
    }
}
