/*
 * From a connection's orders to the broker and the journal: each change is one record, staged and
 * then applied; what a client may see of it waits for the position that is given back.
 */
#include "role/gateway_sessions.h"

#include "base/invariant.h"
#include "codec/mqtt_forward.h"

#include <string.h>

enum {
    SESSION_STEPS_MAX = 4096, /* records that end one session */
    DUE_LATER_MS = 1000,      /* a will that finds a full queue */
    RESERVE_SEGMENTS = 4      /* of the spool, not for messages */
};

uint64_t gateway_clock(const struct gateway *g)
{
    return g->clock_base_ms + (g->now_ms - g->started_ms);
}

/* ---- records of sessions ---- */

/* That deliveries are finished may be forgotten: a restart sends them again, as DUP (4.4). */
enum bus_result gateway_commit_session(struct gateway *g,
                                       const struct session_record *session,
                                       bus_position *at)
{
    uint64_t clock_ms = gateway_clock(g);
    *at = 0;
    if (gw_broker_must_stage(g->broker, session)) {
        struct writer w = writer_over(g->session_bytes, g->session_cap);
        INVARIANT(session_record_encode(session, &w) == SESSION_RECORD_OK);
        struct bus_record record = {.kind = BUS_SESSION, .payload = writer_slice(&w)};
        enum bus_result result = gateway_stage(g, &record, at);
        if (result != BUS_OK && (result != BUS_FULL || session->kind != SESSION_ACKED)) {
            return result;
        }
        clock_ms = record.clock_ms;
    }
    gw_broker_commit_session(g->broker, session, clock_ms, *at != 0 ? g->record_at : 0);
    return BUS_OK;
}

/* ---- messages ---- */

static uint64_t expires_ms(const struct gateway *g, const struct mqtt_properties *p)
{
    return mqtt_has(p, MQTT_MESSAGE_EXPIRY_INTERVAL)
               ? gateway_clock(g) + (uint64_t)p->message_expiry_s * 1000
               : 0;
}

static bool is_for_ingest(const struct device_id *device, struct slice topic)
{
    static const struct device_id nobody;
    return !device_id_equal(device, &nobody) && slice_has_prefix(topic, slice_text("hf/1/"));
}

/* A message that was routed: staged where it must be, kept in memory where somebody waits for it,
 * applied. */
static enum bus_result take_message(struct gateway *g,
                                    struct bus_record *record,
                                    const struct gw_routing *routing,
                                    bool needs_record,
                                    bus_position *at)
{
    *at = 0;
    if (needs_record) {
        enum bus_result result = gateway_stage(g, record, at);
        if (result != BUS_OK) {
            return result;
        }
        gw_broker_commit(g->broker, record, g->record_at);
        if (routing->durable_count + routing->volatile_count > 0) {
            gateway_recent_put(&g->recent, g->record_at, slice_of(g->record, g->record_len));
        }
        return BUS_OK;
    }
    struct writer w = writer_over(g->record, g->record_cap);
    record->clock_ms = gateway_clock(g);
    INVARIANT(bus_record_encode(record, &w) == BUS_RECORD_OK);
    uint64_t key = GW_VOLATILE | ++g->fleeting_number;
    gw_broker_commit(g->broker, record, key);
    gateway_recent_put(&g->fleeting, key, writer_slice(&w));
    return BUS_OK;
}

static struct gw_event staged(bus_position at, enum mqtt_reason reason)
{
    return (struct gw_event){.kind = GW_STAGED,
                             .staged = {.position = at, .reason = (uint8_t)reason}};
}

/* Nobody here hears it: a device's message is still for ingest, any other has reached all it can.
 */
