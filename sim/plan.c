#include "sim/plan.h"

#include "base/invariant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX = 256, WORDS_MAX = 8, VERSION = 1 };

struct setting_row {
    const char *name;
    uint64_t otherwise, least, most;
};

static const struct setting_row settings[PLAN_SETTING_COUNT] = {
    [PLAN_SEED] = {"seed", 1, 0, UINT64_MAX},
    [PLAN_DEVICES] = {"devices", 8, 1, PLAN_DEVICES_MAX},
    [PLAN_GATEWAYS] = {"gateways", 2, 1, PLAN_GATEWAYS_MAX},
    [PLAN_APART] = {"apart", 0, 0, 1},
    [PLAN_PERIOD_MS] = {"period-ms", 1000, 10, 86400000},
    [PLAN_JOURNAL_PCT] = {"journal-pct", 50, 0, 100},
    [PLAN_LINK_US] = {"link-us", 2000, 1, 10000000},
    [PLAN_JITTER_US] = {"jitter-us", 500, 0, 10000000},
    [PLAN_SYNC_US] = {"sync-us", 200, 1, 10000000},
    [PLAN_BURST_PER_S] = {"burst-per-s", 100, 1, 1000000},
    [PLAN_STAND_MS] = {"stand-ms", 120000, 1000, 3600000},
    [PLAN_SAFETY_MS] = {"safety-ms", 60000, 0, 864000000},
    [PLAN_LIVENESS_MS] = {"liveness-ms", 600000, 1000, 864000000},
    [PLAN_CALM_MS] = {"calm-ms", 30000, 0, 3600000},
    [PLAN_BEYOND] = {"beyond", 0, 0, 1},
};

void plan_init(struct plan *plan)
{
    *plan = (struct plan){0};
    for (int i = 0; i < PLAN_SETTING_COUNT; i++) {
        plan->settings[i] = settings[i].otherwise;
    }
}

void plan_free(struct plan *plan)
{
    free(plan->events);
    plan->events = NULL;
    plan->count = plan->cap = 0;
}

struct plan plan_copy(const struct plan *plan)
{
    struct plan copy = *plan;
    copy.cap = plan->count + 1;
    copy.events = calloc(copy.cap, sizeof *copy.events);
    INVARIANT(copy.events != NULL);
    if (plan->count > 0) {
        memcpy(copy.events, plan->events, plan->count * sizeof *copy.events);
    }
    return copy;
}

void plan_add(struct plan *plan, const struct plan_event *event)
{
    if (plan->count == plan->cap) {
        plan->cap = plan->cap == 0 ? 64 : plan->cap * 2;
        plan->events = realloc(plan->events, plan->cap * sizeof *plan->events);
        INVARIANT(plan->events != NULL);
    }
    size_t at = plan->count++;
    while (at > 0 && plan->events[at - 1].at_ms > event->at_ms) {
        plan->events[at] = plan->events[at - 1];
        at--;
    }
    plan->events[at] = *event;
}

const char *plan_setting_name(enum plan_setting which)
{
    return settings[which].name;
}

bool plan_set(struct plan *plan, const char *name, uint64_t value)
{
    for (int i = 0; i < PLAN_SETTING_COUNT; i++) {
        if (strcmp(settings[i].name, name) == 0) {
            bool fits = value >= settings[i].least && value <= settings[i].most;
            plan->settings[i] = fits ? value : plan->settings[i];
            return fits;
        }
    }
    return false;
}

uint64_t plan_kinds(const struct plan *plan)
{
    uint64_t kinds = 0;
    for (size_t i = 0; i < plan->count; i++) {
        kinds |= UINT64_C(1) << plan->events[i].kind;
    }
    return kinds;
}

enum cover plan_cover(const struct plan *plan, enum checker which)
{
    enum cover weakest = COVER_HOLDS;
    for (size_t i = 0; i < plan->count; i++) {
        enum cover left = fault_cover(plan->events[i].kind, plan->events[i].target, which);
        weakest = left > weakest ? left : weakest;
    }
    return weakest;
}

bool plan_names(const struct plan_event *event, const char *machine)
{
    size_t all = strcspn(event->target, "*");
    return strcmp(event->target, machine) == 0
           || (event->target[all] == '*' && strncmp(event->target, machine, all) == 0);
}

/* ---- reading ---- */

struct line {
    char text[LINE_MAX];
    char *words[WORDS_MAX];
    size_t count;
};

static bool split(struct line *line, struct slice from)
{
    if (from.len >= LINE_MAX) {
        return false;
    }
    memcpy(line->text, from.at, from.len);
    line->text[from.len] = '\0';
    line->text[strcspn(line->text, "#")] = '\0';
    line->count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line->text, " \t\r", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r", &rest)) {
        if (line->count == WORDS_MAX) {
            return false;
        }
        line->words[line->count++] = word;
    }
    return true;
}

