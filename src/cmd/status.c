#include "cmd/api.h"
#include "cmd/json_path.h"
#include "cmd/show.h"

#include <stdlib.h>
#include <string.h>

static void print_fleet(const struct cli *cli, struct slice body)
{
    static const char *const states[] = {"healthy", "degraded", "failing", "unknown",
                                         "quarantined"};
    char number[32];
    (void)printf("fleet      %s devices",
                 show_count(json_number_at(body, "fleet.total", 0), number));
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "fleet.states.%s", states[i]);
        double count = json_number_at(body, path, 0);
        if (count > 0 || i == 0) {
            const char *state = show_state(cli, states[i]);
            const char *blank = strchr(state, ' ');
            (void)printf("  %.*s %s %s", (int)(blank - state), state, show_count(count, number),
                         states[i]);
        }
    }
    (void)printf("\n");
}

static void print_gateways(struct slice body)
{
    size_t at = 0;
    int connected = 0;
    int total = 0;
    char name[64];
    char state[32];
    char silent[200] = "";
    struct slice gateways = json_at(body, "gateways");
    for (struct slice g = json_element(gateways, &at); g.len > 0; g = json_element(gateways, &at)) {
        total++;
        if (strcmp(json_text_at(g, "state", "unknown", state, sizeof state), "connected") == 0) {
            connected++;
        } else if (strlen(silent) < 120) {
            (void)snprintf(silent + strlen(silent), sizeof silent - strlen(silent), "  %s %s %s",
                           show_shape(state), json_text_at(g, "name", "?", name, sizeof name),
                           state);
        }
    }
    (void)printf("gateways   %d of %d connected%s\n", connected, total, silent);
}

static void print_ingest(struct slice body)
{
    char a[32];
    char b[32];
    double lost = json_number_at(body, "ingest.lost", -1);
    double lag = json_number_at(body, "ingest.lag_p99_s", -1);
    (void)printf("ingest     %s msg/s",
                 show_count(json_number_at(body, "ingest.messages_per_s", 0), a));
    if (lag >= 0) {
        (void)printf("   lag p99 %.*f s", lag < 1 ? 3 : 1, lag);
    }
    (void)printf("   %s duplicates", show_count(json_number_at(body, "ingest.duplicates", 0), b));
    if (lost >= 0) {
        (void)printf("   %s lost", show_count(lost, a));
    }
    struct slice dead = json_at(body, "ingest.dead_letters");
    size_t at = 0;
    char name[80];
    struct slice value;
    double refused = 0;
    while (json_member(dead, &at, name, sizeof name, &value)) {
        refused += json_number_at(value, "", 0);
    }
    (void)printf("   %s refused\n", show_count(refused, b));
}

/* The keeper renews them long before their end: one that ends soon could not be renewed. */
static void print_servers(struct slice body)
{
    size_t at = 0;
    char name[64];
    char left[32];
    const char *title = "servers   ";
    struct slice servers = json_at(body, "server_certificates");
    for (struct slice s = json_element(servers, &at); s.len > 0; s = json_element(servers, &at)) {
        double left_s = json_number_at(s, "left_s", 0);
        if (!json_true_at(s, "ends_soon")) {
            continue;
        }
        (void)printf("%s %s pki/%s.pem ", title, show_shape(left_s > 0 ? "degraded" : "failing"),
                     json_text_at(s, "name", "?", name, sizeof name));
        if (left_s > 0) {
            (void)printf("ends in %s", show_age(left_s, left));
        } else {
            (void)printf("has expired");
        }
        (void)printf(": holdfast check says what to do\n");
        title = "          ";
    }
}

int cmd_status(struct cli *cli)
{
    int exit = 0;
    struct slice body = {0};
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = api_get(api, "/status", &body);
    if (exit == CLI_DONE && cli->json) {
        (void)printf("%.*s\n", (int)body.len, (const char *)body.at);
    } else if (exit == CLI_DONE) {
        char version[32];
        char host[100];
        char now[40];
        char time[32];
        char up[32];
        char number[32];
        (void)json_text_at(body, "now", "", now, sizeof now);
        (void)printf("holdfast %s on %s   %s   up %s\n",
                     json_text_at(body, "version", "?", version, sizeof version),
                     json_text_at(body, "host", "?", host, sizeof host), show_time(now, now, time),
                     show_age(json_number_at(body, "up_s", -1), up));
        print_fleet(cli, body);
        print_gateways(body);
        print_ingest(body);
        print_servers(body);
        double violations = json_number_at(body, "invariants.violations", -1);
        (void)printf("invariants %s violations",
                     violations < 0 ? "?" : show_count(violations, number));
        (void)printf(" in %s evaluations\n",
                     show_count(json_number_at(body, "invariants.evaluations", 0), number));
        double traces = json_number_at(body, "invariants.traces", 0);
        if (traces > 0) {
            (void)printf("traces     %s of something that broke: holdfast check names the files\n",
                         show_count(traces, number));
        }
        if (json_number_at(body, "fleet.states.unknown", 0) > 0) {
            (void)printf("next       holdfast device list --query state:unknown\n");
        }
    }
    api_close(api);
    return exit;
}
