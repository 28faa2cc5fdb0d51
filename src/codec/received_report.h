/*
 * A device's received set as it is kept and shown: `next` is one above the highest sequence number
 * that arrived, the gaps are what is missing below it, oldest first. Written by ingest with the
 * points it belongs to, read by the registry. docs/protocol/received-set.md has the layout.
 */
#ifndef CODEC_RECEIVED_REPORT_H
#define CODEC_RECEIVED_REPORT_H

#include "base/slice.h"
#include "base/writer.h"

enum {
    RECEIVED_GAPS_MAX = 64,
    RECEIVED_GAP_SPAN_MAX =
        0x3fffffff, /* numbers in one gap; a longer jump loses the older part at once */
    RECEIVED_REPORT_MAX = 48 + RECEIVED_GAPS_MAX * 24
};

enum gap_why {
    GAP_MISSING, /* issued by the device for all we know; may still come */
    GAP_RESTART  /* between the last seen and the first number of a later boot: perhaps never issued
                  */
};
enum { GAP_WHY_COUNT = GAP_RESTART + 1 };

struct received_gap {
    uint64_t from; /* first number missing */
    uint32_t count;
    uint32_t since_s; /* wall time, seconds since 1970, when it was first seen to be missing; 0:
                         unknown */
    enum gap_why why;
};

struct received_report {
    uint64_t next;       /* 1 for a device of which nothing came yet */
    uint64_t lost;       /* numbers that were declared lost: closed because the list was full */
    uint64_t duplicates; /* authentic messages that came again */
    uint32_t gap_count;
    struct received_gap gaps[RECEIVED_GAPS_MAX];
};

enum received_report_result {
    RECEIVED_REPORT_OK = 0,
    RECEIVED_REPORT_MALFORMED,
    RECEIVED_REPORT_NO_ROOM
};

MUST_USE enum received_report_result received_report_decode(struct slice bytes,
                                                            struct received_report *out);
MUST_USE enum received_report_result received_report_encode(const struct received_report *report,
                                                            struct writer *w);

/* Gaps ordered, disjoint, not empty, above 0 and below `next`. */
bool received_report_is_sound(const struct received_report *report);

/* How many numbers its gaps of one kind hold. */
uint64_t received_report_missing(const struct received_report *report, enum gap_why why);

const char *gap_why_name(enum gap_why why); /* "missing", "restart" */

#endif
