/*
 * A device's outbox, a gateway's session and spool, and ingest behind it: core/device/outbox,
 * core/gateway/session and core/ingest/received, with a journal of durable and of staged records
 * between them. The link goes at any moment, with what was on it; the gateway's power goes at any
 * moment, and of what was not durable any prefix may be left; the spool runs full.
 *
 * AckedIsKept: a message whose PUBACK left the gateway is durable in the spool, or applied.
 * OnceApplied: no message is applied twice, however often it was sent. Answered: where everything
 * is durable, nobody waits for a PUBACK, and where there is room, nobody waits for that.
 */
#include "base/invariant.h"
#include "sim/explore/parts.h"
#include "sim/explore/world_spool_gateway.h"

#include <string.h>

enum kind {
    CONNECT,
    PUBLISH,
    QOS0,
    REFUSED,
    FLUSH,
    SYNCED,
    ACKED,
    LEAVE,
    LOST,
    CUT,
    APPLY,
    RETAIN
};
enum { KINDS = RETAIN + 1 };
static const char *const kinds[KINDS] = {"connect", "publish", "qos-0", "refused",
                                         "flush",   "synced",  "acked", "leave",
                                         "lost",    "cut",     "apply", "retain"};
enum row { ROW_DOWN, ROW_LIVE, ROW_FULL_WINDOW, ROW_NO_ROOM, ROWS };
static const char *const rows[ROWS] = {"down", "live", "full-window", "no-room"};

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    memset(w, 0, sizeof *w);
    memcpy(w->bounds, config->bounds, sizeof w->bounds);
    INVARIANT(w->bounds[MESSAGES] <= MESSAGES_MAX && w->bounds[ROOM] <= ROOM_MAX);
    w->limits = (struct gw_limits){.packet_max = 1024,
                                   .inflight_max = WINDOW,
                                   .keep_alive_max_s = 60,
                                   .connect_ms = 1000,
                                   .allow_3_1_1 = true};
    /* outbox_init asks for room for the largest messages; these have one byte. */
    w->outbox = (struct outbox){.cap = MESSAGES_MAX, .bytes_cap = BYTES};
    w->odd_left = w->bounds[ODDITIES];
    w->spool = (struct spool){.kept = 1, .durable = 1, .staged = 1}; /* 0 is before all records */
    w->cursor = 1;
    received_init(&w->received);
    world_bind(w);
    for (uint8_t n = 1; n <= w->bounds[MESSAGES]; n++) {
        INVARIANT(outbox_put(&w->outbox, n, 0, slice_text("s"), slice_of(&n, 1)));
    }
}

static uint32_t row(const void *at)
{
    const struct world *w = at;
    if (!w->link.is_up) {
        return ROW_DOWN;
    }
    return w->link.is_paused && w->link.session.stall == GW_WAITS_FOR_ROOM ? ROW_NO_ROOM
           : w->link.is_paused || w->link.session.inflight_count == WINDOW ? ROW_FULL_WINDOW
                                                                           : ROW_LIVE;
}

/* The device keeps to the window it was told of; one of 3.1.1 was told nothing. */
static bool may_publish(const struct world *w)
{
    bool has_waiting = false;
    for (uint32_t i = 0; i < w->outbox.count; i++) {
        has_waiting |= w->entries[(w->outbox.first + i) % MESSAGES_MAX].state == OUTBOX_WAITING;
    }
    return w->link.is_up && !w->link.is_paused && has_waiting
           && (w->bounds[IS_3_1_1] != 0 || w->outbox.sent < WINDOW);
}

