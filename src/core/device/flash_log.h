/*
 * A small log on raw NOR flash, for devices without files: what is appended stays until all up to
 * it is done with, whatever the power does. Below the outbox (flash_outbox.h) and the key store
 * (flash_keys.h), each with blocks of its own.
 *
 *     flash_log_init    then perform what it wants, until it wants nothing: it has started
 *     flash_log_append  a record: perform what it wants; it is durable when nothing is wanted
 *     flash_log_done_to, flash_log_save    all before a position is done with; its room is free
 *
 *     while (flash_log_wants(&log, &order)) { perform it; flash_log_did(&log); }
 *
 * An order that fails ends the log, as a failed sync ends a role: begin with flash_log_init again.
 *
 * On the flash: a block begins with its head, twice; records follow, each in program units of its
 * own, and behind each one more unit of zeroes, its mark, programmed when the record was: a record
 * with a mark and a wrong check value has rotted, one without was torn. Positions count records; of
 * blocks that hold the same positions the one written later counts.
 *
 * Why it may be cut anywhere:
 *  - A block is erased right before it is written, and none that holds anything still wanted; its
 *    head is struck out first, for a block that is half erased may read as a whole one. What looks
 *    erased after a start is not believed: the erase may have been cut.
 *  - Nothing is written behind what a start found: the space there may be half programmed. What is
 *    left of the newest block is moved into a fresh one, whose head is written last; or it stays
 *    where it is and a fresh block follows.
 *  - What a start relies on it first programs once more, the same bits (docs/decisions/0030): what
 *    read well after a cut need not read well again.
 *  - A block's place in time is the number of the start, which never comes twice, and a count.
 *
 * Knows neither the flash nor what the records mean. Blocks are taken in turn: wear is even.
 */
#ifndef CORE_DEVICE_FLASH_LOG_H
#define CORE_DEVICE_FLASH_LOG_H

#include "base/slice.h"

enum {
    FLASH_BLOCKS_MIN = 4, /* two of them are always left for what moves */
    FLASH_BLOCK_MIN = 512,
    FLASH_BLOCK_MAX = 65536,
    FLASH_UNIT_MAX = 64,
    FLASH_HEAD_LEN = 64,
    FLASH_STEPS_MAX = 6
};

struct flash_log_limits {
    uint16_t blocks;    /* FLASH_BLOCKS_MIN at least */
    uint32_t block_len; /* of one erase; a multiple of FLASH_UNIT_MAX */
    uint32_t unit_len;  /* of one program: a power of two, 1 to FLASH_UNIT_MAX */
    uint8_t kind;       /* tells this log from another: what has another kind is not read */
    bool replaces;      /* each record takes the place of all before it, which are erased at once */
};

/* In the caller's array of `blocks`. */
enum flash_block_state {
    FLASH_BLANK = 1, /* looks erased: to be erased before it is used */
    FLASH_SPENT,     /* holds nothing that is wanted: likewise */
    FLASH_CLEAN,     /* erased, and nothing was written since */
    FLASH_LIVE
};

struct flash_block {
    enum flash_block_state state;
    uint64_t written;    /* when: the number of the start and a count; 0: no head can be read */
    uint64_t first, end; /* positions of its records: end is the first beyond */
    uint64_t done;       /* as its head says */
    uint64_t noted;      /* the highest that it says */
    uint32_t used;       /* bytes, from its beginning */
    uint32_t last;       /* where its last record is; 0: it has none */
    bool is_hurt;        /* something in it has rotted */
};

enum flash_order_kind { FLASH_READ = 1, FLASH_ERASE, FLASH_PROGRAM };

struct flash_order {
    enum flash_order_kind kind;
    uint16_t block;
    uint32_t offset;    /* PROGRAM: in the block; a multiple of the unit, as is the length */
    struct slice bytes; /* PROGRAM: until flash_log_did */
    uint8_t *to;        /* READ: the whole block goes there */
};

