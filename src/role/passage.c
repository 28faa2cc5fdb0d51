#include "role/passage.h"

#include "base/invariant.h"
#include "core/gateway/passage.h"
#include "core/gateway/refusals.h"
#include "role/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_FAILED = 1,
    EXIT_BAD_CONFIG = 9,
    CONNECTIONS_MAX = 256,
    PER_ADDRESS_MAX = 16,
    RECEIVE_CAP = 16384, /* holds a whole ClientHello */
    SEND_CAP = 65536,
    HELLO_MS = 5000,
    CALL_MS = 10000,
    IDLE_MS = 60000,
    LIFE_MS = 600000,
    BYTES_MAX = 4 << 20,
    TICK_MS = 250,
    REPORT_MS = 1000,
    REPORT_CAP = 65536,
    NAME_CAP = 256,
    NONE = -1
};
static_assert((int)RECEIVE_CAP >= (int)CLIENT_HELLO_MAX, "a ClientHello fits what is received");

/* The two ends of one passage; a pointer to one of them is what the port knows. */
struct end {
    struct pair *pair;
    struct port_conn *port; /* NULL: there is none, or no more */
    bool is_waiting;        /* paused until the other end has room */
};

struct pair {
    struct end client, service;
    bool is_taken;
    struct passage core;
    char address[GW_ADDRESS_MAX]; /* without the port */
};

struct passage_process {
    const struct passage_config *config;
    struct passage_limits limits;
    char names[PASSAGE_NAMES_MAX][NAME_CAP];
    struct port *port;
    struct port_listener *listeners[PASSAGE_LISTEN_MAX];
    struct port_wake *wake;
    struct pair *pairs;
    uint32_t pairs_count, open_count, per_address_max;
    uint64_t report_due_ms;
    struct gw_refusals refusals;
    uint64_t refusals_told;
    uint64_t begun, ended[PASSAGE_END_COUNT], crowded;
    uint64_t bytes_up, bytes_down;
    bool is_stopping;
    uint8_t report[REPORT_CAP];
};

static const struct port_listen_options options = {
    .receive_cap = RECEIVE_CAP,
    .send_cap = SEND_CAP,
    .handshakes_max = CONNECTIONS_MAX,
    .connections_max = 4 * CONNECTIONS_MAX,
    .handshake_ms = HELLO_MS,
};

static void refuse(struct passage_process *p, const char *address, const char *why)
{
    enum time_quality quality;
    gw_refusals_add(&p->refusals, port_wall_ms(p->port, &quality), GW_GATE_CONNECTIONS,
                    MQTT_UNSPECIFIED_ERROR, why, address, NULL);
}

/* ---- one pair ---- */

static void leave(struct passage_process *p, struct pair *pair)
{
    if (pair->is_taken && pair->client.port == NULL && pair->service.port == NULL) {
        pair->is_taken = false;
        p->open_count--;
    }
}

static void close_end(struct end *end, bool drops)
{
    if (end->port != NULL && drops) {
        port_abort(end->port);
    } else if (end->port != NULL) {
        port_close(end->port);
    }
}

static void feed(struct passage_process *p, struct pair *pair, struct passage_event ev);

static void call_service(struct passage_process *p, struct pair *pair)
{
    struct port_why why = {{0}};
    port_pause(pair->client.port);
    if (port_connect(p->port, p->config->service, NULL, NULL, &options, &pair->service,
                     &pair->service.port, &why)
        != PORT_OK) {
        pair->service.port = NULL;
        feed(p, pair, (struct passage_event){.kind = PASSAGE_LOST});
    }
}

static void perform(struct passage_process *p,
                    struct pair *pair,
                    const struct passage_effect *effect)
{
    switch (effect->order) {
    case PASSAGE_WAIT:
    case PASSAGE_PASS: return; /* bytes pass where they come in */
    case PASSAGE_CALL: call_service(p, pair); return;
    case PASSAGE_CLOSE: {
        p->ended[effect->end]++;
        if (effect->why != NULL) {
            refuse(p, pair->address, effect->why);
        }
        bool is_orderly = effect->end == PASSAGE_END_DONE || effect->end == PASSAGE_END_STOPPING;
        close_end(&pair->client, !is_orderly);
        close_end(&pair->service, !is_orderly);
        return;
    }
    }
    UNREACHABLE();
}

