#include "io/applications.h"

#include "base/invariant.h"
#include "io/sqlite/registry_inside.h"

#include <stdlib.h>
#include <string.h>

static const char *const steps[] = {
    "CREATE TABLE applications(name TEXT PRIMARY KEY, state INTEGER NOT NULL, created_ms INTEGER "
    "NOT "
    "NULL, changed_ms INTEGER NOT NULL, rules BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE application_certificates(row INTEGER PRIMARY KEY AUTOINCREMENT, application TEXT "
    "NOT NULL REFERENCES applications(name), key BLOB NOT NULL UNIQUE, serial BLOB NOT NULL UNIQUE,"
    " is_live INTEGER NOT NULL, not_before_ms INTEGER NOT NULL, not_after_ms INTEGER NOT NULL,"
    " issued_ms INTEGER NOT NULL, der BLOB NOT NULL) STRICT;"
    "CREATE INDEX application_certificates_of ON application_certificates(application, row);"
    "CREATE TABLE application_number(number INTEGER NOT NULL) STRICT;"
    "INSERT INTO application_number(number) VALUES(0);"
    "CREATE TRIGGER application_key_is_no_devices BEFORE INSERT ON application_certificates"
    " WHEN EXISTS(SELECT 1 FROM certificates WHERE key = NEW.key)"
    " OR EXISTS(SELECT 1 FROM devices WHERE hardware_key = NEW.key)"
    " BEGIN SELECT RAISE(ABORT, 'the key is a device''s'); END;"
    "CREATE TRIGGER device_key_is_no_applications BEFORE INSERT ON certificates"
    " WHEN EXISTS(SELECT 1 FROM application_certificates WHERE key = NEW.key)"
    " BEGIN SELECT RAISE(ABORT, 'the key is an application''s'); END;",
};

enum statement {
    APP_GET,
    APP_EACH,
    APP_PUT,
    APP_WITHDRAW,
    CERT_ADD,
    CERT_EACH,
    CERT_BY_KEY,
    CERTS_KEEP,
    CERTS_WITHDRAW,
    NUMBER_RAISE,
    NUMBER_GET
};
enum { STATEMENT_COUNT = NUMBER_GET + 1 };

#define APP_COLUMNS "name, state, created_ms, changed_ms, rules"
#define CERT_COLUMNS                                                                               \
    "application, key, serial, is_live, not_before_ms, not_after_ms, issued_ms, der"

static const char *const texts[STATEMENT_COUNT] = {
    [APP_GET] = "SELECT " APP_COLUMNS " FROM applications WHERE name = ?1",
    [APP_EACH] = "SELECT " APP_COLUMNS " FROM applications ORDER BY name",
    [APP_PUT] = "INSERT INTO applications(" APP_COLUMNS ") VALUES(?1, 1, ?2, ?2, ?3)"
                " ON CONFLICT(name) DO UPDATE SET state = 1, changed_ms = ?2, rules = ?3",
    [APP_WITHDRAW] =
        "UPDATE applications SET state = 2, changed_ms = ?2 WHERE name = ?1 AND state = 1",
    [CERT_ADD] = "INSERT INTO application_certificates(" CERT_COLUMNS
                 ") VALUES(?1, ?2, ?3, 1, ?4, ?5, ?6, ?7)",
    [CERT_EACH] = "SELECT " CERT_COLUMNS
                  " FROM application_certificates WHERE application = ?1 ORDER BY row DESC",
    [CERT_BY_KEY] = "SELECT " CERT_COLUMNS " FROM application_certificates WHERE key = ?1",
    [CERTS_KEEP] = "UPDATE application_certificates SET is_live = 0 WHERE application = ?1 AND "
                   "is_live = 1 AND row NOT IN (SELECT row FROM application_certificates WHERE "
                   "application = ?1 AND is_live = 1 ORDER BY row DESC LIMIT ?2)",
    [CERTS_WITHDRAW] = "UPDATE application_certificates SET is_live = 0 WHERE application = ?1",
    [NUMBER_RAISE] = "UPDATE application_number SET number = number + 1",
    [NUMBER_GET] = "SELECT number FROM application_number",
};

