/*
 * The agent's file of numbers after any accident: what is found could have been written, the boot
 * that begins on it stands beyond it, and what it stores is found again. The first byte says which
 * copies get a check value that holds, the rest is their bytes.
 */
#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/writer.h"
#include "core/device/sequence.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COUNTER_AT = 6 };

static void place(uint8_t file[SEQUENCE_FILE_LEN], size_t copy, struct slice bytes, bool holds)
{
    uint8_t *at = file + copy * SEQUENCE_COPY_STRIDE;
    for (size_t i = 0; i < bytes.len && i < SEQUENCE_COPY_LEN; i++) {
        at[i] = bytes.at[i];
    }
    if (holds) {
        struct writer w = writer_over(at + SEQUENCE_COPY_LEN - 4, 4);
        write_u32(&w, crc32c(0, slice_of(at, SEQUENCE_COPY_LEN - 4)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t file[SEQUENCE_FILE_LEN] = {0};
    struct sequence_record found = {0};
    if (size == 0) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    place(file, 0, rest, (data[0] & 1) != 0);
    bool is_cut = (data[0] & 4) != 0;
    if (!is_cut) {
        place(file, 1, slice_after(rest, SEQUENCE_COPY_LEN), (data[0] & 2) != 0);
    }
    struct slice whole = slice_of(file, is_cut ? SEQUENCE_COPY_LEN : sizeof file);
    enum sequence_load loaded = sequence_load(whole, &found);
    INVARIANT(loaded != SEQUENCE_FRESH);
    /* Nobody writes 2^56 times: what counts that far is no accident, and wraps. */
    bool counts_far = file[COUNTER_AT] != 0 || file[SEQUENCE_COPY_STRIDE + COUNTER_AT] != 0;
    bool is_used_up = found.boot == UINT32_MAX || found.next > UINT64_MAX / 2;
    if (loaded == SEQUENCE_DAMAGED || counts_far || is_used_up) {
        return 0;
    }
    struct sequence_store store;
    struct sequence sequence;
    sequence_start(&sequence, &found, &store);
    INVARIANT(sequence.boot > found.boot && sequence.first >= found.next);
    INVARIANT(store.offset + SEQUENCE_COPY_LEN <= sizeof file);
    memcpy(file + store.offset, store.bytes, SEQUENCE_COPY_LEN);
    struct sequence_record again;
    enum sequence_load reloaded = sequence_load(slice_of(file, sizeof file), &again);
    INVARIANT(reloaded == SEQUENCE_FOUND || reloaded == SEQUENCE_MENDED);
    INVARIANT(again.boot >= store.record.boot && again.next >= store.record.next);
    return 0;
}
