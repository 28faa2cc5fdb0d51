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

TEST("a stop says goodbye exactly where there is somebody to say it to, in every state")
{
    static const struct {
        enum link_state state;
        uint32_t count;
        enum link_effect_kind first;
    } rows[] = {
        {LINK_IDLE, 0, LINK_DIAL},
        {LINK_OPENING, 1, LINK_HANG_UP},
        {LINK_GREETING, 2, LINK_SEND_DISCONNECT},
        {LINK_HELLO, 2, LINK_SEND_DISCONNECT},
        {LINK_LIVE, 3, LINK_DOWN},
        {LINK_WAITING, 0, LINK_DIAL},
        {LINK_STOPPED, 0, LINK_DIAL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct link l;
        struct mqtt_packet connack = {.type = MQTT_CONNACK};
        struct mqtt_packet ack = puback(LINK_HELLO_ID, MQTT_SUCCESS);
        link_init(&l, 1, 0, 1);
        if (rows[i].state > LINK_IDLE) {
            feed(&l, LINK_START, 0);
        }
        if (rows[i].state > LINK_OPENING) {
            feed(&l, LINK_OPENED, 0);
        }
        if (rows[i].state > LINK_GREETING) {
            got(&l, &connack, 0);
        }
        if (rows[i].state > LINK_HELLO) {
            got(&l, &ack, 0);
        }
        if (rows[i].state == LINK_WAITING) {
            feed(&l, LINK_CLOSED, 0);
        }
        if (rows[i].state == LINK_STOPPED) {
            feed(&l, LINK_STOP, 0);
        }
        CHECK(l.state == rows[i].state);
        feed(&l, LINK_STOP, 1);
        CHECK(ordered(rows[i].count, rows[i].first));
        CHECK(l.state == LINK_STOPPED);
        feed(&l, LINK_START, 2);
        CHECK(fx.count == 0);
    }
}

TEST("a stop while a ping is unanswered, or after hanging up, forgets both")
{
    struct link l;
    struct mqtt_packet connack = {.type = MQTT_CONNACK};
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 0);
    feed(&l, LINK_TICK, link_due_ms(&l)); /* at a time of 0 there is a ping as well */
    CHECK(ordered(1, LINK_SEND_PING));
    feed(&l, LINK_STOP, 1u << 20);
    CHECK(fx.count == 3 && l.ping_ms == 0);
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 0);
    got(&l, &connack, 0);
    CHECK(fx.count == 2); /* hung up */
    feed(&l, LINK_STOP, 1);
    CHECK(ordered(1, LINK_DOWN));
}

TEST("a gateway that refuses, keeps a session, takes no QoS 1 or says goodbye is left")
{
    struct mqtt_packet rows[4] = {{.type = MQTT_CONNACK},
                                  {.type = MQTT_CONNACK},
                                  {.type = MQTT_CONNACK},
                                  {.type = MQTT_CONNACK}};
    static const uint32_t counts[] = {1, 2, 2, 1};
    static const enum mqtt_reason reasons[] = {MQTT_SUCCESS, MQTT_PROTOCOL_ERROR,
                                               MQTT_QOS_NOT_SUPPORTED, MQTT_SUCCESS};
    rows[0].connack.reason = MQTT_NOT_AUTHORIZED;
    rows[1].connack.session_present = true;
    mqtt_set(&rows[2].connack.properties, MQTT_MAXIMUM_QOS);
    rows[3].connack.reason = MQTT_SERVER_BUSY;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct link l;
        link_init(&l, 1, 0, 1);
        feed(&l, LINK_START, 0);
        feed(&l, LINK_OPENED, 0);
        got(&l, &rows[i], 0);
        CHECK(ordered(counts[i], counts[i] == 1 ? LINK_HANG_UP : LINK_SEND_DISCONNECT));
        CHECK(counts[i] == 1 || fx.list[0].reason == reasons[i]);
        CHECK(l.last_reason == rows[i].connack.reason);
        CHECK(link_due_ms(&l) == UINT64_MAX); /* it waits for LINK_CLOSED alone */
    }
    struct link l;
    struct mqtt_packet bye = {.type = MQTT_DISCONNECT};
    bye.disconnect.reason = MQTT_SERVER_SHUTTING_DOWN;
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 0);
    got(&l, &bye, 5);
    CHECK(ordered(1, LINK_HANG_UP) && l.last_reason == MQTT_SERVER_SHUTTING_DOWN);
    link_init(&l, 1, 0, 1);
    feed(&l, LINK_START, 0);
    feed(&l, LINK_OPENED, 0);
    got(&l, &bye, 5); /* 3.14: a server sends none before its CONNACK */
    CHECK(ordered(2, LINK_SEND_DISCONNECT) && fx.list[0].reason == MQTT_PROTOCOL_ERROR);
}

