/* The routes about devices: the list, one device, and what is written about it in the registry. */
#include "role/control_inside.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_SHOWN = 50, BOOTS_SHOWN = 8 };

/* ---- order ---- */

enum sort_key {
    SORT_NAME,
    SORT_ID,
    SORT_STATE,
    SORT_IDENTITY,
    SORT_MODEL,
    SORT_AGENT,
    SORT_GATEWAY,
    SORT_CONNECTED,
    SORT_LAST_SEEN,
    SORT_LAST_SEEN_AGE,
    SORT_BOOT,
    SORT_GAPS,
    SORT_DEAD_LETTERS,
    SORT_POINTS
};

static const char *const sort_names[] = {
    "name",  "id",           "state",        "identity",    "model",
    "agent", "gateway",      "connected",    "last_seen",   "last_seen_age_s",
    "boot",  "gaps_missing", "dead_letters", "points_per_s"};

static struct {
    const struct fleet *fleet;
    enum sort_key key;
    bool descending;
} order; /* qsort has no context; one thread */

static int by_number(double a, double b)
{
    return (a > b) - (a < b);
}

static int by_key(const struct fleet_device *a, const struct fleet_device *b)
{
    const struct fleet *f = order.fleet;
    switch (order.key) {
    case SORT_NAME: return strcmp(a->name, b->name);
    case SORT_ID: return memcmp(a->id.bytes, b->id.bytes, sizeof a->id.bytes);
    case SORT_STATE: return (int)a->state - (int)b->state;
    case SORT_IDENTITY: return (int)a->identity - (int)b->identity;
    case SORT_MODEL: return strcmp(fleet_word(f, a->model), fleet_word(f, b->model));
    case SORT_AGENT: return strcmp(fleet_word(f, a->agent), fleet_word(f, b->agent));
    case SORT_GATEWAY: return strcmp(fleet_word(f, a->gateway), fleet_word(f, b->gateway));
    case SORT_CONNECTED: return (int)a->connected - (int)b->connected;
    case SORT_LAST_SEEN: return (a->seen_ms > b->seen_ms) - (a->seen_ms < b->seen_ms);
    case SORT_LAST_SEEN_AGE: return (a->seen_ms < b->seen_ms) - (a->seen_ms > b->seen_ms);
    case SORT_BOOT: return by_number(a->boot, b->boot);
    case SORT_GAPS: return by_number((double)a->missing, (double)b->missing);
    case SORT_DEAD_LETTERS: return by_number((double)a->dead_letters, (double)b->dead_letters);
    case SORT_POINTS: return by_number(a->points_per_s, b->points_per_s);
    }
    UNREACHABLE();
}

/* Equal rows stand by name, so that an order is whole. */
static int compare_rows(const void *left, const void *right)
{
    const uint32_t *l = left;
    const uint32_t *r = right;
    const struct fleet_device *a = &order.fleet->rows[*l];
    const struct fleet_device *b = &order.fleet->rows[*r];
    int result = by_key(a, b);
    if (result == 0) {
        return strcmp(a->name, b->name);
    }
    return order.descending ? -result : result;
}

static bool ask_order(struct ask *a)
{
    char text[32];
    int got = ask_text(a, "sort", text, sizeof text);
    const char *name = text;
    order.fleet = &a->control->fleet;
    order.key = SORT_NAME;
    order.descending = false;
    if (got <= 0) {
        return got == 0;
    }
    if (name[0] == '-') {
        order.descending = true;
        name++;
    }
    for (size_t i = 0; i < COUNT_OF(sort_names); i++) {
        if (strcmp(name, sort_names[i]) == 0) {
            order.key = (enum sort_key)i;
            return true;
        }
    }
    ask_problem(a, 400, "HF-3104", NULL);
    return false;
}

/* ---- /devices ---- */

static bool ask_query(struct ask *a, struct query *query)
{
    char text[QUERY_TEXT_MAX + 1] = "";
    struct query_fault fault;
    if (ask_text(a, "q", text, sizeof text) < 0) {
        return false;
    }
    if (query_parse(slice_text(text), query, &fault)) {
        return true;
    }
    char why[300];
    struct writer w = writer_over(why, sizeof why - 1);
    write_text(&w, fault.clause);
    if (fault.word.len > 0 && fault.word.len < 100) {
        write_text(&w, ": \"");
        write_slice(&w, fault.word);
        write_text(&w, "\"");
    }
    if (fault.suggestion != NULL) {
        write_text(&w, "; did you mean \"");
        write_text(&w, fault.suggestion);
        write_text(&w, "\"?");
    }
    why[w.len] = '\0';
    ask_problem_more(a, 400, "HF-3102", why, fault.suggestion, fault.at);
    return false;
}

