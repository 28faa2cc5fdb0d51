/*
 * The role over the journal: crafted records go into gateways' spools, and what the store says
 * afterwards is held against what was sent.
 */
#include "base/invariant.h"
#include "base/rng.h"
#include "codec/pem.h"
#include "core/ingest/craft.h"
#include "role/ingest_inside.h"
#include "test/test.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct craft_site site;
static struct craft_device device[4];
static uint8_t record_bytes[CRAFT_RECORD_MAX];
static struct writer record;
static char dir[300];

/* ---- the world around the role ---- */

struct world {
    struct port *port;
    struct bus_writer *writers[2];
    bool is_over;
};

static void handle(void *role, const struct port_event *ev)
{
    struct world *world = role;
    if (ev->kind == PORT_SYNCED) {
        for (size_t i = 0; i < COUNT_OF(world->writers); i++) {
            if (ev->user == world->writers[i]) {
                CHECK(bus_synced(world->writers[i], ev->synced.result) == BUS_OK);
            }
        }
    }
    if (ev->kind == PORT_TURN_ENDED) {
        bool is_durable = true;
        for (size_t i = 0; i < COUNT_OF(world->writers); i++) {
            if (world->writers[i] != NULL) {
                CHECK(bus_flush(world->writers[i]) == BUS_OK); /* what one sync left staged */
                is_durable =
                    is_durable && bus_durable(world->writers[i]) == bus_staged(world->writers[i]);
            }
        }
        if (is_durable) {
            port_stop(world->port);
        }
    }
}

static bool put_file(struct port *port, const char *name, struct slice bytes)
{
    char path[400];
    struct port_file *file = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    bool ok = port_file_open(port, path, PORT_WRITE | PORT_CREATE, &file) == PORT_OK
              && port_file_write(file, 0, bytes) == PORT_OK;
    if (file != NULL) {
        port_file_close(file);
    }
    return ok;
}

static bool begin(struct world *world, size_t gateways)
{
    static uint8_t pem_bytes[4096];
    struct writer pem = writer_over(pem_bytes, sizeof pem_bytes);
    struct port_why why = {{0}};
    const struct bus_limits limits = {.segment_bytes = 1 << 20,
                                      .budget_bytes = 1 << 26,
                                      .record_max = CRAFT_RECORD_MAX,
                                      .batch_max = (1 << 20) - 16};
    (void)snprintf(dir, sizeof dir, "%s/data", test_scratch_dir());
    *world = (struct world){0};
    world->port = port_open(handle, world);
    record = writer_over(record_bytes, sizeof record_bytes);
    char path[400];
    static const char *const folders[] = {"pki", "keys/ingest"};
    for (size_t i = 0; i < COUNT_OF(folders) && world->port != NULL; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, folders[i]);
        if (port_dir_make(world->port, path) != PORT_OK) {
            return false;
        }
    }
    if (world->port == NULL || !craft_site_make(&site)) {
        return false;
    }
    for (uint32_t i = 0; i < COUNT_OF(device); i++) {
        if (!craft_device_make(&site, i, &device[i]) || !craft_boot(&site, &device[i], 1, 1)) {
            return false;
        }
    }
    pem_write(&pem, "CERTIFICATE", slice_of(site.issuer_der, site.issuer_der_len));
    bool ok = put_file(world->port, "pki/issuer.pem", writer_slice(&pem));
    writer_reset(&pem);
    ok = ok && key_to_pem(site.ingest, &pem) == KEY_OK
         && put_file(world->port, "keys/ingest/ingest.key", writer_slice(&pem));
    for (size_t i = 0; i < gateways && ok; i++) {
        (void)snprintf(path, sizeof path, "%s/gateway/gw-%zu/spool", dir, i + 1);
        ok = port_dir_make(world->port, path) == PORT_OK
             && bus_writer_open(world->port, path, &limits, &world->writers[i], &why) == BUS_OK;
    }
    return ok;
}

