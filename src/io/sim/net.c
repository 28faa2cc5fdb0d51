/*
 * The network: what one end sends arrives at the other as segments, in order, after the link's
 * delay. Both ends obey port.h as io/posix does: a turn's output leaves at its end, a closing event
 * comes once and in a later turn.
 */
#include "io/sim/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINK_US = 100,
    LOOPBACK_US = 20,
    LATER_US = 1,       /* a turn of its own */
    BACKLOG_US = 1000,  /* how soon a caller in the backlog is looked at again */
    FLUSH_US = 5000000, /* limit for sending what is left after port_close */
    FIRST_FREE_PORT = 40000,
    LOCAL_UID = 1000
};

enum what { NET_CALL, NET_REFUSED, NET_ARRIVE, NET_DEADLINE, NET_END, NET_READY, NET_FLUSH };

struct link {
    struct link *next;
    const struct machine *from, *to;
    uint64_t delay_us, jitter_us;
    bool cut;
};

struct slot {
    struct port_conn *conn;
    uint64_t id;
};

struct sim_net {
    struct link *links;
    struct slot *slots; /* a connection by id: index in the low 24 bits, above them a count */
    size_t slots_count, slots_cap;
    uint64_t generation;
    uint16_t next_port;
};

struct sim_net *net_new(void)
{
    struct sim_net *net = sim_alloc(sizeof *net);
    net->next_port = FIRST_FREE_PORT;
    return net;
}

void net_free(struct sim_net *net)
{
    while (net->links != NULL) {
        struct link *link = net->links;
        net->links = link->next;
        free(link);
    }
    free(net->slots);
    free(net);
}

/* ---- links ---- */

static struct link *link_of(struct sim_world *world,
                            const struct machine *from,
                            const struct machine *to)
{
    struct link *link = world->net->links;
    while (link != NULL && (link->from != from || link->to != to)) {
        link = link->next;
    }
    if (link == NULL) {
        link = sim_alloc(sizeof *link);
        *link = (struct link){.next = world->net->links,
                              .from = from,
                              .to = to,
                              .delay_us = from == to ? LOOPBACK_US : LINK_US};
        world->net->links = link;
    }
    return link;
}

static uint64_t travel_us(struct sim_world *world,
                          const struct machine *from,
                          const struct machine *to)
{
    const struct link *link = link_of(world, from, to);
    return link->delay_us + (link->jitter_us > 0 ? rng_below(&world->chance, link->jitter_us) : 0);
}

void sim_set_link(struct sim_world *world,
                  const char *from,
                  const char *to,
                  uint64_t delay_us,
                  uint64_t jitter_us)
{
    struct link *link = link_of(world, sim_machine(world, from), sim_machine(world, to));
    link->delay_us = delay_us;
    link->jitter_us = jitter_us;
}

void sim_cut_link(struct sim_world *world, const char *from, const char *to)
{
    link_of(world, sim_machine(world, from), sim_machine(world, to))->cut = true;
}

void sim_heal_link(struct sim_world *world, const char *from, const char *to)
{
    struct link *link = link_of(world, sim_machine(world, from), sim_machine(world, to));
    link->cut = false;
    for (struct port *port = world->ports; port != NULL; port = port->next) {
        for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
            if (conn->call_held && port->machine == link->from && conn->there == link->to) {
                conn->call_held = false;
                sim_happen(port, travel_us(world, link->from, link->to), SIM_NET, conn->id,
                           NET_CALL);
            }
            if (port->machine == link->to && conn->there == link->from) {
                for (; conn->held > 0; conn->held--) {
                    sim_happen(port, link->delay_us, SIM_NET, conn->id, NET_ARRIVE);
                }
            }
        }
    }
}

/* ---- connections by number ---- */

static struct port_conn *conn_of(struct sim_world *world, uint64_t id)
{
    size_t index = (size_t)(id & 0xffffff);
    return index < world->net->slots_count && world->net->slots[index].id == id
               ? world->net->slots[index].conn
               : NULL;
}

static void conn_register(struct sim_net *net, struct port_conn *conn)
{
    size_t index = 1; /* no id is zero */
    while (index < net->slots_count && net->slots[index].conn != NULL) {
        index++;
    }
    if (index >= net->slots_cap) {
        net->slots_cap = net->slots_cap == 0 ? 64 : net->slots_cap * 2;
        net->slots = realloc(net->slots, net->slots_cap * sizeof *net->slots);
        INVARIANT(net->slots != NULL);
    }
    while (net->slots_count <= index) {
        net->slots[net->slots_count++] = (struct slot){0};
    }
    conn->id = ++net->generation << 24 | index;
    net->slots[index] = (struct slot){.conn = conn, .id = conn->id};
}

