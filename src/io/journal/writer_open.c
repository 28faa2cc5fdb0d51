#include "base/reader.h"
#include "io/journal/writer.h"

#include <stdlib.h>
#include <string.h>

static void survey_segment(struct journal_survey *s, const char *name, bus_position start)
{
    struct port_file *file = NULL;
    uint64_t size = 0;
    enum port_result result =
        port_file_open(s->bus->port, journal_path_of(s->bus->dir, name).text, PORT_READ, &file);
    if (result == PORT_OK) {
        result = port_file_size(file, &size);
        port_file_close(file);
    }
    if (result != PORT_OK) {
        s->result = result;
    }
    /* The names come in byte order, and so do the positions they spell. */
    if (s->count == 0) {
        s->first = start;
    }
    if (s->count == 1) {
        s->second = start;
    }
    s->last = start;
    s->bytes += size;
    s->count++;
}

static void survey_ack(struct journal_survey *s, const char *name)
{
    bus_position acked = 0;
    struct journal_path path = journal_path_of(s->bus->dir, name);
    enum port_result result =
        journal_value_read(s->bus->port, path.text, "HFP1", s->bus->salt, &acked);
    if (result == PORT_NOT_FOUND) {
        return;
    }
    if (result != PORT_OK) {
        acked = 0;
    }
    if (!s->has_ack || acked < s->acked) {
        s->acked = acked;
    }
    s->has_ack = true;
    if (acked > s->acked_most) {
        s->acked_most = acked;
        memcpy(s->acked_most_by, name, strlen(name) + 1);
    }
}

static void survey_name(void *context, const char *name)
{
    struct journal_survey *s = context;
    bus_position start = 0;
    if (journal_segment_start(name, &start)) {
        if (s->wants_segments) {
            survey_segment(s, name, start);
        }
    } else if (journal_is_ack(name)) {
        survey_ack(s, name);
    }
}

enum bus_result journal_survey(struct bus_writer *bus,
                               bool wants_segments,
                               struct journal_survey *out)
{
    *out = (struct journal_survey){.bus = bus, .wants_segments = wants_segments};
    enum port_result result = port_dir_list(bus->port, bus->dir, survey_name, out);
    if (result == PORT_OK) {
        result = out->result;
    }
    if (out->count == 1) {
        out->second = out->first;
    }
    return result == PORT_OK ? BUS_OK : journal_break(bus, "cannot list the segments", result);
}

static bool limits_are_sound(const struct bus_limits *limits, const char *dir, struct port_why *why)
{
    if (limits->record_max > JOURNAL_RECORD_MAX
        || limits->batch_max < limits->record_max + JOURNAL_RECORD_LEN
        || limits->segment_bytes < limits->batch_max + JOURNAL_HEADER_LEN
        || limits->batch_max > UINT32_MAX || limits->budget_bytes / 2 < limits->segment_bytes) {
        journal_say(why,
                    "a journal needs record + 16 <= batch <= segment - 16 and two segments in its "
                    "budget, not record %zu, batch %zu, segment %llu, budget %llu",
                    limits->record_max, limits->batch_max,
                    (unsigned long long)limits->segment_bytes,
                    (unsigned long long)limits->budget_bytes);
        return false;
    }
    if (dir[0] == '\0' || strlen(dir) >= JOURNAL_DIR_MAX) {
        journal_say(why, "the name of a journal's folder has 1 to %d bytes", JOURNAL_DIR_MAX - 1);
        return false;
    }
    return true;
}

/* The folder with its name durable in the folder above. */
static enum port_result make_dir(struct bus_writer *bus)
{
    enum port_result result = port_dir_make(bus->port, bus->dir);
    if (result != PORT_OK) {
        return result;
    }
    char above[JOURNAL_DIR_MAX];
    memcpy(above, bus->dir, sizeof above);
    char *slash = strrchr(above, '/');
    if (slash == NULL) {
        return port_dir_sync(bus->port, ".");
    }
    slash[slash == above ? 1 : 0] = '\0';
    return port_dir_sync(bus->port, above);
}

