#include "core/ingest/received.h"

#include "base/invariant.h"

#include <string.h>

enum { COUNT_BITS = 30, COUNT_MASK = RECEIVED_GAP_SPAN_MAX };
static_assert(COUNT_MASK == (1 << COUNT_BITS) - 1, "a gap's length fills its bits");

static uint32_t run_count(const struct received_run *run)
{
    return run->count_why & COUNT_MASK;
}

static enum gap_why run_why(const struct received_run *run)
{
    return (enum gap_why)(run->count_why >> COUNT_BITS);
}

static uint64_t run_last(const struct received_run *run)
{
    return run->from + run_count(run) - 1;
}

static struct received_run run_of(uint64_t from, uint64_t last, enum gap_why why, uint32_t since_s)
{
    INVARIANT(from <= last);
    INVARIANT(last - from < COUNT_MASK);
    return (struct received_run){.from = from,
                                 .count_why =
                                     (uint32_t)(last - from + 1) | (uint32_t)why << COUNT_BITS,
                                 .since_s = since_s};
}

void received_pool_init(struct received_pool *pool, struct received_spill *blocks, uint32_t cap)
{
    *pool = (struct received_pool){.blocks = blocks, .cap = cap};
}

bool received_pool_has_room(const struct received_pool *pool)
{
    return pool->first_free != 0 || pool->fresh < pool->cap;
}

static uint32_t pool_take(struct received_pool *pool)
{
    uint32_t block = pool->first_free;
    if (block != 0) {
        pool->first_free = pool->blocks[block - 1].next_free;
    } else if (pool->fresh < pool->cap) {
        block = ++pool->fresh;
    } else {
        return 0;
    }
    pool->blocks[block - 1].next_free = 0;
    pool->used++;
    return block;
}

static void pool_give(struct received_pool *pool, uint32_t block)
{
    INVARIANT(block > 0 && block <= pool->cap);
    INVARIANT(pool->used > 0);
    pool->blocks[block - 1].next_free = pool->first_free;
    pool->first_free = block;
    pool->used--;
}

void received_init(struct received *r)
{
    *r = (struct received){.next = 1};
}

void received_release(struct received *r, struct received_pool *pool)
{
    if (r->spill != 0) {
        pool_give(pool, r->spill);
    }
    received_init(r);
}

static struct received_run *runs_of(struct received *r, struct received_pool *pool)
{
    return r->spill == 0 ? r->runs : pool->blocks[r->spill - 1].runs;
}

static const struct received_run *runs_seen(const struct received *r,
                                            const struct received_pool *pool)
{
    return r->spill == 0 ? r->runs : pool->blocks[r->spill - 1].runs;
}

/* The index of the first gap that ends at or above `seq`; r->count where there is none. */
static uint32_t run_at(const struct received *r, const struct received_run *runs, uint64_t seq)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run_last(&runs[middle]) < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool received_has(const struct received *r, const struct received_pool *pool, uint64_t seq)
{
    if (seq == 0 || seq >= r->next) {
        return false;
    }
    const struct received_run *runs = runs_seen(r, pool);
    uint32_t i = run_at(r, runs, seq);
    return i == r->count || seq < runs[i].from;
}

static void lose(struct received *r,
                 struct received_losses *losses,
                 const struct received_loss *loss)
{
    INVARIANT(losses->count < RECEIVED_LOSSES_MAX);
    r->lost += loss->to - loss->from + 1;
    losses->list[losses->count++] = *loss;
}

static void close_oldest(struct received *r,
                         struct received_run *runs,
                         struct received_losses *losses)
{
    INVARIANT(r->count > 0);
    lose(r, losses,
         &(struct received_loss){.from = runs[0].from,
                                 .to = run_last(&runs[0]),
                                 .since_s = runs[0].since_s,
                                 .why = run_why(&runs[0])});
    r->count--;
    memmove(runs, runs + 1, r->count * sizeof *runs);
}

/* Room for one gap more: in place, in a block of the pool, or in the place of the oldest gap. */
static struct received_run *make_room(struct received *r,
                                      struct received_pool *pool,
                                      struct received_losses *losses)
{
    struct received_run *runs = runs_of(r, pool);
    if (r->count < (r->spill == 0 ? (uint32_t)RECEIVED_INLINE : (uint32_t)RECEIVED_GAPS_MAX)) {
        return runs;
    }
    if (r->spill == 0) {
        r->spill = pool_take(pool);
        if (r->spill != 0) {
            memcpy(pool->blocks[r->spill - 1].runs, r->runs, sizeof r->runs);
            memset(r->runs, 0, sizeof r->runs);
            return runs_of(r, pool);
        }
    }
    close_oldest(r, runs, losses);
    return runs;
}

/* Few gaps again: back into the struct, at half its room so that one gap more does not move them at
 * once. */
static void tidy(struct received *r, struct received_pool *pool)
{
    if (r->spill != 0 && r->count <= RECEIVED_INLINE / 2) {
        memcpy(r->runs, pool->blocks[r->spill - 1].runs, r->count * sizeof r->runs[0]);
        pool_give(pool, r->spill);
        r->spill = 0;
    }
}

/* [from, last], just below the new `next`, becomes a gap, or makes the newest gap of its kind
 * longer. */
