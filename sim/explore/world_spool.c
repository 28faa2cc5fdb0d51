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
#include "core/device/outbox.h"
#include "core/gateway/session.h"
#include "core/ingest/received.h"
#include "sim/explore/explore.h"

#include <string.h>

enum { MESSAGES_MAX = 5, WINDOW = 2, ROOM_MAX = 6, ACKS_MAX = 8, BYTES = 64, ODD = 9 };
enum { BAD_ID = 60000 };
enum bound {
    MESSAGES,
    ROOM,
    IS_3_1_1,
    ODDITIES
}; /* ODDITIES: publishes of QoS 0 and refused ones */

struct link {
    bool is_up;
    struct gw_session session;
    struct gw_pending pendings[WINDOW];
    bool is_paused;
    uint8_t held; /* the message that was not taken and comes again; 0: none */
    uint16_t held_id;
    uint32_t acks_len; /* PUBACKs on their way to the device */
    uint16_t acks[ACKS_MAX];
};

struct spool { /* positions count records */
    uint64_t kept, durable, staged;
    uint64_t syncing;          /* what the sync under way makes durable; 0: none is */
    uint8_t records[ROOM_MAX]; /* from `kept` on; a message's number, or ODD */
};

struct world {
    uint32_t bounds[EXPLORE_BOUNDS_MAX];
    struct gw_limits limits;
    struct outbox outbox;
    struct outbox_entry entries[MESSAGES_MAX];
    uint8_t bytes[BYTES];
    struct link link;
    struct spool spool;
    uint64_t cursor; /* of ingest */
    struct received received;
    struct received_pool pool;
    uint32_t promised, applied; /* bits */
    uint32_t odd_left;
};

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

static uint32_t bit(uint64_t number)
{
    return UINT32_C(1) << number;
}

/* A world is copied as it is: what points into it is put right before each step. */
static void bind(struct world *w)
{
    w->outbox.entries = w->entries;
    w->outbox.bytes = w->bytes;
    w->link.session.limits = &w->limits;
    w->link.session.inflight = w->link.pendings;
}

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
    bind(w);
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
    uint32_t count = 0;
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
    for (uint8_t k = 0; k < KINDS; k++) {
        if (offered[k]) {
            list[count++] = (struct explore_event){.kind = k};
        }
    }
    for (uint8_t left = 0; left <= s->staged - s->durable; left++) {
        list[count++] = (struct explore_event){.kind = CUT, .a = left};
    }
    return count;
}

/* ---- the gateway: its role's loop, with the journal above in place of the bus ---- */

static void link_down(struct world *w)
{
    memset(&w->link, 0, sizeof w->link);
    outbox_link_lost(&w->outbox);
}

static struct gw_event append(struct world *w, const struct gw_effect *effect)
{
    struct spool *s = &w->spool;
    if (s->staged - s->kept == w->bounds[ROOM]) {
        return (struct gw_event){.kind = GW_NO_ROOM};
    }
    s->records[s->staged - s->kept] = effect->message.payload.at[0];
    s->staged++;
    return (struct gw_event){.kind = GW_STAGED, .position = s->staged};
}

static void send_acks(struct world *w,
                      const struct gw_effect *effect,
                      struct explore_breach *breach)
{
    for (uint32_t i = 0; i < effect->acks.count; i++) {
        const struct gw_pending *p = &effect->acks.list[i];
        explore_expect(breach, p->position <= w->spool.durable,
                       "AckedIsKept: a PUBACK leaves before its message is durable");
        INVARIANT(w->link.acks_len < ACKS_MAX);
        w->link.acks[w->link.acks_len++] = p->packet_id;
        for (uint32_t k = 0; k < w->outbox.count && p->reason == 0; k++) {
            const struct outbox_entry *entry = &w->entries[(w->outbox.first + k) % MESSAGES_MAX];
            if (entry->state == OUTBOX_SENT && entry->packet_id == p->packet_id) {
                w->promised |= bit(entry->seq);
            }
        }
    }
}

static void feed(struct world *w, struct gw_event ev, struct explore_breach *breach);

static void publish(struct world *w,
                    uint8_t number,
                    uint16_t packet_id,
                    struct explore_breach *breach)
{
    uint8_t topic[GW_TOPIC_PREFIX_LEN + 8];
    struct writer t = writer_over(topic, sizeof topic);
    write_bytes(&t, w->link.session.prefix, GW_TOPIC_PREFIX_LEN);
    write_text(&t, packet_id == BAD_ID ? "nowhere" : "t/s");
    const struct mqtt_packet packet = {.type = MQTT_PUBLISH,
                                       .publish = {.qos = packet_id != 0,
                                                   .packet_id = packet_id,
                                                   .topic = writer_slice(&t),
                                                   .payload = slice_of(&number, 1)}};
    w->link.held = number; /* until it is taken */
    w->link.held_id = packet_id;
    feed(w, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet}, breach);
    if (!w->link.is_paused) {
        w->link.held = 0;
        w->link.held_id = 0;
    }
}

