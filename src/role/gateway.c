#include "role/gateway.h"

#include "base/invariant.h"
#include "codec/bus_record.h"
#include "io/folder.h"
#include "io/read_all.h"
#include "role/gateway_admin.h"
#include "role/gateway_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PEM_MAX = 65536,
    PACKET_LIMIT = BUS_RECORD_PAYLOAD_MAX,
    DEVICE_BYTES_MAX = 64 << 20,
    RATE_MAX = 1000000
};

void gateway_fail(struct gateway *g, enum gateway_exit code, const char *what, const char *why)
{
    if (g->exit_code == 0) {
        g->exit_code = (int)code;
        (void)fprintf(stderr, "gateway %s stops: %s: %s\n", g->config->name, what, why);
        port_stop(g->port);
    }
}

/* ---- events ---- */

static void on_refused(struct gateway *g, const struct port_event *ev)
{
    struct port_peer peer = {.address = "-"};
    if (ev->conn != NULL) {
        port_conn_peer(ev->conn, &peer);
    }
    if (ev->conn != NULL) {
        gateway_source_done(g, &peer, false);
    }
    enum gw_gate gate = ev->refused.reason == PORT_CLOSE_TIMEOUT ? GW_GATE_TIMEOUT : GW_GATE_TLS;
    gw_refusals_add(&g->refusals, g->wall_ms, gate, MQTT_UNSPECIFIED_ERROR, ev->refused.detail,
                    peer.address, NULL);
}

static void refresh_tls(struct gateway *g);

/*
 * What a session hears only puts its time off, so the earliest that was ever known is a bound from
 * below: all are looked at when that comes, about three times in a keep alive, and not with every
 * tick.
 */
static void tick_sessions(struct gateway *g, uint64_t now_ms)
{
    g->due_ms = UINT64_MAX;
    for (uint32_t i = 0; i < g->limits.connections_max && g->open_count > 0; i++) {
        struct gateway_conn *c = &g->conns[i];
        if (c->port == NULL || c->is_closing || c->is_throttled) {
            continue; /* who is not read cannot be blamed for saying nothing */
        }
        if (now_ms >= gw_session_due_ms(&c->session)) {
            gateway_conn_feed(g, c, (struct gw_event){.kind = GW_TICK, .now_ms = now_ms});
        }
        gateway_conn_note_due(g, c);
    }
}

static void on_tick(struct gateway *g)
{
    uint64_t now_ms = port_now_ms(g->port);
    gateway_admin_tick(g);
    if (now_ms >= g->due_ms) {
        tick_sessions(g, now_ms);
    }
    if (now_ms >= g->report_due_ms && g->exit_code == 0) {
        g->report_due_ms = now_ms + GATEWAY_REPORT_MS;
        gateway_retain(g);
        refresh_tls(g);
        if (gateway_grants_refresh(g->grants)) {
            gateway_grants_changed(g);
        }
        gateway_report(g);
    }
    (void)gateway_announce(g);
    g->is_delayed = false;
    (void)gateway_sessions_settle(g);
    gateway_sessions_due(g);
    gateway_keep(g);
    gateway_has_room(g);
    if (g->has_regranting) {
        gateway_grants_changed(g);
    }
    port_wake_at(g->wake, now_ms + GATEWAY_TICK_MS);
}

static void on_terminate(struct gateway *g)
{
    g->is_stopping = true;
    for (size_t i = 0; i < g->config->listen_count; i++) {
        if (g->listeners[i] != NULL) {
            port_listener_close(g->listeners[i]);
            g->listeners[i] = NULL;
        }
    }
    for (uint32_t i = 0; i < g->limits.connections_max; i++) {
        struct gateway_conn *c = &g->conns[i];
        if (c->port != NULL && !c->is_closing) {
            c->is_paused = true; /* what was taken is still made durable and acknowledged */
            port_pause(c->port);
        }
    }
}

/* Once all that was taken is durable and acknowledged: say goodbye; once all are gone: stop. */
static void go_on_stopping(struct gateway *g)
{
    if (bus_staged(g->bus) != bus_durable(g->bus)) {
        return;
    }
    if (!g->told_to_stop) {
        g->told_to_stop = true;
        struct gw_event ev = {.kind = GW_STOPPING, .now_ms = port_now_ms(g->port)};
        for (uint32_t i = 0; i < g->limits.connections_max; i++) {
            if (g->conns[i].port != NULL && !g->conns[i].is_closing) {
                gateway_conn_feed(g, &g->conns[i], ev);
            }
        }
        gateway_flush(g);
    } else if (g->open_count == 0) {
        port_stop(g->port);
    }
}

