/*
 * A publisher, a gateway and two subscribers, through power cuts at every record, lost connections
 * and lost answers: core/gateway/broker between honest clients. One subscriber asked for QoS 1, the
 * other for QoS 2; messages are of QoS 1 and 2 in turn.
 *
 * AckedIsKept: a message whose publisher was told so has reached each subscriber, or waits for it.
 * At QoS 2 none reaches the second subscriber twice. No PUBLISH comes with the identifier of
 * another message that the receiver still knows, and nothing is sent that is not durable.
 *
 * A state is what its events make of a fresh gateway: the struct holds the events, and the gateway
 * is made again from them (a broker cannot be copied).
 */
#include "base/invariant.h"
#include "core/gateway/broker_inside.h"
#include "crypto/hash.h"
#include "sim/explore/parts.h"

#include <string.h>

enum {
    EVENTS_MAX = 96,
    RECORDS_MAX = 160,
    JOURNAL_MAX_BYTES = 16384,
    MESSAGES_MAX = 3,
    FIRST = 16
};
enum bound { MESSAGES, DROPS, CUTS, KEEPS, BOUNDS };
enum who { PUBLISHER, ONE, TWO, CLIENTS };
enum { MEMORY = 65536 };

struct world {
    uint32_t left[BOUNDS];
    uint32_t count;
    struct explore_event events[EVENTS_MAX];
};

enum kind { PUBLISH, ANSWER, DELIVER, REPLY, SYNC, DROP, COME_BACK, CUT, KEEP, KINDS };
static const char *const kinds[KINDS] = {"publish", "answer",    "deliver", "reply", "sync",
                                         "drop",    "come-back", "cut",     "keep"};
enum row { ROW_DURABLE, ROW_STAGED, ROWS };
static const char *const rows[ROWS] = {"durable", "staged"};

enum told { TOLD_NOTHING, TOLD_RECEIVED, TOLD_ALL };

struct publisher {
    uint32_t next;      /* the message it is at */
    bool is_sent;       /* on this connection; its answer is due */
    bool is_releasing;  /* PUBREC came: PUBREL from now on */
    uint64_t answer_at; /* what must be durable before the gateway answers */
    enum told told[MESSAGES_MAX];
};

struct subscriber {
    uint32_t got[MESSAGES_MAX];
    uint16_t known_id[MESSAGES_MAX]; /* QoS 2: until PUBREL; 0: not known */
    uint8_t reply_type;              /* to be sent; 0: none */
    uint16_t reply_id;
};

/* What the events made: one at a time, thrown away when another state is looked at. */
static struct scene {
    struct world of;
    struct gw_broker *b;
    struct publisher publisher;
    struct subscriber subscribers[2];
    uint32_t session[CLIENTS];
    bool is_on[CLIENTS];
    uint64_t starts[RECORDS_MAX + 1];
    uint32_t records, durable; /* counts */
    uint64_t clock_ms;
    uint8_t journal[JOURNAL_MAX_BYTES];
    const char *breach;
} scene;
static _Alignas(16) uint8_t memory[2][MEMORY];

static const struct gw_broker_limits limits = {.sessions_max = 3,
                                               .sessions_per_owner_max = 3,
                                               .filters_max = 1,
                                               .subscriptions_max = 2,
                                               .nodes_max = 3,
                                               .groups_max = 1,
                                               .inbound_max = 2,
                                               .inbounds_max = 2,
                                               .queue_messages_max = 4,
                                               .queue_bytes_max = 1000,
                                               .deliveries_max = 8,
                                               .messages_max = 4,
                                               .retained_max = 1,
                                               .retained_bytes_max = 100,
                                               .brought_max = 1,
                                               .inflight_max = 4,
                                               .targets_max = 4,
                                               .stall_ms = 1000};

static void notice(bool holds, const char *what)
{
    scene.breach = scene.breach == NULL && !holds ? what : scene.breach;
}

static uint8_t qos_of(uint32_t message)
{
    return message % 2 == 0 ? 2 : 1;
}

/* ---- the gateway ---- */

