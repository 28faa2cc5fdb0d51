/*
 * Up to 512 points of one series in few bytes: times by the prediction that fits them, values as
 * scaled decimal integers, as a table of the few that occur, or XORed with their predecessor,
 * whichever is shortest; quality and provenance by runs. Every double comes back bit for bit.
 * Damage is found by a CRC-32C. docs/protocol/ts-block.md has the layout and vectors.
 */
#ifndef CODEC_TS_BLOCK_H
#define CODEC_TS_BLOCK_H

#include "base/slice.h"
#include "base/writer.h"
#include "codec/point.h"

enum { TS_BLOCK_POINTS_MAX = 512, TS_BLOCK_MAX = 14336 };

enum ts_block_result {
    TS_BLOCK_OK = 0,
    TS_BLOCK_NO_ROOM, /* the writer, or the caller's array */
    TS_BLOCK_MALFORMED
};

/* `count` 1 to TS_BLOCK_POINTS_MAX, in any order. TS_BLOCK_MAX bytes of room are always enough. */
MUST_USE enum ts_block_result ts_block_encode(const struct point *points,
                                              size_t count,
                                              struct writer *w);

/* `out` is written only on TS_BLOCK_OK; `cap` of TS_BLOCK_POINTS_MAX is always enough. */
MUST_USE enum ts_block_result ts_block_decode(struct slice bytes,
                                              struct point *out,
                                              size_t cap,
                                              size_t *count);

#endif
