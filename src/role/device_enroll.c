/*
 * Conversations with the device services: EST (RFC 7030) and the trust list. One at a time, each on
 * a connection of its own: they are rare, and the request is bound to its connection by the
 * tls-exporter.
 */
#include "codec/base64.h"
#include "codec/cms.h"
#include "codec/csr.h"
#include "role/device_inside.h"
#include "trust/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MAX = 65536,
    ANSWER_MS = 30000,
    CSR_MAX = 2048,
    TRUST_AGAIN_MS = 2000,
    TRUST_AGAIN_MAX_MS = 300000,
    TRUST_REFRESH_MS = 600000
};

static uint64_t jittered(struct device *d, uint64_t ms)
{
    uint64_t random;
    port_entropy(d->port, &random, sizeof random);
    return ms / 2 + random % (ms / 2 + 1);
}

void device_end_job(struct device *d)
{
    http_client_close(d->http);
    port_tls_free(d->http_tls);
    d->http = NULL;
    d->http_tls = NULL;
    d->job = DEVICE_NO_JOB;
}

static bool begin_job(struct device *d, enum device_job job, const struct device_identity *as)
{
    struct port_why why = {0};
    struct http_client_options options = {
        .address = d->devices_address,
        .server_name = d->devices_host,
        .host = d->devices_address,
        .body_max = ANSWER_MAX,
        .timeout_ms = ANSWER_MS,
    };
    d->asks_as_renewal = as != NULL;
    options.tls = device_link_tls(d, as);
    if (options.tls != NULL || device_tls(d, as, &d->http_tls, &why) == PORT_OK) {
        options.tls = options.tls != NULL ? options.tls : d->http_tls;
        if (http_client_open(d->port, &options, &d->http, &why) == PORT_OK) {
            d->job = job;
            return true;
        }
    }
    device_say(d, "%s: %s", d->devices_address, why.text);
    device_end_job(d);
    return false;
}

/* ---- EST ---- */

/*
 * A certificate renews itself. Where it is turned away (it ran out, and our clock did not say so;
 * or the site has forgotten it) the device is still what its hardware says, and enrols anew by
 * that; where that fails, the next attempt is by the certificate again.
 */
void device_ask(struct device *d)
{
    const struct device_identity *as = d->is_turned_away ? NULL : device_identity_for_services(d);
    d->is_turned_away = false;
    if (d->job == DEVICE_FETCHES_TRUST) { /* it is asked for again later */
        device_end_job(d);
        d->trust_due_ms = port_now_ms(d->port) + TRUST_AGAIN_MS;
    }
    if (!begin_job(d, DEVICE_ENROLS, as)) {
        device_feed_enroll(d, &(struct enroll_event){.kind = ENROLL_UNANSWERED});
    }
}

/* Subject and names: of the certificate that is renewed, unchanged (RFC 7030 4.2.2), or of the
 * IDevID. */
static void write_request(struct device *d, const struct port_peer *peer, struct writer *csr)
{
    uint8_t subject[256];
    uint8_t challenge[BASE64_LEN(PORT_EXPORTER_LEN)];
    uint8_t info[CSR_MAX];
    uint8_t signature[SIGNATURE_LEN];
    uint8_t der[SIGNATURE_DER_MAX];
    struct writer sw = writer_over(subject, sizeof subject);
    struct writer cw = writer_over(challenge, sizeof challenge);
    struct writer iw = writer_over(info, sizeof info);
    struct writer dw = writer_over(der, sizeof der);
    struct key_public own = key_public_of(d->next_key);
    struct x509 current;
    base64_encode(&cw, slice_of(peer->exporter, sizeof peer->exporter));
    x509_subject_write(&sw,
                       &(struct x509_subject){.serial_number = slice_of(d->serial, d->serial_len)});
    struct csr_spec spec = {
        .subject = writer_slice(&sw),
        .key_kind = X509_P256,
        .public_key = slice_of(own.bytes, own.len),
        .challenge = writer_slice(&cw),
    };
    const struct device_identity *as = device_identity_for_services(d);
    if (d->asks_as_renewal && as != NULL
        && x509_parse(slice_of(as->certificate, as->certificate_len), &current, NULL) == X509_OK) {
        spec.subject = current.subject;
        spec.names = current.extensions.names;
    }
    csr_info_write(&iw, &spec);
    struct slice signed_bytes = writer_slice(&iw);
    if (!writer_ok(&iw) || key_sign(d->next_key, &signed_bytes, 1, signature) != KEY_OK
        || key_signature_to_der(signature, &dw) != KEY_OK
        || csr_write(csr, signed_bytes, X509_P256, writer_slice(&dw)) != X509_OK) {
        csr->overflow = true;
    }
}

