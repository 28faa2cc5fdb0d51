/*
 * A stand-in for TLS: the same configuration, the same answers to who may connect, and no
 * cryptography. Chains are followed by names only. What a forger could do here says nothing about
 * io/posix.
 */
#include "io/sim/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_MAX = 4, CERTIFICATE_LEN_MAX = 4096, ALPN_MAX = 32 };

struct certificate {
    uint8_t *der;
    size_t len;
    struct slice issuer, subject; /* Names as they lie in `der` */
};

struct chain {
    struct certificate list[CHAIN_MAX];
    size_t count;
};

struct port_tls {
    unsigned users;
    bool is_server, require_peer;
    struct chain own;
    struct chain anchors[PORT_ANCHOR_SETS_MAX];
    size_t anchors_count;
    char alpn[ALPN_MAX]; /* "": none */
};

/* ---- certificates: just enough DER to find two names ---- */

/* Takes one element off the front of `rest`; *inner is its content. An empty result: not DER. */
static struct slice der_take(struct slice *rest, struct slice *inner)
{
    struct slice none = {0};
    if (rest->len < 2) {
        return none;
    }
    size_t head = 2;
    size_t len = rest->at[1];
    if (len >= 0x80) {
        size_t bytes = len & 0x7f;
        if (bytes == 0 || bytes > 3 || rest->len < 2 + bytes) {
            return none;
        }
        len = 0;
        for (size_t i = 0; i < bytes; i++) {
            len = len << 8 | rest->at[2 + i];
        }
        head += bytes;
    }
    if (rest->len - head < len) {
        return none;
    }
    struct slice whole = slice_of(rest->at, head + len);
    *inner = slice_of(rest->at + head, len);
    *rest = slice_after(*rest, head + len);
    return whole;
}

/* Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version, serial, signature, issuer, validity,
 * subject ... (RFC 5280 4.1) */
static bool find_names(struct certificate *cert)
{
    struct slice rest = slice_of(cert->der, cert->len);
    struct slice certificate = {0};
    struct slice tbs = {0};
    struct slice inner = {0};
    (void)der_take(&rest, &certificate);
    (void)der_take(&certificate, &tbs);
    if (tbs.len > 0 && tbs.at[0] == 0xa0) {
        (void)der_take(&tbs, &inner);
    }
    (void)der_take(&tbs, &inner);
    (void)der_take(&tbs, &inner);
    cert->issuer = der_take(&tbs, &inner);
    (void)der_take(&tbs, &inner);
    cert->subject = der_take(&tbs, &inner);
    return cert->issuer.len > 0 && cert->subject.len > 0;
}

static int base64_value(uint8_t c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != 0 ? strchr(alphabet, c) : NULL;
    return found != NULL ? (int)(found - alphabet) : -1;
}

static size_t base64_decode(struct slice text, uint8_t *to, size_t cap)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.at[i]);
        if (value < 0) {
            continue; /* line ends and padding */
        }
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8 && len < cap) {
            have -= 8;
            to[len++] = (uint8_t)(bits >> have);
        }
    }
    return len;
}

static const uint8_t *find_text(struct slice in, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= in.len; i++) {
        if (memcmp(in.at + i, text, len) == 0) {
            return in.at + i;
        }
    }
    return NULL;
}

static bool chain_add(struct chain *chain, struct slice base64)
{
    if (chain->count == CHAIN_MAX) {
        return false;
    }
    struct certificate *cert = &chain->list[chain->count];
    cert->der = sim_alloc(CERTIFICATE_LEN_MAX);
    cert->len = base64_decode(base64, cert->der, CERTIFICATE_LEN_MAX);
    chain->count++;
    return find_names(cert);
}

static bool chain_read(struct chain *chain, struct slice pem)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    static const char end[] = "-----END CERTIFICATE-----";
    const uint8_t *from;
    while ((from = find_text(pem, begin)) != NULL) {
        pem = slice_after(pem, (size_t)(from - pem.at) + sizeof begin - 1);
        const uint8_t *to = find_text(pem, end);
        if (to == NULL || !chain_add(chain, slice_of(pem.at, (size_t)(to - pem.at)))) {
            return false;
        }
        pem = slice_after(pem, (size_t)(to - pem.at));
    }
    return true;
}

