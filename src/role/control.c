#include "core/control/enrolment_trace.h"
#include "io/folder.h"
#include "io/read_all.h"
#include "role/control_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 64 * 1024, USES_PAUSE_MS = 20, CONTROL_DOMAIN_MAX = 512 };

int64_t control_now(const struct control *c)
{
    enum time_quality quality;
    return port_wall_ms(c->port, &quality);
}

void control_path(const struct control *c, char out[CONTROL_PATH_MAX], const char *name)
{
    int len = snprintf(out, CONTROL_PATH_MAX, "%s/%s", c->config->data, name);
    INVARIANT(len > 0 && len < CONTROL_PATH_MAX);
}

void control_fail(struct control *c, const char *what, const char *why)
{
    (void)fprintf(stderr, "control: %s: %s\n", what, why);
    c->exit = 1;
    port_stop(c->port);
}

/* ---- events ---- */

static void open_store(struct control *c)
{
    char path[CONTROL_PATH_MAX];
    struct port_why why = {{0}};
    control_path(c, path, "store/store.db");
    enum store_result result = store_open_reading(c->port, path, &c->store, &why);
    if (result == STORE_OK) {
        c->store_changed = true;
    } else if (result != STORE_NOT_FOUND && result != STORE_BUSY) {
        control_fail(c, "the store cannot be read", why.text);
    }
}

static void watch_store(struct control *c)
{
    char path[CONTROL_PATH_MAX];
    control_path(c, path, "store/applied");
    if (c->watch == NULL && port_watch(c->port, path, &c->watch, &c->watch) != PORT_OK) {
        c->watch = NULL; /* ingest has not made it yet */
    }
}

static void follow_store(struct control *c)
{
    if (c->store_changed && c->store != NULL) {
        c->store_changed = false;
        fleet_store_changed(c);
    }
}

static void note_uses(struct control *c)
{
    bool more = fleet_note_uses(c);
    port_wake_at(c->uses, more ? port_now_ms(c->port) + USES_PAUSE_MS : UINT64_MAX);
}

static void refresh_tls(struct control *c);

static void tick(struct control *c)
{
    if (c->store == NULL) {
        open_store(c);
    }
    watch_store(c);
    if (c->watch == NULL) {
        c->store_changed = c->store != NULL; /* without a watch: look once a tick */
    }
    follow_store(c);
    fleet_tick(c);
    reports_tick(c);
    if (c->console != NULL) {
        streams_tick(c);
    }
    login_sweep(c);
    control_grants_tick(c);
    refresh_tls(c);
    if (c->devices != NULL) {
        control_devices_refresh(c->devices);
    }
    port_wake_at(c->tick, port_now_ms(c->port) + CONTROL_TICK_MS);
    note_uses(c);
}

static void handle(void *role, const struct port_event *ev)
{
    struct control *c = role;
    if (ev->kind == PORT_TERMINATE) {
        port_stop(c->port);
        return;
    }
    if (http_server_event(c->console, ev) || http_server_event(c->metrics, ev)) {
        return;
    }
    if (gateways_event(c, ev)) {
        return;
    }
    if (c->devices != NULL && control_devices_event(c->devices, ev)) {
        return;
    }
    if (ev->kind == PORT_WOKE && ev->user == &c->tick) {
        tick(c);
    } else if (ev->kind == PORT_WOKE && ev->user == &c->uses) {
        note_uses(c);
    } else if (ev->kind == PORT_CHANGED && ev->user == &c->watch) {
        c->store_changed = true;
    } else if (ev->kind == PORT_TURN_ENDED) {
        follow_store(c);
    }
}

static void device_changed(void *context, const struct device_id *device)
{
    fleet_registry_changed(context, device);
}

static void devices_broken(void *context, const char *why)
{
    control_fail(context, "the device services cannot go on", why);
}

/* ---- opening ---- */

