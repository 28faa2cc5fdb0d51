/* What the simulated disk forgets and what it must not, through the port as roles use it. */
#include "io/read_all.h"
#include "io/replace.h"
#include "io/sim/sim.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

struct role {
    unsigned seen[PORT_TURN_ENDED + 1];
    enum port_result synced;
    void *user;
};

static void on_event(void *context, const struct port_event *ev)
{
    struct role *role = context;
    role->seen[ev->kind]++;
    if (ev->kind == PORT_SYNCED) {
        role->synced = ev->synced.result;
    }
    if (ev->kind != PORT_TURN_ENDED) {
        role->user = ev->user;
    }
}

static struct port_file *open_rw(struct port *port, const char *path)
{
    struct port_file *file = NULL;
    CHECK(port_file_open(port, path, PORT_READ | PORT_WRITE | PORT_CREATE, &file) == PORT_OK);
    return file;
}

/* The text of a file on the machine; "-" where there is none. */
static const char *text_of(struct sim_world *world, const char *path)
{
    static char text[64];
    struct role role = {0};
    size_t len = 0;
    struct port *port = sim_start(world, "m", on_event, &role);
    if (port_file_read_all(port, path, text, sizeof text - 1, &len) != PORT_OK) {
        text[len++] = '-';
    }
    text[len] = '\0';
    port_close_all(port);
    return text;
}

TEST("what was synced, with its name, is there after every power cut")
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, &role);
        CHECK(port_dir_make(port, "/data") == PORT_OK);
        CHECK(port_dir_sync(port, "/") == PORT_OK);
        struct port_file *file = open_rw(port, "/data/a");
        CHECK(port_file_write(file, 0, slice_text("kept")) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK);
        CHECK(port_dir_sync(port, "/data") == PORT_OK);
        CHECK(port_file_write(file, 4, slice_text("+")) == PORT_OK);
        sim_power_cut(world, "m");
        CHECK(strncmp(text_of(world, "/data/a"), "kept", 4) == 0);
        sim_close(world);
    }
}

/* Which of the outcomes came up over many seeds. */
struct outcomes {
    const char *text[6];
    unsigned count[6];
    unsigned others;
};

static void count_outcome(struct outcomes *o, const char *text)
{
    for (size_t i = 0; i < COUNT_OF(o->text) && o->text[i] != NULL; i++) {
        if (strcmp(o->text[i], text) == 0) {
            o->count[i]++;
            return;
        }
    }
    o->others++;
}

TEST("of two unsynced writes any one, both or none survive, whichever came first")
{
    struct outcomes o = {.text = {"....", "ab..", "..cd", "abcd"}};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, &role);
        CHECK(port_file_replace(port, "f", slice_text("....")) == PORT_OK);
        struct port_file *file = open_rw(port, "f");
        CHECK(port_file_write(file, 0, slice_text("ab")) == PORT_OK);
        CHECK(port_file_write(file, 2, slice_text("cd")) == PORT_OK);
        sim_power_cut(world, "m");
        count_outcome(&o, text_of(world, "f"));
        sim_close(world);
    }
    CHECK(o.count[0] > 0 && o.count[1] > 0 && o.count[2] > 0 && o.count[3] > 0 && o.others == 0);
}

TEST("an unsynced write over a sector's border may be torn there and nowhere else")
{
    unsigned torn[2] = {0};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, &role);
        struct port_file *file = open_rw(port, "f");
        CHECK(port_file_truncate(file, 1024) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK && port_dir_sync(port, ".") == PORT_OK);
        CHECK(port_file_write(file, 510, slice_text("1122")) == PORT_OK);
        sim_power_cut(world, "m");
        struct sim_disk *disk = sim_disk_of(world, "m");
        char got[4];
        CHECK(sim_disk_read(sim_disk_find(disk, "f"), 510, got, 4) == 4);
        bool first = memcmp(got, "11", 2) == 0;
        bool second = memcmp(got + 2, "22", 2) == 0;
        CHECK(first || memcmp(got, "\0\0", 2) == 0);
        CHECK(second || memcmp(got + 2, "\0\0", 2) == 0);
        torn[0] += first && !second ? 1 : 0;
        torn[1] += second && !first ? 1 : 0;
        sim_close(world);
    }
    CHECK(torn[0] > 0 && torn[1] > 0);
}

