/*
 * Prometheus text of one role: counters, gauges, histograms, and the invariants that every process
 * counts. The file is replaced whole and is not synced: metrics are no evidence, and a sync would
 * stop the loop.
 */
#ifndef ROLE_METRICS_H
#define ROLE_METRICS_H

#include "base/writer.h"
#include "io/port.h"

/* "# HELP" and "# TYPE"; `type` is "counter", "gauge" or "histogram". Once before a name's values.
 */
void metrics_name(struct writer *w, const char *name, const char *type, const char *help);

/* One value; `labels` is what goes between the braces, NULL for none. */
void metrics_value(struct writer *w, const char *name, const char *labels, uint64_t value);

/* name{label="text"} value: the text's quotes, backslashes and line feeds are escaped. */
void metrics_labelled(
    struct writer *w, const char *name, const char *label, struct slice text, uint64_t value);

/* Durations, in buckets from 100 us to 10 s, about three a decade. */
enum { METRICS_BUCKETS = 16 };
struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* not cumulative; the last is beyond all bounds */
    uint64_t count;
    uint64_t sum_us;
};
void metrics_observe(struct metrics_histogram *h, uint64_t us);
void metrics_histogram_write(struct writer *w,
                             const char *name,
                             const char *help,
                             const struct metrics_histogram *h);

/* holdfast_invariant_evaluations_total, _violations_total and holdfast_invariant_breaches_total of
 * this process, and holdfast_reports_total, by which others see that it lives. Once a report. */
void metrics_invariants(struct writer *w);

/* Replaces the file: PATH.new, then a rename. */
enum port_result metrics_replace(struct port *port, const char *path, struct slice text);

#endif