static void feed(struct passage_process *p, struct pair *pair, struct passage_event ev)
{
    struct passage_effect effect;
    ev.now_ms = port_now_ms(p->port);
    passage_step(&pair->core, &ev, &effect);
    perform(p, pair, &effect);
}

/* As much as the other end has room for and the connection may still pass; what does not fit stays
 * with the port, which is not asked for more until there is room. */
static void pass(struct passage_process *p, struct end *from, struct slice bytes)
{
    struct pair *pair = from->pair;
    bool is_up = from == &pair->client;
    struct end *to = is_up ? &pair->service : &pair->client;
    if (to->port == NULL) {
        port_consume(from->port, bytes.len); /* nobody is there to read it any more */
        return;
    }
    size_t len = bytes.len;
    size_t room = port_send_room(to->port);
    uint64_t allowed = passage_room(&pair->core, is_up);
    len = len < room ? len : room;
    len = len < allowed ? len : (size_t)allowed;
    if (len > 0 && port_send(to->port, slice_of(bytes.at, len))) {
        port_consume(from->port, len);
        *(is_up ? &p->bytes_up : &p->bytes_down) += len;
        feed(p, pair, (struct passage_event){.kind = PASSAGE_PASSED, .count = len, .is_up = is_up});
    }
    if (len < bytes.len && pair->core.state == PASSAGE_FLOWING) {
        from->is_waiting = true;
        port_pause(from->port);
        (void)port_send(to->port, slice_after(bytes, len)); /* no room: PORT_DRAINED is owed now */
    }
}

static void on_received(struct passage_process *p, struct end *from, struct slice bytes)
{
    switch (from->pair->core.state) {
    case PASSAGE_READING:
        feed(p, from->pair, (struct passage_event){.kind = PASSAGE_SAW, .bytes = bytes});
        return;
    case PASSAGE_CALLING: return;
    case PASSAGE_FLOWING: pass(p, from, bytes); return;
    case PASSAGE_CLOSED: port_consume(from->port, bytes.len); return;
    }
    UNREACHABLE();
}

static void on_drained(struct end *at)
{
    struct end *from = at == &at->pair->client ? &at->pair->service : &at->pair->client;
    if (from->is_waiting && from->port != NULL) {
        from->is_waiting = false;
        port_resume(from->port);
    }
}

static void on_closed(struct passage_process *p, struct end *at)
{
    at->port = NULL;
    feed(p, at->pair, (struct passage_event){.kind = PASSAGE_LOST});
    leave(p, at->pair);
}

/* ---- connections ---- */

/* "10.0.0.7:51234" -> "10.0.0.7": the port of a client says nothing of who it is. */
static void take_address(const char *full, char out[GW_ADDRESS_MAX])
{
    const char *colon = strrchr(full, ':');
    size_t len = colon != NULL ? (size_t)(colon - full) : strlen(full);
    (void)snprintf(out, GW_ADDRESS_MAX, "%.*s", (int)len, full);
}

static struct pair *take_pair(struct passage_process *p, const char *address, const char **why)
{
    struct pair *free_one = NULL;
    uint32_t same = 0;
    for (uint32_t i = 0; i < p->pairs_count; i++) {
        struct pair *pair = &p->pairs[i];
        if (!pair->is_taken) {
            free_one = pair;
        } else if (strcmp(pair->address, address) == 0) {
            same++;
        }
    }
    *why = same >= p->per_address_max ? "too many connections of one address at once"
                                      : "no place for another connection";
    return same >= p->per_address_max ? NULL : free_one;
}

static void on_accepted(struct passage_process *p, struct port_conn *conn)
{
    struct port_peer peer;
    char address[GW_ADDRESS_MAX];
    const char *why = NULL;
    port_conn_peer(conn, &peer);
    take_address(peer.address, address);
    struct pair *pair = p->is_stopping ? NULL : take_pair(p, address, &why);
    if (pair == NULL) {
        p->crowded++;
        if (why != NULL) {
            refuse(p, address, why);
        }
        port_conn_set_user(conn, NULL);
        port_abort(conn);
        return;
    }
    *pair = (struct pair){
        .is_taken = true, .client = {.pair = pair, .port = conn}, .service = {.pair = pair}};
    memcpy(pair->address, address, sizeof pair->address);
    port_conn_set_user(conn, &pair->client);
    passage_init(&pair->core, &p->limits, port_now_ms(p->port));
    p->begun++;
    p->open_count++;
}

