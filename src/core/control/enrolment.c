#include "core/control/enrolment.h"

#include "base/invariant.h"
#include "codec/base64.h"
#include "core/control/identity.h"
#include "core/control/signing.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <assert.h>

static_assert(BASE64_LEN(ENROL_EXPORTER_LEN) == ENROL_CHALLENGE_LEN,
              "the challenge is the exporter's base64");

#define PROFILE "docs/protocol/enrolment.md"

static const struct enrol_answer answers[ENROL_REFUSAL_COUNT] = {
    [ENROL_NO_CERTIFICATE] =
        {403, "HF-3201", "no-certificate",
         "a client certificate is needed: the device's IDevID, or the certificate to be renewed",
         false},
    [ENROL_WRONG_OPERATION] =
        {403, "HF-3202", "wrong-operation",
         "simpleenroll takes an IDevID, simplereenroll the certificate to be renewed", false},
    [ENROL_NO_SERIAL] = {403, "HF-3203", "no-serial",
                         "the IDevID has no serialNumber in its subject (802.1AR 8.6)", true},
    [ENROL_BAD_DEVICE_NAME] = {403, "HF-3204", "bad-device-name",
                               "the certificate names no device of this site in exactly one URI",
                               true},
    [ENROL_WRONG_KEY] = {400, "HF-3205", "wrong-key", "the request's key is not of P-256", false},
    [ENROL_BAD_SIGNATURE] = {400, "HF-3206", "bad-signature",
                             "the request is not signed by its own key", false},
    [ENROL_ASKS_FOR_CA] = {403, "HF-3207", "asks-for-ca", "the request asks for a CA certificate",
                           true},
    [ENROL_UNKNOWN_CRITICAL] = {400, "HF-3208", "unknown-critical",
                                "the request has a critical extension that is not known", false},
    [ENROL_UNLINKED] =
        {403, "HF-3209", "unlinked",
         "challengePassword must be base64(tls-exporter), 44 characters: profile in " PROFILE,
         false},
    [ENROL_WRONG_LINK] = {403, "HF-3210", "wrong-link",
                          "challengePassword is not base64(tls-exporter) of this connection, 44 "
                          "characters: profile in " PROFILE,
                          true},
    [ENROL_TLS_KEY] = {403, "HF-3211", "tls-key",
                       "the request's key is that of the TLS certificate; make a new one", false},
    [ENROL_UNKNOWN_DEVICE] = {403, "HF-3212", "unknown-device",
                              "the registry does not know this device", true},
    [ENROL_OLD_CERTIFICATE] = {403, "HF-3213", "old-certificate",
                               "this certificate was superseded or revoked; enrol with the IDevID",
                               true},
    [ENROL_NOT_IN_THIS_STATE] = {403, "HF-3214", "not-in-this-state",
                                 "the device is not in a state that may enrol", true},
    [ENROL_OTHER_SUBJECT] = {403, "HF-3215", "other-subject",
                             "RFC 7030 4.2.2: the subject differs from the certificate's", false},
    [ENROL_OTHER_NAMES] = {403, "HF-3216", "other-names",
                           "RFC 7030 4.2.2: subjectAltName differs from the certificate's", false},
    [ENROL_KEY_OF_ANOTHER] = {403, "HF-3217", "key-of-another",
                              "this key has a certificate of another device", true},
    [ENROL_KEY_USED] = {403, "HF-3218", "key-used",
                        "this key had a certificate that is over; make a new key", false},
    [ENROL_TOO_OFTEN] = {429, "HF-3220", "too-often",
                         "this device had 60 certificates within an hour; try again later", true},
};

const struct enrol_answer *enrol_answer_of(enum enrol_refusal refusal)
{
    INVARIANT(refusal >= ENROL_NO_CERTIFICATE && refusal <= ENROL_TOO_OFTEN);
    return &answers[refusal];
}

static bool refuse(enum enrol_refusal *out, enum enrol_refusal why)
{
    *out = why;
    return false;
}

static bool identify_peer(const struct enrol_policy *policy,
                          const struct enrol_request *request,
                          struct device_id *device,
                          enum enrol_refusal *refusal)
{
    bool is_first = request->operation == ENROL_FIRST;
    switch (request->peer) {
    case ENROL_STRANGER: return refuse(refusal, ENROL_NO_CERTIFICATE);
    case ENROL_HARDWARE:
        if (!is_first) {
            return refuse(refusal, ENROL_WRONG_OPERATION);
        }
        if (request->certificate->subject_serial_number.len == 0) {
            return refuse(refusal, ENROL_NO_SERIAL);
        }
        *device = identity_of_hardware(request->certificate->spki);
        return true;
    case ENROL_DEVICE:
        if (is_first) {
            return refuse(refusal, ENROL_WRONG_OPERATION);
        }
        return identity_of_ldevid(request->certificate, policy->domain, device, NULL)
               || refuse(refusal, ENROL_BAD_DEVICE_NAME);
    }
    UNREACHABLE();
}

/* RFC 7030 3.5 with RFC 9266's binding: a value that is there is always verified, whether or not it
 * is required. */
static bool check_link(const struct enrol_policy *policy,
                       const struct enrol_request *request,
                       enum enrol_refusal *refusal)
{
    uint8_t wanted[ENROL_CHALLENGE_LEN];
    struct writer w = writer_over(wanted, sizeof wanted);
    if (!request->csr->has_challenge) {
        return !policy->require_linking || refuse(refusal, ENROL_UNLINKED);
    }
    base64_encode(&w, slice_of(request->exporter, sizeof request->exporter));
    struct slice given = request->csr->challenge;
    if (given.len != sizeof wanted || !equal_ct(given.at, wanted, sizeof wanted)) {
        return refuse(refusal, ENROL_WRONG_LINK);
    }
    return true;
}

