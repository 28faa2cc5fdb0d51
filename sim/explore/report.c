/* What a run says: its coverage, a trace in words, a trace in a file. */
#include "base/invariant.h"
#include "sim/explore/explore.h"

#include <stdlib.h>
#include <string.h>

static void print_writer(FILE *out, const struct writer *w)
{
    (void)fwrite(w->at, 1, w->len, out);
}

static const struct explore_unreached *reason_of(const struct explore_world *world,
                                                 uint32_t row,
                                                 uint32_t kind)
{
    for (uint32_t i = 0; i < world->unreached_count; i++) {
        const struct explore_unreached *u = &world->unreached[i];
        if ((u->rows & EXPLORE_BIT(row)) != 0 && (u->kinds & EXPLORE_BIT(kind)) != 0) {
            return u;
        }
    }
    return NULL;
}

static void print_row(const struct explore_world *world,
                      explore_matrix matrix,
                      uint32_t row,
                      FILE *out)
{
    (void)fprintf(out, "  %s:", world->rows[row]);
    for (uint32_t kind = 0; kind < world->kinds_count; kind++) {
        if (matrix[row][kind] > 0) {
            (void)fprintf(out, " %s %llu", world->kinds[kind],
                          (unsigned long long)matrix[row][kind]);
        }
    }
    (void)fprintf(out, "\n");
}

uint32_t explore_print_coverage(const struct explore_world *world,
                                explore_matrix matrix,
                                bool is_told,
                                FILE *out)
{
    uint32_t wrong = 0;
    for (uint32_t row = 0; row < world->rows_count; row++) {
        if (is_told) {
            print_row(world, matrix, row, out);
        }
        for (uint32_t kind = 0; kind < world->kinds_count; kind++) {
            const struct explore_unreached *u = reason_of(world, row, kind);
            bool is_reached = matrix[row][kind] > 0;
            if (!is_reached && u == NULL) {
                (void)fprintf(out, "  NOT REACHED, and no reason given: %s in %s\n",
                              world->kinds[kind], world->rows[row]);
                wrong++;
            } else if (is_reached && u != NULL) {
                (void)fprintf(out, "  REACHED, although \"%s\": %s in %s\n", u->why,
                              world->kinds[kind], world->rows[row]);
                wrong++;
            }
        }
    }
    return wrong;
}

static void print_state(const struct explore_world *world, const void *state, FILE *out)
{
    uint8_t text[EXPLORE_TEXT_MAX];
    struct writer w = writer_over(text, sizeof text);
    world->tell(state, &w);
    (void)fprintf(out, "        ");
    print_writer(out, &w);
    (void)fprintf(out, "\n");
}

static void print_event(const struct explore_world *world,
                        uint32_t number,
                        const struct explore_event *event,
                        FILE *out)
{
    uint8_t text[EXPLORE_TEXT_MAX];
    struct writer w = writer_over(text, sizeof text);
    world->tell_event(event, &w);
    (void)fprintf(out, "  %3u  ", number);
    print_writer(out, &w);
    (void)fprintf(out, "\n");
}

static bool is_offered(const struct explore_world *world,
                       const void *state,
                       const struct explore_event *event)
{
    struct explore_event offers[EXPLORE_OFFERS_MAX];
    uint32_t count = world->offer(state, offers);
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(&offers[i], event, sizeof *event) == 0) {
            return true;
        }
    }
    return false;
}

bool explore_print_trace(const struct explore_world *world,
                         const struct explore_config *config,
                         const struct explore_trace *trace,
                         FILE *out)
{
    struct explore_breach breach = {0};
    void *state = calloc(1, world->size);
    INVARIANT(state != NULL);
    world->begin(state, config);
    print_state(world, state, out);
    for (uint32_t i = 0; i < trace->count && breach.what == NULL; i++) {
        print_event(world, i + 1, &trace->events[i], out);
        if (!is_offered(world, state, &trace->events[i])) {
            breach.what = "this cannot happen here: the trace is of another world";
            break;
        }
        explore_step(world, state, &trace->events[i], &breach);
        if (breach.what == NULL) {
            print_state(world, state, out);
        }
    }
    (void)fprintf(out, breach.what != NULL ? "  BREACH: %s\n" : "  nothing is broken%s\n",
                  breach.what != NULL ? breach.what : "");
    free(state);
    return breach.what != NULL;
}

void explore_trace_write(const struct explore_world *world,
                         const struct explore_config *config,
                         const struct explore_trace *trace,
                         FILE *out)
{
    (void)fprintf(out, "# %s\nworld %s %s\n", trace->what, world->name, config->name);
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct explore_event *e = &trace->events[i];
        uint8_t text[EXPLORE_TEXT_MAX];
        struct writer w = writer_over(text, sizeof text);
        world->tell_event(e, &w);
        (void)fprintf(out, "%s %u %u %u # ", world->kinds[e->kind], e->a, e->b, e->c);
        print_writer(out, &w);
        (void)fprintf(out, "\n");
    }
}
