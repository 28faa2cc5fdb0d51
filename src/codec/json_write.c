#include "base/invariant.h"
#include "base/time.h"
#include "base/utf8.h"
#include "codec/decimal.h"
#include "codec/json.h"

#include <math.h>

struct json_writer json_writer_to(struct writer *to)
{
    return (struct json_writer){.to = to};
}

/* What must stand between the item before and the one that comes. */
static void begin_item(struct json_writer *w)
{
    if (w->after_name) {
        w->after_name = false;
        return;
    }
    uint64_t bit = UINT64_C(1) << w->depth;
    if ((w->has_item & bit) != 0) {
        write_u8(w->to, ',');
    }
    w->has_item |= bit;
}

static void open_container(struct json_writer *w, char bracket)
{
    begin_item(w);
    INVARIANT(w->depth < JSON_DEPTH_MAX);
    w->depth++;
    w->has_item &= ~(UINT64_C(1) << w->depth);
    write_u8(w->to, (uint8_t)bracket);
}

static void close_container(struct json_writer *w, char bracket)
{
    INVARIANT(w->depth > 0);
    INVARIANT(!w->after_name);
    w->depth--;
    write_u8(w->to, (uint8_t)bracket);
}

void json_object(struct json_writer *w)
{
    open_container(w, '{');
}

void json_object_end(struct json_writer *w)
{
    close_container(w, '}');
}

void json_array(struct json_writer *w)
{
    open_container(w, '[');
}

void json_array_end(struct json_writer *w)
{
    close_container(w, ']');
}

static void write_escape(struct writer *w, uint8_t byte)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    for (size_t i = 0; from[i] != '\0'; i++) {
        if (byte == (uint8_t)from[i]) {
            write_u8(w, '\\');
            write_u8(w, (uint8_t)to[i]);
            return;
        }
    }
    write_text(w, "\\u00");
    write_hex(w, slice_of(&byte, 1));
}

static void write_quoted(struct writer *w, struct slice text)
{
    write_u8(w, '"');
    while (text.len > 0) {
        uint32_t code_point = 0;
        size_t len = utf8_decode(text, &code_point);
        if (len == 0) {
            write_text(w, "\xEF\xBF\xBD"); /* U+FFFD */
            len = 1;
        } else if (code_point < 0x20 || code_point == '"' || code_point == '\\'
                   || code_point == 0x7F) {
            write_escape(w, text.at[0]);
        } else {
            write_bytes(w, text.at, len);
        }
        text = slice_after(text, len);
    }
    write_u8(w, '"');
}

void json_name(struct json_writer *w, const char *name)
{
    begin_item(w);
    write_quoted(w->to, slice_text(name));
    write_u8(w->to, ':');
    w->after_name = true;
}

void json_slice(struct json_writer *w, struct slice text)
{
    begin_item(w);
    write_quoted(w->to, text);
}

void json_text(struct json_writer *w, const char *text)
{
    if (text == NULL) {
        json_null(w);
    } else {
        json_slice(w, slice_text(text));
    }
}

void json_u64(struct json_writer *w, uint64_t value)
{
    begin_item(w);
    write_decimal(w->to, value);
}

void json_i64(struct json_writer *w, int64_t value)
{
    begin_item(w);
    if (value < 0) {
        write_u8(w->to, '-');
    }
    write_decimal(w->to, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_double(struct json_writer *w, double value)
{
    if (!isfinite(value)) {
        json_null(w);
        return;
    }
    begin_item(w);
    decimal_write(w->to, value);
}

void json_bool(struct json_writer *w, bool value)
{
    begin_item(w);
    write_text(w->to, value ? "true" : "false");
}

void json_null(struct json_writer *w)
{
    begin_item(w);
    write_text(w->to, "null");
}

void json_time(struct json_writer *w, int64_t unix_ms)
{
    begin_item(w);
    write_u8(w->to, '"');
    time_write_rfc3339(w->to, unix_ms);
    write_u8(w->to, '"');
}

void json_hex(struct json_writer *w, struct slice bytes)
{
    begin_item(w);
    write_u8(w->to, '"');
    write_hex(w->to, bytes);
    write_u8(w->to, '"');
}

void json_raw(struct json_writer *w, struct slice json)
{
    begin_item(w);
    write_slice(w->to, json);
}

void json_put_slice(struct json_writer *w, const char *name, struct slice text)
{
    json_name(w, name);
    json_slice(w, text);
}

void json_put_text(struct json_writer *w, const char *name, const char *text)
{
    json_name(w, name);
    json_text(w, text);
}

void json_put_u64(struct json_writer *w, const char *name, uint64_t value)
{
    json_name(w, name);
    json_u64(w, value);
}

void json_put_i64(struct json_writer *w, const char *name, int64_t value)
{
    json_name(w, name);
    json_i64(w, value);
}

void json_put_double(struct json_writer *w, const char *name, double value)
{
    json_name(w, name);
    json_double(w, value);
}

void json_put_bool(struct json_writer *w, const char *name, bool value)
{
    json_name(w, name);
    json_bool(w, value);
}

void json_put_time(struct json_writer *w, const char *name, int64_t unix_ms)
{
    json_name(w, name);
    if (unix_ms > 0) {
        json_time(w, unix_ms);
    } else {
        json_null(w);
    }
}

void json_put_null(struct json_writer *w, const char *name)
{
    json_name(w, name);
    json_null(w);
}
