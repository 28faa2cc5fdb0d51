#include "role/config.h"

#include "base/nearest.h"
#include "role/config_schema.h"
#include "role/confine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While a file is read: what each key was set by, and where we are. */
struct reading {
    const char *file;
    struct config *config;
    struct config_fault *fault;
    const char *table; /* of the config_schema; NULL before the first heading */
    uint32_t gateway;  /* index of the one being read */
    uint32_t tables_seen;
    uint32_t application_keys; /* seen of the [[application]] being read */
};

static const char *const tables[] = {"site",   "console", "devices", "metrics", "ca",
                                     "enroll", "bus",     "store",   "gateway", "application"};

static bool complain(struct reading *r,
                     const char *code,
                     uint32_t line,
                     uint32_t column,
                     const char *what,
                     const char *why,
                     const char *todo)
{
    r->fault->code = code;
    (void)snprintf(r->fault->what, sizeof r->fault->what, "%s:%u:%u: %s", r->file, line, column,
                   what);
    (void)snprintf(r->fault->why, sizeof r->fault->why, "%s", why);
    (void)snprintf(r->fault->todo, sizeof r->fault->todo, "%s", todo);
    return false;
}

/* ---- one entry of the file ---- */

static bool begin_application(struct reading *r, const struct toml_entry *entry)
{
    if (r->config->applications_count == CONFIG_APPLICATIONS_MAX) {
        return complain(r, "HF-1007", entry->line, entry->column, "too many applications",
                        "the configuration has at most 64",
                        "give the others their grants by command: holdfast grant NAME");
    }
    r->config->applications[r->config->applications_count++] = (struct grant){0};
    r->application_keys = 0;
    return true;
}

static bool read_application_key(struct reading *r, const struct toml_entry *entry)
{
    static const char *const keys[] = {"name", "publish", "subscribe", "client_ids"};
    struct grant *grant = &r->config->applications[r->config->applications_count - 1];
    const char *near = nearest_word(entry->name, keys, COUNT_OF(keys));
    const char *wrong = NULL;
    bool is_known = false;
    char what[200];
    char todo[120];
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        is_known = is_known || slice_is_text(entry->name, keys[i]);
    }
    (void)snprintf(
        what, sizeof what, "%s \"%.*s\" in [application]", is_known ? "value of" : "unknown key",
        (int)(entry->name.len > 60 ? 60 : entry->name.len), (const char *)entry->name.at);
    if (is_known) {
        return grant_take_key(entry, grant, &r->application_keys, &wrong)
               || complain(r, "HF-1006", entry->value_line, entry->value_column, what, wrong,
                           "correct it; nothing was started");
    }
    (void)snprintf(todo, sizeof todo, near ? "did you mean \"%s\"? nothing was started" : "%s",
                   near ? near : "remove it; nothing was started");
    return complain(r, "HF-1004", entry->line, entry->column, what,
                    "0.1.0 does not know this key, and unknown keys are never ignored", todo);
}

static bool read_table(struct reading *r, const struct toml_entry *entry)
{
    char what[200];
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        if (!slice_is_text(entry->name, tables[i])) {
            continue;
        }
        bool is_application = strcmp(tables[i], "application") == 0;
        bool many = is_application || strcmp(tables[i], "gateway") == 0;
        if (entry->kind == TOML_TABLE_ITEM && !many) {
            (void)snprintf(what, sizeof what, "[[%s]] may stand once", tables[i]);
            return complain(r, "HF-1005", entry->line, entry->column, what,
                            "only gateways and applications come in numbers",
                            "write it with one pair of brackets");
        }
        if ((r->tables_seen >> i & 1) != 0 && entry->kind == TOML_TABLE) {
            (void)snprintf(what, sizeof what, "a second [%s]", tables[i]);
            return complain(r, "HF-1005", entry->line, entry->column, what,
                            "the same table twice would hide one of the two",
                            is_application ? "write [[application]] for each of several"
                            : many         ? "write [[gateway]] for each of several gateways"
                                           : "join the two");
        }
        r->tables_seen |= 1u << i;
        r->table = tables[i];
        if (is_application) {
            return begin_application(r, entry);
        }
        if (many && r->config->gateways_count == CONFIG_GATEWAYS_MAX) {
            return complain(r, "HF-1007", entry->line, entry->column, "too many gateways",
                            "one machine runs at most 16",
                            "run the others on machines of their own");
        }
        if (many) {
            r->gateway = r->config->gateways_count++;
        }
        return true;
    }
    (void)snprintf(what, sizeof what, "unknown table [%.*s]",
                   (int)(entry->name.len > 60 ? 60 : entry->name.len),
                   (const char *)entry->name.at);
    const char *near = nearest_word(entry->name, tables, COUNT_OF(tables));
    char todo[100];
    (void)snprintf(todo, sizeof todo, near ? "did you mean [%s]? nothing was started" : "%s",
                   near ? near : "remove it; nothing was started");
    return complain(r, "HF-1003", entry->line, entry->column, what,
                    "0.1.0 does not know this table, and unknown ones are never ignored", todo);
}

