#include "trust/signature.h"

#include "base/invariant.h"

#include <assert.h>

static_assert((int)X509_P256 == (int)KEY_P256 && (int)X509_ED25519 == (int)KEY_ED25519,
              "one numbering of key kinds");

enum x509_key_kind signature_kind(const struct key_private *key)
{
    return (enum x509_key_kind)key_public_of(key).kind;
}

static struct slice make(const struct key_private *key,
                         struct slice message,
                         uint8_t out[SIGNATURE_DER_MAX])
{
    uint8_t raw[SIGNATURE_LEN];
    struct writer w = writer_over(out, SIGNATURE_DER_MAX);
    if (key_sign(key, &message, 1, raw) != KEY_OK) {
        return (struct slice){0};
    }
    if (signature_kind(key) == X509_ED25519) {
        write_bytes(&w, raw, sizeof raw);
    } else if (key_signature_to_der(raw, &w) != KEY_OK) {
        return (struct slice){0};
    }
    return writer_slice(&w);
}

bool signature_certificate(struct writer *w, struct slice tbs, const struct key_private *key)
{
    uint8_t bytes[SIGNATURE_DER_MAX];
    struct slice signature = make(key, tbs, bytes);
    return signature.len > 0 && x509_write(w, tbs, signature_kind(key), signature) == X509_OK;
}

bool signature_request(struct writer *w, struct slice info, const struct key_private *key)
{
    uint8_t bytes[SIGNATURE_DER_MAX];
    struct slice signature = make(key, info, bytes);
    return signature.len > 0 && csr_write(w, info, signature_kind(key), signature) == X509_OK;
}

enum signature_result signature_verify(enum x509_key_kind kind,
                                       struct slice public_key,
                                       struct slice message,
                                       struct slice signature)
{
    struct key_public key;
    uint8_t raw[SIGNATURE_LEN];
    if (key_public_from_bytes((enum key_kind)kind, public_key, &key) != KEY_OK) {
        return SIGNATURE_REFUSED;
    }
    if (kind == X509_P256) {
        if (key_signature_from_der(signature, raw) != KEY_OK) {
            return SIGNATURE_REFUSED;
        }
        signature = slice_of(raw, sizeof raw);
    }
    switch (key_verify_once(&key, &message, 1, signature)) {
    case KEY_OK: return SIGNATURE_OK;
    case KEY_MALFORMED:
    case KEY_REFUSED: return SIGNATURE_REFUSED;
    case KEY_FAILED: return SIGNATURE_FAILED;
    }
    UNREACHABLE();
}

enum signature_result signature_of_request(const struct csr *csr)
{
    return signature_verify(csr->key_kind, csr->public_key, csr->info, csr->signature);
}
