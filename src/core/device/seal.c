#include "core/device/seal.h"

#include "base/invariant.h"

#include <string.h>

enum { HEADER_MAX = 48, CLAIMS_MAX = 320, PROTECTED_MAX = 3072 };

enum key_result seal_mac_key(const struct key_private *ephemeral,
                             const struct key_public *ingest,
                             const struct device_id *device,
                             uint32_t boot,
                             struct mac_key *out)
{
    uint8_t shared[SHARED_LEN];
    uint8_t salt[MESSAGE_SALT_LEN];
    uint8_t secret[MAC_LEN];
    enum key_result result = key_agree(ephemeral, ingest, shared);
    if (result == KEY_OK) {
        message_mac_salt(device, boot, salt);
        hkdf(slice_of(shared, sizeof shared), slice_of(salt, sizeof salt),
             slice_text(MESSAGE_MAC_INFO), secret, sizeof secret);
        mac_key_init(out, slice_of(secret, sizeof secret));
    }
    wipe(shared, sizeof shared);
    wipe(secret, sizeof secret);
    return result;
}

void seal_ingest_key_id(const struct key_public *ingest, uint8_t out[MESSAGE_KEY_ID_LEN])
{
    struct digest digest = hash_of(slice_of(ingest->bytes, ingest->len));
    memcpy(out, digest.bytes, MESSAGE_KEY_ID_LEN);
}

enum key_result seal_hello(struct writer *w,
                           const struct key_private *key,
                           struct slice certificate,
                           struct slice topic,
                           const struct hello_claims *claims)
{
    uint8_t header[PROTECTED_MAX];
    uint8_t payload[CLAIMS_MAX];
    uint8_t signature[SIGNATURE_LEN];
    struct cose_input input;
    struct writer header_writer = writer_over(header, sizeof header);
    struct writer payload_writer = writer_over(payload, sizeof payload);
    hello_protected_write(&header_writer, &certificate, 1);
    hello_claims_write(&payload_writer, claims);
    if (!writer_ok(&header_writer) || !writer_ok(&payload_writer)) {
        return KEY_MALFORMED; /* a certificate that is too long */
    }
    cose_to_be_authenticated(&input, COSE_SIGN1, writer_slice(&header_writer), topic,
                             writer_slice(&payload_writer));
    enum key_result result = key_sign(key, input.parts, COSE_PARTS, signature);
    if (result == KEY_OK) { /* COVERAGE(the library has no memory) */
        cose_write(w, COSE_SIGN1, writer_slice(&header_writer), writer_slice(&payload_writer),
                   slice_of(signature, sizeof signature));
    }
    return result;
}

void seal_telemetry(struct writer *w,
                    const struct mac_key *key,
                    struct slice topic,
                    uint32_t boot,
                    uint64_t seq,
                    struct slice payload)
{
    uint8_t header[HEADER_MAX];
    uint8_t mac[MAC_LEN];
    struct cose_input input;
    struct writer header_writer = writer_over(header, sizeof header);
    telemetry_protected_write(&header_writer, boot, seq);
    INVARIANT(writer_ok(&header_writer));
    cose_to_be_authenticated(&input, COSE_MAC0, writer_slice(&header_writer), topic, payload);
    mac_of(key, input.parts, COSE_PARTS, mac);
    cose_write(w, COSE_MAC0, writer_slice(&header_writer), payload, slice_of(mac, sizeof mac));
}
