/*
 * What is said on the keeper's socket. A frame is its length (u32, without itself) and then
 *     request: version u8 = 1, id u32, purpose u8, the bytes to be signed
 *     answer:  version u8 = 1, id u32, outcome u8, the signature, or the clause that forbids it
 * (text) All numbers big-endian. Answers may come in any order.
 */
#ifndef CODEC_KEEPER_MESSAGE_H
#define CODEC_KEEPER_MESSAGE_H

#include "base/slice.h"
#include "base/writer.h"

enum keeper_purpose {
    KEEPER_DEVICE_CERTIFICATE =
        1,                 /* tbsCertificate of an LDevID, by issuer.key: ECDSA-Sig-Value in DER */
    KEEPER_TRUST_LIST = 2, /* COSE Sig_structure of a trust list, by trust.key: r || s */
    KEEPER_APPLICATION_CERTIFICATE =
        3 /* tbsCertificate of an application, by issuer.key: ECDSA-Sig-Value in DER */
};

enum keeper_outcome {
    KEEPER_SIGNED = 1,
    KEEPER_REFUSED = 2,    /* its policy does not allow it */
    KEEPER_UNAVAILABLE = 3 /* it could not; or it was cut: nothing is known, ask again */
};

enum {
    KEEPER_FRAME_MAX = 65536,
    KEEPER_HEAD_LEN = 10 /* length, version, id, purpose or outcome */
};

struct keeper_request {
    uint32_t id;
    enum keeper_purpose purpose;
    struct slice bytes;
};

struct keeper_answer {
    uint32_t id;
    enum keeper_outcome outcome;
    struct slice bytes;
};

enum keeper_message_result {
    KEEPER_MESSAGE_OK = 0,
    KEEPER_MESSAGE_MORE, /* not all there yet */
    KEEPER_MESSAGE_MALFORMED
};

/* The first frame of `bytes`; *used of them are done with then. Slices borrow from `bytes`. */
MUST_USE enum keeper_message_result keeper_request_decode(struct slice bytes,
                                                          struct keeper_request *out,
                                                          size_t *used);
MUST_USE enum keeper_message_result keeper_answer_decode(struct slice bytes,
                                                         struct keeper_answer *out,
                                                         size_t *used);

void keeper_request_write(struct writer *w, const struct keeper_request *request);
/* The frame up to its bytes, which the caller sends behind it. */
void keeper_request_head_write(struct writer *w, const struct keeper_request *request);
void keeper_answer_write(struct writer *w, const struct keeper_answer *answer);

#endif
