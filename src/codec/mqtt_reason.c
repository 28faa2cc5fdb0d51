/* Reason codes by one table (2.4): the standard's name, and which packets of which side may carry
 * the code. */
#include "codec/mqtt_wire.h"

enum {
    CONNACK = 1 << MQTT_CONNACK,
    PUBREL = 1 << MQTT_PUBREL | 1 << MQTT_PUBCOMP,
    PUBACK = 1 << MQTT_PUBACK | 1 << MQTT_PUBREC,
    SUBACK = 1 << MQTT_SUBACK,
    UNSUBACK = 1 << MQTT_UNSUBACK,
    DISCONNECT = 1 << MQTT_DISCONNECT,
    AUTH = 1 << MQTT_AUTH
};

struct rule {
    uint16_t from_client;
    uint16_t from_server;
    const char *name;
};

/* By code; a code that has no name is none. */
static const struct rule rules[256] = {
    [MQTT_SUCCESS] = {PUBACK | PUBREL | DISCONNECT,
                      CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISCONNECT | AUTH, "Success"},
    [MQTT_GRANTED_QOS_1] = {0, SUBACK, "Granted QoS 1"},
    [MQTT_GRANTED_QOS_2] = {0, SUBACK, "Granted QoS 2"},
    [MQTT_DISCONNECT_WITH_WILL] = {DISCONNECT, 0, "Disconnect with Will Message"},
    [MQTT_NO_MATCHING_SUBSCRIBERS] = {PUBACK, PUBACK, "No matching subscribers"},
    [MQTT_NO_SUBSCRIPTION_EXISTED] = {0, UNSUBACK, "No subscription existed"},
    [MQTT_CONTINUE_AUTHENTICATION] = {AUTH, AUTH, "Continue authentication"},
    [MQTT_REAUTHENTICATE] = {AUTH, 0, "Re-authenticate"},
    [MQTT_UNSPECIFIED_ERROR] = {PUBACK | DISCONNECT,
                                CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT,
                                "Unspecified error"},
    [MQTT_MALFORMED_PACKET] = {DISCONNECT, CONNACK | DISCONNECT, "Malformed Packet"},
    [MQTT_PROTOCOL_ERROR] = {DISCONNECT, CONNACK | DISCONNECT, "Protocol Error"},
    [MQTT_IMPLEMENTATION_SPECIFIC] = {PUBACK | DISCONNECT,
                                      CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT,
                                      "Implementation specific error"},
    [MQTT_UNSUPPORTED_VERSION] = {0, CONNACK, "Unsupported Protocol Version"},
    [MQTT_CLIENT_ID_NOT_VALID] = {0, CONNACK, "Client Identifier not valid"},
    [MQTT_BAD_USER_NAME_OR_PASSWORD] = {0, CONNACK, "Bad User Name or Password"},
    [MQTT_NOT_AUTHORIZED] = {PUBACK, CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT,
                             "Not authorized"},
    [MQTT_SERVER_UNAVAILABLE] = {0, CONNACK, "Server unavailable"},
    [MQTT_SERVER_BUSY] = {0, CONNACK | DISCONNECT, "Server busy"},
    [MQTT_BANNED] = {0, CONNACK, "Banned"},
    [MQTT_SERVER_SHUTTING_DOWN] = {0, DISCONNECT, "Server shutting down"},
    [MQTT_BAD_AUTHENTICATION_METHOD] = {0, CONNACK | DISCONNECT, "Bad authentication method"},
    [MQTT_KEEP_ALIVE_TIMEOUT] = {0, DISCONNECT, "Keep Alive timeout"},
    [MQTT_SESSION_TAKEN_OVER] = {0, DISCONNECT, "Session taken over"},
    [MQTT_TOPIC_FILTER_INVALID] = {0, SUBACK | UNSUBACK | DISCONNECT, "Topic Filter invalid"},
    [MQTT_TOPIC_NAME_INVALID] = {PUBACK | DISCONNECT, CONNACK | PUBACK | DISCONNECT,
                                 "Topic Name invalid"},
    [MQTT_PACKET_ID_IN_USE] = {PUBACK, PUBACK | SUBACK | UNSUBACK, "Packet Identifier in use"},
    [MQTT_PACKET_ID_NOT_FOUND] = {PUBREL, PUBREL, "Packet Identifier not found"},
    [MQTT_RECEIVE_MAXIMUM_EXCEEDED] = {DISCONNECT, DISCONNECT, "Receive Maximum exceeded"},
    [MQTT_TOPIC_ALIAS_INVALID] = {DISCONNECT, DISCONNECT, "Topic Alias invalid"},
    [MQTT_PACKET_TOO_LARGE] = {DISCONNECT, CONNACK | DISCONNECT, "Packet too large"},
    [MQTT_MESSAGE_RATE_TOO_HIGH] = {DISCONNECT, DISCONNECT, "Message rate too high"},
    [MQTT_QUOTA_EXCEEDED] = {PUBACK | DISCONNECT, CONNACK | PUBACK | SUBACK | DISCONNECT,
                             "Quota exceeded"},
    [MQTT_ADMINISTRATIVE_ACTION] = {DISCONNECT, DISCONNECT, "Administrative action"},
    [MQTT_PAYLOAD_FORMAT_INVALID] = {PUBACK | DISCONNECT, CONNACK | PUBACK | DISCONNECT,
                                     "Payload format invalid"},
    [MQTT_RETAIN_NOT_SUPPORTED] = {0, CONNACK | DISCONNECT, "Retain not supported"},
    [MQTT_QOS_NOT_SUPPORTED] = {0, CONNACK | DISCONNECT, "QoS not supported"},
    [MQTT_USE_ANOTHER_SERVER] = {0, CONNACK | DISCONNECT, "Use another server"},
    [MQTT_SERVER_MOVED] = {0, CONNACK | DISCONNECT, "Server moved"},
    [MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED] = {0, SUBACK | DISCONNECT,
                                                 "Shared Subscriptions not supported"},
    [MQTT_CONNECTION_RATE_EXCEEDED] = {0, CONNACK | DISCONNECT, "Connection rate exceeded"},
    [MQTT_MAXIMUM_CONNECT_TIME] = {0, DISCONNECT, "Maximum connect time"},
    [MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED] = {0, SUBACK | DISCONNECT,
                                             "Subscription Identifiers not supported"},
    [MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED] = {0, SUBACK | DISCONNECT,
                                                   "Wildcard Subscriptions not supported"},
};

