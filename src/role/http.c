#include "role/http.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_CAP = HTTP_HEAD_MAX + 4096, /* a whole head always fits */
    SEND_CAP = 256 * 1024,
    HEAD_ROOM = 4096 /* of an answer */
};

/*
 *  FREE -> HEAD -> BODY -> CALLED -> SENDING -> HEAD       a request, its answer, the next one
 *            \________________/ \--> STREAM                without end
 *  every state but FREE -> CLOSING -> FREE
 */
enum state {
    FREE,    /* no connection; the call's id is dead */
    HEAD,    /* the request's head is awaited or part of it is there */
    BODY,    /* head decoded and kept in `request`; its body is being gathered behind it */
    CALLED,  /* the handler has the call; what comes meanwhile waits in the receive buffer */
    SENDING, /* the answer is given; some of it waits in `out` */
    STREAM,  /* head of the answer sent, pieces follow */
    CLOSING  /* we closed; PORT_CLOSED is to come */
};

struct conn {
    struct http_call call; /* first: a call is its connection */
    struct http_server *server;
    struct port_conn *port_conn;
    enum state state;
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
    struct conn conns[]; /* options.connections_max */
};

static struct conn *conn_of(const struct http_call *call)
{
    union {
        const struct http_call *call;
        struct conn *conn;
    } at = {.call = call};
    return at.conn;
}

/* ---- time ---- */

static void set_due(struct conn *c, uint32_t in_ms)
{
    struct http_server *s = c->server;
    c->due_ms = in_ms == 0 ? UINT64_MAX : port_now_ms(s->port) + in_ms;
    if (c->due_ms < s->wake_ms) {
        s->wake_ms = c->due_ms;
        port_wake_at(s->wake, s->wake_ms);
    }
}

/* ---- states ---- */

static void drop_request(struct conn *c)
{
    free(c->request);
    c->request = NULL;
    c->call.head = (struct http_head){0};
    c->call.body = (struct slice){0};
    c->head_len = c->body_len = c->body_cap = 0;
    c->chunked = (struct http_chunked){0};
}

static void drop_answer(struct conn *c)
{
    free(c->answer);
    c->answer = NULL;
    c->out[0] = c->out[1] = (struct slice){0};
}

static void await_head(struct conn *c)
{
    c->state = HEAD;
    c->scanned = 0;
    set_due(c, c->server->options.idle_ms);
}

static void begin_closing(struct conn *c)
{
    if (c->state == STREAM) {
        c->server->counts.streams--;
    }
    drop_request(c);
    c->state = CLOSING;
    c->due_ms = UINT64_MAX;
    port_close(c->port_conn);
}

static void cut_off(struct conn *c)
{
    if (c->state == STREAM) {
        c->server->counts.streams--;
    }
    drop_request(c);
    drop_answer(c);
    c->state = CLOSING;
    c->due_ms = UINT64_MAX;
    port_abort(c->port_conn);
}

static void set_free(struct conn *c)
{
    if (c->state == STREAM) {
        c->server->counts.streams--;
    }
    drop_request(c);
    drop_answer(c);
    c->state = FREE;
    c->port_conn = NULL;
    c->due_ms = UINT64_MAX;
    c->generation++;
    c->server->counts.connections--;
}

/* ---- sending ---- */

static void answer_done(struct conn *c)
{
    drop_answer(c);
    if (!c->keep_alive) {
        begin_closing(c);
        return;
    }
    drop_request(c);
    await_head(c);
    /* A pipelined request may be there already: have its bytes shown again, in the next turn. */
    port_pause(c->port_conn);
    port_resume(c->port_conn);
}

/* Moves what it can to the port. What the port refuses waits for PORT_DRAINED. */
static void pump(struct conn *c)
{
    for (size_t i = 0; i < COUNT_OF(c->out); i++) {
        while (c->out[i].len > 0) {
            size_t room = port_send_room(c->port_conn);
            struct slice piece = c->out[i];
            piece.len = room > 0 && room < piece.len ? room : piece.len;
            if (!port_send(c->port_conn, piece)) {
                set_due(c, c->server->options.send_ms);
                return;
            }
            c->out[i] = slice_after(c->out[i], piece.len);
        }
    }
    answer_done(c);
}

static void count_answer(struct http_server *s, int status)
{
    size_t class = status >= 100 && status < 600 ? (size_t)status / 100 : 0;
    s->counts.by_class[class]++;
}

static bool has_no_body(int status)
{
    return status == 204 || status == 304;
}

