#include "io/journal/writer.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

/* Zeroes laid ahead for each byte written, so that the next segment is ready long before it is
 * needed. */
enum { AHEAD_RATIO = 2, AHEAD_MIN = 65536, AHEAD_SYNC = 4 << 20 };

enum bus_result journal_break(struct bus_writer *bus, const char *what, enum port_result result)
{
    if (!bus->is_broken) {
        bus->is_broken = true;
        journal_say(&bus->why, "%s in %s: %s", what, bus->dir, journal_port_word(result));
    }
    return BUS_BROKEN;
}

enum bus_result journal_mark(struct bus_writer *bus)
{
    uint8_t bytes[JOURNAL_HEADER_LEN];
    journal_header_encode("HFP1", bus->salt, bus->durable, bytes);
    enum port_result result = port_file_write(bus->mark, 0, slice_of(bytes, sizeof bytes));
    return result == PORT_OK ? BUS_OK : journal_break(bus, "cannot write the mark", result);
}

bool journal_next_is_ready(const struct bus_writer *bus)
{
    return bus->next != NULL && bus->next_filled == bus->limits.segment_bytes;
}

static enum bus_result make_next(struct bus_writer *bus)
{
    if (bus->bytes_on_disk + bus->limits.segment_bytes > bus->limits.budget_bytes) {
        return BUS_FULL;
    }
    struct journal_path path = journal_path_of(bus->dir, "next");
    unsigned flags = PORT_READ | PORT_WRITE | PORT_CREATE;
    enum port_result result = port_file_open(bus->port, path.text, flags, &bus->next);
    if (result == PORT_NO_SPACE) {
        return BUS_FULL;
    }
    if (result != PORT_OK) {
        return journal_break(bus, "cannot make the next segment", result);
    }
    bus->bytes_on_disk += bus->limits.segment_bytes;
    bus->next_filled = 0;
    bus->next_synced = 0;
    return BUS_OK;
}

enum bus_result journal_prepare_next(struct bus_writer *bus, uint64_t bytes)
{
    if (bus->next == NULL) {
        enum bus_result made = make_next(bus);
        if (made != BUS_OK) {
            return made;
        }
    }
    uint64_t left = bus->limits.segment_bytes - bus->next_filled;
    uint64_t to = bus->next_filled + (bytes < left ? bytes : left);
    enum port_result result = journal_write_zeroes(bus->next, bus->next_filled, to);
    if (result == PORT_NO_SPACE) {
        return BUS_FULL;
    }
    if (result != PORT_OK) {
        return journal_break(bus, "cannot lay out the next segment", result);
    }
    bus->next_filled = to;
    return BUS_OK;
}

enum bus_result journal_roll(struct bus_writer *bus, bus_position start)
{
    INVARIANT(journal_next_is_ready(bus));
    INVARIANT(start == bus->durable);
    struct journal_segment next = {.file = bus->next,
                                   .path = journal_segment_path(bus->dir, start),
                                   .size = bus->limits.segment_bytes,
                                   .start = start};
    uint8_t header[JOURNAL_HEADER_LEN];
    journal_header_encode("HFJ1", bus->salt, start, header);
    enum port_result result = port_file_write(next.file, 0, slice_of(header, sizeof header));
    if (result == PORT_OK) {
        result = port_rename(bus->port, journal_path_of(bus->dir, "next").text, next.path.text);
    }
    if (result == PORT_OK) {
        result = port_dir_sync(bus->port, bus->dir);
    }
    if (result != PORT_OK) {
        return journal_break(bus, "cannot begin a segment", result);
    }
    if (bus->segment.file != NULL) {
        port_file_close(bus->segment.file);
        if (bus->oldest == bus->segment.start) {
            bus->oldest_end = start;
        }
    } else {
        bus->oldest = start;
        bus->oldest_end = start;
    }
    bus->segment = next;
    bus->next = NULL;
    return BUS_OK;
}

const char *bus_why(const struct bus_writer *bus)
{
    return bus->why.text;
}

bus_position bus_durable(const struct bus_writer *bus)
{
    return bus->durable;
}

bus_position bus_staged(const struct bus_writer *bus)
{
    return bus->staged;
}

uint64_t bus_bytes_on_disk(const struct bus_writer *bus)
{
    return bus->bytes_on_disk;
}

/* Does the last segment, or the one after it where the batch reaches there, have room for `need`
 * more? */
static enum bus_result make_room(struct bus_writer *bus, size_t need)
{
    if (bus->split != JOURNAL_NO_SPLIT) {
        INVARIANT(JOURNAL_HEADER_LEN + bus->batch_len - bus->split + need
                  <= bus->limits.segment_bytes);
        return BUS_OK;
    }
    if (JOURNAL_HEADER_LEN + (bus->staged - bus->segment.start) + need <= bus->segment.size) {
        return BUS_OK;
    }
    if (!journal_next_is_ready(bus)) {
        enum bus_result prepared = journal_prepare_next(bus, bus->limits.segment_bytes);
        if (prepared != BUS_OK) {
            return prepared;
        }
    }
    bus->split = bus->batch_len;
    bus->batch_start = bus->staged;
    return BUS_OK;
}

