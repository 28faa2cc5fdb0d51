#include "codec/metrics_text.h"

#include "codec/decimal.h"

#include <string.h>

static bool is_name_byte(uint8_t byte, bool first)
{
    uint8_t lower = byte | 0x20;
    bool letter = (lower >= 'a' && lower <= 'z') || byte == '_' || byte == ':';
    return letter || (!first && byte >= '0' && byte <= '9');
}

static size_t name_len(struct slice text)
{
    size_t len = 0;
    while (len < text.len && is_name_byte(text.at[len], len == 0)) {
        len++;
    }
    return len;
}

static struct slice take(struct slice *text, size_t len)
{
    struct slice part = slice_of(text->at, len);
    *text = slice_after(*text, len);
    return part;
}

static bool take_byte(struct slice *text, uint8_t byte)
{
    if (text->len == 0 || text->at[0] != byte) {
        return false;
    }
    *text = slice_after(*text, 1);
    return true;
}

/* One label with its value; both as they stand. */
static bool take_label(struct slice *text, struct slice *name, struct slice *value)
{
    size_t len = name_len(*text);
    *name = take(text, len);
    if (len == 0 || !take_byte(text, '=') || !take_byte(text, '"')) {
        return false;
    }
    size_t end = 0;
    while (end < text->len && text->at[end] != '"') {
        end += text->at[end] == '\\' ? 2 : 1;
    }
    if (end >= text->len) {
        return false;
    }
    *value = take(text, end);
    return take_byte(text, '"');
}

static bool labels_are_sound(struct slice labels)
{
    struct slice name;
    struct slice value;
    while (labels.len > 0) {
        if (!take_label(&labels, &name, &value)) {
            return false;
        }
        if (labels.len > 0 && !take_byte(&labels, ',')) {
            return false;
        }
    }
    return true;
}

static size_t labels_len(struct slice text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        if (quoted && text.at[i] == '\\') {
            i++;
        } else if (text.at[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && text.at[i] == '}') {
            return i;
        }
    }
    return text.len;
}

static struct metrics_line read_sample(struct slice line)
{
    struct metrics_line bad = {.kind = METRICS_BAD};
    struct metrics_line out = {.kind = METRICS_SAMPLE};
    out.name = take(&line, name_len(line));
    if (out.name.len == 0) {
        return bad;
    }
    if (take_byte(&line, '{')) {
        out.labels = take(&line, labels_len(line));
        if (!take_byte(&line, '}') || !labels_are_sound(out.labels)) {
            return bad;
        }
    }
    if (!take_byte(&line, ' ') || decimal_read(line, &out.value) != DECIMAL_OK) {
        return bad;
    }
    return out;
}

static struct metrics_line read_comment(struct slice line)
{
    struct metrics_line out = {.kind = METRICS_END};
    if (slice_has_prefix(line, slice_text("# HELP "))) {
        out.kind = METRICS_HELP;
    } else if (slice_has_prefix(line, slice_text("# TYPE "))) {
        out.kind = METRICS_TYPE;
    } else {
        return out;
    }
    line = slice_after(line, 7);
    out.name = take(&line, name_len(line));
    if (out.name.len == 0 || !take_byte(&line, ' ')) {
        out.kind = METRICS_BAD;
    }
    out.rest = line;
    return out;
}

struct metrics_line metrics_line_next(struct slice *text)
{
    while (text->len > 0) {
        const uint8_t *end = memchr(text->at, '\n', text->len);
        size_t len = end == NULL ? text->len : (size_t)(end - text->at);
        struct slice line = slice_of(text->at, len);
        *text = slice_after(*text, len + 1);
        if (len == 0) {
            continue;
        }
        struct metrics_line out = line.at[0] == '#' ? read_comment(line) : read_sample(line);
        if (out.kind != METRICS_END) {
            return out;
        }
    }
    return (struct metrics_line){.kind = METRICS_END};
}

