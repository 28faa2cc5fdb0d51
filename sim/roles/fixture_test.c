#include "codec/pem.h"
#include "io/read_all.h"
#include "io/registry.h"
#include "io/store.h"
#include "sim/roles/fixture.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_MS = 100, STAND_MS = 120000 };

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

bool fixture_begin(struct fixture *f, const struct plant_spec *spec)
{
    *f = (struct fixture){.plant = plant_open(spec), .devices = spec->devices, .next = 1};
    CHECK(f->plant != NULL);
    CHECK(spec->devices <= FIXTURE_DEVICES_MAX);
    if (f->plant == NULL) {
        return false;
    }
    f->world = plant_world(f->plant);
    plant_begin(f->plant);
    return true;
}

bool fixture_stand(struct fixture *f, const struct plant_spec *spec)
{
    if (!fixture_begin(f, spec)) {
        return false;
    }
    bool stands = fixture_wait_live(f, STAND_MS);
    CHECK(stands);
    if (!stands) {
        fixture_end(f);
    }
    return stands;
}

void fixture_end(struct fixture *f)
{
    plant_close(f->plant);
    f->plant = NULL;
}

void fixture_feed(struct fixture *f)
{
    for (uint32_t i = 0; i < f->devices; i++) {
        if (plant_feed(f->plant, i, "value", f->next)) {
            f->kept[i]++;
            f->next++;
        }
    }
}

/* ---- faults ---- */

static void on_operation(void *context, struct sim_disk *disk)
{
    struct fixture *f = context;
    (void)disk;
    if (++f->fault.seen == f->fault.at) {
        f->fault.struck = true;
        f->fault.strike(f);
    }
}

void fixture_strike_at(struct fixture *f,
                       const char *machine,
                       uint64_t nth,
                       void (*strike)(struct fixture *f))
{
    f->fault.at = nth;
    f->fault.seen = 0;
    f->fault.strike = strike;
    f->fault.struck = false;
    sim_disk_watch(sim_disk_of(f->world, machine), on_operation, f);
}

uint64_t fixture_operations(struct fixture *f, const char *machine)
{
    return sim_disk_operations(sim_disk_of(f->world, machine));
}

/* ---- waiting ---- */

bool fixture_wait_live(struct fixture *f, uint64_t ms)
{
    for (uint64_t waited = 0; waited < ms; waited += LOOK_MS) {
        if (plant_live(f->plant) == f->devices) {
            return true;
        }
        sim_run_for(f->world, LOOK_MS);
    }
    return false;
}

static bool is_sent(struct fixture *f)
{
    for (uint32_t i = 0; i < plant_device(f->plant, 0); i++) {
        if (!plant_is_up(f->plant, i)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < f->devices; i++) {
        struct device *d = plant_device_role(f->plant, i);
        struct device_counts counts;
        if (d == NULL || !plant_device_counts(f->plant, i, &counts) || !counts.is_live
            || counts.has_waiting) {
            return false;
        }
    }
    return true;
}

bool fixture_drain(struct fixture *f, uint64_t ms)
{
    uint64_t until_ms = sim_now_ms(f->world) + ms;
    uint64_t applied = UINT64_MAX;
    while (sim_now_ms(f->world) < until_ms) {
        for (uint32_t i = 0; i < plant_processes(f->plant); i++) {
            if (!plant_is_up(f->plant, i) && plant_exit_code(f->plant, i) > 0) {
                (void)plant_start(f->plant, i); /* the operator has looked at it */
            }
        }
        sim_run_for(f->world, 2000);
        if (is_sent(f)) { /* and ingest has come to rest */
            uint64_t now = fixture_counter(f, "points") + fixture_counter(f, "duplicate");
            if (now == applied) {
                return true;
            }
            applied = now;
        }
    }
    return false;
}

/* ---- what is stored ---- */

uint64_t fixture_counter(struct fixture *f, const char *name)
{
    struct plant_reader reader;
    struct store_counter list[64];
    size_t count = 0;
    uint64_t value = 0;
    if (!plant_read(f->plant, &reader)) {
        return 0;
    }
    CHECK(store_counters(reader.store, list, COUNT_OF(list), &count) == STORE_OK);
    for (size_t i = 0; i < count; i++) {
        value = strcmp(list[i].name, name) == 0 ? list[i].value : value;
    }
    plant_leave(&reader);
    return value;
}

uint64_t fixture_points(struct fixture *f, uint32_t device)
{
    static struct store_device row;
    struct plant_reader reader;
    uint64_t points = 0;
    if (plant_read(f->plant, &reader)) {
        if (store_device_get(reader.store, plant_device_id(f->plant, device), &row) == STORE_OK) {
            points = row.points;
        }
        plant_leave(&reader);
    }
    return points;
}

/* The values of the one series that the fixture feeds: each at most once. */
static void check_values(struct fixture *f, struct store *store, uint32_t device, uint64_t points)
{
    static struct point list[4096];
    static struct store_series series;
    struct store_points_at at = {0};
    size_t count = 0;
    if (points == 0) {
        return;
    }
    CHECK(store_series_find(store, plant_device_id(f->plant, device), "sim", "value", NULL, &series)
          == STORE_OK);
    CHECK_U64(series.count, points);
    CHECK(store_points(store, series.id, 0, INT64_MAX, &at, list, COUNT_OF(list), &count)
          == STORE_OK);
    CHECK_U64(count, points);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (memcmp(&list[i].value, &list[j].value, sizeof list[i].value) == 0) {
                test_failed(__FILE__, __LINE__, "a value of device %u is stored twice",
                            (unsigned)device);
                return;
            }
        }
    }
}

