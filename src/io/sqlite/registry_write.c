/* Every change: one transaction, its entry in it. */
#include "base/invariant.h"
#include "io/registry.h"
#include "io/sqlite/registry_inside.h"

#include <string.h>

enum { LIVE_GENERATIONS_MAX = 2 };

enum registry_result registry_note_add(struct registry *r, const struct registry_note *note)
{
    sqlite3_stmt *statement = registry_statement(r, ST_ENTRY_ADD);
    INVARIANT(note->detail.len <= REGISTRY_DETAIL_MAX);
    (void)sqlite3_bind_int64(statement, 1, note->at_ms);
    registry_bind_text(statement, 2, note->kind);
    registry_bind_text(statement, 3, note->actor);
    registry_bind_text(statement, 4, note->object);
    registry_bind_text(statement, 5, note->detail);
    return registry_run(statement);
}

enum registry_result registry_append(struct registry *r, const struct registry_note *note)
{
    enum registry_result result = registry_begin(r);
    result = result == REGISTRY_OK ? registry_note_add(r, note) : result;
    return registry_end(r, result);
}

static enum registry_result add_device(struct registry *r, struct registry_device *device)
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICE_ADD);
    registry_bind_blob(statement, 1, device->id.bytes, sizeof device->id.bytes);
    registry_bind_text(statement, 2, slice_text(device->name));
    registry_bind_text(statement, 3, slice_text(device->serial));
    registry_bind_text(statement, 4, slice_text(device->model));
    registry_bind_text(statement, 5, slice_text(device->manufacturer));
    (void)sqlite3_bind_int64(statement, 6, device->origin);
    registry_bind_blob(statement, 7, device->hardware_key.bytes, sizeof device->hardware_key.bytes);
    (void)sqlite3_bind_int64(statement, 8, device->state);
    (void)sqlite3_bind_int64(statement, 9, device->created_ms);
    enum registry_result result = registry_run(statement);
    if (result == REGISTRY_OK) {
        device->row = sqlite3_last_insert_rowid(r->db);
    }
    return result;
}

enum registry_result registry_device_create(struct registry *r,
                                            struct registry_device *device,
                                            const struct registry_note *note)
{
    enum registry_result result = registry_begin(r);
    result = result == REGISTRY_OK ? add_device(r, device) : result;
    result = result == REGISTRY_OK ? registry_note_add(r, note) : result;
    return registry_end(r, result);
}

static enum registry_result move_device(struct registry *r,
                                        const struct device_id *id,
                                        enum identity_state from,
                                        enum identity_state to)
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICE_MOVE);
    registry_bind_blob(statement, 1, id->bytes, sizeof id->bytes);
    (void)sqlite3_bind_int64(statement, 2, from);
    (void)sqlite3_bind_int64(statement, 3, to);
    enum registry_result result = registry_run(statement);
    return result == REGISTRY_OK && sqlite3_changes(r->db) != 1 ? REGISTRY_STALE : result;
}

enum registry_result registry_device_move(struct registry *r,
                                          const struct device_id *id,
                                          enum identity_state from,
                                          enum identity_state to,
                                          const struct registry_note *note)
{
    enum registry_result result = registry_begin(r);
    result = result == REGISTRY_OK ? move_device(r, id, from, to) : result;
    result = result == REGISTRY_OK ? registry_note_add(r, note) : result;
    return registry_end(r, result);
}

enum registry_result registry_device_rename(struct registry *r,
                                            const struct device_id *id,
                                            struct slice name,
                                            const struct registry_note *note)
{
    enum registry_result result = registry_begin(r);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *statement = registry_statement(r, ST_DEVICE_RENAME);
        registry_bind_blob(statement, 1, id->bytes, sizeof id->bytes);
        registry_bind_text(statement, 2, name);
        result = registry_run(statement);
    }
    if (result == REGISTRY_OK && sqlite3_changes(r->db) != 1) {
        result = REGISTRY_NOT_FOUND;
    }
    result = result == REGISTRY_OK ? registry_note_add(r, note) : result;
    return registry_end(r, result);
}

