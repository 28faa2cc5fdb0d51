/*
 * Things found by number in constant time, where the thing may be gone by the time somebody asks.
 * A number is never given twice: its low 24 bits are a place, above them counts a generation.
 */
#ifndef IO_SIM_SLOTS_H
#define IO_SIM_SLOTS_H

#include <stddef.h>
#include <stdint.h>

enum { SLOTS_BITS = 24 }; /* of a place: at most 16,777,215 things at a time */

struct slot {
    void *thing; /* NULL: free */
    uint64_t id;
    size_t next_free;
};

struct slots { /* zero is empty */
    struct slot *list;
    size_t count, cap, first_free; /* place 0 is never used: no number is zero */
    uint64_t generation;
};

uint64_t slots_add(struct slots *slots, void *thing);
void *slots_find(const struct slots *slots, uint64_t id); /* NULL: gone */
void slots_remove(struct slots *slots, uint64_t id);      /* one that is gone is accepted */
void slots_free(struct slots *slots);

#endif
