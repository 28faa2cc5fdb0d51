/* What is on the disks before anything runs: a site as `holdfast init` makes it, devices as they
 * leave `holdfast factory`. */
#include "base/invariant.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/pki_init.h"
#include "sim/plant_inside.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS UINT64_C(86400000)

enum { PEM_MAX = 4096, LIFE_DAYS = 7, CONNECTIONS_SPARE = 256, SEGMENT_BYTES = 1 << 20 };

/* What goes from one machine to another by hand. */
struct carried {
    uint8_t bytes[PEM_MAX];
    size_t len;
};

static bool say(const char *what, const char *why)
{
    (void)fprintf(stderr, "plant: %s: %s\n", what, why);
    return false;
}

static bool take(struct port *port, const char *path, struct carried *out)
{
    return port_file_read_all(port, path, out->bytes, sizeof out->bytes, &out->len) == PORT_OK
           || say(path, "cannot be read");
}

static bool put(struct port *port, const char *path, const struct carried *what)
{
    return port_file_replace(port, path, slice_of(what->bytes, what->len)) == PORT_OK
           || say(path, "cannot be written");
}

/* ---- the manufacturer and the site ---- */

static bool make_manufacturer(struct plant *p, struct carried *certificate, struct carried *key)
{
    struct port_why why = {""};
    struct port *port = sim_start(p->world, "factory", plant_ignore, NULL);
    bool made = pki_make_manufacturer(port, "/factory", "Simulated Machines", &why) == PKI_OK
                || say("the manufacturer", why.text);
    made = made && take(port, "/factory/manufacturer.pem", certificate)
           && take(port, "/factory/manufacturer.key", key);
    port_close_all(port);
    return made;
}

static bool make_folders(struct port *port)
{
    static const char *const folders[] = {"/log",     "/run",     "/store",
                                          "/control", "/gateway", "/pki/manufacturers"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        char path[64];
        (void)snprintf(path, sizeof path, PLANT_DATA "%s", folders[i]);
        if (port_dir_make(port, path) != PORT_OK) {
            return say(path, "cannot be made");
        }
    }
    return port_dir_sync(port, PLANT_DATA) == PORT_OK
           && port_dir_sync(port, PLANT_DATA "/pki") == PORT_OK
           && port_dir_sync(port, "/") == PORT_OK;
}

static bool make_site(struct plant *p, const struct carried *manufacturer, struct carried *root)
{
    const char *hosts[1 + PLANT_GATEWAYS_MAX] = {"core"};
    size_t hosts_count = 1;
    for (uint32_t i = 0; p->spec.is_apart && i < p->spec.gateways; i++) {
        hosts[hosts_count++] = plant_name(p, plant_gateway(p, i));
    }
    struct port_why why = {""};
    struct port *port = sim_start(p->world, "core", plant_ignore, NULL);
    struct pki_site site = {.data = PLANT_DATA,
                            .name = "Simulated Site",
                            .domain = p->keeper.domain,
                            .hosts = hosts,
                            .hosts_count = hosts_count,
                            .service_lifetime_ms = 3650 * DAY_MS};
    bool made = pki_make_site(port, &site, &why) == PKI_OK || say("the site", why.text);
    made = made && make_folders(port)
           && put(port, PLANT_DATA "/pki/manufacturers/first.pem", manufacturer)
           && take(port, PLANT_DATA "/pki/root.pem", root);
    port_close_all(port);
    return made;
}

/* ---- devices ---- */

/* The manufacturer's key is on the device's machine for as long as the factory works on it. */
static bool make_device(struct plant *p,
                        uint32_t index,
                        const struct carried *certificate,
                        const struct carried *key,
                        const struct carried *root)
{
    struct port_why why = {""};
    const char *name = plant_name(p, plant_device(p, index));
    struct port *port = sim_start(p->world, name, plant_ignore, NULL);
    bool made = port_dir_make(port, "/factory") == PORT_OK
                && put(port, "/factory/manufacturer.pem", certificate)
                && put(port, "/factory/manufacturer.key", key);
    made = made
           && (pki_make_idevid(port, "/factory", name, "SIM-1", PLANT_DATA, &p->ids[index], &why)
                   == PKI_OK
               || say(name, why.text));
    made = made && put(port, PLANT_DATA "/root.pem", root)
           && port_unlink(port, "/factory/manufacturer.key") == PORT_OK
           && port_unlink(port, "/factory/manufacturer.pem") == PORT_OK
           && port_dir_sync(port, "/factory") == PORT_OK && port_dir_sync(port, "/") == PORT_OK;
    port_close_all(port);
    return made;
}

