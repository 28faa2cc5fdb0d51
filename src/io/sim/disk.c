#include "base/invariant.h"
#include "io/sim/disk_inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

void *disk_grown(void *at, size_t *cap, size_t need, size_t item)
{
    if (need <= *cap) {
        return at;
    }
    size_t made = *cap == 0 ? 8 : *cap;
    while (made < need) {
        made *= 2;
    }
    at = realloc(at, made * item);
    INVARIANT(at != NULL);
    *cap = made;
    return at;
}

static uint64_t hash_of_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = text; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static struct path *path_new(const char *text)
{
    size_t len = strlen(text) + 1;
    struct path *path = malloc(sizeof *path + len);
    INVARIANT(path != NULL);
    path->users = 1;
    path->hash = hash_of_text(text);
    memcpy(path->text, text, len);
    return path;
}

static struct path *path_hold(struct path *path)
{
    path->users++;
    return path;
}

static void path_drop(struct path *path)
{
    if (path != NULL && --path->users == 0) {
        free(path);
    }
}

/* ---- inodes ---- */

struct sim_inode *disk_inode_new(void)
{
    struct sim_inode *inode = calloc(1, sizeof *inode);
    INVARIANT(inode != NULL);
    return inode;
}

struct sim_inode *disk_hold(struct sim_inode *inode)
{
    if (inode != NULL) {
        inode->users++;
    }
    return inode;
}

void disk_drop(struct sim_inode *inode)
{
    if (inode == NULL || --inode->users > 0) {
        return;
    }
    for (size_t i = 0; i < inode->changes_count; i++) {
        free(inode->changes[i].bytes);
    }
    free(inode->changes);
    pages_free(&inode->now);
    pages_free(&inode->durable);
    free(inode);
}

/* ---- names ---- */

/* Doubled and trailing slashes go; "" stays "". */
static bool path_clean(const char *path, char out[SIM_PATH_MAX])
{
    size_t len = 0;
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '/' && len > 0 && out[len - 1] == '/') {
            continue;
        }
        if (len + 1 >= SIM_PATH_MAX) {
            return false;
        }
        out[len++] = *at;
    }
    if (len > 1 && out[len - 1] == '/') {
        len--;
    }
    out[len] = '\0';
    return len > 0;
}

void disk_folder_of(const char *path, char out[SIM_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (slash == NULL) {
        memcpy(out, ".", 2);
    } else if (len == 0) {
        memcpy(out, "/", 2);
    } else {
        memcpy(out, path, len);
        out[len] = '\0';
    }
}

bool disk_is_in_folder(const char *path, const char *folder)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return strcmp(slash == NULL ? "." : "/", folder) == 0;
    }
    size_t len = (size_t)(slash - path);
    return strncmp(path, folder, len) == 0 && folder[len] == '\0';
}

static struct name *find(const struct names *names, const char *text, uint64_t hash)
{
    for (size_t i = names->count; i-- > 0;) { /* the newest last: it is asked for most */
        if (names->list[i].hash == hash && strcmp(names->list[i].path->text, text) == 0) {
            return &names->list[i];
        }
    }
    return NULL;
}

static struct name *names_find(const struct names *names, const char *text)
{
    return find(names, text, hash_of_text(text));
}

bool disk_folder_exists(const struct names *names, const char *path)
{
    if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0) {
        return true;
    }
    const struct name *found = names_find(names, path);
    return found != NULL && found->inode == NULL;
}

void disk_names_remove(struct names *names, const struct path *path)
{
    struct name *found = find(names, path->text, path->hash);
    if (found != NULL) {
        struct name gone = *found;
        *found = names->list[--names->count];
        path_drop(gone.path); /* perhaps the one that we were given */
        disk_drop(gone.inode);
    }
}

