#include "core/gateway/drain.h"
#include "test/test.h"

#include <string.h>

static uint32_t step(struct gw_drain *d, uint32_t connections, uint64_t now_ms)
{
    struct gw_drain_facts f = {.connections = connections, .staged = 10, .durable = 10, .read = 10};
    uint32_t count = gw_drain_step(d, &f, now_ms);
    gw_drain_check(d);
    return count;
}

static void begin(struct gw_drain *d, uint32_t connections)
{
    struct gw_drain_facts f = {.connections = connections};
    gw_drain_begin(d, &f, 1000);
    gw_drain_check(d);
}

TEST("a gateway that is open sends nobody away, and undoing what was not begun is nothing")
{
    struct gw_drain d = {0};
    CHECK(step(&d, 5, 1000) == 0 && d.state == GW_OPEN);
    gw_drain_undo(&d);
    CHECK(d.state == GW_OPEN);
}

TEST("it is not drained while anybody is connected, or anything is not durable, or not read")
{
    struct gw_drain d = {0};
    begin(&d, 1);
    static const struct gw_drain_facts rows[] = {
        {.connections = 1, .staged = 10, .durable = 10, .read = 10},
        {.connections = 0, .staged = 11, .durable = 10, .read = 10},
        {.connections = 0, .staged = 10, .durable = 10, .read = 9},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)gw_drain_step(&d, &rows[i], 2000 + i * 1000);
        CHECK(d.state == GW_DRAINING);
    }
    CHECK(step(&d, 0, 9000) == 0);
    CHECK(d.state == GW_DRAINED);
    CHECK(strcmp(gw_drain_state_name(d.state), "drained") == 0);
    (void)gw_drain_step(&d, &rows[2], 9500); /* a link's end was written */
    CHECK(d.state == GW_DRAINING);
}

TEST("ten thousand leave in ten seconds, a slice at a time, and a few at once")
{
    struct gw_drain d = {0};
    begin(&d, 10000);
    CHECK(step(&d, 10000, 1000) == 250);
    CHECK(step(&d, 9750, 1249) == 0);
    CHECK(step(&d, 9750, 1250) == 250);
    struct gw_drain few = {0};
    begin(&few, 3);
    CHECK(step(&few, 3, 1000) >= 3);
}

TEST("undone, it sends nobody away any more, and a second begin changes nothing")
{
    struct gw_drain d = {0};
    begin(&d, 10000);
    begin(&d, 1);
    CHECK(d.slice == 250);
    gw_drain_undo(&d);
    CHECK(step(&d, 10000, 5000) == 0 && d.state == GW_OPEN);
    begin(&d, 400);
    CHECK(d.slice == 10);
}
