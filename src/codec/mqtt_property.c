/*
 * Properties by one table: what shape each has, in which packets of which side it may be, and where
 * its value goes. MQTT 5.0 2.2.2.2, table 2-4, and the property paragraphs of each packet in
 * chapter 3.
 */
#include "codec/mqtt_topic.h"
#include "codec/mqtt_wire.h"

#include <string.h>

enum shape {
    SHAPE_NONE,
    SHAPE_FLAG,
    SHAPE_U16,
    SHAPE_U32,
    SHAPE_VARINT,
    SHAPE_STRING,
    SHAPE_BINARY,
    SHAPE_PAIR
};

enum {
    WILL = 1 << MQTT_PLACE_WILL,
    CONNECT = 1 << MQTT_CONNECT,
    CONNACK = 1 << MQTT_CONNACK,
    PUBLISH = 1 << MQTT_PUBLISH,
    ACKS = 1 << MQTT_PUBACK | 1 << MQTT_PUBREC | 1 << MQTT_PUBREL | 1 << MQTT_PUBCOMP,
    SUBSCRIBE = 1 << MQTT_SUBSCRIBE,
    SUBACK = 1 << MQTT_SUBACK,
    UNSUBSCRIBE = 1 << MQTT_UNSUBSCRIBE,
    UNSUBACK = 1 << MQTT_UNSUBACK,
    DISCONNECT = 1 << MQTT_DISCONNECT,
    AUTH = 1 << MQTT_AUTH
};

struct rule {
    enum shape shape;
    uint16_t field;       /* offset in struct mqtt_properties */
    uint16_t from_client; /* places where this sender may put it */
    uint16_t from_server;
    bool not_zero; /* the value 0 is a protocol error */
};

#define AT(member) offsetof(struct mqtt_properties, member)

