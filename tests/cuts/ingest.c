/*
 * Ingest, the role itself, between a gateway's spool and the store: points, received set and cursor
 * are one. Wherever it ends, each message that is durable in the spool is in the store exactly once
 * after the next start, also when the spool has already let go of it.
 */
#include "base/invariant.h"
#include "codec/pem.h"
#include "core/ingest/craft.h"
#include "crypto/stub/seed.h"
#include "durable.h"
#include "io/replace.h"
#include "role/ingest_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES_MAX = 64 };

struct ingesting {
    struct craft_site site;
    struct craft_device device;
    bool is_set_up;
    uint64_t staged;              /* messages 1 to staged were given to the spool */
    uint64_t durable;             /* 1 to durable are in it, as it said */
    uint64_t order[MESSAGES_MAX]; /* of those staged, as they lie in the spool */
};

/* The gateway's side: a process with its spool. */
struct spool {
    struct port *port;
    struct bus_writer *bus;
    bool broke;
};

static const struct bus_limits limits = {
    .segment_bytes = 1700, .budget_bytes = 34816, .record_max = 1200, .batch_max = 1600};

static void begin(void *context)
{
    struct ingesting *in = context;
    crypto_seed(7);
    INVARIANT(craft_site_make(&in->site));
    INVARIANT(craft_device_make(&in->site, 1, &in->device));
    INVARIANT(craft_boot(&in->site, &in->device, 1, 1));
}

static void end(void *context)
{
    struct ingesting *in = context;
    craft_device_forget(&in->device);
    craft_site_forget(&in->site);
}

static void on_spool_event(void *role, const struct port_event *ev)
{
    struct spool *s = role;
    if (ev->kind == PORT_SYNCED && ev->user == s->bus) {
        s->broke = bus_synced(s->bus, ev->synced.result) != BUS_OK;
        port_stop(s->port);
    }
}

static void on_ingest_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static bool open_spool(struct spool *s, struct sim_world *world)
{
    struct port_why why;
    *s = (struct spool){.port = sim_start(world, CUTS_MACHINE, on_spool_event, s)};
    return bus_writer_open(s->port, "/data/gateway/gw-1/spool", &limits, &s->bus, &why) == BUS_OK;
}

static void close_spool(struct spool *s)
{
    if (s->bus != NULL) {
        bus_writer_close(s->bus);
    }
    port_close_all(s->port);
}

static bool commit(struct spool *s)
{
    while (bus_durable(s->bus) < bus_staged(s->bus)) {
        if (bus_flush(s->bus) != BUS_OK) {
            return false;
        }
        port_run(s->port);
        if (s->broke) {
            return false;
        }
    }
    return true;
}

static bool publish(struct spool *s, struct writer *record)
{
    bus_position position;
    INVARIANT(writer_ok(record));
    enum bus_result result = bus_publish(s->bus, writer_slice(record), &position);
    if (result == BUS_FULL && commit(s)) { /* more than a batch */
        result = bus_publish(s->bus, writer_slice(record), &position);
    }
    writer_reset(record);
    return result == BUS_OK;
}

static bool tell(struct spool *s, struct ingesting *in, uint64_t seq)
{
    static uint8_t bytes[CRAFT_RECORD_MAX];
    struct writer record = writer_over(bytes, sizeof bytes);
    struct craft_value value = {"t", 1000000000000 + (int64_t)seq, (double)seq};
    if (seq == 1) {
        craft_linked(&in->site, &in->device, 1, &record);
        if (!publish(s, &record)) {
            return false;
        }
        craft_hello(&in->site, &in->device, &record);
        if (!publish(s, &record)) {
            return false;
        }
    }
    craft_telemetry(&in->site, &in->device, seq, "env", &value, 1, &record);
    return publish(s, &record);
}

/* Messages up to `until`, the last two of them in the wrong order. */
static bool fill(struct spool *s, struct ingesting *in, uint64_t until)
{
    uint64_t from = in->staged + 1;
    in->staged = until;
    for (uint64_t seq = from; seq <= until; seq++) {
        uint64_t swapped = seq == until - 1 ? until : seq == until ? until - 1 : seq;
        in->order[seq - 1] = swapped;
        if (!tell(s, in, swapped)) {
            return false;
        }
    }
    if (!commit(s)) {
        return false;
    }
    in->durable = until;
    return true;
}

static bool set_up(struct ingesting *in, struct sim_world *world)
{
    static const char *const folders[] = {"/", "/data", "/data/keys", "/data/gateway",
                                          "/data/gateway/gw-1"};
    uint8_t bytes[2048];
    struct writer pem = writer_over(bytes, sizeof bytes);
    struct port *port = sim_start(world, CUTS_MACHINE, on_ingest_event, NULL);
    bool ok = port_dir_make(port, "/data/pki") == PORT_OK
              && port_dir_make(port, "/data/keys/ingest") == PORT_OK
              && port_dir_make(port, "/data/store") == PORT_OK
              && port_dir_make(port, "/data/run") == PORT_OK
              && port_dir_make(port, "/data/gateway/gw-1/spool") == PORT_OK;
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        ok = ok && port_dir_sync(port, folders[i]) == PORT_OK;
    }
    pem_write(&pem, "CERTIFICATE", slice_of(in->site.issuer_der, in->site.issuer_der_len));
    ok = ok && port_file_replace(port, "/data/pki/issuer.pem", writer_slice(&pem)) == PORT_OK;
    writer_reset(&pem);
    ok = ok && key_to_pem(in->site.ingest, &pem) == KEY_OK
         && port_file_replace(port, "/data/keys/ingest/ingest.key", writer_slice(&pem)) == PORT_OK;
    port_close_all(port);
    return ok;
}

