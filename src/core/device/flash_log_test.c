#include "core/device/flash_log.h"
#include "core/device/flash_rig.h"
#include "test/test.h"

enum { BLOCKS = 6, BLOCK = 1024, UNIT = 16 };

static const struct flash_log_limits limits = {
    .blocks = BLOCKS, .block_len = BLOCK, .unit_len = UNIT, .kind = 't'};

struct rig {
    struct rig_flash flash;
    struct flash_log log;
    uint32_t starts;
};

static struct rig rig; /* large */

static void perform(struct rig *r)
{
    struct flash_order order;
    while (flash_log_wants(&r->log, &order)) {
        rig_perform(&r->flash, &order);
        flash_log_did(&r->log);
    }
    flash_log_check(&r->log);
}

static void start(struct rig *r)
{
    flash_log_init(&r->log, &r->flash.limits, r->flash.blocks, r->flash.buffer, ++r->starts);
    perform(r);
}

static struct rig *fresh(struct flash_log_limits of)
{
    rig_new(&rig.flash, of);
    rig.starts = 0;
    start(&rig);
    return &rig;
}

/* Records of `len` bytes, all of them `byte`. */
static enum flash_log_result append(struct rig *r, uint8_t byte, size_t len)
{
    uint8_t body[BLOCK];
    uint64_t position = 0;
    memset(body, byte, sizeof body);
    enum flash_log_result result = flash_log_append(&r->log, slice_of(body, len), &position);
    perform(r);
    return result;
}

/* The first byte of the record, or -1. */
static int byte_at(struct rig *r, uint64_t position)
{
    uint16_t block;
    uint64_t found;
    struct slice body;
    if (!flash_log_find(&r->log, position, &block)
        || !flash_log_read(&r->log, block, slice_of(r->flash.bytes[block], BLOCK), position, &found,
                           &body)
        || found != position) {
        return -1;
    }
    for (size_t i = 1; i < body.len; i++) {
        CHECK(body.at[i] == body.at[0]);
    }
    return body.at[0];
}

/* Where a record of ours lies on the flash. */
static uint8_t *find_byte(struct rig *r, uint8_t byte)
{
    for (uint16_t b = 0; b < BLOCKS; b++) {
        for (size_t i = FLASH_HEAD_LEN; i + 8 < BLOCK; i++) {
            uint8_t *at = r->flash.bytes[b] + i;
            if (at[0] == byte && at[7] == byte && r->log.blocks[b].state == FLASH_LIVE) {
                return at;
            }
        }
    }
    return NULL;
}

TEST("a record that is empty or too long for a block is refused, and nothing is changed")
{
    struct rig *r = fresh(limits);
    uint32_t most = flash_log_record_max(&limits);
    CHECK(append(r, 1, 0) == FLASH_LOG_TOO_LONG);
    CHECK(append(r, 1, most + 1) == FLASH_LOG_TOO_LONG);
    CHECK_U64(r->log.next, 0);
    CHECK(append(r, 1, most) == FLASH_LOG_OK && byte_at(r, 0) == 1);
    start(r);
    CHECK(byte_at(r, 0) == 1 && !r->log.is_hurt);
}

TEST("a full log keeps the oldest, refuses the newest, and takes it when room is saved")
{
    struct rig *r = fresh(limits);
    uint8_t count = 0;
    while (append(r, (uint8_t)(count + 1), 100) == FLASH_LOG_OK) {
        count++;
    }
    CHECK(count > 20);
    CHECK(append(r, 99, 100) == FLASH_LOG_FULL);
    for (uint8_t i = 0; i < count; i++) {
        CHECK(byte_at(r, i) == i + 1);
    }
    CHECK(!flash_log_save(&r->log)); /* nothing is done with */
    flash_log_done_to(&r->log, 8);
    CHECK(flash_log_save(&r->log));
    perform(r);
    CHECK(append(r, 99, 100) == FLASH_LOG_OK);
    start(r);
    CHECK(r->log.done == 8 && byte_at(r, 8) == 9 && byte_at(r, count) == 99);
}

