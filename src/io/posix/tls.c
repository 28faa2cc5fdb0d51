/*
 * TLS 1.3 on a descriptor by OpenSSL 3: what a context may do, whose chains are believed, how bytes
 * pass. No early data; sessions are resumed as session.c says, where a role wants it.
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
    tls->resumes = config->resumes && !config->is_server;
    if (config->anchors_count > 0) {
        mode = SSL_VERIFY_PEER;
        mode |= config->require_peer ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    }
    SSL_CTX_set_verify(tls->ctx, mode, NULL);
    SSL_CTX_set_cert_verify_callback(tls->ctx, tls_verify_peer, tls);
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
    if (config->sessions != NULL && !config->require_peer) {
        return "sessions are those of peers with a certificate: they must be required";
    }
    return NULL;
}

/* Two contexts with the same anchors believe the same chains. */
static bool digest_anchors(struct port_tls *tls, const struct port_tls_config *config)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    tls->sha256 = EVP_MD_fetch(tls_library(), "SHA256", NULL);
    bool ok =
        hash != NULL && tls->sha256 != NULL && EVP_DigestInit_ex(hash, tls->sha256, NULL) == 1;
    for (size_t i = 0; ok && i < config->anchors_count; i++) {
        const struct port_anchors *set = &config->anchors[i];
        uint64_t len = set->pem.len;
        ok = EVP_DigestUpdate(hash, &len, sizeof len) == 1
             && EVP_DigestUpdate(hash, set->pem.at, set->pem.len) == 1
             && EVP_DigestUpdate(hash, &set->no_time, sizeof set->no_time) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(hash, tls->anchors, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return ok;
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
    if (!digest_anchors(tls, config)) {
        return "the anchors cannot be hashed";
    }
    if (tls->sessions != NULL) {
        sessions_serve(tls);
    } else if (tls->resumes) {
        sessions_dial(tls);
    }
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
    tls->sessions = config->sessions;
    if (tls->sessions != NULL) {
        sessions_hold(tls->sessions);
    }
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
    offers_drop(tls);
    port_sessions_free(tls->sessions);
    SSL_CTX_free(tls->ctx);
    EVP_MD_free(tls->sha256);
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
    tls_bio_give(conn->ssl);
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

struct certificate *certificate_hold(struct certificate *certificate)
{
    certificate->users++;
    return certificate;
}

void certificate_drop(struct certificate *certificate)
{
    if (certificate != NULL && --certificate->users == 0) {
        free(certificate);
    }
}

/*
 * Of a session that was resumed, its row gave it; of any other, the handshake: also where a row was
 * found and then not used, for it may be somebody else's.
 */
bool tls_keep_certificate(struct port_conn *conn)
{
    bool is_from_row = conn->tls->sessions != NULL && SSL_session_reused(conn->ssl) == 1;
    if (is_from_row || conn->knows_peer) {
        return true;
    }
    certificate_drop(conn->certificate);
    conn->certificate = NULL;
    X509 *cert = SSL_get0_peer_certificate(conn->ssl);
    conn->knows_peer = true;
    if (cert == NULL) {
        return true;
    }
    int len = i2d_X509(cert, NULL);
    if (len <= 0) {
        return false;
    }
    conn->certificate = port_alloc_bytes(sizeof *conn->certificate + (size_t)len);
    conn->certificate->users = 1;
    conn->certificate->len = (size_t)len;
    unsigned char *to = conn->certificate->bytes;
    return i2d_X509(cert, &to) == len;
}

/* Keeps what a role may ask for as long as the connection lives: the certificate and the channel
 * binding. */
static bool keep_facts(struct port_conn *conn)
{
    conn->is_resumed = SSL_session_reused(conn->ssl) == 1;
    if (conn->is_resumed && conn->tls->sessions != NULL) {
        sessions_resumed(conn);
    }
    return tls_keep_certificate(conn)
           && SSL_export_keying_material(conn->ssl, conn->exporter, sizeof conn->exporter,
                                         exporter_label, sizeof exporter_label - 1,
                                         (const unsigned char *)"", 0, 1)
                  == 1;
}

enum io_outcome tls_handshake(struct port_conn *conn)
{
    ERR_clear_error();
    tls_bio_use(conn->fd);
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
    tls_bio_use(conn->fd);
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
    tls_bio_use(conn->fd);
    int result = SSL_write_ex(conn->ssl, bytes.at, bytes.len, written);
    return result == 1 ? IO_DONE : outcome_of(conn, result, errno);
}

void tls_end(struct port_conn *conn)
{
    if (!conn->tls_broken) {
        ERR_clear_error();
        tls_bio_use(conn->fd);
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
}
