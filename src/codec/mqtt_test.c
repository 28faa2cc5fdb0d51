#include "base/id.h"
#include "base/reader.h"
#include "codec/mqtt.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { PACKET_CAP = 4096 };

struct bytes {
    uint8_t at[PACKET_CAP];
    size_t len;
};

/* "10 00 04 'MQTT'": hex, blanks, and text between apostrophes. */
static struct bytes bytes_of(const char *text)
{
    struct bytes b = {.len = 0};
    while (*text != '\0') {
        if (*text == ' ') {
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++) {
                b.at[b.len++] = (uint8_t)*text;
            }
            text++;
        } else {
            CHECK(bytes_from_hex(slice_of(text, 2), &b.at[b.len++], 1));
            text += 2;
        }
    }
    return b;
}

static enum mqtt_result decode(const struct bytes *b,
                               enum mqtt_version version,
                               enum mqtt_sender sender,
                               struct mqtt_packet *packet,
                               struct mqtt_fault *fault)
{
    struct mqtt_frame frame;
    enum mqtt_result result = mqtt_frame_next(slice_of(b->at, b->len), PACKET_CAP, &frame, fault);
    return result != MQTT_OK ? result : mqtt_decode(&frame, version, sender, packet, fault);
}

/* The bytes are a packet, and its encoding is these bytes again. */
static bool is_canonical(const char *text,
                         enum mqtt_version version,
                         enum mqtt_sender sender,
                         struct mqtt_packet *packet)
{
    static struct bytes b; /* the packet borrows from it */
    struct mqtt_fault fault = {0};
    b = bytes_of(text);
    if (decode(&b, version, sender, packet, &fault) != MQTT_OK) {
        test_failed(__FILE__, __LINE__, "%s: refused: %s", text, fault.clause);
        return false;
    }
    uint8_t again[PACKET_CAP];
    struct writer w = writer_over(again, sizeof again);
    CHECK(mqtt_encode(packet, version, sender, &w) == MQTT_OK);
    CHECK(slice_equal(writer_slice(&w), slice_of(b.at, b.len)));
    return true;
}

TEST("the CONNECT of the standard's non-normative example decodes to its fields (3.1.2.12)")
{
    struct mqtt_packet p = {0};
    REQUIRE(is_canonical("10 26 0004 'MQTT' 05 CE 000A 05 11 0000000A"
                         "0002 'id' 00 0001 'w' 0002 'xy' 0004 'user' 0002 'pw'",
                         MQTT_5_0, MQTT_FROM_CLIENT, &p));
    const struct mqtt_connect *c = &p.connect;
    CHECK(c->version == MQTT_5_0 && c->clean_start && c->has_will && c->has_user_name
          && c->has_password);
    CHECK_U64(c->keep_alive_s, 10);
    CHECK_U64(c->will.qos, 1);
    CHECK(!c->will.retain);
    CHECK(mqtt_has(&c->properties, MQTT_SESSION_EXPIRY_INTERVAL));
    CHECK_U64(c->properties.session_expiry_s, 10);
    CHECK(slice_is_text(c->will.topic, "w") && slice_is_text(c->will.payload, "xy"));
    CHECK(slice_is_text(c->user_name, "user") && slice_is_text(c->password, "pw"));
}

TEST("the CONNECT of the 3.1.1 example decodes to its fields (3.1.1: 3.1.2.10)")
{
    struct mqtt_packet p = {0};
    REQUIRE(is_canonical(
        "10 1F 0004 'MQTT' 04 CE 000A 0002 'id' 0001 'w' 0002 'xy' 0004 'user' 0002 'pw'",
        MQTT_3_1_1, MQTT_FROM_CLIENT, &p));
    CHECK(p.connect.version == MQTT_3_1_1 && p.connect.clean_start && p.connect.keep_alive_s == 10);
}

