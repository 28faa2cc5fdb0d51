#include "io/sim/nor.h"

#include "base/invariant.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { WHOLE = 256 };

struct sim_nor {
    size_t blocks, block_len, unit_len;
    uint8_t *bytes;
    uint8_t *between; /* a bit is set where the one in `bytes` says nothing */
    struct rng chance;
    uint64_t operations, erases;
    uint64_t cut_in; /* operations; 0: never */
    unsigned cut_done;
    bool is_off;
};

static size_t len_of(const struct sim_nor *nor)
{
    return nor->blocks * nor->block_len;
}

static struct sim_nor *make(size_t blocks, size_t block_len, size_t unit_len, uint64_t seed)
{
    struct sim_nor *nor = calloc(1, sizeof *nor);
    INVARIANT(nor != NULL);
    INVARIANT(unit_len > 0 && unit_len <= SIM_NOR_UNIT_MAX && block_len % unit_len == 0);
    nor->blocks = blocks;
    nor->block_len = block_len;
    nor->unit_len = unit_len;
    nor->bytes = malloc(len_of(nor));
    nor->between = calloc(1, len_of(nor));
    nor->chance = rng_from_seed(seed);
    INVARIANT(nor->bytes != NULL && nor->between != NULL);
    return nor;
}

struct sim_nor *sim_nor_new(size_t blocks, size_t block_len, size_t unit_len, uint64_t seed)
{
    struct sim_nor *nor = make(blocks, block_len, unit_len, seed);
    memset(nor->bytes, 0xff, len_of(nor));
    return nor;
}

struct sim_nor *sim_nor_copy(const struct sim_nor *nor, uint64_t seed)
{
    struct sim_nor *made = make(nor->blocks, nor->block_len, nor->unit_len, seed);
    memcpy(made->bytes, nor->bytes, len_of(nor));
    memcpy(made->between, nor->between, len_of(nor));
    return made;
}

void sim_nor_free(struct sim_nor *nor)
{
    if (nor != NULL) {
        free(nor->bytes);
        free(nor->between);
        free(nor);
    }
}

/* How far the operation that begins now gets: WHOLE, or less where the power goes in it. */
static unsigned begin(struct sim_nor *nor)
{
    nor->operations++;
    if (nor->cut_in == 0 || --nor->cut_in > 0) {
        return WHOLE;
    }
    nor->is_off = true;
    return nor->cut_done;
}

/* How far the bits had come that were on their way. */
enum way { HALF_WAY, HARDLY, NEARLY };
enum { WAYS = NEARLY + 1 };

/* Bits that were on their way from one value to the other when the power went: hardly and nearly
 * there, all read as they should but for one in 64, which is worse than a mess. */
static void leave_between(struct sim_nor *nor, size_t at, uint8_t moving, enum way way)
{
    uint64_t drawn = rng_u64(&nor->chance);
    uint8_t unclear = (uint8_t)(drawn & drawn >> 8);
    uint8_t moved = (uint8_t)(drawn >> 16);
    if (way != HALF_WAY) {
        unclear &= (uint8_t)(drawn >> 24 & drawn >> 32 & drawn >> 40 & drawn >> 48);
        moved = way == HARDLY ? 0 : 0xff;
    }
    nor->bytes[at] ^= moving & moved;
    nor->between[at] |= moving & unclear;
}

bool sim_nor_erase(struct sim_nor *nor, size_t block)
{
    INVARIANT(block < nor->blocks);
    if (nor->is_off) {
        return false;
    }
    size_t from = block * nor->block_len;
    unsigned done = begin(nor);
    enum way way = (enum way)rng_below(&nor->chance, WAYS);
    for (size_t i = from; i < from + nor->block_len && done > 0; i++) {
        if (done >= WHOLE) {
            nor->bytes[i] = 0xff;
            nor->between[i] = 0;
        } else {
            leave_between(nor, i, (uint8_t)~nor->bytes[i], way);
        }
    }
    nor->erases++;
    return !nor->is_off;
}

bool sim_nor_program(struct sim_nor *nor, size_t offset, struct slice bytes)
{
    INVARIANT(offset % nor->unit_len == 0 && bytes.len % nor->unit_len == 0);
    INVARIANT(offset + bytes.len <= len_of(nor));
    if (nor->is_off) {
        return false;
    }
    unsigned done = begin(nor);
    enum way way = (enum way)rng_below(&nor->chance, WAYS);
    size_t units = bytes.len / nor->unit_len;
    size_t whole = done >= WHOLE ? units : units * done / WHOLE;
    for (size_t i = 0; i < whole * nor->unit_len; i++) {
        nor->bytes[offset + i] &= bytes.at[i];
        nor->between[offset + i] &= bytes.at[i]; /* cleared for good */
    }
    for (size_t i = whole * nor->unit_len;
         done > 0 && whole < units && i < (whole + 1) * nor->unit_len; i++) {
        leave_between(nor, offset + i,
                      (uint8_t)((nor->bytes[offset + i] | nor->between[offset + i]) & ~bytes.at[i]),
                      way);
    }
    return !nor->is_off;
}

bool sim_nor_read(struct sim_nor *nor, size_t offset, void *to, size_t len)
{
    uint8_t *out = to;
    INVARIANT(offset + len <= len_of(nor));
    if (nor->is_off) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t between = nor->between[offset + i];
        uint8_t noise = between != 0 ? (uint8_t)rng_u64(&nor->chance) : 0;
        out[i] = (uint8_t)((nor->bytes[offset + i] & ~between) | (noise & between));
    }
    return true;
}

void sim_nor_cut(struct sim_nor *nor, uint64_t nth, unsigned done)
{
    INVARIANT(nth > 0 && done <= WHOLE);
    nor->cut_in = nth;
    nor->cut_done = done;
}

bool sim_nor_is_off(const struct sim_nor *nor)
{
    return nor->is_off;
}

void sim_nor_rot(struct sim_nor *nor, size_t bit)
{
    INVARIANT(bit < len_of(nor) * 8);
    nor->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

uint64_t sim_nor_operations(const struct sim_nor *nor)
{
    return nor->operations;
}

uint64_t sim_nor_erases(const struct sim_nor *nor)
{
    return nor->erases;
}

uint64_t sim_nor_hash(const struct sim_nor *nor)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < len_of(nor); i++) {
        hash = (hash ^ (uint64_t)(nor->bytes[i] | nor->between[i]) ^ (uint64_t)nor->between[i] << 8)
               * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}