/* Indices of the rows that match, in order, for the caller to free. */
static uint32_t *select_rows(struct ask *a, const struct query *query, uint32_t *count)
{
    struct fleet *f = &a->control->fleet;
    uint32_t *rows = malloc((f->count + 1) * sizeof rows[0]);
    INVARIANT(rows != NULL);
    fleet_sort_names(f);
    *count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct query_row row;
        char id[DEVICE_ID_TEXT_LEN];
        fleet_row_for_query(f, &f->rows[f->by_name[i]], a->now_ms, id, &row);
        if (query->count == 0 || query_matches(query, &row)) {
            rows[(*count)++] = f->by_name[i];
        }
    }
    if (order.key != SORT_NAME || order.descending) {
        qsort(rows, *count, sizeof rows[0], compare_rows);
    }
    return rows;
}

/*
 * In the order of names a cursor is the last name, which stays right while devices come and go; in
 * any other order the rows move, and it is a position.
 */
static bool cursor_find(
    struct ask *a, const char *cursor, const uint32_t *rows, uint32_t count, uint32_t *first)
{
    bool by_name = order.key == SORT_NAME && !order.descending;
    struct slice text = slice_text(cursor);
    *first = 0;
    if (text.len == 0) {
        return true;
    }
    if (by_name && slice_has_prefix(text, slice_text("n:"))) {
        while (*first < count
               && strcmp(a->control->fleet.rows[rows[*first]].name, cursor + 2) <= 0) {
            ++*first;
        }
        return true;
    }
    if (!by_name && slice_has_prefix(text, slice_text("p:"))) {
        struct json_reader r = json_reader_over(slice_after(text, 2));
        int64_t at = json_read_int(&r, 0, UINT32_MAX);
        *first = at > count ? count : (uint32_t)at;
        return json_reader_done(&r);
    }
    return false;
}

static void put_cursor(struct ask *a, const uint32_t *rows, uint32_t end, uint32_t count)
{
    char cursor[REGISTRY_NAME_MAX + 4];
    struct writer w = writer_over(cursor, sizeof cursor);
    if (end >= count) {
        json_put_null(&a->json, "next");
        return;
    }
    if (order.key == SORT_NAME && !order.descending) {
        write_text(&w, "n:");
        write_text(&w, a->control->fleet.rows[rows[end - 1]].name);
    } else {
        write_text(&w, "p:");
        write_decimal(&w, end);
    }
    json_put_slice(&a->json, "next", writer_slice(&w));
}

void view_devices(struct ask *a)
{
    static struct query query;
    char cursor[REGISTRY_NAME_MAX + 4] = "";
    int64_t limit = 0;
    uint32_t first = 0;
    uint32_t count = 0;
    if (!ask_order(a) || !ask_query(a, &query)
        || !ask_number(a, "limit", 1, CONTROL_PAGE_MAX, CONTROL_PAGE_MAX, &limit)
        || ask_text(a, "cursor", cursor, sizeof cursor) < 0) {
        return;
    }
    uint32_t *rows = select_rows(a, &query, &count);
    if (!cursor_find(a, cursor, rows, count, &first)) {
        free(rows);
        ask_problem(a, 400, "HF-3103", NULL);
        return;
    }
    uint32_t end = count - first > (uint64_t)limit ? first + (uint32_t)limit : count;
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_name(&a->json, "items");
    json_array(&a->json);
    for (uint32_t i = first; i < end; i++) {
        view_device_row(&a->json, a->control, &a->control->fleet.rows[rows[i]], a->now_ms);
    }
    json_array_end(&a->json);
    put_cursor(a, rows, end, count);
    json_put_u64(&a->json, "total", count);
    json_object_end(&a->json);
    free(rows);
    ask_done(a);
}

/* ---- entries ---- */

struct entries {
    struct json_writer *json;
    size_t left;
    int64_t next; /* the number of the last one shown; 0: no more follow */
};

static void write_what(struct json_writer *j, struct slice kind)
{
    static const struct {
        const char *kind, *what;
    } rows[] = {
        {"device-created", "The device was registered."},
        {"certificate-issued", "A certificate was issued."},
        {"certificate-seen", "A certificate was seen in use for the first time."},
        {"enrolment-refused", "An enrolment was refused."},
        {"trust-list-signed", "A trust list was signed."},
        {"operator-added", "An operator was added."},
        {"operator-token-added", "A token was made."},
        {"login-link-made", "A login link was made."},
        {"session-begun", "An operator signed in."},
        {"session-ended", "An operator signed out."},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (slice_is_text(kind, rows[i].kind)) {
            json_put_text(j, "what", rows[i].what);
            return;
        }
    }
    json_put_slice(j, "what", kind);
}

