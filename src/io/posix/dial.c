/*
 * Our own connections: a name becomes addresses (numbers and "localhost" at once, other names in
 * the thread pool), the addresses are called in turn, the first that answers is the connection.
 */
#include "io/posix/inside.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add(struct dial *dial, const struct endpoint *found)
{
    if (dial->count < PORT_DIAL_MAX) {
        dial->list[dial->count++] = *found;
    }
}

/* False: not to be known without asking a resolver. */
static bool know_already(struct dial *dial)
{
    struct endpoint found;
    if (strcmp(dial->name, "localhost") == 0) {
        (void)address_numeric("127.0.0.1", dial->service, &found);
        add(dial, &found);
        (void)address_numeric("::1", dial->service, &found);
        add(dial, &found);
        return true;
    }
    if (address_numeric(dial->name, dial->service, &found)) {
        add(dial, &found);
        return true;
    }
    return false;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct dial *dial = request->data;
    struct port_conn *conn = dial->conn;
    if (conn == NULL) {
        uv_freeaddrinfo(list);
        free(dial);
        return;
    }
    dial->resolving = false;
    for (const struct addrinfo *each = list; each != NULL; each = each->ai_next) {
        struct endpoint found = {.len = each->ai_addrlen};
        if (each->ai_addrlen <= sizeof found.at) {
            memcpy(&found.at, each->ai_addr, each->ai_addrlen);
            add(dial, &found);
        }
    }
    uv_freeaddrinfo(list);
    conn->detail = status != 0 ? uv_strerror(status) : "the name has no address";
    dial_next(conn);
}

static bool resolve(struct dial *dial)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    dial->request.data = dial;
    dial->resolving = uv_getaddrinfo(&dial->conn->port->loop, &dial->request, on_resolved,
                                     dial->name, dial->service, &hints)
                      == 0;
    return dial->resolving;
}

void dial_drop(struct port_conn *conn)
{
    struct dial *dial = conn->dial;
    conn->dial = NULL;
    if (dial == NULL) {
        return;
    }
    dial->conn = NULL;
    if (dial->resolving) {
        (void)uv_cancel((uv_req_t *)&dial->request); /* on_resolved frees it, sooner or later */
    } else {
        free(dial);
    }
}

/* 0: under way. Otherwise the errno of the failure. */
static int call(struct port_conn *conn, const struct endpoint *to)
{
    int family = to->at.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    if (family != AF_UNIX) {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (connect(fd, &to->at.any, to->len) != 0 && errno != EINPROGRESS) {
        int error = errno;
        (void)close(fd);
        return error;
    }
    address_describe(&to->at, conn->address, sizeof conn->address);
    if (!conn_attach(conn, fd)) {
        (void)close(fd);
        return EMFILE;
    }
    return 0;
}

void dial_next(struct port_conn *conn)
{
    struct dial *dial = conn->dial;
    while (dial->next < dial->count) {
        int error = call(conn, &dial->list[dial->next++]);
        if (error == 0) {
            conn->stage = CONN_CONNECTING;
            conn_interest(conn);
            return;
        }
        conn->detail = strerror(error);
    }
    conn_end(conn, PORT_CLOSE_UNREACHABLE, conn->detail);
}

void dial_answered(struct port_conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;
    (void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        conn->detail = strerror(error);
        dial_next(conn);
        return;
    }
    dial_drop(conn);
    conn_begin_handshake(conn);
}

static bool prepare(struct dial *dial, const char *address, struct port_why *why)
{
    const char *path;
    struct endpoint local;
    if (address_is_local(address, &path)) {
        if (!address_of_path(path, &local)) {
            port_why_set(why, "%s: the path of a local socket has 1 to 107 bytes", address);
            return false;
        }
        add(dial, &local);
        return true;
    }
    if (!address_split(address, dial->name, sizeof dial->name, dial->service,
                       sizeof dial->service)) {
        port_why_set(why, "%s: an address is HOST:PORT, [IPV6]:PORT or unix:PATH", address);
        return false;
    }
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
    INVARIANT(tls == NULL || !tls->is_server);
    struct dial *dial = port_alloc(sizeof *dial);
    if (!prepare(dial, address, why)) {
        free(dial);
        return PORT_BAD;
    }
    struct port_conn *conn = conn_new(port, options);
    conn->user = user;
    conn->dial = dial;
    dial->conn = conn;
    if (tls != NULL) {
        tls_hold(tls);
        conn->tls = tls;
        if (!tls_attach(conn, server_name)) {
            port_why_set(why, "%s: not a name that a certificate can prove", server_name);
            conn_destroy(conn);
            return PORT_BAD;
        }
        sessions_offer(conn, address, server_name);
    }
    conn_deadline(conn, options->handshake_ms);
    if (dial->count > 0 || know_already(dial)) {
        dial_next(conn);
    } else if (!resolve(dial)) {
        conn_end(conn, PORT_CLOSE_UNREACHABLE, "the resolver cannot be asked");
    }
    *out = conn;
    return PORT_OK;
}