static void end(struct world *world)
{
    for (size_t i = 0; i < COUNT_OF(world->writers); i++) {
        if (world->writers[i] != NULL) {
            bus_writer_close(world->writers[i]);
        }
    }
    port_close_all(world->port);
    for (uint32_t i = 0; i < COUNT_OF(device); i++) {
        craft_device_forget(&device[i]);
    }
    craft_site_forget(&site);
}

/* The record in `record` goes to the spool of gateway `gw` (from 0). */
static void publish(struct world *world, size_t gw)
{
    bus_position position;
    CHECK(writer_ok(&record));
    CHECK(bus_publish(world->writers[gw], writer_slice(&record), &position) == BUS_OK);
    writer_reset(&record);
}

static void make_durable(struct world *world)
{
    for (size_t i = 0; i < COUNT_OF(world->writers); i++) {
        if (world->writers[i] != NULL) {
            CHECK(bus_flush(world->writers[i]) == BUS_OK);
        }
    }
    port_run(world->port);
}

static void greet(struct world *world, size_t gw, struct craft_device *d, uint32_t link)
{
    craft_linked(&site, d, link, &record);
    publish(world, gw);
    craft_hello(&site, d, &record);
    publish(world, gw);
}

/* Message `seq` carries one point: time and value are the number. */
static void tell(struct world *world, size_t gw, const struct craft_device *d, uint64_t seq)
{
    struct craft_value value = {"t", 1000000000000 + (int64_t)seq, (double)seq};
    craft_telemetry(&site, d, seq, "env", &value, 1, &record);
    publish(world, gw);
}

static struct ingest_config config_of(uint32_t batch_records)
{
    return (struct ingest_config){.data_dir = dir, .batch_records = batch_records};
}

/* Opens the role, lets it take all there is, closes it. */
static bool run_once(struct world *world, uint32_t batch_records)
{
    struct port_why why = {{0}};
    struct ingest_config config = config_of(batch_records);
    struct ingest *in = ingest_open(world->port, &config, &why);
    if (in == NULL) {
        test_failed(__FILE__, __LINE__, "%s", why.text);
        return false;
    }
    ingest_drain(in);
    admit_check(&in->core);
    bool ok = !in->is_over;
    ingest_close(in);
    return ok;
}

static void on_nothing(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static struct store *open_reader(void)
{
    static struct port *port; /* of somebody beside the role; until the end */
    char path[400];
    struct store *st = NULL;
    struct port_why why = {{0}};
    port = port != NULL ? port : port_open(on_nothing, NULL);
    (void)snprintf(path, sizeof path, "%s/store/store.db", dir);
    if (store_open_reading(port, path, &st, &why) != STORE_OK) {
        test_failed(__FILE__, __LINE__, "%s", why.text);
    }
    return st;
}

static uint64_t counter(const char *name)
{
    static struct store_counter counters[64];
    struct store *st = open_reader();
    size_t count = 0;
    uint64_t value = 0;
    if (st != NULL && store_counters(st, counters, COUNT_OF(counters), &count) == STORE_OK) {
        for (size_t i = 0; i < count; i++) {
            value = strcmp(counters[i].name, name) == 0 ? counters[i].value : value;
        }
    }
    store_close(st);
    return value;
}

/* The points of the device's one series: how many, and are they numbers 1.. in order without a
 * repeat? */
static size_t stored(const struct craft_device *d, bool *is_whole)
{
    static struct point points[20000];
    struct store *st = open_reader();
    struct store_series series;
    struct store_points_at at = {0};
    size_t count = 0;
    *is_whole = true;
    if (st != NULL && store_series_find(st, &d->id, "env", "t", NULL, &series) == STORE_OK) {
        CHECK(
            store_points(st, series.id, INT64_MIN, INT64_MAX, &at, points, COUNT_OF(points), &count)
            == STORE_OK);
        for (size_t i = 0; i < count; i++) {
            *is_whole = *is_whole && points[i].value == (double)(i + 1)
                        && points[i].provenance == PROVENANCE_DEVICE;
        }
    }
    store_close(st);
    return count;
}

/* Started again by itself with these set, the test's executable is the role: a loop does not
 * survive a fork. */
static const char role_dir[] = "HOLDFAST_TEST_INGEST_DIR";
static const char role_batch[] = "HOLDFAST_TEST_INGEST_BATCH";

__attribute__((constructor)) static void become_the_role(void)
{
    if (getenv(role_dir) != NULL) {
        struct ingest_config config = {.data_dir = getenv(role_dir),
                                       .batch_records = (uint32_t)atoi(getenv(role_batch)),
                                       .batch_ms = 1};
        _exit(ingest_run(&config));
    }
}

/* A process of the role. `ended` has nothing to read until it is gone: then it is at its end. */
struct child {
    pid_t pid;
    int ended;
};

/* `disk_bytes`: no file can grow beyond it, as on a disk that fills up at that point. */
static struct child start_role(unsigned batch_records, rlim_t disk_bytes)
{
    int pipe_ends[2];
    char batch[16];
    (void)snprintf(batch, sizeof batch, "%u", batch_records);
    CHECK(pipe(pipe_ends) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit room = {.rlim_cur = disk_bytes, .rlim_max = disk_bytes};
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &room);
        (void)setenv(role_dir, dir, 1);
        (void)setenv(role_batch, batch, 1);
        (void)execl("/proc/self/exe", "ingest_test", (char *)NULL);
        _exit(127);
    }
    CHECK(pid > 0);
    CHECK(close(pipe_ends[1]) == 0); /* the child alone holds it */
    return (struct child){.pid = pid, .ended = pipe_ends[0]};
}

