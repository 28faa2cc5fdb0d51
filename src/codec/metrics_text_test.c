#include "codec/metrics_text.h"
#include "test/test.h"

TEST("texts of several roles become one in which each family stands once and its samples are added "
     "up")
{
    static struct metrics_join_room room;
    char out[1024];
    struct writer w = writer_over(out, sizeof out);
    uint64_t bad = 0;
    struct slice texts[] = {
        slice_text(
            "# HELP a_total First.\n# TYPE a_total counter\na_total{x=\"1\"} "
            "2\na_total{x=\"}\\\"\"} 5\n"
            "# HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.1\"} 3\n"
            "b_seconds_bucket{le=\"+Inf\"} 4\nb_seconds_sum 0.25\nb_seconds_count 4\n"),
        slice_text(
            "# HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.1\"} 1\n"
            "b_seconds_bucket{le=\"+Inf\"} 1\nb_seconds_sum 0.5\nb_seconds_count 1\n"
            "# HELP a_total Second.\n# TYPE a_total counter\na_total{x=\"1\"} 40\nc 1\n"),
    };
    REQUIRE(metrics_join(texts, 2, &room, &w, &bad));
    CHECK_U64(bad, 0);
    CHECK(slice_is_text(
        writer_slice(&w),
        "# HELP a_total First.\n# TYPE a_total counter\na_total{x=\"1\"} 42\na_total{x=\"}\\\"\"} "
        "5\n"
        "# HELP b_seconds Time.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"0.1\"} 4\n"
        "b_seconds_bucket{le=\"+Inf\"} 5\nb_seconds_sum 0.75\nb_seconds_count 5\nc 1\n"));
}

TEST("what is no line of the format is passed over and counted")
{
    static const char *const rows[] = {"1a 2",   "a",          "a ",        "a x",
                                       "a{x} 1", "a{x=\"1} 1", "a{x=\"1\"", "a{x=\"1\" y=\"2\"} 1",
                                       "a NaN",  "a  1",       "# TYPE 1",  " a 1"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice text = slice_text(rows[i]);
        if (metrics_line_next(&text).kind != METRICS_BAD) {
            test_failed(__FILE__, __LINE__, "%s was taken", rows[i]);
        }
        CHECK(metrics_line_next(&text).kind == METRICS_END);
    }
}

TEST("a sum takes the samples of one name and label, and an absent one is no zero")
{
    struct slice text =
        slice_text("# a remark\na{r=\"x\",s=\"1\"} 2\na{r=\"y\"} 3\na{r=\"x\"} 4\nab 9\n\n");
    double sum = -1;
    CHECK(metrics_sum(text, "a", NULL, NULL, &sum) && sum == 9);
    CHECK(metrics_sum(text, "a", "r", "x", &sum) && sum == 6);
    sum = -1;
    CHECK(!metrics_sum(text, "a", "r", "z", &sum) && sum == -1);
}

TEST("several names are found in one pass, each by its own first sample, and none is made up")
{
    struct slice text = slice_text("# HELP a b\nab 9\na x\na{r=\"x\"} 2\na 3\nb 4");
    struct metrics_wanted wanted[] = {
        {.name = "b", .value = 7}, {.name = "a"}, {.name = "c", .value = 7}, {.name = "ab"}};
    metrics_find(text, wanted, COUNT_OF(wanted));
    CHECK(wanted[0].is_found && wanted[0].value == 4);
    CHECK(wanted[1].is_found && wanted[1].value == 2);
    CHECK(!wanted[2].is_found && wanted[2].value == 0);
    CHECK(wanted[3].is_found && wanted[3].value == 9);
    metrics_find((struct slice){0}, wanted, COUNT_OF(wanted));
    CHECK(!wanted[0].is_found && wanted[0].value == 0);
}

TEST("the first sample of a name is its own, not one of a longer name, a remark or a bad line")
{
    struct slice text = slice_text("# HELP a b\nab 9\na x\na{r=\"x\"} 2\na 3\n");
    double value = -1;
    CHECK(metrics_first(text, "a", &value) && value == 2);
    CHECK(metrics_first(text, "ab", &value) && value == 9);
    value = -1;
    CHECK(!metrics_first(text, "b", &value) && value == -1);
}
