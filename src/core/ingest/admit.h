/*
 * What is a record of the bus worth? Decides for each one: verified and new, so its points are
 * stored; a duplicate; waiting for its hello; or refused, with a reason. Knows neither journals nor
 * tables: what it needs of a device comes in by ADMIT_LOADED, what must be kept goes out as effects
 * and dirty devices.
 *
 *     record --> in memory? --no--> ADMIT_LOAD, then the same record again after ADMIT_LOADED
 *                    |
 *                enrolled? --no--> a link whose certificate an issuer vouches for enrols it;
 *                    |             anything else is refused (not-enrolled) and leaves no trace
 *     hello     certificate under the issuer, id = topic = gateway's word,
 *               signature over the topic, key of ours, exporter of a link
 *               at that gateway, boot rules        -> ADMIT_KEEP_HELLO, ADMIT_RELEASE, and
 *               ADMIT_KEEP_CERTIFICATE where it is another than before
 *     t/STREAM  hello of its boot? MAC, received set, SenML      -> ADMIT_STORE
 *     j/STREAM  the gateway's word alone, JSON                   -> ADMIT_STORE
 *     link      connected, gateway, exporter   -> ADMIT_BEGIN_LINK, ADMIT_END_LINK
 *     started   earlier links of that gateway are over           -> ADMIT_END_LINKS
 *
 * Nothing that a gateway can invent makes a row: the store knows a device from the first link whose
 * certificate was issued to it.
 *
 * Within one boot the ephemeral key never changes; a boot above all known ones begins at a sequence
 * number that was never applied; a late hello of an older boot must fit between its neighbours. The
 * newest ADMIT_BOOTS boots are in memory; an older one is looked up (ADMIT_LOOK_UP), for messages
 * may have waited long in the spool of a gateway that was away. What is below all that the store
 * keeps is stale. An authentic message whose payload cannot be used is refused, but its number
 * counts as received: it came, and cannot be missing.
 *
 * A device that is in memory is up to date; the store's copy is older by the dirty ones. The role
 * writes all dirty devices in the transaction that holds their points and then says
 * ADMIT_COMMITTED; a failed commit ends the role.
 */
#ifndef CORE_INGEST_ADMIT_H
#define CORE_INGEST_ADMIT_H

#include "base/arena.h"
#include "base/table.h"
#include "codec/bus_record.h"
#include "codec/message.h"
#include "codec/point.h"
#include "codec/senml.h"
#include "core/ingest/received.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "trust/chain.h"

enum {
    ADMIT_BOOTS = 8,    /* newest boots of a device in memory; the store keeps many more */
    ADMIT_LINKS = 6,    /* newest connections of a device whose exporter may be named by a hello */
    ADMIT_MAC_KEYS = 2, /* derived keys held of a device */
    ADMIT_INGEST_KEYS = 4, /* our own, newest first */
    ADMIT_POINTS_MAX = SENML_RECORDS_MAX,
    ADMIT_EFFECTS_MAX = 8,
    ADMIT_SCRATCH_BYTES = ADMIT_POINTS_MAX * (SENML_NAME_MAX + SENML_UNIT_MAX + 32),
    ADMIT_CLOCK_TOLERANCE_MS = 2000, /* of a device's clock that counts as synced */
    ADMIT_LINKS_BYTES = 1 + ADMIT_LINKS * 40
};

enum admit_reason {
    ADMIT_BAD_MAC,
    ADMIT_UNKNOWN_KEY, /* the hello was made for an ingest key that is not ours */
    ADMIT_NO_HELLO,    /* no room to wait for it */
    ADMIT_STALE_BOOT,  /* older than the boots that are kept */
    ADMIT_MALFORMED,
    ADMIT_NOT_ALLOWED, /* a topic that ingest does not take, or a certificate our issuers do not
                          vouch for */
    ADMIT_BAD_SIGNATURE,
    ADMIT_BOOT_REUSED,    /* a clone or a rolled-back flash */
    ADMIT_TOPIC_MISMATCH, /* topic, certificate and connection do not name one device */
    ADMIT_TOO_MANY_SERIES,
    ADMIT_LINK_MISMATCH, /* the hello was made for another connection */
    ADMIT_NOT_ENROLLED   /* no certificate of ours has shown yet that there is such a device */
};
enum { ADMIT_REASON_COUNT = ADMIT_NOT_ENROLLED + 1 };

const char *admit_reason_name(enum admit_reason reason); /* "bad-mac" ...: docs/architecture.md */

