/*
 * What ingest takes for true: core/ingest/admit whole, with real certificates, hellos and MACs (of
 * the simulations' cipher), over two gateways of which one may be hostile. Links, hellos and
 * messages of two boots arrive in any order and any number of times; so do forgeries: a message and
 * a hello with one bit changed, a message under another stream's name, a hello in the journal of a
 * gateway that the device never spoke to. Power cuts take back what was not committed.
 *
 * OnlyAuthentic: a forgery is refused, and moves neither the received set nor the boots.
 * OnceApplied: no message's points are stored twice. AckedIsKept: what lies below the durable
 * cursor is applied, waits for its hello, or was refused for want of room.
 */
#include "base/invariant.h"
#include "core/ingest/admit.h"
#include "core/ingest/craft.h"
#include "sim/explore/explore.h"

#include <string.h>

enum { QUEUE_MAX = 2, WAITING_MAX = 2, SLOTS = 8, RECORD_CAP = 2048 };
enum bound { ARRIVING, WAITING_ROOM, QUEUE }; /* ARRIVING: items, bits */

enum item {
    LINK_1,
    LINK_2, /* at the other gateway, for the second boot */
    HELLO_1,
    HELLO_2,
    MESSAGE_1,
    MESSAGE_2,
    MESSAGE_3, /* of the second boot */
    ALTERED_MESSAGE,
    ALTERED_HELLO,
    MOVED_MESSAGE, /* another stream's */
    STOLEN_HELLO   /* the second, in the first gateway's journal */
};
enum { ITEMS = STOLEN_HELLO + 1 };

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

/* Made once, the same for all states. */
static struct {
    bool is_made;
    struct craft_site site;
    struct craft_device boots[2];
    uint8_t bytes[ITEMS][RECORD_CAP];
    size_t lens[ITEMS];
    struct admit_config config;
    struct admit_effects fx;
    uint8_t scratch[ADMIT_SCRATCH_BYTES];
} made;

struct waiting {
    uint32_t len;
    uint8_t items[WAITING_MAX];
    uint8_t boots[WAITING_MAX];
};

struct kept {                  /* in one transaction */
    uint32_t applied, refused; /* items, bits */
    struct waiting waiting;
};

struct world {
    uint32_t bounds[EXPLORE_BOUNDS_MAX];
    struct admit core;
    struct admit_device memory[1];
    struct table_slot slots[SLOTS];
    struct received_spill spills[1];
    struct kept ram, disk;
    bool is_stored; /* the device has a row */
    struct admit_device stored;
    struct received_report report;
    uint8_t links[ADMIT_LINKS_BYTES];
    size_t links_len;
    uint8_t queue[QUEUE_MAX];
    uint32_t queue_len, read, linked; /* a link arrives once */
};

enum kind { ARRIVE, FORGE, READ, COMMIT, CUT, KINDS };
static const char *const kinds[KINDS] = {"arrive", "forge", "read", "commit", "cut"};
enum row { ROW_CAUGHT_UP, ROW_BEHIND, ROW_IN_TRANSACTION, ROWS };
static const char *const rows[ROWS] = {"caught-up", "behind", "in-transaction"};

static uint32_t bit(uint32_t number)
{
    return UINT32_C(1) << number;
}

static bool is_message(enum item item)
{
    return item >= MESSAGE_1 && item <= MESSAGE_3;
}

static bool is_forgery(enum item item)
{
    return item >= ALTERED_MESSAGE;
}

/* ---- what can be on the bus ---- */

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

static void copy_item(enum item to, enum item from, bool is_altered)
{
    memcpy(made.bytes[to], made.bytes[from], made.lens[from]);
    made.lens[to] = made.lens[from];
    made.bytes[to][made.lens[to] - 1] ^= is_altered;
}

/* Message 3 as it is, under the name of another stream of the same length. */
static void move_message(void)
{
    copy_item(MOVED_MESSAGE, MESSAGE_3, false);
    for (size_t i = 0; i + 4 <= made.lens[MOVED_MESSAGE]; i++) {
        if (memcmp(&made.bytes[MOVED_MESSAGE][i], "/t/s", 4) == 0) {
            made.bytes[MOVED_MESSAGE][i + 3] = 'z';
            return;
        }
    }
    UNREACHABLE();
}

