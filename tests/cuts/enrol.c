/*
 * Power cuts and lost messages over the whole way of an identity: a device that asks by EST, the
 * device services, control's decision, the keeper's signature, the registry, the answer, the
 * device's files; all of it production code on the simulated plant (sim/plant.h). The power goes in
 * every operation of either disk and at every message, roles are killed there, links break, and
 * some of what follows is cut again. In the end each device is live, it has the certificate that
 * the registry has of it, for its one key, and no second one that it was not to have.
 *
 *     enrol_cuts --list | enrol_cuts [--long | --brief] cuts [NAME...]
 */
#include "base/invariant.h"
#include "base/rng.h"
#include "codec/pem.h"
#include "codec/x509.h"
#include "io/read_all.h"
#include "io/registry.h"
#include "role/device_inside.h"
#include "sim/plant.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOOK_MS = 100,
    BACK_MS = 300,
    BEFORE_MS = 50,
    STAND_MS = 120000,
    HOUR_MS = 3600000,
    PATIENCE_MS = 600000,
    STRUCK_MS = 60000,  /* in which what is struck at happens, or does not any more */
    SECOND_WITHIN = 40, /* operations after the first cut */
    ROUNDS_LONG = 3,
    BRIEF_PART = 4,
    SEED = 20260101
};
#define DAY_MS INT64_C(86400000)

enum strike { CUT_CORE, CUT_DEVICE, KILL_CONTROL, KILL_KEEPER, LOSE_LINK };
enum where { OF_CORE, OF_DEVICE, OF_MESSAGES };
enum { WHERE_COUNT = OF_MESSAGES + 1 };

static const char *const strikes[] = {"the core's power", "the device's power", "control killed",
                                      "the keeper killed", "the link cut"};
static const char *const places[] = {"operation of the core", "operation of the device", "message"};
static const char *const machines[] = {"core", "dev-0000", NULL};

struct story {
    const char *name;
    struct plant_spec spec;
    int64_t clock_ms;      /* how far all clocks are ahead of what was installed */
    bool is_renewal;       /* strikes begin when all are live and the first renewal is due */
    uint32_t generations;  /* certificates that a device has in the end, at least */
    uint32_t certificates; /* and at most */
    bool renews_servers;
    unsigned one_in; /* of the strikes the short run tries one in so many */
};

static const struct story stories[] = {
    {.name = "enrolment",
     .spec = {.gateways = 1, .devices = 2},
     .generations = 1,
     .certificates = 1,
     .one_in = 2},
    {.name = "renewal",
     .spec = {.gateways = 1, .devices = 1, .certificate_life_ms = 2 * HOUR_MS},
     .is_renewal = true,
     .generations = 2,
     .certificates = UINT32_MAX,
     .one_in = 4},
    {.name = "server-certificates",
     .spec = {.gateways = 1, .devices = 2},
     .clock_ms = 3590 * DAY_MS, /* servers begin with ten years */
     .generations = 1,
     .certificates = 1,
     .renews_servers = true,
     .one_in = 4},
};

struct run {
    const struct story *story;
    struct plant *plant;
    struct sim_world *world;
    enum where where;
    enum strike strike;
    uint64_t at, seen; /* at 0: counts only */
    bool is_struck;
    uint64_t floor;          /* of trust lists, as dev-0000 had it when it was struck */
    uint8_t installed[4096]; /* the device services' certificate as it was */
    size_t installed_len;
};

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

/* ---- striking ---- */

static void strike(struct run *r)
{
    const struct device *d = plant_device_role(r->plant, 0);
    if (d != NULL && d->sequence.trust > r->floor && d->has_trust) {
        r->floor = d->sequence.trust;
    }
    switch (r->strike) {
    case CUT_CORE: plant_power_cut(r->plant, "core", BACK_MS); return;
    case CUT_DEVICE: plant_power_cut(r->plant, "dev-0000", BACK_MS); return;
    case KILL_CONTROL: plant_kill(r->plant, PLANT_CONTROL, BACK_MS); return;
    case KILL_KEEPER: plant_kill(r->plant, PLANT_KEEPER, BACK_MS); return;
    case LOSE_LINK: sim_cut_link(r->world, "core", "dev-0000"); return;
    }
}

