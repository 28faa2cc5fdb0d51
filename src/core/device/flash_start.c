/* How a flash log starts: what it finds, and what it makes of that. */
#include "base/invariant.h"
#include "core/device/flash_inside.h"

static struct slice buffer_of(const struct flash_log *l)
{
    return slice_of(l->buffer, l->limits.block_len);
}

/* What the records in the buffer say of their block, whose head is known. */
static void scan(const struct flash_log *l, struct flash_block *b)
{
    struct flash_record record;
    uint32_t next = 0;
    b->end = b->first;
    b->noted = b->done;
    b->used = FLASH_HEAD_LEN;
    b->last = 0;
    b->is_hurt = false;
    while (b->used < l->limits.block_len) {
        switch (flash_record_at(&l->limits, buffer_of(l), b->used, b->end, &record, &next)) {
        case FLASH_RECORD:
            b->last = b->used;
            if (record.kind == FLASH_DATA) {
                b->end = record.position + 1;
            } else if (record.position > b->noted) {
                b->noted = record.position;
            }
            break;
        case FLASH_ROTTEN: b->is_hurt = true; break;
        case FLASH_END: return;
        }
        b->used = next;
    }
}

void flash_look(struct flash_log *l, uint16_t index)
{
    struct flash_block *b = &l->blocks[index];
    struct flash_head head;
    *b = (struct flash_block){.state = flash_is_blank(buffer_of(l)) ? FLASH_BLANK : FLASH_SPENT};
    if (flash_head_decode(&l->limits, buffer_of(l), &head)) {
        b->written = head.written;
        b->first = head.first;
        b->done = head.done;
        scan(l, b);
    }
}

uint16_t flash_newest(const struct flash_log *l)
{
    uint16_t newest = FLASH_NO_BLOCK;
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        if (l->blocks[i].written > 0
            && (newest == FLASH_NO_BLOCK || l->blocks[i].written > l->blocks[newest].written)) {
            newest = i;
        }
    }
    return newest;
}

static uint64_t reach_of(const struct flash_block *b, uint64_t need)
{
    return b->end < need ? b->end : need;
}

/* The block, not yet live, that has the records right before `need`, or the latest of those that
 * are left; of two the one written later. */
static uint16_t covering(const struct flash_log *l, uint64_t need)
{
    uint16_t best = FLASH_NO_BLOCK;
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        const struct flash_block *b = &l->blocks[i];
        if (b->written == 0 || b->state == FLASH_LIVE || b->first >= reach_of(b, need)) {
            continue;
        }
        uint64_t reach = reach_of(b, need);
        uint64_t other = best == FLASH_NO_BLOCK ? 0 : reach_of(&l->blocks[best], need);
        if (reach > other || (reach == other && b->written > l->blocks[best].written)) {
            best = i;
        }
    }
    return best;
}

/* Back from the newest, without a gap, to what is done with. */
void flash_settle(struct flash_log *l)
{
    struct flash_block *newest = &l->blocks[l->newest];
    uint32_t seen = (uint32_t)(newest->written >> 32);
    l->start = seen < l->start ? l->start : seen + 1;
    scan(l, newest);
    newest->state = FLASH_LIVE;
    l->done = l->limits.replaces ? newest->first : newest->noted;
    l->wanted = l->done;
    l->asked = l->done;
    l->next = newest->end > l->done ? newest->end : l->done;
    l->is_hurt = newest->is_hurt;
    uint64_t need = newest->first;
    while (need > l->done) {
        uint16_t index = covering(l, need);
        if (index == FLASH_NO_BLOCK || l->blocks[index].end <= l->done) {
            l->is_hurt = true;
            return;
        }
        struct flash_block *b = &l->blocks[index];
        l->is_hurt = l->is_hurt || b->is_hurt || b->end < need;
        b->state = FLASH_LIVE;
        b->end = reach_of(b, need); /* no position is in two blocks */
        need = b->first;
    }
}

/* What of the newest block is still wanted: from the first such record to the last. */
static struct slice still_wanted(const struct flash_log *l)
{
    const struct flash_block *b = &l->blocks[l->newest];
    struct flash_record record;
    uint32_t from = 0;
    uint32_t to = 0;
    uint32_t next = 0;
    for (uint32_t at = FLASH_HEAD_LEN; at < b->used; at = next) {
        enum flash_found found = flash_record_at(&l->limits, buffer_of(l), at, 0, &record, &next);
        if (found == FLASH_END) { /* behind something that only others write */
            break;
        }
        if (found == FLASH_RECORD && record.kind == FLASH_DATA && record.position >= l->done) {
            from = from == 0 ? at : from;
            to = next;
        }
    }
    return slice_of(l->buffer + from, to - from);
}

/* A block that nobody can have filled: only a flash that others wrote has none left. */
static void give_up_oldest(struct flash_log *l)
{
    uint16_t oldest = FLASH_NO_BLOCK;
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        if (i != l->newest && l->blocks[i].state == FLASH_LIVE
            && (oldest == FLASH_NO_BLOCK || l->blocks[i].written < l->blocks[oldest].written)) {
            oldest = i;
        }
    }
    l->blocks[oldest].state = FLASH_SPENT;
    l->is_hurt = true;
}

/* After a start: what the buffer holds of the newest block is made firm, and a fresh one begun. */
void flash_plan_start(struct flash_log *l)
{
    flash_begin_plan(l);
    if (!l->has_newest) {
        flash_add_block(l, l->next, slice_of(NULL, 0), false);
        return;
    }
    uint16_t old = l->newest;
    struct flash_block *b = &l->blocks[old];
    struct slice content = still_wanted(l);
    uint32_t mark_len = flash_mark_len(&l->limits);
    bool fits = content.len + flash_slot_len(&l->limits) <= l->limits.block_len - FLASH_HEAD_LEN;
    while (flash_log_free(l) < (fits ? 1u : 2u)) {
        give_up_oldest(l);
    }
    bool moves = fits && (content.len <= l->limits.block_len / 2 || flash_log_free(l) < 2);
    if (b->last != 0) {
        uint32_t end = b->used - mark_len;
        flash_add(l, FLASH_PROGRAM, old, b->last, slice_of(l->buffer + b->last, end - b->last));
        flash_add(l, FLASH_PROGRAM, old, end, flash_mark(&l->limits));
    }
    if (!moves) {
        flash_add_block(l, l->next, slice_of(NULL, 0), false);
        return;
    }
    flash_add_block(l, b->first > l->done ? b->first : l->done, content, false);
    b->state = FLASH_SPENT;
}
