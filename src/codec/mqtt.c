/* Frames, and which decoder and encoder serves which type. */
#include "codec/mqtt.h"

#include "base/invariant.h"
#include "codec/mqtt_wire.h"

#include <string.h>

enum { FLAGS_NONE = 0x0, FLAGS_TWO = 0x2, FLAGS_ANY = 0xff };

struct type_rule {
    const char *name;
    uint8_t flags; /* the one value of the reserved flags (2.1.3), or any */
    bool from_client;
    bool from_server;
};

static const struct type_rule types[MQTT_TYPE_COUNT] = {
    [MQTT_CONNECT] = {"CONNECT", FLAGS_NONE, true, false},
    [MQTT_CONNACK] = {"CONNACK", FLAGS_NONE, false, true},
    [MQTT_PUBLISH] = {"PUBLISH", FLAGS_ANY, true, true},
    [MQTT_PUBACK] = {"PUBACK", FLAGS_NONE, true, true},
    [MQTT_PUBREC] = {"PUBREC", FLAGS_NONE, true, true},
    [MQTT_PUBREL] = {"PUBREL", FLAGS_TWO, true, true},
    [MQTT_PUBCOMP] = {"PUBCOMP", FLAGS_NONE, true, true},
    [MQTT_SUBSCRIBE] = {"SUBSCRIBE", FLAGS_TWO, true, false},
    [MQTT_SUBACK] = {"SUBACK", FLAGS_NONE, false, true},
    [MQTT_UNSUBSCRIBE] = {"UNSUBSCRIBE", FLAGS_TWO, true, false},
    [MQTT_UNSUBACK] = {"UNSUBACK", FLAGS_NONE, false, true},
    [MQTT_PINGREQ] = {"PINGREQ", FLAGS_NONE, true, false},
    [MQTT_PINGRESP] = {"PINGRESP", FLAGS_NONE, false, true},
    [MQTT_DISCONNECT] = {"DISCONNECT", FLAGS_NONE, true, true},
    [MQTT_AUTH] = {"AUTH", FLAGS_NONE, true, true},
};

const char *mqtt_type_name(enum mqtt_type type)
{
    bool known = type >= MQTT_CONNECT && (int)type < MQTT_TYPE_COUNT;
    return known ? types[type].name : "reserved type 0";
}

static enum mqtt_result refuse(struct mqtt_fault *fault,
                               enum mqtt_reason reason,
                               const char *clause)
{
    *fault = (struct mqtt_fault){.reason = reason, .clause = clause};
    return MQTT_REFUSED;
}

/* The length in bytes 2 to 5. MQTT_MORE while it has no end. */
static enum mqtt_result read_remaining(struct slice bytes, size_t *header_len, size_t *remaining)
{
    size_t value = 0;
    for (size_t i = 1; i < MQTT_FIXED_HEADER_MAX; i++) {
        if (i >= bytes.len) {
            return MQTT_MORE;
        }
        value |= (size_t)(bytes.at[i] & 0x7f) << (7 * (i - 1));
        if (bytes.at[i] < 0x80) {
            if (bytes.at[i] == 0 && i > 1) {
                return MQTT_REFUSED;
            }
            *header_len = i + 1;
            *remaining = value;
            return MQTT_OK;
        }
    }
    return MQTT_REFUSED;
}

enum mqtt_result mqtt_frame_next(struct slice bytes,
                                 size_t size_max,
                                 struct mqtt_frame *out,
                                 struct mqtt_fault *fault)
{
    *out = (struct mqtt_frame){0};
    if (bytes.len == 0) {
        return MQTT_MORE;
    }
    unsigned type = bytes.at[0] >> 4;
    uint8_t flags = bytes.at[0] & 0x0f;
    if (type == 0) {
        return refuse(fault, MQTT_MALFORMED_PACKET, "packet type 0 is reserved (2.1.2)");
    }
    if (types[type].flags != FLAGS_ANY && types[type].flags != flags) {
        return refuse(fault, MQTT_MALFORMED_PACKET,
                      "the reserved flags are not as they must be (2.1.3)");
    }
    size_t header_len = 0, remaining = 0;
    switch (read_remaining(bytes, &header_len, &remaining)) {
    case MQTT_OK: break;
    case MQTT_MORE: return MQTT_MORE;
    case MQTT_REFUSED:
    case MQTT_NO_ROOM:
        return refuse(
            fault, MQTT_MALFORMED_PACKET,
            "the remaining length is not in its shortest form of at most 4 bytes (2.1.4)");
    }
    if (header_len + remaining > size_max) {
        return refuse(fault, MQTT_PACKET_TOO_LARGE,
                      "the packet is larger than this side takes (3.1.2.11.4)");
    }
    out->size = header_len + remaining;
    if (bytes.len < out->size) {
        return MQTT_MORE;
    }
    out->type = (enum mqtt_type)type;
    out->flags = flags;
    out->body = (struct slice){.at = bytes.at + header_len, .len = remaining};
    return MQTT_OK;
}

