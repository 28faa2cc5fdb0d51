/* The first octet chooses: a request, or csrattrs. */
#include "base/invariant.h"
#include "codec/csr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(struct slice der)
{
    struct csr csr;
    struct fault fault = {0};
    uint8_t bytes[X509_CERTIFICATE_MAX + 16];
    struct writer w = writer_over(bytes, sizeof bytes);
    if (csr_parse(der, &csr, &fault) != X509_OK) {
        INVARIANT(fault.clause != NULL);
        return;
    }
    INVARIANT(csr_write(&w, csr.info, csr.signed_with, csr.signature) == X509_OK);
    INVARIANT(slice_equal(writer_slice(&w), der));
}

static void try_attrs(struct slice der)
{
    struct csrattrs attrs;
    struct csrattrs again;
    uint8_t bytes[128];
    struct writer w = writer_over(bytes, sizeof bytes);
    if (csrattrs_parse(der, &attrs) != X509_OK) {
        return;
    }
    csrattrs_write(&w, &attrs);
    INVARIANT(csrattrs_parse(writer_slice(&w), &again) == X509_OK);
    INVARIANT(again.p256 == attrs.p256 && again.challenge_password == attrs.challenge_password);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        struct slice rest = slice_of(data + 1, size - 1);
        (data[0] & 1) != 0 ? try_attrs(rest) : try_request(rest);
    }
    return 0;
}
