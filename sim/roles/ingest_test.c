/*
 * Ingest in the simulated world: killed and cut at operations of its disk over the whole of a run,
 * and fed by a gateway that is not to be trusted. Cursor, points and received sets must agree
 * whatever happens (OnceApplied, AckedIsKept, OnlyAuthentic).
 */
#include "base/rng.h"
#include "codec/bus_record.h"
#include "io/bus.h"
#include "io/store.h"
#include "sim/roles/fixture.h"
#include "test/test.h"

#include <string.h>

enum {
    DEVICES = 2,
    ROUNDS = 8,
    TRIALS = 24, /* of each fault, spread over the operations of a clean run */
    BACK_MS = 300,
    PATIENCE_MS = 120000,
    BATCH_MAX = 1 << 17
};

static struct fixture world;

static const struct plant_spec spec = {.seed = 11, .gateways = 2, .devices = DEVICES};

static void kill_ingest(struct fixture *f)
{
    plant_kill(f->plant, PLANT_INGEST, BACK_MS);
}

static void cut_core(struct fixture *f)
{
    plant_power_cut(f->plant, "core", BACK_MS);
}

static void cut_core_again(struct fixture *f)
{
    plant_power_cut(f->plant, "core", BACK_MS);
    fixture_strike_at(f, "core", 40 + f->fault.seen % 200, cut_core); /* in the recovery */
}

static void feed_rounds(struct fixture *f)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        fixture_feed(f);
        sim_run_for(f->world, 50);
    }
}

/* How many operations a run without faults takes. */
static uint64_t clean_run(void)
{
    if (!fixture_stand(&world, &spec)) {
        return 0;
    }
    uint64_t before = fixture_operations(&world, "core");
    feed_rounds(&world);
    CHECK(fixture_drain(&world, PATIENCE_MS));
    fixture_check(&world, true);
    uint64_t operations = fixture_operations(&world, "core") - before;
    fixture_end(&world);
    return operations;
}

static void trials(void (*strike)(struct fixture *f))
{
    uint64_t operations = clean_run();
    unsigned struck = 0;
    CHECK(operations > TRIALS);
    for (uint64_t i = 0; i < TRIALS && operations > 0; i++) {
        struct plant_spec own = spec;
        own.seed = 100 + i;
        if (!fixture_stand(&world, &own)) {
            return;
        }
        fixture_strike_at(&world, "core", 1 + operations / 2 * i / TRIALS + i % 7, strike);
        feed_rounds(&world);
        CHECK(fixture_drain(&world, PATIENCE_MS));
        fixture_check(&world, true);
        struck += world.fault.struck;
        fixture_end(&world);
    }
    CHECK(struck > TRIALS / 2);
}

TEST("ingest may be killed within any operation of the disk: every kept point is stored once")
{
    trials(kill_ingest);
}

TEST("the power may go within any operation of the disk: every kept point is stored once")
{
    trials(cut_core);
}

TEST("the power may go again in the recovery: every kept point is stored once")
{
    trials(cut_core_again);
}

TEST("a failed call of the disk, once or for ever, ends a role and never a promise")
{
    static const enum sim_call calls[] = {SIM_OPEN, SIM_READ, SIM_WRITE, SIM_SYNC, SIM_NAMES};
    for (size_t i = 0; i < COUNT_OF(calls) * 6; i++) {
        struct plant_spec own = spec;
        own.seed = 500 + i;
        REQUIRE(fixture_stand(&world, &own));
        enum sim_call call = calls[i % COUNT_OF(calls)];
        bool forever = i % 2 == 0;
        sim_fail(world.world, "core", call, 1 + 5 * (i / COUNT_OF(calls)),
                 i % 3 == 0 ? PORT_NO_SPACE : PORT_FAILED, forever);
        feed_rounds(&world);
        sim_fail(world.world, "core", call, 0, PORT_OK, false);
        if (call == SIM_SYNC) { /* what a failed sync left is lost: only a cut shows it */
            plant_power_cut(world.plant, "core", BACK_MS);
        }
        CHECK(fixture_drain(&world, PATIENCE_MS));
        fixture_check(&world, true);
        fixture_end(&world);
    }
}

/* ---- a gateway that is not to be trusted ---- */