static void on_turn_ended(struct gateway *g)
{
    gateway_quota_turn(g);
    gateway_deliver(g);
    if (g->queue_moved) {
        g->queue_moved = false;
        gateway_has_room(g);
    }
    gateway_flush(g);
    if (g->is_stopping && g->exit_code == 0) {
        go_on_stopping(g);
    }
}

static void on_event(void *role, const struct port_event *ev)
{
    struct gateway *g = role;
    struct gateway_conn *c = ev->user; /* of RECEIVED and CLOSED */
    if (g->exit_code != 0 || g->bus == NULL) {
        return; /* failed, or not yet begun: nothing is answered any more */
    }
    g->wall_ms = port_wall_ms(g->port, &g->wall_quality);
    g->now_us = port_now_us(g->port);
    g->now_ms = g->now_us / 1000;
    bool grants_changed = false;
    if (gateway_admin_event(g, ev) || gateway_grants_event(g->grants, ev, &grants_changed)) {
        if (grants_changed) {
            gateway_grants_changed(g);
        }
        return;
    }
    switch (ev->kind) {
    case PORT_ACCEPTED: gateway_conn_accepted(g, ev->conn); return;
    case PORT_REFUSED: on_refused(g, ev); return;
    case PORT_RECEIVED: gateway_conn_received(g, c, ev->received.bytes); return;
    case PORT_CLOSED:
        if (c != NULL) {
            gateway_conn_closed(g, c);
        }
        return;
    case PORT_WOKE:
        if (ev->user == &g->wake) {
            on_tick(g);
        } /* the others only end the turn */
        return;
    case PORT_SYNCED: gateway_synced(g, ev->synced.result); return;
    case PORT_TERMINATE: on_terminate(g); return;
    case PORT_TURN_ENDED: on_turn_ended(g); return;
    case PORT_DRAINED:
        if (c != NULL) {
            gateway_conn_drained(g, c);
        }
        return;
    case PORT_CONNECTED:
    case PORT_CHANGED:
    case PORT_EXITED: return;
    }
    UNREACHABLE();
}

/* ---- start ---- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static struct gateway_limits complete(const struct gateway_limits *l)
{
    return (struct gateway_limits){
        .connections_max = or_default(l->connections_max, 4096),
        .handshakes_max = or_default(l->handshakes_max, 1024),
        .address_connects = or_default(l->address_connects, 500),
        .address_burst = or_default(l->address_burst, 4000),
        .device_connects = or_default(l->device_connects, 5),
        .device_packets = l->device_packets,
        .device_bytes = l->device_bytes,
        .per_device_max = or_default(l->per_device_max, 4),
        .packet_max = or_default(l->packet_max, 128 * 1024),
        .inflight_max = or_default(l->inflight_max, 64),
        .keep_alive_max_s = or_default(l->keep_alive_max_s, 1200),
        .resume_s = or_default(l->resume_s, 86400),
        .connect_ms = or_default(l->connect_ms, 10000),
        .messages_max = or_default(l->messages_max, 131072),
        .session_expiry_max_s = or_default(l->session_expiry_max_s, 7 * 24 * 3600),
        .spool_segment_bytes = l->spool_segment_bytes != 0 ? l->spool_segment_bytes : 16 << 20,
        .spool_budget_bytes =
            l->spool_budget_bytes != 0 ? l->spool_budget_bytes : UINT64_C(2) << 30,
    };
}

static int bad_config(const struct gateway_config *config, const char *what, const char *why)
{
    (void)fprintf(stderr, "gateway %s was not started: %s: %s\n", config->name, what, why);
    return GATEWAY_BAD_CONFIG;
}

static int check_limits(const struct gateway *g)
{
    const struct gateway_limits *l = &g->limits;
    if (g->config->listen_count == 0 || g->config->listen_count > GATEWAY_LISTEN_MAX) {
        return bad_config(g->config, "listen", "1 to 8 addresses are needed");
    }
    if (l->packet_max > PACKET_LIMIT) {
        return bad_config(g->config, "packet_max", "more than 256 KiB");
    }
    if (l->inflight_max > GW_INFLIGHT_CAP || l->keep_alive_max_s > UINT16_MAX) {
        return bad_config(g->config, "inflight_max, keep_alive_max", "more than 65,535");
    }
    if (l->resume_s > PORT_SESSION_LIFETIME_MAX_S) {
        return bad_config(g->config, "resume_s", "more than seven days");
    }
    if (l->device_bytes > DEVICE_BYTES_MAX) {
        return bad_config(g->config, "device_bytes", "more than 64 MiB in a second");
    }
    if (l->device_packets > RATE_MAX || l->address_connects > RATE_MAX
        || l->address_burst > RATE_MAX || l->device_connects > RATE_MAX) {
        return bad_config(g->config, "device_packets, connects", "more than a million");
    }
    return 0;
}

static void *alloc(size_t count, size_t size)
{
    void *at = calloc(count, size);
    INVARIANT(at != NULL);
    return at;
}

/* Room for the longest of each: a message with all it is for, a part of a session, a PUBLISH with
 * its answers before it. */
