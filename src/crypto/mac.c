/* HMAC and HKDF (RFC 2104, RFC 5869) over whatever crypto/hash.h's hash is. */
#include "base/invariant.h"
#include "crypto/hash.h"

#include <string.h>

enum { BLOCK_LEN = 64, HKDF_BLOCKS_MAX = 255 };

void mac_key_init(struct mac_key *key, struct slice secret)
{
    uint8_t pad[BLOCK_LEN] = {0};
    if (secret.len > sizeof pad) {
        struct digest short_secret = hash_of(secret);
        memcpy(pad, short_secret.bytes, sizeof short_secret.bytes);
        wipe(&short_secret, sizeof short_secret);
    } else if (secret.len > 0) {
        memcpy(pad, secret.at, secret.len);
    }
    for (size_t i = 0; i < sizeof pad; i++) {
        pad[i] ^= 0x36;
    }
    hash_init(&key->inner);
    hash_add(&key->inner, slice_of(pad, sizeof pad));
    for (size_t i = 0; i < sizeof pad; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    hash_init(&key->outer);
    hash_add(&key->outer, slice_of(pad, sizeof pad));
    wipe(pad, sizeof pad);
}

void mac_of(const struct mac_key *key,
            const struct slice *parts,
            size_t count,
            uint8_t out[MAC_LEN])
{
    struct hash h = key->inner;
    struct digest digest;
    for (size_t i = 0; i < count; i++) {
        hash_add(&h, parts[i]);
    }
    hash_end(&h, &digest);
    h = key->outer;
    hash_add(&h, slice_of(digest.bytes, sizeof digest.bytes));
    hash_end(&h, &digest);
    memcpy(out, digest.bytes, MAC_LEN);
    wipe(&h, sizeof h);
}

bool mac_is(const struct mac_key *key, const struct slice *parts, size_t count, struct slice tag)
{
    uint8_t want[MAC_LEN];
    mac_of(key, parts, count, want);
    bool same = tag.len == sizeof want && equal_ct(want, tag.at, sizeof want);
    wipe(want, sizeof want);
    return same;
}

void hkdf(struct slice ikm, struct slice salt, struct slice info, uint8_t *out, size_t len)
{
    INVARIANT(len <= (size_t)HKDF_BLOCKS_MAX * MAC_LEN);
    struct mac_key key;
    uint8_t block[MAC_LEN];
    mac_key_init(
        &key,
        salt); /* an empty salt is a block of zeroes, which is what an empty key is padded to */
    mac_of(&key, &ikm, 1, block);
    mac_key_init(&key, slice_of(block, sizeof block));
    struct slice previous = {0};
    uint8_t number = 0;
    for (size_t done = 0; done < len;) {
        number++;
        struct slice parts[] = {previous, info, slice_of(&number, 1)};
        mac_of(&key, parts, COUNT_OF(parts), block);
        previous = slice_of(block, sizeof block);
        size_t take = len - done < sizeof block ? len - done : sizeof block;
        memcpy(out + done, block, take);
        done += take;
    }
    wipe(&key, sizeof key);
    wipe(block, sizeof block);
}
