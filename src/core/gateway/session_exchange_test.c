/* QoS 2, topic aliases, what waits for storage, and what a client answers to what was published to
 * it. */
#include "codec/mqtt_topic.h"
#include "core/gateway/session_bench.h"
#include "test/test.h"

static const struct gw_pending *only_ack(const struct bench *b, enum mqtt_type type)
{
    const struct gw_effect *effect = find(b, GW_ACK);
    bool is_one = effect != NULL && effect->acks.count == 1 && effect->acks.list[0].type == type;
    CHECK(is_one);
    static const struct gw_pending none = {.reason = 0xff};
    return is_one ? &effect->acks.list[0] : &none;
}

static void ack_packet(struct bench *b, enum mqtt_type type, uint16_t packet_id)
{
    b->packet = (struct mqtt_packet){.type = type, .ack = {.packet_id = packet_id}};
}

/* ---- QoS 2 from the client ---- */

TEST("PUBREC follows storage of the message, PUBCOMP follows storage of its release")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "t/x", 2, 7);
    give(&b);
    REQUIRE(find(&b, GW_APPEND) != NULL && find(&b, GW_APPEND)->message.publish->qos == 2);
    staged(&b, 100);
    CHECK(b.fx.count == 0);
    stored(&b, 99);
    CHECK(b.fx.count == 0);
    stored(&b, 100);
    CHECK(only_ack(&b, MQTT_PUBREC)->packet_id == 7);
    ack_packet(&b, MQTT_PUBREL, 7);
    give(&b);
    CHECK(find(&b, GW_RELEASE) != NULL && find(&b, GW_RELEASE)->packet_id == 7);
    staged(&b, 150);
    CHECK(b.fx.count == 0);
    stored(&b, 149);
    CHECK(b.fx.count == 0);
    stored(&b, 150);
    CHECK(only_ack(&b, MQTT_PUBCOMP)->packet_id == 7 && b.s.unreleased == 0);
}

TEST("a PUBLISH whose id waits for its PUBREL is answered again, and not before the first was "
     "stored")
{
    struct bench b;
    go_live(&b, MQTT_3_1_1);
    publish_packet(&b, OWN "t/x", 2, 7);
    give(&b);
    staged(&b, 100);
    b.packet.publish.dup = true;
    give(&b);
    step(&b, (struct gw_event){.kind = GW_STAGED, .staged = {.is_repeat = true}});
    CHECK(b.fx.count == 0);
    stored(&b, 100);
    const struct gw_effect *effect = find(&b, GW_ACK);
    REQUIRE(effect != NULL);
    CHECK_U64(effect->acks.count, 2);
    CHECK_U64(b.s.unreleased, 1); /* one message, however often it came */
}

TEST("a PUBREL of an id nobody knows is answered with 0x92, after the answers before it")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "t/x", 1, 3);
    give(&b);
    staged(&b, 100);
    ack_packet(&b, MQTT_PUBREL, 9);
    give(&b);
    answered(&b, 0, MQTT_PACKET_ID_NOT_FOUND, NULL);
    CHECK(b.fx.count == 0);
    stored(&b, 100);
    REQUIRE(find(&b, GW_ACK) != NULL && find(&b, GW_ACK)->acks.count == 2);
    CHECK_U64(find(&b, GW_ACK)->acks.list[1].reason, MQTT_PACKET_ID_NOT_FOUND);
    go_live(&b, MQTT_3_1_1); /* which has no reason to give */
    ack_packet(&b, MQTT_PUBREL, 9);
    give(&b);
    answered(&b, 0, MQTT_PACKET_ID_NOT_FOUND, NULL);
    CHECK_U64(only_ack(&b, MQTT_PUBCOMP)->reason, 0);
}

TEST("QoS 2 messages between PUBREC and PUBCOMP count against the Receive Maximum (3.3.4)")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    for (uint16_t id = 1; id <= INFLIGHT; id++) {
        publish_packet(&b, OWN "t/x", 2, id);
        give(&b);
        staged(&b, 100u * id);
        stored(&b, 100u * id);
    }
    CHECK(b.s.state == GW_LIVE && b.s.inflight_count == 0);
    ack_packet(&b, MQTT_PUBREL, 1);
    give(&b);
    staged(&b, 500);
    stored(&b, 500); /* PUBCOMP: one place is free */
    publish_packet(&b, OWN "t/x", 1, 11);
    give(&b);
    CHECK(b.s.state == GW_LIVE);
    staged(&b, 600);
    publish_packet(&b, OWN "t/x", 2, 12);
    give(&b);
    CHECK_U64(said(&b), MQTT_RECEIVE_MAXIMUM_EXCEEDED);
}