static uint32_t offer(const void *at, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    const struct world *w = at;
    const struct spool *s = &w->spool;
    bool is_heard = w->link.is_up && !w->link.is_paused;
    bool may_be_odd = is_heard && w->odd_left > 0 && w->link.session.inflight_count < WINDOW;
    bool offered[KINDS] = {
        [CONNECT] = !w->link.is_up,
        [PUBLISH] = may_publish(w),
        [QOS0] = may_be_odd,
        [REFUSED] = may_be_odd,
        [FLUSH] = s->syncing == 0 && s->staged > s->durable,
        [SYNCED] = s->syncing != 0,
        [ACKED] = w->link.acks_len > 0,
        [LEAVE] = is_heard,
        [LOST] = w->link.is_up,
        [APPLY] = w->cursor < s->durable,
        [RETAIN] = s->kept < w->cursor,
    };
    uint32_t count = parts_offer(offered, KINDS, list);
    for (uint8_t left = 0; left <= s->staged - s->durable; left++) {
        list[count++] = (struct explore_event){.kind = CUT, .a = left};
    }
    return count;
}

/* ---- ingest: a record, its points and the cursor in one transaction ---- */

static void apply(struct world *w, struct explore_breach *breach)
{
    struct received_losses losses;
    uint8_t number = w->spool.records[w->cursor - w->spool.kept];
    w->cursor++;
    if (number == ODD) {
        return;
    }
    enum received_result result = received_offer(&w->received, &w->pool, number, 0, &losses);
    w->received.duplicates = 0;
    if (result == RECEIVED_NEW) {
        explore_expect(breach, (w->applied & BIT(number)) == 0,
                       "OnceApplied: a message is applied a second time");
        w->applied |= BIT(number);
    }
    explore_expect(breach, (w->applied & BIT(number)) != 0,
                   "AckedIsKept: a message is read and not applied");
}

static void retain(struct world *w)
{
    struct spool *s = &w->spool;
    uint64_t gone = w->cursor - s->kept;
    memmove(s->records, s->records + gone, sizeof s->records - gone);
    memset(s->records + sizeof s->records - gone, 0, gone);
    s->kept = w->cursor;
}

static void check(const struct world *w, struct explore_breach *breach)
{
    uint32_t durable = w->applied;
    for (uint64_t i = w->cursor; i < w->spool.durable; i++) {
        uint8_t number = w->spool.records[i - w->spool.kept];
        durable |= number == ODD ? 0 : BIT(number);
    }
    explore_expect(breach, (w->promised & ~durable) == 0,
                   "AckedIsKept: an acknowledged message is neither in the spool nor applied");
    for (uint64_t n = 1; n <= w->bounds[MESSAGES]; n++) {
        bool is_held = false;
        for (uint32_t i = 0; i < w->outbox.count; i++) {
            const struct outbox_entry *entry = &w->entries[(w->outbox.first + i) % MESSAGES_MAX];
            is_held |= entry->state != OUTBOX_GONE && entry->seq == n;
        }
        explore_expect(breach, is_held || (w->promised & BIT(n)) != 0,
                       "AckedIsKept: the device forgets a message that nobody acknowledged");
    }
    if (w->link.is_up && w->spool.staged == w->spool.durable) {
        explore_expect(breach, w->link.session.inflight_count == 0,
                       "Answered: all is durable, and a PUBACK is not sent");
    }
    if (w->link.is_up && w->link.is_paused && w->link.session.stall == GW_WAITS_FOR_ROOM) {
        explore_expect(breach, w->spool.staged - w->spool.kept == w->bounds[ROOM],
                       "Answered: there is room, and a client waits for it");
    }
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    struct outbox_message message;
    world_bind(w);
    switch ((enum kind)event->kind) {
    case CONNECT: gateway_connect(w, breach); break;
    case PUBLISH:
        INVARIANT(outbox_send(&w->outbox, &message));
        gateway_publish(w, message.payload.at[0], message.packet_id, breach);
        break;
    case QOS0:
        w->odd_left--;
        gateway_publish(w, ODD, 0, breach);
        break;
    case REFUSED:
        w->odd_left--;
        gateway_publish(w, ODD, BAD_ID, breach);
        break;
    case FLUSH: w->spool.syncing = w->spool.staged; break;
    case SYNCED:
        w->spool.durable = w->spool.syncing;
        w->spool.syncing = 0;
        gateway_tell_session(w, true, breach);
        break;
    case ACKED: {
        bool is_known = outbox_acked(&w->outbox, w->link.acks[0]);
        explore_expect(breach, is_known || w->link.acks[0] == BAD_ID,
                       "a PUBACK for nothing that was sent");
        w->link.acks_len--;
        memmove(w->link.acks, w->link.acks + 1, w->link.acks_len * sizeof w->link.acks[0]);
        break;
    }
    case LEAVE: {
        const struct mqtt_packet packet = {.type = MQTT_DISCONNECT};
        gateway_feed(w, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet}, breach);
        explore_expect(breach, !w->link.is_up, "a DISCONNECT does not end the session");
        break;
    }
    case LOST: {
        struct gw_effects fx;
        gw_session_step(&w->link.session, &(struct gw_event){.kind = GW_LOST}, &fx);
        explore_expect(breach, fx.count == 0 && w->link.session.state == GW_CLOSED,
                       "a lost session still orders something");
        gateway_link_down(w);
        break;
    }
    case CUT: gateway_cut(w, event->a); break;
    case APPLY: apply(w, breach); break;
    case RETAIN:
        retain(w);
        gateway_tell_session(w, false, breach);
        break;
    }
    outbox_check(&w->outbox);
    check(w, breach);
}

