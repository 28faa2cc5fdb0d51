#include "core/device/flash_log.h"

#include "base/invariant.h"
#include "core/device/flash_inside.h"

#include <string.h>

/* ---- room ---- */

uint32_t flash_slot_len(const struct flash_log_limits *limits)
{
    return flash_record_extent(limits, 0);
}

uint32_t flash_log_record_max(const struct flash_log_limits *limits)
{
    uint32_t room =
        limits->block_len - FLASH_HEAD_LEN - (limits->replaces ? 0 : flash_slot_len(limits));
    uint32_t most = room - flash_record_extent(limits, 0);
    most = most / limits->unit_len * limits->unit_len;
    return most < UINT16_MAX ? most : UINT16_MAX;
}

void flash_log_init(struct flash_log *l,
                    const struct flash_log_limits *limits,
                    struct flash_block *blocks,
                    uint8_t *buffer,
                    uint32_t start)
{
    INVARIANT(limits->blocks >= FLASH_BLOCKS_MIN && limits->blocks < FLASH_NO_BLOCK);
    INVARIANT(limits->block_len >= FLASH_BLOCK_MIN && limits->block_len <= FLASH_BLOCK_MAX);
    INVARIANT(limits->block_len % FLASH_UNIT_MAX == 0);
    INVARIANT(limits->unit_len > 0 && FLASH_UNIT_MAX % limits->unit_len == 0);
    INVARIANT(start > 0 && start < UINT32_MAX);
    *l = (struct flash_log){.limits = *limits,
                            .blocks = blocks,
                            .buffer = buffer,
                            .phase = FLASH_LOOKS,
                            .start = start};
    memset(blocks, 0, limits->blocks * sizeof *blocks);
}

uint32_t flash_log_free(const struct flash_log *l)
{
    uint32_t count = 0;
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        count += l->blocks[i].state != FLASH_LIVE;
    }
    return count;
}

/* The next in turn that nothing is wanted of. */
static uint16_t victim(const struct flash_log *l)
{
    uint32_t from = l->has_newest ? l->newest + 1u : 0;
    for (uint32_t i = 0; i < l->limits.blocks; i++) {
        uint16_t index = (uint16_t)((from + i) % l->limits.blocks);
        if (l->blocks[index].state != FLASH_LIVE) {
            return index;
        }
    }
    return FLASH_NO_BLOCK;
}

/* ---- plans ---- */

void flash_add(struct flash_log *l,
               enum flash_order_kind kind,
               uint16_t block,
               uint32_t offset,
               struct slice bytes)
{
    INVARIANT(l->steps < FLASH_STEPS_MAX);
    l->plan[l->steps++] =
        (struct flash_step){.kind = kind, .block = block, .offset = offset, .bytes = bytes};
}

void flash_begin_plan(struct flash_log *l)
{
    INVARIANT(l->phase == FLASH_RESTS);
    l->steps = 0;
    l->step = 0;
    l->asked = l->done;
    l->phase = FLASH_WRITES;
}

/* A head is struck out before its block is erased: a block that is half erased would otherwise now
 * and then read as one that is whole. */
static struct slice struck(void)
{
    static const uint8_t zeroes[FLASH_HEAD_LEN];
    return slice_of(zeroes, sizeof zeroes);
}

static void add_head(struct flash_log *l, uint16_t index)
{
    const struct flash_block *b = &l->blocks[index];
    flash_head_encode(
        &l->limits, &(struct flash_head){.written = b->written, .first = b->first, .done = b->done},
        l->head);
    flash_add(l, FLASH_PROGRAM, index, 0, slice_of(l->head, sizeof l->head));
}

/* A fresh block becomes the newest, with `content` in it, which begins at `first`; its head comes
 * last. */
void flash_add_block(struct flash_log *l, uint64_t first, struct slice content, bool is_marked)
{
    uint16_t index = victim(l);
    INVARIANT(index != FLASH_NO_BLOCK);
    struct flash_block *b = &l->blocks[index];
    if (b->state != FLASH_CLEAN) {
        flash_add(l, FLASH_PROGRAM, index, 0, struck());
        flash_add(l, FLASH_ERASE, index, 0, slice_of(NULL, 0));
    }
    l->asked = l->wanted;
    l->count++;
    *b = (struct flash_block){.state = FLASH_LIVE,
                              .written = (uint64_t)l->start << 32 | l->count,
                              .first = first,
                              .end = l->next,
                              .done = l->asked,
                              .used = FLASH_HEAD_LEN + (uint32_t)content.len};
    if (content.len > 0) {
        flash_add(l, FLASH_PROGRAM, index, FLASH_HEAD_LEN, content);
    }
    if (is_marked) {
        flash_add(l, FLASH_PROGRAM, index, b->used, flash_mark(&l->limits));
        b->used += flash_mark_len(&l->limits);
    }
    add_head(l, index);
    l->newest = index;
    l->has_newest = true;
    l->is_slot_used = false;
}

