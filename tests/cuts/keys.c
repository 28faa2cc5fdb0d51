/*
 * A device's keys: a certificate that was stored stays, with its key; a key for which a certificate
 * was asked is the key that is asked for again, whenever the power goes between asking and storing.
 * A generation that was used stays until a later one was used, too.
 */
#include "base/invariant.h"
#include "crypto/stub/seed.h"
#include "durable.h"
#include "role/device_inside.h"
#include "trust/identity.h"
#include "trust/signature.h"

#include <stdlib.h>
#include <string.h>

enum { GENERATIONS = 3, SEED_OF_FIRST = 100, SEED_OF_RECOVERY = 200 };

struct keyring {
    struct key_private *issuer;
    struct key_public keys[GENERATIONS + 1]; /* from 1 */
    struct key_public later; /* of a recovery that went on, and may have been cut itself */
    int asked;               /* a certificate for this key was asked for */
    int stored;              /* key and certificate were reported stored */
    int taking, used; /* is to take the place of the one before it, and was reported to have */
};

static struct key_public key_from_seed(uint64_t seed)
{
    struct key_private *key = NULL;
    crypto_seed(seed);
    INVARIANT(key_make(KEY_P256, &key) == KEY_OK);
    struct key_public public = key_public_of(key);
    key_free(key);
    return public;
}

static void begin(void *context)
{
    struct keyring *k = context;
    for (int g = 1; g <= GENERATIONS; g++) {
        k->keys[g] = key_from_seed(SEED_OF_FIRST + (uint64_t)g);
    }
    k->later = key_from_seed(SEED_OF_RECOVERY);
    crypto_seed(7);
    INVARIANT(key_make(KEY_P256, &k->issuer) == KEY_OK);
}

static void end(void *context)
{
    key_free(((struct keyring *)context)->issuer);
}

static void on_event(void *role, const struct port_event *ev)
{
    (void)role;
    (void)ev;
}

static struct device *open_keys(struct sim_world *world, bool *ok)
{
    struct port_why why;
    struct device *d = calloc(1, sizeof *d);
    INVARIANT(d != NULL);
    d->port = sim_start(world, CUTS_MACHINE, on_event, NULL);
    memcpy(d->state_dir, "/var/state", sizeof "/var/state");
    *ok = device_lock(d, &why) == PORT_OK && device_load_keys(d, &why) == PORT_OK;
    return d;
}

static void close_keys(struct device *d)
{
    key_free(d->own.key);
    key_free(d->renewed.key);
    key_free(d->next_key);
    port_close_all(d->port);
    free(d);
}

/* What the device services answer: a certificate for the next key. */
static void certify(const struct keyring *k, struct device *d)
{
    static const uint8_t serial[16] = {0x41, 7};
    uint8_t name_bytes[64];
    uint8_t tbs_bytes[DEVICE_CERT_MAX];
    uint8_t own_id[X509_KEY_ID_LEN];
    struct writer name = writer_over(name_bytes, sizeof name_bytes);
    struct writer tbs = writer_over(tbs_bytes, sizeof tbs_bytes);
    struct writer w = writer_over(d->issued, sizeof d->issued);
    struct key_public public = key_public_of(d->next_key);
    x509_subject_write(&name, &(struct x509_subject){.common_name = slice_text("d")});
    identity_key_id(slice_of(public.bytes, public.len), own_id);
    struct x509_spec spec = {.serial = slice_of(serial, sizeof serial),
                             .issuer = writer_slice(&name),
                             .subject = writer_slice(&name),
                             .not_before_ms = INT64_C(1700000000000),
                             .not_after_ms = INT64_C(1900000000000),
                             .key_kind = X509_P256,
                             .sign_with = X509_P256,
                             .public_key = slice_of(public.bytes, public.len),
                             .subject_key_id = slice_of(own_id, sizeof own_id),
                             .authority_key_id = slice_of(own_id, sizeof own_id),
                             .key_usage = X509_DIGITAL_SIGNATURE};
    INVARIANT(x509_tbs_write(&tbs, &spec) == X509_OK);
    INVARIANT(signature_certificate(&w, writer_slice(&tbs), k->issuer));
    d->issued_len = w.len;
}