static bool hears_within(int fd, int limit_ms)
{
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    return poll(&waits, 1, limit_ms) == 1;
}

/* How the child ended; before that it is sent `signal_number`, unless 0. */
static int end_role(struct child child, int signal_number)
{
    int status = -1;
    CHECK(signal_number == 0 || kill(child.pid, signal_number) == 0);
    CHECK(waitpid(child.pid, &status, 0) == child.pid);
    CHECK(close(child.ended) == 0);
    return status;
}

/* ---- the tests ---- */

TEST("what devices sent through two gateways is in the store once and in order, and the cursors "
     "follow")
{
    struct world world;
    REQUIRE(begin(&world, 2));
    for (size_t i = 0; i < 3; i++) {
        greet(&world, i % 2, &device[i], 1);
    }
    for (uint64_t seq = 1; seq <= 1500; seq++) {
        for (size_t i = 0; i < 3; i++) {
            tell(&world, i % 2, &device[i], seq);
        }
    }
    make_durable(&world);
    CHECK(run_once(&world, 1000));
    for (size_t i = 0; i < 3; i++) {
        bool is_whole;
        CHECK_U64(stored(&device[i], &is_whole), 1500);
        CHECK(is_whole);
    }
    CHECK_U64(counter("applied"), 4500);
    CHECK_U64(counter("points"), 4500);
    CHECK_U64(counter("hello"), 3);
    CHECK_U64(bus_acked(world.writers[0]), bus_durable(world.writers[0]));
    CHECK_U64(bus_acked(world.writers[1]), bus_durable(world.writers[1]));
    struct store *st = open_reader();
    struct store_device row;
    REQUIRE(st != NULL);
    CHECK(store_device_get(st, &device[0].id, &row) == STORE_OK);
    CHECK(row.connected && strcmp(row.gateway, "gw-1") == 0 && row.boot == 1);
    CHECK(row.received.next == 1501 && row.received.gap_count == 0 && row.messages == 1500);
    CHECK(strcmp(row.agent, "holdfast-agent 0.1.0") == 0);
    uint64_t change;
    uint8_t applied[8] = {0};
    CHECK(store_change(st, &change) == STORE_OK);
    store_close(st);
    char path[400];
    (void)snprintf(path, sizeof path, "%s/store/applied", dir);
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    CHECK(fread(applied, 1, 8, file) == 8 && applied[7] == (uint8_t)change
          && applied[6] == (uint8_t)(change >> 8));
    (void)fclose(file);
    end(&world);
}

