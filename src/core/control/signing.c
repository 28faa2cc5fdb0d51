#include "core/control/signing.h"

#include "base/invariant.h"
#include "trust/identity.h"
#include "trust/trust_list.h"

enum { SERIAL_LEN = 16 };

/* A rule of certificates: does it hold, and what is said where it does not. */
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

/* What certificates of devices and of applications have in common: all but whom they name and how
 * long they live. */
static bool allows_client(const struct signing_policy *policy,
                          struct slice tbs,
                          uint64_t lifetime_max_ms,
                          struct x509 *out,
                          struct fault *fault)
{
    if (x509_tbs_parse(tbs, out, fault) != X509_OK) {
        return false;
    }
    const struct x509_extensions *e = &out->extensions;
    const struct rule rules[] = {
        {out->signed_with == policy->issuer->key_kind,
         "certificate: the algorithm is not that of the issuer's key"},
        {slice_equal(out->issuer, policy->issuer->subject), "certificate: the issuer is not ours"},
        {slice_equal(e->authority_key_id, policy->issuer->extensions.subject_key_id),
         "certificate: authorityKeyIdentifier is not the issuer's"},
        {out->serial.len == SERIAL_LEN, "certificate: the serial number has not 16 octets"},
        {lasts_at_most(out, lifetime_max_ms), "certificate: it would live too long"},
        {out->not_after_ms <= policy->issuer->not_after_ms,
         "certificate: it would outlive its issuer"},
        {out->key_kind == X509_P256, "certificate: the key is not of P-256"},
        {!e->has_unknown_critical, "certificate: an extension is not known"},
        {!e->is_ca, "certificate: CA:TRUE"},
        {e->has_key_usage && e->key_usage == X509_DIGITAL_SIGNATURE,
         "certificate: keyUsage is not digitalSignature alone"},
        {e->has_ext_key_usage && e->ext_key_usage == X509_EKU_CLIENT_AUTH,
         "certificate: extKeyUsage is not clientAuth alone"},
        {e->subject_key_id.len == X509_KEY_ID_LEN, "certificate: subjectKeyIdentifier is missing"},
        {has_only_device_names(e), "certificate: other names than one URI and hwModuleName"},
        {is_of_our_form(out), "certificate: it says more than its form"},
    };
    return !find_broken(rules, COUNT_OF(rules), fault);
}

static bool allows_device(const struct signing_policy *policy,
                          struct slice tbs,
                          struct fault *fault)
{
    struct x509 c;
    struct device_id id;
    if (!allows_client(policy, tbs, policy->lifetime_max_ms, &c, fault)) {
        return false;
    }
    const struct rule rules[] = {
        {identity_of_ldevid(&c, policy->domain, &id, NULL),
         "device certificate: the URI is no device of our domain"},
    };
    return !find_broken(rules, COUNT_OF(rules), fault);
}

static bool allows_application(const struct signing_policy *policy,
                               struct slice tbs,
                               struct fault *fault)
{
    struct x509 c;
    struct slice name = {0};
    if (!allows_client(policy, tbs, policy->application_lifetime_max_ms, &c, fault)) {
        return false;
    }
    const struct rule rules[] = {
        {identity_of_application(&c, policy->domain, &name, NULL),
         "application certificate: the URI is no application of our domain"},
        {c.extensions.hardware_type.len == 0 && c.subject_serial_number.len == 0,
         "application certificate: it names hardware, which is what devices have"},
        {slice_equal(c.subject_common_name, name),
         "application certificate: the subject is not the application's name"},
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
    case KEEPER_APPLICATION_CERTIFICATE: return allows_application(policy, bytes, fault);
    }
    UNREACHABLE();
}