static bool is_key(const struct key_private *key, const struct key_public *want)
{
    struct key_public own = key_public_of(key);
    return own.len == want->len && memcmp(own.bytes, want->bytes, own.len) == 0;
}

static void scenario(void *context, struct sim_world *world)
{
    struct keyring *k = context;
    bool ok;
    struct device *d = open_keys(world, &ok);
    for (int g = 1; ok && g <= GENERATIONS; g++) {
        crypto_seed(SEED_OF_FIRST
                    + (uint64_t)g); /* the worlds of recoveries have begun anew meanwhile */
        if (!device_make_next_key(d)) {
            break;
        }
        INVARIANT(is_key(d->next_key, &k->keys[g]));
        k->asked = g;
        if (g == 2) { /* a restart while the answer is awaited */
            close_keys(d);
            d = open_keys(world, &ok);
            if (!ok) {
                break;
            }
            INVARIANT(d->next_key != NULL && is_key(d->next_key, &k->keys[g]));
        }
        certify(k, d);
        k->taking = g == 1 ? g : k->taking; /* the first has no one's place to wait for */
        if (!device_store_identity(d)) {
            break;
        }
        k->stored = g;
        k->taking = g;
        if (g > 1 && !device_switch_identity(d)) {
            break;
        }
        k->used = g;
    }
    close_keys(d);
}

/* Which generation it is; 0: none; -1: none of those that were made. */
static int generation_of(const struct keyring *k, const struct key_private *key)
{
    int has = key == NULL ? 0 : -1;
    for (int g = 1; g <= GENERATIONS && key != NULL; g++) {
        has = is_key(key, &k->keys[g]) ? g : has;
    }
    return has;
}

static bool is_later(const struct keyring *k, const struct device_identity *identity)
{
    return identity->key != NULL && is_key(identity->key, &k->later);
}

static enum verdict holds(const struct keyring *k, const struct device *d)
{
    int own = generation_of(k, d->own.key);
    int renewed = generation_of(k, d->renewed.key);
    int newest = own > renewed ? own : renewed;
    if (is_later(k, &d->own) || is_later(k, &d->renewed)) {
        return KEPT; /* a recovery has gone on since */
    }
    if (newest < k->stored || own < k->used
        || (k->used > 0 && own != k->used && own != k->taking)) {
        return BROKEN;
    }
    bool waits = k->asked > newest;
    return waits && (d->next_key == NULL || !is_key(d->next_key, &k->keys[k->asked])) ? BROKEN
                                                                                      : KEPT;
}

/* Ends what was begun, or begins anew, and finds it again. */
static enum verdict go_on(const struct keyring *k, struct device *d, struct key_public *key)
{
    crypto_seed(SEED_OF_RECOVERY);
    if (d->next_key == NULL && !device_make_next_key(d)) {
        return TOLD;
    }
    *key = key_public_of(d->next_key);
    certify(k, d);
    return device_store_identity(d) ? KEPT : TOLD;
}

static enum verdict recover(void *context, struct sim_world *world)
{
    const struct keyring *k = context;
    struct key_public key = {0};
    bool ok;
    struct device *d = open_keys(world, &ok);
    enum verdict verdict = ok ? holds(k, d) : TOLD;
    verdict = verdict == KEPT ? go_on(k, d, &key) : verdict;
    close_keys(d);
    if (verdict == KEPT) {
        d = open_keys(world, &ok);
        const struct device_identity *newest = d->renewed.key != NULL ? &d->renewed : &d->own;
        verdict = !ok ? TOLD : newest->key != NULL && is_key(newest->key, &key) ? KEPT : BROKEN;
        close_keys(d);
    }
    return verdict;
}

static uint64_t promised(void *context)
{
    const struct keyring *k = context;
    return (uint64_t)k->asked * 1000 + (uint64_t)k->stored * 100 + (uint64_t)k->taking * 10
           + (uint64_t)k->used;
}

const struct durable durable_keys = {
    .name = "keys",
    .context_len = sizeof(struct keyring),
    .begin = begin,
    .end = end,
    .scenario = scenario,
    .recover = recover,
    .promised = promised,
    .seeded = 8,
};
