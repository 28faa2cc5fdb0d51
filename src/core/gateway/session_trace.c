#include "core/gateway/session_trace.h"

#include "base/invariant.h"
#include "core/gateway/session_inside.h"

#include <string.h>

enum { CORE = 0 }; /* the gateway's first and only traced core */

static const char *const event_names[GW_EVENT_COUNT] = {
    [GW_SAW_PACKET] = "saw-packet",
    [GW_SAW_FAULT] = "saw-fault",
    [GW_ADMITTED] = "admitted",
    [GW_DENIED] = "denied",
    [GW_STAGED] = "staged",
    [GW_NO_ROOM] = "no-room",
    [GW_QUEUE_FULL] = "queue-full",
    [GW_HAS_ROOM] = "has-room",
    [GW_STORED] = "stored",
    [GW_TOOK_OVER] = "took-over",
    [GW_STOPPING] = "stopping",
    [GW_LOST] = "lost",
    [GW_TICK] = "tick",
};
static const char *const packet_names[MQTT_TYPE_COUNT] = {
    [MQTT_CONNECT] = "CONNECT",   [MQTT_CONNACK] = "CONNACK",
    [MQTT_PUBLISH] = "PUBLISH",   [MQTT_PUBACK] = "PUBACK",
    [MQTT_PUBREC] = "PUBREC",     [MQTT_PUBREL] = "PUBREL",
    [MQTT_PUBCOMP] = "PUBCOMP",   [MQTT_SUBSCRIBE] = "SUBSCRIBE",
    [MQTT_SUBACK] = "SUBACK",     [MQTT_UNSUBSCRIBE] = "UNSUBSCRIBE",
    [MQTT_UNSUBACK] = "UNSUBACK", [MQTT_PINGREQ] = "PINGREQ",
    [MQTT_PINGRESP] = "PINGRESP", [MQTT_DISCONNECT] = "DISCONNECT",
    [MQTT_AUTH] = "AUTH",
};

#define FIELD(member, kind, most) TRACE_FIELD(struct gw_session_image, member, kind, most)

static const struct trace_field session_fields[] = {
    FIELD(session.limits, TRACE_LEFT_OUT, 0),
    FIELD(session.inflight, TRACE_LEFT_OUT, 0),
    FIELD(session.aliases, TRACE_LEFT_OUT, 0),
    FIELD(session.rights, TRACE_LEFT_OUT, 0),
    FIELD(limits.packet_max, TRACE_UINT, UINT32_MAX),
    FIELD(limits.inflight_max, TRACE_UINT, GW_INFLIGHT_CAP),
    FIELD(limits.keep_alive_max_s, TRACE_UINT, UINT16_MAX),
    FIELD(limits.connect_ms, TRACE_UINT, UINT32_MAX),
    FIELD(limits.session_expiry_max_s, TRACE_UINT, UINT32_MAX),
    FIELD(limits.allow_3_1_1, TRACE_FLAG, 0),
    FIELD(session.inflight_head, TRACE_UINT, GW_INFLIGHT_CAP),
    FIELD(session.inflight_count, TRACE_UINT, GW_INFLIGHT_CAP),
    FIELD(session.unreleased, TRACE_UINT, GW_INFLIGHT_CAP),
    FIELD(session.state, TRACE_UINT, GW_STATE_COUNT - 1),
    FIELD(session.version, TRACE_UINT, MQTT_5_0),
    FIELD(session.stall, TRACE_UINT, GW_WAITS_FOR_STORAGE),
    FIELD(session.is_staging, TRACE_FLAG, 0),
    FIELD(session.wants_reasons, TRACE_FLAG, 0),
    FIELD(session.is_application, TRACE_FLAG, 0),
    FIELD(session.has_session, TRACE_FLAG, 0),
    FIELD(session.drops_will, TRACE_FLAG, 0),
    FIELD(session.staging_type, TRACE_UINT, MQTT_TYPE_COUNT - 1),
    FIELD(session.staging_qos, TRACE_UINT, 2),
    FIELD(session.answer_type, TRACE_UINT, MQTT_TYPE_COUNT - 1),
    FIELD(session.answer_count, TRACE_UINT, GW_FILTERS_MAX),
    FIELD(session.staging_packet_id, TRACE_UINT, UINT16_MAX),
    FIELD(session.answer_packet_id, TRACE_UINT, UINT16_MAX),
    FIELD(session.aliases_in, TRACE_UINT, UINT16_MAX),
    FIELD(session.aliases_out, TRACE_UINT, UINT16_MAX),
    FIELD(session.peer_alias_max, TRACE_UINT, UINT16_MAX),
    FIELD(session.keep_alive_s, TRACE_UINT, UINT16_MAX),
    FIELD(session.asked_keep_alive_s, TRACE_UINT, UINT16_MAX),
    FIELD(session.expiry_s, TRACE_UINT, UINT32_MAX),
    FIELD(session.asked_expiry_s, TRACE_UINT, UINT32_MAX),
    FIELD(session.peer_packet_max, TRACE_UINT, UINT32_MAX),
    FIELD(session.heard_ms, TRACE_UINT, UINT64_MAX),
    FIELD(session.staged, TRACE_UINT, UINT64_MAX),
    FIELD(session.durable, TRACE_UINT, UINT64_MAX),
    FIELD(session.answer_position, TRACE_UINT, UINT64_MAX),
    FIELD(session.number, TRACE_UINT, UINT64_MAX),
    FIELD(session.was_assigned, TRACE_FLAG, 0),
    FIELD(session.client_id_len, TRACE_UINT, GW_CLIENT_ID_MAX),
    FIELD(session.client_id, TRACE_OCTETS, 0),
    FIELD(session.prefix, TRACE_OCTETS, 0),
    FIELD(session.codes, TRACE_OCTETS, 0),
    FIELD(session.owner.bytes, TRACE_OCTETS, 0),
};