static struct gw_event take_unheard(struct gateway *g,
                                    struct gateway_conn *c,
                                    struct bus_record *record)
{
    const uint16_t packet_id = record->delivery.packet_id;
    bool is_exactly_once = record->delivery.qos == 2;
    bool is_durable = is_exactly_once && gw_broker_is_durable(g->broker, c->session_number);
    bus_position at = 0;
    record->delivery.sender = is_durable ? c->session_number : 0;
    record->delivery.packet_id = is_durable ? packet_id : 0;
    if (record->kind == BUS_PUBLISHED) {
        if (gateway_stage(g, record, &at) != BUS_OK) {
            return (struct gw_event){.kind = GW_NO_ROOM};
        }
        if (is_durable) {
            gw_broker_commit(g->broker, record, g->record_at);
            return staged(at, MQTT_SUCCESS);
        }
    }
    if (is_exactly_once) {
        gw_broker_inbound_note(g->broker, c->session_number, packet_id);
    }
    return staged(at, record->kind == BUS_PUBLISHED ? MQTT_SUCCESS : MQTT_NO_MATCHING_SUBSCRIBERS);
}

static struct gw_event take_routed(struct gateway *g,
                                   struct gateway_conn *c,
                                   struct bus_record *record,
                                   const struct gw_routing *routing,
                                   struct slice targets)
{
    const uint16_t packet_id = record->delivery.packet_id;
    bus_position at = 0;
    record->delivery.sender = routing->sender;
    record->delivery.packet_id = routing->packet_id;
    record->delivery.targets = targets;
    bool needs_record = routing->needs_record || record->kind == BUS_PUBLISHED;
    if (take_message(g, record, routing, needs_record, &at) != BUS_OK) {
        return (struct gw_event){.kind = GW_NO_ROOM};
    }
    if (record->delivery.qos == 2
        && !gw_broker_inbound_has(g->broker, c->session_number, packet_id)) {
        gw_broker_inbound_note(g->broker, c->session_number, packet_id);
    }
    return staged(at, MQTT_SUCCESS);
}

/* What most messages are: a device's, for ingest alone, while nobody here is subscribed to
 * anything. */
static bool is_only_for_ingest(const struct gateway *g, const struct bus_record *record)
{
    struct gw_broker_counts counts;
    if (record->kind != BUS_PUBLISHED || record->delivery.qos == 2
        || record->delivery.is_retained) {
        return false;
    }
    gw_broker_count(g->broker, &counts);
    return counts.subscriptions == 0;
}

static struct gw_event publish_it(struct gateway *g,
                                  struct gateway_conn *c,
                                  const struct gw_effect *effect)
{
    const struct mqtt_publish *p = effect->message.publish;
    struct writer properties = writer_over(g->properties, g->limits.packet_max);
    struct writer targets = writer_over(g->targets, g->targets_cap);
    struct gw_routing routing = {0};
    mqtt_forward_properties(&properties, &p->properties);
    struct bus_record record = {
        .kind = BUS_LOCAL,
        .device = c->app == NULL ? c->session.owner : (struct device_id){{0}},
        .topic = effect->message.topic,
        .payload = effect->message.payload,
        .delivery = {.qos = p->qos,
                     .is_retained = p->retain,
                     .packet_id = p->packet_id,
                     .expires_ms = expires_ms(g, &p->properties),
                     .properties = writer_slice(&properties)},
    };
    if (is_for_ingest(&record.device, record.topic)) {
        record.kind = BUS_PUBLISHED;
    }
    if (is_only_for_ingest(g, &record)) {
        record.delivery.packet_id = 0;
        return take_unheard(g, c, &record);
    }
    const struct gw_message message = {
        .topic = record.topic,
        .sender = c->session_number,
        .packet_id = p->qos == 2 ? p->packet_id : 0,
        .qos = p->qos,
        .is_retained = p->retain,
        .size = (uint32_t)(record.topic.len + record.payload.len + properties.len),
        .is_empty = record.payload.len == 0,
        .expires_ms = record.delivery.expires_ms,
    };
    record.delivery.packet_id = message.packet_id;
    switch (gw_broker_route(g->broker, &message, gateway_clock(g), &targets, &routing)) {
    case GW_ROUTED: return take_routed(g, c, &record, &routing, writer_slice(&targets));
    case GW_NOBODY: return take_unheard(g, c, &record);
    case GW_TOO_MANY: return staged(0, MQTT_QUOTA_EXCEEDED);
    case GW_WAIT: break;
    }
    /* It fills its own queue, and what would empty that queue is behind this packet. */
    if (routing.blocked_by == c->session_number && p->qos > 0 && c->session.version == MQTT_5_0) {
        return staged(0, MQTT_QUOTA_EXCEEDED);
    }
    c->blocked_by = routing.blocked_by;
    return (struct gw_event){.kind = GW_QUEUE_FULL};
}

