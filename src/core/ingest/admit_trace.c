#include "core/ingest/admit_trace.h"

#include "base/invariant.h"
#include "core/ingest/admit_inside.h"

#include <string.h>

enum { CORE = 0 };

static const char *const event_names[] = {
    [ADMIT_SAW_RECORD] = "saw-record",
    [ADMIT_LOADED] = "loaded",
    [ADMIT_LOOKED] = "looked",
    [ADMIT_WAIT_REFUSED] = "wait-refused",
    [ADMIT_WAIT_EXPIRED] = "wait-expired",
    [ADMIT_SERIES_REFUSED] = "series-refused",
    [ADMIT_COMMITTED] = "committed",
};

#define FIELD(member, kind, most) TRACE_FIELD(struct admit_device_image, device.member, kind, most)
#define BOOT(boot_)                                                                                \
    FIELD(boot_.boot, TRACE_UINT, UINT32_MAX), FIELD(boot_.first, TRACE_UINT, UINT64_MAX),         \
        FIELD(boot_.received_ms, TRACE_INT, 0), FIELD(boot_.ephemeral, TRACE_OCTETS, 0),           \
        FIELD(boot_.key_id, TRACE_OCTETS, 0)
#define LINK(i)                                                                                    \
    FIELD(links[i].gateway, TRACE_UINT, UINT64_MAX), FIELD(links[i].exporter, TRACE_OCTETS, 0)

static const struct trace_field device_fields[] = {
    FIELD(in_use, TRACE_LEFT_OUT, 0),
    FIELD(is_dirty, TRACE_LEFT_OUT, 0),
    FIELD(was_used, TRACE_LEFT_OUT, 0),
    FIELD(next_dirty, TRACE_LEFT_OUT, 0),
    FIELD(received.spill, TRACE_LEFT_OUT, 0),
    FIELD(received.runs, TRACE_LEFT_OUT, 0), /* the gaps lie behind the image */
    FIELD(mac_boots, TRACE_LEFT_OUT, 0),
    FIELD(macs, TRACE_LEFT_OUT, 0), /* keys */
    FIELD(id.bytes, TRACE_OCTETS, 0),
    FIELD(is_enrolled, TRACE_FLAG, 0),
    FIELD(gateway, TRACE_UINT, UINT64_MAX),
    FIELD(connected, TRACE_FLAG, 0),
    FIELD(linked_ms, TRACE_INT, 0),
    FIELD(seen_ms, TRACE_INT, 0),
    FIELD(boots_total, TRACE_UINT, UINT32_MAX),
    FIELD(boot_count, TRACE_UINT, ADMIT_BOOTS),
    BOOT(boots[0]),
    BOOT(boots[1]),
    BOOT(boots[2]),
    BOOT(boots[3]),
    BOOT(boots[4]),
    BOOT(boots[5]),
    BOOT(boots[6]),
    BOOT(boots[7]),
    BOOT(older.boot),
    FIELD(older.is_known, TRACE_FLAG, 0),
    FIELD(older.is_stale, TRACE_FLAG, 0),
    FIELD(older.above_first, TRACE_UINT, UINT64_MAX),
    FIELD(older.below_first, TRACE_UINT, UINT64_MAX),
    FIELD(certificate.bytes, TRACE_OCTETS, 0),
    FIELD(agent, TRACE_OCTETS, 0),
    FIELD(agent_len, TRACE_UINT, MESSAGE_AGENT_MAX),
    FIELD(link_count, TRACE_UINT, ADMIT_LINKS),
    LINK(0),
    LINK(1),
    LINK(2),
    LINK(3),
    LINK(4),
    LINK(5),
    FIELD(has_clock_offset, TRACE_FLAG, 0),
    FIELD(clock_offset_ms, TRACE_INT, 0),
    FIELD(clock_quality, TRACE_UINT, TIME_QUALITY_COUNT - 1),
    FIELD(messages, TRACE_UINT, UINT64_MAX),
    FIELD(points, TRACE_UINT, UINT64_MAX),
    FIELD(dead_letters, TRACE_UINT, UINT64_MAX),
    FIELD(link_mismatches, TRACE_UINT, UINT64_MAX),
    FIELD(dead_letter_ms, TRACE_INT, 0),
    FIELD(received.next, TRACE_UINT, UINT64_MAX),
    FIELD(received.lost, TRACE_UINT, UINT64_MAX),
    FIELD(received.duplicates, TRACE_UINT, UINT64_MAX),
    FIELD(received.count, TRACE_UINT, RECEIVED_GAPS_MAX),
};
static_assert(ADMIT_BOOTS == 8 && ADMIT_LINKS == 6, "the table names each of them");

