/*
 * The telemetry checker: everything sorted once, then merged. Points are told apart by a digest of
 * what they say, so that the store needs to know nothing of sequence numbers; two messages that say
 * the same count as two.
 */
#include "base/invariant.h"
#include "sim/history.h"

#include <stdlib.h>
#include <string.h>

enum place { PLACE_PREFIX, PLACE_MIDDLE, PLACE_END, PLACE_ALL };
enum { PLACE_COUNT = PLACE_ALL + 1 };

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

/* ---- orders ---- */

static int by_point(const void *left, const void *right)
{
    const struct sent_point *a = left;
    const struct sent_point *b = right;
    int order = compare(a->device, b->device);
    order = order != 0 ? order : compare(a->point, b->point);
    order = order != 0 ? order : compare(a->seq, b->seq);
    return order != 0 ? order : compare(a->message, b->message);
}

static int by_seq(const void *left, const void *right)
{
    const struct sent_point *a = left;
    const struct sent_point *b = right;
    int order = compare(a->device, b->device);
    order = order != 0 ? order : compare(a->seq, b->seq);
    return order != 0 ? order : compare(a->point, b->point);
}

static int by_applied(const void *left, const void *right)
{
    const struct applied_point *a = left;
    const struct applied_point *b = right;
    int order = compare(a->device, b->device);
    return order != 0 ? order : compare(a->point, b->point);
}

static int by_acked(const void *left, const void *right)
{
    const struct acked_message *a = left;
    const struct acked_message *b = right;
    int order = compare(a->device, b->device);
    return order != 0 ? order : compare(a->seq, b->seq);
}

static int by_range(const void *left, const void *right)
{
    const struct dropped_range *a = left;
    const struct dropped_range *b = right;
    int order = compare(a->device, b->device);
    order = order != 0 ? order : compare(a->from, b->from);
    return order != 0 ? order : compare(b->to, a->to);
}

/* ---- questions ---- */

static bool is_acked(const struct history *h, uint32_t device, uint64_t seq)
{
    struct acked_message key = {.device = device, .seq = seq};
    return h->acked.count > 0
           && bsearch(&key, h->acked.list, h->acked.count, sizeof key, by_acked) != NULL;
}

/*
 * Ranges by their beginning, for each the furthest end of those of its device so far: the last that
 * begins at or before `seq` tells whether any covers it.
 */
struct drops {
    const struct dropped_range *ranges;
    uint64_t *furthest;
    size_t count;
};

static void drops_make(struct drops *d, struct history *h, bool with_gaps)
{
    size_t kept = 0;
    qsort(h->dropped.list, h->dropped.count, sizeof *h->dropped.list, by_range);
    struct dropped_range *ranges = calloc(h->dropped.count + 1, sizeof *ranges);
    d->furthest = calloc(h->dropped.count + 1, sizeof *d->furthest);
    INVARIANT(ranges != NULL && d->furthest != NULL);
    for (size_t i = 0; i < h->dropped.count; i++) {
        const struct dropped_range *from = &h->dropped.list[i];
        if (from->is_gap && !with_gaps && !history_is_spoilt(h, from->device)) {
            continue;
        }
        bool goes_on = kept > 0 && ranges[kept - 1].device == from->device;
        d->furthest[kept] =
            goes_on && d->furthest[kept - 1] > from->to ? d->furthest[kept - 1] : from->to;
        ranges[kept++] = *from;
    }
    d->ranges = ranges;
    d->count = kept;
}

static void drops_free(struct drops *d)
{
    union {
        const struct dropped_range *from;
        void *to;
    } ranges = {.from = d->ranges};
    free(ranges.to);
    free(d->furthest);
}

static bool drops_cover(const struct drops *d, uint32_t device, uint64_t seq)
{
    size_t low = 0, high = d->count; /* first range that begins behind (device, seq) */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct dropped_range *r = &d->ranges[middle];
        bool is_behind = r->device > device || (r->device == device && r->from > seq);
        low = is_behind ? low : middle + 1;
        high = is_behind ? middle : high;
    }
    return low > 0 && d->ranges[low - 1].device == device && d->furthest[low - 1] >= seq;
}

