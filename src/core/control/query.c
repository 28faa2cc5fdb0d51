#include "core/control/query.h"

#include "base/invariant.h"
#include "base/nearest.h"

#include <assert.h>
#include <string.h>

const char *const query_field_names[QUERY_FIELD_COUNT - 1] = {
    "name",  "id",    "serial",    "state", "identity", "gateway",
    "model", "agent", "connected", "seen",  "gaps",     "boot",
};

static const char *const state_words[] = {"healthy", "degraded", "failing", "unknown",
                                          "quarantined"};
static_assert(COUNT_OF(state_words) == CONDITION_COUNT, "one word a condition");
static const char *const identity_words[] = {
    "expected", "enrolled", "active", "quarantined", "re-enrolling", "revoked", "decommissioned"};
static const char *const yes_words[] = {"no", "yes", "false", "true"};

/* What waits for its operands; an opening parenthesis waits for its end. */
enum waiting { WAIT_OPEN, WAIT_OR, WAIT_AND, WAIT_NOT };

struct pending {
    enum waiting what;
    size_t at;
};

struct parser {
    struct slice text;
    size_t at;
    struct query query;
    struct pending stack[QUERY_NODES_MAX];
    size_t depth;
    bool after_operand;
    bool failed;
    struct query_fault fault;
};

static void fail(
    struct parser *p, size_t at, size_t len, const char *clause, const char *suggestion)
{
    if (!p->failed) {
        p->failed = true;
        p->fault = (struct query_fault){
            .at = at,
            .word = {.at = p->text.at + at, .len = len},
            .clause = clause,
            .suggestion = suggestion,
        };
    }
}

static int byte_at(const struct parser *p, size_t at)
{
    return at < p->text.len ? p->text.at[at] : -1;
}

/* ---- putting the expression in postfix order ---- */

static void emit(struct parser *p, const struct query_node *node)
{
    if (p->query.count == QUERY_NODES_MAX) {
        fail(p, p->at, 0, "more than 64 terms and operators", NULL);
        return;
    }
    p->query.nodes[p->query.count++] = *node;
}

static void emit_pending(struct parser *p)
{
    static const enum query_operation operations[] = {
        [WAIT_OR] = QUERY_OR, [WAIT_AND] = QUERY_AND, [WAIT_NOT] = QUERY_NOT};
    struct pending top = p->stack[--p->depth];
    INVARIANT(top.what != WAIT_OPEN);
    emit(p, &(struct query_node){.operation = operations[top.what]});
}

/* All that binds at least as strongly as `what` gets its operands first. */
static void push(struct parser *p, enum waiting what, size_t at)
{
    while (what != WAIT_OPEN && what != WAIT_NOT && p->depth > 0
           && p->stack[p->depth - 1].what >= what) {
        emit_pending(p);
    }
    if (p->depth == QUERY_NODES_MAX) {
        fail(p, at, 1, "nested too deeply", NULL);
        return;
    }
    p->stack[p->depth++] = (struct pending){.what = what, .at = at};
}

/* Before anything that begins an operand. */
static void begin_operand(struct parser *p)
{
    if (p->after_operand) {
        push(p, WAIT_AND, p->at);
    }
    p->after_operand = false;
}

static void close_group(struct parser *p)
{
    size_t at = p->at++;
    if (!p->after_operand) {
        fail(p, at, 1, "nothing stands before it", NULL);
        return;
    }
    while (p->depth > 0 && p->stack[p->depth - 1].what != WAIT_OPEN) {
        emit_pending(p);
    }
    if (p->depth == 0) {
        fail(p, at, 1, "a parenthesis that was not opened", NULL);
        return;
    }
    p->depth--;
}

static void put_or(struct parser *p, size_t at, size_t len)
{
    if (!p->after_operand) {
        fail(p, at, len, "nothing stands before it", NULL);
        return;
    }
    push(p, WAIT_OR, at);
    p->after_operand = false;
}

/* ---- terms ---- */

static struct slice text_of(const struct parser *p, const struct query_node *node)
{
    return (struct slice){.at = p->text.at + node->at, .len = node->len};
}

