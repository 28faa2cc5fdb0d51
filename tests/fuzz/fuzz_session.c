/*
 * A connection of the gateway, given whatever a client may send and whatever order the role's
 * answers, syncs, full journals and ends may come in. Whatever happens: nothing is acknowledged
 * before it is durable, every packet that is ordered is one a server may send, nothing is ordered
 * after the end, and no order is given while another waits for its answer.
 */
#include "base/invariant.h"
#include "base/reader.h"
#include "core/gateway/session.h"

#include <string.h>

enum { INFLIGHT = 4, PACKET_MAX = 600, OUT_CAP = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gw_limits limits = {.packet_max = PACKET_MAX,
                                        .inflight_max = INFLIGHT,
                                        .keep_alive_max_s = 60,
                                        .connect_ms = 1000,
                                        .session_expiry_max_s = 1000,
                                        .allow_3_1_1 = true};

struct life {
    struct reader tape;
    struct gw_session s;
    struct gw_pending inflight[INFLIGHT];
    struct gw_aliases aliases;
    uint64_t now_ms, staged, durable;
    bool is_paused, is_asked;
    enum gw_effect_kind asked;
    uint8_t codes[GW_FILTERS_MAX];
};

static void check_send(const struct life *l, const struct mqtt_packet *packet)
{
    uint8_t out[OUT_CAP];
    struct writer w = writer_over(out, sizeof out);
    INVARIANT(mqtt_encode(packet, l->s.version, MQTT_FROM_SERVER, &w) == MQTT_OK);
}

static void take_effects(struct life *l, const struct gw_effects *fx, bool was_closed)
{
    INVARIANT(!was_closed || fx->count == 0);
    for (uint32_t i = 0; i < fx->count; i++) {
        const struct gw_effect *e = &fx->list[i];
        switch (e->kind) {
        case GW_ASK_ADMISSION:
        case GW_APPEND:
        case GW_RELEASE:
        case GW_SUBSCRIBE:
        case GW_UNSUBSCRIBE:
        case GW_TAKE_ACK:
            INVARIANT(!l->is_asked);
            l->is_asked = true;
            l->asked = e->kind;
            break;
        case GW_ACK: gw_acks_check(e->acks.list, e->acks.count, l->durable); break;
        case GW_SEND: check_send(l, &e->packet); break;
        case GW_PAUSE:
            INVARIANT(!l->is_paused);
            l->is_paused = true;
            break;
        case GW_RESUME:
            INVARIANT(l->is_paused);
            l->is_paused = false;
            break;
        case GW_REFUSE: INVARIANT(e->fault.clause != NULL); break;
        case GW_CLOSE: INVARIANT(l->s.state == GW_CLOSED); break;
        }
    }
}

static void step(struct life *l, struct gw_event ev)
{
    struct gw_effects fx;
    bool was_closed = l->s.state == GW_CLOSED;
    ev.now_ms = l->now_ms;
    gw_session_step(&l->s, &ev, &fx);
    gw_session_check(&l->s);
    take_effects(l, &fx, was_closed);
}

/* The role's answer, by the tape: room or none, a record or none, any reason a broker can give. */
static void answer(struct life *l)
{
    struct gw_event ev = {.kind = GW_STAGED};
    uint8_t dice = read_u8(&l->tape);
    uint64_t position = (dice & 1) != 0 ? (l->staged += 1 + (dice >> 4)) : 0;
    l->is_asked = false;
    if (l->asked == GW_ASK_ADMISSION) {
        ev.kind = (dice & 2) != 0 ? GW_DENIED : GW_ADMITTED;
        if (ev.kind == GW_DENIED) {
            ev.stop.reason = (dice & 4) != 0 ? MQTT_QUOTA_EXCEEDED : MQTT_USE_ANOTHER_SERVER;
        } else {
            ev.admitted.position = position;
            ev.admitted.session_present = (dice & 4) != 0;
        }
    } else if ((dice & 6) == 6) {
        ev.kind = l->asked == GW_APPEND && (dice & 8) != 0 ? GW_QUEUE_FULL : GW_NO_ROOM;
    } else {
        bool is_refused = (dice & 8) != 0;
        static const uint8_t refusals[] = {[GW_APPEND] = MQTT_QUOTA_EXCEEDED,
                                           [GW_RELEASE] = MQTT_PACKET_ID_NOT_FOUND,
                                           [GW_TAKE_ACK] = MQTT_PACKET_ID_NOT_FOUND};
        bool has_codes = l->asked == GW_SUBSCRIBE || l->asked == GW_UNSUBSCRIBE;
        memset(l->codes, is_refused && l->asked == GW_SUBSCRIBE ? MQTT_QUOTA_EXCEEDED : 0,
               sizeof l->codes);
        ev.staged.position = is_refused ? 0 : position;
        ev.staged.codes = has_codes ? l->codes : NULL;
        ev.staged.reason = is_refused && !has_codes ? refusals[l->asked] : 0;
        ev.staged.is_repeat = l->asked == GW_APPEND && (dice & 2) != 0;
    }
    step(l, ev);
}

static void give_packet(struct life *l)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct mqtt_fault fault = {0};
    struct slice bytes = read_bytes(&l->tape, read_u8(&l->tape));
    enum mqtt_version version = l->s.version != 0 ? l->s.version : MQTT_5_0;
    enum mqtt_result result = mqtt_frame_next(bytes, PACKET_MAX, &frame, &fault);
    if (result == MQTT_OK) {
        result = mqtt_decode(&frame, version, MQTT_FROM_CLIENT, &packet, &fault);
    }
    if (result == MQTT_OK) {
        step(l, (struct gw_event){.kind = GW_SAW_PACKET, .packet = &packet});
        while (l->is_asked) { /* while the packet's bytes are there, as in the role */
            answer(l);
        }
    } else if (result == MQTT_REFUSED) {
        step(l, (struct gw_event){.kind = GW_SAW_FAULT, .fault = fault});
    }
}