/* ---- applied against sent ---- */

/* The same message sent again is one message. */
static void unite(struct history *h)
{
    size_t kept = 0;
    qsort(h->sent.list, h->sent.count, sizeof *h->sent.list, by_point);
    for (size_t i = 0; i < h->sent.count; i++) {
        const struct sent_point *a = &h->sent.list[i];
        if (kept == 0 || by_point(a, &h->sent.list[kept - 1]) != 0) {
            h->sent.list[kept++] = *a;
        }
    }
    h->sent.count = kept;
}

struct merged {
    uint64_t invented, twice, moved, lost_count;
    struct applied_point example_invented, example_twice, example_moved;
    struct sent_point *lost; /* acknowledged, and neither applied nor dropped */
};

static void note_lost(struct merged *m,
                      const struct history *h,
                      const struct drops *drops,
                      const struct sent_point *group,
                      size_t count,
                      size_t applied)
{
    size_t needed = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_kept = !is_acked(h, group[i].device, group[i].seq)
                       || drops_cover(drops, group[i].device, group[i].seq);
        if (!is_kept && ++needed > applied) {
            m->lost[m->lost_count++] = group[i];
        }
    }
}

static bool is_same(const struct sent_point *s, const struct applied_point *a)
{
    return s->device == a->device && s->point == a->point;
}

static bool is_before(const struct applied_point *a, const struct sent_point *s)
{
    return a->device != s->device ? a->device < s->device : a->point < s->point;
}

/* One that was sent and applied once has the time it was sent with. */
static void note_moved(struct merged *m,
                       const struct history *h,
                       const struct sent_point *sent,
                       size_t count,
                       size_t at)
{
    const struct applied_point *applied = &h->applied.list[at];
    bool is_alone = count == 1 && at < h->applied.count && is_same(sent, applied)
                    && (at + 1 == h->applied.count || !is_same(sent, applied + 1));
    if (is_alone && sent->time_ms != INT64_MIN && sent->time_ms != applied->time_ms) {
        m->moved++;
        m->example_moved = (struct applied_point){.device = sent->device, .point = sent->seq};
    }
}

static void merge(struct history *h, const struct drops *drops, struct merged *m)
{
    size_t a = 0;
    for (size_t s = 0; s < h->sent.count;) {
        const struct sent_point *group = &h->sent.list[s];
        size_t count = 1;
        while (s + count < h->sent.count && group[count].device == group->device
               && group[count].point == group->point) {
            count++;
        }
        for (; a < h->applied.count && is_before(&h->applied.list[a], group); a++) {
            m->example_invented = h->applied.list[a];
            m->invented++;
        }
        size_t applied = 0;
        note_moved(m, h, group, count, a);
        for (; a < h->applied.count && is_same(group, &h->applied.list[a]); a++) {
            applied++;
        }
        if (applied > count) {
            m->twice += applied - count;
            m->example_twice = (struct applied_point){.device = group->device, .point = group->seq};
        }
        if (applied < count) {
            note_lost(m, h, drops, group, count, applied);
        }
        s += count;
    }
    for (; a < h->applied.count; a++) {
        m->example_invented = h->applied.list[a];
        m->invented++;
    }
}

/* ---- losses, by where they lie ---- */

static const char *const place_names[PLACE_COUNT] = {
    [PLACE_PREFIX] = "the prefix",
    [PLACE_MIDDLE] = "the middle",
    [PLACE_END] = "the end",
    [PLACE_ALL] = "all",
};

struct extent {
    uint64_t first, last; /* seqs that the device sent */
};

static struct extent extent_of(const struct history *h, size_t from)
{
    struct extent e = {.first = h->sent.list[from].seq};
    for (size_t i = from; i < h->sent.count && h->sent.list[i].device == h->sent.list[from].device;
         i++) {
        e.last = h->sent.list[i].seq;
    }
    return e;
}

