#include "base/invariant.h"
#include "codec/keeper_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[KEEPER_FRAME_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    struct slice in = slice_of(data, size);
    struct keeper_request request;
    struct keeper_answer answer;
    size_t used = 0;
    if (keeper_request_decode(in, &request, &used) == KEEPER_MESSAGE_OK) {
        keeper_request_write(&w, &request);
        INVARIANT(slice_equal(writer_slice(&w), slice_of(data, used)));
    }
    writer_reset(&w);
    if (keeper_answer_decode(in, &answer, &used) == KEEPER_MESSAGE_OK) {
        keeper_answer_write(&w, &answer);
        INVARIANT(slice_equal(writer_slice(&w), slice_of(data, used)));
    }
    return 0;
}
