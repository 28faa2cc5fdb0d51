/*
 * A recording in a file: a header line, then rows, separated by semicolons or commas, whichever the
 * header has more of; cells may be quoted (RFC 4180). The column named datetime, time, timestamp,
 * date or ts is each row's time. Cells that are numbers become numbers, empty ones nothing, all
 * others text. Rows are counted from 0.
 */
#include "base/time.h"
#include "base/utf8.h"
#include "codec/decimal.h"
#include "role/source_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_LEN = 65536 };

struct source_csv {
    struct port *port;
    struct port_file *file;
    uint64_t offset; /* of the buffer's end in the file */
    uint8_t buffer[BUFFER_LEN];
    size_t at, len;
    bool is_at_end;
    uint8_t separator;
    uint32_t columns;
    int time_column; /* -1: none */
    uint8_t names[SOURCE_NAMES_MAX];
    struct slice column_names[SOURCE_COLUMNS_MAX];
    uint64_t row; /* of the next line */
    char why[160];
};

/* The next line without its end; false at the end of the file, and with `why` where it is too long.
 */
static bool next_line(struct source_csv *c, struct slice *line)
{
    for (;;) {
        uint8_t *from = c->buffer + c->at;
        uint8_t *end = c->len > c->at ? memchr(from, '\n', c->len - c->at) : NULL;
        if (end != NULL || (c->is_at_end && c->len > c->at)) {
            size_t len = end != NULL ? (size_t)(end - from) : c->len - c->at;
            c->at += len + (end != NULL);
            *line = slice_of(from, len > 0 && from[len - 1] == '\r' ? len - 1 : len);
            return true;
        }
        if (c->is_at_end) {
            return false;
        }
        if (c->len - c->at >= SOURCE_LINE_MAX) {
            (void)snprintf(c->why, sizeof c->why, "row %llu is too long",
                           (unsigned long long)c->row);
            return false;
        }
        memmove(c->buffer, from, c->len - c->at);
        c->len -= c->at;
        c->at = 0;
        size_t got = 0;
        if (port_file_read(c->file, c->offset, c->buffer + c->len, sizeof c->buffer - c->len, &got)
            != PORT_OK) {
            (void)snprintf(c->why, sizeof c->why, "the file cannot be read");
            return false;
        }
        c->is_at_end = got < sizeof c->buffer - c->len;
        c->len += got;
        c->offset += got;
    }
}

static struct slice trimmed(struct slice cell)
{
    while (cell.len > 0 && (cell.at[0] == ' ' || cell.at[0] == '\t')) {
        cell = slice_after(cell, 1);
    }
    while (cell.len > 0 && (cell.at[cell.len - 1] == ' ' || cell.at[cell.len - 1] == '\t')) {
        cell.len--;
    }
    return cell;
}

/* The next cell of *rest, without quotes around it; doubled quotes inside stay as they are. */
static struct slice next_cell(struct slice *rest, uint8_t separator)
{
    size_t len = 0;
    if (rest->len > 0 && rest->at[0] == '"') {
        size_t end = 1;
        while (end < rest->len
               && (rest->at[end] != '"' || (end + 1 < rest->len && rest->at[end + 1] == '"'))) {
            end += rest->at[end] == '"' ? 2 : 1;
        }
        struct slice cell = slice_of(rest->at + 1, (end < rest->len ? end : rest->len) - 1);
        while (end < rest->len && rest->at[end] != separator) {
            end++;
        }
        *rest = slice_after(*rest, end + 1);
        return cell;
    }
    while (len < rest->len && rest->at[len] != separator) {
        len++;
    }
    struct slice cell = slice_of(rest->at, len);
    *rest = slice_after(*rest, len + 1);
    return trimmed(cell);
}

static bool is_time_name(struct slice name)
{
    static const char *const names[] = {"datetime", "time", "timestamp", "date", "ts"};
    char lower[16];
    if (name.len >= sizeof lower) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        bool is_upper = name.at[i] >= 'A' && name.at[i] <= 'Z';
        lower[i] = (char)(is_upper ? name.at[i] + 32 : name.at[i]);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (slice_is_text(slice_of(lower, name.len), names[i])) {
            return true;
        }
    }
    return false;
}

