#include "base/rng.h"
#include "core/gateway/session_bench.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

/* ---- every packet in every state ---- */

enum outcome { ASKS, CLOSES, ORDERS, SENDS, ENDS, NOTHING };

static enum outcome outcome_of(const struct bench *b)
{
    if (find(b, GW_CLOSE) != NULL) {
        return find(b, GW_REFUSE) != NULL ? CLOSES : ENDS;
    }
    if (find(b, GW_ASK_ADMISSION) != NULL) {
        return ASKS;
    }
    for (int kind = GW_APPEND; kind <= GW_TAKE_ACK; kind++) {
        if (find(b, (enum gw_effect_kind)kind) != NULL) {
            return ORDERS;
        }
    }
    return find(b, GW_SEND) != NULL ? SENDS : NOTHING;
}

TEST("each of the fifteen packets has one outcome in each state, in both versions")
{
    static const enum outcome in_new[MQTT_TYPE_COUNT] = {
        NOTHING, ASKS,   CLOSES, CLOSES, CLOSES, CLOSES, CLOSES, CLOSES,
        CLOSES,  CLOSES, CLOSES, CLOSES, CLOSES, CLOSES, CLOSES, CLOSES,
    };
    static const enum outcome in_live[MQTT_TYPE_COUNT] = {
        [MQTT_CONNECT] = CLOSES,     [MQTT_CONNACK] = CLOSES,   [MQTT_PUBLISH] = ORDERS,
        [MQTT_PUBACK] = ORDERS,      [MQTT_PUBREC] = ORDERS,    [MQTT_PUBREL] = ORDERS,
        [MQTT_PUBCOMP] = ORDERS,     [MQTT_SUBSCRIBE] = ORDERS, [MQTT_SUBACK] = CLOSES,
        [MQTT_UNSUBSCRIBE] = ORDERS, [MQTT_UNSUBACK] = CLOSES,  [MQTT_PINGREQ] = SENDS,
        [MQTT_PINGRESP] = CLOSES,    [MQTT_DISCONNECT] = ENDS,  [MQTT_AUTH] = CLOSES,
    };
    for (int v = MQTT_3_1_1; v <= MQTT_5_0; v++) {
        enum mqtt_version version = (enum mqtt_version)v;
        for (int t = MQTT_CONNECT; t < MQTT_TYPE_COUNT; t++) {
            struct bench b;
            enum mqtt_type type = (enum mqtt_type)t;
            begin(&b);
            sample(&b, type, version);
            give(&b);
            CHECK(outcome_of(&b) == in_new[t]);
            CHECK(in_new[t] == ASKS || b.s.state == GW_CLOSED);
            CHECK(find(&b, GW_SEND) == NULL); /* no DISCONNECT before CONNACK (3.14.0-1) */

            go_live(&b, version);
            sample(&b, type, version);
            give(&b);
            if (outcome_of(&b) != in_live[t]) {
                test_failed(__FILE__, __LINE__, "%s in LIVE", mqtt_type_name(type));
            }
            if (in_live[t] == CLOSES) {
                CHECK(b.s.state == GW_CLOSED);
                CHECK_U64(refused_with(&b), MQTT_PROTOCOL_ERROR);
                CHECK_U64(said(&b), version == MQTT_5_0 ? MQTT_PROTOCOL_ERROR : 0);
            }
            sample(&b, type, version);
            b.s.state = GW_CLOSED;
            b.s.is_staging = false;
            give(&b);
            CHECK(b.fx.count == 0);
        }
    }
}

