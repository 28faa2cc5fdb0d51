/* The end of power: of all that no sync covered, the fates a cut chose, and the disk that is found
 * then. */
#include "base/invariant.h"
#include "base/rng.h"
#include "io/sim/disk_inside.h"

#include <stdlib.h>
#include <string.h>

/* Every inode that may be found again: those of the durable names and of the names that wait, once
 * each. */
static size_t reachable(const struct sim_disk *disk, struct sim_inode **out)
{
    size_t count = 0;
    for (size_t i = 0; i < disk->durable.count + disk->ops_count; i++) {
        struct sim_inode *inode = i < disk->durable.count
                                      ? disk->durable.list[i].inode
                                      : disk->ops[i - disk->durable.count].inode;
        bool known = inode == NULL;
        for (size_t j = 0; j < count && !known; j++) {
            known = out[j] == inode;
        }
        if (!known) {
            out[count++] = inode;
        }
    }
    return count;
}

struct sim_inode **disk_inodes_new(const struct sim_disk *disk, size_t *count)
{
    struct sim_inode **list = calloc(disk->durable.count + disk->ops_count + 1, sizeof *list);
    INVARIANT(list != NULL);
    *count = reachable(disk, list);
    return list;
}

struct waiting {
    const struct change *change;
    size_t inode;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct waiting *)a)->change->number;
    uint64_t y = ((const struct waiting *)b)->change->number;
    return (x > y) - (x < y);
}

/* All unsynced changes, oldest first. */
static struct waiting *waiting_new(struct sim_inode *const *inodes,
                                   size_t inodes_count,
                                   size_t *count)
{
    struct waiting *list = NULL;
    size_t cap = 0;
    *count = 0;
    for (size_t i = 0; i < inodes_count; i++) {
        for (size_t j = 0; j < inodes[i]->changes_count; j++) {
            list = disk_grown(list, &cap, *count + 1, sizeof *list);
            list[(*count)++] = (struct waiting){.change = &inodes[i]->changes[j], .inode = i};
        }
    }
    if (*count > 1) {
        qsort(list, *count, sizeof *list, by_number);
    }
    return list;
}

size_t sim_disk_unsynced(const struct sim_disk *disk)
{
    size_t inodes_count;
    size_t sum = 0;
    struct sim_inode **inodes = disk_inodes_new(disk, &inodes_count);
    for (size_t i = 0; i < inodes_count; i++) {
        sum += inodes[i]->changes_count;
    }
    free(inodes);
    return sum;
}

size_t sim_disk_unsynced_names(const struct sim_disk *disk)
{
    return disk->ops_count;
}

static size_t sectors_of(const struct change *change)
{
    if (change->bytes == NULL || change->len == 0) {
        return 1;
    }
    return (size_t)((change->offset + change->len - 1) / SIM_SECTOR - change->offset / SIM_SECTOR
                    + 1);
}

size_t sim_disk_unsynced_sectors(const struct sim_disk *disk, size_t index)
{
    size_t inodes_count;
    size_t count;
    struct sim_inode **inodes = disk_inodes_new(disk, &inodes_count);
    struct waiting *waiting = waiting_new(inodes, inodes_count, &count);
    size_t sectors = index < count ? sectors_of(waiting[index].change) : 0;
    free(waiting);
    free(inodes);
    return sectors;
}

static bool sector_survives(enum sim_fate fate, size_t index, struct rng *chance)
{
    switch (fate) {
    case SIM_LOST: return false;
    case SIM_KEPT: return true;
    case SIM_TORN_FIRST: return index == 0;
    case SIM_TORN_REST: return index > 0;
    case SIM_TORN_MIXED: return rng_below(chance, 2) == 0;
    }
    UNREACHABLE();
}

static void survive(struct pages *to,
                    const struct change *change,
                    enum sim_fate fate,
                    struct rng *chance)
{
    if (change->lie != SIM_LIE_NONE) {
        return;
    }
    if (change->bytes == NULL) {
        if (sector_survives(fate, 0, chance)) {
            disk_apply(to, change);
        }
        return;
    }
    size_t from = 0;
    for (size_t sector = 0; from < change->len; sector++) {
        size_t len = SIM_SECTOR - (size_t)((change->offset + from) % SIM_SECTOR);
        len = len < change->len - from ? len : change->len - from;
        if (sector_survives(fate, sector, chance)) {
            pages_put(to, change->offset + from, slice_of(change->bytes + from, len));
        }
        from += len;
    }
}

