#include "codec/grants.h"

#include "codec/mqtt_topic.h"

#include <string.h>

enum key { KEY_NAME, KEY_PUBLISH, KEY_SUBSCRIBE, KEY_CLIENT_IDS, KEY_KEYS };
static const char *const key_names[] = {"name", "publish", "subscribe", "client_ids", "keys"};

/* ---- reading ---- */

/* Filters and names need no escapes: what would is refused, so that slices can stay in the text. */
static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < 0x20 || text.at[i] == 0x7f || text.at[i] == '"' || text.at[i] == '\\') {
            return false;
        }
    }
    return true;
}

static bool take_list(const struct toml_entry *entry, struct grant_list *list, const char **what)
{
    struct toml items;
    struct toml_entry item;
    enum toml_result result;
    *what = "it must be an array of \"strings\" without quotes and backslashes in them";
    if (entry->kind != TOML_ARRAY) {
        return false;
    }
    toml_array_init(&items, entry);
    while ((result = toml_array_next(&items, &item)) == TOML_OK) {
        if (item.kind != TOML_STRING || !is_plain(item.raw)) {
            return false;
        }
        if (list->count == GRANT_ITEMS_MAX) {
            *what = "it holds more than 16";
            return false;
        }
        list->items[list->count++] = item.raw;
    }
    return result == TOML_END;
}

