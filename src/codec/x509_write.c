#include "base/invariant.h"
#include "codec/der.h"
#include "codec/x509.h"
#include "codec/x509_oid.h"

enum { VERSION_3 = 2 };

static void write_attribute(struct writer *w, enum x509_oid type, struct slice text)
{
    if (text.len == 0) {
        return;
    }
    size_t rdn = der_begin(w, DER_SET);
    size_t part = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(type));
    der_write(w, der_is_printable(text) ? DER_PRINTABLE_STRING : DER_UTF8_STRING, text);
    der_end(w, part);
    der_end(w, rdn);
}

void x509_subject_write(struct writer *w, const struct x509_subject *subject)
{
    size_t name = der_begin(w, DER_SEQUENCE);
    write_attribute(w, OID_ORGANIZATION, subject->organization);
    write_attribute(w, OID_ORGANIZATIONAL_UNIT, subject->organizational_unit);
    write_attribute(w, OID_COMMON_NAME, subject->common_name);
    write_attribute(w, OID_SERIAL_NUMBER, subject->serial_number);
    der_end(w, name);
}

static size_t extension_begin(struct writer *w,
                              enum x509_oid oid,
                              bool is_critical,
                              size_t *extension)
{
    *extension = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, x509_oid(oid));
    if (is_critical) {
        der_write_bool(w, true);
    }
    return der_begin(w, DER_OCTET_STRING);
}

static void extension_end(struct writer *w, size_t value, size_t extension)
{
    der_end(w, value);
    der_end(w, extension);
}

static void write_basic_constraints(struct writer *w, const struct x509_spec *spec)
{
    size_t extension = 0;
    size_t value = extension_begin(w, OID_BASIC_CONSTRAINTS, true, &extension);
    size_t constraints = der_begin(w, DER_SEQUENCE);
    if (spec->is_ca) {
        der_write_bool(w, true);
    }
    if (spec->is_ca && spec->has_path_len) {
        der_write_u32(w, spec->path_len);
    }
    der_end(w, constraints);
    extension_end(w, value, extension);
}

static void write_key_usage(struct writer *w, uint16_t bits)
{
    size_t extension = 0;
    size_t value = extension_begin(w, OID_KEY_USAGE, true, &extension);
    der_write_named_bits(w, bits);
    extension_end(w, value, extension);
}

static void write_ext_key_usage(struct writer *w, uint32_t purposes)
{
    static const struct {
        uint32_t purpose;
        enum x509_oid oid;
    } rows[] = {
        {X509_EKU_SERVER_AUTH, OID_SERVER_AUTH},
        {X509_EKU_CLIENT_AUTH, OID_CLIENT_AUTH},
        {X509_EKU_CMC_RA, OID_CMC_RA},
    };
    size_t extension = 0;
    size_t value = extension_begin(w, OID_EXT_KEY_USAGE, false, &extension);
    size_t list = der_begin(w, DER_SEQUENCE);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if ((purposes & rows[i].purpose) != 0) {
            der_write_oid(w, x509_oid(rows[i].oid));
        }
    }
    der_end(w, list);
    extension_end(w, value, extension);
}

static void write_key_ids(struct writer *w, const struct x509_spec *spec)
{
    size_t extension = 0;
    if (spec->subject_key_id.len > 0) {
        size_t value = extension_begin(w, OID_SUBJECT_KEY_ID, false, &extension);
        der_write(w, DER_OCTET_STRING, spec->subject_key_id);
        extension_end(w, value, extension);
    }
    if (spec->authority_key_id.len > 0) {
        size_t value = extension_begin(w, OID_AUTHORITY_KEY_ID, false, &extension);
        size_t id = der_begin(w, DER_SEQUENCE);
        der_write(w, DER_CONTEXT | 0, spec->authority_key_id);
        der_end(w, id);
        extension_end(w, value, extension);
    }
}

