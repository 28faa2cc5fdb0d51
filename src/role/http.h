/*
 * An HTTP/1.1 server over io/port.h: console and API, device services, metrics. It frames, bounds
 * and times connections; what a request means is the handler's. One request at a time per
 * connection: a pipelined one waits in the receive buffer. The handler gets a whole request (head
 * and body) and answers at once or later:
 *
 *     static void handle(void *context, struct http_call *call)
 *     {
 *         if (slice_is_text(call->head.path, "/cacerts")) {
 *             http_answer(call, &(struct http_response){.status = 200, .content_type = "...", .body
 * = certs}); } else { later = http_call_id(call);           keep the id, never the pointer
 *         }
 *     }
 *     ...
 *     struct http_call *call = http_call_find(server, later);   NULL: the client has gone
 *
 * A role hands each port event to http_server_event first; it takes those that are its own.
 */
#ifndef ROLE_HTTP_H
#define ROLE_HTTP_H

#include "codec/http.h"
#include "io/port.h"

struct http_server;

struct http_call_id {
    uint32_t index;
    uint32_t generation; /* never 0: a zero id is no call */
};

struct http_call {
    struct http_head head; /* valid until the answer was given */
    struct slice body;
    struct port_peer peer; /* certificate and exporter of the connection */
    uint64_t began_us;     /* port_now_us when the request was whole */
};

typedef void http_handler(void *context, struct http_call *call);

struct http_server_options {
    const char *address;  /* as port_listen */
    struct port_tls *tls; /* NULL: plain */
    uint32_t connections_max;
    uint32_t handshakes_max;
    size_t body_max;      /* of a request: beyond it 413 */
    uint32_t head_ms;     /* from the first byte of a request to its head's end: 408 */
    uint32_t body_ms;     /* and to its body's end: 408 */
    uint32_t idle_ms;     /* between requests: closed */
    uint32_t send_ms;     /* a client that takes nothing of its answer for so long is cut off */
    uint32_t streams_max; /* open http_stream_* at a time: beyond it http_stream_begin is false */
    http_handler *handler;
    void *context;
    /* Called where the server itself answers (400, 408, 413, ...): writes the body, which may stay
     * empty. May be NULL. */
    void (*write_problem)(int status, const char *clause, struct writer *body);
    const char *fields; /* whole lines added to every answer, each ended by CRLF; NULL: none */
};

struct http_server_counts {
    uint64_t requests;
    uint64_t by_class[6]; /* [2]: answers 200..299 */
    uint64_t malformed;   /* refused by the codec */
    uint64_t timeouts;
    uint64_t refused; /* connections that did not get through the handshake */
    uint32_t connections;
    uint32_t streams;
};

/* Sane limits for everything but address, tls, handler and context. */
struct http_server_options http_server_options_default(void);

enum port_result http_server_open(struct port *port,
                                  const struct http_server_options *options,
                                  struct http_server **out,
                                  struct port_why *why);
void http_server_close(struct http_server *server); /* before port_close_all */
uint16_t http_server_port(const struct http_server *server);
struct http_server_counts http_server_counts(const struct http_server *server);

/* Connections accepted from now on use `tls`, which is held; those there are keep what they have.
 */
void http_server_set_tls(struct http_server *server, struct port_tls *tls);

/* True where the event was for this server, which then has handled it. */
bool http_server_event(struct http_server *server, const struct port_event *ev);

struct http_call_id http_call_id(const struct http_call *call);
struct http_call *http_call_find(struct http_server *server, struct http_call_id id);

struct http_response {
    int status;
    const char *content_type; /* NULL: no body, no field */
    const char *fields;       /* further whole lines, each ended by CRLF; NULL: none */
    struct slice body;
    bool body_is_static; /* lives as long as the program: is not copied */
    bool close;          /* the connection ends after this answer */
};

/* Exactly once per call. HEAD requests get the head alone, with the body's length. */
void http_answer(struct http_call *call, const struct http_response *response);

/*
 * A response of unknown length (server-sent events, exports). After begin the call's request is
 * gone, its id stays valid until the client goes or http_stream_end.
 */
MUST_USE bool http_stream_begin(struct http_call *call,
                                int status,
                                const char *content_type,
                                const char *fields);
/* Sends all of it or, where the client is too slow and its buffer full, nothing: false. */
MUST_USE bool http_stream_send(struct http_call *call, struct slice bytes);
size_t http_stream_room(const struct http_call *call);
void http_stream_end(struct http_call *call);

#endif
