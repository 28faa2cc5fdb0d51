/*
 * `holdfast grant`: what plant software that is no device may publish and subscribe to, and its
 * certificate. Its key is made here; only the request for a certificate leaves this machine.
 */
#include "cmd/api.h"
#include "cmd/json_path.h"
#include "cmd/show.h"
#include "codec/http.h"
#include "codec/json.h"
#include "io/port.h"
#include "io/read_all.h"
#include "io/replace.h"
#include "role/pki_init.h"

#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 16384, PATH_CAP = 600 };

struct granting {
    struct cli *cli;
    struct port *port;
    const char *name, *dir;
    long days; /* 0: the usual */
};

static void ignore(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static bool write_part(struct granting *g, const char *file, const char *suffix, struct slice bytes)
{
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/%s%s", g->dir, file, suffix);
    return port_file_replace(g->port, path, bytes) == PORT_OK;
}

/* ---- what is shown ---- */

static void show_items(const char *title, struct slice list)
{
    size_t at = 0;
    char text[256];
    int shown = 0;
    for (struct slice item = json_element(list, &at); item.len > 0;
         item = json_element(list, &at)) {
        (void)printf("%-12s %s\n", shown++ == 0 ? title : "",
                     json_text_at(item, "", "?", text, sizeof text));
    }
    if (shown == 0) {
        (void)printf("%-12s none\n", title);
    }
}

static void show_certificates(struct slice grant, const char *now)
{
    size_t at = 0;
    char serial[80];
    char state[20];
    char until[40];
    char when[32];
    int shown = 0;
    struct slice list = json_at(grant, "certificates");
    for (struct slice c = json_element(list, &at); c.len > 0; c = json_element(list, &at)) {
        (void)printf("%-12s %s  %s  until %s\n", shown++ == 0 ? "certificates" : "",
                     json_text_at(c, "serial", "?", serial, sizeof serial),
                     json_text_at(c, "state", "?", state, sizeof state),
                     show_time(json_text_at(c, "not_after", "", until, sizeof until), now, when));
    }
    if (shown == 0) {
        (void)printf("%-12s none: nobody can connect as it. holdfast grant NAME makes one\n",
                     "certificates");
    }
}

/* Where the newest grants hold: a gateway that does not say is unknown, not done. */
static void show_gateways(const struct cli *cli, struct slice grant)
{
    size_t at = 0;
    char name[80];
    char word[8];
    int shown = 0;
    struct slice list = json_at(grant, "gateways");
    for (struct slice g = json_element(list, &at); g.len > 0; g = json_element(list, &at)) {
        const char *in_force = json_text_at(g, "in_force", "unknown", word, sizeof word);
        bool is_known = strcmp(in_force, "unknown") != 0;
        bool is_done = strcmp(in_force, "true") == 0;
        (void)printf("%-12s %s %s\n", shown++ == 0 ? "in force at" : "",
                     json_text_at(g, "name", "?", name, sizeof name),
                     is_done    ? show_state(cli, "done")
                     : is_known ? "not yet"
                                : show_state(cli, "unknown"));
    }
}

static void show_grant(const struct cli *cli, struct slice grant)
{
    char name[80];
    char state[20];
    char from[20];
    char now[40];
    (void)json_text_at(grant, "now", "", now, sizeof now);
    (void)printf("%-12s %s\n%-12s %s, by %s\n", "application",
                 json_text_at(grant, "name", "?", name, sizeof name), "state",
                 json_text_at(grant, "state", "?", state, sizeof state),
                 strcmp(json_text_at(grant, "from", "?", from, sizeof from), "configuration") == 0
                     ? "the configuration"
                     : "command");
    show_items("publish", json_at(grant, "publish"));
    show_items("subscribe", json_at(grant, "subscribe"));
    struct slice ids = json_at(grant, "client_ids");
    size_t at = 0;
    if (json_element(ids, &at).len > 0) {
        show_items("client ids", ids);
    } else {
        (void)printf("%-12s %s, its name\n", "client id", name);
    }
    show_certificates(grant, now);
    show_gateways(cli, grant);
}

/* ---- a grant ---- */

/* Each use of a repeated option, as an array; nothing where there is none. */
static void put_each(struct json_writer *json, const struct cli *cli, const char *option)
{
    bool is_open = false;
    char member[40];
    (void)snprintf(member, sizeof member, "%s",
                   strcmp(option, "client-id") == 0 ? "client_ids" : option);
    for (int i = 0; i < cli->options_count; i++) {
        if (strcmp(cli->options[i].name, option) != 0) {
            continue;
        }
        if (!is_open) {
            json_name(json, member);
            json_array(json);
            is_open = true;
        }
        json_text(json, cli->options[i].value);
    }
    if (is_open) {
        json_array_end(json);
    }
}

static int write_answer(struct granting *g, struct slice answer)
{
    static char certificate[PEM_MAX];
    static char chain[PEM_MAX];
    static char root[PEM_MAX];
    static uint8_t room[2 * PEM_MAX];
    struct writer w = writer_over(room, sizeof room);
    (void)json_text_at(answer, "certificate", "", certificate, sizeof certificate);
    (void)json_text_at(answer, "chain", "", chain, sizeof chain);
    (void)json_text_at(answer, "root", "", root, sizeof root);
    if (certificate[0] == '\0' || root[0] == '\0') {
        return cli_error(g->cli, CLI_FAILED, "HF-1108", "the server's answer holds no certificate",
                         "it may be of another version", "compare holdfast version here and there");
    }
    write_text(&w, certificate);
    write_text(&w, chain);
    if (!write_part(g, g->name, ".pem", writer_slice(&w))
        || !write_part(g, "root", ".pem", slice_text(root))) {
        return cli_error(g->cli, CLI_FAILED, "HF-1111", "the certificate cannot be written", g->dir,
                         "check the folder; then grant it again: the same key gets the same one");
    }
    if (g->cli->json) {
        (void)printf("%.*s\n", (int)answer.len, (const char *)answer.at);
        return CLI_DONE;
    }
    show_grant(g->cli, answer);
    (void)printf("%-12s %s/%s.pem\n%-12s %s/%s.key   (made here, sent nowhere)\n%-12s "
                 "%s/root.pem\n",
                 "certificate", g->dir, g->name, "key", g->dir, g->name, "trust", g->dir);
    return CLI_DONE;
}

static int make_request(struct granting *g, struct writer *csr)
{
    static uint8_t key_room[4096];
    char path[PATH_CAP];
    uint8_t own[4096];
    size_t own_len = 0;
    struct writer key = writer_over(key_room, sizeof key_room);
    (void)snprintf(path, sizeof path, "%s/%s.key", g->dir, g->name);
    if (port_file_read_all(g->port, path, own, sizeof own, &own_len) != PORT_OK) {
        own_len = 0;
    }
    enum pki_result made = pki_make_client_key(g->name, slice_of(own, own_len), &key, csr);
    wipe(own, sizeof own);
    int exit = CLI_DONE;
    if (made != PKI_OK) {
        exit = cli_error(g->cli, CLI_USAGE, "HF-1101", "no key can be made or used for that name",
                         "names are letters, digits, - . and _; a key that is in the folder must "
                         "be one of P-256",
                         "use such a name, or remove that key; nothing was made");
    } else if (own_len == 0 && !write_part(g, g->name, ".key", writer_slice(&key))) {
        /* Before anybody hears of it: an answer that is lost is asked for with the same key. */
        exit = cli_error(g->cli, CLI_FAILED, "HF-1111", "the key cannot be written", g->dir,
                         "check the folder; nothing was granted");
    }
    wipe(key_room, sizeof key_room);
    return exit;
}

static int ask_grant(struct granting *g)
{
    static uint8_t csr_room[4096];
    static uint8_t json_room[65536];
    struct writer csr = writer_over(csr_room, sizeof csr_room);
    struct writer body = writer_over(json_room, sizeof json_room);
    struct json_writer json = json_writer_to(&body);
    struct slice answer = {0};
    int exit = make_request(g, &csr);
    if (exit != CLI_DONE) {
        return exit;
    }
    json_object(&json);
    json_put_text(&json, "name", g->name);
    put_each(&json, g->cli, "publish");
    put_each(&json, g->cli, "subscribe");
    put_each(&json, g->cli, "client-id");
    if (g->days != 0) {
        json_put_i64(&json, "days", g->days);
    }
    json_put_slice(&json, "csr", writer_slice(&csr));
    json_object_end(&json);
    if (!writer_ok(&body)) {
        return cli_error(g->cli, CLI_USAGE, "HF-1101", "the filters are too long",
                         "all of them together are at most 64 KiB", "give fewer");
    }
    struct api *api = api_open(g->cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = api_post(api, "/grants", writer_slice(&body), &answer);
    if (exit == CLI_DONE) {
        exit = write_answer(g, answer);
    }
    api_close(api);
    return exit;
}

int cmd_grant(struct cli *cli)
{
    struct granting g = {
        .cli = cli, .name = cli->args[0], .dir = cli_option_or(cli, "out", cli->args[0])};
    if (!cli_number(cli, "days", 1, 398, 0, &g.days)) {
        return CLI_USAGE;
    }
    g.port = port_open(ignore, NULL);
    if (g.port == NULL || port_dir_make(g.port, g.dir) != PORT_OK) {
        return cli_error(cli, CLI_FAILED, "HF-1111", "the folder cannot be made", g.dir,
                         "name another with --out; nothing was granted");
    }
    int exit = ask_grant(&g);
    port_close_all(g.port);
    return exit;
}

/* ---- list, show, withdraw ---- */

struct listing {
    struct cli *cli;
    struct show_table table;
    long count;
};

static const char *joined(struct slice list, char *room, size_t cap)
{
    size_t at = 0;
    size_t len = 0;
    char text[256];
    room[0] = '\0';
    for (struct slice item = json_element(list, &at); item.len > 0 && len < cap - 1;
         item = json_element(list, &at)) {
        int add = snprintf(room + len, cap - len, "%s%s", len > 0 ? " " : "",
                           json_text_at(item, "", "?", text, sizeof text));
        len += add > 0 ? (size_t)add : 0;
    }
    return room[0] != '\0' ? room : "-";
}

static void list_row(void *context, struct slice item)
{
    struct listing *l = context;
    char room[6][SHOW_CELL_MAX];
    l->count++;
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    const char *cells[] = {
        json_text_at(item, "name", "?", room[0], SHOW_CELL_MAX),
        json_text_at(item, "state", "?", room[1], SHOW_CELL_MAX),
        joined(json_at(item, "publish"), room[2], SHOW_CELL_MAX),
        joined(json_at(item, "subscribe"), room[3], SHOW_CELL_MAX),
        joined(json_at(item, "client_ids"), room[4], SHOW_CELL_MAX),
        json_text_at(item, "from", "?", room[5], SHOW_CELL_MAX),
    };
    show_row(&l->table, cells);
}

int cmd_grant_list(struct cli *cli)
{
    static const char *const heads[] = {"application", "state",      "publish",
                                        "subscribe",   "client ids", "from"};
    struct listing l = {.cli = cli, .table = {.columns = 6}};
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (!cli->json) {
        show_row(&l.table, heads);
    }
    exit = api_each(api, "/grants", 1000000, list_row, &l);
    if (!cli->json) {
        if (exit == CLI_DONE && l.count > 0) {
            show_print(cli, &l.table);
        }
        if (exit == CLI_DONE) {
            cli_say(cli,
                    l.count == 0   ? "no application is granted anything: holdfast grant NAME "
                                     "--subscribe FILTER"
                    : l.count == 1 ? "1 application"
                                   : "%ld applications",
                    l.count);
        }
        free(l.table.cells);
    }
    api_close(api);
    return exit;
}

static bool target_of(char *target, size_t cap, const char *name, const char *behind)
{
    struct writer w = writer_over(target, cap - 1);
    write_text(&w, "/grants/");
    http_percent_encode(&w, slice_text(name));
    write_text(&w, behind);
    target[writer_ok(&w) ? w.len : 0] = '\0';
    return writer_ok(&w);
}

static int show_one(struct cli *cli, const char *behind, bool is_change)
{
    char target[API_TARGET_MAX];
    struct slice body = {0};
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (!target_of(target, sizeof target, cli->args[0], behind)) {
        exit = cli_error(cli, CLI_USAGE, "HF-1101", "the name is too long",
                         "names have at most 63 characters", "holdfast grant list");
    } else {
        exit = is_change ? api_post(api, target, (struct slice){0}, &body)
                         : api_get(api, target, &body);
    }
    if (exit == CLI_DONE && cli->json) {
        (void)printf("%.*s\n", (int)body.len, (const char *)body.at);
    } else if (exit == CLI_DONE) {
        show_grant(cli, body);
    }
    api_close(api);
    return exit;
}

int cmd_grant_show(struct cli *cli)
{
    return show_one(cli, "", false);
}

int cmd_grant_withdraw(struct cli *cli)
{
    return show_one(cli, "/withdraw", true);
}