TEST("the gateway's keep alive counts, and none means no pings")
{
    struct link l;
    struct mqtt_packet connack = {.type = MQTT_CONNACK};
    struct mqtt_packet ack = puback(LINK_HELLO_ID, MQTT_SUCCESS);
    mqtt_set(&connack.connack.properties, MQTT_SERVER_KEEP_ALIVE);
    mqtt_set(&connack.connack.properties, MQTT_MAXIMUM_QOS);
    connack.connack.properties.maximum_qos = 1;
    for (uint16_t keep_alive_s = 0; keep_alive_s <= 8; keep_alive_s += 8) {
        connack.connack.properties.server_keep_alive_s = keep_alive_s;
        link_init(&l, 1, 0, 1);
        feed(&l, LINK_START, 0);
        feed(&l, LINK_OPENED, 0);
        got(&l, &connack, 0);
        got(&l, &ack, 0);
        CHECK_U64(link_due_ms(&l), keep_alive_s == 0 ? UINT64_MAX : 6000);
    }
}

TEST("a new identity ends a connection once, a bare dial without a DISCONNECT, and nothing else")
{
    struct link l;
    link_init(&l, 1, 0, 1);
    feed(&l, LINK_RENEW, 0);
    CHECK(fx.count == 0);
    feed(&l, LINK_START, 0);
    feed(&l, LINK_START, 0);
    CHECK(fx.count == 0); /* started once */
    feed(&l, LINK_RENEW, 0);
    CHECK(ordered(1, LINK_HANG_UP));
    feed(&l, LINK_RENEW, 0);
    CHECK(fx.count == 0);
    feed(&l, LINK_OPENED, 0);
    CHECK(fx.count == 0 && l.state == LINK_OPENING); /* too late: it was given up */
    link_init(&l, 1, 0, 1);
    go_live(&l, 10, 0);
    feed(&l, LINK_RENEW, 0);
    CHECK(ordered(2, LINK_SEND_DISCONNECT));
    feed(&l, LINK_TICK, 1u << 30);
    CHECK(fx.count == 0);
}

TEST("a gateway that never answers a CONNECT or a hello is left")
{
    struct link l;
    struct mqtt_packet connack = {.type = MQTT_CONNACK};
    for (unsigned greeted = 0; greeted < 2; greeted++) {
        link_init(&l, 1, 0, 1);
        feed(&l, LINK_START, 0);
        feed(&l, LINK_TICK, 1u << 30); /* a dial has its own end: LINK_CLOSED */
        CHECK(fx.count == 0);
        feed(&l, LINK_OPENED, 0);
        if (greeted == 1) {
            got(&l, &connack, 0);
        }
        feed(&l, LINK_TICK, link_due_ms(&l));
        CHECK(ordered(1, LINK_HANG_UP));
    }
}

static void hint(struct link *l, uint32_t slots, uint32_t slot_ms)
{
    link_step(l, &(struct link_event){.kind = LINK_HINTED, .slots = slots, .slot_ms = slot_ms},
              &fx);
    link_check(l);
}

/* What the next attempt dials, once its time has come. */
static uint32_t next_dial(struct link *l, uint64_t *now_ms)
{
    *now_ms = link_due_ms(l);
    feed(l, LINK_TICK, *now_ms);
    CHECK(ordered(1, LINK_DIAL));
    return fx.count == 1 ? fx.list[0].gateway : UINT32_MAX;
}

TEST("a hint beyond an hour is none, and without one the first dial does not wait")
{
    struct link l;
    link_init(&l, 2, 0, 1);
    hint(&l, 4000000000u, 4000000000u);
    feed(&l, LINK_START, 0);
    CHECK(ordered(1, LINK_DIAL));
    link_init(&l, 2, 0, 1);
    hint(&l, 3601, 1000);
    feed(&l, LINK_START, 0);
    CHECK(ordered(1, LINK_DIAL));
}

TEST("a power return of ten thousand is a queue: dials spread over the slots, none beyond, no heap "
     "anywhere")
{
    enum { DEVICES = 10000, SLOTS = 10000, SLOT_MS = 2, BINS = 20 };
    uint32_t bins[BINS] = {0};
    for (uint32_t i = 0; i < DEVICES; i++) {
        struct link l;
        link_init(&l, 2, i % 2, i);
        hint(&l, SLOTS, SLOT_MS);
        feed(&l, LINK_START, 500);
        CHECK(l.state == LINK_WAITING && fx.count == 0);
        uint64_t wait_ms = link_due_ms(&l) - 500;
        REQUIRE(wait_ms < (uint64_t)SLOTS * SLOT_MS);
        bins[wait_ms * BINS / ((uint64_t)SLOTS * SLOT_MS)]++;
    }
    for (uint32_t i = 0; i < BINS; i++) { /* each second has its twentieth, give or take a fifth */
        CHECK(bins[i] > DEVICES / BINS * 4 / 5 && bins[i] < DEVICES / BINS * 6 / 5);
    }
}

