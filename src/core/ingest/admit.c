#include "base/invariant.h"
#include "core/ingest/admit_inside.h"

#include <string.h>

const char *admit_reason_name(enum admit_reason reason)
{
    static const char *const names[ADMIT_REASON_COUNT] = {
        [ADMIT_BAD_MAC] = "bad-mac",
        [ADMIT_UNKNOWN_KEY] = "unknown-key",
        [ADMIT_NO_HELLO] = "no-hello",
        [ADMIT_STALE_BOOT] = "stale-boot",
        [ADMIT_MALFORMED] = "malformed",
        [ADMIT_NOT_ALLOWED] = "not-allowed",
        [ADMIT_BAD_SIGNATURE] = "bad-signature",
        [ADMIT_BOOT_REUSED] = "boot-reused",
        [ADMIT_TOPIC_MISMATCH] = "topic-mismatch",
        [ADMIT_TOO_MANY_SERIES] = "too-many-series",
        [ADMIT_LINK_MISMATCH] = "link-mismatch",
        [ADMIT_NOT_ENROLLED] = "not-enrolled",
    };
    return names[reason];
}

const char *admit_outcome_name(enum admit_outcome outcome)
{
    static const char *const names[ADMIT_OUTCOME_COUNT] = {
        [ADMIT_AGAIN] = "again",     [ADMIT_APPLIED] = "applied", [ADMIT_DUPLICATE] = "duplicate",
        [ADMIT_GREETED] = "hello",   [ADMIT_NOTED] = "link",      [ADMIT_PASSED] = "gateway",
        [ADMIT_WAITING] = "waiting", [ADMIT_REFUSED] = "refused",
    };
    return names[outcome];
}

struct admit_effect *admit_order(struct admit_effects *out, enum admit_effect_kind kind)
{
    INVARIANT(out->count < ADMIT_EFFECTS_MAX);
    struct admit_effect *effect = &out->list[out->count++];
    *effect = (struct admit_effect){.kind = kind};
    return effect;
}

void admit_order_losses(struct admit_effects *out, const struct received_losses *losses)
{
    for (uint32_t i = 0; i < losses->count; i++) {
        admit_order(out, ADMIT_LOSE)->loss = losses->list[i];
    }
}

void admit_refuse(struct admit_effects *out, struct admit_device *d, enum admit_reason reason)
{
    admit_order(out, ADMIT_REFUSE)->reason = reason;
    out->outcome = ADMIT_REFUSED;
    if (d != NULL) {
        d->dead_letters++;
        d->dead_letter_ms = out->record.received_ms;
    }
}

/* ---- payloads ---- */

static bool take_point(struct admit *a,
                       const struct senml_point *in,
                       struct point point,
                       struct admit_effects *out)
{
    bool has_room = true;
    bool has_unit_room = true;
    /* COVERAGE(the reader gives no more: SENML_RECORDS_MAX) */
    if (out->points_count == ADMIT_POINTS_MAX) {
        return false;
    }
    struct admit_point *p = &out->points[out->points_count++];
    p->name = arena_copy(&a->scratch, in->name, &has_room);
    p->unit = arena_copy(&a->scratch, in->unit, &has_unit_room);
    p->point = point;
    return has_room && has_unit_room; /* COVERAGE(the scratch has room for all of them) */
}

/* All points of the pack, or none. `newest_ms`: the newest time that the sender itself gave. */
static bool take_points(struct admit *a,
                        struct senml_reader *r,
                        enum provenance provenance,
                        struct admit_effects *out,
                        bool *has_newest,
                        int64_t *newest_ms)
{
    struct senml_point in;
    bool ok = true;
    arena_empty(&a->scratch);
    while (ok && senml_next(r, &in)) {
        struct point point = {.time_ms = in.time_ms,
                              .quality = in.has_time ? TIME_UNKNOWN : out->record.quality,
                              .provenance = provenance};
        if (in.has_time && (!*has_newest || in.time_ms > *newest_ms)) {
            *has_newest = true;
            *newest_ms = in.time_ms;
        }
        switch (in.kind) {
        case SENML_NUMBER: point.value = in.number; break;
        case SENML_BOOL: point.value = in.truth ? 1 : 0; break;
        case SENML_TEXT: out->texts++; continue;
        }
        ok = take_point(a, &in, point, out);
    }
    ok = ok && r->result == SENML_OK;
    out->points_count = ok ? out->points_count : 0;
    return ok;
}

