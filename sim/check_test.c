/* Each checker passes a good history, and says what is wrong with one that is not. */
#include "base/slice.h"
#include "sim/history.h"
#include "test/test.h"

#include <string.h>

enum { DEVICES = 3, MESSAGES = 100, VALUES = 2 };

static uint64_t point_of(uint32_t device, uint64_t seq, uint64_t value)
{
    return (seq * 4 + value) * 0x9e3779b97f4a7c15u ^ device;
}

/* Message 40 is declared lost, 41 was never acknowledged and is not in the store, 50 was sent
 * twice.
 */
static struct history good(void)
{
    struct history h = {0};
    for (uint32_t d = 0; d < DEVICES; d++) {
        history_boot(&h, &(struct said_boot){.device = d, .boot = 1, .first = 1, .key = d});
        history_boot(&h, &(struct said_boot){.device = d, .boot = 1, .first = 1, .key = d});
        for (uint64_t seq = 1; seq <= MESSAGES; seq++) {
            for (uint64_t v = 0; v < VALUES * (seq == 50 ? 2 : 1); v++) {
                history_sent(&h, &(struct sent_point){.device = d,
                                                      .boot = 1,
                                                      .seq = seq,
                                                      .message = seq * 3 + d,
                                                      .point = point_of(d, seq, v % VALUES),
                                                      .time_ms = (int64_t)seq});
                if (seq != 40 && seq != 41 && v < VALUES) {
                    history_applied(&h, d, point_of(d, seq, v), (int64_t)seq);
                }
            }
            if (seq != 41) {
                history_acked(&h, d, seq);
            }
        }
        history_dropped(
            &h, &(struct dropped_range){.device = d, .from = 40, .to = 40, .reason = "malformed"});
    }
    return h;
}

static void expect(struct history *h, bool detected_is_enough, const char *word)
{
    struct findings found = {0};
    check_telemetry(h, detected_is_enough, &found);
    check_numbers(h, &found);
    if (word == NULL) {
        CHECK_U64(findings_total(&found), 0);
        CHECK(found.looked[CHECK_TELEMETRY] > 100 && found.looked[CHECK_NUMBERS] > 100);
    } else {
        bool said = false;
        for (uint32_t i = 0; i < found.kept; i++) {
            said = said || strstr(found.text[i], word) != NULL;
        }
        if (!said) {
            test_failed(__FILE__, __LINE__, "not \"%s\" but: %s", word, found.text[0]);
        }
    }
    history_free(h);
}

/* Takes everything of these messages of device 1 out of the store. */
static void lose(struct history *h, uint64_t from, uint64_t to)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->applied.count; i++) {
        bool is_lost = false;
        for (uint64_t seq = from; seq <= to; seq++) {
            for (uint64_t v = 0; v < VALUES; v++) {
                is_lost = is_lost
                          || (h->applied.list[i].device == 1
                              && h->applied.list[i].point == point_of(1, seq, v));
            }
        }
        if (!is_lost) {
            h->applied.list[kept++] = h->applied.list[i];
        }
    }
    h->applied.count = kept;
}

TEST("a good history is passed")
{
    struct history h = good();
    expect(&h, false, NULL);
}

