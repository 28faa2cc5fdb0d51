#include "cmd/demo.h"
#include "role/fleet.h"

static void child_paths(struct demo *d, struct supervise_child *child, const char *name)
{
    (void)snprintf(child->name, sizeof child->name, "%s", name);
    (void)snprintf(child->log_path, sizeof child->log_path, "%.180s/log/%.60s.log", d->site.dir,
                   name);
}

/* --option and a value made of two parts. */
static void arg_pair(struct supervise_child *child,
                     const char *option,
                     const char *value,
                     const char *rest)
{
    char text[256];
    (void)snprintf(text, sizeof text, "%.200s%.50s", value, rest);
    supervise_arg(child, option);
    supervise_arg(child, text);
}

static void gateway_list(const struct demo *d, long first, char *text, size_t cap)
{
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < d->config.gateways_count && len < cap; i++) {
        char scheme[16];
        char address[CONFIG_TEXT_MAX];
        uint32_t which = (uint32_t)((uint64_t)first + i) % d->config.gateways_count;
        if (config_url(d->config.gateways[which].listen.items[0], scheme, address)) {
            len += (size_t)snprintf(text + len, cap - len, "%s%s", i > 0 ? "," : "", address);
        }
    }
}

static void start_agent(struct demo *d, long k)
{
    struct supervise_child child = {0};
    char name[DEMO_NAME_MAX];
    char gateways[200];
    char path[300];
    demo_device_name(k, name);
    child_paths(d, &child, name);
    (void)snprintf(path, sizeof path, "%.200s/holdfast-agent", site_program_dir());
    supervise_arg(&child, path);
    (void)snprintf(path, sizeof path, "%.180s/devices/%s", d->site.dir, name);
    arg_pair(&child, "--state", path, "");
    arg_pair(&child, "--idevid", path, "/idevid.pem");
    arg_pair(&child, "--idevid-key", path, "/idevid.key");
    arg_pair(&child, "--root", d->site.dir, "/pki/root.pem");
    arg_pair(&child, "--devices-url", d->config.devices_listen, "");
    gateway_list(d, k, gateways, sizeof gateways);
    arg_pair(&child, "--gateway", gateways, "");
    arg_pair(&child, "--source", "host", "");
    arg_pair(&child, "--outbox", "journal", "");
    (void)supervise_add(&d->supervise, &child);
}

void demo_fleet_start(struct demo *d)
{
    struct supervise_child child = {0};
    char text[250];
    for (long k = 1; k <= d->devices && k <= DEMO_AGENTS; k++) {
        start_agent(d, k);
    }
    if (d->devices <= DEMO_AGENTS) {
        return;
    }
    child_paths(d, &child, "fleet");
    (void)snprintf(text, sizeof text, "%.200s/holdfast", site_program_dir());
    supervise_arg(&child, text);
    supervise_arg(&child, "demo");
    arg_pair(&child, "--dir", d->site.dir, "");
    (void)snprintf(text, sizeof text, "%ld", d->devices);
    arg_pair(&child, "--devices", text, "");
    supervise_arg(&child, "--as-fleet");
    (void)supervise_add(&d->supervise, &child);
}

/* The child that demo_fleet_start makes: devices DEMO_AGENTS + 1 and on, in this one process. */
int demo_fleet_run(struct demo *d)
{
    static char addresses[CONFIG_GATEWAYS_MAX][CONFIG_TEXT_MAX];
    const char *gateways[CONFIG_GATEWAYS_MAX];
    char dir[300];
    char root[300];
    char scheme[16];
    for (uint32_t i = 0; i < d->config.gateways_count; i++) {
        if (!config_url(d->config.gateways[i].listen.items[0], scheme, addresses[i])) {
            return CLI_BAD_CONFIG;
        }
        gateways[i] = addresses[i];
    }
    (void)snprintf(dir, sizeof dir, "%s/devices", d->site.dir);
    (void)snprintf(root, sizeof root, "%s/pki/root.pem", d->site.dir);
    struct fleet_config fleet = {
        .dir = dir,
        .name_prefix = "press-",
        .first = DEMO_AGENTS + 1,
        .count = (uint32_t)(d->devices - DEMO_AGENTS),
        .root_path = root,
        .devices_url = d->config.devices_listen,
        .gateways = gateways,
        .gateways_count = d->config.gateways_count,
        .period_ms = d->devices > 100 ? 5000 : 1000,
    };
    return fleet_run(&fleet);
}
