/* Disks that lie: what is still there once the power has gone, and what is shown until then. */
#include "io/read_all.h"
#include "io/replace.h"
#include "io/sim/sim.h"
#include "test/test.h"

#include <string.h>

static void on_event(void *context, const struct port_event *ev)
{
    (void)context;
    (void)ev;
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
    static char text[2 * SIM_SECTOR + 1];
    size_t len = 0;
    struct port *port = sim_start(world, "m", on_event, NULL);
    if (port_file_read_all(port, path, text, sizeof text - 1, &len) != PORT_OK) {
        text[len++] = '-';
    }
    text[len] = '\0';
    port_close_all(port);
    return text;
}

TEST("syncs that lie succeed and keep nothing; the first honest one keeps what they left")
{
    unsigned lost[2] = {0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, NULL);
        CHECK(port_file_replace(port, "f", slice_text("old")) == PORT_OK);
        struct port_file *file = open_rw(port, "f");
        sim_disk_set_lying(sim_disk_of(world, "m"), true);
        CHECK(port_file_write(file, 0, slice_text("new")) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK);
        CHECK(port_file_replace(port, "g", slice_text("made")) == PORT_OK);
        CHECK(strcmp(text_of(world, "f"), "new") == 0 && strcmp(text_of(world, "g"), "made") == 0);
        bool is_honest = seed % 2 == 1;
        if (is_honest) {
            sim_disk_set_lying(sim_disk_of(world, "m"), false);
            CHECK(port_file_sync(file) == PORT_OK && port_dir_sync(port, ".") == PORT_OK);
        }
        sim_power_cut(world, "m");
        bool is_new = strcmp(text_of(world, "f"), "new") == 0;
        CHECK(is_new || strcmp(text_of(world, "f"), "old") == 0);
        lost[is_honest] += is_new ? 0 : 1;
        bool is_made = strcmp(text_of(world, "g"), "-") != 0; /* its name: what is in it is not */
        CHECK(is_made || !is_honest);
        sim_close(world);
    }
    CHECK(lost[0] > 0 && lost[0] < 100);
    CHECK_U64(lost[1], 0);
}

TEST("a disk that lies lies on after the power comes back")
{
    struct sim_world *world = sim_open(1);
    sim_disk_set_lying(sim_disk_of(world, "m"), true);
    sim_power_cut(world, "m");
    struct port *port = sim_start(world, "m", on_event, NULL);
    CHECK(port_file_replace(port, "f", slice_text("text")) == PORT_OK);
    CHECK(sim_disk_unsynced(sim_disk_of(world, "m")) > 0);
    CHECK(sim_disk_unsynced_names(sim_disk_of(world, "m")) > 0);
    sim_close(world);
}

TEST("a lost write is shown until the power goes, then what was there before; the others stay")
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, NULL);
        CHECK(port_file_replace(port, "f", slice_text("......")) == PORT_OK);
        struct port_file *file = open_rw(port, "f");
        sim_spoil_write(world, "m", 2, SIM_LIE_LOST);
        CHECK(port_file_write(file, 0, slice_text("ab")) == PORT_OK);
        CHECK(port_file_write(file, 2, slice_text("cd")) == PORT_OK);
        CHECK(port_file_write(file, 4, slice_text("efgh")) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK);
        CHECK(strcmp(text_of(world, "f"), "abcdefgh") == 0);
        sim_power_cut(world, "m");
        CHECK(strcmp(text_of(world, "f"), "ab..efgh") == 0);
        sim_close(world);
    }
}

TEST("a lost write that makes a file longer leaves zeroes, and one that was taken back stays")
{
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "m", on_event, NULL);
    CHECK(port_file_replace(port, "f", slice_text("ab")) == PORT_OK);
    struct port_file *file = open_rw(port, "f");
    sim_spoil_write(world, "m", 1, SIM_LIE_LOST);
    CHECK(port_file_write(file, 2, slice_text("cd")) == PORT_OK);
    sim_spoil_write(world, "m", 1, SIM_LIE_LOST);
    sim_spoil_write(world, "m", 0, SIM_LIE_NONE);
    CHECK(port_file_write(file, 0, slice_text("x")) == PORT_OK);
    CHECK(port_file_sync(file) == PORT_OK);
    sim_power_cut(world, "m");
    char got[8] = "";
    struct sim_inode *inode = sim_disk_find(sim_disk_of(world, "m"), "f");
    CHECK_U64(sim_disk_size(inode), 4);
    CHECK_U64(sim_disk_read(inode, 0, got, sizeof got), 4);
    CHECK(memcmp(got, "xb\0\0", 4) == 0);
    sim_close(world);
}

