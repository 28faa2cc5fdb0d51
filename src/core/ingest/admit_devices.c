/*
 * The devices in memory: found by a table, given up by a clock hand that passes over what was used
 * lately and never takes what is dirty.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "core/ingest/admit_inside.h"

#include <string.h>

enum { LINKS_VERSION = 1, LINK_BYTES = 8 + DIGEST_LEN };

void admit_init(struct admit *a,
                const struct admit_config *config,
                const struct admit_memory *memory)
{
    INVARIANT(memory->devices_cap > 0);
    INVARIANT(memory->spills_cap > 0);
    INVARIANT(memory->slots_cap / 8 * 7 >= memory->devices_cap);
    *a = (struct admit){.config = *config,
                        .devices = memory->devices,
                        .devices_cap = memory->devices_cap,
                        .scratch = arena_over(memory->scratch, ADMIT_SCRATCH_BYTES)};
    table_init(&a->table, memory->slots, memory->slots_cap, memory->seed);
    received_pool_init(&a->pool, memory->spills, memory->spills_cap);
}

void admit_wipe(struct admit *a)
{
    for (uint32_t i = 0; i < a->devices_count; i++) {
        wipe(a->devices[i].macs, sizeof a->devices[i].macs);
    }
}

uint64_t admit_gateway_of(struct slice name)
{
    struct digest digest = hash_of(name);
    struct reader r = reader_over(slice_of(digest.bytes, sizeof digest.bytes));
    return read_u64(&r) | 1;
}

struct admit_device *admit_find(struct admit *a, const struct device_id *id)
{
    uint32_t index;
    if (!table_find(&a->table, id->bytes, &index)) {
        return NULL;
    }
    INVARIANT(index < a->devices_count);
    struct admit_device *d = &a->devices[index];
    INVARIANT(device_id_equal(&d->id, id));
    d->was_used =
        d->is_enrolled; /* ids that nobody vouches for take no place from those of devices */
    return d;
}

static void give_up(struct admit *a, struct admit_device *d)
{
    INVARIANT(d->in_use);
    INVARIANT(!d->is_dirty);
    INVARIANT(table_remove(&a->table, d->id.bytes));
    received_release(&d->received, &a->pool);
    wipe(d->macs, sizeof d->macs);
    d->in_use = false;
}

/* Two rounds: the first forgives those used lately, the second takes them too. */
static struct admit_device *least_used(struct admit *a,
                                       bool with_block,
                                       const struct admit_device *keep)
{
    for (uint32_t turn = 0; turn < 2 * a->devices_count; turn++) {
        struct admit_device *d = &a->devices[a->hand];
        a->hand = (a->hand + 1) % a->devices_count;
        if (!d->in_use || d->is_dirty || d == keep || (with_block && d->received.spill == 0)) {
            continue;
        }
        if (!d->was_used) {
            return d;
        }
        d->was_used = false;
    }
    return NULL;
}

struct admit_device *admit_place(struct admit *a, const struct device_id *id)
{
    struct admit_device *d = NULL;
    if (a->devices_count < a->devices_cap) {
        d = &a->devices[a->devices_count++];
    } else {
        for (uint32_t i = 0; i < a->devices_cap && a->table.count < a->devices_cap; i++) {
            d = !a->devices[i].in_use ? &a->devices[i] : d; /* given up for its block */
        }
        d = d != NULL ? d : least_used(a, false, NULL);
        if (d == NULL) {
            return NULL;
        }
        if (d->in_use) {
            give_up(a, d);
        }
    }
    memset(d, 0, sizeof *d);
    d->id = *id;
    d->in_use = true;
    received_init(&d->received);
    INVARIANT(table_put(&a->table, id->bytes, (uint32_t)(d - a->devices)));
    return d;
}

bool admit_make_block(struct admit *a, const struct admit_device *keep)
{
    while (!received_pool_has_room(&a->pool)) {
        struct admit_device *d = least_used(a, true, keep);
        if (d == NULL) {
            return false;
        }
        give_up(a, d);
    }
    return true;
}

static void decode_links(struct admit_device *d, struct slice bytes)
{
    struct reader r = reader_over(bytes);
    if (read_u8(&r) != LINKS_VERSION) {
        return;
    }
    while (r.rest.len >= LINK_BYTES && d->link_count < ADMIT_LINKS) {
        struct admit_link *link = &d->links[d->link_count++];
        link->gateway = read_u64(&r);
        read_into(&r, link->exporter, sizeof link->exporter);
    }
}

