/*
 * What travels on the bus: one accepted PUBLISH, or a fact about a connection, as the gateway saw
 * it. The gateway vouches for the fields of this record (who was connected, when it arrived); the
 * payload vouches for itself. Encoding: version u8, kind u8, provenance fields, then
 * length-prefixed topic and payload; all big-endian. docs/protocol/bus-record.md has the layout and
 * vectors.
 */
#ifndef CODEC_BUS_RECORD_H
#define CODEC_BUS_RECORD_H

#include "base/id.h"
#include "base/slice.h"
#include "base/time.h"
#include "base/writer.h"

enum bus_record_kind {
    BUS_PUBLISHED = 1, /* topic and payload of a PUBLISH */
    BUS_LINKED = 2,   /* the device's session began; payload is the certificate it was authenticated
                         with, DER */
    BUS_UNLINKED = 3, /* it ended; payload is the reason in words */
    BUS_STARTED = 4   /* the gateway's process began: no session of an earlier one lives. No device
                         (zero), no payload */
};

enum { BUS_RECORD_TOPIC_MAX = 512, BUS_RECORD_PAYLOAD_MAX = 262144, BUS_RECORD_OVERHEAD = 64 };

struct bus_record {
    enum bus_record_kind kind;
    struct device_id device;   /* of the certificate the connection was authenticated with; zero for
                                  BUS_STARTED */
    int64_t received_ms;       /* the gateway's wall clock */
    enum time_quality quality; /* of that clock */
    uint8_t
        exporter_digest[32]; /* SHA-256 of the connection's tls-exporter; BUS_LINKED, else zero */
    struct slice topic;
    struct slice payload;
};

enum bus_record_result { BUS_RECORD_OK = 0, BUS_RECORD_MALFORMED, BUS_RECORD_TOO_LONG };

/* Slices in `out` borrow from `bytes`. */
MUST_USE enum bus_record_result bus_record_decode(struct slice bytes, struct bus_record *out);
MUST_USE enum bus_record_result bus_record_encode(const struct bus_record *record,
                                                  struct writer *w);

#endif
