#include "role/control_devices.h"

#include "base/invariant.h"
#include "codec/base64.h"
#include "codec/cms.h"
#include "codec/pem.h"
#include "io/read_all.h"
#include "role/control_devices_inside.h"
#include "role/pki_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRUST_LIST_LOOK_MS = 60000,

    PATH_MAX_LEN = 1024,
    PEM_MAX = 8192,
    MANUFACTURERS_MAX = 262144,
    ANCHORS_DEVICES = 0, /* the order of the anchor sets in open_tls */
    ANCHORS_MANUFACTURERS = 1,
    LABEL_MAX = 64
};

/* ---- answers ---- */

void devices_answer_text(struct http_call *call, int status, const char *fields, const char *text)
{
    http_answer(call, &(struct http_response){.status = status,
                                              .content_type = "text/plain; charset=utf-8",
                                              .fields = fields,
                                              .body = slice_text(text)});
}

/* One unbroken line, no Content-Transfer-Encoding: RFC 8951 3. */
void devices_answer_base64(struct http_call *call, const char *content_type, struct slice der)
{
    static uint8_t text[DEVICES_TEXT_MAX]; /* one thread; copied before this returns */
    struct writer w = writer_over(text, sizeof text);
    base64_encode(&w, der);
    http_answer(call, &(struct http_response){
                          .status = 200, .content_type = content_type, .body = writer_slice(&w)});
}

void devices_answer_certificate(struct control_devices *s, struct http_call *call, struct slice der)
{
    uint8_t cms[DEVICES_CMS_MAX];
    struct writer w = writer_over(cms, sizeof cms);
    metrics_observe(&s->counts.duration, port_now_us(s->port) - call->began_us);
    if (cms_certs_write(&w, &der, 1) != CMS_OK) {
        devices_answer_text(call, 500, NULL, "the certificate could not be wrapped\n");
        return;
    }
    devices_answer_base64(call, "application/pkcs7-mime; smime-type=certs-only", writer_slice(&w));
}

void devices_answer_refusal(struct control_devices *s,
                            struct http_call *call,
                            enum enrol_refusal refusal)
{
    char text[400];
    const struct enrol_answer *answer = enrol_answer_of(refusal);
    s->counts.refused[refusal]++;
    (void)snprintf(text, sizeof text, "%s %s: %s\n", answer->code, answer->name, answer->text);
    devices_answer_text(call, answer->status, answer->status == 429 ? "Retry-After: 600\r\n" : NULL,
                        text);
}

void devices_broken(struct control_devices *s)
{
    s->options.broken(s->options.context, registry_why(s->options.registry));
}

/* ---- routes ---- */

static void get_cacerts(struct control_devices *s, struct http_call *call)
{
    http_answer(call, &(struct http_response){.status = 200,
                                              .content_type = "application/pkcs7-mime",
                                              .body = slice_of(s->cacerts, s->cacerts_len)});
}

static void get_csrattrs(struct control_devices *s, struct http_call *call)
{
    uint8_t der[128];
    struct writer w = writer_over(der, sizeof der);
    csrattrs_write(&w, &(struct csrattrs){.challenge_password = s->options.require_linking,
                                          .p256 = true,
                                          .ecdsa_sha256 = true});
    devices_answer_base64(call, "application/csrattrs", writer_slice(&w));
}

static void get_trust(struct control_devices *s, struct http_call *call)
{
    if (s->trust_list_len == 0) {
        devices_answer_text(call, 503, "Retry-After: 1\r\n", "the trust list is not signed yet\n");
        return;
    }
    http_answer(
        call, &(struct http_response){.status = 200,
                                      .content_type = "application/cose; cose-type=\"cose-sign1\"",
                                      .body = slice_of(s->trust_list, s->trust_list_len)});
}

static void post_first(struct control_devices *s, struct http_call *call)
{
    devices_enrol(s, call, ENROL_FIRST);
}

static void post_again(struct control_devices *s, struct http_call *call)
{
    devices_enrol(s, call, ENROL_AGAIN);
}

static void not_offered(struct control_devices *s, struct http_call *call)
{
    (void)s;
    devices_answer_text(
        call, 404, NULL,
        "not offered: private keys never leave devices, and there is no CMC here\n");
}

static const struct route {
    const char *operation;
    enum http_method method; /* HTTP_OTHER: any */
    void (*handle)(struct control_devices *s, struct http_call *call);
} operations[] = {
    {"cacerts", HTTP_GET, get_cacerts},        {"csrattrs", HTTP_GET, get_csrattrs},
    {"simpleenroll", HTTP_POST, post_first},   {"simplereenroll", HTTP_POST, post_again},
    {"serverkeygen", HTTP_OTHER, not_offered}, {"fullcmc", HTTP_OTHER, not_offered},
};

