/*
 * JSON as RFC 8259 has it and nothing more: a pull reader over the whole text and a writer into the
 * caller's bytes. Strict: valid UTF-8, no lone surrogates, no control characters in strings, no
 * trailing bytes, nesting and numbers bounded. The reader borrows the text and takes no memory; it
 * says where and why it stopped.
 *
 * Reading, like a schema; everything is sticky, so one json_reader_done at the end is enough:
 *
 *     struct json_reader r = json_reader_over(text);
 *     uint64_t seen = 0;
 *     json_read_object(&r);
 *     while (json_next_name(&r, &name)) {
 *         switch (json_name_once(&r, &name, names, COUNT_OF(names), &seen)) {
 *         case 0: csr = json_read_string(&r); break;
 *         case 1: count = json_read_int(&r, 0, 100); break;
 *         default: json_reader_fail(&r, JSON_UNEXPECTED, "unknown name");
 *         }
 *     }
 *     if (!json_reader_done(&r)) { r.result, r.clause, r.at }
 */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include "base/slice.h"
#include "base/writer.h"

enum { JSON_DEPTH_MAX = 32, JSON_NUMBER_MAX = 512 };

enum json_result {
    JSON_OK = 0,
    JSON_MALFORMED, /* not JSON */
    JSON_BAD_UTF8,  /* of the text, or a lone surrogate in an escape */
    JSON_TOO_DEEP,  /* JSON_DEPTH_MAX */
    JSON_TOO_LARGE, /* a number beyond a double or JSON_NUMBER_MAX bytes; too many names for the
                       scratch */
    JSON_DUPLICATE, /* a name twice in one object */
    JSON_UNEXPECTED /* JSON, but not the kind of value that was asked for */
};

enum json_kind {
    JSON_NONE, /* after the end, and after a failure */
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_NAME, /* of a member; its value is the next token */
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL
};

/* What stands between the quotes, checked but with its escapes. */
struct json_string {
    struct slice raw;
    bool has_escapes; /* false: raw is the text itself */
};

struct json_token {
    enum json_kind kind;
    struct json_string string; /* NAME, STRING */
    struct slice number_text;  /* NUMBER as it was written */
    double number;             /* NUMBER, correctly rounded */
    bool is_integer;           /* its value is whole and fits: 12, -0, 1e3, 2.50e1 is 25 */
    int64_t integer;
    size_t at; /* where it begins in the text */
};

struct json_reader {
    struct slice text;
    size_t at;
    uint32_t depth;
    uint32_t objects; /* bit d: level d is an object */
    uint8_t expect;   /* json.c's own */
    enum json_result result;
    const char *clause; /* what was wrong, in words; NULL while all is well */
};

struct json_reader json_reader_over(struct slice text);

/* The next token; false after the last one and after a failure (r->result tells which). */
bool json_next(struct json_reader *r, struct json_token *out);

/* The kind of the next token without taking it. */
enum json_kind json_peek(const struct json_reader *r);

/* From here on nothing can be read; the first failure stays. */
void json_reader_fail(struct json_reader *r, enum json_result result, const char *clause);

/* No failure, one value read whole, nothing but white space behind it. */
bool json_reader_done(struct json_reader *r);

/* ---- sticky reads: each takes one whole value or fails with JSON_UNEXPECTED ---- */

void json_read_object(struct json_reader *r); /* takes the brace */
/* Next member's name; false, having taken the closing brace, where there is none, and after a
 * failure. */
bool json_next_name(struct json_reader *r, struct json_string *name);
void json_read_array(struct json_reader *r); /* takes the bracket */
/* Is there another element? Takes the closing bracket where there is none. */
bool json_next_element(struct json_reader *r);

struct json_string json_read_string(struct json_reader *r);
double json_read_double(struct json_reader *r);
int64_t json_read_int(struct json_reader *r,
                      int64_t least,
                      int64_t most); /* `least` after a failure */
bool json_read_bool(struct json_reader *r);
void json_skip(struct json_reader *r); /* a value of any kind, whole */

/*
 * The index of `name` in `names` (at most 64), or -1; a name that was already `seen` fails the
 * reader with JSON_DUPLICATE.
 */
int json_name_once(struct json_reader *r,
                   const struct json_string *name,
                   const char *const *names,
                   size_t count,
                   uint64_t *seen);

/* Is the whole text one JSON value in which no object has a name twice? `scratch` holds the open
 * names. */
MUST_USE enum json_result json_check(struct slice text, struct json_string *scratch, size_t cap);

/* ---- strings ---- */

/* Writes the text with its escapes resolved; never longer than raw. */
void json_string_write(struct writer *w, const struct json_string *string);
bool json_string_is(const struct json_string *string, const char *text);
bool json_string_equal(const struct json_string *a, const struct json_string *b);

/* ---- writing: commas and colons come by themselves; the writer's overflow is sticky as ever ----
 */

struct json_writer {
    struct writer *to;
    uint32_t depth;
    uint64_t has_item; /* bit d: level d already holds something */
    bool after_name;
};

struct json_writer json_writer_to(struct writer *to);
void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_name(struct json_writer *w, const char *name);
void json_slice(struct json_writer *w,
                struct slice text); /* bytes that are not UTF-8 become U+FFFD */
void json_text(struct json_writer *w, const char *text); /* NULL: null */
void json_u64(struct json_writer *w, uint64_t value);
void json_i64(struct json_writer *w, int64_t value);
void json_double(struct json_writer *w,
                 double value); /* shortest that reads back the same; not finite: null */
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
void json_time(struct json_writer *w, int64_t unix_ms); /* RFC 3339, milliseconds, UTC */
void json_hex(struct json_writer *w, struct slice bytes);
void json_raw(struct json_writer *w, struct slice json); /* one value that is JSON already */

/* name and value in one */
void json_put_slice(struct json_writer *w, const char *name, struct slice text);
void json_put_text(struct json_writer *w, const char *name, const char *text);
void json_put_u64(struct json_writer *w, const char *name, uint64_t value);
void json_put_i64(struct json_writer *w, const char *name, int64_t value);
void json_put_double(struct json_writer *w, const char *name, double value);
void json_put_bool(struct json_writer *w, const char *name, bool value);
void json_put_time(struct json_writer *w, const char *name, int64_t unix_ms); /* 0 or less: null */
void json_put_null(struct json_writer *w, const char *name);

#endif
