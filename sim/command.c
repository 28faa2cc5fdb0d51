#include "sim/command.h"

#include "sim/run.h"
#include "sim/scenario.h"
#include "sim/shrink.h"
#include "sim/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 20, REPORT_MAX = 32768, STATUS_FOUND = 1, STATUS_USAGE = 2 };

struct options {
    bool has_seed, has_seeds, beyond, json, is_loud, shrinks, prints, lists;
    uint64_t first, last;
    const char *plan_path, *scenario, *out_path, *traces;
    uint32_t limit_s;
};

static const char usage[] =
    "holdfast-sim runs the production cores and roles in a simulated world that fails on purpose.\n"
    "\n"
    "  --seed N           one run; the seed decides world, faults and their times\n"
    "  --seeds A..B       one run for each seed, B included; ends with a line of totals\n"
    "  --plan FILE        runs an explicit list of events\n"
    "  --scenario NAME    runs a plan of sim/scenarios\n"
    "  --list             names the scenarios and the faults\n"
    "  --beyond           with seeds: faults beyond what is promised; loss must be detected\n"
    "  --shrink           leaves out of a failing plan what its failure does not need\n"
    "  --print-plan       writes the plan instead of running it\n"
    "  --out FILE         where --shrink and --print-plan write (otherwise to stdout)\n"
    "  --report json      a line of JSON for each run instead of words\n"
    "  --traces DIR       where what breaks is written as field traces (for --replay)\n"
    "  --limit S          a run that takes longer than S seconds has failed (600)\n"
    "  --verbose          what the roles say goes to stderr\n"
    "\n"
    "A run is the same each time: the hash in its report tells. See docs/verification.md.\n";

static bool to_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

static bool to_range(const char *text, uint64_t *first, uint64_t *last)
{
    char copy[64];
    char *dots;
    if (strlen(text) >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    dots = strstr(copy, "..");
    if (dots == NULL) {
        return false;
    }
    *dots = '\0';
    return to_number(copy, first) && to_number(dots + 2, last) && *first <= *last;
}

/* ---- arguments ---- */

static bool take_flag(struct options *o, const char *name)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--beyond", &o->beyond},
                 {"--shrink", &o->shrinks},
                 {"--print-plan", &o->prints},
                 {"--list", &o->lists},
                 {"--verbose", &o->is_loud}};
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (strcmp(name, flags[i].name) == 0) {
            *flags[i].flag = true;
            return true;
        }
    }
    return false;
}

static bool take_value(struct options *o, const char *name, const char *value)
{
    uint64_t number = 0;
    if (strcmp(name, "--seed") == 0) {
        o->has_seed = to_number(value, &o->first);
        o->last = o->first;
        return o->has_seed;
    }
    if (strcmp(name, "--seeds") == 0) {
        o->has_seeds = to_range(value, &o->first, &o->last);
        return o->has_seeds;
    }
    if (strcmp(name, "--limit") == 0) {
        bool fits = to_number(value, &number) && number > 0 && number <= 86400;
        o->limit_s = (uint32_t)number;
        return fits;
    }
    if (strcmp(name, "--report") == 0) {
        o->json = strcmp(value, "json") == 0;
        return o->json || strcmp(value, "text") == 0;
    }
    const struct {
        const char *name;
        const char **text;
    } texts[] = {{"--plan", &o->plan_path},
                 {"--scenario", &o->scenario},
                 {"--out", &o->out_path},
                 {"--traces", &o->traces}};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].text = value;
            return true;
        }
    }
    return false;
}

static bool take_arguments(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (take_flag(o, argv[i])) {
            continue;
        }
        if (i + 1 >= argc || !take_value(o, argv[i], argv[i + 1])) {
            (void)fprintf(stderr, "holdfast-sim: %s is not understood\n\n%s", argv[i], usage);
            return false;
        }
        i++;
    }
    int wanted =
        o->has_seed + o->has_seeds + (o->plan_path != NULL) + (o->scenario != NULL) + o->lists;
    if (wanted != 1) {
        (void)fprintf(stderr, "%s", usage);
    }
    return wanted == 1;
}

/* ---- plans ---- */

static bool read_plan(const char *path, struct plan *plan)
{
    static uint8_t text[TEXT_MAX];
    struct plan_fault fault = {0};
    plan_init(plan);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        (void)fprintf(stderr, "holdfast-sim: %s cannot be opened\n", path);
        return false;
    }
    size_t len = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    if (!plan_read(plan, slice_of(text, len), &fault)) {
        (void)fprintf(stderr, "holdfast-sim: %s, line %zu: %s\n", path, fault.line, fault.why);
        return false;
    }
    return true;
}

static bool write_plan(const struct plan *plan, const char *path, const char *comment)
{
    static uint8_t text[TEXT_MAX];
    struct writer w = writer_over(text, sizeof text);
    write_text(&w, comment);
    plan_write(plan, &w);
    FILE *file = path != NULL ? fopen(path, "we") : stdout;
    bool ok = file != NULL && writer_ok(&w) && fwrite(text, 1, w.len, file) == w.len;
    if (path != NULL && file != NULL) {
        ok = fclose(file) == 0 && ok;
    }
    if (!ok) {
        (void)fprintf(stderr, "holdfast-sim: %s cannot be written\n", path);
    }
    return ok;
}

/* ---- runs ---- */

static void tell(const struct options *o, const struct report *report)
{
    static uint8_t text[REPORT_MAX];
    struct writer w = writer_over(text, sizeof text);
    if (o->json) {
        report_write_json(report, &w);
    } else {
        report_write_text(report, &w);
    }
    (void)fwrite(text, 1, w.len, stdout);
    (void)fflush(stdout);
}

