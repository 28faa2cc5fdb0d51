/* The end of a batch: everything it changed and how far it read, in one transaction; then who is
 * told. */
#include "base/invariant.h"
#include "role/ingest_inside.h"

#include <stdio.h>
#include <string.h>

/* ---- the commit ---- */

static bool put_devices(struct ingest *in)
{
    struct store_device row;
    for (const struct admit_device *d = NULL; (d = admit_dirty_next(&in->core, d)) != NULL;) {
        ingest_device_row(in, d, &row);
        if (!ingest_is_ok(in, store_device_put(in->store, &row), "a device cannot be kept")) {
            return false;
        }
    }
    return true;
}

static bool add_counter(struct ingest *in, const char *name, uint64_t now, uint64_t before)
{
    return now == before
           || ingest_is_ok(in, store_counter_add(in->store, name, now - before),
                           "a counter cannot be kept");
}

static bool put_counters(struct ingest *in)
{
    const struct ingest_counts *now = &in->counts;
    const struct ingest_counts *was = &in->committed;
    bool ok = add_counter(in, "points", now->points, was->points)
              && add_counter(in, "repeated", now->repeated, was->repeated)
              && add_counter(in, "texts", now->texts, was->texts)
              && add_counter(in, "lost", now->lost, was->lost);
    for (size_t i = 0; i < ADMIT_OUTCOME_COUNT && ok; i++) {
        ok = add_counter(in, admit_outcome_name((enum admit_outcome)i), now->outcomes[i],
                         was->outcomes[i]);
    }
    for (size_t i = 0; i < ADMIT_REASON_COUNT && ok; i++) {
        char name[STORE_COUNTER_MAX + 1];
        if (now->reasons[i] == was->reasons[i]) {
            continue; /* nearly always: its name is not even made */
        }
        (void)snprintf(name, sizeof name, "refused.%s", admit_reason_name((enum admit_reason)i));
        ok = add_counter(in, name, now->reasons[i], was->reasons[i]);
    }
    return ok;
}

static bool put_sources(struct ingest *in)
{
    for (uint32_t i = 0; i < in->sources_count; i++) {
        if (in->sources[i].is_moved
            && !ingest_is_ok(in, store_source_put(in->store, &in->sources[i].state),
                             "a cursor cannot be kept")) {
            return false;
        }
    }
    return true;
}

static void tell_gateways(struct ingest *in)
{
    for (uint32_t i = 0; i < in->sources_count; i++) {
        struct ingest_source *source = &in->sources[i];
        if (source->is_moved && source->reader != NULL
            && bus_reader_ack(source->reader, "ingest", source->state.position) != BUS_OK) {
            /* The spool keeps more than it must; the next batch says it again. */
            (void)fprintf(stderr, "ingest: %s cannot be told how far it was read\n", source->name);
        }
        source->is_moved = false;
    }
}

static void tell_control(struct ingest *in, uint64_t change)
{
    uint8_t bytes[8];
    struct writer w = writer_over(bytes, sizeof bytes);
    write_u64(&w, change);
    in->applied_change = change;
    if (in->applied == NULL || port_file_write(in->applied, 0, writer_slice(&w)) != PORT_OK) {
        (void)fprintf(stderr, "ingest: store/applied cannot be written\n");
    }
}

static void measure(struct ingest *in, uint64_t began_us)
{
    int64_t now = port_wall_ms(in->port, NULL);
    metrics_observe(&in->commit_time, port_now_us(in->port) - began_us);
    for (uint32_t i = 0; i < in->batch_records; i++) {
        int64_t received = in->batch_received[i]; /* a gateway's word: it may be any number */
        bool is_past = received >= 0 && received < now;
        metrics_observe(&in->lag, is_past ? (uint64_t)(now - received) * 1000 : 0);
    }
    in->counts.batches++;
    if (in->batch_records > in->counts.batch_records_max) {
        in->counts.batch_records_max = in->batch_records;
    }
}

/* Every record that was read became something: none fell between. */
static bool is_every_record_kept(const struct ingest *in)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ADMIT_OUTCOME_COUNT; i++) {
        sum += in->counts.outcomes[i];
    }
    return sum == in->counts.records + in->waited_before;
}

void ingest_commit(struct ingest *in)
{
    uint64_t change = 0;
    uint64_t began_us = port_now_us(in->port);
    if (!in->in_batch || in->is_over) {
        return;
    }
    INVARIANT(promise_holds(PROMISE_ACKED_IS_KEPT, is_every_record_kept(in)));
    if (!ingest_is_ok(in, ingest_series_flush(in), "points cannot be stored") || !put_devices(in)
        || !put_counters(in) || !put_sources(in)
        || !ingest_is_ok(in, store_commit(in->store, &change), "a batch cannot be committed")) {
        return;
    }
    in->in_batch = false;
    in->committed = in->counts;
    struct admit_event ev = {.kind = ADMIT_COMMITTED};
    enum admit_outcome outcome = in->fx.outcome;
    ingest_step(in, &ev);
    in->fx.outcome = outcome;
    tell_gateways(in);
    tell_control(in, change);
    measure(in, began_us);
    in->batch_records = 0;
}

void ingest_drain(struct ingest *in)
{
    struct ingest_source *source;
    struct slice record;
    bus_position next;
    while (!in->is_over && (source = ingest_next(in, &record, &next)) != NULL) {
        ingest_take(in, source, record, next);
    }
    ingest_commit(in);
}

void ingest_retain(struct ingest *in)
{
    size_t deleted = 0;
    if (in->config.retain_ms <= 0 || in->is_over) {
        return;
    }
    ingest_commit(in);
    int64_t before = port_wall_ms(in->port, NULL) - in->config.retain_ms;
    if (ingest_batch_begin(in)
        && ingest_is_ok(in, store_retain(in->store, before, INGEST_RETAIN_CHUNKS, &deleted),
                        "old points cannot be deleted")) {
        ingest_commit(in);
    }
}
