/* Enrolment: a request, the facts about it, core/control/enrolment's decision, a signature, the
 * registry, the answer. */
#include "base/invariant.h"
#include "codec/base64.h"
#include "core/control/identity.h"
#include "role/control_devices_inside.h"
#include "role/pki_authority.h"
#include "trust/identity.h"

#include <stdio.h>
#include <string.h>

enum { MINUTE_MS = 60000, HOUR_MS = 3600000, BODY_DER_MAX = X509_CERTIFICATE_MAX + 4 };

static int64_t now_of(struct control_devices *s)
{
    return port_wall_ms(s->port, NULL);
}

/* ---- entries ---- */

static bool may_write_entry(struct control_devices *s)
{
    uint64_t minute = port_now_ms(s->port) / MINUTE_MS;
    if (minute != s->entries_minute) {
        s->entries_minute = minute;
        s->entries_count = 0;
    }
    return s->entries_count++ < DEVICES_REFUSAL_ENTRIES;
}

static struct slice id_text(struct writer *w, const struct device_id *id)
{
    device_id_write_text(w, id);
    return writer_slice(w);
}

/* A refusal that an operator should see. Never instead of the answer: that was given. */
static void note_refusal(struct control_devices *s,
                         const struct device_id *device,
                         enum enrol_refusal refusal,
                         const char *address)
{
    uint8_t object[DEVICE_ID_TEXT_LEN];
    uint8_t detail[256];
    struct writer o = writer_over(object, sizeof object);
    struct writer d = writer_over(detail, sizeof detail);
    const struct enrol_answer *answer = enrol_answer_of(refusal);
    if (!answer->leaves_entry || !may_write_entry(s)) {
        return;
    }
    write_text(&d, "{\"code\":\"");
    write_text(&d, answer->code);
    write_text(&d, "\",\"reason\":\"");
    write_text(&d, answer->name);
    write_text(&d, "\",\"address\":\"");
    write_text(&d, address);
    write_text(&d, "\"}");
    struct registry_note note = {
        .at_ms = now_of(s),
        .kind = slice_text("enrolment-refused"),
        .actor = slice_text("device"),
        .object = device != NULL ? id_text(&o, device) : slice_text("stranger"),
        .detail = writer_slice(&d),
    };
    if (registry_append(s->options.registry, &note) != REGISTRY_OK) {
        devices_broken(s);
    }
}

/* ---- facts ---- */

static bool is_live(const struct registry_certificate *c)
{
    return c->state == CERTIFICATE_CURRENT || c->state == CERTIFICATE_PREVIOUS;
}

/* What the registry knows of this device, this peer and this key; false where it could not be read.
 */
static bool look_up(struct control_devices *s,
                    const struct enrol_request *request,
                    const struct device_id *id,
                    struct enrol_facts *facts,
                    struct registry_device *device,
                    struct registry_certificate *by_key)
{
    static struct registry_certificate own;
    struct registry *r = s->options.registry;
    struct digest key = identity_key_digest(request->csr->spki);
    *facts = (struct enrol_facts){.key = ENROL_KEY_FRESH};
    enum registry_result result = registry_device_by_id(r, id, device);
    if (result == REGISTRY_OK) {
        facts->has_device = true;
        facts->state = device->state;
    } else if (result != REGISTRY_NOT_FOUND) {
        return false;
    }
    if (request->peer == ENROL_DEVICE) {
        result = registry_certificate_by_serial(r, request->certificate->serial, &own);
        facts->peer_is_live =
            result == REGISTRY_OK && is_live(&own)
            && slice_equal(slice_of(own.der, own.der_len), request->certificate->der);
        if (result != REGISTRY_OK && result != REGISTRY_NOT_FOUND) {
            return false;
        }
    }
    if (registry_certificates_since(r, id, now_of(s) - HOUR_MS, &facts->issued_last_hour)
        != REGISTRY_OK) {
        return false;
    }
    result = registry_certificate_by_key(r, &key, by_key);
    if (result == REGISTRY_OK) {
        facts->key = device_id_equal(&by_key->device, id) ? ENROL_KEY_OWN : ENROL_KEY_OTHERS;
        facts->key_certificate_is_live = is_live(by_key) && now_of(s) <= by_key->not_after_ms;
    }
    return result == REGISTRY_OK || result == REGISTRY_NOT_FOUND;
}

