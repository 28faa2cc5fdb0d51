#include "codec/x509.h"

#include "codec/der.h"
#include "codec/x509_oid.h"

enum { VERSION_3 = 2 };

/*
 * TBSCertificate, field by field (RFC 5280 4.1). A step reads one field and fails the reader where
 * it must not be accepted; its row says what that breaks.
 */
static void read_version(struct reader *r, struct x509 *out)
{
    (void)out;
    struct reader explicit_version = der_enter(r, DER_CONTEXT_CONSTRUCTED | 0);
    uint32_t version = der_read_u32(&explicit_version);
    der_leave(r, &explicit_version);
    if (version != VERSION_3) {
        reader_fail(r);
    }
}

static void read_serial(struct reader *r, struct x509 *out)
{
    out->serial = der_read_positive(r);
    if (out->serial.len > X509_SERIAL_MAX) {
        reader_fail(r);
    }
}

static void read_signature_kind(struct reader *r, struct x509 *out)
{
    out->signed_with = x509_read_algorithm(r);
}

static void read_issuer(struct reader *r, struct x509 *out)
{
    struct x509_picked ignored;
    out->issuer = x509_read_name(r, &ignored);
}

static void read_validity(struct reader *r, struct x509 *out)
{
    struct reader validity = der_enter(r, DER_SEQUENCE);
    out->not_before_ms = der_read_time_ms(&validity);
    out->not_after_ms = der_read_time_ms(&validity);
    der_leave(r, &validity);
}

static void read_subject(struct reader *r, struct x509 *out)
{
    struct x509_picked picked;
    out->subject = x509_read_name(r, &picked);
    out->subject_common_name = picked.common_name;
    out->subject_serial_number = picked.serial_number;
    out->subject_organization = picked.organization;
    out->subject_organizational_unit = picked.organizational_unit;
}

static void read_key(struct reader *r, struct x509 *out)
{
    out->spki = x509_read_spki(r, &out->key_kind, &out->public_key);
}

struct step {
    void (*read)(struct reader *r, struct x509 *out);
    enum x509_result otherwise;
    const char *clause;
};

static const struct step steps[] = {
    {read_version, X509_UNSUPPORTED, "RFC 5280 4.1.2.1: the version is not 3"},
    {read_serial, X509_MALFORMED,
     "RFC 5280 4.1.2.2: the serial number is not a positive integer of at most 20 octets"},
    {read_signature_kind, X509_UNSUPPORTED,
     "RFC 5280 4.1.2.3: the signature algorithm is neither ecdsa-with-SHA256 nor Ed25519"},
    {read_issuer, X509_MALFORMED, "RFC 5280 4.1.2.4: the issuer is not a Name"},
    {read_validity, X509_MALFORMED,
     "RFC 5280 4.1.2.5: the validity is not two times in UTC, UTCTime up to 2049"},
    {read_subject, X509_MALFORMED, "RFC 5280 4.1.2.6: the subject is not a Name"},
    {read_key, X509_UNSUPPORTED,
     "RFC 5280 4.1.2.7: the public key is neither P-256 (named curve, uncompressed) nor Ed25519"},
};

static enum x509_result read_tbs(struct reader *r,
                                 struct slice der,
                                 struct x509 *out,
                                 struct fault *fault)
{
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        size_t at = x509_offset(der, r);
        steps[i].read(r, out);
        if (!reader_ok(r)) {
            fault_note(fault, steps[i].clause, at);
            return steps[i].otherwise;
        }
    }
    if (reader_peek(r) < 0) {
        return X509_OK;
    }
    size_t at = x509_offset(der, r);
    struct reader wrapped = der_enter(r, DER_CONTEXT_CONSTRUCTED | 3);
    struct slice extensions = der_read_whole(&wrapped, DER_SEQUENCE);
    der_leave(r, &wrapped);
    if (!reader_done(r)) {
        fault_note(fault, "RFC 5280 4.1.2.8-9: something other than extensions follows the key",
                   at);
        return X509_MALFORMED;
    }
    enum x509_result result = x509_extensions_parse(extensions, &out->extensions, fault);
    if (result != X509_OK && fault != NULL) {
        fault->at += (size_t)(extensions.at - der.at);
    }
    return result;
}

static enum x509_result enter_tbs(struct slice der,
                                  struct reader *outer,
                                  struct x509 *out,
                                  struct fault *fault)
{
    out->tbs = der_read_whole(outer, DER_SEQUENCE);
    struct reader whole = reader_over(out->tbs);
    struct reader tbs = der_enter(&whole, DER_SEQUENCE);
    if (!reader_ok(&tbs)) {
        fault_note(fault, "RFC 5280 4.1: not a tbsCertificate in DER", 0);
        return X509_MALFORMED;
    }
    return read_tbs(&tbs, der, out, fault);
}

enum x509_result x509_tbs_parse(struct slice der, struct x509 *out, struct fault *fault)
{
    struct x509 tbs = {.der = der};
    struct reader r = reader_over(der);
    if (der.len > X509_CERTIFICATE_MAX) {
        fault_note(fault, "longer than 8,192 octets", X509_CERTIFICATE_MAX);
        return X509_TOO_LONG;
    }
    enum x509_result result = enter_tbs(der, &r, &tbs, fault);
    if (result != X509_OK) {
        return result;
    }
    if (!reader_done(&r)) {
        fault_note(fault, "RFC 5280 4.1: octets follow the tbsCertificate", tbs.tbs.len);
        return X509_MALFORMED;
    }
    *out = tbs;
    return X509_OK;
}

enum x509_result x509_parse(struct slice der, struct x509 *out, struct fault *fault)
{
    struct x509 certificate = {.der = der};
    struct reader r = reader_over(der);
    if (der.len > X509_CERTIFICATE_MAX) {
        fault_note(fault, "longer than 8,192 octets", X509_CERTIFICATE_MAX);
        return X509_TOO_LONG;
    }
    struct reader outer = der_enter(&r, DER_SEQUENCE);
    if (!reader_done(&r)) {
        fault_note(fault, "RFC 5280 4.1: not one Certificate in DER", 0);
        return X509_MALFORMED;
    }
    enum x509_result result = enter_tbs(der, &outer, &certificate, fault);
    if (result != X509_OK) {
        return result;
    }
    size_t at = x509_offset(der, &outer);
    enum x509_key_kind repeated = x509_read_algorithm(&outer);
    if (!reader_ok(&outer) || repeated != certificate.signed_with) {
        fault_note(fault,
                   "RFC 5280 4.1.1.2: signatureAlgorithm differs from the one that was signed", at);
        return X509_MALFORMED;
    }
    at = x509_offset(der, &outer);
    certificate.signature = x509_read_signature(&outer, certificate.signed_with);
    if (!reader_done(&outer)) {
        fault_note(fault, "RFC 5280 4.1.1.3: the signature is not one of its algorithm", at);
        return X509_MALFORMED;
    }
    *out = certificate;
    return X509_OK;
}