static struct port_conn *conn_new(struct port *port, const struct port_listen_options *options)
{
    struct port_conn *conn = sim_alloc(sizeof *conn);
    conn->port = port;
    conn->receive_cap = options->receive_cap;
    conn->send_cap = options->send_cap;
    conn->arriving_end = &conn->arriving;
    conn->peer_facts.local_uid = UINT32_MAX;
    conn->next = port->conns;
    port->conns = conn;
    conn_register(port->world->net, conn);
    return conn;
}

static struct segment *take_segment(struct port_conn *conn)
{
    struct segment *segment = conn->arriving;
    if (segment != NULL) {
        conn->arriving = segment->next;
        if (conn->arriving == NULL) {
            conn->arriving_end = &conn->arriving;
        }
    }
    return segment;
}

static void shaking_ends(struct port_conn *conn)
{
    if (conn->shaking && conn->listener != NULL) {
        conn->listener->handshakes--;
    }
    conn->shaking = false;
}

static void conn_free(struct port_conn *conn)
{
    struct port_conn **link = &conn->port->conns;
    while (*link != conn) {
        link = &(*link)->next;
    }
    *link = conn->next;
    shaking_ends(conn);
    if (conn->listener != NULL) {
        conn->listener->connections--;
    }
    for (struct segment *s = take_segment(conn); s != NULL; s = take_segment(conn)) {
        free(s);
    }
    conn->port->world->net->slots[conn->id & 0xffffff] = (struct slot){0};
    port_tls_free(conn->tls);
    free(conn->in.at);
    free(conn->out.at);
    free(conn->peer_der);
    free(conn);
}

/* ---- bytes ---- */

static void put_bytes(struct run_of_bytes *run, const uint8_t *at, size_t len)
{
    if (run->head > 0) {
        memmove(run->at, run->at + run->head, run->len);
        run->head = 0;
    }
    if (run->len + len > run->cap) {
        size_t cap = run->cap == 0 ? 256 : run->cap;
        while (cap < run->len + len) {
            cap *= 2;
        }
        run->at = realloc(run->at, cap);
        INVARIANT(run->at != NULL);
        run->cap = cap;
    }
    memcpy(run->at + run->len, at, len);
    run->len += len;
}

static void drop_bytes(struct run_of_bytes *run, size_t len)
{
    run->head += len;
    run->len -= len;
}

/* ---- sending ---- */

static void send_segment(struct port_conn *to,
                         enum segment_kind kind,
                         const uint8_t *bytes,
                         size_t len,
                         uint64_t extra_us)
{
    struct sim_world *world = to->port->world;
    struct segment *segment = sim_alloc(sizeof *segment + len);
    segment->kind = kind;
    segment->len = len;
    if (len > 0) {
        memcpy(segment->bytes, bytes, len);
    }
    *to->arriving_end = segment;
    to->arriving_end = &segment->next;
    to->flight += len;
    uint64_t at_us = world->now_us + extra_us + travel_us(world, to->there, to->port->machine);
    to->arrives_us = at_us > to->arrives_us ? at_us : to->arrives_us;
    sim_happen(to->port, to->arrives_us - world->now_us, SIM_NET, to->id, NET_ARRIVE);
}

static void reset_peer(struct port_conn *conn)
{
    struct port_conn *peer = conn_of(conn->port->world, conn->peer);
    if (peer != NULL) {
        send_segment(peer, SEGMENT_RESET, NULL, 0, 0);
    }
}

static void end(struct port_conn *conn, enum port_close_reason reason, const char *detail)
{
    if (conn->stage == CONN_ENDED) {
        return;
    }
    if (conn->stage < CONN_UP && reason != PORT_CLOSE_RESET && reason != PORT_CLOSE_TLS) {
        reset_peer(conn); /* given up half-way: the other end may be up already */
    }
    conn->stage = CONN_ENDED;
    conn->reason = reason;
    conn->detail = detail;
    shaking_ends(conn);
    sim_happen(conn->port, LATER_US, SIM_NET, conn->id, NET_END);
}

static bool has_processes(const struct sim_world *world, const struct machine *machine)
{
    for (const struct port *port = world->ports; port != NULL; port = port->next) {
        if (port->machine == machine) {
            return true;
        }
    }
    return false;
}

