/* A filter and a name, separated by a line feed, against a matcher that is plain recursion over
 * levels. A second filter behind another line feed: what it covers, it matches wherever the first
 * one does. */
#include "codec/mqtt_topic.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 200 };

static struct slice first_level(struct slice s)
{
    size_t len = 0;
    while (len < s.len && s.at[len] != '/') {
        len++;
    }
    return slice_of(s.at, len);
}

static bool oracle(struct slice filter, struct slice name)
{
    struct slice want = first_level(filter), have = first_level(name);
    if (slice_is_text(want, "#")) {
        return true;
    }
    if (!slice_is_text(want, "+") && !slice_equal(want, have)) {
        return false;
    }
    bool filter_ends = want.len == filter.len, name_ends = have.len == name.len;
    if (filter_ends || name_ends) {
        bool parent =
            name_ends && !filter_ends && slice_is_text(slice_after(filter, want.len), "/#");
        return (filter_ends && name_ends) || parent;
    }
    return oracle(slice_after(filter, want.len + 1), slice_after(name, have.len + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *split = size > 0 && size <= INPUT_MAX ? memchr(data, '\n', size) : NULL;
    if (split == NULL) {
        return 0;
    }
    struct slice filter = slice_of(data, (size_t)(split - data));
    struct slice name = slice_of(split + 1, size - filter.len - 1);
    const uint8_t *second = name.len > 0 ? memchr(name.at, '\n', name.len) : NULL;
    struct slice outer = {0};
    if (second != NULL) {
        outer = slice_of(second + 1, name.len - (size_t)(second - name.at) - 1);
        name.len = (size_t)(second - name.at);
    }
    if (!mqtt_topic_filter_is_valid(filter) || !mqtt_topic_name_is_valid(name)) {
        return 0;
    }
    bool dollar = name.at[0] == '$' && (filter.at[0] == '+' || filter.at[0] == '#');
    if (mqtt_filter_matches(filter, name) != (!dollar && oracle(filter, name))) {
        abort();
    }
    if (mqtt_topic_filter_is_valid(outer) && mqtt_filter_covers(outer, filter)
        && mqtt_filter_matches(filter, name) && !mqtt_filter_matches(outer, name)) {
        abort();
    }
    return 0;
}
