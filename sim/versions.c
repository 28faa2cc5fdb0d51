/*
 * Agents of other times, on the wire as they would be: the linker sends what a device's core writes
 * through here (--wrap), and what comes out is a message of an older or a newer form, signed and
 * MAC'd by the production code. What is said stays the same, or the checkers could not tell.
 */
#include "codec/cbor.h"
#include "codec/senml.h"
#include "core/device/seal.h"
#include "sim/watch.h"

enum {
    PACK_MAX = 4096,
    ADDED_LABEL = -70003, /* private use: in headers, a newer agent's */
    ADDED_CLAIM = -1,     /* and the one below */
    CRITICAL_CLAIM = 9,   /* the next that version 1 does not have */
    ADDED_COUNT = 2
};

static uint32_t speaking; /* the version of the agent whose message is being written */

void versions_speak(uint32_t version)
{
    speaking = version;
}

static bool speaks(enum version_trait trait)
{
    return (speaking & (uint32_t)trait) != 0;
}

/* ---- hello ---- */

PASSES_THROUGH(hello_claims_write);
void __wrap_hello_claims_write(struct writer *w, const struct hello_claims *claims)
{
    struct hello_claims said = *claims;
    size_t at = w->len;
    if (speaks(VERSION_OLDER)) { /* before there was an eighth claim */
        said.has_oldest_unsent = false;
        said.agent = slice_text("holdfast-agent 0.0.1");
    } else if (speaks(VERSION_NEWER)) {
        said.agent = slice_text("holdfast-agent 99.0.0-rc.1+of-another-time");
    }
    __real_hello_claims_write(w, &said);
    if (!writer_ok(w)) {
        return;
    }
    if (speaks(VERSION_CRITICAL)) {
        w->at[at]++; /* a map of fewer than 24 pairs: the count is in its first byte */
        cbor_write_i64(w, CRITICAL_CLAIM);
        cbor_write_u64(w, 1);
    }
    if (speaks(VERSION_NEWER)) {
        w->at[at] = (uint8_t)(w->at[at] + ADDED_COUNT);
        cbor_write_i64(w, ADDED_CLAIM);
        cbor_write_bytes(w, slice_text("what firmware it runs"));
        cbor_write_i64(w, ADDED_CLAIM - 1);
        cbor_write_map(w, 1);
        cbor_write_i64(w, 1);
        cbor_write_array(w, 1);
        cbor_write_u64(w, 2);
    }
}

/* ---- telemetry ---- */

PASSES_THROUGH(telemetry_protected_write);
void __wrap_telemetry_protected_write(struct writer *w, uint32_t boot, uint64_t seq)
{
    size_t at = w->len;
    __real_telemetry_protected_write(w, boot, seq);
    if (speaks(VERSION_NEWER) && writer_ok(w)) {
        w->at[at]++;
        cbor_write_i64(w, ADDED_LABEL);
        cbor_write_u64(w, 1);
    }
}

/* A time in each record and no base: the other way of RFC 8428 to say the same. */
static struct slice without_bases(struct slice pack, uint8_t room[PACK_MAX])
{
    static struct senml_reader reader; /* one thread */
    struct senml_point point;
    struct writer w = writer_over(room, PACK_MAX);
    uint64_t count = 0;
    senml_open_cbor(&reader, pack, 0);
    while (senml_next(&reader, &point)) {
        count++;
    }
    senml_pack_write(&w, count);
    senml_open_cbor(&reader, pack, 0);
    while (senml_next(&reader, &point)) {
        senml_record_write(&w, &(struct senml_record){.name = point.name,
                                                      .unit = point.unit,
                                                      .has_time = point.has_time,
                                                      .time_ms = point.time_ms,
                                                      .kind = point.kind,
                                                      .number = point.number,
                                                      .text = point.text,
                                                      .truth = point.truth});
    }
    return writer_ok(&w) && count > 0 ? writer_slice(&w) : pack;
}

PASSES_THROUGH(seal_telemetry);
void __wrap_seal_telemetry(struct writer *w,
                           const struct mac_key *key,
                           struct slice topic,
                           uint32_t boot,
                           uint64_t seq,
                           struct slice payload)
{
    static uint8_t room[PACK_MAX]; /* one thread */
    struct message_topic of;
    versions_speak(message_topic_decode(topic, &of) ? watch_version(&of.device) : 0);
    __real_seal_telemetry(w, key, topic, boot, seq,
                          speaks(VERSION_OLDER) ? without_bases(payload, room) : payload);
    versions_speak(0);
}
