/*
 * What the files of the ingest role share.
 */
#ifndef ROLE_INGEST_INSIDE_H
#define ROLE_INGEST_INSIDE_H

#include "core/ingest/admit_trace.h"
#include "io/bus.h"
#include "io/store.h"
#include "role/ingest.h"
#include "role/metrics.h"
#include "role/trace.h"

enum {
    INGEST_SOURCES_MAX = 256,  /* gateways */
    INGEST_DEVICES_MAX = 8192, /* held in memory; the others are in the store */
    INGEST_SLOTS = 16384,
    INGEST_SPILLS_MAX = 1024,     /* devices in memory with more than four gaps */
    INGEST_SERIES_MAX = 65536,    /* whose ids are remembered */
    INGEST_SERIES_SLOTS = 131072, /* a power of two, at most half used */
    INGEST_POINTS_MAX = 262144,   /* of one batch */
    INGEST_RECORD_MAX = BUS_RECORD_TOPIC_MAX + BUS_RECORD_PAYLOAD_MAX + BUS_RECORD_OVERHEAD,
    INGEST_TURN_RECORDS = 2048, /* read before other events are looked at */
    INGEST_BATCH_RECORDS = 8192,
    INGEST_BATCH_MS = 20,
    INGEST_RESCAN_MS = 1000,
    INGEST_REPORT_MS = 1000,
    INGEST_RETAIN_MS = 60000,
    INGEST_RETAIN_CHUNKS = 512,
    INGEST_ISSUERS_MAX = 8,
    INGEST_CONNECTED_PAGE = 256, /* devices whose links are ended at a time */
    INGEST_PATH_MAX = 1000,
    INGEST_PEM_MAX = 65536
};

struct ingest_source {
    char name[STORE_GATEWAY_MAX + 1];
    uint64_t gateway;          /* as the core names it */
    struct bus_reader *reader; /* NULL: its stream is not there yet, or broken */
    bool is_broken;            /* said so, and no record of it could be read since */
    bool is_moved;             /* in this batch */
    struct store_source state; /* position behind the last record that was decided */
};

/* A series whose id is known, and its points of this batch. */
struct ingest_series {
    uint64_t hash;
    int64_t id;
    struct device_id device;
    uint8_t stream_len, name_len, unit_len;
    char text[MESSAGE_STREAM_MAX + SENML_NAME_MAX
              + SENML_UNIT_MAX]; /* the three, one behind the other */
    uint32_t first, last;        /* 1 + index into the pending points; 0: none */
    uint32_t count;
    uint32_t next_touched; /* 1 + index */
};

struct ingest_pending {
    struct point point;
    uint32_t next;
};

struct ingest_series_table {
    struct ingest_series *list;
    uint32_t count;
    uint32_t *slots; /* 1 + index into the list */
    uint64_t seed;
    struct ingest_pending *points;
    uint32_t points_count;
    uint32_t first_touched;
    struct point *gathered; /* INGEST_POINTS_MAX: one series on its way to the store */
};

struct ingest_counts {
    uint64_t records;
    uint64_t outcomes[ADMIT_OUTCOME_COUNT];
    uint64_t reasons[ADMIT_REASON_COUNT];
    uint64_t points, repeated, texts, lost, released;
    uint64_t batches, batch_records_max;
    uint64_t gone; /* times a journal no longer had what was to be read next */
};

struct ingest {
    struct port *port;
    struct ingest_config config; /* with its defaults */
    struct store *store;
    struct admit core;
    struct admit_effects fx;
    struct ingest_source sources[INGEST_SOURCES_MAX];
    uint32_t sources_count;
    uint32_t turn; /* the source to begin with */
    struct ingest_series_table series;

    bool in_batch;
    uint32_t batch_records;
    uint64_t batch_began_ms;
    int64_t *batch_received; /* received_ms of each record of the batch, for the lag */
    struct ingest_counts counts, committed; /* up to now; as of the last commit */
    uint64_t waited_before; /* messages that waited when we began: in outcomes, not in records */
    uint8_t *record;        /* INGEST_RECORD_MAX: one that waited */

