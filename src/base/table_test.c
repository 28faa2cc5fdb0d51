#include "base/rng.h"
#include "base/table.h"
#include "test/test.h"

#include <string.h>

enum { CAP = 256, KEYS = 200, STEPS = 100000 };

static void key_of(uint32_t n, uint8_t key[TABLE_KEY_LEN])
{
    memset(key, 0, TABLE_KEY_LEN);
    key[3] = (uint8_t)n;
    key[12] = (uint8_t)(n * 7);
}

TEST("a table agrees with a plain array through random puts and removes")
{
    static struct table_slot slots[CAP];
    static int64_t model[KEYS];
    struct table t;
    table_init(&t, slots, CAP, 42);
    memset(model, 0xff, sizeof model);
    struct rng rng = rng_from_seed(1);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t n = (uint32_t)rng_below(&rng, KEYS);
        uint8_t key[TABLE_KEY_LEN];
        key_of(n, key);
        uint32_t value = 0;
        CHECK(table_find(&t, key, &value) == (model[n] >= 0));
        CHECK(model[n] < 0 || value == (uint32_t)model[n]);
        if (rng_below(&rng, 2) == 0) {
            CHECK(table_put(&t, key, step));
            model[n] = step;
        } else {
            CHECK(table_remove(&t, key) == (model[n] >= 0));
            model[n] = -1;
        }
    }
}

TEST("a full table refuses a new key and still replaces an old one")
{
    static struct table_slot slots[8];
    struct table t;
    table_init(&t, slots, 8, 0);
    uint8_t key[TABLE_KEY_LEN];
    for (uint32_t n = 0; n < 7; n++) {
        key_of(n, key);
        CHECK(table_put(&t, key, n));
    }
    CHECK(table_put(&t, key, 99));
    key_of(7, key);
    CHECK(!table_put(&t, key, 7));
}
