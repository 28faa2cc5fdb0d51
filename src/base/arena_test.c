#include "base/arena.h"
#include "test/test.h"

#include <stdalign.h>

TEST("an arena that is full gives nothing, and all again once emptied")
{
    alignas(max_align_t) uint8_t room[64];
    struct arena a = arena_over(room, sizeof room);
    CHECK(arena_take(&a, 40) != NULL);
    CHECK(arena_take(&a, 40) == NULL);
    arena_empty(&a);
    CHECK(arena_take(&a, 64) != NULL);
    CHECK(arena_take(&a, 1) == NULL);
}

TEST("what an arena gives is zero and aligned")
{
    alignas(max_align_t) uint8_t room[128] = {[0] = 9, [32] = 9};
    struct arena a = arena_over(room, sizeof room);
    (void)arena_take(&a, 1);
    uint8_t *second = arena_take(&a, 32);
    REQUIRE(second != NULL);
    CHECK_U64((uintptr_t)second % alignof(max_align_t), 0);
    for (size_t i = 0; i < 32; i++) {
        CHECK_U64(second[i], 0);
    }
}
