#include "base/slice.h"

#include <string.h>

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool slice_is_text(struct slice a, const char *text)
{
    return slice_equal(a, slice_text(text));
}

bool slice_has_prefix(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.at, prefix.at, prefix.len) == 0);
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

struct slice slice_after(struct slice a, size_t count)
{
    if (count >= a.len) {
        return (struct slice){0};
    }
    return (struct slice){.at = a.at + count, .len = a.len - count};
}

bool equal_ct(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    unsigned differ = 0;
    for (size_t i = 0; i < len; i++) {
        differ |= (unsigned)(x[i] ^ y[i]);
    }
    return differ == 0;
}

void wipe(void *at, size_t len)
{
    if (len > 0) {
        memset(at, 0, len);
        __asm__ volatile("" : : "r"(at) : "memory");
    }
}
