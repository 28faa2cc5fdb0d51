#include "trust/identity.h"

#include "crypto/hash.h"

#include <assert.h>
#include <string.h>

static const char domain_tag[] = "holdfast device 1"; /* hashed with its NUL */
static const char uri_scheme[] = "spiffe://";
static const char uri_path[] = "/device/";
static const char application_tag[] = "holdfast application 1"; /* hashed with its NUL */
static const char application_path[] = "/app/";

static_assert((int)DEVICE_ID_TEXT_LEN <= (int)IDENTITY_APPLICATION_MAX,
              "IDENTITY_URI_MAX holds both");

static struct device_id id_of(const char *tag, size_t tag_len, struct slice what)
{
    struct hash h;
    struct digest digest;
    struct device_id id;
    hash_init(&h);
    hash_add(&h, slice_of(tag, tag_len));
    hash_add(&h, what);
    hash_end(&h, &digest);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    return id;
}

struct device_id identity_of_hardware(struct slice spki)
{
    return id_of(domain_tag, sizeof domain_tag, spki);
}

struct device_id identity_application_id(struct slice name)
{
    return id_of(application_tag, sizeof application_tag, name);
}

struct digest identity_key_digest(struct slice spki)
{
    return hash_of(spki);
}

void identity_key_id(struct slice public_key, uint8_t out[X509_KEY_ID_LEN])
{
    struct digest digest = hash_of(public_key);
    memcpy(out, digest.bytes, X509_KEY_ID_LEN);
}

/* Takes `text` off the front of *rest. */
static bool take_prefix(struct slice *rest, struct slice text)
{
    if (!slice_has_prefix(*rest, text)) {
        return false;
    }
    *rest = slice_after(*rest, text.len);
    return true;
}

/* What stands behind the domain in the one URI name. */
static bool path_of(const struct x509 *certificate,
                    struct slice domain,
                    struct slice *path,
                    struct fault *fault)
{
    const struct x509_extensions *e = &certificate->extensions;
    if (e->uri_count != 1) {
        fault_note(fault, "SPIFFE X509-SVID 2: not exactly one URI name", e->uri_count);
        return false;
    }
    *path = e->uri;
    if (!take_prefix(path, slice_text(uri_scheme)) || !take_prefix(path, domain)) {
        fault_note(fault, "the URI name is not of this site's domain", 0);
        return false;
    }
    return true;
}

bool identity_of_ldevid(const struct x509 *certificate,
                        struct slice domain,
                        struct device_id *out,
                        struct fault *fault)
{
    struct slice rest;
    if (!path_of(certificate, domain, &rest, fault)) {
        return false;
    }
    if (!take_prefix(&rest, slice_text(uri_path)) || !device_id_from_text(rest, out)) {
        fault_note(fault, "the URI name is not spiffe://DOMAIN/device/hf1:HEX", 0);
        return false;
    }
    return true;
}

void identity_write_uri(struct writer *w, struct slice domain, const struct device_id *id)
{
    write_text(w, uri_scheme);
    write_slice(w, domain);
    write_text(w, uri_path);
    device_id_write_text(w, id);
}

/* ---- applications ---- */

bool identity_application_name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        bool is_mark = c == '.' || c == '_' || c == '-';
        if (!is_letter && !is_digit && !(is_mark && i > 0)) {
            return false;
        }
    }
    return name.len > 0 && name.len <= IDENTITY_APPLICATION_MAX;
}

bool identity_of_application(const struct x509 *certificate,
                             struct slice domain,
                             struct slice *name,
                             struct fault *fault)
{
    struct slice rest;
    if (!path_of(certificate, domain, &rest, fault)) {
        return false;
    }
    if (!take_prefix(&rest, slice_text(application_path))
        || !identity_application_name_is_valid(rest)) {
        fault_note(fault, "the URI name is not spiffe://DOMAIN/app/NAME", 0);
        return false;
    }
    *name = rest;
    return true;
}

void identity_write_application_uri(struct writer *w, struct slice domain, struct slice name)
{
    write_text(w, uri_scheme);
    write_slice(w, domain);
    write_text(w, application_path);
    write_slice(w, name);
}
