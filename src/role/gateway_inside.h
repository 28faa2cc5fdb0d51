/* What the files of the gateway role share. */
#ifndef ROLE_GATEWAY_INSIDE_H
#define ROLE_GATEWAY_INSIDE_H

#include "base/fault.h"
#include "codec/bus_record.h"
#include "codec/x509.h"
#include "core/gateway/admission.h"
#include "core/gateway/backlog.h"
#include "core/gateway/broker.h"
#include "core/gateway/drain.h"
#include "core/gateway/quota.h"
#include "core/gateway/refusals.h"
#include "core/gateway/registry.h"
#include "core/gateway/session_trace.h"
#include "io/bus.h"
#include "io/port.h"
#include "role/gateway.h"
#include "role/gateway_fetch.h"
#include "role/gateway_grants.h"
#include "role/metrics.h"
#include "role/tls_files.h"
#include "role/trace.h"

enum {
    GATEWAY_LISTEN_MAX = 8,
    GATEWAY_OUT_CAP =
        131072, /* bytes of unsent answers to one client: more than one turn's input can ask for */
    GATEWAY_TARGETS_CAP = 65536, /* bytes of the list of those a message is for */
    GATEWAY_TICK_MS = 250,       /* how often deadlines are looked at */
    GATEWAY_REPORT_MS = 1000,    /* metrics, refusals, retention */
    GATEWAY_REPORT_CAP = 131072,
    GATEWAY_BATCH_MAX = 4 << 20,    /* bytes of records for one write */
    GATEWAY_CERTIFICATE_MAX = 2048, /* of a device; those that our issuers sign are shorter */
    GATEWAY_NONE = UINT32_MAX
};

struct gateway_conn {
    struct port_conn *port; /* NULL: this place is free */
    uint32_t index;
    uint32_t next;   /* free list, or list of those that wait for storage */
    bool is_waiting; /* on that list */
    bool is_paused;
    bool is_throttled; /* not read, either: its device has sent too much; on the list of those */
    uint32_t throttled_next, throttled_before;
    uint64_t throttled_until_us;
    uint32_t quota;   /* the device's place; GW_PEERS_NONE: none */
    bool comes_again; /* the packet it was paused with was not taken */
    bool is_clogged;  /* its output is full: PORT_DRAINED says when there is room again */
    bool is_closing;  /* nothing of its input is looked at any more */
    bool is_entered;  /* in the registry */
    bool is_leaving;  /* it is sent away: nothing more of it is read */
    int64_t since_wall_ms;
    uint64_t messages, message_bytes; /* taken of it */
    uint32_t traced;                  /* the recorder's mark of this session */
    uint32_t session_number;          /* of the broker; 0: none yet, or none any more */
    uint32_t blocked_by;              /* a session whose queue this one's packet waits for */
    struct gateway_app *app;          /* NULL: a device */
    struct gw_session session;
    struct digest fingerprint;
    struct digest exporter;
    char address[GW_ADDRESS_MAX];
};

struct gateway_owed { /* SESSION_CLOSED, or the end of a session that ends with its connection */
    uint32_t session;
    uint32_t expiry_s;
    bool will_is_due;
};

struct gateway_app { /* an application's rights, as its connection's session is given them */
    char name[GRANT_NAME_MAX + 1];
    struct digest key;
    struct slice own_id; /* its name: the client id of one without patterns */
    struct gw_rights rights;
};

struct gateway_counts {
    uint64_t connections, sessions_begun;
    uint64_t messages[3];   /* by QoS */
    uint64_t deliveries[3]; /* PUBLISHes to clients, by QoS */
    uint64_t deliveries_dropped;
    uint64_t kept; /* messages and sessions that were written again */
    uint64_t message_bytes;
    uint64_t acks, acks_refusing;
    uint64_t stalls, commits, records_dropped; /* links that found no room in the spool */
    uint64_t ends[GW_END_COUNT];
};

