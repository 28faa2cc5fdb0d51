#include "base/invariant.h"
#include "role/device_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STOP_MS = 2000, SOURCE_PERIOD_MS = 1000 };

/* ---- saying things ---- */

void device_say(const struct device *d, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (d->config.log_name != NULL) {
        (void)fprintf(stderr, "%s %s\n", d->log_name, text);
    }
}

void device_fail(struct device *d, const char *what, const char *why)
{
    if (!d->is_over) {
        (void)snprintf(d->why, sizeof d->why, "%.100s %.140s", what, why);
        (void)fprintf(stderr, "%s stops: %s\n", d->id_text, d->why);
    }
    d->is_over = true;
}

/* ---- opening ---- */

static enum port_result bad(struct port_why *why, const char *text)
{
    (void)snprintf(why->text, sizeof why->text, "%s", text);
    return PORT_BAD;
}

static bool copy_text(char *to, size_t cap, const char *from)
{
    int len = snprintf(to, cap, "%s", from);
    return len > 0 && (size_t)len < cap;
}

/* "https://host:port" to what port_connect and the Host field want. */
static bool split_url(struct device *d, const char *url)
{
    static const char scheme[] = "https://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    const char *address = url + sizeof scheme - 1;
    size_t len = strcspn(address, "/");
    const char *colon = NULL;
    for (size_t i = 0; i < len; i++) {
        colon = address[i] == ':' ? address + i : colon;
    }
    if (colon == NULL || len >= sizeof d->devices_address) {
        return false;
    }
    memcpy(d->devices_address, address, len);
    size_t host_len = (size_t)(colon - address);
    bool has_brackets = host_len >= 2 && address[0] == '[' && address[host_len - 1] == ']';
    memcpy(d->devices_host, address + has_brackets, host_len - (has_brackets ? 2 : 0));
    return host_len > 0;
}

static enum port_result take_config(struct device *d,
                                    const struct device_config *config,
                                    struct port_why *why)
{
    d->config = *config;
    if (!copy_text(d->state_dir, sizeof d->state_dir - 32, config->state_dir)
        || !copy_text(d->idevid_path, sizeof d->idevid_path, config->idevid_path)
        || !copy_text(d->idevid_key_path, sizeof d->idevid_key_path, config->idevid_key_path)
        || !copy_text(d->root_path, sizeof d->root_path, config->root_path)) {
        return bad(why, "a path is empty or too long");
    }
    if (!message_stream_is_valid(slice_text(config->stream))
        || !copy_text(d->stream, sizeof d->stream, config->stream)) {
        return bad(why, "a stream is 1 to 64 letters, digits, '.', '_' and '-', the first no '.'");
    }
    if (!split_url(d, config->devices_url)) {
        return bad(why, "the address of the device services is https://HOST:PORT");
    }
    if (!copy_text(d->agent, sizeof d->agent, config->agent)) {
        return bad(why, "the agent's name is empty or too long");
    }
    if (config->gateways_count == 0) {
        return bad(why, "no gateway");
    }
    if (config->log_name != NULL) {
        (void)copy_text(d->log_name, sizeof d->log_name, config->log_name);
    }
    return PORT_OK;
}

static uint64_t seed(struct device *d)
{
    uint64_t value;
    port_entropy(d->port, &value, sizeof value);
    return value;
}

static enum port_result start_cores(struct device *d, struct port_why *why)
{
    struct enroll_event started = {.kind = ENROLL_STARTED};
    enum port_result result = device_load_keys(d, why);
    if (result != PORT_OK) {
        return result;
    }
    if (key_make(KEY_P256, &d->ephemeral) != KEY_OK) {
        return bad(why, "the cryptographic library makes no key");
    }
    d->ephemeral_public = key_public_of(d->ephemeral);
    enroll_init(&d->enroll, seed(d));
    generation_init(&d->generation, d->renewed.key != NULL, seed(d));
    link_init(&d->link, (uint32_t)d->config.gateways_count, d->config.preferred, seed(d));
    for (uint32_t i = 0; d->config.priorities != NULL && i < d->link.gateways; i++) {
        link_set_priority(&d->link, i, d->config.priorities[i]);
    }
    d->trust_due_ms = UINT64_MAX;
    const struct device_identity *newest = d->renewed.key != NULL ? &d->renewed : &d->own;
    started.has_certificate = newest->key != NULL;
    started.has_next_key = d->next_key != NULL;
    started.not_before_ms = newest->not_before_ms;
    started.not_after_ms = newest->not_after_ms;
    device_feed_enroll(d, &started);
    (void)device_load_trust(d); /* where there is one, the session begins here */
    return PORT_OK;
}