static uint64_t stage(const struct bus_record *record)
{
    uint64_t at = scene.starts[scene.records];
    struct bus_record stamped = *record, back;
    stamped.clock_ms = ++scene.clock_ms;
    struct writer w = writer_over(scene.journal + at, sizeof scene.journal - at);
    INVARIANT(scene.records < RECORDS_MAX);
    INVARIANT(bus_record_encode(&stamped, &w) == BUS_RECORD_OK);
    scene.starts[++scene.records] = at + w.len;
    INVARIANT(bus_record_decode(writer_slice(&w), &back) == BUS_RECORD_OK);
    gw_broker_commit(scene.b, &back, at);
    return at;
}

static uint64_t stage_session(const struct session_record *record)
{
    uint8_t bytes[2048];
    struct writer w = writer_over(bytes, sizeof bytes);
    INVARIANT(session_record_encode(record, &w) == SESSION_RECORD_OK);
    return stage(&(struct bus_record){.kind = BUS_SESSION, .payload = writer_slice(&w)});
}

static uint64_t durable(void)
{
    return scene.starts[scene.durable];
}

static struct gw_broker *replay(uint32_t records, size_t which)
{
    struct gw_broker *b = gw_broker_init(&limits, memory[which], MEMORY, 5);
    for (uint32_t i = 0; i < records; i++) {
        struct bus_record record;
        struct slice bytes =
            slice_of(scene.journal + scene.starts[i], scene.starts[i + 1] - scene.starts[i]);
        INVARIANT(bus_record_decode(bytes, &record) == BUS_RECORD_OK);
        notice(gw_broker_apply(b, &record, scene.starts[i]) == GW_FOLDED,
               "a replay refuses what the gateway wrote");
    }
    notice(gw_broker_replayed(b, 0) == GW_FOLDED, "a replay refuses what the gateway wrote");
    return b;
}

static void open_session(uint32_t who)
{
    static const char *const ids[CLIENTS] = {"p", "1", "2"};
    static const struct session_owner owner = {.kind = SESSION_OWNER_APPLICATION};
    struct session_record record;
    INVARIANT(gw_broker_may_open(scene.b, &owner, slice_text(ids[who]), SESSION_NEVER_EXPIRES,
                                 false, 0, &record)
              == MQTT_SUCCESS);
    notice(scene.session[who] == 0 || record.session == scene.session[who],
           "AckedIsKept: a session is not there any more");
    scene.session[who] = record.session;
    (void)stage_session(&record);
    scene.durable = scene.records; /* CONNACK waits for it, and the client for CONNACK */
    gw_broker_attach(scene.b, record.session, who, 65535);
    scene.is_on[who] = true;
}

static void begin_scene(const struct world *w)
{
    memset(&scene, 0, sizeof scene);
    scene.clock_ms = 1;
    scene.of = *w;
    scene.of.count = 0;
    scene.starts[0] = FIRST;
    scene.b = gw_broker_init(&limits, memory[0], MEMORY, 5);
    (void)stage(&(struct bus_record){.kind = BUS_STARTED});
    for (uint32_t who = 0; who < CLIENTS; who++) {
        open_session(who);
        if (who != PUBLISHER) {
            uint8_t items[8];
            struct writer none = writer_over(items, sizeof items);
            struct session_record record;
            const struct mqtt_subscription want = {.filter = slice_text("t"),
                                                   .qos = who == ONE ? 1 : 2};
            INVARIANT(
                gw_broker_may_subscribe(scene.b, scene.session[who], &want, 0, 0, &none, &record)
                <= 2);
            (void)stage_session(&record);
        }
    }
    scene.durable = scene.records;
}

/* ---- what clients and gateway do ---- */

static void publish(void)
{
    struct publisher *p = &scene.publisher;
    uint8_t targets[256], payload = (uint8_t)p->next;
    uint16_t packet_id = (uint16_t)(p->next + 1);
    p->is_sent = true;
    p->answer_at = 0;
    if (p->is_releasing) {
        struct session_record record;
        bool must_stage = false;
        (void)gw_broker_release(scene.b, scene.session[PUBLISHER], packet_id, &record, &must_stage);
        p->answer_at = must_stage ? stage_session(&record) : 0;
        return;
    }
    if (qos_of(p->next) == 2
        && gw_broker_inbound_has(scene.b, scene.session[PUBLISHER], packet_id)) {
        p->answer_at = scene.records > 0 ? scene.starts[scene.records - 1] : 0;
        return;
    }
    struct writer w = writer_over(targets, sizeof targets);
    struct gw_routing routing;
    const struct gw_message message = {.topic = slice_text("t"),
                                       .sender = scene.session[PUBLISHER],
                                       .packet_id = qos_of(p->next) == 2 ? packet_id : 0,
                                       .qos = qos_of(p->next),
                                       .size = 2};
    INVARIANT(gw_broker_route(scene.b, &message, scene.clock_ms, &w, &routing) == GW_ROUTED);
    p->answer_at = stage(&(struct bus_record){.kind = BUS_LOCAL,
                                              .topic = message.topic,
                                              .payload = slice_of(&payload, 1),
                                              .delivery = {.qos = message.qos,
                                                           .sender = routing.sender,
                                                           .packet_id = routing.packet_id,
                                                           .targets = writer_slice(&w)}});
}

