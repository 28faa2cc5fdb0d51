/*
 * Listeners: takes connections in batches, holds the limits of handshakes and connections by not
 * accepting (the backlog waits), and stands still for a moment where the process has no descriptor
 * left.
 */
#include "io/posix/inside.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events);

static void update(struct port_listener *listener)
{
    const struct port_listen_options *limits = &listener->options;
    bool wants = !listener->closed && !listener->pausing && !listener->crowded
                 && listener->connections < limits->connections_max;
    if (wants != listener->polling) {
        listener->polling = wants;
        int failed = wants ? uv_poll_start(&listener->poll, UV_READABLE, on_readable)
                           : uv_poll_stop(&listener->poll);
        INVARIANT(failed == 0);
    }
}

static void handshake_begins(struct port_conn *conn)
{
    struct port_listener *listener = conn->listener;
    conn->counted = true;
    conn->older = listener->newest;
    if (listener->newest != NULL) {
        listener->newest->newer = conn;
    } else {
        listener->oldest = conn;
    }
    listener->newest = conn;
    listener->handshakes++;
}

static void leave_handshakes(struct port_listener *listener, struct port_conn *conn)
{
    if (conn->older != NULL) {
        conn->older->newer = conn->newer;
    } else {
        listener->oldest = conn->newer;
    }
    if (conn->newer != NULL) {
        conn->newer->older = conn->older;
    } else {
        listener->newest = conn->older;
    }
    conn->older = conn->newer = NULL;
}

void listener_handshake_done(struct port_conn *conn)
{
    struct port_listener *listener = conn->listener;
    if (conn->counted && listener != NULL) {
        leave_handshakes(listener, conn);
        listener->handshakes--;
        listener->crowded = false;
        update(listener);
    }
    conn->counted = false;
}

void listener_conn_gone(struct port_conn *conn)
{
    if (conn->listener != NULL) {
        conn->listener->connections--;
        update(conn->listener);
        conn->listener = NULL;
    }
}

static void on_pause_over(uv_timer_t *timer)
{
    struct port_listener *listener = timer->data;
    listener->pausing = false;
    listener->crowded = false;
    update(listener);
}

/*
 * Somebody waits in the backlog. False: all handshakes are in flight and none has been there for
 * long. Whoever says nothing, or stops halfway, holds its place for the grace and no longer when
 * others want it.
 */
static bool has_place(struct port_listener *listener)
{
    if (listener->oldest == NULL) {
        return true; /* no handshakes here: a plain listener */
    }
    uint64_t age_ms = port_now_ms(listener->port) - listener->oldest->since_ms;
    if (age_ms >= PORT_HANDSHAKE_GRACE_MS) {
        conn_end(listener->oldest, PORT_CLOSE_TIMEOUT, "gave way: too many handshakes in flight");
        return true;
    }
    listener->crowded = true;
    uv_update_time(&listener->port->loop);
    (void)uv_timer_start(&listener->timer, on_pause_over, PORT_HANDSHAKE_GRACE_MS - age_ms, 0);
    update(listener);
    return false;
}

/* No descriptor or no memory: polling on would spin, since the connection stays in the backlog. */
static void pause_accepting(struct port_listener *listener, int error)
{
    listener->pausing = true;
    (void)uv_timer_start(&listener->timer, on_pause_over, PORT_ACCEPT_PAUSE_MS, 0);
    port_tell(listener->port, &(struct port_event){.kind = PORT_REFUSED,
                                                   .user = listener->user,
                                                   .refused = {.reason = PORT_CLOSE_UNREACHABLE,
                                                               .detail = strerror(error)}});
}

static void describe_peer(struct port_conn *conn, int fd, const union socket_address *from)
{
    address_describe(from, conn->address, sizeof conn->address);
    address_source(from, conn->source);
    if (from->any.sa_family == AF_UNIX) {
        struct ucred who;
        socklen_t len = sizeof who;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0) {
            conn->local_uid = who.uid;
        }
    } else {
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

/* Asks the role; one it turns away is reset, which costs the least and leaves nothing behind. */
static bool is_admitted(struct port_listener *listener, int fd, const union socket_address *from)
{
    if (listener->options.admit == NULL) {
        return true;
    }
    struct port_peer peer = {.local_uid = UINT32_MAX, .since_ms = port_now_ms(listener->port)};
    address_describe(from, peer.address, sizeof peer.address);
    address_source(from, peer.source);
    if (listener->options.admit(listener->port->role, listener->user, &peer)) {
        return true;
    }
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    (void)close(fd);
    return false;
}

static void welcome(struct port_listener *listener, int fd, const union socket_address *from)
{
    struct port_conn *conn = conn_new(listener->port, &listener->options);
    conn->user = listener->user;
    conn->accepted = true;
    conn->listener = listener;
    listener->connections++;
    describe_peer(conn, fd, from);
    if (!conn_attach(conn, fd)) {
        (void)close(fd);
        port_tell(listener->port,
                  &(struct port_event){.kind = PORT_REFUSED,
                                       .user = listener->user,
                                       .conn = conn,
                                       .refused = {PORT_CLOSE_UNREACHABLE, "cannot be watched"}});
        conn_destroy(conn);
        return;
    }
    if (listener->tls != NULL) {
        tls_hold(listener->tls);
        conn->tls = listener->tls;
        handshake_begins(conn);
        conn_deadline(conn, listener->options.handshake_ms);
    }
    conn_begin_handshake(conn);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct port_listener *listener = poll->data;
    for (unsigned i = 0; i < PORT_ACCEPT_TURN && listener->polling; i++) {
        bool is_full = listener->handshakes >= listener->options.handshakes_max;
        if (is_full && (i > 0 || !has_place(listener))) {
            break; /* beyond the first nobody knows whether anybody waits: the next turn says so */
        }
        union socket_address from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(listener->fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (is_admitted(listener, fd, &from)) {
                welcome(listener, fd, &from);
            }
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(listener, errno);
        } else if (errno != EINTR && errno != ECONNABORTED && errno != EPERM) {
            break;
        }
        update(listener);
    }
}

/* ---- opening ---- */

/* A socket file that nobody answers on is left over from a process that was killed. */
static bool is_stale(const struct endpoint *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, &at->at.any, at->len) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) {
        (void)close(fd);
    }
    return stale;
}

