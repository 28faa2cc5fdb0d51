#include "core/control/access_trace.h"
#include "test/test.h"

TEST("a request is judged again only where all that it said is there")
{
    const struct access_image image = {.origin_len = 3, .fetch_site_len = 4};
    CHECK(access_again(&image, slice_text("abcdefgh")));
    CHECK(access_again(&image, slice_text("abcdefg"))); /* no origin of our own */
    CHECK(!access_again(&image, slice_text("abcdef")));
    CHECK(!access_again(&image, slice_text("ab")));
}

TEST("of a text that is longer than any origin the beginning is kept")
{
    static char text[ACCESS_TRACE_TEXT_MAX + 1];
    static uint8_t room[4 * ACCESS_TRACE_TEXT_MAX];
    struct access_image image;
    struct writer w = writer_over(room, sizeof room);
    const struct access_request request = {.origin = slice_of(text, sizeof text),
                                           .fetch_site = slice_text("same-origin"),
                                           .own_origin = slice_text("https://a")};
    access_keep(&request, &image, &w);
    CHECK(image.origin_len == ACCESS_TRACE_TEXT_MAX && image.fetch_site_len == 11);
    CHECK_U64(w.len, ACCESS_TRACE_TEXT_MAX + 11 + 9);
    CHECK(access_again(&image, writer_slice(&w)));
}
