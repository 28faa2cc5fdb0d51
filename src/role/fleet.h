/*
 * Many device agents in one process, for the demo: the same cores, the same mTLS, the same checks
 * as holdfast-agent, each with its own state folder; only what they measure is a named, synthetic
 * waveform.
 */
#ifndef ROLE_FLEET_H
#define ROLE_FLEET_H

#include <stddef.h>
#include <stdint.h>

struct fleet_config {
    const char *dir; /* device k lives in dir/NAME and finds idevid.pem and idevid.key there */
    const char *name_prefix; /* names are prefix and three digits: "press-" and 017 */
    uint32_t first, count;
    const char *root_path;       /* PEM: anchor of servers and of the trust list */
    const char *devices_url;     /* "https://localhost:9443" */
    const char *const *gateways; /* "localhost:8883"; device k prefers number k modulo count */
    size_t gateways_count;
    uint32_t period_ms;    /* between two messages of a device; jittered at the start */
    uint32_t starts_per_s; /* how many devices begin a second; 0: 100 */
};

/* Runs until SIGTERM. The process's exit status. */
int fleet_run(const struct fleet_config *config);

#endif