static const struct route *find_operation(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(operations); i++) {
        if (slice_is_text(name, operations[i].operation)) {
            return &operations[i];
        }
    }
    return NULL;
}

/* RFC 7030 3.2.2: one more segment, that is not itself the name of an operation. */
static bool is_label(struct slice segment)
{
    for (size_t i = 0; i < segment.len; i++) {
        uint8_t c = segment.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && c != '-' && c != '.' && c != '_' && c != '~') {
            return false;
        }
    }
    return segment.len > 0 && segment.len <= LABEL_MAX && find_operation(segment) == NULL;
}

static const struct route *find_route(struct slice path)
{
    static const struct route trust = {"trust", HTTP_GET, get_trust};
    struct slice prefix = slice_text("/.well-known/est/");
    if (slice_is_text(path, "/trust")) {
        return &trust;
    }
    if (!slice_has_prefix(path, prefix)) {
        return NULL;
    }
    struct slice rest = slice_after(path, prefix.len);
    const uint8_t *slash = rest.len > 0 ? memchr(rest.at, '/', rest.len) : NULL;
    if (slash != NULL) {
        size_t len = (size_t)(slash - rest.at);
        if (!is_label(slice_of(rest.at, len))) {
            return NULL;
        }
        rest = slice_after(rest, len + 1);
    }
    return find_operation(rest);
}

static bool may_call(const struct route *route, enum http_method method)
{
    return route->method == HTTP_OTHER || route->method == method
           || (route->method == HTTP_GET && method == HTTP_HEAD);
}

static void handle(void *context, struct http_call *call)
{
    struct control_devices *s = context;
    const struct route *route = find_route(call->head.path);
    if (route == NULL) {
        devices_answer_text(call, 404, NULL,
                            "there is nothing here; EST is at /.well-known/est/\n");
    } else if (!may_call(route, call->head.method)) {
        devices_answer_text(call, 405,
                            route->method == HTTP_GET ? "Allow: GET, HEAD\r\n" : "Allow: POST\r\n",
                            "this operation takes another method\n");
    } else if (http_field_count(&call->head, "Early-Data") > 0) {
        devices_answer_text(call, 425, NULL, "RFC 8470: not in early data\n");
    } else {
        route->handle(s, call);
    }
}

/* ---- the keeper ---- */

static void on_answer(void *context, const struct keeper_client_answer *answer)
{
    struct control_devices *s = context;
    if (answer->outcome == KEEPER_REFUSED) {
        (void)fprintf(stderr, "control: the keeper refused: %.*s\n", (int)answer->bytes.len,
                      (const char *)answer->bytes.at);
    }
    (void)HOLDS(devices_trust_list_signed(s, answer) || devices_signed(s, answer)
                || devices_application_signed(s, answer));
}

/* ---- opening ---- */

/* A file of the data folder. */
static enum port_result read_own(struct control_devices *s,
                                 const char *name,
                                 void *to,
                                 size_t cap,
                                 size_t *len,
                                 struct port_why *why)
{
    char path[PATH_MAX_LEN];
    (void)snprintf(path, sizeof path, "%s/%s", s->options.data, name);
    enum port_result result = port_file_read_all(s->port, path, to, cap, len);
    if (result != PORT_OK) {
        (void)pki_refuse(PKI_FAILED, why, "%s cannot be read", path);
    }
    return result;
}

static bool read_certificate(struct control_devices *s,
                             const char *name,
                             struct devices_certificate *out,
                             struct port_why *why)
{
    uint8_t pem[PEM_MAX];
    size_t len = 0;
    struct writer der = writer_over(out->der, sizeof out->der);
    struct slice label = {0};
    struct slice bytes = {0};
    if (read_own(s, name, pem, sizeof pem, &len, why) != PORT_OK) {
        return false;
    }
    struct slice rest = slice_of(pem, len);
    if (pem_next(&rest, &label, &der, &bytes) != PEM_OK
        || x509_parse(bytes, &out->certificate, NULL) != X509_OK) {
        (void)pki_refuse(PKI_FAILED, why, "%s/%s is no certificate that we take", s->options.data,
                         name);
        return false;
    }
    return true;
}

static bool write_cacerts(struct control_devices *s)
{
    uint8_t cms[DEVICES_CMS_MAX];
    struct slice certs[] = {s->issuer.certificate.der, s->root.certificate.der};
    struct writer w = writer_over(cms, sizeof cms);
    struct writer text = writer_over(s->cacerts, sizeof s->cacerts);
    if (cms_certs_write(&w, certs, COUNT_OF(certs)) != CMS_OK) {
        return false;
    }
    base64_encode(&text, writer_slice(&w));
    s->cacerts_len = text.len;
    return writer_ok(&text);
}

struct gathering {
    struct control_devices *services;
    struct writer pem;
};

