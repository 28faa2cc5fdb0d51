/*
 * Reading a journal that another process writes. Nothing beyond the mark is ever looked at, so that
 * what is read ahead stays true; what lies below it must be whole, and a reader that finds
 * otherwise says so and stays where it is.
 */
#include "base/crc32c.h"
#include "base/invariant.h"
#include "io/journal/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_AHEAD = 262144 };

struct bus_reader {
    struct port *port;
    char dir[JOURNAL_DIR_MAX];
    uint64_t salt;
    struct port_file *mark;
    struct port_watch *watch;
    struct port_file *segment;
    bus_position start; /* of the segment */
    uint64_t size;
    bus_position cursor;
    bus_position durable; /* the newest that the mark said */
    uint8_t *bytes;       /* of the segment, from file offset `at` */
    size_t cap;
    uint64_t at;
    size_t len;
    bool is_broken;
    struct port_why why;
};

static enum bus_result broken(struct bus_reader *bus, const char *what, enum port_result result)
{
    bus->is_broken = true;
    journal_say(&bus->why, "%s at position %llu in %s: %s", what, (unsigned long long)bus->cursor,
                bus->dir, journal_port_word(result));
    return BUS_BROKEN;
}

const char *bus_reader_why(const struct bus_reader *bus)
{
    return bus->why.text;
}

/* A mark that is just being written may be read in halves; it then counts as not changed yet. */
static void look_at_mark(struct bus_reader *bus)
{
    uint8_t bytes[JOURNAL_HEADER_LEN];
    size_t got = 0;
    bus_position durable = 0;
    if (port_file_read(bus->mark, 0, bytes, sizeof bytes, &got) == PORT_OK
        && journal_header_decode("HFP1", bus->salt, slice_of(bytes, got), &durable)
        && durable > bus->durable) {
        bus->durable = durable;
    }
}

struct search {
    bus_position wanted, found, oldest;
    bool has_found, has_any;
};

static void search_name(void *context, const char *name)
{
    struct search *s = context;
    bus_position start = 0;
    if (!journal_segment_start(name, &start)) {
        return;
    }
    if (!s->has_any) {
        s->oldest = start;
        s->has_any = true;
    }
    if (start <= s->wanted) {
        s->found = start;
        s->has_found = true;
    }
}

static enum bus_result open_segment(struct bus_reader *bus, bus_position start)
{
    struct journal_path path = journal_segment_path(bus->dir, start);
    struct port_file *file = NULL;
    enum port_result result = port_file_open(bus->port, path.text, PORT_READ, &file);
    if (result == PORT_NOT_FOUND) {
        return BUS_GONE;
    }
    uint64_t size = 0;
    if (result == PORT_OK) {
        result = port_file_size(file, &size);
    }
    if (result != PORT_OK) {
        if (file != NULL) {
            port_file_close(file);
        }
        return broken(bus, "cannot open the segment", result);
    }
    if (bus->segment != NULL) {
        port_file_close(bus->segment);
    }
    bus->segment = file;
    bus->start = start;
    bus->size = size;
    bus->len = 0;
    return BUS_OK;
}

/* Opens the segment that holds the cursor. BUS_END: there is none yet; BUS_GONE: there is none any
 * more. */
static enum bus_result find_segment(struct bus_reader *bus, bool from_oldest)
{
    for (;;) {
        struct search s = {.wanted = bus->cursor};
        enum port_result listed = port_dir_list(bus->port, bus->dir, search_name, &s);
        if (listed != PORT_OK) {
            return broken(bus, "cannot list the segments", listed);
        }
        if (!s.has_any) {
            return BUS_END;
        }
        if (from_oldest) {
            bus->cursor = s.oldest;
            s.found = s.oldest;
        } else if (!s.has_found) {
            return BUS_GONE;
        }
        enum bus_result opened = open_segment(bus, s.found);
        if (opened != BUS_GONE) {
            return opened;
        }
        /* Retention took it between the two calls: look again. */
    }
}

/* Room for `want` bytes from file offset `at`, and that many in it, or fewer where fewer are
 * durable. */