static bool take_digest(struct slice hex, struct digest *out)
{
    if (hex.len != 2 * sizeof out->bytes) {
        return false;
    }
    for (size_t i = 0; i < hex.len; i++) {
        uint8_t c = hex.at[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        uint8_t nibble = (uint8_t)(is_digit ? c - '0' : c - 'a' + 10);
        out->bytes[i / 2] = (uint8_t)(i % 2 == 0 ? nibble << 4 : out->bytes[i / 2] | nibble);
    }
    return true;
}

static bool take_keys(const struct toml_entry *entry, struct grant *grant, const char **what)
{
    struct grant_list list = {0};
    if (!take_list(entry, &list, what)) {
        return false;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        if (grant->keys_count == GRANT_KEYS_MAX
            || !take_digest(list.items[i], &grant->keys[grant->keys_count])) {
            *what = "it must hold at most 4 SHA-256 digests of 64 lower case hexadecimal digits";
            return false;
        }
        grant->keys_count++;
    }
    return true;
}

bool grant_take_key(const struct toml_entry *entry,
                    struct grant *grant,
                    uint32_t *seen,
                    const char **what)
{
    size_t key = 0;
    while (key < COUNT_OF(key_names) && !slice_is_text(entry->name, key_names[key])) {
        key++;
    }
    if (key == COUNT_OF(key_names)) {
        *what = "no such key: an application has name, publish, subscribe and client_ids";
        return false;
    }
    if ((*seen >> key & 1) != 0) {
        *what = "the key stands twice";
        return false;
    }
    *seen |= 1u << key;
    switch ((enum key)key) {
    case KEY_NAME:
        *what = "it must be a \"string\" without quotes and backslashes in it";
        grant->name = entry->raw;
        return entry->kind == TOML_STRING && is_plain(entry->raw);
    case KEY_PUBLISH: return take_list(entry, &grant->publish, what);
    case KEY_SUBSCRIBE: return take_list(entry, &grant->subscribe, what);
    case KEY_CLIENT_IDS: return take_list(entry, &grant->client_ids, what);
    case KEY_KEYS: return take_keys(entry, grant, what);
    }
    return false;
}

static enum grants_result wrong(struct toml_fault *fault,
                                const struct toml_entry *entry,
                                const char *what)
{
    *fault = (struct toml_fault){.line = entry->line, .column = entry->column, .what = what};
    return GRANTS_WRONG;
}

/* All keys of a table are there. */
static const char *end_table(const struct grants *g)
{
    struct slice at;
    if (g->count == 0) {
        return NULL;
    }
    const struct grant *last = &g->list[g->count - 1];
    return grants_find(g, last->name) != last ? "two applications have this name"
                                              : grant_fault(last, &at);
}

enum grants_result grants_read(struct slice text, struct grants *out, struct toml_fault *fault)
{
    struct toml t;
    struct toml_entry entry = {0};
    struct toml_entry table = {0};
    enum toml_result result;
    uint32_t seen = 0;
    bool has_number = false;
    const char *what = NULL;
    out->count = 0;
    toml_init(&t, text);
    while ((result = toml_next(&t, &entry)) == TOML_OK) {
        if (entry.kind == TOML_TABLE_ITEM && slice_is_text(entry.name, "application")) {
            if ((what = end_table(out)) != NULL) {
                return wrong(fault, &table, what);
            }
            if (out->count == GRANTS_MAX) {
                return wrong(fault, &entry, "more than 256 applications");
            }
            out->list[out->count++] = (struct grant){0};
            table = entry;
            seen = 0;
        } else if (entry.kind == TOML_TABLE || entry.kind == TOML_TABLE_ITEM) {
            return wrong(fault, &entry, "no such table: there are [[application]] alone");
        } else if (out->count > 0) {
            if (!grant_take_key(&entry, &out->list[out->count - 1], &seen, &what)) {
                return wrong(fault, &entry, what);
            }
        } else if (!slice_is_text(entry.name, "number") || has_number || entry.kind != TOML_INTEGER
                   || entry.integer < 1) {
            return wrong(fault, &entry, "before the applications stands number = N alone");
        } else {
            has_number = true;
            out->number = (uint64_t)entry.integer;
        }
    }
    if (result == TOML_WRONG) {
        *fault = t.fault;
        return GRANTS_WRONG;
    }
    if ((what = end_table(out)) != NULL || !has_number) {
        return wrong(fault, &table, what != NULL ? what : "number is missing");
    }
    return GRANTS_OK;
}

/* ---- writing ---- */

static void write_list(struct writer *w, const char *key, const struct grant_list *list)
{
    write_text(w, key);
    write_text(w, " = [");
    for (uint32_t i = 0; i < list->count; i++) {
        write_text(w, i > 0 ? ", \"" : "\"");
        write_slice(w, list->items[i]);
        write_u8(w, '"');
    }
    write_text(w, "]\n");
}

void grants_write(struct writer *w, const struct grants *grants)
{
    write_text(w, "# Written by control: holdfast grant, [[application]] of holdfast.toml.\n"
                  "number = ");
    write_decimal(w, grants->number);
    write_text(w, "\n");
    for (uint32_t i = 0; i < grants->count; i++) {
        const struct grant *g = &grants->list[i];
        write_text(w, "\n[[application]]\nname = \"");
        write_slice(w, g->name);
        write_text(w, "\"\n");
        write_list(w, "publish", &g->publish);
        write_list(w, "subscribe", &g->subscribe);
        write_list(w, "client_ids", &g->client_ids);
        write_text(w, "keys = [");
        for (uint32_t k = 0; k < g->keys_count; k++) {
            write_text(w, k > 0 ? ", \"" : "\"");
            write_hex(w, slice_of(g->keys[k].bytes, sizeof g->keys[k].bytes));
            write_u8(w, '"');
        }
        write_text(w, "]\n");
    }
}

/* ---- what a grant may say ---- */

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.at[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && !(i > 0 && (c == '.' || c == '_' || c == '-'))) {
            return false;
        }
    }
    return name.len > 0 && name.len <= GRANT_NAME_MAX;
}

static struct slice first_level(struct slice filter)
{
    size_t len = 0;
    while (len < filter.len && filter.at[len] != '/') {
        len++;
    }
    return slice_of(filter.at, len);
}

/* Below hf/ devices speak, and Holdfast itself: what is read there is believed to be theirs. A
 * wildcard at the first level reaches everything else (core/gateway/rights.h). */
