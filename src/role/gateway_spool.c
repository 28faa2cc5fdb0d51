/* The gateway's journal: staging records, group commit, acknowledging what is durable, room. */
#include "base/invariant.h"
#include "codec/bus_record.h"
#include "role/gateway_sessions.h"

enum bus_result gateway_stage(struct gateway *g, struct bus_record *record, bus_position *position)
{
    struct writer w = writer_over(g->record, g->record_cap);
    record->received_ms = g->wall_ms;
    record->quality = g->wall_quality;
    record->clock_ms = gateway_clock(g);
    INVARIANT(bus_record_encode(record, &w) == BUS_RECORD_OK); /* packet_max bounds it */
    bus_position begin = bus_staged(g->bus);
    enum bus_result result = bus_publish(g->bus, writer_slice(&w), position);
    if (result == BUS_BROKEN) {
        gateway_fail(g, GATEWAY_STORAGE_FAILED, "the spool cannot be written", bus_why(g->bus));
    }
    INVARIANT(result != BUS_TOO_LONG);
    if (result == BUS_OK) {
        g->record_len = w.len;
        g->record_at = begin;
    }
    return result;
}

bool gateway_announce(struct gateway *g)
{
    struct bus_record record = {.kind = BUS_STARTED};
    bus_position position = 0;
    if (!g->is_announced && gateway_stage(g, &record, &position) == BUS_OK) {
        g->is_announced = true;
        gw_broker_commit(g->broker, &record, g->record_at); /* it closes what was open */
    }
    return g->is_announced;
}

void gateway_flush(struct gateway *g)
{
    if (bus_staged(g->bus) == bus_durable(g->bus)) {
        return;
    }
    if (bus_flush(g->bus) == BUS_BROKEN) {
        gateway_fail(g, GATEWAY_STORAGE_FAILED, "the spool cannot be written", bus_why(g->bus));
        return;
    }
    if (g->commit_began_us == 0) {
        g->commit_began_us = port_now_us(g->port);
    }
}

/* Every connection that waits for PUBACKs gets those that are due; port_send gathers them to one
 * write. */
static void acknowledge(struct gateway *g, bus_position durable)
{
    struct gw_event ev = {.kind = GW_STORED, .now_ms = port_now_ms(g->port), .position = durable};
    uint32_t i = g->waiting_head;
    g->waiting_head = GATEWAY_NONE;
    while (i != GATEWAY_NONE) {
        struct gateway_conn *c = &g->conns[i];
        i = c->next;
        c->is_waiting = false;
        gateway_conn_feed(g, c, ev);
        if (gw_session_waits(&c->session) && !c->is_closing) {
            c->is_waiting = true;
            c->next = g->waiting_head;
            g->waiting_head = c->index;
        }
    }
}

void gateway_synced(struct gateway *g, enum port_result result)
{
    bus_position before = bus_durable(g->bus);
    if (bus_synced(g->bus, result) == BUS_BROKEN) {
        gateway_fail(g, GATEWAY_STORAGE_FAILED, "the spool cannot be made durable",
                     bus_why(g->bus));
        return;
    }
    bus_position durable = bus_durable(g->bus);
    if (durable == before) {
        return; /* a batch over two segments takes two syncs */
    }
    metrics_observe(&g->commit_time, port_now_us(g->port) - g->commit_began_us);
    g->commit_began_us = 0;
    g->counts.commits++;
    /* First the next batch is on its way, then the last one is answered: a message waits for the
     * sync that was under way when it came and for its own, not for the loop's work besides. */
    gateway_flush(g);
    if (g->exit_code == 0) {
        acknowledge(g, durable);
    }
    gateway_has_room(g);
}

void gateway_has_room(struct gateway *g)
{
    if (g->stalled_count == 0) {
        return;
    }
    struct gw_event ev = {.kind = GW_HAS_ROOM, .now_ms = port_now_ms(g->port)};
    for (uint32_t i = 0; i < g->limits.connections_max; i++) {
        struct gateway_conn *c = &g->conns[i];
        if (c->port == NULL || c->is_closing) {
            continue;
        }
        bool may_go_on = c->session.stall == GW_WAITS_FOR_ROOM
                         || (c->session.stall == GW_WAITS_FOR_QUEUE
                             && !gw_broker_is_blocked(g->broker, c->blocked_by));
        if (may_go_on) {
            gateway_conn_feed(g, c, ev);
        }
    }
}

void gateway_retain(struct gateway *g)
{
    g->acked = bus_acked(g->bus);
    gateway_note_floor(g);
    bus_position needed = g->acked < g->floor ? g->acked : g->floor;
    if (bus_retain_from(g->bus, needed) == BUS_BROKEN) {
        gateway_fail(g, GATEWAY_STORAGE_FAILED, "the spool cannot be pruned", bus_why(g->bus));
        return;
    }
    gateway_has_room(g);
}
