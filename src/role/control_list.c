/* The list of devices, and what the registry has written about one. */
#include "role/control_inside.h"

#include <stdlib.h>
#include <string.h>

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
 * In the order of names the cursor that is given is the last name, which stays right while devices
 * come and go; in any other order the rows move, and it is a position. A position is taken in every
 * order: a table that is scrolled asks for its middle.
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
    if (slice_has_prefix(text, slice_text("p:"))) {
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
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.ArraySubscript): end is one of them */
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
