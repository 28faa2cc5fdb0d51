#include "core/gateway/session.h"

#include "base/invariant.h"
#include "codec/message.h"
#include "core/gateway/session_inside.h"

#include <assert.h>
#include <string.h>

static const bool allowed[GW_STATE_COUNT][GW_STATE_COUNT] = {
    [GW_NEW] = {[GW_CHECKING] = true, [GW_CLOSED] = true},
    [GW_CHECKING] = {[GW_LIVE] = true, [GW_CLOSED] = true},
    [GW_LIVE] = {[GW_CLOSED] = true},
};

void gw_enter(struct gw_session *s, enum gw_state next)
{
    INVARIANT(allowed[s->state][next]);
    s->state = next;
}

struct gw_effect *gw_order(struct gw_effects *out, enum gw_effect_kind kind)
{
    INVARIANT(out->count < GW_EFFECTS_MAX);
    struct gw_effect *effect = &out->list[out->count++];
    effect->kind = kind;
    return effect;
}

struct slice gw_session_client_id(const struct gw_session *s)
{
    return slice_of(s->client_id, s->client_id_len);
}

const char *gw_end_name(enum gw_end end)
{
    static const char *const names[GW_END_COUNT] = {
        [GW_END_CLIENT] = "client",         [GW_END_LOST] = "lost",
        [GW_END_REFUSED] = "refused",       [GW_END_KEEP_ALIVE] = "keep-alive",
        [GW_END_TAKEN_OVER] = "taken-over", [GW_END_STOPPING] = "stopping",
    };
    return names[end];
}

void gw_close(struct gw_session *s, struct gw_effects *out, enum gw_end end, struct mqtt_fault why)
{
    /* Before CONNACK there is no DISCONNECT (3.14.0-1), and 3.1.1 has none from the server at all.
     */
    if (s->state == GW_LIVE && s->version == MQTT_5_0 && why.clause != NULL) {
        struct mqtt_packet *p = &gw_order(out, GW_SEND)->packet;
        *p = (struct mqtt_packet){.type = MQTT_DISCONNECT,
                                  .disconnect = {.reason = (uint8_t)why.reason}};
        p->disconnect.properties.reason_string = slice_text(why.clause);
        mqtt_set(&p->disconnect.properties, MQTT_REASON_STRING);
    }
    if (end == GW_END_REFUSED || end == GW_END_KEEP_ALIVE) {
        gw_order(out, GW_REFUSE)->fault = why;
    }
    gw_order(out, GW_CLOSE)->end = end;
    gw_enter(s, GW_CLOSED);
}

void gw_refuse(struct gw_session *s,
               struct gw_effects *out,
               enum mqtt_reason reason,
               const char *clause)
{
    gw_close(s, out, GW_END_REFUSED, (struct mqtt_fault){.reason = reason, .clause = clause});
}

/* ---- acknowledging ---- */

static struct gw_pending *ring_at(const struct gw_session *s, uint32_t i)
{
    uint32_t at = s->inflight_head + i;
    return &s->inflight[at < s->limits->inflight_max ? at : at - s->limits->inflight_max];
}

static void push_pending(struct gw_session *s,
                         uint64_t position,
                         uint16_t packet_id,
                         enum mqtt_reason reason)
{
    INVARIANT(s->inflight_count < s->limits->inflight_max);
    *ring_at(s, s->inflight_count) = (struct gw_pending){
        .position = position, .packet_id = packet_id, .reason = (uint8_t)reason};
    s->inflight_count++;
}

/* A refused message waits for nothing but the PUBACKs before its own: not for what was staged
 * without one (QoS 0), of whose being durable nobody would tell this session. */
static uint64_t last_pending(const struct gw_session *s)
{
    return s->inflight_count > 0 ? ring_at(s, s->inflight_count - 1)->position : 0;
}

