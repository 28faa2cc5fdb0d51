/* The console's own files, with the headers that bind the browser, and the login links that arrive
 * there. */
#include "io/read_all.h"
#include "role/assets.h"
#include "role/control_inside.h"

#include <string.h>

enum { FILE_MAX = 4 * 1024 * 1024, ETAG_DIGEST = 65 /* the quote and 64 digits */ };

/* `path` is one of the console's own addresses: they all show the same page. */
static bool is_route(struct slice path)
{
    static const char *const routes[] = {"/", "/login", "/devices", "/gateways", "/index.html"};
    static const char *const lists[] = {"/devices/", "/gateways/"};
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (slice_is_text(path, routes[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        struct slice name = slice_after(path, strlen(lists[i]));
        if (slice_has_prefix(path, slice_text(lists[i])) && name.len > 0
            && memchr(name.at, '/', name.len) == NULL) {
            return true;
        }
    }
    return false;
}

/* With --console-dir, while the console is being written: from disk, never cached. */
static void answer_from_disk(struct control *c, struct http_call *call, struct slice path)
{
    char file[CONTROL_PATH_MAX];
    struct writer w = writer_over(file, sizeof file - 1);
    size_t len = 0;
    write_text(&w, c->config->console_dir);
    write_slice(&w, path);
    bool clean = writer_ok(&w);
    for (size_t i = 0; i + 1 < path.len; i++) {
        clean = clean && !(path.at[i] == '.' && path.at[i + 1] == '.') && path.at[i] != '%';
    }
    file[writer_ok(&w) ? w.len : 0] = '\0';
    if (!clean || port_file_read_all(c->port, file, c->answer, FILE_MAX, &len) != PORT_OK) {
        http_answer(call, &(struct http_response){
                              .status = 404,
                              .content_type = "text/plain; charset=utf-8",
                              .body = slice_text("There is nothing at this address.\n")});
        return;
    }
    http_answer(call, &(struct http_response){
                          .status = 200,
                          .content_type = asset_type_of(path),
                          .fields = "Cache-Control: no-store\r\n",
                          .body = slice_of(c->answer, len),
                      });
}

static bool has_etag(const struct http_head *head, const struct asset *asset)
{
    struct slice given = http_field_find(head, "If-None-Match");
    struct slice digest = slice_of(asset->etag, ETAG_DIGEST);
    while (
        given.len > 0
        && (given.at[0] == ' ' || given.at[0] == ',' || given.at[0] == 'W' || given.at[0] == '/')) {
        given = slice_after(given, 1);
    }
    return slice_has_prefix(given, digest);
}

static void answer_asset(struct http_call *call, const struct asset *asset)
{
    bool gzip = asset->gzip.len > 0 && http_field_lists(&call->head, "Accept-Encoding", "gzip");
    char fields[256];
    struct writer w = writer_over(fields, sizeof fields - 1);
    write_text(&w, "Cache-Control: no-cache\r\nVary: Accept-Encoding\r\nETag: ");
    write_slice(&w, slice_of(asset->etag, ETAG_DIGEST));
    write_text(&w, gzip ? "-gzip\"\r\nContent-Encoding: gzip\r\n" : "\"\r\n");
    fields[w.len] = '\0';
    if (has_etag(&call->head, asset)) {
        http_answer(call, &(struct http_response){.status = 304, .fields = fields});
        return;
    }
    http_answer(call, &(struct http_response){
                          .status = 200,
                          .content_type = asset->content_type,
                          .fields = fields,
                          .body = gzip ? asset->gzip : asset->plain,
                          .body_is_static = true,
                      });
}

static void answer_file(struct control *c, struct http_call *call)
{
    struct slice path = is_route(call->head.path) ? slice_text("/index.html") : call->head.path;
    if (c->config->console_dir != NULL) {
        answer_from_disk(c, call, path);
        return;
    }
    const struct asset *asset = asset_find(path);
    if (asset == NULL) {
        http_answer(call, &(struct http_response){
                              .status = 404,
                              .content_type = "text/plain; charset=utf-8",
                              .body = slice_text("There is nothing at this address.\n")});
        return;
    }
    answer_asset(call, asset);
}

/*
 * Pages are asked for by the name that sign-in is bound to: passkeys and cookies of "localhost" are
 * not those of "127.0.0.1". Only loopback addresses are sent on; any other name may be a proxy's.
 */
static bool is_other_loopback(const struct control *c, const struct http_call *call)
{
    struct slice host = http_field_find(&call->head, "Host");
    const char *own = strstr(c->origin, "://");
    bool is_address = slice_has_prefix(host, slice_text("127.0.0.1:"))
                      || slice_has_prefix(host, slice_text("[::1]:"));
    return own != NULL && is_address && !slice_is_text(host, own + 3) && is_route(call->head.path);
}

static void send_home(struct control *c, struct http_call *call)
{
    char fields[HTTP_TARGET_MAX + 300];
    struct writer w = writer_over(fields, sizeof fields - 1);
    write_text(&w, "Location: ");
    write_text(&w, c->origin);
    write_slice(&w, call->head.target);
    write_text(&w, "\r\n");
    fields[writer_ok(&w) ? w.len : 0] = '\0';
    http_answer(call, &(struct http_response){.status = 303, .fields = fields});
}

void control_console_handle(void *context, struct http_call *call)
{
    struct control *c = context;
    static const char api[] = "/api/v1/";
    char code[ACCESS_TEXT_MAX + 1];
    struct writer w = writer_over(code, sizeof code);
    bool reads = call->head.method == HTTP_GET || call->head.method == HTTP_HEAD;
    if (slice_has_prefix(call->head.path, slice_text(api))) {
        control_api_handle(c, call);
    } else if (!reads) {
        http_answer(call, &(struct http_response){.status = 405, .fields = "Allow: GET, HEAD\r\n"});
    } else if (is_other_loopback(c, call)) {
        send_home(c, call);
    } else if (call->head.method == HTTP_GET && slice_is_text(call->head.path, "/")
               && http_query_find(call->head.query, "login", &w) != 0) {
        login_by_link(c, call, writer_slice(&w));
    } else {
        answer_file(c, call);
    }
}