struct taking {
    struct port *port;
    struct ingest *in;
};

/* The role takes all there is. */
static bool take(struct taking *t, struct sim_world *world)
{
    struct port_why why = {{0}};
    struct ingest_config config = {.data_dir = "/data", .batch_records = 4};
    *t = (struct taking){.port = sim_start(world, CUTS_MACHINE, on_ingest_event, NULL)};
    t->in = ingest_open(t->port, &config, &why);
    if (t->in != NULL) {
        ingest_drain(t->in);
    }
    return t->in != NULL && !t->in->is_over;
}

static void close_taking(struct taking *t)
{
    ingest_close(t->in);
    port_close_all(t->port);
}

/* Four rounds: the spool fills, ingest takes, the spool lets go of what was taken. Ingest starts
 * anew in each, and takes in two turns in the second. */
static void scenario(void *context, struct sim_world *world)
{
    struct ingesting *in = context;
    struct spool s;
    in->is_set_up = set_up(in, world);
    bool ok = open_spool(&s, world) && in->is_set_up;
    for (uint64_t round = 1; ok && round <= 3; round++) {
        struct taking t;
        if (!fill(&s, in, in->staged + 5 * round)) {
            break;
        }
        ok = take(&t, world);
        if (ok && round == 2) {
            ok = fill(&s, in, in->staged + 3);
            ingest_drain(t.in);
            ok = ok && !t.in->is_over;
        }
        close_taking(&t);
        ok = ok && bus_retain_from(s.bus, bus_acked(s.bus)) == BUS_OK;
    }
    close_spool(&s);
}

/* The messages in the store, each at most once, are the first of the spool: how many, and the
 * highest. UINT64_MAX: others are there. A cut may keep the later message of a swapped pair and not
 * the other. */
static bool count_points(struct taking *t,
                         const struct ingesting *in,
                         uint64_t *count,
                         uint64_t *highest)
{
    static struct point points[MESSAGES_MAX];
    struct store_series series;
    struct store_points_at at = {0};
    size_t got = 0;
    bool is_among[MESSAGES_MAX + 1] = {0};
    enum store_result result =
        store_series_find(t->in->store, &in->device.id, "env", "t", NULL, &series);
    *count = *highest = 0;
    if (result == STORE_NOT_FOUND) {
        return true;
    }
    if (result != STORE_OK
        || store_points(t->in->store, series.id, INT64_MIN, INT64_MAX, &at, points, MESSAGES_MAX,
                        &got)
               != STORE_OK) {
        return false;
    }
    for (size_t i = 0; i < got; i++) {
        is_among[in->order[i]] = true;
        *highest = in->order[i] > *highest ? in->order[i] : *highest;
    }
    *count = got;
    for (size_t i = 0; i < got; i++) {
        uint64_t seq = (uint64_t)points[i].value;
        bool is_one = seq <= MESSAGES_MAX && is_among[seq]
                      && points[i].time_ms == 1000000000000 + (int64_t)seq;
        is_among[is_one ? seq : 0] = false; /* once */
        *count = is_one ? *count : UINT64_MAX;
    }
    return true;
}

static enum verdict holds(struct taking *t, const struct ingesting *in)
{
    struct store_device row = {0};
    uint64_t count = 0;
    uint64_t highest = 0;
    enum store_result result = store_device_get(t->in->store, &in->device.id, &row);
    if (!count_points(t, in, &count, &highest)
        || (result != STORE_OK && result != STORE_NOT_FOUND)) {
        return TOLD;
    }
    bool ok = count != UINT64_MAX && count >= in->durable && count <= in->staged
              && (count == 0 || (row.messages == count && row.received.next == highest + 1));
    return ok ? KEPT : BROKEN;
}

static enum verdict recover(void *context, struct sim_world *world)
{
    static struct ingesting in; /* large */
    memcpy(&in, context, sizeof in);
    if (!in.is_set_up) {
        return KEPT;
    }
    struct taking t;
    struct spool s;
    /* The gateway first: a record of the torn end would be nobody's. */
    enum verdict verdict =
        open_spool(&s, world) && bus_retain_from(s.bus, bus_acked(s.bus)) == BUS_OK ? KEPT : TOLD;
    close_spool(&s);
    if (verdict == KEPT) {
        verdict = take(&t, world) ? holds(&t, &in) : TOLD;
        close_taking(&t);
    }
    return verdict;
}

static uint64_t promised(void *context)
{
    const struct ingesting *in = context;
    return in->durable << 20 | in->staged << 1 | in->is_set_up;
}

const struct durable durable_ingest = {
    .name = "ingest",
    .context_len = sizeof(struct ingesting),
    .begin = begin,
    .end = end,
    .scenario = scenario,
    .recover = recover,
    .promised = promised,
    .seeded = 2,
    .one_in = 200,
    .one_in_of_recovery = 200,
    .sees_rot = true,
    .calls_step = 4,
};