static bool send_request(struct device *d)
{
    uint8_t der[CSR_MAX];
    uint8_t text[BASE64_LEN(CSR_MAX)];
    struct writer dw = writer_over(der, sizeof der);
    struct writer tw = writer_over(text, sizeof text);
    struct port_peer peer;
    http_client_peer(d->http, &peer);
    write_request(d, &peer, &dw);
    base64_encode(&tw, writer_slice(&dw));
    if (!writer_ok(&dw) || !writer_ok(&tw)) {
        return false;
    }
    return http_client_send(
        d->http, &(struct http_client_request){
                     .method = "POST",
                     .target = slice_text(d->asks_as_renewal ? "/.well-known/est/simplereenroll"
                                                             : "/.well-known/est/simpleenroll"),
                     .content_type = "application/pkcs10",
                     .body = writer_slice(&tw),
                 });
}

/* Does the certificate name us, and no one else? */
static bool names_us(const struct device *d, const struct x509 *certificate)
{
    struct slice uri = certificate->extensions.uri;
    struct slice own = slice_text(d->id_text);
    return certificate->extensions.uri_count == 1 && uri.len > own.len
           && slice_equal(slice_after(uri, uri.len - own.len), own);
}

/* Finds the certificate of our next key in the answer, by the key and not by its place (RFC
 * 7030 4.2.3). */
static bool take_certificate(struct device *d, struct slice body)
{
    static uint8_t der[ANSWER_MAX]; /* one thread */
    struct writer w = writer_over(der, sizeof der);
    struct slice certificates[CMS_CERTS_MAX];
    struct key_public own = key_public_of(d->next_key);
    size_t count = 0;
    if (base64_decode(body, BASE64_LENIENT, &w) != BASE64_OK
        || cms_certs_read(writer_slice(&w), certificates, COUNT_OF(certificates), &count, NULL)
               != CMS_OK) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct x509 certificate;
        if (x509_parse(certificates[i], &certificate, NULL) == X509_OK
            && slice_equal(certificate.public_key, slice_of(own.bytes, own.len))
            && names_us(d, &certificate) && certificates[i].len <= sizeof d->issued) {
            memcpy(d->issued, certificates[i].at, certificates[i].len);
            d->issued_len = certificates[i].len;
            return true;
        }
    }
    return false;
}

static uint32_t retry_after_s(const struct http_head *head)
{
    struct slice field = http_field_find(head, "Retry-After");
    uint32_t seconds = 0;
    for (size_t i = 0; i < field.len && i < 7; i++) {
        if (field.at[i] < '0' || field.at[i] > '9') {
            return 0;
        }
        seconds = seconds * 10 + (field.at[i] - '0');
    }
    return seconds;
}

