/* `holdfast gateway`: what each gateway does, whom it serves, what it refused; and to empty one. */
#include "cmd/api.h"
#include "cmd/json_path.h"
#include "cmd/show.h"
#include "codec/http.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 500, CELL = SHOW_CELL_MAX };

static bool target_of(char target[API_TARGET_MAX], const char *name, const char *behind)
{
    struct writer w = writer_over(target, API_TARGET_MAX - 1);
    write_text(&w, "/gateways/");
    http_percent_encode(&w, slice_text(name));
    write_text(&w, behind);
    target[writer_ok(&w) ? w.len : 0] = '\0';
    return writer_ok(&w);
}

/* One question about the gateway that is the first argument; CLI_DONE: *body is the answer. */
static int ask(
    struct api *api, struct cli *cli, const char *behind, bool is_change, struct slice *body)
{
    char target[API_TARGET_MAX];
    if (!target_of(target, cli->args[0], behind)) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "the name is too long",
                         "names have at most 63 characters", "holdfast gateway list");
    }
    return is_change ? api_post(api, target, (struct slice){0}, body) : api_get(api, target, body);
}

static const char *bytes_of(double value, char room[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    if (value < 0) {
        return "-";
    }
    while (value >= 1024 && unit + 1 < COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(room, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return room;
}

static const char *offset_of(struct slice gateway, char room[32])
{
    double offset = json_number_at(gateway, "clock_offset_s", -1e9);
    if (offset < -1e8) {
        return "unknown";
    }
    (void)snprintf(room, 32, "%+.2f s", offset);
    return room;
}

static const char *rate_of(struct slice gateway, const char *member, char room[32])
{
    double rate = json_number_at(gateway, member, -1);
    if (rate < 0) {
        return "-";
    }
    (void)snprintf(room, 32, rate < 10 ? "%.1f" : "%.0f", rate);
    return room;
}

/* ---- list ---- */

struct listing {
    struct cli *cli;
    struct show_table table;
    long count;
};

/* A gateway that does not report is shown so, and what it said last is not shown as if it were now.
 */
static void list_row(void *context, struct slice item)
{
    struct listing *l = context;
    char room[8][CELL];
    char state[CELL];
    bool is_there =
        strcmp(json_text_at(item, "state", "unknown", state, sizeof state), "connected") == 0;
    l->count++;
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    const char *drain = json_text_at(item, "drain", "unknown", room[0], CELL);
    const char *cells[] = {
        json_text_at(item, "name", "?", room[1], CELL),
        show_state(l->cli, state),
        is_there ? drain : "unknown",
        is_there ? show_count(json_number_at(item, "sessions", 0), room[2]) : "?",
        is_there ? rate_of(item, "messages_per_s", room[3]) : "?",
        is_there ? rate_of(item, "refused_per_min", room[4]) : "?",
        is_there ? bytes_of(json_number_at(item, "lag_bytes", -1), room[5]) : "?",
        is_there ? show_age(json_number_at(item, "lag_age_s", 0), room[6]) : "?",
        is_there ? offset_of(item, room[7]) : "unknown",
    };
    show_row(&l->table, cells);
}

int cmd_gateway_list(struct cli *cli)
{
    static const char *const heads[] = {"gateway",     "state",  "drain",  "sessions", "msg/s",
                                        "refused/min", "unread", "oldest", "clock"};
    struct listing l = {
        .cli = cli,
        .table = {
            .columns = 9,
            .right = {[3] = true, [4] = true, [5] = true, [6] = true, [7] = true, [8] = true}}};
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (!cli->json) {
        show_row(&l.table, heads);
    }
    exit = api_each(api, "/gateways", 1000000, list_row, &l);
    if (!cli->json) {
        if (exit == CLI_DONE && l.count > 0) {
            show_print(cli, &l.table);
        }
        if (exit == CLI_DONE) {
            cli_say(cli,
                    l.count == 0   ? "no gateway has reported yet: holdfast run --role gateway"
                    : l.count == 1 ? "1 gateway"
                                   : "%ld gateways",
                    l.count);
        }
        free(l.table.cells);
    }
    api_close(api);
    return exit;
}

/* ---- show ---- */

static void show_refused(struct slice gateway)
{
    size_t at = 0;
    char reason[80];
    char count[32];
    int shown = 0;
    struct slice list = json_at(gateway, "refused");
    for (struct slice r = json_element(list, &at); r.len > 0; r = json_element(list, &at)) {
        (void)printf("%-10s %s %s\n", shown++ == 0 ? "refused" : "",
                     show_count(json_number_at(r, "total", 0), count),
                     json_text_at(r, "reason", "?", reason, sizeof reason));
    }
    if (shown == 0) {
        (void)printf("%-10s nothing since it started\n", "refused");
    }
}

static void show_gateway(const struct cli *cli, struct slice g)
{
    char name[80];
    char state[32];
    char drain[32];
    char a[32];
    char b[32];
    char c[32];
    const char *is = json_text_at(g, "state", "unknown", state, sizeof state);
    double age = json_number_at(g, "reported_age_s", -1);
    (void)printf("gateway    %s\nstate      %s", json_text_at(g, "name", "?", name, sizeof name),
                 show_state(cli, is));
    if (strcmp(is, "connected") != 0) {
        (void)printf(age >= 0 ? "   it reported last %s ago; what is below was so then"
                              : "   it has not reported since control started",
                     show_age(age, a));
    }
    (void)printf("\ndrain      %s\n", json_text_at(g, "drain", "unknown", drain, sizeof drain));
    (void)printf("sessions   %s of %s devices, %s connections\n",
                 show_count(json_number_at(g, "sessions", 0), a),
                 show_count(json_number_at(g, "devices", 0), b),
                 show_count(json_number_at(g, "connections", 0), c));
    (void)printf("messages   %s, %s a second\n", show_count(json_number_at(g, "messages", 0), a),
                 rate_of(g, "messages_per_s", b));
    (void)printf("spool      %s of %s\n", bytes_of(json_number_at(g, "spool_bytes", -1), a),
                 bytes_of(json_number_at(g, "spool_budget", -1), b));
    (void)printf("unread     %s by ingest, the oldest %s\n",
                 bytes_of(json_number_at(g, "lag_bytes", -1), a),
                 show_age(json_number_at(g, "lag_age_s", 0), b));
    (void)printf("clock      %s, %s\n", offset_of(g, a),
                 json_text_at(g, "clock_quality", "unknown", drain, sizeof drain));
    (void)printf("grants     number %.0f%s\n", json_number_at(g, "grants_number", 0),
                 json_true_at(g, "grants_in_force") ? ", the newest" : "");
    show_refused(g);
}

int cmd_gateway_show(struct cli *cli)
{
    struct slice body = {0};
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = ask(api, cli, "", false, &body);
    if (exit == CLI_DONE && cli->json) {
        (void)printf("%.*s\n", (int)body.len, (const char *)body.at);
    } else if (exit == CLI_DONE) {
        show_gateway(cli, body);
    }
    api_close(api);
    return exit;
}

/* ---- refusals, sessions ---- */

static void refusal_row(void *context, struct slice item)
{
    struct listing *l = context;
    char room[6][200];
    l->count++;
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    (void)printf("%s  %s %s  %s\n  %s\n  certificate %s\n",
                 json_text_at(item, "at", "?", room[0], 200),
                 json_text_at(item, "reason", "?", room[1], 200),
                 json_text_at(item, "code", "", room[2], 200),
                 json_text_at(item, "address", "?", room[3], 200),
                 json_text_at(item, "why", "", room[4], 200),
                 json_text_at(item, "certificate", "none was shown", room[5], 200));
}

static void session_row(void *context, struct slice item)
{
    struct listing *l = context;
    char room[7][CELL];
    l->count++;
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    const char *id = json_text_at(item, "owner", "?", room[0], CELL);
    id = json_text_at(item, "application", id, room[0], CELL);
    const char *cells[] = {
        json_text_at(item, "device", id, room[1], CELL),
        json_text_at(item, "client_id", "?", room[2], CELL),
        json_text_at(item, "version", "?", room[3], CELL),
        json_text_at(item, "address", "?", room[4], CELL),
        json_text_at(item, "messages", "?", room[5], CELL),
        json_text_at(item, "inflight", "?", room[6], CELL),
    };
    show_row(&l->table, cells);
}

static int list_of(struct cli *cli,
                   const char *behind,
                   void (*row)(void *context, struct slice item),
                   struct listing *l,
                   long limit)
{
    char target[API_TARGET_MAX];
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = target_of(target, cli->args[0], behind)
               ? api_each(api, target, limit, row, l)
               : cli_error(cli, CLI_USAGE, "HF-1101", "the name is too long",
                           "names have at most 63 characters", "holdfast gateway list");
    api_close(api);
    return exit;
}

int cmd_gateway_refusals(struct cli *cli)
{
    struct listing l = {.cli = cli};
    int exit = list_of(cli, "/refusals", refusal_row, &l, 256);
    if (exit == CLI_DONE && !cli->json && l.count == 0) {
        cli_say(cli, "it has refused nothing");
    }
    return exit;
}

int cmd_gateway_sessions(struct cli *cli)
{
    static const char *const heads[] = {"device",  "client id", "mqtt",
                                        "address", "messages",  "in flight"};
    struct listing l = {.cli = cli, .table = {.columns = 6, .right = {[4] = true, [5] = true}}};
    long limit = 0;
    if (!cli_number(cli, "limit", 1, 1000000, 1000000, &limit)) {
        return CLI_USAGE;
    }
    if (!cli->json) {
        show_row(&l.table, heads);
    }
    int exit = list_of(cli, "/sessions", session_row, &l, limit);
    if (!cli->json) {
        if (exit == CLI_DONE && l.count > 0) {
            show_print(cli, &l.table);
        }
        if (exit == CLI_DONE) {
            cli_say(cli, l.count == 1 ? "1 session" : "%ld sessions", l.count);
        }
        free(l.table.cells);
    }
    return exit;
}

/* ---- trace ---- */

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

static void print_event(const struct cli *cli, struct slice e)
{
    char room[8][200];
    if (cli->json) {
        (void)printf("%.*s\n", (int)e.len, (const char *)e.at);
        return;
    }
    double count = json_number_at(e, "count", 1);
    const char *at = json_text_at(e, "at", "?", room[0], 200);
    (void)printf("%.12s  %s %-10s", strlen(at) > 11 ? at + 11 : at,
                 strcmp(json_text_at(e, "from", "?", room[1], 200), "device") == 0 ? "->" : "<-",
                 json_text_at(e, "what", "?", room[2], 200));
    if (json_number_at(e, "packet_id", 0) > 0) {
        (void)printf(" id %.0f", json_number_at(e, "packet_id", 0));
    }
    if (count > 1) {
        (void)printf(" and %.0f more", count - 1);
    }
    if (json_text_at(e, "topic", "", room[3], 200)[0] != '\0') {
        (void)printf(" %s", room[3]);
    }
    if (strcmp(room[2], "PUBLISH") == 0) {
        (void)printf(" QoS %.0f, %.0f bytes", json_number_at(e, "qos", 0),
                     json_number_at(e, "bytes", 0));
    }
    if (json_text_at(e, "reason_name", NULL, room[4], 200) != NULL) {
        (void)printf(" %s", room[4]);
    }
    (void)printf("\n");
}

/* What came since event `*after`; CLI_DONE, and *left_s of the watch. */
static int follow(struct api *api, struct cli *cli, double *after, double *left_s)
{
    struct slice body = {0};
    char behind[80];
    size_t at = 0;
    (void)snprintf(behind, sizeof behind, "/trace?after=%.0f", *after);
    int exit = ask(api, cli, behind, false, &body);
    if (exit != CLI_DONE) {
        return exit;
    }
    if (json_number_at(body, "missed", 0) > 0) {
        cli_say(cli, "%.0f messages came too fast to be kept", json_number_at(body, "missed", 0));
    }
    struct slice items = json_at(body, "items");
    for (struct slice e = json_element(items, &at); e.len > 0; e = json_element(items, &at)) {
        print_event(cli, e);
    }
    (void)fflush(stdout);
    *after = json_number_at(body, "last", *after);
    *left_s = json_number_at(body, "left_s", 0);
    return CLI_DONE;
}

int cmd_gateway_trace(struct cli *cli)
{
    char behind[API_TARGET_MAX / 2] = "/trace";
    char number[24];
    struct slice body = {0};
    long seconds = 0;
    double after = 0;
    double left_s = 1;
    int exit = 0;
    if (!cli_number(cli, "seconds", 1, 600, 60, &seconds)) {
        return CLI_USAGE;
    }
    (void)snprintf(number, sizeof number, "%ld", seconds);
    if (!api_parameter(behind, sizeof behind, "device", cli->args[1])
        || !api_parameter(behind, sizeof behind, "seconds", number)) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "the device's name is too long",
                         "names have at most 63 characters", "holdfast device list");
    }
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = ask(api, cli, behind, true, &body);
    struct sigaction action = {.sa_handler = interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    while (exit == CLI_DONE && left_s > 0 && is_interrupted == 0) {
        exit = follow(api, cli, &after, &left_s);
        struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
        if (exit == CLI_DONE && left_s > 0) {
            (void)nanosleep(&pause, NULL); /* between looks at what it has kept */
        }
    }
    api_close(api);
    return exit;
}

/* ---- drain ---- */

static void print_state(struct cli *cli, struct slice body)
{
    char drain[32];
    char a[32];
    char b[32];
    if (cli->json) {
        (void)printf("%.*s\n", (int)body.len, (const char *)body.at);
        return;
    }
    (void)printf("%s  %s   %s connections, %s not read by ingest\n", cli->args[0],
                 json_text_at(body, "drain", "?", drain, sizeof drain),
                 show_count(json_number_at(body, "connections", 0), a),
                 bytes_of(json_number_at(body, "unread_bytes", 0), b));
}

/* How many sessions leave is said before they do. */
static int confirm(struct api *api, struct cli *cli)
{
    struct slice body = {0};
    char line[16] = "";
    int exit = ask(api, cli, "", false, &body);
    if (exit != CLI_DONE || cli->yes) {
        return exit;
    }
    double sessions = json_number_at(body, "sessions", 0);
    (void)fprintf(stderr,
                  "%.0f sessions leave %s for other gateways; no new one begins there until "
                  "holdfast gateway drain %s --undo. Go on? [y/N] ",
                  sessions, cli->args[0], cli->args[0]);
    if (fgets(line, sizeof line, stdin) == NULL || (line[0] != 'y' && line[0] != 'Y')) {
        return cli_error(cli, CLI_REFUSED, "HF-1101", "nothing was done", "it was not confirmed",
                         "give --yes where nobody can be asked");
    }
    return CLI_DONE;
}

int cmd_gateway_drain(struct cli *cli)
{
    bool is_undo = cli_option(cli, "undo") != NULL;
    struct slice body = {0};
    int exit = 0;
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = is_undo ? CLI_DONE : confirm(api, cli);
    if (exit == CLI_DONE) {
        exit = ask(api, cli, is_undo ? "/undrain" : "/drain", true, &body);
    }
    if (exit == CLI_DONE) {
        print_state(cli, body);
    }
    bool waits = !is_undo && cli_option(cli, "wait") != NULL;
    char word[32] = "";
    struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    while (waits && exit == CLI_DONE && strcmp(word, "drained") != 0) {
        (void)nanosleep(&pause, NULL); /* between looks at what it reports once a second */
        exit = ask(api, cli, "", false, &body);
        (void)json_text_at(body, "drain", "unknown", word, sizeof word);
    }
    if (waits && exit == CLI_DONE) {
        cli_say(cli, "drained: nobody is connected, and ingest has read all that it took");
    }
    api_close(api);
    return exit;
}