static void on_operation(void *context, struct sim_disk *disk)
{
    struct run *r = context;
    (void)disk;
    if (++r->seen == r->at) {
        r->is_struck = true;
        strike(r);
    }
}

/* A role is not ended while it speaks: the strike comes right after the turn. */
static void on_passing(void *context, const struct sim_passing *passing)
{
    struct run *r = context;
    bool is_ours = strcmp(passing->from, "dev-0000") == 0 || strcmp(passing->to, "dev-0000") == 0;
    if (is_ours && ++r->seen == r->at) {
        r->is_struck = true;
        if (r->strike == LOSE_LINK) {
            strike(r);
        }
    }
}

static bool is_struck(void *context)
{
    return ((const struct run *)context)->is_struck;
}

static void arm(struct run *r, enum where where, enum strike what, uint64_t at)
{
    r->where = where;
    r->strike = what;
    r->at = at;
    r->seen = 0;
    r->is_struck = false;
    sim_tap(r->world, where == OF_MESSAGES ? on_passing : NULL, r);
    if (where != OF_MESSAGES) {
        sim_disk_watch(sim_disk_of(r->world, machines[where]), on_operation, r);
    }
}

static void disarm(struct run *r)
{
    if (r->where == OF_MESSAGES) {
        sim_tap(r->world, NULL, NULL);
    } else {
        sim_disk_watch(sim_disk_of(r->world, machines[r->where]), NULL, NULL);
    }
}

/* ---- judging ---- */

struct certificates {
    uint32_t count, live;
    uint32_t generation; /* of the newest */
    uint8_t newest[REGISTRY_CERTIFICATE_MAX];
    size_t newest_len;
};

static bool each_certificate(void *context, const struct registry_certificate *c)
{
    struct certificates *all = context;
    if (all->count++ == 0) {
        all->generation = c->generation;
        memcpy(all->newest, c->der, c->der_len);
        all->newest_len = c->der_len;
    }
    all->live += c->state == CERTIFICATE_CURRENT || c->state == CERTIFICATE_PREVIOUS;
    return true;
}

static bool each_device(void *context, const struct registry_device *device)
{
    (void)device;
    ++*(uint32_t *)context;
    return true;
}

/* Does the device use, and has it stored, just the certificate that the registry has last? */
static bool is_settled(struct run *r, struct registry *registry, uint32_t index)
{
    static struct certificates found; /* large */
    const struct device *d = plant_device_role(r->plant, index);
    found = (struct certificates){0};
    if (d == NULL
        || registry_certificates_each(registry, plant_device_id(r->plant, index), each_certificate,
                                      &found)
               != REGISTRY_OK) {
        return false;
    }
    return found.count >= 1 && found.count <= r->story->certificates && found.live >= 1
           && found.live <= 2 && found.generation >= r->story->generations && d->renewed.key == NULL
           && d->next_key == NULL
           && slice_equal(slice_of(d->own.certificate, d->own.certificate_len),
                          slice_of(found.newest, found.newest_len));
}

/* The device services' certificate, DER at `der`. */
static struct slice server_certificate(struct run *r, uint8_t *der, size_t cap)
{
    uint8_t pem[8192];
    size_t len = 0;
    struct slice label;
    struct slice bytes = {0};
    struct writer w = writer_over(der, cap);
    struct port *port = sim_start(r->world, "core", ignore, NULL);
    bool read = port_file_read_all(port, "/hf/pki/devices.pem", pem, sizeof pem, &len) == PORT_OK;
    port_close_all(port);
    struct slice rest = slice_of(pem, len);
    return read && pem_next(&rest, &label, &w, &bytes) == PEM_OK ? bytes : slice_of(NULL, 0);
}

static bool are_servers_new(struct run *r)
{
    uint8_t der[4096];
    struct x509 certificate;
    struct slice now =
        r->story->renews_servers ? server_certificate(r, der, sizeof der) : slice_of(NULL, 0);
    return !r->story->renews_servers
           || (x509_parse(now, &certificate, NULL) == X509_OK
               && !slice_equal(now, slice_of(r->installed, r->installed_len)));
}