TEST("every event in every state does nothing it must not and keeps the invariants")
{
    for (int state = GW_NEW; state < GW_STATE_COUNT; state++) {
        for (int kind = GW_ADMITTED; kind < GW_EVENT_COUNT; kind++) {
            bool is_answer = kind == GW_STAGED || kind == GW_NO_ROOM || kind == GW_QUEUE_FULL;
            bool is_admission = kind == GW_ADMITTED || kind == GW_DENIED;
            if ((state == GW_LIVE && (is_answer || is_admission))) {
                continue; /* answers to nothing: the role's fault, an invariant */
            }
            struct bench b;
            go_live(&b, MQTT_5_0);
            if (state == GW_NEW || state == GW_CHECKING) {
                begin(&b);
            }
            if (state == GW_CHECKING) {
                connect_packet(&b, MQTT_5_0);
                give(&b);
            } else if (state == GW_CLOSED) {
                tell(&b, GW_LOST);
            }
            REQUIRE(b.s.state == (enum gw_state)state);
            tell(&b, (enum gw_event_kind)kind);
            CHECK(state != GW_CLOSED || b.fx.count == 0);
            CHECK(find(&b, GW_ACK) == NULL && find(&b, GW_APPEND) == NULL);
        }
    }
}

/* ---- CONNECT ---- */

static void with_foreign_will(struct mqtt_connect *c)
{
    c->has_will = true;
    c->will.topic = slice_text("elsewhere");
}
static void with_long_will(struct mqtt_connect *c)
{
    static uint8_t topic[GW_TOPIC_MAX + 1];
    c->has_will = true;
    c->will.topic = slice_of(topic, sizeof topic);
}
static void with_will(struct mqtt_connect *c)
{
    c->has_will = true;
    c->will.qos = 2;
    c->will.retain = true;
    c->will.topic = slice_text(OWN "j/x");
}
static void with_auth(struct mqtt_connect *c)
{
    mqtt_set(&c->properties, MQTT_AUTHENTICATION_METHOD);
}
static void with_long_id(struct mqtt_connect *c)
{
    static uint8_t id[GW_CLIENT_ID_MAX + 1];
    c->client_id = slice_of(id, sizeof id);
}
static void with_no_id(struct mqtt_connect *c)
{
    c->client_id = slice_text("");
    c->clean_start = false;
}

TEST("a CONNECT that asks for what this gateway has not is told so in its CONNACK")
{
    static const struct {
        void (*change)(struct mqtt_connect *);
        unsigned in_5_0, in_3_1_1; /* 0: taken */
    } rows[] = {
        {with_foreign_will, MQTT_NOT_AUTHORIZED, 5},
        {with_long_will, MQTT_TOPIC_NAME_INVALID, 3},
        {with_will, 0, 0},
        {with_auth, MQTT_BAD_AUTHENTICATION_METHOD, 5},
        {with_long_id, MQTT_CLIENT_ID_NOT_VALID, 2},
        {with_no_id, 0, 2},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int v = MQTT_3_1_1; v <= MQTT_5_0; v++) {
            struct bench b;
            begin(&b);
            connect_packet(&b, (enum mqtt_version)v);
            rows[i].change(&b.packet.connect);
            give(&b);
            unsigned want = v == MQTT_5_0 ? rows[i].in_5_0 : rows[i].in_3_1_1;
            CHECK_U64(said(&b), want);
            CHECK(b.s.state == (want == 0 ? GW_CHECKING : GW_CLOSED));
            CHECK((find(&b, GW_CLOSE) != NULL) == (want != 0));
        }
    }
}

TEST("3.1.1 is refused with its own return code where it is switched off")
{
    struct bench b;
    struct gw_limits only_5 = limits;
    only_5.allow_3_1_1 = false;
    begin(&b);
    b.s.limits = &only_5;
    connect_packet(&b, MQTT_3_1_1);
    give(&b);
    CHECK_U64(said(&b), 1);
    CHECK(b.s.version == MQTT_3_1_1 && b.s.state == GW_CLOSED);
}

