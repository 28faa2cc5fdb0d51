/* One connection's bytes to the session core, and the core's orders to the world. */
#include "base/invariant.h"
#include "codec/bus_record.h"
#include "codec/x509.h"
#include "crypto/hash.h"
#include "role/gateway_sessions.h"
#include "trust/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

/* A connection that is going takes nothing any more, not even nothing. */
static bool is_up(struct gateway_conn *c)
{
    return port_send(c->port, (struct slice){0});
}

static void give_up(struct gateway *g, struct gateway_conn *c, const char *why)
{
    struct mqtt_fault fault = {.reason = MQTT_QUOTA_EXCEEDED, .clause = why};
    gateway_conn_refuse(g, c, GW_GATE_MQTT, fault);
    c->is_closing = true;
    port_abort(c->port);
}

void gateway_conn_send(struct gateway *g, struct gateway_conn *c, struct slice bytes)
{
    if (bytes.len == 0 || port_send(c->port, bytes) || c->is_closing || !is_up(c)) {
        return;
    }
    /* It sends and sends and never reads: its answers have filled their buffer. */
    give_up(g, c, "reads none of its answers");
}

static void drop_reason_string(struct mqtt_packet *packet)
{
    const uint64_t bit = UINT64_C(1) << MQTT_REASON_STRING;
    if (packet->type == MQTT_CONNACK) {
        packet->connack.properties.present &= ~bit;
    } else if (packet->type == MQTT_DISCONNECT) {
        packet->disconnect.properties.present &= ~bit;
    }
}

static void send_packet(struct gateway *g, struct gateway_conn *c, struct mqtt_packet *packet)
{
    if (g->watch != NULL) {
        gateway_watch_packet(g, c, packet, true);
    }
    struct writer w = writer_over(g->out, g->out_cap);
    if (!HOLDS(mqtt_encode(packet, c->session.version, MQTT_FROM_SERVER, &w) == MQTT_OK)) {
        return;
    }
    if (w.len > c->session.peer_packet_max) { /* 3.2.2.3.9, 3.14.2.2.3: the words go first */
        writer_reset(&w);
        drop_reason_string(packet);
        if (!HOLDS(mqtt_encode(packet, c->session.version, MQTT_FROM_SERVER, &w) == MQTT_OK)) {
            return;
        }
    }
    if (w.len <= c->session.peer_packet_max) { /* 3.1.2.11.4: what is still too large is not sent */
        gateway_conn_send(g, c, writer_slice(&w));
    } else if (packet->type == MQTT_CONNACK || packet->type == MQTT_SUBACK
               || packet->type == MQTT_UNSUBACK) {
        give_up(g, c, "takes no packet as large as its answer"); /* it would wait for ever */
    }
    if (packet->type == MQTT_CONNACK && c->session_number != 0) {
        gw_broker_ready_push(g->broker, c->session_number); /* what waited for it */
    }
}

