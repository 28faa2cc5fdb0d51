/*
 * What the fleet measures: each device gets one value every period, never the same twice, from a
 * process of nobody. A device that is down or has no room does not get its value, which was then
 * never there.
 */
#ifndef SIM_FEED_H
#define SIM_FEED_H

#include "sim/plant.h"

struct feed;

struct feed *feed_begin(struct plant *plant, uint32_t devices, uint32_t period_ms);
void feed_end(struct feed *feed); /* no more values; frees it. NULL is accepted */

#endif