static const struct config_row *find_row(const char *table, struct slice key)
{
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        if (strcmp(config_schema[i].table, table) == 0
            && slice_is_text(key, config_schema[i].key)) {
            return &config_schema[i];
        }
    }
    return NULL;
}

static bool unknown_key(struct reading *r, const struct toml_entry *entry)
{
    const char *keys[CONFIG_ROWS];
    size_t count = 0;
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        if (strcmp(config_schema[i].table, r->table) == 0) {
            keys[count++] = config_schema[i].key;
        }
    }
    const char *near = nearest_word(entry->name, keys, count);
    char what[200];
    char todo[120];
    (void)snprintf(what, sizeof what, "unknown key \"%.*s\" in [%s]",
                   (int)(entry->name.len > 60 ? 60 : entry->name.len), (const char *)entry->name.at,
                   r->table);
    (void)snprintf(todo, sizeof todo, near ? "did you mean \"%s\"? nothing was started" : "%s",
                   near ? near : "remove it; nothing was started");
    return complain(r, "HF-1004", entry->line, entry->column, what,
                    "0.1.0 does not know this key, and unknown keys are never ignored", todo);
}

static bool wrong_value(struct reading *r,
                        const struct config_row *row,
                        const struct toml_entry *entry,
                        enum config_set how)
{
    char what[200];
    char why[200];
    (void)snprintf(what, sizeof what, "%s of [%s] %s", row->key, row->table,
                   how == CONFIG_OUT_OF_RANGE ? "is out of range" : "has the wrong form");
    if (how != CONFIG_OUT_OF_RANGE) {
        (void)snprintf(why, sizeof why, "it must be %s", config_wanted(row->kind));
    } else if (row->kind == VALUE_TEXT || row->kind == VALUE_LIST) {
        (void)snprintf(why, sizeof why, "its length must be %llu to %llu",
                       (unsigned long long)row->least, (unsigned long long)row->most);
    } else {
        (void)snprintf(why, sizeof why, "it must be %llu to %llu %s",
                       (unsigned long long)row->least, (unsigned long long)row->most,
                       row->kind == VALUE_DURATION ? "milliseconds"
                       : row->kind == VALUE_SIZE   ? "bytes"
                                                   : "in all");
    }
    return complain(r, how == CONFIG_OUT_OF_RANGE ? "HF-1007" : "HF-1006", entry->value_line,
                    entry->value_column, what, why, "correct it; nothing was started");
}

static bool read_list(struct reading *r,
                      const struct config_row *row,
                      const struct toml_entry *entry)
{
    struct config_list list = {0};
    struct toml items;
    struct toml_entry item;
    if (entry->kind != TOML_ARRAY) {
        return wrong_value(r, row, entry, CONFIG_WRONG_FORM);
    }
    toml_array_init(&items, entry);
    while (toml_array_next(&items, &item) == TOML_OK) {
        uint8_t room[CONFIG_TEXT_MAX];
        struct writer w = writer_over(room, sizeof room - 1);
        if (!toml_string(&item, &w) || !config_list_add(&list, writer_slice(&w))) {
            return wrong_value(r, row, &item, CONFIG_WRONG_FORM);
        }
    }
    if (row->most > 0 && (list.count < row->least || list.count > row->most)) {
        return wrong_value(r, row, entry, CONFIG_OUT_OF_RANGE);
    }
    memcpy(config_place_of(r->config, r->gateway, row), &list, sizeof list);
    return true;
}

