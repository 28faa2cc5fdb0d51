/*
 * A minimal HTTP/1.1 client over io/port.h: one connection, one request at a time. Used by the
 * agent (EST) and the command line (API). A role hands its port events to http_client_event and
 * looks at what it returns.
 *
 * Whether a failed request may have taken effect is told, never guessed: `sent` is false only where
 * not one byte of it left this process.
 */
#ifndef ROLE_HTTP_CLIENT_H
#define ROLE_HTTP_CLIENT_H

#include "codec/http.h"
#include "io/port.h"

struct http_client;

struct http_client_options {
    const char *address;     /* "localhost:9443" */
    const char *server_name; /* verified and sent as SNI; NULL without TLS */
    const char *host;        /* the Host field: "localhost:9443" */
    struct port_tls *tls;    /* NULL: plain */
    size_t body_max;         /* of an answer that is collected whole */
    uint32_t
        timeout_ms; /* from http_client_send to the end of the answer; of a stream: to its head */
};

enum http_client_event {
    HTTP_CLIENT_NOT_MINE = 0, /* an event of somebody else */
    HTTP_CLIENT_WAITING,      /* taken; nothing to tell yet */
    HTTP_CLIENT_CONNECTED, /* connected: http_client_peer tells the exporter; a request may be sent
                            */
    HTTP_CLIENT_ANSWERED,  /* http_client_answer has head and body, until the next send; a stream
                              ended */
    HTTP_CLIENT_PIECE, /* of a stream: http_client_piece, valid until the next event is handed in */
    HTTP_CLIENT_FAILED /* http_client_failure tells why; connection is gone */
};

enum http_client_why {
    HTTP_CLIENT_UNREACHABLE = 1, /* no connection */
    HTTP_CLIENT_TLS,             /* the server is not who it should be, or did not accept us */
    HTTP_CLIENT_TIMEOUT,
    HTTP_CLIENT_CUT,       /* the connection ended within an answer, or before it */
    HTTP_CLIENT_BAD_ANSWER /* not HTTP, or longer than body_max */
};

struct http_client_failure {
    enum http_client_why why;
    bool sent; /* some of the request left: it may have taken effect */
    char text[200];
};

struct http_client_request {
    const char *method;       /* "GET", "POST" ... */
    struct slice target;      /* "/.well-known/est/simpleenroll" */
    const char *fields;       /* further whole lines, each ended by CRLF; NULL: none */
    const char *content_type; /* of the body; NULL: none */
    struct slice body;
    bool stream; /* give the body of a 2xx in pieces as it comes, without end */
};

struct http_client_answer {
    const struct http_head *head;
    struct slice body;
};

/* Begins to connect; ends in CONNECTED or FAILED. */
enum port_result http_client_open(struct port *port,
                                  const struct http_client_options *options,
                                  struct http_client **out,
                                  struct port_why *why);
void http_client_close(
    struct http_client *client); /* may be called at any time, zero is accepted */

/* False where the client is not connected, still busy, or the request too long for its buffer (256
 * KiB). */
MUST_USE bool http_client_send(struct http_client *client,
                               const struct http_client_request *request);

/* May a further request go over this connection? */
bool http_client_is_ready(const struct http_client *client);

enum http_client_event http_client_event(struct http_client *client, const struct port_event *ev);
struct http_client_answer http_client_answer(const struct http_client *client);
struct slice http_client_piece(const struct http_client *client);
struct http_client_failure http_client_failure(const struct http_client *client);
void http_client_peer(const struct http_client *client,
                      struct port_peer *out); /* while connected */

#endif
