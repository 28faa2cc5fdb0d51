/* What an operator can see of a gateway: its metrics and its refusals, as files. */
#include "base/invariant.h"
#include "role/gateway_inside.h"

static void write_flow(struct gateway *g, struct writer *w)
{
    const struct gateway_counts *n = &g->counts;
    metrics_name(w, "holdfast_gateway_connections", "gauge", "Open connections.");
    metrics_value(w, "holdfast_gateway_connections", NULL, g->open_count);
    metrics_name(w, "holdfast_gateway_sessions", "gauge", "Live MQTT sessions.");
    metrics_value(w, "holdfast_gateway_sessions", NULL, gw_registry_count(&g->registry));
    metrics_name(w, "holdfast_gateway_devices", "gauge", "Devices with a session.");
    metrics_value(w, "holdfast_gateway_devices", NULL, gw_registry_device_count(&g->registry));
    metrics_name(w, "holdfast_gateway_connections_total", "counter",
                 "Connections that got through TLS.");
    metrics_value(w, "holdfast_gateway_connections_total", NULL, n->connections);
    metrics_name(w, "holdfast_gateway_sessions_total", "counter", "Sessions that began.");
    metrics_value(w, "holdfast_gateway_sessions_total", NULL, n->sessions_begun);
    metrics_name(w, "holdfast_gateway_messages_total", "counter", "Messages taken into the spool.");
    metrics_value(w, "holdfast_gateway_messages_total", "qos=\"0\"", n->messages[0]);
    metrics_value(w, "holdfast_gateway_messages_total", "qos=\"1\"", n->messages[1]);
    metrics_value(w, "holdfast_gateway_messages_total", "qos=\"2\"", n->messages[2]);
    metrics_name(w, "holdfast_gateway_message_bytes_total", "counter",
                 "Payload bytes of these messages.");
    metrics_value(w, "holdfast_gateway_message_bytes_total", NULL, n->message_bytes);
    metrics_name(w, "holdfast_gateway_acks_total", "counter",
                 "PUBACKs, after the message was durable or refused.");
    metrics_value(w, "holdfast_gateway_acks_total", "outcome=\"stored\"",
                  n->acks - n->acks_refusing);
    metrics_value(w, "holdfast_gateway_acks_total", "outcome=\"refused\"", n->acks_refusing);
    metrics_name(w, "holdfast_gateway_session_ends_total", "counter",
                 "Sessions that ended, by cause.");
    for (int i = 0; i < GW_END_COUNT; i++) {
        metrics_labelled(w, "holdfast_gateway_session_ends_total", "cause",
                         slice_text(gw_end_name((enum gw_end)i)), n->ends[i]);
    }
}

/* Both clocks at one instant: who reads this on the same machine can tell how old it is, and so how
 * far our wall clock is off from its own. */
static void write_clock(struct gateway *g, struct writer *w)
{
    enum time_quality quality;
    int64_t wall_ms = port_wall_ms(g->port, &quality);
    metrics_name(w, "holdfast_gateway_wall_clock_milliseconds", "gauge",
                 "Milliseconds since 1970 by the gateway's clock, when it reported.");
    metrics_value(w, "holdfast_gateway_wall_clock_milliseconds", NULL,
                  wall_ms > 0 ? (uint64_t)wall_ms : 0);
    metrics_name(w, "holdfast_gateway_monotonic_clock_milliseconds", "gauge",
                 "The machine's clock that never goes back, when it reported.");
    metrics_value(w, "holdfast_gateway_monotonic_clock_milliseconds", NULL, port_now_ms(g->port));
    metrics_name(w, "holdfast_gateway_clock_quality", "gauge",
                 "Of the wall clock: 0 unknown, 1 holdover, 2 synced.");
    metrics_value(w, "holdfast_gateway_clock_quality", NULL, (uint64_t)quality);
}

static uint64_t spool_age_ms(struct gateway *g)
{
    uint64_t now_ms = port_now_ms(g->port);
    gw_backlog_note(&g->backlog, bus_durable(g->bus), g->acked, now_ms);
    return gw_backlog_age_ms(&g->backlog, bus_durable(g->bus), g->acked, now_ms);
}

