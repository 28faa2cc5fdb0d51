/* Base64 in both modes, and PEM over the same input. */
#include "base/invariant.h"
#include "codec/base64.h"
#include "codec/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t decoded[1 << 16];
static uint8_t encoded[1 << 17];

static void try_pem(struct slice text)
{
    struct writer w = writer_over(decoded, sizeof decoded);
    struct slice label = {0};
    struct slice bytes = {0};
    while (pem_next(&text, &label, &w, &bytes) == PEM_OK) {
        INVARIANT(bytes.len <= w.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct writer w = writer_over(decoded, sizeof decoded);
    struct writer back = writer_over(encoded, sizeof encoded);
    bool is_strict = base64_decode(text, BASE64_STRICT, &w) == BASE64_OK;
    if (is_strict) {
        base64_encode(&back, writer_slice(&w));
        INVARIANT(slice_equal(writer_slice(&back), text));
    }
    writer_reset(&w);
    bool is_lenient = base64_decode(text, BASE64_LENIENT, &w) == BASE64_OK;
    INVARIANT(is_lenient || !is_strict);
    try_pem(text);
    return 0;
}
