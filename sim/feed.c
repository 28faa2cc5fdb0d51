#include "sim/feed.h"

#include "base/invariant.h"

#include <stdlib.h>

struct fed {
    struct feed *feed;
    struct port_wake *wake;
    uint32_t index;
    uint32_t given;
};

struct feed {
    struct plant *plant;
    struct port *port;
    uint32_t devices, period_ms;
    struct fed *list;
};

static void on_event(void *role, const struct port_event *ev)
{
    struct feed *feed = role;
    struct fed *fed = ev->user;
    if (ev->kind == PORT_WOKE) {
        (void)plant_feed(feed->plant, fed->index, "count", (double)++fed->given);
        port_wake_at(fed->wake, port_now_ms(feed->port) + feed->period_ms);
    }
}

struct feed *feed_begin(struct plant *plant, uint32_t devices, uint32_t period_ms)
{
    struct feed *feed = calloc(1, sizeof *feed);
    INVARIANT(feed != NULL);
    *feed = (struct feed){.plant = plant, .devices = devices, .period_ms = period_ms};
    feed->port = sim_start(plant_world(plant), "sensors", on_event, feed);
    feed->list = calloc(devices, sizeof *feed->list);
    INVARIANT(feed->list != NULL);
    for (uint32_t i = 0; i < devices; i++) {
        struct fed *fed = &feed->list[i];
        *fed = (struct fed){.feed = feed, .index = i, .wake = port_wake_new(feed->port, fed)};
        /* Spread over a period, so that the fleet does not breathe in step. */
        port_wake_at(fed->wake, port_now_ms(feed->port) + 1 + (uint64_t)i * period_ms / devices);
    }
    return feed;
}

void feed_end(struct feed *feed)
{
    if (feed != NULL) {
        port_close_all(feed->port);
        free(feed->list);
        free(feed);
    }
}