/* Of each folder's waiting operations a prefix; the folders in the order of their first one. */
static void keep_names(struct names *names, const struct sim_disk *disk, const struct sim_cut *cut)
{
    struct rng chance = rng_from_seed(cut->seed ^ 0x6e616d65u);
    /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): the count never wraps */
    bool *seen = calloc(disk->ops_count + 1, sizeof *seen);
    INVARIANT(seen != NULL);
    for (size_t i = 0; i < disk->ops_count; i++) {
        char folder[SIM_PATH_MAX];
        size_t total = 0;
        if (seen[i]) {
            continue;
        }
        disk_folder_of(disk->ops[i].path->text, folder);
        for (size_t j = i; j < disk->ops_count; j++) {
            total += disk_is_in_folder(disk->ops[j].path->text, folder) ? 1 : 0;
        }
        size_t keep = cut->names == SIM_NAMES_KEPT   ? total
                      : cut->names == SIM_NAMES_LOST ? 0
                                                     : (size_t)rng_below(&chance, total + 1);
        for (size_t j = i; j < disk->ops_count; j++) {
            if (disk_is_in_folder(disk->ops[j].path->text, folder)) {
                seen[j] = true;
                if (keep > 0) {
                    disk_names_apply(names, &disk->ops[j]);
                    keep--;
                }
            }
        }
    }
    free(seen);
}

/* What lies in a folder that was lost is lost with it. */
static void drop_orphans(struct names *names)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < names->count; i++) {
            char folder[SIM_PATH_MAX];
            disk_folder_of(names->list[i].path->text, folder);
            if (!disk_folder_exists(names, folder)) {
                disk_names_remove(names, names->list[i].path);
                changed = true;
                break;
            }
        }
    }
}

static void names_copy(struct names *to, const struct names *from)
{
    for (size_t i = 0; i < from->count; i++) {
        disk_names_put(to, from->list[i].path, from->list[i].inode);
    }
}

/* The contents of each inode, as the cut leaves them. */
static struct sim_inode **contents_after(struct sim_inode *const *inodes,
                                         size_t inodes_count,
                                         const struct sim_cut *cut)
{
    size_t count;
    struct rng chance = rng_from_seed(cut->seed);
    struct waiting *waiting = waiting_new(inodes, inodes_count, &count);
    struct sim_inode **made = calloc(inodes_count + 1, sizeof *made);
    INVARIANT(made != NULL);
    for (size_t i = 0; i < inodes_count; i++) {
        made[i] = disk_hold(disk_inode_new());
        pages_copy(&made[i]->durable, &inodes[i]->durable);
    }
    for (size_t i = 0; i < count && i < cut->count; i++) {
        survive(&made[waiting[i].inode]->durable, waiting[i].change, (enum sim_fate)cut->fates[i],
                &chance);
    }
    for (size_t i = 0; i < inodes_count; i++) {
        pages_copy(&made[i]->now, &made[i]->durable);
    }
    free(waiting);
    return made;
}

struct sim_disk *sim_disk_after_cut(const struct sim_disk *disk, const struct sim_cut *cut)
{
    size_t count;
    struct sim_inode **inodes = disk_inodes_new(disk, &count);
    struct sim_inode **made = contents_after(inodes, count, cut);
    struct sim_disk *after = sim_disk_new();
    struct names names = {0};
    after->room = disk->room;
    after->is_lying = disk->is_lying;
    after->spoil = disk->spoil;
    names_copy(&names, &disk->durable);
    keep_names(&names, disk, cut);
    drop_orphans(&names);
    for (size_t i = 0; i < names.count; i++) {
        struct sim_inode *own = NULL;
        for (size_t j = 0; j < count && names.list[i].inode != NULL; j++) {
            own = inodes[j] == names.list[i].inode ? made[j] : own;
        }
        disk_names_put(&after->now, names.list[i].path, own);
        disk_names_put(&after->durable, names.list[i].path, own);
    }
    disk_names_free(&names);
    for (size_t i = 0; i < count; i++) {
        disk_drop(made[i]);
    }
    free(made);
    free(inodes);
    return after;
}

static uint64_t mix(uint64_t hash, const void *at, size_t len)
{
    const uint8_t *bytes = at;
    while (len > 0) {
        uint64_t word = 0;
        size_t step = len < sizeof word ? len : sizeof word;
        memcpy(&word, bytes, step);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
        bytes += step;
        len -= step;
    }
    return hash;
}

/* The sum does not depend on the order in which the names lie. */
uint64_t sim_disk_hash(const struct sim_disk *disk)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < disk->durable.count; i++) {
        const struct name *name = &disk->durable.list[i];
        uint64_t hash = mix(1, name->path->text, strlen(name->path->text));
        if (name->inode != NULL) {
            uint64_t contents = pages_hash(&name->inode->durable);
            hash = mix(hash, &contents, sizeof contents);
        }
        sum += hash ^ hash >> 31;
    }
    return sum;
}
