#include "cmd/api.h"

#include "cmd/json_path.h"
#include "codec/event_stream.h"
#include "codec/http.h"
#include "io/port.h"
#include "role/http_client.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 32 << 20, TIMEOUT_MS = 30000, PAGE = 200, EVENT_MAX = 1 << 20 };

struct api {
    struct cli *cli;
    struct port *port;
    struct port_tls *tls;
    struct http_client *client;
    char address[256];
    char host[256];
    bool is_tls;
    char fields[512]; /* the Authorization line */
    /* of the call under way */
    enum http_client_event last;
    bool is_over;
    bool interrupted;
    bool (*each)(void *context, const char *event, struct slice data);
    void *context;
    struct event_stream events;
    uint8_t *event_bytes; /* EVENT_MAX */
    bool is_garbled;      /* the stream is none of ours */
};

/* ---- server-sent events ---- */

static void take_piece(struct api *api, struct slice piece)
{
    while (piece.len > 0 && !api->is_over) {
        struct event_stream_event event;
        enum event_stream_result result = event_stream_next(&api->events, &piece, &event);
        if (result == EVENT_STREAM_OK) {
            char name[EVENT_STREAM_NAME_MAX + 1] = "";
            if (event.name.len > 0) {
                memcpy(name, event.name.at, event.name.len);
            }
            api->is_over = !api->each(api->context, name, event.data);
        } else if (result != EVENT_STREAM_MORE) {
            api->is_garbled = true;
            api->is_over = true;
        }
    }
}

static void handle(void *role, const struct port_event *ev)
{
    struct api *api = role;
    if (ev->kind == PORT_TERMINATE) {
        api->interrupted = true;
        api->is_over = true;
    } else if (api->client != NULL) {
        enum http_client_event what = http_client_event(api->client, ev);
        if (what == HTTP_CLIENT_PIECE) {
            take_piece(api, http_client_piece(api->client));
        } else if (what != HTTP_CLIENT_NOT_MINE && what != HTTP_CLIENT_WAITING) {
            api->last = what;
            api->is_over = true;
        }
    }
    if (api->is_over) {
        port_stop(api->port);
    }
}

/* ---- opening ---- */

static bool read_text(const char *path, char *room, size_t cap)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    size_t len = fread(room, 1, cap - 1, file);
    (void)fclose(file);
    room[len] = '\0';
    room[strcspn(room, "\r\n")] = '\0';
    return len > 0;
}

static bool find_credential(struct cli *cli, char *token, size_t cap)
{
    const char *path = cli_option_or(cli, "token-file", getenv("HOLDFAST_TOKEN_FILE"));
    const char *value = cli_option(cli, "token-file") == NULL ? getenv("HOLDFAST_TOKEN") : NULL;
    if (value != NULL && strlen(value) < cap) {
        (void)snprintf(token, cap, "%s", value);
        return true;
    }
    return path != NULL && read_text(path, token, cap);
}

static bool open_tls(struct api *api, struct port_why *why)
{
    static uint8_t pem[65536];
    const char *path = getenv("HOLDFAST_ROOT");
    FILE *file = path == NULL ? NULL : fopen(path, "rb");
    size_t len = file == NULL ? 0 : fread(pem, 1, sizeof pem, file);
    if (file != NULL) {
        (void)fclose(file);
    }
    struct port_tls_config config = {.anchors = {{.pem = {pem, len}}}, .anchors_count = 1};
    (void)snprintf(why->text, sizeof why->text,
                   "HOLDFAST_ROOT must name the root certificate's file");
    return len > 0 && port_tls_make(api->port, &config, &api->tls, why) == PORT_OK;
}