TEST("the PUBLISH of the standard's example decodes to its fields (3.3.2.4)")
{
    struct mqtt_packet p = {0};
    REQUIRE(is_canonical("32 0A 0003 'a/b' 000A 00 'hi'", MQTT_5_0, MQTT_FROM_SERVER, &p));
    CHECK(slice_is_text(p.publish.topic, "a/b") && slice_is_text(p.publish.payload, "hi"));
    CHECK_U64(p.publish.packet_id, 10);
    CHECK_U64(p.publish.qos, 1);
    REQUIRE(is_canonical("3D 09 0003 'a/b' 000A 'hi'", MQTT_3_1_1, MQTT_FROM_CLIENT, &p));
    CHECK(p.publish.dup && p.publish.retain && p.publish.qos == 2);
}

TEST("the SUBSCRIBE and UNSUBSCRIBE of the standard's examples give their filters (3.8.3, 3.10.3)")
{
    struct mqtt_packet p = {0};
    REQUIRE(
        is_canonical("82 0F 000A 00 0003 'a/b' 01 0003 'c/d' 02", MQTT_5_0, MQTT_FROM_CLIENT, &p));
    CHECK_U64(p.subscribe.count, 2);
    struct slice rest = p.subscribe.entries;
    struct mqtt_subscription sub;
    CHECK(mqtt_subscription_next(&rest, MQTT_5_0, &sub) && slice_is_text(sub.filter, "a/b")
          && sub.qos == 1);
    CHECK(mqtt_subscription_next(&rest, MQTT_5_0, &sub) && slice_is_text(sub.filter, "c/d")
          && sub.qos == 2);
    CHECK(!mqtt_subscription_next(&rest, MQTT_5_0, &sub));
    REQUIRE(is_canonical("A2 0D 000A 00 0003 'a/b' 0003 'c/d'", MQTT_5_0, MQTT_FROM_CLIENT, &p));
    rest = p.unsubscribe.entries;
    struct slice filter;
    CHECK(mqtt_filter_next(&rest, &filter) && slice_is_text(filter, "a/b"));
    CHECK(mqtt_filter_next(&rest, &filter) && slice_is_text(filter, "c/d"));
    CHECK(!mqtt_filter_next(&rest, &filter));
}

TEST("every packet type in both versions and from each allowed side decodes and encodes to the "
     "same bytes")
{
    static const struct {
        const char *bytes;
        bool in_3_1_1, in_5_0, from_client, from_server;
    } rows[] = {
        {"10 0C 0004 'MQTT' 04 02 0000 0000", true, true, true, false},
        {"10 0D 0004 'MQTT' 05 02 0000 00 0000", true, true, true, false},
        {"20 02 01 00", true, false, false, true},
        {"20 02 00 05", true, false, false, true},
        {"20 03 00 00 00", false, true, false, true},
        {"20 14 00 00 11 13 04B0 21 0040 24 00 25 00 27 00010000 28 00", false, true, false, true},
        {"30 04 0001 'a' 00", false, true, true, true},
        {"40 02 0001", true, true, true, true},
        {"40 03 0001 10", false, true, true, true},
        {"40 0B 0001 87 07 1F 0004 'nope'", false, true, true, true},
        {"50 02 0001", true, true, true, true},
        {"62 02 0001", true, true, true, true},
        {"62 03 0001 92", false, true, true, true},
        {"70 02 FFFF", true, true, true, true},
        {"82 06 0001 0001 '#' 00", true, false, true, false},
        {"82 09 0001 02 0B 07 0001 '+' 2D", false, true, true, false},
        {"90 03 0001 80", true, false, false, true},
        {"90 06 0001 00 00 01 87", false, true, false, true},
        {"A2 05 0001 0001 '#'", true, false, true, false},
        {"B0 02 0001", true, false, false, true},
        {"B0 04 0001 00 11", false, true, false, true},
        {"C0 00", true, true, true, false},
        {"D0 00", true, true, false, true},
        {"E0 00", true, true, true, false},
        {"E0 00", false, true, true, true},
        {"E0 01 8E", false, true, false, true},
        {"E0 01 04", false, true, true, false},
        {"E0 07 00 05 11 00000000", false, true, true, false},
        {"F0 00", false, true, false, true},
        {"F0 06 18 04 15 0001 'x'", false, true, true, true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int version = MQTT_3_1_1; version <= MQTT_5_0; version++) {
            for (int sender = MQTT_FROM_CLIENT; sender <= MQTT_FROM_SERVER; sender++) {
                struct mqtt_packet p = {0};
                bool spoken = version == MQTT_5_0 ? rows[i].in_5_0 : rows[i].in_3_1_1;
                bool sent = sender == MQTT_FROM_CLIENT ? rows[i].from_client : rows[i].from_server;
                if (spoken && sent) {
                    CHECK(is_canonical(rows[i].bytes, (enum mqtt_version)version,
                                       (enum mqtt_sender)sender, &p));
                }
            }
        }
    }
}

