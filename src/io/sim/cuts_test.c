/*
 * The driver of power cuts on a small log: records of 8 bytes, the number of the record in each
 * byte, appended and synced one by one; recovery cuts the tail back to whole records. Right it must
 * pass; each of its mistakes must be found.
 */
#include "io/sim/cuts.h"
#include "test/test.h"

#include <string.h>

enum { RECORDS = 5, RECORD_LEN = 600 }; /* over a sector's border */

enum mistake { NONE, NO_SYNC, NO_DIR_SYNC, ACK_EARLY, RECOVERY_REWRITES };

struct log {
    enum mistake mistake;
    uint64_t acked;
};

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void append_all(void *context, struct sim_world *world)
{
    struct log *log = context;
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, log);
    struct port_file *file = NULL;
    REQUIRE(port_file_open(port, "log", PORT_WRITE | PORT_CREATE, &file) == PORT_OK);
    if (log->mistake != NO_DIR_SYNC) {
        CHECK(port_dir_sync(port, ".") == PORT_OK);
    }
    for (uint8_t i = 1; i <= RECORDS; i++) {
        uint8_t record[RECORD_LEN];
        memset(record, i, sizeof record);
        log->acked += log->mistake == ACK_EARLY ? 1 : 0;
        CHECK(port_file_write(file, (i - 1u) * RECORD_LEN, slice_of(record, sizeof record))
              == PORT_OK);
        if (log->mistake != NO_SYNC) {
            CHECK(port_file_sync(file) == PORT_OK);
        }
        log->acked += log->mistake == ACK_EARLY ? 0 : 1;
    }
    port_close_all(port);
}

static bool is_whole(const uint8_t *record, uint64_t number)
{
    for (size_t i = 0; i < RECORD_LEN; i++) {
        if (record[i] != (uint8_t)(number + 1)) {
            return false;
        }
    }
    return true;
}

static bool all_is_there(struct log *log, struct port *port, struct port_file *file)
{
    uint8_t record[RECORD_LEN];
    uint64_t found = 0;
    size_t got = 0;
    (void)port;
    while (port_file_read(file, found * RECORD_LEN, record, RECORD_LEN, &got) == PORT_OK
           && got == RECORD_LEN && is_whole(record, found)) {
        found++;
    }
    if (found < log->acked) {
        return false;
    }
    uint64_t size = 0;
    if (port_file_size(file, &size) != PORT_OK || size == found * RECORD_LEN) {
        return true;
    }
    if (log->mistake == RECOVERY_REWRITES
        && found > 0) { /* the last one, in place and in two steps */
        return port_file_truncate(file, (found - 1) * RECORD_LEN) == PORT_OK
               && port_file_write(file, (found - 1) * RECORD_LEN, slice_of(record, RECORD_LEN))
                      == PORT_OK
               && port_file_truncate(file, found * RECORD_LEN) == PORT_OK
               && port_file_sync(file) == PORT_OK;
    }
    return port_file_truncate(file, found * RECORD_LEN) == PORT_OK
           && port_file_sync(file) == PORT_OK;
}

static bool recover(void *context, struct sim_world *world)
{
    struct log *log = context;
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, log);
    struct port_file *file = NULL;
    enum port_result result = port_file_open(port, "log", PORT_READ | PORT_WRITE, &file);
    bool ok = result == PORT_NOT_FOUND ? log->acked == 0 : all_is_there(log, port, file);
    port_close_all(port);
    return ok;
}

static uint64_t promised(void *context)
{
    const struct log *log = context;
    return log->acked;
}

static struct cuts_report run(enum mistake mistake)
{
    struct log log = {.mistake = mistake};
    struct cuts cuts = {.context = &log,
                        .scenario = append_all,
                        .recover = recover,
                        .promised = promised,
                        .seed = 1,
                        .seeded = 4,
                        .cuts_recovery = true};
    struct cuts_report report;
    cuts_run(&cuts, &report);
    return report;
}

TEST("a log that syncs before it promises survives every cut, also of its recovery")
{
    struct cuts_report report = run(NONE);
    CHECK_U64(report.violations, 0);
    CHECK_U64(report.operations,
              2 + 2 * RECORDS); /* the file and its folder, then write and sync */
    CHECK(report.cuts > 5 * report.operations);
    CHECK(report.states > 3 * RECORDS);
    CHECK_U64(report.left_out, 0);
}

TEST("each mistake of a log is found")
{
    static const enum mistake mistakes[] = {NO_SYNC, NO_DIR_SYNC, ACK_EARLY};
    for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
        CHECK(run(mistakes[i]).violations > 0);
    }
}

TEST("a mistake that only shows when the recovery is cut, too, is found there")
{
    struct cuts_report report = run(RECOVERY_REWRITES);
    CHECK(report.violations > 0);
    CHECK(report.first_in_recovery);
}