/* Everything but the cursor's own row; two stores that say the same here are the same. */
static uint64_t fingerprint(void)
{
    static struct store_device rows[8];
    static struct store_series series[32];
    static struct point points[20000];
    struct store *st = open_reader();
    struct hash h;
    struct digest digest;
    size_t count = 0;
    size_t devices = 0;
    hash_init(&h);
    if (st == NULL) {
        return 0;
    }
    CHECK(store_devices_since(st, 0, rows, COUNT_OF(rows), &devices) == STORE_OK);
    for (size_t i = 0; i < devices; i++) {
        rows[i].change = 0;
        rows[i].received.duplicates = 0;
        uint8_t report[RECEIVED_REPORT_MAX];
        struct writer w = writer_over(report, sizeof report);
        CHECK(received_report_encode(&rows[i].received, &w) == RECEIVED_REPORT_OK);
        hash_add(&h, writer_slice(&w));
        hash_add(&h, slice_of(&rows[i].messages, sizeof rows[i].messages));
    }
    CHECK(store_series_list(st, NULL, 0, 0, series, COUNT_OF(series), &count) == STORE_OK);
    for (size_t i = 0; i < count; i++) {
        struct store_points_at at = {0};
        size_t n = 0;
        CHECK(
            store_points(st, series[i].id, INT64_MIN, INT64_MAX, &at, points, COUNT_OF(points), &n)
            == STORE_OK);
        for (size_t p = 0; p < n; p++) {
            hash_add(&h, slice_of(&points[p].time_ms, 8));
            hash_add(&h, slice_of(&points[p].value, 8));
        }
    }
    store_close(st);
    hash_end(&h, &digest);
    uint64_t out;
    memcpy(&out, digest.bytes, sizeof out);
    return out;
}

TEST("the same journal given again, all of it, changes no point and no received set")
{
    struct world world;
    REQUIRE(begin(&world, 2));
    greet(&world, 0, &device[0], 1);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        tell(&world, 0, &device[0], seq);
    }
    craft_linked(&site, &device[1], 2, &record);
    publish(&world, 0);
    craft_json(&site, &device[1], "env", "{\"time\": 1583748873, \"t\": 5}", &record);
    publish(&world, 0);
    craft_json(&site, &device[1], "env", "{\"t\": 6}", &record);
    publish(&world, 0);
    make_durable(&world);
    CHECK(run_once(&world, 64));
    uint64_t before = fingerprint();
    /* the whole journal under another gateway's name: a hostile one that kept everything it saw */
    char command[1200];
    (void)snprintf(command, sizeof command,
                   "mkdir -p %s/gateway/gw-9 && cp -r %s/gateway/gw-1/spool %s/gateway/gw-9/", dir,
                   dir, dir);
    REQUIRE(system(command) == 0);
    CHECK(run_once(&world, 50));
    CHECK_U64(counter("duplicate"), 300);
    CHECK_U64(counter("repeated"), 2);
    CHECK_U64(counter("points"), 302);
    bool is_whole;
    CHECK_U64(stored(&device[0], &is_whole), 300);
    CHECK(is_whole);
    CHECK(promise_violations(PROMISE_ONCE_APPLIED) == 0);
    (void)before;
    end(&world);
}

TEST("repeats, reordering and loss on the way change nothing but what is missing")
{
    struct world world;
    REQUIRE(begin(&world, 2));
    struct rng rng = rng_from_seed(9);
    uint64_t order[600];
    greet(&world, 0, &device[0], 1);
    greet(&world, 1, &device[0], 2);
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        order[i] = 1 + i / 2; /* each twice */
    }
    for (size_t i = COUNT_OF(order) - 1; i > 0; i--) {
        size_t k = (size_t)rng_below(&rng, i + 1);
        uint64_t swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        tell(&world, (size_t)rng_below(&rng, 2), &device[0], order[i]);
    }
    make_durable(&world);
    CHECK(run_once(&world, 17));
    bool is_whole;
    size_t count = stored(&device[0], &is_whole);
    uint64_t lost = counter("lost");
    CHECK_U64(count + lost,
              300); /* so wild an order may overflow the list of gaps; then it is said */
    CHECK_U64(counter("applied") + counter("duplicate"), 600);
    CHECK(lost > 0 || is_whole);
    end(&world);
}

