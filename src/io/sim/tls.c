/*
 * A stand-in for TLS 1.3: no records and no encryption, but the same answers to who may connect.
 * Chains are verified by trust/chain, server names by the certificate's names, and each end signs
 * the transcript of the handshake with its private key, so that a certificate without its key opens
 * nothing. With the stub cipher a handshake costs some microseconds.
 *
 * As in TLS 1.3 the client is done before the server has looked at its certificate: a client that
 * is refused for it sees its connection come up, and then an alert.
 */
#include "codec/der.h"
#include "codec/pem.h"
#include "crypto/hash.h"
#include "io/sim/tls_inside.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CERTIFICATES_MAX = 16, RANDOM_LEN = 32 };

/* ---- contexts ---- */

static bool read_certificates(struct certificates *to, struct slice pem)
{
    if (pem.len == 0) {
        return true;
    }
    to->der = sim_alloc(pem.len);
    struct x509 list[CERTIFICATES_MAX];
    struct writer w = writer_over(to->der, pem.len);
    struct slice label;
    struct slice der;
    enum pem_result result = PEM_OK;
    while ((result = pem_next(&pem, &label, &w, &der)) == PEM_OK) {
        if (!slice_equal(label, slice_text("CERTIFICATE"))) {
            continue;
        }
        if (to->count == CERTIFICATES_MAX || x509_parse(der, &list[to->count], NULL) != X509_OK) {
            return false;
        }
        to->count++;
    }
    to->list = sim_alloc(to->count * sizeof *to->list + 1);
    memcpy(to->list, list, to->count * sizeof *to->list);
    return result == PEM_END;
}

static struct digest digest_of(const struct certificates *list)
{
    struct hash h;
    struct digest out;
    hash_init(&h);
    for (size_t i = 0; i < list->count; i++) {
        hash_add(&h, list->list[i].der);
    }
    hash_end(&h, &out);
    return out;
}

static bool take_key(struct port_tls *tls, struct slice pem)
{
    if (key_from_pem(pem, &tls->key) != KEY_OK) {
        return false;
    }
    struct key_public own = key_public_of(tls->key);
    const struct x509 *leaf = &tls->own.list[0];
    return (unsigned)leaf->key_kind == (unsigned)own.kind
           && slice_equal(leaf->public_key, slice_of(own.bytes, own.len));
}

static const char *objection(const struct port_tls_config *config)
{
    if (config->anchors_count > PORT_ANCHOR_SETS_MAX) {
        return "too many anchor sets";
    }
    if (!config->is_server && config->anchors_count == 0) {
        return "a client needs anchors: there is no accept-all";
    }
    if (config->is_server && config->require_peer && config->anchors_count == 0) {
        return "peers are required but there are no anchors to verify them with";
    }
    if (config->is_server && config->certificate_pem.len == 0) {
        return "a server needs a certificate";
    }
    if (config->sessions != NULL && !config->require_peer) {
        return "sessions are those of peers with a certificate: they must be required";
    }
    return config->alpn == NULL || strlen(config->alpn) < TLS_ALPN_MAX
               ? NULL
               : "the ALPN name is too long";
}

static const char *fill(struct port_tls *tls, const struct port_tls_config *config)
{
    if (config->certificate_pem.len > 0) {
        if (!read_certificates(&tls->own, config->certificate_pem) || tls->own.count == 0) {
            return "the certificate chain cannot be used";
        }
        tls->own_digest = digest_of(&tls->own);
        if (!take_key(tls, config->key_pem)) {
            return "the private key cannot be used or is not the certificate's";
        }
    }
    for (size_t i = 0; i < config->anchors_count; i++) {
        tls->anchors_count = i + 1;
        tls->no_time[i] = config->anchors[i].no_time;
        if (!read_certificates(&tls->anchors[i], config->anchors[i].pem)
            || tls->anchors[i].count == 0) {
            return "an anchor set holds no certificate";
        }
    }
    return NULL;
}

enum port_result port_tls_make(struct port *port,
                               const struct port_tls_config *config,
                               struct port_tls **out,
                               struct port_why *why)
{
    (void)port;
    const char *wrong = objection(config);
    struct port_tls *tls = sim_alloc(sizeof *tls);
    tls->users = 1;
    if (wrong == NULL) {
        wrong = fill(tls, config);
    }
    if (wrong != NULL) {
        sim_why(why, "TLS: %s", wrong);
        port_tls_free(tls);
        return PORT_BAD;
    }
    tls->is_server = config->is_server;
    tls->require_peer = config->require_peer;
    tls->time_floor_ms = config->time_floor_ms;
    tls->resumes = config->resumes && !config->is_server;
    sessions_serve(tls, config->sessions);
    (void)snprintf(tls->alpn, sizeof tls->alpn, "%s", config->alpn != NULL ? config->alpn : "");
    *out = tls;
    return PORT_OK;
}