static bool say(const char *what, const char *why)
{
    (void)fprintf(stderr, "control: %s: %s\n", what, why);
    return false;
}

static bool open_registry(struct control *c)
{
    char path[CONTROL_PATH_MAX];
    struct port_why why = {{0}};
    control_path(c, path, "control");
    if (port_folder_make(c->port, path) != PORT_OK) {
        return say("the folder of the registry cannot be made", path);
    }
    control_path(c, path, "control/registry.db");
    if (registry_open(c->port, path, true, &c->registry, &why) != REGISTRY_OK
        || operators_open(c->registry, &c->operators, &why) != REGISTRY_OK) {
        return say("the registry cannot be opened", why.text);
    }
    if (!control_grants_open(c, &why)) {
        return say("the grants of applications cannot be opened", why.text);
    }
    return fleet_open(c) || say("the registry cannot be read", path);
}

/* The console's certificate and key as they are now; NULL where that is what was last tried. */
static bool load_tls(struct control *c, struct port_tls **out, struct port_why *why)
{
    static uint8_t certificate[PEM_MAX];
    static uint8_t key[PEM_MAX];
    char path[CONTROL_PATH_MAX];
    size_t certificate_len = 0;
    size_t key_len = 0;
    *out = NULL;
    control_path(c, path, "pki/devices.pem");
    enum port_result result =
        port_file_read_all(c->port, path, certificate, sizeof certificate, &certificate_len);
    if (result == PORT_OK) {
        control_path(c, path, "keys/control/devices.key");
        result = port_file_read_all(c->port, path, key, sizeof key, &key_len);
    }
    if (result != PORT_OK) {
        (void)snprintf(why->text, sizeof why->text, "%.200s cannot be read", path);
    }
    const struct slice parts[] = {slice_of(certificate, certificate_len), slice_of(key, key_len)};
    if (tls_files_are_new(&c->tls_files, parts, COUNT_OF(parts)) && result == PORT_OK) {
        struct port_tls_config config = {
            .certificate_pem = parts[0],
            .key_pem = parts[1],
            .is_server = true,
            .alpn = "http/1.1",
        };
        result = port_tls_make(c->port, &config, out, why);
    }
    wipe(key, sizeof key);
    return result == PORT_OK;
}

static bool open_tls(struct control *c)
{
    struct port_why why = {{0}};
    return load_tls(c, &c->tls, &why) || say("the console's certificate cannot be used", why.text);
}

/* A renewed certificate is for connections to come. One that cannot be used was said by the device
 * services, which serve with the same. */
static void refresh_tls(struct control *c)
{
    struct port_why why = {{0}};
    struct port_tls *tls = NULL;
    uint64_t now_ms = port_now_ms(c->port);
    if (c->tls == NULL || now_ms < c->tls_files.due_ms) {
        return;
    }
    c->tls_files.due_ms = now_ms + TLS_FILES_LOOK_MS;
    if (load_tls(c, &tls, &why) && tls != NULL) {
        http_server_set_tls(c->console, tls);
        port_tls_free(c->tls);
        c->tls = tls;
    }
}

/* ux: what the browser may do with what it gets from us. */
#define COMMON_FIELDS                                                                              \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "   \
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html\r\n"       \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"                          \
    "Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n"

static bool open_console(struct control *c)
{
    struct port_why why = {{0}};
    struct http_server_options options = http_server_options_default();
    options.address = c->config->console_listen;
    options.body_max = CONTROL_BODY_MAX;
    options.streams_max = CONTROL_STREAMS_MAX;
    options.handler = control_console_handle;
    options.context = c;
    options.write_problem = control_write_problem;
    options.fields = COMMON_FIELDS;
    if (c->config->console_tls) {
        if (!open_tls(c)) {
            return false;
        }
        options.tls = c->tls;
        options.fields = COMMON_FIELDS "Strict-Transport-Security: max-age=31536000\r\n";
    }
    return http_server_open(c->port, &options, &c->console, &why) == PORT_OK
           || say("the console cannot listen", why.text);
}

