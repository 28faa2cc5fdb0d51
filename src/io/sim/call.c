/* Who calls whom: addresses, listeners with their limits, and how a call is answered. */
#include "io/sim/net_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHAKE_US = 40,   /* what the cryptography of a handshake takes */
    LOCAL_UID = 1000 /* one user on every machine */
};

/* ---- calling ---- */

uint32_t port_own_uid(const struct port *port)
{
    (void)port;
    return LOCAL_UID;
}

static struct port_listener *find_listener(const struct port_conn *conn)
{
    for (struct port *port = conn->there->ports; port != NULL; port = port->next) {
        for (struct port_listener *each = port->listeners; each != NULL; each = each->next) {
            bool fits = conn->is_local ? strcmp(each->path, conn->address + 5) == 0
                                       : each->path[0] == '\0' && each->tcp_port == conn->to_port;
            if (!port->dead && fits) {
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

/* One address for each machine: 10.x.y.z. */
static void source_of(const struct port_conn *client, uint8_t source[PORT_SOURCE_LEN])
{
    uint32_t number = client->port->machine->number;
    memset(source, 0, PORT_SOURCE_LEN);
    if (!client->is_local) {
        const uint8_t end[] = {
            0xff, 0xff, 10, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
        memcpy(source + PORT_SOURCE_LEN - sizeof end, end, sizeof end);
    }
}

static bool is_admitted(const struct port_conn *client, const struct port_listener *listener)
{
    struct port_peer peer = {.local_uid = UINT32_MAX, .since_ms = port_now_ms(listener->port)};
    (void)snprintf(peer.address, sizeof peer.address, "%s:%u", client->port->machine->name,
                   client->port->world->net->next_port);
    source_of(client, peer.source);
    return listener->options.admit == NULL
           || listener->options.admit(listener->port->role, listener->user, &peer);
}

/* Nobody answers, or somebody who wants nothing of us. */
static void refuse(struct port_conn *client, const char *detail)
{
    client->detail = detail;
    sim_happen(client->port,
               net_travel_us(client->port->world, client->there, client->port->machine), SIM_NET,
               client->id, NET_REFUSED);
}

static void answer(struct port_conn *client, struct port_listener *listener)
{
    struct sim_world *world = client->port->world;
    struct port_conn *server = net_conn_new(listener->port, &listener->options);
    server->user = listener->user;
    server->listener = listener;
    server->there = client->port->machine;
    server->accepted = true;
    server->shaking = true;
    server->stage = CONN_SHAKING;
    server->is_local = client->is_local;
    server->to_port = world->net->next_port++;
    server->listener_port = listener->tcp_port;
    server->tls = listener->tls;
    server->peer_facts.since_ms = port_now_ms(listener->port);
    source_of(client, server->peer_facts.source);
    listener->connections++;
    listener->handshakes++;
    if (listener->tls != NULL) {
        tls_hold(listener->tls);
    }
    describe(server);
    describe(client);
    server->peer = client->id;
    client->peer = server->id;
    struct handshake result = tls_shake(client, server);
    if (result.server_says != NULL) {
        net_end(server, PORT_CLOSE_TLS, result.server_says);
        client->detail = result.client_says;
        client->peer = 0;
        if (result.client_was_up) {
            net_send(client, SEGMENT_UP, NULL, 0, SHAKE_US);
            net_send(client, SEGMENT_ALERT, NULL, 0, SHAKE_US);
            return;
        }
        sim_happen(client->port, net_travel_us(world, client->there, client->port->machine),
                   SIM_NET, client->id, NET_REFUSED);
        return;
    }
    uint64_t there_and_back_us = client->tls == NULL ? 0 : SHAKE_US;
    net_send(client, SEGMENT_UP, NULL, 0, there_and_back_us);
    net_send(server, SEGMENT_UP, NULL, 0, there_and_back_us);
}

/* ---- the backlog: callers that found no room, first come first served ---- */

static void net_wait(struct port_listener *listener, uint64_t client)
{
    if (listener->waiting_first + listener->waiting_count == listener->waiting_cap) {
        listener->waiting_cap = listener->waiting_cap == 0 ? 16 : listener->waiting_cap * 2;
        listener->waiting =
            realloc(listener->waiting, listener->waiting_cap * sizeof *listener->waiting);
        INVARIANT(listener->waiting != NULL);
    }
    listener->waiting[listener->waiting_first + listener->waiting_count++] = client;
}

/* The first caller that is still there tries again; false: nobody waits. */
static bool call_first(struct port_listener *listener)
{
    while (listener->waiting_count > 0) {
        struct port_conn *client =
            net_conn(listener->port->world, listener->waiting[listener->waiting_first++]);
        if (--listener->waiting_count == 0) {
            listener->waiting_first = 0;
        }
        if (client != NULL && client->stage == CONN_CALLING) {
            sim_happen(client->port, 0, SIM_NET, client->id, NET_CALL);
            return true;
        }
    }
    return false;
}

void net_has_room(struct port_listener *listener)
{
    if (listener->connections < listener->options.connections_max
        && listener->handshakes < listener->options.handshakes_max) {
        (void)call_first(listener);
    }
}

/* Nobody listens here any more: all who waited find that out. */
void net_turn_away(struct port_listener *listener)
{
    while (call_first(listener)) {
    }
}

void net_call(struct port_conn *client)
{
    struct sim_world *world = client->port->world;
    if (client->stage != CONN_CALLING) {
        return;
    }
    if (net_link(world, client->port->machine, client->there)->cut) {
        client->call_held = true;
        return;
    }
    struct port_listener *listener = find_listener(client);
    if (listener == NULL) {
        if (net_has_processes(client->there)) { /* without power nobody says no */
            refuse(client, "connection refused");
        }
    } else if (listener->connections >= listener->options.connections_max
               || listener->handshakes >= listener->options.handshakes_max) {
        net_wait(listener, client->id);
    } else if (!is_admitted(client, listener)) {
        refuse(client, "connection reset by peer");
        net_has_room(listener);
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
    if (port->dead) {
        return PORT_FAILED;
    }
    if (!read_address(port, address, &there, &number) || strlen(address) >= sizeof(*out)->address) {
        sim_why(why, "%s: an address is HOST:PORT, [IPV6]:PORT or unix:PATH", address);
        return PORT_BAD;
    }
    struct port_conn *conn = net_conn_new(port, options);
    conn->user = user;
    conn->peer_facts.since_ms = port_now_ms(port);
    conn->there = there;
    conn->to_port = number;
    conn->is_local = strncmp(address, "unix:", 5) == 0;
    conn->tls = tls;
    if (tls != NULL) {
        tls_hold(tls);
        (void)snprintf(conn->server_name, sizeof conn->server_name, "%s", server_name);
    }
    (void)snprintf(conn->address, sizeof conn->address, "%s", address);
    sim_happen(port, net_travel_us(port->world, port->machine, there), SIM_NET, conn->id, NET_CALL);
    sim_happen(port, options->handshake_ms * UINT64_C(1000), SIM_NET, conn->id, NET_DEADLINE);
    *out = conn;
    return PORT_OK;
}

/* ---- listening ---- */

static bool is_taken(struct port *port, const char *path, uint16_t number)
{
    for (const struct port *each = port->machine->ports; each != NULL; each = each->next) {
        for (const struct port_listener *l = each->listeners; l != NULL; l = l->next) {
            bool same = path != NULL ? strcmp(l->path, path) == 0
                                     : l->path[0] == '\0' && l->tcp_port == number;
            if (!each->dead && same) {
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
    if (port->dead) {
        return PORT_FAILED;
    }
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

void port_listener_set_tls(struct port_listener *listener, struct port_tls *tls)
{
    INVARIANT(listener->tls != NULL && tls_is_server(tls));
    tls_hold(tls);
    port_tls_free(listener->tls);
    listener->tls = tls;
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
    net_turn_away(listener);
    port_tls_free(listener->tls);
    free(listener->waiting);
    free(listener);
}