static const struct rule rules[MQTT_PROPERTY_END] = {
    [MQTT_PAYLOAD_FORMAT_INDICATOR] = {SHAPE_FLAG, AT(payload_format), WILL | PUBLISH, PUBLISH,
                                       false},
    [MQTT_MESSAGE_EXPIRY_INTERVAL] = {SHAPE_U32, AT(message_expiry_s), WILL | PUBLISH, PUBLISH,
                                      false},
    [MQTT_CONTENT_TYPE] = {SHAPE_STRING, AT(content_type), WILL | PUBLISH, PUBLISH, false},
    [MQTT_RESPONSE_TOPIC] = {SHAPE_STRING, AT(response_topic), WILL | PUBLISH, PUBLISH, false},
    [MQTT_CORRELATION_DATA] = {SHAPE_BINARY, AT(correlation_data), WILL | PUBLISH, PUBLISH, false},
    [MQTT_SUBSCRIPTION_IDENTIFIER] = {SHAPE_VARINT, 0, SUBSCRIBE, PUBLISH, true},
    [MQTT_SESSION_EXPIRY_INTERVAL] = {SHAPE_U32, AT(session_expiry_s), CONNECT | DISCONNECT,
                                      CONNACK, false},
    [MQTT_ASSIGNED_CLIENT_IDENTIFIER] = {SHAPE_STRING, AT(assigned_client_id), 0, CONNACK, false},
    [MQTT_SERVER_KEEP_ALIVE] = {SHAPE_U16, AT(server_keep_alive_s), 0, CONNACK, false},
    [MQTT_AUTHENTICATION_METHOD] = {SHAPE_STRING, AT(authentication_method), CONNECT | AUTH,
                                    CONNACK | AUTH, false},
    [MQTT_AUTHENTICATION_DATA] = {SHAPE_BINARY, AT(authentication_data), CONNECT | AUTH,
                                  CONNACK | AUTH, false},
    [MQTT_REQUEST_PROBLEM_INFORMATION] = {SHAPE_FLAG, AT(request_problem_information), CONNECT, 0,
                                          false},
    [MQTT_WILL_DELAY_INTERVAL] = {SHAPE_U32, AT(will_delay_s), WILL, 0, false},
    [MQTT_REQUEST_RESPONSE_INFORMATION] = {SHAPE_FLAG, AT(request_response_information), CONNECT, 0,
                                           false},
    [MQTT_RESPONSE_INFORMATION] = {SHAPE_STRING, AT(response_information), 0, CONNACK, false},
    [MQTT_SERVER_REFERENCE] = {SHAPE_STRING, AT(server_reference), 0, CONNACK | DISCONNECT, false},
    [MQTT_REASON_STRING] = {SHAPE_STRING, AT(reason_string), ACKS | DISCONNECT | AUTH,
                            CONNACK | ACKS | SUBACK | UNSUBACK | DISCONNECT | AUTH, false},
    [MQTT_RECEIVE_MAXIMUM] = {SHAPE_U16, AT(receive_maximum), CONNECT, CONNACK, true},
    [MQTT_TOPIC_ALIAS_MAXIMUM] = {SHAPE_U16, AT(topic_alias_maximum), CONNECT, CONNACK, false},
    [MQTT_TOPIC_ALIAS] = {SHAPE_U16, AT(topic_alias), PUBLISH, PUBLISH, true},
    [MQTT_MAXIMUM_QOS] = {SHAPE_FLAG, AT(maximum_qos), 0, CONNACK, false},
    [MQTT_RETAIN_AVAILABLE] = {SHAPE_FLAG, AT(retain_available), 0, CONNACK, false},
    [MQTT_USER_PROPERTY] = {SHAPE_PAIR, 0,
                            WILL | CONNECT | PUBLISH | ACKS | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT
                                | AUTH,
                            CONNACK | PUBLISH | ACKS | SUBACK | UNSUBACK | DISCONNECT | AUTH,
                            false},
    [MQTT_MAXIMUM_PACKET_SIZE] = {SHAPE_U32, AT(maximum_packet_size), CONNECT, CONNACK, true},
    [MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE] = {SHAPE_FLAG, AT(wildcard_subscription_available), 0,
                                              CONNACK, false},
    [MQTT_SUBSCRIPTION_IDENTIFIERS_AVAILABLE] = {SHAPE_FLAG, AT(subscription_ids_available), 0,
                                                 CONNACK, false},
    [MQTT_SHARED_SUBSCRIPTION_AVAILABLE] = {SHAPE_FLAG, AT(shared_subscription_available), 0,
                                            CONNACK, false},
};

bool mqtt_has(const struct mqtt_properties *properties, enum mqtt_property property)
{
    return (properties->present >> property & 1) != 0;
}

void mqtt_set(struct mqtt_properties *properties, enum mqtt_property property)
{
    properties->present |= UINT64_C(1) << property;
}

bool mqtt_properties_are_absent(const struct mqtt_properties *properties)
{
    return properties->present == 0 && properties->repeated.len == 0;
}

static void put(struct mqtt_properties *out, const struct rule *rule, const void *value, size_t len)
{
    memcpy((uint8_t *)out + rule->field, value, len);
}

static uint32_t read_flag(struct mqtt_scan *s, struct mqtt_properties *out, const struct rule *rule)
{
    uint8_t value = read_u8(&s->r);
    if (value > 1) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR,
                         "a property is neither 0 nor 1 (3.1.2.11, 3.2.2.3, 3.3.2.3.2)");
    }
    put(out, rule, &value, sizeof value);
    return value;
}

/* The value of one property; what it gives is compared with zero. */
static uint32_t read_value(struct mqtt_scan *s,
                           struct mqtt_properties *out,
                           const struct rule *rule)
{
    switch (rule->shape) {
    case SHAPE_NONE: break;
    case SHAPE_FLAG: return read_flag(s, out, rule);
    case SHAPE_U16: {
        uint16_t value = read_u16(&s->r);
        put(out, rule, &value, sizeof value);
        return value;
    }
    case SHAPE_U32: {
        uint32_t value = read_u32(&s->r);
        put(out, rule, &value, sizeof value);
        return value;
    }
    case SHAPE_VARINT: return mqtt_read_varint(s);
    case SHAPE_STRING: {
        struct slice value = mqtt_read_string(s);
        put(out, rule, &value, sizeof value);
        return 1;
    }
    case SHAPE_BINARY: {
        struct slice value = mqtt_read_binary(s);
        put(out, rule, &value, sizeof value);
        return 1;
    }
    case SHAPE_PAIR:
        (void)mqtt_read_string(s);
        (void)mqtt_read_string(s);
        return 1;
    }
    return 1;
}

