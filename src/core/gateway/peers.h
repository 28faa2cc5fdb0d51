/*
 * What is remembered of those who come: some buckets for each address or device, in a bounded table
 * with a secret seed. Where it is full, the one that was seen longest ago makes room, but only if
 * nothing is forgotten with it: its buckets are full and none of its connections is there. Else the
 * newcomer shares one entry with all others that found no place, so that many names do not help.
 */
#ifndef CORE_GATEWAY_PEERS_H
#define CORE_GATEWAY_PEERS_H

#include "base/table.h"
#include "core/gateway/bucket.h"

enum {
    GW_PEER_BUCKETS = 3,
    GW_PEERS_LOOK = 8 /* entries that are looked at for one to make room */
};
#define GW_PEERS_NONE UINT32_MAX /* no place in a table of peers */

struct gw_peer {
    uint8_t key[TABLE_KEY_LEN];
    struct gw_bucket buckets[GW_PEER_BUCKETS];
    uint64_t told_us;      /* when an operator was last told of it in full; 0: never */
    uint32_t pins;         /* connections of it that are there or on their way */
    uint32_t older, newer; /* by when they were last asked for */
};

struct gw_peers {
    struct table index;
    struct gw_peer *list; /* max entries, and the shared one behind them */
    uint32_t max, count;
    uint32_t oldest, newest;
    uint64_t evicted, shared; /* how often one made room; how often a newcomer found none */
};

/* `list` has max + 1 entries; `slots` has `cap`, a power of two of which 7/8 hold max. */
void gw_peers_init(struct gw_peers *p,
                   struct gw_peer *list,
                   uint32_t max,
                   struct table_slot *slots,
                   uint32_t cap,
                   uint64_t seed);

/* The entry of `key`, made where there is none; p->max: the shared one. */
uint32_t gw_peers_get(struct gw_peers *p, const uint8_t key[TABLE_KEY_LEN], uint64_t now_us);

/* GW_PEERS_NONE where it has none of its own. */
uint32_t gw_peers_find(const struct gw_peers *p, const uint8_t key[TABLE_KEY_LEN]);

void gw_peers_check(const struct gw_peers *p);

#endif
