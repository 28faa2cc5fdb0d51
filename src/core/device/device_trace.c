#include "core/device/device_trace.h"

#include "base/invariant.h"
#include "codec/mqtt.h"

#include <string.h>

/* ---- tables ---- */

static const char *const link_names[] = {
    [LINK_START] = "start", [LINK_TICK] = "tick",     [LINK_OPENED] = "opened",
    [LINK_GOT] = "got",     [LINK_SENT] = "sent",     [LINK_CLOSED] = "closed",
    [LINK_RENEW] = "renew", [LINK_HINTED] = "hinted", [LINK_STOP] = "stop",
};
static const char *const enroll_names[] = {
    [ENROLL_STARTED] = "started",       [ENROLL_TICK] = "tick",
    [ENROLL_KEY_STORED] = "key-stored", [ENROLL_CERTIFIED] = "certified",
    [ENROLL_LATER] = "later",           [ENROLL_REFUSED] = "refused",
    [ENROLL_UNANSWERED] = "unanswered", [ENROLL_STORED] = "stored",
};
static const char *const call_names[SEQUENCE_CALL_COUNT] = {
    [SEQUENCE_CALL_STORED] = "stored",
    [SEQUENCE_CALL_WANTS] = "wants",
    [SEQUENCE_CALL_TAKE] = "take",
    [SEQUENCE_CALL_NOTE_ROW] = "note-row",
    [SEQUENCE_CALL_NOTE_DONE] = "note-done",
    [SEQUENCE_CALL_NOTE_TRUST] = "note-trust",
    [SEQUENCE_CALL_SAVE] = "save",
    [SEQUENCE_CALL_STOP] = "stop",
    [SEQUENCE_CALL_BEGIN_BOOT] = "begin-boot",
};

static const char *const generation_names[GENERATION_CALL_COUNT] = {
    [GENERATION_CALL_RENEWED] = "renewed",
    [GENERATION_CALL_DIAL] = "dial",
    [GENERATION_CALL_LIVE] = "live",
    [GENERATION_CALL_FAILED] = "failed",
};

#define LINK(member, kind, most) TRACE_FIELD(struct link, member, kind, most)
#define RESTS(at)                LINK(rests_ms[at], TRACE_UINT, UINT64_MAX)
static const struct trace_field link_fields[] = {
    LINK(state, TRACE_UINT, LINK_STATE_COUNT - 1),
    LINK(rng.state, TRACE_UINT, UINT64_MAX),
    LINK(gateways, TRACE_UINT, UINT32_MAX),
    LINK(preferred, TRACE_UINT, UINT32_MAX),
    LINK(attempts, TRACE_UINT, UINT32_MAX),
    LINK(is_hung_up, TRACE_FLAG, 0),
    LINK(window, TRACE_UINT, UINT16_MAX),
    LINK(keep_alive_s, TRACE_UINT, UINT16_MAX),
    LINK(packet_max, TRACE_UINT, UINT32_MAX),
    LINK(due_ms, TRACE_UINT, UINT64_MAX),
    LINK(sent_ms, TRACE_UINT, UINT64_MAX),
    LINK(ping_ms, TRACE_UINT, UINT64_MAX),
    LINK(hold_ms, TRACE_UINT, UINT64_MAX),
    LINK(last_reason, TRACE_UINT, UINT8_MAX),
    LINK(current, TRACE_UINT, LINK_GATEWAYS_MAX - 1),
    LINK(slots, TRACE_UINT, UINT32_MAX),
    LINK(slot_ms, TRACE_UINT, UINT32_MAX),
    LINK(priority, TRACE_OCTETS, 0),
    LINK(failures, TRACE_OCTETS, 0),
    LINK(return_ms, TRACE_UINT, UINT64_MAX),
    LINK(is_sent, TRACE_FLAG, 0),
    RESTS(0),
    RESTS(1),
    RESTS(2),
    RESTS(3),
    RESTS(4),
    RESTS(5),
    RESTS(6),
    RESTS(7),
    RESTS(8),
    RESTS(9),
    RESTS(10),
    RESTS(11),
    RESTS(12),
    RESTS(13),
    RESTS(14),
    RESTS(15),
};
static const struct trace_field link_event_fields[] = {
    TRACE_NAMED(struct link_event_image, kind, link_names),
    TRACE_FIELD(struct link_event_image, now_ms, TRACE_UINT, UINT64_MAX),
    TRACE_FIELD(struct link_event_image, slots, TRACE_UINT, UINT32_MAX),
    TRACE_FIELD(struct link_event_image, slot_ms, TRACE_UINT, UINT32_MAX),
};