/* The other end went without a word: whoever is there now answers with a reset. */
static void send_into_nothing(struct port_conn *conn)
{
    struct sim_world *world = conn->port->world;
    if (!conn->saw_end && has_processes(world, conn->there)
        && !link_of(world, conn->port->machine, conn->there)->cut) {
        send_segment(conn, SEGMENT_RESET, NULL, 0,
                     travel_us(world, conn->port->machine, conn->there));
    }
    conn->out.len = 0;
}

static void flush(struct port_conn *conn)
{
    struct port_conn *peer = conn_of(conn->port->world, conn->peer);
    if (conn->out.len > 0 && peer == NULL) {
        send_into_nothing(conn);
    } else if (conn->out.len > 0) {
        size_t taken = peer->in.len + peer->flight;
        size_t room = peer->receive_cap > taken ? peer->receive_cap - taken : 0;
        size_t len = conn->out.len < room ? conn->out.len : room;
        if (len > 0) {
            send_segment(peer, SEGMENT_DATA, conn->out.at + conn->out.head, len, 0);
            drop_bytes(&conn->out, len);
        }
        conn->starved = conn->out.len > 0;
    }
    if (conn->stage == CONN_CLOSING && conn->out.len == 0) {
        if (peer != NULL) {
            send_segment(peer, SEGMENT_END, NULL, 0, 0);
        }
        end(conn, conn->reason, conn->detail);
    } else if (conn->refused_send && conn->out.len <= conn->send_cap / 2) {
        conn->refused_send = false;
        conn->drained_due = true;
        sim_happen(conn->port, LATER_US, SIM_NET, conn->id, NET_READY);
    }
}

static void make_dirty(struct port_conn *conn)
{
    struct port *port = conn->port;
    if (conn->dirty) {
        return;
    }
    conn->dirty = true;
    if (port->dirty_count == port->dirty_cap) {
        port->dirty_cap = port->dirty_cap == 0 ? 16 : port->dirty_cap * 2;
        port->dirty = realloc(port->dirty, port->dirty_cap * sizeof *port->dirty);
        INVARIANT(port->dirty != NULL);
    }
    port->dirty[port->dirty_count++] = conn->id;
    if (port->world->running != port) { /* outside an event: give it a turn to leave with */
        sim_happen(port, 0, SIM_TURN, 0, 0);
    }
}

void net_turn_ended(struct port *port)
{
    for (size_t i = 0; i < port->dirty_count; i++) {
        struct port_conn *conn = conn_of(port->world, port->dirty[i]);
        if (conn != NULL) {
            conn->dirty = false;
            if (conn->stage == CONN_UP || conn->stage == CONN_CLOSING) {
                flush(conn);
            }
        }
    }
    port->dirty_count = 0;
}

size_t port_send_room(const struct port_conn *conn)
{
    return conn->stage == CONN_UP ? conn->send_cap - conn->out.len : 0;
}

bool port_send(struct port_conn *conn, struct slice bytes)
{
    if (bytes.len > port_send_room(conn)) {
        conn->refused_send = true;
        make_dirty(conn);
        return false;
    }
    if (bytes.len > 0) {
        put_bytes(&conn->out, bytes.at, bytes.len);
        make_dirty(conn);
    }
    return conn->stage == CONN_UP;
}

/* ---- receiving ---- */

static void tell(struct port_conn *conn, enum port_event_kind kind)
{
    sim_tell(conn->port, &(struct port_event){.kind = kind, .user = conn->user, .conn = conn});
}

static void tell_received(struct port_conn *conn)
{
    struct slice bytes = slice_of(conn->in.at + conn->in.head, conn->in.len);
    sim_tell(conn->port, &(struct port_event){.kind = PORT_RECEIVED,
                                              .user = conn->user,
                                              .conn = conn,
                                              .received = {.bytes = bytes}});
}

void port_consume(struct port_conn *conn, size_t len)
{
    INVARIANT(len <= conn->in.len);
    struct port_conn *peer = conn_of(conn->port->world, conn->peer);
    drop_bytes(&conn->in, len);
    if (len > 0 && peer != NULL && peer->starved) {
        uint64_t back_us = travel_us(conn->port->world, conn->port->machine, peer->port->machine);
        sim_happen(peer->port, back_us, SIM_NET, peer->id, NET_FLUSH);
    }
}

void port_pause(struct port_conn *conn)
{
    conn->paused = true;
}