static size_t count_of(struct slice line, char c)
{
    size_t count = 0;
    for (size_t i = 0; i < line.len; i++) {
        count += line.at[i] == (uint8_t)c;
    }
    return count;
}

static bool read_header(struct source_csv *c)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some recorders begin with a byte order mark */
    struct slice line;
    struct writer names = writer_over(c->names, sizeof c->names);
    if (!next_line(c, &line)) {
        return false;
    }
    if (slice_has_prefix(line, slice_text(mark))) {
        line = slice_after(line, sizeof mark - 1);
    }
    c->separator = count_of(line, ';') > count_of(line, ',') ? ';' : ',';
    c->time_column = -1;
    while (line.len > 0 && c->columns < SOURCE_COLUMNS_MAX) {
        struct slice cell = next_cell(&line, c->separator);
        size_t from = names.len;
        senml_name_write(&names, cell);
        if (c->time_column < 0 && is_time_name(cell)) {
            c->time_column = (int)c->columns;
        }
        c->column_names[c->columns++] = slice_of(c->names + from, names.len - from);
    }
    return writer_ok(&names) && c->columns > 0 && line.len == 0;
}

enum port_result source_csv_open(struct port *port,
                                 const char *path,
                                 uint64_t first_row,
                                 struct source_csv **out,
                                 struct port_why *why)
{
    struct source_csv *c = calloc(1, sizeof *c);
    struct slice line;
    if (c == NULL) {
        return PORT_FAILED;
    }
    c->port = port;
    enum port_result result = port_file_open(port, path, PORT_READ, &c->file);
    if (result != PORT_OK) {
        (void)snprintf(why->text, sizeof why->text, "%.200s cannot be read", path);
    } else if (!read_header(c)) {
        (void)snprintf(why->text, sizeof why->text, "%.150s has no header line of 1 to %d columns",
                       path, SOURCE_COLUMNS_MAX);
        result = PORT_BAD;
    }
    while (result == PORT_OK && c->row < first_row && next_line(c, &line)) {
        c->row++;
    }
    if (result != PORT_OK) {
        source_csv_close(c);
        return result;
    }
    *out = c;
    return PORT_OK;
}

void source_csv_close(struct source_csv *c)
{
    if (c != NULL) {
        if (c->file != NULL) {
            port_file_close(c->file);
        }
        free(c);
    }
}

static void add_cell(struct source_values *v, struct slice name, struct slice cell)
{
    double number;
    if (cell.len == 0) {
        return;
    }
    if (decimal_read(cell, &number) == DECIMAL_OK) {
        (void)values_add_number(v, name, "", number);
    } else if (utf8_is_valid(cell) && cell.len <= SENML_TEXT_MAX) {
        (void)values_add_text(v, name, cell);
    }
}

enum source_state source_csv_read(struct source_csv *c,
                                  struct source_values *v,
                                  int64_t *time_ms,
                                  uint64_t *row)
{
    struct slice line;
    enum time_quality quality;
    values_reset(v);
    do {
        if (!next_line(c, &line)) {
            return c->why[0] != '\0' ? SOURCE_BROKEN : SOURCE_ENDED;
        }
        *row = c->row++;
    } while (line.len == 0);
    *time_ms = port_wall_ms(c->port, &quality);
    for (uint32_t i = 0; i < c->columns && line.len > 0; i++) {
        struct slice cell = next_cell(&line, c->separator);
        if ((int)i != c->time_column) {
            add_cell(v, c->column_names[i], cell);
        } else if (!time_from_text(cell, time_ms)) {
            (void)snprintf(c->why, sizeof c->why, "row %llu has a time that cannot be read: %.*s",
                           (unsigned long long)*row, (int)(cell.len < 40 ? cell.len : 40),
                           (const char *)cell.at);
            return SOURCE_BROKEN;
        }
    }
    return SOURCE_GAVE;
}

const char *source_csv_why(const struct source_csv *c)
{
    return c->why;
}
