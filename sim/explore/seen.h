/* Sets that only grow, in memory of their own: byte strings numbered in the order they came, and
 * pairs of such numbers. */
#ifndef SIM_EXPLORE_SEEN_H
#define SIM_EXPLORE_SEEN_H

#include "base/slice.h"

struct seen {
    uint8_t *bytes; /* all strings, one behind the other */
    size_t bytes_len, bytes_cap;
    size_t *starts; /* count + 1 */
    uint32_t count, cap, limit;
    uint32_t *slots; /* 1 + index; 0: free */
    uint32_t slots_count;
    uint64_t digest; /* sum of the strings' hashes: the same for every order */
};

enum seen_result { SEEN_NEW = 1, SEEN_BEFORE, SEEN_FULL };

void seen_init(struct seen *s, uint32_t limit);
void seen_free(struct seen *s);
enum seen_result seen_add(struct seen *s, struct slice bytes, uint32_t *index);

struct pairs {
    uint64_t *slots; /* 1 + pair; 0: free */
    uint64_t count, slots_count;
};

void pairs_init(struct pairs *p);
void pairs_free(struct pairs *p);
void pairs_add(struct pairs *p, uint32_t from, uint32_t to);

/* Of `count` nodes connected by the pairs: the greatest least number of steps from node 0. */
uint32_t pairs_depth(const struct pairs *p, uint32_t count);

uint64_t seen_hash(struct slice bytes);

#endif
