#include "sim/swarm.h"

#include "base/invariant.h"
#include "base/rng.h"

#include <stdio.h>
#include <string.h>

enum {
    EVENTS_WANTED = 60, /* of one plan, about */
    SETTLE_MS = 2000    /* no fault begins in the last part of the safety phase */
};

/* What a number in an event may be: between these, small ones more often. */
struct range {
    int64_t least, most;
};

static const struct range ranges[FAULT_KIND_COUNT][FAULT_ARGS_MAX] = {
    [FAULT_DELAY] = {{1000, 4000000}, {0, 2000000}, {500, 20000}},
    [FAULT_CUT] = {{100, 30000}},
    [FAULT_PARTITION] = {{100, 30000}},
    [FAULT_PAUSE] = {{10, 20000}},
    [FAULT_KILL] = {{0, 15000}},
    [FAULT_TERMINATE] = {{0, 15000}},
    [FAULT_POWER_CUT] = {{0, 15000}},
    [FAULT_CUT_WRITE] = {{1, 60}, {0, 10000}},
    [FAULT_CUT_AGAIN] = {{1, 60}, {1, 20}, {0, 10000}},
    [FAULT_VERSION] = {{0, 7}, {0, 5000}},
    [FAULT_CLOCK_JUMP] = {{1, 100000000}}, /* either way: the sign is drawn apart */
    [FAULT_NO_CLOCK] = {{100, 30000}},
    [FAULT_DRIFT] = {{1, 50000}, {1000, 60000}},
    [FAULT_NO_SPACE] = {{100, 20000}},
    [FAULT_WRITE_FAILS] = {{1, 40}},
    [FAULT_SYNC_FAILS] = {{1, 40}},
    [FAULT_DISK_DIES] = {{1, 40}, {0, 10000}},
    [FAULT_SLOW_SYNC] = {{1000, 3000000}, {500, 20000}},
    [FAULT_ROLL_BACK] = {{1000, 30000}, {0, 5000}},
    [FAULT_STALE_SPOOL] = {{1000, 30000}, {0, 5000}},
    [FAULT_CLONE] = {{1000, 30000}},
    [FAULT_LYING_SYNC] = {{100, 20000}, {0, 5000}},
    [FAULT_LOST_WRITE] = {{1, 40}, {100, 20000}, {0, 5000}},
    [FAULT_MISDIRECT] = {{1, 40}, {100, 20000}, {0, 5000}},
    [FAULT_ROT] = {{1, 64}, {0, 5000}},
    [FAULT_HOSTILE_DEVICE] = {{1, 60}},
    [FAULT_HOSTILE_GATEWAY] = {{1, 40}},
};

static bool is_one_in(struct rng *rng, uint64_t n)
{
    return rng_below(rng, n) == 0;
}

/* Every order of magnitude between the two is as likely as the others. */
static int64_t draw(struct rng *rng, int64_t least, int64_t most)
{
    uint64_t span = (uint64_t)(most - least) + 1;
    unsigned bits = 0;
    while (bits < 63 && span >> bits > 1) {
        bits++;
    }
    uint64_t bound = UINT64_C(1) << rng_below(rng, bits + 1);
    bound = bound * 2 < span ? bound * 2 : span;
    return least + (int64_t)rng_below(rng, bound);
}

/* ---- who ---- */

static void device_name(struct rng *rng, const struct plan *plan, char to[PLAN_NAME_MAX])
{
    (void)snprintf(to, PLAN_NAME_MAX, "dev-%04u",
                   (unsigned)rng_below(rng, plan->settings[PLAN_DEVICES]));
}

static void gateway_name(struct rng *rng, const struct plan *plan, char to[PLAN_NAME_MAX])
{
    (void)snprintf(to, PLAN_NAME_MAX, "gw-%u",
                   1 + (unsigned)rng_below(rng, plan->settings[PLAN_GATEWAYS]));
}

/* The core, or a gateway's where they are apart. */
static void server_name(struct rng *rng, const struct plan *plan, char to[PLAN_NAME_MAX])
{
    if (plan->settings[PLAN_APART] != 0 && is_one_in(rng, 2)) {
        gateway_name(rng, plan, to);
    } else {
        (void)snprintf(to, PLAN_NAME_MAX, "core");
    }
}

static void machine_name(struct rng *rng, const struct plan *plan, char to[PLAN_NAME_MAX])
{
    if (is_one_in(rng, 2)) {
        server_name(rng, plan, to);
    } else {
        device_name(rng, plan, to);
    }
}

/* Whose disk lies: mostly a device's, for of the core's much less is asked in the whole run. */
static void liar_name(struct rng *rng, const struct plan *plan, char to[PLAN_NAME_MAX])
{
    if (is_one_in(rng, 8)) {
        (void)snprintf(to, PLAN_NAME_MAX, "core");
    } else {
        device_name(rng, plan, to);
    }
}