TEST("a replaced file is the old or the new one, whole, whenever the power goes")
{
    struct outcomes o = {.text = {"-", "old", "new"}};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, &role);
        CHECK(port_file_replace(port, "f", slice_text("old")) == PORT_OK);
        sim_fail(world, "m", SIM_DIR_SYNC, 1, PORT_FAILED, false);
        CHECK(port_file_replace(port, "f", slice_text("new")) == PORT_FAILED);
        sim_power_cut(world, "m");
        count_outcome(&o, text_of(world, "f"));
        sim_close(world);
    }
    CHECK(o.count[0] == 0 && o.count[1] > 0 && o.count[2] > 0 && o.others == 0);
}

TEST("kill -9 loses nothing that was written")
{
    struct role role = {0};
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "m", on_event, &role);
    CHECK(port_file_write(open_rw(port, "f"), 0, slice_text("x")) == PORT_OK);
    sim_kill(port);
    CHECK(strcmp(text_of(world, "f"), "x") == 0);
    sim_close(world);
}

TEST("a later sync does not save what a failed sync left behind")
{
    struct outcomes o = {.text = {"..", "a.", ".b", "ab"}};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, &role);
        CHECK(port_file_replace(port, "f", slice_text("..")) == PORT_OK);
        struct port_file *file = open_rw(port, "f");
        CHECK(port_file_write(file, 0, slice_text("a")) == PORT_OK);
        sim_fail(world, "m", SIM_SYNC, 1, PORT_FAILED, false);
        CHECK(port_file_sync(file) == PORT_FAILED);
        CHECK(port_file_write(file, 1, slice_text("b")) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK);
        sim_power_cut(world, "m");
        count_outcome(&o, text_of(world, "f"));
        sim_close(world);
    }
    CHECK(o.count[0] == 0 && o.count[1] == 0 && o.others == 0);
    CHECK(o.count[2] > 0 && o.count[3] > 0);
}

TEST("a sync off the loop covers what was written before it began, and takes its time")
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        sim_set_sync_time(world, "m", 5000);
        struct port *port = sim_start(world, "m", on_event, &role);
        struct port_file *file = open_rw(port, "f");
        CHECK(port_dir_sync(port, ".") == PORT_OK);
        CHECK(port_file_write(file, 0, slice_text("before")) == PORT_OK);
        CHECK(port_file_sync_begin(file, &role) == PORT_OK);
        CHECK(port_file_write(file, 6, slice_text("+")) == PORT_OK);
        sim_run_for(world, 4);
        CHECK_U64(role.seen[PORT_SYNCED], 0);
        sim_run_for(world, 1);
        CHECK_U64(role.seen[PORT_SYNCED], 1);
        CHECK(role.user == &role && role.synced == PORT_OK);
        sim_power_cut(world, "m");
        const char *text = text_of(world, "f");
        CHECK(strncmp(text, "before", 6) == 0);
        lost += strcmp(text, "before") == 0 ? 1 : 0;
        sim_close(world);
    }
    CHECK(lost > 0 && lost < 50);
}

TEST("faults come at their count, once or for ever; a failing write leaves half; a full disk "
     "leaves what fits")
{
    struct role role = {0};
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "m", on_event, &role);
    struct port_file *file = open_rw(port, "f");
    sim_fail(world, "m", SIM_WRITE, 2, PORT_NO_SPACE, false);
    CHECK(port_file_write(file, 0, slice_text("0")) == PORT_OK);
    CHECK(port_file_write(file, 1, slice_text("1234")) == PORT_NO_SPACE);
    CHECK(strcmp(text_of(world, "f"), "012") == 0);
    CHECK(port_file_write(file, 1, slice_text("1234")) == PORT_OK);
    sim_fail(world, "m", SIM_SYNC, 1, PORT_FAILED, true);
    CHECK(port_file_sync(file) == PORT_FAILED);
    CHECK(port_file_sync(file) == PORT_FAILED);
    sim_fail(world, "m", SIM_SYNC, 1, PORT_OK, true);
    CHECK(port_file_sync(file) == PORT_OK);
    sim_disk_set_room(sim_disk_of(world, "m"), 8);
    CHECK(port_file_write(file, 5, slice_text("5678")) == PORT_NO_SPACE);
    CHECK(strcmp(text_of(world, "f"), "01234567") == 0);
    CHECK(port_file_write(file, 0, slice_text("over")) == PORT_OK);
    uint64_t room = 1;
    CHECK(port_dir_room(port, ".", &room) == PORT_OK && room == 0);
    sim_close(world);
}