TEST("a refused QoS 2 message is refused in its PUBREC, and takes no place")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, "elsewhere", 2, 7);
    give(&b);
    CHECK_U64(only_ack(&b, MQTT_PUBREC)->reason, MQTT_NOT_AUTHORIZED);
    CHECK(b.s.unreleased == 0);
    publish_packet(&b, OWN "j/x", 2, 8);
    give(&b);
    answered(&b, 0, MQTT_QUOTA_EXCEEDED, NULL);
    CHECK_U64(only_ack(&b, MQTT_PUBREC)->reason, MQTT_QUOTA_EXCEEDED);
    CHECK_U64(refused_with(&b), MQTT_QUOTA_EXCEEDED);
    go_live(&b, MQTT_3_1_1);
    publish_packet(&b, OWN "j/x", 1, 8);
    give(&b);
    answered(&b, 0, MQTT_QUOTA_EXCEEDED, NULL);
    CHECK(b.s.state == GW_CLOSED && find(&b, GW_ACK) == NULL);
}

TEST("a message that nobody keeps is acknowledged at once, but after those before it")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "j/x", 1, 1);
    give(&b);
    answered(&b, 0, MQTT_NO_MATCHING_SUBSCRIBERS, NULL);
    CHECK_U64(only_ack(&b, MQTT_PUBACK)->reason, MQTT_NO_MATCHING_SUBSCRIBERS);
    publish_packet(&b, OWN "j/x", 1, 2);
    give(&b);
    staged(&b, 50);
    publish_packet(&b, OWN "j/x", 1, 3);
    give(&b);
    answered(&b, 0, 0, NULL);
    CHECK(b.fx.count == 0);
    stored(&b, 50);
    REQUIRE(find(&b, GW_ACK) != NULL);
    CHECK_U64(find(&b, GW_ACK)->acks.count, 2);
}

TEST("a subscriber's full queue stops its publisher, and the packet comes again")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "j/x", 1, 1);
    give(&b);
    tell(&b, GW_QUEUE_FULL);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_PAUSE && b.fx.list[0].comes_again);
    CHECK(gw_session_due_ms(&b.s) == UINT64_MAX);
    tell(&b, GW_HAS_ROOM);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_RESUME);
}

/* ---- what the client answers ---- */

TEST("an acknowledgement of the client is handed on; an unknown PUBREC alone is answered")
{
    static const enum mqtt_type types[] = {MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBCOMP};
    for (int v = MQTT_3_1_1; v <= MQTT_5_0; v++) {
        for (size_t i = 0; i < COUNT_OF(types); i++) {
            struct bench b;
            go_live(&b, (enum mqtt_version)v);
            ack_packet(&b, types[i], 5);
            give(&b);
            REQUIRE(find(&b, GW_TAKE_ACK) != NULL);
            CHECK(find(&b, GW_TAKE_ACK)->ack.type == types[i]);
            answered(&b, 0, MQTT_SUCCESS, NULL);
            CHECK(b.fx.count == 0);
            give(&b);
            answered(&b, 0, MQTT_PACKET_ID_NOT_FOUND, NULL);
            CHECK_U64(b.fx.count, types[i] == MQTT_PUBREC);
            const struct gw_effect *effect = find(&b, GW_SEND);
            CHECK(effect == NULL
                  || (effect->packet.type == MQTT_PUBREL
                      && effect->packet.ack.reason
                             == (v == MQTT_5_0 ? MQTT_PACKET_ID_NOT_FOUND : 0)));
            give(&b);
            answered(&b, 0, MQTT_PROTOCOL_ERROR, NULL);
            CHECK(b.s.state == GW_CLOSED && refused_with(&b) == MQTT_PROTOCOL_ERROR);
        }
    }
}

/* ---- topic aliases ---- */

static void with_alias(struct bench *b, uint16_t alias)
{
    b->packet.publish.properties.topic_alias = alias;
    mqtt_set(&b->packet.publish.properties, MQTT_TOPIC_ALIAS);
}

