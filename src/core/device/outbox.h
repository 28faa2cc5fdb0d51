/*
 * What waits for the gateway's acknowledgement, oldest first: a bounded window of messages in the
 * caller's memory. With a journal behind it this is what was read of it so far; without one it is
 * all there is, and a full window is told to the source, which waits or counts what it cannot keep.
 * Nothing is dropped silently.
 *
 *     WAITING --outbox_send--> SENT --outbox_acked, outbox_refused--> gone
 *        ^                       |
 *        +-----------------------+ outbox_link_lost, outbox_again: its next PUBLISH is a repetition
 */
#ifndef CORE_DEVICE_OUTBOX_H
#define CORE_DEVICE_OUTBOX_H

#include "base/slice.h"

enum { OUTBOX_STREAM_MAX = 64, OUTBOX_MESSAGE_MAX = 4352 };

enum outbox_state { OUTBOX_GONE, OUTBOX_WAITING, OUTBOX_SENT };

struct outbox_entry {
    enum outbox_state state;
    bool is_repetition; /* it was sent before */
    uint16_t packet_id; /* SENT */
    uint64_t seq;
    uint64_t
        before; /* its place in the journal: what lies before is not part of it; 0 without one */
    uint32_t at, len; /* in the ring: stream, then payload */
    uint8_t stream_len;
};

struct outbox {
    struct outbox_entry *entries; /* a ring of `cap` */
    uint32_t cap;
    uint32_t first, count;
    uint8_t *bytes; /* a ring that never wraps within a message */
    uint32_t bytes_cap;
    uint32_t head, tail; /* oldest byte in use, next to write; equal and count 0: empty */
    uint16_t last_packet_id;
    uint32_t sent; /* entries in state SENT */
    uint64_t acked_count, refused_count, repeated_count;
};

void outbox_init(struct outbox *o,
                 struct outbox_entry *entries,
                 uint32_t cap,
                 uint8_t *bytes,
                 uint32_t bytes_cap);

/* Copies the message in; false where there is no room. `seq` and
 * `before` never fall. */
MUST_USE bool outbox_put(
    struct outbox *o, uint64_t seq, uint64_t before, struct slice stream, struct slice payload);

struct outbox_message {
    uint64_t seq;
    uint16_t packet_id;
    bool is_repetition;
    struct slice stream, payload; /* until the entry is acknowledged */
};

/* The oldest WAITING message becomes SENT under a packet id of its own; false where none waits. */
bool outbox_send(struct outbox *o, struct outbox_message *out);

/* It did not leave after all (no room in the connection): as if outbox_send had not been called. */
void outbox_not_sent(struct outbox *o, const struct outbox_message *message);

/* False: no message was sent under this id (a broken or hostile peer). */
MUST_USE bool outbox_acked(struct outbox *o, uint16_t packet_id);

/* The peer refused it for good: it leaves like an acknowledged one, and is counted. */
MUST_USE bool outbox_refused(struct outbox *o, uint16_t packet_id);

/* The peer could not take it now: it waits again. */
MUST_USE bool outbox_again(struct outbox *o, uint16_t packet_id);

/* All that was sent and not acknowledged waits again, in its old order. */
void outbox_link_lost(struct outbox *o);

bool outbox_is_empty(const struct outbox *o);

/* Is there surely room for one more message of the largest size? */
bool outbox_has_room(const struct outbox *o);

/* The oldest seq that is not acknowledged; false where there is none. */
bool outbox_oldest(const struct outbox *o, uint64_t *seq);

/* Everything before this position of the journal is acknowledged; `otherwise` where nothing is
 * held. */
uint64_t outbox_done_position(const struct outbox *o, uint64_t otherwise);

void outbox_check(const struct outbox *o);

#endif