static bool may_repeat(uint32_t id, unsigned place)
{
    return id == MQTT_USER_PROPERTY
           || (id == MQTT_SUBSCRIPTION_IDENTIFIER && place == MQTT_PUBLISH);
}

static void read_property(struct mqtt_scan *s, unsigned place, struct mqtt_properties *out)
{
    uint32_t id = mqtt_read_varint(s);
    if (id >= MQTT_PROPERTY_END || rules[id].shape == SHAPE_NONE) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET, "no property has this identifier (2.2.2.2)");
        return;
    }
    const struct rule *rule = &rules[id];
    unsigned places = s->sender == MQTT_FROM_CLIENT ? rule->from_client : rule->from_server;
    if ((places >> place & 1) == 0) {
        mqtt_scan_refuse(s, MQTT_MALFORMED_PACKET,
                         "a property is not one of this packet's (2.2.2.2)");
        return;
    }
    if (mqtt_has(out, (enum mqtt_property)id) && !may_repeat(id, place)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR, "a property is there twice (2.2.2.2)");
        return;
    }
    if (read_value(s, out, rule) == 0 && rule->not_zero) {
        enum mqtt_reason reason =
            id == MQTT_TOPIC_ALIAS ? MQTT_TOPIC_ALIAS_INVALID : MQTT_PROTOCOL_ERROR;
        mqtt_scan_refuse(s, reason,
                         "a property that may not be zero is zero (3.1.2.11, 3.3.2.3, 3.8.2.1.2)");
    }
    mqtt_set(out, (enum mqtt_property)id);
}

static void check_together(struct mqtt_scan *s, const struct mqtt_properties *p)
{
    if (mqtt_has(p, MQTT_RESPONSE_TOPIC) && !mqtt_topic_name_is_valid(p->response_topic)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR,
                         "the response topic is not a topic name (3.3.2.3.5)");
    }
    if (mqtt_has(p, MQTT_AUTHENTICATION_DATA) && !mqtt_has(p, MQTT_AUTHENTICATION_METHOD)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR,
                         "authentication data without a method (3.1.2.11.10)");
    }
}

void mqtt_read_properties(struct mqtt_scan *s, unsigned place, struct mqtt_properties *out)
{
    if (s->version != MQTT_5_0) {
        return;
    }
    uint32_t len = mqtt_read_varint(s);
    struct slice run = read_bytes(&s->r, len);
    if (run.len == 0) {
        return;
    }
    struct reader outer = s->r;
    s->r = reader_over(run);
    while (s->r.rest.len > 0) {
        read_property(s, place, out);
    }
    check_together(s, out);
    bool failed = s->r.failed;
    s->r = outer;
    if (failed) {
        reader_fail(&s->r);
    }
    if (mqtt_has(out, MQTT_USER_PROPERTY) || mqtt_has(out, MQTT_SUBSCRIPTION_IDENTIFIER)) {
        out->repeated = run;
    }
}

/* Steps over one property of a run that need not have been checked; the reader fails where it is
 * not one. */
static uint32_t next_in_run(struct mqtt_scan *s, struct mqtt_properties *to, struct slice *whole)
{
    struct slice before = s->r.rest;
    uint32_t id = mqtt_read_varint(s);
    if (id >= MQTT_PROPERTY_END || rules[id].shape == SHAPE_NONE) {
        reader_fail(&s->r);
        return 0;
    }
    (void)read_value(s, to, &rules[id]);
    if (!reader_ok(&s->r)) {
        return 0;
    }
    *whole = (struct slice){.at = before.at, .len = before.len - s->r.rest.len};
    return id;
}

