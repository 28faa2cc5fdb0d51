#include "codec/trace.h"

#include "base/invariant.h"

#include <string.h>

enum {
    LABEL_VERSION = 1,
    LABEL_ROLE,
    LABEL_BUILD,
    LABEL_WALL,
    LABEL_BREACH,
    LABEL_CONTEXT,
    LABEL_CORES,
    LABEL_CIPHER,
    LABEL_UNSEEN,
    LABEL_AT,
    LABEL_ENTRIES,
    LABEL_END
};
enum { LABELS = LABEL_END, BREACH_ITEMS = 4, ENTRY_ITEMS = 4 };

/* ---- tables ---- */

/* FNV-1a, 64 bits: tells layouts apart, no more. */
static uint64_t mix(uint64_t sum, const void *at, size_t len)
{
    const uint8_t *bytes = at;
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static uint32_t kept_count(const struct trace_shape *shape)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shape->count; i++) {
        count += shape->fields[i].kind != TRACE_LEFT_OUT;
    }
    return count;
}

/* Could the bytes before this field be padding: its own, or that of a struct that ends there? */
static bool may_be_padded(const struct trace_field *f, size_t gap)
{
    bool is_number = f->kind != TRACE_OCTETS && f->len <= 8;
    return gap < 8 && (f->at % 8 == 0 || (is_number && gap < f->len && f->at % f->len == 0));
}

size_t trace_unnamed(const struct trace_shape *shape)
{
    size_t at = 0;
    while (at < shape->image_len) {
        const struct trace_field *next = NULL;
        for (uint32_t i = 0; i < shape->count; i++) {
            const struct trace_field *f = &shape->fields[i];
            bool is_ahead = f->at + (size_t)f->len > at;
            next = is_ahead && (next == NULL || f->at < next->at) ? f : next;
        }
        if (next == NULL) {
            return shape->image_len - at < 8 ? shape->image_len : at;
        }
        if (next->at > at && !may_be_padded(next, next->at - at)) {
            return at;
        }
        at = next->at + (size_t)next->len;
    }
    return shape->image_len;
}

static uint64_t mix_shape(uint64_t sum, const struct trace_shape *shape)
{
    for (uint32_t i = 0; shape != NULL && i < shape->count; i++) {
        const struct trace_field *f = &shape->fields[i];
        if (f->kind == TRACE_LEFT_OUT) {
            continue;
        }
        const uint8_t what[] = {(uint8_t)f->kind, (uint8_t)f->len, (uint8_t)(f->len >> 8),
                                shape->rows != NULL};
        sum = mix(sum, f->name, strlen(f->name) + 1);
        sum = mix(sum, what, sizeof what);
    }
    return sum;
}

uint64_t trace_layout(const struct trace_core *core)
{
    uint64_t sum = mix(UINT64_C(0xcbf29ce484222325), core->name, strlen(core->name) + 1);
    const struct trace_shape *const shapes[] = {core->state, core->event};
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        sum = mix_shape(sum, shapes[i]);
        sum = mix_shape(sum, shapes[i] != NULL ? shapes[i]->rows : NULL);
        sum = mix(sum, "", 1);
    }
    return sum;
}

static uint64_t uint_at(const uint8_t *at, uint16_t len)
{
    uint64_t wide = 0;
    uint32_t word = 0;
    uint16_t half = 0;
    switch (len) {
    case 1: return *at;
    case 2: memcpy(&half, at, sizeof half); return half;
    case 4: memcpy(&word, at, sizeof word); return word;
    case 8: memcpy(&wide, at, sizeof wide); return wide;
    default: UNREACHABLE(); /* the tables are ours */
    }
}

static void uint_to(uint8_t *at, uint16_t len, uint64_t value)
{
    uint32_t word = (uint32_t)value;
    uint16_t half = (uint16_t)value;
    switch (len) {
    case 1: *at = (uint8_t)value; return;
    case 2: memcpy(at, &half, sizeof half); return;
    case 4: memcpy(at, &word, sizeof word); return;
    case 8: memcpy(at, &value, sizeof value); return;
    default: UNREACHABLE();
    }
}