struct api *api_open(struct cli *cli, int *exit)
{
    const char *url = cli_option_or(cli, "url", getenv("HOLDFAST_URL"));
    char token[300];
    struct port_why why = {0};
    if (url == NULL || !find_credential(cli, token, sizeof token)) {
        *exit = cli_error(cli, CLI_USAGE, "HF-1104",
                          url == NULL ? "no server is named" : "no credential is named",
                          "the command line talks to a running Holdfast",
                          "source DIR/env of the site or demo, then try again");
        return NULL;
    }
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL) {
        abort();
    }
    api->cli = cli;
    api->port = port_open(handle, api);
    api->event_bytes = malloc(EVENT_MAX);
    if (api->port == NULL || api->event_bytes == NULL) {
        abort();
    }
    api->is_tls = strncmp(url, "https://", 8) == 0;
    const char *host = api->is_tls ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : url;
    (void)snprintf(api->address, sizeof api->address, "%.*s", (int)strcspn(host, "/"), host);
    (void)snprintf(api->host, sizeof api->host, "%s", api->address);
    char *colon = strrchr(api->host, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    (void)snprintf(api->fields, sizeof api->fields, "Authorization: Bearer %s\r\n", token);
    wipe(token, sizeof token);
    if (api->is_tls && !open_tls(api, &why)) {
        *exit = cli_error(cli, CLI_NOT_REACHED, "HF-1105", "no secure connection can be made",
                          why.text, "source DIR/env of the site, then try again; nothing was sent");
        api_close(api);
        return NULL;
    }
    return api;
}

void api_close(struct api *api)
{
    if (api == NULL) {
        return;
    }
    http_client_close(api->client);
    if (api->tls != NULL) {
        port_tls_free(api->tls);
    }
    port_close_all(api->port);
    wipe(api->fields, sizeof api->fields);
    free(api->event_bytes);
    free(api);
}

/* ---- calling ---- */

static enum http_client_event wait_for(struct api *api)
{
    api->is_over = false;
    api->last = HTTP_CLIENT_WAITING;
    port_run(api->port);
    return api->last;
}

static int not_reached(struct api *api, bool changes)
{
    if (api->interrupted) {
        return changes ? CLI_UNKNOWN : CLI_FAILED;
    }
    struct http_client_failure failure = http_client_failure(api->client);
    char what[400];
    (void)snprintf(what, sizeof what, "%s at %s",
                   changes && failure.sent ? "no answer came from the server"
                                           : "the server is not reached",
                   api->address);
    return cli_error(api->cli, changes && failure.sent ? CLI_UNKNOWN : CLI_NOT_REACHED,
                     changes && failure.sent ? "HF-1107" : "HF-1106", what, failure.text,
                     changes && failure.sent ? "it may have happened: look before you ask again"
                                             : "is it running? nothing was changed");
}

static bool connect(struct api *api)
{
    if (api->client != NULL && http_client_is_ready(api->client)) {
        return true;
    }
    struct port_why why = {0};
    http_client_close(api->client);
    api->client = NULL;
    struct http_client_options options = {
        .address = api->address,
        .server_name = api->is_tls ? api->host : NULL,
        .host = api->address,
        .tls = api->tls,
        .body_max = BODY_MAX,
        .timeout_ms = TIMEOUT_MS,
    };
    return http_client_open(api->port, &options, &api->client, &why) == PORT_OK
           && wait_for(api) == HTTP_CLIENT_CONNECTED;
}

static enum cli_exit exit_of(int status)
{
    switch (status) {
    case 400: return CLI_USAGE;
    case 401:
    case 403: return CLI_REFUSED;
    case 404: return CLI_NOT_FOUND;
    case 409: return CLI_CONFLICT;
    case 504: return CLI_UNKNOWN;
    }
    return CLI_FAILED;
}

static int tell_problem(struct api *api, int status, struct slice body)
{
    char code[32];
    char title[300];
    char why[500];
    char todo[500];
    char plain[60];
    (void)snprintf(plain, sizeof plain, "the server answered %d", status);
    return cli_error(api->cli, exit_of(status),
                     json_text_at(body, "code", "HF-1108", code, sizeof code),
                     json_text_at(body, "title", plain, title, sizeof title),
                     json_text_at(body, "why", http_reason(status), why, sizeof why),
                     json_text_at(body, "do", "nothing was changed", todo, sizeof todo));
}

