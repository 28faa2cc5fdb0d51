/*
 * SHA-256, HMAC-SHA-256 and HKDF (FIPS 180-4, RFC 2104, RFC 5869). Plain state without heap: a
 * struct can be copied. One prepared mac_key per key: two saved hash states make a MAC cost its
 * message only.
 */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include "base/id.h"
#include "base/slice.h"

struct hash {
    _Alignas(8) uint8_t opaque[128]; /* a SHA256_CTX; hash.c asserts size and alignment */
};

void hash_init(struct hash *h);
void hash_add(struct hash *h, struct slice bytes);
void hash_end(struct hash *h, struct digest *out);
struct digest hash_of(struct slice bytes);

enum { MAC_LEN = 32 };

struct mac_key { /* a secret: wipe it */
    struct hash inner, outer;
};

void mac_key_init(struct mac_key *key, struct slice secret);
/* A MAC over the parts in order, as if they were one run. */
void mac_of(const struct mac_key *key,
            const struct slice *parts,
            size_t count,
            uint8_t out[MAC_LEN]);
MUST_USE bool mac_is(const struct mac_key *key,
                     const struct slice *parts,
                     size_t count,
                     struct slice tag);

/* HKDF-SHA-256 extract and expand; `len` at most 255 * 32. */
void hkdf(struct slice ikm, struct slice salt, struct slice info, uint8_t *out, size_t len);

#endif
