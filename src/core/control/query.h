/*
 * The query language over devices, one for search bar, --query and API:
 *
 *     state:unknown gateway:gw-1 seen:>10m -name:press-0* "press" OR (gaps:>0 connected:no)
 *
 * Words are joined by and; OR binds weaker, NOT or a leading - stronger. A bare word is looked for
 * in name, serial, model and id. Text is compared without case, * stands for anything. What it does
 * not know is an error with the nearest known word, never an empty result. Compiled once, matched
 * against many rows; no recursion, bounded by QUERY_NODES_MAX.
 */
#ifndef CORE_CONTROL_QUERY_H
#define CORE_CONTROL_QUERY_H

#include "base/slice.h"
#include "codec/identity_state.h"
#include "core/control/condition.h"

enum { QUERY_TEXT_MAX = 1024, QUERY_NODES_MAX = 64 };

enum query_field {
    QUERY_ANY, /* a bare word */
    QUERY_NAME,
    QUERY_ID,
    QUERY_SERIAL,
    QUERY_STATE,
    QUERY_IDENTITY,
    QUERY_GATEWAY,
    QUERY_MODEL,
    QUERY_AGENT,
    QUERY_CONNECTED,
    QUERY_SEEN,
    QUERY_GAPS,
    QUERY_BOOT
};
enum { QUERY_FIELD_COUNT = QUERY_BOOT + 1 };

enum query_operation { QUERY_TERM, QUERY_NOT, QUERY_AND, QUERY_OR };
enum query_order { QUERY_EQUAL, QUERY_LESS, QUERY_LESS_EQUAL, QUERY_GREATER, QUERY_GREATER_EQUAL };

struct query_node { /* in postfix order */
    enum query_operation operation;
    enum query_field field;
    enum query_order order;
    uint16_t at, len; /* of its text, in query.text */
    uint64_t number;  /* gaps, boot; seen in ms; condition, identity, yes or no */
    bool is_never;    /* seen:never */
};

struct query {
    uint32_t count; /* 0: everything matches */
    uint16_t len;
    uint8_t text[QUERY_TEXT_MAX];
    struct query_node nodes[QUERY_NODES_MAX];
};

/* Where and why a text is no query. */
struct query_fault {
    size_t at;              /* offset in the text */
    struct slice word;      /* what stands there, borrowed from the text */
    const char *clause;     /* "unknown field" */
    const char *suggestion; /* the nearest known word, or NULL */
};

struct query_row {
    struct slice name, id, serial, model, agent, gateway;
    enum condition state;
    enum identity_state identity;
    bool connected;
    int64_t seen_age_ms; /* below 0: never */
    uint64_t gaps;       /* missing messages */
    uint64_t boot;
};

/* `out` is written only on true. */
MUST_USE bool query_parse(struct slice text, struct query *out, struct query_fault *fault);
bool query_matches(const struct query *query, const struct query_row *row);

/* All field names, for completion: QUERY_FIELD_COUNT - 1 of them. */
extern const char *const query_field_names[QUERY_FIELD_COUNT - 1];

#endif