static void chain_free(struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        free(chain->list[i].der);
    }
}

/* Does the chain, from its leaf on, come to a name of the set? */
static bool leads_to(const struct chain *chain, const struct chain *anchors)
{
    for (size_t i = 0; i < chain->count; i++) {
        for (size_t j = 0; j < anchors->count; j++) {
            if (slice_equal(chain->list[i].issuer, anchors->list[j].subject)) {
                return true;
            }
        }
        if (i + 1 < chain->count
            && !slice_equal(chain->list[i].issuer, chain->list[i + 1].subject)) {
            return false;
        }
    }
    return false;
}

/* ---- contexts ---- */

static const char *fill(struct port_tls *tls, const struct port_tls_config *config)
{
    if (config->anchors_count > PORT_ANCHOR_SETS_MAX
        || ((!config->is_server || config->require_peer) && config->anchors_count == 0)) {
        return "anchors are missing or too many";
    }
    if (!chain_read(&tls->own, config->certificate_pem)
        || (config->is_server && tls->own.count == 0)) {
        return "the certificate chain cannot be used";
    }
    for (size_t i = 0; i < config->anchors_count; i++) {
        if (!chain_read(&tls->anchors[i], config->anchors[i].pem) || tls->anchors[i].count == 0) {
            return "an anchor set holds no certificate";
        }
    }
    return config->alpn == NULL || strlen(config->alpn) < ALPN_MAX ? NULL
                                                                   : "the ALPN name is too long";
}

enum port_result port_tls_make(struct port *port,
                               const struct port_tls_config *config,
                               struct port_tls **out,
                               struct port_why *why)
{
    (void)port;
    struct port_tls *tls = sim_alloc(sizeof *tls);
    const char *wrong = fill(tls, config);
    tls->users = 1;
    if (wrong != NULL) {
        sim_why(why, "TLS: %s", wrong);
        port_tls_free(tls);
        return PORT_BAD;
    }
    tls->is_server = config->is_server;
    tls->require_peer = config->require_peer;
    tls->anchors_count = config->anchors_count;
    (void)snprintf(tls->alpn, sizeof tls->alpn, "%s", config->alpn != NULL ? config->alpn : "");
    *out = tls;
    return PORT_OK;
}

void tls_hold(struct port_tls *tls)
{
    tls->users++;
}

bool tls_is_server(const struct port_tls *tls)
{
    return tls->is_server;
}

void port_tls_free(struct port_tls *tls)
{
    if (tls == NULL || --tls->users > 0) {
        return;
    }
    chain_free(&tls->own);
    for (size_t i = 0; i < PORT_ANCHOR_SETS_MAX; i++) {
        chain_free(&tls->anchors[i]);
    }
    free(tls);
}

/* ---- a handshake ---- */

static bool verify(const struct port_tls *own, const struct port_tls *peer, size_t *set)
{
    for (size_t i = 0; i < own->anchors_count; i++) {
        if (leads_to(&peer->own, &own->anchors[i])) {
            *set = i;
            return true;
        }
    }
    return false;
}

static void keep_peer(struct port_conn *conn, const struct port_tls *peer, size_t set)
{
    conn->peer_facts.has_tls = true;
    conn->peer_facts.anchors = set;
    if (peer->own.count > 0 && (conn->tls->anchors_count > 0)) {
        const struct certificate *leaf = &peer->own.list[0];
        conn->peer_der = sim_alloc(leaf->len);
        memcpy(conn->peer_der, leaf->der, leaf->len);
        conn->peer_facts.has_certificate = true;
        conn->peer_facts.certificate_der = slice_of(conn->peer_der, leaf->len);
    }
}

static bool has_name(const struct port_tls *server, const char *name)
{
    const struct certificate *leaf = &server->own.list[0];
    bool is_address = name[strspn(name, "0123456789.")] == '\0' || strchr(name, ':') != NULL;
    return is_address || find_text(slice_of(leaf->der, leaf->len), name) != NULL;
}

