/*
 * COSE_Sign1 and COSE_Mac0 (RFC 9052 4.2, 6.2): tagged, payload inside, one signature or MAC. No
 * cryptography: cose_to_be_authenticated gives the bytes to sign or MAC in parts, as crypto's
 * key_sign and mac_of take them.
 *
 * The protected bytes are kept as they came and never encoded again; an encoded empty map (h'a0')
 * reads as empty (RFC 9052 3). alg is taken from the protected header only. Refused: a label twice
 * in either header or in both, alg or crit outside the protected header, a crit that names what
 * `understood` does not.
 */
#ifndef CODEC_COSE_H
#define CODEC_COSE_H

#include "base/fault.h"
#include "base/slice.h"
#include "base/writer.h"

enum cose_kind { COSE_MAC0 = 17, COSE_SIGN1 = 18 }; /* the numbers of their tags */

/* Labels (RFC 9052 3.1, RFC 9360) and algorithms (RFC 9053) that this system uses. */
enum {
    COSE_ALG = 1,
    COSE_CRIT = 2,
    COSE_CONTENT_TYPE = 3,
    COSE_KID = 4,
    COSE_X5CHAIN = 33,
    COSE_ES256 = -7,
    COSE_EDDSA = -8,
    COSE_HMAC_256 = 5
};

enum { COSE_PARTS = 6, COSE_TAG_MAX = 64, COSE_CHAIN_MAX = 4, COSE_OVERHEAD = 32 };

enum cose_result { COSE_OK = 0, COSE_MALFORMED, COSE_UNKNOWN_CRITICAL };

struct cose_message {
    enum cose_kind kind;
    struct slice protected_header;   /* content of the bstr: an encoded map, or empty */
    struct slice unprotected_header; /* an encoded map */
    struct slice payload;
    struct slice tag; /* signature or MAC */
    bool has_alg;
    int64_t alg;
};

/*
 * Slices in `out` borrow from `bytes`. `understood`: labels that a crit may name; alg, content
 * type, kid and x5chain always may.
 */
MUST_USE enum cose_result cose_decode(enum cose_kind kind,
                                      struct slice bytes,
                                      const int64_t *understood,
                                      size_t understood_count,
                                      struct cose_message *out,
                                      struct fault *fault);

/* The encoded value of an integer label in one header map; false where it is not there. */
bool cose_header_find(struct slice header, int64_t label, struct slice *value);

/* x5chain (RFC 9360 2): one certificate as a bstr, or two and more in an array. False: malformed or
 * too many. */
MUST_USE bool cose_chain_decode(struct slice value,
                                struct slice chain[COSE_CHAIN_MAX],
                                size_t *count);
void cose_chain_write(struct writer *w, const struct slice *chain, size_t count);

/* Sig_structure or MAC_structure in parts. Points into itself: do not copy. */
struct cose_input {
    struct slice parts[COSE_PARTS];
    uint8_t heads[3][24];
};
void cose_to_be_authenticated(struct cose_input *out,
                              enum cose_kind kind,
                              struct slice protected_header,
                              struct slice external_aad,
                              struct slice payload);

/* The whole message with an empty unprotected header. */
void cose_write(struct writer *w,
                enum cose_kind kind,
                struct slice protected_header,
                struct slice payload,
                struct slice tag);

#endif