static const struct trace_field pending_fields[] = {
    TRACE_FIELD(struct gw_pending, position, TRACE_UINT, UINT64_MAX),
    TRACE_FIELD(struct gw_pending, packet_id, TRACE_UINT, UINT16_MAX),
    TRACE_FIELD(struct gw_pending, reason, TRACE_UINT, UINT8_MAX),
    TRACE_FIELD(struct gw_pending, type, TRACE_UINT, MQTT_PUBCOMP),
    TRACE_FIELD(struct gw_pending, is_repeat, TRACE_FLAG, 0),
};

#define EVENT(member, kind, most) TRACE_FIELD(struct gw_event_image, member, kind, most)

static const struct trace_field event_fields[] = {
    TRACE_NAMED(struct gw_event_image, kind, event_names),
    EVENT(now_ms, TRACE_UINT, UINT64_MAX),
    EVENT(position, TRACE_UINT, UINT64_MAX),
    TRACE_NAMED(struct gw_event_image, type, packet_names),
    EVENT(qos, TRACE_UINT, 2),
    EVENT(packet_id, TRACE_UINT, UINT16_MAX),
    EVENT(flags, TRACE_UINT, 63),
    EVENT(payload_len, TRACE_UINT, MQTT_REMAINING_LENGTH_MAX),
    EVENT(properties, TRACE_UINT, UINT64_MAX),
    EVENT(topic_alias, TRACE_UINT, UINT16_MAX),
    EVENT(reason, TRACE_UINT, UINT8_MAX),
    EVENT(version, TRACE_UINT, MQTT_5_0),
};

static const struct trace_shape pending_shape = {.fields = pending_fields,
                                                 .count = COUNT_OF(pending_fields),
                                                 .image_len = sizeof(struct gw_pending)};
static const struct trace_shape session_shape = {.fields = session_fields,
                                                 .count = COUNT_OF(session_fields),
                                                 .image_len = sizeof(struct gw_session_image),
                                                 .rows = &pending_shape};
static const struct trace_shape event_shape = {.fields = event_fields,
                                               .count = COUNT_OF(event_fields),
                                               .image_len = sizeof(struct gw_event_image)};

/* ---- recording ---- */

/* The pending publishes, oldest first: one run, or two where the ring wraps. */
static void copy_pendings(const struct gw_session *s, uint8_t *to)
{
    uint32_t run = s->limits->inflight_max - s->inflight_head;
    run = run < s->inflight_count ? run : s->inflight_count;
    memcpy(to, &s->inflight[s->inflight_head], run * sizeof *s->inflight);
    memcpy(to + run * sizeof *s->inflight, s->inflight,
           (s->inflight_count - run) * sizeof *s->inflight);
}

static void save_image(const struct gw_session *s, struct gw_session_image *image)
{
    memcpy(&image->session, s, sizeof *s);
    image->limits = *s->limits;
}

static void save(const void *core, void *image, struct writer *bytes)
{
    const struct gw_session *s = core;
    save_image(s, image);
    uint8_t *to = s->inflight_count <= s->limits->inflight_max
                      ? write_reserve(bytes, s->inflight_count * sizeof *s->inflight)
                      : NULL; /* the breach may be just that */
    if (to != NULL) {
        copy_pendings(s, to);
    }
}