static enum port_result open_all(struct device *d, struct port_why *why)
{
    enum port_result result = device_lock(d, why);
    if (result == PORT_OK) {
        result = device_load_idevid(d, why);
    }
    if (result == PORT_OK) {
        result = device_load_sequence(d, why);
    }
    if (result == PORT_OK) {
        result = device_open_outbox(d, why);
    }
    if (result == PORT_OK) {
        uint32_t period_ms =
            d->config.period_ms != 0 ? d->config.period_ms : (uint32_t)SOURCE_PERIOD_MS;
        uint64_t shape = 0;
        for (size_t i = 0; i < sizeof shape; i++) {
            shape = shape << 8 | d->id.bytes[i];
        }
        result = source_open(d->port, d->config.source, d->sequence.row, shape, period_ms,
                             &d->source, why);
        d->source_has_rows = source_has_rows(d->config.source);
    }
    if (result == PORT_OK) {
        d->wake = port_wake_new(d->port, &d->wake_tag);
        result = start_cores(d, why);
    }
    return result;
}

static void settle(struct device *d);

enum port_result device_open(struct port *port,
                             const struct device_config *config,
                             struct device **out,
                             struct port_why *why)
{
    struct device *d = calloc(1, sizeof *d);
    if (d == NULL) {
        (void)bad(why, "no memory");
        return PORT_FAILED;
    }
    d->port = port;
    enum port_result result = take_config(d, config, why);
    if (result == PORT_OK) {
        result = open_all(d, why);
    }
    if (result != PORT_OK) {
        device_close(d);
        return result;
    }
    settle(d);
    *out = d;
    return PORT_OK;
}

void device_close(struct device *d)
{
    if (d == NULL) {
        return;
    }
    trace_left(d->config.trace);
    device_end_job(d);
    if (d->conn != NULL) {
        port_conn_set_user(d->conn, NULL);
        port_abort(d->conn);
    }
    port_tls_free(d->tls);
    device_close_outbox(d);
    source_close(d->source);
    if (d->wake != NULL) {
        port_wake_free(d->wake);
    }
    if (d->lock != NULL) {
        port_file_close(d->lock);
    }
    key_free(d->own.key);
    key_free(d->renewed.key);
    key_free(d->next_key);
    key_free(d->ephemeral);
    wipe(&d->mac_key, sizeof d->mac_key);
    free(d);
}

/* ---- feeding the cores ---- */

static void perform_enroll(struct device *d, const struct enroll_effect *effect)
{
    struct enroll_event next = {0};
    const struct device_identity *newest;
    switch (effect->kind) {
    case ENROLL_MAKE_KEY:
        if (!device_make_next_key(d)) {
            device_fail(d, "next.key", "cannot be made and stored");
            return;
        }
        next.kind = ENROLL_KEY_STORED;
        device_feed_enroll(d, &next);
        return;
    case ENROLL_ASK: device_ask(d); return;
    case ENROLL_STORE:
        if (!device_store_identity(d)) {
            device_fail(d, "the certificate", "cannot be stored");
            return;
        }
        newest = d->renewed.key != NULL ? &d->renewed : &d->own;
        if (newest == &d->renewed) {
            device_trace_generation(d, GENERATION_CALL_RENEWED, false);
            generation_renewed(&d->generation);
        }
        next.kind = ENROLL_STORED;
        next.not_before_ms = newest->not_before_ms;
        next.not_after_ms = newest->not_after_ms;
        device_feed_enroll(d, &next);
        return;
    case ENROLL_USE:
        device_say(d, "has a certificate");
        d->trust_due_ms = d->has_trust ? d->trust_due_ms : port_now_ms(d->port);
        if (d->trust_due_ms == UINT64_MAX) {
            d->trust_due_ms =
                port_now_ms(d->port); /* a stored list may be old: ask for the newest */
        }
        device_identity_changed(d);
        return;
    }
}