bool metrics_label_find(struct slice labels, const char *wanted, struct slice *value)
{
    struct slice name;
    struct slice got;
    while (take_label(&labels, &name, &got)) {
        if (slice_is_text(name, wanted)) {
            *value = got;
            return true;
        }
        if (!take_byte(&labels, ',')) {
            return false;
        }
    }
    return false;
}

/* The next line that begins with `name`, unread: most lines are about something else, and are not
 * worth reading. Empty at the end. */
static struct slice next_line_of(struct slice *text, struct slice name)
{
    while (text->len > 0) {
        const uint8_t *end = memchr(text->at, '\n', text->len);
        size_t len = end == NULL ? text->len : (size_t)(end - text->at);
        struct slice line = slice_of(text->at, len);
        *text = slice_after(*text, len + 1);
        if (len > name.len && slice_has_prefix(line, name)) {
            return line;
        }
    }
    return (struct slice){0};
}

/* Does the line say the sample of this name that has no value yet? */
static bool fill(struct metrics_wanted *wanted, struct slice line)
{
    struct slice name = slice_text(wanted->name);
    if (wanted->is_found || line.len <= name.len || line.at[name.len - 1] != name.at[name.len - 1]
        || !slice_has_prefix(line, name)) {
        return false;
    }
    struct metrics_line sample = read_sample(line);
    wanted->is_found = sample.kind == METRICS_SAMPLE && slice_equal(sample.name, name);
    wanted->value = wanted->is_found ? sample.value : 0;
    return wanted->is_found;
}

void metrics_find(struct slice text, struct metrics_wanted *list, size_t count)
{
    size_t missing = count;
    for (size_t i = 0; i < count; i++) {
        list[i].is_found = false;
        list[i].value = 0;
    }
    while (missing > 0 && text.len > 0) {
        const uint8_t *end = memchr(text.at, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.at);
        struct slice line = slice_of(text.at, len);
        text = slice_after(text, len + 1);
        for (size_t i = 0; len > 0 && line.at[0] != '#' && i < count; i++) {
            if (fill(&list[i], line)) {
                missing--;
                break;
            }
        }
    }
}

bool metrics_first(struct slice text, const char *name, double *out)
{
    struct metrics_wanted wanted = {.name = name};
    metrics_find(text, &wanted, 1);
    *out = wanted.is_found ? wanted.value : *out;
    return wanted.is_found;
}

bool metrics_sum(
    struct slice text, const char *name, const char *label, const char *value, double *out)
{
    bool found = false;
    double sum = 0;
    struct slice given;
    while ((given = next_line_of(&text, slice_text(name))).len > 0) {
        struct slice got;
        struct metrics_line line = read_sample(given);
        if (line.kind != METRICS_SAMPLE || !slice_is_text(line.name, name)) {
            continue;
        }
        if (label == NULL
            || (metrics_label_find(line.labels, label, &got) && slice_is_text(got, value))) {
            sum += line.value;
            found = true;
        }
    }
    if (found) {
        *out = sum;
    }
    return found;
}

/* ---- joining ---- */

/* A sample belongs to the family of its name, or, of a histogram, of its name without its last
 * word. */
static bool is_of_family(struct slice sample, struct slice family, struct slice type)
{
    static const char *const ends[] = {"_bucket", "_sum", "_count"};
    if (slice_equal(sample, family)) {
        return true;
    }
    struct slice rest = slice_after(sample, family.len);
    if (!slice_is_text(type, "histogram") || !slice_has_prefix(sample, family)) {
        return false;
    }
    return slice_is_text(rest, ends[0]) || slice_is_text(rest, ends[1])
           || slice_is_text(rest, ends[2]);
}

