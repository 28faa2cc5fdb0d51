/*
 * Server-sent events: what changed since the event a browser saw last. A stream holds no queue:
 * what it has not been told yet is what is newer than its place in the order of changes, so a slow
 * browser costs nothing and skips what was overtaken.
 */
#include "codec/event_stream.h"
#include "role/control_inside.h"

#include <string.h>

enum { EVENT_MAX = 80 * 1024, ROWS_A_TURN = 400, SERIES_A_TURN = 256, SILENCE_MS = 15000 };

static uint8_t room[EVENT_MAX + 256];

/* One event in one chunk; false where the client has no room for it now. */
static bool send_event(struct http_call *call, const char *kind, uint64_t id, struct slice data)
{
    static uint8_t frame[EVENT_MAX + 512];
    struct writer w = writer_over(frame, sizeof frame);
    event_stream_write(&w, kind, id, data);
    return writer_ok(&w) && http_stream_send(call, writer_slice(&w));
}

/* ---- devices ---- */

static bool send_device(struct control *c,
                        struct stream *s,
                        struct http_call *call,
                        const struct fleet_device *row)
{
    struct writer w = writer_over(room, sizeof room);
    struct json_writer j = json_writer_to(&w);
    int64_t now = control_now(c);
    json_object(&j);
    view_put_row(&j, c, row, now);
    json_put_time(&j, "now", now);
    json_object_end(&j);
    if (!send_event(call, "device", row->change, writer_slice(&w))) {
        return false;
    }
    s->spoke_ms = port_now_ms(c->port);
    return true;
}

/*
 * The rows newer than the stream's place, oldest first, so that the last id sent tells all that was
 * sent. Rows and members of /fleet share one order of changes; `most` is how far this turn may go.
 */
static bool send_rows(struct control *c, struct stream *s, struct http_call *call, uint64_t most)
{
    struct fleet *f = &c->fleet;
    uint32_t at = f->newest;
    while (at != 0 && f->rows[at - 1].older != 0
           && f->rows[f->rows[at - 1].older - 1].change > s->since) {
        at = f->rows[at - 1].older;
    }
    for (unsigned sent = 0; at != 0; at = f->rows[at - 1].newer) {
        const struct fleet_device *row = &f->rows[at - 1];
        if (row->change <= s->since || (s->of_device && !device_id_equal(&row->id, &s->device))) {
            continue;
        }
        if (row->change > most) {
            return true;
        }
        if (sent++ == ROWS_A_TURN || !send_device(c, s, call, row)) {
            return false; /* the rest with the next tick */
        }
        s->since = row->change;
    }
    return true;
}

/* ---- the fleet ---- */

static bool send_members(struct control *c, struct stream *s, struct http_call *call)
{
    struct writer w = writer_over(room, sizeof room);
    struct json_writer j = json_writer_to(&w);
    uint64_t newest = 0;
    json_object(&j);
    json_put_u64(&j, "v", 1);
    json_put_time(&j, "now", control_now(c));
    for (int i = 0; i < MEMBER_COUNT; i++) {
        const struct member *m = &c->members[i];
        if (m->change > s->since && writer_room(&w) > m->len + 64) {
            json_name(&j, view_member_names[i]);
            json_raw(&j, slice_of(m->text, m->len));
            newest = m->change > newest ? m->change : newest;
        }
    }
    json_object_end(&j);
    if (newest == 0) {
        return true;
    }
    if (!send_event(call, "fleet", newest, writer_slice(&w))) {
        return false;
    }
    s->since = newest;
    s->spoke_ms = port_now_ms(c->port);
    return true;
}

/* ---- points of one device ---- */

