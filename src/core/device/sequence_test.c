#include "base/invariant.h"
#include "core/device/sequence.h"
#include "test/test.h"

#include <string.h>

/* The file, as the role keeps it. */
struct file {
    uint8_t bytes[SEQUENCE_FILE_LEN];
    size_t len;
};

static void apply(struct file *f, const struct sequence_store *store)
{
    memcpy(f->bytes + store->offset, store->bytes, sizeof store->bytes);
    f->len = sizeof f->bytes;
}

static struct slice of(const struct file *f)
{
    return slice_of(f->bytes, f->len);
}

static void begin(struct sequence *s, struct file *f)
{
    struct sequence_record last;
    struct sequence_store store;
    enum sequence_load load = sequence_load(of(f), &last);
    CHECK(load != SEQUENCE_DAMAGED);
    sequence_start(s, load == SEQUENCE_FRESH ? NULL : &last, &store);
    apply(f, &store);
    sequence_stored(s);
    if (load == SEQUENCE_MENDED) {
        sequence_save(s, &store);
        apply(f, &store);
        sequence_stored(s);
    }
    sequence_check(s);
}

TEST("the first number of a device's life is 1, in boot 1")
{
    struct file f = {0};
    struct sequence s;
    uint64_t seq = 0;
    begin(&s, &f);
    CHECK(s.boot == 1 && s.first == 1);
    CHECK(sequence_take(&s, &seq));
    CHECK_U64(seq, 1);
}

TEST("no number is taken before its block is durable")
{
    struct sequence s;
    struct sequence_store store;
    uint64_t seq = 0;
    sequence_start(&s, NULL, &store);
    CHECK(!sequence_take(&s, &seq));
    sequence_stored(&s);
    for (uint64_t i = 1; i <= SEQUENCE_BLOCK; i++) {
        CHECK(sequence_take(&s, &seq));
        CHECK_U64(seq, i);
    }
    CHECK(!sequence_take(&s, &seq));
    CHECK(sequence_wants(&s, &store));
    CHECK(!sequence_wants(&s, &store));
    CHECK(!sequence_take(&s, &seq));
    sequence_stored(&s);
    CHECK(sequence_take(&s, &seq));
    CHECK_U64(seq, SEQUENCE_BLOCK + 1);
}

TEST("after a crash the next boot begins beyond everything that was reserved")
{
    struct file f = {0};
    struct sequence s;
    uint64_t seq = 0;
    begin(&s, &f);
    CHECK(sequence_take(&s, &seq));
    begin(&s, &f);
    CHECK(s.boot == 2);
    CHECK_U64(s.first, SEQUENCE_BLOCK + 1);
}

TEST("after a clean stop the next boot goes on without a gap, and knows rows and positions")
{
    struct file f = {0};
    struct sequence s;
    struct sequence_store store;
    uint64_t seq = 0;
    begin(&s, &f);
    CHECK(sequence_take(&s, &seq));
    CHECK(sequence_take(&s, &seq));
    sequence_note_row(&s, 17);
    sequence_note_row(&s, 9);
    sequence_note_done(&s, 4711);
    sequence_stop(&s, &store);
    CHECK(!sequence_take(&s, &seq));
    apply(&f, &store);
    begin(&s, &f);
    CHECK(s.boot == 2);
    CHECK_U64(s.first, 3);
    CHECK_U64(s.row, 17);
    CHECK_U64(s.done, 4711);
}

TEST("one spoilt copy costs numbers and never repeats one, two stop the device")
{
    for (size_t spoilt = 0; spoilt < 2; spoilt++) {
        struct file f = {0};
        struct sequence s;
        begin(&s, &f);
        begin(&s, &f);
        begin(&s, &f); /* both copies are written; the newer one is copy 0 */
        uint64_t most = s.reserved;
        uint32_t boot = s.boot;
        f.bytes[spoilt * SEQUENCE_COPY_STRIDE + 30] ^= 4;
        struct file both = f;
        begin(&s, &f);
        CHECK(s.first >= most);
        CHECK(s.boot > boot);
        both.bytes[(1 - spoilt) * SEQUENCE_COPY_STRIDE + 3] ^= 4;
        struct sequence_record last;
        CHECK(sequence_load(of(&both), &last) == SEQUENCE_DAMAGED);
    }
}

TEST("a file of zeroes, or cut, is damaged and not fresh")
{
    static const uint8_t zeroes[SEQUENCE_FILE_LEN];
    struct sequence_record last;
    CHECK(sequence_load((struct slice){0}, &last) == SEQUENCE_FRESH);
    CHECK(sequence_load(slice_of(zeroes, sizeof zeroes), &last) == SEQUENCE_DAMAGED);
    CHECK(sequence_load(slice_of(zeroes, 10), &last) == SEQUENCE_DAMAGED);
}

TEST("what is stored after a torn write goes over the torn copy, so that a second cut spoils "
     "nothing")
{
    struct file f = {0};
    struct sequence s;
    struct sequence_record last;
    struct sequence_store store;
    begin(&s, &f);
    begin(&s, &f);
    for (int cut = 0; cut < 4; cut++) { /* each start is cut within its write */
        CHECK(sequence_load(of(&f), &last) != SEQUENCE_DAMAGED);
        sequence_start(&s, &last, &store);
        memset(f.bytes + store.offset + 20, 0xa5, 10);
    }
    CHECK(sequence_load(of(&f), &last) == SEQUENCE_MENDED);
}

