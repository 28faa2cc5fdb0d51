/* port_file_*, port_dir_* and port_watch over a machine's simulated disk, with its faults. */
#include "io/sim/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WATCH_US = 50, PREFIX_OF_FAILED = 2 };

/* PORT_OK, or how this call must fail. */
static enum port_result strike(struct port *port, enum sim_call call)
{
    struct sim_failure *fault = &port->machine->faults[call];
    if (port->dead) {
        return PORT_FAILED;
    }
    if (fault->countdown == 0) {
        return PORT_OK;
    }
    if (fault->countdown > 1) {
        fault->countdown--;
        return PORT_OK;
    }
    fault->countdown = fault->forever ? 1 : 0;
    fault->has_struck = true;
    return fault->result;
}

/* ---- watches ---- */

static void look(struct machine *machine, const struct sim_inode *written)
{
    for (struct port *port = machine->ports; port != NULL; port = port->next) {
        for (struct port_watch *watch = port->watches; watch != NULL; watch = watch->next) {
            if (port->dead || watch->due) {
                continue;
            }
            /* Only a change of names can change what the path names. */
            struct sim_inode *now =
                written != NULL ? watch->inode : sim_disk_find(machine->disk, watch->path);
            if (now != watch->inode || (written != NULL && now == written)) {
                watch->inode = now;
                watch->due = true;
                sim_happen(port, WATCH_US, SIM_CHANGED, watch->id, 0);
            }
        }
    }
}

void files_changed(struct port *port, uint64_t id)
{
    for (struct port_watch *watch = port->watches; watch != NULL; watch = watch->next) {
        if (watch->id == id) {
            watch->due = false;
            sim_tell(port, &(struct port_event){.kind = PORT_CHANGED, .user = watch->user});
            return;
        }
    }
}

enum port_result port_watch(struct port *port,
                            const char *path,
                            void *user,
                            struct port_watch **out)
{
    struct sim_inode *inode = sim_disk_find(port->machine->disk, path);
    if (port->dead || inode == NULL || strlen(path) >= SIM_PATH_MAX) {
        return PORT_NOT_FOUND;
    }
    struct port_watch *watch = sim_alloc(sizeof *watch);
    *watch = (struct port_watch){.port = port,
                                 .next = port->watches,
                                 .id = ++port->world->ids,
                                 .inode = inode,
                                 .user = user};
    memcpy(watch->path, path, strlen(path) + 1);
    port->watches = watch;
    *out = watch;
    return PORT_OK;
}

void port_watch_free(struct port_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct port_watch **link = &watch->port->watches;
    while (*link != watch) {
        link = &(*link)->next;
    }
    *link = watch->next;
    free(watch);
}

/* ---- files ---- */

static bool has_lock(const struct machine *machine, const struct sim_inode *inode)
{
    for (const struct port *each = machine->ports; each != NULL; each = each->next) {
        for (const struct port_file *file = each->files; file != NULL; file = file->next) {
            if (!each->dead && file->inode == inode && (file->flags & PORT_LOCK) != 0) {
                return true;
            }
        }
    }
    return false;
}

/* By anybody who uses this disk. */
static bool is_locked(const struct port *port, const struct sim_inode *inode)
{
    const struct machine *host = port->machine->host != NULL ? port->machine->host : port->machine;
    bool locked = has_lock(host, inode);
    for (const struct machine *guest = host->guests; guest != NULL; guest = guest->next_guest) {
        locked = locked || has_lock(guest, inode);
    }
    return locked;
}

enum port_result port_file_open(struct port *port,
                                const char *path,
                                unsigned flags,
                                struct port_file **out)
{
    struct sim_inode *inode;
    enum port_result result = strike(port, SIM_OPEN);
    if (result == PORT_OK) {
        result = sim_disk_open(port->machine->disk, path, flags, &inode);
    }
    if (result != PORT_OK) {
        return result;
    }
    if ((flags & PORT_LOCK) != 0 && is_locked(port, inode)) {
        sim_disk_close(port->machine->disk, inode);
        return PORT_BUSY;
    }
    struct port_file *file = sim_alloc(sizeof *file);
    *file = (struct port_file){.port = port,
                               .next = port->files,
                               .id = ++port->world->ids,
                               .inode = inode,
                               .flags = flags};
    port->files = file;
    look(port->machine, NULL);
    *out = file;
    return PORT_OK;
}

void port_file_close(struct port_file *file)
{
    if (file == NULL) {
        return;
    }
    struct port_file **link = &file->port->files;
    while (*link != file) {
        link = &(*link)->next;
    }
    *link = file->next;
    sim_disk_close(file->port->machine->disk, file->inode);
    free(file);
}

void files_close_all(struct port *port)
{
    while (port->files != NULL) {
        port_file_close(port->files);
    }
    while (port->watches != NULL) {
        port_watch_free(port->watches);
    }
}

enum port_result port_file_size(struct port_file *file, uint64_t *size)
{
    *size = sim_disk_size(file->inode);
    return PORT_OK;
}

enum port_result port_file_is_private(struct port_file *file, bool *is_private)
{
    (void)file;
    *is_private = true; /* one machine, one user */
    return PORT_OK;
}

enum port_result port_file_read(
    struct port_file *file, uint64_t offset, void *to, size_t len, size_t *got)
{
    enum port_result result = strike(file->port, SIM_READ);
    if (result == PORT_OK) {
        *got = sim_disk_read(file->inode, offset, to, len);
    }
    return result;
}

