/* Virtual time: what happens next, to whom, and the turns it makes. */
#include "crypto/stub/seed.h"
#include "io/sim/inside.h"
#include "io/sim/net_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SYNC_US = 200, CACHE_LINE = 64 };

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

enum { HEAP_ARITY = 4 };

void sim_happen_at(
    struct port *port, uint64_t at_us, enum sim_happening kind, uint64_t object, uint64_t detail)
{
    struct sim_world *world = port->world;
    if (world->heap_count == world->heap_cap) {
        world->heap_cap = world->heap_cap == 0 ? 64 : world->heap_cap * 2;
        world->heap = realloc(world->heap, world->heap_cap * sizeof *world->heap);
        INVARIANT(world->heap != NULL);
    }
    struct happening made = {.at_us = at_us,
                             .order = ++world->order,
                             .kind = kind,
                             .port = port->id,
                             .object = object,
                             .detail = detail};
    size_t at = world->heap_count++;
    while (at > 0 && is_before(&made, &world->heap[(at - 1) / HEAP_ARITY])) {
        world->heap[at] = world->heap[(at - 1) / HEAP_ARITY];
        at = (at - 1) / HEAP_ARITY;
    }
    world->heap[at] = made;
}

void sim_happen(
    struct port *port, uint64_t in_us, enum sim_happening kind, uint64_t object, uint64_t detail)
{
    sim_happen_at(port, port->world->now_us + in_us, kind, object, detail);
}

static size_t least_child(const struct sim_world *world, size_t at)
{
    size_t least = HEAP_ARITY * at + 1;
    for (size_t child = least + 1; child <= HEAP_ARITY * at + HEAP_ARITY; child++) {
        if (child < world->heap_count && is_before(&world->heap[child], &world->heap[least])) {
            least = child;
        }
    }
    return least;
}

static struct happening take_next(struct sim_world *world)
{
    struct happening next = world->heap[0];
    struct happening last = world->heap[--world->heap_count];
    size_t at = 0;
    while (HEAP_ARITY * at + 1 < world->heap_count) {
        size_t least = least_child(world, at);
        if (!is_before(&world->heap[least], &last)) {
            break;
        }
        world->heap[at] = world->heap[least];
        at = least;
    }
    world->heap[at] = last;
    return next;
}

/* ---- the world ---- */

struct sim_world *sim_open(uint64_t seed)
{
    struct sim_world *world = sim_alloc(sizeof *world);
    world->chance = rng_from_seed(seed);
    crypto_seed(seed);
    world->net = net_new();
    return world;
}

static void release(struct port *port);

void sim_close(struct sim_world *world)
{
    for (struct machine *machine = world->machines; machine != NULL; machine = machine->next) {
        while (machine->ports != NULL) {
            machine->ports->dead = true;
            release(machine->ports);
        }
    }
    for (size_t i = 0; i < world->retired_count; i++) {
        sim_disk_free(world->retired[i]);
    }
    free(world->retired);
    while (world->machines != NULL) {
        struct machine *machine = world->machines;
        world->machines = machine->next;
        sim_disk_free(machine->host == NULL ? machine->disk : NULL);
        free(machine);
    }
    net_free(world->net);
    slots_free(&world->ports);
    slots_free(&world->wakes);
    free(world->by_name);
    free(world->heap);
    free(world);
}

/* Where the machine of this name is, or where it belongs. */
static struct machine **place_of(const struct sim_world *world, const char *name)
{
    uint64_t hash = 0;
    for (const char *c = name; *c != '\0'; c++) {
        hash = sim_mix(hash, (uint8_t)*c);
    }
    size_t at = (size_t)hash & (world->by_name_cap - 1);
    while (world->by_name[at] != NULL && strcmp(world->by_name[at]->name, name) != 0) {
        at = (at + 1) & (world->by_name_cap - 1);
    }
    return &world->by_name[at];
}