static bool check_request(const struct enrol_request *request, enum enrol_refusal *refusal)
{
    const struct csr *csr = request->csr;
    if (csr->key_kind != X509_P256) {
        return refuse(refusal, ENROL_WRONG_KEY);
    }
    if (signature_of_request(csr) != SIGNATURE_OK) {
        return refuse(refusal, ENROL_BAD_SIGNATURE);
    }
    if (csr->has_extensions && csr->extensions.is_ca) {
        return refuse(refusal, ENROL_ASKS_FOR_CA);
    }
    if (csr->has_extensions && csr->extensions.has_unknown_critical) {
        return refuse(refusal, ENROL_UNKNOWN_CRITICAL);
    }
    if (slice_equal(csr->spki, request->certificate->spki)) {
        return refuse(refusal, ENROL_TLS_KEY);
    }
    return true;
}

/* RFC 7030 4.2.2: what is renewed keeps its name. */
static bool check_names_kept(const struct enrol_request *request, enum enrol_refusal *refusal)
{
    const struct csr *csr = request->csr;
    if (request->operation == ENROL_FIRST) {
        return true; /* the subject is ours to set */
    }
    if (!slice_equal(csr->subject, request->certificate->subject)) {
        return refuse(refusal, ENROL_OTHER_SUBJECT);
    }
    if (!slice_equal(csr->extensions.names, request->certificate->extensions.names)) {
        return refuse(refusal, ENROL_OTHER_NAMES);
    }
    return true;
}

bool enrol_identify(const struct enrol_policy *policy,
                    const struct enrol_request *request,
                    struct device_id *device,
                    enum enrol_refusal *refusal)
{
    struct device_id id = {0};
    if (!identify_peer(policy, request, &id, refusal) || !check_request(request, refusal)
        || !check_link(policy, request, refusal) || !check_names_kept(request, refusal)) {
        return false;
    }
    *device = id;
    return true;
}

static struct enrol_decision refused(enum enrol_refusal why)
{
    return (struct enrol_decision){.verdict = ENROL_REFUSE, .refusal = why};
}

void enrol_decide(const struct enrol_request *request,
                  const struct enrol_facts *facts,
                  struct enrol_decision *out)
{
    bool by_hardware = request->peer == ENROL_HARDWARE;
    enum identity_state from = facts->has_device ? facts->state : IDENTITY_EXPECTED;
    enum identity_state to = from;
    if (facts->key == ENROL_KEY_OTHERS) {
        *out = refused(ENROL_KEY_OF_ANOTHER);
        return;
    }
    if (!by_hardware && !facts->has_device) {
        *out = refused(ENROL_UNKNOWN_DEVICE);
        return;
    }
    if (!by_hardware && !facts->peer_is_live) {
        *out = refused(ENROL_OLD_CERTIFICATE);
        return;
    }
    if (!identity_after_issue(from, by_hardware, &to)) {
        *out = refused(ENROL_NOT_IN_THIS_STATE);
        return;
    }
    if (facts->key == ENROL_KEY_OWN) {
        *out = facts->key_certificate_is_live
                   ? (struct enrol_decision){.verdict = ENROL_RETURN, .state = from}
                   : refused(ENROL_KEY_USED);
        return;
    }
    if (facts->issued_last_hour >= ENROL_PER_HOUR_MAX) {
        *out = refused(ENROL_TOO_OFTEN);
        return;
    }
    *out = (struct enrol_decision){
        .verdict = ENROL_ISSUE, .state = to, .is_new_device = !facts->has_device};
}

bool enrol_tbs_write(struct writer *w, const struct enrol_certificate *what)
{
    uint8_t uri_bytes[IDENTITY_URI_MAX];
    uint8_t subject_bytes[X509_CERTIFICATE_MAX / 8];
    uint8_t key_id[X509_KEY_ID_LEN];
    struct writer uri = writer_over(uri_bytes, sizeof uri_bytes);
    struct writer subject = writer_over(subject_bytes, sizeof subject_bytes);
    int64_t now_ms = what->now_ms / 1000 * 1000;
    int64_t end_ms = now_ms + (int64_t)(what->lifetime_ms / 1000 * 1000);
    if (what->application.len > 0) {
        identity_write_application_uri(&uri, what->domain, what->application);
        x509_subject_write(&subject, &(struct x509_subject){.common_name = what->application});
    } else {
        identity_write_uri(&uri, what->domain, &what->device);
        x509_subject_write(&subject, &(struct x509_subject){.common_name = what->common_name,
                                                            .serial_number = what->subject_serial});
    }
    identity_key_id(what->public_key, key_id);
    struct x509_spec spec = {
        .serial = what->serial,
        .issuer = what->issuer->subject,
        .subject = writer_slice(&subject),
        .not_before_ms = now_ms - SIGNING_BACKDATE_MS,
        .not_after_ms = end_ms < what->issuer->not_after_ms ? end_ms : what->issuer->not_after_ms,
        .key_kind = X509_P256,
        .public_key = what->public_key,
        .sign_with = what->issuer->key_kind,
        .subject_key_id = slice_of(key_id, sizeof key_id),
        .authority_key_id = what->issuer->extensions.subject_key_id,
        .key_usage = X509_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_CLIENT_AUTH,
        .uri = writer_slice(&uri),
        .hardware_type = what->hardware_type,
        .hardware_serial = what->hardware_serial,
    };
    /* COVERAGE(both have room for the longest name; serial and life were chosen here) */
    return writer_ok(&uri) && writer_ok(&subject) && x509_tbs_write(w, &spec) == X509_OK;
}
