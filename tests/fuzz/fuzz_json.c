/*
 * Any bytes: the reader stops with a reason or reads a value; what it read, written again and read
 * again, is the same; reading through json_check, token by token and by skipping agree on whether
 * it is JSON.
 */
#include "base/invariant.h"
#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t first[1 << 18];
static uint8_t second[1 << 18];

static void copy_string(struct json_writer *w, const struct json_string *string, bool is_name)
{
    static char text[1 << 16];
    struct writer plain = writer_over(text, sizeof text - 1);
    json_string_write(&plain, string);
    INVARIANT(plain.len <= string->raw.len);
    text[plain.len] = '\0';
    if (is_name) {
        json_name(w, text); /* cut at a NUL, as C strings are */
    } else {
        json_slice(w, writer_slice(&plain));
    }
}

static void copy_token(struct json_writer *w, const struct json_token *token)
{
    switch (token->kind) {
    case JSON_OBJECT: json_object(w); break;
    case JSON_OBJECT_END: json_object_end(w); break;
    case JSON_ARRAY: json_array(w); break;
    case JSON_ARRAY_END: json_array_end(w); break;
    case JSON_NAME: copy_string(w, &token->string, true); break;
    case JSON_STRING: copy_string(w, &token->string, false); break;
    case JSON_NUMBER:
        if (token->is_integer && token->integer != 0) {
            json_i64(w, token->integer);
        } else {
            json_double(w, token->number);
        }
        break;
    case JSON_TRUE: json_bool(w, true); break;
    case JSON_FALSE: json_bool(w, false); break;
    case JSON_NULL: json_null(w); break;
    case JSON_NONE: INVARIANT(token->kind != JSON_NONE); break;
    }
}

static enum json_result copy(struct slice text, struct writer *to)
{
    struct json_reader r = json_reader_over(text);
    struct json_writer w = json_writer_to(to);
    struct json_token token;
    while (json_next(&r, &token)) {
        copy_token(&w, &token);
    }
    INVARIANT(json_reader_done(&r) == (r.result == JSON_OK));
    INVARIANT((r.result == JSON_OK) == (r.clause == NULL));
    INVARIANT(r.at <= text.len);
    return r.result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_string scratch[4096];
    struct slice text = slice_of(data, size);
    if (size >= 1 << 15) {
        return 0;
    }
    struct writer once = writer_over(first, sizeof first);
    enum json_result result = copy(text, &once);
    enum json_result checked = json_check(text, scratch, COUNT_OF(scratch));
    INVARIANT(result == JSON_OK || checked != JSON_OK);
    INVARIANT(result != JSON_OK || checked == JSON_OK || checked == JSON_DUPLICATE
              || checked == JSON_TOO_LARGE);
    struct json_reader r = json_reader_over(text);
    json_skip(&r);
    INVARIANT(json_reader_done(&r) == (result == JSON_OK));
    if (result == JSON_OK && writer_ok(&once)) {
        struct writer twice = writer_over(second, sizeof second);
        INVARIANT(copy(writer_slice(&once), &twice) == JSON_OK);
        INVARIANT(slice_equal(writer_slice(&once), writer_slice(&twice)));
    }
    return 0;
}