TEST("acknowledging leads out of a full log, one record at a time, with starts and without")
{
    for (int starts = 0; starts < 2; starts++) {
        struct rig *r = fresh(limits);
        uint64_t count = 0;
        uint64_t unsaved = 0;
        while (append(r, 1, 1) == FLASH_LOG_OK) {
            count++;
        }
        for (uint64_t done = 1; done <= count; done++) {
            flash_log_done_to(&r->log, done);
            bool saved = flash_log_save(&r->log);
            perform(r);
            unsaved = saved ? 0 : unsaved + 1;
            CHECK(r->log.done + unsaved >= done && flash_log_free(&r->log) >= 1);
            CHECK(unsaved < 40); /* as many as a block holds */
            CHECK(byte_at(r, done) == (done < count ? 1 : -1));
            if (starts > 0 && done % 9 == 0) {
                start(r);
                CHECK(!r->log.is_hurt && r->log.next == count && r->log.done + unsaved >= done);
            }
        }
        CHECK(append(r, 2, 700) == FLASH_LOG_OK && byte_at(r, count) == 2);
    }
}

TEST("what was appended is found after starts, what was done with is not, whatever the unit")
{
    static const uint32_t units[] = {1, 4, 8, 16, 32, 64};
    for (size_t u = 0; u < COUNT_OF(units); u++) {
        struct flash_log_limits of = limits;
        of.unit_len = units[u];
        struct rig *r = fresh(of);
        uint64_t from = 0;
        for (unsigned i = 0; i < 300; i++) {
            CHECK(append(r, (uint8_t)(i % 251), 1 + i % 90) == FLASH_LOG_OK);
            if (i >= 5) {
                from = i - 5;
                flash_log_done_to(&r->log, from);
            }
            if (i % 7 == 0 && flash_log_save(&r->log)) {
                perform(r);
            }
            if (i % 11 == 0) {
                start(r);
                CHECK(!r->log.is_hurt && !r->log.is_fresh);
            }
            for (uint64_t p = from; p <= i; p++) {
                CHECK(byte_at(r, p) == (int)(p % 251));
            }
        }
    }
}

TEST("a device that only starts, again and again, with a full outbox or a little, loses no room")
{
    for (unsigned records = 1; records < 40; records += 6) {
        struct rig *r = fresh(limits);
        unsigned kept = 0;
        for (; kept < records && append(r, (uint8_t)(kept + 1), 100) == FLASH_LOG_OK; kept++) {
        }
        for (int i = 0; i < 100; i++) {
            start(r);
        }
        for (unsigned p = 0; p < kept; p++) {
            CHECK(byte_at(r, p) == (int)p + 1);
        }
        /* Each start has something new to say, and acknowledges nothing. */
        for (int i = 0; i < 100; i++) {
            start(r);
            (void)append(r, 200, 20);
            CHECK(flash_log_free(&r->log) >= 1);
        }
        flash_log_done_to(&r->log, r->log.next);
        (void)flash_log_save(&r->log);
        perform(r);
        start(r);
        CHECK_U64(flash_log_free(&r->log), BLOCKS - 1);
    }
}

TEST("blocks are taken in turn: none is erased much more often than another")
{
    struct rig *r = fresh(limits);
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    for (unsigned i = 0; i < 4000; i++) {
        CHECK(append(r, 1, 60) == FLASH_LOG_OK);
        flash_log_done_to(&r->log, r->log.next);
        if (i % 16 == 0 && flash_log_save(&r->log)) {
            perform(r);
        }
        if (i % 64 == 0) {
            start(r);
        }
    }
    for (uint16_t b = 0; b < BLOCKS; b++) {
        least = r->flash.erases[b] < least ? r->flash.erases[b] : least;
        most = r->flash.erases[b] > most ? r->flash.erases[b] : most;
    }
    CHECK(least > 10 && most <= least + 2);
}