TEST("lengths take the forms of table 1-1 and nothing longer (1.5.5)")
{
    static const struct {
        const char *header;
        size_t remaining;
    } rows[] = {
        {"30 00", 0},
        {"30 7F", 127},
        {"30 80 01", 128},
        {"30 FF 7F", 16383},
        {"30 80 80 01", 16384},
        {"30 FF FF 7F", 2097151},
        {"30 80 80 80 01", 2097152},
        {"30 FF FF FF 7F", 268435455},
    };
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes b = bytes_of(rows[i].header);
        size_t size = b.len + rows[i].remaining;
        enum mqtt_result want = rows[i].remaining == 0 ? MQTT_OK : MQTT_MORE;
        CHECK(mqtt_frame_next(slice_of(b.at, b.len), SIZE_MAX, &frame, &fault) == want);
        CHECK_U64(frame.size, size);
        CHECK(mqtt_frame_next(slice_of(b.at, b.len), size - 1, &frame, &fault) == MQTT_REFUSED);
        CHECK(fault.reason == MQTT_PACKET_TOO_LARGE);
        for (size_t shorter = 0; shorter < b.len; shorter++) {
            CHECK(mqtt_frame_next(slice_of(b.at, shorter), SIZE_MAX, &frame, &fault) == MQTT_MORE);
            CHECK_U64(frame.size, 0);
        }
    }
}

