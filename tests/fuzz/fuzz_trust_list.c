/* The first octet chooses: a whole list without anchors, a payload, or what a signer is asked to
 * sign. */
#include "base/invariant.h"
#include "trust/trust_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_payload(struct slice bytes)
{
    static uint8_t again[1 << 16];
    struct writer w = writer_over(again, sizeof again);
    struct trust_list list;
    struct fault fault = {0};
    if (!trust_list_payload_parse(bytes, &list, &fault)) {
        INVARIANT(fault.clause != NULL);
        return;
    }
    if (trust_list_payload_write(&w, &list)) {
        INVARIANT(slice_equal(writer_slice(&w), bytes));
    }
}

static void try_input(struct slice bytes)
{
    static uint8_t header[1 << 16];
    static uint8_t again[1 << 17];
    struct writer h = writer_over(header, sizeof header);
    struct writer w = writer_over(again, sizeof again);
    struct slice certificate = {0};
    struct slice payload = {0};
    if (trust_list_input_parse(bytes, &certificate, &payload, NULL)) {
        trust_list_header_write(&h, certificate);
        trust_list_input_write(&w, writer_slice(&h), payload);
        INVARIANT(slice_equal(writer_slice(&w), bytes));
    }
}

static void try_whole(struct slice bytes)
{
    struct chain_anchors none = {0};
    struct trust_list list;
    struct fault fault = {0};
    INVARIANT(trust_list_verify(bytes, &none, true, 0, &list, &fault) != TRUST_LIST_OK);
    INVARIANT(fault.clause != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        struct slice rest = slice_of(data + 1, size - 1);
        switch (data[0] % 3) {
        case 0: try_whole(rest); break;
        case 1: try_payload(rest); break;
        default: try_input(rest); break;
        }
    }
    return 0;
}
