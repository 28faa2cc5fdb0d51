/* From bytes to a whole request: head, body in one piece or in chunks, the call of the handler. */
#include "base/invariant.h"
#include "role/http_inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- receiving ---- */

static void dispatch(struct http_conn *c)
{
    struct http_server *s = c->server;
    c->call.body = slice_of(c->request + c->head_len, c->body_len);
    c->call.began_us = port_now_us(s->port);
    port_conn_peer(c->port_conn, &c->call.peer);
    c->state = HTTP_CONN_CALLED;
    c->generation++; /* an id of an earlier request is no id of this one */
    c->due_ms = UINT64_MAX;
    s->counts.requests++;
    s->options.handler(s->options.context, &c->call);
}

/* Room for `len` more body bytes; false beyond the limit. */
static bool reserve_body(struct http_conn *c, size_t len)
{
    size_t need = c->body_len + len;
    if (need > c->server->options.body_max) {
        return false;
    }
    if (need > c->body_cap) {
        size_t cap = c->body_cap * 2 > need ? c->body_cap * 2 : need;
        struct http_fault fault;
        c->request = realloc(c->request, c->head_len + cap);
        INVARIANT(c->request != NULL);
        c->body_cap = cap;
        /* The head's slices borrow from the block that may have moved. */
        struct slice bytes = slice_of(c->request, c->head_len);
        INVARIANT(http_request_decode(bytes, &c->call.head, &fault) == HTTP_OK);
    }
    return true;
}

static void body_received(struct http_conn *c, struct slice bytes)
{
    const struct http_head *head = &c->call.head;
    bool done = head->framing == HTTP_NO_BODY;
    while (!done) {
        struct slice data = bytes;
        size_t used = 0;
        if (head->framing == HTTP_LENGTH) {
            uint64_t left = head->content_length - c->body_len;
            used = data.len = bytes.len < left ? bytes.len : (size_t)left;
            done = used == left;
        } else {
            struct http_fault fault;
            enum http_result result = http_chunked_step(&c->chunked, bytes, &used, &data, &fault);
            if (result != HTTP_OK && result != HTTP_MORE) {
                http_refuse(c, fault.status, fault.clause);
                return;
            }
            done = result == HTTP_OK;
        }
        if (!reserve_body(c, data.len)) {
            http_refuse(c, 413, "a body longer than this server takes");
            return;
        }
        if (data.len > 0) {
            memcpy(c->request + c->head_len + c->body_len, data.at, data.len);
        }
        c->body_len += data.len;
        bytes = slice_after(bytes, used);
        port_consume(c->port_conn, used);
        if (used == 0 || bytes.len == 0) {
            break;
        }
    }
    if (done) {
        dispatch(c);
    }
}

static void head_received(struct http_conn *c, struct slice bytes)
{
    struct http_server *s = c->server;
    struct http_fault fault = {
        .clause = "a byte that no head holds, or a line end that is not CRLF", .status = 400};
    size_t len = 0;
    bool is_first = c->scanned == 0 && bytes.len > 0;
    enum http_result result = http_head_find(bytes, &c->scanned, &len);
    if (result == HTTP_MORE) {
        if (is_first) {
            http_set_due(c, s->options.head_ms);
        }
        return;
    }
    if (result == HTTP_TOO_LONG) {
        fault = (struct http_fault){.clause = "a head longer than 16,384 bytes", .status = 431};
    }
    if (result == HTTP_OK) {
        c->request = malloc(len);
        INVARIANT(c->request != NULL);
        memcpy(c->request, bytes.at, len);
        c->head_len = len;
        result = http_request_decode(slice_of(c->request, len), &c->call.head, &fault);
    }
    if (result != HTTP_OK) {
        http_refuse(c, fault.status, fault.clause);
        return;
    }
    port_consume(c->port_conn, len);
    c->state = HTTP_CONN_BODY;
    c->keep_alive = c->call.head.keep_alive;
    http_set_due(c, s->options.body_ms);
    if (c->call.head.framing == HTTP_LENGTH && c->call.head.content_length > s->options.body_max) {
        http_refuse(c, 413, "a body longer than this server takes");
        return;
    }
    if (c->call.head.expect_continue && c->call.head.framing != HTTP_NO_BODY) {
        (void)port_send(c->port_conn, slice_text("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    body_received(c, slice_after(bytes, len));
}

void http_received(struct http_conn *c, struct slice bytes)
{
    switch (c->state) {
    case HTTP_CONN_HEAD: head_received(c, bytes); break;
    case HTTP_CONN_BODY: body_received(c, bytes); break;
    case HTTP_CONN_STREAM:
        port_consume(c->port_conn, bytes.len);
        break; /* nothing can follow a stream */
    case HTTP_CONN_CALLED:
    case HTTP_CONN_SENDING: break; /* the next request waits */
    case HTTP_CONN_CLOSING:
    case HTTP_CONN_FREE: break;
    }
}
