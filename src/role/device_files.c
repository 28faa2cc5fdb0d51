/*
 * A device's folder: what is in it, and in which order it gets there. Everything is whole or not
 * there, and durable before anything is done because of it.
 */
#include "base/invariant.h"
#include "codec/pem.h"
#include "io/folder.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/device_inside.h"
#include "trust/chain.h"
#include "trust/trust_list.h"

#include <stdio.h>
#include <string.h>

enum { ROOTS_MAX = 4 };

static enum port_result refuse(struct port_why *why, const char *what, enum port_result result)
{
    (void)snprintf(why->text, sizeof why->text, "%s", what);
    return result;
}

bool device_path(const struct device *d, char out[DEVICE_PATH_MAX], const char *name)
{
    int len = snprintf(out, DEVICE_PATH_MAX, "%s/%s", d->state_dir, name);
    return len > 0 && len < DEVICE_PATH_MAX;
}

enum port_result device_lock(struct device *d, struct port_why *why)
{
    char path[DEVICE_PATH_MAX];
    if (!device_path(d, path, "lock")) {
        return refuse(why, "the path of the state folder is too long", PORT_BAD);
    }
    enum port_result result = port_folder_make(d->port, d->state_dir);
    if (result == PORT_OK) {
        result = port_file_open(d->port, path, PORT_READ | PORT_WRITE | PORT_CREATE | PORT_LOCK,
                                &d->lock);
    }
    if (result != PORT_OK) {
        (void)snprintf(why->text, sizeof why->text,
                       result == PORT_BUSY ? "%.200s is in use by another process"
                                           : "%.200s cannot be written",
                       d->state_dir);
    }
    return result;
}

/* ---- sequence ---- */

bool device_store_sequence(struct device *d, const struct sequence_store *store)
{
    char path[DEVICE_PATH_MAX];
    struct port_file *file;
    if (!device_path(d, path, "sequence")) {
        return false;
    }
    if (!d->has_sequence_file) {
        uint8_t whole[SEQUENCE_FILE_LEN] = {0};
        memcpy(whole + store->offset, store->bytes, sizeof store->bytes);
        d->has_sequence_file =
            port_file_replace(d->port, path, slice_of(whole, sizeof whole)) == PORT_OK;
        return d->has_sequence_file;
    }
    if (port_file_open(d->port, path, PORT_WRITE, &file) != PORT_OK) {
        return false;
    }
    bool stored =
        port_file_write(file, store->offset, slice_of(store->bytes, sizeof store->bytes)) == PORT_OK
        && port_file_sync(file) == PORT_OK;
    port_file_close(file);
    return stored;
}

enum port_result device_load_sequence(struct device *d, struct port_why *why)
{
    char path[DEVICE_PATH_MAX];
    uint8_t bytes[SEQUENCE_FILE_LEN];
    size_t len = 0;
    struct sequence_record last;
    struct sequence_store store;
    if (!device_path(d, path, "sequence")) {
        return refuse(why, "the path of the state folder is too long", PORT_BAD);
    }
    enum port_result result = port_file_read_all(d->port, path, bytes, sizeof bytes, &len);
    d->has_sequence_file = result == PORT_OK;
    if (result != PORT_OK && result != PORT_NOT_FOUND) {
        return refuse(why, "the file `sequence` cannot be read", result);
    }
    if (result == PORT_OK && len == 0) {
        return refuse(why, "the file `sequence` is empty", PORT_FAILED);
    }
    enum sequence_load load = sequence_load(slice_of(bytes, len), &last);
    switch (load) {
    case SEQUENCE_FRESH: sequence_start(&d->sequence, NULL, &store); break;
    case SEQUENCE_FOUND:
    case SEQUENCE_MENDED: sequence_start(&d->sequence, &last, &store); break;
    case SEQUENCE_DAMAGED:
        return refuse(
            why,
            "both copies in the file `sequence` are damaged: which numbers were used is not "
            "known, and none may be used twice",
            PORT_FAILED);
    }
    for (int copies = load == SEQUENCE_MENDED ? 2 : 1; copies > 0; copies--) {
        if (!device_store_sequence(d, &store)) {
            return refuse(why, "the file `sequence` cannot be written", PORT_FAILED);
        }
        device_trace_call(d, SEQUENCE_CALL_STORED, 0);
        sequence_stored(&d->sequence);
        if (copies > 1) {
            device_trace_call(d, SEQUENCE_CALL_SAVE, 0);
            sequence_save(&d->sequence, &store);
        }
    }
    return PORT_OK;
}