TEST("a packet is refused from its fixed header alone, before anything of it is buffered")
{
    static const struct {
        const char *header;
        enum mqtt_reason reason;
    } rows[] = {
        {"00", MQTT_MALFORMED_PACKET},
        {"0F 00", MQTT_MALFORMED_PACKET},
        {"11", MQTT_MALFORMED_PACKET},
        {"80", MQTT_MALFORMED_PACKET},
        {"60", MQTT_MALFORMED_PACKET},
        {"A0", MQTT_MALFORMED_PACKET},
        {"C1", MQTT_MALFORMED_PACKET},
        {"E8", MQTT_MALFORMED_PACKET},
        {"F1", MQTT_MALFORMED_PACKET},
        {"30 80 00", MQTT_MALFORMED_PACKET},
        {"30 FF 80 00", MQTT_MALFORMED_PACKET},
        {"30 FF FF FF FF", MQTT_MALFORMED_PACKET},
        {"30 80 80 80 80", MQTT_MALFORMED_PACKET},
        {"30 FF FF FF 7F", MQTT_PACKET_TOO_LARGE},
        {"10 FF 7F", MQTT_PACKET_TOO_LARGE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes b = bytes_of(rows[i].header);
        struct mqtt_frame frame;
        struct mqtt_fault fault = {0};
        CHECK(mqtt_frame_next(slice_of(b.at, b.len), 1024, &frame, &fault) == MQTT_REFUSED);
        CHECK_U64(fault.reason, rows[i].reason);
    }
}

struct refusal {
    const char *bytes;
    enum mqtt_version version;
    enum mqtt_sender sender;
    enum mqtt_reason reason;
    const char *clause; /* a part of it */
};

static const struct refusal refusals[] = {
    /* CONNECT */
    {"10 0D 0005 'MQTTX' 04 02 0000 0000", 4, 0, 0x84, "3.1.2.1"},
    {"10 0E 0006 'MQIsdp' 03 02 0000 0000", 4, 0, 0x84, "MQTT 3.1 "},
    {"10 0C 0004 'MQTT' 03 02 0000 0000", 4, 0, 0x84, "3.1.2.2"},
    {"10 0C 0004 'MQTT' 06 02 0000 0000", 4, 0, 0x84, "3.1.2.2"},
    {"10 0C 0004 'MQTT' 04 03 0000 0000", 4, 0, 0x81, "3.1.2.3"},
    {"10 0C 0004 'MQTT' 04 0A 0000 0000", 4, 0, 0x81, "without a will"},
    {"10 0C 0004 'MQTT' 04 22 0000 0000", 4, 0, 0x81, "without a will"},
    {"10 0C 0004 'MQTT' 04 1E 0000 0000", 4, 0, 0x81, "3.1.2.6"},
    {"10 0E 0004 'MQTT' 04 42 0000 0000 0000", 4, 0, 0x81, "3.1.2.9"},
    {"10 0D 0004 'MQTT' 04 02 0000 0000 00", 4, 0, 0x81, "2.1.4"},
    {"10 0B 0004 'MQTT' 04 02 0000 00", 4, 0, 0x81, "ends inside"},
    {"10 0C 0004 'MQTT' 04 82 0000 0000", 4, 0, 0x81, "ends inside"},
    {"10 0D 0004 'MQTT' 04 02 0000 0001 00", 4, 0, 0x81, "1.5.4"},
    {"10 10 0004 'MQTT' 04 06 0000 0000 0000 0000", 4, 0, 0x90, "3.1.3.3"},
    {"10 11 0004 'MQTT' 04 06 0000 0000 0001 '#' 0000", 4, 0, 0x90, "3.1.3.3"},
    {"10 0F 0004 'MQTT' 05 02 0000 02 17 02 0000", 5, 0, 0x82, "neither 0 nor 1"},
    {"10 10 0004 'MQTT' 05 02 0000 03 21 0000 0000", 5, 0, 0x82, "may not be zero"},
    {"10 12 0004 'MQTT' 05 02 0000 05 27 00000000 0000", 5, 0, 0x82, "may not be zero"},
    {"10 17 0004 'MQTT' 05 02 0000 0A 11 00000001 11 00000001 0000", 5, 0, 0x82, "twice"},
    {"10 10 0004 'MQTT' 05 02 0000 03 13 0001 0000", 5, 0, 0x81, "not one of this packet's"},
    {"10 10 0004 'MQTT' 05 02 0000 03 7F 0001 0000", 5, 0, 0x81, "no property"},
    {"10 10 0004 'MQTT' 05 02 0000 03 00 0001 0000", 5, 0, 0x81, "no property"},
    {"10 10 0004 'MQTT' 05 02 0000 03 91 00 00 0000", 5, 0, 0x81, "1.5.5"},
    {"10 11 0004 'MQTT' 05 02 0000 04 16 0001 00 0000", 5, 0, 0x82, "without a method"},
    {"10 0D 0004 'MQTT' 05 02 0000 05 11 00", 5, 0, 0x81, "ends inside"},
    {"10 0F 0004 'MQTT' 05 02 0000 02 11 00 0000", 5, 0, 0x81, "ends inside"},
    /* CONNACK */
    {"20 02 02 00", 4, 1, 0x81, "3.2.2.1"},
    {"20 02 01 05", 4, 1, 0x82, "session present"},
    {"20 02 00 06", 4, 1, 0x82, "2.4"},
    {"20 04 00 81 00 00", 5, 1, 0x81, "2.1.4"},
    {"20 03 00 04 00", 5, 1, 0x82, "2.4"},
    {"20 03 00 00 00", 5, 0, 0x82, "this side"},
    {"20 05 00 00 02 24 02", 5, 1, 0x82, "neither 0 nor 1"},
    {"20 06 00 00 03 23 0001", 5, 1, 0x81, "not one of this packet's"},
    /* PUBLISH */
    {"36 06 0001 'a' 0001 00", 5, 0, 0x81, "3.3.1.2"},
    {"38 04 0001 'a' 00", 5, 0, 0x81, "3.3.1.1"},
    {"30 03 0000 00", 5, 0, 0x82, "neither a topic"},
    {"30 02 0000", 4, 0, 0x90, "3.3.2.1"},
    {"30 06 0003 'a/+' 00", 5, 0, 0x90, "3.3.2.1"},
    {"30 04 0001 '#' 00", 5, 0, 0x90, "3.3.2.1"},
    {"30 04 0001 C0 00", 5, 0, 0x81, "1.5.4"},
    {"30 06 0003 ED A0 80 00", 5, 0, 0x81, "1.5.4"},
    {"30 04 0001 00 00", 5, 0, 0x81, "1.5.4"},
    {"32 06 0001 'a' 0000 00", 5, 0, 0x82, "identifier is zero"},
    {"32 03 0001 'a'", 4, 0, 0x81, "ends inside"},
    {"30 07 0001 'a' 03 23 0000", 5, 0, 0x94, "may not be zero"},
    {"30 06 0001 'a' 02 0B 01", 5, 0, 0x81, "not one of this packet's"},
    {"30 06 0001 'a' 02 0B 00", 5, 1, 0x82, "may not be zero"},
    {"30 06 0001 'a' 02 01 02", 5, 0, 0x82, "neither 0 nor 1"},
    {"30 08 0001 'a' 04 08 0001 '#'", 5, 0, 0x82, "3.3.2.3.5"},
    {"30 07 0001 'a' 03 08 0000", 5, 0, 0x82, "3.3.2.3.5"},
    {"30 09 0001 'a' 05 11 00000001", 5, 0, 0x81, "not one of this packet's"},
    {"30 0A 0001 'a' 06 23 0001 23 0001", 5, 0, 0x82, "twice"},
    {"30 04 0001 'a' 7F", 5, 0, 0x81, "ends inside"},
    /* acknowledgements */
    {"40 02 0000", 5, 0, 0x82, "identifier is zero"},
    {"40 03 0001 00", 4, 0, 0x81, "2.1.4"},
    {"40 01 00", 4, 0, 0x81, "ends inside"},
    {"40 03 0001 92", 5, 0, 0x82, "2.4"},
    {"62 03 0001 10", 5, 0, 0x82, "2.4"},
    {"40 04 0001 00 01", 5, 0, 0x81, "ends inside"},
    {"40 07 0001 00 03 21 0001", 5, 0, 0x81, "not one of this packet's"},
    /* SUBSCRIBE, UNSUBSCRIBE and their acknowledgements */
    {"82 03 0001 00", 5, 0, 0x82, "3.8.3"},
    {"82 02 0001", 4, 0, 0x82, "3.8.3"},
    {"82 06 0000 0001 'a' 00", 4, 0, 0x82, "identifier is zero"},
    {"82 06 0001 0001 'a' 03", 4, 0, 0x82, "QoS is 3"},
    {"82 06 0001 0001 'a' 04", 4, 0, 0x81, "reserved subscription"},
    {"82 07 0001 00 0001 'a' 40", 5, 0, 0x81, "reserved subscription"},
    {"82 07 0001 00 0001 'a' 30", 5, 0, 0x82, "retain handling"},
    {"82 10 0001 00 000A '$share/a/b' 04", 5, 0, 0x82, "no local"},
    {"82 0E 0001 00 0008 '$share//' 00", 5, 0, 0x8f, "4.8.2"},
    {"82 08 0001 00 0002 'a#' 00", 5, 0, 0x8f, "4.7"},
    {"82 06 0001 00 0000 00", 5, 0, 0x8f, "4.7"},
    {"82 0B 0001 04 0B 01 0B 02 0001 'a' 00", 5, 0, 0x82, "twice"},
    {"82 09 0001 02 0B 00 0001 'a' 00", 5, 0, 0x82, "may not be zero"},
    {"82 06 0001 00 0001 'a'", 5, 0, 0x81, "ends inside"},
    {"A2 03 0001 00", 5, 0, 0x82, "3.10.3"},
    {"A2 07 0001 00 0002 '#a'", 5, 0, 0x8f, "4.7"},
    {"90 03 0001 00", 5, 1, 0x82, "no reason code"},
    {"90 02 0001", 4, 1, 0x82, "no reason code"},
    {"90 03 0001 03", 4, 1, 0x82, "2.4"},
    {"90 04 0001 00 11", 5, 1, 0x82, "2.4"},
    {"B0 04 0001 00 01", 5, 1, 0x82, "2.4"},
    {"B0 03 0001 00", 4, 1, 0x81, "2.1.4"},
    {"90 04 0001 00 00", 5, 0, 0x82, "this side"},
    {"82 07 0001 00 0001 'a' 00", 5, 1, 0x82, "this side"},
    /* the rest */
    {"C0 01 00", 5, 0, 0x81, "2.1.4"},
    {"D0 00", 5, 0, 0x82, "this side"},
    {"C0 00", 4, 1, 0x82, "this side"},
    {"E0 01 00", 4, 0, 0x81, "2.1.4"},
    {"E0 00", 4, 1, 0x82, "this side"},
    {"E0 01 8E", 5, 0, 0x82, "2.4"},
    {"E0 01 04", 5, 1, 0x82, "2.4"},
    {"E0 07 00 05 11 00000000", 5, 1, 0x81, "not one of this packet's"},
    {"E0 06 00 04 1C 0001 'x'", 5, 0, 0x81, "not one of this packet's"},
    {"F0 00", 5, 0, 0x82, "3.15.2.1"},
    {"F0 01 18", 5, 0, 0x81, "ends inside"},
    {"F0 02 18 00", 5, 0, 0x82, "3.15.2.2.2"},
    {"F0 06 19 04 15 0001 'x'", 5, 1, 0x82, "2.4"},
    {"F0 00", 4, 1, 0x82, "this side"},
    {"10 0C 0004 'MQTT' 04 02 0000 0000", 4, 1, 0x82, "this side"},
};

TEST("what the standard forbids is refused with its reason code and clause")
{
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        const struct refusal *row = &refusals[i];
        struct bytes b = bytes_of(row->bytes);
        struct mqtt_packet p = {0};
        struct mqtt_fault fault = {0};
        enum mqtt_result result = decode(&b, row->version, row->sender, &p, &fault);
        if (result != MQTT_REFUSED) {
            test_failed(__FILE__, __LINE__, "%s gives %d", row->bytes, (int)result);
            continue;
        }
        if (fault.reason != row->reason || strstr(fault.clause, row->clause) == NULL) {
            test_failed(__FILE__, __LINE__, "%s: 0x%02x %s", row->bytes, fault.reason,
                        fault.clause);
        }
        CHECK(p.type == 0); /* untouched */
    }
}