static void go_on(struct life *l)
{
    uint8_t op = read_u8(&l->tape);
    l->now_ms += op >> 3;
    switch (op & 7) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (!l->is_paused && l->s.state != GW_CLOSED) {
            give_packet(l);
        }
        return;
    case 4:
        l->durable += (l->staged - l->durable) * (op >> 3) / 31;
        step(l, (struct gw_event){.kind = GW_STORED, .position = l->durable});
        return;
    case 5: step(l, (struct gw_event){.kind = GW_HAS_ROOM}); return;
    case 6:
        l->now_ms += (uint64_t)read_u8(&l->tape) * 500;
        step(l, (struct gw_event){.kind = GW_TICK});
        return;
    default:
        step(l, (struct gw_event){.kind = (op >> 3) % 3 == 0   ? GW_TOOK_OVER
                                          : (op >> 3) % 3 == 1 ? GW_STOPPING
                                                               : GW_LOST});
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice filters[] = {{(const uint8_t *)"a/#", 3},
                                           {(const uint8_t *)"b/+/c", 5}};
    static const struct slice ids[] = {{(const uint8_t *)"a*", 2}};
    static const struct gw_rights rights = {
        .publish = {filters, 2}, .subscribe = {filters, 2}, .client_ids = {ids, 1}};
    static struct life life;
    struct life *l = &life;
    memset(l, 0, sizeof *l);
    l->tape = reader_over(slice_of(data, size));
    l->now_ms = 1000;
    uint8_t how = read_u8(&l->tape);
    const struct gw_place place = {.limits = &limits,
                                   .inflight = l->inflight,
                                   .aliases = (how & 1) != 0 ? &l->aliases : NULL,
                                   .rights = (how & 2) != 0 ? &rights : NULL};
    gw_session_init(&l->s, &place, &(const struct device_id){{1}}, 1, l->now_ms);
    while (l->tape.rest.len > 0 && reader_ok(&l->tape)) {
        go_on(l);
    }
    return 0;
}
