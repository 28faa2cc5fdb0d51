/*
 * Runs of bits, most significant first, over the caller's bytes. Both sides are sticky: a writer
 * that ran out of room, or a reader past its end (which reads zeroes from there), says so once at
 * the end.
 */
#ifndef CODEC_BITS_H
#define CODEC_BITS_H

#include "base/slice.h"

struct bits_out {
    uint8_t *at;
    size_t cap;
    size_t len;     /* whole bytes written */
    uint64_t held;  /* the newest bits, right-aligned */
    unsigned count; /* of them: below 8 between calls */
    bool overflow;
};

static inline void bits_flush_byte(struct bits_out *b, uint8_t byte)
{
    if (b->len < b->cap) {
        b->at[b->len++] = byte;
    } else {
        b->overflow = true;
    }
}

/* The lower `width` bits of `value`: 0 to 56. */
static inline void bits_put_short(struct bits_out *b, uint64_t value, unsigned width)
{
    b->held = b->held << width | (value & (((uint64_t)1 << width) - 1));
    b->count += width;
    while (b->count >= 8) {
        b->count -= 8;
        bits_flush_byte(b, (uint8_t)(b->held >> b->count));
    }
}

/* `width` 0 to 64. */
static inline void bits_put(struct bits_out *b, uint64_t value, unsigned width)
{
    if (width > 32) {
        bits_put_short(b, value >> 32, width - 32);
        width = 32;
    }
    bits_put_short(b, value, width);
}

/* Fills the last byte with zero bits. */
static inline void bits_end(struct bits_out *b)
{
    if (b->count > 0) {
        bits_put_short(b, 0, 8 - b->count);
    }
}

struct bits_in {
    const uint8_t *at;
    size_t len;
    size_t next;    /* of the next byte to load; beyond `len` zeroes are loaded */
    uint64_t held;  /* left-aligned */
    unsigned count; /* valid bits of `held` */
};

static inline struct bits_in bits_over(struct slice bytes)
{
    return (struct bits_in){.at = bytes.at, .len = bytes.len};
}

/* At least 56 bits are held afterwards. */
static inline void bits_refill(struct bits_in *b)
{
    if (b->next + 8 <= b->len) {
        const uint8_t *p = b->at + b->next;
        uint64_t word = (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40
                        | (uint64_t)p[3] << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16
                        | (uint64_t)p[6] << 8 | (uint64_t)p[7];
        b->held |= word >> b->count;
        unsigned bytes = (63 - b->count) >> 3;
        b->next += bytes;
        b->count += bytes * 8;
        /* Bits below `count` that this load brought early are brought again, equal, by the next. */
        return;
    }
    while (b->count <= 56) {
        uint64_t byte = b->next < b->len ? b->at[b->next] : 0;
        b->held |= byte << (56 - b->count);
        b->next++;
        b->count += 8;
    }
}

static inline void bits_skip(struct bits_in *b, unsigned width)
{
    b->held <<= width;
    b->count -= width;
}

/* `width` 0 to 56. */
static inline uint64_t bits_get_short(struct bits_in *b, unsigned width)
{
    if (b->count < width) {
        bits_refill(b);
    }
    uint64_t value = width == 0 ? 0 : b->held >> (64 - width);
    bits_skip(b, width);
    return value;
}

/* `width` 0 to 64. */
static inline uint64_t bits_get(struct bits_in *b, unsigned width)
{
    uint64_t high = 0;
    if (width > 32) {
        high = bits_get_short(b, width - 32) << 32;
        width = 32;
    }
    return high | bits_get_short(b, width);
}

/* Moves to the next whole byte. False where the bits left out are not zero. */
static inline bool bits_align(struct bits_in *b)
{
    return bits_get_short(b, b->count % 8) == 0;
}

/* Bytes used so far, the one begun included. More than `len`: the reader went past its end. */
static inline size_t bits_used(const struct bits_in *b)
{
    return b->next - b->count / 8;
}

#endif
