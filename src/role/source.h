/*
 * What a device measures: the host it runs on, a recorded file, lines somebody pipes in, or a
 * made-up waveform. A source gives one SenML pack at a time when it is due; what the outbox did not
 * take is given again (files, lines: nothing may be lost) or counted as missed (sensors: the
 * present has passed).
 */
#ifndef ROLE_SOURCE_H
#define ROLE_SOURCE_H

#include "base/slice.h"
#include "io/port.h"

enum { SOURCE_PACK_MAX = 4096, SOURCE_COLUMNS_MAX = 64 };

struct source;

struct source_sample {
    struct slice pack; /* SenML-CBOR; valid until the next call */
    uint64_t row;      /* of a file: the one after those in the pack; otherwise 0 */
};

enum source_state {
    SOURCE_WAITS = 1, /* nothing is due: ask again at source_due_ms */
    SOURCE_GAVE,      /* *out is filled; source_taken or source_missed must follow */
    SOURCE_ENDED,     /* the file or the lines are over */
    SOURCE_BROKEN     /* source_why */
};

/*
 * `spec`: "none" (somebody else gives: device_put), "host", "host,period=2s", "csv:FILE",
 * "csv:FILE,rate=5" (rows a second; 0: as fast as the outbox takes them), "stdin", "waveform"
 * (made-up numbers, for demonstrations; `seed` shapes them). `first_row`: of a file, rows below it
 * were taken before.
 */
enum port_result source_open(struct port *port,
                             const char *spec,
                             uint64_t first_row,
                             uint64_t seed,
                             uint32_t period_ms, /* of host and waveform where the spec has none */
                             struct source **out,
                             struct port_why *why);
void source_close(struct source *source);

/* Must the rows be remembered durably? */
bool source_has_rows(const char *spec);

uint64_t source_due_ms(const struct source *source);
enum source_state source_next(struct source *source, struct source_sample *out);
void source_taken(struct source *source);
void source_missed(struct source *source);
uint64_t source_missed_count(const struct source *source);
const char *source_why(const struct source *source);

#endif