TEST("CONNACK tells what differs from what the client may assume (3.2.2.3)")
{
    struct bench b;
    begin(&b);
    connect_packet(&b, MQTT_5_0);
    b.packet.connect.client_id = slice_text("");
    b.packet.connect.keep_alive_s = 1000;
    b.packet.connect.properties.session_expiry_s = 4000;
    give(&b);
    tell(&b, GW_ADMITTED);
    const struct gw_effect *effect = find(&b, GW_SEND);
    REQUIRE(effect != NULL && effect->packet.type == MQTT_CONNACK);
    const struct mqtt_properties *p = &effect->packet.connack.properties;
    CHECK(!effect->packet.connack.session_present && effect->packet.connack.reason == 0);
    CHECK(mqtt_has(p, MQTT_RECEIVE_MAXIMUM) && p->receive_maximum == INFLIGHT);
    CHECK(mqtt_has(p, MQTT_MAXIMUM_PACKET_SIZE) && p->maximum_packet_size == 4096);
    CHECK(!mqtt_has(p, MQTT_MAXIMUM_QOS)); /* absent is 2, and of the next four: available */
    CHECK(!mqtt_has(p, MQTT_RETAIN_AVAILABLE));
    CHECK(!mqtt_has(p, MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE));
    CHECK(!mqtt_has(p, MQTT_SHARED_SUBSCRIPTION_AVAILABLE));
    CHECK(!mqtt_has(p, MQTT_SUBSCRIPTION_IDENTIFIERS_AVAILABLE));
    CHECK(mqtt_has(p, MQTT_TOPIC_ALIAS_MAXIMUM) && p->topic_alias_maximum == GW_ALIASES_MAX);
    CHECK(mqtt_has(p, MQTT_SESSION_EXPIRY_INTERVAL) && p->session_expiry_s == 3600);
    CHECK(mqtt_has(p, MQTT_SERVER_KEEP_ALIVE) && p->server_keep_alive_s == 100);
    CHECK(slice_is_text(p->assigned_client_id, "auto-7"));
}

TEST("CONNACK waits for admission, and a denial is its reason")
{
    struct bench b;
    begin(&b);
    connect_packet(&b, MQTT_5_0);
    give(&b);
    CHECK(find(&b, GW_SEND) == NULL);
    CHECK(slice_is_text(find(&b, GW_ASK_ADMISSION)->admission.client_id, "me"));
    step(&b, (struct gw_event){.kind = GW_DENIED, .stop = {.reason = MQTT_QUOTA_EXCEEDED}});
    CHECK_U64(said(&b), MQTT_QUOTA_EXCEEDED);
    CHECK(b.s.state == GW_CLOSED && find(&b, GW_CLOSE)->close.end == GW_END_REFUSED);
}

/* ---- PUBLISH ---- */

TEST("PUBACK follows storage, never precedes it")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "t/cpu", 1, 17);
    give(&b);
    const struct gw_effect *append = find(&b, GW_APPEND);
    REQUIRE(append != NULL && b.fx.count == 1);
    CHECK(slice_is_text(append->message.topic, OWN "t/cpu"));
    staged(&b, 500);
    CHECK(b.fx.count == 0);
    stored(&b, 499);
    CHECK(b.fx.count == 0);
    stored(&b, 500);
    const struct gw_effect *ack = find(&b, GW_ACK);
    REQUIRE(ack != NULL && ack->acks.count == 1);
    CHECK(ack->acks.list[0].packet_id == 17 && ack->acks.list[0].reason == 0);
}

TEST("QoS 0 is stored and not acknowledged")
{
    struct bench b;
    go_live(&b, MQTT_3_1_1);
    publish_packet(&b, OWN "j/x", 0, 0);
    give(&b);
    CHECK(find(&b, GW_APPEND) != NULL);
    staged(&b, 10);
    stored(&b, 10);
    CHECK(b.fx.count == 0);
}

TEST("a refused PUBLISH is answered at once after one of QoS 0, which nobody hears of")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "t/s", 0, 0);
    give(&b);
    staged(&b, 100); /* no PUBACK is due: this session is not told that it is durable */
    publish_packet(&b, OWN "nowhere", 1, 7);
    give(&b);
    const struct gw_effect *ack = find(&b, GW_ACK);
    CHECK(ack != NULL && ack->acks.count == 1);
    CHECK(ack != NULL && ack->acks.list[0].packet_id == 7);
    CHECK_U64(b.s.inflight_count, 0);
}

