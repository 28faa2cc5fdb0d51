#include "base/id.h"
#include "test/test.h"

TEST("a device id has one text form")
{
    struct device_id id = {0};
    CHECK(!device_id_from_text(slice_text("hf1:9C4E61D00000000000000000000000ff"), &id));
    CHECK(!device_id_from_text(slice_text("hf1:9c4e61d00000000000000000000000f"), &id));
    CHECK(!device_id_from_text(slice_text("hf1:9c4e61d00000000000000000000000fff"), &id));
    CHECK(!device_id_from_text(slice_text("hf2:9c4e61d00000000000000000000000ff"), &id));
    CHECK(!device_id_from_text(slice_text("hf1:9c4e61d0000000000000000000000 ff"), &id));
    CHECK(!device_id_from_text(slice_text(""), &id));
    REQUIRE(device_id_from_text(slice_text("hf1:9c4e61d00000000000000000000000ff"), &id));
    CHECK_U64(id.bytes[0], 0x9c);
    uint8_t room[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(room, sizeof room);
    device_id_write_text(&w, &id);
    CHECK(slice_is_text(writer_slice(&w), "hf1:9c4e61d00000000000000000000000ff"));
}

TEST("equal_ct tells every single difference")
{
    uint8_t a[32] = {0};
    for (size_t i = 0; i < sizeof a; i++) {
        uint8_t b[32] = {0};
        b[i] = 1;
        CHECK(!equal_ct(a, b, sizeof a));
    }
    uint8_t same[32] = {0};
    CHECK(equal_ct(a, same, sizeof a));
}
