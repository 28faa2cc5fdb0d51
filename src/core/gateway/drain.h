/*
 * How a gateway is emptied: whom it sends away when, and when it is empty. Decides and does
 * nothing.
 *
 *     OPEN --begin--> DRAINING --no connections, all durable and read--> DRAINED
 *       ^________________|____________________________________________________|   undo
 *
 * DRAINING: no session begins. Those there are told to use another server a slice at a time, so
 * that the others are not met by all at once. Each is first let to the end of what it has under
 * way. DRAINED: nobody is connected, and everything that was taken is durable and was read by
 * ingest: the machine may go away. It is left when something unread comes to light again.
 */
#ifndef CORE_GATEWAY_DRAIN_H
#define CORE_GATEWAY_DRAIN_H

#include "base/slice.h"

enum { GW_DRAIN_SLICE_MS = 250, GW_DRAIN_SLICES = 40, GW_DRAIN_SLICE_LEAST = 8 };

enum gw_drain_state { GW_OPEN, GW_DRAINING, GW_DRAINED };
enum { GW_DRAIN_STATE_COUNT = GW_DRAINED + 1 };

struct gw_drain_facts {
    uint32_t connections;
    uint64_t staged, durable,
        read; /* positions in the spool: written, on disk, applied by ingest */
};

struct gw_drain {
    enum gw_drain_state state;
    uint32_t slice;  /* connections to send away at a time */
    uint64_t due_ms; /* of the next slice */
};

void gw_drain_begin(struct gw_drain *d, const struct gw_drain_facts *facts, uint64_t now_ms);
void gw_drain_undo(struct gw_drain *d);
/* How many further connections are to be sent away now; to be asked with each tick. */
uint32_t gw_drain_step(struct gw_drain *d, const struct gw_drain_facts *facts, uint64_t now_ms);
void gw_drain_check(const struct gw_drain *d);

const char *gw_drain_state_name(enum gw_drain_state state); /* "open", "draining", "drained" */

#endif
