/* What tls.c (who may connect) and tls_session.c (who may come back) share. */
#ifndef IO_SIM_TLS_INSIDE_H
#define IO_SIM_TLS_INSIDE_H

#include "crypto/key.h"
#include "io/sim/inside.h"
#include "trust/chain.h"

enum { TLS_ALPN_MAX = 32, TLS_OFFERS_MAX = 8, TLS_SERVER_MAX = 192 };

struct certificates {
    struct x509 *list; /* they lie in `der` */
    size_t count;
    uint8_t *der;
};

/* What both ends of a session know, and its name, which travels in the clear. */
struct ticket {
    uint64_t id; /* 0: none */
    struct digest secret;
};

struct offer {
    char server[TLS_SERVER_MAX]; /* "ADDRESS NAME"; "": none */
    struct ticket ticket;
    struct slice chain; /* the server's, one DER after the other; owned */
    uint64_t order;
};

struct port_tls {
    unsigned users;
    bool is_server, require_peer;
    struct certificates own;
    struct digest own_digest; /* of all of them */
    struct key_private *key;
    struct certificates anchors[PORT_ANCHOR_SETS_MAX];
    bool no_time[PORT_ANCHOR_SETS_MAX];
    size_t anchors_count;
    struct digest anchors_digest; /* of all sets, of a server that resumes */
    int64_t time_floor_ms;
    char alpn[TLS_ALPN_MAX];        /* "": none */
    struct port_sessions *sessions; /* of a server; NULL: none */
    bool resumes;
    struct offer offers[TLS_OFFERS_MAX];
    uint64_t offers_count;
};

/* tls.c. The chain against each of own->tls's sets; NULL: verified, and *set says by which. */
const char *tls_verify(struct port_conn *own, const struct certificates *peer, size_t *set);
void tls_keep_facts(struct port_conn *conn,
                    struct slice peer_der,
                    size_t set,
                    const struct digest *transcript);

/* tls_session.c */
void sessions_serve(struct port_tls *tls, struct port_sessions *sessions);
void offers_drop(struct port_tls *tls);
/* Does the client come back by a session that both know and that still stands? Then both have their
 * facts. */
bool tls_resume(struct port_conn *client,
                struct port_conn *server,
                const struct digest *transcript);
/* A ticket after a handshake, full or resumed. */
void tls_give_ticket(struct port_conn *client, struct port_conn *server);

#endif
