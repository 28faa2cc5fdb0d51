/*
 * What other roles report of themselves: DATA/run/ROLE.metrics, read once a second. From it come
 * the gateways of the console, the lag of ingest, the refusals by reason, and the sum that /metrics
 * serves.
 */
#include "io/read_all.h"
#include "role/control_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char ending[] = ".metrics";

static struct slice text_of(const struct report *r)
{
    return slice_of(r->text, r->len);
}

struct report *reports_find(struct control *c, struct slice role)
{
    for (uint32_t i = 0; i < c->reports_count; i++) {
        if (slice_is_text(role, c->reports[i].role)) {
            return &c->reports[i];
        }
    }
    return NULL;
}

static void each_file(void *context, const char *name)
{
    struct control *c = context;
    struct slice file = slice_text(name);
    size_t tail = sizeof ending - 1;
    if (file.len <= tail || file.len - tail > REGISTRY_NAME_MAX
        || !slice_is_text(slice_after(file, file.len - tail), ending)) {
        return;
    }
    struct slice role = slice_of(file.at, file.len - tail);
    struct report *r = reports_find(c, role);
    if (r == NULL && c->reports_count < CONTROL_REPORTS_MAX) {
        r = &c->reports[c->reports_count++];
        *r = (struct report){0};
        memcpy(r->role, role.at, role.len);
    }
    if (r != NULL) {
        r->is_there = true;
    }
}

/* The process behind a file lives while its count of reports moves: an old file proves nothing. */
static void note_turn(struct control *c, struct report *r, const struct metrics_wanted *turn)
{
    if (!turn->is_found) {
        return;
    }
    if (r->turn != 0 && turn->value != r->turn) {
        r->moved_ms = port_now_ms(c->port);
    }
    r->turn = turn->value;
}

/*
 * How far the gateway's wall clock is off from ours. Its report names both of its clocks; on one
 * machine the monotonic one is ours, too, and says how old the report is. Elsewhere that age makes
 * no sense, and the offset stays unknown.
 */
static void note_clock(struct control *c,
                       struct report *r,
                       const struct metrics_wanted *wall,
                       const struct metrics_wanted *monotonic,
                       const struct metrics_wanted *quality)
{
    double age = (double)port_now_ms(c->port) - monotonic->value;
    r->has_clock_offset = r->is_gateway && wall->is_found && monotonic->is_found
                          && quality->is_found && age >= 0 && age < CONTROL_REPORT_SILENT_MS;
    if (r->has_clock_offset) {
        r->clock_offset_ms = wall->value + age - (double)control_now(c);
        r->clock_quality = quality->value == TIME_SYNCED     ? TIME_SYNCED
                           : quality->value == TIME_HOLDOVER ? TIME_HOLDOVER
                                                             : TIME_UNKNOWN;
    }
}

/* What is wanted of a report each second, in the order in which a gateway says it. */
enum { WANTED_WALL, WANTED_MONOTONIC, WANTED_QUALITY, WANTED_SESSIONS, WANTED_TURN };
enum { WANTED_COUNT = WANTED_TURN + 1 };

static void read_wanted(struct control *c, struct report *r)
{
    struct metrics_wanted wanted[WANTED_COUNT] = {
        [WANTED_WALL] = {.name = "holdfast_gateway_wall_clock_milliseconds"},
        [WANTED_MONOTONIC] = {.name = "holdfast_gateway_monotonic_clock_milliseconds"},
        [WANTED_QUALITY] = {.name = "holdfast_gateway_clock_quality"},
        [WANTED_SESSIONS] = {.name = "holdfast_gateway_sessions"},
        [WANTED_TURN] = {.name = "holdfast_reports_total"},
    };
    metrics_find(text_of(r), wanted, COUNT_OF(wanted));
    r->is_gateway = wanted[WANTED_SESSIONS].is_found;
    note_turn(c, r, &wanted[WANTED_TURN]);
    note_clock(c, r, &wanted[WANTED_WALL], &wanted[WANTED_MONOTONIC], &wanted[WANTED_QUALITY]);
}

