/*
 * The network: links between machines, and the ends of connections by number, for an end may be
 * gone when something happens to it. stream.c carries bytes between two ends, call.c brings them
 * together.
 */
#include "io/sim/net_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINK_US = 100, LOOPBACK_US = 20 };

struct sim_net *net_new(void)
{
    struct sim_net *net = sim_alloc(sizeof *net);
    net->next_port = NET_FIRST_FREE_PORT;
    return net;
}

void net_free(struct sim_net *net)
{
    for (size_t i = 0; i < net->links_cap; i++) {
        free(net->links[i]);
    }
    free(net->links);
    slots_free(&net->conns);
    free(net);
}

/* ---- links ---- */

/* Where the link is, or where it belongs. */
static struct link **link_place(const struct sim_net *net,
                                const struct machine *from,
                                const struct machine *to)
{
    size_t at = (size_t)sim_mix(from->number, to->number) & (net->links_cap - 1);
    while (net->links[at] != NULL && (net->links[at]->from != from || net->links[at]->to != to)) {
        at = (at + 1) & (net->links_cap - 1);
    }
    return &net->links[at];
}

static void links_grow(struct sim_net *net)
{
    struct sim_net old = *net;
    net->links_cap = old.links_cap == 0 ? 64 : old.links_cap * 2;
    net->links = sim_alloc(net->links_cap * sizeof(struct link *));
    for (size_t i = 0; i < old.links_cap; i++) {
        if (old.links[i] != NULL) {
            *link_place(net, old.links[i]->from, old.links[i]->to) = old.links[i];
        }
    }
    free(old.links);
}

struct link *net_link(struct sim_world *world, const struct machine *from, const struct machine *to)
{
    struct sim_net *net = world->net;
    if ((net->links_count + 1) * 2 > net->links_cap) {
        links_grow(net);
    }
    struct link **place = link_place(net, from, to);
    if (*place == NULL) {
        *place = sim_alloc(sizeof(struct link));
        **place =
            (struct link){.from = from, .to = to, .delay_us = from == to ? LOOPBACK_US : LINK_US};
        net->links_count++;
    }
    return *place;
}

static uint64_t travel_us(struct sim_world *world, const struct link *link)
{
    return link->delay_us + (link->jitter_us > 0 ? rng_below(&world->chance, link->jitter_us) : 0);
}

uint64_t net_travel_us(struct sim_world *world,
                       const struct machine *from,
                       const struct machine *to)
{
    return travel_us(world, net_link(world, from, to));
}

struct link *net_link_to(struct port_conn *conn)
{
    if (conn->inward == NULL) {
        conn->inward = net_link(conn->port->world, conn->there, conn->port->machine);
    }
    return conn->inward;
}

uint64_t net_travel_to_us(struct port_conn *conn)
{
    return travel_us(conn->port->world, net_link_to(conn));
}

void sim_set_link(struct sim_world *world,
                  const char *from,
                  const char *to,
                  uint64_t delay_us,
                  uint64_t jitter_us)
{
    struct link *link = net_link(world, sim_machine(world, from), sim_machine(world, to));
    link->delay_us = delay_us;
    link->jitter_us = jitter_us;
}

void sim_cut_link(struct sim_world *world, const char *from, const char *to)
{
    net_link(world, sim_machine(world, from), sim_machine(world, to))->cut = true;
}

void sim_heal_link(struct sim_world *world, const char *from, const char *to)
{
    struct link *link = net_link(world, sim_machine(world, from), sim_machine(world, to));
    link->cut = false;
    for (struct port *port = link->from->ports; port != NULL; port = port->next) {
        for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
            if (conn->call_held && conn->there == link->to) {
                conn->call_held = false;
                sim_happen(port, net_travel_us(world, link->from, link->to), SIM_NET, conn->id,
                           NET_CALL);
            }
        }
    }
    for (struct port *port = link->to->ports; port != NULL; port = port->next) {
        for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
            for (; conn->there == link->from && conn->held > 0; conn->held--) {
                sim_happen(port, link->delay_us, SIM_NET, conn->id, NET_ARRIVE);
            }
        }
    }
}

/* ---- connections by number ---- */

struct port_conn *net_conn(struct sim_world *world, uint64_t id)
{
    return slots_find(&world->net->conns, id);
}

