#include "io/sim/cuts.h"

#include "base/invariant.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { SEED_OF_RECOVERY = 7, WRITES_MAX = 4096 };

/* A set of numbers: open addressing, zero is the free slot. */
struct set {
    uint64_t *slots;
    size_t cap, count;
};

struct run {
    const struct cuts *cuts;
    struct cuts_report *report;
    struct set seen[2]; /* by depth: 0 with its recovery cut, 1 without */
    struct rng chance;
    bool is_plain; /* the cut under way: all or nothing survives */
};

/* The disk that is watched: the scenario's (depth 0) or a recovery's (depth 1). */
struct watch {
    struct run *run;
    unsigned depth;
};

static size_t slot_of(const struct set *set, uint64_t key)
{
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (set->cap - 1);
    while (set->slots[at] != 0 && set->slots[at] != key) {
        at = (at + 1) & (set->cap - 1);
    }
    return at;
}

static bool set_has(const struct set *set, uint64_t key)
{
    return set->cap > 0 && set->slots[slot_of(set, key | 1)] != 0;
}

static void set_add(struct set *set, uint64_t key)
{
    if (set->count * 2 >= set->cap) {
        struct set larger = {.cap = set->cap == 0 ? 1024 : set->cap * 2};
        larger.slots = calloc(larger.cap, sizeof *larger.slots);
        INVARIANT(larger.slots != NULL);
        for (size_t i = 0; i < set->cap; i++) {
            if (set->slots[i] != 0) {
                larger.slots[slot_of(&larger, set->slots[i])] = set->slots[i];
                larger.count++;
            }
        }
        free(set->slots);
        *set = larger;
    }
    size_t at = slot_of(set, key | 1);
    set->count += set->slots[at] == 0 ? 1 : 0;
    set->slots[at] = key | 1;
}

static void on_operation(void *context, struct sim_disk *disk);

static uint64_t promised(const struct run *run)
{
    return run->cuts->promised != NULL ? run->cuts->promised(run->cuts->context) : 0;
}

static bool is_drawn(const struct run *run, uint64_t key, unsigned one_in)
{
    uint64_t drawn = (key ^ run->cuts->seed) * 0x9e3779b97f4a7c15u >> 20;
    return one_in <= 1 || drawn % one_in == 0;
}

static void recover(struct run *run, struct sim_disk *disk, uint64_t key, unsigned depth)
{
    struct sim_world *world = sim_open(run->cuts->seed + SEED_OF_RECOVERY);
    struct watch watch = {.run = run, .depth = depth + 1};
    sim_put_disk(world, CUTS_MACHINE, disk);
    if (run->cuts->cuts_recovery && depth == 0
        && is_drawn(run, key / 3, run->cuts->one_in_of_recovery)) {
        sim_disk_watch(disk, on_operation, &watch);
    }
    run->report->states++;
    if (!run->cuts->recover(run->cuts->context, world)) {
        if (run->report->violations++ == 0) {
            run->report->first_operation = run->report->operations;
            run->report->first_in_recovery = depth > 0;
        }
    }
    sim_disk_watch(sim_disk_of(world, CUTS_MACHINE), NULL, NULL);
    sim_close(world); /* frees the disk, too */
}

static bool is_chosen(const struct run *run, uint64_t key, unsigned depth)
{
    return (run->is_plain && depth == 0) || is_drawn(run, key, run->cuts->one_in);
}

/* One imagined cut. */
static void cut(struct run *run,
                const struct sim_disk *disk,
                const struct sim_cut *how,
                unsigned depth)
{
    run->report->cuts++;
    struct sim_disk *after = sim_disk_after_cut(disk, how);
    uint64_t key = sim_disk_hash(after) ^ promised(run) * 0xff51afd7ed558ccdu;
    if (set_has(&run->seen[0], key) || (depth > 0 && set_has(&run->seen[1], key))) {
        sim_disk_free(after);
        return;
    }
    set_add(&run->seen[depth], key);
    if (is_chosen(run, key, depth)) {
        recover(run, after, key, depth);
    } else {
        run->report->left_out++;
        sim_disk_free(after);
    }
}

/* The same fates with the names lost, kept and cut somewhere; and the last kept write torn in each
 * way. */
