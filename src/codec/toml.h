/*
 * A strict subset of TOML 1.0: tables, arrays of tables, and keys with a string, an integer, a
 * boolean or a flat array of strings or integers. No dotted keys, inline tables, floats, dates or
 * multi-line strings: each is refused with its place. A pull reader: one entry a call, in the order
 * of the file.
 */
#ifndef CODEC_TOML_H
#define CODEC_TOML_H

#include "base/slice.h"
#include "base/writer.h"

enum toml_result {
    TOML_OK = 0,
    TOML_END,
    TOML_WRONG /* toml.fault says where and what */
};

enum toml_kind { TOML_TABLE, TOML_TABLE_ITEM, TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_ARRAY };

enum { TOML_LINE_MAX = 4096 };

struct toml_entry {
    enum toml_kind kind;
    struct slice name; /* of the table ([a.b] as written, "a.b"), or of the key */
    struct slice raw;  /* STRING: between the quotes, escapes unread; ARRAY: between the brackets */
    bool is_literal;   /* STRING in single quotes: no escapes */
    int64_t integer;   /* INTEGER; BOOLEAN as 0 or 1 */
    uint32_t line, column;             /* of the name, from 1 */
    uint32_t value_line, value_column; /* of the value */
};

struct toml_fault {
    uint32_t line, column;
    const char *what; /* "a string is not closed on its line" */
};

struct toml {
    struct slice rest;
    uint32_t line, column;
    struct toml_fault fault;
};

void toml_init(struct toml *t, struct slice text);

/* The next table heading or key. Slices borrow from the text. */
MUST_USE enum toml_result toml_next(struct toml *t, struct toml_entry *entry);

/* The next item of an ARRAY entry, as an entry of its own without a name; begin with a copy of the
 * entry. */
MUST_USE enum toml_result toml_array_next(struct toml *items, struct toml_entry *item);
void toml_array_init(struct toml *items, const struct toml_entry *array);

/* The text of a STRING entry with its escapes resolved. False on an unknown escape or no room. */
MUST_USE bool toml_string(const struct toml_entry *entry, struct writer *out);

/*
 * "91 d", "15 min", "500 ms": a whole number, a space, a unit (ms s min h d). "64 KiB", "2 GiB",
 * "512 B": the same for sizes (B kB KiB MB MiB GB GiB). False on any other form or where the value
 * does not fit.
 */
MUST_USE bool toml_duration_ms(struct slice text, uint64_t *ms);
MUST_USE bool toml_size_bytes(struct slice text, uint64_t *bytes);

#endif