static void enroll_answered(struct device *d)
{
    struct http_client_answer answer = http_client_answer(d->http);
    struct enroll_event ev = {.kind = ENROLL_REFUSED};
    int status = answer.head->status;
    if (status == 200 && take_certificate(d, answer.body)) {
        ev.kind = ENROLL_CERTIFIED;
    } else if (status == 200) {
        device_say(d, "enrolment: the answer holds no certificate for our key");
        ev.kind = ENROLL_LATER;
    } else if (status == 202 || status == 429 || status == 503) {
        int len = answer.body.len < 160 ? (int)answer.body.len : 160;
        len -= len > 0 && answer.body.at[len - 1] == '\n';
        device_say(d, "enrolment has to wait: %d %.*s", status, len, (const char *)answer.body.at);
        ev.kind = ENROLL_LATER;
        ev.retry_after_s = retry_after_s(answer.head);
    } else if (status >= 500) { /* it failed, perhaps after the certificate was made */
        device_say(d, "enrolment: the services failed: %d", status);
        ev.kind = ENROLL_UNANSWERED;
    } else {
        int len = answer.body.len < 160 ? (int)answer.body.len : 160;
        device_say(d, "enrolment is refused: %d %.*s", status, len, (const char *)answer.body.at);
        d->is_turned_away = d->asks_as_renewal;
        /* The next key had its one certificate, whose answer was lost, and that ran out since. */
        if (slice_has_prefix(answer.body, slice_text("HF-3218")) && !device_make_next_key(d)) {
            device_fail(d, "next.key", "cannot be made and stored");
        }
    }
    device_end_job(d);
    device_feed_enroll(d, &ev);
}

/* ---- trust list ---- */

void device_fetch_trust(struct device *d)
{
    d->trust_due_ms = UINT64_MAX;
    if (!begin_job(d, DEVICE_FETCHES_TRUST, device_identity_for_services(d))) {
        d->trust_due_ms = port_now_ms(d->port) + jittered(d, TRUST_AGAIN_MAX_MS);
    }
}

static void trust_ended(struct device *d, bool is_good)
{
    uint64_t bound = TRUST_REFRESH_MS;
    device_end_job(d);
    if (is_good) {
        d->trust_attempts = 0;
    } else {
        bound = TRUST_AGAIN_MS;
        for (uint32_t i = 0; i < d->trust_attempts && bound < TRUST_AGAIN_MAX_MS; i++) {
            bound *= 2;
        }
        d->trust_attempts += d->trust_attempts < 16;
    }
    d->trust_due_ms = port_now_ms(d->port) + jittered(d, bound);
}

static void trust_answered(struct device *d)
{
    struct http_client_answer answer = http_client_answer(d->http);
    bool is_good = false;
    if (answer.head->status == 200) {
        is_good = device_take_trust(d, answer.body, false);
    } else {
        device_say(d, "the trust list: %d", answer.head->status);
    }
    trust_ended(d, is_good);
}

/* ---- both ---- */

static void failed(struct device *d)
{
    struct http_client_failure failure = http_client_failure(d->http);
    bool enrols = d->job == DEVICE_ENROLS;
    device_say(d, "%s: %s", d->devices_address, failure.text);
    if (enrols) {
        d->is_turned_away = d->asks_as_renewal && failure.why == HTTP_CLIENT_TLS;
        device_end_job(d);
        device_feed_enroll(d, &(struct enroll_event){.kind = ENROLL_UNANSWERED});
    } else {
        trust_ended(d, false);
    }
}

static void connected(struct device *d)
{
    bool sent =
        d->job == DEVICE_ENROLS
            ? send_request(d)
            : http_client_send(d->http, &(struct http_client_request){
                                            .method = "GET", .target = slice_text("/trust")});
    if (!sent) {
        device_fail(d, "a request", "cannot be made");
    }
}

bool device_http_event(struct device *d, const struct port_event *ev)
{
    if (d->http == NULL) {
        return false;
    }
    switch (http_client_event(d->http, ev)) {
    case HTTP_CLIENT_NOT_MINE: return false;
    case HTTP_CLIENT_WAITING:
    case HTTP_CLIENT_PIECE: break;
    case HTTP_CLIENT_CONNECTED: connected(d); break;
    case HTTP_CLIENT_ANSWERED:
        if (d->job == DEVICE_ENROLS) {
            enroll_answered(d);
        } else {
            trust_answered(d);
        }
        break;
    case HTTP_CLIENT_FAILED: failed(d); break;
    }
    return true;
}
