#include "codec/json.h"

#include "base/utf8.h"
#include "codec/decimal.h"

#include <assert.h>

/* What may stand where the reader is. */
enum expect {
    EXPECT_VALUE,        /* zero: how every text begins */
    EXPECT_FIRST_VALUE,  /* behind [ : a value or ] */
    EXPECT_FIRST_NAME,   /* behind { : a name or } */
    EXPECT_NAME,         /* behind a comma in an object */
    EXPECT_COMMA_OR_END, /* behind a value in a container */
    EXPECT_NOTHING       /* behind the one value of the text */
};

static_assert(JSON_DEPTH_MAX <= 32, "a bit each in json_reader.objects");

struct json_reader json_reader_over(struct slice text)
{
    return (struct json_reader){.text = text};
}

void json_reader_fail(struct json_reader *r, enum json_result result, const char *clause)
{
    if (r->result == JSON_OK) {
        r->result = result;
        r->clause = clause;
    }
}

static bool fail(struct json_reader *r, enum json_result result, const char *clause)
{
    json_reader_fail(r, result, clause);
    return false;
}

static int peek_byte(const struct json_reader *r)
{
    return r->at < r->text.len ? r->text.at[r->at] : -1;
}

static void skip_blanks(struct json_reader *r)
{
    for (int byte = peek_byte(r); byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
         byte = peek_byte(r)) {
        r->at++;
    }
}

static bool in_object(const struct json_reader *r)
{
    return r->depth > 0 && (r->objects >> (r->depth - 1) & 1) != 0;
}

static void value_ended(struct json_reader *r)
{
    r->expect = r->depth == 0 ? EXPECT_NOTHING : EXPECT_COMMA_OR_END;
}

static bool open_container(struct json_reader *r, bool is_object, struct json_token *out)
{
    if (r->depth == JSON_DEPTH_MAX) {
        return fail(r, JSON_TOO_DEEP, "nested too deeply");
    }
    uint32_t bit = UINT32_C(1) << r->depth;
    r->objects = is_object ? r->objects | bit : r->objects & ~bit;
    r->depth++;
    r->at++;
    r->expect = is_object ? EXPECT_FIRST_NAME : EXPECT_FIRST_VALUE;
    out->kind = is_object ? JSON_OBJECT : JSON_ARRAY;
    return true;
}

