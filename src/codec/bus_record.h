/*
 * What travels on the bus, and what a gateway remembers: accepted messages, facts about
 * connections, and facts about the sessions of its clients, each as the gateway saw it. The gateway
 * vouches for the fields of this record (who was connected, when it arrived); the payload vouches
 * for itself. docs/protocol/bus-record.md has the layout and vectors. Written in version 2; records
 * of version 1 (kinds 1 to 4, without clock and delivery) are still read.
 */
#ifndef CODEC_BUS_RECORD_H
#define CODEC_BUS_RECORD_H

#include "base/id.h"
#include "base/slice.h"
#include "base/time.h"
#include "base/writer.h"

enum bus_record_kind {
    BUS_PUBLISHED = 1, /* topic and payload of a PUBLISH that ingest reads */
    BUS_LINKED = 2,   /* the device's session began; payload is the certificate it was authenticated
                         with, DER */
    BUS_UNLINKED = 3, /* it ended; payload is the reason in words */
    BUS_STARTED = 4,  /* the gateway's process began: no connection of an earlier one lives. No
                         device (zero), no payload */
    BUS_LOCAL = 5,    /* a message for clients of this gateway alone: as BUS_PUBLISHED, and ingest
                         passes it by */
    BUS_KEPT = 6,     /* a message that is still needed, written again nearer to the head: `was` */
    BUS_SESSION = 7,  /* payload: one codec/session_record.h */
    BUS_WILL = 8      /* the will of session `will_of`, to be published when its time comes */
};

enum {
    BUS_RECORD_TOPIC_MAX = 512,
    BUS_RECORD_PAYLOAD_MAX = 262144,
    BUS_RECORD_PROPERTIES_MAX = 65535,
    BUS_RECORD_TARGETS_MAX = 262144,
    BUS_RECORD_OVERHEAD = 112,
    BUS_RECORD_MAX = BUS_RECORD_TOPIC_MAX + BUS_RECORD_PAYLOAD_MAX + BUS_RECORD_PROPERTIES_MAX
                     + BUS_RECORD_TARGETS_MAX + BUS_RECORD_OVERHEAD
};

/*
 * What a gateway must know of a message to deliver it: kinds BUS_PUBLISHED, BUS_LOCAL, BUS_KEPT and
 * BUS_WILL, zero for all others and in version 1.
 */
struct bus_delivery {
    uint8_t qos;             /* 0 to 2, as published */
    bool is_retained;        /* as published (3.3.1.3); BUS_KEPT: it is what its topic retains */
    uint32_t sender;         /* durable session of a QoS 2 publisher, with packet_id; else 0 */
    uint16_t packet_id;      /* not zero exactly where sender is not */
    uint32_t will_of;        /* the session whose will this is, or was; else 0 */
    uint64_t was;            /* BUS_KEPT: the position it had before; else 0 */
    uint64_t expires_ms;     /* by the lifetime clock; 0: never (3.3.2.3.3) */
    struct slice properties; /* as in a PUBLISH to be forwarded, without their length */
    struct slice targets;    /* bus_target_next: for whom it was when it came */
};

struct bus_record {
    enum bus_record_kind kind;
    struct device_id device;   /* of the certificate the connection was authenticated with; zero
                                  where none was */
    int64_t received_ms;       /* the gateway's wall clock */
    enum time_quality quality; /* of that clock */
    uint64_t clock_ms;         /* the gateway's lifetime clock, which rises only while it runs; 0 in
                                  version 1 */
    uint8_t
        exporter_digest[32]; /* SHA-256 of the connection's tls-exporter; BUS_LINKED, else zero */
    struct slice topic;
    struct slice payload;
    struct bus_delivery delivery;
};

enum bus_record_result { BUS_RECORD_OK = 0, BUS_RECORD_MALFORMED, BUS_RECORD_TOO_LONG };

/* Slices in `out` borrow from `bytes`. Each target is well-formed. */
MUST_USE enum bus_record_result bus_record_decode(struct slice bytes, struct bus_record *out);
/* Writes version 2. BUS_RECORD_MALFORMED: a field that this kind does not have is not zero. */
MUST_USE enum bus_record_result bus_record_encode(const struct bus_record *record,
                                                  struct writer *w);

bool bus_record_is_message(enum bus_record_kind kind); /* has a delivery */

/*
 * One durable session that a message is for. Who it is for was decided when it came; reading the
 * journal again never matches topics.
 */
enum { BUS_TARGET_IDS_MAX = 32 };
struct bus_target {
    uint32_t session;
    uint8_t qos;       /* 1 or 2, granted for this copy */
    bool is_retained;  /* the flag its PUBLISH carries (retain as published) */
    uint32_t share;    /* number of the session's shared subscription that was picked; else 0 */
    uint8_t ids_count; /* subscription identifiers of all that matched */
    uint32_t ids[BUS_TARGET_IDS_MAX];
};
/* `rest` begins as the record's targets and is advanced; false at its end. */
bool bus_target_next(struct slice *rest, struct bus_target *out);
void bus_target_write(struct writer *w, const struct bus_target *target);

#endif