/* A difference of times, held at the ends of the range. */
static int64_t time_difference(int64_t a, int64_t b)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference)) {
        return a < b ? INT64_MIN : INT64_MAX;
    }
    return difference;
}

/* Times of a sender whose clock is known to agree with a good one are as good as that one. */
static void judge_times(struct admit_effects *out, int64_t offset_ms, enum time_quality of_gateway)
{
    bool is_near = offset_ms >= -ADMIT_CLOCK_TOLERANCE_MS && offset_ms <= ADMIT_CLOCK_TOLERANCE_MS;
    for (uint32_t i = 0; i < out->points_count && is_near; i++) {
        struct point *point = &out->points[i].point;
        point->quality = of_gateway > point->quality ? of_gateway : point->quality;
    }
}

static void store_points(struct admit_device *d, struct slice stream, struct admit_effects *out)
{
    out->outcome = ADMIT_APPLIED;
    out->stream = stream;
    d->messages++;
    d->points += out->points_count;
    if (out->points_count > 0) {
        (void)admit_order(out, ADMIT_STORE);
    }
}

static void step_json(struct admit *a,
                      struct admit_device *d,
                      struct slice stream,
                      struct admit_effects *out)
{
    struct senml_reader r;
    bool has_newest = false;
    int64_t newest_ms = 0;
    senml_open_any_json(&r, out->record.payload, out->record.received_ms);
    if (!take_points(a, &r, PROVENANCE_GATEWAY, out, &has_newest, &newest_ms)) {
        admit_refuse(out, d, ADMIT_MALFORMED);
        return;
    }
    if (has_newest) {
        judge_times(out, time_difference(newest_ms, out->record.received_ms), out->record.quality);
    }
    store_points(d, stream, out);
}

/* ---- telemetry ---- */

/* Made of what was verified, asked for where the set is touched. */
struct proof {
    bool is_authentic;
    struct device_id device;
    uint64_t seq;
};

static bool mac_is_right(const struct mac_key *key,
                         struct slice topic,
                         const struct telemetry *message)
{
    struct cose_input input;
    cose_to_be_authenticated(&input, COSE_MAC0, message->cose.protected_header, topic,
                             message->cose.payload);
    return mac_is(key, input.parts, COUNT_OF(input.parts), message->cose.tag);
}

static enum received_result offer(struct admit *a,
                                  struct admit_device *d,
                                  const struct proof *proof,
                                  struct admit_effects *out)
{
    struct received_losses losses;
    const struct received_pool *pool = &a->pool;
    INVARIANT(promise_holds(PROMISE_ONLY_AUTHENTIC,
                            proof->is_authentic && device_id_equal(&proof->device, &d->id)));
    bool was_there = received_has(&d->received, pool, proof->seq);
    uint32_t now_s = out->record.received_ms > 0 ? (uint32_t)(out->record.received_ms / 1000) : 0;
    enum received_result result =
        received_offer(&d->received, &a->pool, proof->seq, now_s, &losses);
    INVARIANT(promise_holds(PROMISE_ONCE_APPLIED, (result == RECEIVED_NEW) == !was_there));
    INVARIANT(received_has(&d->received, pool, proof->seq));
    admit_order_losses(out, &losses);
    return result;
}

static void learn_clock(struct admit_device *d, const struct bus_record *record, int64_t newest_ms)
{
    int64_t offset = time_difference(newest_ms, record->received_ms);
    if (!d->has_clock_offset || offset > d->clock_offset_ms) {
        d->clock_offset_ms = offset;
        d->has_clock_offset = true;
    }
    d->clock_quality = record->quality;
}

