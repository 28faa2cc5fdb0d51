/* What the files of io/sim share. */
#ifndef IO_SIM_INSIDE_H
#define IO_SIM_INSIDE_H

#include "base/invariant.h"
#include "base/rng.h"
#include "io/sim/sim.h"
#include "io/sim/slots.h"

enum sim_happening {
    SIM_TURN, /* a new process has its first turn */
    SIM_WAKE,
    SIM_SYNCED,
    SIM_CHANGED,
    SIM_TERMINATE,
    SIM_NET /* net.c knows what */
};

/* A thing that will happen. Names its object by number: it may be gone by then. */
struct happening {
    uint64_t at_us;
    uint64_t order;
    enum sim_happening kind;
    uint64_t port;   /* id */
    uint64_t object; /* id within the port */
    uint64_t detail;
};

struct sim_failure {
    uint64_t countdown; /* 0: none */
    enum port_result result;
    bool forever;
    bool has_struck;
};

struct machine {
    /* its monotonic clock: showed local_us at world_us and runs drift_ppm too fast since */
    uint64_t world_us, local_us;
    int64_t clock_offset_ms;
    uint64_t paused_until_us; /* its processes get no turn before */
    int32_t drift_ppm;
    enum time_quality quality;
    uint32_t number;       /* rising from 1 */
    struct port *ports;    /* its processes, the newest first */
    struct sim_disk *disk; /* a guest's is its host's */
    struct machine *host;  /* NULL: none */
    struct machine *guests, *next_guest;
    uint64_t sync_us;
    struct machine *next;
    char name[SIM_NAME_MAX];
    struct sim_failure faults[SIM_CALL_COUNT];
};

struct sim_world {
    struct rng chance;
    uint64_t now_us;
    uint64_t order, ids, hash, turns, events;
    struct happening *heap;
    size_t heap_count, heap_cap;
    struct machine *machines;
    struct machine **by_name; /* open addressing; a power of two, at most half full */
    size_t machines_count, by_name_cap;
    struct slots ports, wakes;
    struct port *running; /* whose handler is being called */
    struct sim_net *net;
    struct sim_disk *
        *retired; /* disks that a cut replaced: an operation on them may be on the stack */
    size_t retired_count;
    struct port *opened;      /* by the last port_open; only compared and handed out */
    uint64_t ends, ends_told; /* processes that stopped or died */
    void (*on_end)(void *context);
    void *on_end_context;
    void (*tap)(void *context, const struct sim_passing *passing);
    void *tap_context;
    bool is_silent; /* processes end by a power cut: nobody is told */
};

struct port_wake {
    struct port *port;
    struct port_wake *next, **link;
    uint64_t id;        /* in the world's wakes */
    uint64_t due_us;    /* of the port's clock; UINT64_MAX: not armed */
    uint64_t queued_us; /* of the world: the one happening that counts; UINT64_MAX: none */
    void *user;
};

struct port_file {
    struct port *port;
    struct port_file *next;
    uint64_t id;
    struct sim_inode *inode;
    unsigned flags;
    bool syncing;
    uint64_t mark;
    void *sync_user;
};

struct port_watch {
    struct port *port;
    struct port_watch *next;
    uint64_t id;
    char path[SIM_PATH_MAX];
    struct sim_inode *inode; /* that the path named when last looked at; only compared */
    bool due;
    void *user;
};

enum segment_kind { SEGMENT_UP, SEGMENT_DATA, SEGMENT_END, SEGMENT_RESET, SEGMENT_ALERT };

struct segment {
    struct segment *next;
    enum segment_kind kind;
    size_t len;
    uint8_t bytes[];
};

/* CALLING (client) or SHAKING (server) -> UP -> CLOSING -> ENDED; every stage may go to ENDED. */
enum conn_stage { CONN_CALLING, CONN_SHAKING, CONN_UP, CONN_CLOSING, CONN_ENDED };

struct run_of_bytes {
    uint8_t *at;
    size_t head, len, cap;
};

