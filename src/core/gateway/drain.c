#include "core/gateway/drain.h"

#include "base/invariant.h"

static const bool allowed[GW_DRAIN_STATE_COUNT][GW_DRAIN_STATE_COUNT] = {
    [GW_OPEN] = {[GW_DRAINING] = true},
    [GW_DRAINING] = {[GW_DRAINED] = true, [GW_OPEN] = true},
    [GW_DRAINED] = {[GW_DRAINING] = true, [GW_OPEN] = true},
};

static void enter(struct gw_drain *d, enum gw_drain_state next)
{
    INVARIANT(allowed[d->state][next]);
    d->state = next;
}

static bool is_empty(const struct gw_drain_facts *f)
{
    return f->connections == 0 && f->staged == f->durable && f->read >= f->durable;
}

void gw_drain_begin(struct gw_drain *d, const struct gw_drain_facts *facts, uint64_t now_ms)
{
    uint32_t slice = (facts->connections + GW_DRAIN_SLICES - 1) / GW_DRAIN_SLICES;
    if (d->state != GW_OPEN) {
        return;
    }
    enter(d, GW_DRAINING);
    d->slice = slice > GW_DRAIN_SLICE_LEAST ? slice : GW_DRAIN_SLICE_LEAST;
    d->due_ms = now_ms;
}

void gw_drain_undo(struct gw_drain *d)
{
    if (d->state != GW_OPEN) {
        enter(d, GW_OPEN);
    }
}

uint32_t gw_drain_step(struct gw_drain *d, const struct gw_drain_facts *facts, uint64_t now_ms)
{
    if (d->state == GW_OPEN) {
        return 0;
    }
    if (is_empty(facts) != (d->state == GW_DRAINED)) {
        enter(d, is_empty(facts) ? GW_DRAINED : GW_DRAINING);
    }
    if (d->state == GW_DRAINED || now_ms < d->due_ms) {
        return 0;
    }
    d->due_ms = now_ms + GW_DRAIN_SLICE_MS;
    return d->slice;
}

void gw_drain_check(const struct gw_drain *d)
{
    INVARIANT((int)d->state < (int)GW_DRAIN_STATE_COUNT);
    INVARIANT(d->state == GW_OPEN || d->slice >= GW_DRAIN_SLICE_LEAST);
}

const char *gw_drain_state_name(enum gw_drain_state state)
{
    switch (state) {
    case GW_OPEN: return "open";
    case GW_DRAINING: return "draining";
    case GW_DRAINED: return "drained";
    }
    UNREACHABLE();
}