void sim_forge_tls(struct port_tls *tls, struct slice key_pem)
{
    key_free(tls->key);
    tls->key = NULL;
    enum key_result read = key_from_pem(key_pem, &tls->key);
    INVARIANT(read == KEY_OK);
}

void tls_hold(struct port_tls *tls)
{
    tls->users++;
}

bool tls_is_server(const struct port_tls *tls)
{
    return tls->is_server;
}

static void release(struct certificates *certificates)
{
    free(certificates->list);
    free(certificates->der);
}

void port_tls_free(struct port_tls *tls)
{
    if (tls == NULL || --tls->users > 0) {
        return;
    }
    offers_drop(tls);
    port_sessions_free(tls->sessions);
    release(&tls->own);
    for (size_t i = 0; i < PORT_ANCHOR_SETS_MAX; i++) {
        release(&tls->anchors[i]);
    }
    key_free(tls->key);
    free(tls);
}

/* ---- who may connect ---- */

/* Each set is a world of its own: the first that fits says who it is; the one that knew the issuer
 * says why none does. NULL: verified. */
const char *tls_verify(struct port_conn *conn, const struct certificates *peer, size_t *set)
{
    const struct port_tls *own = conn->tls;
    const char *why = NULL;
    enum chain_result first = CHAIN_NO_ANCHOR;
    int64_t wall_ms = port_wall_ms(conn->port, NULL);
    for (size_t i = 0; i < own->anchors_count; i++) {
        struct fault fault = {.clause = ""};
        struct chain_anchors anchors = {.list = own->anchors[i].list,
                                        .count = own->anchors[i].count};
        struct chain_policy policy = {
            .no_time = own->no_time[i],
            .at_ms = wall_ms > own->time_floor_ms ? wall_ms : own->time_floor_ms,
            .purposes = own->is_server ? X509_EKU_CLIENT_AUTH : X509_EKU_SERVER_AUTH,
            .purpose_optional = true,
            .key_usage = X509_DIGITAL_SIGNATURE,
        };
        enum chain_result result = chain_verify(peer->list, peer->count, &anchors, &policy, &fault);
        if (result == CHAIN_OK) {
            *set = i;
            return NULL;
        }
        if (why == NULL || first == CHAIN_NO_ANCHOR) {
            first = result;
            why = fault.clause;
        }
    }
    return why;
}

static bool is_dns_name(struct slice given, const char *wanted)
{
    bool is_wild = given.len > 2 && given.at[0] == '*' && given.at[1] == '.';
    const char *dot = strchr(wanted, '.');
    if (is_wild && dot != NULL) { /* RFC 6125 6.4.3: a whole label, the leftmost */
        given = slice_after(given, 1);
        wanted = dot;
    }
    return given.len == strlen(wanted)
           && strncasecmp((const char *)given.at, wanted, given.len) == 0;
}

static bool has_name(const struct x509 *leaf, const char *name)
{
    uint8_t address[sizeof(struct in6_addr)];
    size_t address_len = inet_pton(AF_INET, name, address) == 1    ? sizeof(struct in_addr)
                         : inet_pton(AF_INET6, name, address) == 1 ? sizeof address
                                                                   : 0;
    struct x509_names walk = x509_names_begin(leaf->extensions.names);
    struct slice value;
    uint8_t tag;
    while (leaf->extensions.has_names && x509_name_next(&walk, &tag, &value)) {
        bool is_it = address_len > 0 ? tag == (DER_CONTEXT | 7)
                                           && slice_equal(value, slice_of(address, address_len))
                                     : tag == (DER_CONTEXT | 2) && is_dns_name(value, name);
        if (is_it) {
            return true;
        }
    }
    return false;
}

/* ---- a handshake ---- */

/* What both ends have seen: their randoms, the name and protocol asked for, both chains. */
static struct digest transcript_of(const struct port_conn *client, const struct port_conn *server)
{
    uint8_t randoms[2 * RANDOM_LEN];
    struct hash h;
    struct digest out;
    port_entropy(client->port, randoms, RANDOM_LEN);
    port_entropy(server->port, randoms + RANDOM_LEN, RANDOM_LEN);
    hash_init(&h);
    hash_add(&h, slice_of(randoms, sizeof randoms));
    hash_add(&h, slice_text(client->server_name));
    hash_add(&h, slice_text(client->tls->alpn));
    hash_add(&h, slice_of(server->tls->own_digest.bytes, sizeof out.bytes));
    hash_add(&h, slice_of(client->tls->own_digest.bytes, sizeof out.bytes));
    hash_end(&h, &out);
    return out;
}