static bool next_of(struct slice *rest, enum mqtt_property wanted, struct slice *whole)
{
    struct mqtt_scan s = {.r = reader_over(*rest), .version = MQTT_5_0};
    struct mqtt_properties skipped = {0};
    uint32_t id = 0;
    while (id != wanted && s.r.rest.len > 0) {
        id = next_in_run(&s, &skipped, whole);
    }
    *rest = s.r.rest;
    return id == wanted;
}

bool mqtt_user_property_next(struct slice *rest, struct slice *name, struct slice *value)
{
    struct slice whole = {0};
    if (!next_of(rest, MQTT_USER_PROPERTY, &whole)) {
        return false;
    }
    struct reader r = reader_over(slice_after(whole, 1));
    *name = read_prefixed_u16(&r);
    *value = read_prefixed_u16(&r);
    return true;
}

bool mqtt_subscription_id_next(struct slice *rest, uint32_t *id)
{
    struct slice whole = {0};
    if (!next_of(rest, MQTT_SUBSCRIPTION_IDENTIFIER, &whole)) {
        return false;
    }
    struct mqtt_scan s = {.r = reader_over(slice_after(whole, 1))};
    *id = mqtt_read_varint(&s);
    return true;
}

void mqtt_user_property_write(struct writer *w, struct slice name, struct slice value)
{
    write_u8(w, MQTT_USER_PROPERTY);
    write_prefixed_u16(w, name);
    write_prefixed_u16(w, value);
}

void mqtt_subscription_id_write(struct writer *w, uint32_t id)
{
    write_u8(w, MQTT_SUBSCRIPTION_IDENTIFIER);
    mqtt_write_varint(w, id);
}

static void get(const struct mqtt_properties *from,
                const struct rule *rule,
                void *value,
                size_t len)
{
    memcpy(value, (const uint8_t *)from + rule->field, len);
}

static void write_value(struct writer *w,
                        const struct mqtt_properties *from,
                        const struct rule *rule)
{
    switch (rule->shape) {
    case SHAPE_FLAG: {
        uint8_t value = 0;
        get(from, rule, &value, sizeof value);
        write_u8(w, value);
        break;
    }
    case SHAPE_U16: {
        uint16_t value = 0;
        get(from, rule, &value, sizeof value);
        write_u16(w, value);
        break;
    }
    case SHAPE_U32: {
        uint32_t value = 0;
        get(from, rule, &value, sizeof value);
        write_u32(w, value);
        break;
    }
    case SHAPE_STRING:
    case SHAPE_BINARY: {
        struct slice value = {0};
        get(from, rule, &value, sizeof value);
        write_prefixed_u16(w, value);
        break;
    }
    case SHAPE_NONE:
    case SHAPE_VARINT:
    case SHAPE_PAIR: break;
    }
}

static void write_repeated(struct writer *w, struct slice run)
{
    struct mqtt_scan s = {.r = reader_over(run), .version = MQTT_5_0};
    struct mqtt_properties skipped = {0};
    while (s.r.rest.len > 0) {
        struct slice whole = {0};
        uint32_t id = next_in_run(&s, &skipped, &whole);
        if (id == MQTT_USER_PROPERTY || id == MQTT_SUBSCRIPTION_IDENTIFIER) {
            write_slice(w, whole);
        }
    }
}

void mqtt_write_properties(struct writer *w, const struct mqtt_properties *properties)
{
    size_t start = w->len;
    if (properties->present != 0) {
        for (uint32_t id = 1; id < MQTT_PROPERTY_END; id++) {
            enum shape shape = rules[id].shape;
            bool is_field = shape != SHAPE_NONE && shape != SHAPE_VARINT && shape != SHAPE_PAIR;
            if (is_field && mqtt_has(properties, (enum mqtt_property)id)) {
                write_u8(w, (uint8_t)id);
                write_value(w, properties, &rules[id]);
            }
        }
    }
    write_repeated(w, properties->repeated);
    mqtt_insert_length(w, start);
}
