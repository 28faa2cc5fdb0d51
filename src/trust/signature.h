/*
 * Signatures as X.509 carries them, over crypto/key.h's: ECDSA-Sig-Value in DER, or 64 octets of
 * Ed25519.
 */
#ifndef TRUST_SIGNATURE_H
#define TRUST_SIGNATURE_H

#include "base/slice.h"
#include "base/writer.h"
#include "codec/csr.h"
#include "codec/x509.h"
#include "crypto/key.h"

enum signature_result { SIGNATURE_OK = 0, SIGNATURE_REFUSED, SIGNATURE_FAILED };

/* The key's kind in the codec's words; they number alike. */
enum x509_key_kind signature_kind(const struct key_private *key);

/* The certificate, or request, of `tbs` or `info` signed by `key`. False: no room, or the machine
 * failed. */
MUST_USE bool signature_certificate(struct writer *w,
                                    struct slice tbs,
                                    const struct key_private *key);
MUST_USE bool signature_request(struct writer *w, struct slice info, const struct key_private *key);

MUST_USE enum signature_result signature_verify(enum x509_key_kind kind,
                                                struct slice public_key,
                                                struct slice message,
                                                struct slice signature);

/* Does the request's own key sign it? (RFC 2986 4.2: possession of the key.) */
MUST_USE enum signature_result signature_of_request(const struct csr *csr);

#endif
