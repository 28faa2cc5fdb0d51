#include "crypto/key.h"

#include "base/invariant.h"
#include "crypto/hash.h"

/* EC_KEY and its ECDSA and ECDH calls are marked deprecated in OpenSSL 3.0. They work on r and s
 * and on points without DER, without a fetch, and without validating again a point that was
 * checked: twice the rate of EVP_PKEY_derive, and no allocation of a context for each signature. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <string.h>

enum { HALF_LEN = 32, PARTS_MAX = 8, PEM_MAX = 65536 };

/*
 * A handle is OpenSSL's own EVP_PKEY under our name: it says of which kind it is, and nothing of
 * ours has to be allocated beside it. `struct key_private` and `struct key_verifier` are never
 * defined.
 */
static EVP_PKEY *pkey_of(const struct key_private *key)
{
    union {
        const struct key_private *ours;
        EVP_PKEY *theirs;
    } handle = {.ours = key};
    return handle.theirs;
}

static EVP_PKEY *pkey_of_verifier(const struct key_verifier *verifier)
{
    union {
        const struct key_verifier *ours;
        EVP_PKEY *theirs;
    } handle = {.ours = verifier};
    return handle.theirs;
}

static struct key_private *private_of(EVP_PKEY *pkey)
{
    void *at = pkey;
    return at;
}

/* The EC_KEY inside; NULL for Ed25519. */
static EC_KEY *ec_of(EVP_PKEY *pkey)
{
    if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_EC) {
        return NULL;
    }
    union {
        const EC_KEY *given;
        EC_KEY *used; /* ECDSA_do_sign takes it so, and changes nothing */
    } key = {.given = EVP_PKEY_get0_EC_KEY(pkey)};
    return key.used;
}

/* The curve, decoded once for the process: looking it up costs more than a signature. */
static CRYPTO_ONCE curve_once = CRYPTO_ONCE_STATIC_INIT;
static EC_GROUP *curve_group;

static void curve_make(void)
{
    curve_group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
}

static const EC_GROUP *curve(void)
{
    int ok = CRYPTO_THREAD_run_once(&curve_once, curve_make);
    INVARIANT(ok == 1);
    INVARIANT(curve_group != NULL);
    return curve_group;
}

/* OpenSSL's error queue belongs to the thread and TLS reads it: what we have dealt with must not
 * stay there. */
static enum key_result ended(enum key_result result)
{
    if (result != KEY_OK) {
        ERR_clear_error();
    }
    return result;
}

static EC_KEY *new_ec_key(void)
{
    EC_KEY *key = EC_KEY_new();
    if (key != NULL && EC_KEY_set_group(key, curve()) != 1) {
        EC_KEY_free(key);
        key = NULL;
    }
    return key;
}

/* ---- private keys ---- */

/* Takes the EC_KEY over, whatever happens; NULL where the machine fails. */
static EVP_PKEY *wrap_ec(EC_KEY *ec)
{
    EVP_PKEY *pkey = EVP_PKEY_new();
    if (pkey == NULL || EVP_PKEY_assign_EC_KEY(pkey, ec) != 1) {
        EVP_PKEY_free(pkey);
        EC_KEY_free(ec);
        return NULL;
    }
    return pkey;
}

enum key_result key_make(enum key_kind kind, struct key_private **out)
{
    EVP_PKEY *pkey = NULL;
    switch (kind) {
    case KEY_P256: {
        EC_KEY *ec = new_ec_key();
        if (ec == NULL || EC_KEY_generate_key(ec) != 1) {
            EC_KEY_free(ec);
            return ended(KEY_FAILED);
        }
        pkey = wrap_ec(ec);
        break;
    }
    case KEY_ED25519: pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); break;
    }
    if (pkey == NULL) {
        return ended(KEY_FAILED);
    }
    *out = private_of(pkey);
    return KEY_OK;
}