TEST("PUBACKs leave in the order of their PUBLISHes, the refused ones too, around the ring's end")
{
    struct bench b;
    uint16_t next_ack = 1;
    uint64_t position = 0;
    go_live(&b, MQTT_5_0);
    for (uint16_t id = 1; id <= 60; id += 3) {
        for (uint16_t i = 0; i < 3; i++) {
            publish_packet(&b, i == 1 ? "other" : OWN "hello", 1, (uint16_t)(id + i));
            give(&b);
            if (i != 1) {
                staged(&b, position += 10);
            }
            CHECK(find(&b, GW_ACK) == NULL);
        }
        stored(&b, position);
        for (uint32_t e = 0; e < b.fx.count; e++) {
            REQUIRE(b.fx.list[e].kind == GW_ACK);
            for (uint32_t i = 0; i < b.fx.list[e].acks.count; i++) {
                const struct gw_pending *p = &b.fx.list[e].acks.list[i];
                CHECK_U64(p->packet_id, next_ack);
                CHECK_U64(p->reason, next_ack % 3 == 2 ? MQTT_NOT_AUTHORIZED : 0);
                next_ack++;
            }
        }
        CHECK_U64(next_ack, id + 3);
    }
}

TEST("a device publishes below its own name and nowhere else")
{
    static const struct {
        const char *topic;
        unsigned reason; /* 0: taken */
    } rows[] = {
        {OWN "hello", 0},
        {OWN "t/cpu.load-1_5m", 0},
        {OWN "j/x", 0},
        {OWN "r", 0},
        {OWN "t/", MQTT_TOPIC_NAME_INVALID},
        {OWN "t/a/b", MQTT_TOPIC_NAME_INVALID},
        {OWN "t/.a", MQTT_TOPIC_NAME_INVALID},
        {OWN "hello/", MQTT_TOPIC_NAME_INVALID},
        {OWN "c", MQTT_TOPIC_NAME_INVALID},
        {OWN "n", MQTT_TOPIC_NAME_INVALID},
        {OWN, MQTT_TOPIC_NAME_INVALID},
        {"hf/1/hf1:abcd0000000000000000000000000001/hello", MQTT_NOT_AUTHORIZED},
        {"hf/1/hf1:ABCD0000000000000000000000000000/hello", MQTT_NOT_AUTHORIZED},
        {"hf/1/hf1:abcd0000000000000000000000000000", MQTT_NOT_AUTHORIZED},
        {"hf/2/hf1:abcd0000000000000000000000000000/hello", MQTT_NOT_AUTHORIZED},
        {"$SYS/x", MQTT_NOT_AUTHORIZED},
        {"a", MQTT_NOT_AUTHORIZED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (uint8_t qos = 0; qos < 2; qos++) {
            struct bench b;
            go_live(&b, MQTT_5_0);
            publish_packet(&b, rows[i].topic, qos, 5);
            give(&b);
            CHECK((find(&b, GW_APPEND) != NULL) == (rows[i].reason == 0));
            CHECK_U64(refused_with(&b), rows[i].reason);
            const struct gw_effect *ack = find(&b, GW_ACK);
            bool nacked = rows[i].reason != 0 && qos == 1;
            CHECK((ack != NULL) == nacked
                  && (!nacked || ack->acks.list[0].reason == rows[i].reason));
            CHECK(b.s.state == GW_LIVE);
            /* 3.1.1 has no word for it but the end: never an acknowledgement and then a loss */
            go_live(&b, MQTT_3_1_1);
            publish_packet(&b, rows[i].topic, qos, 5);
            give(&b);
            CHECK((b.s.state == GW_CLOSED) == (rows[i].reason != 0));
            CHECK(find(&b, GW_ACK) == NULL);
        }
    }
}

static void fill_inflight(struct bench *b)
{
    for (uint16_t i = 0; i < INFLIGHT; i++) {
        publish_packet(b, OWN "j/x", 1, (uint16_t)(i + 1));
        give(b);
        staged(b, 10u * (i + 1u));
    }
    publish_packet(b, OWN "j/x", 1, 99);
    give(b);
}

TEST("a 5.0 client that exceeds the Receive Maximum is disconnected with 0x93 (3.3.4)")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    fill_inflight(&b);
    CHECK_U64(said(&b), MQTT_RECEIVE_MAXIMUM_EXCEEDED);
    CHECK(b.s.state == GW_CLOSED);
}

