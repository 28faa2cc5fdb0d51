#include "base/utf8.h"

/* How many bytes follow this first one, and the least code point that may take so many; -1: no
 * first byte. */
static int tail_of(uint8_t first, uint32_t *code, uint32_t *least)
{
    if (first < 0x80) {
        *code = first;
        *least = 0;
        return 0;
    }
    if (first >= 0xc2 && first < 0xe0) {
        *code = first & 0x1fu;
        *least = 0x80;
        return 1;
    }
    if (first >= 0xe0 && first < 0xf0) {
        *code = first & 0x0fu;
        *least = 0x800;
        return 2;
    }
    if (first >= 0xf0 && first < 0xf5) {
        *code = first & 0x07u;
        *least = 0x10000;
        return 3;
    }
    return -1;
}

bool utf8_is_valid(struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t code;
        uint32_t least;
        int tail = tail_of(text.at[i++], &code, &least);
        if (tail < 0 || (size_t)tail > text.len - i) {
            return false;
        }
        for (; tail > 0; tail--) {
            uint8_t next = text.at[i++];
            if ((next & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (next & 0x3fu);
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
    }
    return true;
}
