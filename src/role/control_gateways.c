/*
 * One gateway: what it reports, what it refused, and what it alone knows, which is asked over its
 * local socket (role/gateway_admin.h) and answered when it has answered. One that does not answer
 * is unknown: where it was asked to do something, that may have happened.
 */
#include "io/read_all.h"
#include "role/control_inside.h"
#include "role/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASKS_MAX = 16,
    ASK_MS = 5000,
    ANSWER_MAX = 1024 * 1024,
    REFUSALS_MAX = 131072,
    TARGET_MAX = 300,
    SECONDS_MAX = 600,
    SESSIONS_PAGE_MAX = 500
};

/* A request that waits for a gateway. */
struct gateway_ask {
    struct http_client *client; /* NULL: this place is free */
    struct http_call_id call;
    bool is_change;
    char method[8];
    char target[TARGET_MAX];
    char name[REGISTRY_NAME_MAX + 1];
};

struct gateway_asks {
    struct gateway_ask list[ASKS_MAX];
    uint8_t refusals[REFUSALS_MAX];
};

void gateways_open(struct control *c)
{
    c->gateway_asks = calloc(1, sizeof *c->gateway_asks);
    INVARIANT(c->gateway_asks != NULL);
}

void gateways_close(struct control *c)
{
    for (size_t i = 0; c->gateway_asks != NULL && i < ASKS_MAX; i++) {
        http_client_close(c->gateway_asks->list[i].client);
    }
    free(c->gateway_asks);
    c->gateway_asks = NULL;
}

const char *gateways_drain_word(const struct control *c, const struct report *r)
{
    static const char *const words[] = {"open", "draining", "drained"};
    static const size_t count = COUNT_OF(words);
    double state = -1;
    bool is_known =
        strcmp(report_state(c, r), "connected") == 0
        && metrics_first(slice_of(r->text, r->len), "holdfast_gateway_drain_state", &state);
    return is_known && state >= 0 && state < (double)count ? words[(size_t)state] : NULL;
}

/* The gateway of the path; NULL: answered. */
static struct report *gateway_of(struct ask *a)
{
    struct report *r = reports_find(a->control, a->variable);
    if (r == NULL || !r->is_gateway) {
        ask_problem(a, 404, "HF-3701", NULL);
        return NULL;
    }
    return r;
}

/* ---- what it reports ---- */

static void put_refused(struct ask *a, const struct report *r)
{
    struct slice text = slice_of(r->text, r->len);
    struct metrics_line line;
    json_name(&a->json, "refused");
    json_array(&a->json);
    while ((line = metrics_line_next(&text)).kind != METRICS_END) {
        struct slice reason;
        if (line.kind == METRICS_SAMPLE
            && slice_is_text(line.name, "holdfast_gateway_refusals_total") && line.value > 0
            && metrics_label_find(line.labels, "reason", &reason)) {
            json_object(&a->json);
            json_put_slice(&a->json, "reason", reason);
            json_put_double(&a->json, "total", line.value);
            json_object_end(&a->json);
        }
    }
    json_array_end(&a->json);
}

static void put_number(struct json_writer *j,
                       const char *member,
                       const struct report *r,
                       const char *metric)
{
    double value = 0;
    if (metrics_sum(slice_of(r->text, r->len), metric, NULL, NULL, &value)) {
        json_put_double(j, member, value);
    } else {
        json_put_null(j, member);
    }
}

void gateways_show(struct ask *a)
{
    static const struct {
        const char *member, *metric;
    } numbers[] = {
        {"connections", "holdfast_gateway_connections"},
        {"devices", "holdfast_gateway_devices"},
        {"messages", "holdfast_gateway_messages_total"},
        {"message_bytes", "holdfast_gateway_message_bytes_total"},
        {"commits", "holdfast_gateway_commits_total"},
        {"stalls", "holdfast_gateway_stalls_total"},
        {"grants_number", "holdfast_gateway_grants_number"},
    };
    struct control *c = a->control;
    struct report *r = gateway_of(a);
    double number = 0;
    if (r == NULL) {
        return;
    }
    uint64_t now_ms = port_now_ms(c->port);
    json_object(&a->json);
    view_put_gateway(&a->json, c, r);
    json_put_time(&a->json, "now", a->now_ms);
    if (r->moved_ms != 0) {
        json_put_double(&a->json, "reported_age_s", (double)(now_ms - r->moved_ms) / 1000);
    } else {
        json_put_null(&a->json, "reported_age_s");
    }
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        put_number(&a->json, numbers[i].member, r, numbers[i].metric);
    }
    if (gateways_drain_word(c, r) != NULL
        && metrics_first(slice_of(r->text, r->len), "holdfast_gateway_grants_number", &number)) {
        json_put_bool(&a->json, "grants_in_force", number >= (double)control_grants_number(c));
    } else {
        json_put_null(&a->json, "grants_in_force");
    }
    put_refused(a, r);
    json_object_end(&a->json);
    ask_done(a);
}

