/*
 * The power goes at every write of a device's counters, on a disk that forgets what was not synced
 * and tears what it was writing: no number and no boot that was ever used may come again.
 */
#include "io/sim/cuts.h"
#include "role/device_inside.h"
#include "test/test.h"

#include <stdlib.h>
#include <string.h>

enum mistake { NONE, USES_BEFORE_STORED };

struct life {
    enum mistake mistake;
    uint64_t used; /* the highest number that left the device */
    uint32_t boot; /* the highest boot that did */
};

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static struct device *open_counters(struct sim_world *world, struct life *life)
{
    struct device *d = calloc(1, sizeof *d);
    if (d == NULL) {
        abort();
    }
    d->port = sim_start(world, CUTS_MACHINE, on_event, life);
    memcpy(d->state_dir, "state", sizeof "state");
    return d;
}

static void close_counters(struct device *d)
{
    port_close_all(d->port);
    free(d);
}

static bool store(struct device *d, struct life *life, const struct sequence_store *store)
{
    bool is_early = life->mistake == USES_BEFORE_STORED;
    if (is_early) {
        sequence_stored(&d->sequence);
        uint64_t seq;
        while (sequence_take(&d->sequence, &seq)) {
            life->used = seq;
        }
    }
    bool ok = device_store_sequence(d, store);
    if (ok && !is_early) {
        sequence_stored(&d->sequence);
    }
    return ok;
}

static void use(struct device *d, struct life *life, uint64_t count)
{
    struct sequence_store block;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t seq;
        if (sequence_wants(&d->sequence, &block)) {
            CHECK(store(d, life, &block));
        }
        if (sequence_take(&d->sequence, &seq)) {
            life->used = seq;
            life->boot = d->sequence.boot;
        }
    }
}

/* Three boots: one that crashes, one that runs over several blocks and stops cleanly, one more. */
static void live(void *context, struct sim_world *world)
{
    struct life *life = context;
    for (int boot = 0; boot < 3; boot++) {
        struct port_why why;
        struct device *d = open_counters(world, life);
        CHECK(device_lock(d, &why) == PORT_OK);
        CHECK(device_load_sequence(d, &why) == PORT_OK);
        use(d, life, boot == 1 ? 3 * SEQUENCE_BLOCK : 10);
        if (boot == 1) {
            struct sequence_store last;
            sequence_stop(&d->sequence, &last);
            CHECK(device_store_sequence(d, &last));
        }
        close_counters(d);
    }
}

static bool come_back(void *context, struct sim_world *world)
{
    struct life *life = context;
    struct port_why why;
    struct device *d = open_counters(world, life);
    bool ok = device_lock(d, &why) == PORT_OK && device_load_sequence(d, &why) == PORT_OK
              && d->sequence.first > life->used && d->sequence.boot > life->boot;
    close_counters(d);
    return ok;
}

static uint64_t promised(void *context)
{
    const struct life *life = context;
    return life->used * 1000 + life->boot;
}

TEST("no number and no boot is used twice, wherever the power goes")
{
    struct life life = {0};
    struct cuts_report report;
    cuts_run(&(struct cuts){.context = &life,
                            .scenario = live,
                            .recover = come_back,
                            .promised = promised,
                            .seed = 11,
                            .seeded = 8,
                            .cuts_recovery = true},
             &report);
    CHECK_U64(report.violations, 0);
    CHECK(report.cuts > 100);
    CHECK(report.states > 10);
}

TEST("the cuts find a device that uses numbers before their block is durable")
{
    struct life life = {.mistake = USES_BEFORE_STORED};
    struct cuts_report report;
    cuts_run(&(struct cuts){.context = &life,
                            .scenario = live,
                            .recover = come_back,
                            .promised = promised,
                            .seed = 11,
                            .seeded = 8},
             &report);
    CHECK(report.violations > 0);
}
