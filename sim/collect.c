#include "sim/collect.h"

#include "base/invariant.h"
#include "codec/message.h"
#include "codec/metrics_text.h"
#include "io/bus.h"
#include "io/read_all.h"
#include "io/store.h"
#include "sim/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 256, POINTS = 4096, SOURCES = 64 };

/* ---- points ---- */

static bool collect_series(struct store *store,
                           const struct store_series *series,
                           struct history *h)
{
    static struct point points[POINTS];
    struct store_points_at at = {0};
    size_t count = POINTS;
    uint32_t device = watch_device(&series->device);
    while (count == POINTS) {
        if (store_points(store, series->id, INT64_MIN, INT64_MAX, &at, points, POINTS, &count)
            != STORE_OK) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            if (points[i].provenance == PROVENANCE_DEVICE) { /* the rest is the gateway's word */
                history_applied(h, device,
                                watch_point_digest(slice_text(series->stream),
                                                   slice_text(series->name), points[i].value),
                                points[i].time_ms);
            }
        }
    }
    return true;
}

static bool collect_points(struct store *store, struct history *h)
{
    static struct store_series rows[ROWS];
    int64_t after = 0;
    size_t count = ROWS;
    while (count == ROWS) {
        if (store_series_list(store, NULL, after, 0, rows, ROWS, &count) != STORE_OK) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            if (!collect_series(store, &rows[i], h)) {
                return false;
            }
            after = rows[i].id;
        }
    }
    return true;
}

/* ---- what is declared ---- */

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b ? 1 : 0;
}

/* Digests of all messages that left devices: a dead letter of anything else is nobody's drop. */
static uint64_t *sent_messages(const struct history *h)
{
    uint64_t *list = malloc((h->sent.count + 1) * sizeof *list);
    INVARIANT(list != NULL);
    for (size_t i = 0; i < h->sent.count; i++) {
        list[i] = h->sent.list[i].message;
    }
    qsort(list, h->sent.count, sizeof *list, compare);
    return list;
}

static const char *reason_of(const char *text)
{
    return text[0] != '\0' ? "dead letter" : "";
}

static bool collect_dead_letters(struct store *store, struct history *h)
{
    static struct store_dead_letter rows[ROWS];
    static uint8_t payload[65536];
    uint64_t *sent = sent_messages(h);
    size_t sent_count = h->sent.count;
    int64_t before = 0;
    size_t count = ROWS;
    bool ok = true;
    while (ok && count == ROWS) {
        ok = store_dead_letters(store, NULL, NULL, before, rows, ROWS, &count) == STORE_OK;
        for (size_t i = 0; ok && i < count; i++) {
            struct writer w = writer_over(payload, sizeof payload);
            struct telemetry telemetry;
            struct fault fault;
            before = rows[i].id;
            ok = store_dead_letter_payload(store, rows[i].id, &w) == STORE_OK;
            uint64_t digest = watch_message_digest(writer_slice(&w));
            if (ok && bsearch(&digest, sent, sent_count, sizeof digest, compare) != NULL
                && telemetry_decode(writer_slice(&w), &telemetry, &fault) == MESSAGE_OK) {
                history_dropped(h, &(struct dropped_range){.device = watch_device(&rows[i].device),
                                                           .from = telemetry.seq,
                                                           .to = telemetry.seq,
                                                           .reason = reason_of(rows[i].reason)});
            }
        }
    }
    free(sent);
    return ok;
}

static bool collect_lost(struct store *store, struct history *h)
{
    static struct store_lost rows[ROWS];
    int64_t before = 0;
    size_t count = ROWS;
    while (count == ROWS) {
        if (store_lost_list(store, NULL, before, rows, ROWS, &count) != STORE_OK) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            before = rows[i].id;
            history_dropped(h, &(struct dropped_range){.device = watch_device(&rows[i].device),
                                                       .from = rows[i].from,
                                                       .to = rows[i].to,
                                                       .reason = "declared lost"});
        }
    }
    return true;
}

static bool collect_gaps(struct store *store, struct history *h)
{
    static struct store_device rows[32];
    uint64_t since = 0;
    size_t count = COUNT_OF(rows);
    while (count == COUNT_OF(rows)) {
        if (store_devices_since(store, since, rows, COUNT_OF(rows), &count) != STORE_OK) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            const struct received_report *r = &rows[i].received;
            uint32_t device = watch_device(&rows[i].device);
            since = rows[i].change;
            for (uint32_t g = 0; g < r->gap_count; g++) {
                history_dropped(
                    h, &(struct dropped_range){.device = device,
                                               .from = r->gaps[g].from,
                                               .to = r->gaps[g].from + r->gaps[g].count - 1,
                                               .reason = "shown as missing",
                                               .is_gap = true});
            }
        }
    }
    return true;
}

bool collect_store(struct plant_reader *reader, struct history *h)
{
    return collect_points(reader->store, h) && collect_dead_letters(reader->store, h)
           && collect_lost(reader->store, h) && collect_gaps(reader->store, h);
}

/* ---- is all of it in? ---- */

static uint64_t position_of(const struct store_source *sources, size_t count, const char *gateway)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sources[i].name, gateway) == 0) {
            return sources[i].position;
        }
    }
    return 0;
}

bool collect_is_ingested(struct plant *plant, uint32_t gateways)
{
    static struct store_source sources[SOURCES];
    struct plant_reader reader;
    size_t count = 0;
    if (!plant_read(plant, &reader)) {
        return false;
    }
    bool all = store_sources(reader.store, sources, SOURCES, &count) == STORE_OK;
    for (uint32_t i = 0; all && i < gateways; i++) {
        struct bus_reader *bus = NULL;
        struct port_why why;
        char spool[96];
        const char *name = plant_name(plant, plant_gateway(plant, i));
        (void)snprintf(spool, sizeof spool, "/hf/gateway/%s/spool", name);
        all = bus_reader_open(reader.port, spool, position_of(sources, count, name), &reader, &bus,
                              &why)
                  == BUS_OK
              && bus_reader_lag(bus) == 0;
        if (bus != NULL) {
            bus_reader_close(bus);
        }
    }
    plant_leave(&reader);
    return all;
}

/* ---- is damage told? ---- */

static bool refuses(const struct plant *plant, uint32_t process)
{
    return !plant_is_up(plant, process) && plant_refusals(plant, process) > 0;
}

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

bool collect_is_damage_told(struct plant *plant)
{
    static uint8_t text[65536];
    size_t len = 0;
    double damaged = 0;
    bool told = false;
    for (uint32_t i = 0; i < plant_device(plant, 0); i++) {
        told = told || refuses(plant, i);
    }
    struct port *port = sim_start(plant_world(plant), "core", ignore, NULL);
    if (port_file_read_all(port, "/hf/run/ingest.metrics", text, sizeof text, &len) == PORT_OK) {
        (void)metrics_first(slice_of(text, len), "holdfast_ingest_sources_damaged", &damaged);
    }
    port_close_all(port);
    return told || damaged > 0;
}
