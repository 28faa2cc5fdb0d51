/*
 * A device's received set through late arrivals, duplicates, new boots and power cuts of ingest:
 * core/ingest/received, kept as codec/received_report in the transaction that holds the points and
 * the cursor. Numbers come to the journal in any order and any number of times; ingest reads, and
 * commits when it likes; a power cut takes back what was not committed, the cursor included.
 *
 * OnceApplied: no number's points are stored twice. AckedIsKept: what was in the journal below the
 * durable cursor is applied, or declared lost with its evidence. The set says missing for exactly
 * the numbers that are neither.
 */
#include "base/invariant.h"
#include "core/ingest/received.h"
#include "sim/explore/parts.h"

#include <string.h>

enum { NUMBERS_MAX = 16, IS_BOOT = 0x80 };
enum bound { NUMBERS, SENT, BOOTS, QUEUE }; /* SENT, BOOTS: bits, 1 << number */

struct side { /* in memory, or in the store */
    uint32_t applied, lost;
};

struct world {
    uint32_t bounds[EXPLORE_BOUNDS_MAX];
    struct received received;
    struct received_pool pool; /* without blocks: four gaps, the fifth closes the oldest */
    struct side ram, disk;
    uint32_t arrived;
    struct journal journal; /* numbers, and boots */
    size_t kept_len;        /* the set as the store has it; 0: none */
    uint8_t kept[RECEIVED_REPORT_MAX];
};

enum kind { ARRIVE, REBOOT, READ, COMMIT, CUT, KINDS };
static const char *const kinds[KINDS] = {"arrive", "reboot", "read", "commit", "cut"};

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    memset(w, 0, sizeof *w);
    memcpy(w->bounds, config->bounds, sizeof w->bounds);
    INVARIANT(w->bounds[NUMBERS] < NUMBERS_MAX && w->bounds[QUEUE] <= JOURNAL_MAX);
    received_init(&w->received);
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
    for (uint8_t n = 1; n <= w->bounds[NUMBERS] && w->journal.len < w->bounds[QUEUE]; n++) {
        if ((w->bounds[SENT] & BIT(n)) != 0) {
            list[count++] = (struct explore_event){.kind = ARRIVE, .a = n};
        }
        if ((w->bounds[BOOTS] & BIT(n)) != 0) {
            list[count++] = (struct explore_event){.kind = REBOOT, .a = n};
        }
    }
    return journal_offer(&w->journal, (struct journal_kinds){READ, COMMIT, CUT}, count, list);
}

static void note_losses(struct world *w,
                        const struct received_losses *losses,
                        struct explore_breach *breach)
{
    for (uint32_t i = 0; i < losses->count; i++) {
        for (uint64_t n = losses->list[i].from; n <= losses->list[i].to; n++) {
            explore_expect(breach, (w->ram.applied & BIT(n)) == 0,
                           "AckedIsKept: an applied number is declared lost");
            w->ram.lost |= BIT(n);
        }
    }
}

static void read_one(struct world *w, struct explore_breach *breach)
{
    struct received_losses losses;
    uint8_t item = journal_read(&w->journal);
    uint64_t number = item & ~(uint32_t)IS_BOOT;
    if ((item & IS_BOOT) != 0) {
        bool is_good = received_restart(&w->received, &w->pool, number, 0, &losses);
        explore_expect(breach, is_good, "a boot is refused");
        note_losses(w, &losses, breach);
        return;
    }
    enum received_result result = received_offer(&w->received, &w->pool, number, 0, &losses);
    note_losses(w, &losses, breach);
    if (result == RECEIVED_NEW) {
        explore_expect(breach, (w->ram.applied & BIT(number)) == 0,
                       "OnceApplied: a number is applied a second time");
        explore_expect(breach, (w->ram.lost & BIT(number)) == 0,
                       "OnceApplied: a number is applied that was declared lost");
        w->ram.applied |= BIT(number);
    } else {
        explore_expect(breach, ((w->ram.applied | w->ram.lost) & BIT(number)) != 0,
                       "AckedIsKept: a number is called a duplicate that never came");
    }
}

static void commit(struct world *w, struct explore_breach *breach)
{
    struct received_report report;
    struct writer out = writer_over(w->kept, sizeof w->kept);
    received_to_report(&w->received, &w->pool, &report);
    report.duplicates = 0; /* a count that nothing depends on, and that never ends */
    explore_expect(breach, received_report_encode(&report, &out) == RECEIVED_REPORT_OK,
                   "the set cannot be stored");
    w->kept_len = out.len;
    w->disk = w->ram;
    for (uint32_t i = 0; i < w->journal.read; i++) {
        uint8_t item = w->journal.items[i];
        explore_expect(breach,
                       (item & IS_BOOT) != 0 || ((w->disk.applied | w->disk.lost) & BIT(item)) != 0,
                       "AckedIsKept: below the cursor, and neither applied nor declared lost");
    }
    journal_committed(&w->journal);
}

