#include "codec/mqtt.h"
#include "core/control/access_trace.h"
#include "core/control/enrolment_trace.h"
#include "core/device/device_trace.h"
#include "core/gateway/session_trace.h"
#include "core/ingest/admit_trace.h"
#include "core/ingest/craft.h"
#include "io/port.h"
#include "role/trace.h"
#include "sim/replay.h"
#include "test/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_CAP = 1 << 20, TOLD_CAP = 16384 };

/* A role of one core that says that something broke, although nothing did. */
static struct bench {
    struct port *port;
    struct trace *trace;
    struct trace_core cores[1];
    uint32_t mark;
    char dir[400];
    uint8_t file[FILE_CAP];
    size_t file_len;
    char told[TOLD_CAP];
} b;

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void begin(const struct trace_core *core, struct slice context)
{
    memset(&b, 0, sizeof b);
    test_breaks_invariants();
    (void)snprintf(b.dir, sizeof b.dir, "%s/traces", test_scratch_dir());
    b.cores[0] = *core;
    b.port = port_open(ignore, NULL);
    b.trace = trace_start(b.port, core->name, b.dir, b.cores, 1, TRACE_RING_BYTES);
    trace_set_context(b.trace, context);
}

static void event(const void *state, const void *image, struct slice bytes)
{
    trace_event(b.trace, 0, 3, &b.mark, state, image, bytes);
}

/* Claims a breach in the last step, and reads the trace that is written. */
static void claim(void)
{
    char path[600];
    (void)HOLDS(b.trace == NULL);
    trace_left(b.trace);
    REQUIRE(b.trace->written == 1);
    (void)snprintf(path, sizeof path, "%s/%s", b.dir, b.trace->names[b.trace->kept - 1]);
    FILE *in = fopen(path, "rb");
    REQUIRE(in != NULL);
    b.file_len = fread(b.file, 1, sizeof b.file, in);
    (void)fclose(in);
}

static enum replay_result replay(void)
{
    FILE *out = tmpfile();
    enum replay_result result = replay_trace(slice_of(b.file, b.file_len), out);
    rewind(out);
    size_t len = fread(b.told, 1, sizeof b.told - 1, out);
    b.told[len] = '\0';
    (void)fclose(out);
    return result;
}

static void end(void)
{
    trace_stop(b.trace);
    port_close_all(b.port);
}

/* The steps of the trace lead to the same state, and nothing breaks in them. */
static void replays_to_the_same_state(void)
{
    claim();
    CHECK(replay() == REPLAY_NOT_REPRODUCED);
    bool is_calm = strstr(b.told, "nothing breaks in this build") != NULL;
    if (!is_calm || strstr(b.told, "in the field") != NULL) {
        test_failed(__FILE__, __LINE__, "%s", b.told);
    }
    end();
}

/* ---- one trace of each core ---- */

static void step_session(struct gw_session *s, const struct gw_event *ev)
{
    struct gw_effects fx;
    trace_at(b.trace, 0, 3, s);
    gw_trace_event(&b.trace->recorder, &b.mark, 3, s, ev, s->durable);
    gw_session_step(s, ev, &fx);
}

TEST("a session's trace leads to the session's state")
{
    const struct gw_limits limits = {.packet_max = 4096,
                                     .inflight_max = 8,
                                     .keep_alive_max_s = 100,
                                     .connect_ms = 5000,
                                     .allow_3_1_1 = true};
    const struct device_id device = {{0xab, 0xcd}};
    struct gw_pending inflight[8];
    struct gw_session s;
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    begin(&gw_session_trace, (struct slice){0});
    const struct gw_place place = {.limits = &limits, .inflight = inflight};
    gw_session_init(&s, &place, &device, 7, 1000);
    packet.connect = (struct mqtt_connect){
        .version = MQTT_5_0, .clean_start = true, .client_id = slice_text("me")};
    step_session(&s, &(struct gw_event){.kind = GW_SAW_PACKET, .now_ms = 1001, .packet = &packet});
    step_session(&s, &(struct gw_event){.kind = GW_ADMITTED, .now_ms = 1001});
    for (uint16_t i = 1; i < 6; i++) {
        packet = (struct mqtt_packet){.type = MQTT_PUBLISH};
        packet.publish = (struct mqtt_publish){
            .qos = 1,
            .packet_id = i,
            .topic = slice_text("hf/1/hf1:abcd0000000000000000000000000000/t/press"),
            .payload = slice_text("plant data")};
        step_session(&s,
                     &(struct gw_event){.kind = GW_SAW_PACKET, .now_ms = 1002, .packet = &packet});
        step_session(&s, &(struct gw_event){.kind = GW_STAGED, .staged = {.position = 100u * i}});
    }
    step_session(&s, &(struct gw_event){.kind = GW_STORED, .now_ms = 1003, .position = 300});
    replays_to_the_same_state();
}

