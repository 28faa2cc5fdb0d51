/* The recorder of ingest: every record that is decided about a device in memory. */
#include "role/ingest_inside.h"

#include <stdlib.h>

static void forget(struct ingest *in, const struct device_id *id)
{
    uint32_t index;
    if (table_find(&in->core.table, id->bytes, &index)) {
        in->traced[index] = 0;
    }
}

void ingest_step(struct ingest *in, const struct admit_event *ev)
{
    struct trace *t = in->trace;
    struct admit_event_image *image = NULL;
    const struct admit_device *d = t != NULL ? admit_trace_device(&in->core, ev) : NULL;
    if (d != NULL) {
        uint32_t index = (uint32_t)(d - in->core.devices);
        in->at = (struct admit_traced){.core = &in->core, .device = d};
        trace_at(t, 0, index, &in->at);
        in->fx.is_authentic = false;
        image = admit_trace_event(&t->recorder, &in->traced[index], &in->core, d, ev);
        t->verdict = image != NULL ? &in->fx.is_authentic : NULL;
        t->verdict_place = image != NULL ? &image->is_authentic : NULL;
    }
    admit_step(&in->core, ev, &in->fx);
    if (image != NULL) {
        image->is_authentic = in->fx.is_authentic;
        image->is_void = in->fx.count == 1 && in->fx.list[0].kind == ADMIT_COMMIT_FIRST;
        t->verdict = NULL;
    }
    if (t != NULL) {
        trace_left(t);
        if (ev->kind == ADMIT_LOADED) {
            forget(in, &ev->loaded.device); /* its place may have been another's */
        }
    }
}

/* [domain, [* ingest key id], [* issuer]]: what of the configuration is no secret. */
static void set_context(struct ingest *in)
{
    const struct admit_config *c = &in->core.config;
    struct writer w = writer_over(in->record, TRACE_CONTEXT_MAX);
    cbor_write_array(&w, 3);
    cbor_write_text(&w, c->domain);
    cbor_write_array(&w, c->keys_count);
    for (size_t i = 0; i < c->keys_count; i++) {
        cbor_write_bytes(&w, slice_of(c->keys[i].id, sizeof c->keys[i].id));
    }
    cbor_write_array(&w, c->issuers.count);
    for (size_t i = 0; i < c->issuers.count; i++) {
        cbor_write_bytes(&w, c->issuers.list[i].der);
    }
    trace_set_context(in->trace, writer_slice(&w));
}

void ingest_trace_open(struct ingest *in)
{
    in->traced = calloc(INGEST_DEVICES_MAX, sizeof *in->traced);
    if (in->traced != NULL && ingest_path(in, "store/traces", "", "")) {
        in->trace =
            trace_start(in->port, "ingest", in->paths, &admit_device_trace, 1, TRACE_RING_BYTES);
        set_context(in);
    }
}

void ingest_trace_close(struct ingest *in)
{
    trace_stop(in->trace);
    free(in->traced);
    in->trace = NULL;
}
