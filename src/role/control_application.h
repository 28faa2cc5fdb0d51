/*
 * Certificates for applications: the request is looked at here, the keeper signs. Nothing is kept:
 * who asked makes it durable before anybody sees it (role/control_grants.c).
 */
#ifndef ROLE_CONTROL_APPLICATION_H
#define ROLE_CONTROL_APPLICATION_H

#include "base/id.h"
#include "role/control_devices.h"

enum application_outcome {
    APPLICATION_SIGNED = 1,
    APPLICATION_BAD_REQUEST, /* `reason` */
    APPLICATION_NO_KEEPER /* it is away, busy, or does not allow it: nothing is known to be issued
                           */
};

struct application_answer {
    enum application_outcome outcome;
    const char *reason;       /* static; "" where signed */
    struct digest key;        /* SHA-256 of its SubjectPublicKeyInfo */
    struct slice certificate; /* DER, valid during the call */
    struct slice serial;
    int64_t not_before_ms, not_after_ms, issued_ms;
};

typedef void control_application_answered(void *context, const struct application_answer *answer);

enum { APPLICATIONS_PENDING_MAX = 16 };

/* The digest of the request's key; false, with the clause, where it is no request that can be
 * granted: PKCS#10 for a key of P-256, signed by it. */
MUST_USE bool control_application_key(struct slice csr_der,
                                      struct digest *key,
                                      const char **clause);

/* `answered` is called once, perhaps before this returns. `life_ms`: of the certificate, which ends
 * with its issuer at the latest. */
void control_application_issue(struct control_devices *services,
                               struct slice name,
                               struct slice csr_der,
                               uint64_t life_ms,
                               control_application_answered *answered,
                               void *context);

/* DER of the issuer and the root, as long as the services live. */
void control_devices_chain(const struct control_devices *services,
                           struct slice *issuer,
                           struct slice *root);

#endif