/* Without this OpenSSL would ask at the terminal for the passphrase of an encrypted key. */
static int no_passphrase(char *to, int cap, int writing, void *user)
{
    (void)to;
    (void)cap;
    (void)writing;
    (void)user;
    return -1;
}

/* The same P-256 key on our own decoded curve; KEY_MALFORMED where it is none or not a sound one.
 */
static enum key_result adopt_ec(EVP_PKEY *pkey, struct key_private **out)
{
    EC_KEY *given = EVP_PKEY_get1_EC_KEY(pkey);
    EC_KEY *ec = NULL;
    enum key_result result = KEY_MALFORMED;
    if (given == NULL || EC_KEY_get0_private_key(given) == NULL
        || EC_GROUP_get_curve_name(EC_KEY_get0_group(given)) != NID_X9_62_prime256v1
        || EC_KEY_check_key(given) != 1) {
        goto out;
    }
    result = KEY_FAILED;
    ec = new_ec_key();
    if (ec == NULL || EC_KEY_set_private_key(ec, EC_KEY_get0_private_key(given)) != 1
        || EC_KEY_set_public_key(ec, EC_KEY_get0_public_key(given)) != 1) {
        goto out;
    }
    EVP_PKEY *made = wrap_ec(ec);
    ec = NULL;
    if (made != NULL) {
        *out = private_of(made);
        result = KEY_OK;
    }
out:
    EC_KEY_free(given);
    EC_KEY_free(ec);
    return result;
}

static enum key_result adopt(EVP_PKEY *pkey, struct key_private **out)
{
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_EC: return adopt_ec(pkey, out);
    case EVP_PKEY_ED25519:
        if (EVP_PKEY_up_ref(pkey) != 1) {
            return KEY_FAILED;
        }
        *out = private_of(pkey);
        return KEY_OK;
    default: return KEY_MALFORMED;
    }
}

enum key_result key_from_pem(struct slice pem, struct key_private **out)
{
    if (pem.len == 0 || pem.len > PEM_MAX) {
        return KEY_MALFORMED;
    }
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
    if (bio == NULL) {
        return ended(KEY_FAILED);
    }
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    enum key_result result = ended(pkey == NULL ? KEY_MALFORMED : adopt(pkey, out));
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return result;
}

enum key_result key_to_pem(const struct key_private *key, struct writer *w)
{
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    enum key_result result = KEY_FAILED;
    if (bio != NULL
        && PEM_write_bio_PKCS8PrivateKey(bio, pkey_of(key), NULL, NULL, 0, NULL, NULL) == 1) {
        char *text = NULL;
        long len = BIO_get_mem_data(bio, &text);
        if (len > 0) {
            write_bytes(w, text, (size_t)len);
            result = writer_ok(w) ? KEY_OK : KEY_FAILED;
        }
    }
    BIO_free(bio);
    return ended(result);
}

void key_free(struct key_private *key)
{
    EVP_PKEY_free(pkey_of(key));
}

struct key_public key_public_of(const struct key_private *key)
{
    EVP_PKEY *pkey = pkey_of(key);
    EC_KEY *ec = ec_of(pkey);
    struct key_public out = {.kind = ec != NULL ? KEY_P256 : KEY_ED25519};
    size_t len = sizeof out.bytes;
    if (ec != NULL) {
        len = EC_POINT_point2oct(curve(), EC_KEY_get0_public_key(ec), POINT_CONVERSION_UNCOMPRESSED,
                                 out.bytes, len, NULL);
        INVARIANT(len == P256_POINT_LEN);
    } else {
        int ok = EVP_PKEY_get_raw_public_key(pkey, out.bytes, &len);
        INVARIANT(ok == 1);
        INVARIANT(len == ED25519_PUBLIC_LEN);
    }
    out.len = (uint8_t)len;
    return out;
}

/* ---- public keys ---- */

