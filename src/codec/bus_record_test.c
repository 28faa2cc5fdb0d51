#include "codec/bus_record.h"
#include "test/test.h"

#include <string.h>

/* The vectors of docs/protocol/bus-record.md. */
static const char vector_1[] = "0101029c4e61d00000000000000000000000ff0000019d9a7c3b2a"
                               "000d68662f312f442f742f686f7374"
                               "00000003a10102";
static const char vector[] = "0201029c4e61d00000000000000000000000ff0000019d9a7c3b2a"
                             "0000000000012345"
                             "000d68662f312f442f742f686f7374"
                             "00000003a10102"
                             "ce"
                             "000000050007"
                             "0000000000020000"
                             "00020101"
                             "0000001400000006090000000201000000090000000902"
                             "00";

static struct bus_record example(void)
{
    struct bus_record record = {
        .kind = BUS_PUBLISHED,
        .device = {{0x9c, 0x4e, 0x61, 0xd0, [15] = 0xff}},
        .received_ms = 0x19d9a7c3b2a,
        .quality = TIME_SYNCED,
        .clock_ms = 0x12345,
        .topic = slice_text("hf/1/D/t/host"),
        .payload = slice_of("\xa1\x01\x02", 3),
    };
    return record;
}

TEST("a record is encoded as its vector says, and comes back")
{
    uint8_t room[256];
    uint8_t want[sizeof vector / 2];
    uint8_t targets[64];
    struct bus_record record = example();
    struct bus_target target;
    struct writer t = writer_over(targets, sizeof targets);
    bus_target_write(
        &t, &(struct bus_target){.session = 6, .qos = 1, .share = 2, .ids_count = 1, .ids = {9}});
    bus_target_write(&t, &(struct bus_target){.session = 9, .qos = 2});
    record.delivery = (struct bus_delivery){.qos = 2,
                                            .is_retained = true,
                                            .sender = 5,
                                            .packet_id = 7,
                                            .expires_ms = 0x20000,
                                            .properties = slice_of("\x01\x01", 2),
                                            .targets = writer_slice(&t)};
    struct bus_record back;
    struct writer w = writer_over(room, sizeof room);
    REQUIRE(bus_record_encode(&record, &w) == BUS_RECORD_OK);
    REQUIRE(bytes_from_hex(slice_text(vector), want, sizeof want));
    CHECK(slice_equal(writer_slice(&w), slice_of(want, sizeof want)));
    REQUIRE(bus_record_decode(writer_slice(&w), &back) == BUS_RECORD_OK);
    CHECK(back.kind == BUS_PUBLISHED && back.quality == TIME_SYNCED);
    CHECK(device_id_equal(&back.device, &record.device));
    CHECK_U64(back.received_ms, record.received_ms);
    CHECK(slice_equal(back.topic, record.topic) && slice_equal(back.payload, record.payload));
    CHECK_U64(back.clock_ms, 0x12345);
    CHECK(back.delivery.sender == 5 && back.delivery.packet_id == 7 && back.delivery.is_retained);
    CHECK_U64(back.delivery.expires_ms, 0x20000);
    struct slice rest = back.delivery.targets;
    REQUIRE(bus_target_next(&rest, &target));
    CHECK(target.session == 6 && target.qos == 1 && target.share == 2 && target.ids[0] == 9);
    REQUIRE(bus_target_next(&rest, &target));
    CHECK(target.session == 9 && target.qos == 2 && target.share == 0 && target.ids_count == 0);
    CHECK(!bus_target_next(&rest, &target));
}

TEST("a record of version 1 is still read: without clock and delivery")
{
    uint8_t old[sizeof vector_1 / 2];
    struct bus_record want = example(), back;
    REQUIRE(bytes_from_hex(slice_text(vector_1), old, sizeof old));
    REQUIRE(bus_record_decode(slice_of(old, sizeof old), &back) == BUS_RECORD_OK);
    CHECK(back.kind == BUS_PUBLISHED && slice_equal(back.payload, want.payload));
    CHECK_U64(back.clock_ms, 0);
    CHECK(back.delivery.qos == 0 && back.delivery.targets.len == 0);
    old[1] = BUS_LOCAL; /* a kind it did not have */
    CHECK(bus_record_decode(slice_of(old, sizeof old), &back) == BUS_RECORD_MALFORMED);
}

