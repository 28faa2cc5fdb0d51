/*
 * A message on its way through a server: which of its properties go on to the subscribers
 * (MQTT 5.0 3.3.2.3), and the PUBLISH it becomes for each of them.
 */
#ifndef CODEC_MQTT_FORWARD_H
#define CODEC_MQTT_FORWARD_H

#include "base/writer.h"
#include "codec/mqtt.h"

/* Of a PUBLISH or a will: payload format, content type, response topic, correlation data, user
 * properties; encoded one after the other, without a length. The message expiry is not among them:
 * what is left of it differs with each delivery. */
void mqtt_forward_properties(struct writer *w, const struct mqtt_properties *properties);

struct mqtt_forward {
    bool dup;
    bool retain;
    bool has_expiry;
    uint8_t qos;
    uint8_t ids_count;
    uint16_t packet_id;   /* zero exactly with QoS 0 */
    uint16_t topic_alias; /* 0: none */
    uint32_t expiry_s;
    const uint32_t *ids;     /* subscription identifiers, each 1 to 268,435,455 */
    struct slice topic;      /* empty only with an alias */
    struct slice properties; /* of mqtt_forward_properties */
    struct slice payload;
};

/* Bytes of the whole packet: to be held against the client's Maximum Packet Size before it is
 * written (3.1.2-24). 3.1.1 gets no properties. */
size_t mqtt_forward_size(const struct mqtt_forward *forward, enum mqtt_version version);
void mqtt_forward_write(struct writer *w,
                        const struct mqtt_forward *forward,
                        enum mqtt_version version);

#endif
