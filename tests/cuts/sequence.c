/*
 * A device's counters: no number and no boot that was ever used may come again, and the floor of
 * trust lists does not fall. Three boots: one that ends like a crash, one that runs over several
 * blocks, accepts a trust list, begins a new boot while it runs and stops cleanly, one more.
 */
#include "base/invariant.h"
#include "durable.h"
#include "role/device_inside.h"

#include <stdlib.h>
#include <string.h>

enum { TRUST = 7 };

struct counters {
    uint64_t used;  /* the highest number that left the device */
    uint32_t boot;  /* the highest boot that did */
    uint64_t trust; /* no trust list below this number may be used */
};

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static struct device *open_counters(struct sim_world *world)
{
    struct device *d = calloc(1, sizeof *d);
    INVARIANT(d != NULL);
    d->port = sim_start(world, CUTS_MACHINE, on_event, NULL);
    memcpy(d->state_dir, "/var/state", sizeof "/var/state");
    return d;
}

static void close_counters(struct device *d)
{
    key_free(d->ephemeral);
    port_close_all(d->port);
    free(d);
}

static bool use(struct device *d, struct counters *life, uint64_t count)
{
    struct sequence_store block;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t seq;
        if (sequence_wants(&d->sequence, &block)) {
            if (!device_store_sequence(d, &block)) {
                return false;
            }
            sequence_stored(&d->sequence);
        }
        if (sequence_take(&d->sequence, &seq)) {
            life->used = seq;
            life->boot = d->sequence.boot;
        }
    }
    return true;
}

static bool live_once(struct device *d, struct counters *life, int which)
{
    struct port_why why;
    struct sequence_store last;
    if (device_lock(d, &why) != PORT_OK || device_load_sequence(d, &why) != PORT_OK
        || !use(d, life, which == 1 ? 3 * SEQUENCE_BLOCK : 10)) {
        return false;
    }
    if (which != 1) {
        return true;
    }
    if (!device_raise_trust(d, TRUST)) {
        return false;
    }
    life->trust = TRUST;
    if (!device_begin_boot(d) || !use(d, life, 10)) {
        return false;
    }
    sequence_stop(&d->sequence, &last);
    return device_store_sequence(d, &last);
}

static void scenario(void *context, struct sim_world *world)
{
    bool goes_on = true;
    for (int which = 0; which < 3 && goes_on; which++) {
        struct device *d = open_counters(world);
        goes_on = live_once(d, context, which);
        close_counters(d);
    }
}

/* Twice: what the first start stored must be found by the second. */
static enum verdict recover(void *context, struct sim_world *world)
{
    struct counters life = *(const struct counters *)context;
    enum verdict verdict = KEPT;
    for (int start = 0; start < 2 && verdict == KEPT; start++) {
        struct port_why why;
        struct device *d = open_counters(world);
        if (device_lock(d, &why) != PORT_OK || device_load_sequence(d, &why) != PORT_OK) {
            verdict = TOLD;
        } else if (d->sequence.first <= life.used || d->sequence.boot <= life.boot
                   || d->sequence.trust < life.trust) {
            verdict = BROKEN;
        } else {
            verdict = use(d, &life, 3) ? KEPT : TOLD;
        }
        close_counters(d);
    }
    return verdict;
}

static uint64_t promised(void *context)
{
    const struct counters *life = context;
    return life->used * 1000 + life->boot + life->trust;
}

const struct durable durable_sequence = {
    .name = "sequence",
    .context_len = sizeof(struct counters),
    .scenario = scenario,
    .recover = recover,
    .promised = promised,
    .sees_rot = true,
    .seeded = 8,
};