TEST("a 3.1.1 client, who cannot know the limit, is not read until acknowledgements are out")
{
    struct bench b;
    go_live(&b, MQTT_3_1_1);
    fill_inflight(&b);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_PAUSE && b.s.state == GW_LIVE);
    CHECK(gw_session_due_ms(&b.s) == UINT64_MAX);
    stored(&b, 20);
    CHECK(find(&b, GW_ACK)->acks.count == 2 && find(&b, GW_RESUME) != NULL);
    give(&b); /* the same packet comes again */
    CHECK(find(&b, GW_APPEND) != NULL);
    staged(&b, 50);
    CHECK(b.s.inflight_count == 3);
}

TEST("a full journal stops the reading, loses nothing, and holds no keep alive against the client")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    publish_packet(&b, OWN "j/x", 1, 5);
    give(&b);
    tell(&b, GW_NO_ROOM);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_PAUSE && b.s.inflight_count == 0);
    b.now_ms += 3600 * 1000;
    tell(&b, GW_TICK);
    CHECK(b.fx.count == 0);
    tell(&b, GW_HAS_ROOM);
    CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_RESUME);
    CHECK_U64(gw_session_due_ms(&b.s), b.now_ms + 90000);
    give(&b);
    staged(&b, 10);
    stored(&b, 10);
    CHECK(find(&b, GW_ACK)->acks.list[0].packet_id == 5);
}

/* ---- the rest ---- */

TEST("silence for one and a half times the keep alive ends a session, and not a moment before")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    CHECK_U64(gw_session_due_ms(&b.s), NOW + 90000);
    b.now_ms += 89999;
    tell(&b, GW_TICK);
    CHECK(b.fx.count == 0);
    sample(&b, MQTT_PINGREQ, MQTT_5_0);
    give(&b);
    CHECK(find(&b, GW_SEND)->packet.type == MQTT_PINGRESP);
    b.now_ms += 90000;
    tell(&b, GW_TICK);
    CHECK_U64(said(&b), MQTT_KEEP_ALIVE_TIMEOUT);
    CHECK(find(&b, GW_CLOSE)->close.end == GW_END_KEEP_ALIVE);
}

TEST("a connection without a CONNECT does not outlive its deadline")
{
    struct bench b;
    begin(&b);
    b.now_ms += 4999;
    tell(&b, GW_TICK);
    CHECK(b.fx.count == 0);
    b.now_ms += 1;
    tell(&b, GW_TICK);
    CHECK(find(&b, GW_CLOSE) != NULL && find(&b, GW_SEND) == NULL);
}

TEST("takeover and stop tell a 5.0 client why, and close a 3.1.1 client without a word it has not")
{
    static const struct {
        enum gw_event_kind kind;
        unsigned reason;
        enum gw_end end;
    } rows[] = {
        {GW_TOOK_OVER, MQTT_SESSION_TAKEN_OVER, GW_END_TAKEN_OVER},
        {GW_STOPPING, MQTT_SERVER_SHUTTING_DOWN, GW_END_STOPPING},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bench b;
        go_live(&b, MQTT_5_0);
        tell(&b, rows[i].kind);
        CHECK_U64(said(&b), rows[i].reason);
        CHECK(find(&b, GW_CLOSE)->close.end == rows[i].end && find(&b, GW_REFUSE) == NULL);
        go_live(&b, MQTT_3_1_1);
        tell(&b, rows[i].kind);
        CHECK(b.fx.count == 1 && b.fx.list[0].kind == GW_CLOSE);
    }
}

TEST("a fault of the bytes is answered with its own reason: CONNACK before, DISCONNECT after "
     "CONNECT")
{
    struct bench b;
    struct gw_event ev = {.kind = GW_SAW_FAULT};
    begin(&b);
    ev.fault = (struct mqtt_fault){MQTT_MALFORMED_PACKET, "x", MQTT_5_0};
    step(&b, ev);
    CHECK_U64(said(&b), MQTT_MALFORMED_PACKET);
    begin(&b);
    ev.fault = (struct mqtt_fault){.reason = MQTT_PACKET_TOO_LARGE, .clause = "x"};
    step(&b, ev);
    CHECK(find(&b, GW_SEND) == NULL && find(&b, GW_CLOSE) != NULL);
    begin(&b);
    ev.fault = (struct mqtt_fault){.reason = MQTT_UNSUPPORTED_VERSION, .clause = "x"};
    step(&b, ev);
    CHECK_U64(said(&b), 1);
    go_live(&b, MQTT_5_0);
    ev.fault = (struct mqtt_fault){.reason = MQTT_PACKET_TOO_LARGE, .clause = "x"};
    step(&b, ev);
    CHECK_U64(said(&b), MQTT_PACKET_TOO_LARGE);
    CHECK_U64(refused_with(&b), MQTT_PACKET_TOO_LARGE);
}

