/* What the three files of the network share: net.c (links, ends by number), stream.c (bytes),
 * call.c (who calls whom). */
#ifndef IO_SIM_NET_INSIDE_H
#define IO_SIM_NET_INSIDE_H

#include "io/sim/inside.h"

enum {
    NET_LATER_US = 1, /* a turn of its own */
    NET_FIRST_FREE_PORT = 40000
};

enum what { NET_CALL, NET_REFUSED, NET_ARRIVE, NET_DEADLINE, NET_END, NET_READY, NET_FLUSH };

struct link {
    const struct machine *from, *to;
    uint64_t delay_us, jitter_us;
    bool cut;
};

struct sim_net {
    struct link **links; /* open addressing by both numbers; a power of two, at most half full */
    size_t links_count, links_cap;
    struct slots conns;
    uint16_t next_port;
};

struct link *net_link(struct sim_world *world,
                      const struct machine *from,
                      const struct machine *to);
uint64_t net_travel_us(struct sim_world *world,
                       const struct machine *from,
                       const struct machine *to);
/* The same of what comes to this end, without a search. */
struct link *net_link_to(struct port_conn *conn);
uint64_t net_travel_to_us(struct port_conn *conn);
struct port_conn *net_conn(struct sim_world *world, uint64_t id);
struct port_conn *net_conn_new(struct port *port, const struct port_listen_options *options);
void net_shaking_ends(struct port_conn *conn);
struct segment *net_take_segment(struct port_conn *conn);
void net_send(struct port_conn *to,
              enum segment_kind kind,
              const uint8_t *bytes,
              size_t len,
              uint64_t extra_us);
void net_end(struct port_conn *conn, enum port_close_reason reason, const char *detail);
void net_reset_peer(struct port_conn *conn);
void net_flush(struct port_conn *conn);
void net_arrive(struct port_conn *conn);
void net_ready(struct port_conn *conn);
bool net_has_processes(const struct machine *machine);
void net_call(struct port_conn *client);
void net_has_room(struct port_listener *listener);  /* a handshake or a connection ended */
void net_turn_away(struct port_listener *listener); /* it listens no more */

#endif