/* Orders the PUBACKs of `count` pendings from the head on: one run, or two where the ring wraps. */
static void order_acks(struct gw_session *s, uint32_t count, struct gw_effects *out)
{
    while (count > 0) {
        uint32_t run = s->limits->inflight_max - s->inflight_head;
        run = run < count ? run : count;
        struct gw_effect *effect = gw_order(out, GW_ACK);
        effect->acks.list = &s->inflight[s->inflight_head];
        effect->acks.count = run;
        s->inflight_head = (s->inflight_head + run) % s->limits->inflight_max;
        s->inflight_count -= run;
        count -= run;
    }
}

void gw_acks_check(const struct gw_pending *list, uint32_t count, uint64_t durable)
{
    for (uint32_t i = 0; i < count; i++) {
        INVARIANT(promise_holds(PROMISE_ACKED_IS_KEPT, list[i].position <= durable));
    }
}

/* PUBACKs leave in the order of their PUBLISHes (4.6.0-2), each only once its message is durable.
 */
static void release(struct gw_session *s, struct gw_effects *out)
{
    uint32_t count = 0;
    while (count < s->inflight_count && ring_at(s, count)->position <= s->durable) {
        count++;
    }
    order_acks(s, count, out);
    if (s->stall == GW_WAITS_FOR_ACKS && s->inflight_count < s->limits->inflight_max) {
        s->stall = GW_FLOWS;
        gw_order(out, GW_RESUME);
    }
}

/* ---- packets of a live session ---- */

static struct mqtt_fault topic_fault(const struct gw_session *s, struct slice topic)
{
    if (!slice_has_prefix(topic, slice_of(s->prefix, sizeof s->prefix))) {
        return (struct mqtt_fault){.reason = MQTT_NOT_AUTHORIZED,
                                   .clause = "a device publishes below its own hf/1/ID/ only"};
    }
    struct slice rest = slice_after(topic, sizeof s->prefix);
    bool is_stream =
        slice_has_prefix(rest, slice_text("t/")) || slice_has_prefix(rest, slice_text("j/"));
    if (slice_is_text(rest, "hello")
        || (is_stream && message_stream_is_valid(slice_after(rest, 2)))) {
        return (struct mqtt_fault){0};
    }
    return (struct mqtt_fault){.reason = MQTT_TOPIC_NAME_INVALID,
                               .clause = "a device publishes hello, t/STREAM and j/STREAM"};
}

/* One message is refused, not the connection, where version and QoS have a way to say so (3.3.5).
 */
static void refuse_message(struct gw_session *s,
                           const struct mqtt_publish *p,
                           struct mqtt_fault fault,
                           struct gw_effects *out)
{
    if (s->version != MQTT_5_0) {
        gw_close(s, out, GW_END_REFUSED, fault);
        return;
    }
    gw_order(out, GW_REFUSE)->fault = fault;
    if (p->qos == 1) {
        push_pending(s, last_pending(s), p->packet_id, fault.reason);
        release(s, out);
    }
}

static void take_publish(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out)
{
    const struct mqtt_publish *p = &packet->publish;
    if (p->qos == 2) {
        gw_refuse(s, out, MQTT_QOS_NOT_SUPPORTED, "QoS 2, and the maximum is 1 (3.2.2.3.4)");
        return;
    }
    if (p->retain) {
        gw_refuse(s, out, MQTT_RETAIN_NOT_SUPPORTED, "retained, which is not offered (3.2.2.3.5)");
        return;
    }
    if (mqtt_has(&p->properties, MQTT_TOPIC_ALIAS)) {
        gw_refuse(s, out, MQTT_TOPIC_ALIAS_INVALID,
                  "a topic alias above the maximum of 0 (3.3.2.3.4)");
        return;
    }
    if (p->qos == 1 && s->inflight_count == s->limits->inflight_max) {
        if (s->version == MQTT_5_0) {
            gw_refuse(s, out, MQTT_RECEIVE_MAXIMUM_EXCEEDED,
                      "more publishes in flight than agreed (3.3.4)");
        } else { /* 3.1.1 could not be told the limit: let it wait */
            s->stall = GW_WAITS_FOR_ACKS;
            gw_order(out, GW_PAUSE);
        }
        return;
    }
    struct mqtt_fault fault = topic_fault(s, p->topic);
    if (fault.clause != NULL) {
        refuse_message(s, p, fault, out);
        return;
    }
    s->is_staging = true;
    s->staging_qos = p->qos;
    s->staging_packet_id = p->packet_id;
    struct gw_effect *effect = gw_order(out, GW_APPEND);
    effect->message.topic = p->topic;
    effect->message.payload = p->payload;
}

