#include "base/id.h"

#include <string.h>

static const char prefix[] = "hf1:";

bool device_id_equal(const struct device_id *a, const struct device_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

enum { NO_DIGIT = 16 };

static unsigned hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - (unsigned)'0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - (unsigned)'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - (unsigned)'A' + 10;
    }
    return NO_DIGIT;
}

bool bytes_from_hex(struct slice hex, uint8_t *out, size_t len)
{
    if (hex.len != 2 * len) {
        return false;
    }
    for (size_t i = 0; i < hex.len; i++) {
        if (hex_value(hex.at[i]) == NO_DIGIT) {
            return false;
        }
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(hex_value(hex.at[2 * i]) << 4 | hex_value(hex.at[2 * i + 1]));
    }
    return true;
}

bool device_id_from_text(struct slice text, struct device_id *out)
{
    if (text.len != DEVICE_ID_TEXT_LEN || !slice_has_prefix(text, slice_text(prefix))) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] >= 'A' && text.at[i] <= 'Z') {
            return false;
        }
    }
    return bytes_from_hex(slice_after(text, sizeof prefix - 1), out->bytes, sizeof out->bytes);
}

void device_id_write_text(struct writer *w, const struct device_id *id)
{
    if (writer_room(w) < DEVICE_ID_TEXT_LEN) {
        w->overflow = true;
        return;
    }
    write_text(w, prefix);
    write_hex(w, slice_of(id->bytes, sizeof id->bytes));
}
