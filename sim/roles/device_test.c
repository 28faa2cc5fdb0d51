/*
 * The device in the simulated world: links that are gone for hours, power that goes within any
 * operation of its disk, calls that fail, gateways that die, a clock that is not there,
 * certificates that are renewed in time or ran out while nobody could be reached.
 */
#include "io/read_all.h"
#include "io/replace.h"
#include "role/device_inside.h"
#include "sim/roles/fixture.h"
#include "test/test.h"

#include <string.h>

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

enum { DEVICES = 2, ROUNDS = 20, BACK_MS = 300, PATIENCE_MS = 900000 };

static struct fixture world;

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static const struct plant_spec spec = {.seed = 41, .gateways = 2, .devices = DEVICES};

static struct plant_spec with(uint64_t seed, uint32_t journal_percent)
{
    struct plant_spec own = spec;
    own.seed = seed;
    own.journal_percent = journal_percent;
    return own;
}

static void feed_rounds(unsigned rounds, uint64_t pause_ms)
{
    for (unsigned i = 0; i < rounds; i++) {
        fixture_feed(&world);
        sim_run_for(world.world, pause_ms);
    }
}

static void cut_links(bool to_core, bool from_core)
{
    for (uint32_t i = 0; i < DEVICES; i++) {
        const char *device = plant_name(world.plant, plant_device(world.plant, i));
        if (to_core) {
            sim_cut_link(world.world, device, "core");
        }
        if (from_core) {
            sim_cut_link(world.world, "core", device);
        }
    }
}

static void heal_links(void)
{
    for (uint32_t i = 0; i < DEVICES; i++) {
        const char *device = plant_name(world.plant, plant_device(world.plant, i));
        sim_heal_link(world.world, device, "core");
        sim_heal_link(world.world, "core", device);
    }
}

TEST("what a device kept while its link was cut, either way or both, arrives once when it is back")
{
    for (unsigned i = 0; i < 6; i++) {
        struct plant_spec own = with(10 + i, i % 2 == 0 ? 100 : 0);
        REQUIRE(fixture_stand(&world, &own));
        feed_rounds(3, 200);
        cut_links(i / 2 != 1, i / 2 != 0);
        feed_rounds(60, 10000);
        CHECK(i % 2 == 0 ? world.kept[0] == 63 : world.kept[0] >= 30);
        heal_links();
        CHECK(fixture_drain(&world, PATIENCE_MS));
        fixture_check(&world, true);
        fixture_end(&world);
    }
}

TEST("an outbox on disk keeps what is durable through a kill without a link")
{
    struct plant_spec own = with(20, 100);
    REQUIRE(fixture_stand(&world, &own));
    cut_links(true, true);
    feed_rounds(50, 1000);
    plant_kill(world.plant, plant_device(world.plant, 0), BACK_MS);
    plant_power_cut(world.plant, "dev-0001", BACK_MS);
    sim_run_for(world.world, 5000);
    feed_rounds(10, 1000);
    heal_links();
    CHECK(fixture_drain(&world, PATIENCE_MS));
    CHECK_U64(world.kept[0], 60);
    fixture_check(&world, true);
    fixture_end(&world);
}

static void cut_device(struct fixture *f)
{
    plant_power_cut(f->plant, "dev-0000", BACK_MS);
}

static void kill_device(struct fixture *f)
{
    plant_kill(f->plant, plant_device(f->plant, 0), BACK_MS);
}

/* What was acknowledged is stored, nothing twice, no number used for two messages. */
static void device_trials(uint32_t journal_percent, void (*strike)(struct fixture *f))
{
    unsigned struck = 0;
    for (uint64_t nth = 1; nth <= 40; nth++) {
        struct plant_spec own = with(100 + nth, journal_percent);
        REQUIRE(fixture_stand(&world, &own));
        fixture_strike_at(&world, "dev-0000", nth, strike);
        feed_rounds(ROUNDS, 100);
        struck += world.fault.struck;
        CHECK(fixture_drain(&world, PATIENCE_MS));
        fixture_check(&world, false);
        CHECK(fixture_points(&world, 1) == world.kept[1]);
        fixture_end(&world);
    }
    CHECK(struck > 10 || journal_percent == 0);
}

TEST("the power of a device may go within any operation of its outbox on disk")
{
    device_trials(100, cut_device);
}

TEST("a device may be killed within any operation of its outbox on disk")
{
    device_trials(100, kill_device);
}

TEST("a failed call of a device's disk, once or for ever, ends it and never a promise")
{
    static const enum sim_call calls[] = {SIM_OPEN, SIM_READ, SIM_WRITE, SIM_SYNC, SIM_NAMES};
    for (size_t i = 0; i < COUNT_OF(calls) * 8; i++) {
        struct plant_spec own = with(200 + i, 100);
        REQUIRE(fixture_stand(&world, &own));
        sim_fail(world.world, "dev-0000", calls[i % COUNT_OF(calls)], 1 + i / COUNT_OF(calls),
                 i % 3 == 0 ? PORT_NO_SPACE : PORT_FAILED, i % 2 == 0);
        feed_rounds(ROUNDS, 100);
        plant_power_cut(world.plant, "dev-0000", BACK_MS); /* takes the fault away */
        CHECK(fixture_drain(&world, PATIENCE_MS));
        fixture_check(&world, false);
        fixture_end(&world);
    }
}

