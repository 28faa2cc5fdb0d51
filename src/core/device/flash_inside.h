/* What the files flash_*.c of a log share. Not for anybody else. */
#ifndef CORE_DEVICE_FLASH_INSIDE_H
#define CORE_DEVICE_FLASH_INSIDE_H

#include "core/device/flash_log.h"

enum { FLASH_NO_BLOCK = UINT16_MAX };

/* ---- flash_block.c: how heads and records look ---- */

enum flash_record_kind { FLASH_DATA = 1, FLASH_DONE };

struct flash_head {
    uint64_t written, first, done;
};

void flash_head_encode(const struct flash_log_limits *limits,
                       const struct flash_head *head,
                       uint8_t out[FLASH_HEAD_LEN]);
/* Either of its two copies will do. */
MUST_USE bool flash_head_decode(const struct flash_log_limits *limits,
                                struct slice block,
                                struct flash_head *out);

/* Bytes on the flash: with the mark, or without it. */
uint32_t flash_record_extent(const struct flash_log_limits *limits, size_t body_len);
uint32_t flash_mark_len(const struct flash_log_limits *limits);
struct slice flash_mark(const struct flash_log_limits *limits); /* the bytes of one */

/* Writes the record at `to`, padded to whole units and without its mark; gives its length. */
uint32_t flash_record_encode(const struct flash_log_limits *limits,
                             enum flash_record_kind kind,
                             uint64_t position,
                             struct slice body,
                             uint8_t *to);

enum flash_found {
    FLASH_RECORD = 1,
    FLASH_ROTTEN, /* it was whole once: *next is where the next one begins, perhaps the end */
    FLASH_END     /* nothing more, or one that was torn */
};

struct flash_record {
    enum flash_record_kind kind;
    uint64_t position;
    struct slice body;
};

/* What stands at `at` of the block; `from` is the lowest position that it can have. */
MUST_USE enum flash_found flash_record_at(const struct flash_log_limits *limits,
                                          struct slice block,
                                          uint32_t at,
                                          uint64_t from,
                                          struct flash_record *out,
                                          uint32_t *next);

bool flash_is_blank(struct slice bytes);

/* ---- flash_start.c ---- */

void flash_look(struct flash_log *l, uint16_t block); /* its bytes are in the buffer */
uint16_t flash_newest(const struct flash_log *l);     /* of all blocks; FLASH_NO_BLOCK */
/* The newest block is in the buffer: which others hold what is wanted? Back from it, without a gap,
 * to what is done with. */
void flash_settle(struct flash_log *l);
void flash_plan_start(struct flash_log *l);

/* ---- flash_log.c ---- */

uint32_t flash_slot_len(const struct flash_log_limits *limits);
void flash_begin_plan(struct flash_log *l);
void flash_add(struct flash_log *l,
               enum flash_order_kind kind,
               uint16_t block,
               uint32_t offset,
               struct slice bytes);
/* A fresh block becomes the newest, with `content` in it, which begins at `first`; its head comes
 * last. */
void flash_add_block(struct flash_log *l, uint64_t first, struct slice content, bool is_marked);

#endif
