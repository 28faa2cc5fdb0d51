#include "core/gateway/session.h"

#include "base/invariant.h"
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
        [GW_END_ORDERED] = "ordered",
    };
    return names[end];
}

static void tell_disconnect(const struct gw_session *s,
                            struct gw_effects *out,
                            struct mqtt_fault why,
                            struct slice server_reference)
{
    /* Before CONNACK there is no DISCONNECT (3.14.0-1), and 3.1.1 has none from the server at all.
     */
    if (s->state != GW_LIVE || s->version != MQTT_5_0 || why.clause == NULL) {
        return;
    }
    struct mqtt_packet *p = &gw_order(out, GW_SEND)->packet;
    *p = (struct mqtt_packet){.type = MQTT_DISCONNECT,
                              .disconnect = {.reason = (uint8_t)why.reason}};
    p->disconnect.properties.reason_string = slice_text(why.clause);
    mqtt_set(&p->disconnect.properties, MQTT_REASON_STRING);
    if (server_reference.len > 0) {
        p->disconnect.properties.server_reference = server_reference;
        mqtt_set(&p->disconnect.properties, MQTT_SERVER_REFERENCE);
    }
}

static void close_and_say(struct gw_session *s,
                          struct gw_effects *out,
                          enum gw_end end,
                          struct mqtt_fault why,
                          struct slice server_reference)
{
    tell_disconnect(s, out, why, server_reference);
    if (end == GW_END_REFUSED || end == GW_END_KEEP_ALIVE || end == GW_END_ORDERED) {
        gw_order(out, GW_REFUSE)->fault = why;
    }
    struct gw_effect *effect = gw_order(out, GW_CLOSE);
    effect->close.end = end;
    effect->close.expiry_s = s->expiry_s;
    effect->close.drops_will = s->drops_will;
    gw_enter(s, GW_CLOSED);
}

void gw_close(struct gw_session *s, struct gw_effects *out, enum gw_end end, struct mqtt_fault why)
{
    close_and_say(s, out, end, why, (struct slice){0});
}

void gw_refuse(struct gw_session *s,
               struct gw_effects *out,
               enum mqtt_reason reason,
               const char *clause)
{
    gw_close(s, out, GW_END_REFUSED, (struct mqtt_fault){.reason = reason, .clause = clause});
}

/* ---- packets of a live session ---- */

static void take_pingreq(struct gw_session *s,
                         const struct mqtt_packet *packet,
                         struct gw_effects *out)
{
    (void)s;
    (void)packet;
    gw_order(out, GW_SEND)->packet = (struct mqtt_packet){.type = MQTT_PINGRESP};
}

void gw_await(struct gw_session *s, enum mqtt_type type, uint16_t packet_id)
{
    INVARIANT(!s->is_staging);
    s->is_staging = true;
    s->staging_type = (uint8_t)type;
    s->staging_packet_id = packet_id;
}

void gw_hold(struct gw_session *s, enum mqtt_type answer, uint64_t position, struct gw_effects *out)
{
    s->stall = GW_WAITS_FOR_STORAGE;
    s->answer_type = (uint8_t)answer;
    s->answer_position = position;
    gw_order(out, GW_PAUSE)->comes_again = false;
}

static void take_disconnect(struct gw_session *s,
                            const struct mqtt_packet *packet,
                            struct gw_effects *out)
{
    const struct mqtt_goodbye *d = &packet->disconnect;
    uint32_t asked_s = d->properties.session_expiry_s;
    if (asked_s > 0 && s->asked_expiry_s == 0) {
        gw_refuse(s, out, MQTT_PROTOCOL_ERROR,
                  "a session expiry, after a CONNECT with none (3.14.2.2.2)");
        return;
    }
    if (mqtt_has(&d->properties, MQTT_SESSION_EXPIRY_INTERVAL)) {
        uint32_t most_s = s->limits->session_expiry_max_s;
        s->expiry_s = asked_s < most_s ? asked_s : most_s;
    }
    s->drops_will = d->reason == MQTT_SUCCESS;
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
    [MQTT_CONNECT] = second_connect,
    [MQTT_CONNACK] = wrong_side,
    [MQTT_PUBLISH] = gw_take_publish,
    [MQTT_PUBACK] = gw_take_ack,
    [MQTT_PUBREC] = gw_take_ack,
    [MQTT_PUBREL] = gw_take_pubrel,
    [MQTT_PUBCOMP] = gw_take_ack,
    [MQTT_SUBSCRIBE] = gw_take_subscribe,
    [MQTT_SUBACK] = wrong_side,
    [MQTT_UNSUBSCRIBE] = gw_take_unsubscribe,
    [MQTT_UNSUBACK] = wrong_side,
    [MQTT_PINGREQ] = take_pingreq,
    [MQTT_PINGRESP] = wrong_side,
    [MQTT_DISCONNECT] = take_disconnect,
    [MQTT_AUTH] = no_auth,
};

