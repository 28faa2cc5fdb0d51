/*
 * The control packets of MQTT 5.0 (OASIS Standard, 7 March 2019) and 3.1.1 (ISO/IEC 20922) as
 * structs, one form for both versions and both directions. Slices borrow from the bytes a packet
 * was decoded from. What 3.1.1 does not have is zero after decoding and must be zero for encoding.
 */
#ifndef CODEC_MQTT_PACKET_H
#define CODEC_MQTT_PACKET_H

#include "base/slice.h"

enum mqtt_version { MQTT_3_1_1 = 4, MQTT_5_0 = 5 };

enum mqtt_sender { MQTT_FROM_CLIENT, MQTT_FROM_SERVER };

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH /* 5.0 only */
};
enum { MQTT_TYPE_COUNT = MQTT_AUTH + 1 }; /* zero is reserved */

/* MQTT 5.0 2.4. Which of them a packet may carry depends on its type and sender. */
enum mqtt_reason {
    MQTT_SUCCESS = 0x00, /* also: normal disconnection, granted QoS 0 */
    MQTT_GRANTED_QOS_1 = 0x01,
    MQTT_GRANTED_QOS_2 = 0x02,
    MQTT_DISCONNECT_WITH_WILL = 0x04,
    MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
    MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
    MQTT_CONTINUE_AUTHENTICATION = 0x18,
    MQTT_REAUTHENTICATE = 0x19,
    MQTT_UNSPECIFIED_ERROR = 0x80,
    MQTT_MALFORMED_PACKET = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_IMPLEMENTATION_SPECIFIC = 0x83,
    MQTT_UNSUPPORTED_VERSION = 0x84,
    MQTT_CLIENT_ID_NOT_VALID = 0x85,
    MQTT_BAD_USER_NAME_OR_PASSWORD = 0x86,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SERVER_UNAVAILABLE = 0x88,
    MQTT_SERVER_BUSY = 0x89,
    MQTT_BANNED = 0x8a,
    MQTT_SERVER_SHUTTING_DOWN = 0x8b,
    MQTT_BAD_AUTHENTICATION_METHOD = 0x8c,
    MQTT_KEEP_ALIVE_TIMEOUT = 0x8d,
    MQTT_SESSION_TAKEN_OVER = 0x8e,
    MQTT_TOPIC_FILTER_INVALID = 0x8f,
    MQTT_TOPIC_NAME_INVALID = 0x90,
    MQTT_PACKET_ID_IN_USE = 0x91,
    MQTT_PACKET_ID_NOT_FOUND = 0x92,
    MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_MESSAGE_RATE_TOO_HIGH = 0x96,
    MQTT_QUOTA_EXCEEDED = 0x97,
    MQTT_ADMINISTRATIVE_ACTION = 0x98,
    MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
    MQTT_RETAIN_NOT_SUPPORTED = 0x9a,
    MQTT_QOS_NOT_SUPPORTED = 0x9b,
    MQTT_USE_ANOTHER_SERVER = 0x9c,
    MQTT_SERVER_MOVED = 0x9d,
    MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9e,
    MQTT_CONNECTION_RATE_EXCEEDED = 0x9f,
    MQTT_MAXIMUM_CONNECT_TIME = 0xa0,
    MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xa1,
    MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xa2
};

/* MQTT 5.0 2.2.2.2, by their wire identifiers. */
enum mqtt_property {
    MQTT_PAYLOAD_FORMAT_INDICATOR = 1,
    MQTT_MESSAGE_EXPIRY_INTERVAL = 2,
    MQTT_CONTENT_TYPE = 3,
    MQTT_RESPONSE_TOPIC = 8,
    MQTT_CORRELATION_DATA = 9,
    MQTT_SUBSCRIPTION_IDENTIFIER = 11,
    MQTT_SESSION_EXPIRY_INTERVAL = 17,
    MQTT_ASSIGNED_CLIENT_IDENTIFIER = 18,
    MQTT_SERVER_KEEP_ALIVE = 19,
    MQTT_AUTHENTICATION_METHOD = 21,
    MQTT_AUTHENTICATION_DATA = 22,
    MQTT_REQUEST_PROBLEM_INFORMATION = 23,
    MQTT_WILL_DELAY_INTERVAL = 24,
    MQTT_REQUEST_RESPONSE_INFORMATION = 25,
    MQTT_RESPONSE_INFORMATION = 26,
    MQTT_SERVER_REFERENCE = 28,
    MQTT_REASON_STRING = 31,
    MQTT_RECEIVE_MAXIMUM = 33,
    MQTT_TOPIC_ALIAS_MAXIMUM = 34,
    MQTT_TOPIC_ALIAS = 35,
    MQTT_MAXIMUM_QOS = 36,
    MQTT_RETAIN_AVAILABLE = 37,
    MQTT_USER_PROPERTY = 38,
    MQTT_MAXIMUM_PACKET_SIZE = 39,
    MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE = 40,
    MQTT_SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 41,
    MQTT_SHARED_SUBSCRIPTION_AVAILABLE = 42
};
enum { MQTT_PROPERTY_END = MQTT_SHARED_SUBSCRIPTION_AVAILABLE + 1 };

