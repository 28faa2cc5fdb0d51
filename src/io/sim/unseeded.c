/* Taken only where no stub cipher is linked (crypto/stub/seed.h): OpenSSL's randomness is not ours
 * to choose. */
#include "crypto/stub/seed.h"

void crypto_seed(uint64_t seed)
{
    (void)seed;
}
