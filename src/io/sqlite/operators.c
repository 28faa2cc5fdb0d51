#include "io/operators.h"

#include "base/invariant.h"
#include "io/sqlite/registry_inside.h"

#include <stdlib.h>
#include <string.h>

static const char *const steps[] = {
    "CREATE TABLE operators(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
    " rights INTEGER NOT NULL, created_ms INTEGER NOT NULL) STRICT;"
    "CREATE TABLE operator_tokens(digest BLOB PRIMARY KEY, operator INTEGER NOT NULL REFERENCES "
    "operators(id),"
    " label TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE login_links(digest BLOB PRIMARY KEY, operator INTEGER NOT NULL REFERENCES "
    "operators(id),"
    " expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE sessions(id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,"
    " operator INTEGER NOT NULL REFERENCES operators(id), created_ms INTEGER NOT NULL,"
    " used_ms INTEGER NOT NULL) STRICT;",
};

enum statement {
    OPERATOR_ADD,
    OPERATOR_BY_NAME,
    OPERATOR_COUNT,
    TOKEN_ADD,
    OPERATOR_BY_TOKEN,
    LINK_ADD,
    LINK_GET,
    LINK_DELETE,
    SESSION_ADD,
    SESSION_GET,
    SESSION_USED,
    SESSION_DELETE,
    SWEEP_SESSIONS,
    SWEEP_LINKS
};
enum { STATEMENT_COUNT = SWEEP_LINKS + 1 };

#define COLUMNS "o.id, o.name, o.rights, o.created_ms"

static const char *const texts[STATEMENT_COUNT] = {
    [OPERATOR_ADD] = "INSERT INTO operators(name, rights, created_ms) VALUES(?1, ?2, ?3)",
    [OPERATOR_BY_NAME] = "SELECT " COLUMNS " FROM operators o WHERE o.name = ?1",
    [OPERATOR_COUNT] = "SELECT count(*) FROM operators",
    [TOKEN_ADD] =
        "INSERT INTO operator_tokens(digest, operator, label, created_ms) VALUES(?1, ?2, ?3, ?4)",
    [OPERATOR_BY_TOKEN] =
        "SELECT " COLUMNS
        " FROM operator_tokens t JOIN operators o ON o.id = t.operator WHERE t.digest = ?1",
    [LINK_ADD] = "INSERT INTO login_links(digest, operator, expires_ms) VALUES(?1, ?2, ?3)",
    [LINK_GET] = "SELECT " COLUMNS " FROM login_links l JOIN operators o ON o.id = l.operator"
                 " WHERE l.digest = ?1 AND l.expires_ms > ?2",
    [LINK_DELETE] = "DELETE FROM login_links WHERE digest = ?1",
    [SESSION_ADD] =
        "INSERT INTO sessions(digest, operator, created_ms, used_ms) VALUES(?1, ?2, ?3, ?3)",
    [SESSION_GET] = "SELECT " COLUMNS ", s.id, s.created_ms, s.used_ms FROM sessions s"
                    " JOIN operators o ON o.id = s.operator WHERE s.digest = ?1",
    [SESSION_USED] = "UPDATE sessions SET used_ms = max(used_ms, ?2) WHERE id = ?1",
    [SESSION_DELETE] = "DELETE FROM sessions WHERE digest = ?1",
    [SWEEP_SESSIONS] = "DELETE FROM sessions WHERE created_ms < ?1 OR used_ms < ?2",
    [SWEEP_LINKS] = "DELETE FROM login_links WHERE expires_ms <= ?1",
};

struct operators {
    struct registry *registry;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* Reset, without parameters. */
static sqlite3_stmt *statement_of(struct operators *ops, enum statement which)
{
    sqlite3_stmt *statement = ops->statements[which];
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return statement;
}

static void bind_digest(sqlite3_stmt *statement, int at, const struct digest *digest)
{
    registry_bind_blob(statement, at, digest->bytes, sizeof digest->bytes);
}

static void read_operator(sqlite3_stmt *statement, struct operator_row *out)
{
    struct slice name = registry_column(statement, 1);
    *out = (struct operator_row){
        .id = sqlite3_column_int64(statement, 0),
        .rights = (uint32_t)sqlite3_column_int64(statement, 2),
        .created_ms = sqlite3_column_int64(statement, 3),
    };
    size_t len = name.len < OPERATOR_NAME_MAX ? name.len : OPERATOR_NAME_MAX;
    memcpy(out->name, name.at, len);
}

/* The operator that the statement finds; the statement is left reset. */
static enum registry_result find_operator(sqlite3_stmt *statement, struct operator_row *out)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        read_operator(statement, out);
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
}