TEST("every cut of a packet is waited for, and refused where its length says that it ends there")
{
    static const struct {
        const char *bytes;
        enum mqtt_sender sender;
    } rows[] = {
        {"10 26 0004 'MQTT' 05 CE 000A 05 11 0000000A 0002 'id' 00 0001 'w' 0002 'xy' 0004 'user' "
         "0002 'pw'",
         MQTT_FROM_CLIENT},
        {"20 14 00 00 11 13 04B0 21 0040 24 00 25 00 27 00010000 28 00", MQTT_FROM_SERVER},
        {"F0 06 18 04 15 0001 'x'", MQTT_FROM_CLIENT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct bytes cut = bytes_of(rows[i].bytes);
        for (cut.len--; cut.len >= 2; cut.len--) {
            struct mqtt_packet p;
            struct mqtt_fault fault;
            cut.at[1] = (uint8_t)(cut.len - 1);
            CHECK(decode(&cut, MQTT_5_0, rows[i].sender, &p, &fault) == MQTT_MORE);
            cut.at[1] = (uint8_t)(cut.len - 2);
            CHECK(decode(&cut, MQTT_5_0, rows[i].sender, &p, &fault) == MQTT_REFUSED);
        }
    }
}

TEST("the encoder refuses what this sender may not say and leaves the writer alone")
{
    uint8_t room[64];
    struct writer w = writer_over(room, sizeof room);
    struct mqtt_packet p = {.type = MQTT_PUBLISH, .publish = {.topic = slice_text("a/#")}};
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_REFUSED);
    p.publish = (struct mqtt_publish){.topic = slice_text("a"), .qos = 1};
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_REFUSED);
    p.publish = (struct mqtt_publish){.topic = slice_text("a"), .packet_id = 1};
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_REFUSED);
    p.publish = (struct mqtt_publish){.topic = slice_text("a"), .properties = {.topic_alias = 1}};
    mqtt_set(&p.publish.properties, MQTT_TOPIC_ALIAS);
    CHECK(mqtt_encode(&p, MQTT_3_1_1, MQTT_FROM_CLIENT, &w) == MQTT_REFUSED);
    p = (struct mqtt_packet){.type = MQTT_DISCONNECT,
                             .disconnect = {.reason = MQTT_SESSION_TAKEN_OVER}};
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_REFUSED);
    CHECK(mqtt_encode(&p, MQTT_3_1_1, MQTT_FROM_SERVER, &w) == MQTT_REFUSED);
    CHECK(w.len == 0 && writer_ok(&w));
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_SERVER, &w) == MQTT_OK);
    CHECK_U64(w.len, 3);
}

