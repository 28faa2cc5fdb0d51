/*
 * The folder of a device as somebody else left it: certificates, keys, counters, trust list, all of
 * them or some, each of any bytes. The agent starts on it or says why it does not; where it starts
 * it starts again, with a higher boot; and neither takes the hardware's certificate, the identity
 * in use or the trust list away.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "io/read_all.h"
#include "io/sim/sim.h"
#include "role/device.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 8192, RUN_MS = 3000 };

/* The order of the input: a length of two bytes (0xffff: there is no such file), and the bytes. */
static const char *const files[] = {
    "/root.pem",          "/idevid.pem",         "/idevid.key",     "/state/identity.pem",
    "/state/trust.cbor",  "/state/sequence",     "/state/next.key", "/state/renewed.pem",
    "/state/outbox/mark", "/state/outbox/stream"};
enum { STAYING = 5 }; /* the first of them are never changed */

struct agent {
    struct device *device;
};

static void on_event(void *role, const struct port_event *ev)
{
    struct agent *a = role;
    if (a->device != NULL) {
        (void)device_event(a->device, ev);
    }
}

static void put(struct port *port, const char *path, struct slice bytes)
{
    struct port_file *file = NULL;
    INVARIANT(port_file_open(port, path, PORT_READ | PORT_WRITE | PORT_CREATE, &file) == PORT_OK);
    INVARIANT(port_file_write(file, 0, bytes) == PORT_OK);
    port_file_close(file);
}

/* Which files there are, and their bytes. */
static uint32_t lay_out(struct port *port, struct slice input, struct slice kept[])
{
    struct reader r = reader_over(input);
    uint32_t there = 0;
    INVARIANT(port_dir_make(port, "/state/outbox") == PORT_OK);
    put(port, "/rows.csv",
        slice_text("datetime;a\n2026-11-23 00:00:00;1\n2026-11-23 00:00:01;2\n"));
    for (uint32_t i = 0; i < COUNT_OF(files) && r.rest.len > 0; i++) {
        size_t len = read_u16(&r);
        len = len < r.rest.len || len == UINT16_MAX ? len : r.rest.len;
        if (len != UINT16_MAX && len <= FILE_MAX) {
            kept[i] = read_bytes(&r, len);
            put(port, files[i], kept[i]);
            there |= UINT32_C(1) << i;
        }
    }
    return there;
}

static void nothing_is_lost(struct port *port, uint32_t there, const struct slice kept[])
{
    static uint8_t bytes[FILE_MAX + 1];
    for (uint32_t i = 0; i < STAYING; i++) {
        size_t len = 0;
        if ((there & UINT32_C(1) << i) != 0) {
            INVARIANT(port_file_read_all(port, files[i], bytes, sizeof bytes, &len) == PORT_OK);
            INVARIANT(slice_equal(slice_of(bytes, len), kept[i]));
        }
    }
}

/* The boot it began; 0: it does not start, and says why. */
static uint32_t start(struct sim_world *world, uint32_t there, const struct slice kept[])
{
    static const char *const gateways[] = {"nowhere:8883"};
    struct agent a = {0};
    struct port *port = sim_start(world, "device", on_event, &a);
    const struct device_config config = {.state_dir = "/state",
                                         .idevid_path = "/idevid.pem",
                                         .idevid_key_path = "/idevid.key",
                                         .root_path = "/root.pem",
                                         .devices_url = "https://nowhere:9443",
                                         .gateways = gateways,
                                         .gateways_count = 1,
                                         .stream = "rig",
                                         .source = "csv:/rows.csv,rate=10",
                                         .outbox = DEVICE_JOURNAL,
                                         .agent = "fuzzed"};
    struct device_counts counts = {0};
    struct port_why why = {0};
    if (device_open(port, &config, &a.device, &why) == PORT_OK) {
        (void)sim_run_for(world, RUN_MS);
        device_counts(a.device, &counts);
        INVARIANT(counts.boot > 0);
        INVARIANT(!device_is_over(a.device) || device_why(a.device)[0] != '\0');
        nothing_is_lost(port, there, kept);
        counts.boot = device_is_over(a.device) ? 0 : counts.boot;
        device_close(a.device);
        a.device = NULL;
    } else {
        INVARIANT(why.text[0] != '\0');
        nothing_is_lost(port, there, kept);
    }
    port_close_all(port);
    return counts.boot;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice kept[COUNT_OF(files)] = {{0}};
    struct sim_world *world = sim_open(1);
    struct agent nobody = {0};
    struct port *port = sim_start(world, "device", on_event, &nobody);
    uint32_t there = lay_out(port, slice_of(data, size), kept);
    port_close_all(port);
    uint32_t first = start(world, there, kept);
    if (first != 0) {
        INVARIANT(start(world, there, kept) > first);
    }
    sim_close(world);
    return 0;
}