TEST("a device's trace at ingest leads to its row, although no key is in it")
{
    static struct craft_site site;
    static struct craft_device device;
    static struct admit core;
    static struct admit_device devices[2];
    static struct table_slot slots[16];
    static struct received_spill spills[2];
    static uint8_t scratch[ADMIT_SCRATCH_BYTES], bytes[CRAFT_RECORD_MAX], context[4096];
    static struct admit_effects fx;
    struct admit_traced at = {.core = &core, .device = &devices[0]};
    struct writer w = writer_over(context, sizeof context);
    REQUIRE(craft_site_make(&site) && craft_device_make(&site, 1, &device)
            && craft_boot(&site, &device, 1, 1));
    struct admit_config config = {.keys_count = 1,
                                  .issuers = {.list = &site.issuer_certificate, .count = 1},
                                  .domain = slice_text("holdfast.local")};
    config.keys[0].key = site.ingest;
    memcpy(config.keys[0].id, site.ingest_id, sizeof config.keys[0].id);
    const struct admit_memory memory = {.devices = devices,
                                        .devices_cap = 2,
                                        .slots = slots,
                                        .slots_cap = 16,
                                        .spills = spills,
                                        .spills_cap = 2,
                                        .scratch = scratch};
    admit_init(&core, &config, &memory);
    cbor_write_array(&w, 3);
    cbor_write_text(&w, config.domain);
    cbor_write_array(&w, 1);
    cbor_write_bytes(&w, slice_of(site.ingest_id, sizeof site.ingest_id));
    cbor_write_array(&w, 1);
    cbor_write_bytes(&w, site.issuer_certificate.der);
    begin(&admit_device_trace, writer_slice(&w));
    struct admit_event ev = {.kind = ADMIT_LOADED};
    ev.loaded.device = device.id;
    admit_step(&core, &ev, &fx);
    site.now_ms = INT64_C(1790000000000);
    for (uint64_t i = 0; i < 9; i++) {
        const struct craft_value value = {.name = "t", .time_ms = site.now_ms, .value = 1};
        w = writer_over(bytes, sizeof bytes);
        if (i == 0) {
            craft_linked(&site, &device, 1, &w);
        } else if (i == 1) {
            craft_hello(&site, &device, &w);
        } else {
            craft_telemetry(&site, &device, i * i / 2, "press", &value, 1, &w);
        }
        ev = (struct admit_event){.kind = ADMIT_SAW_RECORD};
        ev.record.gateway = 11;
        ev.record.bytes = writer_slice(&w);
        trace_at(b.trace, 0, 0, &at);
        struct admit_event_image *image =
            admit_trace_event(&b.trace->recorder, &b.mark, &core, &devices[0], &ev);
        admit_step(&core, &ev, &fx);
        REQUIRE(image != NULL);
        image->is_authentic = fx.is_authentic;
    }
    CHECK_U64(devices[0].messages, 7);
    replays_to_the_same_state();
    craft_device_forget(&device);
    craft_site_forget(&site);
    admit_wipe(&core);
}

