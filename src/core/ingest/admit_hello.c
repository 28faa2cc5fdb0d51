/*
 * Links and hellos: who there is, who is connected where, and which key speaks for which boot.
 */
#include "base/invariant.h"
#include "core/ingest/admit_inside.h"
#include "trust/identity.h"

#include <string.h>

void admit_link(struct admit_device *d, uint64_t gateway, struct admit_effects *out)
{
    const struct bus_record *record = &out->record;
    bool is_link = record->kind == BUS_LINKED;
    out->outcome = ADMIT_NOTED;
    (void)admit_order(out, is_link ? ADMIT_BEGIN_LINK : ADMIT_END_LINK);
    if (is_link) {
        uint32_t keep = d->link_count < ADMIT_LINKS ? d->link_count : ADMIT_LINKS - 1;
        memmove(&d->links[1], &d->links[0], keep * sizeof d->links[0]);
        d->links[0].gateway = gateway;
        memcpy(d->links[0].exporter, record->exporter_digest, sizeof d->links[0].exporter);
        d->link_count = (uint8_t)(keep + 1);
    }
    /* One gateway's journal is in order; between two only their clocks can say which word is the
     * later. */
    if (d->gateway == gateway || record->received_ms >= d->linked_ms) {
        if (!is_link && d->gateway != gateway) {
            return; /* the old gateway noticed late that the device had gone elsewhere */
        }
        d->gateway = gateway;
        d->connected = is_link;
        d->linked_ms = record->received_ms;
        d->has_clock_offset = d->has_clock_offset && !is_link;
    }
}

