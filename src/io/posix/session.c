/*
 * Resumption (RFC 8446 2.2): what a server keeps of a session so that its client can come back
 * without signatures, and what a client keeps to offer it. A server's ticket is nothing but the
 * name of a row here, so a row that is gone or does not stand any more simply means a full
 * handshake.
 */
#include "base/table.h"
#include "io/posix/inside.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL resumes nothing where peers are verified and this is not set. */
const uint8_t tls_session_context[TLS_SESSION_CONTEXT_LEN] = "holdfast";

enum { ID_LEN = 32, PSK_MAX = 48, SESSION_FREE = UINT32_MAX };

struct row {
    uint8_t id[ID_LEN];
    uint8_t psk[PSK_MAX];
    uint8_t psk_len;       /* 0: free */
    uint8_t cipher[2];     /* as on the wire */
    uint8_t anchors_index; /* of the set that its chain ended at */
    uint8_t anchors[ANCHORS_DIGEST_LEN];
    uint8_t owner[TABLE_KEY_LEN]; /* of the digest of the certificate */
    struct validity validity;
    uint64_t proved_ms; /* when its client last signed */
    struct certificate *certificate;
    uint32_t older, newer; /* by when they were made; `newer` of a free one: the next free one */
};

struct port_sessions {
    unsigned users;
    struct port *port;
    uint64_t lifetime_ms;
    port_stands *stands;
    struct row *rows;
    uint32_t max, count, free, oldest, newest;
    struct table by_id, by_owner;
    struct table_slot *slots;
    struct port_sessions_counts counts;
};

/* ---- rows ---- */

struct port_sessions *port_sessions_make(struct port *port,
                                         uint32_t max,
                                         uint32_t lifetime_s,
                                         port_stands *stands)
{
    uint32_t cap = 16;
    uint64_t seeds[2];
    while (cap / 8 * 7 < max) {
        cap *= 2;
    }
    port_entropy(port, seeds, sizeof seeds);
    struct port_sessions *s = port_alloc(sizeof *s);
    s->users = 1;
    s->port = port;
    s->lifetime_ms = (uint64_t)lifetime_s * 1000;
    s->stands = stands;
    s->max = max;
    s->oldest = s->newest = SESSION_FREE;
    s->rows = port_alloc((max > 0 ? max : 1) * sizeof *s->rows);
    s->slots = port_alloc((size_t)cap * 2 * sizeof *s->slots);
    table_init(&s->by_id, s->slots, cap, seeds[0]);
    table_init(&s->by_owner, s->slots + cap, cap, seeds[1]);
    for (uint32_t i = 0; i < max; i++) {
        s->rows[i].newer = i + 1 < max ? i + 1 : SESSION_FREE;
    }
    s->free = max > 0 ? 0 : SESSION_FREE;
    return s;
}

static void drop_row(struct port_sessions *s, uint32_t i)
{
    struct row *row = &s->rows[i];
    INVARIANT(table_remove(&s->by_id, row->id));
    INVARIANT(table_remove(&s->by_owner, row->owner));
    if (row->older != SESSION_FREE) {
        s->rows[row->older].newer = row->newer;
    } else {
        s->oldest = row->newer;
    }
    if (row->newer != SESSION_FREE) {
        s->rows[row->newer].older = row->older;
    } else {
        s->newest = row->older;
    }
    certificate_drop(row->certificate);
    OPENSSL_cleanse(row, sizeof *row);
    row->newer = s->free;
    s->free = i;
    s->count--;
}

void port_sessions_free(struct port_sessions *s)
{
    if (s == NULL || --s->users > 0) {
        return;
    }
    while (s->oldest != SESSION_FREE) {
        drop_row(s, s->oldest);
    }
    free(s->rows);
    free(s->slots);
    free(s);
}

void sessions_hold(struct port_sessions *s)
{
    s->users++;
}

struct port_sessions_counts port_sessions_count(const struct port_sessions *s)
{
    struct port_sessions_counts counts = s->counts;
    counts.kept = s->count;
    return counts;
}

