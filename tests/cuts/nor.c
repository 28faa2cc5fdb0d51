/*
 * The device's counters on NOR flash, as a device without files keeps them: the two copies of
 * core/device/sequence.h are two erase blocks of SEQUENCE_COPY_STRIDE bytes, written in turn, each
 * by an erase and a program. A start first programs the newest copy once more (sequence_again): it
 * may have been torn and read well this once. The maker stores the first record: its presence tells
 * a new device from a spoilt one. The power goes in every erase and program, at several depths, and
 * again in the starts that follow; no number and no boot may come twice, and no start may fail.
 */
#include "io/sim/nor.h"

#include "base/invariant.h"
#include "core/device/sequence.h"
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    UNIT = 16,
    DEPTHS = 9,
    SEEDS = 6,
    SEEDS_LONG = 400,
    WRITES_OF_START = 4,
    SEEN_MAX = 1 << 20
};

/* 256ths of an operation that are done when the power goes. */
static const unsigned depths[DEPTHS] = {0, 1, 40, 65, 100, 128, 190, 255, 256};

struct counting {
    uint64_t used;
    uint32_t boot;
};

struct exploring {
    uint64_t cuts, states, violations, stops;
    uint64_t *seen;
};

static bool store(struct sim_nor *nor, const struct sequence_store *s)
{
    return sim_nor_erase(nor, (size_t)(s->offset / SEQUENCE_COPY_STRIDE))
           && sim_nor_program(nor, (size_t)s->offset, slice_of(s->bytes, sizeof s->bytes));
}

/* What is on the flash; zero: nothing that could be gone on from. */
static enum sequence_load load(struct sim_nor *nor, struct sequence_record *last)
{
    static uint8_t bytes[SEQUENCE_FILE_LEN];
    enum sequence_load found = SEQUENCE_DAMAGED;
    if (sim_nor_read(nor, 0, bytes, sizeof bytes)) {
        found = sequence_load(slice_of(bytes, sizeof bytes), last);
    }
    return found == SEQUENCE_FOUND || found == SEQUENCE_MENDED ? found : 0;
}

/* A start as the role does it: false where the power went, or nothing can be read. */
static bool start(struct sim_nor *nor, struct sequence *s)
{
    struct sequence_record last;
    struct sequence_store record;
    enum sequence_load found = load(nor, &last);
    if (found == 0) {
        return false;
    }
    if (found == SEQUENCE_FOUND) {
        sequence_again(&last, &record);
        if (!sim_nor_program(nor, (size_t)record.offset,
                             slice_of(record.bytes, sizeof record.bytes))) {
            return false;
        }
    }
    sequence_start(s, &last, &record);
    if (!store(nor, &record)) {
        return false;
    }
    sequence_stored(s);
    if (found == SEQUENCE_MENDED) {
        sequence_save(s, &record);
        if (!store(nor, &record)) {
            return false;
        }
        sequence_stored(s);
    }
    return true;
}

/* One life: a start, numbers over some blocks, a clean stop. False: the power went. */
static bool live(struct sim_nor *nor, struct counting *life, uint64_t count)
{
    struct sequence s;
    struct sequence_store record;
    if (!start(nor, &s)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t seq;
        if (sequence_wants(&s, &record)) {
            if (!store(nor, &record)) {
                return false;
            }
            sequence_stored(&s);
        }
        if (sequence_take(&s, &seq)) {
            life->used = seq;
            life->boot = s.boot;
        }
    }
    sequence_stop(&s, &record);
    return store(nor, &record);
}

static struct sim_nor *from_maker(uint64_t seed)
{
    struct sim_nor *nor = sim_nor_new(2, SEQUENCE_COPY_STRIDE, UNIT, seed);
    struct sequence s;
    struct sequence_store record;
    sequence_start(&s, NULL, &record);
    INVARIANT(store(nor, &record));
    sequence_stored(&s);
    sequence_stop(&s, &record); /* nothing was taken: the first number is 1 */
    INVARIANT(store(nor, &record));
    return nor;
}

static bool is_new(struct exploring *x, uint64_t key)
{
    key |= 1;
    for (size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 44);; at = (at + 1) % SEEN_MAX) {
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

/* What a start on the flash that was left finds; then its own writes are cut, once. */
static void recover(struct exploring *x,
                    const struct sim_nor *left,
                    const struct counting *life,
                    uint64_t seed,
                    unsigned again)
{
    uint64_t promised = life->used * 31 + life->boot;
    if (!is_new(x, sim_nor_hash(left) ^ promised * 0xff51afd7ed558ccdu ^ again)) {
        return;
    }
    x->states++;
    struct sim_nor *nor = sim_nor_copy(left, seed);
    struct sequence s;
    if (!start(nor, &s)) {
        x->violations++; /* one copy is always whole */
        x->stops++;
    } else if (s.first <= life->used || s.boot <= life->boot) {
        x->violations++;
    } else {
        struct counting next = *life;
        x->violations += live(nor, &next, 3) ? 0 : 1;
    }
    sim_nor_free(nor);
    for (uint64_t nth = 1; again > 0 && nth <= WRITES_OF_START; nth++) {
        for (size_t depth = 0; depth < DEPTHS; depth++) {
            struct counting next = *life;
            nor = sim_nor_copy(left, seed + depth);
            sim_nor_cut(nor, nth, depths[depth]);
            (void)live(nor, &next, 3);
            x->cuts++;
            recover(x, nor, &next, seed + depth, again - 1);
            sim_nor_free(nor);
        }
    }
}

/* The whole scenario with the power going in its nth operation; false: it has fewer. */
static bool cut_nth(struct exploring *x, uint64_t nth, unsigned done, uint64_t seed, bool again)
{
    struct counting life = {0};
    struct sim_nor *nor = from_maker(seed);
    sim_nor_cut(nor, nth, done);
    (void)(live(nor, &life, 10) && live(nor, &life, 3 * SEQUENCE_BLOCK) && live(nor, &life, 5));
    bool was_cut = sim_nor_is_off(nor);
    if (was_cut) {
        x->cuts++;
        recover(x, nor, &life, seed, again ? 2 : 0);
    }
    sim_nor_free(nor);
    return was_cut;
}

bool drive_nor(enum effort effort)
{
    struct exploring x = {.seen = calloc(SEEN_MAX, sizeof *x.seen)};
    uint64_t operations = 0;
    clock_t began = clock();
    INVARIANT(x.seen != NULL);
    for (uint64_t seed = 1; seed <= (effort == LONG ? SEEDS_LONG : SEEDS); seed++) {
        for (size_t depth = 0; depth < DEPTHS; depth++) {
            for (operations = 0;
                 cut_nth(&x, operations + 1, depths[depth], SEED + seed, effort != BRIEF);
                 operations++) {
            }
        }
    }
    printf("cuts nor-sequence: %llu operations, %llu cuts, %llu states, 0 left out, %.1f s, %llu "
           "violations\n",
           (unsigned long long)operations, (unsigned long long)x.cuts, (unsigned long long)x.states,
           (double)(clock() - began) / CLOCKS_PER_SEC, (unsigned long long)x.violations);
    if (x.stops > 0) {
        printf("  %llu times no copy could be read\n", (unsigned long long)x.stops);
    }
    free(x.seen);
    return x.violations == 0 && x.cuts > operations;
}
