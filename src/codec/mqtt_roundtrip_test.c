#include "base/rng.h"
#include "codec/mqtt.h"
#include "test/test.h"

#include <string.h>

enum { ROUNDS = 20000, CAP = 8192, TEXT_MAX = 40 };

/* One made-up packet and the bytes it borrows. */
struct maker {
    struct rng rng;
    enum mqtt_version version;
    enum mqtt_sender sender;
    uint8_t memory[CAP];
    size_t used;
};

static bool chance(struct maker *m, uint64_t one_in)
{
    return rng_below(&m->rng, one_in) == 0;
}

static struct slice some_text(struct maker *m, size_t len_min)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789/$ \xC3\xA4";
    size_t len = len_min + (size_t)rng_below(&m->rng, TEXT_MAX);
    uint8_t *at = m->memory + m->used;
    size_t n = 0;
    while (n < len) {
        size_t i = (size_t)rng_below(&m->rng, sizeof letters - 2);
        at[n++] = (uint8_t)letters[i];
        if (letters[i] == '\xC3') {
            at[n++] = (uint8_t)'\xA4';
        }
    }
    m->used += n;
    return slice_of(at, n);
}

static struct slice some_bytes(struct maker *m)
{
    size_t len = (size_t)rng_below(&m->rng, 200);
    uint8_t *at = m->memory + m->used;
    for (size_t i = 0; i < len; i++) {
        at[i] = (uint8_t)rng_u64(&m->rng);
    }
    m->used += len;
    return slice_of(at, len);
}

static uint16_t some_u16(struct maker *m) /* not zero */
{
    return (uint16_t)(1 + rng_below(&m->rng, 65535));
}

static struct slice run_of(struct maker *m, const struct writer *w)
{
    m->used += w->len;
    return slice_of(w->at, w->len);
}

static void add_user_properties(struct maker *m,
                                struct mqtt_properties *p,
                                bool with_subscription_ids)
{
    uint8_t scratch[1024];
    struct writer w = writer_over(scratch, sizeof scratch);
    for (uint64_t n = rng_below(&m->rng, 4); n > 0; n--) {
        mqtt_user_property_write(&w, some_text(m, 0), some_text(m, 0));
        mqtt_set(p, MQTT_USER_PROPERTY);
        if (with_subscription_ids && chance(m, 2)) {
            mqtt_subscription_id_write(&w,
                                       1 + (uint32_t)rng_below(&m->rng, MQTT_REMAINING_LENGTH_MAX));
            mqtt_set(p, MQTT_SUBSCRIPTION_IDENTIFIER);
        }
    }
    struct writer kept = writer_over(m->memory + m->used, sizeof m->memory - m->used);
    write_slice(&kept, writer_slice(&w));
    p->repeated = run_of(m, &kept);
}

/* Each property with a chance of one in two, where `list` allows it. */
static struct mqtt_properties some_properties(struct maker *m, const uint8_t *list, size_t count)
{
    struct mqtt_properties p = {0};
    if (m->version == MQTT_3_1_1) {
        return p;
    }
    for (size_t i = 0; i < count; i++) {
        if (chance(m, 2)) {
            mqtt_set(&p, (enum mqtt_property)list[i]);
        }
    }
#define GIVE(id, member, value)                                                                    \
    if (mqtt_has(&p, id)) {                                                                        \
        p.member = value;                                                                          \
    }
    GIVE(MQTT_PAYLOAD_FORMAT_INDICATOR, payload_format, chance(m, 2))
    GIVE(MQTT_MESSAGE_EXPIRY_INTERVAL, message_expiry_s, (uint32_t)rng_u64(&m->rng))
    GIVE(MQTT_CONTENT_TYPE, content_type, some_text(m, 0))
    GIVE(MQTT_RESPONSE_TOPIC, response_topic, some_text(m, 1))
    GIVE(MQTT_CORRELATION_DATA, correlation_data, some_bytes(m))
    GIVE(MQTT_SESSION_EXPIRY_INTERVAL, session_expiry_s, (uint32_t)rng_u64(&m->rng))
    GIVE(MQTT_ASSIGNED_CLIENT_IDENTIFIER, assigned_client_id, some_text(m, 0))
    GIVE(MQTT_SERVER_KEEP_ALIVE, server_keep_alive_s, some_u16(m))
    GIVE(MQTT_AUTHENTICATION_METHOD, authentication_method, some_text(m, 0))
    GIVE(MQTT_WILL_DELAY_INTERVAL, will_delay_s, (uint32_t)rng_u64(&m->rng))
    GIVE(MQTT_REASON_STRING, reason_string, some_text(m, 0))
    GIVE(MQTT_SERVER_REFERENCE, server_reference, some_text(m, 0))
    GIVE(MQTT_RECEIVE_MAXIMUM, receive_maximum, some_u16(m))
    GIVE(MQTT_TOPIC_ALIAS_MAXIMUM, topic_alias_maximum, some_u16(m))
    GIVE(MQTT_TOPIC_ALIAS, topic_alias, some_u16(m))
    GIVE(MQTT_MAXIMUM_QOS, maximum_qos, chance(m, 2))
    GIVE(MQTT_MAXIMUM_PACKET_SIZE, maximum_packet_size,
         1 + (uint32_t)rng_below(&m->rng, UINT32_MAX))
#undef GIVE
    bool ids = count > 0 && list[0] == MQTT_SUBSCRIPTION_IDENTIFIER;
    p.present &= ~(UINT64_C(1) << MQTT_SUBSCRIPTION_IDENTIFIER);
    add_user_properties(m, &p, ids);
    return p;
}