/*
 * One packet's properties. A field means something only where mqtt_has says so (the field of an
 * absent one is zero, which is not always the standard's default). The two that may repeat are not
 * fields: they are in `repeated`, to be read with mqtt_user_property_next and
 * mqtt_subscription_id_next and to be made with mqtt_user_property_write and
 * mqtt_subscription_id_write.
 */
struct mqtt_properties {
    uint64_t present; /* bit n: the property with identifier n */
    uint32_t message_expiry_s;
    uint32_t session_expiry_s;
    uint32_t will_delay_s;
    uint32_t maximum_packet_size;
    uint16_t server_keep_alive_s;
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t topic_alias;
    uint8_t payload_format;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_ids_available;
    uint8_t shared_subscription_available;
    struct slice content_type;
    struct slice response_topic;
    struct slice correlation_data;
    struct slice assigned_client_id;
    struct slice authentication_method;
    struct slice authentication_data;
    struct slice response_information;
    struct slice server_reference;
    struct slice reason_string;
    /* Encoded properties, of which only user properties and subscription identifiers count. */
    struct slice repeated;
};

struct mqtt_will {
    struct slice topic;
    struct slice payload;
    uint8_t qos;
    bool retain;
    struct mqtt_properties properties;
};

struct mqtt_connect { /* MQTT 5.0 3.1 */
    enum mqtt_version version;
    bool clean_start; /* 3.1.1: Clean Session */
    bool has_will;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s; /* 0: none */
    struct slice client_id;
    struct slice user_name;
    struct slice password;
    struct mqtt_properties properties;
    struct mqtt_will will;
};

struct mqtt_connack { /* 3.2 */
    bool session_present;
    uint8_t reason; /* 5.0: enum mqtt_reason; 3.1.1: a return code, 0 to 5 (mqtt_return_code) */
    struct mqtt_properties properties;
};

struct mqtt_publish { /* 3.3 */
    bool dup;
    bool retain;
    uint8_t qos;
    uint16_t packet_id; /* zero exactly with QoS 0 */
    struct slice topic; /* empty only with a topic alias */
    struct slice payload;
    struct mqtt_properties properties;
};

struct mqtt_ack { /* PUBACK, PUBREC, PUBREL, PUBCOMP: 3.4 to 3.7 */
    uint16_t packet_id;
    uint8_t reason;
    struct mqtt_properties properties;
};

struct mqtt_subscription { /* one entry of a SUBSCRIBE, 3.8.3 */
    struct slice filter;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling; /* 0 to 2 */
};

struct mqtt_subscribe { /* 3.8 */
    uint16_t packet_id;
    uint16_t count;       /* entries in `entries`, at least one; set by decoding */
    struct slice entries; /* mqtt_subscription_next, mqtt_subscription_write */
    struct mqtt_properties properties;
};

struct mqtt_unsubscribe { /* 3.10 */
    uint16_t packet_id;
    uint16_t count;
    struct slice entries; /* mqtt_filter_next, mqtt_filter_write */
    struct mqtt_properties properties;
};

struct mqtt_suback { /* SUBACK 3.9, UNSUBACK 3.11 */
    uint16_t packet_id;
    struct slice codes; /* one byte for each filter; UNSUBACK in 3.1.1: empty */
    struct mqtt_properties properties;
};

struct mqtt_goodbye { /* DISCONNECT 3.14, AUTH 3.15 */
    uint8_t reason;
    struct mqtt_properties properties;
};

struct mqtt_packet {
    enum mqtt_type type;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback; /* also MQTT_UNSUBACK */
        struct mqtt_unsubscribe unsubscribe;
        struct mqtt_goodbye disconnect;
        struct mqtt_goodbye auth;
    };
};

#endif