TEST("a record that has rotted is told, and those before and behind it are read")
{
    static const int offsets[] = {0, 3, -10, -16}; /* in the body; in its head */
    for (size_t o = 0; o < COUNT_OF(offsets); o++) {
        struct rig *r = fresh(limits);
        for (uint8_t i = 0; i < 5; i++) {
            CHECK(append(r, (uint8_t)(0x50 + i), 40) == FLASH_LOG_OK);
        }
        uint8_t *at = find_byte(r, 0x52);
        REQUIRE(at != NULL);
        at[offsets[o]] ^= 4;
        start(r);
        CHECK(r->log.is_hurt && byte_at(r, 1) == 0x51 && byte_at(r, 2) == -1);
        CHECK(byte_at(r, 3) == 0x53 && byte_at(r, 4) == 0x54);
        CHECK(append(r, 0x60, 40) == FLASH_LOG_OK && byte_at(r, 5) == 0x60);
    }
}

TEST("the last record that has rotted is told, for its mark says that it was whole")
{
    struct rig *r = fresh(limits);
    CHECK(append(r, 0x51, 40) == FLASH_LOG_OK && append(r, 0x52, 40) == FLASH_LOG_OK);
    find_byte(r, 0x52)[20] ^= 1;
    start(r);
    CHECK(r->log.is_hurt && byte_at(r, 0) == 0x51 && byte_at(r, 1) == -1);
}

TEST("one flipped bit of a block's head loses nothing")
{
    for (size_t bit = 0; bit < 8u * FLASH_HEAD_LEN; bit += 5) {
        struct rig *r = fresh(limits);
        CHECK(append(r, 7, 40) == FLASH_LOG_OK);
        r->flash.bytes[r->log.newest][bit / 8] ^= (uint8_t)(1u << bit % 8);
        flash_log_init(&r->log, &limits, r->flash.blocks, r->flash.buffer, ++r->starts);
        struct flash_order order;
        while (flash_log_wants(&r->log, &order)) {
            if (order.kind == FLASH_PROGRAM) { /* a zero that became a one is programmed again */
                for (size_t i = 0; i < order.bytes.len; i++) {
                    r->flash.bytes[order.block][order.offset + i] &= order.bytes.at[i];
                }
            } else {
                rig_perform(&r->flash, &order);
            }
            flash_log_did(&r->log);
        }
        CHECK(byte_at(r, 0) == 7 && !r->log.is_hurt);
    }
}

TEST("a record of a log that replaces is alone on the flash")
{
    struct flash_log_limits of = limits;
    of.replaces = true;
    struct rig *r = fresh(of);
    for (uint8_t i = 0; i < 20; i++) {
        CHECK(append(r, (uint8_t)(0x40 + i), 700) == FLASH_LOG_OK);
        if (i % 3 == 0) {
            start(r);
        }
        CHECK(byte_at(r, r->log.done) == 0x40 + i && r->log.next == r->log.done + 1);
        for (uint8_t b = 0; i > 0 && b < BLOCKS; b++) {
            for (size_t at = 0; at + 4 <= BLOCK; at++) {
                uint8_t before[4];
                memset(before, 0x40 + i - 1, sizeof before);
                CHECK(memcmp(r->flash.bytes[b] + at, before, sizeof before) != 0);
            }
        }
    }
}

TEST("a flash laid out otherwise, of another log, or of zeroes is not read")
{
    struct rig *r = fresh(limits);
    CHECK(append(r, 7, 40) == FLASH_LOG_OK);
    r->flash.limits.kind = 'u';
    start(r);
    CHECK(r->log.is_fresh && r->log.next == 0);
    r = fresh(limits);
    CHECK(append(r, 7, 40) == FLASH_LOG_OK);
    r->flash.limits.unit_len = 8;
    start(r);
    CHECK(r->log.is_fresh);
    r = fresh(limits);
    memset(r->flash.bytes, 0, sizeof r->flash.bytes);
    start(r);
    CHECK(r->log.is_fresh && append(r, 7, 40) == FLASH_LOG_OK && byte_at(r, 0) == 7);
}

TEST("a flash of a later start than ours is gone on from, never under")
{
    struct rig *r = fresh(limits);
    r->starts = 700;
    start(r);
    CHECK(append(r, 7, 40) == FLASH_LOG_OK);
    r->starts = 3; /* the counters were lost */
    start(r);
    CHECK(byte_at(r, 0) == 7 && append(r, 8, 40) == FLASH_LOG_OK);
    start(r);
    CHECK(byte_at(r, 0) == 7 && byte_at(r, 1) == 8);
}
