#include "core/gateway/peers.h"

#include "base/invariant.h"

#include <string.h>

void gw_peers_init(struct gw_peers *p,
                   struct gw_peer *list,
                   uint32_t max,
                   struct table_slot *slots,
                   uint32_t cap,
                   uint64_t seed)
{
    INVARIANT(max > 0 && max <= cap / 8 * 7);
    *p = (struct gw_peers){
        .list = list, .max = max, .oldest = GW_PEERS_NONE, .newest = GW_PEERS_NONE};
    memset(list, 0, ((size_t)max + 1) * sizeof *list);
    table_init(&p->index, slots, cap, seed);
}

static void unlink_peer(struct gw_peers *p, uint32_t i)
{
    struct gw_peer *e = &p->list[i];
    if (e->older == GW_PEERS_NONE) {
        p->oldest = e->newer;
    } else {
        p->list[e->older].newer = e->newer;
    }
    if (e->newer == GW_PEERS_NONE) {
        p->newest = e->older;
    } else {
        p->list[e->newer].older = e->older;
    }
}

static void link_newest(struct gw_peers *p, uint32_t i)
{
    struct gw_peer *e = &p->list[i];
    e->older = p->newest;
    e->newer = GW_PEERS_NONE;
    if (p->newest == GW_PEERS_NONE) {
        p->oldest = i;
    } else {
        p->list[p->newest].newer = i;
    }
    p->newest = i;
}

static bool may_be_forgotten(const struct gw_peer *e, uint64_t now_us)
{
    for (unsigned b = 0; b < GW_PEER_BUCKETS; b++) {
        if (!gw_bucket_is_full(&e->buckets[b], now_us)) {
            return false;
        }
    }
    return e->pins == 0;
}

/* A place that is free now; GW_PEERS_NONE: all are needed. */
static uint32_t make_room(struct gw_peers *p, uint64_t now_us)
{
    if (p->count < p->max) {
        return p->count++;
    }
    uint32_t i = p->oldest;
    for (unsigned looked = 0; looked < GW_PEERS_LOOK && i != GW_PEERS_NONE; looked++) {
        if (may_be_forgotten(&p->list[i], now_us)) {
            INVARIANT(table_remove(&p->index, p->list[i].key));
            unlink_peer(p, i);
            p->evicted++;
            return i;
        }
        uint32_t next = p->list[i].newer;
        if (p->list[i].pins > 0) { /* it stays as long as its connections: out of the way */
            unlink_peer(p, i);
            link_newest(p, i);
        }
        i = next;
    }
    return GW_PEERS_NONE;
}

uint32_t gw_peers_find(const struct gw_peers *p, const uint8_t key[TABLE_KEY_LEN])
{
    uint32_t i;
    return table_find(&p->index, key, &i) ? i : GW_PEERS_NONE;
}

uint32_t gw_peers_get(struct gw_peers *p, const uint8_t key[TABLE_KEY_LEN], uint64_t now_us)
{
    uint32_t i = gw_peers_find(p, key);
    if (i != GW_PEERS_NONE) {
        unlink_peer(p, i);
        link_newest(p, i);
        return i;
    }
    i = make_room(p, now_us);
    if (i == GW_PEERS_NONE) {
        p->shared++;
        return p->max;
    }
    p->list[i] = (struct gw_peer){0};
    memcpy(p->list[i].key, key, TABLE_KEY_LEN);
    INVARIANT(table_put(&p->index, key, i));
    link_newest(p, i);
    return i;
}

void gw_peers_check(const struct gw_peers *p)
{
    uint32_t seen = 0;
    INVARIANT(p->count <= p->max);
    INVARIANT(p->index.count == p->count);
    for (uint32_t i = p->oldest; i != GW_PEERS_NONE && seen <= p->count; i = p->list[i].newer) {
        INVARIANT(gw_peers_find(p, p->list[i].key) == i);
        seen++;
    }
    INVARIANT(seen == p->count);
}
