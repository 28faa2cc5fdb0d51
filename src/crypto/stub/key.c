/*
 * Keys of the stub cipher: Diffie-Hellman and Schnorr signatures modulo 2^61 - 1. A public key is
 * y = 37^x, written into as many bytes as a real one takes; the bytes that y does not need follow
 * from it, so that whoever changes one has no key any more. A signature is (e, s), filled up the
 * same way.
 */
#include "crypto/key.h"

#include "base/invariant.h"
#include "base/rng.h"
#include "crypto/hash.h"
#include "crypto/stub/seed.h"

#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

enum {
    GENERATOR = 37,
    HALF_LEN = SIGNATURE_LEN / 2,
    POINT_TAG = 4,
    DIGITS = 16,
    KEY_TEXT_LEN = 4 + 16 + 16
};

#define PRIME UINT64_C(0x1fffffffffffffff) /* 2^61 - 1; 37 generates all of its group */
#define ORDER (PRIME - 1)

struct key_private {
    enum key_kind kind;
    uint64_t x, y;
};

struct key_verifier {
    struct key_public key;
    uint64_t y;
};

static struct rng chance = {.state = 1};

void crypto_seed(uint64_t seed)
{
    chance = rng_from_seed(seed ^ UINT64_C(0x6b657973));
}

/* ---- the group ---- */

static uint64_t times(uint64_t a, uint64_t b)
{
    wide product = (wide)a * b;
    uint64_t sum = ((uint64_t)product & PRIME) + (uint64_t)(product >> 61);
    return sum >= PRIME ? sum - PRIME : sum;
}

static uint64_t power(uint64_t base, uint64_t exponent)
{
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) != 0) {
            result = times(result, base);
        }
        base = times(base, base);
    }
    return result;
}

/* 37 to each power of one digit, for each place of sixteen: what nearly half of all powers are of.
 */
static uint64_t generator_power(uint64_t exponent)
{
    static uint64_t table[DIGITS][16];
    if (table[0][0] == 0) {
        uint64_t base = GENERATOR;
        for (size_t place = 0; place < DIGITS; place++) {
            table[place][0] = 1;
            for (size_t digit = 1; digit < 16; digit++) {
                table[place][digit] = times(table[place][digit - 1], base);
            }
            base = times(table[place][15], base);
        }
    }
    uint64_t result = 1;
    for (size_t place = 0; exponent > 0; place++, exponent >>= 4) {
        result = times(result, table[place][exponent & 15]);
    }
    return result;
}

/* ---- words in more bytes than they need ---- */

static uint8_t filling(uint64_t word, size_t index)
{
    uint64_t mixed = (word + index) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint8_t)((mixed ^ mixed >> 29) >> 24);
}

/* The word is the last eight bytes, the first may have any value: what is signed stays positive in
 * DER either way. */
static void put_word(uint8_t *to, size_t len, uint64_t word)
{
    for (size_t i = 0; i < len - 8; i++) {
        to[i] = filling(word, i);
    }
    for (size_t i = 0; i < 8; i++) {
        to[len - 8 + i] = (uint8_t)(word >> (56 - 8 * i));
    }
}

static bool get_word(const uint8_t *at, size_t len, uint64_t *word)
{
    uint64_t read = 0;
    bool whole = true;
    for (size_t i = 0; i < 8; i++) {
        read = read << 8 | at[len - 8 + i];
    }
    for (size_t i = 0; i < len - 8; i++) {
        whole = whole && at[i] == filling(read, i);
    }
    *word = read;
    return whole;
}

/* ---- private keys ---- */

static enum key_result make(enum key_kind kind, uint64_t x, struct key_private **out)
{
    struct key_private *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return KEY_FAILED;
    }
    *made = (struct key_private){.kind = kind, .x = x, .y = generator_power(x)};
    *out = made;
    return KEY_OK;
}

enum key_result key_make(enum key_kind kind, struct key_private **out)
{
    return make(kind, 1 + rng_below(&chance, ORDER - 1), out);
}

void key_free(struct key_private *key)
{
    free(key);
}

struct key_public key_public_of(const struct key_private *key)
{
    struct key_public out = {.kind = key->kind};
    switch (key->kind) {
    case KEY_P256:
        out.len = P256_POINT_LEN;
        out.bytes[0] = POINT_TAG;
        put_word(out.bytes + 1, P256_POINT_LEN - 1, key->y);
        break;
    case KEY_ED25519:
        out.len = ED25519_PUBLIC_LEN;
        put_word(out.bytes, ED25519_PUBLIC_LEN, key->y);
        break;
    }
    return out;
}

/* ---- PEM: the kind, x and a check of it in hexadecimal digits ---- */

static const char pem_begin[] = "-----BEGIN PRIVATE KEY-----\n";
static const char pem_end[] = "\n-----END PRIVATE KEY-----\n";

static void write_word(struct writer *w, uint64_t word)
{
    for (int shift = 60; shift >= 0; shift -= 4) {
        write_u8(w, (uint8_t) "0123456789abcdef"[word >> shift & 15]);
    }
}

static bool read_hex(const uint8_t *at, uint64_t *out)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 16; i++) {
        bool is_digit = at[i] >= '0' && at[i] <= '9';
        if (!is_digit && (at[i] < 'a' || at[i] > 'f')) {
            return false;
        }
        word = word << 4 | (uint64_t)(is_digit ? at[i] - '0' : at[i] - 'a' + 10);
    }
    *out = word;
    return true;
}

static uint64_t check_of(uint64_t x)
{
    return power(x, UINT64_C(0x10001)) ^ UINT64_C(0x73747562);
}