static void on_terminate(struct passage_process *p)
{
    p->is_stopping = true;
    for (size_t i = 0; i < p->config->listen_count; i++) {
        port_listener_close(p->listeners[i]);
    }
    for (uint32_t i = 0; i < p->pairs_count; i++) {
        if (p->pairs[i].is_taken) {
            feed(p, &p->pairs[i], (struct passage_event){.kind = PASSAGE_STOP});
        }
    }
}

/* ---- what it tells ---- */

static void write_report(struct passage_process *p, struct writer *w)
{
    static const char ended[] = "holdfast_passage_ended_total";
    metrics_name(w, "holdfast_passage_connections", "gauge", "Connections passed through now.");
    metrics_value(w, "holdfast_passage_connections", NULL, p->open_count);
    metrics_name(w, "holdfast_passage_begun_total", "counter", "Connections that were looked at.");
    metrics_value(w, "holdfast_passage_begun_total", NULL, p->begun);
    metrics_name(w, ended, "counter", "Connections that ended, by how.");
    for (int i = 0; i < PASSAGE_END_COUNT; i++) {
        metrics_labelled(w, ended, "end", slice_text(passage_end_name((enum passage_end)i)),
                         p->ended[i]);
    }
    metrics_name(w, "holdfast_passage_crowded_total", "counter",
                 "Connections refused at once: no place, or too many of one address.");
    metrics_value(w, "holdfast_passage_crowded_total", NULL, p->crowded);
    metrics_name(w, "holdfast_passage_bytes_total", "counter", "Bytes passed on.");
    metrics_value(w, "holdfast_passage_bytes_total", "way=\"up\"", p->bytes_up);
    metrics_value(w, "holdfast_passage_bytes_total", "way=\"down\"", p->bytes_down);
    metrics_invariants(w);
    confine_metrics(w);
}

static void report(struct passage_process *p)
{
    struct writer w = writer_over(p->report, sizeof p->report);
    if (p->config->metrics_path != NULL) {
        write_report(p, &w);
        (void)HOLDS(writer_ok(&w));
        (void)metrics_replace(p->port, p->config->metrics_path, writer_slice(&w));
    }
    if (p->config->refusals_path != NULL && p->refusals_told != p->refusals.total) {
        p->refusals_told = p->refusals.total;
        writer_reset(&w);
        for (uint32_t i = 0; gw_refusals_newest(&p->refusals, i) != NULL; i++) {
            gw_refusal_write(&w, gw_refusals_newest(&p->refusals, i));
        }
        (void)metrics_replace(p->port, p->config->refusals_path, writer_slice(&w));
    }
}

static void on_tick(struct passage_process *p)
{
    uint64_t now_ms = port_now_ms(p->port);
    for (uint32_t i = 0; i < p->pairs_count && p->open_count > 0; i++) {
        struct pair *pair = &p->pairs[i];
        if (pair->is_taken && now_ms >= passage_due_ms(&pair->core)) {
            feed(p, pair, (struct passage_event){.kind = PASSAGE_TICK});
        }
    }
    if (now_ms >= p->report_due_ms) {
        p->report_due_ms = now_ms + REPORT_MS;
        report(p);
    }
    port_wake_at(p->wake, now_ms + TICK_MS);
}

static void on_event(void *role, const struct port_event *ev)
{
    struct passage_process *p = role;
    switch (ev->kind) {
    case PORT_ACCEPTED: on_accepted(p, ev->conn); return;
    case PORT_CONNECTED: {
        struct end *service = ev->user;
        feed(p, service->pair, (struct passage_event){.kind = PASSAGE_ANSWERED});
        if (service->pair->client.port != NULL) {
            port_resume(service->pair->client.port);
        }
        return;
    }
    case PORT_RECEIVED: on_received(p, ev->user, ev->received.bytes); return;
    case PORT_DRAINED: on_drained(ev->user); return;
    case PORT_CLOSED:
        if (ev->user != NULL) {
            on_closed(p, ev->user);
        }
        return;
    case PORT_WOKE: on_tick(p); return;
    case PORT_TERMINATE: on_terminate(p); return;
    case PORT_TURN_ENDED:
        if (p->is_stopping && p->open_count == 0) {
            port_stop(p->port);
        }
        return;
    case PORT_REFUSED:
    case PORT_SYNCED:
    case PORT_CHANGED:
    case PORT_EXITED: return;
    }
    UNREACHABLE();
}

