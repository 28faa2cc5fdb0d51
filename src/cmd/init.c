#include "cmd/site.h"
#include "role/pki_init.h"

#include <string.h>

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

int cmd_init(struct cli *cli)
{
    struct site site = {
        .name = cli_option_or(cli, "site", "Holdfast"),
        .domain = cli_option_or(cli, "domain", "holdfast.local"),
        .manufacturer = cli_option(cli, "manufacturer"),
        .console_is_http = cli_option(cli, "plain-console") != NULL,
    };
    const char *dir = cli_option(cli, "dir");
    long base = 0;
    long gateways = 1;
    if (dir == NULL || (site.dir = site_absolute(dir)) == NULL) {
        return cli_error(cli, CLI_USAGE, "HF-1101",
                         dir == NULL ? "--dir is missing" : "--dir is too long",
                         "a site lives in one folder, whose path has at most 180 bytes",
                         "holdfast init --dir /var/lib/holdfast");
    }
    if (!cli_number(cli, "port-base", 1024, 65000, 0, &base)
        || !cli_number(cli, "gateways", 1, 16, 1, &gateways)) {
        return CLI_USAGE;
    }
    site.gateways = (unsigned)gateways;
    site_ports(&site, base);
    struct port *port = port_open(ignore, NULL);
    if (port == NULL) {
        return CLI_FAILED;
    }
    int exit = site_make(cli, port, &site);
    port_close_all(port);
    if (exit == CLI_DONE && cli->json) {
        (void)printf("{\"v\":1,\"dir\":\"%s\",\"config\":\"%s/holdfast.toml\",\"env\":\"%s/"
                     "env\",\"root\":\"%s/pki/root.pem\"}\n",
                     site.dir, site.dir, site.dir, site.dir);
    } else if (exit == CLI_DONE) {
        (void)printf("site       %s in %s\nstart      holdfast run --config "
                     "%s/holdfast.toml\nshell      source %s/env\n",
                     site.name, site.dir, site.dir, site.dir);
        (void)printf("devices    trust %s/pki/root.pem\n", site.dir);
        (void)printf(
            "keep safe  move %s/keys/offline/root.key to a place that is not online; running "
            "Holdfast does not need it\n",
            site.dir);
    }
    return exit;
}

/* ---- the manufacturer's side ---- */

static int tell(struct cli *cli,
                enum pki_result result,
                const struct port_why *why,
                const char *dir)
{
    switch (result) {
    case PKI_OK: return CLI_DONE;
    case PKI_EXISTS:
        return cli_error(cli, CLI_CONFLICT, "HF-1114", "it was made before", dir,
                         "use another folder; nothing was changed");
    case PKI_BAD:
        return cli_error(cli, CLI_USAGE, "HF-1101", "an argument cannot be used", why->text,
                         "correct it; nothing was made");
    case PKI_FAILED: break;
    }
    return cli_error(cli, CLI_FAILED, "HF-1115", "the keys cannot be made", why->text,
                     "mend the cause and run it again");
}

int cmd_factory_ca(struct cli *cli)
{
    const char *dir = cli_option_or(cli, "dir", "factory");
    struct port_why why = {0};
    struct port *port = port_open(ignore, NULL);
    if (port == NULL) {
        return CLI_FAILED;
    }
    enum pki_result result = pki_make_manufacturer(
        port, dir, cli_option_or(cli, "manufacturer", "Holdfast Factory"), &why);
    port_close_all(port);
    int exit = tell(cli, result, &why, dir);
    if (exit == CLI_DONE && cli->json) {
        (void)printf("{\"v\":1,\"certificate\":\"%s/manufacturer.pem\"}\n", dir);
    } else if (exit == CLI_DONE) {
        (void)printf("certificate  %s/manufacturer.pem   (give this to sites)\nkey          "
                     "%s/manufacturer.key   (keep this)\n",
                     dir, dir);
    }
    return exit;
}

int cmd_factory_idevid(struct cli *cli)
{
    const char *dir = cli_option_or(cli, "dir", "factory");
    const char *out = cli_option_or(cli, "out", cli->args[0]);
    struct port_why why = {0};
    struct device_id id;
    uint8_t text[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(text, sizeof text);
    struct port *port = port_open(ignore, NULL);
    if (port == NULL) {
        return CLI_FAILED;
    }
    enum pki_result result = pki_make_idevid(
        port, dir, cli->args[0], cli_option_or(cli, "model", "generic"), out, &id, &why);
    port_close_all(port);
    int exit = tell(cli, result, &why, out);
    if (exit == CLI_DONE) {
        device_id_write_text(&w, &id);
        if (cli->json) {
            (void)printf("{\"v\":1,\"serial\":\"%s\",\"id\":\"%.*s\",\"certificate\":\"%s/"
                         "idevid.pem\",\"key\":\"%s/idevid.key\"}\n",
                         cli->args[0], DEVICE_ID_TEXT_LEN, (const char *)text, out, out);
        } else {
            (void)printf(
                "id           %.*s\ncertificate  %s/idevid.pem\nkey          %s/idevid.key\n",
                DEVICE_ID_TEXT_LEN, (const char *)text, out, out);
        }
    }
    return exit;
}
