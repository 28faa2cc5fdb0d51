#include "codec/bus_record.h"

#include "base/reader.h"

#include <string.h>

enum { VERSION_1 = 1, VERSION = 2 };

/* Of a delivery: what is there. QoS in the two lowest. */
enum {
    HAS_QOS = 3,
    HAS_RETAIN = 4,
    HAS_SENDER = 8,
    HAS_WILL_OF = 16,
    HAS_WAS = 32,
    HAS_EXPIRY = 64,
    HAS_LISTS = 128 /* properties or targets */
};

enum { TARGET_QOS = 3, TARGET_RETAIN = 4, TARGET_SHARE = 8, TARGET_FLAGS = 15 };

static bool kind_from_wire(uint8_t raw, uint8_t version, enum bus_record_kind *out)
{
    switch (raw) {
    case BUS_LOCAL:
    case BUS_KEPT:
    case BUS_SESSION:
    case BUS_WILL:
        if (version == VERSION_1) {
            return false;
        }
        *out = (enum bus_record_kind)raw;
        return true;
    case BUS_PUBLISHED:
    case BUS_LINKED:
    case BUS_UNLINKED:
    case BUS_STARTED: *out = (enum bus_record_kind)raw; return true;
    }
    return false;
}

bool bus_record_is_message(enum bus_record_kind kind)
{
    switch (kind) {
    case BUS_PUBLISHED:
    case BUS_LOCAL:
    case BUS_KEPT:
    case BUS_WILL: return true;
    case BUS_LINKED:
    case BUS_UNLINKED:
    case BUS_STARTED:
    case BUS_SESSION: return false;
    }
    return false;
}

/* ---- targets ---- */

static void target_read(struct reader *r, struct bus_target *out)
{
    out->session = read_u32(r);
    uint8_t flags = read_u8(r);
    out->qos = flags & TARGET_QOS;
    out->is_retained = (flags & TARGET_RETAIN) != 0;
    out->share = (flags & TARGET_SHARE) != 0 ? read_u32(r) : 0;
    out->ids_count = read_u8(r);
    if (out->session == 0 || out->qos == 0 || out->qos > 2 || (flags & ~TARGET_FLAGS) != 0
        || ((flags & TARGET_SHARE) != 0 && out->share == 0)
        || out->ids_count > BUS_TARGET_IDS_MAX) {
        reader_fail(r);
        out->ids_count = 0;
    }
    for (uint32_t i = 0; i < out->ids_count; i++) {
        out->ids[i] = read_u32(r);
        if (out->ids[i] == 0) {
            reader_fail(r);
        }
    }
}

bool bus_target_next(struct slice *rest, struct bus_target *out)
{
    struct reader r = reader_over(*rest);
    if (rest->len == 0) {
        return false;
    }
    target_read(&r, out);
    *rest = r.rest;
    return reader_ok(&r);
}

void bus_target_write(struct writer *w, const struct bus_target *target)
{
    write_u32(w, target->session);
    write_u8(w, (uint8_t)(target->qos | (target->is_retained ? TARGET_RETAIN : 0)
                          | (target->share != 0 ? TARGET_SHARE : 0)));
    if (target->share != 0) {
        write_u32(w, target->share);
    }
    write_u8(w, target->ids_count);
    for (uint32_t i = 0; i < target->ids_count; i++) {
        write_u32(w, target->ids[i]);
    }
}

static bool targets_are_valid(struct slice targets)
{
    struct reader r = reader_over(targets);
    struct bus_target target;
    while (r.rest.len > 0 && reader_ok(&r)) {
        target_read(&r, &target);
    }
    return reader_done(&r);
}

/* ---- the delivery of a message ---- */

static uint8_t delivery_flags(const struct bus_delivery *d)
{
    return (uint8_t)(d->qos | (d->is_retained ? HAS_RETAIN : 0) | (d->sender != 0 ? HAS_SENDER : 0)
                     | (d->will_of != 0 ? HAS_WILL_OF : 0) | (d->was != 0 ? HAS_WAS : 0)
                     | (d->expires_ms != 0 ? HAS_EXPIRY : 0)
                     | (d->properties.len + d->targets.len > 0 ? HAS_LISTS : 0));
}

/* What is zero is not written, and what is written is not zero: a record has one encoding. */
static void delivery_read(struct reader *r, struct bus_delivery *d)
{
    uint8_t flags = read_u8(r);
    d->qos = flags & HAS_QOS;
    d->is_retained = (flags & HAS_RETAIN) != 0;
    d->sender = (flags & HAS_SENDER) != 0 ? read_u32(r) : 0;
    d->packet_id = (flags & HAS_SENDER) != 0 ? read_u16(r) : 0;
    d->will_of = (flags & HAS_WILL_OF) != 0 ? read_u32(r) : 0;
    d->was = (flags & HAS_WAS) != 0 ? read_u64(r) : 0;
    d->expires_ms = (flags & HAS_EXPIRY) != 0 ? read_u64(r) : 0;
    if ((flags & HAS_LISTS) != 0) {
        d->properties = read_prefixed_u16(r);
        d->targets = read_prefixed_u32(r);
    }
    if (d->qos > 2 || delivery_flags(d) != flags || (d->sender != 0 && d->packet_id == 0)
        || !targets_are_valid(d->targets)) {
        reader_fail(r);
    }
}

