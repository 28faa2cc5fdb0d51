#include "base/id.h"
#include "crypto/key.h"
#include "test/test.h"

#include <string.h>

static struct key_public public_from_hex(enum key_kind kind, const char *hex)
{
    uint8_t bytes[P256_POINT_LEN];
    size_t len = strlen(hex) / 2;
    struct key_public out = {0};
    bool ok = len <= sizeof bytes && bytes_from_hex(slice_text(hex), bytes, len)
              && key_public_from_bytes(kind, slice_of(bytes, len), &out) == KEY_OK;
    CHECK(ok);
    return out;
}

/* RFC 6979 A.2.5, SHA-256: a verifier's vectors too, since ECDSA verifies whatever nonce was used.
 */
#define RFC6979_PUBLIC                                                                             \
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"                           \
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
static const struct {
    const char *message, *signature;
} ecdsa_rows[] = {
    {"sample", "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
               "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    {"test", "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
             "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
};

TEST("P-256 signatures of RFC 6979 verify, and no altered one does")
{
    struct key_public key = public_from_hex(KEY_P256, RFC6979_PUBLIC);
    struct key_verifier *verifier;
    REQUIRE(key_verifier_make(&key, &verifier) == KEY_OK);
    for (size_t i = 0; i < COUNT_OF(ecdsa_rows); i++) {
        uint8_t signature[SIGNATURE_LEN];
        CHECK(bytes_from_hex(slice_text(ecdsa_rows[i].signature), signature, sizeof signature));
        struct slice message = slice_text(ecdsa_rows[i].message);
        struct slice given = slice_of(signature, sizeof signature);
        CHECK(key_verify(verifier, &message, 1, given) == KEY_OK);
        struct slice parts[] = {slice_of(message.at, 2), slice_after(message, 2)};
        CHECK(key_verify(verifier, parts, 2, given) == KEY_OK);
        CHECK(key_verify(verifier, parts, 1, given) == KEY_REFUSED);
        for (size_t at = 0; at < sizeof signature; at += 7) {
            signature[at] ^= 0x10;
            CHECK(key_verify(verifier, &message, 1, given) == KEY_REFUSED);
            signature[at] ^= 0x10;
        }
        CHECK(key_verify(verifier, &message, 1, slice_of(signature, 63)) == KEY_MALFORMED);
    }
    key_verifier_free(verifier);
}

TEST("a P-256 signature of zeroes, or with s beyond the order, is refused")
{
    struct key_public key = public_from_hex(KEY_P256, RFC6979_PUBLIC);
    struct slice message = slice_text("sample");
    uint8_t signature[SIGNATURE_LEN] = {0};
    struct slice given = slice_of(signature, sizeof signature);
    CHECK(key_verify_once(&key, &message, 1, given) == KEY_REFUSED);
    memset(signature, 0xff, sizeof signature);
    CHECK(key_verify_once(&key, &message, 1, given) == KEY_REFUSED);
}

/* RFC 8032 7.1, tests 1 to 3 */
static const struct {
    const char *public_key, *message, *signature;
} ed25519_rows[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
};

TEST("Ed25519 signatures of RFC 8032 verify, and not over another message")
{
    for (size_t i = 0; i < COUNT_OF(ed25519_rows); i++) {
        struct key_public key = public_from_hex(KEY_ED25519, ed25519_rows[i].public_key);
        uint8_t message[4];
        size_t len = strlen(ed25519_rows[i].message) / 2;
        uint8_t signature[SIGNATURE_LEN];
        CHECK(bytes_from_hex(slice_text(ed25519_rows[i].message), message, len));
        CHECK(bytes_from_hex(slice_text(ed25519_rows[i].signature), signature, sizeof signature));
        struct slice given = slice_of(signature, sizeof signature);
        struct slice parts[] = {slice_of(message, len), {0}};
        CHECK(key_verify_once(&key, parts, 1, given) == KEY_OK);
        CHECK(key_verify_once(&key, parts, 2, given) == KEY_OK);
        parts[1] = slice_text("x");
        CHECK(key_verify_once(&key, parts, 2, given) == KEY_REFUSED);
    }
}

TEST("a new key of either kind signs what its public key verifies, also after a trip through PEM")
{
    static const enum key_kind kinds[] = {KEY_P256, KEY_ED25519};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct key_private *made;
        struct key_private *read;
        uint8_t pem[512];
        uint8_t signature[SIGNATURE_LEN];
        REQUIRE(key_make(kinds[i], &made) == KEY_OK);
        struct writer w = writer_over(pem, sizeof pem);
        REQUIRE(key_to_pem(made, &w) == KEY_OK);
        CHECK(slice_has_prefix(writer_slice(&w), slice_text("-----BEGIN PRIVATE KEY-----\n")));
        REQUIRE(key_from_pem(writer_slice(&w), &read) == KEY_OK);
        struct key_public public_key = key_public_of(made);
        struct key_public same = key_public_of(read);
        CHECK(same.len == public_key.len
              && memcmp(same.bytes, public_key.bytes, public_key.len) == 0);
        struct slice parts[] = {slice_text("part one "), slice_text("and two")};
        CHECK(key_sign(read, parts, 2, signature) == KEY_OK);
        struct slice whole = slice_text("part one and two");
        struct slice given = slice_of(signature, sizeof signature);
        CHECK(key_verify_once(&public_key, &whole, 1, given) == KEY_OK);
        struct writer small = writer_over(pem, 20);
        CHECK(key_to_pem(made, &small) == KEY_FAILED);
        key_free(made);
        key_free(read);
    }
}

