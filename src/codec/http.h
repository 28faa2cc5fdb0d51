/*
 * HTTP/1.1 messages (RFC 9110, 9112), strictly: one way to read every message or none. Refused are
 * folded lines, bare CR or LF, blanks before a colon, two Content-Length, Content-Length with
 * Transfer-Encoding, any transfer coding but a single final chunked, absent or doubled Host, and
 * every byte a field may not hold. Nobody in front of us can then read another message out of the
 * same bytes.
 *
 * Receiving: http_head_find until the head is whole, then http_request_decode or
 * http_response_decode over exactly its bytes, then the body as head.framing says
 * (http_chunked_step for chunks).
 */
#ifndef CODEC_HTTP_H
#define CODEC_HTTP_H

#include "base/slice.h"
#include "base/writer.h"

enum { HTTP_HEAD_MAX = 16384, HTTP_FIELDS_MAX = 64, HTTP_TARGET_MAX = 4096 };

enum http_result {
    HTTP_OK = 0,
    HTTP_MORE,        /* not all there yet */
    HTTP_MALFORMED,   /* 400 */
    HTTP_TOO_LONG,    /* 431: head; 414: target */
    HTTP_UNSUPPORTED, /* 501: a transfer coding, 505: a version: see `status` */
};

/* Which rule was broken, and the status that answers it. */
struct http_fault {
    const char *clause; /* "two Content-Length fields"; never NULL after a failure */
    int status;         /* 400, 414, 431, 501, 505 */
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

enum http_framing {
    HTTP_NO_BODY,
    HTTP_LENGTH, /* content_length bytes follow */
    HTTP_CHUNKED,
    HTTP_UNTIL_CLOSE /* responses only */
};

struct http_field {
    struct slice name, value; /* the value without the blanks around it */
};

struct http_head {
    enum http_method method; /* request */
    struct slice method_text;
    struct slice target; /* request: origin-form as it came; "*" with OPTIONS */
    struct slice path;   /* request: target up to '?', still percent-encoded */
    struct slice query;  /* request: behind '?', still encoded; empty where there is none */
    int status;          /* response */
    struct slice reason; /* response */
    uint8_t minor;       /* HTTP/1.minor, 0 or 1 */
    bool keep_alive;     /* the connection may be used again afterwards */
    bool expect_continue;
    enum http_framing framing;
    uint64_t content_length;
    size_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

/*
 * Looks for the end of the head in all bytes received so far. `scanned` is 0 before the first call
 * and keeps how far it looked, so that bytes that come one by one cost one look each. HTTP_OK: *len
 * bytes are the head.
 */
MUST_USE enum http_result http_head_find(struct slice bytes, size_t *scanned, size_t *len);

/* `head` is the whole head with its empty line. Slices in `out` borrow from it. */
MUST_USE enum http_result http_request_decode(struct slice head,
                                              struct http_head *out,
                                              struct http_fault *fault);

/* `method` is that of the request it answers: HEAD has no body. */
MUST_USE enum http_result http_response_decode(struct slice head,
                                               enum http_method method,
                                               struct http_head *out,
                                               struct http_fault *fault);

/* The field of that name (any case); an empty slice where it is absent. The first where it came
 * twice. */
struct slice http_field_find(const struct http_head *head, const char *name);
size_t http_field_count(const struct http_head *head, const char *name);

/* Does the comma-separated list of the field hold this token (any case)? */
bool http_field_lists(const struct http_head *head, const char *name, const char *token);

/* ---- chunked bodies (RFC 9112 7.1); extensions and trailers are checked, bounded and dropped ----
 */

struct http_chunked { /* zero at the start */
    uint64_t left;    /* of the present chunk */
    uint8_t state;
    uint16_t line_len; /* of the present size or trailer line */
    uint16_t digits;
    uint32_t trailer_len;
};

/*
 * Takes *used bytes of `in` and gives at most one run of body bytes (borrowed from `in`). HTTP_OK:
 * the body is complete; HTTP_MORE: call again with the rest (where *used is not all of it) or with
 * more.
 */
MUST_USE enum http_result http_chunked_step(struct http_chunked *c,
                                            struct slice in,
                                            size_t *used,
                                            struct slice *data,
                                            struct http_fault *fault);

/* ---- text of targets ---- */

/* Percent-decodes; `plus` makes '+' a blank (query strings). False: a bad escape, a NUL, not UTF-8,
 * no room. */
MUST_USE bool http_percent_decode(struct slice text, bool plus, struct writer *w);

/* Encodes all but unreserved characters (RFC 3986 2.3). */
void http_percent_encode(struct writer *w, struct slice text);

/*
 * The next `name=value` of a query string, both still encoded; *query moves on. False at its end.
 */
bool http_query_next(struct slice *query, struct slice *name, struct slice *value);

/* The decoded value of the first parameter of that name: 1 found, 0 absent, -1 malformed or no
 * room. */
int http_query_find(struct slice query, const char *wanted, struct writer *w);

/* ---- writing; names and values must be clean: a byte that could end a line makes the writer
 * overflow ---- */

void http_request_line_write(struct writer *w, const char *method, struct slice target);
void http_status_line_write(struct writer *w, int status); /* with the standard's reason phrase */
void http_field_write(struct writer *w, const char *name, struct slice value);
void http_field_write_u64(struct writer *w, const char *name, uint64_t value);
void http_date_write(struct writer *w, int64_t unix_ms); /* Date: Mon, 23 Nov 2026 14:03:41 GMT */
void http_head_end_write(struct writer *w);
void http_chunk_size_write(struct writer *w,
                           size_t len); /* the line before a chunk of `len` > 0 bytes */
void http_chunk_write(struct writer *w,
                      struct slice data); /* nothing for no data: an empty chunk would end it */
void http_chunks_end_write(struct writer *w);

const char *http_reason(int status); /* "Not Found"; "Unknown" where we never send it */

#endif