/* A place for a certificate's session: its own that it has, a free one, or that of the oldest. */
static uint32_t take_row(struct port_sessions *s, const uint8_t owner[TABLE_KEY_LEN])
{
    uint32_t i;
    if (table_find(&s->by_owner, owner, &i)) {
        drop_row(s, i);
    } else if (s->free == SESSION_FREE) {
        drop_row(s, s->oldest);
    }
    i = s->free;
    s->free = s->rows[i].newer;
    s->rows[i].older = s->newest;
    s->rows[i].newer = SESSION_FREE;
    if (s->newest != SESSION_FREE) {
        s->rows[s->newest].newer = i;
    } else {
        s->oldest = i;
    }
    s->newest = i;
    s->count++;
    return i;
}

/* ---- the server's side ---- */

/* A ticket is on its way to the client: what it will be worth is kept beside its certificate. */
static int keep_row(SSL *ssl, SSL_SESSION *session)
{
    struct port_conn *conn = SSL_get_app_data(ssl);
    struct port_sessions *s = conn->tls->sessions;
    unsigned id_len = 0;
    const unsigned char *id = SSL_SESSION_get_id(session, &id_len);
    uint8_t psk[PSK_MAX + 1];
    size_t psk_len = SSL_SESSION_get_master_key(session, psk, sizeof psk);
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (id_len == ID_LEN && psk_len > 0 && psk_len <= PSK_MAX && s->max > 0
        && tls_keep_certificate(conn) && conn->certificate != NULL
        && EVP_Digest(conn->certificate->bytes, conn->certificate->len, digest, NULL,
                      conn->tls->sha256, NULL)
               == 1) {
        uint32_t i = take_row(s, digest);
        struct row *row = &s->rows[i];
        memcpy(row->id, id, ID_LEN);
        memcpy(row->psk, psk, psk_len);
        row->psk_len = (uint8_t)psk_len;
        uint16_t cipher = SSL_CIPHER_get_protocol_id(SSL_SESSION_get0_cipher(session));
        row->cipher[0] = (uint8_t)(cipher >> 8);
        row->cipher[1] = (uint8_t)cipher;
        row->anchors_index = (uint8_t)conn->anchors;
        memcpy(row->anchors, conn->tls->anchors, sizeof row->anchors);
        memcpy(row->owner, digest, sizeof row->owner);
        row->validity = conn->validity;
        row->proved_ms = SSL_session_reused(ssl) == 1 ? conn->proved_ms : port_now_ms(s->port);
        row->certificate = certificate_hold(conn->certificate);
        INVARIANT(table_put(&s->by_id, row->id, i));
        INVARIANT(table_put(&s->by_owner, row->owner, i));
    }
    OPENSSL_cleanse(psk, sizeof psk);
    return 0; /* OpenSSL's own copy is its own affair */
}

/* Would its full handshake succeed now as it did then? */
static bool does_stand(struct port_sessions *s, const struct row *row, const struct port_conn *conn)
{
    const struct port_tls *tls = conn->tls;
    if (memcmp(row->anchors, tls->anchors, sizeof row->anchors) != 0) {
        s->counts.other_issuers++;
        return false;
    }
    if (port_now_ms(s->port) - row->proved_ms >= s->lifetime_ms
        || !validity_holds(&row->validity, tls)) {
        s->counts.out_of_time++;
        return false;
    }
    if (s->stands != NULL
        && !s->stands(s->port->role, slice_of(row->certificate->bytes, row->certificate->len))) {
        s->counts.no_standing++;
        return false;
    }
    return true;
}

static SSL_SESSION *rebuild(SSL *ssl, const struct row *row)
{
    SSL_SESSION *session = SSL_SESSION_new();
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, row->cipher);
    if (session == NULL || cipher == NULL || SSL_SESSION_set1_id(session, row->id, ID_LEN) != 1
        || SSL_SESSION_set1_id_context(session, tls_session_context, TLS_SESSION_CONTEXT_LEN) != 1
        || SSL_SESSION_set1_master_key(session, row->psk, row->psk_len) != 1
        || SSL_SESSION_set_cipher(session, cipher) != 1
        || SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
        SSL_SESSION_free(session);
        return NULL;
    }
    return session;
}

