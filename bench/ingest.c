/*
 * What ingest and its store do a second, beside what SQLite itself does with ready-made chunks on
 * the same disk in the same run. Prints one JSON object.
 *
 *   bench_ingest [DIR [MESSAGES [PART]]]     DIR: on the disk to measure, default "."; default
 * 200,000 messages; PART: one of floor append messages queries block received
 */
#include "base/invariant.h"
#include "base/rng.h"
#include "codec/pem.h"
#include "codec/ts_block.h"
#include "core/ingest/craft.h"
#include "core/ingest/received.h"
#include "role/ingest_inside.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    DEVICES = 100,
    VALUES = 8,
    DAY_S = 86400,
    CHUNK_LEN = 2125,
    SERIES = 256,
    SETS = 1000000,
    REPEATS = 5
};

static char dir[512];
static char path[700];

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What this process itself used: steadier than the clock where the machine is shared. */
static double cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *in_dir(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void figure(const char *name, double value, const char *end)
{
    (void)printf("  \"%s\": %.4g%s\n", name, value, end);
    (void)fflush(stdout);
}

/* A sensor: a slow wave, noise, two decimals. */
static double sensor(struct rng *rng, size_t i, size_t which)
{
    double wave = (double)((i * (which + 3)) % 4000) / 400;
    return (double)(int64_t)((20 + wave) * 100 + (double)rng_below(rng, 30)) / 100;
}

/* ---- messages through the role ---- */

static void on_event(void *role, const struct port_event *ev)
{
    struct bus_writer **writer = role;
    if (ev->kind == PORT_SYNCED) {
        INVARIANT(bus_synced(*writer, ev->synced.result) == BUS_OK);
    }
}

struct until_durable {
    struct bus_writer *writer;
    struct port *port;
};

static void on_turn(void *role, const struct port_event *ev)
{
    struct until_durable *u = role;
    if (ev->kind == PORT_SYNCED && u->writer != NULL) {
        on_event(&u->writer, ev);
    }
    if (ev->kind == PORT_TURN_ENDED && u->writer != NULL) {
        INVARIANT(bus_flush(u->writer) == BUS_OK);
        if (bus_durable(u->writer) == bus_staged(u->writer)) {
            port_stop(u->port);
        }
    }
}

static void put_file(const char *name, struct slice bytes)
{
    FILE *file = fopen(in_dir(name), "wb");
    INVARIANT(file != NULL);
    INVARIANT(fwrite(bytes.at, 1, bytes.len, file) == bytes.len);
    INVARIANT(fclose(file) == 0);
}

static void publish(struct until_durable *u, struct writer *w)
{
    bus_position position;
    INVARIANT(writer_ok(w));
    while (bus_publish(u->writer, writer_slice(w), &position) == BUS_FULL) {
        port_run(u->port); /* staged beyond one batch */
    }
    writer_reset(w);
}

static void fill_spool(struct until_durable *u, const struct craft_site *site, size_t messages)
{
    static struct craft_device devices[DEVICES];
    static uint8_t bytes[CRAFT_RECORD_MAX];
    static const char *const names[VALUES] = {"temperature", "pressure", "current",
                                              "voltage",     "flow",     "vibration/x",
                                              "vibration/y", "load"};
    struct writer w = writer_over(bytes, sizeof bytes);
    struct rng rng = rng_from_seed(1);
    for (uint32_t i = 0; i < DEVICES; i++) {
        INVARIANT(craft_device_make(site, i, &devices[i]));
        INVARIANT(craft_boot(site, &devices[i], 1, 1));
        craft_linked(site, &devices[i], 1, &w);
        publish(u, &w);
        craft_hello(site, &devices[i], &w);
        publish(u, &w);
    }
    for (size_t m = 0; m < messages; m++) {
        struct craft_value values[VALUES];
        for (size_t v = 0; v < VALUES; v++) {
            values[v] = (struct craft_value){names[v], site->now_ms + (int64_t)(m / DEVICES) * 1000,
                                             sensor(&rng, m / DEVICES, v)};
        }
        craft_telemetry(site, &devices[m % DEVICES], 1 + m / DEVICES, "env", values, VALUES, &w);
        publish(u, &w);
    }
    port_run(u->port);
    for (uint32_t i = 0; i < DEVICES; i++) {
        craft_device_forget(&devices[i]);
    }
}

static void bench_messages(size_t messages)
{
    struct craft_site site;
    struct until_durable u = {0};
    struct port_why why = {{0}};
    static uint8_t pem_bytes[4096];
    struct writer pem = writer_over(pem_bytes, sizeof pem_bytes);
    const struct bus_limits limits = {.segment_bytes = 64 << 20,
                                      .budget_bytes = (uint64_t)8 << 30,
                                      .record_max = CRAFT_RECORD_MAX,
                                      .batch_max = 1 << 20};
    INVARIANT(craft_site_make(&site));
    u.port = port_open(on_turn, &u);
    INVARIANT(u.port != NULL);
    INVARIANT(port_dir_make(u.port, in_dir("pki")) == PORT_OK);
    INVARIANT(port_dir_make(u.port, in_dir("keys/ingest")) == PORT_OK);
    INVARIANT(port_dir_make(u.port, in_dir("gateway/gw-1/spool")) == PORT_OK);
    pem_write(&pem, "CERTIFICATE", slice_of(site.issuer_der, site.issuer_der_len));
    put_file("pki/issuer.pem", writer_slice(&pem));
    writer_reset(&pem);
    INVARIANT(key_to_pem(site.ingest, &pem) == KEY_OK);
    put_file("keys/ingest/ingest.key", writer_slice(&pem));
    INVARIANT(bus_writer_open(u.port, in_dir("gateway/gw-1/spool"), &limits, &u.writer, &why)
              == BUS_OK);
    fill_spool(&u, &site, messages);
    struct ingest_config config = {.data_dir = dir};
    struct ingest *in = ingest_open(u.port, &config, &why);
    INVARIANT(in != NULL);
    double began = now_s();
    double cpu_began = cpu_s();
    ingest_drain(in);
    double took = now_s() - began;
    figure("cpu_us_per_message", (cpu_s() - cpu_began) * 1e6 / (double)messages, ",");
    INVARIANT(in->counts.points == messages * VALUES);
    figure("messages_per_s", (double)messages / took, ",");
    figure("points_per_s_by_messages", (double)messages * VALUES / took, ",");
    figure("messages_per_batch", (double)messages / (double)in->counts.batches, ",");
    struct stat st;
    INVARIANT(stat(in_dir("store/store.db"), &st) == 0);
    ingest_close(in);
    INVARIANT(stat(in_dir("store/store.db"), &st) == 0);
    figure("database_bytes_per_point", (double)st.st_size / (double)(messages * VALUES), ",");
    bus_writer_close(u.writer);
    u.writer = NULL;
    port_close_all(u.port);
    craft_site_forget(&site);
}

/* ---- points into the store ---- */

static void on_nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static struct port *port_of_bench(void)
{
    static struct port *port; /* until the end */
    port = port != NULL ? port : port_open(on_nothing, NULL);
    return port;
}

static void bench_append(size_t per_series, const char *name)
{
    static struct point points[SERIES][4096];
    static int64_t ids[SERIES];
    struct store *st = NULL;
    struct port_why why = {{0}};
    struct device_id device = {{1}};
    struct rng rng = rng_from_seed(2);
    uint64_t change;
    (void)unlink(in_dir("append.db"));
    INVARIANT(store_open(port_of_bench(), in_dir("append.db"), NULL, &st, &why) == STORE_OK);
    INVARIANT(store_begin(st) == STORE_OK);
    for (size_t s = 0; s < SERIES; s++) {
        char text[16];
        (void)snprintf(text, sizeof text, "n%zu", s);
        INVARIANT(store_series_ensure(st, &device, "s", text, "", &ids[s], NULL) == STORE_OK);
    }
    INVARIANT(store_commit(st, &change) == STORE_OK);
    size_t rounds = 4096 / per_series;
    rounds = rounds > 40 ? 40 : rounds;
    for (size_t s = 0; s < SERIES; s++) {
        for (size_t i = 0; i < 4096; i++) {
            points[s][i] = (struct point){(int64_t)i * 1000 + INT64_C(1795000000000),
                                          sensor(&rng, i, s), TIME_SYNCED, PROVENANCE_DEVICE};
        }
    }
    double began = now_s();
    for (size_t r = 0; r < rounds; r++) {
        INVARIANT(store_begin(st) == STORE_OK);
        for (size_t s = 0; s < SERIES; s++) {
            size_t repeated;
            INVARIANT(store_append(st, ids[s], &points[s][r * per_series], per_series, &repeated)
                      == STORE_OK);
        }
        INVARIANT(store_commit(st, &change) == STORE_OK);
    }
    figure(name, (double)(rounds * per_series * SERIES) / (now_s() - began), ",");
    store_close(st);
}

static void bench_queries(void)
{
    static struct point points[DAY_S];
    static struct store_bucket buckets[500];
    struct store *st = NULL;
    struct port_why why = {{0}};
    struct device_id device = {{1}};
    struct rng rng = rng_from_seed(3);
    int64_t id;
    uint64_t change;
    size_t count = 0;
    size_t repeated;
    const int64_t from = INT64_C(1795000000000);
    INVARIANT(store_open(port_of_bench(), in_dir("query.db"), NULL, &st, &why) == STORE_OK);
    INVARIANT(store_begin(st) == STORE_OK);
    INVARIANT(store_series_ensure(st, &device, "s", "t", "", &id, NULL) == STORE_OK);
    for (size_t day = 0; day < 3; day++) {
        for (size_t i = 0; i < DAY_S; i++) {
            points[i] = (struct point){from + (int64_t)(day * DAY_S + i) * 1000, sensor(&rng, i, 1),
                                       TIME_SYNCED, PROVENANCE_DEVICE};
        }
        INVARIANT(store_append(st, id, points, DAY_S, &repeated) == STORE_OK);
    }
    INVARIANT(store_commit(st, &change) == STORE_OK);
    double best_range = 1e9;
    double best_buckets = 1e9;
    for (unsigned i = 0; i < REPEATS; i++) {
        struct store_points_at at = {0};
        double began = now_s();
        INVARIANT(store_points(st, id, from + DAY_S * INT64_C(1000),
                               from + 2 * DAY_S * INT64_C(1000), &at, points, DAY_S, &count)
                  == STORE_OK);
        double took = now_s() - began;
        best_range = took < best_range ? took : best_range;
        INVARIANT(count == DAY_S);
        began = now_s();
        INVARIANT(store_buckets(st, id, from + DAY_S * INT64_C(1000),
                                from + 2 * DAY_S * INT64_C(1000), buckets, COUNT_OF(buckets))
                  == STORE_OK);
        took = now_s() - began;
        best_buckets = took < best_buckets ? took : best_buckets;
    }
    figure("day_range_ms", best_range * 1000, ",");
    figure("day_500_buckets_ms", best_buckets * 1000, ",");
    store_close(st);
    struct stat file;
    INVARIANT(stat(in_dir("query.db"), &file) == 0);
    figure("cold_bytes_per_point", (double)file.st_size / (3.0 * DAY_S), ",");
}

/* ---- the floor: SQLite with ready-made chunks ---- */

static void run_sql(sqlite3 *db, const char *sql)
{
    INVARIANT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void bench_floor(unsigned per_commit, const char *name)
{
    static uint8_t chunk[CHUNK_LEN];
    struct rng rng = rng_from_seed(4);
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    for (size_t i = 0; i < sizeof chunk; i++) {
        chunk[i] = (uint8_t)rng_u64(&rng);
    }
    (void)unlink(in_dir("floor.db"));
    INVARIANT(sqlite3_open(in_dir("floor.db"), &db) == SQLITE_OK);
    run_sql(
        db,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE chunk(id INTEGER PRIMARY KEY, series INTEGER, from_ms INTEGER, block BLOB)");
    INVARIANT(sqlite3_prepare_v2(db, "INSERT INTO chunk(series, from_ms, block) VALUES(?1, ?2, ?3)",
                                 -1, &insert, NULL)
              == SQLITE_OK);
    unsigned done = 0;
    double began = now_s();
    double took = 0;
    while (took < 1.0) {
        run_sql(db, "BEGIN");
        for (unsigned i = 0; i < per_commit; i++) {
            (void)sqlite3_bind_int64(insert, 1, done % 100);
            (void)sqlite3_bind_int64(insert, 2, done);
            (void)sqlite3_bind_blob(insert, 3, chunk, sizeof chunk, SQLITE_STATIC);
            INVARIANT(sqlite3_step(insert) == SQLITE_DONE);
            (void)sqlite3_reset(insert);
            done++;
        }
        run_sql(db, "COMMIT");
        took = now_s() - began;
    }
    figure(name, done * 512.0 / took, ",");
    (void)sqlite3_finalize(insert);
    (void)sqlite3_close(db);
}

/* ---- blocks and received sets ---- */

static void bench_block(void)
{
    static struct point points[TS_BLOCK_POINTS_MAX];
    static uint8_t bytes[TS_BLOCK_MAX];
    struct rng rng = rng_from_seed(5);
    size_t count;
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        points[i] =
            (struct point){(int64_t)i * 1000, sensor(&rng, i, 2), TIME_SYNCED, PROVENANCE_DEVICE};
    }
    struct writer w = writer_over(bytes, sizeof bytes);
    unsigned rounds = 4000;
    double began = cpu_s();
    for (unsigned i = 0; i < rounds; i++) {
        writer_reset(&w);
        INVARIANT(ts_block_encode(points, COUNT_OF(points), &w) == TS_BLOCK_OK);
    }
    figure("block_encode_ns_per_point", (cpu_s() - began) * 1e9 / rounds / 512, ",");
    began = cpu_s();
    for (unsigned i = 0; i < rounds; i++) {
        INVARIANT(ts_block_decode(writer_slice(&w), points, COUNT_OF(points), &count)
                  == TS_BLOCK_OK);
    }
    figure("block_decode_ns_per_point", (cpu_s() - began) * 1e9 / rounds / 512, ",");
    figure("block_bytes_per_point", (double)w.len / 512, ",");
}

static void bench_received(void)
{
    struct received *sets = calloc(SETS, sizeof *sets);
    uint32_t slots_cap = 1 << 21;
    struct table_slot *slots = calloc(slots_cap, sizeof *slots);
    struct device_id *ids = calloc(SETS, sizeof *ids);
    struct received_pool pool;
    struct table table;
    struct rng rng = rng_from_seed(6);
    INVARIANT(sets != NULL && slots != NULL && ids != NULL);
    table_init(&table, slots, slots_cap, 7);
    received_pool_init(&pool, NULL, 0);
    for (uint32_t i = 0; i < SETS; i++) {
        received_init(&sets[i]);
        for (size_t k = 0; k < sizeof ids[i].bytes; k += 8) {
            uint64_t r = rng_u64(&rng);
            memcpy(ids[i].bytes + k, &r, 8);
        }
        INVARIANT(table_put(&table, ids[i].bytes, i));
    }
    for (uint32_t i = SETS - 1; i > 0; i--) { /* the ids come in any order, as messages do */
        uint32_t k = (uint32_t)rng_below(&rng, i + 1);
        struct device_id swap = ids[i];
        ids[i] = ids[k];
        ids[k] = swap;
    }
    struct received_losses losses;
    unsigned long is_new = 0;
    uint32_t checks = 4 * SETS;
    double began = cpu_s();
    for (uint32_t i = 0; i < checks; i++) {
        uint32_t index = 0;
        INVARIANT(table_find(&table, ids[i % SETS].bytes, &index));
        struct received *r = &sets[index];
        is_new += received_offer(r, &pool, r->next + (i % 16 == 0), 1, &losses) == RECEIVED_NEW;
    }
    figure("received_ns_per_check_1m_devices", (cpu_s() - began) * 1e9 / checks, ",");
    figure("received_bytes_per_device", (double)sizeof *sets, ",");
    INVARIANT(is_new == checks);
    free(sets);
    free(slots);
    free(ids);
}

static bool wants(const char *part, const char *name)
{
    return part == NULL || strcmp(part, name) == 0;
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : ".";
    size_t messages = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 200000;
    (void)snprintf(dir, sizeof dir, "%s/bench-ingest-XXXXXX", base);
    INVARIANT(mkdtemp(dir) != NULL);
    const char *part = argc > 3 ? argv[3] : NULL;
    (void)printf("{\n");
    if (wants(part, "floor")) {
        bench_floor(16, "floor_points_per_s_16_chunks");
        bench_floor(256, "floor_points_per_s_256_chunks");
    }
    if (wants(part, "append")) {
        bench_append(16, "append_points_per_s_16_a_series");
        bench_append(64, "append_points_per_s_64_a_series");
        bench_append(512, "append_points_per_s_512_a_series");
    }
    if (wants(part, "messages")) {
        bench_messages(messages);
    }
    if (wants(part, "queries")) {
        bench_queries();
    }
    if (wants(part, "block")) {
        bench_block();
    }
    if (wants(part, "received")) {
        bench_received();
    }
    figure("messages_sent", (double)messages, "");
    (void)printf("}\n");
    char command[600];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : 1;
}
