/* Wakes, clocks that run wrong, processes that stand still, and numbers of things that are gone. */
#include "io/sim/sim.h"
#include "io/sim/slots.h"
#include "test/test.h"

struct sleeper {
    struct port *port;
    struct port_wake *wake;
    unsigned woken, turns;
    uint64_t world_ms; /* at the newest wake */
    struct sim_world *world;
};

static void on_event(void *role, const struct port_event *ev)
{
    struct sleeper *s = role;
    if (ev->kind == PORT_WOKE) {
        s->woken++;
        s->world_ms = sim_now_ms(s->world);
    }
    s->turns += ev->kind == PORT_TURN_ENDED ? 1 : 0;
}

static void start(struct sleeper *s, const char *machine)
{
    struct sim_world *world = sim_open(1);
    *s = (struct sleeper){.world = world, .port = sim_start(world, machine, on_event, s)};
    s->wake = port_wake_new(s->port, s);
}

TEST("only the last arming of a wake counts, and one that was put off makes no turn in between")
{
    struct sleeper s;
    start(&s, "dev");
    sim_run_for(s.world, 1);
    unsigned turns = s.turns;
    for (uint64_t due = 100; due <= 1000; due += 100) {
        port_wake_at(s.wake, due);
    }
    sim_run_for(s.world, 900);
    CHECK_U64(s.turns, turns);
    sim_run_for(s.world, 200);
    CHECK_U64(s.woken, 1);
    CHECK_U64(s.world_ms, 1000);
    port_wake_at(s.wake, 5000);
    port_wake_at(s.wake, 2000); /* brought forward */
    sim_run_for(s.world, 10000);
    CHECK_U64(s.woken, 2);
    CHECK_U64(s.world_ms, 2000);
    port_wake_at(s.wake, 20000);
    port_wake_at(s.wake, UINT64_MAX);
    CHECK(!sim_run_until(s.world, 30000));
    CHECK_U64(s.woken, 2);
    sim_close(s.world);
}

TEST("a clock that drifts is late or early by as much as it was told, and never goes back")
{
    static const struct {
        int32_t ppm;
        uint64_t hour_ends_ms;
    } rows[] = {{0, 3600000}, {100000, 3272728}, {-100000, 4000000}, {200, 3599281}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sleeper s;
        start(&s, "dev");
        sim_set_drift(s.world, "dev", rows[i].ppm);
        port_wake_at(s.wake, 3600000);
        uint64_t before_us = 0;
        for (unsigned step = 0; step < 50; step++) {
            sim_run_for(s.world, 100000);
            CHECK(port_now_us(s.port) > before_us);
            before_us = port_now_us(s.port);
        }
        CHECK_U64(s.woken, 1);
        CHECK(s.world_ms + 1 >= rows[i].hour_ends_ms && s.world_ms <= rows[i].hour_ends_ms + 1);
        sim_close(s.world);
    }
}

TEST("a wake that waits is held to the clock's new speed")
{
    struct sleeper s;
    start(&s, "dev");
    port_wake_at(s.wake, 1000);
    sim_set_drift(s.world, "dev", -500000);
    sim_run_for(s.world, 1999);
    CHECK_U64(s.woken, 0);
    sim_run_for(s.world, 2);
    CHECK_U64(s.woken, 1);
    sim_close(s.world);
}

TEST("a paused machine gets no turn, and then all that came meanwhile")
{
    struct sleeper s;
    start(&s, "dev");
    sim_run_for(s.world, 1);
    unsigned turns = s.turns;
    port_wake_at(s.wake, 50);
    sim_pause(s.world, "dev", 1000);
    sim_run_for(s.world, 900);
    CHECK_U64(s.turns, turns);
    sim_run_for(s.world, 200);
    CHECK_U64(s.woken, 1);
    CHECK_U64(s.world_ms, 1001);
    sim_close(s.world);
}

TEST("a number is never given twice, and finds nothing once its thing is gone")
{
    struct slots slots = {0};
    int things[200];
    uint64_t ids[200];
    CHECK(slots_find(&slots, 0) == NULL);
    for (size_t i = 0; i < COUNT_OF(things); i++) {
        ids[i] = slots_add(&slots, &things[i]);
    }
    for (size_t i = 0; i < COUNT_OF(things); i += 2) {
        slots_remove(&slots, ids[i]);
        slots_remove(&slots, ids[i]);
        CHECK(slots_find(&slots, ids[i]) == NULL);
        CHECK(slots_find(&slots, ids[i + 1]) == &things[i + 1]);
    }
    for (size_t i = 0; i < COUNT_OF(things); i += 2) {
        uint64_t again = slots_add(&slots, &things[i]);
        CHECK(again != ids[i] && slots_find(&slots, ids[i]) == NULL);
        CHECK(slots_find(&slots, again) == &things[i]);
    }
    CHECK_U64(slots.count, COUNT_OF(things) + 1);
    slots_free(&slots);
}

/* ---- the power goes while nobody has the word ---- */

static void on_sync(void *role, const struct port_event *ev)
{
    struct sleeper *s = role;
    s->woken += ev->kind == PORT_SYNCED ? 1 : 0;
}

static void cut_power(void *context, struct sim_disk *disk)
{
    (void)disk;
    sim_power_cut(context, "dev");
}

TEST("the power may go inside a sync that was begun before: its process hears no more")
{
    struct sleeper s = {.world = sim_open(1)};
    struct port_file *file;
    s.port = sim_start(s.world, "dev", on_sync, &s);
    CHECK(port_file_open(s.port, "/f", PORT_WRITE | PORT_CREATE, &file) == PORT_OK);
    CHECK(port_file_write(file, 0, slice_text("x")) == PORT_OK);
    CHECK(port_file_sync_begin(file, NULL) == PORT_OK);
    sim_disk_watch(sim_disk_of(s.world, "dev"), cut_power, s.world);
    sim_run_for(s.world, 1000);
    CHECK_U64(s.woken, 0);
    sim_close(s.world);
}
