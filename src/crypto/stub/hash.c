/* A mixing of 256 bits in the place of SHA-256: SipHash's round over blocks of 32 bytes. */
#include "crypto/hash.h"

#include "base/invariant.h"

#include <assert.h>
#include <string.h>

enum { LANES = 4, BLOCK_LEN = 32, LAST_ROUNDS = 4 };

struct state {
    uint64_t lanes[LANES];
    uint64_t len; /* of all that was added */
    uint8_t block[BLOCK_LEN];
};

static_assert(sizeof(struct state) <= sizeof(struct hash), "a hash holds our state");
static_assert(_Alignof(struct state) <= _Alignof(struct hash), "a hash is aligned for our state");

static struct state *state_of(struct hash *h)
{
    void *at = h->opaque;
    return at;
}

static uint64_t turned(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

static void mix(uint64_t v[LANES])
{
    v[0] += v[1];
    v[1] = turned(v[1], 13) ^ v[0];
    v[0] = turned(v[0], 32);
    v[2] += v[3];
    v[3] = turned(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = turned(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = turned(v[1], 17) ^ v[2];
    v[2] = turned(v[2], 32);
}

static void take_block(uint64_t v[LANES], const uint8_t at[BLOCK_LEN])
{
    for (size_t i = 0; i < LANES; i++) {
        uint64_t word = 0;
        for (size_t j = 0; j < 8; j++) {
            word |= (uint64_t)at[8 * i + j] << (8 * j);
        }
        v[i] = (v[i] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    }
    mix(v);
    mix(v);
}

void hash_init(struct hash *h)
{
    static const uint64_t begin[LANES] = {
        UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d), UINT64_C(0x6c7967656e657261),
        UINT64_C(0x7465646279746573)};
    memset(h, 0, sizeof *h);
    memcpy(state_of(h)->lanes, begin, sizeof begin);
}

void hash_add(struct hash *h, struct slice bytes)
{
    struct state *s = state_of(h);
    while (bytes.len > 0) {
        size_t have = (size_t)(s->len % BLOCK_LEN);
        size_t take = bytes.len < BLOCK_LEN - have ? bytes.len : BLOCK_LEN - have;
        memcpy(s->block + have, bytes.at, take);
        s->len += take;
        bytes = slice_after(bytes, take);
        if (have + take == BLOCK_LEN) {
            take_block(s->lanes, s->block);
        }
    }
}

void hash_end(struct hash *h, struct digest *out)
{
    struct state *s = state_of(h);
    static_assert(sizeof out->bytes / 8 == LANES, "a digest is the four lanes");
    memset(s->block + s->len % BLOCK_LEN, 0, BLOCK_LEN - s->len % BLOCK_LEN);
    take_block(s->lanes, s->block);
    s->lanes[0] ^= s->len; /* tells apart what differs only in zeroes at the end */
    for (size_t i = 0; i < LAST_ROUNDS; i++) {
        mix(s->lanes);
    }
    for (size_t i = 0; i < sizeof out->bytes; i++) {
        out->bytes[i] = (uint8_t)(s->lanes[i / 8] >> (8 * (i % 8)));
    }
}

struct digest hash_of(struct slice bytes)
{
    struct hash h;
    struct digest out;
    hash_init(&h);
    hash_add(&h, bytes);
    hash_end(&h, &out);
    return out;
}
