#include "codec/cbor.h"
#include "crypto/key.h"
#include "test/test.h"
#include "trust/trust_list.h"

static struct slice payload_with(struct writer *w, uint64_t slots, uint64_t slot_ms, bool has_hint)
{
    struct key_private *key = NULL;
    CHECK(key_make(KEY_P256, &key) == KEY_OK);
    struct key_public point = key_public_of(key);
    key_free(key);
    cbor_write_map(w, has_hint ? 4 : 3);
    cbor_write_u64(w, 1);
    cbor_write_u64(w, 7);
    cbor_write_u64(w, 2);
    cbor_write_array(w, 1);
    cbor_write_bytes(w, slice_of(point.bytes, point.len));
    cbor_write_u64(w, 3);
    cbor_write_array(w, 1);
    cbor_write_bytes(w, slice_text("an issuer"));
    if (has_hint) {
        cbor_write_u64(w, 4);
        cbor_write_array(w, 2);
        cbor_write_u64(w, slots);
        cbor_write_u64(w, slot_ms);
    }
    return writer_slice(w);
}

TEST("a hint of nothing, or of more than an hour, makes the whole list malformed")
{
    static const uint64_t rows[][2] = {
        {0, 1},      {1, 0},          {3600001, 1},    {1, 3600001},
        {60001, 60}, {UINT64_MAX, 2}, {2, UINT64_MAX}, {UINT64_C(1) << 32, UINT64_C(1) << 32}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[512];
        struct writer w = writer_over(bytes, sizeof bytes);
        struct trust_list list;
        struct fault fault = {0};
        CHECK(!trust_list_payload_parse(payload_with(&w, rows[i][0], rows[i][1], true), &list,
                                        &fault));
    }
}

TEST("a hint is written and read again, and a list without one is as it always was")
{
    uint8_t bytes[512];
    uint8_t again[512];
    for (unsigned has_hint = 0; has_hint < 2; has_hint++) {
        struct writer w = writer_over(bytes, sizeof bytes);
        struct writer a = writer_over(again, sizeof again);
        struct trust_list list;
        struct fault fault = {0};
        REQUIRE(trust_list_payload_parse(payload_with(&w, 16384, 2, has_hint == 1), &list, &fault));
        CHECK_U64(list.retry_slots, has_hint == 1 ? 16384 : 0);
        CHECK_U64(list.retry_slot_ms, has_hint == 1 ? 2 : 0);
        REQUIRE(trust_list_payload_write(&a, &list));
        CHECK(slice_equal(writer_slice(&w), writer_slice(&a)));
    }
}
