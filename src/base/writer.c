#include "base/writer.h"

#include <string.h>

struct writer writer_over(void *at, size_t cap)
{
    return (struct writer){.at = at, .cap = cap};
}

static void write_number(struct writer *w, uint64_t value, size_t width)
{
    uint8_t *to = write_reserve(w, width);
    for (size_t i = 0; to != NULL && i < width; i++) {
        to[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
    }
}

void write_u16(struct writer *w, uint16_t value)
{
    write_number(w, value, 2);
}

void write_u32(struct writer *w, uint32_t value)
{
    write_number(w, value, 4);
}

void write_u64(struct writer *w, uint64_t value)
{
    write_number(w, value, 8);
}

void write_prefixed_u16(struct writer *w, struct slice bytes)
{
    if (bytes.len > UINT16_MAX || writer_room(w) < bytes.len + 2) {
        w->overflow = true;
        return;
    }
    write_u16(w, (uint16_t)bytes.len);
    write_slice(w, bytes);
}

void write_prefixed_u32(struct writer *w, struct slice bytes)
{
    if (bytes.len > UINT32_MAX || writer_room(w) < bytes.len + 4) {
        w->overflow = true;
        return;
    }
    write_u32(w, (uint32_t)bytes.len);
    write_slice(w, bytes);
}

void write_decimal(struct writer *w, uint64_t value)
{
    uint8_t digits[20];
    size_t first = sizeof digits;
    if (value < 10) { /* most counts of a report */
        write_u8(w, (uint8_t)('0' + value));
        return;
    }
    do {
        digits[--first] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    write_bytes(w, digits + first, sizeof digits - first);
}

void write_hex(struct writer *w, struct slice bytes)
{
    static const char digit[] = "0123456789abcdef";
    if (bytes.len > SIZE_MAX / 2) {
        w->overflow = true;
        return;
    }
    uint8_t *to = write_reserve(w, bytes.len * 2);
    for (size_t i = 0; to != NULL && i < bytes.len; i++) {
        to[2 * i] = (uint8_t)digit[bytes.at[i] >> 4];
        to[2 * i + 1] = (uint8_t)digit[bytes.at[i] & 15];
    }
}

struct slice writer_slice(const struct writer *w)
{
    return w->overflow ? (struct slice){0} : (struct slice){.at = w->at, .len = w->len};
}

size_t writer_room(const struct writer *w)
{
    return w->overflow ? 0 : w->cap - w->len;
}

bool writer_ok(const struct writer *w)
{
    return !w->overflow;
}

void writer_reset(struct writer *w)
{
    w->len = 0;
    w->overflow = false;
}
