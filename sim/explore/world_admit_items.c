#include "sim/explore/world_admit_items.h"

#include "base/invariant.h"
#include "core/ingest/craft.h"

#include <string.h>

enum { RECORD_CAP = 2048 };

static const char *const item_names[ITEMS] = {"the link of boot 1",
                                              "the link of boot 2",
                                              "the hello of boot 1",
                                              "the hello of boot 2",
                                              "message 1",
                                              "message 2",
                                              "message 3 (of boot 2)",
                                              "message 2, altered",
                                              "the hello of boot 2, altered",
                                              "message 3 in another stream",
                                              "the hello of boot 2 at the wrong gateway"};

static struct {
    bool is_made;
    struct craft_site site;
    struct craft_device boots[2];
    uint8_t bytes[ITEMS][RECORD_CAP];
    size_t lens[ITEMS];
    struct admit_config config;
} made;

bool item_is_message(enum item item)
{
    return item >= MESSAGE_1 && item <= MESSAGE_3;
}

bool item_is_forgery(enum item item)
{
    return item >= ALTERED_MESSAGE;
}

static void keep_item(enum item item, const struct writer *w)
{
    INVARIANT(writer_ok(w));
    made.lens[item] = w->len;
}

static void make_message(enum item item,
                         struct craft_device *boot,
                         uint64_t seq,
                         const char *stream)
{
    struct writer w = writer_over(made.bytes[item], RECORD_CAP);
    const struct craft_value value = {.name = "v", .time_ms = made.site.now_ms, .value = 1};
    craft_telemetry(&made.site, boot, seq, stream, &value, 1, &w);
    keep_item(item, &w);
}

static void copy_item(enum item to, enum item from)
{
    memcpy(made.bytes[to], made.bytes[from], made.lens[from]);
    made.lens[to] = made.lens[from];
}

/* One bit of what the device said; what stands around it in a record is the gateway's word. */
static void alter_item(enum item to, enum item from)
{
    struct bus_record record;
    copy_item(to, from);
    INVARIANT(bus_record_decode(slice_of(made.bytes[to], made.lens[to]), &record) == BUS_RECORD_OK);
    made.bytes[to][(size_t)(record.payload.at - made.bytes[to]) + record.payload.len - 1] ^= 1;
}

/* Message 3 as it is, under the name of another stream of the same length. */
static void move_message(void)
{
    copy_item(MOVED_MESSAGE, MESSAGE_3);
    for (size_t i = 0; i + 4 <= made.lens[MOVED_MESSAGE]; i++) {
        if (memcmp(&made.bytes[MOVED_MESSAGE][i], "/t/s", 4) == 0) {
            made.bytes[MOVED_MESSAGE][i + 3] = 'z';
            return;
        }
    }
    UNREACHABLE();
}

void items_make(void)
{
    if (made.is_made) {
        return;
    }
    INVARIANT(craft_site_make(&made.site));
    INVARIANT(craft_device_make(&made.site, 1, &made.boots[0]));
    made.boots[1] = made.boots[0];
    for (uint32_t i = 0; i < 2; i++) {
        INVARIANT(craft_boot(&made.site, &made.boots[i], i + 1, i == 0 ? 1 : 3));
        struct writer link = writer_over(made.bytes[LINK_1 + i], RECORD_CAP);
        struct writer hello = writer_over(made.bytes[HELLO_1 + i], RECORD_CAP);
        craft_linked(&made.site, &made.boots[i], i + 1, &link);
        craft_hello(&made.site, &made.boots[i], &hello);
        keep_item((enum item)(LINK_1 + i), &link);
        keep_item((enum item)(HELLO_1 + i), &hello);
    }
    make_message(MESSAGE_1, &made.boots[0], 1, "s");
    make_message(MESSAGE_2, &made.boots[0], 2, "s");
    make_message(MESSAGE_3, &made.boots[1], 3, "s");
    alter_item(ALTERED_MESSAGE, MESSAGE_2);
    alter_item(ALTERED_HELLO, HELLO_2);
    copy_item(STOLEN_HELLO, HELLO_2);
    move_message();
    made.config =
        (struct admit_config){.keys_count = 1,
                              .issuers = {.list = &made.site.issuer_certificate, .count = 1},
                              .domain = slice_text("holdfast.local")};
    made.config.keys[0].key = made.site.ingest;
    memcpy(made.config.keys[0].id, made.site.ingest_id, sizeof made.config.keys[0].id);
    made.is_made = true;
}

static uint64_t gateway_of(enum item item)
{
    switch (item) {
    case LINK_2:
    case HELLO_2:
    case MESSAGE_3:
    case ALTERED_HELLO:
    case MOVED_MESSAGE: return 2;
    case LINK_1:
    case HELLO_1:
    case MESSAGE_1:
    case MESSAGE_2:
    case ALTERED_MESSAGE:
    case STOLEN_HELLO: return 1;
    }
    UNREACHABLE();
}

const struct admit_config *items_site(void)
{
    return &made.config;
}

const struct device_id *items_device(void)
{
    return &made.boots[0].id;
}

const char *item_name(enum item item)
{
    return item_names[item];
}

struct admit_record item_record(enum item item)
{
    return (struct admit_record){.gateway = gateway_of(item),
                                 .bytes = slice_of(made.bytes[item], made.lens[item])};
}
