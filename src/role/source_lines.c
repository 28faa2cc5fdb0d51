/*
 * Lines of JSON on standard input, each one a flat object or a SenML pack.
 */
#include "role/source_inside.h"

#include <stdlib.h>
#include <string.h>

struct source_lines {
    struct port *port;
    uint8_t buffer[SOURCE_LINE_MAX];
    size_t len;
    bool is_at_end;
    bool is_too_long; /* the present line is left out to its end */
    uint64_t refused; /* since it was last asked */
};

enum port_result source_lines_open(struct port *port, struct source_lines **out)
{
    struct source_lines *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return PORT_FAILED;
    }
    l->port = port;
    *out = l;
    return PORT_OK;
}

void source_lines_close(struct source_lines *l)
{
    free(l);
}

uint64_t source_lines_refused(const struct source_lines *l)
{
    return l->refused;
}

static bool rewrite(struct source_lines *l, struct slice line, struct writer *pack)
{
    static struct senml_reader r; /* one thread */
    enum time_quality quality;
    int64_t now_ms = port_wall_ms(l->port, &quality);
    struct senml_point point;
    uint64_t count = 0;
    senml_open_any_json(&r, line, now_ms);
    while (senml_next(&r, &point)) {
        count++;
    }
    if (r.result != SENML_OK || count == 0) {
        return false;
    }
    senml_pack_write(pack, count);
    senml_open_any_json(&r, line, now_ms);
    while (senml_next(&r, &point)) {
        senml_record_write(pack, &(struct senml_record){.name = point.name,
                                                        .unit = point.unit,
                                                        .has_time = true,
                                                        .time_ms = point.time_ms,
                                                        .kind = point.kind,
                                                        .number = point.number,
                                                        .text = point.text,
                                                        .truth = point.truth});
    }
    return writer_ok(pack);
}

static bool next_line(struct source_lines *l, struct slice *line)
{
    uint8_t *end = memchr(l->buffer, '\n', l->len);
    if (end == NULL && !(l->is_at_end && l->len > 0)) {
        return false;
    }
    *line = slice_of(l->buffer, end != NULL ? (size_t)(end - l->buffer) : l->len);
    return true;
}

static void drop(struct source_lines *l, size_t len)
{
    len = len < l->len ? len : l->len;
    memmove(l->buffer, l->buffer + len, l->len - len);
    l->len -= len;
}

static void fill(struct source_lines *l)
{
    size_t got = 0;
    if (l->len == sizeof l->buffer) {
        l->len = 0;
        l->is_too_long = true;
    }
    if (!l->is_at_end
        && port_stdin_read(l->port, l->buffer + l->len, sizeof l->buffer - l->len, &got)
               != PORT_OK) {
        l->is_at_end = true;
    }
    l->len += got;
}

enum source_state source_lines_read(struct source_lines *l, struct writer *pack)
{
    struct slice line;
    l->refused = 0;
    if (!next_line(l, &line)) {
        fill(l);
    }
    while (next_line(l, &line)) {
        bool was_too_long = l->is_too_long;
        bool is_blank = line.len == 0 || (line.len == 1 && line.at[0] == '\r');
        bool is_good = !is_blank && !was_too_long && rewrite(l, line, pack);
        l->is_too_long = false;
        drop(l, line.len + 1);
        if (is_good) {
            return SOURCE_GAVE;
        }
        writer_reset(pack);
        l->refused += !is_blank || was_too_long;
    }
    if (l->is_at_end && l->len == 0 && l->is_too_long) { /* the last line, which had no end */
        l->is_too_long = false;
        l->refused++;
    }
    return l->is_at_end && l->len == 0 ? SOURCE_ENDED : SOURCE_WAITS;
}