bool device_save_sequence(struct device *d)
{
    struct sequence_store store;
    device_trace_call(d, SEQUENCE_CALL_SAVE, 0);
    sequence_save(&d->sequence, &store);
    if (!device_store_sequence(d, &store)) {
        device_fail(d, "the file sequence", "cannot be written");
        return false;
    }
    device_trace_call(d, SEQUENCE_CALL_STORED, 0);
    sequence_stored(&d->sequence);
    return true;
}

bool device_begin_boot(struct device *d)
{
    struct sequence_store store;
    device_trace_call(d, SEQUENCE_CALL_BEGIN_BOOT, 0);
    sequence_begin_boot(&d->sequence, &store);
    key_free(d->ephemeral);
    d->ephemeral = NULL;
    if (!device_store_sequence(d, &store) || key_make(KEY_P256, &d->ephemeral) != KEY_OK) {
        device_fail(d, "a new boot", "cannot be stored, or no key made for it");
        return false;
    }
    device_trace_call(d, SEQUENCE_CALL_STORED, 0);
    sequence_stored(&d->sequence);
    d->ephemeral_public = key_public_of(d->ephemeral);
    d->is_boot_recorded = false;
    return true;
}

/* ---- trust list ---- */

static size_t load_roots(struct device *d, uint8_t *der, size_t cap, struct x509 roots[ROOTS_MAX])
{
    uint8_t pem[DEVICE_PEM_MAX];
    size_t len = 0;
    size_t count = 0;
    if (port_file_read_all(d->port, d->root_path, pem, sizeof pem, &len) != PORT_OK) {
        return 0;
    }
    struct slice rest = slice_of(pem, len);
    struct slice label;
    struct slice bytes;
    struct writer w = writer_over(der, cap);
    while (count < ROOTS_MAX && pem_next(&rest, &label, &w, &bytes) == PEM_OK) {
        if (slice_is_text(label, "CERTIFICATE")
            && x509_parse(bytes, &roots[count], NULL) == X509_OK) {
            count++;
        }
    }
    return count;
}

/*
 * Nearly every answer is the list in use, byte for byte: verifying it again while all certificates
 * that vouched for it are still valid would say the same, at the price of two signatures.
 */
static bool is_in_use(const struct device *d, const struct digest *digest, int64_t wall_ms)
{
    return d->has_trust && memcmp(digest, &d->trust_stored, sizeof *digest) == 0
           && wall_ms >= d->trust_from_ms && wall_ms <= d->trust_to_ms;
}

/* The roots count, too: one that has run out vouches for nothing. */
static void note_validity(struct device *d,
                          const struct trust_list *trust,
                          const struct chain_anchors *anchors)
{
    d->trust_from_ms = trust->valid_from_ms;
    d->trust_to_ms = trust->valid_to_ms;
    for (size_t i = 0; i < anchors->count; i++) {
        const struct x509 *root = &anchors->list[i];
        d->trust_from_ms =
            root->not_before_ms > d->trust_from_ms ? root->not_before_ms : d->trust_from_ms;
        d->trust_to_ms = root->not_after_ms < d->trust_to_ms ? root->not_after_ms : d->trust_to_ms;
    }
}