struct port_conn *net_conn_new(struct port *port, const struct port_listen_options *options)
{
    struct port_conn *conn = sim_alloc(sizeof *conn);
    conn->port = port;
    conn->receive_cap = options->receive_cap;
    conn->send_cap = options->send_cap;
    conn->arriving_end = &conn->arriving;
    conn->peer_facts.local_uid = UINT32_MAX;
    conn->next = port->conns;
    conn->link = &port->conns;
    if (conn->next != NULL) {
        conn->next->link = &conn->next;
    }
    port->conns = conn;
    conn->id = slots_add(&port->world->net->conns, conn);
    return conn;
}

struct segment *net_take_segment(struct port_conn *conn)
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

void net_shaking_ends(struct port_conn *conn)
{
    if (conn->shaking && conn->listener != NULL) {
        conn->listener->handshakes--;
        net_has_room(conn->listener);
    }
    conn->shaking = false;
}

static void conn_free(struct port_conn *conn)
{
    *conn->link = conn->next;
    if (conn->next != NULL) {
        conn->next->link = conn->link;
    }
    net_shaking_ends(conn);
    if (conn->listener != NULL) {
        conn->listener->connections--;
        net_has_room(conn->listener);
    }
    for (struct segment *s = net_take_segment(conn); s != NULL; s = net_take_segment(conn)) {
        free(s);
    }
    slots_remove(&conn->port->world->net->conns, conn->id);
    port_tls_free(conn->tls);
    free(conn->in.at);
    free(conn->out.at);
    free(conn->peer_der);
    free(conn);
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

static void deadline(struct port_conn *conn)
{
    if (conn->stage < CONN_UP) {
        net_end(conn, PORT_CLOSE_TIMEOUT, "no connection in time");
    } else if (conn->stage == CONN_CLOSING) {
        net_end(conn, conn->reason, "closed with bytes unsent");
    }
}

void net_happened(struct port *port, const struct happening *what)
{
    struct port_conn *conn = net_conn(port->world, what->object);
    if (conn == NULL) {
        return;
    }
    switch ((enum what)what->detail) {
    case NET_CALL: net_call(conn); return;
    case NET_REFUSED:
        net_end(conn,
                conn->tls != NULL && conn->peer_facts.address[0] != '\0' ? PORT_CLOSE_TLS
                                                                         : PORT_CLOSE_UNREACHABLE,
                conn->detail);
        return;
    case NET_ARRIVE: net_arrive(conn); return;
    case NET_DEADLINE: deadline(conn); return;
    case NET_END: tell_end(conn); return;
    case NET_READY: net_ready(conn); return;
    case NET_FLUSH:
        if (conn->stage == CONN_UP || conn->stage == CONN_CLOSING) {
            net_flush(conn);
        }
        return;
    }
    UNREACHABLE();
}

/* ---- the end of a process, of a link ---- */

/* Whoever is at the other end is reset, unless the power went; no event can find these ends any
 * more. */
void net_die(struct port *port)
{
    for (struct port_listener *l = port->listeners; l != NULL; l = l->next) {
        net_turn_away(l);
    }
    for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
        if (!port->world->is_silent) {
            net_reset_peer(conn);
        }
        slots_remove(&port->world->net->conns, conn->id);
        conn->id = 0;
        conn->peer = 0;
        conn->stage = CONN_ENDED;
    }
}

void net_close_all(struct port *port)
{
    while (port->listeners != NULL) {
        port_listener_close(port->listeners);
    }
    while (port->conns != NULL) {
        conn_free(port->conns);
    }
}

static void end_conns(const struct machine *here, const struct machine *there)
{
    for (struct port *port = here->ports; port != NULL; port = port->next) {
        for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
            if (conn->there == there && conn->stage >= CONN_SHAKING) {
                net_end(conn, PORT_CLOSE_RESET, "the link broke");
            }
        }
    }
}

void sim_reset_link(struct sim_world *world, const char *a, const char *b)
{
    end_conns(sim_machine(world, a), sim_machine(world, b));
    end_conns(sim_machine(world, b), sim_machine(world, a));
}

void sim_half_open(struct sim_world *world, const char *here, const char *there)
{
    end_conns(sim_machine(world, here), sim_machine(world, there));
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