static void take_pingreq(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out)
{
    (void)s;
    (void)packet;
    gw_order(out, GW_SEND)->packet = (struct mqtt_packet){.type = MQTT_PINGRESP};
}

static void take_disconnect(struct gw_session *s,
                            const struct mqtt_packet *packet,
                            struct gw_effects *out)
{
    const struct mqtt_properties *p = &packet->disconnect.properties;
    if (p->session_expiry_s > 0 && !s->may_keep_session) {
        gw_refuse(s, out, MQTT_PROTOCOL_ERROR,
                  "a session expiry, after a CONNECT with none (3.14.2.2.2)");
        return;
    }
    gw_close(s, out, GW_END_CLIENT, (struct mqtt_fault){0});
}

/* ---- packets in the wrong place: 2.1.2 and the first paragraphs of 3.1 to 3.15 ---- */

static void take_first(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out)
{
    gw_take_connect(s, &packet->connect, out);
}

static void too_early(struct gw_session *s,
                      const struct mqtt_packet *packet,
                      struct gw_effects *out)
{
    (void)packet;
    gw_refuse(s, out, MQTT_PROTOCOL_ERROR, "the first packet is not a CONNECT (3.1.0-1)");
}

static void second_connect(struct gw_session *s,
                           const struct mqtt_packet *packet,
                           struct gw_effects *out)
{
    (void)packet;
    gw_refuse(s, out, MQTT_PROTOCOL_ERROR, "a second CONNECT (3.1.0-2)");
}

static void nothing_sent(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out)
{
    (void)packet;
    gw_refuse(s, out, MQTT_PROTOCOL_ERROR, "an answer to a message that was never sent (4.3)");
}

static void no_release(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out)
{
    (void)packet;
    gw_refuse(s, out, MQTT_PROTOCOL_ERROR, "a PUBREL without a QoS 2 message (4.3.3)");
}

static void no_auth(struct gw_session *s, const struct mqtt_packet *packet, struct gw_effects *out)
{
    (void)packet;
    gw_refuse(s, out, MQTT_PROTOCOL_ERROR, "an AUTH after a CONNECT without a method (4.12.0-6)");
}

static void wrong_side(struct gw_session *s,
                       const struct mqtt_packet *packet,
                       struct gw_effects *out)
{
    (void)packet;
    gw_refuse(s, out, MQTT_PROTOCOL_ERROR, "a packet that only a server sends (2.1.2)");
}

typedef void packet_handler(struct gw_session *, const struct mqtt_packet *, struct gw_effects *);

/* Every type in every state that takes packets. NULL is the reserved type, which no decoder lets
 * through. */
static packet_handler *const in_new[MQTT_TYPE_COUNT] = {
    NULL,      take_first, too_early, too_early, too_early, too_early, too_early, too_early,
    too_early, too_early,  too_early, too_early, too_early, too_early, too_early, too_early,
};
static packet_handler *const in_live[MQTT_TYPE_COUNT] = {
    [MQTT_CONNECT] = second_connect, [MQTT_CONNACK] = wrong_side,
    [MQTT_PUBLISH] = take_publish,   [MQTT_PUBACK] = nothing_sent,
    [MQTT_PUBREC] = nothing_sent,    [MQTT_PUBREL] = no_release,
    [MQTT_PUBCOMP] = nothing_sent,   [MQTT_SUBSCRIBE] = gw_take_subscribe,
    [MQTT_SUBACK] = wrong_side,      [MQTT_UNSUBSCRIBE] = gw_take_unsubscribe,
    [MQTT_UNSUBACK] = wrong_side,    [MQTT_PINGREQ] = take_pingreq,
    [MQTT_PINGRESP] = wrong_side,    [MQTT_DISCONNECT] = take_disconnect,
    [MQTT_AUTH] = no_auth,
};