/* CertificateVerify (RFC 8446 4.4.3): does this end hold the private key of the leaf it shows? */
static bool proves_possession(const struct port_tls *tls, const struct digest *transcript)
{
    const struct x509 *leaf = &tls->own.list[0];
    struct slice parts[] = {slice_text(tls->is_server ? "TLS 1.3, server CertificateVerify"
                                                      : "TLS 1.3, client CertificateVerify"),
                            slice_of(transcript->bytes, sizeof transcript->bytes)};
    struct key_public shown;
    uint8_t signature[SIGNATURE_LEN];
    return key_sign(tls->key, parts, COUNT_OF(parts), signature) == KEY_OK
           && key_public_from_bytes((enum key_kind)leaf->key_kind, leaf->public_key, &shown)
                  == KEY_OK
           && key_verify_once(&shown, parts, COUNT_OF(parts), slice_of(signature, sizeof signature))
                  == KEY_OK;
}

void tls_keep_facts(struct port_conn *conn,
                    struct slice peer_der,
                    size_t set,
                    const struct digest *transcript)
{
    static_assert(sizeof transcript->bytes == PORT_EXPORTER_LEN, "an exporter is a digest");
    struct slice parts = slice_of(transcript->bytes, sizeof transcript->bytes);
    struct digest exporter = hash_of(parts);
    memcpy(conn->peer_facts.exporter, exporter.bytes, PORT_EXPORTER_LEN);
    conn->peer_facts.has_tls = true;
    conn->peer_facts.anchors = set;
    if (peer_der.len > 0 && conn->tls->anchors_count > 0) {
        conn->peer_der = sim_alloc(peer_der.len);
        memcpy(conn->peer_der, peer_der.at, peer_der.len);
        conn->peer_facts.has_certificate = true;
        conn->peer_facts.certificate_der = slice_of(conn->peer_der, peer_der.len);
    }
}

static struct slice leaf_of(const struct port_tls *tls)
{
    return tls->own.count > 0 ? tls->own.list[0].der : (struct slice){0};
}

/* What the client objects to; NULL: nothing. */
static const char *client_objects(struct port_conn *client,
                                  const struct port_tls *server,
                                  const struct digest *transcript,
                                  size_t *set)
{
    const char *why = tls_verify(client, &server->own, set);
    if (why == NULL && !has_name(&server->own.list[0], client->server_name)) {
        why = "the certificate is for another name";
    }
    if (why == NULL && !proves_possession(server, transcript)) {
        why = "the server does not hold the key of its certificate";
    }
    return why;
}

static const char *server_objects(struct port_conn *server,
                                  const struct port_tls *client,
                                  const struct digest *transcript,
                                  size_t *set)
{
    if (server->tls->anchors_count == 0) {
        return NULL; /* asks for no certificate */
    }
    if (client->own.count == 0) {
        return server->tls->require_peer ? "the client has no certificate" : NULL;
    }
    const char *why = tls_verify(server, &client->own, set);
    if (why == NULL && !proves_possession(client, transcript)) {
        why = "the client does not hold the key of its certificate";
    }
    return why;
}

struct handshake tls_shake(struct port_conn *client, struct port_conn *server)
{
    const struct port_tls *c = client->tls;
    const struct port_tls *s = server->tls;
    size_t client_set = 0;
    size_t server_set = 0;
    if (c == NULL && s == NULL) {
        return (struct handshake){0};
    }
    if (c == NULL || s == NULL) {
        return (struct handshake){"not a TLS hello", "not a TLS answer", false};
    }
    if (s->alpn[0] != '\0' && c->alpn[0] != '\0' && strcmp(s->alpn, c->alpn) != 0) {
        return (struct handshake){"no application protocol", "alert no application protocol",
                                  false};
    }
    struct digest transcript = transcript_of(client, server);
    if (tls_resume(client, server, &transcript)) {
        tls_give_ticket(client, server);
        return (struct handshake){0};
    }
    const char *why = client_objects(client, s, &transcript, &client_set);
    if (why != NULL) {
        return (struct handshake){"alert bad certificate", why, false};
    }
    why = server_objects(server, c, &transcript, &server_set);
    if (why != NULL) {
        return (struct handshake){why, "alert bad certificate", true};
    }
    tls_keep_facts(client, leaf_of(s), client_set, &transcript);
    tls_keep_facts(server, leaf_of(c), server_set, &transcript);
    tls_give_ticket(client, server);
    return (struct handshake){0};
}