static void read_report(struct control *c, struct report *r)
{
    char path[CONTROL_PATH_MAX];
    char name[sizeof r->role + sizeof ending + 4];
    struct writer w = writer_over(name, sizeof name - 1);
    write_text(&w, "run/");
    write_text(&w, r->role);
    write_text(&w, ending);
    name[w.len] = '\0';
    control_path(c, path, name);
    if (r->text == NULL) {
        r->text = malloc(CONTROL_REPORT_MAX);
        INVARIANT(r->text != NULL);
    }
    size_t len = 0;
    if (port_file_read_all(c->port, path, r->text, CONTROL_REPORT_MAX, &len) != PORT_OK) {
        return; /* between two of its reports, or too long: the one before stands no more */
    }
    r->len = len;
    read_wanted(c, r);
}

const char *report_state(const struct control *c, const struct report *r)
{
    uint64_t now = port_now_ms(c->port);
    if (r->moved_ms != 0 && now - r->moved_ms < CONTROL_REPORT_SILENT_MS) {
        return "connected";
    }
    return r->moved_ms != 0 || now - c->began_ms >= CONTROL_REPORT_SILENT_MS ? "silent" : "unknown";
}

/* The rise over the samples there are, the newest at (samples - 1). A count that fell was begun
 * anew. */
double report_rate(const double ring[CONTROL_RATES], uint32_t samples)
{
    if (samples < 2) {
        return -1;
    }
    uint32_t span = samples < CONTROL_RATES ? samples - 1 : CONTROL_RATES - 1;
    double rise = 0;
    for (uint32_t i = samples - span; i < samples; i++) {
        double step = ring[i % CONTROL_RATES] - ring[(i - 1) % CONTROL_RATES];
        rise += step > 0 ? step : 0;
    }
    return rise * 1000 / ((double)span * CONTROL_SAMPLE_MS);
}

static double sum_or_zero(const struct report *r, const char *name)
{
    double sum = 0;
    (void)metrics_sum(text_of(r), name, NULL, NULL, &sum);
    return sum;
}

static void sample_report(struct report *r)
{
    uint32_t at = r->samples++ % CONTROL_RATES;
    r->messages[at] = sum_or_zero(r, "holdfast_gateway_messages_total");
    r->refused[at] = sum_or_zero(r, "holdfast_gateway_refusals_total");
}

/* ---- ingest ---- */

static double counter_of(const struct ingest_view *v, const char *name)
{
    for (size_t i = 0; i < v->counters_count; i++) {
        if (strcmp(v->counters[i].name, name) == 0) {
            return (double)v->counters[i].value;
        }
    }
    return 0;
}

/* The 99th percentile of what rose in the lag's histogram since the last sample. */
static void reckon_lag(struct control *c)
{
    struct ingest_view *v = &c->ingest;
    struct report *r = reports_find(c, slice_text("ingest"));
    double now[CONTROL_LAG_BUCKETS] = {0};
    size_t count = 0;
    v->lag_p99_s = -1;
    if (r == NULL) {
        return;
    }
    struct slice text = text_of(r);
    struct metrics_line line;
    while ((line = metrics_line_next(&text)).kind != METRICS_END && count < CONTROL_LAG_BUCKETS) {
        struct slice bound;
        if (line.kind == METRICS_SAMPLE
            && slice_is_text(line.name, "holdfast_ingest_lag_seconds_bucket")
            && metrics_label_find(line.labels, "le", &bound)) {
            v->lag_bounds[count] = (double)INFINITY;
            struct json_reader number = json_reader_over(bound);
            double value = json_read_double(&number);
            if (json_reader_done(&number)) {
                v->lag_bounds[count] = value;
            }
            now[count++] = line.value;
        }
    }
    bool goes_on = count > 0 && v->lag_count == count && now[count - 1] >= v->lag_before[count - 1];
    double total = goes_on ? now[count - 1] - v->lag_before[count - 1] : 0;
    for (size_t i = 0; i < count && total > 0 && v->lag_p99_s < 0; i++) {
        if (now[i] - v->lag_before[i] >= 0.99 * total) {
            v->lag_p99_s =
                isfinite(v->lag_bounds[i]) || i == 0 ? v->lag_bounds[i] : v->lag_bounds[i - 1];
        }
    }
    memcpy(v->lag_before, now, sizeof now);
    v->lag_count = count;
}

static void read_counters(struct control *c)
{
    struct ingest_view *v = &c->ingest;
    if (c->store != NULL
        && store_counters(c->store, v->counters, COUNT_OF(v->counters), &v->counters_count)
               == STORE_OK) {
        v->is_there = true;
    }
}

