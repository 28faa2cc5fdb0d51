#include "codec/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct writer *w, struct slice bytes)
{
    uint8_t *to = write_reserve(w, BASE64_LEN(bytes.len));
    if (to == NULL) {
        return;
    }
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)bytes.at[i] << 16;
        group |= have > 1 ? (uint32_t)bytes.at[i + 1] << 8 : 0;
        group |= have > 2 ? bytes.at[i + 2] : 0;
        *to++ = (uint8_t)alphabet[group >> 18];
        *to++ = (uint8_t)alphabet[group >> 12 & 63];
        *to++ = have > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        *to++ = have > 2 ? (uint8_t)alphabet[group & 63] : '=';
    }
}

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_blank(uint8_t c)
{
    return c == '\r' || c == '\n' || c == ' ' || c == '\t';
}

struct group {
    uint32_t bits;
    unsigned digits;
    unsigned pads;
};

/* One character more; false where it cannot stand there. */
static bool group_add(struct group *g, uint8_t c)
{
    if (c == '=') {
        g->pads++;
        g->bits <<= 6;
        return g->digits >= 2 && g->digits + g->pads <= 4;
    }
    int value = value_of(c);
    if (value < 0 || g->pads > 0) {
        return false;
    }
    g->bits = g->bits << 6 | (uint32_t)value;
    g->digits++;
    return true;
}

/* A whole group's octets; false where bits that belong to no octet are not zero. */
static bool group_write(const struct group *g, struct writer *w)
{
    unsigned octets = g->digits - 1;
    for (unsigned i = 0; i < octets; i++) {
        write_u8(w, (uint8_t)(g->bits >> (16 - 8 * i)));
    }
    return octets == 3 || (g->bits & (octets == 1 ? 0xffffu : 0xffu)) == 0;
}

enum base64_result base64_decode(struct slice text, enum base64_mode mode, struct writer *w)
{
    struct group g = {0};
    bool is_ended = false;
    for (size_t i = 0; i < text.len; i++) {
        if (mode == BASE64_LENIENT && is_blank(text.at[i])) {
            continue;
        }
        if (is_ended || !group_add(&g, text.at[i])) {
            return BASE64_MALFORMED;
        }
        if (g.digits + g.pads == 4) {
            if (!group_write(&g, w)) {
                return BASE64_MALFORMED;
            }
            is_ended = g.pads > 0;
            g = (struct group){0};
        }
    }
    if (g.digits + g.pads > 0) {
        return BASE64_MALFORMED;
    }
    return writer_ok(w) ? BASE64_OK : BASE64_TOO_LONG;
}