static bool holds_certificates(struct slice pem)
{
    uint8_t der[PEM_MAX];
    struct writer w = writer_over(der, sizeof der);
    struct slice label;
    struct slice bytes;
    struct x509 certificate;
    size_t count = 0;
    enum pem_result result;
    while ((result = pem_next(&pem, &label, &w, &bytes)) == PEM_OK) {
        if (!slice_is_text(label, "CERTIFICATE")
            || x509_parse(bytes, &certificate, NULL) != X509_OK) {
            return false;
        }
        count++;
        writer_reset(&w);
    }
    return count > 0 && result == PEM_END;
}

static void gather(void *context, const char *name)
{
    struct gathering *g = context;
    char file[300];
    struct port_why why;
    size_t len = strlen(name);
    size_t got = 0;
    if (len < 4 || strcmp(name + len - 4, ".pem") != 0 || g->pem.overflow) {
        return;
    }
    int written = snprintf(file, sizeof file, "pki/manufacturers/%s", name);
    if (written < 0 || (size_t)written >= sizeof file
        || read_own(g->services, file, g->pem.at + g->pem.len, writer_room(&g->pem), &got, &why)
               != PORT_OK) {
        g->pem.overflow = true;
        return;
    }
    struct slice text = slice_of(g->pem.at + g->pem.len, got);
    if (!holds_certificates(text)) {
        g->pem.overflow = true; /* none of them is taken, rather than those before it alone */
        return;
    }
    g->pem.len += got;
    write_u8(&g->pem, '\n');
}

/* All accepted manufacturers in one anchor set; an empty slice, and no set, where there are none.
 */
static bool gather_manufacturers(struct gathering *g, struct port_why *why)
{
    char path[PATH_MAX_LEN];
    (void)snprintf(path, sizeof path, "%s/pki/manufacturers", g->services->options.data);
    enum port_result result = port_dir_list(g->services->port, path, gather, g);
    if ((result != PORT_OK && result != PORT_NOT_FOUND) || !writer_ok(&g->pem)) {
        (void)pki_refuse(PKI_FAILED, why,
                         "%s: a manufacturer's certificate cannot be read, or they are too many",
                         path);
        return false;
    }
    return true;
}

/* Certificate, key, issuer and manufacturers as they are now; NULL where that is what was last
 * tried. */
static bool load_tls(struct control_devices *s, struct port_tls **out, struct port_why *why)
{
    uint8_t certificate[PEM_MAX];
    uint8_t key[PEM_MAX / 4];
    uint8_t issuer[PEM_MAX / 4];
    size_t certificate_len = 0;
    size_t key_len = 0;
    size_t issuer_len = 0;
    uint8_t *manufacturers = malloc(MANUFACTURERS_MAX);
    INVARIANT(manufacturers != NULL);
    struct gathering g = {.services = s, .pem = writer_over(manufacturers, MANUFACTURERS_MAX)};
    *out = NULL;
    bool is_good =
        read_own(s, "pki/devices.pem", certificate, sizeof certificate, &certificate_len, why)
            == PORT_OK
        && read_own(s, "keys/control/devices.key", key, sizeof key, &key_len, why) == PORT_OK
        && read_own(s, "pki/issuer.pem", issuer, sizeof issuer, &issuer_len, why) == PORT_OK
        && gather_manufacturers(&g, why);
    const struct slice parts[] = {slice_of(certificate, certificate_len), slice_of(key, key_len),
                                  slice_of(issuer, issuer_len), writer_slice(&g.pem)};
    if (tls_files_are_new(&s->tls_files, parts, COUNT_OF(parts)) && is_good) {
        struct port_tls_config config = {
            .certificate_pem = parts[0],
            .key_pem = parts[1],
            .anchors = {[ANCHORS_DEVICES] = {.pem = parts[2]},
                        [ANCHORS_MANUFACTURERS] = {.pem = parts[3], .no_time = true}},
            .anchors_count = g.pem.len > 0 ? 2 : 1,
            .is_server = true,
        };
        is_good = port_tls_make(s->port, &config, out, why) == PORT_OK;
    }
    s->has_manufacturers = *out != NULL ? g.pem.len > 0 : s->has_manufacturers;
    wipe(key, sizeof key);
    free(manufacturers);
    return is_good;
}

void control_devices_refresh(struct control_devices *s)
{
    struct port_why why = {0};
    struct port_tls *tls = NULL;
    uint64_t now_ms = port_now_ms(s->port);
    if (now_ms < s->tls_files.due_ms) {
        return;
    }
    s->tls_files.due_ms = now_ms + s->options.look_ms;
    if (s->trust_list_len > 0 && now_ms >= s->trust_list_due_ms) {
        s->trust_list_due_ms = now_ms + TRUST_LIST_LOOK_MS;
        devices_trust_list_begin(s);
    }
    struct digest before = s->tls_files.seen;
    if (!load_tls(s, &tls, &why)) {
        if (memcmp(&before, &s->tls_files.seen, sizeof before) != 0) {
            s->tls_files.refused++;
            (void)fprintf(stderr,
                          "control keeps the manufacturers and the certificate it has: %s\n",
                          why.text);
        }
        return;
    }
    if (tls != NULL) {
        http_server_set_tls(s->server, tls);
        port_tls_free(s->tls);
        s->tls = tls;
        s->tls_files.taken++;
    }
}

