#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

struct arena arena_over(void *at, size_t cap)
{
    return (struct arena){.at = at, .cap = cap};
}

void *arena_take(struct arena *a, size_t len)
{
    size_t align = alignof(max_align_t);
    uintptr_t next = (uintptr_t)(a->at + a->len);
    size_t pad = (align - next % align) % align;
    if (pad > a->cap - a->len || len > a->cap - a->len - pad) {
        return NULL;
    }
    uint8_t *at = a->at + a->len + pad;
    a->len += pad + len;
    memset(at, 0, len);
    return at;
}

struct slice arena_copy(struct arena *a, struct slice bytes, bool *ok)
{
    uint8_t *at = arena_take(a, bytes.len);
    *ok = at != NULL;
    if (at == NULL) {
        return (struct slice){0};
    }
    if (bytes.len > 0) {
        memcpy(at, bytes.at, bytes.len);
    }
    return (struct slice){.at = at, .len = bytes.len};
}

void arena_empty(struct arena *a)
{
    a->len = 0;
}
