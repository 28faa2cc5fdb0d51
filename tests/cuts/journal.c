/*
 * The journal. Record i has a length that follows from i alone, so that its position does, too;
 * what it says also depends on the flavour, which each recovery raises: a record that comes back
 * from before a cut tail is recognised by the older flavour behind a newer one.
 *
 * AckedIsKept here: what was reported durable is there; in order; nothing is there that nobody
 * published; what is there is a prefix of what was published; a consumer's cursor finds the record
 * it expects.
 */
#include "base/invariant.h"
#include "base/rng.h"
#include "durable.h"
#include "io/bus.h"

#include <string.h>

enum { RECORDS_MAX = 120, RECORD_CAP = 700, AGAIN = 1 };

static const struct bus_limits small = {
    .segment_bytes = 2048, .budget_bytes = 8192, .record_max = 640, .batch_max = 1400};

struct life {
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
static bool consume(struct process *p, struct life *life)
{
    struct bus_reader *reader = NULL;
    struct port_why why;
    struct slice record;
    bus_position next;
    enum bus_result result;
    if (bus_reader_open(p->port, "spool", life->cursor, p, &reader, &why) != BUS_OK) {
        return false;
    }
    while ((result = bus_next(reader, &record, &next)) == BUS_OK) {
        life->cursor = next;
        life->consumed++;
    }
    bool ok = result == BUS_END && life->consumed == life->durable
              && bus_reader_ack(reader, "ingest", life->cursor) == BUS_OK;
    bus_reader_close(reader);
    if (!ok) {
        return false;
    }
    bus_position acked = bus_acked(p->bus); /* 0: it could not be read */
    INVARIANT(acked <= life->cursor);
    life->retained = acked > life->retained ? acked : life->retained;
    return bus_retain_from(p->bus, life->retained) == BUS_OK;
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
        if (i % 12 == 11 && !consume(p, life)) {
            return false;
        }
    }
    return commit(p, life);
}

static bool open_writer(struct process *p, struct sim_world *world)
{
    struct port_why why = {""};
    *p = (struct process){0};
    p->port = sim_start(world, CUTS_MACHINE, on_event, p);
    return bus_writer_open(p->port, "spool", &small, &p->bus, &why) == BUS_OK;
}

static void close_writer(struct process *p)
{
    if (p->bus != NULL) {
        bus_writer_close(p->bus);
    }
    port_close_all(p->port);
}

static void live(struct life *life, struct sim_world *world, uint64_t records)
{
    struct process p;
    if (open_writer(&p, world)) {
        (void)work(&p, life, records);
    }
    close_writer(&p);
}

static void short_life(void *context, struct sim_world *world)
{
    live(context, world, 24);
}

static void long_life(void *context, struct sim_world *world)
{
    live(context, world, 96);
}

/*
 * A sync fails, the role stops and is started again on the same machine. What the new writer finds
 * it may report durable only when it is: the system still shows bytes that the disk refused, and
 * believes them clean.
 */
static void life_with_a_failed_sync(void *context, struct sim_world *world)
{
    struct life *life = context;
    struct process p;
    if (!open_writer(&p, world) || !work(&p, life, 12)) {
        close_writer(&p);
        return;
    }
    sim_fail(world, CUTS_MACHINE, SIM_SYNC, 1, PORT_FAILED, false);
    INVARIANT(!work(&p, life, 24));
    close_writer(&p);
    if (open_writer(&p, world)) {
        uint64_t kept = life->durable;
        while (kept < life->staged && end_of(kept + 1) <= bus_durable(p.bus)) {
            kept++;
        }
        INVARIANT(end_of(kept) == bus_durable(p.bus));
        life->staged = kept;
        life->durable = kept;
        (void)work(&p, life, 24);
    }
    close_writer(&p);
}

struct found {
    enum verdict verdict;
    uint64_t first, count; /* of the records that are there: first to count - 1 */
    uint8_t flavour;       /* of the last one */
};

static enum verdict worse(enum verdict a, enum verdict b)
{
    return a > b ? a : b;
}

static enum verdict holds(bool is_so)
{
    return is_so ? KEPT : BROKEN;
}

