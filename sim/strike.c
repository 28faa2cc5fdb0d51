#include "sim/strike.h"

#include "base/invariant.h"
#include "sim/forge.h"
#include "sim/strike_inside.h"
#include "sim/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct strikes *strikes_new(struct plant *plant, const struct plan *plan, struct report *report)
{
    struct strikes *s = calloc(1, sizeof *s);
    INVARIANT(s != NULL);
    *s = (struct strikes){
        .plant = plant, .world = plant_world(plant), .plan = plan, .report = report};
    s->twins = twins_new(plant);
    s->hostiles = hostiles_new(plant);
    return s;
}

void strikes_free(struct strikes *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        if (s->lasting[i].disk != NULL) {
            sim_disk_free(s->lasting[i].disk);
        }
    }
    twins_free(s->twins);
    hostiles_free(s->hostiles);
    free(s->lasting);
    free(s);
}

/* ---- who is meant ---- */

static bool find_process(const struct strikes *s, const char *name, uint32_t *out)
{
    for (uint32_t i = 0; i < plant_processes(s->plant); i++) {
        if (strcmp(plant_name(s->plant, i), name) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool find_device(const struct strikes *s, const char *name, uint32_t *index)
{
    uint32_t process;
    if (!find_process(s, name, &process) || process < plant_device(s->plant, 0)) {
        return false;
    }
    *index = process - plant_device(s->plant, 0);
    return true;
}

/* The plan's row says that it is one. */
static uint32_t device_of(const struct strikes *s, const struct plan_event *e)
{
    uint32_t index = 0;
    bool found = find_device(s, e->target, &index);
    INVARIANT(found);
    return index;
}

static bool is_machine(const struct strikes *s, const char *name)
{
    uint32_t process;
    return strcmp(name, "core") == 0
           || (find_process(s, name, &process)
               && strcmp(plant_machine(s->plant, process), name) == 0);
}

/* ---- what lasts ---- */

struct lasting *strike_lasts(struct strikes *s, const struct plan_event *event, int64_t for_ms)
{
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? 64 : s->cap * 2;
        s->lasting = realloc(s->lasting, s->cap * sizeof *s->lasting);
        INVARIANT(s->lasting != NULL);
    }
    struct lasting *made = &s->lasting[s->count++];
    *made =
        (struct lasting){.until_ms = sim_now_ms(s->world) + (uint64_t)for_ms, .kind = event->kind};
    memcpy(made->a, event->target, sizeof made->a);
    memcpy(made->b, event->other, sizeof made->b);
    return made;
}

uint64_t strikes_due_ms(const struct strikes *s)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < s->count; i++) {
        due = s->lasting[i].until_ms < due ? s->lasting[i].until_ms : due;
    }
    return due;
}

static void usual_link(struct strikes *s, const char *from, const char *to)
{
    sim_set_link(s->world, from, to, s->plan->settings[PLAN_LINK_US],
                 s->plan->settings[PLAN_JITTER_US]);
}

static void end_delay(struct strikes *s, struct lasting *l)
{
    usual_link(s, l->a, l->b);
}

static void end_cut(struct strikes *s, struct lasting *l)
{
    sim_heal_link(s->world, l->a, l->b);
}

static void end_partition(struct strikes *s, struct lasting *l)
{
    sim_heal_link(s->world, l->a, l->b);
    sim_heal_link(s->world, l->b, l->a);
}

static void end_no_clock(struct strikes *s, struct lasting *l)
{
    sim_set_clock(s->world, l->a, 0, TIME_SYNCED);
}

static void end_drift(struct strikes *s, struct lasting *l)
{
    sim_set_drift(s->world, l->a, 0);
}

static void end_clone(struct strikes *s, struct lasting *l)
{
    twins_end(s->twins, l->a);
}

static ender *const enders[FAULT_KIND_COUNT] = {
    [FAULT_DELAY] = end_delay,
    [FAULT_CUT] = end_cut,
    [FAULT_PARTITION] = end_partition,
    [FAULT_NO_CLOCK] = end_no_clock,
    [FAULT_DRIFT] = end_drift,
    [FAULT_NO_SPACE] = end_no_space,
    [FAULT_SLOW_SYNC] = end_slow_sync,
    [FAULT_ROLL_BACK] = end_roll_back,
    [FAULT_STALE_SPOOL] = end_stale_spool,
    [FAULT_CLONE] = end_clone,
    [FAULT_LYING_SYNC] = end_lies,
    [FAULT_LOST_WRITE] = end_lies,
    [FAULT_MISDIRECT] = end_lies,
};

static void end_until(struct strikes *s, uint64_t now_ms)
{
    for (size_t i = 0; i < s->count;) {
        if (s->lasting[i].until_ms <= now_ms) {
            struct lasting due = s->lasting[i];
            memmove(&s->lasting[i], &s->lasting[i + 1], (--s->count - i) * sizeof due);
            enders[due.kind](s, &due);
        } else {
            i++;
        }
    }
}

