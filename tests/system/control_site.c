/*
 * A site for the tests of the control plane, without gateways and agents: what they would have left
 * in registry and store is written here, then the real control role runs on it.
 *
 *     control_site make DIR DEVICES      registry, first operator (its token to stdout), store with
 * points control_site add DIR NAME COUNT    COUNT more points of a device, as ingest would commit
 * them control_site run DIR [CONSOLE_DIR] control; its ports go to DIR/ready
 */
#include "base/invariant.h"
#include "core/control/access.h"
#include "io/operators.h"
#include "io/store.h"
#include "role/control.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static char path_room[1200];

static const char *path_in(const char *dir, const char *name)
{
    (void)snprintf(path_room, sizeof path_room, "%s/%s", dir, name);
    return path_room;
}

static int64_t now_ms(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_REALTIME, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

static void need(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "control_site: %s\n", what);
        exit(1);
    }
}

static struct device_id id_of(uint32_t number)
{
    struct device_id id = {{0x10}};
    memcpy(id.bytes + 12, &number, sizeof number);
    return id;
}

static void name_of(uint32_t number, char name[16])
{
    (void)snprintf(name, 16, "press-%03u", (unsigned)(number + 1) % 1000000u);
}

static void make_operator(struct registry *r)
{
    struct operators *ops = NULL;
    struct port_why why = {{0}};
    uint8_t random[ACCESS_SECRET_LEN];
    char text[ACCESS_TEXT_MAX + 1] = {0};
    struct digest digest;
    FILE *file = fopen("/dev/urandom", "rb");
    need(file != NULL && fread(random, 1, sizeof random, file) == sizeof random, "no randomness");
    (void)fclose(file);
    struct writer w = writer_over(text, ACCESS_TEXT_MAX);
    access_write(&w, ACCESS_TOKEN, random);
    need(access_digest(ACCESS_TOKEN, writer_slice(&w), &digest), "no token");
    need(operators_open(r, &ops, &why) == REGISTRY_OK, why.text);
    struct operator_new first = {
        .name = slice_text("operator-1"),
        .rights = ACCESS_READ | ACCESS_OPERATE | ACCESS_ADMIN,
        .token = &digest,
        .label = slice_text("test"),
        .actor = slice_text("system"),
        .at_ms = now_ms(),
    };
    need(operators_add(ops, &first) == REGISTRY_OK, "no operator");
    /* One who may only read, with the token of the same bytes reversed. */
    for (size_t i = 0; i < sizeof random / 2; i++) {
        uint8_t keep = random[i];
        random[i] = random[sizeof random - 1 - i];
        random[sizeof random - 1 - i] = keep;
    }
    char reader[ACCESS_TEXT_MAX + 1] = {0};
    w = writer_over(reader, ACCESS_TEXT_MAX);
    access_write(&w, ACCESS_TOKEN, random);
    need(access_digest(ACCESS_TOKEN, writer_slice(&w), &digest), "no token");
    first.name = slice_text("reader-1");
    first.rights = ACCESS_READ;
    need(operators_add(ops, &first) == REGISTRY_OK, "no reader");
    operators_close(ops);
    (void)printf("%s\n%s\n", text, reader);
}

static void make_device(struct registry *r, uint32_t number)
{
    char id[DEVICE_ID_TEXT_LEN];
    struct registry_device device = {.id = id_of(number),
                                     .origin = REGISTRY_HARDWARE,
                                     .state = IDENTITY_ENROLLED,
                                     .created_ms = now_ms()};
    struct writer w = writer_over(id, sizeof id);
    device_id_write_text(&w, &device.id);
    name_of(number, device.name);
    (void)snprintf(device.serial, sizeof device.serial, "SN-%05u", (unsigned)number);
    (void)snprintf(device.model, sizeof device.model, "P%u", (unsigned)(4 + number % 2));
    memcpy(device.hardware_key.bytes, device.id.bytes, sizeof device.id.bytes);
    struct registry_note note = {
        .at_ms = now_ms(),
        .kind = slice_text("device-created"),
        .actor = slice_text("system"),
        .object = writer_slice(&w),
        .detail = slice_text("{\"by\":\"test\"}"),
    };
    struct registry_certificate certificate = {
        .device = device.id,
        .serial_len = 16,
        .state = CERTIFICATE_CURRENT,
        .not_before_ms = now_ms() - 60000,
        .not_after_ms = now_ms() + 86400000,
        .issued_ms = now_ms(),
        .der_len = 3,
        .der = {0x30, 0x01, 0x00},
    };
    memcpy(certificate.serial, device.id.bytes, 16);
    memcpy(certificate.key.bytes, device.id.bytes, 16);
    need(
        registry_certificate_issue(r, &device, &certificate, device.state, IDENTITY_ENROLLED, &note)
            == REGISTRY_OK,
        "no certificate");
}

