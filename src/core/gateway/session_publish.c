/*
 * PUBLISH from the client and what finishes it (3.3 to 3.7, 4.3), and its answers to what was
 * published to it. An acknowledgement leaves only once what it promises is on stable storage, in
 * the order of the packets it answers (4.6).
 */
#include "base/invariant.h"
#include "core/gateway/session_inside.h"

struct gw_pending *gw_ring_at(const struct gw_session *s, uint32_t i)
{
    uint32_t at = s->inflight_head + i;
    return &s->inflight[at < s->limits->inflight_max ? at : at - s->limits->inflight_max];
}

static void push_pending(struct gw_session *s, struct gw_pending pending)
{
    INVARIANT(s->inflight_count < s->limits->inflight_max);
    *gw_ring_at(s, s->inflight_count) = pending;
    s->inflight_count++;
}

/* What had nothing to be stored waits for nothing but the answers before its own: not for what was
 * staged without one (QoS 0), of whose being durable nobody would tell this session. */
static uint64_t last_pending(const struct gw_session *s)
{
    return s->inflight_count > 0 ? gw_ring_at(s, s->inflight_count - 1)->position : 0;
}

/* Orders the answers of `count` pendings from the head on: one run, or two where the ring wraps. */
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

static void note_released(struct gw_session *s, const struct gw_pending *p)
{
    if (p->type == MQTT_PUBREC && p->reason < MQTT_UNSPECIFIED_ERROR && !p->is_repeat) {
        s->unreleased++;
    }
}

/* Answers leave in the order of their packets (4.6.0-2), each only once its record is durable. */
void gw_release(struct gw_session *s, struct gw_effects *out)
{
    uint32_t count = 0;
    while (count < s->inflight_count && gw_ring_at(s, count)->position <= s->durable) {
        note_released(s, gw_ring_at(s, count));
        count++;
    }
    order_acks(s, count, out);
    if (s->stall == GW_WAITS_FOR_ACKS && s->inflight_count < s->limits->inflight_max) {
        s->stall = GW_FLOWS;
        gw_order(out, GW_RESUME);
    }
}

/* ---- PUBLISH ---- */

/* One message is refused, not the connection, where version and QoS have a way to say so (3.3.5).
 */
static void refuse_message(struct gw_session *s,
                           uint8_t qos,
                           uint16_t packet_id,
                           struct mqtt_fault fault,
                           struct gw_effects *out)
{
    if (s->version != MQTT_5_0) {
        gw_close(s, out, GW_END_REFUSED, fault);
        return;
    }
    gw_order(out, GW_REFUSE)->fault = fault;
    if (qos > 0) {
        push_pending(s, (struct gw_pending){.position = last_pending(s),
                                            .packet_id = packet_id,
                                            .reason = (uint8_t)fault.reason,
                                            .type = qos == 1 ? MQTT_PUBACK : MQTT_PUBREC});
        gw_release(s, out);
    }
}

static void wait_for_acks(struct gw_session *s, struct gw_effects *out)
{
    s->stall = GW_WAITS_FOR_ACKS;
    gw_order(out, GW_PAUSE)->comes_again = true;
}

static struct mqtt_fault fault_of(const struct gw_session *s, struct slice topic)
{
    if (topic.len > GW_TOPIC_MAX) {
        return (struct mqtt_fault){.reason = MQTT_TOPIC_NAME_INVALID,
                                   .clause = "a topic longer than 512 bytes"};
    }
    return gw_may_publish(s->rights, s->prefix, topic);
}

void gw_take_publish(struct gw_session *s, const struct mqtt_packet *packet, struct gw_effects *out)
{
    const struct mqtt_publish *p = &packet->publish;
    struct slice topic = p->topic;
    if (p->properties.present != 0 && !gw_alias_in(s, p, &topic, out)) {
        return;
    }
    if (p->qos > 0 && s->version == MQTT_5_0
        && s->inflight_count + s->unreleased >= s->limits->inflight_max) {
        gw_refuse(s, out, MQTT_RECEIVE_MAXIMUM_EXCEEDED,
                  "more publishes in flight than agreed (3.3.4)");
        return;
    }
    if (p->qos > 0 && s->inflight_count == s->limits->inflight_max) {
        wait_for_acks(s, out); /* 3.1.1 could not be told the limit */
        return;
    }
    struct mqtt_fault fault = fault_of(s, topic);
    if (fault.clause != NULL) {
        refuse_message(s, p->qos, p->packet_id, fault, out);
        return;
    }
    gw_await(s, MQTT_PUBLISH, p->packet_id);
    s->staging_qos = p->qos;
    struct gw_effect *effect = gw_order(out, GW_APPEND);
    effect->message.topic = topic;
    effect->message.payload = p->payload;
    effect->message.publish = p;
}

