/*
 * A library context of OpenSSL for TLS that knows the default provider's algorithms, but only the
 * kinds of keys that TLS needs here, and only the decoders for those in a peer's certificate: EC,
 * Ed25519 and RSA public keys in DER. OpenSSL 3.0 goes through both whole lists for each key it
 * reads, which costs more than a quarter of a handshake.
 */
#include "io/posix/inside.h"

#include <openssl/core_dispatch.h>
#include <openssl/provider.h>
#include <string.h>

enum { DECODERS_MAX = 8, KEYS_MAX = 8 };

/* OpenSSL's provider calls carry no pointer of ours, hence one for the process; made once, by the
 * first context. */
static struct {
    bool is_made;
    OSSL_LIB_CTX *context; /* NULL: the default one will do */
    OSSL_PROVIDER *whole;
    OSSL_ALGORITHM decoders[DECODERS_MAX]; /* ended by a row of NULL */
    OSSL_ALGORITHM keys[KEYS_MAX];         /* the same */
} library;

static const OSSL_ALGORITHM *query(void *context, int operation, int *no_cache)
{
    (void)context;
    if (operation == OSSL_OP_DECODER) {
        *no_cache = 0;
        return library.decoders;
    }
    if (operation == OSSL_OP_KEYMGMT) {
        *no_cache = 0;
        return library.keys;
    }
    return OSSL_PROVIDER_query_operation(library.whole, operation, no_cache);
}

static int capabilities(void *context, const char *name, OSSL_CALLBACK *each, void *argument)
{
    (void)context;
    return OSSL_PROVIDER_get_capabilities(library.whole, name, each, argument);
}

static const OSSL_DISPATCH calls[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities},
    {0, NULL},
};

static int start(const OSSL_CORE_HANDLE *handle,
                 const OSSL_DISPATCH *core,
                 const OSSL_DISPATCH **out,
                 void **context)
{
    (void)handle;
    (void)core;
    *out = calls;
    *context = OSSL_PROVIDER_get0_provider_ctx(library.whole); /* the algorithms are its own */
    return 1;
}

static bool is_one_of(const OSSL_ALGORITHM *algorithm, const char *const *names, size_t count)
{
    size_t len = strcspn(algorithm->algorithm_names, ":");
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) == len && strncmp(algorithm->algorithm_names, names[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_key_in_der(const OSSL_ALGORITHM *decoder)
{
    const char *form = decoder->property_definition;
    return strstr(form, "input=der") != NULL
           && strstr(form, "structure=SubjectPublicKeyInfo") != NULL;
}

/* Those of the default provider that peers need, ended by a row of NULL; false: not all are there.
 */
static bool choose(
    int operation, const char *const *names, size_t names_count, OSSL_ALGORITHM *to, size_t cap)
{
    int no_cache = 0;
    size_t count = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(library.whole, operation, &no_cache);
    for (; all != NULL && all->algorithm_names != NULL && count + 1 < cap; all++) {
        if (is_one_of(all, names, names_count)
            && (operation != OSSL_OP_DECODER || is_key_in_der(all))) {
            to[count++] = *all;
        }
    }
    return count == names_count; /* another build of OpenSSL: better slow than blind */
}

static bool choose_algorithms(void)
{
    static const char *const decoders[] = {"EC", "ED25519", "RSA"};
    static const char *const keys[] = {"EC", "ED25519", "RSA", "RSA-PSS", "X25519", "HMAC"};
    return choose(OSSL_OP_DECODER, decoders, COUNT_OF(decoders), library.decoders, DECODERS_MAX)
           && choose(OSSL_OP_KEYMGMT, keys, COUNT_OF(keys), library.keys, KEYS_MAX);
}

OSSL_LIB_CTX *tls_library(void)
{
    if (library.is_made) {
        return library.context;
    }
    library.is_made = true;
    library.whole = OSSL_PROVIDER_load(NULL, "default");
    if (library.whole == NULL || !choose_algorithms()) {
        return NULL;
    }
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    if (context != NULL && OSSL_PROVIDER_add_builtin(context, "holdfast", start) == 1
        && OSSL_PROVIDER_load(context, "holdfast") != NULL) {
        library.context = context;
    } else {
        OSSL_LIB_CTX_free(context);
    }
    return library.context;
}