const struct trace_core gw_session_trace = {
    .name = "gateway-session", .state = &session_shape, .event = &event_shape, .save = save};

/* What the session does not look at, and nobody should keep. */
static void strip_properties(struct mqtt_properties *p)
{
    p->authentication_data = (struct slice){0};
    p->present &= ~(UINT64_C(1) << MQTT_AUTHENTICATION_DATA);
    p->repeated = (struct slice){0};
    p->present &= ~(UINT64_C(1) << MQTT_USER_PROPERTY);
}

static void strip(struct mqtt_packet *packet)
{
    if (packet->type == MQTT_AUTH) {
        strip_properties(&packet->auth.properties);
    }
    if (packet->type != MQTT_CONNECT) {
        return;
    }
    struct mqtt_connect *c = &packet->connect;
    c->has_user_name = false;
    c->has_password = false;
    c->user_name = (struct slice){0};
    c->password = (struct slice){0};
    c->will.payload = (struct slice){0};
    c->will.properties = (struct mqtt_properties){0};
    strip_properties(&c->properties);
}

static void take_packet(const struct gw_session *s,
                        const struct mqtt_packet *packet,
                        struct gw_event_image *image,
                        struct writer *bytes)
{
    struct mqtt_packet kept = *packet;
    enum mqtt_version version = s->version != 0 ? s->version : MQTT_5_0;
    strip(&kept);
    version = packet->type == MQTT_CONNECT ? packet->connect.version : version;
    image->type = (uint8_t)packet->type;
    image->version = (uint8_t)version;
    if (mqtt_encode(&kept, version, MQTT_FROM_CLIENT, bytes) != MQTT_OK) {
        image->flags = GW_EVENT_CUT;
    }
}

/* Its state, where the half in use does not know it, and room for the event. */
static bool make_known(struct recorder *r,
                       uint32_t *mark,
                       uint32_t instance,
                       const struct gw_session *s,
                       uint32_t event_len)
{
    uint32_t pendings = s->inflight_count * (uint32_t)sizeof *s->inflight;
    const struct recorder_head head = {.image_len = sizeof(struct gw_session_image),
                                       .bytes_len = pendings,
                                       .instance = instance,
                                       .core = CORE,
                                       .what = RECORDER_STATE};
    if (!recorder_knows(r, mark) && s->inflight_count > GW_TRACE_PENDINGS_MAX) {
        return false;
    }
    if (!recorder_make_room(r, mark, head.image_len + pendings, event_len)) {
        return false;
    }
    if (!recorder_knows(r, mark)) {
        struct gw_session_image *image = recorder_put(r, head);
        save_image(s, image);
        copy_pendings(s, (uint8_t *)(image + 1));
        *mark = r->turn;
    }
    return true;
}

/* The place of an event's image; NULL where it cannot be recorded. */
static struct gw_event_image *place(struct recorder *r,
                                    uint32_t *mark,
                                    uint32_t instance,
                                    const struct gw_session *s,
                                    uint32_t image_len,
                                    uint32_t bytes_len)
{
    const struct recorder_head head = {.image_len = image_len,
                                       .bytes_len = bytes_len,
                                       .instance = instance,
                                       .core = CORE,
                                       .what = RECORDER_EVENT};
    struct gw_event_image *at = recorder_put_quickly(r, mark, head);
    if (at == NULL && make_known(r, mark, instance, s, image_len + bytes_len)) {
        at = recorder_put(r, head);
    }
    return at;
}

static void take_staged(const struct gw_session *s,
                        const struct gw_event *ev,
                        struct gw_event_image *image,
                        struct writer *bytes)
{
    image->position = ev->staged.position;
    image->reason = ev->staged.reason;
    image->flags = ev->staged.is_repeat ? GW_EVENT_REPEAT : 0;
    if (ev->staged.codes != NULL) {
        write_bytes(bytes, ev->staged.codes, s->answer_count);
    }
}

