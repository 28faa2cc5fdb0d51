/*
 * A map from 16-byte ids to 32-bit values in the caller's array: open addressing, linear probes,
 * deletion by shifting back. Keys are spread by a seed from the port's entropy, so that a stranger
 * who picks ids cannot pick collisions. Bounded: the array's size is the limit, at most 7/8 of it
 * are used.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/slice.h"

enum { TABLE_KEY_LEN = 16 };

struct table_slot {
    uint8_t key[TABLE_KEY_LEN];
    uint32_t value;
    uint32_t used;
};

struct table {
    struct table_slot *slots;
    uint32_t cap; /* a power of two */
    uint32_t count;
    uint64_t seed;
};

/* `cap` slots, a power of two of at least 8, become an empty table. */
void table_init(struct table *t, struct table_slot *slots, uint32_t cap, uint64_t seed);

bool table_find(const struct table *t, const uint8_t key[TABLE_KEY_LEN], uint32_t *value);

/* Sets or replaces; false where the table is full. */
bool table_put(struct table *t, const uint8_t key[TABLE_KEY_LEN], uint32_t value);

/* False where the key was not there. */
bool table_remove(struct table *t, const uint8_t key[TABLE_KEY_LEN]);

#endif