struct applications {
    struct registry *registry;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* Reset, without parameters. */
static sqlite3_stmt *statement_of(struct applications *apps, enum statement which)
{
    sqlite3_stmt *statement = apps->statements[which];
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return statement;
}

static size_t copy(void *to, size_t cap, struct slice from)
{
    size_t len = from.len < cap ? from.len : cap;
    if (len > 0) {
        memcpy(to, from.at, len);
    }
    return len;
}

enum registry_result applications_open(struct registry *r,
                                       struct applications **out,
                                       struct port_why *why)
{
    enum registry_result result =
        registry_db_migrate(r, "applications", steps, COUNT_OF(steps), why);
    if (result != REGISTRY_OK) {
        return result;
    }
    struct applications *apps = calloc(1, sizeof *apps);
    INVARIANT(apps != NULL);
    apps->registry = r;
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(registry_db(r), texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &apps->statements[i], NULL);
        if (code != SQLITE_OK) {
            applications_close(apps);
            return registry_db_result(code);
        }
    }
    *out = apps;
    return REGISTRY_OK;
}

void applications_close(struct applications *apps)
{
    if (apps == NULL) {
        return;
    }
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(apps->statements[i]);
    }
    free(apps);
}

/* ---- reading ---- */

static void read_application(sqlite3_stmt *s, struct application *out)
{
    memset(out, 0, sizeof *out);
    (void)copy(out->name, sizeof out->name - 1, registry_column(s, 0));
    out->state = sqlite3_column_int(s, 1) == APPLICATION_GRANTED ? APPLICATION_GRANTED
                                                                 : APPLICATION_WITHDRAWN;
    out->created_ms = sqlite3_column_int64(s, 2);
    out->changed_ms = sqlite3_column_int64(s, 3);
    out->rules_len = (uint16_t)copy(out->rules, sizeof out->rules, registry_column(s, 4));
}

static void read_certificate(sqlite3_stmt *s, struct application_certificate *out)
{
    memset(out, 0, sizeof *out);
    (void)copy(out->application, sizeof out->application - 1, registry_column(s, 0));
    (void)copy(out->key.bytes, sizeof out->key.bytes, registry_column(s, 1));
    out->serial_len = (uint8_t)copy(out->serial, sizeof out->serial, registry_column(s, 2));
    out->is_live = sqlite3_column_int(s, 3) == 1;
    out->not_before_ms = sqlite3_column_int64(s, 4);
    out->not_after_ms = sqlite3_column_int64(s, 5);
    out->issued_ms = sqlite3_column_int64(s, 6);
    out->der_len = (uint16_t)copy(out->der, sizeof out->der, registry_column(s, 7));
}

enum registry_result applications_get(struct applications *apps,
                                      struct slice name,
                                      struct application *out)
{
    sqlite3_stmt *s = statement_of(apps, APP_GET);
    registry_bind_text(s, 1, name);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        read_application(s, out);
    }
    (void)sqlite3_reset(s);
    return code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
}

enum registry_result applications_each(struct applications *apps,
                                       bool (*each)(void *context,
                                                    const struct application *application),
                                       void *context)
{
    static struct application row;
    sqlite3_stmt *s = statement_of(apps, APP_EACH);
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        read_application(s, &row);
        if (!each(context, &row)) {
            break;
        }
    }
    (void)sqlite3_reset(s);
    return registry_db_result(code);
}

enum registry_result applications_certificates_each(
    struct applications *apps,
    struct slice name,
    bool (*each)(void *context, const struct application_certificate *certificate),
    void *context)
{
    static struct application_certificate row;
    sqlite3_stmt *s = statement_of(apps, CERT_EACH);
    registry_bind_text(s, 1, name);
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        read_certificate(s, &row);
        if (!each(context, &row)) {
            break;
        }
    }
    (void)sqlite3_reset(s);
    return registry_db_result(code);
}

enum registry_result applications_certificate_by_key(struct applications *apps,
                                                     const struct digest *key,
                                                     struct application_certificate *out)
{
    sqlite3_stmt *s = statement_of(apps, CERT_BY_KEY);
    registry_bind_blob(s, 1, key->bytes, sizeof key->bytes);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        read_certificate(s, out);
    }
    (void)sqlite3_reset(s);
    return code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
}

