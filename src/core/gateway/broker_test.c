#include "core/gateway/broker.h"
#include "core/gateway/broker_rig.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

static struct rig rig;

static bool begin(void)
{
    struct gw_broker_limits limits = rig_limits();
    return rig_begin(&rig, &limits, 42);
}

static void end(void)
{
    gw_broker_check(rig.b);
    rig_end(&rig);
}

static uint32_t client(const char *id, uint32_t expiry_s)
{
    return rig_connect(&rig, &(struct rig_connect){.client_id = id, .expiry_s = expiry_s});
}

/* What this session gets now is exactly one PUBLISH of this payload. */
static bool gets(uint32_t session, const char *payload, uint8_t qos)
{
    struct gw_delivery d;
    rig_sync(&rig);
    return rig_take(&rig, session, &d) && d.kind == GW_SEND_PUBLISH && d.qos == qos
           && strcmp(rig_payload(&rig, &d), payload) == 0
           && (qos == 0
               || rig_ack(&rig, session, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, d.packet_id, 0)
                      == GW_ACK_TAKEN);
}

static bool gets_nothing(uint32_t session)
{
    struct gw_delivery d;
    rig_sync(&rig);
    return !rig_take(&rig, session, &d);
}

TEST("a subscriber gets what matches and nothing else, at the lower of both QoS")
{
    REQUIRE(begin());
    uint32_t s = client("s", 60);
    CHECK(rig_subscribe(&rig, s, "a/+", 1) == 1);
    CHECK(rig_say(&rig, "b/c", "no", 1) == GW_NOBODY);
    CHECK(rig_say(&rig, "a/b", "one", 1) == GW_ROUTED);
    CHECK(gets(s, "one", 1));
    CHECK(rig_say(&rig, "a/b", "two", 2) == GW_ROUTED);
    CHECK(gets(s, "two", 1));
    CHECK(
        rig_publish(
            &rig, &(struct rig_publish){.topic = "a/b", .payload = "three", .is_from_device = true})
        == GW_ROUTED);
    CHECK(gets(s, "three", 0));
    CHECK(gets_nothing(s));
    CHECK(rig_unsubscribe(&rig, s, "a/#") == MQTT_NO_SUBSCRIPTION_EXISTED);
    CHECK(rig_unsubscribe(&rig, s, "a/+") == MQTT_SUCCESS);
    CHECK(rig_say(&rig, "a/b", "four", 1) == GW_NOBODY);
    end();
}

TEST("nothing is delivered before the journal is durable beyond it")
{
    REQUIRE(begin());
    struct gw_delivery d;
    uint32_t s = client("s", 60);
    (void)rig_subscribe(&rig, s, "a", 2);
    rig_sync(&rig);
    (void)rig_say(&rig, "a", "one", 2);
    CHECK(!gw_broker_next(rig.b, s, rig.durable, rig.clock_ms, &d));
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    REQUIRE(rig_ack(&rig, s, MQTT_PUBREC, d.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(!gw_broker_next(rig.b, s, rig.durable, rig.clock_ms, &d)); /* the PUBREC is not durable */
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.kind == GW_SEND_PUBREL);
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(gets_nothing(s));
    end();
}

TEST("overlapping subscriptions give one copy, at the highest QoS, with every identifier")
{
    REQUIRE(begin());
    struct gw_delivery d;
    uint32_t s = client("s", 60);
    (void)rig_subscribe_with(
        &rig, s, &(struct mqtt_subscription){.filter = slice_text("a/#"), .qos = 1}, 11);
    (void)rig_subscribe_with(
        &rig, s, &(struct mqtt_subscription){.filter = slice_text("a/+"), .qos = 2}, 12);
    (void)rig_subscribe_with(&rig, s,
                             &(struct mqtt_subscription){.filter = slice_text("a/b"), .qos = 0}, 0);
    CHECK(rig_say(&rig, "a/b", "one", 2) == GW_ROUTED);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.qos == 2 && d.ids_count == 2 && d.ids[0] + d.ids[1] == 23);
    CHECK(gets_nothing(s));
    end();
}

