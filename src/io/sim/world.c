/* Virtual time: what happens next, to whom, and the turns it makes. */
#include "io/sim/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SYNC_US = 200 };
static const int64_t world_epoch_ms = INT64_C(1795435200000); /* 2026-11-23 12:00 UTC */

void *sim_alloc(size_t len)
{
    void *at = calloc(1, len);
    INVARIANT(at != NULL);
    return at;
}

void sim_why(struct port_why *why, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
}

/* ---- what happens next: a heap by time, then by the order of causing ---- */

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct happening *a, struct happening *b)
{
    struct happening kept = *a;
    *a = *b;
    *b = kept;
}

void sim_happen(
    struct port *port, uint64_t in_us, enum sim_happening kind, uint64_t object, uint64_t detail)
{
    struct sim_world *world = port->world;
    if (world->heap_count == world->heap_cap) {
        world->heap_cap = world->heap_cap == 0 ? 64 : world->heap_cap * 2;
        world->heap = realloc(world->heap, world->heap_cap * sizeof *world->heap);
        INVARIANT(world->heap != NULL);
    }
    size_t at = world->heap_count++;
    world->heap[at] = (struct happening){.at_us = world->now_us + in_us,
                                         .order = ++world->order,
                                         .kind = kind,
                                         .port = port->id,
                                         .object = object,
                                         .detail = detail};
    while (at > 0 && is_before(&world->heap[at], &world->heap[(at - 1) / 2])) {
        swap(&world->heap[at], &world->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static struct happening take_next(struct sim_world *world)
{
    struct happening next = world->heap[0];
    world->heap[0] = world->heap[--world->heap_count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < world->heap_count; child++) {
            least = is_before(&world->heap[child], &world->heap[least]) ? child : least;
        }
        if (least == at) {
            return next;
        }
        swap(&world->heap[at], &world->heap[least]);
        at = least;
    }
}

/* ---- the world ---- */

struct sim_world *sim_open(uint64_t seed)
{
    struct sim_world *world = sim_alloc(sizeof *world);
    world->chance = rng_from_seed(seed);
    world->net = net_new();
    return world;
}

static void release(struct port *port);

void sim_close(struct sim_world *world)
{
    while (world->ports != NULL) {
        release(world->ports);
    }
    for (size_t i = 0; i < world->retired_count; i++) {
        sim_disk_free(world->retired[i]);
    }
    free(world->retired);
    while (world->machines != NULL) {
        struct machine *machine = world->machines;
        world->machines = machine->next;
        sim_disk_free(machine->disk);
        free(machine);
    }
    net_free(world->net);
    free(world->heap);
    free(world);
}

struct machine *sim_machine(struct sim_world *world, const char *name)
{
    struct machine *machine = world->machines;
    while (machine != NULL && strcmp(machine->name, name) != 0) {
        machine = machine->next;
    }
    if (machine == NULL) {
        INVARIANT(strlen(name) < SIM_NAME_MAX);
        machine = sim_alloc(sizeof *machine);
        memcpy(machine->name, name, strlen(name) + 1);
        machine->disk = sim_disk_new();
        machine->sync_us = SYNC_US;
        machine->boot_us = world->now_us;
        machine->quality = TIME_SYNCED;
        machine->next = world->machines;
        world->machines = machine;
    }
    return machine;
}

struct sim_disk *sim_disk_of(struct sim_world *world, const char *machine)
{
    return sim_machine(world, machine)->disk;
}

/* An operation on it may be on the stack: it goes with the world. */
static void retire(struct sim_world *world, struct sim_disk *disk)
{
    world->retired = realloc(world->retired, (world->retired_count + 1) * sizeof *world->retired);
    INVARIANT(world->retired != NULL);
    world->retired[world->retired_count++] = disk;
}

void sim_put_disk(struct sim_world *world, const char *machine, struct sim_disk *disk)
{
    struct machine *found = sim_machine(world, machine);
    for (const struct port *port = world->ports; port != NULL; port = port->next) {
        INVARIANT(port->machine != found || port->dead);
    }
    retire(world, found->disk);
    found->disk = disk;
}

void sim_fail(struct sim_world *world,
              const char *machine,
              enum sim_call call,
              uint64_t nth,
              enum port_result result,
              bool forever)
{
    sim_machine(world, machine)->faults[call] = (struct fault){
        .countdown = result == PORT_OK ? 0 : nth, .result = result, .forever = forever};
}

void sim_set_sync_time(struct sim_world *world, const char *machine, uint64_t us)
{
    sim_machine(world, machine)->sync_us = us;
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

uint64_t sim_now_ms(const struct sim_world *world)
{
    return world->now_us / 1000;
}

uint64_t sim_hash(const struct sim_world *world)
{
    return world->hash;
}

uint64_t sim_turns(const struct sim_world *world)
{
    return world->turns;
}

/* ---- processes ---- */

struct port *sim_start(struct sim_world *world,
                       const char *machine,
                       port_handler *handler,
                       void *role)
{
    struct port *port = sim_alloc(sizeof *port);
    port->world = world;
    port->machine = sim_machine(world, machine);
    port->id = ++world->ids;
    port->handler = handler;
    port->role = role;
    port->next = world->ports;
    world->ports = port;
    sim_happen(port, 0, SIM_TURN, 0, 0);
    return port;
}

/* The role is off the stack: all that is left of the process goes. */
static void release(struct port *port)
{
    struct sim_world *world = port->world;
    net_close_all(port);
    files_close_all(port);
    while (port->wakes != NULL) {
        port_wake_free(port->wakes);
    }
    struct port **link = &world->ports;
    while (*link != port) {
        link = &(*link)->next;
    }
    *link = port->next;
    free(port->dirty);
    free(port);
}

void sim_kill(struct port *port)
{
    if (!port->dead) {
        net_die(port);
    }
    port->dead = true;
    port->stopping = true;
    if (!port->is_opened && port->runs == 0 && port->world->running != port) {
        release(port);
    }
}

void sim_terminate(struct sim_world *world, const char *machine)
{
    const struct machine *found = sim_machine(world, machine);
    for (struct port *port = world->ports; port != NULL; port = port->next) {
        if (port->machine == found) {
            sim_happen(port, 0, SIM_TERMINATE, 0, 0);
        }
    }
}

void sim_power_cut(struct sim_world *world, const char *machine)
{
    struct machine *found = sim_machine(world, machine);
    world->is_silent = true;
    for (struct port *port = world->ports; port != NULL;) {
        struct port *next = port->next;
        if (port->machine == found && !port->dead) {
            sim_kill(port);
        }
        port = next;
    }
    world->is_silent = false;
    size_t count = sim_disk_unsynced(found->disk);
    uint8_t *fates = sim_alloc(count + 1);
    for (size_t i = 0; i < count; i++) {
        fates[i] = (uint8_t)rng_below(&world->chance, SIM_FATE_COUNT);
    }
    struct sim_cut cut = {
        .fates = fates, .count = count, .names = SIM_NAMES_PREFIX, .seed = rng_u64(&world->chance)};
    struct sim_disk *after = sim_disk_after_cut(found->disk, &cut);
    free(fates);
    retire(world, found->disk);
    found->disk = after;
    found->boot_us = world->now_us;
    memset(found->faults, 0, sizeof found->faults);
}

bool sim_has_stopped(const struct port *port)
{
    return port->stopping;
}

/* port_open has no argument to carry the world of a role that opens its own port. */
static struct {
    struct sim_world *world;
    char machine[SIM_NAME_MAX];
} next_open;

void sim_next_open(struct sim_world *world, const char *machine)
{
    next_open.world = world;
    memcpy(next_open.machine, sim_machine(world, machine)->name, SIM_NAME_MAX);
}

struct port *port_open(port_handler *handler, void *role)
{
    struct sim_world *world = next_open.world;
    if (world != NULL) {
        struct port *port = sim_start(world, next_open.machine, handler, role);
        next_open.world = NULL;
        port->is_opened = true;
        return port;
    }
    struct port *port = sim_start(sim_open(1), "machine", handler, role);
    port->owns_world = true;
    port->is_opened = true;
    return port;
}

void port_close_all(struct port *port)
{
    if (port == NULL) {
        return;
    }
    struct sim_world *owned = port->owns_world ? port->world : NULL;
    INVARIANT(port->runs == 0 && port->world->running != port);
    if (!port->dead) {
        net_die(port);
    }
    release(port);
    if (owned != NULL) {
        sim_close(owned);
    }
}

void port_stop(struct port *port)
{
    port->stopping = true;
}

/* ---- turns ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static uint64_t hash_of_event(const struct port *port, const struct port_event *ev)
{
    uint64_t hash = mix(mix(port->world->now_us, port->id), (uint64_t)ev->kind);
    switch (ev->kind) {
    case PORT_RECEIVED:
        for (size_t i = 0; i < ev->received.bytes.len; i++) {
            hash = mix(hash, ev->received.bytes.at[i]);
        }
        return hash;
    case PORT_REFUSED:
    case PORT_CLOSED: return mix(hash, (uint64_t)ev->closed.reason);
    case PORT_SYNCED: return mix(hash, (uint64_t)ev->synced.result);
    case PORT_ACCEPTED:
    case PORT_CONNECTED:
    case PORT_DRAINED:
    case PORT_WOKE:
    case PORT_CHANGED:
    case PORT_EXITED:
    case PORT_TERMINATE:
    case PORT_TURN_ENDED: return hash;
    }
    UNREACHABLE();
}

void sim_tell(struct port *port, const struct port_event *ev)
{
    struct sim_world *world = port->world;
    struct port *outer = world->running;
    world->hash = mix(world->hash, hash_of_event(port, ev));
    world->running = port;
    port->handler(port->role, ev);
    world->running = outer;
}

static struct port *port_of(struct sim_world *world, uint64_t id)
{
    struct port *port = world->ports;
    while (port != NULL && port->id != id) {
        port = port->next;
    }
    return port;
}

static void wake(struct port *port, uint64_t id, uint64_t arming)
{
    struct port_wake *found = port->wakes;
    while (found != NULL && found->id != id) {
        found = found->next;
    }
    if (found != NULL && found->arming == arming) {
        sim_tell(port, &(struct port_event){.kind = PORT_WOKE, .user = found->user});
    }
}

static void happened(struct port *port, const struct happening *what)
{
    switch (what->kind) {
    case SIM_TURN: return;
    case SIM_WAKE: wake(port, what->object, what->detail); return;
    case SIM_SYNCED: files_synced(port, what->object); return;
    case SIM_CHANGED: files_changed(port, what->object); return;
    case SIM_TERMINATE: sim_tell(port, &(struct port_event){.kind = PORT_TERMINATE}); return;
    case SIM_NET: net_happened(port, what); return;
    }
    UNREACHABLE();
}

/* One turn of one process: all that happens to it at this moment. False: nothing will ever happen.
 */
static bool step(struct sim_world *world)
{
    if (world->heap_count == 0) {
        return false;
    }
    struct happening what = take_next(world);
    struct port *port = port_of(world, what.port);
    world->now_us = what.at_us;
    if (port == NULL || port->stopping) {
        return true;
    }
    happened(port, &what);
    while (!port->dead && world->heap_count > 0 && world->heap[0].at_us == world->now_us
           && world->heap[0].port == port->id) {
        what = take_next(world);
        happened(port, &what);
    }
    if (!port->dead) {
        sim_tell(port, &(struct port_event){.kind = PORT_TURN_ENDED});
    }
    if (!port->dead) {
        net_turn_ended(port);
    } else if (!port->is_opened && port->runs == 0) {
        release(port);
    }
    world->turns++;
    return true;
}

void port_run(struct port *port)
{
    if (port->dead) {
        return;
    }
    port->stopping = false;
    sim_happen(port, 0, SIM_TURN, 0, 0);
    port->runs++;
    while (!port->stopping && step(port->world)) {
    }
    port->runs--;
}

static bool run_to(struct sim_world *world, uint64_t until_us, bool (*holds)(void *), void *context)
{
    while (world->heap_count > 0 && world->heap[0].at_us <= until_us) {
        (void)step(world);
        if (holds != NULL && holds(context)) {
            return true;
        }
    }
    if (world->now_us < until_us) {
        world->now_us = until_us;
    }
    return false;
}

bool sim_run_until(struct sim_world *world, uint64_t now_ms)
{
    (void)run_to(world, now_ms * 1000, NULL, NULL);
    return world->heap_count > 0;
}

bool sim_run_for(struct sim_world *world, uint64_t ms)
{
    return sim_run_until(world, sim_now_ms(world) + ms);
}

bool sim_run_while_not(struct sim_world *world,
                       bool (*holds)(void *context),
                       void *context,
                       uint64_t ms)
{
    return holds(context) || run_to(world, world->now_us + ms * 1000, holds, context);
}

/* ---- time and chance for the port ---- */

uint64_t port_now_us(const struct port *port)
{
    return port->world->now_us - port->machine->boot_us;
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

void port_entropy(struct port *port, void *at, size_t len)
{
    uint8_t *to = at;
    for (size_t i = 0; i < len; i++) {
        to[i] = (uint8_t)rng_u64(&port->world->chance);
    }
}

struct port_wake *port_wake_new(struct port *port, void *user)
{
    struct port_wake *made = sim_alloc(sizeof *made);
    *made = (struct port_wake){
        .port = port, .next = port->wakes, .id = ++port->world->ids, .user = user};
    port->wakes = made;
    return made;
}

void port_wake_at(struct port_wake *wake, uint64_t due_ms)
{
    wake->arming++;
    if (due_ms != UINT64_MAX) {
        uint64_t now_us = port_now_us(wake->port);
        uint64_t due_us = due_ms > UINT64_MAX / 4000 ? UINT64_MAX / 4 : due_ms * 1000;
        sim_happen(wake->port, due_us > now_us ? due_us - now_us : 0, SIM_WAKE, wake->id,
                   wake->arming);
    }
}

void port_wake_free(struct port_wake *wake)
{
    if (wake == NULL) {
        return;
    }
    struct port_wake **link = &wake->port->wakes;
    while (*link != wake) {
        link = &(*link)->next;
    }
    *link = wake->next;
    free(wake);
}

/* ---- children: there are no programs here ---- */

enum port_result port_spawn(struct port *port,
                            const struct port_spawn *what,
                            void *user,
                            struct port_child **out,
                            struct port_why *why)
{
    (void)port;
    (void)user;
    (void)out;
    sim_why(why, "%s: no program can be started in the simulated world", what->argv[0]);
    return PORT_BAD;
}

int port_child_pid(const struct port_child *child)
{
    (void)child;
    return -1;
}

void port_child_kill(struct port_child *child, int signal)
{
    (void)child;
    (void)signal;
}