static void write_spool(struct gateway *g, struct writer *w)
{
    metrics_name(w, "holdfast_gateway_commits_total", "counter", "Group commits of the spool.");
    metrics_value(w, "holdfast_gateway_commits_total", NULL, g->counts.commits);
    metrics_histogram_write(w, "holdfast_gateway_commit_seconds",
                            "From a batch's write to its sync's end.", &g->commit_time);
    metrics_name(w, "holdfast_gateway_spool_bytes", "gauge", "Bytes of the spool on disk.");
    metrics_value(w, "holdfast_gateway_spool_bytes", NULL, bus_bytes_on_disk(g->bus));
    metrics_name(w, "holdfast_gateway_spool_budget_bytes", "gauge",
                 "Bytes that the spool may grow to.");
    metrics_value(w, "holdfast_gateway_spool_budget_bytes", NULL, g->limits.spool_budget_bytes);
    metrics_name(w, "holdfast_gateway_spool_unread_bytes", "gauge",
                 "Durable bytes that ingest has not applied.");
    metrics_value(w, "holdfast_gateway_spool_unread_bytes", NULL,
                  bus_durable(g->bus) > g->acked ? bus_durable(g->bus) - g->acked : 0);
    metrics_name(w, "holdfast_gateway_spool_unread_age_seconds", "gauge",
                 "Age of the oldest record that ingest has not applied.");
    metrics_value(w, "holdfast_gateway_spool_unread_age_seconds", NULL, spool_age_ms(g) / 1000);
    metrics_name(w, "holdfast_gateway_stalls_total", "counter",
                 "Times a client had to wait to be read.");
    metrics_value(w, "holdfast_gateway_stalls_total", NULL, g->counts.stalls);
    metrics_name(w, "holdfast_gateway_links_dropped_total", "counter",
                 "Ends of links that found no room in the spool.");
    metrics_value(w, "holdfast_gateway_links_dropped_total", NULL, g->counts.records_dropped);
}

static void write_operators(const struct gateway *g, struct writer *w)
{
    metrics_name(w, "holdfast_gateway_drain_state", "gauge", "0 open, 1 draining, 2 drained.");
    metrics_value(w, "holdfast_gateway_drain_state", NULL, (uint64_t)g->drain.state);
    metrics_name(w, "holdfast_gateway_grants_number", "gauge",
                 "Number of the grants of applications that are in force; 0: none.");
    metrics_value(w, "holdfast_gateway_grants_number", NULL, gateway_grants_number(g->grants));
    metrics_name(w, "holdfast_gateway_grants_refused_total", "counter",
                 "Files of grants that could not be used.");
    metrics_value(w, "holdfast_gateway_grants_refused_total", NULL,
                  gateway_grants_refused(g->grants));
}

/* What waits for whom, and what came of it. */
static void write_sessions(const struct gateway *g, struct writer *w)
{
    struct gw_broker_counts n;
    gw_broker_count(g->broker, &n);
    const struct {
        const char *name, *help;
        uint64_t value;
    } gauges[] = {
        {"holdfast_gateway_kept_sessions", "Sessions that outlive their connection.",
         n.durable_sessions},
        {"holdfast_gateway_subscriptions", "Subscriptions of all sessions.", n.subscriptions},
        {"holdfast_gateway_queued_deliveries",
         "Messages that wait for a session, counted for each.", n.deliveries},
        {"holdfast_gateway_held_bytes", "Bytes of messages that wait for anybody or are retained.",
         n.message_bytes},
        {"holdfast_gateway_retained_messages", "Retained messages.", n.retained},
    };
    for (size_t i = 0; i < COUNT_OF(gauges); i++) {
        metrics_name(w, gauges[i].name, "gauge", gauges[i].help);
        metrics_value(w, gauges[i].name, NULL, gauges[i].value);
    }
    metrics_name(w, "holdfast_gateway_deliveries_total", "counter", "PUBLISHes sent to clients.");
    metrics_value(w, "holdfast_gateway_deliveries_total", "qos=\"0\"", g->counts.deliveries[0]);
    metrics_value(w, "holdfast_gateway_deliveries_total", "qos=\"1\"", g->counts.deliveries[1]);
    metrics_value(w, "holdfast_gateway_deliveries_total", "qos=\"2\"", g->counts.deliveries[2]);
    metrics_name(
        w, "holdfast_gateway_undelivered_total", "counter",
        "Messages a client did not get: QoS 0 without room for it, expired, above its size.");
    metrics_value(w, "holdfast_gateway_undelivered_total", "cause=\"no-room-or-too-large\"",
                  g->counts.deliveries_dropped + n.dropped_qos0);
    metrics_value(w, "holdfast_gateway_undelivered_total", "cause=\"expired\"", n.expired);
    metrics_name(w, "holdfast_gateway_sessions_ended_total", "counter",
                 "Sessions that are no more, by cause.");
    for (int i = SESSION_END_EXPIRED; i < SESSION_END_COUNT; i++) {
        metrics_labelled(w, "holdfast_gateway_sessions_ended_total", "cause",
                         slice_text(session_end_name((enum session_end)i)), n.ends[i]);
    }
    metrics_name(w, "holdfast_gateway_kept_again_total", "counter",
                 "Messages and sessions written again, so that the oldest of the spool can go.");
    metrics_value(w, "holdfast_gateway_kept_again_total", NULL, g->counts.kept);
}

static void write_tls(const struct gateway *g, struct writer *w)
{
    metrics_name(w, "holdfast_gateway_tls_reloads_total", "counter",
                 "Times that certificate, key or issuers were others: used, or of no use.");
    metrics_value(w, "holdfast_gateway_tls_reloads_total", "outcome=\"used\"", g->tls_files.taken);
    metrics_value(w, "holdfast_gateway_tls_reloads_total", "outcome=\"refused\"",
                  g->tls_files.refused);
}

