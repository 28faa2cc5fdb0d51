/*
 * holdfast-agent: the device's own program. Reads its options, then lets role/device do everything.
 */
#include "base/version.h"
#include "core/device/device_trace.h"
#include "io/port.h"
#include "role/confine.h"
#include "role/device.h"
#include "role/source.h"
#include "role/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_BAD_CONFIG = 9,
    EXIT_STORAGE = 74,
    GATEWAYS_MAX = 16,
    GATEWAYS_TEXT_MAX = 2048
};

static const char help[] =
    "holdfast-agent " HOLDFAST_VERSION
    ": enrols this device, measures, and delivers each message once\n"
    "\n"
    "usage: holdfast-agent --state DIR --idevid CERT --idevid-key KEY --root PEM\n"
    "                      --devices-url https://HOST:PORT --gateway HOST:PORT[,HOST:PORT...]\n"
    "                      [--source SOURCE] [--stream NAME] [--outbox journal|memory] [--once]\n"
    "                      [--sandbox auto|required|off] [--quiet]\n"
    "\n"
    "  --state DIR        keys, counters and the outbox; made with mode 0700; one process at a "
    "time\n"
    "  --idevid CERT      the manufacturer's certificate of this device, and its key (PEM)\n"
    "  --root PEM         the site's root certificate: servers and trust list are held against it\n"
    "  --devices-url URL  the device services (enrolment, trust list)\n"
    "  --gateway LIST     the first that works is used; HOST:PORT=N gives a priority, the lowest "
    "is the best:\n"
    "                     gw-1:8883=1,gw-2:8883=1,gw-3:8883=2 takes either of two, and the third "
    "in need\n"
    "  --source SOURCE    host             this machine's own sensors, once a second (the "
    "default)\n"
    "                     host,period=5s   the same, more slowly\n"
    "                     csv:FILE         a recording, one row a second; csv:FILE,rate=10; "
    "rate=0: at once\n"
    "                     stdin            lines of JSON: {\"time\": \"2026-11-23T14:00:00Z\", "
    "\"temp\": 21.5}\n"
    "  --stream NAME      where it appears on the site: letters, digits, '.', '_', '-'; default: "
    "the source's\n"
    "  --outbox KIND      journal: unsent messages survive restarts and power cuts (the default)\n"
    "                     memory: faster on the flash; what is unsent is gone after a restart\n"
    "  --sandbox HOW      auto: rights it does not need are given up as far as the kernel has the "
    "means (the\n"
    "                     default); required: or it does not start; off\n"
    "  --once             end when the source has ended and everything is acknowledged\n"
    "  --quiet            say nothing but troubles\n"
    "\n"
    "examples:\n"
    "  holdfast-agent --state /var/lib/holdfast --idevid idevid.pem --idevid-key idevid.key \\\n"
    "      --root root.pem --devices-url https://site:9443 --gateway gw-1:8883,gw-2:8883\n"
    "  holdfast-agent --state ./state --idevid idevid.pem --idevid-key idevid.key --root root.pem "
    "\\\n"
    "      --devices-url https://localhost:9443 --gateway localhost:8883 --source "
    "csv:pump.csv,rate=5 --once\n";

struct options {
    struct device_config device;
    const char *gateways;
    const char *outbox;
    const char *sandbox;
    enum confine_policy policy;
    bool once, quiet;
};

struct agent {
    struct port *port;
    struct device *device;
    bool once;
};

/* ---- options ---- */

struct option {
    const char *name;
    const char **value;
};

