/*
 * Devices, and messages that wait for a hello.
 */
#include "base/invariant.h"
#include "io/sqlite/store_db.h"

#include <string.h>

/* ---- devices ---- */

static enum store_result read_device(struct store *st, sqlite3_stmt *s, struct store_device *out)
{
    memset(out, 0, sizeof *out);
    if (!column_bytes(s, 0, out->device.bytes, sizeof out->device.bytes)
        || received_report_decode(column_slice(s, 17), &out->received) != RECEIVED_REPORT_OK) {
        return store_damaged(st, "the row of a device");
    }
    struct slice links = column_slice(s, 18);
    if (links.len > sizeof out->links) {
        return store_damaged(st, "the links of a device");
    }
    out->links_len = links.len;
    if (links.len > 0) {
        memcpy(out->links, links.at, links.len);
    }
    struct slice certificate = column_slice(s, 19);
    if (certificate.len != 0 && !column_bytes(s, 19, out->certificate.bytes, DIGEST_LEN)) {
        return store_damaged(st, "the certificate of a device");
    }
    out->change = (uint64_t)sqlite3_column_int64(s, 1);
    column_text(s, 2, out->gateway, sizeof out->gateway);
    out->connected = sqlite3_column_int(s, 3) != 0;
    out->linked_ms = sqlite3_column_int64(s, 4);
    out->seen_ms = sqlite3_column_int64(s, 5);
    out->boot = (uint32_t)sqlite3_column_int64(s, 6);
    out->boots = (uint32_t)sqlite3_column_int64(s, 7);
    out->hello_ms = sqlite3_column_int64(s, 8);
    column_text(s, 9, out->agent, sizeof out->agent);
    out->has_clock_offset = sqlite3_column_type(s, 10) != SQLITE_NULL;
    out->clock_offset_ms = sqlite3_column_int64(s, 10);
    out->clock_quality = (enum time_quality)sqlite3_column_int(s, 11);
    out->messages = (uint64_t)sqlite3_column_int64(s, 12);
    out->points = (uint64_t)sqlite3_column_int64(s, 13);
    out->dead_letters = (uint64_t)sqlite3_column_int64(s, 14);
    out->dead_letter_ms = sqlite3_column_int64(s, 15);
    out->link_mismatches = (uint64_t)sqlite3_column_int64(s, 16);
    return STORE_OK;
}

