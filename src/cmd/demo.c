/*
 * `holdfast demo`: a site, a manufacturer, a fleet, all on loopback and all real; only what most
 * devices measure is made up. Run again it goes on where it was.
 */
#include "cmd/json_path.h"
#include "cmd/roles.h"
#include "cmd/site.h"
#include "cmd/version.h"
#include "codec/json.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/fleet.h"
#include "role/http_client.h"
#include "role/pki_init.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    AGENTS = 3,        /* this many devices are holdfast-agent processes of their own */
    ASK_MS = 250,      /* between two looks at the fleet while it comes up */
    READY_MS = 180000, /* after that the demo says what is missing */
    NAME_MAX_ = 64,
    UP_MAX = 1 << 20
};

enum phase { STARTING, ASKING_FLEET, ASKING_LINK, READY, STOPPING };

struct demo {
    struct cli *cli;
    struct port *port;
    struct supervise supervise;
    struct config config;
    struct site site;
    long devices;
    char token[128];
    enum phase phase;
    uint64_t began_ms;
    struct port_wake *ask;
    struct http_client *client;
    char fields[256];
    long active;
    long connected;
    char login[400];
    int exit;
};

static void name_of(long device, char name[NAME_MAX_])
{
    (void)snprintf(name, NAME_MAX_, "press-%03ld", device);
}

/* ---- files ---- */