/* A point of the curve that is not its zero. The curve's cofactor is 1, so that this is the full
 * validation of SP 800-56A 5.6.2.3.3: every such point has the right order. NULL otherwise. */
static EC_POINT *point_from(struct slice bytes)
{
    if (bytes.len != P256_POINT_LEN || bytes.at[0] != POINT_CONVERSION_UNCOMPRESSED) {
        return NULL;
    }
    EC_POINT *point = EC_POINT_new(curve());
    if (point != NULL
        && (EC_POINT_oct2point(curve(), point, bytes.at, bytes.len, NULL) != 1
            || EC_POINT_is_at_infinity(curve(), point) != 0)) {
        EC_POINT_free(point);
        point = NULL;
    }
    return point;
}

enum key_result key_public_from_bytes(enum key_kind kind,
                                      struct slice bytes,
                                      struct key_public *out)
{
    struct key_public key = {.kind = kind, .len = (uint8_t)bytes.len};
    switch (kind) {
    case KEY_P256: {
        EC_POINT *point = point_from(bytes);
        if (point == NULL) {
            return ended(KEY_MALFORMED);
        }
        EC_POINT_free(point);
        break;
    }
    case KEY_ED25519:
        if (bytes.len != ED25519_PUBLIC_LEN) {
            return KEY_MALFORMED;
        }
        break;
    }
    memcpy(key.bytes, bytes.at, bytes.len);
    *out = key;
    return KEY_OK;
}

/* NULL where the bytes are no key; *failed where the machine is at fault. */
static EVP_PKEY *verifier_from(const struct key_public *key, bool *failed)
{
    *failed = false;
    if (key->kind == KEY_ED25519) {
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, key->len);
    }
    EC_POINT *point = point_from(slice_of(key->bytes, key->len));
    if (point == NULL) {
        return NULL;
    }
    EC_KEY *ec = new_ec_key();
    EVP_PKEY *pkey = NULL;
    if (ec != NULL && EC_KEY_set_public_key(ec, point) == 1) {
        pkey = wrap_ec(ec);
    } else {
        EC_KEY_free(ec);
    }
    EC_POINT_free(point);
    *failed = pkey == NULL;
    return pkey;
}

enum key_result key_verifier_make(const struct key_public *key, struct key_verifier **out)
{
    bool failed;
    void *made = verifier_from(key, &failed);
    if (made == NULL) {
        return ended(failed ? KEY_FAILED : KEY_MALFORMED);
    }
    *out = made;
    return KEY_OK;
}

void key_verifier_free(struct key_verifier *verifier)
{
    EVP_PKEY_free(pkey_of_verifier(verifier));
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

/* Ed25519 wants its message in one run: the parts themselves where there is one, else a copy held
 * by *holder. */
static bool join(const struct slice *parts, size_t count, BIO **holder, struct slice *out)
{
    *holder = NULL;
    if (count == 1) {
        *out = parts[0];
        return true;
    }
    INVARIANT(count <= PARTS_MAX);
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        size_t done = 0;
        ok = parts[i].len == 0
             || (BIO_write_ex(bio, parts[i].at, parts[i].len, &done) == 1 && done == parts[i].len);
    }
    char *text = NULL;
    long len = ok ? BIO_get_mem_data(bio, &text) : -1;
    if (len < 0) {
        BIO_free(bio);
        return false;
    }
    *holder = bio;
    *out = slice_of(text, (size_t)len);
    return true;
}

static enum key_result sign_p256(EC_KEY *key, const struct digest *digest, uint8_t *signature)
{
    ECDSA_SIG *made = ECDSA_do_sign(digest->bytes, sizeof digest->bytes, key);
    if (made == NULL) {
        return ended(KEY_FAILED);
    }
    bool ok = BN_bn2binpad(ECDSA_SIG_get0_r(made), signature, HALF_LEN) == HALF_LEN
              && BN_bn2binpad(ECDSA_SIG_get0_s(made), signature + HALF_LEN, HALF_LEN) == HALF_LEN;
    ECDSA_SIG_free(made);
    return ended(ok ? KEY_OK : KEY_FAILED);
}