static void make_items(void)
{
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
    copy_item(ALTERED_MESSAGE, MESSAGE_2, true);
    copy_item(ALTERED_HELLO, HELLO_2, true);
    copy_item(STOLEN_HELLO, HELLO_2, false);
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

/* ---- ingest, as its role does it ---- */

static void open_core(struct world *w)
{
    memset(w->memory, 0, sizeof w->memory);
    memset(w->slots, 0, sizeof w->slots);
    memset(w->spills, 0, sizeof w->spills);
    admit_init(&w->core, &made.config,
               &(struct admit_memory){.devices = w->memory,
                                      .devices_cap = 1,
                                      .slots = w->slots,
                                      .slots_cap = SLOTS,
                                      .spills = w->spills,
                                      .spills_cap = 1,
                                      .scratch = made.scratch,
                                      .seed = 5});
}

/* A world is copied as it is: what points into it is put right before each step. */
static void bind(struct world *w)
{
    w->core.devices = w->memory;
    w->core.table.slots = w->slots;
    w->core.pool.blocks = w->spills;
}

static void load(struct world *w)
{
    const struct admit_event ev = {.kind = ADMIT_LOADED,
                                   .loaded = {.device = made.boots[0].id,
                                              .is_known = w->is_stored,
                                              .row = &w->stored,
                                              .received = &w->report,
                                              .links = slice_of(w->links, w->links_len)}};
    admit_step(&w->core, &ev, &made.fx);
}

static const struct admit_device *device_of(const struct world *w)
{
    return w->memory[0].in_use ? &w->memory[0] : NULL;
}

static void give(struct world *w, enum item item, struct explore_breach *breach);

static void wait(struct world *w, enum item item, uint32_t boot)
{
    struct waiting *waiting = &w->ram.waiting;
    if (waiting->len == w->bounds[WAITING_ROOM]) {
        const struct admit_event ev = {
            .kind = ADMIT_WAIT_REFUSED,
            .record = {.gateway = gateway_of(item),
                       .bytes = slice_of(made.bytes[item], made.lens[item])}};
        admit_step(&w->core, &ev, &made.fx);
        w->ram.refused |= is_message(item) ? bit(item) : 0;
        return;
    }
    waiting->items[waiting->len] = (uint8_t)item;
    waiting->boots[waiting->len++] = (uint8_t)boot;
}

static void release(struct world *w, uint32_t boot, struct explore_breach *breach)
{
    struct waiting before = w->ram.waiting;
    memset(&w->ram.waiting, 0, sizeof w->ram.waiting);
    for (uint32_t i = 0; i < before.len; i++) {
        if (before.boots[i] == boot) {
            give(w, (enum item)before.items[i], breach);
        } else {
            wait(w, (enum item)before.items[i], before.boots[i]);
        }
    }
}

static void perform(struct world *w, enum item item, struct explore_breach *breach)
{
    uint32_t released = 0;
    uint32_t count = made.fx.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct admit_effect *effect = &made.fx.list[i];
        switch (effect->kind) {
        case ADMIT_STORE:
            explore_expect(breach, is_message(item),
                           "OnlyAuthentic: points of a forgery are stored");
            explore_expect(breach, (w->ram.applied & bit(item)) == 0,
                           "OnceApplied: a message is applied a second time");
            w->ram.applied |= bit(item);
            break;
        case ADMIT_WAIT: wait(w, item, effect->boot); return;
        case ADMIT_REFUSE: w->ram.refused |= is_message(item) ? bit(item) : 0; break;
        case ADMIT_RELEASE: released = effect->boot; break;
        case ADMIT_LOSE:
            explore_expect(breach, false, "AckedIsKept: a number is declared lost with room left");
            break;
        case ADMIT_LOAD:
        case ADMIT_COMMIT_FIRST:
        case ADMIT_LOOK_UP:
        case ADMIT_STOP: explore_expect(breach, false, "an order that cannot come here"); break;
        case ADMIT_KEEP_HELLO:
        case ADMIT_KEEP_CERTIFICATE:
        case ADMIT_BEGIN_LINK:
        case ADMIT_END_LINK:
        case ADMIT_END_LINKS: break;
        }
    }
    if (released != 0) {
        release(w, released, breach);
    }
}

static void give(struct world *w, enum item item, struct explore_breach *breach)
{
    const struct admit_event ev = {
        .kind = ADMIT_SAW_RECORD,
        .record = {.gateway = gateway_of(item),
                   .bytes = slice_of(made.bytes[item], made.lens[item])}};
    if (device_of(w) == NULL) {
        admit_step(&w->core, &ev, &made.fx);
        explore_expect(breach, made.fx.count == 1 && made.fx.list[0].kind == ADMIT_LOAD,
                       "a device that is not in memory is not asked for");
        load(w);
    }
    const struct received before = w->memory[0].received;
    uint32_t boots = w->memory[0].boot_count;
    admit_step(&w->core, &ev, &made.fx);
    admit_check(&w->core);
    if (is_forgery(item)) {
        /* Before its hello a message cannot be told from a forgery: it waits, and is judged then.
         */
        explore_expect(breach, made.fx.outcome == ADMIT_REFUSED || made.fx.outcome == ADMIT_WAITING,
                       "OnlyAuthentic: a forgery is not refused");
        explore_expect(breach,
                       memcmp(&before, &w->memory[0].received, sizeof before) == 0
                           && boots == w->memory[0].boot_count,
                       "OnlyAuthentic: a forgery moves the received set, or makes a boot known");
    }
    perform(w, item, breach);
}

