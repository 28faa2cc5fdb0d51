#include "role/http_client.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

enum { SEND_CAP = 256 * 1024, RECEIVE_CAP = 128 * 1024, CONNECT_MS = 10000 };

/*  DIALLING -> READY -> WAITING -> IN_BODY -> READY      (every state -> GONE) */
enum state {
    DIALLING,
    READY,   /* connected, nothing under way */
    WAITING, /* request sent, head awaited */
    IN_BODY,
    GONE /* the connection is over; a handle may still owe its PORT_CLOSED */
};

struct http_client {
    struct port *port;
    struct port_conn *conn; /* NULL once PORT_CLOSED came */
    struct port_wake *wake;
    uint8_t wake_tag;
    enum state state;
    char host[256];
    size_t body_max;
    uint32_t timeout_ms;
    bool stream, stream_ended;
    enum http_method method;
    size_t scanned;
    struct http_head head;
    uint8_t head_bytes[HTTP_HEAD_MAX];
    uint8_t *body;
    size_t body_len, body_cap;
    struct http_chunked chunked;
    struct slice piece;
    struct http_client_failure failure;
};

static void note_failure(struct http_client *c, enum http_client_why why, const char *text)
{
    c->failure.why = why;
    struct writer w = writer_over(c->failure.text, sizeof c->failure.text - 1);
    for (size_t i = 0; text[i] != '\0' && writer_room(&w) > 0; i++) {
        write_u8(&w, (uint8_t)text[i]);
    }
    c->failure.text[w.len] = '\0';
}

static enum http_client_event fail(struct http_client *c,
                                   enum http_client_why why,
                                   const char *text)
{
    if (c->state == GONE) {
        return HTTP_CLIENT_WAITING;
    }
    note_failure(c, why, text);
    c->state = GONE;
    port_wake_at(c->wake, UINT64_MAX);
    if (c->conn != NULL) {
        port_abort(c->conn);
    }
    return HTTP_CLIENT_FAILED;
}

/* ---- the answer ---- */

static bool keep_body(struct http_client *c, struct slice data)
{
    size_t need = c->body_len + data.len;
    if (need > c->body_max) {
        return false;
    }
    if (need > c->body_cap) {
        size_t cap = c->body_cap * 2 > need ? c->body_cap * 2 : need;
        c->body = realloc(c->body, cap);
        INVARIANT(c->body != NULL);
        c->body_cap = cap;
    }
    if (data.len > 0) {
        memcpy(c->body + c->body_len, data.at, data.len);
    }
    c->body_len += data.len;
    return true;
}

static enum http_client_event answered(struct http_client *c)
{
    c->state = READY;
    port_wake_at(c->wake, UINT64_MAX);
    if (!c->head.keep_alive) {
        c->state = GONE;
        if (c->conn != NULL) {
            port_close(c->conn);
        }
    }
    return HTTP_CLIENT_ANSWERED;
}

static bool is_streaming(const struct http_client *c)
{
    return c->stream && c->head.status >= 200 && c->head.status < 300;
}

/* One step of the body; *used bytes of `bytes` are done with. */
static enum http_client_event body_step(struct http_client *c,
                                        struct slice bytes,
                                        size_t *used,
                                        bool *done)
{
    struct http_fault fault;
    struct slice data = bytes;
    *used = bytes.len;
    *done = false;
    if (c->head.framing == HTTP_LENGTH) {
        uint64_t left = c->head.content_length - c->body_len;
        *used = data.len = bytes.len < left ? bytes.len : (size_t)left;
        *done = data.len == left;
    } else if (c->head.framing == HTTP_CHUNKED) {
        enum http_result result = http_chunked_step(&c->chunked, bytes, used, &data, &fault);
        if (result != HTTP_OK && result != HTTP_MORE) {
            return fail(c, HTTP_CLIENT_BAD_ANSWER, fault.clause);
        }
        *done = result == HTTP_OK;
    } else if (c->head.framing == HTTP_NO_BODY) {
        *used = 0;
        data.len = 0;
        *done = true;
    }
    if (is_streaming(c)) {
        c->body_len += c->head.framing == HTTP_LENGTH ? data.len : 0;
        c->piece = data;
        return data.len > 0 ? HTTP_CLIENT_PIECE : HTTP_CLIENT_WAITING;
    }
    return keep_body(c, data)
               ? HTTP_CLIENT_WAITING
               : fail(c, HTTP_CLIENT_BAD_ANSWER, "the answer is longer than expected");
}