TEST("no local keeps a client's own messages from it, and nobody else's")
{
    REQUIRE(begin());
    uint32_t s = client("s", 60), other = client("o", 60);
    const struct mqtt_subscription sub = {.filter = slice_text("a"), .qos = 1, .no_local = true};
    (void)rig_subscribe_with(&rig, s, &sub, 0);
    (void)rig_subscribe_with(&rig, other, &sub, 0);
    CHECK(rig_publish(&rig,
                      &(struct rig_publish){.sender = s, .topic = "a", .payload = "mine", .qos = 1})
          == GW_ROUTED);
    CHECK(gets_nothing(s));
    CHECK(gets(other, "mine", 1));
    CHECK(rig_subscribe_with(
              &rig, s,
              &(struct mqtt_subscription){.filter = slice_text("$share/g/a"), .no_local = true}, 0)
          == MQTT_PROTOCOL_ERROR);
    end();
}

TEST("a retained message is there for new subscribers, until an empty one deletes it or its time "
     "is over")
{
    REQUIRE(begin());
    struct gw_delivery d;
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "r/1", .payload = "old", .qos = 1, .retain = true});
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "r/1", .payload = "new", .qos = 1, .retain = true});
    (void)rig_publish(
        &rig, &(struct rig_publish){
                  .topic = "r/2", .payload = "short", .qos = 2, .retain = true, .expiry_s = 5});
    (void)rig_publish(&rig, &(struct rig_publish){
                                .topic = "$r/3", .payload = "hidden", .qos = 1, .retain = true});
    uint32_t s = client("s", 60);
    (void)rig_subscribe(&rig, s, "$share/g/r/#", 2); /* brings nothing (4.8.2) */
    CHECK(gets_nothing(s));
    CHECK(rig_subscribe(&rig, s, "r/1", 2) == 2);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.is_retained && d.qos == 1 && strcmp(rig_payload(&rig, &d), "new") == 0);
    CHECK(gets_nothing(s));
    uint32_t t = client("t", 60);
    (void)rig_subscribe(&rig, t, "#", 0);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, t, &d) && d.qos == 0 && d.is_retained);
    REQUIRE(rig_take(&rig, t, &d) && d.qos == 0);
    CHECK(gets_nothing(t));
    (void)rig_tick(&rig, 5000);
    uint32_t u = client("u", 60);
    (void)rig_subscribe(&rig, u, "r/2", 2);
    CHECK(gets_nothing(u));
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "r/1", .payload = "", .qos = 0, .retain = true});
    (void)rig_subscribe(&rig, u, "r/1", 2);
    CHECK(gets_nothing(u));
    end();
}

TEST("retain handling and retain as published do what 3.8.3.1 says")
{
    REQUIRE(begin());
    struct gw_delivery d;
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "r", .payload = "x", .qos = 1, .retain = true});
    uint32_t s = client("s", 60);
    struct mqtt_subscription sub = {.filter = slice_text("r"), .qos = 1, .retain_handling = 2};
    (void)rig_subscribe_with(&rig, s, &sub, 0);
    CHECK(gets_nothing(s));
    sub.retain_handling = 1; /* only if it was not there */
    (void)rig_subscribe_with(&rig, s, &sub, 0);
    CHECK(gets_nothing(s));
    (void)rig_unsubscribe(&rig, s, "r");
    (void)rig_subscribe_with(&rig, s, &sub, 0);
    CHECK(gets(s, "x", 1));
    sub.retain_handling = 0;
    (void)rig_subscribe_with(&rig, s, &sub, 0);
    CHECK(gets(s, "x", 1));
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "r", .payload = "y", .qos = 1, .retain = true});
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(!d.is_retained);
    sub.retain_as_published = true;
    sub.retain_handling = 2;
    (void)rig_subscribe_with(&rig, s, &sub, 0);
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "r", .payload = "z", .qos = 1, .retain = true});
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.is_retained);
    end();
}

