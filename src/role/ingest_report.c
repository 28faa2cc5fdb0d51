#include "role/ingest_inside.h"

#include <stdio.h>

enum { REPORT_BYTES = 32768 };

static void write_counts(struct writer *w, const struct ingest_counts *c)
{
    metrics_name(w, "holdfast_ingest_messages_total", "counter",
                 "Records of the bus by what became of them.");
    for (size_t i = 0; i < ADMIT_OUTCOME_COUNT; i++) {
        if (i != ADMIT_AGAIN && i != ADMIT_WAITING) {
            metrics_labelled(w, "holdfast_ingest_messages_total", "outcome",
                             slice_text(admit_outcome_name((enum admit_outcome)i)), c->outcomes[i]);
        }
    }
    metrics_name(w, "holdfast_ingest_refusals_total", "counter", "Dead letters by reason.");
    for (size_t i = 0; i < ADMIT_REASON_COUNT; i++) {
        metrics_labelled(w, "holdfast_ingest_refusals_total", "reason",
                         slice_text(admit_reason_name((enum admit_reason)i)), c->reasons[i]);
    }
    const struct {
        const char *name, *help;
        uint64_t value;
    } plain[] = {
        {"holdfast_ingest_records_total", "Records read from the journals.", c->records},
        {"holdfast_ingest_points_total", "Points stored.", c->points},
        {"holdfast_ingest_points_repeated_total",
         "Points of stock clients that were there already.", c->repeated},
        {"holdfast_ingest_texts_total", "Values left out because they are text.", c->texts},
        {"holdfast_ingest_lost_total", "Sequence numbers declared lost.", c->lost},
        {"holdfast_ingest_released_total", "Messages whose hello came after them.", c->released},
        {"holdfast_ingest_batches_total", "Transactions.", c->batches},
        {"holdfast_ingest_journal_gone_total", "Times a journal had lost what was to be read.",
         c->gone},
    };
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        metrics_name(w, plain[i].name, "counter", plain[i].help);
        metrics_value(w, plain[i].name, NULL, plain[i].value);
    }
}

static void write_gauges(struct writer *w, struct ingest *in)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } plain[] = {
        {"holdfast_ingest_waiting", "Messages that wait for their hello.",
         store_waiting_count(in->store)},
        {"holdfast_ingest_batch_records_max", "Records of the largest transaction.",
         in->counts.batch_records_max},
        {"holdfast_ingest_lag_bytes", "Durable bytes of the journals that are not applied.",
         ingest_lag_bytes(in)},
        {"holdfast_ingest_devices_in_memory", "Devices held in memory.", in->core.table.count},
        {"holdfast_ingest_sources", "Gateways whose journal is known.", in->sources_count},
        {"holdfast_ingest_sources_damaged",
         "Gateways whose journal cannot be read where it is to be read next.",
         ingest_sources_damaged(in)},
    };
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        metrics_name(w, plain[i].name, "gauge", plain[i].help);
        metrics_value(w, plain[i].name, NULL, plain[i].value);
    }
}

void ingest_report(struct ingest *in)
{
    static uint8_t bytes[REPORT_BYTES];
    struct writer w = writer_over(bytes, sizeof bytes);
    write_counts(&w, &in->committed);
    write_gauges(&w, in);
    metrics_histogram_write(&w, "holdfast_ingest_lag_seconds",
                            "From the gateway's receipt to the commit.", &in->lag);
    metrics_histogram_write(&w, "holdfast_ingest_commit_seconds",
                            "From the end of a batch to its commit.", &in->commit_time);
    metrics_invariants(&w);
    confine_metrics(&w);
    trace_settle(in->trace);
    trace_metrics(in->trace, &w);
    if (!ingest_path(in, "run/ingest.metrics", "", "")
        || metrics_replace(in->port, in->paths, writer_slice(&w)) != PORT_OK) {
        (void)fprintf(stderr, "ingest: run/ingest.metrics cannot be written\n");
    }
}
