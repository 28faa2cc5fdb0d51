/*
 * Who may begin a handshake, asked before a byte of it is looked at. Each address (an IPv4 address,
 * an IPv6 /64) has a bucket of connections and a share of the handshakes in flight; a handshake
 * that fails costs several. Knows nothing of sockets: the port asks for each connection it has
 * accepted, and every one that was admitted is reported once, when its handshake has ended.
 */
#ifndef CORE_GATEWAY_ADMISSION_H
#define CORE_GATEWAY_ADMISSION_H

#include "core/gateway/peers.h"

struct gw_admission_limits {
    struct gw_rate address;  /* connections of one address */
    struct gw_rate shared;   /* of all addresses that found no place in the table, together */
    uint32_t failure_cost;   /* connections that a failed handshake counts for, at least 1 */
    uint32_t handshakes_max; /* in flight, of one address; the shared entry, too */
};

enum gw_entry { GW_ENTRY_GRANTED, GW_ENTRY_TOO_FAST, GW_ENTRY_TOO_MANY };
enum { GW_ENTRY_COUNT = GW_ENTRY_TOO_MANY + 1 };

struct gw_entry_answer {
    enum gw_entry entry;
    uint32_t wait_ms; /* when it is worth coming back; 0: when one of its handshakes has ended */
    bool is_news;     /* the first refusal of this address for a second: worth telling in full */
};

struct gw_entrance {
    struct gw_admission_limits limits;
    struct gw_peers peers;
    uint32_t in_flight;
    uint64_t counts[GW_ENTRY_COUNT];
};

/* The arrays are gw_peers_init's. */
void gw_admission_init(struct gw_entrance *a,
                       const struct gw_admission_limits *limits,
                       struct gw_peer *list,
                       uint32_t max,
                       struct table_slot *slots,
                       uint32_t cap,
                       uint64_t seed);

/* `source`: 16 bytes that one subscriber of a network cannot choose (port_peer.source). */
struct gw_entry_answer gw_admission_ask(struct gw_entrance *a,
                                        const uint8_t source[TABLE_KEY_LEN],
                                        uint64_t now_us);

/* The handshake of one that was granted has ended; `is_good`: with a peer that is known. */
void gw_admission_done(struct gw_entrance *a,
                       const uint8_t source[TABLE_KEY_LEN],
                       bool is_good,
                       uint64_t now_us);

void gw_admission_check(const struct gw_entrance *a);

#endif