TEST("after a resume what was not acknowledged comes again in its order, with DUP and the same "
     "identifier")
{
    REQUIRE(begin());
    struct gw_delivery first[3], d;
    uint32_t s = client("s", 60);
    (void)rig_subscribe(&rig, s, "a", 2);
    (void)rig_say(&rig, "a", "one", 1);
    (void)rig_say(&rig, "a", "two", 2);
    (void)rig_say(&rig, "a", "three", 2);
    rig_sync(&rig);
    for (int i = 0; i < 3; i++) {
        REQUIRE(rig_take(&rig, s, &first[i]) && !first[i].is_dup);
    }
    CHECK(rig_ack(&rig, s, MQTT_PUBREC, first[1].packet_id, 0) == GW_ACK_TAKEN);
    rig_disconnect(&rig, s, false);
    (void)rig_say(&rig, "a", "four", 1);
    CHECK(client("s", 60) == s);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.kind == GW_SEND_PUBREL && d.packet_id == first[1].packet_id);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.is_dup && d.packet_id == first[0].packet_id
          && strcmp(rig_payload(&rig, &d), "one") == 0);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.is_dup && d.packet_id == first[2].packet_id
          && strcmp(rig_payload(&rig, &d), "three") == 0);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(!d.is_dup && strcmp(rig_payload(&rig, &d), "four") == 0);
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, first[1].packet_id, 0) == GW_ACK_TAKEN);
    CHECK(gets_nothing(s));
    end();
}

TEST("the receive maximum is given back by PUBACK, PUBCOMP and a refusing PUBREC, and is new with "
     "each connection")
{
    REQUIRE(begin());
    struct gw_delivery d[4], more;
    uint32_t s = rig_connect(
        &rig, &(struct rig_connect){.client_id = "s", .expiry_s = 60, .receive_max = 2});
    (void)rig_subscribe(&rig, s, "a", 2);
    for (int i = 0; i < 6; i++) {
        (void)rig_say(&rig, "a", "x", 2);
    }
    (void)rig_say(&rig, "a", "y", 0);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &more) && more.qos == 0); /* not against it */
    REQUIRE(rig_take(&rig, s, &d[0]) && rig_take(&rig, s, &d[1]));
    CHECK(gets_nothing(s));
    CHECK(rig_ack(&rig, s, MQTT_PUBREC, d[0].packet_id, 0) == GW_ACK_TAKEN);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &more) && more.kind == GW_SEND_PUBREL);
    CHECK(gets_nothing(s)); /* PUBREC gives nothing back */
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d[0].packet_id, 0) == GW_ACK_TAKEN);
    REQUIRE(rig_take(&rig, s, &d[2]));
    CHECK(rig_ack(&rig, s, MQTT_PUBREC, d[1].packet_id, MQTT_QUOTA_EXCEEDED) == GW_ACK_TAKEN);
    REQUIRE(rig_take(&rig, s, &d[3]));
    CHECK(gets_nothing(s));
    rig_disconnect(&rig, s, true);
    s = rig_connect(&rig,
                    &(struct rig_connect){.client_id = "s", .expiry_s = 60, .receive_max = 3});
    rig_sync(&rig);
    for (int i = 0; i < 3; i++) {
        REQUIRE(rig_take(&rig, s, &more));
    }
    CHECK(gets_nothing(s));
    end();
}

