#include "sim/explore/explore.h"

#include "base/invariant.h"
#include "sim/explore/seen.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- one step ---- */

static sigjmp_buf on_abort;

static void aborted(int number)
{
    (void)number;
    siglongjmp(on_abort, 1);
}

void explore_step(const struct explore_world *world,
                  void *state,
                  const struct explore_event *event,
                  struct explore_breach *breach)
{
    static bool is_watching;
    static uint64_t before; /* survives the jump */
    if (!is_watching) {
        struct sigaction action = {.sa_handler = aborted, .sa_flags = SA_NODEFER};
        is_watching = sigaction(SIGABRT, &action, NULL) == 0;
    }
    before = invariant_noted();
    if (sigsetjmp(on_abort, 0) == 0) {
        world->step(state, event, breach);
    }
    if (invariant_noted() != before) {
        explore_expect(breach, false, invariant_last().text);
    }
}

/* ---- the search ---- */

/* A state seen again is looked at again, now and then: its next states must be those of the first.
 */
struct recheck {
    uint32_t index;
    uint8_t *state;
};

struct search {
    const struct explore_world *world;
    struct explore_report *report;
    uint32_t blind;
    struct seen states, images;
    struct pairs image_steps;
    uint32_t *parents; /* per state */
    uint32_t *image_of;
    uint64_t *futures; /* a hash of all next states, in the order of their events */
    struct explore_event *events;
    uint32_t cap;
    uint8_t *level, *next; /* whole worlds */
    uint32_t level_count, level_first, next_count, level_cap, next_cap;
    uint8_t *scratch;
    struct recheck rechecks[EXPLORE_RECHECKS_MAX];
    uint32_t rechecks_count;
    uint64_t again_count, again_every;
};

static void *grown(void *old, size_t count, size_t size)
{
    void *bytes = realloc(old, count * size);
    if (bytes == NULL) {
        abort();
    }
    return bytes;
}