static enum bus_result fetch(struct bus_reader *bus, uint64_t at, size_t want, struct slice *out)
{
    uint64_t durable_to = JOURNAL_HEADER_LEN + (bus->durable - bus->start);
    if (at < bus->at || at + want > bus->at + bus->len) {
        size_t cap = want > READ_AHEAD ? want : READ_AHEAD;
        if (cap > bus->cap) {
            uint8_t *bytes = realloc(bus->bytes, cap);
            if (bytes == NULL) {
                return broken(bus, "no memory for the record", PORT_FAILED);
            }
            bus->bytes = bytes;
            bus->cap = cap;
        }
        uint64_t left = durable_to > at ? durable_to - at : 0;
        size_t got = 0;
        bus->len = 0;
        enum port_result result = port_file_read(bus->segment, at, bus->bytes,
                                                 left < bus->cap ? (size_t)left : bus->cap, &got);
        if (result != PORT_OK) {
            return broken(bus, "cannot read the segment", result);
        }
        bus->at = at;
        bus->len = got;
    }
    size_t have = bus->len - (size_t)(at - bus->at);
    *out = slice_of(bus->bytes + (at - bus->at), have < want ? have : want);
    return BUS_OK;
}

/* The segment holds nothing at the cursor although more is durable: it goes on in the one named
 * after it. */
static enum bus_result next_segment(struct bus_reader *bus)
{
    enum bus_result opened = bus->cursor > bus->start ? open_segment(bus, bus->cursor) : BUS_GONE;
    if (opened != BUS_GONE) {
        return opened;
    }
    struct search s = {.wanted = bus->cursor};
    enum port_result listed = port_dir_list(bus->port, bus->dir, search_name, &s);
    if (listed == PORT_OK && s.has_any && s.oldest > bus->cursor) {
        return BUS_GONE;
    }
    return broken(bus, "a durable record is not there", listed == PORT_OK ? PORT_BAD : listed);
}

/* The durable record at the cursor, whole and checked; BUS_END here: not in this segment. */
static enum bus_result take(struct bus_reader *bus, struct slice *record)
{
    uint64_t at = JOURNAL_HEADER_LEN + (bus->cursor - bus->start);
    struct slice bytes;
    enum bus_result result = fetch(bus, at, JOURNAL_RECORD_LEN, &bytes);
    if (result != BUS_OK) {
        return result;
    }
    if (bytes.len < JOURNAL_RECORD_LEN || bytes.at[0] == 0) {
        return BUS_END;
    }
    struct journal_record head;
    uint32_t seed = journal_record_seed(bus->salt, bus->cursor);
    if (!journal_record_decode(bytes.at, seed, &head)
        || head.len > bus->durable - bus->cursor - JOURNAL_RECORD_LEN) {
        return broken(bus, "the durable record is damaged", PORT_BAD);
    }
    result = fetch(bus, at, JOURNAL_RECORD_LEN + (size_t)head.len, &bytes);
    if (result != BUS_OK) {
        return result;
    }
    struct slice body = slice_after(bytes, JOURNAL_RECORD_LEN);
    if (body.len < head.len || crc32c(journal_record_crc(seed, &head), body) != head.crc) {
        return broken(bus, "the durable record is damaged", PORT_BAD);
    }
    *record = body;
    return BUS_OK;
}

enum bus_result bus_next(struct bus_reader *bus, struct slice *record, bus_position *next)
{
    if (bus->is_broken) {
        return BUS_BROKEN;
    }
    if (bus->cursor >= bus->durable) {
        look_at_mark(bus);
        if (bus->cursor >= bus->durable) {
            return BUS_END;
        }
    }
    for (;;) {
        enum bus_result result = take(bus, record);
        if (result == BUS_OK) {
            bus->cursor += JOURNAL_RECORD_LEN + record->len;
            *next = bus->cursor;
            return BUS_OK;
        }
        if (result == BUS_END) {
            result = next_segment(bus);
        }
        if (result != BUS_OK) {
            return result;
        }
    }
}

enum bus_result bus_reader_seek(struct bus_reader *bus, bus_position from)
{
    bus_position before = bus->cursor;
    if (bus->is_broken) {
        return BUS_BROKEN;
    }
    bus->cursor = from;
    bool is_here = from >= bus->start && from - bus->start < bus->size - JOURNAL_HEADER_LEN;
    enum bus_result result = is_here ? BUS_OK : find_segment(bus, false);
    if (result != BUS_OK) {
        bus->cursor = before;
    }
    return result;
}

bus_position bus_reader_at(const struct bus_reader *bus)
{
    return bus->cursor;
}

uint64_t bus_reader_lag(struct bus_reader *bus)
{
    look_at_mark(bus);
    return bus->durable > bus->cursor ? bus->durable - bus->cursor : 0;
}

