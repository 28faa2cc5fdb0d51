/*
 * The mirror of registry and store: one row a device, in memory, so that lists, queries and totals
 * ask no database. Rows are kept in the order in which they changed, which is what event streams go
 * along.
 */
#include "role/control_inside.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_FIRST = 256, RATE_LEAST_MS = 5000, STORE_BATCH = 256, USES_MS = 50 };

/* ---- words ---- */

static uint16_t word_of(struct fleet *f, struct slice text)
{
    size_t len = text.len < CONTROL_WORD_MAX ? text.len : CONTROL_WORD_MAX;
    for (uint16_t i = 0; i < f->words_count; i++) {
        if (slice_equal(slice_text(f->words[i]), slice_of(text.at, len))) {
            return i;
        }
    }
    if (f->words_count == CONTROL_WORDS_MAX) {
        return 0; /* more different words than any fleet has: shown as absent */
    }
    memcpy(f->words[f->words_count], text.at, len);
    f->words[f->words_count][len] = '\0';
    return f->words_count++;
}

const char *fleet_word(const struct fleet *f, uint16_t word)
{
    return f->words[word];
}

/* ---- rows ---- */

static void grow(struct control *c)
{
    struct fleet *f = &c->fleet;
    uint32_t cap = f->cap == 0 ? ROWS_FIRST : f->cap * 2;
    uint64_t seed = 0;
    f->rows = realloc(f->rows, cap * sizeof f->rows[0]);
    f->by_name = realloc(f->by_name, cap * sizeof f->by_name[0]);
    free(f->slots);
    f->slots = calloc((size_t)cap * 2, sizeof f->slots[0]);
    INVARIANT(f->rows != NULL && f->by_name != NULL && f->slots != NULL);
    f->cap = cap;
    port_entropy(c->port, &seed, sizeof seed);
    table_init(&f->by_id, f->slots, cap * 2, seed);
    for (uint32_t i = 0; i < f->count; i++) {
        INVARIANT(table_put(&f->by_id, f->rows[i].id.bytes, i));
    }
}

struct fleet_device *fleet_find(struct fleet *f, const struct device_id *id)
{
    uint32_t at = 0;
    return table_find(&f->by_id, id->bytes, &at) ? &f->rows[at] : NULL;
}

static void change_unlink(struct fleet *f, struct fleet_device *row)
{
    uint32_t at = (uint32_t)(row - f->rows) + 1;
    if (row->older != 0) {
        f->rows[row->older - 1].newer = row->newer;
    } else if (f->oldest == at) {
        f->oldest = row->newer;
    }
    if (row->newer != 0) {
        f->rows[row->newer - 1].older = row->older;
    } else if (f->newest == at) {
        f->newest = row->older;
    }
    row->older = row->newer = 0;
}

/* The row is another than before: it becomes the newest change. */
static void touch(struct fleet *f, struct fleet_device *row)
{
    uint32_t at = (uint32_t)(row - f->rows) + 1;
    change_unlink(f, row);
    row->older = f->newest;
    if (f->newest != 0) {
        f->rows[f->newest - 1].newer = at;
    } else {
        f->oldest = at;
    }
    f->newest = at;
    row->change = ++f->change;
}

static struct fleet_device *add_row(struct control *c, const struct device_id *id)
{
    struct fleet *f = &c->fleet;
    if (f->count == f->cap) {
        grow(c);
    }
    struct fleet_device *row = &f->rows[f->count];
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): grow leaves rows or stops */
    *row = (struct fleet_device){
        .id = *id, .state = CONDITION_UNKNOWN, .due_ms = INT64_MAX, .points_per_s = -1};
    INVARIANT(table_put(&f->by_id, id->bytes, f->count));
    f->by_name[f->count] = f->count;
    f->unsorted = true;
    f->count++;
    if (f->states[row->state]++ == 0) {
        f->state_since_ms[row->state] = control_now(c);
    }
    return row;
}

static struct fleet *sorted_fleet; /* qsort has no context; one thread */

static int compare_names(const void *a, const void *b)
{
    const uint32_t *left = a;
    const uint32_t *right = b;
    return strcmp(sorted_fleet->rows[*left].name, sorted_fleet->rows[*right].name);
}

void fleet_sort_names(struct fleet *f)
{
    if (f->unsorted) {
        sorted_fleet = f;
        qsort(f->by_name, f->count, sizeof f->by_name[0], compare_names);
        f->unsorted = false;
    }
}