static void touch_applied(const char *dir)
{
    FILE *file = fopen(path_in(dir, "store/applied"), "wb");
    need(file != NULL && fwrite("12345678", 1, 8, file) == 8 && fclose(file) == 0, "store/applied");
}

static void put_points(struct store *st,
                       uint32_t number,
                       uint64_t from,
                       unsigned count,
                       const char *name,
                       const char *unit)
{
    static struct point points[4096];
    struct device_id id = id_of(number);
    int64_t series = 0;
    size_t repeated = 0;
    int64_t end = now_ms();
    need(count <= COUNT_OF(points), "too many points");
    for (unsigned i = 0; i < count; i++) {
        points[i] = (struct point){
            .time_ms = end - ((int64_t)count - (int64_t)i) * 1000,
            .value = 20 + sin((double)(from + i) / 10),
            .quality = TIME_SYNCED,
            .provenance = PROVENANCE_DEVICE,
        };
    }
    need(store_series_ensure(st, &id, "s", name, unit, &series, NULL) == STORE_OK, store_why(st));
    need(store_append(st, series, points, count, &repeated) == STORE_OK, store_why(st));
}

/* Three boots, a link that was lost and the one that stands. */
static void put_past(struct store *st, uint32_t number, const struct store_device *row)
{
    uint32_t expired = 0;
    for (uint32_t boot = 1; boot <= row->boot; boot++) {
        struct store_hello hello = {
            .boot = boot, .first = 1, .received_ms = row->hello_ms - (3 - (int64_t)boot) * 1000};
        need(store_hello_put(st, &row->device, &hello, &expired) == STORE_OK, store_why(st));
    }
    need(store_link_begin(st, &row->device, "gw-3", row->linked_ms - 9000) == STORE_OK
             && store_link_end(st, &row->device, "gw-3", row->linked_ms - 1000, "keep alive")
                    == STORE_OK
             && store_link_begin(st, &row->device, row->gateway, row->linked_ms) == STORE_OK,
         store_why(st));
    if (number % 10 == 9) {
        need(store_link_end(st, &row->device, row->gateway, row->linked_ms + 1000, "lost")
                 == STORE_OK,
             store_why(st));
    }
}

static void put_device(struct store *st, uint32_t number, unsigned count)
{
    struct store_device row = {0};
    struct device_id id = id_of(number);
    if (store_device_get(st, &id, &row) != STORE_OK) {
        row = (struct store_device){.device = id,
                                    .boot = 3,
                                    .boots = 3,
                                    .received = {.next = 1},
                                    .clock_quality = TIME_SYNCED};
        (void)snprintf(row.agent, sizeof row.agent, "holdfast-agent 0.1.0");
        (void)snprintf(row.gateway, sizeof row.gateway, "gw-%u", (unsigned)(1 + number % 2));
        row.linked_ms = now_ms() - 60000;
        row.hello_ms = row.linked_ms;
        put_past(st, number, &row);
    }
    put_points(st, number, row.points, count, "temperature", "Cel");
    put_points(st, number, row.points, count, "pressure", "bar");
    row.connected = number % 10 != 9;
    row.seen_ms = row.connected ? now_ms() : now_ms() - 3600000;
    row.messages += count;
    row.points += 2 * count;
    row.received.next += count;
    if (number % 10 == 8 && row.received.gap_count == 0) {
        row.received.next += 4;
        row.received.gap_count = 1;
        row.received.gaps[0] = (struct received_gap){.from = row.received.next - 4,
                                                     .count = 4,
                                                     .since_s = (uint32_t)(now_ms() / 1000),
                                                     .why = GAP_MISSING};
    }
    need(store_device_put(st, &row) == STORE_OK, store_why(st));
    need(store_counter_add(st, "applied", count) == STORE_OK, store_why(st));
    need(store_counter_add(st, "points", 2 * count) == STORE_OK, store_why(st));
}

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static struct port *port_of_tool(void)
{
    static struct port *port; /* until the end */
    port = port != NULL ? port : port_open(on_event, NULL);
    return port;
}