static void write_head(struct conn *c, const struct http_response *response, struct writer *w)
{
    enum time_quality quality;
    http_status_line_write(w, response->status);
    http_date_write(w, port_wall_ms(c->server->port, &quality));
    if (response->content_type != NULL) {
        http_field_write(w, "Content-Type", slice_text(response->content_type));
    }
    if (response->fields != NULL) {
        write_text(w, response->fields);
    }
    if (c->server->options.fields != NULL) {
        write_text(w, c->server->options.fields);
    }
    if (!c->keep_alive) {
        http_field_write(w, "Connection", slice_text("close"));
    }
}

/* Keeps what the answer's parts borrow, unless the port has room for all of it now. */
static void keep_answer(struct conn *c,
                        struct slice head,
                        const struct http_response *response,
                        struct slice body)
{
    bool is_lasting = response->body_is_static;
    if (port_send_room(c->port_conn) >= head.len + body.len) {
        c->out[0] = head;
        c->out[1] = body;
        return;
    }
    size_t len = head.len + (is_lasting ? 0 : body.len);
    c->answer = malloc(len);
    INVARIANT(c->answer != NULL);
    memcpy(c->answer, head.at, head.len);
    if (!is_lasting && body.len > 0) {
        memcpy(c->answer + head.len, body.at, body.len);
    }
    c->out[0] = slice_of(c->answer, head.len);
    c->out[1] = is_lasting ? body : slice_of(c->answer + head.len, body.len);
}

void http_answer(struct http_call *call, const struct http_response *response)
{
    struct conn *c = conn_of(call);
    uint8_t room[HEAD_ROOM];
    struct writer w = writer_over(room, sizeof room);
    INVARIANT(c->state == CALLED);
    c->keep_alive = c->keep_alive && !response->close;
    write_head(c, response, &w);
    if (!has_no_body(response->status)) {
        http_field_write_u64(&w, "Content-Length", response->body.len);
    }
    http_head_end_write(&w);
    INVARIANT(writer_ok(&w)); /* HEAD_ROOM holds whatever fields this program adds */
    bool head_only = call->head.method == HTTP_HEAD || has_no_body(response->status);
    count_answer(c->server, response->status);
    c->state = SENDING;
    keep_answer(c, writer_slice(&w), response, head_only ? (struct slice){0} : response->body);
    pump(c);
}

/* An answer to what never became a call. The connection ends with it: its framing is lost. */
static void refuse(struct conn *c, int status, const char *clause)
{
    static uint8_t text[1024];
    struct writer body = writer_over(text, sizeof text);
    if (c->server->options.write_problem != NULL) {
        c->server->options.write_problem(status, clause, &body);
    }
    if (status == 408) {
        c->server->counts.timeouts++;
    } else {
        c->server->counts.malformed++;
    }
    c->state = CALLED;
    c->keep_alive = false;
    struct http_response response = {
        .status = status,
        .content_type = "application/problem+json",
        .body = writer_slice(&body),
    };
    http_answer(&c->call, &response);
}

/* ---- receiving ---- */

static void dispatch(struct conn *c)
{
    struct http_server *s = c->server;
    c->call.body = slice_of(c->request + c->head_len, c->body_len);
    c->call.began_us = port_now_us(s->port);
    port_conn_peer(c->port_conn, &c->call.peer);
    c->state = CALLED;
    c->generation++; /* an id of an earlier request is no id of this one */
    c->due_ms = UINT64_MAX;
    s->counts.requests++;
    s->options.handler(s->options.context, &c->call);
}

/* Room for `len` more body bytes; false beyond the limit. */
static bool reserve_body(struct conn *c, size_t len)
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

