#include "io/sqlite/store_db.h"

/*
 * Values are kept as the 64 bits of the double (`last_bits`): SQLite turns NaN into NULL and -0
 * into 0. `head` is the row that changes with every batch of its series: totals, the last point and
 * the open block.
 */
#define CERTIFICATE_AND_LINK                                                                       \
    "CREATE TABLE certificate(device BLOB NOT NULL, key BLOB NOT NULL, serial BLOB NOT NULL,"      \
    " seen_ms INTEGER NOT NULL, boot INTEGER NOT NULL, PRIMARY KEY(device, key))"                  \
    " STRICT, WITHOUT ROWID;"                                                                      \
    "CREATE TABLE link(id INTEGER PRIMARY KEY AUTOINCREMENT, device BLOB NOT NULL,"                \
    " gateway TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER, why TEXT NOT NULL) STRICT;"  \
    "CREATE INDEX link_device ON link(device, id);"

/*
 * From layout 1. Chunks of before have no time of arrival (0): they count as having arrived when
 * the store is first written again (`dated`, see store_arrives), so that none goes too early.
 */
const char *const store_migration_2 =
    "ALTER TABLE chunk ADD COLUMN arrived_ms INTEGER NOT NULL DEFAULT 0;"
    "DROP INDEX chunk_age;"
    "CREATE INDEX chunk_arrived ON chunk(arrived_ms);"
    "ALTER TABLE device ADD COLUMN certificate BLOB NOT NULL DEFAULT x'';"
    "INSERT INTO meta VALUES('dated', 0);" CERTIFICATE_AND_LINK;

const char *const store_schema =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('change', 0);"
    "CREATE TABLE series(id INTEGER PRIMARY KEY AUTOINCREMENT, device BLOB NOT NULL, stream TEXT "
    "NOT NULL,"
    " name TEXT NOT NULL, unit TEXT NOT NULL, UNIQUE(device, stream, name, unit)) STRICT;"
    "CREATE TABLE head(series INTEGER PRIMARY KEY, change INTEGER NOT NULL, points INTEGER NOT "
    "NULL,"
    " first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, last_bits INTEGER NOT NULL,"
    " last_quality INTEGER NOT NULL, last_provenance INTEGER NOT NULL,"
    " closed_to_ms INTEGER, span_ms INTEGER NOT NULL, fresh BLOB) STRICT;"
    "CREATE TABLE chunk(id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER NOT NULL, from_ms "
    "INTEGER NOT NULL,"
    " to_ms INTEGER NOT NULL, points INTEGER NOT NULL, counted INTEGER NOT NULL, low REAL, high "
    "REAL,"
    " total REAL, block BLOB NOT NULL, arrived_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX chunk_time ON chunk(series, from_ms, to_ms);"
    "CREATE INDEX chunk_arrived ON chunk(arrived_ms);"
    "CREATE TABLE device(id INTEGER PRIMARY KEY, device BLOB NOT NULL UNIQUE, change INTEGER NOT "
    "NULL,"
    " gateway TEXT NOT NULL, connected INTEGER NOT NULL, linked_ms INTEGER NOT NULL, seen_ms "
    "INTEGER NOT NULL,"
    " boot INTEGER NOT NULL, boots INTEGER NOT NULL, hello_ms INTEGER NOT NULL, agent TEXT NOT "
    "NULL,"
    " clock_offset_ms INTEGER, clock_quality INTEGER NOT NULL, messages INTEGER NOT NULL,"
    " points INTEGER NOT NULL, dead_letters INTEGER NOT NULL, dead_letter_ms INTEGER NOT NULL,"
    " link_mismatches INTEGER NOT NULL, received BLOB NOT NULL, links BLOB NOT NULL,"
    " certificate BLOB NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX device_change ON device(change);" CERTIFICATE_AND_LINK
    "CREATE TABLE hello(device BLOB NOT NULL, boot INTEGER NOT NULL, first INTEGER NOT NULL,"
    " ephemeral BLOB NOT NULL, key_id BLOB NOT NULL, received_ms INTEGER NOT NULL,"
    " PRIMARY KEY(device, boot)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE waiting(id INTEGER PRIMARY KEY AUTOINCREMENT, device BLOB NOT NULL, boot INTEGER "
    "NOT NULL,"
    " gateway TEXT NOT NULL, record BLOB NOT NULL) STRICT;"
    "CREATE INDEX waiting_boot ON waiting(device, boot);"
    "CREATE TABLE dead_letter(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,"
    " gateway TEXT NOT NULL, device BLOB NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;"
    "CREATE TABLE lost(id INTEGER PRIMARY KEY AUTOINCREMENT, device BLOB NOT NULL, first INTEGER "
    "NOT NULL,"
    " last INTEGER NOT NULL, why INTEGER NOT NULL, since_ms INTEGER NOT NULL, at_ms INTEGER NOT "
    "NULL) STRICT;"
    "CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE source(name TEXT PRIMARY KEY, position INTEGER NOT NULL, received_ms INTEGER NOT "
    "NULL,"
    " records INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

