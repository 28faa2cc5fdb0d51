/* The routes about one device: what it is, where it was linked, which boots it had, what the
 * registry has written about it. */
#include "role/control_inside.h"

enum { ENTRIES_SHOWN = 50, BOOTS_SHOWN = 8, LINKS_SHOWN = 20 };

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

static void begin_list(struct ask *a)
{
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_name(&a->json, "items");
}

/* `next`: the cursor of the next page; 0: there is none. */
static void end_list(struct ask *a, uint64_t next)
{
    char cursor[24];
    struct writer w = writer_over(cursor, sizeof cursor);
    write_decimal(&w, next);
    json_name(&a->json, "next");
    if (next != 0) {
        json_slice(&a->json, writer_slice(&w));
    } else {
        json_null(&a->json);
    }
    json_object_end(&a->json);
    ask_done(a);
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
    begin_list(a);
    view_write_entries(a, &row->id, before, (size_t)limit, &next);
    end_list(a, next > 1 ? (uint64_t)next : 0);
}

/* ---- links and boots ---- */

static void put_link(struct json_writer *j, const struct store_link *link, bool stands)
{
    json_object(j);
    json_put_text(j, "gateway", link->gateway);
    json_put_time(j, "from", link->from_ms);
    json_put_time(j, "until", link->has_ended ? link->to_ms : 0);
    json_put_text(j, "state", link->has_ended ? "silent" : stands ? "connected" : "unknown");
    json_put_text(j, "why", link->has_ended && link->why[0] != '\0' ? link->why : NULL);
    json_object_end(j);
}

/* The newest with id < before (0: all); gives the cursor of the next page, 0: there is none. A link
 * stands where it is the newest and the device is connected. */
static int64_t put_links(struct ask *a,
                         const struct fleet_device *row,
                         int64_t before,
                         size_t limit)
{
    static struct store_link links[STORE_LINKS_PER_DEVICE];
    size_t count = 0;
    limit = limit < COUNT_OF(links) ? limit : COUNT_OF(links);
    if (a->control->store == NULL
        || store_links(a->control->store, &row->id, before, links, limit, &count) != STORE_OK) {
        count = 0;
    }
    json_array(&a->json);
    for (size_t i = 0; i < count; i++) {
        put_link(&a->json, &links[i], row->connected && before == 0 && i == 0);
    }
    json_array_end(&a->json);
    return count == limit ? links[count - 1].id : 0;
}

/* The highest boots up to `up_to`; gives the cursor of the next page, 0: there is none. */
static uint64_t put_boots(struct ask *a,
                          const struct fleet_device *row,
                          uint32_t up_to,
                          size_t limit)
{
    static struct store_hello hellos[CONTROL_PAGE_MAX + 1];
    size_t count = 0;
    if (a->control->store == NULL
        || store_hellos(a->control->store, &row->id, up_to, hellos, limit + 1, &count)
               != STORE_OK) {
        count = 0;
    }
    json_array(&a->json);
    for (size_t i = 0; i < count && i < limit; i++) {
        json_object(&a->json);
        json_put_u64(&a->json, "boot", hellos[i].boot);
        json_put_time(&a->json, "at", hellos[i].received_ms);
        json_put_u64(&a->json, "first_seq", hellos[i].first);
        json_object_end(&a->json);
    }
    json_array_end(&a->json);
    return count > limit ? hellos[limit].boot : 0;
}

void view_links(struct ask *a)
{
    struct fleet_device *row = device_of_path(a);
    int64_t before = 0;
    int64_t limit = 0;
    if (row == NULL || !ask_number(a, "cursor", 1, INT64_MAX, 0, &before)
        || !ask_number(a, "limit", 1, CONTROL_PAGE_MAX, CONTROL_PAGE_MAX, &limit)) {
        return;
    }
    begin_list(a);
    int64_t next = put_links(a, row, before, (size_t)limit);
    end_list(a, (uint64_t)next);
}

void view_boots(struct ask *a)
{
    struct fleet_device *row = device_of_path(a);
    int64_t up_to = 0;
    int64_t limit = 0;
    if (row == NULL || !ask_number(a, "cursor", 1, UINT32_MAX, UINT32_MAX, &up_to)
        || !ask_number(a, "limit", 1, CONTROL_PAGE_MAX, CONTROL_PAGE_MAX, &limit)) {
        return;
    }
    begin_list(a);
    end_list(a, put_boots(a, row, (uint32_t)up_to, (size_t)limit));
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
    json_name(j, "history");
    json_object(j);
    json_name(j, "links");
    (void)put_links(a, row, 0, LINKS_SHOWN);
    json_name(j, "boots");
    (void)put_boots(a, row, UINT32_MAX, BOOTS_SHOWN);
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
