#include "sim/plant.h"

#include "base/invariant.h"
#include "codec/senml.h"
#include "core/device/device_trace.h"
#include "role/device_inside.h"
#include "role/trace.h"
#include "sim/plant_inside.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEVICE_BACK_MS = 1000, /* a device that ended by itself is started again after this */
    WINDOW_MESSAGES = 32,
    WINDOW_BYTES = 12 * 1024,
    JOURNAL_STEP = 37, /* prime to 100: journals are spread over the fleet, however small */
    DEVICE_NEAR = offsetof(struct device, config), /* what each turn of a device touches */
    KILLED = -1
};

static void *alloc(size_t count, size_t size)
{
    void *at = calloc(count != 0 ? count : 1, size);
    INVARIANT(at != NULL);
    return at;
}

void plant_ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

/* ---- when what is down comes back ---- */

static void wake_by(struct plant *p, uint64_t at_ms)
{
    if (at_ms < p->wake_ms) {
        p->wake_ms = at_ms;
        port_wake_at(p->wake, at_ms);
    }
}

static void come_back(struct plant *p, struct plant_process *process, uint64_t in_ms)
{
    process->back_ms = in_ms == UINT64_MAX ? UINT64_MAX : sim_now_ms(p->world) + in_ms;
    wake_by(p, process->back_ms);
}

/* It ended: who ended it said when it comes back, or else what starts it decides. */
static void ended(struct plant *p, struct plant_process *process)
{
    bool is_told = process->is_told;
    uint64_t back_ms = process->back_ms;
    process->is_told = false;
    process->was_killed = false;
    if (process->kind == PLANT_IS_DEVICE) {
        come_back(p, process, DEVICE_BACK_MS);
    } else {
        restart_exited(&process->restart, sim_now_ms(p->world), process->exit_code, false);
        bool waits = process->restart.state == RESTART_WAITING;
        process->back_ms = waits ? process->restart.due_ms : UINT64_MAX;
        wake_by(p, process->back_ms);
    }
    if (is_told) {
        process->back_ms = back_ms;
        wake_by(p, back_ms);
    }
}

/* ---- one process ---- */

static void add_counts(struct device_counts *to, const struct device_counts *of)
{
    to->queued += of->queued;
    to->acked += of->acked;
    to->refused += of->refused;
    to->repeated += of->repeated;
    to->missed += of->missed;
}

static void on_device_event(void *role, const struct port_event *ev)
{
    struct plant_process *process = role;
    struct device *d = process->role.device;
    if (d == NULL) {
        return;
    }
    if (ev->kind == PORT_TERMINATE) {
        device_stop(d);
    } else {
        (void)device_event(d, ev);
    }
    if (device_is_over(d)) {
        process->exit_code = device_why(d)[0] == '\0' ? 0 : 1;
        port_stop(process->port);
    }
}

struct device_config plant_device_config(const struct plant *p, uint32_t index)
{
    return (struct device_config){
        .state_dir = PLANT_DATA "/state",
        .idevid_path = PLANT_DATA "/idevid.pem",
        .idevid_key_path = PLANT_DATA "/idevid.key",
        .root_path = PLANT_DATA "/root.pem",
        .devices_url = "https://core:9443",
        .gateways = p->addresses,
        .gateways_count = p->spec.gateways,
        .preferred = index % p->spec.gateways,
        .stream = "sim",
        .source = p->spec.period_ms != 0 ? "waveform" : "none",
        .period_ms = p->spec.period_ms,
        .outbox =
            index * JOURNAL_STEP % 100 < p->spec.journal_percent ? DEVICE_JOURNAL : DEVICE_MEMORY,
        .window_messages = WINDOW_MESSAGES,
        .window_bytes = WINDOW_BYTES,
        .agent = "holdfast-agent sim",
        .log_name = p->spec.is_talkative ? plant_name(p, plant_device(p, index)) : NULL,
    };
}