void disk_names_put(struct names *names, struct path *path, struct sim_inode *inode)
{
    (void)path_hold(path); /* first: they may be those that are replaced */
    (void)disk_hold(inode);
    disk_names_remove(names, path);
    names->list = disk_grown(names->list, &names->cap, names->count + 1, sizeof *names->list);
    names->list[names->count++] = (struct name){.path = path, .hash = path->hash, .inode = inode};
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

/* What lies in a folder goes with it. */
static void names_move_below(struct names *names, const char *from, const char *to)
{
    size_t from_len = strlen(from);
    size_t to_len = strlen(to);
    for (size_t i = 0; i < names->count; i++) {
        const char *path = names->list[i].path->text;
        if (is_below(path, from)) {
            char moved[SIM_PATH_MAX];
            size_t rest = strlen(path) - from_len;
            INVARIANT(to_len + rest < sizeof moved);
            memcpy(moved, to, to_len); /* NOLINT(bugprone-not-null-terminated-result): counted */
            memcpy(moved + to_len, path + from_len, rest + 1);
            path_drop(names->list[i].path);
            names->list[i].path = path_new(moved);
            names->list[i].hash = names->list[i].path->hash;
        }
    }
}

void disk_names_apply(struct names *names, const struct name_op *op)
{
    const struct name *found = NULL;
    switch (op->kind) {
    case NAME_MAKE: disk_names_put(names, op->path, op->inode); break;
    case NAME_REMOVE: disk_names_remove(names, op->path); break;
    case NAME_MOVE:
        found = find(names, op->path->text, op->path->hash);
        if (found != NULL) {
            if (found->inode == NULL) {
                names_move_below(names, op->path->text, op->to->text);
            }
            disk_names_put(names, op->to, found->inode);
            disk_names_remove(names, op->path);
        }
        break;
    }
}

void disk_names_free(struct names *names)
{
    while (names->count > 0) {
        disk_names_remove(names, names->list[names->count - 1].path);
    }
    free(names->list);
}

static void op_free(struct name_op *op)
{
    path_drop(op->path);
    path_drop(op->to);
    disk_drop(op->inode);
}

static void done(struct sim_disk *disk)
{
    disk->operations++;
    if (disk->watcher != NULL) {
        disk->watcher(disk->watcher_context, disk);
    }
}

/* As the kernel writes back what nobody syncs: the oldest half becomes durable, in its order. */
static void write_back_names(struct sim_disk *disk)
{
    size_t half = disk->ops_count / 2;
    for (size_t i = 0; i < half; i++) {
        disk_names_apply(&disk->durable, &disk->ops[i]);
        op_free(&disk->ops[i]);
    }
    disk->ops_count -= half;
    memmove(disk->ops, disk->ops + half, disk->ops_count * sizeof *disk->ops);
}

/* Takes over `path` and `to`. */
static void do_name_op(struct sim_disk *disk,
                       enum name_op_kind kind,
                       struct path *path,
                       struct path *to,
                       struct sim_inode *inode)
{
    disk->ops = disk_grown(disk->ops, &disk->ops_cap, disk->ops_count + 1, sizeof *disk->ops);
    struct name_op *op = &disk->ops[disk->ops_count++];
    *op = (struct name_op){.kind = kind, .path = path, .to = to, .inode = disk_hold(inode)};
    disk_names_apply(&disk->now, op);
    if (disk->ops_count > SIM_NAMES_WAITING_MAX) {
        write_back_names(disk);
    }
    done(disk);
}

/* ---- a disk ---- */

struct sim_disk *sim_disk_new(void)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    INVARIANT(disk != NULL);
    disk->room = UINT64_MAX;
    return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    for (size_t i = 0; i < disk->ops_count; i++) {
        op_free(&disk->ops[i]);
    }
    free(disk->ops);
    disk_names_free(&disk->now);
    disk_names_free(&disk->durable);
    free(disk);
}

void sim_disk_set_room(struct sim_disk *disk, uint64_t bytes)
{
    disk->room = bytes;
}

static uint64_t used(const struct sim_disk *disk)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < disk->now.count; i++) {
        const struct sim_inode *inode = disk->now.list[i].inode;
        sum += inode != NULL ? inode->now.len : 0;
    }
    return sum;
}

uint64_t sim_disk_room(const struct sim_disk *disk)
{
    uint64_t taken = disk->room == UINT64_MAX ? 0 : used(disk);
    return disk->room > taken ? disk->room - taken : 0;
}

void sim_disk_watch(struct sim_disk *disk, sim_disk_watcher *watcher, void *context)
{
    disk->watcher = watcher;
    disk->watcher_context = context;
}

uint64_t sim_disk_operations(const struct sim_disk *disk)
{
    return disk->operations;
}

enum port_result sim_disk_open(struct sim_disk *disk,
                               const char *path,
                               unsigned flags,
                               struct sim_inode **out)
{
    char clean[SIM_PATH_MAX];
    char folder[SIM_PATH_MAX];
    if (!path_clean(path, clean)) {
        return PORT_BAD;
    }
    const struct name *found = names_find(&disk->now, clean);
    if (found != NULL) {
        bool exclusive = (flags & PORT_CREATE) != 0 && (flags & PORT_EXCLUSIVE) != 0;
        if (exclusive || found->inode == NULL) {
            return exclusive ? PORT_EXISTS : PORT_BAD;
        }
        *out = disk_hold(found->inode);
        return PORT_OK;
    }
    disk_folder_of(clean, folder);
    if ((flags & PORT_CREATE) == 0 || !disk_folder_exists(&disk->now, folder)) {
        return PORT_NOT_FOUND;
    }
    struct sim_inode *inode = disk_hold(disk_inode_new());
    do_name_op(disk, NAME_MAKE, path_new(clean), NULL, inode);
    *out = inode;
    return PORT_OK;
}

