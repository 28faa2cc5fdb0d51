#include "sim/twin.h"

#include "base/invariant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_MS = 1000 };

struct twin {
    struct twin *next;
    struct plant *plant;
    char of[SIM_NAME_MAX], machine[SIM_NAME_MAX];
    struct port *port;
    struct device *device;
};

struct twins {
    struct plant *plant;
    struct twin *list;
    uint32_t count; /* ever: names of machines */
};

struct twins *twins_new(struct plant *plant)
{
    struct twins *twins = calloc(1, sizeof *twins);
    INVARIANT(twins != NULL);
    twins->plant = plant;
    return twins;
}

static void on_event(void *role, const struct port_event *ev)
{
    struct twin *twin = role;
    if (twin->device != NULL) {
        (void)device_event(twin->device, ev);
    }
}

static void stop(struct twin *twin)
{
    device_close(twin->device);
    port_close_all(twin->port);
    free(twin);
}

void twins_free(struct twins *twins)
{
    while (twins->list != NULL) {
        struct twin *twin = twins->list;
        twins->list = twin->next;
        stop(twin);
    }
    free(twins);
}

bool twins_begin(struct twins *twins, uint32_t device, struct sim_disk *disk)
{
    struct sim_world *world = plant_world(twins->plant);
    const char *of = plant_name(twins->plant, plant_device(twins->plant, device));
    struct port_why why = {""};
    struct twin *twin = calloc(1, sizeof *twin);
    INVARIANT(twin != NULL);
    twin->plant = twins->plant;
    (void)snprintf(twin->of, sizeof twin->of, "%s", of);
    (void)snprintf(twin->machine, sizeof twin->machine, "twin-%u", ++twins->count);
    sim_put_disk(world, twin->machine, disk);
    twin->port = sim_start(world, twin->machine, on_event, twin);
    struct device_config config = plant_device_config(twins->plant, device);
    config.source = "waveform";
    config.period_ms = FEED_MS;
    if (device_open(twin->port, &config, &twin->device, &why) != PORT_OK) {
        stop(twin);
        return false;
    }
    twin->next = twins->list;
    twins->list = twin;
    return true;
}

void twins_end(struct twins *twins, const char *device)
{
    for (struct twin **link = &twins->list; *link != NULL; link = &(*link)->next) {
        struct twin *twin = *link;
        if (strcmp(twin->of, device) == 0) {
            *link = twin->next;
            stop(twin);
            return;
        }
    }
}
