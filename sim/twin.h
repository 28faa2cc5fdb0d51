/* Cloned devices: a second machine that runs the agent from a copy of a device's disk. */
#ifndef SIM_TWIN_H
#define SIM_TWIN_H

#include "sim/plant.h"

struct twins;

struct twins *twins_new(struct plant *plant);
void twins_free(struct twins *twins);

/* Takes the disk. False: the device has a twin already, or the agent refuses this disk. */
bool twins_begin(struct twins *twins, uint32_t device, struct sim_disk *disk);
void twins_end(struct twins *twins, const char *device); /* "dev-0003" */

#endif
