/* A NOR flash in memory for the tests of flash_*.c: it is strict, and counts. */
#ifndef CORE_DEVICE_FLASH_RIG_H
#define CORE_DEVICE_FLASH_RIG_H

#include "base/invariant.h"
#include "core/device/flash_log.h"

#include <string.h>

enum { RIG_BLOCKS_MAX = 16, RIG_BLOCK_MAX = 8192 };

struct rig_flash {
    struct flash_log_limits limits;
    uint8_t bytes[RIG_BLOCKS_MAX][RIG_BLOCK_MAX];
    uint32_t erases[RIG_BLOCKS_MAX];
    struct flash_block blocks[RIG_BLOCKS_MAX];
    uint8_t buffer[RIG_BLOCK_MAX];
    uint8_t record[RIG_BLOCK_MAX];
};

static inline void rig_new(struct rig_flash *f, struct flash_log_limits limits)
{
    INVARIANT(limits.blocks <= RIG_BLOCKS_MAX && limits.block_len <= RIG_BLOCK_MAX);
    memset(f, 0, sizeof *f);
    memset(f->bytes, 0xff, sizeof f->bytes);
    f->limits = limits;
}

/* A unit is programmed when it is erased, once more with the very same bits, or struck out. */
static inline void rig_perform(struct rig_flash *f, const struct flash_order *order)
{
    uint8_t *at = f->bytes[order->block] + order->offset;
    INVARIANT(order->block < f->limits.blocks);
    switch (order->kind) {
    case FLASH_READ: memcpy(order->to, f->bytes[order->block], f->limits.block_len); return;
    case FLASH_ERASE:
        memset(f->bytes[order->block], 0xff, f->limits.block_len);
        f->erases[order->block]++;
        return;
    case FLASH_PROGRAM:
        INVARIANT(order->offset % f->limits.unit_len == 0);
        INVARIANT(order->bytes.len > 0 && order->bytes.len % f->limits.unit_len == 0);
        INVARIANT(order->offset + order->bytes.len <= f->limits.block_len);
        for (size_t i = 0; i < order->bytes.len; i++) {
            INVARIANT(at[i] == 0xff || at[i] == order->bytes.at[i] || order->bytes.at[i] == 0);
            at[i] = order->bytes.at[i];
        }
        return;
    }
    UNREACHABLE();
}

#endif
