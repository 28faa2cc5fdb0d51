#include "codec/der.h"
#include "codec/x509.h"
#include "codec/x509_oid.h"

enum {
    NAME_OTHER = DER_CONTEXT_CONSTRUCTED | 0,
    NAME_MAIL = DER_CONTEXT | 1,
    NAME_DNS = DER_CONTEXT | 2,
    NAME_DIRECTORY = DER_CONTEXT_CONSTRUCTED | 4,
    NAME_URI = DER_CONTEXT | 6,
    NAME_IP = DER_CONTEXT | 7,
    NAME_REGISTERED = DER_CONTEXT | 8
};

/* IA5String as names use it: visible characters, so that no NUL or blank can divide a name. */
static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < 0x21 || text.at[i] > 0x7e) {
            return false;
        }
    }
    return text.len > 0;
}

static void note_first(struct slice *first, uint32_t *count, struct slice value)
{
    if (*count == 0) {
        *first = value;
    }
    (*count)++;
}

/* OtherName ::= SEQUENCE { type-id, value [0] EXPLICIT }; HardwareModuleName ::= SEQUENCE { OID,
 * OCTET STRING } */
static void read_other_name(struct reader *names, struct slice content, struct x509_extensions *out)
{
    struct reader other = reader_over(content);
    struct slice type = der_read_oid(&other);
    struct reader wrapped = der_enter(&other, DER_CONTEXT_CONSTRUCTED | 0);
    if (!x509_oid_is(type, OID_HARDWARE_NAME)) {
        (void)der_read_item(&wrapped);
        der_leave(&other, &wrapped);
        der_leave(names, &other);
        out->other_count++;
        return;
    }
    struct reader hardware = der_enter(&wrapped, DER_SEQUENCE);
    out->hardware_type = der_read_oid(&hardware);
    out->hardware_serial = der_read(&hardware, DER_OCTET_STRING);
    der_leave(&wrapped, &hardware);
    der_leave(&other, &wrapped);
    der_leave(names, &other);
    if (out->has_hardware) {
        reader_fail(names);
    }
    out->has_hardware = true;
}

/* The kinds that we only count (RFC 5280 4.2.1.6), of their form all the same: who else reads the
 * certificate must not see other names. x400Address and ediPartyName are nobody's. */
static bool is_other_name(const struct der_item *name)
{
    struct reader value = reader_over(name->value);
    struct x509_picked ignored;
    switch (name->tag) {
    case NAME_MAIL: return is_visible(name->value);
    case NAME_REGISTERED: return der_is_oid(name->value);
    case NAME_DIRECTORY: (void)x509_read_name(&value, &ignored); return reader_done(&value);
    default: return false;
    }
}

static void read_one_name(struct reader *names, struct x509_extensions *out)
{
    struct der_item name = der_read_item(names);
    bool is_good = true;
    switch (name.tag) {
    case NAME_OTHER: read_other_name(names, name.value, out); break;
    case NAME_DNS:
        is_good = is_visible(name.value);
        note_first(&out->dns, &out->dns_count, name.value);
        break;
    case NAME_URI:
        is_good = is_visible(name.value);
        note_first(&out->uri, &out->uri_count, name.value);
        break;
    case NAME_IP:
        is_good = name.value.len == 4 || name.value.len == 16;
        note_first(&out->ip, &out->ip_count, name.value);
        break;
    default:
        is_good = is_other_name(&name);
        out->other_count++;
        break;
    }
    if (!is_good) {
        reader_fail(names);
    }
}

static void read_names(struct reader *value, struct x509_extensions *out)
{
    out->has_names = true;
    out->names = der_read_whole(value, DER_SEQUENCE);
    struct reader outer = reader_over(out->names);
    struct reader names = der_enter(&outer, DER_SEQUENCE);
    unsigned count = 0;
    do {
        read_one_name(&names, out);
        count++;
    } while (reader_peek(&names) >= 0 && count < X509_NAMES_MAX);
    der_leave(value, &names);
}

static void read_basic_constraints(struct reader *value, struct x509_extensions *out)
{
    struct reader constraints = der_enter(value, DER_SEQUENCE);
    out->has_basic_constraints = true;
    if (der_next_is(&constraints, DER_BOOLEAN)) {
        out->is_ca = der_read_bool(&constraints);
    }
    if (out->is_ca && der_next_is(&constraints, DER_INTEGER)) {
        out->has_path_len = true;
        out->path_len = der_read_u32(&constraints);
    }
    der_leave(value, &constraints);
}

static void read_key_usage(struct reader *value, struct x509_extensions *out)
{
    out->has_key_usage = true;
    out->key_usage = der_read_named_bits(value);
}

static uint32_t purpose_of(struct slice oid)
{
    static const struct {
        enum x509_oid oid;
        uint32_t purpose;
    } rows[] = {
        {OID_SERVER_AUTH, X509_EKU_SERVER_AUTH},
        {OID_CLIENT_AUTH, X509_EKU_CLIENT_AUTH},
        {OID_CMC_RA, X509_EKU_CMC_RA},
        {OID_ANY_PURPOSE, X509_EKU_ANY},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (x509_oid_is(oid, rows[i].oid)) {
            return rows[i].purpose;
        }
    }
    return X509_EKU_OTHER;
}

