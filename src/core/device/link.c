#include "core/device/link.h"

#include "base/invariant.h"
#include "codec/mqtt.h"

static const bool allowed[LINK_STATE_COUNT][LINK_STATE_COUNT] = {
    [LINK_IDLE] = {[LINK_OPENING] = true, [LINK_WAITING] = true, [LINK_STOPPED] = true},
    [LINK_OPENING] = {[LINK_GREETING] = true, [LINK_WAITING] = true, [LINK_STOPPED] = true},
    [LINK_GREETING] = {[LINK_HELLO] = true, [LINK_WAITING] = true, [LINK_STOPPED] = true},
    [LINK_HELLO] = {[LINK_LIVE] = true, [LINK_WAITING] = true, [LINK_STOPPED] = true},
    [LINK_LIVE] = {[LINK_WAITING] = true, [LINK_STOPPED] = true},
    [LINK_WAITING] = {[LINK_OPENING] = true, [LINK_STOPPED] = true},
};

static void enter(struct link *l, enum link_state next)
{
    INVARIANT(allowed[l->state][next]);
    l->state = next;
}

static struct link_effect *order(struct link_effects *out, enum link_effect_kind kind)
{
    INVARIANT(out->count < LINK_EFFECTS_MAX);
    struct link_effect *effect = &out->list[out->count++];
    *effect = (struct link_effect){.kind = kind};
    return effect;
}

void link_init(struct link *l, uint32_t gateways, uint32_t preferred, uint64_t seed)
{
    INVARIANT(gateways > 0);
    gateways = gateways < LINK_GATEWAYS_MAX ? gateways : LINK_GATEWAYS_MAX;
    *l = (struct link){.state = LINK_IDLE,
                       .rng = rng_from_seed(seed),
                       .gateways = gateways,
                       .return_ms = UINT64_MAX,
                       .preferred = preferred % gateways,
                       .keep_alive_s = LINK_KEEP_ALIVE_S,
                       .packet_max = UINT32_MAX};
}

void link_set_priority(struct link *l, uint32_t gateway, uint8_t priority)
{
    INVARIANT(l->state == LINK_IDLE && gateway < l->gateways);
    l->priority[gateway] = priority;
}

/* ---- which gateway, and when ---- */

static bool rests(const struct link *l, uint32_t gateway, uint64_t now_ms)
{
    return l->rests_ms[gateway] > now_ms;
}

/* Is `a` to be dialled rather than `b`, which stands before it in this device's order? Of those
 * that all rest, the one that failed least, then the one that has rested longest: who sent us away
 * lives, and may be open again before the others are back. */
static bool is_better(const struct link *l, uint32_t a, uint32_t b, uint64_t now_ms)
{
    if (rests(l, a, now_ms) != rests(l, b, now_ms)) {
        return !rests(l, a, now_ms);
    }
    if (rests(l, a, now_ms)) {
        return l->failures[a] != l->failures[b] ? l->failures[a] < l->failures[b]
                                                : l->rests_ms[a] < l->rests_ms[b];
    }
    if (l->priority[a] != l->priority[b]) {
        return l->priority[a] < l->priority[b];
    }
    return l->failures[a] < l->failures[b];
}

static uint32_t choose(const struct link *l, uint64_t now_ms)
{
    uint32_t best = l->preferred;
    for (uint32_t i = 1; i < l->gateways; i++) {
        uint32_t at = (l->preferred + i) % l->gateways;
        best = is_better(l, at, best, now_ms) ? at : best;
    }
    return best;
}

static uint64_t backoff(uint32_t times)
{
    uint64_t bound = LINK_BACKOFF_MS;
    for (uint32_t i = 1; i < times && bound < LINK_BACKOFF_MAX_MS; i++) {
        bound *= 2;
    }
    return bound < LINK_BACKOFF_MAX_MS ? bound : LINK_BACKOFF_MAX_MS;
}

static uint64_t spread(const struct link *l)
{
    return (uint64_t)l->slots * l->slot_ms;
}

static void dial(struct link *l, uint64_t now_ms, struct link_effects *out)
{
    enter(l, LINK_OPENING);
    l->is_hung_up = false;
    l->is_sent = false;
    l->current = choose(l, now_ms);
    order(out, LINK_DIAL)->gateway = l->current;
    l->attempts += l->attempts < UINT32_MAX;
}

