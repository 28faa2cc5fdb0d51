/*
 * Who may come and how much of the gateway one device may have: asks core/gateway/admission before
 * TLS and core/gateway/quota after it, and carries out what they say.
 */
#include "base/invariant.h"
#include "role/gateway_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ADDRESSES_MAX = 8192, /* that are remembered one by one */
    SHARED_FACTOR = 4,    /* what all others have together, in shares of one */
    FAILURE_COST = 8,     /* connections that a handshake with a stranger counts for */
    BURST_S = 4,          /* a device may send as much at once as in so many seconds */
    CONNECT_BURST = 100, /* CONNECT packets of a device at once, or four for each of its sessions */
    PATIENCE_MS = 20000, /* the longest that one packet may stop its connection */
    QUOTA_TICK_MS = 5    /* those that wait are looked at no more often */
};

static uint32_t slots_for(uint32_t count)
{
    uint32_t cap = 16;
    while (cap / 8 * 7 < count) {
        cap *= 2;
    }
    return cap;
}

static void *alloc(size_t count, size_t size)
{
    void *at = calloc(count, size);
    INVARIANT(at != NULL);
    return at;
}

static void init_admission(struct gateway *g, const uint64_t seeds[2])
{
    const struct gateway_limits *l = &g->limits;
    struct gw_admission_limits limits = {
        .address = {.per_s = l->address_connects, .burst = l->address_burst},
        .shared = {.per_s = l->address_connects * SHARED_FACTOR,
                   .burst = l->address_burst * SHARED_FACTOR},
        .failure_cost = FAILURE_COST,
        .handshakes_max = (l->handshakes_max + 1) / 2,
    };
    g->addresses = alloc(ADDRESSES_MAX + 1, sizeof *g->addresses);
    gw_admission_init(&g->admission, &limits, g->addresses, ADDRESSES_MAX, g->peer_slots,
                      slots_for(ADDRESSES_MAX), seeds[0]);
}

void gateway_quota_init(struct gateway *g)
{
    const struct gateway_limits *l = &g->limits;
    uint32_t devices_max = l->connections_max + 64; /* each that is there, and some that were */
    uint32_t sessions = l->per_device_max;
    struct gw_quota_limits limits = {
        .connects = {.per_s = l->device_connects,
                     .burst = 4 * sessions > CONNECT_BURST ? 4 * sessions : CONNECT_BURST},
        .packets = {.per_s = l->device_packets, .burst = l->device_packets * BURST_S},
        .bytes = {.per_s = (uint32_t)l->device_bytes, .burst = (uint32_t)l->device_bytes * BURST_S},
        .connections_max = 2 * sessions, /* each may be taken over by one that is on its way */
        .shared_factor = SHARED_FACTOR,
        .patience_ms = PATIENCE_MS,
    };
    uint64_t seeds[2];
    port_entropy(g->port, seeds, sizeof seeds);
    g->throttled_head = GATEWAY_NONE;
    g->peer_slots =
        alloc((size_t)slots_for(ADDRESSES_MAX) + slots_for(devices_max), sizeof *g->peer_slots);
    init_admission(g, seeds);
    g->devices = alloc((size_t)devices_max + 1, sizeof *g->devices);
    gw_quota_init(&g->quota, &limits, g->devices, devices_max,
                  g->peer_slots + slots_for(ADDRESSES_MAX), slots_for(devices_max), seeds[1]);
}

void gateway_quota_free(struct gateway *g)
{
    free(g->addresses);
    free(g->devices);
    free(g->peer_slots);
}

/* ---- before TLS ---- */

bool gateway_admits_source(void *role, void *user, const struct port_peer *peer)
{
    (void)user;
    struct gateway *g = role;
    struct gw_entry_answer answer =
        gw_admission_ask(&g->admission, peer->source, port_now_us(g->port));
    if (answer.entry == GW_ENTRY_GRANTED) {
        return true;
    }
    enum gw_gate gate = answer.entry == GW_ENTRY_TOO_FAST ? GW_GATE_RATE : GW_GATE_SHARE;
    if (!answer.is_news) {
        gw_refusals_count(&g->refusals, gate);
        return false;
    }
    char words[GW_WORDS_MAX];
    (void)snprintf(words, sizeof words,
                   gate == GW_GATE_RATE ? "its address connects too often; again in %u ms"
                                        : "its address has too many handshakes in flight",
                   answer.wait_ms);
    gw_refusals_add(&g->refusals, port_wall_ms(g->port, NULL), gate, MQTT_UNSPECIFIED_ERROR, words,
                    peer->address, NULL);
    return false;
}

void gateway_source_done(struct gateway *g, const struct port_peer *peer, bool is_good)
{
    gw_admission_done(&g->admission, peer->source, is_good, port_now_us(g->port));
}

