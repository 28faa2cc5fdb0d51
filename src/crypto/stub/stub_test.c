#include "crypto/key.h"
#include "crypto/stub/seed.h"
#include "test/test.h"

#include <string.h>

static struct key_public next_key(void)
{
    struct key_private *key = NULL;
    struct key_public out = {0};
    CHECK(key_make(KEY_P256, &key) == KEY_OK);
    out = key_public_of(key);
    key_free(key);
    return out;
}

static bool is_same(const struct key_public *a, const struct key_public *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

TEST("the same seed gives the same keys in the same order, another seed others")
{
    crypto_seed(7);
    struct key_public first = next_key();
    struct key_public second = next_key();
    crypto_seed(7);
    struct key_public again = next_key();
    struct key_public second_again = next_key();
    crypto_seed(8);
    struct key_public other = next_key();
    CHECK(is_same(&first, &again) && is_same(&second, &second_again));
    CHECK(!is_same(&first, &second) && !is_same(&first, &other));
}

TEST("a key signs the same message with the same bytes")
{
    struct key_private *key = NULL;
    uint8_t a[SIGNATURE_LEN];
    uint8_t b[SIGNATURE_LEN];
    struct slice message = slice_text("once more");
    REQUIRE(key_make(KEY_ED25519, &key) == KEY_OK);
    CHECK(key_sign(key, &message, 1, a) == KEY_OK && key_sign(key, &message, 1, b) == KEY_OK);
    CHECK(memcmp(a, b, sizeof a) == 0);
    key_free(key);
}
