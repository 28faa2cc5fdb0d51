/*
 * How much of the gateway one device may have, over all its connections: how often it connects, how
 * many connections it has, how many packets and bytes it sends. Who is too fast is not read for a
 * while (back-pressure); only a packet that would stop its connection for longer than `patience_ms`
 * is refused, because nobody could tell such a wait from a dead link.
 */
#ifndef CORE_GATEWAY_QUOTA_H
#define CORE_GATEWAY_QUOTA_H

#include "base/id.h"
#include "core/gateway/peers.h"

struct gw_quota_limits {
    struct gw_rate connects; /* CONNECT packets */
    struct gw_rate packets;
    struct gw_rate bytes;     /* of packets */
    uint32_t connections_max; /* with TLS up, whether their CONNECT has come or not */
    uint32_t shared_factor;   /* devices that found no place have this much more, together */
    uint32_t patience_ms;
};

enum gw_quota_verdict { GW_QUOTA_TAKES, GW_QUOTA_WAITS, GW_QUOTA_NEVER };

struct gw_quota {
    struct gw_quota_limits limits;
    struct gw_quota_limits shared; /* the same for the shared entry */
    struct gw_peers peers;
    uint64_t waits; /* packets that had to wait */
};

/* The arrays are gw_peers_init's. */
void gw_quota_init(struct gw_quota *q,
                   const struct gw_quota_limits *limits,
                   struct gw_peer *list,
                   uint32_t max,
                   struct table_slot *slots,
                   uint32_t cap,
                   uint64_t seed);

/* A connection of the device is there. False: it has too many. `*place` is for the calls below,
 * until gw_quota_leave. */
bool gw_quota_enter(struct gw_quota *q,
                    const struct device_id *device,
                    uint64_t now_us,
                    uint32_t *place);
void gw_quota_leave(struct gw_quota *q, uint32_t place);

/* May it CONNECT? Counted where it may; where not, *wait_ms says when to come back. */
bool gw_quota_connects(struct gw_quota *q, uint32_t place, uint64_t now_us, uint32_t *wait_ms);

/* May a packet of `len` bytes be taken? GW_QUOTA_WAITS: ask again in *wait_ms, at least 1. Nothing
 * is counted before it was: it may still have to wait for something else. */
enum gw_quota_verdict gw_quota_may(
    struct gw_quota *q, uint32_t place, size_t len, uint64_t now_us, uint32_t *wait_ms);
void gw_quota_took(struct gw_quota *q, uint32_t place, size_t len, uint64_t now_us);

#endif
