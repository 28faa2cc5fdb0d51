#include "codec/bus_record.h"

#include "base/reader.h"

#include <string.h>

enum { VERSION = 1 };

static bool kind_from_wire(uint8_t raw, enum bus_record_kind *out)
{
    switch (raw) {
    case BUS_PUBLISHED:
    case BUS_LINKED:
    case BUS_UNLINKED:
    case BUS_STARTED: *out = (enum bus_record_kind)raw; return true;
    }
    return false;
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
    record.topic = read_prefixed_u16(&r);
    record.payload = read_prefixed_u32(&r);
    if (kind == BUS_LINKED) {
        read_into(&r, record.exporter_digest, sizeof record.exporter_digest);
    }
    if (!reader_done(&r) || version != VERSION || quality >= TIME_QUALITY_COUNT
        || !kind_from_wire(kind, &record.kind)) {
        return BUS_RECORD_MALFORMED;
    }
    if (record.topic.len > BUS_RECORD_TOPIC_MAX || record.payload.len > BUS_RECORD_PAYLOAD_MAX) {
        return BUS_RECORD_TOO_LONG;
    }
    memcpy(&record.received_ms, &received, sizeof record.received_ms);
    record.quality = (enum time_quality)quality;
    *out = record;
    return BUS_RECORD_OK;
}

enum bus_record_result bus_record_encode(const struct bus_record *record, struct writer *w)
{
    if (record->topic.len > BUS_RECORD_TOPIC_MAX || record->payload.len > BUS_RECORD_PAYLOAD_MAX) {
        return BUS_RECORD_TOO_LONG;
    }
    write_u8(w, VERSION);
    write_u8(w, (uint8_t)record->kind);
    write_u8(w, (uint8_t)record->quality);
    write_bytes(w, record->device.bytes, sizeof record->device.bytes);
    write_u64(w, (uint64_t)record->received_ms);
    write_prefixed_u16(w, record->topic);
    write_prefixed_u32(w, record->payload);
    if (record->kind == BUS_LINKED) {
        write_bytes(w, record->exporter_digest, sizeof record->exporter_digest);
    }
    return writer_ok(w) ? BUS_RECORD_OK : BUS_RECORD_TOO_LONG;
}
