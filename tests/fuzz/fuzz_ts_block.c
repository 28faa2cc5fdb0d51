/*
 * First byte even: the rest is a block from a stranger; what decodes must be bounded and encode
 * again to something equal. Odd: the rest is points, which must come back bit for bit.
 */
#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/reader.h"
#include "codec/ts_block.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct point points[TS_BLOCK_POINTS_MAX];
static struct point again[TS_BLOCK_POINTS_MAX];
static uint8_t block[TS_BLOCK_MAX];

static void must_come_back(size_t count)
{
    struct writer w = writer_over(block, sizeof block);
    size_t got = 0;
    INVARIANT(ts_block_encode(points, count, &w) == TS_BLOCK_OK);
    INVARIANT(ts_block_decode(writer_slice(&w), again, COUNT_OF(again), &got) == TS_BLOCK_OK);
    INVARIANT(got == count);
    for (size_t i = 0; i < count; i++) {
        INVARIANT(points[i].time_ms == again[i].time_ms);
        INVARIANT(memcmp(&points[i].value, &again[i].value, sizeof points[i].value) == 0);
        INVARIANT(points[i].quality == again[i].quality);
        INVARIANT(points[i].provenance == again[i].provenance);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t count = 0;
    if (data[0] % 2 == 0) {
        static uint8_t copy[1 << 16];
        if (size - 1 + 4 > sizeof copy) {
            return 0;
        }
        /* The right check value, so that what lies behind it is reached. */
        memcpy(copy, data + 1, size - 1);
        struct writer w = {.at = copy, .cap = sizeof copy, .len = size - 1};
        write_u32(&w, crc32c(0, slice_of(copy, size - 1)));
        if (ts_block_decode(writer_slice(&w), points, COUNT_OF(points), &count) == TS_BLOCK_OK) {
            INVARIANT(count > 0 && count <= COUNT_OF(points));
            must_come_back(count);
        }
        return 0;
    }
    struct reader r = reader_over(slice_of(data + 1, size - 1));
    while (r.rest.len >= 17 && count < COUNT_OF(points)) {
        uint64_t time = read_u64(&r);
        uint64_t value = read_u64(&r);
        uint8_t tag = read_u8(&r);
        struct point *point = &points[count++];
        memcpy(&point->time_ms, &time, sizeof time);
        memcpy(&point->value, &value, sizeof value);
        point->quality = (enum time_quality)(tag % TIME_QUALITY_COUNT);
        point->provenance = tag > 127 ? PROVENANCE_GATEWAY : PROVENANCE_DEVICE;
    }
    if (count > 0) {
        must_come_back(count);
    }
    return 0;
}
