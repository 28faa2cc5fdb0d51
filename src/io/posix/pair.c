#include "io/posix/pair.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

static void note_closed(struct pair *p, const struct port_event *ev)
{
    if (ev->conn == p->client) {
        p->client_closed++;
        p->client_reason = ev->closed.reason;
        (void)snprintf(p->client_detail, sizeof p->client_detail, "%s", ev->closed.detail);
    } else if (ev->conn == p->server) {
        p->server_closed++;
        p->server_reason = ev->closed.reason;
        (void)snprintf(p->server_detail, sizeof p->server_detail, "%s", ev->closed.detail);
    }
}

static void take_client_input(struct pair *p, const struct port_event *ev)
{
    struct slice bytes = ev->received.bytes;
    if (p->client_in_len + bytes.len <= PAIR_BYTES_MAX) {
        memcpy(p->client_in + p->client_in_len, bytes.at, bytes.len);
        p->client_in_len += bytes.len;
    }
    port_consume(ev->conn, bytes.len);
}

static void note(struct pair *p, const struct port_event *ev)
{
    switch (ev->kind) {
    case PORT_ACCEPTED:
        p->accepted++;
        p->server = ev->conn;
        break;
    case PORT_REFUSED:
        p->refused++;
        p->refused_reason = ev->refused.reason;
        (void)snprintf(p->refused_detail, sizeof p->refused_detail, "%s", ev->refused.detail);
        break;
    case PORT_CONNECTED:
        p->client_up = true;
        port_conn_peer(ev->conn, &p->client_peer);
        break;
    case PORT_RECEIVED:
        if (ev->conn == p->client) {
            take_client_input(p, ev);
        }
        break;
    case PORT_DRAINED: p->drained++; break;
    case PORT_EXITED:
        p->exited++;
        p->exited_status = ev->exited.status;
        break;
    case PORT_CLOSED: note_closed(p, ev); break;
    case PORT_TURN_ENDED: p->turns++; break;
    case PORT_WOKE:
        p->late = true;
        port_stop(p->port);
        break;
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_TERMINATE: break;
    }
}

static void on_event(void *role, const struct port_event *ev)
{
    struct pair *p = role;
    note(p, ev);
    if (p->act != NULL) {
        p->act(p, ev);
    }
    if (p->until != NULL && p->until(p)) {
        port_stop(p->port);
    }
}

void pair_open(struct pair *p)
{
    *p = (struct pair){0};
    p->options = (struct port_listen_options){.receive_cap = 1 << 20,
                                              .send_cap = 1 << 20,
                                              .handshakes_max = 100,
                                              .connections_max = 100,
                                              .handshake_ms = 30000};
    p->client_in = malloc(PAIR_BYTES_MAX);
    p->port = port_open(on_event, p);
    p->deadline = port_wake_new(p->port, NULL);
}

void pair_close(struct pair *p)
{
    port_tls_free(p->server_tls);
    port_tls_free(p->client_tls);
    port_close_all(p->port);
    free(p->client_in);
}

enum port_result pair_listen(struct pair *p, const char *address)
{
    enum port_result result =
        port_listen(p->port, address, p->server_tls, &p->options, NULL, &p->listener, &p->why);
    if (result == PORT_OK) {
        uint16_t number = port_listener_port(p->listener);
        int host_len = number == 0 ? 0 : (int)(strrchr(address, ':') - address);
        if (number == 0) {
            (void)snprintf(p->address, sizeof p->address, "%s", address);
        } else {
            (void)snprintf(p->address, sizeof p->address, "%.*s:%u", host_len, address, number);
        }
    }
    return result;
}

enum port_result pair_connect(struct pair *p)
{
    return port_connect(p->port, p->address, p->server_name, p->client_tls, &p->options, NULL,
                        &p->client, &p->why);
}

int pair_raw_connect(struct pair *p)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(port_listener_port(p->listener)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool pair_until(struct pair *p, bool (*holds)(struct pair *p))
{
    if (holds(p)) {
        return true;
    }
    p->until = holds;
    p->late = false;
    port_wake_at(p->deadline, port_now_ms(p->port) + PATIENCE_MS);
    port_run(p->port);
    port_wake_at(p->deadline, UINT64_MAX);
    return !p->late;
}

bool pair_accepted(struct pair *p)
{
    return p->accepted > 0;
}

bool pair_received(struct pair *p)
{
    return p->received > 0;
}

bool pair_client_up(struct pair *p)
{
    return p->client_up;
}

bool pair_child_exited(struct pair *p)
{
    return p->exited > 0;
}

uint16_t pair_port_of(int fd)
{
    struct sockaddr_in at = {0};
    socklen_t len = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &len) == 0 ? ntohs(at.sin_port) : 0;
}
