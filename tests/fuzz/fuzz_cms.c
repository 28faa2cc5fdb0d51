#include "base/invariant.h"
#include "codec/cms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[1 << 20];
    struct slice certs[CMS_CERTS_MAX];
    struct slice again[CMS_CERTS_MAX];
    size_t count = 0;
    size_t count_again = 0;
    struct fault fault = {0};
    struct writer w = writer_over(bytes, sizeof bytes);
    if (cms_certs_read(slice_of(data, size), certs, COUNT_OF(certs), &count, &fault) != CMS_OK) {
        INVARIANT(fault.clause != NULL);
        return 0;
    }
    if (cms_certs_write(&w, certs, count) != CMS_OK) {
        return 0;
    }
    INVARIANT(cms_certs_read(writer_slice(&w), again, COUNT_OF(again), &count_again, NULL)
              == CMS_OK);
    INVARIANT(count == count_again);
    for (size_t i = 1; i < count; i++) {
        INVARIANT(slice_compare(again[i - 1], again[i]) <= 0);
    }
    return 0;
}
