#include "io/sim/slots.h"

#include "base/invariant.h"

#include <stdlib.h>

static const uint64_t place_mask = (UINT64_C(1) << SLOTS_BITS) - 1;

static size_t new_place(struct slots *slots)
{
    if (slots->count == slots->cap) {
        slots->cap = slots->cap == 0 ? 64 : slots->cap * 2;
        slots->list = realloc(slots->list, slots->cap * sizeof *slots->list);
        INVARIANT(slots->list != NULL);
    }
    if (slots->count == 0) {
        slots->list[slots->count++] = (struct slot){0};
    }
    INVARIANT(slots->count <= place_mask);
    return slots->count++;
}

uint64_t slots_add(struct slots *slots, void *thing)
{
    size_t place = slots->first_free;
    if (place != 0) {
        slots->first_free = slots->list[place].next_free;
    } else {
        place = new_place(slots);
    }
    uint64_t id = ++slots->generation << SLOTS_BITS | place;
    slots->list[place] = (struct slot){.thing = thing, .id = id};
    return id;
}

void *slots_find(const struct slots *slots, uint64_t id)
{
    size_t place = (size_t)(id & place_mask);
    return place < slots->count && slots->list[place].id == id ? slots->list[place].thing : NULL;
}

void slots_remove(struct slots *slots, uint64_t id)
{
    size_t place = (size_t)(id & place_mask);
    if (id != 0 && slots_find(slots, id) != NULL) {
        slots->list[place] = (struct slot){.next_free = slots->first_free};
        slots->first_free = place;
    }
}

void slots_free(struct slots *slots)
{
    free(slots->list);
    *slots = (struct slots){0};
}
