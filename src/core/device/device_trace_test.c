#include "base/rng.h"
#include "codec/mqtt.h"
#include "core/device/device_trace.h"
#include "test/test.h"

#include <stdalign.h>
#include <string.h>

/* What is in a record, through the file's encoding and back. */
static bool through_cbor(const struct trace_shape *shape,
                         const void *from,
                         struct slice bytes,
                         void *to,
                         struct writer *behind)
{
    uint8_t encoded[2048];
    struct writer w = writer_over(encoded, sizeof encoded);
    trace_image_write(&w, shape, from, bytes);
    return trace_image_read(writer_slice(&w), shape, to, behind);
}

/* Is the one core like the other, by the fields that a trace keeps? */
static bool is_twin(enum device_trace_core which, const void *a, const void *b)
{
    const struct trace_core *core = &device_trace_cores[which];
    alignas(16) uint8_t image[TRACE_IMAGE_MAX] = {0};
    uint8_t one[512], other[512];
    struct writer none = writer_over(NULL, 0);
    struct writer wa = writer_over(one, sizeof one);
    struct writer wb = writer_over(other, sizeof other);
    core->save(a, image, &none);
    trace_image_write(&wa, core->state, image, (struct slice){0});
    core->save(b, image, &none);
    trace_image_write(&wb, core->state, image, (struct slice){0});
    return slice_equal(writer_slice(&wa), writer_slice(&wb));
}

static void make_packet(struct rng *rng, struct mqtt_packet *out)
{
    *out = (struct mqtt_packet){.type = MQTT_PINGRESP};
    switch (rng_below(rng, 4)) {
    case 0:
        out->type = MQTT_CONNACK;
        out->connack.reason = rng_below(rng, 5) == 0 ? MQTT_SERVER_BUSY : MQTT_SUCCESS;
        out->connack.properties.receive_maximum = (uint16_t)(1 + rng_below(rng, 90));
        mqtt_set(&out->connack.properties, MQTT_RECEIVE_MAXIMUM);
        return;
    case 1:
        out->type = MQTT_DISCONNECT;
        out->disconnect.reason = MQTT_SERVER_SHUTTING_DOWN;
        return;
    case 2:
        out->type = MQTT_PUBACK;
        out->ack.packet_id = (uint16_t)(1 + rng_below(rng, 3));
        out->ack.reason = rng_below(rng, 6) == 0 ? MQTT_QUOTA_EXCEEDED : MQTT_SUCCESS;
        return;
    default: return;
    }
}

static void step_links(struct link *l, struct link *twin, struct rng *rng, uint64_t now_ms)
{
    const struct trace_core *core = &device_trace_cores[DEVICE_TRACE_LINK];
    struct mqtt_packet packet, again;
    struct link_event ev = {.kind = (enum link_event_kind)rng_below(rng, LINK_STOP),
                            .now_ms = now_ms,
                            .packet = &packet};
    struct link_event_image image, read;
    uint8_t bytes[256], back[256];
    struct writer kept = writer_over(bytes, sizeof bytes);
    struct writer behind = writer_over(back, sizeof back);
    struct link_effects fx, twin_fx;
    make_packet(rng, &packet);
    link_trace_event(&ev, &image, &kept);
    REQUIRE(through_cbor(core->event, &image, writer_slice(&kept), &read, &behind));
    link_step(l, &ev, &fx);
    REQUIRE(link_trace_restore(&read, writer_slice(&behind), &again, &ev));
    link_step(twin, &ev, &twin_fx);
    CHECK_U64(fx.count, twin_fx.count);
    for (uint32_t i = 0; i < fx.count && i < twin_fx.count; i++) {
        CHECK(fx.list[i].kind == twin_fx.list[i].kind);
    }
}

