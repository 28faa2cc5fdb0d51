/*
 * CRC-32C (Castagnoli; RFC 3720 B.4): tells damaged bytes from whole ones. It says nothing about
 * who wrote them. Uses the processor's instruction where there is one.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/slice.h"

/* The check value of what `crc` covers followed by `bytes`; begin with 0. */
uint32_t crc32c(uint32_t crc, struct slice bytes);

/* The same by table alone: what processors without the instruction do, and what the test compares.
 */
uint32_t crc32c_portable(uint32_t crc, struct slice bytes);

#endif