static void decode_body(struct mqtt_scan *s, uint8_t flags, struct mqtt_packet *p)
{
    switch (p->type) {
    case MQTT_CONNECT: mqtt_decode_connect(s, &p->connect); return;
    case MQTT_CONNACK: mqtt_decode_connack(s, &p->connack); return;
    case MQTT_PUBLISH: mqtt_decode_publish(s, flags, &p->publish); return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: mqtt_decode_ack(s, p->type, &p->ack); return;
    case MQTT_SUBSCRIBE: mqtt_decode_subscribe(s, &p->subscribe); return;
    case MQTT_UNSUBSCRIBE: mqtt_decode_unsubscribe(s, &p->unsubscribe); return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: mqtt_decode_suback(s, p->type, &p->suback); return;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return;
    case MQTT_DISCONNECT: mqtt_decode_goodbye(s, p->type, &p->disconnect); return;
    case MQTT_AUTH: mqtt_decode_goodbye(s, p->type, &p->auth); return;
    }
    UNREACHABLE();
}

static bool may_send(enum mqtt_type type, enum mqtt_version version, enum mqtt_sender sender)
{
    if (version == MQTT_3_1_1
        && (type == MQTT_AUTH || (type == MQTT_DISCONNECT && sender == MQTT_FROM_SERVER))) {
        return false;
    }
    return sender == MQTT_FROM_CLIENT ? types[type].from_client : types[type].from_server;
}

/* Bytes of a packet of this type, from the struct's start. */
static size_t used_by(enum mqtt_type type)
{
    static const size_t bodies[MQTT_TYPE_COUNT] = {
        [MQTT_CONNECT] = sizeof(struct mqtt_connect),
        [MQTT_CONNACK] = sizeof(struct mqtt_connack),
        [MQTT_PUBLISH] = sizeof(struct mqtt_publish),
        [MQTT_PUBACK] = sizeof(struct mqtt_ack),
        [MQTT_PUBREC] = sizeof(struct mqtt_ack),
        [MQTT_PUBREL] = sizeof(struct mqtt_ack),
        [MQTT_PUBCOMP] = sizeof(struct mqtt_ack),
        [MQTT_SUBSCRIBE] = sizeof(struct mqtt_subscribe),
        [MQTT_SUBACK] = sizeof(struct mqtt_suback),
        [MQTT_UNSUBSCRIBE] = sizeof(struct mqtt_unsubscribe),
        [MQTT_UNSUBACK] = sizeof(struct mqtt_suback),
        [MQTT_DISCONNECT] = sizeof(struct mqtt_goodbye),
        [MQTT_AUTH] = sizeof(struct mqtt_goodbye),
    };
    return offsetof(struct mqtt_packet, connect) + bodies[type];
}

enum mqtt_result mqtt_decode(const struct mqtt_frame *frame,
                             enum mqtt_version version,
                             enum mqtt_sender sender,
                             struct mqtt_packet *out,
                             struct mqtt_fault *fault)
{
    if (!may_send(frame->type, version, sender)) {
        return refuse(fault, MQTT_PROTOCOL_ERROR, "this side may not send such a packet (2.1.2)");
    }
    struct mqtt_scan s = {.r = reader_over(frame->body), .version = version, .sender = sender};
    size_t used = used_by(frame->type); /* a CONNECT is far larger than a PUBLISH, and rarer */
    struct mqtt_packet packet;
    memset(&packet, 0, used);
    packet.type = frame->type;
    decode_body(&s, frame->flags, &packet);
    if (!mqtt_scan_done(&s)) {
        *fault = s.fault;
        fault->version = packet.type == MQTT_CONNECT ? packet.connect.version : 0;
        return MQTT_REFUSED;
    }
    memcpy(out, &packet, used);
    return MQTT_OK;
}

