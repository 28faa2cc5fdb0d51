/*
 * holdfast-explore: runs worlds of the explorer, and replays its traces.
 *
 *   holdfast-explore [--world NAME] [--config NAME] [--long] [--trace FILE] [--quiet] [--blind
 * KIND] holdfast-explore --replay FILE
 *
 * Ends with 0 where every world was explored whole and nothing was broken, with 1 otherwise; a
 * replay ends with 1 where the trace still breaks something. --trace FILE: where a counterexample
 * goes. --blind KIND: no such event happens, and the coverage must notice. The coverage is that of
 * all configurations of a world together, and is not judged where --config names one. The lines
 * that begin with `count` are for programs.
 */
#include "base/invariant.h"
#include "sim/explore/explore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct explore_world *const worlds[] = {&explore_admit,    &explore_received,
                                                     &explore_spool,    &explore_enrol,
                                                     &explore_sequence, &explore_broker};

struct options {
    const char *world, *config, *trace, *replay, *blind;
    bool is_long, is_quiet;
};

static int usage(void)
{
    (void)fprintf(stderr,
                  "usage: holdfast-explore [--world NAME] [--config NAME] [--long] [--trace FILE] "
                  "[--quiet] [--blind KIND]\n       holdfast-explore --replay FILE\n");
    return 2;
}

static const char *result_name(enum explore_result result)
{
    switch (result) {
    case EXPLORE_COMPLETE: return "complete";
    case EXPLORE_BREACH: return "breach";
    case EXPLORE_TOO_BIG: return "too-big";
    case EXPLORE_UNSOUND: return "unsound";
    }
    UNREACHABLE();
}

static uint32_t kind_of(const struct explore_world *world, const char *name)
{
    uint32_t kind = 0;
    while (kind < world->kinds_count && (name == NULL || strcmp(world->kinds[kind], name) != 0)) {
        kind++;
    }
    return kind < world->kinds_count ? kind : (uint32_t)EXPLORE_KINDS_MAX;
}

static void tell_counterexample(const struct explore_world *world,
                                const struct explore_config *config,
                                const struct explore_trace *trace,
                                const char *path)
{
    printf("counterexample of %u events: %s\n", trace->count, trace->what);
    (void)explore_print_trace(world, config, trace, stdout);
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file != NULL) {
        explore_trace_write(world, config, trace, file);
        (void)fclose(file);
        printf("again: holdfast-explore --replay %s\n", path);
    }
}

static bool run(const struct explore_world *world,
                const struct explore_config *config,
                const struct options *options,
                explore_matrix matrix)
{
    static struct explore_report report; /* large */
    clock_t began = clock();
    enum explore_result result =
        explore_run(world, config, kind_of(world, options->blind), &report);
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    const struct explore_counts *c = &report.counts;
    printf("%s %s: %llu states, %llu steps, depth %u, %llu looked at twice, %.2f s\n", world->name,
           config->name, (unsigned long long)c->states, (unsigned long long)c->steps, c->depth,
           (unsigned long long)c->rechecks, seconds);
    if (result == EXPLORE_BREACH || result == EXPLORE_UNSOUND) {
        tell_counterexample(world, config, &report.trace, options->trace);
    }
    printf("count world=%s config=%s spec=%s result=%s states=%llu steps=%llu depth=%u "
           "digest=%016llx images=%llu image_steps=%llu image_depth=%u\n",
           world->name, config->name, config->is_unspecified ? "-" : world->spec,
           result_name(result), (unsigned long long)c->states, (unsigned long long)c->steps,
           c->depth, (unsigned long long)c->digest, (unsigned long long)c->images,
           (unsigned long long)c->image_steps, c->image_depth);
    (void)fflush(stdout);
    for (uint32_t row = 0; row < EXPLORE_ROWS_MAX; row++) {
        for (uint32_t kind = 0; kind < EXPLORE_KINDS_MAX; kind++) {
            matrix[row][kind] += report.matrix[row][kind];
        }
    }
    return result == EXPLORE_COMPLETE;
}

