/* The routes about what was measured: series, last values, points, buckets; and what ingest
 * refused. */
#include "role/control_inside.h"

#include <math.h>
#include <string.h>

enum { SERIES_MAX = 1024, POINTS_MAX = 10000, POINTS_DEFAULT = 1000, BUCKETS_DEFAULT = 500 };

static void put_device(struct json_writer *j, struct control *c, const struct device_id *id)
{
    const struct fleet_device *row = fleet_find(&c->fleet, id);
    char text[DEVICE_ID_TEXT_LEN];
    struct writer w = writer_over(text, sizeof text);
    device_id_write_text(&w, id);
    json_put_slice(j, "device", row != NULL ? slice_text(row->name) : writer_slice(&w));
}

static void store_problem(struct ask *a, enum store_result result)
{
    bool missing = result == STORE_NOT_FOUND;
    ask_problem(a, missing ? 404 : 500, missing ? "HF-3105" : "HF-3402", NULL);
}

static bool has_store(struct ask *a)
{
    if (a->control->store == NULL) {
        ask_problem(a, 503, "HF-3401", NULL);
        return false;
    }
    return true;
}

static void put_value(struct json_writer *j, const struct point *p)
{
    json_put_double(j, "value", p->value); /* what is not finite is null: JSON has no other word */
    json_put_text(j, "quality", time_quality_name(p->quality));
    json_put_text(j, "provenance", provenance_name(p->provenance));
}

static void put_times(struct json_writer *j, const char *name, int64_t at_ms)
{
    json_name(j, name);
    json_time(j, at_ms);
}

void data_write_last(struct json_writer *j, const struct store_series *s)
{
    json_object(j);
    json_put_u64(j, "v", 1);
    json_put_i64(j, "series", s->id);
    json_put_text(j, "stream", s->stream);
    json_put_text(j, "name", s->name);
    json_put_text(j, "unit", s->unit[0] != '\0' ? s->unit : NULL);
    put_times(j, "time", s->last.time_ms);
    put_value(j, &s->last);
    json_object_end(j);
}

static void write_series(struct json_writer *j, struct control *c, const struct store_series *s)
{
    json_object(j);
    json_put_u64(j, "v", 1);
    json_put_i64(j, "id", s->id);
    put_device(j, c, &s->device);
    json_put_text(j, "stream", s->stream);
    json_put_text(j, "name", s->name);
    json_put_text(j, "unit", s->unit[0] != '\0' ? s->unit : NULL);
    json_put_u64(j, "count", s->count);
    if (s->count > 0) {
        put_times(j, "first", s->first_ms);
        put_times(j, "last", s->last_ms);
        json_put_double(j, "last_value", s->last.value);
        json_put_text(j, "provenance", provenance_name(s->last.provenance));
    } else {
        json_put_null(j, "first");
        json_put_null(j, "last");
        json_put_null(j, "last_value");
        json_put_null(j, "provenance");
    }
    json_object_end(j);
}

static void list_begin(struct ask *a)
{
    json_object(&a->json);
    json_put_u64(&a->json, "v", 1);
    json_put_time(&a->json, "now", a->now_ms);
    json_name(&a->json, "items");
    json_array(&a->json);
}

static void put_number_cursor(struct ask *a, bool has_more, uint64_t cursor)
{
    char text[24];
    struct writer w = writer_over(text, sizeof text);
    write_decimal(&w, cursor);
    json_name(&a->json, "next");
    if (has_more) {
        json_slice(&a->json, writer_slice(&w));
    } else {
        json_null(&a->json);
    }
}

static void list_series(struct ask *a, bool last_only)
{
    static struct store_series batch[SERIES_MAX];
    bool absent = false;
    struct fleet_device *row = ask_device(a, &absent);
    int64_t after = 0;
    int64_t limit = 0;
    size_t count = 0;
    uint64_t total = 0;
    if (row == NULL && absent) {
        ask_problem(a, 400, "HF-3101", "\"device\" is missing");
    }
    if (row == NULL || !has_store(a) || !ask_number(a, "cursor", 0, INT64_MAX, 0, &after)
        || !ask_number(a, "limit", 1, SERIES_MAX, SERIES_MAX, &limit)) {
        return;
    }
    enum store_result result =
        store_series_list(a->control->store, &row->id, after, 0, batch, (size_t)limit, &count);
    if (result == STORE_OK) {
        result = store_series_count(a->control->store, &row->id, &total);
    }
    if (result != STORE_OK) {
        store_problem(a, result);
        return;
    }
    list_begin(a);
    for (size_t i = 0; i < count; i++) {
        if (!last_only) {
            write_series(&a->json, a->control, &batch[i]);
        } else if (batch[i].count > 0) {
            data_write_last(&a->json, &batch[i]);
        }
    }
    json_array_end(&a->json);
    put_number_cursor(a, count == (size_t)limit, count > 0 ? (uint64_t)batch[count - 1].id : 0);
    json_put_u64(&a->json, "total", total);
    json_object_end(&a->json);
    ask_done(a);
}

