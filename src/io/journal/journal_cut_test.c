/*
 * The power goes after every operation of a journal's life, and after every operation of the
 * recoveries. Record i has a length that follows from i alone, so that its position does, too; what
 * it says also depends on the flavour, which each recovery raises: a record that comes back from
 * before a cut tail is recognised by the older flavour behind a newer one.
 *
 * AckedIsKept here: what was reported durable is there; in order; nothing is there that nobody
 * published; what is there is a prefix of what was published; a consumer's cursor finds the record
 * it expects.
 */
#include "base/rng.h"
#include "io/bus.h"
#include "io/sim/cuts.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RECORDS_MAX = 120, RECORD_CAP = 700, AGAIN = 1 };

static const struct bus_limits small = {
    .segment_bytes = 2048, .budget_bytes = 8192, .record_max = 640, .batch_max = 1400};

struct life {
    uint64_t records; /* to publish */
    uint64_t staged;
    uint64_t durable;  /* the first so many were reported durable */
    uint64_t consumed; /* the first so many were read, and acked */
    bus_position cursor;
    bus_position retained; /* what lies below may be gone */
};

/* One process of the machine: a writer and, when it reads, a reader. */
struct process {
    struct port *port;
    struct bus_writer *bus;
    bool broke;
};

static size_t len_of(uint64_t i)
{
    struct rng rng = rng_from_seed(i);
    return 9 + (size_t)rng_below(&rng, i % 5 == 0 ? 600 : 120);
}

static struct slice record_of(uint64_t i, uint8_t flavour, uint8_t bytes[RECORD_CAP])
{
    size_t len = len_of(i);
    memset(bytes, (int)(i * 7 + flavour), len);
    bytes[0] = flavour;
    memcpy(bytes + 1, &i, sizeof i);
    return slice_of(bytes, len);
}

/* The position behind record `count` - 1: records are 12 bytes and their own. */
static bus_position end_of(uint64_t count)
{
    bus_position end = 0;
    for (uint64_t i = 0; i < count; i++) {
        end += 12 + len_of(i);
    }
    return end;
}

static void on_event(void *role, const struct port_event *ev)
{
    struct process *p = role;
    if (ev->kind == PORT_SYNCED && ev->user == p->bus) {
        p->broke = bus_synced(p->bus, ev->synced.result) != BUS_OK;
        port_stop(p->port);
    }
}

static bool publish(struct process *p, uint64_t i, uint8_t flavour)
{
    uint8_t bytes[RECORD_CAP];
    bus_position end = 0;
    return bus_publish(p->bus, record_of(i, flavour, bytes), &end) == BUS_OK
           && end == end_of(i + 1);
}

/* Flushes until all is durable; tells `life`, if any, as soon as it is told itself. */
static bool commit(struct process *p, struct life *life)
{
    while (bus_durable(p->bus) < bus_staged(p->bus)) {
        if (bus_flush(p->bus) != BUS_OK) {
            return false;
        }
        port_run(p->port);
        if (p->broke) {
            return false;
        }
        while (life != NULL && life->durable < life->staged
               && end_of(life->durable + 1) <= bus_durable(p->bus)) {
            life->durable++;
        }
    }
    return true;
}

/* The consumer of ingest: reads, remembers its cursor, acks; the writer lets go of whole segments.
 */
static void consume(struct process *p, struct life *life)
{
    struct bus_reader *reader = NULL;
    struct port_why why;
    struct slice record;
    bus_position next;
    REQUIRE(bus_reader_open(p->port, "spool", life->cursor, p, &reader, &why) == BUS_OK);
    while (bus_next(reader, &record, &next) == BUS_OK) {
        life->cursor = next;
        life->consumed++;
    }
    CHECK_U64(life->consumed, life->durable);
    CHECK(bus_reader_ack(reader, "ingest", life->cursor) == BUS_OK);
    bus_reader_close(reader);
    life->retained = bus_acked(p->bus);
    CHECK_U64(life->retained, life->cursor);
    CHECK(bus_retain_from(p->bus, life->retained) == BUS_OK);
}

/* A batch of one, then one of five that gathers while the first is synced; consumes now and then.
 */
static bool work(struct process *p, struct life *life, uint64_t until)
{
    while (life->staged < until) {
        uint64_t i = life->staged;
        if (!publish(p, i, 0)) {
            return false;
        }
        life->staged++;
        if ((i % 6 == 0 && bus_flush(p->bus) != BUS_OK) || (i % 6 == 5 && !commit(p, life))) {
            return false;
        }
        if (i % 12 == 11) {
            consume(p, life);
        }
    }
    return commit(p, life);
}

static void live(void *context, struct sim_world *world)
{
    struct life *life = context;
    struct process p = {0};
    struct port_why why = {""};
    p.port = sim_start(world, CUTS_MACHINE, on_event, &p);
    REQUIRE(bus_writer_open(p.port, "spool", &small, &p.bus, &why) == BUS_OK);
    CHECK(work(&p, life, life->records));
    bus_writer_close(p.bus);
    port_close_all(p.port);
}

/*
 * A sync fails, the role stops and is started again on the same machine. What the new writer finds
 * it may report durable only when it is: the system still shows bytes that the disk refused, and
 * believes them clean.
 */
