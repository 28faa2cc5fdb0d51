/*
 * Texts of the roles, joined into one: whatever they hold, what is written is of the format, says
 * each sample once, and joining it again changes nothing. The first byte says where the input is
 * cut in two texts.
 */
#include "base/invariant.h"
#include "codec/metrics_text.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1 << 17 };

static struct metrics_join_room room;

static void lines_check(struct slice text, bool is_ours)
{
    struct metrics_line line;
    size_t before = text.len + 1;
    for (line = metrics_line_next(&text); line.kind != METRICS_END;
         line = metrics_line_next(&text)) {
        INVARIANT(text.len < before);
        before = text.len;
        INVARIANT(!is_ours || line.kind != METRICS_BAD);
        struct slice value;
        if (line.kind == METRICS_SAMPLE && metrics_label_find(line.labels, "gateway", &value)) {
            INVARIANT(value.at >= line.labels.at && value.len <= line.labels.len);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t first[TEXT_MAX];
    static uint8_t second[TEXT_MAX];
    if (size == 0) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    size_t at = rest.len * data[0] / 255;
    const struct slice texts[] = {slice_of(rest.at, at), slice_after(rest, at)};
    double sum;
    uint64_t bad = 0;
    lines_check(texts[0], false);
    struct metrics_wanted wanted[] = {{.name = "holdfast_gateway_sessions"}, {.name = "a"}};
    metrics_find(rest, wanted, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) { /* together as each alone */
        double value = 0;
        INVARIANT(metrics_first(rest, wanted[i].name, &value) == wanted[i].is_found);
        INVARIANT(value == wanted[i].value);
    }
    (void)metrics_sum(rest, "holdfast_gateway_sessions", "gateway", "gw-1", &sum);
    struct writer w = writer_over(first, sizeof first);
    if (!metrics_join(texts, 2, &room, &w, &bad)) {
        return 0;
    }
    lines_check(writer_slice(&w), true);
    struct slice joined = writer_slice(&w);
    struct writer again = writer_over(second, sizeof second);
    bad = 0;
    INVARIANT(metrics_join(&joined, 1, &room, &again, &bad));
    INVARIANT(bad == 0);
    INVARIANT(slice_equal(joined, writer_slice(&again)));
    return 0;
}