static void sample_ingest(struct control *c)
{
    struct ingest_view *v = &c->ingest;
    uint32_t at = v->samples++ % CONTROL_RATES;
    v->applied[at] = counter_of(v, "applied");
    v->points[at] = counter_of(v, "points");
    /* Over the last sample alone: what happens now, not what happened within the minute. */
    double before = v->samples >= 2 ? v->applied[(v->samples - 2) % CONTROL_RATES] : -1;
    double points_before = v->samples >= 2 ? v->points[(v->samples - 2) % CONTROL_RATES] : -1;
    v->messages_per_s = before < 0 ? -1 : (v->applied[at] - before) * 1000 / CONTROL_SAMPLE_MS;
    v->points_per_s =
        points_before < 0 ? -1 : (v->points[at] - points_before) * 1000 / CONTROL_SAMPLE_MS;
    reckon_lag(c);
}

static void sample_history(struct control *c)
{
    struct history *h = &c->history;
    h->t[h->next] = control_now(c);
    h->messages_per_s[h->next] = c->ingest.messages_per_s;
    h->connected[h->next] = c->fleet.connected;
    h->lag_p99_s[h->next] = c->ingest.lag_p99_s;
    h->next = (h->next + 1) % CONTROL_HISTORY;
    h->count += h->count < CONTROL_HISTORY;
}

void reports_tick(struct control *c)
{
    char path[CONTROL_PATH_MAX];
    uint64_t now = port_now_ms(c->port);
    control_path(c, path, "run");
    (void)port_dir_list(c->port, path, each_file, c);
    for (uint32_t i = 0; i < c->reports_count; i++) {
        if (c->reports[i].is_there) {
            read_report(c, &c->reports[i]);
        }
        c->reports[i].is_there = false;
    }
    for (uint32_t i = 0; i < c->reports_count; i++) {
        const struct report *r = &c->reports[i];
        if (r->is_gateway) {
            fleet_gateway_changed(c, slice_text(r->role),
                                  strcmp(report_state(c, r), "connected") == 0);
        }
    }
    read_counters(c);
    if (c->sampled_ms == 0 || now - c->sampled_ms >= CONTROL_SAMPLE_MS) {
        c->sampled_ms = c->sampled_ms == 0 ? now : c->sampled_ms + CONTROL_SAMPLE_MS;
        for (uint32_t i = 0; i < c->reports_count; i++) {
            sample_report(&c->reports[i]);
        }
        view_sample_refusals(c);
        sample_ingest(c);
        sample_history(c);
    }
}

void reports_close(struct control *c)
{
    for (uint32_t i = 0; i < c->reports_count; i++) {
        free(c->reports[i].text);
    }
}

/* ---- /metrics ---- */

static void write_devices(struct control *c, struct writer *w)
{
    const struct fleet *f = &c->fleet;
    metrics_name(w, "holdfast_devices", "gauge", "Devices by condition.");
    for (int i = 0; i < CONDITION_COUNT; i++) {
        metrics_labelled(w, "holdfast_devices", "state",
                         slice_text(condition_name((enum condition)i)), f->states[i]);
    }
    metrics_name(w, "holdfast_identities", "gauge", "Devices by the state of their identity.");
    for (int i = IDENTITY_EXPECTED; i < IDENTITY_STATE_COUNT; i++) {
        metrics_labelled(w, "holdfast_identities", "state",
                         slice_text(identity_state_name((enum identity_state)i)), f->identities[i]);
    }
    metrics_name(w, "holdfast_devices_connected", "gauge",
                 "Devices with a live session at a gateway.");
    metrics_value(w, "holdfast_devices_connected", NULL, f->connected);
}

static void write_store(struct control *c, struct writer *w)
{
    const struct ingest_view *v = &c->ingest;
    static const char refused[] = "refused.";
    metrics_name(w, "holdfast_store_records_total", "counter",
                 "What ingest committed, by kind, since the store was made.");
    for (size_t i = 0; i < v->counters_count; i++) {
        if (!slice_has_prefix(slice_text(v->counters[i].name), slice_text(refused))) {
            metrics_labelled(w, "holdfast_store_records_total", "kind",
                             slice_text(v->counters[i].name), v->counters[i].value);
        }
    }
    metrics_name(w, "holdfast_store_dead_letters_total", "counter",
                 "Messages refused by ingest, by reason.");
    for (size_t i = 0; i < v->counters_count; i++) {
        if (slice_has_prefix(slice_text(v->counters[i].name), slice_text(refused))) {
            metrics_labelled(w, "holdfast_store_dead_letters_total", "reason",
                             slice_text(v->counters[i].name + sizeof refused - 1),
                             v->counters[i].value);
        }
    }
}