/* It failed, or sent us away. */
static void let_rest(struct link *l, uint64_t now_ms, uint64_t least_ms)
{
    uint8_t *failures = &l->failures[l->current];
    *failures = (uint8_t)(*failures + (*failures < UINT8_MAX));
    uint64_t rest_ms = backoff(*failures);
    l->rests_ms[l->current] = now_ms + (rest_ms > least_ms ? rest_ms : least_ms);
}

/* A gateway that sends its devices away does so a slice at a time, and is not mistaken for one that
 * was lost with all of them at once. */
static void wait(struct link *l, uint64_t now_ms)
{
    uint64_t bound = backoff(l->attempts);
    if (!l->is_sent && bound < spread(l)) {
        bound = spread(l);
    }
    enter(l, LINK_WAITING);
    l->due_ms = now_ms + rng_below(&l->rng, bound);
}

static bool sends_away(uint8_t reason)
{
    return reason == MQTT_USE_ANOTHER_SERVER || reason == MQTT_SERVER_MOVED
           || reason == MQTT_ADMINISTRATIVE_ACTION;
}

static void go_away(struct link *l, uint8_t reason, uint64_t now_ms)
{
    l->last_reason = reason;
    if (sends_away(reason)) {
        let_rest(l, now_ms, LINK_AWAY_MS);
        l->is_sent = true;
    }
}

static bool has_better(const struct link *l)
{
    for (uint32_t i = 0; i < l->gateways; i++) {
        if (l->priority[i] < l->priority[l->current]) {
            return true;
        }
    }
    return false;
}

static uint64_t return_time(struct link *l, uint64_t now_ms)
{
    return now_ms + LINK_RETURN_MS + rng_below(&l->rng, LINK_RETURN_MS);
}

static void hang_up(struct link *l, const char *why, uint8_t reason, struct link_effects *out)
{
    if (l->is_hung_up) {
        return;
    }
    l->is_hung_up = true;
    if (reason != MQTT_SUCCESS) {
        order(out, LINK_SEND_DISCONNECT)->reason = reason;
    }
    order(out, LINK_HANG_UP)->why = why;
}

static void lost(struct link *l, uint64_t now_ms, struct link_effects *out)
{
    if (l->state == LINK_LIVE) {
        order(out, LINK_DOWN);
    } else if (!l->is_sent) { /* a live session that was lost may have been a blip of the line */
        let_rest(l, now_ms, 0);
    }
    l->ping_ms = 0;
    l->return_ms = UINT64_MAX;
    wait(l, now_ms);
}

/* ---- packets ---- */

