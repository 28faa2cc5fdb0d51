#include "codec/keeper_message.h"
#include "test/test.h"

TEST("a request and an answer come back as they were written, and wait for their last octet")
{
    uint8_t bytes[64];
    struct writer w = writer_over(bytes, sizeof bytes);
    keeper_request_write(&w, &(struct keeper_request){.id = 7,
                                                      .purpose = KEEPER_TRUST_LIST,
                                                      .bytes = slice_text("abc")});
    struct slice whole = writer_slice(&w);
    struct keeper_request request;
    size_t used = 0;
    for (size_t len = 0; len < whole.len; len++) {
        CHECK(keeper_request_decode(slice_of(bytes, len), &request, &used) == KEEPER_MESSAGE_MORE);
    }
    REQUIRE(keeper_request_decode(whole, &request, &used) == KEEPER_MESSAGE_OK);
    CHECK(used == whole.len && request.id == 7 && request.purpose == KEEPER_TRUST_LIST);
    CHECK(slice_is_text(request.bytes, "abc"));

    struct keeper_answer answer;
    writer_reset(&w);
    keeper_answer_write(&w, &(struct keeper_answer){.id = 0xffffffff, .outcome = KEEPER_REFUSED});
    REQUIRE(keeper_answer_decode(writer_slice(&w), &answer, &used) == KEEPER_MESSAGE_OK);
    CHECK(answer.id == 0xffffffff && answer.outcome == KEEPER_REFUSED && answer.bytes.len == 0);
}

TEST("a frame of another version, purpose or length is refused before it is all there")
{
    static const char *const rows[] = {
        "\0\0\0\x06\2\0\0\0\1\1", "\0\0\0\x06\1\0\0\0\1\0",   "\0\0\0\x06\1\0\0\0\1\4",
        "\0\0\0\x05\1\0\0\0\1\1", "\0\0\xff\xfd\1\0\0\0\1\1", "\xff\xff\xff\xff\1\0\0\0\1\1",
    };
    struct keeper_request request;
    size_t used = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK(keeper_request_decode(slice_of(rows[i], 10), &request, &used)
              == KEEPER_MESSAGE_MALFORMED);
    }
    CHECK(keeper_request_decode(slice_of("\0\0\0\x06\1\0\0\0\1\1", 10), &request, &used)
          == KEEPER_MESSAGE_OK);
}
