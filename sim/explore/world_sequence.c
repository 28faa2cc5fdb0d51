/*
 * The agent's counters through power cuts: core/device/sequence over its file of two copies. Every
 * write may be whole, not begun, torn, or whole and not told; a copy may rot. Numbers are taken 128
 * at a time: a block is eight of these, and a new one is wanted when fewer than two are left.
 *
 * FloorMonotone: no number and no boot is used twice. Startable: as long as nothing rotted, the
 * device can start, wherever the power went, and however often.
 */
#include "base/invariant.h"
#include "core/device/sequence.h"
#include "sim/explore/parts.h"

#include <string.h>

enum { UNIT = 128, COPIES = 2 };
enum bound { STARTS, TAKES, SAVES, TEARS, ROTS, BOUNDS };
enum power { OFF, ON, STOPPING };

struct world {
    uint32_t left[BOUNDS]; /* what may still happen */
    enum power power;
    bool has_file, has_rotted;
    uint8_t copies[COPIES][SEQUENCE_COPY_LEN];
    struct sequence sequence; /* while ON or STOPPING */
    bool is_starting;         /* the boot is not durable yet: nobody heard of it */
    bool is_mending;          /* and is to be stored a second time, over the other copy */
    bool is_writing;
    struct sequence_store store; /* is_writing */
    uint64_t used;               /* every number below it was perhaps used */
    uint32_t used_boot;          /* the highest boot that was announced */
};

enum kind { START, WRITTEN, CUT, CUT_TORN, CUT_UNTOLD, TAKE, WANT, SAVE, BOOT, STOP, ROT, KINDS };
static const char *const kinds[KINDS] = {"start",      "written", "cut",  "cut-torn",
                                         "cut-untold", "take",    "want", "save",
                                         "boot",       "stop",    "rot"};
enum row { ROW_OFF, ROW_STARTING, ROW_IDLE, ROW_RESERVING, ROW_STOPPING, ROWS };
static const char *const rows[ROWS] = {"off", "starting", "idle", "reserving", "stopping"};

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    *w = (struct world){.used = 1};
    memcpy(w->left, config->bounds, sizeof w->left);
}

static uint32_t row(const void *at)
{
    const struct world *w = at;
    switch (w->power) {
    case OFF: return ROW_OFF;
    case ON: return w->is_starting ? ROW_STARTING : w->is_writing ? ROW_RESERVING : ROW_IDLE;
    case STOPPING: return ROW_STOPPING;
    }
    UNREACHABLE();
}

static bool is_blank(const uint8_t copy[SEQUENCE_COPY_LEN])
{
    static const uint8_t zeroes[SEQUENCE_COPY_LEN];
    return memcmp(copy, zeroes, sizeof zeroes) == 0;
}

static bool is_spoilt(const uint8_t copy[SEQUENCE_COPY_LEN])
{
    return copy[0] == 0xa5;
}

static uint32_t copy_of(const struct sequence_store *store)
{
    return (uint32_t)(store->offset / SEQUENCE_COPY_STRIDE);
}

static uint32_t offer(const void *at, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    const struct world *w = at;
    bool is_idle = w->power == ON && !w->is_writing;
    bool offered[KINDS] = {
        [START] = w->power == OFF && w->left[STARTS] > 0,
        [WRITTEN] = w->is_writing,
        [CUT] = w->power != OFF,
        [CUT_TORN] = w->is_writing && w->has_file && w->left[TEARS] > 0,
        [CUT_UNTOLD] = w->is_writing,
        [TAKE] = w->power == ON && !w->is_starting && w->left[TAKES] > 0
                 && w->sequence.next < w->sequence.reserved,
        [WANT] = is_idle,
        [SAVE] = is_idle && w->left[SAVES] > 0,
        [BOOT] = is_idle && w->left[STARTS] > 0,
        [STOP] = is_idle,
    };
    uint32_t count = parts_offer(offered, ROT, list);
    for (uint8_t i = 0; i < COPIES && w->has_file && w->left[ROTS] > 0; i++) {
        if (!is_blank(w->copies[i]) && !is_spoilt(w->copies[i])) {
            list[count++] = (struct explore_event){.kind = ROT, .a = i};
        }
    }
    return count;
}

static void power_off(struct world *w)
{
    w->power = OFF;
    w->is_starting = false;
    w->is_mending = false;
    w->is_writing = false;
    w->sequence = (struct sequence){0};
    w->store = (struct sequence_store){0};
}