/* ---- events ---- */

static void take_staged(struct gw_session *s, uint64_t position)
{
    INVARIANT(s->is_staging);
    INVARIANT(position > s->staged);
    s->is_staging = false;
    s->staged = position;
    if (s->staging_qos == 1) {
        push_pending(s, s->staged, s->staging_packet_id, MQTT_SUCCESS);
    }
}

static void take_no_room(struct gw_session *s, struct gw_effects *out)
{
    INVARIANT(s->is_staging);
    s->is_staging = false;
    s->stall = GW_WAITS_FOR_ROOM;
    gw_order(out, GW_PAUSE);
}

static void take_room(struct gw_session *s, uint64_t now_ms, struct gw_effects *out)
{
    if (s->stall == GW_WAITS_FOR_ROOM) {
        s->stall = GW_FLOWS;
        s->heard_ms =
            now_ms; /* we were not listening: the time does not count against the client */
        gw_order(out, GW_RESUME);
    }
}

static void take_stored(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    INVARIANT(ev->position >= s->durable);
    s->durable = ev->position;
    if (s->stall == GW_WAITS_FOR_ACKS) {
        s->heard_ms = ev->now_ms;
    }
    release(s, out);
}

static void take_tick(struct gw_session *s, uint64_t now_ms, struct gw_effects *out)
{
    if (now_ms < gw_session_due_ms(s)) {
        return;
    }
    struct mqtt_fault why = {
        .reason = MQTT_KEEP_ALIVE_TIMEOUT,
        .clause = s->state == GW_LIVE ? "silent for one and a half times the keep alive (3.1.2.10)"
                                      : "no CONNECT in time (3.1.4)"};
    gw_close(s, out, GW_END_KEEP_ALIVE, why);
}

static void step_new(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    switch (ev->kind) {
    case GW_SAW_PACKET: in_new[ev->packet->type](s, ev->packet, out); return;
    case GW_SAW_FAULT: gw_take_denial(s, ev->fault, out); return;
    case GW_TICK: take_tick(s, ev->now_ms, out); return;
    case GW_STOPPING: gw_close(s, out, GW_END_STOPPING, (struct mqtt_fault){0}); return;
    case GW_LOST: gw_enter(s, GW_CLOSED); return;
    case GW_ADMITTED:
    case GW_DENIED:
    case GW_STAGED:
    case GW_NO_ROOM:
    case GW_HAS_ROOM:
    case GW_STORED:
    case GW_TOOK_OVER: return; /* of others, or of nothing this session ordered */
    }
    UNREACHABLE();
}

static void step_checking(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    switch (ev->kind) {
    case GW_ADMITTED:
        gw_enter(s, GW_LIVE);
        s->heard_ms = ev->now_ms;
        gw_order_connack(s, out);
        return;
    case GW_DENIED: {
        struct mqtt_fault why = {ev->reason, mqtt_reason_name(ev->reason), s->version};
        gw_take_denial(s, why, out);
        return;
    }
    case GW_SAW_PACKET:
    case GW_SAW_FAULT: (void)HOLDS(s->state != GW_CHECKING); return; /* admission answers at once */
    case GW_STOPPING: gw_close(s, out, GW_END_STOPPING, (struct mqtt_fault){0}); return;
    case GW_LOST: gw_enter(s, GW_CLOSED); return;
    case GW_TICK: take_tick(s, ev->now_ms, out); return;
    case GW_STAGED:
    case GW_NO_ROOM:
    case GW_HAS_ROOM:
    case GW_STORED:
    case GW_TOOK_OVER: return;
    }
    UNREACHABLE();
}

