#include "core/device/enroll.h"

#include "base/invariant.h"

static const bool allowed[ENROLL_STATE_COUNT][ENROLL_STATE_COUNT] = {
    [ENROLL_NO_KEY] = {[ENROLL_WAITING] = true, [ENROLL_ACTIVE] = true},
    [ENROLL_WAITING] = {[ENROLL_ASKING] = true},
    [ENROLL_ASKING] = {[ENROLL_STORING] = true, [ENROLL_WAITING] = true},
    [ENROLL_STORING] = {[ENROLL_ACTIVE] = true},
    [ENROLL_ACTIVE] = {[ENROLL_NO_KEY] = true, [ENROLL_WAITING] = true},
};

static void enter(struct enroll *e, enum enroll_state next)
{
    INVARIANT(allowed[e->state][next]);
    e->state = next;
}

static void order(struct enroll_effects *out, enum enroll_effect_kind kind, bool is_renewal)
{
    INVARIANT(out->count < ENROLL_EFFECTS_MAX);
    out->list[out->count++] = (struct enroll_effect){.kind = kind, .is_renewal = is_renewal};
}

void enroll_init(struct enroll *e, uint64_t seed)
{
    *e = (struct enroll){.state = ENROLL_NO_KEY, .rng = rng_from_seed(seed), .due_ms = UINT64_MAX};
}

/* Between 50 % and 60 % of its life, by the wall clock. */
static int64_t renewal_at_ms(struct enroll *e, const struct enroll_event *ev)
{
    if (ev->not_after_ms <= ev->not_before_ms) {
        return INT64_MIN;
    }
    uint64_t life = (uint64_t)(ev->not_after_ms - ev->not_before_ms);
    uint64_t age = life / 2 + rng_below(&e->rng, life / 10 + 1);
    return ev->not_before_ms + (int64_t)age;
}

static bool wants_renewal(const struct enroll *e, const struct enroll_event *ev)
{
    bool is_early = ev->wall_ms < e->not_before_ms;
    return ev->wall_ms >= e->renew_at_ms || (ev->has_clock && is_early)
           || (!ev->has_clock && is_early && ev->now_ms >= e->renew_own_ms);
}

/* Without a wall clock: a fresh certificate is due after half of its life from now; of one that was
 * there at start nobody knows how much is left, so that it is renewed soon. */
static uint64_t renewal_own_ms(const struct enroll *e, const struct enroll_event *ev)
{
    if (ev->not_after_ms <= ev->not_before_ms) {
        return ev->now_ms;
    }
    uint64_t life = (uint64_t)(ev->not_after_ms - ev->not_before_ms);
    uint64_t age = (uint64_t)(e->renew_at_ms - ev->not_before_ms);
    return ev->now_ms + (ev->kind == ENROLL_STORED ? age : age - life / 2);
}

/* The next look at the wall clock, or the renewal where that is sooner. */
static void look_again(struct enroll *e, const struct enroll_event *ev)
{
    uint64_t wait = (uint64_t)(e->renew_at_ms - ev->wall_ms);
    e->due_ms = ev->now_ms + (wait < ENROLL_LOOK_MS ? wait : ENROLL_LOOK_MS);
}

static void plan_renewal(struct enroll *e, const struct enroll_event *ev)
{
    e->not_before_ms = ev->not_before_ms;
    e->renew_at_ms = renewal_at_ms(e, ev);
    e->renew_own_ms = renewal_own_ms(e, ev);
    if (!wants_renewal(e, ev)) {
        e->hurry_ms = 0;
        look_again(e, ev);
        return;
    }
    e->due_ms = ev->now_ms + e->hurry_ms;
    e->hurry_ms = e->hurry_ms == 0 ? ENROLL_HURRY_MS : 2 * e->hurry_ms;
    e->hurry_ms = e->hurry_ms < ENROLL_HURRY_MAX_MS ? e->hurry_ms : ENROLL_HURRY_MAX_MS;
}

static void become_active(struct enroll *e,
                          const struct enroll_event *ev,
                          struct enroll_effects *out)
{
    enter(e, ENROLL_ACTIVE);
    e->is_renewal = true;
    e->attempts = 0;
    plan_renewal(e, ev);
    order(out, ENROLL_USE, true);
}