void gw_publish_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    if (ev->staged.reason >= MQTT_UNSPECIFIED_ERROR) {
        enum mqtt_reason reason = (enum mqtt_reason)ev->staged.reason;
        struct mqtt_fault fault = {.reason = reason, .clause = mqtt_reason_name(reason)};
        refuse_message(s, s->staging_qos, s->staging_packet_id, fault, out);
        return;
    }
    if (s->staging_qos == 0) {
        return;
    }
    push_pending(s,
                 (struct gw_pending){
                     .position = ev->staged.position != 0 ? ev->staged.position : last_pending(s),
                     .packet_id = s->staging_packet_id,
                     .reason = s->version == MQTT_5_0 ? ev->staged.reason : 0,
                     .type = s->staging_qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
                     .is_repeat = ev->staged.is_repeat,
                 });
    if (ev->staged.position == 0) {
        gw_release(s, out);
    }
}

/* ---- PUBREL ---- */

void gw_take_pubrel(struct gw_session *s, const struct mqtt_packet *packet, struct gw_effects *out)
{
    if (s->inflight_count == s->limits->inflight_max) {
        wait_for_acks(s, out);
        return;
    }
    gw_await(s, MQTT_PUBREL, packet->ack.packet_id);
    gw_order(out, GW_RELEASE)->packet_id = packet->ack.packet_id;
}

/* An id that is not known has been released before, and waits for nothing of its own: what released
 * it is in the ring, or was durable before CONNACK. */
void gw_pubrel_staged(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    bool is_found = ev->staged.reason == MQTT_SUCCESS;
    s->unreleased -= is_found && s->unreleased > 0;
    push_pending(s,
                 (struct gw_pending){
                     .position = ev->staged.position != 0 ? ev->staged.position : last_pending(s),
                     .packet_id = s->staging_packet_id,
                     .reason = s->version == MQTT_5_0 ? ev->staged.reason : 0,
                     .type = MQTT_PUBCOMP,
                 });
    if (ev->staged.position == 0) {
        gw_release(s, out);
    }
}

/* ---- PUBACK, PUBREC, PUBCOMP: of what was published to the client ---- */

void gw_take_ack(struct gw_session *s, const struct mqtt_packet *packet, struct gw_effects *out)
{
    gw_await(s, packet->type, packet->ack.packet_id);
    struct gw_effect *effect = gw_order(out, GW_TAKE_ACK);
    effect->ack.type = packet->type;
    effect->ack.packet_id = packet->ack.packet_id;
    effect->ack.reason = packet->ack.reason;
}

/* An id that nothing is in flight with was finished before, or was never used: nothing is lost by
 * it. Only a PUBREC must be answered, or its sender keeps the message for ever (4.3.3, 3.6.2.1). */
void gw_ack_taken(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    if (ev->staged.reason == MQTT_PACKET_ID_NOT_FOUND && s->staging_type == MQTT_PUBREC) {
        struct mqtt_packet *p = &gw_order(out, GW_SEND)->packet;
        *p = (struct mqtt_packet){.type = MQTT_PUBREL, .ack = {.packet_id = s->staging_packet_id}};
        p->ack.reason = s->version == MQTT_5_0 ? MQTT_PACKET_ID_NOT_FOUND : MQTT_SUCCESS;
    } else if (ev->staged.reason == MQTT_PROTOCOL_ERROR) {
        gw_refuse(s, out, MQTT_PROTOCOL_ERROR,
                  "an acknowledgement of another kind than the message's QoS asks for (4.3)");
    }
}
