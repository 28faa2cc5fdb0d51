/*
 * The received set of one device: which of its sequence numbers were applied. Not a sliding window
 * but `next` and the gaps below it, so that a message that waited a week in a dead gateway's spool
 * still fits its gap once, and never twice. Bounded: at most RECEIVED_GAPS_MAX gaps, and four
 * without a block of the shared pool; where there is no room the oldest gap closes as declared
 * lost, which the caller is told and keeps as evidence. A number declared lost counts as received:
 * it can no longer be applied.
 *
 *                 offer(seq)                         restart(first)
 *   seq >= next   [next, seq) becomes a gap          first > next: [next, first) becomes a gap that
 *   in a gap      the gap shrinks or splits          was perhaps never issued
 *   otherwise     duplicate, nothing changes         otherwise nothing changes
 *
 * Only an authenticated message may be offered: core/ingest/admit sees to it.
 */
#ifndef CORE_INGEST_RECEIVED_H
#define CORE_INGEST_RECEIVED_H

#include "codec/received_report.h"

#include <assert.h>

enum { RECEIVED_INLINE = 4, RECEIVED_LOSSES_MAX = 2 };

struct received_run { /* a gap, packed */
    uint64_t from;
    uint32_t count_why; /* count in the lower 30 bits, enum gap_why above */
    uint32_t since_s;
};

struct received {
    uint64_t next;
    uint64_t lost;
    uint64_t duplicates;
    uint32_t spill; /* 1 + index of the pool block that holds all gaps; 0: they are in `runs` */
    uint32_t count;
    struct received_run runs[RECEIVED_INLINE];
};
static_assert(sizeof(struct received) <= 100, "limits.md 4: a device's received set in memory");

struct received_spill {
    uint32_t next_free; /* 1 + index of the next free block, while this one is free */
    struct received_run runs[RECEIVED_GAPS_MAX];
};

/* Blocks for the devices that have more than four gaps, shared by all. */
struct received_pool {
    struct received_spill *blocks;
    uint32_t cap;
    uint32_t used;
    uint32_t fresh;      /* blocks from the first that were ever used: the others are untouched */
    uint32_t first_free; /* of these, 1 + index; 0: none */
};

enum received_result {
    RECEIVED_NEW = 1,   /* it is in the set now */
    RECEIVED_DUPLICATE, /* it was there already, or was declared lost */
    RECEIVED_REFUSED    /* 0 and 2^64 - 1 are no sequence numbers */
};

/* Numbers that can no longer be applied; both ends inclusive. */
struct received_loss {
    uint64_t from, to;
    uint32_t since_s;
    enum gap_why why;
};
struct received_losses {
    uint32_t count;
    struct received_loss list[RECEIVED_LOSSES_MAX];
};

void received_pool_init(struct received_pool *pool, struct received_spill *blocks, uint32_t cap);

void received_init(struct received *r);

bool received_pool_has_room(const struct received_pool *pool);

/* Gives its pool block back. */
void received_release(struct received *r, struct received_pool *pool);

bool received_has(const struct received *r, const struct received_pool *pool, uint64_t seq);

/* `now_s`: wall time, a gap's age for people. `losses` is always written. */
MUST_USE enum received_result received_offer(struct received *r,
                                             struct received_pool *pool,
                                             uint64_t seq,
                                             uint32_t now_s,
                                             struct received_losses *losses);

/* A new boot begins at `first`. False: no sequence number, nothing changed. */
MUST_USE bool received_restart(struct received *r,
                               struct received_pool *pool,
                               uint64_t first,
                               uint32_t now_s,
                               struct received_losses *losses);

void received_to_report(const struct received *r,
                        const struct received_pool *pool,
                        struct received_report *out);

enum received_load {
    RECEIVED_LOADED = 1,
    RECEIVED_UNSOUND, /* the report breaks its own rules */
    RECEIVED_NO_BLOCK /* it has more than four gaps and the pool has no block left */
};

/* `r` is empty or released, and written only on RECEIVED_LOADED. */
MUST_USE enum received_load received_from_report(struct received *r,
                                                 struct received_pool *pool,
                                                 const struct received_report *report);

/* Every invariant of a set. */
void received_check(const struct received *r, const struct received_pool *pool);

#endif