static void start(struct world *w, struct explore_breach *breach)
{
    uint8_t file[SEQUENCE_FILE_LEN] = {0};
    struct sequence_record last;
    for (size_t i = 0; i < COPIES; i++) {
        memcpy(file + i * SEQUENCE_COPY_STRIDE, w->copies[i], SEQUENCE_COPY_LEN);
    }
    enum sequence_load load = sequence_load(slice_of(file, w->has_file ? sizeof file : 0), &last);
    w->left[STARTS]--;
    explore_expect(breach, (load == SEQUENCE_FRESH) == !w->has_file,
                   "FloorMonotone: a device that has counted is taken for a fresh one");
    if (load == SEQUENCE_DAMAGED) {
        explore_expect(breach, w->has_rotted, "Startable: a good copy is not found");
        return;
    }
    sequence_start(&w->sequence, load == SEQUENCE_FRESH ? NULL : &last, &w->store);
    w->is_mending = load == SEQUENCE_MENDED;
    w->power = ON;
    w->is_starting = true;
    w->is_writing = true;
}

static void land(struct world *w)
{
    w->has_file = true;
    memcpy(w->copies[copy_of(&w->store)], w->store.bytes, SEQUENCE_COPY_LEN);
}

static void written(struct world *w, struct explore_breach *breach)
{
    land(w);
    if (w->power == STOPPING) {
        power_off(w);
        return;
    }
    sequence_stored(&w->sequence);
    if (w->is_mending) {
        w->is_mending = false;
        sequence_save(&w->sequence, &w->store);
        return;
    }
    w->is_writing = false;
    w->store = (struct sequence_store){0};
    if (w->is_starting) {
        w->is_starting = false;
        explore_expect(breach, w->sequence.boot > w->used_boot,
                       "FloorMonotone: a boot is used a second time");
        w->used_boot = w->sequence.boot;
    }
}

static void take(struct world *w, struct explore_breach *breach)
{
    w->left[TAKES]--;
    for (int i = 0; i < UNIT; i++) {
        uint64_t seq = 0;
        if (!sequence_take(&w->sequence, &seq)) {
            explore_expect(breach, false, "a reserved number cannot be taken");
            return;
        }
        explore_expect(breach, seq >= w->used, "FloorMonotone: a number is used a second time");
        w->used = seq + 1;
    }
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    switch ((enum kind)event->kind) {
    case START: start(w, breach); break;
    case WRITTEN: written(w, breach); break;
    case CUT: power_off(w); break;
    case CUT_TORN:
        w->left[TEARS]--;
        memset(w->copies[copy_of(&w->store)], 0xa5, SEQUENCE_COPY_LEN);
        power_off(w);
        break;
    case CUT_UNTOLD:
        land(w);
        power_off(w);
        break;
    case TAKE: take(w, breach); break;
    case WANT: w->is_writing = sequence_wants(&w->sequence, &w->store); break;
    case SAVE:
        w->left[SAVES]--;
        sequence_save(&w->sequence, &w->store);
        w->is_writing = true;
        break;
    case BOOT:
        w->left[STARTS]--;
        sequence_begin_boot(&w->sequence, &w->store);
        w->is_starting = true;
        w->is_writing = true;
        break;
    case STOP:
        sequence_stop(&w->sequence, &w->store);
        w->power = STOPPING;
        w->is_writing = true;
        break;
    case ROT:
        w->left[ROTS]--;
        w->has_rotted = true;
        memset(w->copies[event->a], 0xa5, SEQUENCE_COPY_LEN);
        break;
    case KINDS: break;
    }
    if (w->power != OFF) {
        sequence_check(&w->sequence);
    }
    explore_expect(breach, w->has_rotted || !is_spoilt(w->copies[0]) || !is_spoilt(w->copies[1]),
                   "Startable: power cuts alone have spoilt both copies");
}

static void pack_sequence(const struct sequence *s, struct writer *out)
{
    write_u32(out, s->boot);
    write_u64(out, s->first);
    write_u64(out, s->next);
    write_u64(out, s->reserved);
    write_u64(out, s->asked);
    write_u64(out, s->counter);
    write_u8(out, s->stopped);
}

static void pack(const void *at, struct writer *out)
{
    const struct world *w = at;
    for (int i = 0; i < BOUNDS; i++) {
        write_u8(out, (uint8_t)w->left[i]);
    }
    write_u8(out, (uint8_t)w->power);
    write_u8(out, w->has_file);
    write_u8(out, w->has_rotted);
    write_u8(out, w->is_starting);
    write_u8(out, w->is_mending);
    write_u8(out, w->is_writing);
    pack_sequence(&w->sequence, out);
    write_bytes(out, w->copies, sizeof w->copies);
    write_bytes(out, w->store.bytes, sizeof w->store.bytes);
    write_u8(out, (uint8_t)copy_of(&w->store));
    write_u64(out, w->used);
    write_u32(out, w->used_boot);
}

static uint8_t units(uint64_t seq)
{
    return (uint8_t)((seq - 1) / UNIT);
}

/* A copy as the specification has it: blank, spoilt, or counter, boot and next. */
static void image_copy(const uint8_t copy[SEQUENCE_COPY_LEN], struct writer *out)
{
    struct sequence_record record = {0};
    uint8_t kind = is_blank(copy) ? 0 : is_spoilt(copy) ? 1 : 2;
    write_u8(out, kind);
    if (kind == 2) {
        INVARIANT(sequence_load(slice_of(copy, SEQUENCE_COPY_LEN), &record) == SEQUENCE_FOUND);
        write_u8(out, (uint8_t)record.counter);
        write_u8(out, (uint8_t)record.boot);
        write_u8(out, units(record.next));
    }
}