/* One number of a device; 0 where there is no row. */
static enum registry_result read_number(struct registry *r,
                                        enum registry_statement which,
                                        const struct device_id *device,
                                        int64_t *number)
{
    sqlite3_stmt *statement = registry_statement(r, which);
    registry_bind_blob(statement, 1, device->bytes, sizeof device->bytes);
    int code = sqlite3_step(statement);
    *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return registry_db_result(code);
}

static enum registry_result change_generations(struct registry *r,
                                               enum registry_statement which,
                                               const struct device_id *device,
                                               int64_t generation)
{
    sqlite3_stmt *statement = registry_statement(r, which);
    registry_bind_blob(statement, 1, device->bytes, sizeof device->bytes);
    (void)sqlite3_bind_int64(statement, 2, generation);
    return registry_run(statement);
}

/* One older certificate stays accepted until the new one was seen: the one the device is known to
 * hold. */
static enum registry_result make_room(struct registry *r,
                                      const struct device_id *device,
                                      int64_t *generation)
{
    int64_t kept = 0;
    enum registry_result result = read_number(r, ST_CERT_NEXT, device, generation);
    result = result == REGISTRY_OK ? read_number(r, ST_CERT_KEPT, device, &kept) : result;
    result = result == REGISTRY_OK ? change_generations(r, ST_CERTS_SUPERSEDE, device, *generation)
                                   : result;
    return result == REGISTRY_OK ? change_generations(r, ST_CERT_SET_PREVIOUS, device, kept)
                                 : result;
}

static enum registry_result add_certificate(struct registry *r,
                                            const struct registry_certificate *c)
{
    sqlite3_stmt *statement = registry_statement(r, ST_CERT_ADD);
    registry_bind_blob(statement, 1, c->device.bytes, sizeof c->device.bytes);
    (void)sqlite3_bind_int64(statement, 2, c->generation);
    registry_bind_blob(statement, 3, c->serial, c->serial_len);
    registry_bind_blob(statement, 4, c->key.bytes, sizeof c->key.bytes);
    (void)sqlite3_bind_int64(statement, 5, CERTIFICATE_CURRENT);
    (void)sqlite3_bind_int64(statement, 6, c->not_before_ms);
    (void)sqlite3_bind_int64(statement, 7, c->not_after_ms);
    (void)sqlite3_bind_int64(statement, 8, c->issued_ms);
    (void)sqlite3_bind_int64(statement, 9, c->seen_ms);
    registry_bind_blob(statement, 10, c->der, c->der_len);
    return registry_run(statement);
}

static enum registry_result set_state(struct registry *r,
                                      const struct device_id *device,
                                      enum identity_state to)
{
    enum registry_result result = change_generations(r, ST_DEVICE_SET_STATE, device, to);
    return result == REGISTRY_OK && sqlite3_changes(r->db) != 1 ? REGISTRY_NOT_FOUND : result;
}

static enum registry_result check_generations(struct registry *r, const struct device_id *device)
{
    int64_t live = 0;
    enum registry_result result = read_number(r, ST_CERTS_LIVE, device, &live);
    if (result == REGISTRY_OK
        && !promise_holds(PROMISE_ONE_IDENTITY, live <= LIVE_GENERATIONS_MAX)) {
        return REGISTRY_BROKEN;
    }
    return result;
}

