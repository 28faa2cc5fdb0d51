/* PUBLISH (3.3) and its acknowledgements (3.4 to 3.7). */
#include "codec/mqtt_topic.h"
#include "codec/mqtt_wire.h"

enum { FLAG_RETAIN = 0x01, FLAG_QOS_SHIFT = 1, FLAG_QOS = 0x06, FLAG_DUP = 0x08 };

static void read_topic(struct mqtt_scan *s, struct mqtt_publish *out)
{
    out->topic = read_prefixed_u16(&s->r);
    if (out->topic.len == 0 && s->version == MQTT_5_0) {
        return; /* an alias must stand for it */
    }
    if (mqtt_topic_name_is_valid(out->topic)) {
        return;
    }
    if (!mqtt_string_is_valid(out->topic)) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET,
                         "the topic is not UTF-8, or holds U+0000 or a surrogate (1.5.4)");
    } else {
        mqtt_scan_refuse(s, MQTT_TOPIC_NAME_INVALID,
                         "the topic is empty or has a wildcard (3.3.2.1)");
    }
}

void mqtt_decode_publish(struct mqtt_scan *s, uint8_t flags, struct mqtt_publish *out)
{
    out->dup = (flags & FLAG_DUP) != 0;
    out->retain = (flags & FLAG_RETAIN) != 0;
    out->qos = (uint8_t)((flags & FLAG_QOS) >> FLAG_QOS_SHIFT);
    if (out->qos > 2) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "the QoS is 3 (3.3.1.2)");
    }
    if (out->qos == 0 && out->dup) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "DUP with QoS 0 (3.3.1.1)");
    }
    read_topic(s, out);
    if (out->qos > 0) {
        out->packet_id = mqtt_read_packet_id(s);
    }
    mqtt_read_properties(s, MQTT_PUBLISH, &out->properties);
    if (out->topic.len == 0 && !mqtt_has(&out->properties, MQTT_TOPIC_ALIAS)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "neither a topic nor an alias (3.3.2.3.4)");
    }
    out->payload = read_bytes(&s->r, s->r.rest.len);
}

void mqtt_encode_publish(struct writer *w,
                         enum mqtt_version version,
                         const struct mqtt_publish *publish)
{
    write_prefixed_u16(w, publish->topic);
    if (publish->qos > 0) {
        write_u16(w, publish->packet_id);
    }
    if (version == MQTT_5_0) {
        mqtt_write_properties(w, &publish->properties);
    }
    write_slice(w, publish->payload);
}

void mqtt_decode_ack(struct mqtt_scan *s, enum mqtt_type type, struct mqtt_ack *out)
{
    out->packet_id = mqtt_read_packet_id(s);
    if (s->version == MQTT_5_0 && s->r.rest.len > 0) {
        out->reason = mqtt_read_reason(s, type);
        if (s->r.rest.len > 0) {
            mqtt_read_properties(s, type, &out->properties);
        }
    }
}

void mqtt_encode_ack(struct writer *w, enum mqtt_version version, const struct mqtt_ack *ack)
{
    write_u16(w, ack->packet_id);
    bool has_properties = !mqtt_properties_are_absent(&ack->properties);
    if (version == MQTT_5_0 && (ack->reason != MQTT_SUCCESS || has_properties)) {
        write_u8(w, ack->reason);
        if (has_properties) {
            mqtt_write_properties(w, &ack->properties);
        }
    }
}

void mqtt_ack_write(struct writer *w,
                    enum mqtt_version version,
                    enum mqtt_type type,
                    uint16_t packet_id,
                    uint8_t reason)
{
    bool has_reason = version == MQTT_5_0 && reason != MQTT_SUCCESS;
    uint8_t bytes[MQTT_ACK_MAX] = {
        (uint8_t)((unsigned)type << 4 | (type == MQTT_PUBREL ? 2 : 0)), /* 3.6.1 */
        has_reason ? 3 : 2,
        (uint8_t)(packet_id >> 8),
        (uint8_t)packet_id,
        reason,
    };
    write_bytes(w, bytes, has_reason ? 5 : 4);
}
