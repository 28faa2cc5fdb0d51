#include "role/keeper.h"

#include "base/invariant.h"
#include "codec/keeper_message.h"
#include "core/control/enrolment_trace.h"
#include "core/control/signing.h"
#include "io/read_all.h"
#include "role/metrics.h"
#include "role/pki_files.h"
#include "role/pki_renew.h"
#include "role/trace.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    EXIT_KEYS = 9,
    CONNECTIONS_MAX = 16,
    METRICS_MS = 1000,
    SERVERS_MS = 3600000, /* how often the server certificates are looked at */
    METRICS_MAX = 16384,
    KEY_MAX = 1024,
    PEM_MAX = 8192
};

struct counts {
    uint64_t signed_devices, signed_trust_lists, signed_applications, refused, malformed, strangers;
};

struct keeper {
    const struct keeper_config *config;
    struct port *port;
    struct port_listener *listener;
    struct port_wake *wake;
    struct pki_entity issuer;
    struct pki_entity trust;
    struct signing_policy policy;
    struct trace *trace; /* NULL: nothing is traced */
    struct counts counts;
    struct metrics_histogram duration;
    struct pki_renewal servers[PKI_SERVERS];
    uint64_t servers_renewed, servers_due_ms;
    int exit_code;
};

static int stop(struct keeper *k, int code, const char *what, const char *why)
{
    (void)fprintf(stderr, "keeper stops: %s: %s\n", what, why);
    k->exit_code = code;
    return code;
}

/* ---- keys ---- */

static bool read_private(struct keeper *k, const char *path, uint8_t *to, size_t *len)
{
    struct port_file *file = NULL;
    bool is_private = false;
    if (port_file_open(k->port, path, PORT_READ, &file) != PORT_OK) {
        (void)stop(k, EXIT_KEYS, path, "cannot be read");
        return false;
    }
    bool is_known = port_file_is_private(file, &is_private) == PORT_OK;
    port_file_close(file);
    if (!is_known || !is_private) {
        (void)stop(k, EXIT_KEYS, path,
                   "others may read it; its mode must be 0600, its owner this user");
        return false;
    }
    if (port_file_read_all(k->port, path, to, KEY_MAX, len) != PORT_OK) {
        (void)stop(k, EXIT_KEYS, path, "cannot be read");
        return false;
    }
    return true;
}

/* DATA/keeper/STEM.key with its certificate DATA/pki/STEM.pem. */
static bool take(struct keeper *k, const char *stem, struct pki_entity *out)
{
    char key_path[PKI_PATH_MAX];
    char certificate_path[PKI_PATH_MAX];
    uint8_t key[KEY_MAX];
    uint8_t certificate[PEM_MAX];
    size_t key_len = 0;
    size_t certificate_len = 0;
    (void)snprintf(key_path, sizeof key_path, "%s/keeper/%s.key", k->config->data, stem);
    (void)snprintf(certificate_path, sizeof certificate_path, "%s/pki/%s.pem", k->config->data,
                   stem);
    if (!read_private(k, key_path, key, &key_len)) {
        return false;
    }
    bool is_good =
        port_file_read_all(k->port, certificate_path, certificate, sizeof certificate,
                           &certificate_len)
            == PORT_OK
        && pki_entity_from_pem(out, slice_of(certificate, certificate_len), slice_of(key, key_len));
    wipe(key, sizeof key);
    if (!is_good) {
        (void)stop(k, EXIT_KEYS, certificate_path, "is no certificate of the key of that name");
    }
    return is_good;
}

/* ---- requests ---- */