static int call(struct api *api, const struct http_client_request *request, struct slice *body)
{
    bool changes = strcmp(request->method, "GET") != 0;
    if (!connect(api) || !http_client_send(api->client, request)) {
        return not_reached(api, false);
    }
    if (wait_for(api) != HTTP_CLIENT_ANSWERED) {
        if (api->is_garbled) {
            return cli_error(api->cli, CLI_FAILED, "HF-1108",
                             "the server sent events that are not ours",
                             "an event is too long, or its number is none",
                             "is this program of the server's version? nothing was changed");
        }
        if (request->stream && !api->interrupted && api->last == HTTP_CLIENT_WAITING) {
            return CLI_DONE;
        }
        return request->stream && api->interrupted ? CLI_DONE : not_reached(api, changes);
    }
    struct http_client_answer answer = http_client_answer(api->client);
    if (answer.head->status / 100 != 2) {
        return tell_problem(api, answer.head->status, answer.body);
    }
    *body = answer.body;
    return CLI_DONE;
}

int api_get(struct api *api, const char *target, struct slice *body)
{
    char path[2048];
    (void)snprintf(path, sizeof path, "/api/v1%s", target);
    struct http_client_request request = {
        .method = "GET", .target = slice_text(path), .fields = api->fields};
    return call(api, &request, body);
}

int api_post(struct api *api, const char *target, struct slice json, struct slice *body)
{
    char path[2048];
    (void)snprintf(path, sizeof path, "/api/v1%s", target);
    struct http_client_request request = {
        .method = "POST",
        .target = slice_text(path),
        .fields = api->fields,
        .content_type = "application/json",
        .body = json,
    };
    return call(api, &request, body);
}

int api_events(struct api *api,
               const char *target,
               bool (*each)(void *context, const char *event, struct slice data),
               void *context)
{
    char path[2048];
    struct slice body;
    (void)snprintf(path, sizeof path, "/api/v1%s", target);
    struct http_client_request request = {
        .method = "GET",
        .target = slice_text(path),
        .fields = api->fields,
        .stream = true,
    };
    api->each = each;
    api->context = context;
    event_stream_init(&api->events, api->event_bytes, EVENT_MAX);
    return call(api, &request, &body);
}

bool api_parameter(char *target, size_t cap, const char *name, const char *value)
{
    size_t len = strlen(target);
    struct writer w = writer_over(target + len, cap - len - 1);
    write_u8(&w, strchr(target, '?') == NULL ? '?' : '&');
    write_text(&w, name);
    write_u8(&w, '=');
    http_percent_encode(&w, slice_text(value));
    if (!writer_ok(&w)) {
        target[len] = '\0';
        return false;
    }
    target[len + w.len] = '\0';
    return true;
}

int api_each(struct api *api,
             const char *target,
             long limit,
             void (*row)(void *context, struct slice item),
             void *context)
{
    char cursor[300] = "";
    long count = 0;
    for (;;) {
        char page[API_TARGET_MAX + 1];
        char number[24];
        struct slice body = {0};
        (void)snprintf(page, sizeof page, "%s", target);
        (void)snprintf(number, sizeof number, "%ld", limit - count < PAGE ? limit - count : PAGE);
        if (!api_parameter(page, sizeof page, "limit", number)
            || (cursor[0] != '\0' && !api_parameter(page, sizeof page, "cursor", cursor))) {
            return CLI_USAGE;
        }
        int exit = api_get(api, page, &body);
        if (exit != CLI_DONE) {
            return exit;
        }
        struct slice items = json_at(body, "items");
        size_t at = 0;
        for (struct slice item = json_element(items, &at); item.len > 0 && count < limit;
             item = json_element(items, &at)) {
            row(context, item);
            count++;
        }
        if (json_text_at(body, "next", NULL, cursor, sizeof cursor) == NULL || count >= limit) {
            return CLI_DONE;
        }
    }
}
