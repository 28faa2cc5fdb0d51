#include "role/pki_init.h"

#include "codec/csr.h"
#include "codec/der.h"
#include "codec/pem.h"
#include "io/folder.h"
#include "role/pki_files.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <string.h>

#define DAY_MS INT64_C(86400000)

enum { SERIAL_MAX = 64, TEXT_MAX = 64 };

/* What goes into a subject: no control characters, of a length that every reader takes. */
static bool is_usable(const char *text, size_t max)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= max;
}

static int64_t begin_of_validity(struct port *port)
{
    enum time_quality quality;
    return (port_wall_ms(port, &quality) / 1000) * 1000 - DAY_MS;
}

static enum pki_result write_entity(struct port *port,
                                    const char *dir,
                                    const char *stem,
                                    const struct pki_entity *entity,
                                    struct port_why *why)
{
    char key_name[TEXT_MAX];
    char certificate_name[TEXT_MAX];
    struct writer k = writer_over(key_name, sizeof key_name);
    struct writer c = writer_over(certificate_name, sizeof certificate_name);
    write_text(&k, stem);
    write_bytes(&k, ".key", sizeof ".key");
    write_text(&c, stem);
    write_bytes(&c, ".pem", sizeof ".pem");
    enum pki_result result = pki_write_key(port, dir, key_name, entity->key, why);
    if (result == PKI_OK) {
        result = pki_write_chain(port, dir, certificate_name, &entity, 1, why);
    }
    return result;
}

/* The certificate is written last: with it, what it stands for is complete. */
static enum pki_result open_dir(struct port *port,
                                const char *dir,
                                const char *certificate,
                                struct port_why *why)
{
    if (port_folder_make(port, dir) != PORT_OK) {
        return pki_refuse(PKI_FAILED, why, "the folder %s could not be made", dir);
    }
    if (pki_has_file(port, dir, certificate)) {
        return pki_refuse(PKI_EXISTS, why, "%s/%s is there already; nothing was changed", dir,
                          certificate);
    }
    return PKI_OK;
}

enum pki_result pki_make_manufacturer(struct port *port,
                                      const char *dir,
                                      const char *name,
                                      struct port_why *why)
{
    if (!is_usable(name, TEXT_MAX)) {
        return pki_refuse(PKI_BAD, why,
                          "a manufacturer's name has 1 to 64 bytes and no control characters");
    }
    enum pki_result result = open_dir(port, dir, "manufacturer.pem", why);
    if (result != PKI_OK) {
        return result;
    }
    uint8_t subject_bytes[PKI_NAME_MAX];
    struct writer subject = writer_over(subject_bytes, sizeof subject_bytes);
    x509_subject_write(&subject,
                       &(struct x509_subject){.organization = slice_text(name),
                                              .common_name = slice_text("Device manufacturer CA")});
    struct x509_spec spec = {
        .subject = writer_slice(&subject),
        .not_before_ms = begin_of_validity(port),
        .not_after_ms = PKI_NEVER_MS,
        .is_ca = true,
        .has_path_len = true,
        .key_usage = X509_KEY_CERT_SIGN | X509_CRL_SIGN,
    };
    struct pki_entity maker;
    if (!pki_entity_make(&maker, port, KEY_P256, NULL, &spec)) {
        return pki_refuse(PKI_FAILED, why, "the manufacturer's key could not be made");
    }
    result = write_entity(port, dir, "manufacturer", &maker, why);
    pki_entity_forget(&maker);
    return result;
}

static struct x509_spec idevid_spec(struct port *port, struct slice subject, const char *serial)
{
    return (struct x509_spec){
        .subject = subject,
        .not_before_ms = begin_of_validity(port),
        .not_after_ms = PKI_NEVER_MS,
        .key_usage = X509_DIGITAL_SIGNATURE,
        .hardware_type = x509_oid_hardware_default(),
        .hardware_serial = slice_text(serial),
    };
}

