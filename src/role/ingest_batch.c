/*
 * A batch: records are decided by the core, what it orders is done in one transaction, and only
 * after the commit do gateways and control hear of it.
 */
#include "base/invariant.h"
#include "role/ingest_inside.h"

#include <stdio.h>
#include <string.h>

bool ingest_is_ok(struct ingest *in, enum store_result result, const char *what)
{
    if (result == STORE_OK) {
        return true;
    }
    ingest_fail(in, what, store_why(in->store));
    return false;
}

bool ingest_batch_begin(struct ingest *in)
{
    if (in->in_batch) {
        return true;
    }
    if (!ingest_is_ok(in, store_begin(in->store), "no transaction can begin")) {
        return false;
    }
    in->in_batch = true;
    in->batch_records = 0;
    in->batch_began_ms = port_now_ms(in->port);
    return ingest_is_ok(in, store_arrives(in->store, port_wall_ms(in->port, NULL)),
                        "the time of arrival cannot be kept");
}

/*
 * An open batch with room for whatever one record more may need, so that no commit falls between a
 * message that was taken from the waiting room and what becomes of it.
 */
static bool make_ready(struct ingest *in)
{
    if (admit_is_tight(&in->core) || !ingest_series_has_room(&in->series)) {
        ingest_commit(in);
    }
    return !in->is_over && ingest_batch_begin(in);
}

/* ---- effects ---- */

static void count_outcome(struct ingest *in)
{
    in->counts.outcomes[in->fx.outcome]++;
    in->counts.texts += in->fx.outcome == ADMIT_APPLIED ? in->fx.texts : 0;
}

static void copy_text(struct slice from, char *to, size_t cap)
{
    size_t len = from.len < cap ? from.len : cap - 1;
    if (len > 0) {
        memcpy(to, from.at, len);
    }
    to[len] = '\0';
}

static void keep_letter(struct ingest *in,
                        uint64_t gateway,
                        struct slice bytes,
                        enum admit_reason reason)
{
    const struct bus_record *record = &in->fx.record;
    struct store_dead_letter letter = {.at_ms = record->received_ms, .device = in->fx.device};
    in->counts.reasons[reason]++;
    (void)snprintf(letter.gateway, sizeof letter.gateway, "%s", ingest_gateway_name(in, gateway));
    (void)snprintf(letter.reason, sizeof letter.reason, "%s", admit_reason_name(reason));
    copy_text(record->topic, letter.topic, sizeof letter.topic);
    /* What is no record at all is kept as it came. */
    struct slice payload = record->kind != 0 ? record->payload : bytes;
    (void)ingest_is_ok(in, store_dead_letter_add(in->store, &letter, payload),
                       "a dead letter cannot be kept");
}

static void keep_loss(struct ingest *in, const struct received_loss *loss)
{
    struct store_lost lost = {.device = in->fx.device,
                              .from = loss->from,
                              .to = loss->to,
                              .why = loss->why,
                              .since_ms = (int64_t)loss->since_s * 1000,
                              .at_ms = in->fx.record.received_ms};
    in->counts.lost += loss->to - loss->from + 1;
    (void)ingest_is_ok(in, store_lost_add(in->store, &lost), "a lost range cannot be kept");
}

/* Gives the highest boot that the store keeps no more; 0: none. */
static uint32_t keep_hello(struct ingest *in, const struct admit_boot *boot)
{
    uint32_t expired = 0;
    struct store_hello hello = {
        .boot = boot->boot, .first = boot->first, .received_ms = boot->received_ms};
    memcpy(hello.ephemeral, boot->ephemeral, sizeof hello.ephemeral);
    memcpy(hello.key_id, boot->key_id, sizeof hello.key_id);
    (void)ingest_is_ok(in, store_hello_put(in->store, &in->fx.device, &hello, &expired),
                       "a hello cannot be kept");
    return expired;
}

static void keep_certificate(struct ingest *in, const struct admit_effect *effect)
{
    struct store_certificate seen = {.key = effect->certificate.key,
                                     .serial_len = effect->certificate.serial_len,
                                     .seen_ms = in->fx.record.received_ms,
                                     .boot = effect->boot};
    memcpy(seen.serial, effect->certificate.serial, sizeof seen.serial);
    (void)ingest_is_ok(in, store_certificate_seen(in->store, &in->fx.device, &seen),
                       "the use of a certificate cannot be kept");
}

static void begin_link(struct ingest *in, uint64_t gateway)
{
    (void)ingest_is_ok(in,
                       store_link_begin(in->store, &in->fx.device, ingest_gateway_name(in, gateway),
                                        in->fx.record.received_ms),
                       "a link cannot be kept");
}

