#include "role/gateway_admin.h"

#include "base/invariant.h"
#include "io/folder.h"
#include "io/replace.h"
#include "role/http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS_MAX = 8,
    BODY_MAX = 4096,
    ANSWER_MAX = 512 * 1024,
    SESSIONS_MAX = 500, /* in one answer: each takes at most 1 KiB */
    WATCH_SECONDS_MAX = 600,
    PATH_ROOM = 700
};

static_assert(SESSIONS_MAX * 1024 <= ANSWER_MAX, "a page of sessions fits its answer");

struct gateway_admin {
    struct http_server *server;
    uint8_t answer[ANSWER_MAX];
};

/* ---- drain ---- */

static struct gw_drain_facts facts_of(const struct gateway *g)
{
    return (struct gw_drain_facts){.connections = g->open_count,
                                   .staged = bus_staged(g->bus),
                                   .durable = bus_durable(g->bus),
                                   .read = bus_acked(g->bus)};
}

static void drain_path(const struct gateway *g, char out[PATH_ROOM])
{
    (void)snprintf(out, PATH_ROOM, "%.500s/drained", g->config->state_dir);
}

/* On disk before it takes effect: a gateway that was drained and restarted takes nobody either. */
static bool begin_drain(struct gateway *g)
{
    char path[PATH_ROOM];
    struct gw_drain_facts facts = facts_of(g);
    if (g->config->state_dir != NULL) {
        drain_path(g, path);
        if (port_folder_make(g->port, g->config->state_dir) != PORT_OK
            || port_file_replace(g->port, path, slice_text("drained by an operator\n"))
                   != PORT_OK) {
            return false;
        }
    }
    gw_drain_begin(&g->drain, &facts, port_now_ms(g->port));
    (void)fprintf(stderr, "gateway %s is being drained: no session begins here\n", g->config->name);
    return true;
}

static bool end_drain(struct gateway *g)
{
    char path[PATH_ROOM];
    if (g->config->state_dir != NULL) {
        drain_path(g, path);
        enum port_result result = port_unlink(g->port, path);
        if ((result != PORT_OK && result != PORT_NOT_FOUND)
            || port_dir_sync(g->port, g->config->state_dir) != PORT_OK) {
            return false;
        }
    }
    if (g->drain.state != GW_OPEN) {
        (void)fprintf(stderr, "gateway %s takes sessions again\n", g->config->name);
    }
    gw_drain_undo(&g->drain);
    return true;
}

static void take_state(struct gateway *g)
{
    char path[PATH_ROOM];
    struct port_file *file = NULL;
    struct gw_drain_facts facts = facts_of(g);
    if (g->config->state_dir == NULL) {
        return;
    }
    drain_path(g, path);
    enum port_result result = port_file_open(g->port, path, PORT_READ, &file);
    if (result == PORT_OK) {
        port_file_close(file);
    }
    if (result != PORT_NOT_FOUND) { /* a mark that cannot be read is one */
        gw_drain_begin(&g->drain, &facts, port_now_ms(g->port));
        (void)fprintf(stderr, "gateway %s is still drained: holdfast gateway drain %s --undo\n",
                      g->config->name, g->config->name);
    }
}

bool gateway_admission_closed(const struct gateway *g, enum mqtt_reason *reason)
{
    *reason = MQTT_USE_ANOTHER_SERVER;
    return g->drain.state != GW_OPEN;
}

/* Nothing further of it is read; when what it sent before is acknowledged, it hears where to go. */
static void send_away(struct gateway *g, struct gateway_conn *c)
{
    if (!c->is_leaving) {
        c->is_leaving = true;
        if (!c->is_paused) {
            c->is_paused = true;
            port_pause(c->port);
        }
    }
    if (!gw_session_waits(&c->session)) {
        gateway_conn_feed(g, c,
                          (struct gw_event){.kind = GW_STOPPING,
                                            .now_ms = port_now_ms(g->port),
                                            .stop = {.end = GW_END_STOPPING,
                                                     .reason = MQTT_USE_ANOTHER_SERVER,
                                                     .clause = "this gateway is being emptied"}});
    }
}

