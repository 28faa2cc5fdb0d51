#include "codec/event_stream.h"

#include <string.h>

void event_stream_init(struct event_stream *s, uint8_t *bytes, size_t cap)
{
    *s = (struct event_stream){.bytes = bytes, .cap = cap};
}

bool event_stream_id_from_text(struct slice text, uint64_t *id)
{
    uint64_t value = 0;
    if (text.len == 0 || (text.len > 1 && text.at[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(text.at[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *id = value;
    return true;
}

/* ---- reading ---- */

/* What the line is called, and what is behind its colon. */
static struct slice split(struct slice line, struct slice *value)
{
    size_t at = 0;
    while (at < line.len && line.at[at] != ':') {
        at++;
    }
    struct slice name = slice_of(line.at, at);
    *value = slice_after(line, at < line.len ? at + 1 : at);
    if (value->len > 0 && value->at[0] == ' ') {
        *value = slice_after(*value, 1);
    }
    return name;
}

/* The value is behind the data already: it moves up to it, and room for the next line break stays.
 */
static void keep_data(struct event_stream *s, struct slice value)
{
    if (s->has_data) {
        s->bytes[s->data_len++] = '\n'; /* the line's own "data" had more bytes than that */
    }
    if (value.len > 0) {
        memmove(s->bytes + s->data_len, value.at, value.len);
    }
    s->data_len += value.len;
    s->has_data = true;
}

static enum event_stream_result take_line(struct event_stream *s)
{
    struct slice value;
    struct slice name = split(slice_of(s->bytes + s->data_len, s->line_len), &value);
    s->line_len = 0;
    if (slice_is_text(name, "data")) {
        keep_data(s, value);
    } else if (slice_is_text(name, "event")) {
        if (value.len > sizeof s->name) {
            return EVENT_STREAM_TOO_LONG;
        }
        s->name_len = value.len;
        if (value.len > 0) {
            memcpy(s->name, value.at, value.len);
        }
    } else if (slice_is_text(name, "id")) {
        if (!event_stream_id_from_text(value, &s->id)) {
            return EVENT_STREAM_MALFORMED;
        }
        s->has_id = true;
    }
    return EVENT_STREAM_MORE;
}

static enum event_stream_result end_line(struct event_stream *s, struct event_stream_event *out)
{
    if (s->line_len > 0) {
        return take_line(s);
    }
    s->is_told = true;
    if (!s->has_data) {
        return EVENT_STREAM_MORE;
    }
    *out = (struct event_stream_event){.name = slice_of(s->name, s->name_len),
                                       .data = slice_of(s->bytes, s->data_len)};
    return EVENT_STREAM_OK;
}

static enum event_stream_result take_byte(struct event_stream *s,
                                          uint8_t byte,
                                          struct event_stream_event *out)
{
    bool is_rest_of_crlf = s->after_cr && byte == '\n';
    s->after_cr = byte == '\r';
    if (is_rest_of_crlf) {
        return EVENT_STREAM_MORE;
    }
    if (s->is_told) { /* the event before is not borrowed any more */
        s->is_told = s->has_data = false;
        s->data_len = s->name_len = 0;
    }
    if (byte == '\n' || byte == '\r') {
        return end_line(s, out);
    }
    if (s->data_len + s->line_len == s->cap) {
        return EVENT_STREAM_TOO_LONG;
    }
    s->bytes[s->data_len + s->line_len++] = byte;
    return EVENT_STREAM_MORE;
}

enum event_stream_result event_stream_next(struct event_stream *s,
                                           struct slice *in,
                                           struct event_stream_event *out)
{
    enum event_stream_result result = s->is_broken ? EVENT_STREAM_TOO_LONG : EVENT_STREAM_MORE;
    while (in->len > 0 && result == EVENT_STREAM_MORE) {
        result = take_byte(s, in->at[0], out);
        *in = slice_after(*in, 1);
    }
    s->is_broken = result == EVENT_STREAM_TOO_LONG || result == EVENT_STREAM_MALFORMED;
    return result;
}

/* ---- writing ---- */

static bool is_one_line(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '\n' || text.at[i] == '\r') {
            return false;
        }
    }
    return true;
}

void event_stream_write(struct writer *w, const char *name, uint64_t id, struct slice data)
{
    if (!is_one_line(data) || !is_one_line(slice_text(name))) {
        w->overflow = true;
        return;
    }
    write_text(w, "id: ");
    write_decimal(w, id);
    write_text(w, "\nevent: ");
    write_text(w, name);
    write_text(w, "\ndata: ");
    write_slice(w, data);
    write_text(w, "\n\n");
}
