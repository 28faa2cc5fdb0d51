#include "core/control/restart.h"
#include "test/test.h"

TEST("waits double to ten seconds and begin anew after a calm life")
{
    struct restart r;
    uint64_t now = 1000;
    uint64_t expected = RESTART_FIRST_MS;
    restart_init(&r, now);
    for (int i = 0; i < 12; i++) {
        restart_exited(&r, now, 137, false);
        restart_check(&r);
        CHECK_U64(r.due_ms - now, expected);
        expected = expected * 2 < RESTART_LAST_MS ? expected * 2 : RESTART_LAST_MS;
        now = r.due_ms;
        restart_started(&r, now);
    }
    now += RESTART_CALM_MS;
    restart_exited(&r, now, 1, false);
    CHECK_U64(r.due_ms - now, RESTART_FIRST_MS);
}

TEST("what starting again cannot mend is left alone")
{
    struct restart r;
    restart_init(&r, 0);
    restart_exited(&r, 5, RESTART_STORAGE, false);
    CHECK(r.state == RESTART_GIVEN_UP);
    restart_init(&r, 0);
    restart_exited(&r, 5, RESTART_BAD_CONFIG, false);
    CHECK(r.state == RESTART_GIVEN_UP);
}

TEST("an exit while stopping is the end")
{
    struct restart r;
    restart_init(&r, 0);
    restart_exited(&r, 5, 0, true);
    CHECK(r.state == RESTART_ENDED);
}