static bool each_entry(void *context, const struct registry_entry *entry)
{
    struct entries *e = context;
    struct json_string names[64];
    if (e->left == 0) {
        return false;
    }
    e->left--;
    e->next = entry->index;
    json_object(e->json);
    json_put_u64(e->json, "v", 1);
    json_put_i64(e->json, "number", entry->index);
    json_put_time(e->json, "at", entry->at_ms);
    json_put_slice(e->json, "kind", entry->kind);
    json_put_slice(e->json, "actor", entry->actor);
    json_put_slice(e->json, "object", entry->object);
    write_what(e->json, entry->kind);
    json_name(e->json, "detail");
    if (json_check(entry->detail, names, COUNT_OF(names)) == JSON_OK) {
        json_raw(e->json, entry->detail);
    } else {
        json_null(e->json);
    }
    json_object_end(e->json);
    return true;
}

void view_write_entries(
    struct ask *a, const struct device_id *device, int64_t before, size_t limit, int64_t *next)
{
    char id[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(id, sizeof id);
    struct entries e = {.json = &a->json, .left = limit};
    device_id_write_text(&w, device);
    json_array(&a->json);
    enum registry_result result =
        registry_entries_each(a->control->registry, writer_slice(&w), before, each_entry, &e);
    json_array_end(&a->json);
    (void)HOLDS(result == REGISTRY_OK);
    *next = e.left == 0 ? e.next : 0;
}

static struct fleet_device *device_of_path(struct ask *a)
{
    struct fleet *f = &a->control->fleet;
    struct device_id id;
    struct fleet_device *row = fleet_find_name(f, a->variable);
    if (row == NULL && device_id_from_text(a->variable, &id)) {
        row = fleet_find(f, &id);
    }
    if (row == NULL) {
        char why[200];
        struct writer w = writer_over(why, sizeof why - 1);
        write_text(&w, "no device is named ");
        write_slice(&w, slice_of(a->variable.at, a->variable.len < 100 ? a->variable.len : 100));
        why[w.len] = '\0';
        ask_problem(a, 404, "HF-3001", why);
    }
    return row;
}

void view_entries(struct ask *a)
{
    struct fleet_device *row = device_of_path(a);
    int64_t before = 0;
    int64_t limit = 0;
    int64_t next = 0;
    if (row == NULL || !ask_number(a, "cursor", 1, INT64_MAX, INT64_MAX, &before)
        || !ask_number(a, "limit", 1, CONTROL_PAGE_MAX, CONTROL_PAGE_MAX, &limit)) {
        return;
    }
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_name(&a->json, "items");
    view_write_entries(a, &row->id, before, (size_t)limit, &next);
    json_name(&a->json, "next");
    if (next > 1) {
        char cursor[24];
        struct writer w = writer_over(cursor, sizeof cursor);
        write_decimal(&w, (uint64_t)next);
        json_slice(&a->json, writer_slice(&w));
    } else {
        json_null(&a->json);
    }
    json_object_end(&a->json);
    ask_done(a);
}

/* ---- one device ---- */

static const char *certificate_word(const struct registry_certificate *certificate, int64_t now_ms)
{
    if (certificate->state == CERTIFICATE_REVOKED) {
        return "revoked";
    }
    if (certificate->not_after_ms < now_ms) {
        return "expired";
    }
    if (certificate->state == CERTIFICATE_SUPERSEDED) {
        return "replaced";
    }
    return certificate->seen_ms > 0 ? "in-use" : "issued";
}

static bool each_certificate(void *context, const struct registry_certificate *certificate)
{
    struct ask *a = context;
    struct json_writer *j = &a->json;
    json_object(j);
    json_name(j, "serial");
    json_hex(j, slice_of(certificate->serial, certificate->serial_len));
    json_put_u64(j, "generation", certificate->generation);
    json_put_time(j, "not_before", certificate->not_before_ms);
    json_put_time(j, "not_after", certificate->not_after_ms);
    json_put_text(j, "state", certificate_word(certificate, a->now_ms));
    json_put_time(j, "issued_at", certificate->issued_ms);
    json_put_time(j, "seen_at", certificate->seen_ms);
    json_object_end(j);
    return true;
}

static void put_gaps(struct json_writer *j, const struct received_report *report)
{
    json_name(j, "gaps");
    json_array(j);
    for (uint32_t i = report->gap_count; i > 0; i--) {
        const struct received_gap *gap = &report->gaps[i - 1];
        json_object(j);
        json_put_u64(j, "from", gap->from);
        json_put_u64(j, "to", gap->from + gap->count - 1);
        json_put_u64(j, "count", gap->count);
        json_put_text(j, "why", gap_why_name(gap->why));
        json_put_time(j, "since", (int64_t)gap->since_s * 1000);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_history(struct ask *a, const struct fleet_device *row)
{
    struct json_writer *j = &a->json;
    struct store_hello hellos[BOOTS_SHOWN];
    size_t count = 0;
    if (a->control->store == NULL
        || store_hellos(a->control->store, &row->id, UINT32_MAX, hellos, COUNT_OF(hellos), &count)
               != STORE_OK) {
        count = 0;
    }
    json_name(j, "history");
    json_object(j);
    json_name(j, "links");
    json_array(j);
    if (row->connected) {
        json_object(j);
        json_put_text(j, "gateway", fleet_word(&a->control->fleet, row->gateway));
        json_put_time(j, "from", row->linked_ms);
        json_put_null(j, "until");
        json_object_end(j);
    }
    json_array_end(j);
    json_name(j, "boots");
    json_array(j);
    for (size_t i = 0; i < count; i++) {
        json_object(j);
        json_put_u64(j, "boot", hellos[i].boot);
        json_put_time(j, "at", hellos[i].received_ms);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

static void put_clock(struct json_writer *j, const struct fleet_device *row)
{
    json_name(j, "clock");
    json_object(j);
    if (row->has_clock_offset) {
        json_put_double(j, "offset_s", (double)row->clock_offset_ms / 1000);
    } else {
        json_put_null(j, "offset_s");
    }
    json_put_text(j, "quality", time_quality_name(row->clock_quality));
    json_object_end(j);
}

static void put_state_why(struct ask *a, const struct fleet_device *row)
{
    char why[200];
    struct writer w = writer_over(why, sizeof why);
    struct condition_facts facts;
    fleet_facts(row, a->now_ms, &facts);
    condition_write_why(&w, &facts);
    json_put_slice(&a->json, "state_why", writer_slice(&w));
}

static void put_store_facts(struct ask *a, const struct fleet_device *row)
{
    static struct store_device stored;
    struct json_writer *j = &a->json;
    bool found = a->control->store != NULL
                 && store_device_get(a->control->store, &row->id, &stored) == STORE_OK;
    json_put_time(j, "linked_at", row->connected ? row->linked_ms : 0);
    json_put_u64(j, "boots", row->boots);
    json_put_u64(j, "next_seq", row->next_seq);
    json_put_u64(j, "messages", row->messages);
    json_put_u64(j, "points", row->points);
    json_put_u64(j, "lost", row->lost);
    json_put_u64(j, "duplicates", row->duplicates);
    if (!found) {
        stored.received.gap_count = 0;
    }
    put_gaps(j, &stored.received);
}

void view_device(struct ask *a)
{
    struct control *c = a->control;
    struct json_writer *j = &a->json;
    struct fleet_device *row = device_of_path(a);
    struct registry_device device;
    int64_t next = 0;
    if (row == NULL) {
        return;
    }
    if (registry_device_by_id(c->registry, &row->id, &device) != REGISTRY_OK) {
        ask_problem(a, 500, "HF-3403", NULL);
        return;
    }
    json_object(j);
    view_put_row(j, c, row, a->now_ms);
    json_put_time(j, "now", a->now_ms);
    json_put_text(j, "serial", row->serial);
    json_put_text(j, "manufacturer", device.manufacturer[0] != '\0' ? device.manufacturer : NULL);
    json_put_time(j, "created_at", row->created_ms);
    put_state_why(a, row);
    put_store_facts(a, row);
    put_clock(j, row);
    put_history(a, row);
    json_name(j, "certificates");
    json_array(j);
    enum registry_result result =
        registry_certificates_each(c->registry, &row->id, each_certificate, a);
    json_array_end(j);
    json_name(j, "entries");
    view_write_entries(a, &row->id, INT64_MAX, ENTRIES_SHOWN, &next);
    json_object_end(j);
    if (result != REGISTRY_OK) {
        ask_problem(a, 500, "HF-3403", NULL);
        return;
    }
    ask_done(a);
}
