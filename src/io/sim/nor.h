/*
 * A NOR flash that is cut in the midst of things. It is erased in blocks, to ones, and programmed
 * in units, which can only clear bits. A program that the power leaves has done its first units and
 * part of one: of the bits that one should have cleared some are cleared, some are not, and some
 * are in between and read differently from time to time, until they are programmed again or the
 * block is erased. Of an erase
 * that the power leaves every bit of the block may be old, erased or in between.
 *
 * Knows no file. What is kept on it is the business of whoever has it: tests/cuts/nor.c.
 */
#ifndef IO_SIM_NOR_H
#define IO_SIM_NOR_H

#include "base/slice.h"

struct sim_nor;

enum { SIM_NOR_UNIT_MAX = 64 };

/* `block_len` is a multiple of `unit_len`. All erased at first. */
struct sim_nor *sim_nor_new(size_t blocks, size_t block_len, size_t unit_len, uint64_t seed);
struct sim_nor *sim_nor_copy(const struct sim_nor *nor, uint64_t seed); /* with the power on */
void sim_nor_free(struct sim_nor *nor);

/* False, and nothing is done or known, once the power is gone. Offset and length are whole units;
 * programming a bit that is cleared already to one leaves it cleared. */
MUST_USE bool sim_nor_erase(struct sim_nor *nor, size_t block);
MUST_USE bool sim_nor_program(struct sim_nor *nor, size_t offset, struct slice bytes);
MUST_USE bool sim_nor_read(struct sim_nor *nor, size_t offset, void *to, size_t len);

/* The power goes in the nth erase or program from now (1: the next), `done` 256ths through it: 0
 * before its first bit, 256 after its last. */
void sim_nor_cut(struct sim_nor *nor, uint64_t nth, unsigned done);
bool sim_nor_is_off(const struct sim_nor *nor);

/* One bit flips at rest, counted from the first of all. */
void sim_nor_rot(struct sim_nor *nor, size_t bit);

uint64_t sim_nor_operations(const struct sim_nor *nor); /* erases and programs so far */
uint64_t sim_nor_erases(const struct sim_nor *nor);     /* wear */
uint64_t sim_nor_hash(const struct sim_nor *nor);       /* of what is there, bits in between, too */

#endif
