/* A session on the bench of its tests: what it is given, and what it ordered last. */
#ifndef CORE_GATEWAY_SESSION_BENCH_H
#define CORE_GATEWAY_SESSION_BENCH_H

#include "base/invariant.h"
#include "core/gateway/session.h"
#include "core/gateway/session_trace.h"

#include <stdio.h>
#include <string.h>

enum { INFLIGHT = 4, NOW = 1000000 };

static const struct gw_limits limits = {
    .packet_max = 4096,
    .inflight_max = INFLIGHT,
    .keep_alive_max_s = 100,
    .connect_ms = 5000,
    .session_expiry_max_s = 3600,
    .allow_3_1_1 = true,
};
static const struct device_id device = {{0xab, 0xcd}};
#define OWN "hf/1/hf1:abcd0000000000000000000000000000/"

/* A session, what it ordered last, and the packet it is given. */
struct bench {
    struct gw_session s;
    struct gw_pending inflight[INFLIGHT];
    struct gw_effects fx;
    struct mqtt_packet packet;
    uint64_t now_ms;
};

/* Whatever these tests do is recorded as in a gateway, in a ring that is too small for some of it.
 */
static inline void record(const struct bench *b, const struct gw_event *ev)
{
    static _Alignas(16) uint8_t memory[1 << 14];
    static struct recorder ring;
    static uint32_t mark;
    static const struct gw_session *last;
    if (ring.half_cap == 0) {
        recorder_init(&ring, memory, sizeof memory);
    }
    mark = last == &b->s ? mark : 0;
    last = &b->s;
    gw_trace_event(&ring, &mark, 1, &b->s, ev, b->s.durable);
    INVARIANT(ring.used[0] <= ring.half_cap && ring.used[1] <= ring.half_cap);
}

static inline void step(struct bench *b, struct gw_event ev)
{
    ev.now_ms = b->now_ms;
    record(b, &ev);
    gw_session_step(&b->s, &ev, &b->fx);
    gw_session_check(&b->s);
}

static inline void give(struct bench *b)
{
    step(b, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &b->packet});
}

static inline void tell(struct bench *b, enum gw_event_kind kind)
{
    step(b, (struct gw_event){.kind = kind});
}

static inline void staged(struct bench *b, uint64_t position)
{
    step(b, (struct gw_event){.kind = GW_STAGED, .staged = {.position = position}});
}

/* What was ordered is answered with a reason and, of filters, with codes. */
static inline void answered(struct bench *b,
                            uint64_t position,
                            unsigned reason,
                            const uint8_t *codes)
{
    step(b, (struct gw_event){
                .kind = GW_STAGED,
                .staged = {.position = position, .reason = (uint8_t)reason, .codes = codes}});
}

static inline void stored(struct bench *b, uint64_t position)
{
    step(b, (struct gw_event){.kind = GW_STORED, .position = position});
}

static inline void begin(struct bench *b)
{
    static struct gw_aliases aliases;
    memset(b, 0, sizeof *b);
    b->now_ms = NOW;
    const struct gw_place place = {.limits = &limits, .inflight = b->inflight, .aliases = &aliases};
    gw_session_init(&b->s, &place, &device, 7, b->now_ms);
}

static inline void connect_packet(struct bench *b, enum mqtt_version version)
{
    b->packet = (struct mqtt_packet){.type = MQTT_CONNECT};
    b->packet.connect = (struct mqtt_connect){
        .version = version, .clean_start = true, .keep_alive_s = 60, .client_id = slice_text("me")};
}

static inline void go_live(struct bench *b, enum mqtt_version version)
{
    begin(b);
    connect_packet(b, version);
    give(b);
    tell(b, GW_ADMITTED);
}

static inline void publish_packet(struct bench *b,
                                  const char *topic,
                                  uint8_t qos,
                                  uint16_t packet_id)
{
    b->packet = (struct mqtt_packet){.type = MQTT_PUBLISH};
    b->packet.publish = (struct mqtt_publish){.qos = qos,
                                              .packet_id = qos > 0 ? packet_id : 0,
                                              .topic = slice_text(topic),
                                              .payload = slice_text("{}")};
}

static inline const struct gw_effect *find(const struct bench *b, enum gw_effect_kind kind)
{
    for (uint32_t i = 0; i < b->fx.count; i++) {
        if (b->fx.list[i].kind == kind) {
            return &b->fx.list[i];
        }
    }
    return NULL;
}

/* The reason in the DISCONNECT or CONNACK that was ordered; 0 where none was. */
static inline unsigned said(const struct bench *b)
{
    const struct gw_effect *effect = find(b, GW_SEND);
    if (effect == NULL) {
        return 0;
    }
    return effect->packet.type == MQTT_CONNACK ? effect->packet.connack.reason
                                               : effect->packet.disconnect.reason;
}

static inline unsigned refused_with(const struct bench *b)
{
    const struct gw_effect *effect = find(b, GW_REFUSE);
    return effect != NULL ? (unsigned)effect->fault.reason : 0;
}

static inline void subscribe_packet(struct bench *b, const char *const *filters, size_t count)
{
    static uint8_t entries[8192];
    struct writer w = writer_over(entries, sizeof entries);
    for (size_t i = 0; i < count; i++) {
        mqtt_subscription_write(
            &w, &(struct mqtt_subscription){.filter = slice_text(filters[i]), .qos = 2});
    }
    b->packet = (struct mqtt_packet){.type = MQTT_SUBSCRIBE};
    b->packet.subscribe = (struct mqtt_subscribe){
        .packet_id = 9, .count = (uint16_t)count, .entries = writer_slice(&w)};
}

static inline void sample(struct bench *b, enum mqtt_type type, enum mqtt_version version)
{
    static uint8_t entry[64];
    struct writer w = writer_over(entry, sizeof entry);
    b->packet = (struct mqtt_packet){.type = type};
    if (type == MQTT_CONNECT) {
        connect_packet(b, version);
    } else if (type == MQTT_PUBLISH) {
        publish_packet(b, OWN "t/s", 1, 1);
    } else if (type == MQTT_SUBSCRIBE) {
        mqtt_subscription_write(&w, &(struct mqtt_subscription){.filter = slice_text(OWN "c")});
        b->packet.subscribe =
            (struct mqtt_subscribe){.packet_id = 1, .count = 1, .entries = writer_slice(&w)};
    } else if (type == MQTT_UNSUBSCRIBE) {
        mqtt_filter_write(&w, slice_text(OWN "c"));
        b->packet.unsubscribe =
            (struct mqtt_unsubscribe){.packet_id = 1, .count = 1, .entries = writer_slice(&w)};
    } else if (type >= MQTT_PUBACK && type <= MQTT_PUBCOMP) {
        b->packet.ack = (struct mqtt_ack){.packet_id = 1};
    }
}

#endif