static void fields_write(struct writer *w, const struct trace_shape *shape, const uint8_t *image)
{
    cbor_write_array(w, kept_count(shape));
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct trace_field *f = &shape->fields[i];
        const uint8_t *at = image + f->at;
        switch (f->kind) {
        case TRACE_UINT: cbor_write_u64(w, uint_at(at, f->len)); break;
        case TRACE_INT: cbor_write_i64(w, (int64_t)uint_at(at, f->len)); break;
        case TRACE_FLAG: cbor_write_bool(w, *at != 0); break;
        case TRACE_OCTETS: cbor_write_bytes(w, slice_of(at, f->len)); break;
        case TRACE_LEFT_OUT: break;
        }
    }
}

static void fields_read(struct cbor_reader *r, const struct trace_shape *shape, uint8_t *image)
{
    if (cbor_enter_array(r) != kept_count(shape)) {
        cbor_fail(r, "an image has as many fields as its table");
    }
    for (uint32_t i = 0; i < shape->count && cbor_ok(r); i++) {
        const struct trace_field *f = &shape->fields[i];
        uint8_t *at = image + f->at;
        struct slice octets;
        switch (f->kind) {
        case TRACE_UINT: uint_to(at, f->len, cbor_read_u64_most(r, f->most)); break;
        case TRACE_INT: uint_to(at, f->len, (uint64_t)cbor_read_i64(r)); break;
        case TRACE_FLAG: *at = cbor_read_bool(r); break;
        case TRACE_OCTETS:
            octets = cbor_read_bytes_of(r, f->len);
            if (octets.len == f->len) {
                memcpy(at, octets.at, f->len);
            }
            break;
        case TRACE_LEFT_OUT: break;
        }
    }
}

void trace_note(struct trace_note *note, const struct invariant_breach *breach)
{
    bool is_promise = breach->file[0] == '\0';
    bool is_place_of_promise =
        note->is_due && note->breach.file[0] == '\0' && note->promise != NULL && !is_promise;
    if (!note->is_due || is_place_of_promise) {
        note->breach = *breach;
    }
    if (!note->is_due && is_promise) {
        note->promise = breach->text;
    }
    note->is_due = true;
}

uint64_t trace_cipher(const uint8_t digest_of_nothing[32])
{
    struct reader r = reader_over(slice_of(digest_of_nothing, 32));
    return read_u64(&r);
}

struct slice trace_file(const char *file)
{
    struct slice whole = slice_text(file);
    struct slice from = whole;
    for (size_t i = 0; i < whole.len; i++) {
        struct slice rest = slice_after(whole, i);
        bool is_part = i == 0 || whole.at[i - 1] == '/';
        bool is_ours = slice_has_prefix(rest, slice_text("src/"))
                       || slice_has_prefix(rest, slice_text("sim/"));
        from = is_part && is_ours ? rest : from;
    }
    return from;
}

/* ---- writing ---- */

static void write_cut(struct writer *w, struct slice text)
{
    cbor_write_text(w, slice_of(text.at, text.len < TRACE_TEXT_MAX ? text.len : TRACE_TEXT_MAX));
}

static void breach_write(struct writer *w, const struct trace_breach *b)
{
    cbor_write_array(w, BREACH_ITEMS);
    write_cut(w, b->file);
    cbor_write_u64(w, b->line);
    write_cut(w, b->text);
    write_cut(w, b->promise);
}

