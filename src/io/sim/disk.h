/*
 * A disk that forgets like a real one. What was written is seen at once by everybody on the
 * machine, and is durable only after a sync: when the power goes, of the data written since then
 * any subset survives, each write torn at 512-byte sectors, in any order; of the names made, moved
 * and removed in a folder since its last sync a prefix survives. A sync that failed leaves its
 * writes in limbo: a later sync does not save them.
 *
 * Knows nothing of ports, time or chance: whoever cuts says what survives. Paths are taken as they
 * are written, but for doubled and trailing slashes. A rename stays within its folder; a folder is
 * moved only once all within it is durable, and onto no other.
 */
#ifndef IO_SIM_DISK_H
#define IO_SIM_DISK_H

#include "io/port.h"

enum {
    SIM_SECTOR = 512,
    SIM_PATH_MAX = 512,
    SIM_NAMES_WAITING_MAX = 512 /* unsynced name operations of a disk; beyond, the oldest become
                                   durable by themselves, as a kernel writes back */
};

struct sim_disk;
struct sim_inode;

struct sim_disk *sim_disk_new(void);
void sim_disk_free(struct sim_disk *disk);

/* Bytes that all files together may take; PORT_NO_SPACE beyond. UINT64_MAX at first. */
void sim_disk_set_room(struct sim_disk *disk, uint64_t bytes);
uint64_t sim_disk_room(const struct sim_disk *disk);

/* Called after each operation that a cut could tell from its absence: write, truncate, sync, name,
 * folder sync. */
typedef void sim_disk_watcher(void *context, struct sim_disk *disk);
void sim_disk_watch(struct sim_disk *disk, sim_disk_watcher *watcher, void *context);
uint64_t sim_disk_operations(const struct sim_disk *disk);

enum port_result sim_disk_open(struct sim_disk *disk,
                               const char *path,
                               unsigned flags,
                               struct sim_inode **out);
void sim_disk_close(struct sim_disk *disk, struct sim_inode *inode);
uint64_t sim_disk_size(const struct sim_inode *inode);
size_t sim_disk_read(const struct sim_inode *inode, uint64_t offset, void *to, size_t len);
enum port_result sim_disk_write(struct sim_disk *disk,
                                struct sim_inode *inode,
                                uint64_t offset,
                                struct slice bytes);
enum port_result sim_disk_truncate(struct sim_disk *disk, struct sim_inode *inode, uint64_t size);

/* A sync covers what was written before it began: take the mark then, and give it when the sync
 * ends. */
uint64_t sim_disk_mark(const struct sim_inode *inode);
void sim_disk_sync(struct sim_disk *disk, struct sim_inode *inode, uint64_t mark);
void sim_disk_sync_failed(struct sim_disk *disk, struct sim_inode *inode, uint64_t mark);

enum port_result sim_disk_rename(struct sim_disk *disk, const char *from, const char *to);
enum port_result sim_disk_unlink(struct sim_disk *disk, const char *path);
enum port_result sim_disk_dir_make(struct sim_disk *disk, const char *path);
enum port_result sim_disk_dir_sync(struct sim_disk *disk, const char *path);
enum port_result sim_disk_dir_list(struct sim_disk *disk,
                                   const char *path,
                                   void (*each)(void *context, const char *name),
                                   void *context);

/* The inode a path names now; NULL: none or a folder. Borrowed. */
struct sim_inode *sim_disk_find(struct sim_disk *disk, const char *path);

/* ---- the end of power ---- */

/* What becomes of one write (or truncation) that no sync covered. */
enum sim_fate {
    SIM_LOST,
    SIM_KEPT,
    SIM_TORN_FIRST, /* its first sector only */
    SIM_TORN_REST,  /* all but its first sector */
    SIM_TORN_MIXED  /* each sector by a bit of the seed */
};
enum { SIM_FATE_COUNT = SIM_TORN_MIXED + 1 };
enum sim_names_fate {
    SIM_NAMES_LOST,
    SIM_NAMES_KEPT,
    SIM_NAMES_PREFIX /* a length per folder from the seed */
};

struct sim_cut {
    const uint8_t *fates; /* an enum sim_fate per unsynced write, oldest first */
    size_t count;         /* those beyond are lost */
    enum sim_names_fate names;
    uint64_t seed;
};

size_t sim_disk_unsynced(const struct sim_disk *disk);       /* writes, over all files */
size_t sim_disk_unsynced_names(const struct sim_disk *disk); /* name operations, over all folders */
size_t sim_disk_unsynced_sectors(const struct sim_disk *disk,
                                 size_t index); /* of one write; 1: cannot tear */

/* What is found when the power comes back: a disk of its own, all durable, no file open. */
struct sim_disk *sim_disk_after_cut(const struct sim_disk *disk, const struct sim_cut *cut);

/* ---- a disk that lies: more than anything promises to survive, but what is lost must be told ----
 *
 * A file in memory hides what a lie did to the medium: the file of a spoilt write shows what was
 * written until the power goes, and so does every file in which a write waits for its sync.
 */

/* While it lies about syncs, those of files and of folders are reported as ever and make nothing
 * durable; the first honest one covers what they left. Stays through a cut. */
void sim_disk_set_lying(struct sim_disk *disk, bool is_lying);

/* What becomes of a write that was reported well and synced. The file is as long as it makes it, of
 * what was there before or zeroes. Before its sync a cut leaves nothing of it. */
enum sim_lie {
    SIM_LIE_NONE,
    SIM_LIE_LOST,       /* it reaches nothing */
    SIM_LIE_MISDIRECTED /* its sectors reach others, in a row, of a file that the seed draws: each
                          sector of the disk is as likely. A file does not grow by it. */
};

/* Spoils the nth write from now (1: the next); SIM_LIE_NONE takes that back. Stays through a cut.
 */
void sim_disk_spoil(struct sim_disk *disk, uint64_t nth, enum sim_lie lie, uint64_t seed);

/* Rot: flips one durable bit of one file, both drawn by the seed. False: there is no byte. */
bool sim_disk_rot(struct sim_disk *disk, uint64_t seed);

/* A backup is put back: all in `folder`, and nothing else, is what it is on `image`. Nothing may
 * wait for a sync on either, as after a cut. */
void sim_disk_restore(struct sim_disk *disk, const struct sim_disk *image, const char *folder);

/* Tells disks apart by what is durable on them. */
uint64_t sim_disk_hash(const struct sim_disk *disk);

#endif
