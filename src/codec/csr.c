#include "codec/csr.h"

#include "codec/der.h"
#include "codec/x509_oid.h"

enum { VERSION_1 = 0, ATTRIBUTES_MAX = 16, CSRATTRS_MAX = 32 };

static void read_challenge(struct reader *values, struct csr *out)
{
    struct der_item value = der_read_item(values);
    bool is_text = value.tag == DER_PRINTABLE_STRING || value.tag == DER_UTF8_STRING;
    if (!is_text || value.value.len == 0 || out->has_challenge) {
        reader_fail(values);
    }
    out->has_challenge = true;
    out->challenge = value.value;
}

static enum x509_result read_extension_request(struct reader *values,
                                               struct csr *out,
                                               struct fault *fault)
{
    struct slice list = der_read_whole(values, DER_SEQUENCE);
    if (!reader_ok(values) || out->has_extensions) {
        reader_fail(values);
        return X509_OK;
    }
    out->has_extensions = true;
    enum x509_result result = x509_extensions_parse(list, &out->extensions, fault);
    if (result != X509_OK && fault != NULL) {
        fault->at += (size_t)(list.at - out->der.at);
    }
    return result;
}

/* Attribute ::= SEQUENCE { type OID, values SET OF }; ours have exactly one value (RFC 2985 5.4).
 */
static enum x509_result read_attribute(struct reader *list, struct csr *out, struct fault *fault)
{
    enum x509_result result = X509_OK;
    struct reader attribute = der_enter(list, DER_SEQUENCE);
    struct slice type = der_read_oid(&attribute);
    struct reader values = der_enter(&attribute, DER_SET);
    if (x509_oid_is(type, OID_CHALLENGE_PASSWORD)) {
        read_challenge(&values, out);
    } else if (x509_oid_is(type, OID_EXTENSION_REQUEST)) {
        result = read_extension_request(&values, out, fault);
    } else {
        (void)read_bytes(&values, values.rest.len);
        out->other_attributes++;
    }
    der_leave(&attribute, &values);
    der_leave(list, &attribute);
    return result;
}

static enum x509_result read_attributes(struct reader *info, struct csr *out, struct fault *fault)
{
    size_t at = x509_offset(out->der, info);
    struct reader list = der_enter(info, DER_CONTEXT_CONSTRUCTED | 0);
    for (unsigned i = 0; reader_peek(&list) >= 0 && i < ATTRIBUTES_MAX; i++) {
        enum x509_result result = read_attribute(&list, out, fault);
        if (result != X509_OK) {
            return result;
        }
    }
    der_leave(info, &list);
    if (!reader_done(info)) {
        fault_note(fault,
                   "RFC 2986 4.1: attributes are wrong, repeated, or without exactly one value",
                   at);
        return X509_MALFORMED;
    }
    return X509_OK;
}

static enum x509_result read_info(struct reader *outer, struct csr *out, struct fault *fault)
{
    out->info = der_read_whole(outer, DER_SEQUENCE);
    struct reader whole = reader_over(out->info);
    struct reader info = der_enter(&whole, DER_SEQUENCE);
    struct x509_picked ignored;
    uint32_t version = der_read_u32(&info);
    out->subject = x509_read_name(&info, &ignored);
    if (!reader_ok(&info) || version != VERSION_1) {
        fault_note(fault, "RFC 2986 4.1: not version 1 with a Name as subject", 0);
        return X509_MALFORMED;
    }
    size_t at = x509_offset(out->der, &info);
    out->spki = x509_read_spki(&info, &out->key_kind, &out->public_key);
    if (!reader_ok(&info)) {
        fault_note(
            fault,
            "RFC 2986 4.1: the public key is neither P-256 (named curve, uncompressed) nor Ed25519",
            at);
        return X509_UNSUPPORTED;
    }
    return read_attributes(&info, out, fault);
}

enum x509_result csr_parse(struct slice der, struct csr *out, struct fault *fault)
{
    struct csr csr = {.der = der};
    struct reader r = reader_over(der);
    if (der.len > X509_CERTIFICATE_MAX) {
        fault_note(fault, "longer than 8,192 octets", X509_CERTIFICATE_MAX);
        return X509_TOO_LONG;
    }
    struct slice request = der_read_whole(&r, DER_SEQUENCE);
    if (!reader_ok(&r)) {
        fault_note(fault, "RFC 2986 4.2: not a CertificationRequest in DER", 0);
        return X509_MALFORMED;
    }
    if (!reader_done(&r)) {
        fault_note(fault, "RFC 2986 4.2: octets follow the request", request.len);
        return X509_MALFORMED;
    }
    struct reader whole = reader_over(request);
    struct reader outer = der_enter(&whole, DER_SEQUENCE);
    enum x509_result result = read_info(&outer, &csr, fault);
    if (result != X509_OK) {
        return result;
    }
    size_t at = x509_offset(der, &outer);
    csr.signed_with = x509_read_algorithm(&outer);
    if (!reader_ok(&outer) || csr.signed_with != csr.key_kind) {
        fault_note(fault, "RFC 2986 4.2: not signed by ecdsa-with-SHA256 or Ed25519, as the key is",
                   at);
        return X509_UNSUPPORTED;
    }
    csr.signature = x509_read_signature(&outer, csr.signed_with);
    if (!reader_done(&outer)) {
        fault_note(fault, "RFC 2986 4.2: the signature is not one of its algorithm", at);
        return X509_MALFORMED;
    }
    *out = csr;
    return X509_OK;
}

