#include "trust/identity.h"

#include "crypto/hash.h"

#include <string.h>

static const char domain_tag[] = "holdfast device 1"; /* hashed with its NUL */
static const char uri_scheme[] = "spiffe://";
static const char uri_path[] = "/device/";

struct device_id identity_of_hardware(struct slice spki)
{
    struct hash h;
    struct digest digest;
    struct device_id id;
    hash_init(&h);
    hash_add(&h, slice_of(domain_tag, sizeof domain_tag));
    hash_add(&h, spki);
    hash_end(&h, &digest);
    memcpy(id.bytes, digest.bytes, sizeof id.bytes);
    return id;
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

bool identity_of_ldevid(const struct x509 *certificate,
                        struct slice domain,
                        struct device_id *out,
                        struct fault *fault)
{
    const struct x509_extensions *e = &certificate->extensions;
    if (e->uri_count != 1) {
        fault_note(fault, "SPIFFE X509-SVID 2: not exactly one URI name", e->uri_count);
        return false;
    }
    struct slice rest = e->uri;
    if (!take_prefix(&rest, slice_text(uri_scheme)) || !take_prefix(&rest, domain)) {
        fault_note(fault, "the URI name is not of this site's domain", 0);
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
