#include "flash.h"

#include "base/invariant.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DEPTHS = 9,
    AGAIN = 3,           /* cuts in a row: in the work, and in so many starts that follow */
    WRITES_OF_START = 9, /* of a recovery so many operations are cut, more than a start has */
    SEEN_MAX = 1 << 21,
    LIFE_MAX = 4096,
    ONE_IN = 24, /* of the second and later cuts in a row, one in so many */
    ONE_IN_LONG = 8,
    ROTS = 1000,
    ROTS_LONG = 20000
};

/* 256ths of an operation that are done when the power goes. */
static const unsigned depths[DEPTHS] = {0, 1, 40, 65, 100, 128, 190, 255, 256};

struct exploring {
    const struct flash_thing *thing;
    uint64_t cuts, states, violations, deepest;
    uint64_t *seen;
    uint64_t one_in;
    struct rng chance;
};

struct life {
    uint8_t bytes[LIFE_MAX];
};

bool flash_perform(struct sim_nor *nor, uint32_t block_len, const struct flash_order *order)
{
    size_t at = (size_t)order->block * block_len + order->offset;
    switch (order->kind) {
    case FLASH_READ: return sim_nor_read(nor, at, order->to, block_len);
    case FLASH_ERASE: return sim_nor_erase(nor, order->block);
    case FLASH_PROGRAM: return sim_nor_program(nor, at, order->bytes);
    }
    UNREACHABLE();
}

static struct sim_nor *new_flash(const struct flash_thing *thing, uint64_t seed)
{
    return sim_nor_new(thing->limits.blocks, thing->limits.block_len, thing->limits.unit_len, seed);
}

static bool is_new(struct exploring *x, uint64_t key)
{
    key |= 1;
    for (size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 43);; at = (at + 1) % SEEN_MAX) {
        if (x->seen[at] == key) {
            return false;
        }
        if (x->seen[at] == 0) {
            INVARIANT(x->states < SEEN_MAX / 2);
            x->seen[at] = key;
            return true;
        }
    }
}

static void broke(struct exploring *x, const char *when, unsigned cuts_in_a_row)
{
    if (x->violations++ == 0) {
        printf("  %s: a promise is broken %s, after %u cuts in a row\n", x->thing->name, when,
               cuts_in_a_row);
    }
}

/* A start on what was left, whole; then others that are cut themselves. */
static void recover(struct exploring *x,
                    const struct sim_nor *left,
                    const struct life *life,
                    uint64_t seed,
                    unsigned row)
{
    const struct flash_thing *thing = x->thing;
    uint64_t promised = thing->promised(life) * 0xff51afd7ed558ccdu;
    if (!is_new(x, sim_nor_hash(left) ^ promised ^ row)) {
        return;
    }
    x->states++;
    x->deepest = row > x->deepest ? row : x->deepest;
    struct life next = *life;
    struct sim_nor *nor = sim_nor_copy(left, seed);
    bool is_broken = false;
    for (unsigned part = 0; part < 2 && !is_broken; part++) { /* and starts on its own work */
        if (!thing->live(&next, nor, part, &is_broken) || is_broken) {
            is_broken = true;
        }
    }
    if (is_broken) {
        broke(x, "at a start", row);
    }
    sim_nor_free(nor);
    for (uint64_t nth = 1; row < AGAIN && nth <= WRITES_OF_START; nth++) {
        for (size_t depth = 0; depth < DEPTHS; depth++) {
            if (rng_below(&x->chance, x->one_in) != 0) {
                continue;
            }
            next = *life;
            is_broken = false;
            nor = sim_nor_copy(left, seed + depth);
            sim_nor_cut(nor, nth, depths[depth]);
            (void)thing->live(&next, nor, 1, &is_broken);
            x->cuts++;
            if (is_broken) {
                broke(x, "at a start that is cut", row);
            }
            recover(x, nor, &next, seed + depth, row + 1);
            sim_nor_free(nor);
        }
    }
}

/* The whole scenario with the power going in its nth operation; false: it has fewer. */
static bool cut_nth(struct exploring *x, uint64_t nth, unsigned done, uint64_t seed, unsigned row)
{
    struct life life = {{0}};
    struct sim_nor *nor = new_flash(x->thing, seed);
    bool is_broken = false;
    bool goes_on = true;
    sim_nor_cut(nor, nth, done);
    for (unsigned part = 0; goes_on && part < x->thing->parts; part++) {
        goes_on = x->thing->live(&life, nor, part, &is_broken) && !is_broken;
    }
    if (is_broken) {
        broke(x, "without a cut", 0);
    }
    bool was_cut = sim_nor_is_off(nor);
    if (was_cut) {
        x->cuts++;
        recover(x, nor, &life, seed, row);
    }
    sim_nor_free(nor);
    return was_cut;
}

bool drive_flash(const struct flash_thing *thing, enum effort effort)
{
    struct exploring x = {.thing = thing,
                          .seen = calloc(SEEN_MAX, sizeof *x.seen),
                          .one_in = effort == LONG ? ONE_IN_LONG : ONE_IN,
                          .chance = rng_from_seed(SEED)};
    uint64_t operations = 0;
    clock_t began = clock();
    INVARIANT(x.seen != NULL && thing->life_len <= LIFE_MAX);
    for (uint64_t seed = 1; seed <= (effort == LONG ? thing->seeds_long : thing->seeds); seed++) {
        for (size_t depth = 0; depth < DEPTHS; depth++) {
            for (operations = 0; cut_nth(&x, operations + 1, depths[depth], SEED + seed,
                                         effort == BRIEF ? AGAIN : 1);
                 operations++) {
            }
        }
    }
    printf(
        "cuts %s: %llu operations, %llu cuts, %llu states, 0 left out, %.1f s, %llu violations\n",
        thing->name, (unsigned long long)operations, (unsigned long long)x.cuts,
        (unsigned long long)x.states, (double)(clock() - began) / CLOCKS_PER_SEC,
        (unsigned long long)x.violations);
    free(x.seen);
    return x.violations == 0 && x.cuts > operations;
}

/* One bit flips at rest: what was promised is there, or the start tells. */
bool drive_flash_rot(const struct flash_thing *thing, enum effort effort)
{
    uint64_t kept = 0;
    uint64_t told = 0;
    uint64_t violations = 0;
    struct rng chance = rng_from_seed(SEED);
    clock_t began = clock();
    struct life life = {{0}};
    bool is_broken = false;
    struct sim_nor *nor = new_flash(thing, SEED);
    for (unsigned part = 0; part < thing->parts; part++) {
        bool goes_on = thing->live(&life, nor, part, &is_broken);
        INVARIANT(goes_on && !is_broken);
    }
    size_t bits = (size_t)thing->limits.blocks * thing->limits.block_len * 8;
    for (int i = 0; i < (effort == LONG ? ROTS_LONG : ROTS); i++) {
        struct life next = life;
        struct sim_nor *rotten = sim_nor_copy(nor, SEED);
        sim_nor_rot(rotten, (size_t)rng_below(&chance, bits));
        is_broken = false;
        bool goes_on = thing->live(&next, rotten, 1, &is_broken);
        violations += is_broken;
        kept += !is_broken && goes_on;
        told += !is_broken && !goes_on;
        sim_nor_free(rotten);
    }
    sim_nor_free(nor);
    printf("rot %s: %llu kept, %llu told, %llu violations, %.1f s\n", thing->name,
           (unsigned long long)kept, (unsigned long long)told, (unsigned long long)violations,
           (double)(clock() - began) / CLOCKS_PER_SEC);
    return violations == 0 && told > 0;
}