static bool is_there(const char *dir, const char *name)
{
    char path[600];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

static int make_identities(struct demo *d)
{
    char factory[300];
    struct port_why why = {0};
    (void)snprintf(factory, sizeof factory, "%s/factory", d->site.dir);
    if (!is_there(factory, "manufacturer.pem")) {
        enum pki_result made = pki_make_manufacturer(d->port, factory, "Hydra Machines", &why);
        if (made != PKI_OK) {
            return cli_error(d->cli, CLI_FAILED, "HF-1115", "the manufacturer cannot be made",
                             why.text, "run ./demo --fresh");
        }
    }
    for (long k = 1; k <= d->devices; k++) {
        char name[NAME_MAX_];
        char dir[400];
        struct device_id id;
        name_of(k, name);
        (void)snprintf(dir, sizeof dir, "%s/devices/%s", d->site.dir, name);
        if (is_there(dir, "idevid.pem")) {
            continue;
        }
        enum pki_result made =
            pki_make_idevid(d->port, factory, name, k % 3 == 0 ? "P4-B" : "P4-A", dir, &id, &why);
        if (made != PKI_OK && made != PKI_EXISTS) {
            return cli_error(d->cli, CLI_FAILED, "HF-1115", "a device's key cannot be made",
                             why.text, "run ./demo --fresh");
        }
    }
    return CLI_DONE;
}

static bool read_config(struct demo *d)
{
    char path[300];
    struct config_fault fault;
    (void)snprintf(path, sizeof path, "%s/holdfast.toml", d->site.dir);
    if (!config_read(d->port, path, &d->config, &fault)) {
        d->exit = cli_error(d->cli, CLI_BAD_CONFIG, fault.code, fault.what, fault.why, fault.todo);
        return false;
    }
    return true;
}

static int make_site(struct demo *d)
{
    static char manufacturer[300];
    int exit = make_identities(d);
    if (exit != CLI_DONE) {
        return exit;
    }
    if (is_there(d->site.dir, "holdfast.toml")) {
        char scheme[16];
        char gateway[CONFIG_TEXT_MAX];
        if (!read_config(d)
            || !config_url(d->config.gateways[0].listen.items[0], scheme, gateway)) {
            return d->exit;
        }
        return site_write_env(d->cli, d->port, d->site.dir, d->config.console_listen, gateway);
    }
    (void)snprintf(manufacturer, sizeof manufacturer, "%s/factory/manufacturer.pem", d->site.dir);
    d->site.manufacturer = manufacturer;
    return site_make(d->cli, d->port, &d->site);
}

/* --fresh removes a folder only where it is one of ours. */
static int remove_old(struct demo *d)
{
    if (!is_there(d->site.dir, ".")) {
        return CLI_DONE;
    }
    if (!is_there(d->site.dir, "factory/manufacturer.pem")) {
        return cli_error(d->cli, CLI_CONFLICT, "HF-1116",
                         "--fresh would remove a folder that is no demo's", d->site.dir,
                         "name another --dir, or remove it yourself; nothing was removed");
    }
    const char *const argv[] = {"/bin/rm", "-rf", "--", d->site.dir, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0) {
    }
    return pid > 0 && status == 0
               ? CLI_DONE
               : cli_error(d->cli, CLI_FAILED, "HF-1111", "the old demo cannot be removed",
                           d->site.dir, "is another demo running there?");
}

/* ---- up.json ---- */

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

static void write_up(struct demo *d)
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
        char name[NAME_MAX_];
        name_of(k, name);
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

/* ---- the fleet ---- */

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
    char name[NAME_MAX_];
    char gateways[200];
    char path[300];
    name_of(k, name);
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

static void start_fleet(struct demo *d)
{
    struct supervise_child child = {0};
    char text[250];
    for (long k = 1; k <= d->devices && k <= AGENTS; k++) {
        start_agent(d, k);
    }
    if (d->devices <= AGENTS) {
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

/* The child that start_fleet makes: devices AGENTS + 1 and on, in this one process. */
static int run_fleet(struct demo *d)
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
        .first = AGENTS + 1,
        .count = (uint32_t)(d->devices - AGENTS),
        .root_path = root,
        .devices_url = d->config.devices_listen,
        .gateways = gateways,
        .gateways_count = d->config.gateways_count,
        .period_ms = d->devices > 100 ? 5000 : 1000,
    };
    return fleet_run(&fleet);
}

/* ---- waiting until all is there, by asking the API as anybody would ---- */

static void stop_asking(struct demo *d)
{
    http_client_close(d->client);
    d->client = NULL;
}

static void ask(struct demo *d)
{
    struct port_why why = {0};
    char scheme[16];
    static char address[CONFIG_TEXT_MAX];
    stop_asking(d);
    if (!config_url(d->config.console_listen, scheme, address)) {
        return;
    }
    struct http_client_options options = {
        .address = address, .host = address, .body_max = 1 << 22, .timeout_ms = 5000};
    if (http_client_open(d->port, &options, &d->client, &why) != PORT_OK) {
        d->client = NULL;
    }
    port_wake_at(d->ask, port_now_ms(d->port) + ASK_MS * 8);
}

static void send_question(struct demo *d)
{
    struct http_client_request request = {
        .method = d->phase == ASKING_LINK ? "POST" : "GET",
        .target = slice_text(d->phase == ASKING_LINK ? "/api/v1/login-links" : "/api/v1/fleet"),
        .fields = d->fields,
        .content_type = d->phase == ASKING_LINK ? "application/json" : NULL,
        .body = d->phase == ASKING_LINK ? slice_text("{}") : (struct slice){0},
    };
    if (!http_client_send(d->client, &request)) {
        stop_asking(d);
        port_wake_at(d->ask, port_now_ms(d->port) + ASK_MS);
    }
}

static void print_ready(struct demo *d)
{
    double took = (double)(port_now_ms(d->port) - d->began_ms) / 1000;
    char path[400];
    (void)snprintf(path, sizeof path, "%s/login-url", d->site.dir);
    if (port_file_replace(d->port, path, slice_text(d->login)) != PORT_OK) {
        (void)fprintf(stderr, "holdfast: %s cannot be written\n", path);
    }
    (void)printf("[4/4] fleet               %u gateway%s, %ld device%s enrolled over mTLS and "
                 "connected, %.1f s\n",
                 d->config.gateways_count, d->config.gateways_count == 1 ? "" : "s", d->devices,
                 d->devices == 1 ? "" : "s", took);
    (void)printf("Console   %s  (works once, 10 minutes)\n", d->login);
    (void)printf("Shell     source %s/env   then: holdfast status\n", d->site.dir);
    (void)printf(
        "What is going on: press-001 to press-%03d are real agents that measure this machine; the "
        "others send named,\n"
        "synthetic waveforms. All of it is on loopback; nothing listens beyond this machine.\n",
        d->devices < AGENTS ? (int)d->devices : AGENTS);
    (void)printf(
        "Try       holdfast device show press-001\n          holdfast data tail press-001\n"
        "          kill -9 a gateway and watch: holdfast device watch\n");
    (void)printf(
        "Ctrl-C stops it; ./demo again goes on where it was; ./demo --fresh begins anew.\n");
    (void)fflush(stdout);
}

static void answered(struct demo *d, struct slice body)
{
    if (d->phase == ASKING_FLEET) {
        d->active = (long)json_number_at(body, "identities.active", 0);
        d->connected = (long)json_number_at(body, "connected", 0);
        if (d->active >= d->devices && d->connected >= d->devices) {
            d->phase = ASKING_LINK;
            port_wake_at(d->ask, port_now_ms(d->port));
            return;
        }
    } else if (d->phase == ASKING_LINK
               && json_text_at(body, "url", NULL, d->login, sizeof d->login) != NULL) {
        d->phase = READY;
        port_wake_at(d->ask, UINT64_MAX);
        write_up(d);
        print_ready(d);
        return;
    }
    port_wake_at(d->ask, port_now_ms(d->port) + ASK_MS);
}

static void give_up(struct demo *d)
{
    char why[200];
    (void)snprintf(why, sizeof why, "after %d s %ld of %ld devices are active and %ld connected",
                   READY_MS / 1000, d->active, d->devices, d->connected);
    d->exit = cli_error(d->cli, CLI_UNKNOWN, "HF-1117", "the fleet did not come up in time", why,
                        "the logs of all processes are in the folder's log/; ./demo again goes on");
    d->phase = STOPPING;
    supervise_stop(&d->supervise);
}

/* ---- events ---- */

static void handle(void *role, const struct port_event *ev)
{
    struct demo *d = role;
    if (ev->kind == PORT_TERMINATE) {
        d->phase = STOPPING;
        stop_asking(d);
        supervise_stop(&d->supervise);
        return;
    }
    if (supervise_event(&d->supervise, ev)) {
        return;
    }
    if (ev->kind == PORT_WOKE && ev->user == &d->ask && d->phase < READY) {
        if (port_now_ms(d->port) - d->began_ms > READY_MS) {
            give_up(d);
        } else {
            ask(d);
        }
        return;
    }
    if (d->client == NULL) {
        return;
    }
    switch (http_client_event(d->client, ev)) {
    case HTTP_CLIENT_CONNECTED: send_question(d); break;
    case HTTP_CLIENT_ANSWERED: {
        struct http_client_answer answer = http_client_answer(d->client);
        if (answer.head->status / 100 == 2) {
            answered(d, answer.body);
        } else {
            port_wake_at(d->ask, port_now_ms(d->port) + ASK_MS);
        }
        break;
    }
    case HTTP_CLIENT_FAILED:
        stop_asking(d);
        port_wake_at(d->ask, port_now_ms(d->port) + ASK_MS);
        break;
    case HTTP_CLIENT_NOT_MINE:
    case HTTP_CLIENT_WAITING:
    case HTTP_CLIENT_PIECE: break;
    }
}

static void changed(void *context, uint32_t which)
{
    struct demo *d = context;
    if (which == UINT32_MAX) {
        port_stop(d->port);
    } else if (d->phase == READY) {
        write_up(d); /* a role that was started again has another pid */
    }
}

static int go(struct demo *d)
{
    d->supervise.port = d->port;
    d->supervise.changed = changed;
    d->supervise.context = d;
    d->ask = port_wake_new(d->port, &d->ask);
    d->phase = ASKING_FLEET;
    (void)snprintf(d->fields, sizeof d->fields, "Authorization: Bearer %s\r\n", d->token);
    roles_start(&d->supervise, &d->config, NULL);
    start_fleet(d);
    port_wake_at(d->ask, port_now_ms(d->port) + ASK_MS);
    port_run(d->port);
    cli_say(d->cli, "stopped; everything acknowledged is kept in %s", d->site.dir);
    return d->exit;
}

static bool read_token(struct demo *d)
{
    char path[300];
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/operator.token", d->site.dir);
    if (port_file_read_all(d->port, path, d->token, sizeof d->token - 1, &len) != PORT_OK) {
        return false;
    }
    d->token[len] = '\0';
    d->token[strcspn(d->token, "\n")] = '\0';
    return true;
}

int cmd_demo(struct cli *cli)
{
    static struct demo d;
    static struct port_file *lock;
    char path[300];
    long base = 0;
    d.cli = cli;
    d.site = (struct site){
        .name = "Holdfast demo",
        .domain = "holdfast.local",
        .gateways = 3,
        .console_is_http = true,
        .dir = site_absolute(cli_option_or(cli, "dir", "demo-data")),
    };
    if (!cli_number(cli, "devices", 1, 900, 100, &d.devices)
        || !cli_number(cli, "port-base", 1024, 65000, 0, &base)) {
        return CLI_USAGE;
    }
    if (d.site.dir == NULL) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "--dir is too long",
                         "its path may have 180 bytes", "use a shorter one");
    }
    site_ports(&d.site, base);
    d.port = port_open(handle, &d);
    if (d.port == NULL) {
        return CLI_FAILED;
    }
    if (cli_option(cli, "as-fleet") != NULL) {
        bool ok = read_config(&d);
        port_close_all(d.port);
        return ok ? run_fleet(&d) : d.exit;
    }
    if (cli_option(cli, "fresh") != NULL && (d.exit = remove_old(&d)) != CLI_DONE) {
        return d.exit;
    }
    d.began_ms = port_now_ms(d.port);
    (void)snprintf(path, sizeof path, "%s/demo.lock", d.site.dir);
    if (port_dir_make(d.port, d.site.dir) != PORT_OK
        || port_file_open(d.port, path, PORT_WRITE | PORT_CREATE | PORT_LOCK, &lock) != PORT_OK) {
        return cli_error(cli, CLI_CONFLICT, "HF-1118", "this demo runs already", d.site.dir,
                         "stop it first, or name another --dir");
    }
    bool is_new = !is_there(d.site.dir, "holdfast.toml");
    (void)snprintf(path, sizeof path, "%s/up.json", d.site.dir);
    (void)port_unlink(d.port, path); /* it says "ready", and that is not so yet */
    d.exit = make_site(&d);
    if (d.exit != CLI_DONE || !read_config(&d)) {
        return d.exit;
    }
    if (!roles_make_folders(d.port, &d.config) || !read_token(&d)) {
        return cli_error(cli, CLI_FAILED, "HF-1110", "the data folder cannot be used", d.site.dir,
                         "check its owner and mode");
    }
    (void)printf("[3/4] keys                %s in %s (for this demo only)\n",
                 is_new ? "root, issuer, audit, command and update keys made"
                        : "found, going on where it was",
                 d.site.dir);
    (void)fflush(stdout);
    int exit = go(&d);
    port_close_all(d.port);
    return exit;
}
