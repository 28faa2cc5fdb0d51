/*
 * PKCS#10 certification requests (RFC 2986) with the two attributes enrolment uses:
 * challengePassword and extensionRequest, each at most once with exactly one value. Any other
 * attribute is counted and ignored. Bytes behind the request (a second one, for example) are
 * refused. No cryptography: the caller verifies `signature` over `info` with `public_key`, or signs
 * what csr_info_write wrote.
 */
#ifndef CODEC_CSR_H
#define CODEC_CSR_H

#include "base/fault.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/x509.h"

struct csr {
    struct slice der;
    struct slice info; /* what is signed: CertificationRequestInfo, whole */
    struct slice subject;
    struct slice spki; /* whole */
    enum x509_key_kind key_kind;
    struct slice public_key;
    enum x509_key_kind signed_with;
    struct slice signature;
    bool has_challenge;
    struct slice challenge; /* PrintableString or UTF8String */
    bool has_extensions;
    struct x509_extensions extensions;
    uint32_t other_attributes;
};

MUST_USE enum x509_result csr_parse(struct slice der, struct csr *out, struct fault *fault);

struct csr_spec {
    struct slice subject; /* Name, whole */
    enum x509_key_kind key_kind;
    struct slice public_key;
    struct slice challenge; /* empty: no challengePassword; written as PrintableString */
    struct slice names;     /* GeneralNames, whole; empty: no extensionRequest */
};

void csr_info_write(struct writer *w, const struct csr_spec *spec);
MUST_USE enum x509_result csr_write(struct writer *w,
                                    struct slice info,
                                    enum x509_key_kind signed_with,
                                    struct slice signature);

/* ---- csrattrs (RFC 7030 4.5.2, RFC 8951 3.5, RFC 9908) ---- */

struct csrattrs {
    bool challenge_password; /* proof-of-possession linking is asked for */
    bool p256;               /* ecPublicKey with prime256v1 */
    bool ecdsa_sha256;       /* ecdsa-with-SHA256 */
};

/* Unknown elements are ignored; an empty SEQUENCE is valid. */
MUST_USE enum x509_result csrattrs_parse(struct slice der, struct csrattrs *out);
void csrattrs_write(struct writer *w, const struct csrattrs *attrs);

#endif
