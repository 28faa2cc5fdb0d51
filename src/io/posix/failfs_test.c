/* The preloaded library that breaks file calls (tests/shim/failfs.c): each fault comes when it was
 * asked for. */
#include "io/posix/pair.h"
#include "test/test.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Runs a shell line with one more variable in its environment; its exit status. */
static int run_with(const char *name, const char *value, const char *line)
{
    struct pair p;
    char variable[400];
    pair_open(&p);
    (void)snprintf(variable, sizeof variable, "%s=%s", name, value);
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    const char *const env[] = {"LD_PRELOAD=" HOLDFAST_FAILFS, variable, NULL};
    char log[300];
    (void)snprintf(log, sizeof log, "%s/log", test_scratch_dir());
    const struct port_spawn what = {.argv = argv, .env = env, .log_path = log};
    struct port_child *child;
    bool ended = port_spawn(p.port, &what, NULL, &child, &p.why) == PORT_OK
                 && pair_until(&p, pair_child_exited);
    int status = p.exited_status;
    pair_close(&p);
    return ended ? status : -1;
}

static int run(const char *faults, const char *line)
{
    return run_with("HOLDFAST_FAIL", faults, line);
}

TEST("a fault strikes the call it names, at its count, once or for ever, on the path it names")
{
    static const struct {
        const char *faults;
        const char *call; /* tried three times on a file named `spool` */
        const char *failed;
    } rows[] = {
        {"", "sync -d $F", ""},
        {"fdatasync:1:EIO:once", "sync -d $F", "123"},
        {"fsync:1:EIO:forever", "sync $F", "123"},
        {"fsync:1:EIO:forever", "sync -d $F", ""},
        {"fdatasync@spool:1:EIO:forever", "sync -d $F", "123"},
        {"fdatasync@other:1:EIO:forever", "sync -d $F", ""},
        {"open@spool:1:EMFILE:forever", "sync $F", "123"},
        {"fdatasync:1:5ms:forever", "sync -d $F", ""},
        {"fdatasync:1:lies:forever,fdatasync:1:EIO:forever", "sync -d $F", "123"},
        {"fdatasync:1:lies:forever", "sync -d $F", ""},
        {"fsync:1:lies:once", "sync $F", ""},
        {"fdatasync:2:EIO:once", "dd if=$F of=$F.2 conv=fdatasync", ""},
        {"write@spool:1:ENOSPC:once", "dd if=/dev/zero of=$F bs=1 count=1", "123"},
        {"grow@spool:1:ENOSPC:once", "dd if=/dev/zero of=$F bs=1 count=1", "123"},
        {"grow@spool.2:1:ENOSPC:once", "dd if=/dev/zero of=$F.2 bs=1 count=1 conv=notrunc", "123"},
        {"", "printf xx >$F.3", ""},
        {"grow@spool.3:1:ENOSPC:forever", "dd if=/dev/zero of=$F.3 bs=1 count=2 conv=notrunc", ""},
    };
    char spool[300];
    (void)snprintf(spool, sizeof spool, "%s/spool", test_scratch_dir());
    FILE *made = fopen(spool, "w");
    REQUIRE(made != NULL && fclose(made) == 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[500];
        /* Each try is a process of its own with its own count: `once` strikes each of them. */
        (void)snprintf(line, sizeof line,
                       "F=%s; R=; for i in 1 2 3; do %s 2>/dev/null || R=$R$i; done; "
                       "test \"$R\" = '%s'",
                       spool, rows[i].call, rows[i].failed);
        if (run(rows[i].faults, line) != 0) {
            test_failed(__FILE__, __LINE__, "%s on %s", rows[i].faults, rows[i].call);
        }
    }
}

TEST("a rule that cannot be read ends the process")
{
    CHECK_U64(run("fsync:0:EIO:once", "true"), 126);
    CHECK_U64(run("fsync:1:ENOPE:once", "true"), 126);
    CHECK_U64(run("fsync:1:EIO:often", "true"), 126);
    CHECK_U64(run("write:1:lies:once", "true"), 126);
}

/* As tests/system/faults.py writes it. */
static void write_page(const char *path, int64_t wall_offset_ms, const char *rules)
{
    struct {
        uint64_t generation;
        int64_t wall_offset_ms;
        char rules[1008];
    } page = {.generation = 1, .wall_offset_ms = wall_offset_ms};
    (void)snprintf(page.rules, sizeof page.rules, "%s", rules);
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL && fwrite(&page, sizeof page, 1, file) == 1 && fclose(file) == 0);
}

TEST("a page of faults breaks calls and moves the wall clock of who runs under it")
{
    char path[300];
    char line[400];
    (void)snprintf(path, sizeof path, "%s/page", test_scratch_dir());
    (void)snprintf(line, sizeof line, "dd if=/dev/zero of=%s/spool bs=1 count=1 2>/dev/null",
                   test_scratch_dir());
    write_page(path, 0, "");
    CHECK_U64(run_with("HOLDFAST_FAULTS", path, line), 0);
    CHECK_U64(run_with("HOLDFAST_FAULTS", path, "test $(date +%Y) -ge 2024"), 0);
    write_page(path, -INT64_C(60) * 365 * 86400 * 1000 - 1, "write@spool:1:ENOSPC:forever");
    CHECK_U64(run_with("HOLDFAST_FAULTS", path, line), 1);
    CHECK_U64(run_with("HOLDFAST_FAULTS", path, "test $(date +%Y) -lt 1999"), 0);
    CHECK_U64(run_with("HOLDFAST_FAULTS", "/nowhere", "true"), 126);
}