TEST("a packet that does not fit leaves the writer as it was")
{
    uint8_t room[8] = {0};
    struct writer w = writer_over(room, 6);
    struct mqtt_packet p = {
        .type = MQTT_PUBLISH,
        .publish = {.topic = slice_text("a"), .payload = slice_text("bc")},
    };
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_NO_ROOM);
    CHECK(w.len == 0 && writer_ok(&w));
    w.cap = 8;
    CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_CLIENT, &w) == MQTT_OK);
    CHECK_U64(w.len, 8);
}

TEST("user properties and subscription identifiers keep their order and number")
{
    uint8_t run[64], room[128];
    struct writer props = writer_over(run, sizeof run);
    mqtt_user_property_write(&props, slice_text("k"), slice_text("1"));
    mqtt_subscription_id_write(&props, 300);
    mqtt_user_property_write(&props, slice_text("k"), slice_text("2"));
    mqtt_subscription_id_write(&props, 1);
    struct mqtt_packet p = {
        .type = MQTT_PUBLISH,
        .publish = {.topic = slice_text("t"),
                    .properties = {.repeated = writer_slice(&props),
                                   .content_type = slice_text("x")}},
    };
    mqtt_set(&p.publish.properties, MQTT_CONTENT_TYPE);
    struct writer w = writer_over(room, sizeof room);
    REQUIRE(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_SERVER, &w) == MQTT_OK);
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    REQUIRE(mqtt_frame_next(writer_slice(&w), 128, &frame, &fault) == MQTT_OK);
    REQUIRE(mqtt_decode(&frame, MQTT_5_0, MQTT_FROM_SERVER, &p, &fault) == MQTT_OK);
    struct slice rest = p.publish.properties.repeated, name, value;
    CHECK(mqtt_user_property_next(&rest, &name, &value) && slice_is_text(value, "1"));
    CHECK(mqtt_user_property_next(&rest, &name, &value) && slice_is_text(value, "2"));
    CHECK(!mqtt_user_property_next(&rest, &name, &value));
    uint32_t id = 0;
    rest = p.publish.properties.repeated;
    CHECK(mqtt_subscription_id_next(&rest, &id) && id == 300);
    CHECK(mqtt_subscription_id_next(&rest, &id) && id == 1);
    CHECK(!mqtt_subscription_id_next(&rest, &id));
    CHECK(slice_is_text(p.publish.properties.content_type, "x"));
}