TEST("an alias of 0, above the maximum or without a topic ends the connection (3.3.2.3.4)")
{
    static const struct {
        uint16_t alias;
        bool has_topic;
        unsigned reason;
    } rows[] = {{0, true, MQTT_TOPIC_ALIAS_INVALID},
                {GW_ALIASES_MAX + 1, true, MQTT_TOPIC_ALIAS_INVALID},
                {1, false, MQTT_PROTOCOL_ERROR}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bench b;
        go_live(&b, MQTT_5_0);
        publish_packet(&b, rows[i].has_topic ? OWN "t/x" : "", 1, 5);
        with_alias(&b, rows[i].alias);
        give(&b);
        CHECK_U64(said(&b), rows[i].reason);
        CHECK(b.s.state == GW_CLOSED && find(&b, GW_APPEND) == NULL);
    }
    struct bench b;
    go_live(&b, MQTT_5_0);
    b.s.aliases = NULL; /* none were offered */
    publish_packet(&b, OWN "t/x", 1, 5);
    with_alias(&b, 1);
    give(&b);
    CHECK_U64(said(&b), MQTT_TOPIC_ALIAS_INVALID);
}

TEST("an alias stands for the topic it was last sent with, rights included")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    static const char *const topics[] = {OWN "t/x", OWN "j/y", "other"};
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        for (int again = 0; again < 2; again++) {
            publish_packet(&b, again == 0 ? topics[i] : "", 0, 0);
            with_alias(&b, GW_ALIASES_MAX);
            give(&b);
            const struct gw_effect *append = find(&b, GW_APPEND);
            if (i == 2) {
                CHECK(append == NULL && refused_with(&b) == MQTT_NOT_AUTHORIZED);
            } else {
                REQUIRE(append != NULL);
                CHECK(slice_is_text(append->message.topic, topics[i]));
                staged(&b, b.s.staged + 10);
            }
        }
    }
}

TEST("towards the client a topic goes out once, then its number; never above what the client takes")
{
    struct bench b;
    bool is_known = true;
    go_live(&b, MQTT_5_0);
    CHECK(gw_alias_out(&b.s, slice_text("a"), &is_known) == 0 && !is_known);
    for (uint16_t max = 1; max <= GW_ALIASES_MAX + 5; max++) {
        begin(&b);
        connect_packet(&b, MQTT_5_0);
        b.packet.connect.properties.topic_alias_maximum = max;
        give(&b);
        tell(&b, GW_ADMITTED);
        for (char c = 'a'; c <= 'z'; c++) {
            struct slice topic = slice_of(&c, 1);
            uint16_t alias = gw_alias_out(&b.s, topic, &is_known);
            CHECK(alias >= 1 && alias <= max && alias <= GW_ALIASES_MAX && !is_known);
            CHECK(gw_alias_out(&b.s, topic, &is_known) == alias && !is_known); /* was not sent */
            gw_alias_told(&b.s, topic, alias);
            CHECK(gw_alias_out(&b.s, topic, &is_known) == alias && is_known);
        }
    }
}

/* ---- CONNECT of a session that is kept ---- */

TEST("CONNACK of a session that is kept waits for its record; nothing is read before it")
{
    struct bench b;
    begin(&b);
    connect_packet(&b, MQTT_5_0);
    b.packet.connect.clean_start = false;
    b.packet.connect.properties.session_expiry_s = 100;
    b.packet.connect.properties.receive_maximum = 3;
    mqtt_set(&b.packet.connect.properties, MQTT_RECEIVE_MAXIMUM);
    give(&b);
    const struct gw_effect *ask = find(&b, GW_ASK_ADMISSION);
    REQUIRE(ask != NULL);
    CHECK(ask->admission.expiry_s == 100 && ask->admission.receive_max == 3);
    CHECK(ask->admission.connect == &b.packet.connect);
    step(&b, (struct gw_event){.kind = GW_ADMITTED,
                               .admitted = {.position = 70, .session_present = true}});
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_PAUSE && !b.fx.list[0].comes_again);
    CHECK(b.s.state == GW_CHECKING && gw_session_waits(&b.s));
    stored(&b, 69);
    CHECK(b.fx.count == 0);
    stored(&b, 70);
    REQUIRE(find(&b, GW_SEND) != NULL && find(&b, GW_RESUME) != NULL);
    CHECK(find(&b, GW_SEND)->packet.connack.session_present);
    CHECK(!mqtt_has(&find(&b, GW_SEND)->packet.connack.properties, MQTT_SESSION_EXPIRY_INTERVAL));
    CHECK(b.s.state == GW_LIVE && !gw_session_waits(&b.s));
}

TEST("a session of 3.1.1 that is not clean is kept as long as any may be")
{
    struct bench b;
    for (int clean = 0; clean < 2; clean++) {
        begin(&b);
        connect_packet(&b, MQTT_3_1_1);
        b.packet.connect.clean_start = clean == 1;
        give(&b);
        CHECK_U64(find(&b, GW_ASK_ADMISSION)->admission.expiry_s, clean == 1 ? 0 : 3600);
    }
}

