/* Of a boot whose hello must be refused nothing is accepted. */
#include "base/invariant.h"
#include "sim/history.h"

#include <stdlib.h>

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

static int by_boot(const void *left, const void *right)
{
    const struct said_boot *a = left;
    const struct said_boot *b = right;
    int order = compare(a->device, b->device);
    return order != 0 ? order : compare(a->boot, b->boot);
}

static int by_applied(const void *left, const void *right)
{
    const struct applied_point *a = left;
    const struct applied_point *b = right;
    int order = compare(a->device, b->device);
    return order != 0 ? order : compare(a->point, b->point);
}

/* Boots of which every hello had to be refused: an agent may say an older boot's again, better. */
static struct said_boot *refused_boots(struct history *h, size_t *count)
{
    struct said_boot *list = calloc(h->boots.count + 1, sizeof *list);
    INVARIANT(list != NULL);
    qsort(h->boots.list, h->boots.count, sizeof *h->boots.list, by_boot);
    *count = 0;
    for (size_t i = 0; i < h->boots.count;) {
        bool all = true;
        size_t from = i;
        for (; i < h->boots.count && by_boot(&h->boots.list[from], &h->boots.list[i]) == 0; i++) {
            all = all && h->boots.list[i].must_be_refused;
        }
        if (all) {
            list[(*count)++] = h->boots.list[from];
        }
    }
    return list;
}

void check_versions(struct history *h, struct findings *out)
{
    size_t count;
    uint64_t looked = 0, wrong = 0;
    const struct sent_point *first = NULL;
    struct said_boot *refused = refused_boots(h, &count);
    qsort(h->applied.list, h->applied.count, sizeof *h->applied.list, by_applied);
    for (size_t i = 0; i < h->sent.count && count > 0; i++) {
        const struct sent_point *sent = &h->sent.list[i];
        struct said_boot boot = {.device = sent->device, .boot = sent->boot};
        struct applied_point applied = {.device = sent->device, .point = sent->point};
        if (bsearch(&boot, refused, count, sizeof boot, by_boot) == NULL) {
            continue;
        }
        looked++;
        if (h->applied.count > 0
            && bsearch(&applied, h->applied.list, h->applied.count, sizeof applied, by_applied)
                   != NULL) {
            first = wrong++ == 0 ? sent : first;
        }
    }
    free(refused);
    findings_looked(out, CHECK_TELEMETRY, looked);
    if (first != NULL) {
        findings_add(out, CHECK_TELEMETRY, wrong,
                     "%llu values of boots whose hello must be refused were applied, for example "
                     "seq %llu of device %u (boot %u)",
                     (unsigned long long)wrong, (unsigned long long)first->seq, first->device,
                     first->boot);
    }
}
