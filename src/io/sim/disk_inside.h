/* What disk.c (a disk in use), disk_cut.c (what is found after a cut) and disk_lies.c share. */
#ifndef IO_SIM_DISK_INSIDE_H
#define IO_SIM_DISK_INSIDE_H

#include "io/sim/disk.h"
#include "io/sim/pages.h"

struct change {      /* to one file, not durable yet */
    uint64_t number; /* of all changes of the disk, rising */
    uint64_t offset; /* where it writes, or the size it truncates to */
    uint8_t *bytes;  /* NULL: a truncation */
    size_t len;
    bool limbo;
    enum sim_lie lie;
    uint64_t stray_seed; /* SIM_LIE_MISDIRECTED */
};

struct sim_inode {
    unsigned users; /* names, now and durable and waiting, and open files */
    struct pages now, durable;
    struct change *changes;
    size_t changes_count, changes_cap;
};

struct path { /* shared by all who name it: a report a second makes and moves the same two */
    unsigned users;
    uint64_t hash;
    char text[];
};

struct name {
    struct path *path;
    uint64_t hash;           /* of the path, beside it */
    struct sim_inode *inode; /* NULL: a folder */
};

struct names {
    struct name *list;
    size_t count, cap;
};

enum name_op_kind { NAME_MAKE, NAME_REMOVE, NAME_MOVE };

struct name_op {
    enum name_op_kind kind;
    struct path *path;
    struct path *to;         /* NAME_MOVE */
    struct sim_inode *inode; /* NAME_MAKE; NULL: a folder */
};

struct spoil {
    uint64_t nth; /* write from now; 0: none */
    enum sim_lie lie;
    uint64_t seed;
};

struct sim_disk {
    struct names now, durable;
    struct name_op *ops; /* not durable yet, oldest first */
    size_t ops_count, ops_cap;
    uint64_t room;
    uint64_t change_number, operations;
    bool is_lying; /* about syncs */
    struct spoil spoil;
    sim_disk_watcher *watcher;
    void *watcher_context;
};

void *disk_grown(void *at, size_t *cap, size_t need, size_t item);
struct sim_inode *disk_inode_new(void);
struct sim_inode *disk_hold(struct sim_inode *inode);
void disk_drop(struct sim_inode *inode);
void disk_folder_of(const char *path, char out[SIM_PATH_MAX]);
bool disk_is_in_folder(const char *path, const char *folder);
bool disk_folder_exists(const struct names *names, const char *path);
void disk_names_remove(struct names *names, const struct path *path);
void disk_names_put(struct names *names, struct path *path, struct sim_inode *inode);
void disk_names_apply(struct names *names, const struct name_op *op);
void disk_names_free(struct names *names);
void disk_apply(struct pages *to, const struct change *change);

/* Every inode that may be found again, once each; on the heap. */
struct sim_inode **disk_inodes_new(const struct sim_disk *disk, size_t *count);

/* disk_lies.c */
void disk_spoil_write(struct sim_disk *disk, struct change *change);
void disk_reach(struct sim_disk *disk, struct sim_inode *inode, const struct change *change);

#endif
