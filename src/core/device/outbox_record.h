/*
 * How a message of the outbox is kept, in a journal or on flash: version, seq, row of a replayed
 * file (0: of none), stream with its length, body: a sealed message. Where the stream is empty, the
 * description of a boot, whose first number is the record's seq.
 */
#ifndef CORE_DEVICE_OUTBOX_RECORD_H
#define CORE_DEVICE_OUTBOX_RECORD_H

#include "base/writer.h"
#include "core/device/outbox.h"

enum { OUTBOX_RECORD_MAX = OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX + 32 };

struct outbox_record {
    uint64_t seq, row;
    struct slice stream, body;
};

void outbox_record_encode(struct writer *w, const struct outbox_record *record);

/* Slices in *out borrow from `bytes`. False: not a record of ours. */
MUST_USE bool outbox_record_decode(struct slice bytes, struct outbox_record *out);

#endif
