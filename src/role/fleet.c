#include "role/fleet.h"

#include "base/version.h"
#include "core/device/device_trace.h"
#include "role/device.h"
#include "role/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLEET_MAX = 100000,
    PATH_MAX_ = 400,
    STARTS_PER_S = 100,
    WINDOW_MESSAGES = 64,
    WINDOW_BYTES = 24 * 1024,
    STEP_MS = 50 /* between two looks at who may begin */
};

struct fleet {
    const struct fleet_config *config;
    struct port *port;
    struct device **devices;
    uint32_t opened; /* devices[0 .. opened) were begun; those that failed are NULL */
    uint32_t failed;
    struct port_wake *wake;
    struct trace *trace; /* of all devices */
    uint64_t began_ms;
    bool is_stopping;
};

static bool open_device(struct fleet *f, uint32_t index)
{
    const struct fleet_config *c = f->config;
    char name[80];
    char dir[PATH_MAX_];
    char certificate[PATH_MAX_ + 16];
    char key[PATH_MAX_ + 16];
    struct port_why why = {0};
    (void)snprintf(name, sizeof name, "%.60s%03" PRIu32, c->name_prefix, c->first + index);
    int len = snprintf(dir, sizeof dir, "%s/%s", c->dir, name);
    if (len < 0 || (size_t)len >= sizeof dir) {
        return false;
    }
    (void)snprintf(certificate, sizeof certificate, "%s/idevid.pem", dir);
    (void)snprintf(key, sizeof key, "%s/idevid.key", dir);
    struct device_config config = {
        .state_dir = dir,
        .idevid_path = certificate,
        .idevid_key_path = key,
        .root_path = c->root_path,
        .devices_url = c->devices_url,
        .gateways = c->gateways,
        .gateways_count = c->gateways_count,
        .preferred = (c->first + index) % (uint32_t)c->gateways_count,
        .stream = "synthetic",
        .source = "waveform",
        .period_ms = c->period_ms,
        .outbox = DEVICE_MEMORY,
        .window_messages = WINDOW_MESSAGES,
        .window_bytes = WINDOW_BYTES,
        .agent = "holdfast-fleet " HOLDFAST_VERSION,
        .trace = f->trace,
        .trace_instance = c->first + index,
    };
    if (device_open(f->port, &config, &f->devices[index], &why) != PORT_OK) {
        (void)fprintf(stderr, "fleet: %s does not start: %s\n", name, why.text);
        f->devices[index] = NULL;
        return false;
    }
    return true;
}

static void start_some(struct fleet *f)
{
    uint32_t per_s =
        f->config->starts_per_s != 0 ? f->config->starts_per_s : (uint32_t)STARTS_PER_S;
    uint64_t due = 1 + (port_now_ms(f->port) - f->began_ms) * per_s / 1000;
    while (!f->is_stopping && f->opened < f->config->count && f->opened < due) {
        f->failed += !open_device(f, f->opened);
        f->opened++;
    }
    bool is_done = f->is_stopping || f->opened == f->config->count;
    port_wake_at(f->wake, is_done ? UINT64_MAX : port_now_ms(f->port) + STEP_MS);
}

static void stop_if_over(struct fleet *f)
{
    for (uint32_t i = 0; i < f->opened; i++) {
        if (f->devices[i] != NULL && !device_is_over(f->devices[i])) {
            return;
        }
    }
    port_stop(f->port);
}

static void handle(void *role, const struct port_event *ev)
{
    struct fleet *f = role;
    if (ev->kind == PORT_TERMINATE) {
        f->is_stopping = true;
        for (uint32_t i = 0; i < f->opened; i++) {
            if (f->devices[i] != NULL) {
                device_stop(f->devices[i]);
            }
        }
    } else if (ev->user == &f->wake) {
        start_some(f);
    } else {
        for (uint32_t i = 0; i < f->opened; i++) {
            if (f->devices[i] != NULL && device_event(f->devices[i], ev)) {
                break;
            }
        }
    }
    if (f->is_stopping && ev->kind == PORT_TURN_ENDED) {
        stop_if_over(f);
    }
}

int fleet_run(const struct fleet_config *config)
{
    struct fleet f = {.config = config};
    if (config->count == 0 || config->count > FLEET_MAX || config->gateways_count == 0) {
        (void)fprintf(stderr, "fleet: 1 to %d devices and at least one gateway\n", FLEET_MAX);
        return 2;
    }
    f.devices = calloc(config->count, sizeof(struct device *));
    f.port = f.devices == NULL ? NULL : port_open(handle, &f);
    if (f.port == NULL) {
        (void)fprintf(stderr, "fleet: the machine refuses\n");
        free(f.devices);
        return 1;
    }
    char traces[PATH_MAX_];
    int len = snprintf(traces, sizeof traces, "%s/traces", config->dir);
    bool fits = len > 0 && (size_t)len < sizeof traces;
    f.trace = trace_start(f.port, "device", fits ? traces : NULL, device_trace_cores,
                          DEVICE_TRACE_CORES, TRACE_DEVICE_RING_BYTES);
    f.began_ms = port_now_ms(f.port);
    f.wake = port_wake_new(f.port, &f.wake);
    port_wake_at(f.wake, f.began_ms);
    port_run(f.port);
    for (uint32_t i = 0; i < f.opened; i++) {
        device_close(f.devices[i]);
    }
    trace_stop(f.trace);
    port_close_all(f.port);
    free(f.devices);
    return f.failed > 0 ? 1 : 0;
}
