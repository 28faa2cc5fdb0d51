#include "base/rng.h"
#include "core/gateway/session_trace.h"
#include "test/test.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

enum { INFLIGHT = 4 };

static const struct gw_limits limits = {.packet_max = 4096,
                                        .inflight_max = INFLIGHT,
                                        .keep_alive_max_s = 100,
                                        .connect_ms = 5000,
                                        .allow_3_1_1 = true};
static const struct device_id device = {{0xab, 0xcd}};
#define OWN "hf/1/hf1:abcd0000000000000000000000000000/"

/* A session, and its double, which is made of what the ring has recorded and of nothing else. */
struct pair {
    struct gw_session s, twin;
    struct gw_limits twin_limits;
    struct gw_pending inflight[INFLIGHT], twin_inflight[INFLIGHT];
    alignas(16) uint8_t memory[16384];
    struct recorder r;
    uint32_t mark;
    uint64_t now_ms, position;
    struct rng rng;
    bool asked, appended;
    uint8_t bytes[600];
};

/* What is in a record, through the file's encoding and back. */
static bool through_cbor(const struct recorder_record *record, void *image, struct writer *behind)
{
    static uint8_t encoded[TRACE_ENTRY_MAX];
    struct writer w = writer_over(encoded, sizeof encoded);
    const struct trace_shape *shape =
        record->what == RECORDER_STATE ? gw_session_trace.state : gw_session_trace.event;
    trace_entry_write(&w, &gw_session_trace, record);
    struct slice entry = writer_slice(&w);
    entry = slice_after(entry, 4); /* the heads of the array, the core, the instance, the kind */
    return trace_image_read(entry, shape, image, behind);
}

static struct slice state_of(const struct gw_session *s, struct writer *w)
{
    static struct gw_session_image image;
    uint8_t rows[INFLIGHT * sizeof(struct gw_pending)];
    struct writer behind = writer_over(rows, sizeof rows);
    gw_session_trace.save(s, &image, &behind);
    trace_image_write(w, gw_session_trace.state, &image, writer_slice(&behind));
    return writer_slice(w);
}

static bool is_twin(const struct pair *p)
{
    uint8_t a[2048], b[2048];
    struct writer wa = writer_over(a, sizeof a);
    struct writer wb = writer_over(b, sizeof b);
    return slice_equal(state_of(&p->s, &wa), state_of(&p->twin, &wb));
}

/* The twin from the ring's first state of it on. */
static bool replay(struct pair *p, struct gw_effects *fx)
{
    struct recorder_record it;
    bool is_live = false;
    for (uint64_t at = 0; recorder_next(&p->r, &at, &it);) {
        static alignas(16) uint8_t image[TRACE_IMAGE_MAX];
        static uint8_t behind[8192];
        struct writer w = writer_over(behind, sizeof behind);
        static struct gw_event_memory memory;
        struct gw_event ev;
        if (!through_cbor(&it, image, &w)) {
            return false;
        }
        if (it.what == RECORDER_STATE) {
            is_live = gw_trace_restore((const void *)image, writer_slice(&w), &p->twin_limits,
                                       p->twin_inflight, INFLIGHT, &p->twin);
        } else if (!is_live
                   || !gw_trace_event_restore((const void *)image, writer_slice(&w), &p->twin,
                                              &memory, &ev)) {
            return false;
        } else {
            gw_session_step(&p->twin, &ev, fx);
        }
    }
    return is_live;
}

static void step(struct pair *p, struct gw_event ev)
{
    struct gw_effects fx, twin_fx;
    ev.now_ms = p->now_ms;
    gw_trace_event(&p->r, &p->mark, 1, &p->s, &ev, p->s.durable);
    gw_session_step(&p->s, &ev, &fx);
    REQUIRE(replay(p, &twin_fx));
    CHECK(is_twin(p));
    CHECK_U64(fx.count, twin_fx.count);
    p->asked = p->appended = false;
    for (uint32_t i = 0; i < fx.count && i < twin_fx.count; i++) {
        CHECK(fx.list[i].kind == twin_fx.list[i].kind);
        p->asked = p->asked || fx.list[i].kind == GW_ASK_ADMISSION;
        p->appended = p->appended || fx.list[i].kind == GW_APPEND;
    }
}

static void make_connect(struct pair *p, struct mqtt_packet *out)
{
    *out = (struct mqtt_packet){.type = MQTT_CONNECT};
    out->connect =
        (struct mqtt_connect){.version = rng_below(&p->rng, 3) == 0 ? MQTT_3_1_1 : MQTT_5_0,
                              .clean_start = true,
                              .has_user_name = rng_below(&p->rng, 2) == 0,
                              .keep_alive_s = (uint16_t)rng_below(&p->rng, 300),
                              .client_id = slice_text(rng_below(&p->rng, 4) == 0 ? "" : "me")};
    if (out->connect.has_user_name) {
        out->connect.user_name = slice_text("somebody");
        out->connect.has_password = true;
        out->connect.password = slice_text("secret");
    }
}