static int begin_device(struct plant *p, struct plant_process *process)
{
    struct port_why why = {""};
    struct device_config config = plant_device_config(p, process->index);
    config.trace = p->trace; /* not in the configuration: a twin is no second instance of it */
    config.trace_instance = process->index;
    process->role.device = NULL;
    process->port = port_open(on_device_event, process);
    if (device_open(process->port, &config, &process->role.device, &why) == PORT_OK) {
        sim_touches(process->port, process->role.device, DEVICE_NEAR);
        return 0;
    }
    (void)fprintf(stderr, "plant: %s: %s\n", process->name, why.text);
    port_close_all(process->port);
    process->port = NULL;
    return 1;
}

static int end_device(struct plant *p, struct plant_process *process)
{
    struct device_counts counts;
    device_counts(process->role.device, &counts);
    add_counts(&p->past[process->index], &counts);
    device_close(process->role.device);
    port_close_all(process->port);
    return process->exit_code;
}

static int begin(struct plant *p, struct plant_process *process)
{
    sim_next_open(p->world, plant_machine(p, (uint32_t)(process - p->processes)));
    int code = 1;
    switch (process->kind) {
    case PLANT_IS_KEEPER: code = keeper_begin(&p->keeper, &process->role.keeper); break;
    case PLANT_IS_CONTROL: code = control_begin(&p->control, &process->role.control); break;
    case PLANT_IS_INGEST: code = ingest_begin(&p->ingest, &process->role.ingest); break;
    case PLANT_IS_GATEWAY:
        code = gateway_begin(&p->gateways[process->index], &process->role.gateway);
        break;
    case PLANT_IS_DEVICE: return begin_device(p, process);
    }
    process->port = code == 0 ? sim_opened(p->world) : NULL;
    return code;
}

static int end(struct plant *p, struct plant_process *process)
{
    switch (process->kind) {
    case PLANT_IS_KEEPER: return keeper_end(process->role.keeper);
    case PLANT_IS_CONTROL: return control_end(process->role.control);
    case PLANT_IS_INGEST: return ingest_end(process->role.ingest);
    case PLANT_IS_GATEWAY: return gateway_end(process->role.gateway);
    case PLANT_IS_DEVICE: return end_device(p, process);
    }
    UNREACHABLE();
}

static struct plant_process *stopped(struct plant *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->processes[i].port != NULL && sim_has_stopped(p->processes[i].port)) {
            return &p->processes[i];
        }
    }
    return NULL;
}

/* Takes away what is left of processes that stopped or died. One that writes at its end may lose
 * its power over it: whoever dies then is taken after it, and it not twice. */
static void reap(void *context)
{
    struct plant *p = context;
    struct plant_process *process;
    if (p->is_reaping) {
        return;
    }
    p->is_reaping = true;
    while ((process = stopped(p)) != NULL) {
        int code = end(p, process);
        process->exit_code = process->was_killed ? KILLED : code;
        process->port = NULL;
        ended(p, process);
    }
    p->is_reaping = false;
}

int plant_start(struct plant *p, uint32_t which)
{
    struct plant_process *process = &p->processes[which];
    if (process->port != NULL) {
        return 0;
    }
    process->starts++;
    process->back_ms = UINT64_MAX;
    process->is_told = false;
    process->was_killed = false;
    if (process->restart.state == RESTART_WAITING) {
        restart_started(&process->restart, sim_now_ms(p->world));
    } else {
        restart_init(&process->restart, sim_now_ms(p->world));
    }
    process->exit_code = 0;
    process->is_beginning = true;
    int code = begin(p, process);
    process->is_beginning = false;
    if (code != 0) {
        process->refusals += !process->was_killed;
        process->exit_code = process->was_killed ? KILLED : code;
        ended(p, process);
    }
    return code;
}

void plant_kill(struct plant *p, uint32_t which, uint64_t back_ms)
{
    struct plant_process *process = &p->processes[which];
    come_back(p, process, back_ms);
    if (process->port == NULL) {
        return;
    }
    process->is_told = true;
    process->was_killed = true;
    sim_kill(process->port);
    if (!sim_is_in_event(p->world)) {
        reap(p);
    }
}

void plant_pause(struct plant *p, uint32_t which, uint64_t ms)
{
    if (p->processes[which].port != NULL) {
        sim_pause_process(p->processes[which].port, ms);
    }
}