struct gateway {
    const struct gateway_config *config;
    struct gateway_limits limits;
    struct gw_limits session_limits;
    struct port *port;
    struct trace *trace; /* NULL: nothing is traced */
    struct port_tls *tls;
    struct tls_files tls_files;
    struct port_sessions *sessions;
    struct port_listener *listeners[GATEWAY_LISTEN_MAX];
    struct port_wake *wake, *flush_wake; /* the second only ends a turn */
    struct bus_writer *bus;
    struct gateway_conn *conns;
    struct gw_pending *pendings; /* limits.inflight_max for each connection */
    struct table_slot *slots;    /* of the registry's two tables */
    struct gw_registry registry;
    struct gw_refusals refusals;
    struct gw_entrance admission;
    struct gw_quota quota;
    struct gw_peer *addresses, *devices; /* of admission and quota */
    struct table_slot *peer_slots;
    struct port_wake *quota_wake;
    uint32_t throttled_head;
    struct gw_broker *broker;
    void *broker_memory;
    struct gw_aliases *aliases; /* of each connection: touched where a client uses them */
    struct gateway_recent recent, fleeting; /* messages in memory: with a record, and without */
    uint64_t fleeting_number;
    struct bus_reader *reader; /* of our own journal: what is not in memory any more */
    bus_position read_to;      /* where it is */
    struct gateway_owed *owed; /* ends of connections that found no room in the journal */
    uint32_t owed_count, owed_cap;
    uint64_t clock_base_ms, started_ms; /* of the lifetime clock */
    bus_position floor, floor_written;  /* below it nothing of the sessions is needed */
    bus_position floor_next, floor_next_at;
    bool queue_moved; /* somebody's queue has become shorter */
    bool is_settling, is_delayed;
    bool has_regranting; /* sessions without a right that could not be ended yet */
    struct gateway_counts counts;
    struct metrics_histogram commit_time;
    uint64_t commit_began_us; /* 0: no sync is under way */
    int64_t wall_ms;          /* of the event that is being handled */
    uint64_t now_us;
    uint64_t now_ms; /* the same by the clock that never goes back */
    enum time_quality wall_quality;
    uint64_t number;        /* of the newest connection */
    uint64_t refusals_told; /* of refusals.total, in the file of refusals; UINT64_MAX: no file */
    bus_position acked;     /* how far ingest was, when last asked: with each report */
    uint64_t report_due_ms;
    uint64_t due_ms; /* no session has anything due before this; most have it much later */
    uint32_t free_head, waiting_head;
    uint32_t open_count, stalled_count;
    uint32_t displaced; /* a session that has just been taken over, GATEWAY_NONE: none */
    struct gw_drain drain;
    struct gw_backlog backlog;
    bool has_leaving;              /* connections on their way out of a drain */
    struct gateway_admin *admin;   /* NULL: no socket */
    struct gateway_grants *grants; /* NULL: no applications */
    struct gateway_watch *watch;   /* of one device's messages; NULL: nobody looks */
    uint64_t watch_until_ms;
    bool is_announced; /* BUS_STARTED is in the spool, before every link of this process */
    bool is_stopping, told_to_stop;
    int exit_code; /* of a failure; 0 while there is none */
    uint8_t *record;
    size_t record_cap, record_len; /* of the newest one */
    bus_position record_at;        /* where that begins */
    uint8_t *session_bytes, *targets, *items, *properties;
    size_t session_cap, targets_cap, items_cap;
    uint8_t codes[GW_FILTERS_MAX];
    uint8_t *out;
    size_t out_cap;
    uint8_t report[GATEWAY_REPORT_CAP];
};

/* gateway.c */
void gateway_fail(struct gateway *g, enum gateway_exit code, const char *what, const char *why);

/* gateway_conn.c */
void gateway_conn_accepted(struct gateway *g, struct port_conn *port);
void gateway_conn_received(struct gateway *g, struct gateway_conn *c, struct slice bytes);
void gateway_conn_closed(struct gateway *g, struct gateway_conn *c);
/* Whenever a session may have become due earlier than the bound that the ticks go by. */
static inline void gateway_conn_note_due(struct gateway *g, const struct gateway_conn *c)
{
    uint64_t due_ms = gw_session_due_ms(&c->session);
    g->due_ms = due_ms < g->due_ms ? due_ms : g->due_ms;
}
void gateway_conn_feed(struct gateway *g, struct gateway_conn *c, struct gw_event ev);
void gateway_conn_send(struct gateway *g, struct gateway_conn *c, struct slice bytes);
void gateway_conn_drained(struct gateway *g, struct gateway_conn *c); /* gateway_deliver.c */
void gateway_conn_refuse(struct gateway *g,
                         struct gateway_conn *c,
                         enum gw_gate gate,
                         struct mqtt_fault fault);

/* gateway_spool.c */
enum bus_result gateway_stage(struct gateway *g, struct bus_record *record, bus_position *position);
/* BUS_STARTED is staged, now or before; false while the spool has no room for it. */
bool gateway_announce(struct gateway *g);
void gateway_flush(struct gateway *g);
void gateway_synced(struct gateway *g, enum port_result result);
void gateway_retain(struct gateway *g);
void gateway_has_room(struct gateway *g);

/* gateway_admin.c: while a gateway is drained no session begins, for this reason */
bool gateway_admission_closed(const struct gateway *g, enum mqtt_reason *reason);

/* gateway_app.c: NULL: no application with this certificate is let in, see the fault */
struct gateway_app *gateway_app_of(struct gateway *g,
                                   const struct x509 *certificate,
                                   struct device_id *owner,
                                   struct fault *fault);
/* The grants of applications are others. */
void gateway_grants_changed(struct gateway *g);

/* gateway_watch.c: to be called where g->watch is not NULL */
void gateway_watch_packet(struct gateway *g,
                          const struct gateway_conn *c,
                          const struct mqtt_packet *packet,
                          bool is_ours);
void gateway_watch_acks(struct gateway *g,
                        const struct gateway_conn *c,
                        const struct gw_pending *list,
                        uint32_t count);
void gateway_watch_note(struct gateway *g,
                        const struct gateway_conn *c,
                        const char *what,
                        const char *words);

bool gateway_stands(void *role, struct slice certificate_der); /* a port_stands */

/* gateway_quota.c: who may come, and how much one device may have. */
void gateway_quota_init(struct gateway *g);
void gateway_quota_free(struct gateway *g);
bool gateway_admits_source(void *role, void *user, const struct port_peer *peer); /* a port_admit */
void gateway_source_done(struct gateway *g, const struct port_peer *peer, bool is_good);
/* False: refused, its device has too many connections. */
bool gateway_quota_accepted(struct gateway *g, struct gateway_conn *c);
void gateway_quota_closed(struct gateway *g, struct gateway_conn *c);
/* May it CONNECT? Where not, *words say when to come back; they are good until the next question.
 */
bool gateway_quota_connects(struct gateway *g, struct gateway_conn *c, const char **words);
/* May this packet be taken now? False: it waits, and the connection is not read meanwhile; or it
 * was refused. */
bool gateway_quota_may(struct gateway *g, struct gateway_conn *c, size_t len);
void gateway_quota_took(struct gateway *g, struct gateway_conn *c, size_t len);
void gateway_quota_turn(
    struct gateway *g); /* at a turn's end: who has waited long enough is read */

/* gateway_report.c */
void gateway_report(struct gateway *g);

#endif