static void end_link(struct ingest *in, uint64_t gateway)
{
    char why[STORE_WHY_MAX + 1];
    copy_text(in->fx.record.payload, why, sizeof why);
    (void)ingest_is_ok(in,
                       store_link_end(in->store, &in->fx.device, ingest_gateway_name(in, gateway),
                                      in->fx.record.received_ms, why),
                       "the end of a link cannot be kept");
}

/* Where one record is, whence it came, and what is still to be done when its effects are through.
 */
struct work {
    uint64_t gateway;
    struct slice bytes;
    struct device_id device;
    uint32_t release_boot; /* 0: none */
    uint32_t expire_boot;
};

static void decide(struct ingest *in,
                   struct work *work,
                   enum admit_event_kind kind,
                   uint32_t points);

/* The message is kept, or it found no room and is a dead letter. */
static void wait(struct ingest *in, struct work *work, uint32_t boot)
{
    struct device_id device = in->fx.device;
    const char *gateway = ingest_gateway_name(in, work->gateway);
    enum store_result result = store_waiting_add(in->store, &device, boot, gateway, work->bytes);
    if (result == STORE_TOO_MANY) {
        in->counts.outcomes[ADMIT_WAITING]--;
        decide(in, work, ADMIT_WAIT_REFUSED, 0);
        return;
    }
    (void)ingest_is_ok(in, result, "a waiting message cannot be kept");
}

static void keep_points(struct ingest *in, struct work *work)
{
    uint32_t points = in->fx.points_count;
    enum store_result result = ingest_series_add(in, &in->fx);
    if (result == STORE_TOO_MANY) {
        in->counts.outcomes[ADMIT_APPLIED]--;
        in->counts.texts -= in->fx.texts;
        decide(in, work, ADMIT_SERIES_REFUSED, points);
        return;
    }
    (void)ingest_is_ok(in, result, "a series cannot be made");
}

/*
 * The gateway's process is another one: each device that it had connected is given the word that
 * the dead process owed. What is in memory only must be in the store first, where they are looked
 * for.
 */
static void end_links(struct ingest *in, struct work *work)
{
    struct bus_record word = {.kind = BUS_UNLINKED,
                              .received_ms = in->fx.record.received_ms,
                              .quality = in->fx.record.quality,
                              .payload = slice_text("the gateway stopped without a word")};
    struct store_connected page[INGEST_CONNECTED_PAGE];
    const char *gateway = ingest_gateway_name(in, work->gateway);
    const struct bus_record started = in->fx.record;
    int64_t after = 0;
    size_t count = COUNT_OF(page);
    in->counts.outcomes[ADMIT_NOTED]--; /* until all is done: a crash in between does it again */
    ingest_commit(in);
    while (!in->is_over && count == COUNT_OF(page)) {
        if (!make_ready(in)
            || !ingest_is_ok(
                in,
                store_devices_connected(in->store, gateway, after, page, COUNT_OF(page), &count),
                "connected devices cannot be read")) {
            return;
        }
        for (size_t i = 0; i < count && make_ready(in); i++) {
            uint8_t bytes[256];
            struct writer w = writer_over(bytes, sizeof bytes);
            word.device = page[i].device;
            INVARIANT(bus_record_encode(&word, &w) == BUS_RECORD_OK);
            struct work one = {.gateway = work->gateway, .bytes = writer_slice(&w)};
            decide(in, &one, ADMIT_SAW_RECORD, 0);
            in->counts.outcomes[ADMIT_NOTED]--; /* our word, no record of the journal */
            after = page[i].row;
        }
    }
    (void)make_ready(in);
    in->counts.outcomes[ADMIT_NOTED]++;
    in->fx.record = started;
}

static void perform(struct ingest *in, struct work *work)
{
    /* A nested decision (no room to wait, too many series) replaces in->fx: it is ordered last by
     * the core. */
    uint32_t count = in->fx.count;
    for (uint32_t i = 0; i < count && !in->is_over; i++) {
        const struct admit_effect *effect = &in->fx.list[i];
        switch (effect->kind) {
        case ADMIT_LOAD: ingest_device_load(in); return;
        case ADMIT_COMMIT_FIRST: ingest_commit(in); return;
        case ADMIT_LOOK_UP: ingest_boot_look_up(in, effect->boot); return;
        case ADMIT_STORE:
            INVARIANT(i + 1 == count);
            keep_points(in, work);
            return;
        case ADMIT_KEEP_HELLO: work->expire_boot = keep_hello(in, &effect->hello); break;
        case ADMIT_KEEP_CERTIFICATE: keep_certificate(in, effect); break;
        case ADMIT_BEGIN_LINK: begin_link(in, work->gateway); break;
        case ADMIT_END_LINK: end_link(in, work->gateway); break;
        case ADMIT_END_LINKS:
            INVARIANT(i + 1 == count);
            end_links(in, work);
            return;
        case ADMIT_RELEASE: work->release_boot = effect->boot; break;
        case ADMIT_WAIT:
            INVARIANT(i + 1 == count);
            wait(in, work, effect->boot);
            return;
        case ADMIT_REFUSE: keep_letter(in, work->gateway, work->bytes, effect->reason); break;
        case ADMIT_LOSE: keep_loss(in, &effect->loss); break;
        case ADMIT_STOP: ingest_fail(in, "the machine failed", "no memory for a key"); return;
        }
    }
}