static void cut_variants(
    struct run *run, const struct sim_disk *disk, uint8_t *fates, size_t count, unsigned depth)
{
    struct sim_cut how = {.fates = fates, .count = count, .seed = rng_u64(&run->chance)};
    size_t names = sim_disk_unsynced_names(disk);
    for (unsigned fate = SIM_NAMES_LOST; fate <= SIM_NAMES_PREFIX; fate++) {
        if ((fate == SIM_NAMES_KEPT && names == 0) || (fate == SIM_NAMES_PREFIX && names < 2)) {
            continue;
        }
        how.names = (enum sim_names_fate)fate;
        cut(run, disk, &how, depth);
    }
    how.names = SIM_NAMES_KEPT;
    size_t last = count;
    while (last > 0 && fates[last - 1] != SIM_KEPT) {
        last--;
    }
    if (last == 0 || sim_disk_unsynced_sectors(disk, last - 1) < 2) {
        return;
    }
    for (uint8_t fate = SIM_TORN_FIRST; fate <= SIM_TORN_MIXED; fate++) {
        fates[last - 1] = fate;
        cut(run, disk, &how, depth);
    }
    fates[last - 1] = SIM_KEPT;
}

static void cut_subset(struct run *run,
                       const struct sim_disk *disk,
                       uint8_t *fates,
                       size_t count,
                       uint64_t bits,
                       unsigned depth)
{
    for (size_t i = 0; i < count; i++) {
        fates[i] = (bits >> i & 1) != 0 ? SIM_KEPT : SIM_LOST;
    }
    run->is_plain = bits == 0 || bits == (UINT64_C(1) << count) - 1;
    cut_variants(run, disk, fates, count, depth);
    run->is_plain = false;
}

/* Too many for all subsets: those that break programs most often. */
static void cut_some(
    struct run *run, const struct sim_disk *disk, uint8_t *fates, size_t count, unsigned depth)
{
    for (size_t i = 0; i <= count; i++) { /* prefixes, none and all among them */
        memset(fates, SIM_KEPT, i);
        memset(fates + i, SIM_LOST, count - i);
        run->is_plain = i == 0 || i == count;
        cut_variants(run, disk, fates, count, depth);
    }
    run->is_plain = false;
    for (size_t i = 0; i < count; i++) {
        memset(fates, SIM_KEPT, count);
        fates[i] = SIM_LOST;
        cut_variants(run, disk, fates, count, depth);
        memset(fates, SIM_LOST, count);
        fates[i] = SIM_KEPT;
        cut_variants(run, disk, fates, count, depth);
    }
}

static void on_operation(void *context, struct sim_disk *disk)
{
    const struct watch *watch = context;
    struct run *run = watch->run;
    uint8_t fates[WRITES_MAX];
    size_t count = sim_disk_unsynced(disk);
    INVARIANT(count <= WRITES_MAX);
    run->report->operations += watch->depth == 0 ? 1 : 0;
    size_t whole = run->cuts->whole != 0 ? run->cuts->whole : CUTS_SUBSETS_WHOLE;
    INVARIANT(whole <= CUTS_SUBSETS_WHOLE);
    if (count <= whole) {
        for (uint64_t bits = 0; bits < UINT64_C(1) << count; bits++) {
            cut_subset(run, disk, fates, count, bits, watch->depth);
        }
    } else {
        cut_some(run, disk, fates, count, watch->depth);
    }
    for (unsigned i = 0; i < run->cuts->seeded && count > 0; i++) {
        for (size_t j = 0; j < count; j++) {
            fates[j] = (uint8_t)rng_below(&run->chance, SIM_FATE_COUNT);
        }
        cut_variants(run, disk, fates, count, watch->depth);
    }
}

void cuts_run(const struct cuts *cuts, struct cuts_report *report)
{
    struct run run = {.cuts = cuts, .report = report, .chance = rng_from_seed(cuts->seed)};
    struct watch watch = {.run = &run, .depth = 0};
    *report = (struct cuts_report){0};
    struct sim_world *world = sim_open(cuts->seed);
    struct sim_disk *disk = sim_disk_of(world, CUTS_MACHINE);
    sim_disk_watch(disk, on_operation, &watch);
    cuts->scenario(cuts->context, world);
    sim_disk_watch(sim_disk_of(world, CUTS_MACHINE), NULL, NULL);
    sim_close(world);
    free(run.seen[0].slots);
    free(run.seen[1].slots);
}
