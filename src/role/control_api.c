/*
 * One API request: which route, may they, and how the answer or the problem leaves. Every route is
 * a row; the description in docs/openapi.json is held against it by a test.
 */
#include "role/assets.h"
#include "role/control_inside.h"

#include <string.h>

enum body { BODY_NONE, BODY_JSON };

struct route {
    enum http_method method;
    const char *path; /* below /api/v1; one * stands for one segment */
    uint32_t needs;   /* 0: nobody needs to be signed in */
    enum body body;
    void (*answer)(struct ask *a);
};

static void openapi(struct ask *a)
{
    const struct asset *asset = asset_find(slice_text("/api/v1/openapi.json"));
    INVARIANT(asset != NULL);
    http_answer(a->call, &(struct http_response){
                             .status = 200,
                             .content_type = asset->content_type,
                             .body = asset->plain,
                             .body_is_static = true,
                         });
}

static const struct route routes[] = {
    {HTTP_GET, "/status", ACCESS_READ, BODY_NONE, view_status},
    {HTTP_GET, "/fleet", ACCESS_READ, BODY_NONE, view_fleet},
    {HTTP_GET, "/devices", ACCESS_READ, BODY_NONE, view_devices},
    {HTTP_GET, "/devices/*", ACCESS_READ, BODY_NONE, view_device},
    {HTTP_GET, "/devices/*/entries", ACCESS_READ, BODY_NONE, view_entries},
    {HTTP_GET, "/devices/*/links", ACCESS_READ, BODY_NONE, view_links},
    {HTTP_GET, "/devices/*/boots", ACCESS_READ, BODY_NONE, view_boots},
    {HTTP_GET, "/data/series", ACCESS_READ, BODY_NONE, data_series},
    {HTTP_GET, "/data/last", ACCESS_READ, BODY_NONE, data_last},
    {HTTP_GET, "/data/points", ACCESS_READ, BODY_NONE, data_points},
    {HTTP_GET, "/data/buckets", ACCESS_READ, BODY_NONE, data_buckets},
    {HTTP_GET, "/gateways", ACCESS_READ, BODY_NONE, view_gateways},
    {HTTP_GET, "/gateways/*", ACCESS_READ, BODY_NONE, gateways_show},
    {HTTP_GET, "/gateways/*/refusals", ACCESS_READ, BODY_NONE, gateways_refusals},
    {HTTP_GET, "/gateways/*/sessions", ACCESS_READ, BODY_NONE, gateways_sessions},
    {HTTP_GET, "/gateways/*/trace", ACCESS_READ, BODY_NONE, gateways_trace},
    {HTTP_POST, "/gateways/*/trace", ACCESS_OPERATE, BODY_NONE, gateways_trace_begin},
    {HTTP_POST, "/gateways/*/drain", ACCESS_OPERATE, BODY_NONE, gateways_drain},
    {HTTP_POST, "/gateways/*/undrain", ACCESS_OPERATE, BODY_NONE, gateways_undrain},
    {HTTP_GET, "/grants", ACCESS_READ, BODY_NONE, grants_list},
    {HTTP_POST, "/grants", ACCESS_ADMIN, BODY_JSON, grants_post},
    {HTTP_GET, "/grants/*", ACCESS_READ, BODY_NONE, grants_show},
    {HTTP_POST, "/grants/*/withdraw", ACCESS_ADMIN, BODY_NONE, grants_withdraw},
    {HTTP_GET, "/deadletters", ACCESS_READ, BODY_NONE, data_dead_letters},
    {HTTP_GET, "/events", ACCESS_READ, BODY_NONE, stream_open},
    {HTTP_GET, "/whoami", ACCESS_READ, BODY_NONE, login_whoami},
    {HTTP_POST, "/login", 0, BODY_JSON, login_post},
    {HTTP_POST, "/logout", ACCESS_READ, BODY_NONE, login_out},
    {HTTP_POST, "/login-links", ACCESS_ADMIN, BODY_NONE, login_link_post},
    {HTTP_POST, "/bundles", ACCESS_OPERATE, BODY_JSON, login_bundle},
    {HTTP_GET, "/openapi.json", ACCESS_READ, BODY_NONE, openapi},
};