void trace_head_write(struct writer *w, const struct trace_head *head)
{
    cbor_write_map(w, LABELS);
    cbor_write_u64(w, LABEL_VERSION);
    cbor_write_u64(w, TRACE_VERSION);
    cbor_write_u64(w, LABEL_ROLE);
    write_cut(w, head->role);
    cbor_write_u64(w, LABEL_BUILD);
    write_cut(w, head->build);
    cbor_write_u64(w, LABEL_WALL);
    cbor_write_i64(w, head->wall_ms);
    cbor_write_u64(w, LABEL_BREACH);
    breach_write(w, &head->breach);
    cbor_write_u64(w, LABEL_CONTEXT);
    cbor_write_bytes(w, head->context);
    cbor_write_u64(w, LABEL_CORES);
    cbor_write_array(w, head->cores_count);
    for (uint64_t i = 0; i < head->cores_count; i++) {
        cbor_write_array(w, 2);
        write_cut(w, head->cores[i]);
        cbor_write_u64(w, head->layouts[i]);
    }
    cbor_write_u64(w, LABEL_CIPHER);
    cbor_write_u64(w, head->cipher);
    cbor_write_u64(w, LABEL_UNSEEN);
    cbor_write_u64(w, head->unseen);
    cbor_write_u64(w, LABEL_AT);
    cbor_write_array(w, head->has_at ? 2 : 0);
    if (head->has_at) {
        cbor_write_u64(w, head->at_core);
        cbor_write_u64(w, head->at_instance);
    }
    cbor_write_u64(w, LABEL_ENTRIES);
    cbor_write_array(w, head->entries);
}

void trace_image_write(struct writer *w,
                       const struct trace_shape *shape,
                       const void *image,
                       struct slice bytes)
{
    cbor_write_array(w, 2);
    fields_write(w, shape, image);
    if (shape->rows == NULL) {
        cbor_write_bytes(w, bytes);
        return;
    }
    size_t count = bytes.len / shape->rows->image_len;
    cbor_write_array(w, count);
    for (size_t i = 0; i < count; i++) {
        fields_write(w, shape->rows, bytes.at + i * shape->rows->image_len);
    }
}

void trace_entry_write(struct writer *w,
                       const struct trace_core *cores,
                       const struct recorder_record *record)
{
    const struct trace_core *core = &cores[record->core];
    const struct trace_shape *shape = record->what == RECORDER_STATE ? core->state : core->event;
    _Alignas(16) uint8_t image[TRACE_IMAGE_MAX];
    INVARIANT(record->image.len <= shape->image_len);
    memset(image, 0, shape->image_len);
    memcpy(image, record->image.at, record->image.len);
    cbor_write_array(w, ENTRY_ITEMS);
    cbor_write_u64(w, record->core);
    cbor_write_u64(w, record->instance);
    cbor_write_u64(w, record->what);
    trace_image_write(w, shape, image, record->bytes);
}

void trace_end_write(struct writer *w,
                     const struct trace_shape *shape,
                     const void *image,
                     struct slice bytes)
{
    cbor_write_u64(w, LABEL_END);
    if (shape == NULL) {
        cbor_write_null(w);
    } else {
        trace_image_write(w, shape, image, bytes);
    }
}

/* ---- reading ---- */

static void want_label(struct cbor_reader *r, uint64_t label)
{
    if (cbor_read_u64(r) != label) {
        cbor_fail(r, "a trace has its labels in order");
    }
}

static void want_count(struct cbor_reader *r, uint64_t count, const char *clause)
{
    if (cbor_enter_array(r) != count) {
        cbor_fail(r, clause);
    }
}

static void breach_read(struct cbor_reader *r, struct trace_breach *out)
{
    want_count(r, BREACH_ITEMS, "a breach has a file, a line, a text and a promise");
    out->file = cbor_read_text(r);
    out->line = cbor_read_u64(r);
    out->text = cbor_read_text(r);
    out->promise = cbor_read_text(r);
}

static void cores_read(struct cbor_reader *r, struct trace_head *head)
{
    head->cores_count = cbor_enter_array(r);
    if (head->cores_count > TRACE_CORES_MAX) {
        cbor_fail(r, "more cores than a role has");
        head->cores_count = 0;
    }
    for (uint64_t i = 0; i < head->cores_count; i++) {
        want_count(r, 2, "a core has a name and a layout");
        head->cores[i] = cbor_read_text(r);
        head->layouts[i] = cbor_read_u64(r);
    }
}