enum bus_result bus_publish(struct bus_writer *bus, struct slice record, bus_position *position)
{
    if (bus->is_broken) {
        return BUS_BROKEN;
    }
    if (record.len > bus->limits.record_max) {
        return BUS_TOO_LONG;
    }
    size_t need = JOURNAL_RECORD_LEN + record.len;
    if (need > bus->limits.batch_max - bus->batch_len) {
        return BUS_FULL;
    }
    enum bus_result room = make_room(bus, need);
    if (room != BUS_OK) {
        return room;
    }
    if (bus->batch_len == 0) {
        bus->batch_start = bus->staged;
    }
    uint8_t *at = bus->batch + bus->batch_len;
    uint32_t back = (uint32_t)(bus->staged - bus->batch_start);
    journal_record_encode(journal_record_seed(bus->salt, bus->staged), back, record, at);
    if (record.len > 0) {
        memcpy(at + JOURNAL_RECORD_LEN, record.at, record.len);
    }
    bus->batch_len += need;
    bus->staged += need;
    *position = bus->staged;
    return BUS_OK;
}

/* Writes the part of the batch that belongs to the last segment; the rest waits for the next flush.
 */
static enum bus_result write_part(struct bus_writer *bus, size_t *part)
{
    *part = bus->split == JOURNAL_NO_SPLIT ? bus->batch_len : bus->split;
    uint64_t at = JOURNAL_HEADER_LEN + (bus->written - bus->segment.start);
    INVARIANT(at + *part <= bus->segment.size);
    enum port_result result = port_file_write(bus->segment.file, at, slice_of(bus->batch, *part));
    if (result == PORT_NO_SPACE) {
        return BUS_FULL;
    }
    if (result != PORT_OK) {
        return journal_break(bus, "cannot write records", result);
    }
    bus->written += *part;
    bus->batch_len -= *part;
    memmove(bus->batch, bus->batch + *part, bus->batch_len);
    if (bus->split != JOURNAL_NO_SPLIT) {
        bus->split = 0;
    }
    return BUS_OK;
}

static enum bus_result begin_sync(struct bus_writer *bus, struct port_file *file)
{
    enum port_result result = port_file_sync_begin(file, bus);
    if (result != PORT_OK) {
        return journal_break(bus, "cannot sync", result);
    }
    bus->syncs++;
    return BUS_OK;
}

/*
 * Lays zeroes ahead, in step with what is written, and has them synced together with a batch from
 * time to time: the first batch of the next segment shall not have to wait for all of them. No room
 * is no failure here; the record that cannot do without will say so.
 */
static enum bus_result lay_ahead(struct bus_writer *bus, size_t part)
{
    if (!journal_next_is_ready(bus)
        && journal_prepare_next(bus, AHEAD_MIN + AHEAD_RATIO * (uint64_t)part) == BUS_BROKEN) {
        return BUS_BROKEN;
    }
    if (bus->next == NULL || bus->next_synced == bus->next_filled
        || (bus->next_filled - bus->next_synced < AHEAD_SYNC && !journal_next_is_ready(bus))) {
        return BUS_OK;
    }
    bus->next_synced = bus->next_filled;
    return begin_sync(bus, bus->next);
}

enum bus_result bus_flush(struct bus_writer *bus)
{
    if (bus->is_broken) {
        return BUS_BROKEN;
    }
    if (bus->syncs > 0 || bus->batch_len == 0) {
        return BUS_OK;
    }
    if (bus->split == 0) {
        if (journal_roll(bus, bus->written) != BUS_OK) {
            return BUS_BROKEN;
        }
        bus->split = JOURNAL_NO_SPLIT;
    }
    size_t part = 0;
    enum bus_result wrote = write_part(bus, &part);
    if (wrote != BUS_OK) {
        return wrote;
    }
    if (begin_sync(bus, bus->segment.file) != BUS_OK) {
        return BUS_BROKEN;
    }
    return lay_ahead(bus, part);
}

enum bus_result bus_synced(struct bus_writer *bus, enum port_result result)
{
    INVARIANT(bus->syncs > 0);
    bus->syncs--;
    if (result != PORT_OK) {
        (void)journal_break(bus, "cannot sync", result);
    }
    if (bus->is_broken) {
        return BUS_BROKEN;
    }
    if (bus->syncs > 0) {
        return BUS_OK;
    }
    INVARIANT(bus->durable <= bus->written);
    bus->durable = bus->written;
    return journal_mark(bus);
}

bus_position bus_acked(struct bus_writer *bus)
{
    struct journal_survey survey;
    return journal_survey(bus, false, &survey) == BUS_OK && survey.has_ack ? survey.acked : 0;
}

/* One whole segment less. Its name is gone for good before the next one's is touched: no hole can
 * be left. */
static enum bus_result drop_oldest(struct bus_writer *bus)
{
    struct journal_path path = journal_segment_path(bus->dir, bus->oldest);
    struct port_file *file = NULL;
    uint64_t size = 0;
    enum port_result result = port_file_open(bus->port, path.text, PORT_READ, &file);
    if (result == PORT_OK) {
        result = port_file_size(file, &size);
        port_file_close(file);
    }
    if (result == PORT_OK) {
        result = port_unlink(bus->port, path.text);
    }
    if (result == PORT_OK) {
        result = port_dir_sync(bus->port, bus->dir);
    }
    if (result != PORT_OK) {
        return journal_break(bus, "cannot remove a segment", result);
    }
    bus->bytes_on_disk -= size;
    bus->oldest = bus->oldest_end;
    return BUS_OK;
}

enum bus_result bus_retain_from(struct bus_writer *bus, bus_position position)
{
    if (bus->is_broken) {
        return BUS_BROKEN;
    }
    while (bus->oldest < bus->segment.start && bus->oldest_end <= position) {
        struct journal_survey survey;
        enum bus_result result = drop_oldest(bus);
        if (result == BUS_OK) {
            result = journal_survey(bus, true, &survey);
        }
        if (result != BUS_OK) {
            return result;
        }
        bus->oldest_end = survey.second;
    }
    return BUS_OK;
}
