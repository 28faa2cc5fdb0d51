/*
 * The trust list (docs/protocol/messages.cddl): which ingest keys a device encrypts for and which
 * CAs issue devices, numbered, signed by the trust key under the root.
 */
#ifndef TRUST_TRUST_LIST_H
#define TRUST_TRUST_LIST_H

#include "base/fault.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/x509.h"
#include "trust/chain.h"

#define TRUST_LIST_SIGNER "holdfast trust" /* the signing certificate's common name */

enum {
    TRUST_INGEST_KEYS_MAX = 4,
    TRUST_ISSUERS_MAX = 4,
    TRUST_LIST_MAX = 32768,
    TRUST_RETRY_MAX_MS = 3600000
};

struct trust_list {
    uint64_t number; /* only rises: the receiver compares it with the last it accepted */
    struct slice ingest_keys[TRUST_INGEST_KEYS_MAX]; /* uncompressed P-256 points, newest first */
    size_t ingest_keys_count;
    struct slice issuers[TRUST_ISSUERS_MAX]; /* certificates, DER */
    size_t issuers_count;
    /* A hint for who has lost its gateway, or comes back after a power cut: connections are spread
     * over `retry_slots` slots of `retry_slot_ms`. 0: the site gives none. At most an hour in all.
     */
    uint32_t retry_slots, retry_slot_ms;
    int64_t valid_from_ms, valid_to_ms; /* when all certificates of its own chain are valid */
};

enum trust_list_result {
    TRUST_LIST_OK = 0,
    TRUST_LIST_MALFORMED,
    TRUST_LIST_REFUSED, /* not signed under the root */
    TRUST_LIST_FAILED
};

/*
 * Verifies chain and signature and gives what it says; slices borrow from `bytes`. The signing
 * certificate must be `root`-issued with keyUsage digitalSignature and common name "holdfast
 * trust".
 */
MUST_USE enum trust_list_result trust_list_verify(struct slice bytes,
                                                  const struct chain_anchors *root,
                                                  bool no_time,
                                                  int64_t at_ms,
                                                  struct trust_list *out,
                                                  struct fault *fault);

/* The payload: the map of messages.cddl. */
MUST_USE bool trust_list_payload_write(struct writer *w, const struct trust_list *list);
MUST_USE bool trust_list_payload_parse(struct slice payload,
                                       struct trust_list *out,
                                       struct fault *fault);

/* The protected header that names the certificate of the trust key, and the Sig_structure (RFC
 * 9052 4.4) to sign. */
void trust_list_header_write(struct writer *w, struct slice certificate);
void trust_list_input_write(struct writer *w, struct slice header, struct slice payload);

/* Takes a Sig_structure apart again, for whoever is asked to sign it: false where it is not one of
 * a trust list. */
MUST_USE bool trust_list_input_parse(struct slice input,
                                     struct slice *certificate,
                                     struct slice *payload,
                                     struct fault *fault);

#endif