static void image(const void *at, struct writer *out)
{
    const struct world *w = at;
    for (int i = 0; i < BOUNDS; i++) {
        write_u8(out, (uint8_t)w->left[i]);
    }
    write_u8(out, (uint8_t)row(w));
    write_u8(out, w->is_mending);
    image_copy(w->copies[0], out);
    image_copy(w->copies[1], out);
    if (w->power != OFF) {
        write_u8(out, (uint8_t)w->sequence.boot);
        write_u8(out, (uint8_t)w->sequence.counter);
        write_u8(out, units(w->sequence.next));
        write_u8(out, units(w->sequence.reserved));
        write_u8(out, w->is_writing ? units(w->store.record.next) : 255);
    }
    write_u8(out, units(w->used));
    write_u8(out, (uint8_t)w->used_boot);
}

static void tell_copy(const uint8_t copy[SEQUENCE_COPY_LEN], struct writer *out)
{
    struct sequence_record record;
    if (is_blank(copy) || is_spoilt(copy)) {
        write_text(out, is_blank(copy) ? " blank" : " spoilt");
    } else if (sequence_load(slice_of(copy, SEQUENCE_COPY_LEN), &record) == SEQUENCE_FOUND) {
        write_text(out, " #");
        write_decimal(out, record.counter);
        write_text(out, " boot ");
        write_decimal(out, record.boot);
        write_text(out, " next ");
        write_decimal(out, record.next);
    }
}

static void tell(const void *at, struct writer *out)
{
    const struct world *w = at;
    write_text(out, rows[row(w)]);
    if (w->power != OFF) {
        write_text(out, ": boot ");
        write_decimal(out, w->sequence.boot);
        write_text(out, ", next ");
        write_decimal(out, w->sequence.next);
        write_text(out, ", reserved below ");
        write_decimal(out, w->sequence.reserved);
    }
    write_text(out, w->has_file ? "; file:" : "; no file");
    for (int i = 0; i < COPIES && w->has_file; i++) {
        write_text(out, i > 0 ? "," : "");
        tell_copy(w->copies[i], out);
    }
    write_text(out, "; used below ");
    write_decimal(out, w->used);
    write_text(out, ", boot ");
    write_decimal(out, w->used_boot);
}

static void tell_event(const struct explore_event *event, struct writer *out)
{
    static const char *const texts[KINDS] = {
        "the agent starts",
        "what was to be stored is durable, and the agent is told",
        "the power goes; nothing of a write arrived",
        "the power goes within a write",
        "the power goes when the write is durable and before the agent is told",
        "128 numbers are used",
        "the agent asks for a block where few numbers are left",
        "the agent stores how far it is",
        "the running agent begins a new boot",
        "the agent stops",
        "a copy rots"};
    write_text(out, texts[event->kind]);
    if (event->kind == ROT) {
        write_text(out, event->a == 0 ? ": the first" : ": the second");
    }
}

enum {
    WRITES = BIT(WRITTEN) | BIT(CUT_TORN) | BIT(CUT_UNTOLD),
    ORDERS = BIT(WANT) | BIT(SAVE) | BIT(BOOT) | BIT(STOP)
};
static const struct explore_unreached unreached[] = {
    {BIT(ROW_OFF), WRITES | ORDERS | BIT(CUT) | BIT(TAKE), "without power nothing happens but rot"},
    {BIT(ROW_STARTING) | BIT(ROW_IDLE) | BIT(ROW_RESERVING) | BIT(ROW_STOPPING), BIT(START),
     "it runs already"},
    {BIT(ROW_STARTING), ORDERS | BIT(TAKE), "nothing is used before the boot is durable"},
    {BIT(ROW_IDLE), WRITES, "nothing is being written"},
    {BIT(ROW_RESERVING), ORDERS, "one write at a time"},
    {BIT(ROW_STOPPING), ORDERS | BIT(TAKE), "nothing is taken or ordered after the stop"},
};

static const struct explore_config configs[] = {
    {.name = "cuts", .bounds = {3, 7, 1, 1, 0}},
    {.name = "rot", .bounds = {4, 1, 0, 1, 1}},
    {.name = "block", .is_unspecified = true, .bounds = {2, 10, 0, 0, 0}},
    {.name = "wide", .is_unspecified = true, .bounds = {4, 4, 1, 2, 1}},
    {.name = "large", .is_long = true, .bounds = {4, 10, 1, 3, 1}},
};

const struct explore_world explore_sequence = {
    .name = "sequence",
    .spec = "Sequence",
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
    .image = image,
    .tell = tell,
    .tell_event = tell_event,
};