static void commit(struct world *w, struct explore_breach *breach)
{
    const struct admit_device *d = device_of(w);
    if (d != NULL && d->is_dirty && d->is_enrolled) {
        struct writer links = writer_over(w->links, sizeof w->links);
        w->is_stored = true;
        w->stored = *d;
        admit_received_report(&w->core, d, &w->report);
        admit_links_encode(d, &links);
        w->links_len = links.len;
    }
    admit_step(&w->core, &(struct admit_event){.kind = ADMIT_COMMITTED}, &made.fx);
    w->disk = w->ram;
    for (uint32_t i = 0; i < w->read; i++) {
        uint32_t item = w->queue[i];
        bool is_waiting = false;
        for (uint32_t k = 0; k < w->disk.waiting.len; k++) {
            is_waiting |= w->disk.waiting.items[k] == item;
        }
        explore_expect(
            breach,
            !is_message((enum item)item) || is_waiting
                || ((w->disk.applied | w->disk.refused) & bit(item)) != 0,
            "AckedIsKept: below the cursor, and neither applied nor waiting nor refused");
    }
    w->queue_len -= w->read;
    memmove(w->queue, w->queue + w->read, w->queue_len);
    memset(w->queue + w->queue_len, 0, sizeof w->queue - w->queue_len);
    w->read = 0;
}

/* ---- the world ---- */

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    if (!made.is_made) {
        make_items();
    }
    memset(w, 0, sizeof *w);
    memcpy(w->bounds, config->bounds, sizeof w->bounds);
    INVARIANT(w->bounds[WAITING_ROOM] <= WAITING_MAX && w->bounds[QUEUE] <= QUEUE_MAX);
    open_core(w);
}

static uint32_t row(const void *at)
{
    const struct world *w = at;
    return w->read > 0 ? ROW_IN_TRANSACTION : w->queue_len > 0 ? ROW_BEHIND : ROW_CAUGHT_UP;
}

static uint32_t offer(const void *at, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    const struct world *w = at;
    uint32_t count = 0;
    for (uint8_t item = 0; item < ITEMS && w->queue_len < w->bounds[QUEUE]; item++) {
        if ((w->bounds[ARRIVING] & bit(item)) != 0
            && (item >= HELLO_1 || (w->linked & bit(item)) == 0)) {
            list[count++] = (struct explore_event){
                .kind = is_forgery((enum item)item) ? FORGE : ARRIVE, .a = item};
        }
    }
    if (w->read < w->queue_len) {
        list[count++] = (struct explore_event){.kind = READ};
    }
    if (w->read > 0) {
        list[count++] = (struct explore_event){.kind = COMMIT};
    }
    list[count++] = (struct explore_event){.kind = CUT};
    return count;
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    bind(w);
    switch ((enum kind)event->kind) {
    case ARRIVE:
    case FORGE:
        w->queue[w->queue_len++] = event->a;
        w->linked |= event->a < HELLO_1 ? bit(event->a) : 0;
        break;
    case READ: give(w, (enum item)w->queue[w->read++], breach); break;
    case COMMIT: commit(w, breach); break;
    case CUT:
        w->ram = w->disk;
        w->read = 0;
        open_core(w);
        break;
    case KINDS: break;
    }
}

static void pack_report(const struct received_report *report, struct writer *out)
{
    write_u64(out, report->next);
    for (uint32_t i = 0; i < report->gap_count; i++) {
        write_u64(out, report->gaps[i].from);
        write_u32(out, report->gaps[i].count);
        write_u8(out, (uint8_t)report->gaps[i].why);
    }
    write_u8(out, 0xff);
}

/* Counts are left out: nothing depends on them, and they never end. */
static void pack_device(const struct admit_device *d, struct writer *out)
{
    write_u8(out, d->is_dirty);
    write_u8(out, d->is_enrolled);
    write_u8(out, (uint8_t)d->gateway);
    write_u8(out, d->connected);
    write_u8(out, (uint8_t)d->boot_count);
    for (uint32_t i = 0; i < d->boot_count; i++) {
        write_u8(out, (uint8_t)d->boots[i].boot);
        write_u8(out, (uint8_t)d->boots[i].first);
    }
    write_u8(out, d->link_count);
    for (uint32_t i = 0; i < d->link_count; i++) {
        write_u8(out, (uint8_t)d->links[i].gateway);
        write_u8(out, d->links[i].exporter[0]);
    }
    write_u8(out, d->has_clock_offset);
    for (uint32_t i = 0; i < ADMIT_MAC_KEYS; i++) {
        write_u8(out, (uint8_t)d->mac_boots[i]);
    }
}