static void write_requests(struct control *c, struct writer *w)
{
    static const char *const classes[6] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    struct http_server_counts n =
        c->console != NULL ? http_server_counts(c->console) : (struct http_server_counts){0};
    metrics_name(w, "holdfast_api_answers_total", "counter",
                 "Answers of console and API, by class.");
    for (size_t i = 1; i < COUNT_OF(classes); i++) {
        metrics_labelled(w, "holdfast_api_answers_total", "class", slice_text(classes[i]),
                         n.by_class[i]);
    }
    metrics_name(w, "holdfast_api_refusals_total", "counter", "API requests refused, by reason.");
    for (int i = 1; i < ACCESS_VERDICT_COUNT; i++) {
        metrics_labelled(w, "holdfast_api_refusals_total", "reason",
                         slice_text(access_verdict_name((enum access_verdict)i)), c->refused[i]);
    }
    metrics_labelled(w, "holdfast_api_refusals_total", "reason", slice_text("malformed"),
                     n.malformed);
    metrics_labelled(w, "holdfast_api_refusals_total", "reason", slice_text("too-slow"),
                     n.timeouts);
    metrics_labelled(w, "holdfast_api_refusals_total", "reason", slice_text("handshake"),
                     n.refused);
    metrics_name(w, "holdfast_api_connections", "gauge", "Open connections of console and API.");
    metrics_value(w, "holdfast_api_connections", NULL, n.connections);
    metrics_name(w, "holdfast_api_streams", "gauge", "Open event streams.");
    metrics_value(w, "holdfast_api_streams", NULL, n.streams);
    metrics_histogram_write(w, "holdfast_api_seconds", "From a whole request to its answer.",
                            &c->api_time);
}

void control_write_own_metrics(struct control *c, struct writer *w)
{
    metrics_name(w, "holdfast_build_info", "gauge", "The version that runs.");
    metrics_value(w, "holdfast_build_info", "version=\"" CONTROL_VERSION "\"", 1);
    write_devices(c, w);
    write_store(c, w);
    write_requests(c, w);
    if (c->devices != NULL) {
        control_devices_metrics(c->devices, w);
    }
    metrics_name(w, "holdfast_report_bad_lines_total", "counter",
                 "Lines of reports that were no metrics and left out.");
    metrics_value(w, "holdfast_report_bad_lines_total", NULL, c->reports_bad_lines);
    metrics_invariants(w);
    confine_metrics(w);
    trace_metrics(c->trace, w);
}

static void answer_metrics(struct control *c, struct http_call *call)
{
    static uint8_t own[CONTROL_REPORT_MAX];
    struct slice texts[CONTROL_REPORTS_MAX + 1];
    size_t count = 0;
    struct writer mine = writer_over(own, sizeof own);
    struct writer out = writer_over(c->answer, CONTROL_ANSWER_MAX);
    control_write_own_metrics(c, &mine);
    texts[count++] = writer_slice(&mine);
    for (uint32_t i = 0; i < c->reports_count; i++) {
        /* Gauges of a process that is gone would stand for ever. */
        if (strcmp(report_state(c, &c->reports[i]), "silent") != 0) {
            texts[count++] = text_of(&c->reports[i]);
        }
    }
    bool joined = metrics_join(texts, count, c->join, &out, &c->reports_bad_lines);
    http_answer(call,
                &(struct http_response){
                    .status = joined ? 200 : 500,
                    .content_type = "text/plain; version=0.0.4; charset=utf-8",
                    .body = joined ? writer_slice(&out) : slice_text("more metrics than fit\n"),
                });
}

void control_metrics_handle(void *context, struct http_call *call)
{
    bool reads = call->head.method == HTTP_GET || call->head.method == HTTP_HEAD;
    if (!slice_is_text(call->head.path, "/metrics")) {
        http_answer(call, &(struct http_response){.status = 404,
                                                  .content_type = "text/plain",
                                                  .body = slice_text("see /metrics\n")});
    } else if (!reads) {
        http_answer(call, &(struct http_response){.status = 405, .fields = "Allow: GET, HEAD\r\n"});
    } else {
        answer_metrics(context, call);
    }
}