TEST("a spoilt write that no sync covered leaves nothing, whatever else survives")
{
    unsigned kept = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, NULL);
        CHECK(port_file_replace(port, "f", slice_text("....")) == PORT_OK);
        struct port_file *file = open_rw(port, "f");
        sim_spoil_write(world, "m", 1, seed % 2 == 0 ? SIM_LIE_LOST : SIM_LIE_MISDIRECTED);
        CHECK(port_file_write(file, 0, slice_text("ab")) == PORT_OK);
        CHECK(port_file_write(file, 2, slice_text("cd")) == PORT_OK);
        sim_power_cut(world, "m");
        kept += strcmp(text_of(world, "f"), "..cd") == 0 ? 1 : 0;
        CHECK(strncmp(text_of(world, "f"), "..", 2) == 0);
        sim_close(world);
    }
    CHECK(kept > 0 && kept < 50);
}

/* One sector of "a", two of "b". */
static void fill(struct port *port)
{
    char sector[SIM_SECTOR];
    memset(sector, '.', sizeof sector);
    CHECK(port_file_replace(port, "a", slice_of(sector, sizeof sector)) == PORT_OK);
    struct port_file *file = open_rw(port, "b");
    for (uint64_t i = 0; i < 2; i++) {
        CHECK(port_file_write(file, i * SIM_SECTOR, slice_of(sector, sizeof sector)) == PORT_OK);
    }
    CHECK(port_file_sync(file) == PORT_OK && port_dir_sync(port, ".") == PORT_OK);
}

TEST("a misdirected write reaches any sector of any file, at its place within it, and no other")
{
    unsigned hits[3] = {0};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, NULL);
        fill(port);
        struct port_file *file = open_rw(port, "b");
        sim_spoil_write(world, "m", 1, SIM_LIE_MISDIRECTED);
        CHECK(port_file_write(file, SIM_SECTOR + 7, slice_text("astray")) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK);
        CHECK(memcmp(text_of(world, "b") + SIM_SECTOR + 7, "astray", 6) == 0);
        sim_power_cut(world, "m");
        unsigned found = 0;
        for (unsigned i = 0; i < 3; i++) {
            const char *text = i == 0 ? text_of(world, "a") : text_of(world, "b");
            CHECK_U64(strlen(text), i == 0 ? SIM_SECTOR : 2 * SIM_SECTOR);
            bool hit = memcmp(text + (i == 2 ? SIM_SECTOR : 0) + 7, "astray", 6) == 0;
            hits[i] += hit ? 1 : 0;
            found += hit ? 1 : 0;
        }
        CHECK_U64(found, 1);
        sim_close(world);
    }
    CHECK(hits[0] > 10 && hits[1] > 10 && hits[2] > 10); /* by chance also where it was meant to */
}

TEST("a misdirected write makes no file longer")
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        char bytes[2 * SIM_SECTOR - 7];
        struct sim_world *world = sim_open(seed);
        struct port *port = sim_start(world, "m", on_event, NULL);
        memset(bytes, 'x', sizeof bytes);
        fill(port);
        struct port_file *file = open_rw(port, "b");
        sim_spoil_write(world, "m", 1, SIM_LIE_MISDIRECTED);
        CHECK(port_file_write(file, 7, slice_of(bytes, sizeof bytes)) == PORT_OK);
        CHECK(port_file_sync(file) == PORT_OK);
        sim_power_cut(world, "m");
        CHECK_U64(strlen(text_of(world, "a")), SIM_SECTOR);
        CHECK_U64(strlen(text_of(world, "b")), 2 * SIM_SECTOR);
        sim_close(world);
    }
}

