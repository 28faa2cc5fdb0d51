/*
 * What the gateway remembers over a restart: the broker's state is read from the journal when it
 * begins, and what lives is written again before the journal's oldest segments go.
 */
#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/reader.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/gateway_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECENT_BYTES = 8 << 20, /* of the newest messages somebody waits for */
    RECENT_COUNT = 65536,
    FLEETING_BYTES = 4 << 20, /* of QoS 0 messages that need no record */
    FLEETING_COUNT = 16384,
    KEEP_BYTES = 1 << 20, /* written again in one turn */
    SESSIONS_PER_OWNER = 256,
    FLOOR_LEN = 16
};

/* ---- the floor: where reading begins ---- */

static void floor_path(const struct gateway *g, char *to, size_t cap)
{
    (void)snprintf(to, cap, "%s/sessions.floor", g->config->spool_dir);
}

/* What cannot be read is 0: from the oldest record that is there. */
static bus_position read_floor(struct gateway *g)
{
    char path[600];
    uint8_t bytes[FLOOR_LEN + 1];
    size_t len = 0;
    floor_path(g, path, sizeof path);
    if (port_file_read_all(g->port, path, bytes, sizeof bytes, &len) != PORT_OK || len != FLOOR_LEN
        || memcmp(bytes, "HFF1", 4) != 0) {
        return 0;
    }
    struct reader r = reader_over(slice_of(bytes + 4, FLOOR_LEN - 4));
    uint64_t floor = read_u64(&r);
    return read_u32(&r) == crc32c(0, slice_of(bytes, FLOOR_LEN - 4)) ? floor : 0;
}

static void write_floor(struct gateway *g, bus_position floor)
{
    char path[600];
    uint8_t bytes[FLOOR_LEN];
    struct writer w = writer_over(bytes, sizeof bytes);
    floor_path(g, path, sizeof path);
    write_text(&w, "HFF1");
    write_u64(&w, floor);
    write_u32(&w, crc32c(0, writer_slice(&w)));
    if (port_file_replace(g->port, path, writer_slice(&w)) == PORT_OK) {
        g->floor_written = floor; /* else an older one, from which more is read and no less */
    }
}

/* The floor holds once all that was applied when it was asked for is durable. */
void gateway_note_floor(struct gateway *g)
{
    bus_position durable = bus_durable(g->bus);
    if (g->floor_next_at != 0 && durable >= g->floor_next_at) {
        if (g->floor_next > g->floor_written + g->limits.spool_segment_bytes) {
            write_floor(g, g->floor_next);
        }
        g->floor = g->floor_next;
        g->floor_next_at = 0;
    }
    if (g->floor_next_at == 0) {
        bus_position staged = bus_staged(g->bus);
        g->floor_next = gw_broker_floor(g->broker, staged);
        g->floor_next_at = staged;
    }
}

/* ---- writing again what lies too far back ---- */

static size_t keep_message(struct gateway *g, const struct gw_keep *keep)
{
    struct bus_record message;
    bus_position at = 0;
    if (!gateway_fetch(g, keep->position, &message)) {
        gateway_fail(g, GATEWAY_STORAGE_FAILED, "a message that is kept cannot be read",
                     bus_reader_why(g->reader));
        return 0;
    }
    struct bus_record record = {.kind = BUS_KEPT,
                                .device = message.device,
                                .topic = message.topic,
                                .payload = message.payload,
                                .delivery = keep->delivery};
    record.delivery.properties = message.delivery.properties;
    if (gateway_stage(g, &record, &at) != BUS_OK) {
        return 0;
    }
    gw_broker_commit(g->broker, &record, g->record_at);
    return g->record_len;
}

static size_t keep_session(struct gateway *g, uint32_t session)
{
    size_t bytes = 0;
    struct session_record part = {.is_last = false};
    while (!part.is_last) {
        bus_position at = 0;
        struct writer items = writer_over(g->items, g->items_cap);
        gw_broker_write_session(g->broker, session, &items, &part);
        if (gateway_commit_session(g, &part, &at) != BUS_OK) {
            return 0;
        }
        bytes += g->record_len;
    }
    return bytes;
}

void gateway_keep(struct gateway *g)
{
    struct gw_keep keep;
    for (size_t bytes = 0; bytes < KEEP_BYTES && g->exit_code == 0;) {
        if (!gw_broker_keep(g->broker, bus_staged(g->bus), &keep)) {
            return;
        }
        size_t written =
            keep.kind == GW_KEEP_MESSAGE ? keep_message(g, &keep) : keep_session(g, keep.session);
        if (written == 0) {
            return; /* no room now */
        }
        bytes += written;
        g->counts.kept++;
    }
}

/* ---- beginning ---- */

static int cannot(struct gateway *g, int code, const char *what, const char *why)
{
    (void)fprintf(stderr, "gateway %s was not started: %s: %s\n", g->config->name, what, why);
    return code;
}

