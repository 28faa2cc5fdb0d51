/*
 * The object identifiers of certificates and requests, as content octets, and the algorithm
 * identifiers made of them. For x509*.c, csr.c and cms.c only.
 */
#ifndef CODEC_X509_OID_H
#define CODEC_X509_OID_H

#include "base/reader.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/x509.h"

enum x509_oid {
    OID_EC_PUBLIC_KEY,       /* 1.2.840.10045.2.1 */
    OID_PRIME256V1,          /* 1.2.840.10045.3.1.7 */
    OID_ECDSA_SHA256,        /* 1.2.840.10045.4.3.2 */
    OID_ED25519,             /* 1.3.101.112 */
    OID_COMMON_NAME,         /* 2.5.4.3 */
    OID_SERIAL_NUMBER,       /* 2.5.4.5 */
    OID_ORGANIZATION,        /* 2.5.4.10 */
    OID_ORGANIZATIONAL_UNIT, /* 2.5.4.11 */
    OID_SUBJECT_KEY_ID,      /* 2.5.29.14 */
    OID_KEY_USAGE,           /* 2.5.29.15 */
    OID_SUBJECT_ALT_NAME,    /* 2.5.29.17 */
    OID_BASIC_CONSTRAINTS,   /* 2.5.29.19 */
    OID_AUTHORITY_KEY_ID,    /* 2.5.29.35 */
    OID_EXT_KEY_USAGE,       /* 2.5.29.37 */
    OID_ANY_PURPOSE,         /* 2.5.29.37.0 */
    OID_SERVER_AUTH,         /* 1.3.6.1.5.5.7.3.1 */
    OID_CLIENT_AUTH,         /* 1.3.6.1.5.5.7.3.2 */
    OID_CMC_RA,              /* 1.3.6.1.5.5.7.3.28 */
    OID_HARDWARE_NAME,       /* 1.3.6.1.5.5.7.8.4 */
    OID_HARDWARE_UNNAMED, /* 2.25.67112823205423543543517097376977799182: hardware without an arc of
                             its own */
    OID_CHALLENGE_PASSWORD, /* 1.2.840.113549.1.9.7 */
    OID_EXTENSION_REQUEST,  /* 1.2.840.113549.1.9.14 */
    OID_CMS_DATA,           /* 1.2.840.113549.1.7.1 */
    OID_CMS_SIGNED_DATA     /* 1.2.840.113549.1.7.2 */
};
enum { OID_COUNT = OID_CMS_SIGNED_DATA + 1 };

/* Where in `der` the reader, which reads a part of it, stands; at its end: `der.len`. For faults.
 */
size_t x509_offset(struct slice der, const struct reader *r);

struct slice x509_oid(enum x509_oid which);
bool x509_oid_is(struct slice oid, enum x509_oid which);

/* An AlgorithmIdentifier of a signature (RFC 5758 3.2, RFC 8410 3: no parameters); fails the reader
 * on any other. */
enum x509_key_kind x509_read_algorithm(struct reader *r);
void x509_write_algorithm(struct writer *w, enum x509_key_kind kind);

/* The signature BIT STRING: ECDSA-Sig-Value, or 64 octets of Ed25519. */
struct slice x509_read_signature(struct reader *r, enum x509_key_kind kind);

/* Info, algorithm and signature in a SEQUENCE: a certificate or a request. */
enum x509_result x509_write_signed(struct writer *w,
                                   struct slice info,
                                   enum x509_key_kind signed_with,
                                   struct slice signature);

/* Reads a SubjectPublicKeyInfo; fails the reader on a key that we do not take. */
struct slice x509_read_spki(struct reader *r, enum x509_key_kind *kind, struct slice *key);

/* A Name: its structure is held against RFC 5280 4.1.2.4; text of the attributes that we use is
 * picked out. */
struct x509_picked {
    struct slice common_name, serial_number, organization, organizational_unit;
};
struct slice x509_read_name(struct reader *r, struct x509_picked *picked);

#endif