static void apply(struct admit *a,
                  struct admit_device *d,
                  const struct telemetry *message,
                  struct slice stream,
                  struct admit_effects *out)
{
    const struct proof proof = {
        .is_authentic = out->is_authentic, .device = d->id, .seq = message->seq};
    struct senml_reader r;
    bool has_newest = false;
    int64_t newest_ms = 0;
    if (offer(a, d, &proof, out) != RECEIVED_NEW) {
        out->outcome = ADMIT_DUPLICATE;
        return;
    }
    senml_open_cbor(&r, message->cose.payload, out->record.received_ms);
    if (!take_points(a, &r, PROVENANCE_DEVICE, out, &has_newest, &newest_ms)) {
        admit_refuse(out, d, ADMIT_MALFORMED);
        return;
    }
    if (has_newest) {
        learn_clock(d, &out->record, newest_ms);
        judge_times(out, d->clock_offset_ms, d->clock_quality);
    }
    store_points(d, stream, out);
}

static void step_telemetry(struct admit *a,
                           struct admit_device *d,
                           const struct message_topic *topic,
                           struct admit_effects *out)
{
    struct telemetry message;
    if (telemetry_decode(out->record.payload, &message, NULL) != MESSAGE_OK
        || message.seq == UINT64_MAX || message.seq == 0) {
        admit_refuse(out, d, ADMIT_MALFORMED);
        return;
    }
    const struct admit_boot_found found = admit_boot_find(d, message.boot, out);
    switch (found.state) {
    case ADMIT_BOOT_KNOWN: break;
    case ADMIT_BOOT_ELSEWHERE: return;
    case ADMIT_BOOT_STALE: admit_refuse(out, d, ADMIT_STALE_BOOT); return;
    case ADMIT_BOOT_UNKNOWN:
        admit_order(out, ADMIT_WAIT)->boot = message.boot;
        out->outcome = ADMIT_WAITING;
        return;
    }
    enum key_result result;
    const struct mac_key *key = admit_mac_key(a, d, found.boot, &result);
    if (key == NULL) {
        if (result == KEY_FAILED) { /* COVERAGE(the library has no memory) */
            (void)admit_order(out, ADMIT_STOP);
            return;
        }
        admit_refuse(out, d, ADMIT_UNKNOWN_KEY); /* the ingest key was retired since the hello */
        return;
    }
    if (!mac_is_right(key, out->record.topic, &message)) {
        admit_refuse(out, d, ADMIT_BAD_MAC);
        return;
    }
    out->is_authentic = true;
    if (message.seq < found.boot->first || message.seq >= found.end) {
        admit_refuse(out, d, ADMIT_BOOT_REUSED);
        return;
    }
    apply(a, d, &message, topic->stream, out);
}

/* ---- records ---- */

static void step_published(struct admit *a,
                           struct admit_device *d,
                           const struct admit_record *in,
                           struct admit_effects *out)
{
    struct message_topic topic;
    if (!message_topic_decode(out->record.topic, &topic)) {
        admit_refuse(out, d, ADMIT_NOT_ALLOWED);
        return;
    }
    if (!device_id_equal(&topic.device, &out->record.device)) {
        admit_refuse(out, d, ADMIT_TOPIC_MISMATCH);
        return;
    }
    switch (topic.kind) {
    case TOPIC_HELLO: admit_hello(a, d, in, out); return;
    case TOPIC_TELEMETRY: step_telemetry(a, d, &topic, out); return;
    case TOPIC_JSON: step_json(a, d, topic.stream, out); return;
    }
    UNREACHABLE();
}

/* Room first: in memory for the device, and for one gap more than it has. Otherwise orders what
 * makes room. */
static struct admit_device *find_or_order(struct admit *a, struct admit_effects *out)
{
    struct admit_device *d = admit_find(a, &out->device);
    bool needs_block =
        d == NULL || (d->received.spill == 0 && d->received.count == RECEIVED_INLINE);
    if (needs_block && !admit_make_block(a, d)) {
        (void)admit_order(out, ADMIT_COMMIT_FIRST);
        return NULL;
    }
    if (d == NULL) {
        bool has_room = a->table.count < a->devices_cap || a->dirty_count < a->table.count;
        (void)admit_order(out, has_room ? ADMIT_LOAD : ADMIT_COMMIT_FIRST);
    }
    return d;
}

