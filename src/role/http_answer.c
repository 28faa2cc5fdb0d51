/* Connections between requests, and what is sent: answers, refusals, streams. */
#include "base/invariant.h"
#include "role/http_inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- time ---- */

void http_set_due(struct http_conn *c, uint32_t in_ms)
{
    struct http_server *s = c->server;
    c->due_ms = in_ms == 0 ? UINT64_MAX : port_now_ms(s->port) + in_ms;
    if (c->due_ms < s->wake_ms) {
        s->wake_ms = c->due_ms;
        port_wake_at(s->wake, s->wake_ms);
    }
}

/* ---- states ---- */

void http_drop_request(struct http_conn *c)
{
    free(c->request);
    c->request = NULL;
    c->call.head = (struct http_head){0};
    c->call.body = (struct slice){0};
    c->head_len = c->body_len = c->body_cap = 0;
    c->chunked = (struct http_chunked){0};
}

void http_drop_answer(struct http_conn *c)
{
    free(c->answer);
    c->answer = NULL;
    c->out[0] = c->out[1] = (struct slice){0};
}

void http_await_head(struct http_conn *c)
{
    c->state = HTTP_CONN_HEAD;
    c->scanned = 0;
    http_set_due(c, c->server->options.idle_ms);
}

void http_begin_closing(struct http_conn *c)
{
    if (c->state == HTTP_CONN_STREAM) {
        c->server->counts.streams--;
    }
    http_drop_request(c);
    c->state = HTTP_CONN_CLOSING;
    c->due_ms = UINT64_MAX;
    port_close(c->port_conn);
}

void http_cut_off(struct http_conn *c)
{
    if (c->state == HTTP_CONN_STREAM) {
        c->server->counts.streams--;
    }
    http_drop_request(c);
    http_drop_answer(c);
    c->state = HTTP_CONN_CLOSING;
    c->due_ms = UINT64_MAX;
    port_abort(c->port_conn);
}

void http_set_free(struct http_conn *c)
{
    if (c->state == HTTP_CONN_STREAM) {
        c->server->counts.streams--;
    }
    http_drop_request(c);
    http_drop_answer(c);
    c->state = HTTP_CONN_FREE;
    c->port_conn = NULL;
    c->due_ms = UINT64_MAX;
    c->generation++;
    c->server->counts.connections--;
}

/* ---- sending ---- */

static void answer_done(struct http_conn *c)
{
    http_drop_answer(c);
    if (!c->keep_alive) {
        http_begin_closing(c);
        return;
    }
    http_drop_request(c);
    http_await_head(c);
    /* A pipelined request may be there already: have its bytes shown again, in the next turn. */
    port_pause(c->port_conn);
    port_resume(c->port_conn);
}

/* Moves what it can to the port. What the port refuses waits for PORT_DRAINED. */
void http_pump(struct http_conn *c)
{
    for (size_t i = 0; i < COUNT_OF(c->out); i++) {
        while (c->out[i].len > 0) {
            size_t room = port_send_room(c->port_conn);
            struct slice piece = c->out[i];
            piece.len = room > 0 && room < piece.len ? room : piece.len;
            if (!port_send(c->port_conn, piece)) {
                http_set_due(c, c->server->options.send_ms);
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

static void write_head(struct http_conn *c, const struct http_response *response, struct writer *w)
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
static void keep_answer(struct http_conn *c,
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
    struct http_conn *c = http_conn_of(call);
    uint8_t room[HTTP_HEAD_ROOM];
    struct writer w = writer_over(room, sizeof room);
    INVARIANT(c->state == HTTP_CONN_CALLED);
    c->keep_alive = c->keep_alive && !response->close;
    write_head(c, response, &w);
    if (!has_no_body(response->status)) {
        http_field_write_u64(&w, "Content-Length", response->body.len);
    }
    http_head_end_write(&w);
    INVARIANT(writer_ok(&w)); /* HTTP_HEAD_ROOM holds whatever fields this program adds */
    bool head_only = call->head.method == HTTP_HEAD || has_no_body(response->status);
    count_answer(c->server, response->status);
    c->state = HTTP_CONN_SENDING;
    keep_answer(c, writer_slice(&w), response, head_only ? (struct slice){0} : response->body);
    http_pump(c);
}

/* An answer to what never became a call. The connection ends with it: its framing is lost. */
void http_refuse(struct http_conn *c, int status, const char *clause)
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
    c->state = HTTP_CONN_CALLED;
    c->keep_alive = false;
    struct http_response response = {
        .status = status,
        .content_type = "application/problem+json",
        .body = writer_slice(&body),
    };
    http_answer(&c->call, &response);
}
/* ---- streams ---- */

bool http_stream_begin(struct http_call *call,
                       int status,
                       const char *content_type,
                       const char *fields)
{
    struct http_conn *c = http_conn_of(call);
    struct http_server *s = c->server;
    INVARIANT(c->state == HTTP_CONN_CALLED);
    if (s->counts.streams >= s->options.streams_max) {
        return false;
    }
    uint8_t room[HTTP_HEAD_ROOM];
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
    c->state = HTTP_CONN_STREAM;
    c->due_ms = UINT64_MAX;
    http_drop_request(c);
    if (!port_send(c->port_conn, writer_slice(&w))) {
        http_set_due(
            c, s->options.send_ms); /* cannot send so much as a head: it is about to be cut off */
    }
    return true;
}

enum { CHUNK_OVERHEAD = 16 + 4 };

size_t http_stream_room(const struct http_call *call)
{
    const struct http_conn *c = http_conn_of(call);
    size_t room = c->state == HTTP_CONN_STREAM ? port_send_room(c->port_conn) : 0;
    return room > CHUNK_OVERHEAD ? room - CHUNK_OVERHEAD : 0;
}

bool http_stream_send(struct http_call *call, struct slice bytes)
{
    struct http_conn *c = http_conn_of(call);
    if (c->state != HTTP_CONN_STREAM || bytes.len == 0) {
        return c->state == HTTP_CONN_STREAM;
    }
    if (http_stream_room(call) < bytes.len) {
        if (c->due_ms == UINT64_MAX) {
            http_set_due(c, c->server->options.send_ms);
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
    struct http_conn *c = http_conn_of(call);
    if (c->state != HTTP_CONN_STREAM) {
        return;
    }
    if (c->in_chunks) {
        (void)port_send(c->port_conn, slice_text("0\r\n\r\n"));
    }
    http_begin_closing(c);
}
