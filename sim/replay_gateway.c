/* A gateway's session, stepped again, with the one check that the role itself makes. */
#include "core/gateway/session_trace.h"
#include "sim/replay_inside.h"

#include <stdlib.h>

static struct {
    struct gw_limits limits;
    struct gw_pending *inflight;
    struct gw_aliases aliases;
    struct gw_session session;
    struct gw_event_memory memory;
} live;

static void end(void)
{
    free(live.inflight);
    live.inflight = NULL;
}

static bool restore(const void *image, struct slice behind)
{
    const struct gw_session_image *session = image;
    end();
    live.inflight = calloc(session->limits.inflight_max + 1, sizeof *live.inflight);
    return live.inflight != NULL
           && gw_trace_restore(session, behind, &live.limits, live.inflight,
                               session->limits.inflight_max, &live.aliases, &live.session);
}

static bool step(const void *image, struct slice behind)
{
    const struct gw_event_image *event = image;
    struct gw_event ev;
    struct gw_effects fx;
    if (!gw_trace_event_restore(event, behind, &live.session, &live.memory, &ev)) {
        return false;
    }
    gw_session_step(&live.session, &ev, &fx);
    /* What a step other than GW_STORED lets go had been stored when the session was last told. */
    uint64_t durable = ev.kind == GW_STORED ? event->position : live.session.durable;
    for (uint32_t i = 0; i < fx.count; i++) {
        if (fx.list[i].kind == GW_ACK) {
            gw_acks_check(fx.list[i].acks.list, fx.list[i].acks.count, durable);
        }
    }
    return true;
}

static const void *state(void)
{
    return &live.session;
}

const struct replay_core replay_gateway_session = {
    .trace = &gw_session_trace, .restore = restore, .step = step, .state = state, .end = end};