struct port_conn {
    struct port *port;
    struct port_conn *next, **link;
    uint64_t id;   /* in the net's table */
    uint64_t peer; /* id of the other end; 0: none yet */
    struct machine *there;
    struct link *inward; /* from there to here; NULL: not looked up yet. Links stay for ever */
    struct port_listener *listener;
    enum conn_stage stage;
    void *user;
    size_t receive_cap, send_cap;
    struct run_of_bytes in, out;
    size_t flight; /* bytes on their way to this end */
    struct segment *arriving, **arriving_end;
    uint64_t arrives_us; /* the last of them */
    uint32_t held;       /* arrivals that a cut link holds back */
    bool call_held;
    bool accepted, was_up, shaking, paused, give, refused_send, drained_due, dirty, saw_end,
        starved;
    enum port_close_reason reason;
    const char *detail;
    struct port_tls *tls;
    char address[96], server_name[64];
    uint16_t to_port;
    uint16_t listener_port; /* of the one that accepted; 0: we called */
    bool is_local;
    struct port_peer peer_facts;
    uint8_t *peer_der;
};

struct port_listener {
    struct port *port;
    struct port_listener *next;
    struct port_listen_options options;
    struct port_tls *tls;
    void *user;
    uint16_t tcp_port;
    char path[SIM_PATH_MAX]; /* "": TCP */
    uint32_t connections, handshakes;
    uint64_t *waiting; /* ids of callers in the backlog, from waiting_first on */
    size_t waiting_first, waiting_count, waiting_cap;
};

struct port { /* what each turn touches first */
    struct sim_world *world;
    struct machine *machine;
    uint64_t id; /* in the world's ports */
    port_handler *handler;
    void *role;
    uint64_t paused_until_us;
    unsigned runs; /* port_run is under way */
    bool stopping;
    bool dead;      /* killed while its role was on the stack: lives until port_close_all */
    bool is_opened; /* by port_open: its role is on the stack until port_close_all */
    bool owns_world;
    uint64_t *dirty; /* ids of connections with something to send */
    size_t dirty_count, dirty_cap;
    const void *near; /* sim_touches: never read */
    size_t near_len;
    struct port_conn *conns;
    struct port_listener *listeners;
    struct port *next, **link; /* of the machine's */
    struct slice input;        /* that is still to come on standard input: sim_input */
    size_t input_step;
    struct port_wake *wakes;
    struct port_file *files;
    struct port_watch *watches;
    struct sim_sqlite *sqlite; /* sqlite.c's; NULL: it never asked */
    void (*sqlite_gone)(struct port *port);
};

void *sim_alloc(size_t len); /* zeroed */
void sim_happen_at(
    struct port *port, uint64_t at_us, enum sim_happening kind, uint64_t object, uint64_t detail);
struct machine *sim_machine(struct sim_world *world, const char *name);
void sim_happen(
    struct port *port, uint64_t in_us, enum sim_happening kind, uint64_t object, uint64_t detail);
uint64_t sim_mix(uint64_t hash, uint64_t word);
void sim_tell(struct port *port, const struct port_event *ev);
void sim_why(struct port_why *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* clock.c */
bool clock_woke(struct port *port, const struct happening *what);

/* files.c */
void files_synced(struct port *port, uint64_t id);
void files_changed(struct port *port, uint64_t id);
void files_close_all(struct port *port);

/* net.c */
struct sim_net *net_new(void);
void net_free(struct sim_net *net);
void net_happened(struct port *port, const struct happening *what);
void net_turn_ended(struct port *port);
void net_die(struct port *port);       /* as a kill does; handles stay */
void net_close_all(struct port *port); /* frees them */

/* tls.c: how a handshake between two ends goes. NULL: well; otherwise what each of them says, and
 * whether the client was done already when the server refused it. */
struct handshake {
    const char *server_says, *client_says;
    bool client_was_up;
};
struct handshake tls_shake(struct port_conn *client, struct port_conn *server);
void tls_hold(struct port_tls *tls);
bool tls_is_server(const struct port_tls *tls);

#endif