TEST("gateways that die in turn lose nothing that was kept")
{
    struct plant_spec own = with(50, 50);
    REQUIRE(fixture_stand(&world, &own));
    for (unsigned i = 0; i < 12; i++) {
        feed_rounds(4, 500);
        plant_kill(world.plant, plant_gateway(world.plant, i % 2), 3000);
    }
    CHECK(fixture_drain(&world, PATIENCE_MS));
    fixture_check(&world, true);
    fixture_end(&world);
}

/* ---- time ---- */

static void check_newest(uint32_t least, uint32_t most)
{
    for (uint32_t i = 0; i < DEVICES; i++) {
        bool is_its_own = false;
        uint32_t count = fixture_certificates(&world, i, &is_its_own);
        CHECK(count >= least && count <= most);
        CHECK(is_its_own);
    }
}

TEST("certificates are renewed from half of their life on, and telemetry goes on")
{
    struct plant_spec own = with(60, 50);
    own.gateways = 1;
    own.certificate_life_ms = 2 * HOUR_MS; /* and an hour before its issue */
    REQUIRE(fixture_stand(&world, &own));
    for (unsigned i = 0; i < 10; i++) {
        feed_rounds(1, HOUR_MS / 2);
        CHECK(fixture_wait_live(&world, 60000));
    }
    check_newest(5, 9);
    CHECK(fixture_drain(&world, PATIENCE_MS));
    fixture_check(&world, true);
    fixture_end(&world);
}

/* The first device's renewed certificate has come to nothing once and rests, the old one is in use.
 */
static const struct device *let_renewal_rest(void)
{
    const struct device *d = plant_device_role(world.plant, 0);
    int64_t now_ms = sim_wall_ms(world.world, "dev-0000");
    sim_run_for(world.world, (uint64_t)(d->enroll.renew_at_ms - now_ms) - 10);
    plant_kill(world.plant, plant_gateway(world.plant, 0), UINT64_MAX);
    for (int i = 0; i < 300 && d->generation.state != GENERATION_RESTING; i++) {
        sim_run_for(world.world, 100);
    }
    CHECK(d->generation.state == GENERATION_RESTING);
    CHECK(plant_start(world.plant, plant_gateway(world.plant, 0)) == 0);
    CHECK(fixture_wait_live(&world, 60000));
    return d;
}

TEST("a device whose gateway is gone when its renewed certificate is due waits, and does not spin")
{
    struct plant_spec own = {
        .seed = 62, .gateways = 1, .devices = 1, .certificate_life_ms = 2 * HOUR_MS};
    REQUIRE(fixture_stand(&world, &own));
    const struct device *d = let_renewal_rest();
    uint64_t due_ms = generation_due_ms(&d->generation);
    REQUIRE(due_ms > port_now_ms(d->port) + 10 && due_ms != UINT64_MAX);
    sim_run_for(world.world, due_ms - port_now_ms(d->port) - 10);
    CHECK(d->generation.state == GENERATION_RESTING && plant_live(world.plant) == 1);
    sim_cut_link(world.world, "dev-0000", "core");
    sim_cut_link(world.world, "core", "dev-0000");
    uint64_t before = sim_events(world.world);
    sim_run_for(world.world, 20000);
    CHECK(d->link.is_hung_up || d->link.state != LINK_LIVE);
    CHECK(sim_events(world.world) - before < 5000);
    sim_heal_link(world.world, "dev-0000", "core");
    sim_heal_link(world.world, "core", "dev-0000");
    for (int i = 0; i < 3000 && d->renewed.key != NULL; i++) {
        sim_run_for(world.world, 100);
    }
    CHECK(d->renewed.key == NULL && fixture_wait_live(&world, 60000));
    fixture_end(&world);
}

TEST("a device whose certificate ran out in days without a core enrols again by itself")
{
    struct plant_spec own = with(61, 100);
    own.certificate_life_ms = 12 * HOUR_MS;
    REQUIRE(fixture_stand(&world, &own));
    feed_rounds(2, 1000);
    plant_power_cut(world.plant, "core", UINT64_MAX);
    for (unsigned day = 0; day < 3; day++) {
        feed_rounds(1, DAY_MS);
    }
    for (uint32_t i = 0; i < plant_device(world.plant, 0); i++) {
        CHECK(plant_start(world.plant, i) == 0);
    }
    CHECK(fixture_wait_live(&world, HOUR_MS));
    check_newest(2, 4);
    CHECK(fixture_drain(&world, PATIENCE_MS));
    fixture_check(&world, true);
    fixture_end(&world);
}

