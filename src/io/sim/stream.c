/*
 * Bytes between two ends: what one sends arrives at the other as segments, in order, after the
 * link's delay. Obeys port.h as io/posix does: a turn's output leaves at its end, a closing event
 * comes once and in a later turn.
 */
#include "io/sim/net_inside.h"

#include <stdlib.h>
#include <string.h>

enum { FLUSH_US = 5000000 /* limit for sending what is left after port_close */ };

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

void net_send(struct port_conn *to,
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
    uint64_t at_us = world->now_us + extra_us + net_travel_to_us(to);
    to->arrives_us = at_us > to->arrives_us ? at_us : to->arrives_us;
    sim_happen(to->port, to->arrives_us - world->now_us, SIM_NET, to->id, NET_ARRIVE);
}

void net_reset_peer(struct port_conn *conn)
{
    struct port_conn *peer = net_conn(conn->port->world, conn->peer);
    if (peer != NULL) {
        net_send(peer, SEGMENT_RESET, NULL, 0, 0);
    }
}

void net_end(struct port_conn *conn, enum port_close_reason reason, const char *detail)
{
    if (conn->stage == CONN_ENDED) {
        return;
    }
    if (conn->stage < CONN_UP && reason != PORT_CLOSE_RESET && reason != PORT_CLOSE_TLS) {
        net_reset_peer(conn); /* given up half-way: the other end may be up already */
    }
    conn->stage = CONN_ENDED;
    conn->reason = reason;
    conn->detail = detail;
    net_shaking_ends(conn);
    sim_happen(conn->port, NET_LATER_US, SIM_NET, conn->id, NET_END);
}

bool net_has_processes(const struct machine *machine)
{
    const struct port *port = machine->ports;
    while (port != NULL && port->dead) {
        port = port->next;
    }
    return port != NULL;
}

/* The other end went without a word: whoever is there now answers with a reset. */
static void send_into_nothing(struct port_conn *conn)
{
    struct sim_world *world = conn->port->world;
    if (!conn->saw_end && net_has_processes(conn->there)
        && !net_link(world, conn->port->machine, conn->there)->cut) {
        net_send(conn, SEGMENT_RESET, NULL, 0,
                 net_travel_us(world, conn->port->machine, conn->there));
    }
    conn->out.len = 0;
}

static void tap(const struct port_conn *receiver, bool arrives, struct slice bytes)
{
    const struct sim_world *world = receiver->port->world;
    if (world->tap == NULL) {
        return;
    }
    struct sim_passing passing = {
        .from = receiver->there->name,
        .to = receiver->port->machine->name,
        .connection = receiver->accepted ? receiver->peer : receiver->id,
        .server_port = receiver->accepted ? receiver->listener_port : receiver->to_port,
        .by_client = receiver->accepted,
        .arrives = arrives,
        .bytes = bytes,
    };
    world->tap(world->tap_context, &passing);
}

void net_flush(struct port_conn *conn)
{
    struct port_conn *peer = net_conn(conn->port->world, conn->peer);
    if (conn->out.len > 0 && peer == NULL) {
        send_into_nothing(conn);
    } else if (conn->out.len > 0) {
        size_t taken = peer->in.len + peer->flight;
        size_t room = peer->receive_cap > taken ? peer->receive_cap - taken : 0;
        size_t len = conn->out.len < room ? conn->out.len : room;
        if (len > 0) {
            tap(peer, false, slice_of(conn->out.at + conn->out.head, len));
            net_send(peer, SEGMENT_DATA, conn->out.at + conn->out.head, len, 0);
            drop_bytes(&conn->out, len);
        }
        conn->starved = conn->out.len > 0;
    }
    if (conn->stage == CONN_CLOSING && conn->out.len == 0) {
        if (peer != NULL) {
            net_send(peer, SEGMENT_END, NULL, 0, 0);
        }
        net_end(conn, conn->reason, conn->detail);
    } else if (conn->refused_send && conn->out.len <= conn->send_cap / 2) {
        conn->refused_send = false;
        conn->drained_due = true;
        sim_happen(conn->port, NET_LATER_US, SIM_NET, conn->id, NET_READY);
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
        struct port_conn *conn = net_conn(port->world, port->dirty[i]);
        if (conn != NULL) {
            conn->dirty = false;
            if (conn->stage == CONN_UP || conn->stage == CONN_CLOSING) {
                net_flush(conn);
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
    struct port_conn *peer = net_conn(conn->port->world, conn->peer);
    drop_bytes(&conn->in, len);
    if (len > 0 && peer != NULL && peer->starved) {
        uint64_t back_us =
            net_travel_us(conn->port->world, conn->port->machine, peer->port->machine);
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
        sim_happen(conn->port, NET_LATER_US, SIM_NET, conn->id, NET_READY);
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
        net_end(conn, PORT_CLOSE_LOCAL, "closed here");
    }
}

void port_abort(struct port_conn *conn)
{
    if (conn->stage < CONN_ENDED) {
        if (conn->stage >= CONN_UP) {
            net_reset_peer(conn);
        }
        conn->out.len = 0;
        net_end(conn, PORT_CLOSE_LOCAL, "aborted here");
    }
}

static void come_up(struct port_conn *conn)
{
    net_shaking_ends(conn);
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
        tap(conn, true, slice_of(segment->bytes, segment->len));
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
    case SEGMENT_RESET: net_end(conn, PORT_CLOSE_RESET, "reset by the peer"); return;
    case SEGMENT_ALERT: net_end(conn, PORT_CLOSE_TLS, conn->detail); return;
    }
    UNREACHABLE();
}

void net_arrive(struct port_conn *conn)
{
    if (net_link_to(conn)->cut) {
        conn->held++;
        return;
    }
    struct segment *segment = net_take_segment(conn);
    if (segment != NULL) {
        take(conn, segment);
        free(segment);
    }
}

void net_ready(struct port_conn *conn)
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
