#include "crypto/hash.h"

#include "base/invariant.h"

/* The SHA256_* calls are marked deprecated in OpenSSL 3.0 and are what a saved state needs: the EVP
 * contexts that replace them live on the heap and cost a fetch or a copy for each message. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

static_assert(sizeof(SHA256_CTX) <= sizeof(struct hash), "a hash holds OpenSSL's state");
static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct hash),
              "a hash is aligned for OpenSSL's state");

static SHA256_CTX *state(struct hash *h)
{
    void *at = h->opaque;
    return at;
}

void hash_init(struct hash *h)
{
    memset(h, 0, sizeof *h);
    int ok = SHA256_Init(state(h));
    INVARIANT(ok == 1);
}

void hash_add(struct hash *h, struct slice bytes)
{
    int ok = SHA256_Update(state(h), bytes.at, bytes.len);
    INVARIANT(ok == 1);
}

void hash_end(struct hash *h, struct digest *out)
{
    int ok = SHA256_Final(out->bytes, state(h));
    INVARIANT(ok == 1);
}

struct digest hash_of(struct slice bytes)
{
    struct hash h;
    struct digest out;
    hash_init(&h);
    hash_add(&h, bytes);
    hash_end(&h, &out);
    return out;
}