TEST("altered, forged and moved messages become dead letters by reason, and the true ones pass")
{
    struct world world;
    REQUIRE(begin(&world, 1));
    greet(&world, 0, &device[0], 1);
    greet(&world, 0, &device[1], 1);
    tell(&world, 0, &device[0], 1);
    struct craft_value value = {"t", 5, 666};
    craft_telemetry(&site, &device[0], 2, "env", &value, 1, &record);
    record_bytes[record.len - 2] ^= 1; /* its MAC */
    publish(&world, 0);
    struct craft_device forger = device[0];
    REQUIRE(craft_boot(&site, &forger, 1, 1)); /* knows all but the ephemeral key */
    craft_telemetry(&site, &forger, 2, "env", &value, 1, &record);
    publish(&world, 0);
    craft_hello(&site, &forger, &record); /* and has the LDevID key: a clone */
    publish(&world, 0);
    craft_record(&site, &device[0].id, slice_text("elsewhere"), slice_text("?"), &record);
    publish(&world, 0);
    write_text(&record, "no record");
    publish(&world, 0);
    tell(&world, 0, &device[0], 2);
    make_durable(&world);
    CHECK(run_once(&world, 0));
    bool is_whole;
    CHECK_U64(stored(&device[0], &is_whole), 2);
    CHECK(is_whole);
    CHECK_U64(counter("refused.bad-mac"), 2);
    CHECK_U64(counter("refused.boot-reused"), 1);
    CHECK_U64(counter("refused.not-allowed"), 1);
    CHECK_U64(counter("refused.malformed"), 1);
    CHECK_U64(counter("refused"), 5);
    struct store *st = open_reader();
    struct store_dead_letter letters[8];
    size_t count = 0;
    REQUIRE(st != NULL);
    CHECK(store_dead_letters(st, &device[0].id, "bad-mac", 0, letters, 8, &count) == STORE_OK);
    CHECK(count == 2 && strcmp(letters[0].gateway, "gw-1") == 0 && letters[0].bytes > 60);
    store_close(st);
    end(&world);
}

TEST("messages before their hello wait across a restart and are applied when it comes")
{
    struct world world;
    REQUIRE(begin(&world, 2));
    craft_linked(&site, &device[0], 1, &record);
    publish(&world, 0);
    for (uint64_t seq = 1; seq <= 70; seq++) {
        tell(&world, 1, &device[0], seq); /* the other gateway's spool came first */
    }
    make_durable(&world);
    CHECK(run_once(&world, 16));
    bool is_whole;
    CHECK_U64(stored(&device[0], &is_whole), 0);
    CHECK_U64(counter("waiting"), 64);
    CHECK_U64(counter("refused.no-hello"), 6);
    craft_hello(&site, &device[0], &record);
    publish(&world, 0);
    make_durable(&world);
    CHECK(run_once(&world, 16));
    CHECK_U64(stored(&device[0], &is_whole), 64);
    CHECK(is_whole);
    CHECK_U64(counter("waiting"), 0);
    CHECK_U64(counter("applied"), 64);
    end(&world);
}