static enum bus_result take_lock(struct bus_writer *bus)
{
    struct journal_path path = journal_path_of(bus->dir, "lock");
    unsigned flags = PORT_READ | PORT_WRITE | PORT_CREATE | PORT_LOCK;
    enum port_result result = port_file_open(bus->port, path.text, flags, &bus->lock);
    return result == PORT_OK ? BUS_OK : journal_break(bus, "cannot take the lock", result);
}

/* A whole small file, durable under its name before this returns. */
static enum port_result make_value(
    struct bus_writer *bus, const char *name, const char *magic, uint64_t salt, uint64_t value)
{
    uint8_t bytes[JOURNAL_HEADER_LEN];
    journal_header_encode(magic, salt, value, bytes);
    struct port_file *file = NULL;
    unsigned flags = PORT_READ | PORT_WRITE | PORT_CREATE;
    enum port_result result =
        port_file_open(bus->port, journal_path_of(bus->dir, name).text, flags, &file);
    if (result != PORT_OK) {
        return result;
    }
    result = port_file_write(file, 0, slice_of(bytes, sizeof bytes));
    if (result == PORT_OK) {
        result = port_file_sync(file);
    }
    port_file_close(file);
    return result == PORT_OK ? port_dir_sync(bus->port, bus->dir) : result;
}

/* The salt is chosen, and durable, before the first segment is named; it never changes after. */
static enum bus_result open_stream(struct bus_writer *bus, bool has_segments)
{
    struct journal_path path = journal_path_of(bus->dir, "stream");
    enum port_result result = journal_value_read(bus->port, path.text, "HFS1", 0, &bus->salt);
    if (result == PORT_OK) {
        return BUS_OK;
    }
    if (result != PORT_NOT_FOUND && result != PORT_BAD) {
        return journal_break(bus, "cannot read the file `stream`", result);
    }
    if (has_segments) {
        return journal_break(bus, "there are segments, but the file `stream` is", result);
    }
    uint8_t salt[8];
    port_entropy(bus->port, salt, sizeof salt);
    struct reader r = reader_over(slice_of(salt, sizeof salt));
    bus->salt = read_u64(&r);
    result = make_value(bus, "stream", "HFS1", 0, bus->salt);
    return result == PORT_OK ? BUS_OK : journal_break(bus, "cannot make the stream", result);
}

/* Half a segment to come may be left over from before; it holds nothing. */
static enum bus_result drop_leftover(struct bus_writer *bus)
{
    enum port_result result = port_unlink(bus->port, journal_path_of(bus->dir, "next").text);
    return result == PORT_OK || result == PORT_NOT_FOUND
               ? BUS_OK
               : journal_break(bus, "cannot remove a leftover", result);
}

static enum bus_result make_first_segment(struct bus_writer *bus, bus_position mark)
{
    if (mark > 0) {
        bus->is_broken = true;
        journal_say(&bus->why,
                    "%s has no segment left, but its mark says that all was durable below %llu",
                    bus->dir, (unsigned long long)mark);
        return BUS_BROKEN;
    }
    enum bus_result result = journal_prepare_next(bus, bus->limits.segment_bytes);
    if (result == BUS_OK) {
        enum port_result synced = port_file_sync(bus->next);
        result =
            synced == PORT_OK ? journal_roll(bus, 0) : journal_break(bus, "cannot sync", synced);
    }
    if (result == BUS_FULL) {
        journal_say(&bus->why, "no room for the first segment in %s", bus->dir);
    }
    return result;
}