void plant_terminate(struct plant *p, uint32_t which, uint64_t back_ms)
{
    struct plant_process *process = &p->processes[which];
    come_back(p, process, back_ms);
    if (process->port != NULL) {
        process->is_told = true;
        sim_terminate_process(process->port);
    }
}

/* Does the process end when the machine's power goes? The core's takes all server roles. */
static bool hangs_on(const struct plant *p, uint32_t process, const char *machine)
{
    bool is_server = p->processes[process].kind != PLANT_IS_DEVICE;
    return strcmp(plant_machine(p, process), machine) == 0
           || (is_server && strcmp(machine, "core") == 0);
}

void plant_power_cut(struct plant *p, const char *machine, uint64_t back_ms)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct plant_process *process = &p->processes[i];
        if (hangs_on(p, i, machine)) {
            come_back(p, process, back_ms);
            process->is_told = process->port != NULL || process->is_beginning;
            process->was_killed = process->is_told;
        }
    }
    sim_power_cut(p->world, machine);
    if (!sim_is_in_event(p->world)) {
        reap(p);
    }
}

/* ---- the plant's own process: starts what is due ---- */

static void begin_devices(struct plant *p, uint64_t now_ms)
{
    uint64_t due = p->spec.devices;
    if (p->spec.devices_per_s != 0) {
        uint64_t so_far = (now_ms - p->began_ms) * p->spec.devices_per_s / 1000 + 1;
        due = so_far < due ? so_far : due;
    }
    while (p->begun < due) {
        (void)plant_start(p, plant_device(p, p->begun++));
    }
    if (p->begun < p->spec.devices) {
        uint64_t next = (uint64_t)p->begun * 1000 / p->spec.devices_per_s;
        wake_by(p, p->began_ms + next > now_ms ? p->began_ms + next : now_ms + 1);
    }
}

static void on_event(void *role, const struct port_event *ev)
{
    struct plant *p = role;
    if (ev->kind != PORT_WOKE) {
        return;
    }
    uint64_t now_ms = sim_now_ms(p->world);
    p->wake_ms = UINT64_MAX;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->processes[i].back_ms <= now_ms) {
            (void)plant_start(p, i);
        } else {
            wake_by(p, p->processes[i].back_ms);
        }
    }
    begin_devices(p, now_ms);
}

void plant_begin(struct plant *p)
{
    p->began_ms = sim_now_ms(p->world);
    for (uint32_t i = 0; i < plant_device(p, 0); i++) {
        (void)plant_start(p, i);
    }
    wake_by(p, p->began_ms);
}

/* ---- opening ---- */

static void name_processes(struct plant *p)
{
    static const char *const names[] = {"keeper", "control", "ingest"};
    for (uint32_t i = 0; i < p->count; i++) {
        struct plant_process *process = &p->processes[i];
        process->plant = p;
        process->back_ms = UINT64_MAX;
        restart_init(&process->restart, 0);
        if (i < PLANT_FIRST_GATEWAY) {
            process->kind = (enum plant_kind)i;
            (void)snprintf(process->name, sizeof process->name, "%s", names[i]);
        } else if (i < plant_device(p, 0)) {
            process->kind = PLANT_IS_GATEWAY;
            process->index = i - PLANT_FIRST_GATEWAY;
            (void)snprintf(process->name, sizeof process->name, "gw-%" PRIu32, process->index + 1);
        } else {
            process->kind = PLANT_IS_DEVICE;
            process->index = i - plant_device(p, 0);
            (void)snprintf(process->name, sizeof process->name, "dev-%04" PRIu32, process->index);
        }
    }
}

