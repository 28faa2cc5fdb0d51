/*
 * The gateway role as a process of its own, without a configuration file: what tests and benches of
 * the gateway alone run. Options are pairs "name value"; files are taken from one folder.
 */
#include "role/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char paths[12][512];

static const char *in(const char *dir, const char *name)
{
    static size_t used;
    char *path = paths[used++];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void set(struct gateway_config *config, const char *name, const char *value)
{
    const struct {
        const char *name;
        uint32_t *number;
    } numbers[] = {
        {"connections", &config->limits.connections_max},
        {"per_device", &config->limits.per_device_max},
        {"packet", &config->limits.packet_max},
        {"inflight", &config->limits.inflight_max},
        {"keep_alive", &config->limits.keep_alive_max_s},
        {"connect_ms", &config->limits.connect_ms},
        {"handshakes", &config->limits.handshakes_max},
        {"address_connects", &config->limits.address_connects},
        {"address_burst", &config->limits.address_burst},
        {"device_connects", &config->limits.device_connects},
        {"resume_s", &config->limits.resume_s},
        {"device_packets", &config->limits.device_packets},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].number = (uint32_t)strtoul(value, NULL, 10);
            return;
        }
    }
    if (strcmp(name, "segment") == 0) {
        config->limits.spool_segment_bytes = strtoull(value, NULL, 10);
    } else if (strcmp(name, "device_bytes") == 0) {
        config->limits.device_bytes = strtoull(value, NULL, 10);
    } else if (strcmp(name, "budget") == 0) {
        config->limits.spool_budget_bytes = strtoull(value, NULL, 10);
    } else if (strcmp(name, "untraced") == 0) {
        config->traces_dir = NULL;
    } else if (strcmp(name, "only5") == 0) {
        config->allow_3_1_1 = false;
    } else {
        (void)fprintf(stderr, "gateway_process: unknown option %s\n", name);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc % 2 == 0) {
        (void)fprintf(stderr, "use: gateway_process DIR ADDRESS [NAME VALUE]...\n");
        return 2;
    }
    const char *dir = argv[1];
    const char *listen[] = {argv[2]};
    char admin[600];
    (void)snprintf(admin, sizeof admin, "unix:%s/gateway.sock", dir);
    struct gateway_config config = {
        .name = "gw-test",
        .domain = "holdfast.local",
        .listen = listen,
        .listen_count = 1,
        .certificate_path = in(dir, "gateway.pem"),
        .key_path = in(dir, "gateway.key"),
        .issuer_path = in(dir, "issuer.pem"),
        .spool_dir = in(dir, "spool"),
        .metrics_path = in(dir, "gateway.metrics"),
        .refusals_path = in(dir, "gateway.refusals"),
        .traces_dir = in(dir, "traces"),
        .grants_path = in(dir, "grants/applications.toml"),
        .state_dir = in(dir, "state"),
        .admin_address = admin,
        .allow_3_1_1 = true,
    };
    for (int i = 3; i + 1 < argc; i += 2) {
        set(&config, argv[i], argv[i + 1]);
    }
    return gateway_run(&config);
}