static void send_acks(struct gateway *g,
                      struct gateway_conn *c,
                      const struct gw_pending *list,
                      uint32_t count)
{
    struct writer w = writer_over(g->out, GATEWAY_OUT_CAP / 2);
    gw_acks_check(list, count, bus_durable(g->bus));
    if (g->watch != NULL && count > 0) {
        gateway_watch_acks(g, c, list, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (writer_room(&w) < MQTT_ACK_MAX) {
            gateway_conn_send(g, c, writer_slice(&w));
            writer_reset(&w);
        }
        mqtt_ack_write(&w, c->session.version, (enum mqtt_type)list[i].type, list[i].packet_id,
                       list[i].reason);
        g->counts.acks_refusing += list[i].reason >= MQTT_UNSPECIFIED_ERROR;
    }
    g->counts.acks += count;
    gateway_conn_send(g, c, writer_slice(&w));
}

void gateway_conn_refuse(struct gateway *g,
                         struct gateway_conn *c,
                         enum gw_gate gate,
                         struct mqtt_fault fault)
{
    gw_refusals_add(&g->refusals, g->wall_ms, gate, fault.reason, fault.clause, c->address,
                    &c->fingerprint);
}

/* ---- the session's place and its links ---- */

/* The certificate goes with the link: it is what makes the device known to ingest. */
static bool stage_link(struct gateway *g, struct gateway_conn *c)
{
    struct port_peer peer;
    port_conn_peer(c->port, &peer);
    struct bus_record record = {
        .kind = BUS_LINKED, .device = c->session.owner, .payload = peer.certificate_der};
    memcpy(record.exporter_digest, c->exporter.bytes, sizeof record.exporter_digest);
    bus_position position = 0;
    return gateway_announce(g) && gateway_stage(g, &record, &position) == BUS_OK;
}

/* A device is unlinked when its last session has ended. Applications have no links: ingest knows
 * devices alone. */
static void leave(
    struct gateway *g, struct gateway_conn *c, enum gw_end end, uint32_t expiry_s, bool drops_will)
{
    gateway_session_close(g, c, expiry_s, drops_will);
    if (!c->is_entered) {
        return;
    }
    c->is_entered = false;
    g->counts.ends[end]++;
    const struct device_id *device = &c->session.owner;
    if (!gw_registry_leave(&g->registry, device, gw_session_client_id(&c->session), c->index)
        || gw_registry_has(&g->registry, device) || c->app != NULL) {
        return;
    }
    struct bus_record record = {
        .kind = BUS_UNLINKED, .device = *device, .payload = slice_text(gw_end_name(end))};
    bus_position position = 0;
    if (gateway_stage(g, &record, &position) != BUS_OK) {
        g->counts.records_dropped++;
    }
}

/* The place is another connection's now; this one hears of it when that has its answer. */
static void displace(struct gateway *g, uint32_t connection)
{
    struct gateway_conn *other = &g->conns[connection];
    g->displaced = connection;
    other->is_entered = false;
    g->counts.ends[GW_END_TAKEN_OVER]++;
    gateway_session_close(g, other, other->session.expiry_s, false);
}

static bool enter(struct gateway *g,
                  struct gateway_conn *c,
                  struct slice client_id,
                  enum mqtt_reason *reason)
{
    uint32_t displaced = GATEWAY_NONE;
    uint32_t most = c->app != NULL ? g->limits.connections_max : g->limits.per_device_max;
    switch (
        gw_registry_enter(&g->registry, &c->session.owner, client_id, c->index, most, &displaced)) {
    case GW_ENTERED: break;
    case GW_ENTERED_OVER: displace(g, displaced); break;
    case GW_DEVICE_FULL: *reason = MQTT_QUOTA_EXCEEDED; return false;
    case GW_REGISTRY_FULL: *reason = MQTT_SERVER_BUSY; return false;
    }
    c->is_entered = true;
    return true;
}

static struct gw_event admit(struct gateway *g,
                             struct gateway_conn *c,
                             const struct gw_effect *effect)
{
    struct gw_event answer = {.kind = GW_DENIED, .now_ms = port_now_ms(g->port)};
    struct slice client_id = effect->admission.client_id;
    if (gateway_admission_closed(g, &answer.stop.reason)) {
        return answer;
    }
    if (!gateway_quota_connects(g, c, &answer.stop.clause)) {
        answer.stop.reason = MQTT_CONNECTION_RATE_EXCEEDED;
        return answer;
    }
    if (!enter(g, c, client_id, &answer.stop.reason)) {
        return answer;
    }
    answer.stop.reason = MQTT_SERVER_BUSY;
    if (gateway_announce(g) && (c->app != NULL || stage_link(g, c))) {
        answer = gateway_session_open(g, c, effect);
    }
    if (answer.kind == GW_DENIED) {
        (void)gw_registry_leave(&g->registry, &c->session.owner, client_id, c->index);
        c->is_entered = false;
        return answer;
    }
    g->counts.sessions_begun++;
    return answer;
}

/* ---- the core's orders ---- */

static bool is_stalled(const struct gateway_conn *c)
{
    return c->session.stall == GW_WAITS_FOR_ROOM || c->session.stall == GW_WAITS_FOR_QUEUE;
}

static void pause_conn(struct gateway *g, struct gateway_conn *c, bool comes_again)
{
    c->is_paused = true;
    c->comes_again = comes_again;
    g->counts.stalls += c->session.stall != GW_WAITS_FOR_STORAGE;
    if (is_stalled(c)) {
        g->stalled_count++;
    }
    port_pause(c->port);
}

static void resume_conn(struct gateway *g, struct gateway_conn *c, enum gw_event_kind why)
{
    if (why == GW_HAS_ROOM) {
        g->stalled_count--;
    }
    if (!g->is_stopping && !c->is_leaving) {
        c->is_paused = false;
        c->comes_again = false;
        if (!c->is_throttled) {
            port_resume(c->port);
        }
    }
}

static void close_conn(struct gateway *g, struct gateway_conn *c, const struct gw_effect *effect)
{
    leave(g, c, effect->close.end, effect->close.expiry_s, effect->close.drops_will);
    if (!c->is_closing) {
        c->is_closing = true;
        port_close(c->port);
    }
}

/* Carries out one order; true where `ev` has become its answer. */
static bool perform(struct gateway *g,
                    struct gateway_conn *c,
                    struct gw_effect *effect,
                    struct gw_event *ev)
{
    switch (effect->kind) {
    case GW_ASK_ADMISSION: *ev = admit(g, c, effect); return true;
    case GW_APPEND: *ev = gateway_session_publish(g, c, effect); return true;
    case GW_RELEASE: *ev = gateway_session_release(g, c, effect->packet_id); return true;
    case GW_SUBSCRIBE: *ev = gateway_session_subscribe(g, c, effect); return true;
    case GW_UNSUBSCRIBE: *ev = gateway_session_unsubscribe(g, c, effect); return true;
    case GW_TAKE_ACK: *ev = gateway_session_ack(g, c, effect); return true;
    case GW_ACK: send_acks(g, c, effect->acks.list, effect->acks.count); return false;
    case GW_SEND: send_packet(g, c, &effect->packet); return false;
    case GW_PAUSE: pause_conn(g, c, effect->comes_again); return false;
    case GW_RESUME: resume_conn(g, c, ev->kind); return false;
    case GW_REFUSE: gateway_conn_refuse(g, c, GW_GATE_MQTT, effect->fault); return false;
    case GW_CLOSE: close_conn(g, c, effect); return false;
    }
    UNREACHABLE();
}

static void note_waiting(struct gateway *g, struct gateway_conn *c)
{
    if (!c->is_waiting && gw_session_waits(&c->session)) {
        c->is_waiting = true;
        c->next = g->waiting_head;
        g->waiting_head = c->index;
    }
}

static void step(struct gateway *g,
                 struct gateway_conn *c,
                 const struct gw_event *ev,
                 struct gw_effects *fx)
{
    if (g->trace != NULL) {
        trace_at(g->trace, 0, c->index, &c->session);
        uint64_t durable = ev->kind == GW_STAGED ? 0 : bus_durable(g->bus);
        gw_trace_event(&g->trace->recorder, &c->traced, c->index, &c->session, ev, durable);
    }
    gw_session_step(&c->session, ev, fx);
    gateway_conn_note_due(g, c);
}

/* Steps until the core waits for something that is not known yet. */
static void run(struct gateway *g, struct gateway_conn *c, struct gw_event ev)
{
    struct gw_effects fx;
    for (bool again = true; again && g->exit_code == 0;) {
        again = false;
        step(g, c, &ev, &fx);
        for (uint32_t i = 0; i < fx.count && g->exit_code == 0; i++) {
            again = perform(g, c, &fx.list[i], &ev) || again;
        }
    }
    trace_left(g->trace);
}

void gateway_conn_feed(struct gateway *g, struct gateway_conn *c, struct gw_event ev)
{
    run(g, c, ev);
    if (ev.kind != GW_STORED) {
        note_waiting(g, c);
    }
    if (g->displaced != GATEWAY_NONE) {
        struct gateway_conn *other = &g->conns[g->displaced];
        g->displaced = GATEWAY_NONE;
        run(g, other, (struct gw_event){.kind = GW_TOOK_OVER, .now_ms = port_now_ms(g->port)});
    }
}

/* ---- what the port tells ---- */

/* Takes the first packet of `bytes`: how many bytes of it are done with; 0: it is not whole, or
 * waits. */
static size_t take_packet(struct gateway *g,
                          struct gateway_conn *c,
                          struct slice bytes,
                          uint64_t now_ms)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct gw_event ev = {.kind = GW_SAW_PACKET, .now_ms = now_ms, .packet = &packet};
    struct mqtt_fault fault = {0};
    enum mqtt_version version = c->session.version != 0 ? c->session.version : MQTT_5_0;
    enum mqtt_result result = mqtt_frame_next(bytes, g->limits.packet_max, &frame, &fault);
    if (result == MQTT_MORE) {
        return 0;
    }
    if (result == MQTT_OK && !gateway_quota_may(g, c, frame.size)) {
        return 0;
    }
    if (result == MQTT_OK) {
        result = mqtt_decode(&frame, version, MQTT_FROM_CLIENT, &packet, &fault);
    }
    if (result != MQTT_OK) {
        ev = (struct gw_event){.kind = GW_SAW_FAULT, .now_ms = now_ms, .fault = fault};
    } else if (g->watch != NULL) {
        gateway_watch_packet(g, c, &packet, false);
    }
    gateway_conn_feed(g, c, ev);
    if (c->comes_again || c->is_closing) {
        return 0;
    }
    gateway_quota_took(g, c, frame.size);
    return frame.size;
}

