/*
 * Enrolment in the simulated world: answers that are lost, roles and machines that end anywhere, a
 * keeper that is away. In the end each device has one certificate for its one key, the registry and
 * the device have the same, and nobody waits for ever (OneIdentity, KnownTransition).
 */
#include "codec/http.h"
#include "role/http_client.h"
#include "sim/roles/fixture.h"
#include "test/test.h"

#include <string.h>

enum { DEVICES = 3, TRIALS = 20, BACK_MS = 300, PATIENCE_MS = 900000 };

static struct fixture world;

static const struct plant_spec spec = {.seed = 21, .gateways = 1, .devices = DEVICES};

static void check_identities(struct fixture *f)
{
    for (uint32_t i = 0; i < f->devices; i++) {
        bool is_its_own = false;
        CHECK_U64(fixture_certificates(f, i, &is_its_own), 1);
        CHECK(is_its_own);
    }
}

/* ---- answers that are lost ---- */

struct loss {
    struct fixture *f;
    unsigned seen, at; /* answers of the device services to dev-0000 */
    bool lost;
};

static void on_passing(void *context, const struct sim_passing *passing)
{
    struct loss *loss = context;
    if (passing->server_port == PLANT_DEVICES_PORT && !passing->by_client && !passing->arrives
        && strcmp(passing->to, "dev-0000") == 0 && ++loss->seen == loss->at) {
        loss->lost = true;
        sim_cut_link(loss->f->world, "core", "dev-0000");
    }
}

static bool is_lost(void *context)
{
    return ((const struct loss *)context)->lost;
}

TEST("an answer that is lost is asked for again, and is the same certificate")
{
    for (unsigned at = 1; at <= 4; at++) {
        struct loss loss = {.f = &world, .at = at};
        struct plant_spec own = spec;
        own.seed = at;
        REQUIRE(fixture_begin(&world, &own));
        sim_tap(world.world, on_passing, &loss);
        bool lost = sim_run_while_not(world.world, is_lost, &loss, 60000);
        CHECK(lost || at > 2); /* certificate and trust list, at least */
        sim_run_for(world.world, 10);
        sim_reset_link(world.world, "core", "dev-0000");
        sim_heal_link(world.world, "core", "dev-0000");
        CHECK(fixture_wait_live(&world, PATIENCE_MS));
        check_identities(&world);
        fixture_end(&world);
    }
}

/* ---- ends in every step ---- */

static void kill_control(struct fixture *f)
{
    plant_kill(f->plant, PLANT_CONTROL, BACK_MS);
}

static void kill_keeper(struct fixture *f)
{
    plant_kill(f->plant, PLANT_KEEPER, BACK_MS);
}

static void cut_core(struct fixture *f)
{
    plant_power_cut(f->plant, "core", BACK_MS);
}

static void cut_device(struct fixture *f)
{
    plant_power_cut(f->plant, "dev-0000", BACK_MS);
}

static uint64_t operations_until_live(const char *machine)
{
    if (!fixture_begin(&world, &spec)) {
        return 0;
    }
    uint64_t before = fixture_operations(&world, machine);
    CHECK(fixture_wait_live(&world, PATIENCE_MS));
    check_identities(&world);
    uint64_t operations = fixture_operations(&world, machine) - before;
    fixture_end(&world);
    return operations;
}

static void trials(const char *machine, void (*strike)(struct fixture *f), uint64_t most)
{
    uint64_t operations = operations_until_live(machine);
    uint64_t count = operations < most ? operations : most;
    unsigned struck = 0;
    CHECK(count > 5);
    for (uint64_t i = 0; i < count; i++) {
        struct plant_spec own = spec;
        own.seed = 100 + i;
        if (!fixture_begin(&world, &own)) {
            return;
        }
        fixture_strike_at(&world, machine, 1 + i * operations / count, strike);
        CHECK(fixture_wait_live(&world, PATIENCE_MS));
        check_identities(&world);
        struck += world.fault.struck;
        fixture_end(&world);
    }
    CHECK(struck > count / 2);
}

TEST("control may be killed in any step of an enrolment")
{
    trials("core", kill_control, TRIALS);
}

TEST("the keeper may be killed in any step of an enrolment")
{
    trials("core", kill_keeper, TRIALS);
}

TEST("the power of the core may go in any step of an enrolment")
{
    trials("core", cut_core, TRIALS);
}

TEST("the power of a device may go in any step of its enrolment")
{
    trials("dev-0000", cut_device, 60);
}

struct words {
    unsigned failed, keeper_away; /* answers of the device services */
};

static bool holds(struct slice bytes, const char *code)
{
    for (; bytes.len > 0; bytes = slice_after(bytes, 1)) {
        if (slice_has_prefix(bytes, slice_text(code))) {
            return true;
        }
    }
    return false;
}

static void count_words(void *context, const struct sim_passing *passing)
{
    struct words *words = context;
    if (passing->server_port == PLANT_DEVICES_PORT && !passing->by_client && !passing->arrives) {
        words->failed += holds(passing->bytes, "HF-3403");
        words->keeper_away += holds(passing->bytes, "HF-3219");
    }
}