enum registry_result registry_certificate_issue(struct registry *r,
                                                struct registry_device *create,
                                                struct registry_certificate *certificate,
                                                enum identity_state from,
                                                enum identity_state to,
                                                const struct registry_note *note)
{
    int64_t generation = 0;
    const struct device_id *device = &certificate->device;
    enum registry_result result = registry_begin(r);
    if (result == REGISTRY_OK && create != NULL) {
        INVARIANT(device_id_equal(&create->id, device));
        result = add_device(r, create);
    }
    result = result == REGISTRY_OK ? make_room(r, device, &generation) : result;
    certificate->generation = (uint32_t)generation;
    certificate->state = CERTIFICATE_CURRENT;
    result = result == REGISTRY_OK ? add_certificate(r, certificate) : result;
    result = result == REGISTRY_OK ? move_device(r, device, from, to) : result;
    result = result == REGISTRY_OK ? registry_note_add(r, note) : result;
    result = result == REGISTRY_OK ? check_generations(r, device) : result;
    return registry_end(r, result);
}

static bool is_waiting(enum identity_state state)
{
    return state == IDENTITY_ENROLLED || state == IDENTITY_REENROLLING;
}

static enum registry_result mark_seen(struct registry *r,
                                      const struct registry_certificate *certificate,
                                      const struct registry_device *device,
                                      int64_t at_ms,
                                      const struct registry_note *note)
{
    sqlite3_stmt *statement = registry_statement(r, ST_CERT_SEEN);
    registry_bind_blob(statement, 1, certificate->serial, certificate->serial_len);
    (void)sqlite3_bind_int64(statement, 2, at_ms);
    enum registry_result result = registry_run(statement);
    bool is_changed = sqlite3_changes(r->db) > 0;
    result = result == REGISTRY_OK ? change_generations(r, ST_CERTS_SUPERSEDE, &certificate->device,
                                                        certificate->generation)
                                   : result;
    is_changed = is_changed || sqlite3_changes(r->db) > 0;
    if (result == REGISTRY_OK && is_waiting(device->state)) {
        result = set_state(r, &certificate->device, IDENTITY_ACTIVE);
        is_changed = true;
    }
    return result == REGISTRY_OK && is_changed ? registry_note_add(r, note) : result;
}

enum registry_result registry_certificate_seen(struct registry *r,
                                               struct slice serial,
                                               int64_t at_ms,
                                               const struct registry_note *note)
{
    struct registry_certificate certificate;
    struct registry_device device;
    enum registry_result result = registry_certificate_by_serial(r, serial, &certificate);
    result =
        result == REGISTRY_OK ? registry_device_by_id(r, &certificate.device, &device) : result;
    if (result != REGISTRY_OK) {
        return result;
    }
    /* The usual case costs no write: it was seen before, and nothing waits for that. */
    bool is_known = certificate.state == CERTIFICATE_CURRENT && certificate.seen_ms != 0
                    && !is_waiting(device.state);
    bool is_live =
        certificate.state == CERTIFICATE_CURRENT || certificate.state == CERTIFICATE_PREVIOUS;
    if (is_known || !is_live) {
        return REGISTRY_OK;
    }
    result = registry_begin(r);
    result = result == REGISTRY_OK ? mark_seen(r, &certificate, &device, at_ms, note) : result;
    return registry_end(r, result);
}

enum registry_result registry_trust_list_add(struct registry *r,
                                             uint64_t number,
                                             struct slice payload,
                                             struct slice bytes,
                                             const struct registry_note *note)
{
    enum registry_result result = registry_begin(r);
    if (result == REGISTRY_OK) {
        sqlite3_stmt *statement = registry_statement(r, ST_TRUST_ADD);
        (void)sqlite3_bind_int64(statement, 1, (int64_t)number);
        (void)sqlite3_bind_int64(statement, 2, note->at_ms);
        registry_bind_blob(statement, 3, payload.at, payload.len);
        registry_bind_blob(statement, 4, bytes.at, bytes.len);
        result = registry_run(statement);
    }
    if (result == REGISTRY_OK && sqlite3_changes(r->db) != 1) {
        result = REGISTRY_STALE;
    }
    result = result == REGISTRY_OK ? registry_note_add(r, note) : result;
    return registry_end(r, result);
}