enum registry_result operators_open(struct registry *r,
                                    struct operators **out,
                                    struct port_why *why)
{
    enum registry_result result = registry_db_migrate(r, "operators", steps, COUNT_OF(steps), why);
    if (result != REGISTRY_OK) {
        return result;
    }
    struct operators *ops = calloc(1, sizeof *ops);
    INVARIANT(ops != NULL);
    ops->registry = r;
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(registry_db(r), texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &ops->statements[i], NULL);
        if (code != SQLITE_OK) {
            operators_close(ops);
            return registry_db_result(code);
        }
    }
    *out = ops;
    return REGISTRY_OK;
}

void operators_close(struct operators *ops)
{
    if (ops == NULL) {
        return;
    }
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(ops->statements[i]);
    }
    free(ops);
}

/* ---- operators and tokens ---- */

static enum registry_result add_token(struct operators *ops,
                                      int64_t operator_id,
                                      const struct digest *token,
                                      struct slice label,
                                      int64_t at_ms)
{
    sqlite3_stmt *statement = statement_of(ops, TOKEN_ADD);
    bind_digest(statement, 1, token);
    (void)sqlite3_bind_int64(statement, 2, operator_id);
    registry_bind_text(statement, 3, label);
    (void)sqlite3_bind_int64(statement, 4, at_ms);
    return registry_run(statement);
}

enum registry_result operators_add(struct operators *ops, const struct operator_new *what)
{
    INVARIANT(what->name.len > 0 && what->name.len <= OPERATOR_NAME_MAX);
    struct registry_note note = {
        .at_ms = what->at_ms,
        .kind = slice_text("operator-added"),
        .actor = what->actor,
        .object = what->name,
        .detail = slice_text("{}"),
    };
    enum registry_result result = registry_begin(ops->registry);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *statement = statement_of(ops, OPERATOR_ADD);
        registry_bind_text(statement, 1, what->name);
        (void)sqlite3_bind_int64(statement, 2, what->rights);
        (void)sqlite3_bind_int64(statement, 3, what->at_ms);
        result = registry_run(statement);
    }
    if (result == REGISTRY_OK && what->token != NULL) {
        int64_t id = sqlite3_last_insert_rowid(registry_db(ops->registry));
        result = add_token(ops, id, what->token, what->label, what->at_ms);
    }
    result = result == REGISTRY_OK ? registry_note_add(ops->registry, &note) : result;
    return registry_end(ops->registry, result);
}

enum registry_result operators_by_name(struct operators *ops,
                                       struct slice name,
                                       struct operator_row *out)
{
    sqlite3_stmt *statement = statement_of(ops, OPERATOR_BY_NAME);
    registry_bind_text(statement, 1, name);
    return find_operator(statement, out);
}

enum registry_result operators_count(struct operators *ops, uint64_t *count)
{
    sqlite3_stmt *statement = statement_of(ops, OPERATOR_COUNT);
    int code = sqlite3_step(statement);
    *count = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return registry_db_result(code);
}

enum registry_result operators_token_add(struct operators *ops,
                                         int64_t operator_id,
                                         const struct digest *token,
                                         struct slice label,
                                         struct slice actor,
                                         int64_t at_ms)
{
    struct registry_note note = {
        .at_ms = at_ms,
        .kind = slice_text("operator-token-added"),
        .actor = actor,
        .object = label,
        .detail = slice_text("{}"),
    };
    enum registry_result result = registry_begin(ops->registry);
    result = result == REGISTRY_OK ? add_token(ops, operator_id, token, label, at_ms) : result;
    result = result == REGISTRY_OK ? registry_note_add(ops->registry, &note) : result;
    return registry_end(ops->registry, result);
}

enum registry_result operators_by_token(struct operators *ops,
                                        const struct digest *token,
                                        struct operator_row *out)
{
    sqlite3_stmt *statement = statement_of(ops, OPERATOR_BY_TOKEN);
    bind_digest(statement, 1, token);
    return find_operator(statement, out);
}

/* ---- login links and sessions ---- */

enum registry_result operators_link_add(struct operators *ops,
                                        int64_t operator_id,
                                        const struct digest *link,
                                        int64_t at_ms,
                                        int64_t expires_ms,
                                        struct slice actor)
{
    struct registry_note note = {
        .at_ms = at_ms,
        .kind = slice_text("login-link-made"),
        .actor = actor,
        .object = actor,
        .detail = slice_text("{}"),
    };
    enum registry_result result = registry_begin(ops->registry);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *statement = statement_of(ops, LINK_ADD);
        bind_digest(statement, 1, link);
        (void)sqlite3_bind_int64(statement, 2, operator_id);
        (void)sqlite3_bind_int64(statement, 3, expires_ms);
        result = registry_run(statement);
    }
    result = result == REGISTRY_OK ? registry_note_add(ops->registry, &note) : result;
    return registry_end(ops->registry, result);
}

