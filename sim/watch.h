/*
 * Looks over the shoulder of the production code: the linker sends a few of its calls through here
 * (--wrap, see sim/CMakeLists.txt), so that a run knows what truly left each device and what was
 * acknowledged to it, and how many steps the cores took. Changes nothing.
 */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "base/id.h"
#include "base/slice.h"
#include "role/device.h"
#include "sim/history.h"
#include "sim/report.h"

/* One at a time in a process: what happens from now on goes to `history`, steps to `steps`. NULL:
 * nowhere. */
void watch_begin(struct history *history, uint64_t steps[STEP_KIND_COUNT]);
void watch_end(void);

/* The number of this device; new ids get the next. */
uint32_t watch_device(const struct device_id *id);
uint32_t watch_devices_count(void);

/*
 * This agent speaks as one of another time from its next message on, in any mixture
 * (sim/versions.c): an older one without the eighth claim of a hello, whose packs give each value
 * its own time; a newer one that adds claims and labels which a site may pass over; one of a future
 * whose hello has a claim that may not be passed over, so that nothing of its boots is accepted.
 */
enum version_trait { VERSION_OLDER = 1, VERSION_NEWER = 2, VERSION_CRITICAL = 4 };
void watch_set_version(const struct device_id *id, uint32_t version);
uint32_t watch_version(const struct device_id *id);

/* What is written from now on is of this version; 0: of ours. */
void versions_speak(uint32_t version);

/* Has the agent nothing that waits for an acknowledgement? */
bool watch_is_drained(const struct device *device);

/* Counts a step of a core; sim/steps.c. */
void watch_count(enum step_kind kind, bool is_step);

/* What tells one value from another, wherever it is met. */
uint64_t watch_message_digest(struct slice message);
uint64_t watch_point_digest(struct slice stream, struct slice name, double value);

/* Declares both of the linker's names of a call that passes through (--wrap), of the type that it
 * has: one that stands between with other parameters does not compile. */
#define PASSES_THROUGH(call) __typeof__(call) __real_##call, __wrap_##call

#endif