void gateway_conn_received(struct gateway *g, struct gateway_conn *c, struct slice bytes)
{
    size_t done = 0;
    uint64_t now_ms = g->now_ms;
    while (!c->is_closing && !c->is_paused && !c->is_throttled && g->exit_code == 0) {
        size_t size = take_packet(g, c, slice_after(bytes, done), now_ms);
        if (size == 0) {
            break;
        }
        done += size;
    }
    port_consume(c->port, c->is_closing ? bytes.len : done);
}

/* A device by its certificate, or an application that was granted something. */
static bool identify(struct gateway *g,
                     const struct port_peer *peer,
                     struct device_id *owner,
                     struct gateway_app **app,
                     struct fault *fault)
{
    struct x509 certificate;
    struct slice name;
    struct fault other;
    *app = NULL;
    *fault = (struct fault){.clause = peer->has_certificate ? "a certificate longer than ours are"
                                                            : "no certificate"};
    if (!peer->has_certificate || peer->certificate_der.len > GATEWAY_CERTIFICATE_MAX
        || x509_parse(peer->certificate_der, &certificate, fault) != X509_OK) {
        return false;
    }
    struct slice domain = slice_text(g->config->domain);
    if (!identity_of_application(&certificate, domain, &name, &other)) {
        return identity_of_ldevid(&certificate, domain, owner, fault);
    }
    *app = gateway_app_of(g, &certificate, owner, fault);
    return *app != NULL;
}

