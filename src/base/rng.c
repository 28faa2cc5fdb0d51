#include "base/rng.h"

struct rng rng_from_seed(uint64_t seed)
{
    return (struct rng){.state = seed};
}

uint64_t rng_u64(struct rng *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    uint64_t z = r->state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    if (bound == 0) {
        return 0;
    }
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = rng_u64(r);
    while (value >= limit) {
        value = rng_u64(r);
    }
    return value % bound;
}
