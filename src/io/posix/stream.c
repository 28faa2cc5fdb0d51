/*
 * What a connection takes in and gives out: buffers, back-pressure, and how much of it in one turn.
 */
#include "io/posix/inside.h"

#include <stdlib.h>
#include <string.h>

void conn_drop_output(struct port_conn *conn)
{
    free(conn->out.at);
    conn->out = (struct out_buffer){0};
    conn->blocked = false;
}

void conn_drop_input(struct port_conn *conn)
{
    free(conn->own);
    conn->own = NULL;
    conn->own_cap = 0;
    conn->in = (struct slice){0};
}

bool conn_may_read(const struct port_conn *conn)
{
    return conn->stage == CONN_UP && !conn->paused && !conn->saw_end
           && conn->in.len < conn->receive_cap;
}

/* ---- input ---- */

/* What stays unconsumed after PORT_RECEIVED moves from the scratch (or the head of `own`) to the
 * start of `own`. */
static void keep_rest(struct port_conn *conn)
{
    if (conn->in.len == 0) {
        conn_drop_input(conn);
        return;
    }
    if (conn->in.len > conn->own_cap) {
        uint8_t *at = port_alloc_bytes(conn->in.len);
        memcpy(at, conn->in.at, conn->in.len);
        free(conn->own);
        conn->own = at;
        conn->own_cap = conn->in.len;
    } else {
        memmove(conn->own, conn->in.at, conn->in.len);
    }
    conn->in.at = conn->own;
}

static void tell_received(struct port_conn *conn)
{
    struct port_event ev = {
        .kind = PORT_RECEIVED, .user = conn->user, .conn = conn, .received = {.bytes = conn->in}};
    conn->give = false;
    conn->telling = true;
    port_tell(conn->port, &ev);
    conn->telling = false;
}

void conn_give(struct port_conn *conn)
{
    tell_received(conn);
    keep_rest(conn);
}

/* New bytes in the scratch join what was left over; fresh input alone is shown where it lies. */
static void take_in(struct port_conn *conn, size_t got)
{
    if (conn->in.len == 0) {
        conn->in = slice_of(conn->port->scratch, got);
    } else {
        size_t len = conn->in.len + got;
        uint8_t *joined = port_alloc_bytes(len);
        memcpy(joined, conn->in.at, conn->in.len);
        memcpy(joined + conn->in.len, conn->port->scratch, got);
        free(conn->own);
        conn->own = joined;
        conn->own_cap = len;
        conn->in = slice_of(joined, len);
    }
    conn_give(conn);
}

void conn_read(struct port_conn *conn)
{
    size_t room = conn->receive_cap - conn->in.len;
    size_t want = room < PORT_READ_TURN ? room : PORT_READ_TURN;
    size_t got = 0;
    enum io_outcome outcome = IO_DONE;
    while (got < want && outcome == IO_DONE) {
        size_t step = 0;
        outcome = transport_read(conn, conn->port->scratch + got, want - got, &step);
        got += step;
    }
    conn->more = outcome == IO_DONE;
    conn->read_wants_write = outcome == IO_WAIT_WRITE;
    conn->saw_end = outcome == IO_END;
    if (got > 0) {
        take_in(conn, got);
    }
    if (conn->stage != CONN_UP) {
        return;
    }
    if (outcome == IO_BROKEN) {
        conn_end(conn, conn->reason, conn->detail);
    } else if (conn->more || conn->saw_end) {
        conn_make_ready(conn);
    }
    conn_interest(conn);
}

void port_consume(struct port_conn *conn, size_t len)
{
    INVARIANT(len <= conn->in.len);
    if (len == 0) {
        return;
    }
    bool was_full = conn->in.len >= conn->receive_cap;
    conn->in = slice_of(conn->in.at + len, conn->in.len - len);
    if (conn->in.len == 0 && !conn->telling) {
        conn_drop_input(conn);
    }
    if (was_full && conn_may_read(conn)) {
        if (conn->more) {
            conn_make_ready(conn);
        }
        conn_interest(conn);
    }
}

void port_pause(struct port_conn *conn)
{
    conn->paused = true;
    conn_interest(conn);
}

void port_resume(struct port_conn *conn)
{
    if (conn->paused) {
        conn->paused = false;
        conn->give = true;
        conn_make_ready(conn);
        conn_interest(conn);
    }
}

/* ---- output ---- */

void conn_make_dirty(struct port_conn *conn)
{
    if (!conn->is_dirty) {
        conn->is_dirty = true;
        conn->dirty_next = conn->port->dirty;
        conn->port->dirty = conn;
    }
}

size_t port_send_room(const struct port_conn *conn)
{
    return conn->stage == CONN_UP ? conn->send_cap - conn->out.len : 0;
}

static void append(struct out_buffer *out, struct slice bytes)
{
    if (out->head + out->len + bytes.len > out->cap) {
        size_t need = out->len + bytes.len;
        size_t cap = out->cap < 256 ? 256 : out->cap;
        while (cap < need) {
            cap *= 2;
        }
        uint8_t *at = port_alloc_bytes(cap);
        if (out->len > 0) {
            memcpy(at, out->at + out->head, out->len);
        }
        free(out->at);
        *out = (struct out_buffer){.at = at, .len = out->len, .cap = cap};
    }
    memcpy(out->at + out->head + out->len, bytes.at, bytes.len);
    out->len += bytes.len;
}

bool port_send(struct port_conn *conn, struct slice bytes)
{
    if (bytes.len > port_send_room(conn)) {
        conn->refused_send = true;
        return false;
    }
    if (bytes.len > 0) {
        append(&conn->out, bytes);
        conn_make_dirty(conn);
    }
    return conn->stage == CONN_UP;
}

void conn_flush(struct port_conn *conn)
{
    enum io_outcome outcome = IO_DONE;
    while (conn->out.len > 0 && outcome == IO_DONE) {
        size_t step = 0;
        outcome =
            transport_write(conn, slice_of(conn->out.at + conn->out.head, conn->out.len), &step);
        conn->out.head += step;
        conn->out.len -= step;
    }
    if (outcome == IO_BROKEN || outcome == IO_END) {
        conn_end(conn, conn->reason, conn->detail);
        return;
    }
    conn->blocked = conn->out.len > 0;
    if (!conn->blocked) {
        conn_drop_output(conn);
    }
    if (conn->stage == CONN_CLOSING && !conn->blocked) {
        transport_end(conn);
        conn->lingers = !conn->saw_end;
        conn_end(conn, conn->reason, conn->detail);
        return;
    }
    if (conn->refused_send && conn->stage == CONN_UP && conn->out.len <= conn->send_cap / 2) {
        conn->refused_send = false;
        conn->drained_due = true;
        conn_make_ready(conn);
    }
    conn_interest(conn);
}

void conn_flush_dirty(struct port *port)
{
    while (port->dirty != NULL) {
        struct port_conn *conn = port->dirty;
        port->dirty = conn->dirty_next;
        conn->is_dirty = false;
        if ((conn->stage == CONN_UP || conn->stage == CONN_CLOSING) && !conn->blocked) {
            conn_flush(conn);
        }
    }
}
