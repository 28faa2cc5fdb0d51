/*
 * The values of a block, exactly, in whichever of three forms is shortest. A part of ts_block.
 */
#ifndef CODEC_TS_VALUE_H
#define CODEC_TS_VALUE_H

#include "codec/bits.h"

enum { TS_VALUE_MAX = 512 };

/* `count` 1 to TS_VALUE_MAX. */
void ts_value_encode(const double *values, size_t count, struct bits_out *b);

/* False: nothing that the encoder writes. Whether `b` ran past its end is the caller's to ask. */
MUST_USE bool ts_value_decode(struct bits_in *b, double *values, size_t count);

#endif