static bool take_option(struct options *o, int *i, int argc, char **argv)
{
    const struct option known[] = {
        {"--state", &o->device.state_dir},
        {"--idevid", &o->device.idevid_path},
        {"--idevid-key", &o->device.idevid_key_path},
        {"--root", &o->device.root_path},
        {"--devices-url", &o->device.devices_url},
        {"--gateway", &o->gateways},
        {"--source", &o->device.source},
        {"--stream", &o->device.stream},
        {"--outbox", &o->outbox},
        {"--sandbox", &o->sandbox},
    };
    for (size_t k = 0; k < COUNT_OF(known); k++) {
        size_t len = strlen(known[k].name);
        if (strncmp(argv[*i], known[k].name, len) != 0) {
            continue;
        }
        if (argv[*i][len] == '=') {
            *known[k].value = argv[*i] + len + 1;
            return true;
        }
        if (argv[*i][len] == '\0') {
            if (*i + 1 == argc) {
                (void)fprintf(stderr, "holdfast-agent: %s needs a value\n", argv[*i]);
                return false;
            }
            *i += 1;
            *known[k].value = argv[*i];
            return true;
        }
    }
    if (strcmp(argv[*i], "--once") == 0) {
        o->once = true;
        return true;
    }
    if (strcmp(argv[*i], "--quiet") == 0 || strcmp(argv[*i], "--log=quiet") == 0) {
        o->quiet = true;
        return true;
    }
    if (strcmp(argv[*i], "--log") == 0) { /* the default: the words are said */
        return true;
    }
    (void)fprintf(stderr, "holdfast-agent: unknown option %s\n  do:  holdfast-agent --help\n",
                  argv[*i]);
    return false;
}

static bool is_complete(const struct options *o)
{
    const struct {
        const char *name, *value;
    } needed[] = {
        {"--state", o->device.state_dir},
        {"--idevid", o->device.idevid_path},
        {"--idevid-key", o->device.idevid_key_path},
        {"--root", o->device.root_path},
        {"--devices-url", o->device.devices_url},
        {"--gateway", o->gateways},
    };
    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        if (needed[i].value == NULL) {
            (void)fprintf(stderr, "holdfast-agent: %s is missing\n  do:  holdfast-agent --help\n",
                          needed[i].name);
            return false;
        }
    }
    return true;
}

static const char *stream_of(const char *source)
{
    return strncmp(source, "csv:", 4) == 0 ? "replay"
           : strcmp(source, "stdin") == 0  ? "lines"
                                           : "host";
}

static bool settle_options(struct options *o)
{
    if (o->device.source == NULL) {
        o->device.source = "host";
    }
    if (o->device.stream == NULL) {
        o->device.stream = stream_of(o->device.source);
    }
    o->device.outbox = DEVICE_JOURNAL;
    if (o->outbox != NULL && strcmp(o->outbox, "memory") == 0) {
        o->device.outbox = DEVICE_MEMORY;
    } else if (o->outbox != NULL && strcmp(o->outbox, "journal") != 0) {
        (void)fprintf(stderr, "holdfast-agent: --outbox is journal or memory\n");
        return false;
    }
    if (o->sandbox != NULL && !confine_policy_from(o->sandbox, &o->policy)) {
        (void)fprintf(stderr, "holdfast-agent: --sandbox is auto, required or off\n");
        return false;
    }
    if (o->device.outbox == DEVICE_MEMORY && strncmp(o->device.source, "csv:", 4) == 0) {
        (void)fprintf(stderr, "holdfast-agent: a recording needs --outbox journal\n"
                              "  why: without one a restart would lose rows or send them twice\n");
        return false;
    }
    return true;
}

/* "HOST:PORT=N": takes the priority off the end; without one it is the place in the list. */
static bool take_priority(char *gateway, size_t place, uint8_t *priority)
{
    char *equals = strchr(gateway, '=');
    char *end = NULL;
    unsigned long number = equals == NULL ? place + 1 : strtoul(equals + 1, &end, 10);
    if (number < 1 || number > 99 || (end != NULL && (end == equals + 1 || *end != '\0'))) {
        return false;
    }
    if (equals != NULL) {
        *equals = '\0';
    }
    *priority = (uint8_t)number;
    return gateway[0] != '\0';
}

static size_t split_gateways(
    const char *text, char *room, size_t cap, const char **list, uint8_t *priorities)
{
    size_t count = 0;
    if (strlen(text) >= cap) {
        return 0;
    }
    memcpy(room, text, strlen(text) + 1);
    for (char *at = room; at != NULL && count < GATEWAYS_MAX; count++) {
        char *comma = strchr(at, ',');
        if (comma != NULL) {
            *comma = '\0';
        }
        if (!take_priority(at, count, &priorities[count])) {
            return 0;
        }
        list[count] = at;
        at = comma == NULL ? NULL : comma + 1;
    }
    return count;
}

