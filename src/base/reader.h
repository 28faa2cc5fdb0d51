/*
 * Reads big-endian fields from a slice. Sticky: after one short read every further read gives zero
 * (or an empty slice), so a decoder reads like a schema and asks once at the end.
 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include "base/slice.h"

struct reader {
    struct slice rest; /* what has not been read yet */
    bool failed;       /* a read went past the end, or reader_fail was called */
};

struct reader reader_over(struct slice bytes);

uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);

/* Borrows the next `len` bytes. */
struct slice read_bytes(struct reader *r, size_t len);

/* A run that is preceded by its length in two or four bytes. */
struct slice read_prefixed_u16(struct reader *r);
struct slice read_prefixed_u32(struct reader *r);

/* Copies the next `len` bytes to `to`; zeroes there where they are not to be had. */
void read_into(struct reader *r, void *to, size_t len);

/* The byte that would be read next, or -1 at the end. */
int reader_peek(const struct reader *r);

/* From here on nothing can be read: for a decoder that found a value it must not accept. */
void reader_fail(struct reader *r);

/* No read failed so far. */
bool reader_ok(const struct reader *r);

/* No read failed and nothing is left over. */
bool reader_done(const struct reader *r);

#endif