TEST("acknowledged values that are neither applied nor dropped are lost, and classed")
{
    static const struct {
        uint64_t from, to;
        const char *word;
    } rows[] = {{1, 3, "lost at the prefix"},
                {50, 52, "lost at the middle"},
                {39, 42, "lost at the middle"},
                {99, 100, "lost at the end"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct history h = good();
        lose(&h, rows[i].from, rows[i].to);
        expect(&h, false, rows[i].word);
    }
    struct history h = good();
    lose(&h, 1, 100);
    h.dropped.list[1].device = 0; /* it was device 1's */
    history_acked(&h, 1, 41);
    expect(&h, false, "lost at all");
}

TEST("what a gap shows as missing is detected, and still lost where loss must not be")
{
    struct dropped_range gap = {
        .device = 1, .from = 60, .to = 70, .reason = "missing", .is_gap = true};
    struct history h = good();
    lose(&h, 61, 70);
    history_dropped(&h, &gap);
    expect(&h, true, NULL);
    h = good();
    lose(&h, 61, 70);
    history_dropped(&h, &gap);
    expect(&h, false, "lost at the middle");
    h = good();
    lose(&h, 61, 71);
    history_dropped(&h, &gap);
    expect(&h, true, "lost at the middle");
}

TEST(
    "a value applied twice, never sent or with another time, and a drop without a reason are found")
{
    struct history h = good();
    history_applied(&h, 2, point_of(2, 7, 1), 7);
    expect(&h, false, "more than once, for example seq 7 of device 2");
    h = good();
    history_applied(&h, 2, point_of(2, 1000, 1), 7);
    expect(&h, false, "never sent");
    h = good();
    h.applied.list[50].time_ms++;
    expect(&h, false, "another time");
    h = good();
    history_dropped(&h, &(struct dropped_range){.device = 2, .from = 3, .to = 3, .reason = ""});
    expect(&h, false, "no reason");
}

TEST("two messages under one number, a boot begun twice and one that goes back are found")
{
    struct history h = good();
    history_sent(&h,
                 &(struct sent_point){
                     .device = 0, .boot = 1, .seq = 9, .message = 1, .point = point_of(0, 9, 0)});
    expect(&h, false, "name two messages");
    h = good();
    history_boot(&h, &(struct said_boot){.device = 2, .boot = 1, .first = 1, .key = 77});
    expect(&h, false, "begun twice");
    h = good();
    for (size_t i = 0; i < h.sent.count; i++) {
        h.sent.list[i].boot = h.sent.list[i].device == 1 && h.sent.list[i].seq < 30 ? 2 : 1;
    }
    expect(&h, false, "goes back");
}

TEST("of a device whose storage lied a gap is enough, of the others it is not")
{
    struct dropped_range gap = {
        .device = 1, .from = 60, .to = 70, .reason = "missing", .is_gap = true};
    struct history h = good();
    lose(&h, 61, 70);
    history_dropped(&h, &gap);
    history_spoil(&h, 1);
    expect(&h, false, NULL);
    h = good();
    lose(&h, 61, 71);
    history_dropped(&h, &gap);
    history_spoil(&h, 1);
    expect(&h, false, "lost at the middle");
    h = good();
    lose(&h, 61, 70);
    history_dropped(&h, &gap);
    history_spoil(&h, 0);
    expect(&h, false, "lost at the middle");
}

TEST("numbers used twice are found, but for a device whose storage lied")
{
    struct sent_point again = {
        .device = 1, .boot = 1, .seq = 41, .message = 1, .point = point_of(1, 41, 0)};
    struct history h = good();
    history_sent(&h, &again);
    history_boot(&h, &(struct said_boot){.device = 1, .boot = 1, .first = 1, .key = 77});
    history_spoil(&h, 1);
    expect(&h, false, NULL);
    h = good();
    history_sent(&h, &again);
    history_spoil(&h, 2);
    expect(&h, false, "name two messages");
}

TEST("where damage is told loss is accepted, and nothing that was made up")
{
    struct history h = good();
    lose(&h, 61, 70);
    h.loss_is_told = true;
    expect(&h, true, NULL);
    h = good();
    history_applied(&h, 2, point_of(2, 1000, 1), 7);
    h.loss_is_told = true;
    expect(&h, true, "never sent");
}

/* Device 2 says a second boot, of seq 101 to 103; one value of it is applied. */
static struct history of_the_future(bool is_said_again, bool is_applied)
{
    struct history h = good();
    history_boot(&h, &(struct said_boot){
                         .device = 2, .boot = 2, .first = 101, .key = 9, .must_be_refused = true});
    if (is_said_again) {
        history_boot(&h, &(struct said_boot){.device = 2, .boot = 2, .first = 101, .key = 9});
    }
    for (uint64_t seq = 101; seq <= 103; seq++) {
        history_sent(&h, &(struct sent_point){.device = 2,
                                              .boot = 2,
                                              .seq = seq,
                                              .message = seq,
                                              .point = point_of(2, seq, 0),
                                              .time_ms = (int64_t)seq});
    }
    if (is_applied) {
        history_applied(&h, 2, point_of(2, 102, 0), 102);
    }
    return h;
}

TEST("what is applied of a boot whose every hello had to be refused is found")
{
    static const struct {
        bool is_said_again, is_applied;
        uint64_t wrong;
    } rows[] = {{false, true, 1}, {false, false, 0}, {true, true, 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct history h = of_the_future(rows[i].is_said_again, rows[i].is_applied);
        struct findings found = {0};
        check_versions(&h, &found);
        CHECK_U64(findings_total(&found), rows[i].wrong);
        CHECK_U64(found.looked[CHECK_TELEMETRY], rows[i].is_said_again ? 0 : 3);
        history_free(&h);
    }
}

TEST("what was acknowledged to a device that is let off is not asked for")
{
    struct history h = good();
    lose(&h, 61, 70);
    history_forget_acks(&h, 1);
    expect(&h, false, NULL);
    h = good();
    lose(&h, 61, 70);
    history_forget_acks(&h, 0);
    expect(&h, false, "lost at the middle");
}

TEST("overlapping drops cover what any of them covers")
{
    struct history h = good();
    lose(&h, 10, 30);
    history_dropped(&h,
                    &(struct dropped_range){.device = 1, .from = 5, .to = 30, .reason = "lost"});
    history_dropped(&h,
                    &(struct dropped_range){.device = 1, .from = 10, .to = 12, .reason = "lost"});
    expect(&h, false, NULL);
}
