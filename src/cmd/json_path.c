#include "cmd/json_path.h"

#include "codec/json.h"

#include <math.h>
#include <string.h>

static struct slice between(struct slice json, size_t from, size_t to)
{
    return from >= to ? (struct slice){0} : slice_of(json.at + from, to - from);
}

static size_t skip_white(struct slice json, size_t at)
{
    while (at < json.len
           && (json.at[at] == ' ' || json.at[at] == '\n' || json.at[at] == '\r'
               || json.at[at] == '\t')) {
        at++;
    }
    return at;
}

/* Where the value that begins at `at` ends; `at` itself where there is none. */
static size_t value_end(struct slice json, size_t at)
{
    struct json_reader r = json_reader_over(slice_after(json, at));
    struct json_token token;
    unsigned depth = 0;
    do {
        if (!json_next(&r, &token)) {
            return at;
        }
        depth += token.kind == JSON_OBJECT || token.kind == JSON_ARRAY;
        depth -= token.kind == JSON_OBJECT_END || token.kind == JSON_ARRAY_END;
    } while (depth > 0);
    return at + r.at;
}

struct slice json_element(struct slice array, size_t *at)
{
    size_t next = skip_white(array, *at);
    if (next < array.len && (array.at[next] == '[' || array.at[next] == ',')) {
        bool is_first = array.at[next] == '[';
        if (is_first != (*at == 0)) {
            return (struct slice){0};
        }
        next = skip_white(array, next + 1);
        if (next < array.len && array.at[next] == ']') {
            return (struct slice){0};
        }
        *at = value_end(array, next);
        return between(array, next, *at);
    }
    return (struct slice){0};
}

bool json_member(struct slice object, size_t *at, char *name, size_t name_cap, struct slice *value)
{
    size_t next = skip_white(object, *at);
    if (next >= object.len || object.at[next] != (*at == 0 ? '{' : ',')) {
        return false;
    }
    next = skip_white(object, next + 1);
    if (next >= object.len || object.at[next] != '"') {
        return false;
    }
    size_t end = next + 1;
    while (end < object.len && object.at[end] != '"') {
        end += object.at[end] == '\\' ? 2 : 1;
    }
    size_t len = end - next - 1;
    if (end >= object.len || len >= name_cap) {
        return false;
    }
    memcpy(name, object.at + next + 1, len);
    name[len] = '\0';
    size_t colon = skip_white(object, end + 1);
    if (colon >= object.len || object.at[colon] != ':') {
        return false;
    }
    size_t from = skip_white(object, colon + 1);
    *at = value_end(object, from);
    *value = between(object, from, *at);
    return value->len > 0;
}

struct slice json_at(struct slice json, const char *path)
{
    while (*path != '\0') {
        size_t len = strcspn(path, ".");
        size_t at = 0;
        char name[80];
        struct slice value;
        bool found = false;
        while (!found && json_member(json, &at, name, sizeof name, &value)) {
            found = strlen(name) == len && strncmp(name, path, len) == 0;
        }
        if (!found) {
            return (struct slice){0};
        }
        json = value;
        path += len + (path[len] == '.');
    }
    return json;
}

const char *json_text_at(
    struct slice json, const char *path, const char *otherwise, char *room, size_t cap)
{
    struct slice value = json_at(json, path);
    struct writer w = writer_over(room, cap - 1);
    if (value.len == 0 || slice_is_text(value, "null")) {
        return otherwise;
    }
    if (value.at[0] == '"') {
        struct json_reader r = json_reader_over(value);
        struct json_string string = json_read_string(&r);
        json_string_write(&w, &string);
    } else {
        write_slice(&w, value);
    }
    if (!writer_ok(&w)) {
        return otherwise;
    }
    room[w.len] = '\0';
    return room;
}

double json_number_at(struct slice json, const char *path, double otherwise)
{
    struct json_reader r = json_reader_over(json_at(json, path));
    struct json_token token;
    return json_next(&r, &token) && token.kind == JSON_NUMBER ? token.number : otherwise;
}

bool json_true_at(struct slice json, const char *path)
{
    return slice_is_text(json_at(json, path), "true");
}
