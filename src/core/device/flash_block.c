#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/reader.h"
#include "base/writer.h"
#include "core/device/flash_inside.h"

#include <string.h>

/*
 * Head, one copy: "hf", kind, version, start, count, first, done, CRC-32C of all before it and of
 * the geometry: a flash that was laid out otherwise is not ours. Record: kind, zero, length,
 * position, CRC-32C of these; body; CRC-32C of both; zeroes up to the unit; the mark.
 */
enum {
    VERSION = 1,
    COPY_LEN = FLASH_HEAD_LEN / 2,
    COPY_CRC_AT = COPY_LEN - 4,
    RECORD_HEAD = 16,
    RECORD_CRC = 4,
    MARK_MIN = 4 /* one flipped bit does not hide it */
};

/* Higher ones nobody reaches by counting: a head that has them is not ours. */
static const uint64_t position_max = UINT64_MAX >> 2;

static uint32_t whole_units(const struct flash_log_limits *limits, uint32_t len)
{
    return (len + limits->unit_len - 1) / limits->unit_len * limits->unit_len;
}

bool flash_is_blank(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.at[i] != 0xff) {
            return false;
        }
    }
    return true;
}

/* ---- heads ---- */

static uint32_t head_crc(const struct flash_log_limits *limits, const uint8_t *copy)
{
    uint8_t geometry[10];
    struct writer w = writer_over(geometry, sizeof geometry);
    write_u16(&w, limits->blocks);
    write_u32(&w, limits->block_len);
    write_u32(&w, limits->unit_len);
    return crc32c(crc32c(0, slice_of(copy, COPY_CRC_AT)), writer_slice(&w));
}

void flash_head_encode(const struct flash_log_limits *limits,
                       const struct flash_head *head,
                       uint8_t out[FLASH_HEAD_LEN])
{
    struct writer w = writer_over(out, COPY_LEN);
    write_text(&w, "hf");
    write_u8(&w, limits->kind);
    write_u8(&w, VERSION);
    write_u64(&w, head->written);
    write_u64(&w, head->first);
    write_u64(&w, head->done);
    write_u32(&w, head_crc(limits, out));
    INVARIANT(writer_ok(&w) && w.len == COPY_LEN);
    memcpy(out + COPY_LEN, out, COPY_LEN);
}

static bool copy_decode(const struct flash_log_limits *limits,
                        struct slice copy,
                        struct flash_head *out)
{
    struct reader r = reader_over(copy);
    struct slice start = read_bytes(&r, 2);
    uint8_t kind = read_u8(&r);
    uint8_t version = read_u8(&r);
    struct flash_head head = {0};
    head.written = read_u64(&r);
    head.first = read_u64(&r);
    head.done = read_u64(&r);
    uint32_t crc = read_u32(&r);
    if (!reader_done(&r) || !slice_is_text(start, "hf") || kind != limits->kind
        || version != VERSION || crc != head_crc(limits, copy.at) || head.written >> 32 == 0
        || head.written >> 32 == UINT32_MAX || head.first > position_max
        || head.done > position_max) {
        return false;
    }
    *out = head;
    return true;
}

bool flash_head_decode(const struct flash_log_limits *limits,
                       struct slice block,
                       struct flash_head *out)
{
    return block.len >= FLASH_HEAD_LEN
           && (copy_decode(limits, slice_of(block.at, COPY_LEN), out)
               || copy_decode(limits, slice_of(block.at + COPY_LEN, COPY_LEN), out));
}

/* ---- records ---- */

uint32_t flash_mark_len(const struct flash_log_limits *limits)
{
    return whole_units(limits, MARK_MIN);
}

struct slice flash_mark(const struct flash_log_limits *limits)
{
    static const uint8_t zeroes[FLASH_UNIT_MAX];
    return slice_of(zeroes, flash_mark_len(limits));
}

uint32_t flash_record_extent(const struct flash_log_limits *limits, size_t body_len)
{
    return whole_units(limits, RECORD_HEAD + (uint32_t)body_len + RECORD_CRC)
           + flash_mark_len(limits);
}