/* ---- events ---- */

static void take_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    INVARIANT(s->is_staging);
    INVARIANT(ev->staged.position == 0 || ev->staged.position > s->staged);
    s->is_staging = false;
    s->staged = ev->staged.position != 0 ? ev->staged.position : s->staged;
    switch ((enum mqtt_type)s->staging_type) {
    case MQTT_PUBLISH: gw_publish_staged(s, ev, out); return;
    case MQTT_PUBREL: gw_pubrel_staged(s, ev, out); return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP: gw_ack_taken(s, ev, out); return;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE: gw_filters_staged(s, ev, out); return;
    case MQTT_CONNECT:
    case MQTT_CONNACK:
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH: break; /* nothing is staged for these */
    }
    UNREACHABLE();
}

static void take_no_room(struct gw_session *s, enum gw_stall stall, struct gw_effects *out)
{
    INVARIANT(s->is_staging);
    s->is_staging = false;
    s->stall = stall;
    gw_order(out, GW_PAUSE)->comes_again = true;
}

static void take_room(struct gw_session *s, uint64_t now_ms, struct gw_effects *out)
{
    if (s->stall == GW_WAITS_FOR_ROOM || s->stall == GW_WAITS_FOR_QUEUE) {
        s->stall = GW_FLOWS;
        s->heard_ms =
            now_ms; /* we were not listening: the time does not count against the client */
        gw_order(out, GW_RESUME);
    }
}

static void note_durable(struct gw_session *s, const struct gw_event *ev)
{
    INVARIANT(ev->position >= s->durable);
    s->durable = ev->position;
    if (s->stall == GW_WAITS_FOR_ACKS || s->stall == GW_WAITS_FOR_STORAGE) {
        s->heard_ms = ev->now_ms;
    }
}

/* The one answer that reading waits for. */
static void answer_held(struct gw_session *s, struct gw_effects *out)
{
    if (s->stall != GW_WAITS_FOR_STORAGE || s->answer_position > s->durable) {
        return;
    }
    s->stall = GW_FLOWS;
    if (s->answer_type == MQTT_CONNACK) {
        gw_enter(s, GW_LIVE);
        gw_order_connack(s, out);
    } else {
        gw_order_suback(s, out);
    }
    gw_order(out, GW_RESUME);
}

static void take_stored(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    note_durable(s, ev);
    gw_release(s, out);
    answer_held(s, out);
}

static void take_admitted(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    s->heard_ms = ev->now_ms;
    s->has_session = ev->admitted.session_present;
    if (ev->admitted.position > s->durable) {
        s->staged = ev->admitted.position;
        gw_hold(s, MQTT_CONNACK, ev->admitted.position, out);
    } else {
        gw_enter(s, GW_LIVE);
        gw_order_connack(s, out);
    }
}

static void take_stop(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    bool is_plain = ev->stop.reason == MQTT_SUCCESS;
    struct mqtt_fault why = {.reason = is_plain ? MQTT_SERVER_SHUTTING_DOWN : ev->stop.reason,
                             .clause = is_plain ? "the gateway stops" : ev->stop.clause};
    why.clause = why.clause != NULL ? why.clause : mqtt_reason_name(why.reason);
    s->drops_will = ev->stop.drops_will;
    close_and_say(s, out, is_plain ? GW_END_STOPPING : ev->stop.end, why,
                  ev->stop.server_reference);
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
    case GW_STOPPING: take_stop(s, ev, out); return;
    case GW_LOST: gw_enter(s, GW_CLOSED); return;
    case GW_ADMITTED:
    case GW_DENIED:
    case GW_STAGED:
    case GW_NO_ROOM:
    case GW_QUEUE_FULL:
    case GW_HAS_ROOM:
    case GW_STORED:
    case GW_TOOK_OVER: return; /* of others, or of nothing this session ordered */
    }
    UNREACHABLE();
}

static void take_over(struct gw_session *s, struct gw_effects *out)
{
    gw_close(s, out, GW_END_TAKEN_OVER,
             (struct mqtt_fault){.reason = MQTT_SESSION_TAKEN_OVER,
                                 .clause = "another connection has this client id now (3.1.4-3)"});
}

