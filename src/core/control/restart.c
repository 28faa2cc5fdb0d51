#include "core/control/restart.h"

#include "base/invariant.h"

void restart_init(struct restart *r, uint64_t now_ms)
{
    *r = (struct restart){.state = RESTART_RUNNING, .started_ms = now_ms};
}

void restart_exited(struct restart *r, uint64_t now_ms, int status, bool is_stopping)
{
    INVARIANT(r->state == RESTART_RUNNING);
    r->exits++;
    if (is_stopping) {
        r->state = RESTART_ENDED;
        return;
    }
    if (status == RESTART_BAD_CONFIG || status == RESTART_STORAGE) {
        r->state = RESTART_GIVEN_UP;
        return;
    }
    if (now_ms - r->started_ms >= RESTART_CALM_MS) {
        r->failures = 0;
    }
    uint64_t wait = RESTART_FIRST_MS;
    for (uint32_t i = 0; i < r->failures && wait < RESTART_LAST_MS; i++) {
        wait *= 2;
    }
    r->failures++;
    r->state = RESTART_WAITING;
    r->due_ms = now_ms + (wait < RESTART_LAST_MS ? wait : RESTART_LAST_MS);
}

void restart_started(struct restart *r, uint64_t now_ms)
{
    INVARIANT(r->state == RESTART_WAITING);
    r->state = RESTART_RUNNING;
    r->started_ms = now_ms;
}

void restart_check(const struct restart *r)
{
    INVARIANT(r->state != RESTART_WAITING || r->failures > 0);
    INVARIANT(r->failures <= r->exits);
}
