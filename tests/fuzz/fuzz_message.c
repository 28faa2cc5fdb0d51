/* Device messages and the COSE around them: nothing is read past its end, and what is taken is
 * written again as it was where the form has only one spelling. */
#include "codec/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void try_cose(enum cose_kind kind, struct slice bytes)
{
    struct cose_message m;
    struct fault fault = {0};
    if (cose_decode(kind, bytes, NULL, 0, &m, &fault) != COSE_OK) {
        demand(fault.clause != NULL);
        return;
    }
    struct cose_input input;
    struct slice value;
    struct slice chain[COSE_CHAIN_MAX];
    size_t count;
    cose_to_be_authenticated(&input, kind, m.protected_header, bytes, m.payload);
    if (cose_header_find(m.unprotected_header, COSE_X5CHAIN, &value)
        && cose_chain_decode(value, chain, &count)) {
        demand(count >= 1 && count <= COSE_CHAIN_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[4096];
    struct slice bytes = slice_of(data, size);
    struct hello hello;
    struct telemetry telemetry;
    struct message_topic topic;
    struct writer w = writer_over(out, sizeof out);
    try_cose(COSE_SIGN1, bytes);
    try_cose(COSE_MAC0, bytes);
    if (hello_decode(bytes, &hello, NULL) == MESSAGE_OK) {
        demand(hello.claims.boot > 0 && hello.claims.first > 0 && hello.chain_count > 0);
        hello_claims_write(&w, &hello.claims);
        demand(!writer_ok(&w) || hello.has_additions
               || slice_equal(writer_slice(&w), hello.cose.payload));
    }
    if (telemetry_decode(bytes, &telemetry, NULL) == MESSAGE_OK) {
        demand(telemetry.boot > 0 && telemetry.seq > 0);
        writer_reset(&w);
        telemetry_protected_write(&w, telemetry.boot, telemetry.seq);
        demand(telemetry.has_additions
               || slice_equal(writer_slice(&w), telemetry.cose.protected_header));
    }
    if (message_topic_decode(bytes, &topic)) {
        writer_reset(&w);
        message_topic_write(&w, &topic);
        demand(slice_equal(writer_slice(&w), bytes));
    }
    return 0;
}