struct handshake tls_shake(struct sim_world *world,
                           struct port_conn *client,
                           struct port_conn *server)
{
    const struct port_tls *c = client->tls;
    const struct port_tls *s = server->tls;
    size_t client_set = 0;
    size_t server_set = 0;
    if (c == NULL && s == NULL) {
        return (struct handshake){0};
    }
    if (c == NULL || s == NULL) {
        return (struct handshake){"not a TLS hello", "not a TLS answer"};
    }
    if (s->alpn[0] != '\0' && c->alpn[0] != '\0' && strcmp(s->alpn, c->alpn) != 0) {
        return (struct handshake){"no application protocol", "alert no application protocol"};
    }
    if (!verify(c, s, &client_set) || !has_name(s, client->server_name)) {
        return (struct handshake){"alert unknown ca", "certificate verify failed"};
    }
    if (c->own.count == 0 ? s->require_peer : s->anchors_count > 0 && !verify(s, c, &server_set)) {
        return (struct handshake){"certificate verify failed", "alert by the server"};
    }
    keep_peer(client, s, client_set);
    keep_peer(server, c, server_set);
    for (size_t i = 0; i < PORT_EXPORTER_LEN; i++) {
        client->peer_facts.exporter[i] = (uint8_t)rng_u64(&world->chance);
        server->peer_facts.exporter[i] = client->peer_facts.exporter[i];
    }
    return (struct handshake){0};
}

/* ---- certificates for tests ---- */

static size_t put_element(uint8_t *to, uint8_t tag, const uint8_t *content, size_t len)
{
    INVARIANT(len < 128);
    to[0] = tag;
    to[1] = (uint8_t)len;
    if (len > 0) {
        memmove(to + 2, content, len);
    }
    return len + 2;
}

/* Name ::= SEQUENCE of SET of SEQUENCE { commonName, UTF8String } */
static size_t put_name(uint8_t *to, const char *text)
{
    static const uint8_t common_name[] = {0x06, 0x03, 0x55, 0x04, 0x03};
    uint8_t content[120];
    INVARIANT(strlen(text) <= 60);
    memcpy(content, common_name, sizeof common_name);
    size_t len = sizeof common_name;
    len += put_element(content + len, 0x0c, (const uint8_t *)text, strlen(text));
    len = put_element(content, 0x30, content, len);
    len = put_element(content, 0x31, content, len);
    return put_element(to, 0x30, content, len);
}

void sim_certificate(char out[SIM_CERTIFICATE_MAX], const char *issuer, const char *subject)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const uint8_t one[] = {1};
    uint8_t tbs[400];
    uint8_t der[420];
    size_t len = put_element(tbs, 0x02, one, sizeof one);
    len += put_element(tbs + len, 0x30, NULL, 0);
    len += put_name(tbs + len, issuer);
    len += put_element(tbs + len, 0x30, NULL, 0);
    len += put_name(tbs + len, subject);
    /* Two levels of SEQUENCE with two-byte lengths. */
    const uint8_t head[] = {0x30, 0x82, (uint8_t)((len + 4) >> 8), (uint8_t)(len + 4),
                            0x30, 0x82, (uint8_t)(len >> 8),       (uint8_t)len};
    memcpy(der, head, sizeof head);
    memcpy(der + sizeof head, tbs, len);
    len += sizeof head;
    int at = snprintf(out, SIM_CERTIFICATE_MAX, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)der[i] << 16;
        bits |= i + 1 < len ? (uint32_t)der[i + 1] << 8 : 0;
        bits |= i + 2 < len ? der[i + 2] : 0;
        out[at++] = alphabet[bits >> 18];
        out[at++] = alphabet[bits >> 12 & 63];
        out[at++] = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
        out[at++] = i + 2 < len ? alphabet[bits & 63] : '=';
    }
    (void)snprintf(out + at, (size_t)(SIM_CERTIFICATE_MAX - at), "\n-----END CERTIFICATE-----\n");
}
