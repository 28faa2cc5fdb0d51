#include "codec/cose.h"

#include "base/invariant.h"
#include "codec/cbor.h"

#include <assert.h>

static const int64_t always_understood[] = {COSE_ALG, COSE_CONTENT_TYPE, COSE_KID, COSE_X5CHAIN};

static bool is_among(int64_t label, const int64_t *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (labels[i] == label) {
            return true;
        }
    }
    return false;
}

/* Stands before a label (int or tstr, RFC 9052 1.4): its number, or false having skipped the pair.
 */
static bool next_label(struct cbor_reader *r, struct cbor_map *map, bool *is_number, int64_t *label)
{
    if (!cbor_next_key(r, map)) {
        return false;
    }
    enum cbor_kind kind = cbor_peek(r);
    *is_number = kind == CBOR_UINT || kind == CBOR_NINT;
    *label = 0;
    if (*is_number) {
        *label = cbor_read_i64(r);
    } else {
        (void)cbor_read_text(r);
    }
    return cbor_ok(r);
}

bool cose_header_find(struct slice header, int64_t label, struct slice *value)
{
    if (header.len == 0) {
        return false;
    }
    struct cbor_reader r = cbor_over(header, CBOR_ANY);
    struct cbor_map map = cbor_enter_map(&r);
    bool is_number;
    int64_t found;
    while (next_label(&r, &map, &is_number, &found)) {
        struct slice at = cbor_skip(&r);
        if (is_number && found == label && cbor_ok(&r)) {
            *value = at;
            return true;
        }
    }
    return false;
}

/* Is this key, as it is encoded or spelt otherwise, a key of the other header? */
static bool is_in_other(struct slice header, bool is_number, int64_t label, struct slice key)
{
    struct slice value;
    if (is_number) {
        return cose_header_find(header, label, &value);
    }
    struct cbor_reader mine = cbor_over(key, CBOR_ANY);
    struct slice text = cbor_read_text(&mine);
    struct cbor_reader r = cbor_over(header, CBOR_ANY);
    struct cbor_map map = header.len > 0 ? cbor_enter_map(&r) : (struct cbor_map){0};
    while (cbor_next_key(&r, &map)) {
        struct slice other = cbor_peek(&r) == CBOR_TEXT ? cbor_read_text(&r) : (struct slice){0};
        if (other.at != NULL && slice_equal(other, text)) {
            return true;
        }
        if (other.at == NULL) {
            (void)cbor_skip(&r);
        }
        (void)cbor_skip(&r);
    }
    return false;
}

struct understood {
    const int64_t *labels;
    size_t count;
};

static bool crit_holds(struct slice value, struct slice header, const struct understood *known)
{
    struct cbor_reader r = cbor_over(value, CBOR_ANY);
    uint64_t count = cbor_enter_array(&r);
    for (uint64_t i = 0; i < count && cbor_ok(&r); i++) {
        if (cbor_peek(&r) != CBOR_UINT && cbor_peek(&r) != CBOR_NINT) {
            return false; /* text labels: none is known here */
        }
        int64_t label = cbor_read_i64(&r);
        struct slice present;
        if (!cose_header_find(header, label, &present)
            || (!is_among(label, always_understood, COUNT_OF(always_understood))
                && !is_among(label, known->labels, known->count))) {
            return false;
        }
    }
    return cbor_done(&r);
}

static enum cose_result check_protected(struct cose_message *m,
                                        const struct understood *known,
                                        struct fault *fault)
{
    if (m->protected_header.len == 0) {
        return COSE_OK;
    }
    struct cbor_reader r = cbor_over(m->protected_header, CBOR_ANY);
    struct cbor_map map = cbor_enter_map(&r);
    struct slice crit = {0};
    bool is_number;
    int64_t label;
    while (next_label(&r, &map, &is_number, &label)) {
        if (is_number && label == COSE_ALG && cbor_peek(&r) != CBOR_TEXT) {
            m->alg = cbor_read_i64(&r);
            m->has_alg = true;
            continue;
        }
        struct slice value = cbor_skip(&r);
        if (is_number && label == COSE_CRIT) {
            crit = value;
        }
    }
    if (!cbor_done(&r)) {
        fault_note(fault, r.fault.clause, r.fault.at);
        return COSE_MALFORMED;
    }
    if (crit.at == NULL) {
        return COSE_OK;
    }
    struct cbor_reader list = cbor_over(crit, CBOR_ANY);
    if (cbor_enter_array(&list) == 0) {
        fault_note(fault, "RFC 9052 3.1: crit is not an array of labels", 0);
        return COSE_MALFORMED;
    }
    if (!crit_holds(crit, m->protected_header, known)) {
        fault_note(fault, "RFC 9052 3.1: a critical label that is not understood or not there", 0);
        return COSE_UNKNOWN_CRITICAL;
    }
    return COSE_OK;
}