/* ---- problems ---- */

static void write_problem(struct writer *w,
                          int status,
                          const struct error_text *text,
                          const char *why,
                          const char *suggestion,
                          size_t at)
{
    struct json_writer j = json_writer_to(w);
    json_object(&j);
    json_put_u64(&j, "v", 1);
    json_put_text(&j, "type", "about:blank");
    json_put_i64(&j, "status", status);
    json_put_text(&j, "code", text->code);
    json_put_text(&j, "title", text->title);
    json_put_text(&j, "why", why != NULL ? why : text->why);
    json_put_text(&j, "do", text->todo);
    if (at != SIZE_MAX) {
        json_put_text(&j, "suggestion", suggestion);
        json_put_u64(&j, "at", at);
    }
    json_object_end(&j);
}

void ask_problem_more(
    struct ask *a, int status, const char *code, const char *why, const char *suggestion, size_t at)
{
    uint8_t room[2048];
    struct writer w = writer_over(room, sizeof room);
    const struct error_text *text = error_find(code);
    INVARIANT(text != NULL);
    write_problem(&w, status, text, why, suggestion, at);
    INVARIANT(writer_ok(&w));
    http_answer(a->call, &(struct http_response){
                             .status = status,
                             .content_type = "application/problem+json",
                             .fields = "Cache-Control: no-store\r\n",
                             .body = writer_slice(&w),
                         });
}

void ask_problem(struct ask *a, int status, const char *code, const char *why)
{
    ask_problem_more(a, status, code, why, NULL, SIZE_MAX);
}

/* What the HTTP server itself refuses. */
void control_write_problem(int status, const char *clause, struct writer *body)
{
    const char *code = status == 408 ? "HF-3007" : status == 413 ? "HF-3006" : "HF-3004";
    write_problem(body, status, error_find(code), clause, NULL, SIZE_MAX);
}

void ask_done_fields(struct ask *a, int status, const char *fields)
{
    if (!writer_ok(&a->out)) {
        ask_problem(a, 500, "HF-3009", NULL);
        return;
    }
    http_answer(a->call, &(struct http_response){
                             .status = status,
                             .content_type = "application/json",
                             .fields = fields != NULL ? fields : "Cache-Control: no-store\r\n",
                             .body = writer_slice(&a->out),
                         });
}

void ask_done(struct ask *a)
{
    ask_done_fields(a, 200, NULL);
}

/* ---- parameters ---- */

static int refuse_parameter(struct ask *a, const char *name)
{
    char why[96];
    struct writer w = writer_over(why, sizeof why - 1);
    write_text(&w, "the value of \"");
    write_text(&w, name);
    write_text(&w, "\" is malformed or out of range");
    why[w.len] = '\0';
    ask_problem(a, 400, "HF-3101", why);
    return -1;
}

int ask_text(struct ask *a, const char *name, char *room, size_t cap)
{
    struct writer w = writer_over(room, cap - 1);
    int got = http_query_find(a->call->head.query, name, &w);
    if (got < 0) {
        return refuse_parameter(a, name);
    }
    if (got > 0) {
        room[w.len] = '\0';
    }
    return got;
}

bool ask_number(
    struct ask *a, const char *name, int64_t least, int64_t most, int64_t otherwise, int64_t *out)
{
    char text[32];
    int got = ask_text(a, name, text, sizeof text);
    *out = otherwise;
    if (got <= 0) {
        return got == 0;
    }
    struct json_reader r = json_reader_over(slice_text(text));
    *out = json_read_int(&r, least, most);
    return json_reader_done(&r) || refuse_parameter(a, name) == 0;
}

bool ask_time(struct ask *a, const char *name, int64_t otherwise, int64_t *out)
{
    char text[48];
    int got = ask_text(a, name, text, sizeof text);
    *out = otherwise;
    if (got <= 0) {
        return got == 0;
    }
    if (time_from_text(slice_text(text), out)) {
        return true;
    }
    struct json_reader r = json_reader_over(slice_text(text));
    *out = json_read_int(&r, -INT64_C(8640000000000000), INT64_C(8640000000000000));
    return json_reader_done(&r) || refuse_parameter(a, name) == 0;
}

