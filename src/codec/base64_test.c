#include "codec/base64.h"
#include "test/test.h"

static enum base64_result decode(
    const char *text, enum base64_mode mode, uint8_t *out, size_t cap, size_t *len)
{
    struct writer w = writer_over(out, cap);
    enum base64_result result = base64_decode(slice_text(text), mode, &w);
    *len = w.len;
    return result;
}

TEST("the vectors of RFC 4648 10 go both ways")
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[16];
        size_t len = 0;
        struct writer w = writer_over(bytes, sizeof bytes);
        base64_encode(&w, slice_text(rows[i][0]));
        CHECK(slice_is_text(writer_slice(&w), rows[i][1]));
        CHECK(decode(rows[i][1], BASE64_STRICT, bytes, sizeof bytes, &len) == BASE64_OK);
        CHECK(slice_is_text(slice_of(bytes, len), rows[i][0]));
    }
}

TEST("blanks and line ends are ignored where EST says so and refused elsewhere")
{
    static const char *const texts[] = {"Zm9v\r\nYmFy\r\n", " Zm9v\tYmFy", "Z\nm\n9\nvYmFy",
                                        "Zm9vYg=\n=\n"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        uint8_t bytes[16];
        size_t len = 0;
        CHECK(decode(texts[i], BASE64_LENIENT, bytes, sizeof bytes, &len) == BASE64_OK);
        CHECK(decode(texts[i], BASE64_STRICT, bytes, sizeof bytes, &len) == BASE64_MALFORMED);
    }
}

TEST("missing, surplus or wrong characters are refused in both modes")
{
    static const char *const texts[] = {
        "Zg",    "Zg=",      "Zg===",        "=",        "====", "Z===",
        "Zm9v=", "Zg==Zg==", "Zm9vZg==AAAA", "Zm9v\x0b", "Zm-_", "Zm9v\xc3",
        "Zh==",  "Zm9=",     "Zm9vYmE",      "Zm9v,\n",  "Zg=a",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        uint8_t bytes[16];
        size_t len = 0;
        CHECK(decode(texts[i], BASE64_LENIENT, bytes, sizeof bytes, &len) == BASE64_MALFORMED);
        CHECK(decode(texts[i], BASE64_STRICT, bytes, sizeof bytes, &len) == BASE64_MALFORMED);
    }
}

TEST("more than the writer holds is too long, not cut")
{
    uint8_t bytes[3];
    size_t len = 0;
    CHECK(decode("Zm9vYg==", BASE64_STRICT, bytes, sizeof bytes, &len) == BASE64_TOO_LONG);
    struct writer w = writer_over(bytes, sizeof bytes);
    base64_encode(&w, slice_text("f"));
    CHECK(!writer_ok(&w));
}
