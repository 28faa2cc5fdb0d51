#include "sim/replay.h"

#include "crypto/hash.h"
#include "sim/replay_inside.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 16, FILE_MAX = 8 << 20, ENCODED_MAX = TRACE_ENTRY_MAX };

static const struct replay_core *const cores[] = {
    &replay_gateway_session, &replay_ingest_device,   &replay_device_link,
    &replay_device_enroll,   &replay_device_sequence, &replay_device_generation,
    &replay_enrol_identify,  &replay_enrol_decide,    &replay_access,
    &replay_signing,
};

/* One replay; too large for a stack, and longjmp must find it as it was. */
static struct replay {
    FILE *out;
    struct trace_head head;
    const struct replay_core *core;
    jmp_buf stop;
    struct trace_note note; /* what broke in this step */
    bool is_guarded;        /* a core is being stepped, and `stop` may be jumped to */
    bool has_stopped;       /* an invariant ended it */
    bool is_live;           /* the instance was restored */
    uint64_t events;        /* of the instance */
    uint64_t left_out;      /* before its first state: the ring had forgotten it */
    uint64_t broke_at;      /* the first event in which something broke; 0: none */
    uint64_t last_broke_at;
    struct trace_note first;
    _Alignas(16) uint8_t image[TRACE_IMAGE_MAX];
    _Alignas(16) uint8_t behind[RECORDER_RECORD_MAX * 2];
    uint8_t encoded[ENCODED_MAX];
} run;

/* ---- for people ---- */

static void print_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        int c = text.at[i];
        (void)fputc(c >= ' ' && c < 0x7f ? c : '?', run.out);
    }
}

static void print_breach(
    const char *what, struct slice promise, struct slice file, uint64_t line, struct slice text)
{
    (void)fprintf(run.out, "%-12s", what);
    if (promise.len > 0) {
        print_text(promise);
        (void)fprintf(run.out, "  ");
    }
    if (file.len > 0) {
        print_text(file);
        (void)fprintf(run.out, ":%" PRIu64 "  ", line);
        print_text(text);
    }
    (void)fputc('\n', run.out);
}

static void print_note(const char *what, const struct trace_note *note)
{
    print_breach(what, slice_text(note->promise != NULL ? note->promise : ""),
                 trace_file(note->breach.file), (uint64_t)note->breach.line,
                 slice_text(note->breach.text));
}

static uint64_t number_at(const uint8_t *image, const struct trace_field *f)
{
    uint64_t value = 0;
    memcpy(&value, image + f->at, f->len < sizeof value ? f->len : sizeof value);
    return value; /* little-endian, as every machine this is built for */
}

/* The fields that are not zero, by their names, and those that have named values. */
static void print_image(const struct trace_shape *shape, const uint8_t *image)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct trace_field *f = &shape->fields[i];
        uint64_t value = f->kind < TRACE_OCTETS ? number_at(image, f) : 0;
        if (f->names != NULL && value <= f->most && f->names[value] != NULL) {
            (void)fprintf(run.out, " %s", f->names[value]);
        } else if (value != 0) {
            (void)fprintf(run.out, " %s=%" PRIu64, f->name, value);
        }
    }
}

static void print_event(size_t behind_len)
{
    (void)fprintf(run.out, "  %5" PRIu64 " ", run.events);
    print_image(run.core->trace->event, run.image);
    if (behind_len > 0) {
        (void)fprintf(run.out, " (%zu bytes)", behind_len);
    }
    (void)fputc('\n', run.out);
}

static void print_head(void)
{
    const struct trace_head *h = &run.head;
    (void)fprintf(run.out, "%-12s", "role");
    print_text(h->role);
    (void)fprintf(run.out, " of ");
    print_text(h->build);
    (void)fprintf(run.out, ", %" PRId64 " ms since 1970\n", h->wall_ms);
    print_breach("broke", h->breach.promise, h->breach.file, h->breach.line, h->breach.text);
    (void)fprintf(run.out, "%-12s%" PRIu64, "entries", h->entries);
    if (h->unseen > 0) {
        (void)fprintf(run.out, ", and %" PRIu64 " events too large to be recorded", h->unseen);
    }
    (void)fputc('\n', run.out);
}

static enum replay_result unusable(const char *why)
{
    (void)fprintf(run.out, "%-12s%s\n", "unusable", why);
    return REPLAY_UNUSABLE;
}

/* ---- which cores ---- */

static const struct replay_core *core_named(struct slice name)
{
    for (size_t i = 0; i < COUNT_OF(cores); i++) {
        if (slice_is_text(name, cores[i]->trace->name)) {
            return cores[i];
        }
    }
    return NULL;
}