/* ---- what it refused: a line each, see core/gateway/refusals.h ---- */

static struct slice take_word(struct slice *line)
{
    size_t len = 0;
    while (len < line->len && line->at[len] != ' ') {
        len++;
    }
    struct slice word = slice_of(line->at, len);
    *line = slice_after(*line, len < line->len ? len + 1 : len);
    return word;
}

static struct slice take_line(struct slice *text)
{
    size_t len = 0;
    while (len < text->len && text->at[len] != '\n') {
        len++;
    }
    struct slice line = slice_of(text->at, len);
    *text = slice_after(*text, len < text->len ? len + 1 : len);
    return line;
}

static void put_word(struct json_writer *j, const char *member, struct slice word)
{
    if (slice_is_text(word, "-")) {
        json_put_null(j, member);
    } else {
        json_put_slice(j, member, word);
    }
}

static uint64_t put_refusals(struct json_writer *j, struct slice text)
{
    uint64_t count = 0;
    while (text.len > 0) {
        struct slice line = take_line(&text);
        int64_t at_ms = 0;
        if (!time_from_text(take_word(&line), &at_ms)) {
            continue; /* no line of ours */
        }
        json_object(j);
        json_put_time(j, "at", at_ms);
        json_put_slice(j, "reason", take_word(&line));
        put_word(j, "code", take_word(&line));
        json_put_slice(j, "address", take_word(&line));
        put_word(j, "certificate", take_word(&line));
        json_put_slice(j, "why", line);
        json_object_end(j);
        count++;
    }
    return count;
}

void gateways_refusals(struct ask *a)
{
    struct control *c = a->control;
    struct report *r = gateway_of(a);
    char name[REGISTRY_NAME_MAX + 20];
    char path[CONTROL_PATH_MAX];
    size_t len = 0;
    if (r == NULL) {
        return;
    }
    (void)snprintf(name, sizeof name, "run/%s.refusals", r->role);
    control_path(c, path, name);
    if (port_file_read_all(c->port, path, c->gateway_asks->refusals, REFUSALS_MAX, &len)
        != PORT_OK) {
        len = 0; /* it has refused nothing yet */
    }
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_put_text(&a->json, "state", report_state(c, r));
    json_name(&a->json, "items");
    json_array(&a->json);
    uint64_t count = put_refusals(&a->json, slice_of(c->gateway_asks->refusals, len));
    json_array_end(&a->json);
    json_put_null(&a->json, "next");
    json_put_u64(&a->json, "total", count);
    json_object_end(&a->json);
    ask_done(a);
}

/* ---- what it alone knows ---- */

static struct gateway_ask *find_free(struct control *c)
{
    for (size_t i = 0; i < ASKS_MAX; i++) {
        if (c->gateway_asks->list[i].client == NULL) {
            return &c->gateway_asks->list[i];
        }
    }
    return NULL;
}