static int bind_local(int fd, const struct endpoint *at)
{
    mode_t before = umask(0177);
    int result = bind(fd, &at->at.any, at->len);
    if (result != 0 && errno == EADDRINUSE && is_stale(at)) {
        (void)unlink(at->at.local.sun_path);
        result = bind(fd, &at->at.any, at->len);
    }
    (void)umask(before);
    return result;
}

static int bind_tcp(int fd, const struct endpoint *at)
{
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->at.any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    return bind(fd, &at->at.any, at->len);
}

static bool where(const char *address, struct endpoint *out, struct port_why *why)
{
    const char *path;
    char host[256];
    char service[8];
    if (address_is_local(address, &path)) {
        if (!address_of_path(path, out)) {
            port_why_set(why, "%s: the path of a local socket has 1 to 107 bytes", address);
            return false;
        }
        return true;
    }
    if (!address_split(address, host, sizeof host, service, sizeof service)) {
        port_why_set(why, "%s: an address is HOST:PORT, [IPV6]:PORT or unix:PATH", address);
        return false;
    }
    if (!address_numeric(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, service, out)) {
        port_why_set(why, "%s: give a numeric address or localhost to listen on", address);
        return false;
    }
    return true;
}

static uint16_t port_of(int fd)
{
    union socket_address bound = {0};
    socklen_t len = sizeof bound;
    (void)getsockname(fd, &bound.any, &len);
    switch (bound.any.sa_family) {
    case AF_INET: return ntohs(bound.v4.sin_port);
    case AF_INET6: return ntohs(bound.v6.sin6_port);
    default: return 0;
    }
}

static struct port_listener *make(struct port *port, int fd, const struct endpoint *at)
{
    struct port_listener *listener = port_alloc(sizeof *listener);
    listener->port = port;
    listener->fd = fd;
    listener->handles = 2;
    listener->tcp_port = port_of(fd);
    if (at->at.any.sa_family == AF_UNIX) {
        listener->unlink_path = strdup(at->at.local.sun_path);
    }
    INVARIANT(uv_poll_init(&port->loop, &listener->poll, fd) == 0);
    INVARIANT(uv_timer_init(&port->loop, &listener->timer) == 0);
    listener->poll.data = listener;
    listener->timer.data = listener;
    LIST_ADD(port->listeners, listener);
    return listener;
}

enum port_result port_listen(struct port *port,
                             const char *address,
                             struct port_tls *tls,
                             const struct port_listen_options *options,
                             void *user,
                             struct port_listener **out,
                             struct port_why *why)
{
    INVARIANT(tls == NULL || tls->is_server);
    struct endpoint at = {0};
    if (!where(address, &at, why)) {
        return PORT_BAD;
    }
    int family = at.at.any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (family == AF_UNIX ? bind_local(fd, &at) : bind_tcp(fd, &at)) != 0
        || listen(fd, PORT_BACKLOG) != 0) {
        int error = errno;
        port_why_set(why, "%s: %s", address, strerror(error));
        if (fd >= 0) {
            (void)close(fd);
        }
        return port_result_of_errno(error);
    }
    struct port_listener *listener = make(port, fd, &at);
    listener->options = *options;
    listener->user = user;
    listener->tls = tls;
    if (tls != NULL) {
        tls_hold(tls);
    }
    update(listener);
    *out = listener;
    return PORT_OK;
}

void port_listener_set_tls(struct port_listener *listener, struct port_tls *tls)
{
    INVARIANT(listener->tls != NULL && tls->is_server);
    tls_hold(tls);
    port_tls_free(listener->tls);
    listener->tls = tls;
}

uint16_t port_listener_port(const struct port_listener *listener)
{
    return listener->tcp_port;
}

static void on_closed(uv_handle_t *handle)
{
    struct port_listener *listener = handle->data;
    if (--listener->handles == 0) {
        free(listener->unlink_path);
        free(listener);
    }
}

/* Its connections live on. */
void port_listener_close(struct port_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    struct port *port = listener->port;
    listener->closed = true;
    update(listener);
    for (struct port_conn *conn = port->conns; conn != NULL; conn = conn->next) {
        if (conn->listener == listener) {
            conn->listener = NULL;
        }
    }
    LIST_REMOVE(port->listeners, listener);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    uv_close((uv_handle_t *)&listener->timer, on_closed);
    (void)close(listener->fd);
    if (listener->unlink_path != NULL) {
        (void)unlink(listener->unlink_path);
    }
    port_tls_free(listener->tls);
}
