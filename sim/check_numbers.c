/* Numbers that must be unique over a device's whole life. */
#include "sim/history.h"

#include <stdlib.h>

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

static int by_seq(const void *left, const void *right)
{
    const struct sent_point *a = left;
    const struct sent_point *b = right;
    int order = compare(a->device, b->device);
    order = order != 0 ? order : compare(a->seq, b->seq);
    order = order != 0 ? order : compare(a->message, b->message);
    return order != 0 ? order : compare(a->point, b->point);
}

static int by_boot(const void *left, const void *right)
{
    const struct said_boot *a = left;
    const struct said_boot *b = right;
    int order = compare(a->device, b->device);
    order = order != 0 ? order : compare(a->boot, b->boot);
    return order != 0 ? order : compare(a->key, b->key);
}

static void check_seqs(struct history *h, struct findings *out)
{
    uint64_t reused = 0, behind = 0;
    const struct sent_point *first = NULL, *first_behind = NULL;
    qsort(h->sent.list, h->sent.count, sizeof *h->sent.list, by_seq);
    for (size_t i = 1; i < h->sent.count; i++) {
        const struct sent_point *a = &h->sent.list[i - 1];
        const struct sent_point *b = &h->sent.list[i];
        if (a->device != b->device || history_is_spoilt(h, a->device)) {
            continue;
        }
        if (a->seq == b->seq && a->message != b->message) {
            first = reused++ == 0 ? b : first;
        }
        if (a->boot > b->boot) { /* a later boot's numbers lie above all before it */
            first_behind = behind++ == 0 ? b : first_behind;
        }
    }
    findings_looked(out, CHECK_NUMBERS, h->sent.count);
    if (first != NULL) {
        findings_add(out, CHECK_NUMBERS, reused,
                     "%llu numbers name two messages, for example seq %llu of device %u",
                     (unsigned long long)reused, (unsigned long long)first->seq, first->device);
    }
    if (first_behind != NULL) {
        findings_add(
            out, CHECK_NUMBERS, behind,
            "%llu times a boot goes back while seq rises, for example at seq %llu of device %u",
            (unsigned long long)behind, (unsigned long long)first_behind->seq,
            first_behind->device);
    }
}

static void check_boots(struct history *h, struct findings *out)
{
    uint64_t reused = 0;
    const struct said_boot *first = NULL;
    qsort(h->boots.list, h->boots.count, sizeof *h->boots.list, by_boot);
    for (size_t i = 1; i < h->boots.count; i++) {
        const struct said_boot *a = &h->boots.list[i - 1];
        const struct said_boot *b = &h->boots.list[i];
        if (a->device == b->device && a->boot == b->boot && !history_is_spoilt(h, a->device)
            && (a->key != b->key || a->first != b->first)) {
            first = reused++ == 0 ? b : first;
        }
    }
    findings_looked(out, CHECK_NUMBERS, h->boots.count);
    if (first != NULL) {
        findings_add(out, CHECK_NUMBERS, reused,
                     "%llu boots were begun twice, for example boot %u of device %u",
                     (unsigned long long)reused, first->boot, first->device);
    }
}

void check_numbers(struct history *h, struct findings *out)
{
    check_seqs(h, out);
    check_boots(h, out);
}
