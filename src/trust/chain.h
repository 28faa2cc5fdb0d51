/*
 * Is this certificate what it claims, by anchors we chose? Path validation (RFC 5280 6.1) as far as
 * our hierarchies go: signatures, CA flags, path lengths, key usages, purposes, unknown critical
 * extensions, times at a GIVEN time. Never asks a clock; never fetches anything.
 */
#ifndef TRUST_CHAIN_H
#define TRUST_CHAIN_H

#include "base/fault.h"
#include "base/slice.h"
#include "codec/x509.h"

enum { CHAIN_LEN_MAX = 8 }; /* certificates presented; and steps from the leaf to the anchor */

enum chain_result {
    CHAIN_OK = 0,
    CHAIN_NO_ANCHOR, /* no accepted CA issued it */
    CHAIN_BAD_SIGNATURE,
    CHAIN_NOT_YET_VALID,
    CHAIN_EXPIRED,
    CHAIN_NOT_A_CA,      /* an issuer without CA:TRUE and keyCertSign */
    CHAIN_TOO_LONG,      /* a pathLenConstraint, or CHAIN_LEN_MAX */
    CHAIN_WRONG_PURPOSE, /* keyUsage or extKeyUsage of the leaf */
    CHAIN_UNKNOWN_CRITICAL,
    CHAIN_FAILED /* the machine failed; nothing is known */
};
enum { CHAIN_RESULT_COUNT = CHAIN_FAILED + 1 };

struct chain_anchors { /* CA certificates that are trusted as they are */
    const struct x509 *list;
    size_t count;
};

struct chain_policy {
    bool no_time; /* IDevIDs: their time is not looked at */
    int64_t at_ms;
    uint32_t purposes; /* X509_EKU_*: the leaf must have one of them, or no extKeyUsage where
                          `purpose_optional` */
    bool purpose_optional;
    uint16_t key_usage; /* bits a leaf that has a keyUsage must show, X509_DIGITAL_SIGNATURE for TLS
                           and COSE */
};

/* `certs[0]` is the leaf, the others may come in any order. `fault.at` is the index of the refused
 * certificate. */
MUST_USE enum chain_result chain_verify(const struct x509 *certs,
                                        size_t count,
                                        const struct chain_anchors *anchors,
                                        const struct chain_policy *policy,
                                        struct fault *fault);

/* Was `subject` signed by the key of `issuer`? Only the signature. */
MUST_USE enum chain_result chain_signed_by(const struct x509 *subject, const struct x509 *issuer);

const char *chain_result_name(
    enum chain_result result); /* "bad-signature", "expired", ... for counters */

#endif
