/* One connection's bytes to the session core, and the core's orders to the world. */
#include "base/invariant.h"
#include "codec/bus_record.h"
#include "codec/x509.h"
#include "crypto/hash.h"
#include "role/gateway_inside.h"
#include "trust/identity.h"

#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

/* A connection that is going takes nothing any more, not even nothing. */
static bool is_up(struct gateway_conn *c)
{
    return port_send(c->port, (struct slice){0});
}

static void send_bytes(struct gateway *g, struct gateway_conn *c, struct slice bytes)
{
    if (bytes.len == 0 || port_send(c->port, bytes) || c->is_closing || !is_up(c)) {
        return;
    }
    /* It sends and sends and never reads: its answers have filled their buffer. */
    struct mqtt_fault fault = {.reason = MQTT_QUOTA_EXCEEDED,
                               .clause = "reads none of its answers"};
    gateway_conn_refuse(g, c, GW_GATE_MQTT, fault);
    c->is_closing = true;
    port_abort(c->port);
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
    struct writer w = writer_over(g->out, sizeof g->out);
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
        send_bytes(g, c, writer_slice(&w));
    }
}

static void send_acks(struct gateway *g,
                      struct gateway_conn *c,
                      const struct gw_pending *list,
                      uint32_t count)
{
    struct writer w = writer_over(g->out, sizeof g->out);
    gw_acks_check(list, count, bus_durable(g->bus));
    if (g->watch != NULL && count > 0) {
        gateway_watch_acks(g, c, list[0].packet_id, list[0].reason, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (writer_room(&w) < MQTT_PUBACK_MAX) {
            send_bytes(g, c, writer_slice(&w));
            writer_reset(&w);
        }
        mqtt_puback_write(&w, c->session.version, list[i].packet_id, list[i].reason);
        g->counts.acks_refusing += list[i].reason != MQTT_SUCCESS;
    }
    g->counts.acks += count;
    send_bytes(g, c, writer_slice(&w));
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
        .kind = BUS_LINKED, .device = c->session.device, .payload = peer.certificate_der};
    memcpy(record.exporter_digest, c->exporter.bytes, sizeof record.exporter_digest);
    bus_position position = 0;
    return gateway_announce(g) && gateway_stage(g, &record, &position) == BUS_OK;
}

/* A device is unlinked when its last session has ended. */
static void leave(struct gateway *g, struct gateway_conn *c, enum gw_end end)
{
    if (!c->is_entered) {
        return;
    }
    c->is_entered = false;
    g->counts.ends[end]++;
    const struct device_id *device = &c->session.device;
    if (!gw_registry_leave(&g->registry, device, gw_session_client_id(&c->session), c->index)
        || gw_registry_has(&g->registry, device)) {
        return;
    }
    struct bus_record record = {
        .kind = BUS_UNLINKED, .device = *device, .payload = slice_text(gw_end_name(end))};
    bus_position position = 0;
    if (gateway_stage(g, &record, &position) != BUS_OK) {
        g->counts.records_dropped++;
    }
}

static struct gw_event admit(struct gateway *g, struct gateway_conn *c, struct slice client_id)
{
    struct gw_event denied = {.kind = GW_DENIED, .now_ms = port_now_ms(g->port)};
    uint32_t displaced = GATEWAY_NONE;
    uint32_t wait_ms;
    if (gateway_admission_closed(g, &denied.reason)) {
        return denied;
    }
    if (!gateway_quota_connects(g, c, &wait_ms)) {
        denied.reason = MQTT_CONNECTION_RATE_EXCEEDED;
        return denied;
    }
    switch (gw_registry_enter(&g->registry, &c->session.device, client_id, c->index, &displaced)) {
    case GW_ENTERED: break;
    case GW_ENTERED_OVER: g->displaced = displaced; break;
    case GW_DEVICE_FULL: denied.reason = MQTT_QUOTA_EXCEEDED; return denied;
    case GW_REGISTRY_FULL: denied.reason = MQTT_SERVER_BUSY; return denied;
    }
    c->is_entered = true;
    if (!stage_link(g, c)) {
        (void)gw_registry_leave(&g->registry, &c->session.device, client_id, c->index);
        c->is_entered = false;
        denied.reason = MQTT_SERVER_BUSY;
        return denied;
    }
    g->counts.sessions_begun++;
    return (struct gw_event){.kind = GW_ADMITTED, .now_ms = denied.now_ms};
}

/* ---- the core's orders ---- */

static struct gw_event append(struct gateway *g,
                              struct gateway_conn *c,
                              const struct gw_effect *effect)
{
    struct bus_record record = {
        .kind = BUS_PUBLISHED,
        .device = c->session.device,
        .topic = effect->message.topic,
        .payload = effect->message.payload,
    };
    struct gw_event answer = {.kind = GW_NO_ROOM};
    if (gateway_stage(g, &record, &answer.position) == BUS_OK) {
        answer.kind = GW_STAGED;
        g->counts.messages[c->session.staging_qos]++;
        g->counts.message_bytes += record.payload.len;
        c->messages++;
        c->message_bytes += record.payload.len;
    }
    return answer;
}

