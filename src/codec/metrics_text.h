/*
 * Prometheus text, version 0.0.4, as our roles write it: read line by line, and several texts
 * joined into one in which each family stands once and samples of one name and one set of labels
 * are added up.
 */
#ifndef CODEC_METRICS_TEXT_H
#define CODEC_METRICS_TEXT_H

#include "base/slice.h"
#include "base/writer.h"

enum metrics_line_kind { METRICS_END, METRICS_HELP, METRICS_TYPE, METRICS_SAMPLE, METRICS_BAD };

struct metrics_line {
    enum metrics_line_kind kind;
    struct slice name;
    struct slice labels; /* SAMPLE: what stands between the braces, checked; empty: none */
    struct slice rest;   /* HELP: the text; TYPE: the word */
    double value;        /* SAMPLE: finite */
};

/* The next line that says something; METRICS_BAD where one is no line of the format, which it
 * passes over. */
struct metrics_line metrics_line_next(struct slice *text);

/* The value of one label, still escaped; false where it is absent. */
bool metrics_label_find(struct slice labels, const char *name, struct slice *value);

/* The sum of all samples of this name whose `label` (NULL: any) is `value`; false where there is
 * none. */
bool metrics_sum(
    struct slice text, const char *name, const char *label, const char *value, double *out);

/* The value of the first sample of this name, for names that have one: nothing behind it is read.
 * False where there is none, and *out stays. */
bool metrics_first(struct slice text, const char *name, double *out);

/* The same for several names in one pass; list[i] is filled in. */
struct metrics_wanted {
    const char *name;
    double value; /* 0 where there is none */
    bool is_found;
};
void metrics_find(struct slice text, struct metrics_wanted *list, size_t count);

enum { METRICS_SAMPLES_MAX = 16384, METRICS_FAMILIES_MAX = 1024 };

struct metrics_join_room { /* scratch of metrics_join */
    struct {
        struct slice name, help, type;
    } families[METRICS_FAMILIES_MAX];
    struct {
        struct slice name, labels;
        double value;
        uint32_t family, next;
    } samples[METRICS_SAMPLES_MAX];
    uint32_t heads[METRICS_SAMPLES_MAX]; /* of chains by hash; index + 1 */
    uint32_t families_count, samples_count;
};

/* False where a limit was reached or `w` is full; bad lines are left out and counted in *bad. */
MUST_USE bool metrics_join(const struct slice *texts,
                           size_t count,
                           struct metrics_join_room *room,
                           struct writer *w,
                           uint64_t *bad);

#endif