/* Runs of lost messages: neighbours among what was sent. Both lists are by device and seq. */
static void class_losses(struct history *h, struct merged *m, struct findings *out)
{
    uint64_t counts[PLACE_COUNT] = {0};
    struct sent_point example[PLACE_COUNT] = {{0}};
    qsort(h->sent.list, h->sent.count, sizeof *h->sent.list, by_seq);
    qsort(m->lost, m->lost_count, sizeof *m->lost, by_seq);
    size_t s = 0;
    struct extent extent = {0};
    uint32_t of_device = UINT32_MAX;
    for (size_t i = 0; i < m->lost_count;) {
        const struct sent_point *run = &m->lost[i];
        while (by_seq(&h->sent.list[s], run) != 0) {
            s++;
        }
        if (of_device != run->device) {
            size_t begin = s;
            while (begin > 0 && h->sent.list[begin - 1].device == run->device) {
                begin--;
            }
            extent = extent_of(h, begin);
            of_device = run->device;
        }
        size_t count = 1;
        while (i + count < m->lost_count && s + count < h->sent.count
               && by_seq(&m->lost[i + count], &h->sent.list[s + count]) == 0
               && run[count].device == run->device) {
            count++;
        }
        bool from_first = run->seq == extent.first;
        bool to_last = run[count - 1].seq == extent.last;
        enum place place = from_first && to_last ? PLACE_ALL
                           : from_first          ? PLACE_PREFIX
                           : to_last             ? PLACE_END
                                                 : PLACE_MIDDLE;
        example[place] = counts[place] == 0 ? *run : example[place];
        counts[place] += count;
        i += count;
    }
    for (int place = 0; place < PLACE_COUNT; place++) {
        findings_add(out, CHECK_TELEMETRY, counts[place],
                     "%llu acknowledged values lost at %s of what was sent, for example seq %llu "
                     "of device %u (boot %u)",
                     (unsigned long long)counts[place], place_names[place],
                     (unsigned long long)example[place].seq, example[place].device,
                     example[place].boot);
    }
}

void check_telemetry(struct history *h, bool detected_is_enough, struct findings *out)
{
    struct merged m = {0};
    struct drops drops;
    uint64_t silent = 0;
    unite(h);
    qsort(h->applied.list, h->applied.count, sizeof *h->applied.list, by_applied);
    qsort(h->acked.list, h->acked.count, sizeof *h->acked.list, by_acked);
    drops_make(&drops, h, detected_is_enough);
    m.lost = calloc(h->sent.count + 1, sizeof *m.lost);
    INVARIANT(m.lost != NULL);
    merge(h, &drops, &m);
    for (size_t i = 0; i < h->dropped.count; i++) {
        const char *reason = h->dropped.list[i].reason;
        silent += reason == NULL || reason[0] == '\0' ? 1 : 0;
    }
    findings_looked(out, CHECK_TELEMETRY, h->sent.count + h->acked.count + h->applied.count);
    findings_add(out, CHECK_TELEMETRY, m.invented,
                 "%llu values in the store were never sent, one of them by device %u",
                 (unsigned long long)m.invented, m.example_invented.device);
    findings_add(out, CHECK_TELEMETRY, m.twice,
                 "%llu values were applied more than once, for example seq %llu of device %u",
                 (unsigned long long)m.twice, (unsigned long long)m.example_twice.point,
                 m.example_twice.device);
    findings_add(out, CHECK_TELEMETRY, m.moved,
                 "%llu values have another time than they were sent with, for example seq %llu of "
                 "device %u",
                 (unsigned long long)m.moved, (unsigned long long)m.example_moved.point,
                 m.example_moved.device);
    findings_add(out, CHECK_TELEMETRY, silent, "%llu drops have no reason",
                 (unsigned long long)silent);
    if (!h->loss_is_told) {
        class_losses(h, &m, out);
    }
    drops_free(&drops);
    free(m.lost);
}
