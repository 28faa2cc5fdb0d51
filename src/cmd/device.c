#include "cmd/api.h"
#include "cmd/json_path.h"
#include "cmd/show.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    struct cli *cli;
    struct show_table table;
    bool is_csv;
    long count;
};

static void list_row(void *context, struct slice item)
{
    struct listing *l = context;
    char room[8][64];
    char age[32];
    l->count++;
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    const char *cells[] = {
        json_text_at(item, "name", "?", room[0], 64),
        show_state(l->cli, json_text_at(item, "state", "unknown", room[1], 64)),
        json_text_at(item, "identity", "-", room[2], 64),
        json_text_at(item, "gateway", "-", room[3], 64),
        show_age(json_number_at(item, "last_seen_age_s", -1), age),
        json_text_at(item, "gaps_missing", "0", room[4], 64),
        json_text_at(item, "agent", "-", room[5], 64),
        json_text_at(item, "model", "-", room[6], 64),
    };
    show_row(&l->table, cells);
}

static int list_devices(struct cli *cli, const char *query, long limit)
{
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    char target[API_TARGET_MAX] = "/devices";
    static const char *const heads[] = {"name", "state",   "identity", "gateway",
                                        "seen", "missing", "agent",    "model"};
    struct listing l = {.cli = cli, .table = {.columns = 8, .right = {[4] = true, [5] = true}}};
    if ((query != NULL && !api_parameter(target, sizeof target, "q", query))
        || (cli_option(cli, "sort") != NULL
            && !api_parameter(target, sizeof target, "sort", cli_option(cli, "sort")))) {
        api_close(api);
        return cli_error(cli, CLI_USAGE, "HF-1101", "the query is too long",
                         "queries are at most 500 bytes", "use a shorter one");
    }
    if (!cli->json) {
        show_row(&l.table, heads);
    }
    exit = api_each(api, target, limit, list_row, &l);
    if (!cli->json) {
        if (exit == CLI_DONE && l.count > 0) {
            show_print(cli, &l.table);
        }
        if (exit == CLI_DONE) {
            cli_say(cli,
                    l.count == 0   ? "no device matches"
                    : l.count == 1 ? "1 device"
                                   : "%ld devices",
                    l.count);
        }
        free(l.table.cells);
    }
    api_close(api);
    return exit;
}

int cmd_device_list(struct cli *cli)
{
    long limit = 0;
    if (!cli_number(cli, "limit", 1, 1000000, 1000000, &limit)) {
        return CLI_USAGE;
    }
    return list_devices(cli, cli_option(cli, "query"), limit);
}

int cmd_device_find(struct cli *cli)
{
    char query[600];
    (void)snprintf(query, sizeof query, "\"%.500s\"", cli->args[0]);
    return list_devices(cli, query, 1000000);
}

/* ---- one device ---- */

enum { LINKS_SHOWN = 5 };

static void show_gaps(struct slice device)
{
    char from[32];
    char to[32];
    char count[32];
    char why[32];
    size_t at = 0;
    int shown = 0;
    struct slice gaps = json_at(device, "gaps");
    for (struct slice gap = json_element(gaps, &at); gap.len > 0 && shown < 8;
         gap = json_element(gaps, &at)) {
        (void)printf("%s %s to %s, %s messages: %s\n", shown == 0 ? "gaps      " : "          ",
                     json_text_at(gap, "from", "?", from, 32), json_text_at(gap, "to", "?", to, 32),
                     json_text_at(gap, "count", "?", count, 32),
                     json_text_at(gap, "why", "?", why, 32));
        shown++;
    }
}