static void write_hardware_name(struct writer *w, const struct x509_spec *spec)
{
    size_t name = der_begin(w, DER_CONTEXT_CONSTRUCTED | 0);
    der_write_oid(w, x509_oid(OID_HARDWARE_NAME));
    size_t wrapped = der_begin(w, DER_CONTEXT_CONSTRUCTED | 0);
    size_t hardware = der_begin(w, DER_SEQUENCE);
    der_write_oid(w, spec->hardware_type);
    der_write(w, DER_OCTET_STRING, spec->hardware_serial);
    der_end(w, hardware);
    der_end(w, wrapped);
    der_end(w, name);
}

static bool has_names(const struct x509_spec *spec)
{
    return spec->uri.len > 0 || spec->dns_count > 0 || spec->ip_count > 0
           || spec->hardware_type.len > 0;
}

void x509_names_write(struct writer *w, const struct x509_spec *spec)
{
    if (!has_names(spec)) {
        return;
    }
    size_t names = der_begin(w, DER_SEQUENCE);
    if (spec->hardware_type.len > 0) {
        write_hardware_name(w, spec);
    }
    if (spec->uri.len > 0) {
        der_write(w, DER_CONTEXT | 6, spec->uri);
    }
    for (size_t i = 0; i < spec->dns_count; i++) {
        der_write(w, DER_CONTEXT | 2, spec->dns[i]);
    }
    for (size_t i = 0; i < spec->ip_count; i++) {
        der_write(w, DER_CONTEXT | 7, spec->ip[i]);
    }
    der_end(w, names);
}

/* RFC 5280 4.2.1.6: critical only where the subject is empty. */
static bool is_empty_name(struct slice name)
{
    return name.len == 2;
}

static void write_extensions(struct writer *w, const struct x509_spec *spec)
{
    size_t wrapped = der_begin(w, DER_CONTEXT_CONSTRUCTED | 3);
    size_t list = der_begin(w, DER_SEQUENCE);
    write_basic_constraints(w, spec);
    if (spec->key_usage != 0) {
        write_key_usage(w, spec->key_usage);
    }
    if (spec->ext_key_usage != 0) {
        write_ext_key_usage(w, spec->ext_key_usage);
    }
    write_key_ids(w, spec);
    if (has_names(spec)) {
        size_t extension = 0;
        size_t value =
            extension_begin(w, OID_SUBJECT_ALT_NAME, is_empty_name(spec->subject), &extension);
        x509_names_write(w, spec);
        extension_end(w, value, extension);
    }
    der_end(w, list);
    der_end(w, wrapped);
}

enum x509_result x509_tbs_write(struct writer *w, const struct x509_spec *spec)
{
    INVARIANT(spec->dns_count <= X509_SPEC_DNS_MAX);
    INVARIANT(spec->ip_count <= X509_SPEC_IP_MAX);
    bool is_serial = spec->serial.len >= 16 && spec->serial.len <= X509_SERIAL_MAX
                     && spec->serial.at[0] != 0 && (spec->serial.at[0] & 0x80) == 0;
    if (!is_serial || spec->not_after_ms < spec->not_before_ms) {
        return X509_MALFORMED;
    }
    size_t tbs = der_begin(w, DER_SEQUENCE);
    size_t version = der_begin(w, DER_CONTEXT_CONSTRUCTED | 0);
    der_write_u32(w, VERSION_3);
    der_end(w, version);
    der_write_positive(w, spec->serial);
    x509_write_algorithm(w, spec->sign_with);
    write_slice(w, spec->issuer);
    size_t validity = der_begin(w, DER_SEQUENCE);
    der_write_time_ms(w, spec->not_before_ms);
    der_write_time_ms(w, spec->not_after_ms);
    der_end(w, validity);
    write_slice(w, spec->subject);
    x509_spki_write(w, spec->key_kind, spec->public_key);
    write_extensions(w, spec);
    der_end(w, tbs);
    return writer_ok(w) ? X509_OK : X509_TOO_LONG;
}

enum x509_result x509_write(struct writer *w,
                            struct slice tbs,
                            enum x509_key_kind signed_with,
                            struct slice signature)
{
    return x509_write_signed(w, tbs, signed_with, signature);
}
