#include "sim/history.h"

#include "base/invariant.h"

#include <stdlib.h>
#include <string.h>

static void *grown(void *list, size_t count, size_t *cap, size_t item)
{
    if (count < *cap) {
        return list;
    }
    *cap = *cap == 0 ? 1024 : *cap * 2;
    list = realloc(list, *cap * item);
    INVARIANT(list != NULL);
    return list;
}

#define PUT(part, value)                                                                           \
    ((part).list = grown((part).list, (part).count, &(part).cap, sizeof *(part).list),             \
     (part).list[(part).count++] = (value))

void history_sent(struct history *h, const struct sent_point *point)
{
    PUT(h->sent, *point);
}

void history_acked(struct history *h, uint32_t device, uint64_t seq)
{
    PUT(h->acked, ((struct acked_message){.device = device, .seq = seq}));
}

void history_applied(struct history *h, uint32_t device, uint64_t point, int64_t time_ms)
{
    PUT(h->applied, ((struct applied_point){.device = device, .point = point, .time_ms = time_ms}));
}

void history_dropped(struct history *h, const struct dropped_range *range)
{
    PUT(h->dropped, *range);
}

void history_boot(struct history *h, const struct said_boot *boot)
{
    PUT(h->boots, *boot);
}

void history_free(struct history *h)
{
    free(h->sent.list);
    free(h->acked.list);
    free(h->applied.list);
    free(h->dropped.list);
    free(h->boots.list);
    free(h->spoilt);
    *h = (struct history){0};
}

void history_spoil(struct history *h, uint32_t device)
{
    if (device >= h->spoilt_cap) {
        uint32_t cap = (device + 1) * 2;
        h->spoilt = realloc(h->spoilt, cap);
        INVARIANT(h->spoilt != NULL);
        memset(h->spoilt + h->spoilt_cap, 0, cap - h->spoilt_cap);
        h->spoilt_cap = cap;
    }
    h->spoilt[device] = true;
}

bool history_is_spoilt(const struct history *h, uint32_t device)
{
    return device < h->spoilt_cap && h->spoilt[device];
}

#define EXCLUDE(part, who)                                                                         \
    do {                                                                                           \
        size_t kept = 0;                                                                           \
        for (size_t i = 0; i < (part).count; i++) {                                                \
            if ((part).list[i].device != (who)) {                                                  \
                (part).list[kept++] = (part).list[i];                                              \
            }                                                                                      \
        }                                                                                          \
        (part).count = kept;                                                                       \
    } while (0)

void history_exclude(struct history *h, uint32_t device)
{
    EXCLUDE(h->sent, device);
    EXCLUDE(h->acked, device);
    EXCLUDE(h->applied, device);
    EXCLUDE(h->dropped, device);
    EXCLUDE(h->boots, device);
}

void history_forget_acks(struct history *h, uint32_t device)
{
    EXCLUDE(h->acked, device);
}