/*
 * The last segments are for what makes room: ends of sessions, acknowledgements, what is written
 * again so that the oldest segments can go. Without them a spool full of messages could hold its
 * own oldest segment for ever.
 */
static bool is_reserve_reached(const struct gateway *g)
{
    uint64_t reserve = RESERVE_SEGMENTS * g->limits.spool_segment_bytes;
    return g->limits.spool_budget_bytes >= 16 * reserve
           && bus_bytes_on_disk(g->bus) + reserve > g->limits.spool_budget_bytes;
}

struct gw_event gateway_session_publish(struct gateway *g,
                                        struct gateway_conn *c,
                                        const struct gw_effect *effect)
{
    const struct mqtt_publish *p = effect->message.publish;
    if (p->qos == 2 && gw_broker_inbound_has(g->broker, c->session_number, p->packet_id)) {
        struct gw_event again = staged(0, MQTT_SUCCESS);
        again.staged.is_repeat = true;
        return again;
    }
    if (p->qos == 2 && !gw_broker_inbound_may(g->broker, c->session_number)) {
        return staged(0, MQTT_QUOTA_EXCEEDED);
    }
    if (is_reserve_reached(g)) {
        return (struct gw_event){.kind = GW_NO_ROOM};
    }
    struct gw_event answer = publish_it(g, c, effect);
    if (answer.kind == GW_STAGED && answer.staged.reason < MQTT_UNSPECIFIED_ERROR) {
        g->counts.messages[p->qos]++;
        g->counts.message_bytes += p->payload.len;
        c->messages++;
        c->message_bytes += p->payload.len;
    }
    return answer;
}

struct gw_event gateway_session_release(struct gateway *g,
                                        struct gateway_conn *c,
                                        uint16_t packet_id)
{
    struct session_record record;
    bool must_stage = false;
    bus_position at = 0;
    enum mqtt_reason reason =
        gw_broker_release(g->broker, c->session_number, packet_id, &record, &must_stage);
    if (must_stage && gateway_commit_session(g, &record, &at) != BUS_OK) {
        return (struct gw_event){.kind = GW_NO_ROOM};
    }
    return staged(at, reason);
}

struct gw_event gateway_session_ack(struct gateway *g,
                                    struct gateway_conn *c,
                                    const struct gw_effect *effect)
{
    struct session_record record;
    bus_position at = 0;
    switch (gw_broker_ack(g->broker, c->session_number, effect->ack.type, effect->ack.packet_id,
                          effect->ack.reason, &record)) {
    case GW_ACK_TAKEN:
        if (gateway_commit_session(g, &record, &at) != BUS_OK) {
            return (struct gw_event){.kind = GW_NO_ROOM};
        }
        g->queue_moved = true;
        break;
    case GW_ACK_AGAIN: {
        uint8_t bytes[MQTT_ACK_MAX];
        struct writer w = writer_over(bytes, sizeof bytes);
        mqtt_ack_write(&w, c->session.version, MQTT_PUBREL, effect->ack.packet_id, MQTT_SUCCESS);
        gateway_conn_send(g, c, writer_slice(&w));
        break;
    }
    case GW_ACK_UNKNOWN: return staged(0, MQTT_PACKET_ID_NOT_FOUND);
    }
    return staged(0, MQTT_SUCCESS);
}

