/*
 * For the tests of connections: one listener, its newest connection, and one connection of ours,
 * all of one port, with what they were told. pair_until runs the loop until a condition holds or
 * ten seconds went by.
 */
#ifndef IO_POSIX_PAIR_H
#define IO_POSIX_PAIR_H

#include "io/port.h"

enum { PAIR_BYTES_MAX = 4 * 1024 * 1024 };

struct pair {
    struct port *port;
    struct port_wake *deadline;
    struct port_listener *listener;
    struct port_listen_options options;
    struct port_tls *server_tls, *client_tls;
    const char *server_name;
    char address[320];
    struct port_why why;

    struct port_conn *server, *client;
    bool client_up, late, owes;
    unsigned accepted, refused, received, drained, exited, server_closed, client_closed;
    enum port_close_reason server_reason, client_reason, refused_reason;
    char server_detail[160], client_detail[160], refused_detail[160];
    struct port_peer client_peer; /* as the client sees its server when it is up */
    uint8_t *client_in;
    int exited_status;
    size_t client_in_len, server_in_len, sent;
    uint64_t turns;
    bool (*until)(struct pair *p);
    void (*act)(struct pair *p, const struct port_event *ev); /* after it was noted */
};

void pair_open(struct pair *p);
void pair_close(struct pair *p);
enum port_result pair_listen(struct pair *p, const char *address);
enum port_result pair_connect(struct pair *p);
int pair_raw_connect(struct pair *p); /* a blocking socket to the listener, or -1 */
bool pair_until(struct pair *p, bool (*holds)(struct pair *p));

bool pair_accepted(struct pair *p);
bool pair_received(struct pair *p);
bool pair_client_up(struct pair *p);
bool pair_child_exited(struct pair *p);
uint16_t pair_port_of(int fd); /* of a TCP socket that listens */

#endif