TEST("a registry that fails is not said to be a keeper that is away, nor a certificate not issued")
{
    struct words words = {0};
    for (unsigned i = 0; i < 24; i++) {
        struct plant_spec own = spec;
        own.seed = 400 + i;
        REQUIRE(fixture_begin(&world, &own));
        sim_tap(world.world, count_words, &words);
        sim_fail(world.world, "core", i % 2 == 0 ? SIM_WRITE : SIM_SYNC, 20 + 4 * i, PORT_FAILED,
                 false);
        sim_run_for(world.world, 5000);
        fixture_end(&world);
    }
    CHECK(words.failed > 0);
    CHECK_U64(words.keeper_away, 0);
}

TEST("a failed call of control's disk during enrolment leaves every device with one certificate")
{
    static const enum sim_call calls[] = {SIM_OPEN, SIM_READ, SIM_WRITE, SIM_SYNC, SIM_NAMES};
    for (size_t i = 0; i < COUNT_OF(calls) * 4; i++) {
        struct plant_spec own = spec;
        own.seed = 300 + i;
        REQUIRE(fixture_begin(&world, &own));
        sim_fail(world.world, "core", calls[i % COUNT_OF(calls)], 20 + 7 * i,
                 i % 3 == 0 ? PORT_NO_SPACE : PORT_FAILED, i % 2 == 0);
        sim_run_for(world.world, 20000);
        plant_power_cut(world.plant, "core", BACK_MS); /* takes the fault away */
        CHECK(fixture_drain(&world, PATIENCE_MS));
        check_identities(&world);
        fixture_end(&world);
    }
}

/* ---- a keeper that is away ---- */

TEST("without the keeper nobody enrols, and with it everybody does")
{
    REQUIRE(fixture_begin(&world, &spec));
    plant_kill(world.plant, PLANT_KEEPER, UINT64_MAX);
    sim_run_for(world.world, 120000);
    CHECK_U64(plant_live(world.plant), 0);
    CHECK(plant_is_up(world.plant, PLANT_CONTROL));
    CHECK(plant_start(world.plant, PLANT_KEEPER) == 0);
    CHECK(fixture_wait_live(&world, PATIENCE_MS));
    check_identities(&world);
    CHECK_U64(plant_starts(world.plant, PLANT_CONTROL), 1);
    fixture_end(&world);
}

/* ---- the API ---- */

struct browser {
    struct port *port;
    struct http_client *client;
    const char *method, *target, *fields;
    int status; /* 0: none yet; -1: failed */
};

static void on_browser_event(void *role, const struct port_event *ev)
{
    struct browser *b = role;
    switch (b->client != NULL ? http_client_event(b->client, ev) : HTTP_CLIENT_NOT_MINE) {
    case HTTP_CLIENT_NOT_MINE:
    case HTTP_CLIENT_WAITING:
    case HTTP_CLIENT_PIECE: return;
    case HTTP_CLIENT_CONNECTED:
        CHECK(http_client_send(b->client,
                               &(struct http_client_request){.method = b->method,
                                                             .target = slice_text(b->target),
                                                             .fields = b->fields}));
        return;
    case HTTP_CLIENT_ANSWERED: b->status = http_client_answer(b->client).head->status; return;
    case HTTP_CLIENT_FAILED: b->status = -1; return;
    }
}

static int ask(struct fixture *f, const char *method, const char *target, const char *fields)
{
    struct browser b = {.method = method, .target = target, .fields = fields};
    struct http_client_options options = {
        .address = "core:8080", .host = "localhost:8080", .body_max = 1 << 20, .timeout_ms = 5000};
    struct port_why why;
    b.port = sim_start(f->world, "browser", on_browser_event, &b);
    CHECK(http_client_open(b.port, &options, &b.client, &why) == PORT_OK);
    for (unsigned i = 0; i < 100 && b.status == 0; i++) {
        sim_run_for(f->world, 100);
    }
    http_client_close(b.client);
    port_close_all(b.port);
    return b.status;
}

TEST("the API answers, refuses who has no session, and is there again after a restart")
{
    static const struct {
        const char *method, *target, *fields;
        int status;
    } rows[] = {
        {"GET", "/", NULL, 200},
        {"GET", "/api/v1/openapi.json", NULL, 401},
        {"GET", "/api/v1/devices", NULL, 401},
        {"GET", "/api/v1/fleet", NULL, 401},
        {"POST", "/api/v1/bundles", NULL, 401},
        {"GET", "/api/v1/devices", "Cookie: holdfast_8080=00\r\n", 401},
        {"GET", "/api/v1/nothing", NULL, 404},
        {"DELETE", "/", NULL, 405},
    };
    struct plant_spec own = spec;
    own.has_console = true;
    REQUIRE(fixture_stand(&world, &own));
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            CHECK_U64(ask(&world, rows[i].method, rows[i].target, rows[i].fields), rows[i].status);
        }
        plant_kill(world.plant, PLANT_CONTROL, BACK_MS);
        CHECK(ask(&world, "GET", "/", NULL) == -1);
        sim_run_for(world.world, 2000);
    }
    fixture_end(&world);
}