TEST("an acknowledgement of what was not sent on this connection is unknown")
{
    REQUIRE(begin());
    struct gw_delivery d;
    uint32_t s = client("s", 60);
    (void)rig_subscribe(&rig, s, "a", 2);
    (void)rig_say(&rig, "a", "x", 2);
    (void)rig_say(&rig, "a", "y", 1);
    rig_sync(&rig);
    for (uint16_t id = 1; id < 5; id++) {
        CHECK(rig_ack(&rig, s, MQTT_PUBREC, id, 0) == GW_ACK_UNKNOWN);
        CHECK(rig_ack(&rig, s, MQTT_PUBACK, id, 0) == GW_ACK_UNKNOWN);
        CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, id, 0) == GW_ACK_UNKNOWN);
    }
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(rig_ack(&rig, s, MQTT_PUBACK, d.packet_id, 0) == GW_ACK_UNKNOWN); /* QoS 2 */
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d.packet_id, 0) == GW_ACK_UNKNOWN);
    CHECK(rig_ack(&rig, s, MQTT_PUBREC, d.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d.packet_id, 0) == GW_ACK_UNKNOWN); /* no PUBREL yet */
    rig_sync(&rig);
    struct gw_delivery rel;
    REQUIRE(rig_take(&rig, s, &rel));
    CHECK(rig_ack(&rig, s, MQTT_PUBREC, d.packet_id, 0) == GW_ACK_AGAIN);
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(rig_ack(&rig, s, MQTT_PUBCOMP, d.packet_id, 0) == GW_ACK_UNKNOWN);
    end();
}

TEST("a message whose time is over is not delivered, unless its delivery had begun")
{
    REQUIRE(begin());
    struct gw_delivery d;
    uint32_t s = client("s", 600);
    (void)rig_subscribe(&rig, s, "a", 2);
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "a", .payload = "sent", .qos = 2, .expiry_s = 10});
    rig_sync(&rig);
    (void)rig_tick(&rig, 2500);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.has_expiry && d.expiry_s == 8); /* what is left, rounded up */
    rig_disconnect(&rig, s, false);
    (void)rig_publish(
        &rig, &(struct rig_publish){.topic = "a", .payload = "late", .qos = 1, .expiry_s = 10});
    (void)rig_tick(&rig, 20000);
    (void)client("s", 600);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &d));
    CHECK(d.is_dup && strcmp(rig_payload(&rig, &d), "sent") == 0 && d.expiry_s == 0);
    CHECK(gets_nothing(s));
    end();
}

TEST("each message goes to one member of a group, and each group gets one")
{
    REQUIRE(begin());
    uint32_t a = client("a", 60), c = client("c", 60), other = client("o", 60);
    (void)rig_subscribe(&rig, a, "$share/g/t/#", 1);
    (void)rig_subscribe(&rig, c, "$share/g/t/#", 1);
    (void)rig_subscribe(&rig, other, "$share/h/t/#", 1);
    (void)rig_subscribe(&rig, a, "t/+", 1); /* a copy of its own (4.8.2) */
    unsigned counts[3] = {0};
    for (int i = 0; i < 10; i++) {
        REQUIRE(rig_say(&rig, "t/x", "m", 1) == GW_ROUTED);
    }
    while (gets(a, "m", 1)) {
        counts[0]++;
    }
    while (gets(c, "m", 1)) {
        counts[1]++;
    }
    while (gets(other, "m", 1)) {
        counts[2]++;
    }
    CHECK_U64(counts[2], 10);
    CHECK_U64(counts[0] + counts[1], 20);
    CHECK(counts[0] >= 14 && counts[1] >= 4); /* fairly */
    end();
}

TEST("a member's QoS 1 messages go to another when its session ends, its QoS 2 messages to nobody")
{
    REQUIRE(begin());
    struct gw_delivery d;
    uint32_t a = client("a", 60);
    (void)rig_subscribe(&rig, a, "$share/g/t", 2);
    (void)rig_say(&rig, "t", "one", 1);
    (void)rig_say(&rig, "t", "two", 2);
    (void)rig_say(&rig, "t", "three", 1);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, a, &d) && rig_take(&rig, a, &d));
    uint32_t c = client("c", 60), v = client("v", 0);
    (void)rig_subscribe(&rig, c, "$share/g/t", 2);
    (void)rig_subscribe(&rig, v, "$share/g/t", 1); /* a volatile member may get one, too */
    rig_disconnect_expiry(&rig, a, true, 0);
    CHECK(rig_tick(&rig, 0) == 2);
    CHECK(!gw_broker_has(rig.b, a));
    unsigned ones = 0, threes = 0;
    rig_sync(&rig);
    while (rig_take(&rig, c, &d) || rig_take(&rig, v, &d)) {
        ones += strcmp(rig_payload(&rig, &d), "one") == 0 && d.qos == 1;
        threes += strcmp(rig_payload(&rig, &d), "three") == 0 && d.qos == 1;
    }
    CHECK(ones == 1 && threes == 1);
    CHECK_U64(d.packet_id, 2); /* the first of each */
    end();
}