static void delivery_write(struct writer *w, const struct bus_delivery *d)
{
    uint8_t flags = delivery_flags(d);
    write_u8(w, flags);
    if ((flags & HAS_SENDER) != 0) {
        write_u32(w, d->sender);
        write_u16(w, d->packet_id);
    }
    if ((flags & HAS_WILL_OF) != 0) {
        write_u32(w, d->will_of);
    }
    if ((flags & HAS_WAS) != 0) {
        write_u64(w, d->was);
    }
    if ((flags & HAS_EXPIRY) != 0) {
        write_u64(w, d->expires_ms);
    }
    if ((flags & HAS_LISTS) != 0) {
        write_prefixed_u16(w, d->properties);
        write_prefixed_u32(w, d->targets);
    }
}

/* What each kind must have: `was` is BUS_KEPT's alone, and a will is of somebody. */
static bool delivery_fits(enum bus_record_kind kind, const struct bus_delivery *d)
{
    if (!bus_record_is_message(kind)) {
        return delivery_flags(d) == 0 && d->packet_id == 0;
    }
    bool is_copy = kind == BUS_KEPT || kind == BUS_WILL;
    return d->qos <= 2 && (d->was != 0) == (kind == BUS_KEPT)
           && (d->sender != 0) == (d->packet_id != 0) && (kind != BUS_WILL || d->will_of != 0)
           && (!is_copy || (d->sender == 0 && d->targets.len == 0));
}

/* ---- records ---- */

static bool is_too_long(const struct bus_record *record)
{
    return record->topic.len > BUS_RECORD_TOPIC_MAX || record->payload.len > BUS_RECORD_PAYLOAD_MAX
           || record->delivery.properties.len > BUS_RECORD_PROPERTIES_MAX
           || record->delivery.targets.len > BUS_RECORD_TARGETS_MAX;
}

enum bus_record_result bus_record_decode(struct slice bytes, struct bus_record *out)
{
    struct reader r = reader_over(bytes);
    struct bus_record record = {0};
    uint8_t version = read_u8(&r);
    uint8_t kind = read_u8(&r);
    uint8_t quality = read_u8(&r);
    read_into(&r, record.device.bytes, sizeof record.device.bytes);
    uint64_t received = read_u64(&r);
    if (version == VERSION) {
        record.clock_ms = read_u64(&r);
    }
    record.topic = read_prefixed_u16(&r);
    record.payload = read_prefixed_u32(&r);
    if ((version != VERSION_1 && version != VERSION) || quality >= TIME_QUALITY_COUNT
        || !kind_from_wire(kind, version, &record.kind)) {
        return BUS_RECORD_MALFORMED;
    }
    if (record.kind == BUS_LINKED) {
        read_into(&r, record.exporter_digest, sizeof record.exporter_digest);
    }
    if (version == VERSION && bus_record_is_message(record.kind)) {
        delivery_read(&r, &record.delivery);
    }
    if (!reader_done(&r) || (version == VERSION && !delivery_fits(record.kind, &record.delivery))) {
        return BUS_RECORD_MALFORMED;
    }
    if (is_too_long(&record)) {
        return BUS_RECORD_TOO_LONG;
    }
    memcpy(&record.received_ms, &received, sizeof record.received_ms);
    record.quality = (enum time_quality)quality;
    *out = record;
    return BUS_RECORD_OK;
}

enum bus_record_result bus_record_encode(const struct bus_record *record, struct writer *w)
{
    if (!delivery_fits(record->kind, &record->delivery)) {
        return BUS_RECORD_MALFORMED;
    }
    if (is_too_long(record)) {
        return BUS_RECORD_TOO_LONG;
    }
    write_u8(w, VERSION);
    write_u8(w, (uint8_t)record->kind);
    write_u8(w, (uint8_t)record->quality);
    write_bytes(w, record->device.bytes, sizeof record->device.bytes);
    write_u64(w, (uint64_t)record->received_ms);
    write_u64(w, record->clock_ms);
    write_prefixed_u16(w, record->topic);
    write_prefixed_u32(w, record->payload);
    if (record->kind == BUS_LINKED) {
        write_bytes(w, record->exporter_digest, sizeof record->exporter_digest);
    }
    if (bus_record_is_message(record->kind)) {
        delivery_write(w, &record->delivery);
    }
    return writer_ok(w) ? BUS_RECORD_OK : BUS_RECORD_TOO_LONG;
}