/* Behind the newest block's last record; the buffer holds the record. */
static void add_record(struct flash_log *l, uint32_t len)
{
    struct flash_block *b = &l->blocks[l->newest];
    flash_add(l, FLASH_PROGRAM, l->newest, b->used, slice_of(l->buffer, len));
    flash_add(l, FLASH_PROGRAM, l->newest, b->used + len, flash_mark(&l->limits));
    b->used += len + flash_mark_len(&l->limits);
    b->end = l->next;
}

static uint32_t room(const struct flash_log *l)
{
    return l->limits.block_len - l->blocks[l->newest].used
           - (l->is_slot_used ? 0 : flash_slot_len(&l->limits));
}

/* ---- phases ---- */

/* The next live block from `at` on, whose head is programmed again; behind them the start is done
 * but for what it writes. */
static void aim(struct flash_log *l)
{
    while (l->at < l->limits.blocks && l->blocks[l->at].state != FLASH_LIVE) {
        l->at++;
    }
    if (l->at < l->limits.blocks) {
        l->steps = 0;
        add_head(l, l->at);
        return;
    }
    l->phase = FLASH_RESTS;
    if (!l->limits.replaces) {
        flash_plan_start(l);
    }
}

static uint16_t to_scrub(const struct flash_log *l)
{
    for (uint16_t i = 0; l->limits.replaces && i < l->limits.blocks; i++) {
        if (l->blocks[i].state == FLASH_SPENT) {
            return i;
        }
    }
    return FLASH_NO_BLOCK;
}

/* All that was planned is done. */
static void finish(struct flash_log *l)
{
    l->done = l->asked;
    l->durable = l->next;
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        struct flash_block *b = &l->blocks[i];
        if (b->state == FLASH_LIVE && i != l->newest && b->end <= l->done) {
            b->state = FLASH_SPENT;
        }
    }
}

bool flash_log_wants(const struct flash_log *l, struct flash_order *out)
{
    const struct flash_step *step;
    *out = (struct flash_order){0};
    switch (l->phase) {
    case FLASH_LOOKS:
    case FLASH_REREADS:
        *out = (struct flash_order){.kind = FLASH_READ,
                                    .block = l->phase == FLASH_LOOKS ? l->at : l->newest,
                                    .to = l->buffer};
        return true;
    case FLASH_MAKES_FIRM:
    case FLASH_WRITES:
        step = &l->plan[l->phase == FLASH_WRITES ? l->step : 0];
        *out = (struct flash_order){
            .kind = step->kind, .block = step->block, .offset = step->offset, .bytes = step->bytes};
        return true;
    case FLASH_SCRUBS:
        *out = (struct flash_order){.kind = l->step == 0 ? FLASH_PROGRAM : FLASH_ERASE,
                                    .block = to_scrub(l),
                                    .bytes = l->step == 0 ? struck() : slice_of(NULL, 0)};
        return true;
    case FLASH_RESTS: return false;
    }
    UNREACHABLE();
}

static void rest_or_scrub(struct flash_log *l)
{
    l->phase = to_scrub(l) != FLASH_NO_BLOCK ? FLASH_SCRUBS : FLASH_RESTS;
    l->step = 0;
}

void flash_log_did(struct flash_log *l)
{
    switch (l->phase) {
    case FLASH_LOOKS:
        flash_look(l, l->at);
        if (++l->at < l->limits.blocks) {
            return;
        }
        l->newest = flash_newest(l);
        l->has_newest = l->newest != FLASH_NO_BLOCK;
        l->is_fresh = !l->has_newest;
        l->phase = FLASH_REREADS;
        if (l->is_fresh) {
            aim(l);
        }
        break;
    case FLASH_REREADS:
        flash_settle(l);
        l->phase = FLASH_MAKES_FIRM;
        l->at = 0;
        aim(l);
        break;
    case FLASH_MAKES_FIRM:
        l->at++;
        aim(l);
        break;
    case FLASH_WRITES:
        if (++l->step < l->steps) {
            return;
        }
        finish(l);
        rest_or_scrub(l);
        return;
    case FLASH_SCRUBS:
        if (l->step++ == 0) {
            return;
        }
        l->blocks[to_scrub(l)].state = FLASH_CLEAN;
        rest_or_scrub(l);
        return;
    case FLASH_RESTS: UNREACHABLE();
    }
    if (l->phase == FLASH_RESTS) { /* a log that replaces has started */
        l->durable = l->next;
        rest_or_scrub(l);
    }
}

