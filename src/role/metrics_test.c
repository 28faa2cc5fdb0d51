#include "role/metrics.h"
#include "test/test.h"

#include <string.h>

static bool holds(const struct writer *w, const char *text)
{
    struct slice all = writer_slice(w), part = slice_text(text);
    for (size_t i = 0; i + part.len <= all.len; i++) {
        if (memcmp(all.at + i, part.at, part.len) == 0) {
            return true;
        }
    }
    return false;
}

TEST("a label's quotes, backslashes and line feeds cannot end it")
{
    uint8_t room[128];
    struct writer w = writer_over(room, sizeof room);
    metrics_labelled(&w, "n", "reason", slice_text("a\"b\\c\nd"), 7);
    CHECK(slice_is_text(writer_slice(&w), "n{reason=\"a\\\"b\\\\c\\nd\"} 7\n"));
}

TEST("a histogram's buckets are cumulative and end with all that was observed")
{
    static uint8_t room[4096];
    struct writer w = writer_over(room, sizeof room);
    struct metrics_histogram h = {0};
    metrics_observe(&h, 100);
    metrics_observe(&h, 101);
    metrics_observe(&h, 11000000);
    metrics_histogram_write(&w, "h_seconds", "Help.", &h);
    CHECK(holds(&w, "# TYPE h_seconds histogram\n"));
    CHECK(holds(&w, "h_seconds_bucket{le=\"0.000100\"} 1\n"));
    CHECK(holds(&w, "h_seconds_bucket{le=\"0.000200\"} 2\n"));
    CHECK(holds(&w, "h_seconds_bucket{le=\"10.000000\"} 2\n"));
    CHECK(holds(&w, "h_seconds_bucket{le=\"+Inf\"} 3\n"));
    CHECK(holds(&w, "h_seconds_sum 11.000201\nh_seconds_count 3\n"));
}

TEST("every promise is in the metrics by its name, looked at or not")
{
    static uint8_t room[8192];
    struct writer w = writer_over(room, sizeof room);
    metrics_invariants(&w);
    CHECK(writer_ok(&w));
    CHECK(holds(&w, "holdfast_invariant_evaluations_total{name=\"OnceApplied\"} 0\n"));
    CHECK(holds(&w, "holdfast_invariant_violations_total{name=\"BoundedCost\"} 0\n"));
}
