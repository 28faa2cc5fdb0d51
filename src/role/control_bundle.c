/* Certificates for stock clients: a key an operator made stands where a device's hardware would. */
#include "core/control/identity.h"
#include "role/control_devices_inside.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <string.h>

static void refuse(enum bundle_outcome outcome,
                   const char *reason,
                   control_bundle_answered *answered,
                   void *context)
{
    answered(context, &(struct bundle_answer){.outcome = outcome, .reason = reason});
}

/* The same letters that a serial becomes: a name that would have to be changed is refused. */
static bool is_name(struct slice name)
{
    char clean[REGISTRY_NAME_MAX + 1];
    if (name.len == 0 || name.len > REGISTRY_NAME_MAX) {
        return false;
    }
    devices_name(clean, name);
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] != (uint8_t)clean[i]) {
            return false;
        }
    }
    return name.at[0] != '-' && name.at[0] != '.';
}

static const char *wrong_with(struct slice name, struct slice der, struct csr *csr)
{
    if (!is_name(name)) {
        return "a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or "
               "digit";
    }
    if (csr_parse(der, csr, NULL) != X509_OK || csr->key_kind != X509_P256) {
        return "the request is not a PKCS#10 request with a key of P-256";
    }
    if (signature_of_request(csr) != SIGNATURE_OK) {
        return "the request is not signed by its own key";
    }
    return NULL;
}

/* The name and the key are those of a bundle that was issued: an answer was lost, or it is asked
 * for again. It has the certificate it had. */
bool devices_bundle_again(struct control_devices *s,
                          struct slice name,
                          const struct digest *key,
                          control_bundle_answered *answered,
                          void *context)
{
    static struct registry_certificate kept;
    struct registry_device holder;
    if (registry_device_by_name(s->options.registry, name, &holder) != REGISTRY_OK
        || holder.origin != REGISTRY_BUNDLE
        || memcmp(holder.hardware_key.bytes, key->bytes, DIGEST_LEN) != 0
        || registry_certificate_by_key(s->options.registry, key, &kept) != REGISTRY_OK
        || !device_id_equal(&kept.device, &holder.id)
        || (kept.state != CERTIFICATE_CURRENT && kept.state != CERTIFICATE_PREVIOUS)
        || kept.not_after_ms <= port_wall_ms(s->port, NULL)) {
        return false;
    }
    s->counts.returned++;
    answered(context, &(struct bundle_answer){.outcome = BUNDLE_ISSUED,
                                              .reason = "",
                                              .device = holder.id,
                                              .certificate = slice_of(kept.der, kept.der_len),
                                              .issuer = s->issuer.certificate.der,
                                              .root = s->root.certificate.der});
    return true;
}

void control_bundle_issue(struct control_devices *s,
                          struct slice name,
                          struct slice der,
                          struct slice actor,
                          control_bundle_answered *answered,
                          void *context)
{
    struct csr csr;
    struct registry_device device = {.origin = REGISTRY_BUNDLE, .state = IDENTITY_EXPECTED};
    struct registry_device holder;
    enum identity_state to = IDENTITY_EXPECTED;
    const char *wrong = wrong_with(name, der, &csr);
    if (wrong != NULL) {
        refuse(BUNDLE_BAD, wrong, answered, context);
        return;
    }
    device.hardware_key = identity_key_digest(csr.spki);
    if (devices_bundle_again(s, name, &device.hardware_key, answered, context)) {
        return;
    }
    enum registry_result result = registry_device_by_name(s->options.registry, name, &holder);
    if (result != REGISTRY_NOT_FOUND) {
        bool is_there = result == REGISTRY_OK;
        refuse(is_there ? BUNDLE_TAKEN : BUNDLE_FAILED,
               is_there ? "the name is taken" : "the registry failed", answered, context);
        return;
    }
    device.id = identity_of_hardware(csr.spki);
    device.created_ms = port_wall_ms(s->port, NULL);
    devices_name(device.name, name);
    memcpy(device.serial, device.name, sizeof device.name);
    struct enrol_certificate what = {.device = device.id,
                                     .subject_serial = name,
                                     .common_name = name,
                                     .public_key = csr.public_key};
    struct devices_pending *p = identity_after_issue(device.state, true, &to)
                                    ? devices_begin(s, &what, &device, true, to)
                                    : NULL;
    if (p == NULL) {
        refuse(BUNDLE_UNAVAILABLE, "the issuing key is away or busy; nothing was issued", answered,
               context);
        return;
    }
    size_t len = actor.len < sizeof p->actor ? actor.len : sizeof p->actor - 1;
    memcpy(p->actor, actor.at, len);
    p->by_hardware = true;
    p->answered = answered;
    p->context = context;
}
