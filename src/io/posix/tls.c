/*
 * TLS 1.3 on a descriptor by OpenSSL 3: what a context may do, whose chains are believed, how bytes
 * pass. No tickets, no resumption, no early data: a peer proves itself on every connection.
 */
#include "io/posix/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* Macros of OpenSSL cast const away from what they only read; clang sees into them. */
#pragma GCC diagnostic ignored "-Wcast-qual"

static const char groups[] = "X25519:P-256";
static const char signatures[] =
    "ecdsa_secp256r1_sha256:ed25519:ecdsa_secp384r1_sha384:rsa_pss_rsae_sha256";
static const char exporter_label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 2 */
enum { AUTH_LEVEL = 2 /* 112 bits: no SHA-1, no RSA below 2048 */ };

/* ---- whose chains are believed ---- */

static int64_t verify_time_s(const struct port_tls *tls)
{
    int64_t wall_ms = port_wall_ms(tls->port, NULL);
    return (wall_ms > tls->time_floor_ms ? wall_ms : tls->time_floor_ms) / 1000;
}

/* One anchor set: X509_V_OK or the reason. */
static int verify_against(const struct port_tls *tls,
                          size_t set,
                          X509_STORE_CTX *asked,
                          X509_VERIFY_PARAM *asked_name)
{
    X509_STORE_CTX *own = X509_STORE_CTX_new_ex(tls_library(), NULL);
    int error = X509_V_ERR_OUT_OF_MEM;
    if (own == NULL
        || X509_STORE_CTX_init(own, tls->stores[set], X509_STORE_CTX_get0_cert(asked),
                               X509_STORE_CTX_get0_untrusted(asked))
               != 1) {
        goto out;
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(own);
    if (asked_name != NULL && X509_VERIFY_PARAM_set1(param, asked_name) != 1) {
        goto out;
    }
    if (X509_STORE_CTX_set_default(own, tls->is_server ? "ssl_client" : "ssl_server") != 1) {
        goto out;
    }
    X509_VERIFY_PARAM_set_depth(param, PORT_CHAIN_DEPTH_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    /* A set may hold an issuing CA without its root: the chain ends at what was put there. */
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
    if (tls->no_time[set]) {
        flags |= X509_V_FLAG_NO_CHECK_TIME;
    } else {
        X509_VERIFY_PARAM_set_time(param, (time_t)verify_time_s(tls));
    }
    if (X509_VERIFY_PARAM_set_flags(param, flags) != 1) {
        goto out;
    }
    error = X509_verify_cert(own) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(own);
    if (error == X509_V_OK && X509_STORE_CTX_get_error(own) != X509_V_OK) {
        error = X509_V_ERR_UNSPECIFIED;
    }
out:
    X509_STORE_CTX_free(own);
    return error;
}

/* Replaces OpenSSL's own verification: each set is a world of its own, the first that fits says who
 * it is. */
static int verify_peer(X509_STORE_CTX *asked, void *context)
{
    const struct port_tls *tls = context;
    SSL *ssl = X509_STORE_CTX_get_ex_data(asked, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct port_conn *conn = SSL_get_app_data(ssl);
    X509_VERIFY_PARAM *name = tls->is_server ? NULL : SSL_get0_param(ssl);
    int first_error = X509_V_OK;
    for (size_t i = 0; i < tls->stores_count; i++) {
        int error = verify_against(tls, i, asked, name);
        if (error == X509_V_OK) {
            conn->anchors = i;
            X509_STORE_CTX_set_error(asked, X509_V_OK);
            return 1;
        }
        /* The set that knew the issuer has the better reason. */
        if (first_error == X509_V_OK
            || first_error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY) {
            first_error = error;
        }
    }
    conn->verify_error = first_error;
    X509_STORE_CTX_set_error(asked, first_error);
    return 0;
}

/* Where the peer offers protocols, ours must be among them (RFC 7301 3.2, RFC 9325 3.8). */
static int select_alpn(SSL *ssl,
                       const unsigned char **out,
                       unsigned char *out_len,
                       const unsigned char *offered,
                       unsigned int offered_len,
                       void *context)
{
    (void)ssl;
    const struct port_tls *tls = context;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, tls->alpn, tls->alpn_len, offered, offered_len)
        != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- making a context ---- */

static const char *library_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason != NULL ? reason : "no reason given";
}

/* Never asks a terminal for a pass phrase. */
static int no_pass_phrase(char *to, int cap, int writing, void *context)
{
    (void)to;
    (void)cap;
    (void)writing;
    (void)context;
    return -1;
}

static BIO *bio_over(struct slice pem)
{
    return pem.len <= INT32_MAX ? BIO_new_mem_buf(pem.at, (int)pem.len) : NULL;
}

/* The next certificate of the text; NULL at its end. */
static X509 *next_certificate(BIO *bio)
{
    X509 *cert = X509_new_ex(tls_library(), NULL);
    if (cert != NULL && PEM_read_bio_X509(bio, &cert, no_pass_phrase, NULL) == NULL) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static bool load_chain(SSL_CTX *ctx, struct slice pem)
{
    BIO *bio = bio_over(pem);
    X509 *cert = next_certificate(bio);
    bool ok = cert != NULL && SSL_CTX_use_certificate(ctx, cert) == 1;
    X509_free(cert);
    while (ok && (cert = next_certificate(bio)) != NULL) {
        ok = SSL_CTX_add1_chain_cert(ctx, cert) == 1;
        X509_free(cert);
    }
    BIO_free(bio);
    if (ok) {
        ERR_clear_error(); /* the end of the text is an error to the PEM reader */
    }
    return ok;
}

static bool load_key(SSL_CTX *ctx, struct slice pem)
{
    BIO *bio = bio_over(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    bool ok =
        key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

static X509_STORE *load_anchors(struct slice pem)
{
    X509_STORE *store = X509_STORE_new();
    BIO *bio = bio_over(pem);
    bool ok = store != NULL && bio != NULL;
    unsigned count = 0;
    X509 *cert;
    while (ok && (cert = next_certificate(bio)) != NULL) {
        ok = X509_STORE_add_cert(store, cert) == 1;
        X509_free(cert);
        count++;
    }
    BIO_free(bio);
    if (!ok || count == 0) {
        X509_STORE_free(store);
        return NULL;
    }
    ERR_clear_error();
    return store;
}

static bool set_policy(SSL_CTX *ctx)
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS
                                    | SSL_MODE_ENABLE_PARTIAL_WRITE
                                    | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* many small records cost one read of the socket */
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1
           && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1
           && SSL_CTX_set_num_tickets(ctx, 0) == 1 && SSL_CTX_set1_groups_list(ctx, groups) == 1
           && SSL_CTX_set1_sigalgs_list(ctx, signatures) == 1
           && SSL_CTX_set1_client_sigalgs_list(ctx, signatures) == 1;
}

static bool set_alpn(struct port_tls *tls, const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);
    if (len == 0) {
        return true;
    }
    if (len >= sizeof tls->alpn) {
        return false;
    }
    tls->alpn[0] = (uint8_t)len;
    memcpy(tls->alpn + 1, name, len);
    tls->alpn_len = (unsigned)len + 1;
    if (tls->is_server) {
        SSL_CTX_set_alpn_select_cb(tls->ctx, select_alpn, tls);
        return true;
    }
    return SSL_CTX_set_alpn_protos(tls->ctx, tls->alpn, tls->alpn_len) == 0;
}

static void set_verification(struct port_tls *tls, const struct port_tls_config *config)
{
    int mode = SSL_VERIFY_NONE;
    if (config->anchors_count > 0) {
        mode = SSL_VERIFY_PEER;
        mode |= config->require_peer ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    }
    SSL_CTX_set_verify(tls->ctx, mode, NULL);
    SSL_CTX_set_cert_verify_callback(tls->ctx, verify_peer, tls);
}

/* NULL, or what is wrong with the configuration itself. */
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
    return NULL;
}

static const char *fill(struct port_tls *tls, const struct port_tls_config *config)
{
    if (tls->ctx == NULL || !set_policy(tls->ctx)) {
        return "the TLS library refuses the policy";
    }
    if (config->certificate_pem.len > 0) {
        if (!load_chain(tls->ctx, config->certificate_pem)) {
            return "the certificate chain cannot be used";
        }
        if (!load_key(tls->ctx, config->key_pem)) {
            return "the private key cannot be used or is not the certificate's";
        }
    }
    for (size_t i = 0; i < config->anchors_count; i++) {
        tls->stores[i] = load_anchors(config->anchors[i].pem);
        tls->no_time[i] = config->anchors[i].no_time;
        tls->stores_count = i + 1;
        if (tls->stores[i] == NULL) {
            return "an anchor set holds no certificate";
        }
    }
    set_verification(tls, config);
    return set_alpn(tls, config->alpn) ? NULL : "the ALPN name is too long";
}

enum port_result port_tls_make(struct port *port,
                               const struct port_tls_config *config,
                               struct port_tls **out,
                               struct port_why *why)
{
    const char *wrong = objection(config);
    if (wrong != NULL) {
        port_why_set(why, "TLS: %s", wrong);
        return PORT_BAD;
    }
    ERR_clear_error();
    struct port_tls *tls = port_alloc(sizeof *tls);
    tls->users = 1;
    tls->port = port;
    tls->is_server = config->is_server;
    tls->time_floor_ms = config->time_floor_ms;
    tls->ctx = SSL_CTX_new_ex(tls_library(), NULL,
                              config->is_server ? TLS_server_method() : TLS_client_method());
    wrong = fill(tls, config);
    if (wrong != NULL) {
        port_why_set(why, "TLS: %s (%s)", wrong, library_reason());
        port_tls_free(tls);
        ERR_clear_error();
        return PORT_BAD;
    }
    *out = tls;
    return PORT_OK;
}

void tls_hold(struct port_tls *tls)
{
    tls->users++;
}

void port_tls_free(struct port_tls *tls)
{
    if (tls == NULL || --tls->users > 0) {
        return;
    }
    SSL_CTX_free(tls->ctx);
    for (size_t i = 0; i < tls->stores_count; i++) {
        X509_STORE_free(tls->stores[i]);
    }
    free(tls);
}

/* ---- a connection ---- */

static bool is_ip(const char *name)
{
    uint8_t bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_ip(name)) { /* RFC 6066 3: no SNI for addresses */
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS
                                               | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1
           && SSL_set_tlsext_host_name(ssl, name) == 1;
}

bool tls_attach(struct port_conn *conn, const char *server_name)
{
    conn->ssl = SSL_new(conn->tls->ctx);
    INVARIANT(conn->ssl != NULL);
    SSL_set_app_data(conn->ssl, conn);
    if (conn->tls->is_server) {
        SSL_set_accept_state(conn->ssl);
        return true;
    }
    SSL_set_connect_state(conn->ssl);
    return server_name != NULL && server_name[0] != '\0' && expect_name(conn->ssl, server_name);
}

static enum io_outcome broken(struct port_conn *conn,
                              enum port_close_reason reason,
                              const char *detail)
{
    conn->tls_broken = true;
    conn->reason = reason;
    conn->detail = detail;
    ERR_clear_error();
    return IO_BROKEN;
}

/* What a call of OpenSSL that did not do its work means. `error` is the errno it left. */
static enum io_outcome outcome_of(struct port_conn *conn, int result, int error)
{
    switch (SSL_get_error(conn->ssl, result)) {
    case SSL_ERROR_WANT_READ: return IO_WAIT_READ;
    case SSL_ERROR_WANT_WRITE: return IO_WAIT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return IO_END;
    case SSL_ERROR_SYSCALL:
        return broken(conn, PORT_CLOSE_RESET, error != 0 ? strerror(error) : "the link ended");
    default: break;
    }
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return broken(conn, PORT_CLOSE_RESET, "the link ended without close_notify");
    }
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return broken(conn, PORT_CLOSE_TLS, X509_verify_cert_error_string(conn->verify_error));
    }
    return broken(conn, PORT_CLOSE_TLS, library_reason());
}

