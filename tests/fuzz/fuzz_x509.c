#include "base/invariant.h"
#include "codec/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice der = slice_of(data, size);
    struct x509 c;
    struct fault fault = {0};
    if (x509_parse(der, &c, &fault) != X509_OK) {
        INVARIANT(fault.clause != NULL && fault.at <= size + 1);
        return 0;
    }
    INVARIANT(is_within(c.tbs, der) && is_within(c.signature, der) && is_within(c.spki, c.tbs));
    struct x509 tbs;
    INVARIANT(x509_tbs_parse(c.tbs, &tbs, NULL) == X509_OK);
    INVARIANT(slice_equal(tbs.serial, c.serial) && tbs.not_after_ms == c.not_after_ms);
    uint8_t bytes[X509_CERTIFICATE_MAX + 16];
    struct writer w = writer_over(bytes, sizeof bytes);
    INVARIANT(x509_write(&w, c.tbs, c.signed_with, c.signature) == X509_OK);
    INVARIANT(slice_equal(writer_slice(&w), der));
    struct x509_names walk = x509_names_begin(c.extensions.names);
    uint8_t tag = 0;
    struct slice value = {0};
    while (x509_name_next(&walk, &tag, &value)) {
        INVARIANT(is_within(value, der));
    }
    return 0;
}