static void make_buffers(struct gateway *g)
{
    size_t packet = g->limits.packet_max;
    size_t longest = packet > GATEWAY_CERTIFICATE_MAX ? packet : GATEWAY_CERTIFICATE_MAX;
    g->targets_cap = packet < GATEWAY_TARGETS_CAP ? packet : GATEWAY_TARGETS_CAP;
    g->session_cap = longest;
    g->items_cap = longest - 1024;
    g->record_cap =
        BUS_RECORD_OVERHEAD + longest + (packet + g->targets_cap > longest ? g->targets_cap : 0);
    g->out_cap = packet + GATEWAY_OUT_CAP;
    g->record = alloc(g->record_cap, 1);
    g->session_bytes = alloc(g->session_cap, 1);
    g->targets = alloc(g->targets_cap, 1);
    g->items = alloc(g->items_cap, 1);
    g->properties = alloc(packet, 1);
    g->out = alloc(g->out_cap, 1);
}

static void make_places(struct gateway *g)
{
    uint32_t count = g->limits.connections_max;
    uint32_t cap = 16;
    while (cap / 8 * 7 < count) {
        cap *= 2;
    }
    uint64_t seed = 0;
    port_entropy(g->port, &seed, sizeof seed);
    g->conns = alloc(count, sizeof *g->conns);
    g->pendings = alloc((size_t)count * g->limits.inflight_max, sizeof *g->pendings);
    g->aliases = alloc(count, sizeof *g->aliases);
    g->slots = alloc((size_t)cap * 2, sizeof *g->slots);
    gw_registry_init(&g->registry, g->slots, g->slots + cap, cap, count, seed);
    for (uint32_t i = 0; i < count; i++) {
        g->conns[i].index = i;
        g->conns[i].next = i + 1 < count ? i + 1 : GATEWAY_NONE;
    }
    gateway_quota_init(g);
    g->free_head = 0;
    g->refusals_told = UINT64_MAX;
    g->waiting_head = GATEWAY_NONE;
    g->displaced = GATEWAY_NONE;
    make_buffers(g);
    g->session_limits = (struct gw_limits){
        .packet_max = g->limits.packet_max,
        .inflight_max = g->limits.inflight_max,
        .keep_alive_max_s = g->limits.keep_alive_max_s,
        .connect_ms = g->limits.connect_ms,
        .session_expiry_max_s = g->limits.session_expiry_max_s,
        .allow_3_1_1 = g->config->allow_3_1_1,
    };
}

/* Certificate, key and issuer as they are now; NULL where that is what was last tried. */
static enum port_result load_tls(struct gateway *g, struct port_tls **out, struct port_why *why)
{
    const char *const paths[] = {g->config->certificate_path, g->config->key_path,
                                 g->config->issuer_path};
    uint8_t *pem = alloc(COUNT_OF(paths), PEM_MAX);
    struct slice parts[COUNT_OF(paths)] = {{0}};
    enum port_result result = PORT_OK;
    *out = NULL;
    for (size_t i = 0; i < COUNT_OF(paths) && result == PORT_OK; i++) {
        size_t len = 0;
        result = port_file_read_all(g->port, paths[i], pem + i * PEM_MAX, PEM_MAX, &len);
        parts[i] = slice_of(pem + i * PEM_MAX, len);
        if (result != PORT_OK) {
            (void)snprintf(why->text, sizeof why->text, "%.200s cannot be read", paths[i]);
        }
    }
    if (tls_files_are_new(&g->tls_files, parts, COUNT_OF(parts)) && result == PORT_OK) {
        struct port_tls_config config = {.certificate_pem = parts[0],
                                         .key_pem = parts[1],
                                         .anchors = {{.pem = parts[2]}},
                                         .anchors_count = 1,
                                         .is_server = true,
                                         .require_peer = true,
                                         .sessions = g->sessions};
        result = port_tls_make(g->port, &config, out, why);
    }
    wipe(pem, COUNT_OF(paths) * (size_t)PEM_MAX);
    free(pem);
    return result;
}