/* Who has begun to leave leaves, also where the drain was undone meanwhile. */
static void go_on_draining(struct gateway *g)
{
    struct gw_drain_facts facts = facts_of(g);
    uint32_t further = gw_drain_step(&g->drain, &facts, port_now_ms(g->port));
    g->has_leaving = false;
    for (uint32_t i = 0; i < g->limits.connections_max && g->open_count > 0; i++) {
        struct gateway_conn *c = &g->conns[i];
        if (c->port == NULL || c->is_closing) {
            continue;
        }
        if (c->is_leaving || further > 0) {
            further -= !c->is_leaving;
            g->has_leaving = true;
            send_away(g, c);
        }
    }
}

void gateway_admin_tick(struct gateway *g)
{
    if ((g->drain.state != GW_OPEN || g->has_leaving) && !g->is_stopping) {
        go_on_draining(g);
    }
    if (g->watch != NULL && port_now_ms(g->port) >= g->watch_until_ms) {
        gateway_watch_end(g);
    }
}

/* ---- answers ---- */

static void answer(struct http_call *call, int status, const struct writer *w)
{
    bool fits = writer_ok(w);
    http_answer(call,
                &(struct http_response){.status = fits ? status : 500,
                                        .content_type = "application/json",
                                        .body = fits ? writer_slice(w) : slice_text("{\"v\":1}")});
}

static void answer_wrong(struct http_call *call, int status, const char *why)
{
    http_answer(call, &(struct http_response){
                          .status = status, .content_type = "text/plain", .body = slice_text(why)});
}

static void answer_state(struct gateway *g, struct http_call *call)
{
    struct writer w = writer_over(g->admin->answer, ANSWER_MAX);
    struct json_writer j = json_writer_to(&w);
    struct gw_drain_facts facts = facts_of(g);
    json_object(&j);
    json_put_u64(&j, "v", 1);
    json_put_text(&j, "drain", gw_drain_state_name(g->drain.state));
    json_put_u64(&j, "connections", facts.connections);
    json_put_u64(&j, "not_durable_bytes", facts.staged - facts.durable);
    json_put_u64(&j, "unread_bytes", facts.durable > facts.read ? facts.durable - facts.read : 0);
    json_object_end(&j);
    answer(call, 200, &w);
}