void strikes_end_due(struct strikes *s)
{
    end_until(s, sim_now_ms(s->world));
}

/* ---- power cuts inside an operation ---- */

static void on_operation(void *context, struct sim_disk *disk)
{
    struct trap *trap = context;
    (void)disk;
    if (!trap->armed || --trap->left > 0) {
        return;
    }
    struct strikes *s = trap->strikes;
    trap->armed = trap->again > 0;
    trap->left = trap->again;
    trap->again = 0;
    plant_power_cut(s->plant, trap->machine, trap->back_ms);
    if (trap->armed) {
        sim_disk_watch(sim_disk_of(s->world, trap->machine), on_operation, trap);
    }
}

static bool set_trap(struct strikes *s, const struct plan_event *event, bool again)
{
    if (s->trap.armed) {
        return false; /* one at a time */
    }
    s->trap = (struct trap){.strikes = s,
                            .left = (uint64_t)event->args[0],
                            .again = again ? (uint64_t)event->args[1] : 0,
                            .back_ms = (uint64_t)event->args[again ? 2 : 1],
                            .armed = true};
    memcpy(s->trap.machine, event->target, sizeof s->trap.machine);
    sim_disk_watch(sim_disk_of(s->world, event->target), on_operation, &s->trap);
    return true;
}

/* ---- each fault: false where it met nothing ---- */

static bool strike_delay(struct strikes *s, const struct plan_event *e)
{
    sim_set_link(s->world, e->target, e->other, (uint64_t)e->args[0], (uint64_t)e->args[1]);
    (void)strike_lasts(s, e, e->args[2]);
    return true;
}

static bool strike_cut(struct strikes *s, const struct plan_event *e)
{
    sim_cut_link(s->world, e->target, e->other);
    if (e->kind == FAULT_PARTITION) {
        sim_cut_link(s->world, e->other, e->target);
    }
    (void)strike_lasts(s, e, e->args[0]);
    return true;
}

static bool strike_reset(struct strikes *s, const struct plan_event *e)
{
    sim_reset_link(s->world, e->target, e->other);
    return true;
}

static bool strike_half_open(struct strikes *s, const struct plan_event *e)
{
    sim_half_open(s->world, e->target, e->other);
    return true;
}

static bool strike_process(struct strikes *s, const struct plan_event *e)
{
    uint32_t process;
    if (!find_process(s, e->target, &process) || !plant_is_up(s->plant, process)) {
        return false;
    }
    uint64_t ms = (uint64_t)e->args[0];
    if (e->kind == FAULT_PAUSE) {
        plant_pause(s->plant, process, ms);
    } else if (e->kind == FAULT_KILL) {
        plant_kill(s->plant, process, ms);
    } else {
        plant_terminate(s->plant, process, ms);
    }
    return true;
}

static bool strike_power_cut(struct strikes *s, const struct plan_event *e)
{
    plant_power_cut(s->plant, e->target, (uint64_t)e->args[0]);
    return true;
}

static bool strike_cut_write(struct strikes *s, const struct plan_event *e)
{
    return set_trap(s, e, e->kind == FAULT_CUT_AGAIN);
}

static bool strike_version(struct strikes *s, const struct plan_event *e)
{
    uint32_t index = device_of(s, e);
    watch_set_version(plant_device_id(s->plant, index), (uint32_t)e->args[0]);
    plant_kill(s->plant, plant_device(s->plant, index), (uint64_t)e->args[1]);
    return true;
}

static bool strike_clock_jump(struct strikes *s, const struct plan_event *e)
{
    sim_set_clock(s->world, e->target, e->args[0], TIME_SYNCED);
    return true;
}

static bool strike_no_clock(struct strikes *s, const struct plan_event *e)
{
    sim_set_clock(s->world, e->target, -sim_wall_ms(s->world, e->target), TIME_UNKNOWN);
    (void)strike_lasts(s, e, e->args[0]);
    return true;
}

static bool strike_drift(struct strikes *s, const struct plan_event *e)
{
    sim_set_drift(s->world, e->target, (int32_t)e->args[0]);
    (void)strike_lasts(s, e, e->args[1]);
    return true;
}

static bool strike_clone(struct strikes *s, const struct plan_event *e)
{
    struct sim_disk *image = strike_image_of(sim_disk_of(s->world, e->target));
    if (!twins_begin(s->twins, device_of(s, e), image)) {
        return false;
    }
    (void)strike_lasts(s, e, e->args[0]);
    return true;
}

static bool strike_hostile_device(struct strikes *s, const struct plan_event *e)
{
    return hostiles_device(s->hostiles, device_of(s, e), (uint32_t)e->args[0]);
}

static bool strike_hostile_gateway(struct strikes *s, const struct plan_event *e)
{
    forge_begin(e->target, (uint32_t)e->args[0], s->plan->settings[PLAN_SEED]);
    return true;
}

