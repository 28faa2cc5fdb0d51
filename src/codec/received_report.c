#include "codec/received_report.h"

#include "base/invariant.h"
#include "base/reader.h"

enum { VERSION = 1 };

static bool gap_why_from_wire(uint8_t raw, enum gap_why *out)
{
    switch (raw) {
    case GAP_MISSING:
    case GAP_RESTART: *out = (enum gap_why)raw; return true;
    }
    return false;
}

bool received_report_is_sound(const struct received_report *report)
{
    if (report->next == 0 || report->gap_count > RECEIVED_GAPS_MAX) {
        return false;
    }
    uint64_t free_from = 1; /* the lowest number the next gap may hold */
    for (uint32_t i = 0; i < report->gap_count; i++) {
        const struct received_gap *gap = &report->gaps[i];
        if (gap->count == 0 || gap->count > RECEIVED_GAP_SPAN_MAX || gap->from < free_from
            || gap->from >= report->next || report->next - gap->from < gap->count) {
            return false;
        }
        free_from = gap->from + gap->count;
    }
    return free_from <= report->next;
}

enum received_report_result received_report_decode(struct slice bytes, struct received_report *out)
{
    struct reader r = reader_over(bytes);
    struct received_report report = {0};
    uint8_t version = read_u8(&r);
    report.next = read_u64(&r);
    report.lost = read_u64(&r);
    report.duplicates = read_u64(&r);
    report.gap_count = read_u8(&r);
    if (version != VERSION || report.gap_count > RECEIVED_GAPS_MAX) {
        return RECEIVED_REPORT_MALFORMED;
    }
    for (uint32_t i = 0; i < report.gap_count; i++) {
        struct received_gap *gap = &report.gaps[i];
        gap->from = read_u64(&r);
        gap->count = read_u32(&r);
        gap->since_s = read_u32(&r);
        if (!gap_why_from_wire(read_u8(&r), &gap->why)) {
            return RECEIVED_REPORT_MALFORMED;
        }
    }
    if (!reader_done(&r) || !received_report_is_sound(&report)) {
        return RECEIVED_REPORT_MALFORMED;
    }
    *out = report;
    return RECEIVED_REPORT_OK;
}

enum received_report_result received_report_encode(const struct received_report *report,
                                                   struct writer *w)
{
    if (!received_report_is_sound(report)) {
        return RECEIVED_REPORT_MALFORMED;
    }
    write_u8(w, VERSION);
    write_u64(w, report->next);
    write_u64(w, report->lost);
    write_u64(w, report->duplicates);
    write_u8(w, (uint8_t)report->gap_count);
    for (uint32_t i = 0; i < report->gap_count; i++) {
        write_u64(w, report->gaps[i].from);
        write_u32(w, report->gaps[i].count);
        write_u32(w, report->gaps[i].since_s);
        write_u8(w, (uint8_t)report->gaps[i].why);
    }
    return writer_ok(w) ? RECEIVED_REPORT_OK : RECEIVED_REPORT_NO_ROOM;
}

uint64_t received_report_missing(const struct received_report *report, enum gap_why why)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < report->gap_count; i++) {
        sum += report->gaps[i].why == why ? report->gaps[i].count : 0;
    }
    return sum;
}

const char *gap_why_name(enum gap_why why)
{
    switch (why) {
    case GAP_MISSING: return "missing";
    case GAP_RESTART: return "restart";
    }
    UNREACHABLE();
}