static void write_admission(const struct gateway *g, struct writer *w)
{
    static const char *const entries[GW_ENTRY_COUNT] = {[GW_ENTRY_GRANTED] = "granted",
                                                        [GW_ENTRY_TOO_FAST] = "too-fast",
                                                        [GW_ENTRY_TOO_MANY] = "too-many"};
    metrics_name(w, "holdfast_gateway_entries_total", "counter",
                 "Connections by what was said before TLS.");
    for (int i = 0; i < GW_ENTRY_COUNT; i++) {
        metrics_labelled(w, "holdfast_gateway_entries_total", "answer", slice_text(entries[i]),
                         g->admission.counts[i]);
    }
    metrics_name(w, "holdfast_gateway_handshakes", "gauge", "Handshakes in flight.");
    metrics_value(w, "holdfast_gateway_handshakes", NULL, g->admission.in_flight);
    metrics_name(w, "holdfast_gateway_addresses", "gauge", "Addresses that are remembered.");
    metrics_value(w, "holdfast_gateway_addresses", NULL, g->admission.peers.count);
    metrics_name(w, "holdfast_gateway_peers_shared_total", "counter",
                 "Connections that shared a bucket with others, for want of a place.");
    metrics_value(w, "holdfast_gateway_peers_shared_total", "of=\"address\"",
                  g->admission.peers.shared);
    metrics_value(w, "holdfast_gateway_peers_shared_total", "of=\"device\"", g->quota.peers.shared);
    struct port_sessions_counts sessions = port_sessions_count(g->sessions);
    metrics_name(w, "holdfast_gateway_resumable", "gauge", "TLS sessions that may be resumed.");
    metrics_value(w, "holdfast_gateway_resumable", NULL, sessions.kept);
    metrics_name(w, "holdfast_gateway_resumptions_total", "counter",
                 "Resumptions that were asked for: done, or why a full handshake took place.");
    metrics_value(w, "holdfast_gateway_resumptions_total", "outcome=\"resumed\"", sessions.resumed);
    metrics_value(w, "holdfast_gateway_resumptions_total", "outcome=\"unknown\"", sessions.unknown);
    metrics_value(w, "holdfast_gateway_resumptions_total", "outcome=\"other-issuers\"",
                  sessions.other_issuers);
    metrics_value(w, "holdfast_gateway_resumptions_total", "outcome=\"out-of-time\"",
                  sessions.out_of_time);
    metrics_value(w, "holdfast_gateway_resumptions_total", "outcome=\"no-standing\"",
                  sessions.no_standing);
    metrics_name(w, "holdfast_gateway_throttled_total", "counter",
                 "Packets that had to wait because their device had sent too much.");
    metrics_value(w, "holdfast_gateway_throttled_total", NULL, g->quota.waits);
}

static void write_refused(const struct gw_refusals *r,
                          struct writer *w,
                          enum gw_gate gate,
                          enum mqtt_reason reason)
{
    uint8_t name[64];
    struct writer n = writer_over(name, sizeof name);
    gw_refusal_write_name(&n, gate, reason);
    uint64_t count = gate == GW_GATE_MQTT ? r->by_reason[(uint8_t)reason] : r->by_gate[gate];
    metrics_labelled(w, "holdfast_gateway_refusals_total", "reason", writer_slice(&n), count);
}

static void write_refusals(const struct gw_refusals *r, struct writer *w)
{
    metrics_name(w, "holdfast_gateway_refusals_total", "counter", "What was refused, by reason.");
    for (int gate = 0; gate < GW_GATE_MQTT; gate++) {
        write_refused(r, w, (enum gw_gate)gate, MQTT_SUCCESS);
    }
    for (unsigned code = 0; code < GW_REASON_COUNT; code++) {
        enum mqtt_reason reason;
        if (code >= MQTT_UNSPECIFIED_ERROR && mqtt_reason_from_wire((uint8_t)code, &reason)) {
            write_refused(r, w, GW_GATE_MQTT, reason);
        }
    }
}

void gateway_report(struct gateway *g)
{
    struct writer w = writer_over(g->report, sizeof g->report);
    if (g->config->metrics_path != NULL) {
        write_clock(g, &w);
        write_flow(g, &w);
        write_spool(g, &w);
        write_sessions(g, &w);
        write_tls(g, &w);
        write_operators(g, &w);
        write_admission(g, &w);
        write_refusals(&g->refusals, &w);
        metrics_invariants(&w);
        confine_metrics(&w);
        trace_settle(g->trace);
        trace_metrics(g->trace, &w);
        (void)HOLDS(writer_ok(&w));
        (void)metrics_replace(g->port, g->config->metrics_path, writer_slice(&w));
    }
    if (g->config->refusals_path != NULL && g->refusals_told != g->refusals.total) {
        writer_reset(&w);
        const struct gw_refusal *refusal;
        for (uint32_t i = 0; (refusal = gw_refusals_newest(&g->refusals, i)) != NULL; i++) {
            gw_refusal_write(&w, refusal);
        }
        (void)HOLDS(writer_ok(&w));
        if (metrics_replace(g->port, g->config->refusals_path, writer_slice(&w)) == PORT_OK) {
            g->refusals_told = g->refusals.total;
        }
    }
}
