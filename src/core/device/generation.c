#include "core/device/generation.h"

#include "base/invariant.h"

static const bool allowed[GENERATION_STATE_COUNT][GENERATION_STATE_COUNT] = {
    [GENERATION_PROVEN] = {[GENERATION_TRYING] = true},
    [GENERATION_TRYING] = {[GENERATION_PROVEN] = true, [GENERATION_RESTING] = true},
    [GENERATION_RESTING] = {[GENERATION_TRYING] = true},
};

static void enter(struct generation *g, enum generation_state next)
{
    INVARIANT(allowed[g->state][next]);
    g->state = next;
}

void generation_init(struct generation *g, bool has_new, uint64_t seed)
{
    *g = (struct generation){.state = has_new ? GENERATION_TRYING : GENERATION_PROVEN,
                             .rng = rng_from_seed(seed),
                             .due_ms = UINT64_MAX};
}

void generation_renewed(struct generation *g)
{
    if (g->state != GENERATION_TRYING) {
        enter(g, GENERATION_TRYING);
    }
    g->uses_new = false; /* a connection with an earlier new one proves nothing of this one */
    g->attempts = 0;
    g->due_ms = UINT64_MAX;
}

bool generation_dial(struct generation *g, uint64_t now_ms, bool old_is_valid)
{
    if (g->state == GENERATION_RESTING && (now_ms >= g->due_ms || !old_is_valid)) {
        enter(g, GENERATION_TRYING);
        g->due_ms = UINT64_MAX;
    }
    g->uses_new = g->state == GENERATION_TRYING;
    return g->uses_new;
}

bool generation_live(struct generation *g)
{
    if (!g->uses_new) {
        return false;
    }
    enter(g, GENERATION_PROVEN);
    g->uses_new = false;
    g->attempts = 0;
    return true;
}

void generation_failed(struct generation *g, uint64_t now_ms)
{
    if (!g->uses_new) {
        return;
    }
    uint64_t bound = GENERATION_REST_MS;
    for (uint32_t i = 0; i < g->attempts && bound < GENERATION_REST_MAX_MS; i++) {
        bound *= 2;
    }
    bound = bound < GENERATION_REST_MAX_MS ? bound : GENERATION_REST_MAX_MS;
    enter(g, GENERATION_RESTING);
    g->uses_new = false;
    g->attempts += g->attempts < UINT32_MAX;
    g->due_ms = now_ms + GENERATION_REST_MS + rng_below(&g->rng, bound);
}

uint64_t generation_due_ms(const struct generation *g)
{
    return g->state == GENERATION_RESTING ? g->due_ms : UINT64_MAX;
}

void generation_check(const struct generation *g)
{
    INVARIANT((int)g->state < (int)GENERATION_STATE_COUNT);
    INVARIANT(!g->uses_new || g->state == GENERATION_TRYING);
    INVARIANT((g->state == GENERATION_RESTING) == (g->due_ms != UINT64_MAX));
}