static bool has_link(const struct admit_device *d,
                     uint64_t gateway,
                     const uint8_t exporter[DIGEST_LEN])
{
    for (uint32_t i = 0; i < d->link_count; i++) {
        if (d->links[i].gateway == gateway
            && memcmp(d->links[i].exporter, exporter, DIGEST_LEN) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_our_key(const struct admit *a, const uint8_t id[MESSAGE_KEY_ID_LEN])
{
    for (size_t i = 0; i < a->config.keys_count; i++) {
        if (memcmp(a->config.keys[i].id, id, MESSAGE_KEY_ID_LEN) == 0) {
            return true;
        }
    }
    return false;
}

enum verdict { VERDICT_TRUE, VERDICT_REFUSED, VERDICT_MACHINE };

static enum verdict refuse(enum admit_reason *reason, enum admit_reason which)
{
    *reason = which;
    return VERDICT_REFUSED;
}

/* Did an issuer of ours certify that there is this device? */
static enum verdict is_issued(struct admit *a,
                              const struct x509 *certs,
                              size_t count,
                              const struct chain_policy *policy,
                              const struct device_id *device,
                              enum admit_reason *reason)
{
    a->chains++;
    enum chain_result chain = chain_verify(certs, count, &a->config.issuers, policy, NULL);
    if (chain != CHAIN_OK) {
        return chain == CHAIN_FAILED
                   ? VERDICT_MACHINE
                   : refuse(reason,
                            chain == CHAIN_BAD_SIGNATURE ? ADMIT_BAD_SIGNATURE : ADMIT_NOT_ALLOWED);
    }
    struct device_id named;
    if (!identity_of_ldevid(&certs[0], a->config.domain, &named, NULL)) {
        return refuse(reason, ADMIT_NOT_ALLOWED);
    }
    return device_id_equal(&named, device) ? VERDICT_TRUE : refuse(reason, ADMIT_TOPIC_MISMATCH);
}

bool admit_enrols(struct admit *a, struct admit_device *d, struct admit_effects *out)
{
    if (d->is_enrolled) {
        return true;
    }
    /* That it was issued is what counts here, not whether it holds at some gateway's time. */
    const struct chain_policy policy = {
        .no_time = true, .purposes = X509_EKU_CLIENT_AUTH, .key_usage = X509_DIGITAL_SIGNATURE};
    const struct bus_record *record = &out->record;
    struct x509 certificate;
    enum admit_reason reason = ADMIT_NOT_ENROLLED;
    enum verdict verdict = VERDICT_REFUSED;
    if (record->kind == BUS_LINKED && x509_parse(record->payload, &certificate, NULL) == X509_OK) {
        verdict = is_issued(a, &certificate, 1, &policy, &d->id, &reason);
    }
    switch (verdict) { /* COVERAGE(VERDICT_MACHINE: the library has no memory) */
    case VERDICT_TRUE: d->is_enrolled = true; return true;
    case VERDICT_REFUSED: admit_refuse(out, NULL, ADMIT_NOT_ENROLLED); return false;
    case VERDICT_MACHINE: (void)admit_order(out, ADMIT_STOP); return false;
    }
    UNREACHABLE();
}

/* Is the chain one of ours, for this device, and was the hello signed by it over this topic? */
static enum verdict verify(struct admit *a,
                           const struct admit_device *d,
                           const struct bus_record *record,
                           const struct hello *hello,
                           struct admit_certificate *certificate,
                           enum admit_reason *reason)
{
    struct x509 certs[COSE_CHAIN_MAX];
    for (size_t i = 0; i < hello->chain_count; i++) {
        if (x509_parse(hello->chain[i], &certs[i], NULL) != X509_OK) {
            return refuse(reason, ADMIT_MALFORMED);
        }
    }
    const struct chain_policy policy = {.at_ms = record->received_ms,
                                        .purposes = X509_EKU_CLIENT_AUTH,
                                        .key_usage = X509_DIGITAL_SIGNATURE};
    enum verdict issued = is_issued(a, certs, hello->chain_count, &policy, &d->id, reason);
    if (issued != VERDICT_TRUE) {
        return issued;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): no chain is issued that is empty */
    *certificate = (struct admit_certificate){.key = identity_key_digest(certs[0].spki)};
    if (certs[0].serial.len > sizeof certificate->serial) {
        return refuse(reason, ADMIT_NOT_ALLOWED); /* RFC 5280 4.1.2.2 */
    }
    memcpy(certificate->serial, certs[0].serial.at, certs[0].serial.len);
    certificate->serial_len = (uint8_t)certs[0].serial.len;
    struct key_public key;
    enum key_result result =
        key_public_from_bytes((enum key_kind)certs[0].key_kind, certs[0].public_key, &key);
    if (result == KEY_OK && key.kind != KEY_P256) {
        return refuse(reason, ADMIT_BAD_SIGNATURE); /* ES256 is what the protected header says */
    }
    if (result == KEY_OK) {
        struct cose_input input;
        cose_to_be_authenticated(&input, COSE_SIGN1, hello->cose.protected_header, record->topic,
                                 hello->cose.payload);
        result = key_verify_once(&key, input.parts, COUNT_OF(input.parts), hello->cose.tag);
    }
    if (result == KEY_FAILED) { /* COVERAGE(the library has no memory) */
        return VERDICT_MACHINE;
    }
    return result == KEY_OK ? VERDICT_TRUE : refuse(reason, ADMIT_BAD_SIGNATURE);
}

/* Where in d->boots a new boot belongs; false where its numbers do not fit those of its neighbours.
 */
static bool boot_fits(const struct admit_device *d, const struct hello_claims *claims, uint32_t *at)
{
    uint32_t i = 0;
    while (i < d->boot_count && d->boots[i].boot > claims->boot) {
        i++;
    }
    *at = i;
    bool above_older = i == d->boot_count || claims->first >= d->boots[i].first;
    if (i == 0) {
        return above_older && claims->first >= d->received.next;
    }
    return above_older && claims->first <= d->boots[i - 1].first;
}

static struct admit_boot boot_of(const struct bus_record *record, const struct hello_claims *claims)
{
    struct admit_boot boot = {
        .boot = claims->boot, .first = claims->first, .received_ms = record->received_ms};
    memcpy(boot.ephemeral, claims->ephemeral, sizeof boot.ephemeral);
    memcpy(boot.key_id, claims->ingest_key_id, sizeof boot.key_id);
    return boot;
}

static void order_hello(struct admit_device *d,
                        const struct admit_boot *boot,
                        struct admit_effects *out)
{
    d->boots_total++;
    admit_order(out, ADMIT_KEEP_HELLO)->hello = *boot;
    admit_order(out, ADMIT_RELEASE)->boot = boot->boot;
    out->outcome = ADMIT_GREETED;
}

static void keep_boot(struct admit_device *d,
                      const struct admit_boot *boot,
                      uint32_t at,
                      struct admit_effects *out)
{
    uint32_t keep = d->boot_count < ADMIT_BOOTS ? d->boot_count : ADMIT_BOOTS - 1;
    INVARIANT(at <= keep);
    memmove(&d->boots[at + 1], &d->boots[at], (keep - at) * sizeof d->boots[0]);
    d->boots[at] = *boot;
    d->boot_count = keep + 1;
    d->older = (struct admit_older){0}; /* its neighbours may be others now */
    order_hello(d, boot, out);
}

/* A hello of a boot below those in memory: what was looked up says whether it fits. */
static void accept_older(struct admit_device *d,
                         const struct bus_record *record,
                         const struct hello_claims *claims,
                         struct admit_effects *out)
{
    struct admit_older *older = &d->older;
    INVARIANT(older->boot.boot == claims->boot && !older->is_known);
    if (older->is_stale) {
        admit_refuse(out, d, ADMIT_STALE_BOOT);
    } else if (claims->first < older->below_first || claims->first > older->above_first) {
        admit_refuse(out, d, ADMIT_BOOT_REUSED);
    } else {
        older->boot = boot_of(record, claims);
        older->is_known = true;
        order_hello(d, &older->boot, out);
    }
}

/* The rules of boots, for a hello that is authentic. */
static void accept(struct admit *a,
                   struct admit_device *d,
                   const struct bus_record *record,
                   const struct hello_claims *claims,
                   const struct admit_boot_found *found,
                   struct admit_effects *out)
{
    if (found->state == ADMIT_BOOT_KNOWN) {
        const struct admit_boot *known = found->boot;
        bool is_same = known->first == claims->first
                       && memcmp(known->ephemeral, claims->ephemeral, sizeof known->ephemeral) == 0;
        if (!is_same) {
            admit_refuse(out, d, ADMIT_BOOT_REUSED);
            return;
        }
        out->outcome = ADMIT_GREETED; /* the same boot on another connection */
        return;
    }
    uint32_t at = 0;
    if (claims->boot == d->older.boot.boot) {
        accept_older(d, record, claims, out);
        return;
    }
    if (!boot_fits(d, claims, &at)) {
        admit_refuse(out, d, ADMIT_BOOT_REUSED);
        return;
    }
    if (at == 0) {
        struct received_losses losses;
        uint64_t next = d->received.next;
        uint32_t now_s = record->received_ms > 0 ? (uint32_t)(record->received_ms / 1000) : 0;
        if (!received_restart(&d->received, &a->pool, claims->first, now_s, &losses)) {
            admit_refuse(out, d, ADMIT_MALFORMED);
            return;
        }
        INVARIANT(promise_holds(PROMISE_FLOOR_MONOTONE, d->received.next >= next));
        admit_order_losses(out, &losses);
        d->agent_len = (uint8_t)claims->agent.len;
        memcpy(d->agent, claims->agent.at, claims->agent.len);
    }
    const struct admit_boot boot = boot_of(record, claims);
    keep_boot(d, &boot, at, out);
}

/* Every generation of its key is told once, in the order in which they came into use. */
static void note_certificate(struct admit_device *d,
                             const struct admit_certificate *certificate,
                             uint32_t boot,
                             struct admit_effects *out)
{
    if (memcmp(&d->certificate, &certificate->key, sizeof d->certificate) == 0) {
        return;
    }
    d->certificate = certificate->key;
    struct admit_effect *effect = admit_order(out, ADMIT_KEEP_CERTIFICATE);
    effect->certificate = *certificate;
    effect->boot = boot;
}

void admit_hello(struct admit *a,
                 struct admit_device *d,
                 const struct admit_record *in,
                 struct admit_effects *out)
{
    const struct bus_record *record = &out->record;
    struct hello hello;
    enum admit_reason reason = ADMIT_MALFORMED;
    struct admit_certificate certificate;
    struct key_public ephemeral;
    if (hello_decode(record->payload, &hello, NULL) != MESSAGE_OK
        /* COVERAGE(hello_decode refuses both; what is stored is looked at again) */
        || hello.claims.agent.len > MESSAGE_AGENT_MAX || hello.claims.boot == 0) {
        admit_refuse(out, d, ADMIT_MALFORMED);
        return;
    }
    const struct admit_boot_found found = admit_boot_find(d, hello.claims.boot, out);
    if (found.state == ADMIT_BOOT_ELSEWHERE) {
        return;
    }
    /* COVERAGE(VERDICT_MACHINE: the library has no memory) */
    switch (verify(a, d, record, &hello, &certificate, &reason)) {
    case VERDICT_TRUE: out->is_authentic = true; break;
    case VERDICT_REFUSED: admit_refuse(out, d, reason); return;
    case VERDICT_MACHINE: (void)admit_order(out, ADMIT_STOP); return;
    }
    if (!has_link(d, in->gateway, hello.claims.exporter_digest)) {
        d->link_mismatches++;
        admit_refuse(out, d, ADMIT_LINK_MISMATCH);
        return;
    }
    if (!is_our_key(a, hello.claims.ingest_key_id)) {
        admit_refuse(out, d, ADMIT_UNKNOWN_KEY);
        return;
    }
    if (key_public_from_bytes(KEY_P256, slice_of(hello.claims.ephemeral, MESSAGE_POINT_LEN),
                              &ephemeral)
        != KEY_OK) {
        admit_refuse(out, d, ADMIT_MALFORMED);
        return;
    }
    accept(a, d, record, &hello.claims, &found, out);
    if (out->outcome == ADMIT_GREETED) {
        note_certificate(d, &certificate, hello.claims.boot, out);
    }
}
