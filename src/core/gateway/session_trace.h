/*
 * What a field trace keeps of a session: its state, flat, and its events. Recorded before each
 * step, in a few nanoseconds; replayed by restoring the state and making the same events again.
 *
 * Of a PUBLISH everything is kept that the session looks at: not the payload, of which only the
 * length is (the bytes are in the spool, at the position that GW_STAGED says), and of a topic no
 * more than GW_TRACE_TOPIC_MAX bytes, which no valid topic has. Of other packets the packet itself
 * is kept without user name, password, authentication data and will. Where a topic alias stood for
 * a topic, the topic is kept. Sessions of applications are not recorded: their rights are not in
 * it.
 */
#ifndef CORE_GATEWAY_SESSION_TRACE_H
#define CORE_GATEWAY_SESSION_TRACE_H

#include "codec/trace.h"
#include "core/gateway/session.h"

enum {
    GW_TRACE_TOPIC_MAX = GW_TOPIC_MAX + 1, /* enough to see that one is too long */
    GW_TRACE_PACKET_MAX = 4096,
    /* A session with more unacknowledged publishes than this is recorded once it has fewer. */
    GW_TRACE_PENDINGS_MAX = 256
};

struct gw_session_image {      /* pending publishes behind it, oldest first */
    struct gw_session session; /* its pointers say nothing */
    struct gw_limits limits;
};

enum gw_event_flag {
    GW_EVENT_DUP = 1,
    GW_EVENT_RETAIN = 2,
    GW_EVENT_OWN = 4,     /* the topic's prefix is the session's, and is left out */
    GW_EVENT_CUT = 8,     /* the packet did not fit and is not here */
    GW_EVENT_REPEAT = 16, /* GW_STAGED: is_repeat */
    GW_EVENT_PRESENT = 32 /* GW_ADMITTED: session_present */
};

/* PUBLISH: the topic behind it; other packets: the packet; GW_STAGED: its codes. What comes most
 * needs the first fields alone: images are cut. */
struct gw_event_image {
    uint8_t kind; /* enum gw_event_kind */
    uint8_t type; /* enum mqtt_type of a packet; GW_STOPPING: enum gw_end */
    uint8_t qos;
    uint8_t flags;
    uint8_t reason;
    uint8_t version; /* of a fault; of the connection, for a packet */
    uint16_t packet_id;
    uint64_t
        position; /* GW_STAGED, GW_ADMITTED: the event's; else what is durable in the journal */
    uint64_t now_ms;
    uint32_t payload_len;
    uint64_t properties; /* PUBLISH: which are present */
    uint64_t topic_alias;
};

extern const struct trace_core gw_session_trace;

/* Records the event that `s` is about to be stepped with, and its state first where the ring does
 * not know it. `mark` belongs to the session and begins as 0. `durable`: the journal's position. */
void gw_trace_event(struct recorder *r,
                    uint32_t *mark,
                    uint32_t instance,
                    const struct gw_session *s,
                    const struct gw_event *ev,
                    uint64_t durable);

/*
 * Makes the session of an image, over the caller's limits, ring and aliases. `pendings` are as they
 * lay behind the image. False where no device's session can be like that: an index beyond its
 * array.
 */
MUST_USE bool gw_trace_restore(const struct gw_session_image *image,
                               struct slice pendings,
                               struct gw_limits *limits,
                               struct gw_pending *inflight,
                               uint32_t inflight_cap,
                               struct gw_aliases *aliases,
                               struct gw_session *out);

struct gw_event_memory { /* what an event points to */
    struct mqtt_packet packet;
    uint8_t topic[GW_TOPIC_PREFIX_LEN + GW_TRACE_TOPIC_MAX];
};

/* Makes the event of an image for `s`: `memory` and `bytes` outlive it. False where there is none
 * like it. */
MUST_USE bool gw_trace_event_restore(const struct gw_event_image *image,
                                     struct slice bytes,
                                     const struct gw_session *s,
                                     struct gw_event_memory *memory,
                                     struct gw_event *out);

#endif
