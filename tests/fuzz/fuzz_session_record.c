/* What is accepted is the one encoding of its record, and each of its items can be read. */
#include "base/invariant.h"
#include "codec/session_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_items(const struct session_record *record)
{
    struct slice rest = record->items;
    if (record->kind == SESSION_MOVED) {
        struct session_move move;
        while (session_move_next(&rest, &move)) {
            INVARIANT(move.n != 0);
        }
    } else {
        struct session_item item;
        while (session_item_next(&rest, &item)) {
            INVARIANT(item.kind != 0);
        }
    }
    INVARIANT(rest.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[BUS_RECORD_PAYLOAD_MAX];
    struct session_record record;
    if (size <= sizeof room
        && session_record_decode(slice_of(data, size), &record) == SESSION_RECORD_OK) {
        struct writer w = writer_over(room, sizeof room);
        INVARIANT(session_record_encode(&record, &w) == SESSION_RECORD_OK);
        INVARIANT(slice_equal(writer_slice(&w), slice_of(data, size)));
        read_items(&record);
    }
    struct bus_target target;
    for (struct slice rest = slice_of(data, size); bus_target_next(&rest, &target);) {
        INVARIANT(target.qos == 1 || target.qos == 2);
    }
    return 0;
}
