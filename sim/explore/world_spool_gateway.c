#include "sim/explore/world_spool_gateway.h"

#include "base/invariant.h"
#include "sim/explore/parts.h"

#include <string.h>

void world_bind(struct world *w)
{
    w->outbox.entries = w->entries;
    w->outbox.bytes = w->bytes;
    w->link.session.limits = &w->limits;
    w->link.session.inflight = w->link.pendings;
}

void gateway_link_down(struct world *w)
{
    memset(&w->link, 0, sizeof w->link);
    outbox_link_lost(&w->outbox);
}

static struct gw_event append(struct world *w, const struct gw_effect *effect)
{
    struct spool *s = &w->spool;
    if (s->staged - s->kept == w->bounds[ROOM]) {
        return (struct gw_event){.kind = GW_NO_ROOM};
    }
    s->records[s->staged - s->kept] = effect->message.payload.at[0];
    s->staged++;
    return (struct gw_event){.kind = GW_STAGED, .staged = {.position = s->staged}};
}

static void send_acks(struct world *w,
                      const struct gw_effect *effect,
                      struct explore_breach *breach)
{
    for (uint32_t i = 0; i < effect->acks.count; i++) {
        const struct gw_pending *p = &effect->acks.list[i];
        explore_expect(breach, p->position <= w->spool.durable,
                       "AckedIsKept: a PUBACK leaves before its message is durable");
        INVARIANT(w->link.acks_len < ACKS_MAX);
        w->link.acks[w->link.acks_len++] = p->packet_id;
        for (uint32_t k = 0; k < w->outbox.count && p->reason == 0; k++) {
            const struct outbox_entry *entry = &w->entries[(w->outbox.first + k) % MESSAGES_MAX];
            if (entry->state == OUTBOX_SENT && entry->packet_id == p->packet_id) {
                w->promised |= BIT(entry->seq);
            }
        }
    }
}

void gateway_publish(struct world *w,
                     uint8_t number,
                     uint16_t packet_id,
                     struct explore_breach *breach)
{
    uint8_t topic[GW_TOPIC_PREFIX_LEN + 8];
    struct writer t = writer_over(topic, sizeof topic);
    write_bytes(&t, w->link.session.prefix, GW_TOPIC_PREFIX_LEN);
    write_text(&t, packet_id == BAD_ID ? "nowhere" : "t/s");
    const struct mqtt_packet packet = {.type = MQTT_PUBLISH,
                                       .publish = {.qos = packet_id != 0,
                                                   .packet_id = packet_id,
                                                   .topic = writer_slice(&t),
                                                   .payload = slice_of(&number, 1)}};
    w->link.held = number; /* until it is taken */
    w->link.held_id = packet_id;
    gateway_feed(w, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet}, breach);
    if (!w->link.is_paused) {
        w->link.held = 0;
        w->link.held_id = 0;
    }
}

void gateway_feed(struct world *w, struct gw_event ev, struct explore_breach *breach)
{
    bool is_answered = true;
    bool is_resumed = false;
    while (is_answered && (w->link.is_up || ev.kind == GW_SAW_PACKET)) {
        struct gw_effects fx;
        gw_session_step(&w->link.session, &ev, &fx);
        gw_session_check(&w->link.session);
        is_answered = false;
        for (uint32_t i = 0; i < fx.count; i++) {
            switch (fx.list[i].kind) {
            case GW_ASK_ADMISSION:
                ev = (struct gw_event){.kind = GW_ADMITTED};
                is_answered = true;
                break;
            case GW_APPEND:
                ev = append(w, &fx.list[i]);
                is_answered = true;
                break;
            case GW_ACK: send_acks(w, &fx.list[i], breach); break;
            case GW_PAUSE: w->link.is_paused = true; break;
            case GW_RESUME:
                w->link.is_paused = false;
                is_resumed = true;
                break;
            case GW_CLOSE: w->link.is_up = false; break;
            case GW_RELEASE: /* nobody here publishes with QoS 2, subscribes, or is published to */
            case GW_SUBSCRIBE:
            case GW_UNSUBSCRIBE:
            case GW_TAKE_ACK: UNREACHABLE();
            case GW_SEND:
            case GW_REFUSE: break;
            }
        }
    }
    if (!w->link.is_up) {
        gateway_link_down(w);
    } else if (is_resumed && w->link.held != 0) {
        gateway_publish(w, w->link.held, w->link.held_id, breach);
    }
}

void gateway_connect(struct world *w, struct explore_breach *breach)
{
    static const struct device_id device;
    const struct mqtt_packet packet = {
        .type = MQTT_CONNECT,
        .connect = {.version = w->bounds[IS_3_1_1] != 0 ? MQTT_3_1_1 : MQTT_5_0,
                    .clean_start = true,
                    .client_id = slice_text("d")}};
    w->link.is_up = true;
    const struct gw_place place = {.limits = &w->limits, .inflight = w->link.pendings};
    gw_session_init(&w->link.session, &place, &device, 1, 0);
    gateway_feed(w, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet}, breach);
    explore_expect(breach, w->link.session.state == GW_LIVE, "a good CONNECT is not taken");
}

void gateway_tell_session(struct world *w, bool is_durable, struct explore_breach *breach)
{
    if (w->link.is_up && is_durable && w->link.session.inflight_count > 0) {
        gateway_feed(w, (struct gw_event){.kind = GW_STORED, .position = w->spool.durable}, breach);
    }
    if (w->link.is_up && w->link.session.stall == GW_WAITS_FOR_ROOM) {
        gateway_feed(w, (struct gw_event){.kind = GW_HAS_ROOM}, breach);
    }
}

void gateway_cut(struct world *w, uint8_t left)
{
    struct spool *s = &w->spool;
    gateway_link_down(w);
    s->durable += left;
    s->staged = s->durable;
    s->syncing = 0;
    uint64_t len = s->staged - s->kept;
    memset(s->records + len, 0, sizeof s->records - len);
}