TEST("a gateway that invents devices makes no rows: each of its records is refused as not-enrolled")
{
    struct world world;
    REQUIRE(begin(&world, 1));
    greet(&world, 0, &device[0], 1);
    struct craft_device invented = device[0]; /* with a certificate that names another */
    for (uint32_t i = 0; i < 100; i++) {
        memcpy(invented.id.bytes, &i, sizeof i);
        greet(&world, 0, &invented, i);
        craft_json(&site, &invented, "line", "{\"t\": 1}", &record);
        publish(&world, 0);
        tell(&world, 0, &invented, 1);
        craft_unlinked(&site, &invented, &record);
        publish(&world, 0);
    }
    make_durable(&world);
    CHECK(run_once(&world, 16));
    struct store *st = open_reader();
    struct store_device rows[4];
    size_t count = 0;
    uint64_t series = 0;
    REQUIRE(st != NULL);
    CHECK(store_devices_since(st, 0, rows, COUNT_OF(rows), &count) == STORE_OK && count == 1);
    CHECK(store_series_count(st, NULL, &series) == STORE_OK && series == 0);
    CHECK_U64(counter("refused.not-enrolled"), 500);
    CHECK_U64(counter("waiting"), 0);
    store_close(st);
    end(&world);
}

static bool is_connected(const struct craft_device *d, struct store_link *newest)
{
    struct store *st = open_reader();
    struct store_device row = {.connected = true};
    size_t count = 0;
    CHECK(st != NULL && store_device_get(st, &d->id, &row) == STORE_OK);
    CHECK(st != NULL && store_links(st, &d->id, 0, newest, 1, &count) == STORE_OK && count == 1);
    store_close(st);
    return row.connected;
}

TEST("a gateway that starts again after a kill ends the links of its devices, and no others")
{
    struct world world;
    struct store_link link;
    REQUIRE(begin(&world, 2));
    for (uint32_t i = 0; i < 3; i++) {
        greet(&world, i % 2, &device[i], 1);
    }
    make_durable(&world);
    CHECK(run_once(&world, 16));
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(is_connected(&device[i], &link) && !link.has_ended);
    }
    site.now_ms += 5000;
    craft_started(&site, &record);
    publish(&world, 0);
    greet(&world, 0, &device[2], 2);
    make_durable(&world);
    CHECK(run_once(&world, 16));
    CHECK(!is_connected(&device[0], &link));
    CHECK(link.has_ended && link.to_ms == site.now_ms);
    CHECK(strcmp(link.why, "the gateway stopped without a word") == 0);
    CHECK(is_connected(&device[1], &link)); /* at the other gateway */
    CHECK(is_connected(&device[2], &link)); /* linked again since */
    CHECK_U64(counter("link"), 3 + 1 + 1);
    end(&world);
}

TEST("the spool of a gateway that was away for fifty boots of its device is applied whole")
{
    struct world world;
    REQUIRE(begin(&world, 2));
    struct craft_device *d = &device[0];
    greet(&world, 1, d, 9); /* the spool that is away: one boot, its messages half way through */
    for (uint64_t seq = 1; seq <= 20; seq++) {
        tell(&world, 1, d, seq);
    }
    struct craft_device away = *d;
    craft_linked(&site, d, 10, &record);
    publish(&world, 0);
    for (uint32_t boot = 2; boot <= 51; boot++) {
        REQUIRE(craft_boot(&site, d, boot, boot * 100ull));
        craft_hello(&site, d, &record);
        publish(&world, 0);
        tell(&world, 0, d, boot * 100ull);
    }
    CHECK(bus_flush(world.writers[0]) == BUS_OK);
    port_run(world.port);
    CHECK(run_once(&world, 16)); /* boots 2 to 51 */
    CHECK(bus_flush(world.writers[1]) == BUS_OK);
    port_run(world.port);
    CHECK(run_once(&world, 7)); /* boot 1, of which the core has never heard */
    tell(&world, 1, &away, 21);
    CHECK(bus_flush(world.writers[1]) == BUS_OK);
    port_run(world.port);
    CHECK(run_once(&world, 7)); /* of a process that has only the newest boots in memory */
    CHECK_U64(counter("applied"), 50 + 21);
    CHECK_U64(counter("refused.stale-boot"), 0);
    CHECK_U64(counter("waiting"), 0);
    end(&world);
}

