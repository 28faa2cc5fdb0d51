/* Carries out the faults of a plan on a plant, ends those that last, and heals everything. */
#ifndef SIM_STRIKE_H
#define SIM_STRIKE_H

#include "sim/plant.h"
#include "sim/report.h"

struct strikes;

/* Plan and report outlive it. */
struct strikes *strikes_new(struct plant *plant, const struct plan *plan, struct report *report);
void strikes_free(struct strikes *s);

void strike(struct strikes *s, const struct plan_event *event);

/* When the next lasting fault ends, of the world's time; UINT64_MAX: none lasts. */
uint64_t strikes_due_ms(const struct strikes *s);
void strikes_end_due(struct strikes *s);

/* Ends all faults, sets clocks right, starts everything that is down. */
void strikes_heal(struct strikes *s);

#endif