/* All configurations that are asked for; `runs` counts them. */
static bool run_world(const struct explore_world *world,
                      const struct options *options,
                      uint32_t *runs)
{
    static explore_matrix matrix;
    bool is_good = true;
    memset(matrix, 0, sizeof matrix);
    for (uint32_t k = 0; k < world->configs_count; k++) {
        const struct explore_config *config = &world->configs[k];
        bool is_asked = options->config != NULL ? strcmp(options->config, config->name) == 0
                                                : !config->is_long || options->is_long;
        if (is_asked) {
            is_good = run(world, config, options, matrix) && is_good;
            ++*runs;
        }
    }
    if (!is_good || options->config != NULL) {
        return is_good;
    }
    return explore_print_coverage(world, matrix, !options->is_quiet, stdout) == 0;
}

/* ---- replay ---- */

static const struct explore_world *find_world(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(worlds); i++) {
        if (strcmp(worlds[i]->name, name) == 0) {
            return worlds[i];
        }
    }
    return NULL;
}

static const struct explore_config *find_config(const struct explore_world *world, const char *name)
{
    for (uint32_t i = 0; i < world->configs_count; i++) {
        if (strcmp(world->configs[i].name, name) == 0) {
            return &world->configs[i];
        }
    }
    return NULL;
}

static bool read_event(const struct explore_world *world, const char *line, struct explore_trace *t)
{
    char kind[64];
    unsigned a, b, c;
    if (t->count == EXPLORE_TRACE_MAX || sscanf(line, "%63s %u %u %u", kind, &a, &b, &c) != 4
        || a > UINT8_MAX || b > UINT8_MAX || c > UINT8_MAX) {
        return false;
    }
    uint32_t k = kind_of(world, kind);
    t->events[t->count++] = (struct explore_event){(uint8_t)k, (uint8_t)a, (uint8_t)b, (uint8_t)c};
    return k < world->kinds_count;
}

static int replay(const char *path)
{
    static struct explore_trace trace;
    const struct explore_world *world = NULL;
    const struct explore_config *config = NULL;
    char line[512], name[64], config_name[64];
    FILE *file = fopen(path, "r");
    bool is_good = file != NULL;
    while (is_good && fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || line[0] == '\n') {
            continue;
        }
        if (world == NULL) {
            is_good = sscanf(line, "world %63s %63s", name, config_name) == 2
                      && (world = find_world(name)) != NULL
                      && (config = find_config(world, config_name)) != NULL;
        } else {
            is_good = read_event(world, line, &trace);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    if (!is_good || config == NULL) {
        (void)fprintf(stderr, "%s is no trace of this explorer\n", path);
        return 2;
    }
    return explore_print_trace(world, config, &trace, stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    bool is_good = true;
    uint32_t runs = 0;
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--world") == 0    ? &options.world
                             : strcmp(argv[i], "--config") == 0 ? &options.config
                             : strcmp(argv[i], "--trace") == 0  ? &options.trace
                             : strcmp(argv[i], "--replay") == 0 ? &options.replay
                             : strcmp(argv[i], "--blind") == 0  ? &options.blind
                                                                : NULL;
        if (value != NULL && i + 1 < argc) {
            *value = argv[++i];
        } else if (strcmp(argv[i], "--long") == 0) {
            options.is_long = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            options.is_quiet = true;
        } else {
            return usage();
        }
    }
    if (options.replay != NULL) {
        return replay(options.replay);
    }
    for (size_t i = 0; i < COUNT_OF(worlds); i++) {
        if (options.world == NULL || strcmp(options.world, worlds[i]->name) == 0) {
            is_good = run_world(worlds[i], &options, &runs) && is_good;
        }
    }
    return runs == 0 ? usage() : is_good ? 0 : 1;
}