static void wait(struct enroll *e, uint64_t now_ms, uint64_t least_ms)
{
    uint64_t bound = ENROLL_BACKOFF_MS;
    for (uint32_t i = 1; i < e->attempts && bound < ENROLL_BACKOFF_MAX_MS; i++) {
        bound *= 2;
    }
    bound = bound < ENROLL_BACKOFF_MAX_MS ? bound : ENROLL_BACKOFF_MAX_MS;
    enter(e, ENROLL_WAITING);
    e->due_ms = now_ms + least_ms + rng_below(&e->rng, bound);
}

static void started(struct enroll *e, const struct enroll_event *ev, struct enroll_effects *out)
{
    if (ev->has_certificate) {
        become_active(e, ev, out);
        if (ev->has_next_key) { /* a renewal was under way when we stopped: ask again with the same
                                   key */
            enter(e, ENROLL_WAITING);
            e->due_ms = ev->now_ms;
        }
    } else if (ev->has_next_key) {
        enter(e, ENROLL_WAITING);
        e->due_ms = ev->now_ms;
    } else {
        order(out, ENROLL_MAKE_KEY, false);
    }
}

static void tick(struct enroll *e, const struct enroll_event *ev, struct enroll_effects *out)
{
    if (ev->now_ms < e->due_ms) {
        return;
    }
    if (e->state == ENROLL_WAITING) {
        enter(e, ENROLL_ASKING);
        e->due_ms = UINT64_MAX;
        e->attempts += e->attempts < UINT32_MAX;
        e->asked++;
        order(out, ENROLL_ASK, e->is_renewal);
    } else if (e->state == ENROLL_ACTIVE && !wants_renewal(e, ev)) {
        look_again(e, ev);
    } else if (e->state == ENROLL_ACTIVE) {
        enter(e, ENROLL_NO_KEY);
        e->due_ms = UINT64_MAX;
        order(out, ENROLL_MAKE_KEY, true);
    }
}

static void answered(struct enroll *e, const struct enroll_event *ev, struct enroll_effects *out)
{
    if (e->state != ENROLL_ASKING) {
        return;
    }
    if (ev->kind == ENROLL_CERTIFIED) {
        enter(e, ENROLL_STORING);
        order(out, ENROLL_STORE, e->is_renewal);
    } else if (ev->kind == ENROLL_LATER) {
        uint64_t after = ev->retry_after_s < ENROLL_RETRY_AFTER_MAX_S ? ev->retry_after_s
                                                                      : ENROLL_RETRY_AFTER_MAX_S;
        wait(e, ev->now_ms, after * 1000);
    } else if (ev->kind == ENROLL_REFUSED) {
        e->refused++;
        wait(e, ev->now_ms, ENROLL_REFUSED_MS);
    } else {
        e->unanswered++;
        wait(e, ev->now_ms, 0);
    }
}

void enroll_step(struct enroll *e, const struct enroll_event *ev, struct enroll_effects *out)
{
    out->count = 0;
    switch (ev->kind) {
    case ENROLL_STARTED:
        if (e->state == ENROLL_NO_KEY) {
            started(e, ev, out);
        }
        break;
    case ENROLL_TICK: tick(e, ev, out); break;
    case ENROLL_KEY_STORED:
        if (e->state == ENROLL_NO_KEY) {
            enter(e, ENROLL_WAITING);
            e->due_ms = ev->now_ms;
        }
        break;
    case ENROLL_CERTIFIED:
    case ENROLL_LATER:
    case ENROLL_REFUSED:
    case ENROLL_UNANSWERED: answered(e, ev, out); break;
    case ENROLL_STORED:
        if (e->state == ENROLL_STORING) {
            become_active(e, ev, out);
        }
        break;
    }
}

uint64_t enroll_due_ms(const struct enroll *e)
{
    return e->state == ENROLL_WAITING || e->state == ENROLL_ACTIVE ? e->due_ms : UINT64_MAX;
}

void enroll_check(const struct enroll *e)
{
    INVARIANT((int)e->state < (int)ENROLL_STATE_COUNT);
    INVARIANT(e->state != ENROLL_ACTIVE || e->is_renewal);
}
