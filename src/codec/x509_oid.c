#include "codec/x509_oid.h"

#include "base/invariant.h"
#include "base/utf8.h"
#include "codec/der.h"

#define OID(text)                                                                                  \
    {                                                                                              \
        .at = (const uint8_t *)(text), .len = sizeof(text) - 1                                     \
    }

enum { RDN_MAX = 16, RDN_PARTS_MAX = 4 };

static const struct slice octets[OID_COUNT] = {
    [OID_EC_PUBLIC_KEY] = OID("\x2a\x86\x48\xce\x3d\x02\x01"),
    [OID_PRIME256V1] = OID("\x2a\x86\x48\xce\x3d\x03\x01\x07"),
    [OID_ECDSA_SHA256] = OID("\x2a\x86\x48\xce\x3d\x04\x03\x02"),
    [OID_ED25519] = OID("\x2b\x65\x70"),
    [OID_COMMON_NAME] = OID("\x55\x04\x03"),
    [OID_SERIAL_NUMBER] = OID("\x55\x04\x05"),
    [OID_ORGANIZATION] = OID("\x55\x04\x0a"),
    [OID_ORGANIZATIONAL_UNIT] = OID("\x55\x04\x0b"),
    [OID_SUBJECT_KEY_ID] = OID("\x55\x1d\x0e"),
    [OID_KEY_USAGE] = OID("\x55\x1d\x0f"),
    [OID_SUBJECT_ALT_NAME] = OID("\x55\x1d\x11"),
    [OID_BASIC_CONSTRAINTS] = OID("\x55\x1d\x13"),
    [OID_AUTHORITY_KEY_ID] = OID("\x55\x1d\x23"),
    [OID_EXT_KEY_USAGE] = OID("\x55\x1d\x25"),
    [OID_ANY_PURPOSE] = OID("\x55\x1d\x25\x00"),
    [OID_SERVER_AUTH] = OID("\x2b\x06\x01\x05\x05\x07\x03\x01"),
    [OID_CLIENT_AUTH] = OID("\x2b\x06\x01\x05\x05\x07\x03\x02"),
    [OID_CMC_RA] = OID("\x2b\x06\x01\x05\x05\x07\x03\x1c"),
    [OID_HARDWARE_NAME] = OID("\x2b\x06\x01\x05\x05\x07\x08\x04"),
    [OID_HARDWARE_UNNAMED] =
        OID("\x69\xe4\xfd\xba\xe9\xee\xbc\xca\xb0\x95\xbd\xc7\xb5\xc4\xce\xf4\xa1\x90\x0e"),
    [OID_CHALLENGE_PASSWORD] = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"),
    [OID_EXTENSION_REQUEST] = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"),
    [OID_CMS_DATA] = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"),
    [OID_CMS_SIGNED_DATA] = OID("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"),
};

size_t x509_offset(struct slice der, const struct reader *r)
{
    return r->rest.len > 0 ? (size_t)(r->rest.at - der.at) : der.len;
}

struct slice x509_oid(enum x509_oid which)
{
    return octets[which];
}

bool x509_oid_is(struct slice oid, enum x509_oid which)
{
    return slice_equal(oid, octets[which]);
}

struct slice x509_oid_hardware_default(void)
{
    return octets[OID_HARDWARE_UNNAMED];
}

enum x509_key_kind x509_read_algorithm(struct reader *r)
{
    struct reader algorithm = der_enter(r, DER_SEQUENCE);
    struct slice oid = der_read_oid(&algorithm);
    der_leave(r, &algorithm);
    if (x509_oid_is(oid, OID_ECDSA_SHA256)) {
        return X509_P256;
    }
    if (!x509_oid_is(oid, OID_ED25519)) {
        reader_fail(r);
    }
    return X509_ED25519;
}

void x509_write_algorithm(struct writer *w, enum x509_key_kind kind)
{
    size_t algorithm = der_begin(w, DER_SEQUENCE);
    switch (kind) {
    case X509_P256: der_write_oid(w, octets[OID_ECDSA_SHA256]); break;
    case X509_ED25519: der_write_oid(w, octets[OID_ED25519]); break;
    }
    der_end(w, algorithm);
}

struct slice x509_read_signature(struct reader *r, enum x509_key_kind kind)
{
    struct slice bits = der_read_bits(r);
    if (kind == X509_ED25519 && bits.len != 64) {
        reader_fail(r);
    }
    if (kind == X509_P256) {
        struct reader whole = reader_over(bits);
        struct reader pair = der_enter(&whole, DER_SEQUENCE);
        (void)der_read_positive(&pair);
        (void)der_read_positive(&pair);
        der_leave(&whole, &pair);
        der_leave(r, &whole);
    }
    return bits;
}

enum x509_result x509_write_signed(struct writer *w,
                                   struct slice info,
                                   enum x509_key_kind signed_with,
                                   struct slice signature)
{
    size_t whole = der_begin(w, DER_SEQUENCE);
    write_slice(w, info);
    x509_write_algorithm(w, signed_with);
    der_write_bits(w, signature);
    der_end(w, whole);
    return writer_ok(w) ? X509_OK : X509_TOO_LONG;
}

