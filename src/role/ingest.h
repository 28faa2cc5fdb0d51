/*
 * The ingest role: reads the journals of all gateways, lets core/ingest decide what each record is
 * worth, and commits points, received sets and cursors in one transaction a batch. Then, and only
 * then, it tells the gateways how far it is and touches DATA/store/applied. It listens nowhere.
 */
#ifndef ROLE_INGEST_H
#define ROLE_INGEST_H

#include "role/confine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ingest_config {
    const char
        *data_dir; /* reads data_dir/gateway/NAME/spool, writes data_dir/store and data_dir/run */
    const char
        *key_path; /* its P-256 key agreement key, PEM; NULL: data_dir/keys/ingest/ingest.key */
    const char
        *issuer_path;   /* CA certificates that issue devices, PEM; NULL: data_dir/pki/issuer.pem */
    const char *domain; /* of spiffe://DOMAIN/device/ID; NULL: holdfast.local */
    uint32_t batch_records;      /* records a transaction; 0: 8,192 */
    uint32_t batch_ms;           /* a batch that is not full is committed after this long; 0: 20 */
    int64_t retain_ms;           /* points older than this are deleted; 0: never */
    enum confine_policy sandbox; /* of ingest_run */
};

/* Runs until SIGTERM or SIGINT. The process's exit code: 0, or 1 with one line on stderr. */
int ingest_run(const struct ingest_config *config);

/* The same in two halves, where the loop is somebody else's: see gateway_begin in role/gateway.h.
 */
struct ingest_process;
int ingest_begin(const struct ingest_config *config, struct ingest_process **out);
int ingest_end(struct ingest_process *process);

#endif
