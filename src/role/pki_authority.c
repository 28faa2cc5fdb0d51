#include "role/pki_authority.h"

#include "codec/pem.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <string.h>

void pki_serial(struct port *port, uint8_t out[PKI_SERIAL_LEN])
{
    port_entropy(port, out, PKI_SERIAL_LEN);
    out[0] = (uint8_t)((out[0] & 0x7f) | 0x40); /* positive, and not one octet shorter */
}

static struct slice public_bytes(const struct pki_entity *entity)
{
    return slice_of(entity->public.bytes, entity->public.len);
}

static void take_key(struct pki_entity *entity, struct key_private *key)
{
    entity->key = key;
    entity->public = key_public_of(key);
    identity_key_id(public_bytes(entity), entity->key_id);
}

static bool certify(struct pki_entity *out,
                    struct port *port,
                    const struct pki_entity *issuer,
                    struct x509_spec spec)
{
    uint8_t serial[PKI_SERIAL_LEN];
    uint8_t tbs_bytes[PKI_DER_MAX];
    struct writer tbs = writer_over(tbs_bytes, sizeof tbs_bytes);
    struct writer der = writer_over(out->der, sizeof out->der);
    pki_serial(port, serial);
    spec.serial = slice_of(serial, sizeof serial);
    spec.issuer = issuer == out ? spec.subject : issuer->certificate.subject;
    spec.key_kind = out->public.kind == KEY_P256 ? X509_P256 : X509_ED25519;
    spec.public_key = public_bytes(out);
    spec.sign_with = signature_kind(issuer->key);
    spec.subject_key_id = slice_of(out->key_id, sizeof out->key_id);
    spec.authority_key_id = slice_of(issuer->key_id, sizeof issuer->key_id);
    if (x509_tbs_write(&tbs, &spec) != X509_OK
        || !signature_certificate(&der, writer_slice(&tbs), issuer->key)) {
        return false;
    }
    out->der_len = der.len;
    return x509_parse(writer_slice(&der), &out->certificate, NULL) == X509_OK;
}

bool pki_entity_make(struct pki_entity *out,
                     struct port *port,
                     enum key_kind kind,
                     const struct pki_entity *issuer,
                     const struct x509_spec *spec)
{
    struct key_private *key = NULL;
    *out = (struct pki_entity){0};
    if (key_make(kind, &key) != KEY_OK) {
        return false;
    }
    take_key(out, key);
    if (!certify(out, port, issuer != NULL ? issuer : out, *spec)) {
        pki_entity_forget(out);
        return false;
    }
    return true;
}

bool pki_entity_certify(struct pki_entity *entity,
                        struct port *port,
                        const struct pki_entity *issuer,
                        const struct x509_spec *spec)
{
    return certify(entity, port, issuer, *spec);
}

static bool take_certificate(struct pki_entity *out, struct slice pem)
{
    struct writer der = writer_over(out->der, sizeof out->der);
    struct slice label = {0};
    struct slice bytes = {0};
    if (pem_next(&pem, &label, &der, &bytes) != PEM_OK || !slice_is_text(label, "CERTIFICATE")) {
        return false;
    }
    out->der_len = der.len;
    return x509_parse(bytes, &out->certificate, NULL) == X509_OK
           && slice_equal(out->certificate.public_key, public_bytes(out));
}

bool pki_entity_from_pem(struct pki_entity *out, struct slice certificate_pem, struct slice key_pem)
{
    struct key_private *key = NULL;
    *out = (struct pki_entity){0};
    if (key_from_pem(key_pem, &key) != KEY_OK) {
        return false;
    }
    take_key(out, key);
    if (!take_certificate(out, certificate_pem)) {
        pki_entity_forget(out);
        return false;
    }
    return true;
}

bool pki_entity_of_certificate(struct pki_entity *out, struct slice certificate_pem)
{
    struct writer der = writer_over(out->der, sizeof out->der);
    struct slice label = {0};
    struct slice bytes = {0};
    *out = (struct pki_entity){0};
    if (pem_next(&certificate_pem, &label, &der, &bytes) != PEM_OK
        || !slice_is_text(label, "CERTIFICATE")
        || x509_parse(bytes, &out->certificate, NULL) != X509_OK
        || key_public_from_bytes(out->certificate.key_kind == X509_P256 ? KEY_P256 : KEY_ED25519,
                                 out->certificate.public_key, &out->public)
               != KEY_OK) {
        return false;
    }
    out->der_len = der.len;
    identity_key_id(public_bytes(out), out->key_id);
    return true;
}

void pki_entity_forget(struct pki_entity *entity)
{
    key_free(entity->key);
    *entity = (struct pki_entity){0};
}