TEST("a volatile member's messages go to a durable one in a record of their own")
{
    REQUIRE(begin());
    uint32_t v = client("v", 0), c = client("c", 60);
    (void)rig_subscribe(&rig, v, "$share/g/t", 1);
    (void)rig_say(&rig, "t", "one", 1);
    (void)rig_subscribe(&rig, c, "$share/g/t", 1);
    rig_disconnect(&rig, v, true);
    CHECK(!gw_broker_has(rig.b, v));
    rig_disconnect(&rig, c, true);
    REQUIRE(rig_restart(&rig, rig.count));
    CHECK(client("c", 60) == c);
    CHECK(gets(c, "one", 1));
    end();
}

TEST("a session ends when its expiry has passed, never at 0xFFFFFFFF, and DISCONNECT may change it")
{
    REQUIRE(begin());
    uint32_t a = client("a", 10), never = client("n", UINT32_MAX), now = client("z", 10);
    rig_disconnect(&rig, a, true);
    rig_disconnect(&rig, never, true);
    rig_disconnect_expiry(&rig, now, true, 0);
    (void)rig_tick(&rig, 0);
    CHECK(!gw_broker_has(rig.b, now));
    (void)rig_tick(&rig, 9999);
    CHECK(gw_broker_has(rig.b, a));
    (void)rig_tick(&rig, 1);
    CHECK(!gw_broker_has(rig.b, a));
    (void)rig_tick(&rig, UINT64_C(1000) * 86400 * 365 * 100);
    CHECK(gw_broker_has(rig.b, never));
    uint32_t v = client("v", 0); /* volatile: ends with its connection */
    rig_disconnect(&rig, v, true);
    CHECK(!gw_broker_has(rig.b, v));
    end();
}

TEST("a will goes out at the earlier of its delay and its session's end, not after a normal "
     "DISCONNECT, not after a resume")
{
    static const struct {
        uint32_t expiry_s, delay_s;
        bool is_normal;
        uint64_t due_ms; /* 0: never */
    } rows[] = {
        {60, 0, false, 1}, {60, 30, false, 30000}, {20, 30, false, 20000},
        {0, 30, false, 1}, {60, 30, true, 0},      {UINT32_MAX, 30, false, 30000},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        REQUIRE(begin());
        uint32_t s = client("s", 600);
        (void)rig_subscribe(&rig, s, "w", 1);
        uint32_t w = rig_connect(&rig, &(struct rig_connect){.client_id = "w",
                                                             .expiry_s = rows[i].expiry_s,
                                                             .will_topic = "w",
                                                             .will_qos = 1,
                                                             .will_delay_s = rows[i].delay_s});
        rig_disconnect(&rig, w, rows[i].is_normal);
        if (rows[i].due_ms > 1) {
            (void)rig_tick(&rig, rows[i].due_ms - 1);
            CHECK(gets_nothing(s));
        }
        (void)rig_tick(&rig, 1);
        CHECK(gets(s, "will", 1) == (rows[i].due_ms != 0));
        (void)rig_tick(&rig, 3600000);
        CHECK(gets_nothing(s)); /* and once */
        end();
    }
    REQUIRE(begin());
    uint32_t s = client("s", 600);
    (void)rig_subscribe(&rig, s, "w", 1);
    const struct rig_connect with_will = {
        .client_id = "w", .expiry_s = 60, .will_topic = "w", .will_qos = 1, .will_delay_s = 30};
    rig_disconnect(&rig, rig_connect(&rig, &with_will), false);
    (void)rig_tick(&rig, 20000);
    (void)client("w", 60); /* in time */
    (void)rig_tick(&rig, 100000);
    CHECK(gets_nothing(s));
    /* Taken over: a will without delay goes out, one with a delay does not (3.1.4-3). */
    struct rig_connect again = with_will;
    (void)rig_connect(&rig, &with_will);
    (void)rig_connect(&rig, &again);
    CHECK(gets_nothing(s));
    again.will_delay_s = 0;
    (void)rig_connect(&rig, &again);
    (void)rig_connect(&rig, &again);
    CHECK(gets(s, "will", 1));
    /* A clean start ends the session, and its will with it. */
    again.clean_start = true;
    again.will_delay_s = 30;
    rig_disconnect(
        &rig,
        gw_broker_find(rig.b, &(struct session_owner){.kind = SESSION_OWNER_APPLICATION, .id = {7}},
                       slice_text("w")),
        true);
    uint32_t w = rig_connect(&rig, &again);
    rig_disconnect(&rig, w, false);
    (void)rig_connect(&rig, &again);
    CHECK(gets(s, "will", 1));
    end();
}