/* What a gateway wrote for itself: its sessions, and messages for its own clients. */
static bool is_of_the_gateway(enum bus_record_kind kind)
{
    switch (kind) {
    case BUS_LOCAL:
    case BUS_KEPT:
    case BUS_SESSION:
    case BUS_WILL: return true;
    case BUS_PUBLISHED:
    case BUS_LINKED:
    case BUS_UNLINKED:
    case BUS_STARTED: return false;
    }
    return false;
}

static void step_record(struct admit *a, const struct admit_record *in, struct admit_effects *out)
{
    if (bus_record_decode(in->bytes, &out->record) != BUS_RECORD_OK) {
        admit_refuse(out, NULL, ADMIT_MALFORMED);
        return;
    }
    if (out->record.kind == BUS_STARTED) {
        (void)admit_order(out, ADMIT_END_LINKS);
        out->outcome = ADMIT_NOTED;
        return;
    }
    if (is_of_the_gateway(out->record.kind)) {
        out->outcome = ADMIT_PASSED;
        return;
    }
    out->device = out->record.device;
    struct admit_device *d = find_or_order(a, out);
    if (d == NULL || !admit_enrols(a, d, out)) {
        return;
    }
    struct received before = d->received;
    admit_mark_dirty(a, d);
    d->seen_ms = out->record.received_ms > d->seen_ms ? out->record.received_ms : d->seen_ms;
    switch (out->record.kind) {
    case BUS_PUBLISHED: step_published(a, d, in, out); break;
    case BUS_LINKED: admit_link(d, in->gateway, out); break;
    case BUS_UNLINKED: admit_link(d, in->gateway, out); break;
    case BUS_STARTED:
    case BUS_LOCAL:
    case BUS_KEPT:
    case BUS_SESSION:
    case BUS_WILL: UNREACHABLE();
    }
    bool is_unmoved = memcmp(&before, &d->received, sizeof before) == 0;
    INVARIANT(promise_holds(PROMISE_ONLY_AUTHENTIC, out->is_authentic || is_unmoved));
}

/* A record whose effect found no room, or whose time is over: it is a dead letter now. */
static void step_given_up(struct admit *a, const struct admit_event *ev, struct admit_effects *out)
{
    if (bus_record_decode(ev->record.bytes, &out->record) != BUS_RECORD_OK) {
        admit_refuse(out, NULL, ADMIT_MALFORMED);
        return;
    }
    out->device = out->record.device;
    /* Only the device's row is touched: no block is needed, and where it was just decided it is
     * here. */
    struct admit_device *d = admit_find(a, &out->device);
    d = d != NULL ? d : find_or_order(a, out);
    if (d == NULL || !admit_enrols(a, d, out)) {
        return;
    }
    admit_mark_dirty(a, d);
    enum admit_reason reason = ev->kind == ADMIT_WAIT_EXPIRED ? ADMIT_STALE_BOOT : ADMIT_NO_HELLO;
    if (ev->kind == ADMIT_SERIES_REFUSED) {
        reason = ADMIT_TOO_MANY_SERIES;
        d->messages--;
        d->points -= ev->record.points;
    }
    admit_refuse(out, d, reason);
}

static void step_looked(struct admit *a, const struct admit_looked *looked)
{
    struct admit_device *d = admit_find(a, &looked->device);
    INVARIANT(d != NULL);
    INVARIANT(looked->older.boot.boot != 0);
    d->older = looked->older;
}

void admit_step(struct admit *a, const struct admit_event *ev, struct admit_effects *out)
{
    out->outcome = ADMIT_AGAIN;
    out->is_authentic = false;
    out->record = (struct bus_record){0};
    out->device = (struct device_id){0};
    out->stream = (struct slice){0};
    out->texts = 0;
    out->points_count = 0;
    out->count = 0;
    switch (ev->kind) {
    case ADMIT_SAW_RECORD: step_record(a, &ev->record, out); return;
    case ADMIT_LOADED: admit_load(a, &ev->loaded); return;
    case ADMIT_LOOKED: step_looked(a, &ev->looked); return;
    case ADMIT_WAIT_REFUSED:
    case ADMIT_WAIT_EXPIRED:
    case ADMIT_SERIES_REFUSED: step_given_up(a, ev, out); return;
    case ADMIT_COMMITTED: admit_mark_clean(a); return;
    }
    UNREACHABLE();
}
