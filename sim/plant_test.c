#include "crypto/key.h"
#include "crypto/stub/seed.h"
#include "io/registry.h"
#include "io/store.h"
#include "sim/plant.h"
#include "test/test.h"

#include <stdio.h>
#include <string.h>

struct waited {
    struct plant *plant;
    uint32_t live;
    uint64_t acked;
};

static bool are_live(void *context)
{
    const struct waited *w = context;
    return plant_live(w->plant) >= w->live;
}

static bool is_acked(void *context)
{
    const struct waited *w = context;
    uint64_t acked = 0;
    for (uint32_t i = 0; i < w->live; i++) {
        struct device_counts counts;
        (void)plant_device_counts(w->plant, i, &counts);
        acked += counts.acked;
    }
    return acked >= w->acked;
}

static uint64_t counter(struct store *store, const char *name)
{
    struct store_counter list[64];
    size_t count = 0;
    CHECK(store_counters(store, list, COUNT_OF(list), &count) == STORE_OK);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return list[i].value;
        }
    }
    return 0;
}

static uint64_t busy_hour(uint64_t seed)
{
    struct plant *plant = plant_open(&(struct plant_spec){.seed = seed,
                                                          .gateways = 2,
                                                          .devices = 4,
                                                          .devices_per_s = 2,
                                                          .period_ms = 30000,
                                                          .journal_percent = 50});
    CHECK(plant != NULL);
    if (plant == NULL) {
        return 0;
    }
    plant_begin(plant);
    sim_run_for(plant_world(plant), 600000);
    plant_kill(plant, plant_gateway(plant, 0), 5000);
    sim_run_for(plant_world(plant), 600000);
    plant_power_cut(plant, "core", 5000);
    sim_run_for(plant_world(plant), 600000);
    CHECK_U64(plant_live(plant), 4);
    CHECK_U64(plant_starts(plant, plant_gateway(plant, 0)), 3);
    CHECK_U64(plant_starts(plant, PLANT_CONTROL), 2);
    uint64_t hash = sim_hash(plant_world(plant));
    plant_close(plant);
    return hash;
}

TEST("roles that are killed and machines that are cut come back and go on, the same each time")
{
    struct key_private *key = NULL;
    crypto_seed(1);
    REQUIRE(key_make(KEY_P256, &key) == KEY_OK);
    struct key_public first = key_public_of(key);
    key_free(key);
    crypto_seed(1);
    REQUIRE(key_make(KEY_P256, &key) == KEY_OK);
    struct key_public second = key_public_of(key);
    key_free(key);
    bool is_stub = memcmp(first.bytes, second.bytes, sizeof first.bytes) == 0;
    uint64_t hash = busy_hour(5);
    if (is_stub) { /* OpenSSL makes other keys every time */
        CHECK_U64(busy_hour(5), hash);
        CHECK(busy_hour(6) != hash);
    }
}

TEST("devices enrol, say hello and publish, and every point is in the store")
{
    struct plant *plant = plant_open(&(struct plant_spec){.seed = 1, .gateways = 2, .devices = 6});
    REQUIRE(plant != NULL);
    struct waited w = {.plant = plant, .live = 6, .acked = 60};
    plant_begin(plant);
    CHECK(sim_run_while_not(plant_world(plant), are_live, &w, 60000));
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 6; i++) {
            CHECK(plant_feed(plant, i, "pressure", round + i));
        }
        sim_run_for(plant_world(plant), 1000);
    }
    CHECK(sim_run_while_not(plant_world(plant), is_acked, &w, 60000));
    sim_run_for(plant_world(plant), 1000);
    struct plant_reader reader;
    REQUIRE(plant_read(plant, &reader));
    CHECK_U64(counter(reader.store, "points"), 60);
    CHECK_U64(counter(reader.store, "refused"), 0);
    for (uint32_t i = 0; i < 6; i++) {
        static struct store_device stored;
        static struct registry_device known;
        CHECK(store_device_get(reader.store, plant_device_id(plant, i), &stored) == STORE_OK);
        CHECK_U64(stored.points, 10);
        CHECK(registry_device_by_id(reader.registry, plant_device_id(plant, i), &known)
              == REGISTRY_OK);
        CHECK(strcmp(known.name, plant_name(plant, plant_device(plant, i))) == 0);
    }
    plant_leave(&reader);
    plant_close(plant);
}