static enum http_client_event body_received(struct http_client *c, struct slice bytes)
{
    bool done = false;
    enum http_client_event event = HTTP_CLIENT_WAITING;
    while (!done && event == HTTP_CLIENT_WAITING) {
        size_t used = 0;
        event = body_step(c, bytes, &used, &done);
        if (event == HTTP_CLIENT_FAILED) {
            return event;
        }
        port_consume(c->conn, used);
        bytes = slice_after(bytes, used);
        if (used == 0 || (bytes.len == 0 && !done)) {
            break;
        }
    }
    if (event == HTTP_CLIENT_PIECE) {
        if (done) {
            c->state = GONE;
            c->stream_ended = true; /* told with PORT_CLOSED: this event carries the last piece */
            port_close(c->conn);
        } else if (bytes.len > 0) {
            port_pause(c->conn); /* the rest comes with an event of its own */
            port_resume(c->conn);
        }
        return event;
    }
    return done ? answered(c) : HTTP_CLIENT_WAITING;
}

static enum http_client_event head_received(struct http_client *c, struct slice bytes)
{
    struct http_fault fault = {.clause = "not HTTP"};
    size_t len = 0;
    enum http_result result = http_head_find(bytes, &c->scanned, &len);
    if (result == HTTP_MORE) {
        return HTTP_CLIENT_WAITING;
    }
    if (result == HTTP_OK) {
        memcpy(c->head_bytes, bytes.at, len);
        result = http_response_decode(slice_of(c->head_bytes, len), c->method, &c->head, &fault);
    }
    if (result != HTTP_OK) {
        return fail(c, HTTP_CLIENT_BAD_ANSWER, fault.clause);
    }
    c->scanned = 0;
    port_consume(c->conn, len);
    bytes = slice_after(bytes, len);
    if (c->head.status < 200) {
        return head_received(c, bytes);
    }
    c->state = IN_BODY;
    if (is_streaming(c)) {
        port_wake_at(c->wake, UINT64_MAX);
    }
    return body_received(c, bytes);
}

static enum http_client_event received(struct http_client *c, struct slice bytes)
{
    switch (c->state) {
    case WAITING: return head_received(c, bytes);
    case IN_BODY: return body_received(c, bytes);
    case READY:
        return bytes.len == 0 ? HTTP_CLIENT_WAITING
                              : fail(c, HTTP_CLIENT_BAD_ANSWER, "bytes that nobody asked for");
    case DIALLING:
    case GONE: break;
    }
    return HTTP_CLIENT_WAITING;
}

/* ---- the connection ---- */

static enum http_client_why why_of(enum port_close_reason reason, enum state state)
{
    switch (reason) {
    case PORT_CLOSE_TLS: return HTTP_CLIENT_TLS;
    case PORT_CLOSE_UNREACHABLE: return HTTP_CLIENT_UNREACHABLE;
    case PORT_CLOSE_TIMEOUT:
        return state == DIALLING ? HTTP_CLIENT_UNREACHABLE : HTTP_CLIENT_TIMEOUT;
    case PORT_CLOSE_LOCAL:
    case PORT_CLOSE_PEER:
    case PORT_CLOSE_RESET: break;
    }
    return HTTP_CLIENT_CUT;
}

static enum http_client_event closed(struct http_client *c, const struct port_event *ev)
{
    c->conn = NULL;
    if (c->state == GONE) {
        bool ended = c->stream_ended;
        c->stream_ended = false;
        return ended ? HTTP_CLIENT_ANSWERED : HTTP_CLIENT_WAITING;
    }
    if (c->state == IN_BODY && c->head.framing == HTTP_UNTIL_CLOSE
        && ev->closed.reason == PORT_CLOSE_PEER) {
        return answered(c);
    }
    return fail(c, why_of(ev->closed.reason, c->state), ev->closed.detail);
}