static bool open_metrics(struct control *c)
{
    struct port_why why = {{0}};
    struct http_server_options options = http_server_options_default();
    options.address = c->config->metrics_listen;
    options.connections_max = 16;
    options.handler = control_metrics_handle;
    options.context = c;
    return http_server_open(c->port, &options, &c->metrics, &why) == PORT_OK
           || say("the metrics cannot listen", why.text);
}

static bool open_devices(struct control *c)
{
    struct port_why why = {{0}};
    struct control_devices_options options = {
        .data = c->config->data,
        .listen = c->config->devices_listen,
        .domain = c->config->domain,
        .require_linking = c->config->require_linking,
        .lifetime_ms = c->config->device_lifetime_ms,
        .registry = c->registry,
        .trace = c->trace,
        .broken = devices_broken,
        .changed = device_changed,
        .context = c,
    };
    return control_devices_open(c->port, &options, &c->devices, &why)
           || say("the device services cannot start", why.text);
}

/* Cookies know no port: two sites on one machine must not take each other's. */
static void name_cookie(struct control *c)
{
    unsigned port = c->console != NULL ? http_server_port(c->console) : 0;
    (void)snprintf(c->cookie, sizeof c->cookie, "%s_%u", ACCESS_COOKIE, port);
}

/* The origin of the configuration, with the port in its place where the machine chose one. */
static void name_origin(struct control *c)
{
    const char *given =
        c->config->console_origin != NULL ? c->config->console_origin : "http://localhost:0";
    const char *colon = strrchr(given, ':');
    bool chosen = colon != NULL && strcmp(colon, ":0") == 0 && c->console != NULL;
    if (chosen) {
        (void)snprintf(c->origin, sizeof c->origin, "%.*s:%u", (int)(colon - given), given,
                       http_server_port(c->console));
    } else {
        (void)snprintf(c->origin, sizeof c->origin, "%s", given);
    }
    /* Browsers leave the standard port away, and never a slash behind it. */
    size_t len = strlen(c->origin);
    if (len > 4 && strcmp(c->origin + len - 4, ":443") == 0
        && strncmp(c->origin, "https:", 6) == 0) {
        c->origin[len - 4] = '\0';
    } else if (len > 3 && strcmp(c->origin + len - 3, ":80") == 0
               && strncmp(c->origin, "http:", 5) == 0) {
        c->origin[len - 3] = '\0';
    }
}

static bool write_ready(struct control *c)
{
    char text[200];
    if (c->config->ready_path == NULL) {
        return true;
    }
    int len =
        snprintf(text, sizeof text, "{\"v\":1,\"console\":%u,\"devices\":%u,\"metrics\":%u}\n",
                 c->console != NULL ? http_server_port(c->console) : 0u,
                 c->devices != NULL ? control_devices_port(c->devices) : 0u,
                 c->metrics != NULL ? http_server_port(c->metrics) : 0u);
    return metrics_replace(c->port, c->config->ready_path, slice_of(text, (size_t)len)) == PORT_OK
           || say("cannot be written", c->config->ready_path);
}

static void open_trace(struct control *c)
{
    char path[CONTROL_PATH_MAX];
    uint8_t context[CONTROL_DOMAIN_MAX];
    struct writer w = writer_over(context, sizeof context);
    c->cores[CONTROL_TRACE_IDENTIFY] = enrol_identify_trace;
    c->cores[CONTROL_TRACE_DECIDE] = enrol_decide_trace;
    c->cores[CONTROL_TRACE_ACCESS] = access_trace;
    control_path(c, path, "control/traces");
    c->trace =
        trace_start(c->port, "control", path, c->cores, CONTROL_TRACE_CORES, TRACE_RING_BYTES);
    cbor_write_text(&w, slice_text(c->config->domain != NULL ? c->config->domain : ""));
    trace_set_context(c->trace, writer_slice(&w));
}