/* The client names a row. NULL: a full handshake, and never an alert. */
static SSL_SESSION *find_row(SSL *ssl, const unsigned char *id, int id_len, int *copy)
{
    struct port_conn *conn = SSL_get_app_data(ssl);
    struct port_sessions *s = conn->tls->sessions;
    uint32_t i;
    *copy = 0;
    if (id_len != ID_LEN || !table_find(&s->by_id, id, &i)
        || CRYPTO_memcmp(s->rows[i].id, id, ID_LEN) != 0) {
        s->counts.unknown++;
        return NULL;
    }
    struct row *row = &s->rows[i];
    if (!does_stand(s, row, conn)) {
        drop_row(s, i);
        return NULL;
    }
    SSL_SESSION *session = rebuild(ssl, row);
    if (session != NULL) {
        certificate_drop(conn->certificate);
        conn->certificate = certificate_hold(row->certificate);
        conn->anchors = row->anchors_index;
        conn->validity = row->validity;
        conn->proved_ms = row->proved_ms;
    }
    return session;
}

void sessions_serve(struct port_tls *tls)
{
    SSL_CTX *ctx = tls->ctx;
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL
                                                  | SSL_SESS_CACHE_NO_AUTO_CLEAR);
    (void)SSL_CTX_set_timeout(ctx, (long)(tls->sessions->lifetime_ms / 1000));
    INVARIANT(SSL_CTX_set_session_id_context(ctx, tls_session_context, TLS_SESSION_CONTEXT_LEN)
              == 1);
    INVARIANT(SSL_CTX_set_num_tickets(ctx, 1) == 1);
    SSL_CTX_sess_set_new_cb(ctx, keep_row);
    SSL_CTX_sess_set_get_cb(ctx, find_row);
}

void sessions_resumed(struct port_conn *conn)
{
    conn->tls->sessions->counts.resumed++;
}

/* ---- the client's side ---- */

static void forget(struct offer *offer)
{
    SSL_SESSION_free(offer->session);
    free(offer->name);
    *offer = (struct offer){0};
}

void offers_drop(struct port_tls *tls)
{
    for (size_t i = 0; i < PORT_OFFERS_MAX; i++) {
        forget(&tls->offers[i]);
    }
}

/* That of this server, a free one, or the one that was kept longest ago. */
static struct offer *offer_of(struct port_tls *tls, const char *name)
{
    struct offer *best = &tls->offers[0];
    for (size_t i = 0; i < PORT_OFFERS_MAX; i++) {
        struct offer *each = &tls->offers[i];
        if (each->name != NULL && strcmp(each->name, name) == 0) {
            return each;
        }
        if (best->name != NULL && (each->name == NULL || each->order < best->order)) {
            best = each;
        }
    }
    return best;
}

static int keep_offer(SSL *ssl, SSL_SESSION *session)
{
    struct port_conn *conn = SSL_get_app_data(ssl);
    if (conn->server == NULL || SSL_SESSION_is_resumable(session) != 1) {
        return 0;
    }
    struct offer *offer = offer_of(conn->tls, conn->server);
    forget(offer);
    offer->name = strdup(conn->server);
    offer->session = session;
    offer->validity = conn->validity;
    offer->anchors = conn->anchors;
    offer->order = ++conn->tls->offers_count;
    return 1; /* the reference is ours now */
}

void sessions_dial(struct port_tls *tls)
{
    (void)SSL_CTX_set_session_cache_mode(tls->ctx,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->ctx, keep_offer);
}

/* Each ticket is offered once (RFC 8446 C.4), and only to the server that gave it, while that
 * server's certificate is good. */
void sessions_offer(struct port_conn *conn, const char *address, const char *server_name)
{
    if (!conn->tls->resumes) {
        return;
    }
    size_t len = strlen(address) + strlen(server_name) + 2;
    conn->server = port_alloc(len);
    (void)snprintf(conn->server, len, "%s %s", address, server_name);
    struct offer *offer = offer_of(conn->tls, conn->server);
    if (offer->name != NULL && strcmp(offer->name, conn->server) == 0) {
        if (validity_holds(&offer->validity, conn->tls)
            && SSL_set_session(conn->ssl, offer->session) == 1) {
            conn->validity = offer->validity;
            conn->anchors = offer->anchors;
        }
        forget(offer);
    }
}