static uint8_t flags_of(const struct mqtt_packet *p)
{
    if (p->type != MQTT_PUBLISH) {
        return types[p->type].flags;
    }
    return (uint8_t)((p->publish.dup ? 8U : 0U) | (p->publish.qos & 3U) << 1
                     | (p->publish.retain ? 1U : 0U));
}

static void encode_body(struct writer *w, enum mqtt_version version, const struct mqtt_packet *p)
{
    switch (p->type) {
    case MQTT_CONNECT: mqtt_encode_connect(w, &p->connect); return;
    case MQTT_CONNACK: mqtt_encode_connack(w, version, &p->connack); return;
    case MQTT_PUBLISH: mqtt_encode_publish(w, version, &p->publish); return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: mqtt_encode_ack(w, version, &p->ack); return;
    case MQTT_SUBSCRIBE: mqtt_encode_subscribe(w, version, &p->subscribe); return;
    case MQTT_UNSUBSCRIBE: mqtt_encode_unsubscribe(w, version, &p->unsubscribe); return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: mqtt_encode_suback(w, version, &p->suback); return;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return;
    case MQTT_DISCONNECT: mqtt_encode_goodbye(w, p->type, &p->disconnect); return;
    case MQTT_AUTH: mqtt_encode_goodbye(w, p->type, &p->auth); return;
    }
    UNREACHABLE();
}

static const struct mqtt_properties *properties_of(const struct mqtt_packet *p)
{
    switch (p->type) {
    case MQTT_CONNECT: return &p->connect.properties;
    case MQTT_CONNACK: return &p->connack.properties;
    case MQTT_PUBLISH: return &p->publish.properties;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP: return &p->ack.properties;
    case MQTT_SUBSCRIBE: return &p->subscribe.properties;
    case MQTT_UNSUBSCRIBE: return &p->unsubscribe.properties;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK: return &p->suback.properties;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return NULL;
    case MQTT_DISCONNECT: return &p->disconnect.properties;
    case MQTT_AUTH: return &p->auth.properties;
    }
    UNREACHABLE();
}

/* What would be lost without a trace on the way to bytes, so that decoding cannot find it. */
static bool says_the_unsayable(const struct mqtt_packet *p, enum mqtt_version version)
{
    const struct mqtt_properties *properties = properties_of(p);
    if (version == MQTT_3_1_1 && properties != NULL && !mqtt_properties_are_absent(properties)) {
        return true;
    }
    if (p->type == MQTT_PUBLISH) {
        return p->publish.qos > 2 || (p->publish.qos == 0 && p->publish.packet_id != 0);
    }
    if (p->type == MQTT_CONNECT) {
        const struct mqtt_connect *c = &p->connect;
        return c->will.qos > 2 || (!c->has_user_name && c->user_name.len > 0)
               || (!c->has_password && c->password.len > 0)
               || (!c->has_will && c->will.topic.len > 0);
    }
    bool is_plain_ack = p->type >= MQTT_PUBACK && p->type <= MQTT_PUBCOMP;
    return is_plain_ack && version == MQTT_3_1_1 && p->ack.reason != 0;
}

static bool is_decodable(struct slice bytes, enum mqtt_version version, enum mqtt_sender sender)
{
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    struct mqtt_packet again;
    return mqtt_frame_next(bytes, bytes.len, &frame, &fault) == MQTT_OK
           && mqtt_decode(&frame, version, sender, &again, &fault) == MQTT_OK;
}

enum mqtt_result mqtt_encode(const struct mqtt_packet *packet,
                             enum mqtt_version version,
                             enum mqtt_sender sender,
                             struct writer *w)
{
    if (packet->type == MQTT_CONNECT) {
        version = packet->connect.version;
    }
    if (says_the_unsayable(packet, version)) {
        return MQTT_REFUSED;
    }
    size_t before = w->len;
    write_u8(w, (uint8_t)((unsigned)packet->type << 4 | flags_of(packet)));
    size_t start = w->len;
    encode_body(w, version, packet);
    mqtt_insert_length(w, start);
    if (!writer_ok(w)) {
        w->len = before;
        w->overflow = false;
        return MQTT_NO_ROOM;
    }
    struct slice bytes = {.at = w->at + before, .len = w->len - before};
    if (!is_decodable(bytes, version, sender)) {
        w->len = before;
        return MQTT_REFUSED;
    }
    return MQTT_OK;
}
