#include "core/gateway/backlog.h"

#include "base/invariant.h"

#include <string.h>

enum { EVERY_MS = 1000 };

/* Marks at or below `read` say nothing any more but the newest of them: what lies behind it came
 * after it. */
static void forget(struct gw_backlog *b, uint64_t read)
{
    uint32_t done = 0;
    while (done + 1 < b->count && b->marks[done + 1].head <= read) {
        done++;
    }
    memmove(b->marks, b->marks + done, (b->count - done) * sizeof b->marks[0]);
    b->count -= done;
    if (b->count < GW_BACKLOG_MARKS / 4) {
        b->every_ms = EVERY_MS;
    }
}

/* Every second one: ages become coarser, never smaller than they are. */
static void thin(struct gw_backlog *b)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->count; i += 2) {
        b->marks[kept++] = b->marks[i];
    }
    b->count = kept;
    b->every_ms *= 2;
}

void gw_backlog_note(struct gw_backlog *b, uint64_t head, uint64_t read, uint64_t now_ms)
{
    forget(b, read);
    const struct gw_backlog_mark *last = b->count > 0 ? &b->marks[b->count - 1] : NULL;
    if (head <= read) { /* all is applied: what comes now comes after now */
        b->marks[0] = (struct gw_backlog_mark){.head = head, .at_ms = now_ms};
        b->count = 1;
        return;
    }
    if (last != NULL && (last->head >= head || now_ms - last->at_ms < b->every_ms)) {
        return;
    }
    if (b->count == GW_BACKLOG_MARKS) {
        thin(b);
    }
    b->marks[b->count++] = (struct gw_backlog_mark){.head = head, .at_ms = now_ms};
}

uint64_t gw_backlog_age_ms(const struct gw_backlog *b,
                           uint64_t head,
                           uint64_t read,
                           uint64_t now_ms)
{
    uint64_t since = now_ms;
    if (head <= read) {
        return 0;
    }
    for (uint32_t i = 0; i < b->count && (i == 0 || b->marks[i].head <= read); i++) {
        since = b->marks[i].at_ms;
    }
    return now_ms - since;
}

void gw_backlog_check(const struct gw_backlog *b)
{
    INVARIANT(b->count <= GW_BACKLOG_MARKS);
    for (uint32_t i = 1; i < b->count; i++) {
        INVARIANT(b->marks[i].head > b->marks[i - 1].head);
        INVARIANT(b->marks[i].at_ms >= b->marks[i - 1].at_ms);
    }
}
