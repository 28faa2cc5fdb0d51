/*
 * What must not be mixed is a type: device ids and digests. A device id is the first half of
 * SHA-256 over a domain tag and the hardware root's public key; its text form is "hf1:" and 32
 * lower-case hex digits.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/slice.h"
#include "base/writer.h"

enum { DEVICE_ID_LEN = 16, DEVICE_ID_TEXT_LEN = 36, DIGEST_LEN = 32 };

struct device_id {
    uint8_t bytes[DEVICE_ID_LEN];
};

struct digest {
    uint8_t bytes[DIGEST_LEN];
};

bool device_id_equal(const struct device_id *a, const struct device_id *b);

/* Accepts the one text form and nothing else: no upper case, no blanks. `out` is written only on
 * true. */
bool device_id_from_text(struct slice text, struct device_id *out);
void device_id_write_text(struct writer *w, const struct device_id *id);

/* Hex of either case to exactly `len` bytes at `out`, which is written only on true. */
bool bytes_from_hex(struct slice hex, uint8_t *out, size_t len);

#endif