static const struct trace_field gap_fields[] = {
    TRACE_FIELD(struct received_run, from, TRACE_UINT, UINT64_MAX),
    TRACE_FIELD(struct received_run, count_why, TRACE_UINT, UINT32_MAX),
    TRACE_FIELD(struct received_run, since_s, TRACE_UINT, UINT32_MAX),
};

#define EVENT(member, kind, most) TRACE_FIELD(struct admit_event_image, member, kind, most)

static const struct trace_field event_fields[] = {
    TRACE_NAMED(struct admit_event_image, kind, event_names),
    EVENT(is_authentic, TRACE_FLAG, 0),
    EVENT(is_void, TRACE_FLAG, 0),
    EVENT(points, TRACE_UINT, UINT32_MAX),
    EVENT(gateway, TRACE_UINT, UINT64_MAX),
    EVENT(older.boot.boot, TRACE_UINT, UINT32_MAX),
    EVENT(older.boot.first, TRACE_UINT, UINT64_MAX),
    EVENT(older.boot.received_ms, TRACE_INT, 0),
    EVENT(older.boot.ephemeral, TRACE_OCTETS, 0),
    EVENT(older.boot.key_id, TRACE_OCTETS, 0),
    EVENT(older.is_known, TRACE_FLAG, 0),
    EVENT(older.is_stale, TRACE_FLAG, 0),
    EVENT(older.above_first, TRACE_UINT, UINT64_MAX),
    EVENT(older.below_first, TRACE_UINT, UINT64_MAX),
};

static const struct trace_shape gap_shape = {
    .fields = gap_fields, .count = COUNT_OF(gap_fields), .image_len = sizeof(struct received_run)};
static const struct trace_shape device_shape = {.fields = device_fields,
                                                .count = COUNT_OF(device_fields),
                                                .image_len = sizeof(struct admit_device_image),
                                                .rows = &gap_shape};
static const struct trace_shape event_shape = {.fields = event_fields,
                                               .count = COUNT_OF(event_fields),
                                               .image_len = sizeof(struct admit_event_image)};
static_assert(sizeof(struct admit_device_image) <= TRACE_IMAGE_MAX, "an image has room");

/* ---- recording ---- */

enum { KEPT_LEN = offsetof(struct admit_device, mac_boots) }; /* the keys lie behind */
static_assert(offsetof(struct admit_device, macs) > KEPT_LEN, "and are not kept");

static const struct received_run *gaps_of(const struct admit *a, const struct admit_device *d)
{
    return d->received.spill != 0 ? a->pool.blocks[d->received.spill - 1].runs : d->received.runs;
}

static void save(const void *core, void *image, struct writer *bytes)
{
    const struct admit_traced *t = core;
    memcpy(image, t->device, KEPT_LEN);
    write_bytes(bytes, gaps_of(t->core, t->device),
                t->device->received.count * sizeof(struct received_run));
}

const struct trace_core admit_device_trace = {
    .name = "ingest-device", .state = &device_shape, .event = &event_shape, .save = save};

const struct admit_device *admit_trace_device(const struct admit *a, const struct admit_event *ev)
{
    struct bus_record record;
    const struct device_id *id = &record.device;
    uint32_t index;
    if (ev->kind == ADMIT_LOADED || ev->kind == ADMIT_COMMITTED) {
        return NULL;
    }
    if (ev->kind == ADMIT_LOOKED) {
        id = &ev->looked.device;
    } else if (bus_record_decode(ev->record.bytes, &record) != BUS_RECORD_OK) {
        return NULL;
    }
    return table_find(&a->table, id->bytes, &index) ? &a->devices[index] : NULL;
}

static bool make_known(struct recorder *r,
                       uint32_t *mark,
                       const struct admit *a,
                       const struct admit_device *d,
                       uint32_t event_len)
{
    const uint32_t gaps = d->received.count * (uint32_t)sizeof(struct received_run);
    const struct recorder_head head = {.image_len = KEPT_LEN,
                                       .bytes_len = gaps,
                                       .instance = (uint32_t)(d - a->devices),
                                       .core = CORE,
                                       .what = RECORDER_STATE};
    if (!recorder_make_room(r, mark, KEPT_LEN + gaps, event_len)) {
        return false;
    }
    if (!recorder_knows(r, mark)) {
        uint8_t *image = recorder_put(r, head);
        memcpy(image, d, KEPT_LEN);
        memcpy(image + KEPT_LEN, gaps_of(a, d), gaps);
        *mark = r->turn;
    }
    return true;
}

