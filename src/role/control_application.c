#include "role/control_application.h"

#include "core/control/enrolment.h"
#include "role/control_devices_inside.h"
#include "role/pki_authority.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <string.h>

static bool read_request(struct slice der, struct csr *csr, const char **clause)
{
    if (csr_parse(der, csr, NULL) != X509_OK || csr->key_kind != X509_P256) {
        *clause = "the request is not a PKCS#10 request with a key of P-256";
        return false;
    }
    if (signature_of_request(csr) != SIGNATURE_OK) {
        *clause = "the request is not signed by its own key";
        return false;
    }
    return true;
}

bool control_application_key(struct slice csr_der, struct digest *key, const char **clause)
{
    struct csr csr;
    if (!read_request(csr_der, &csr, clause)) {
        return false;
    }
    *key = identity_key_digest(csr.spki);
    return true;
}

void control_devices_chain(const struct control_devices *s,
                           struct slice *issuer,
                           struct slice *root)
{
    *issuer = s->issuer.certificate.der;
    *root = s->root.certificate.der;
}

static void refuse(enum application_outcome outcome,
                   const char *reason,
                   control_application_answered *answered,
                   void *context)
{
    answered(context, &(struct application_answer){.outcome = outcome, .reason = reason});
}

static struct devices_application *find_free(struct control_devices *s)
{
    for (size_t i = 0; i < APPLICATIONS_PENDING_MAX; i++) {
        if (!s->applications[i].is_used) {
            return &s->applications[i];
        }
    }
    return NULL;
}

void control_application_issue(struct control_devices *s,
                               struct slice name,
                               struct slice csr_der,
                               uint64_t life_ms,
                               control_application_answered *answered,
                               void *context)
{
    struct csr csr;
    const char *clause = "";
    if (!read_request(csr_der, &csr, &clause)) {
        refuse(APPLICATION_BAD_REQUEST, clause, answered, context);
        return;
    }
    struct devices_application *p = find_free(s);
    uint8_t serial[PKI_SERIAL_LEN];
    pki_serial(s->port, serial);
    struct enrol_certificate what = {.serial = slice_of(serial, sizeof serial),
                                     .issuer = &s->issuer.certificate,
                                     .domain = slice_text(s->options.domain),
                                     .application = name,
                                     .public_key = csr.public_key,
                                     .now_ms = port_wall_ms(s->port, NULL),
                                     .lifetime_ms = life_ms};
    bool asked = false;
    if (p != NULL) {
        memset(p, 0, sizeof *p);
        struct writer w = writer_over(p->tbs, sizeof p->tbs);
        asked = enrol_tbs_write(&w, &what)
                && keeper_client_sign(s->keeper, KEEPER_APPLICATION_CERTIFICATE, writer_slice(&w),
                                      &p->keeper_id);
        p->tbs_len = w.len;
    }
    if (!asked) {
        refuse(APPLICATION_NO_KEEPER, "the issuing key is away or busy; nothing was issued",
               answered, context);
        return;
    }
    p->is_used = true;
    p->key = identity_key_digest(csr.spki);
    p->issued_ms = what.now_ms;
    p->answered = answered;
    p->context = context;
}

static void finish(struct control_devices *s,
                   struct devices_application *p,
                   const struct keeper_client_answer *from_keeper)
{
    uint8_t der[DEVICES_DER_MAX];
    struct writer w = writer_over(der, sizeof der);
    struct x509 certificate;
    if (from_keeper->outcome != KEEPER_SIGNED
        || x509_write(&w, slice_of(p->tbs, p->tbs_len), s->issuer.certificate.key_kind,
                      from_keeper->bytes)
               != X509_OK
        || x509_parse(writer_slice(&w), &certificate, NULL) != X509_OK) {
        refuse(APPLICATION_NO_KEEPER, "the keeper gives no signature for it; nothing was issued",
               p->answered, p->context);
        return;
    }
    struct application_answer answer = {
        .outcome = APPLICATION_SIGNED,
        .reason = "",
        .key = p->key,
        .certificate = writer_slice(&w),
        .serial = certificate.serial,
        .not_before_ms = certificate.not_before_ms,
        .not_after_ms = certificate.not_after_ms,
        .issued_ms = p->issued_ms,
    };
    p->answered(p->context, &answer);
}

bool devices_application_signed(struct control_devices *s,
                                const struct keeper_client_answer *answer)
{
    for (size_t i = 0; i < APPLICATIONS_PENDING_MAX; i++) {
        struct devices_application *p = &s->applications[i];
        if (p->is_used && p->keeper_id == answer->id) {
            p->is_used = false;
            finish(s, p, answer);
            return true;
        }
    }
    return false;
}