static void make_packet(struct pair *p, struct mqtt_packet *out)
{
    static const char *const topics[] = {OWN "j/s", OWN "t/press", OWN "hello", OWN "x",
                                         "other",   OWN "c",       OWN "n"};
    struct slice topic = slice_text(topics[rng_below(&p->rng, COUNT_OF(topics))]);
    struct writer w = writer_over(p->bytes, sizeof p->bytes);
    *out = (struct mqtt_packet){.type = MQTT_PINGREQ};
    switch (rng_below(&p->rng, 12)) {
    case 0: make_connect(p, out); return;
    case 1: return;
    case 2:
        mqtt_subscription_write(&w, &(struct mqtt_subscription){.filter = topic, .qos = 1});
        out->type = MQTT_SUBSCRIBE;
        out->subscribe =
            (struct mqtt_subscribe){.packet_id = 9, .count = 1, .entries = writer_slice(&w)};
        return;
    case 3:
        mqtt_filter_write(&w, topic);
        out->type = MQTT_UNSUBSCRIBE;
        out->unsubscribe =
            (struct mqtt_unsubscribe){.packet_id = 9, .count = 1, .entries = writer_slice(&w)};
        return;
    case 4:
        if (rng_below(&p->rng, 20) == 0) {
            out->type = MQTT_DISCONNECT;
        }
        return;
    default: break;
    }
    out->type = MQTT_PUBLISH;
    out->publish = (struct mqtt_publish){
        .qos = (uint8_t)rng_below(&p->rng, 2), .topic = topic, .payload = slice_text("plant data")};
    out->publish.packet_id = out->publish.qos > 0 ? (uint16_t)(1 + rng_below(&p->rng, 50)) : 0;
}

/* The role's part, by chance. */
static void act(struct pair *p)
{
    struct mqtt_packet packet;
    p->now_ms += rng_below(&p->rng, 50);
    if (p->asked) {
        bool is_denied = rng_below(&p->rng, 10) == 0;
        step(p, (struct gw_event){.kind = is_denied ? GW_DENIED : GW_ADMITTED,
                                  .reason = is_denied ? MQTT_SERVER_BUSY : MQTT_SUCCESS});
    } else if (p->appended) {
        bool is_full = rng_below(&p->rng, 12) == 0;
        p->position += 1 + rng_below(&p->rng, 100);
        step(p, (struct gw_event){.kind = is_full ? GW_NO_ROOM : GW_STAGED,
                                  .position = is_full ? 0 : p->position});
    } else if (p->s.stall == GW_WAITS_FOR_ROOM) {
        step(p, (struct gw_event){.kind = GW_HAS_ROOM});
    } else if (rng_below(&p->rng, 4) == 0) {
        step(p, (struct gw_event){.kind = GW_STORED, .position = p->position});
    } else if (rng_below(&p->rng, 60) == 0) {
        step(p, (struct gw_event){.kind = GW_TICK});
    } else {
        if (p->s.state == GW_NEW) {
            make_connect(p, &packet);
        } else {
            make_packet(p, &packet);
        }
        step(p, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet});
    }
}

static void begin(struct pair *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    p->now_ms = 1000000;
    p->rng = rng_from_seed(seed);
    recorder_init(&p->r, p->memory, sizeof p->memory);
    gw_session_init(&p->s, &limits, p->inflight, &device, 7, p->now_ms);
}

TEST("what is recorded of a session, read back, makes a session that does the same")
{
    static struct pair p;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        begin(&p, seed);
        for (int i = 0; i < 60 && p.s.state != GW_CLOSED; i++) {
            act(&p);
        }
    }
}

TEST("a trace of a session holds neither user name nor password")
{
    static struct pair p;
    uint8_t encoded[4096];
    struct recorder_record it;
    begin(&p, 1);
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    packet.connect = (struct mqtt_connect){.version = MQTT_5_0,
                                           .clean_start = true,
                                           .has_user_name = true,
                                           .user_name = slice_text("somebody"),
                                           .has_password = true,
                                           .password = slice_text("secret"),
                                           .client_id = slice_text("me")};
    struct gw_event ev = {.kind = GW_SAW_PACKET, .packet = &packet};
    gw_trace_event(&p.r, &p.mark, 1, &p.s, &ev, 0);
    struct writer w = writer_over(encoded, sizeof encoded);
    for (uint64_t at = 0; recorder_next(&p.r, &at, &it);) {
        trace_entry_write(&w, &gw_session_trace, &it);
    }
    REQUIRE(writer_ok(&w) && w.len > 100);
    for (size_t i = 0; i + 6 <= w.len; i++) {
        CHECK(memcmp(encoded + i, "secret", 6) != 0);
        CHECK(memcmp(encoded + i, "somebo", 6) != 0);
    }
}
