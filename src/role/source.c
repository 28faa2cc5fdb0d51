#include "role/source.h"

#include "base/invariant.h"
#include "codec/decimal.h"
#include "role/source_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NONE, HOST, CSV, LINES, WAVEFORM };
enum { LINES_PERIOD_MS = 50, PERIOD_MIN_MS = 10, PERIOD_MAX_MS = 3600000 };

struct source {
    struct port *port;
    enum kind kind;
    uint64_t seed;
    uint64_t due_ms;
    double period_ms; /* between two samples; 0: none */
    double start_ms;
    uint64_t given; /* samples since start_ms */
    uint64_t missed;
    bool is_out; /* a sample was given and neither taken nor missed */
    struct source_host *host;
    struct source_csv *csv;
    struct source_lines *lines;
    struct source_values values;
    uint8_t pack[SOURCE_PACK_MAX];
    char why[160];
};

/* ---- values ---- */

void values_reset(struct source_values *v)
{
    v->count = 0;
    v->names_len = 0;
}

bool values_add_number(struct source_values *v, struct slice name, const char *unit, double number)
{
    if (v->count == SOURCE_COLUMNS_MAX || name.len == 0) {
        return false;
    }
    v->list[v->count].name = name;
    v->list[v->count].unit = slice_text(unit);
    v->list[v->count].kind = SENML_NUMBER;
    v->list[v->count].number = number;
    v->count++;
    return true;
}

bool values_add_text(struct source_values *v, struct slice name, struct slice text)
{
    if (v->count == SOURCE_COLUMNS_MAX || name.len == 0) {
        return false;
    }
    v->list[v->count].name = name;
    v->list[v->count].unit = (struct slice){0};
    v->list[v->count].kind = SENML_TEXT;
    v->list[v->count].text = text;
    v->count++;
    return true;
}

struct slice values_name(struct source_values *v, struct slice text)
{
    struct writer w = writer_over(v->names + v->names_len, sizeof v->names - v->names_len);
    senml_name_write(&w, text);
    v->names_len += writer_slice(&w).len;
    return writer_slice(&w);
}

bool values_write(const struct source_values *v, int64_t time_ms, struct writer *w)
{
    senml_pack_write(w, v->count);
    for (uint32_t i = 0; i < v->count; i++) {
        struct senml_record record = {
            .name = v->list[i].name,
            .unit = v->list[i].unit,
            /* A device without a clock says nothing of the time: what lies before 1978 is
             * relative to the one who reads it (RFC 8428 4.5.3). */
            .has_base_time = i == 0 && senml_time_is_absolute(time_ms),
            .base_time_ms = time_ms,
            .kind = v->list[i].kind,
            .number = v->list[i].number,
            .text = v->list[i].text,
            .truth = v->list[i].truth,
        };
        senml_record_write(w, &record);
    }
    return writer_ok(w);
}

/* ---- opening ---- */

static bool has_kind(const char *spec, const char *kind, const char **rest)
{
    size_t len = strlen(kind);
    if (strncmp(spec, kind, len) != 0) {
        return false;
    }
    *rest = spec + len;
    return true;
}

bool source_has_rows(const char *spec)
{
    const char *rest;
    return has_kind(spec, "csv:", &rest) || strcmp(spec, "stdin") == 0;
}

static enum port_result bad(struct port_why *why, const char *text)
{
    (void)snprintf(why->text, sizeof why->text, "%s", text);
    return PORT_BAD;
}

/* "2s", "500ms" */
static bool read_period(const char *text, double *ms)
{
    size_t len = strlen(text);
    bool is_ms = len > 2 && strcmp(text + len - 2, "ms") == 0;
    size_t digits = is_ms ? len - 2 : len - 1;
    double number;
    if (len < 2 || text[len - 1] != 's'
        || decimal_read(slice_of(text, digits), &number) != DECIMAL_OK) {
        return false;
    }
    *ms = is_ms ? number : number * 1000.0;
    return *ms >= PERIOD_MIN_MS && *ms <= PERIOD_MAX_MS;
}

static enum port_result open_csv(struct source *s,
                                 const char *rest,
                                 uint64_t first_row,
                                 struct port_why *why)
{
    static const char option[] = ",rate=";
    char path[SOURCE_PATH_MAX];
    const char *comma = strstr(rest, option);
    size_t len = comma == NULL ? strlen(rest) : (size_t)(comma - rest);
    double rate = 1;
    if (len == 0 || len >= sizeof path) {
        return bad(why, "csv: needs a file: csv:FILE or csv:FILE,rate=N");
    }
    if (comma != NULL
        && (decimal_read(slice_text(comma + sizeof option - 1), &rate) != DECIMAL_OK || rate < 0
            || rate > 1e6)) {
        return bad(why, "rate= is a number of rows a second, from 0 (as fast as they are taken)");
    }
    memcpy(path, rest, len);
    path[len] = '\0';
    s->kind = CSV;
    s->period_ms = rate > 0 ? 1000.0 / rate : 0;
    return source_csv_open(s->port, path, first_row, &s->csv, why);
}