static void answer(void)
{
    struct publisher *p = &scene.publisher;
    p->is_sent = false;
    if (qos_of(p->next) == 2 && !p->is_releasing) {
        p->told[p->next] = TOLD_RECEIVED;
        p->is_releasing = true;
        return;
    }
    p->told[p->next] = TOLD_ALL;
    p->is_releasing = false;
    p->next++;
}

static bool next_for(uint32_t who, struct gw_delivery *out)
{
    return gw_broker_next(scene.b, scene.session[who], durable(), scene.clock_ms, out);
}

static uint32_t message_at(uint64_t position)
{
    for (uint32_t i = 0; i < scene.records; i++) {
        struct bus_record record;
        struct slice bytes =
            slice_of(scene.journal + scene.starts[i], scene.starts[i + 1] - scene.starts[i]);
        if (scene.starts[i] == position && bus_record_decode(bytes, &record) == BUS_RECORD_OK
            && record.payload.len == 1 && record.payload.at[0] < MESSAGES_MAX) {
            return record.payload.at[0];
        }
    }
    notice(false, "what is delivered is not in the journal");
    return 0;
}

static void deliver(uint32_t who)
{
    struct subscriber *s = &scene.subscribers[who - ONE];
    struct gw_delivery d;
    INVARIANT(next_for(who, &d));
    gw_broker_sent(scene.b, scene.session[who], &d);
    s->reply_id = d.packet_id;
    if (d.kind == GW_SEND_PUBREL) {
        for (uint32_t i = 0; i < MESSAGES_MAX; i++) {
            s->known_id[i] = s->known_id[i] == d.packet_id ? 0 : s->known_id[i];
        }
        s->reply_type = MQTT_PUBCOMP;
        return;
    }
    uint32_t message = message_at(d.position);
    notice(d.position < durable(), "AckedIsKept: sent before it was durable");
    s->reply_type = d.qos == 2 ? MQTT_PUBREC : MQTT_PUBACK;
    if (d.qos == 2) {
        for (uint32_t i = 0; i < MESSAGES_MAX; i++) {
            notice(s->known_id[i] != d.packet_id || i == message,
                   "AckedIsKept: an identifier that the receiver knows comes with another message");
        }
        if (s->known_id[message] == d.packet_id) {
            return; /* it has it (4.3.3) */
        }
        s->known_id[message] = d.packet_id;
        notice(s->got[message] == 0, "OnceApplied: a QoS 2 message reaches its receiver twice");
    }
    s->got[message] += s->got[message] < 2;
}

static void reply(uint32_t who)
{
    struct subscriber *s = &scene.subscribers[who - ONE];
    struct session_record record;
    enum gw_ack ack = gw_broker_ack(scene.b, scene.session[who], (enum mqtt_type)s->reply_type,
                                    s->reply_id, 0, &record);
    notice(ack == GW_ACK_TAKEN, "an honest acknowledgement is not known");
    if (ack == GW_ACK_TAKEN) {
        (void)stage_session(&record);
    }
    s->reply_type = 0;
}

/* The client's half of a connection's end. */
static void lose(uint32_t who)
{
    scene.is_on[who] = false;
    if (who == PUBLISHER) {
        scene.publisher.is_sent = false;
    } else {
        scene.subscribers[who - ONE].reply_type = 0;
    }
}

static void drop(uint32_t who)
{
    struct session_record record;
    lose(who);
    gw_broker_detach(scene.b, scene.session[who]);
    gw_broker_close(scene.b, scene.session[who], SESSION_NEVER_EXPIRES, true, &record);
    (void)stage_session(&record);
}