static bool open_all(struct control *c)
{
    char path[CONTROL_PATH_MAX];
    control_path(c, path, "run");
    (void)port_dir_make(c->port, path);
    if (!open_registry(c)) {
        return false;
    }
    open_trace(c);
    if (c->config->console_listen != NULL && !open_console(c)) {
        return false;
    }
    name_cookie(c);
    name_origin(c);
    if (c->config->metrics_listen != NULL && !open_metrics(c)) {
        return false;
    }
    if (c->config->devices_listen != NULL && !open_devices(c)) {
        return false;
    }
    c->tick = port_wake_new(c->port, &c->tick);
    c->uses = port_wake_new(c->port, &c->uses);
    tick(c);
    return c->exit == 0 && write_ready(c);
}

static void close_all(struct control *c)
{
    trace_stop(c->trace);
    http_server_close(c->console);
    http_server_close(c->metrics);
    if (c->devices != NULL) {
        control_devices_close(c->devices);
    }
    if (c->store != NULL) {
        store_close(c->store);
    }
    control_grants_close(c);
    gateways_close(c);
    operators_close(c->operators);
    if (c->registry != NULL) {
        registry_close(c->registry);
    }
    if (c->tls != NULL) {
        port_tls_free(c->tls);
    }
    fleet_close(&c->fleet);
    reports_close(c);
    for (int i = 0; i < MEMBER_COUNT; i++) {
        free(c->members[i].text);
    }
    port_close_all(c->port);
    free(c->answer);
    free(c->join);
}

int control_end(struct control *c)
{
    int exit_status = c->exit;
    close_all(c);
    free(c);
    return exit_status;
}

int control_begin(const struct control_config *config, struct control **out)
{
    struct control *c = calloc(1, sizeof *c);
    INVARIANT(c != NULL);
    c->config = config;
    c->port = port_open(handle, c);
    c->answer = malloc(CONTROL_ANSWER_MAX);
    c->join = malloc(sizeof *c->join);
    gateways_open(c);
    INVARIANT(c->port != NULL && c->answer != NULL && c->join != NULL);
    c->began_ms = port_now_ms(c->port);
    c->ingest.messages_per_s = c->ingest.points_per_s = c->ingest.lag_p99_s = -1;
    (void)snprintf(c->site, sizeof c->site, "%s", config->site != NULL ? config->site : "");
    port_host_name(c->port, c->host);
    if (!open_all(c)) {
        c->exit = 1;
        return control_end(c);
    }
    *out = c;
    return 0;
}

/*
 * It reads what the others report and the store, writes its registry, and asks the keeper. The
 * store's folder it may write too: a reader of SQLite's log takes part in its index.
 */
static bool give_up_rights(struct control *c)
{
    const char *data = c->config->data;
    struct confine_paths reads = {0};
    struct confine_paths writes = {0};
    confine_path(&reads, data, "pki");
    confine_path(&reads, data, "keys/control");
    confine_path(&reads, data, "gateway");
    if (c->config->console_dir != NULL) {
        confine_path(&reads, c->config->console_dir, NULL);
    }
    confine_path(&writes, data, "run");
    confine_path(&writes, data, "store");
    confine_path(&writes, data, "control");
    confine_path(&writes, data, "grants");
    confine_folder_of(&writes, c->config->ready_path);
    return confine(
        c->port, "control", c->config->sandbox,
        &(struct port_rights){.reads = reads.list, .writes = writes.list, .dials_local = true});
}

int control_run(const struct control_config *config)
{
    struct control *c = NULL;
    int exit_status = control_begin(config, &c);
    if (exit_status == 0) {
        if (give_up_rights(c)) {
            port_run(c->port);
        } else {
            c->exit = 1;
        }
        exit_status = control_end(c);
    }
    return exit_status;
}
