/*
 * Records of two devices in any order, repeated, from either gateway and with bytes changed, into
 * ingest's core over a store that knows nothing. Its invariants hold after each step; what a MAC
 * has to vouch for is never applied once a byte of it was changed; nothing is applied twice. The
 * input is a list of (record, flags, offset, change); a first byte above 0xF0 gives the rest as one
 * record as it is.
 */
#include "base/invariant.h"
#include "core/ingest/admit.h"
#include "core/ingest/craft.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEVICES = 2, SLOTS = 8, SPILLS = 1, RECORDS = 24, STEP = 5, TURNS = 3 };

static struct craft_site site;
static struct craft_device devices[DEVICES];
static struct {
    uint8_t bytes[CRAFT_RECORD_MAX];
    size_t len;
    bool is_sealed;
} records[RECORDS];
static size_t records_count;

static struct admit core;
static struct admit_device memory[DEVICES];
static struct table_slot slots[SLOTS];
static struct received_spill spills[SPILLS];
static uint8_t scratch[ADMIT_SCRATCH_BYTES];
static struct admit_effects fx;

static struct writer begin_record(bool is_sealed)
{
    INVARIANT(records_count < RECORDS);
    records[records_count].is_sealed = is_sealed;
    return writer_over(records[records_count].bytes, CRAFT_RECORD_MAX);
}

static void end_record(const struct writer *w)
{
    INVARIANT(writer_ok(w));
    records[records_count++].len = w->len;
}

static void make_boot(struct craft_device *d, uint32_t boot, uint64_t first)
{
    const struct craft_value value = {"t", 1700000000000, 21.5};
    struct writer w;
    INVARIANT(craft_boot(&site, d, boot, first));
    w = begin_record(false);
    craft_hello(&site, d, &w);
    end_record(&w);
    for (uint64_t seq = first; seq < first + 3; seq++) {
        w = begin_record(true);
        craft_telemetry(&site, d, seq, "s", &value, 1, &w);
        end_record(&w);
    }
}

static void make_records(void)
{
    struct writer w;
    INVARIANT(craft_site_make(&site));
    for (uint32_t i = 0; i < DEVICES; i++) {
        INVARIANT(craft_device_make(&site, i, &devices[i]));
        INVARIANT(craft_boot(&site, &devices[i], 1, 1));
        w = begin_record(false);
        craft_linked(&site, &devices[i], 1, &w);
        end_record(&w);
        make_boot(&devices[i], 1, 1);
        make_boot(&devices[i], 2, 10);
        w = begin_record(false);
        craft_unlinked(&site, &devices[i], &w);
        end_record(&w);
    }
    w = begin_record(false);
    craft_started(&site, &w);
    end_record(&w);
}

static void start(void)
{
    struct admit_config config = {.keys_count = 1,
                                  .issuers = {.list = &site.issuer_certificate, .count = 1},
                                  .domain = slice_text("holdfast.local")};
    config.keys[0].key = site.ingest;
    memcpy(config.keys[0].id, site.ingest_id, sizeof config.keys[0].id);
    memset(memory, 0, sizeof memory);
    memset(slots, 0, sizeof slots);
    memset(spills, 0, sizeof spills);
    struct admit_memory given = {.devices = memory,
                                 .devices_cap = DEVICES,
                                 .slots = slots,
                                 .slots_cap = SLOTS,
                                 .spills = spills,
                                 .spills_cap = SPILLS,
                                 .scratch = scratch,
                                 .seed = 5};
    admit_init(&core, &config, &given);
}

static void step(const struct admit_event *ev)
{
    admit_step(&core, ev, &fx);
    admit_check(&core);
    INVARIANT(fx.count <= ADMIT_EFFECTS_MAX && fx.points_count <= ADMIT_POINTS_MAX);
}

/* Says of a device or a boot that the store knows nothing of it, or that all is committed. */
static void answer(const struct admit_effect *order)
{
    struct admit_event ev = {.kind = ADMIT_COMMITTED};
    if (order->kind == ADMIT_LOAD) {
        ev.kind = ADMIT_LOADED;
        ev.loaded.device = fx.device;
    } else if (order->kind == ADMIT_LOOK_UP) {
        ev.kind = ADMIT_LOOKED;
        ev.looked.device = fx.device;
        ev.looked.older.boot.boot = order->boot;
        ev.looked.older.above_first = UINT64_MAX;
    }
    step(&ev);
}

static void feed(struct slice bytes, uint64_t gateway)
{
    struct admit_event ev = {.kind = ADMIT_SAW_RECORD,
                             .record = {.gateway = gateway, .bytes = bytes}};
    step(&ev);
    for (unsigned turn = 0; turn < TURNS && fx.outcome == ADMIT_AGAIN && fx.count > 0; turn++) {
        const struct admit_effect order = fx.list[0];
        answer(&order);
        step(&ev);
    }
    if (fx.outcome == ADMIT_WAITING) {
        ev.kind = (bytes.len & 1) != 0 ? ADMIT_WAIT_REFUSED : ADMIT_WAIT_EXPIRED;
        step(&ev);
    }
}

static void feed_changed(const uint8_t change[STEP], uint32_t *applied)
{
    static uint8_t copy[CRAFT_RECORD_MAX];
    size_t which = change[0] % records_count;
    size_t at = (size_t)(change[2] << 8 | change[3]) % records[which].len;
    memcpy(copy, records[which].bytes, records[which].len);
    copy[at] ^= change[4];
    feed(slice_of(copy, records[which].len), 11 + (change[1] & 1));
    if (!records[which].is_sealed || fx.outcome != ADMIT_APPLIED) {
        return;
    }
    INVARIANT(fx.is_authentic);
    if (change[4] == 0) {
        INVARIANT((*applied & UINT32_C(1) << which) == 0);
        *applied |= UINT32_C(1) << which;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t applied = 0;
    if (records_count == 0) {
        make_records();
    }
    start();
    if (size > 0 && data[0] > 0xF0) {
        feed(slice_of(data + 1, size - 1), 11);
    } else {
        for (; size >= STEP; data += STEP, size -= STEP) {
            feed_changed(data, &applied);
        }
    }
    admit_wipe(&core);
    return 0;
}