static bool close_container(struct json_reader *r, struct json_token *out)
{
    out->kind = in_object(r) ? JSON_OBJECT_END : JSON_ARRAY_END;
    r->depth--;
    r->at++;
    value_ended(r);
    return true;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The value of \uXXXX at `at`, or -1 where there is none. */
static int32_t unit_at(struct slice text, size_t at)
{
    if (at + 6 > text.len || text.at[at] != '\\' || text.at[at + 1] != 'u') {
        return -1;
    }
    int32_t unit = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        int digit = hex_digit(text.at[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

/*
 * The character that the escape at `at` stands for and how long the escape is: 6 bytes, 12 with its
 * second half, or 2. A length of 0: no escape of RFC 8259 7, or a lone surrogate, which *code_point
 * then is.
 */
static size_t escape_decode(struct slice text, size_t at, uint32_t *code_point)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    *code_point = 0;
    for (size_t i = 0; at + 1 < text.len && from[i] != '\0'; i++) {
        if (text.at[at + 1] == (uint8_t)from[i]) {
            *code_point = (uint8_t)to[i];
            return 2;
        }
    }
    int32_t unit = unit_at(text, at);
    if (unit < 0) {
        return 0;
    }
    *code_point = (uint32_t)unit;
    if (unit < 0xD800 || unit > 0xDFFF) {
        return 6;
    }
    int32_t low = unit_at(text, at + 6);
    if (unit > 0xDBFF || low < 0xDC00 || low > 0xDFFF) {
        return 0;
    }
    *code_point = 0x10000u + (((uint32_t)unit - 0xD800u) << 10) + ((uint32_t)low - 0xDC00u);
    return 12;
}

/* One character of a string, between the quotes; false where it must not stand there. */
static bool scan_character(struct json_reader *r, bool *has_escapes)
{
    uint8_t byte = r->text.at[r->at];
    uint32_t code_point = 0;
    size_t len = 1;
    if (byte == '\\') {
        *has_escapes = true;
        len = escape_decode(r->text, r->at, &code_point);
        if (len == 0) {
            return code_point != 0 ? fail(r, JSON_BAD_UTF8, "a lone surrogate")
                                   : fail(r, JSON_MALFORMED, "an escape JSON does not have");
        }
    } else if (byte < 0x20) {
        return fail(r, JSON_MALFORMED, "a control character in a string");
    } else if (byte >= 0x80) {
        len = utf8_decode(slice_after(r->text, r->at), &code_point);
        if (len == 0) {
            return fail(r, JSON_BAD_UTF8, "not UTF-8");
        }
    }
    r->at += len;
    return true;
}

static bool scan_string(struct json_reader *r, struct json_string *out)
{
    if (peek_byte(r) != '"') {
        return fail(r, JSON_MALFORMED, "expected a name in quotes");
    }
    size_t first = ++r->at;
    bool has_escapes = false;
    while (peek_byte(r) >= 0 && peek_byte(r) != '"') {
        if (!scan_character(r, &has_escapes)) {
            return false;
        }
    }
    if (peek_byte(r) < 0) {
        return fail(r, JSON_MALFORMED, "a string without end");
    }
    out->raw = slice_of(r->text.at + first, r->at - first);
    out->has_escapes = has_escapes;
    r->at++;
    return true;
}

static bool is_number_byte(int byte)
{
    return (byte >= '0' && byte <= '9') || byte == '-' || byte == '+' || byte == '.' || byte == 'e'
           || byte == 'E';
}

/* Plain digits are read as they stand: a double would lose those beyond 2^53. */
static bool integer_from_text(struct slice text, int64_t *out)
{
    bool negative = text.at[0] == '-';
    uint64_t most = negative ? UINT64_C(1) << 63 : INT64_MAX;
    uint64_t value = 0;
    for (size_t i = negative; i < text.len; i++) {
        uint8_t byte = text.at[i];
        if (byte < '0' || byte > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(byte - '0');
        if (value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static void integer_find(struct json_token *token)
{
    if (integer_from_text(token->number_text, &token->integer)) {
        token->is_integer = true;
        return;
    }
    /* A form such as 1e3. Up to 2^53 every double is the one number it shows. */
    if (token->number >= -9007199254740992.0 && token->number <= 9007199254740992.0) {
        int64_t whole = (int64_t)token->number;
        token->is_integer = (double)whole == token->number;
        token->integer = token->is_integer ? whole : 0;
    }
}

static bool scan_number(struct json_reader *r, struct json_token *out)
{
    size_t first = r->at;
    while (is_number_byte(peek_byte(r))) {
        r->at++;
    }
    out->kind = JSON_NUMBER;
    out->number_text = slice_of(r->text.at + first, r->at - first);
    enum decimal_result result = decimal_read(out->number_text, &out->number);
    if (result != DECIMAL_OK) {
        r->at = first;
        return result == DECIMAL_TOO_LARGE ? fail(r, JSON_TOO_LARGE, "a number too large")
                                           : fail(r, JSON_MALFORMED, "not a number of JSON");
    }
    integer_find(out);
    value_ended(r);
    return true;
}

static bool scan_word(struct json_reader *r,
                      const char *word,
                      enum json_kind kind,
                      struct json_token *out)
{
    struct slice expected = slice_text(word);
    if (!slice_has_prefix(slice_after(r->text, r->at), expected)) {
        return fail(r, JSON_MALFORMED, "expected a value");
    }
    r->at += expected.len;
    out->kind = kind;
    value_ended(r);
    return true;
}

static bool next_value(struct json_reader *r, struct json_token *out)
{
    int byte = peek_byte(r);
    switch (byte) {
    case -1: return fail(r, JSON_MALFORMED, "ends before its value");
    case '{': return open_container(r, true, out);
    case '[': return open_container(r, false, out);
    case 't': return scan_word(r, "true", JSON_TRUE, out);
    case 'f': return scan_word(r, "false", JSON_FALSE, out);
    case 'n': return scan_word(r, "null", JSON_NULL, out);
    case '"':
        out->kind = JSON_STRING;
        value_ended(r);
        return scan_string(r, &out->string);
    default:
        return byte == '-' || (byte >= '0' && byte <= '9')
                   ? scan_number(r, out)
                   : fail(r, JSON_MALFORMED, "expected a value");
    }
}

static bool next_name(struct json_reader *r, struct json_token *out)
{
    if (!scan_string(r, &out->string)) {
        return false;
    }
    skip_blanks(r);
    if (peek_byte(r) != ':') {
        return fail(r, JSON_MALFORMED, "expected a colon");
    }
    r->at++;
    r->expect = EXPECT_VALUE;
    out->kind = JSON_NAME;
    return true;
}

static bool next_in_container(struct json_reader *r, struct json_token *out)
{
    int byte = peek_byte(r);
    if (byte == (in_object(r) ? '}' : ']')) {
        return close_container(r, out);
    }
    if (byte != ',') {
        return fail(r, JSON_MALFORMED, byte < 0 ? "a container without end" : "expected a comma");
    }
    r->at++;
    skip_blanks(r);
    out->at = r->at;
    if (in_object(r)) {
        r->expect = EXPECT_NAME;
        return next_name(r, out);
    }
    return next_value(r, out);
}

bool json_next(struct json_reader *r, struct json_token *out)
{
    *out = (struct json_token){0};
    if (r->result != JSON_OK) {
        return false;
    }
    skip_blanks(r);
    out->at = r->at;
    bool got = false;
    switch ((enum expect)r->expect) {
    case EXPECT_VALUE: got = next_value(r, out); break;
    case EXPECT_NAME: got = next_name(r, out); break;
    case EXPECT_COMMA_OR_END: got = next_in_container(r, out); break;
    case EXPECT_FIRST_VALUE:
        got = peek_byte(r) == ']' ? close_container(r, out) : next_value(r, out);
        break;
    case EXPECT_FIRST_NAME:
        got = peek_byte(r) == '}' ? close_container(r, out) : next_name(r, out);
        break;
    case EXPECT_NOTHING:
        return peek_byte(r) < 0 ? false : fail(r, JSON_MALFORMED, "bytes behind the value");
    }
    if (!got) {
        *out = (struct json_token){.at = r->at};
    }
    return got;
}

enum json_kind json_peek(const struct json_reader *r)
{
    struct json_reader ahead = *r;
    struct json_token token;
    return json_next(&ahead, &token) ? token.kind : JSON_NONE;
}

bool json_reader_done(struct json_reader *r)
{
    struct json_token token;
    if (r->result == JSON_OK && r->expect != EXPECT_NOTHING) {
        return fail(r, JSON_MALFORMED, "ends before its value");
    }
    (void)json_next(r, &token);
    return r->result == JSON_OK;
}

/* ---- sticky reads ---- */

static bool take(struct json_reader *r,
                 enum json_kind kind,
                 const char *clause,
                 struct json_token *out)
{
    if (!json_next(r, out)) {
        return fail(r, JSON_UNEXPECTED, clause);
    }
    if (out->kind != kind) {
        r->at = out->at;
        return fail(r, JSON_UNEXPECTED, clause);
    }
    return true;
}

void json_read_object(struct json_reader *r)
{
    struct json_token token;
    (void)take(r, JSON_OBJECT, "expected an object", &token);
}

bool json_next_name(struct json_reader *r, struct json_string *name)
{
    struct json_token token;
    *name = (struct json_string){0};
    if (!json_next(r, &token)) {
        return false;
    }
    if (token.kind == JSON_OBJECT_END) {
        return false;
    }
    if (token.kind != JSON_NAME) {
        return fail(r, JSON_UNEXPECTED, "expected a name");
    }
    *name = token.string;
    return true;
}

void json_read_array(struct json_reader *r)
{
    struct json_token token;
    (void)take(r, JSON_ARRAY, "expected an array", &token);
}

bool json_next_element(struct json_reader *r)
{
    struct json_token token;
    if (r->result != JSON_OK || in_object(r) || r->depth == 0) {
        return fail(r, JSON_UNEXPECTED, "expected an element");
    }
    skip_blanks(r);
    if (peek_byte(r) == ']' && r->expect != EXPECT_VALUE) {
        (void)close_container(r, &token);
        return false;
    }
    if (r->expect == EXPECT_COMMA_OR_END) {
        if (peek_byte(r) != ',') {
            return fail(r, JSON_MALFORMED, "expected a comma");
        }
        r->at++;
    }
    r->expect = EXPECT_VALUE;
    return true;
}

struct json_string json_read_string(struct json_reader *r)
{
    struct json_token token;
    return take(r, JSON_STRING, "expected a string", &token) ? token.string
                                                             : (struct json_string){0};
}

double json_read_double(struct json_reader *r)
{
    struct json_token token;
    return take(r, JSON_NUMBER, "expected a number", &token) ? token.number : 0;
}

int64_t json_read_int(struct json_reader *r, int64_t least, int64_t most)
{
    struct json_token token;
    if (!take(r, JSON_NUMBER, "expected a whole number", &token)) {
        return least;
    }
    if (!token.is_integer || token.integer < least || token.integer > most) {
        r->at = token.at;
        (void)fail(r, JSON_UNEXPECTED,
                   token.is_integer ? "a number out of range" : "expected a whole number");
        return least;
    }
    return token.integer;
}

bool json_read_bool(struct json_reader *r)
{
    struct json_token token;
    if (json_next(r, &token) && token.kind != JSON_TRUE && token.kind != JSON_FALSE) {
        r->at = token.at;
        (void)fail(r, JSON_UNEXPECTED, "expected true or false");
    }
    return r->result == JSON_OK && token.kind == JSON_TRUE;
}

void json_skip(struct json_reader *r)
{
    struct json_token token;
    uint32_t depth = r->depth;
    do {
        if (!json_next(r, &token)) {
            (void)fail(r, JSON_UNEXPECTED, "expected a value");
            return;
        }
        if (r->depth < depth || (r->depth == depth && token.kind == JSON_NAME)) {
            r->at = token.at;
            (void)fail(r, JSON_UNEXPECTED, "expected a value");
            return;
        }
    } while (r->depth > depth);
}

int json_name_once(struct json_reader *r,
                   const struct json_string *name,
                   const char *const *names,
                   size_t count,
                   uint64_t *seen)
{
    for (size_t i = 0; i < count && i < 64; i++) {
        if (json_string_is(name, names[i])) {
            if ((*seen >> i & 1) != 0) {
                (void)fail(r, JSON_DUPLICATE, "a name twice in one object");
            }
            *seen |= UINT64_C(1) << i;
            return (int)i;
        }
    }
    return -1;
}

/* `scratch` is a stack of the names of all open objects; an opening brace pushes a separator. */
static bool push(struct json_reader *r,
                 struct json_string *scratch,
                 size_t cap,
                 size_t *count,
                 struct json_string what)
{
    if (*count == cap) {
        return fail(r, JSON_TOO_LARGE, "too many names");
    }
    scratch[(*count)++] = what;
    return true;
}

enum json_result json_check(struct slice text, struct json_string *scratch, size_t cap)
{
    static const struct json_string separator = {0};
    struct json_reader r = json_reader_over(text);
    struct json_token token;
    size_t count = 0;
    while (json_next(&r, &token)) {
        if (token.kind == JSON_OBJECT) {
            (void)push(&r, scratch, cap, &count, separator);
        } else if (token.kind == JSON_OBJECT_END) {
            while (scratch[--count].raw.at != NULL) {
            }
        } else if (token.kind == JSON_NAME) {
            for (size_t i = count; scratch[i - 1].raw.at != NULL; i--) {
                if (json_string_equal(&scratch[i - 1], &token.string)) {
                    (void)fail(&r, JSON_DUPLICATE, "a name twice in one object");
                    break;
                }
            }
            (void)push(&r, scratch, cap, &count, token.string);
        }
    }
    (void)json_reader_done(&r);
    return r.result;
}

/* ---- strings ---- */

/* The next character of a checked string, which it loses; false at its end. */
static bool next_character(struct json_string *string, uint32_t *code_point)
{
    struct slice raw = string->raw;
    if (raw.len == 0) {
        return false;
    }
    size_t len = string->has_escapes && raw.at[0] == '\\' ? escape_decode(raw, 0, code_point)
                                                          : utf8_decode(raw, code_point);
    string->raw = slice_after(raw, len > 0 ? len : raw.len);
    return len > 0;
}

void json_string_write(struct writer *w, const struct json_string *string)
{
    if (!string->has_escapes) {
        write_slice(w, string->raw);
        return;
    }
    struct json_string rest = *string;
    uint32_t code_point = 0;
    while (next_character(&rest, &code_point)) {
        utf8_write(w, code_point);
    }
}

bool json_string_equal(const struct json_string *a, const struct json_string *b)
{
    if (!a->has_escapes && !b->has_escapes) {
        return slice_equal(a->raw, b->raw);
    }
    struct json_string x = *a;
    struct json_string y = *b;
    uint32_t left = 0;
    uint32_t right = 0;
    while (next_character(&x, &left)) {
        if (!next_character(&y, &right) || left != right) {
            return false;
        }
    }
    return y.raw.len == 0;
}

bool json_string_is(const struct json_string *string, const char *text)
{
    /* Plain text has no escapes to resolve, whatever bytes it holds. */
    return json_string_equal(string, &(struct json_string){.raw = slice_text(text)});
}
