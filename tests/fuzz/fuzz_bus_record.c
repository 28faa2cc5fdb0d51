/* What is accepted is the one encoding of its record. */
#include "base/invariant.h"
#include "codec/bus_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[BUS_RECORD_PAYLOAD_MAX + BUS_RECORD_TOPIC_MAX + 2 * BUS_RECORD_OVERHEAD];
    struct bus_record record;
    if (bus_record_decode(slice_of(data, size), &record) == BUS_RECORD_OK) {
        struct writer w = writer_over(room, sizeof room);
        INVARIANT(bus_record_encode(&record, &w) == BUS_RECORD_OK);
        INVARIANT(slice_equal(writer_slice(&w), slice_of(data, size)));
    }
    return 0;
}