#define ENROLL(member, kind, most) TRACE_FIELD(struct enroll, member, kind, most)
static const struct trace_field enroll_fields[] = {
    ENROLL(state, TRACE_UINT, ENROLL_STATE_COUNT - 1),
    ENROLL(rng.state, TRACE_UINT, UINT64_MAX),
    ENROLL(is_renewal, TRACE_FLAG, 0),
    ENROLL(attempts, TRACE_UINT, UINT32_MAX),
    ENROLL(due_ms, TRACE_UINT, UINT64_MAX),
    ENROLL(not_before_ms, TRACE_INT, 0),
    ENROLL(renew_at_ms, TRACE_INT, 0),
    ENROLL(renew_own_ms, TRACE_UINT, UINT64_MAX),
    ENROLL(hurry_ms, TRACE_UINT, UINT64_MAX),
    ENROLL(asked, TRACE_UINT, UINT64_MAX),
    ENROLL(refused, TRACE_UINT, UINT64_MAX),
    ENROLL(unanswered, TRACE_UINT, UINT64_MAX),
};
#define ENROLL_EVENT(member, kind, most) TRACE_FIELD(struct enroll_event, member, kind, most)
static const struct trace_field enroll_event_fields[] = {
    TRACE_NAMED(struct enroll_event, kind, enroll_names),
    ENROLL_EVENT(now_ms, TRACE_UINT, UINT64_MAX),
    ENROLL_EVENT(wall_ms, TRACE_INT, 0),
    ENROLL_EVENT(has_clock, TRACE_FLAG, 0),
    ENROLL_EVENT(has_certificate, TRACE_FLAG, 0),
    ENROLL_EVENT(has_next_key, TRACE_FLAG, 0),
    ENROLL_EVENT(not_before_ms, TRACE_INT, 0),
    ENROLL_EVENT(not_after_ms, TRACE_INT, 0),
    ENROLL_EVENT(retry_after_s, TRACE_UINT, UINT32_MAX),
};

#define SEQUENCE(member, kind, most) TRACE_FIELD(struct sequence, member, kind, most)
static const struct trace_field sequence_fields[] = {
    SEQUENCE(boot, TRACE_UINT, UINT32_MAX),  SEQUENCE(first, TRACE_UINT, UINT64_MAX),
    SEQUENCE(next, TRACE_UINT, UINT64_MAX),  SEQUENCE(reserved, TRACE_UINT, UINT64_MAX),
    SEQUENCE(asked, TRACE_UINT, UINT64_MAX), SEQUENCE(counter, TRACE_UINT, UINT64_MAX),
    SEQUENCE(row, TRACE_UINT, UINT64_MAX),   SEQUENCE(done, TRACE_UINT, UINT64_MAX),
    SEQUENCE(trust, TRACE_UINT, UINT64_MAX), SEQUENCE(stopped, TRACE_FLAG, 0),
};
static const struct trace_field sequence_event_fields[] = {
    TRACE_NAMED(struct sequence_event_image, call, call_names),
    TRACE_FIELD(struct sequence_event_image, argument, TRACE_UINT, UINT64_MAX),
};

#define GENERATION(member, kind, most) TRACE_FIELD(struct generation, member, kind, most)
static const struct trace_field generation_fields[] = {
    GENERATION(state, TRACE_UINT, GENERATION_STATE_COUNT - 1),
    GENERATION(rng.state, TRACE_UINT, UINT64_MAX),
    GENERATION(uses_new, TRACE_FLAG, 0),
    GENERATION(attempts, TRACE_UINT, UINT32_MAX),
    GENERATION(due_ms, TRACE_UINT, UINT64_MAX),
};
static const struct trace_field generation_event_fields[] = {
    TRACE_NAMED(struct generation_event_image, call, generation_names),
    TRACE_FIELD(struct generation_event_image, now_ms, TRACE_UINT, UINT64_MAX),
    TRACE_FIELD(struct generation_event_image, old_is_valid, TRACE_FLAG, 0),
};

#define SHAPE(name, fields_, type)                                                                 \
    static const struct trace_shape name = {                                                       \
        .fields = (fields_), .count = COUNT_OF(fields_), .image_len = sizeof(type)}
SHAPE(link_shape, link_fields, struct link);
SHAPE(link_event_shape, link_event_fields, struct link_event_image);
SHAPE(enroll_shape, enroll_fields, struct enroll);
SHAPE(enroll_event_shape, enroll_event_fields, struct enroll_event);
SHAPE(sequence_shape, sequence_fields, struct sequence);
SHAPE(sequence_event_shape, sequence_event_fields, struct sequence_event_image);
SHAPE(generation_shape, generation_fields, struct generation);
SHAPE(generation_event_shape, generation_event_fields, struct generation_event_image);

static void save_link(const void *core, void *image, struct writer *bytes)
{
    (void)bytes;
    memcpy(image, core, sizeof(struct link));
}

static void save_enroll(const void *core, void *image, struct writer *bytes)
{
    (void)bytes;
    memcpy(image, core, sizeof(struct enroll));
}

static void save_sequence(const void *core, void *image, struct writer *bytes)
{
    (void)bytes;
    memcpy(image, core, sizeof(struct sequence));
}

