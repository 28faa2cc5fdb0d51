/*
 * P-256 and Ed25519 keys. Public keys are raw: an uncompressed point of 65 bytes, or 32 bytes;
 * private keys are opaque handles (a file today, a TPM behind the same verbs later). Signatures of
 * P-256 are r || s, 64 bytes (COSE); key_signature_to_der and back serve X.509. Randomness for new
 * keys and nonces is OpenSSL's.
 */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include "base/id.h"
#include "base/slice.h"
#include "base/writer.h"

enum key_kind { KEY_P256 = 1, KEY_ED25519 };
enum {
    P256_POINT_LEN = 65,
    ED25519_PUBLIC_LEN = 32,
    SIGNATURE_LEN = 64,
    SIGNATURE_DER_MAX = 72,
    SHARED_LEN = 32
};

enum key_result {
    KEY_OK = 0,
    KEY_MALFORMED, /* not a point of the curve, not a key, not a signature of the right width */
    KEY_REFUSED,   /* the signature does not verify */
    KEY_FAILED     /* the library or the machine failed */
};

struct key_public {
    enum key_kind kind;
    uint8_t len; /* 65 or 32 */
    uint8_t bytes[P256_POINT_LEN];
};

struct key_private; /* owned by whoever made it: key_free */

MUST_USE enum key_result key_make(enum key_kind kind, struct key_private **out);
MUST_USE enum key_result key_from_pem(struct slice pem,
                                      struct key_private **out); /* PKCS#8 or SEC 1 */
MUST_USE enum key_result key_to_pem(const struct key_private *key, struct writer *w); /* PKCS#8 */
void key_free(struct key_private *key);
struct key_public key_public_of(const struct key_private *key);

/* Checks that the point is on the curve (SP 800-56A 5.6.2.3.3). */
MUST_USE enum key_result key_public_from_bytes(enum key_kind kind,
                                               struct slice bytes,
                                               struct key_public *out);

/* ECDSA over SHA-256 of the parts, or Ed25519 over the parts joined (then `count` is at most 8). */
MUST_USE enum key_result key_sign(const struct key_private *key,
                                  const struct slice *parts,
                                  size_t count,
                                  uint8_t signature[SIGNATURE_LEN]);

/* A verifier keeps the decoded key, so that many signatures of one key cost one decoding. */
struct key_verifier;
MUST_USE enum key_result key_verifier_make(const struct key_public *key, struct key_verifier **out);
void key_verifier_free(struct key_verifier *verifier);
MUST_USE enum key_result key_verify(const struct key_verifier *verifier,
                                    const struct slice *parts,
                                    size_t count,
                                    struct slice signature);
/* The same for a key that is used once. */
MUST_USE enum key_result key_verify_once(const struct key_public *key,
                                         const struct slice *parts,
                                         size_t count,
                                         struct slice signature);

MUST_USE enum key_result key_signature_to_der(const uint8_t signature[SIGNATURE_LEN],
                                              struct writer *w);
MUST_USE enum key_result key_signature_from_der(struct slice der, uint8_t signature[SIGNATURE_LEN]);

/* ECDH on P-256 (RFC 9053 6.3.1): the x coordinate. `peer` must come from key_public_from_bytes. */
MUST_USE enum key_result key_agree(const struct key_private *own,
                                   const struct key_public *peer,
                                   uint8_t shared[SHARED_LEN]);

#endif