TEST("after a torn write was mended either copy may be lost, and no boot or number comes again")
{
    for (size_t lost = 0; lost < 2; lost++) {
        struct file f = {0};
        struct sequence s;
        struct sequence_store store;
        begin(&s, &f);
        sequence_begin_boot(&s, &store);
        memset(f.bytes + store.offset + 20, 0xa5, 10); /* the power goes within it */
        begin(&s, &f);
        uint64_t used = s.reserved;
        uint32_t boot = s.boot;
        memset(f.bytes + lost * SEQUENCE_COPY_STRIDE, 0xa5, SEQUENCE_COPY_LEN);
        begin(&s, &f);
        CHECK(s.first >= used);
        CHECK(s.boot > boot);
    }
}

TEST("a new boot of the running device is stored over the older copy, however the write ends")
{
    struct file f = {0};
    struct sequence s;
    struct sequence_record last;
    struct sequence_store store;
    uint64_t seq = 0;
    begin(&s, &f); /* the first start of its life: the other copy is still blank */
    CHECK(sequence_take(&s, &seq));
    sequence_begin_boot(&s, &store);
    CHECK(!sequence_take(&s, &seq));
    struct file cut = f;
    memset(cut.bytes + store.offset + 20, 0xa5, 10);
    CHECK(sequence_load(of(&cut), &last) == SEQUENCE_MENDED);
    apply(&f, &store);
    sequence_stored(&s);
    CHECK(s.boot == 2);
    CHECK(sequence_take(&s, &seq));
    CHECK_U64(seq, 2);
}

/* Every write of a life of many boots torn at every byte: what is read afterwards never repeats a
 * number. */
TEST("a write torn at any byte never makes a number or a boot come twice")
{
    struct file f = {0};
    struct sequence s;
    struct sequence_store store;
    uint64_t seq = 0;
    begin(&s, &f);
    for (int step = 0; step < 12; step++) {
        uint64_t durable_most = s.reserved;
        uint32_t boot = s.boot;
        struct sequence next = s;
        if (step % 3 == 2) {
            struct sequence_record last;
            CHECK(sequence_load(of(&f), &last) == SEQUENCE_FOUND);
            sequence_start(&next, &last, &store);
        } else {
            while (next.reserved - next.next >= SEQUENCE_LOW) {
                CHECK(sequence_take(&next, &seq));
            }
            CHECK(sequence_wants(&next, &store));
        }
        for (size_t torn = 0; torn <= SEQUENCE_COPY_LEN; torn++) {
            struct file cut = f;
            struct sequence after;
            memcpy(cut.bytes + store.offset, store.bytes, torn);
            begin(&after, &cut);
            CHECK(after.first >= durable_most);
            CHECK(after.boot > boot);
        }
        apply(&f, &store);
        sequence_stored(&next);
        s = next;
    }
    CHECK_U64(invariant_breaches(), 0);
}

TEST("the floor of trust lists never falls, whichever copy is lost after it was stored to both")
{
    for (size_t lost = 0; lost < 2; lost++) {
        struct file f = {0};
        struct sequence s;
        struct sequence_store store;
        begin(&s, &f);
        CHECK_U64(s.trust, 0);
        sequence_note_trust(&s, 9);
        sequence_note_trust(&s, 4);
        for (int copies = 0; copies < 2; copies++) {
            sequence_save(&s, &store);
            apply(&f, &store);
            sequence_stored(&s);
        }
        sequence_begin_boot(&s, &store);
        CHECK_U64(store.record.trust, 9);
        memset(f.bytes + lost * SEQUENCE_COPY_STRIDE, 0xa5, SEQUENCE_COPY_LEN);
        begin(&s, &f);
        CHECK_U64(s.trust, 9);
    }
}

TEST("a record from before there was a floor of trust lists is read, and has none")
{
    /* boot 3, everything from 2049 on unused, 17 rows, 4711: as it was written then */
    static const uint8_t old[SEQUENCE_COPY_LEN] = {
        0x68, 0x66, 0x73, 0x65, 0x71, 0x1, 0x0, 0x0, 0x0,  0x0,  0x0, 0x0, 0x0,  0x5,  0x0,  0x0,
        0x0,  0x3,  0x0,  0x0,  0x0,  0x0, 0x0, 0x0, 0x8,  0x1,  0x0, 0x0, 0x0,  0x0,  0x0,  0x0,
        0x0,  0x11, 0x0,  0x0,  0x0,  0x0, 0x0, 0x0, 0x12, 0x67, 0x0, 0x0, 0x0,  0x0,  0x0,  0x0,
        0x0,  0x0,  0x0,  0x0,  0x0,  0x0, 0x0, 0x0, 0x0,  0x0,  0x0, 0x0, 0x21, 0x76, 0x37, 0x4b};
    struct sequence_record last;
    REQUIRE(sequence_load(slice_of(old, sizeof old), &last) == SEQUENCE_FOUND);
    CHECK(last.boot == 3 && last.next == 2049 && last.row == 17 && last.done == 4711);
    CHECK_U64(last.trust, 0);
}

TEST("a record given once more is the same bytes at the same place")
{
    struct sequence s;
    struct sequence_store store;
    struct sequence_store again;
    sequence_start(&s, NULL, &store);
    for (int i = 0; i < 3; i++) {
        sequence_stored(&s);
        sequence_again(&store.record, &again);
        CHECK(again.offset == store.offset
              && memcmp(again.bytes, store.bytes, sizeof again.bytes) == 0);
        sequence_save(&s, &store);
    }
}
