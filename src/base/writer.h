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

void write_u8(struct writer *w, uint8_t value);
void write_u16(struct writer *w, uint16_t value);
void write_u32(struct writer *w, uint32_t value);
void write_u64(struct writer *w, uint64_t value);
void write_bytes(struct writer *w, const void *at, size_t len);
void write_slice(struct writer *w, struct slice bytes);
void write_prefixed_u16(struct writer *w, struct slice bytes); /* overflow beyond 65,535 bytes */
void write_prefixed_u32(struct writer *w, struct slice bytes);
void write_text(struct writer *w, const char *text); /* without its NUL */
void write_decimal(struct writer *w, uint64_t value);
void write_hex(struct writer *w, struct slice bytes); /* lower case */

/* Makes room for `len` bytes to be filled in later; NULL on overflow. */
uint8_t *write_reserve(struct writer *w, size_t len);

/* What was written so far; empty after an overflow. */
struct slice writer_slice(const struct writer *w);
size_t writer_room(const struct writer *w);
bool writer_ok(const struct writer *w);
void writer_reset(struct writer *w);

#endif
