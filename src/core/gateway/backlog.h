/*
 * How old is the oldest record of the spool that ingest has not applied? Positions are noted with
 * the time at which they were the head; between two notes the older time is told: an age is never
 * told too small, and too great by the distance of two notes at most. What was unread when it began
 * to look is as old as the looking: a restart knows no better.
 */
#ifndef CORE_GATEWAY_BACKLOG_H
#define CORE_GATEWAY_BACKLOG_H

#include "base/slice.h"

enum { GW_BACKLOG_MARKS = 128 };

struct gw_backlog {
    uint32_t count;
    uint64_t every_ms; /* the least distance of two notes: doubled where there is no room */
    struct gw_backlog_mark {
        uint64_t head; /* of the spool, at ... */
        uint64_t at_ms;
    } marks[GW_BACKLOG_MARKS]; /* both rise */
};

/* The head of the spool is `head`, and `read` of it is applied. To be called about once a second.
 */
void gw_backlog_note(struct gw_backlog *b, uint64_t head, uint64_t read, uint64_t now_ms);
/* In ms; 0 where everything is applied. */
uint64_t gw_backlog_age_ms(const struct gw_backlog *b,
                           uint64_t head,
                           uint64_t read,
                           uint64_t now_ms);
void gw_backlog_check(const struct gw_backlog *b);

#endif