/* Every core of the trace is ours, with the fields that ours has. */
static bool are_known(void)
{
    bool ok = true;
    for (uint64_t i = 0; i < run.head.cores_count; i++) {
        const struct replay_core *core = core_named(run.head.cores[i]);
        if (core != NULL && trace_layout(core->trace) == run.head.layouts[i]) {
            continue;
        }
        ok = false;
        (void)fprintf(run.out, "%-12s", "core");
        print_text(run.head.cores[i]);
        if (core == NULL) {
            (void)fprintf(run.out, ": this build has none of that name\n");
        } else {
            (void)fprintf(run.out,
                          ": its layout is %016" PRIx64 ", this build's is %016" PRIx64
                          ": replay it with the build that wrote it\n",
                          run.head.layouts[i], trace_layout(core->trace));
        }
    }
    return ok;
}

/* ---- stepping ---- */

static void on_breach(void *context, const struct invariant_breach *breach, bool is_end)
{
    (void)context;
    trace_note(&run.note, breach);
    if (is_end && run.is_guarded) {
        run.has_stopped = true;
        run.is_guarded = false;
        longjmp(run.stop, 1);
    }
}

/* False: there is no such state or event. */
static bool guarded(bool (*act)(const void *image, struct slice behind), struct slice behind)
{
    run.note = (struct trace_note){0};
    invariant_listen(on_breach, NULL);
    if (setjmp(run.stop) != 0) {
        return true;
    }
    run.is_guarded = true;
    bool ok = act(run.image, behind);
    run.is_guarded = false;
    return ok;
}

static bool take_state(const struct trace_entry *entry)
{
    struct writer w = writer_over(run.behind, sizeof run.behind);
    run.is_live = run.core->restore != NULL
                  && trace_image_read(entry->body, run.core->trace->state, run.image, &w)
                  && guarded(run.core->restore, writer_slice(&w)) && !run.note.is_due;
    return run.is_live;
}

static bool take_event(const struct trace_entry *entry, bool is_shown)
{
    struct writer w = writer_over(run.behind, sizeof run.behind);
    if (!run.is_live && run.core->restore != NULL) {
        run.left_out++;
        return true;
    }
    run.events++;
    if (!trace_image_read(entry->body, run.core->trace->event, run.image, &w)) {
        return false;
    }
    if (is_shown) {
        print_event(w.len);
    }
    if (!guarded(run.core->step, writer_slice(&w))) {
        return false;
    }
    if (run.note.is_due) {
        run.last_broke_at = run.events;
        if (run.broke_at == 0) {
            run.broke_at = run.events;
            run.first = run.note;
        }
        print_note("breaks", &run.note);
    }
    return true;
}

static bool is_of_instance(const struct trace_entry *entry)
{
    return entry->core == run.head.at_core && entry->instance == run.head.at_instance;
}

static uint64_t count_entries(struct trace_reader reader)
{
    struct trace_entry entry;
    uint64_t count = 0;
    while (trace_next(&reader, &entry)) {
        count += is_of_instance(&entry);
    }
    return count;
}

static bool step_all(struct trace_reader *reader, struct slice *end)
{
    struct trace_entry entry;
    uint64_t left = count_entries(*reader);
    while (trace_next(reader, &entry)) {
        if (!is_of_instance(&entry)) {
            continue;
        }
        bool is_shown = --left < SHOWN_MAX;
        bool ok =
            run.has_stopped
            || (entry.what == RECORDER_STATE ? take_state(&entry) : take_event(&entry, is_shown));
        if (!ok) {
            (void)fprintf(run.out, "%-12s%s\n", "unusable",
                          "an entry that no core of this build could have written");
            return false;
        }
        if (run.has_stopped && left > 0) {
            (void)fprintf(run.out, "%-12s%s\n", "stopped", "earlier than in the field");
            run.broke_at = 0;
            break;
        }
    }
    while (trace_next(reader, &entry)) {
    }
    return trace_end(reader, end);
}

/* The newest entries of all instances: what led to a breach outside of the cores. */
static void print_newest(struct trace_reader reader)
{
    struct trace_entry entry;
    uint64_t left = reader.left;
    while (trace_next(&reader, &entry)) {
        if (left-- > SHOWN_MAX || entry.core >= run.head.cores_count
            || entry.what != RECORDER_EVENT) {
            continue;
        }
        const struct replay_core *core = core_named(run.head.cores[entry.core]);
        struct writer w = writer_over(run.behind, sizeof run.behind);
        if (core != NULL && trace_image_read(entry.body, core->trace->event, run.image, &w)) {
            (void)fprintf(run.out, "  %s %" PRIu64, core->trace->name, entry.instance);
            print_image(core->trace->event, run.image);
            (void)fputc('\n', run.out);
        }
    }
}

/* ---- the verdict ---- */

static bool is_same_breach(const struct trace_note *note)
{
    const struct trace_breach *b = &run.head.breach;
    return slice_is_text(b->promise, note->promise != NULL ? note->promise : "")
           && slice_equal(b->file, trace_file(note->breach.file))
           && b->line == (uint64_t)note->breach.line;
}

static void print_hash(const char *what, struct slice body)
{
    struct digest digest = hash_of(body);
    (void)fprintf(run.out, "%-12s", what);
    for (size_t i = 0; i < sizeof digest.bytes; i++) {
        (void)fprintf(run.out, "%02x", digest.bytes[i]);
    }
    (void)fputc('\n', run.out);
}

