/*
 * The time-series store and all that must commit together with its points: received sets, hellos,
 * links, cursors, waiting messages, dead letters, counters. One writer (ingest) works in batches of
 * one transaction each; any number of other processes read (store_open_reading) and see whole
 * batches only.
 *
 * A series is (device, stream, name, unit). Its newest points are kept in one small compressed
 * block beside its row until there are 512 of them; then they become a chunk, which never changes.
 * Points come out in the order of their time, those of equal time in the order of their arrival.
 *
 * Every row that readers mirror carries `change`: the number of the transaction that wrote it last.
 * A reader that has seen change N asks for rows with change > N.
 *
 * Names are UTF-8 text, NUL-terminated here; the limits below are checked by the codecs that read
 * them.
 */
#ifndef IO_STORE_H
#define IO_STORE_H

#include "base/id.h"
#include "base/slice.h"
#include "base/time.h"
#include "codec/point.h"
#include "codec/received_report.h"
#include "io/port.h"

struct store;

enum {
    STORE_STREAM_MAX = 128,
    STORE_NAME_MAX = 256,
    STORE_UNIT_MAX = 32,
    STORE_GATEWAY_MAX = 64,
    STORE_AGENT_MAX = 96,
    STORE_TOPIC_MAX = 512,
    STORE_REASON_MAX = 32,
    STORE_COUNTER_MAX = 64,
    STORE_EPHEMERAL_LEN = 65,
    STORE_LINKS_MAX = 256,
    STORE_BLOCK_POINTS = 512, /* points of a chunk */
    STORE_BUCKETS_MAX = 4096
};

enum store_result {
    STORE_OK = 0,
    STORE_NOT_FOUND, /* no such row; opening for reading: no store there yet */
    STORE_TOO_MANY,  /* the device has as many series, or waiting messages, as it may */
    STORE_FULL,      /* no room on the disk: back-pressure; roll back and try again later */
    STORE_BUSY,      /* another writer, or a reader that outlasted the wait */
    STORE_VERSION,   /* written by a newer program (an older one's is brought up to date) */
    STORE_BROKEN     /* I/O error or damage: the role stops; see store_why */
};

struct store_limits {
    uint32_t series_per_device_max;  /* 0: 256 */
    uint32_t waiting_per_device_max; /* messages without their hello; 0: 64 */
    uint32_t waiting_max;            /* of all devices; 0: 4,096 */
    uint32_t dead_letters_max;       /* rows kept; 0: 10,000 */
    uint32_t dead_letter_bytes_max;  /* of each payload; 0: 4,096 */
    uint32_t lost_ranges_max;        /* evidence rows kept; 0: 10,000 */
    uint32_t hellos_per_device_max;  /* highest boots kept; 0: 4,096 */
};

/* Opens or makes the store at `path`, on the port's machine, for the one writer. The port outlives
 * it. */
enum store_result store_open(struct port *port,
                             const char *path,
                             const struct store_limits *limits,
                             struct store **out,
                             struct port_why *why);

/* Opens for reading. STORE_NOT_FOUND until a writer has made it, or brought it up to date. Each
 * query sees one whole state. */
enum store_result store_open_reading(struct port *port,
                                     const char *path,
                                     struct store **out,
                                     struct port_why *why);
void store_close(struct store *st);

/* What the last result other than STORE_OK was about; valid until the next call. */
const char *store_why(const struct store *st);

/* ---- points ---- */