static void write_session(struct gateway *g, struct json_writer *j, const struct gateway_conn *c)
{
    uint8_t room[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(room, sizeof room);
    device_id_write_text(&w, &c->session.owner);
    json_object(j);
    json_put_u64(j, "place", c->index);
    json_put_slice(j, "owner", writer_slice(&w));
    json_put_text(j, "application", c->app != NULL ? c->app->name : NULL);
    json_put_slice(j, "client_id", gw_session_client_id(&c->session));
    json_put_text(j, "version", c->session.version == MQTT_5_0 ? "5.0" : "3.1.1");
    json_put_text(j, "address", c->address);
    json_put_time(j, "since", c->since_wall_ms);
    json_put_u64(j, "heard_ms", port_now_ms(g->port) - c->session.heard_ms);
    json_put_u64(j, "keep_alive_s", c->session.keep_alive_s);
    json_put_u64(j, "messages", c->messages);
    json_put_u64(j, "bytes", c->message_bytes);
    json_put_u64(j, "inflight", c->session.inflight_count);
    json_put_bool(j, "is_waiting", c->is_paused);
    struct gw_session_view view = {0};
    if (c->session_number != 0) {
        gw_broker_view(g->broker, c->session_number, &view);
    }
    json_put_u64(j, "queued", view.deliveries);
    json_put_u64(j, "queued_bytes", view.queue_bytes);
    json_put_u64(j, "subscriptions", view.filters);
    json_object_end(j);
}

static bool number_of(struct http_call *call, const char *name, uint64_t most, uint64_t *out)
{
    char text[24];
    struct writer w = writer_over(text, sizeof text);
    int got = http_query_find(call->head.query, name, &w);
    if (got == 0) {
        return true;
    }
    uint64_t value = 0;
    for (size_t i = 0; got > 0 && i < w.len; i++) {
        if (text[i] < '0' || text[i] > '9' || value > most / 10) {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *out = value;
    return got > 0 && w.len > 0 && value <= most;
}

static void answer_sessions(struct gateway *g, struct http_call *call)
{
    uint64_t after = 0;
    uint64_t limit = SESSIONS_MAX;
    if (!number_of(call, "after", UINT32_MAX, &after)
        || !number_of(call, "limit", SESSIONS_MAX, &limit)) {
        answer_wrong(call, 400, "after and limit are numbers\n");
        return;
    }
    struct writer w = writer_over(g->admin->answer, ANSWER_MAX);
    struct json_writer j = json_writer_to(&w);
    uint64_t next = 0;
    json_object(&j);
    json_put_u64(&j, "v", 1);
    json_put_u64(&j, "total", gw_registry_count(&g->registry));
    json_name(&j, "items");
    json_array(&j);
    for (uint32_t i = (uint32_t)after; i < g->limits.connections_max && next == 0; i++) {
        const struct gateway_conn *c = &g->conns[i];
        if (c->port == NULL || c->is_closing || !c->is_entered) {
            continue;
        }
        if (limit == 0) {
            next = i;
        } else {
            limit--;
            write_session(g, &j, c);
        }
    }
    json_array_end(&j);
    if (next > 0) {
        json_put_u64(&j, "next", next);
    } else {
        json_put_null(&j, "next");
    }
    json_object_end(&j);
    answer(call, 200, &w);
}

static void answer_watch(struct gateway *g, struct http_call *call)
{
    uint64_t after = 0;
    if (!number_of(call, "after", UINT64_MAX / 16, &after)) {
        answer_wrong(call, 400, "after is a number\n");
        return;
    }
    struct writer w = writer_over(g->admin->answer, ANSWER_MAX);
    struct json_writer j = json_writer_to(&w);
    gateway_watch_write(g, &j, after);
    answer(call, 200, &w);
}

static void begin_watch(struct gateway *g, struct http_call *call)
{
    uint64_t seconds = 60;
    char text[DEVICE_ID_TEXT_LEN + 1];
    struct writer w = writer_over(text, sizeof text);
    struct device_id device;
    if (!number_of(call, "seconds", WATCH_SECONDS_MAX, &seconds)
        || http_query_find(call->head.query, "device", &w) <= 0
        || !device_id_from_text(writer_slice(&w), &device)) {
        answer_wrong(call, 400, "device is an id, seconds at most 600\n");
        return;
    }
    gateway_watch_begin(g, &device, (uint32_t)seconds);
    answer_watch(g, call);
}

static void handle(void *context, struct http_call *call)
{
    struct gateway *g = context;
    struct slice path = call->head.path;
    bool is_post = call->head.method == HTTP_POST;
    bool is_get = call->head.method == HTTP_GET;
    if (call->peer.local_uid != port_own_uid(g->port)) {
        answer_wrong(call, 403, "another user's\n");
    } else if (is_get && slice_is_text(path, "/state")) {
        answer_state(g, call);
    } else if (is_get && slice_is_text(path, "/sessions")) {
        answer_sessions(g, call);
    } else if (is_get && slice_is_text(path, "/watch")) {
        answer_watch(g, call);
    } else if (is_post && slice_is_text(path, "/watch")) {
        begin_watch(g, call);
    } else if (is_post && slice_is_text(path, "/drain")) {
        if (begin_drain(g)) {
            answer_state(g, call);
        } else {
            answer_wrong(call, 500, "the mark of the drain cannot be written; nothing was done\n");
        }
    } else if (is_post && slice_is_text(path, "/undrain")) {
        if (end_drain(g)) {
            answer_state(g, call);
        } else {
            answer_wrong(call, 500, "the mark of the drain cannot be removed; it is drained\n");
        }
    } else {
        answer_wrong(call, 404, "there is no such thing\n");
    }
}

/* ---- opening ---- */

void gateway_admin_open(struct gateway *g)
{
    struct port_why why = {0};
    take_state(g);
    if (g->config->admin_address == NULL) {
        return;
    }
    g->admin = calloc(1, sizeof *g->admin);
    INVARIANT(g->admin != NULL);
    struct http_server_options options = http_server_options_default();
    options.address = g->config->admin_address;
    options.connections_max = CONNECTIONS_MAX;
    options.body_max = BODY_MAX;
    options.streams_max = 0;
    options.handler = handle;
    options.context = g;
    if (http_server_open(g->port, &options, &g->admin->server, &why) != PORT_OK) {
        (void)fprintf(stderr, "gateway %s cannot be asked anything: %s\n", g->config->name,
                      why.text);
        free(g->admin);
        g->admin = NULL;
    }
}

void gateway_admin_close(struct gateway *g)
{
    gateway_watch_end(g);
    if (g->admin != NULL) {
        http_server_close(g->admin->server);
        free(g->admin);
        g->admin = NULL;
    }
}

bool gateway_admin_event(struct gateway *g, const struct port_event *ev)
{
    return g->admin != NULL && http_server_event(g->admin->server, ev);
}