static void come_back(struct world *w, struct explore_breach *breach)
{
    struct received_report report;
    w->ram = w->disk;
    journal_cut(&w->journal);
    received_init(&w->received);
    if (w->kept_len == 0) {
        return;
    }
    bool is_good =
        received_report_decode(slice_of(w->kept, w->kept_len), &report) == RECEIVED_REPORT_OK
        && received_from_report(&w->received, &w->pool, &report) == RECEIVED_LOADED;
    explore_expect(breach, is_good, "AckedIsKept: the stored set cannot be read");
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    switch ((enum kind)event->kind) {
    case ARRIVE:
        journal_append(&w->journal, event->a);
        w->arrived |= BIT(event->a);
        break;
    case REBOOT: journal_append(&w->journal, event->a | IS_BOOT); break;
    case READ: read_one(w, breach); break;
    case COMMIT: commit(w, breach); break;
    case CUT: come_back(w, breach); break;
    case KINDS: break;
    }
    w->received.duplicates = 0;
    received_check(&w->received, &w->pool);
    for (uint64_t n = 1; n <= w->bounds[NUMBERS]; n++) {
        explore_expect(breach,
                       received_has(&w->received, &w->pool, n)
                           == (((w->ram.applied | w->ram.lost) & BIT(n)) != 0),
                       "OnceApplied: the set and the store do not agree");
    }
}

static void pack(const void *at, struct writer *out)
{
    const struct world *w = at;
    const struct received *r = &w->received;
    write_u64(out, r->next);
    write_u64(out, r->lost);
    write_u32(out, r->spill);
    write_u32(out, r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        write_u64(out, r->runs[i].from);
        write_u32(out, r->runs[i].count_why);
        write_u32(out, r->runs[i].since_s);
    }
    write_u32(out, w->ram.applied);
    write_u32(out, w->ram.lost);
    write_u32(out, w->disk.applied);
    write_u32(out, w->disk.lost);
    write_u32(out, w->arrived);
    write_u8(out, (uint8_t)w->journal.len);
    write_u8(out, (uint8_t)w->journal.read);
    write_bytes(out, w->journal.items, w->journal.len);
    write_bytes(out, w->kept, w->kept_len);
}

/* What became of each number, as the report of one side tells it. */
enum fate { UNSEEN, MISSING, RESTART, APPLIED, LOST };

static void image_side(const struct world *w,
                       const struct received_report *report,
                       const struct side *side,
                       struct writer *out)
{
    for (uint64_t n = 1; n <= w->bounds[NUMBERS]; n++) {
        enum fate fate = n >= report->next               ? UNSEEN
                         : (side->lost & BIT(n)) != 0    ? LOST
                         : (side->applied & BIT(n)) != 0 ? APPLIED
                                                         : UNSEEN;
        for (uint32_t i = 0; i < report->gap_count; i++) {
            const struct received_gap *gap = &report->gaps[i];
            if (n >= gap->from && n < gap->from + gap->count) {
                fate = gap->why == GAP_RESTART ? RESTART : MISSING;
            }
        }
        write_u8(out, (uint8_t)fate);
    }
}

static void image(const void *at, struct writer *out)
{
    const struct world *w = at;
    struct received_report report = {.next = 1};
    if (w->kept_len > 0) {
        INVARIANT(received_report_decode(slice_of(w->kept, w->kept_len), &report)
                  == RECEIVED_REPORT_OK);
    }
    image_side(w, &report, &w->disk, out);
    received_to_report(&w->received, &w->pool, &report);
    image_side(w, &report, &w->ram, out);
    write_u32(out, w->arrived);
    write_u8(out, (uint8_t)w->journal.read);
    write_bytes(out, w->journal.items, w->journal.len);
}

static void tell(const void *at, struct writer *out)
{
    const struct world *w = at;
    write_text(out, "next ");
    write_decimal(out, w->received.next);
    parts_tell_numbers(out, "; applied", w->ram.applied);
    parts_tell_numbers(out, "; lost", w->ram.lost);
    parts_tell_numbers(out, "; in the store: applied", w->disk.applied);
    parts_tell_numbers(out, ", lost", w->disk.lost);
    write_text(out, "; journal from the cursor:");
    for (uint32_t i = 0; i < w->journal.len; i++) {
        write_text(out, i == w->journal.read ? " |" : "");
        write_text(out, (w->journal.items[i] & IS_BOOT) != 0 ? " boot at " : " ");
        write_decimal(out, w->journal.items[i] & ~(uint32_t)IS_BOOT);
    }
}

static void tell_event(const struct explore_event *event, struct writer *out)
{
    static const char *const texts[KINDS] = {
        "the journal gets number ", "the journal gets the hello of a boot that begins at ",
        "ingest reads a record", "ingest commits", "the power goes; ingest comes back"};
    write_text(out, texts[event->kind]);
    if (event->kind == ARRIVE || event->kind == REBOOT) {
        write_decimal(out, event->a);
    }
}

/* Every number that came is applied or declared lost, in the store. */
static bool is_settled(const void *at)
{
    const struct world *w = at;
    return w->journal.len == 0 && (w->arrived & ~(w->disk.applied | w->disk.lost)) == 0;
}

static const struct explore_unreached unreached[] = {
    {BIT(ROW_CAUGHT_UP), BIT(READ) | BIT(COMMIT), "there is nothing to read"},
    {BIT(ROW_BEHIND), BIT(COMMIT), "nothing was read since the last commit"},
};

static const struct explore_config configs[] = {
    {.name = "gaps", .bounds = {10, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10, 0, 1}},
    {.name = "boots", .bounds = {7, 1 << 1 | 1 << 2 | 1 << 4 | 1 << 6, 1 << 3 | 1 << 5, 2}},
    {.name = "wide", .is_unspecified = true, .bounds = {10, 0x7fe, 0, 2}},
    {.name = "large", .bounds = {11, 0xffe, 1 << 4 | 1 << 8, 1}},
};

const struct explore_world explore_received = {
    .name = "received",
    .spec = "Received",
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
    .restless = BIT(CUT) | BIT(ARRIVE) | BIT(REBOOT),
    .is_settled = is_settled,
};