static void run_one(const struct options *o,
                    const struct plan *plan,
                    const char *name,
                    struct report *out)
{
    struct run_how how = {.is_loud = o->is_loud, .limit_s = o->limit_s, .traces = o->traces};
    *out = (struct report){0};
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    run_apart(plan, &how, out);
}

struct failing {
    const struct options *options;
    uint64_t checkers; /* a bit for each that found something; 0: it crashed */
    enum run_outcome outcome;
};

static uint64_t checkers_of(const struct report *report)
{
    uint64_t bits = 0;
    for (int i = 0; i < CHECKER_COUNT; i++) {
        bits |= report->findings.count[i] > 0 ? UINT64_C(1) << i : 0;
    }
    return bits;
}

static bool fails_likewise(void *context, const struct plan *plan)
{
    const struct failing *f = context;
    struct report report;
    run_one(f->options, plan, "shrinking", &report);
    return report.outcome == f->outcome
           && (f->checkers == 0 || (checkers_of(&report) & f->checkers) != 0);
}

static int shrink_plan(const struct options *o, struct plan *plan, const char *name)
{
    struct report report;
    struct shrink_report shrunk;
    char comment[200];
    run_one(o, plan, name, &report);
    if (report.outcome == OUTCOME_WELL) {
        (void)fprintf(stderr, "holdfast-sim: %s does not fail\n", name);
        return STATUS_USAGE;
    }
    struct failing failing = {
        .options = o, .outcome = report.outcome, .checkers = checkers_of(&report)};
    shrink(plan, fails_likewise, &failing, &shrunk);
    (void)fprintf(stderr, "holdfast-sim: %zu events became %zu, in %u runs\n", shrunk.from,
                  shrunk.to, shrunk.runs);
    run_one(o, plan, name, &report);
    (void)snprintf(comment, sizeof comment, "# From %s: %.120s\n", name,
                   report.findings.kept > 0 ? report.findings.text[0] : report.breach);
    return write_plan(plan, o->out_path, comment) ? STATUS_FOUND : STATUS_USAGE;
}

static int go(const struct options *o, struct plan *plan, const char *name)
{
    struct report report;
    if (o->prints) {
        return write_plan(plan, o->out_path, "") ? 0 : STATUS_USAGE;
    }
    if (o->shrinks) {
        return shrink_plan(o, plan, name);
    }
    run_one(o, plan, name, &report);
    tell(o, &report);
    if (report.outcome != OUTCOME_WELL && !o->json) {
        (void)printf("  again     holdfast-sim %s; shorter: add --shrink --out FILE\n",
                     o->has_seeds || o->has_seed ? name : "with the same argument");
    }
    return report.outcome == OUTCOME_WELL ? 0 : STATUS_FOUND;
}

static int go_seeds(const struct options *o)
{
    uint64_t well = 0, found = 0;
    int status = 0;
    for (uint64_t seed = o->first;; seed++) {
        struct plan plan;
        char name[64];
        swarm_plan(seed, o->beyond, &plan);
        (void)snprintf(name, sizeof name, "--seed %llu%s", (unsigned long long)seed,
                       o->beyond ? " --beyond" : "");
        int ended = go(o, &plan, name);
        status = ended > status ? ended : status;
        well += ended == 0 ? 1 : 0;
        found += ended != 0 ? 1 : 0;
        plan_free(&plan);
        if (seed == o->last) {
            break;
        }
    }
    if (o->has_seeds && !o->json) {
        (void)printf("%llu passed, %llu failed, 0 skipped\n", (unsigned long long)well,
                     (unsigned long long)found);
    }
    return status;
}

static int go_list(void)
{
    static const char letters[COVER_COUNT + 1] = "HODT-";
    scenario_list(stdout);
    (void)printf(
        "\nfaults, and what each leaves of the promises (telemetry numbers registry "
        "liveness promises: H holds, O for all others, D detected, T shown or damage told, "
        "- not asked; behind the stroke where it is done to the core)\n");
    for (int i = 0; i < FAULT_KIND_COUNT; i++) {
        const struct fault_row *row = fault_row((enum fault_kind)i);
        (void)printf("  %-16s", row->name);
        for (int c = 0; c < CHECKER_COUNT; c++) {
            (void)printf(" %c", letters[row->covers[c]]);
        }
        for (int c = 0; row->target == FAULT_ON_MACHINE && fault_is_beyond((enum fault_kind)i)
                        && c < CHECKER_COUNT;
             c++) {
            (void)printf("%s%c", c == 0 ? " | " : " ", letters[row->on_core[c]]);
        }
        (void)printf("  %s\n", row->what);
    }
    return 0;
}

int sim_command(int argc, char **argv)
{
    struct options o = {0};
    struct plan plan;
    char path[512];
    if (!take_arguments(&o, argc, argv)) {
        return STATUS_USAGE;
    }
    if (o.lists) {
        return go_list();
    }
    if (o.has_seed || o.has_seeds) {
        return go_seeds(&o);
    }
    if (o.scenario != NULL && !scenario_path(o.scenario, path, sizeof path)) {
        (void)fprintf(stderr, "holdfast-sim: there is no scenario %s: see --list\n", o.scenario);
        return STATUS_USAGE;
    }
    int status = read_plan(o.scenario != NULL ? path : o.plan_path, &plan)
                     ? go(&o, &plan, o.scenario != NULL ? o.scenario : o.plan_path)
                     : STATUS_USAGE;
    plan_free(&plan);
    return status;
}
