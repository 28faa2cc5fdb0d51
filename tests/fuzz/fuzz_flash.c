/*
 * A NOR flash that somebody else wrote: the outbox and the keys start on it without a fault of
 * ours, what they find could have been written, and what is kept on it from then on is found by the
 * next start. The input: which of the two, then steps: a head with a check value that holds, a
 * record with one, or a byte as it is.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "core/device/flash_inside.h"
#include "core/device/flash_keys.h"
#include "core/device/flash_outbox.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    BLOCKS = 4,
    BLOCK = 512,
    UNIT = 8,
    STEPS_MAX = 64,
    ORDERS_MAX = 1000,
    WINDOW = 8,
    START = 1000
};

/* Nobody starts or writes so often: what counts that far is no accident. */
static bool counts_far(const struct flash_log *log)
{
    return log->start > 0xfffffff0u || log->next > UINT64_MAX >> 3;
}

static uint8_t flash[BLOCKS][BLOCK];
static struct flash_block blocks[BLOCKS];
static uint8_t buffer[BLOCK];
static uint8_t record[BLOCK];

static void perform(const struct flash_order *order)
{
    uint8_t *at = flash[order->block] + order->offset;
    INVARIANT(order->block < BLOCKS);
    INVARIANT(order->offset % UNIT == 0 && order->bytes.len % UNIT == 0);
    INVARIANT(order->offset + order->bytes.len <= BLOCK);
    if (order->kind == FLASH_READ) {
        memcpy(order->to, flash[order->block], BLOCK);
    } else if (order->kind == FLASH_ERASE) {
        memset(flash[order->block], 0xff, BLOCK);
    }
    for (size_t i = 0; i < order->bytes.len; i++) {
        at[i] &= order->bytes.at[i];
    }
}

static void paint(const struct flash_log_limits *limits, struct reader *r)
{
    uint8_t what = read_u8(r);
    uint8_t *at = flash[what % BLOCKS];
    switch (what >> 2 & 3) {
    case 0: {
        struct flash_head head = {0};
        head.written = (uint64_t)read_u16(r) << 32;
        head.written |= read_u16(r);
        head.first = read_u16(r);
        head.done = read_u16(r);
        flash_head_encode(limits, &head, at);
        break;
    }
    case 1: {
        uint64_t position = (what & 0x80) != 0 ? read_u64(r) : read_u16(r);
        struct slice body = read_bytes(r, (what & 0x40) != 0 ? 0 : read_u8(r) % 100u);
        uint32_t offset = read_u8(r) * 2u / UNIT * UNIT;
        uint8_t bytes[BLOCK];
        uint32_t len = flash_record_encode(limits, body.len > 0 ? FLASH_DATA : FLASH_DONE, position,
                                           body, bytes);
        for (uint32_t i = 0; i < len && offset + i < BLOCK; i++) {
            at[offset + i] = bytes[i];
        }
        for (uint32_t i = 0; i < UNIT && offset + len + i < BLOCK; i++) {
            at[offset + len + i] = 0;
        }
        break;
    }
    default: at[read_u16(r) % BLOCK] = read_u8(r); break;
    }
}

/* ---- the outbox ---- */

static struct flash_outbox box;
static struct outbox window;
static struct outbox_entry entries[WINDOW];
static uint8_t bytes[2 * (OUTBOX_MESSAGE_MAX + OUTBOX_STREAM_MAX)];

static void run_outbox(void)
{
    struct flash_order order;
    for (int i = 0; flash_outbox_wants(&box, &order); i++) {
        INVARIANT(i < ORDERS_MAX);
        perform(&order);
        flash_outbox_did(&box);
        outbox_check(&window);
    }
    flash_log_check(&box.log);
}

static void start_outbox(const struct flash_log_limits *limits, uint32_t start)
{
    outbox_init(&window, entries, WINDOW, bytes, sizeof bytes);
    flash_outbox_init(&box, limits, blocks, buffer, record, sizeof record, &window, start);
    run_outbox();
}

/* Sends and acknowledges all there is; the last seq. */
static uint64_t drain(void)
{
    struct outbox_message message;
    uint64_t last = 0;
    while (outbox_send(&window, &message)) {
        INVARIANT(message.seq >= last);
        last = message.seq;
        bool acked = outbox_acked(&window, message.packet_id);
        INVARIANT(acked);
        flash_outbox_acked(&box);
        run_outbox();
    }
    return last;
}

static void outbox_on(const struct flash_log_limits *limits)
{
    start_outbox(limits, START);
    uint64_t last = drain();
    flash_outbox_stop(&box);
    run_outbox();
    if (last == UINT64_MAX || counts_far(&box.log)) {
        return;
    }
    struct outbox_record message = {
        .seq = last + 1, .stream = slice_text("s"), .body = slice_text("kept")};
    enum flash_log_result result = flash_outbox_keep(&box, &message);
    run_outbox();
    if (result == FLASH_LOG_FULL) { /* what was acknowledged makes room */
        result = flash_outbox_keep(&box, &message);
        run_outbox();
    }
    INVARIANT(result == FLASH_LOG_OK);
    uint64_t done = box.log.done;
    start_outbox(limits, START + 1);
    INVARIANT(box.log.done >= done);
    uint64_t found = drain();
    INVARIANT(found == last + 1);
}

/* ---- keys ---- */

static struct flash_keys keys;

static void run_keys(void)
{
    struct flash_order order;
    for (int i = 0; flash_keys_wants(&keys, &order); i++) {
        INVARIANT(i < ORDERS_MAX);
        perform(&order);
        flash_keys_did(&keys);
    }
    flash_log_check(&keys.log);
}

static void keys_on(const struct flash_log_limits *limits)
{
    flash_keys_init(&keys, limits, blocks, buffer, record, sizeof record, START);
    run_keys();
    INVARIANT(keys.renewed.key.len == 0 || keys.own.key.len > 0);
    INVARIANT((keys.own.key.len == 0) == (keys.own.certificate_len == 0));
    if (counts_far(&keys.log)) {
        return;
    }
    enum flash_keys_result result = flash_keys_next(&keys, slice_text("a new key"));
    if (result != FLASH_KEYS_OK) {
        INVARIANT(result == FLASH_KEYS_TOO_LONG);
        return;
    }
    run_keys();
    struct flash_identity own = keys.own;
    flash_keys_init(&keys, limits, blocks, buffer, record, sizeof record, START + 1);
    run_keys();
    INVARIANT(keys.state == FLASH_KEYS_HELD && memcmp(&keys.own, &own, sizeof own) == 0);
    INVARIANT(slice_is_text(slice_of(keys.next.bytes, keys.next.len), "a new key"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_over(slice_of(data, size));
    bool is_keys = (read_u8(&r) & 1) != 0;
    struct flash_log_limits limits = {.blocks = BLOCKS,
                                      .block_len = BLOCK,
                                      .unit_len = UNIT,
                                      .kind = is_keys ? FLASH_KEYS_KIND : FLASH_OUTBOX_KIND,
                                      .replaces = is_keys};
    memset(flash, 0xff, sizeof flash);
    for (int i = 0; i < STEPS_MAX && r.rest.len > 0; i++) {
        paint(&limits, &r);
    }
    if (is_keys) {
        keys_on(&limits);
    } else {
        outbox_on(&limits);
    }
    return 0;
}