#define SERIES_COLUMNS                                                                             \
    "SELECT s.id, s.device, s.stream, s.name, s.unit, h.points, h.first_ms, h.last_ms,"            \
    " h.last_bits, h.last_quality, h.last_provenance, h.change FROM series s"                      \
    " LEFT JOIN head h ON h.series = s.id "
#define DEVICE_COLUMNS                                                                             \
    "SELECT device, change, gateway, connected, linked_ms, seen_ms, boot, boots, hello_ms, agent," \
    " clock_offset_ms, clock_quality, messages, points, dead_letters, dead_letter_ms,"             \
    " link_mismatches, received, links, certificate FROM device "

const char *const store_sql[SQL_STATEMENT_COUNT] = {
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_CHANGE_GET] = "SELECT value FROM meta WHERE name = 'change'",
    [SQL_CHANGE_PUT] = "UPDATE meta SET value = ?1 WHERE name = 'change'",
    [SQL_SERIES_FIND] =
        "SELECT id FROM series WHERE device = ?1 AND stream = ?2 AND name = ?3 AND unit = ?4",
    [SQL_SERIES_ADD] = "INSERT INTO series(device, stream, name, unit) VALUES(?1, ?2, ?3, ?4)",
    [SQL_SERIES_COUNT] = "SELECT count(*) FROM series WHERE device = ?1",
    [SQL_SERIES_COUNT_ALL] = "SELECT count(*) FROM series",
    [SQL_SERIES_LIST] = SERIES_COLUMNS
    "WHERE s.device = ?1 AND s.id > ?2 AND (?3 = 0 OR h.change > ?3) ORDER BY s.id LIMIT ?4",
    [SQL_SERIES_LIST_ALL] =
        SERIES_COLUMNS "WHERE s.id > ?2 AND (?3 = 0 OR h.change > ?3) ORDER BY s.id LIMIT ?4",
    [SQL_SERIES_GET] = SERIES_COLUMNS "WHERE s.id = ?1",
    [SQL_SERIES_BY_NAMES] = SERIES_COLUMNS
    "WHERE s.device = ?1 AND s.stream = ?2 AND s.name = ?3 AND (?4 IS NULL OR s.unit = ?4)"
    " ORDER BY h.change DESC LIMIT 1",
    [SQL_HEAD_GET] = "SELECT points, first_ms, last_ms, last_bits, last_quality, last_provenance,"
                     " closed_to_ms, span_ms, fresh FROM head WHERE series = ?1",
    [SQL_HEAD_PUT] =
        "INSERT OR REPLACE INTO head(series, change, points, first_ms, last_ms, last_bits,"
        " last_quality, last_provenance, closed_to_ms, span_ms, fresh)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [SQL_DATED_GET] = "SELECT value FROM meta WHERE name = 'dated'",
    [SQL_DATED_PUT] = "UPDATE meta SET value = ?1 WHERE name = 'dated' AND value = 0",
    [SQL_ARRIVED_MAX] = "SELECT max(arrived_ms) FROM chunk",
    [SQL_CHUNK_ADD] =
        "INSERT INTO chunk(series, from_ms, to_ms, points, counted, low, high, total, block,"
        " arrived_ms) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    /* No chunk of a series is longer than its span: what begins before ?2 = from - span ends before
       `from`. */
    [SQL_CHUNK_RANGE] =
        "SELECT id, from_ms, to_ms, counted, low, high, total FROM chunk WHERE series = ?1"
        " AND from_ms >= ?2 AND from_ms < ?4 AND to_ms >= ?3 ORDER BY from_ms, id",
    [SQL_CHUNK_AT] = "SELECT id FROM chunk WHERE series = ?1 AND from_ms >= ?2 AND from_ms <= ?3 "
                     "AND to_ms >= ?3",
    [SQL_CHUNK_BLOCK] = "SELECT block FROM chunk WHERE id = ?1",
    [SQL_CHUNK_OLD] =
        "SELECT id, series, points FROM chunk WHERE arrived_ms >= ?1 AND arrived_ms < ?2"
        " ORDER BY arrived_ms LIMIT 1",
    [SQL_CHUNK_DELETE] = "DELETE FROM chunk WHERE id = ?1",
    [SQL_CHUNK_FIRST] = "SELECT from_ms FROM chunk WHERE series = ?1 ORDER BY from_ms LIMIT 1",
    [SQL_DEVICE_GET] = DEVICE_COLUMNS "WHERE device = ?1",
    [SQL_DEVICE_PUT] =
        "INSERT INTO device(device, change, gateway, connected, linked_ms, seen_ms, boot, boots,"
        " hello_ms, agent, clock_offset_ms, clock_quality, messages, points, dead_letters,"
        " dead_letter_ms, link_mismatches, received, links, certificate) VALUES(?1, ?2, ?3, ?4, ?5,"
        " ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
        " ON CONFLICT(device) DO UPDATE SET change = ?2, gateway = ?3, connected = ?4,"
        " linked_ms = ?5, seen_ms = ?6, boot = ?7, boots = ?8, hello_ms = ?9, agent = ?10,"
        " clock_offset_ms = ?11, clock_quality = ?12, messages = ?13, points = ?14,"
        " dead_letters = ?15, dead_letter_ms = ?16, link_mismatches = ?17, received = ?18,"
        " links = ?19, certificate = ?20",
    [SQL_DEVICES_SINCE] = DEVICE_COLUMNS "WHERE change > ?1 ORDER BY change LIMIT ?2",
    [SQL_HELLO_PUT] = "INSERT OR REPLACE INTO hello VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    /* The highest boot that is one too many; those from it down go. */
    [SQL_HELLO_SURPLUS] =
        "SELECT boot FROM hello WHERE device = ?1 ORDER BY boot DESC LIMIT 1 OFFSET ?2",
    [SQL_HELLO_TRIM] = "DELETE FROM hello WHERE device = ?1 AND boot <= ?2",
    [SQL_HELLO_LIST] =
        "SELECT boot, first, ephemeral, key_id, received_ms FROM hello WHERE device = ?1"
        " AND boot <= ?2 ORDER BY boot DESC LIMIT ?3",
    [SQL_HELLO_ABOVE] =
        "SELECT first FROM hello WHERE device = ?1 AND boot > ?2 ORDER BY boot LIMIT 1",
    [SQL_HELLO_COUNT] = "SELECT count(*) FROM hello WHERE device = ?1",
    [SQL_CERTIFICATE_ADD] = "INSERT OR IGNORE INTO certificate VALUES(?1, ?2, ?3, ?4, ?5)",
    [SQL_CERTIFICATE_TRIM] =
        "DELETE FROM certificate WHERE device = ?1 AND key NOT IN (SELECT key FROM certificate"
        " WHERE device = ?1 ORDER BY seen_ms DESC, key LIMIT ?2)",
    [SQL_CERTIFICATE_LIST] = "SELECT key, serial, seen_ms, boot FROM certificate WHERE device = ?1"
                             " ORDER BY seen_ms DESC, key LIMIT ?2",
    [SQL_LINK_ADD] = "INSERT INTO link(device, gateway, from_ms, why) VALUES(?1, ?2, ?3, '')",
    [SQL_LINK_END] = "UPDATE link SET to_ms = ?3, why = ?4 WHERE device = ?1 AND gateway = ?2"
                     " AND to_ms IS NULL",
    [SQL_LINK_TRIM] = "DELETE FROM link WHERE device = ?1 AND id <= (SELECT id FROM link"
                      " WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    [SQL_LINK_LIST] =
        "SELECT id, gateway, from_ms, to_ms, why FROM link WHERE device = ?1 AND id < ?2"
        " ORDER BY id DESC LIMIT ?3",
    [SQL_LINKED_LIST] =
        "SELECT id, device FROM device WHERE id > ?1 AND connected = 1 AND gateway = ?2"
        " ORDER BY id LIMIT ?3",
    [SQL_WAITING_COUNT] = "SELECT count(*) FROM waiting WHERE device = ?1",
    [SQL_WAITING_COUNT_ALL] = "SELECT count(*) FROM waiting",
    [SQL_WAITING_ADD] = "INSERT INTO waiting(device, boot, gateway, record) VALUES(?1, ?2, ?3, ?4)",
    [SQL_WAITING_NEXT] = "SELECT id, gateway, record FROM waiting WHERE device = ?1 AND boot = ?2"
                         " ORDER BY id LIMIT 1",
    [SQL_WAITING_OLDER] = "SELECT id, gateway, record FROM waiting WHERE device = ?1 AND boot <= ?2"
                          " ORDER BY id LIMIT 1",
    [SQL_WAITING_OLDEST] = "SELECT id, gateway, record FROM waiting ORDER BY id LIMIT 1",
    [SQL_WAITING_DELETE] = "DELETE FROM waiting WHERE id = ?1",
    [SQL_LETTER_ADD] =
        "INSERT INTO dead_letter(at_ms, gateway, device, topic, reason, bytes, payload)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [SQL_LETTER_TRIM] = "DELETE FROM dead_letter WHERE id <= ?1",
    [SQL_LETTER_LIST] =
        "SELECT id, at_ms, gateway, device, topic, reason, bytes FROM dead_letter"
        " WHERE id < ?1 AND (?2 IS NULL OR device = ?2) AND (?3 IS NULL OR reason = ?3)"
        " ORDER BY id DESC LIMIT ?4",
    [SQL_LETTER_PAYLOAD] = "SELECT payload FROM dead_letter WHERE id = ?1",
    [SQL_LOST_ADD] = "INSERT INTO lost(device, first, last, why, since_ms, at_ms) VALUES(?1, ?2, "
                     "?3, ?4, ?5, ?6)",
    [SQL_LOST_TRIM] = "DELETE FROM lost WHERE id <= ?1",
    [SQL_LOST_LIST] = "SELECT id, device, first, last, why, since_ms, at_ms FROM lost WHERE id < ?1"
                      " AND (?2 IS NULL OR device = ?2) ORDER BY id DESC LIMIT ?3",
    [SQL_COUNTER_ADD] =
        "INSERT INTO counter VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = value + ?2",
    [SQL_COUNTER_LIST] = "SELECT name, value FROM counter ORDER BY name LIMIT ?1",
    [SQL_SOURCE_PUT] = "INSERT OR REPLACE INTO source VALUES(?1, ?2, ?3, ?4)",
    [SQL_SOURCE_GET] = "SELECT name, position, received_ms, records FROM source WHERE name = ?1",
    [SQL_SOURCE_LIST] =
        "SELECT name, position, received_ms, records FROM source ORDER BY name LIMIT ?1",
};