/* Keeps what a role may ask for as long as the connection lives: the certificate and the channel
 * binding. */
static bool keep_facts(struct port_conn *conn)
{
    X509 *cert = SSL_get0_peer_certificate(conn->ssl);
    if (cert != NULL) {
        unsigned char *der = NULL;
        int len = i2d_X509(cert, &der);
        if (len <= 0) {
            return false;
        }
        conn->certificate_der = port_alloc((size_t)len);
        memcpy(conn->certificate_der, der, (size_t)len);
        conn->certificate_len = (size_t)len;
        conn->has_certificate = true;
        OPENSSL_free(der);
    }
    return SSL_export_keying_material(conn->ssl, conn->exporter, sizeof conn->exporter,
                                      exporter_label, sizeof exporter_label - 1,
                                      (const unsigned char *)"", 0, 1)
           == 1;
}

enum io_outcome tls_handshake(struct port_conn *conn)
{
    if (SSL_get_fd(conn->ssl) != conn->fd && SSL_set_fd(conn->ssl, conn->fd) != 1) {
        return broken(conn, PORT_CLOSE_TLS, library_reason());
    }
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(conn->ssl);
    if (result != 1) {
        return outcome_of(conn, result, errno);
    }
    if (!keep_facts(conn)) {
        return broken(conn, PORT_CLOSE_TLS, "no channel binding");
    }
    return IO_DONE;
}

enum io_outcome tls_read(struct port_conn *conn, uint8_t *to, size_t len, size_t *got)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_read_ex(conn->ssl, to, len, got);
    if (result != 1) {
        return outcome_of(conn, result, errno);
    }
    /* Nothing left over from what was read ahead: asking on would only cost a read that finds
     * nothing. */
    return SSL_has_pending(conn->ssl) ? IO_DONE : IO_WAIT_READ;
}

enum io_outcome tls_write(struct port_conn *conn, struct slice bytes, size_t *written)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_write_ex(conn->ssl, bytes.at, bytes.len, written);
    return result == 1 ? IO_DONE : outcome_of(conn, result, errno);
}

void tls_end(struct port_conn *conn)
{
    if (!conn->tls_broken) {
        ERR_clear_error();
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
}
