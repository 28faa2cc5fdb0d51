/* The preloaded library that breaks file calls (tests/shim/failfs.c): each fault comes when it was
 * asked for. */
#include "io/posix/pair.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

/* Runs a shell line with the faults in force; its exit status. */
static int run(const char *faults, const char *line)
{
    struct pair p;
    char fail[200];
    pair_open(&p);
    (void)snprintf(fail, sizeof fail, "HOLDFAST_FAIL=%s", faults);
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    const char *const env[] = {"LD_PRELOAD=" HOLDFAST_FAILFS, fail, NULL};
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
        {"fdatasync:2:EIO:once", "dd if=$F of=$F.2 conv=fdatasync", ""},
        {"write@spool:1:ENOSPC:once", "dd if=/dev/zero of=$F bs=1 count=1", "123"},
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
}
