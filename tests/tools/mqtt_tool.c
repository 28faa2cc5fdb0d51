/*
 * Packets of MQTT for tests/differential/mqtt_codec.py. A line of stdin is a version (4, 5), who
 * sent (c, s) and the hex of a stream of packets; of each packet comes a line of stdout
 *
 *     ok TYPE name=value ... | HEX       its fields, texts in hex, and the packet in our writing
 *
 * and behind the last of them "end", "more" (it breaks off), or "no REASON CLAUSE". A CONNECT sets
 * the version of what follows.
 */
#include "codec/mqtt.h"

#include <stdio.h>
#include <string.h>

enum { STREAM_MAX = 1 << 18 };

static uint8_t stream[STREAM_MAX], out_bytes[STREAM_MAX];
static char line[2 * STREAM_MAX + 16];

static void put_hex(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        (void)printf("%02x", bytes.at[i]);
    }
}

static void put_text(const char *name, struct slice bytes)
{
    (void)printf(" %s=", name);
    put_hex(bytes);
}

static void put_number(const char *name, uint64_t value)
{
    (void)printf(" %s=%llu", name, (unsigned long long)value);
}

/* As p17=3 or p3=HEX; `letter` tells those of a will (w) from those of the packet. */
static void put_properties(char letter, const struct mqtt_properties *p)
{
    const struct {
        enum mqtt_property id;
        uint64_t number;
    } numbers[] = {
        {MQTT_PAYLOAD_FORMAT_INDICATOR, p->payload_format},
        {MQTT_MESSAGE_EXPIRY_INTERVAL, p->message_expiry_s},
        {MQTT_SESSION_EXPIRY_INTERVAL, p->session_expiry_s},
        {MQTT_SERVER_KEEP_ALIVE, p->server_keep_alive_s},
        {MQTT_REQUEST_PROBLEM_INFORMATION, p->request_problem_information},
        {MQTT_WILL_DELAY_INTERVAL, p->will_delay_s},
        {MQTT_REQUEST_RESPONSE_INFORMATION, p->request_response_information},
        {MQTT_RECEIVE_MAXIMUM, p->receive_maximum},
        {MQTT_TOPIC_ALIAS_MAXIMUM, p->topic_alias_maximum},
        {MQTT_TOPIC_ALIAS, p->topic_alias},
        {MQTT_MAXIMUM_QOS, p->maximum_qos},
        {MQTT_RETAIN_AVAILABLE, p->retain_available},
        {MQTT_MAXIMUM_PACKET_SIZE, p->maximum_packet_size},
        {MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE, p->wildcard_subscription_available},
        {MQTT_SUBSCRIPTION_IDENTIFIERS_AVAILABLE, p->subscription_ids_available},
        {MQTT_SHARED_SUBSCRIPTION_AVAILABLE, p->shared_subscription_available},
    };
    const struct {
        enum mqtt_property id;
        struct slice text;
    } texts[] = {
        {MQTT_CONTENT_TYPE, p->content_type},
        {MQTT_RESPONSE_TOPIC, p->response_topic},
        {MQTT_CORRELATION_DATA, p->correlation_data},
        {MQTT_ASSIGNED_CLIENT_IDENTIFIER, p->assigned_client_id},
        {MQTT_AUTHENTICATION_METHOD, p->authentication_method},
        {MQTT_AUTHENTICATION_DATA, p->authentication_data},
        {MQTT_RESPONSE_INFORMATION, p->response_information},
        {MQTT_SERVER_REFERENCE, p->server_reference},
        {MQTT_REASON_STRING, p->reason_string},
    };
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (mqtt_has(p, numbers[i].id)) {
            (void)printf(" %c%d=%llu", letter, numbers[i].id,
                         (unsigned long long)numbers[i].number);
        }
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (mqtt_has(p, texts[i].id)) {
            (void)printf(" %c%d=", letter, texts[i].id);
            put_hex(texts[i].text);
        }
    }
    struct slice name, value, rest = p->repeated;
    while (mqtt_user_property_next(&rest, &name, &value)) {
        (void)printf(" %c38=", letter);
        put_hex(name);
        (void)printf(":");
        put_hex(value);
    }
    uint32_t id = 0;
    for (rest = p->repeated; mqtt_subscription_id_next(&rest, &id);) {
        (void)printf(" %c11=%u", letter, id);
    }
}