void device_feed_enroll(struct device *d, const struct enroll_event *ev)
{
    struct enroll_event event = *ev;
    struct enroll_effects effects;
    enum time_quality quality;
    event.now_ms = port_now_ms(d->port);
    event.wall_ms = port_wall_ms(d->port, &quality);
    event.has_clock = quality != TIME_UNKNOWN;
    device_trace_enroll(d, &event);
    enroll_step(&d->enroll, &event, &effects);
    trace_left(d->config.trace);
    for (uint32_t i = 0; i < effects.count && !d->is_over; i++) {
        perform_enroll(d, &effects.list[i]);
    }
}

void device_feed_link(struct device *d, const struct link_event *ev)
{
    struct link_event event = *ev;
    struct link_effects effects;
    event.now_ms = port_now_ms(d->port);
    if (ev->kind == LINK_CLOSED) {
        device_trace_generation(d, GENERATION_CALL_FAILED, false);
        generation_failed(&d->generation, event.now_ms);
    }
    device_trace_link(d, &event);
    link_step(&d->link, &event, &effects);
    trace_left(d->config.trace);
    for (uint32_t i = 0; i < effects.count && !d->is_over; i++) {
        device_perform_link(d, &effects.list[i]);
    }
}

/* A new certificate or a new ingest key: the session begins anew with it, or for the first time. */
void device_identity_changed(struct device *d)
{
    if (d->tls != NULL) {
        port_tls_free(d->tls); /* the connection that uses it keeps what it needs */
        d->tls = NULL;
    }
    if (d->is_linked) {
        device_feed_link(d, &(struct link_event){.kind = LINK_RENEW});
    } else if (d->own.key != NULL && d->has_trust && !d->is_stopping) {
        d->is_linked = true;
        device_feed_link(d, &(struct link_event){.kind = LINK_START});
    }
}

/* ---- turning ---- */

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One that was hung up waits for its end, which a gateway that is gone keeps us waiting for. */
static bool is_in_session(const struct device *d)
{
    return d->link.state == LINK_LIVE && !d->link.is_hung_up;
}

static uint64_t due_ms(const struct device *d)
{
    uint64_t due = sooner(enroll_due_ms(&d->enroll), link_due_ms(&d->link));
    if (d->job == DEVICE_NO_JOB) { /* a job that is under way tells when it has ended */
        due = sooner(due, d->trust_due_ms);
    }
    due = sooner(due, is_in_session(d) ? generation_due_ms(&d->generation) : UINT64_MAX);
    if (!d->source_ended && d->has_trust) {
        uint64_t source = d->has_sample ? d->full_until_ms : d->source_due_ms;
        uint64_t now_ms = port_now_ms(d->port);
        source = source < d->full_until_ms ? d->full_until_ms : source;
        /* What is due and could not be taken now waits for room: an acknowledgement brings it. */
        due = sooner(due, source > now_ms ? source : now_ms + 20);
    }
    if (d->link.state == LINK_LIVE && !outbox_is_empty(&d->outbox)
        && d->link.hold_ms > port_now_ms(d->port)) {
        due = sooner(due, d->link.hold_ms);
    }
    return due;
}

/* All that can be done now, in order; then the time of the next. */
static void settle(struct device *d)
{
    if (d->is_over || d->is_stopping) {
        return;
    }
    uint64_t now_ms = port_now_ms(d->port);
    if (now_ms >= d->trust_due_ms && d->job == DEVICE_NO_JOB) {
        device_fetch_trust(d);
    }
    device_sample(d);
    device_read_journal(d);
    device_publish(d);
    if (!d->is_over) {
        port_wake_at(d->wake, due_ms(d));
    }
}

