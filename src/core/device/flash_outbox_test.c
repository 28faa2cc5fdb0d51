#include "core/device/flash_outbox.h"
#include "core/device/flash_rig.h"
#include "test/test.h"

enum { WINDOW = 16, WINDOW_BYTES = 3 * (OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX) };

static const struct flash_log_limits limits = {
    .blocks = 8, .block_len = 4096, .unit_len = 16, .kind = FLASH_OUTBOX_KIND};

static struct rig {
    struct rig_flash flash;
    struct flash_outbox box;
    struct outbox window;
    struct outbox_entry entries[WINDOW];
    uint8_t bytes[WINDOW_BYTES];
    uint32_t starts;
    uint64_t seq;
} rig;

static void perform(void)
{
    struct flash_order order;
    while (flash_outbox_wants(&rig.box, &order)) {
        rig_perform(&rig.flash, &order);
        flash_outbox_did(&rig.box);
    }
    outbox_check(&rig.window);
    flash_log_check(&rig.box.log);
}

static void start(void)
{
    outbox_init(&rig.window, rig.entries, WINDOW, rig.bytes, sizeof rig.bytes);
    flash_outbox_init(&rig.box, &limits, rig.flash.blocks, rig.flash.buffer, rig.flash.record,
                      limits.block_len, &rig.window, ++rig.starts);
    perform();
}

static void fresh(void)
{
    rig_new(&rig.flash, limits);
    rig.starts = 0;
    rig.seq = 0;
    start();
}

static enum flash_log_result keep(size_t len)
{
    static uint8_t body[OUTBOX_MESSAGE_MAX + 1];
    memset(body, (uint8_t)(rig.seq + 1), sizeof body);
    enum flash_log_result result = flash_outbox_keep(
        &rig.box, &(struct outbox_record){
                      .seq = rig.seq + 1, .stream = slice_text("s"), .body = slice_of(body, len)});
    rig.seq += result == FLASH_LOG_OK;
    perform();
    return result;
}

/* Sends and acknowledges one; its seq, 0 where none waits. */
static uint64_t deliver(void)
{
    struct outbox_message message;
    if (!outbox_send(&rig.window, &message)) {
        return 0;
    }
    CHECK(slice_is_text(message.stream, "s") && message.payload.at[0] == (uint8_t)message.seq);
    CHECK(outbox_acked(&rig.window, message.packet_id));
    flash_outbox_acked(&rig.box);
    perform();
    return message.seq;
}

TEST("a message is sent when it is on the flash, not before")
{
    static const uint8_t body[] = {1};
    struct outbox_message message;
    struct flash_order order;
    fresh();
    CHECK(flash_outbox_keep(&rig.box, &(struct outbox_record){.seq = 1,
                                                              .stream = slice_text("s"),
                                                              .body = slice_of(body, sizeof body)})
          == FLASH_LOG_OK);
    while (rig.box.log.phase != FLASH_RESTS && flash_outbox_wants(&rig.box, &order)) {
        CHECK(!outbox_send(&rig.window, &message));
        rig_perform(&rig.flash, &order);
        flash_outbox_did(&rig.box);
    }
    perform();
    CHECK(outbox_send(&rig.window, &message) && message.seq == 1);
}

TEST("more than the window holds is read back as it empties, in order, after starts too")
{
    fresh();
    for (int i = 0; i < 80; i++) {
        CHECK(keep(100 + (size_t)i) == FLASH_LOG_OK);
    }
    uint64_t next = 1;
    for (; next <= 30; next++) {
        CHECK_U64(deliver(), next);
    }
    start(); /* without a clean stop: what was acknowledged since the last save comes again */
    uint64_t again = deliver();
    CHECK(again >= 1 && again <= next);
    for (next = again + 1; next <= 80; next++) {
        CHECK_U64(deliver(), next);
    }
    CHECK(deliver() == 0 && flash_outbox_is_read(&rig.box));
    flash_outbox_stop(&rig.box);
    perform();
    start();
    CHECK(deliver() == 0);
}

TEST("a full outbox keeps the oldest and refuses the new one until something is acknowledged")
{
    fresh();
    while (keep(500) == FLASH_LOG_OK) {
    }
    uint64_t kept = rig.seq;
    CHECK(kept > 20 && keep(500) == FLASH_LOG_FULL);
    for (uint64_t i = 1; i <= 10; i++) {
        CHECK_U64(deliver(), i);
    }
    while (keep(500) == FLASH_LOG_FULL && deliver() > 0) {
    }
    CHECK_U64(rig.seq, kept + 1);
    start();
    uint64_t last = 0;
    for (uint64_t seq = deliver(); seq > 0; seq = deliver()) {
        CHECK(last == 0 || seq == last + 1);
        last = seq;
    }
    CHECK_U64(last, kept + 1);
}

TEST("a message too long for a block, or none, is refused")
{
    fresh();
    CHECK(keep(0) == FLASH_LOG_TOO_LONG && keep(4096) == FLASH_LOG_TOO_LONG);
    CHECK(keep(OUTBOX_MESSAGE_MAX + 1) == FLASH_LOG_TOO_LONG);
    CHECK(keep(3000) == FLASH_LOG_OK && deliver() == 1);
}

TEST("a message that rotted is passed over and counted")
{
    fresh();
    for (int i = 0; i < 3; i++) {
        CHECK(keep(200) == FLASH_LOG_OK);
    }
    uint8_t *block = rig.flash.bytes[rig.box.log.newest];
    for (size_t i = 0; i < 4096; i++) {
        if (block[i] == 2 && block[i + 100] == 2) {
            block[i + 50] ^= 0x10;
            break;
        }
    }
    start();
    CHECK(rig.box.log.is_hurt);
    CHECK(deliver() == 1 && deliver() == 3 && deliver() == 0);
    CHECK_U64(rig.box.rotten, 1);
}
