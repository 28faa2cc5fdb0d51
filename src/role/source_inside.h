/* What the files source*.c share. Not for anybody else. */
#ifndef ROLE_SOURCE_INSIDE_H
#define ROLE_SOURCE_INSIDE_H

#include "base/writer.h"
#include "codec/senml.h"
#include "io/port.h"
#include "role/source.h"

enum { SOURCE_NAMES_MAX = 4096, SOURCE_LINE_MAX = 16384, SOURCE_PATH_MAX = 512 };

/* The values of one moment, gathered before the pack is written. */
struct source_values {
    uint32_t count;
    struct {
        struct slice name, unit, text;
        enum senml_kind kind;
        double number;
        bool truth;
    } list[SOURCE_COLUMNS_MAX];
    uint8_t names[SOURCE_NAMES_MAX]; /* holds names that had to be made */
    size_t names_len;
};

void values_reset(struct source_values *v);
/* False where there are too many. `unit` is static text. */
bool values_add_number(struct source_values *v, struct slice name, const char *unit, double number);
bool values_add_text(struct source_values *v, struct slice name, struct slice text);
/* A name of our own that lives as long as the values; empty where there is no room or no letter in
 * it. */
struct slice values_name(struct source_values *v, struct slice text);
/* One pack, all at `time_ms`; false where it is longer than SOURCE_PACK_MAX. */
bool values_write(const struct source_values *v, int64_t time_ms, struct writer *w);

struct source_host;
struct source_csv;
struct source_lines;

enum port_result source_host_open(struct port *port, struct source_host **out);
void source_host_close(struct source_host *h);
void source_host_read(struct source_host *h, struct source_values *v);

enum port_result source_csv_open(struct port *port,
                                 const char *path,
                                 uint64_t first_row,
                                 struct source_csv **out,
                                 struct port_why *why);
void source_csv_close(struct source_csv *c);
/* SOURCE_GAVE: *time_ms and values of row *row; SOURCE_ENDED; SOURCE_BROKEN: source_csv_why. */
enum source_state source_csv_read(struct source_csv *c,
                                  struct source_values *v,
                                  int64_t *time_ms,
                                  uint64_t *row);
const char *source_csv_why(const struct source_csv *c);

enum port_result source_lines_open(struct port *port, struct source_lines **out);
void source_lines_close(struct source_lines *l);
/* One line as a pack. A line that is no JSON is counted and left out. */
enum source_state source_lines_read(struct source_lines *l, struct writer *pack);
uint64_t source_lines_refused(const struct source_lines *l);

void source_waveform_read(uint64_t seed, uint64_t now_ms, struct source_values *v);

#endif