/* ---- changing ---- */

static enum registry_result put(struct applications *apps,
                                const struct application *what,
                                int64_t at_ms)
{
    sqlite3_stmt *s = statement_of(apps, APP_PUT);
    registry_bind_text(s, 1, slice_text(what->name));
    (void)sqlite3_bind_int64(s, 2, at_ms);
    registry_bind_blob(s, 3, what->rules_len > 0 ? what->rules : (const uint8_t *)"",
                       what->rules_len);
    return registry_run(s);
}

static enum registry_result add_certificate(struct applications *apps,
                                            const struct application_certificate *c)
{
    sqlite3_stmt *s = statement_of(apps, CERT_ADD);
    registry_bind_text(s, 1, slice_text(c->application));
    registry_bind_blob(s, 2, c->key.bytes, sizeof c->key.bytes);
    registry_bind_blob(s, 3, c->serial, c->serial_len);
    (void)sqlite3_bind_int64(s, 4, c->not_before_ms);
    (void)sqlite3_bind_int64(s, 5, c->not_after_ms);
    (void)sqlite3_bind_int64(s, 6, c->issued_ms);
    registry_bind_blob(s, 7, c->der, c->der_len);
    enum registry_result result = registry_run(s);
    if (result != REGISTRY_OK) {
        return result;
    }
    s = statement_of(apps, CERTS_KEEP);
    registry_bind_text(s, 1, slice_text(c->application));
    (void)sqlite3_bind_int64(s, 2, APPLICATION_LIVE_MAX);
    return registry_run(s);
}

enum registry_result applications_grant(struct applications *apps,
                                        const struct application *what,
                                        const struct application_certificate *certificate,
                                        const struct registry_note *note)
{
    enum registry_result result = registry_begin(apps->registry);
    result = result == REGISTRY_OK ? put(apps, what, note->at_ms) : result;
    if (certificate != NULL) {
        result = result == REGISTRY_OK ? add_certificate(apps, certificate) : result;
    }
    result = result == REGISTRY_OK ? registry_note_add(apps->registry, note) : result;
    return registry_end(apps->registry, result);
}

static enum registry_result withdraw(struct applications *apps,
                                     struct slice name,
                                     const struct registry_note *note)
{
    static struct application found;
    enum registry_result result = applications_get(apps, name, &found);
    if (result != REGISTRY_OK) {
        return result;
    }
    sqlite3_stmt *s = statement_of(apps, APP_WITHDRAW);
    registry_bind_text(s, 1, name);
    (void)sqlite3_bind_int64(s, 2, note->at_ms);
    result = registry_run(s);
    if (result == REGISTRY_OK && sqlite3_changes(registry_db(apps->registry)) != 1) {
        result = REGISTRY_STALE;
    }
    if (result == REGISTRY_OK) {
        s = statement_of(apps, CERTS_WITHDRAW);
        registry_bind_text(s, 1, name);
        result = registry_run(s);
    }
    return result == REGISTRY_OK ? registry_note_add(apps->registry, note) : result;
}

enum registry_result applications_withdraw(struct applications *apps,
                                           struct slice name,
                                           const struct registry_note *note)
{
    enum registry_result result = registry_begin(apps->registry);
    result = result == REGISTRY_OK ? withdraw(apps, name, note) : result;
    return registry_end(apps->registry, result);
}

enum registry_result applications_number_next(struct applications *apps, uint64_t *number)
{
    enum registry_result result = registry_begin(apps->registry);
    result = result == REGISTRY_OK ? registry_run(statement_of(apps, NUMBER_RAISE)) : result;
    int64_t value = 0;
    if (result == REGISTRY_OK) {
        sqlite3_stmt *s = statement_of(apps, NUMBER_GET);
        int code = sqlite3_step(s);
        value = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
        (void)sqlite3_reset(s);
        result = code == SQLITE_ROW ? REGISTRY_OK : REGISTRY_BROKEN;
    }
    result = registry_end(apps->registry, result);
    if (result == REGISTRY_OK) {
        *number = (uint64_t)value;
    }
    return result;
}
