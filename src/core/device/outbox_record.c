#include "core/device/outbox_record.h"

#include "base/reader.h"

enum { VERSION = 1 };

bool outbox_record_decode(struct slice bytes, struct outbox_record *out)
{
    struct reader r = reader_over(bytes);
    struct outbox_record record = {0};
    uint8_t version = read_u8(&r);
    record.seq = read_u64(&r);
    record.row = read_u64(&r);
    record.stream = read_prefixed_u16(&r);
    record.body = r.rest;
    if (!reader_ok(&r) || version != VERSION || record.seq == 0 || record.body.len == 0
        || record.body.len > OUTBOX_MESSAGE_MAX || record.stream.len > OUTBOX_STREAM_MAX) {
        return false;
    }
    *out = record;
    return true;
}

void outbox_record_encode(struct writer *w, const struct outbox_record *record)
{
    write_u8(w, VERSION);
    write_u64(w, record->seq);
    write_u64(w, record->row);
    write_prefixed_u16(w, record->stream);
    write_slice(w, record->body);
}