TEST("a reason code has the standard's name, and 3.1.1 gets its nearest return code")
{
    enum mqtt_reason reason;
    CHECK(mqtt_reason_from_wire(0x95, &reason)
          && strcmp(mqtt_reason_name(reason), "Packet too large") == 0);
    CHECK(!mqtt_reason_from_wire(0x05, &reason) && !mqtt_reason_from_wire(0xff, &reason));
    CHECK_U64(mqtt_return_code(MQTT_SUCCESS), 0);
    CHECK_U64(mqtt_return_code(MQTT_UNSUPPORTED_VERSION), 1);
    CHECK_U64(mqtt_return_code(MQTT_CLIENT_ID_NOT_VALID), 2);
    CHECK_U64(mqtt_return_code(MQTT_QUOTA_EXCEEDED), 3);
    CHECK_U64(mqtt_return_code(MQTT_NOT_AUTHORIZED), 5);
}

static void check_ack(enum mqtt_type type, uint8_t reason)
{
    for (uint32_t id = 1; id <= UINT16_MAX; id += 4369) {
        uint8_t a[8], b[8];
        struct writer one = writer_over(a, sizeof a), two = writer_over(b, MQTT_ACK_MAX);
        struct mqtt_packet p = {.type = type, .ack = {.packet_id = (uint16_t)id, .reason = reason}};
        CHECK(mqtt_encode(&p, MQTT_5_0, MQTT_FROM_SERVER, &one) == MQTT_OK);
        mqtt_ack_write(&two, MQTT_5_0, type, (uint16_t)id, reason);
        CHECK(slice_equal(writer_slice(&one), writer_slice(&two)) && one.len > 0);
    }
}