/* ---- after TLS ---- */

bool gateway_quota_accepted(struct gateway *g, struct gateway_conn *c)
{
    uint32_t place;
    if (c->app != NULL) {
        return true; /* what an operator has granted something is no device that may run wild */
    }
    if (!gw_quota_enter(&g->quota, &c->session.owner, port_now_us(g->port), &place)) {
        gateway_conn_refuse(g, c, GW_GATE_DEVICE,
                            (struct mqtt_fault){.reason = MQTT_QUOTA_EXCEEDED,
                                                .clause = "its device has too many connections"});
        return false;
    }
    c->quota = place;
    return true;
}

static void leave_throttled(struct gateway *g, struct gateway_conn *c)
{
    if (!c->is_throttled) {
        return;
    }
    c->is_throttled = false;
    if (c->throttled_before != GATEWAY_NONE) {
        g->conns[c->throttled_before].throttled_next = c->throttled_next;
    } else {
        g->throttled_head = c->throttled_next;
    }
    if (c->throttled_next != GATEWAY_NONE) {
        g->conns[c->throttled_next].throttled_before = c->throttled_before;
    }
}

void gateway_quota_closed(struct gateway *g, struct gateway_conn *c)
{
    leave_throttled(g, c);
    if (c->quota != GW_PEERS_NONE) {
        gw_quota_leave(&g->quota, c->quota);
        c->quota = GW_PEERS_NONE;
    }
}

bool gateway_quota_connects(struct gateway *g, struct gateway_conn *c, const char **words)
{
    static char text[GW_WORDS_MAX]; /* one thread */
    uint32_t wait_ms = 0;
    if (c->quota == GW_PEERS_NONE
        || gw_quota_connects(&g->quota, c->quota, port_now_us(g->port), &wait_ms)) {
        return true;
    }
    (void)snprintf(text, sizeof text, "connects too often; again in %u ms", wait_ms);
    *words = text;
    return false;
}

static void throttle(struct gateway *g, struct gateway_conn *c, uint32_t wait_ms)
{
    c->is_throttled = true;
    c->throttled_until_us = port_now_us(g->port) + wait_ms * UINT64_C(1000);
    c->throttled_before = GATEWAY_NONE;
    c->throttled_next = g->throttled_head;
    if (g->throttled_head != GATEWAY_NONE) {
        g->conns[g->throttled_head].throttled_before = c->index;
    }
    g->throttled_head = c->index;
    port_pause(c->port);
    port_wake_at(g->quota_wake, port_now_ms(g->port) + QUOTA_TICK_MS);
}

bool gateway_quota_may(struct gateway *g, struct gateway_conn *c, size_t len)
{
    uint32_t wait_ms = 0;
    if (c->session.state != GW_LIVE || c->quota == GW_PEERS_NONE) {
        return true; /* one CONNECT has a rate of its own */
    }
    switch (gw_quota_may(&g->quota, c->quota, len, g->now_us, &wait_ms)) {
    case GW_QUOTA_TAKES: return true;
    case GW_QUOTA_WAITS: throttle(g, c, wait_ms); return false;
    case GW_QUOTA_NEVER: break;
    }
    struct gw_event ev = {.kind = GW_SAW_FAULT,
                          .now_ms = port_now_ms(g->port),
                          .fault = {.reason = MQTT_MESSAGE_RATE_TOO_HIGH,
                                    .clause = "a packet of this size takes longer than 20 s at "
                                              "this device's rate"}};
    gateway_conn_feed(g, c, ev);
    return false;
}

void gateway_quota_took(struct gateway *g, struct gateway_conn *c, size_t len)
{
    if (c->quota != GW_PEERS_NONE) {
        gw_quota_took(&g->quota, c->quota, len, g->now_us);
    }
}

/*
 * At a turn's end, so that what it had sent is looked at before any deadline is: the next turn
 * begins with those that are read again.
 */
void gateway_quota_turn(struct gateway *g)
{
    if (g->throttled_head == GATEWAY_NONE) {
        return;
    }
    uint64_t now_us = port_now_us(g->port);
    for (uint32_t i = g->throttled_head; i != GATEWAY_NONE;) {
        struct gateway_conn *c = &g->conns[i];
        i = c->throttled_next;
        if (now_us >= c->throttled_until_us) {
            leave_throttled(g, c);
            if (!c->is_paused && !c->is_leaving && !g->is_stopping) {
                port_resume(c->port);
            }
        }
    }
    if (g->throttled_head != GATEWAY_NONE) {
        port_wake_at(g->quota_wake, port_now_ms(g->port) + QUOTA_TICK_MS);
    }
}