/* NIST CAVP, SP 800-56A ECC CDH primitive, P-256, count 0; the private key as SEC 1. */
static const char cavp_private[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIH19xfcesp3a+A1iFGMu6uA9kFivH7bSLtgLrbYrwaU0oAoGCCqGSM49\n"
    "AwEHoUQDQgAE6tIYWQEZ6IdrKRRv+JymF3DE7bv5fTjOOF7SgdimsjAor2EoH9Ne\n"
    "L6cAJSOsyFpCnLBu5mSDJTifWe384UBRQQ==\n"
    "-----END EC PRIVATE KEY-----\n";

TEST("ECDH on P-256 gives the shared secret of the CAVP vector")
{
    struct key_private *own;
    REQUIRE(key_from_pem(slice_text(cavp_private), &own) == KEY_OK);
    struct key_public peer = public_from_hex(
        KEY_P256, "04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
                  "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac");
    uint8_t shared[SHARED_LEN];
    uint8_t want[SHARED_LEN];
    CHECK(key_agree(own, &peer, shared) == KEY_OK);
    CHECK(bytes_from_hex(
        slice_text("46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b"), want,
        sizeof want));
    CHECK(memcmp(shared, want, sizeof want) == 0);
    key_free(own);
}

TEST("ECDH with an Ed25519 key is refused")
{
    struct key_private *ed;
    REQUIRE(key_make(KEY_ED25519, &ed) == KEY_OK);
    struct key_public peer = public_from_hex(KEY_P256, RFC6979_PUBLIC);
    uint8_t shared[SHARED_LEN];
    CHECK(key_agree(ed, &peer, shared) == KEY_MALFORMED);
    key_free(ed);
}

TEST("a point off the curve, the point at infinity and a compressed point are not public keys")
{
    struct key_public out;
    uint8_t point[P256_POINT_LEN];
    REQUIRE(bytes_from_hex(slice_text(RFC6979_PUBLIC), point, sizeof point));
    point[64] ^= 1;
    CHECK(key_public_from_bytes(KEY_P256, slice_of(point, sizeof point), &out) == KEY_MALFORMED);
    point[64] ^= 1;
    CHECK(key_public_from_bytes(KEY_P256, slice_of(point, 64), &out) == KEY_MALFORMED);
    CHECK(key_public_from_bytes(KEY_P256, (struct slice){0}, &out) == KEY_MALFORMED);
    point[0] = 3;
    CHECK(key_public_from_bytes(KEY_P256, slice_of(point, 33), &out) == KEY_MALFORMED);
    point[0] = 6; /* the hybrid form */
    CHECK(key_public_from_bytes(KEY_P256, slice_of(point, sizeof point), &out) == KEY_MALFORMED);
    uint8_t infinity[1] = {0};
    CHECK(key_public_from_bytes(KEY_P256, slice_of(infinity, 1), &out) == KEY_MALFORMED);
    CHECK(key_public_from_bytes(KEY_ED25519, slice_of(point, 31), &out) == KEY_MALFORMED);
}

TEST("what is not a P-256 or Ed25519 key in PEM is refused")
{
    /* secp384r1, made for this test */
    static const char p384[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBWzbZexnuu6jnR+kpU\n"
                               "Jfs+O9IhhTY91cfkvagu2GFPcPW/5gfk6chrDf2M4XU1IJ2hZANiAAQGLFhIeeTh\n"
                               "4Y6nDIAjNtOIkNhRKHs4xQh1LPdUjgrnxRdhHTMEJtaFl6p9qcI8IZeirL1/O0qf\n"
                               "ROc4ZUpM8+PG3Mp+tth9GXtVJevvGu1r5Fp2Zp8J3mHl0e+1ov/3lfI=\n"
                               "-----END PRIVATE KEY-----\n";
    static const char *const rows[] = {"", "no key", "-----BEGIN PRIVATE KEY-----\n", p384};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct key_private *out = NULL;
        CHECK(key_from_pem(slice_text(rows[i]), &out) == KEY_MALFORMED);
        CHECK(out == NULL);
    }
}

TEST("signatures go to DER and back, and DER that is not minimal is refused")
{
    static const struct {
        const char *raw, *der;
    } rows[] = {
        {"efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
         "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
         "3045022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
         "0220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"},
        {"0000000000000000000000000000000000000000000000000000000000000001"
         "0000000000000000000000000000000000000000000000000000000000000080",
         "300702010102020080"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t raw[SIGNATURE_LEN];
        uint8_t back[SIGNATURE_LEN];
        uint8_t want[SIGNATURE_DER_MAX];
        uint8_t der[SIGNATURE_DER_MAX];
        size_t len = strlen(rows[i].der) / 2;
        CHECK(bytes_from_hex(slice_text(rows[i].raw), raw, sizeof raw));
        CHECK(bytes_from_hex(slice_text(rows[i].der), want, len));
        struct writer w = writer_over(der, sizeof der);
        CHECK(key_signature_to_der(raw, &w) == KEY_OK);
        CHECK(slice_equal(writer_slice(&w), slice_of(want, len)));
        CHECK(key_signature_from_der(writer_slice(&w), back) == KEY_OK);
        CHECK(memcmp(raw, back, sizeof raw) == 0);
    }
    static const char *const bad[] = {
        "",
        "3006020101020101ff", /* a byte too many */
        "3007020101020101",   /* a byte too few */
        "30060201810201"
        "01", /* negative r */
        "3007020200010201"
        "01",             /* r with a needless zero */
        "30050200020101", /* empty r */
        "3026022200"
        "8000000000000000000000000000000000000000000000000000000000000000"
        "00"
        "0201"
        "01",               /* r of 33 bytes */
        "3106020101020101", /* not a SEQUENCE */
        "300804"
        "0101020101", /* not an INTEGER */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint8_t der[SIGNATURE_DER_MAX];
        uint8_t raw[SIGNATURE_LEN];
        size_t len = strlen(bad[i]) / 2;
        CHECK(bytes_from_hex(slice_text(bad[i]), der, len));
        CHECK(key_signature_from_der(slice_of(der, len), raw) == KEY_MALFORMED);
    }
}
