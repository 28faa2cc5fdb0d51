#include "core/device/sequence.h"

#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/reader.h"
#include "base/writer.h"

#include <string.h>

/* One copy: magic, version, counter, boot, next, row, done, trust, zeroes, CRC-32C of all before
 * it. What is added takes the place of zeroes: an older record says zero there, which means none.
 */
static const char magic[] = "hfseq";
enum { VERSION = 1, CRC_AT = SEQUENCE_COPY_LEN - 4 };

static void record_encode(const struct sequence_record *record, uint8_t out[SEQUENCE_COPY_LEN])
{
    memset(out, 0, SEQUENCE_COPY_LEN);
    struct writer w = writer_over(out, CRC_AT);
    write_text(&w, magic);
    write_u8(&w, VERSION);
    write_u64(&w, record->counter);
    write_u32(&w, record->boot);
    write_u64(&w, record->next);
    write_u64(&w, record->row);
    write_u64(&w, record->done);
    write_u64(&w, record->trust);
    INVARIANT(writer_ok(&w));
    struct writer crc = writer_over(out + CRC_AT, SEQUENCE_COPY_LEN - CRC_AT);
    write_u32(&crc, crc32c(0, slice_of(out, CRC_AT)));
}

static bool record_decode(struct slice copy, struct sequence_record *out)
{
    struct reader r = reader_over(copy);
    struct slice start = read_bytes(&r, sizeof magic - 1);
    uint8_t version = read_u8(&r);
    struct sequence_record record = {0};
    record.counter = read_u64(&r);
    record.boot = read_u32(&r);
    record.next = read_u64(&r);
    record.row = read_u64(&r);
    record.done = read_u64(&r);
    record.trust = read_u64(&r);
    if (!reader_ok(&r) || copy.len != SEQUENCE_COPY_LEN || !slice_is_text(start, magic)
        || version != VERSION || record.boot == 0 || record.next == 0) {
        return false;
    }
    struct reader crc = reader_over(slice_after(copy, CRC_AT));
    if (read_u32(&crc) != crc32c(0, slice_of(copy.at, CRC_AT))) {
        return false;
    }
    *out = record;
    return true;
}

static bool is_blank(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.at[i] != 0) {
            return false;
        }
    }
    return true;
}

static struct slice copy_of(struct slice file, size_t index)
{
    struct slice from = slice_after(file, index * SEQUENCE_COPY_STRIDE);
    from.len = from.len < SEQUENCE_COPY_LEN ? from.len : SEQUENCE_COPY_LEN;
    return from;
}

enum sequence_load sequence_load(struct slice file, struct sequence_record *out)
{
    struct sequence_record records[2];
    bool is_valid[2];
    bool is_empty[2];
    for (size_t i = 0; i < 2; i++) {
        struct slice copy = copy_of(file, i);
        is_valid[i] = record_decode(copy, &records[i]);
        is_empty[i] = is_blank(copy);
    }
    if (is_valid[0] && is_valid[1]) {
        *out = records[records[1].counter > records[0].counter];
        return SEQUENCE_FOUND;
    }
    if (!is_valid[0] && !is_valid[1]) {
        return file.len == 0 ? SEQUENCE_FRESH : SEQUENCE_DAMAGED;
    }
    size_t good = is_valid[1];
    *out = records[good];
    if (is_empty[1 - good]) {
        return SEQUENCE_FOUND;
    }
    out->boot += out->boot < UINT32_MAX;
    out->next += SEQUENCE_BLOCK;
    out->counter += 2; /* beyond the spoilt one's, and of the same copy as the spoilt one */
    return SEQUENCE_MENDED;
}

void sequence_again(const struct sequence_record *last, struct sequence_store *out)
{
    out->record = *last;
    out->offset = (last->counter - 1) % 2 * SEQUENCE_COPY_STRIDE;
    record_encode(last, out->bytes);
}

static void put(struct sequence *s, uint64_t next, struct sequence_store *out)
{
    s->counter++;
    struct sequence_record record = {.counter = s->counter,
                                     .boot = s->boot,
                                     .next = next,
                                     .row = s->row,
                                     .done = s->done,
                                     .trust = s->trust};
    sequence_again(&record, out);
}

void sequence_start(struct sequence *s,
                    const struct sequence_record *last,
                    struct sequence_store *out)
{
    *s = (struct sequence){.boot = 1, .first = 1};
    if (last != NULL) {
        INVARIANT(last->boot < UINT32_MAX);
        s->boot = last->boot + 1;
        s->first = last->next;
        s->counter = last->counter;
        s->row = last->row;
        s->done = last->done;
        s->trust = last->trust;
    }
    INVARIANT(s->first <= UINT64_MAX - 2 * (uint64_t)SEQUENCE_BLOCK);
    s->next = s->first;
    s->reserved = s->first; /* none yet */
    s->asked = s->first + SEQUENCE_BLOCK;
    put(s, s->asked, out);
    (void)promise_holds(PROMISE_FLOOR_MONOTONE,
                        last == NULL || (s->boot > last->boot && s->asked > last->next));
    sequence_check(s);
}

void sequence_stored(struct sequence *s)
{
    (void)promise_holds(PROMISE_FLOOR_MONOTONE, s->asked >= s->reserved);
    s->reserved = s->asked;
}

bool sequence_wants(struct sequence *s, struct sequence_store *out)
{
    bool is_under_way = s->asked != s->reserved;
    if (s->stopped || is_under_way || s->reserved - s->next >= SEQUENCE_LOW
        || s->reserved > UINT64_MAX - SEQUENCE_BLOCK) {
        return false;
    }
    s->asked = s->reserved + SEQUENCE_BLOCK;
    put(s, s->asked, out);
    return true;
}

bool sequence_take(struct sequence *s, uint64_t *seq)
{
    if (s->stopped || s->next >= s->reserved) {
        return false;
    }
    *seq = s->next++;
    return true;
}

void sequence_note_row(struct sequence *s, uint64_t row)
{
    if (row > s->row) {
        s->row = row;
    }
}

void sequence_note_done(struct sequence *s, uint64_t position)
{
    if (position > s->done) {
        s->done = position;
    }
}

void sequence_note_trust(struct sequence *s, uint64_t number)
{
    if (number > s->trust) {
        s->trust = number;
    }
}

void sequence_save(struct sequence *s, struct sequence_store *out)
{
    INVARIANT(s->asked == s->reserved);
    put(s, s->reserved, out);
}

void sequence_begin_boot(struct sequence *s, struct sequence_store *out)
{
    INVARIANT(s->asked == s->reserved);
    const struct sequence_record last = {.counter = s->counter,
                                         .boot = s->boot,
                                         .next = s->next,
                                         .row = s->row,
                                         .done = s->done,
                                         .trust = s->trust};
    sequence_start(s, &last, out);
}

void sequence_stop(struct sequence *s, struct sequence_store *out)
{
    INVARIANT(s->asked == s->reserved);
    s->stopped = true;
    put(s, s->next, out);
}

void sequence_check(const struct sequence *s)
{
    INVARIANT(s->boot > 0);
    INVARIANT(s->first > 0);
    INVARIANT(s->first <= s->next);
    INVARIANT(s->next <= s->reserved);
    INVARIANT(s->reserved <= s->asked);
}