/* ---- a certificate on its way ---- */

void devices_name(char out[REGISTRY_NAME_MAX + 1], struct slice serial)
{
    size_t len = serial.len < REGISTRY_NAME_MAX ? serial.len : REGISTRY_NAME_MAX;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = serial.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        out[i] = is_letter || is_digit || c == '.' || c == '_' ? (char)c : '-';
    }
    out[len] = '\0';
}

static void copy_text(char *out, size_t cap, struct slice text)
{
    size_t len = text.len < cap ? text.len : cap - 1;
    if (len > 0) {
        memcpy(out, text.at, len);
    }
    out[len] = '\0';
}

static struct devices_pending *find_free(struct control_devices *s)
{
    for (size_t i = 0; i < DEVICES_PENDING_MAX; i++) {
        if (!s->pending[i].is_used) {
            return &s->pending[i];
        }
    }
    return NULL;
}

static bool describe_tbs(struct devices_pending *p, const struct enrol_certificate *what)
{
    struct x509 tbs;
    uint8_t spki[128];
    struct writer w = writer_over(spki, sizeof spki);
    if (x509_tbs_parse(slice_of(p->tbs, p->tbs_len), &tbs, NULL) != X509_OK) {
        return false;
    }
    x509_spki_write(&w, X509_P256, what->public_key);
    p->certificate = (struct registry_certificate){
        .device = what->device,
        .serial_len = (uint8_t)what->serial.len,
        .key = identity_key_digest(writer_slice(&w)),
        .not_before_ms = tbs.not_before_ms,
        .not_after_ms = tbs.not_after_ms,
        .issued_ms = what->now_ms,
    };
    memcpy(p->certificate.serial, what->serial.at, what->serial.len);
    return true;
}

struct devices_pending *devices_begin(struct control_devices *s,
                                      const struct enrol_certificate *what,
                                      const struct registry_device *device,
                                      bool is_new_device,
                                      enum identity_state to)
{
    struct devices_pending *p = find_free(s);
    uint8_t serial[PKI_SERIAL_LEN];
    struct enrol_certificate filled = *what;
    if (p == NULL) {
        return NULL;
    }
    pki_serial(s->port, serial);
    filled.serial = slice_of(serial, sizeof serial);
    filled.issuer = &s->issuer.certificate;
    filled.domain = slice_text(s->options.domain);
    filled.now_ms = now_of(s);
    filled.lifetime_ms = s->options.lifetime_ms;
    memset(p, 0, sizeof *p);
    struct writer w = writer_over(p->tbs, sizeof p->tbs);
    if (!enrol_tbs_write(&w, &filled)) {
        return NULL;
    }
    p->tbs_len = w.len;
    p->device = *device;
    p->is_new_device = is_new_device;
    p->to = to;
    p->began_us = port_now_us(s->port);
    if (!describe_tbs(p, &filled)
        || !keeper_client_sign(s->keeper, KEEPER_DEVICE_CERTIFICATE, writer_slice(&w),
                               &p->keeper_id)) {
        return NULL;
    }
    p->is_used = true;
    return p;
}

static void bundle_done(struct control_devices *s,
                        struct devices_pending *p,
                        enum bundle_outcome outcome,
                        const char *reason)
{
    struct bundle_answer answer = {
        .outcome = outcome,
        .reason = reason,
        .device = p->certificate.device,
        .certificate = slice_of(p->certificate.der, p->certificate.der_len),
        .issuer = s->issuer.certificate.der,
        .root = s->root.certificate.der,
    };
    p->answered(p->context, &answer);
}

static void answer_unavailable(struct control_devices *s, struct devices_pending *p)
{
    s->counts.unavailable++;
    if (p->answered != NULL) {
        bundle_done(s, p, BUNDLE_UNAVAILABLE, "the keeper does not answer; nothing was issued");
        return;
    }
    struct http_call *call = http_call_find(s->server, p->call);
    if (call != NULL) {
        devices_answer_text(call, 503, "Retry-After: 1\r\n",
                            "HF-3219 the issuing key is away; nothing was issued\n");
    }
}

