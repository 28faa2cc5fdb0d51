/* What is accepted is the one encoding of its record; version 1 can be written again as version 2.
 */
#include "base/invariant.h"
#include "codec/bus_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[BUS_RECORD_MAX];
    struct bus_record record;
    if (bus_record_decode(slice_of(data, size), &record) == BUS_RECORD_OK) {
        struct writer w = writer_over(room, sizeof room);
        INVARIANT(bus_record_encode(&record, &w) == BUS_RECORD_OK);
        INVARIANT(data[0] == 1 || slice_equal(writer_slice(&w), slice_of(data, size)));
        struct bus_target target;
        struct slice rest = record.delivery.targets;
        while (bus_target_next(&rest, &target)) {
            INVARIANT(target.session != 0);
        }
        INVARIANT(rest.len == 0);
    }
    return 0;
}