/* The power goes: what was synced stays, and of the rest its first `more` records. */
static void cut(uint32_t more)
{
    struct digest before, after;
    gw_broker_digest(scene.b, scene.clock_ms, &before);
    bool is_whole = scene.durable + more == scene.records;
    scene.records = scene.durable + more;
    scene.b = replay(scene.records, 0);
    gw_broker_digest(scene.b, scene.clock_ms, &after);
    notice(!is_whole || memcmp(&before, &after, sizeof before) == 0,
           "a replay of the whole journal is not what was");
    scene.clock_ms = gw_broker_clock(scene.b);
    for (uint32_t who = 0; who < CLIENTS; who++) {
        lose(who);
    }
    (void)stage(&(struct bus_record){.kind = BUS_STARTED});
    scene.durable = scene.records;
}

static void keep(void)
{
    struct gw_keep what;
    INVARIANT(gw_broker_keep(scene.b, UINT64_MAX / 2, &what));
    if (what.kind == GW_KEEP_MESSAGE) {
        uint8_t payload = (uint8_t)message_at(what.position);
        (void)stage(&(struct bus_record){.kind = BUS_KEPT,
                                         .topic = slice_text("t"),
                                         .payload = slice_of(&payload, 1),
                                         .delivery = what.delivery});
        return;
    }
    struct session_record part = {0};
    while (!part.is_last) {
        uint8_t items[1024];
        struct writer w = writer_over(items, sizeof items);
        gw_broker_write_session(scene.b, what.session, &w, &part);
        (void)stage_session(&part);
    }
}

/* ---- what must hold ---- */

static bool waits_for(uint32_t who, uint32_t message)
{
    const struct session *s = gw_slot(scene.b, scene.session[who]);
    for (uint32_t i = s != NULL ? s->queue.head : NONE; i != NONE;
         i = scene.b->deliveries[i].next) {
        const struct delivery *d = &scene.b->deliveries[i];
        if (d->message != NONE && message_at(scene.b->messages[d->message].at) == message) {
            return true;
        }
    }
    return false;
}

static void look(void)
{
    for (uint32_t m = 0; m < MESSAGES_MAX; m++) {
        for (uint32_t who = ONE; who < CLIENTS && scene.publisher.told[m] != TOLD_NOTHING; who++) {
            bool is_there = scene.subscribers[who - ONE].got[m] > 0 || waits_for(who, m);
            notice(promise_holds(PROMISE_ACKED_IS_KEPT, is_there),
                   "AckedIsKept: a message that was acknowledged is nowhere");
        }
    }
    gw_broker_check(scene.b);
}

static void happen(const struct explore_event *event)
{
    switch ((enum kind)event->kind) {
    case PUBLISH: publish(); break;
    case ANSWER: answer(); break;
    case DELIVER: deliver(event->a); break;
    case REPLY: reply(event->a); break;
    case SYNC: scene.durable = scene.records; break;
    case DROP: drop(event->a); break;
    case COME_BACK: open_session(event->a); break;
    case CUT: cut(event->a); break;
    case KEEP: keep(); break;
    case KINDS: UNREACHABLE();
    }
    INVARIANT(scene.of.count < EVENTS_MAX);
    scene.of.events[scene.of.count++] = *event;
}

/* Makes the scene of this world, going on from the one that is there where it leads here. */
static void play(const struct world *w)
{
    bool goes_on = scene.b != NULL && scene.of.count <= w->count && scene.breach == NULL
                   && memcmp(scene.of.events, w->events, scene.of.count * sizeof w->events[0]) == 0;
    if (!goes_on) {
        begin_scene(w);
    }
    while (scene.of.count < w->count) {
        struct explore_event event = w->events[scene.of.count];
        happen(&event);
    }
}

/* ---- the world ---- */

static void begin(void *at, const struct explore_config *config)
{
    struct world *w = at;
    *w = (struct world){0};
    memcpy(w->left, config->bounds, sizeof w->left);
    INVARIANT(gw_broker_size(&limits) <= MEMORY);
}

static uint32_t row(const void *at)
{
    play(at);
    return scene.durable == scene.records ? ROW_DURABLE : ROW_STAGED;
}