TEST("a client that was taken over, lost or told to go while its CONNACK waits gets none")
{
    static const enum gw_event_kind kinds[] = {GW_TOOK_OVER, GW_LOST, GW_STOPPING};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct bench b;
        begin(&b);
        connect_packet(&b, MQTT_5_0);
        give(&b);
        step(&b, (struct gw_event){.kind = GW_ADMITTED, .admitted = {.position = 70}});
        tell(&b, kinds[i]);
        CHECK(b.s.state == GW_CLOSED && find(&b, GW_SEND) == NULL);
        stored(&b, 70);
        CHECK(b.fx.count == 0);
    }
}

TEST("a client id that an application may not use is refused with 0x85")
{
    static const struct gw_rights none = {0};
    struct bench b;
    begin(&b);
    const struct gw_place place = {.limits = &limits, .inflight = b.inflight, .rights = &none};
    gw_session_init(&b.s, &place, &device, 7, b.now_ms);
    connect_packet(&b, MQTT_5_0);
    give(&b);
    CHECK_U64(said(&b), MQTT_CLIENT_ID_NOT_VALID);
    CHECK(b.s.state == GW_CLOSED);
}

/* ---- SUBSCRIBE ---- */

TEST("each filter has a code of its own; what a device may not hear is refused, never granted in "
     "silence")
{
    static const char *const filters[] = {OWN "c",
                                          OWN "n",
                                          OWN "t/x",
                                          OWN "+",
                                          "#",
                                          "$share/g/" OWN "c",
                                          "hf/1/hf1:abcd0000000000000000000000000001/c",
                                          "a"};
    static const uint8_t in_5_0[] = {2, 2, 0x87, 0x87, 0x87, 2, 0x87, 0x87};
    static const uint8_t in_3_1_1[] = {2, 2, 0x80, 0x80, 0x80, 2, 0x80, 0x80};
    for (int v = MQTT_3_1_1; v <= MQTT_5_0; v++) {
        struct bench b;
        go_live(&b, (enum mqtt_version)v);
        subscribe_packet(&b, filters, COUNT_OF(filters));
        give(&b);
        const struct gw_effect *order = find(&b, GW_SUBSCRIBE);
        REQUIRE(order != NULL && order->filters.count == COUNT_OF(filters));
        CHECK(memcmp(order->filters.codes, v == MQTT_5_0 ? in_5_0 : in_3_1_1, order->filters.count)
              == 0);
        CHECK(find(&b, GW_REFUSE) != NULL && find(&b, GW_SEND) == NULL);
        answered(&b, 0, 0, NULL);
        const struct gw_effect *effect = find(&b, GW_SEND);
        REQUIRE(effect != NULL && effect->packet.type == MQTT_SUBACK
                && effect->packet.suback.packet_id == 9);
        CHECK(slice_equal(effect->packet.suback.codes,
                          slice_of(v == MQTT_5_0 ? in_5_0 : in_3_1_1, COUNT_OF(filters))));
        CHECK(b.s.state == GW_LIVE);
    }
}

TEST("SUBACK follows storage of a kept session's subscription, and nothing is read before it")
{
    static const char *const filters[] = {OWN "c", OWN "n"};
    static const uint8_t codes[] = {2, MQTT_QUOTA_EXCEEDED};
    struct bench b;
    go_live(&b, MQTT_5_0);
    subscribe_packet(&b, filters, 2);
    give(&b);
    answered(&b, 80, 0, codes);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_PAUSE && !b.fx.list[0].comes_again);
    b.now_ms += 3600 * 1000;
    tell(&b, GW_TICK);
    CHECK(b.fx.count == 0);
    stored(&b, 79);
    CHECK(b.fx.count == 0);
    stored(&b, 80);
    REQUIRE(find(&b, GW_SEND) != NULL && find(&b, GW_RESUME) != NULL);
    CHECK(slice_equal(find(&b, GW_SEND)->packet.suback.codes, slice_of(codes, 2)));
    sample(&b, MQTT_UNSUBSCRIBE, MQTT_5_0);
    give(&b);
    CHECK(find(&b, GW_UNSUBSCRIBE) != NULL && find(&b, GW_SEND) == NULL);
    static const uint8_t gone[] = {MQTT_NO_SUBSCRIPTION_EXISTED};
    answered(&b, 90, 0, gone);
    stored(&b, 90);
    CHECK(find(&b, GW_SEND)->packet.type == MQTT_UNSUBACK);
    CHECK_U64(find(&b, GW_SEND)->packet.suback.codes.at[0], MQTT_NO_SUBSCRIPTION_EXISTED);
}