static void make_room_for_machine(struct sim_world *world)
{
    if ((world->machines_count + 1) * 2 <= world->by_name_cap) {
        return;
    }
    free(world->by_name);
    world->by_name_cap = world->by_name_cap == 0 ? 64 : world->by_name_cap * 2;
    world->by_name = sim_alloc(world->by_name_cap * sizeof(struct machine *));
    for (struct machine *each = world->machines; each != NULL; each = each->next) {
        *place_of(world, each->name) = each;
    }
}

struct machine *sim_machine(struct sim_world *world, const char *name)
{
    make_room_for_machine(world);
    struct machine **place = place_of(world, name);
    if (*place == NULL) {
        INVARIANT(strlen(name) < SIM_NAME_MAX);
        struct machine *machine = sim_alloc(sizeof *machine);
        memcpy(machine->name, name, strlen(name) + 1);
        machine->number = (uint32_t)++world->machines_count;
        machine->disk = sim_disk_new();
        machine->sync_us = SYNC_US;
        machine->world_us = world->now_us;
        machine->quality = TIME_SYNCED;
        machine->next = world->machines;
        world->machines = machine;
        *place = machine;
    }
    return *place;
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

static void use_disk(struct machine *machine, struct sim_disk *disk)
{
    machine->disk = disk;
    for (struct machine *guest = machine->guests; guest != NULL; guest = guest->next_guest) {
        guest->disk = disk;
    }
}

static bool is_still(const struct machine *machine)
{
    bool is = true;
    for (const struct port *port = machine->ports; port != NULL; port = port->next) {
        is = is && port->dead;
    }
    return is;
}

void sim_put_disk(struct sim_world *world, const char *machine, struct sim_disk *disk)
{
    struct machine *found = sim_machine(world, machine);
    INVARIANT(found->host == NULL);
    INVARIANT(is_still(found));
    for (const struct machine *guest = found->guests; guest != NULL; guest = guest->next_guest) {
        INVARIANT(is_still(guest));
    }
    retire(world, found->disk);
    use_disk(found, disk);
}

void sim_share_disk(struct sim_world *world, const char *guest, const char *host)
{
    struct machine *of = sim_machine(world, host);
    struct machine *made = sim_machine(world, guest);
    INVARIANT(of != made && of->host == NULL);
    INVARIANT(made->host == NULL && made->guests == NULL && made->ports == NULL);
    sim_disk_free(made->disk);
    made->disk = of->disk;
    made->host = of;
    made->next_guest = of->guests;
    of->guests = made;
}

void sim_fail(struct sim_world *world,
              const char *machine,
              enum sim_call call,
              uint64_t nth,
              enum port_result result,
              bool forever)
{
    sim_machine(world, machine)->faults[call] = (struct sim_failure){
        .countdown = result == PORT_OK ? 0 : nth, .result = result, .forever = forever};
}

bool sim_has_struck(struct sim_world *world, const char *machine, enum sim_call call)
{
    return sim_machine(world, machine)->faults[call].has_struck;
}

bool sim_rot(struct sim_world *world, const char *machine)
{
    return sim_disk_rot(sim_machine(world, machine)->disk, rng_u64(&world->chance));
}

void sim_spoil_write(struct sim_world *world, const char *machine, uint64_t nth, enum sim_lie lie)
{
    sim_disk_spoil(sim_machine(world, machine)->disk, nth, lie, rng_u64(&world->chance));
}

void sim_set_sync_time(struct sim_world *world, const char *machine, uint64_t us)
{
    sim_machine(world, machine)->sync_us = us;
}

uint64_t sim_now_ms(const struct sim_world *world)
{
    return world->now_us / 1000;
}

bool sim_is_in_event(const struct sim_world *world)
{
    return world->running != NULL;
}

uint64_t sim_hash(const struct sim_world *world)
{
    return world->hash;
}

uint64_t sim_turns(const struct sim_world *world)
{
    return world->turns;
}

uint64_t sim_events(const struct sim_world *world)
{
    return world->events;
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
    port->id = slots_add(&world->ports, port);
    port->handler = handler;
    port->role = role;
    port->next = port->machine->ports;
    port->link = &port->machine->ports;
    if (port->next != NULL) {
        port->next->link = &port->next;
    }
    port->machine->ports = port;
    sim_happen(port, 0, SIM_TURN, 0, 0);
    return port;
}

/* The role is off the stack: all that is left of the process goes. */
static void release(struct port *port)
{
    net_close_all(port);
    if (port->sqlite != NULL) {
        port->sqlite_gone(port);
    }
    files_close_all(port);
    while (port->wakes != NULL) {
        port_wake_free(port->wakes);
    }
    *port->link = port->next;
    if (port->next != NULL) {
        port->next->link = port->link;
    }
    slots_remove(&port->world->ports, port->id);
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
    port->world->ends++;
    if (!port->is_opened && port->runs == 0 && port->world->running != port) {
        release(port);
    }
}

void sim_terminate(struct sim_world *world, const char *machine)
{
    for (struct port *port = sim_machine(world, machine)->ports; port != NULL; port = port->next) {
        sim_happen(port, 0, SIM_TERMINATE, 0, 0);
    }
}

void sim_terminate_process(struct port *port)
{
    sim_happen(port, 0, SIM_TERMINATE, 0, 0);
}

void sim_on_end(struct sim_world *world, void (*told)(void *context), void *context)
{
    world->on_end = told;
    world->on_end_context = context;
}

void sim_tap(struct sim_world *world,
             void (*told)(void *context, const struct sim_passing *passing),
             void *context)
{
    world->tap = told;
    world->tap_context = context;
}

/* Its processes end without a word, and its clock begins anew. */
static void go_dark(struct sim_world *world, struct machine *machine)
{
    world->is_silent = true;
    for (struct port *port = machine->ports; port != NULL;) {
        struct port *next = port->next;
        if (!port->dead) {
            sim_kill(port);
        }
        port = next;
    }
    world->is_silent = false;
    machine->world_us = world->now_us;
    machine->local_us = 0;
    machine->paused_until_us = 0;
    memset(machine->faults, 0, sizeof machine->faults);
}

void sim_power_cut(struct sim_world *world, const char *machine)
{
    struct machine *found = sim_machine(world, machine);
    go_dark(world, found);
    for (struct machine *guest = found->guests; guest != NULL; guest = guest->next_guest) {
        go_dark(world, guest);
    }
    if (found->host != NULL) {
        return; /* what it wrote is its host's */
    }
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
    use_disk(found, after);
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

struct port *sim_opened(const struct sim_world *world)
{
    return world->opened;
}

struct port *port_open(port_handler *handler, void *role)
{
    struct sim_world *world = next_open.world;
    if (world != NULL) {
        struct port *port = sim_start(world, next_open.machine, handler, role);
        next_open.world = NULL;
        port->is_opened = true;
        world->opened = port;
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
    port->world->ends++;
}

/* ---- turns ---- */

uint64_t sim_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* Eight bytes at a time, the same on every machine. */
static uint64_t mix_bytes(uint64_t hash, struct slice bytes)
{
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t word = 0;
        for (size_t i = 0; i < 8; i++) {
            word |= (uint64_t)bytes.at[at + i] << (8 * i);
        }
        hash = sim_mix(hash, word);
    }
    for (; at < bytes.len; at++) {
        hash = sim_mix(hash, bytes.at[at]);
    }
    return hash;
}

static uint64_t hash_of_event(const struct port *port, const struct port_event *ev)
{
    uint64_t hash = sim_mix(sim_mix(port->world->now_us, port->id), (uint64_t)ev->kind);
    switch (ev->kind) {
    case PORT_RECEIVED: return mix_bytes(hash, ev->received.bytes);
    case PORT_REFUSED:
    case PORT_CLOSED: return sim_mix(hash, (uint64_t)ev->closed.reason);
    case PORT_SYNCED: return sim_mix(hash, (uint64_t)ev->synced.result);
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
    world->hash = sim_mix(world->hash, hash_of_event(port, ev));
    world->running = port;
    world->events++;
    port->handler(port->role, ev);
    world->running = outer;
}

/* False: nothing happened, for what it was about is gone or was put off. */
static bool happened(struct port *port, const struct happening *what)
{
    switch (what->kind) {
    case SIM_TURN: return true;
    case SIM_WAKE: return clock_woke(port, what);
    case SIM_SYNCED: files_synced(port, what->object); return true;
    case SIM_CHANGED: files_changed(port, what->object); return true;
    case SIM_TERMINATE: sim_tell(port, &(struct port_event){.kind = PORT_TERMINATE}); return true;
    case SIM_NET: net_happened(port, what); return true;
    }
    UNREACHABLE();
}

static void fetch(const void *at, size_t len)
{
    for (size_t i = 0; at != NULL && i < len; i += CACHE_LINE) {
        __builtin_prefetch((const char *)at + i);
    }
}

/*
 * A fleet's memory is far larger than a cache, and each turn is about somebody else: what the next
 * turn will touch, and whom those after it are about, is on its way while this one runs.
 */
static void fetch_ahead(struct sim_world *world)
{
    for (size_t i = 1; i <= HEAP_ARITY && i < world->heap_count; i++) {
        fetch(slots_find(&world->ports, world->heap[i].port), sizeof(struct port));
    }
    if (world->heap_count > 0) {
        const struct happening *next = &world->heap[0];
        const struct port *port = slots_find(&world->ports, next->port);
        if (port != NULL) {
            fetch(port->machine, CACHE_LINE);
            fetch(port->near, port->near_len);
            fetch(port->role, CACHE_LINE);
        }
        if (next->kind == SIM_NET) {
            fetch(net_conn(world, next->object), sizeof(struct port_conn));
        } else if (next->kind == SIM_WAKE) {
            fetch(slots_find(&world->wakes, next->object), sizeof(struct port_wake));
        }
    }
}

void sim_touches(struct port *port, const void *at, size_t len)
{
    port->near = at;
    port->near_len = len;
}

/* One turn of one process: all that happens to it at this moment. False: nothing will ever happen.
 */
static bool step(struct sim_world *world)
{
    if (world->heap_count == 0) {
        return false;
    }
    struct happening what = take_next(world);
    fetch_ahead(world);
    struct port *port = slots_find(&world->ports, what.port);
    world->now_us = what.at_us;
    if (port == NULL || port->stopping) {
        return true;
    }
    uint64_t paused_us = port->machine->paused_until_us > port->paused_until_us
                             ? port->machine->paused_until_us
                             : port->paused_until_us;
    if (paused_us > world->now_us) {
        sim_happen_at(port, paused_us, what.kind, what.object, what.detail);
        return true;
    }
    /* It has the word until its turn ends, in a sync that is being carried out, too: a power cut
     * in there must leave it to us to take away. */
    struct port *outer = world->running;
    world->running = port;
    bool is_turn = happened(port, &what);
    while (!port->dead && world->heap_count > 0 && world->heap[0].at_us == world->now_us
           && world->heap[0].port == port->id) {
        what = take_next(world);
        is_turn = happened(port, &what) || is_turn;
    }
    world->running = outer;
    if (!is_turn) {
        return true;
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
    if (world->ends != world->ends_told && world->on_end != NULL && world->running == NULL) {
        world->ends_told = world->ends;
        world->on_end(world->on_end_context);
    }
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

void port_entropy(struct port *port, void *at, size_t len)
{
    uint8_t *to = at;
    for (size_t i = 0; i < len; i++) {
        to[i] = (uint8_t)rng_u64(&port->world->chance);
    }
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

/* ---- rights: a simulated process has none to give up ---- */

unsigned port_confine(struct port *port, const struct port_rights *rights, struct port_why *why)
{
    (void)port;
    (void)rights;
    sim_why(why, "a simulated process");
    return 0;
}

uint64_t port_refused_calls(void)
{
    return 0;
}
