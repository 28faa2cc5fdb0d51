/*
 * Server and client over the posix port, in one loop: what goes over the wire is checked byte by
 * byte where it matters, and through the client where it does not.
 */
#include "role/http.h"
#include "role/http_client.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { BIG = 3 * 1000 * 1000 };
static uint8_t big[BIG];

struct world {
    struct port *port;
    struct http_server *server;
    struct port_conn *raw;
    struct port_wake *limit;
    uint8_t limit_tag, raw_tag;
    struct slice to_send[4];
    size_t sent;
    uint8_t got[8192];
    size_t got_len, got_total;
    bool raw_closed, timed_out, stop_on_later, stop_on_server_close;
    const char *until; /* stop when this was received */
    struct http_call_id later;
    unsigned handled;
    struct http_client *client;
    enum http_client_event client_event;
    size_t pieces_len;
    uint8_t pieces[64];
};

static void handle(void *context, struct http_call *call)
{
    struct world *w = context;
    w->handled++;
    if (slice_is_text(call->head.path, "/echo")) {
        http_answer(call, &(struct http_response){
                              .status = 200, .content_type = "text/plain", .body = call->body});
    } else if (slice_is_text(call->head.path, "/later")) {
        w->later = http_call_id(call);
        if (w->stop_on_later) {
            port_stop(w->port);
        }
    } else if (slice_is_text(call->head.path, "/big")) {
        bool is_static = slice_is_text(call->head.query, "static");
        http_answer(call, &(struct http_response){.status = 200,
                                                  .content_type = "text/plain",
                                                  .body = slice_of(big, BIG),
                                                  .body_is_static = is_static});
    } else if (slice_is_text(call->head.path, "/stream")) {
        if (!http_stream_begin(call, 200, "text/event-stream", NULL)) {
            http_answer(call, &(struct http_response){.status = 503});
            return;
        }
        CHECK(http_stream_send(call, slice_text("data: 1\n\n")));
        CHECK(http_stream_send(call, slice_text("data: 2\n\n")));
        http_stream_end(call);
    } else {
        http_answer(call, &(struct http_response){.status = 404, .fields = "X-Why: none\r\n"});
    }
}

static void raw_received(struct world *w, const struct port_event *ev)
{
    struct slice bytes = ev->received.bytes;
    size_t room = sizeof w->got - 1 - w->got_len;
    size_t len = bytes.len < room ? bytes.len : room;
    memcpy(w->got + w->got_len, bytes.at, len);
    w->got_len += len;
    w->got_total += bytes.len;
    w->got[w->got_len] = '\0';
    port_consume(ev->conn, bytes.len);
    if (w->until != NULL && strstr((char *)w->got, w->until) != NULL) {
        port_stop(w->port);
    }
}

static void on_client(struct world *w, enum http_client_event event)
{
    if (event == HTTP_CLIENT_PIECE) {
        struct slice piece = http_client_piece(w->client);
        memcpy(w->pieces + w->pieces_len, piece.at, piece.len);
        w->pieces_len += piece.len;
        return;
    }
    if (event != HTTP_CLIENT_WAITING) {
        w->client_event = event;
        port_stop(w->port);
    }
}

static void on_event(void *role, const struct port_event *ev)
{
    struct world *w = role;
    enum http_client_event event = http_client_event(w->client, ev);
    if (event != HTTP_CLIENT_NOT_MINE) {
        on_client(w, event);
        return;
    }
    if (http_server_event(w->server, ev)) {
        if (ev->kind == PORT_CLOSED && w->stop_on_server_close) {
            port_stop(w->port);
        }
        return;
    }
    if (ev->user == &w->limit_tag && ev->kind == PORT_WOKE) {
        w->timed_out = true;
        port_stop(w->port);
    } else if (ev->user == &w->raw_tag && ev->kind == PORT_CONNECTED) {
        for (size_t i = 0; i < COUNT_OF(w->to_send); i++) {
            CHECK(port_send(ev->conn, w->to_send[i]));
        }
    } else if (ev->user == &w->raw_tag && ev->kind == PORT_RECEIVED) {
        raw_received(w, ev);
    } else if (ev->user == &w->raw_tag && ev->kind == PORT_CLOSED) {
        w->raw = NULL;
        w->raw_closed = true;
        port_stop(w->port);
    }
}

static void write_problem(int status, const char *clause, struct writer *body)
{
    write_decimal(body, (uint64_t)status);
    write_u8(body, ' ');
    write_text(body, clause);
}

