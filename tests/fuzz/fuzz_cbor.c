/* CBOR: no read goes past the end; what is deterministic is written again byte for byte; what
 * deterministic reading takes, lax reading takes too. */
#include "codec/cbor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void copy_items(struct cbor_reader *r, struct writer *w)
{
    while (cbor_ok(r) && cbor_peek(r) != CBOR_NONE) {
        switch (cbor_peek(r)) {
        case CBOR_UINT: cbor_write_u64(w, cbor_read_u64(r)); break;
        case CBOR_BYTES: cbor_write_bytes(w, cbor_read_bytes(r)); break;
        case CBOR_TEXT: cbor_write_text(w, cbor_read_text(r)); break;
        case CBOR_ARRAY: cbor_write_array(w, cbor_enter_array(r)); break;
        case CBOR_MAP: cbor_write_map(w, cbor_enter_map(r).left); break;
        case CBOR_TAG: cbor_write_tag(w, cbor_read_tag(r)); break;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cbor_reader strict = cbor_over(slice_of(data, size), CBOR_DETERMINISTIC);
    struct cbor_reader lax = cbor_over(slice_of(data, size), CBOR_ANY);
    struct slice item = cbor_skip(&strict);
    (void)cbor_skip(&lax);
    demand(cbor_ok(&strict) || strict.fault.clause != NULL);
    struct cbor_reader map_reader = cbor_over(slice_of(data, size), CBOR_ANY);
    struct cbor_map map = cbor_enter_map(&map_reader);
    while (cbor_next_key(&map_reader, &map)) {
        (void)cbor_skip(&map_reader);
        (void)cbor_skip(&map_reader);
    }
    if (!cbor_ok(&strict)) {
        return 0;
    }
    demand(cbor_ok(&lax)
           || item.len > 2 * (size_t)CBOR_LAX_KEYS_MAX); /* lax maps have fewer keys */
    uint8_t *out = malloc(item.len);
    demand(out != NULL);
    struct writer w = writer_over(out, item.len);
    struct cbor_reader again = cbor_over(item, CBOR_DETERMINISTIC);
    copy_items(&again, &w);
    demand(cbor_done(&again) && slice_equal(writer_slice(&w), item));
    free(out);
    return 0;
}
