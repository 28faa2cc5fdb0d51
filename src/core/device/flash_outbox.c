#include "core/device/flash_outbox.h"

#include "base/invariant.h"

void flash_outbox_init(struct flash_outbox *o,
                       const struct flash_log_limits *limits,
                       struct flash_block *blocks,
                       uint8_t *buffer,
                       uint8_t *record,
                       size_t record_cap,
                       struct outbox *window,
                       uint32_t start)
{
    INVARIANT(limits->kind == FLASH_OUTBOX_KIND && !limits->replaces);
    INVARIANT(outbox_is_empty(window));
    *o = (struct flash_outbox){.window = window, .record = record, .record_cap = record_cap};
    flash_log_init(&o->log, limits, blocks, buffer, start);
}

bool flash_outbox_is_read(const struct flash_outbox *o)
{
    return o->log.phase == FLASH_RESTS && o->read_to >= o->log.durable;
}

bool flash_outbox_wants(const struct flash_outbox *o, struct flash_order *out)
{
    uint16_t block;
    if (flash_log_wants(&o->log, out)) {
        return true;
    }
    if (flash_outbox_is_read(o) || !outbox_has_room(o->window)
        || !flash_log_find(&o->log, o->read_to, &block)) {
        return false;
    }
    *out = (struct flash_order){.kind = FLASH_READ, .block = block, .to = o->log.buffer};
    return true;
}

/* Into the window, as far as it has room, what the buffer holds of this block. */
static void read_block(struct flash_outbox *o, uint16_t block)
{
    struct slice bytes = slice_of(o->log.buffer, o->log.limits.block_len);
    struct outbox_record record;
    uint64_t position;
    struct slice body;
    while (outbox_has_room(o->window)) {
        if (!flash_log_read(&o->log, block, bytes, o->read_to, &position, &body)) {
            o->rotten += o->log.blocks[block].end - o->read_to;
            o->read_to = o->log.blocks[block].end;
            return;
        }
        o->rotten += position - o->read_to;
        o->read_to = position + 1;
        if (outbox_record_decode(body, &record) && record.seq >= o->last_seq
            && outbox_put(o->window, record.seq, position, record.stream, record.body)) {
            o->last_seq = record.seq;
        } else {
            o->rotten++;
        }
    }
}

void flash_outbox_did(struct flash_outbox *o)
{
    struct flash_order order;
    uint16_t block;
    if (flash_log_wants(&o->log, &order)) {
        flash_log_did(&o->log);
        o->read_to = o->read_to < o->log.done ? o->log.done : o->read_to;
        return;
    }
    bool was_found = flash_log_find(&o->log, o->read_to, &block);
    INVARIANT(was_found);
    read_block(o, block);
    flash_log_done_to(&o->log, outbox_done_position(o->window, o->read_to)); /* past what rotted */
}

enum flash_log_result flash_outbox_keep(struct flash_outbox *o, const struct outbox_record *record)
{
    uint64_t position;
    struct writer w = writer_over(o->record, o->record_cap);
    if (record->body.len == 0 || record->body.len > OUTBOX_MESSAGE_MAX
        || record->stream.len > OUTBOX_STREAM_MAX) {
        return FLASH_LOG_TOO_LONG;
    }
    outbox_record_encode(&w, record);
    if (!writer_ok(&w)) {
        return FLASH_LOG_TOO_LONG;
    }
    enum flash_log_result result = flash_log_append(&o->log, writer_slice(&w), &position);
    if (result == FLASH_LOG_FULL && flash_log_save(&o->log)) {
        o->unsaved = 0;
    }
    return result;
}

void flash_outbox_acked(struct flash_outbox *o)
{
    flash_log_done_to(&o->log, outbox_done_position(o->window, o->read_to));
    if (++o->unsaved >= FLASH_OUTBOX_SAVE_EVERY) {
        flash_outbox_stop(o);
    }
}

void flash_outbox_stop(struct flash_outbox *o)
{
    if (o->log.phase == FLASH_RESTS && flash_log_save(&o->log)) {
        o->unsaved = 0;
    }
}
