#include "role/keeper_client.h"

#include <stdio.h>
#include <stdlib.h>

enum { ADDRESS_MAX = 1024, RECONNECT_MS = 200, BUFFER = 4 * KEEPER_FRAME_MAX };

struct keeper_client {
    struct port *port;
    struct port_wake *wake;
    struct port_conn *conn; /* NULL: none, or none yet asked for */
    bool is_up;
    char address[ADDRESS_MAX];
    keeper_client_answered *answered;
    void *context;
    uint32_t next_id;
    uint32_t pending[KEEPER_CLIENT_PENDING_MAX];
    size_t pending_count;
};

static void connect_again(struct keeper_client *c)
{
    struct port_listen_options options = {.receive_cap = KEEPER_FRAME_MAX,
                                          .send_cap = BUFFER,
                                          .handshake_ms = 2000,
                                          .handshakes_max = 1,
                                          .connections_max = 1};
    struct port_why why;
    if (port_connect(c->port, c->address, NULL, NULL, &options, c, &c->conn, &why) != PORT_OK) {
        c->conn = NULL;
        port_wake_at(c->wake, port_now_ms(c->port) + RECONNECT_MS);
    }
}

struct keeper_client *keeper_client_open(struct port *port,
                                         const char *path,
                                         keeper_client_answered *answered,
                                         void *context)
{
    struct keeper_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->port = port;
    c->answered = answered;
    c->context = context;
    c->wake = port_wake_new(port, c);
    int len = snprintf(c->address, sizeof c->address, "unix:%s", path);
    if (len < 0 || (size_t)len >= sizeof c->address) {
        keeper_client_close(c);
        return NULL;
    }
    connect_again(c);
    return c;
}

void keeper_client_close(struct keeper_client *c)
{
    if (c == NULL) {
        return;
    }
    if (c->conn != NULL) {
        port_conn_set_user(c->conn, NULL);
        port_abort(c->conn);
    }
    port_wake_free(c->wake);
    free(c);
}

bool keeper_client_is_up(const struct keeper_client *c)
{
    return c->is_up;
}

bool keeper_client_sign(struct keeper_client *c,
                        enum keeper_purpose purpose,
                        struct slice bytes,
                        uint32_t *id)
{
    uint8_t frame[KEEPER_HEAD_LEN];
    struct writer w = writer_over(frame, sizeof frame);
    if (!c->is_up || c->pending_count == KEEPER_CLIENT_PENDING_MAX
        || bytes.len > KEEPER_FRAME_MAX - KEEPER_HEAD_LEN
        || port_send_room(c->conn) < KEEPER_HEAD_LEN + bytes.len) {
        return false;
    }
    uint32_t own = c->next_id++;
    keeper_request_head_write(
        &w, &(struct keeper_request){.id = own, .purpose = purpose, .bytes = bytes});
    if (!port_send(c->conn, writer_slice(&w)) || !port_send(c->conn, bytes)) {
        port_abort(c->conn); /* half a frame may be there: begin anew */
        c->is_up = false;
        return false;
    }
    c->pending[c->pending_count++] = own;
    *id = own;
    return true;
}

/* Takes the id out; false where nobody waits for it. */
static bool take_pending(struct keeper_client *c, uint32_t id)
{
    for (size_t i = 0; i < c->pending_count; i++) {
        if (c->pending[i] == id) {
            c->pending[i] = c->pending[--c->pending_count];
            return true;
        }
    }
    return false;
}

static void on_received(struct keeper_client *c, const struct port_event *ev)
{
    struct slice rest = ev->received.bytes;
    struct keeper_answer answer;
    size_t used = 0;
    enum keeper_message_result result;
    while ((result = keeper_answer_decode(rest, &answer, &used)) == KEEPER_MESSAGE_OK) {
        if (take_pending(c, answer.id)) {
            c->answered(c->context, &(struct keeper_client_answer){.id = answer.id,
                                                                   .outcome = answer.outcome,
                                                                   .bytes = answer.bytes});
        }
        rest = slice_after(rest, used);
    }
    port_consume(ev->conn, ev->received.bytes.len - rest.len);
    if (result == KEEPER_MESSAGE_MALFORMED) {
        port_abort(ev->conn);
    }
}

static void on_closed(struct keeper_client *c)
{
    c->conn = NULL;
    c->is_up = false;
    while (c->pending_count > 0) {
        uint32_t id = c->pending[--c->pending_count];
        c->answered(c->context,
                    &(struct keeper_client_answer){.id = id, .outcome = KEEPER_UNAVAILABLE});
    }
    port_wake_at(c->wake, port_now_ms(c->port) + RECONNECT_MS);
}

bool keeper_client_event(struct keeper_client *c, const struct port_event *ev)
{
    if (ev->user != c) {
        return false;
    }
    switch (ev->kind) {
    case PORT_CONNECTED: c->is_up = true; break;
    case PORT_RECEIVED: on_received(c, ev); break;
    case PORT_CLOSED: on_closed(c); break;
    case PORT_WOKE:
        if (c->conn == NULL) {
            connect_again(c);
        }
        break;
    case PORT_ACCEPTED:
    case PORT_REFUSED:
    case PORT_DRAINED:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TERMINATE:
    case PORT_TURN_ENDED: break;
    }
    return true;
}