static enum key_result sign_ed25519(EVP_PKEY *key, struct slice message, uint8_t *signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t len = SIGNATURE_LEN;
    bool ok = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1
              && EVP_DigestSign(context, signature, &len, message.at, message.len) == 1
              && len == SIGNATURE_LEN;
    EVP_MD_CTX_free(context);
    return ended(ok ? KEY_OK : KEY_FAILED);
}

enum key_result key_sign(const struct key_private *key,
                         const struct slice *parts,
                         size_t count,
                         uint8_t signature[SIGNATURE_LEN])
{
    EVP_PKEY *pkey = pkey_of(key);
    EC_KEY *ec = ec_of(pkey);
    if (ec != NULL) {
        struct digest digest = digest_of(parts, count);
        return sign_p256(ec, &digest, signature);
    }
    struct slice message;
    BIO *holder;
    if (!join(parts, count, &holder, &message)) {
        return ended(KEY_FAILED);
    }
    enum key_result result = sign_ed25519(pkey, message, signature);
    BIO_free(holder);
    return result;
}

static enum key_result verify_p256(EC_KEY *key, const struct digest *digest, struct slice signature)
{
    ECDSA_SIG *given = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.at, HALF_LEN, NULL);
    BIGNUM *s = BN_bin2bn(signature.at + HALF_LEN, HALF_LEN, NULL);
    if (given == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(given, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(given);
        return ended(KEY_FAILED);
    }
    int verdict = ECDSA_do_verify(digest->bytes, sizeof digest->bytes, given, key);
    ECDSA_SIG_free(given);
    return ended(verdict == 1 ? KEY_OK : verdict == 0 ? KEY_REFUSED : KEY_FAILED);
}

static enum key_result verify_ed25519(EVP_PKEY *key, struct slice message, struct slice signature)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    enum key_result result = KEY_FAILED;
    if (context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1) {
        int verdict =
            EVP_DigestVerify(context, signature.at, signature.len, message.at, message.len);
        result = verdict == 1 ? KEY_OK : KEY_REFUSED;
    }
    EVP_MD_CTX_free(context);
    return ended(result);
}

enum key_result key_verify(const struct key_verifier *verifier,
                           const struct slice *parts,
                           size_t count,
                           struct slice signature)
{
    if (signature.len != SIGNATURE_LEN) {
        return KEY_MALFORMED;
    }
    EVP_PKEY *pkey = pkey_of_verifier(verifier);
    EC_KEY *ec = ec_of(pkey);
    if (ec != NULL) {
        struct digest digest = digest_of(parts, count);
        return verify_p256(ec, &digest, signature);
    }
    struct slice message;
    BIO *holder;
    if (!join(parts, count, &holder, &message)) {
        return ended(KEY_FAILED);
    }
    enum key_result result = verify_ed25519(pkey, message, signature);
    BIO_free(holder);
    return result;
}

/* ---- key agreement ---- */

enum key_result key_agree(const struct key_private *own,
                          const struct key_public *peer,
                          uint8_t shared[SHARED_LEN])
{
    EC_KEY *ec = ec_of(pkey_of(own));
    if (ec == NULL || peer->kind != KEY_P256) {
        return KEY_MALFORMED;
    }
    EC_POINT *point = point_from(slice_of(peer->bytes, peer->len));
    if (point == NULL) {
        return ended(KEY_MALFORMED);
    }
    uint8_t made[SHARED_LEN];
    int len = ECDH_compute_key(made, sizeof made, point, ec, NULL);
    EC_POINT_free(point);
    if (len == SHARED_LEN) {
        memcpy(shared, made, sizeof made);
    }
    wipe(made, sizeof made);
    return ended(len == SHARED_LEN ? KEY_OK : KEY_FAILED);
}