static enum bus_result recover(struct bus_writer *bus,
                               const struct journal_survey *survey,
                               bus_position mark)
{
    struct journal_segment *last = &bus->segment;
    *last = (struct journal_segment){.start = survey->last,
                                     .path = journal_segment_path(bus->dir, survey->last)};
    enum port_result opened =
        port_file_open(bus->port, last->path.text, PORT_READ | PORT_WRITE, &last->file);
    if (opened == PORT_OK) {
        opened = port_file_size(last->file, &last->size);
    }
    if (opened != PORT_OK) {
        return journal_break(bus, "cannot open the last segment", opened);
    }
    bus->oldest = survey->first;
    bus->oldest_end = survey->second;
    bus_position end = 0;
    uint64_t size = last->size;
    enum bus_result result = journal_find_end(last, bus->salt, mark, &end, &bus->why);
    if (result == BUS_OK && survey->acked_most > end) {
        journal_say(&bus->why,
                    "%s says that records were durable up to %llu, but in %s they end at %llu",
                    survey->acked_most_by, (unsigned long long)survey->acked_most, bus->dir,
                    (unsigned long long)end);
        result = BUS_BROKEN;
    }
    if (result == BUS_OK) {
        uint64_t bytes = bus->limits.segment_bytes;
        result = journal_repair(last, bus->salt, mark, end, bytes, &bus->why);
    }
    bus->bytes_on_disk = survey->bytes - size + last->size;
    bus->durable = end;
    return result;
}

static enum bus_result open_mark(struct bus_writer *bus)
{
    struct journal_path path = journal_path_of(bus->dir, "mark");
    enum port_result result = make_value(bus, "mark", "HFP1", bus->salt, bus->durable);
    if (result == PORT_OK) {
        result = port_file_open(bus->port, path.text, PORT_READ | PORT_WRITE, &bus->mark);
    }
    return result == PORT_OK ? BUS_OK : journal_break(bus, "cannot write the mark", result);
}

static enum bus_result open_in_order(struct bus_writer *bus)
{
    enum port_result made = make_dir(bus);
    if (made != PORT_OK) {
        return journal_break(bus, "cannot make the folder", made);
    }
    if (take_lock(bus) != BUS_OK || drop_leftover(bus) != BUS_OK) {
        return BUS_BROKEN;
    }
    /* Twice: acks can only be read once the salt is known. */
    struct journal_survey survey;
    if (journal_survey(bus, true, &survey) != BUS_OK || open_stream(bus, survey.count > 0) != BUS_OK
        || journal_survey(bus, true, &survey) != BUS_OK) {
        return BUS_BROKEN;
    }
    bus_position mark = 0;
    struct journal_path path = journal_path_of(bus->dir, "mark");
    enum port_result read = journal_value_read(bus->port, path.text, "HFP1", bus->salt, &mark);
    if (read != PORT_OK && read != PORT_NOT_FOUND && read != PORT_BAD) {
        return journal_break(bus, "cannot read the mark", read);
    }
    enum bus_result result =
        survey.count == 0 ? make_first_segment(bus, mark) : recover(bus, &survey, mark);
    if (result != BUS_OK) {
        return result;
    }
    bus->written = bus->durable;
    bus->staged = bus->durable;
    return open_mark(bus);
}

enum bus_result bus_writer_open(struct port *port,
                                const char *dir,
                                const struct bus_limits *limits,
                                struct bus_writer **out,
                                struct port_why *why)
{
    if (!limits_are_sound(limits, dir, why)) {
        return BUS_BROKEN;
    }
    struct bus_writer *bus = calloc(1, sizeof *bus);
    uint8_t *batch = malloc(limits->batch_max);
    if (bus == NULL || batch == NULL) {
        free(bus);
        free(batch);
        journal_say(why, "no memory for a batch of %zu bytes", limits->batch_max);
        return BUS_BROKEN;
    }
    bus->port = port;
    bus->limits = *limits;
    bus->batch = batch;
    bus->split = JOURNAL_NO_SPLIT;
    memcpy(bus->dir, dir, strlen(dir) + 1);
    enum bus_result result = open_in_order(bus);
    if (result != BUS_OK) {
        *why = bus->why;
        bus_writer_close(bus);
        return result;
    }
    *out = bus;
    return BUS_OK;
}

void bus_writer_close(struct bus_writer *bus)
{
    if (bus == NULL) {
        return;
    }
    struct port_file *files[] = {bus->next, bus->segment.file, bus->mark, bus->lock};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (files[i] != NULL) {
            port_file_close(files[i]);
        }
    }
    free(bus->batch);
    free(bus);
}
