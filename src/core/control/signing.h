/*
 * What the keeper signs. Each purpose has a form; a request is taken apart and held against it,
 * octet for octet where the form leaves no choice. Whoever asks (control, or whoever broke into it)
 * can get device certificates and application certificates of this site and trust lists that name
 * this site's issuer: nothing else. A certificate asked for as a device's can never name an
 * application, nor the reverse.
 */
#ifndef CORE_CONTROL_SIGNING_H
#define CORE_CONTROL_SIGNING_H

#include "base/fault.h"
#include "base/slice.h"
#include "codec/keeper_message.h"
#include "codec/x509.h"

struct signing_policy {
    const struct x509 *issuer;      /* whose key signs device certificates */
    struct slice trust_certificate; /* DER; whose key signs trust lists */
    struct slice domain;
    uint64_t lifetime_max_ms;             /* of a device certificate */
    uint64_t application_lifetime_max_ms; /* of an application's */
};

enum {
    SIGNING_BACKDATE_MS = 3600000
}; /* how far before its issue a device certificate begins: added to its life */

/* False with the clause that `bytes` breaks. */
MUST_USE bool signing_allows(const struct signing_policy *policy,
                             enum keeper_purpose purpose,
                             struct slice bytes,
                             struct fault *fault);

#endif