struct slice x509_read_spki(struct reader *r, enum x509_key_kind *kind, struct slice *key)
{
    struct slice whole = der_read_whole(r, DER_SEQUENCE);
    struct reader outer = reader_over(whole);
    struct reader spki = der_enter(&outer, DER_SEQUENCE);
    struct reader algorithm = der_enter(&spki, DER_SEQUENCE);
    struct slice oid = der_read_oid(&algorithm);
    bool is_p256 = x509_oid_is(oid, OID_EC_PUBLIC_KEY)
                   && x509_oid_is(der_read_oid(&algorithm), OID_PRIME256V1);
    bool is_known = is_p256 || x509_oid_is(oid, OID_ED25519);
    der_leave(&spki, &algorithm);
    struct slice bits = der_read_bits(&spki);
    der_leave(r, &spki);
    bool is_point = bits.len == 65 && bits.at[0] == 0x04;
    if (!is_known || !(is_p256 ? is_point : bits.len == 32)) {
        reader_fail(r);
        return (struct slice){0};
    }
    *kind = is_p256 ? X509_P256 : X509_ED25519;
    *key = bits;
    return whole;
}

void x509_spki_write(struct writer *w, enum x509_key_kind kind, struct slice key)
{
    size_t spki = der_begin(w, DER_SEQUENCE);
    size_t algorithm = der_begin(w, DER_SEQUENCE);
    switch (kind) {
    case X509_P256:
        der_write_oid(w, octets[OID_EC_PUBLIC_KEY]);
        der_write_oid(w, octets[OID_PRIME256V1]);
        break;
    case X509_ED25519: der_write_oid(w, octets[OID_ED25519]); break;
    }
    der_end(w, algorithm);
    der_write_bits(w, key);
    der_end(w, spki);
}

static bool is_text(uint8_t tag)
{
    return tag == DER_UTF8_STRING || tag == DER_PRINTABLE_STRING || tag == DER_IA5_STRING;
}

static bool is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] > 0x7f) {
            return false;
        }
    }
    return true;
}

/* UCS-2 or UCS-4: whole characters, all of Unicode. */
static bool is_wide(struct slice text, size_t width)
{
    struct reader r = reader_over(text);
    bool is_good = text.len % width == 0;
    while (is_good && reader_peek(&r) >= 0) {
        uint32_t c = width == 2 ? read_u16(&r) : read_u32(&r);
        is_good = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
    }
    return is_good;
}

/* The strings that attributes of a Name are made of (RFC 5280 appendix A, X520name and the others):
 * DirectoryString, IA5String, NumericString. Text that no other reader could read is nobody's name.
 */
static bool is_name_text(const struct der_item *value)
{
    switch (value->tag) {
    case DER_UTF8_STRING: return utf8_is_valid(value->value);
    case DER_NUMERIC_STRING:
    case DER_PRINTABLE_STRING:
    case DER_IA5_STRING: return is_ascii(value->value);
    case DER_BMP_STRING: return is_wide(value->value, 2);
    case DER_UNIVERSAL_STRING: return is_wide(value->value, 4);
    default: return value->tag == DER_T61_STRING;
    }
}

static struct slice *slot_of(struct x509_picked *picked, struct slice type)
{
    if (x509_oid_is(type, OID_COMMON_NAME)) {
        return &picked->common_name;
    }
    if (x509_oid_is(type, OID_SERIAL_NUMBER)) {
        return &picked->serial_number;
    }
    if (x509_oid_is(type, OID_ORGANIZATION)) {
        return &picked->organization;
    }
    return x509_oid_is(type, OID_ORGANIZATIONAL_UNIT) ? &picked->organizational_unit : NULL;
}

static void pick(struct x509_picked *picked, struct slice type, const struct der_item *value)
{
    struct slice *to = slot_of(picked, type);
    if (to != NULL && to->at == NULL && is_text(value->tag)) {
        *to = value->value;
    }
}

static void read_rdn(struct reader *name, struct x509_picked *picked)
{
    struct reader rdn = der_enter(name, DER_SET);
    unsigned parts = 0;
    do {
        struct reader part = der_enter(&rdn, DER_SEQUENCE);
        struct slice type = der_read_oid(&part);
        struct der_item value = der_read_item(&part);
        der_leave(&rdn, &part);
        if (reader_ok(&rdn) && is_name_text(&value)) {
            pick(picked, type, &value);
        } else {
            reader_fail(&rdn);
        }
        parts++;
    } while (reader_peek(&rdn) >= 0 && parts < RDN_PARTS_MAX);
    der_leave(name, &rdn);
}

struct slice x509_read_name(struct reader *r, struct x509_picked *picked)
{
    struct slice whole = der_read_whole(r, DER_SEQUENCE);
    struct reader outer = reader_over(whole);
    struct reader name = der_enter(&outer, DER_SEQUENCE);
    *picked = (struct x509_picked){0};
    for (unsigned i = 0; reader_peek(&name) >= 0 && i < RDN_MAX; i++) {
        read_rdn(&name, picked);
    }
    der_leave(r, &name);
    return whole;
}
