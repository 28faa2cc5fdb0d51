/* The simulated network and clock: what roles are told, on both ends, when links and machines fail.
 */
#include "io/sim/sim.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { CONNS_MAX = 64 };

/* A process that listens or calls, echoes what it gets or keeps it. */
struct node {
    struct sim_world *world;
    struct port *port;
    bool echoes, keeps;
    unsigned seen[PORT_TURN_ENDED + 1];
    struct port_conn *conn; /* the newest */
    enum port_close_reason reason;
    char detail[80];
    uint8_t got[4096];
    size_t got_len;
    struct port_peer peer;
    struct port_listener *listener;
    struct port_tls *tls;
};

static void on_received(struct node *n, const struct port_event *ev)
{
    struct slice bytes = ev->received.bytes;
    if (n->keeps) {
        n->got_len = bytes.len;
        return;
    }
    if (n->echoes) {
        CHECK(port_send(ev->conn, bytes));
    } else if (n->got_len + bytes.len <= sizeof n->got) {
        memcpy(n->got + n->got_len, bytes.at, bytes.len);
        n->got_len += bytes.len;
    }
    port_consume(ev->conn, bytes.len);
}

static void on_event(void *role, const struct port_event *ev)
{
    struct node *n = role;
    n->seen[ev->kind]++;
    switch (ev->kind) {
    case PORT_ACCEPTED:
    case PORT_CONNECTED:
        n->conn = ev->conn;
        port_conn_peer(ev->conn, &n->peer);
        break;
    case PORT_RECEIVED: on_received(n, ev); break;
    case PORT_CLOSED:
    case PORT_REFUSED:
        n->reason = ev->closed.reason;
        (void)snprintf(n->detail, sizeof n->detail, "%s", ev->closed.detail);
        break;
    case PORT_DRAINED:
    case PORT_WOKE:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TERMINATE:
    case PORT_TURN_ENDED: break;
    }
}

static struct port_listen_options usual(void)
{
    return (struct port_listen_options){.receive_cap = 1000,
                                        .send_cap = 2000,
                                        .handshakes_max = 10,
                                        .connections_max = 10,
                                        .handshake_ms = 1000};
}

static void start(struct node *n, struct sim_world *world, const char *machine)
{
    struct port_tls *tls = n->tls;
    *n = (struct node){.world = world, .tls = tls};
    n->port = sim_start(world, machine, on_event, n);
}

static void listen_on(struct node *n, const char *address)
{
    struct port_listen_options options = usual();
    struct port_why why = {""};
    CHECK(port_listen(n->port, address, n->tls, &options, n, &n->listener, &why) == PORT_OK);
}

static void call(struct node *n, const char *address)
{
    struct port_listen_options options = usual();
    struct port_why why = {""};
    CHECK(port_connect(n->port, address, "server", n->tls, &options, n, &n->conn, &why) == PORT_OK);
}

static struct node server;
static struct node client;

/* A world with both up and connected. */
static struct sim_world *connected(uint64_t seed)
{
    struct sim_world *world = sim_open(seed);
    server.tls = NULL;
    client.tls = NULL;
    start(&server, world, "gw");
    start(&client, world, "dev");
    listen_on(&server, "0.0.0.0:8883");
    call(&client, "gw:8883");
    sim_run_for(world, 10);
    CHECK_U64(server.seen[PORT_ACCEPTED], 1);
    CHECK_U64(client.seen[PORT_CONNECTED], 1);
    return world;
}

TEST("bytes go from machine to machine and back, in the link's time, and both ends close in order")
{
    struct sim_world *world = connected(1);
    server.echoes = true;
    sim_set_link(world, "dev", "gw", 5000, 0);
    CHECK(port_send(client.conn, slice_text("hello")));
    sim_run_for(world, 4);
    CHECK_U64(server.seen[PORT_RECEIVED], 0);
    sim_run_for(world, 2);
    CHECK(client.got_len == 5 && memcmp(client.got, "hello", 5) == 0);
    CHECK(port_send(client.conn, slice_text("last")));
    port_close(client.conn);
    CHECK(!port_send(client.conn, slice_text("late")));
    sim_run_for(world, 20);
    CHECK_U64(server.seen[PORT_RECEIVED], 2);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_LOCAL);
    CHECK(server.seen[PORT_CLOSED] == 1 && server.reason == PORT_CLOSE_PEER);
    sim_close(world);
}

TEST("a local socket is reached on its own machine only")
{
    struct sim_world *world = sim_open(1);
    server.tls = client.tls = NULL;
    start(&server, world, "gw");
    start(&client, world, "gw");
    listen_on(&server, "unix:/run/s");
    call(&client, "unix:/run/s");
    sim_run_for(world, 5);
    CHECK_U64(client.seen[PORT_CONNECTED], 1);
    CHECK(server.peer.local_uid != UINT32_MAX && strcmp(server.peer.address, "local") == 0);
    start(&client, world, "dev");
    call(&client, "unix:/run/s");
    sim_run_for(world, 5);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_UNREACHABLE);
    sim_close(world);
}