/* Gives the record to the core until it is decided: a device to load or a commit may come first. */
static void decide(struct ingest *in,
                   struct work *work,
                   enum admit_event_kind kind,
                   uint32_t points)
{
    struct admit_event ev = {.kind = kind};
    ev.record.gateway = work->gateway;
    ev.record.bytes = work->bytes;
    ev.record.points = points;
    for (unsigned turn = 0; turn < 5 && !in->is_over; turn++) {
        if (!ingest_batch_begin(in)) {
            return;
        }
        ingest_step(in, &ev);
        enum admit_outcome outcome = in->fx.outcome;
        if (outcome != ADMIT_AGAIN) {
            count_outcome(in);
            work->device = in->fx.device;
        }
        perform(in, work);
        if (outcome != ADMIT_AGAIN) {
            return;
        }
    }
    INVARIANT(in->is_over); /* load, commit, look up, and at most once more */
}

/* ---- the waiting room ---- */

static void give_released(struct ingest *in, const struct device_id *device, uint32_t boot)
{
    for (;;) {
        char gateway[STORE_GATEWAY_MAX + 1];
        struct writer w = writer_over(in->record, INGEST_RECORD_MAX);
        if (!make_ready(in)) {
            return;
        }
        enum store_result result = store_waiting_take(in->store, device, boot, gateway, &w);
        if (result == STORE_NOT_FOUND
            || !ingest_is_ok(in, result, "a waiting message cannot be read")) {
            return;
        }
        struct work work = {.gateway = admit_gateway_of(slice_text(gateway)),
                            .bytes = writer_slice(&w)};
        in->counts.released++;
        in->counts.outcomes[ADMIT_WAITING]--;
        decide(in, &work, ADMIT_SAW_RECORD, 0);
    }
}

static void give_expired(struct ingest *in, const struct device_id *device, uint32_t boot)
{
    for (;;) {
        char gateway[STORE_GATEWAY_MAX + 1];
        struct writer w = writer_over(in->record, INGEST_RECORD_MAX);
        if (!make_ready(in)) {
            return;
        }
        enum store_result result = store_waiting_expire(in->store, device, boot, gateway, &w);
        if (result == STORE_NOT_FOUND
            || !ingest_is_ok(in, result, "a waiting message cannot be read")) {
            return;
        }
        struct work work = {.gateway = admit_gateway_of(slice_text(gateway)),
                            .bytes = writer_slice(&w)};
        in->counts.outcomes[ADMIT_WAITING]--;
        decide(in, &work, ADMIT_WAIT_EXPIRED, 0);
    }
}

void ingest_retry_waiting(struct ingest *in)
{
    uint64_t left = store_waiting_count(in->store);
    for (; left > 0 && !in->is_over; left--) {
        char gateway[STORE_GATEWAY_MAX + 1];
        struct writer w = writer_over(in->record, INGEST_RECORD_MAX);
        if (!make_ready(in)) {
            return;
        }
        enum store_result result = store_waiting_expire(in->store, NULL, 0, gateway, &w);
        if (result == STORE_NOT_FOUND
            || !ingest_is_ok(in, result, "a waiting message cannot be read")) {
            break;
        }
        struct work work = {.gateway = admit_gateway_of(slice_text(gateway)),
                            .bytes = writer_slice(&w)};
        in->counts.outcomes[ADMIT_WAITING]--;
        decide(in, &work, ADMIT_SAW_RECORD, 0);
    }
    ingest_commit(in);
}

/* ---- records of the journals ---- */

void ingest_take(struct ingest *in,
                 struct ingest_source *source,
                 struct slice record,
                 bus_position next)
{
    struct work work = {.gateway = source->gateway, .bytes = record};
    if (!make_ready(in)) {
        return;
    }
    decide(in, &work, ADMIT_SAW_RECORD, 0);
    if (in->is_over) {
        return;
    }
    in->counts.records++;
    in->batch_received[in->batch_records++] = in->fx.record.received_ms;
    source->is_moved = true;
    source->state.position = next;
    source->state.received_ms = in->fx.record.received_ms;
    source->state.records++;
    /* Behind the cursor: were the batch committed in between, the record would not be given again.
     */
    if (work.release_boot != 0) {
        give_released(in, &work.device, work.release_boot);
    }
    if (work.expire_boot != 0) {
        give_expired(in, &work.device, work.expire_boot);
    }
    if (in->batch_records >= in->config.batch_records) {
        ingest_commit(in);
    }
}