/* The registry failed, before or after it had made the certificate durable: the same request gets
 * it where it did. */
static void answer_unknown(struct control_devices *s, struct devices_pending *p)
{
    s->counts.unavailable++;
    if (p->answered != NULL) {
        bundle_done(s, p, BUNDLE_FAILED, "the registry failed");
    } else {
        struct http_call *call = http_call_find(s->server, p->call);
        if (call != NULL) {
            devices_answer_text(call, 500, NULL, "HF-3403 the registry failed; ask again\n");
        }
    }
    devices_broken(s);
}

/* Back-pressure: whoever asks asks again. The operator hears it once, until there was room again.
 */
static void answer_no_room(struct control_devices *s, struct devices_pending *p)
{
    if (!s->is_full) {
        (void)fprintf(stderr, "control: the registry has no room, nothing is issued: %s\n",
                      registry_why(s->options.registry));
    }
    s->is_full = true;
    s->counts.unavailable++;
    if (p->answered != NULL) {
        bundle_done(s, p, BUNDLE_NO_ROOM, "the registry has no room; nothing was issued");
        return;
    }
    struct http_call *call = http_call_find(s->server, p->call);
    if (call != NULL) {
        devices_answer_text(call, 503, "Retry-After: 5\r\n",
                            "HF-3221 the registry has no room; nothing was issued\n");
    }
}

static void answer_issued(struct control_devices *s, struct devices_pending *p)
{
    s->counts.issued++;
    if (s->is_full) {
        s->is_full = false;
        (void)fprintf(stderr, "control: the registry has room again\n");
    }
    if (p->answered != NULL) {
        s->counts.bundles++;
        bundle_done(s, p, BUNDLE_ISSUED, "");
    } else {
        struct http_call *call = http_call_find(s->server, p->call);
        if (call != NULL) { /* otherwise it asks again, and gets the same one */
            devices_answer_certificate(s, call,
                                       slice_of(p->certificate.der, p->certificate.der_len));
        }
    }
    if (s->options.changed != NULL) {
        s->options.changed(s->options.context, &p->certificate.device);
    }
}

/* Someone was faster: with the same key (then that certificate is the answer), or with the name. */
static void answer_taken(struct control_devices *s, struct devices_pending *p)
{
    static struct registry_certificate kept;
    struct http_call *call = p->answered == NULL ? http_call_find(s->server, p->call) : NULL;
    enum registry_result result =
        registry_certificate_by_key(s->options.registry, &p->certificate.key, &kept);
    if (result != REGISTRY_OK && result != REGISTRY_NOT_FOUND) {
        answer_unknown(s, p);
    } else if (p->answered != NULL) {
        if (!devices_bundle_again(s, slice_text(p->device.name), &p->certificate.key, p->answered,
                                  p->context)) {
            bundle_done(s, p, BUNDLE_TAKEN,
                        "the name, or the key of the request, is another device's");
        }
    } else if (call == NULL) {
        return;
    } else if (result == REGISTRY_OK && device_id_equal(&kept.device, &p->certificate.device)) {
        s->counts.returned++;
        devices_answer_certificate(s, call, slice_of(kept.der, kept.der_len));
    } else {
        devices_answer_refusal(s, call, ENROL_KEY_OF_ANOTHER);
        note_refusal(s, &p->certificate.device, ENROL_KEY_OF_ANOTHER, call->peer.address);
    }
}

