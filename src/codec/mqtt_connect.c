/* CONNECT (3.1) and CONNACK (3.2). */
#include "codec/mqtt_topic.h"
#include "codec/mqtt_wire.h"

enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS_SHIFT = 3,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER_NAME = 0x80
};

static void read_version(struct mqtt_scan *s, struct mqtt_connect *c)
{
    struct slice name = mqtt_read_string(s);
    if (slice_is_text(name, "MQIsdp")) {
        mqtt_scan_refuse(s, MQTT_UNSUPPORTED_VERSION, "MQTT 3.1 is not spoken here (3.1.2.1)");
    } else if (!slice_is_text(name, "MQTT")) {
        mqtt_scan_refuse(s, MQTT_UNSUPPORTED_VERSION, "the protocol name is not MQTT (3.1.2.1)");
    }
    uint8_t level = read_u8(&s->r);
    if (level != MQTT_3_1_1 && level != MQTT_5_0) {
        mqtt_scan_refuse(s, MQTT_UNSUPPORTED_VERSION,
                         "the protocol version is neither 5 nor 4 (3.1.2.2)");
        return;
    }
    c->version = (enum mqtt_version)level;
    s->version = c->version;
}

static void read_flags(struct mqtt_scan *s, struct mqtt_connect *c)
{
    uint8_t flags = read_u8(&s->r);
    c->clean_start = (flags & FLAG_CLEAN) != 0;
    c->has_will = (flags & FLAG_WILL) != 0;
    c->has_user_name = (flags & FLAG_USER_NAME) != 0;
    c->has_password = (flags & FLAG_PASSWORD) != 0;
    c->will.qos = (uint8_t)((flags & FLAG_WILL_QOS) >> FLAG_WILL_QOS_SHIFT);
    c->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
    if ((flags & FLAG_RESERVED) != 0) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "the reserved connect flag is set (3.1.2.3)");
    }
    if (c->will.qos > 2) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "the will QoS is 3 (3.1.2.6)");
    }
    if (!c->has_will && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) != 0) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET,
                         "will QoS or will retain without a will (3.1.2.6, 3.1.2.7)");
    }
    if (s->version == MQTT_3_1_1 && c->has_password && !c->has_user_name) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET,
                         "a password without a user name (3.1.1: 3.1.2.9)");
    }
}

static void read_will(struct mqtt_scan *s, struct mqtt_will *will)
{
    mqtt_read_properties(s, MQTT_PLACE_WILL, &will->properties);
    will->topic = mqtt_read_string(s);
    if (!mqtt_topic_name_is_valid(will->topic)) {
        mqtt_scan_refuse(s, MQTT_TOPIC_NAME_INVALID,
                         "the will topic is not a topic name (3.1.3.3)");
    }
    will->payload = mqtt_read_binary(s);
}

void mqtt_decode_connect(struct mqtt_scan *s, struct mqtt_connect *out)
{
    read_version(s, out);
    read_flags(s, out);
    out->keep_alive_s = read_u16(&s->r);
    mqtt_read_properties(s, MQTT_CONNECT, &out->properties);
    out->client_id = mqtt_read_string(s);
    if (out->has_will) {
        read_will(s, &out->will);
    }
    if (out->has_user_name) {
        out->user_name = mqtt_read_string(s);
    }
    if (out->has_password) {
        out->password = mqtt_read_binary(s);
    }
}

static uint8_t flags_of(const struct mqtt_connect *c)
{
    unsigned flags = 0;
    flags |= c->clean_start ? FLAG_CLEAN : 0U;
    flags |= c->has_will ? FLAG_WILL : 0U;
    flags |= (unsigned)c->will.qos << FLAG_WILL_QOS_SHIFT & FLAG_WILL_QOS;
    flags |= c->will.retain ? FLAG_WILL_RETAIN : 0U;
    flags |= c->has_password ? FLAG_PASSWORD : 0U;
    flags |= c->has_user_name ? FLAG_USER_NAME : 0U;
    return (uint8_t)flags;
}

void mqtt_encode_connect(struct writer *w, const struct mqtt_connect *c)
{
    write_prefixed_u16(w, slice_text("MQTT"));
    write_u8(w, (uint8_t)c->version);
    write_u8(w, flags_of(c));
    write_u16(w, c->keep_alive_s);
    if (c->version == MQTT_5_0) {
        mqtt_write_properties(w, &c->properties);
    }
    write_prefixed_u16(w, c->client_id);
    if (c->has_will) {
        if (c->version == MQTT_5_0) {
            mqtt_write_properties(w, &c->will.properties);
        }
        write_prefixed_u16(w, c->will.topic);
        write_prefixed_u16(w, c->will.payload);
    }
    if (c->has_user_name) {
        write_prefixed_u16(w, c->user_name);
    }
    if (c->has_password) {
        write_prefixed_u16(w, c->password);
    }
}

void mqtt_decode_connack(struct mqtt_scan *s, struct mqtt_connack *out)
{
    uint8_t flags = read_u8(&s->r);
    if (flags > 1) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "a reserved acknowledge flag is set (3.2.2.1)");
    }
    out->session_present = flags == 1;
    out->reason = mqtt_read_reason(s, MQTT_CONNACK);
    if (out->session_present && out->reason != 0) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "session present in a refusal (3.2.2.1.1)");
    }
    mqtt_read_properties(s, MQTT_CONNACK, &out->properties);
}

void mqtt_encode_connack(struct writer *w,
                         enum mqtt_version version,
                         const struct mqtt_connack *connack)
{
    write_u8(w, connack->session_present ? 1 : 0);
    write_u8(w, connack->reason);
    if (version == MQTT_5_0) {
        mqtt_write_properties(w, &connack->properties);
    }
}
