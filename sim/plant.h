/*
 * The platform in a simulated world: keeper, control, ingest and gateways as processes of one
 * machine ("core", the shape of `holdfast run`), or the gateways on machines of their own ("gw-1",
 * ...: docs/decisions/0061), and any number of devices, each on a machine of its own ("dev-0000",
 * ...). All of it is production code: the roles of src/role, the keys and
 * certificates of `holdfast init` and `holdfast factory`. Devices enrol by EST, say hello and
 * publish as they do anywhere.
 *
 * The plant is what `holdfast run` and init systems are elsewhere: it starts processes, starts
 * again what ended by itself (by core/control/restart, devices after a second), and switches
 * machines on. It decides nothing else and judges nothing.
 *
 * What the roles print goes to where this process's output goes.
 */
#ifndef SIM_PLANT_H
#define SIM_PLANT_H

#include "io/sim/sim.h"
#include "role/device.h"

enum {
    PLANT_GATEWAYS_MAX = 8,
    PLANT_DEVICES_MAX = 100000,
    PLANT_DEVICES_PORT = 9443,
    PLANT_CONSOLE_PORT = 8080,
    PLANT_GATEWAY_PORT = 8883 /* of the first; the next has the next */
};

/* Processes have numbers: the server roles, the gateways, then the devices. */
enum { PLANT_KEEPER, PLANT_CONTROL, PLANT_INGEST, PLANT_FIRST_GATEWAY };

struct plant_spec {
    uint64_t seed;
    uint32_t gateways; /* 1 to PLANT_GATEWAYS_MAX */
    uint32_t devices;
    uint32_t devices_per_s;   /* how many begin a second, in order; 0: all at once */
    uint32_t journal_percent; /* devices whose outbox is a journal; the others keep it in memory */
    uint32_t period_ms; /* between two samples of a device's own waveform; 0: none, plant_feed */
    uint32_t batch_ms;  /* of ingest's transactions; 0: its default */
    uint64_t certificate_life_ms; /* of devices; 0: 7 days */
    bool is_apart; /* each gateway on a machine of its own, a guest of the core (sim_share_disk) */
    bool has_console;  /* control's API and console, plain http */
    bool is_talkative; /* devices say on stderr what they do */
};

struct plant;

/* Everything is installed and nothing runs yet; NULL with the reason on stderr. */
struct plant *plant_open(const struct plant_spec *spec);
void plant_close(struct plant *plant);
struct sim_world *plant_world(const struct plant *plant);

/* Starts the server roles now, and the devices from now on at the spec's pace. */
void plant_begin(struct plant *plant);

/* ---- processes ---- */

uint32_t plant_processes(const struct plant *plant);
uint32_t plant_gateway(const struct plant *plant, uint32_t index);
uint32_t plant_device(const struct plant *plant, uint32_t index);
const char *plant_name(const struct plant *plant,
                       uint32_t process); /* "control", "gw-1", "dev-0000" */
const char *plant_machine(const struct plant *plant, uint32_t process);

/* Starts it where it does not run. The role's exit status: 0, it runs. */
int plant_start(struct plant *plant, uint32_t process);
bool plant_is_up(const struct plant *plant, uint32_t process);
uint64_t plant_starts(const struct plant *plant, uint32_t process);
uint64_t plant_refusals(const struct plant *plant, uint32_t process); /* starts that ended so */
int plant_exit_code(const struct plant *plant, uint32_t process); /* of its last end; -1: killed */

/* SIGSTOP, and SIGCONT after `ms`; 0: goes on now with what comes from now on. */
void plant_pause(struct plant *plant, uint32_t process, uint64_t ms);

/* Each ends with the process gone, and back after `back_ms`; UINT64_MAX: not by itself. */
void plant_kill(struct plant *plant, uint32_t process, uint64_t back_ms);
void plant_terminate(struct plant *plant, uint32_t process, uint64_t back_ms);

/* The machine, its guests and all processes on them. May be called from within an operation of its
 * disk. */
void plant_power_cut(struct plant *plant, const char *machine, uint64_t back_ms);

/* ---- devices ---- */

/* How the device is configured, for a role that the plant does not run (a clone). */
struct device_config plant_device_config(const struct plant *plant, uint32_t index);

/* NULL while it does not run. */
struct device *plant_device_role(const struct plant *plant, uint32_t index);
const struct device_id *plant_device_id(const struct plant *plant, uint32_t index);

/* What the device counted, all of its lives together where counts grow. */
bool plant_device_counts(const struct plant *plant, uint32_t index, struct device_counts *out);

/* One value, with the device's own time, into its outbox; false: it is down, or does not take it.
 */
bool plant_feed(struct plant *plant, uint32_t index, const char *name, double value);

/* How many devices are live: enrolled and in a session with a gateway. */
uint32_t plant_live(const struct plant *plant);

/* ---- what is stored ---- */

struct store;
struct registry;

/* Opened for reading by a process of its own on the core; NULL: not there. plant_leave closes. */
struct plant_reader {
    struct port *port;
    struct store *store;
    struct registry *registry;
};
bool plant_read(struct plant *plant, struct plant_reader *out);
void plant_leave(struct plant_reader *reader);

#endif