uint32_t flash_record_encode(const struct flash_log_limits *limits,
                             enum flash_record_kind kind,
                             uint64_t position,
                             struct slice body,
                             uint8_t *to)
{
    uint32_t len = flash_record_extent(limits, body.len) - flash_mark_len(limits);
    memset(to, 0, len);
    struct writer w = writer_over(to, len);
    write_u8(&w, (uint8_t)kind);
    write_u8(&w, 0);
    write_u16(&w, (uint16_t)body.len);
    write_u64(&w, position);
    write_u32(&w, crc32c(0, writer_slice(&w)));
    write_slice(&w, body);
    write_u32(&w, crc32c(0, writer_slice(&w)));
    INVARIANT(writer_ok(&w));
    return len;
}

static bool record_head_decode(struct slice bytes, struct flash_record *out, uint16_t *body_len)
{
    struct reader r = reader_over(bytes);
    uint8_t kind = read_u8(&r);
    uint8_t zero = read_u8(&r);
    *body_len = read_u16(&r);
    out->position = read_u64(&r);
    uint32_t crc = read_u32(&r);
    bool is_kind = kind == FLASH_DATA || kind == FLASH_DONE;
    if (!reader_ok(&r) || !is_kind || zero != 0 || (kind == FLASH_DONE) != (*body_len == 0)
        || out->position > position_max
        || crc != crc32c(0, slice_of(bytes.at, RECORD_HEAD - RECORD_CRC))) {
        return false;
    }
    out->kind = (enum flash_record_kind)kind;
    return true;
}

enum standing { NO_HEAD, WRONG_BODY, WHOLE };

/* How the record at `at` stands; *next is behind it where its head is good. */
static enum standing stands_at(const struct flash_log_limits *limits,
                               struct slice block,
                               uint32_t at,
                               uint64_t from,
                               struct flash_record *out,
                               uint32_t *next)
{
    uint16_t len;
    struct slice rest = slice_after(block, at);
    if (!record_head_decode(rest, out, &len) || flash_record_extent(limits, len) > rest.len
        || (out->kind == FLASH_DATA && out->position < from)) {
        return NO_HEAD;
    }
    *next = at + flash_record_extent(limits, len);
    out->body = slice_of(rest.at + RECORD_HEAD, len);
    struct reader r = reader_over(slice_of(rest.at + RECORD_HEAD + len, RECORD_CRC));
    return read_u32(&r) == crc32c(0, slice_of(rest.at, (size_t)RECORD_HEAD + len)) ? WHOLE
                                                                                   : WRONG_BODY;
}

/* Where the next whole record begins after one whose length is not known. */
static uint32_t find_whole(const struct flash_log_limits *limits,
                           struct slice block,
                           uint32_t at,
                           uint64_t from)
{
    struct flash_record record;
    uint32_t next;
    for (at += limits->unit_len; at < block.len; at += limits->unit_len) {
        if (stands_at(limits, block, at, from, &record, &next) == WHOLE) {
            return at;
        }
    }
    return (uint32_t)block.len;
}

enum flash_found flash_record_at(const struct flash_log_limits *limits,
                                 struct slice block,
                                 uint32_t at,
                                 uint64_t from,
                                 struct flash_record *out,
                                 uint32_t *next)
{
    uint32_t mark_len = flash_mark_len(limits);
    switch (stands_at(limits, block, at, from, out, next)) {
    case WHOLE: return FLASH_RECORD;
    case WRONG_BODY: /* torn, unless it was marked as whole */
        return flash_is_blank(slice_of(block.at + *next - mark_len, mark_len)) ? FLASH_END
                                                                               : FLASH_ROTTEN;
    case NO_HEAD: break;
    }
    /* What was torn in its head has nothing behind it. */
    if (flash_is_blank(slice_after(block, at + whole_units(limits, RECORD_HEAD)))) {
        return FLASH_END;
    }
    *next = find_whole(limits, block, at, from);
    return FLASH_ROTTEN;
}
