/*
 * The clocks of a machine: one that never goes back and may run too fast or too slow, and one on
 * the wall that says anything. A wake is late by a pause, never early by its own clock.
 */
#include "io/sim/inside.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t world_epoch_ms = INT64_C(1795435200000); /* 2026-11-23 12:00 UTC */
static const int64_t million = 1000000;

/* ---- what a machine's clock shows ---- */

static uint64_t local_us(const struct machine *machine, uint64_t world_us)
{
    uint64_t since_us = world_us - machine->world_us;
    int64_t drift_us = (int64_t)(since_us / (uint64_t)million) * machine->drift_ppm
                       + (int64_t)(since_us % (uint64_t)million) * machine->drift_ppm / million;
    return machine->local_us + since_us + (uint64_t)drift_us;
}

/* When the machine's clock shows that; not before, and at most some microseconds later. */
static uint64_t world_us_of(const struct machine *machine, uint64_t shown_us)
{
    if (shown_us <= machine->local_us) {
        return machine->world_us;
    }
    uint64_t since_us = shown_us - machine->local_us;
    uint64_t speed = (uint64_t)(million + machine->drift_ppm);
    uint64_t at_us = machine->world_us + since_us / speed * (uint64_t)million
                     + since_us % speed * (uint64_t)million / speed;
    while (local_us(machine, at_us) < shown_us) {
        at_us++;
    }
    return at_us;
}

void sim_set_clock(struct sim_world *world,
                   const char *machine,
                   int64_t offset_ms,
                   enum time_quality quality)
{
    struct machine *found = sim_machine(world, machine);
    found->clock_offset_ms = offset_ms;
    found->quality = quality;
}

void sim_set_drift(struct sim_world *world, const char *machine, int32_t ppm)
{
    struct machine *found = sim_machine(world, machine);
    INVARIANT(ppm > -million && ppm < million);
    found->local_us = local_us(found, world->now_us);
    found->world_us = world->now_us;
    found->drift_ppm = ppm;
}

void sim_pause(struct sim_world *world, const char *machine, uint64_t ms)
{
    sim_machine(world, machine)->paused_until_us = world->now_us + ms * 1000;
}

void sim_pause_process(struct port *port, uint64_t ms)
{
    port->paused_until_us = port->world->now_us + ms * 1000;
}

int64_t sim_wall_ms(struct sim_world *world, const char *machine)
{
    return world_epoch_ms + (int64_t)sim_now_ms(world)
           + sim_machine(world, machine)->clock_offset_ms;
}

uint64_t port_now_us(const struct port *port)
{
    return local_us(port->machine, port->world->now_us);
}

uint64_t port_now_ms(const struct port *port)
{
    return port_now_us(port) / 1000;
}

int64_t port_wall_ms(const struct port *port, enum time_quality *quality)
{
    if (quality != NULL) {
        *quality = port->machine->quality;
    }
    return world_epoch_ms + (int64_t)sim_now_ms(port->world) + port->machine->clock_offset_ms;
}

void port_host_name(const struct port *port, char out[PORT_HOST_NAME_MAX + 1])
{
    (void)snprintf(out, PORT_HOST_NAME_MAX + 1, "%s", port->machine->name);
}

/* ---- wakes: at most one happening counts, and it may find that it was put off ---- */

struct port_wake *port_wake_new(struct port *port, void *user)
{
    struct port_wake *made = sim_alloc(sizeof *made);
    *made = (struct port_wake){.port = port,
                               .next = port->wakes,
                               .link = &port->wakes,
                               .due_us = UINT64_MAX,
                               .queued_us = UINT64_MAX,
                               .user = user};
    made->id = slots_add(&port->world->wakes, made);
    if (made->next != NULL) {
        made->next->link = &made->next;
    }
    port->wakes = made;
    return made;
}

/* A wake that is put off keeps its place: moving it on when it comes up costs less. */
static void queue(struct port_wake *wake)
{
    struct sim_world *world = wake->port->world;
    uint64_t at_us = world_us_of(wake->port->machine, wake->due_us);
    at_us = at_us > world->now_us ? at_us : world->now_us;
    if (at_us < wake->queued_us) {
        wake->queued_us = at_us;
        sim_happen_at(wake->port, at_us, SIM_WAKE, wake->id, at_us);
    }
}

void port_wake_at(struct port_wake *wake, uint64_t due_ms)
{
    wake->due_us = UINT64_MAX;
    if (due_ms != UINT64_MAX) {
        wake->due_us = due_ms > UINT64_MAX / 4000 ? UINT64_MAX / 4 : due_ms * 1000;
        queue(wake);
    }
}

bool clock_woke(struct port *port, const struct happening *what)
{
    struct port_wake *wake = slots_find(&port->world->wakes, what->object);
    if (wake == NULL || wake->queued_us != what->detail) {
        return false;
    }
    wake->queued_us = UINT64_MAX;
    if (wake->due_us == UINT64_MAX) {
        return false;
    }
    if (port_now_us(port) < wake->due_us) {
        queue(wake);
        return false;
    }
    wake->due_us = UINT64_MAX;
    sim_tell(port, &(struct port_event){.kind = PORT_WOKE, .user = wake->user});
    return true;
}

void port_wake_free(struct port_wake *wake)
{
    if (wake == NULL) {
        return;
    }
    *wake->link = wake->next;
    if (wake->next != NULL) {
        wake->next->link = wake->link;
    }
    slots_remove(&wake->port->world->wakes, wake->id);
    free(wake);
}