static void save_generation(const void *core, void *image, struct writer *bytes)
{
    (void)bytes;
    memcpy(image, core, sizeof(struct generation));
}

const struct trace_core device_trace_cores[DEVICE_TRACE_CORES] = {
    [DEVICE_TRACE_LINK] = {.name = "device-link",
                           .state = &link_shape,
                           .event = &link_event_shape,
                           .save = save_link},
    [DEVICE_TRACE_ENROLL] = {.name = "device-enroll",
                             .state = &enroll_shape,
                             .event = &enroll_event_shape,
                             .save = save_enroll},
    [DEVICE_TRACE_SEQUENCE] = {.name = "device-sequence",
                               .state = &sequence_shape,
                               .event = &sequence_event_shape,
                               .save = save_sequence},
    [DEVICE_TRACE_GENERATION] = {.name = "device-generation",
                                 .state = &generation_shape,
                                 .event = &generation_event_shape,
                                 .save = save_generation},
};

/* ---- events ---- */

void link_trace_event(const struct link_event *ev,
                      struct link_event_image *image,
                      struct writer *packet)
{
    *image = (struct link_event_image){.now_ms = ev->now_ms,
                                       .slots = ev->slots,
                                       .slot_ms = ev->slot_ms,
                                       .kind = (uint8_t)ev->kind};
    if (ev->kind == LINK_GOT
        && mqtt_encode(ev->packet, MQTT_5_0, MQTT_FROM_SERVER, packet) != MQTT_OK) {
        writer_reset(packet); /* too large: the replay will say that it is not here */
    }
}

bool link_trace_restore(const struct link_event_image *image,
                        struct slice bytes,
                        struct mqtt_packet *packet,
                        struct link_event *out)
{
    struct mqtt_frame frame;
    struct mqtt_fault fault;
    *out = (struct link_event){.kind = (enum link_event_kind)image->kind,
                               .now_ms = image->now_ms,
                               .slots = image->slots,
                               .slot_ms = image->slot_ms};
    if (out->kind != LINK_GOT) {
        return true;
    }
    out->packet = packet;
    return mqtt_frame_next(bytes, LINK_TRACE_PACKET_MAX, &frame, &fault) == MQTT_OK
           && mqtt_decode(&frame, MQTT_5_0, MQTT_FROM_SERVER, packet, &fault) == MQTT_OK;
}

bool link_trace_is_sound(const struct link *l)
{
    return l->gateways > 0 && l->gateways <= LINK_GATEWAYS_MAX && l->preferred < l->gateways
           && l->current < l->gateways && (uint64_t)l->slots * l->slot_ms <= LINK_SPREAD_MAX_MS;
}

bool sequence_trace_is_sound(const struct sequence *s)
{
    return s->boot > 0 && s->first <= UINT64_MAX / 2 && s->asked <= UINT64_MAX / 2;
}

void sequence_trace_call(struct sequence *s, const struct sequence_event_image *image)
{
    struct sequence_store store;
    uint64_t seq = 0;
    switch ((enum sequence_call)image->call) {
    case SEQUENCE_CALL_STORED: sequence_stored(s); return;
    case SEQUENCE_CALL_WANTS: (void)sequence_wants(s, &store); return;
    case SEQUENCE_CALL_TAKE:
        if (!sequence_take(s, &seq)) {
            seq = 0;
        }
        return;
    case SEQUENCE_CALL_NOTE_ROW: sequence_note_row(s, image->argument); return;
    case SEQUENCE_CALL_NOTE_DONE: sequence_note_done(s, image->argument); return;
    case SEQUENCE_CALL_NOTE_TRUST: sequence_note_trust(s, image->argument); return;
    case SEQUENCE_CALL_SAVE: sequence_save(s, &store); return;
    case SEQUENCE_CALL_STOP: sequence_stop(s, &store); return;
    case SEQUENCE_CALL_BEGIN_BOOT: sequence_begin_boot(s, &store); return;
    }
    UNREACHABLE();
}

/* A state that generation_check would stop at is a broken invariant of its own: the replay finds
 * it. */
bool generation_trace_is_sound(const struct generation *g)
{
    return (int)g->state < (int)GENERATION_STATE_COUNT;
}

void generation_trace_call(struct generation *g, const struct generation_event_image *image)
{
    bool answer;
    switch ((enum generation_call)image->call) {
    case GENERATION_CALL_RENEWED: generation_renewed(g); return;
    case GENERATION_CALL_DIAL:
        answer = generation_dial(g, image->now_ms, image->old_is_valid);
        (void)answer; /* what came of it is the next event */
        return;
    case GENERATION_CALL_LIVE:
        answer = generation_live(g);
        (void)answer;
        return;
    case GENERATION_CALL_FAILED: generation_failed(g, image->now_ms); return;
    }
    UNREACHABLE();
}
