/*
 * Whose chains are believed, and for how long: each anchor set is a world of its own.
 */
#include "io/posix/inside.h"

#include <openssl/x509v3.h>
#include <time.h>

/* Macros of OpenSSL cast const away from what they only read; clang sees into them. */
#pragma GCC diagnostic ignored "-Wcast-qual"

enum { AUTH_LEVEL = 2 /* 112 bits: no SHA-1, no RSA below 2048 */ };

static int64_t verify_time_s(const struct port_tls *tls)
{
    int64_t wall_ms = port_wall_ms(tls->port, NULL);
    return (wall_ms > tls->time_floor_ms ? wall_ms : tls->time_floor_ms) / 1000;
}

bool validity_holds(const struct validity *validity, const struct port_tls *tls)
{
    int64_t now_s = verify_time_s(tls);
    return now_s >= validity->from_s && now_s <= validity->until_s;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm parts;
    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

/* From the newest beginning to the earliest end of the chain. */
static struct validity validity_of(const STACK_OF(X509) * chain)
{
    struct validity v = {INT64_MIN, INT64_MAX};
    for (int i = 0; i < sk_X509_num(chain); i++) {
        const X509 *cert = sk_X509_value(chain, i);
        int64_t from_s = seconds_of(X509_get0_notBefore(cert));
        int64_t until_s = seconds_of(X509_get0_notAfter(cert));
        v.from_s = from_s > v.from_s ? from_s : v.from_s;
        v.until_s = until_s < v.until_s ? until_s : v.until_s;
    }
    return v;
}

/* One anchor set: X509_V_OK or the reason. */
static int verify_against(const struct port_tls *tls,
                          size_t set,
                          X509_STORE_CTX *asked,
                          X509_VERIFY_PARAM *asked_name,
                          struct validity *validity)
{
    X509_STORE_CTX *own = X509_STORE_CTX_new_ex(tls_library(), NULL);
    int error = X509_V_ERR_OUT_OF_MEM;
    if (own == NULL
        || X509_STORE_CTX_init(own, tls->stores[set], X509_STORE_CTX_get0_cert(asked),
                               X509_STORE_CTX_get0_untrusted(asked))
               != 1) {
        goto out;
    }
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(own);
    if (asked_name != NULL && X509_VERIFY_PARAM_set1(param, asked_name) != 1) {
        goto out;
    }
    if (X509_STORE_CTX_set_default(own, tls->is_server ? "ssl_client" : "ssl_server") != 1) {
        goto out;
    }
    X509_VERIFY_PARAM_set_depth(param, PORT_CHAIN_DEPTH_MAX);
    X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
    /* A set may hold an issuing CA without its root: the chain ends at what was put there. */
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
    if (tls->no_time[set]) {
        flags |= X509_V_FLAG_NO_CHECK_TIME;
    } else {
        X509_VERIFY_PARAM_set_time(param, (time_t)verify_time_s(tls));
    }
    if (X509_VERIFY_PARAM_set_flags(param, flags) != 1) {
        goto out;
    }
    error = X509_verify_cert(own) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(own);
    if (error == X509_V_OK && X509_STORE_CTX_get_error(own) != X509_V_OK) {
        error = X509_V_ERR_UNSPECIFIED;
    }
    *validity = error != X509_V_OK || tls->no_time[set]
                    ? (struct validity){INT64_MIN, INT64_MAX}
                    : validity_of(X509_STORE_CTX_get0_chain(own));
out:
    X509_STORE_CTX_free(own);
    return error;
}

/* Replaces OpenSSL's own verification: each set is a world of its own, the first that fits says who
 * it is. */
int tls_verify_peer(X509_STORE_CTX *asked, void *context)
{
    const struct port_tls *tls = context;
    SSL *ssl = X509_STORE_CTX_get_ex_data(asked, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct port_conn *conn = SSL_get_app_data(ssl);
    X509_VERIFY_PARAM *name = tls->is_server ? NULL : SSL_get0_param(ssl);
    int first_error = X509_V_OK;
    for (size_t i = 0; i < tls->stores_count; i++) {
        int error = verify_against(tls, i, asked, name, &conn->validity);
        if (error == X509_V_OK) {
            conn->anchors = i;
            X509_STORE_CTX_set_error(asked, X509_V_OK);
            return 1;
        }
        /* The set that knew the issuer has the better reason. */
        if (first_error == X509_V_OK
            || first_error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY) {
            first_error = error;
        }
    }
    conn->verify_error = first_error;
    X509_STORE_CTX_set_error(asked, first_error);
    return 0;
}