static void show_certificates(struct slice device, const char *now)
{
    char serial[80];
    char generation[20];
    char until[40];
    char state[32];
    char seen[40];
    char time[32];
    size_t at = 0;
    bool first = true;
    struct slice list = json_at(device, "certificates");
    for (struct slice c = json_element(list, &at); c.len > 0; c = json_element(list, &at)) {
        (void)printf("%s generation %s, %s, until %s, serial %s",
                     first ? "keys      " : "          ",
                     json_text_at(c, "generation", "?", generation, 20),
                     json_text_at(c, "state", "?", state, 32),
                     show_time(json_text_at(c, "not_after", "", until, 40), now, time),
                     json_text_at(c, "serial", "?", serial, 80));
        bool is_seen = json_text_at(c, "seen_at", "", seen, sizeof seen)[0] != '\0';
        (void)printf(", %s%s\n", is_seen ? "first used " : "not yet used",
                     is_seen ? show_time(seen, now, time) : "");
        first = false;
    }
}

/* Where it was linked lately, and how that ended. */
static void show_links(const struct cli *cli, struct slice device, const char *now)
{
    char gateway[80];
    char state[32];
    char time[40];
    char why[120];
    char from[32];
    char until[32];
    size_t at = 0;
    int shown = 0;
    struct slice list = json_at(device, "history.links");
    for (struct slice link = json_element(list, &at); link.len > 0 && shown < LINKS_SHOWN;
         link = json_element(list, &at)) {
        bool has_ended = json_text_at(link, "until", "", time, sizeof time)[0] != '\0';
        (void)show_time(time, now, until);
        (void)json_text_at(link, "from", "", time, sizeof time);
        (void)json_text_at(link, "why", "", why, sizeof why);
        (void)printf(
            "%s %s, %s to %s%s%s\n", shown == 0 ? "links     " : "          ",
            json_text_at(link, "gateway", "?", gateway, sizeof gateway), show_time(time, now, from),
            has_ended ? until : show_state(cli, json_text_at(link, "state", "unknown", state, 32)),
            why[0] != '\0' ? ": " : "", why);
        shown++;
    }
}

static void show_device(const struct cli *cli, struct slice d)
{
    char room[10][80];
    char now[40];
    char age[32];
    char why[300];
    char time[32];
    (void)json_text_at(d, "now", "", now, sizeof now);
    (void)printf("%s   %s", json_text_at(d, "name", "?", room[0], 80),
                 show_state(cli, json_text_at(d, "state", "unknown", room[1], 80)));
    const char *reason = json_text_at(d, "state_why", "", why, sizeof why);
    (void)printf("%s%s\n", reason[0] != '\0' ? ": " : "", reason);
    (void)printf("id         %s\n", json_text_at(d, "id", "?", room[0], 80));
    (void)printf("identity   %s, serial %s, model %s, by %s, since %s\n",
                 json_text_at(d, "identity", "?", room[0], 80),
                 json_text_at(d, "serial", "?", room[1], 80),
                 json_text_at(d, "model", "-", room[2], 80),
                 json_text_at(d, "manufacturer", "-", room[3], 80),
                 show_time(json_text_at(d, "created_at", "", room[4], 80), now, time));
    (void)printf("link       %s through %s, agent %s\n",
                 show_state(cli, json_text_at(d, "link", "unknown", room[2], 80)),
                 json_text_at(d, "gateway", "no gateway yet", room[0], 80),
                 json_text_at(d, "agent", "-", room[1], 80));
    (void)printf("seen       %s ago, boot %s, next message %s\n",
                 show_age(json_number_at(d, "last_seen_age_s", -1), age),
                 json_text_at(d, "boot", "-", room[0], 80),
                 json_text_at(d, "next_seq", "-", room[1], 80));
    (void)printf("messages   %s missing, %s lost, %s duplicates, %s refused\n",
                 json_text_at(d, "gaps_missing", "0", room[0], 80),
                 json_text_at(d, "lost", "0", room[1], 80),
                 json_text_at(d, "duplicates", "0", room[2], 80),
                 json_text_at(d, "dead_letters", "0", room[3], 80));
    show_gaps(d);
    (void)printf("clock      %s, offset %s s\n",
                 json_text_at(d, "clock.quality", "unknown", room[0], 80),
                 json_text_at(d, "clock.offset_s", "unknown", room[1], 80));
    show_certificates(d, now);
    show_links(cli, d, now);
}

