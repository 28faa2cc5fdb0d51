#include "sim/watch.h"

#include "codec/message.h"
#include "codec/senml.h"
#include "core/gateway/session.h"
#include "core/ingest/admit.h"
#include "role/device_inside.h"
#include "sim/captured.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct history *history;
    uint64_t *steps;
    struct device_id *ids; /* by number */
    uint32_t count, cap;
    uint8_t *versions; /* by number */
    uint32_t *places;  /* open addressing: 1 + number; a power of two, at most half full */
    uint32_t places_cap;
} watch;

void watch_begin(struct history *history, uint64_t steps[STEP_KIND_COUNT])
{
    watch_end();
    watch.history = history;
    watch.steps = steps;
}

void watch_end(void)
{
    free(watch.ids);
    free(watch.versions);
    free(watch.places);
    captured_forget();
    memset(&watch, 0, sizeof watch);
}

/* ---- devices by number ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t digest_of(uint64_t hash, struct slice bytes)
{
    hash = mix(hash, bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        hash = mix(hash, bytes.at[i]);
    }
    return hash;
}

static uint32_t *place_of(const struct device_id *id)
{
    uint32_t at =
        (uint32_t)digest_of(0, slice_of(id->bytes, sizeof id->bytes)) & (watch.places_cap - 1);
    while (watch.places[at] != 0 && memcmp(&watch.ids[watch.places[at] - 1], id, sizeof *id) != 0) {
        at = (at + 1) & (watch.places_cap - 1);
    }
    return &watch.places[at];
}

static void grow(void)
{
    watch.cap = watch.cap == 0 ? 64 : watch.cap * 2;
    watch.ids = realloc(watch.ids, watch.cap * sizeof *watch.ids);
    watch.versions = realloc(watch.versions, watch.cap);
    free(watch.places);
    watch.places_cap = watch.cap * 2;
    watch.places = calloc(watch.places_cap, sizeof *watch.places);
    INVARIANT(watch.ids != NULL && watch.places != NULL && watch.versions != NULL);
    for (uint32_t i = 0; i < watch.count; i++) {
        *place_of(&watch.ids[i]) = i + 1;
    }
}

uint32_t watch_device(const struct device_id *id)
{
    if (watch.count == watch.cap) {
        grow();
    }
    uint32_t *place = place_of(id);
    if (*place == 0) {
        watch.versions[watch.count] = 0;
        watch.ids[watch.count++] = *id;
        *place = watch.count;
    }
    return *place - 1;
}

uint32_t watch_devices_count(void)
{
    return watch.count;
}

void watch_set_version(const struct device_id *id, uint32_t version)
{
    uint32_t number = watch_device(id);
    watch.versions[number] = (uint8_t)version;
}

uint32_t watch_version(const struct device_id *id)
{
    return watch.versions[watch_device(id)];
}

bool watch_is_drained(const struct device *d)
{
    bool is_read =
        d->bus == NULL
        || (d->read_to >= bus_staged(d->bus) && bus_durable(d->bus) >= bus_staged(d->bus));
    return is_read && outbox_is_empty(&d->outbox);
}

/* ---- what is looked at ---- */

uint64_t watch_point_digest(struct slice stream, struct slice name, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mix(digest_of(digest_of(1, stream), name), bits);
}

uint64_t watch_message_digest(struct slice message)
{
    return digest_of(2, message);
}

static const struct device *device_of(const struct outbox *o)
{
    return (const struct device *)(const void *)((const char *)o - offsetof(struct device, outbox));
}

static void note_sent(const struct outbox *o, const struct outbox_message *message)
{
    static struct senml_reader reader; /* one thread */
    struct telemetry telemetry;
    struct fault fault;
    struct senml_point point;
    if (telemetry_decode(message->payload, &telemetry, &fault) != MESSAGE_OK) {
        return; /* the description of a boot, which is told by its hello */
    }
    struct sent_point sent = {.device = watch_device(&device_of(o)->id),
                              .boot = telemetry.boot,
                              .seq = telemetry.seq,
                              .message = watch_message_digest(message->payload)};
    struct message_topic topic = {
        .kind = TOPIC_TELEMETRY, .device = device_of(o)->id, .stream = message->stream};
    captured_add(&topic, message->payload);
    senml_open_cbor(&reader, telemetry.cose.payload, 0);
    while (senml_next(&reader, &point)) {
        sent.point = watch_point_digest(message->stream, point.name, point.number);
        sent.time_ms = point.has_time ? point.time_ms : INT64_MIN;
        history_sent(watch.history, &sent);
    }
}

