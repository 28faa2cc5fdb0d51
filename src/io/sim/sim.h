/*
 * A world to run roles in: machines with disks, processes with ports, a network and a clock, all in
 * one thread of virtual time. One seed decides everything that chance decides; the same seed and
 * the same calls give the same sim_hash. Link port_sim instead of port_posix.
 *
 * A process is a struct port. port_run runs the world until that port stops or nothing would ever
 * happen again; sim_run_until runs it for all. port_open gives a process on a machine of a world of
 * its own, so that code that knows nothing of simulation runs here as well. Nothing costs time but
 * what says so: the network, syncs.
 *
 * A TLS handshake verifies certificates, names and the possession of keys as port.h says, and then
 * the bytes pass in the clear. Link the objects of crypto_stub and it is cheap, and the world the
 * same twice: OpenSSL's keys are never the same. No programs can be started: port_spawn is
 * PORT_BAD.
 */
#ifndef IO_SIM_SIM_H
#define IO_SIM_SIM_H

#include "io/port.h"
#include "io/sim/disk.h"

struct sim_world;

enum { SIM_NAME_MAX = 32 }; /* bytes of a machine's name */

struct sim_world *sim_open(uint64_t seed);
void sim_close(struct sim_world *world); /* with all ports in it; no event is told any more */

/* Starts a process on the machine, which comes into being at its first mention. */
struct port *sim_start(struct sim_world *world,
                       const char *machine,
                       port_handler *handler,
                       void *role);

/* The next port_open, by a role that opens its own port and runs it, is a process on this machine.
 */
void sim_next_open(struct sim_world *world, const char *machine);

/* The process that the last port_open gave in this world; NULL: none yet. It may be gone. */
struct port *sim_opened(const struct sim_world *world);

/* `told` is called after every turn in which a process stopped or died, when no process has the
 * word: the place to take what is left of it away. */
void sim_on_end(struct sim_world *world, void (*told)(void *context), void *context);

/*
 * kill -9: the process is gone within the call, its connections are reset, its files are as it left
 * them. The role must not touch any handle again, but for one that called port_open itself or is
 * inside port_run or an event: there port_run comes back after this turn, and until port_close_all
 * whatever is asked of the port fails or does nothing.
 */
void sim_kill(struct port *port);
void sim_terminate(struct sim_world *world, const char *machine); /* SIGTERM to its processes */
void sim_terminate_process(struct port *port);                    /* to this one alone */

/* All processes of the machine and of its guests are killed and its disk forgets, by chance, what
 * was not synced. */
void sim_power_cut(struct sim_world *world, const char *machine);

/* Has the process called port_stop? It is told nothing more, but lives until sim_kill or
 * port_close_all. */
bool sim_has_stopped(const struct port *port);

/* Tells all that happens until then; the clock ends there. False: nothing is left that could ever
 * happen. */
bool sim_run_until(struct sim_world *world, uint64_t now_ms);
bool sim_run_for(struct sim_world *world, uint64_t ms);

/* Runs on until the condition holds after a turn; false where it does not within `ms`. */
bool sim_run_while_not(struct sim_world *world,
                       bool (*holds)(void *context),
                       void *context,
                       uint64_t ms);
uint64_t sim_now_ms(const struct sim_world *world);
bool sim_is_in_event(const struct sim_world *world); /* a process has the word */

/* Every event told so far: time, process, kind, contents. */
uint64_t sim_hash(const struct sim_world *world);
uint64_t sim_turns(const struct sim_world *world);
uint64_t sim_events(const struct sim_world *world); /* told to handlers */

/* ---- clocks ---- */

/* The machine's wall clock is the world's plus `offset_ms`. Its port_now_ms counts from its last
 * power cut. */
void sim_set_clock(struct sim_world *world,
                   const char *machine,
                   int64_t offset_ms,
                   enum time_quality quality);

/* What the machine's wall clock shows now. */
int64_t sim_wall_ms(struct sim_world *world, const char *machine);

/* The machine's own clock runs that many millionths too fast (or, below zero, too slow) from now
 * on. Above -1,000,000 and below 1,000,000. */
void sim_set_drift(struct sim_world *world, const char *machine, int32_t ppm);

/* SIGSTOP, and SIGCONT after `ms`: its processes get no turn until then; what came meanwhile waits.
 */
void sim_pause(struct sim_world *world, const char *machine, uint64_t ms);
void sim_pause_process(struct port *port, uint64_t ms); /* this one alone */

/* ---- disks ---- */