void port_resume(struct port_conn *conn)
{
    if (conn->paused) {
        conn->paused = false;
        conn->give = true;
        sim_happen(conn->port, LATER_US, SIM_NET, conn->id, NET_READY);
    }
}

static void begin_closing(struct port_conn *conn, enum port_close_reason reason, const char *detail)
{
    conn->stage = CONN_CLOSING;
    conn->reason = reason;
    conn->detail = detail;
    make_dirty(conn);
    sim_happen(conn->port, FLUSH_US, SIM_NET, conn->id, NET_DEADLINE);
}

void port_close(struct port_conn *conn)
{
    if (conn->stage == CONN_UP) {
        begin_closing(conn, PORT_CLOSE_LOCAL, "closed here");
    } else if (conn->stage < CONN_UP) {
        end(conn, PORT_CLOSE_LOCAL, "closed here");
    }
}

void port_abort(struct port_conn *conn)
{
    if (conn->stage < CONN_ENDED) {
        if (conn->stage >= CONN_UP) {
            reset_peer(conn);
        }
        conn->out.len = 0;
        end(conn, PORT_CLOSE_LOCAL, "aborted here");
    }
}

static void come_up(struct port_conn *conn)
{
    shaking_ends(conn);
    conn->stage = CONN_UP;
    conn->was_up = true;
    tell(conn, conn->accepted ? PORT_ACCEPTED : PORT_CONNECTED);
}

static void take(struct port_conn *conn, const struct segment *segment)
{
    switch (segment->kind) {
    case SEGMENT_UP:
        if (conn->stage < CONN_UP) {
            come_up(conn);
        }
        return;
    case SEGMENT_DATA:
        conn->flight -= segment->len;
        put_bytes(&conn->in, segment->bytes, segment->len);
        if (conn->stage == CONN_UP && !conn->paused) {
            tell_received(conn);
        }
        return;
    case SEGMENT_END:
        conn->saw_end = true;
        if (conn->stage == CONN_UP && !conn->paused) {
            begin_closing(conn, PORT_CLOSE_PEER, "closed by the peer");
        }
        return;
    case SEGMENT_RESET: end(conn, PORT_CLOSE_RESET, "reset by the peer"); return;
    }
    UNREACHABLE();
}

static void arrive(struct port_conn *conn)
{
    if (link_of(conn->port->world, conn->there, conn->port->machine)->cut) {
        conn->held++;
        return;
    }
    struct segment *segment = take_segment(conn);
    if (segment != NULL) {
        take(conn, segment);
        free(segment);
    }
}

static void ready(struct port_conn *conn)
{
    if (conn->drained_due && conn->stage == CONN_UP) {
        conn->drained_due = false;
        tell(conn, PORT_DRAINED);
    }
    if (conn->give && conn->stage == CONN_UP && !conn->paused) {
        conn->give = false;
        if (conn->in.len > 0) {
            tell_received(conn);
        }
        if (conn->saw_end && conn->stage == CONN_UP && !conn->paused) {
            begin_closing(conn, PORT_CLOSE_PEER, "closed by the peer");
        }
    }
}

static void tell_end(struct port_conn *conn)
{
    struct port_event ev = {
        .kind = conn->accepted && !conn->was_up ? PORT_REFUSED : PORT_CLOSED,
        .user = conn->user,
        .conn = conn,
        .closed = {.reason = conn->reason, .detail = conn->detail},
    };
    sim_tell(conn->port, &ev);
    conn_free(conn);
}

/* ---- calling ---- */

static struct port_listener *find_listener(const struct port_conn *conn)
{
    for (struct port *port = conn->port->world->ports; port != NULL; port = port->next) {
        for (struct port_listener *each = port->listeners; each != NULL; each = each->next) {
            bool fits = conn->is_local ? strcmp(each->path, conn->address + 5) == 0
                                       : each->path[0] == '\0' && each->tcp_port == conn->to_port;
            if (port->machine == conn->there && fits) {
                return each;
            }
        }
    }
    return NULL;
}

static void describe(struct port_conn *conn)
{
    if (conn->is_local) {
        memcpy(conn->peer_facts.address, "local", sizeof "local");
        conn->peer_facts.local_uid = conn->accepted ? LOCAL_UID : UINT32_MAX;
    } else {
        (void)snprintf(conn->peer_facts.address, sizeof conn->peer_facts.address, "%s:%u",
                       conn->there->name, conn->to_port);
    }
}

