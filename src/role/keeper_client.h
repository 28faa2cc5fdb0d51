/*
 * Asks the keeper for signatures. Signing leaves nothing behind, so a request that was cut may be
 * made again. Connects, and connects again after the keeper was restarted, by itself; a request
 * made while there is no connection is answered with KEEPER_UNAVAILABLE in the same turn.
 */
#ifndef ROLE_KEEPER_CLIENT_H
#define ROLE_KEEPER_CLIENT_H

#include "codec/keeper_message.h"
#include "io/port.h"

struct keeper_client;

enum { KEEPER_CLIENT_PENDING_MAX = 256 };

struct keeper_client_answer {
    uint32_t id;
    enum keeper_outcome outcome;
    struct slice bytes; /* KEEPER_SIGNED: the signature; KEEPER_REFUSED: the clause, in words */
};

typedef void keeper_client_answered(void *context, const struct keeper_client_answer *answer);

/* `path` is the keeper's socket, DATA/run/keeper.sock. NULL where there is no memory. */
struct keeper_client *keeper_client_open(struct port *port,
                                         const char *path,
                                         keeper_client_answered *answered,
                                         void *context);
void keeper_client_close(struct keeper_client *client);

/* Is there a connection? */
bool keeper_client_is_up(const struct keeper_client *client);

/*
 * Asks for a signature; `answered` is called once with *id, never before this returns. False, and
 * no id, where there is no connection, too much is pending, or `bytes` is too long.
 */
MUST_USE bool keeper_client_sign(struct keeper_client *client,
                                 enum keeper_purpose purpose,
                                 struct slice bytes,
                                 uint32_t *id);

/* True where the event was of this client, which then has handled it. */
bool keeper_client_event(struct keeper_client *client, const struct port_event *ev);

#endif