struct fleet_device *ask_device(struct ask *a, bool *absent)
{
    char name[REGISTRY_NAME_MAX + 64];
    struct device_id id;
    struct fleet *f = &a->control->fleet;
    int got = ask_text(a, "device", name, sizeof name);
    *absent = got == 0;
    if (got <= 0) {
        return NULL;
    }
    struct fleet_device *row = fleet_find_name(f, slice_text(name));
    if (row == NULL && device_id_from_text(slice_text(name), &id)) {
        row = fleet_find(f, &id);
    }
    if (row == NULL) {
        ask_problem(a, 404, "HF-3001", NULL);
    }
    return row;
}

/* ---- routing ---- */

/* Does the path fit the pattern? What stands for the * goes to *variable, still encoded. */
static bool fits(struct slice path, const char *pattern, struct slice *variable)
{
    size_t at = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '*') {
            if (at == path.len || path.at[at] != (uint8_t)*pattern) {
                return false;
            }
            at++;
            continue;
        }
        size_t first = at;
        while (at < path.len && path.at[at] != '/') {
            at++;
        }
        *variable = slice_of(path.at + first, at - first);
        if (at == first) {
            return false;
        }
    }
    return at == path.len;
}

static const struct route *route_of(struct slice path,
                                    enum http_method method,
                                    struct slice *variable,
                                    bool *known)
{
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
    *known = false;
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (fits(path, routes[i].path, variable)) {
            *known = true;
            if (routes[i].method == wanted) {
                return &routes[i];
            }
        }
    }
    return NULL;
}

static void refuse(struct ask *a, enum access_verdict verdict)
{
    switch (verdict) {
    case ACCESS_NO_CREDENTIAL: ask_problem(a, 401, "HF-3301", NULL); return;
    case ACCESS_UNKNOWN_CREDENTIAL: ask_problem(a, 401, "HF-3302", NULL); return;
    case ACCESS_BAD_ORIGIN: ask_problem(a, 403, "HF-3303", NULL); return;
    case ACCESS_NO_RIGHT: ask_problem(a, 403, "HF-3304", NULL); return;
    case ACCESS_ALLOWED: break;
    }
    UNREACHABLE();
}

static bool is_json(const struct http_head *head)
{
    struct slice type = http_field_find(head, "Content-Type");
    struct slice json = slice_text("application/json");
    return slice_has_prefix(type, json)
           && (type.len == json.len || type.at[json.len] == ';' || type.at[json.len] == ' ');
}

static void answer(struct ask *a, struct slice path)
{
    struct slice variable = {0};
    bool known = false;
    const struct route *route = route_of(path, a->call->head.method, &variable, &known);
    struct writer w = writer_over(a->variable_room, sizeof a->variable_room);
    if (route == NULL) {
        ask_problem(a, known ? 405 : 404, known ? "HF-3003" : "HF-3002", NULL);
        return;
    }
    enum access_verdict verdict = login_decide(a, route->needs);
    if (verdict != ACCESS_ALLOWED) {
        a->control->refused[verdict]++;
        refuse(a, verdict);
        return;
    }
    if (route->body == BODY_JSON && !is_json(&a->call->head)) {
        ask_problem(a, 415, "HF-3005", "its Content-Type must be application/json");
        return;
    }
    if (!http_percent_decode(variable, false, &w)) {
        ask_problem(a, 400, "HF-3101", "the path holds what is no text");
        return;
    }
    a->variable = writer_slice(&w);
    route->answer(a);
}

void control_api_handle(struct control *c, struct http_call *call)
{
    struct ask a = {
        .control = c,
        .call = call,
        .out = writer_over(c->answer, CONTROL_ANSWER_MAX),
        .now_ms = control_now(c),
    };
    uint64_t began_us = call->began_us;
    a.json = json_writer_to(&a.out);
    answer(&a, slice_after(call->head.path, strlen("/api/v1")));
    metrics_observe(&c->api_time, port_now_us(c->port) - began_us);
}