static bool is_well(struct run *r)
{
    struct plant_reader reader;
    uint32_t devices = 0;
    if (plant_live(r->plant) < r->story->spec.devices || !plant_read(r->plant, &reader)) {
        return false;
    }
    bool ok = registry_devices_each(reader.registry, 0, each_device, &devices) == REGISTRY_OK
              && devices == r->story->spec.devices;
    for (uint32_t i = 0; ok && i < r->story->spec.devices; i++) {
        ok = is_settled(r, reader.registry, i);
    }
    plant_leave(&reader);
    return ok && are_servers_new(r);
}

static bool wait_well(struct run *r, uint64_t ms)
{
    for (uint64_t waited = 0; waited < ms; waited += LOOK_MS) {
        if (is_well(r)) {
            return true;
        }
        sim_run_for(r->world, LOOK_MS);
    }
    return false;
}

/* ---- trials ---- */

/* Runs, with the first strike set: from the very beginning, or from where all are live. */
static bool begin(struct run *r,
                  const struct story *story,
                  uint64_t seed,
                  enum where where,
                  enum strike what,
                  uint64_t at)
{
    struct plant_spec spec = story->spec;
    spec.seed = seed;
    *r = (struct run){.story = story, .plant = plant_open(&spec)};
    if (r->plant == NULL) {
        return false;
    }
    r->world = plant_world(r->plant);
    sim_set_clock(r->world, "core", story->clock_ms, TIME_SYNCED);
    for (uint32_t i = 0; i < r->story->spec.devices; i++) {
        sim_set_clock(r->world, plant_machine(r->plant, plant_device(r->plant, i)), story->clock_ms,
                      TIME_SYNCED);
    }
    r->installed_len = server_certificate(r, r->installed, sizeof r->installed).len;
    if (!story->is_renewal) {
        arm(r, where, what, at);
        plant_begin(r->plant);
        return true;
    }
    plant_begin(r->plant);
    const struct device *d = NULL;
    for (uint64_t waited = 0; waited < STAND_MS && plant_live(r->plant) < story->spec.devices;
         waited += LOOK_MS) {
        sim_run_for(r->world, LOOK_MS);
    }
    d = plant_device_role(r->plant, 0);
    int64_t now_ms = sim_wall_ms(r->world, "dev-0000");
    if (d != NULL && d->enroll.renew_at_ms > now_ms + BEFORE_MS) {
        sim_run_for(r->world, (uint64_t)(d->enroll.renew_at_ms - now_ms) - BEFORE_MS);
    }
    arm(r, where, what, at);
    return true;
}

static void end(struct run *r)
{
    plant_close(r->plant);
}

/* How many there are until all is well, where nothing strikes. */
static bool count(const struct story *story, enum where where, uint64_t *out)
{
    struct run r;
    if (!begin(&r, story, SEED, where, CUT_CORE, 0)) {
        return false;
    }
    bool ok = wait_well(&r, PATIENCE_MS);
    disarm(&r);
    *out = r.seen;
    end(&r);
    return ok && *out > 0;
}

struct trial {
    enum where where;
    enum strike strike;
    uint64_t at;
    uint64_t again; /* operation of the same machine after it, whose power goes; 0: none */
    uint64_t seed;
};

static void strike_once(struct run *r)
{
    bool has = r->is_struck || sim_run_while_not(r->world, is_struck, r, STRUCK_MS);
    disarm(r);
    if (has && r->where == OF_MESSAGES) {
        if (r->strike != LOSE_LINK) {
            strike(r);
        }
    }
    if (has && r->strike == LOSE_LINK) {
        sim_run_for(r->world, 10);
        sim_reset_link(r->world, "core", "dev-0000");
        sim_heal_link(r->world, "core", "dev-0000");
    }
}

