/*
 * Certificates and requests for tests/differential/x509_codec.py. A line of stdin is a letter and
 * the hex of DER; a line of stdout is "no", or "ok" and what was asked for:
 *
 *     c DER  the fields of a certificate, as name=value
 *     r DER  those of a request
 *     C DER  a certificate that says the same in our writing, signed by itself with a new key
 *     R DER  a request that does
 */
#include "base/id.h"
#include "codec/csr.h"
#include "codec/der.h"
#include "codec/x509.h"
#include "crypto/key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INFO_MAX = 2 * X509_CERTIFICATE_MAX };

static uint8_t der[X509_CERTIFICATE_MAX + 64], info_bytes[INFO_MAX], out_bytes[INFO_MAX];
static char line[2 * sizeof der + 8];

static void put_hex(const char *name, struct slice bytes)
{
    (void)printf(" %s=", name);
    for (size_t i = 0; i < bytes.len; i++) {
        (void)printf("%02x", bytes.at[i]);
    }
}

static void put_number(const char *name, int64_t value)
{
    (void)printf(" %s=%" PRId64, name, value);
}

static void put_extensions(const struct x509_extensions *e)
{
    struct x509_names walk = x509_names_begin(e->names);
    struct slice value = {0};
    uint8_t tag = 0;
    put_number("ca", e->has_basic_constraints ? e->is_ca : -1);
    put_number("path", e->has_path_len ? (int64_t)e->path_len : -1);
    put_number("usage", e->has_key_usage ? e->key_usage : -1);
    put_number("purposes", e->has_ext_key_usage ? (int64_t)e->ext_key_usage : -1);
    put_number("unknown_critical", e->has_unknown_critical);
    put_hex("key_id", e->subject_key_id);
    put_hex("authority", e->authority_key_id);
    put_hex("hardware_type", e->hardware_type);
    put_hex("hardware_serial", e->hardware_serial);
    (void)printf(" names=");
    while (x509_name_next(&walk, &tag, &value)) {
        (void)printf("%02x:", tag);
        for (size_t i = 0; i < value.len; i++) {
            (void)printf("%02x", value.at[i]);
        }
        (void)printf(",");
    }
}

static bool show_certificate(struct slice bytes)
{
    struct x509 c;
    if (x509_parse(bytes, &c, NULL) != X509_OK) {
        return false;
    }
    (void)printf("ok");
    put_hex("serial", c.serial);
    put_hex("cn", c.subject_common_name);
    put_hex("sn", c.subject_serial_number);
    put_hex("o", c.subject_organization);
    put_hex("ou", c.subject_organizational_unit);
    put_number("from", c.not_before_ms);
    put_number("to", c.not_after_ms);
    put_number("kind", c.key_kind);
    put_hex("key", c.public_key);
    put_number("signed", c.signed_with);
    put_hex("signature", c.signature);
    put_extensions(&c.extensions);
    return true;
}

static bool show_request(struct slice bytes)
{
    struct csr r;
    if (csr_parse(bytes, &r, NULL) != X509_OK) {
        return false;
    }
    (void)printf("ok");
    put_number("kind", r.key_kind);
    put_hex("key", r.public_key);
    put_hex("signature", r.signature);
    put_hex("challenge", r.challenge);
    put_number("asks", r.has_extensions);
    put_extensions(&r.extensions);
    return true;
}

/* The signature over `info` as certificates and requests hold it; empty where there is none. */
static struct slice sign(const struct key_private *key,
                         enum x509_key_kind kind,
                         struct slice info,
                         struct writer *w)
{
    uint8_t raw[SIGNATURE_LEN];
    if (key_sign(key, &info, 1, raw) != KEY_OK) {
        return (struct slice){0};
    }
    if (kind == X509_ED25519) {
        write_bytes(w, raw, sizeof raw);
    } else if (key_signature_to_der(raw, w) != KEY_OK) {
        return (struct slice){0};
    }
    return writer_slice(w);
}

static void take_names(struct x509_spec *spec, const struct x509_extensions *e)
{
    struct x509_names walk = x509_names_begin(e->names);
    struct slice value = {0};
    uint8_t tag = 0;
    while (x509_name_next(&walk, &tag, &value)) {
        if (tag == (DER_CONTEXT | 2) && spec->dns_count < X509_SPEC_DNS_MAX) {
            spec->dns[spec->dns_count++] = value;
        } else if (tag == (DER_CONTEXT | 7) && spec->ip_count < X509_SPEC_IP_MAX) {
            spec->ip[spec->ip_count++] = value;
        }
    }
    spec->uri = e->uri;
    spec->hardware_type = e->hardware_type;
    spec->hardware_serial = e->hardware_serial;
}