void sim_disk_close(struct sim_disk *disk, struct sim_inode *inode)
{
    (void)disk;
    disk_drop(inode);
}

struct sim_inode *sim_disk_find(struct sim_disk *disk, const char *path)
{
    char clean[SIM_PATH_MAX];
    const struct name *found = path_clean(path, clean) ? names_find(&disk->now, clean) : NULL;
    return found != NULL ? found->inode : NULL;
}

/* ---- contents ---- */

uint64_t sim_disk_size(const struct sim_inode *inode)
{
    return inode->now.len;
}

size_t sim_disk_read(const struct sim_inode *inode, uint64_t offset, void *to, size_t len)
{
    return pages_read(&inode->now, offset, to, len);
}

static void add_change(struct sim_disk *disk,
                       struct sim_inode *inode,
                       uint64_t offset,
                       const struct slice *bytes)
{
    inode->changes = disk_grown(inode->changes, &inode->changes_cap, inode->changes_count + 1,
                                sizeof *inode->changes);
    struct change *change = &inode->changes[inode->changes_count++];
    *change = (struct change){.number = ++disk->change_number, .offset = offset};
    if (bytes != NULL) {
        change->bytes = malloc(bytes->len);
        INVARIANT(change->bytes != NULL);
        memcpy(change->bytes, bytes->at, bytes->len);
        change->len = bytes->len;
        disk_spoil_write(disk, change);
    }
}

/* Where the disk is full, what fits is written all the same: any prefix may be there. */
enum port_result sim_disk_write(struct sim_disk *disk,
                                struct sim_inode *inode,
                                uint64_t offset,
                                struct slice bytes)
{
    uint64_t end = offset + bytes.len;
    uint64_t growth = end > inode->now.len ? end - inode->now.len : 0;
    uint64_t room = sim_disk_room(disk);
    enum port_result result = growth <= room ? PORT_OK : PORT_NO_SPACE;
    if (growth > room) {
        uint64_t missing = growth - room;
        bytes.len -= missing < bytes.len ? (size_t)missing : bytes.len;
    }
    if (bytes.len > 0) {
        add_change(disk, inode, offset, &bytes);
        pages_put(&inode->now, offset, bytes);
        done(disk);
    }
    return result;
}

enum port_result sim_disk_truncate(struct sim_disk *disk, struct sim_inode *inode, uint64_t size)
{
    if (size > inode->now.len && size - inode->now.len > sim_disk_room(disk)) {
        return PORT_NO_SPACE;
    }
    add_change(disk, inode, size, NULL);
    pages_resize(&inode->now, size);
    done(disk);
    return PORT_OK;
}

uint64_t sim_disk_mark(const struct sim_inode *inode)
{
    return inode->changes_count == 0 ? 0 : inode->changes[inode->changes_count - 1].number;
}

void disk_apply(struct pages *to, const struct change *change)
{
    if (change->bytes == NULL) {
        pages_resize(to, change->offset);
    } else {
        pages_put(to, change->offset, slice_of(change->bytes, change->len));
    }
}

static bool overlap(const struct change *a, const struct change *b)
{
    return a->bytes == NULL || b->bytes == NULL
           || (a->offset < b->offset + b->len && b->offset < a->offset + a->len);
}

/* A page in limbo that is written again is dirty again, and saved with the later sync. */
static bool is_overtaken(const struct sim_inode *inode, size_t index, uint64_t mark)
{
    for (size_t i = index + 1; i < inode->changes_count && inode->changes[i].number <= mark; i++) {
        if (!inode->changes[i].limbo && overlap(&inode->changes[index], &inode->changes[i])) {
            return true;
        }
    }
    return false;
}

void sim_disk_sync(struct sim_disk *disk, struct sim_inode *inode, uint64_t mark)
{
    size_t kept = 0;
    for (size_t i = 0; i < inode->changes_count && !disk->is_lying; i++) {
        struct change *change = &inode->changes[i];
        bool waits = change->number > mark || (change->limbo && !is_overtaken(inode, i, mark));
        if (waits) {
            inode->changes[kept++] = *change;
        } else {
            disk_reach(disk, inode, change);
            free(change->bytes);
        }
    }
    inode->changes_count = disk->is_lying ? inode->changes_count : kept;
    done(disk);
}

void sim_disk_sync_failed(struct sim_disk *disk, struct sim_inode *inode, uint64_t mark)
{
    for (size_t i = 0; i < inode->changes_count && inode->changes[i].number <= mark; i++) {
        inode->changes[i].limbo = true;
    }
    done(disk);
}

/* ---- names for the port ---- */