TEST("a delivery that no gateway writes is refused")
{
    uint8_t targets[64], room[512];
    struct writer t = writer_over(targets, sizeof targets);
    bus_target_write(&t, &(struct bus_target){.session = 6, .qos = 1});
    struct slice one = writer_slice(&t);
    const struct bus_record wrong[] = {
        {.kind = BUS_STARTED, .delivery = {.qos = 1}},
        {.kind = BUS_SESSION, .delivery = {.targets = one}},
        {.kind = BUS_LOCAL, .delivery = {.qos = 3}},
        {.kind = BUS_LOCAL, .delivery = {.was = 1}},
        {.kind = BUS_LOCAL, .delivery = {.sender = 1}},
        {.kind = BUS_LOCAL, .delivery = {.packet_id = 1}},
        {.kind = BUS_WILL, .delivery = {.qos = 1}},
        {.kind = BUS_KEPT, .delivery = {.qos = 1}},
        {.kind = BUS_KEPT, .delivery = {.was = 1, .targets = one}},
        {.kind = BUS_KEPT, .delivery = {.was = 1, .sender = 1, .packet_id = 1}},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct writer w = writer_over(room, sizeof room);
        CHECK(bus_record_encode(&wrong[i], &w) == BUS_RECORD_MALFORMED);
    }
    /* The same from the wire: what no flag allows, and a target of nobody. */
    struct bus_record record = {.kind = BUS_LOCAL, .delivery = {.qos = 1, .targets = one}}, back;
    struct writer w = writer_over(room, sizeof room);
    REQUIRE(bus_record_encode(&record, &w) == BUS_RECORD_OK);
    REQUIRE(bus_record_decode(writer_slice(&w), &back) == BUS_RECORD_OK);
    for (size_t at = w.len - one.len; at < w.len; at++) {
        uint8_t kept = room[at];
        room[at] = at < w.len - 2 ? 0 : 0xff; /* session 0; flags and count that are none */
        bool is_part_of_number = at >= w.len - one.len && at < w.len - one.len + 3;
        CHECK((bus_record_decode(writer_slice(&w), &back) == BUS_RECORD_OK) == is_part_of_number);
        room[at] = kept;
    }
    room[w.len - one.len - 4 - 2 - 1] = 1; /* flags without lists: they are left over */
    CHECK(bus_record_decode(writer_slice(&w), &back) == BUS_RECORD_MALFORMED);
}

TEST("no prefix of a record is a record, and nothing may follow one")
{
    uint8_t room[256];
    struct bus_record record = example();
    struct bus_record back;
    struct writer w = writer_over(room, sizeof room);
    record.kind = BUS_LINKED;
    memset(record.exporter_digest, 7, sizeof record.exporter_digest);
    REQUIRE(bus_record_encode(&record, &w) == BUS_RECORD_OK);
    for (size_t len = 0; len < w.len; len++) {
        CHECK(bus_record_decode(slice_of(room, len), &back) == BUS_RECORD_MALFORMED);
    }
    REQUIRE(bus_record_decode(slice_of(room, w.len), &back) == BUS_RECORD_OK);
    CHECK_U64(back.exporter_digest[31], 7);
    CHECK(bus_record_decode(slice_of(room, w.len + 1), &back) == BUS_RECORD_MALFORMED);
}

TEST("unknown versions, kinds and qualities are refused")
{
    uint8_t room[256];
    struct bus_record record = example();
    struct bus_record back;
    struct writer w = writer_over(room, sizeof room);
    REQUIRE(bus_record_encode(&record, &w) == BUS_RECORD_OK);
    static const uint8_t wrong[3] = {3, 9, 3};
    for (size_t i = 0; i < sizeof wrong; i++) {
        uint8_t kept = room[i];
        room[i] = wrong[i];
        CHECK(bus_record_decode(writer_slice(&w), &back) == BUS_RECORD_MALFORMED);
        room[i] = kept;
    }
}

TEST("what is longer than its limit is not encoded")
{
    static uint8_t large[BUS_RECORD_PAYLOAD_MAX + 1];
    static uint8_t room[sizeof large + 1024];
    struct bus_record record = example();
    struct writer w = writer_over(room, sizeof room);
    record.payload = slice_of(large, sizeof large);
    CHECK(bus_record_encode(&record, &w) == BUS_RECORD_TOO_LONG);
    record.payload = slice_of(large, sizeof large - 1);
    CHECK(bus_record_encode(&record, &w) == BUS_RECORD_OK);
    record.topic = slice_of(large, BUS_RECORD_TOPIC_MAX + 1);
    CHECK(bus_record_encode(&record, &w) == BUS_RECORD_TOO_LONG);
}

TEST("a record with a topic or payload beyond its most is neither written nor read")
{
    static uint8_t bytes[BUS_RECORD_PAYLOAD_MAX + BUS_RECORD_TOPIC_MAX + 256];
    static uint8_t body[BUS_RECORD_PAYLOAD_MAX + 1];
    struct bus_record got;
    for (unsigned which = 0; which < 2; which++) {
        struct bus_record record = {.kind = BUS_PUBLISHED};
        record.topic = slice_of(body, which == 0 ? BUS_RECORD_TOPIC_MAX + 1 : 1);
        record.payload = slice_of(body, which == 1 ? BUS_RECORD_PAYLOAD_MAX + 1 : 1);
        struct writer w = writer_over(bytes, sizeof bytes);
        CHECK(bus_record_encode(&record, &w) == BUS_RECORD_TOO_LONG);
        w = writer_over(bytes, sizeof bytes);
        write_u8(&w, 1);
        write_u8(&w, BUS_PUBLISHED);
        write_u8(&w, 0);
        write_bytes(&w, record.device.bytes, sizeof record.device.bytes);
        write_u64(&w, 0);
        write_prefixed_u16(&w, record.topic);
        write_prefixed_u32(&w, record.payload);
        CHECK(bus_record_decode(writer_slice(&w), &got) == BUS_RECORD_TOO_LONG);
    }
    struct bus_record record = {.kind = BUS_PUBLISHED, .topic = slice_text("t")};
    struct writer w = writer_over(bytes, 8);
    CHECK(bus_record_encode(&record, &w) == BUS_RECORD_TOO_LONG);
}
