#include "base/utf8.h"

#include "base/invariant.h"

#include <string.h>

/* What may follow a lead byte: how many bytes, and the range of the first of them (RFC 3629 4). */
struct shape {
    uint8_t first, last; /* of the lead byte */
    uint8_t len;
    uint8_t low, high; /* of the second byte */
};

static const struct shape shapes[] = {
    {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x80, 0xBF},
    {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF}, {0xF0, 0xF0, 4, 0x90, 0xBF},
    {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

static const struct shape *shape_of(uint8_t lead)
{
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        if (lead >= shapes[i].first && lead <= shapes[i].last) {
            return &shapes[i];
        }
    }
    return NULL;
}

size_t utf8_decode(struct slice text, uint32_t *code_point)
{
    if (text.len == 0) {
        return 0;
    }
    if (text.at[0] < 0x80) {
        *code_point = text.at[0];
        return 1;
    }
    const struct shape *shape = shape_of(text.at[0]);
    if (shape == NULL || text.len < shape->len || text.at[1] < shape->low
        || text.at[1] > shape->high) {
        return 0;
    }
    uint32_t value = text.at[0] & (0xFFu >> (shape->len + 1));
    for (size_t i = 1; i < shape->len; i++) {
        if ((text.at[i] & 0xC0) != 0x80) {
            return 0;
        }
        value = value << 6 | (text.at[i] & 0x3Fu);
    }
    *code_point = value;
    return shape->len;
}

/* How many bytes from `at` on are ASCII for sure: what most text is, eight bytes a step. */
static size_t ascii_run(struct slice text, size_t at)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    size_t from = at;
    uint64_t word;
    while (text.len - at >= sizeof word) {
        memcpy(&word, text.at + at, sizeof word);
        if ((word & high_bits) != 0) {
            break;
        }
        at += sizeof word;
    }
    while (at < text.len && text.at[at] < 0x80) {
        at++;
    }
    return at - from;
}

bool utf8_is_valid(struct slice text)
{
    size_t at = 0;
    while ((at += ascii_run(text, at)) < text.len) {
        uint32_t code_point = 0;
        size_t len = utf8_decode(slice_after(text, at), &code_point);
        if (len == 0) {
            return false;
        }
        at += len;
    }
    return true;
}

void utf8_write(struct writer *w, uint32_t code_point)
{
    INVARIANT(code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF));
    if (code_point < 0x80) {
        write_u8(w, (uint8_t)code_point);
        return;
    }
    unsigned tails = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
    static const uint8_t lead[4] = {0, 0xC0, 0xE0, 0xF0};
    uint8_t bytes[4];
    for (unsigned i = tails; i > 0; i--) {
        bytes[i] = (uint8_t)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    bytes[0] = (uint8_t)(lead[tails] | code_point);
    write_bytes(w, bytes, tails + 1);
}
