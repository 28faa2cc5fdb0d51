/*
 * The two numbers that order everything a device ever says: boot, raised durably before anything is
 * sent, and seq, never used twice in the device's whole life; and what else may never go back.
 * Numbers are reserved in blocks in stable storage before the first of them is used, so that a cut
 * at any point skips some and repeats none; a clean stop gives the rest back.
 *
 *     sequence_start   a record: store, sync, sequence_stored; boot and first block are ours then
 *     sequence_take    one number; false: none left, wait
 *     sequence_wants   a record before the block runs out: store, sync, sequence_stored
 *     sequence_stop    a record with the exact next number; nothing is taken afterwards
 *
 * The record lives twice in one file, a copy to each of two sectors, written in turn: a torn write
 * spoils the copy that nobody has relied on yet. The file itself comes into being whole (with its
 * first record, by rename), so that an empty one and a spoilt one are never confused. Knows no
 * file; the role writes what it is given.
 */
#ifndef CORE_DEVICE_SEQUENCE_H
#define CORE_DEVICE_SEQUENCE_H

#include "base/slice.h"

enum {
    SEQUENCE_BLOCK = 1024,
    SEQUENCE_LOW = 256,          /* wants a block when fewer are left */
    SEQUENCE_COPY_LEN = 64,      /* bytes of one copy */
    SEQUENCE_COPY_STRIDE = 4096, /* from one copy to the other */
    SEQUENCE_FILE_LEN = SEQUENCE_COPY_STRIDE + SEQUENCE_COPY_LEN
};

struct sequence_record {
    uint64_t counter; /* of records ever written: the higher valid one counts */
    uint32_t boot;
    uint64_t next;  /* every number from here on is unused */
    uint64_t row;   /* every row of a replayed file below it is in the outbox or beyond */
    uint64_t done;  /* all in the outbox's journal before this position is acknowledged */
    uint64_t trust; /* the highest number of a trust list that was accepted; 0: none yet */
};

/* What is to be written, and where. */
struct sequence_store {
    struct sequence_record record;
    uint64_t offset; /* in the file */
    uint8_t bytes[SEQUENCE_COPY_LEN];
};

enum sequence_load {
    SEQUENCE_FRESH = 1, /* no file, no bytes: the device has never said anything */
    SEQUENCE_FOUND,
    SEQUENCE_MENDED, /* one copy was spoilt: after sequence_start's record the other copy is written
                        too (sequence_save), before anybody hears of the boot */
    SEQUENCE_DAMAGED /* neither copy can be read: which numbers were used is not known, stop */
};

/*
 * Reads the file's bytes. Where one copy is spoilt it may have been the newer one: the record that
 * is given is then beyond what that one can have said, and what is stored next goes over the spoilt
 * copy, never over the good one. That one is too old from then on: should the new copy be lost in
 * its turn, a record beyond the old one would not be beyond the lost one.
 */
MUST_USE enum sequence_load sequence_load(struct slice file, struct sequence_record *out);

/*
 * For NOR flash, after SEQUENCE_FOUND: the same record at the same place. A program that the power
 * cut may read well once and not again; programming the same bits once more, without an erase,
 * makes them firm. To be done before anything else is stored, for that goes over the other copy.
 */
void sequence_again(const struct sequence_record *last, struct sequence_store *out);

struct sequence {
    uint32_t boot;
    uint64_t first;    /* of this boot */
    uint64_t next;     /* next to be taken */
    uint64_t reserved; /* durable: numbers below are ours */
    uint64_t asked;    /* reserved, once the record under way is durable; otherwise equal to it */
    uint64_t counter;
    uint64_t row, done;
    uint64_t trust; /* floor of trust lists: one with a lower number is refused */
    bool stopped;
};

/* `last` is the record that was found or mended, or NULL for a fresh file. */
void sequence_start(struct sequence *s,
                    const struct sequence_record *last,
                    struct sequence_store *out);

/* What was last given out to be stored is durable now. */
void sequence_stored(struct sequence *s);

/* Is a new block needed, and none under way? Then *out is to be stored. */
bool sequence_wants(struct sequence *s, struct sequence_store *out);

/* The next number; false where none is reserved or the sequence was stopped. */
MUST_USE bool sequence_take(struct sequence *s, uint64_t *seq);

/* Rows below `row` are safe in the outbox; goes into the next record. */
void sequence_note_row(struct sequence *s, uint64_t row);

/* All before this position of the outbox's journal is acknowledged; goes into the next record. */
void sequence_note_done(struct sequence *s, uint64_t position);

/*
 * A trust list of this number was accepted: the floor is not below it. Where that raises it, two
 * records are to be stored before the list is used (sequence_save twice), one to each copy: for
 * numbers that went with a spoilt copy a whole block is skipped, for a floor nothing stands in.
 */
void sequence_note_trust(struct sequence *s, uint64_t number);

/* A record of how things stand, without a new block. Nothing may be under way. */
void sequence_save(struct sequence *s, struct sequence_store *out);

/* A new boot without a new start: what was reserved and not taken is the new boot's. Nothing may be
 * under way. */
void sequence_begin_boot(struct sequence *s, struct sequence_store *out);

/* Nothing may be under way. */
void sequence_stop(struct sequence *s, struct sequence_store *out);

void sequence_check(const struct sequence *s);

#endif