void admit_links_encode(const struct admit_device *d, struct writer *w)
{
    write_u8(w, LINKS_VERSION);
    for (uint32_t i = 0; i < d->link_count; i++) {
        write_u64(w, d->links[i].gateway);
        write_bytes(w, d->links[i].exporter, sizeof d->links[i].exporter);
    }
}

void admit_load(struct admit *a, const struct admit_loaded *loaded)
{
    INVARIANT(admit_find(a, &loaded->device) == NULL);
    struct admit_device *d = admit_place(a, &loaded->device);
    INVARIANT(d != NULL); /* ADMIT_LOAD is ordered only where there is room */
    if (!loaded->is_known) {
        return;
    }
    const struct admit_device *row = loaded->row;
    d->is_enrolled = true;
    d->was_used = true;
    d->certificate = row->certificate;
    d->gateway = row->gateway;
    d->connected = row->connected;
    d->linked_ms = row->linked_ms;
    d->seen_ms = row->seen_ms;
    d->boots_total = row->boots_total;
    d->boot_count = row->boot_count;
    memcpy(d->boots, row->boots, sizeof d->boots);
    memcpy(d->agent, row->agent, sizeof d->agent);
    d->agent_len = row->agent_len;
    d->has_clock_offset = row->has_clock_offset;
    d->clock_offset_ms = row->clock_offset_ms;
    d->clock_quality = row->clock_quality;
    d->messages = row->messages;
    d->points = row->points;
    d->dead_letters = row->dead_letters;
    d->dead_letter_ms = row->dead_letter_ms;
    d->link_mismatches = row->link_mismatches;
    decode_links(d, loaded->links);
    INVARIANT(received_from_report(&d->received, &a->pool, loaded->received) == RECEIVED_LOADED);
}

void admit_mark_dirty(struct admit *a, struct admit_device *d)
{
    INVARIANT(d->is_enrolled);
    if (!d->is_dirty) {
        d->is_dirty = true;
        d->next_dirty = a->first_dirty;
        a->first_dirty = (uint32_t)(d - a->devices) + 1;
        a->dirty_count++;
    }
}

const struct admit_device *admit_dirty_next(const struct admit *a, const struct admit_device *after)
{
    uint32_t next = after != NULL ? after->next_dirty : a->first_dirty;
    return next != 0 ? &a->devices[next - 1] : NULL;
}

void admit_mark_clean(struct admit *a)
{
    while (a->first_dirty != 0) {
        struct admit_device *d = &a->devices[a->first_dirty - 1];
        a->first_dirty = d->next_dirty;
        d->next_dirty = 0;
        d->is_dirty = false;
        a->dirty_count--;
    }
    INVARIANT(a->dirty_count == 0);
}

bool admit_is_tight(const struct admit *a)
{
    return a->dirty_count > 0
           && (a->dirty_count + 1 >= a->devices_cap || !received_pool_has_room(&a->pool));
}

void admit_received_report(const struct admit *a,
                           const struct admit_device *d,
                           struct received_report *out)
{
    received_to_report(&d->received, &a->pool, out);
}

/* ---- boots and their keys ---- */

static struct admit_boot_found find_older(const struct admit_device *d,
                                          uint32_t boot,
                                          struct admit_effects *out)
{
    if (d->older.boot.boot != boot) {
        admit_order(out, ADMIT_LOOK_UP)->boot = boot;
        return (struct admit_boot_found){.state = ADMIT_BOOT_ELSEWHERE};
    }
    if (!d->older.is_known) {
        return (struct admit_boot_found){.state = d->older.is_stale ? ADMIT_BOOT_STALE
                                                                    : ADMIT_BOOT_UNKNOWN};
    }
    return (struct admit_boot_found){
        .state = ADMIT_BOOT_KNOWN, .boot = &d->older.boot, .end = d->older.above_first};
}

