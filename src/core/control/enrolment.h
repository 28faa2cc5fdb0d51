/*
 * May this request have a certificate? A decision over facts: who is at the other end of the
 * connection, what it asks for, what the registry knows. The device is who the verified TLS
 * certificate says; nothing in the request is believed but its key and its proof of it.
 * docs/protocol/enrolment.md states each rule.
 *
 *     enrol_identify(request, ...)   which device is it?  (needs no registry)
 *     ... the role looks up enrol_facts ...
 *     enrol_decide(...)              issue, return the one it has, or refuse
 */
#ifndef CORE_CONTROL_ENROLMENT_H
#define CORE_CONTROL_ENROLMENT_H

#include "base/fault.h"
#include "base/id.h"
#include "base/slice.h"
#include "codec/csr.h"
#include "codec/identity_state.h"
#include "codec/x509.h"

enum enrol_operation { ENROL_FIRST = 1 /* simpleenroll */, ENROL_AGAIN /* simplereenroll */ };

/* Which anchors the client's chain met, as TLS verified it. */
enum enrol_peer { ENROL_STRANGER = 1, ENROL_HARDWARE /* IDevID */, ENROL_DEVICE /* LDevID */ };

enum { ENROL_EXPORTER_LEN = 32, ENROL_CHALLENGE_LEN = 44 };

struct enrol_policy {
    struct slice domain;
    bool require_linking;
};

struct enrol_request {
    enum enrol_operation operation;
    enum enrol_peer peer;
    const struct x509 *certificate; /* the peer's; NULL for a stranger */
    const struct csr *csr;
    uint8_t exporter[ENROL_EXPORTER_LEN]; /* tls-exporter of this connection */
};

enum enrol_refusal {
    ENROL_NO_CERTIFICATE = 1,
    ENROL_WRONG_OPERATION, /* first enrolment with an LDevID, renewal with an IDevID */
    ENROL_NO_SERIAL,       /* an IDevID without subject serialNumber */
    ENROL_BAD_DEVICE_NAME, /* an LDevID without the one URI of our domain */
    ENROL_WRONG_KEY,       /* not of P-256 */
    ENROL_BAD_SIGNATURE,   /* the request is not signed by its own key */
    ENROL_ASKS_FOR_CA,
    ENROL_UNKNOWN_CRITICAL,
    ENROL_UNLINKED,        /* linking is required and there is no challengePassword */
    ENROL_WRONG_LINK,      /* challengePassword is not this connection's tls-exporter */
    ENROL_TLS_KEY,         /* the request's key is the one of the TLS certificate */
    ENROL_UNKNOWN_DEVICE,  /* an LDevID of ours that the registry does not know */
    ENROL_OLD_CERTIFICATE, /* an LDevID that was superseded or revoked */
    ENROL_NOT_IN_THIS_STATE,
    ENROL_OTHER_SUBJECT,  /* renewal: the subject differs from the certificate's */
    ENROL_OTHER_NAMES,    /* renewal: subjectAltName differs */
    ENROL_KEY_OF_ANOTHER, /* the key has a certificate of another device: a clone, or bad randomness
                           */
    ENROL_KEY_USED,       /* the key had a certificate of this device that is no longer valid */
    ENROL_TOO_OFTEN       /* ENROL_PER_HOUR_MAX were issued to this device within an hour */
};
enum { ENROL_REFUSAL_COUNT = ENROL_TOO_OFTEN + 1, ENROL_PER_HOUR_MAX = 60 };

/* What is said about a refusal, to the client and in the entry. */
struct enrol_answer {
    int status;        /* HTTP */
    const char *code;  /* "HF-3206" */
    const char *name;  /* for counters: "wrong-link" */
    const char *text;  /* one sentence for the client */
    bool leaves_entry; /* an operator should see it */
};
const struct enrol_answer *enrol_answer_of(enum enrol_refusal refusal);

enum enrol_key_owner { ENROL_KEY_FRESH = 1, ENROL_KEY_OWN, ENROL_KEY_OTHERS };

struct enrol_facts {
    bool has_device;
    enum identity_state state; /* of the device */
    bool peer_is_live; /* renewal: the registry holds the peer's certificate as current or previous
                        */
    enum enrol_key_owner key;     /* whose certificate has the request's key */
    bool key_certificate_is_live; /* ENROL_KEY_OWN: that certificate is current or previous, and not
                                     expired */
    uint64_t issued_last_hour;    /* certificates of this device */
};

enum enrol_verdict {
    ENROL_ISSUE = 1,
    ENROL_RETURN /* the certificate that this key has */,
    ENROL_REFUSE
};

struct enrol_decision {
    enum enrol_verdict verdict;
    enum enrol_refusal refusal; /* ENROL_REFUSE */
    enum identity_state state;  /* ENROL_ISSUE: of the device afterwards */
    bool is_new_device;         /* ENROL_ISSUE: to be created first */
};

/* Everything that needs no registry. False with the refusal. */
MUST_USE bool enrol_identify(const struct enrol_policy *policy,
                             const struct enrol_request *request,
                             struct device_id *device,
                             enum enrol_refusal *refusal);

/* To be asked after enrol_identify was true, with the facts about that device. */
void enrol_decide(const struct enrol_request *request,
                  const struct enrol_facts *facts,
                  struct enrol_decision *out);

/* ---- certificates ---- */

struct enrol_certificate {
    struct slice serial; /* 16 octets */
    const struct x509 *issuer;
    struct device_id device;
    struct slice domain;
    struct slice subject_serial; /* text of subject serialNumber; empty: none */
    struct slice common_name;    /* bundles; empty: none */
    struct slice application;    /* its name, where it is for one: then `device` names nobody */
    struct slice hardware_type;  /* of the hardware module name; empty: none */
    struct slice hardware_serial;
    struct slice public_key; /* of P-256 */
    int64_t now_ms;
    uint64_t lifetime_ms;
};

/* The tbsCertificate of an LDevID or an application, as core/control/signing.h allows it. */
MUST_USE bool enrol_tbs_write(struct writer *w, const struct enrol_certificate *what);

#endif
