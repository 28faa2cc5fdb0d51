/*
 * Making what a device sends: the hello with the device's signature, telemetry with its MAC. Whole
 * messages out of claims, keys and payloads; knows neither when to send nor where.
 */
#ifndef CORE_DEVICE_SEAL_H
#define CORE_DEVICE_SEAL_H

#include "codec/message.h"
#include "crypto/hash.h"
#include "crypto/key.h"

enum {
    SEAL_TELEMETRY_OVERHEAD =
        128,              /* a telemetry message is at most so much longer than its payload */
    SEAL_HELLO_MAX = 4096 /* with one certificate of usual size */
};

/* The MAC key of this boot and this ingest key. */
MUST_USE enum key_result seal_mac_key(const struct key_private *ephemeral,
                                      const struct key_public *ingest,
                                      const struct device_id *device,
                                      uint32_t boot,
                                      struct mac_key *out);

/* First 8 bytes of SHA-256 of the point. */
void seal_ingest_key_id(const struct key_public *ingest, uint8_t out[MESSAGE_KEY_ID_LEN]);

MUST_USE enum key_result seal_hello(struct writer *w,
                                    const struct key_private *key,
                                    struct slice certificate,
                                    struct slice topic,
                                    const struct hello_claims *claims);

void seal_telemetry(struct writer *w,
                    const struct mac_key *key,
                    struct slice topic,
                    uint32_t boot,
                    uint64_t seq,
                    struct slice payload);

#endif