static void take_extensions(struct x509_spec *spec, const struct x509_extensions *e)
{
    take_names(spec, e);
    spec->is_ca = e->is_ca;
    spec->has_path_len = e->has_path_len;
    spec->path_len = e->path_len;
    spec->key_usage = e->key_usage;
    spec->ext_key_usage =
        e->ext_key_usage & (X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH | X509_EKU_CMC_RA);
    spec->subject_key_id = e->subject_key_id;
    spec->authority_key_id = e->authority_key_id;
}

static enum x509_result write_certificate(const struct x509 *c,
                                          const struct key_private *key,
                                          struct writer *out)
{
    static const uint8_t serial[16] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                                       0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    uint8_t subject_bytes[1024], signature[SIGNATURE_DER_MAX];
    struct writer subject = writer_over(subject_bytes, sizeof subject_bytes);
    struct writer info = writer_over(info_bytes, sizeof info_bytes);
    struct writer signed_ = writer_over(signature, sizeof signature);
    const struct x509_subject names = {.organization = c->subject_organization,
                                       .organizational_unit = c->subject_organizational_unit,
                                       .common_name = c->subject_common_name,
                                       .serial_number = c->subject_serial_number};
    const struct key_public public = key_public_of(key);
    struct x509_spec spec = {.serial = slice_of(serial, sizeof serial),
                             .not_before_ms = c->not_before_ms,
                             .not_after_ms = c->not_after_ms,
                             .key_kind = c->key_kind,
                             .public_key = slice_of(public.bytes, public.len),
                             .sign_with = c->key_kind};
    x509_subject_write(&subject, &names);
    spec.issuer = writer_slice(&subject);
    spec.subject = writer_slice(&subject);
    take_extensions(&spec, &c->extensions);
    enum x509_result result = x509_tbs_write(&info, &spec);
    return result != X509_OK ? result
                             : x509_write(out, writer_slice(&info), c->key_kind,
                                          sign(key, c->key_kind, writer_slice(&info), &signed_));
}

static enum x509_result write_request(const struct csr *r,
                                      const struct key_private *key,
                                      struct writer *out)
{
    uint8_t names_bytes[X509_CERTIFICATE_MAX], signature[SIGNATURE_DER_MAX];
    struct writer names = writer_over(names_bytes, sizeof names_bytes);
    struct writer info = writer_over(info_bytes, sizeof info_bytes);
    struct writer signed_ = writer_over(signature, sizeof signature);
    const struct key_public public = key_public_of(key);
    struct x509_spec asked = {0};
    take_names(&asked, &r->extensions);
    x509_names_write(&names, &asked);
    const struct csr_spec spec = {.subject = r->subject,
                                  .key_kind = r->key_kind,
                                  .public_key = slice_of(public.bytes, public.len),
                                  .challenge = der_is_printable(r->challenge) ? r->challenge
                                                                              : (struct slice){0},
                                  .names = writer_slice(&names)};
    csr_info_write(&info, &spec);
    return csr_write(out, writer_slice(&info), r->key_kind,
                     sign(key, r->key_kind, writer_slice(&info), &signed_));
}

static bool rewrite(char what, struct slice bytes)
{
    struct x509 c;
    struct csr r;
    struct key_private *key = NULL;
    struct writer out = writer_over(out_bytes, sizeof out_bytes);
    bool is_request = what == 'R';
    if ((is_request ? csr_parse(bytes, &r, NULL) : x509_parse(bytes, &c, NULL)) != X509_OK) {
        return false;
    }
    enum x509_key_kind kind = is_request ? r.key_kind : c.key_kind;
    if (key_make((enum key_kind)kind, &key) != KEY_OK) {
        return false;
    }
    bool is_written =
        (is_request ? write_request(&r, key, &out) : write_certificate(&c, key, &out)) == X509_OK;
    key_free(key);
    if (is_written) {
        (void)printf("ok");
        put_hex("der", writer_slice(&out));
    }
    return is_written;
}

int main(void)
{
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t len = strcspn(line, "\n");
        len = len < 2 ? 0 : (len - 2) / 2;
        if (len > sizeof der || !bytes_from_hex(slice_of(line + 2, 2 * len), der, len)) {
            return 1;
        }
        struct slice bytes = slice_of(der, len);
        bool is_done = line[0] == 'c'   ? show_certificate(bytes)
                       : line[0] == 'r' ? show_request(bytes)
                                        : rewrite(line[0], bytes);
        (void)printf("%s\n", is_done ? "" : "no");
    }
    return 0;
}
