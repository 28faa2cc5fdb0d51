#include "io/registry.h"
#include "io/sqlite/registry_inside.h"

#include <string.h>

static bool column_text(sqlite3_stmt *statement, int at, char *out, size_t cap)
{
    struct slice text = registry_column(statement, at);
    if (text.len >= cap) {
        return false;
    }
    if (text.len > 0) {
        memcpy(out, text.at, text.len);
    }
    out[text.len] = '\0';
    return true;
}

static bool column_bytes(sqlite3_stmt *statement, int at, void *out, size_t len)
{
    struct slice bytes = registry_column(statement, at);
    if (bytes.len != len) {
        return false;
    }
    memcpy(out, bytes.at, len);
    return true;
}

bool registry_device_row(sqlite3_stmt *statement, struct registry_device *out)
{
    struct registry_device device = {.row = sqlite3_column_int64(statement, 0)};
    int64_t origin = sqlite3_column_int64(statement, 6);
    bool is_good =
        column_bytes(statement, 1, device.id.bytes, sizeof device.id.bytes)
        && column_text(statement, 2, device.name, sizeof device.name)
        && column_text(statement, 3, device.serial, sizeof device.serial)
        && column_text(statement, 4, device.model, sizeof device.model)
        && column_text(statement, 5, device.manufacturer, sizeof device.manufacturer)
        && column_bytes(statement, 7, device.hardware_key.bytes, sizeof device.hardware_key.bytes)
        && identity_state_from_number(sqlite3_column_int64(statement, 8), &device.state)
        && (origin == REGISTRY_HARDWARE || origin == REGISTRY_BUNDLE);
    device.origin = (enum registry_origin)origin;
    device.created_ms = sqlite3_column_int64(statement, 9);
    if (is_good) {
        *out = device;
    }
    return is_good;
}

bool registry_certificate_row(sqlite3_stmt *statement, struct registry_certificate *out)
{
    struct slice serial = registry_column(statement, 2);
    struct slice der = registry_column(statement, 9);
    int64_t state = sqlite3_column_int64(statement, 4);
    int64_t generation = sqlite3_column_int64(statement, 1);
    bool is_good = serial.len > 0 && serial.len <= sizeof out->serial && der.len > 0
                   && der.len <= sizeof out->der && state >= CERTIFICATE_CURRENT
                   && state <= CERTIFICATE_REVOKED && generation > 0 && generation <= UINT32_MAX;
    memset(out, 0, sizeof *out);
    if (!is_good || !column_bytes(statement, 0, out->device.bytes, sizeof out->device.bytes)
        || !column_bytes(statement, 3, out->key.bytes, sizeof out->key.bytes)) {
        return false;
    }
    serial = registry_column(statement, 2);
    memcpy(out->serial, serial.at, serial.len);
    out->serial_len = (uint8_t)serial.len;
    der = registry_column(statement, 9);
    memcpy(out->der, der.at, der.len);
    out->der_len = (uint16_t)der.len;
    out->generation = (uint32_t)generation;
    out->state = (enum certificate_state)state;
    out->not_before_ms = sqlite3_column_int64(statement, 5);
    out->not_after_ms = sqlite3_column_int64(statement, 6);
    out->issued_ms = sqlite3_column_int64(statement, 7);
    out->seen_ms = sqlite3_column_int64(statement, 8);
    return true;
}

static enum registry_result one_device(sqlite3_stmt *statement, struct registry_device *out)
{
    int code = sqlite3_step(statement);
    enum registry_result result =
        code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
    if (code == SQLITE_ROW && !registry_device_row(statement, out)) {
        result = REGISTRY_BROKEN;
    }
    (void)sqlite3_reset(statement);
    return result;
}

enum registry_result registry_device_by_id(struct registry *r,
                                           const struct device_id *id,
                                           struct registry_device *out)
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICE_BY_ID);
    registry_bind_blob(statement, 1, id->bytes, sizeof id->bytes);
    return one_device(statement, out);
}

enum registry_result registry_device_by_name(struct registry *r,
                                             struct slice name,
                                             struct registry_device *out)
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICE_BY_NAME);
    registry_bind_text(statement, 1, name);
    return one_device(statement, out);
}

enum registry_result registry_device_by_hardware_key(struct registry *r,
                                                     const struct digest *key,
                                                     struct registry_device *out)
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICE_BY_KEY);
    registry_bind_blob(statement, 1, key->bytes, sizeof key->bytes);
    return one_device(statement, out);
}

enum registry_result registry_devices_each(struct registry *r,
                                           int64_t after,
                                           bool (*each)(void *context,
                                                        const struct registry_device *device),
                                           void *context)
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICES_AFTER);
    (void)sqlite3_bind_int64(statement, 1, after);
    bool goes_on = true;
    int code = SQLITE_DONE;
    while (goes_on && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct registry_device device;
        if (!registry_device_row(statement, &device)) {
            code = SQLITE_CORRUPT;
            break;
        }
        goes_on = each(context, &device);
    }
    (void)sqlite3_reset(statement);
    return registry_db_result(code);
}