static void world_open(struct world *w, const struct http_server_options *changed)
{
    *w = (struct world){0};
    w->port = port_open(on_event, w);
    struct http_server_options options = changed != NULL ? *changed : http_server_options_default();
    options.address = "127.0.0.1:0";
    options.handler = handle;
    options.context = w;
    options.write_problem = write_problem;
    options.fields = "X-Frame: no\r\n";
    struct port_why why;
    CHECK(http_server_open(w->port, &options, &w->server, &why) == PORT_OK);
    w->limit = port_wake_new(w->port, &w->limit_tag);
    port_wake_at(w->limit, port_now_ms(w->port) + 10000);
}

static void world_close(struct world *w)
{
    CHECK(!w->timed_out);
    http_client_close(w->client);
    http_server_close(w->server);
    port_close_all(w->port);
}

static void raw_open(struct world *w)
{
    char address[32];
    struct port_why why;
    struct port_listen_options limits = {
        .receive_cap = 65536, .send_cap = 65536, .handshake_ms = 5000};
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(w->server));
    CHECK(port_connect(w->port, address, NULL, NULL, &limits, &w->raw_tag, &w->raw, &why)
          == PORT_OK);
}

/* Sends the text on a connection of its own and runs until `until` came or the connection ended. */
static const char *exchange(struct world *w, const char *text, const char *until)
{
    w->to_send[0] = slice_text(text);
    w->until = until;
    raw_open(w);
    port_run(w->port);
    return (const char *)w->got;
}

TEST("a request is answered and the connection stays for the next one")
{
    static struct world w;
    world_open(&w, NULL);
    const char *got = exchange(&w,
                               "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                               "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
                               "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n",
                               "3000000\r\n\r\n");
    CHECK(strncmp(got, "HTTP/1.1 200 OK\r\nDate: ", 23) == 0);
    CHECK(strstr(got, "\r\nContent-Type: text/plain\r\nX-Frame: no\r\nContent-Length: "
                      "5\r\n\r\nhelloHTTP/1.1 404 Not Found\r\n")
          != NULL);
    CHECK(strstr(got, "X-Why: none\r\nX-Frame: no\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK")
          != NULL);
    CHECK_U64(w.handled, 3);
    CHECK(!w.raw_closed);
    CHECK_U64(http_server_counts(w.server).by_class[2], 2);
    world_close(&w);
}

TEST("a body in chunks reaches the handler whole")
{
    static struct world w;
    world_open(&w, NULL);
    const char *got = exchange(
        &w,
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
        NULL);
    CHECK(strstr(got, "\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde") != NULL);
    CHECK(w.raw_closed);
    world_close(&w);
}

TEST("what cannot be framed is refused with its rule, and nothing behind it is read")
{
    static const struct {
        const char *text;
        const char *answer;
    } rows[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
         "400 Content-Length together with Transfer-Encoding"},
        {"GET /echo HTTP/1.1\nHost: a\n\n",
         "400 a byte that no head holds, or a line end that is not CRLF"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
         "400 a chunk size without digits"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
         "413 a body longer than this server takes"},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
         "505 a version that is neither HTTP/1.1 nor HTTP/1.0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct world w;
        world_open(&w, NULL);
        const char *got = exchange(&w, rows[i].text, NULL);
        CHECK(strstr(got, rows[i].answer) != NULL);
        CHECK(w.raw_closed);
        CHECK_U64(w.handled, 0);
        CHECK_U64(http_server_counts(w.server).malformed, 1);
        world_close(&w);
    }
}

TEST("chunks that add up to more than the limit are refused as they come")
{
    static struct world w;
    struct http_server_options options = http_server_options_default();
    options.body_max = 8;
    world_open(&w, &options);
    const char *got = exchange(&w,
                               "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                               "chunked\r\n\r\n5\r\nabcde\r\n4\r\nabcd\r\n0\r\n\r\n",
                               NULL);
    CHECK(strstr(got, "413 a body longer") != NULL);
    world_close(&w);
}

TEST("a client that begins a request and does not end it is told so and let go")
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\nHos", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        static struct world w;
        struct http_server_options options = http_server_options_default();
        options.head_ms = options.body_ms = 50;
        world_open(&w, &options);
        const char *got = exchange(&w, rows[i], NULL);
        CHECK(strstr(got, "HTTP/1.1 408 ") == got);
        CHECK_U64(http_server_counts(w.server).timeouts, 1);
        world_close(&w);
    }
}

TEST("an idle connection is closed without a word")
{
    static struct world w;
    struct http_server_options options = http_server_options_default();
    options.idle_ms = 50;
    world_open(&w, &options);
    CHECK_U64(strlen(exchange(&w, "", NULL)), 0);
    CHECK(w.raw_closed);
    CHECK_U64(http_server_counts(w.server).connections, 0);
    world_close(&w);
}