/* What is different, by name. */
static void print_differences(const struct trace_shape *shape,
                              struct slice ours,
                              struct slice theirs)
{
    static uint8_t other[TRACE_IMAGE_MAX];
    struct writer a = writer_over(run.behind, sizeof run.behind);
    struct writer b = writer_over(run.behind, sizeof run.behind);
    if (!trace_image_read(ours, shape, run.image, &a)
        || !trace_image_read(theirs, shape, other, &b)) {
        return;
    }
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct trace_field *f = &shape->fields[i];
        if (f->kind != TRACE_LEFT_OUT && memcmp(run.image + f->at, other + f->at, f->len) != 0) {
            (void)fprintf(run.out, "%-12s%s is %" PRIu64 ", was %" PRIu64 "\n", "differs", f->name,
                          number_at(run.image, f), number_at(other, f));
        }
    }
}

static bool is_same_state(struct slice end)
{
    const struct trace_core *core = run.core->trace;
    if (core->state == NULL) {
        return end.len == 0;
    }
    struct writer behind = writer_over(run.behind, sizeof run.behind);
    struct writer w = writer_over(run.encoded, sizeof run.encoded);
    memset(run.image, 0, core->state->image_len);
    core->save(run.core->state(), run.image, &behind);
    trace_image_write(&w, core->state, run.image, writer_slice(&behind));
    print_hash("state", writer_slice(&w));
    if (slice_equal(writer_slice(&w), end)) {
        return true;
    }
    print_hash("in the field", end);
    print_differences(core->state, writer_slice(&w), end);
    return false;
}

static enum replay_result verdict(struct slice end)
{
    bool has_stepped = run.events > 0 && (run.is_live || run.core->restore == NULL);
    (void)fprintf(run.out, "%-12s%" PRIu64 " events of instance %" PRIu64 "\n", "stepped",
                  run.events, run.head.at_instance);
    bool is_same = has_stepped && is_same_state(end);
    bool has_broken = run.broke_at != 0 && run.last_broke_at == run.events;
    if (!has_stepped) {
        (void)fprintf(run.out, "%-12s%s\n", "not reproduced",
                      ": the ring held no state of this instance");
    } else if (!has_broken) {
        (void)fprintf(run.out, "not reproduced: nothing breaks in this build\n");
    } else if (!is_same_breach(&run.note)) {
        (void)fprintf(run.out, "not reproduced: something else breaks\n");
    } else if (!is_same) {
        (void)fprintf(run.out, "not reproduced: the same breaks, in another state\n");
    } else {
        (void)fprintf(run.out, "reproduced: the same breach, in the same state\n");
        return REPLAY_REPRODUCED;
    }
    return REPLAY_NOT_REPRODUCED;
}

static enum replay_result replay(struct slice file)
{
    struct trace_reader reader;
    struct slice end = {0};
    if (!trace_open(&reader, file, &run.head)) {
        return unusable(reader.cbor.fault.clause);
    }
    print_head();
    if (!are_known()) {
        return unusable("its cores are not those of this build");
    }
    if (!run.head.has_at) {
        print_newest(reader);
        (void)fprintf(run.out, "not reproduced: it broke outside of the cores, in no step\n");
        return REPLAY_NOT_REPRODUCED;
    }
    run.core = core_named(run.head.cores[run.head.at_core]);
    if (run.core->needs_cipher
        && run.head.cipher != trace_cipher(hash_of((struct slice){0}).bytes)) {
        (void)fprintf(run.out,
                      "unusable    it was made with another cipher than this program has\n");
        return REPLAY_OTHER_CIPHER;
    }
    if (run.core->begin != NULL && !run.core->begin(run.head.context)) {
        return unusable("the configuration in it cannot be used");
    }
    if (!step_all(&reader, &end)) {
        return unusable(cbor_ok(&reader.cbor) ? "it does not end as a trace ends"
                                              : reader.cbor.fault.clause);
    }
    return verdict(end);
}

enum replay_result replay_trace(struct slice file, FILE *out)
{
    memset(&run, 0, sizeof run);
    run.out = out;
    enum replay_result result = replay(file);
    invariant_listen(NULL, NULL);
    if (run.core != NULL && run.core->end != NULL) {
        run.core->end();
    }
    return result;
}

enum replay_result replay_file(const char *path, FILE *out)
{
    FILE *in = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_MAX);
    size_t len = in != NULL && bytes != NULL ? fread(bytes, 1, FILE_MAX, in) : 0;
    if (in != NULL) {
        (void)fclose(in);
    }
    enum replay_result result = REPLAY_UNUSABLE;
    if (len == 0) {
        (void)fprintf(out, "unusable    %s cannot be read\n", path);
    } else {
        result = replay_trace(slice_of(bytes, len), out);
    }
    free(bytes);
    return result;
}
