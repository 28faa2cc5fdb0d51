/*
 * What the API tells about devices and the fleet, from the mirror alone: one row for lists, details
 * and events, and the members of /fleet, of which streams send those that became others.
 */
#include "role/control_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SERVER_NOTICE_S = 60 * 86400 };
#define YEAR_10000_S 253402300800.0

const char *const view_member_names[MEMBER_COUNT] = {
    "total",   "states",    "identities", "connected", "ingest",
    "cohorts", "attention", "gateways",   "refusals",  "history"};

static void put_word(struct json_writer *j, const char *name, const char *text)
{
    json_put_text(j, name, text[0] != '\0' ? text : NULL);
}

/* Rounded to thousandths: what is shown has no more, and it makes the same value the same text. */
static void put_known(struct json_writer *j, const char *name, double value)
{
    if (value < 0) {
        json_put_null(j, name);
    } else {
        json_put_double(j, name, round(value * 1000) / 1000);
    }
}

static double shown_rate(const struct fleet_device *row)
{
    return row->state == CONDITION_UNKNOWN && row->points_per_s >= 0 ? 0 : row->points_per_s;
}

void view_put_row(struct json_writer *j,
                  const struct control *c,
                  const struct fleet_device *row,
                  int64_t now_ms)
{
    const struct fleet *f = &c->fleet;
    char id[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(id, sizeof id);
    device_id_write_text(&w, &row->id);
    json_put_u64(j, "v", 1);
    json_put_text(j, "name", row->name);
    json_put_slice(j, "id", writer_slice(&w));
    json_put_text(j, "state", condition_name(row->state));
    json_put_text(j, "identity", identity_state_name(row->identity));
    put_word(j, "model", fleet_word(f, row->model));
    put_word(j, "agent", fleet_word(f, row->agent));
    put_word(j, "gateway", fleet_word(f, row->gateway));
    json_put_bool(j, "connected", row->connected);
    json_put_text(j, "link", fleet_link(row));
    json_put_time(j, "last_seen", row->seen_ms);
    if (row->seen_ms == 0) {
        json_put_null(j, "last_seen_age_s");
    } else {
        json_put_double(j, "last_seen_age_s",
                        now_ms > row->seen_ms ? (double)(now_ms - row->seen_ms) / 1000 : 0);
    }
    json_put_u64(j, "boot", row->boot);
    json_put_u64(j, "gaps_missing", row->missing);
    json_put_u64(j, "dead_letters", row->dead_letters);
    put_known(j, "points_per_s", shown_rate(row));
}

void view_device_row(struct json_writer *j,
                     const struct control *c,
                     const struct fleet_device *row,
                     int64_t now_ms)
{
    json_object(j);
    view_put_row(j, c, row, now_ms);
    json_object_end(j);
}

/* ---- members of /fleet ---- */

static void write_states(struct json_writer *j, const uint32_t *states)
{
    for (int i = 0; i < CONDITION_COUNT; i++) {
        json_put_u64(j, condition_name((enum condition)i), states[i]);
    }
}

static void write_identities(struct json_writer *j, const struct fleet *f)
{
    json_object(j);
    for (int i = IDENTITY_EXPECTED; i < IDENTITY_STATE_COUNT; i++) {
        json_put_u64(j, identity_state_name((enum identity_state)i), f->identities[i]);
    }
    json_object_end(j);
}

static void write_ingest(struct json_writer *j, const struct ingest_view *v)
{
    static const char refused[] = "refused.";
    uint64_t duplicates = 0;
    json_object(j);
    put_known(j, "messages_per_s", v->messages_per_s);
    put_known(j, "points_per_s", v->points_per_s);
    put_known(j, "lag_p99_s", v->lag_p99_s);
    for (size_t i = 0; i < v->counters_count; i++) {
        duplicates =
            strcmp(v->counters[i].name, "duplicate") == 0 ? v->counters[i].value : duplicates;
    }
    json_put_u64(j, "duplicates", duplicates);
    json_name(j, "dead_letters");
    json_object(j);
    for (size_t i = 0; i < v->counters_count; i++) {
        if (slice_has_prefix(slice_text(v->counters[i].name), slice_text(refused))) {
            json_put_u64(j, v->counters[i].name + sizeof refused - 1, v->counters[i].value);
        }
    }
    json_object_end(j);
    json_object_end(j);
}

struct cohort {
    uint32_t total;
    uint32_t states[CONDITION_COUNT];
};

enum cohort_kind { COHORT_VERSION, COHORT_GATEWAY, COHORT_MODEL };

static uint16_t cohort_word(const struct fleet_device *row, enum cohort_kind kind)
{
    switch (kind) {
    case COHORT_VERSION: return row->agent;
    case COHORT_GATEWAY: return row->gateway;
    case COHORT_MODEL: return row->model;
    }
    UNREACHABLE();
}

static void write_cohort(struct json_writer *j, const struct fleet *f, enum cohort_kind kind)
{
    static struct cohort cohorts[CONTROL_WORDS_MAX];
    memset(cohorts, 0, f->words_count * sizeof cohorts[0]);
    for (uint32_t i = 0; i < f->count; i++) {
        struct cohort *at = &cohorts[cohort_word(&f->rows[i], kind)];
        at->total++;
        at->states[f->rows[i].state]++;
    }
    json_array(j);
    for (uint16_t i = 0; i < f->words_count; i++) {
        if (cohorts[i].total > 0 && i != 0) {
            json_object(j);
            json_put_text(j, "name", fleet_word(f, i));
            json_put_u64(j, "devices", cohorts[i].total);
            write_states(j, cohorts[i].states);
            json_object_end(j);
        }
    }
    json_array_end(j);
}

static void write_cohorts(struct json_writer *j, const struct fleet *f)
{
    json_object(j);
    json_name(j, "version");
    write_cohort(j, f, COHORT_VERSION);
    json_name(j, "gateway");
    write_cohort(j, f, COHORT_GATEWAY);
    json_name(j, "model");
    write_cohort(j, f, COHORT_MODEL);
    json_object_end(j);
}

struct notice {
    const char *severity, *why, *next;
    struct slice what, href;
    int64_t since_ms;
};

static void write_notice(struct json_writer *j, const struct notice *n)
{
    json_object(j);
    json_put_text(j, "severity", n->severity);
    json_put_slice(j, "what", n->what);
    json_put_text(j, "why", n->why);
    json_put_text(j, "next", n->next);
    json_put_slice(j, "href", n->href);
    json_put_time(j, "since", n->since_ms);
    json_object_end(j);
}

static struct slice sentence(
    char *room, size_t cap, uint64_t count, const char *one, const char *many)
{
    struct writer w = writer_over(room, cap);
    write_decimal(&w, count);
    write_text(&w, count == 1 ? one : many);
    return writer_slice(&w);
}

static void write_device_notices(struct json_writer *j, const struct fleet *f)
{
    char what[64];
    if (f->states[CONDITION_UNKNOWN] > 0) {
        write_notice(j, &(struct notice){
                            .severity = "unknown",
                            .what = sentence(what, sizeof what, f->states[CONDITION_UNKNOWN],
                                             " device is unknown", " devices are unknown"),
                            .why = "Not heard for three of their usual intervals, or never.",
                            .next = "Show them",
                            .href = slice_text("/devices?q=state%3Aunknown"),
                            .since_ms = f->state_since_ms[CONDITION_UNKNOWN],
                        });
    }
    if (f->states[CONDITION_DEGRADED] > 0) {
        write_notice(j, &(struct notice){
                            .severity = "degraded",
                            .what = sentence(what, sizeof what, f->states[CONDITION_DEGRADED],
                                             " device is degraded", " devices are degraded"),
                            .why = "Messages missing, lost or refused, or a clock that is off.",
                            .next = "Show them",
                            .href = slice_text("/devices?q=state%3Adegraded"),
                            .since_ms = f->state_since_ms[CONDITION_DEGRADED],
                        });
    }
}

static void write_gateway_notices(struct json_writer *j, const struct control *c)
{
    for (uint32_t i = 0; i < c->reports_count; i++) {
        const struct report *r = &c->reports[i];
        if (!r->is_gateway || strcmp(report_state(c, r), "silent") != 0) {
            continue;
        }
        char what[REGISTRY_NAME_MAX + 32];
        char href[3 * REGISTRY_NAME_MAX + 64];
        struct writer w = writer_over(what, sizeof what);
        struct writer h = writer_over(href, sizeof href);
        write_text(&w, r->role);
        write_text(&w, " is silent");
        write_text(&h, "/devices?q=gateway%3A");
        http_percent_encode(&h, slice_text(r->role));
        write_notice(j, &(struct notice){
                            .severity = "failing",
                            .what = writer_slice(&w),
                            .why = "It has not reported for 10 s: its process may be down. Its "
                                   "devices keep what they could not send.",
                            .next = "Show its devices",
                            .href = writer_slice(&h),
                        });
    }
}

/* ---- server certificates, as the keeper has reported them ---- */

struct server_end {
    struct slice stem; /* "gateway" of pki/gateway.pem */
    double not_after_s;
    double left_s; /* below zero: it has expired */
};

static struct slice keeper_report(struct control *c)
{
    const struct report *r = reports_find(c, slice_text("keeper"));
    return r != NULL ? slice_of(r->text, r->len) : (struct slice){0};
}

/* The next one in what is left of the report; false at its end. */
static bool next_server(struct control *c, struct slice *report, struct server_end *out)
{
    struct metrics_line line;
    while ((line = metrics_line_next(report)).kind != METRICS_END) {
        if (line.kind == METRICS_SAMPLE
            && slice_is_text(line.name, "holdfast_server_certificate_not_after_seconds")
            && metrics_label_find(line.labels, "server", &out->stem) && line.value > 0
            && line.value < YEAR_10000_S) {
            out->not_after_s = line.value;
            out->left_s = line.value - (double)control_now(c) / 1000;
            return true;
        }
    }
    return false;
}

/* The keeper renews them in the last third of their life: near the end means that it could not. */
static bool server_ends_soon(const struct server_end *server)
{
    return server->left_s <= SERVER_NOTICE_S;
}

static void put_servers(struct json_writer *j, struct control *c)
{
    struct slice report = keeper_report(c);
    struct server_end server;
    json_name(j, "server_certificates");
    json_array(j);
    while (next_server(c, &report, &server)) {
        json_object(j);
        json_put_slice(j, "name", server.stem);
        json_put_time(j, "not_after", (int64_t)(server.not_after_s * 1000));
        json_put_double(j, "left_s", floor(server.left_s));
        json_put_bool(j, "ends_soon", server_ends_soon(&server));
        json_object_end(j);
    }
    json_array_end(j);
}

static void write_server_notices(struct json_writer *j, struct control *c)
{
    struct slice report = keeper_report(c);
    struct server_end server;
    while (next_server(c, &report, &server)) {
        if (!server_ends_soon(&server)) {
            continue;
        }
        char what[160];
        struct writer w = writer_over(what, sizeof what);
        bool is_valid = server.left_s > 0;
        write_text(&w, "The server certificate pki/");
        write_slice(&w, server.stem);
        write_text(&w, is_valid ? ".pem ends in " : ".pem has expired");
        if (is_valid) {
            write_decimal(&w, (uint64_t)(server.left_s / 86400));
            write_text(&w, " d");
        }
        write_notice(j,
                     &(struct notice){
                         .severity = is_valid ? "degraded" : "failing",
                         .what = writer_slice(&w),
                         .why = "The keeper renews it in the last third of its life and could not: "
                                "see its log.",
                         .next = "holdfast check says what is wrong",
                         .href = slice_text("/"),
                     });
    }
}

static double violations_of(const struct control *c)
{
    double sum = (double)invariant_breaches();
    for (int i = 0; i < PROMISE_COUNT; i++) {
        sum += (double)promise_violations((enum promise)i);
    }
    for (uint32_t i = 0; i < c->reports_count; i++) {
        double one = 0;
        struct slice text = slice_of(c->reports[i].text, c->reports[i].len);
        sum += metrics_sum(text, "holdfast_invariant_violations_total", NULL, NULL, &one) ? one : 0;
        sum += metrics_sum(text, "holdfast_invariant_breaches_total", NULL, NULL, &one) ? one : 0;
    }
    return sum;
}

/* Field traces that lie in the folders of the roles. */
static double traces_of(const struct control *c)
{
    double sum = trace_kept(c->trace);
    for (uint32_t i = 0; i < c->reports_count; i++) {
        double one = 0;
        struct slice text = slice_of(c->reports[i].text, c->reports[i].len);
        sum += metrics_sum(text, "holdfast_traces", NULL, NULL, &one) ? one : 0;
    }
    return sum;
}

/* What a damaged journal holds waits there, and no lag tells of it. */
static void write_ingest_notice(struct json_writer *j, struct control *c)
{
    const struct report *r = reports_find(c, slice_text("ingest"));
    double damaged = 0;
    if (r != NULL) {
        (void)metrics_first(slice_of(r->text, r->len), "holdfast_ingest_sources_damaged", &damaged);
    }
    if (damaged > 0) {
        write_notice(j, &(struct notice){
                            .severity = "failing",
                            .what = slice_text("The spool of a gateway cannot be read"),
                            .why = "Its files are damaged where ingest has to go on: what the "
                                   "gateway acknowledged since is not applied. The log of ingest "
                                   "names gateway and position.",
                            .next = "Show gateways",
                            .href = slice_text("/"),
                        });
    }
}

static void write_attention(struct json_writer *j, struct control *c)
{
    json_array(j);
    if (violations_of(c) > 0) {
        write_notice(j, &(struct notice){
                            .severity = "failing",
                            .what = slice_text("A promise of Holdfast was broken"),
                            .why = "The counters of invariant violations must be zero and are not.",
                            .next = "Show which",
                            .href = slice_text("/"),
                        });
    } else if (traces_of(c)
               > 0) { /* of a process that has begun anew since, and counts from zero */
        write_notice(j, &(struct notice){
                            .severity = "failing",
                            .what = slice_text("A promise of Holdfast was broken"),
                            .why = "A role has written a trace of what led to it: holdfast check "
                                   "names the file.",
                            .next = "Show which",
                            .href = slice_text("/"),
                        });
    }
    write_ingest_notice(j, c);
    write_server_notices(j, c);
    write_gateway_notices(j, c);
    write_device_notices(j, &c->fleet);
    json_array_end(j);
}

/* ---- gateways and refusals ---- */

static double value_or(const struct report *r, const char *name, double otherwise)
{
    double value = otherwise;
    (void)metrics_sum(slice_of(r->text, r->len), name, NULL, NULL, &value);
    return value;
}

static void put_main_reason(struct json_writer *j, const struct report *r)
{
    struct slice text = slice_of(r->text, r->len);
    struct slice best = {0};
    double most = 0;
    struct metrics_line line;
    while ((line = metrics_line_next(&text)).kind != METRICS_END) {
        struct slice reason;
        if (line.kind == METRICS_SAMPLE
            && slice_is_text(line.name, "holdfast_gateway_refusals_total") && line.value > most
            && metrics_label_find(line.labels, "reason", &reason)) {
            most = line.value;
            best = reason;
        }
    }
    if (best.len > 0) {
        json_put_slice(j, "main_reason", best);
    } else {
        json_put_null(j, "main_reason");
    }
}

static void write_clock(struct json_writer *j, const struct report *r)
{
    if (r->has_clock_offset) {
        json_put_double(j, "clock_offset_s", round(r->clock_offset_ms / 10) / 100);
        json_put_text(j, "clock_quality", time_quality_name(r->clock_quality));
    } else {
        json_put_null(j, "clock_offset_s");
        json_put_text(j, "clock_quality", time_quality_name(TIME_UNKNOWN));
    }
}

void view_put_gateway(struct json_writer *j, struct control *c, const struct report *r)
{
    double refused = report_rate(r->refused, r->samples);
    json_put_u64(j, "v", 1);
    json_put_text(j, "name", r->role);
    json_put_text(j, "state", report_state(c, r));
    json_put_text(j, "drain", gateways_drain_word(c, r));
    put_known(j, "sessions", value_or(r, "holdfast_gateway_sessions", -1));
    put_known(j, "messages_per_s", report_rate(r->messages, r->samples));
    put_known(j, "refused_per_min", refused < 0 ? -1 : refused * 60);
    put_main_reason(j, r);
    put_known(j, "spool_bytes", value_or(r, "holdfast_gateway_spool_bytes", -1));
    put_known(j, "spool_budget", value_or(r, "holdfast_gateway_spool_budget_bytes", -1));
    put_known(j, "lag_bytes", value_or(r, "holdfast_gateway_spool_unread_bytes", -1));
    put_known(j, "lag_age_s", value_or(r, "holdfast_gateway_spool_unread_age_seconds", -1));
    write_clock(j, r);
}

void view_write_gateways(struct json_writer *j, struct control *c)
{
    json_array(j);
    for (uint32_t i = 0; i < c->reports_count; i++) {
        if (c->reports[i].is_gateway) {
            json_object(j);
            view_put_gateway(j, c, &c->reports[i]);
            json_object_end(j);
        }
    }
    json_array_end(j);
}

struct refusal {
    struct slice reason;
    double total;
};

static size_t gather_refusals(const struct control *c, struct refusal list[CONTROL_REFUSALS_MAX])
{
    size_t count = 0;
    for (uint32_t i = 0; i < c->reports_count; i++) {
        struct slice text = slice_of(c->reports[i].text, c->reports[i].len);
        struct metrics_line line;
        while ((line = metrics_line_next(&text)).kind != METRICS_END) {
            struct slice reason;
            if (line.kind != METRICS_SAMPLE
                || !slice_is_text(line.name, "holdfast_gateway_refusals_total") || line.value <= 0
                || !metrics_label_find(line.labels, "reason", &reason)) {
                continue;
            }
            size_t at = 0;
            while (at < count && !slice_equal(list[at].reason, reason)) {
                at++;
            }
            if (at == count && count < CONTROL_REFUSALS_MAX) {
                list[count++] = (struct refusal){.reason = reason};
            }
            if (at < count) {
                list[at].total += line.value;
            }
        }
    }
    return count;
}

static struct refusal_total *refusal_find(struct control *c, struct slice reason)
{
    for (size_t i = 0; i < c->refusal_totals_count; i++) {
        if (slice_is_text(reason, c->refusal_totals[i].reason)) {
            return &c->refusal_totals[i];
        }
    }
    struct refusal_total *kept = &c->refusal_totals[c->refusal_totals_count];
    if (c->refusal_totals_count == CONTROL_REFUSALS_MAX || reason.len >= sizeof kept->reason) {
        return NULL;
    }
    *kept = (struct refusal_total){0}; /* not there before: zero at all earlier samples */
    memcpy(kept->reason, reason.at, reason.len);
    c->refusal_totals_count++;
    return kept;
}

void view_sample_refusals(struct control *c)
{
    struct refusal list[CONTROL_REFUSALS_MAX];
    size_t count = gather_refusals(c, list);
    uint32_t at = c->refusal_samples++ % CONTROL_RATES;
    for (size_t i = 0; i < c->refusal_totals_count; i++) { /* of a gateway that reports no more */
        uint32_t before = (c->refusal_samples + CONTROL_RATES - 2) % CONTROL_RATES;
        c->refusal_totals[i].ring[at] = c->refusal_totals[i].ring[before];
    }
    for (size_t i = 0; i < count; i++) {
        struct refusal_total *kept = refusal_find(c, list[i].reason);
        if (kept != NULL) {
            kept->ring[at] = list[i].total;
        }
    }
}

static void write_refusals(struct json_writer *j, struct control *c)
{
    struct refusal list[CONTROL_REFUSALS_MAX];
    size_t count = gather_refusals(c, list);
    json_array(j);
    for (size_t i = 0; i < count; i++) {
        const struct refusal_total *kept = refusal_find(c, list[i].reason);
        double per_s = kept != NULL ? report_rate(kept->ring, c->refusal_samples) : -1;
        json_object(j);
        json_put_slice(j, "reason", list[i].reason);
        put_known(j, "per_min", per_s < 0 ? -1 : per_s * 60);
        json_put_double(j, "total", list[i].total);
        json_object_end(j);
    }
    json_array_end(j);
}

static void write_series(struct json_writer *j,
                         const char *name,
                         const struct history *h,
                         const double *values)
{
    json_name(j, name);
    json_array(j);
    for (uint32_t i = 0; i < h->count; i++) {
        double value = values[(h->next + CONTROL_HISTORY - h->count + i) % CONTROL_HISTORY];
        if (value < 0) {
            json_null(j);
        } else {
            json_double(j, round(value * 1000) / 1000);
        }
    }
    json_array_end(j);
}

static void write_history(struct json_writer *j, const struct history *h)
{
    json_object(j);
    json_name(j, "t");
    json_array(j);
    for (uint32_t i = 0; i < h->count; i++) {
        json_i64(j, h->t[(h->next + CONTROL_HISTORY - h->count + i) % CONTROL_HISTORY]);
    }
    json_array_end(j);
    write_series(j, "messages_per_s", h, h->messages_per_s);
    write_series(j, "connected", h, h->connected);
    write_series(j, "lag_p99_s", h, h->lag_p99_s);
    json_object_end(j);
}

static void write_member(struct json_writer *j, struct control *c, enum fleet_member which)
{
    switch (which) {
    case MEMBER_TOTAL: json_u64(j, c->fleet.count); return;
    case MEMBER_STATES:
        json_object(j);
        write_states(j, c->fleet.states);
        json_object_end(j);
        return;
    case MEMBER_IDENTITIES: write_identities(j, &c->fleet); return;
    case MEMBER_CONNECTED: json_u64(j, c->fleet.connected); return;
    case MEMBER_INGEST: write_ingest(j, &c->ingest); return;
    case MEMBER_COHORTS: write_cohorts(j, &c->fleet); return;
    case MEMBER_ATTENTION: write_attention(j, c); return;
    case MEMBER_GATEWAYS: view_write_gateways(j, c); return;
    case MEMBER_REFUSALS: write_refusals(j, c); return;
    case MEMBER_HISTORY: write_history(j, &c->history); return;
    }
    UNREACHABLE();
}

void view_members_refresh(struct control *c)
{
    static uint8_t room[CONTROL_MEMBER_MAX];
    for (int i = 0; i < MEMBER_COUNT; i++) {
        struct member *m = &c->members[i];
        struct writer w = writer_over(room, sizeof room);
        struct json_writer j = json_writer_to(&w);
        write_member(&j, c, (enum fleet_member)i);
        if (!writer_ok(&w)) {
            writer_reset(&w);
            write_text(&w, "null"); /* more than a console could show: say so rather than cut */
        }
        if (m->text == NULL) {
            m->text = malloc(CONTROL_MEMBER_MAX);
            INVARIANT(m->text != NULL);
        }
        if (m->change == 0 || !slice_equal(writer_slice(&w), slice_of(m->text, m->len))) {
            memcpy(m->text, w.at, w.len);
            m->len = w.len;
            m->change = ++c->fleet.change;
        }
    }
}

/* ---- routes ---- */

void view_fleet(struct ask *a)
{
    view_members_refresh(a->control);
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    for (int i = 0; i < MEMBER_COUNT; i++) {
        json_name(&a->json, view_member_names[i]);
        json_raw(&a->json, slice_of(a->control->members[i].text, a->control->members[i].len));
    }
    json_object_end(&a->json);
    ask_done(a);
}

static void put_invariants(struct ask *a)
{
    const struct control *c = a->control;
    double evaluations = 0;
    struct json_writer *j = &a->json;
    json_name(j, "invariants");
    json_object(j);
    json_name(j, "names");
    json_object(j);
    for (int i = 0; i < PROMISE_COUNT; i++) {
        const char *name = promise_name((enum promise)i);
        double looked = (double)promise_evaluations((enum promise)i);
        double broken = (double)promise_violations((enum promise)i);
        for (uint32_t k = 0; k < c->reports_count; k++) {
            struct slice text = slice_of(c->reports[k].text, c->reports[k].len);
            double one = 0;
            looked += metrics_sum(text, "holdfast_invariant_evaluations_total", "name", name, &one)
                          ? one
                          : 0;
            one = 0;
            broken += metrics_sum(text, "holdfast_invariant_violations_total", "name", name, &one)
                          ? one
                          : 0;
        }
        evaluations += looked;
        json_name(j, name);
        json_object(j);
        json_put_double(j, "evaluations", looked);
        json_put_double(j, "violations", broken);
        json_object_end(j);
    }
    json_object_end(j);
    json_put_double(j, "evaluations", evaluations);
    json_put_double(j, "violations", violations_of(c));
    json_put_double(j, "traces", traces_of(c));
    json_object_end(j);
}

void view_status(struct ask *a)
{
    struct control *c = a->control;
    struct json_writer *j = &a->json;
    json_object(j);
    json_put_u64(j, "v", 1);
    json_put_text(j, "version", CONTROL_VERSION);
    json_put_text(j, "site", c->site);
    json_put_text(j, "host", c->host);
    json_put_time(j, "now", a->now_ms);
    json_put_double(j, "up_s", (double)(port_now_ms(c->port) - c->began_ms) / 1000);
    json_name(j, "fleet");
    json_object(j);
    json_put_u64(j, "total", c->fleet.count);
    json_put_u64(j, "connected", c->fleet.connected);
    json_name(j, "states");
    write_member(j, c, MEMBER_STATES);
    json_name(j, "identities");
    write_identities(j, &c->fleet);
    json_object_end(j);
    json_name(j, "gateways");
    view_write_gateways(j, c);
    json_name(j, "ingest");
    write_ingest(j, &c->ingest);
    put_servers(j, c);
    put_invariants(a);
    json_object_end(j);
    ask_done(a);
}

void view_gateways(struct ask *a)
{
    size_t count = 0;
    for (uint32_t i = 0; i < a->control->reports_count; i++) {
        count += a->control->reports[i].is_gateway;
    }
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_name(&a->json, "items");
    view_write_gateways(&a->json, a->control);
    json_put_null(&a->json, "next");
    json_put_u64(&a->json, "total", count);
    json_object_end(&a->json);
    ask_done(a);
}
