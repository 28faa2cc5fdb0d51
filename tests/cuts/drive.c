#include "drive.h"

#include "base/invariant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CALLS_MAX = 3000,
    ROTS = 1000,
    ROTS_LONG = 100000,
    LONGER = 8,
    BRIEF_SUBSETS = 4,
    CUTS_AFTER_FAILURE = 2
};

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *begin(const struct durable *thing)
{
    void *context = calloc(1, thing->context_len);
    INVARIANT(context != NULL);
    if (thing->begin != NULL) {
        thing->begin(context);
    }
    return context;
}

static void end(const struct durable *thing, void *context)
{
    if (thing->end != NULL) {
        thing->end(context);
    }
    free(context);
}

/* ---- power ---- */

struct cutting {
    const struct durable *thing;
    void *context;
};

static void scenario(void *context, struct sim_world *world)
{
    const struct cutting *c = context;
    c->thing->scenario(c->context, world);
}

static bool recover(void *context, struct sim_world *world)
{
    const struct cutting *c = context;
    return c->thing->recover(c->context, world) == KEPT;
}

static uint64_t promised(void *context)
{
    const struct cutting *c = context;
    return c->thing->promised(c->context);
}

static unsigned share(unsigned one_in, enum effort effort)
{
    return effort == LONG ? one_in / LONGER : one_in;
}

bool drive_cuts(const struct durable *thing, enum effort effort)
{
    struct cutting c = {.thing = thing, .context = begin(thing)};
    struct cuts_report report;
    double began = seconds();
    cuts_run(&(struct cuts){.context = &c,
                            .scenario = scenario,
                            .recover = recover,
                            .promised = promised,
                            .seed = SEED,
                            .seeded = effort == LONG    ? thing->seeded * LONGER
                                      : effort == SHORT ? thing->seeded
                                                        : 0,
                            .whole = effort == BRIEF ? BRIEF_SUBSETS : 0,
                            .cuts_recovery =
                                effort == LONG || (effort == SHORT && !thing->recovery_is_whole),
                            .one_in = share(thing->one_in, effort),
                            .one_in_of_recovery = share(thing->one_in_of_recovery, effort)},
             &report);
    printf("cuts %s: %llu operations, %llu cuts, %llu states, %llu left out, %.1f s, %llu "
           "violations\n",
           thing->name, (unsigned long long)report.operations, (unsigned long long)report.cuts,
           (unsigned long long)report.states, (unsigned long long)report.left_out,
           seconds() - began, (unsigned long long)report.violations);
    if (report.violations > 0) {
        printf("  the first after operation %llu%s\n", (unsigned long long)report.first_operation,
               report.first_in_recovery ? ", in its recovery" : "");
    }
    end(thing, c.context);
    return report.violations == 0 && report.cuts > report.operations;
}

/* ---- calls that fail ---- */

static const char *const call_names[SIM_CALL_COUNT] = {[SIM_OPEN] = "open",
                                                       [SIM_READ] = "read",
                                                       [SIM_WRITE] = "write",
                                                       [SIM_TRUNCATE] = "truncate",
                                                       [SIM_SYNC] = "sync",
                                                       [SIM_NAMES] = "rename, unlink or mkdir",
                                                       [SIM_DIR_SYNC] = "sync of a folder"};

struct failing {
    const struct durable *thing;
    enum effort effort;
    enum sim_call call;
    enum port_result result;
    bool forever;
    uint64_t recoveries;
    enum verdict verdict; /* of the last one */
};

/* The disk as a cut would leave it now, in a world of its own. */
static bool holds_after_cut(struct failing *f,
                            void *context,
                            const struct sim_disk *disk,
                            enum sim_names_fate names,
                            bool keeps_all,
                            uint64_t seed)
{
    size_t count = sim_disk_unsynced(disk);
    uint8_t *fates = calloc(count + 1, 1);
    INVARIANT(fates != NULL);
    for (size_t i = 0; i < count; i++) {
        fates[i] = (uint8_t)(keeps_all ? SIM_KEPT : seed >> (i % 32) & 1u ? SIM_KEPT : SIM_LOST);
    }
    struct sim_disk *after = sim_disk_after_cut(
        disk, &(struct sim_cut){.fates = fates, .count = count, .names = names, .seed = seed});
    struct sim_world *world = sim_open(SEED + 1);
    sim_put_disk(world, CUTS_MACHINE, after);
    sim_disk_set_room(after, UINT64_MAX);
    free(fates);
    f->verdict = f->thing->recover(context, world);
    f->recoveries++;
    sim_close(world);
    return f->verdict == KEPT;
}

