#include "cmd/api.h"
#include "cmd/json_path.h"
#include "cmd/show.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

static bool add_range(struct cli *cli, char *target)
{
    static const char *const names[] = {"from", "to"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *value = cli_option(cli, names[i]);
        if (value != NULL && !api_parameter(target, API_TARGET_MAX, names[i], value)) {
            return false;
        }
    }
    return true;
}

struct listing {
    struct cli *cli;
    struct show_table table;
};

/* ---- keys ---- */

static void key_row(void *context, struct slice item)
{
    struct listing *l = context;
    char room[8][64];
    char value[32];
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    (void)snprintf(value, sizeof value, "%.6g", json_number_at(item, "last_value", 0));
    const char *cells[] = {
        json_text_at(item, "stream", "?", room[0], 64),
        json_text_at(item, "name", "?", room[1], 64),
        value,
        json_text_at(item, "unit", "", room[2], 64),
        json_text_at(item, "count", "0", room[3], 64),
        json_text_at(item, "last", "-", room[4], 64),
        json_text_at(item, "provenance", "?", room[5], 64),
    };
    show_row(&l->table, cells);
}

int cmd_data_keys(struct cli *cli)
{
    static const char *const heads[] = {"stream", "name",    "last value", "unit",
                                        "points", "last at", "vouched by"};
    int exit = 0;
    char target[API_TARGET_MAX] = "/data/series";
    struct listing l = {.cli = cli, .table = {.columns = 7, .right = {[2] = true, [4] = true}}};
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (!cli->json) {
        show_row(&l.table, heads);
    }
    exit = api_parameter(target, sizeof target, "device", cli->args[0])
               ? api_each(api, target, 100000, key_row, &l)
               : CLI_USAGE;
    if (!cli->json && exit == CLI_DONE) {
        show_print(cli, &l.table);
    }
    free(l.table.cells);
    api_close(api);
    return exit;
}

/* ---- query ---- */

static void point_row(void *context, struct slice item)
{
    struct listing *l = context;
    char time[40];
    char value[64];
    char quality[32];
    char provenance[32];
    if (l->cli->json) {
        (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        return;
    }
    (void)printf("%s  %12s  %s, %s\n", json_text_at(item, "time", "?", time, sizeof time),
                 json_text_at(item, "value", "-", value, sizeof value),
                 json_text_at(item, "quality", "?", quality, sizeof quality),
                 json_text_at(item, "provenance", "?", provenance, sizeof provenance));
}

static int print_buckets(struct cli *cli, struct slice body)
{
    static const char *const names[] = {"t", "min", "mean", "max", "count"};
    struct slice arrays[COUNT_OF(names)];
    size_t at[COUNT_OF(names)] = {0};
    if (cli->json) {
        (void)printf("%.*s\n", (int)body.len, (const char *)body.at);
        return CLI_DONE;
    }
    static const char *const heads[] = {"from (ms)", "min", "mean", "max", "points"};
    struct show_table table = {.columns = 5, .right = {true, true, true, true, true}};
    show_row(&table, heads);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        arrays[i] = json_at(body, names[i]);
    }
    for (;;) {
        char cells[COUNT_OF(names)][40];
        const char *row[COUNT_OF(names)];
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            struct slice value = json_element(arrays[i], &at[i]);
            if (value.len == 0) {
                show_print(cli, &table);
                return CLI_DONE;
            }
            row[i] = json_text_at(value, "", "-", cells[i], sizeof cells[i]);
        }
        show_row(&table, row);
    }
}

int cmd_data_query(struct cli *cli)
{
    int exit = 0;
    long limit = 0;
    const char *buckets = cli_option(cli, "buckets");
    char target[API_TARGET_MAX];
    struct listing l = {.cli = cli};
    struct slice body = {0};
    if (!cli_number(cli, "limit", 1, 100000000, 1000, &limit)) {
        return CLI_USAGE;
    }
    (void)snprintf(target, sizeof target, "/data/%s", buckets != NULL ? "buckets" : "points");
    if (!api_parameter(target, sizeof target, "device", cli->args[0])
        || !api_parameter(target, sizeof target, "stream", cli->args[1])
        || !api_parameter(target, sizeof target, "name", cli->args[2]) || !add_range(cli, target)
        || (buckets != NULL && !api_parameter(target, sizeof target, "buckets", buckets))) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "the arguments are too long",
                         "a request has 2,000 bytes", "shorten them");
    }
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    if (buckets != NULL) {
        exit = api_get(api, target, &body);
        exit = exit == CLI_DONE ? print_buckets(cli, body) : exit;
    } else {
        exit = api_each(api, target, limit, point_row, &l);
    }
    api_close(api);
    return exit;
}

/* ---- tail ---- */

struct tailing {
    struct cli *cli;
    long left;
};