static void body_received(struct conn *c, struct slice bytes)
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
                refuse(c, fault.status, fault.clause);
                return;
            }
            done = result == HTTP_OK;
        }
        if (!reserve_body(c, data.len)) {
            refuse(c, 413, "a body longer than this server takes");
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

static void head_received(struct conn *c, struct slice bytes)
{
    struct http_server *s = c->server;
    struct http_fault fault = {
        .clause = "a byte that no head holds, or a line end that is not CRLF", .status = 400};
    size_t len = 0;
    bool is_first = c->scanned == 0 && bytes.len > 0;
    enum http_result result = http_head_find(bytes, &c->scanned, &len);
    if (result == HTTP_MORE) {
        if (is_first) {
            set_due(c, s->options.head_ms);
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
        refuse(c, fault.status, fault.clause);
        return;
    }
    port_consume(c->port_conn, len);
    c->state = BODY;
    c->keep_alive = c->call.head.keep_alive;
    set_due(c, s->options.body_ms);
    if (c->call.head.framing == HTTP_LENGTH && c->call.head.content_length > s->options.body_max) {
        refuse(c, 413, "a body longer than this server takes");
        return;
    }
    if (c->call.head.expect_continue && c->call.head.framing != HTTP_NO_BODY) {
        (void)port_send(c->port_conn, slice_text("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    body_received(c, slice_after(bytes, len));
}

static void received(struct conn *c, struct slice bytes)
{
    switch (c->state) {
    case HEAD: head_received(c, bytes); break;
    case BODY: body_received(c, bytes); break;
    case STREAM: port_consume(c->port_conn, bytes.len); break; /* nothing can follow a stream */
    case CALLED:
    case SENDING: break; /* the next request waits */
    case CLOSING:
    case FREE: break;
    }
}

/* ---- streams ---- */

bool http_stream_begin(struct http_call *call,
                       int status,
                       const char *content_type,
                       const char *fields)
{
    struct conn *c = conn_of(call);
    struct http_server *s = c->server;
    INVARIANT(c->state == CALLED);
    if (s->counts.streams >= s->options.streams_max) {
        return false;
    }
    uint8_t room[HEAD_ROOM];
    struct writer w = writer_over(room, sizeof room);
    c->in_chunks = call->head.minor == 1;
    c->keep_alive = false;
    write_head(
        c,
        &(struct http_response){.status = status, .content_type = content_type, .fields = fields},
        &w);
    if (c->in_chunks) {
        http_field_write(&w, "Transfer-Encoding", slice_text("chunked"));
    }
    http_head_end_write(&w);
    INVARIANT(writer_ok(&w));
    count_answer(s, status);
    s->counts.streams++;
    c->state = STREAM;
    c->due_ms = UINT64_MAX;
    drop_request(c);
    if (!port_send(c->port_conn, writer_slice(&w))) {
        set_due(c,
                s->options.send_ms); /* cannot send so much as a head: it is about to be cut off */
    }
    return true;
}

enum { CHUNK_OVERHEAD = 16 + 4 };

size_t http_stream_room(const struct http_call *call)
{
    const struct conn *c = conn_of(call);
    size_t room = c->state == STREAM ? port_send_room(c->port_conn) : 0;
    return room > CHUNK_OVERHEAD ? room - CHUNK_OVERHEAD : 0;
}

bool http_stream_send(struct http_call *call, struct slice bytes)
{
    struct conn *c = conn_of(call);
    if (c->state != STREAM || bytes.len == 0) {
        return c->state == STREAM;
    }
    if (http_stream_room(call) < bytes.len) {
        if (c->due_ms == UINT64_MAX) {
            set_due(c, c->server->options.send_ms);
        }
        return false;
    }
    c->due_ms = UINT64_MAX;
    if (!c->in_chunks) {
        return port_send(c->port_conn, bytes);
    }
    uint8_t size[CHUNK_OVERHEAD];
    struct writer w = writer_over(size, sizeof size);
    http_chunk_size_write(&w, bytes.len);
    return port_send(c->port_conn, writer_slice(&w)) && port_send(c->port_conn, bytes)
           && port_send(c->port_conn, slice_text("\r\n"));
}

void http_stream_end(struct http_call *call)
{
    struct conn *c = conn_of(call);
    if (c->state != STREAM) {
        return;
    }
    if (c->in_chunks) {
        (void)port_send(c->port_conn, slice_text("0\r\n\r\n"));
    }
    begin_closing(c);
}

/* ---- events ---- */

static void accepted(struct http_server *s, struct port_conn *port_conn)
{
    for (uint32_t i = 0; i < s->options.connections_max; i++) {
        struct conn *c = &s->conns[i];
        if (c->state == FREE) {
            c->server = s;
            c->port_conn = port_conn;
            port_conn_set_user(port_conn, c);
            s->counts.connections++;
            await_head(c);
            return;
        }
    }
    port_abort(port_conn);
}

static void timed_out(struct conn *c)
{
    switch (c->state) {
    case HEAD:
        if (c->scanned > 0) {
            refuse(c, 408, "the head did not come in time");
        } else {
            begin_closing(c);
        }
        break;
    case BODY: refuse(c, 408, "the body did not come in time"); break;
    case STREAM:
        if (port_send_room(c->port_conn) > SEND_CAP / 2) {
            c->due_ms = UINT64_MAX; /* it has caught up since */
            break;
        }
        c->server->counts.timeouts++;
        cut_off(c);
        break;
    case SENDING:
        c->server->counts.timeouts++;
        cut_off(c);
        break;
    case CALLED:
    case CLOSING:
    case FREE: c->due_ms = UINT64_MAX; break;
    }
}

static void woke(struct http_server *s)
{
    uint64_t now = port_now_ms(s->port);
    s->wake_ms = UINT64_MAX;
    for (uint32_t i = 0; i < s->options.connections_max; i++) {
        if (s->conns[i].due_ms <= now) {
            timed_out(&s->conns[i]);
        }
    }
    for (uint32_t i = 0; i < s->options.connections_max; i++) {
        s->wake_ms = s->conns[i].due_ms < s->wake_ms ? s->conns[i].due_ms : s->wake_ms;
    }
    port_wake_at(s->wake, s->wake_ms);
}

static void drained(struct conn *c)
{
    if (c->state == SENDING) {
        pump(c);
    }
}

static bool owns(const struct http_server *s, const void *user)
{
    uintptr_t first = (uintptr_t)s;
    uintptr_t end = (uintptr_t)&s->conns[s->options.connections_max];
    return (uintptr_t)user >= first && (uintptr_t)user < end;
}

bool http_server_event(struct http_server *s, const struct port_event *ev)
{
    if (s == NULL || ev->user == NULL || !owns(s, ev->user)) {
        return false;
    }
    bool is_conn = ev->user != s && ev->user != &s->wake_tag;
    struct conn *c = is_conn ? ev->user : NULL;
    if (ev->kind == PORT_ACCEPTED) {
        accepted(s, ev->conn);
    } else if (ev->kind == PORT_REFUSED) {
        s->counts.refused++;
    } else if (ev->kind == PORT_WOKE) {
        woke(s);
    } else if (is_conn && ev->kind == PORT_RECEIVED) {
        received(c, ev->received.bytes);
    } else if (is_conn && ev->kind == PORT_DRAINED) {
        drained(c);
    } else if (is_conn && ev->kind == PORT_CLOSED) {
        set_free(c);
    }
    return true;
}

/* ---- opening ---- */

struct http_server_options http_server_options_default(void)
{
    return (struct http_server_options){
        .connections_max = 256,
        .handshakes_max = 32,
        .body_max = 65536,
        .head_ms = 10000,
        .body_ms = 30000,
        .idle_ms = 75000,
        .send_ms = 30000,
        .streams_max = 64,
    };
}

enum port_result http_server_open(struct port *port,
                                  const struct http_server_options *options,
                                  struct http_server **out,
                                  struct port_why *why)
{
    INVARIANT(options->handler != NULL && options->connections_max > 0);
    struct http_server *s = calloc(1, sizeof *s + options->connections_max * sizeof s->conns[0]);
    INVARIANT(s != NULL);
    s->port = port;
    s->options = *options;
    s->wake_ms = UINT64_MAX;
    s->wake = port_wake_new(port, &s->wake_tag);
    for (uint32_t i = 0; i < options->connections_max; i++) {
        s->conns[i].generation = 1;
        s->conns[i].due_ms = UINT64_MAX;
        s->conns[i].server = s;
    }
    struct port_listen_options limits = {
        .receive_cap = RECEIVE_CAP,
        .send_cap = SEND_CAP,
        .handshakes_max = options->handshakes_max,
        .connections_max = options->connections_max,
        .handshake_ms = options->head_ms,
    };
    enum port_result result =
        port_listen(port, options->address, options->tls, &limits, s, &s->listener, why);
    if (result != PORT_OK) {
        port_wake_free(s->wake);
        free(s);
        return result;
    }
    *out = s;
    return PORT_OK;
}

void http_server_set_tls(struct http_server *s, struct port_tls *tls)
{
    port_listener_set_tls(s->listener, tls);
}

void http_server_close(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    port_listener_close(s->listener);
    port_wake_free(s->wake);
    for (uint32_t i = 0; i < s->options.connections_max; i++) {
        struct conn *c = &s->conns[i];
        if (c->state != FREE) {
            port_conn_set_user(c->port_conn, NULL);
            port_close(c->port_conn);
            drop_request(c);
            drop_answer(c);
        }
    }
    free(s);
}

uint16_t http_server_port(const struct http_server *s)
{
    return port_listener_port(s->listener);
}

struct http_server_counts http_server_counts(const struct http_server *s)
{
    return s->counts;
}

struct http_call_id http_call_id(const struct http_call *call)
{
    const struct conn *c = conn_of(call);
    return (struct http_call_id){
        .index = (uint32_t)(c - c->server->conns),
        .generation = c->generation,
    };
}

struct http_call *http_call_find(struct http_server *s, struct http_call_id id)
{
    if (id.generation == 0 || id.index >= s->options.connections_max) {
        return NULL;
    }
    struct conn *c = &s->conns[id.index];
    bool lives = c->generation == id.generation && (c->state == CALLED || c->state == STREAM);
    return lives ? &c->call : NULL;
}
