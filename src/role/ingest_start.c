/*
 * Bringing the role up: its key, the issuers, memory of fixed size, the store, what waited.
 */
#include "base/invariant.h"
#include "codec/pem.h"
#include "io/folder.h"
#include "io/read_all.h"
#include "role/ingest_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool ingest_path(struct ingest *in, const char *rest, const char *name, const char *end)
{
    int len =
        snprintf(in->paths, sizeof in->paths, "%s/%s%s%s", in->config.data_dir, rest, name, end);
    return len > 0 && (size_t)len < sizeof in->paths;
}

static bool say(struct port_why *why, const char *what, const char *detail)
{
    (void)snprintf(why->text, sizeof why->text, "%.120s: %.110s", what, detail);
    return false;
}

/* A small file, named by the configuration or by its place in the data folder. */
static bool read_file(struct ingest *in,
                      const char *given,
                      const char *place,
                      uint8_t *pem,
                      size_t *len,
                      struct port_why *why)
{
    if (given == NULL && !ingest_path(in, place, "", "")) {
        return say(why, place, "the path is too long");
    }
    const char *path = given != NULL ? given : in->paths;
    if (port_file_read_all(in->port, path, pem, INGEST_PEM_MAX, len) != PORT_OK) {
        return say(why, path, "cannot be read");
    }
    return true;
}

static bool read_key(struct ingest *in,
                     struct admit_config *core,
                     uint8_t *pem,
                     struct port_why *why)
{
    size_t len = 0;
    if (!read_file(in, in->config.key_path, "keys/ingest/ingest.key", pem, &len, why)) {
        return false;
    }
    enum key_result result = key_from_pem(slice_of(pem, len), &in->key);
    wipe(pem, len);
    if (result != KEY_OK) {
        return say(why, "keys/ingest/ingest.key", "is not a private key");
    }
    struct key_public public = key_public_of(in->key);
    if (public.kind != KEY_P256) {
        return say(why, "keys/ingest/ingest.key", "is not a P-256 key");
    }
    struct digest digest = hash_of(slice_of(public.bytes, public.len));
    core->keys[0].key = in->key;
    memcpy(core->keys[0].id, digest.bytes, sizeof core->keys[0].id);
    core->keys_count = 1;
    return true;
}

static bool read_issuers(struct ingest *in,
                         struct admit_config *core,
                         uint8_t *pem,
                         struct port_why *why)
{
    size_t len = 0;
    if (!read_file(in, in->config.issuer_path, "pki/issuer.pem", pem, &len, why)) {
        return false;
    }
    struct slice rest = slice_of(pem, len);
    struct writer der = writer_over(in->issuers_der, INGEST_PEM_MAX);
    struct slice label = {0};
    struct slice bytes = {0};
    size_t count = 0;
    while (count < INGEST_ISSUERS_MAX && pem_next(&rest, &label, &der, &bytes) == PEM_OK) {
        if (!slice_is_text(label, "CERTIFICATE")
            || x509_parse(bytes, &in->issuers[count], NULL) != X509_OK) {
            return say(why, "pki/issuer.pem", "holds something that is not a certificate");
        }
        count++;
    }
    core->issuers = (struct chain_anchors){.list = in->issuers, .count = count};
    return count > 0 || say(why, "pki/issuer.pem", "holds no certificate");
}

static bool take_memory(struct ingest *in)
{
    in->issuers_der = calloc(1, INGEST_PEM_MAX);
    in->devices = calloc(INGEST_DEVICES_MAX, sizeof *in->devices);
    in->slots = calloc(INGEST_SLOTS, sizeof *in->slots);
    in->spills = calloc(INGEST_SPILLS_MAX, sizeof *in->spills);
    in->scratch = calloc(1, ADMIT_SCRATCH_BYTES);
    in->record = calloc(1, INGEST_RECORD_MAX);
    in->batch_received = calloc(in->config.batch_records, sizeof *in->batch_received);
    uint64_t seed = 0;
    port_entropy(in->port, &seed, sizeof seed);
    return in->issuers_der != NULL && in->devices != NULL && in->slots != NULL && in->spills != NULL
           && in->scratch != NULL && in->record != NULL && in->batch_received != NULL
           && ingest_series_init(&in->series, seed);
}

