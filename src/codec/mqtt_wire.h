/*
 * What the files of the MQTT codec share: a reader that remembers the first fault, and the fields
 * every packet is made of. For mqtt*.c only.
 */
#ifndef CODEC_MQTT_WIRE_H
#define CODEC_MQTT_WIRE_H

#include "base/reader.h"
#include "codec/mqtt.h"

/* Sticky like its reader: after a refusal every read gives zero. */
struct mqtt_scan {
    struct reader r;
    enum mqtt_version version;
    enum mqtt_sender sender;
    struct mqtt_fault fault; /* clause is NULL while nothing is wrong */
};

/* The first refusal counts. After a short read it is the short read that was wrong. */
void mqtt_scan_refuse(struct mqtt_scan *s, enum mqtt_reason reason, const char *clause);

/* Notes a short read or bytes left over; true where the packet is good. */
bool mqtt_scan_done(struct mqtt_scan *s);

uint32_t mqtt_read_varint(struct mqtt_scan *s);
struct slice mqtt_read_string(struct mqtt_scan *s);
struct slice mqtt_read_binary(struct mqtt_scan *s);
uint16_t mqtt_read_packet_id(struct mqtt_scan *s); /* never 0 */

/* A will's properties have a place of their own beside those of the fifteen types. */
enum { MQTT_PLACE_WILL = 0 };
void mqtt_read_properties(struct mqtt_scan *s, unsigned place, struct mqtt_properties *out);
uint8_t mqtt_read_reason(struct mqtt_scan *s, enum mqtt_type type);

void mqtt_decode_connect(struct mqtt_scan *s, struct mqtt_connect *out);
void mqtt_decode_connack(struct mqtt_scan *s, struct mqtt_connack *out);
void mqtt_decode_publish(struct mqtt_scan *s, uint8_t flags, struct mqtt_publish *out);
void mqtt_decode_ack(struct mqtt_scan *s, enum mqtt_type type, struct mqtt_ack *out);
void mqtt_decode_subscribe(struct mqtt_scan *s, struct mqtt_subscribe *out);
void mqtt_decode_unsubscribe(struct mqtt_scan *s, struct mqtt_unsubscribe *out);
void mqtt_decode_suback(struct mqtt_scan *s, enum mqtt_type type, struct mqtt_suback *out);
void mqtt_decode_goodbye(struct mqtt_scan *s, enum mqtt_type type, struct mqtt_goodbye *out);

/* Encoding: what does not fit marks the writer; what may not be said is found by decoding it again.
 */
void mqtt_write_varint(struct writer *w, uint32_t value);

/* Puts the length of all that was written from `start` on in front of it. */
void mqtt_insert_length(struct writer *w, size_t start);
void mqtt_write_properties(struct writer *w, const struct mqtt_properties *properties);
bool mqtt_properties_are_absent(const struct mqtt_properties *properties);

void mqtt_encode_connect(struct writer *w, const struct mqtt_connect *connect);
void mqtt_encode_connack(struct writer *w,
                         enum mqtt_version version,
                         const struct mqtt_connack *connack);
void mqtt_encode_publish(struct writer *w,
                         enum mqtt_version version,
                         const struct mqtt_publish *publish);
void mqtt_encode_ack(struct writer *w, enum mqtt_version version, const struct mqtt_ack *ack);
void mqtt_encode_subscribe(struct writer *w,
                           enum mqtt_version version,
                           const struct mqtt_subscribe *subscribe);
void mqtt_encode_unsubscribe(struct writer *w,
                             enum mqtt_version version,
                             const struct mqtt_unsubscribe *unsubscribe);
void mqtt_encode_suback(struct writer *w,
                        enum mqtt_version version,
                        const struct mqtt_suback *suback);
void mqtt_encode_goodbye(struct writer *w, enum mqtt_type type, const struct mqtt_goodbye *goodbye);

#endif
