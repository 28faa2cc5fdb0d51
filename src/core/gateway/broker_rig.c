#include "core/gateway/broker_rig.h"

#include "base/invariant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_CAP = 64 * 1024 };

struct gw_broker_limits rig_limits(void)
{
    return (struct gw_broker_limits){.sessions_max = 16,
                                     .sessions_per_owner_max = 16,
                                     .filters_max = 64,
                                     .subscriptions_max = 256,
                                     .nodes_max = 1024,
                                     .groups_max = 16,
                                     .inbound_max = 16,
                                     .inbounds_max = 64,
                                     .queue_messages_max = 64,
                                     .queue_bytes_max = 65536,
                                     .deliveries_max = 512,
                                     .messages_max = 512,
                                     .retained_max = 64,
                                     .retained_bytes_max = 65536,
                                     .brought_max = 32,
                                     .inflight_max = 16,
                                     .targets_max = 64,
                                     .stall_ms = 10000,
                                     .keep_after_bytes = 4096};
}

bool rig_begin(struct rig *rig, const struct gw_broker_limits *limits, uint64_t seed)
{
    size_t size = gw_broker_size(limits);
    *rig = (struct rig){.limits = *limits,
                        .memory = malloc(size),
                        .journal = malloc(RIG_JOURNAL_MAX),
                        .starts = malloc((RIG_RECORDS_MAX + 1) * sizeof *rig->starts),
                        .clock_ms = 1000};
    if (rig->memory == NULL || rig->journal == NULL || rig->starts == NULL) {
        rig_end(rig);
        return false;
    }
    rig->starts[0] = RIG_FIRST;
    rig->b = gw_broker_init(limits, rig->memory, size, seed);
    (void)rig_stage(rig, &(struct bus_record){.kind = BUS_STARTED});
    rig_sync(rig);
    return true;
}

void rig_end(struct rig *rig)
{
    free(rig->memory);
    free(rig->journal);
    free(rig->starts);
    *rig = (struct rig){0};
}

/* ---- the journal ---- */

uint64_t rig_head(const struct rig *rig)
{
    return rig->starts[rig->count];
}

static uint64_t append(struct rig *rig, const struct bus_record *record)
{
    uint64_t at = rig_head(rig);
    struct bus_record stamped = *record;
    stamped.clock_ms = rig->clock_ms;
    struct writer w = writer_over(rig->journal + at, RIG_JOURNAL_MAX - at);
    INVARIANT(rig->count < RIG_RECORDS_MAX);
    INVARIANT(bus_record_encode(&stamped, &w) == BUS_RECORD_OK);
    rig->starts[++rig->count] = at + w.len;
    return at;
}

static struct slice record_at(const struct rig *rig, uint32_t nth)
{
    return slice_of(rig->journal + rig->starts[nth], rig->starts[nth + 1] - rig->starts[nth]);
}

void rig_read(const struct rig *rig, uint64_t at, struct bus_record *out)
{
    uint32_t low = 0, high = rig->count;
    while (low + 1 < high) {
        uint32_t middle = (low + high) / 2;
        *(rig->starts[middle] <= at ? &low : &high) = middle;
    }
    INVARIANT(rig->starts[low] == at);
    INVARIANT(bus_record_decode(record_at(rig, low), out) == BUS_RECORD_OK);
}

uint64_t rig_stage(struct rig *rig, const struct bus_record *record)
{
    struct bus_record stamped;
    uint64_t at = append(rig, record);
    rig_read(rig, at, &stamped);
    gw_broker_commit(rig->b, &stamped, at);
    return at;
}

void rig_commit(struct rig *rig, const struct session_record *record)
{
    static uint8_t room[BUS_RECORD_PAYLOAD_MAX];
    if (!gw_broker_must_stage(rig->b, record)) {
        gw_broker_commit_session(rig->b, record, rig->clock_ms, 0);
        return;
    }
    struct writer w = writer_over(room, sizeof room);
    INVARIANT(session_record_encode(record, &w) == SESSION_RECORD_OK);
    uint64_t at =
        append(rig, &(struct bus_record){.kind = BUS_SESSION, .payload = writer_slice(&w)});
    gw_broker_commit_session(rig->b, record, rig->clock_ms, at);
}

