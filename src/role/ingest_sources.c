/*
 * The journals of the gateways: found by their folders, read in turn from where the store says.
 */
#include "base/invariant.h"
#include "role/ingest_inside.h"

#include <stdio.h>
#include <string.h>

const char *ingest_gateway_name(const struct ingest *in, uint64_t gateway)
{
    for (uint32_t i = 0; i < in->sources_count; i++) {
        if (in->sources[i].gateway == gateway) {
            return in->sources[i].name;
        }
    }
    return "";
}

/* A folder of data/gateway becomes a source. */
static void add_name(void *context, const char *name)
{
    struct ingest *in = context;
    size_t len = strlen(name);
    if (len == 0 || len > STORE_GATEWAY_MAX || name[0] == '.') {
        return;
    }
    for (uint32_t i = 0; i < in->sources_count; i++) {
        if (strcmp(in->sources[i].name, name) == 0) {
            return;
        }
    }
    if (in->sources_count == INGEST_SOURCES_MAX) {
        (void)fprintf(stderr, "ingest: gateway %s is not read: %d is the most\n", name,
                      INGEST_SOURCES_MAX);
        return;
    }
    struct ingest_source *source = &in->sources[in->sources_count];
    *source = (struct ingest_source){.gateway = admit_gateway_of(slice_text(name))};
    memcpy(source->name, name, len + 1);
    memcpy(source->state.name, name, len + 1);
    enum store_result result = store_source_get(in->store, name, &source->state);
    if (result != STORE_OK && result != STORE_NOT_FOUND) {
        ingest_fail(in, "a cursor cannot be read", store_why(in->store));
        return;
    }
    in->sources_count++;
}

static void say_once(struct ingest_source *source, const char *what, const char *why)
{
    if (!source->is_broken) {
        (void)fprintf(stderr, "ingest: the spool of %s %s: %s\n", source->name, what, why);
    }
    source->is_broken = true;
}

static void open_source(struct ingest *in, struct ingest_source *source)
{
    struct port_why why = {{0}};
    if (!ingest_path(in, "gateway/", source->name, "/spool")) {
        return;
    }
    switch (bus_reader_open(in->port, in->paths, source->state.position, source, &source->reader,
                            &why)) {
    case BUS_OK: break;  /* whether it can be read is seen when it is */
    case BUS_END: break; /* the gateway has not begun it */
    case BUS_GONE:
        /* What lay between was removed unread. It is lost, and is said to be; the rest is still to
         * be had. */
        in->counts.gone++;
        (void)promise_holds(PROMISE_ACKED_IS_KEPT, false);
        say_once(source, "no longer has what was to be read next",
                 "the oldest it has is read instead");
        source->state.position = 0;
        break;
    case BUS_FULL:
    case BUS_TOO_LONG:
    case BUS_BROKEN: say_once(source, "cannot be read", why.text); break;
    }
}

void ingest_rescan(struct ingest *in)
{
    if (!ingest_path(in, "gateway", "", "")) {
        return;
    }
    (void)port_dir_list(in->port, in->paths, add_name, in);
    for (uint32_t i = 0; i < in->sources_count; i++) {
        if (in->sources[i].reader == NULL) {
            open_source(in, &in->sources[i]);
        }
    }
}

static void lose_reader(struct ingest_source *source)
{
    bus_reader_close(source->reader);
    source->reader = NULL; /* the next scan opens it again */
}

/* Each source in turn gives one record, so that none waits behind another's backlog. */
struct ingest_source *ingest_next(struct ingest *in, struct slice *record, bus_position *next)
{
    for (uint32_t i = 0; i < in->sources_count; i++) {
        struct ingest_source *source = &in->sources[(in->turn + i) % in->sources_count];
        if (source->reader == NULL) {
            continue;
        }
        switch (bus_next(source->reader, record, next)) {
        case BUS_OK:
            in->turn = (in->turn + i + 1) % in->sources_count;
            source->is_broken = false;
            return source;
        case BUS_END: break;
        case BUS_GONE:
            say_once(source, "no longer has what was to be read next",
                     bus_reader_why(source->reader));
            lose_reader(source);
            break;
        case BUS_FULL:
        case BUS_TOO_LONG:
        case BUS_BROKEN:
            say_once(source, "is damaged", bus_reader_why(source->reader));
            lose_reader(source);
            break;
        }
    }
    return NULL;
}

uint32_t ingest_sources_damaged(const struct ingest *in)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < in->sources_count; i++) {
        count += in->sources[i].is_broken;
    }
    return count;
}

uint64_t ingest_lag_bytes(struct ingest *in)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < in->sources_count; i++) {
        sum += in->sources[i].reader != NULL ? bus_reader_lag(in->sources[i].reader) : 0;
    }
    return sum;
}
