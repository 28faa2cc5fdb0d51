#include "role/trace.h"

#include "base/time.h"
#include "base/version.h"
#include "crypto/hash.h"
#include "role/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct trace *trace_current;
static struct trace *all; /* recorders of this process */

/* A recorder that many processes of a simulation share has no port, and no clock. */
static int64_t wall_ms(const struct trace *t)
{
    return t->port != NULL ? port_wall_ms(t->port, NULL) : 0;
}

/* ---- the file ---- */

static struct trace_head head_of(const struct trace *t)
{
    struct trace_head head = {
        .role = slice_text(t->role),
        .build = slice_text("holdfast " HOLDFAST_VERSION),
        .wall_ms = wall_ms(t),
        .breach = {.file = trace_file(t->told.breach.file),
                   .line = (uint64_t)t->told.breach.line,
                   .text = slice_text(t->told.breach.text),
                   .promise = slice_text(t->told.promise != NULL ? t->told.promise : "")},
        .context = slice_of(t->context, t->context_len),
        .cores_count = t->cores_count,
        .cipher = t->cipher,
        .unseen = t->recorder.unseen,
        .has_at = t->is_at,
        .at_core = t->core,
        .at_instance = t->instance,
    };
    for (uint32_t i = 0; i < t->cores_count; i++) {
        head.cores[i] = slice_text(t->cores[i].name);
        head.layouts[i] = trace_layout(&t->cores[i]);
    }
    struct recorder_record record;
    for (uint64_t at = 0; recorder_next(&t->recorder, &at, &record);) {
        head.entries++;
    }
    return head;
}

static void write_end(struct trace *t, struct writer *w)
{
    const struct trace_core *core = t->is_at ? &t->cores[t->core] : NULL;
    if (core == NULL || core->state == NULL || t->state == NULL) {
        trace_end_write(w, NULL, NULL, (struct slice){0});
        return;
    }
    struct writer behind = writer_over(t->behind, sizeof t->behind);
    memset(t->image, 0, core->state->image_len);
    core->save(t->state, t->image, &behind);
    trace_end_write(w, core->state, t->image, writer_slice(&behind));
}

/* The next bytes of the file. */
static struct slice more(void *context)
{
    struct trace *t = context;
    struct writer w = writer_over(t->chunk, sizeof t->chunk);
    struct trace_head head;
    struct recorder_record record;
    switch (t->part) {
    case TRACE_HEAD:
        head = head_of(t);
        trace_head_write(&w, &head);
        t->part = TRACE_ENTRIES;
        break;
    case TRACE_ENTRIES:
        if (recorder_next(&t->recorder, &t->position, &record)) {
            trace_entry_write(&w, t->cores, &record);
            while (writer_room(&w) > TRACE_ENTRY_MAX
                   && recorder_next(&t->recorder, &t->position, &record)) {
                trace_entry_write(&w, t->cores, &record);
            }
            break;
        }
        write_end(t, &w);
        t->part = TRACE_DONE;
        break;
    case TRACE_END:
    case TRACE_DONE: break;
    }
    return writer_slice(&w);
}

/* ---- names ---- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* "gateway-AckedIsKept" or "gateway-session.c-324": all breaches of one kind. */
static size_t kind_write(const struct trace *t, char out[TRACE_NAME_MAX])
{
    struct writer w = writer_over(out, TRACE_NAME_MAX / 2);
    write_text(&w, t->role);
    write_text(&w, "-");
    if (t->told.promise != NULL) {
        write_text(&w, t->told.promise);
    } else {
        write_text(&w, last_part(t->told.breach.file));
        write_text(&w, "-");
        write_decimal(&w, (uint64_t)t->told.breach.line);
    }
    return writer_slice(&w).len;
}

