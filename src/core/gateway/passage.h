/*
 * One connection that a gateway passes through to a service of the core, end to end: the client's
 * TLS stays between the two, no byte is understood but the ClientHello's name of the server.
 *
 *     READING --a name on the list--> CALLING --the service answered--> FLOWING
 *        \_____________________________\_______________________________\----> CLOSED
 *
 * READING: nothing has been passed on; only bytes of a ClientHello have come. CALLING: the service
 * is being called, nothing more of the client is read. FLOWING: bytes go both ways. CLOSED:
 * PASSAGE_CLOSE was ordered.
 *
 * BoundedCost: each stage has its time, a connection its bytes and its life.
 */
#ifndef CORE_GATEWAY_PASSAGE_H
#define CORE_GATEWAY_PASSAGE_H

#include "codec/client_hello.h"

enum { PASSAGE_NAMES_MAX = 8 };

struct passage_limits {
    uint32_t hello_ms;  /* from the accept to a whole ClientHello */
    uint32_t call_ms;   /* until the service answers */
    uint32_t idle_ms;   /* without a byte in either direction */
    uint32_t life_ms;   /* of a connection */
    uint64_t bytes_max; /* in each direction */
    uint32_t names_count;
    const char *names[PASSAGE_NAMES_MAX]; /* of servers that may be asked for, lower case */
};

enum passage_state { PASSAGE_READING, PASSAGE_CALLING, PASSAGE_FLOWING, PASSAGE_CLOSED };
enum { PASSAGE_STATE_COUNT = PASSAGE_CLOSED + 1 };

enum passage_end {
    PASSAGE_END_DONE,      /* one of the two closed */
    PASSAGE_END_STRANGER,  /* what came is no ClientHello, or names no server of the list */
    PASSAGE_END_TOO_SLOW,  /* no whole ClientHello in time */
    PASSAGE_END_UNREACHED, /* the service could not be called */
    PASSAGE_END_IDLE,
    PASSAGE_END_TOO_LONG, /* its life is over */
    PASSAGE_END_TOO_MUCH, /* more bytes than a connection may pass */
    PASSAGE_END_STOPPING
};
enum { PASSAGE_END_COUNT = PASSAGE_END_STOPPING + 1 };

enum passage_event_kind {
    PASSAGE_SAW,      /* bytes: all that the client has sent and that was not passed on */
    PASSAGE_ANSWERED, /* the service is connected */
    PASSAGE_PASSED,   /* count: bytes that went to the service (up) or to the client (down) */
    PASSAGE_LOST,     /* one of the two connections is gone, or could not be made */
    PASSAGE_STOP,     /* the process stops */
    PASSAGE_TICK
};
enum { PASSAGE_EVENT_COUNT = PASSAGE_TICK + 1 };

struct passage_event {
    enum passage_event_kind kind;
    uint64_t now_ms;
    struct slice bytes; /* PASSAGE_SAW: borrowed until the step returns */
    uint64_t count;     /* PASSAGE_PASSED */
    bool is_up;         /* PASSAGE_PASSED */
};

enum passage_order {
    PASSAGE_WAIT, /* for more bytes, or an answer */
    PASSAGE_CALL, /* call the service */
    PASSAGE_PASS, /* pass bytes on, both ways */
    PASSAGE_CLOSE /* send what is waiting, then close both; `end` says why */
};

struct passage_effect {
    enum passage_order order;
    enum passage_end end;
    const char *why; /* words for the refusal; NULL where nothing is refused */
};

struct passage {
    const struct passage_limits *limits;
    enum passage_state state;
    uint64_t began_ms, stage_ms, heard_ms;
    uint64_t up, down; /* bytes passed */
};

void passage_init(struct passage *p, const struct passage_limits *limits, uint64_t now_ms);
void passage_step(struct passage *p, const struct passage_event *ev, struct passage_effect *out);
uint64_t passage_due_ms(const struct passage *p); /* when PASSAGE_TICK is due; UINT64_MAX: never */
void passage_check(const struct passage *p);

/* How many bytes may still go this way. */
uint64_t passage_room(const struct passage *p, bool is_up);

const char *passage_end_name(enum passage_end end); /* "too-slow" */

#endif
