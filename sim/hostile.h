/*
 * Hostile devices: somebody who took the identity of a device, and sends what it should not through
 * an ordinary connection. Whose identity it is has lost the promises of its own telemetry; nobody
 * else has.
 */
#ifndef SIM_HOSTILE_H
#define SIM_HOSTILE_H

#include "sim/plant.h"

struct hostiles;

struct hostiles *hostiles_new(struct plant *plant);
void hostiles_free(struct hostiles *hostiles);

/* It connects as this device and does `count` things. False: the device is not enrolled yet. */
bool hostiles_device(struct hostiles *hostiles, uint32_t device, uint32_t count);
void hostiles_end(struct hostiles *hostiles); /* they give up */

#endif
