/*
 * A seeded generator (SplitMix64) for back-off jitter, tests and the simulator: same seed, same
 * numbers. Never for keys, nonces or tokens: those come from the port's entropy.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

struct rng rng_from_seed(uint64_t seed);
uint64_t rng_u64(struct rng *r);

/* A number from 0 to `bound` - 1; 0 where `bound` is 0. Unbiased. */
uint64_t rng_below(struct rng *r, uint64_t bound);

#endif