/* The message that was sent under this packet id; NULL: none, or no telemetry. */
static const struct outbox_entry *entry_of(const struct outbox *o, uint16_t packet_id)
{
    for (uint32_t i = 0; i < o->count; i++) {
        const struct outbox_entry *entry = &o->entries[(o->first + i) % o->cap];
        if (entry->state == OUTBOX_SENT && entry->packet_id == packet_id) {
            return entry->stream_len > 0 ? entry : NULL;
        }
    }
    return NULL;
}

/* ---- the calls that pass through ---- */

PASSES_THROUGH(outbox_send);
bool __wrap_outbox_send(struct outbox *o, struct outbox_message *out)
{
    bool sent = __real_outbox_send(o, out);
    watch_count(STEP_OUTBOX, sent);
    if (sent && watch.history != NULL && !out->is_repetition) {
        note_sent(o, out);
    }
    return sent;
}

PASSES_THROUGH(outbox_acked);
bool __wrap_outbox_acked(struct outbox *o, uint16_t packet_id)
{
    const struct outbox_entry *entry = watch.history != NULL ? entry_of(o, packet_id) : NULL;
    if (entry != NULL) {
        history_acked(watch.history, watch_device(&device_of(o)->id), entry->seq);
    }
    watch_count(STEP_OUTBOX, true);
    return __real_outbox_acked(o, packet_id);
}

PASSES_THROUGH(outbox_refused);
bool __wrap_outbox_refused(struct outbox *o, uint16_t packet_id)
{
    const struct outbox_entry *entry = watch.history != NULL ? entry_of(o, packet_id) : NULL;
    if (entry != NULL) {
        history_dropped(watch.history,
                        &(struct dropped_range){.device = watch_device(&device_of(o)->id),
                                                .from = entry->seq,
                                                .to = entry->seq,
                                                .reason = "refused by the gateway"});
    }
    watch_count(STEP_OUTBOX, true);
    return __real_outbox_refused(o, packet_id);
}

PASSES_THROUGH(seal_hello);
enum key_result __wrap_seal_hello(struct writer *w,
                                  const struct key_private *key,
                                  struct slice certificate,
                                  struct slice topic,
                                  const struct hello_claims *claims)
{
    struct message_topic of;
    if (watch.history == NULL || !message_topic_decode(topic, &of)) {
        return __real_seal_hello(w, key, certificate, topic, claims);
    }
    uint32_t number = watch_device(&of.device);
    uint32_t version = watch_version(&of.device);
    history_boot(
        watch.history,
        &(struct said_boot){.device = number,
                            .boot = claims->boot,
                            .first = claims->first,
                            .must_be_refused = (version & VERSION_CRITICAL) != 0,
                            .key = digest_of(3, slice_of(claims->ephemeral, MESSAGE_POINT_LEN))});
    size_t begin = w->len;
    versions_speak(version);
    enum key_result result = __real_seal_hello(w, key, certificate, topic, claims);
    versions_speak(0);
    if (result == KEY_OK && writer_ok(w)) {
        captured_add(&of, slice_after(writer_slice(w), begin));
    }
    return result;
}

void watch_count(enum step_kind kind, bool is_step)
{
    if (watch.steps != NULL && is_step) {
        watch.steps[kind]++;
    }
}

PASSES_THROUGH(gw_session_step);
void __wrap_gw_session_step(struct gw_session *s, const struct gw_event *ev, struct gw_effects *out)
{
    watch_count(STEP_SESSION, true);
    __real_gw_session_step(s, ev, out);
}

PASSES_THROUGH(admit_step);
void __wrap_admit_step(struct admit *a, const struct admit_event *ev, struct admit_effects *out)
{
    watch_count(STEP_ADMIT, true);
    __real_admit_step(a, ev, out);
}

PASSES_THROUGH(link_step);
void __wrap_link_step(struct link *l, const struct link_event *ev, struct link_effects *out)
{
    watch_count(STEP_LINK, true);
    __real_link_step(l, ev, out);
}

PASSES_THROUGH(enroll_step);
void __wrap_enroll_step(struct enroll *e, const struct enroll_event *ev, struct enroll_effects *out)
{
    watch_count(STEP_ENROLL, true);
    __real_enroll_step(e, ev, out);
}