TEST("the loss of a gateway with all of its devices is spread as well, being sent away is not")
{
    uint64_t longest = 0;
    uint64_t longest_sent = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct link l;
        struct mqtt_packet bye = {.type = MQTT_DISCONNECT};
        bye.disconnect.reason = MQTT_USE_ANOTHER_SERVER;
        link_init(&l, 2, 0, i);
        go_live(&l, 10, 0);
        hint(&l, 1000, 20);
        feed(&l, LINK_CLOSED, 0);
        longest = link_due_ms(&l) > longest ? link_due_ms(&l) : longest;
        link_init(&l, 2, 0, i);
        go_live(&l, 10, 0);
        hint(&l, 1000, 20);
        got(&l, &bye, 0);
        feed(&l, LINK_CLOSED, 0);
        longest_sent = link_due_ms(&l) > longest_sent ? link_due_ms(&l) : longest_sent;
    }
    CHECK(longest > 15000 && longest < 20000);
    CHECK(longest_sent < LINK_BACKOFF_MS);
}

TEST("a gateway that sends us away is left at once for another, whatever its priority, and alone "
     "for a minute")
{
    static const enum mqtt_reason reasons[] = {MQTT_USE_ANOTHER_SERVER, MQTT_SERVER_MOVED,
                                               MQTT_ADMINISTRATIVE_ACTION};
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        struct link l;
        struct mqtt_packet bye = {.type = MQTT_DISCONNECT};
        struct mqtt_packet no = {.type = MQTT_CONNACK};
        uint64_t now_ms = 0;
        bye.disconnect.reason = (uint8_t)reasons[i];
        no.connack.reason = (uint8_t)reasons[i];
        link_init(&l, 2, 0, 3);
        link_set_priority(&l, 1, 1);
        go_live(&l, 10, 0);
        CHECK_U64(l.current, 0);
        got(&l, &bye, 1000);
        feed(&l, LINK_CLOSED, 1000);
        CHECK_U64(next_dial(&l, &now_ms), 1);
        CHECK(now_ms < 1000 + LINK_BACKOFF_MS);
        feed(&l, LINK_CLOSED, now_ms);
        CHECK_U64(next_dial(&l, &now_ms), 1); /* it failed, but rests less long than the other */
        feed(&l, LINK_CLOSED, now_ms);
        CHECK_U64(next_dial(&l, &now_ms), 0); /* it failed again: who sent us away lives */
        link_init(&l, 2, 0, 3);
        feed(&l, LINK_START, 0);
        feed(&l, LINK_OPENED, 0);
        got(&l, &no, 0);
        feed(&l, LINK_CLOSED, 0);
        CHECK_U64(next_dial(&l, &now_ms), 1);
    }
}

TEST("the best that works is used: a lesser gateway while a better one fails, and the better one "
     "again after a while")
{
    struct link l;
    uint64_t now_ms = 0;
    link_init(&l, 3, 0, 8);
    link_set_priority(&l, 0, 1);
    link_set_priority(&l, 1, 2);
    link_set_priority(&l, 2, 3);
    feed(&l, LINK_START, 0);
    CHECK_U64(fx.list[0].gateway, 0);
    feed(&l, LINK_CLOSED, 0);
    CHECK_U64(next_dial(&l, &now_ms), 1);
    feed(&l, LINK_OPENED, now_ms);
    struct mqtt_packet connack = {.type = MQTT_CONNACK};
    struct mqtt_packet ack = puback(LINK_HELLO_ID, MQTT_SUCCESS);
    got(&l, &connack, now_ms);
    got(&l, &ack, now_ms);
    CHECK(l.state == LINK_LIVE);
    uint64_t back_ms = l.return_ms;
    CHECK(back_ms >= now_ms + LINK_RETURN_MS && back_ms < now_ms + 2 * LINK_RETURN_MS);
    for (uint64_t at = link_due_ms(&l); at < back_ms; at = link_due_ms(&l)) {
        struct mqtt_packet pong = {.type = MQTT_PINGRESP};
        feed(&l, LINK_TICK, at);
        CHECK(ordered(1, LINK_SEND_PING));
        got(&l, &pong, at);
    }
    feed(&l, LINK_TICK, back_ms);
    CHECK(fx.count == 2 && fx.list[0].kind == LINK_SEND_DISCONNECT
          && fx.list[1].kind == LINK_HANG_UP);
    feed(&l, LINK_CLOSED, back_ms);
    CHECK(ordered(1, LINK_DOWN));
    CHECK_U64(next_dial(&l, &now_ms), 0);
}

TEST("a live session that is lost is looked for where it was, before anywhere else")
{
    struct link l;
    uint64_t now_ms = 0;
    link_init(&l, 3, 1, 8);
    go_live(&l, 10, 0);
    CHECK_U64(l.current, 1);
    feed(&l, LINK_CLOSED, 10);
    CHECK_U64(next_dial(&l, &now_ms), 1);
    feed(&l, LINK_CLOSED, now_ms);
    CHECK_U64(next_dial(&l, &now_ms), 2);
}