TEST("the short way to write an acknowledgement gives the bytes of the long way")
{
    check_ack(MQTT_PUBACK, MQTT_SUCCESS);
    check_ack(MQTT_PUBACK, MQTT_NOT_AUTHORIZED);
    check_ack(MQTT_PUBREC, MQTT_SUCCESS);
    check_ack(MQTT_PUBREC, MQTT_QUOTA_EXCEEDED);
    check_ack(MQTT_PUBREL, MQTT_SUCCESS);
    check_ack(MQTT_PUBREL, MQTT_PACKET_ID_NOT_FOUND);
    check_ack(MQTT_PUBCOMP, MQTT_SUCCESS);
    check_ack(MQTT_PUBCOMP, MQTT_PACKET_ID_NOT_FOUND);
}

TEST("a reason code has its name, its number from the wire, and a return code of MQTT 3.1.1")
{
    static const struct {
        enum mqtt_reason reason;
        uint8_t code;
    } rows[] = {
        {MQTT_SUCCESS, 0},     {MQTT_UNSUPPORTED_VERSION, 1},       {MQTT_CLIENT_ID_NOT_VALID, 2},
        {MQTT_SERVER_BUSY, 3}, {MQTT_BAD_USER_NAME_OR_PASSWORD, 4}, {MQTT_NOT_AUTHORIZED, 5},
        {MQTT_BANNED, 5},      {MQTT_BAD_AUTHENTICATION_METHOD, 5},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum mqtt_reason got = MQTT_UNSPECIFIED_ERROR;
        CHECK_U64(mqtt_return_code(rows[i].reason), rows[i].code);
        CHECK(mqtt_reason_from_wire((uint8_t)rows[i].reason, &got) && got == rows[i].reason);
        CHECK(strcmp(mqtt_reason_name(rows[i].reason), "unknown reason code") != 0);
    }
    enum mqtt_reason untouched = MQTT_BANNED;
    CHECK(!mqtt_reason_from_wire(0x7F, &untouched) && untouched == MQTT_BANNED);
    CHECK(strcmp(mqtt_reason_name((enum mqtt_reason)0x7F), "unknown reason code") == 0);
}