static void live_through_a_failed_sync(void *context, struct sim_world *world)
{
    struct life *life = context;
    struct process p = {0};
    struct port_why why = {""};
    p.port = sim_start(world, CUTS_MACHINE, on_event, &p);
    REQUIRE(bus_writer_open(p.port, "spool", &small, &p.bus, &why) == BUS_OK);
    CHECK(work(&p, life, life->records / 2));
    sim_fail(world, CUTS_MACHINE, SIM_SYNC, 1, PORT_FAILED, false);
    CHECK(!work(&p, life, life->records));
    CHECK(p.broke);
    bus_writer_close(p.bus);
    port_close_all(p.port);
    p = (struct process){0};
    p.port = sim_start(world, CUTS_MACHINE, on_event, &p);
    REQUIRE(bus_writer_open(p.port, "spool", &small, &p.bus, &why) == BUS_OK);
    uint64_t kept = life->durable;
    while (kept < life->staged && end_of(kept + 1) <= bus_durable(p.bus)) {
        kept++;
    }
    CHECK_U64(end_of(kept), bus_durable(p.bus));
    life->staged = kept;
    life->durable = kept;
    CHECK(work(&p, life, life->records));
    bus_writer_close(p.bus);
    port_close_all(p.port);
}

struct found {
    uint64_t first, count; /* of the records that are there: first to count - 1 */
    uint8_t flavour;       /* of the last one */
    bool ok;
};

/* Reads all there is from `from` on. */
static struct found look(struct process *p, bus_position from, uint64_t index)
{
    struct found f = {.ok = false};
    struct bus_reader *reader = NULL;
    struct port_why why = {""};
    if (bus_reader_open(p->port, "spool", from, p, &reader, &why) != BUS_OK) {
        return f;
    }
    struct slice record;
    bus_position next;
    enum bus_result result;
    bool is_first = true;
    f = (struct found){.ok = true, .first = index, .count = index};
    while ((result = bus_next(reader, &record, &next)) == BUS_OK && f.ok) {
        uint8_t bytes[RECORD_CAP];
        if (is_first && from == 0) {
            memcpy(&f.count, record.at + 1, sizeof f.count);
            f.first = f.count;
        }
        is_first = false;
        f.ok = f.count < RECORDS_MAX && slice_equal(record, record_of(f.count, record.at[0], bytes))
               && record.at[0] >= f.flavour && next == end_of(f.count + 1);
        f.flavour = record.at[0];
        f.count++;
    }
    bus_reader_close(reader);
    f.ok = f.ok && result == BUS_END;
    return f;
}

static bool keeps_its_word(struct process *p, const struct life *life, struct found *f)
{
    *f = look(p, 0, 0);
    if (!f->ok || (f->count == 0 && life->durable > 0)) {
        return false;
    }
    struct found rest = look(p, life->cursor, life->consumed);
    return f->count >= life->durable && (f->count == 0 || end_of(f->first) <= life->retained)
           && f->count <= life->staged + AGAIN * (uint64_t)f->flavour
           && end_of(f->count) == bus_durable(p->bus) && rest.ok && rest.count == f->count;
}

/* Opens, holds what is there against the promises, goes on with records of the next flavour, opens
 * again. */
static bool recover(void *context, struct sim_world *world)
{
    const struct life *life = context;
    struct process p = {0};
    struct port_why why = {""};
    struct found f = {0};
    p.port = sim_start(world, CUTS_MACHINE, on_event, &p);
    bool ok = bus_writer_open(p.port, "spool", &small, &p.bus, &why) == BUS_OK
              && keeps_its_word(&p, life, &f);
    uint8_t flavour = (uint8_t)(f.flavour + 1);
    for (uint64_t i = f.count; ok && i < f.count + AGAIN; i++) {
        ok = publish(&p, i, flavour);
    }
    ok = ok && commit(&p, NULL);
    bus_writer_close(p.bus);
    p.bus = NULL;
    ok = ok && bus_writer_open(p.port, "spool", &small, &p.bus, &why) == BUS_OK;
    struct found again = {0};
    ok = ok && keeps_its_word(&p, life, &again) && again.count == f.count + AGAIN
         && again.flavour == flavour;
    bus_writer_close(p.bus);
    port_close_all(p.port);
    return ok;
}

static uint64_t promised(void *context)
{
    const struct life *life = context;
    return life->durable << 40 | life->consumed << 20 | life->staged;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef void scenario(void *context, struct sim_world *world);

static void cut_everywhere(scenario *what, uint64_t records, bool cuts_recovery, unsigned seeded)
{
    struct life life = {.records = records};
    struct cuts cuts = {.context = &life,
                        .scenario = what,
                        .recover = recover,
                        .promised = promised,
                        .seed = 20260101,
                        .seeded = seeded,
                        .cuts_recovery = cuts_recovery};
    struct cuts_report report;
    double began = seconds();
    cuts_run(&cuts, &report);
    printf("  %llu operations, %llu cuts, %llu distinct states, %llu violations, %.1f s\n",
           (unsigned long long)report.operations, (unsigned long long)report.cuts,
           (unsigned long long)report.states, (unsigned long long)report.violations,
           seconds() - began);
    if (report.violations > 0) {
        printf("  first after operation %llu%s\n", (unsigned long long)report.first_operation,
               report.first_in_recovery ? ", in its recovery" : "");
    }
    CHECK_U64(report.violations, 0);
    CHECK_U64(report.left_out, 0);
    CHECK(report.cuts > report.operations);
}

TEST("wherever the power goes, what was reported durable is there, in order, and nothing else")
{
    cut_everywhere(live, 96, false, 40);
}

TEST("wherever the power goes again while a journal recovers, the same holds")
{
    cut_everywhere(live, 24, true, 8);
}

TEST("what a failed sync left in doubt is durable before the next writer says so")
{
    cut_everywhere(live_through_a_failed_sync, 24, false, 20);
}
