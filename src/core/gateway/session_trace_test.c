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
                                        .session_expiry_max_s = 3600,
                                        .allow_3_1_1 = true};
static const struct device_id device = {{0xab, 0xcd}};
#define OWN "hf/1/hf1:abcd0000000000000000000000000000/"

/* A session, and its double, which is made of what the ring has recorded and of nothing else. */
struct pair {
    struct gw_session s, twin;
    struct gw_limits twin_limits;
    struct gw_aliases aliases, twin_aliases;
    struct gw_pending inflight[INFLIGHT], twin_inflight[INFLIGHT];
    alignas(16) uint8_t memory[16384];
    struct recorder r;
    uint32_t mark;
    uint64_t now_ms, position;
    struct rng rng;
    bool asked, awaited;
    enum gw_effect_kind kind; /* of what is awaited */
    uint32_t filters;
    uint8_t codes[GW_FILTERS_MAX];
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
                                       p->twin_inflight, INFLIGHT, &p->twin_aliases, &p->twin);
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
    p->asked = p->awaited = false;
    for (uint32_t i = 0; i < fx.count && i < twin_fx.count; i++) {
        CHECK(fx.list[i].kind == twin_fx.list[i].kind);
        p->asked = p->asked || fx.list[i].kind == GW_ASK_ADMISSION;
        if (fx.list[i].kind >= GW_APPEND && fx.list[i].kind <= GW_TAKE_ACK) {
            p->awaited = true;
            p->kind = fx.list[i].kind;
        }
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
    if (out->connect.version == MQTT_5_0 && rng_below(&p->rng, 2) == 0) {
        out->connect.properties.session_expiry_s = 100;
        mqtt_set(&out->connect.properties, MQTT_SESSION_EXPIRY_INTERVAL);
    }
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
    switch (rng_below(&p->rng, 14)) {
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
    case 5:
        out->type = (enum mqtt_type)(MQTT_PUBACK + rng_below(&p->rng, 4));
        out->ack = (struct mqtt_ack){.packet_id = (uint16_t)(1 + rng_below(&p->rng, 50))};
        return;
    default: break;
    }
    out->type = MQTT_PUBLISH;
    out->publish = (struct mqtt_publish){
        .qos = (uint8_t)rng_below(&p->rng, 3), .topic = topic, .payload = slice_text("plant data")};
    out->publish.packet_id = out->publish.qos > 0 ? (uint16_t)(1 + rng_below(&p->rng, 50)) : 0;
    out->publish.retain = rng_below(&p->rng, 5) == 0;
    if (p->s.version == MQTT_5_0 && rng_below(&p->rng, 3) == 0) {
        out->publish.properties.topic_alias = (uint16_t)(1 + rng_below(&p->rng, 3));
        mqtt_set(&out->publish.properties, MQTT_TOPIC_ALIAS);
        if ((p->s.aliases_in >> (out->publish.properties.topic_alias - 1) & 1) != 0) {
            out->publish.topic = (struct slice){0};
        }
    }
}

/* The answer to what was asked, by chance: the acknowledgements may be of what nobody knows. */
static void answer(struct pair *p)
{
    struct gw_event ev = {.kind = GW_STAGED};
    uint64_t dice = rng_below(&p->rng, 12);
    if (dice == 0 || (dice == 1 && p->kind == GW_APPEND)) {
        step(p, (struct gw_event){.kind = dice == 0 ? GW_NO_ROOM : GW_QUEUE_FULL});
        return;
    }
    if (dice < 9) {
        ev.staged.position = p->position += 1 + rng_below(&p->rng, 100);
    }
    bool is_filters = p->kind == GW_SUBSCRIBE || p->kind == GW_UNSUBSCRIBE;
    if (is_filters) {
        memset(p->codes, 0, sizeof p->codes);
        p->codes[0] = dice == 2 ? MQTT_QUOTA_EXCEEDED : 1;
        ev.staged.codes = p->codes;
    } else if (p->kind != GW_APPEND && dice > 9) {
        ev.staged.reason = MQTT_PACKET_ID_NOT_FOUND;
    }
    ev.staged.is_repeat = p->kind == GW_APPEND && dice == 11;
    step(p, ev);
}