TEST("a full send buffer takes nothing, drains when the peer consumes, and loses nothing")
{
    struct sim_world *world = connected(1);
    static uint8_t some[2000];
    memset(some, 'a', sizeof some);
    server.keeps = true;
    CHECK(port_send(client.conn, slice_of(some, sizeof some)));
    sim_run_for(world, 10);
    CHECK_U64(server.got_len, 1000);
    CHECK(!port_send(client.conn, slice_of(some, 1001)));
    sim_run_for(world, 10);
    CHECK_U64(client.seen[PORT_DRAINED], 1);
    CHECK(port_send(client.conn, slice_of(some, 1000)));
    CHECK(!port_send(client.conn, slice_of(some, 1)));
    port_consume(server.conn, 1000);
    sim_run_for(world, 10);
    CHECK_U64(client.seen[PORT_DRAINED], 2);
    port_consume(server.conn, 1000);
    sim_run_for(world, 10);
    CHECK_U64(server.got_len, 1000);
    sim_close(world);
}

TEST("a paused connection tells nothing, not even its end, until it is resumed")
{
    struct sim_world *world = connected(1);
    port_pause(server.conn);
    CHECK(port_send(client.conn, slice_text("abc")));
    port_close(client.conn);
    sim_run_for(world, 10);
    CHECK(client.seen[PORT_CLOSED] == 1 && server.seen[PORT_RECEIVED] == 0);
    CHECK_U64(server.seen[PORT_CLOSED], 0);
    port_resume(server.conn);
    sim_run_for(world, 10);
    CHECK(server.got_len == 3 && server.seen[PORT_CLOSED] == 1);
    sim_close(world);
}

TEST("what a cut link holds back arrives in order after it heals; the other direction works "
     "meanwhile")
{
    struct sim_world *world = connected(1);
    sim_cut_link(world, "dev", "gw");
    CHECK(port_send(client.conn, slice_text("ab")));
    sim_run_for(world, 5);
    CHECK(port_send(client.conn, slice_text("cd")));
    CHECK(port_send(server.conn, slice_text("x")));
    sim_run_for(world, 1000);
    CHECK_U64(server.got_len, 0);
    CHECK_U64(client.got_len, 1);
    sim_heal_link(world, "dev", "gw");
    CHECK(port_send(client.conn, slice_text("ef")));
    sim_run_for(world, 10);
    CHECK(server.got_len == 6 && memcmp(server.got, "abcdef", 6) == 0);
    sim_close(world);
}

TEST("a call over a cut link ends in a timeout, whichever direction is cut")
{
    static const char *const ways[][2] = {{"dev", "gw"}, {"gw", "dev"}};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct sim_world *world = connected(1);
        sim_cut_link(world, ways[i][0], ways[i][1]);
        struct node caller = {0};
        start(&caller, world, "dev");
        call(&caller, "gw:8883");
        sim_run_for(world, 990);
        CHECK_U64(caller.seen[PORT_CLOSED], 0);
        sim_run_for(world, 20);
        CHECK(caller.seen[PORT_CLOSED] == 1 && caller.reason == PORT_CLOSE_TIMEOUT);
        sim_heal_link(world, ways[i][0], ways[i][1]);
        sim_run_for(world, 100);
        CHECK_U64(caller.seen[PORT_CONNECTED], 0);
        CHECK_U64(server.seen[PORT_ACCEPTED] - server.seen[PORT_CLOSED], 1);
        sim_close(world);
    }
}

TEST("kill -9 resets the peer; a power cut says nothing until the peer sends")
{
    struct sim_world *world = connected(1);
    sim_kill(server.port);
    sim_run_for(world, 10);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_RESET);
    sim_close(world);
    world = connected(2);
    sim_power_cut(world, "gw");
    sim_run_for(world, 100000);
    CHECK_U64(client.seen[PORT_CLOSED], 0);
    start(&server, world, "gw");
    sim_run_for(world, 1000);
    CHECK_U64(client.seen[PORT_CLOSED], 0);
    CHECK(port_send(client.conn, slice_text("x")));
    sim_run_for(world, 10);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_RESET);
    call(&client, "gw:8883"); /* nobody listens there now */
    sim_run_for(world, 10);
    CHECK(client.seen[PORT_CLOSED] == 2 && client.reason == PORT_CLOSE_UNREACHABLE);
    sim_close(world);
}

TEST("a half-open connection is gone at one end, and the other finds out when it sends")
{
    struct sim_world *world = connected(1);
    sim_half_open(world, "gw", "dev");
    sim_run_for(world, 100000);
    CHECK(server.seen[PORT_CLOSED] == 1 && client.seen[PORT_CLOSED] == 0);
    CHECK(port_send(client.conn, slice_text("x")));
    sim_run_for(world, 10);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_RESET);
    sim_close(world);
}

TEST("a reset link ends both ends")
{
    struct sim_world *world = connected(1);
    sim_reset_link(world, "gw", "dev");
    sim_run_for(world, 1);
    CHECK(client.seen[PORT_CLOSED] == 1 && client.reason == PORT_CLOSE_RESET);
    CHECK(server.seen[PORT_CLOSED] == 1 && server.reason == PORT_CLOSE_RESET);
    sim_close(world);
}

