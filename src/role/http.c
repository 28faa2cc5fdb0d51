#include "role/http.h"

#include "base/invariant.h"
#include "role/http_inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- events ---- */

static void accepted(struct http_server *s, struct port_conn *port_conn)
{
    for (uint32_t i = 0; i < s->options.connections_max; i++) {
        struct http_conn *c = &s->conns[i];
        if (c->state == HTTP_CONN_FREE) {
            c->server = s;
            c->port_conn = port_conn;
            port_conn_set_user(port_conn, c);
            s->counts.connections++;
            http_await_head(c);
            return;
        }
    }
    port_abort(port_conn);
}

static void timed_out(struct http_conn *c)
{
    switch (c->state) {
    case HTTP_CONN_HEAD:
        if (c->scanned > 0) {
            http_refuse(c, 408, "the head did not come in time");
        } else {
            http_begin_closing(c);
        }
        break;
    case HTTP_CONN_BODY: http_refuse(c, 408, "the body did not come in time"); break;
    case HTTP_CONN_STREAM:
        if (port_send_room(c->port_conn) > HTTP_SEND_CAP / 2) {
            c->due_ms = UINT64_MAX; /* it has caught up since */
            break;
        }
        c->server->counts.timeouts++;
        http_cut_off(c);
        break;
    case HTTP_CONN_SENDING:
        c->server->counts.timeouts++;
        http_cut_off(c);
        break;
    case HTTP_CONN_CALLED:
    case HTTP_CONN_CLOSING:
    case HTTP_CONN_FREE: c->due_ms = UINT64_MAX; break;
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

static void drained(struct http_conn *c)
{
    if (c->state == HTTP_CONN_SENDING) {
        http_pump(c);
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
    struct http_conn *c = is_conn ? ev->user : NULL;
    if (ev->kind == PORT_ACCEPTED) {
        accepted(s, ev->conn);
    } else if (ev->kind == PORT_REFUSED) {
        s->counts.refused++;
    } else if (ev->kind == PORT_WOKE) {
        woke(s);
    } else if (is_conn && ev->kind == PORT_RECEIVED) {
        http_received(c, ev->received.bytes);
    } else if (is_conn && ev->kind == PORT_DRAINED) {
        drained(c);
    } else if (is_conn && ev->kind == PORT_CLOSED) {
        http_set_free(c);
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
        .receive_cap = HTTP_RECEIVE_CAP,
        .send_cap = HTTP_SEND_CAP,
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
        struct http_conn *c = &s->conns[i];
        if (c->state != HTTP_CONN_FREE) {
            port_conn_set_user(c->port_conn, NULL);
            port_close(c->port_conn);
            http_drop_request(c);
            http_drop_answer(c);
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
    const struct http_conn *c = http_conn_of(call);
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
    struct http_conn *c = &s->conns[id.index];
    bool lives = c->generation == id.generation
                 && (c->state == HTTP_CONN_CALLED || c->state == HTTP_CONN_STREAM);
    return lives ? &c->call : NULL;
}
