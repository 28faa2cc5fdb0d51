/*
 * The outbox on NOR flash: a message that was kept is sent until it is acknowledged, in the order
 * in which it was kept; what was not kept is sent as it was given or not at all; nothing is found
 * that nobody gave. The flash is small: it runs full, and its blocks go round.
 */
#include "core/device/flash_outbox.h"

#include "base/invariant.h"
#include "flash.h"

#include <string.h>

enum {
    BLOCKS = 6,
    BLOCK = 512,
    UNIT = 16,
    WINDOW = 8,
    WINDOW_BYTES = 2 * (OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX),
    SEQ_MAX = 500,
    FOUND_MAX = 64
};

struct sending {
    uint32_t starts;
    uint64_t given; /* the highest seq that was given to the outbox */
    uint64_t acked; /* all before it and itself were acknowledged */
    uint8_t is_kept[SEQ_MAX / 8 + 1];
};

struct sender {
    struct sending *life;
    struct sim_nor *nor;
    struct flash_outbox box;
    struct outbox window;
    struct outbox_entry entries[WINDOW];
    struct flash_block blocks[BLOCKS];
    uint8_t bytes[WINDOW_BYTES], buffer[BLOCK], record[BLOCK];
};

static bool is_kept(const struct sending *life, uint64_t seq)
{
    return (life->is_kept[seq / 8] >> seq % 8 & 1) != 0;
}

static bool perform(struct sender *s)
{
    struct flash_order order;
    while (flash_outbox_wants(&s->box, &order)) {
        if (!flash_perform(s->nor, BLOCK, &order)) {
            return false;
        }
        flash_outbox_did(&s->box);
    }
    flash_log_check(&s->box.log);
    return true;
}

static size_t body_len(uint64_t seq)
{
    return 20 + seq * 7 % 60;
}

/* False: the power went. FULL is fine: nothing was promised. */
static bool keep(struct sender *s, bool *was_kept)
{
    uint8_t body[128];
    uint64_t seq = ++s->life->given;
    INVARIANT(seq < SEQ_MAX);
    memset(body, (int)(seq & 0xff), sizeof body);
    enum flash_log_result result = flash_outbox_keep(
        &s->box, &(struct outbox_record){
                     .seq = seq, .stream = slice_text("s"), .body = slice_of(body, body_len(seq))});
    INVARIANT(result != FLASH_LOG_TOO_LONG);
    *was_kept = result == FLASH_LOG_OK;
    if (!perform(s)) {
        return false;
    }
    s->life->is_kept[seq / 8] |= (uint8_t)(*was_kept << seq % 8);
    return true;
}

/* Sends the oldest; is it the one that is due? The gateway acknowledges it. */
static bool deliver(struct sender *s, bool *is_broken)
{
    struct outbox_message message;
    if (!outbox_send(&s->window, &message)) {
        return true;
    }
    bool acked = outbox_acked(&s->window, message.packet_id);
    INVARIANT(acked);
    for (uint64_t seq = s->life->acked + 1; seq < message.seq; seq++) {
        *is_broken = *is_broken || is_kept(s->life, seq); /* passed over */
    }
    *is_broken = *is_broken || message.seq > s->life->given
                 || message.payload.len != body_len(message.seq)
                 || message.payload.at[0] != (uint8_t)message.seq;
    s->life->acked = message.seq > s->life->acked ? message.seq : s->life->acked;
    flash_outbox_acked(&s->box);
    return perform(s);
}

/* All that is on the flash, on a copy of it: nothing of it is lost, doubled or invented. */
static bool look(const struct sender *at, bool *is_broken)
{
    static struct sender s; /* large */
    struct sending life = *at->life;
    uint64_t last = 0;
    s = (struct sender){.life = &life, .nor = sim_nor_copy(at->nor, life.starts)};
    outbox_init(&s.window, s.entries, WINDOW, s.bytes, sizeof s.bytes);
    s.box = at->box; /* the same log, another window */
    memcpy(s.blocks, at->blocks, sizeof s.blocks);
    s.box.log.blocks = s.blocks;
    s.box.log.buffer = s.buffer;
    s.box.record = s.record;
    s.box.window = &s.window;
    s.box.read_to = s.box.log.done;
    s.box.last_seq = 0;
    for (int i = 0; i < FOUND_MAX && perform(&s) && !outbox_is_empty(&s.window); i++) {
        struct outbox_message message;
        bool sent = outbox_send(&s.window, &message);
        INVARIANT(sent && outbox_acked(&s.window, message.packet_id));
        for (uint64_t seq = (last > life.acked ? last : life.acked) + 1; seq < message.seq; seq++) {
            *is_broken = *is_broken || is_kept(&life, seq);
        }
        *is_broken = *is_broken || message.seq <= last || message.seq > life.given
                     || message.payload.len != body_len(message.seq);
        last = message.seq;
    }
    for (uint64_t seq = (last > life.acked ? last : life.acked) + 1; seq <= life.given; seq++) {
        *is_broken = *is_broken || is_kept(&life, seq);
    }
    sim_nor_free(s.nor);
    return !*is_broken;
}

static bool live(void *context, struct sim_nor *nor, unsigned part, bool *is_broken)
{
    static struct sender s; /* large */
    struct sending *life = context;
    bool was_kept = true;
    s = (struct sender){.life = life, .nor = nor};
    outbox_init(&s.window, s.entries, WINDOW, s.bytes, sizeof s.bytes);
    flash_outbox_init(&s.box, &flash_outbox_thing.limits, s.blocks, s.buffer, s.record, BLOCK,
                      &s.window, ++life->starts);
    if (!perform(&s) || s.box.log.is_hurt || !look(&s, is_broken)) {
        return false;
    }
    unsigned count = part == 1 ? 30 : 7 + part; /* the second life fills it */
    for (unsigned i = 0; i < count && was_kept; i++) {
        if (!keep(&s, &was_kept) || (i % 4 == 3 && !deliver(&s, is_broken))) {
            return false;
        }
        if (i % 5 == 4) {
            flash_outbox_stop(&s.box); /* saves */
            if (!perform(&s)) {
                return false;
            }
        }
    }
    for (unsigned i = 0; i < 9; i++) {
        if (!deliver(&s, is_broken) || (i == 5 && !keep(&s, &was_kept))) {
            return false;
        }
    }
    flash_outbox_stop(&s.box);
    return perform(&s) && !*is_broken;
}

static uint64_t promised(const void *context)
{
    const struct sending *life = context;
    uint64_t hash = life->acked * 31 + life->starts;
    for (size_t i = 0; i < sizeof life->is_kept; i++) {
        hash = hash * 0x100000001b3u + life->is_kept[i];
    }
    return hash;
}

const struct flash_thing flash_outbox_thing = {
    .name = "nor-outbox",
    .limits = {.blocks = BLOCKS, .block_len = BLOCK, .unit_len = UNIT, .kind = FLASH_OUTBOX_KIND},
    .life_len = sizeof(struct sending),
    .seeds = 3,
    .seeds_long = 12,
    .live = live,
    .parts = 5,
    .promised = promised,
};
