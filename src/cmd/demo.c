/*
 * `holdfast demo`: a site, a manufacturer, a fleet, all on loopback and all real; only what most
 * devices measure is made up. Run again it goes on where it was.
 */
#include "cmd/demo.h"

#include "cmd/json_path.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/pki_init.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ASK_MS = 250,     /* between two looks at the fleet while it comes up */
    READY_MS = 180000 /* after that the demo says what is missing */
};

void demo_device_name(long device, char name[DEMO_NAME_MAX])
{
    (void)snprintf(name, DEMO_NAME_MAX, "press-%03ld", device);
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
        char name[DEMO_NAME_MAX];
        char dir[400];
        struct device_id id;
        demo_device_name(k, name);
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
        .address = address, .host = address, .body_max = (size_t)1 << 22, .timeout_ms = 5000};
    if (http_client_open(d->port, &options, &d->client, &why) != PORT_OK) {
        d->client = NULL;
    }
    port_wake_at(d->ask, port_now_ms(d->port) + (uint64_t)ASK_MS * 8);
}

static void send_question(struct demo *d)
{
    struct http_client_request request = {
        .method = d->phase == DEMO_ASKING_LINK ? "POST" : "GET",
        .target =
            slice_text(d->phase == DEMO_ASKING_LINK ? "/api/v1/login-links" : "/api/v1/fleet"),
        .fields = d->fields,
        .content_type = d->phase == DEMO_ASKING_LINK ? "application/json" : NULL,
        .body = d->phase == DEMO_ASKING_LINK ? slice_text("{}") : (struct slice){0},
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
        d->devices < DEMO_AGENTS ? (int)d->devices : DEMO_AGENTS);
    (void)printf(
        "Try       holdfast device show press-001\n          holdfast data tail press-001\n"
        "          kill -9 a gateway and watch: holdfast device watch\n");
    (void)printf(
        "Ctrl-C stops it; ./demo again goes on where it was; ./demo --fresh begins anew.\n");
    (void)fflush(stdout);
}

static void answered(struct demo *d, struct slice body)
{
    if (d->phase == DEMO_ASKING_FLEET) {
        d->active = (long)json_number_at(body, "identities.active", 0);
        d->connected = (long)json_number_at(body, "connected", 0);
        if (d->active >= d->devices && d->connected >= d->devices) {
            d->phase = DEMO_ASKING_LINK;
            port_wake_at(d->ask, port_now_ms(d->port));
            return;
        }
    } else if (d->phase == DEMO_ASKING_LINK
               && json_text_at(body, "url", NULL, d->login, sizeof d->login) != NULL) {
        d->phase = DEMO_READY;
        port_wake_at(d->ask, UINT64_MAX);
        demo_up_write(d);
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
    d->phase = DEMO_STOPPING;
    supervise_stop(&d->supervise);
}

/* ---- events ---- */

static void handle(void *role, const struct port_event *ev)
{
    struct demo *d = role;
    if (ev->kind == PORT_TERMINATE) {
        d->phase = DEMO_STOPPING;
        stop_asking(d);
        supervise_stop(&d->supervise);
        return;
    }
    if (supervise_event(&d->supervise, ev)) {
        return;
    }
    if (ev->kind == PORT_WOKE && ev->user == &d->ask && d->phase < DEMO_READY) {
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
    } else if (d->phase == DEMO_READY) {
        demo_up_write(d); /* a role that was started again has another pid */
    }
}

static int go(struct demo *d)
{
    d->supervise.port = d->port;
    d->supervise.changed = changed;
    d->supervise.context = d;
    d->ask = port_wake_new(d->port, &d->ask);
    d->phase = DEMO_ASKING_FLEET;
    (void)snprintf(d->fields, sizeof d->fields, "Authorization: Bearer %s\r\n", d->token);
    roles_start(&d->supervise, &d->config, NULL);
    demo_fleet_start(d);
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
        return ok ? demo_fleet_run(&d) : d.exit;
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
    (void)port_unlink(d.port, path);
    port_close_all(d.port);
    return exit;
}
