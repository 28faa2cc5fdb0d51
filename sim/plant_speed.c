/*
 * How fast the simulated world is: a fleet that enrols in a burst, then a calm day of it.
 * Usage: plant_speed [DEVICES [GATEWAYS [PERIOD_S [MINUTES [DEVICES_PER_S]]]]]
 * One line a phase: virtual seconds, seconds of this processor, events told and turns a second of
 * it.
 */
#include "sim/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

struct phase {
    double cpu_s;
    uint64_t now_ms, events, turns;
};

static struct phase look(const struct plant *plant)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    const struct sim_world *world = plant_world(plant);
    return (struct phase){.cpu_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
                          .now_ms = sim_now_ms(world),
                          .events = sim_events(world),
                          .turns = sim_turns(world)};
}

static void tell(const char *what, const struct phase *from, const struct phase *to, double devices)
{
    double cpu_s = to->cpu_s - from->cpu_s;
    double virtual_s = (double)(to->now_ms - from->now_ms) / 1000;
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("%-8s %9.1f s in %7.2f s  %9.0f events/s %9.0f turns/s %8.0f device-hours/s %6ld MB\n",
           what, virtual_s, cpu_s, (double)(to->events - from->events) / cpu_s,
           (double)(to->turns - from->turns) / cpu_s, devices * virtual_s / 3600 / cpu_s,
           usage.ru_maxrss / 1024);
    (void)fflush(stdout);
}

struct standing {
    const struct plant *plant;
    uint32_t devices;
    uint64_t looked_ms;
};

static bool stands(void *context)
{
    struct standing *s = context;
    uint64_t now_ms = sim_now_ms(plant_world(s->plant));
    if (now_ms < s->looked_ms + 100) { /* asking all devices costs more than a turn */
        return false;
    }
    s->looked_ms = now_ms;
    return plant_live(s->plant) == s->devices;
}

static uint32_t argument(int argc, char **argv, int at, uint32_t otherwise)
{
    return argc > at ? (uint32_t)strtoul(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct plant_spec spec = {.seed = 1,
                              .devices = argument(argc, argv, 1, 1000),
                              .gateways = argument(argc, argv, 2, 2),
                              .period_ms = argument(argc, argv, 3, 60) * 1000,
                              .batch_ms = argument(argc, argv, 6, 0),
                              .devices_per_s = argument(argc, argv, 5, 0)};
    uint32_t minutes = argument(argc, argv, 4, 60);
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    struct phase before = {.cpu_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9};
    struct plant *plant = plant_open(&spec);
    if (plant == NULL) {
        return 1;
    }
    struct phase installed = look(plant);
    tell("install", &before, &installed, 0);
    struct standing standing = {.plant = plant, .devices = spec.devices};
    plant_begin(plant);
    bool all = sim_run_while_not(plant_world(plant), stands, &standing, UINT64_C(3600000));
    struct phase stood = look(plant);
    tell(all ? "burst" : "no burst", &installed, &stood, spec.devices);
    sim_run_for(plant_world(plant), (uint64_t)minutes * 60000);
    struct phase calm = look(plant);
    tell("calm", &stood, &calm, spec.devices);
    printf("%u of %u devices live\n", plant_live(plant), spec.devices);
    plant_close(plant);
    return all ? 0 : 1;
}