TEST("a QoS 2 packet id is taken once, until its PUBREL, over a restart too")
{
    REQUIRE(begin());
    struct session_record record;
    bool must_stage;
    uint32_t p = client("p", 60), s = client("s", 60);
    (void)rig_subscribe(&rig, s, "a", 2);
    CHECK(rig_publish(&rig,
                      &(struct rig_publish){
                          .sender = p, .topic = "a", .payload = "x", .qos = 2, .packet_id = 9})
          == GW_ROUTED);
    CHECK(gw_broker_inbound_has(rig.b, p, 9));
    CHECK(
        rig_publish(&rig,
                    &(struct rig_publish){
                        .sender = p, .topic = "nobody", .payload = "x", .qos = 2, .packet_id = 10})
        == GW_NOBODY);
    CHECK(gw_broker_inbound_has(rig.b, p, 10));
    REQUIRE(rig_restart(&rig, rig.count));
    CHECK(gw_broker_inbound_has(rig.b, p, 9));
    CHECK(!gw_broker_inbound_has(rig.b, p, 10)); /* nobody got it: it may come again */
    CHECK(gw_broker_release(rig.b, p, 9, &record, &must_stage) == MQTT_SUCCESS && must_stage);
    rig_commit(&rig, &record);
    CHECK(!gw_broker_inbound_has(rig.b, p, 9));
    CHECK(gw_broker_release(rig.b, p, 9, &record, &must_stage) == MQTT_PACKET_ID_NOT_FOUND);
    REQUIRE(rig_restart(&rig, rig.count));
    CHECK(!gw_broker_inbound_has(rig.b, p, 9));
    uint32_t v = client("v", 0);
    CHECK(rig_publish(&rig,
                      &(struct rig_publish){
                          .sender = v, .topic = "a", .payload = "x", .qos = 2, .packet_id = 9})
          == GW_ROUTED);
    CHECK(gw_broker_inbound_has(rig.b, v, 9));
    CHECK(gw_broker_release(rig.b, v, 9, &record, &must_stage) == MQTT_SUCCESS && !must_stage);
    end();
}