static uint8_t lower_of(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static bool is_same_text(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        if (lower_of(a.at[i]) != lower_of(b.at[i])) {
            return false;
        }
    }
    return a.len == b.len;
}

static bool word_find(struct slice text, const char *const *words, size_t count, uint64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        if (is_same_text(text, slice_text(words[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

static void read_word(struct parser *p,
                      struct query_node *node,
                      const char *const *words,
                      size_t count)
{
    struct slice text = text_of(p, node);
    if (node->order != QUERY_EQUAL) {
        fail(p, node->at, node->len, "this field is not ordered", NULL);
    } else if (!word_find(text, words, count, &node->number)) {
        fail(p, node->at, node->len, "a value this field does not have",
             nearest_word(text, words, count));
    }
}

/* Digits from the start of `text`; false: none, or more than fit. */
static bool digits_read(struct slice *text, uint64_t *out)
{
    uint64_t value = 0;
    size_t count = 0;
    for (; text->len > 0 && text->at[0] >= '0' && text->at[0] <= '9'; count++) {
        if (count == 15) {
            return false;
        }
        value = value * 10 + (uint64_t)(text->at[0] - '0');
        *text = slice_after(*text, 1);
    }
    *out = value;
    return count > 0;
}

static void read_number(struct parser *p, struct query_node *node)
{
    struct slice text = text_of(p, node);
    if (!digits_read(&text, &node->number) || text.len > 0) {
        fail(p, node->at, node->len, "not a whole number", NULL);
    }
}

static void read_duration(struct parser *p, struct query_node *node)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},    {"min", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
    struct slice text = text_of(p, node);
    uint64_t value = 0;
    if (is_same_text(text, slice_text("never"))) {
        node->is_never = true;
        return;
    }
    if (digits_read(&text, &value)) {
        for (size_t i = 0; i < COUNT_OF(units); i++) {
            if (is_same_text(text, slice_text(units[i].unit))
                && value <= UINT64_MAX / 4 / units[i].ms) {
                node->number = value * units[i].ms;
                return;
            }
        }
    }
    fail(p, node->at, node->len, "not a duration such as 90s, 10m, 2h, 3d or never", NULL);
}

static void read_value(struct parser *p, struct query_node *node)
{
    switch (node->field) {
    case QUERY_STATE: read_word(p, node, state_words, COUNT_OF(state_words)); return;
    case QUERY_IDENTITY:
        read_word(p, node, identity_words, COUNT_OF(identity_words));
        node->number += IDENTITY_EXPECTED;
        return;
    case QUERY_CONNECTED:
        read_word(p, node, yes_words, COUNT_OF(yes_words));
        node->number &= 1;
        return;
    case QUERY_SEEN: read_duration(p, node); return;
    case QUERY_GAPS:
    case QUERY_BOOT: read_number(p, node); return;
    case QUERY_ANY:
    case QUERY_NAME:
    case QUERY_ID:
    case QUERY_SERIAL:
    case QUERY_GATEWAY:
    case QUERY_MODEL:
    case QUERY_AGENT:
        if (node->order != QUERY_EQUAL) {
            fail(p, node->at, node->len, "this field is not ordered", NULL);
        }
        return;
    }
    UNREACHABLE();
}

static size_t read_order(struct parser *p, struct query_node *node)
{
    int first = byte_at(p, p->at);
    bool or_equal = byte_at(p, p->at + 1) == '=';
    if (first == '<') {
        node->order = or_equal ? QUERY_LESS_EQUAL : QUERY_LESS;
    } else if (first == '>') {
        node->order = or_equal ? QUERY_GREATER_EQUAL : QUERY_GREATER;
    } else {
        return 0;
    }
    return or_equal ? 2 : 1;
}

static bool ends_word(int byte)
{
    return byte < 0 || byte == ' ' || byte == '\t' || byte == '(' || byte == ')' || byte == '"';
}

/* What is searched for, in quotes or up to the next blank. */
static void read_text(struct parser *p, struct query_node *node)
{
    bool quoted = byte_at(p, p->at) == '"';
    size_t first = quoted ? p->at + 1 : p->at;
    size_t end = first;
    while (quoted ? byte_at(p, end) >= 0 && byte_at(p, end) != '"' : !ends_word(byte_at(p, end))) {
        end++;
    }
    node->at = (uint16_t)first;
    node->len = (uint16_t)(end - first);
    if (quoted && byte_at(p, end) < 0) {
        fail(p, p->at, end - p->at, "a quotation mark without its end", NULL);
    } else if (end == first) {
        fail(p, p->at, 0, "nothing to look for", NULL);
    }
    p->at = quoted ? end + 1 : end;
}

/* The length of a field's name at the reader, with its colon; 0: a bare word. Ids have a colon of
 * their own. */
static size_t field_len(const struct parser *p)
{
    size_t len = 0;
    while (!ends_word(byte_at(p, p->at + len)) && byte_at(p, p->at + len) != ':') {
        len++;
    }
    struct slice word = slice_of(p->text.at + p->at, len);
    return byte_at(p, p->at + len) == ':' && len > 0 && !slice_is_text(word, "hf1") ? len + 1 : 0;
}

static void read_term(struct parser *p)
{
    struct query_node node = {.operation = QUERY_TERM, .field = QUERY_ANY};
    size_t name_len = byte_at(p, p->at) == '"' ? 0 : field_len(p);
    begin_operand(p);
    if (name_len > 0) {
        struct slice name = slice_of(p->text.at + p->at, name_len - 1);
        uint64_t index = 0;
        if (!word_find(name, query_field_names, COUNT_OF(query_field_names), &index)) {
            fail(p, p->at, name.len, "unknown field",
                 nearest_word(name, query_field_names, COUNT_OF(query_field_names)));
            return;
        }
        node.field = (enum query_field)(index + QUERY_NAME);
        p->at += name_len;
        p->at += read_order(p, &node);
    }
    read_text(p, &node);
    if (!p->failed) {
        read_value(p, &node);
        emit(p, &node);
        p->after_operand = true;
    }
}

static bool word_stands(const struct parser *p, const char *word)
{
    struct slice expected = slice_text(word);
    return slice_has_prefix(slice_after(p->text, p->at), expected)
           && ends_word(byte_at(p, p->at + expected.len));
}

static bool minus_stands(const struct parser *p)
{
    int next = byte_at(p, p->at + 1);
    return byte_at(p, p->at) == '-' && (!ends_word(next) || next == '(' || next == '"');
}

static void step(struct parser *p)
{
    int byte = byte_at(p, p->at);
    if (byte == ' ' || byte == '\t') {
        p->at++;
    } else if (byte == '(') {
        begin_operand(p);
        push(p, WAIT_OPEN, p->at++);
    } else if (byte == ')') {
        close_group(p);
    } else if (word_stands(p, "OR")) {
        put_or(p, p->at, 2);
        p->at += 2;
    } else if (word_stands(p, "AND") && p->after_operand) {
        push(p, WAIT_AND, p->at);
        p->after_operand = false;
        p->at += 3;
    } else if (word_stands(p, "NOT") || minus_stands(p)) {
        begin_operand(p);
        push(p, WAIT_NOT, p->at);
        p->at += byte == '-' ? 1 : 3;
    } else {
        read_term(p);
    }
}

static void finish(struct parser *p)
{
    if (!p->after_operand && (p->depth > 0 || p->query.count > 0)) {
        fail(p, p->text.len, 0, "ends where something must follow", NULL);
    }
    while (!p->failed && p->depth > 0) {
        if (p->stack[p->depth - 1].what == WAIT_OPEN) {
            fail(p, p->stack[p->depth - 1].at, 1, "a parenthesis that is not closed", NULL);
        } else {
            emit_pending(p);
        }
    }
}

bool query_parse(struct slice text, struct query *out, struct query_fault *fault)
{
    struct parser p = {.text = text};
    if (text.len > QUERY_TEXT_MAX) {
        fail(&p, 0, 0, "longer than 1,024 bytes", NULL);
    }
    while (!p.failed && p.at < text.len) {
        step(&p);
    }
    if (!p.failed) {
        finish(&p);
    }
    if (p.failed) {
        *fault = p.fault;
        return false;
    }
    if (text.len > 0) {
        memcpy(p.query.text, text.at, text.len);
    }
    p.query.len = (uint16_t)text.len;
    *out = p.query;
    return true;
}

/* ---- matching ---- */

/* Does the text fit the pattern, * standing for any run: the whole of it, or (anywhere) a part? */
static bool fits(struct slice pattern, struct slice text, bool anywhere)
{
    size_t p = 0;
    size_t t = 0;
    size_t back = anywhere ? 0 : SIZE_MAX; /* where the pattern goes on after a mismatch */
    size_t retry = 0;
    while (t < text.len) {
        if (anywhere && p == pattern.len) {
            return true;
        }
        if (p < pattern.len && pattern.at[p] == '*') {
            back = ++p;
            retry = t;
        } else if (p < pattern.len && lower_of(pattern.at[p]) == lower_of(text.at[t])) {
            p++;
            t++;
        } else if (back != SIZE_MAX) {
            p = back;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

static bool compare(enum query_order order, uint64_t have, uint64_t wanted)
{
    switch (order) {
    case QUERY_EQUAL: return have == wanted;
    case QUERY_LESS: return have < wanted;
    case QUERY_LESS_EQUAL: return have <= wanted;
    case QUERY_GREATER: return have > wanted;
    case QUERY_GREATER_EQUAL: return have >= wanted;
    }
    UNREACHABLE();
}

/* Never seen is longer ago than any time. An age given without < or > means at most. */
static bool seen_matches(const struct query_node *node, int64_t age_ms)
{
    if (node->is_never || age_ms < 0) {
        bool is_never = age_ms < 0;
        bool wants_long = node->order == QUERY_GREATER || node->order == QUERY_GREATER_EQUAL;
        return node->is_never ? is_never : wants_long;
    }
    enum query_order order = node->order == QUERY_EQUAL ? QUERY_LESS_EQUAL : node->order;
    return compare(order, (uint64_t)age_ms, node->number);
}

static bool term_matches(const struct query *q,
                         const struct query_node *node,
                         const struct query_row *row)
{
    struct slice text = slice_of(q->text + node->at, node->len);
    switch (node->field) {
    case QUERY_ANY:
        return fits(text, row->name, true) || fits(text, row->serial, true)
               || fits(text, row->model, true) || fits(text, row->id, true);
    case QUERY_NAME: return fits(text, row->name, false);
    case QUERY_ID: return fits(text, row->id, false);
    case QUERY_SERIAL: return fits(text, row->serial, false);
    case QUERY_GATEWAY: return fits(text, row->gateway, false);
    case QUERY_MODEL: return fits(text, row->model, false);
    case QUERY_AGENT: return fits(text, row->agent, false);
    case QUERY_STATE: return (uint64_t)row->state == node->number;
    case QUERY_IDENTITY: return (uint64_t)row->identity == node->number;
    case QUERY_CONNECTED: return row->connected == (node->number == 1);
    case QUERY_SEEN: return seen_matches(node, row->seen_age_ms);
    case QUERY_GAPS: return compare(node->order, row->gaps, node->number);
    case QUERY_BOOT: return compare(node->order, row->boot, node->number);
    }
    UNREACHABLE();
}

bool query_matches(const struct query *q, const struct query_row *row)
{
    uint64_t stack =
        1; /* its lowest bit is the newest value; everything matches where there is no term */
    for (uint32_t i = 0; i < q->count; i++) {
        const struct query_node *node = &q->nodes[i];
        uint64_t top = stack & 1;
        uint64_t below = stack >> 1 & 1;
        switch (node->operation) {
        case QUERY_TERM: stack = stack << 1 | (uint64_t)term_matches(q, node, row); break;
        case QUERY_NOT: stack ^= 1; break;
        case QUERY_AND: stack = (stack >> 2) << 1 | (top & below); break;
        case QUERY_OR: stack = (stack >> 2) << 1 | (top | below); break;
        }
    }
    return (stack & 1) != 0;
}