enum http_client_event http_client_event(struct http_client *c, const struct port_event *ev)
{
    if (c == NULL || (ev->user != c && ev->user != &c->wake_tag)) {
        return HTTP_CLIENT_NOT_MINE;
    }
    c->piece = (struct slice){0};
    if (ev->kind == PORT_CONNECTED && c->state == DIALLING) {
        c->state = READY;
        port_wake_at(c->wake, UINT64_MAX);
        return HTTP_CLIENT_CONNECTED;
    }
    if (ev->kind == PORT_RECEIVED) {
        return received(c, ev->received.bytes);
    }
    if (ev->kind == PORT_CLOSED) {
        return closed(c, ev);
    }
    if (ev->kind == PORT_WOKE) {
        return c->state == READY ? HTTP_CLIENT_WAITING
                                 : fail(c, HTTP_CLIENT_TIMEOUT, "no answer in time");
    }
    return HTTP_CLIENT_WAITING;
}

bool http_client_send(struct http_client *c, const struct http_client_request *request)
{
    uint8_t head[8192];
    struct writer w = writer_over(head, sizeof head);
    if (c->state != READY) {
        return false;
    }
    http_request_line_write(&w, request->method, request->target);
    http_field_write(&w, "Host", slice_text(c->host));
    if (request->fields != NULL) {
        write_text(&w, request->fields);
    }
    if (request->content_type != NULL) {
        http_field_write(&w, "Content-Type", slice_text(request->content_type));
    }
    bool has_length = request->body.len > 0 || strcmp(request->method, "POST") == 0
                      || strcmp(request->method, "PUT") == 0;
    if (has_length) {
        http_field_write_u64(&w, "Content-Length", request->body.len);
    }
    http_head_end_write(&w);
    if (!writer_ok(&w) || port_send_room(c->conn) < w.len + request->body.len) {
        return false;
    }
    if (!port_send(c->conn, writer_slice(&w)) || !port_send(c->conn, request->body)) {
        return false;
    }
    c->failure = (struct http_client_failure){.sent = true};
    c->method = strcmp(request->method, "HEAD") == 0 ? HTTP_HEAD : HTTP_GET;
    c->stream = request->stream;
    c->state = WAITING;
    c->scanned = 0;
    c->body_len = 0;
    c->chunked = (struct http_chunked){0};
    port_wake_at(c->wake, port_now_ms(c->port) + c->timeout_ms);
    return true;
}

bool http_client_is_ready(const struct http_client *c)
{
    return c->state == READY;
}

struct http_client_answer http_client_answer(const struct http_client *c)
{
    return (struct http_client_answer){.head = &c->head, .body = slice_of(c->body, c->body_len)};
}

struct slice http_client_piece(const struct http_client *c)
{
    return c->piece;
}

struct http_client_failure http_client_failure(const struct http_client *c)
{
    return c->failure;
}

void http_client_peer(const struct http_client *c, struct port_peer *out)
{
    *out = (struct port_peer){0};
    if (c->conn != NULL) {
        port_conn_peer(c->conn, out);
    }
}

enum port_result http_client_open(struct port *port,
                                  const struct http_client_options *options,
                                  struct http_client **out,
                                  struct port_why *why)
{
    size_t host_len = strlen(options->host);
    struct http_client *c = calloc(1, sizeof *c);
    INVARIANT(c != NULL && host_len < sizeof c->host);
    memcpy(c->host, options->host, host_len);
    c->port = port;
    c->body_max = options->body_max;
    c->timeout_ms = options->timeout_ms;
    c->wake = port_wake_new(port, &c->wake_tag);
    struct port_listen_options limits = {
        .receive_cap = RECEIVE_CAP,
        .send_cap = SEND_CAP,
        .handshake_ms = options->timeout_ms < CONNECT_MS ? options->timeout_ms : CONNECT_MS,
    };
    enum port_result result = port_connect(port, options->address, options->server_name,
                                           options->tls, &limits, c, &c->conn, why);
    if (result != PORT_OK) {
        port_wake_free(c->wake);
        free(c);
        return result;
    }
    *out = c;
    return PORT_OK;
}

void http_client_close(struct http_client *c)
{
    if (c == NULL) {
        return;
    }
    if (c->conn != NULL) {
        port_conn_set_user(c->conn, NULL);
        port_close(c->conn);
    }
    port_wake_free(c->wake);
    free(c->body);
    free(c);
}