static const struct rule *find(uint8_t raw)
{
    return rules[raw].name != NULL ? &rules[raw] : NULL;
}

bool mqtt_reason_from_wire(uint8_t raw, enum mqtt_reason *out)
{
    const struct rule *rule = find(raw);
    if (rule == NULL) {
        return false;
    }
    *out = (enum mqtt_reason)raw;
    return true;
}

const char *mqtt_reason_name(enum mqtt_reason reason)
{
    const struct rule *rule = find((uint8_t)reason);
    return rule != NULL ? rule->name : "unknown reason code";
}

static bool is_allowed_3_1_1(enum mqtt_type type, uint8_t code)
{
    if (type == MQTT_SUBACK) {
        return code <= MQTT_GRANTED_QOS_2 || code == MQTT_UNSPECIFIED_ERROR;
    }
    return type == MQTT_CONNACK && code <= 5;
}

static bool is_allowed(const struct mqtt_scan *s, enum mqtt_type type, uint8_t code)
{
    if (s->version == MQTT_3_1_1) {
        return is_allowed_3_1_1(type, code);
    }
    const struct rule *rule = find(code);
    if (rule == NULL) {
        return false;
    }
    unsigned types = s->sender == MQTT_FROM_CLIENT ? rule->from_client : rule->from_server;
    return (types >> type & 1) != 0;
}

uint8_t mqtt_read_reason(struct mqtt_scan *s, enum mqtt_type type)
{
    uint8_t code = read_u8(&s->r);
    if (!is_allowed(s, type, code)) {
        mqtt_scan_refuse(s, MQTT_PROTOCOL_ERROR,
                         "the reason code is not one of this packet's (2.4)");
    }
    return code;
}

uint8_t mqtt_return_code(enum mqtt_reason reason)
{
    enum { ACCEPTED, BAD_VERSION, BAD_CLIENT_ID, UNAVAILABLE, BAD_USER, NOT_AUTHORIZED };
    uint8_t raw = (uint8_t)reason;
    if (raw < MQTT_UNSPECIFIED_ERROR) {
        return ACCEPTED;
    }
    switch (raw) {
    case MQTT_UNSUPPORTED_VERSION: return BAD_VERSION;
    case MQTT_CLIENT_ID_NOT_VALID: return BAD_CLIENT_ID;
    case MQTT_BAD_USER_NAME_OR_PASSWORD: return BAD_USER;
    case MQTT_NOT_AUTHORIZED:
    case MQTT_BANNED:
    case MQTT_BAD_AUTHENTICATION_METHOD: return NOT_AUTHORIZED;
    default: return UNAVAILABLE;
    }
}
