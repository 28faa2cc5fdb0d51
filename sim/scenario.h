/* Named plans: the files of sim/scenarios, which a name finds wherever the program is started. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The folder is HOLDFAST_SOURCE/sim/scenarios, or that of the source tree it was built from. */
bool scenario_path(const char *name, char *out, size_t cap);

/* A line for each: its name and the first comment in it. */
void scenario_list(FILE *to);

#endif
