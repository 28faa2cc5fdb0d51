/*
 * A library context of OpenSSL for TLS that knows the default provider's algorithms, but only the
 * decoders a peer's certificate needs: EC, Ed25519 and RSA public keys in DER. OpenSSL 3.0 tries
 * the whole list of decoders for each key it reads, which costs more than a quarter of a handshake.
 */
#include "io/posix/inside.h"

#include <openssl/core_dispatch.h>
#include <openssl/provider.h>
#include <string.h>

enum { DECODERS_MAX = 8 };

/* OpenSSL's provider calls carry no pointer of ours, hence one for the process; made once, by the
 * first context. */
static struct {
    bool is_made;
    OSSL_LIB_CTX *context; /* NULL: the default one will do */
    OSSL_PROVIDER *whole;
    OSSL_ALGORITHM decoders[DECODERS_MAX]; /* ended by a row of NULL */
} library;

static const OSSL_ALGORITHM *query(void *context, int operation, int *no_cache)
{
    (void)context;
    if (operation == OSSL_OP_DECODER) {
        *no_cache = 0;
        return library.decoders;
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

static bool is_needed(const OSSL_ALGORITHM *decoder)
{
    static const char *const names[] = {"EC", "ED25519", "RSA"};
    size_t len = strcspn(decoder->algorithm_names, ":");
    const char *form = decoder->property_definition;
    if (strstr(form, "input=der") == NULL
        || strstr(form, "structure=SubjectPublicKeyInfo") == NULL) {
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strlen(names[i]) == len && strncmp(decoder->algorithm_names, names[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static bool choose_decoders(void)
{
    int no_cache = 0;
    size_t count = 0;
    const OSSL_ALGORITHM *all =
        OSSL_PROVIDER_query_operation(library.whole, OSSL_OP_DECODER, &no_cache);
    for (; all != NULL && all->algorithm_names != NULL && count + 1 < DECODERS_MAX; all++) {
        if (is_needed(all)) {
            library.decoders[count++] = *all;
        }
    }
    return count == 3; /* another build of OpenSSL: better slow than blind */
}

OSSL_LIB_CTX *tls_library(void)
{
    if (library.is_made) {
        return library.context;
    }
    library.is_made = true;
    library.whole = OSSL_PROVIDER_load(NULL, "default");
    if (library.whole == NULL || !choose_decoders()) {
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
