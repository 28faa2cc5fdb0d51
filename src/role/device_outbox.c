/*
 * From the source into the outbox. A message is sealed when it is kept, with the key of its boot,
 * which never leaves memory. With a journal it becomes durable first and is read back into the
 * window from there, after a restart as before it; without one the window is all there is.
 *
 * Before the first message of a boot stands its description: enough to say hello for it later,
 * should the gateway not have heard of it. How a record looks: core/device/outbox_record.h.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "core/device/outbox_record.h"
#include "role/device_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BOOT_LEN = 4 + MESSAGE_POINT_LEN + MESSAGE_KEY_ID_LEN,
    SEGMENT_BYTES = 256 * 1024,
    BATCH_MAX = 64 * 1024,
    BUDGET_BYTES = 64 * 1024 * 1024,
    FULL_AGAIN_MS = 100,
    SAMPLES_MAX = 64, /* taken from the source in one turn */
    WINDOW_MESSAGES = 256,
    WINDOW_BYTES = 256 * 1024
};

bool device_boot_decode(struct slice body, uint64_t first, struct device_boot *out)
{
    struct reader r = reader_over(body);
    struct device_boot boot = {.first = first};
    boot.boot = read_u32(&r);
    read_into(&r, boot.ephemeral, sizeof boot.ephemeral);
    read_into(&r, boot.ingest_key_id, sizeof boot.ingest_key_id);
    if (!reader_done(&r)) {
        return false;
    }
    *out = boot;
    return true;
}

/* ---- opening ---- */

static enum port_result journal_failed(struct port_why *why, const char *text)
{
    (void)snprintf(why->text, sizeof why->text, "the outbox: %s", text);
    return PORT_FAILED;
}

/* Reads everything not acknowledged, only to learn which rows of a file it holds. */
static enum port_result find_rows(struct device *d, const char *dir, struct port_why *why)
{
    struct bus_reader *reader;
    struct slice bytes;
    struct outbox_record record;
    bus_position next;
    if (bus_reader_open(d->port, dir, d->done, &d->reader_tag, &reader, why) != BUS_OK) {
        return PORT_FAILED;
    }
    enum bus_result result;
    while ((result = bus_next(reader, &bytes, &next)) == BUS_OK) {
        if (outbox_record_decode(bytes, &record)) {
            device_trace_call(d, SEQUENCE_CALL_NOTE_ROW, record.row);
            sequence_note_row(&d->sequence, record.row);
        }
    }
    bus_reader_close(reader);
    return result == BUS_END ? PORT_OK : journal_failed(why, "cannot be read to its end");
}

static enum port_result open_journal(struct device *d, struct port_why *why)
{
    char dir[DEVICE_PATH_MAX];
    uint64_t budget = d->config.journal_budget != 0 ? d->config.journal_budget : BUDGET_BYTES;
    struct bus_limits limits = {
        .segment_bytes = SEGMENT_BYTES,
        .budget_bytes = budget > 4 * (uint64_t)SEGMENT_BYTES ? budget : 4 * (uint64_t)SEGMENT_BYTES,
        .record_max = OUTBOX_RECORD_MAX,
        .batch_max = BATCH_MAX,
    };
    if (!device_path(d, dir, "outbox")) {
        return journal_failed(why, "its path is too long");
    }
    if (bus_writer_open(d->port, dir, &limits, &d->bus, why) != BUS_OK) {
        return PORT_FAILED;
    }
    d->done = d->sequence.done < bus_durable(d->bus) ? d->sequence.done : bus_durable(d->bus);
    enum port_result result = find_rows(d, dir, why);
    if (result != PORT_OK) {
        return result;
    }
    if (bus_reader_open(d->port, dir, d->done, &d->reader_tag, &d->reader, why) != BUS_OK) {
        return PORT_FAILED;
    }
    d->read_to = d->done;
    return PORT_OK;
}

enum port_result device_open_outbox(struct device *d, struct port_why *why)
{
    uint32_t messages =
        d->config.window_messages != 0 ? d->config.window_messages : (uint32_t)WINDOW_MESSAGES;
    uint32_t bytes = d->config.window_bytes != 0 ? d->config.window_bytes : (uint32_t)WINDOW_BYTES;
    d->entries = calloc(messages, sizeof *d->entries);
    d->outbox_bytes = malloc(bytes);
    if (d->entries == NULL || d->outbox_bytes == NULL) {
        return journal_failed(why, "no memory");
    }
    outbox_init(&d->outbox, d->entries, messages, d->outbox_bytes, bytes);
    return d->config.outbox == DEVICE_JOURNAL ? open_journal(d, why) : PORT_OK;
}