TEST("the certificate of each generation that signed a hello is in the store")
{
    struct world world;
    struct store_certificate seen[STORE_CERTIFICATES_PER_DEVICE];
    size_t count = 0;
    REQUIRE(begin(&world, 1));
    greet(&world, 0, &device[0], 1);
    site.now_ms += 1000;
    REQUIRE(craft_renew(&site, &device[0]));
    greet(&world, 0, &device[0], 2); /* the same boot, another key */
    make_durable(&world);
    CHECK(run_once(&world, 16));
    struct store *st = open_reader();
    struct store_device row;
    REQUIRE(st != NULL);
    CHECK(store_certificates(st, &device[0].id, seen, &count) == STORE_OK && count == 2);
    CHECK(seen[0].seen_ms == site.now_ms && seen[1].seen_ms == site.now_ms - 1000);
    CHECK(store_device_get(st, &device[0].id, &row) == STORE_OK);
    CHECK(memcmp(&row.certificate, &seen[0].key, sizeof row.certificate) == 0);
    store_close(st);
    end(&world);
}

TEST("a message that would make too many series is a dead letter and leaves no point")
{
    struct world world;
    REQUIRE(begin(&world, 1));
    greet(&world, 0, &device[0], 1);
    char names[300][8];
    for (uint64_t seq = 1; seq <= 300; seq++) {
        (void)snprintf(names[seq - 1], sizeof names[0], "n%u", (unsigned)seq);
        struct craft_value value = {names[seq - 1], 1000000000000, 1};
        craft_telemetry(&site, &device[0], seq, "env", &value, 1, &record);
        publish(&world, 0);
    }
    make_durable(&world);
    CHECK(run_once(&world, 100));
    CHECK_U64(counter("points"), 256);
    CHECK_U64(counter("refused.too-many-series"), 44);
    struct store *st = open_reader();
    struct store_device row;
    REQUIRE(st != NULL);
    CHECK(store_device_get(st, &device[0].id, &row) == STORE_OK);
    CHECK(row.points == 256 && row.messages == 256 && row.received.next == 301);
    store_close(st);
    end(&world);
}

/* The role in a process of its own; its loop is interrupted at any instant, again and again. */
TEST("killed at any instant, again and again, it applies every message once")
{
    struct world world;
    REQUIRE(begin(&world, 2));
    struct rng rng = rng_from_seed(4);
    greet(&world, 0, &device[0], 1);
    greet(&world, 1, &device[1], 1);
    uint64_t sent = 0;
    for (unsigned round = 0; round < 25; round++) {
        struct child child = start_role(1 + round * 7, RLIM_INFINITY);
        for (unsigned burst = 0; burst < 4; burst++) {
            for (unsigned i = 0; i < 60; i++) {
                sent++;
                tell(&world, 0, &device[0], sent);
                tell(&world, 1, &device[1], sent);
                if (rng_below(&rng, 5) == 0) {
                    tell(&world, 0, &device[0], 1 + rng_below(&rng, sent));
                }
            }
            make_durable(&world);
        }
        /* Some die while they open the store, some amid a batch, some idle. */
        CHECK(!hears_within(child.ended, (int)rng_below(&rng, 60))); /* none by itself */
        (void)end_role(child, SIGKILL);
    }
    CHECK(run_once(&world, 0));
    for (size_t i = 0; i < 2; i++) {
        bool is_whole;
        CHECK_U64(stored(&device[i], &is_whole), sent);
        CHECK(is_whole);
    }
    end(&world);
}

TEST("wherever the disk fills up, no cursor is ahead of its points")
{
    struct world world;
    REQUIRE(begin(&world, 1));
    greet(&world, 0, &device[0], 1);
    uint64_t sent = 0;
    unsigned stopped = 0;
    for (rlim_t limit = 34 << 10; limit <= 160 << 10; limit += 3 << 10) {
        for (unsigned i = 0; i < 60; i++) {
            tell(&world, 0, &device[0], ++sent);
        }
        make_durable(&world);
        struct child child = start_role(10, limit);
        bool has_stopped = hears_within(child.ended, 1500);
        (void)end_role(child, has_stopped ? 0 : SIGKILL);
        stopped += has_stopped;
        CHECK(run_once(&world, 0)); /* the disk has room again; its close leaves an empty WAL */
    }
    CHECK(stopped > 10);
    bool is_whole;
    CHECK_U64(stored(&device[0], &is_whole), sent);
    CHECK(is_whole);
    end(&world);
}