static bool to_u64(const char *word, uint64_t *out)
{
    char *end = NULL;
    if (word[0] < '0' || word[0] > '9') {
        return false;
    }
    *out = strtoull(word, &end, 10);
    return *end == '\0';
}

static bool to_i64(const char *word, int64_t *out)
{
    uint64_t value;
    bool is_negative = word[0] == '-';
    if (!to_u64(word + (is_negative ? 1 : 0), &value) || value > INT64_MAX) {
        return false;
    }
    *out = is_negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static bool take_name(char to[PLAN_NAME_MAX], const char *word)
{
    int len = snprintf(to, PLAN_NAME_MAX, "%s", word);
    return len > 0 && len < PLAN_NAME_MAX;
}

/* "at MS KIND TARGET [OTHER] ARGS..." */
static const char *take_event(struct plan *plan, const struct line *line)
{
    struct plan_event event = {0};
    if (line->count < 4 || !to_u64(line->words[1], &event.at_ms)) {
        return "an event is: at MS FAULT TARGET ...";
    }
    if (!fault_find(line->words[2], &event.kind)) {
        return "no fault is called so";
    }
    const struct fault_row *row = fault_row(event.kind);
    size_t next = 3;
    if (!take_name(event.target, line->words[next++])) {
        return "a name is too long";
    }
    if (row->target == FAULT_ON_LINK
        && (next >= line->count || !take_name(event.other, line->words[next++]))) {
        return "this fault is of a link: two machines are named";
    }
    for (size_t i = 0; i < FAULT_ARGS_MAX && row->args[i] != NULL; i++) {
        if (next >= line->count || !to_i64(line->words[next++], &event.args[i])) {
            return "a number is missing";
        }
    }
    if (next != line->count || plan->count == PLAN_EVENTS_MAX) {
        return "there is more than this fault takes, or than a plan holds";
    }
    plan_add(plan, &event);
    return NULL;
}

static const char *take_line(struct plan *plan, const struct line *line, bool *has_version)
{
    uint64_t value;
    if (line->count == 0) {
        return NULL;
    }
    if (strcmp(line->words[0], "plan") == 0) {
        *has_version = line->count == 2 && to_u64(line->words[1], &value) && value == VERSION;
        return *has_version ? NULL : "this program reads: plan 1";
    }
    if (!*has_version) {
        return "the first line is: plan 1";
    }
    if (strcmp(line->words[0], "set") == 0) {
        return line->count == 3 && to_u64(line->words[2], &value)
                       && plan_set(plan, line->words[1], value)
                   ? NULL
                   : "no such setting, or not with this value";
    }
    return strcmp(line->words[0], "at") == 0 ? take_event(plan, line)
                                             : "a line begins with plan, set or at";
}

bool plan_read(struct plan *plan, struct slice text, struct plan_fault *fault)
{
    bool has_version = false;
    struct line line;
    plan_init(plan);
    for (size_t number = 1; text.len > 0; number++) {
        const uint8_t *end = memchr(text.at, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.at) : text.len;
        const char *why = split(&line, slice_of(text.at, len))
                              ? take_line(plan, &line, &has_version)
                              : "the line is too long";
        if (why != NULL) {
            fault->line = number;
            (void)snprintf(fault->why, sizeof fault->why, "%s", why);
            return false;
        }
        text = slice_after(text, end != NULL ? len + 1 : len);
    }
    if (!has_version) {
        *fault = (struct plan_fault){.line = 1, .why = "it is empty"};
    }
    return has_version;
}

/* ---- writing ---- */

static void put_event(struct writer *w, const struct plan_event *event)
{
    char text[LINE_MAX];
    const struct fault_row *row = fault_row(event->kind);
    int len = snprintf(text, sizeof text, "at %llu %s %s", (unsigned long long)event->at_ms,
                       row->name, event->target);
    if (row->target == FAULT_ON_LINK) {
        len += snprintf(text + len, sizeof text - (size_t)len, " %s", event->other);
    }
    for (size_t i = 0; i < FAULT_ARGS_MAX && row->args[i] != NULL; i++) {
        len += snprintf(text + len, sizeof text - (size_t)len, " %lld", (long long)event->args[i]);
    }
    write_slice(w, slice_text(text));
    write_slice(w, slice_text("\n"));
}

void plan_write(const struct plan *plan, struct writer *w)
{
    write_slice(w, slice_text("plan 1\n"));
    for (int i = 0; i < PLAN_SETTING_COUNT; i++) {
        char text[LINE_MAX];
        (void)snprintf(text, sizeof text, "set %s %llu\n", settings[i].name,
                       (unsigned long long)plan->settings[i]);
        write_slice(w, slice_text(text));
    }
    for (size_t i = 0; i < plan->count; i++) {
        put_event(w, &plan->events[i]);
    }
}