/* ---- subscriptions ---- */

struct gw_event gateway_session_subscribe(struct gateway *g,
                                          struct gateway_conn *c,
                                          const struct gw_effect *effect)
{
    struct mqtt_subscription sub;
    struct session_record record;
    struct slice rest = effect->filters.entries;
    bus_position at = 0, last = 0;
    for (uint32_t i = 0; mqtt_subscription_next(&rest, c->session.version, &sub); i++) {
        g->codes[i] = effect->filters.codes[i];
        if (g->codes[i] >= MQTT_UNSPECIFIED_ERROR) {
            continue;
        }
        struct writer items = writer_over(g->items, g->items_cap);
        g->codes[i] = gw_broker_may_subscribe(g->broker, c->session_number, &sub,
                                              effect->filters.subscription_id, gateway_clock(g),
                                              &items, &record);
        if (g->codes[i] >= MQTT_UNSPECIFIED_ERROR) {
            continue;
        }
        if (gateway_commit_session(g, &record, &at) != BUS_OK) {
            return (struct gw_event){.kind = GW_NO_ROOM}; /* those before it are granted again */
        }
        last = at > last ? at : last;
    }
    struct gw_event answer = staged(last, MQTT_SUCCESS);
    answer.staged.codes = g->codes;
    return answer;
}

struct gw_event gateway_session_unsubscribe(struct gateway *g,
                                            struct gateway_conn *c,
                                            const struct gw_effect *effect)
{
    struct slice filter, rest = effect->filters.entries;
    struct session_record record;
    bus_position at = 0, last = 0;
    for (uint32_t i = 0; mqtt_filter_next(&rest, &filter); i++) {
        g->codes[i] = gw_broker_may_unsubscribe(g->broker, c->session_number, filter, &record);
        if (g->codes[i] != MQTT_SUCCESS) {
            continue;
        }
        if (gateway_commit_session(g, &record, &at) != BUS_OK) {
            return (struct gw_event){.kind = GW_NO_ROOM};
        }
        last = at > last ? at : last;
    }
    struct gw_event answer = staged(last, MQTT_SUCCESS);
    answer.staged.codes = g->codes;
    return answer;
}

/* ---- begin and end ---- */

static struct gw_event denied(enum mqtt_reason reason)
{
    return (struct gw_event){.kind = GW_DENIED, .stop = {.reason = reason}};
}

/* Records that end a session, until it is gone; false where the journal has no room for one. */
bool gateway_session_end(struct gateway *g, uint32_t session, enum session_end end)
{
    struct session_record record;
    bus_position at = 0;
    for (int i = 0; i < SESSION_STEPS_MAX; i++) {
        if (!gw_broker_has(g->broker, session)
            || !gw_broker_end(g->broker, session, end, &record)) {
            return true;
        }
        if (gateway_commit_session(g, &record, &at) != BUS_OK) {
            return false;
        }
    }
    return false;
}

/* The will goes out when its time comes, with what the client said of it (3.1.3.2). */
static enum bus_result stage_will(struct gateway *g,
                                  struct gateway_conn *c,
                                  uint32_t session,
                                  const struct mqtt_will *will,
                                  bus_position *at)
{
    struct writer properties = writer_over(g->properties, g->limits.packet_max);
    mqtt_forward_properties(&properties, &will->properties);
    uint32_t expiry_s = mqtt_has(&will->properties, MQTT_MESSAGE_EXPIRY_INTERVAL)
                            ? will->properties.message_expiry_s
                            : 0;
    struct bus_record record = {
        .kind = BUS_WILL,
        .device = c->app == NULL ? c->session.owner : (struct device_id){{0}},
        .topic = will->topic,
        .payload = will->payload,
        /* Its expiry begins when it is published: until then the interval itself is kept here. */
        .delivery = {.qos = will->qos,
                     .is_retained = will->retain,
                     .will_of = session,
                     .expires_ms = (uint64_t)expiry_s * 1000,
                     .properties = writer_slice(&properties)},
    };
    enum bus_result result = gateway_stage(g, &record, at);
    if (result == BUS_OK) {
        gw_broker_commit(g->broker, &record, g->record_at);
        gateway_recent_put(&g->recent, g->record_at, slice_of(g->record, g->record_len));
    }
    return result;
}