struct plant *plant_open(const struct plant_spec *spec)
{
    INVARIANT(spec->gateways >= 1 && spec->gateways <= PLANT_GATEWAYS_MAX);
    INVARIANT(spec->devices <= PLANT_DEVICES_MAX);
    struct plant *p = alloc(1, sizeof *p);
    p->spec = *spec;
    p->count = PLANT_FIRST_GATEWAY + spec->gateways + spec->devices;
    p->processes = alloc(p->count, sizeof *p->processes);
    p->ids = alloc(spec->devices, sizeof *p->ids);
    p->past = alloc(spec->devices, sizeof *p->past);
    p->world = sim_open(spec->seed);
    p->port = sim_start(p->world, "plant", on_event, p);
    p->wake = port_wake_new(p->port, p);
    p->wake_ms = UINT64_MAX;
    p->trace = trace_start(p->port, "device", "traces", device_trace_cores, DEVICE_TRACE_CORES,
                           TRACE_RING_BYTES);
    name_processes(p);
    plant_configure(p);
    if (!plant_install(p)) {
        plant_close(p);
        return NULL;
    }
    sim_on_end(p->world, reap, p);
    return p;
}

void plant_close(struct plant *p)
{
    if (p == NULL) {
        return;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->processes[i].port != NULL) {
            sim_kill(p->processes[i].port);
            (void)end(p, &p->processes[i]);
        }
    }
    trace_stop(p->trace);
    sim_close(p->world);
    free(p->processes);
    free(p->ids);
    free(p->past);
    free(p);
}

/* ---- asking ---- */

struct sim_world *plant_world(const struct plant *p)
{
    return p->world;
}

uint32_t plant_processes(const struct plant *p)
{
    return p->count;
}

uint32_t plant_gateway(const struct plant *p, uint32_t index)
{
    (void)p;
    return PLANT_FIRST_GATEWAY + index;
}

uint32_t plant_device(const struct plant *p, uint32_t index)
{
    return PLANT_FIRST_GATEWAY + p->spec.gateways + index;
}

const char *plant_name(const struct plant *p, uint32_t process)
{
    return p->processes[process].name;
}

const char *plant_machine(const struct plant *p, uint32_t process)
{
    const struct plant_process *of = &p->processes[process];
    bool is_own = of->kind == PLANT_IS_DEVICE || (of->kind == PLANT_IS_GATEWAY && p->spec.is_apart);
    return is_own ? of->name : "core";
}

bool plant_is_up(const struct plant *p, uint32_t process)
{
    return p->processes[process].port != NULL;
}

uint64_t plant_starts(const struct plant *p, uint32_t process)
{
    return p->processes[process].starts;
}

uint64_t plant_refusals(const struct plant *p, uint32_t process)
{
    return p->processes[process].refusals;
}

int plant_exit_code(const struct plant *p, uint32_t process)
{
    return p->processes[process].exit_code;
}

/* ---- devices ---- */

struct device *plant_device_role(const struct plant *p, uint32_t index)
{
    const struct plant_process *process = &p->processes[plant_device(p, index)];
    return process->port != NULL ? process->role.device : NULL;
}

const struct device_id *plant_device_id(const struct plant *p, uint32_t index)
{
    return &p->ids[index];
}

bool plant_device_counts(const struct plant *p, uint32_t index, struct device_counts *out)
{
    struct device *d = plant_device_role(p, index);
    *out = (struct device_counts){0};
    if (d != NULL) {
        device_counts(d, out);
    }
    add_counts(out, &p->past[index]);
    return d != NULL;
}

bool plant_feed(struct plant *p, uint32_t index, const char *name, double value)
{
    struct device *d = plant_device_role(p, index);
    uint8_t pack[256];
    struct writer w = writer_over(pack, sizeof pack);
    if (d == NULL) {
        return false;
    }
    int64_t time_ms = port_wall_ms(p->processes[plant_device(p, index)].port, NULL);
    senml_pack_write(&w, 1);
    senml_record_write(&w, &(struct senml_record){
                               .name = slice_text(name),
                               .has_base_time = senml_time_is_absolute(time_ms),
                               .base_time_ms = time_ms,
                               .kind = SENML_NUMBER,
                               .number = value,
                           });
    return writer_ok(&w) && device_put(d, writer_slice(&w));
}

uint32_t plant_live(const struct plant *p)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < p->spec.devices; i++) {
        const struct device *d = plant_device_role(p, i);
        live += d != NULL && d->link.state == LINK_LIVE;
    }
    return live;
}