struct fleet_device *fleet_find_name(struct fleet *f, struct slice name)
{
    fleet_sort_names(f);
    uint32_t low = 0;
    uint32_t high = f->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct fleet_device *row = &f->rows[f->by_name[middle]];
        int order = slice_compare(slice_text(row->name), name);
        if (order == 0) {
            return row;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* ---- conditions ---- */

void fleet_facts(const struct fleet_device *row, int64_t now_ms, struct condition_facts *out)
{
    *out = (struct condition_facts){
        .now_ms = now_ms,
        .identity = row->identity,
        .seen_ms = row->seen_ms,
        .interval_ms = row->interval_ms,
        .missing = row->missing,
        .lost = row->lost,
        .lost_ms = row->lost_ms,
        .dead_letters = row->dead_letters,
        .dead_letter_ms = row->dead_letter_ms,
        .has_clock_offset = row->has_clock_offset,
        .clock_offset_ms = row->clock_offset_ms,
        .clock_quality = row->clock_quality,
    };
}

/* Is the condition another than before? */
static bool judge(struct control *c, struct fleet_device *row)
{
    struct fleet *f = &c->fleet;
    struct condition_facts facts;
    int64_t now = control_now(c);
    fleet_facts(row, now, &facts);
    enum condition state = condition_of(&facts);
    row->due_ms = condition_due_ms(&facts);
    f->due_ms = row->due_ms < f->due_ms ? row->due_ms : f->due_ms;
    if (state == row->state) {
        return false;
    }
    f->states[row->state]--;
    f->state_since_ms[row->state] = f->states[row->state] == 0 ? 0 : f->state_since_ms[row->state];
    f->state_since_ms[state] = f->states[state] == 0 ? now : f->state_since_ms[state];
    f->states[state]++;
    row->state = state;
    return true;
}

void fleet_tick(struct control *c)
{
    struct fleet *f = &c->fleet;
    int64_t now = control_now(c);
    if (now < f->due_ms) {
        return;
    }
    f->due_ms = INT64_MAX;
    for (uint32_t i = 0; i < f->count; i++) {
        struct fleet_device *row = &f->rows[i];
        if (row->due_ms <= now && judge(c, row)) {
            touch(f, row);
        }
        f->due_ms = row->due_ms < f->due_ms ? row->due_ms : f->due_ms;
    }
}

/* ---- from the registry ---- */

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strlen(from);
    len = len < cap - 1 ? len : cap - 1;
    memcpy(to, from, len);
    to[len] = '\0';
}

static void take_device(struct control *c, const struct registry_device *device)
{
    struct fleet *f = &c->fleet;
    struct fleet_device *row = fleet_find(f, &device->id);
    if (row == NULL) {
        row = add_row(c, &device->id);
        f->identities[0]++;
    }
    f->identities[row->identity]--;
    f->identities[device->state]++;
    f->unsorted = f->unsorted || strcmp(row->name, device->name) != 0;
    row->identity = device->state;
    row->created_ms = device->created_ms;
    row->model = word_of(f, slice_text(device->model));
    copy_text(row->name, sizeof row->name, device->name);
    copy_text(row->serial, sizeof row->serial, device->serial);
    (void)judge(c, row);
    touch(f, row);
}

void fleet_registry_changed(struct control *c, const struct device_id *id)
{
    struct registry_device device;
    enum registry_result result = registry_device_by_id(c->registry, id, &device);
    if (result == REGISTRY_OK) {
        take_device(c, &device);
    } else if (result != REGISTRY_NOT_FOUND) {
        control_fail(c, "the registry cannot be read", "a device that was just written");
    }
}

static bool each_device(void *context, const struct registry_device *device)
{
    take_device(context, device);
    return true;
}

/* ---- from the store ---- */

static void reckon_rates(struct fleet_device *row, const struct store_device *from)
{
    int64_t elapsed = from->seen_ms - row->rate_ms;
    if (row->rate_ms == 0 || from->messages < row->rate_messages
        || from->points < row->rate_points) {
        row->rate_ms = from->seen_ms;
        row->rate_messages = from->messages;
        row->rate_points = from->points;
        return;
    }
    uint64_t messages = from->messages - row->rate_messages;
    if (elapsed < RATE_LEAST_MS || messages == 0) {
        return;
    }
    row->points_per_s = (double)(from->points - row->rate_points) * 1000 / (double)elapsed;
    int64_t interval = elapsed / (int64_t)messages;
    row->interval_ms = row->interval_ms == 0 ? interval : (3 * row->interval_ms + interval) / 4;
    row->rate_ms = from->seen_ms;
    row->rate_messages = from->messages;
    row->rate_points = from->points;
}

/* When numbers of it were last declared lost: now, or, of the time before we ran, as the store
 * remembers. */
static void note_lost(struct control *c, struct fleet_device *row, uint64_t lost)
{
    if (lost <= row->lost) {
        return;
    }
    struct store_lost evidence;
    size_t count = 0;
    bool found = row->messages == 0
                 && store_lost_list(c->store, &row->id, 0, &evidence, 1, &count) == STORE_OK
                 && count == 1;
    row->lost_ms = found ? evidence.at_ms : control_now(c);
}

struct issued {
    struct registry_certificate certificate;
    unsigned count;
};

static bool each_certificate(void *context, const struct registry_certificate *certificate)
{
    struct issued *issued = context;
    issued->certificate = *certificate;
    return ++issued->count < 2;
}

/* False where it could not be written; what was noted before is not written again. */
static bool note_certificate(struct control *c,
                             const struct fleet_device *row,
                             const struct registry_certificate *certificate,
                             int64_t seen_ms)
{
    char id[DEVICE_ID_TEXT_LEN];
    char detail[48];
    struct writer w = writer_over(id, sizeof id);
    struct writer dw = writer_over(detail, sizeof detail);
    device_id_write_text(&w, &row->id);
    write_text(&dw, "{\"generation\":");
    write_decimal(&dw, certificate->generation);
    write_text(&dw, "}");
    struct registry_note note = {
        .at_ms = control_now(c),
        .kind = slice_text("certificate-seen"),
        .actor = slice_text("system"),
        .object = writer_slice(&w),
        .detail = writer_slice(&dw),
    };
    enum registry_result result = registry_certificate_seen(
        c->registry, slice_of(certificate->serial, certificate->serial_len), seen_ms, &note);
    if (result == REGISTRY_BROKEN) {
        control_fail(c, "the registry cannot be written", "the first use of a certificate");
    }
    return result == REGISTRY_OK;
}

/* A stock client says no hello. It was heard, so it has used a certificate of ours: while there is
 * one generation, it is that one. */
static bool note_only_one(struct control *c, const struct fleet_device *row)
{
    static struct issued issued;
    issued.count = 0;
    if (registry_certificates_each(c->registry, &row->id, each_certificate, &issued)
        != REGISTRY_OK) {
        return false;
    }
    return issued.count != 1 || note_certificate(c, row, &issued.certificate, row->seen_ms);
}

/* Every generation that has signed a hello, in the order in which they came into use: the newest
 * one ends the older. */
static bool note_all(struct control *c, const struct fleet_device *row)
{
    static struct registry_certificate certificate;
    struct store_certificate used[STORE_CERTIFICATES_PER_DEVICE];
    size_t count = 0;
    bool noted = store_certificates(c->store, &row->id, used, &count) == STORE_OK;
    for (size_t i = count; i > 0 && noted; i--) {
        enum registry_result result =
            registry_certificate_by_key(c->registry, &used[i - 1].key, &certificate);
        /* One that this registry has not issued (restored from a backup) is not noted here. */
        if (result == REGISTRY_OK && certificate.seen_ms == 0) {
            noted = note_certificate(c, row, &certificate, used[i - 1].seen_ms);
        }
        noted = noted && (result == REGISTRY_OK || result == REGISTRY_NOT_FOUND);
    }
    return noted;
}

static bool has_said_hello(const struct fleet_device *row)
{
    static const struct digest none;
    return memcmp(&row->certificate, &none, sizeof none) != 0;
}

static bool use_is_due(const struct fleet_device *row)
{
    return !row->seen_noted && (row->messages > 0 || has_said_hello(row));
}

static void note_use(struct control *c, struct fleet_device *row)
{
    row->seen_noted = has_said_hello(row) ? note_all(c, row) : note_only_one(c, row);
    fleet_registry_changed(c, &row->id);
}

/* A gateway that is silent cannot say that a link has ended. Is the row another than before? */
static bool judge_link(struct fleet *f, struct fleet_device *row)
{
    bool connected = row->linked && f->is_there[row->gateway];
    bool is_other = connected != row->connected;
    f->connected -= row->connected;
    f->connected += connected;
    row->connected = connected;
    return is_other;
}

const char *fleet_link(const struct fleet_device *row)
{
    return row->connected ? "connected" : row->linked ? "unknown" : "silent";
}

void fleet_gateway_changed(struct control *c, struct slice gateway, bool is_there)
{
    struct fleet *f = &c->fleet;
    uint16_t word = word_of(f, gateway);
    if (word == 0 || f->is_there[word] == is_there) {
        return;
    }
    f->is_there[word] = is_there;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->rows[i].gateway == word && judge_link(f, &f->rows[i])) {
            touch(f, &f->rows[i]);
        }
    }
}

