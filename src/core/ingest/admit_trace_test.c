#include "base/rng.h"
#include "core/ingest/admit_trace.h"
#include "core/ingest/craft.h"
#include "test/test.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

enum { DEVICES = 2, SLOTS = 16, SPILLS = 2 };

struct side { /* a core with its memory */
    struct admit core;
    struct admit_device memory[DEVICES];
    struct table_slot slots[SLOTS];
    struct received_spill spills[SPILLS];
    uint8_t scratch[ADMIT_SCRATCH_BYTES];
    struct admit_effects fx;
};

/* In the field, and the twin that is made of what was recorded there, with another ingest key. */
static struct {
    struct craft_site site;
    struct craft_device device;
    struct side field, twin;
    struct key_private *twin_key;
    alignas(16) uint8_t memory[65536];
    struct recorder r;
    uint32_t mark;
    uint8_t record_bytes[CRAFT_RECORD_MAX];
    struct writer record;
    struct rng rng;
} b;

static void init(struct side *s, const struct key_private *key)
{
    struct admit_config config = {.keys_count = 1,
                                  .issuers = {.list = &b.site.issuer_certificate, .count = 1},
                                  .domain = slice_text("holdfast.local")};
    config.keys[0].key = key;
    memcpy(config.keys[0].id, b.site.ingest_id, sizeof config.keys[0].id);
    memset(s, 0, sizeof *s);
    struct admit_memory memory = {.devices = s->memory,
                                  .devices_cap = DEVICES,
                                  .slots = s->slots,
                                  .slots_cap = SLOTS,
                                  .spills = s->spills,
                                  .spills_cap = SPILLS,
                                  .scratch = s->scratch,
                                  .seed = 5};
    admit_init(&s->core, &config, &memory);
}

static bool begin(uint64_t seed)
{
    memset(&b, 0, sizeof b);
    b.record = writer_over(b.record_bytes, sizeof b.record_bytes);
    b.rng = rng_from_seed(seed);
    recorder_init(&b.r, b.memory, sizeof b.memory);
    if (!craft_site_make(&b.site) || !craft_device_make(&b.site, 1, &b.device)
        || !craft_boot(&b.site, &b.device, 1, 1) || key_make(KEY_P256, &b.twin_key) != KEY_OK) {
        return false;
    }
    init(&b.field, b.site.ingest);
    return true;
}

static void end(void)
{
    craft_device_forget(&b.device);
    craft_site_forget(&b.site);
    key_free(b.twin_key);
    admit_wipe(&b.field.core);
    admit_wipe(&b.twin.core);
}

/* As the role does it. */
static void feed(void)
{
    struct admit_event ev = {.kind = ADMIT_SAW_RECORD};
    ev.record.gateway = 11;
    ev.record.bytes = writer_slice(&b.record);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct admit_event_image *image = NULL;
        const struct admit_device *d = admit_trace_device(&b.field.core, &ev);
        if (d != NULL) {
            image = admit_trace_event(&b.r, &b.mark, &b.field.core, d, &ev);
            REQUIRE(image != NULL);
        }
        admit_step(&b.field.core, &ev, &b.field.fx);
        if (image != NULL) {
            image->is_authentic = b.field.fx.is_authentic;
        }
        if (b.field.fx.outcome != ADMIT_AGAIN) {
            break;
        }
        struct admit_event loaded = {.kind = ADMIT_LOADED};
        loaded.loaded.device = b.field.fx.device;
        admit_step(&b.field.core, &loaded, &b.field.fx);
        b.mark = 0;
    }
    writer_reset(&b.record);
}

static struct slice state_of(const struct side *s, struct writer *w)
{
    static alignas(16) uint8_t image[TRACE_IMAGE_MAX];
    static uint8_t gaps[RECEIVED_GAPS_MAX * sizeof(struct received_run)];
    struct writer behind = writer_over(gaps, sizeof gaps);
    struct admit_traced at = {.core = &s->core, .device = &s->memory[0]};
    memset(image, 0, sizeof image);
    admit_device_trace.save(&at, image, &behind);
    trace_image_write(w, admit_device_trace.state, image, writer_slice(&behind));
    return writer_slice(w);
}

static bool is_twin(void)
{
    static uint8_t one[16384], other[16384];
    struct writer a = writer_over(one, sizeof one);
    struct writer c = writer_over(other, sizeof other);
    return slice_equal(state_of(&b.field, &a), state_of(&b.twin, &c));
}