/* ---- the same seed, the same world ---- */

static uint64_t busy_world(uint64_t seed)
{
    static struct node nodes[20];
    struct sim_world *world = sim_open(seed);
    server.tls = NULL;
    start(&server, world, "gw");
    server.echoes = true;
    listen_on(&server, "gw:1"); /* its own name means itself */
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "d%zu", i);
        start(&nodes[i], world, name);
        sim_set_link(world, name, "gw", 100, 900);
        call(&nodes[i], "gw:1");
    }
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT_OF(nodes); i++) {
            if (nodes[i].seen[PORT_CONNECTED] > nodes[i].seen[PORT_CLOSED]) {
                (void)port_send(nodes[i].conn, slice_text("some telemetry"));
            }
        }
        sim_run_for(world, 3);
        if (round == 10) {
            sim_reset_link(world, "d1", "gw");
        }
    }
    uint64_t hash = sim_hash(world);
    CHECK(sim_turns(world) > 100);
    CHECK_U64(server.seen[PORT_ACCEPTED],
              11); /* connections_max, and one in place of the reset one */
    sim_close(world);
    return hash;
}

/* Written down, so that every compiler and every optimisation must agree. Changes with the order of
 * events. */
static const uint64_t hash_of_seed_7 = UINT64_C(258285769920756343);

TEST("the same seed gives the same events with every compiler, another seed gives others")
{
    uint64_t hash = busy_world(7);
    CHECK_U64(hash, hash_of_seed_7);
    CHECK_U64(busy_world(7), hash);
    CHECK(busy_world(8) != hash);
}

TEST("clocks: virtual time jumps to what happens, wall clocks are wrong as asked, a power cut "
     "starts anew")
{
    struct sim_world *world = sim_open(1);
    start(&client, world, "dev");
    struct port_wake *wake = port_wake_new(client.port, &client);
    enum time_quality quality = TIME_UNKNOWN;
    int64_t before_ms = port_wall_ms(client.port, &quality);
    CHECK(quality == TIME_SYNCED);
    port_wake_at(wake, port_now_ms(client.port) + 7 * 24 * 3600 * UINT64_C(1000));
    sim_run_for(world, 7 * 24 * 3600 * UINT64_C(1000));
    CHECK_U64(client.seen[PORT_WOKE], 1);
    sim_set_clock(world, "dev", -before_ms, TIME_UNKNOWN);
    CHECK(port_wall_ms(client.port, &quality) == 7 * 24 * 3600 * INT64_C(1000));
    CHECK(quality == TIME_UNKNOWN);
    sim_power_cut(world, "dev");
    start(&client, world, "dev");
    CHECK_U64(port_now_ms(client.port), 0);
    sim_close(world);
}

static void stop_at_wake(void *role, const struct port_event *ev)
{
    struct port **port = role;
    if (ev->kind == PORT_WOKE) {
        port_stop(*port);
    }
}

TEST("a program that knows only port.h runs in a world of its own")
{
    struct port *port = NULL;
    port = port_open(stop_at_wake, &port);
    port_wake_at(port_wake_new(port, NULL), port_now_ms(port) + 3600 * UINT64_C(1000));
    port_run(port);
    CHECK_U64(port_now_ms(port), 3600 * 1000);
    port_close_all(port);
}

/* ---- who watches ---- */

struct tapped {
    unsigned left, arrived;
    uint64_t connection;
    bool is_whole;
};

static void on_passing(void *context, const struct sim_passing *passing)
{
    struct tapped *t = context;
    *(passing->arrives ? &t->arrived : &t->left) += 1;
    t->is_whole = passing->by_client && strcmp(passing->from, "dev") == 0
                  && strcmp(passing->to, "gw") == 0 && passing->server_port == 8883
                  && slice_is_text(passing->bytes, "word")
                  && (t->connection == 0 || t->connection == passing->connection);
    t->connection = passing->connection;
}

TEST("a tap sees what leaves and what arrives, and a cut link lets nothing arrive")
{
    struct tapped seen = {0};
    struct sim_world *world = connected(1);
    sim_tap(world, on_passing, &seen);
    sim_cut_link(world, "dev", "gw");
    CHECK(port_send(client.conn, slice_text("word")));
    sim_run_for(world, 10);
    CHECK(seen.left == 1 && seen.arrived == 0 && seen.is_whole);
    sim_heal_link(world, "dev", "gw");
    sim_run_for(world, 10);
    CHECK(seen.left == 1 && seen.arrived == 1 && seen.is_whole);
    sim_close(world);
}

static void count(void *context)
{
    ++*(unsigned *)context;
}

TEST("the end of a process is told once, after its turn")
{
    unsigned told = 0;
    struct sim_world *world = connected(1);
    sim_on_end(world, count, &told);
    sim_run_for(world, 10);
    CHECK_U64(told, 0);
    port_stop(client.port);
    sim_terminate_process(server.port);
    sim_run_for(world, 10);
    CHECK_U64(server.seen[PORT_TERMINATE], 1);
    CHECK_U64(told, 1);
    sim_close(world);
}
