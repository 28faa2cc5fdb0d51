#include "base/utf8.h"
#include "test/test.h"

TEST("what RFC 3629 allows is UTF-8 and what it forbids is not")
{
    static const struct {
        const char *text;
        size_t len;
        bool is_valid;
    } rows[] = {
        {"", 0, true},
        {"plain", 5, true},
        {"\0", 1, true},
        {"\xc2\xb0\x43", 3, true},     /* U+00B0 */
        {"\xe2\x82\xac", 3, true},     /* U+20AC */
        {"\xf0\x9f\x8c\xa1", 4, true}, /* U+1F321 */
        {"\xf4\x8f\xbf\xbf", 4, true}, /* U+10FFFF */
        {"\xed\x9f\xbf", 3, true},     /* U+D7FF */
        {"\xee\x80\x80", 3, true},     /* U+E000 */
        {"\xc0\xaf", 2, false},        /* '/' in two bytes */
        {"\xc1\xbf", 2, false},
        {"\xe0\x9f\xbf", 3, false},     /* U+07FF in three */
        {"\xf0\x8f\xbf\xbf", 4, false}, /* U+FFFF in four */
        {"\xed\xa0\x80", 3, false},     /* a surrogate */
        {"\xf4\x90\x80\x80", 4, false}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", 4, false},
        {"\x80", 1, false}, /* a tail alone */
        {"\xc2", 1, false}, /* cut */
        {"\xe2\x82", 2, false},
        {"\xe2\x41\x82", 3, false}, /* a tail that is none */
        {"\xff", 1, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool got = utf8_is_valid(slice_of(rows[i].text, rows[i].len));
        if (got != rows[i].is_valid) {
            test_failed(__FILE__, __LINE__, "row %zu", i);
        }
    }
}