/* Whose certificate has lost its meaning here since it was shown does not come back by a session
 * of then. Its times and its issuer are the port's to look at. */
bool gateway_stands(void *role, struct slice certificate_der)
{
    struct port_peer peer = {.has_certificate = true, .certificate_der = certificate_der};
    struct gateway_app *app;
    struct device_id owner;
    struct fault fault;
    bool is_known = identify(role, &peer, &owner, &app, &fault);
    free(app);
    return is_known;
}

static struct gateway_conn *take_place(struct gateway *g)
{
    if (g->free_head == GATEWAY_NONE) {
        return NULL;
    }
    struct gateway_conn *c = &g->conns[g->free_head];
    g->free_head = c->next;
    *c = (struct gateway_conn){.index = c->index, .next = GATEWAY_NONE, .quota = GW_PEERS_NONE};
    g->open_count++;
    return c;
}

void gateway_conn_accepted(struct gateway *g, struct port_conn *port)
{
    struct port_peer peer;
    struct device_id owner;
    struct fault fault;
    port_conn_peer(port, &peer);
    gateway_source_done(g, &peer, true);
    struct gateway_conn *c = g->is_stopping ? NULL : take_place(g);
    if (c == NULL) {
        gw_refusals_add(&g->refusals, g->wall_ms, GW_GATE_CONNECTIONS, MQTT_SERVER_BUSY,
                        "no place for another connection", peer.address, NULL);
        port_conn_set_user(port, NULL);
        port_abort(port);
        return;
    }
    c->port = port;
    memcpy(c->address, peer.address, sizeof c->address - 1);
    c->fingerprint = hash_of(peer.certificate_der);
    c->exporter = hash_of(slice_of(peer.exporter, sizeof peer.exporter));
    port_conn_set_user(port, c);
    g->counts.connections++;
    c->since_wall_ms = g->wall_ms;
    bool is_known = identify(g, &peer, &owner, &c->app, &fault);
    owner = is_known ? owner : (struct device_id){0};
    const struct gw_place place = {
        .limits = &g->session_limits,
        .inflight = g->pendings + (size_t)c->index * g->limits.inflight_max,
        .aliases = &g->aliases[c->index],
        .rights = c->app != NULL ? &c->app->rights : NULL,
    };
    gw_session_init(&c->session, &place, &owner, ++g->number, peer.since_ms);
    gateway_conn_note_due(g, c);
    if (!is_known) {
        gateway_conn_refuse(g, c, GW_GATE_IDENTITY, (struct mqtt_fault){.clause = fault.clause});
    }
    if (!is_known || !gateway_quota_accepted(g, c)) {
        c->is_closing = true;
        port_abort(port);
    }
}

void gateway_conn_closed(struct gateway *g, struct gateway_conn *c)
{
    if (g->watch != NULL) {
        gateway_watch_note(g, c, "end", "the connection is gone");
    }
    if (is_stalled(c) && c->is_paused) {
        g->stalled_count--;
    }
    step(g, c, &(struct gw_event){.kind = GW_LOST}, &(struct gw_effects){0});
    leave(g, c, GW_END_LOST, c->session.expiry_s, c->session.drops_will);
    gateway_quota_closed(g, c);
    if (c->is_waiting) { /* off the list of those that wait: it is short, and this is rare */
        uint32_t *at = &g->waiting_head;
        while (*at != c->index) {
            at = &g->conns[*at].next;
        }
        *at = c->next;
    }
    c->port = NULL;
    free(c->app);
    c->app = NULL;
    c->is_waiting = false;
    c->next = g->free_head;
    g->free_head = c->index;
    g->open_count--;
}
