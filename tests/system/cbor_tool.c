/*
 * CBOR for tests/differential/cbor.py: a line of hex in; out "ok" ("tagged" where a tag is in it)
 * and the item as our writer writes it, or "no" where our deterministic reading refuses it.
 */
#include "base/id.h"
#include "codec/cbor.h"

#include <stdio.h>
#include <string.h>

enum { LINE_MAX_ = 1 << 20 };

static bool has_tag;

static void copy_items(struct cbor_reader *r, struct writer *w)
{
    has_tag = false;
    while (cbor_ok(r) && cbor_peek(r) != CBOR_NONE) {
        switch (cbor_peek(r)) {
        case CBOR_UINT: cbor_write_u64(w, cbor_read_u64(r)); break;
        case CBOR_BYTES: cbor_write_bytes(w, cbor_read_bytes(r)); break;
        case CBOR_TEXT: cbor_write_text(w, cbor_read_text(r)); break;
        case CBOR_ARRAY: cbor_write_array(w, cbor_enter_array(r)); break;
        case CBOR_MAP: cbor_write_map(w, cbor_enter_map(r).left); break;
        case CBOR_TAG:
            cbor_write_tag(w, cbor_read_tag(r));
            has_tag = true;
            break;
        case CBOR_BOOL: cbor_write_bool(w, cbor_read_bool(r)); break;
        case CBOR_FLOAT: cbor_write_double(w, cbor_read_double(r)); break;
        case CBOR_NULL:
            cbor_read_null(r);
            cbor_write_null(w);
            break;
        case CBOR_NINT:
        case CBOR_UNDEFINED:
        case CBOR_SIMPLE: write_slice(w, cbor_skip(r)); break;
        case CBOR_NONE: return;
        }
    }
}

int main(void)
{
    static char line[LINE_MAX_];
    static uint8_t bytes[LINE_MAX_ / 2];
    static uint8_t out[LINE_MAX_ / 2];
    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t len = strcspn(line, "\n") / 2;
        if (!bytes_from_hex(slice_of(line, 2 * len), bytes, len)) {
            return 2;
        }
        struct slice in = slice_of(bytes, len);
        struct cbor_reader check = cbor_over(in, CBOR_DETERMINISTIC);
        struct cbor_reader copy = cbor_over(in, CBOR_DETERMINISTIC);
        struct writer w = writer_over(out, sizeof out);
        (void)cbor_skip(&check);
        if (!cbor_done(&check)) {
            (void)puts("no");
            continue;
        }
        copy_items(&copy, &w);
        (void)printf(has_tag ? "tagged " : "ok ");
        for (size_t i = 0; i < w.len; i++) {
            (void)printf("%02x", out[i]);
        }
        (void)puts("");
    }
    return 0;
}
