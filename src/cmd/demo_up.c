#include "base/version.h"
#include "cmd/demo.h"
#include "codec/json.h"
#include "io/replace.h"

#include <unistd.h>

enum { UP_MAX = 1 << 20 };

static void put_pids(struct demo *d, struct json_writer *w)
{
    json_name(w, "gateways");
    json_array(w);
    for (uint32_t i = 0; i < d->config.gateways_count; i++) {
        char scheme[16];
        char address[CONFIG_TEXT_MAX];
        json_object(w);
        json_put_text(w, "name", d->config.gateways[i].name);
        json_put_text(w, "mqtts",
                      config_url(d->config.gateways[i].listen.items[0], scheme, address) ? address
                                                                                         : "");
        json_put_i64(w, "pid", supervise_pid(&d->supervise, 3 + i));
        json_object_end(w);
    }
    json_array_end(w);
    json_name(w, "pids");
    json_object(w);
    json_put_i64(w, "keeper", supervise_pid(&d->supervise, 0));
    json_put_i64(w, "control", supervise_pid(&d->supervise, 1));
    json_put_i64(w, "ingest", supervise_pid(&d->supervise, 2));
    json_put_i64(w, "demo", getpid());
    for (uint32_t i = 3 + d->config.gateways_count; i < d->supervise.count; i++) {
        json_put_i64(w, d->supervise.children[i].name, supervise_pid(&d->supervise, i));
    }
    json_object_end(w);
}

static void put_path(struct json_writer *w,
                     const char *name,
                     const struct demo *d,
                     const char *rest)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", d->site.dir, rest);
    json_put_text(w, name, path);
}

void demo_up_write(struct demo *d)
{
    static uint8_t room[UP_MAX];
    char url[300];
    struct writer to = writer_over(room, sizeof room);
    struct json_writer w = json_writer_to(&to);
    json_object(&w);
    json_put_u64(&w, "v", 1);
    json_put_text(&w, "version", HOLDFAST_VERSION);
    json_put_text(&w, "dir", d->site.dir);
    json_put_text(&w, "bin", site_program_dir());
    json_put_text(&w, "console", d->config.console_listen);
    (void)snprintf(url, sizeof url, "%s/api/v1", d->config.console_listen);
    json_put_text(&w, "api", url);
    (void)snprintf(url, sizeof url, "%s/metrics", d->config.metrics_listen);
    json_put_text(&w, "metrics", url);
    json_put_text(&w, "devices_url", d->config.devices_listen);
    put_pids(d, &w);
    put_path(&w, "root", d, "pki/root.pem");
    put_path(&w, "manufacturer", d, "factory/manufacturer.pem");
    put_path(&w, "env", d, "env");
    put_path(&w, "login_url_file", d, "login-url");
    json_name(&w, "devices");
    json_array(&w);
    for (long k = 1; k <= d->devices; k++) {
        char name[DEMO_NAME_MAX];
        demo_device_name(k, name);
        json_text(&w, name);
    }
    json_array_end(&w);
    json_object_end(&w);
    write_text(&to, "\n");
    char path[400];
    (void)snprintf(path, sizeof path, "%s/up.json", d->site.dir);
    if (!writer_ok(&to) || port_file_replace(d->port, path, writer_slice(&to)) != PORT_OK) {
        (void)fprintf(stderr, "holdfast: %s cannot be written\n", path);
    }
}