static void send_points(struct control *c, struct stream *s, struct http_call *call)
{
    static struct store_series batch[SERIES_A_TURN];
    struct writer w = writer_over(room, sizeof room);
    struct json_writer j = json_writer_to(&w);
    size_t count = 0;
    uint64_t newest = s->series_since;
    if (c->store == NULL
        || store_series_list(c->store, &s->device, 0, s->series_since, batch, SERIES_A_TURN, &count)
               != STORE_OK
        || count == 0) {
        return;
    }
    json_object(&j);
    json_put_u64(&j, "v", 1);
    json_put_time(&j, "now", control_now(c));
    json_name(&j, "items");
    json_array(&j);
    for (size_t i = 0; i < count; i++) {
        if (batch[i].count > 0 && writer_room(&w) > 2048) {
            data_write_last(&j, &batch[i]);
        }
        newest = batch[i].change > newest ? batch[i].change : newest;
    }
    json_array_end(&j);
    json_object_end(&j);
    if (send_event(call, "point", s->since, writer_slice(&w))) {
        s->series_since = newest;
        s->spoke_ms = port_now_ms(c->port);
    }
}

/* ---- ---- */

static void serve(struct control *c, struct stream *s, struct http_call *call, uint64_t rows_until)
{
    bool all = send_rows(c, s, call, rows_until);
    if (s->of_device) {
        send_points(c, s, call);
    } else if (all) {
        (void)send_members(c, s, call);
    }
    if (port_now_ms(c->port) - s->spoke_ms >= SILENCE_MS
        && http_stream_send(call, slice_text(": still here\n\n"))) {
        s->spoke_ms = port_now_ms(c->port);
    }
}

void streams_tick(struct control *c)
{
    uint64_t rows_until = c->fleet.change; /* what the members get is newer than all rows so far */
    bool any = false;
    for (size_t i = 0; i < CONTROL_STREAMS_MAX && !any; i++) {
        any = c->streams[i].used;
    }
    if (!any) {
        return;
    }
    view_members_refresh(c);
    for (size_t i = 0; i < CONTROL_STREAMS_MAX; i++) {
        struct stream *s = &c->streams[i];
        struct http_call *call = s->used ? http_call_find(c->console, s->call) : NULL;
        s->used = call != NULL;
        if (call != NULL) {
            serve(c, s, call, rows_until);
        }
    }
}

static bool ask_since(struct ask *a, uint64_t *since)
{
    int64_t asked = 0;
    uint64_t last = 0;
    if (!ask_number(a, "since", 0, INT64_MAX, -1, &asked)) {
        return false;
    }
    struct slice field = http_field_find(&a->call->head, "Last-Event-ID");
    bool has_last = asked < 0 && event_stream_id_from_text(field, &last);
    last = asked >= 0 ? (uint64_t)asked : last;
    struct fleet *f = &a->control->fleet;
    /* Without an id only what comes is wanted. An id of an earlier process is older than every row:
     * it gets them all. */
    *since = (asked < 0 && !has_last) || last > f->change ? f->change : last;
    return true;
}

void stream_open(struct ask *a)
{
    struct control *c = a->control;
    struct stream *s = NULL;
    uint64_t since = 0;
    bool absent = false;
    struct fleet_device *row = ask_device(a, &absent);
    if ((row == NULL && !absent) || !ask_since(a, &since)) {
        return;
    }
    for (size_t i = 0; i < CONTROL_STREAMS_MAX && s == NULL; i++) {
        bool lives = c->streams[i].used && http_call_find(c->console, c->streams[i].call) != NULL;
        s = lives ? NULL : &c->streams[i];
    }
    if (s == NULL
        || !http_stream_begin(a->call, 200, "text/event-stream", "Cache-Control: no-store\r\n")) {
        ask_problem(a, 503, "HF-3008", NULL);
        return;
    }
    *s = (struct stream){
        .used = true,
        .call = http_call_id(a->call),
        .since = since,
        .of_device = row != NULL,
        .device = row != NULL ? row->id : (struct device_id){{0}},
        .spoke_ms = port_now_ms(c->port),
    };
    if (row != NULL && c->store != NULL && store_change(c->store, &s->series_since) != STORE_OK) {
        s->series_since = 0;
    }
    if (!http_stream_send(a->call, slice_text("retry: 2000\n\n"))) {
        s->spoke_ms = 0; /* nothing fits yet: the next tick tries again */
    }
}