/* The role's part, by chance. */
static void act(struct pair *p)
{
    struct mqtt_packet packet;
    p->now_ms += rng_below(&p->rng, 50);
    if (p->asked) {
        bool is_denied = rng_below(&p->rng, 10) == 0;
        struct gw_event ev = {.kind = is_denied ? GW_DENIED : GW_ADMITTED};
        if (is_denied) {
            ev.stop.reason = MQTT_SERVER_BUSY;
        } else {
            ev.admitted.position = rng_below(&p->rng, 2) == 0 ? p->position += 10 : 0;
            ev.admitted.session_present = rng_below(&p->rng, 2) == 0;
        }
        step(p, ev);
    } else if (p->awaited) {
        answer(p);
    } else if (p->s.stall == GW_WAITS_FOR_ROOM || p->s.stall == GW_WAITS_FOR_QUEUE) {
        step(p, (struct gw_event){.kind = GW_HAS_ROOM});
    } else if (p->s.stall != GW_FLOWS || rng_below(&p->rng, 4) == 0) {
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
    const struct gw_place place = {
        .limits = &limits, .inflight = p->inflight, .aliases = &p->aliases};
    gw_session_init(&p->s, &place, &device, 7, p->now_ms);
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

/* Is the text anywhere in a trace of a new session that is given this packet? */
static bool is_kept(const struct mqtt_packet *packet, const char *text)
{
    static struct pair p;
    uint8_t encoded[4096];
    struct recorder_record it;
    struct slice wanted = slice_text(text);
    bool is_there = false;
    const struct gw_event ev = {.kind = GW_SAW_PACKET, .packet = packet};
    begin(&p, 1);
    gw_trace_event(&p.r, &p.mark, 1, &p.s, &ev, 0);
    struct writer w = writer_over(encoded, sizeof encoded);
    for (uint64_t at = 0; recorder_next(&p.r, &at, &it);) {
        CHECK(it.what == RECORDER_STATE || it.bytes.len > 0);
        trace_entry_write(&w, &gw_session_trace, &it);
    }
    CHECK(writer_ok(&w) && w.len > 100);
    for (size_t i = 0; i + wanted.len <= w.len; i++) {
        is_there = is_there || slice_equal(slice_of(encoded + i, wanted.len), wanted);
    }
    return is_there;
}

TEST("a trace of a session holds neither user name nor password")
{
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    packet.connect = (struct mqtt_connect){.version = MQTT_5_0,
                                           .clean_start = true,
                                           .has_user_name = true,
                                           .user_name = slice_text("somebody"),
                                           .has_password = true,
                                           .password = slice_text("secret"),
                                           .client_id = slice_text("client me")};
    CHECK(is_kept(&packet, "client me"));
    CHECK(!is_kept(&packet, "secret"));
    CHECK(!is_kept(&packet, "somebo"));
}

/* With the properties in which a client may prove who it is. */
static void prove(struct mqtt_properties *p, struct writer *user)
{
    mqtt_user_property_write(user, slice_text("token"), slice_text("user secret"));
    p->authentication_method = slice_text("a method");
    p->authentication_data = slice_text("data secret");
    p->repeated = writer_slice(user);
    mqtt_set(p, MQTT_AUTHENTICATION_METHOD);
    mqtt_set(p, MQTT_AUTHENTICATION_DATA);
    mqtt_set(p, MQTT_USER_PROPERTY);
}

TEST("a trace of a session holds no authentication data, of CONNECT or of AUTH")
{
    uint8_t user[64];
    struct writer w = writer_over(user, sizeof user);
    struct mqtt_packet connect = {.type = MQTT_CONNECT, .connect = {.version = MQTT_5_0}};
    struct mqtt_packet auth = {.type = MQTT_AUTH, .auth = {.reason = MQTT_CONTINUE_AUTHENTICATION}};
    prove(&connect.connect.properties, &w);
    writer_reset(&w);
    prove(&auth.auth.properties, &w);
    const struct mqtt_packet *const packets[] = {&connect, &auth};
    for (size_t i = 0; i < COUNT_OF(packets); i++) {
        CHECK(is_kept(packets[i], "a method"));
        CHECK(!is_kept(packets[i], "data secret"));
        CHECK(!is_kept(packets[i], "user secret"));
    }
}

static bool restores(const struct gw_session_image *image, size_t pendings)
{
    static const uint8_t rows[(INFLIGHT + 1) * sizeof(struct gw_pending)];
    struct gw_limits l;
    struct gw_pending inflight[INFLIGHT];
    static struct gw_aliases aliases;
    struct gw_session s;
    return gw_trace_restore(image, slice_of(rows, pendings * sizeof *inflight), &l, inflight,
                            INFLIGHT, &aliases, &s);
}

TEST("a state that no session can be in is not restored")
{
    static struct pair p;
    static struct gw_session_image good, bad;
    struct writer none = writer_over(NULL, 0);
    begin(&p, 1);
    gw_session_trace.save(&p.s, &good, &none);
    good.session.inflight_head = INFLIGHT - 1; /* the pendings lie around the end of the ring */
    good.session.inflight_count = 2;
    CHECK(restores(&good, 2));
    CHECK(!restores(&good, 1));
#define IS_REFUSED(member, value, pendings)                                                        \
    bad = good, bad.member = (value), CHECK(!restores(&bad, pendings))
    IS_REFUSED(limits.inflight_max, 0, 2);
    IS_REFUSED(limits.inflight_max, INFLIGHT + 1, 2);
    IS_REFUSED(limits.keep_alive_max_s, 0, 2);
    IS_REFUSED(session.inflight_head, INFLIGHT, 2);
    IS_REFUSED(session.inflight_count, INFLIGHT + 1, INFLIGHT + 1);
    IS_REFUSED(session.version, (enum mqtt_version)3, 2);
    IS_REFUSED(session.is_application, true, 2);
#undef IS_REFUSED
    good.session.version = MQTT_3_1_1;
    CHECK(restores(&good, 2));
}

static bool makes_event(const struct gw_event_image *image, const void *bytes, size_t len)
{
    static struct gw_event_memory memory;
    static struct gw_session s;
    struct gw_event ev;
    return gw_trace_event_restore(image, slice_of(bytes, len), &s, &memory, &ev)
           && ev.kind == (enum gw_event_kind)image->kind;
}

TEST("an event that no gateway can have met is not made again")
{
    static const char topic[GW_TRACE_TOPIC_MAX + 1];
    struct gw_event_image ping = {.kind = GW_SAW_PACKET, .type = MQTT_PINGREQ, .version = MQTT_5_0};
    CHECK(makes_event(&ping, "\xc0\x00", 2));
    CHECK(!makes_event(&ping, "\xc0", 1));             /* half a frame */
    CHECK(!makes_event(&ping, "\x82\x02\x00\x01", 4)); /* SUBSCRIBE to nothing */
    ping.flags = GW_EVENT_CUT;
    CHECK(!makes_event(&ping, "\xc0\x00", 2));
    ping.flags = 0;
    ping.version = MQTT_3_1_1;
    CHECK(makes_event(&ping, "\xc0\x00", 2));
    ping.version = 3;
    CHECK(!makes_event(&ping, "\xc0\x00", 2));
    struct gw_event_image publish = {
        .kind = GW_SAW_PACKET, .type = MQTT_PUBLISH, .flags = GW_EVENT_OWN};
    CHECK(makes_event(&publish, topic, GW_TRACE_TOPIC_MAX));
    CHECK(!makes_event(&publish, topic, sizeof topic));
    struct gw_event_image denied = {.kind = GW_DENIED, .reason = MQTT_NOT_AUTHORIZED};
    CHECK(makes_event(&denied, NULL, 0));
    denied.reason = 0x7f; /* is no reason of MQTT's */
    CHECK(!makes_event(&denied, NULL, 0));
    for (uint8_t kind = GW_STAGED; kind < GW_EVENT_COUNT; kind++) {
        CHECK(makes_event(&(struct gw_event_image){.kind = kind}, NULL, 0));
    }
    CHECK(makes_event(&(struct gw_event_image){.kind = GW_SAW_FAULT}, NULL, 0));
}

TEST("what has no room in the ring is counted, and nothing of it is there")
{
    static struct pair p;
    static struct gw_pending many[GW_TRACE_PENDINGS_MAX + 1];
    const struct mqtt_packet publish = {.type = MQTT_PUBLISH,
                                        .publish = {.topic = slice_text(OWN "x")}};
    const struct gw_event events[] = {{.kind = GW_STAGED, .staged = {.position = 1}},
                                      {.kind = GW_SAW_PACKET, .packet = &publish},
                                      {.kind = GW_TICK}};
    struct recorder_record it;
    uint64_t at = 0;
    begin(&p, 1);
    recorder_init(&p.r, p.memory, 128);
    for (size_t i = 0; i < COUNT_OF(events); i++) {
        gw_trace_event(&p.r, &p.mark, 1, &p.s, &events[i], 0);
    }
    CHECK_U64(p.r.unseen, COUNT_OF(events));
    /* Nor has a session with more publishes under way than a state has room for. */
    struct gw_limits wide = limits;
    wide.inflight_max = COUNT_OF(many);
    recorder_init(&p.r, p.memory, sizeof p.memory);
    p.mark = 0;
    p.s.limits = &wide;
    p.s.inflight = many;
    p.s.inflight_count = COUNT_OF(many);
    gw_trace_event(&p.r, &p.mark, 1, &p.s, &events[0], 0);
    CHECK(!recorder_next(&p.r, &at, &it));
}

TEST("a session with more publishes than its limit, which is a breach, is saved without them")
{
    static struct pair p;
    static struct gw_session_image image;
    uint8_t rows[INFLIGHT * sizeof(struct gw_pending)];
    struct writer behind = writer_over(rows, sizeof rows);
    begin(&p, 1);
    p.s.inflight_count = INFLIGHT + 1;
    gw_session_trace.save(&p.s, &image, &behind);
    CHECK_U64(behind.len, 0);
    CHECK_U64(image.session.inflight_count, INFLIGHT + 1);
}

TEST("of a topic that is longer than any of ours the beginning is kept")
{
    static struct pair p;
    static char topic[GW_TRACE_TOPIC_MAX + 100];
    struct recorder_record it = {.bytes = {0}};
    memset(topic, 't', sizeof topic);
    const struct mqtt_packet publish = {.type = MQTT_PUBLISH,
                                        .publish = {.topic = slice_of(topic, sizeof topic)}};
    const struct gw_event ev = {.kind = GW_SAW_PACKET, .packet = &publish};
    begin(&p, 1);
    gw_trace_event(&p.r, &p.mark, 1, &p.s, &ev, 0);
    for (uint64_t at = 0; recorder_next(&p.r, &at, &it);) {
    }
    CHECK(it.what == RECORDER_EVENT);
    CHECK(slice_equal(it.bytes, slice_of(topic, GW_TRACE_TOPIC_MAX)));
}
