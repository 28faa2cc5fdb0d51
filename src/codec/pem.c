#include "codec/pem.h"

#include "codec/base64.h"

#include <string.h>

enum { LINE_CHARS = 64, LINE_OCTETS = LINE_CHARS / 4 * 3, LABEL_MAX = 64 };

void pem_write(struct writer *w, const char *label, struct slice der)
{
    write_text(w, "-----BEGIN ");
    write_text(w, label);
    write_text(w, "-----\n");
    while (der.len > 0) {
        size_t len = der.len < LINE_OCTETS ? der.len : LINE_OCTETS;
        base64_encode(w, slice_of(der.at, len));
        write_u8(w, '\n');
        der = slice_after(der, len);
    }
    write_text(w, "-----END ");
    write_text(w, label);
    write_text(w, "-----\n");
}

/* The next line without its end (LF or CR LF); false where there is none. */
static bool next_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *end = memchr(rest->at, '\n', rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->at) : rest->len;
    *line = slice_of(rest->at, len);
    *rest = slice_after(*rest, end != NULL ? len + 1 : len);
    while (line->len > 0 && (line->at[line->len - 1] == '\r' || line->at[line->len - 1] == ' ')) {
        line->len--;
    }
    return true;
}

/* Is this line PREFIX LABEL DASHES? Then `label` is what stands between. */
static bool is_boundary(struct slice line, const char *prefix, struct slice *label)
{
    struct slice start = slice_text(prefix);
    struct slice dashes = slice_text("-----");
    if (!slice_has_prefix(line, start) || line.len < start.len + dashes.len) {
        return false;
    }
    struct slice inner = slice_of(line.at + start.len, line.len - start.len - dashes.len);
    if (!slice_equal(slice_after(line, line.len - dashes.len), dashes) || inner.len > LABEL_MAX) {
        return false;
    }
    *label = inner;
    return true;
}

enum pem_result pem_next(struct slice *rest,
                         struct slice *label,
                         struct writer *der,
                         struct slice *bytes)
{
    struct slice line = {0};
    struct slice begun = {0};
    struct slice ended = {0};
    do {
        if (!next_line(rest, &line)) {
            return PEM_END;
        }
    } while (!is_boundary(line, "-----BEGIN ", &begun));
    struct slice body = {.at = rest->at};
    size_t before = rest->len;
    do {
        body.len = before - rest->len;
        if (!next_line(rest, &line)) {
            return PEM_MALFORMED;
        }
    } while (!is_boundary(line, "-----END ", &ended));
    if (!slice_equal(begun, ended)) {
        return PEM_MALFORMED;
    }
    size_t from = der->len;
    switch (base64_decode(body, BASE64_LENIENT, der)) {
    case BASE64_OK: break;
    case BASE64_MALFORMED: return PEM_MALFORMED;
    case BASE64_TOO_LONG: return PEM_TOO_LONG;
    }
    *label = begun;
    *bytes = slice_of(der->at + from, der->len - from);
    return PEM_OK;
}