/* May the folder be moved? Not onto another, and not before all within it is durable: what a cut
 * leaves of it is the same then wherever it is. */
static bool folder_can_move(const struct sim_disk *disk, const char *from, const char *to)
{
    for (size_t i = 0; i < disk->ops_count; i++) {
        if (is_below(disk->ops[i].path->text, from)) {
            return false;
        }
    }
    return names_find(&disk->now, to) == NULL;
}

enum port_result sim_disk_rename(struct sim_disk *disk, const char *from, const char *to)
{
    char clean_from[SIM_PATH_MAX];
    char clean_to[SIM_PATH_MAX];
    char folder[SIM_PATH_MAX];
    if (!path_clean(from, clean_from) || !path_clean(to, clean_to)) {
        return PORT_BAD;
    }
    const struct name *found = names_find(&disk->now, clean_from);
    if (found == NULL) {
        return PORT_NOT_FOUND;
    }
    disk_folder_of(clean_from, folder);
    if (!disk_is_in_folder(clean_to, folder)
        || (found->inode == NULL && !folder_can_move(disk, clean_from, clean_to))) {
        return PORT_BAD;
    }
    if (strcmp(clean_from, clean_to) != 0) {
        const struct name *there = names_find(&disk->now, clean_to);
        struct path *target = there != NULL ? path_hold(there->path) : path_new(clean_to);
        do_name_op(disk, NAME_MOVE, path_hold(found->path), target, NULL);
    }
    return PORT_OK;
}

enum port_result sim_disk_unlink(struct sim_disk *disk, const char *path)
{
    char clean[SIM_PATH_MAX];
    if (!path_clean(path, clean)) {
        return PORT_BAD;
    }
    const struct name *found = names_find(&disk->now, clean);
    if (found == NULL) {
        return PORT_NOT_FOUND;
    }
    if (found->inode == NULL) {
        return PORT_BAD;
    }
    do_name_op(disk, NAME_REMOVE, path_hold(found->path), NULL, NULL);
    return PORT_OK;
}

enum port_result sim_disk_dir_make(struct sim_disk *disk, const char *path)
{
    char clean[SIM_PATH_MAX];
    char part[SIM_PATH_MAX];
    if (!path_clean(path, clean)) {
        return PORT_BAD;
    }
    size_t len = strlen(clean);
    for (size_t i = 1; i <= len; i++) {
        if (clean[i] != '/' && clean[i] != '\0') {
            continue;
        }
        memcpy(part, clean, i);
        part[i] = '\0';
        const struct name *found = names_find(&disk->now, part);
        if (found != NULL && found->inode != NULL) {
            return PORT_EXISTS;
        }
        if (!disk_folder_exists(&disk->now, part)) {
            do_name_op(disk, NAME_MAKE, path_new(part), NULL, NULL);
        }
    }
    return PORT_OK;
}

enum port_result sim_disk_dir_sync(struct sim_disk *disk, const char *path)
{
    char clean[SIM_PATH_MAX];
    if (!path_clean(path, clean) || !disk_folder_exists(&disk->now, clean)) {
        return PORT_NOT_FOUND;
    }
    size_t kept = 0;
    for (size_t i = 0; i < disk->ops_count; i++) {
        if (!disk->is_lying && disk_is_in_folder(disk->ops[i].path->text, clean)) {
            disk_names_apply(&disk->durable, &disk->ops[i]);
            op_free(&disk->ops[i]);
        } else {
            disk->ops[kept++] = disk->ops[i];
        }
    }
    disk->ops_count = kept;
    done(disk);
    return PORT_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp((*(struct path *const *)a)->text, (*(struct path *const *)b)->text);
}

enum port_result sim_disk_dir_list(struct sim_disk *disk,
                                   const char *path,
                                   void (*each)(void *context, const char *name),
                                   void *context)
{
    char clean[SIM_PATH_MAX];
    if (!path_clean(path, clean) || !disk_folder_exists(&disk->now, clean)) {
        return PORT_NOT_FOUND;
    }
    struct path **found = calloc(disk->now.count + 1, sizeof *found);
    size_t count = 0;
    INVARIANT(found != NULL);
    for (size_t i = 0; i < disk->now.count; i++) {
        const char *own = disk->now.list[i].path->text;
        if (disk_is_in_folder(own, clean) && strcmp(own, clean) != 0) {
            const char *slash = strrchr(own, '/');
            found[count++] = path_new(slash != NULL ? slash + 1 : own);
        }
    }
    if (count > 0) {
        qsort(found, count, sizeof *found, by_bytes);
    }
    for (size_t i = 0; i < count; i++) {
        each(context, found[i]->text);
        path_drop(found[i]);
    }
    free(found);
    return PORT_OK;
}