void fixture_check(struct fixture *f, bool exact)
{
    static struct store_device row;
    struct plant_reader reader;
    CHECK_U64(fixture_counter(f, "refused"), 0);
    CHECK(plant_read(f->plant, &reader));
    if (reader.store == NULL) {
        return;
    }
    for (uint32_t i = 0; i < f->devices; i++) {
        struct device_counts counts;
        memset(&row, 0, sizeof row);
        (void)store_device_get(reader.store, plant_device_id(f->plant, i), &row);
        (void)plant_device_counts(f->plant, i, &counts);
        if (exact) {
            CHECK_U64(row.points, f->kept[i]);
            CHECK_U64(received_report_missing(&row.received, GAP_MISSING), 0);
        }
        CHECK(row.points <= f->kept[i]);
        if (plant_starts(f->plant, plant_device(f->plant, i)) == 1) {
            /* AckedIsKept. Who was restarted sends, and is acknowledged, some messages again; the
             * record of a boot counts as one. */
            CHECK(row.points + counts.boot >= counts.acked);
        }
        CHECK_U64(row.messages, row.points);
        CHECK(received_report_is_sound(&row.received) || row.points == 0);
        check_values(f, reader.store, i, row.points);
    }
    plant_leave(&reader);
}

/* ---- certificates ---- */

struct certificates {
    uint32_t count;
    uint8_t newest[REGISTRY_CERTIFICATE_MAX];
    size_t newest_len;
};

static bool each_certificate(void *context, const struct registry_certificate *certificate)
{
    struct certificates *c = context;
    if (c->count++ == 0) {
        memcpy(c->newest, certificate->der, certificate->der_len);
        c->newest_len = certificate->der_len;
    }
    return true;
}

static bool has_file_of(struct fixture *f, uint32_t device, struct slice der)
{
    uint8_t text[8192];
    uint8_t room[4096];
    size_t len = 0;
    struct writer w = writer_over(room, sizeof room);
    struct slice label;
    struct slice bytes = {0};
    const char *machine = plant_machine(f->plant, plant_device(f->plant, device));
    struct port *port = sim_start(f->world, machine, ignore, NULL);
    bool read =
        port_file_read_all(port, "/hf/state/identity.pem", text, sizeof text, &len) == PORT_OK;
    port_close_all(port);
    struct slice rest = slice_of(text, len);
    while (read && pem_next(&rest, &label, &w, &bytes) == PEM_OK) {
        if (slice_is_text(label, "CERTIFICATE")) {
            return slice_equal(bytes, der);
        }
    }
    return false;
}

uint32_t fixture_certificates(struct fixture *f, uint32_t device, bool *is_its_own)
{
    static struct certificates found;
    struct plant_reader reader;
    found = (struct certificates){0};
    *is_its_own = false;
    if (plant_read(f->plant, &reader)) {
        CHECK(registry_certificates_each(reader.registry, plant_device_id(f->plant, device),
                                         each_certificate, &found)
              == REGISTRY_OK);
        plant_leave(&reader);
        *is_its_own = has_file_of(f, device, slice_of(found.newest, found.newest_len));
    }
    return found.count;
}
