#include "io/sqlite/checked.h"
#include "test/test.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { PAGE = 4096, ROWS = 400, PAGES_MAX = 64 };

static uint8_t bytes[PAGES_MAX * PAGE];

static const char *path(void)
{
    static char text[512];
    (void)snprintf(text, sizeof text, "%s/checked.db", test_scratch_dir());
    return text;
}

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The sum of all rows; -1 and the extended code where one cannot be read. */
static int64_t sum(sqlite3 *db, int *code)
{
    sqlite3_stmt *s = NULL;
    int64_t result = -1;
    *code = sqlite3_prepare_v2(db, "SELECT sum(n) FROM t", -1, &s, NULL);
    if (*code == SQLITE_OK) {
        *code = sqlite3_step(s);
        result = *code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    }
    *code = *code == SQLITE_ROW ? SQLITE_OK : sqlite3_extended_errcode(db);
    (void)sqlite3_finalize(s);
    return result;
}

static int64_t sum_of_file(int *code)
{
    sqlite3 *db = NULL;
    int64_t result = -1;
    *code = checked_open(path(), &db, SQLITE_OPEN_READONLY, NULL);
    if (*code == SQLITE_OK) {
        result = sum(db, code);
    }
    checked_close(db);
    return result;
}

static bool fill(sqlite3 *db)
{
    char sql[200];
    bool ok = run(db, "CREATE TABLE t(n INTEGER, text TEXT)") && run(db, "BEGIN");
    for (int i = 0; ok && i < ROWS; i++) {
        (void)snprintf(sql, sizeof sql, "INSERT INTO t VALUES(%d, '%0120d')", i, i);
        ok = run(db, sql);
    }
    return ok && run(db, "COMMIT");
}

static const int64_t total = (int64_t)ROWS * (ROWS - 1) / 2;

static bool make(const char *mode)
{
    sqlite3 *db = NULL;
    char sql[64];
    (void)remove(path());
    (void)snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s", mode);
    bool ok =
        checked_open(path(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK
        && run(db, sql) && fill(db);
    checked_close(db);
    return ok;
}

static size_t load(void)
{
    FILE *f = fopen(path(), "rb");
    size_t len = f != NULL ? fread(bytes, 1, sizeof bytes, f) : 0;
    return f != NULL && fclose(f) == 0 ? len : 0;
}

static void save(size_t len)
{
    FILE *f = fopen(path(), "wb");
    CHECK(f != NULL);
    if (f != NULL) {
        CHECK(fwrite(bytes, 1, len, f) == len);
        (void)fclose(f);
    }
}

TEST("a bit that flipped anywhere in a page is an error of the read, and never another sum")
{
    static const char *const modes[] = {"DELETE", "WAL"};
    for (int mode = 0; mode < 2; mode++) {
        int code;
        REQUIRE(make(modes[mode]));
        size_t len = load();
        CHECK(len > 10 * PAGE && len % PAGE == 0 && sum_of_file(&code) == total);
        for (size_t bit = 3; bit < len * 8; bit += 8191) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            save(len);
            int64_t found = sum_of_file(&code);
            CHECK(found == -1 || (found == total && bit / 8 < 100)); /* the file's own header */
            CHECK(bit / 8 < 100 || code == SQLITE_IOERR_DATA);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        save(len);
        CHECK(sum_of_file(&code) == total);
    }
}

TEST("a page that stands in the place of another is told")
{
    int code;
    REQUIRE(make("DELETE"));
    size_t len = load();
    memcpy(bytes + (size_t)5 * PAGE, bytes + (size_t)4 * PAGE, PAGE);
    save(len);
    CHECK(sum_of_file(&code) == -1 && code == SQLITE_IOERR_DATA);
}

TEST("a database without check values is read as it is, and gets them when it is written to")
{
    static const char *const modes[] = {"PRAGMA journal_mode = DELETE",
                                        "PRAGMA journal_mode = WAL"};
    for (size_t i = 0; i < 2; i++) {
        sqlite3 *db = NULL;
        int code;
        (void)remove(path());
        REQUIRE(sqlite3_open(path(), &db) == SQLITE_OK);
        CHECK(run(db, modes[i]) && fill(db));
        (void)sqlite3_close(db);
        CHECK(sum_of_file(&code) == total);
        CHECK(load() > 0 && bytes[20] == 0);
        REQUIRE(checked_open(path(), &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
        CHECK(sum(db, &code) == total);
        checked_close(db);
        size_t len = load();
        CHECK(len > 0 && bytes[20] == CHECKED_RESERVE);
        bytes[len - 3000] ^= 1;
        save(len);
        CHECK(sum_of_file(&code) == -1 && code == SQLITE_IOERR_DATA);
    }
}

TEST("what SQLite writes past us is told, not read")
{
    sqlite3 *db = NULL;
    int code;
    REQUIRE(make("DELETE"));
    REQUIRE(sqlite3_open(path(), &db) == SQLITE_OK);
    CHECK(run(db, "UPDATE t SET n = n + 1 WHERE n = 7"));
    (void)sqlite3_close(db);
    CHECK(sum_of_file(&code) == -1 && code == SQLITE_IOERR_DATA);
}