enum store_result store_device_get(struct store *st,
                                   const struct device_id *device,
                                   struct store_device *out)
{
    sqlite3_stmt *s = store_statement(st, SQL_DEVICE_GET);
    bind_device(s, 1, device);
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        result = read_device(st, s, out);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_devices_since(
    struct store *st, uint64_t since, struct store_device *out, size_t cap, size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_DEVICES_SINCE);
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)since);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        result = read_device(st, s, &out[*count]);
        if (result == STORE_OK) {
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_devices_connected(struct store *st,
                                          const char *gateway,
                                          int64_t after,
                                          struct store_connected *out,
                                          size_t cap,
                                          size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_LINKED_LIST);
    (void)sqlite3_bind_int64(s, 1, after);
    bind_text(s, 2, gateway);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        out[*count].row = sqlite3_column_int64(s, 0);
        if (!column_bytes(s, 1, out[*count].device.bytes, sizeof out[*count].device.bytes)) {
            result = store_damaged(st, "the row of a device");
        } else {
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_device_put(struct store *st, const struct store_device *row)
{
    uint8_t received[RECEIVED_REPORT_MAX];
    struct writer w = writer_over(received, sizeof received);
    INVARIANT(st->in_transaction);
    if (!HOLDS(received_report_encode(&row->received, &w) == RECEIVED_REPORT_OK)) {
        return store_damaged(st, "a received set to be written");
    }
    sqlite3_stmt *s = store_statement(st, SQL_DEVICE_PUT);
    bind_device(s, 1, &row->device);
    (void)sqlite3_bind_int64(s, 2, (sqlite3_int64)store_next_change(st));
    bind_text(s, 3, row->gateway);
    (void)sqlite3_bind_int(s, 4, row->connected);
    (void)sqlite3_bind_int64(s, 5, row->linked_ms);
    (void)sqlite3_bind_int64(s, 6, row->seen_ms);
    (void)sqlite3_bind_int64(s, 7, row->boot);
    (void)sqlite3_bind_int64(s, 8, row->boots);
    (void)sqlite3_bind_int64(s, 9, row->hello_ms);
    bind_text(s, 10, row->agent);
    if (row->has_clock_offset) {
        (void)sqlite3_bind_int64(s, 11, row->clock_offset_ms);
    }
    (void)sqlite3_bind_int(s, 12, (int)row->clock_quality);
    (void)sqlite3_bind_int64(s, 13, (sqlite3_int64)row->messages);
    (void)sqlite3_bind_int64(s, 14, (sqlite3_int64)row->points);
    (void)sqlite3_bind_int64(s, 15, (sqlite3_int64)row->dead_letters);
    (void)sqlite3_bind_int64(s, 16, row->dead_letter_ms);
    (void)sqlite3_bind_int64(s, 17, (sqlite3_int64)row->link_mismatches);
    bind_bytes(s, 18, received, w.len);
    bind_bytes(s, 19, row->links, row->links_len);
    bind_bytes(s, 20, row->certificate.bytes, sizeof row->certificate.bytes);
    return store_run(st, s);
}

/* ---- waiting ---- */

enum store_result store_waiting_add(struct store *st,
                                    const struct device_id *device,
                                    uint32_t boot,
                                    const char *gateway,
                                    struct slice record)
{
    INVARIANT(st->in_transaction);
    if (st->waiting >= st->limits.waiting_max) {
        return STORE_TOO_MANY;
    }
    sqlite3_stmt *s = store_statement(st, SQL_WAITING_COUNT);
    bind_device(s, 1, device);
    enum store_result result = store_row(st, s);
    if (result != STORE_OK) {
        return result;
    }
    bool has_room = sqlite3_column_int64(s, 0) < (int64_t)st->limits.waiting_per_device_max;
    (void)sqlite3_reset(s);
    if (!has_room) {
        return STORE_TOO_MANY;
    }
    s = store_statement(st, SQL_WAITING_ADD);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, boot);
    bind_text(s, 3, gateway);
    bind_bytes(s, 4, record.at, record.len);
    result = store_run(st, s);
    st->waiting += result == STORE_OK;
    return result;
}

/* The row that `s` finds leaves the table. */
static enum store_result take_waiting(struct store *st,
                                      sqlite3_stmt *s,
                                      char gateway[STORE_GATEWAY_MAX + 1],
                                      struct writer *w)
{
    INVARIANT(st->in_transaction);
    enum store_result result = store_row(st, s);
    if (result != STORE_OK) {
        return result;
    }
    int64_t id = sqlite3_column_int64(s, 0);
    column_text(s, 1, gateway, STORE_GATEWAY_MAX + 1);
    write_slice(w, column_slice(s, 2));
    (void)sqlite3_reset(s);
    if (!writer_ok(w)) {
        return store_damaged(st, "a waiting message is longer than a record can be");
    }
    s = store_statement(st, SQL_WAITING_DELETE);
    (void)sqlite3_bind_int64(s, 1, id);
    result = store_run(st, s);
    st->waiting -= result == STORE_OK && st->waiting > 0;
    return result;
}

enum store_result store_waiting_take(struct store *st,
                                     const struct device_id *device,
                                     uint32_t boot,
                                     char gateway[STORE_GATEWAY_MAX + 1],
                                     struct writer *w)
{
    sqlite3_stmt *s = store_statement(st, SQL_WAITING_NEXT);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, boot);
    return take_waiting(st, s, gateway, w);
}

enum store_result store_waiting_expire(struct store *st,
                                       const struct device_id *device,
                                       uint32_t boot,
                                       char gateway[STORE_GATEWAY_MAX + 1],
                                       struct writer *w)
{
    sqlite3_stmt *s = store_statement(st, device != NULL ? SQL_WAITING_OLDER : SQL_WAITING_OLDEST);
    if (device != NULL) {
        bind_device(s, 1, device);
        (void)sqlite3_bind_int64(s, 2, boot);
    }
    return take_waiting(st, s, gateway, w);
}

uint64_t store_waiting_count(const struct store *st)
{
    return st->waiting;
}