static void process_name(struct rng *rng, const struct plan *plan, char to[PLAN_NAME_MAX])
{
    static const char *const roles[] = {"ingest", "ingest", "control", "keeper"};
    switch (rng_below(rng, 3)) {
    case 0: (void)snprintf(to, PLAN_NAME_MAX, "%s", roles[rng_below(rng, COUNT_OF(roles))]); return;
    case 1: gateway_name(rng, plan, to); return;
    default: device_name(rng, plan, to); return;
    }
}

/* Who talks to whom: devices to the servers; now and then it is all of them. */
static void link_names(struct rng *rng, const struct plan *plan, struct plan_event *event)
{
    device_name(rng, plan, event->target);
    if (is_one_in(rng, 4)) {
        (void)snprintf(event->target, sizeof event->target, "dev-*");
    }
    server_name(rng, plan, event->other);
    if (is_one_in(rng, 2)) {
        char kept[PLAN_NAME_MAX];
        memcpy(kept, event->target, sizeof kept);
        memcpy(event->target, event->other, sizeof kept);
        memcpy(event->other, kept, sizeof kept);
    }
}

static void aim(struct rng *rng, const struct plan *plan, struct plan_event *event)
{
    switch (fault_row(event->kind)->target) {
    case FAULT_ON_LINK: link_names(rng, plan, event); return;
    case FAULT_ON_MACHINE:
        if (fault_is_beyond(event->kind)) {
            liar_name(rng, plan, event->target);
        } else {
            machine_name(rng, plan, event->target);
        }
        return;
    case FAULT_ON_PROCESS: process_name(rng, plan, event->target); return;
    case FAULT_ON_DEVICE: device_name(rng, plan, event->target); return;
    case FAULT_ON_GATEWAY: gateway_name(rng, plan, event->target); return;
    }
    UNREACHABLE();
}

/* ---- what and when ---- */

static void add_one(struct rng *rng, struct plan *plan, enum fault_kind kind)
{
    struct plan_event event = {.kind = kind};
    uint64_t room_ms = plan->settings[PLAN_SAFETY_MS] - SETTLE_MS;
    event.at_ms = rng_below(rng, room_ms);
    aim(rng, plan, &event);
    for (size_t i = 0; i < FAULT_ARGS_MAX && fault_row(kind)->args[i] != NULL; i++) {
        event.args[i] = draw(rng, ranges[kind][i].least, ranges[kind][i].most);
    }
    bool has_sign = kind == FAULT_CLOCK_JUMP || kind == FAULT_DRIFT;
    if (has_sign && is_one_in(rng, 2)) {
        event.args[0] = -event.args[0];
    }
    plan_add(plan, &event);
}

static void choose_world(struct rng *rng, struct plan *plan)
{
    static const uint64_t periods_ms[] = {100, 500, 1000, 1000, 5000};
    plan->settings[PLAN_DEVICES] = (uint64_t)draw(rng, 2, 24);
    plan->settings[PLAN_GATEWAYS] = 1 + rng_below(rng, 3);
    plan->settings[PLAN_APART] = rng_below(rng, 2);
    plan->settings[PLAN_PERIOD_MS] = periods_ms[rng_below(rng, COUNT_OF(periods_ms))];
    plan->settings[PLAN_JOURNAL_PCT] = rng_below(rng, 3) * 50;
    plan->settings[PLAN_LINK_US] = (uint64_t)draw(rng, 50, 200000);
    plan->settings[PLAN_JITTER_US] = rng_below(rng, plan->settings[PLAN_LINK_US] + 1);
    plan->settings[PLAN_SYNC_US] = (uint64_t)draw(rng, 50, 50000);
    plan->settings[PLAN_SAFETY_MS] = 20000 + rng_below(rng, 60000);
}

void swarm_plan(uint64_t seed, bool beyond, struct plan *out)
{
    struct rng rng = rng_from_seed(seed ^ UINT64_C(0x686f6c6466617374));
    enum fault_kind on[FAULT_KIND_COUNT], off[FAULT_KIND_COUNT];
    size_t on_count = 0, off_count = 0;
    plan_init(out);
    out->settings[PLAN_SEED] = seed;
    out->settings[PLAN_BEYOND] = beyond ? 1 : 0;
    choose_world(&rng, out);
    for (int i = 0; i < FAULT_KIND_COUNT; i++) {
        if (fault_is_beyond((enum fault_kind)i) == beyond) {
            if (is_one_in(&rng, beyond ? FAULT_KIND_COUNT : 3)) {
                on[on_count++] = (enum fault_kind)i;
            } else {
                off[off_count++] = (enum fault_kind)i;
            }
        }
    }
    if (on_count == 0) {
        on[on_count++] = off[rng_below(&rng, off_count)];
    }
    if (off_count == 0) {
        on_count--; /* never all */
    }
    uint64_t events = (uint64_t)draw(&rng, 1, beyond ? EVENTS_WANTED / 10 : EVENTS_WANTED);
    for (uint64_t i = 0; i < events; i++) {
        add_one(&rng, out, on[rng_below(&rng, on_count)]);
    }
}