/* The exact next number is the last thing that is stored. */
static void end(struct device *d)
{
    struct sequence_store store;
    if (d->is_over) {
        return;
    }
    device_trace_call(d, SEQUENCE_CALL_STOP, 0);
    sequence_stop(&d->sequence, &store);
    if (!device_store_sequence(d, &store)) {
        device_fail(d, "the file sequence", "cannot be written");
    }
    d->is_over = true;
}

static void end_if_quiet(struct device *d)
{
    bool is_durable = d->bus == NULL || bus_durable(d->bus) >= bus_staged(d->bus);
    if (d->is_stopping && d->conn == NULL && is_durable) {
        end(d);
    }
}

static void tick(struct device *d)
{
    if (d->is_stopping) {
        end(d); /* the goodbye took too long */
        return;
    }
    device_feed_enroll(d, &(struct enroll_event){.kind = ENROLL_TICK});
    device_feed_link(d, &(struct link_event){.kind = LINK_TICK});
    if (is_in_session(d) && port_now_ms(d->port) >= generation_due_ms(&d->generation)) {
        device_identity_changed(d); /* the renewed certificate gets another chance */
    }
}

/* Takes the event where it is ours. */
static bool take(struct device *d, const struct port_event *ev)
{
    if (ev->user == &d->wake_tag) {
        tick(d);
        return true;
    }
    return device_conn_event(d, ev) || device_bus_event(d, ev) || device_http_event(d, ev);
}

bool device_event(struct device *d, const struct port_event *ev)
{
    if (d->is_over) {
        return false;
    }
    if (ev->kind == PORT_TURN_ENDED) {
        device_flush(d);
        return false;
    }
    if (!take(d, ev)) {
        return false;
    }
    end_if_quiet(d);
    settle(d);
    return true;
}

bool device_put(struct device *d, struct slice pack)
{
    if (d->is_over || d->is_stopping || !device_keep(d, pack)) {
        return false;
    }
    settle(d);
    if (!d->is_over) { /* a turn to send and to sync in, should the caller be outside of any */
        port_wake_at(d->wake, port_now_ms(d->port));
    }
    return true;
}

/* ---- stopping ---- */

void device_stop(struct device *d)
{
    if (d->is_stopping || d->is_over) {
        return;
    }
    d->is_stopping = true;
    device_end_job(d);
    device_flush(d);
    device_feed_link(d, &(struct link_event){.kind = LINK_STOP});
    port_wake_at(d->wake, port_now_ms(d->port) + STOP_MS);
    end_if_quiet(d);
}

bool device_is_over(const struct device *d)
{
    return d->is_over;
}

const char *device_why(const struct device *d)
{
    return d->why;
}

static bool has_waiting(const struct device *d)
{
    bool all_read =
        d->bus == NULL
        || (d->read_to >= bus_staged(d->bus) && bus_durable(d->bus) >= bus_staged(d->bus));
    return !all_read || !outbox_is_empty(&d->outbox);
}

bool device_is_drained(const struct device *d)
{
    return d->source_ended && !d->has_sample && !has_waiting(d);
}

void device_counts(const struct device *d, struct device_counts *out)
{
    *out = (struct device_counts){
        .is_enrolled = d->own.key != NULL,
        .is_live = d->link.state == LINK_LIVE,
        .boot = d->sequence.boot,
        .next_seq = d->sequence.next,
        .queued = d->queued,
        .acked = d->outbox.acked_count,
        .refused = d->outbox.refused_count,
        .repeated = d->outbox.repeated_count,
        .missed = source_missed_count(d->source),
        .source_ended = d->source_ended,
        .has_waiting = has_waiting(d),
    };
}

const struct device_id *device_id(const struct device *d)
{
    return &d->id;
}