struct admit_boot {
    uint32_t boot;
    uint64_t first;
    int64_t received_ms;
    uint8_t ephemeral[MESSAGE_POINT_LEN];
    uint8_t key_id[MESSAGE_KEY_ID_LEN];
};

/* What the store knows of a boot that is below all in memory. */
struct admit_older {
    struct admit_boot boot; /* boot.boot: which was asked for; 0: nothing is looked up */
    bool is_known;          /* the rest of `boot` is its hello */
    bool is_stale;          /* not known, and below all that the store keeps */
    uint64_t above_first;   /* of the next higher boot: it always has one */
    uint64_t below_first;   /* of the next lower boot; 0: there is none */
};

/* The certificate a hello was signed with. */
struct admit_certificate {
    struct digest key; /* identity_key_digest */
    uint8_t serial[20];
    uint8_t serial_len;
};

struct admit_link {
    uint64_t gateway; /* admit_gateway_of its name */
    uint8_t exporter[DIGEST_LEN];
};

struct admit_device {
    struct device_id id;
    bool in_use, is_dirty, was_used; /* was_used: since the hand of the clock went by */
    bool is_enrolled;    /* the store has or gets a row; false: only that it has none is known */
    uint32_t next_dirty; /* 1 + index; 0: the last of the list */
    uint64_t gateway;    /* of the newest link; 0: none */
    bool connected;
    int64_t linked_ms; /* when `connected` became what it is */
    int64_t seen_ms;
    uint32_t boots_total;
    uint32_t boot_count;
    struct admit_boot boots[ADMIT_BOOTS]; /* highest first */
    struct admit_older older;             /* the one looked up last */
    struct digest certificate;            /* key of the newest hello's; zero: none yet */
    uint8_t agent[MESSAGE_AGENT_MAX];
    uint8_t agent_len;
    uint8_t link_count;
    struct admit_link links[ADMIT_LINKS]; /* newest first */
    bool has_clock_offset;
    int64_t
        clock_offset_ms; /* the largest since it was linked: a late message only makes it smaller */
    enum time_quality clock_quality;
    uint64_t messages, points, dead_letters, link_mismatches;
    int64_t dead_letter_ms;
    struct received received;
    uint32_t mac_boots[ADMIT_MAC_KEYS]; /* 0: none */
    struct mac_key macs[ADMIT_MAC_KEYS];
};

struct admit_ingest_key {
    uint8_t id[MESSAGE_KEY_ID_LEN];
    const struct key_private *key;
};

struct admit_config {
    struct admit_ingest_key keys[ADMIT_INGEST_KEYS];
    size_t keys_count;
    struct chain_anchors issuers;
    struct slice domain; /* of SPIFFE ids */
};

struct admit_memory { /* the caller's, for as long as the core lives */
    struct admit_device *devices;
    uint32_t devices_cap;
    struct table_slot *slots;
    uint32_t slots_cap; /* a power of two, at least 8/7 of devices_cap */
    struct received_spill *spills;
    uint32_t spills_cap; /* at least 1 */
    uint8_t *scratch;    /* ADMIT_SCRATCH_BYTES */
    uint64_t seed;       /* from entropy: spreads the table */
};

struct admit {
    struct admit_config config;
    struct admit_device *devices;
    uint32_t devices_cap, devices_count, hand;
    uint32_t dirty_count, first_dirty; /* 1 + index; 0: none */
    struct table table;
    struct received_pool pool;
    struct arena scratch;
    uint64_t ecdh, chains; /* expensive work done: metrics */
};

enum admit_event_kind {
    ADMIT_SAW_RECORD,     /* record */
    ADMIT_LOADED,         /* loaded: what the store knows of a device, or that it knows nothing */
    ADMIT_LOOKED,         /* looked: what the store knows of an older boot */
    ADMIT_WAIT_REFUSED,   /* record: the effect ADMIT_WAIT found no room */
    ADMIT_WAIT_EXPIRED,   /* record: its boot has become stale */
    ADMIT_SERIES_REFUSED, /* record: the effect ADMIT_STORE would have made too many series */
    ADMIT_COMMITTED       /* all dirty devices are durable */
};

struct admit_record {
    uint64_t gateway;   /* whose journal it is in */
    struct slice bytes; /* the record as it was on the bus */
    uint32_t points;    /* of ADMIT_SERIES_REFUSED: how many ADMIT_STORE had ordered */
};

struct admit_loaded {
    struct device_id device;
    bool is_known;                  /* false: the rest is not looked at */
    const struct admit_device *row; /* without received, links, macs; boots included: all there are
                                       where they are fewer than ADMIT_BOOTS */
    const struct received_report *received;
    struct slice links; /* as admit_links_encode wrote them */
};