void rig_sync(struct rig *rig)
{
    rig->durable = rig_head(rig);
}

/* ---- connections ---- */

static const struct session_owner owner = {.kind = SESSION_OWNER_APPLICATION, .id = {7}};

static void end_session(struct rig *rig, uint32_t session, enum session_end end)
{
    struct session_record record;
    while (gw_broker_end(rig->b, session, end, &record)) {
        rig_commit(rig, &record);
    }
}

void rig_disconnect_expiry(struct rig *rig, uint32_t session, bool normal, uint32_t expiry_s)
{
    struct session_record record;
    gw_broker_detach(rig->b, session);
    if (gw_broker_is_durable(rig->b, session)) {
        gw_broker_close(rig->b, session, expiry_s, !normal, &record);
        rig_commit(rig, &record);
    } else {
        end_session(rig, session, SESSION_END_EXPIRED);
    }
}

void rig_disconnect(struct rig *rig, uint32_t session, bool normal)
{
    rig_disconnect_expiry(rig, session, normal, gw_broker_expiry_s(rig->b, session));
}

static bool publish_will(struct rig *rig, uint32_t session, uint64_t position)
{
    struct bus_record will;
    rig_read(rig, position, &will);
    static uint8_t targets[65536];
    static uint8_t copy[1024];
    struct writer w = writer_over(targets, sizeof targets);
    struct writer t = writer_over(copy, sizeof copy);
    write_slice(&t, will.topic);
    size_t topic_len = t.len;
    write_slice(&t, will.payload);
    struct gw_message message = {.topic = slice_of(copy, topic_len),
                                 .qos = will.delivery.qos,
                                 .is_retained = will.delivery.is_retained,
                                 .size = (uint32_t)t.len,
                                 .is_empty = will.payload.len == 0};
    struct gw_routing routing;
    enum gw_route route = gw_broker_route(rig->b, &message, rig->clock_ms, &w, &routing);
    if (route == GW_WAIT) {
        rig->blocked_by = routing.blocked_by;
        return false;
    }
    (void)rig_stage(rig,
                    &(struct bus_record){.kind = BUS_LOCAL,
                                         .topic = message.topic,
                                         .payload = slice_of(copy + topic_len, t.len - topic_len),
                                         .delivery = {.qos = message.qos,
                                                      .is_retained = message.is_retained,
                                                      .will_of = session,
                                                      .targets = writer_slice(&w)}});
    return true;
}

uint32_t rig_tick(struct rig *rig, uint64_t ms)
{
    struct gw_due due;
    uint32_t done = 0;
    rig->clock_ms += ms;
    while (gw_broker_due(rig->b, rig->clock_ms, &due)) {
        done++;
        switch (due.kind) {
        case GW_DUE_WILL:
            if (!publish_will(rig, due.session, due.position)) {
                gw_broker_due_later(rig->b, due.session, rig->clock_ms + 10);
            }
            break;
        case GW_DUE_RECORD: rig_commit(rig, &due.record); break;
        case GW_DUE_STALLED: rig_disconnect(rig, due.session, false); break;
        }
    }
    return done;
}

uint32_t rig_connect(struct rig *rig, const struct rig_connect *c)
{
    struct session_record record;
    struct slice client_id = slice_text(c->client_id);
    uint32_t session = gw_broker_find(rig->b, &owner, client_id);
    if (session != 0 && gw_broker_connection(rig->b, session) != GW_NOWHERE) {
        rig_disconnect(rig, session, false); /* taken over (3.1.4-3) */
        (void)rig_tick(rig, 0);
        session = gw_broker_find(rig->b, &owner, client_id);
    }
    if (session != 0 && c->clean_start) {
        uint64_t will = gw_broker_will(rig->b, session);
        if (will != 0) {
            INVARIANT(publish_will(rig, session, will));
        }
        end_session(rig, session, SESSION_END_CLEAN);
    }
    enum mqtt_reason reason = gw_broker_may_open(rig->b, &owner, client_id, c->expiry_s,
                                                 c->will_topic != NULL, c->will_delay_s, &record);
    if (reason != MQTT_SUCCESS) {
        return 0;
    }
    rig_commit(rig, &record);
    if (c->will_topic != NULL) {
        (void)rig_stage(rig, &(struct bus_record){.kind = BUS_WILL,
                                                  .topic = slice_text(c->will_topic),
                                                  .payload = slice_text("will"),
                                                  .delivery = {.qos = c->will_qos,
                                                               .is_retained = c->will_retain,
                                                               .will_of = record.session}});
    }
    gw_broker_attach(rig->b, record.session, rig->connections++,
                     c->receive_max != 0 ? c->receive_max : 65535);
    return record.session;
}

