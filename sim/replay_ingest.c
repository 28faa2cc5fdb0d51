/*
 * One device at ingest, stepped again. The ingest key of the field is not in a trace: ours has its
 * id, and what was authentic there is sealed with it before the step. Hellos and links need no
 * secret: their certificates are judged as they were.
 */
#include "codec/x509.h"
#include "core/ingest/admit_trace.h"
#include "sim/replay_inside.h"

#include <stdlib.h>
#include <string.h>

enum { DEVICES = 2, SLOTS = 16, SPILLS = 4, ISSUERS_MAX = 8, DOMAIN_MAX = 256 };

static struct {
    struct key_private *key;
    struct x509 issuers[ISSUERS_MAX];
    struct admit_config config;
    struct admit_device devices[DEVICES];
    struct table_slot slots[SLOTS];
    struct received_spill spills[SPILLS];
    uint8_t scratch[ADMIT_SCRATCH_BYTES];
    uint8_t record[RECORDER_RECORD_MAX];
    struct admit core;
    struct admit_effects fx;
    struct admit_traced at;
} live;

static bool begin(struct slice context)
{
    struct cbor_reader r = cbor_over(context, CBOR_ANY);
    bool ok = cbor_enter_array(&r) == 3;
    live.config = (struct admit_config){.domain = cbor_read_text(&r)};
    uint64_t keys = cbor_enter_array(&r);
    ok = ok && keys <= ADMIT_INGEST_KEYS && key_make(KEY_P256, &live.key) == KEY_OK;
    for (uint64_t i = 0; i < keys && ok && cbor_ok(&r); i++) {
        struct admit_ingest_key *key = &live.config.keys[live.config.keys_count];
        struct slice id = cbor_read_bytes_of(&r, sizeof key->id);
        if (id.len == sizeof key->id) {
            memcpy(key->id, id.at, id.len);
            key->key = live.key;
            live.config.keys_count++;
        }
    }
    uint64_t issuers = ok ? cbor_enter_array(&r) : 0;
    ok = ok && issuers <= ISSUERS_MAX;
    for (uint64_t i = 0; i < issuers && ok; i++) {
        struct slice der = cbor_read_bytes(&r);
        ok = cbor_ok(&r) && x509_parse(der, &live.issuers[i], NULL) == X509_OK;
    }
    live.config.issuers = (struct chain_anchors){.list = live.issuers, .count = issuers};
    return ok && cbor_done(&r);
}

static bool restore(const void *image, struct slice behind)
{
    const struct admit_memory memory = {.devices = live.devices,
                                        .devices_cap = DEVICES,
                                        .slots = live.slots,
                                        .slots_cap = SLOTS,
                                        .spills = live.spills,
                                        .spills_cap = SPILLS,
                                        .scratch = live.scratch};
    memset(live.devices, 0, sizeof live.devices);
    memset(live.slots, 0, sizeof live.slots);
    admit_init(&live.core, &live.config, &memory);
    bool ok = admit_trace_restore(image, behind, &live.core, &live.fx);
    live.at = (struct admit_traced){.core = &live.core, .device = &live.devices[0]};
    return ok;
}

static bool step(const void *image, struct slice behind)
{
    const struct admit_event_image *event = image;
    struct admit_event ev = {.kind = (enum admit_event_kind)event->kind};
    if (event->is_void) {
        return true;
    }
    if (ev.kind == ADMIT_LOOKED) {
        ev.looked.device = live.at.device->id;
        ev.looked.older = event->older;
        admit_step(&live.core, &ev, &live.fx);
        return true;
    }
    if (ev.kind == ADMIT_LOADED || ev.kind == ADMIT_COMMITTED || behind.len > sizeof live.record) {
        return false;
    }
    memcpy(live.record, behind.at, behind.len);
    if (event->is_authentic) {
        admit_trace_seal(&live.core, live.record, behind.len, &live.fx);
    }
    ev.record.gateway = event->gateway;
    ev.record.bytes = slice_of(live.record, behind.len);
    ev.record.points = event->points;
    admit_step(&live.core, &ev, &live.fx);
    return true;
}

static const void *state(void)
{
    return &live.at;
}

static void end(void)
{
    admit_wipe(&live.core);
    key_free(live.key);
    live.key = NULL;
    live.core = (struct admit){.devices = NULL};
}

const struct replay_core replay_ingest_device = {.trace = &admit_device_trace,
                                                 .needs_cipher = true,
                                                 .begin = begin,
                                                 .restore = restore,
                                                 .step = step,
                                                 .state = state,
                                                 .end = end};