TEST("a second CONNECT that is wrong as well is a protocol error, for DISCONNECT has no 0x84")
{
    static const struct mqtt_fault faults[] = {
        {.reason = MQTT_UNSUPPORTED_VERSION, .clause = "x"},
        {.reason = MQTT_UNSUPPORTED_VERSION, .clause = "x", .version = MQTT_5_0},
        {.reason = MQTT_CLIENT_ID_NOT_VALID, .clause = "x", .version = MQTT_3_1_1},
    };
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct bench b;
        go_live(&b, MQTT_5_0);
        step(&b, (struct gw_event){.kind = GW_SAW_FAULT, .fault = faults[i]});
        CHECK_U64(said(&b), MQTT_PROTOCOL_ERROR);
    }
}

TEST("a DISCONNECT cannot make a session outlive its connection that CONNECT did not ask for")
{
    struct bench b;
    go_live(&b, MQTT_5_0);
    b.packet = (struct mqtt_packet){.type = MQTT_DISCONNECT};
    b.packet.disconnect.properties.session_expiry_s = 1;
    give(&b);
    CHECK_U64(said(&b), MQTT_PROTOCOL_ERROR);
}

/* ---- at random, against a model that only counts ---- */

struct model {
    uint64_t staged, durable;
    uint32_t unacked;
    uint64_t acked;
};

static void count_acks(struct bench *b, struct model *m)
{
    for (uint32_t i = 0; i < b->fx.count; i++) {
        if (b->fx.list[i].kind == GW_ACK) {
            CHECK(b->fx.list[i].acks.count <= m->unacked);
            m->unacked -= b->fx.list[i].acks.count;
            m->acked += b->fx.list[i].acks.count;
            for (uint32_t k = 0; k < b->fx.list[i].acks.count; k++) {
                CHECK(b->fx.list[i].acks.list[k].position <= m->durable);
            }
        }
    }
}

static void publish_at_random(struct bench *b, struct model *m, struct rng *rng, uint16_t id)
{
    bool own = rng_below(rng, 8) != 0;
    if (m->unacked == INFLIGHT || b->s.stall != GW_FLOWS) {
        return;
    }
    publish_packet(b, own ? OWN "j/x" : "foreign", (uint8_t)rng_below(rng, 2), id);
    m->unacked += b->packet.publish.qos;
    give(b);
    count_acks(b, m);
    if (find(b, GW_APPEND) == NULL) {
        return;
    }
    if (rng_below(rng, 6) == 0) {
        m->unacked -= b->packet.publish.qos;
        tell(b, GW_NO_ROOM);
    } else {
        staged(b, m->staged += 1 + rng_below(rng, 100));
    }
}

TEST("whatever the order of messages, syncs and full journals, every PUBACK is after its storage")
{
    struct rng rng = rng_from_seed(12);
    struct bench b;
    struct model m = {0};
    go_live(&b, MQTT_5_0);
    for (uint32_t i = 0; i < 100000; i++) {
        switch (rng_below(&rng, 3)) {
        case 0: publish_at_random(&b, &m, &rng, (uint16_t)(i % 65535 + 1)); break;
        case 1:
            m.durable += rng_below(&rng, m.staged - m.durable + 1);
            stored(&b, m.durable);
            count_acks(&b, &m);
            break;
        default: tell(&b, GW_HAS_ROOM); break;
        }
        REQUIRE(b.s.state == GW_LIVE && b.s.inflight_count == m.unacked);
    }
    CHECK(m.acked > 10000);
}