static int open_tls(struct gateway *g)
{
    struct port_why why = {0};
    g->sessions =
        port_sessions_make(g->port, g->limits.connections_max, g->limits.resume_s, gateway_stands);
    if (load_tls(g, &g->tls, &why) != PORT_OK) {
        return bad_config(g->config, "certificate, key and issuer", why.text);
    }
    return 0;
}

/* A renewed certificate, or another list of issuers, is for connections to come; those there are
 * stay. */
static void refresh_tls(struct gateway *g)
{
    struct port_why why = {0};
    struct port_tls *tls = NULL;
    uint64_t now_ms = port_now_ms(g->port);
    if (now_ms < g->tls_files.due_ms) {
        return;
    }
    g->tls_files.due_ms = now_ms + TLS_FILES_LOOK_MS;
    struct digest before = g->tls_files.seen;
    if (load_tls(g, &tls, &why) != PORT_OK) {
        if (memcmp(&before, &g->tls_files.seen, sizeof before) != 0) {
            g->tls_files.refused++;
            (void)fprintf(stderr, "gateway %s keeps the certificate and issuers it has: %s\n",
                          g->config->name, why.text);
        }
        return;
    }
    if (tls == NULL) {
        return;
    }
    for (size_t i = 0; i < g->config->listen_count; i++) {
        if (g->listeners[i] != NULL) {
            port_listener_set_tls(g->listeners[i], tls);
        }
    }
    port_tls_free(g->tls);
    g->tls = tls;
    g->tls_files.taken++;
}

static int open_spool(struct gateway *g)
{
    uint64_t half = g->limits.spool_segment_bytes / 2;
    struct bus_limits limits = {
        .segment_bytes = g->limits.spool_segment_bytes,
        .budget_bytes = g->limits.spool_budget_bytes,
        .record_max = g->record_cap,
        .batch_max = half < GATEWAY_BATCH_MAX ? (size_t)half : GATEWAY_BATCH_MAX,
    };
    struct port_why why = {0};
    if (port_folder_make(g->port, g->config->spool_dir) != PORT_OK) {
        return bad_config(g->config, g->config->spool_dir, "cannot be made");
    }
    switch (bus_writer_open(g->port, g->config->spool_dir, &limits, &g->bus, &why)) {
    case BUS_OK: return 0;
    case BUS_BROKEN:
        (void)fprintf(stderr, "gateway %s was not started: %s\n", g->config->name, why.text);
        return GATEWAY_STORAGE_FAILED;
    case BUS_FULL:
    case BUS_TOO_LONG:
    case BUS_END:
    case BUS_GONE: break;
    }
    return bad_config(g->config, g->config->spool_dir, why.text);
}

static int open_listeners(struct gateway *g)
{
    struct port_listen_options options = {
        .receive_cap = g->limits.packet_max,
        .send_cap = g->out_cap,
        .handshakes_max = g->limits.handshakes_max,
        .connections_max = g->limits.connections_max,
        .handshake_ms = g->limits.connect_ms,
        .admit = gateway_admits_source,
    };
    for (size_t i = 0; i < g->config->listen_count; i++) {
        const char *address = g->config->listen[i];
        struct port_why why = {0};
        if (port_listen(g->port, address, g->tls, &options, NULL, &g->listeners[i], &why)
            != PORT_OK) {
            return bad_config(g->config, address, why.text);
        }
    }
    for (size_t i = 0; i < g->config->listen_count; i++) {
        const char *address = g->config->listen[i];
        const char *colon = strrchr(address, ':');
        int host_len = colon != NULL ? (int)(colon - address) : (int)strlen(address);
        (void)printf("gateway %s listens on %.*s:%u\n", g->config->name, host_len, address,
                     (unsigned)port_listener_port(g->listeners[i]));
    }
    (void)fflush(stdout);
    return 0;
}