static void at_read(struct cbor_reader *r, struct trace_head *head)
{
    uint64_t count = cbor_enter_array(r);
    head->has_at = count == 2;
    if (count == 2) {
        head->at_core = cbor_read_u64(r);
        head->at_instance = cbor_read_u64_most(r, UINT32_MAX);
    } else if (count != 0) {
        cbor_fail(r, "a breach is in one instance of one core, or in none");
    }
}

bool trace_open(struct trace_reader *reader, struct slice file, struct trace_head *head)
{
    struct cbor_reader *r = &reader->cbor;
    *reader = (struct trace_reader){.cbor = cbor_over(file, CBOR_ANY)};
    *head = (struct trace_head){.entries = 0};
    struct cbor_map map = cbor_enter_map(r);
    if (map.left != LABELS) {
        cbor_fail(r, "not a trace");
    }
    want_label(r, LABEL_VERSION);
    if (cbor_read_u64(r) != TRACE_VERSION) {
        cbor_fail(r, "a trace of another version");
    }
    want_label(r, LABEL_ROLE);
    head->role = cbor_read_text(r);
    want_label(r, LABEL_BUILD);
    head->build = cbor_read_text(r);
    want_label(r, LABEL_WALL);
    head->wall_ms = cbor_read_i64(r);
    want_label(r, LABEL_BREACH);
    breach_read(r, &head->breach);
    want_label(r, LABEL_CONTEXT);
    head->context = cbor_read_bytes(r);
    want_label(r, LABEL_CORES);
    cores_read(r, head);
    want_label(r, LABEL_CIPHER);
    head->cipher = cbor_read_u64(r);
    want_label(r, LABEL_UNSEEN);
    head->unseen = cbor_read_u64(r);
    want_label(r, LABEL_AT);
    at_read(r, head);
    want_label(r, LABEL_ENTRIES);
    head->entries = cbor_enter_array(r);
    reader->left = head->entries;
    if (head->has_at && head->at_core >= head->cores_count) {
        cbor_fail(r, "the breach is in a core that the trace does not name");
    }
    return cbor_ok(r);
}

bool trace_next(struct trace_reader *reader, struct trace_entry *out)
{
    struct cbor_reader *r = &reader->cbor;
    if (reader->left == 0 || !cbor_ok(r)) {
        return false;
    }
    reader->left--;
    want_count(r, ENTRY_ITEMS, "an entry has a core, an instance, its kind and its body");
    out->core = cbor_read_u64_most(r, TRACE_CORES_MAX - 1);
    out->instance = cbor_read_u64_most(r, UINT32_MAX);
    out->what = (enum recorder_what)cbor_read_u64_most(r, RECORDER_EVENT);
    out->body = cbor_skip(r);
    return cbor_ok(r);
}

bool trace_end(struct trace_reader *reader, struct slice *body)
{
    struct cbor_reader *r = &reader->cbor;
    *body = (struct slice){0};
    if (reader->left > 0) {
        return false;
    }
    want_label(r, LABEL_END);
    if (cbor_peek(r) == CBOR_NULL) {
        cbor_read_null(r);
    } else {
        *body = cbor_skip(r);
    }
    return cbor_done(r);
}

bool trace_image_read(struct slice body,
                      const struct trace_shape *shape,
                      void *image,
                      struct writer *bytes)
{
    struct cbor_reader r = cbor_over(body, CBOR_ANY);
    memset(image, 0, shape->image_len);
    want_count(&r, 2, "a body has an image and what lies behind it");
    fields_read(&r, shape, image);
    if (shape->rows == NULL) {
        write_slice(bytes, cbor_read_bytes(&r));
        return cbor_done(&r) && writer_ok(bytes);
    }
    for (uint64_t left = cbor_enter_array(&r); left > 0 && cbor_ok(&r) && writer_ok(bytes);
         left--) {
        uint8_t *row = write_reserve(bytes, shape->rows->image_len);
        if (row != NULL) {
            memset(row, 0, shape->rows->image_len);
            fields_read(&r, shape->rows, row);
        }
    }
    return cbor_done(&r) && writer_ok(bytes);
}
