#include "codec/mqtt_wire.h"

#include "codec/mqtt_topic.h"

#include <string.h>

enum { VARINT_BYTES_MAX = 4, FIELD_MAX = 65535 };

static const char SHORT[] = "the packet ends inside a field (1.2)";

void mqtt_scan_refuse(struct mqtt_scan *s, enum mqtt_reason reason, const char *clause)
{
    if (s->fault.clause == NULL) {
        s->fault.reason = s->r.failed ? MQTT_MALFORMED_PACKET : reason;
        s->fault.clause = s->r.failed ? SHORT : clause;
    }
    reader_fail(&s->r);
}

bool mqtt_scan_done(struct mqtt_scan *s)
{
    if (s->fault.clause == NULL && !reader_done(&s->r)) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "bytes are left behind the last field (2.1.4)");
    }
    return s->fault.clause == NULL;
}

uint32_t mqtt_read_varint(struct mqtt_scan *s)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = read_u8(&s->r);
        value |= (uint32_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (byte == 0 && i > 0) {
                break;
            }
            return value;
        }
    }
    mqtt_scan_refuse(
        s, MQTT_MALFORMED_PACKET,
        "a variable byte integer is not in its shortest form of at most 4 bytes (1.5.5)");
    return 0;
}

struct slice mqtt_read_binary(struct mqtt_scan *s)
{
    return read_prefixed_u16(&s->r);
}

struct slice mqtt_read_string(struct mqtt_scan *s)
{
    struct slice text = read_prefixed_u16(&s->r);
    if (!mqtt_string_is_valid(text)) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET,
                         "a string is not UTF-8, or holds U+0000 or a surrogate (1.5.4)");
        return (struct slice){0};
    }
    return text;
}

uint16_t mqtt_read_packet_id(struct mqtt_scan *s)
{
    uint16_t id = read_u16(&s->r);
    if (id == 0) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "the packet identifier is zero (2.2.1)");
    }
    return id;
}

void mqtt_write_varint(struct writer *w, uint32_t value)
{
    if (value > MQTT_REMAINING_LENGTH_MAX) {
        w->overflow = true;
        return;
    }
    while (value >= 0x80) {
        write_u8(w, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    write_u8(w, (uint8_t)value);
}

void mqtt_insert_length(struct writer *w, size_t start)
{
    if (!writer_ok(w) || w->len - start > MQTT_REMAINING_LENGTH_MAX) {
        w->overflow = true;
        return;
    }
    uint32_t len = (uint32_t)(w->len - start);
    uint8_t bytes[VARINT_BYTES_MAX];
    struct writer prefix = writer_over(bytes, sizeof bytes);
    mqtt_write_varint(&prefix, len);
    if (write_reserve(w, prefix.len) != NULL) {
        memmove(w->at + start + prefix.len, w->at + start, len);
        memcpy(w->at + start, bytes, prefix.len);
    }
}
