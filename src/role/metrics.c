#include "role/metrics.h"

#include "base/invariant.h"

#include <stdio.h>
#include <string.h>

enum { PATH_CAP = 1024 };

static const uint32_t bounds_us[METRICS_BUCKETS] = {
    100,   200,    500,    1000,   2000,    5000,    10000,   20000,
    50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000,
};
/* The same in seconds, as they are written once a second for each histogram. */
static const char bounds_text[METRICS_BUCKETS + 1][10] = {
    "0.000100", "0.000200", "0.000500", "0.001000",  "0.002000", "0.005000",
    "0.010000", "0.020000", "0.050000", "0.100000",  "0.200000", "0.500000",
    "1.000000", "2.000000", "5.000000", "10.000000", "+Inf",
};

void metrics_name(struct writer *w, const char *name, const char *type, const char *help)
{
    const struct slice of = slice_text(name);
    write_text(w, "# HELP ");
    write_slice(w, of);
    write_text(w, " ");
    write_text(w, help);
    write_text(w, "\n# TYPE ");
    write_slice(w, of);
    write_text(w, " ");
    write_text(w, type);
    write_text(w, "\n");
}

void metrics_value(struct writer *w, const char *name, const char *labels, uint64_t value)
{
    write_text(w, name);
    if (labels != NULL) {
        write_text(w, "{");
        write_text(w, labels);
        write_text(w, "}");
    }
    write_text(w, " ");
    write_decimal(w, value);
    write_text(w, "\n");
}

/* Nearly always there is nothing to escape. */
static void write_escaped(struct writer *w, struct slice text)
{
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.at[i];
        if (c == '"' || c == '\\' || c == '\n') {
            write_slice(w, slice_of(text.at + from, i - from));
            write_u8(w, '\\');
            write_u8(w, c == '\n' ? 'n' : c);
            from = i + 1;
        }
    }
    write_slice(w, slice_after(text, from));
}

void metrics_labelled(
    struct writer *w, const char *name, const char *label, struct slice text, uint64_t value)
{
    write_text(w, name);
    write_text(w, "{");
    write_text(w, label);
    write_text(w, "=\"");
    write_escaped(w, text);
    write_text(w, "\"} ");
    write_decimal(w, value);
    write_text(w, "\n");
}

void metrics_observe(struct metrics_histogram *h, uint64_t us)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && us > bounds_us[i]) {
        i++;
    }
    h->buckets[i]++;
    h->count++;
    h->sum_us += us;
}

/* Microseconds as seconds, without floating point: "0.000100". */
static void write_seconds(struct writer *w, uint64_t us)
{
    char digits[] = ".000000";
    uint64_t rest = us % 1000000;
    for (size_t i = sizeof digits - 2; i > 0; i--, rest /= 10) {
        digits[i] = (char)('0' + rest % 10);
    }
    write_decimal(w, us / 1000000);
    write_text(w, digits);
}

void metrics_histogram_write(struct writer *w,
                             const char *name,
                             const char *help,
                             const struct metrics_histogram *h)
{
    metrics_name(w, name, "histogram", help);
    const struct slice of = slice_text(name);
    uint64_t sum = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        sum += h->buckets[i];
        write_slice(w, of);
        write_text(w, "_bucket{le=\"");
        write_text(w, bounds_text[i]);
        write_text(w, "\"} ");
        write_decimal(w, sum);
        write_text(w, "\n");
    }
    write_text(w, name);
    write_text(w, "_sum ");
    write_seconds(w, h->sum_us);
    write_text(w, "\n");
    write_text(w, name);
    write_text(w, "_count ");
    write_decimal(w, h->count);
    write_text(w, "\n");
}

void metrics_invariants(struct writer *w)
{
    static uint64_t reports;
    static const char evaluations[] = "holdfast_invariant_evaluations_total";
    static const char violations[] = "holdfast_invariant_violations_total";
    static const char breaches[] = "holdfast_invariant_breaches_total";
    metrics_name(w, evaluations, "counter", "How often each promise was looked at.");
    for (int i = 0; i < PROMISE_COUNT; i++) {
        enum promise which = (enum promise)i;
        metrics_labelled(w, evaluations, "name", slice_text(promise_name(which)),
                         promise_evaluations(which));
    }
    metrics_name(w, violations, "counter", "How often each promise did not hold.");
    for (int i = 0; i < PROMISE_COUNT; i++) {
        enum promise which = (enum promise)i;
        metrics_labelled(w, violations, "name", slice_text(promise_name(which)),
                         promise_violations(which));
    }
    metrics_name(w, breaches, "counter", "Invariants that did not hold.");
    metrics_value(w, breaches, NULL, invariant_breaches());
    metrics_name(w, "holdfast_reports_total", "counter",
                 "Reports that were written: while it rises, the process lives.");
    metrics_value(w, "holdfast_reports_total", NULL, ++reports);
}

enum port_result metrics_replace(struct port *port, const char *path, struct slice text)
{
    char fresh[PATH_CAP];
    int len = snprintf(fresh, sizeof fresh, "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof fresh) {
        return PORT_BAD;
    }
    struct port_file *file = NULL;
    enum port_result result = port_file_open(port, fresh, PORT_WRITE | PORT_CREATE, &file);
    if (result != PORT_OK) {
        return result;
    }
    result = port_file_truncate(file, 0);
    if (result == PORT_OK) {
        result = port_file_write(file, 0, text);
    }
    port_file_close(file);
    return result == PORT_OK ? port_rename(port, fresh, path) : result;
}
