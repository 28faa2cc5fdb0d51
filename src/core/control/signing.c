#include "core/control/signing.h"

#include "base/invariant.h"
#include "trust/identity.h"
#include "trust/trust_list.h"

enum { SERIAL_LEN = 16 };

/* A rule of device certificates: does it hold, and what is said where it does not. */
struct rule {
    bool holds;
    const char *clause;
};

static bool find_broken(const struct rule *rules, size_t count, struct fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (!rules[i].holds) {
            fault_note(fault, rules[i].clause, i);
            return true;
        }
    }
    return false;
}

static bool lasts_at_most(const struct x509 *c, uint64_t max_ms)
{
    return c->not_after_ms > c->not_before_ms
           && (uint64_t)(c->not_after_ms - c->not_before_ms) <= max_ms + SIGNING_BACKDATE_MS;
}

static bool has_only_device_names(const struct x509_extensions *e)
{
    return e->uri_count == 1 && e->dns_count == 0 && e->ip_count == 0 && e->other_count == 0;
}

/* The form leaves no choice beyond the fields looked at: written again from them, it is the same
 * octets. */
static bool is_of_our_form(const struct x509 *c)
{
    const struct x509_extensions *e = &c->extensions;
    uint8_t bytes[X509_CERTIFICATE_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct x509_spec spec = {
        .serial = c->serial,
        .issuer = c->issuer,
        .subject = c->subject,
        .not_before_ms = c->not_before_ms,
        .not_after_ms = c->not_after_ms,
        .key_kind = c->key_kind,
        .public_key = c->public_key,
        .sign_with = c->signed_with,
        .subject_key_id = e->subject_key_id,
        .authority_key_id = e->authority_key_id,
        .key_usage = e->key_usage,
        .ext_key_usage = e->ext_key_usage,
        .uri = e->uri,
        .hardware_type = e->hardware_type,
        .hardware_serial = e->hardware_serial,
    };
    return x509_tbs_write(&w, &spec) == X509_OK && slice_equal(writer_slice(&w), c->tbs);
}

static bool allows_device(const struct signing_policy *policy,
                          struct slice tbs,
                          struct fault *fault)
{
    struct x509 c;
    struct device_id id;
    if (x509_tbs_parse(tbs, &c, fault) != X509_OK) {
        return false;
    }
    const struct x509_extensions *e = &c.extensions;
    const struct rule rules[] = {
        {c.signed_with == policy->issuer->key_kind,
         "device certificate: the algorithm is not that of the issuer's key"},
        {slice_equal(c.issuer, policy->issuer->subject),
         "device certificate: the issuer is not ours"},
        {slice_equal(e->authority_key_id, policy->issuer->extensions.subject_key_id),
         "device certificate: authorityKeyIdentifier is not the issuer's"},
        {c.serial.len == SERIAL_LEN, "device certificate: the serial number has not 16 octets"},
        {lasts_at_most(&c, policy->lifetime_max_ms), "device certificate: it would live too long"},
        {c.not_after_ms <= policy->issuer->not_after_ms,
         "device certificate: it would outlive its issuer"},
        {c.key_kind == X509_P256, "device certificate: the key is not of P-256"},
        {!e->has_unknown_critical, "device certificate: an extension is not known"},
        {!e->is_ca, "device certificate: CA:TRUE"},
        {e->has_key_usage && e->key_usage == X509_DIGITAL_SIGNATURE,
         "device certificate: keyUsage is not digitalSignature alone"},
        {e->has_ext_key_usage && e->ext_key_usage == X509_EKU_CLIENT_AUTH,
         "device certificate: extKeyUsage is not clientAuth alone"},
        {e->subject_key_id.len == X509_KEY_ID_LEN,
         "device certificate: subjectKeyIdentifier is missing"},
        {has_only_device_names(e), "device certificate: other names than one URI and hwModuleName"},
        {identity_of_ldevid(&c, policy->domain, &id, NULL),
         "device certificate: the URI is no device of our domain"},
        {is_of_our_form(&c), "device certificate: it says more than its form"},
    };
    return !find_broken(rules, COUNT_OF(rules), fault);
}

static bool names_issuer(const struct trust_list *list, const struct x509 *issuer)
{
    for (size_t i = 0; i < list->issuers_count; i++) {
        if (slice_equal(list->issuers[i], issuer->der)) {
            return true;
        }
    }
    return false;
}

static bool allows_trust_list(const struct signing_policy *policy,
                              struct slice input,
                              struct fault *fault)
{
    struct slice certificate = {0};
    struct slice payload = {0};
    struct trust_list list;
    if (!trust_list_input_parse(input, &certificate, &payload, fault)
        || !trust_list_payload_parse(payload, &list, fault)) {
        return false;
    }
    const struct rule rules[] = {
        {slice_equal(certificate, policy->trust_certificate),
         "trust list: the certificate is not the trust key's"},
        {names_issuer(&list, policy->issuer), "trust list: our issuer is not among the issuers"},
    };
    return !find_broken(rules, COUNT_OF(rules), fault);
}

bool signing_allows(const struct signing_policy *policy,
                    enum keeper_purpose purpose,
                    struct slice bytes,
                    struct fault *fault)
{
    switch (purpose) {
    case KEEPER_DEVICE_CERTIFICATE: return allows_device(policy, bytes, fault);
    case KEEPER_TRUST_LIST: return allows_trust_list(policy, bytes, fault);
    }
    UNREACHABLE();
}