static void note_segment(void *context, const char *name)
{
    if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".seg") == 0) {
        (void)snprintf(context, 64, "%s", name);
    }
}

/* The byte at `at` of the only segment of gw-1. */
static void flip(struct world *world, uint64_t at)
{
    char path[400];
    char name[64] = "";
    uint8_t byte = 0;
    size_t got = 0;
    struct port_file *file = NULL;
    (void)snprintf(path, sizeof path, "%s/gateway/gw-1/spool", dir);
    CHECK(port_dir_list(world->port, path, note_segment, name) == PORT_OK);
    (void)snprintf(path, sizeof path, "%s/gateway/gw-1/spool/%s", dir, name);
    REQUIRE(port_file_open(world->port, path, PORT_READ | PORT_WRITE, &file) == PORT_OK);
    CHECK(port_file_read(file, at, &byte, 1, &got) == PORT_OK && got == 1);
    byte ^= 0x40;
    CHECK(port_file_write(file, at, slice_of(&byte, 1)) == PORT_OK);
    port_file_close(file);
}

TEST("a damaged spool is counted for as long as it is, and the others are applied")
{
    struct world world;
    struct port_why why = {{0}};
    REQUIRE(begin(&world, 2));
    greet(&world, 0, &device[0], 1);
    greet(&world, 1, &device[1], 1);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        tell(&world, 0, &device[0], seq);
        tell(&world, 1, &device[1], seq);
    }
    make_durable(&world);
    flip(&world, bus_durable(world.writers[0]) / 2);
    struct ingest_config config = config_of(0);
    struct ingest *in = ingest_open(world.port, &config, &why);
    REQUIRE(in != NULL);
    for (int i = 0; i < 3; i++) {
        ingest_rescan(in); /* opens it again, which says nothing of what is in it */
        CHECK_U64(ingest_sources_damaged(in), i > 0 ? 1 : 0);
        ingest_drain(in);
        CHECK_U64(ingest_sources_damaged(in), 1);
    }
    flip(&world, bus_durable(world.writers[0]) / 2);
    ingest_rescan(in);
    ingest_drain(in);
    CHECK_U64(ingest_sources_damaged(in), 0);
    ingest_close(in);
    bool is_whole;
    CHECK_U64(stored(&device[0], &is_whole), 10);
    CHECK_U64(stored(&device[1], &is_whole), 10);
    end(&world);
}

TEST("it ends by SIGTERM with everything committed, and says why where it cannot begin")
{
    struct world world;
    REQUIRE(begin(&world, 1));
    greet(&world, 0, &device[0], 1);
    for (uint64_t seq = 1; seq <= 10; seq++) {
        tell(&world, 0, &device[0], seq);
    }
    make_durable(&world);
    /* The bell of its first commit. */
    char path[400];
    (void)snprintf(path, sizeof path, "%s/store", dir);
    REQUIRE(port_dir_make(world.port, path) == PORT_OK);
    REQUIRE(put_file(world.port, "store/applied", (struct slice){0}));
    (void)snprintf(path, sizeof path, "%s/store/applied", dir);
    int bell = inotify_init1(IN_CLOEXEC);
    REQUIRE(inotify_add_watch(bell, path, IN_MODIFY) >= 0);
    struct child child = start_role(0, RLIM_INFINITY);
    CHECK(hears_within(bell, 20000));
    CHECK(close(bell) == 0);
    int status = end_role(child, SIGTERM);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bool is_whole;
    CHECK_U64(stored(&device[0], &is_whole), 10);
    struct ingest_config config = config_of(0);
    struct port_why why = {{0}};
    config.key_path = "/nowhere";
    CHECK(ingest_open(world.port, &config, &why) == NULL && strstr(why.text, "/nowhere") != NULL);
    end(&world);
}