static uint32_t offer(const void *at, struct explore_event list[EXPLORE_OFFERS_MAX])
{
    const struct world *w = at;
    play(w);
    const struct publisher *p = &scene.publisher;
    bool is_answerable =
        p->is_sent && scene.is_on[PUBLISHER] && gw_is_durable(p->answer_at, durable());
    const bool offered[KINDS] = {
        [PUBLISH] = scene.is_on[PUBLISHER] && !p->is_sent && p->next < w->left[MESSAGES],
        [ANSWER] = is_answerable,
        [SYNC] = scene.durable<scene.records, [KEEP] = w->left[KEEPS]> 0,
    };
    uint32_t count = parts_offer(offered, KINDS, list);
    for (uint8_t who = 0; who < CLIENTS; who++) {
        struct gw_delivery d;
        if (!scene.is_on[who]) {
            list[count++] = (struct explore_event){.kind = COME_BACK, .a = who};
            continue;
        }
        if (w->left[DROPS] > 0) {
            list[count++] = (struct explore_event){.kind = DROP, .a = who};
        }
        if (who == PUBLISHER) {
            continue;
        }
        if (scene.subscribers[who - ONE].reply_type != 0) {
            list[count++] = (struct explore_event){.kind = REPLY, .a = who};
        } else if (next_for(who, &d)) {
            list[count++] = (struct explore_event){.kind = DELIVER, .a = who};
        }
    }
    for (uint8_t more = 0; w->left[CUTS] > 0 && more <= scene.records - scene.durable; more++) {
        list[count++] = (struct explore_event){.kind = CUT, .a = more};
    }
    return count;
}

static void step(void *at, const struct explore_event *event, struct explore_breach *breach)
{
    struct world *w = at;
    play(w);
    w->left[DROPS] -= event->kind == DROP;
    w->left[CUTS] -= event->kind == CUT;
    w->left[KEEPS] -= event->kind == KEEP;
    happen(event);
    look();
    w->events[w->count++] = *event;
    explore_expect(breach, scene.breach == NULL, scene.breach);
}

/* How far behind what is durable a record lies; 0: it is durable. Where exactly, nothing depends
 * on. */
static uint8_t beyond(uint64_t at)
{
    uint32_t i = scene.durable;
    while (i < scene.records && scene.starts[i] != at) {
        i++;
    }
    return i < scene.records ? (uint8_t)(i - scene.durable + 1) : 0;
}

/* The order in which things would be kept. */
static void pack_ages(const struct gw_broker *b, struct writer *out)
{
    uint32_t message = b->message_oldest;
    for (uint32_t i = b->session_oldest; i != NONE; i = b->sessions[i].newer) {
        for (; message != NONE && b->messages[message].at < b->sessions[i].at;
             message = b->messages[message].newer) {
            write_u8(out, (uint8_t)(0x80 | message_at(b->messages[message].at)));
            write_u8(out, beyond(b->messages[message].at));
        }
        write_u8(out, (uint8_t)i);
    }
    for (; message != NONE; message = b->messages[message].newer) {
        write_u8(out, (uint8_t)(0x80 | message_at(b->messages[message].at)));
        write_u8(out, beyond(b->messages[message].at));
    }
}

/* A broker's future: its sessions' queues by message. */
static void pack_broker(const struct gw_broker *b, struct writer *out)
{
    for (uint32_t i = 0; i < limits.sessions_max; i++) {
        const struct session *s = &b->sessions[i];
        write_u32(out, s->number);
        if (s->number == 0) {
            continue;
        }
        write_u8(out, (uint8_t)(s->is_open | (s->connection != GW_NOWHERE) << 1));
        write_u64(out, s->begun);
        write_u64(out, s->next_n);
        write_u8(out, (uint8_t)s->inbound.count);
        for (uint32_t k = s->inbound.head; k != NONE; k = b->inbounds[k].next) {
            write_u16(out, b->inbounds[k].packet_id);
        }
        for (uint32_t k = s->queue.head; k != NONE; k = b->deliveries[k].next) {
            const struct delivery *d = &b->deliveries[k];
            write_u64(out, d->n);
            write_u8(out, (uint8_t)(d->qos | d->is_received << 2 | d->is_counted << 3
                                    | d->is_released << 4 | (s->cursor == k) << 5));
            write_u8(out, beyond(d->at));
            write_u8(out,
                     d->message != NONE ? (uint8_t)message_at(b->messages[d->message].at) : 0xff);
        }
        for (uint32_t k = s->releases.head; k != NONE; k = b->deliveries[k].next_release) {
            write_u64(out, b->deliveries[k].n);
        }
    }
}

