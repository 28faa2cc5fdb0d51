/* `holdfast run`: one role in this process, or several as supervised children. */
#include "cmd/roles.h"
#include "role/config.h"
#include "role/control.h"
#include "role/gateway.h"
#include "role/ingest.h"
#include "role/keeper.h"
#include "role/passage.h"
#include "role/supervise.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

bool roles_read_config(struct cli *cli, struct config *config, int *exit)
{
    const char *file = cli_option_or(cli, "config",
                                     getenv("HOLDFAST_CONFIG") != NULL ? getenv("HOLDFAST_CONFIG")
                                                                       : "holdfast.toml");
    struct config_fault fault;
    struct port *port = port_open(ignore, NULL);
    if (port == NULL) {
        *exit = CLI_FAILED;
        return false;
    }
    bool ok = config_read(port, file, config, &fault);
    port_close_all(port);
    if (!ok) {
        *exit = cli_error(cli, CLI_BAD_CONFIG, fault.code, fault.what, fault.why, fault.todo);
    }
    return ok;
}

/* What a role's configuration points to lives as long as the process does. */
struct kept {
    struct kept *next;
    char text[];
};
static struct kept *all_kept;

static char *keep(size_t cap)
{
    struct kept *kept = malloc(sizeof *kept + cap);
    if (kept == NULL) {
        abort();
    }
    kept->next = all_kept;
    all_kept = kept;
    return kept->text;
}

/* "DATA/rest" */
static const char *path_in(const struct config *config, const char *rest)
{
    size_t cap = strlen(config->data) + strlen(rest) + 2;
    char *path = keep(cap);
    (void)snprintf(path, cap, "%s/%s", config->data, rest);
    return path;
}

static const char *address_of(const char *url)
{
    char scheme[16];
    char *address = keep(CONFIG_TEXT_MAX);
    if (!config_url(url, scheme, address)) {
        abort(); /* config_read let no other form pass */
    }
    return address;
}

static enum confine_policy sandbox_of(const struct config *config)
{
    enum confine_policy policy = CONFINE_AUTO;
    if (!confine_policy_from(config->sandbox, &policy)) {
        abort(); /* config_read let no other word pass */
    }
    return policy;
}

static int run_keeper(const struct config *c)
{
    struct keeper_config keeper = {.data = c->data,
                                   .domain = c->site_domain,
                                   .device_lifetime_max_ms = c->device_lifetime_ms,
                                   .application_lifetime_max_ms = c->application_lifetime_ms,
                                   .sandbox = sandbox_of(c)};
    return keeper_run(&keeper);
}

static int run_control(const struct config *c)
{
    bool is_tls = strncmp(c->console_listen, "https:", 6) == 0;
    struct control_config control = {
        .data = c->data,
        .site = c->site_name,
        .domain = c->site_domain,
        .console_listen = address_of(c->console_listen),
        .console_tls = is_tls,
        .console_origin = c->console_listen,
        .console_dir = c->console_dir[0] != '\0' ? c->console_dir : NULL,
        .devices_listen = address_of(c->devices_listen),
        .require_linking = c->require_linking,
        .device_lifetime_ms = c->device_lifetime_ms,
        .application_lifetime_ms = c->application_lifetime_ms,
        .applications = c->applications,
        .applications_count = c->applications_count,
        .metrics_listen = address_of(c->metrics_listen),
        .ready_path = path_in(c, "run/control.ready"),
        .sandbox = sandbox_of(c),
    };
    return control_run(&control);
}

static int run_ingest(const struct config *c)
{
    struct ingest_config ingest = {.data_dir = c->data,
                                   .domain = c->site_domain,
                                   .retain_ms = (int64_t)c->retain_ms,
                                   .sandbox = sandbox_of(c)};
    return ingest_run(&ingest);
}