#define PROPERTIES(m, ...)                                                                         \
    some_properties(m, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct mqtt_connect some_connect(struct maker *m)
{
    struct mqtt_connect c = {
        .version = m->version,
        .clean_start = chance(m, 2),
        .has_will = chance(m, 2),
        .has_user_name = chance(m, 2),
        .keep_alive_s = some_u16(m),
        .client_id = some_text(m, 0),
        .properties = PROPERTIES(m, MQTT_SESSION_EXPIRY_INTERVAL, MQTT_RECEIVE_MAXIMUM,
                                 MQTT_MAXIMUM_PACKET_SIZE, MQTT_TOPIC_ALIAS_MAXIMUM,
                                 MQTT_AUTHENTICATION_METHOD),
    };
    c.has_password = c.has_user_name && chance(m, 2);
    if (c.has_will) {
        c.will.topic = some_text(m, 1);
        c.will.payload = some_bytes(m);
        c.will.qos = (uint8_t)rng_below(&m->rng, 3);
        c.will.retain = chance(m, 2);
        c.will.properties = PROPERTIES(m, MQTT_WILL_DELAY_INTERVAL, MQTT_CONTENT_TYPE,
                                       MQTT_RESPONSE_TOPIC, MQTT_CORRELATION_DATA,
                                       MQTT_PAYLOAD_FORMAT_INDICATOR, MQTT_MESSAGE_EXPIRY_INTERVAL);
    }
    c.user_name = c.has_user_name ? some_text(m, 0) : c.user_name;
    c.password = c.has_password ? some_bytes(m) : c.password;
    return c;
}

static struct mqtt_publish some_publish(struct maker *m)
{
    struct mqtt_publish p = {
        .qos = (uint8_t)rng_below(&m->rng, 3),
        .retain = chance(m, 2),
        .topic = some_text(m, 1),
        .payload = some_bytes(m),
    };
    if (m->sender == MQTT_FROM_SERVER) {
        p.properties =
            PROPERTIES(m, MQTT_SUBSCRIPTION_IDENTIFIER, MQTT_TOPIC_ALIAS, MQTT_CONTENT_TYPE);
    } else {
        p.properties = PROPERTIES(m, MQTT_TOPIC_ALIAS, MQTT_CONTENT_TYPE, MQTT_RESPONSE_TOPIC,
                                  MQTT_CORRELATION_DATA, MQTT_MESSAGE_EXPIRY_INTERVAL);
    }
    p.packet_id = p.qos > 0 ? some_u16(m) : 0;
    p.dup = p.qos > 0 && chance(m, 2);
    return p;
}

static void fill_filters(struct maker *m, struct mqtt_packet *p)
{
    uint8_t scratch[1024];
    struct writer w = writer_over(scratch, sizeof scratch);
    uint64_t count = 1 + rng_below(&m->rng, 5);
    for (uint64_t i = 0; i < count; i++) {
        struct mqtt_subscription sub = {.filter = some_text(m, 1),
                                        .qos = (uint8_t)rng_below(&m->rng, 3)};
        if (p->type == MQTT_UNSUBSCRIBE) {
            mqtt_filter_write(&w, sub.filter);
            continue;
        }
        if (m->version == MQTT_5_0) {
            sub.no_local = chance(m, 2);
            sub.retain_as_published = chance(m, 2);
            sub.retain_handling = (uint8_t)rng_below(&m->rng, 3);
        }
        mqtt_subscription_write(&w, &sub);
    }
    struct writer kept = writer_over(m->memory + m->used, sizeof m->memory - m->used);
    write_slice(&kept, writer_slice(&w));
    struct slice entries = run_of(m, &kept);
    if (p->type == MQTT_UNSUBSCRIBE) {
        p->unsubscribe.entries = entries;
        p->unsubscribe.count = (uint16_t)count;
    } else {
        p->subscribe.entries = entries;
        p->subscribe.count = (uint16_t)count;
    }
}

static void fill(struct maker *m, struct mqtt_packet *p)
{
    bool v5 = m->version == MQTT_5_0;
    switch (p->type) {
    case MQTT_CONNECT: p->connect = some_connect(m); break;
    case MQTT_CONNACK:
        p->connack.session_present = chance(m, 2);
        p->connack.properties =
            PROPERTIES(m, MQTT_ASSIGNED_CLIENT_IDENTIFIER, MQTT_SERVER_KEEP_ALIVE, MQTT_MAXIMUM_QOS,
                       MQTT_RECEIVE_MAXIMUM, MQTT_REASON_STRING);
        break;
    case MQTT_PUBLISH: p->publish = some_publish(m); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        p->ack.packet_id = some_u16(m);
        p->ack.properties = PROPERTIES(m, MQTT_REASON_STRING);
        break;
    case MQTT_SUBSCRIBE:
        p->subscribe.packet_id = some_u16(m);
        p->subscribe.properties = some_properties(m, NULL, 0);
        fill_filters(m, p);
        break;
    case MQTT_UNSUBSCRIBE:
        p->unsubscribe.packet_id = some_u16(m);
        p->unsubscribe.properties = some_properties(m, NULL, 0);
        fill_filters(m, p);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        p->suback.packet_id = some_u16(m);
        p->suback.properties = PROPERTIES(m, MQTT_REASON_STRING);
        p->suback.codes = v5 || p->type == MQTT_SUBACK ? slice_of("\0\x80", 2) : (struct slice){0};
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: break;
    case MQTT_DISCONNECT:
        p->disconnect.reason = v5 && chance(m, 2) ? MQTT_PROTOCOL_ERROR : 0;
        p->disconnect.properties =
            m->sender == MQTT_FROM_CLIENT
                ? PROPERTIES(m, MQTT_REASON_STRING, MQTT_SESSION_EXPIRY_INTERVAL)
                : PROPERTIES(m, MQTT_REASON_STRING, MQTT_SERVER_REFERENCE);
        break;
    case MQTT_AUTH:
        p->auth.reason = MQTT_CONTINUE_AUTHENTICATION;
        p->auth.properties = PROPERTIES(m, MQTT_REASON_STRING);
        p->auth.properties.authentication_method = some_text(m, 0);
        mqtt_set(&p->auth.properties, MQTT_AUTHENTICATION_METHOD);
        break;
    }
}

static bool is_spoken(const struct maker *m, enum mqtt_type type)
{
    static const bool by_client[MQTT_TYPE_COUNT] = {0, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1};
    static const bool by_server[MQTT_TYPE_COUNT] = {0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1};
    if (m->version == MQTT_3_1_1
        && (type == MQTT_AUTH || (type == MQTT_DISCONNECT && m->sender == MQTT_FROM_SERVER))) {
        return false;
    }
    return m->sender == MQTT_FROM_CLIENT ? by_client[type] : by_server[type];
}

static bool same_properties(const struct mqtt_properties *a, const struct mqtt_properties *b)
{
    return memcmp(a, b, offsetof(struct mqtt_properties, content_type)) == 0
           && slice_equal(a->content_type, b->content_type)
           && slice_equal(a->response_topic, b->response_topic)
           && slice_equal(a->correlation_data, b->correlation_data)
           && slice_equal(a->assigned_client_id, b->assigned_client_id)
           && slice_equal(a->authentication_method, b->authentication_method)
           && slice_equal(a->reason_string, b->reason_string)
           && slice_equal(a->server_reference, b->server_reference);
}

static bool same_connect(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
    return a->version == b->version && a->clean_start == b->clean_start
           && a->has_will == b->has_will && a->has_user_name == b->has_user_name
           && a->has_password == b->has_password && a->keep_alive_s == b->keep_alive_s
           && slice_equal(a->client_id, b->client_id) && slice_equal(a->user_name, b->user_name)
           && slice_equal(a->password, b->password) && slice_equal(a->will.topic, b->will.topic)
           && slice_equal(a->will.payload, b->will.payload) && a->will.qos == b->will.qos
           && a->will.retain == b->will.retain && same_properties(&a->properties, &b->properties)
           && same_properties(&a->will.properties, &b->will.properties);
}

static bool same_publish(const struct mqtt_publish *a, const struct mqtt_publish *b)
{
    return a->dup == b->dup && a->retain == b->retain && a->qos == b->qos
           && a->packet_id == b->packet_id && slice_equal(a->topic, b->topic)
           && slice_equal(a->payload, b->payload)
           && same_properties(&a->properties, &b->properties);
}

static bool same(const struct mqtt_packet *a, const struct mqtt_packet *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case MQTT_CONNECT: return same_connect(&a->connect, &b->connect);
    case MQTT_CONNACK:
        return a->connack.session_present == b->connack.session_present
               && a->connack.reason == b->connack.reason
               && same_properties(&a->connack.properties, &b->connack.properties);
    case MQTT_PUBLISH: return same_publish(&a->publish, &b->publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return a->ack.packet_id == b->ack.packet_id && a->ack.reason == b->ack.reason
               && same_properties(&a->ack.properties, &b->ack.properties);
    case MQTT_SUBSCRIBE:
        return a->subscribe.packet_id == b->subscribe.packet_id
               && a->subscribe.count == b->subscribe.count
               && slice_equal(a->subscribe.entries, b->subscribe.entries)
               && same_properties(&a->subscribe.properties, &b->subscribe.properties);
    case MQTT_UNSUBSCRIBE:
        return a->unsubscribe.packet_id == b->unsubscribe.packet_id
               && a->unsubscribe.count == b->unsubscribe.count
               && slice_equal(a->unsubscribe.entries, b->unsubscribe.entries)
               && same_properties(&a->unsubscribe.properties, &b->unsubscribe.properties);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return a->suback.packet_id == b->suback.packet_id
               && slice_equal(a->suback.codes, b->suback.codes)
               && same_properties(&a->suback.properties, &b->suback.properties);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: return true;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        return a->auth.reason == b->auth.reason
               && same_properties(&a->auth.properties, &b->auth.properties);
    }
    return false;
}

TEST("what is encoded decodes to the same packet: all types, both versions, both sides")
{
    static struct maker m;
    static uint8_t room[CAP];
    m.rng = rng_from_seed(2026);
    for (int round = 0; round < ROUNDS; round++) {
        m.used = 0;
        m.version = chance(&m, 2) ? MQTT_5_0 : MQTT_3_1_1;
        m.sender = chance(&m, 2) ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER;
        struct mqtt_packet made = {.type = (enum mqtt_type)(1 + rng_below(&m.rng, MQTT_AUTH))};
        if (!is_spoken(&m, made.type)) {
            continue;
        }
        fill(&m, &made);
        struct writer w = writer_over(room, sizeof room);
        struct mqtt_frame frame = {0};
        struct mqtt_fault fault = {0};
        struct mqtt_packet got = {0};
        bool ok = mqtt_encode(&made, m.version, m.sender, &w) == MQTT_OK
                  && mqtt_frame_next(writer_slice(&w), sizeof room, &frame, &fault) == MQTT_OK
                  && mqtt_decode(&frame, m.version, m.sender, &got, &fault) == MQTT_OK
                  && frame.size == w.len && same(&made, &got);
        if (!ok) {
            test_failed(__FILE__, __LINE__, "round %d, %s: %s", round, mqtt_type_name(made.type),
                        fault.clause != NULL ? fault.clause : "differs");
            return;
        }
    }
}