/* `later`: milliseconds, where a file has the name of this one. */
static bool name_write(struct trace *t, char out[TRACE_NAME_MAX], int64_t later)
{
    size_t kind_len = kind_write(t, out);
    uint32_t same = 0;
    for (uint32_t i = 0; i < t->kept && i < TRACES_KEPT_MAX; i++) {
        same += strncmp(t->names[i], out, kind_len) == 0 && t->names[i][kind_len] == '-';
    }
    if (kind_len == 0 || t->kept >= TRACES_KEPT_MAX || same >= TRACES_OF_ONE_MAX) {
        return false;
    }
    struct writer w = writer_over(out, TRACE_NAME_MAX - 1);
    w.len = kind_len;
    write_text(&w, "-");
    write_decimal(&w, (uint64_t)(wall_ms(t) + later));
    write_text(&w, TRACE_SUFFIX);
    out[writer_slice(&w).len] = '\0';
    return writer_ok(&w);
}

static void write_file(struct trace *t)
{
    char name[TRACE_NAME_MAX];
    const struct trace_note note = t->note;
    t->note = (struct trace_note){0};
    if (t->written_at == t->recorder.events && t->written > 0) {
        return; /* the first breach of a step is the cause */
    }
    if (t->verdict != NULL) {
        *t->verdict_place = *t->verdict;
    }
    t->told = note;
    enum port_result result = PORT_EXISTS;
    for (int64_t later = 0; later < TRACE_NAMES_TRIED && result == PORT_EXISTS; later++) {
        t->part = TRACE_HEAD;
        t->position = 0;
        result = name_write(t, name, later) ? port_last_words(t->dir, name, more, t) : PORT_FAILED;
    }
    if (result != PORT_OK) {
        t->failed++;
        return;
    }
    memcpy(t->names[t->kept++], name, sizeof name);
    t->written++;
    t->written_at = t->recorder.events;
}

/* ---- breaches ---- */

static void on_breach(void *context, const struct invariant_breach *breach, bool is_end)
{
    struct trace *t = context;
    trace_note(&t->note, breach);
    if (is_end) {
        write_file(t);
    }
}

void trace_settle(struct trace *t)
{
    if (t != NULL && t->note.is_due) {
        write_file(t);
    }
}

void trace_focus(struct trace *t)
{
    if (trace_current != t) {
        trace_settle(trace_current);
        trace_current = t;
        invariant_listen(on_breach, t);
    }
    trace_settle(t);
}

/* ---- the role's ---- */

static void note_name(void *context, const char *name)
{
    struct trace *t = context;
    size_t len = strlen(name);
    size_t suffix = strlen(TRACE_SUFFIX);
    if (len < suffix || strcmp(name + len - suffix, TRACE_SUFFIX) != 0) {
        return;
    }
    if (t->kept < TRACES_KEPT_MAX) {
        (void)snprintf(t->names[t->kept], TRACE_NAME_MAX, "%s", name);
    }
    t->kept++;
}

struct trace *trace_start(struct port *port,
                          const char *role,
                          const char *dir,
                          const struct trace_core *cores,
                          uint32_t cores_count,
                          uint32_t ring_bytes)
{
    if (dir == NULL || strlen(dir) >= TRACE_DIR_MAX) {
        return NULL;
    }
    /* Most of it is never touched, and takes no memory before. */
    struct trace *t = calloc(1, sizeof *t);
    uint8_t *memory = calloc(1, ring_bytes);
    if (t == NULL || memory == NULL) {
        free(t);
        free(memory);
        return NULL;
    }
    t->port = port;
    t->cores = cores;
    t->cores_count = cores_count;
    t->cipher = trace_cipher(hash_of((struct slice){0}).bytes);
    t->memory = memory;
    (void)snprintf(t->role, sizeof t->role, "%s", role);
    (void)snprintf(t->dir, sizeof t->dir, "%s", dir);
    recorder_init(&t->recorder, memory, ring_bytes);
    if (port != NULL) {
        (void)port_dir_list(port, dir, note_name, t);
    }
    t->next = all;
    all = t;
    trace_focus(t);
    return t;
}

