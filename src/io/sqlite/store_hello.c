/*
 * Who spoke for a device, and where: the hellos of its boots, the certificates they were signed
 * with, and its links.
 */
#include "base/invariant.h"
#include "io/sqlite/store_db.h"

#include <string.h>

/* ---- hellos ---- */

static enum store_result read_hello(struct store *st, sqlite3_stmt *s, struct store_hello *out)
{
    *out = (struct store_hello){.boot = (uint32_t)sqlite3_column_int64(s, 0),
                                .first = (uint64_t)sqlite3_column_int64(s, 1),
                                .received_ms = sqlite3_column_int64(s, 4)};
    if (!column_bytes(s, 2, out->ephemeral, sizeof out->ephemeral)
        || !column_bytes(s, 3, out->key_id, sizeof out->key_id)) {
        return store_damaged(st, "a hello");
    }
    return STORE_OK;
}

enum store_result store_hellos(struct store *st,
                               const struct device_id *device,
                               uint32_t up_to,
                               struct store_hello *out,
                               size_t cap,
                               size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_HELLO_LIST);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, up_to);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        result = read_hello(st, s, &out[*count]);
        if (result == STORE_OK) {
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

static enum store_result one_number(struct store *st, sqlite3_stmt *s, int64_t *out)
{
    enum store_result result = store_row(st, s);
    if (result == STORE_OK) {
        *out = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
    }
    return result;
}

enum store_result store_hello_around(struct store *st,
                                     const struct device_id *device,
                                     uint32_t boot,
                                     struct store_hello_around *out)
{
    struct store_hello at_most[2]; /* the one itself, if it is there, and the next lower */
    size_t count = 0;
    int64_t number = 0;
    *out = (struct store_hello_around){.above_first = UINT64_MAX};
    enum store_result result = store_hellos(st, device, boot, at_most, COUNT_OF(at_most), &count);
    if (result != STORE_OK) {
        return result;
    }
    out->is_known = count > 0 && at_most[0].boot == boot;
    out->hello = out->is_known ? at_most[0] : out->hello;
    size_t below = out->is_known ? 1 : 0;
    out->below_first = below < count ? at_most[below].first : 0;
    sqlite3_stmt *s = store_statement(st, SQL_HELLO_ABOVE);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, boot);
    result = one_number(st, s, &number);
    if (result == STORE_OK) {
        out->above_first = (uint64_t)number;
    }
    if (count == 0 && (result == STORE_OK || result == STORE_NOT_FOUND)) {
        s = store_statement(st, SQL_HELLO_COUNT);
        bind_device(s, 1, device);
        result = one_number(st, s, &number);
        out->is_stale = number >= (int64_t)st->limits.hellos_per_device_max;
    }
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

enum store_result store_hello_put(struct store *st,
                                  const struct device_id *device,
                                  const struct store_hello *hello,
                                  uint32_t *expired)
{
    INVARIANT(st->in_transaction);
    int64_t surplus = 0;
    sqlite3_stmt *s = store_statement(st, SQL_HELLO_PUT);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, hello->boot);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)hello->first);
    bind_bytes(s, 4, hello->ephemeral, sizeof hello->ephemeral);
    bind_bytes(s, 5, hello->key_id, sizeof hello->key_id);
    (void)sqlite3_bind_int64(s, 6, hello->received_ms);
    enum store_result result = store_run(st, s);
    if (result == STORE_OK) {
        s = store_statement(st, SQL_HELLO_SURPLUS);
        bind_device(s, 1, device);
        (void)sqlite3_bind_int64(s, 2, st->limits.hellos_per_device_max);
        result = one_number(st, s, &surplus);
    }
    if (result == STORE_OK) {
        s = store_statement(st, SQL_HELLO_TRIM);
        bind_device(s, 1, device);
        (void)sqlite3_bind_int64(s, 2, surplus);
        result = store_run(st, s);
    }
    *expired = (uint32_t)surplus;
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* ---- certificates ---- */