static void step_checking(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    switch (ev->kind) {
    case GW_ADMITTED: take_admitted(s, ev, out); return;
    case GW_DENIED: gw_take_verdict(s, ev, out); return;
    case GW_SAW_PACKET:
    case GW_SAW_FAULT: (void)HOLDS(s->state != GW_CHECKING); return; /* it is not read */
    case GW_STORED: take_stored(s, ev, out); return;
    case GW_TOOK_OVER: take_over(s, out); return;
    case GW_STOPPING: take_stop(s, ev, out); return;
    case GW_LOST: gw_enter(s, GW_CLOSED); return;
    case GW_TICK: take_tick(s, ev->now_ms, out); return;
    case GW_STAGED:
    case GW_NO_ROOM:
    case GW_QUEUE_FULL:
    case GW_HAS_ROOM: return;
    }
    UNREACHABLE();
}

/* A CONNECT that is wrong besides coming a second time would be refused for reasons that a
 * DISCONNECT has no words for (3.14.2.1). */
static void take_fault(struct gw_session *s, struct mqtt_fault fault, struct gw_effects *out)
{
    if (fault.version != 0 || fault.reason == MQTT_UNSUPPORTED_VERSION) {
        second_connect(s, NULL, out);
    } else {
        gw_close(s, out, GW_END_REFUSED, fault);
    }
}

static void step_live(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    switch (ev->kind) {
    case GW_SAW_PACKET:
        INVARIANT(!s->is_staging);
        s->heard_ms = ev->now_ms;
        in_live[ev->packet->type](s, ev->packet, out);
        return;
    case GW_SAW_FAULT: take_fault(s, ev->fault, out); return;
    case GW_STAGED: take_staged(s, ev, out); return;
    case GW_NO_ROOM: take_no_room(s, GW_WAITS_FOR_ROOM, out); return;
    case GW_QUEUE_FULL: take_no_room(s, GW_WAITS_FOR_QUEUE, out); return;
    case GW_HAS_ROOM: take_room(s, ev->now_ms, out); return;
    case GW_STORED: take_stored(s, ev, out); return;
    case GW_TICK: take_tick(s, ev->now_ms, out); return;
    case GW_TOOK_OVER: take_over(s, out); return;
    case GW_STOPPING: take_stop(s, ev, out); return;
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
    case GW_CHECKING:
        return s->stall == GW_FLOWS ? s->heard_ms + s->limits->connect_ms : UINT64_MAX;
    case GW_LIVE:
        return s->stall == GW_FLOWS ? s->heard_ms + (uint64_t)s->keep_alive_s * 1500 : UINT64_MAX;
    case GW_CLOSED: return UINT64_MAX;
    }
    UNREACHABLE();
}

void gw_session_init(struct gw_session *s,
                     const struct gw_place *place,
                     const struct device_id *owner,
                     uint64_t number,
                     uint64_t now_ms)
{
    const struct gw_limits *limits = place->limits;
    INVARIANT(limits->inflight_max > 0 && limits->inflight_max <= GW_INFLIGHT_CAP);
    INVARIANT(limits->keep_alive_max_s > 0 && limits->keep_alive_max_s <= UINT16_MAX);
    *s = (struct gw_session){
        .limits = limits,
        .inflight = place->inflight,
        .aliases = place->aliases,
        .rights = place->rights,
        .is_application = place->rights != NULL,
        .owner = *owner,
        .number = number,
        .heard_ms = now_ms,
        .peer_packet_max = UINT32_MAX,
    };
    gw_device_prefix(owner, s->prefix);
}

void gw_session_check(const struct gw_session *s)
{
    INVARIANT(s->inflight_count <= s->limits->inflight_max);
    INVARIANT(s->inflight_head < s->limits->inflight_max);
    INVARIANT(s->client_id_len <= GW_CLIENT_ID_MAX);
    INVARIANT(!s->is_staging || s->state == GW_LIVE);
    INVARIANT(s->answer_count <= GW_FILTERS_MAX);
    INVARIANT(s->is_application == (s->rights != NULL));
    INVARIANT(s->stall != GW_WAITS_FOR_STORAGE || s->state == GW_CLOSED
              || s->answer_position > s->durable);
    uint64_t before = 0;
    for (uint32_t i = 0; i < s->inflight_count; i++) {
        const struct gw_pending *p = gw_ring_at(s, i);
        INVARIANT(p->packet_id != 0);
        INVARIANT(p->position >= before);
        INVARIANT(p->position > s->durable || s->state == GW_CLOSED);
        INVARIANT(p->position <= s->staged);
        before = p->position;
    }
}
