/*
 * A connection from its descriptor to its end: reading, sending, back-pressure, closing. Knows
 * nothing of how the bytes travel (transport.c) nor of how the connection came about (listen.c,
 * dial.c).
 */
#include "io/posix/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_poll(uv_poll_t *poll, int status, int events);

void conn_make_ready(struct port_conn *conn)
{
    if (!conn->is_ready) {
        struct port *port = conn->port;
        conn->is_ready = true;
        conn->ready_next = NULL;
        *port->ready_end = conn;
        port->ready_end = &conn->ready_next;
    }
}

static void tell(struct port_conn *conn, enum port_event_kind kind)
{
    port_tell(conn->port, &(struct port_event){.kind = kind, .user = conn->user, .conn = conn});
}

/* ---- life and death ---- */

struct port_conn *conn_new(struct port *port, const struct port_listen_options *options)
{
    struct port_conn *conn = port_alloc(sizeof *conn);
    conn->port = port;
    conn->fd = -1;
    conn->receive_cap = options->receive_cap;
    conn->send_cap = options->send_cap;
    conn->local_uid = UINT32_MAX;
    conn->since_ms = port_now_ms(port);
    INVARIANT(uv_timer_init(&port->loop, &conn->timer) == 0);
    conn->timer.data = conn;
    LIST_ADD(port->conns, conn);
    return conn;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_descriptor(struct port_conn *conn)
{
    if (conn->poll != NULL) {
        uv_close((uv_handle_t *)conn->poll, on_poll_closed);
        conn->poll = NULL;
    }
    if (conn->fd >= 0) {
        (void)close(conn->fd);
    }
    conn->fd = -1;
    conn->polled = 0;
}

bool conn_attach(struct port_conn *conn, int fd)
{
    close_descriptor(conn);
    uv_poll_t *poll = port_alloc(sizeof *poll);
    if (uv_poll_init(&conn->port->loop, poll, fd) != 0) {
        free(poll);
        return false;
    }
    poll->data = conn;
    conn->poll = poll;
    conn->fd = fd;
    return true;
}

static void drop_tls(struct port_conn *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    port_tls_free(conn->tls);
    conn->tls = NULL;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Out of the line of those whose handshake can go on. */
static void leave_line(struct port_conn *conn)
{
    if (conn->shake_link == NULL) {
        return;
    }
    *conn->shake_link = conn->shake_next;
    if (conn->shake_next != NULL) {
        conn->shake_next->shake_link = conn->shake_link;
    } else {
        conn->port->shaking_end = conn->shake_link;
    }
    conn->shake_next = NULL;
    conn->shake_link = NULL;
}

void conn_destroy(struct port_conn *conn)
{
    leave_line(conn);
    listener_handshake_done(conn);
    listener_conn_gone(conn);
    dial_drop(conn);
    close_descriptor(conn);
    drop_tls(conn);
    conn_drop_output(conn);
    conn_drop_input(conn);
    certificate_drop(conn->certificate);
    conn->certificate = NULL;
    free(conn->server);
    LIST_REMOVE(conn->port->conns, conn);
    uv_close((uv_handle_t *)&conn->timer, on_timer_closed);
}

void conn_end(struct port_conn *conn, enum port_close_reason reason, const char *detail)
{
    if (conn->stage >= CONN_ENDED) {
        return;
    }
    leave_line(conn);
    listener_handshake_done(conn);
    dial_drop(conn);
    conn->stage = CONN_ENDED;
    conn->ended_turn = conn->port->turn;
    conn->reason = reason;
    conn->detail = detail;
    (void)uv_timer_stop(&conn->timer);
    conn_drop_output(conn);
    conn_interest(conn);
    conn_make_ready(conn);
}

static void become_ghost(struct port_conn *conn)
{
    conn->stage = CONN_GHOST;
    drop_tls(conn);
    conn_drop_input(conn);
    conn_deadline(conn, PORT_LINGER_MS);
    conn_interest(conn);
}

static void tell_end(struct port_conn *conn)
{
    struct port_event ev = {
        .kind = conn->accepted && !conn->was_up ? PORT_REFUSED : PORT_CLOSED,
        .user = conn->user,
        .conn = conn,
        .closed = {.reason = conn->reason, .detail = conn->detail},
    };
    port_tell(conn->port, &ev);
    if (conn->lingers && conn->fd >= 0) {
        become_ghost(conn);
    } else {
        conn_destroy(conn);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct port_conn *conn = timer->data;
    switch (conn->stage) {
    case CONN_RESOLVING:
    case CONN_CONNECTING: conn_end(conn, PORT_CLOSE_TIMEOUT, "no connection in time"); break;
    case CONN_HANDSHAKING:
        conn_end(conn, PORT_CLOSE_TIMEOUT, "no end of the handshake in time");
        break;
    case CONN_CLOSING: conn_end(conn, conn->reason, "closed with bytes unsent"); break;
    case CONN_GHOST: conn_destroy(conn); break;
    case CONN_UP:
    case CONN_ENDED: break;
    }
}

void conn_deadline(struct port_conn *conn, uint64_t ms)
{
    uv_update_time(&conn->port->loop);
    (void)uv_timer_start(&conn->timer, on_deadline, ms, 0);
}

/* ---- what the descriptor is watched for ---- */

static int interest(const struct port_conn *conn)
{
    int events = 0;
    switch (conn->stage) {
    case CONN_CONNECTING: return UV_WRITABLE;
    case CONN_HANDSHAKING:
        return conn->shake_link != NULL ? 0 : conn->blocked ? UV_WRITABLE : UV_READABLE;
    case CONN_UP:
        events |= conn_may_read(conn) ? UV_READABLE : 0;
        events |= conn->blocked || conn->read_wants_write ? UV_WRITABLE : 0;
        return events;
    case CONN_CLOSING: return conn->blocked ? UV_WRITABLE : 0;
    case CONN_GHOST: return UV_READABLE;
    case CONN_RESOLVING:
    case CONN_ENDED: return 0;
    }
    UNREACHABLE();
}

void conn_interest(struct port_conn *conn)
{
    int events = interest(conn);
    if (conn->poll == NULL || events == conn->polled) {
        return;
    }
    conn->polled = events;
    int failed =
        events == 0 ? uv_poll_stop(conn->poll) : uv_poll_start(conn->poll, events, on_poll);
    INVARIANT(failed == 0);
}

/* ---- closing ---- */

/* What is buffered goes out first, within a limit; the end is told in a later turn. */
static void begin_closing(struct port_conn *conn, enum port_close_reason reason, const char *detail)
{
    conn->reason = reason;
    conn->detail = detail;
    conn->stage = CONN_CLOSING;
    conn_deadline(conn, PORT_FLUSH_MS);
    conn_make_dirty(conn);
    conn_interest(conn);
}

void port_close(struct port_conn *conn)
{
    if (conn->stage == CONN_UP) {
        begin_closing(conn, PORT_CLOSE_LOCAL, "closed here");
    } else if (conn->stage < CONN_UP) {
        conn_end(conn, PORT_CLOSE_LOCAL, "closed here");
    }
}

void port_abort(struct port_conn *conn)
{
    conn_end(conn, PORT_CLOSE_LOCAL, "aborted here");
}

/* ---- events of the loop ---- */

static void run_ready(struct port_conn *conn)
{
    if (conn->stage == CONN_ENDED) {
        if (conn->ended_turn == conn->port->turn) {
            conn_make_ready(conn); /* a later turn, always */
        } else {
            tell_end(conn);
        }
        return;
    }
    if (conn->drained_due && conn->stage == CONN_UP) {
        conn->drained_due = false;
        tell(conn, PORT_DRAINED);
    }
    if (conn->give && conn->stage == CONN_UP && !conn->paused && conn->in.len > 0) {
        conn_give(conn);
    }
    if (conn->stage == CONN_UP && conn->saw_end && !conn->paused) {
        begin_closing(conn, PORT_CLOSE_PEER, "closed by the peer");
    } else if (conn->more && conn_may_read(conn)) {
        conn_read(conn);
    }
    conn_interest(conn);
}

/* Only those that were ready when the turn began: what they cause is for the next one. */
void conn_run_ready(struct port *port)
{
    struct port_conn *batch = port->ready;
    port->ready = NULL;
    port->ready_end = &port->ready;
    while (batch != NULL) {
        struct port_conn *conn = batch;
        batch = conn->ready_next;
        conn->is_ready = false;
        run_ready(conn);
    }
}

static void come_up(struct port_conn *conn)
{
    listener_handshake_done(conn);
    (void)uv_timer_stop(&conn->timer);
    conn->stage = CONN_UP;
    conn->was_up = true;
    conn->blocked = false;
    conn->more = conn->ssl != NULL; /* the last flight may have brought more than the handshake */
    if (conn->more) {
        conn_make_ready(conn);
    }
    tell(conn, conn->accepted ? PORT_ACCEPTED : PORT_CONNECTED);
    conn_interest(conn);
}

static void go_on_handshake(struct port_conn *conn)
{
    if (conn->ssl == NULL) {
        INVARIANT(tls_attach(conn, NULL)); /* a peer that says nothing has cost no more than this */
    }
    switch (tls_handshake(conn)) {
    case IO_DONE: come_up(conn); return;
    case IO_WAIT_READ: conn->blocked = false; break;
    case IO_WAIT_WRITE: conn->blocked = true; break;
    case IO_END:
    case IO_BROKEN:
        conn->lingers = conn->reason == PORT_CLOSE_TLS; /* so that our alert arrives */
        (void)shutdown(conn->fd, SHUT_WR);
        conn_end(conn, conn->reason, conn->detail);
        return;
    }
    conn_interest(conn);
}

void conn_begin_handshake(struct port_conn *conn)
{
    conn->stage = CONN_HANDSHAKING;
    if (conn->tls == NULL) {
        come_up(conn);
    } else if (conn->accepted) {
        conn_interest(conn); /* the peer speaks first */
    } else {
        go_on_handshake(conn);
    }
}

/* The handshakes of others wait in line; our own are few, and somebody waits for them. */
static void shake(struct port_conn *conn)
{
    struct port *port = conn->port;
    if (!conn->accepted) {
        go_on_handshake(conn);
    } else if (conn->shake_link == NULL) {
        conn->shake_link = port->shaking_end;
        *port->shaking_end = conn;
        port->shaking_end = &conn->shake_next;
        conn_interest(conn);
    }
}

/*
 * A handshake costs as much as hundreds of messages. So that a storm of them does not make those
 * wait who are connected, each turn of the loop serves them first and then gives handshakes a
 * bounded time; what is left over waits for the next turn, which comes at once.
 */
void conn_run_shaking(struct port *port)
{
    if (port->shaking == NULL) {
        return;
    }
    uint64_t until_us = port_now_us(port) + PORT_SHAKE_TURN_US;
    do {
        struct port_conn *conn = port->shaking;
        leave_line(conn);
        if (conn->stage == CONN_HANDSHAKING) {
            go_on_handshake(conn);
        }
    } while (port->shaking != NULL && port_now_us(port) < until_us);
}

/* Reads what a lingering peer still sends, to be rid of it. */
static void drain_ghost(struct port_conn *conn)
{
    ssize_t got = recv(conn->fd, conn->port->scratch, PORT_READ_TURN, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_destroy(conn);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct port_conn *conn = poll->data;
    if (status < 0) { /* an error is waiting: the next call of the transport returns it; libuv has
                         stopped */
        conn->polled = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    switch (conn->stage) {
    case CONN_CONNECTING: dial_answered(conn); break;
    case CONN_HANDSHAKING: shake(conn); break;
    case CONN_UP:
        if ((events & UV_READABLE || conn->read_wants_write) && conn_may_read(conn)) {
            conn_read(conn);
        }
        if ((events & UV_WRITABLE) && conn->stage == CONN_UP && conn->blocked) {
            conn_flush(conn);
        }
        conn_interest(conn);
        break;
    case CONN_CLOSING:
        if (events & UV_WRITABLE) {
            conn_flush(conn);
        }
        break;
    case CONN_GHOST: drain_ghost(conn); break;
    case CONN_RESOLVING:
    case CONN_ENDED: break;
    }
}

/* ---- who it is ---- */

void port_conn_set_user(struct port_conn *conn, void *user)
{
    conn->user = user;
}

void port_conn_peer(const struct port_conn *conn, struct port_peer *out)
{
    *out = (struct port_peer){
        .has_certificate = conn->certificate != NULL,
        .is_resumed = conn->is_resumed,
        .anchors = conn->anchors,
        .has_tls = conn->tls != NULL,
        .local_uid = conn->local_uid,
        .since_ms = conn->since_ms,
    };
    if (conn->certificate != NULL) {
        out->certificate_der = slice_of(conn->certificate->bytes, conn->certificate->len);
    }
    memcpy(out->source, conn->source, sizeof out->source);
    memcpy(out->exporter, conn->exporter, sizeof out->exporter);
    memcpy(out->address, conn->address, sizeof out->address);
}