static void put_connect(const struct mqtt_connect *c)
{
    put_number("version", c->version);
    put_number("clean", c->clean_start);
    put_number("keepalive", c->keep_alive_s);
    put_properties('p', &c->properties);
    put_text("client", c->client_id);
    if (c->has_user_name) {
        put_text("user", c->user_name);
    }
    if (c->has_password) {
        put_text("password", c->password);
    }
    if (c->has_will) {
        put_text("willtopic", c->will.topic);
        put_text("willpayload", c->will.payload);
        put_number("willqos", c->will.qos);
        put_number("willretain", c->will.retain);
        put_properties('w', &c->will.properties);
    }
}

static void put_filters(const struct mqtt_packet *p, enum mqtt_version version)
{
    struct slice filter, rest;
    struct mqtt_subscription sub;
    if (p->type == MQTT_SUBSCRIBE) {
        put_number("id", p->subscribe.packet_id);
        for (rest = p->subscribe.entries; mqtt_subscription_next(&rest, version, &sub);) {
            put_text("filter", sub.filter);
            (void)printf(":%u:%d:%d:%u", sub.qos, sub.no_local, sub.retain_as_published,
                         sub.retain_handling);
        }
        put_properties('p', &p->subscribe.properties);
        return;
    }
    put_number("id", p->unsubscribe.packet_id);
    for (rest = p->unsubscribe.entries; mqtt_filter_next(&rest, &filter);) {
        put_text("filter", filter);
    }
    put_properties('p', &p->unsubscribe.properties);
}

static void put_publish(const struct mqtt_publish *p)
{
    put_number("dup", p->dup);
    put_number("qos", p->qos);
    put_number("retain", p->retain);
    put_number("id", p->packet_id);
    put_text("topic", p->topic);
    put_text("payload", p->payload);
    put_properties('p', &p->properties);
}

static void put_packet(const struct mqtt_packet *p, enum mqtt_version version)
{
    (void)printf("ok %s", mqtt_type_name(p->type));
    switch (p->type) {
    case MQTT_CONNECT: put_connect(&p->connect); break;
    case MQTT_CONNACK:
        put_number("present", p->connack.session_present);
        put_number("reason", p->connack.reason);
        put_properties('p', &p->connack.properties);
        break;
    case MQTT_PUBLISH: put_publish(&p->publish); break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        put_number("id", p->ack.packet_id);
        put_number("reason", p->ack.reason);
        put_properties('p', &p->ack.properties);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE: put_filters(p, version); break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        put_number("id", p->suback.packet_id);
        put_text("codes", p->suback.codes);
        put_properties('p', &p->suback.properties);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP: break;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        put_number("reason", p->disconnect.reason);
        put_properties('p', &p->disconnect.properties);
        break;
    }
}

static void answer(enum mqtt_version version, enum mqtt_sender sender, struct slice rest)
{
    struct mqtt_frame frame;
    struct mqtt_fault fault = {0};
    struct mqtt_packet packet;
    enum mqtt_result result = MQTT_OK;
    while (rest.len > 0 && result == MQTT_OK) {
        result = mqtt_frame_next(rest, STREAM_MAX, &frame, &fault);
        if (result == MQTT_OK) {
            rest = slice_after(rest, frame.size);
            result = mqtt_decode(&frame, version, sender, &packet, &fault);
        }
        if (result != MQTT_OK) {
            break;
        }
        version = packet.type == MQTT_CONNECT ? packet.connect.version : version;
        struct writer w = writer_over(out_bytes, sizeof out_bytes);
        put_packet(&packet, version);
        if (mqtt_encode(&packet, version, sender, &w) == MQTT_OK) {
            (void)printf(" | ");
            put_hex(writer_slice(&w));
        }
        (void)printf("\n");
    }
    if (result == MQTT_REFUSED) {
        (void)printf("no %u %s\n", (unsigned)fault.reason, fault.clause);
    } else {
        (void)printf("%s\n", result == MQTT_MORE ? "more" : "end");
    }
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int main(void)
{
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t len = 0;
        const char *at = line + 4;
        for (; digit(at[0]) >= 0 && digit(at[1]) >= 0 && len < sizeof stream; at += 2) {
            stream[len++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
        }
        answer(line[0] == '4' ? MQTT_3_1_1 : MQTT_5_0,
               line[2] == 'c' ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER, slice_of(stream, len));
        (void)fflush(stdout);
    }
    return 0;
}
