#include "base/id.h"
#include "crypto/hash.h"
#include "test/test.h"

#include <string.h>

enum { BYTES_MAX = 160 };

struct bytes {
    uint8_t at[BYTES_MAX];
    size_t len;
};

static struct bytes unhex(const char *text)
{
    struct bytes out = {.len = strlen(text) / 2};
    bool ok = out.len <= sizeof out.at && bytes_from_hex(slice_text(text), out.at, out.len);
    CHECK(ok);
    return out;
}

static struct slice of(const struct bytes *b)
{
    return slice_of(b->at, b->len);
}

static bool is_hex(const uint8_t *at, const char *hex)
{
    struct bytes want = unhex(hex);
    return slice_equal(slice_of(at, want.len), of(&want));
}

TEST("SHA-256 of the FIPS 180-4 examples is what the standard says")
{
    struct digest empty = hash_of((struct slice){0});
    CHECK(is_hex(empty.bytes, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    struct digest abc = hash_of(slice_text("abc"));
    CHECK(is_hex(abc.bytes, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    struct digest two =
        hash_of(slice_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"));
    CHECK(is_hex(two.bytes, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
}

TEST("a copied hash state goes on where the original was")
{
    struct hash first;
    hash_init(&first);
    hash_add(&first, slice_text("ab"));
    struct hash second = first;
    hash_add(&first, slice_text("c"));
    hash_add(&second, slice_text("x"));
    struct digest abc;
    struct digest abx;
    hash_end(&first, &abc);
    hash_end(&second, &abx);
    struct digest want = hash_of(slice_text("abc"));
    CHECK(memcmp(abc.bytes, want.bytes, sizeof want.bytes) == 0);
    want = hash_of(slice_text("abx"));
    CHECK(memcmp(abx.bytes, want.bytes, sizeof want.bytes) == 0);
}

/* RFC 4231 4.2 to 4.8 */
static const struct {
    const char *key, *data, *mac;
} hmac_rows[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddddddddddddddddddddddddddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
    {"0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c", "546573742057697468205472756e636174696f6e",
     "a3b6167473100ee06e0c796c2955552b"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6"
     "579204669"
     "727374",
     "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
};

TEST("HMAC-SHA-256 gives the MACs of RFC 4231, in one part or in many")
{
    for (size_t i = 0; i < COUNT_OF(hmac_rows); i++) {
        struct bytes secret = unhex(hmac_rows[i].key);
        struct bytes data = unhex(hmac_rows[i].data);
        struct mac_key key;
        uint8_t mac[MAC_LEN];
        mac_key_init(&key, of(&secret));
        struct slice whole = of(&data);
        mac_of(&key, &whole, 1, mac);
        CHECK(is_hex(mac, hmac_rows[i].mac));
        struct slice parts[] = {slice_of(data.at, 3), {0}, slice_after(whole, 3)};
        memset(mac, 0, sizeof mac);
        mac_of(&key, parts, COUNT_OF(parts), mac);
        CHECK(is_hex(mac, hmac_rows[i].mac));
    }
}

TEST("a MAC is refused when a bit of it or of the message differs, or its length")
{
    struct mac_key key;
    uint8_t mac[MAC_LEN];
    mac_key_init(&key, slice_text("a key"));
    struct slice message = slice_text("a message");
    mac_of(&key, &message, 1, mac);
    CHECK(mac_is(&key, &message, 1, slice_of(mac, sizeof mac)));
    CHECK(!mac_is(&key, &message, 1, slice_of(mac, sizeof mac - 1)));
    CHECK(!mac_is(&key, &message, 1, (struct slice){0}));
    struct slice other = slice_text("a messagf");
    CHECK(!mac_is(&key, &other, 1, slice_of(mac, sizeof mac)));
    for (size_t bit = 0; bit < 8 * sizeof mac; bit++) {
        mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!mac_is(&key, &message, 1, slice_of(mac, sizeof mac)));
        mac[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* RFC 5869 A.1 to A.3 */
static const struct {
    const char *ikm, *salt, *info, *okm;
} hkdf_rows[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
     "f0f1f2f3f4f5f6f7f8f9",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2"
     "e2f"
     "303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
     "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8"
     "e8f"
     "909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcddd"
     "edf"
     "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590"
     "e09"
     "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

TEST("HKDF gives the output keying material of RFC 5869")
{
    for (size_t i = 0; i < COUNT_OF(hkdf_rows); i++) {
        struct bytes ikm = unhex(hkdf_rows[i].ikm);
        struct bytes salt = unhex(hkdf_rows[i].salt);
        struct bytes info = unhex(hkdf_rows[i].info);
        struct bytes want = unhex(hkdf_rows[i].okm);
        uint8_t okm[BYTES_MAX];
        hkdf(of(&ikm), of(&salt), of(&info), okm, want.len);
        CHECK(slice_equal(slice_of(okm, want.len), of(&want)));
    }
}
