#include "cmd/site.h"

#include "io/read_all.h"
#include "io/replace.h"
#include "role/pki_init.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 16384, PATH_MAX_ = 1024, TOKEN_LEN = 32 };

void site_ports(struct site *site, long base)
{
    site->console_port = base != 0 ? (unsigned)base : site->console_is_http ? 8080 : 8443;
    site->devices_port = base != 0 ? (unsigned)base + 1 : 9443;
    site->metrics_port = base != 0 ? (unsigned)base + 4 : 9464;
    site->gateway_port = base != 0 ? (unsigned)base + 10 : 8883;
}

const char *site_program_dir(void)
{
    static char dir[PATH_MAX_];
    ssize_t len = readlink("/proc/self/exe", dir, sizeof dir - 1);
    dir[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    return dir;
}

const char *site_absolute(const char *dir)
{
    static char path[PATH_MAX_];
    char here[PATH_MAX_ / 2];
    int len = -1;
    if (dir[0] == '/') {
        len = snprintf(path, sizeof path, "%s", dir);
    } else if (getcwd(here, sizeof here) != NULL) {
        len =
            snprintf(path, sizeof path, "%s/%s", here, strncmp(dir, "./", 2) == 0 ? dir + 2 : dir);
    }
    while (len > 1 && len < (int)sizeof path && path[len - 1] == '/') {
        path[--len] = '\0';
    }
    return len > 0 && len < 180 ? path : NULL;
}

static void add(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct writer *w, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || len >= (int)sizeof text) {
        w->overflow = true;
        return;
    }
    write_bytes(w, text, (size_t)len);
}

/* A TOML basic string. */
static void add_string(struct writer *w, const char *text)
{
    write_u8(w, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            write_u8(w, '\\');
        }
        write_u8(w, (uint8_t)*text);
    }
    write_u8(w, '"');
}

static void add_config(struct writer *w, const struct site *s)
{
    add(w, "# Made by holdfast init. holdfast check --explain prints every value in "
           "force.\n[site]\nname = ");
    add_string(w, s->name);
    add(w, "\ndomain = ");
    add_string(w, s->domain);
    add(w, "\ndata = \".\"                          # everything Holdfast writes lives below this "
           "folder\n\n");
    add(w, "[console]\nlisten = \"%s://localhost:%u\"\n\n", s->console_is_http ? "http" : "https",
        s->console_port);
    add(w,
        "[devices]                           # enrolment (EST), trust list\nlisten = "
        "\"https://localhost:%u\"\n\n",
        s->devices_port);
    add(w, "[metrics]\nlisten = \"http://localhost:%u\"\n\n", s->metrics_port);
    for (unsigned i = 0; i < s->gateways; i++) {
        add(w,
            "[[gateway]]\nname = \"gw-%u\"\nlisten = [\"mqtts://localhost:%u\"]\nversions = "
            "[\"5\", \"3.1.1\"]\n\n",
            i + 1, s->gateway_port + i);
    }
}

static int write_file(struct cli *cli, struct port *port, const char *path, struct slice text)
{
    if (port_file_replace(port, path, text) == PORT_OK) {
        return CLI_DONE;
    }
    return cli_error(cli, CLI_FAILED, "HF-1111", "a file cannot be written", path,
                     "check the folder's owner, mode and room");
}

static int write_config(struct cli *cli, struct port *port, const struct site *site)
{
    static uint8_t room[TEXT_MAX];
    char path[PATH_MAX_];
    struct writer w = writer_over(room, sizeof room);
    add_config(&w, site);
    (void)snprintf(path, sizeof path, "%s/holdfast.toml", site->dir);
    return write_file(cli, port, path, writer_slice(&w));
}

