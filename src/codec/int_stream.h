/*
 * Runs of 64-bit integers in few bits: the best of three predictions (the mean, the last value, the
 * last step), and what is left in Golomb-Rice codes whose parameter is chosen anew for every 32
 * values. All arithmetic is modulo 2^64, so that every input comes back exactly.
 */
#ifndef CODEC_INT_STREAM_H
#define CODEC_INT_STREAM_H

#include "codec/bits.h"

enum { INT_STREAM_MAX = 512 };

/* `count` 1 to INT_STREAM_MAX. */
void int_stream_encode(const int64_t *values, size_t count, struct bits_out *b);

/* False: no stream that the encoder writes. Whether `b` ran past its end is the caller's to ask. */
MUST_USE bool int_stream_decode(struct bits_in *b, int64_t *values, size_t count);

#endif