struct forger {
    struct bus_writer *to;
    struct rng rng;
    unsigned written;
};

static void on_forger_event(void *role, const struct port_event *ev)
{
    struct forger *forger = role;
    if (ev->kind == PORT_SYNCED && forger->to != NULL) {
        CHECK(bus_synced(forger->to, ev->synced.result) == BUS_OK);
    } else if (ev->kind == PORT_TURN_ENDED && forger->to != NULL) {
        CHECK(bus_flush(forger->to) == BUS_OK);
    }
}

static void publish(struct forger *forger, struct slice record)
{
    bus_position position;
    CHECK(bus_publish(forger->to, record, &position) == BUS_OK);
    forger->written++;
}

/* As it was, with a bit changed, cut short, and with rubbish behind it. */
static void forge(struct forger *forger, struct slice record)
{
    static uint8_t bytes[BATCH_MAX / 2];
    publish(forger, record);
    for (unsigned i = 0; i < 12; i++) {
        uint64_t bit = rng_below(&forger->rng, 8 * record.len);
        memcpy(bytes, record.at, record.len);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        publish(forger, slice_of(bytes, record.len));
    }
    publish(forger, slice_of(record.at, (size_t)rng_below(&forger->rng, record.len)));
    bytes[0] = (uint8_t)rng_u64(&forger->rng);
    publish(forger, slice_of(bytes, 1 + (size_t)rng_below(&forger->rng, 100)));
}

/* Writes all that gw-1 ever wrote into the journal of gw-2, over and over altered. */
static void forge_journal(struct fixture *f, uint64_t seed)
{
    struct forger forger = {.rng = rng_from_seed(seed)};
    struct port *port = sim_start(f->world, "core", on_forger_event, &forger);
    struct bus_limits limits = {.segment_bytes = 1 << 20,
                                .budget_bytes = UINT64_C(64) << 20,
                                .record_max = BATCH_MAX / 2,
                                .batch_max = BATCH_MAX};
    struct bus_reader *from = NULL;
    struct port_why why = {""};
    struct slice record;
    bus_position next;
    CHECK(bus_writer_open(port, "/hf/gateway/gw-2/spool", &limits, &forger.to, &why) == BUS_OK);
    CHECK(bus_reader_open(port, "/hf/gateway/gw-1/spool", 0, NULL, &from, &why) == BUS_OK);
    while (forger.to != NULL && from != NULL && bus_next(from, &record, &next) == BUS_OK) {
        forge(&forger, record);
        CHECK(bus_flush(forger.to) == BUS_OK);
        sim_run_for(f->world, 5);
    }
    CHECK(forger.written > 100);
    sim_run_for(f->world, 3000);
    if (from != NULL) {
        bus_reader_close(from);
    }
    if (forger.to != NULL) {
        bus_writer_close(forger.to);
    }
    port_close_all(port);
}

TEST("a hostile gateway that replays and alters every record stores no point and moves no set")
{
    struct plant_spec own = spec;
    own.gateways = 2;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        own.seed = seed;
        REQUIRE(fixture_stand(&world, &own));
        plant_terminate(world.plant, plant_gateway(world.plant, 1), UINT64_MAX);
        sim_run_for(world.world, 5000); /* all devices are at gw-1 now */
        feed_rounds(&world);
        CHECK(fixture_wait_live(&world, PATIENCE_MS));
        feed_rounds(&world);
        sim_run_for(world.world, 5000);
        uint64_t points = fixture_counter(&world, "points");
        CHECK(points > 0);
        forge_journal(&world, seed);
        CHECK(plant_is_up(world.plant, PLANT_INGEST));
        CHECK_U64(plant_starts(world.plant, PLANT_INGEST), 1);
        CHECK_U64(fixture_counter(&world, "points"), points);
        CHECK(fixture_counter(&world, "duplicate") > 0);
        CHECK(fixture_counter(&world, "refused") > 0);
        feed_rounds(&world); /* and the devices' own go on as before */
        sim_run_for(world.world, 5000);
        uint64_t kept = 0;
        for (uint32_t i = 0; i < DEVICES; i++) {
            kept += world.kept[i];
        }
        CHECK_U64(fixture_counter(&world, "points"), kept);
        fixture_end(&world);
    }
}