void data_series(struct ask *a)
{
    list_series(a, false);
}

void data_last(struct ask *a)
{
    list_series(a, true);
}

/* The series by `series=`, or by `device=&stream=&name=[&unit=]`. */
static bool ask_series(struct ask *a, struct store_series *out)
{
    int64_t id = 0;
    bool absent = false;
    char stream[STORE_STREAM_MAX + 1];
    char name[STORE_NAME_MAX + 1];
    char unit[STORE_UNIT_MAX + 1];
    enum store_result result = STORE_OK;
    if (!has_store(a) || !ask_number(a, "series", 1, INT64_MAX, 0, &id)) {
        return false;
    }
    if (id > 0) {
        result = store_series_get(a->control->store, id, out);
    } else {
        struct fleet_device *row = ask_device(a, &absent);
        if (row == NULL) {
            if (absent) {
                ask_problem(a, 400, "HF-3101",
                            "\"series\" is missing, or \"device\", \"stream\" and \"name\"");
            }
            return false;
        }
        int has_stream = ask_text(a, "stream", stream, sizeof stream);
        int has_name = has_stream > 0 ? ask_text(a, "name", name, sizeof name) : has_stream;
        int has_unit = has_name > 0 ? ask_text(a, "unit", unit, sizeof unit) : has_name;
        if (has_name <= 0 || has_unit < 0) {
            if (has_name == 0) {
                ask_problem(a, 400, "HF-3101", "\"stream\" and \"name\" go with \"device\"");
            }
            return false;
        }
        result = store_series_find(a->control->store, &row->id, stream, name,
                                   has_unit > 0 ? unit : NULL, out);
    }
    if (result != STORE_OK) {
        store_problem(a, result);
    }
    return result == STORE_OK;
}

/* "TIME:SKIP", as a list of points gave it. */
static bool ask_points_cursor(struct ask *a, struct store_points_at *out)
{
    char text[64];
    int got = ask_text(a, "cursor", text, sizeof text);
    *out = (struct store_points_at){0};
    if (got <= 0) {
        return got == 0;
    }
    const char *colon = strchr(text, ':');
    if (colon != NULL) {
        struct json_reader at = json_reader_over(slice_of(text, (size_t)(colon - text)));
        struct json_reader skip = json_reader_over(slice_text(colon + 1));
        out->begun = true;
        out->time_ms = json_read_int(&at, INT64_MIN, INT64_MAX);
        out->skip = (uint64_t)json_read_int(&skip, 0, INT64_MAX);
        if (json_reader_done(&at) && json_reader_done(&skip)) {
            return true;
        }
    }
    ask_problem(a, 400, "HF-3103", NULL);
    return false;
}

static void put_points_cursor(struct ask *a, bool has_more, const struct store_points_at *at)
{
    char text[64];
    struct writer w = writer_over(text, sizeof text);
    json_name(&a->json, "next");
    if (!has_more) {
        json_null(&a->json);
        return;
    }
    if (at->time_ms < 0) {
        write_u8(&w, '-');
    }
    write_decimal(&w, at->time_ms < 0 ? 0 - (uint64_t)at->time_ms : (uint64_t)at->time_ms);
    write_u8(&w, ':');
    write_decimal(&w, at->skip);
    json_slice(&a->json, writer_slice(&w));
}

void data_points(struct ask *a)
{
    static struct point points[POINTS_MAX];
    struct store_series series;
    struct store_points_at at;
    int64_t from = 0;
    int64_t to = 0;
    int64_t limit = 0;
    size_t count = 0;
    if (!ask_series(a, &series) || !ask_time(a, "from", INT64_MIN, &from)
        || !ask_time(a, "to", INT64_MAX, &to)
        || !ask_number(a, "limit", 1, POINTS_MAX, POINTS_DEFAULT, &limit)
        || !ask_points_cursor(a, &at)) {
        return;
    }
    enum store_result result =
        store_points(a->control->store, series.id, from, to, &at, points, (size_t)limit, &count);
    if (result != STORE_OK) {
        store_problem(a, result);
        return;
    }
    list_begin(a);
    for (size_t i = 0; i < count; i++) {
        json_object(&a->json);
        put_times(&a->json, "time", points[i].time_ms);
        put_value(&a->json, &points[i]);
        json_object_end(&a->json);
    }
    json_array_end(&a->json);
    put_points_cursor(a, count == (size_t)limit, &at);
    json_put_u64(&a->json, "total", series.count);
    json_put_i64(&a->json, "series", series.id);
    json_object_end(&a->json);
    ask_done(a);
}

static void put_numbers(struct json_writer *j,
                        const char *name,
                        const struct store_bucket *buckets,
                        size_t count,
                        int which)
{
    json_name(j, name);
    json_array(j);
    for (size_t i = 0; i < count; i++) {
        const double values[3] = {buckets[i].min, buckets[i].max, buckets[i].mean};
        if (buckets[i].count == 0) {
            json_null(j);
        } else {
            json_double(j, values[which]);
        }
    }
    json_array_end(j);
}