struct store_series {
    int64_t id; /* > 0, never reused */
    struct device_id device;
    char stream[STORE_STREAM_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char unit[STORE_UNIT_MAX + 1]; /* empty: none given */
    uint64_t count;                /* points kept; 0: then nothing below is set */
    int64_t first_ms, last_ms;     /* oldest and newest time */
    struct point last;             /* the point of the newest time, the later arrived of equals */
    uint64_t change;
};

/* Series with id > after_id and change > since, of one device or (NULL) of all, by id. Writes up to
 * `cap` rows; fewer than `cap` mean the end. These rows carry the last values. */
enum store_result store_series_list(struct store *st,
                                    const struct device_id *device,
                                    int64_t after_id,
                                    uint64_t since,
                                    struct store_series *out,
                                    size_t cap,
                                    size_t *count);
enum store_result store_series_count(struct store *st,
                                     const struct device_id *device,
                                     uint64_t *count);
enum store_result store_series_get(struct store *st, int64_t id, struct store_series *out);

/* By names; `unit` NULL: the one written last of those with this name. */
enum store_result store_series_find(struct store *st,
                                    const struct device_id *device,
                                    const char *stream,
                                    const char *name,
                                    const char *unit,
                                    struct store_series *out);

/* Where a listing of points goes on. All zero: at its beginning. */
struct store_points_at {
    bool begun;
    int64_t time_ms; /* go on at this time ... */
    uint64_t skip;   /* ... after this many points of exactly this time */
};

/* Points with from_ms <= time < to_ms in order, up to `cap`; `at` moves on. Fewer than `cap` mean
 * the end. */
enum store_result store_points(struct store *st,
                               int64_t series,
                               int64_t from_ms,
                               int64_t to_ms,
                               struct store_points_at *at,
                               struct point *out,
                               size_t cap,
                               size_t *count);

struct store_bucket {
    uint64_t count; /* values other than NaN; 0: the rest is not set */
    double min, max, mean;
};

/* [from_ms, to_ms) cut in `count` equal parts (1 to STORE_BUCKETS_MAX); bucket i covers the times
 * from from_ms + i * (to_ms - from_ms) / count up to that of i + 1. Every bucket is written. */
enum store_result store_buckets(struct store *st,
                                int64_t series,
                                int64_t from_ms,
                                int64_t to_ms,
                                struct store_bucket *out,
                                size_t count);

/* ---- devices as ingest knows them ---- */

struct store_device {
    struct device_id device;
    char gateway[STORE_GATEWAY_MAX + 1]; /* the newest link's; empty: none yet */
    bool connected;
    int64_t linked_ms; /* when `connected` became what it is; gateway's clock */
    int64_t seen_ms;   /* newest record of it, gateway's clock; 0: never */
    uint32_t boot;     /* highest with an accepted hello; 0: none */
    uint32_t boots;    /* accepted hellos of new boots, ever */
    int64_t hello_ms;  /* when the hello of `boot` arrived first */
    char agent[STORE_AGENT_MAX + 1];
    bool has_clock_offset;
    int64_t clock_offset_ms; /* device's time minus gateway's at arrival: the largest of recent
                                messages */
    enum time_quality clock_quality; /* of the gateway's clock it was compared with */
    uint64_t messages;               /* applied */
    uint64_t points;                 /* stored */
    uint64_t dead_letters;           /* refused, of all reasons */
    int64_t dead_letter_ms;          /* the newest one; 0: never */
    uint64_t link_mismatches;        /* hellos whose exporter is not that of their connection */
    struct received_report received;
    uint8_t links[STORE_LINKS_MAX]; /* ingest's own: which connections a hello may name */
    size_t links_len;
    struct digest certificate; /* key of the certificate of its newest hello; zero: none yet */
    uint64_t change;
};

enum store_result store_device_get(struct store *st,
                                   const struct device_id *device,
                                   struct store_device *out);

/* Devices with change > since, in the order of their change. Up to `cap`; fewer mean the end. */
enum store_result store_devices_since(
    struct store *st, uint64_t since, struct store_device *out, size_t cap, size_t *count);

/* Devices whose last word is that they are connected at this gateway, by row: up to `cap` with row
 * > after; fewer mean the end. */
struct store_connected {
    int64_t row;
    struct device_id device;
};
enum store_result store_devices_connected(struct store *st,
                                          const char *gateway,
                                          int64_t after,
                                          struct store_connected *out,
                                          size_t cap,
                                          size_t *count);

struct store_hello {
    uint32_t boot;
    uint64_t first; /* first sequence number of the boot */
    uint8_t ephemeral[STORE_EPHEMERAL_LEN];
    uint8_t key_id[8]; /* of the ingest key it was made for */
    int64_t received_ms;
};

/* Boots up to `up_to` (UINT32_MAX: all), highest first. Up to `cap`; fewer mean the end. */
enum store_result store_hellos(struct store *st,
                               const struct device_id *device,
                               uint32_t up_to,
                               struct store_hello *out,
                               size_t cap,
                               size_t *count);

/* A boot and its neighbours. */
struct store_hello_around {
    bool is_known; /* `hello` is there */
    bool is_stale; /* not known, below all that are kept, and no more can be kept */
    struct store_hello hello;
    uint64_t above_first; /* of the next higher boot; UINT64_MAX: there is none */
    uint64_t below_first; /* of the next lower boot; 0: there is none */
};
enum store_result store_hello_around(struct store *st,
                                     const struct device_id *device,
                                     uint32_t boot,
                                     struct store_hello_around *out);

/* Certificates that signed hellos of the device: every generation once, the last first used first.
 */
enum { STORE_CERTIFICATES_PER_DEVICE = 16 };

struct store_certificate {
    struct digest key; /* SHA-256 of its SubjectPublicKeyInfo */
    uint8_t serial[20];
    uint8_t serial_len;
    int64_t seen_ms; /* first hello signed with it, gateway's clock */
    uint32_t boot;   /* of that hello */
};
enum store_result store_certificates(struct store *st,
                                     const struct device_id *device,
                                     struct store_certificate out[STORE_CERTIFICATES_PER_DEVICE],
                                     size_t *count);

/* Where the device was linked, newest first, id < before_id (0: from the newest): the last
 * STORE_LINKS_PER_DEVICE are kept. */
enum { STORE_LINKS_PER_DEVICE = 64, STORE_WHY_MAX = 96 };

struct store_link {
    int64_t id;
    char gateway[STORE_GATEWAY_MAX + 1];
    int64_t from_ms, to_ms; /* gateway's clock; to_ms where it has_ended */
    bool has_ended;         /* false: it stands, or nobody has said how it ended */
    char why[STORE_WHY_MAX + 1];
};
enum store_result store_links(struct store *st,
                              const struct device_id *device,
                              int64_t before_id,
                              struct store_link *out,
                              size_t cap,
                              size_t *count);

/* Ranges of sequence numbers that were declared lost: evidence, newest first, id < before_id (0:
 * from the newest). */
struct store_lost {
    int64_t id;
    struct device_id device;
    uint64_t from, to; /* both inclusive */
    enum gap_why why;
    int64_t since_ms, at_ms;
};
enum store_result store_lost_list(struct store *st,
                                  const struct device_id *device,
                                  int64_t before_id,
                                  struct store_lost *out,
                                  size_t cap,
                                  size_t *count);

/* ---- refusals, counters, sources ---- */

struct store_dead_letter {
    int64_t id;
    int64_t at_ms; /* when the gateway received it */
    char gateway[STORE_GATEWAY_MAX + 1];
    struct device_id device;
    char topic[STORE_TOPIC_MAX + 1];
    char reason[STORE_REASON_MAX + 1];
    uint64_t bytes; /* length of the payload; what is kept of it: store_dead_letter_payload */
};

/* Newest first, id < before_id (0: from the newest); `device` and `reason` NULL: all. */
enum store_result store_dead_letters(struct store *st,
                                     const struct device_id *device,
                                     const char *reason,
                                     int64_t before_id,
                                     struct store_dead_letter *out,
                                     size_t cap,
                                     size_t *count);
enum store_result store_dead_letter_payload(struct store *st, int64_t id, struct writer *w);

/*
 * Totals since the store was made, in the same transactions as what they count, by name: "applied"
 * "duplicate" "hello" "link" "waiting" "refused", of which each record of a journal is one
 * ("waiting" falls again); "refused.REASON" for each reason of docs/architecture.md that has
 * occurred; "points", "repeated" (exact repeats that collapsed), "texts" (values left out), "lost"
 * (numbers declared lost).
 */
struct store_counter {
    char name[STORE_COUNTER_MAX + 1];
    uint64_t value;
};
enum store_result store_counters(struct store *st,
                                 struct store_counter *out,
                                 size_t cap,
                                 size_t *count);

struct store_source { /* one per gateway journal that was read */
    char name[STORE_GATEWAY_MAX + 1];
    uint64_t position;   /* the bus_position behind the last applied record */
    int64_t received_ms; /* of that record */
    uint64_t records;    /* read since the store was made */
};
enum store_result store_sources(struct store *st,
                                struct store_source *out,
                                size_t cap,
                                size_t *count);

/* The highest change there is. */
enum store_result store_change(struct store *st, uint64_t *change);

/* ---- writing: ingest alone ---- */

MUST_USE enum store_result store_begin(struct store *st);

/* What is appended from now on arrived at this time of ingest's own clock; an earlier time than one
 * before counts as that one. Retention goes by it. */
MUST_USE enum store_result store_arrives(struct store *st, int64_t now_ms);

/* Durable once it returns STORE_OK; anything else left the store as it was at store_begin.
 * `change`: as store_change. */
MUST_USE enum store_result store_commit(struct store *st, uint64_t *change);
void store_rollback(struct store *st);

/* The series of these names, made where it is not there. `is_new` may be NULL. */
MUST_USE enum store_result store_series_ensure(struct store *st,
                                               const struct device_id *device,
                                               const char *stream,
                                               const char *name,
                                               const char *unit,
                                               int64_t *id,
                                               bool *is_new);

/*
 * Adds points to a series in any order of time. Points of PROVENANCE_DEVICE are all added (their
 * sequence number is their identity). A point of PROVENANCE_GATEWAY whose time and value equal, bit
 * for bit, those of a gateway point already there is a repeat and collapses; `repeated` counts
 * these.
 */
MUST_USE enum store_result store_append(
    struct store *st, int64_t series, const struct point *points, size_t count, size_t *repeated);

/* Replaces the row; `change` is set by the store. */
MUST_USE enum store_result store_device_put(struct store *st, const struct store_device *row);

/* Adds or replaces (device, boot), then keeps the highest hellos_per_device_max boots: those up to
 * `expired` (0: none) are kept no more. */
MUST_USE enum store_result store_hello_put(struct store *st,
                                           const struct device_id *device,
                                           const struct store_hello *hello,
                                           uint32_t *expired);

/* Nothing changes where this key was seen before. */
MUST_USE enum store_result store_certificate_seen(struct store *st,
                                                  const struct device_id *device,
                                                  const struct store_certificate *certificate);

/* A link begins, and one of the device that stands at this gateway ends; or all that stand there
 * end.
 */
MUST_USE enum store_result store_link_begin(struct store *st,
                                            const struct device_id *device,
                                            const char *gateway,
                                            int64_t from_ms);
MUST_USE enum store_result store_link_end(struct store *st,
                                          const struct device_id *device,
                                          const char *gateway,
                                          int64_t to_ms,
                                          const char *why);

/* A bus record that waits for the hello of (device, boot). STORE_TOO_MANY where a limit is reached.
 */
MUST_USE enum store_result store_waiting_add(struct store *st,
                                             const struct device_id *device,
                                             uint32_t boot,
                                             const char *gateway,
                                             struct slice record);

/* Takes the oldest one for (device, boot): removes it, writes its record to `w`. STORE_NOT_FOUND:
 * none left. */
MUST_USE enum store_result store_waiting_take(struct store *st,
                                              const struct device_id *device,
                                              uint32_t boot,
                                              char gateway[STORE_GATEWAY_MAX + 1],
                                              struct writer *w);

/* Takes the oldest one of `device` whose boot is at most `boot`, or (device NULL) the oldest of
 * all.
 */
MUST_USE enum store_result store_waiting_expire(struct store *st,
                                                const struct device_id *device,
                                                uint32_t boot,
                                                char gateway[STORE_GATEWAY_MAX + 1],
                                                struct writer *w);

/* How many wait, of all devices: the writer knows. */
uint64_t store_waiting_count(const struct store *st);

MUST_USE enum store_result store_dead_letter_add(struct store *st,
                                                 const struct store_dead_letter *letter,
                                                 struct slice payload);
MUST_USE enum store_result store_lost_add(struct store *st, const struct store_lost *lost);
MUST_USE enum store_result store_counter_add(struct store *st, const char *name, uint64_t by);
MUST_USE enum store_result store_source_put(struct store *st, const struct store_source *source);
enum store_result store_source_get(struct store *st, const char *name, struct store_source *out);

/* Deletes up to `chunks_max` chunks whose last point arrived before `before_ms`; fewer mean that
 * none is left. The times of the points themselves do not matter. */
MUST_USE enum store_result store_retain(struct store *st,
                                        int64_t before_ms,
                                        size_t chunks_max,
                                        size_t *deleted);

#endif