static void read_ext_key_usage(struct reader *value, struct x509_extensions *out)
{
    struct reader purposes = der_enter(value, DER_SEQUENCE);
    unsigned count = 0;
    out->has_ext_key_usage = true;
    do {
        out->ext_key_usage |= purpose_of(der_read_oid(&purposes));
        count++;
    } while (reader_peek(&purposes) >= 0 && count < X509_NAMES_MAX);
    der_leave(value, &purposes);
}

static void read_authority_key_id(struct reader *value, struct x509_extensions *out)
{
    struct reader id = der_enter(value, DER_SEQUENCE);
    if (der_next_is(&id, DER_CONTEXT | 0)) {
        out->authority_key_id = der_read(&id, DER_CONTEXT | 0);
    }
    if (der_next_is(&id, DER_CONTEXT_CONSTRUCTED | 1)) {
        (void)der_read(&id, DER_CONTEXT_CONSTRUCTED | 1);
    }
    if (der_next_is(&id, DER_CONTEXT | 2)) {
        (void)der_read(&id, DER_CONTEXT | 2);
    }
    der_leave(value, &id);
}

/* The value of an extension that we know; false for any other. */
static bool read_known(struct slice oid,
                       bool is_critical,
                       struct reader *value,
                       struct x509_extensions *out)
{
    if (x509_oid_is(oid, OID_SUBJECT_ALT_NAME)) {
        out->names_critical = is_critical;
        read_names(value, out);
    } else if (x509_oid_is(oid, OID_BASIC_CONSTRAINTS)) {
        read_basic_constraints(value, out);
    } else if (x509_oid_is(oid, OID_KEY_USAGE)) {
        read_key_usage(value, out);
    } else if (x509_oid_is(oid, OID_EXT_KEY_USAGE)) {
        read_ext_key_usage(value, out);
    } else if (x509_oid_is(oid, OID_SUBJECT_KEY_ID)) {
        out->subject_key_id = der_read(value, DER_OCTET_STRING);
    } else if (x509_oid_is(oid, OID_AUTHORITY_KEY_ID)) {
        read_authority_key_id(value, out);
    } else {
        return false;
    }
    return true;
}

static void read_extension(struct reader *list, struct x509_extensions *out, struct slice *oid)
{
    struct reader extension = der_enter(list, DER_SEQUENCE);
    *oid = der_read_oid(&extension);
    bool is_critical = der_next_is(&extension, DER_BOOLEAN) && der_read_bool(&extension);
    struct reader value = reader_over(der_read(&extension, DER_OCTET_STRING));
    der_leave(list, &extension);
    if (!reader_ok(list)) {
        return;
    }
    if (read_known(*oid, is_critical, &value, out)) {
        der_leave(list, &value);
    } else if (is_critical && !out->has_unknown_critical) {
        out->has_unknown_critical = true;
        out->unknown_critical = *oid;
    }
}

static bool is_among(struct slice oid, const struct slice *seen, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(oid, seen[i])) {
            return true;
        }
    }
    return false;
}

enum x509_result x509_extensions_parse(struct slice der,
                                       struct x509_extensions *out,
                                       struct fault *fault)
{
    struct x509_extensions extensions = {0};
    struct slice seen[X509_EXTENSIONS_MAX] = {0};
    size_t count = 0;
    struct reader outer = reader_over(der);
    struct reader list = der_enter(&outer, DER_SEQUENCE);
    if (!reader_done(&outer) || reader_peek(&list) < 0) {
        fault_note(fault, "RFC 5280 4.1.2.9: not a sequence of one or more extensions", 0);
        return X509_MALFORMED;
    }
    while (reader_peek(&list) >= 0) {
        size_t at = (size_t)(list.rest.at - der.at);
        struct slice oid = {0};
        if (count == X509_EXTENSIONS_MAX) {
            fault_note(fault, "more than 32 extensions", at);
            return X509_TOO_LONG;
        }
        read_extension(&list, &extensions, &oid);
        if (!reader_ok(&list)) {
            fault_note(fault, "RFC 5280 4.2.1: an extension's value is not what its name says", at);
            return X509_MALFORMED;
        }
        if (is_among(oid, seen, count)) {
            fault_note(fault, "RFC 5280 4.2: an extension is there twice", at);
            return X509_MALFORMED;
        }
        seen[count++] = oid;
    }
    *out = extensions;
    return X509_OK;
}

struct x509_names x509_names_begin(struct slice names)
{
    struct reader r = reader_over(names);
    return (struct x509_names){.rest = der_read(&r, DER_SEQUENCE)};
}

bool x509_name_next(struct x509_names *walk, uint8_t *tag, struct slice *value)
{
    struct reader r = reader_over(walk->rest);
    struct der_item item = der_read_item(&r);
    walk->rest = r.rest;
    if (!reader_ok(&r)) {
        return false;
    }
    *tag = item.tag;
    *value = item.value;
    return true;
}