enum registry_result registry_devices_count(struct registry *r,
                                            uint64_t by_state[IDENTITY_STATE_COUNT])
{
    sqlite3_stmt *statement = registry_statement(r, ST_DEVICES_COUNT);
    int code = SQLITE_DONE;
    memset(by_state, 0, IDENTITY_STATE_COUNT * sizeof by_state[0]);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        enum identity_state state;
        if (!identity_state_from_number(sqlite3_column_int64(statement, 0), &state)) {
            code = SQLITE_CORRUPT;
            break;
        }
        by_state[state] = (uint64_t)sqlite3_column_int64(statement, 1);
    }
    (void)sqlite3_reset(statement);
    return registry_db_result(code);
}

static enum registry_result one_certificate(sqlite3_stmt *statement,
                                            struct registry_certificate *out)
{
    int code = sqlite3_step(statement);
    enum registry_result result =
        code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
    if (code == SQLITE_ROW && !registry_certificate_row(statement, out)) {
        result = REGISTRY_BROKEN;
    }
    (void)sqlite3_reset(statement);
    return result;
}

enum registry_result registry_certificate_by_key(struct registry *r,
                                                 const struct digest *key,
                                                 struct registry_certificate *out)
{
    sqlite3_stmt *statement = registry_statement(r, ST_CERT_BY_KEY);
    registry_bind_blob(statement, 1, key->bytes, sizeof key->bytes);
    return one_certificate(statement, out);
}

enum registry_result registry_certificate_by_serial(struct registry *r,
                                                    struct slice serial,
                                                    struct registry_certificate *out)
{
    sqlite3_stmt *statement = registry_statement(r, ST_CERT_BY_SERIAL);
    registry_bind_blob(statement, 1, serial.at, serial.len);
    return one_certificate(statement, out);
}

enum registry_result registry_certificates_each(
    struct registry *r,
    const struct device_id *device,
    bool (*each)(void *context, const struct registry_certificate *certificate),
    void *context)
{
    sqlite3_stmt *statement = registry_statement(r, ST_CERTS_OF);
    registry_bind_blob(statement, 1, device->bytes, sizeof device->bytes);
    bool goes_on = true;
    int code = SQLITE_DONE;
    while (goes_on && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct registry_certificate certificate;
        if (!registry_certificate_row(statement, &certificate)) {
            code = SQLITE_CORRUPT;
            break;
        }
        goes_on = each(context, &certificate);
    }
    (void)sqlite3_reset(statement);
    return registry_db_result(code);
}

enum registry_result registry_certificates_since(struct registry *r,
                                                 const struct device_id *device,
                                                 int64_t since_ms,
                                                 uint64_t *count)
{
    sqlite3_stmt *statement = registry_statement(r, ST_CERTS_SINCE);
    registry_bind_blob(statement, 1, device->bytes, sizeof device->bytes);
    (void)sqlite3_bind_int64(statement, 2, since_ms);
    int code = sqlite3_step(statement);
    *count = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW ? REGISTRY_OK : REGISTRY_BROKEN;
}

enum registry_result registry_entries_each(struct registry *r,
                                           struct slice object,
                                           int64_t before,
                                           bool (*each)(void *context,
                                                        const struct registry_entry *entry),
                                           void *context)
{
    sqlite3_stmt *statement = registry_statement(r, object.len > 0 ? ST_ENTRIES_OF : ST_ENTRIES);
    (void)sqlite3_bind_int64(statement, 1, before);
    if (object.len > 0) {
        registry_bind_text(statement, 2, object);
    }
    bool goes_on = true;
    int code = SQLITE_DONE;
    while (goes_on && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct registry_entry entry = {
            .index = sqlite3_column_int64(statement, 0),
            .at_ms = sqlite3_column_int64(statement, 1),
            .kind = registry_column(statement, 2),
            .actor = registry_column(statement, 3),
            .object = registry_column(statement, 4),
            .detail = registry_column(statement, 5),
        };
        goes_on = each(context, &entry);
    }
    (void)sqlite3_reset(statement);
    return registry_db_result(code);
}

enum registry_result registry_last_entry(struct registry *r, int64_t *index)
{
    sqlite3_stmt *statement = registry_statement(r, ST_LAST_ENTRY);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *index = sqlite3_column_int64(statement, 0);
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_DONE ? REGISTRY_BROKEN : registry_db_result(code);
}

enum registry_result registry_trust_list(struct registry *r,
                                         uint64_t *number,
                                         struct writer *payload,
                                         struct writer *bytes)
{
    sqlite3_stmt *statement = registry_statement(r, ST_TRUST_LAST);
    int code = sqlite3_step(statement);
    enum registry_result result =
        code == SQLITE_DONE ? REGISTRY_NOT_FOUND : registry_db_result(code);
    if (code == SQLITE_ROW) {
        *number = (uint64_t)sqlite3_column_int64(statement, 0);
        write_slice(payload, registry_column(statement, 1));
        write_slice(bytes, registry_column(statement, 2));
        result = writer_ok(payload) && writer_ok(bytes) ? REGISTRY_OK : REGISTRY_BROKEN;
    }
    (void)sqlite3_reset(statement);
    return result;
}