/* One record of the ring, through CBOR, into the twin. */
static bool replay_one(const struct recorder_record *it)
{
    static uint8_t encoded[TRACE_ENTRY_MAX];
    static alignas(16) uint8_t image[TRACE_IMAGE_MAX];
    static uint8_t behind[CRAFT_RECORD_MAX];
    struct writer e = writer_over(encoded, sizeof encoded);
    struct writer w = writer_over(behind, sizeof behind);
    bool is_state = it->what == RECORDER_STATE;
    trace_entry_write(&e, &admit_device_trace, it);
    if (!trace_image_read(slice_after(writer_slice(&e), 4),
                          is_state ? admit_device_trace.state : admit_device_trace.event, image,
                          &w)) {
        return false;
    }
    if (is_state) {
        admit_wipe(&b.twin.core);
        init(&b.twin, b.twin_key);
        return admit_trace_restore((const void *)image, writer_slice(&w), &b.twin.core, &b.twin.fx);
    }
    const struct admit_event_image *event = (const void *)image;
    struct admit_event ev = {.kind = (enum admit_event_kind)event->kind};
    ev.record.gateway = event->gateway;
    ev.record.bytes = writer_slice(&w);
    if (event->is_authentic) {
        admit_trace_seal(&b.twin.core, behind, w.len, &b.twin.fx);
    }
    admit_step(&b.twin.core, &ev, &b.twin.fx);
    admit_check(&b.twin.core);
    return true;
}

static bool replay(void)
{
    struct recorder_record it;
    bool ok = true;
    for (uint64_t at = 0; ok && recorder_next(&b.r, &at, &it);) {
        ok = replay_one(&it);
    }
    return ok;
}

static void send(uint64_t seq)
{
    const struct craft_value value = {.name = "t", .time_ms = b.site.now_ms, .value = 1.5};
    craft_telemetry(&b.site, &b.device, seq, "press", &value, 1, &b.record);
    if (rng_below(&b.rng, 10) == 0 && b.record.len > 0) {
        b.record_bytes[b.record.len - 1] ^= 1; /* a bad MAC */
    }
    feed();
}

static void act(void)
{
    b.site.now_ms += 1000;
    switch (rng_below(&b.rng, 14)) {
    case 0:
        craft_linked(&b.site, &b.device, (uint32_t)rng_below(&b.rng, 9), &b.record);
        feed();
        craft_hello(&b.site, &b.device, &b.record);
        feed();
        return;
    case 1:
        craft_unlinked(&b.site, &b.device, &b.record);
        feed();
        return;
    case 2:
        craft_json(&b.site, &b.device, "press", "{\"t\": 20.5}", &b.record);
        feed();
        return;
    case 3:
        REQUIRE(craft_boot(&b.site, &b.device, b.device.boot + 1, b.device.seq + 10));
        craft_linked(&b.site, &b.device, b.device.boot, &b.record);
        feed();
        craft_hello(&b.site, &b.device, &b.record);
        feed();
        return;
    case 4: send(1 + rng_below(&b.rng, b.device.seq + 1)); return;
    default: break;
    }
    b.device.seq += 1 + (rng_below(&b.rng, 5) == 0) * rng_below(&b.rng, 4);
    send(b.device.seq);
}

TEST("what is recorded of a device, sealed again, makes a device that is judged the same")
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        REQUIRE(begin(seed));
        b.site.now_ms = INT64_C(1790000000000);
        craft_linked(&b.site, &b.device, 1, &b.record);
        feed();
        craft_hello(&b.site, &b.device, &b.record);
        feed();
        for (int i = 0; i < 120; i++) {
            act();
            if (i % 10 == 0) {
                REQUIRE(replay());
                CHECK(is_twin());
                CHECK(b.field.fx.outcome == b.twin.fx.outcome);
            }
        }
        CHECK(b.field.memory[0].messages > 20);
        CHECK(b.field.memory[0].boots_total > 2);
        end();
    }
}

TEST("no derived key is in a trace of a device, nor in the ring")
{
    REQUIRE(begin(1));
    craft_linked(&b.site, &b.device, 1, &b.record);
    feed();
    craft_hello(&b.site, &b.device, &b.record);
    feed();
    for (uint64_t seq = 1; seq < 9; seq++) {
        send(seq);
    }
    const struct admit_device *d = &b.field.memory[0];
    REQUIRE(d->mac_boots[0] != 0 || d->mac_boots[1] != 0);
    const struct mac_key *key = &d->macs[d->mac_boots[0] != 0 ? 0 : 1];
    for (size_t i = 0; i + 16 <= sizeof b.memory; i++) {
        CHECK(memcmp(b.memory + i, key, 16) != 0);
    }
    end();
}

/* A device with a boot, in the field; its image and its gaps. */
static bool make_image(struct admit_device_image *image, struct writer *gaps)
{
    if (!begin(1)) {
        return false;
    }
    b.site.now_ms = INT64_C(1790000000000);
    craft_linked(&b.site, &b.device, 1, &b.record);
    feed();
    craft_hello(&b.site, &b.device, &b.record);
    feed();
    send(1);
    send(3);
    struct admit_traced at = {.core = &b.field.core, .device = &b.field.memory[0]};
    memset(image, 0, sizeof *image);
    admit_device_trace.save(&at, image, gaps);
    return image->device.received.count == 1;
}

