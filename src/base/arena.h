/*
 * Scratch memory over the caller's bytes: handed out in order, given back all at once after a step.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena {
    uint8_t *at;
    size_t cap;
    size_t len;
};

struct arena arena_over(void *at, size_t cap);

/* `len` zeroed bytes aligned for any type, or NULL where the arena has no room for them. */
void *arena_take(struct arena *a, size_t len);

/* A copy of `bytes` that lives until arena_empty; `ok` says whether there was room. */
struct slice arena_copy(struct arena *a, struct slice bytes, bool *ok);

void arena_empty(struct arena *a);

#endif
