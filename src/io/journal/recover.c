#include "io/journal/recover.h"

#include "base/crc32c.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_LEN = 65536, ZEROES_LEN = 65536 };

static const uint8_t zeroes[ZEROES_LEN];

/* A part of the file in memory. Sticky: after a failed read everything is empty. */
struct window {
    struct port_file *file;
    uint64_t at;
    size_t len;
    bool failed;
    uint8_t bytes[WINDOW_LEN];
};

static struct window *window_open(struct port_file *file, struct port_why *why)
{
    struct window *w = calloc(1, sizeof *w);
    if (w == NULL) {
        journal_say(why, "no memory to read the journal");
        return NULL;
    }
    w->file = file;
    return w;
}

/* Up to `want` bytes at `at`, fewer only at the end of the file; want <= WINDOW_LEN. */
static struct slice look(struct window *w, uint64_t at, size_t want)
{
    if (at < w->at || at + want > w->at + w->len) {
        size_t got = 0;
        if (w->failed || port_file_read(w->file, at, w->bytes, WINDOW_LEN, &got) != PORT_OK) {
            w->failed = true;
            got = 0;
        }
        w->at = at;
        w->len = got;
    }
    size_t have = w->len - (size_t)(at - w->at);
    return slice_of(w->bytes + (at - w->at), have < want ? have : want);
}

/* Is the record at `position` whole? */
static bool is_whole(struct window *w,
                     const struct journal_segment *segment,
                     uint64_t salt,
                     bus_position position,
                     struct journal_record *record)
{
    uint64_t at = JOURNAL_HEADER_LEN + (position - segment->start);
    uint32_t seed = journal_record_seed(salt, position);
    struct slice head = look(w, at, JOURNAL_RECORD_LEN);
    if (head.len < JOURNAL_RECORD_LEN || !journal_record_decode(head.at, seed, record)
        || record->back > position - segment->start
        || record->len > segment->size - at - JOURNAL_RECORD_LEN) {
        return false;
    }
    uint32_t crc = journal_record_crc(seed, record);
    at += JOURNAL_RECORD_LEN;
    for (size_t left = record->len; left > 0;) {
        struct slice part = look(w, at, left < WINDOW_LEN ? left : WINDOW_LEN);
        if (part.len == 0) {
            return false;
        }
        crc = crc32c(crc, part);
        at += part.len;
        left -= part.len;
    }
    return crc == record->crc;
}

/* The first place at or behind `at` where a record might begin, or the end of the file. */
static uint64_t find_kind(struct window *w, uint64_t at, uint64_t size)
{
    while (at < size) {
        bool is_here = at >= w->at && at < w->at + w->len;
        size_t len = is_here ? (size_t)(w->at + w->len - at) : WINDOW_LEN;
        struct slice part = look(w, at, len);
        if (part.len == 0) {
            break;
        }
        const uint8_t *found = memchr(part.at, JOURNAL_RECORD_KIND, part.len);
        if (found != NULL) {
            return at + (uint64_t)(found - part.at);
        }
        at += part.len;
    }
    return size;
}

/* An intact record whose batch begins behind `end`: its position, or 0. */
static bus_position find_later_batch(struct window *w,
                                     const struct journal_segment *segment,
                                     uint64_t salt,
                                     bus_position end)
{
    uint64_t at = JOURNAL_HEADER_LEN + (end - segment->start);
    while ((at = find_kind(w, at + 1, segment->size)) < segment->size) {
        bus_position position = segment->start + (at - JOURNAL_HEADER_LEN);
        struct journal_record record;
        struct slice head = look(w, at, JOURNAL_RECORD_LEN);
        uint32_t seed = journal_record_seed(salt, position);
        if (head.len == JOURNAL_RECORD_LEN && journal_record_decode(head.at, seed, &record)
            && record.back < position - end && is_whole(w, segment, salt, position, &record)) {
            return position;
        }
    }
    return 0;
}

static enum bus_result damaged(const struct journal_segment *segment,
                               bus_position at,
                               struct port_why *why,
                               const char *proof,
                               bus_position proof_at)
{
    journal_say(why, "the record at position %llu is damaged (%s, byte %llu), and %s %llu",
                (unsigned long long)at, strrchr(segment->path.text, '/') + 1,
                (unsigned long long)at - segment->start + JOURNAL_HEADER_LEN, proof,
                (unsigned long long)proof_at);
    return BUS_BROKEN;
}

static bool has_header(struct window *w, const struct journal_segment *segment, uint64_t salt)
{
    bus_position start = 0;
    return journal_header_decode("HFJ1", salt, look(w, 0, JOURNAL_HEADER_LEN), &start)
           && start == segment->start;
}

