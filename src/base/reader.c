#include "base/reader.h"

#include <string.h>

struct reader reader_over(struct slice bytes)
{
    return (struct reader){.rest = bytes};
}

void reader_fail(struct reader *r)
{
    r->failed = true;
    r->rest = (struct slice){0};
}

struct slice read_bytes(struct reader *r, size_t len)
{
    if (r->failed || len > r->rest.len) {
        reader_fail(r);
        return (struct slice){0};
    }
    struct slice got = {.at = r->rest.at, .len = len};
    r->rest = slice_after(r->rest, len);
    return got;
}

static uint64_t read_number(struct reader *r, size_t width)
{
    struct slice bytes = read_bytes(r, width);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | bytes.at[i];
    }
    return value;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_number(r, 1);
}

uint16_t read_u16(struct reader *r)
{
    return (uint16_t)read_number(r, 2);
}

uint32_t read_u32(struct reader *r)
{
    return (uint32_t)read_number(r, 4);
}

uint64_t read_u64(struct reader *r)
{
    return read_number(r, 8);
}

struct slice read_prefixed_u16(struct reader *r)
{
    size_t len = read_u16(r);
    return read_bytes(r, len);
}

struct slice read_prefixed_u32(struct reader *r)
{
    size_t len = read_u32(r);
    return read_bytes(r, len);
}

void read_into(struct reader *r, void *to, size_t len)
{
    struct slice bytes = read_bytes(r, len);
    if (len == 0) {
        return;
    }
    if (bytes.len == len) {
        memcpy(to, bytes.at, len);
    } else {
        memset(to, 0, len);
    }
}

int reader_peek(const struct reader *r)
{
    return r->rest.len == 0 ? -1 : r->rest.at[0];
}

bool reader_ok(const struct reader *r)
{
    return !r->failed;
}

bool reader_done(const struct reader *r)
{
    return !r->failed && r->rest.len == 0;
}