/* Steps until the core waits for something that is not known yet. */
static void feed(struct world *w, struct gw_event ev, struct explore_breach *breach)
{
    bool is_answered = true;
    bool is_resumed = false;
    while (is_answered && (w->link.is_up || ev.kind == GW_SAW_PACKET)) {
        struct gw_effects fx;
        gw_session_step(&w->link.session, &ev, &fx);
        gw_session_check(&w->link.session);
        is_answered = false;
        for (uint32_t i = 0; i < fx.count; i++) {
            switch (fx.list[i].kind) {
            case GW_ASK_ADMISSION:
                ev = (struct gw_event){.kind = GW_ADMITTED};
                is_answered = true;
                break;
            case GW_APPEND:
                ev = append(w, &fx.list[i]);
                is_answered = true;
                break;
            case GW_ACK: send_acks(w, &fx.list[i], breach); break;
            case GW_PAUSE: w->link.is_paused = true; break;
            case GW_RESUME:
                w->link.is_paused = false;
                is_resumed = true;
                break;
            case GW_CLOSE: w->link.is_up = false; break;
            case GW_SEND:
            case GW_REFUSE: break;
            }
        }
    }
    if (!w->link.is_up) {
        link_down(w);
    } else if (is_resumed && w->link.held != 0) {
        publish(w, w->link.held, w->link.held_id, breach);
    }
}

static void connect(struct world *w, struct explore_breach *breach)
{
    static const struct device_id device;
    const struct mqtt_packet packet = {
        .type = MQTT_CONNECT,
        .connect = {.version = w->bounds[IS_3_1_1] != 0 ? MQTT_3_1_1 : MQTT_5_0,
                    .clean_start = true,
                    .client_id = slice_text("d")}};
    w->link.is_up = true;
    gw_session_init(&w->link.session, &w->limits, w->link.pendings, &device, 1, 0);
    feed(w, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet}, breach);
    explore_expect(breach, w->link.session.state == GW_LIVE, "a good CONNECT is not taken");
}

/* As the role does: sessions that wait for acknowledgements are told, then those that wait for
 * room. */
static void tell_session(struct world *w, bool is_durable, struct explore_breach *breach)
{
    if (w->link.is_up && is_durable && w->link.session.inflight_count > 0) {
        feed(w, (struct gw_event){.kind = GW_STORED, .position = w->spool.durable}, breach);
    }
    if (w->link.is_up && w->link.session.stall == GW_WAITS_FOR_ROOM) {
        feed(w, (struct gw_event){.kind = GW_HAS_ROOM}, breach);
    }
}

/* What was not durable is lost but for its first `left` records; what is left is made durable. */
static void cut(struct world *w, uint8_t left)
{
    struct spool *s = &w->spool;
    link_down(w);
    s->durable += left;
    s->staged = s->durable;
    s->syncing = 0;
    uint64_t len = s->staged - s->kept;
    memset(s->records + len, 0, sizeof s->records - len);
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
        explore_expect(breach, (w->applied & bit(number)) == 0,
                       "OnceApplied: a message is applied a second time");
        w->applied |= bit(number);
    }
    explore_expect(breach, (w->applied & bit(number)) != 0,
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
        durable |= number == ODD ? 0 : bit(number);
    }
    explore_expect(breach, (w->promised & ~durable) == 0,
                   "AckedIsKept: an acknowledged message is neither in the spool nor applied");
    for (uint64_t n = 1; n <= w->bounds[MESSAGES]; n++) {
        bool is_held = false;
        for (uint32_t i = 0; i < w->outbox.count; i++) {
            const struct outbox_entry *entry = &w->entries[(w->outbox.first + i) % MESSAGES_MAX];
            is_held |= entry->state != OUTBOX_GONE && entry->seq == n;
        }
        explore_expect(breach, is_held || (w->promised & bit(n)) != 0,
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
    bind(w);
    switch ((enum kind)event->kind) {
    case CONNECT: connect(w, breach); break;
    case PUBLISH:
        INVARIANT(outbox_send(&w->outbox, &message));
        publish(w, message.payload.at[0], message.packet_id, breach);
        break;
    case QOS0:
        w->odd_left--;
        publish(w, ODD, 0, breach);
        break;
    case REFUSED:
        w->odd_left--;
        publish(w, ODD, BAD_ID, breach);
        break;
    case FLUSH: w->spool.syncing = w->spool.staged; break;
    case SYNCED:
        w->spool.durable = w->spool.syncing;
        w->spool.syncing = 0;
        tell_session(w, true, breach);
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
        feed(w, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet}, breach);
        explore_expect(breach, !w->link.is_up, "a DISCONNECT does not end the session");
        break;
    }
    case LOST: {
        struct gw_effects fx;
        gw_session_step(&w->link.session, &(struct gw_event){.kind = GW_LOST}, &fx);
        explore_expect(breach, fx.count == 0 && w->link.session.state == GW_CLOSED,
                       "a lost session still orders something");
        link_down(w);
        break;
    }
    case CUT: cut(w, event->a); break;
    case APPLY: apply(w, breach); break;
    case RETAIN:
        retain(w);
        tell_session(w, false, breach);
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

static void tell_numbers(struct writer *out, const char *name, uint32_t bits)
{
    write_text(out, name);
    for (uint64_t n = 1; n <= MESSAGES_MAX; n++) {
        if ((bits & bit(n)) != 0) {
            write_text(out, " ");
            write_decimal(out, n);
        }
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
    tell_numbers(out, "; acknowledged", w->promised);
    tell_numbers(out, "; applied", w->applied);
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

#define BIT EXPLORE_BIT
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