/* ---- subscriptions ---- */

uint8_t rig_subscribe_with(struct rig *rig,
                           uint32_t session,
                           const struct mqtt_subscription *subscription,
                           uint32_t id)
{
    static uint8_t items[ITEMS_CAP];
    struct session_record record;
    struct writer w = writer_over(items, sizeof items);
    uint8_t code =
        gw_broker_may_subscribe(rig->b, session, subscription, id, rig->clock_ms, &w, &record);
    if (code <= 2) {
        rig_commit(rig, &record);
    }
    return code;
}

uint8_t rig_subscribe(struct rig *rig, uint32_t session, const char *filter, uint8_t qos)
{
    return rig_subscribe_with(
        rig, session, &(struct mqtt_subscription){.filter = slice_text(filter), .qos = qos}, 0);
}

uint8_t rig_unsubscribe(struct rig *rig, uint32_t session, const char *filter)
{
    struct session_record record;
    uint8_t code = gw_broker_may_unsubscribe(rig->b, session, slice_text(filter), &record);
    if (code == MQTT_SUCCESS) {
        rig_commit(rig, &record);
    }
    return code;
}

/* ---- messages ---- */

enum gw_route rig_publish(struct rig *rig, const struct rig_publish *p)
{
    static uint8_t targets[65536];
    struct writer w = writer_over(targets, sizeof targets);
    struct gw_routing routing;
    struct slice payload = slice_text(p->payload);
    struct gw_message message = {
        .topic = slice_text(p->topic),
        .sender = p->sender,
        .packet_id = p->packet_id,
        .qos = p->qos,
        .is_retained = p->retain,
        .size = (uint32_t)(strlen(p->topic) + payload.len),
        .is_empty = payload.len == 0,
        .expires_ms = p->expiry_s != 0 ? rig->clock_ms + (uint64_t)p->expiry_s * 1000 : 0,
    };
    enum gw_route route = gw_broker_route(rig->b, &message, rig->clock_ms, &w, &routing);
    rig->blocked_by = routing.blocked_by;
    if (route == GW_NOBODY && p->packet_id != 0 && !p->is_from_device) {
        gw_broker_inbound_note(rig->b, p->sender, p->packet_id);
    }
    if (route != GW_ROUTED && !(route == GW_NOBODY && p->is_from_device)) {
        return route;
    }
    struct bus_record record = {.kind = p->is_from_device ? BUS_PUBLISHED : BUS_LOCAL,
                                .topic = message.topic,
                                .payload = payload,
                                .clock_ms = rig->clock_ms,
                                .delivery = {.qos = p->qos,
                                             .is_retained = p->retain,
                                             .sender = routing.sender,
                                             .packet_id = routing.packet_id,
                                             .expires_ms = message.expires_ms,
                                             .targets = writer_slice(&w)}};
    if (routing.needs_record || p->is_from_device) {
        (void)rig_stage(rig, &record);
    } else {
        gw_broker_commit(rig->b, &record, GW_VOLATILE | ++rig->volatile_number);
    }
    return route;
}

enum gw_route rig_say(struct rig *rig, const char *topic, const char *payload, uint8_t qos)
{
    return rig_publish(rig, &(struct rig_publish){.topic = topic, .payload = payload, .qos = qos});
}