static struct session_owner owner_of(const struct gateway_conn *c)
{
    struct session_owner owner = {.kind = c->app != NULL ? SESSION_OWNER_APPLICATION
                                                         : SESSION_OWNER_DEVICE};
    memcpy(owner.id, c->session.owner.bytes, sizeof owner.id);
    return owner;
}

struct gw_event gateway_session_open(struct gateway *g,
                                     struct gateway_conn *c,
                                     const struct gw_effect *effect)
{
    const struct mqtt_connect *connect = effect->admission.connect;
    const struct session_owner owner = owner_of(c);
    struct session_record opened;
    bus_position at = 0;
    if (!gateway_sessions_settle(g)) {
        return denied(MQTT_SERVER_BUSY);
    }
    uint32_t before = gw_broker_find(g->broker, &owner, effect->admission.client_id);
    if (before != 0 && (connect->clean_start || !gw_broker_is_durable(g->broker, before))
        && !gateway_session_finish(g, before, SESSION_END_CLEAN)) {
        return denied(MQTT_SERVER_BUSY);
    }
    uint32_t delay_s = connect->has_will ? connect->will.properties.will_delay_s : 0;
    enum mqtt_reason reason =
        gw_broker_may_open(g->broker, &owner, effect->admission.client_id,
                           effect->admission.expiry_s, connect->has_will, delay_s, &opened);
    if (reason != MQTT_SUCCESS) {
        return denied(reason);
    }
    if (gateway_commit_session(g, &opened, &at) != BUS_OK) {
        return denied(MQTT_SERVER_BUSY);
    }
    c->session_number = opened.session;
    gw_broker_attach(g->broker, opened.session, c->index, effect->admission.receive_max);
    if (connect->has_will && stage_will(g, c, opened.session, &connect->will, &at) != BUS_OK) {
        gateway_session_close(g, c, 0, true);
        return denied(MQTT_SERVER_BUSY);
    }
    return (struct gw_event){.kind = GW_ADMITTED,
                             .now_ms = port_now_ms(g->port),
                             .admitted = {.position = at, .session_present = opened.is_resumed}};
}

void gateway_session_close(struct gateway *g,
                           struct gateway_conn *c,
                           uint32_t expiry_s,
                           bool drops_will)
{
    uint32_t session = c->session_number;
    if (session == 0) {
        return;
    }
    c->session_number = 0;
    gw_broker_detach(g->broker, session);
    INVARIANT(g->owed_count < g->owed_cap);
    g->owed[g->owed_count++] =
        (struct gateway_owed){.session = session, .expiry_s = expiry_s, .will_is_due = !drops_will};
    (void)gateway_sessions_settle(g);
}

static bool settle_one(struct gateway *g, const struct gateway_owed *owed)
{
    struct session_record record;
    bus_position at = 0;
    if (!gw_broker_has(g->broker, owed->session)) {
        return true;
    }
    if (!gw_broker_is_durable(g->broker, owed->session)) {
        return gateway_session_end(g, owed->session, SESSION_END_EXPIRED);
    }
    gw_broker_close(g->broker, owed->session, owed->expiry_s, owed->will_is_due, &record);
    return gateway_commit_session(g, &record, &at) == BUS_OK;
}

bool gateway_sessions_settle(struct gateway *g)
{
    uint32_t done = 0;
    while (done < g->owed_count && settle_one(g, &g->owed[done])) {
        done++;
    }
    memmove(g->owed, g->owed + done, (g->owed_count - done) * sizeof *g->owed);
    g->owed_count -= done;
    g->queue_moved = g->queue_moved || done > 0;
    if (done > 0) {
        gateway_sessions_due(g);
    }
    return g->owed_count == 0;
}