static striker *const strikers[FAULT_KIND_COUNT] = {
    [FAULT_DELAY] = strike_delay,
    [FAULT_CUT] = strike_cut,
    [FAULT_PARTITION] = strike_cut,
    [FAULT_RESET] = strike_reset,
    [FAULT_HALF_OPEN] = strike_half_open,
    [FAULT_PAUSE] = strike_process,
    [FAULT_KILL] = strike_process,
    [FAULT_TERMINATE] = strike_process,
    [FAULT_POWER_CUT] = strike_power_cut,
    [FAULT_CUT_WRITE] = strike_cut_write,
    [FAULT_CUT_AGAIN] = strike_cut_write,
    [FAULT_VERSION] = strike_version,
    [FAULT_CLOCK_JUMP] = strike_clock_jump,
    [FAULT_NO_CLOCK] = strike_no_clock,
    [FAULT_DRIFT] = strike_drift,
    [FAULT_NO_SPACE] = strike_no_space,
    [FAULT_WRITE_FAILS] = strike_write_fails,
    [FAULT_SYNC_FAILS] = strike_sync_fails,
    [FAULT_DISK_DIES] = strike_write_fails,
    [FAULT_SLOW_SYNC] = strike_slow_sync,
    [FAULT_ROLL_BACK] = strike_roll_back,
    [FAULT_STALE_SPOOL] = strike_stale_spool,
    [FAULT_CLONE] = strike_clone,
    [FAULT_LYING_SYNC] = strike_lying_sync,
    [FAULT_LOST_WRITE] = strike_spoilt_write,
    [FAULT_MISDIRECT] = strike_spoilt_write,
    [FAULT_ROT] = strike_rot,
    [FAULT_HOSTILE_DEVICE] = strike_hostile_device,
    [FAULT_HOSTILE_GATEWAY] = strike_hostile_gateway,
};

/* Is there what the fault is of? */
static bool is_there(const struct strikes *s, const struct plan_event *e)
{
    uint32_t found;
    switch (fault_row(e->kind)->target) {
    case FAULT_ON_LINK: return is_machine(s, e->target) && is_machine(s, e->other);
    case FAULT_ON_MACHINE: /* a disk that lies is one's own */
        return is_machine(s, e->target)
               && (!fault_is_beyond(e->kind) || find_device(s, e->target, &found)
                   || strcmp(e->target, "core") == 0);
    case FAULT_ON_DEVICE: return find_device(s, e->target, &found);
    case FAULT_ON_PROCESS:
    case FAULT_ON_GATEWAY: return find_process(s, e->target, &found);
    }
    UNREACHABLE();
}

/* "dev-*" and "gw-*" name all of them. */
static void strike_each(struct strikes *s,
                        const struct plan_event *e,
                        const char *pattern,
                        size_t at_other)
{
    bool devices = strcmp(pattern, "dev-*") == 0;
    uint32_t from = devices ? plant_device(s->plant, 0) : plant_gateway(s->plant, 0);
    uint32_t to = devices ? plant_processes(s->plant) : plant_device(s->plant, 0);
    for (uint32_t i = from; i < to; i++) {
        struct plan_event one = *e;
        (void)snprintf(at_other ? one.other : one.target, PLAN_NAME_MAX, "%s",
                       plant_name(s->plant, i));
        strike(s, &one);
    }
}

void strike(struct strikes *s, const struct plan_event *e)
{
    if (strchr(e->target, '*') != NULL) {
        strike_each(s, e, e->target, 0);
    } else if (strchr(e->other, '*') != NULL) {
        strike_each(s, e, e->other, 1);
    } else if (is_there(s, e) && strikers[e->kind](s, e)) {
        s->report->faults[e->kind]++;
    } else {
        s->report->pointless[e->kind]++;
    }
}

/* ---- healing ---- */

static void heal_machine(struct strikes *s, const char *name)
{
    for (int call = 0; call < SIM_CALL_COUNT; call++) {
        sim_fail(s->world, name, (enum sim_call)call, 0, PORT_OK, false);
    }
    sim_set_clock(s->world, name, 0, TIME_SYNCED);
    sim_set_drift(s->world, name, 0);
    sim_disk_set_room(sim_disk_of(s->world, name), UINT64_MAX);
    strike_be_honest(s, name);
    sim_set_sync_time(s->world, name, s->plan->settings[PLAN_SYNC_US]);
    sim_pause(s->world, name, 0);
}

void strikes_heal(struct strikes *s)
{
    s->trap.armed = false;
    end_until(s, UINT64_MAX);
    hostiles_end(s->hostiles);
    forge_end();
    heal_machine(s, "core");
    for (uint32_t i = 0; i < plant_processes(s->plant); i++) {
        if (strcmp(plant_machine(s->plant, i), "core") != 0) {
            heal_machine(s, plant_machine(s->plant, i));
        }
        plant_pause(s->plant, i, 0);
        (void)plant_start(s->plant, i);
    }
}