bool rig_take(struct rig *rig, uint32_t session, struct gw_delivery *out)
{
    while (gw_broker_next(rig->b, session, rig->durable, rig->clock_ms, out)) {
        if (out->kind != GW_DROP_EXPIRED) {
            gw_broker_sent(rig->b, session, out);
            return true;
        }
        rig_commit(rig, &out->drop);
    }
    return false;
}

const char *rig_payload(struct rig *rig, const struct gw_delivery *d)
{
    static char text[256];
    struct bus_record record;
    if ((d->position & GW_VOLATILE) != 0) {
        return "volatile";
    }
    rig_read(rig, d->position, &record);
    (void)snprintf(text, sizeof text, "%.*s", (int)record.payload.len,
                   (const char *)record.payload.at);
    return text;
}

enum gw_ack rig_ack(
    struct rig *rig, uint32_t session, enum mqtt_type type, uint16_t packet_id, uint8_t reason)
{
    struct session_record record;
    enum gw_ack ack = gw_broker_ack(rig->b, session, type, packet_id, reason, &record);
    if (ack == GW_ACK_TAKEN) {
        rig_commit(rig, &record);
    }
    return ack;
}

/* ---- keeping ---- */

void rig_keep_message(struct rig *rig, uint64_t at, const struct bus_delivery *delivery)
{
    struct bus_record record;
    rig_read(rig, at, &record);
    struct bus_record kept = {.kind = BUS_KEPT, .delivery = *delivery};
    static uint8_t copy[1024];
    struct writer w = writer_over(copy, sizeof copy);
    write_slice(&w, record.topic);
    write_slice(&w, record.payload);
    kept.topic = slice_of(copy, record.topic.len);
    kept.payload = slice_of(copy + record.topic.len, record.payload.len);
    (void)rig_stage(rig, &kept);
}

void rig_keep_session(struct rig *rig, uint32_t session, size_t part_max)
{
    static uint8_t items[ITEMS_CAP];
    struct session_record record = {0};
    while (!record.is_last) {
        struct writer w = writer_over(items, part_max);
        gw_broker_write_session(rig->b, session, &w, &record);
        rig_commit(rig, &record);
    }
}

bool rig_keep_oldest(struct rig *rig)
{
    struct gw_keep keep;
    if (!gw_broker_keep(rig->b, UINT64_MAX / 2, &keep)) {
        return false;
    }
    if (keep.kind == GW_KEEP_SESSION) {
        rig_keep_session(rig, keep.session, 1024);
    } else {
        rig_keep_message(rig, keep.position, &keep.delivery);
    }
    return true;
}

/* ---- replay ---- */

enum gw_fold rig_replay(const struct rig *rig, uint64_t floor, uint32_t records, struct rig *into)
{
    for (uint32_t i = 0; i < records; i++) {
        struct bus_record record;
        if (rig->starts[i] < floor) {
            continue;
        }
        INVARIANT(bus_record_decode(record_at(rig, i), &record) == BUS_RECORD_OK);
        enum gw_fold result = gw_broker_apply(into->b, &record, rig->starts[i]);
        if (result != GW_FOLDED) {
            return result;
        }
    }
    return gw_broker_replayed(into->b, floor);
}

bool rig_restart(struct rig *rig, uint32_t records)
{
    struct rig next = *rig;
    size_t size = gw_broker_size(&rig->limits);
    next.memory = malloc(size);
    if (next.memory == NULL) {
        return false;
    }
    next.b = gw_broker_init(&rig->limits, next.memory, size, 99);
    enum gw_fold result = rig_replay(rig, 0, records, &next);
    free(rig->memory);
    *rig = next;
    rig->count = records;
    rig->clock_ms = gw_broker_clock(rig->b);
    (void)rig_stage(rig, &(struct bus_record){.kind = BUS_STARTED});
    rig_sync(rig);
    return result == GW_FOLDED;
}

bool rig_same(struct rig *a, struct rig *b, uint64_t clock_ms)
{
    struct digest one, other;
    gw_broker_digest(a->b, clock_ms, &one);
    gw_broker_digest(b->b, clock_ms, &other);
    return memcmp(&one, &other, sizeof one) == 0;
}