static uint32_t image_of(struct search *s, const void *state)
{
    uint8_t bytes[EXPLORE_IMAGE_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    uint32_t index = 0;
    s->world->image(state, &w);
    INVARIANT(writer_ok(&w));
    INVARIANT(seen_add(&s->images, writer_slice(&w), &index) != SEEN_FULL);
    return index;
}

/* `index` is the state's number; SEEN_NEW puts it into the next level. */
static enum seen_result meet(struct search *s,
                             const void *state,
                             uint32_t parent,
                             const struct explore_event *event,
                             uint32_t *index)
{
    uint8_t bytes[EXPLORE_PACKED_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    s->world->pack(state, &w);
    INVARIANT(writer_ok(&w));
    enum seen_result result = seen_add(&s->states, writer_slice(&w), index);
    if (result != SEEN_NEW) {
        return result;
    }
    if (*index == s->cap) {
        s->cap = s->cap == 0 ? 1024 : s->cap * 2;
        s->parents = grown(s->parents, s->cap, sizeof *s->parents);
        s->image_of = grown(s->image_of, s->cap, sizeof *s->image_of);
        s->futures = grown(s->futures, s->cap, sizeof *s->futures);
        s->events = grown(s->events, s->cap, sizeof *s->events);
    }
    s->parents[*index] = parent;
    s->image_of[*index] = image_of(s, state);
    s->events[*index] = *event;
    if (s->next_count == s->next_cap) {
        s->next_cap = s->next_cap == 0 ? 256 : s->next_cap * 2;
        s->next = grown(s->next, s->next_cap, s->world->size);
    }
    memcpy(s->next + s->next_count * s->world->size, state, s->world->size);
    s->next_count++;
    return result;
}

/* The way to a state, and one event more. */
static void write_trace(struct search *s,
                        uint32_t index,
                        const struct explore_event *last,
                        const char *what)
{
    struct explore_trace *trace = &s->report->trace;
    uint32_t count = 1;
    for (uint32_t i = index; i != 0; i = s->parents[i]) {
        count++;
    }
    INVARIANT(count <= EXPLORE_TRACE_MAX);
    trace->count = count;
    trace->events[count - 1] = *last;
    for (uint32_t i = index; i != 0; i = s->parents[i]) {
        trace->events[--count - 1] = s->events[i];
    }
    (void)snprintf(trace->what, sizeof trace->what, "%s", what);
}

/* All of them while they are few, then every second, every fourth ... */
static void note_again(struct search *s, uint32_t index, const void *state)
{
    if (s->again_count++ % s->again_every != 0) {
        return;
    }
    if (s->rechecks_count == EXPLORE_RECHECKS_MAX) {
        for (uint32_t i = 0; i < EXPLORE_RECHECKS_MAX; i++) {
            if (i % 2 == 0) {
                s->rechecks[i / 2] = s->rechecks[i];
            } else {
                free(s->rechecks[i].state);
            }
        }
        s->rechecks_count /= 2;
        s->again_every *= 2;
    }
    struct recheck *r = &s->rechecks[s->rechecks_count++];
    r->index = index;
    r->state = grown(NULL, 1, s->world->size);
    memcpy(r->state, state, s->world->size);
}

static uint32_t offered(const struct search *s,
                        const void *state,
                        struct explore_event offers[EXPLORE_OFFERS_MAX])
{
    uint32_t count = s->world->offer(state, offers);
    uint32_t kept = 0;
    INVARIANT(count <= EXPLORE_OFFERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (offers[i].kind != s->blind) {
            offers[kept++] = offers[i];
        }
    }
    return kept;
}

static enum explore_result expand(struct search *s, uint32_t index, const uint8_t *state)
{
    struct explore_event offers[EXPLORE_OFFERS_MAX];
    uint32_t count = offered(s, state, offers);
    uint32_t row = s->world->row(state);
    uint64_t future = count;
    INVARIANT(row < s->world->rows_count);
    for (uint32_t i = 0; i < count; i++) {
        struct explore_breach breach = {0};
        uint32_t to = 0;
        memcpy(s->scratch, state, s->world->size);
        explore_step(s->world, s->scratch, &offers[i], &breach);
        s->report->counts.steps++;
        s->report->matrix[row][offers[i].kind]++;
        if (breach.what != NULL) {
            write_trace(s, index, &offers[i], breach.what);
            return EXPLORE_BREACH;
        }
        enum seen_result met = meet(s, s->scratch, index, &offers[i], &to);
        if (met == SEEN_FULL || s->report->counts.steps > EXPLORE_STEPS_MAX) {
            return EXPLORE_TOO_BIG;
        }
        if (met == SEEN_BEFORE && memcmp(s->scratch, state, s->world->size) != 0) {
            note_again(s, to, s->scratch);
        }
        if (s->image_of[to] != s->image_of[index]) {
            pairs_add(&s->image_steps, s->image_of[index], s->image_of[to]);
        }
        future = future * 31 + to;
    }
    s->futures[index] = future;
    return EXPLORE_COMPLETE;
}

/* What was kept of states seen again: the same numbers must come next. */
static enum explore_result recheck(struct search *s)
{
    enum explore_result result = EXPLORE_COMPLETE;
    for (uint32_t k = 0; k < s->rechecks_count && result == EXPLORE_COMPLETE; k++) {
        struct explore_event offers[EXPLORE_OFFERS_MAX];
        const struct recheck *r = &s->rechecks[k];
        uint32_t count = offered(s, r->state, offers);
        uint64_t future = count;
        for (uint32_t i = 0; i < count; i++) {
            struct explore_breach breach = {0};
            uint32_t to = 0;
            memcpy(s->scratch, r->state, s->world->size);
            explore_step(s->world, s->scratch, &offers[i], &breach);
            enum seen_result met = meet(s, s->scratch, r->index, &offers[i], &to);
            future = future * 31 + to;
            if (met != SEEN_BEFORE || breach.what != NULL) {
                future = ~s->futures[r->index];
                break;
            }
        }
        if (future != s->futures[r->index]) {
            write_trace(s, s->parents[r->index], &s->events[r->index],
                        "reached in another way, this state has another future");
            result = EXPLORE_UNSOUND;
        }
        s->report->counts.rechecks++;
    }
    return result;
}

static enum explore_result search_all(struct search *s)
{
    uint32_t done = 0;
    enum explore_result result = EXPLORE_COMPLETE;
    while (s->next_count > 0 && result == EXPLORE_COMPLETE) {
        uint8_t *spare = s->level;
        uint32_t spare_cap = s->level_cap;
        s->level = s->next;
        s->level_cap = s->next_cap;
        s->level_count = s->next_count;
        s->next = spare;
        s->next_cap = spare_cap;
        s->next_count = 0;
        for (uint32_t i = 0; i < s->level_count && result == EXPLORE_COMPLETE; i++) {
            result = expand(s, done++, s->level + i * s->world->size);
        }
        s->report->counts.depth += s->next_count > 0;
    }
    return result;
}

enum explore_result explore_run(const struct explore_world *world,
                                const struct explore_config *config,
                                uint32_t blind,
                                struct explore_report *out)
{
    static struct search search; /* large */
    struct search *s = &search;
    const struct explore_event none = {0};
    uint32_t index = 0;
    *out = (struct explore_report){0};
    memset(s, 0, sizeof *s);
    s->world = world;
    s->report = out;
    s->blind = blind;
    s->again_every = 1;
    seen_init(&s->states, EXPLORE_STATES_MAX);
    seen_init(&s->images, EXPLORE_STATES_MAX);
    pairs_init(&s->image_steps);
    s->scratch = grown(NULL, 1, world->size);
    memset(s->scratch, 0, world->size);
    world->begin(s->scratch, config);
    (void)meet(s, s->scratch, 0, &none, &index);
    enum explore_result result = search_all(s);
    if (result == EXPLORE_COMPLETE) {
        result = recheck(s);
    }
    out->counts.states = s->states.count;
    out->counts.digest = s->states.digest;
    out->counts.images = s->images.count;
    out->counts.image_steps = s->image_steps.count;
    if (result == EXPLORE_COMPLETE) {
        out->counts.image_depth = pairs_depth(&s->image_steps, s->images.count);
    }
    for (uint32_t k = 0; k < s->rechecks_count; k++) {
        free(s->rechecks[k].state);
    }
    seen_free(&s->states);
    seen_free(&s->images);
    pairs_free(&s->image_steps);
    free(s->parents);
    free(s->image_of);
    free(s->futures);
    free(s->events);
    free(s->level);
    free(s->next);
    free(s->scratch);
    return result;
}