TEST("a full queue makes publishers wait; who is away and in the way loses the session, who is "
     "there has ten seconds")
{
    REQUIRE(begin());
    uint32_t s = client("s", 600), t = client("t", 600);
    (void)rig_subscribe(&rig, s, "a", 1);
    (void)rig_subscribe(&rig, t, "a", 1);
    for (uint32_t i = 0; i < rig.limits.queue_messages_max; i++) {
        REQUIRE(rig_say(&rig, "a", "x", 1) == GW_ROUTED);
    }
    CHECK(rig_say(&rig, "a", "x", 1) == GW_WAIT);
    CHECK(gw_broker_is_blocked(rig.b, rig.blocked_by));
    uint64_t records = rig.count;
    CHECK(gets(s, "x", 1) && gets(t, "x", 1));
    CHECK(!gw_broker_is_blocked(rig.b, rig.blocked_by));
    CHECK(rig_say(&rig, "a", "x", 1) == GW_ROUTED);
    CHECK_U64(rig.count, records + 3);
    CHECK(rig_say(&rig, "a", "x", 1) == GW_WAIT);
    uint32_t slow = rig.blocked_by;
    CHECK(rig_tick(&rig, 9999) == 0);
    CHECK(gw_broker_has(rig.b, slow));
    CHECK(rig_tick(&rig, 1) == 2); /* DISCONNECT, then the end */
    CHECK(!gw_broker_has(rig.b, slow));
    uint32_t left = slow == s ? t : s;
    rig_disconnect(&rig, left, true);
    CHECK(rig_say(&rig, "a", "x", 1) == GW_WAIT);
    CHECK(rig_tick(&rig, 0) == 1);
    CHECK(!gw_broker_has(rig.b, left));
    CHECK(rig_say(&rig, "a", "x", 1) == GW_NOBODY);
    end();
}

TEST("a queue full of what is over is emptied, and its session goes on")
{
    REQUIRE(begin());
    uint32_t s = client("s", 600);
    (void)rig_subscribe(&rig, s, "a", 1);
    rig_disconnect(&rig, s, true);
    for (uint32_t i = 0; i < rig.limits.queue_messages_max; i++) {
        REQUIRE(
            rig_publish(
                &rig, &(struct rig_publish){.topic = "a", .payload = "x", .qos = 1, .expiry_s = 1})
            == GW_ROUTED);
    }
    (void)rig_tick(&rig, 1000);
    CHECK(rig_say(&rig, "a", "y", 1) == GW_WAIT);
    CHECK(rig_tick(&rig, 0) == 1);
    CHECK(rig_say(&rig, "a", "y", 1) == GW_ROUTED);
    CHECK(client("s", 600) == s);
    CHECK(gets(s, "y", 1));
    CHECK(gets_nothing(s));
    end();
}

TEST("each limit refuses and breaks nothing")
{
    REQUIRE(begin());
    char text[32];
    uint32_t s = client("s", 600);
    for (uint32_t i = 0; i < rig.limits.filters_max; i++) {
        (void)snprintf(text, sizeof text, "f/%u", i);
        REQUIRE(rig_subscribe(&rig, s, text, 1) == 1);
    }
    CHECK(rig_subscribe(&rig, s, "one/more", 1) == MQTT_QUOTA_EXCEEDED);
    CHECK(rig_subscribe(&rig, s, "f/0", 2) == 2); /* the same again is no more */
    uint32_t groups = client("g", 600);
    for (uint32_t i = 0; i < rig.limits.groups_max; i++) {
        (void)snprintf(text, sizeof text, "$share/%u/x", i);
        REQUIRE(rig_subscribe(&rig, groups, text, 1) == 1);
    }
    CHECK(rig_subscribe(&rig, groups, "$share/more/x", 1) == MQTT_QUOTA_EXCEEDED);
    for (uint32_t i = 0; i < rig.limits.retained_max; i++) {
        (void)snprintf(text, sizeof text, "r/%u", i);
        REQUIRE(rig_publish(
                    &rig,
                    &(struct rig_publish){.topic = text, .payload = "x", .qos = 1, .retain = true})
                == GW_ROUTED);
    }
    CHECK(
        rig_publish(
            &rig, &(struct rig_publish){.topic = "more", .payload = "x", .qos = 1, .retain = true})
        == GW_TOO_MANY);
    CHECK(rig_publish(
              &rig, &(struct rig_publish){.topic = "r/0", .payload = "y", .qos = 1, .retain = true})
          == GW_ROUTED);
    CHECK(rig_subscribe(&rig, groups, "r/#", 1)
          == MQTT_QUOTA_EXCEEDED); /* brings more than it may */
    for (uint32_t i = 2; i < rig.limits.sessions_max; i++) {
        (void)snprintf(text, sizeof text, "c%u", i);
        REQUIRE(client(text, 60) != 0);
    }
    CHECK(client("more", 60) == 0);
    for (uint16_t i = 1; i <= rig.limits.inbound_max; i++) {
        REQUIRE(gw_broker_inbound_may(rig.b, s));
        gw_broker_inbound_note(rig.b, s, i);
    }
    CHECK(!gw_broker_inbound_may(rig.b, s));
    char deep[128];
    memset(deep, '/', 100);
    deep[100] = 0;
    CHECK(rig_say(&rig, deep, "x", 1) == GW_TOO_MANY);
    end();
}

