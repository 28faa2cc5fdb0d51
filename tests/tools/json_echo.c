/*
 * The JSON codec as a filter, for comparing it with another implementation: each line of stdin is
 * the hex of one text; each line of stdout is "0 " and the hex of the same value written by us, or
 * the number of the refusal.
 */
#include "base/id.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20 };

static uint8_t text[TEXT_MAX], out[4 * TEXT_MAX], plain[TEXT_MAX];
static char line[2 * TEXT_MAX + 2];

static void copy_string(struct json_writer *w, const struct json_string *string, bool is_name)
{
    struct writer p = writer_over(plain, sizeof plain - 1);
    json_string_write(&p, string);
    plain[p.len] = '\0';
    if (is_name) {
        json_name(w, (const char *)plain);
    } else {
        json_slice(w, writer_slice(&p));
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
    case JSON_NUMBER: json_double(w, token->number); break;
    case JSON_TRUE: json_bool(w, true); break;
    case JSON_FALSE: json_bool(w, false); break;
    case JSON_NULL: json_null(w); break;
    case JSON_NONE: break;
    }
}

int main(void)
{
    static struct json_string scratch[65536];
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t len = strcspn(line, "\n") / 2;
        struct writer to = writer_over(out, sizeof out);
        struct json_writer w = json_writer_to(&to);
        struct json_token token;
        if (!bytes_from_hex(slice_of(line, 2 * len), text, len)) {
            return 1;
        }
        struct json_reader r = json_reader_over(slice_of(text, len));
        enum json_result result = json_check(slice_of(text, len), scratch, COUNT_OF(scratch));
        if (result != JSON_OK) {
            (void)printf("%d\n", (int)result);
            continue;
        }
        while (json_next(&r, &token)) {
            copy_token(&w, &token);
        }
        (void)printf("0 ");
        for (size_t i = 0; i < to.len; i++) {
            (void)printf("%02x", out[i]);
        }
        (void)printf("\n");
    }
    return 0;
}