TEST("opening, locking, listing and watching are as on a real disk")
{
    struct role role = {0};
    struct role other = {0};
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "m", on_event, &role);
    struct port *reader = sim_start(world, "m", on_event, &other);
    struct port_file *file = NULL;
    struct port_file *second = NULL;
    struct port_watch *watch = NULL;
    unsigned exclusive = PORT_WRITE | PORT_CREATE | PORT_EXCLUSIVE | PORT_LOCK;
    CHECK(port_file_open(port, "/x/f", exclusive, &file) == PORT_NOT_FOUND);
    CHECK(port_dir_make(port, "/x//y/") == PORT_OK && port_dir_make(port, "/x/y") == PORT_OK);
    REQUIRE(port_file_open(port, "/x/f", exclusive, &file) == PORT_OK);
    CHECK(port_file_open(reader, "/x/f", exclusive, &second) == PORT_EXISTS);
    CHECK(port_file_open(reader, "/x/f", PORT_READ | PORT_LOCK, &second) == PORT_BUSY);
    CHECK(port_file_open(reader, "/x/y", PORT_READ, &second) == PORT_BAD);
    CHECK(port_watch(reader, "/x/g", &watch, &watch) == PORT_NOT_FOUND);
    REQUIRE(port_watch(reader, "/x/f", &watch, &watch) == PORT_OK);
    CHECK(port_file_write(file, 0, slice_text("1")) == PORT_OK);
    CHECK(port_file_write(file, 1, slice_text("2")) == PORT_OK);
    sim_run_for(world, 1);
    CHECK_U64(other.seen[PORT_CHANGED], 1);
    CHECK(port_file_replace(port, "/x/f", slice_text("3")) == PORT_OK);
    sim_run_for(world, 1);
    CHECK_U64(other.seen[PORT_CHANGED], 2);
    port_file_close(file);
    CHECK(port_file_open(reader, "/x/f", PORT_READ | PORT_LOCK, &second) == PORT_OK);
    CHECK(port_rename(port, "/x/f", "/elsewhere") == PORT_BAD);
    CHECK(port_unlink(port, "/x/f") == PORT_OK && port_unlink(port, "/x/f") == PORT_NOT_FOUND);
    sim_close(world);
}

TEST("a folder moves with all that is in it, at once, and durably with its parent's sync")
{
    struct outcomes o = {.text = {"-", "kept"}};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct role role = {0};
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, &role);
        CHECK(port_dir_make(port, "/new/in") == PORT_OK);
        CHECK(port_rename(port, "/new", "/old") == PORT_BAD); /* what is in it is not durable */
        CHECK(port_dir_sync(port, "/new") == PORT_OK && port_dir_sync(port, "/") == PORT_OK);
        CHECK(port_file_replace(port, "/new/in/a", slice_text("kept")) == PORT_OK);
        CHECK(port_rename(port, "/new", "/old") == PORT_OK);
        CHECK(strcmp(text_of(world, "/old/in/a"), "kept") == 0);
        CHECK(strcmp(text_of(world, "/new/in/a"), "-") == 0);
        if (seed % 2 == 0) {
            CHECK(port_dir_sync(port, "/") == PORT_OK);
        }
        sim_power_cut(world, "m");
        bool is_new = strcmp(text_of(world, "/old/in/a"), "kept") == 0;
        bool is_old = strcmp(text_of(world, "/new/in/a"), "kept") == 0;
        CHECK(is_new != is_old && (is_new || seed % 2 != 0));
        count_outcome(&o, text_of(world, "/old/in/a"));
        sim_close(world);
    }
    CHECK(o.count[0] > 0 && o.count[1] > 50 && o.others == 0);
}