static int run_gateway(const struct config *c, const struct config_gateway *g)
{
    const char *listen[CONFIG_LIST_MAX];
    char rest[CONFIG_TEXT_MAX + 40];
    char address[CONFIG_TEXT_MAX + 80];
    bool allow_3_1_1 = false;
    for (uint32_t i = 0; i < g->listen.count; i++) {
        listen[i] = address_of(g->listen.items[i]);
    }
    for (uint32_t i = 0; i < g->versions.count; i++) {
        allow_3_1_1 = allow_3_1_1 || strcmp(g->versions.items[i], "3.1.1") == 0;
    }
    struct gateway_config gateway = {
        .name = g->name,
        .domain = c->site_domain,
        .listen = listen,
        .listen_count = g->listen.count,
        .certificate_path = path_in(c, "pki/gateway.pem"),
        .key_path = path_in(c, "keys/gateway/gateway.key"),
        .issuer_path = path_in(c, "pki/issuer.pem"),
        .allow_3_1_1 = allow_3_1_1,
        .sandbox = sandbox_of(c),
        .limits = {.connections_max = (uint32_t)g->connections_max,
                   .handshakes_max = (uint32_t)g->handshakes_max,
                   .address_connects = (uint32_t)g->address_connects,
                   .address_burst = (uint32_t)g->address_burst,
                   .resume_s = (uint32_t)(g->resume_ms / 1000),
                   .device_connects = (uint32_t)g->device_connects,
                   .device_packets = (uint32_t)g->device_packets,
                   .device_bytes = g->device_bytes,
                   .packet_max = (uint32_t)g->packet_max,
                   .inflight_max = (uint32_t)g->inflight_max,
                   .session_expiry_max_s = (uint32_t)(g->session_expiry_ms / 1000),
                   .spool_segment_bytes = g->segment,
                   .spool_budget_bytes = g->spool_max},
    };
    (void)snprintf(rest, sizeof rest, "gateway/%s/spool", g->name);
    gateway.spool_dir = path_in(c, rest);
    (void)snprintf(rest, sizeof rest, "gateway/%s/traces", g->name);
    gateway.traces_dir = path_in(c, rest);
    (void)snprintf(rest, sizeof rest, "run/%s.metrics", g->name);
    gateway.metrics_path = path_in(c, rest);
    (void)snprintf(rest, sizeof rest, "run/%s.refusals", g->name);
    gateway.refusals_path = path_in(c, rest);
    gateway.grants_path = path_in(c, "grants/applications.toml");
    (void)snprintf(rest, sizeof rest, "gateway/%s", g->name);
    gateway.state_dir = path_in(c, rest);
    (void)snprintf(address, sizeof address, "unix:%.255s/run/%.60s.sock", c->data, g->name);
    gateway.admin_address = address;
    return gateway_run(&gateway);
}

/* "core.example:9443" -> "core.example" */
static const char *host_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : strlen(address);
    char *host = keep(len + 1);
    memcpy(host, address, len);
    host[len] = '\0';
    return host;
}

static int run_passage(const struct config *c, const struct config_gateway *g)
{
    const char *listen[CONFIG_LIST_MAX];
    const char *names[CONFIG_LIST_MAX];
    char rest[CONFIG_TEXT_MAX + 40];
    const char *service = address_of(g->passage_to[0] != '\0' ? g->passage_to : c->devices_listen);
    for (uint32_t i = 0; i < g->passage.count; i++) {
        listen[i] = address_of(g->passage.items[i]);
    }
    for (uint32_t i = 0; i < g->passage_names.count; i++) {
        names[i] = g->passage_names.items[i];
    }
    names[0] = g->passage_names.count > 0 ? names[0] : host_of(service);
    struct passage_config passage = {
        .name = g->name,
        .listen = listen,
        .listen_count = g->passage.count,
        .names = names,
        .names_count = g->passage_names.count > 0 ? g->passage_names.count : 1,
        .service = service,
        .sandbox = sandbox_of(c),
    };
    (void)snprintf(rest, sizeof rest, "run/%s-passage.metrics", g->name);
    passage.metrics_path = path_in(c, rest);
    (void)snprintf(rest, sizeof rest, "run/%s-passage.refusals", g->name);
    passage.refusals_path = path_in(c, rest);
    return passage_run(&passage);
}

static int run_one(struct cli *cli, const struct config *c, const char *role)
{
    const char *name = cli_option(cli, "name");
    if (strcmp(role, "keeper") == 0) {
        return run_keeper(c);
    }
    if (strcmp(role, "control") == 0) {
        return run_control(c);
    }
    if (strcmp(role, "ingest") == 0) {
        return run_ingest(c);
    }
    for (uint32_t i = 0; i < c->gateways_count; i++) {
        if (name == NULL ? c->gateways_count == 1 : strcmp(c->gateways[i].name, name) == 0) {
            return strcmp(role, "passage") == 0 ? run_passage(c, &c->gateways[i])
                                                : run_gateway(c, &c->gateways[i]);
        }
    }
    return cli_error(cli, CLI_USAGE, "HF-1109", "no such gateway in the configuration",
                     "with more than one, --name says which",
                     "see [[gateway]] in the file; nothing was started");
}

/* ---- several roles ---- */