TEST("a device that has no clock enrols, publishes and goes on after a restart")
{
    struct plant_spec own = with(62, 50);
    REQUIRE(fixture_begin(&world, &own));
    for (uint32_t i = 0; i < DEVICES; i++) {
        sim_set_clock(world.world, plant_name(world.plant, plant_device(world.plant, i)),
                      -INT64_C(1795435200000), TIME_UNKNOWN); /* 1970 */
    }
    CHECK(fixture_wait_live(&world, PATIENCE_MS));
    feed_rounds(5, 1000);
    plant_power_cut(world.plant, "dev-0000", BACK_MS);
    plant_terminate(world.plant, plant_device(world.plant, 1), BACK_MS);
    CHECK(fixture_wait_live(&world, PATIENCE_MS));
    feed_rounds(5, 1000);
    CHECK(fixture_drain(&world, PATIENCE_MS));
    fixture_check(&world, false);
    fixture_end(&world);
}

TEST("a device that has no clock is never for long without a certificate that works")
{
    struct plant_spec own = with(63, 50);
    own.gateways = 1;
    own.certificate_life_ms = 2 * HOUR_MS;
    REQUIRE(fixture_begin(&world, &own));
    for (uint32_t i = 0; i < DEVICES; i++) {
        sim_set_clock(world.world, plant_name(world.plant, plant_device(world.plant, i)),
                      -INT64_C(1795435200000), TIME_UNKNOWN);
    }
    CHECK(fixture_wait_live(&world, PATIENCE_MS));
    for (unsigned i = 0; i < 5; i++) {
        feed_rounds(1, HOUR_MS);
        plant_kill(world.plant, plant_gateway(world.plant, 0), 1000); /* all must show it again */
        sim_run_for(world.world, 2000);
        CHECK(fixture_wait_live(&world, HOUR_MS / 4));
    }
    CHECK(fixture_drain(&world, PATIENCE_MS));
    fixture_check(&world, true);
    fixture_end(&world);
}

/* ---- what is not worth a write ---- */

static unsigned lists_asked_for;

static void count_requests(void *context, const struct sim_passing *passing)
{
    (void)context;
    if (passing->arrives && passing->by_client && passing->server_port == PLANT_DEVICES_PORT
        && slice_has_prefix(passing->bytes, slice_text("GET /trust "))) {
        lists_asked_for++;
    }
}

TEST("a device writes nothing for a trust list that it has stored already, after a restart neither")
{
    struct plant_spec own = with(70, 0);
    REQUIRE(fixture_stand(&world, &own));
    sim_run_for(world.world, 10000);
    for (unsigned life = 0; life < 2; life++) {
        lists_asked_for = 0;
        sim_tap(world.world, count_requests, NULL);
        uint64_t before = fixture_operations(&world, "dev-0000");
        sim_run_for(world.world, HOUR_MS);
        CHECK(lists_asked_for >= 6 * DEVICES);
        CHECK_U64(fixture_operations(&world, "dev-0000"), before);
        plant_kill(world.plant, plant_device(world.plant, 0), BACK_MS);
        sim_run_for(world.world, 10000);
    }
    fixture_end(&world);
}

TEST("a trust list that went from a device's folder is there again with its next start")
{
    struct plant_spec own = with(71, 0);
    REQUIRE(fixture_stand(&world, &own));
    struct sim_disk *disk = sim_disk_of(world.world, "dev-0000");
    plant_kill(world.plant, plant_device(world.plant, 0), BACK_MS);
    CHECK(sim_disk_unlink(disk, "/hf/state/trust.cbor") == PORT_OK);
    sim_run_for(world.world, BACK_MS);
    CHECK(fixture_wait_live(&world, PATIENCE_MS));
    CHECK(sim_disk_find(disk, "/hf/state/trust.cbor") != NULL);
    fixture_end(&world);
}

/* ---- a disk that does not answer says nothing about a key ---- */

static bool copy_file(const char *machine, const char *from, const char *to)
{
    uint8_t text[8192];
    size_t len = 0;
    struct port *port = sim_start(world.world, machine, ignore, NULL);
    bool copied = port_file_read_all(port, from, text, sizeof text, &len) == PORT_OK
                  && port_file_replace(port, to, slice_of(text, len)) == PORT_OK;
    port_close_all(port);
    return copied;
}

TEST("a key that cannot be read at a start is still there for the next one")
{
    struct plant_spec own = with(72, 0);
    REQUIRE(fixture_stand(&world, &own));
    uint32_t device = plant_device(world.plant, 0);
    struct sim_disk *disk = sim_disk_of(world.world, "dev-0000");
    cut_links(true, true);
    for (uint64_t nth = 1; nth <= 24; nth++) {
        plant_kill(world.plant, device, UINT64_MAX);
        sim_fail(world.world, "dev-0000", SIM_READ, 1, PORT_OK, false);
        REQUIRE(copy_file("dev-0000", "/hf/state/identity.pem", "/hf/state/renewed.pem"));
        sim_fail(world.world, "dev-0000", SIM_READ, nth, PORT_FAILED, false);
        (void)plant_start(world.plant, device);
        sim_run_for(world.world, 1000);
        CHECK(sim_disk_find(disk, "/hf/state/identity.pem") != NULL);
        CHECK(sim_disk_find(disk, "/hf/state/renewed.pem") != NULL);
    }
    fixture_end(&world);
}
