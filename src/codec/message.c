#include "codec/message.h"

#include "base/reader.h"
#include "codec/cbor.h"

#include <string.h>

/* ---- topics: hf/1/D/hello, hf/1/D/t/STREAM, hf/1/D/j/STREAM ---- */

static const char prefix[] = "hf/1/";

static bool is_stream_byte(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.'
           || c == '_' || c == '-';
}

bool message_stream_is_valid(struct slice stream)
{
    if (stream.len == 0 || stream.len > MESSAGE_STREAM_MAX || stream.at[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < stream.len; i++) {
        if (!is_stream_byte(stream.at[i])) {
            return false;
        }
    }
    return true;
}

bool message_topic_decode(struct slice topic, struct message_topic *out)
{
    struct message_topic found = {0};
    struct reader r = reader_over(topic);
    struct slice start = read_bytes(&r, sizeof prefix - 1);
    struct slice device = read_bytes(&r, DEVICE_ID_TEXT_LEN);
    if (!reader_ok(&r) || !slice_is_text(start, prefix)
        || !device_id_from_text(device, &found.device)) {
        return false;
    }
    if (slice_is_text(r.rest, "/hello")) {
        found.kind = TOPIC_HELLO;
        *out = found;
        return true;
    }
    struct slice channel = read_bytes(&r, 3);
    if (slice_is_text(channel, "/t/")) {
        found.kind = TOPIC_TELEMETRY;
    } else if (slice_is_text(channel, "/j/")) {
        found.kind = TOPIC_JSON;
    } else {
        return false;
    }
    found.stream = r.rest;
    if (!message_stream_is_valid(found.stream)) {
        return false;
    }
    *out = found;
    return true;
}

void message_topic_write(struct writer *w, const struct message_topic *topic)
{
    write_text(w, prefix);
    device_id_write_text(w, &topic->device);
    switch (topic->kind) {
    case TOPIC_HELLO: write_text(w, "/hello"); return;
    case TOPIC_TELEMETRY: write_text(w, "/t/"); break;
    case TOPIC_JSON: write_text(w, "/j/"); break;
    }
    write_slice(w, topic->stream);
}

void message_mac_salt(const struct device_id *device, uint32_t boot, uint8_t salt[MESSAGE_SALT_LEN])
{
    struct writer w = writer_over(salt, MESSAGE_SALT_LEN);
    write_bytes(&w, device->bytes, sizeof device->bytes);
    write_u32(&w, boot);
}

/* ---- what both have in common ---- */

static const int64_t our_labels[] = {MESSAGE_LABEL_BOOT, MESSAGE_LABEL_SEQ};

static enum message_result unwrap(enum cose_kind kind,
                                  int64_t alg,
                                  size_t tag_len,
                                  struct slice bytes,
                                  struct cose_message *out,
                                  struct fault *fault)
{
    enum cose_result result =
        cose_decode(kind, bytes, our_labels, COUNT_OF(our_labels), out, fault);
    if (result != COSE_OK) {
        return result == COSE_UNKNOWN_CRITICAL ? MESSAGE_UNSUPPORTED : MESSAGE_MALFORMED;
    }
    if (!out->has_alg || out->alg != alg) {
        fault_note(fault, "another algorithm than this message's", 0);
        return MESSAGE_UNSUPPORTED;
    }
    if (out->tag.len != tag_len) {
        fault_note(fault, "a signature or MAC of another length than the algorithm's", 0);
        return MESSAGE_MALFORMED;
    }
    if (out->unprotected_header.len != 1) {
        fault_note(fault, "an unprotected header that is not empty", 0);
        return MESSAGE_MALFORMED;
    }
    return MESSAGE_OK;
}

enum { PRIVATE_USE_BELOW = -65536 }; /* RFC 9052 3.1 */

/* A label of a protected header that is none of ours: `crit` was held against what we know already,
 * so that one of private use may be passed over. */
static void pass_over(struct cbor_reader *r, int64_t label, bool *has_additions)
{
    if (label >= PRIVATE_USE_BELOW && label != COSE_CRIT) {
        cbor_fail(r, "an unknown label in the protected header");
        return;
    }
    *has_additions = true;
    (void)cbor_skip(r);
}

static enum message_result ended(struct cbor_reader *r, struct fault *fault)
{
    if (!cbor_done(r)) {
        fault_note(fault, r->fault.clause, r->fault.at);
        return MESSAGE_MALFORMED;
    }
    return MESSAGE_OK;
}

/* ---- hello ---- */

enum {
    CLAIM_BOOT = 1,
    CLAIM_FIRST,
    CLAIM_EPHEMERAL,
    CLAIM_EXPORTER,
    CLAIM_VERSION,
    CLAIM_INGEST_KEY,
    CLAIM_AGENT,
    CLAIM_OLDEST,
    CLAIMS_REQUIRED = CLAIM_AGENT,
    ES256_LEN = 64
};

static void copy_to(uint8_t *to, struct slice bytes)
{
    if (bytes.len > 0) {
        memcpy(to, bytes.at, bytes.len);
    }
}

static void read_claim(struct cbor_reader *r,
                       int64_t label,
                       struct hello_claims *out,
                       bool *has_additions)
{
    if (label < 0) {
        *has_additions = true;
        (void)cbor_skip(r);
        return;
    }
    switch (label) {
    case CLAIM_BOOT: out->boot = (uint32_t)cbor_read_u64_most(r, UINT32_MAX); break;
    case CLAIM_FIRST: out->first = cbor_read_u64(r); break;
    case CLAIM_EPHEMERAL: copy_to(out->ephemeral, cbor_read_bytes_of(r, MESSAGE_POINT_LEN)); break;
    case CLAIM_EXPORTER: copy_to(out->exporter_digest, cbor_read_bytes_of(r, DIGEST_LEN)); break;
    case CLAIM_VERSION: out->version = cbor_read_u64(r); break;
    case CLAIM_INGEST_KEY:
        copy_to(out->ingest_key_id, cbor_read_bytes_of(r, MESSAGE_KEY_ID_LEN));
        break;
    case CLAIM_AGENT: out->agent = cbor_read_text(r); break;
    case CLAIM_OLDEST:
        out->oldest_unsent = cbor_read_u64(r);
        out->has_oldest_unsent = true;
        break;
    default: cbor_fail(r, "an unknown claim that may not be passed over"); break;
    }
}

static enum message_result claims_decode(struct slice payload,
                                         struct hello_claims *out,
                                         bool *has_additions,
                                         struct fault *fault)
{
    struct cbor_reader r = cbor_over(payload, CBOR_DETERMINISTIC);
    struct cbor_map map = cbor_enter_map(&r);
    int64_t required = 0;
    while (cbor_next_key(&r, &map)) {
        int64_t label = cbor_read_i64(&r);
        required += label >= CLAIM_BOOT && label <= CLAIMS_REQUIRED;
        read_claim(&r, label, out, has_additions);
    }
    if (cbor_ok(&r) && required != CLAIMS_REQUIRED) {
        cbor_fail(&r, "a claim is missing");
    }
    if (cbor_ok(&r) && (out->boot == 0 || out->first == 0)) {
        cbor_fail(&r, "a boot or a seq of zero");
    }
    if (cbor_ok(&r) && (out->agent.len == 0 || out->agent.len > MESSAGE_AGENT_MAX)) {
        cbor_fail(&r, "an agent's name that is empty or too long");
    }
    enum message_result result = ended(&r, fault);
    if (result == MESSAGE_OK && out->version != MESSAGE_VERSION) {
        fault_note(fault, "another version of the protocol", 0);
        return MESSAGE_UNSUPPORTED;
    }
    return result;
}

static enum message_result hello_protected_decode(struct slice header,
                                                  struct hello *out,
                                                  struct fault *fault)
{
    struct cbor_reader r = cbor_over(header, CBOR_DETERMINISTIC);
    struct cbor_map map = cbor_enter_map(&r);
    while (cbor_next_key(&r, &map)) {
        int64_t label = cbor_read_i64(&r);
        switch (label) {
        case COSE_ALG: (void)cbor_read_i64(&r); break;
        case COSE_X5CHAIN:
            if (!cose_chain_decode(cbor_skip(&r), out->chain, &out->chain_count)) {
                cbor_fail(&r, "an x5chain that is no chain of certificates");
            }
            break;
        default: pass_over(&r, label, &out->has_additions); break;
        }
    }
    if (cbor_ok(&r) && out->chain_count == 0) {
        cbor_fail(&r, "no x5chain in the protected header");
    }
    return ended(&r, fault);
}

enum message_result hello_decode(struct slice bytes, struct hello *out, struct fault *fault)
{
    struct hello hello = {0};
    enum message_result result =
        unwrap(COSE_SIGN1, COSE_ES256, ES256_LEN, bytes, &hello.cose, fault);
    if (result == MESSAGE_OK) {
        result = hello_protected_decode(hello.cose.protected_header, &hello, fault);
    }
    if (result == MESSAGE_OK) {
        result = claims_decode(hello.cose.payload, &hello.claims, &hello.has_additions, fault);
    }
    if (result == MESSAGE_OK) {
        *out = hello;
    }
    return result;
}

void hello_protected_write(struct writer *w, const struct slice *chain, size_t count)
{
    cbor_write_map(w, 2);
    cbor_write_i64(w, COSE_ALG);
    cbor_write_i64(w, COSE_ES256);
    cbor_write_i64(w, COSE_X5CHAIN);
    cose_chain_write(w, chain, count);
}

void hello_claims_write(struct writer *w, const struct hello_claims *claims)
{
    cbor_write_map(w, CLAIMS_REQUIRED + (claims->has_oldest_unsent ? 1 : 0));
    cbor_write_i64(w, CLAIM_BOOT);
    cbor_write_u64(w, claims->boot);
    cbor_write_i64(w, CLAIM_FIRST);
    cbor_write_u64(w, claims->first);
    cbor_write_i64(w, CLAIM_EPHEMERAL);
    cbor_write_bytes(w, slice_of(claims->ephemeral, sizeof claims->ephemeral));
    cbor_write_i64(w, CLAIM_EXPORTER);
    cbor_write_bytes(w, slice_of(claims->exporter_digest, sizeof claims->exporter_digest));
    cbor_write_i64(w, CLAIM_VERSION);
    cbor_write_u64(w, claims->version);
    cbor_write_i64(w, CLAIM_INGEST_KEY);
    cbor_write_bytes(w, slice_of(claims->ingest_key_id, sizeof claims->ingest_key_id));
    cbor_write_i64(w, CLAIM_AGENT);
    cbor_write_text(w, claims->agent);
    if (claims->has_oldest_unsent) {
        cbor_write_i64(w, CLAIM_OLDEST);
        cbor_write_u64(w, claims->oldest_unsent);
    }
}

/* ---- telemetry ---- */

static enum message_result telemetry_protected_decode(struct slice header,
                                                      struct telemetry *out,
                                                      struct fault *fault)
{
    struct cbor_reader r = cbor_over(header, CBOR_DETERMINISTIC);
    struct cbor_map map = cbor_enter_map(&r);
    while (cbor_next_key(&r, &map)) {
        int64_t label = cbor_read_i64(&r);
        switch (label) {
        case COSE_ALG: (void)cbor_read_i64(&r); break;
        case MESSAGE_LABEL_BOOT: out->boot = (uint32_t)cbor_read_u64_most(&r, UINT32_MAX); break;
        case MESSAGE_LABEL_SEQ: out->seq = cbor_read_u64(&r); break;
        default: pass_over(&r, label, &out->has_additions); break;
        }
    }
    if (cbor_ok(&r) && (out->boot == 0 || out->seq == 0)) {
        cbor_fail(&r, "no boot or no seq, or one of zero");
    }
    return ended(&r, fault);
}

enum message_result telemetry_decode(struct slice bytes, struct telemetry *out, struct fault *fault)
{
    struct telemetry telemetry = {0};
    enum message_result result =
        unwrap(COSE_MAC0, COSE_HMAC_256, MESSAGE_MAC_LEN, bytes, &telemetry.cose, fault);
    if (result == MESSAGE_OK) {
        result = telemetry_protected_decode(telemetry.cose.protected_header, &telemetry, fault);
    }
    if (result == MESSAGE_OK) {
        *out = telemetry;
    }
    return result;
}

void telemetry_protected_write(struct writer *w, uint32_t boot, uint64_t seq)
{
    cbor_write_map(w, 3);
    cbor_write_i64(w, COSE_ALG);
    cbor_write_i64(w, COSE_HMAC_256);
    cbor_write_i64(w, MESSAGE_LABEL_BOOT);
    cbor_write_u64(w, boot);
    cbor_write_i64(w, MESSAGE_LABEL_SEQ);
    cbor_write_u64(w, seq);
}
