/* What decodes is sound, can be loaded, and encodes to the same bytes again. */
#include "base/invariant.h"
#include "core/ingest/received.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct received_spill spills[1];
    struct received_pool pool;
    struct received set;
    struct received_report report;
    struct received_report again;
    uint8_t bytes[RECEIVED_REPORT_MAX];
    struct writer w = writer_over(bytes, sizeof bytes);
    if (received_report_decode(slice_of(data, size), &report) != RECEIVED_REPORT_OK) {
        return 0;
    }
    received_pool_init(&pool, spills, 1);
    INVARIANT(received_report_is_sound(&report));
    INVARIANT(received_from_report(&set, &pool, &report) == RECEIVED_LOADED);
    received_check(&set, &pool);
    received_to_report(&set, &pool, &again);
    INVARIANT(received_report_encode(&again, &w) == RECEIVED_REPORT_OK);
    INVARIANT(slice_equal(writer_slice(&w), slice_of(data, size)));
    return 0;
}