static bool read_key(struct reading *r, const struct toml_entry *entry)
{
    if (r->table == NULL) {
        return complain(r, "HF-1004", entry->line, entry->column, "a key before the first [table]",
                        "every key belongs to a table", "put it below its [table]");
    }
    if (strcmp(r->table, "application") == 0) {
        return read_application_key(r, entry);
    }
    const struct config_row *row = find_row(r->table, entry->name);
    if (row == NULL) {
        return unknown_key(r, entry);
    }
    uint8_t *origin = config_origin_of(r->config, r->gateway, row);
    if (*origin != CONFIG_DEFAULT) {
        char what[200];
        (void)snprintf(what, sizeof what, "\"%s\" stands twice in [%s]", row->key, row->table);
        return complain(r, "HF-1005", entry->line, entry->column, what,
                        "one of the two would be ignored", "keep the one you mean");
    }
    *origin = CONFIG_FILE;
    if (row->kind == VALUE_LIST) {
        return read_list(r, row, entry);
    }
    uint8_t room[CONFIG_TEXT_MAX];
    struct writer w = writer_over(room, sizeof room - 1);
    struct config_value value = {.kind = entry->kind, .integer = entry->integer};
    if (entry->kind == TOML_STRING) {
        if (!toml_string(entry, &w)) {
            return wrong_value(r, row, entry, CONFIG_WRONG_FORM);
        }
        value.text = writer_slice(&w);
    }
    enum config_set how =
        config_set_value(row, config_place_of(r->config, r->gateway, row), &value);
    return how == CONFIG_SET || wrong_value(r, row, entry, how);
}

/* ---- what only all values together can tell ---- */

bool config_url(const char *url, char scheme[16], char address[CONFIG_TEXT_MAX])
{
    const char *mark = strstr(url, "://");
    size_t scheme_len = mark == NULL ? 0 : (size_t)(mark - url);
    const char *colon = strrchr(url, ':');
    if (scheme_len == 0 || scheme_len > 15 || colon == mark || colon[1] == '\0' || strlen(colon) > 6
        || strlen(mark + 3) >= CONFIG_TEXT_MAX
        || strspn(colon + 1, "0123456789") != strlen(colon + 1) || colon == mark + 3
        || strtol(colon + 1, NULL, 10) > 65535) {
        return false;
    }
    (void)snprintf(scheme, 16, "%.*s", (int)scheme_len, url);
    (void)snprintf(address, CONFIG_TEXT_MAX, "%s", mark + 3);
    return true;
}

static bool check_url(
    struct reading *r, const char *key, const char *url, const char *one, const char *other)
{
    char scheme[16];
    char address[CONFIG_TEXT_MAX];
    if (config_url(url, scheme, address)
        && (strcmp(scheme, one) == 0 || (other != NULL && strcmp(scheme, other) == 0))) {
        bool local = strncmp(address, "localhost:", 10) == 0
                     || strncmp(address, "127.0.0.1:", 10) == 0
                     || strncmp(address, "[::1]:", 6) == 0;
        if (strcmp(scheme, "http") != 0 || local) {
            return true;
        }
        r->fault->code = "HF-1009";
        (void)snprintf(r->fault->what, sizeof r->fault->what,
                       "%s: %s: \"%s\" is http beyond this machine", r->file, key, url);
        (void)snprintf(r->fault->why, sizeof r->fault->why,
                       "without TLS anybody between can act as you");
        (void)snprintf(r->fault->todo, sizeof r->fault->todo, "use https, or listen on localhost");
        return false;
    }
    r->fault->code = "HF-1006";
    (void)snprintf(r->fault->what, sizeof r->fault->what,
                   "%s: %s: \"%s\" is not an address to listen on", r->file, key, url);
    (void)snprintf(r->fault->why, sizeof r->fault->why, "it must be %s://HOST:PORT", one);
    (void)snprintf(r->fault->todo, sizeof r->fault->todo, "for example %s://localhost:8883", one);
    return false;
}

static bool say(struct reading *r,
                const char *code,
                const char *why,
                const char *todo,
                const char *format,
                const char *a)
{
    r->fault->code = code;
    char what[300];
    (void)snprintf(what, sizeof what, "%s: %s %s", r->file, format, a);
    (void)snprintf(r->fault->what, sizeof r->fault->what, "%s", what);
    (void)snprintf(r->fault->why, sizeof r->fault->why, "%s", why);
    (void)snprintf(r->fault->todo, sizeof r->fault->todo, "%s", todo);
    return false;
}