static enum pki_result make_idevid(struct port *port,
                                   const struct pki_entity *maker,
                                   const char *serial,
                                   const char *model,
                                   const char *out_dir,
                                   struct device_id *id,
                                   struct port_why *why)
{
    uint8_t subject_bytes[PKI_NAME_MAX];
    struct writer subject = writer_over(subject_bytes, sizeof subject_bytes);
    x509_subject_write(
        &subject, &(struct x509_subject){.organization = maker->certificate.subject_organization,
                                         .organizational_unit = slice_text(model),
                                         .serial_number = slice_text(serial)});
    struct x509_spec spec = idevid_spec(port, writer_slice(&subject), serial);
    struct pki_entity device;
    if (!pki_entity_make(&device, port, KEY_P256, maker, &spec)) {
        return pki_refuse(PKI_FAILED, why, "the IDevID of %s could not be made", serial);
    }
    enum pki_result result = write_entity(port, out_dir, "idevid", &device, why);
    if (result == PKI_OK) {
        *id = identity_of_hardware(device.certificate.spki);
    }
    pki_entity_forget(&device);
    return result;
}

enum pki_result pki_make_idevid(struct port *port,
                                const char *factory_dir,
                                const char *serial,
                                const char *model,
                                const char *out_dir,
                                struct device_id *id,
                                struct port_why *why)
{
    if (!is_usable(serial, SERIAL_MAX) || !der_is_printable(slice_text(serial))
        || !is_usable(model, TEXT_MAX)) {
        return pki_refuse(PKI_BAD, why,
                          "serial and model have 1 to 64 bytes; a serial has letters, digits and "
                          "'()+,-./:=? only");
    }
    enum pki_result result = open_dir(port, out_dir, "idevid.pem", why);
    if (result != PKI_OK) {
        return result;
    }
    struct pki_entity maker;
    result = pki_read_entity(port, factory_dir, "manufacturer", &maker, why);
    if (result == PKI_OK) {
        result = make_idevid(port, &maker, serial, model, out_dir, id, why);
        pki_entity_forget(&maker);
    }
    return result;
}

enum pki_result pki_make_client_key(const char *common_name,
                                    struct slice own,
                                    struct writer *key_pem,
                                    struct writer *csr_pem)
{
    uint8_t subject_bytes[PKI_NAME_MAX];
    uint8_t info_bytes[PKI_NAME_MAX * 2];
    uint8_t der_bytes[PKI_NAME_MAX * 3];
    struct writer subject = writer_over(subject_bytes, sizeof subject_bytes);
    struct writer info = writer_over(info_bytes, sizeof info_bytes);
    struct writer der = writer_over(der_bytes, sizeof der_bytes);
    struct key_private *key = NULL;
    if (!is_usable(common_name, TEXT_MAX)) {
        return PKI_BAD;
    }
    if (own.len > 0 && key_from_pem(own, &key) != KEY_OK) {
        return PKI_BAD;
    }
    if (own.len == 0 && key_make(KEY_P256, &key) != KEY_OK) {
        return PKI_FAILED;
    }
    struct key_public public = key_public_of(key);
    if (public.kind != KEY_P256) {
        key_free(key);
        return PKI_BAD;
    }
    x509_subject_write(&subject, &(struct x509_subject){.common_name = slice_text(common_name)});
    csr_info_write(&info, &(struct csr_spec){.subject = writer_slice(&subject),
                                             .key_kind = X509_P256,
                                             .public_key = slice_of(public.bytes, public.len)});
    bool made =
        signature_request(&der, writer_slice(&info), key) && key_to_pem(key, key_pem) == KEY_OK;
    key_free(key);
    pem_write(csr_pem, "CERTIFICATE REQUEST", writer_slice(&der));
    return made && writer_ok(key_pem) && writer_ok(csr_pem) ? PKI_OK : PKI_FAILED;
}