static enum registry_result make_durable(struct control_devices *s, struct devices_pending *p)
{
    uint8_t object[DEVICE_ID_TEXT_LEN];
    uint8_t detail[256];
    struct writer o = writer_over(object, sizeof object);
    struct writer d = writer_over(detail, sizeof detail);
    write_text(&d, "{\"serial\":\"");
    write_hex(&d, slice_of(p->certificate.serial, p->certificate.serial_len));
    write_text(&d, "\",\"not_after\":\"");
    time_write_rfc3339(&d, p->certificate.not_after_ms);
    write_text(&d, "\",\"state\":\"");
    write_text(&d, identity_state_name(p->to));
    write_text(&d, p->is_new_device ? "\",\"created\":true}" : "\"}");
    struct registry_note note = {
        .at_ms = p->certificate.issued_ms,
        .kind = slice_text("certificate-issued"),
        .actor = slice_text(p->actor),
        .object = id_text(&o, &p->certificate.device),
        .detail = writer_slice(&d),
    };
    return registry_certificate_issue(s->options.registry, p->is_new_device ? &p->device : NULL,
                                      &p->certificate, p->device.state, p->to, &note);
}

/* The device moved while its certificate was signed: renewing shows its old one in use, or somebody
 * else's request was faster. REGISTRY_STALE where it may have none any more. */
static enum registry_result decide_anew(struct control_devices *s, struct devices_pending *p)
{
    enum registry_result result =
        registry_device_by_id(s->options.registry, &p->certificate.device, &p->device);
    if (result == REGISTRY_NOT_FOUND
        || (result == REGISTRY_OK
            && !identity_after_issue(p->device.state, p->by_hardware, &p->to))) {
        return REGISTRY_STALE;
    }
    return result == REGISTRY_OK ? make_durable(s, p) : result;
}

static void answer_moved(struct control_devices *s, struct devices_pending *p)
{
    struct http_call *call = p->answered == NULL ? http_call_find(s->server, p->call) : NULL;
    if (p->answered != NULL) {
        bundle_done(s, p, BUNDLE_TAKEN, "the device is not in a state that may enrol");
    } else if (call != NULL) {
        devices_answer_refusal(s, call, ENROL_NOT_IN_THIS_STATE);
        note_refusal(s, &p->certificate.device, ENROL_NOT_IN_THIS_STATE, call->peer.address);
    }
}

/* A hardware serial that is another device's name gets the first digits of the id behind it. */
static bool find_other_name(struct control_devices *s, struct devices_pending *p)
{
    struct registry_device holder;
    uint8_t hex[8];
    struct writer w = writer_over(hex, sizeof hex);
    if (!p->is_new_device || p->answered != NULL
        || registry_device_by_name(s->options.registry, slice_text(p->device.name), &holder)
               != REGISTRY_OK
        || device_id_equal(&holder.id, &p->device.id)) {
        return false;
    }
    write_hex(&w, slice_of(p->device.id.bytes, 4));
    size_t len = strlen(p->device.name);
    len = len < REGISTRY_NAME_MAX - 9 ? len : REGISTRY_NAME_MAX - 9;
    (void)snprintf(p->device.name + len, sizeof p->device.name - len, "-%.8s", (const char *)hex);
    return true;
}

/* Durable before visible: only what the registry has is sent. */
static void finish(struct control_devices *s, struct devices_pending *p, struct slice signature)
{
    struct writer w = writer_over(p->certificate.der, sizeof p->certificate.der);
    if (x509_write(&w, slice_of(p->tbs, p->tbs_len), s->issuer.certificate.key_kind, signature)
        != X509_OK) {
        answer_unavailable(s, p);
        return;
    }
    p->certificate.der_len = (uint16_t)w.len;
    enum registry_result result = make_durable(s, p);
    if (result == REGISTRY_TAKEN && find_other_name(s, p)) {
        result = make_durable(s, p);
    }
    if (result == REGISTRY_STALE) {
        result = decide_anew(s, p);
    }
    switch (result) {
    case REGISTRY_OK: answer_issued(s, p); break;
    case REGISTRY_TAKEN: answer_taken(s, p); break;
    case REGISTRY_FULL: answer_no_room(s, p); break;
    case REGISTRY_STALE: answer_moved(s, p); break;
    case REGISTRY_NOT_FOUND:
    case REGISTRY_NEWER:
    case REGISTRY_BROKEN: answer_unknown(s, p); break;
    }
}

