/* What the files of the HTTP server share: a connection, its states, and the moves between them. */
#ifndef ROLE_HTTP_INSIDE_H
#define ROLE_HTTP_INSIDE_H

#include "role/http.h"

enum {
    HTTP_RECEIVE_CAP = HTTP_HEAD_MAX + 4096, /* a whole head always fits */
    HTTP_SEND_CAP = 256 * 1024,
    HTTP_HEAD_ROOM = 4096 /* of an answer */
};

/*
 *  FREE -> HEAD -> BODY -> CALLED -> SENDING -> HEAD       a request, its answer, the next one
 *            \________________/ \--> STREAM                without end
 *  every state but FREE -> CLOSING -> FREE
 */
enum http_state {
    HTTP_CONN_FREE,   /* no connection; the call's id is dead */
    HTTP_CONN_HEAD,   /* the request's head is awaited or part of it is there */
    HTTP_CONN_BODY,   /* head decoded and kept in `request`; its body is being gathered behind it */
    HTTP_CONN_CALLED, /* the handler has the call; what comes meanwhile waits in the receive buffer
                       */
    HTTP_CONN_SENDING, /* the answer is given; some of it waits in `out` */
    HTTP_CONN_STREAM,  /* head of the answer sent, pieces follow */
    HTTP_CONN_CLOSING  /* we closed; PORT_CLOSED is to come */
};

struct http_conn {
    struct http_call call; /* first: a call is its connection */
    struct http_server *server;
    struct port_conn *port_conn;
    enum http_state state;
    uint32_t generation;
    size_t scanned;
    uint8_t *request; /* ours: head, then body */
    size_t head_len, body_len, body_cap;
    struct http_chunked chunked;
    uint8_t *answer; /* ours: what `out` borrows, unless static */
    struct slice out[2];
    uint64_t due_ms; /* the limit of this state; UINT64_MAX: none */
    bool keep_alive;
    bool in_chunks; /* of the stream; HTTP/1.0 gets it until the close */
};

struct http_server {
    struct port *port;
    struct http_server_options options;
    struct port_listener *listener;
    struct port_wake *wake;
    uint64_t wake_ms;
    struct http_server_counts counts;
    uint8_t wake_tag;
    struct http_conn conns[]; /* options.connections_max */
};

static inline struct http_conn *http_conn_of(const struct http_call *call)
{
    union {
        const struct http_call *call;
        struct http_conn *conn;
    } at = {.call = call};
    return at.conn;
}

/* http_answer.c */
void http_set_due(struct http_conn *c, uint32_t in_ms);
void http_drop_request(struct http_conn *c);
void http_drop_answer(struct http_conn *c);
void http_await_head(struct http_conn *c);
void http_begin_closing(struct http_conn *c);
void http_cut_off(struct http_conn *c);
void http_set_free(struct http_conn *c);
void http_pump(struct http_conn *c);
void http_refuse(struct http_conn *c, int status, const char *clause);

/* http_receive.c */
void http_received(struct http_conn *c, struct slice bytes);

#endif