static enum cose_result check_unprotected(const struct cose_message *m, struct fault *fault)
{
    struct cbor_reader r = cbor_over(m->unprotected_header, CBOR_ANY);
    struct cbor_map map = cbor_enter_map(&r);
    bool is_number;
    int64_t label;
    while (next_label(&r, &map, &is_number, &label)) {
        if (is_number && (label == COSE_ALG || label == COSE_CRIT)) {
            fault_note(fault, "alg or crit outside the protected header", 0);
            return COSE_MALFORMED;
        }
        if (is_in_other(m->protected_header, is_number, label, map.key)) {
            fault_note(fault, "RFC 9052 3: a label in both headers", 0);
            return COSE_MALFORMED;
        }
        (void)cbor_skip(&r);
    }
    if (!cbor_done(&r)) {
        fault_note(fault, r.fault.clause, r.fault.at);
        return COSE_MALFORMED;
    }
    return COSE_OK;
}

enum cose_result cose_decode(enum cose_kind kind,
                             struct slice bytes,
                             const int64_t *understood,
                             size_t understood_count,
                             struct cose_message *out,
                             struct fault *fault)
{
    struct cose_message m = {.kind = kind};
    struct cbor_reader r = cbor_over(bytes, CBOR_ANY);
    if (cbor_read_tag(&r) != (uint64_t)kind) {
        cbor_fail(&r, "another tag than the one of this message");
    }
    if (cbor_enter_array(&r) != 4) {
        cbor_fail(&r, "not an array of four");
    }
    m.protected_header = cbor_read_bytes(&r);
    if (cbor_ok(&r) && cbor_peek(&r) != CBOR_MAP) {
        cbor_fail(&r, "an unprotected header that is no map");
    }
    m.unprotected_header = cbor_skip(&r);
    m.payload = cbor_read_bytes(&r);
    m.tag = cbor_read_bytes(&r);
    if (m.tag.len == 0 || m.tag.len > COSE_TAG_MAX) {
        cbor_fail(&r, "a signature or MAC of an impossible length");
    }
    if (!cbor_done(&r)) {
        fault_note(fault, r.fault.clause, r.fault.at);
        return COSE_MALFORMED;
    }
    if (m.protected_header.len == 1 && m.protected_header.at[0] == 0xa0) {
        m.protected_header = (struct slice){0};
    }
    struct understood known = {.labels = understood, .count = understood_count};
    enum cose_result result = check_protected(&m, &known, fault);
    if (result == COSE_OK) {
        result = check_unprotected(&m, fault);
    }
    if (result == COSE_OK) {
        *out = m;
    }
    return result;
}

bool cose_chain_decode(struct slice value, struct slice chain[COSE_CHAIN_MAX], size_t *count)
{
    struct slice found[COSE_CHAIN_MAX];
    struct cbor_reader r = cbor_over(value, CBOR_ANY);
    uint64_t length = 1;
    if (cbor_peek(&r) == CBOR_ARRAY) {
        length = cbor_enter_array(&r);
        if (length < 2) {
            return false;
        }
    }
    if (length > COSE_CHAIN_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        found[i] = cbor_read_bytes(&r);
        if (found[i].len == 0) {
            return false;
        }
    }
    if (!cbor_done(&r)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        chain[i] = found[i];
    }
    *count = (size_t)length;
    return true;
}

void cose_chain_write(struct writer *w, const struct slice *chain, size_t count)
{
    INVARIANT(count >= 1);
    INVARIANT(count <= COSE_CHAIN_MAX);
    if (count > 1) {
        cbor_write_array(w, count);
    }
    for (size_t i = 0; i < count; i++) {
        cbor_write_bytes(w, chain[i]);
    }
}

void cose_to_be_authenticated(struct cose_input *out,
                              enum cose_kind kind,
                              struct slice protected_header,
                              struct slice external_aad,
                              struct slice payload)
{
    const char *context = kind == COSE_SIGN1 ? "Signature1" : "MAC0";
    struct slice bodies[] = {protected_header, external_aad, payload};
    static_assert(COUNT_OF(bodies) * 2 == COSE_PARTS, "a head and a body each");
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct writer w = writer_over(out->heads[i], sizeof out->heads[i]);
        if (i == 0) {
            cbor_write_array(&w, 4);
            cbor_write_text(&w, slice_text(context));
        }
        cbor_write_bytes_head(&w, bodies[i].len);
        INVARIANT(writer_ok(&w));
        out->parts[2 * i] = writer_slice(&w);
        out->parts[2 * i + 1] = bodies[i];
    }
}

void cose_write(struct writer *w,
                enum cose_kind kind,
                struct slice protected_header,
                struct slice payload,
                struct slice tag)
{
    cbor_write_tag(w, (uint64_t)kind);
    cbor_write_array(w, 4);
    cbor_write_bytes(w, protected_header);
    cbor_write_map(w, 0);
    cbor_write_bytes(w, payload);
    cbor_write_bytes(w, tag);
}