static void step_live(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    switch (ev->kind) {
    case GW_SAW_PACKET:
        INVARIANT(!s->is_staging);
        s->heard_ms = ev->now_ms;
        in_live[ev->packet->type](s, ev->packet, out);
        return;
    case GW_SAW_FAULT: gw_close(s, out, GW_END_REFUSED, ev->fault); return;
    case GW_STAGED: take_staged(s, ev->position); return;
    case GW_NO_ROOM: take_no_room(s, out); return;
    case GW_HAS_ROOM: take_room(s, ev->now_ms, out); return;
    case GW_STORED: take_stored(s, ev, out); return;
    case GW_TICK: take_tick(s, ev->now_ms, out); return;
    case GW_TOOK_OVER:
        gw_close(
            s, out, GW_END_TAKEN_OVER,
            (struct mqtt_fault){.reason = MQTT_SESSION_TAKEN_OVER,
                                .clause = "another connection has this client id now (3.1.4-3)"});
        return;
    case GW_STOPPING:
        gw_close(s, out, GW_END_STOPPING,
                 (struct mqtt_fault){.reason = MQTT_SERVER_SHUTTING_DOWN,
                                     .clause = "the gateway stops"});
        return;
    case GW_LOST: gw_enter(s, GW_CLOSED); return;
    case GW_ADMITTED:
    case GW_DENIED: (void)HOLDS(s->state != GW_LIVE); return; /* it was asked for once */
    }
    UNREACHABLE();
}

void gw_session_step(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    out->count = 0;
    switch (s->state) {
    case GW_NEW: step_new(s, ev, out); break;
    case GW_CHECKING: step_checking(s, ev, out); break;
    case GW_LIVE: step_live(s, ev, out); break;
    case GW_CLOSED: break;
    }
    (void)promise_holds(PROMISE_BOUNDED_COST, s->inflight_count <= s->limits->inflight_max
                                                  && out->count <= GW_EFFECTS_MAX);
}

uint64_t gw_session_due_ms(const struct gw_session *s)
{
    switch (s->state) {
    case GW_NEW:
    case GW_CHECKING: return s->heard_ms + s->limits->connect_ms;
    case GW_LIVE:
        return s->stall == GW_FLOWS ? s->heard_ms + (uint64_t)s->keep_alive_s * 1500 : UINT64_MAX;
    case GW_CLOSED: return UINT64_MAX;
    }
    UNREACHABLE();
}

void gw_session_init(struct gw_session *s,
                     const struct gw_limits *limits,
                     struct gw_pending *inflight,
                     const struct device_id *device,
                     uint64_t number,
                     uint64_t now_ms)
{
    INVARIANT(limits->inflight_max > 0 && limits->inflight_max <= GW_INFLIGHT_CAP);
    INVARIANT(limits->keep_alive_max_s > 0 && limits->keep_alive_max_s <= UINT16_MAX);
    *s = (struct gw_session){
        .limits = limits,
        .inflight = inflight,
        .device = *device,
        .number = number,
        .heard_ms = now_ms,
        .peer_packet_max = UINT32_MAX,
    };
    struct writer w = writer_over(s->prefix, sizeof s->prefix);
    write_text(&w, "hf/1/");
    device_id_write_text(&w, device);
    write_u8(&w, '/');
    INVARIANT(writer_ok(&w) && w.len == sizeof s->prefix);
}

void gw_session_check(const struct gw_session *s)
{
    INVARIANT(s->inflight_count <= s->limits->inflight_max);
    INVARIANT(s->inflight_head < s->limits->inflight_max);
    INVARIANT(s->client_id_len <= GW_CLIENT_ID_MAX);
    INVARIANT(!s->is_staging || s->state == GW_LIVE);
    uint64_t before = 0;
    for (uint32_t i = 0; i < s->inflight_count; i++) {
        const struct gw_pending *p = ring_at(s, i);
        INVARIANT(p->packet_id != 0);
        INVARIANT(p->position >= before);
        INVARIANT(p->position > s->durable || s->state == GW_CLOSED);
        INVARIANT(p->position <= s->staged);
        before = p->position;
    }
}
