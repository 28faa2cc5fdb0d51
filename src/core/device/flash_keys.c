#include "core/device/flash_keys.h"

#include "base/invariant.h"
#include "base/reader.h"
#include "base/writer.h"

#include <string.h>

/* Record: version; key and certificate of the identity, of the renewed one, the next key, each with
 * its length. */
enum { VERSION = 1 };

/* ---- the record ---- */

static void read_key(struct reader *r, struct flash_key *out)
{
    struct slice bytes = read_prefixed_u16(r);
    if (bytes.len > sizeof out->bytes) {
        reader_fail(r);
        return;
    }
    out->len = (uint16_t)bytes.len;
    if (bytes.len > 0) {
        memcpy(out->bytes, bytes.at, bytes.len);
    }
}

static void read_identity(struct reader *r, struct flash_identity *out)
{
    read_key(r, &out->key);
    struct slice bytes = read_prefixed_u16(r);
    if (bytes.len > sizeof out->certificate || (bytes.len == 0) != (out->key.len == 0)) {
        reader_fail(r);
        return;
    }
    out->certificate_len = (uint16_t)bytes.len;
    if (bytes.len > 0) {
        memcpy(out->certificate, bytes.at, bytes.len);
    }
}

/* A renewed identity has one to renew. */
static bool decode(struct slice body, struct flash_keys *k)
{
    struct reader r = reader_over(body);
    uint8_t version = read_u8(&r);
    read_identity(&r, &k->own);
    read_identity(&r, &k->renewed);
    read_key(&r, &k->next);
    return reader_done(&r) && version == VERSION && (k->renewed.key.len == 0 || k->own.key.len > 0);
}

/* ---- starting ---- */

void flash_keys_init(struct flash_keys *k,
                     const struct flash_log_limits *limits,
                     struct flash_block *blocks,
                     uint8_t *buffer,
                     uint8_t *record,
                     size_t record_cap,
                     uint32_t start)
{
    INVARIANT(limits->kind == FLASH_KEYS_KIND && limits->replaces);
    *k = (struct flash_keys){.record = record, .record_cap = record_cap};
    flash_log_init(&k->log, limits, blocks, buffer, start);
}

bool flash_keys_wants(const struct flash_keys *k, struct flash_order *out)
{
    if (flash_log_wants(&k->log, out)) {
        return true;
    }
    if (k->state == FLASH_KEYS_STARTING) {
        *out =
            (struct flash_order){.kind = FLASH_READ, .block = k->log.newest, .to = k->log.buffer};
        return true;
    }
    return false;
}

void flash_keys_wipe(struct flash_keys *k)
{
    wipe(&k->own, sizeof k->own);
    wipe(&k->renewed, sizeof k->renewed);
    wipe(&k->next, sizeof k->next);
    wipe(k->record, k->record_cap);
    wipe(k->log.buffer, k->log.limits.block_len);
}

void flash_keys_did(struct flash_keys *k)
{
    struct flash_order order;
    uint64_t position;
    struct slice body;
    if (flash_log_wants(&k->log, &order)) {
        flash_log_did(&k->log);
        if (k->log.phase == FLASH_RESTS && k->log.is_fresh && k->state == FLASH_KEYS_STARTING) {
            k->state = FLASH_KEYS_NONE;
        }
    } else if (flash_log_read(&k->log, k->log.newest,
                              slice_of(k->log.buffer, k->log.limits.block_len), k->log.done,
                              &position, &body)
               && decode(body, k)) {
        k->state = FLASH_KEYS_HELD;
    } else {
        flash_keys_wipe(k);
        k->state = FLASH_KEYS_DAMAGED;
    }
    if (!flash_keys_wants(k, &order)) { /* it has been read, or written */
        wipe(k->log.buffer, k->log.limits.block_len);
        wipe(k->record, k->record_cap);
    }
}

/* ---- changes ---- */

static const struct slice none;

static struct slice key_of(const struct flash_key *key)
{
    return slice_of(key->bytes, key->len);
}

static struct slice certificate_of(const struct flash_identity *identity)
{
    return slice_of(identity->certificate, identity->certificate_len);
}

static enum flash_keys_result store(struct flash_keys *k,
                                    struct slice own_key,
                                    struct slice own_certificate,
                                    struct slice renewed_key,
                                    struct slice renewed_certificate,
                                    struct slice next)
{
    uint64_t position;
    struct writer w = writer_over(k->record, k->record_cap);
    INVARIANT(k->state != FLASH_KEYS_STARTING);
    write_u8(&w, VERSION);
    write_prefixed_u16(&w, own_key);
    write_prefixed_u16(&w, own_certificate);
    write_prefixed_u16(&w, renewed_key);
    write_prefixed_u16(&w, renewed_certificate);
    write_prefixed_u16(&w, next);
    if (!writer_ok(&w) || flash_log_append(&k->log, writer_slice(&w), &position) != FLASH_LOG_OK) {
        wipe(k->record, k->record_cap);
        return FLASH_KEYS_TOO_LONG;
    }
    k->state = FLASH_KEYS_HELD;
    return FLASH_KEYS_OK;
}

enum flash_keys_result flash_keys_next(struct flash_keys *k, struct slice key)
{
    if (key.len == 0 || key.len > FLASH_KEY_MAX) {
        return FLASH_KEYS_TOO_LONG;
    }
    enum flash_keys_result result =
        store(k, key_of(&k->own.key), certificate_of(&k->own), key_of(&k->renewed.key),
              certificate_of(&k->renewed), key);
    if (result == FLASH_KEYS_OK) {
        wipe(&k->next, sizeof k->next);
        k->next.len = (uint16_t)key.len;
        memcpy(k->next.bytes, key.at, key.len);
    }
    return result;
}

enum flash_keys_result flash_keys_certified(struct flash_keys *k, struct slice certificate)
{
    bool is_first = k->own.key.len == 0;
    struct flash_identity *to = is_first ? &k->own : &k->renewed;
    if (k->next.len == 0) {
        return FLASH_KEYS_REFUSED;
    }
    if (certificate.len == 0 || certificate.len > FLASH_CERTIFICATE_MAX) {
        return FLASH_KEYS_TOO_LONG;
    }
    enum flash_keys_result result = is_first
                                        ? store(k, key_of(&k->next), certificate, none, none, none)
                                        : store(k, key_of(&k->own.key), certificate_of(&k->own),
                                                key_of(&k->next), certificate, none);
    if (result == FLASH_KEYS_OK) {
        to->key = k->next;
        to->certificate_len = (uint16_t)certificate.len;
        memcpy(to->certificate, certificate.at, certificate.len);
        wipe(&k->next, sizeof k->next);
    }
    return result;
}

enum flash_keys_result flash_keys_used(struct flash_keys *k)
{
    if (k->renewed.key.len == 0) {
        return FLASH_KEYS_REFUSED;
    }
    enum flash_keys_result result = store(k, key_of(&k->renewed.key), certificate_of(&k->renewed),
                                          none, none, key_of(&k->next));
    if (result == FLASH_KEYS_OK) {
        k->own = k->renewed;
        wipe(&k->renewed, sizeof k->renewed);
    }
    return result;
}