static void write_challenge(struct writer *w, struct slice challenge)
{
    size_t attribute = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(OID_CHALLENGE_PASSWORD));
    size_t values = der_begin(w, DER_SET);
    der_write(w, DER_PRINTABLE_STRING, challenge);
    der_end(w, values);
    der_end(w, attribute);
}

static void write_extension_request(struct writer *w, struct slice names)
{
    size_t attribute = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(OID_EXTENSION_REQUEST));
    size_t values = der_begin(w, DER_SET);
    size_t list = der_begin(w, DER_SEQUENCE);
    size_t extension = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(OID_SUBJECT_ALT_NAME));
    der_write(w, DER_OCTET_STRING, names);
    der_end(w, extension);
    der_end(w, list);
    der_end(w, values);
    der_end(w, attribute);
}

void csr_info_write(struct writer *w, const struct csr_spec *spec)
{
    size_t info = der_begin(w, DER_SEQUENCE);
    der_write_u32(w, VERSION_1);
    write_slice(w, spec->subject);
    x509_spki_write(w, spec->key_kind, spec->public_key);
    size_t attributes = der_begin(w, DER_CONTEXT_CONSTRUCTED | 0);
    if (spec->challenge.len > 0) {
        write_challenge(w, spec->challenge);
    }
    if (spec->names.len > 0) {
        write_extension_request(w, spec->names);
    }
    der_end(w, attributes);
    der_end(w, info);
}

enum x509_result csr_write(struct writer *w,
                           struct slice info,
                           enum x509_key_kind signed_with,
                           struct slice signature)
{
    return x509_write_signed(w, info, signed_with, signature);
}

/* AttrOrOID's attribute form: { ecPublicKey, { prime256v1 } } is the only one that we know. */
static bool read_attrs_key(struct reader *list)
{
    struct reader attribute = der_enter(list, DER_SEQUENCE);
    struct slice type = der_read_oid(&attribute);
    struct reader values = der_enter(&attribute, DER_SET);
    bool is_p256 = false;
    if (x509_oid_is(type, OID_EC_PUBLIC_KEY) && der_next_is(&values, DER_OID)) {
        is_p256 = x509_oid_is(der_read_oid(&values), OID_PRIME256V1);
    }
    (void)read_bytes(&values, values.rest.len);
    der_leave(&attribute, &values);
    der_leave(list, &attribute);
    return is_p256;
}

enum x509_result csrattrs_parse(struct slice der, struct csrattrs *out)
{
    struct csrattrs attrs = {0};
    struct reader outer = reader_over(der);
    struct reader list = der_enter(&outer, DER_SEQUENCE);
    for (unsigned i = 0; reader_peek(&list) >= 0 && i < CSRATTRS_MAX; i++) {
        if (der_next_is(&list, DER_OID)) {
            struct slice oid = der_read_oid(&list);
            attrs.challenge_password =
                attrs.challenge_password || x509_oid_is(oid, OID_CHALLENGE_PASSWORD);
            attrs.ecdsa_sha256 = attrs.ecdsa_sha256 || x509_oid_is(oid, OID_ECDSA_SHA256);
        } else {
            attrs.p256 = read_attrs_key(&list) || attrs.p256;
        }
    }
    der_leave(&outer, &list);
    if (!reader_done(&outer)) {
        return X509_MALFORMED;
    }
    *out = attrs;
    return X509_OK;
}

void csrattrs_write(struct writer *w, const struct csrattrs *attrs)
{
    size_t list = der_begin(w, DER_SEQUENCE);
    if (attrs->challenge_password) {
        der_write_oid(w, x509_oid(OID_CHALLENGE_PASSWORD));
    }
    if (attrs->p256) {
        size_t attribute = der_begin(w, DER_SEQUENCE);
        der_write_oid(w, x509_oid(OID_EC_PUBLIC_KEY));
        size_t values = der_begin(w, DER_SET);
        der_write_oid(w, x509_oid(OID_PRIME256V1));
        der_end(w, values);
        der_end(w, attribute);
    }
    if (attrs->ecdsa_sha256) {
        der_write_oid(w, x509_oid(OID_ECDSA_SHA256));
    }
    der_end(w, list);
}
