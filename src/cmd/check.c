/* `holdfast check`: what would stop the service from starting, without starting it. */
#include "cmd/roles.h"
#include "cmd/show.h"
#include "io/port.h"
#include "role/pki_renew.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

struct checking {
    struct cli *cli;
    struct show_table table;
    int wrong;
    int traces;
};

static void print_line(void *context, const char *key, const char *value, const char *from)
{
    struct checking *c = context;
    if (c->cli->json) {
        (void)printf("{\"v\":1,\"key\":\"%s\",\"value\":%s,\"from\":\"%s\"}\n", key, value, from);
        return;
    }
    const char *cells[] = {key, value, from};
    show_row(&c->table, cells);
}

static void verdict(struct checking *c, bool ok, const char *what, const char *finding)
{
    c->wrong += !ok;
    if (c->cli->json) {
        (void)printf("{\"v\":1,\"check\":\"%s\",\"ok\":%s,\"finding\":\"%s\"}\n", what,
                     ok ? "true" : "false", finding);
    } else {
        (void)printf("%s  %-10s %s\n", show_shape(ok ? "done" : "failed"), what, finding);
    }
}

/* What does not keep the service from starting, and whoever runs it should know. */
static void warning(const struct checking *c, const char *what, const char *finding)
{
    if (c->cli->json) {
        (void)printf("{\"v\":1,\"check\":\"%s\",\"ok\":false,\"finding\":\"%s\"}\n", what, finding);
    } else {
        (void)printf("%s  %-10s %s\n", show_shape("degraded"), what, finding);
    }
}

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static void check_storage(struct checking *c, const struct config *config)
{
    struct statvfs room;
    char text[400];
    if (statvfs(config->data, &room) != 0) {
        (void)snprintf(text, sizeof text, "%s cannot be read: holdfast init makes it",
                       config->data);
        verdict(c, false, "storage", text);
        return;
    }
    double free_gib = (double)room.f_bavail * (double)room.f_frsize / (double)(1 << 30);
    (void)snprintf(text, sizeof text, "%s has %.1f GiB free", config->data, free_gib);
    verdict(c, free_gib > 0.25, "storage", text);
}

static void check_key(struct checking *c,
                      const struct config *config,
                      const char *file,
                      bool is_secret)
{
    char path[CONFIG_TEXT_MAX + 64];
    char text[CONFIG_TEXT_MAX + 200];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", config->data, file);
    if (stat(path, &st) != 0) {
        (void)snprintf(text, sizeof text, "%s is missing", path);
        verdict(c, false, "keys", text);
    } else if (is_secret && (st.st_mode & 077) != 0) {
        (void)snprintf(text, sizeof text, "%s can be read by others (mode %o): chmod 600 it", path,
                       (unsigned)st.st_mode & 0777);
        verdict(c, false, "keys", text);
    }
}

static void check_keys(struct checking *c, const struct config *config)
{
    static const struct {
        const char *file;
        bool is_secret;
    } files[] = {
        {"pki/root.pem", false},          {"pki/issuer.pem", false},
        {"pki/gateway.pem", false},       {"keys/gateway/gateway.key", true},
        {"pki/devices.pem", false},       {"keys/control/devices.key", true},
        {"keys/ingest/ingest.key", true}, {"pki/trust.pem", false},
        {"keeper/issuer.key", true},      {"keeper/trust.key", true},
        {"operator.token", true},
    };
    char root[CONFIG_TEXT_MAX + 64];
    struct stat st;
    int before = c->wrong;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        check_key(c, config, files[i].file, files[i].is_secret);
    }
    if (c->wrong == before) {
        verdict(c, true, "keys", "all there, secret ones readable by this user alone");
    }
    (void)snprintf(root, sizeof root, "%s/keys/offline/root.key", config->data);
    if (stat(root, &st) == 0 && !c->cli->json) {
        (void)printf("%s  %-10s %s is still online: move it away, running does not need it\n",
                     show_shape("degraded"), "keys", root);
    }
}

static void check_server(struct checking *c,
                         const struct pki_renewal *found,
                         const char *stem,
                         int64_t now_ms,
                         bool has_key)
{
    char text[200];
    long long left_d = (found->not_after_ms - now_ms) / 86400000;
    if (found->not_after_ms <= now_ms) {
        (void)snprintf(text, sizeof text,
                       "pki/%s.pem has expired: start the keeper with keeper/services.key there",
                       stem);
        verdict(c, false, "servers", text);
    } else if (found->is_due && !has_key) {
        (void)snprintf(text, sizeof text,
                       "pki/%s.pem ends in %lld d and cannot be renewed: keeper/services.key is "
                       "not there",
                       stem, left_d);
        warning(c, "servers", text);
    } else {
        (void)snprintf(text, sizeof text,
                       found->is_due
                           ? "pki/%s.pem ends in %lld d; the keeper renews it when it runs"
                           : "pki/%s.pem holds for %lld d",
                       stem, left_d);
        verdict(c, true, "servers", text);
    }
}

/* How long the server certificates hold; the keeper renews them in the last third of their life. */
static void check_servers(struct checking *c, const struct config *config)
{
    struct port_why why = {{0}};
    struct port *port = port_open(ignore, NULL);
    struct stat st;
    char key[CONFIG_TEXT_MAX + 64];
    (void)snprintf(key, sizeof key, "%s/keeper/services.key", config->data);
    bool has_key = stat(key, &st) == 0;
    for (size_t i = 0; i < PKI_SERVERS && port != NULL; i++) {
        struct pki_renewal found;
        const char *stem = pki_server_stems[i];
        if (pki_renew_server(port, config->data, stem, NULL, &found, &why) == PKI_OK) {
            check_server(c, &found, stem, port_wall_ms(port, NULL), has_key);
        } else {
            verdict(c, false, "servers", why.text);
        }
    }
    if (port != NULL) {
        port_close_all(port);
    }
}

static void check_clock(struct checking *c)
{
    struct timespec now;
    char text[80];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    bool plausible = now.tv_sec > 1767225600; /* 2026: older than this program it cannot be */
    (void)snprintf(text, sizeof text,
                   plausible ? "plausible" : "before this program was made: set it");
    verdict(c, plausible, "clock", text);
}

/* Whoever runs the service should pass it on. */
static void tell_trace(void *context, const char *path)
{
    struct checking *c = context;
    c->traces++;
    warning(c, "traces", path);
}

static void check_traces(struct checking *c, const struct config *config)
{
    roles_traces(config, tell_trace, c);
    if (c->traces == 0) {
        verdict(c, true, "traces", "none: no role has written that an invariant broke");
    } else if (!c->cli->json) {
        (void)printf("   %-10s something broke that must hold: report it with these files (they "
                     "name devices,\n"
                     "   %-10s and hold no keys), look yourself with holdfast-sim --replay FILE, "
                     "then delete them\n",
                     "", "");
    }
}

int cmd_check(struct cli *cli)
{
    static struct config config;
    struct checking c = {.cli = cli, .table = {.columns = 3}};
    int exit = 0;
    if (!roles_read_config(cli, &config, &exit)) {
        return exit;
    }
    if (cli_option(cli, "explain") != NULL) {
        config_explain(&config, print_line, &c);
        if (!cli->json) {
            show_print(cli, &c.table);
        }
        return CLI_DONE;
    }
    verdict(&c, true, "config", config.file);
    check_storage(&c, &config);
    check_keys(&c, &config);
    check_servers(&c, &config);
    check_clock(&c);
    check_traces(&c, &config);
    return c.wrong == 0 ? CLI_DONE : CLI_FAILED;
}
