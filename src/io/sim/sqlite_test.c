/* SQLite between the processes of a simulated machine, and when they die or the power goes. */
#include "io/sim/cuts.h"
#include "io/sim/sqlite.h"
#include "test/test.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { ROW_LEN = 3000, ROWS = 6 }; /* a row over several sectors and more than half a page */

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static sqlite3 *open_db(struct port *port, const char *path)
{
    sqlite3 *db = NULL;
    CHECK(sqlite3_open_v2(path, &db,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                          port_sqlite_vfs(port))
          == SQLITE_OK);
    return db;
}

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The one number the query gives; -1: an error. */
static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK
        && sqlite3_step(statement) == SQLITE_ROW) {
        value = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_finalize(statement);
    return value;
}

static const char make[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                           "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, bytes BLOB)";

static bool add(sqlite3 *db, int n)
{
    char sql[120];
    (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(%d, zeroblob(%d))", n, ROW_LEN);
    return run(db, sql) == SQLITE_OK;
}

TEST("processes of one machine see each other's commits and wait for each other's locks")
{
    struct sim_world *world = sim_open(1);
    struct port *one = sim_start(world, "m", on_event, NULL);
    struct port *two = sim_start(world, "m", on_event, NULL);
    struct port *elsewhere = sim_start(world, "n", on_event, NULL);
    sqlite3 *a = open_db(one, "x.db");
    CHECK(run(a, make) == SQLITE_OK && add(a, 1));
    sqlite3 *b = open_db(two, "x.db");
    CHECK(ask(b, "SELECT count(*) FROM t") == 1);
    CHECK(run(a, "BEGIN IMMEDIATE") == SQLITE_OK && add(a, 2));
    CHECK(ask(b, "SELECT count(*) FROM t") == 1);
    CHECK(run(b, "BEGIN IMMEDIATE") == SQLITE_BUSY);
    CHECK(run(a, "COMMIT") == SQLITE_OK);
    CHECK(ask(b, "SELECT count(*) FROM t") == 2 && add(b, 3));
    CHECK(ask(a, "SELECT count(*) FROM t") == 3);
    sqlite3 *c = open_db(elsewhere, "x.db");
    CHECK(ask(c, "SELECT count(*) FROM t") == -1);
    CHECK(sim_sqlite_connections() == 3);
    CHECK(sqlite3_close(a) == SQLITE_OK && sqlite3_close(b) == SQLITE_OK
          && sqlite3_close(c) == SQLITE_OK);
    sim_close(world);
    CHECK(sim_sqlite_connections() == 0);
}

TEST("a killed process leaves its commits, none of its locks, and nothing of what it had begun")
{
    struct sim_world *world = sim_open(1);
    struct port *one = sim_start(world, "m", on_event, NULL);
    struct port *two = sim_start(world, "m", on_event, NULL);
    sqlite3 *a = open_db(one, "x.db");
    sqlite3_stmt *left = NULL;
    CHECK(run(a, make) == SQLITE_OK && add(a, 1));
    sqlite3 *b = open_db(two, "x.db");
    CHECK(ask(b, "SELECT count(*) FROM t") == 1);
    CHECK(run(a, "BEGIN IMMEDIATE") == SQLITE_OK && add(a, 2));
    CHECK(sqlite3_prepare_v2(a, "SELECT n FROM t", -1, &left, NULL) == SQLITE_OK
          && sqlite3_step(left) == SQLITE_ROW);
    sim_kill(one); /* and `a` is never touched again */
    CHECK(sim_sqlite_connections() == 1);
    CHECK(add(b, 3) && ask(b, "SELECT sum(n) FROM t") == 4);
    sim_kill(two);
    CHECK(sim_sqlite_connections() == 0);
    struct port *three = sim_start(world, "m", on_event, NULL);
    sqlite3 *c = open_db(three, "x.db");
    CHECK(ask(c, "SELECT sum(n) FROM t") == 4);
    CHECK(sqlite3_close(c) == SQLITE_OK);
    sim_close(world);
}

TEST("a role that closes its connection after it was killed changes nothing")
{
    struct sim_world *world = sim_open(1);
    sim_next_open(world, "m");
    struct port *port = port_open(on_event, NULL);
    sqlite3 *db = open_db(port, "x.db");
    CHECK(run(db, make) == SQLITE_OK && add(db, 1));
    uint64_t operations = sim_disk_operations(sim_disk_of(world, "m"));
    sim_kill(port);
    CHECK(!add(db, 2) && ask(db, "SELECT count(*) FROM t") == -1);
    CHECK(sqlite3_close(db) == SQLITE_OK);
    port_close_all(port);
    CHECK_U64(sim_disk_operations(sim_disk_of(world, "m")), operations);
    sim_close(world);
}

static uint64_t hash_of_a_life(uint64_t seed)
{
    struct sim_world *world = sim_open(seed);
    struct port *port = sim_start(world, "m", on_event, NULL);
    sqlite3 *db = open_db(port, "x.db");
    CHECK(run(db, make) == SQLITE_OK);
    for (int n = 1; n <= ROWS; n++) {
        CHECK(add(db, n));
    }
    CHECK(run(db, "INSERT INTO t VALUES(100, randomblob(100))") == SQLITE_OK);
    CHECK(run(db, "INSERT INTO t VALUES(101, strftime('%s', 'now'))") == SQLITE_OK);
    uint64_t hash = sim_disk_hash(sim_disk_of(world, "m"));
    sim_close(world);
    return hash;
}

TEST("the same seed gives the same bytes on the disk, another seed others")
{
    CHECK(hash_of_a_life(5) == hash_of_a_life(5));
    CHECK(hash_of_a_life(5) != hash_of_a_life(6));
}

/* ---- power ---- */

struct life {
    const char *pragma; /* how it is made durable */
    int64_t committed;
};

static void commit_rows(void *context, struct sim_world *world)
{
    struct life *life = context;
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, NULL);
    sqlite3 *db = open_db(port, "x.db");
    CHECK(run(db, make) == SQLITE_OK && run(db, life->pragma) == SQLITE_OK);
    for (int n = 1; n <= ROWS; n++) {
        CHECK(add(db, n));
        life->committed = n;
    }
    sim_kill(port);
}

/* Rows 1, 2, ... n: all that were committed, and at most the one under way. */
static bool rows_are_whole(void *context, struct sim_world *world)
{
    const struct life *life = context;
    struct port *port = sim_start(world, CUTS_MACHINE, on_event, NULL);
    sqlite3 *db = open_db(port, "x.db");
    bool ok = run(db, make) == SQLITE_OK;
    int64_t rows = ask(db, "SELECT count(*) FROM t");
    ok =
        ok && rows >= life->committed && rows <= life->committed + 1
        && (rows == 0
            || (ask(db, "SELECT max(n) FROM t") == rows
                && ask(db, "SELECT min(length(bytes)) FROM t") == ROW_LEN))
        && ask(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1;
    CHECK(sqlite3_close(db) == SQLITE_OK);
    sim_kill(port);
    return ok;
}

static uint64_t promised(void *context)
{
    const struct life *life = context;
    return (uint64_t)life->committed;
}

static struct cuts_report cut(const char *pragma, bool cuts_recovery)
{
    struct life life = {.pragma = pragma};
    struct cuts_report report;
    cuts_run(&(struct cuts){.context = &life,
                            .scenario = commit_rows,
                            .recover = rows_are_whole,
                            .promised = promised,
                            .seed = 3,
                            .seeded = 4,
                            .one_in = 8,
                            .one_in_of_recovery = 16,
                            .cuts_recovery = cuts_recovery},
             &report);
    CHECK_U64(sim_sqlite_connections(), 0);
    return report;
}

TEST("what SQLite committed is there wherever the power goes, and what it did not is gone")
{
    struct cuts_report report = cut("PRAGMA wal_autocheckpoint = 4", true);
    CHECK_U64(report.violations, 0);
    CHECK(report.cuts > 1000 && report.states > 100);
    printf("  %llu cuts, %llu states, %llu left out\n", (unsigned long long)report.cuts,
           (unsigned long long)report.states, (unsigned long long)report.left_out);
}

TEST("a database that does not sync is caught")
{
    CHECK(cut("PRAGMA synchronous = OFF", false).violations > 0);
    CHECK(cut("PRAGMA synchronous = NORMAL", false).violations > 0);
}