/* All from one number, in the proportions of the broker's default. */
static struct gw_broker_limits limits_of(const struct gateway *g)
{
    struct gw_broker_limits l = gw_broker_limits_default();
    const uint32_t messages = g->limits.messages_max;
    const uint32_t connections = g->limits.connections_max;
    const uint64_t quarter = g->limits.spool_budget_bytes / 4;
    l.messages_max = messages;
    l.deliveries_max = 2 * messages;
    l.nodes_max = messages;
    l.subscriptions_max = messages / 2;
    l.retained_max = messages / 2;
    l.inbounds_max = messages / 2;
    l.queue_messages_max = messages / 8;
    l.sessions_max = messages / 8 < connections * 2 ? connections * 2 : messages / 8;
    l.sessions_per_owner_max = SESSIONS_PER_OWNER;
    l.keep_after_bytes = l.keep_after_bytes < quarter ? l.keep_after_bytes : quarter;
    return l;
}

static int make_broker(struct gateway *g)
{
    struct gw_broker_limits l = limits_of(g);
    uint32_t connections = g->limits.connections_max;
    uint32_t brought = (uint32_t)(g->items_cap / GW_ITEM_MAX);
    l.brought_max = l.brought_max < brought ? l.brought_max : brought;
    size_t size = gw_broker_size(&l);
    uint64_t seed = 0;
    port_entropy(g->port, &seed, sizeof seed);
    g->broker_memory = calloc(1, size);
    g->owed_cap = connections + 1;
    g->owed = calloc(g->owed_cap, sizeof *g->owed);
    if (g->broker_memory == NULL || g->owed == NULL
        || !gateway_recent_init(&g->recent, RECENT_BYTES, RECENT_COUNT)
        || !gateway_recent_init(&g->fleeting, FLEETING_BYTES, FLEETING_COUNT)) {
        return cannot(g, GATEWAY_FAILED, "sessions", "no memory for them");
    }
    g->broker = gw_broker_init(&l, g->broker_memory, size, seed);
    return 0;
}

static int open_reader(struct gateway *g, bus_position *floor)
{
    struct port_why why = {""};
    *floor = read_floor(g);
    enum bus_result result =
        bus_reader_open(g->port, g->config->spool_dir, *floor, &g->reader, &g->reader, &why);
    if (result == BUS_GONE) {
        *floor = 0;
        result = bus_reader_open(g->port, g->config->spool_dir, 0, &g->reader, &g->reader, &why);
    }
    return result == BUS_OK
               ? 0
               : cannot(g, GATEWAY_STORAGE_FAILED, "the spool cannot be read", why.text);
}

static int fold_one(struct gateway *g, struct slice bytes, bus_position at)
{
    struct bus_record record;
    if (bus_record_decode(bytes, &record) != BUS_RECORD_OK) {
        return cannot(g, GATEWAY_STORAGE_FAILED, "the spool", "a record nobody wrote");
    }
    switch (gw_broker_apply(g->broker, &record, at)) {
    case GW_FOLDED: return 0;
    case GW_FOLD_DAMAGED:
        return cannot(g, GATEWAY_STORAGE_FAILED, "the spool",
                      "its records of sessions do not follow each other");
    case GW_FOLD_FULL:
        return cannot(g, GATEWAY_BAD_CONFIG, "sessions",
                      "there are more of them in the spool than the limits allow");
    }
    UNREACHABLE();
}

int gateway_sessions_begin(struct gateway *g)
{
    bus_position floor = 0, next = 0;
    struct slice bytes;
    int failed = make_broker(g);
    if (failed == 0) {
        failed = open_reader(g, &floor);
    }
    floor = failed == 0 ? bus_reader_at(g->reader) : 0;
    g->read_to = floor;
    while (failed == 0) {
        enum bus_result result = bus_next(g->reader, &bytes, &next);
        if (result == BUS_END) {
            break;
        }
        if (result != BUS_OK) {
            return cannot(g, GATEWAY_STORAGE_FAILED, "the spool cannot be read",
                          bus_reader_why(g->reader));
        }
        failed = fold_one(g, bytes, g->read_to);
        g->read_to = next;
    }
    if (failed == 0 && gw_broker_replayed(g->broker, floor) != GW_FOLDED) {
        failed = cannot(g, GATEWAY_STORAGE_FAILED, "the spool",
                        "sessions need records that are not there any more");
    }
    g->clock_base_ms = gw_broker_clock(g->broker) + 1;
    g->started_ms = g->now_ms = port_now_ms(g->port);
    g->floor = g->floor_written = floor;
    return failed;
}

void gateway_sessions_free(struct gateway *g)
{
    gateway_recent_free(&g->recent);
    gateway_recent_free(&g->fleeting);
    free(g->broker_memory);
    free(g->owed);
}