enum port_result port_file_write(struct port_file *file, uint64_t offset, struct slice bytes)
{
    struct machine *machine = file->port->machine;
    if ((file->flags & PORT_WRITE) == 0) {
        return PORT_FAILED;
    }
    enum port_result result = strike(file->port, SIM_WRITE);
    if (result != PORT_OK) {
        if (file->port->dead) {
            return result;
        }
        struct slice prefix = {.at = bytes.at, .len = bytes.len / PREFIX_OF_FAILED};
        (void)sim_disk_write(machine->disk, file->inode, offset, prefix);
        return result;
    }
    result = sim_disk_write(machine->disk, file->inode, offset, bytes);
    look(machine, file->inode);
    return result;
}

enum port_result port_file_truncate(struct port_file *file, uint64_t size)
{
    struct machine *machine = file->port->machine;
    if ((file->flags & PORT_WRITE) == 0) {
        return PORT_FAILED;
    }
    enum port_result result = strike(file->port, SIM_TRUNCATE);
    if (result == PORT_OK) {
        result = sim_disk_truncate(machine->disk, file->inode, size);
        look(machine, file->inode);
    }
    return result;
}

static enum port_result sync_to(struct port_file *file, uint64_t mark)
{
    struct machine *machine = file->port->machine;
    enum port_result result = strike(file->port, SIM_SYNC);
    if (file->port->dead) {
        return result;
    }
    if (result == PORT_OK) {
        sim_disk_sync(machine->disk, file->inode, mark);
    } else {
        sim_disk_sync_failed(machine->disk, file->inode, mark);
    }
    return result;
}

enum port_result port_file_sync(struct port_file *file)
{
    return sync_to(file, sim_disk_mark(file->inode));
}

enum port_result port_file_sync_begin(struct port_file *file, void *user)
{
    INVARIANT(!file->syncing);
    if (file->port->dead) {
        return PORT_FAILED;
    }
    file->syncing = true;
    file->mark = sim_disk_mark(file->inode);
    file->sync_user = user;
    sim_happen(file->port, file->port->machine->sync_us, SIM_SYNCED, file->id, 0);
    return PORT_OK;
}

void files_synced(struct port *port, uint64_t id)
{
    struct port_file *file = port->files;
    while (file != NULL && file->id != id) {
        file = file->next;
    }
    if (file != NULL) {
        file->syncing = false;
        void *user = file->sync_user;
        enum port_result result = sync_to(file, file->mark);
        if (port->dead) {
            return; /* whoever watches the disk cut the power */
        }
        sim_tell(port, &(struct port_event){
                           .kind = PORT_SYNCED, .user = user, .synced = {.result = result}});
    }
}

/* ---- names ---- */

enum port_result port_rename(struct port *port, const char *from, const char *to)
{
    enum port_result result = strike(port, SIM_NAMES);
    if (result == PORT_OK) {
        result = sim_disk_rename(port->machine->disk, from, to);
        look(port->machine, NULL);
    }
    return result;
}

enum port_result port_unlink(struct port *port, const char *path)
{
    enum port_result result = strike(port, SIM_NAMES);
    if (result == PORT_OK) {
        result = sim_disk_unlink(port->machine->disk, path);
        look(port->machine, NULL);
    }
    return result;
}

enum port_result port_dir_make(struct port *port, const char *path)
{
    enum port_result result = strike(port, SIM_NAMES);
    return result != PORT_OK ? result : sim_disk_dir_make(port->machine->disk, path);
}

enum port_result port_dir_sync(struct port *port, const char *path)
{
    enum port_result result = strike(port, SIM_DIR_SYNC);
    return result != PORT_OK ? result : sim_disk_dir_sync(port->machine->disk, path);
}

enum port_result port_dir_list(struct port *port,
                               const char *path,
                               void (*each)(void *context, const char *name),
                               void *context)
{
    return sim_disk_dir_list(port->machine->disk, path, each, context);
}

enum port_result port_dir_room(struct port *port, const char *path, uint64_t *bytes)
{
    (void)path;
    *bytes = sim_disk_room(port->machine->disk);
    return PORT_OK;
}

void sim_input(struct port *port, struct slice bytes, size_t step)
{
    INVARIANT(step > 0);
    port->input = bytes;
    port->input_step = step;
}

enum port_result port_stdin_read(struct port *port, void *to, size_t cap, size_t *got)
{
    size_t len = cap < port->input_step ? cap : port->input_step;
    len = len < port->input.len ? len : port->input.len;
    *got = len;
    if (port->input.len == 0) {
        return PORT_NOT_FOUND;
    }
    if (len > 0) {
        memcpy(to, port->input.at, len);
    }
    port->input = slice_after(port->input, len);
    return PORT_OK;
}

/* ---- last words: real files, for whoever looks into the simulation ---- */

static const char *last_words_folder;

void sim_last_words_to(const char *to)
{
    last_words_folder = to;
}

enum port_result port_last_words(const char *dir,
                                 const char *name,
                                 struct slice (*more)(void *context),
                                 void *context)
{
    char path[1024];
    (void)dir;
    if (last_words_folder == NULL) {
        return PORT_FAILED;
    }
    (void)snprintf(path, sizeof path, "%s/%s", last_words_folder, name);
    FILE *file = fopen(path, "wbx");
    if (file == NULL) {
        return PORT_EXISTS;
    }
    bool ok = true;
    for (struct slice bytes; (bytes = more(context)).len > 0;) {
        ok = fwrite(bytes.at, 1, bytes.len, file) == bytes.len && ok;
    }
    return fclose(file) == 0 && ok ? PORT_OK : PORT_FAILED;
}