static void take_store_device(struct control *c, const struct store_device *from)
{
    struct fleet *f = &c->fleet;
    struct fleet_device *row = fleet_find(f, &from->device);
    if (row == NULL) {
        return; /* not of this registry: its refusals are among the dead letters */
    }
    note_lost(c, row, from->received.lost);
    reckon_rates(row, from);
    row->gateway = word_of(f, slice_text(from->gateway));
    row->agent = word_of(f, slice_text(from->agent));
    row->linked = from->connected;
    (void)judge_link(f, row);
    row->seen_noted =
        row->seen_noted && memcmp(&row->certificate, &from->certificate, DIGEST_LEN) == 0;
    row->certificate = from->certificate;
    row->linked_ms = from->linked_ms;
    row->seen_ms = from->seen_ms;
    row->boot = from->boot;
    row->boots = from->boots;
    row->next_seq = from->received.next;
    row->missing = received_report_missing(&from->received, GAP_MISSING);
    row->lost = from->received.lost;
    row->duplicates = from->received.duplicates;
    row->dead_letters = from->dead_letters;
    row->dead_letter_ms = from->dead_letter_ms;
    row->messages = from->messages;
    row->points = from->points;
    row->has_clock_offset = from->has_clock_offset;
    row->clock_offset_ms = from->clock_offset_ms;
    row->clock_quality = from->clock_quality;
    (void)judge(c, row);
    touch(f, row);
    if (use_is_due(row)) {
        f->uses_due = true;
    }
}

