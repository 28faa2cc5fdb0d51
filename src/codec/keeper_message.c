#include "codec/keeper_message.h"

#include "base/reader.h"

enum { VERSION = 1, LENGTH_OCTETS = 4 };

struct frame {
    uint32_t id;
    uint8_t kind;
    struct slice bytes;
};

static enum keeper_message_result read_frame(struct slice bytes, struct frame *out, size_t *used)
{
    struct reader r = reader_over(bytes);
    if (bytes.len < LENGTH_OCTETS) {
        return KEEPER_MESSAGE_MORE;
    }
    uint32_t len = read_u32(&r);
    if (len > KEEPER_FRAME_MAX - LENGTH_OCTETS || len < KEEPER_HEAD_LEN - LENGTH_OCTETS) {
        return KEEPER_MESSAGE_MALFORMED;
    }
    if (r.rest.len < len) {
        return KEEPER_MESSAGE_MORE;
    }
    struct reader body = reader_over(read_bytes(&r, len));
    uint8_t version = read_u8(&body);
    out->id = read_u32(&body);
    out->kind = read_u8(&body);
    out->bytes = body.rest;
    *used = LENGTH_OCTETS + len;
    return version == VERSION ? KEEPER_MESSAGE_OK : KEEPER_MESSAGE_MALFORMED;
}

static bool purpose_from_wire(uint8_t raw, enum keeper_purpose *out)
{
    switch (raw) {
    case KEEPER_DEVICE_CERTIFICATE:
    case KEEPER_TRUST_LIST:
    case KEEPER_APPLICATION_CERTIFICATE: *out = (enum keeper_purpose)raw; return true;
    }
    return false;
}

static bool outcome_from_wire(uint8_t raw, enum keeper_outcome *out)
{
    switch (raw) {
    case KEEPER_SIGNED:
    case KEEPER_REFUSED:
    case KEEPER_UNAVAILABLE: *out = (enum keeper_outcome)raw; return true;
    }
    return false;
}

enum keeper_message_result keeper_request_decode(struct slice bytes,
                                                 struct keeper_request *out,
                                                 size_t *used)
{
    struct frame frame;
    struct keeper_request request = {0};
    size_t len = 0;
    enum keeper_message_result result = read_frame(bytes, &frame, &len);
    if (result != KEEPER_MESSAGE_OK) {
        return result;
    }
    if (!purpose_from_wire(frame.kind, &request.purpose)) {
        return KEEPER_MESSAGE_MALFORMED;
    }
    request.id = frame.id;
    request.bytes = frame.bytes;
    *out = request;
    *used = len;
    return KEEPER_MESSAGE_OK;
}

enum keeper_message_result keeper_answer_decode(struct slice bytes,
                                                struct keeper_answer *out,
                                                size_t *used)
{
    struct frame frame;
    struct keeper_answer answer = {0};
    size_t len = 0;
    enum keeper_message_result result = read_frame(bytes, &frame, &len);
    if (result != KEEPER_MESSAGE_OK) {
        return result;
    }
    if (!outcome_from_wire(frame.kind, &answer.outcome)) {
        return KEEPER_MESSAGE_MALFORMED;
    }
    answer.id = frame.id;
    answer.bytes = frame.bytes;
    *out = answer;
    *used = len;
    return KEEPER_MESSAGE_OK;
}

static void write_head(struct writer *w, uint32_t id, uint8_t kind, size_t len)
{
    if (len > KEEPER_FRAME_MAX - KEEPER_HEAD_LEN) {
        w->overflow = true;
        return;
    }
    write_u32(w, (uint32_t)(len + KEEPER_HEAD_LEN - LENGTH_OCTETS));
    write_u8(w, VERSION);
    write_u32(w, id);
    write_u8(w, kind);
}

void keeper_request_head_write(struct writer *w, const struct keeper_request *request)
{
    write_head(w, request->id, (uint8_t)request->purpose, request->bytes.len);
}

void keeper_request_write(struct writer *w, const struct keeper_request *request)
{
    keeper_request_head_write(w, request);
    write_slice(w, request->bytes);
}

void keeper_answer_write(struct writer *w, const struct keeper_answer *answer)
{
    write_head(w, answer->id, (uint8_t)answer->outcome, answer->bytes.len);
    write_slice(w, answer->bytes);
}