static uint32_t family_of(struct metrics_join_room *room, struct slice name)
{
    for (uint32_t i = 0; i < room->families_count; i++) {
        if (slice_equal(room->families[i].name, name)) {
            return i;
        }
    }
    if (room->families_count == METRICS_FAMILIES_MAX) {
        return UINT32_MAX;
    }
    room->families[room->families_count].name = name;
    room->families[room->families_count].help = room->families[room->families_count].type =
        (struct slice){0};
    return room->families_count++;
}

static uint32_t hash_of_sample(const struct metrics_line *line)
{
    uint32_t hash = 2166136261u; /* FNV-1a: our own texts, not a stranger's */
    struct slice parts[2] = {line->name, line->labels};
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < parts[p].len; i++) {
            hash = (hash ^ parts[p].at[i]) * 16777619u;
        }
    }
    return hash % METRICS_SAMPLES_MAX;
}

static bool add_sample(struct metrics_join_room *room,
                       const struct metrics_line *line,
                       uint32_t family)
{
    uint32_t *head = &room->heads[hash_of_sample(line)];
    for (uint32_t i = *head; i != 0; i = room->samples[i - 1].next) {
        if (slice_equal(room->samples[i - 1].name, line->name)
            && slice_equal(room->samples[i - 1].labels, line->labels)) {
            room->samples[i - 1].value += line->value;
            return true;
        }
    }
    if (room->samples_count == METRICS_SAMPLES_MAX) {
        return false;
    }
    uint32_t at = room->samples_count++;
    room->samples[at].name = line->name;
    room->samples[at].labels = line->labels;
    room->samples[at].value = line->value;
    room->samples[at].family = family;
    room->samples[at].next = *head;
    *head = at + 1;
    return true;
}

static bool gather(struct metrics_join_room *room, struct slice text, uint64_t *bad)
{
    struct metrics_line line;
    uint32_t family = UINT32_MAX;
    while ((line = metrics_line_next(&text)).kind != METRICS_END) {
        if (line.kind == METRICS_BAD) {
            ++*bad;
            continue;
        }
        bool stays =
            line.kind == METRICS_SAMPLE && family != UINT32_MAX
            && is_of_family(line.name, room->families[family].name, room->families[family].type);
        if (!stays) {
            family = family_of(room, line.name);
        }
        if (family == UINT32_MAX) {
            return false;
        }
        if (line.kind == METRICS_HELP && room->families[family].help.len == 0) {
            room->families[family].help = line.rest;
        } else if (line.kind == METRICS_TYPE && room->families[family].type.len == 0) {
            room->families[family].type = line.rest;
        } else if (line.kind == METRICS_SAMPLE && !add_sample(room, &line, family)) {
            return false;
        }
    }
    return true;
}

static void write_comment(struct writer *w, const char *kind, struct slice name, struct slice rest)
{
    if (rest.len > 0) {
        write_text(w, kind);
        write_slice(w, name);
        write_u8(w, ' ');
        write_slice(w, rest);
        write_u8(w, '\n');
    }
}

bool metrics_join(const struct slice *texts,
                  size_t count,
                  struct metrics_join_room *room,
                  struct writer *w,
                  uint64_t *bad)
{
    memset(room->heads, 0, sizeof room->heads);
    room->families_count = room->samples_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!gather(room, texts[i], bad)) {
            return false;
        }
    }
    for (uint32_t f = 0; f < room->families_count; f++) {
        write_comment(w, "# HELP ", room->families[f].name, room->families[f].help);
        write_comment(w, "# TYPE ", room->families[f].name, room->families[f].type);
        for (uint32_t s = 0; s < room->samples_count; s++) {
            if (room->samples[s].family != f) {
                continue;
            }
            write_slice(w, room->samples[s].name);
            if (room->samples[s].labels.len > 0) {
                write_u8(w, '{');
                write_slice(w, room->samples[s].labels);
                write_u8(w, '}');
            }
            write_u8(w, ' ');
            decimal_write(w, room->samples[s].value);
            write_u8(w, '\n');
        }
    }
    return writer_ok(w);
}
