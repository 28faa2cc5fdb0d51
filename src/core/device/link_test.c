#include "base/invariant.h"
#include "codec/mqtt.h"
#include "core/device/link.h"
#include "test/test.h"

static struct link_effects fx;

static void feed(struct link *l, enum link_event_kind kind, uint64_t now_ms)
{
    link_step(l, &(struct link_event){.kind = kind, .now_ms = now_ms}, &fx);
    link_check(l);
}

static void got(struct link *l, const struct mqtt_packet *packet, uint64_t now_ms)
{
    link_step(l, &(struct link_event){.kind = LINK_GOT, .now_ms = now_ms, .packet = packet}, &fx);
    link_check(l);
}

static bool ordered(uint32_t count, enum link_effect_kind first)
{
    return fx.count == count && (count == 0 || fx.list[0].kind == first);
}

static struct mqtt_packet puback(uint16_t id, enum mqtt_reason reason)
{
    return (struct mqtt_packet){.type = MQTT_PUBACK,
                                .ack = {.packet_id = id, .reason = (uint8_t)reason}};
}

/* A link that is live since `now_ms`, with this Receive Maximum. */
static void go_live(struct link *l, uint16_t receive_maximum, uint64_t now_ms)
{
    struct mqtt_packet connack = {.type = MQTT_CONNACK};
    connack.connack.properties.receive_maximum = receive_maximum;
    mqtt_set(&connack.connack.properties, MQTT_RECEIVE_MAXIMUM);
    if (l->state == LINK_IDLE) {
        feed(l, LINK_START, now_ms);
    } else {
        feed(l, LINK_TICK, now_ms);
    }
    CHECK(ordered(1, LINK_DIAL));
    feed(l, LINK_OPENED, now_ms);
    CHECK(ordered(1, LINK_SEND_CONNECT));
    got(l, &connack, now_ms);
    CHECK(ordered(1, LINK_SEND_HELLO));
    struct mqtt_packet ack = puback(LINK_HELLO_ID, MQTT_SUCCESS);
    got(l, &ack, now_ms);
    CHECK(ordered(1, LINK_UP));
    CHECK(l->state == LINK_LIVE);
}

TEST("nothing is published before the hello is acknowledged, and never beyond Receive Maximum")
{
    struct link l;
    struct mqtt_packet connack = {.type = MQTT_CONNACK};
    link_init(&l, 1, 0, 1);
    CHECK(!link_may_publish(&l, 0, 0));
    feed(&l, LINK_START, 0);
    feed(&l, LINK_OPENED, 0);
    got(&l, &connack, 0);
    CHECK(!link_may_publish(&l, 0, 0));
    link_init(&l, 1, 0, 1);
    go_live(&l, 3, 100);
    CHECK(link_may_publish(&l, 2, 100));
    CHECK(!link_may_publish(&l, 3, 100));
}

TEST("a hello that is refused, or acknowledged under another id, ends the connection")
{
    static const struct {
        uint16_t id;
        enum mqtt_reason reason;
    } rows[] = {{LINK_HELLO_ID, MQTT_NOT_AUTHORIZED}, {7, MQTT_SUCCESS}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct link l;
        struct mqtt_packet connack = {.type = MQTT_CONNACK};
        struct mqtt_packet ack = puback(rows[i].id, rows[i].reason);
        link_init(&l, 1, 0, 1);
        feed(&l, LINK_START, 0);
        feed(&l, LINK_OPENED, 0);
        got(&l, &connack, 0);
        got(&l, &ack, 0);
        CHECK(fx.count > 0 && fx.list[fx.count - 1].kind == LINK_HANG_UP);
        CHECK(l.state != LINK_LIVE);
        feed(&l, LINK_CLOSED, 0);
        CHECK(l.state == LINK_WAITING);
    }
}

TEST("an acknowledgement is passed on, a refusal for good told from one for now")
{
    static const struct {
        enum mqtt_reason reason;
        enum link_effect_kind effect;
    } rows[] = {
        {MQTT_SUCCESS, LINK_ACKED},
        {MQTT_NO_MATCHING_SUBSCRIBERS, LINK_ACKED},
        {MQTT_QUOTA_EXCEEDED, LINK_AGAIN},
        {MQTT_UNSPECIFIED_ERROR, LINK_AGAIN},
        {MQTT_NOT_AUTHORIZED, LINK_REFUSED},
        {MQTT_TOPIC_NAME_INVALID, LINK_REFUSED},
        {MQTT_PAYLOAD_FORMAT_INVALID, LINK_REFUSED},
    };
    struct link l;
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 1000);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mqtt_packet ack = puback(42, rows[i].reason);
        got(&l, &ack, 1000);
        CHECK(ordered(1, rows[i].effect));
        CHECK(fx.list[0].packet_id == 42);
    }
    CHECK(!link_may_publish(&l, 0, 1000)); /* it was told that there is no room */
    CHECK(link_may_publish(&l, 0, 1000 + LINK_HOLD_MS));
}

