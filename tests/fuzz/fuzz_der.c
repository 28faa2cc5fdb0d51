/* Every DER verb over every position, and each value that was read is written again as it came. */
#include "base/invariant.h"
#include "codec/der.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite_time(struct slice whole)
{
    uint8_t bytes[32];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct reader r = reader_over(whole);
    int64_t at = der_read_time_ms(&r);
    if (reader_done(&r)) {
        der_write_time_ms(&w, at);
        INVARIANT(slice_equal(writer_slice(&w), whole));
    }
}

static void rewrite_bits(struct slice whole)
{
    uint8_t bytes[32];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct reader r = reader_over(whole);
    uint16_t bits = der_read_named_bits(&r);
    if (reader_done(&r)) {
        der_write_named_bits(&w, bits);
        INVARIANT(slice_equal(writer_slice(&w), whole));
    }
}

static void rewrite_number(struct slice whole)
{
    uint8_t bytes[32];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct reader r = reader_over(whole);
    uint32_t number = der_read_u32(&r);
    if (reader_done(&r)) {
        der_write_u32(&w, number);
        INVARIANT(slice_equal(writer_slice(&w), whole));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_over(slice_of(data, size));
    while (reader_peek(&r) >= 0) {
        struct der_item item = der_read_item(&r);
        if (!reader_ok(&r)) {
            break;
        }
        struct reader oid = reader_over(item.whole);
        (void)der_read_oid(&oid);
        struct reader flag = reader_over(item.whole);
        (void)der_read_bool(&flag);
        struct reader positive = reader_over(item.whole);
        (void)der_read_positive(&positive);
        struct reader bits = reader_over(item.whole);
        (void)der_read_bits(&bits);
        rewrite_time(item.whole);
        rewrite_bits(item.whole);
        rewrite_number(item.whole);
        if ((item.tag & 0x20) != 0) {
            r = reader_over(item.value); /* one way down: the input chooses which */
        }
    }
    return 0;
}
