/* SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11). */
#include "codec/mqtt_topic.h"
#include "codec/mqtt_wire.h"

#include <string.h>

enum {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING_SHIFT = 4,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xc0,
    OPTION_RESERVED_3_1_1 = 0xfc
};

static struct mqtt_subscription subscription_of(struct slice filter, uint8_t options)
{
    return (struct mqtt_subscription){
        .filter = filter,
        .qos = options & OPTION_QOS,
        .no_local = (options & OPTION_NO_LOCAL) != 0,
        .retain_as_published = (options & OPTION_RETAIN_AS_PUBLISHED) != 0,
        .retain_handling =
            (uint8_t)((options & OPTION_RETAIN_HANDLING) >> OPTION_RETAIN_HANDLING_SHIFT),
    };
}

static void check_options(struct mqtt_scan *s, struct slice filter, uint8_t options)
{
    struct mqtt_subscription sub = subscription_of(filter, options);
    uint8_t reserved = s->version == MQTT_5_0 ? OPTION_RESERVED : OPTION_RESERVED_3_1_1;
    struct slice name, rest;
    if ((options & reserved) != 0) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET,
                         "a reserved subscription option is set (3.8.3.1)");
    } else if (sub.qos > 2) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "the maximum QoS is 3 (3.8.3.1)");
    } else if (sub.retain_handling > 2) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "the retain handling is 3 (3.8.3.1)");
    } else if (sub.no_local && mqtt_filter_is_shared(filter, &name, &rest)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "no local on a shared subscription (3.8.3.1)");
    }
}

static struct slice read_filter(struct mqtt_scan *s)
{
    struct slice filter = mqtt_read_string(s);
    if (!mqtt_topic_filter_is_valid(filter)) {
        mqtt_scan_refuse(s, MQTT_TOPIC_FILTER_INVALID, "this is not a topic filter (4.7, 4.8.2)");
    }
    return filter;
}

void mqtt_decode_subscribe(struct mqtt_scan *s, struct mqtt_subscribe *out)
{
    out->packet_id = mqtt_read_packet_id(s);
    mqtt_read_properties(s, MQTT_SUBSCRIBE, &out->properties);
    out->entries = s->r.rest;
    if (out->entries.len == 0) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "a SUBSCRIBE without a filter (3.8.3)");
    }
    uint32_t count = 0;
    for (; s->r.rest.len > 0; count++) {
        struct slice filter = read_filter(s);
        check_options(s, filter, read_u8(&s->r));
    }
    if (count > UINT16_MAX) {
        mqtt_scan_refuse(s, MQTT_QUOTA_EXCEEDED, "more than 65,535 filters");
    }
    out->count = (uint16_t)count;
}

void mqtt_decode_unsubscribe(struct mqtt_scan *s, struct mqtt_unsubscribe *out)
{
    out->packet_id = mqtt_read_packet_id(s);
    mqtt_read_properties(s, MQTT_UNSUBSCRIBE, &out->properties);
    out->entries = s->r.rest;
    if (out->entries.len == 0) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "an UNSUBSCRIBE without a filter (3.10.3)");
    }
    uint32_t count = 0;
    for (; s->r.rest.len > 0; count++) {
        (void)read_filter(s);
    }
    if (count > UINT16_MAX) {
        mqtt_scan_refuse(s, MQTT_QUOTA_EXCEEDED, "more than 65,535 filters");
    }
    out->count = (uint16_t)count;
}

void mqtt_decode_suback(struct mqtt_scan *s, enum mqtt_type type, struct mqtt_suback *out)
{
    out->packet_id = mqtt_read_packet_id(s);
    mqtt_read_properties(s, type, &out->properties);
    if (s->version == MQTT_3_1_1 && type == MQTT_UNSUBACK) {
        return;
    }
    out->codes = s->r.rest;
    if (out->codes.len == 0) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "no reason code (3.9.3, 3.11.3)");
    }
    while (s->r.rest.len > 0) {
        (void)mqtt_read_reason(s, type);
    }
}

bool mqtt_subscription_next(struct slice *rest,
                            enum mqtt_version version,
                            struct mqtt_subscription *out)
{
    struct mqtt_scan s = {.r = reader_over(*rest), .version = version};
    struct slice filter = read_filter(&s);
    uint8_t options = read_u8(&s.r);
    *rest = s.r.rest;
    if (!reader_ok(&s.r)) {
        return false;
    }
    *out = subscription_of(filter, options);
    return true;
}

bool mqtt_filter_next(struct slice *rest, struct slice *filter)
{
    struct reader r = reader_over(*rest);
    struct slice got = read_prefixed_u16(&r);
    *rest = r.rest;
    if (!reader_ok(&r)) {
        return false;
    }
    *filter = got;
    return true;
}

void mqtt_subscription_write(struct writer *w, const struct mqtt_subscription *sub)
{
    unsigned options = sub->qos & OPTION_QOS;
    options |= sub->no_local ? OPTION_NO_LOCAL : 0U;
    options |= sub->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0U;
    options |=
        (unsigned)sub->retain_handling << OPTION_RETAIN_HANDLING_SHIFT & OPTION_RETAIN_HANDLING;
    write_prefixed_u16(w, sub->filter);
    write_u8(w, (uint8_t)options);
}

void mqtt_filter_write(struct writer *w, struct slice filter)
{
    write_prefixed_u16(w, filter);
}

void mqtt_encode_subscribe(struct writer *w,
                           enum mqtt_version version,
                           const struct mqtt_subscribe *subscribe)
{
    write_u16(w, subscribe->packet_id);
    if (version == MQTT_5_0) {
        mqtt_write_properties(w, &subscribe->properties);
    }
    write_slice(w, subscribe->entries);
}

void mqtt_encode_unsubscribe(struct writer *w,
                             enum mqtt_version version,
                             const struct mqtt_unsubscribe *unsubscribe)
{
    write_u16(w, unsubscribe->packet_id);
    if (version == MQTT_5_0) {
        mqtt_write_properties(w, &unsubscribe->properties);
    }
    write_slice(w, unsubscribe->entries);
}

void mqtt_encode_suback(struct writer *w,
                        enum mqtt_version version,
                        const struct mqtt_suback *suback)
{
    write_u16(w, suback->packet_id);
    if (version == MQTT_5_0) {
        mqtt_write_properties(w, &suback->properties);
    }
    write_slice(w, suback->codes);
}