static bool tail_event(void *context, const char *event, struct slice data)
{
    struct tailing *t = context;
    char room[6][64];
    size_t at = 0;
    if (strcmp(event, "point") != 0) {
        return true;
    }
    struct slice items = json_at(data, "items");
    for (struct slice item = json_element(items, &at); item.len > 0 && t->left > 0;
         item = json_element(items, &at)) {
        if (t->cli->json) {
            (void)printf("%.*s\n", (int)item.len, (const char *)item.at);
        } else {
            (void)printf("%s  %s %s  %s %s\n", json_text_at(item, "time", "?", room[0], 64),
                         json_text_at(item, "stream", "?", room[1], 64),
                         json_text_at(item, "name", "?", room[2], 64),
                         json_text_at(item, "value", "-", room[3], 64),
                         json_text_at(item, "unit", "", room[4], 64));
        }
        t->left--;
    }
    (void)fflush(stdout);
    return t->left > 0;
}

int cmd_data_tail(struct cli *cli)
{
    int exit = 0;
    struct tailing t = {.cli = cli};
    char target[API_TARGET_MAX] = "/events";
    if (!cli_number(cli, "count", 1, 1000000000, 1000000000, &t.left)
        || !api_parameter(target, sizeof target, "device", cli->args[0])) {
        return CLI_USAGE;
    }
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = api_events(api, target, tail_event, &t);
    api_close(api);
    return exit;
}

/* ---- export ---- */

struct series {
    char stream[80], name[80], unit[32], id[32];
};

struct exporting {
    struct cli *cli;
    bool is_csv;
    struct series *list;
    size_t count, cap;
    const struct series *now;
};

static void gather_series(void *context, struct slice item)
{
    struct exporting *e = context;
    const char *stream = cli_option(e->cli, "stream");
    const char *name = cli_option(e->cli, "name");
    struct series s = {0};
    (void)json_text_at(item, "id", "", s.id, sizeof s.id);
    (void)json_text_at(item, "stream", "", s.stream, sizeof s.stream);
    (void)json_text_at(item, "name", "", s.name, sizeof s.name);
    (void)json_text_at(item, "unit", "", s.unit, sizeof s.unit);
    if ((stream != NULL && strcmp(stream, s.stream) != 0)
        || (name != NULL && strcmp(name, s.name) != 0)) {
        return;
    }
    if (e->count == e->cap) {
        e->cap = e->cap == 0 ? 32 : e->cap * 2;
        e->list = realloc(e->list, e->cap * sizeof *e->list);
        if (e->list == NULL) {
            abort();
        }
    }
    e->list[e->count++] = s;
}

static const char *const export_fields[] = {"stream", "name",    "unit",      "time",
                                            "value",  "quality", "provenance"};

static void export_point(void *context, struct slice item)
{
    struct exporting *e = context;
    char time[40];
    char value[64];
    char quality[32];
    char provenance[32];
    const char *cells[] = {
        e->now->stream,
        e->now->name,
        e->now->unit,
        json_text_at(item, "time", "", time, sizeof time),
        json_text_at(item, "value", "", value, sizeof value),
        json_text_at(item, "quality", "", quality, sizeof quality),
        json_text_at(item, "provenance", "", provenance, sizeof provenance),
    };
    if (e->is_csv) {
        show_csv(cells, COUNT_OF(cells));
        return;
    }
    uint8_t room[1024];
    struct writer w = writer_over(room, sizeof room);
    struct json_writer json = json_writer_to(&w);
    json_object(&json);
    json_put_u64(&json, "v", 1);
    for (size_t i = 0; i < COUNT_OF(cells); i++) {
        json_name(&json, export_fields[i]);
        if (i == 4) {
            json_raw(&json, slice_text(cells[i][0] != '\0' ? cells[i] : "null"));
        } else {
            json_text(&json, cells[i]);
        }
    }
    json_object_end(&json);
    (void)printf("%.*s\n", (int)w.len, (const char *)w.at);
}

int cmd_data_export(struct cli *cli)
{
    int exit = 0;
    const char *format = cli_option_or(cli, "format", "csv");
    struct exporting e = {.cli = cli, .is_csv = strcmp(format, "csv") == 0};
    char target[API_TARGET_MAX] = "/data/series";
    if (!e.is_csv && strcmp(format, "ndjson") != 0) {
        return cli_error(cli, CLI_USAGE, "HF-1101", "unknown format", "there are csv and ndjson",
                         "give one of them");
    }
    struct api *api = api_open(cli, &exit);
    if (api == NULL) {
        return exit;
    }
    exit = api_parameter(target, sizeof target, "device", cli->args[0])
               ? api_each(api, target, 100000, gather_series, &e)
               : CLI_USAGE;
    if (exit == CLI_DONE && e.is_csv) {
        show_csv(export_fields, COUNT_OF(export_fields));
    }
    for (size_t i = 0; i < e.count && exit == CLI_DONE; i++) {
        (void)snprintf(target, sizeof target, "/data/points");
        e.now = &e.list[i];
        exit =
            api_parameter(target, sizeof target, "series", e.list[i].id) && add_range(cli, target)
                ? api_each(api, target, 1000000000, export_point, &e)
                : CLI_USAGE;
    }
    free(e.list);
    api_close(api);
    return exit;
}