static bool try(const struct story *story, const struct trial *t, uint64_t *cuts)
{
    struct run r;
    if (!begin(&r, story, t->seed, t->where, t->strike, t->at)) {
        return false;
    }
    strike_once(&r);
    *cuts += r.is_struck;
    if (t->again > 0) {
        bool of_device = t->strike == CUT_DEVICE;
        arm(&r, of_device ? OF_DEVICE : OF_CORE, of_device ? CUT_DEVICE : CUT_CORE, t->again);
        strike_once(&r);
        *cuts += r.is_struck;
    }
    bool ok = wait_well(&r, PATIENCE_MS);
    end(&r);
    return ok && invariant_noted() == 0;
}

enum effort { BRIEF, SHORT, LONG };

static bool drive(const struct story *story, enum effort effort)
{
    static const enum strike at_core[] = {CUT_CORE, KILL_CONTROL, KILL_KEEPER};
    static const enum strike at_device[] = {CUT_DEVICE};
    static const enum strike at_messages[] = {LOSE_LINK, CUT_CORE, CUT_DEVICE};
    static const struct {
        const enum strike *list;
        size_t count;
    } what[WHERE_COUNT] = {{at_core, COUNT_OF(at_core)},
                           {at_device, COUNT_OF(at_device)},
                           {at_messages, COUNT_OF(at_messages)}};
    struct rng chance = rng_from_seed(SEED);
    uint64_t operations = 0;
    uint64_t cuts = 0;
    uint64_t tried = 0;
    uint64_t violations = 0;
    clock_t began = clock();
    uint64_t rounds = effort == LONG ? ROUNDS_LONG : 1;
    uint64_t one_in = (uint64_t)story->one_in * (effort == BRIEF ? BRIEF_PART : 1);
    uint64_t left_out = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        for (enum where where = OF_CORE; where <= OF_MESSAGES; where++) {
            uint64_t most = 0;
            if (!count(story, where, &most)) {
                printf("  %s: does not end well where nothing strikes\n", story->name);
                return false;
            }
            operations += round == 0 ? most : 0;
            for (uint64_t i = 0; i < most * what[where].count; i++) {
                struct trial t = {.where = where,
                                  .strike = what[where].list[i % what[where].count],
                                  .at = 1 + i / what[where].count,
                                  .seed = SEED + (round + 1) * 7919 + i};
                if (effort != LONG && rng_below(&chance, one_in) != 0) {
                    left_out++;
                    continue;
                }
                t.again = rng_below(&chance, 2) == 0 ? 1 + rng_below(&chance, SECOND_WITHIN) : 0;
                tried++;
                if (!try(story, &t, &cuts) && violations++ < 4) {
                    printf("  %s: not well after %s at %s %llu, again at %llu, seed %llu\n",
                           story->name, strikes[t.strike], places[where], (unsigned long long)t.at,
                           (unsigned long long)t.again, (unsigned long long)t.seed);
                }
            }
        }
    }
    printf("cuts %s: %llu operations, %llu cuts, %llu states, %llu left out, %.1f s, %llu "
           "violations\n",
           story->name, (unsigned long long)operations, (unsigned long long)cuts,
           (unsigned long long)tried, (unsigned long long)left_out,
           (double)(clock() - began) / CLOCKS_PER_SEC, (unsigned long long)violations);
    return violations == 0 && cuts > 0;
}

int main(int argc, char **argv)
{
    unsigned passed = 0;
    unsigned failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    enum effort effort = SHORT;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < COUNT_OF(stories); i++) {
            printf("%s\n", stories[i].name);
        }
        return 0;
    }
    if (argc > 1 && argv[1][0] == '-') {
        effort = strcmp(argv[1], "--long") == 0 ? LONG : BRIEF;
        argc--;
        argv++;
    }
    for (size_t i = 0; argc > 1 && strcmp(argv[1], "cuts") == 0 && i < COUNT_OF(stories); i++) {
        bool is_named = argc == 2;
        for (int a = 2; a < argc; a++) {
            is_named = is_named || strcmp(argv[a], stories[i].name) == 0;
        }
        if (is_named) {
            bool ok = drive(&stories[i], effort);
            passed += ok;
            failed += !ok;
        }
    }
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed == 0 && argc > 1 ? 0 : 1;
}
