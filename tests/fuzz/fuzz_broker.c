/*
 * The fold over any records: what no gateway wrote is refused, never undefined; what was folded
 * holds every invariant, and what is kept of it can be folded by another broker.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "core/gateway/broker.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gw_broker_limits limits = {.sessions_max = 6,
                                               .sessions_per_owner_max = 6,
                                               .filters_max = 8,
                                               .subscriptions_max = 16,
                                               .nodes_max = 24,
                                               .groups_max = 3,
                                               .inbound_max = 3,
                                               .inbounds_max = 6,
                                               .queue_messages_max = 8,
                                               .queue_bytes_max = 4096,
                                               .deliveries_max = 20,
                                               .messages_max = 12,
                                               .retained_max = 6,
                                               .retained_bytes_max = 4096,
                                               .brought_max = 4,
                                               .inflight_max = 4,
                                               .targets_max = 8,
                                               .stall_ms = 10};

static struct gw_broker *broker(void *memory)
{
    return gw_broker_init(&limits, memory, gw_broker_size(&limits), 1);
}

/* Records one behind the other: a length, then a bus record, or the payload of a BUS_SESSION. */
static enum gw_fold feed(struct gw_broker *b, struct slice bytes, uint64_t *at)
{
    struct reader r = reader_over(bytes);
    while (r.rest.len > 0) {
        uint8_t first = read_u8(&r);
        struct slice body = read_bytes(&r, first & 0x7f);
        struct bus_record record = {.kind = BUS_SESSION, .payload = body};
        record.clock_ms = gw_broker_clock(b) + (first & 1);
        if (!reader_ok(&r)
            || ((first & 0x80) == 0 && bus_record_decode(body, &record) != BUS_RECORD_OK)) {
            return GW_FOLDED;
        }
        enum gw_fold result = gw_broker_apply(b, &record, *at);
        if (result != GW_FOLDED) {
            return result;
        }
        gw_broker_check(b);
        *at += 8;
    }
    return GW_FOLDED;
}

/* Everything durable written again, and folded by another: the same sessions and deliveries. */
static void keep_all(struct gw_broker *b, struct gw_broker *other)
{
    static uint8_t items[4096];
    uint32_t cursor = 0;
    uint64_t at = 1 << 20;
    for (uint32_t session; (session = gw_broker_session_next(b, &cursor)) != 0;) {
        struct session_record part = {0};
        while (gw_broker_is_durable(b, session) && !part.is_last) {
            struct writer w = writer_over(items, 1024);
            gw_broker_write_session(b, session, &w, &part);
            gw_broker_commit_session(b, &part, gw_broker_clock(b), at);
            static uint8_t room[8192];
            struct writer e = writer_over(room, sizeof room);
            INVARIANT(session_record_encode(&part, &e) == SESSION_RECORD_OK);
            const struct bus_record record = {
                .kind = BUS_SESSION, .clock_ms = gw_broker_clock(b), .payload = writer_slice(&e)};
            INVARIANT(gw_broker_apply(other, &record, at) == GW_FOLDED);
            at += 8;
        }
    }
    struct gw_broker_counts one, two;
    gw_broker_count(b, &one);
    gw_broker_count(other, &two);
    gw_broker_check(other);
    INVARIANT(one.durable_sessions == two.sessions);
    INVARIANT(one.deliveries == two.deliveries);
    INVARIANT(one.subscriptions == two.subscriptions);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void *memory[2];
    for (size_t i = 0; i < COUNT_OF(memory); i++) {
        memory[i] = memory[i] != NULL ? memory[i] : malloc(gw_broker_size(&limits));
        INVARIANT(memory[i] != NULL);
    }
    struct gw_broker *b = broker(memory[0]);
    uint64_t at = 8;
    if (size > 65536 || feed(b, slice_of(data, size), &at) != GW_FOLDED) {
        return 0;
    }
    INVARIANT(gw_broker_replayed(b, size > 0 ? data[size - 1] : 0) == GW_FOLDED);
    gw_broker_check(b);
    keep_all(b, broker(memory[1]));
    struct gw_due due;
    uint64_t clock_ms = gw_broker_clock(b) + 100000;
    for (uint32_t i = 0; i < 200 && gw_broker_due(b, clock_ms, &due); i++) {
        if (due.kind == GW_DUE_RECORD) {
            gw_broker_commit_session(b, &due.record, clock_ms,
                                     gw_broker_must_stage(b, &due.record) ? (2 << 20) + 8 * i : 0);
        } else {
            gw_broker_due_later(b, due.session, UINT64_MAX);
        }
        gw_broker_check(b);
    }
    return 0;
}
