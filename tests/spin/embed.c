/* EMBED_WORLD is the world's symbol, EMBED_CONFIG the name of its configuration. */
#include "tests/spin/embed.h"

#include "base/invariant.h"
#include "sim/explore/explore.h"

#include <stdio.h>
#include <string.h>

struct embed embed;
unsigned char embed_packed[EMBED_PACKED_BYTES];

static const struct explore_world *const world = &EMBED_WORLD;

static void look(void)
{
    struct explore_event list[EXPLORE_OFFERS_MAX];
    struct writer w = writer_over(embed_packed, sizeof embed_packed);
    uint32_t count = world->offer(embed.world, list);
    INVARIANT(count <= EMBED_EVENTS);
    for (uint32_t i = 0; i < EMBED_EVENTS; i++) {
        embed.can[i] = i < count;
    }
    embed.is_settled = world->is_settled != NULL && world->is_settled(embed.world);
    memset(embed_packed, 0, sizeof embed_packed);
    world->pack(embed.world, &w);
    INVARIANT(writer_ok(&w));
}

void embed_begin(void)
{
    INVARIANT(world->size <= sizeof embed.world);
    for (uint32_t i = 0; i < world->configs_count; i++) {
        if (strcmp(world->configs[i].name, EMBED_CONFIG) == 0) {
            world->begin(embed.world, &world->configs[i]);
            embed.is_good = 1;
            look();
            return;
        }
    }
    UNREACHABLE();
}

static bool is_fair_due(const struct explore_event *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if ((world->fair & EXPLORE_BIT(list[i].kind)) != 0) {
            return true;
        }
    }
    return false;
}

void embed_take(int event)
{
    struct explore_event list[EXPLORE_OFFERS_MAX];
    struct explore_breach breach = {0};
    uint32_t count = world->offer(embed.world, list);
    world->step(embed.world, &list[event], &breach);
    embed.is_starved =
        (world->fair & EXPLORE_BIT(list[event].kind)) == 0 && is_fair_due(list, count);
    embed.is_quiet = (world->restless & EXPLORE_BIT(list[event].kind)) == 0;
    embed.is_good = breach.what == NULL;
    if (breach.what != NULL) {
        printf("BREACH: %s\n", breach.what);
    }
    look();
}