enum bus_result journal_find_end(const struct journal_segment *segment,
                                 uint64_t salt,
                                 bus_position mark,
                                 bus_position *end,
                                 struct port_why *why)
{
    struct window *w = window_open(segment->file, why);
    if (w == NULL) {
        return BUS_BROKEN;
    }
    bus_position position = segment->start;
    bus_position later = 0;
    struct journal_record record;
    if (has_header(w, segment, salt)) {
        while (is_whole(w, segment, salt, position, &record)) {
            position += JOURNAL_RECORD_LEN + record.len;
        }
    }
    if (position >= mark) {
        later = find_later_batch(w, segment, salt, position);
    }
    bool failed = w->failed;
    free(w);
    if (failed) {
        journal_say(why, "cannot read %s", segment->path.text);
        return BUS_BROKEN;
    }
    if (position < mark) {
        return damaged(segment, position, why, "the mark says that all was durable below", mark);
    }
    if (later != 0) {
        return damaged(segment, position, why, "a batch written later is whole at", later);
    }
    *end = position;
    return BUS_OK;
}

enum port_result journal_write_zeroes(struct port_file *file, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t len = to - from < ZEROES_LEN ? (size_t)(to - from) : ZEROES_LEN;
        enum port_result result = port_file_write(file, from, slice_of(zeroes, len));
        if (result != PORT_OK) {
            return result;
        }
        from += len;
    }
    return PORT_OK;
}

/* Copies what lies between over itself. */
static enum port_result write_again(struct window *w, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct slice part =
            look(w, from, to - from < WINDOW_LEN ? (size_t)(to - from) : WINDOW_LEN);
        if (part.len == 0) {
            return PORT_FAILED;
        }
        enum port_result result = port_file_write(w->file, from, part);
        if (result != PORT_OK) {
            return result;
        }
        from += part.len;
    }
    return PORT_OK;
}

/* Zeroes what is not zero yet, block by block, so that a clean tail costs a read and no write. */
static enum port_result clean_tail(struct window *w, uint64_t from, uint64_t size)
{
    while (from < size) {
        struct slice part =
            look(w, from, size - from < WINDOW_LEN ? (size_t)(size - from) : WINDOW_LEN);
        if (part.len == 0) {
            return PORT_FAILED;
        }
        if (memcmp(part.at, zeroes, part.len) != 0) {
            enum port_result result = journal_write_zeroes(w->file, from, from + part.len);
            if (result != PORT_OK) {
                return result;
            }
        }
        from += part.len;
    }
    return PORT_OK;
}

static enum port_result write_header(const struct journal_segment *segment, uint64_t salt)
{
    uint8_t header[JOURNAL_HEADER_LEN];
    journal_header_encode("HFJ1", salt, segment->start, header);
    return port_file_write(segment->file, 0, slice_of(header, sizeof header));
}

static enum port_result repair(struct journal_segment *segment,
                               struct window *w,
                               uint64_t salt,
                               bus_position mark,
                               bus_position end,
                               uint64_t bytes)
{
    uint64_t tail = JOURNAL_HEADER_LEN + (end - segment->start);
    uint64_t known = JOURNAL_HEADER_LEN;
    enum port_result result = PORT_OK;
    if (segment->size < bytes) { /* first, for it may be shorter than its header */
        result = journal_write_zeroes(segment->file, segment->size, bytes);
        segment->size = bytes;
    }
    if (mark > segment->start) {
        known += mark - segment->start;
    } else if (result == PORT_OK) {
        result = write_header(segment, salt);
    }
    if (result == PORT_OK) {
        result = write_again(w, known, tail);
    }
    if (result == PORT_OK) {
        result = clean_tail(w, tail, segment->size);
    }
    return result == PORT_OK ? port_file_sync(segment->file) : result;
}

enum bus_result journal_repair(struct journal_segment *segment,
                               uint64_t salt,
                               bus_position mark,
                               bus_position end,
                               uint64_t bytes,
                               struct port_why *why)
{
    struct window *w = window_open(segment->file, why);
    if (w == NULL) {
        return BUS_BROKEN;
    }
    enum port_result result = repair(segment, w, salt, mark, end, bytes);
    free(w);
    if (result != PORT_OK) {
        journal_say(why, "cannot write %s: %s", segment->path.text, journal_port_word(result));
        return result == PORT_NO_SPACE ? BUS_FULL : BUS_BROKEN;
    }
    return BUS_OK;
}