static uint32_t roles_add(struct supervise *s,
                          const struct config *c,
                          const char *role,
                          const char *name)
{
    static char self[CONFIG_TEXT_MAX];
    struct supervise_child child = {0};
    if (self[0] == '\0') {
        ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
        self[len > 0 ? len : 0] = '\0';
    }
    bool is_passage = strcmp(role, "passage") == 0;
    (void)snprintf(child.name, sizeof child.name, "%.50s%s", name != NULL ? name : role,
                   is_passage ? "-passage" : "");
    (void)snprintf(child.log_path, sizeof child.log_path, "%.180s/log/%.60s.log", c->data,
                   child.name);
    supervise_arg(&child, self);
    supervise_arg(&child, "run");
    supervise_arg(&child, "--role");
    supervise_arg(&child, role);
    if (name != NULL) {
        supervise_arg(&child, "--name");
        supervise_arg(&child, name);
    }
    supervise_arg(&child, "--config");
    supervise_arg(&child, c->file);
    return supervise_add(s, &child);
}

static bool wants(const char *roles, const char *role)
{
    size_t len = strlen(role);
    for (const char *at = roles; at != NULL && *at != '\0';
         at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1) {
        if (strncmp(at, role, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
            return true;
        }
        if (strncmp(at, "core", 4) == 0 && (at[4] == ',' || at[4] == '\0')
            && strcmp(role, "gateway") != 0 && strcmp(role, "ingest") != 0) {
            return true; /* core: keeper and control */
        }
    }
    return false;
}

void roles_start(struct supervise *s, const struct config *c, const char *roles)
{
    static const char *const order[] = {"keeper", "control", "ingest"};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        if (roles == NULL || wants(roles, order[i])) {
            (void)roles_add(s, c, order[i], NULL);
        }
    }
    for (uint32_t i = 0; i < c->gateways_count && (roles == NULL || wants(roles, "gateway")); i++) {
        (void)roles_add(s, c, "gateway", c->gateways[i].name);
        if (c->gateways[i].passage.count > 0) {
            (void)roles_add(s, c, "passage", c->gateways[i].name);
        }
    }
}

bool roles_make_folders(struct port *port, const struct config *c)
{
    static const char *const folders[] = {"log", "run", "store", "control", "gateway", "grants"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        if (port_dir_make(port, path_in(c, folders[i])) != PORT_OK) {
            return false;
        }
    }
    return true;
}

struct running {
    struct port *port;
    struct supervise supervise;
};

static void handle(void *role, const struct port_event *ev)
{
    struct running *r = role;
    if (ev->kind == PORT_TERMINATE) {
        supervise_stop(&r->supervise);
        return;
    }
    (void)supervise_event(&r->supervise, ev);
}

static void changed(void *context, uint32_t which)
{
    struct running *r = context;
    if (which == UINT32_MAX) {
        port_stop(r->port);
        return;
    }
    (void)fprintf(stderr, "holdfast: %s runs as process %d\n", r->supervise.children[which].name,
                  supervise_pid(&r->supervise, which));
}

static int run_many(struct cli *cli, const struct config *c, const char *roles)
{
    static struct running r;
    r.port = port_open(handle, &r);
    if (r.port == NULL || !roles_make_folders(r.port, c)) {
        return cli_error(cli, CLI_FAILED, "HF-1110", "the data folder cannot be made", c->data,
                         "check its owner and mode");
    }
    r.supervise.port = r.port;
    r.supervise.changed = changed;
    r.supervise.context = &r;
    roles_start(&r.supervise, c, roles);
    if (r.supervise.count == 0) {
        return cli_error(cli, CLI_USAGE, "HF-1109", "no such role",
                         "roles are keeper control ingest gateway (core: the first two)",
                         "give one or more of them, with commas between");
    }
    port_run(r.port);
    port_close_all(r.port);
    return CLI_DONE;
}

int cmd_run(struct cli *cli)
{
    static struct config config;
    const char *roles = cli_option(cli, "role");
    int exit = 0;
    if (!roles_read_config(cli, &config, &exit)) {
        return exit;
    }
    bool is_one = roles != NULL
                  && (strcmp(roles, "keeper") == 0 || strcmp(roles, "control") == 0
                      || strcmp(roles, "ingest") == 0
                      || ((strcmp(roles, "gateway") == 0 || strcmp(roles, "passage") == 0)
                          && (cli_option(cli, "name") != NULL || config.gateways_count == 1)));
    return is_one ? run_one(cli, &config, roles) : run_many(cli, &config, roles);
}