/* Events that come once in a while: packets but PUBLISH, faults, answers. */
static void record_rare(struct recorder *r,
                        uint32_t *mark,
                        uint32_t instance,
                        const struct gw_session *s,
                        const struct gw_event *ev,
                        uint64_t durable)
{
    uint8_t packet[GW_TRACE_PACKET_MAX];
    struct writer w = writer_over(packet, sizeof packet);
    struct gw_event_image image = {
        .kind = (uint8_t)ev->kind, .now_ms = ev->now_ms, .position = durable};
    if (ev->kind == GW_SAW_PACKET) {
        take_packet(s, ev->packet, &image, &w);
    } else if (ev->kind == GW_SAW_FAULT) {
        image.reason = (uint8_t)ev->fault.reason;
        image.version = (uint8_t)ev->fault.version;
    } else if (ev->kind == GW_DENIED || ev->kind == GW_STOPPING) {
        image.reason = (uint8_t)ev->stop.reason;
        image.type = (uint8_t)ev->stop.end;
    } else if (ev->kind == GW_ADMITTED) {
        image.position = ev->admitted.position;
        image.flags = ev->admitted.session_present ? GW_EVENT_PRESENT : 0;
    } else if (ev->kind == GW_STAGED) {
        take_staged(s, ev, &image, &w);
    }
    struct slice bytes = writer_slice(&w);
    struct gw_event_image *to = place(r, mark, instance, s, sizeof image, (uint32_t)bytes.len);
    if (to != NULL) {
        *to = image;
        memcpy(to + 1, bytes.at, bytes.len);
    }
}

/* What comes most: nothing is written that need not be. */
static void record_publish(struct recorder *r,
                           uint32_t *mark,
                           uint32_t instance,
                           const struct gw_session *s,
                           const struct gw_event *ev,
                           uint64_t durable)
{
    const struct mqtt_publish *p = &ev->packet->publish;
    const struct slice named = gw_alias_topic(s, p);
    const uint32_t image_len = p->properties.present == 0
                                   ? offsetof(struct gw_event_image, properties)
                                   : sizeof(struct gw_event_image);
    bool is_own =
        named.len >= sizeof s->prefix && memcmp(named.at, s->prefix, sizeof s->prefix) == 0;
    struct slice topic =
        is_own ? slice_of(named.at + sizeof s->prefix, named.len - sizeof s->prefix) : named;
    uint32_t len = (uint32_t)(topic.len < GW_TRACE_TOPIC_MAX ? topic.len : GW_TRACE_TOPIC_MAX);
    struct gw_event_image *to = place(r, mark, instance, s, image_len, len);
    if (to == NULL) {
        return;
    }
    to->kind = GW_SAW_PACKET;
    to->type = MQTT_PUBLISH;
    to->qos = p->qos;
    to->flags = (uint8_t)((p->dup ? GW_EVENT_DUP : 0) | (p->retain ? GW_EVENT_RETAIN : 0)
                          | (is_own ? GW_EVENT_OWN : 0));
    to->reason = 0;
    to->version = 0;
    to->packet_id = p->packet_id;
    to->position = durable;
    to->now_ms = ev->now_ms;
    to->payload_len = (uint32_t)p->payload.len;
    if (p->properties.present != 0) {
        to->properties = p->properties.present;
        to->topic_alias = p->properties.topic_alias;
    }
    memcpy((uint8_t *)to + image_len, topic.at, len);
}

static void record_staged(struct recorder *r,
                          uint32_t *mark,
                          uint32_t instance,
                          const struct gw_session *s,
                          const struct gw_event *ev)
{
    struct gw_event_image *to =
        place(r, mark, instance, s, offsetof(struct gw_event_image, now_ms), 0);
    if (to != NULL) {
        *(uint64_t *)to = 0;
        to->kind = GW_STAGED;
        to->position = ev->staged.position;
    }
}

void gw_trace_event(struct recorder *r,
                    uint32_t *mark,
                    uint32_t instance,
                    const struct gw_session *s,
                    const struct gw_event *ev,
                    uint64_t durable)
{
    if (s->is_application) {
        return;
    }
    if (ev->kind == GW_STAGED && ev->staged.codes == NULL && !ev->staged.is_repeat
        && ev->staged.reason == 0) {
        record_staged(r, mark, instance, s, ev);
    } else if (ev->kind == GW_SAW_PACKET && ev->packet->type == MQTT_PUBLISH) {
        record_publish(r, mark, instance, s, ev, durable);
    } else {
        record_rare(r, mark, instance, s, ev, ev->kind == GW_STORED ? ev->position : durable);
    }
}

/* ---- replaying ---- */

