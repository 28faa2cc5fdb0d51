/* What is done to disks: those that fail, are full or slow, and those that lie. */
#include "base/invariant.h"
#include "sim/strike_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- disks that fail ---- */

void end_no_space(struct strikes *s, struct lasting *l)
{
    sim_disk_set_room(sim_disk_of(s->world, l->a), UINT64_MAX);
}

void end_slow_sync(struct strikes *s, struct lasting *l)
{
    sim_set_sync_time(s->world, l->a, s->plan->settings[PLAN_SYNC_US]);
}

bool strike_no_space(struct strikes *s, const struct plan_event *e)
{
    sim_disk_set_room(sim_disk_of(s->world, e->target), 0);
    (void)strike_lasts(s, e, e->args[0]);
    return true;
}

bool strike_write_fails(struct strikes *s, const struct plan_event *e)
{
    sim_fail(s->world, e->target, SIM_WRITE, (uint64_t)e->args[0], PORT_FAILED,
             e->kind == FAULT_DISK_DIES);
    return true;
}

bool strike_sync_fails(struct strikes *s, const struct plan_event *e)
{
    sim_fail(s->world, e->target, SIM_SYNC, (uint64_t)e->args[0], PORT_FAILED, false);
    return true;
}

bool strike_slow_sync(struct strikes *s, const struct plan_event *e)
{
    sim_set_sync_time(s->world, e->target, (uint64_t)e->args[0]);
    (void)strike_lasts(s, e, e->args[1]);
    return true;
}

/* ---- disks that become what they were ---- */

struct sim_disk *strike_image_of(struct sim_disk *disk)
{
    size_t count = sim_disk_unsynced(disk);
    uint8_t *fates = malloc(count + 1);
    INVARIANT(fates != NULL);
    memset(fates, SIM_KEPT, count + 1);
    struct sim_disk *copy = sim_disk_after_cut(
        disk, &(struct sim_cut){.fates = fates, .count = count, .names = SIM_NAMES_KEPT});
    free(fates);
    return copy;
}

void end_roll_back(struct strikes *s, struct lasting *l)
{
    plant_power_cut(s->plant, l->a, l->back_ms);
    sim_put_disk(s->world, l->a, l->disk);
    l->disk = NULL;
}

bool strike_roll_back(struct strikes *s, const struct plan_event *e)
{
    struct lasting *l = strike_lasts(s, e, e->args[0]);
    l->disk = strike_image_of(sim_disk_of(s->world, e->target));
    l->back_ms = (uint64_t)e->args[1];
    return true;
}

/* Somebody stops the site, puts back what a gateway's folder was, and starts it again. */
void end_stale_spool(struct strikes *s, struct lasting *l)
{
    char folder[64];
    (void)snprintf(folder, sizeof folder, "/hf/gateway/%s", l->a);
    plant_power_cut(s->plant, "core", l->back_ms);
    sim_disk_restore(sim_disk_of(s->world, "core"), l->disk, folder);
    sim_disk_free(l->disk);
    l->disk = NULL;
}

bool strike_stale_spool(struct strikes *s, const struct plan_event *e)
{
    struct lasting *l = strike_lasts(s, e, e->args[0]);
    l->disk = strike_image_of(sim_disk_of(s->world, "core"));
    l->back_ms = (uint64_t)e->args[1];
    return true;
}

/* ---- disks that lie ---- */

void strike_be_honest(struct strikes *s, const char *machine)
{
    sim_disk_set_lying(sim_disk_of(s->world, machine), false);
    sim_disk_spoil(sim_disk_of(s->world, machine), 0, SIM_LIE_NONE, 0);
}

/* What the lies left of the disk is seen only now. */
void end_lies(struct strikes *s, struct lasting *l)
{
    plant_power_cut(s->plant, l->a, l->back_ms);
    strike_be_honest(s, l->a);
}

bool strike_lying_sync(struct strikes *s, const struct plan_event *e)
{
    sim_disk_set_lying(sim_disk_of(s->world, e->target), true);
    strike_lasts(s, e, e->args[0])->back_ms = (uint64_t)e->args[1];
    return true;
}

bool strike_spoilt_write(struct strikes *s, const struct plan_event *e)
{
    sim_spoil_write(s->world, e->target, (uint64_t)e->args[0],
                    e->kind == FAULT_LOST_WRITE ? SIM_LIE_LOST : SIM_LIE_MISDIRECTED);
    strike_lasts(s, e, e->args[1])->back_ms = (uint64_t)e->args[2];
    return true;
}

/* Nobody has the files in memory when it strikes. */
bool strike_rot(struct strikes *s, const struct plan_event *e)
{
    bool has_struck = false;
    plant_power_cut(s->plant, e->target, (uint64_t)e->args[1]);
    for (int64_t i = 0; i < e->args[0]; i++) {
        has_struck = sim_rot(s->world, e->target) || has_struck;
    }
    return has_struck;
}
