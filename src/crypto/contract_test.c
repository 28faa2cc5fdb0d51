/* What crypto/hash.h and crypto/key.h promise whatever library is behind them: run over the real
 * one and over the stub. */
#include "crypto/hash.h"
#include "crypto/key.h"
#include "test/test.h"

#include <string.h>

static const enum key_kind kinds[] = {KEY_P256, KEY_ED25519};

TEST("a hash does not depend on how its message was cut, and tells every length apart")
{
    uint8_t message[200] = {0};
    struct digest seen[sizeof message + 1];
    for (size_t len = 0; len <= sizeof message; len++) {
        seen[len] = hash_of(slice_of(message, len));
        for (size_t i = 0; i < len; i++) {
            CHECK(memcmp(&seen[i], &seen[len], sizeof seen[0]) != 0);
        }
        for (size_t cut = 0; cut <= len; cut += 7) {
            struct hash h;
            struct digest parts;
            hash_init(&h);
            hash_add(&h, slice_of(message, cut));
            hash_add(&h, slice_of(message + cut, len - cut));
            hash_end(&h, &parts);
            CHECK(memcmp(&parts, &seen[len], sizeof parts) == 0);
        }
    }
}

TEST("a bit changed anywhere gives another hash and another MAC")
{
    uint8_t message[100] = {0};
    struct mac_key key;
    uint8_t tag[MAC_LEN];
    mac_key_init(&key, slice_text("secret"));
    struct slice whole = slice_of(message, sizeof message);
    mac_of(&key, &whole, 1, tag);
    CHECK(mac_is(&key, &whole, 1, slice_of(tag, sizeof tag)));
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        struct digest before = hash_of(whole);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct digest after = hash_of(whole);
        CHECK(memcmp(&before, &after, sizeof before) != 0);
        CHECK(!mac_is(&key, &whole, 1, slice_of(tag, sizeof tag)));
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

TEST("a signature is refused after any change of it, of the message or of the key")
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct key_private *key = NULL;
        struct key_private *other = NULL;
        uint8_t signature[SIGNATURE_LEN];
        struct slice message = slice_text("a message");
        struct slice altered = slice_text("a massage");
        REQUIRE(key_make(kinds[i], &key) == KEY_OK && key_make(kinds[i], &other) == KEY_OK);
        struct key_public own = key_public_of(key);
        struct key_public wrong = key_public_of(other);
        struct slice given = slice_of(signature, sizeof signature);
        REQUIRE(key_sign(key, &message, 1, signature) == KEY_OK);
        CHECK(key_verify_once(&own, &message, 1, given) == KEY_OK);
        CHECK(key_verify_once(&own, &altered, 1, given) == KEY_REFUSED);
        CHECK(key_verify_once(&wrong, &message, 1, given) == KEY_REFUSED);
        for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
            signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(key_verify_once(&own, &message, 1, given) != KEY_OK);
            signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        key_free(key);
        key_free(other);
    }
}

TEST("a key goes through PEM and comes back as itself, and a changed letter is no key")
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct key_private *key = NULL;
        struct key_private *read = NULL;
        uint8_t pem[512];
        struct writer w = writer_over(pem, sizeof pem);
        REQUIRE(key_make(kinds[i], &key) == KEY_OK && key_to_pem(key, &w) == KEY_OK);
        REQUIRE(key_from_pem(writer_slice(&w), &read) == KEY_OK);
        struct key_public a = key_public_of(key);
        struct key_public b = key_public_of(read);
        CHECK(a.kind == kinds[i] && a.kind == b.kind && a.len == b.len
              && memcmp(a.bytes, b.bytes, a.len) == 0);
        key_free(read);
        read = NULL;
        size_t len = w.len; /* a key and its certificate share a file */
        write_text(&w, "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
        REQUIRE(key_from_pem(writer_slice(&w), &read) == KEY_OK);
        key_free(read);
        read = NULL;
        w.len = len;
        pem[30] = '!';
        CHECK(key_from_pem(writer_slice(&w), &read) == KEY_MALFORMED && read == NULL);
        CHECK(key_from_pem(slice_of(pem, w.len / 2), &read) == KEY_MALFORMED && read == NULL);
        key_free(key);
    }
}

TEST("both ends of an agreement have the same secret, and a third has another")
{
    struct key_private *ends[3] = {NULL, NULL, NULL};
    struct key_public known[3];
    uint8_t shared[3][SHARED_LEN];
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        REQUIRE(key_make(KEY_P256, &ends[i]) == KEY_OK);
        struct key_public made = key_public_of(ends[i]);
        REQUIRE(key_public_from_bytes(KEY_P256, slice_of(made.bytes, made.len), &known[i])
                == KEY_OK);
    }
    CHECK(key_agree(ends[0], &known[1], shared[0]) == KEY_OK);
    CHECK(key_agree(ends[1], &known[0], shared[1]) == KEY_OK);
    CHECK(key_agree(ends[2], &known[1], shared[2]) == KEY_OK);
    CHECK(memcmp(shared[0], shared[1], SHARED_LEN) == 0);
    CHECK(memcmp(shared[0], shared[2], SHARED_LEN) != 0);
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        key_free(ends[i]);
    }
}

TEST("a public key of P-256 with a byte changed is none")
{
    struct key_private *key = NULL;
    struct key_public out;
    REQUIRE(key_make(KEY_P256, &key) == KEY_OK);
    struct key_public own = key_public_of(key);
    for (size_t i = 0; i < own.len; i++) {
        own.bytes[i] ^= 1;
        CHECK(key_public_from_bytes(KEY_P256, slice_of(own.bytes, own.len), &out) != KEY_OK);
        own.bytes[i] ^= 1;
    }
    CHECK(key_public_from_bytes(KEY_P256, slice_of(own.bytes, own.len), &out) == KEY_OK);
    key_free(key);
}