bool plant_install(struct plant *p)
{
    struct carried certificate = {.len = 0};
    struct carried key = {.len = 0};
    struct carried root = {.len = 0};
    bool made = make_manufacturer(p, &certificate, &key) && make_site(p, &certificate, &root);
    for (uint32_t i = 0; p->spec.is_apart && i < p->spec.gateways; i++) {
        sim_share_disk(p->world, plant_name(p, plant_gateway(p, i)), "core");
    }
    for (uint32_t i = 0; made && i < p->spec.devices; i++) {
        made = make_device(p, i, &certificate, &key, &root);
    }
    return made;
}

/* ---- configurations, as cmd/run.c makes them of holdfast.toml ---- */

static void configure_gateway(struct plant *p, uint32_t index)
{
    struct plant_gateway_strings *s = &p->strings[index];
    unsigned port = PLANT_GATEWAY_PORT + index;
    unsigned number = (unsigned)index + 1;
    (void)snprintf(s->name, sizeof s->name, "gw-%u", number);
    (void)snprintf(s->listen, sizeof s->listen, "0.0.0.0:%u", port);
    (void)snprintf(s->spool, sizeof s->spool, PLANT_DATA "/gateway/gw-%u/spool", number);
    (void)snprintf(s->metrics, sizeof s->metrics, PLANT_DATA "/run/gw-%u.metrics", number);
    (void)snprintf(s->refusals, sizeof s->refusals, PLANT_DATA "/run/gw-%u.refusals", number);
    (void)snprintf(s->address, sizeof s->address, "%s:%u",
                   plant_machine(p, plant_gateway(p, index)), port);
    s->listens[0] = s->listen;
    p->addresses[index] = s->address;
    p->gateways[index] = (struct gateway_config){
        .name = s->name,
        .domain = p->keeper.domain,
        .listen = s->listens,
        .listen_count = 1,
        .certificate_path = PLANT_DATA "/pki/gateway.pem",
        .key_path = PLANT_DATA "/keys/gateway/gateway.key",
        .issuer_path = PLANT_DATA "/pki/issuer.pem",
        .spool_dir = s->spool,
        .metrics_path = s->metrics,
        .refusals_path = s->refusals,
        .traces_dir = PLANT_DATA "/gateway/traces",
        .allow_3_1_1 = true,
        .limits = {.connections_max = p->spec.devices + CONNECTIONS_SPARE,
                   .messages_max = 4096,
                   .spool_segment_bytes = SEGMENT_BYTES},
    };
}

void plant_configure(struct plant *p)
{
    uint64_t life_ms =
        p->spec.certificate_life_ms != 0 ? p->spec.certificate_life_ms : LIFE_DAYS * DAY_MS;
    p->keeper = (struct keeper_config){
        .data = PLANT_DATA, .domain = "holdfast.local", .device_lifetime_max_ms = life_ms};
    p->control = (struct control_config){
        .data = PLANT_DATA,
        .site = "Simulated Site",
        .domain = p->keeper.domain,
        .console_listen = p->spec.has_console ? "0.0.0.0:8080" : NULL,
        .console_origin = "http://localhost:8080",
        .devices_listen = "0.0.0.0:9443",
        .device_lifetime_ms = life_ms,
    };
    p->ingest = (struct ingest_config){
        .data_dir = PLANT_DATA, .domain = p->keeper.domain, .batch_ms = p->spec.batch_ms};
    for (uint32_t i = 0; i < p->spec.gateways; i++) {
        configure_gateway(p, i);
    }
}