struct sim_disk *sim_disk_of(struct sim_world *world, const char *machine);
/* The world owns `disk` from now on; no process may be on the machine or its guests. */
void sim_put_disk(struct sim_world *world, const char *machine, struct sim_disk *disk);

/*
 * `guest` runs on `host` from now on, as a virtual machine whose files are folders of its host: one
 * disk, written through, but a network, clocks, faults and processes of its own. Nobody is told of
 * what the other writes: port_watch sees its own machine's changes. A power cut of the guest loses
 * nothing that was written; one of the host takes the guests with it. Nothing may run on the guest
 * yet, and its files are gone.
 */
void sim_share_disk(struct sim_world *world, const char *guest, const char *host);

enum sim_call { SIM_OPEN, SIM_READ, SIM_WRITE, SIM_TRUNCATE, SIM_SYNC, SIM_NAMES, SIM_DIR_SYNC };
enum { SIM_CALL_COUNT = SIM_DIR_SYNC + 1 };

/* The nth such call from now (1: the next) ends in `result`, and where `forever` all later ones,
 * too. A failing write leaves half of its bytes; a failing sync leaves its writes in limbo. PORT_OK
 * takes the fault away. */
void sim_fail(struct sim_world *world,
              const char *machine,
              enum sim_call call,
              uint64_t nth,
              enum port_result result,
              bool forever);

/* Has the fault last set on that call struck? */
bool sim_has_struck(struct sim_world *world, const char *machine, enum sim_call call);

/* The lies of io/sim/disk.h, where the world's chance draws: a bit that rots in whatever is durable
 * on the machine (false: nothing is), and the nth write from now. */
bool sim_rot(struct sim_world *world, const char *machine);
void sim_spoil_write(struct sim_world *world, const char *machine, uint64_t nth, enum sim_lie lie);

/* How long a sync takes from now on: 200 us at first. Only port_file_sync_begin lets time pass. */
void sim_set_sync_time(struct sim_world *world, const char *machine, uint64_t us);

/* What this process touches in nearly each of its turns: only for speed. Any memory, even freed. */
void sim_touches(struct port *port, const void *at, size_t len);

/* What comes on this process's standard input, at most `step` bytes (not 0) at a time, and then its
 * end; borrowed. Without it there is only the end. */
void sim_input(struct port *port, struct slice bytes, size_t step);

/* Where port_last_words of any process in any world goes: a real folder that is there, NULL for
 * none. A broken invariant ends the simulation itself, so the simulated disks are no place for it.
 */
void sim_last_words_to(const char *folder);

/* ---- network ----
 *
 * A listener is reached under its machine's name and its port ("gw-1:8883"), whatever host it
 * listens on; the names localhost, 127.0.0.1 and [::1] mean the caller's own machine, and so does
 * unix:PATH. Streams lose nothing: what a cut link holds back arrives after it heals, in order. A
 * killed process resets its connections; a machine without power says nothing, and its peers find
 * out when they send after it is back.
 */

/* What takes how long from one machine to the other, one way: 100 us at first, 20 us within a
 * machine. */
void sim_set_link(struct sim_world *world,
                  const char *from,
                  const char *to,
                  uint64_t delay_us,
                  uint64_t jitter_us);

/* Nothing passes in that direction until it heals. */
void sim_cut_link(struct sim_world *world, const char *from, const char *to);
void sim_heal_link(struct sim_world *world, const char *from, const char *to);

/* Resets every connection between the two, at both ends. */
void sim_reset_link(struct sim_world *world, const char *a, const char *b);

/* Connections between the two end at `here` alone: `there` is not told, and finds out when it
 * sends.
 */
void sim_half_open(struct sim_world *world, const char *here, const char *there);

/* Bytes on their way between two machines, as somebody on the wire who can read TLS sees them. */
struct sim_passing {
    const char *from, *to;
    uint64_t connection; /* a number for both directions, never used again in this world */
    uint16_t server_port;
    bool by_client; /* who called sends */
    bool arrives;   /* they reach the other end; otherwise they leave this one, and may be lost */
    struct slice bytes;
};

/* Tells of all bytes that leave one end or reach the other, with TLS and without. NULL: no more. */
void sim_tap(struct sim_world *world,
             void (*told)(void *context, const struct sim_passing *passing),
             void *context);

/* From now on its handshakes are signed with this key (PEM), whatever its certificate says: what a
 * thief of a certificate would do. */
void sim_forge_tls(struct port_tls *tls, struct slice key_pem);

#endif
