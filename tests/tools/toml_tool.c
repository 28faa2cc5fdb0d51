/*
 * The TOML reader as a filter, for tests/differential/toml_codec.py: each line of stdin is the hex
 * of a document; each line of stdout is "no", or "ok" and its entries, a blank before each:
 * table:NAME item:NAME KEY=VALUE. A value is i:INTEGER, b:0, b:1, s:TEXT or an array of them, each
 * item with a comma before it. Names and texts are in hex.
 */
#include "base/id.h"
#include "codec/toml.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20 };

static uint8_t text[TEXT_MAX], out[8 * TEXT_MAX], plain[TEXT_MAX];
static char line[2 * TEXT_MAX + 2];

static void put_text(struct writer *w, const char *what)
{
    write_slice(w, slice_text(what));
}

static void put_hex(struct writer *w, struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        write_u8(w, (uint8_t)digits[bytes.at[i] >> 4]);
        write_u8(w, (uint8_t)digits[bytes.at[i] & 15]);
    }
}

static void put_integer(struct writer *w, const char *kind, int64_t value)
{
    char room[32];
    (void)snprintf(room, sizeof room, "%s%" PRId64, kind, value);
    put_text(w, room);
}

static bool put_scalar(struct writer *w, const struct toml_entry *value)
{
    struct writer p = writer_over(plain, sizeof plain);
    if (value->kind == TOML_STRING) {
        put_text(w, "s:");
        bool is_read = toml_string(value, &p);
        put_hex(w, writer_slice(&p));
        return is_read;
    }
    put_integer(w, value->kind == TOML_BOOLEAN ? "b:" : "i:", value->integer);
    return true;
}

static bool put_array(struct writer *w, const struct toml_entry *array)
{
    struct toml items;
    struct toml_entry item;
    enum toml_result result = TOML_OK;
    toml_array_init(&items, array);
    put_text(w, "a:");
    while ((result = toml_array_next(&items, &item)) == TOML_OK) {
        put_text(w, ",");
        if (!put_scalar(w, &item)) {
            return false;
        }
    }
    return result == TOML_END;
}

static bool put_entry(struct writer *w, const struct toml_entry *entry)
{
    if (entry->kind == TOML_TABLE || entry->kind == TOML_TABLE_ITEM) {
        put_text(w, entry->kind == TOML_TABLE ? " table:" : " item:");
        put_hex(w, entry->name);
        return true;
    }
    put_text(w, " ");
    put_hex(w, entry->name);
    put_text(w, "=");
    return entry->kind == TOML_ARRAY ? put_array(w, entry) : put_scalar(w, entry);
}

static bool put_document(struct writer *w, struct slice document)
{
    struct toml t;
    struct toml_entry entry;
    enum toml_result result = TOML_OK;
    toml_init(&t, document);
    while ((result = toml_next(&t, &entry)) == TOML_OK) {
        if (!put_entry(w, &entry)) {
            return false;
        }
    }
    return result == TOML_END && writer_ok(w);
}

int main(void)
{
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t len = strcspn(line, "\n") / 2;
        struct writer w = writer_over(out, sizeof out);
        if (!bytes_from_hex(slice_of(line, 2 * len), text, len)) {
            return 1;
        }
        bool is_taken = put_document(&w, slice_of(text, len));
        (void)printf("%s%.*s\n", is_taken ? "ok" : "no", is_taken ? (int)w.len : 0,
                     (const char *)out);
    }
    return 0;
}