TEST("the deliveries of all sessions have one bound, and whoever waits for most is in the way")
{
    struct gw_broker_limits limits = rig_limits();
    limits.deliveries_max = 32;
    REQUIRE(rig_begin(&rig, &limits, 1));
    uint32_t away = client("away", 600), here = client("here", 600);
    (void)rig_subscribe(&rig, away, "a", 1);
    rig_disconnect(&rig, away, true);
    (void)rig_subscribe(&rig, here, "b", 1);
    for (int i = 0; i < 20; i++) {
        REQUIRE(rig_say(&rig, "a", "x", 1) == GW_ROUTED);
    }
    for (int i = 0; i < 12; i++) {
        REQUIRE(rig_say(&rig, "b", "x", 1) == GW_ROUTED);
    }
    CHECK(rig_say(&rig, "b", "x", 1) == GW_WAIT);
    CHECK_U64(rig.blocked_by, away);
    (void)rig_tick(&rig, 0);
    CHECK(!gw_broker_has(rig.b, away));
    CHECK(rig_say(&rig, "b", "x", 1) == GW_ROUTED);
    end();
}

TEST("packet identifiers follow the numbers and never meet, however many were delivered")
{
    REQUIRE(begin());
    struct gw_delivery stuck, d;
    struct gw_broker_limits limits = rig_limits();
    rig_end(&rig);
    REQUIRE(rig_begin(&rig, &limits, 3));
    uint32_t s = client("s", 0); /* volatile: its acknowledgements take no room in the journal */
    (void)rig_subscribe(&rig, s, "a", 1);
    (void)rig_subscribe(&rig, client("k", 60), "a", 0);
    (void)rig_say(&rig, "a", "stuck", 1);
    rig_sync(&rig);
    REQUIRE(rig_take(&rig, s, &stuck));
    uint32_t sent = 0;
    for (uint32_t i = 0; i < 70000; i++) {
        struct bus_record record = {.kind = BUS_LOCAL,
                                    .topic = slice_text("a"),
                                    .clock_ms = rig.clock_ms,
                                    .delivery = {.qos = 1}};
        struct gw_routing routing;
        struct writer none = writer_over(NULL, 0);
        const struct gw_message m = {.topic = record.topic, .qos = 1, .size = 1};
        if (gw_broker_route(rig.b, &m, rig.clock_ms, &none, &routing) != GW_ROUTED) {
            break;
        }
        gw_broker_commit(rig.b, &record, rig_head(&rig) + 1 + i);
        rig.durable = UINT64_MAX / 2;
        if (!rig_take(&rig, s, &d)) {
            continue;
        }
        sent++;
        CHECK(d.packet_id != stuck.packet_id && d.packet_id != 0);
        REQUIRE(rig_ack(&rig, s, MQTT_PUBACK, d.packet_id, 0) == GW_ACK_TAKEN);
    }
    CHECK_U64(sent, 65534);
    REQUIRE(rig_ack(&rig, s, MQTT_PUBACK, stuck.packet_id, 0) == GW_ACK_TAKEN);
    CHECK(rig_take(&rig, s, &d));
    end();
}