void fleet_store_changed(struct control *c)
{
    static struct store_device batch[STORE_BATCH];
    struct fleet *f = &c->fleet;
    size_t count = STORE_BATCH;
    while (count == STORE_BATCH && c->store != NULL) {
        enum store_result result =
            store_devices_since(c->store, f->store_change, batch, STORE_BATCH, &count);
        if (result == STORE_BUSY) {
            c->store_changed = true; /* again with the next tick */
            return;
        }
        if (result != STORE_OK) {
            control_fail(c, "the store cannot be read", store_why(c->store));
            return;
        }
        for (size_t i = 0; i < count; i++) {
            take_store_device(c, &batch[i]);
            f->store_change = batch[i].change > f->store_change ? batch[i].change : f->store_change;
        }
    }
}

/*
 * Each first use is a durable transaction of its own; a fleet that arrives at once must not hold up
 * who asks. So they are noted for USES_MS at a time, where the last turn ended. True while some are
 * left.
 */
bool fleet_note_uses(struct control *c)
{
    struct fleet *f = &c->fleet;
    uint64_t until = port_now_ms(c->port) + USES_MS;
    for (uint32_t looked = 0; f->uses_due && looked < f->count; looked++) {
        struct fleet_device *row = &f->rows[f->uses_at % f->count];
        if (use_is_due(row)) {
            if (port_now_ms(c->port) >= until) {
                return true;
            }
            note_use(c, row);
        }
        f->uses_at = (f->uses_at + 1) % f->count;
    }
    f->uses_due = false;
    return false;
}

/* ---- ---- */

void fleet_row_for_query(const struct fleet *f,
                         const struct fleet_device *row,
                         int64_t now_ms,
                         char id[DEVICE_ID_TEXT_LEN],
                         struct query_row *out)
{
    struct writer w = writer_over(id, DEVICE_ID_TEXT_LEN);
    device_id_write_text(&w, &row->id);
    *out = (struct query_row){
        .name = slice_text(row->name),
        .id = writer_slice(&w),
        .serial = slice_text(row->serial),
        .model = slice_text(f->words[row->model]),
        .agent = slice_text(f->words[row->agent]),
        .gateway = slice_text(f->words[row->gateway]),
        .state = row->state,
        .identity = row->identity,
        .connected = row->connected,
        .seen_age_ms = row->seen_ms == 0       ? -1
                       : now_ms > row->seen_ms ? now_ms - row->seen_ms
                                               : 0,
        .gaps = row->missing,
        .boot = row->boot,
    };
}

bool fleet_open(struct control *c)
{
    struct fleet *f = &c->fleet;
    f->words = calloc(CONTROL_WORDS_MAX, sizeof f->words[0]);
    INVARIANT(f->words != NULL);
    f->words_count = 1; /* word 0 is "" */
    f->due_ms = INT64_MAX;
    /* Ids of events must not begin again at every start: a browser resumes with one of an earlier
     * process. */
    f->first_change = f->change = (uint64_t)control_now(c) * 1000;
    grow(c);
    return registry_devices_each(c->registry, 0, each_device, c) == REGISTRY_OK;
}

void fleet_close(struct fleet *f)
{
    free(f->rows);
    free(f->by_name);
    free(f->slots);
    free(f->words);
}