static bool is_name(const char *text)
{
    return text[0] != '\0' && text[0] != '-'
           && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

static bool check_gateway(struct reading *r, uint32_t index)
{
    const struct config_gateway *g = &r->config->gateways[index];
    if (!is_name(g->name)) {
        return say(r, "HF-1006", "it becomes a folder and a label: lower case, digits and -",
                   "for example gw-1", "gateway name", g->name);
    }
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(r->config->gateways[i].name, g->name) == 0) {
            return say(r, "HF-1005", "each gateway has its own spool", "give them different names",
                       "two gateways are called", g->name);
        }
    }
    for (uint32_t i = 0; i < g->listen.count; i++) {
        if (!check_url(r, "gateway.listen", g->listen.items[i], "mqtts", NULL)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < g->passage.count; i++) {
        if (!check_url(r, "gateway.passage", g->passage.items[i], "tls", NULL)) {
            return false;
        }
    }
    if (g->passage_to[0] != '\0'
        && !check_url(r, "gateway.passage_to", g->passage_to, "https", NULL)) {
        return false;
    }
    for (uint32_t i = 0; i < g->versions.count; i++) {
        if (strcmp(g->versions.items[i], "5") != 0 && strcmp(g->versions.items[i], "3.1.1") != 0) {
            return say(r, "HF-1006", "MQTT has these two that are still in use",
                       "use \"5\" and \"3.1.1\"", "gateway.versions holds", g->versions.items[i]);
        }
    }
    return true;
}

static bool check_applications(struct reading *r)
{
    const struct config *c = r->config;
    for (uint32_t i = 0; i < c->applications_count; i++) {
        const struct grant *g = &c->applications[i];
        struct slice at;
        char text[GRANT_ITEM_MAX + 1];
        const char *wrong = grant_fault(g, &at);
        for (uint32_t k = 0; k < i && wrong == NULL; k++) {
            wrong = slice_equal(c->applications[k].name, g->name) ? "two have this name" : NULL;
        }
        if (wrong != NULL) {
            (void)snprintf(text, sizeof text, "%.*s", (int)(at.len < 200 ? at.len : 200),
                           at.len > 0 ? (const char *)at.at : "");
            return say(r, "HF-1006", wrong, "correct it; nothing was started",
                       "[[application]] cannot grant", text);
        }
    }
    return true;
}

static bool check_all(struct reading *r)
{
    struct config *c = r->config;
    if (strspn(c->site_domain, "abcdefghijklmnopqrstuvwxyz0123456789-.")
        != strlen(c->site_domain)) {
        return say(r, "HF-1006", "it stands in every certificate: lower case, digits, - and .",
                   "for example plant-1.example", "site.domain is", c->site_domain);
    }
    enum confine_policy policy;
    if (!confine_policy_from(c->sandbox, &policy)) {
        return say(r, "HF-1006", "it says what a role gives up once it runs",
                   "use \"auto\", \"required\" or \"off\"", "site.sandbox is", c->sandbox);
    }
    if (strcmp(c->bus_kind, "embedded") != 0) {
        return say(r, "HF-1008", "0.1.0 has the embedded bus only", "write kind = \"embedded\"",
                   "bus.kind is", c->bus_kind);
    }
    if (strcmp(c->store_kind, "embedded") != 0) {
        return say(r, "HF-1008", "0.1.0 has the embedded store only", "write kind = \"embedded\"",
                   "store.kind is", c->store_kind);
    }
    if (!check_url(r, "console.listen", c->console_listen, "https", "http")
        || !check_url(r, "devices.listen", c->devices_listen, "https", NULL)
        || !check_url(r, "metrics.listen", c->metrics_listen, "http", NULL)) {
        return false;
    }
    for (uint32_t i = 0; i < c->gateways_count; i++) {
        if (!check_gateway(r, i)) {
            return false;
        }
    }
    return check_applications(r);
}

/* ---- the whole ---- */

static bool parse(struct reading *r, struct slice text)
{
    struct toml t;
    struct toml_entry entry;
    enum toml_result result;
    config_set_defaults(r->config);
    toml_init(&t, text);
    while ((result = toml_next(&t, &entry)) == TOML_OK) {
        bool heading = entry.kind == TOML_TABLE || entry.kind == TOML_TABLE_ITEM;
        if (!(heading ? read_table(r, &entry) : read_key(r, &entry))) {
            return false;
        }
    }
    if (result == TOML_WRONG) {
        return complain(r, "HF-1002", t.fault.line, t.fault.column, t.fault.what,
                        "the file is a strict subset of TOML",
                        "correct the line; nothing was started");
    }
    if (r->config->gateways_count == 0) {
        r->config->gateways_count = 1;
    }
    return true;
}