/* Replaced as a whole, never synced: an older ack keeps a segment longer, and that is all. */
enum bus_result bus_reader_ack(struct bus_reader *bus, const char *reader_name, bus_position done)
{
    INVARIANT(journal_reader_name_ok(reader_name));
    INVARIANT(done <= bus->durable || done <= bus->cursor);
    char name[JOURNAL_NAME_MAX];
    (void)snprintf(name, sizeof name, "%s.ack", reader_name);
    struct journal_path path = journal_path_of(bus->dir, name);
    (void)snprintf(name, sizeof name, "%s.ack.new", reader_name);
    struct journal_path draft = journal_path_of(bus->dir, name);
    uint8_t bytes[JOURNAL_HEADER_LEN];
    journal_header_encode("HFP1", bus->salt, done, bytes);
    struct port_file *file = NULL;
    unsigned flags = PORT_READ | PORT_WRITE | PORT_CREATE;
    enum port_result result = port_file_open(bus->port, draft.text, flags, &file);
    if (result == PORT_OK) {
        result = port_file_write(file, 0, slice_of(bytes, sizeof bytes));
        port_file_close(file);
    }
    if (result == PORT_OK) {
        result = port_rename(bus->port, draft.text, path.text);
    }
    if (result == PORT_NO_SPACE) {
        return BUS_FULL;
    }
    return result == PORT_OK ? BUS_OK : broken(bus, "cannot write the ack", result);
}

/*
 * A cursor stands where a record ended. In a journal that is an older one than the cursor's (a
 * backup was put back) the records end before it, or one that came since lies across it: BUS_GONE,
 * for what is written below the cursor would never be read. What is damaged on the way tells
 * nothing of that. The mark is no help: after a power cut it may be behind the cursor until the
 * writer is open again.
 */
static enum bus_result hold_against(struct bus_reader *bus, bus_position from)
{
    bus_position durable = bus->durable;
    struct slice record;
    enum bus_result result = BUS_OK;
    bus->durable = durable > from ? durable : from;
    bus->cursor = bus->start;
    while (bus->cursor < from && (result = take(bus, &record)) == BUS_OK) {
        bus->cursor += JOURNAL_RECORD_LEN + record.len;
    }
    bool is_older = result == BUS_END || (result == BUS_OK && bus->cursor > from);
    bus->cursor = from;
    bus->durable = durable;
    bus->is_broken = false;
    if (is_older) {
        journal_say(&bus->why, "position %llu in %s is none of a record's: an older journal",
                    (unsigned long long)from, bus->dir);
    }
    return is_older ? BUS_GONE : BUS_OK;
}

static enum bus_result open_files(struct bus_reader *bus, bus_position from, void *user)
{
    struct journal_path mark = journal_path_of(bus->dir, "mark");
    enum port_result result = port_file_open(bus->port, mark.text, PORT_READ, &bus->mark);
    if (result == PORT_NOT_FOUND) {
        return BUS_END;
    }
    if (result == PORT_OK) {
        struct journal_path stream = journal_path_of(bus->dir, "stream");
        result = journal_value_read(bus->port, stream.text, "HFS1", 0, &bus->salt);
    }
    if (result == PORT_OK) {
        result = port_watch(bus->port, mark.text, user, &bus->watch);
    }
    if (result != PORT_OK) {
        return broken(bus, "cannot open the stream", result);
    }
    bus->cursor = from;
    look_at_mark(bus);
    enum bus_result found = find_segment(bus, from == 0);
    return found == BUS_OK && from != 0 ? hold_against(bus, from) : found;
}

enum bus_result bus_reader_open(struct port *port,
                                const char *dir,
                                bus_position from,
                                void *user,
                                struct bus_reader **out,
                                struct port_why *why)
{
    struct bus_reader *bus = calloc(1, sizeof *bus);
    if (bus == NULL || dir[0] == '\0' || strlen(dir) >= JOURNAL_DIR_MAX) {
        journal_say(why, "%s",
                    bus == NULL ? "no memory for a reader" : "the folder cannot be used");
        free(bus);
        return BUS_BROKEN;
    }
    bus->port = port;
    memcpy(bus->dir, dir, strlen(dir) + 1);
    enum bus_result result = open_files(bus, from, user);
    if (result != BUS_OK) {
        *why = bus->why;
        bus_reader_close(bus);
        return result;
    }
    *out = bus;
    return BUS_OK;
}

void bus_reader_close(struct bus_reader *bus)
{
    if (bus == NULL) {
        return;
    }
    if (bus->watch != NULL) {
        port_watch_free(bus->watch);
    }
    struct port_file *files[] = {bus->segment, bus->mark};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (files[i] != NULL) {
            port_file_close(files[i]);
        }
    }
    free(bus->bytes);
    free(bus);
}
