#include "codec/bus_record.h"
#include "test/test.h"

#include <string.h>

/* The vector of docs/protocol/bus-record.md. */
static const char vector[] = "0101029c4e61d00000000000000000000000ff0000019d9a7c3b2a"
                             "000d68662f312f442f742f686f7374"
                             "00000003a10102";

static struct bus_record example(void)
{
    struct bus_record record = {
        .kind = BUS_PUBLISHED,
        .device = {{0x9c, 0x4e, 0x61, 0xd0, [15] = 0xff}},
        .received_ms = 0x19d9a7c3b2a,
        .quality = TIME_SYNCED,
        .topic = slice_text("hf/1/D/t/host"),
        .payload = slice_of("\xa1\x01\x02", 3),
    };
    return record;
}

TEST("a record is encoded as its vector says, and comes back")
{
    uint8_t room[256];
    uint8_t want[sizeof vector / 2];
    struct bus_record record = example();
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
    static const uint8_t wrong[3] = {2, 5, 3};
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
