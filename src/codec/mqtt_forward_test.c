#include "codec/mqtt_forward.h"
#include "test/test.h"

#include <string.h>

static uint8_t user[64], encoded[256], packet[512];

static struct slice properties_of(struct mqtt_properties *p)
{
    struct writer w = writer_over(user, sizeof user);
    mqtt_user_property_write(&w, slice_text("unit"), slice_text("bar"));
    *p = (struct mqtt_properties){.payload_format = 1,
                                  .message_expiry_s = 99,
                                  .topic_alias = 3,
                                  .content_type = slice_text("text/plain"),
                                  .response_topic = slice_text("answer/here"),
                                  .correlation_data = slice_text("42"),
                                  .repeated = writer_slice(&w)};
    mqtt_set(p, MQTT_PAYLOAD_FORMAT_INDICATOR);
    mqtt_set(p, MQTT_MESSAGE_EXPIRY_INTERVAL);
    mqtt_set(p, MQTT_TOPIC_ALIAS);
    mqtt_set(p, MQTT_CONTENT_TYPE);
    mqtt_set(p, MQTT_RESPONSE_TOPIC);
    mqtt_set(p, MQTT_CORRELATION_DATA);
    mqtt_set(p, MQTT_USER_PROPERTY);
    struct writer e = writer_over(encoded, sizeof encoded);
    mqtt_forward_properties(&e, p);
    CHECK(writer_ok(&e));
    return writer_slice(&e);
}

static bool through(const struct mqtt_forward *f,
                    enum mqtt_version version,
                    struct mqtt_packet *out)
{
    struct writer w = writer_over(packet, sizeof packet);
    struct mqtt_frame frame;
    struct mqtt_fault fault = {.clause = ""};
    mqtt_forward_write(&w, f, version);
    CHECK_U64(w.len, mqtt_forward_size(f, version));
    if (mqtt_frame_next(writer_slice(&w), sizeof packet, &frame, &fault) != MQTT_OK
        || frame.size != w.len
        || mqtt_decode(&frame, version, MQTT_FROM_SERVER, out, &fault) != MQTT_OK) {
        test_failed(__FILE__, __LINE__, "not a packet: %s", fault.clause);
        return false;
    }
    return true;
}

TEST("what is forwarded keeps what the publisher said, but alias and expiry, and adds what is new")
{
    static const uint32_t ids[] = {1, 128, 268435455};
    struct mqtt_properties from;
    struct mqtt_packet out;
    const struct mqtt_forward f = {.dup = true,
                                   .retain = true,
                                   .qos = 2,
                                   .packet_id = 77,
                                   .has_expiry = true,
                                   .expiry_s = 7,
                                   .ids = ids,
                                   .ids_count = COUNT_OF(ids),
                                   .topic = slice_text("a/b"),
                                   .properties = properties_of(&from),
                                   .payload = slice_text("hello")};
    REQUIRE(through(&f, MQTT_5_0, &out));
    const struct mqtt_publish *p = &out.publish;
    CHECK(p->dup && p->retain && p->qos == 2 && p->packet_id == 77);
    CHECK(slice_is_text(p->topic, "a/b") && slice_is_text(p->payload, "hello"));
    CHECK(p->properties.message_expiry_s == 7 && p->properties.payload_format == 1);
    CHECK(!mqtt_has(&p->properties, MQTT_TOPIC_ALIAS));
    CHECK(slice_is_text(p->properties.content_type, "text/plain"));
    CHECK(slice_is_text(p->properties.response_topic, "answer/here"));
    CHECK(slice_is_text(p->properties.correlation_data, "42"));
    struct slice rest = p->properties.repeated, name, value;
    CHECK(mqtt_user_property_next(&rest, &name, &value) && slice_is_text(value, "bar"));
    rest = p->properties.repeated;
    uint32_t id = 0;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        CHECK(mqtt_subscription_id_next(&rest, &id) && id == ids[i]);
    }
}

TEST("a 3.1.1 client gets no properties, and QoS 0 no packet id")
{
    struct mqtt_properties from;
    struct mqtt_packet out;
    struct mqtt_forward f = {.has_expiry = true,
                             .expiry_s = 7,
                             .topic = slice_text("a"),
                             .properties = properties_of(&from),
                             .payload = slice_text("x")};
    REQUIRE(through(&f, MQTT_3_1_1, &out));
    CHECK(out.publish.qos == 0 && out.publish.packet_id == 0);
    CHECK(out.publish.properties.present == 0 && slice_is_text(out.publish.payload, "x"));
    REQUIRE(through(&f, MQTT_5_0, &out));
    CHECK(out.publish.properties.message_expiry_s == 7);
}

TEST("with an alias the topic may be left out; lengths are right around each varint's edge")
{
    static uint8_t payload[300];
    struct mqtt_packet out;
    struct mqtt_forward f = {.topic_alias = 5};
    REQUIRE(through(&f, MQTT_5_0, &out));
    CHECK(out.publish.topic.len == 0 && out.publish.properties.topic_alias == 5);
    f.topic = slice_text("t");
    for (size_t len = 100; len < sizeof payload; len++) {
        f.payload = slice_of(payload, len);
        REQUIRE(through(&f, MQTT_5_0, &out));
        CHECK_U64(out.publish.payload.len, len);
    }
}