/* ---- what the owner asks for ---- */

enum flash_log_result flash_log_append(struct flash_log *l, struct slice body, uint64_t *position)
{
    if (body.len == 0 || body.len > flash_log_record_max(&l->limits)) {
        return FLASH_LOG_TOO_LONG;
    }
    bool fits = !l->limits.replaces && flash_record_extent(&l->limits, body.len) <= room(l);
    if (!fits && !l->limits.replaces && flash_log_free(l) < FLASH_BLOCKS_MIN - 1) {
        return FLASH_LOG_FULL;
    }
    flash_begin_plan(l);
    uint64_t own = l->next++;
    uint32_t len = flash_record_encode(&l->limits, FLASH_DATA, own, body, l->buffer);
    if (fits) {
        add_record(l, len);
    } else {
        l->wanted = l->limits.replaces ? own : l->wanted;
        flash_add_block(l, own, slice_of(l->buffer, len), true);
    }
    *position = own;
    return FLASH_LOG_OK;
}

void flash_log_done_to(struct flash_log *l, uint64_t position)
{
    INVARIANT(position <= l->durable);
    l->wanted = position > l->wanted ? position : l->wanted;
}

/* Would some block be free, were all that is wanted durable? */
static bool frees(const struct flash_log *l)
{
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        const struct flash_block *b = &l->blocks[i];
        if (b->state == FLASH_LIVE && i != l->newest && b->end <= l->wanted) {
            return true;
        }
    }
    return false;
}

bool flash_log_save(struct flash_log *l)
{
    INVARIANT(!l->limits.replaces);
    if (l->wanted <= l->done) {
        return false;
    }
    bool fits = flash_slot_len(&l->limits) <= room(l);
    bool has_spare = flash_log_free(l) >= 2;
    bool takes_slot = !fits && !l->is_slot_used && (has_spare || frees(l));
    if (!fits && !takes_slot && !has_spare) {
        return false;
    }
    flash_begin_plan(l);
    if (!fits && !takes_slot) {
        flash_add_block(l, l->next, slice_of(NULL, 0), false);
        return true;
    }
    l->asked = l->wanted;
    l->is_slot_used = l->is_slot_used || takes_slot;
    add_record(l,
               flash_record_encode(&l->limits, FLASH_DONE, l->asked, slice_of(NULL, 0), l->buffer));
    return true;
}

bool flash_log_find(const struct flash_log *l, uint64_t position, uint16_t *block)
{
    uint64_t first = UINT64_MAX;
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        const struct flash_block *b = &l->blocks[i];
        if (b->state == FLASH_LIVE && b->end > position && b->first < first) {
            first = b->first;
            *block = i;
        }
    }
    return first != UINT64_MAX;
}

bool flash_log_read(const struct flash_log *l,
                    uint16_t block,
                    struct slice bytes,
                    uint64_t from,
                    uint64_t *position,
                    struct slice *out)
{
    struct flash_record record;
    uint32_t next = 0;
    for (uint32_t at = FLASH_HEAD_LEN; at < bytes.len; at = next) {
        enum flash_found found = flash_record_at(&l->limits, bytes, at, 0, &record, &next);
        if (found == FLASH_END) {
            return false;
        }
        if (found == FLASH_RECORD && record.kind == FLASH_DATA && record.position >= from) {
            *position = record.position;
            *out = record.body;
            return record.position < l->blocks[block].end;
        }
    }
    return false;
}

void flash_log_check(const struct flash_log *l)
{
    uint32_t live = 0;
    if (l->phase != FLASH_RESTS) {
        return;
    }
    INVARIANT(l->done <= l->wanted);
    INVARIANT(l->wanted <= l->next);
    INVARIANT(l->durable == l->next);
    for (uint16_t i = 0; i < l->limits.blocks; i++) {
        const struct flash_block *b = &l->blocks[i];
        INVARIANT(b->state != FLASH_LIVE || b->used <= l->limits.block_len);
        INVARIANT(b->state != FLASH_LIVE || b->first <= b->end);
        live += b->state == FLASH_LIVE;
    }
    INVARIANT(live < l->limits.blocks);
}