static bool restores(const struct admit_device_image *image, struct slice gaps)
{
    admit_wipe(&b.twin.core);
    init(&b.twin, b.twin_key);
    return admit_trace_restore(image, gaps, &b.twin.core, &b.twin.fx);
}

TEST("a state that no device can be in is not restored")
{
    static struct admit_device_image good, bad;
    struct received_run runs[2];
    struct writer w = writer_over(runs, sizeof runs);
    REQUIRE(make_image(&good, &w));
    const struct slice gaps = writer_slice(&w);
    CHECK(restores(&good, gaps));
    CHECK(!restores(&good, slice_of(gaps.at, gaps.len - 1)));
    struct received_run run = runs[0];
    const struct slice changed = slice_of(&run, sizeof run);
    CHECK(restores(&good, changed));
    run.count_why |= UINT32_C(3) << 30; /* for no reason that there is */
    CHECK(!restores(&good, changed));
    run = runs[0];
    run.from = good.device.received.next + 1; /* what was never numbered is no gap */
    CHECK(!restores(&good, changed));
    bad = good;
    bad.device.boot_count =
        2; /* newest first: the same boot twice, an older one that began later */
    bad.device.boots[1] = bad.device.boots[0];
    CHECK(!restores(&bad, gaps));
    bad.device.boots[0].boot = 2;
    bad.device.boots[1].first = bad.device.boots[0].first + 1;
    CHECK(!restores(&bad, gaps));
    end();
}

TEST("a device that is looking for an older boot is restored with what it has found")
{
    static struct admit_device_image image;
    struct received_run runs[2];
    struct writer w = writer_over(runs, sizeof runs);
    REQUIRE(make_image(&image, &w));
    image.device.older.boot.boot = 7;
    CHECK(restores(&image, writer_slice(&w)));
    CHECK_U64(b.twin.memory[0].older.boot.boot, 7);
    end();
}

TEST("what has no room in the ring is counted, and only telemetry of a device is sealed")
{
    static struct admit_device_image image;
    static uint8_t before[CRAFT_RECORD_MAX];
    const struct craft_value value = {.name = "t", .time_ms = 1, .value = 1.5};
    struct received_run runs[2];
    struct writer w = writer_over(runs, sizeof runs);
    REQUIRE(make_image(&image, &w));
    struct admit_event ev = {.kind = ADMIT_SAW_RECORD};
    craft_telemetry(&b.site, &b.device, 5, "press", &value, 1, &b.record);
    ev.record.bytes = writer_slice(&b.record);
    recorder_init(&b.r, b.memory, 128);
    b.mark = 0;
    CHECK(admit_trace_event(&b.r, &b.mark, &b.field.core, &b.field.memory[0], &ev) == NULL);
    CHECK_U64(b.r.unseen, 1);
    init(&b.twin, b.twin_key);
    for (unsigned i = 0; i < 4; i++) {
        writer_reset(&b.record);
        switch (i) { /* half a record, another kind, one of no MAC, of a device that is not there */
        case 1: craft_unlinked(&b.site, &b.device, &b.record); break;
        case 2: craft_json(&b.site, &b.device, "press", "{\"t\": 20.5}", &b.record); break;
        default: craft_telemetry(&b.site, &b.device, 5, "press", &value, 1, &b.record); break;
        }
        REQUIRE(b.record.len > 0);
        memcpy(before, b.record_bytes, b.record.len);
        admit_trace_seal(&b.twin.core, b.record_bytes, b.record.len - (i == 0), &b.twin.fx);
        CHECK(memcmp(before, b.record_bytes, b.record.len) == 0);
    }
    end();
}

TEST("a message of a boot that the device does not know is not sealed")
{
    static struct admit_device_image image;
    static uint8_t before[CRAFT_RECORD_MAX];
    const struct craft_value value = {.name = "t", .time_ms = 1, .value = 1.5};
    struct received_run runs[2];
    struct writer w = writer_over(runs, sizeof runs);
    REQUIRE(make_image(&image, &w));
    REQUIRE(restores(&image, writer_slice(&w)));
    REQUIRE(craft_boot(&b.site, &b.device, 9, 100));
    craft_telemetry(&b.site, &b.device, 101, "press", &value, 1, &b.record);
    memcpy(before, b.record_bytes, b.record.len);
    admit_trace_seal(&b.twin.core, b.record_bytes, b.record.len, &b.twin.fx);
    CHECK(memcmp(before, b.record_bytes, b.record.len) == 0);
    end();
}