/* Asks it; the answer of the API is given when its answer is there. */
static void ask_gateway(struct ask *a, const char *name, const char *method, const char *target)
{
    struct control *c = a->control;
    struct gateway_ask *g = find_free(c);
    struct port_why why = {0};
    char file[REGISTRY_NAME_MAX + 20];
    char path[CONTROL_PATH_MAX];
    char address[CONTROL_PATH_MAX + 8];
    (void)snprintf(file, sizeof file, "run/%s.sock", name);
    control_path(c, path, file);
    (void)snprintf(address, sizeof address, "unix:%s", path);
    struct http_client_options options = {
        .address = address, .host = "gateway", .body_max = ANSWER_MAX, .timeout_ms = ASK_MS};
    if (g == NULL) {
        ask_problem(a, 503, "HF-3702", "too many questions to gateways are open: ask again");
        return;
    }
    *g = (struct gateway_ask){.call = http_call_id(a->call),
                              .is_change = strcmp(method, "POST") == 0};
    (void)snprintf(g->method, sizeof g->method, "%s", method);
    (void)snprintf(g->target, sizeof g->target, "%s", target);
    (void)snprintf(g->name, sizeof g->name, "%s", name);
    if (http_client_open(c->port, &options, &g->client, &why) != PORT_OK) {
        g->client = NULL;
        ask_problem(a, 503, "HF-3702", "its socket cannot be reached: nothing was asked");
    }
}

static void name_of(const struct json_string *name, char room[64])
{
    struct writer w = writer_over(room, 63);
    json_string_write(&w, name);
    room[w.len] = '\0';
}

/* One value as it came; nothing where it is none. */
static struct slice copy_value(struct ask *a, struct json_reader *r)
{
    size_t first = r->at;
    json_skip(r);
    if (r->result != JSON_OK) {
        json_null(&a->json);
        return (struct slice){0};
    }
    while (first < r->at
           && (r->text.at[first] == ':' || r->text.at[first] == ' ' || r->text.at[first] == '\n')) {
        first++;
    }
    struct slice value = slice_of(r->text.at + first, r->at - first);
    json_raw(&a->json, value);
    return value;
}

/* One item of its list, with the name of its device beside the id. */
static void put_item(struct ask *a, struct json_reader *r)
{
    struct json_string name;
    char room[64];
    json_object(&a->json);
    json_read_object(r);
    while (json_next_name(r, &name)) {
        name_of(&name, room);
        json_name(&a->json, room);
        struct slice value = copy_value(a, r);
        if (strcmp(room, "owner") == 0 && value.len > 2) {
            struct device_id id;
            struct slice text = slice_of(value.at + 1, value.len - 2);
            struct fleet_device *row =
                device_id_from_text(text, &id) ? fleet_find(&a->control->fleet, &id) : NULL;
            json_put_text(&a->json, "device", row != NULL ? row->name : NULL);
        }
    }
    json_object_end(&a->json);
}

static void put_answer(struct ask *a, struct json_reader *r)
{
    struct json_string name;
    char room[64];
    json_object(&a->json);
    json_read_object(r);
    while (json_next_name(r, &name)) {
        name_of(&name, room);
        json_name(&a->json, room);
        if (strcmp(room, "items") != 0) {
            (void)copy_value(a, r);
            continue;
        }
        json_array(&a->json);
        json_read_array(r);
        while (json_next_element(r)) {
            put_item(a, r);
        }
        json_array_end(&a->json);
    }
    json_put_time(&a->json, "now", a->now_ms);
    json_object_end(&a->json);
}

static void pass_on(struct ask *a, const struct gateway_ask *g)
{
    struct http_client_answer answer = http_client_answer(g->client);
    struct json_reader r = json_reader_over(answer.body);
    if (answer.head->status == 400) {
        ask_problem(a, 400, "HF-3101", NULL);
        return;
    }
    if (answer.head->status != 200) {
        char why[200];
        int len = (int)(answer.body.len < 150 ? answer.body.len : 150);
        while (len > 0 && answer.body.at[len - 1] == '\n') {
            len--;
        }
        (void)snprintf(why, sizeof why, "%.*s", len,
                       len > 0 ? (const char *)answer.body.at : "it gives no reason");
        ask_problem(a, 500, "HF-3703", why);
        return;
    }
    put_answer(a, &r);
    if (!json_reader_done(&r)) {
        ask_problem(a, 500, "HF-3703", "its answer is not of this version");
        return;
    }
    ask_done(a);
}

static void settle(struct control *c, struct gateway_ask *g, bool has_answered)
{
    struct http_call *call = http_call_find(c->console, g->call);
    if (call != NULL) {
        struct ask a = {.control = c,
                        .call = call,
                        .out = writer_over(c->answer, CONTROL_ANSWER_MAX),
                        .now_ms = control_now(c)};
        a.json = json_writer_to(&a.out);
        if (has_answered) {
            pass_on(&a, g);
        } else if (g->is_change && http_client_failure(g->client).sent) {
            ask_problem(&a, 504, "HF-3702", "it was asked and did not answer: it may have done it");
        } else {
            ask_problem(&a, 503, "HF-3702", "it does not answer: nothing was done");
        }
    }
    http_client_close(g->client);
    g->client = NULL;
}