int cmd_device_show(struct cli *cli)
{
    int exit = 0;
    struct slice body = {0};
    char target[API_TARGET_MAX] = "/devices/";
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    (void)snprintf(target, sizeof target, "/devices/%.200s", cli->args[0]);
    exit = api_get(api, target, &body);
    if (exit == CLI_DONE && cli->json) {
        (void)printf("%.*s\n", (int)body.len, (const char *)body.at);
    } else if (exit == CLI_DONE) {
        show_device(cli, body);
    }
    api_close(api);
    return exit;
}

/* ---- changes as they come ---- */

struct watching {
    struct cli *cli;
    long left;
};

static bool watch_event(void *context, const char *event, struct slice data)
{
    struct watching *w = context;
    char room[5][80];
    char age[32];
    if (strcmp(event, "device") != 0) {
        return true;
    }
    if (w->cli->json) {
        (void)printf("%.*s\n", (int)data.len, (const char *)data.at);
    } else {
        (void)printf("%-24s %s  %s  boot %s  %s missing  seen %s ago\n",
                     json_text_at(data, "name", "?", room[0], 80),
                     show_state(w->cli, json_text_at(data, "state", "unknown", room[1], 80)),
                     json_text_at(data, "gateway", "-", room[2], 80),
                     json_text_at(data, "boot", "-", room[3], 80),
                     json_text_at(data, "gaps_missing", "0", room[4], 80),
                     show_age(json_number_at(data, "last_seen_age_s", -1), age));
    }
    (void)fflush(stdout);
    return --w->left > 0;
}

int cmd_device_watch(struct cli *cli)
{
    int exit = 0;
    struct watching w = {.cli = cli};
    char target[API_TARGET_MAX] = "/events";
    if (!cli_number(cli, "count", 1, 1000000000, 1000000000, &w.left)) {
        return CLI_USAGE;
    }
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (cli->args_count > 0 && !api_parameter(target, sizeof target, "device", cli->args[0])) {
        exit = CLI_USAGE;
    } else {
        exit = api_events(api, target, watch_event, &w);
    }
    api_close(api);
    return exit;
}

/* ---- for other programs ---- */

static const char *const csv_fields[] = {
    "name",  "id",           "state",       "identity",  "model",
    "agent", "gateway",      "connected",   "last_seen", "last_seen_age_s",
    "boot",  "gaps_missing", "dead_letters"};

static void export_row(void *context, struct slice item)
{
    struct listing *l = context;
    if (!l->is_csv) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    static char rooms[COUNT_OF(csv_fields)][200];
    const char *cells[COUNT_OF(csv_fields)];
    for (size_t i = 0; i < COUNT_OF(csv_fields); i++) {
        cells[i] = json_text_at(item, csv_fields[i], "", rooms[i], sizeof rooms[i]);
    }
    show_csv(cells, COUNT_OF(csv_fields));
}

int cmd_device_export(struct cli *cli)
{
    int exit = 0;
    const char *format = cli_option_or(cli, "format", "ndjson");
    struct listing l = {.cli = cli, .is_csv = strcmp(format, "csv") == 0};
    char target[API_TARGET_MAX] = "/devices";
    if (!l.is_csv && strcmp(format, "ndjson") != 0) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "unknown format", "there are csv and ndjson",
                         "give one of them");
    }
    if (cli_option(cli, "query") != NULL
        && !api_parameter(target, sizeof target, "q", cli_option(cli, "query"))) {
        return CLI_USAGE;
    }
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (l.is_csv) {
        show_csv(csv_fields, COUNT_OF(csv_fields));
    }
    exit = api_each(api, target, 100000000, export_row, &l);
    api_close(api);
    return exit;
}