static enum registry_result use_link(struct operators *ops,
                                     const struct digest *link,
                                     int64_t at_ms,
                                     struct operator_row *who)
{
    sqlite3_stmt *get = statement_of(ops, LINK_GET);
    bind_digest(get, 1, link);
    (void)sqlite3_bind_int64(get, 2, at_ms);
    enum registry_result result = find_operator(get, who);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *drop = statement_of(ops, LINK_DELETE);
        bind_digest(drop, 1, link);
        result = registry_run(drop);
    }
    return result;
}

static enum registry_result begin_session(struct operators *ops,
                                          const struct digest *session,
                                          int64_t at_ms,
                                          const struct operator_row *who)
{
    sqlite3_stmt *add = statement_of(ops, SESSION_ADD);
    bind_digest(add, 1, session);
    (void)sqlite3_bind_int64(add, 2, who->id);
    (void)sqlite3_bind_int64(add, 3, at_ms);
    enum registry_result result = registry_run(add);
    struct registry_note note = {
        .at_ms = at_ms,
        .kind = slice_text("session-begun"),
        .actor = slice_text(who->name),
        .object = slice_text(who->name),
        .detail = slice_text("{}"),
    };
    return result == REGISTRY_OK ? registry_note_add(ops->registry, &note) : result;
}

enum registry_result operators_link_take(struct operators *ops,
                                         const struct digest *link,
                                         const struct digest *session,
                                         int64_t at_ms,
                                         struct operator_row *who)
{
    struct operator_row found = {0};
    enum registry_result result = registry_begin(ops->registry);
    result = result == REGISTRY_OK ? use_link(ops, link, at_ms, &found) : result;
    result = result == REGISTRY_OK ? begin_session(ops, session, at_ms, &found) : result;
    result = registry_end(ops->registry, result);
    if (result == REGISTRY_OK) {
        *who = found;
    }
    return result;
}

enum registry_result operators_session_get(struct operators *ops,
                                           const struct digest *session,
                                           struct operator_session *out)
{
    sqlite3_stmt *statement = statement_of(ops, SESSION_GET);
    bind_digest(statement, 1, session);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        read_operator(statement, &out->who);
        out->id = sqlite3_column_int64(statement, 4);
        out->created_ms = sqlite3_column_int64(statement, 5);
        out->used_ms = sqlite3_column_int64(statement, 6);
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
}

enum registry_result operators_session_used(struct operators *ops, int64_t id, int64_t at_ms)
{
    sqlite3_stmt *statement = statement_of(ops, SESSION_USED);
    (void)sqlite3_bind_int64(statement, 1, id);
    (void)sqlite3_bind_int64(statement, 2, at_ms);
    return registry_run(statement);
}

enum registry_result operators_session_end(struct operators *ops,
                                           const struct digest *session,
                                           int64_t at_ms)
{
    struct operator_session ended = {0};
    enum registry_result result = operators_session_get(ops, session, &ended);
    if (result != REGISTRY_OK) {
        return result;
    }
    struct registry_note note = {
        .at_ms = at_ms,
        .kind = slice_text("session-ended"),
        .actor = slice_text(ended.who.name),
        .object = slice_text(ended.who.name),
        .detail = slice_text("{}"),
    };
    result = registry_begin(ops->registry);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *statement = statement_of(ops, SESSION_DELETE);
        bind_digest(statement, 1, session);
        result = registry_run(statement);
    }
    result = result == REGISTRY_OK ? registry_note_add(ops->registry, &note) : result;
    return registry_end(ops->registry, result);
}

enum registry_result operators_sweep(struct operators *ops,
                                     int64_t created_before_ms,
                                     int64_t used_before_ms,
                                     int64_t now_ms)
{
    sqlite3_stmt *sessions = statement_of(ops, SWEEP_SESSIONS);
    (void)sqlite3_bind_int64(sessions, 1, created_before_ms);
    (void)sqlite3_bind_int64(sessions, 2, used_before_ms);
    enum registry_result result = registry_run(sessions);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *links = statement_of(ops, SWEEP_LINKS);
        (void)sqlite3_bind_int64(links, 1, now_ms);
        result = registry_run(links);
    }
    return result;
}
