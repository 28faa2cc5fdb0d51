/*
 * A message on its way through a server (3.3): what of its properties goes on to the subscribers,
 * and the PUBLISH it becomes for each of them, without making a struct of it again.
 */
#include "codec/mqtt_forward.h"

#include "codec/mqtt_wire.h"

void mqtt_forward_properties(struct writer *w, const struct mqtt_properties *p)
{
    if (mqtt_has(p, MQTT_PAYLOAD_FORMAT_INDICATOR)) {
        write_u8(w, MQTT_PAYLOAD_FORMAT_INDICATOR);
        write_u8(w, p->payload_format);
    }
    if (mqtt_has(p, MQTT_CONTENT_TYPE)) {
        write_u8(w, MQTT_CONTENT_TYPE);
        write_prefixed_u16(w, p->content_type);
    }
    if (mqtt_has(p, MQTT_RESPONSE_TOPIC)) {
        write_u8(w, MQTT_RESPONSE_TOPIC);
        write_prefixed_u16(w, p->response_topic);
    }
    if (mqtt_has(p, MQTT_CORRELATION_DATA)) {
        write_u8(w, MQTT_CORRELATION_DATA);
        write_prefixed_u16(w, p->correlation_data);
    }
    struct slice name, value, rest = p->repeated;
    while (mqtt_user_property_next(&rest, &name, &value)) { /* in their order (3.3.2.3.7) */
        mqtt_user_property_write(w, name, value);
    }
}

static size_t varint_len(size_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

static size_t properties_len(const struct mqtt_forward *f)
{
    size_t len = f->properties.len + (f->has_expiry ? 5 : 0) + (f->topic_alias != 0 ? 3 : 0);
    for (uint32_t i = 0; i < f->ids_count; i++) {
        len += 1 + varint_len(f->ids[i]);
    }
    return len;
}

static size_t body_len(const struct mqtt_forward *f, enum mqtt_version version)
{
    size_t len = 2 + f->topic.len + (f->qos > 0 ? 2 : 0) + f->payload.len;
    if (version == MQTT_5_0) {
        size_t properties = properties_len(f);
        len += varint_len(properties) + properties;
    }
    return len;
}

size_t mqtt_forward_size(const struct mqtt_forward *f, enum mqtt_version version)
{
    size_t body = body_len(f, version);
    return 1 + varint_len(body) + body;
}

static void write_forward_properties(struct writer *w, const struct mqtt_forward *f)
{
    mqtt_write_varint(w, (uint32_t)properties_len(f));
    if (f->has_expiry) {
        write_u8(w, MQTT_MESSAGE_EXPIRY_INTERVAL);
        write_u32(w, f->expiry_s);
    }
    if (f->topic_alias != 0) {
        write_u8(w, MQTT_TOPIC_ALIAS);
        write_u16(w, f->topic_alias);
    }
    for (uint32_t i = 0; i < f->ids_count; i++) {
        write_u8(w, MQTT_SUBSCRIPTION_IDENTIFIER);
        mqtt_write_varint(w, f->ids[i]);
    }
    write_slice(w, f->properties);
}

void mqtt_forward_write(struct writer *w, const struct mqtt_forward *f, enum mqtt_version version)
{
    write_u8(w, (uint8_t)((unsigned)MQTT_PUBLISH << 4 | (f->dup ? 8u : 0u) | (unsigned)f->qos << 1
                          | (f->retain ? 1u : 0u)));
    mqtt_write_varint(w, (uint32_t)body_len(f, version));
    write_prefixed_u16(w, f->topic);
    if (f->qos > 0) {
        write_u16(w, f->packet_id);
    }
    if (version == MQTT_5_0) {
        write_forward_properties(w, f);
    }
    write_slice(w, f->payload);
}