enum store_result store_certificate_seen(struct store *st,
                                         const struct device_id *device,
                                         const struct store_certificate *certificate)
{
    INVARIANT(st->in_transaction);
    sqlite3_stmt *s = store_statement(st, SQL_CERTIFICATE_ADD);
    bind_device(s, 1, device);
    bind_bytes(s, 2, certificate->key.bytes, sizeof certificate->key.bytes);
    bind_bytes(s, 3, certificate->serial, certificate->serial_len);
    (void)sqlite3_bind_int64(s, 4, certificate->seen_ms);
    (void)sqlite3_bind_int64(s, 5, certificate->boot);
    enum store_result result = store_run(st, s);
    if (result == STORE_OK) {
        s = store_statement(st, SQL_CERTIFICATE_TRIM);
        bind_device(s, 1, device);
        (void)sqlite3_bind_int(s, 2, STORE_CERTIFICATES_PER_DEVICE);
        result = store_run(st, s);
    }
    return result;
}

enum store_result store_certificates(struct store *st,
                                     const struct device_id *device,
                                     struct store_certificate out[STORE_CERTIFICATES_PER_DEVICE],
                                     size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_CERTIFICATE_LIST);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int(s, 2, STORE_CERTIFICATES_PER_DEVICE);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < STORE_CERTIFICATES_PER_DEVICE) {
        struct store_certificate *c = &out[*count];
        struct slice serial = column_slice(s, 1);
        *c = (struct store_certificate){.seen_ms = sqlite3_column_int64(s, 2),
                                        .boot = (uint32_t)sqlite3_column_int64(s, 3)};
        if (!column_bytes(s, 0, c->key.bytes, sizeof c->key.bytes)
            || serial.len > sizeof c->serial) {
            result = store_damaged(st, "a certificate that was seen");
        } else {
            c->serial_len = (uint8_t)serial.len;
            if (serial.len > 0) {
                memcpy(c->serial, serial.at, serial.len);
            }
            (*count)++;
            result = store_row(st, s);
        }
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}

/* ---- links ---- */

enum store_result store_link_begin(struct store *st,
                                   const struct device_id *device,
                                   const char *gateway,
                                   int64_t from_ms)
{
    INVARIANT(st->in_transaction);
    enum store_result result =
        store_link_end(st, device, gateway, from_ms, "replaced by a newer link");
    if (result == STORE_OK) {
        sqlite3_stmt *s = store_statement(st, SQL_LINK_ADD);
        bind_device(s, 1, device);
        bind_text(s, 2, gateway);
        (void)sqlite3_bind_int64(s, 3, from_ms);
        result = store_run(st, s);
    }
    if (result == STORE_OK) {
        sqlite3_stmt *s = store_statement(st, SQL_LINK_TRIM);
        bind_device(s, 1, device);
        (void)sqlite3_bind_int(s, 2, STORE_LINKS_PER_DEVICE);
        result = store_run(st, s);
    }
    return result;
}

enum store_result store_link_end(struct store *st,
                                 const struct device_id *device,
                                 const char *gateway,
                                 int64_t to_ms,
                                 const char *why)
{
    INVARIANT(st->in_transaction);
    sqlite3_stmt *s = store_statement(st, SQL_LINK_END);
    bind_device(s, 1, device);
    bind_text(s, 2, gateway);
    (void)sqlite3_bind_int64(s, 3, to_ms);
    bind_text(s, 4, why);
    return store_run(st, s);
}

enum store_result store_links(struct store *st,
                              const struct device_id *device,
                              int64_t before_id,
                              struct store_link *out,
                              size_t cap,
                              size_t *count)
{
    sqlite3_stmt *s = store_statement(st, SQL_LINK_LIST);
    bind_device(s, 1, device);
    (void)sqlite3_bind_int64(s, 2, before_id > 0 ? before_id : INT64_MAX);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)cap);
    *count = 0;
    enum store_result result = store_row(st, s);
    while (result == STORE_OK && *count < cap) {
        struct store_link *link = &out[*count];
        memset(link, 0, sizeof *link);
        link->id = sqlite3_column_int64(s, 0);
        column_text(s, 1, link->gateway, sizeof link->gateway);
        link->from_ms = sqlite3_column_int64(s, 2);
        link->has_ended = sqlite3_column_type(s, 3) != SQLITE_NULL;
        link->to_ms = sqlite3_column_int64(s, 3);
        column_text(s, 4, link->why, sizeof link->why);
        (*count)++;
        result = store_row(st, s);
    }
    (void)sqlite3_reset(s);
    return result == STORE_NOT_FOUND ? STORE_OK : result;
}
