/* A disk that lies: syncs that keep nothing, writes that reach nothing or the wrong place, and bits
 * that rot. */
#include "base/invariant.h"
#include "base/rng.h"
#include "io/sim/disk_inside.h"

#include <stdlib.h>
#include <string.h>

void sim_disk_set_lying(struct sim_disk *disk, bool is_lying)
{
    disk->is_lying = is_lying;
}

void sim_disk_spoil(struct sim_disk *disk, uint64_t nth, enum sim_lie lie, uint64_t seed)
{
    disk->spoil = (struct spoil){.nth = lie == SIM_LIE_NONE ? 0 : nth, .lie = lie, .seed = seed};
}

void disk_spoil_write(struct sim_disk *disk, struct change *change)
{
    if (disk->spoil.nth > 0 && --disk->spoil.nth == 0) {
        change->lie = disk->spoil.lie;
        change->stray_seed = disk->spoil.seed;
    }
}

/* Where on the medium a draw fell. */
struct place {
    struct sim_inode *inode; /* NULL: nothing is there */
    uint64_t unit;           /* of its units, from 0 */
};

/* Every unit of `unit` bytes of all that is durable, those that are cut short by the end of their
 * file included, is as likely. */
static struct place draw_place(const struct sim_disk *disk, uint64_t unit, struct rng *chance)
{
    size_t count;
    uint64_t total = 0;
    struct place place = {0};
    struct sim_inode **inodes = disk_inodes_new(disk, &count);
    for (size_t i = 0; i < count; i++) {
        total += (inodes[i]->durable.len + unit - 1) / unit;
    }
    uint64_t at = total > 0 ? rng_below(chance, total) : 0;
    for (size_t i = 0; i < count && total > 0 && place.inode == NULL; i++) {
        uint64_t own = (inodes[i]->durable.len + unit - 1) / unit;
        if (at < own) {
            place = (struct place){.inode = inodes[i], .unit = at};
        }
        at -= at < own ? 0 : own;
    }
    free(inodes);
    return place;
}

static void put_within(struct pages *to, uint64_t offset, struct slice bytes)
{
    uint64_t room = offset < to->len ? to->len - offset : 0;
    bytes.len = bytes.len < room ? bytes.len : (size_t)room;
    if (bytes.len > 0) {
        pages_put(to, offset, bytes);
    }
}

/* Behind the back of whoever has the file open: what waits to be written is in memory, and shown.
 */
static void hurt(struct sim_inode *inode, uint64_t offset, struct slice bytes)
{
    put_within(&inode->durable, offset, bytes);
    if (inode->changes_count == 0) {
        put_within(&inode->now, offset, bytes);
    }
}

/* Whole sectors move: a write keeps its place within them. */
static void stray(struct sim_disk *disk, const struct change *change)
{
    struct rng chance = rng_from_seed(change->stray_seed);
    struct place place = draw_place(disk, SIM_SECTOR, &chance);
    if (place.inode != NULL) {
        hurt(place.inode, place.unit * SIM_SECTOR + change->offset % SIM_SECTOR,
             slice_of(change->bytes, change->len));
    }
}

/* A change that a sync covers gets to the medium, or not. */
void disk_reach(struct sim_disk *disk, struct sim_inode *inode, const struct change *change)
{
    uint64_t end = change->offset + change->len;
    switch (change->lie) {
    case SIM_LIE_NONE: disk_apply(&inode->durable, change); return;
    case SIM_LIE_MISDIRECTED:
    case SIM_LIE_LOST:
        if (end > inode->durable.len) {
            pages_resize(&inode->durable, end);
        }
        if (change->lie == SIM_LIE_MISDIRECTED) {
            stray(disk, change);
        }
        return;
    }
    UNREACHABLE();
}

bool sim_disk_rot(struct sim_disk *disk, uint64_t seed)
{
    struct rng chance = rng_from_seed(seed);
    struct place place = draw_place(disk, 1, &chance);
    if (place.inode == NULL) {
        return false;
    }
    uint8_t byte = 0;
    (void)pages_read(&place.inode->durable, place.unit, &byte, 1);
    byte ^= (uint8_t)(1u << rng_below(&chance, 8));
    hurt(place.inode, place.unit, slice_of(&byte, 1));
    return true;
}

static bool is_within(const struct name *name, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(name->path->text, folder, len) == 0 && name->path->text[len] == '/';
}

void sim_disk_restore(struct sim_disk *disk, const struct sim_disk *image, const char *folder)
{
    struct names *both[] = {&disk->now, &disk->durable};
    INVARIANT(disk->ops_count == 0 && image->ops_count == 0);
    INVARIANT(sim_disk_unsynced(disk) == 0 && sim_disk_unsynced(image) == 0);
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        for (size_t n = both[i]->count; n-- > 0;) {
            if (is_within(&both[i]->list[n], folder)) {
                disk_names_remove(both[i], both[i]->list[n].path);
            }
        }
        for (size_t n = 0; n < image->durable.count; n++) {
            if (is_within(&image->durable.list[n], folder)) {
                disk_names_put(both[i], image->durable.list[n].path, image->durable.list[n].inode);
            }
        }
    }
}