static void pack_kept(const struct kept *kept, struct writer *out)
{
    write_u32(out, kept->applied);
    write_u32(out, kept->refused);
    write_u8(out, (uint8_t)kept->waiting.len);
    write_bytes(out, kept->waiting.items, kept->waiting.len);
    write_bytes(out, kept->waiting.boots, kept->waiting.len);
}

static void pack(const void *at, struct writer *out)
{
    const struct world *w = at;
    struct received_report report;
    write_u8(out, device_of(w) != NULL);
    if (device_of(w) != NULL) {
        struct received_pool pool = w->core.pool;
        pack_device(&w->memory[0], out);
        received_to_report(&w->memory[0].received, &pool, &report);
        pack_report(&report, out);
    }
    write_u8(out, w->is_stored);
    if (w->is_stored) {
        pack_device(&w->stored, out);
        pack_report(&w->report, out);
    }
    pack_kept(&w->ram, out);
    pack_kept(&w->disk, out);
    write_u8(out, (uint8_t)w->linked);
    write_u8(out, (uint8_t)w->read);
    write_bytes(out, w->queue, w->queue_len);
}

static void tell_items(struct writer *out, const char *name, uint32_t bits)
{
    write_text(out, name);
    const char *comma = " ";
    for (uint32_t i = 0; i < ITEMS; i++) {
        if ((bits & bit(i)) != 0) {
            write_text(out, comma);
            write_text(out, item_names[i]);
            comma = ", ";
        }
    }
}

static void tell(const void *at, struct writer *out)
{
    const struct world *w = at;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < w->ram.waiting.len; i++) {
        waiting |= bit(w->ram.waiting.items[i]);
    }
    write_text(out, rows[row(w)]);
    write_text(out, device_of(w) != NULL ? "; device in memory, next " : "; device not in memory");
    if (device_of(w) != NULL) {
        write_decimal(out, w->memory[0].received.next);
        write_text(out, ", boots ");
        write_decimal(out, w->memory[0].boot_count);
    }
    tell_items(out, "; applied", w->ram.applied);
    tell_items(out, "; waiting", waiting);
    tell_items(out, "; refused", w->ram.refused);
    tell_items(out, "; applied in the store", w->disk.applied);
}

static void tell_event(const struct explore_event *event, struct writer *out)
{
    static const char *const texts[KINDS] = {"on the bus comes ", "a gateway forges ",
                                             "ingest reads a record", "ingest commits",
                                             "the power goes; ingest comes back"};
    write_text(out, texts[event->kind]);
    if (event->kind == ARRIVE || event->kind == FORGE) {
        write_text(out, item_names[event->a]);
    }
}

/* All that came is judged; what waits for a hello waits for something from outside. */
static bool is_settled(const void *at)
{
    const struct world *w = at;
    return w->queue_len == 0;
}

#define BIT EXPLORE_BIT
static const struct explore_unreached unreached[] = {
    {BIT(ROW_CAUGHT_UP), BIT(READ) | BIT(COMMIT), "there is nothing to read"},
    {BIT(ROW_BEHIND), BIT(COMMIT), "nothing was read since the last commit"},
};

static const struct explore_config configs[] = {
    {.name = "one-boot",
     .is_unspecified = true,
     .bounds = {BIT(LINK_1) | BIT(HELLO_1) | BIT(MESSAGE_1) | BIT(MESSAGE_2) | BIT(ALTERED_MESSAGE),
                2, 2}},
    {.name = "two-boots",
     .is_unspecified = true,
     .bounds = {BIT(LINK_1) | BIT(LINK_2) | BIT(HELLO_1) | BIT(HELLO_2) | BIT(MESSAGE_1)
                    | BIT(MESSAGE_3) | BIT(ALTERED_HELLO) | BIT(MOVED_MESSAGE) | BIT(STOLEN_HELLO),
                1, 2}},
};

const struct explore_world explore_admit = {
    .name = "admit",
    .spec = "Received",
    .rows = rows,
    .rows_count = ROWS,
    .kinds = kinds,
    .kinds_count = KINDS,
    .unreached = unreached,
    .unreached_count = COUNT_OF(unreached),
    .configs = configs,
    .configs_count = COUNT_OF(configs),
    .size = sizeof(struct world),
    .begin = begin,
    .offer = offer,
    .step = step,
    .row = row,
    .pack = pack,
    .image = pack,
    .tell = tell,
    .tell_event = tell_event,
    .restless = BIT(CUT) | BIT(ARRIVE) | BIT(FORGE),
    .is_settled = is_settled,
};