static struct store *open_store(const char *dir)
{
    struct store *st = NULL;
    struct port_why why = {{0}};
    struct store_limits limits = {0};
    need(store_open(port_of_tool(), path_in(dir, "store/store.db"), &limits, &st, &why) == STORE_OK,
         why.text);
    return st;
}

static void put_refusal(struct store *st)
{
    struct store_dead_letter letter = {.at_ms = now_ms(), .device = id_of(0), .bytes = 5};
    (void)snprintf(letter.gateway, sizeof letter.gateway, "gw-1");
    (void)snprintf(letter.topic, sizeof letter.topic, "hf/1/x/t/s");
    (void)snprintf(letter.reason, sizeof letter.reason, "bad-mac");
    need(store_dead_letter_add(st, &letter, slice_text("hello")) == STORE_OK, store_why(st));
    need(store_counter_add(st, "refused.bad-mac", 1) == STORE_OK, store_why(st));
}

static int make(const char *dir, uint32_t devices)
{
    struct registry *r = NULL;
    struct port_why why = {{0}};
    uint64_t change = 0;
    static const char *const folders[] = {"", "control", "store", "run"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        (void)mkdir(path_in(dir, folders[i]), 0700);
    }
    need(registry_open(port_of_tool(), path_in(dir, "control/registry.db"), true, &r, &why)
             == REGISTRY_OK,
         why.text);
    make_operator(r);
    for (uint32_t i = 0; i < devices; i++) {
        make_device(r, i);
    }
    registry_close(r);
    struct store *st = open_store(dir);
    need(store_begin(st) == STORE_OK, store_why(st));
    for (uint32_t i = 0; i + 1 < devices || i == 0; i++) {
        put_device(st, i, devices > 1000 ? 1 : 600); /* the last device was never heard of */
    }
    put_refusal(st);
    need(store_commit(st, &change) == STORE_OK, store_why(st));
    store_close(st);
    touch_applied(dir);
    return 0;
}

static int add(const char *dir, const char *name, unsigned count)
{
    unsigned number = 0;
    uint64_t change = 0;
    need(sscanf(name, "press-%u", &number) == 1 && number > 0, "what device?");
    struct store *st = open_store(dir);
    need(store_begin(st) == STORE_OK, store_why(st));
    put_device(st, number - 1, count);
    need(store_commit(st, &change) == STORE_OK, store_why(st));
    store_close(st);
    touch_applied(dir);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "make") == 0) {
        return make(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    }
    if (argc >= 5 && strcmp(argv[1], "add") == 0) {
        return add(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    }
    if (argc >= 3 && strcmp(argv[1], "run") == 0) {
        char ready[1200];
        (void)snprintf(ready, sizeof ready, "%s/ready", argv[2]);
        static struct grant hmi = {.subscribe = {.count = 1}};
        hmi.name = slice_text("hmi");
        hmi.subscribe.items[0] = slice_text("plant/#");
        struct control_config config = {
            .data = argv[2],
            .applications = &hmi,
            .applications_count = 1,
            .site = "Northsea Pressings",
            .domain = "holdfast.local",
            .console_listen = "localhost:0",
            .console_origin = "http://localhost:0",
            .console_dir = argc > 3 ? argv[3] : NULL,
            .metrics_listen = "localhost:0",
            .ready_path = ready,
        };
        return control_run(&config);
    }
    (void)fprintf(
        stderr,
        "usage: control_site make DIR DEVICES | add DIR NAME COUNT | run DIR [CONSOLE_DIR]\n");
    return 2;
}
