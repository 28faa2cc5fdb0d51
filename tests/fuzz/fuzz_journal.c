/*
 * A journal whose files were changed behind its back: whoever opens it then reads records that were
 * written, in their order, or is told that it is damaged. The input is a list of (file, offset,
 * change); nothing is changed by a change of zero.
 */
#include "base/invariant.h"
#include "io/bus.h"
#include "io/read_all.h"
#include "io/sim/sim.h"

#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 24, RECORD_LEN = 90, STEP = 4, FILES_MAX = 8 };

static const struct bus_limits limits = {
    .segment_bytes = 4096, .budget_bytes = 1 << 16, .record_max = 1000, .batch_max = 2000};
static const char dir[] = "/bus";

struct rig {
    struct port *port;
    struct bus_writer *bus;
    struct port_names *names;
};

static void on_event(void *role, const struct port_event *ev)
{
    struct rig *rig = role;
    if (ev->kind == PORT_SYNCED && ev->user == rig->bus) {
        INVARIANT(bus_synced(rig->bus, ev->synced.result) == BUS_OK);
        port_stop(rig->port);
    }
}

static void fill(struct rig *rig)
{
    struct port_why why;
    uint8_t record[RECORD_LEN];
    bus_position position;
    INVARIANT(bus_writer_open(rig->port, dir, &limits, &rig->bus, &why) == BUS_OK);
    for (uint8_t i = 0; i < RECORDS; i++) {
        memset(record, i, sizeof record);
        INVARIANT(bus_publish(rig->bus, slice_of(record, sizeof record), &position) == BUS_OK);
        if (i % 6 == 5) {
            INVARIANT(bus_flush(rig->bus) == BUS_OK);
            while (bus_durable(rig->bus) < bus_staged(rig->bus)) {
                port_run(rig->port);
                INVARIANT(bus_flush(rig->bus) == BUS_OK);
            }
        }
    }
    bus_writer_close(rig->bus);
    rig->bus = NULL;
}

static void change(struct rig *rig, const uint8_t step[STEP])
{
    static const char *const files[] = {"/bus/0000000000000000.seg", "/bus/mark", "/bus/stream"};
    struct port_file *file = NULL;
    uint64_t size = 0;
    uint8_t byte;
    size_t got = 0;
    if (port_file_open(rig->port, files[step[0] % COUNT_OF(files)], PORT_READ | PORT_WRITE, &file)
        != PORT_OK) {
        return;
    }
    if (port_file_size(file, &size) == PORT_OK && size > 0) {
        uint64_t at = ((uint64_t)step[1] << 8 | step[2]) % size;
        if (port_file_read(file, at, &byte, 1, &got) == PORT_OK && got == 1) {
            byte ^= step[3];
            (void)port_file_write(file, at, slice_of(&byte, 1));
        }
    }
    port_file_close(file);
}

static void read_back(struct rig *rig)
{
    struct bus_reader *reader = NULL;
    struct port_why why;
    struct slice record;
    bus_position next;
    int last = -1;
    if (bus_reader_open(rig->port, dir, 0, rig, &reader, &why) != BUS_OK) {
        return;
    }
    while (bus_next(reader, &record, &next) == BUS_OK) {
        INVARIANT(record.len == RECORD_LEN);
        INVARIANT(record.at[0] > last && record.at[0] < RECORDS);
        last = record.at[0];
        for (size_t i = 1; i < RECORD_LEN; i++) {
            INVARIANT(record.at[i] == last);
        }
    }
    bus_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig = {0};
    struct port_why why;
    struct sim_world *world = sim_open(1);
    rig.port = sim_start(world, "gw", on_event, &rig);
    fill(&rig);
    for (; size >= STEP; data += STEP, size -= STEP) {
        change(&rig, data);
    }
    read_back(&rig);
    if (bus_writer_open(rig.port, dir, &limits, &rig.bus, &why) == BUS_OK) {
        read_back(&rig);
        bus_writer_close(rig.bus);
    }
    sim_close(world);
    return 0;
}