enum key_result key_to_pem(const struct key_private *key, struct writer *w)
{
    write_text(w, pem_begin);
    write_text(w, key->kind == KEY_P256 ? "p256" : "e255"); /* as a whole: base64 */
    write_word(w, key->x);
    write_word(w, check_of(key->x));
    write_text(w, pem_end);
    return writer_ok(w) ? KEY_OK : KEY_FAILED;
}

enum key_result key_from_pem(struct slice pem, struct key_private **out)
{
    const size_t begin = sizeof pem_begin - 1;
    const size_t end = sizeof pem_end - 1;
    uint64_t x = 0;
    uint64_t check = 0;
    if (pem.len < begin + KEY_TEXT_LEN + end || memcmp(pem.at, pem_begin, begin) != 0
        || memcmp(pem.at + begin + KEY_TEXT_LEN, pem_end, end) != 0) {
        return KEY_MALFORMED;
    }
    const uint8_t *text = pem.at + begin;
    if ((memcmp(text, "p256", 4) != 0 && memcmp(text, "e255", 4) != 0) || !read_hex(text + 4, &x)
        || !read_hex(text + 20, &check) || x == 0 || x >= ORDER || check != check_of(x)) {
        return KEY_MALFORMED;
    }
    return make(text[0] == 'p' ? KEY_P256 : KEY_ED25519, x, out);
}

/* ---- public keys ---- */

static bool element_of(const struct key_public *key, uint64_t *y)
{
    size_t tag = key->kind == KEY_P256 ? 1 : 0;
    size_t len = key->kind == KEY_P256 ? P256_POINT_LEN : ED25519_PUBLIC_LEN;
    return key->len == len && (tag == 0 || key->bytes[0] == POINT_TAG)
           && get_word(key->bytes + tag, len - tag, y) && *y > 1 && *y < PRIME;
}

enum key_result key_public_from_bytes(enum key_kind kind,
                                      struct slice bytes,
                                      struct key_public *out)
{
    struct key_public key = {.kind = kind, .len = (uint8_t)bytes.len};
    uint64_t y;
    if (bytes.len == 0 || bytes.len > sizeof key.bytes) {
        return KEY_MALFORMED;
    }
    memcpy(key.bytes, bytes.at, bytes.len);
    /* As with the real library, any 32 bytes may be an Ed25519 key until something is verified. */
    if (kind == KEY_ED25519 ? bytes.len != ED25519_PUBLIC_LEN : !element_of(&key, &y)) {
        return KEY_MALFORMED;
    }
    *out = key;
    return KEY_OK;
}

enum key_result key_verifier_make(const struct key_public *key, struct key_verifier **out)
{
    uint64_t y = 0;
    if (!element_of(key, &y)) {
        return KEY_MALFORMED;
    }
    struct key_verifier *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return KEY_FAILED;
    }
    *made = (struct key_verifier){.key = *key, .y = y};
    *out = made;
    return KEY_OK;
}

void key_verifier_free(struct key_verifier *verifier)
{
    free(verifier);
}

/* ---- signatures ---- */

static struct digest digest_of(const struct slice *parts, size_t count)
{
    struct hash h;
    struct digest out;
    hash_init(&h);
    for (size_t i = 0; i < count; i++) {
        hash_add(&h, parts[i]);
    }
    hash_end(&h, &out);
    return out;
}

/* A number below ORDER from a word and what is signed. */
static uint64_t challenge(uint64_t word, uint64_t y, const struct digest *message)
{
    uint8_t words[16];
    struct digest digest;
    struct hash h;
    put_word(words, 8, word);
    put_word(words + 8, 8, y);
    hash_init(&h);
    hash_add(&h, slice_of(words, sizeof words));
    hash_add(&h, slice_of(message->bytes, sizeof message->bytes));
    hash_end(&h, &digest);
    uint64_t number = 0;
    for (size_t i = 0; i < 8; i++) {
        number = number << 8 | digest.bytes[i];
    }
    return 1 + number % (ORDER - 1);
}

enum key_result key_sign(const struct key_private *key,
                         const struct slice *parts,
                         size_t count,
                         uint8_t signature[SIGNATURE_LEN])
{
    struct digest message = digest_of(parts, count);
    uint64_t k = challenge(key->x, key->y, &message); /* a nonce as RFC 6979 makes them */
    uint64_t e = challenge(generator_power(k), key->y, &message);
    uint64_t s = (uint64_t)(((wide)key->x * e + k) % ORDER);
    put_word(signature, HALF_LEN, e);
    put_word(signature + HALF_LEN, HALF_LEN, s);
    return KEY_OK;
}

enum key_result key_verify(const struct key_verifier *verifier,
                           const struct slice *parts,
                           size_t count,
                           struct slice signature)
{
    uint64_t e = 0;
    uint64_t s = 0;
    if (signature.len != SIGNATURE_LEN) {
        return KEY_MALFORMED;
    }
    if (!get_word(signature.at, HALF_LEN, &e) || !get_word(signature.at + HALF_LEN, HALF_LEN, &s)
        || e == 0 || e >= ORDER || s >= ORDER) {
        return KEY_REFUSED;
    }
    struct digest message = digest_of(parts, count);
    uint64_t r = times(generator_power(s), power(verifier->y, ORDER - e));
    return challenge(r, verifier->y, &message) == e ? KEY_OK : KEY_REFUSED;
}

/* ---- key agreement ---- */

enum key_result key_agree(const struct key_private *own,
                          const struct key_public *peer,
                          uint8_t shared[SHARED_LEN])
{
    uint64_t y = 0;
    if (own->kind != KEY_P256 || peer->kind != KEY_P256 || !element_of(peer, &y)) {
        return KEY_MALFORMED;
    }
    put_word(shared, SHARED_LEN, power(y, own->x));
    return KEY_OK;
}