struct admit_event_image *admit_trace_event(struct recorder *r,
                                            uint32_t *mark,
                                            const struct admit *a,
                                            const struct admit_device *d,
                                            const struct admit_event *ev)
{
    bool is_looked = ev->kind == ADMIT_LOOKED;
    struct slice bytes = is_looked ? (struct slice){0} : ev->record.bytes;
    const struct recorder_head head = {.image_len = is_looked
                                                        ? sizeof(struct admit_event_image)
                                                        : offsetof(struct admit_event_image, older),
                                       .bytes_len = (uint32_t)bytes.len,
                                       .instance = (uint32_t)(d - a->devices),
                                       .core = CORE,
                                       .what = RECORDER_EVENT};
    struct admit_event_image *to = recorder_put_quickly(r, mark, head);
    if (to == NULL && make_known(r, mark, a, d, head.image_len + head.bytes_len)) {
        to = recorder_put(r, head);
    }
    if (to == NULL) {
        return NULL;
    }
    memset(to, 0, head.image_len);
    to->kind = (uint8_t)ev->kind;
    if (is_looked) {
        to->older = ev->looked.older;
    } else {
        to->gateway = ev->record.gateway;
        to->points = ev->record.points;
        memcpy((uint8_t *)to + head.image_len, bytes.at, bytes.len);
    }
    return to;
}

/* ---- replaying ---- */

static bool report_of(const struct received *set, struct slice gaps, struct received_report *out)
{
    if (gaps.len != set->count * sizeof(struct received_run)) {
        return false;
    }
    *out = (struct received_report){.next = set->next,
                                    .lost = set->lost,
                                    .duplicates = set->duplicates,
                                    .gap_count = set->count};
    for (uint32_t i = 0; i < set->count; i++) {
        struct received_run run;
        memcpy(&run, gaps.at + i * sizeof run, sizeof run);
        out->gaps[i] = (struct received_gap){.from = run.from,
                                             .count = run.count_why & RECEIVED_GAP_SPAN_MAX,
                                             .since_s = run.since_s,
                                             .why = (enum gap_why)(run.count_why >> 30)};
        if (out->gaps[i].why > GAP_RESTART) {
            return false;
        }
    }
    return received_report_is_sound(out);
}

static bool boots_are_ordered(const struct admit_device *d)
{
    for (uint32_t i = 1; i < d->boot_count; i++) {
        if (d->boots[i].boot >= d->boots[i - 1].boot || d->boots[i].first > d->boots[i - 1].first) {
            return false;
        }
    }
    return true;
}

bool admit_trace_restore(const struct admit_device_image *image,
                         struct slice gaps,
                         struct admit *a,
                         struct admit_effects *out)
{
    const struct admit_device *d = &image->device;
    struct received_report report;
    uint8_t links[ADMIT_LINKS_BYTES];
    struct writer w = writer_over(links, sizeof links);
    struct admit_event ev = {.kind = ADMIT_LOADED};
    if (!report_of(&d->received, gaps, &report) || !boots_are_ordered(d)) {
        return false;
    }
    admit_links_encode(d, &w);
    ev.loaded.device = d->id;
    ev.loaded.is_known = d->is_enrolled;
    ev.loaded.row = d;
    ev.loaded.received = &report;
    ev.loaded.links = writer_slice(&w);
    admit_step(a, &ev, out);
    if (d->older.boot.boot != 0) {
        ev = (struct admit_event){.kind = ADMIT_LOOKED};
        ev.looked.device = d->id;
        ev.looked.older = d->older;
        admit_step(a, &ev, out);
    }
    return true;
}

void admit_trace_seal(struct admit *a, uint8_t *bytes, size_t len, struct admit_effects *scratch)
{
    struct bus_record record;
    struct message_topic topic;
    struct telemetry message;
    struct cose_input input;
    enum key_result result;
    if (bus_record_decode(slice_of(bytes, len), &record) != BUS_RECORD_OK
        || !message_topic_decode(record.topic, &topic) || topic.kind != TOPIC_TELEMETRY
        || telemetry_decode(record.payload, &message, NULL) != MESSAGE_OK
        || message.cose.tag.len != MAC_LEN) {
        return;
    }
    struct admit_device *d = admit_find(a, &record.device);
    if (d == NULL) {
        return;
    }
    scratch->count = 0;
    const struct admit_boot_found found = admit_boot_find(d, message.boot, scratch);
    const struct mac_key *key =
        found.state == ADMIT_BOOT_KNOWN ? admit_mac_key(a, d, found.boot, &result) : NULL;
    if (key != NULL) {
        cose_to_be_authenticated(&input, COSE_MAC0, message.cose.protected_header, record.topic,
                                 message.cose.payload);
        mac_of(key, input.parts, COUNT_OF(input.parts), bytes + (message.cose.tag.at - bytes));
    }
}