struct admit_looked {
    struct device_id device;
    struct admit_older older;
};

struct admit_event {
    enum admit_event_kind kind;
    union {
        struct admit_record record;
        struct admit_loaded loaded;
        struct admit_looked looked;
    };
};

enum admit_effect_kind {
    ADMIT_LOAD, /* read `device` from the store, say ADMIT_LOADED, then give the same record again
                 */
    ADMIT_COMMIT_FIRST, /* all room is dirty: commit, say ADMIT_COMMITTED, then give the same record
                           again */
    ADMIT_LOOK_UP, /* read what the store knows of `boot` of `device`, say ADMIT_LOOKED, then give
                      the same record again */
    ADMIT_STORE,   /* `points` of `device` and `stream` */
    ADMIT_KEEP_HELLO, /* `hello` of `device`: write it. Those that wait for boots which the store
                         keeps no more become ADMIT_WAIT_EXPIRED */
    ADMIT_KEEP_CERTIFICATE, /* `certificate` was seen in use by `device`, in a hello of `boot` */
    ADMIT_RELEASE,          /* give the records that wait for (device, boot) again, oldest first */
    ADMIT_WAIT,             /* keep the record until the hello of (device, boot) comes */
    ADMIT_BEGIN_LINK,       /* `device` is linked at this gateway */
    ADMIT_END_LINK,         /* its links at this gateway are over: the reason is in the payload */
    ADMIT_END_LINKS, /* give BUS_UNLINKED for each device that is connected at this gateway */
    ADMIT_REFUSE,    /* count it by `reason` and keep it as a dead letter */
    ADMIT_LOSE,      /* keep `loss` as evidence */
    ADMIT_STOP       /* the machine failed (no memory for a key): commit nothing, end */
};

/* What became of a record: exactly one per record that was not sent back to be given again. */
enum admit_outcome {
    ADMIT_AGAIN,     /* give it again: after ADMIT_LOAD, ADMIT_COMMIT_FIRST or ADMIT_LOOK_UP */
    ADMIT_APPLIED,   /* its points go to the store */
    ADMIT_DUPLICATE, /* authentic, and applied before */
    ADMIT_GREETED,   /* a hello, new or the same again */
    ADMIT_NOTED,     /* a link, or the start of a gateway */
    ADMIT_PASSED,    /* what a gateway wrote for itself: sessions, messages for its own clients */
    ADMIT_WAITING,
    ADMIT_REFUSED
};
enum { ADMIT_OUTCOME_COUNT = ADMIT_REFUSED + 1 };

const char *admit_outcome_name(enum admit_outcome outcome); /* "applied" ... */

struct admit_effect {
    enum admit_effect_kind kind;
    uint32_t boot;
    enum admit_reason reason;
    struct admit_boot hello;
    struct admit_certificate certificate;
    struct received_loss loss;
};

struct admit_point {
    struct slice name, unit; /* in the scratch: until the next step */
    struct point point;
};

struct admit_effects {
    enum admit_outcome outcome;
    bool is_authentic;        /* a signature or MAC of the device was verified */
    struct bus_record record; /* decoded; zero where it could not be */
    struct device_id device;  /* of all effects */
    struct slice stream;      /* of ADMIT_STORE; in the record's bytes */
    uint32_t texts;           /* points left out because their value is text */
    uint32_t points_count;
    struct admit_point points[ADMIT_POINTS_MAX];
    uint32_t count;
    struct admit_effect list[ADMIT_EFFECTS_MAX];
};

void admit_init(struct admit *a,
                const struct admit_config *config,
                const struct admit_memory *memory);

/* Slices in `out` live until the next step. */
void admit_step(struct admit *a, const struct admit_event *ev, struct admit_effects *out);

/* The next record may order ADMIT_COMMIT_FIRST; after ADMIT_COMMITTED it does not. */
bool admit_is_tight(const struct admit *a);

/* The dirty devices, one after the other: begin with NULL; NULL at the end. */
const struct admit_device *admit_dirty_next(const struct admit *a,
                                            const struct admit_device *after);

/* The received set and the links of a device as the store keeps them. */
void admit_received_report(const struct admit *a,
                           const struct admit_device *d,
                           struct received_report *out);
void admit_links_encode(const struct admit_device *d, struct writer *w);

/* Names of gateways as the core tells them apart; never 0. */
uint64_t admit_gateway_of(struct slice name);

/* Wipes every derived key. */
void admit_wipe(struct admit *a);

/* Every invariant of the struct. */
void admit_check(const struct admit *a);

#endif
