/*
 * Server-sent events (HTML Living Standard, 9.2): an event is lines of "FIELD: VALUE" and an empty
 * line. Written one at a time; read from pieces of any size, into memory of the caller, who is told
 * of an event that does not fit, never given a part of it.
 *
 * Reading follows 9.2.6: lines end in LF, CR or CRLF; one blank behind the colon is not part of the
 * value; several `data` lines are joined by LF; an event without data is none; comments and fields
 * that are not known are passed over. Stricter in two things: an id has to be a decimal number, as
 * ours are, and `event` has a bound.
 */
#ifndef CODEC_EVENT_STREAM_H
#define CODEC_EVENT_STREAM_H

#include "base/slice.h"
#include "base/writer.h"

enum { EVENT_STREAM_NAME_MAX = 63 };

enum event_stream_result {
    EVENT_STREAM_OK = 0,   /* `out` is an event */
    EVENT_STREAM_MORE,     /* all of `in` is taken, and no event is complete */
    EVENT_STREAM_TOO_LONG, /* an event beyond the memory, or a name beyond its bound */
    EVENT_STREAM_MALFORMED /* an id that is no number */
};

struct event_stream {
    uint8_t *bytes; /* what is kept of the event under way: its data, and behind it a part of a line
                     */
    size_t cap, data_len, line_len;
    uint8_t name[EVENT_STREAM_NAME_MAX];
    size_t name_len;
    bool has_data, after_cr, is_told, is_broken;
    uint64_t id; /* the newest that came: what Last-Event-ID is to say; valid where has_id */
    bool has_id;
};

struct event_stream_event { /* borrowed until the next call */
    struct slice name;      /* empty where none was given: "message" */
    struct slice data;
};

void event_stream_init(struct event_stream *s, uint8_t *bytes, size_t cap);

/*
 * Takes bytes from *in up to the end of an event. After TOO_LONG and MALFORMED the stream says the
 * same for ever: what follows cannot be told from the rest of the event that was lost.
 */
MUST_USE enum event_stream_result event_stream_next(struct event_stream *s,
                                                    struct slice *in,
                                                    struct event_stream_event *out);

/* One event. `data` and `name` hold no line break: where they do, the writer overflows. */
void event_stream_write(struct writer *w, const char *name, uint64_t id, struct slice data);

/* The value of a Last-Event-ID field, as event_stream_write gave it out; false for anything else.
 */
MUST_USE bool event_stream_id_from_text(struct slice text, uint64_t *id);

#endif