static bool start_core(struct ingest *in, struct port_why *why)
{
    struct admit_config core = {.domain = slice_text(in->config.domain)};
    struct admit_memory memory = {.devices = in->devices,
                                  .devices_cap = INGEST_DEVICES_MAX,
                                  .slots = in->slots,
                                  .slots_cap = INGEST_SLOTS,
                                  .spills = in->spills,
                                  .spills_cap = INGEST_SPILLS_MAX,
                                  .scratch = in->scratch};
    uint8_t *pem = malloc(INGEST_PEM_MAX);
    if (pem == NULL) {
        return say(why, "ingest", "no memory");
    }
    bool ok = read_key(in, &core, pem, why) && read_issuers(in, &core, pem, why);
    free(pem);
    if (ok) {
        port_entropy(in->port, &memory.seed, sizeof memory.seed);
        admit_init(&in->core, &core, &memory);
    }
    return ok;
}

static bool open_store(struct ingest *in, struct port_why *why)
{
    static const char *const folders[] = {"store", "run"};
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        if (!ingest_path(in, folders[i], "", "")
            || port_folder_make(in->port, in->paths) != PORT_OK) {
            return say(why, folders[i], "the folder cannot be made");
        }
    }
    if (!ingest_path(in, "store/applied", "", "")
        || port_file_open(in->port, in->paths, PORT_WRITE | PORT_CREATE, &in->applied) != PORT_OK) {
        return say(why, "store/applied", "cannot be made");
    }
    if (!ingest_path(in, "store/store.db", "", "")) {
        return say(why, "store/store.db", "the path is too long");
    }
    if (store_open(in->port, in->paths, NULL, &in->store, why) != STORE_OK) {
        return false;
    }
    in->waited_before = store_waiting_count(in->store);
    in->counts.outcomes[ADMIT_WAITING] = in->waited_before;
    in->committed = in->counts;
    return true;
}

static bool set_up(struct ingest *in, struct port_why *why)
{
    if (!take_memory(in)) {
        return say(why, "ingest", "no memory");
    }
    return start_core(in, why) && open_store(in, why);
}

struct ingest *ingest_open(struct port *port,
                           const struct ingest_config *config,
                           struct port_why *why)
{
    struct ingest *in = calloc(1, sizeof *in);
    if (in == NULL) {
        (void)say(why, "ingest", "no memory");
        return NULL;
    }
    in->port = port;
    in->config = *config;
    in->config.domain = config->domain != NULL ? config->domain : "holdfast.local";
    in->config.batch_records =
        config->batch_records != 0 ? config->batch_records : INGEST_BATCH_RECORDS;
    in->config.batch_ms = config->batch_ms != 0 ? config->batch_ms : INGEST_BATCH_MS;
    if (!set_up(in, why)) {
        ingest_close(in);
        return NULL;
    }
    ingest_trace_open(in);
    admit_check(&in->core);
    ingest_rescan(in);
    ingest_retry_waiting(in);
    return in;
}

void ingest_close(struct ingest *in)
{
    if (in == NULL) {
        return;
    }
    ingest_trace_close(in);
    for (uint32_t i = 0; i < in->sources_count; i++) {
        if (in->sources[i].reader != NULL) {
            bus_reader_close(in->sources[i].reader);
        }
    }
    if (in->applied != NULL) {
        port_file_close(in->applied);
    }
    store_close(in->store); /* an open batch is as if it had never begun */
    if (in->devices != NULL) {
        admit_wipe(&in->core);
    }
    key_free(in->key);
    ingest_series_free(&in->series);
    free(in->issuers_der);
    free(in->devices);
    free(in->slots);
    free(in->spills);
    free(in->scratch);
    free(in->record);
    free(in->batch_received);
    free(in);
}
