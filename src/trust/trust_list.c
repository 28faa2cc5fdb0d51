#include "trust/trust_list.h"

#include "codec/cbor.h"
#include "codec/cose.h"
#include "crypto/key.h"

static const char external_aad[] = "holdfast trust 1";
static const char context_text[] = "Signature1"; /* RFC 9052 4.4 */

enum {
    LABEL_NUMBER = 1,
    LABEL_INGEST_KEYS = 2,
    LABEL_ISSUERS = 3,
    LABEL_RETRY = 4,
    HEADER_MAX = X509_CERTIFICATE_MAX + 64
};

static struct slice aad(void)
{
    return slice_text(external_aad);
}

bool trust_list_payload_write(struct writer *w, const struct trust_list *list)
{
    bool has_hint = list->retry_slots > 0;
    cbor_write_map(w, has_hint ? 4 : 3);
    cbor_write_u64(w, LABEL_NUMBER);
    cbor_write_u64(w, list->number);
    cbor_write_u64(w, LABEL_INGEST_KEYS);
    cbor_write_array(w, list->ingest_keys_count);
    for (size_t i = 0; i < list->ingest_keys_count; i++) {
        cbor_write_bytes(w, list->ingest_keys[i]);
    }
    cbor_write_u64(w, LABEL_ISSUERS);
    cbor_write_array(w, list->issuers_count);
    for (size_t i = 0; i < list->issuers_count; i++) {
        cbor_write_bytes(w, list->issuers[i]);
    }
    if (has_hint) {
        cbor_write_u64(w, LABEL_RETRY);
        cbor_write_array(w, 2);
        cbor_write_u64(w, list->retry_slots);
        cbor_write_u64(w, list->retry_slot_ms);
    }
    return writer_ok(w);
}

/* An array of one to `cap` byte strings. */
static size_t read_strings(struct cbor_reader *r, struct slice *to, size_t cap)
{
    uint64_t count = cbor_enter_array(r);
    if (count == 0 || count > cap) {
        cbor_fail(r, "trust list: not a list of one to four");
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[i] = cbor_read_bytes(r);
    }
    return (size_t)count;
}

/* [slots, slot in ms], together more than nothing and at most an hour. */
static void read_retry(struct cbor_reader *r, struct trust_list *list)
{
    uint64_t count = cbor_enter_array(r);
    uint64_t slots = cbor_read_u64(r);
    uint64_t slot_ms = cbor_read_u64(r);
    if (count != 2 || slots == 0 || slot_ms == 0 || slots > TRUST_RETRY_MAX_MS
        || slot_ms > TRUST_RETRY_MAX_MS || slots * slot_ms > TRUST_RETRY_MAX_MS) {
        cbor_fail(r, "trust list: the hint is no number of slots within an hour");
        return;
    }
    list->retry_slots = (uint32_t)slots;
    list->retry_slot_ms = (uint32_t)slot_ms;
}

static bool are_points(const struct trust_list *list)
{
    for (size_t i = 0; i < list->ingest_keys_count; i++) {
        struct key_public key;
        if (key_public_from_bytes(KEY_P256, list->ingest_keys[i], &key) != KEY_OK) {
            return false;
        }
    }
    return true;
}

bool trust_list_payload_parse(struct slice payload, struct trust_list *out, struct fault *fault)
{
    struct trust_list list = {0};
    struct cbor_reader r = cbor_over(payload, CBOR_DETERMINISTIC);
    struct cbor_map map = cbor_enter_map(&r);
    while (cbor_next_key(&r, &map)) {
        switch (cbor_read_i64(&r)) {
        case LABEL_NUMBER: list.number = cbor_read_u64(&r); break;
        case LABEL_INGEST_KEYS:
            list.ingest_keys_count = read_strings(&r, list.ingest_keys, TRUST_INGEST_KEYS_MAX);
            break;
        case LABEL_ISSUERS:
            list.issuers_count = read_strings(&r, list.issuers, TRUST_ISSUERS_MAX);
            break;
        case LABEL_RETRY: read_retry(&r, &list); break;
        default: cbor_fail(&r, "trust list: a label that is not known"); break;
        }
    }
    if (!cbor_done(&r)) {
        fault_note(fault, r.fault.clause != NULL ? r.fault.clause : "trust list: not one map",
                   r.fault.at);
        return false;
    }
    if (list.number == 0 || list.ingest_keys_count == 0 || list.issuers_count == 0
        || !are_points(&list)) {
        fault_note(
            fault,
            "trust list: number, ingest keys or issuers are missing, or a key is no point of P-256",
            0);
        return false;
    }
    *out = list;
    return true;
}

void trust_list_header_write(struct writer *w, struct slice certificate)
{
    cbor_write_map(w, 2);
    cbor_write_i64(w, COSE_ALG);
    cbor_write_i64(w, COSE_ES256);
    cbor_write_i64(w, COSE_X5CHAIN);
    cose_chain_write(w, &certificate, 1);
}

void trust_list_input_write(struct writer *w, struct slice header, struct slice payload)
{
    cbor_write_array(w, 4);
    cbor_write_text(w, slice_text(context_text));
    cbor_write_bytes(w, header);
    cbor_write_bytes(w, aad());
    cbor_write_bytes(w, payload);
}

static bool certificate_of(struct slice header, struct slice chain[COSE_CHAIN_MAX], size_t *count)
{
    struct slice value = {0};
    return cose_header_find(header, COSE_X5CHAIN, &value) && cose_chain_decode(value, chain, count);
}