TEST("a link made of what was recorded does the same")
{
    const struct trace_core *core = &device_trace_cores[DEVICE_TRACE_LINK];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng = rng_from_seed(seed);
        struct link l, twin;
        uint64_t now_ms = 1000;
        link_init(&l, 3, 1, seed);
        for (int i = 0; i < 80; i++) {
            struct writer none = writer_over(NULL, 0);
            now_ms += rng_below(&rng, 30000);
            if (i % 7 == 0) {
                REQUIRE(through_cbor(core->state, &l, (struct slice){0}, &twin, &none));
                CHECK(link_trace_is_sound(&twin));
            }
            step_links(&l, &twin, &rng, now_ms);
            CHECK(is_twin(DEVICE_TRACE_LINK, &l, &twin));
        }
    }
}

TEST("an enrolment made of what was recorded does the same")
{
    const struct trace_core *core = &device_trace_cores[DEVICE_TRACE_ENROLL];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng rng = rng_from_seed(seed);
        struct enroll e, twin;
        struct enroll_event started = {.kind = ENROLL_STARTED, .now_ms = 1000};
        struct enroll_effects fx, twin_fx;
        enroll_init(&e, seed);
        enroll_step(&e, &started, &fx);
        for (int i = 0; i < 40; i++) {
            struct writer none = writer_over(NULL, 0);
            struct enroll_event ev = {.now_ms = 1000 + (uint64_t)i * 9000, .wall_ms = i * 9000};
            struct enroll_event read;
            ev.has_clock = rng_below(&rng, 2) == 0;
            ev.kind = (enum enroll_event_kind)(ENROLL_TICK + rng_below(&rng, 6));
            ev.not_after_ms = 86400000;
            ev.retry_after_s = (uint32_t)rng_below(&rng, 5);
            REQUIRE(through_cbor(core->state, &e, (struct slice){0}, &twin, &none));
            REQUIRE(through_cbor(core->event, &ev, (struct slice){0}, &read, &none));
            enroll_step(&e, &ev, &fx);
            enroll_step(&twin, &read, &twin_fx);
            CHECK(is_twin(DEVICE_TRACE_ENROLL, &e, &twin));
            CHECK_U64(fx.count, twin_fx.count);
        }
    }
}

TEST("counters made of what was recorded count the same")
{
    const struct trace_core *core = &device_trace_cores[DEVICE_TRACE_SEQUENCE];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng = rng_from_seed(seed);
        struct sequence s, twin;
        struct sequence_store store;
        struct writer none = writer_over(NULL, 0);
        sequence_start(&s, NULL, &store);
        sequence_stored(&s);
        REQUIRE(through_cbor(core->state, &s, (struct slice){0}, &twin, &none));
        CHECK(sequence_trace_is_sound(&twin));
        for (uint32_t i = 0; i < 3000; i++) {
            bool is_under_way = s.asked != s.reserved;
            struct sequence_event_image call = {.call = SEQUENCE_CALL_TAKE, .argument = i}, read;
            uint64_t roll = rng_below(&rng, 50);
            call.call = is_under_way && roll < 25    ? SEQUENCE_CALL_STORED
                        : roll == 1                  ? SEQUENCE_CALL_NOTE_ROW
                        : roll == 2                  ? SEQUENCE_CALL_NOTE_DONE
                        : roll == 3                  ? SEQUENCE_CALL_NOTE_TRUST
                        : roll < 9                   ? SEQUENCE_CALL_WANTS
                        : roll == 9 && !is_under_way ? SEQUENCE_CALL_SAVE
                                                     : SEQUENCE_CALL_TAKE;
            REQUIRE(through_cbor(core->event, &call, (struct slice){0}, &read, &none));
            sequence_trace_call(&s, &call);
            sequence_trace_call(&twin, &read);
            CHECK(is_twin(DEVICE_TRACE_SEQUENCE, &s, &twin));
        }
    }
}