static void pack(const void *at, struct writer *out)
{
    static uint8_t bytes[65536];
    const struct world *w = at;
    play(w);
    struct writer all = writer_over(bytes, sizeof bytes);
    const struct publisher *p = &scene.publisher;
    write_bytes(&all, w->left, sizeof w->left);
    write_u8(&all, (uint8_t)p->next);
    write_u8(&all, (uint8_t)(p->is_sent | p->is_releasing << 1));
    write_u8(&all, p->is_sent ? beyond(p->answer_at) : 0);
    for (uint32_t i = 0; i < MESSAGES_MAX; i++) {
        write_u8(&all, (uint8_t)p->told[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        const struct subscriber *s = &scene.subscribers[i];
        for (uint32_t m = 0; m < MESSAGES_MAX; m++) {
            write_u8(&all, (uint8_t)s->got[m]);
            write_u16(&all, s->known_id[m]);
        }
        write_u8(&all, s->reply_type);
        write_u16(&all, s->reply_type != 0 ? s->reply_id : 0);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        write_u8(&all, scene.is_on[i]);
    }
    pack_broker(scene.b, &all);
    pack_ages(scene.b, &all);
    /* What a power cut could leave, at each record. */
    write_u32(&all, scene.records - scene.durable);
    for (uint32_t i = scene.durable; i <= scene.records && w->left[CUTS] > 0; i++) {
        const struct gw_broker *left = replay(i, 1);
        pack_broker(left, &all);
        pack_ages(left, &all);
    }
    INVARIANT(writer_ok(&all));
    struct digest digest = hash_of(writer_slice(&all));
    write_bytes(out, digest.bytes, sizeof digest.bytes);
}

static void image(const void *at, struct writer *out)
{
    (void)at;
    write_u8(out, 0); /* no specification goes with it yet */
}

static void tell(const void *at, struct writer *out)
{
    play(at);
    write_text(out, "at message ");
    write_decimal(out, scene.publisher.next);
    write_text(out, scene.publisher.is_releasing ? " releasing" : "");
    write_text(out, scene.publisher.is_sent ? " sent" : "");
    write_text(out, ", records ");
    write_decimal(out, scene.records);
    write_text(out, " durable ");
    write_decimal(out, scene.durable);
    for (uint32_t who = ONE; who < CLIENTS; who++) {
        write_text(out, who == ONE ? ", one" : ", two");
        write_text(out, scene.is_on[who] ? "" : " off");
        for (uint32_t m = 0; m < MESSAGES_MAX; m++) {
            write_text(out, " ");
            write_decimal(out, scene.subscribers[who - ONE].got[m]);
            write_text(out, waits_for(who, m) ? "w" : "");
        }
    }
}

static void tell_event(const struct explore_event *event, struct writer *out)
{
    static const char *const names[CLIENTS] = {" publisher", " one", " two"};
    write_text(out, kinds[event->kind]);
    switch ((enum kind)event->kind) {
    case DELIVER:
    case REPLY:
    case DROP:
    case COME_BACK: write_text(out, names[event->a % CLIENTS]); break;
    case CUT:
        write_text(out, " with ");
        write_decimal(out, event->a);
        write_text(out, " more records");
        break;
    case PUBLISH:
    case ANSWER:
    case SYNC:
    case KEEP:
    case KINDS: break;
    }
}

static const struct explore_unreached unreached[] = {
    {BIT(ROW_DURABLE), BIT(SYNC), "there is nothing to sync"},
};

/* messages, lost connections, power cuts, keepings */
static const struct explore_config configs[] = {
    {.name = "cuts", .is_unspecified = true, .bounds = {1, 0, 2, 1}},
    {.name = "drops", .is_unspecified = true, .bounds = {1, 1, 1, 0}},
    {.name = "two", .is_unspecified = true, .is_long = true, .bounds = {2, 1, 1, 0}},
};

const struct explore_world explore_broker = {
    .name = "broker",
    .spec = "-",
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
