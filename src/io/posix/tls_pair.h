/*
 * For the tests of TLS: a pair (pair.h) whose two ends have certificates made by the openssl
 * command line.
 */
#ifndef IO_POSIX_TLS_PAIR_H
#define IO_POSIX_TLS_PAIR_H

#include "io/posix/pair.h"

/* What a test may change before the two sides are made. NULL names: none. */
struct tls_setup {
    const char *server_leaf, *client_leaf;
    const char *server_anchors[2]; /* those of clients */
    bool no_time[2];
    const char *client_anchors;
    const char *server_alpn, *client_alpn;
    bool optional_peer;
    int64_t time_floor_ms;
    const char *server_name;
    struct port_sessions *sessions; /* of the server */
    bool resumes;                   /* the client */
};

/* Any other is this one with a member changed. */
static const struct tls_setup tls_usual = {.server_leaf = "server",
                                           .client_leaf = "device",
                                           .server_anchors = {"maker.pem", "devices.pem"},
                                           .client_anchors = "root.pem",
                                           .server_name = "localhost"};

struct tls_text {
    uint8_t bytes[8192];
    size_t len;
};

/* A file of the scratch folder: "device.pem", "server.key". */
struct slice tls_pair_file(struct pair *p, struct tls_text *to, const char *name);

/* Makes the certificates, both contexts and the listener; false: the test has failed. */
bool tls_pair_prepare(struct pair *p, const struct tls_setup *s);

/* p->server_tls, p->client_tls; what was there is the caller's to free. */
enum port_result tls_pair_server(struct pair *p, const struct tls_setup *s);
enum port_result tls_pair_client(struct pair *p, const struct tls_setup *s);

#endif