static void got_connack(struct link *l,
                        const struct mqtt_connack *connack,
                        uint64_t now_ms,
                        struct link_effects *out)
{
    const struct mqtt_properties *p = &connack->properties;
    if (connack->reason != MQTT_SUCCESS) {
        go_away(l, connack->reason, now_ms);
        hang_up(l, mqtt_reason_name((enum mqtt_reason)connack->reason), MQTT_SUCCESS, out);
        return;
    }
    if (connack->session_present) { /* 3.2.2.1.1: we asked for a clean start */
        hang_up(l, "a session that we did not ask for", MQTT_PROTOCOL_ERROR, out);
        return;
    }
    if (mqtt_has(p, MQTT_MAXIMUM_QOS) && p->maximum_qos == 0) {
        hang_up(l, "the gateway takes no QoS 1", MQTT_QOS_NOT_SUPPORTED, out);
        return;
    }
    uint16_t most = mqtt_has(p, MQTT_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
    l->window = most < LINK_WINDOW_MAX ? most : LINK_WINDOW_MAX;
    l->keep_alive_s =
        mqtt_has(p, MQTT_SERVER_KEEP_ALIVE) ? p->server_keep_alive_s : LINK_KEEP_ALIVE_S;
    l->packet_max = mqtt_has(p, MQTT_MAXIMUM_PACKET_SIZE) ? p->maximum_packet_size : UINT32_MAX;
    enter(l, LINK_HELLO);
    l->due_ms = now_ms + LINK_ANSWER_MS;
    l->sent_ms = now_ms;
    order(out, LINK_SEND_HELLO);
}

static void got_hello_ack(struct link *l,
                          const struct mqtt_ack *ack,
                          uint64_t now_ms,
                          struct link_effects *out)
{
    if (ack->packet_id != LINK_HELLO_ID) {
        hang_up(l, "a PUBACK for nothing", MQTT_PROTOCOL_ERROR, out);
        return;
    }
    if (ack->reason >= MQTT_UNSPECIFIED_ERROR) {
        l->last_reason = ack->reason;
        hang_up(l, "the hello was refused", MQTT_SUCCESS, out);
        return;
    }
    enter(l, LINK_LIVE);
    l->attempts = 0;
    l->failures[l->current] = 0;
    l->rests_ms[l->current] = 0;
    l->return_ms = has_better(l) ? return_time(l, now_ms) : UINT64_MAX;
    l->hold_ms = now_ms;
    l->last_reason = 0;
    order(out, LINK_UP);
}

/* A refusal that says "not now" and not "not this". */
static bool is_for_now(uint8_t reason)
{
    return reason == MQTT_QUOTA_EXCEEDED || reason == MQTT_UNSPECIFIED_ERROR
           || reason == MQTT_IMPLEMENTATION_SPECIFIC || reason == MQTT_PACKET_ID_IN_USE;
}

static void got_ack(struct link *l,
                    const struct mqtt_ack *ack,
                    uint64_t now_ms,
                    struct link_effects *out)
{
    struct link_effect *effect;
    if (ack->reason < MQTT_UNSPECIFIED_ERROR) {
        effect = order(out, LINK_ACKED);
    } else if (is_for_now(ack->reason)) {
        l->hold_ms = now_ms + LINK_HOLD_MS;
        effect = order(out, LINK_AGAIN);
    } else {
        effect = order(out, LINK_REFUSED);
    }
    effect->packet_id = ack->packet_id;
    effect->reason = ack->reason;
}

static void got(struct link *l,
                const struct mqtt_packet *packet,
                uint64_t now_ms,
                struct link_effects *out)
{
    if (l->is_hung_up) {
        return;
    }
    if (packet->type == MQTT_DISCONNECT && l->state != LINK_GREETING) {
        go_away(l, packet->disconnect.reason, now_ms);
        hang_up(l, mqtt_reason_name((enum mqtt_reason)packet->disconnect.reason), MQTT_SUCCESS,
                out);
        return;
    }
    if (l->state == LINK_GREETING && packet->type == MQTT_CONNACK) {
        got_connack(l, &packet->connack, now_ms, out);
    } else if (l->state == LINK_HELLO && packet->type == MQTT_PUBACK) {
        got_hello_ack(l, &packet->ack, now_ms, out);
    } else if (l->state == LINK_LIVE && packet->type == MQTT_PUBACK) {
        got_ack(l, &packet->ack, now_ms, out);
    } else if (l->state == LINK_LIVE && packet->type == MQTT_PINGRESP && l->ping_ms != 0) {
        l->ping_ms = 0;
    } else {
        hang_up(l, "a packet that does not belong here", MQTT_PROTOCOL_ERROR, out);
    }
}

/* ---- time ---- */

static uint64_t ping_due_ms(const struct link *l)
{
    if (l->ping_ms != 0) {
        return l->ping_ms + LINK_ANSWER_MS;
    }
    return l->keep_alive_s == 0 ? UINT64_MAX : l->sent_ms + (uint64_t)l->keep_alive_s * 750;
}

uint64_t link_due_ms(const struct link *l)
{
    if (l->is_hung_up && l->state != LINK_WAITING) {
        return UINT64_MAX;
    }
    switch (l->state) {
    case LINK_GREETING:
    case LINK_HELLO:
    case LINK_WAITING: return l->due_ms;
    case LINK_LIVE: return ping_due_ms(l) < l->return_ms ? ping_due_ms(l) : l->return_ms;
    case LINK_IDLE:
    case LINK_OPENING:
    case LINK_STOPPED: break;
    }
    return UINT64_MAX;
}

/* To a better gateway, where one may be there again. */
static void go_back(struct link *l, uint64_t now_ms, struct link_effects *out)
{
    uint32_t to = choose(l, now_ms);
    if (rests(l, to, now_ms) || l->priority[to] >= l->priority[l->current]) {
        l->return_ms = return_time(l, now_ms);
        return;
    }
    l->is_sent = true;
    order(out, LINK_SEND_DISCONNECT)->reason = MQTT_SUCCESS;
    hang_up(l, "goes back to a better gateway", MQTT_SUCCESS, out);
}

static void tick(struct link *l, uint64_t now_ms, struct link_effects *out)
{
    if (now_ms < link_due_ms(l)) {
        return;
    }
    switch (l->state) {
    case LINK_WAITING: dial(l, now_ms, out); return;
    case LINK_GREETING:
    case LINK_HELLO: hang_up(l, "no answer in time", MQTT_SUCCESS, out); return;
    case LINK_LIVE:
        if (now_ms >= l->return_ms) {
            go_back(l, now_ms, out);
        } else if (l->ping_ms != 0) {
            hang_up(l, "no answer to a ping", MQTT_SUCCESS, out);
        } else {
            l->ping_ms = now_ms > 0 ? now_ms : 1;
            l->sent_ms = now_ms;
            order(out, LINK_SEND_PING);
        }
        return;
    case LINK_IDLE:
    case LINK_OPENING:
    case LINK_STOPPED: return;
    }
}

static void stop(struct link *l, struct link_effects *out)
{
    bool is_up = l->state == LINK_GREETING || l->state == LINK_HELLO || l->state == LINK_LIVE;
    if (l->state == LINK_LIVE) {
        order(out, LINK_DOWN);
    }
    if (!l->is_hung_up && is_up) {
        order(out, LINK_SEND_DISCONNECT)->reason = MQTT_SUCCESS;
    }
    if (!l->is_hung_up && (is_up || l->state == LINK_OPENING)) {
        order(out, LINK_HANG_UP)->why = "we stop";
    }
    l->ping_ms = 0;
    l->return_ms = UINT64_MAX;
    if (l->state != LINK_STOPPED) {
        enter(l, LINK_STOPPED);
    }
}

/* Not even who signs for the site makes a device wait longer. */
static bool spread_is_sane(const struct link_event *ev)
{
    return (uint64_t)ev->slots * ev->slot_ms <= LINK_SPREAD_MAX_MS;
}

static bool has_connection(const struct link *l)
{
    return l->state == LINK_OPENING || l->state == LINK_GREETING || l->state == LINK_HELLO
           || l->state == LINK_LIVE;
}

void link_step(struct link *l, const struct link_event *ev, struct link_effects *out)
{
    out->count = 0;
    switch (ev->kind) {
    case LINK_START:
        if (l->state == LINK_IDLE && spread(l) > 0) {
            wait(l, ev->now_ms);
        } else if (l->state == LINK_IDLE) {
            dial(l, ev->now_ms, out);
        }
        break;
    case LINK_TICK: tick(l, ev->now_ms, out); break;
    case LINK_OPENED:
        if (l->state == LINK_OPENING && !l->is_hung_up) {
            enter(l, LINK_GREETING);
            l->due_ms = ev->now_ms + LINK_ANSWER_MS;
            l->sent_ms = ev->now_ms;
            order(out, LINK_SEND_CONNECT);
        }
        break;
    case LINK_GOT: got(l, ev->packet, ev->now_ms, out); break;
    case LINK_SENT: l->sent_ms = ev->now_ms; break;
    case LINK_CLOSED:
        if (has_connection(l)) {
            lost(l, ev->now_ms, out);
        }
        break;
    case LINK_RENEW:
        if (has_connection(l) && !l->is_hung_up) {
            if (l->state != LINK_OPENING) {
                order(out, LINK_SEND_DISCONNECT)->reason = MQTT_SUCCESS;
            }
            hang_up(l, "connect anew with a new identity or key", MQTT_SUCCESS, out);
        }
        break;
    case LINK_HINTED:
        l->slots = ev->slots;
        l->slot_ms = spread_is_sane(ev) ? ev->slot_ms : 0;
        break;
    case LINK_STOP: stop(l, out); break;
    }
}

bool link_may_publish(const struct link *l, uint32_t sent, uint64_t now_ms)
{
    return l->state == LINK_LIVE && !l->is_hung_up && sent < l->window && now_ms >= l->hold_ms;
}

void link_check(const struct link *l)
{
    INVARIANT((int)l->state < (int)LINK_STATE_COUNT);
    INVARIANT(l->gateways > 0);
    INVARIANT(l->gateways <= LINK_GATEWAYS_MAX);
    INVARIANT(l->preferred < l->gateways);
    INVARIANT(l->current < l->gateways);
    INVARIANT(spread(l) <= LINK_SPREAD_MAX_MS);
    INVARIANT(l->state == LINK_LIVE || l->return_ms == UINT64_MAX);
    INVARIANT(l->state != LINK_LIVE || l->window > 0);
    INVARIANT(l->state == LINK_LIVE || l->ping_ms == 0);
}