TEST("the traces of a device's cores lead to their states")
{
    struct link link;
    struct link_effects link_fx;
    struct enroll enroll;
    struct enroll_effects enroll_fx;
    struct sequence sequence;
    struct sequence_store store;
    begin(&device_trace_cores[DEVICE_TRACE_LINK], (struct slice){0});
    link_init(&link, 2, 1, 5);
    for (int kind = LINK_START; kind < LINK_STOP; kind++) {
        struct mqtt_packet packet = {.type = MQTT_CONNACK};
        struct link_event ev = {
            .kind = (enum link_event_kind)kind, .now_ms = 1000, .packet = &packet};
        struct link_event_image image;
        uint8_t bytes[256];
        struct writer w = writer_over(bytes, sizeof bytes);
        link_trace_event(&ev, &image, &w);
        event(&link, &image, writer_slice(&w));
        link_step(&link, &ev, &link_fx);
    }
    replays_to_the_same_state();

    begin(&device_trace_cores[DEVICE_TRACE_ENROLL], (struct slice){0});
    enroll_init(&enroll, 5);
    for (int kind = ENROLL_STARTED; kind <= ENROLL_CERTIFIED; kind++) {
        struct enroll_event ev = {.kind = (enum enroll_event_kind)kind, .now_ms = 900000};
        event(&enroll, &ev, (struct slice){0});
        enroll_step(&enroll, &ev, &enroll_fx);
    }
    replays_to_the_same_state();

    begin(&device_trace_cores[DEVICE_TRACE_SEQUENCE], (struct slice){0});
    sequence_start(&sequence, NULL, &store);
    for (int call = SEQUENCE_CALL_STORED; call <= SEQUENCE_CALL_NOTE_TRUST; call++) {
        struct sequence_event_image image = {.call = (uint8_t)call, .argument = 7};
        event(&sequence, &image, (struct slice){0});
        sequence_trace_call(&sequence, &image);
    }
    replays_to_the_same_state();

    struct generation generation;
    begin(&device_trace_cores[DEVICE_TRACE_GENERATION], (struct slice){0});
    generation_init(&generation, false, 5);
    for (int i = 0; i < 12; i++) {
        struct generation_event_image image = {.call = (uint8_t)(i % GENERATION_CALL_COUNT),
                                               .now_ms = (uint64_t)i * 50000,
                                               .old_is_valid = i % 5 != 0};
        event(&generation, &image, (struct slice){0});
        generation_trace_call(&generation, &image);
    }
    replays_to_the_same_state();
}

static struct slice corpus(const char *name, uint8_t *to, size_t cap)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s", test_source_dir(), name);
    FILE *in = fopen(path, "rb");
    size_t len = in != NULL ? fread(to, 1, cap, in) : 0;
    if (in != NULL) {
        (void)fclose(in);
    }
    return slice_of(to, len);
}

TEST("decisions of control and keeper are made again")
{
    static uint8_t context[4096], certificate[2048], request[2048], bytes[8192];
    struct x509 leaf;
    struct csr csr;
    struct writer w = writer_over(context, sizeof context);
    struct slice leaf_der = corpus("fuzz_x509/leaf", certificate, sizeof certificate);
    REQUIRE(x509_parse(leaf_der, &leaf, NULL) == X509_OK);
    struct slice input = corpus("fuzz_csr/request", request, sizeof request);
    REQUIRE(csr_parse(slice_after(input, 1), &csr, NULL)
            == X509_OK); /* behind the fuzzer's choice */
    cbor_write_text(&w, slice_text("holdfast.local"));

    begin(&enrol_decide_trace, writer_slice(&w));
    const struct enrol_request asked = {
        .operation = ENROL_AGAIN, .peer = ENROL_DEVICE, .certificate = &leaf, .csr = &csr};
    const struct enrol_facts facts = {
        .has_device = true, .state = IDENTITY_ACTIVE, .peer_is_live = true, .key = ENROL_KEY_FRESH};
    struct enrol_decide_image decide;
    enrol_decide_keep(&asked, &facts, &decide);
    event(NULL, &decide, (struct slice){0});
    replays_to_the_same_state();

    begin(&enrol_identify_trace, writer_slice(&w));
    const struct enrol_policy policy = {.domain = slice_text("holdfast.local")};
    struct enrol_identify_image identify;
    struct writer both = writer_over(bytes, sizeof bytes);
    enrol_identify_keep(&policy, &asked, &identify, &both);
    event(NULL, &identify, writer_slice(&both));
    replays_to_the_same_state();

    begin(&access_trace, (struct slice){0});
    const struct access_request web = {.has_credential = true,
                                       .is_cookie = true,
                                       .changes = true,
                                       .origin = slice_text("http://evil.example"),
                                       .own_origin = slice_text("http://localhost:8080"),
                                       .needs = ACCESS_OPERATE};
    struct access_image access;
    both = writer_over(bytes, sizeof bytes);
    access_keep(&web, &access, &both);
    event(NULL, &access, writer_slice(&both));
    replays_to_the_same_state();

    w = writer_over(context, sizeof context);
    cbor_write_array(&w, 4);
    cbor_write_text(&w, slice_text("holdfast.local"));
    cbor_write_bytes(&w, leaf_der);
    cbor_write_bytes(&w, leaf_der);
    cbor_write_u64(&w, 86400000);
    begin(&signing_trace, writer_slice(&w));
    const struct signing_image sign = {.purpose = KEEPER_DEVICE_CERTIFICATE};
    event(NULL, &sign, leaf.tbs);
    replays_to_the_same_state();
}