bool device_take_trust(struct device *d, struct slice list, bool is_stored)
{
    uint8_t der[DEVICE_PEM_MAX];
    struct x509 roots[ROOTS_MAX];
    struct trust_list trust;
    struct fault fault = {0};
    enum time_quality quality;
    int64_t wall_ms = port_wall_ms(d->port, &quality);
    struct digest digest = hash_of(list);
    if (quality != TIME_UNKNOWN && is_in_use(d, &digest, wall_ms)) {
        return true;
    }
    struct chain_anchors anchors = {.list = roots, .count = load_roots(d, der, sizeof der, roots)};
    enum trust_list_result result = trust_list_verify(
        list, &anchors, is_stored || quality == TIME_UNKNOWN, wall_ms, &trust, &fault);
    if (result != TRUST_LIST_OK) {
        device_say(d, "the trust list is refused: %s", fault.clause != NULL ? fault.clause : "?");
        return false;
    }
    if (trust.number < d->sequence.trust) {
        device_say(d, "the trust list is refused: its number went back");
        return false;
    }
    struct key_public key;
    if (trust.ingest_keys_count == 0
        || key_public_from_bytes(KEY_P256, trust.ingest_keys[0], &key) != KEY_OK) {
        device_say(d, "the trust list is refused: its ingest key is no key");
        return false;
    }
    /* What is stored already is not stored again: flash is not worn for that. */
    bool is_kept = is_stored || memcmp(&digest, &d->trust_stored, sizeof digest) == 0;
    if (!is_kept && !device_store_trust(d, list)) {
        return false;
    }
    d->trust_stored = digest;
    note_validity(d, &trust, &anchors);
    if (!device_raise_trust(d, trust.number)) {
        return false;
    }
    (void)promise_holds(PROMISE_FLOOR_MONOTONE, trust.number == d->sequence.trust);
    device_feed_link(d, &(struct link_event){.kind = LINK_HINTED,
                                             .slots = trust.retry_slots,
                                             .slot_ms = trust.retry_slot_ms});
    bool is_other = !d->has_trust || memcmp(key.bytes, d->ingest_key.bytes, sizeof key.bytes) != 0;
    if (is_other && d->has_trust && !device_begin_boot(d)) {
        return false;
    }
    if (is_other) {
        d->has_trust = true;
        d->ingest_key = key;
        seal_ingest_key_id(&key, d->ingest_key_id);
        if (seal_mac_key(d->ephemeral, &key, &d->id, d->sequence.boot, &d->mac_key) != KEY_OK) {
            device_fail(d, "key agreement", "the cryptographic library failed");
            return false;
        }
        device_identity_changed(d);
    }
    return true;
}

bool device_store_trust(struct device *d, struct slice list)
{
    char path[DEVICE_PATH_MAX];
    if (!device_path(d, path, "trust.cbor") || port_file_replace(d->port, path, list) != PORT_OK) {
        device_fail(d, "trust.cbor", "cannot be written");
        return false;
    }
    return true;
}

/*
 * After trust.cbor: a cut between the two leaves the newer list, and the next start raises the
 * floor by it. The other order could leave a floor above the list that is there, and a device
 * without a link would have none.
 */
bool device_raise_trust(struct device *d, uint64_t number)
{
    if (number <= d->sequence.trust) {
        return true;
    }
    device_trace_call(d, SEQUENCE_CALL_NOTE_TRUST, number);
    sequence_note_trust(&d->sequence, number);
    bool is_stored = device_save_sequence(d);
    return is_stored && device_save_sequence(d); /* to the other copy, too */
}

bool device_load_trust(struct device *d)
{
    static uint8_t bytes[DEVICE_TRUST_MAX]; /* one thread, used at start only */
    char path[DEVICE_PATH_MAX];
    size_t len = 0;
    return device_path(d, path, "trust.cbor")
           && port_file_read_all(d->port, path, bytes, sizeof bytes, &len) == PORT_OK
           && device_take_trust(d, slice_of(bytes, len), true);
}
