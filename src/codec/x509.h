/*
 * X.509 certificates (RFC 5280) as this system reads and makes them: P-256 and Ed25519 keys,
 * version 3. Parsing keeps what the bytes say and borrows from them; it refuses what is not DER and
 * what it could not represent, and leaves judgement (unknown critical extensions, times, purposes)
 * to trust/chain.h. Knows no cryptography: a certificate is written as its tbsCertificate first,
 * which the caller signs.
 */
#ifndef CODEC_X509_H
#define CODEC_X509_H

#include "base/fault.h"
#include "base/slice.h"
#include "base/writer.h"

enum x509_result {
    X509_OK = 0,
    X509_MALFORMED,
    X509_UNSUPPORTED, /* a version, algorithm or key that we do not take */
    X509_TOO_LONG
};

/* The numbers are those of crypto/key.h's key kinds. */
enum x509_key_kind { X509_P256 = 1, X509_ED25519 = 2 };

/* keyUsage as der_read_named_bits gives it. */
enum {
    X509_DIGITAL_SIGNATURE = 0x8000,
    X509_KEY_ENCIPHERMENT = 0x2000,
    X509_KEY_AGREEMENT = 0x0800,
    X509_KEY_CERT_SIGN = 0x0400,
    X509_CRL_SIGN = 0x0200
};

/* Purposes of extKeyUsage. */
enum {
    X509_EKU_SERVER_AUTH = 1,
    X509_EKU_CLIENT_AUTH = 2,
    X509_EKU_CMC_RA = 4, /* 1.3.6.1.5.5.7.3.28: an EST registrar */
    X509_EKU_ANY = 8,
    X509_EKU_OTHER = 16
};

enum {
    X509_CERTIFICATE_MAX = 8192, /* bytes of a certificate or request that we parse */
    X509_EXTENSIONS_MAX = 32,
    X509_NAMES_MAX = 32, /* general names in one subjectAltName */
    X509_SERIAL_MAX = 20,
    X509_KEY_ID_LEN = 20
};

/* Extensions of a certificate, or those a request asks for. */
struct x509_extensions {
    bool has_unknown_critical;
    struct slice unknown_critical; /* OID octets of the first one */

    bool has_basic_constraints, is_ca, has_path_len;
    uint32_t path_len;
    bool has_key_usage;
    uint16_t key_usage;
    bool has_ext_key_usage;
    uint32_t ext_key_usage;
    struct slice subject_key_id;
    struct slice authority_key_id;

    bool has_names; /* subjectAltName */
    bool names_critical;
    struct slice names;                                   /* the GeneralNames SEQUENCE, whole */
    uint32_t uri_count, dns_count, ip_count, other_count; /* other: all remaining kinds */
    struct slice uri; /* the first of each; all of them through x509_name_next */
    struct slice dns;
    struct slice ip;              /* 4 or 16 octets */
    bool has_hardware;            /* otherName hwModuleName, RFC 4108 5 */
    struct slice hardware_type;   /* OID octets */
    struct slice hardware_serial; /* octets, not text */
};

struct x509 {
    struct slice der;    /* the certificate; every slice below lies in it */
    struct slice tbs;    /* what is signed: the tbsCertificate, whole */
    struct slice serial; /* octets, without a leading zero */
    struct slice issuer; /* Name, whole */
    struct slice subject;
    struct slice subject_common_name;   /* first value of 2.5.4.3, empty where there is none */
    struct slice subject_serial_number; /* first value of 2.5.4.5 */
    struct slice subject_organization;  /* first value of 2.5.4.10 */
    struct slice subject_organizational_unit; /* first value of 2.5.4.11 */
    int64_t not_before_ms;
    int64_t not_after_ms; /* 253402300799000 is 99991231235959Z: never */
    struct slice spki;    /* SubjectPublicKeyInfo, whole */
    enum x509_key_kind key_kind;
    struct slice public_key; /* 65 octets of an uncompressed point, or 32 */
    enum x509_key_kind signed_with;
    struct slice signature; /* ECDSA-Sig-Value in DER, or 64 octets of Ed25519 */
    struct x509_extensions extensions;
};

/* One whole certificate and nothing behind it. `fault.at` is an offset in `der`. */
MUST_USE enum x509_result x509_parse(struct slice der, struct x509 *out, struct fault *fault);

/* An Extensions SEQUENCE, whole. */
MUST_USE enum x509_result x509_extensions_parse(struct slice der,
                                                struct x509_extensions *out,
                                                struct fault *fault);

void x509_spki_write(struct writer *w, enum x509_key_kind kind, struct slice key);

/* Walks a GeneralNames SEQUENCE: begin with x509_names_begin; false at the end. `tag` is
 * DER_CONTEXT | 2 (DNS) ... */
struct x509_names {
    struct slice rest;
};
struct x509_names x509_names_begin(struct slice names);
bool x509_name_next(struct x509_names *walk, uint8_t *tag, struct slice *value);

/* ---- writing ---- */

/* A Name of up to four attributes in this order; empty ones are left out. */
struct x509_subject {
    struct slice organization;
    struct slice organizational_unit;
    struct slice common_name;
    struct slice serial_number;
};
void x509_subject_write(struct writer *w, const struct x509_subject *subject);

enum { X509_SPEC_DNS_MAX = 8, X509_SPEC_IP_MAX = 8 };

struct x509_spec {
    struct slice serial; /* 16 to 20 octets, the highest bit clear and the first octet not zero */
    struct slice issuer; /* Names, whole */
    struct slice subject;
    int64_t not_before_ms, not_after_ms; /* whole seconds */
    enum x509_key_kind key_kind;
    struct slice public_key;
    enum x509_key_kind sign_with; /* the issuer's key */
    struct slice subject_key_id;
    struct slice authority_key_id;
    bool is_ca; /* basicConstraints critical with CA:TRUE; else CA:FALSE */
    bool has_path_len;
    uint32_t path_len;
    uint16_t key_usage;     /* critical */
    uint32_t ext_key_usage; /* 0: no extKeyUsage */
    struct slice uri;       /* names: empty ones are left out */
    struct slice dns[X509_SPEC_DNS_MAX];
    size_t dns_count;
    struct slice ip[X509_SPEC_IP_MAX];
    size_t ip_count;
    struct slice hardware_type; /* OID octets; empty: no hwModuleName */
    struct slice hardware_serial;
};

/* Writes the subjectAltName's GeneralNames, whole, as x509_tbs_write would. Empty where the spec
 * has no names. */
void x509_names_write(struct writer *w, const struct x509_spec *spec);

/* The tbsCertificate; the caller signs exactly these bytes. */
MUST_USE enum x509_result x509_tbs_write(struct writer *w, const struct x509_spec *spec);

/* A tbsCertificate alone, as a signer is asked to sign it: `der` is all of it; `out` has no
 * signature. */
MUST_USE enum x509_result x509_tbs_parse(struct slice der, struct x509 *out, struct fault *fault);

/* tbsCertificate + signature (DER ECDSA-Sig-Value, or 64 octets) = Certificate. */
MUST_USE enum x509_result x509_write(struct writer *w,
                                     struct slice tbs,
                                     enum x509_key_kind signed_with,
                                     struct slice signature);

/* OID octets that more than one place needs. */
struct slice x509_oid_hardware_default(void); /* hwType of IDevIDs that `factory` makes */

#endif
