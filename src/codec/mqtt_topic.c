#include "codec/mqtt_topic.h"

#include "base/utf8.h"

#include <string.h>

enum { TOPIC_MAX = 65535 };

static const char SHARE[] = "$share/";

bool mqtt_string_is_valid(struct slice text)
{
    return text.len == 0 || (memchr(text.at, 0, text.len) == NULL && utf8_is_valid(text));
}

bool mqtt_topic_name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > TOPIC_MAX || memchr(name.at, '+', name.len) != NULL
        || memchr(name.at, '#', name.len) != NULL) {
        return false;
    }
    return mqtt_string_is_valid(name);
}

/* The level that begins `rest`; *rest becomes what follows its slash, *more says whether one did.
 */
static struct slice take_level(struct slice *rest, bool *more)
{
    const uint8_t *slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
    *more = slash != NULL;
    struct slice level = *rest;
    if (slash != NULL) {
        level.len = (size_t)(slash - rest->at);
    }
    *rest = slice_after(*rest, level.len + (slash != NULL ? 1 : 0));
    return level;
}

static bool has_wildcard(struct slice level)
{
    return level.len > 0
           && (memchr(level.at, '+', level.len) != NULL
               || memchr(level.at, '#', level.len) != NULL);
}

bool mqtt_filter_has_wildcard(struct slice filter)
{
    return has_wildcard(filter);
}

bool mqtt_filter_is_shared(struct slice filter, struct slice *share_name, struct slice *rest)
{
    if (!slice_has_prefix(filter, slice_text(SHARE))) {
        return false;
    }
    bool more = false;
    *rest = slice_after(filter, sizeof SHARE - 1);
    *share_name = take_level(rest, &more);
    return true;
}

static bool levels_are_valid(struct slice rest)
{
    for (bool more = true; more;) {
        struct slice level = take_level(&rest, &more);
        if (!has_wildcard(level)) {
            continue;
        }
        if (level.len != 1 || (level.at[0] == '#' && more)) {
            return false;
        }
    }
    return true;
}

bool mqtt_topic_filter_is_valid(struct slice filter)
{
    if (filter.len == 0 || filter.len > TOPIC_MAX || !mqtt_string_is_valid(filter)) {
        return false;
    }
    struct slice name, rest = filter;
    if (mqtt_filter_is_shared(filter, &name, &rest)
        && (name.len == 0 || has_wildcard(name) || rest.len == 0)) {
        return false;
    }
    if (slice_is_text(filter, "$share")) {
        return false;
    }
    return levels_are_valid(rest);
}

bool mqtt_filter_matches(struct slice filter, struct slice name)
{
    if (name.len > 0 && name.at[0] == '$' && filter.len > 0
        && (filter.at[0] == '+' || filter.at[0] == '#')) {
        return false;
    }
    bool more_filter = true, more_name = true;
    while (more_filter) {
        struct slice want = take_level(&filter, &more_filter);
        if (slice_is_text(want, "#")) {
            return true; /* also the parent level: "a/#" matches "a" */
        }
        if (!more_name) {
            return false;
        }
        struct slice have = take_level(&name, &more_name);
        if (!slice_is_text(want, "+") && !slice_equal(want, have)) {
            return false;
        }
    }
    return !more_name;
}

bool mqtt_filter_covers(struct slice outer, struct slice inner)
{
    if (inner.len > 0 && inner.at[0] == '$' && outer.len > 0
        && (outer.at[0] == '+' || outer.at[0] == '#')) {
        return false; /* 4.7.2-1 */
    }
    bool more_outer = true, more_inner = true;
    while (more_outer) {
        struct slice want = take_level(&outer, &more_outer);
        if (slice_is_text(want, "#")) {
            return true;
        }
        if (!more_inner) {
            return false;
        }
        struct slice have = take_level(&inner, &more_inner);
        if (slice_is_text(have, "#") || (!slice_is_text(want, "+") && !slice_equal(want, have))) {
            return false;
        }
    }
    return !more_inner;
}