bool trust_list_input_parse(struct slice input,
                            struct slice *certificate,
                            struct slice *payload,
                            struct fault *fault)
{
    struct cbor_reader r = cbor_over(input, CBOR_DETERMINISTIC);
    uint64_t count = cbor_enter_array(&r);
    struct slice context = cbor_read_text(&r);
    struct slice header = cbor_read_bytes(&r);
    struct slice external = cbor_read_bytes(&r);
    struct slice body = cbor_read_bytes(&r);
    if (!cbor_done(&r) || count != 4 || !slice_is_text(context, context_text)
        || !slice_equal(external, aad())) {
        fault_note(fault, "RFC 9052 4.4: not the Sig_structure of a trust list", 0);
        return false;
    }
    struct slice chain[COSE_CHAIN_MAX];
    size_t chain_count = 0;
    uint8_t wanted_bytes[HEADER_MAX];
    struct writer wanted = writer_over(wanted_bytes, sizeof wanted_bytes);
    if (!certificate_of(header, chain, &chain_count) || chain_count != 1) {
        fault_note(fault, "trust list: the header does not name one certificate", 0);
        return false;
    }
    trust_list_header_write(&wanted, chain[0]);
    if (!slice_equal(writer_slice(&wanted), header)) {
        fault_note(fault, "trust list: the header says more than algorithm and certificate", 0);
        return false;
    }
    *certificate = chain[0];
    *payload = body;
    return true;
}

static enum trust_list_result refuse(enum trust_list_result result,
                                     const char *clause,
                                     struct fault *fault)
{
    fault_note(fault, clause, 0);
    return result;
}

/* Whose signature it is: a certificate for this and nothing else, under the root. */
static enum trust_list_result check_signer(const struct x509 *certs,
                                           size_t count,
                                           const struct chain_anchors *root,
                                           const struct chain_policy *policy,
                                           struct fault *fault)
{
    switch (chain_verify(certs, count, root, policy, fault)) {
    case CHAIN_OK: break;
    case CHAIN_FAILED: return TRUST_LIST_FAILED;
    case CHAIN_NO_ANCHOR:
    case CHAIN_BAD_SIGNATURE:
    case CHAIN_NOT_YET_VALID:
    case CHAIN_EXPIRED:
    case CHAIN_NOT_A_CA:
    case CHAIN_TOO_LONG:
    case CHAIN_WRONG_PURPOSE:
    case CHAIN_UNKNOWN_CRITICAL: return TRUST_LIST_REFUSED;
    }
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): CHAIN_OK: there is a first */
    bool is_named = slice_is_text(certs[0].subject_common_name, TRUST_LIST_SIGNER);
    if (!is_named || !certs[0].extensions.has_key_usage || certs[0].extensions.has_ext_key_usage) {
        return refuse(TRUST_LIST_REFUSED, "trust list: signed by a certificate that is not for it",
                      fault);
    }
    return TRUST_LIST_OK;
}

static enum trust_list_result check_signature(const struct cose_message *message,
                                              const struct x509 *signer,
                                              struct fault *fault)
{
    struct key_public key;
    struct cose_input input;
    if (key_public_from_bytes((enum key_kind)signer->key_kind, signer->public_key, &key) != KEY_OK
        || key.kind != KEY_P256) {
        return refuse(TRUST_LIST_REFUSED, "trust list: the signer's key is not of P-256", fault);
    }
    cose_to_be_authenticated(&input, COSE_SIGN1, message->protected_header, aad(),
                             message->payload);
    switch (key_verify_once(&key, input.parts, COSE_PARTS, message->tag)) {
    case KEY_OK: return TRUST_LIST_OK;
    case KEY_FAILED: return TRUST_LIST_FAILED;
    case KEY_MALFORMED:
    case KEY_REFUSED: break;
    }
    return refuse(TRUST_LIST_REFUSED, "trust list: the signature does not verify", fault);
}

static void note_validity(const struct x509 *certs, size_t count, struct trust_list *out)
{
    out->valid_from_ms = INT64_MIN;
    out->valid_to_ms = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (certs[i].not_before_ms > out->valid_from_ms) {
            out->valid_from_ms = certs[i].not_before_ms;
        }
        if (certs[i].not_after_ms < out->valid_to_ms) {
            out->valid_to_ms = certs[i].not_after_ms;
        }
    }
}

enum trust_list_result trust_list_verify(struct slice bytes,
                                         const struct chain_anchors *root,
                                         bool no_time,
                                         int64_t at_ms,
                                         struct trust_list *out,
                                         struct fault *fault)
{
    struct cose_message message;
    struct slice chain[COSE_CHAIN_MAX];
    struct x509 certs[COSE_CHAIN_MAX];
    size_t count = 0;
    struct chain_policy policy = {
        .no_time = no_time, .at_ms = at_ms, .key_usage = X509_DIGITAL_SIGNATURE};
    if (cose_decode(COSE_SIGN1, bytes, NULL, 0, &message, fault) != COSE_OK) {
        return TRUST_LIST_MALFORMED;
    }
    if (!message.has_alg || message.alg != COSE_ES256
        || !certificate_of(message.protected_header, chain, &count)) {
        return refuse(TRUST_LIST_MALFORMED, "trust list: the header is not ES256 with an x5chain",
                      fault);
    }
    for (size_t i = 0; i < count; i++) {
        if (x509_parse(chain[i], &certs[i], fault) != X509_OK) {
            return TRUST_LIST_MALFORMED;
        }
    }
    enum trust_list_result result = check_signer(certs, count, root, &policy, fault);
    result = result == TRUST_LIST_OK ? check_signature(&message, &certs[0], fault) : result;
    if (result == TRUST_LIST_OK && !trust_list_payload_parse(message.payload, out, fault)) {
        result = TRUST_LIST_MALFORMED;
    }
    if (result == TRUST_LIST_OK) {
        note_validity(certs, count, out);
    }
    return result;
}
