/*
 * The client's side of HTTP: a server on a simulated network that answers a GET with the input,
 * whatever it is. The first byte says whether the answer is a stream, whether the server closes,
 * and how long a body may be. An answer is told once, its body is within the bound, a failure has a
 * reason; and what comes out is the same in pieces of three bytes as in one.
 */
#include "base/invariant.h"
#include "io/sim/sim.h"
#include "role/http_client.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOLD_MAX = 1 << 17, ANSWER_MAX = 8192, TIMEOUT_MS = 1000 };

struct server {
    struct port *port;
    struct slice answer;
    size_t piece;
    bool closes;
};

struct client {
    struct port *port;
    struct http_client *http;
    bool is_stream, is_over;
    enum http_client_event last;
    enum http_client_why why;
    int status;
    struct writer told; /* the body */
};

static void serve(void *role, const struct port_event *ev)
{
    struct server *s = role;
    if (ev->kind != PORT_RECEIVED) {
        return;
    }
    port_consume(ev->conn, ev->received.bytes.len);
    for (size_t at = 0; at < s->answer.len; at += s->piece) {
        size_t left = s->answer.len - at;
        INVARIANT(
            port_send(ev->conn, slice_of(s->answer.at + at, left < s->piece ? left : s->piece)));
    }
    if (s->closes) {
        port_close(ev->conn);
    }
}

static void ask(struct client *c)
{
    const struct http_client_request request = {
        .method = "GET", .target = slice_text("/x"), .stream = c->is_stream};
    INVARIANT(http_client_send(c->http, &request));
}

static void take(void *role, const struct port_event *ev)
{
    struct client *c = role;
    enum http_client_event what = http_client_event(c->http, ev);
    if (what == HTTP_CLIENT_CONNECTED) {
        ask(c);
        return;
    }
    if (what == HTTP_CLIENT_PIECE) {
        write_slice(&c->told, http_client_piece(c->http));
        return;
    }
    if (what != HTTP_CLIENT_ANSWERED && what != HTTP_CLIENT_FAILED) {
        return;
    }
    /* After its answer a connection may still fail, but nothing is answered twice. */
    INVARIANT(!c->is_over || what == HTTP_CLIENT_FAILED);
    if (c->is_over) {
        return;
    }
    c->is_over = true;
    c->last = what;
    if (what == HTTP_CLIENT_FAILED) {
        struct http_client_failure failure = http_client_failure(c->http);
        INVARIANT(failure.why >= HTTP_CLIENT_UNREACHABLE && failure.why <= HTTP_CLIENT_BAD_ANSWER);
        c->why = failure.why;
        return;
    }
    struct http_client_answer answer = http_client_answer(c->http);
    c->status = answer.head->status;
    INVARIANT(c->status >= 200 && c->status <= 599);
    if (!(c->is_stream && c->status < 300)) {
        write_slice(&c->told, answer.body);
    }
}

static void play(struct slice answer, uint8_t how, size_t piece, struct client *c, void *room)
{
    struct sim_world *world = sim_open(1);
    struct server server = {.answer = answer, .piece = piece, .closes = (how & 2) != 0};
    const struct port_listen_options limits = {.receive_cap = 65536,
                                               .send_cap = 65536,
                                               .connections_max = 4,
                                               .handshakes_max = 4,
                                               .handshake_ms = 1000};
    struct port_listener *listener = NULL;
    struct port_why why;
    server.port = sim_start(world, "server", serve, &server);
    *c = (struct client){.is_stream = (how & 1) != 0, .told = writer_over(room, TOLD_MAX)};
    c->port = sim_start(world, "client", take, c);
    INVARIANT(port_listen(server.port, "server:80", NULL, &limits, NULL, &listener, &why)
              == PORT_OK);
    struct http_client_options options = {.address = "server:80",
                                          .host = "server",
                                          .body_max = (size_t)(how >> 2) * 16,
                                          .timeout_ms = TIMEOUT_MS};
    INVARIANT(http_client_open(c->port, &options, &c->http, &why) == PORT_OK);
    (void)sim_run_for(world, 3 * TIMEOUT_MS);
    INVARIANT(c->is_over || c->is_stream);
    INVARIANT(c->is_stream || c->told.len <= options.body_max);
    http_client_close(c->http);
    sim_close(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t a[TOLD_MAX], b[TOLD_MAX];
    struct client whole, cut;
    if (size == 0 || size > ANSWER_MAX) {
        return 0;
    }
    struct slice answer = slice_of(data + 1, size - 1);
    play(answer, data[0], SIZE_MAX, &whole, a);
    play(answer, data[0], 3, &cut, b);
    INVARIANT(whole.last == cut.last && whole.why == cut.why && whole.status == cut.status);
    INVARIANT(slice_equal(writer_slice(&whole.told), writer_slice(&cut.told)));
    return 0;
}