static void open_gap(struct received *r,
                     struct received_pool *pool,
                     const struct received_loss *gap,
                     struct received_losses *losses)
{
    uint64_t from = gap->from;
    if (gap->to - from
        >= COUNT_MASK) { /* longer than a gap can be: only its newer part may still come */
        uint64_t keep_from = gap->to - COUNT_MASK + 1;
        lose(r, losses,
             &(struct received_loss){
                 .from = from, .to = keep_from - 1, .since_s = gap->since_s, .why = gap->why});
        from = keep_from;
    }
    struct received_run *runs = runs_of(r, pool);
    if (r->count > 0) {
        struct received_run *newest = &runs[r->count - 1];
        bool touches = run_last(newest) + 1 == from && run_why(newest) == gap->why;
        if (touches && gap->to - newest->from < COUNT_MASK) {
            *newest = run_of(newest->from, gap->to, gap->why, newest->since_s);
            return;
        }
    }
    runs = make_room(r, pool, losses);
    runs[r->count++] = run_of(from, gap->to, gap->why, gap->since_s);
}

/* `seq` lies in the gap at index i: takes it out. */
static void fill(struct received *r,
                 struct received_pool *pool,
                 uint32_t i,
                 uint64_t seq,
                 struct received_losses *losses)
{
    struct received_run *runs = runs_of(r, pool);
    struct received_run gap = runs[i];
    uint64_t last = run_last(&gap);
    if (gap.from == last) {
        r->count--;
        memmove(&runs[i], &runs[i + 1], (r->count - i) * sizeof *runs);
        tidy(r, pool);
    } else if (seq == gap.from) {
        runs[i] = run_of(seq + 1, last, run_why(&gap), gap.since_s);
    } else if (seq == last) {
        runs[i] = run_of(gap.from, seq - 1, run_why(&gap), gap.since_s);
    } else {
        runs[i] = run_of(gap.from, seq - 1, run_why(&gap), gap.since_s);
        uint32_t before = r->count;
        runs = make_room(r, pool, losses);
        i -= before
             - r->count; /* the oldest may have gone; with i = 0 that was the lower part itself */
        memmove(&runs[i + 2], &runs[i + 1], (r->count - (i + 1)) * sizeof *runs);
        runs[i + 1] = run_of(seq + 1, last, run_why(&gap), gap.since_s);
        r->count++;
    }
}

enum received_result received_offer(struct received *r,
                                    struct received_pool *pool,
                                    uint64_t seq,
                                    uint32_t now_s,
                                    struct received_losses *losses)
{
    losses->count = 0;
    if (seq == 0 || seq == UINT64_MAX) {
        return RECEIVED_REFUSED;
    }
    if (seq >= r->next) {
        uint64_t from = r->next;
        r->next = seq + 1;
        if (seq > from) {
            open_gap(r, pool,
                     &(struct received_loss){
                         .from = from, .to = seq - 1, .since_s = now_s, .why = GAP_MISSING},
                     losses);
        }
        return RECEIVED_NEW;
    }
    const struct received_run *runs = runs_seen(r, pool);
    uint32_t i = run_at(r, runs, seq);
    if (i == r->count || seq < runs[i].from) {
        r->duplicates++;
        return RECEIVED_DUPLICATE;
    }
    fill(r, pool, i, seq, losses);
    return RECEIVED_NEW;
}

bool received_restart(struct received *r,
                      struct received_pool *pool,
                      uint64_t first,
                      uint32_t now_s,
                      struct received_losses *losses)
{
    losses->count = 0;
    if (first == 0 || first == UINT64_MAX) {
        return false;
    }
    if (first > r->next) {
        uint64_t from = r->next;
        r->next = first;
        open_gap(r, pool,
                 &(struct received_loss){
                     .from = from, .to = first - 1, .since_s = now_s, .why = GAP_RESTART},
                 losses);
    }
    return true;
}

void received_to_report(const struct received *r,
                        const struct received_pool *pool,
                        struct received_report *out)
{
    *out = (struct received_report){
        .next = r->next, .lost = r->lost, .duplicates = r->duplicates, .gap_count = r->count};
    const struct received_run *runs = runs_seen(r, pool);
    for (uint32_t i = 0; i < r->count; i++) {
        out->gaps[i] = (struct received_gap){.from = runs[i].from,
                                             .count = run_count(&runs[i]),
                                             .since_s = runs[i].since_s,
                                             .why = run_why(&runs[i])};
    }
}

enum received_load received_from_report(struct received *r,
                                        struct received_pool *pool,
                                        const struct received_report *report)
{
    if (!received_report_is_sound(report)) {
        return RECEIVED_UNSOUND;
    }
    struct received loaded = {.next = report->next,
                              .lost = report->lost,
                              .duplicates = report->duplicates,
                              .count = report->gap_count};
    if (loaded.count > RECEIVED_INLINE) {
        loaded.spill = pool_take(pool);
        if (loaded.spill == 0) {
            return RECEIVED_NO_BLOCK;
        }
    }
    struct received_run *runs = runs_of(&loaded, pool);
    for (uint32_t i = 0; i < loaded.count; i++) {
        const struct received_gap *gap = &report->gaps[i];
        runs[i] = run_of(gap->from, gap->from + gap->count - 1, gap->why, gap->since_s);
    }
    *r = loaded;
    return RECEIVED_LOADED;
}

void received_check(const struct received *r, const struct received_pool *pool)
{
    INVARIANT(r->next >= 1);
    INVARIANT(r->spill <= pool->cap);
    INVARIANT(r->count
              <= (r->spill == 0 ? (uint32_t)RECEIVED_INLINE : (uint32_t)RECEIVED_GAPS_MAX));
    INVARIANT(pool->used <= pool->cap);
    const struct received_run *runs = runs_seen(r, pool);
    uint64_t free_from = 1;
    for (uint32_t i = 0; i < r->count; i++) {
        INVARIANT(run_count(&runs[i]) > 0);
        INVARIANT(run_why(&runs[i]) <= GAP_RESTART);
        INVARIANT(runs[i].from >= free_from);
        INVARIANT(run_last(&runs[i]) < r->next);
        free_from = run_last(&runs[i]) + 1;
    }
}