static void pause_conn(struct gateway *g, struct gateway_conn *c)
{
    c->is_paused = true;
    g->counts.stalls++;
    if (c->session.stall == GW_WAITS_FOR_ROOM) {
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
        if (!c->is_throttled) {
            port_resume(c->port);
        }
    }
}

static void close_conn(struct gateway *g, struct gateway_conn *c, enum gw_end end)
{
    leave(g, c, end);
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
    case GW_ASK_ADMISSION: *ev = admit(g, c, effect->client_id); return true;
    case GW_APPEND: *ev = append(g, c, effect); return true;
    case GW_ACK: send_acks(g, c, effect->acks.list, effect->acks.count); return false;
    case GW_SEND: send_packet(g, c, &effect->packet); return false;
    case GW_PAUSE: pause_conn(g, c); return false;
    case GW_RESUME: resume_conn(g, c, ev->kind); return false;
    case GW_REFUSE: gateway_conn_refuse(g, c, GW_GATE_MQTT, effect->fault); return false;
    case GW_CLOSE: close_conn(g, c, effect->end); return false;
    }
    UNREACHABLE();
}

static void note_waiting(struct gateway *g, struct gateway_conn *c)
{
    if (!c->is_waiting && c->session.inflight_count > 0) {
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
        other->is_entered = false;
        g->counts.ends[GW_END_TAKEN_OVER]++;
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
    if (c->is_paused || c->is_closing) {
        return 0;
    }
    gateway_quota_took(g, c, frame.size);
    return frame.size;
}

void gateway_conn_received(struct gateway *g, struct gateway_conn *c, struct slice bytes)
{
    size_t done = 0;
    uint64_t now_ms = port_now_ms(g->port);
    while (!c->is_closing && !c->is_paused && !c->is_throttled && g->exit_code == 0) {
        size_t size = take_packet(g, c, slice_after(bytes, done), now_ms);
        if (size == 0) {
            break;
        }
        done += size;
    }
    port_consume(c->port, c->is_closing ? bytes.len : done);
}

static bool identify(const struct gateway *g,
                     const struct port_peer *peer,
                     struct device_id *device,
                     struct fault *fault)
{
    struct x509 certificate;
    *fault = (struct fault){.clause = peer->has_certificate ? "a certificate longer than ours are"
                                                            : "no certificate"};
    return peer->has_certificate && peer->certificate_der.len <= GATEWAY_CERTIFICATE_MAX
           && x509_parse(peer->certificate_der, &certificate, fault) == X509_OK
           && identity_of_ldevid(&certificate, slice_text(g->config->domain), device, fault);
}

/* Whose certificate has lost its meaning here since it was shown does not come back by a session
 * of then. Its times and its issuer are the port's to look at. */
bool gateway_stands(void *role, struct slice certificate_der)
{
    const struct gateway *g = role;
    struct port_peer peer = {.has_certificate = true, .certificate_der = certificate_der};
    struct device_id device;
    struct fault fault;
    return identify(g, &peer, &device, &fault);
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
    struct device_id device;
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
    bool is_device = identify(g, &peer, &device, &fault);
    device = is_device ? device : (struct device_id){0};
    gw_session_init(&c->session, &g->session_limits,
                    g->pendings + (size_t)c->index * g->limits.inflight_max, &device, ++g->number,
                    peer.since_ms);
    gateway_conn_note_due(g, c);
    if (!is_device) {
        gateway_conn_refuse(g, c, GW_GATE_IDENTITY, (struct mqtt_fault){.clause = fault.clause});
    }
    if (!is_device || !gateway_quota_accepted(g, c)) {
        c->is_closing = true;
        port_abort(port);
    }
}

/* No application is let in here yet, so that there is none to cut. */
void gateway_grants_changed(struct gateway *g)
{
    (void)fprintf(stderr, "gateway %s has grants number %llu\n", g->config->name,
                  (unsigned long long)gateway_grants_number(g->grants));
}

void gateway_conn_closed(struct gateway *g, struct gateway_conn *c)
{
    if (g->watch != NULL) {
        gateway_watch_note(g, c, "end", "the connection is gone");
    }
    if (c->session.stall == GW_WAITS_FOR_ROOM && c->is_paused) {
        g->stalled_count--;
    }
    step(g, c, &(struct gw_event){.kind = GW_LOST}, &(struct gw_effects){0});
    leave(g, c, GW_END_LOST);
    gateway_quota_closed(g, c);
    if (c->is_waiting) { /* off the list of those that wait: it is short, and this is rare */
        uint32_t *at = &g->waiting_head;
        while (*at != c->index) {
            at = &g->conns[*at].next;
        }
        *at = c->next;
    }
    c->port = NULL;
    c->is_waiting = false;
    c->next = g->free_head;
    g->free_head = c->index;
    g->open_count--;
}