/* ---- views ---- */

/* Packet ids are names: any others would do. The number of the message that has it; 0: none. */
static uint8_t name_of(const struct world *w, uint16_t packet_id)
{
    if (packet_id == BAD_ID) {
        return ODD;
    }
    for (uint32_t i = 0; i < w->outbox.count; i++) {
        const struct outbox_entry *entry = &w->entries[(w->outbox.first + i) % MESSAGES_MAX];
        if (entry->state == OUTBOX_SENT && entry->packet_id == packet_id) {
            return (uint8_t)entry->seq;
        }
    }
    return 0;
}

/* Positions count from the oldest record kept, 1 being the first place behind it. */
static uint8_t place_of(const struct world *w, uint64_t position)
{
    return position < w->spool.kept ? 0 : (uint8_t)(position - w->spool.kept + 1);
}

static void write_session(const struct world *w, struct writer *out)
{
    const struct gw_session *s = &w->link.session;
    write_u8(out, w->link.is_paused);
    write_u8(out, w->link.held);
    write_u8(out, (uint8_t)s->inflight_count);
    for (uint32_t i = 0; i < s->inflight_count; i++) {
        const struct gw_pending *p = &w->link.pendings[(s->inflight_head + i) % WINDOW];
        write_u8(out, name_of(w, p->packet_id));
        write_u8(out, place_of(w, p->position));
    }
    write_u8(out, (uint8_t)w->link.acks_len);
    for (uint32_t i = 0; i < w->link.acks_len; i++) {
        write_u8(out, name_of(w, w->link.acks[i]));
    }
}

/* In the words of the specification. */
static void image(const void *at, struct writer *out)
{
    const struct world *w = at;
    const struct spool *s = &w->spool;
    uint8_t states[MESSAGES_MAX] = {0}; /* by number: OUTBOX_GONE where it is not there any more */
    for (uint32_t i = 0; i < w->outbox.count; i++) {
        const struct outbox_entry *entry = &w->entries[(w->outbox.first + i) % MESSAGES_MAX];
        states[entry->seq - 1] = (uint8_t)entry->state;
    }
    write_bytes(out, states, w->bounds[MESSAGES]);
    write_u8(out, w->link.is_up);
    write_session(w, out);
    write_u8(out, place_of(w, s->durable));
    write_u8(out, s->syncing == 0 ? 0 : place_of(w, s->syncing));
    write_u8(out, place_of(w, w->cursor));
    write_u8(out, place_of(w, s->staged));
    write_bytes(out, s->records, s->staged - s->kept);
    write_u32(out, w->applied);
    write_u32(out, w->promised);
}

static void pack(const void *at, struct writer *out)
{
    const struct world *w = at;
    const struct gw_session *s = &w->link.session;
    image(w, out);
    write_u8(out, (uint8_t)w->odd_left);
    write_u8(out, (uint8_t)w->link.held_id == 0);
    write_u8(out, (uint8_t)s->state);
    write_u8(out, (uint8_t)s->stall);
    write_u8(out, s->is_staging);
    write_u8(out, place_of(w, s->staged));
    write_u8(out, place_of(w, s->durable));
    write_u64(out, w->received.next);
    for (uint32_t i = 0; i < w->received.count; i++) {
        write_u64(out, w->received.runs[i].from);
        write_u32(out, w->received.runs[i].count_why);
    }
}