static void on_nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

/* A host and its guest, each with a process. */
struct pair {
    struct sim_world *world;
    struct role on_host, on_guest;
    struct port *host, *guest;
};

static struct pair pair_of(uint64_t seed)
{
    struct pair p = {.world = sim_open(seed)};
    sim_share_disk(p.world, "guest", "host");
    p.host = sim_start(p.world, "host", on_nothing, NULL);
    p.guest = sim_start(p.world, "guest", on_nothing, NULL);
    return p;
}

TEST("a guest that loses power loses nothing that it wrote, and its host goes on")
{
    struct pair p = pair_of(1);
    struct port_file *own = open_rw(p.host, "host");
    struct port_file *file = open_rw(p.guest, "guest");
    CHECK(port_file_write(file, 0, slice_text("unsynced")) == PORT_OK);
    sim_power_cut(p.world, "guest");
    char got[16] = "";
    size_t len = 0;
    CHECK(port_file_read_all(p.host, "guest", (uint8_t *)got, sizeof got, &len) == PORT_OK);
    CHECK(slice_is_text(slice_of(got, len), "unsynced"));
    CHECK(port_file_write(own, 0, slice_text("on")) == PORT_OK);
    sim_close(p.world);
}

TEST("a host that loses power takes its guest along, and what neither had synced may be gone")
{
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct pair p = pair_of(seed);
        struct port_file *file = open_rw(p.guest, "f");
        CHECK(port_file_sync(file) == PORT_OK && port_dir_sync(p.guest, ".") == PORT_OK);
        CHECK(port_file_write(file, 0, slice_text("x")) == PORT_OK);
        sim_power_cut(p.world, "host");
        struct port *again = sim_start(p.world, "guest", on_nothing, NULL);
        size_t len = 0;
        char got[4];
        CHECK(port_file_read_all(again, "f", (uint8_t *)got, sizeof got, &len) == PORT_OK);
        kept += len > 0 && got[0] == 'x';
        sim_close(p.world);
    }
    CHECK(kept > 0 && kept < 50);
}

TEST("a lock of the guest keeps the host out, a fault of its disk calls is its own")
{
    struct pair p = pair_of(1);
    struct port_file *file = NULL;
    CHECK(port_file_open(p.guest, "f", PORT_WRITE | PORT_CREATE | PORT_LOCK, &file) == PORT_OK);
    CHECK(port_file_open(p.host, "f", PORT_WRITE | PORT_LOCK, &file) == PORT_BUSY);
    sim_fail(p.world, "guest", SIM_OPEN, 1, PORT_FAILED, true);
    CHECK(port_file_open(p.guest, "f", PORT_READ, &file) == PORT_FAILED);
    CHECK(port_file_open(p.host, "f", PORT_READ, &file) == PORT_OK);
    sim_close(p.world);
}

TEST("nobody is told of what another machine writes on the same disk")
{
    struct pair p = {.world = sim_open(1)};
    struct port_watch *watch = NULL;
    sim_share_disk(p.world, "guest", "host");
    p.host = sim_start(p.world, "host", on_event, &p.on_host);
    p.guest = sim_start(p.world, "guest", on_event, &p.on_guest);
    struct port_file *file = open_rw(p.guest, "f");
    CHECK(port_watch(p.host, "f", &p, &watch) == PORT_OK);
    CHECK(port_file_write(file, 0, slice_text("x")) == PORT_OK);
    sim_run_for(p.world, 10);
    CHECK_U64(p.on_host.seen[PORT_CHANGED], 0);
    file = open_rw(p.host, "f");
    CHECK(port_file_write(file, 0, slice_text("y")) == PORT_OK);
    sim_run_for(p.world, 10);
    CHECK_U64(p.on_host.seen[PORT_CHANGED], 1);
    sim_close(p.world);
}
