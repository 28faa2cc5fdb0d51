/*
 * The stub cipher: crypto/hash.h and crypto/key.h once more, for simulations only. It is cheap and
 * deterministic, and it keeps the shape of the real thing: only who has the private key can sign
 * what its public key verifies, agreement commutes, a changed bit anywhere is refused. It keeps no
 * secret from anybody who tries: its group has 2^61 elements, its hash is a mixing.
 *
 * Link the objects of the target crypto_stub in front of the libraries: they take the place of
 * those of `crypto`. tests/law/stub.py shows that no program we ship has a symbol of it.
 */
#ifndef CRYPTO_STUB_SEED_H
#define CRYPTO_STUB_SEED_H

#include <stdint.h>

/* All keys made from now on follow from the seed. Where the real library is linked this does
 * nothing (io/sim/unseeded.c): its randomness is nobody's to choose. */
void crypto_seed(uint64_t seed);

#endif