TEST("an answer may come later, and a call whose client has gone is found no more")
{
    static struct world w;
    world_open(&w, NULL);
    w.stop_on_later = true;
    (void)exchange(&w, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n", NULL);
    struct http_call *call = http_call_find(w.server, w.later);
    REQUIRE(call != NULL);
    http_answer(call, &(struct http_response){.status = 204});
    CHECK(http_call_find(w.server, w.later) == NULL);
    w.until = "204 No Content\r\n";
    port_run(w.port);
    CHECK(strstr((char *)w.got, "Content-Length") == NULL);
    w.until = NULL;
    struct http_call_id old = w.later;
    CHECK(port_send(w.raw, slice_text("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")));
    port_run(w.port);
    CHECK(http_call_find(w.server, old) == NULL && http_call_find(w.server, w.later) != NULL);
    port_abort(w.raw);
    w.stop_on_server_close = true;
    while (http_server_counts(w.server).connections > 0 && !w.timed_out) {
        port_run(w.port);
    }
    CHECK(http_call_find(w.server, w.later) == NULL);
    world_close(&w);
}

static void client_open(struct world *w, size_t body_max, uint32_t timeout_ms)
{
    char address[32];
    struct port_why why;
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(w->server));
    struct http_client_options options = {
        .address = address, .host = address, .body_max = body_max, .timeout_ms = timeout_ms};
    CHECK(http_client_open(w->port, &options, &w->client, &why) == PORT_OK);
    port_run(w->port);
    CHECK(w->client_event == HTTP_CLIENT_CONNECTED);
}

static void client_get(struct world *w, const char *target, bool stream)
{
    CHECK(http_client_send(w->client, &(struct http_client_request){.method = "GET",
                                                                    .target = slice_text(target),
                                                                    .stream = stream}));
    port_run(w->port);
}

TEST("an answer larger than every buffer arrives whole, copied or not")
{
    static struct world w;
    for (size_t i = 0; i < BIG; i++) {
        big[i] = (uint8_t)(i * 7 >> 3);
    }
    world_open(&w, NULL);
    client_open(&w, BIG, 8000);
    static const char *const targets[] = {"/big", "/big?static"};
    for (size_t i = 0; i < 2; i++) {
        client_get(&w, targets[i], false);
        REQUIRE(w.client_event == HTTP_CLIENT_ANSWERED);
        CHECK(slice_equal(http_client_answer(w.client).body, slice_of(big, BIG)));
        CHECK(http_client_is_ready(w.client));
    }
    world_close(&w);
}

TEST("a client takes a stream in pieces and learns of its end")
{
    static struct world w;
    world_open(&w, NULL);
    client_open(&w, 1000, 8000);
    client_get(&w, "/stream", true);
    CHECK(w.client_event == HTTP_CLIENT_ANSWERED);
    CHECK(slice_is_text(slice_of(w.pieces, w.pieces_len), "data: 1\n\ndata: 2\n\n"));
    CHECK_U64(http_server_counts(w.server).streams, 0);
    world_close(&w);
}

TEST("streams beyond their limit are answered with 503")
{
    static struct world w;
    struct http_server_options options = http_server_options_default();
    options.streams_max = 0;
    world_open(&w, &options);
    client_open(&w, 1000, 8000);
    client_get(&w, "/stream", true);
    REQUIRE(w.client_event == HTTP_CLIENT_ANSWERED);
    CHECK(http_client_answer(w.client).head->status == 503);
    world_close(&w);
}

TEST("a request without an answer in time was sent, and may have taken effect")
{
    static struct world w;
    world_open(&w, NULL);
    client_open(&w, 1000, 60);
    client_get(&w, "/later", false);
    CHECK(w.client_event == HTTP_CLIENT_FAILED);
    CHECK(http_client_failure(w.client).why == HTTP_CLIENT_TIMEOUT
          && http_client_failure(w.client).sent);
    world_close(&w);
}

TEST("nobody listening is unreachable, and nothing was sent")
{
    static struct world w;
    world_open(&w, NULL);
    struct port_why why;
    struct http_client_options options = {
        .address = "127.0.0.1:1", .host = "a", .body_max = 10, .timeout_ms = 5000};
    CHECK(http_client_open(w.port, &options, &w.client, &why) == PORT_OK);
    port_run(w.port);
    CHECK(w.client_event == HTTP_CLIENT_FAILED);
    CHECK(http_client_failure(w.client).why == HTTP_CLIENT_UNREACHABLE
          && !http_client_failure(w.client).sent);
    world_close(&w);
}

TEST("an answer longer than the client asked for is cut off, not kept")
{
    static struct world w;
    world_open(&w, NULL);
    client_open(&w, 1000, 8000);
    client_get(&w, "/big", false);
    CHECK(w.client_event == HTTP_CLIENT_FAILED);
    CHECK(http_client_failure(w.client).why == HTTP_CLIENT_BAD_ANSWER);
    world_close(&w);
}