static enum port_result open_spec(struct source *s,
                                  const char *spec,
                                  uint64_t first_row,
                                  struct port_why *why)
{
    const char *rest = spec;
    if (has_kind(spec, "csv:", &rest)) {
        return open_csv(s, rest, first_row, why);
    }
    if (strcmp(spec, "stdin") == 0) {
        s->kind = LINES;
        s->period_ms = 0;
        return source_lines_open(s->port, &s->lines);
    }
    if (strcmp(spec, "none") == 0) {
        s->kind = NONE;
        return PORT_OK;
    }
    bool is_host = has_kind(spec, "host", &rest);
    if (!is_host && !has_kind(spec, "waveform", &rest)) {
        return bad(why, "a source is host, csv:FILE, stdin, waveform or none");
    }
    static const char option[] = ",period=";
    if (strncmp(rest, option, sizeof option - 1) == 0) {
        if (!read_period(rest + sizeof option - 1, &s->period_ms)) {
            return bad(why, "period= is 10ms to 3600s, with its unit: 2s, 500ms");
        }
    } else if (*rest != '\0') {
        return bad(why, "host and waveform take ,period=2s and nothing else");
    }
    s->kind = is_host ? HOST : WAVEFORM;
    return is_host ? source_host_open(s->port, &s->host) : PORT_OK;
}

enum port_result source_open(struct port *port,
                             const char *spec,
                             uint64_t first_row,
                             uint64_t seed,
                             uint32_t period_ms,
                             struct source **out,
                             struct port_why *why)
{
    struct source *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return bad(why, "no memory");
    }
    s->port = port;
    s->seed = seed;
    s->period_ms = period_ms;
    enum port_result result = open_spec(s, spec, first_row, why);
    if (result != PORT_OK) {
        source_close(s);
        return result;
    }
    uint64_t now_ms = port_now_ms(port);
    /* Simulated devices begin spread over one period, so that a fleet does not breathe in step. */
    uint64_t offset = s->kind == WAVEFORM && period_ms > 0 ? seed % period_ms : 0;
    s->start_ms = (double)(now_ms + offset);
    s->due_ms = s->kind == NONE ? UINT64_MAX : now_ms + offset;
    *out = s;
    return PORT_OK;
}

void source_close(struct source *s)
{
    if (s != NULL) {
        source_host_close(s->host);
        source_csv_close(s->csv);
        source_lines_close(s->lines);
        free(s);
    }
}

/* ---- giving ---- */

uint64_t source_due_ms(const struct source *s)
{
    return s->due_ms;
}

static enum source_state broken(struct source *s, const char *why)
{
    (void)snprintf(s->why, sizeof s->why, "%s", why);
    return SOURCE_BROKEN;
}

static enum source_state give(struct source *s,
                              int64_t time_ms,
                              uint64_t row,
                              struct source_sample *out)
{
    struct writer w = writer_over(s->pack, sizeof s->pack);
    if (!values_write(&s->values, time_ms, &w)) {
        return broken(s, "one sample is longer than a message may be");
    }
    *out = (struct source_sample){.pack = writer_slice(&w), .row = row};
    s->is_out = true;
    return SOURCE_GAVE;
}

static enum source_state next_row(struct source *s, struct source_sample *out)
{
    int64_t time_ms = 0;
    uint64_t row = 0;
    enum source_state state;
    do { /* a row without a value is no sample */
        state = source_csv_read(s->csv, &s->values, &time_ms, &row);
    } while (state == SOURCE_GAVE && s->values.count == 0);
    if (state == SOURCE_BROKEN) {
        return broken(s, source_csv_why(s->csv));
    }
    return state == SOURCE_GAVE ? give(s, time_ms, row + 1, out) : state;
}

static enum source_state next_line(struct source *s, struct source_sample *out)
{
    struct writer w = writer_over(s->pack, sizeof s->pack);
    enum source_state state = source_lines_read(s->lines, &w);
    s->missed += source_lines_refused(s->lines);
    if (state == SOURCE_GAVE) {
        *out = (struct source_sample){.pack = writer_slice(&w)};
        s->is_out = true;
    } else if (state == SOURCE_WAITS) {
        s->due_ms = port_now_ms(s->port) + LINES_PERIOD_MS;
    }
    return state;
}

enum source_state source_next(struct source *s, struct source_sample *out)
{
    enum time_quality quality;
    INVARIANT(!s->is_out);
    if (port_now_ms(s->port) < s->due_ms) {
        return SOURCE_WAITS;
    }
    values_reset(&s->values);
    switch (s->kind) {
    case NONE: return SOURCE_WAITS;
    case CSV: return next_row(s, out);
    case LINES: return next_line(s, out);
    case HOST: source_host_read(s->host, &s->values); break;
    case WAVEFORM: source_waveform_read(s->seed, port_now_ms(s->port), &s->values); break;
    }
    return s->values.count == 0 ? broken(s, "nothing to measure on this machine")
                                : give(s, port_wall_ms(s->port, &quality), 0, out);
}

static void advance(struct source *s)
{
    uint64_t now_ms = port_now_ms(s->port);
    INVARIANT(s->is_out);
    s->is_out = false;
    s->given++;
    if (s->period_ms <= 0) {
        return;
    }
    double due = s->start_ms + (double)s->given * s->period_ms;
    /* Sensors do not catch up on a past that is over; a recording that fell behind goes on from
     * here. */
    if (due + 10.0 * s->period_ms + 1000.0 < (double)now_ms) {
        s->start_ms = (double)now_ms;
        s->given = 0;
        due = s->start_ms;
    }
    s->due_ms = (uint64_t)due;
}

void source_taken(struct source *s)
{
    advance(s);
}

void source_missed(struct source *s)
{
    s->missed++;
    advance(s);
}

uint64_t source_missed_count(const struct source *s)
{
    return s->missed;
}

const char *source_why(const struct source *s)
{
    return s->why;
}