static void answer(struct port_conn *client, struct port_listener *listener)
{
    struct sim_world *world = client->port->world;
    struct port_conn *server = conn_new(listener->port, &listener->options);
    server->user = listener->user;
    server->listener = listener;
    server->there = client->port->machine;
    server->accepted = true;
    server->shaking = true;
    server->stage = CONN_SHAKING;
    server->is_local = client->is_local;
    server->to_port = world->net->next_port++;
    server->tls = listener->tls;
    listener->connections++;
    listener->handshakes++;
    if (listener->tls != NULL) {
        tls_hold(listener->tls);
    }
    describe(server);
    describe(client);
    server->peer = client->id;
    client->peer = server->id;
    struct handshake result = tls_shake(world, client, server);
    if (result.server_says != NULL) {
        end(server, PORT_CLOSE_TLS, result.server_says);
        client->detail = result.client_says;
        client->peer = 0;
        sim_happen(client->port, travel_us(world, client->there, client->port->machine), SIM_NET,
                   client->id, NET_REFUSED);
        return;
    }
    uint64_t there_and_back_us = client->tls == NULL ? 0 : 2 * LOOPBACK_US;
    send_segment(client, SEGMENT_UP, NULL, 0, there_and_back_us);
    send_segment(server, SEGMENT_UP, NULL, 0, there_and_back_us);
}

static void call(struct port_conn *client)
{
    struct sim_world *world = client->port->world;
    if (client->stage != CONN_CALLING) {
        return;
    }
    if (link_of(world, client->port->machine, client->there)->cut) {
        client->call_held = true;
        return;
    }
    struct port_listener *listener = find_listener(client);
    if (listener == NULL) {
        if (has_processes(world, client->there)) { /* without power nobody says no */
            client->detail = "connection refused";
            sim_happen(client->port, travel_us(world, client->there, client->port->machine),
                       SIM_NET, client->id, NET_REFUSED);
        }
    } else if (listener->connections >= listener->options.connections_max
               || listener->handshakes >= listener->options.handshakes_max) {
        sim_happen(client->port, BACKLOG_US, SIM_NET, client->id, NET_CALL);
    } else {
        answer(client, listener);
    }
}

/* "HOST:PORT", "[::1]:PORT" or "unix:PATH". */
static bool read_address(struct port *port,
                         const char *address,
                         struct machine **where,
                         uint16_t *number)
{
    char host[SIM_NAME_MAX];
    *where = port->machine;
    *number = 0;
    if (strncmp(address, "unix:", 5) == 0) {
        return address[5] != '\0';
    }
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || (size_t)(colon - address) >= sizeof host
        || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0') {
        return false;
    }
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    *number = (uint16_t)strtoul(colon + 1, NULL, 10);
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"};
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        if (strcmp(host, own[i]) == 0) {
            return true;
        }
    }
    *where = sim_machine(port->world, host);
    return true;
}

enum port_result port_connect(struct port *port,
                              const char *address,
                              const char *server_name,
                              struct port_tls *tls,
                              const struct port_listen_options *options,
                              void *user,
                              struct port_conn **out,
                              struct port_why *why)
{
    struct machine *there;
    uint16_t number;
    INVARIANT(tls == NULL || (!tls_is_server(tls) && server_name != NULL));
    if (!read_address(port, address, &there, &number) || strlen(address) >= sizeof(*out)->address) {
        sim_why(why, "%s: an address is HOST:PORT, [IPV6]:PORT or unix:PATH", address);
        return PORT_BAD;
    }
    struct port_conn *conn = conn_new(port, options);
    conn->user = user;
    conn->there = there;
    conn->to_port = number;
    conn->is_local = strncmp(address, "unix:", 5) == 0;
    conn->tls = tls;
    if (tls != NULL) {
        tls_hold(tls);
        (void)snprintf(conn->server_name, sizeof conn->server_name, "%s", server_name);
    }
    (void)snprintf(conn->address, sizeof conn->address, "%s", address);
    sim_happen(port, travel_us(port->world, port->machine, there), SIM_NET, conn->id, NET_CALL);
    sim_happen(port, options->handshake_ms * UINT64_C(1000), SIM_NET, conn->id, NET_DEADLINE);
    *out = conn;
    return PORT_OK;
}

static void deadline(struct port_conn *conn)
{
    if (conn->stage < CONN_UP) {
        end(conn, PORT_CLOSE_TIMEOUT, "no connection in time");
    } else if (conn->stage == CONN_CLOSING) {
        end(conn, conn->reason, "closed with bytes unsent");
    }
}