static const char *publish_fault(struct slice filter)
{
    struct slice first = first_level(filter);
    if (slice_is_text(first, "hf")) {
        return "an application cannot publish below hf/, where devices do";
    }
    return slice_is_text(first, "$SYS") ? "topics below $SYS/ are the server's (4.7.2)" : NULL;
}

static const char *filter_fault(struct slice filter)
{
    struct slice name;
    struct slice rest;
    if (filter.len > GRANT_ITEM_MAX) {
        return "a filter is longer than 200 bytes";
    }
    if (!mqtt_topic_filter_is_valid(filter) || !is_plain(filter)) {
        return "it is no topic filter of MQTT 5.0 4.7";
    }
    return mqtt_filter_is_shared(filter, &name, &rest)
               ? "leave $share/NAME/ away: who may subscribe to a filter may share it"
               : NULL;
}

const char *grant_fault(const struct grant *grant, struct slice *at)
{
    const char *what = NULL;
    *at = grant->name;
    if (!is_name(grant->name)) {
        return "a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or "
               "digit";
    }
    for (uint32_t i = 0; i < grant->publish.count; i++) {
        *at = grant->publish.items[i];
        if ((what = filter_fault(*at)) != NULL || (what = publish_fault(*at)) != NULL) {
            return what;
        }
    }
    for (uint32_t i = 0; i < grant->subscribe.count; i++) {
        *at = grant->subscribe.items[i];
        if ((what = filter_fault(*at)) != NULL) {
            return what;
        }
    }
    for (uint32_t i = 0; i < grant->client_ids.count; i++) {
        *at = grant->client_ids.items[i];
        if (at->len == 0 || at->len > GRANT_ITEM_MAX || !mqtt_string_is_valid(*at)
            || !is_plain(*at)) {
            return "a client id pattern has 1 to 200 bytes, without quotes and backslashes";
        }
    }
    *at = grant->name;
    return grant->publish.count + grant->subscribe.count == 0
               ? "it may publish nothing and subscribe to nothing"
               : NULL;
}

/* ---- asking ---- */

const struct grant *grants_find(const struct grants *grants, struct slice name)
{
    for (uint32_t i = 0; i < grants->count; i++) {
        if (slice_equal(grants->list[i].name, name)) {
            return &grants->list[i];
        }
    }
    return NULL;
}

bool grant_has_key(const struct grant *grant, const struct digest *key)
{
    for (uint32_t i = 0; i < grant->keys_count; i++) {
        if (memcmp(grant->keys[i].bytes, key->bytes, sizeof key->bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Goes back to the last '*' alone, which is enough: len(pattern) * len(text) steps at most. */
static bool fits(struct slice pattern, struct slice text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX;
    size_t mark = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.len && pattern.at[p] == text.at[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

bool grant_allows_client_id(const struct grant *grant, struct slice client_id)
{
    if (grant->client_ids.count == 0) {
        return slice_equal(client_id, grant->name);
    }
    for (uint32_t i = 0; i < grant->client_ids.count; i++) {
        if (fits(grant->client_ids.items[i], client_id)) {
            return true;
        }
    }
    return false;
}

static bool lists_equal(const struct grant_list *a, const struct grant_list *b)
{
    bool is_equal = a->count == b->count;
    for (uint32_t i = 0; is_equal && i < a->count; i++) {
        is_equal = slice_equal(a->items[i], b->items[i]);
    }
    return is_equal;
}

bool grant_equal(const struct grant *a, const struct grant *b)
{
    bool is_equal = slice_equal(a->name, b->name) && lists_equal(&a->publish, &b->publish)
                    && lists_equal(&a->subscribe, &b->subscribe)
                    && lists_equal(&a->client_ids, &b->client_ids)
                    && a->keys_count == b->keys_count;
    for (uint32_t i = 0; is_equal && i < a->keys_count; i++) {
        is_equal = memcmp(a->keys[i].bytes, b->keys[i].bytes, sizeof a->keys[i].bytes) == 0;
    }
    return is_equal;
}