/* One run whose n-th such call fails. False: a promise was broken. */
static bool fail_nth(struct failing *f, uint64_t n, bool *has_struck)
{
    void *context = begin(f->thing);
    struct sim_world *world = sim_open(SEED);
    sim_fail(world, CUTS_MACHINE, f->call, n, f->result, f->forever);
    f->thing->scenario(context, world);
    *has_struck = sim_has_struck(world, CUTS_MACHINE, f->call);
    sim_fail(world, CUTS_MACHINE, f->call, 0, PORT_OK, false);
    const struct sim_disk *disk = sim_disk_of(world, CUTS_MACHINE);
    bool ok = holds_after_cut(f, context, disk, SIM_NAMES_LOST, false, 0)
              && holds_after_cut(f, context, disk, SIM_NAMES_KEPT, true, 0);
    for (uint64_t i = 0; i < CUTS_AFTER_FAILURE && ok; i++) {
        ok = holds_after_cut(f, context, disk, SIM_NAMES_PREFIX, false,
                             (n + i * 0x51ed27u) * 0x9e3779b9u);
    }
    /* And without a cut: the role is started again. */
    if (ok) {
        f->verdict = f->thing->recover(context, world);
        f->recoveries++;
    }
    sim_close(world);
    end(f->thing, context);
    return f->verdict == KEPT;
}

static bool fail_each(struct failing *f, uint64_t *calls)
{
    bool has_struck = true;
    uint64_t step = f->effort != LONG && f->thing->calls_step > 0 ? f->thing->calls_step : 1;
    for (uint64_t n = 1; has_struck && n < CALLS_MAX; n += step) {
        if (!fail_nth(f, n, &has_struck)) {
            printf("failures %s: what was promised is %s where %s %llu fails%s\n", f->thing->name,
                   f->verdict == TOLD ? "refused" : "wrong", call_names[f->call],
                   (unsigned long long)n, f->forever ? ", and all after" : "");
            return false;
        }
        *calls += has_struck ? 1 : 0;
    }
    return !has_struck;
}

bool drive_failures(const struct durable *thing, enum effort effort)
{
    static const enum port_result results[] = {PORT_FAILED, PORT_NO_SPACE};
    struct failing f = {.thing = thing, .effort = effort};
    uint64_t calls = 0;
    double began = seconds();
    bool ok = true;
    for (int call = 0; call < SIM_CALL_COUNT; call++) {
        for (size_t r = 0; r < COUNT_OF(results); r++) {
            bool may_be_full = call == SIM_OPEN || call == SIM_WRITE || call == SIM_NAMES;
            for (int forever = 0; forever < 2 && (r == 0 || may_be_full); forever++) {
                f.call = (enum sim_call)call;
                f.result = results[r];
                f.forever = forever != 0;
                ok = fail_each(&f, &calls) && ok;
            }
        }
    }
    printf("failures %s: %llu calls failed, %llu recoveries, %.1f s%s\n", thing->name,
           (unsigned long long)calls, (unsigned long long)f.recoveries, seconds() - began,
           ok ? "" : ", a promise broken");
    return ok && calls > 0;
}

/* ---- bits that rot ---- */

bool drive_rot(const struct durable *thing, enum effort effort)
{
    uint64_t verdicts[BROKEN + 1] = {0};
    double began = seconds();
    void *context = begin(thing);
    struct sim_world *world = sim_open(SEED);
    thing->scenario(context, world);
    const struct sim_disk *disk = sim_disk_of(world, CUTS_MACHINE);
    size_t count = sim_disk_unsynced(disk);
    uint8_t *fates = malloc(count + 1);
    INVARIANT(fates != NULL);
    memset(fates, SIM_KEPT, count + 1);
    for (uint64_t i = 0; i < (effort == LONG ? ROTS_LONG : ROTS); i++) {
        struct sim_cut all = {.fates = fates, .count = count, .names = SIM_NAMES_KEPT};
        struct sim_disk *after = sim_disk_after_cut(disk, &all);
        INVARIANT(sim_disk_rot(after, SEED + i));
        struct sim_world *later = sim_open(SEED + 1);
        sim_put_disk(later, CUTS_MACHINE, after);
        verdicts[thing->recover(context, later)]++;
        sim_close(later);
    }
    free(fates);
    sim_close(world);
    end(thing, context);
    printf("rot %s: %llu kept, %llu told, %llu violations, %.1f s\n", thing->name,
           (unsigned long long)verdicts[KEPT], (unsigned long long)verdicts[TOLD],
           (unsigned long long)verdicts[BROKEN], seconds() - began);
    return verdicts[BROKEN] == 0;
}