static void tell(const void *at, struct writer *out)
{
    const struct world *w = at;
    write_text(out, rows[row(w)]);
    write_text(out, "; outbox:");
    for (uint32_t i = 0; i < w->outbox.count; i++) {
        const struct outbox_entry *entry = &w->entries[(w->outbox.first + i) % MESSAGES_MAX];
        write_text(out, entry->state == OUTBOX_GONE ? " (" : " ");
        write_decimal(out, entry->seq);
        write_text(out, entry->state == OUTBOX_GONE   ? " gone)"
                        : entry->state == OUTBOX_SENT ? " sent"
                                                      : "");
    }
    write_text(out, "; spool:");
    for (uint64_t i = w->spool.kept; i < w->spool.staged; i++) {
        write_text(out, i == w->spool.durable ? " | not durable:" : "");
        write_text(out, i < w->cursor ? " read " : " ");
        write_decimal(out, w->spool.records[i - w->spool.kept]);
    }
    write_text(out, w->spool.syncing != 0 ? " (sync under way)" : "");
    write_text(out, "; waiting for PUBACK ");
    write_decimal(out, w->link.session.inflight_count);
    parts_tell_numbers(out, "; acknowledged", w->promised);
    parts_tell_numbers(out, "; applied", w->applied);
}

static void tell_event(const struct explore_event *event, struct writer *out)
{
    static const char *const texts[KINDS] = {
        "the device connects",
        "the device publishes its oldest waiting message",
        "the device publishes something of QoS 0",
        "the device publishes to a topic that is refused",
        "the gateway begins to make durable what is staged",
        "that sync is done",
        "a PUBACK reaches the device",
        "the device says DISCONNECT",
        "the link goes",
        "the gateway's power goes, and it starts again; of what was not durable is left: ",
        "ingest applies the next record",
        "the gateway removes what ingest is done with"};
    write_text(out, texts[event->kind]);
    if (event->kind == CUT) {
        write_decimal(out, event->a);
    }
}

/* Every message is applied, acknowledged and forgotten. */
static bool is_settled(const void *at)
{
    const struct world *w = at;
    uint32_t all = (UINT32_C(2) << w->bounds[MESSAGES]) - 2;
    return outbox_is_empty(&w->outbox) && w->applied == all && w->cursor == w->spool.staged;
}

static const struct explore_unreached unreached[] = {
    {BIT(ROW_DOWN), BIT(PUBLISH) | BIT(QOS0) | BIT(REFUSED) | BIT(ACKED) | BIT(LEAVE) | BIT(LOST),
     "there is no link"},
    {BIT(ROW_LIVE) | BIT(ROW_FULL_WINDOW) | BIT(ROW_NO_ROOM), BIT(CONNECT), "one link at a time"},
    {BIT(ROW_NO_ROOM), BIT(PUBLISH) | BIT(QOS0) | BIT(REFUSED) | BIT(LEAVE),
     "what the client says is not read before there is room"},
    {BIT(ROW_FULL_WINDOW), BIT(QOS0) | BIT(REFUSED), "the client keeps to its window"},
};

static const struct explore_config configs[] = {
    {.name = "small", .bounds = {2, 2, 0, 0}},
    {.name = "window", .bounds = {3, 4, 0, 0}},
    {.name = "old-clients", .is_unspecified = true, .bounds = {3, 3, 1, 0}},
    {.name = "odd", .is_unspecified = true, .bounds = {1, 3, 0, 2}},
    {.name = "large", .bounds = {4, 5, 0, 0}},
};

const struct explore_world explore_spool = {
    .name = "spool",
    .spec = "Spool",
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
    .restless = BIT(LEAVE) | BIT(LOST) | BIT(CUT) | BIT(QOS0) | BIT(REFUSED),
    .is_settled = is_settled,
};
