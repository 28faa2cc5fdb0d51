#include "trust/chain.h"

#include "base/invariant.h"
#include "trust/signature.h"

enum chain_result chain_signed_by(const struct x509 *subject, const struct x509 *issuer)
{
    if (subject->signed_with != issuer->key_kind) {
        return CHAIN_BAD_SIGNATURE;
    }
    switch (
        signature_verify(issuer->key_kind, issuer->public_key, subject->tbs, subject->signature)) {
    case SIGNATURE_OK: return CHAIN_OK;
    case SIGNATURE_REFUSED: return CHAIN_BAD_SIGNATURE;
    case SIGNATURE_FAILED: return CHAIN_FAILED;
    }
    UNREACHABLE();
}

static enum chain_result refuse(enum chain_result result,
                                const char *clause,
                                size_t at,
                                struct fault *fault)
{
    fault_note(fault, clause, at);
    return result;
}

/* What every certificate of a path must satisfy. */
static enum chain_result check_each(const struct x509 *c,
                                    const struct chain_policy *policy,
                                    size_t at,
                                    struct fault *fault)
{
    if (c->extensions.has_unknown_critical) {
        return refuse(CHAIN_UNKNOWN_CRITICAL, "RFC 5280 4.2: a critical extension is not known", at,
                      fault);
    }
    if (policy->no_time) {
        return CHAIN_OK;
    }
    if (policy->at_ms < c->not_before_ms) {
        return refuse(CHAIN_NOT_YET_VALID, "RFC 5280 6.1.3 (a)(2): not yet valid", at, fault);
    }
    /* notAfter names the last second that is valid, all of it. */
    if (policy->at_ms - 999 > c->not_after_ms) {
        return refuse(CHAIN_EXPIRED, "RFC 5280 6.1.3 (a)(2): expired", at, fault);
    }
    return CHAIN_OK;
}

static enum chain_result check_leaf(const struct x509 *leaf,
                                    const struct chain_policy *policy,
                                    struct fault *fault)
{
    const struct x509_extensions *e = &leaf->extensions;
    if (e->is_ca) {
        return refuse(CHAIN_WRONG_PURPOSE,
                      "a CA certificate stands where an end entity's is wanted", 0, fault);
    }
    if (e->has_key_usage && (e->key_usage & policy->key_usage) != policy->key_usage) {
        return refuse(CHAIN_WRONG_PURPOSE, "RFC 5280 4.2.1.3: keyUsage does not allow it", 0,
                      fault);
    }
    bool is_open = !e->has_ext_key_usage && policy->purpose_optional;
    if (policy->purposes != 0 && !is_open && (e->ext_key_usage & policy->purposes) == 0) {
        return refuse(CHAIN_WRONG_PURPOSE, "RFC 5280 4.2.1.12: extKeyUsage does not allow it", 0,
                      fault);
    }
    return check_each(leaf, policy, 0, fault);
}

/* `below`: how many CA certificates that are not self-issued lie between it and the leaf. */
static enum chain_result check_ca(const struct x509 *ca,
                                  uint32_t below,
                                  const struct chain_policy *policy,
                                  size_t at,
                                  struct fault *fault)
{
    const struct x509_extensions *e = &ca->extensions;
    if (!e->is_ca || (e->has_key_usage && (e->key_usage & X509_KEY_CERT_SIGN) == 0)) {
        return refuse(CHAIN_NOT_A_CA,
                      "RFC 5280 6.1.4 (k), (n): the issuer may not sign certificates", at, fault);
    }
    if (e->has_path_len && below > e->path_len) {
        return refuse(CHAIN_TOO_LONG, "RFC 5280 6.1.4 (m): longer than pathLenConstraint allows",
                      at, fault);
    }
    return check_each(ca, policy, at, fault);
}

static bool may_have_issued(const struct x509 *issuer, const struct x509 *subject)
{
    struct slice wanted = subject->extensions.authority_key_id;
    struct slice has = issuer->extensions.subject_key_id;
    bool is_other_key = wanted.len > 0 && has.len > 0 && !slice_equal(wanted, has);
    return slice_equal(issuer->subject, subject->issuer) && !is_other_key;
}

/* One of `list` whose key signed `subject`; NULL where none did, with the reason in *why. */
static const struct x509 *find_issuer(const struct x509 *list,
                                      size_t count,
                                      const struct x509 *subject,
                                      enum chain_result *why)
{
    for (size_t i = 0; i < count; i++) {
        if (!may_have_issued(&list[i], subject)) {
            continue;
        }
        enum chain_result result = chain_signed_by(subject, &list[i]);
        if (result == CHAIN_OK) {
            return &list[i];
        }
        *why = result;
    }
    return NULL;
}

static enum chain_result no_issuer(enum chain_result why, size_t at, struct fault *fault)
{
    const char *clause = why == CHAIN_BAD_SIGNATURE
                             ? "RFC 5280 6.1.3 (a)(1): the issuer's key did not sign it"
                         : why == CHAIN_FAILED ? "the signature could not be checked"
                                               : "no accepted CA issued it";
    return refuse(why, clause, at, fault);
}

enum chain_result chain_verify(const struct x509 *certs,
                               size_t count,
                               const struct chain_anchors *anchors,
                               const struct chain_policy *policy,
                               struct fault *fault)
{
    if (count == 0 || count > CHAIN_LEN_MAX) {
        return refuse(CHAIN_TOO_LONG, "not between one and eight certificates", count, fault);
    }
    enum chain_result result = check_leaf(&certs[0], policy, fault);
    const struct x509 *current = &certs[0];
    uint32_t below = 0;
    for (size_t steps = 0; result == CHAIN_OK && steps < CHAIN_LEN_MAX; steps++) {
        enum chain_result why = CHAIN_NO_ANCHOR;
        size_t at = (size_t)(current - certs);
        const struct x509 *anchor = find_issuer(anchors->list, anchors->count, current, &why);
        if (anchor != NULL) {
            return check_ca(anchor, below, policy, at, fault);
        }
        const struct x509 *next = find_issuer(certs + 1, count - 1, current, &why);
        if (next == NULL || next == current) {
            return no_issuer(next == current ? CHAIN_NO_ANCHOR : why, at, fault);
        }
        result = check_ca(next, below, policy, (size_t)(next - certs), fault);
        below += slice_equal(next->subject, next->issuer) ? 0 : 1;
        current = next;
    }
    return result != CHAIN_OK
               ? result
               : refuse(CHAIN_TOO_LONG, "the path has more than eight steps", 0, fault);
}

const char *chain_result_name(enum chain_result result)
{
    switch (result) {
    case CHAIN_OK: return "ok";
    case CHAIN_NO_ANCHOR: return "no-anchor";
    case CHAIN_BAD_SIGNATURE: return "bad-signature";
    case CHAIN_NOT_YET_VALID: return "not-yet-valid";
    case CHAIN_EXPIRED: return "expired";
    case CHAIN_NOT_A_CA: return "not-a-ca";
    case CHAIN_TOO_LONG: return "too-long";
    case CHAIN_WRONG_PURPOSE: return "wrong-purpose";
    case CHAIN_UNKNOWN_CRITICAL: return "unknown-critical";
    case CHAIN_FAILED: return "failed";
    }
    UNREACHABLE();
}