/* Reads all there is from `from` on. */
static struct found look(struct process *p, bus_position from, uint64_t index)
{
    struct found f = {.verdict = TOLD};
    struct bus_reader *reader = NULL;
    struct port_why why = {""};
    if (bus_reader_open(p->port, "spool", from, p, &reader, &why) != BUS_OK) {
        return f;
    }
    struct slice record;
    bus_position next;
    enum bus_result result = BUS_OK;
    bool is_first = true;
    f = (struct found){.verdict = KEPT, .first = index, .count = index};
    while (f.verdict == KEPT && (result = bus_next(reader, &record, &next)) == BUS_OK) {
        uint8_t bytes[RECORD_CAP];
        if (is_first && from == 0) {
            memcpy(&f.count, record.at + 1, sizeof f.count);
            f.first = f.count;
        }
        is_first = false;
        f.verdict = holds(f.count < RECORDS_MAX
                          && slice_equal(record, record_of(f.count, record.at[0], bytes))
                          && record.at[0] >= f.flavour && next == end_of(f.count + 1));
        f.flavour = record.at[0];
        f.count++;
    }
    bus_reader_close(reader);
    return f.verdict == KEPT && result != BUS_END ? (struct found){.verdict = TOLD} : f;
}

static enum verdict keeps_its_word(struct process *p, const struct life *life, struct found *f)
{
    *f = look(p, 0, 0);
    if (f->verdict != KEPT) {
        return f->verdict;
    }
    struct found rest = look(p, life->cursor, life->consumed);
    if (rest.verdict != KEPT) {
        return rest.verdict;
    }
    return holds((f->count > 0 || life->durable == 0) && f->count >= life->durable
                 && (f->count == 0 || end_of(f->first) <= life->retained)
                 && f->count <= life->staged + AGAIN * (uint64_t)f->flavour
                 && end_of(f->count) == bus_durable(p->bus) && rest.count == f->count);
}

static enum verdict go_on(struct process *p, const struct found *f)
{
    uint8_t flavour = (uint8_t)(f->flavour + 1);
    for (uint64_t i = f->count; i < f->count + AGAIN; i++) {
        if (!publish(p, i, flavour)) {
            return TOLD;
        }
    }
    return commit(p, NULL) ? KEPT : TOLD;
}

/* Opens, holds what is there against the promises, goes on with records of the next flavour, opens
 * again. */
static enum verdict recover(void *context, struct sim_world *world)
{
    const struct life *life = context;
    struct process p;
    struct found f = {.verdict = KEPT};
    struct found again = {.verdict = KEPT};
    enum verdict verdict = open_writer(&p, world) ? keeps_its_word(&p, life, &f) : TOLD;
    verdict = verdict == KEPT ? go_on(&p, &f) : verdict;
    close_writer(&p);
    if (verdict != KEPT) {
        return verdict;
    }
    verdict = open_writer(&p, world) ? keeps_its_word(&p, life, &again) : TOLD;
    close_writer(&p);
    return verdict != KEPT
               ? verdict
               : worse(verdict,
                       holds(again.count == f.count + AGAIN && again.flavour == f.flavour + 1));
}

static uint64_t promised(void *context)
{
    const struct life *life = context;
    return life->durable << 40 | life->consumed << 20 | life->staged;
}

const struct durable durable_journal = {
    .name = "journal",
    .context_len = sizeof(struct life),
    .scenario = short_life,
    .recover = recover,
    .promised = promised,
    .sees_rot = true,
    .seeded = 8,
};

const struct durable durable_journal_long = {
    .name = "journal-long",
    .context_len = sizeof(struct life),
    .scenario = long_life,
    .recover = recover,
    .promised = promised,
    .seeded = 40,
    .recovery_is_whole = true,
};

const struct durable durable_journal_doubt = {
    .name = "journal-after-failed-sync",
    .context_len = sizeof(struct life),
    .scenario = life_with_a_failed_sync,
    .recover = recover,
    .promised = promised,
    .seeded = 20,
    .sets_faults = true,
    .recovery_is_whole = true,
};