static bool open_server(struct control_devices *s, struct port_why *why)
{
    struct http_server_options options = http_server_options_default();
    options.address = s->options.listen;
    options.tls = s->tls;
    options.body_max = 16384;
    options.handler = handle;
    options.context = s;
    return http_server_open(s->port, &options, &s->server, why) == PORT_OK;
}

static bool open_keeper(struct control_devices *s, struct port_why *why)
{
    char path[PATH_MAX_LEN];
    (void)snprintf(path, sizeof path, "%s/run/keeper.sock", s->options.data);
    s->keeper = keeper_client_open(s->port, path, on_answer, s);
    if (s->keeper == NULL) {
        (void)pki_refuse(PKI_FAILED, why, "%s: not a path for a socket", path);
    }
    return s->keeper != NULL;
}

bool control_devices_open(struct port *port,
                          const struct control_devices_options *options,
                          struct control_devices **out,
                          struct port_why *why)
{
    struct control_devices *s = calloc(1, sizeof *s);
    INVARIANT(s != NULL);
    INVARIANT(options->broken != NULL);
    s->port = port;
    s->options = *options;
    s->options.look_ms = options->look_ms != 0 ? options->look_ms : TLS_FILES_LOOK_MS;
    if (!read_certificate(s, "pki/root.pem", &s->root, why)
        || !read_certificate(s, "pki/issuer.pem", &s->issuer, why)
        || !read_certificate(s, "pki/trust.pem", &s->trust, why)
        || !read_certificate(s, "pki/ingest.pem", &s->ingest, why) || !write_cacerts(s)
        || !load_tls(s, &s->tls, why) || !open_keeper(s, why) || !open_server(s, why)) {
        control_devices_close(s);
        return false;
    }
    *out = s;
    return true;
}

void control_devices_close(struct control_devices *s)
{
    if (s == NULL) {
        return;
    }
    if (s->server != NULL) {
        http_server_close(s->server);
    }
    keeper_client_close(s->keeper);
    if (s->tls != NULL) {
        port_tls_free(s->tls);
    }
    free(s);
}

bool control_devices_event(struct control_devices *s, const struct port_event *ev)
{
    if (keeper_client_event(s->keeper, ev)) {
        if (ev->kind == PORT_CONNECTED && s->trust_list_len == 0) {
            devices_trust_list_begin(s);
        }
        return true;
    }
    return http_server_event(s->server, ev);
}

uint16_t control_devices_port(const struct control_devices *s)
{
    return http_server_port(s->server);
}

bool control_devices_is_ready(const struct control_devices *s)
{
    return keeper_client_is_up(s->keeper) && s->trust_list_len > 0;
}

void control_devices_metrics(const struct control_devices *s, struct writer *w)
{
    static const char name[] = "holdfast_enrolments_total";
    const struct devices_counts *c = &s->counts;
    metrics_name(w, name, "counter", "Requests for certificates, by outcome");
    metrics_value(w, name, "outcome=\"issued\"", c->issued);
    metrics_value(w, name, "outcome=\"returned\"", c->returned);
    metrics_value(w, name, "outcome=\"malformed\"", c->malformed);
    metrics_value(w, name, "outcome=\"unavailable\"", c->unavailable);
    metrics_value(w, name, "outcome=\"bundle\"", c->bundles);
    metrics_name(
        w, "holdfast_control_tls_reloads_total", "counter",
        "Times that certificate, issuer or manufacturers were others: used, or of no use.");
    metrics_value(w, "holdfast_control_tls_reloads_total", "outcome=\"used\"", s->tls_files.taken);
    metrics_value(w, "holdfast_control_tls_reloads_total", "outcome=\"refused\"",
                  s->tls_files.refused);
    metrics_name(w, "holdfast_enrolment_refusals_total", "counter",
                 "Requests for certificates refused, by reason");
    for (int i = ENROL_NO_CERTIFICATE; i < (int)ENROL_REFUSAL_COUNT; i++) {
        const char *reason = enrol_answer_of((enum enrol_refusal)i)->name;
        metrics_labelled(w, "holdfast_enrolment_refusals_total", "reason", slice_text(reason),
                         c->refused[i]);
    }
    metrics_histogram_write(w, "holdfast_enrolment_seconds",
                            "From the whole request to its certificate", &c->duration);
}