enum flash_log_phase {
    FLASH_LOOKS,      /* reads each block */
    FLASH_REREADS,    /* the newest: what is in the buffer is what is relied on */
    FLASH_MAKES_FIRM, /* heads of blocks that are live */
    FLASH_WRITES,     /* a plan */
    FLASH_SCRUBS,     /* erases what was replaced */
    FLASH_RESTS
};

struct flash_step {
    enum flash_order_kind kind; /* ERASE or PROGRAM */
    uint16_t block;
    uint32_t offset;
    struct slice bytes;
};

struct flash_log {
    struct flash_log_limits limits;
    struct flash_block *blocks;
    uint8_t *buffer; /* block_len bytes */
    enum flash_log_phase phase;
    uint16_t at; /* LOOKS, MAKES_FIRM: the block under way */

    uint32_t start; /* the number of this start */
    uint32_t count; /* of blocks that it has written */
    uint16_t newest;
    bool has_newest;
    bool is_slot_used; /* the newest's room for one more note of what is done */
    uint64_t next;     /* position of the next record */
    uint64_t durable;  /* all before it is durable */
    uint64_t wanted;   /* all before it is done with, perhaps in memory alone */
    uint64_t asked;    /* `done`, once the plan under way is carried out */
    uint64_t done;     /* and this is durable */
    bool is_fresh;     /* nothing was found */
    bool is_hurt;      /* something that was still wanted has rotted */

    struct flash_step plan[FLASH_STEPS_MAX];
    uint8_t steps, step;
    uint8_t head[FLASH_HEAD_LEN];
};

enum flash_log_result {
    FLASH_LOG_OK = 0,
    FLASH_LOG_FULL,    /* nothing was changed: save, or wait until more is done with */
    FLASH_LOG_TOO_LONG /* longer than flash_log_record_max, or empty */
};

/*
 * `blocks` and `buffer` are the caller's, limits.blocks and limits.block_len of them. `start` is
 * higher at each start than at all before it: the boot of core/device/sequence.h.
 */
void flash_log_init(struct flash_log *l,
                    const struct flash_log_limits *limits,
                    struct flash_block *blocks,
                    uint8_t *buffer,
                    uint32_t start);

/* What is to be done now; false: nothing, all is durable. */
bool flash_log_wants(const struct flash_log *l, struct flash_order *out);

/* It was done. */
void flash_log_did(struct flash_log *l);

uint32_t flash_log_record_max(const struct flash_log_limits *limits);

/*
 * All of the following while nothing is wanted.
 *
 * `body` is not in the buffer. On OK *position is the record's, durable when nothing is wanted any
 * more. FULL: the oldest records stay and this one is refused.
 */
MUST_USE enum flash_log_result flash_log_append(struct flash_log *l,
                                                struct slice body,
                                                uint64_t *position);

/* All before `position` is done with: in memory, until it is saved or the next block is begun. */
void flash_log_done_to(struct flash_log *l, uint64_t position);

/* Makes that durable. False: there is nothing to save, or no room before more is done with; what
 * was done with is found again after a start then. */
bool flash_log_save(struct flash_log *l);

/* The block to read for the record at `position`, or, where that has rotted, for the first behind
 * it; false: there is none. */
MUST_USE bool flash_log_find(const struct flash_log *l, uint64_t position, uint16_t *block);

/* The first record from `from` on in this block, whose bytes were read; false: the rest of it, up
 * to blocks[block].end, has rotted. `out` borrows from `bytes`. */
MUST_USE bool flash_log_read(const struct flash_log *l,
                             uint16_t block,
                             struct slice bytes,
                             uint64_t from,
                             uint64_t *position,
                             struct slice *out);

/* How many blocks hold nothing that is wanted. */
uint32_t flash_log_free(const struct flash_log *l);

void flash_log_check(const struct flash_log *l);

#endif