bool gateways_event(struct control *c, const struct port_event *ev)
{
    for (size_t i = 0; c->gateway_asks != NULL && i < ASKS_MAX; i++) {
        struct gateway_ask *g = &c->gateway_asks->list[i];
        if (g->client == NULL) {
            continue;
        }
        struct http_client_request request = {.method = g->method, .target = slice_text(g->target)};
        switch (http_client_event(g->client, ev)) {
        case HTTP_CLIENT_NOT_MINE: continue;
        case HTTP_CLIENT_CONNECTED:
            if (!http_client_send(g->client, &request)) {
                settle(c, g, false);
            }
            return true;
        case HTTP_CLIENT_ANSWERED: settle(c, g, true); return true;
        case HTTP_CLIENT_FAILED: settle(c, g, false); return true;
        case HTTP_CLIENT_WAITING:
        case HTTP_CLIENT_PIECE: return true;
        }
    }
    return false;
}

void gateways_sessions(struct ask *a)
{
    char target[TARGET_MAX];
    int64_t after = 0;
    int64_t limit = 0;
    struct report *r = gateway_of(a);
    if (r == NULL || !ask_number(a, "cursor", 0, UINT32_MAX, 0, &after)
        || !ask_number(a, "limit", 1, SESSIONS_PAGE_MAX, 200, &limit)) {
        return;
    }
    (void)snprintf(target, sizeof target, "/sessions?after=%lld&limit=%lld", (long long)after,
                   (long long)limit);
    ask_gateway(a, r->role, "GET", target);
}

void gateways_trace(struct ask *a)
{
    char target[TARGET_MAX];
    int64_t after = 0;
    struct report *r = gateway_of(a);
    if (r == NULL || !ask_number(a, "after", 0, INT64_C(1) << 53, 0, &after)) {
        return;
    }
    (void)snprintf(target, sizeof target, "/watch?after=%lld", (long long)after);
    ask_gateway(a, r->role, "GET", target);
}

void gateways_trace_begin(struct ask *a)
{
    char target[TARGET_MAX];
    char id[DEVICE_ID_TEXT_LEN + 1];
    struct writer w = writer_over(id, sizeof id - 1);
    int64_t seconds = 0;
    bool absent = false;
    struct report *r = gateway_of(a);
    if (r == NULL || !ask_number(a, "seconds", 0, SECONDS_MAX, 60, &seconds)) {
        return;
    }
    struct fleet_device *device = ask_device(a, &absent);
    if (device == NULL) {
        if (absent) {
            ask_problem(a, 400, "HF-3101", "\"device\" is needed: its name or id");
        }
        return;
    }
    device_id_write_text(&w, &device->id);
    id[w.len] = '\0';
    (void)snprintf(target, sizeof target, "/watch?device=%s&seconds=%lld", id, (long long)seconds);
    ask_gateway(a, r->role, "POST", target);
}

/* The entry is durable before the gateway is asked: who emptied it, and when, is known whatever
 * comes of it. */
static void change(struct ask *a, const char *kind, const char *target)
{
    char actor[OPERATOR_NAME_MAX + 16];
    struct report *r = gateway_of(a);
    if (r == NULL) {
        return;
    }
    (void)snprintf(actor, sizeof actor, "operator %s", a->who.name);
    struct registry_note note = {.at_ms = a->now_ms,
                                 .kind = slice_text(kind),
                                 .actor = slice_text(actor),
                                 .object = slice_text(r->role),
                                 .detail = slice_text("{}")};
    if (registry_append(a->control->registry, &note) != REGISTRY_OK) {
        control_fail(a->control, "the registry cannot be written", "an entry of a drain");
        ask_problem(a, 500, "HF-3403", NULL);
        return;
    }
    ask_gateway(a, r->role, "POST", target);
}

void gateways_drain(struct ask *a)
{
    change(a, "gateway-drained", "/drain");
}

void gateways_undrain(struct ask *a)
{
    change(a, "gateway-opened", "/undrain");
}
