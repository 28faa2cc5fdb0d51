#include "codec/toml.h"

#include "base/invariant.h"
#include "base/utf8.h"

void toml_init(struct toml *t, struct slice text)
{
    *t = (struct toml){.rest = text, .line = 1, .column = 1};
}

static int peek(const struct toml *t)
{
    return t->rest.len == 0 ? -1 : t->rest.at[0];
}

static void step(struct toml *t)
{
    if (peek(t) == '\n') {
        t->line++;
        t->column = 1;
    } else {
        t->column++;
    }
    t->rest = slice_after(t->rest, 1);
}

static enum toml_result wrong(struct toml *t, const char *what)
{
    t->fault = (struct toml_fault){.line = t->line, .column = t->column, .what = what};
    return TOML_WRONG;
}

static void skip_blanks(struct toml *t)
{
    while (peek(t) == ' ' || peek(t) == '\t') {
        step(t);
    }
}

/* May stand in comments and strings. Beyond ASCII only these two can be: both are held against
 * UTF-8. */
static bool is_text(int c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool is_crlf(const struct toml *t)
{
    return t->rest.len > 1 && t->rest.at[0] == '\r' && t->rest.at[1] == '\n';
}

static bool skip_comment(struct toml *t)
{
    if (peek(t) != '#') {
        return true;
    }
    struct slice comment = {.at = t->rest.at};
    while (is_text(peek(t))) {
        step(t);
        comment.len++;
    }
    return (peek(t) == -1 || peek(t) == '\n' || is_crlf(t)) && utf8_is_valid(comment);
}

/* Blanks, comments and line ends: between entries, and between the items of an array. */
static bool skip_space(struct toml *t)
{
    for (;;) {
        skip_blanks(t);
        if (!skip_comment(t)) {
            return false;
        }
        if (peek(t) == '\r') {
            step(t);
            if (peek(t) != '\n') {
                return false;
            }
        }
        if (peek(t) != '\n') {
            return true;
        }
        step(t);
    }
}

static enum toml_result end_of_line(struct toml *t)
{
    skip_blanks(t);
    if (!skip_comment(t)) {
        return wrong(t, "a comment holds a control character, or is not UTF-8");
    }
    if (is_crlf(t)) {
        step(t);
    }
    if (peek(t) != -1 && peek(t) != '\n') {
        return wrong(t, "the line goes on after its value");
    }
    return TOML_OK;
}

static bool is_bare(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || c == '-';
}

static struct slice read_bare(struct toml *t, bool with_dots)
{
    struct slice name = {.at = t->rest.at};
    while (is_bare(peek(t))
           || (with_dots && peek(t) == '.' && name.len > 0 && name.at[name.len - 1] != '.')) {
        step(t);
        name.len++;
    }
    return name;
}

/* What is wrong with this character within a string; NULL: nothing. */
static const char *fault_in_string(int c)
{
    if (c == -1 || c == '\n' || c == '\r') {
        return "a string is not closed on its line";
    }
    return is_text(c) ? NULL : "a string holds a control character";
}

static enum toml_result read_string(struct toml *t, struct toml_entry *entry)
{
    int quote = peek(t);
    entry->kind = TOML_STRING;
    entry->is_literal = quote == '\'';
    step(t);
    entry->raw = (struct slice){.at = t->rest.at};
    while (peek(t) != quote) {
        if (peek(t) == '\\' && quote == '"') {
            step(t);
            entry->raw.len++;
        }
        const char *what = fault_in_string(peek(t));
        if (what != NULL) {
            return wrong(t, what);
        }
        step(t);
        entry->raw.len++;
    }
    if (!utf8_is_valid(entry->raw)) {
        return wrong(t, "a string is not UTF-8");
    }
    step(t);
    return TOML_OK;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* TOML 1.0, Integer: an underscore stands between two digits. */
static bool is_parting(const struct toml *t)
{
    return peek(t) == '_' && t->rest.len > 1 && is_digit(t->rest.at[1]);
}

static enum toml_result read_integer(struct toml *t, struct toml_entry *entry)
{
    bool negative = peek(t) == '-';
    if (peek(t) == '-' || peek(t) == '+') {
        step(t);
    }
    uint64_t value = 0;
    unsigned digits = 0;
    bool leading_zero = peek(t) == '0';
    while (is_digit(peek(t)) || (digits > 0 && is_parting(t))) {
        if (peek(t) != '_') {
            if (value > (uint64_t)INT64_MAX / 10) {
                return wrong(t, "a number is too large");
            }
            value = value * 10 + (uint64_t)(peek(t) - '0');
            digits++;
        }
        step(t);
    }
    if (digits == 0) {
        return wrong(t, "a value is missing: a \"string\", a number, true, false or an [array]");
    }
    if (value > INT64_MAX) {
        return wrong(t, "a number is too large");
    }
    if (leading_zero && digits > 1) {
        return wrong(t, "a number begins with 0");
    }
    if (is_bare(peek(t)) || peek(t) == '.') {
        return wrong(t, "not a whole number; with a unit it is written as a string, \"90 s\"");
    }
    entry->kind = TOML_INTEGER;
    entry->integer = negative ? -(int64_t)value : (int64_t)value;
    return TOML_OK;
}

static enum toml_result read_boolean(struct toml *t, struct toml_entry *entry)
{
    struct slice word = read_bare(t, false);
    if (!slice_is_text(word, "true") && !slice_is_text(word, "false")) {
        return wrong(t, "a value is missing: a \"string\", a number, true, false or an [array]");
    }
    entry->kind = TOML_BOOLEAN;
    entry->integer = slice_is_text(word, "true");
    return TOML_OK;
}

static enum toml_result read_scalar(struct toml *t, struct toml_entry *entry)
{
    entry->value_line = t->line;
    entry->value_column = t->column;
    int c = peek(t);
    if (c == '"' || c == '\'') {
        return read_string(t, entry);
    }
    if (c == 't' || c == 'f') {
        return read_boolean(t, entry);
    }
    return read_integer(t, entry);
}

/* Walks over the whole array, so that each of its items is known to be good. */
static enum toml_result read_array(struct toml *t, struct toml_entry *entry)
{
    entry->value_line = t->line;
    entry->value_column = t->column;
    step(t);
    struct toml items = *t;
    const uint8_t *first = t->rest.at;
    struct toml_entry item = {0};
    enum toml_result result = TOML_OK;
    while ((result = toml_array_next(&items, &item)) == TOML_OK) {
    }
    *t = items;
    if (result == TOML_WRONG) {
        return TOML_WRONG;
    }
    if (peek(t) != ']') {
        return wrong(t, "an array is not closed with ]");
    }
    entry->kind = TOML_ARRAY;
    entry->raw = (struct slice){.at = first, .len = (size_t)(t->rest.at - first)};
    step(t);
    return TOML_OK;
}

void toml_array_init(struct toml *items, const struct toml_entry *array)
{
    INVARIANT(array->kind == TOML_ARRAY);
    *items = (struct toml){
        .rest = array->raw,
        .line = array->value_line,
        .column = array->value_column + 1,
    };
}

enum toml_result toml_array_next(struct toml *items, struct toml_entry *item)
{
    *item = (struct toml_entry){0};
    if (!skip_space(items)) {
        return wrong(items, "a comment holds a control character, or is not UTF-8");
    }
    if (peek(items) == ']' || peek(items) == -1) {
        return TOML_END;
    }
    if (peek(items) == '[' || peek(items) == '{') {
        return wrong(items, "arrays hold strings or numbers, nothing nested");
    }
    enum toml_result result = read_scalar(items, item);
    if (result != TOML_OK) {
        return result;
    }
    if (!skip_space(items)) {
        return wrong(items, "a comment holds a control character, or is not UTF-8");
    }
    if (peek(items) == ',') {
        step(items);
    } else if (peek(items) != ']' && peek(items) != -1) {
        return wrong(items, "items of an array are parted by commas");
    }
    return TOML_OK;
}

static enum toml_result read_heading(struct toml *t, struct toml_entry *entry)
{
    step(t);
    bool is_item = peek(t) == '[';
    if (is_item) {
        step(t);
    }
    entry->kind = is_item ? TOML_TABLE_ITEM : TOML_TABLE;
    skip_blanks(t);
    entry->name = read_bare(t, true);
    if (entry->name.len == 0 || entry->name.at[entry->name.len - 1] == '.') {
        return wrong(t, "a table has no name");
    }
    skip_blanks(t);
    for (int i = 0; i < (is_item ? 2 : 1); i++) {
        if (peek(t) != ']') {
            return wrong(t, is_item ? "the heading is not closed with ]]"
                                    : "the heading is not closed with ]");
        }
        step(t);
    }
    return end_of_line(t);
}

enum toml_result toml_next(struct toml *t, struct toml_entry *entry)
{
    *entry = (struct toml_entry){0};
    if (!skip_space(t)) {
        return wrong(t, "between the lines is a control character, or what is not UTF-8");
    }
    if (peek(t) == -1) {
        return TOML_END;
    }
    entry->line = t->line;
    entry->column = t->column;
    if (peek(t) == '[') {
        return read_heading(t, entry);
    }
    entry->name = read_bare(t, false);
    if (entry->name.len == 0) {
        return wrong(t, "a key is missing");
    }
    skip_blanks(t);
    if (peek(t) == '.') {
        return wrong(t, "dotted keys are not read: use a [table]");
    }
    if (peek(t) != '=') {
        return wrong(t, "= is missing after the key");
    }
    step(t);
    skip_blanks(t);
    if (peek(t) == '{') {
        return wrong(t, "inline tables are not read: use a [table]");
    }
    enum toml_result result = peek(t) == '[' ? read_array(t, entry) : read_scalar(t, entry);
    return result == TOML_OK ? end_of_line(t) : result;
}

static bool write_escape(uint8_t c, struct writer *out)
{
    switch (c) {
    case 'n': write_u8(out, '\n'); return true;
    case 't': write_u8(out, '\t'); return true;
    case 'r': write_u8(out, '\r'); return true;
    case '"':
    case '\\': write_u8(out, c); return true;
    }
    return false;
}

bool toml_string(const struct toml_entry *entry, struct writer *out)
{
    if (entry->kind != TOML_STRING) {
        return false;
    }
    for (size_t i = 0; i < entry->raw.len; i++) {
        uint8_t c = entry->raw.at[i];
        if (c != '\\' || entry->is_literal) {
            write_u8(out, c);
            continue;
        }
        i++;
        if (i >= entry->raw.len || !write_escape(entry->raw.at[i], out)) {
            return false;
        }
    }
    return writer_ok(out);
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool number_with_unit(struct slice text,
                             const struct unit *units,
                             size_t count,
                             uint64_t *value)
{
    uint64_t number = 0;
    size_t digits = 0;
    while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9') {
        if (digits > 15) {
            return false;
        }
        number = number * 10 + (uint64_t)(text.at[digits] - '0');
        digits++;
    }
    struct slice rest = slice_after(text, digits);
    if (digits == 0 || rest.len < 2 || rest.at[0] != ' ') {
        return false;
    }
    rest = slice_after(rest, 1);
    for (size_t i = 0; i < count; i++) {
        if (slice_is_text(rest, units[i].name)) {
            if (number > UINT64_MAX / units[i].factor) {
                return false;
            }
            *value = number * units[i].factor;
            return true;
        }
    }
    return false;
}

bool toml_duration_ms(struct slice text, uint64_t *ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    return number_with_unit(text, units, COUNT_OF(units), ms);
}

bool toml_size_bytes(struct slice text, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"B", 1},         {"kB", 1000},       {"KiB", 1024},    {"MB", 1000000},
        {"MiB", 1 << 20}, {"GB", 1000000000}, {"GiB", 1 << 30},
    };
    return number_with_unit(text, units, COUNT_OF(units), bytes);
}