    struct metrics_histogram lag, commit_time;
    struct port_wake *batch_wake, *rescan_wake, *report_wake, *retain_wake;
    struct port_file *applied;
    uint64_t applied_change;
    struct trace *trace;    /* NULL: nothing is traced */
    struct admit_traced at; /* the device whose step it is */
    uint32_t *traced;       /* the recorder's marks, one for each place of `devices` */
    bool is_over;           /* nothing more may be read or committed */
    int exit_code;

    /* What the core points to. */
    struct key_private *key;
    struct x509 issuers[INGEST_ISSUERS_MAX];
    uint8_t *issuers_der;
    struct admit_device *devices;
    struct table_slot *slots;
    struct received_spill *spills;
    uint8_t *scratch;
    char paths[INGEST_PATH_MAX];
};

/* Ends the role: nothing of the present batch is committed. One line on stderr. */
void ingest_fail(struct ingest *in, const char *what, const char *why);

/* data_dir/rest, in in->paths until the next call; false where it is too long. */
bool ingest_path(struct ingest *in, const char *rest, const char *name, const char *end);

/* ---- ingest_start.c ---- */
struct ingest *ingest_open(struct port *port,
                           const struct ingest_config *config,
                           struct port_why *why);
void ingest_close(struct ingest *in);

/* ---- ingest_sources.c ---- */

/* Looks for gateways whose spool is not read yet. */
void ingest_rescan(struct ingest *in);

/* The next record of any source, borrowed until the next call; NULL: nothing durable is left. */
struct ingest_source *ingest_next(struct ingest *in, struct slice *record, bus_position *next);
uint32_t ingest_sources_damaged(const struct ingest *in); /* that cannot be read */
uint64_t ingest_lag_bytes(struct ingest *in);

/* The name of a gateway by the core's number; "" for none that is known. */
const char *ingest_gateway_name(const struct ingest *in, uint64_t gateway);

/* ---- ingest_batch.c ---- */

/* Decides one record of a journal and performs what follows; the batch begins with it where none
 * was open. */
void ingest_take(struct ingest *in,
                 struct ingest_source *source,
                 struct slice record,
                 bus_position next);

/* Begins the transaction of a batch where none is open. False: the store failed, the role ends. */
bool ingest_batch_begin(struct ingest *in);
bool ingest_is_ok(struct ingest *in, enum store_result result, const char *what);

/* Gives every message that waits once more: those whose hello came while we were down are applied.
 */
void ingest_retry_waiting(struct ingest *in);

/* ---- ingest_devices.c ---- */

/* What the store keeps of a device the core has in memory. */
void ingest_device_row(const struct ingest *in,
                       const struct admit_device *d,
                       struct store_device *row);
/* Answer the core's orders to fetch a device, or an older boot of one, from the store. */
void ingest_device_load(struct ingest *in);
void ingest_boot_look_up(struct ingest *in, uint32_t boot);

/* ---- ingest_commit.c ---- */

/* Commits the batch, if one is open, then tells gateways and control. */
void ingest_commit(struct ingest *in);

/* Takes all that is durable now and commits it. For tests and for the end. */
void ingest_drain(struct ingest *in);

/* Deletes what is older than the configuration keeps. */
void ingest_retain(struct ingest *in);

/* ---- ingest_series.c ---- */
MUST_USE bool ingest_series_init(struct ingest_series_table *t, uint64_t seed);
void ingest_series_free(struct ingest_series_table *t);

/* Room for the points of one message more, in points and in series. */
bool ingest_series_has_room(const struct ingest_series_table *t);

/* Adds all points of the effects to the batch, or none: STORE_TOO_MANY. */
enum store_result ingest_series_add(struct ingest *in, const struct admit_effects *fx);

/* Appends everything to the store. */
enum store_result ingest_series_flush(struct ingest *in);

/* ---- ingest_trace.c ---- */

/* One step of the core into in->fx, recorded before. */
void ingest_step(struct ingest *in, const struct admit_event *ev);
void ingest_trace_open(struct ingest *in);
void ingest_trace_close(struct ingest *in);

/* ---- ingest_report.c ---- */
void ingest_report(struct ingest *in);

#endif