static int open_all(struct gateway *g)
{
    int failed = check_limits(g);
    if (failed == 0) {
        make_places(g);
        failed = open_tls(g);
    }
    if (failed == 0) {
        failed = open_spool(g);
    }
    if (failed == 0) {
        failed = gateway_sessions_begin(g);
    }
    if (failed == 0) {
        g->grants = gateway_grants_open(g->port, g->config->grants_path, g->config->name);
        gateway_admin_open(g);
        failed = open_listeners(g);
    }
    return failed;
}

static void close_all(struct gateway *g)
{
    trace_stop(g->trace);
    g->trace = NULL;
    if (g->bus != NULL && g->exit_code == 0) {
        g->acked = bus_acked(g->bus);
        gateway_report(g);
    }
    gateway_admin_close(g);
    gateway_grants_close(g->grants);
    port_tls_free(g->tls);
    port_sessions_free(g->sessions);
    bus_reader_close(g->reader);
    if (g->bus != NULL) {
        bus_writer_close(g->bus);
        g->bus = NULL;
    }
    port_close_all(g->port);
    gateway_quota_free(g);
    gateway_sessions_free(g);
    free(g->record);
    free(g->session_bytes);
    free(g->targets);
    free(g->items);
    free(g->properties);
    free(g->out);
    free(g->aliases);
    free(g->slots);
    free(g->pendings);
    for (uint32_t i = 0; g->conns != NULL && i < g->limits.connections_max; i++) {
        free(g->conns[i].app);
    }
    free(g->conns);
    free(g);
}

int gateway_begin(const struct gateway_config *config, struct gateway **out)
{
    struct gateway *g = alloc(1, sizeof *g);
    g->config = config;
    g->limits = complete(&config->limits);
    g->port = port_open(on_event, g);
    INVARIANT(g->port != NULL);
    g->trace =
        trace_start(g->port, "gateway", config->traces_dir, &gw_session_trace, 1, TRACE_RING_BYTES);
    int code = open_all(g);
    if (code == 0) {
        g->wall_ms = port_wall_ms(g->port, &g->wall_quality);
        (void)gateway_announce(g); /* no room: with the first link */
        if (gateway_grants_number(g->grants) > 0) {
            gateway_grants_changed(g); /* while this gateway was down */
        }
        g->flush_wake = port_wake_new(g->port, &g->flush_wake);
        g->wake = port_wake_new(g->port, &g->wake);
        g->quota_wake = port_wake_new(g->port, &g->quota_wake);
        port_wake_at(g->wake, port_now_ms(g->port));
        *out = g;
    } else {
        g->exit_code = code;
        close_all(g);
    }
    return code;
}

int gateway_end(struct gateway *g)
{
    int code = g->exit_code;
    close_all(g);
    return code;
}

/* Whoever takes over a gateway from outside finds its listeners open, its spool, and nothing else:
 * no program to start, no connection to make, no key but the gateway's. */
static bool give_up_rights(struct gateway *g)
{
    const struct gateway_config *config = g->config;
    char name[160];
    struct confine_paths reads = {0};
    struct confine_paths writes = {0};
    confine_folder_of(&reads, config->certificate_path);
    confine_folder_of(&reads, config->key_path);
    confine_folder_of(&reads, config->issuer_path);
    confine_folder_of(&reads, config->grants_path);
    confine_path(&writes, config->spool_dir, NULL);
    if (config->state_dir != NULL) {
        confine_path(&writes, config->state_dir, NULL);
    }
    confine_folder_of(&writes, config->traces_dir);
    confine_folder_of(&writes, config->metrics_path);
    confine_folder_of(&writes, config->refusals_path);
    (void)snprintf(name, sizeof name, "gateway %.140s", config->name);
    return confine(g->port, name, config->sandbox,
                   &(struct port_rights){.reads = reads.list, .writes = writes.list});
}

int gateway_run(const struct gateway_config *config)
{
    struct gateway *g = NULL;
    int code = gateway_begin(config, &g);
    if (code == 0) {
        if (give_up_rights(g)) {
            port_run(g->port);
        } else {
            g->exit_code = GATEWAY_FAILED;
        }
        code = gateway_end(g);
    }
    return code;
}