/* ---- what is due ---- */

/* Publishes the will at `position`; false where it has to wait. */
static bool publish_will(struct gateway *g, uint32_t session, bus_position position)
{
    struct bus_record will;
    struct gw_routing routing = {0};
    struct writer targets = writer_over(g->targets, g->targets_cap);
    bus_position at = 0;
    if (!gateway_fetch(g, position, &will)) {
        return false;
    }
    struct bus_record record = {
        .kind = is_for_ingest(&will.device, will.topic) ? BUS_PUBLISHED : BUS_LOCAL,
        .device = will.device,
        .topic = will.topic,
        .payload = will.payload,
        .delivery = {.qos = will.delivery.qos,
                     .is_retained = will.delivery.is_retained,
                     .will_of = session,
                     .expires_ms = will.delivery.expires_ms != 0
                                       ? gateway_clock(g) + will.delivery.expires_ms
                                       : 0,
                     .properties = will.delivery.properties},
    };
    const struct gw_message message = {
        .topic = record.topic,
        .qos = record.delivery.qos,
        .is_retained = record.delivery.is_retained,
        .size = (uint32_t)(record.topic.len + record.payload.len + record.delivery.properties.len),
        .is_empty = record.payload.len == 0,
        .expires_ms = record.delivery.expires_ms,
    };
    enum gw_route route =
        gw_broker_route(g->broker, &message, gateway_clock(g), &targets, &routing);
    if (route == GW_WAIT) {
        return false;
    }
    if (route == GW_ROUTED) {
        record.delivery.targets = writer_slice(&targets);
    } else {
        record.delivery.is_retained = false;
    }
    return take_message(g, &record, &routing, true, &at) == BUS_OK;
}

bool gateway_session_finish(struct gateway *g, uint32_t session, enum session_end end)
{
    uint64_t will = gw_broker_will(g->broker, session);
    if (will != 0 && !publish_will(g, session, will)) {
        return false;
    }
    return gateway_session_end(g, session, end);
}

/* It is as if the connection were lost: its will is due, and its session, which nobody empties,
 * ends. */
static void cut(struct gateway *g, uint32_t connection)
{
    gateway_conn_feed(g, &g->conns[connection],
                      (struct gw_event){.kind = GW_STOPPING,
                                        .now_ms = port_now_ms(g->port),
                                        .stop = {.end = GW_END_ORDERED,
                                                 .reason = MQTT_QUOTA_EXCEEDED,
                                                 .clause = "its queue was full, and it made no "
                                                           "progress: the session is ended"}});
}

/* False: not now. */
static bool do_due(struct gateway *g, const struct gw_due *due)
{
    bus_position at = 0;
    switch (due->kind) {
    case GW_DUE_WILL:
        if (publish_will(g, due->session, due->position)) {
            return true;
        }
        gw_broker_due_later(g->broker, due->session, gateway_clock(g) + DUE_LATER_MS);
        return true;
    case GW_DUE_RECORD: return gateway_commit_session(g, &due->record, &at) == BUS_OK;
    case GW_DUE_STALLED: cut(g, due->connection); return true;
    }
    UNREACHABLE();
}

void gateway_sessions_due(struct gateway *g)
{
    struct gw_due due;
    bool is_done = true;
    if (g->is_settling) {
        return;
    }
    g->is_settling = true; /* a connection that is cut must not begin this again */
    for (int i = 0; i < GATEWAY_DUE_MAX && is_done && g->exit_code == 0; i++) {
        if (!gw_broker_due(g->broker, gateway_clock(g), &due)) {
            break;
        }
        is_done = do_due(g, &due);
        g->queue_moved = true;
    }
    g->is_settling = false;
}