bool gw_trace_restore(const struct gw_session_image *image,
                      struct slice pendings,
                      struct gw_limits *limits,
                      struct gw_pending *inflight,
                      uint32_t inflight_cap,
                      struct gw_aliases *aliases,
                      struct gw_session *out)
{
    const struct gw_limits *l = &image->limits;
    const struct gw_session *s = &image->session;
    if (l->inflight_max == 0 || l->inflight_max > inflight_cap || l->keep_alive_max_s == 0
        || s->inflight_head >= l->inflight_max || s->inflight_count > l->inflight_max
        || pendings.len != s->inflight_count * sizeof *inflight
        || (s->version != 0 && s->version < MQTT_3_1_1) || s->is_application) {
        return false;
    }
    *limits = *l;
    *out = *s;
    out->limits = limits;
    out->inflight = inflight;
    out->aliases = aliases;
    out->rights = NULL;
    for (uint32_t i = 0; i < s->inflight_count; i++) {
        uint32_t to = (s->inflight_head + i) % l->inflight_max;
        memcpy(&inflight[to], pendings.at + i * sizeof *inflight, sizeof *inflight);
    }
    return true;
}

static bool publish_restore(const struct gw_event_image *image,
                            struct slice bytes,
                            const struct gw_session *s,
                            struct writer *topic,
                            struct mqtt_publish *out)
{
    if ((image->flags & GW_EVENT_OWN) != 0) {
        write_bytes(topic, s->prefix, sizeof s->prefix);
    }
    write_slice(topic, bytes);
    *out = (struct mqtt_publish){.qos = image->qos,
                                 .dup = (image->flags & GW_EVENT_DUP) != 0,
                                 .retain = (image->flags & GW_EVENT_RETAIN) != 0,
                                 .packet_id = image->packet_id,
                                 .topic = writer_slice(topic)};
    out->properties.present = image->properties;
    out->properties.topic_alias = (uint16_t)image->topic_alias;
    return writer_ok(topic);
}

static bool packet_restore(const struct gw_event_image *image,
                           struct slice bytes,
                           struct mqtt_packet *out)
{
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    return (image->version == MQTT_5_0 || image->version == MQTT_3_1_1)
           && (image->flags & GW_EVENT_CUT) == 0
           && mqtt_frame_next(bytes, bytes.len, &frame, &fault) == MQTT_OK
           && mqtt_decode(&frame, (enum mqtt_version)image->version, MQTT_FROM_CLIENT, out, &fault)
                  == MQTT_OK;
}

static bool staged_restore(const struct gw_event_image *image,
                           struct slice codes,
                           const struct gw_session *s,
                           struct gw_event *out)
{
    out->staged.position = image->position;
    out->staged.reason = image->reason;
    out->staged.is_repeat = (image->flags & GW_EVENT_REPEAT) != 0;
    out->staged.codes = codes.len > 0 ? codes.at : NULL;
    return codes.len == 0 || codes.len == s->answer_count;
}

bool gw_trace_event_restore(const struct gw_event_image *image,
                            struct slice bytes,
                            const struct gw_session *s,
                            struct gw_event_memory *memory,
                            struct gw_event *out)
{
    struct writer topic = writer_over(memory->topic, sizeof memory->topic);
    *out = (struct gw_event){.kind = (enum gw_event_kind)image->kind, .now_ms = image->now_ms};
    switch (out->kind) {
    case GW_SAW_PACKET:
        out->packet = &memory->packet;
        memory->packet = (struct mqtt_packet){.type = MQTT_PUBLISH};
        return image->type == MQTT_PUBLISH
                   ? publish_restore(image, bytes, s, &topic, &memory->packet.publish)
                   : packet_restore(image, bytes, &memory->packet);
    case GW_SAW_FAULT:
        out->fault = (struct mqtt_fault){.reason = (enum mqtt_reason)image->reason,
                                         .clause = "as recorded",
                                         .version = (enum mqtt_version)image->version};
        return true;
    case GW_DENIED:
    case GW_STOPPING:
        out->stop.end = (enum gw_end)image->type;
        return image->type < GW_END_COUNT
               && mqtt_reason_from_wire(image->reason, &out->stop.reason);
    case GW_STAGED: return staged_restore(image, bytes, s, out);
    case GW_STORED: out->position = image->position; return true;
    case GW_ADMITTED:
        out->admitted.position = image->position;
        out->admitted.session_present = (image->flags & GW_EVENT_PRESENT) != 0;
        return true;
    case GW_QUEUE_FULL:
    case GW_NO_ROOM:
    case GW_HAS_ROOM:
    case GW_TOOK_OVER:
    case GW_LOST:
    case GW_TICK: return true;
    }
    UNREACHABLE();
}