TEST("no member of what a trace keeps is forgotten by its table")
{
    const struct trace_core *const cores[] = {
        &gw_session_trace,
        &admit_device_trace,
        &device_trace_cores[DEVICE_TRACE_LINK],
        &device_trace_cores[DEVICE_TRACE_ENROLL],
        &device_trace_cores[DEVICE_TRACE_SEQUENCE],
        &device_trace_cores[DEVICE_TRACE_GENERATION],
        &enrol_identify_trace,
        &enrol_decide_trace,
        &signing_trace,
        &access_trace,
    };
    for (size_t i = 0; i < COUNT_OF(cores); i++) {
        const struct trace_shape *const shapes[] = {cores[i]->state, cores[i]->event};
        for (size_t k = 0; k < COUNT_OF(shapes); k++) {
            if (shapes[k] != NULL && trace_unnamed(shapes[k]) != shapes[k]->image_len) {
                test_failed(__FILE__, __LINE__, "%s, %s: byte %zu has no field", cores[i]->name,
                            k == 0 ? "state" : "event", trace_unnamed(shapes[k]));
            }
        }
    }
}

/* ---- what is no trace of ours ---- */

TEST("a trace of another layout is refused by the name of its core")
{
    struct enroll enroll;
    struct enroll_event ev = {.kind = ENROLL_STARTED};
    begin(&device_trace_cores[DEVICE_TRACE_ENROLL], (struct slice){0});
    enroll_init(&enroll, 5);
    event(&enroll, &ev, (struct slice){0});
    uint8_t layout[9];
    struct writer w = writer_over(layout, sizeof layout);
    cbor_write_u64(&w, trace_layout(&device_trace_cores[DEVICE_TRACE_ENROLL]));
    claim();
    for (size_t i = 0; i + sizeof layout < b.file_len; i++) {
        if (memcmp(b.file + i, layout, sizeof layout) == 0) {
            b.file[i + 8] ^= 1;
        }
    }
    CHECK(replay() == REPLAY_UNUSABLE);
    CHECK(strstr(b.told, "device-enroll: its layout is ") != NULL);
    end();
}

TEST("a trace that ends early, or is changed in any byte, is refused or replays, and harms nothing")
{
    struct enroll enroll;
    struct enroll_event ev = {.kind = ENROLL_STARTED};
    begin(&device_trace_cores[DEVICE_TRACE_ENROLL], (struct slice){0});
    enroll_init(&enroll, 5);
    event(&enroll, &ev, (struct slice){0});
    claim();
    size_t len = b.file_len;
    for (size_t i = 0; i < len; i++) {
        b.file_len = i;
        CHECK(replay() == REPLAY_UNUSABLE);
        b.file_len = len;
        b.file[i] ^= 0x21;
        CHECK(replay() != REPLAY_REPRODUCED);
        b.file[i] ^= 0x21;
    }
    end();
}