/* ---- start ---- */

static bool take_names(struct passage_process *p)
{
    const struct passage_config *config = p->config;
    p->limits = (struct passage_limits){.hello_ms = HELLO_MS,
                                        .call_ms = CALL_MS,
                                        .idle_ms = IDLE_MS,
                                        .life_ms = LIFE_MS,
                                        .bytes_max = BYTES_MAX,
                                        .names_count = (uint32_t)config->names_count};
    if (config->names_count == 0 || config->names_count > PASSAGE_NAMES_MAX) {
        return false;
    }
    for (size_t i = 0; i < config->names_count; i++) {
        size_t len = strlen(config->names[i]);
        if (len == 0 || len >= NAME_CAP) {
            return false;
        }
        for (size_t at = 0; at <= len; at++) {
            char letter = config->names[i][at];
            p->names[i][at] = letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
        }
        p->limits.names[i] = p->names[i];
    }
    return true;
}

static int open_listeners(struct passage_process *p)
{
    for (size_t i = 0; i < p->config->listen_count; i++) {
        const char *address = p->config->listen[i];
        const char *colon = strrchr(address, ':');
        struct port_why why = {{0}};
        if (port_listen(p->port, address, NULL, &options, NULL, &p->listeners[i], &why)
            != PORT_OK) {
            (void)fprintf(stderr, "passage %s was not started: %s: %s\n", p->config->name, address,
                          why.text);
            return EXIT_BAD_CONFIG;
        }
        (void)printf("passage %s listens on %.*s:%u\n", p->config->name,
                     (int)(colon != NULL ? colon - address : 0), address,
                     (unsigned)port_listener_port(p->listeners[i]));
    }
    (void)fflush(stdout);
    return 0;
}

/* One port to call and a folder for its reports. */
static bool give_up_rights(struct passage_process *p)
{
    const char *colon = strrchr(p->config->service, ':');
    uint16_t ports[] = {(uint16_t)strtoul(colon != NULL ? colon + 1 : "0", NULL, 10), 0};
    struct confine_paths writes = {0};
    char name[160];
    confine_folder_of(&writes, p->config->metrics_path);
    confine_folder_of(&writes, p->config->refusals_path);
    (void)snprintf(name, sizeof name, "passage %.140s", p->config->name);
    return confine(
        p->port, name, p->config->sandbox,
        &(struct port_rights){.writes = writes.list, .dials = true, .dials_ports = ports});
}

static int start(struct passage_process *p)
{
    if (p->config->listen_count == 0 || p->config->listen_count > PASSAGE_LISTEN_MAX
        || !take_names(p)) {
        (void)fprintf(
            stderr, "passage %s was not started: 1 to %d addresses and 1 to %d names are needed\n",
            p->config->name, (int)PASSAGE_LISTEN_MAX, (int)PASSAGE_NAMES_MAX);
        return EXIT_BAD_CONFIG;
    }
    p->pairs_count =
        p->config->connections_max != 0 ? p->config->connections_max : (uint32_t)CONNECTIONS_MAX;
    p->per_address_max =
        p->config->per_address_max != 0 ? p->config->per_address_max : (uint32_t)PER_ADDRESS_MAX;
    p->pairs = calloc(p->pairs_count, sizeof *p->pairs);
    INVARIANT(p->pairs != NULL);
    p->refusals_told = UINT64_MAX;
    int code = open_listeners(p);
    if (code == 0 && !give_up_rights(p)) {
        code = EXIT_FAILED;
    }
    return code;
}

int passage_run(const struct passage_config *config)
{
    struct passage_process *p = calloc(1, sizeof *p);
    INVARIANT(p != NULL);
    p->config = config;
    p->port = port_open(on_event, p);
    INVARIANT(p->port != NULL);
    int code = start(p);
    if (code == 0) {
        p->wake = port_wake_new(p->port, NULL);
        port_wake_at(p->wake, port_now_ms(p->port));
        port_run(p->port);
        report(p);
    }
    port_close_all(p->port);
    free(p->pairs);
    free(p);
    return code;
}
