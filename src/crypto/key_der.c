/* What of crypto/key.h needs no library: signatures in DER, and a verifier that is used once. */
#include "base/reader.h"
#include "crypto/key.h"

#include <string.h>

enum { HALF_LEN = SIGNATURE_LEN / 2 };

enum key_result key_verify_once(const struct key_public *key,
                                const struct slice *parts,
                                size_t count,
                                struct slice signature)
{
    struct key_verifier *verifier = NULL;
    enum key_result result = key_verifier_make(key, &verifier);
    if (result == KEY_OK) {
        result = key_verify(verifier, parts, count, signature);
        key_verifier_free(verifier);
    }
    return result;
}

/* ---- ECDSA-Sig-Value of X.509 (RFC 3279 2.2.3): SEQUENCE { r INTEGER, s INTEGER } ---- */

enum { DER_SEQUENCE = 0x30, DER_INTEGER = 0x02 };

/* How many bytes the INTEGER of this half has, without tag and length; *skip leading zeroes are
 * left out. */
static size_t der_half_len(const uint8_t *half, size_t *skip)
{
    size_t zeroes = 0;
    while (zeroes < HALF_LEN - 1 && half[zeroes] == 0) {
        zeroes++;
    }
    *skip = zeroes;
    return HALF_LEN - zeroes + (half[zeroes] >= 0x80);
}

static void der_write_half(struct writer *w, const uint8_t *half)
{
    size_t skip;
    size_t len = der_half_len(half, &skip);
    write_u8(w, DER_INTEGER);
    write_u8(w, (uint8_t)len);
    if (len > HALF_LEN - skip) {
        write_u8(w, 0);
    }
    write_bytes(w, half + skip, HALF_LEN - skip);
}

enum key_result key_signature_to_der(const uint8_t signature[SIGNATURE_LEN], struct writer *w)
{
    size_t skip;
    size_t len = 4 + der_half_len(signature, &skip) + der_half_len(signature + HALF_LEN, &skip);
    write_u8(w, DER_SEQUENCE);
    write_u8(w, (uint8_t)len);
    der_write_half(w, signature);
    der_write_half(w, signature + HALF_LEN);
    return writer_ok(w) ? KEY_OK : KEY_FAILED;
}

static void der_read_half(struct reader *r, uint8_t *half)
{
    if (read_u8(r) != DER_INTEGER) {
        reader_fail(r);
    }
    struct slice number = read_bytes(r, read_u8(r));
    bool negative = number.len > 0 && number.at[0] >= 0x80;
    bool padded = number.len > 1 && number.at[0] == 0;
    if (number.len == 0 || negative || (padded && number.at[1] < 0x80)) {
        reader_fail(r);
        return;
    }
    if (padded) {
        number = slice_after(number, 1);
    }
    if (number.len > HALF_LEN) {
        reader_fail(r);
        return;
    }
    memset(half, 0, HALF_LEN - number.len);
    memcpy(half + (HALF_LEN - number.len), number.at, number.len);
}

enum key_result key_signature_from_der(struct slice der, uint8_t signature[SIGNATURE_LEN])
{
    struct reader r = reader_over(der);
    uint8_t halves[SIGNATURE_LEN];
    uint8_t tag = read_u8(&r);
    size_t len = read_u8(&r);
    if (tag != DER_SEQUENCE || len != r.rest.len) {
        return KEY_MALFORMED;
    }
    der_read_half(&r, halves);
    der_read_half(&r, halves + HALF_LEN);
    if (!reader_done(&r)) {
        return KEY_MALFORMED;
    }
    memcpy(signature, halves, sizeof halves);
    return KEY_OK;
}