void trace_stop(struct trace *t)
{
    if (t == NULL) {
        return;
    }
    trace_settle(t);
    if (trace_current == t) {
        trace_current = NULL;
        invariant_listen(NULL, NULL);
    }
    for (struct trace **link = &all; *link != NULL; link = &(*link)->next) {
        if (*link == t) {
            *link = t->next;
            break;
        }
    }
    free(t->memory);
    free(t);
}

void trace_set_context(struct trace *t, struct slice context)
{
    if (t != NULL && context.len <= sizeof t->context) {
        if (context.len > 0) { /* an empty slice may be at NULL */
            memcpy(t->context, context.at, context.len);
        }
        t->context_len = context.len;
    }
}

static bool keep_state(struct trace *t,
                       struct recorder_head head,
                       uint32_t *mark,
                       uint32_t event_len)
{
    const struct trace_shape *shape = t->cores[head.core].state;
    struct writer behind = writer_over(t->behind, sizeof t->behind);
    memset(t->image, 0, shape->image_len);
    t->cores[head.core].save(t->state, t->image, &behind);
    struct slice bytes = writer_slice(&behind);
    head.what = RECORDER_STATE;
    head.image_len = shape->image_len;
    head.bytes_len = (uint32_t)bytes.len;
    if (!recorder_make_room(&t->recorder, mark, head.image_len + head.bytes_len, event_len)) {
        return false;
    }
    if (!recorder_knows(&t->recorder, mark)) {
        uint8_t *to = recorder_put(&t->recorder, head);
        memcpy(to, t->image, head.image_len);
        memcpy(to + head.image_len, behind.at, bytes.len);
        *mark = t->recorder.turn;
    }
    return true;
}

void trace_event(struct trace *t,
                 uint16_t core,
                 uint32_t instance,
                 uint32_t *mark,
                 const void *state,
                 const void *event,
                 struct slice bytes)
{
    if (t == NULL) {
        return;
    }
    const struct recorder_head head = {.image_len = t->cores[core].event->image_len,
                                       .bytes_len = (uint32_t)bytes.len,
                                       .instance = instance,
                                       .core = core,
                                       .what = RECORDER_EVENT};
    uint32_t none = t->recorder.turn;
    uint32_t len = head.image_len + head.bytes_len;
    bool has_state = t->cores[core].state != NULL;
    trace_at(t, core, instance, state);
    /* A state that is known and room for the event: nothing has to be saved first. */
    uint8_t *to = has_state && recorder_size(len) <= RECORDER_RECORD_MAX
                      ? recorder_put_quickly(&t->recorder, mark, head)
                      : NULL;
    if (to == NULL
        && (has_state ? keep_state(t, head, mark, len)
                      : recorder_make_room(&t->recorder, &none, 0, len))) {
        to = recorder_put(&t->recorder, head);
    }
    if (to != NULL) {
        memcpy(to, event, head.image_len);
        if (bytes.len > 0) {
            memcpy(to + head.image_len, bytes.at, bytes.len);
        }
    }
}

uint32_t trace_kept(const struct trace *t)
{
    return t != NULL ? t->kept : 0;
}

uint32_t trace_claim_all(const char *file, int line, const char *text)
{
    const struct invariant_breach breach = {.file = file, .line = line, .text = text};
    uint32_t count = 0;
    for (struct trace *t = all; t != NULL; t = t->next) {
        uint64_t before = t->written;
        trace_settle(t);
        trace_note(&t->note, &breach);
        write_file(t);
        count += t->written > before;
    }
    return count;
}

void trace_metrics(const struct trace *t, struct writer *w)
{
    metrics_name(w, "holdfast_traces", "gauge",
                 "Field traces in the role's folder: each tells of an invariant that broke.");
    metrics_value(w, "holdfast_traces", NULL, trace_kept(t));
    metrics_name(w, "holdfast_traces_failed_total", "counter",
                 "Breaches that left no trace: the folder is full, or cannot be written.");
    metrics_value(w, "holdfast_traces_failed_total", NULL, t != NULL ? t->failed : 0);
}
