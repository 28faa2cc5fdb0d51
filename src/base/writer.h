/*
 * Fills the caller's array. Sticky: what does not fit whole is not written, nor is anything after
 * it, and `overflow` tells. Numbers are written big-endian.
 */
#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include "base/slice.h"

struct writer {
    uint8_t *at;
    size_t cap;
    size_t len;
    bool overflow;
};

struct writer writer_over(void *at, size_t cap);

/* Makes room for `len` bytes to be filled in later; NULL on overflow. */
static inline uint8_t *write_reserve(struct writer *w, size_t len)
{
    if (w->overflow || len > w->cap - w->len) {
        w->overflow = true;
        return NULL;
    }
    uint8_t *at = w->at + w->len;
    w->len += len;
    return at;
}

static inline void write_u8(struct writer *w, uint8_t value)
{
    uint8_t *to = write_reserve(w, 1);
    if (to != NULL) {
        *to = value;
    }
}
void write_u16(struct writer *w, uint16_t value);
void write_u32(struct writer *w, uint32_t value);
void write_u64(struct writer *w, uint64_t value);

static inline void write_bytes(struct writer *w, const void *at, size_t len)
{
    uint8_t *to = write_reserve(w, len);
    if (to != NULL && len > 0) {
        memcpy(to, at, len);
    }
}

static inline void write_slice(struct writer *w, struct slice bytes)
{
    write_bytes(w, bytes.at, bytes.len);
}

/* Without its NUL. */
static inline void write_text(struct writer *w, const char *text)
{
    write_slice(w, slice_text(text));
}

void write_prefixed_u16(struct writer *w, struct slice bytes); /* overflow beyond 65,535 bytes */
void write_prefixed_u32(struct writer *w, struct slice bytes);
void write_decimal(struct writer *w, uint64_t value);
void write_hex(struct writer *w, struct slice bytes); /* lower case */

/* What was written so far; empty after an overflow. */
struct slice writer_slice(const struct writer *w);
size_t writer_room(const struct writer *w);
bool writer_ok(const struct writer *w);
void writer_reset(struct writer *w);

#endif