TEST("states that no device can be in are told from sound ones")
{
    struct link l, bad;
    struct sequence s, wrong;
    struct sequence_store store;
    link_init(&l, 3, 1, 1);
    CHECK(link_trace_is_sound(&l));
    bad = l;
    bad.gateways = 0;
    CHECK(!link_trace_is_sound(&bad));
    bad = l;
    bad.preferred = 3;
    CHECK(!link_trace_is_sound(&bad));
    sequence_start(&s, NULL, &store);
    CHECK(sequence_trace_is_sound(&s));
    wrong = s;
    wrong.boot = 0;
    CHECK(!sequence_trace_is_sound(&wrong));
    wrong = s;
    wrong.first = UINT64_MAX;
    CHECK(!sequence_trace_is_sound(&wrong));
    wrong = s;
    wrong.asked = UINT64_MAX;
    CHECK(!sequence_trace_is_sound(&wrong));
}

TEST("a packet that no gateway sends, or that had no room, makes no event of a link")
{
    const struct link_event_image got = {.kind = LINK_GOT};
    const struct mqtt_packet pong = {.type = MQTT_PINGRESP};
    const struct link_event ev = {.kind = LINK_GOT, .packet = &pong};
    struct link_event_image image;
    struct mqtt_packet packet;
    struct link_event out;
    uint8_t byte;
    struct writer small = writer_over(&byte, sizeof byte);
    CHECK(link_trace_restore(&got, slice_of("\xd0\x00", 2), &packet, &out));
    CHECK(!link_trace_restore(&got, slice_of("\xd0", 1), &packet, &out));
    CHECK(!link_trace_restore(&got, slice_of("\xc0\x00", 2), &packet, &out)); /* PINGREQ */
    link_trace_event(&ev, &image, &small);
    CHECK(image.kind == LINK_GOT && small.len == 0);
    CHECK(!link_trace_restore(&image, writer_slice(&small), &packet, &out));
}

TEST("calls of counters are made again to the last one, also those that give nothing")
{
    const struct sequence_event_image stop = {.call = SEQUENCE_CALL_STOP};
    const struct sequence_event_image stored = {.call = SEQUENCE_CALL_STORED};
    const struct sequence_event_image take = {.call = SEQUENCE_CALL_TAKE};
    const struct sequence_event_image boot = {.call = SEQUENCE_CALL_BEGIN_BOOT};
    struct sequence s;
    struct sequence_store store;
    sequence_start(&s, NULL, &store);
    sequence_trace_call(&s, &stored);
    sequence_trace_call(&s, &boot);
    CHECK_U64(s.boot, 2);
    sequence_trace_call(&s, &stored);
    sequence_trace_call(&s, &stop);
    sequence_trace_call(&s, &stored);
    const uint64_t next = s.next;
    sequence_trace_call(&s, &take);
    CHECK(s.stopped && s.next == next);
}

TEST("a choice of keys made of what was recorded chooses the same")
{
    const struct trace_core *core = &device_trace_cores[DEVICE_TRACE_GENERATION];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rng rng = rng_from_seed(seed);
        struct generation g, twin;
        uint64_t now_ms = 1000;
        generation_init(&g, seed % 2 == 0, seed);
        for (int i = 0; i < 60; i++) {
            struct writer none = writer_over(NULL, 0);
            now_ms += rng_below(&rng, 90000);
            const struct generation_event_image image = {
                .call = (uint8_t)rng_below(&rng, GENERATION_CALL_COUNT),
                .now_ms = now_ms,
                .old_is_valid = rng_below(&rng, 4) != 0};
            struct generation_event_image read;
            REQUIRE(through_cbor(core->state, &g, (struct slice){0}, &twin, &none));
            REQUIRE(through_cbor(core->event, &image, (struct slice){0}, &read, &none));
            CHECK(generation_trace_is_sound(&twin));
            generation_trace_call(&g, &image);
            generation_trace_call(&twin, &read);
            generation_check(&g);
            CHECK(is_twin(DEVICE_TRACE_GENERATION, &g, &twin));
        }
    }
}
