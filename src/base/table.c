#include "base/table.h"

#include "base/invariant.h"

#include <string.h>

static uint64_t load_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static uint32_t home_of(const struct table *t, const uint8_t *key)
{
    uint64_t z = (load_u64(key) ^ t->seed) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 32 ^ load_u64(key + 8)) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(z ^ z >> 29) & (t->cap - 1);
}

void table_init(struct table *t, struct table_slot *slots, uint32_t cap, uint64_t seed)
{
    INVARIANT(cap >= 8);
    INVARIANT((cap & (cap - 1)) == 0);
    memset(slots, 0, cap * sizeof *slots);
    *t = (struct table){.slots = slots, .cap = cap, .seed = seed};
}

/* The slot that holds the key, or the free one where it would go. */
static uint32_t probe(const struct table *t, const uint8_t *key)
{
    uint32_t at = home_of(t, key);
    while (t->slots[at].used && memcmp(t->slots[at].key, key, TABLE_KEY_LEN) != 0) {
        at = (at + 1) & (t->cap - 1);
    }
    return at;
}

bool table_find(const struct table *t, const uint8_t key[TABLE_KEY_LEN], uint32_t *value)
{
    const struct table_slot *slot = &t->slots[probe(t, key)];
    if (slot->used) {
        *value = slot->value;
    }
    return slot->used;
}

bool table_put(struct table *t, const uint8_t key[TABLE_KEY_LEN], uint32_t value)
{
    struct table_slot *slot = &t->slots[probe(t, key)];
    if (!slot->used) {
        if (t->count >= t->cap / 8 * 7) {
            return false;
        }
        memcpy(slot->key, key, TABLE_KEY_LEN);
        slot->used = 1;
        t->count++;
    }
    slot->value = value;
    return true;
}

bool table_remove(struct table *t, const uint8_t key[TABLE_KEY_LEN])
{
    uint32_t mask = t->cap - 1;
    uint32_t hole = probe(t, key);
    if (!t->slots[hole].used) {
        return false;
    }
    for (uint32_t next = (hole + 1) & mask; t->slots[next].used; next = (next + 1) & mask) {
        uint32_t home = home_of(t, t->slots[next].key);
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            t->slots[hole] = t->slots[next];
            hole = next;
        }
    }
    t->slots[hole] = (struct table_slot){0};
    t->count--;
    return true;
}
