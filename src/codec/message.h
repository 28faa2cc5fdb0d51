/*
 * What a device sends, as docs/protocol/messages.cddl defines it: the hello, telemetry, and the
 * topics both travel on. No cryptography: what has to be signed or MAC'd is made of the protected
 * bytes, the topic (the external data) and the payload by cose_to_be_authenticated.
 */
#ifndef CODEC_MESSAGE_H
#define CODEC_MESSAGE_H

#include "base/fault.h"
#include "base/id.h"
#include "base/slice.h"
#include "base/writer.h"
#include "codec/cose.h"

enum {
    MESSAGE_VERSION = 1,
    MESSAGE_POINT_LEN = 65, /* an uncompressed P-256 point */
    MESSAGE_KEY_ID_LEN = 8, /* first bytes of SHA-256 of the ingest key's point */
    MESSAGE_AGENT_MAX = 95,
    MESSAGE_MAC_LEN = 32,
    MESSAGE_SALT_LEN = DEVICE_ID_LEN + 4,
    MESSAGE_STREAM_MAX = 64,
    MESSAGE_TOPIC_MAX = 5 + DEVICE_ID_TEXT_LEN + 3 + MESSAGE_STREAM_MAX,
    MESSAGE_LABEL_BOOT = -70001,
    MESSAGE_LABEL_SEQ = -70002
};

/* MAC key = HKDF-SHA-256(ECDH(ephemeral, ingest), message_mac_salt, MESSAGE_MAC_INFO), 32 bytes. */
#define MESSAGE_MAC_INFO "holdfast mac 1"
void message_mac_salt(const struct device_id *device,
                      uint32_t boot,
                      uint8_t salt[MESSAGE_SALT_LEN]);

enum message_result {
    MESSAGE_OK = 0,
    MESSAGE_MALFORMED,
    MESSAGE_UNSUPPORTED /* another algorithm, version or critical label */
};

/* ---- topics ---- */

enum message_topic_kind { TOPIC_HELLO = 1, TOPIC_TELEMETRY, TOPIC_JSON };

struct message_topic {
    enum message_topic_kind kind;
    struct device_id device;
    struct slice stream; /* of TELEMETRY and JSON: 1 to 64 of [A-Za-z0-9._-], the first no dot */
};

bool message_stream_is_valid(struct slice stream);
/* Slices in `out` borrow from `topic`. False for every topic that is not one of the three. */
MUST_USE bool message_topic_decode(struct slice topic, struct message_topic *out);
void message_topic_write(struct writer *w, const struct message_topic *topic);

/* ---- hello ---- */

struct hello_claims {
    uint32_t boot;
    uint64_t first; /* the first seq of this boot, at least 1 */
    uint8_t ephemeral[MESSAGE_POINT_LEN];
    uint8_t exporter_digest[DIGEST_LEN];
    uint64_t version;
    uint8_t ingest_key_id[MESSAGE_KEY_ID_LEN];
    struct slice agent; /* UTF-8, at most MESSAGE_AGENT_MAX bytes */
    bool has_oldest_unsent;
    uint64_t oldest_unsent;
};

/*
 * What a newer agent says and an older site does not know: a claim with a label below zero, or a
 * label of private use (RFC 9052 3.1: below -65536) in a protected header that `crit` does not
 * name, is passed over. Whatever else is unknown is refused.
 */
struct hello {
    struct hello_claims claims;
    struct slice chain[COSE_CHAIN_MAX]; /* certificates, leaf first */
    size_t chain_count;
    bool has_additions;       /* of a newer agent, passed over */
    struct cose_message cose; /* what the signature is over, and the signature */
};

/* Nothing in it is to be believed before the signature was verified with the leaf's key. */
MUST_USE enum message_result hello_decode(struct slice bytes,
                                          struct hello *out,
                                          struct fault *fault);
void hello_protected_write(struct writer *w, const struct slice *chain, size_t count);
void hello_claims_write(struct writer *w, const struct hello_claims *claims);

/* ---- telemetry ---- */

struct telemetry {
    uint32_t boot;
    uint64_t seq;             /* at least 1 */
    bool has_additions;       /* of a newer agent, passed over */
    struct cose_message cose; /* payload: a SenML pack in CBOR */
};

/* Nothing in it is to be believed before the MAC was verified. */
MUST_USE enum message_result telemetry_decode(struct slice bytes,
                                              struct telemetry *out,
                                              struct fault *fault);
void telemetry_protected_write(struct writer *w, uint32_t boot, uint64_t seq);

#endif