/* The environment overrides texts, numbers and switches of the tables that stand once. */
static bool read_environment(struct reading *r)
{
    for (size_t i = 0; i < CONFIG_ROWS; i++) {
        const struct config_row *row = &config_schema[i];
        char name[80];
        (void)snprintf(name, sizeof name, "HOLDFAST_%s_%s", row->table, row->key);
        for (char *c = name; *c != '\0'; c++) {
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        }
        const char *text =
            config_row_is_gateway(row) || row->kind == VALUE_LIST ? NULL : getenv(name);
        if (text == NULL) {
            continue;
        }
        char *end = NULL;
        long long number = strtoll(text, &end, 10);
        struct config_value value = {.kind = TOML_STRING, .text = slice_text(text)};
        if (row->kind == VALUE_NUMBER && *text != '\0' && *end == '\0') {
            value = (struct config_value){.kind = TOML_INTEGER, .integer = number};
        }
        if (row->kind == VALUE_SWITCH
            && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
            value = (struct config_value){.kind = TOML_BOOLEAN, .integer = text[0] == 't'};
        }
        if (config_set_value(row, config_place_of(r->config, 0, row), &value) != CONFIG_SET) {
            return say(r, "HF-1006", config_wanted(row->kind), "correct or unset the variable",
                       "environment variable", name);
        }
        *config_origin_of(r->config, 0, row) = CONFIG_ENVIRONMENT;
    }
    return true;
}

static bool read_whole(struct reading *r,
                       const struct slice text,
                       bool with_environment,
                       struct config *out)
{
    if (!parse(r, text) || (with_environment && !read_environment(r)) || !check_all(r)) {
        return false;
    }
    (void)snprintf(r->config->file, sizeof r->config->file, "%s", r->file);
    *out = *r->config;
    return true;
}

bool config_parse(const char *file,
                  struct slice text,
                  struct config *out,
                  struct config_fault *fault)
{
    static struct config config;
    memset(&config, 0, sizeof config);
    *fault = (struct config_fault){0};
    struct reading r = {.file = file, .config = &config, .fault = fault};
    return read_whole(&r, text, false, out);
}

/* A relative data folder is one beside the file. */
static bool place_data(struct reading *r, struct config *out)
{
    const char *slash = strrchr(r->file, '/');
    char data[2 * CONFIG_TEXT_MAX];
    if (out->data[0] == '/' || slash == NULL) {
        return true;
    }
    int len = snprintf(data, sizeof data, "%.*s/%s", (int)(slash - r->file), r->file, out->data);
    if (strcmp(out->data, ".") == 0) {
        len = snprintf(data, sizeof data, "%.*s", (int)(slash - r->file), r->file);
    }
    if (len < 0 || len >= CONFIG_TEXT_MAX) {
        return say(r, "HF-1007", "paths are at most 255 bytes", "use a shorter folder", "site.data",
                   out->data);
    }
    memcpy(out->data, data, (size_t)len + 1);
    return true;
}

bool config_read(struct port *port,
                 const char *file,
                 struct config *out,
                 struct config_fault *fault)
{
    static uint8_t text[CONFIG_FILE_MAX];
    static struct config config;
    struct port_file *handle = NULL;
    size_t len = 0;
    *fault = (struct config_fault){0};
    memset(&config, 0, sizeof config);
    struct reading r = {.file = file, .config = &config, .fault = fault};
    enum port_result result = port_file_open(port, file, PORT_READ, &handle);
    if (result == PORT_OK) {
        result = port_file_read(handle, 0, text, sizeof text, &len);
        port_file_close(handle);
    }
    if (result != PORT_OK || len == sizeof text) {
        return say(&r, "HF-1001",
                   result == PORT_NOT_FOUND ? "there is no such file"
                   : result == PORT_DENIED  ? "its mode does not let this user read it"
                   : result == PORT_OK      ? "it is longer than 64 KiB"
                                            : "the file system refused",
                   "name it with --config, or make one: holdfast init --dir DIR",
                   "cannot read the configuration", "");
    }
    return read_whole(&r, slice_of(text, len), true, out) && place_data(&r, out);
}