/* ---- running ---- */

static void handle(void *role, const struct port_event *ev)
{
    struct agent *a = role;
    if (a->device == NULL) {
        return;
    }
    if (ev->kind == PORT_TERMINATE) {
        device_stop(a->device);
    } else {
        (void)device_event(a->device, ev);
    }
    if (a->once && device_is_drained(a->device)) {
        device_stop(a->device);
    }
    if (device_is_over(a->device)) {
        port_stop(a->port);
    }
}

/* Its state, the identity it was delivered with, and what the source `host` measures. */
static bool give_up_rights(const struct agent *a, const struct options *o)
{
    struct confine_paths reads = {0};
    struct confine_paths writes = {0};
    static const char *const measured[] = {"/proc/stat", "/proc/loadavg", "/proc/meminfo",
                                           "/sys/class/hwmon", "/sys/devices"};
    for (size_t i = 0; i < COUNT_OF(measured); i++) {
        confine_path(&reads, measured[i], NULL);
    }
    confine_folder_of(&reads, o->device.idevid_path);
    confine_folder_of(&reads, o->device.idevid_key_path);
    confine_folder_of(&reads, o->device.root_path);
    confine_path(&writes, o->device.state_dir, NULL);
    return confine(
        a->port, "agent", o->policy,
        &(struct port_rights){.reads = reads.list, .writes = writes.list, .dials = true});
}

static int run(const struct options *o)
{
    struct agent a = {.once = o->once};
    struct port_why why = {0};
    int exit_status = EXIT_OK;
    a.port = port_open(handle, &a);
    if (a.port == NULL) {
        (void)fprintf(stderr, "holdfast-agent: the machine refuses\n");
        return EXIT_FAILED;
    }
    struct device_config config = o->device;
    char traces[TRACE_DIR_MAX];
    int len = snprintf(traces, sizeof traces, "%s/traces", config.state_dir);
    bool fits = len > 0 && (size_t)len < sizeof traces;
    config.trace = trace_start(a.port, "device", fits ? traces : NULL, device_trace_cores,
                               DEVICE_TRACE_CORES, TRACE_DEVICE_RING_BYTES);
    enum port_result result = device_open(a.port, &config, &a.device, &why);
    if (result == PORT_OK) {
        if (!give_up_rights(&a, o)) {
            exit_status = EXIT_FAILED;
        } else {
            if (!device_is_over(a.device)) {
                port_run(a.port);
            }
            exit_status = device_why(a.device)[0] != '\0' ? EXIT_STORAGE : EXIT_OK;
        }
        device_close(a.device);
    } else {
        (void)fprintf(stderr, "holdfast-agent: %s\n", why.text);
        exit_status = result == PORT_FAILED ? EXIT_STORAGE : EXIT_BAD_CONFIG;
    }
    trace_stop(config.trace);
    port_close_all(a.port);
    return exit_status;
}

int main(int argc, char **argv)
{
    static char room[GATEWAYS_TEXT_MAX];
    static uint8_t priorities[GATEWAYS_MAX];
    const char *gateways[GATEWAYS_MAX];
    struct options o = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(help, stdout);
            return EXIT_OK;
        }
        if (strcmp(argv[i], "--version") == 0) {
            (void)printf("holdfast-agent %s\n", HOLDFAST_VERSION);
            return EXIT_OK;
        }
        if (!take_option(&o, &i, argc, argv)) {
            return EXIT_USAGE;
        }
    }
    if (!is_complete(&o) || !settle_options(&o)) {
        return EXIT_USAGE;
    }
    o.device.gateways_count = split_gateways(o.gateways, room, sizeof room, gateways, priorities);
    o.device.gateways = gateways;
    o.device.priorities = priorities;
    if (o.device.gateways_count == 0) {
        (void)fprintf(stderr, "holdfast-agent: --gateway is HOST:PORT or HOST:PORT=PRIORITY (1 to "
                              "99), several with commas\n");
        return EXIT_USAGE;
    }
    o.device.agent = "holdfast-agent " HOLDFAST_VERSION;
    o.device.log_name = o.quiet ? NULL : "agent";
    return run(&o);
}
