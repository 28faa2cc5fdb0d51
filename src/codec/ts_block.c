#include "codec/ts_block.h"

#include "base/crc32c.h"
#include "base/reader.h"
#include "codec/int_stream.h"
#include "codec/ts_value.h"

#include <assert.h>

/*
 *   block = version u8 = 1, points u16, tag runs u16, runs times { tag u8, points u16 },
 *           times as an int_stream, values as ts_value has them, zero bits to the next whole byte,
 *           CRC-32C u32 of all before it
 *   tag   = quality + 4 * provenance
 */
enum {
    VERSION = 1,
    HEAD_LEN = 5,
    RUN_LEN = 3,
    CRC_LEN = 4,
    PROVENANCE_SHIFT = 2,
    QUALITY_MASK = 3
};
static_assert((int)TS_BLOCK_POINTS_MAX == (int)INT_STREAM_MAX, "times are one stream");
static_assert((int)TS_BLOCK_POINTS_MAX == (int)TS_VALUE_MAX, "values are one stream");
static_assert(HEAD_LEN + TS_BLOCK_POINTS_MAX * (RUN_LEN + 11 + 10) + 256 + CRC_LEN <= TS_BLOCK_MAX,
              "a time takes at most 85 bits and a value 78");

static uint8_t tag_of(const struct point *point)
{
    return (uint8_t)((unsigned)point->quality | (unsigned)point->provenance << PROVENANCE_SHIFT);
}

static bool tag_apply(uint8_t tag, struct point *point)
{
    unsigned quality = tag & QUALITY_MASK;
    unsigned provenance = (unsigned)tag >> PROVENANCE_SHIFT;
    if (quality >= TIME_QUALITY_COUNT
        || (provenance != PROVENANCE_DEVICE && provenance != PROVENANCE_GATEWAY)) {
        return false;
    }
    point->quality = (enum time_quality)quality;
    point->provenance = (enum provenance)provenance;
    return true;
}

static uint16_t count_runs(const struct point *points, size_t count)
{
    uint16_t runs = 1;
    for (size_t i = 1; i < count; i++) {
        runs = (uint16_t)(runs + (tag_of(&points[i]) != tag_of(&points[i - 1])));
    }
    return runs;
}

static void write_runs(const struct point *points, size_t count, struct writer *w)
{
    for (size_t begin = 0; begin < count;) {
        size_t end = begin + 1;
        while (end < count && tag_of(&points[end]) == tag_of(&points[begin])) {
            end++;
        }
        write_u8(w, tag_of(&points[begin]));
        write_u16(w, (uint16_t)(end - begin));
        begin = end;
    }
}

enum ts_block_result ts_block_encode(const struct point *points, size_t count, struct writer *w)
{
    int64_t times[TS_BLOCK_POINTS_MAX];
    double values[TS_BLOCK_POINTS_MAX];
    size_t begin = w->len;
    if (count == 0 || count > TS_BLOCK_POINTS_MAX) {
        return TS_BLOCK_MALFORMED;
    }
    for (size_t i = 0; i < count; i++) {
        times[i] = points[i].time_ms;
        values[i] = points[i].value;
    }
    write_u8(w, VERSION);
    write_u16(w, (uint16_t)count);
    write_u16(w, count_runs(points, count));
    write_runs(points, count, w);
    if (!writer_ok(w)) {
        return TS_BLOCK_NO_ROOM;
    }
    struct bits_out b = {.at = w->at + w->len, .cap = writer_room(w)};
    int_stream_encode(times, count, &b);
    ts_value_encode(values, count, &b);
    bits_end(&b);
    if (b.overflow) {
        return TS_BLOCK_NO_ROOM;
    }
    w->len += b.len;
    write_u32(w, crc32c(0, slice_of(w->at + begin, w->len - begin)));
    return writer_ok(w) ? TS_BLOCK_OK : TS_BLOCK_NO_ROOM;
}

/* Checks the runs, and where `out` is given applies them. */
static bool read_runs(struct reader *r, size_t runs, struct point *out, size_t count)
{
    size_t at = 0;
    for (size_t run = 0; run < runs; run++) {
        uint8_t tag = read_u8(r);
        size_t len = read_u16(r);
        struct point point = {0};
        if (len == 0 || len > count - at || !tag_apply(tag, &point)) {
            return false;
        }
        for (size_t i = at; out != NULL && i < at + len; i++) {
            out[i] = point;
        }
        at += len;
    }
    return at == count && reader_ok(r);
}

enum ts_block_result ts_block_decode(struct slice bytes,
                                     struct point *out,
                                     size_t cap,
                                     size_t *count)
{
    int64_t times[TS_BLOCK_POINTS_MAX];
    double values[TS_BLOCK_POINTS_MAX];
    if (bytes.len < HEAD_LEN + CRC_LEN) {
        return TS_BLOCK_MALFORMED;
    }
    struct slice body = slice_of(bytes.at, bytes.len - CRC_LEN);
    struct reader tail = reader_over(slice_after(bytes, body.len));
    struct reader r = reader_over(body);
    uint8_t version = read_u8(&r);
    size_t points = read_u16(&r);
    size_t runs = read_u16(&r);
    struct reader tags = r;
    if (version != VERSION || points == 0 || points > TS_BLOCK_POINTS_MAX
        || read_u32(&tail) != crc32c(0, body) || !read_runs(&r, runs, NULL, points)) {
        return TS_BLOCK_MALFORMED;
    }
    struct bits_in b = bits_over(r.rest);
    if (!int_stream_decode(&b, times, points) || !ts_value_decode(&b, values, points)
        || !bits_align(&b) || bits_used(&b) != r.rest.len) {
        return TS_BLOCK_MALFORMED;
    }
    if (points > cap) {
        return TS_BLOCK_NO_ROOM;
    }
    (void)read_runs(&tags, runs, out, points);
    for (size_t i = 0; i < points; i++) {
        out[i].time_ms = times[i];
        out[i].value = values[i];
    }
    *count = points;
    return TS_BLOCK_OK;
}