int site_write_env(
    struct cli *cli, struct port *port, const char *dir, const char *console, const char *gateway)
{
    static uint8_t room[TEXT_MAX];
    char token[128];
    char path[PATH_MAX_];
    size_t len = 0;
    struct writer w = writer_over(room, sizeof room);
    (void)snprintf(path, sizeof path, "%s/operator.token", dir);
    if (port_file_read_all(port, path, token, sizeof token - 1, &len) != PORT_OK) {
        return cli_error(cli, CLI_FAILED, "HF-1112", "the operator credential cannot be read", path,
                         "was the site made by this user?");
    }
    token[len] = '\0';
    token[strcspn(token, "\n")] = '\0';
    add(&w,
        "# source this file: the command line then speaks to this site as its first operator\n");
    add(&w, "export HOLDFAST_URL='%s'\n", console);
    add(&w, "export HOLDFAST_TOKEN='%s'\n", token);
    add(&w, "export HOLDFAST_GATEWAY='%s'\n", gateway);
    add(&w, "export HOLDFAST_ROOT='%s/pki/root.pem'\n", dir);
    add(&w, "export HOLDFAST_CONFIG='%s/holdfast.toml'\n", dir);
    add(&w, "case \":$PATH:\" in *':%s:'*) ;; *) export PATH='%s':\"$PATH\" ;; esac\n",
        site_program_dir(), site_program_dir());
    (void)snprintf(path, sizeof path, "%s/env", dir);
    int exit = write_file(cli, port, path, writer_slice(&w));
    wipe(token, sizeof token);
    wipe(room, sizeof room);
    return exit;
}

static int copy_manufacturer(struct cli *cli, struct port *port, const struct site *site)
{
    static uint8_t pem[65536];
    char path[PATH_MAX_];
    size_t len = 0;
    if (site->manufacturer == NULL) {
        return CLI_DONE;
    }
    if (port_file_read_all(port, site->manufacturer, pem, sizeof pem, &len) != PORT_OK) {
        return cli_error(cli, CLI_NOT_FOUND, "HF-1113",
                         "the manufacturer's certificates cannot be read", site->manufacturer,
                         "name a PEM file of at most 64 KiB; nothing was made");
    }
    (void)snprintf(path, sizeof path, "%s/pki/manufacturers", site->dir);
    if (port_dir_make(port, path) != PORT_OK) {
        return cli_error(cli, CLI_FAILED, "HF-1111", "a folder cannot be made", path,
                         "check the owner and mode of what it is in");
    }
    (void)snprintf(path, sizeof path, "%s/pki/manufacturers/first.pem", site->dir);
    return write_file(cli, port, path, slice_of(pem, len));
}

static bool exists(const struct site *site, const char *name)
{
    char path[PATH_MAX_];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", site->dir, name);
    return stat(path, &st) == 0;
}

int site_make(struct cli *cli, struct port *port, const struct site *site)
{
    struct port_why why = {0};
    struct pki_site pki = {.data = site->dir, .name = site->name, .domain = site->domain};
    if (exists(site, "holdfast.toml")) {
        return cli_error(cli, CLI_CONFLICT, "HF-1114", "there is a site in this folder already",
                         site->dir, "use another folder; nothing was changed");
    }
    if (port_dir_make(port, site->dir) != PORT_OK) {
        return cli_error(cli, CLI_FAILED, "HF-1111", "the folder cannot be made", site->dir,
                         "check the owner and mode of what it is in");
    }
    /* Made twice is made once: a cut between the steps leaves files that the second run keeps. */
    enum pki_result made = pki_make_site(port, &pki, &why);
    if (made != PKI_OK && made != PKI_EXISTS) {
        return cli_error(cli, CLI_FAILED, "HF-1115", "the site's keys cannot be made", why.text,
                         "what was made stays; mend it and run again");
    }
    int exit = copy_manufacturer(cli, port, site);
    if (exit == CLI_DONE) {
        exit = site_make_operator(cli, port, site);
    }
    if (exit == CLI_DONE) {
        char console[80];
        (void)snprintf(console, sizeof console, "%s://localhost:%u",
                       site->console_is_http ? "http" : "https", site->console_port);
        char gateway[40];
        (void)snprintf(gateway, sizeof gateway, "localhost:%u", site->gateway_port);
        exit = site_write_env(cli, port, site->dir, console, gateway);
    }
    /* Last: from here on the folder counts as a site. */
    return exit == CLI_DONE ? write_config(cli, port, site) : exit;
}