void device_close_outbox(struct device *d)
{
    if (d->reader != NULL) {
        bus_reader_close(d->reader);
    }
    if (d->bus != NULL) {
        bus_writer_close(d->bus);
    }
    free(d->entries);
    free(d->outbox_bytes);
    d->reader = NULL;
    d->bus = NULL;
    d->entries = NULL;
    d->outbox_bytes = NULL;
}

/* ---- reading back ---- */

void device_read_journal(struct device *d)
{
    while (d->reader != NULL && outbox_has_room(&d->outbox)) {
        struct slice bytes;
        struct outbox_record record;
        bus_position before = d->read_to;
        bus_position next;
        enum bus_result result = bus_next(d->reader, &bytes, &next);
        if (result == BUS_END) {
            return;
        }
        if (result != BUS_OK) {
            device_fail(d, "the outbox", bus_reader_why(d->reader));
            return;
        }
        d->read_to = next;
        if (!outbox_record_decode(bytes, &record)) {
            device_say(d, "a record of the outbox is not ours and is left out");
            continue;
        }
        device_trace_call(d, SEQUENCE_CALL_NOTE_ROW, record.row);
        sequence_note_row(&d->sequence, record.row);
        bool kept = outbox_put(&d->outbox, record.seq, before, record.stream, record.body);
        INVARIANT(kept);
    }
}

/* ---- acknowledged ---- */

void device_note_acked(struct device *d)
{
    if (d->reader == NULL) {
        return;
    }
    d->done = outbox_done_position(&d->outbox, d->read_to);
    device_trace_call(d, SEQUENCE_CALL_NOTE_DONE, d->done);
    sequence_note_done(&d->sequence, d->done);
    if (++d->acks_unsaved >= DEVICE_DONE_EVERY) {
        d->acks_unsaved = 0;
        if (device_save_sequence(d) && bus_retain_from(d->bus, d->done) == BUS_BROKEN) {
            device_fail(d, "the outbox", "old segments cannot be removed");
        }
    }
}

/* ---- from the source ---- */

enum keep_result { KEPT, NO_ROOM, BROKEN };

static enum keep_result keep_in_journal(struct device *d, const struct outbox_record *record)
{
    static uint8_t bytes[OUTBOX_RECORD_MAX]; /* one thread */
    struct writer w = writer_over(bytes, sizeof bytes);
    bus_position position;
    outbox_record_encode(&w, record);
    INVARIANT(writer_ok(&w));
    enum bus_result result = bus_publish(d->bus, writer_slice(&w), &position);
    if (result == BUS_FULL) {
        d->full_until_ms = port_now_ms(d->port) + FULL_AGAIN_MS;
        return NO_ROOM;
    }
    return result == BUS_OK ? KEPT : BROKEN;
}

static enum keep_result keep(struct device *d, const struct outbox_record *record)
{
    if (d->bus != NULL) {
        return keep_in_journal(d, record);
    }
    return outbox_put(&d->outbox, record->seq, 0, record->stream, record->body) ? KEPT : NO_ROOM;
}

static enum keep_result keep_boot(struct device *d)
{
    uint8_t body[BOOT_LEN];
    struct writer w = writer_over(body, sizeof body);
    write_u32(&w, d->sequence.boot);
    write_bytes(&w, d->ephemeral_public.bytes, MESSAGE_POINT_LEN);
    write_bytes(&w, d->ingest_key_id, sizeof d->ingest_key_id);
    enum keep_result result =
        keep(d, &(struct outbox_record){.seq = d->sequence.first, .body = writer_slice(&w)});
    d->is_boot_recorded = result == KEPT;
    return result;
}