struct admit_boot_found admit_boot_find(const struct admit_device *d,
                                        uint32_t boot,
                                        struct admit_effects *out)
{
    for (uint32_t i = 0; i < d->boot_count; i++) {
        if (d->boots[i].boot == boot) {
            return (struct admit_boot_found){.state = ADMIT_BOOT_KNOWN,
                                             .boot = &d->boots[i],
                                             .end = i > 0 ? d->boots[i - 1].first : UINT64_MAX};
        }
    }
    if (boot != 0 && d->boot_count == ADMIT_BOOTS && boot < d->boots[ADMIT_BOOTS - 1].boot) {
        return find_older(d, boot, out);
    }
    return (struct admit_boot_found){.state = ADMIT_BOOT_UNKNOWN};
}

static const struct key_private *ingest_key(const struct admit *a,
                                            const uint8_t id[MESSAGE_KEY_ID_LEN])
{
    for (size_t i = 0; i < a->config.keys_count; i++) {
        if (memcmp(a->config.keys[i].id, id, MESSAGE_KEY_ID_LEN) == 0) {
            return a->config.keys[i].key;
        }
    }
    return NULL;
}

static enum key_result derive(const struct key_private *own,
                              const struct device_id *id,
                              const struct admit_boot *boot,
                              struct mac_key *out)
{
    struct key_public peer;
    uint8_t shared[SHARED_LEN];
    uint8_t salt[MESSAGE_SALT_LEN];
    uint8_t secret[MAC_LEN];
    enum key_result result =
        key_public_from_bytes(KEY_P256, slice_of(boot->ephemeral, sizeof boot->ephemeral), &peer);
    /* COVERAGE(the point was one when its hello was taken) */
    result = result == KEY_OK ? key_agree(own, &peer, shared) : result;
    if (result == KEY_OK) { /* COVERAGE(as above, or the library has no memory) */
        message_mac_salt(id, boot->boot, salt);
        hkdf(slice_of(shared, sizeof shared), slice_of(salt, sizeof salt),
             slice_text(MESSAGE_MAC_INFO), secret, sizeof secret);
        mac_key_init(out, slice_of(secret, sizeof secret));
    }
    wipe(shared, sizeof shared);
    wipe(secret, sizeof secret);
    return result;
}

const struct mac_key *admit_mac_key(struct admit *a,
                                    struct admit_device *d,
                                    const struct admit_boot *boot,
                                    enum key_result *result)
{
    *result = KEY_OK;
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < ADMIT_MAC_KEYS; i++) {
        if (d->mac_boots[i] == boot->boot && boot->boot != 0) {
            return &d->macs[i];
        }
        oldest = d->mac_boots[i] < d->mac_boots[oldest] ? i : oldest;
    }
    const struct key_private *own = ingest_key(a, boot->key_id);
    struct mac_key derived;
    *result = own == NULL ? KEY_REFUSED : derive(own, &d->id, boot, &derived);
    if (*result != KEY_OK) {
        return NULL;
    }
    a->ecdh++;
    /* A late boot takes the place of the older of the two; the newest keeps its own. */
    d->macs[oldest] = derived;
    d->mac_boots[oldest] = boot->boot;
    wipe(&derived, sizeof derived);
    return &d->macs[oldest];
}

void admit_check(const struct admit *a)
{
    uint32_t in_use = 0;
    uint32_t blocks = 0;
    uint32_t dirty = 0;
    for (uint32_t i = 0; i < a->devices_count; i++) {
        const struct admit_device *d = &a->devices[i];
        if (!d->in_use) {
            continue;
        }
        uint32_t index;
        in_use++;
        dirty += d->is_dirty;
        blocks += d->received.spill != 0;
        INVARIANT(table_find(&a->table, d->id.bytes, &index));
        INVARIANT(index == i);
        INVARIANT(d->boot_count <= ADMIT_BOOTS);
        INVARIANT(d->link_count <= ADMIT_LINKS);
        INVARIANT(d->is_enrolled || !d->is_dirty);
        INVARIANT(d->older.boot.boot == 0 || d->boot_count == ADMIT_BOOTS);
        received_check(&d->received, &a->pool);
        for (uint32_t b = 1; b < d->boot_count; b++) {
            INVARIANT(d->boots[b].boot < d->boots[b - 1].boot);
            INVARIANT(d->boots[b].first <= d->boots[b - 1].first);
        }
    }
    INVARIANT(in_use == a->table.count);
    INVARIANT(dirty == a->dirty_count);
    INVARIANT(blocks == a->pool.used);
    INVARIANT(promise_holds(PROMISE_BOUNDED_COST, in_use <= a->devices_cap));
}
