/*
 * The first byte picks version and sender; the rest is what a peer sent. Every packet that is taken
 * must encode, decode again, and encode to the same bytes; every list in it must end after the
 * count it claims.
 */
#include "codec/mqtt.h"
#include "codec/mqtt_topic.h"

#include <stdlib.h>
#include <string.h>

enum { CAP = 1 << 16, SIZE_MAX_TAKEN = 60000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void walk_filters(const struct mqtt_packet *p, enum mqtt_version version)
{
    struct slice rest, filter;
    struct mqtt_subscription sub;
    unsigned count = 0;
    if (p->type == MQTT_SUBSCRIBE) {
        for (rest = p->subscribe.entries; mqtt_subscription_next(&rest, version, &sub); count++) {
            must(mqtt_topic_filter_is_valid(sub.filter) && sub.qos <= 2);
            (void)mqtt_filter_matches(sub.filter, slice_text("hf/1/hf1:00/c"));
        }
        must(count == p->subscribe.count);
    } else if (p->type == MQTT_UNSUBSCRIBE) {
        for (rest = p->unsubscribe.entries; mqtt_filter_next(&rest, &filter); count++) {
            must(mqtt_topic_filter_is_valid(filter));
        }
        must(count == p->unsubscribe.count);
    }
}

static void walk_properties(const struct mqtt_publish *p)
{
    struct slice name, value, rest = p->properties.repeated;
    uint32_t id = 0;
    while (mqtt_user_property_next(&rest, &name, &value)) {
        must(mqtt_string_is_valid(name) && mqtt_string_is_valid(value));
    }
    rest = p->properties.repeated;
    while (mqtt_subscription_id_next(&rest, &id)) {
        must(id > 0);
    }
    (void)mqtt_filter_matches(slice_text("+/1/#"), p->topic);
}

static void again(const struct mqtt_packet *p, enum mqtt_version version, enum mqtt_sender sender)
{
    static uint8_t one[CAP], two[CAP];
    struct writer w = writer_over(one, sizeof one);
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    struct mqtt_packet q;
    must(mqtt_encode(p, version, sender, &w) == MQTT_OK);
    must(mqtt_frame_next(writer_slice(&w), CAP, &frame, &fault) == MQTT_OK);
    must(mqtt_decode(&frame, version, sender, &q, &fault) == MQTT_OK);
    struct writer w2 = writer_over(two, sizeof two);
    must(mqtt_encode(&q, version, sender, &w2) == MQTT_OK);
    must(slice_equal(writer_slice(&w), writer_slice(&w2)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    enum mqtt_version version = (data[0] & 1) != 0 ? MQTT_5_0 : MQTT_3_1_1;
    enum mqtt_sender sender = (data[0] & 2) != 0 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
    struct slice rest = slice_of(data + 1, size - 1);
    struct mqtt_frame frame;
    struct mqtt_fault fault = {0};
    struct mqtt_packet packet;
    while (mqtt_frame_next(rest, SIZE_MAX_TAKEN, &frame, &fault) == MQTT_OK) {
        rest = slice_after(rest, frame.size);
        if (mqtt_decode(&frame, version, sender, &packet, &fault) != MQTT_OK) {
            must(fault.clause != NULL && fault.reason >= MQTT_UNSPECIFIED_ERROR);
            continue;
        }
        if (packet.type == MQTT_CONNECT) {
            version = packet.connect.version;
        }
        walk_filters(&packet, version);
        if (packet.type == MQTT_PUBLISH) {
            walk_properties(&packet.publish);
        }
        again(&packet, version, sender);
    }
    return 0;
}