static enum keep_result keep_sample(struct device *d, const struct source_sample *sample)
{
    static uint8_t sealed[OUTBOX_MESSAGE_MAX]; /* one thread */
    uint8_t topic[MESSAGE_TOPIC_MAX];
    uint64_t seq = d->sequence.next;
    struct writer tw = writer_over(topic, sizeof topic);
    struct writer w = writer_over(sealed, sizeof sealed);
    struct slice stream = slice_text(d->stream);
    enum keep_result result = d->is_boot_recorded ? KEPT : keep_boot(d);
    if (result != KEPT || seq >= d->sequence.reserved) {
        return result == KEPT ? NO_ROOM : result;
    }
    message_topic_write(
        &tw, &(struct message_topic){.kind = TOPIC_TELEMETRY, .device = d->id, .stream = stream});
    seal_telemetry(&w, &d->mac_key, writer_slice(&tw), d->sequence.boot, seq, sample->pack);
    INVARIANT(writer_ok(&w));
    result =
        keep(d, &(struct outbox_record){
                    .seq = seq, .row = sample->row, .stream = stream, .body = writer_slice(&w)});
    if (result == KEPT) {
        uint64_t taken;
        device_trace_call(d, SEQUENCE_CALL_TAKE, 0);
        bool has_taken = sequence_take(&d->sequence, &taken);
        INVARIANT(has_taken);
        INVARIANT(taken == seq);
        d->queued++;
    }
    return result;
}

static void reserve(struct device *d)
{
    struct sequence_store store;
    device_trace_call(d, SEQUENCE_CALL_WANTS, 0);
    if (sequence_wants(&d->sequence, &store)) {
        if (!device_store_sequence(d, &store)) {
            device_fail(d, "the file sequence", "cannot be written");
            return;
        }
        device_trace_call(d, SEQUENCE_CALL_STORED, 0);
        sequence_stored(&d->sequence);
    }
}

void device_sample(struct device *d)
{
    bool has_rows = d->source_has_rows;
    if (!d->has_trust) {
        return; /* nothing can be sealed before the ingest key is known */
    }
    if (!d->has_sample && port_now_ms(d->port) < d->source_due_ms) {
        return; /* as in nearly every turn: not even a number is wanted */
    }
    for (int i = 0; i < SAMPLES_MAX && !d->source_ended && !d->is_over; i++) {
        reserve(d);
        if (d->is_over || port_now_ms(d->port) < d->full_until_ms) {
            return;
        }
        if (has_rows && d->bus == NULL && !outbox_has_room(&d->outbox)) {
            return;
        }
        if (!d->has_sample) {
            enum source_state state = source_next(d->source, &d->sample);
            if (state == SOURCE_WAITS) {
                d->source_due_ms = source_due_ms(d->source);
                return;
            }
            if (state != SOURCE_GAVE) {
                d->source_ended = true;
                device_say(d, "the source %s",
                           state == SOURCE_ENDED ? "has ended" : source_why(d->source));
                return;
            }
            d->has_sample = true;
        }
        enum keep_result result = keep_sample(d, &d->sample);
        if (result == BROKEN) {
            device_fail(d, "the outbox", "cannot be written");
            return;
        }
        if (result == NO_ROOM && has_rows) {
            return; /* the same sample again, later */
        }
        d->has_sample = false;
        if (result == KEPT) {
            source_taken(d->source);
        } else {
            source_missed(d->source);
        }
    }
}

bool device_keep(struct device *d, struct slice pack)
{
    if (!d->has_trust || pack.len > SOURCE_PACK_MAX) {
        return false;
    }
    reserve(d);
    if (d->is_over || (d->bus == NULL && !outbox_has_room(&d->outbox))) {
        return false;
    }
    enum keep_result result = keep_sample(d, &(struct source_sample){.pack = pack});
    if (result == BROKEN) {
        device_fail(d, "the outbox", "cannot be written");
    }
    return result == KEPT;
}

/* ---- the journal's events ---- */

void device_flush(struct device *d)
{
    if (d->bus != NULL && !d->is_over && bus_staged(d->bus) > bus_durable(d->bus)) {
        enum bus_result result = bus_flush(d->bus);
        if (result != BUS_OK && result != BUS_FULL) {
            device_fail(d, "the outbox", "cannot be written");
        }
    }
}

bool device_bus_event(struct device *d, const struct port_event *ev)
{
    if (ev->user == &d->reader_tag) {
        return true;
    }
    if (d->bus == NULL || ev->user != d->bus || ev->kind != PORT_SYNCED) {
        return false;
    }
    if (bus_synced(d->bus, ev->synced.result) != BUS_OK) {
        device_fail(d, "the outbox", "a sync failed");
    }
    return true;
}