void net_happened(struct port *port, const struct happening *what)
{
    struct port_conn *conn = conn_of(port->world, what->object);
    if (conn == NULL) {
        return;
    }
    switch ((enum what)what->detail) {
    case NET_CALL: call(conn); return;
    case NET_REFUSED:
        end(conn,
            conn->tls != NULL && conn->peer_facts.address[0] != '\0' ? PORT_CLOSE_TLS
                                                                     : PORT_CLOSE_UNREACHABLE,
            conn->detail);
        return;
    case NET_ARRIVE: arrive(conn); return;
    case NET_DEADLINE: deadline(conn); return;
    case NET_END: tell_end(conn); return;
    case NET_READY: ready(conn); return;
    case NET_FLUSH:
        if (conn->stage == CONN_UP || conn->stage == CONN_CLOSING) {
            flush(conn);
        }
        return;
    }
    UNREACHABLE();
}

/* ---- listening ---- */

static bool is_taken(struct port *port, const char *path, uint16_t number)
{
    for (const struct port *each = port->world->ports; each != NULL; each = each->next) {
        for (const struct port_listener *l = each->listeners; l != NULL; l = l->next) {
            bool same = path != NULL ? strcmp(l->path, path) == 0
                                     : l->path[0] == '\0' && l->tcp_port == number;
            if (each->machine == port->machine && same) {
                return true;
            }
        }
    }
    return false;
}

enum port_result port_listen(struct port *port,
                             const char *address,
                             struct port_tls *tls,
                             const struct port_listen_options *options,
                             void *user,
                             struct port_listener **out,
                             struct port_why *why)
{
    struct machine *where;
    uint16_t number;
    INVARIANT(tls == NULL || tls_is_server(tls));
    const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
    if (!read_address(port, address, &where, &number) || strlen(address) >= SIM_PATH_MAX) {
        sim_why(why, "%s: an address is HOST:PORT, [IPV6]:PORT or unix:PATH", address);
        return PORT_BAD;
    }
    if (where != port->machine) {
        sim_why(why, "%s: not an address of this machine", address);
        return PORT_BAD;
    }
    if (path == NULL && number == 0) {
        number = port->world->net->next_port++;
    }
    if (is_taken(port, path, number)) {
        sim_why(why, "%s: address in use", address);
        return PORT_BUSY;
    }
    struct port_listener *listener = sim_alloc(sizeof *listener);
    *listener = (struct port_listener){.port = port,
                                       .next = port->listeners,
                                       .options = *options,
                                       .tls = tls,
                                       .user = user,
                                       .tcp_port = number};
    if (path != NULL) {
        (void)snprintf(listener->path, sizeof listener->path, "%s", path);
    }
    if (tls != NULL) {
        tls_hold(tls);
    }
    port->listeners = listener;
    *out = listener;
    return PORT_OK;
}

uint16_t port_listener_port(const struct port_listener *listener)
{
    return listener->tcp_port;
}

void port_listener_close(struct port_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    struct port_listener **link = &listener->port->listeners;
    while (*link != listener) {
        link = &(*link)->next;
    }
    *link = listener->next;
    for (struct port_conn *conn = listener->port->conns; conn != NULL; conn = conn->next) {
        conn->listener = conn->listener == listener ? NULL : conn->listener;
    }
    port_tls_free(listener->tls);
    free(listener);
}

/* ---- the end of a process, of a link ---- */

void net_close_all(struct port *port)
{
    while (port->listeners != NULL) {
        port_listener_close(port->listeners);
    }
    while (port->conns != NULL) {
        if (!port->world->is_silent) {
            reset_peer(port->conns);
        }
        conn_free(port->conns);
    }
}

void sim_reset_link(struct sim_world *world, const char *a, const char *b)
{
    const struct machine *one = sim_machine(world, a);
    const struct machine *other = sim_machine(world, b);
    for (struct port *port = world->ports; port != NULL; port = port->next) {
        for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
            bool between = (port->machine == one && conn->there == other)
                           || (port->machine == other && conn->there == one);
            if (between && conn->stage >= CONN_SHAKING) {
                end(conn, PORT_CLOSE_RESET, "the link broke");
            }
        }
    }
}

/* ---- who it is ---- */

void port_conn_set_user(struct port_conn *conn, void *user)
{
    conn->user = user;
}

void port_conn_peer(const struct port_conn *conn, struct port_peer *out)
{
    *out = conn->peer_facts;
}