static unsigned bits_that_differ(const struct sim_inode *inode)
{
    uint8_t got[2 * SIM_SECTOR];
    unsigned count = 0;
    size_t len = sim_disk_read(inode, 0, got, sizeof got);
    for (size_t i = 0; i < len; i++) {
        for (uint8_t differs = got[i] ^ (uint8_t)'.'; differs != 0;
             differs &= (uint8_t)(differs - 1)) {
            count++;
        }
    }
    return count;
}

TEST("rot flips one durable bit of one file, and what waits in memory does not show it")
{
    unsigned of_a = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim_world *world = sim_open(seed);
        CHECK(!sim_rot(world, "m"));
        struct port *port = sim_start(world, "m", on_event, NULL);
        fill(port);
        struct sim_disk *disk = sim_disk_of(world, "m");
        CHECK(sim_rot(world, "m"));
        unsigned a = bits_that_differ(sim_disk_find(disk, "a"));
        unsigned b = bits_that_differ(sim_disk_find(disk, "b"));
        CHECK_U64(a + b, 1);
        of_a += a;
        sim_close(world);

        world = sim_open(seed);
        port = sim_start(world, "m", on_event, NULL);
        fill(port);
        disk = sim_disk_of(world, "m");
        CHECK(port_file_truncate(open_rw(port, "a"), 1) == PORT_OK);
        CHECK(port_file_truncate(open_rw(port, "b"), 1) == PORT_OK);
        CHECK(sim_rot(world, "m"));
        CHECK_U64(sim_disk_size(sim_disk_find(disk, "a")), 1);
        CHECK_U64(bits_that_differ(sim_disk_find(disk, "a")), 0);
        CHECK_U64(bits_that_differ(sim_disk_find(disk, "b")), 0);
        sim_close(world);
    }
    CHECK(of_a > 10 && of_a < 90);
}

TEST("the same seed lies in the same way")
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        struct sim_world *world = sim_open(42);
        struct port *port = sim_start(world, "m", on_event, NULL);
        fill(port);
        sim_spoil_write(world, "m", 1, SIM_LIE_MISDIRECTED);
        CHECK(port_file_replace(port, "c", slice_text("text")) == PORT_OK);
        CHECK(sim_rot(world, "m"));
        hashes[i] = sim_disk_hash(sim_disk_of(world, "m"));
        sim_close(world);
    }
    CHECK_U64(hashes[0], hashes[1]);
}

TEST("a folder that is put back is what it was, and nothing else is")
{
    struct sim_world *world = sim_open(1);
    struct port *port = sim_start(world, "m", on_event, NULL);
    CHECK(port_dir_make(port, "/a") == PORT_OK && port_dir_make(port, "/ab") == PORT_OK);
    CHECK(port_file_replace(port, "/a/kept", slice_text("old")) == PORT_OK);
    CHECK(port_file_replace(port, "/a/gone", slice_text("old")) == PORT_OK);
    CHECK(port_file_replace(port, "/ab/other", slice_text("old")) == PORT_OK);
    CHECK(port_dir_sync(port, "/") == PORT_OK);
    struct sim_disk *image = sim_disk_after_cut(sim_disk_of(world, "m"), &(struct sim_cut){0});
    CHECK(port_file_replace(port, "/a/kept", slice_text("new")) == PORT_OK);
    CHECK(port_file_replace(port, "/a/more", slice_text("new")) == PORT_OK);
    CHECK(port_file_replace(port, "/ab/other", slice_text("new")) == PORT_OK);
    CHECK(port_unlink(port, "/a/gone") == PORT_OK && port_dir_sync(port, "/a") == PORT_OK);
    sim_power_cut(world, "m");
    sim_disk_restore(sim_disk_of(world, "m"), image, "/a");
    sim_disk_free(image);
    CHECK(strcmp(text_of(world, "/a/kept"), "old") == 0);
    CHECK(strcmp(text_of(world, "/a/gone"), "old") == 0);
    CHECK(strcmp(text_of(world, "/a/more"), "-") == 0);
    CHECK(strcmp(text_of(world, "/ab/other"), "new") == 0);
    sim_power_cut(world, "m"); /* it is durable */
    CHECK(strcmp(text_of(world, "/a/kept"), "old") == 0);
    sim_close(world);
}