TEST("where every filter is refused nothing is ordered but the SUBACK")
{
    static const char *const filters[] = {"#"};
    struct bench b;
    go_live(&b, MQTT_5_0);
    subscribe_packet(&b, filters, 1);
    give(&b);
    CHECK(find(&b, GW_SUBSCRIBE) == NULL && find(&b, GW_SEND) != NULL);
    CHECK(!b.s.is_staging);
}

TEST("more filters than agreed, or No Local on a shared subscription, end the connection")
{
    static const char *many[GW_FILTERS_MAX + 1];
    uint8_t bytes[128];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct bench b;
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        many[i] = OWN "c";
    }
    go_live(&b, MQTT_5_0);
    subscribe_packet(&b, many, GW_FILTERS_MAX);
    give(&b);
    CHECK(b.s.state == GW_LIVE);
    answered(&b, 0, 0, NULL);
    subscribe_packet(&b, many, GW_FILTERS_MAX + 1);
    give(&b);
    CHECK_U64(said(&b), MQTT_QUOTA_EXCEEDED);
    go_live(&b, MQTT_5_0);
    mqtt_subscription_write(&w, &(struct mqtt_subscription){
                                    .filter = slice_text("$share/g/" OWN "c"), .no_local = true});
    b.packet = (struct mqtt_packet){
        .type = MQTT_SUBSCRIBE,
        .subscribe = {.packet_id = 1, .count = 1, .entries = writer_slice(&w)}};
    give(&b);
    CHECK_U64(said(&b), MQTT_PROTOCOL_ERROR);
}

/* ---- DISCONNECT ---- */

TEST("DISCONNECT drops the will, or not, and may say how long the session is kept (3.14)")
{
    struct bench b;
    for (int with_will = 0; with_will < 2; with_will++) {
        begin(&b);
        connect_packet(&b, MQTT_5_0);
        b.packet.connect.properties.session_expiry_s = 10;
        give(&b);
        tell(&b, GW_ADMITTED);
        b.packet = (struct mqtt_packet){.type = MQTT_DISCONNECT};
        b.packet.disconnect.reason = with_will == 1 ? MQTT_DISCONNECT_WITH_WILL : MQTT_SUCCESS;
        b.packet.disconnect.properties.session_expiry_s = 9999;
        mqtt_set(&b.packet.disconnect.properties, MQTT_SESSION_EXPIRY_INTERVAL);
        give(&b);
        const struct gw_effect *close = find(&b, GW_CLOSE);
        REQUIRE(close != NULL && close->close.end == GW_END_CLIENT);
        CHECK(close->close.drops_will == (with_will == 0));
        CHECK_U64(close->close.expiry_s, 3600);
    }
}

TEST("the gateway ends a connection with the reason and the other server it is given")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    step(&b, (struct gw_event){.kind = GW_STOPPING,
                               .stop = {.end = GW_END_STOPPING,
                                        .reason = MQTT_USE_ANOTHER_SERVER,
                                        .server_reference = slice_text("gw-2:8883")}});
    CHECK_U64(said(&b), MQTT_USE_ANOTHER_SERVER);
    CHECK(slice_is_text(find(&b, GW_SEND)->packet.disconnect.properties.server_reference,
                        "gw-2:8883"));
    CHECK(!find(&b, GW_CLOSE)->close.drops_will && find(&b, GW_REFUSE) == NULL);
    go_live(&b, MQTT_5_0);
    step(&b,
         (struct gw_event){.kind = GW_STOPPING,
                           .stop = {.end = GW_END_ORDERED, .reason = MQTT_ADMINISTRATIVE_ACTION}});
    CHECK(find(&b, GW_CLOSE)->close.end == GW_END_ORDERED);
    CHECK_U64(refused_with(&b), MQTT_ADMINISTRATIVE_ACTION);
    begin(&b);
    connect_packet(&b, MQTT_5_0);
    give(&b);
    step(&b, (struct gw_event){.kind = GW_DENIED,
                               .stop = {.reason = MQTT_SERVER_MOVED,
                                        .server_reference = slice_text("gw-2:8883")}});
    CHECK_U64(said(&b), MQTT_SERVER_MOVED);
    CHECK(mqtt_has(&find(&b, GW_SEND)->packet.connack.properties, MQTT_SERVER_REFERENCE));
}