bool devices_signed(struct control_devices *s, const struct keeper_client_answer *answer)
{
    for (size_t i = 0; i < DEVICES_PENDING_MAX; i++) {
        struct devices_pending *p = &s->pending[i];
        if (p->is_used && p->keeper_id == answer->id) {
            if (answer->outcome == KEEPER_SIGNED) {
                finish(s, p, answer->bytes);
            } else {
                answer_unavailable(s, p);
            }
            p->is_used = false;
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

static bool is_pkcs10(struct slice content_type)
{
    static const char wanted[] = "application/pkcs10";
    size_t len = sizeof wanted - 1;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = i < content_type.len ? content_type.at[i] : 0;
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != wanted[i]) {
            return false;
        }
    }
    uint8_t after = content_type.len > len ? content_type.at[len] : ';';
    return after == ';' || after == ' ' || after == '\t';
}

static bool read_csr(struct control_devices *s,
                     struct http_call *call,
                     uint8_t bytes[BODY_DER_MAX],
                     struct csr *csr)
{
    char text[300];
    struct fault fault = {.clause = "RFC 8951 3: the body is not base64"};
    struct writer w = writer_over(bytes, BODY_DER_MAX);
    if (!is_pkcs10(http_field_find(&call->head, "Content-Type"))) {
        s->counts.malformed++;
        devices_answer_text(call, 415, NULL, "HF-3200 the request must be application/pkcs10\n");
        return false;
    }
    if (base64_decode(call->body, BASE64_LENIENT, &w) == BASE64_OK
        && csr_parse(writer_slice(&w), csr, &fault) == X509_OK) {
        return true;
    }
    s->counts.malformed++;
    (void)snprintf(text, sizeof text, "HF-3200 malformed request: %s (at octet %zu)\n",
                   fault.clause, fault.at);
    devices_answer_text(call, 400, NULL, text);
    return false;
}

static enum enrol_peer peer_of(const struct http_call *call, struct x509 *certificate)
{
    if (!call->peer.has_certificate
        || x509_parse(call->peer.certificate_der, certificate, NULL) != X509_OK) {
        return ENROL_STRANGER;
    }
    return call->peer.anchors == 0 ? ENROL_DEVICE : ENROL_HARDWARE;
}

static void describe_device(struct registry_device *out,
                            const struct device_id *id,
                            const struct x509 *idevid,
                            int64_t now_ms)
{
    *out = (struct registry_device){
        .id = *id,
        .origin = REGISTRY_HARDWARE,
        .hardware_key = identity_key_digest(idevid->spki),
        .state = IDENTITY_EXPECTED,
        .created_ms = now_ms,
    };
    devices_name(out->name, idevid->subject_serial_number);
    copy_text(out->serial, sizeof out->serial, idevid->subject_serial_number);
    copy_text(out->model, sizeof out->model, idevid->subject_organizational_unit);
    copy_text(out->manufacturer, sizeof out->manufacturer, idevid->subject_organization);
}

static void issue(struct control_devices *s,
                  struct http_call *call,
                  const struct enrol_request *request,
                  const struct registry_device *known,
                  const struct device_id *id,
                  const struct enrol_decision *decision)
{
    struct registry_device device = *known;
    const struct x509_extensions *e = &request->certificate->extensions;
    struct enrol_certificate what = {
        .device = *id,
        .subject_serial = request->certificate->subject_serial_number,
        .common_name = request->operation == ENROL_AGAIN ? request->certificate->subject_common_name
                                                         : (struct slice){0},
        .hardware_type = e->hardware_type,
        .hardware_serial = e->hardware_serial,
        .public_key = request->csr->public_key,
    };
    if (decision->is_new_device) {
        describe_device(&device, id, request->certificate, now_of(s));
    }
    struct devices_pending *p =
        devices_begin(s, &what, &device, decision->is_new_device, decision->state);
    if (p == NULL) {
        s->counts.unavailable++;
        devices_answer_text(call, 503, "Retry-After: 1\r\n",
                            "HF-3219 the issuing key is away or busy; nothing was issued\n");
        return;
    }
    struct writer actor = writer_over(p->actor, sizeof p->actor - 1);
    write_text(&actor, "device ");
    device_id_write_text(&actor, id);
    p->call = http_call_id(call);
    p->by_hardware = request->peer == ENROL_HARDWARE;
}

/* To renew with it is to use it. */
static void note_use(struct control_devices *s,
                     const struct enrol_request *request,
                     const struct device_id *id)
{
    uint8_t object[DEVICE_ID_TEXT_LEN];
    struct writer o = writer_over(object, sizeof object);
    struct registry_note note = {
        .at_ms = now_of(s),
        .kind = slice_text("certificate-seen"),
        .actor = slice_text("system"),
        .object = id_text(&o, id),
        .detail = slice_text("{\"where\":\"enrolment\"}"),
    };
    if (request->peer == ENROL_DEVICE
        && registry_certificate_seen(s->options.registry, request->certificate->serial, note.at_ms,
                                     &note)
               != REGISTRY_OK) {
        devices_broken(s);
    }
}

static void decide(struct control_devices *s,
                   struct http_call *call,
                   const struct enrol_request *request,
                   const struct device_id *id)
{
    static struct registry_certificate by_key;
    struct registry_device device = {0};
    struct enrol_facts facts;
    struct enrol_decision decision;
    if (!look_up(s, request, id, &facts, &device, &by_key)) {
        devices_answer_text(call, 500, NULL, "HF-3403 the registry failed; ask again\n");
        devices_broken(s);
        return;
    }
    struct enrol_decide_image asked;
    enrol_decide_keep(request, &facts, &asked);
    trace_event(s->options.trace, CONTROL_TRACE_DECIDE, 0, NULL, NULL, &asked, (struct slice){0});
    enrol_decide(request, &facts, &decision);
    trace_left(s->options.trace);
    if (decision.verdict != ENROL_REFUSE) {
        note_use(s, request, id);
    }
    switch (decision.verdict) {
    case ENROL_ISSUE: issue(s, call, request, &device, id, &decision); break;
    case ENROL_RETURN:
        s->counts.returned++;
        devices_answer_certificate(s, call, slice_of(by_key.der, by_key.der_len));
        break;
    case ENROL_REFUSE:
        note_refusal(s, id, decision.refusal, call->peer.address);
        devices_answer_refusal(s, call, decision.refusal);
        break;
    }
}

/* enrol_identify, recorded. */
static bool identify(struct control_devices *s,
                     const struct enrol_policy *policy,
                     const struct enrol_request *request,
                     struct device_id *id,
                     enum enrol_refusal *refusal)
{
    struct enrol_identify_image asked;
    struct writer w = writer_over(s->asked, sizeof s->asked);
    enrol_identify_keep(policy, request, &asked, &w);
    trace_event(s->options.trace, CONTROL_TRACE_IDENTIFY, 0, NULL, NULL, &asked, writer_slice(&w));
    bool ok = enrol_identify(policy, request, id, refusal);
    trace_left(s->options.trace);
    return ok;
}

void devices_enrol(struct control_devices *s,
                   struct http_call *call,
                   enum enrol_operation operation)
{
    uint8_t der[BODY_DER_MAX];
    struct csr csr;
    struct x509 certificate;
    struct device_id id;
    enum enrol_refusal refusal = ENROL_NO_CERTIFICATE;
    struct enrol_policy policy = {.domain = slice_text(s->options.domain),
                                  .require_linking = s->options.require_linking};
    struct enrol_request request = {
        .operation = operation, .peer = peer_of(call, &certificate), .certificate = &certificate};
    if (request.peer == ENROL_STRANGER) {
        devices_answer_refusal(s, call, ENROL_NO_CERTIFICATE);
        return;
    }
    if (!read_csr(s, call, der, &csr)) {
        return;
    }
    request.csr = &csr;
    memcpy(request.exporter, call->peer.exporter, sizeof request.exporter);
    if (!identify(s, &policy, &request, &id, &refusal)) {
        struct device_id hardware = identity_of_hardware(certificate.spki);
        bool is_known = request.peer == ENROL_HARDWARE
                        || identity_of_ldevid(&certificate, policy.domain, &hardware, NULL);
        note_refusal(s, is_known ? &hardware : NULL, refusal, call->peer.address);
        devices_answer_refusal(s, call, refusal);
        return;
    }
    decide(s, call, &request, &id);
}
