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
#include "base/reader.h"
#include "core/ingest/admit.h"
#include "sim/explore/parts.h"
#include "sim/explore/world_admit_items.h"

#include <string.h>

enum { WAITING_MAX = 2, SLOTS = 8 };
enum bound { ARRIVING, WAITING_ROOM, QUEUE }; /* ARRIVING: items, bits */

/* Of one step: nothing is kept in them. */
static struct admit_effects fx;
static uint8_t scratch[ADMIT_SCRATCH_BYTES];

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
    struct journal journal; /* items */
    uint32_t linked;        /* a link arrives once */
};

enum kind { ARRIVE, FORGE, READ, COMMIT, CUT, KINDS };
static const char *const kinds[KINDS] = {"arrive", "forge", "read", "commit", "cut"};

/* ---- ingest, as its role does it ---- */

static void open_core(struct world *w)
{
    memset(w->memory, 0, sizeof w->memory);
    memset(w->slots, 0, sizeof w->slots);
    memset(w->spills, 0, sizeof w->spills);
    admit_init(&w->core, items_site(),
               &(struct admit_memory){.devices = w->memory,
                                      .devices_cap = 1,
                                      .slots = w->slots,
                                      .slots_cap = SLOTS,
                                      .spills = w->spills,
                                      .spills_cap = 1,
                                      .scratch = scratch,
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
                                   .loaded = {.device = *items_device(),
                                              .is_known = w->is_stored,
                                              .row = &w->stored,
                                              .received = &w->report,
                                              .links = slice_of(w->links, w->links_len)}};
    admit_step(&w->core, &ev, &fx);
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
        const struct admit_event ev = {.kind = ADMIT_WAIT_REFUSED, .record = item_record(item)};
        admit_step(&w->core, &ev, &fx);
        w->ram.refused |= item_is_message(item) ? BIT(item) : 0;
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
    uint32_t count = fx.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct admit_effect *effect = &fx.list[i];
        switch (effect->kind) {
        case ADMIT_STORE:
            explore_expect(breach, item_is_message(item),
                           "OnlyAuthentic: points of a forgery are stored");
            explore_expect(breach, (w->ram.applied & BIT(item)) == 0,
                           "OnceApplied: a message is applied a second time");
            w->ram.applied |= BIT(item);
            break;
        case ADMIT_WAIT: wait(w, item, effect->boot); return;
        case ADMIT_REFUSE: w->ram.refused |= item_is_message(item) ? BIT(item) : 0; break;
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
    const struct admit_event ev = {.kind = ADMIT_SAW_RECORD, .record = item_record(item)};
    if (device_of(w) == NULL) {
        admit_step(&w->core, &ev, &fx);
        explore_expect(breach, fx.count == 1 && fx.list[0].kind == ADMIT_LOAD,
                       "a device that is not in memory is not asked for");
        load(w);
    }
    const struct received before = w->memory[0].received;
    uint32_t boots = w->memory[0].boot_count;
    admit_step(&w->core, &ev, &fx);
    admit_check(&w->core);
    if (item_is_forgery(item)) {
        /* Before its hello a message cannot be told from a forgery: it waits, and is judged then.
         */
        explore_expect(breach, fx.outcome == ADMIT_REFUSED || fx.outcome == ADMIT_WAITING,
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
    admit_step(&w->core, &(struct admit_event){.kind = ADMIT_COMMITTED}, &fx);
    w->disk = w->ram;
    for (uint32_t i = 0; i < w->journal.read; i++) {
        uint32_t item = w->journal.items[i];
        bool is_waiting = false;
        for (uint32_t k = 0; k < w->disk.waiting.len; k++) {
            is_waiting |= w->disk.waiting.items[k] == item;
        }
        explore_expect(
            breach,
            !item_is_message((enum item)item) || is_waiting
                || ((w->disk.applied | w->disk.refused) & BIT(item)) != 0,
            "AckedIsKept: below the cursor, and neither applied nor waiting nor refused");
    }
    journal_committed(&w->journal);
}

/* ---- the world ---- */

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    items_make();
    memset(w, 0, sizeof *w);
    memcpy(w->bounds, config->bounds, sizeof w->bounds);
    INVARIANT(w->bounds[WAITING_ROOM] <= WAITING_MAX && w->bounds[QUEUE] <= JOURNAL_MAX);
    open_core(w);
}

static uint32_t row(const void *at)
{
    const struct world *w = at;
    return journal_row(&w->journal);
}

static uint32_t offer(const void *at, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    const struct world *w = at;
    uint32_t count = 0;
    for (uint8_t item = 0; item < ITEMS && w->journal.len < w->bounds[QUEUE]; item++) {
        if ((w->bounds[ARRIVING] & BIT(item)) != 0
            && (item >= HELLO_1 || (w->linked & BIT(item)) == 0)) {
            list[count++] = (struct explore_event){
                .kind = item_is_forgery((enum item)item) ? FORGE : ARRIVE, .a = item};
        }
    }
    return journal_offer(&w->journal, (struct journal_kinds){READ, COMMIT, CUT}, count, list);
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    bind(w);
    switch ((enum kind)event->kind) {
    case ARRIVE:
    case FORGE:
        journal_append(&w->journal, event->a);
        w->linked |= event->a < HELLO_1 ? BIT(event->a) : 0;
        break;
    case READ: give(w, (enum item)journal_read(&w->journal), breach); break;
    case COMMIT: commit(w, breach); break;
    case CUT:
        w->ram = w->disk;
        journal_cut(&w->journal);
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
    write_u8(out, (uint8_t)w->journal.read);
    write_bytes(out, w->journal.items, w->journal.len);
}

/* Which boots are known and which links, in memory or, where the device is not there, in its row.
 */
static void image_device(const struct world *w, bool is_memory, struct writer *out)
{
    const struct admit_device *d = is_memory && device_of(w) != NULL ? device_of(w)
                                   : w->is_stored                    ? &w->stored
                                                                     : NULL;
    uint8_t links = 0;
    uint8_t boots = 0;
    for (uint32_t i = 0; d != NULL && i < d->link_count; i++) {
        links |= (uint8_t)BIT(d->links[i].gateway);
    }
    for (uint32_t i = 0; d != NULL && i < d->boot_count; i++) {
        boots |= (uint8_t)BIT(d->boots[i].boot);
    }
    if (d == &w->stored) { /* links are not in its struct */
        struct reader r = reader_over(slice_of(w->links, w->links_len));
        (void)read_u8(&r);
        for (; r.rest.len > 0; (void)read_bytes(&r, DIGEST_LEN)) {
            links |= (uint8_t)BIT(read_u64(&r));
        }
    }
    write_u8(out, links);
    write_u8(out, boots);
}

/* In the variables of spec/Admit.tla. */
static void image(const void *at, struct writer *out)
{
    const struct world *w = at;
    const struct kept *const sides[] = {&w->disk, &w->ram};
    for (uint32_t side = 0; side < COUNT_OF(sides); side++) {
        image_device(w, sides[side] == &w->ram, out);
        write_u32(out, sides[side]->applied);
        write_u32(out, sides[side]->refused);
        write_u8(out, (uint8_t)sides[side]->waiting.len);
        write_bytes(out, sides[side]->waiting.items, sides[side]->waiting.len);
    }
    write_u8(out, (uint8_t)w->linked);
    write_u8(out, (uint8_t)w->journal.read);
    write_bytes(out, w->journal.items, w->journal.len);
}

static void tell_items(struct writer *out, const char *name, uint32_t bits)
{
    write_text(out, name);
    const char *comma = " ";
    for (uint32_t i = 0; i < ITEMS; i++) {
        if ((bits & BIT(i)) != 0) {
            write_text(out, comma);
            write_text(out, item_name((enum item)i));
            comma = ", ";
        }
    }
}

static void tell(const void *at, struct writer *out)
{
    const struct world *w = at;
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < w->ram.waiting.len; i++) {
        waiting |= BIT(w->ram.waiting.items[i]);
    }
    write_text(out, journal_rows[row(w)]);
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
        write_text(out, item_name((enum item)event->a));
    }
}

/* All that came is judged; what waits for a hello waits for something from outside. */
static bool is_settled(const void *at)
{
    const struct world *w = at;
    return w->journal.len == 0;
}

static const struct explore_unreached unreached[] = {
    {BIT(ROW_CAUGHT_UP), BIT(READ) | BIT(COMMIT), "there is nothing to read"},
    {BIT(ROW_BEHIND), BIT(COMMIT), "nothing was read since the last commit"},
};

static const struct explore_config configs[] = {
    {.name = "one-boot",
     .bounds = {BIT(LINK_1) | BIT(HELLO_1) | BIT(MESSAGE_1) | BIT(MESSAGE_2) | BIT(ALTERED_MESSAGE),
                2, 2}},
    {.name = "two-boots",
     .bounds = {BIT(LINK_1) | BIT(LINK_2) | BIT(HELLO_1) | BIT(HELLO_2) | BIT(MESSAGE_1)
                    | BIT(MESSAGE_3) | BIT(ALTERED_HELLO) | BIT(MOVED_MESSAGE) | BIT(STOLEN_HELLO),
                1, 2}},
};

const struct explore_world explore_admit = {
    .name = "admit",
    .spec = "Admit",
    .rows = journal_rows,
    .rows_count = JOURNAL_ROWS,
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
    .image = image,
    .tell = tell,
    .tell_event = tell_event,
    .restless = BIT(CUT) | BIT(ARRIVE) | BIT(FORGE),
    .is_settled = is_settled,
};
