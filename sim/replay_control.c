/* The decisions of control and keeper, made again. They keep no state: each event stands alone. */
#include "codec/x509.h"
#include "core/control/access_trace.h"
#include "core/control/enrolment_trace.h"
#include "sim/replay_inside.h"

static struct {
    struct slice domain; /* in the trace */
    struct x509 issuer;
    struct signing_policy policy;
} live;

static bool begin_control(struct slice context)
{
    struct cbor_reader r = cbor_over(context, CBOR_ANY);
    live.domain = cbor_read_text(&r);
    return cbor_done(&r);
}

/* [domain, issuer, trust certificate, longest life of a device's certificate in ms, the same of an
 * application's: traces of before there were any have four members] */
static bool begin_keeper(struct slice context)
{
    struct cbor_reader r = cbor_over(context, CBOR_ANY);
    uint64_t members = cbor_enter_array(&r);
    bool ok = members == 4 || members == 5;
    live.policy = (struct signing_policy){.domain = cbor_read_text(&r), .issuer = &live.issuer};
    struct slice issuer = cbor_read_bytes(&r);
    live.policy.trust_certificate = cbor_read_bytes(&r);
    live.policy.lifetime_max_ms = cbor_read_u64(&r);
    live.policy.application_lifetime_max_ms = members == 5 ? cbor_read_u64(&r) : 0;
    return ok && cbor_done(&r) && x509_parse(issuer, &live.issuer, NULL) == X509_OK;
}

static bool identify(const void *image, struct slice behind)
{
    return enrol_identify_again(image, behind, live.domain);
}

static bool decide(const void *image, struct slice behind)
{
    return behind.len == 0 && enrol_decide_again(image);
}

static bool sign(const void *image, struct slice behind)
{
    return signing_again(image, behind, &live.policy);
}

static bool ask(const void *image, struct slice behind)
{
    return access_again(image, behind);
}

const struct replay_core replay_enrol_identify = {
    .trace = &enrol_identify_trace, .needs_cipher = true, .begin = begin_control, .step = identify};
const struct replay_core replay_enrol_decide = {
    .trace = &enrol_decide_trace, .begin = begin_control, .step = decide};
const struct replay_core replay_signing = {
    .trace = &signing_trace, .needs_cipher = true, .begin = begin_keeper, .step = sign};
const struct replay_core replay_access = {.trace = &access_trace, .step = ask};
