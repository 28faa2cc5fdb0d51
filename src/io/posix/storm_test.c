/*
 * Many connections of one port that come, talk, stall and go by chance, on both ends: every one
 * that was announced ends exactly once, nothing is told of one that has ended, and no byte is
 * wrong. Memory errors are the sanitizers'.
 */
#include "base/invariant.h"
#include "base/rng.h"
#include "io/port.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENDS_MAX = 4000, CALLS = 1500, AT_ONCE = 64, PATIENCE_MS = 60000 };

/* One end of a connection. The bytes of a stream are its position modulo 251. */
struct end {
    struct port_conn *conn;
    bool live, up, accepted, paused;
    uint64_t sent, received;
    size_t unconsumed;
};

struct storm {
    struct port *port;
    struct port_listener *listener;
    struct port_wake *deadline, *beat; /* the beat goes on where everybody waits for somebody */
    struct rng chance;
    struct end ends[ENDS_MAX];
    unsigned ends_count, calls, live_calls, ended, refused;
    bool late;
    char address[64];
    struct port_listen_options options;
};

static void consume(struct storm *s, struct end *e)
{
    size_t len = (size_t)rng_below(&s->chance, e->unconsumed + 1);
    port_consume(e->conn, len);
    e->received += len;
    e->unconsumed -= len;
}

/* Something by chance to an end that lives; it may be any end, not only the one that was told of.
 */
static void meddle(struct storm *s, struct end *e)
{
    uint8_t bytes[700];
    size_t len = (size_t)rng_below(&s->chance, sizeof bytes);
    if (!e->live || !e->up) {
        return;
    }
    switch (rng_below(&s->chance, 12)) {
    case 0: port_close(e->conn); break;
    case 1: port_abort(e->conn); break;
    case 2:
        port_pause(e->conn);
        e->paused = true;
        break;
    case 3:
    case 4:
        port_resume(e->conn);
        e->paused = false;
        break;
    case 5:
    case 6: consume(s, e); break;
    default:
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)((e->sent + i) % 251);
        }
        if (port_send(e->conn, slice_of(bytes, len))) {
            e->sent += len;
        }
        break;
    }
}

static struct end *new_end(struct storm *s, struct port_conn *conn)
{
    INVARIANT(s->ends_count < ENDS_MAX);
    struct end *e = &s->ends[s->ends_count++];
    *e = (struct end){.conn = conn, .live = true};
    return e;
}

static void call(struct storm *s)
{
    while (s->calls < CALLS && s->live_calls < AT_ONCE) {
        struct port_conn *conn = NULL;
        struct port_why why;
        struct end *e = new_end(s, NULL);
        CHECK(port_connect(s->port, s->address, NULL, NULL, &s->options, e, &conn, &why)
              == PORT_OK);
        e->conn = conn;
        s->calls++;
        s->live_calls++;
    }
}

static void check_bytes(struct end *e, struct slice bytes)
{
    bool right = bytes.len >= e->unconsumed && e->live && e->up && !e->paused;
    for (size_t i = 0; i < bytes.len; i++) {
        right = right && bytes.at[i] == (uint8_t)((e->received + i) % 251);
    }
    CHECK(right);
    e->unconsumed = bytes.len;
}

static void on_event(void *role, const struct port_event *ev)
{
    struct storm *s = role;
    struct end *e = ev->user;
    switch (ev->kind) {
    case PORT_ACCEPTED:
        e = new_end(s, ev->conn);
        e->up = e->accepted = true;
        port_conn_set_user(ev->conn, e);
        break;
    case PORT_CONNECTED:
        CHECK(e->live && !e->up);
        e->up = true;
        break;
    case PORT_RECEIVED:
        check_bytes(e, ev->received.bytes);
        consume(s, e);
        break;
    case PORT_CLOSED:
        CHECK(e->live);
        e->live = false;
        s->ended++;
        s->live_calls -= e->accepted ? 0 : 1;
        break;
    case PORT_REFUSED: s->refused++; break;
    case PORT_WOKE:
        s->late = ev->user == &s->late;
        if (s->late) {
            port_stop(s->port);
        }
        port_wake_at(s->beat, port_now_ms(s->port) + 1);
        break;
    case PORT_TURN_ENDED: call(s); break;
    case PORT_DRAINED:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TERMINATE: break;
    }
    for (unsigned i = 0; i < 16 && s->ends_count > 0; i++) {
        meddle(s, &s->ends[s->ends_count - 1
                           - rng_below(&s->chance,
                                       s->ends_count < 2 * AT_ONCE ? s->ends_count : 2 * AT_ONCE)]);
    }
    if (s->calls == CALLS) { /* the last ones are closed, so that it ends */
        for (unsigned i = 0; i < s->ends_count; i++) {
            if (s->ends[i].live) {
                port_close(s->ends[i].conn);
            }
        }
        if (s->ended == s->ends_count) {
            port_stop(s->port);
        }
    }
}

TEST("in a storm of connections every one that was announced ends exactly once, and every byte is "
     "right")
{
    static struct storm s;
    struct port_why why;
    uint64_t seed = 20261123;
    s.chance = rng_from_seed(seed);
    s.options = (struct port_listen_options){.receive_cap = 1500,
                                             .send_cap = 3000,
                                             .handshakes_max = 10,
                                             .connections_max = AT_ONCE / 2,
                                             .handshake_ms = 20000};
    s.port = port_open(on_event, &s);
    s.deadline = port_wake_new(s.port, &s.late);
    s.beat = port_wake_new(s.port, &s.beat);
    port_wake_at(s.beat, port_now_ms(s.port));
    REQUIRE(port_listen(s.port, "127.0.0.1:0", NULL, &s.options, NULL, &s.listener, &why)
            == PORT_OK);
    (void)snprintf(s.address, sizeof s.address, "127.0.0.1:%u", port_listener_port(s.listener));
    port_wake_at(s.deadline, port_now_ms(s.port) + PATIENCE_MS);
    do { /* the backlog may still hold some in the turn that seemed to be the last */
        port_run(s.port);
    } while (!s.late && s.ended != s.ends_count);
    CHECK(!s.late);
    CHECK_U64(s.calls, CALLS);
    CHECK_U64(s.ended, s.ends_count);
    CHECK(s.ends_count > CALLS); /* accepted ones among them */
    port_close_all(s.port);
}