/* What is known to be missing or lost of the device, as stretches of time in which it was noticed.
 */
static void put_gaps(struct ask *a, const struct device_id *device, int64_t from, int64_t to)
{
    static struct store_device stored;
    json_name(&a->json, "gaps");
    json_array(&a->json);
    if (store_device_get(a->control->store, device, &stored) == STORE_OK) {
        for (uint32_t i = 0; i < stored.received.gap_count; i++) {
            const struct received_gap *gap = &stored.received.gaps[i];
            int64_t since = (int64_t)gap->since_s * 1000;
            if (since < from || since >= to) {
                continue;
            }
            json_object(&a->json);
            put_times(&a->json, "from", since);
            put_times(&a->json, "to", since);
            json_put_text(&a->json, "why", gap_why_name(gap->why));
            json_put_u64(&a->json, "count", gap->count);
            json_object_end(&a->json);
        }
    }
    json_array_end(&a->json);
}

void data_buckets(struct ask *a)
{
    static struct store_bucket buckets[STORE_BUCKETS_MAX];
    struct store_series series;
    int64_t from = 0;
    int64_t to = 0;
    int64_t count = 0;
    if (!ask_series(a, &series) || !ask_time(a, "from", series.first_ms, &from)
        || !ask_time(a, "to", series.last_ms + 1, &to)
        || !ask_number(a, "buckets", 1, STORE_BUCKETS_MAX, BUCKETS_DEFAULT, &count)) {
        return;
    }
    if (from >= to || (to > 0 && from < to - INT64_C(3155760000000))) {
        ask_problem(a, 400, "HF-3101",
                    "\"from\" must be before \"to\", and not more than a century");
        return;
    }
    enum store_result result =
        store_buckets(a->control->store, series.id, from, to, buckets, (size_t)count);
    if (result != STORE_OK) {
        store_problem(a, result);
        return;
    }
    struct json_writer *j = &a->json;
    json_object(j);
    json_put_u64(j, "v", 1);
    json_put_time(j, "now", a->now_ms);
    json_put_i64(j, "series", series.id);
    json_put_text(j, "unit", series.unit[0] != '\0' ? series.unit : NULL);
    put_times(j, "from", from);
    put_times(j, "to", to);
    json_put_double(j, "bucket_s", (double)(to - from) / 1000 / (double)count);
    json_name(j, "t");
    json_array(j);
    for (int64_t i = 0; i < count; i++) {
        json_i64(j, from + i * (to - from) / count);
    }
    json_array_end(j);
    put_numbers(j, "min", buckets, (size_t)count, 0);
    put_numbers(j, "max", buckets, (size_t)count, 1);
    put_numbers(j, "mean", buckets, (size_t)count, 2);
    json_name(j, "count");
    json_array(j);
    for (int64_t i = 0; i < count; i++) {
        json_u64(j, buckets[i].count);
    }
    json_array_end(j);
    put_gaps(a, &series.device, from, to);
    json_object_end(j);
    ask_done(a);
}

void data_dead_letters(struct ask *a)
{
    static struct store_dead_letter letters[CONTROL_PAGE_MAX];
    bool absent = false;
    char reason[STORE_REASON_MAX + 1];
    int64_t before = 0;
    int64_t limit = 0;
    size_t count = 0;
    struct fleet_device *row = ask_device(a, &absent);
    if (row == NULL && !absent) {
        return;
    }
    int has_reason = ask_text(a, "reason", reason, sizeof reason);
    if (has_reason < 0 || !has_store(a) || !ask_number(a, "cursor", 0, INT64_MAX, 0, &before)
        || !ask_number(a, "limit", 1, CONTROL_PAGE_MAX, CONTROL_PAGE_MAX, &limit)) {
        return;
    }
    enum store_result result =
        store_dead_letters(a->control->store, row != NULL ? &row->id : NULL,
                           has_reason > 0 ? reason : NULL, before, letters, (size_t)limit, &count);
    if (result != STORE_OK) {
        store_problem(a, result);
        return;
    }
    list_begin(a);
    for (size_t i = 0; i < count; i++) {
        json_object(&a->json);
        json_put_u64(&a->json, "v", 1);
        json_put_i64(&a->json, "id", letters[i].id);
        json_put_time(&a->json, "at", letters[i].at_ms);
        json_put_text(&a->json, "gateway", letters[i].gateway);
        put_device(&a->json, a->control, &letters[i].device);
        json_put_text(&a->json, "topic", letters[i].topic);
        json_put_text(&a->json, "reason", letters[i].reason);
        json_put_u64(&a->json, "bytes", letters[i].bytes);
        json_object_end(&a->json);
    }
    json_array_end(&a->json);
    put_number_cursor(a, count == (size_t)limit, count > 0 ? (uint64_t)letters[count - 1].id : 0);
    json_object_end(&a->json);
    ask_done(a);
}