static struct slice sign(struct keeper *k,
                         const struct keeper_request *request,
                         uint8_t out[SIGNATURE_DER_MAX])
{
    uint8_t raw[SIGNATURE_LEN];
    struct writer w = writer_over(out, SIGNATURE_DER_MAX);
    switch (request->purpose) {
    case KEEPER_DEVICE_CERTIFICATE:
    case KEEPER_APPLICATION_CERTIFICATE:
        if (key_sign(k->issuer.key, &request->bytes, 1, raw) == KEY_OK
            && key_signature_to_der(raw, &w) == KEY_OK) {
            k->counts.signed_devices += request->purpose == KEEPER_DEVICE_CERTIFICATE;
            k->counts.signed_applications += request->purpose == KEEPER_APPLICATION_CERTIFICATE;
            return writer_slice(&w);
        }
        return (struct slice){0};
    case KEEPER_TRUST_LIST:
        if (key_sign(k->trust.key, &request->bytes, 1, raw) == KEY_OK) {
            k->counts.signed_trust_lists++;
            write_bytes(&w, raw, sizeof raw);
            return writer_slice(&w);
        }
        return (struct slice){0};
    }
    UNREACHABLE();
}

static void answer(struct keeper *k, struct port_conn *conn, const struct keeper_request *request)
{
    uint8_t bytes[512];
    uint8_t signature[SIGNATURE_DER_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct fault fault = {.clause = ""};
    struct keeper_answer reply = {.id = request->id, .outcome = KEEPER_UNAVAILABLE};
    const struct signing_image asked = {.purpose = (uint8_t)request->purpose};
    trace_event(k->trace, 0, 0, NULL, NULL, &asked, request->bytes);
    bool is_allowed = signing_allows(&k->policy, request->purpose, request->bytes, &fault);
    trace_left(k->trace);
    if (!is_allowed) {
        k->counts.refused++;
        reply.outcome = KEEPER_REFUSED;
        reply.bytes = slice_text(fault.clause);
        (void)fprintf(stderr, "keeper refuses: %s\n", fault.clause);
    } else {
        reply.bytes = sign(k, request, signature);
        reply.outcome = reply.bytes.len > 0 ? KEEPER_SIGNED : KEEPER_UNAVAILABLE;
    }
    keeper_answer_write(&w, &reply);
    if (!writer_ok(&w) || !port_send(conn, writer_slice(&w))) {
        port_abort(conn); /* it asks and does not listen */
    }
}

static void on_received(struct keeper *k, const struct port_event *ev)
{
    struct slice rest = ev->received.bytes;
    struct keeper_request request;
    size_t used = 0;
    enum keeper_message_result result;
    while ((result = keeper_request_decode(rest, &request, &used)) == KEEPER_MESSAGE_OK) {
        uint64_t began_us = port_now_us(k->port);
        answer(k, ev->conn, &request);
        metrics_observe(&k->duration, port_now_us(k->port) - began_us);
        rest = slice_after(rest, used);
    }
    port_consume(ev->conn, ev->received.bytes.len - rest.len);
    if (result == KEEPER_MESSAGE_MALFORMED) {
        k->counts.malformed++;
        port_abort(ev->conn);
    }
}

static void on_accepted(struct keeper *k, const struct port_event *ev)
{
    struct port_peer peer;
    port_conn_peer(ev->conn, &peer);
    if (peer.local_uid != port_own_uid(k->port)) {
        k->counts.strangers++;
        port_abort(ev->conn);
    }
}

/* ---- the certificates of this machine's servers ---- */

/* The services key is read when it is needed and forgotten again; where it was moved away, nothing
 * can be renewed, and that is said. */
static void renew_server(struct keeper *k, size_t i)
{
    struct pki_entity services;
    struct port_why why = {0};
    const char *stem = pki_server_stems[i];
    enum pki_result result =
        pki_renew_server(k->port, k->config->data, stem, NULL, &k->servers[i], &why);
    if (result == PKI_OK && k->servers[i].is_due) {
        char key[PKI_PATH_MAX];
        (void)snprintf(key, sizeof key, "%s/keeper", k->config->data);
        if (!pki_has_file(k->port, key, "services.key") || !take(k, "services", &services)) {
            k->exit_code = 0; /* no reason to stop signing for devices */
            result = pki_refuse(PKI_BAD, &why, "keeper/services.key cannot be used");
        } else {
            result =
                pki_renew_server(k->port, k->config->data, stem, &services, &k->servers[i], &why);
            pki_entity_forget(&services);
        }
        k->servers_renewed += k->servers[i].is_renewed;
    }
    if (result != PKI_OK) {
        (void)fprintf(stderr, "keeper: the certificate of %s is not renewed: %s\n", stem, why.text);
    }
}

static void renew_servers(struct keeper *k)
{
    uint64_t now_ms = port_now_ms(k->port);
    for (size_t i = 0; i < PKI_SERVERS && now_ms >= k->servers_due_ms; i++) {
        renew_server(k, i);
    }
    k->servers_due_ms = now_ms >= k->servers_due_ms ? now_ms + SERVERS_MS : k->servers_due_ms;
}

static void write_servers(const struct keeper *k, struct writer *w)
{
    metrics_name(w, "holdfast_server_certificate_not_after_seconds", "gauge",
                 "When a server certificate of this machine ends, in seconds since 1970");
    for (size_t i = 0; i < PKI_SERVERS; i++) {
        metrics_labelled(w, "holdfast_server_certificate_not_after_seconds", "server",
                         slice_text(pki_server_stems[i]),
                         (uint64_t)(k->servers[i].not_after_ms / 1000));
    }
    metrics_name(w, "holdfast_server_certificates_renewed_total", "counter",
                 "Server certificates made anew");
    metrics_value(w, "holdfast_server_certificates_renewed_total", NULL, k->servers_renewed);
}

/* ---- the role ---- */

static void report(struct keeper *k)
{
    static uint8_t text[METRICS_MAX];
    char path[PKI_PATH_MAX];
    struct writer w = writer_over(text, sizeof text);
    metrics_name(&w, "holdfast_keeper_signatures_total", "counter", "Signatures made, by purpose");
    metrics_value(&w, "holdfast_keeper_signatures_total", "purpose=\"device\"",
                  k->counts.signed_devices);
    metrics_value(&w, "holdfast_keeper_signatures_total", "purpose=\"trust-list\"",
                  k->counts.signed_trust_lists);
    metrics_value(&w, "holdfast_keeper_signatures_total", "purpose=\"application\"",
                  k->counts.signed_applications);
    metrics_name(&w, "holdfast_keeper_refusals_total", "counter",
                 "Requests not answered with a signature, by reason");
    metrics_value(&w, "holdfast_keeper_refusals_total", "reason=\"policy\"", k->counts.refused);
    metrics_value(&w, "holdfast_keeper_refusals_total", "reason=\"malformed\"",
                  k->counts.malformed);
    metrics_value(&w, "holdfast_keeper_refusals_total", "reason=\"stranger\"", k->counts.strangers);
    write_servers(k, &w);
    metrics_histogram_write(&w, "holdfast_keeper_request_seconds",
                            "Time to check and sign a request", &k->duration);
    metrics_invariants(&w);
    confine_metrics(&w);
    trace_metrics(k->trace, &w);
    (void)snprintf(path, sizeof path, "%s/run/keeper.metrics", k->config->data);
    (void)metrics_replace(k->port, path,
                          writer_slice(&w)); /* no evidence: the next one comes in a second */
    port_wake_at(k->wake, port_now_ms(k->port) + METRICS_MS);
}

static void on_event(void *role, const struct port_event *ev)
{
    struct keeper *k = role;
    switch (ev->kind) {
    case PORT_ACCEPTED: on_accepted(k, ev); break;
    case PORT_RECEIVED: on_received(k, ev); break;
    case PORT_WOKE:
        renew_servers(k);
        report(k);
        break;
    case PORT_TERMINATE: port_stop(k->port); break;
    case PORT_REFUSED:
    case PORT_CONNECTED:
    case PORT_DRAINED:
    case PORT_CLOSED:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TURN_ENDED: break;
    }
}

static int open_socket(struct keeper *k)
{
    char dir[PKI_PATH_MAX];
    char address[PKI_PATH_MAX + 32];
    struct port_why why = {0};
    struct port_listen_options options = {
        .receive_cap = KEEPER_FRAME_MAX,
        .send_cap = KEEPER_FRAME_MAX,
        .handshakes_max = CONNECTIONS_MAX,
        .connections_max = CONNECTIONS_MAX,
        .handshake_ms = 1000,
    };
    if (!pki_path(dir, k->config->data, "run") || port_dir_make(k->port, dir) != PORT_OK) {
        return stop(k, 1, k->config->data, "its folder run cannot be made");
    }
    (void)snprintf(address, sizeof address, "unix:%s/keeper.sock", dir);
    if (port_listen(k->port, address, NULL, &options, NULL, &k->listener, &why) != PORT_OK) {
        return stop(k, 1, address, why.text);
    }
    return 0;
}

/* [domain, issuer, trust certificate, longest life of a device's and of an application's
 * certificate]: the policy. Certificates; no key. */
static void open_trace(struct keeper *k)
{
    char dir[PKI_PATH_MAX];
    uint8_t context[PEM_MAX];
    struct writer w = writer_over(context, sizeof context);
    bool fits = pki_path(dir, k->config->data, "keeper/traces");
    k->trace =
        trace_start(k->port, "keeper", fits ? dir : NULL, &signing_trace, 1, TRACE_RING_BYTES);
    cbor_write_array(&w, 5);
    cbor_write_text(&w, k->policy.domain);
    cbor_write_bytes(&w, k->policy.issuer->der);
    cbor_write_bytes(&w, k->policy.trust_certificate);
    cbor_write_u64(&w, k->policy.lifetime_max_ms);
    cbor_write_u64(&w, k->policy.application_lifetime_max_ms);
    trace_set_context(k->trace, writer_slice(&w));
}

int keeper_end(struct keeper *k)
{
    int code = k->exit_code;
    trace_stop(k->trace);
    pki_entity_forget(&k->issuer);
    pki_entity_forget(&k->trust);
    port_close_all(k->port);
    free(k);
    return code;
}

int keeper_begin(const struct keeper_config *config, struct keeper **out)
{
    struct keeper *k = calloc(1, sizeof *k);
    INVARIANT(k != NULL);
    k->config = config;
    k->port = port_open(on_event, k);
    INVARIANT(k->port != NULL);
    if (take(k, "issuer", &k->issuer) && take(k, "trust", &k->trust) && open_socket(k) == 0) {
        k->policy = (struct signing_policy){
            .issuer = &k->issuer.certificate,
            .trust_certificate = k->trust.certificate.der,
            .domain = slice_text(config->domain),
            .lifetime_max_ms = config->device_lifetime_max_ms,
            .application_lifetime_max_ms = config->application_lifetime_max_ms,
        };
        open_trace(k);
        k->wake = port_wake_new(k->port, NULL);
        port_wake_at(k->wake, port_now_ms(k->port));
        *out = k;
        return 0;
    }
    return keeper_end(k);
}

/* It reads its keys and the certificates to renew, writes those and its report; it calls nobody. */
static bool give_up_rights(struct keeper *k)
{
    struct confine_paths writes = {0};
    confine_path(&writes, k->config->data, "keeper");
    confine_path(&writes, k->config->data, "pki");
    confine_path(&writes, k->config->data, "run");
    return confine(k->port, "keeper", k->config->sandbox,
                   &(struct port_rights){.writes = writes.list});
}

int keeper_run(const struct keeper_config *config)
{
    struct keeper *k = NULL;
    int code = keeper_begin(config, &k);
    if (code == 0) {
        if (give_up_rights(k)) {
            port_run(k->port);
        } else {
            k->exit_code = 1;
        }
        code = keeper_end(k);
    }
    return code;
}