TEST("a packet that does not belong where it comes ends the connection: every type in every state")
{
    static const enum mqtt_type types[] = {MQTT_CONNACK,  MQTT_PUBLISH,  MQTT_PUBREC,
                                           MQTT_PUBREL,   MQTT_PUBCOMP,  MQTT_SUBACK,
                                           MQTT_UNSUBACK, MQTT_PINGRESP, MQTT_AUTH};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct link l;
        struct mqtt_packet packet = {.type = types[i]};
        link_init(&l, 1, 0, 1);
        feed(&l, LINK_START, 0);
        feed(&l, LINK_OPENED, 0);
        if (types[i] != MQTT_CONNACK) {
            got(&l, &packet, 0);
            CHECK(fx.count == 2 && fx.list[1].kind == LINK_HANG_UP);
        }
        link_init(&l, 1, 0, 1);
        go_live(&l, 10, 0);
        got(&l, &packet, 0);
        CHECK(fx.count == 2 && fx.list[0].kind == LINK_SEND_DISCONNECT);
        CHECK(fx.list[0].reason == MQTT_PROTOCOL_ERROR);
        got(&l, &packet, 0);
        CHECK(fx.count == 0); /* once is enough */
    }
}

TEST("a quiet link is pinged before its keep alive ends, and one that does not answer is given up")
{
    struct link l;
    struct mqtt_packet pong = {.type = MQTT_PINGRESP};
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 1000);
    uint64_t due = link_due_ms(&l);
    CHECK(due > 1000 && due < 1000 + 1000 * LINK_KEEP_ALIVE_S);
    feed(&l, LINK_SENT, 5000);
    CHECK(link_due_ms(&l) > due);
    due = link_due_ms(&l);
    feed(&l, LINK_TICK, due - 1);
    CHECK(fx.count == 0);
    feed(&l, LINK_TICK, due);
    CHECK(ordered(1, LINK_SEND_PING));
    got(&l, &pong, due + 10);
    CHECK(fx.count == 0);
    due = link_due_ms(&l);
    feed(&l, LINK_TICK, due);
    CHECK(ordered(1, LINK_SEND_PING));
    feed(&l, LINK_TICK, due + LINK_ANSWER_MS);
    CHECK(ordered(1, LINK_HANG_UP));
    feed(&l, LINK_CLOSED, due + LINK_ANSWER_MS);
    CHECK(ordered(1, LINK_DOWN));
}

TEST("attempts go round the gateways, their waits are random, bounded and grow")
{
    struct link l;
    uint64_t now_ms = 0;
    uint64_t longest = 0;
    link_init(&l, 3, 2, 99);
    feed(&l, LINK_START, now_ms);
    for (uint32_t attempt = 1; attempt < 40; attempt++) {
        CHECK(ordered(1, LINK_DIAL));
        CHECK_U64(fx.list[0].gateway, (2 + attempt - 1) % 3);
        feed(&l, LINK_CLOSED, now_ms);
        CHECK(l.state == LINK_WAITING);
        uint64_t wait = link_due_ms(&l) - now_ms;
        CHECK(wait < LINK_BACKOFF_MAX_MS);
        CHECK(attempt > 1 || wait < LINK_BACKOFF_MS);
        longest = wait > longest ? wait : longest;
        now_ms += wait;
        feed(&l, LINK_TICK, now_ms);
    }
    CHECK(longest > LINK_BACKOFF_MAX_MS / 2);
    CHECK_U64(invariant_breaches(), 0);
}

TEST("two devices that lose the same gateway do not come back at the same moment")
{
    struct link a;
    struct link b;
    link_init(&a, 1, 0, 1);
    link_init(&b, 1, 0, 2);
    go_live(&a, 10, 0);
    go_live(&b, 10, 0);
    feed(&a, LINK_CLOSED, 0);
    feed(&b, LINK_CLOSED, 0);
    CHECK(link_due_ms(&a) != link_due_ms(&b));
}

TEST("after a stop nothing is dialled any more")
{
    struct link l;
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 0);
    feed(&l, LINK_STOP, 5);
    CHECK(fx.count == 3);
    CHECK(fx.list[0].kind == LINK_DOWN && fx.list[1].kind == LINK_SEND_DISCONNECT);
    CHECK(fx.list[1].reason == MQTT_SUCCESS && fx.list[2].kind == LINK_HANG_UP);
    feed(&l, LINK_CLOSED, 6);
    CHECK(fx.count == 0);
    feed(&l, LINK_TICK, 1u << 30);
    CHECK(fx.count == 0);
    CHECK(link_due_ms(&l) == UINT64_MAX);
}
