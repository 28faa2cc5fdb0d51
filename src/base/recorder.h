/*
 * The last things that happened, in memory of fixed size: a ring of records in two halves. A half
 * holds by itself: whoever records an event puts the state it meets first where the half in use has
 * none of that instance yet (recorder_knows), so that what is still there can always be replayed
 * from its beginning. When a half is full the other one is emptied and used.
 *
 *     record = head | image | bytes          image: a struct as it lies in memory
 *
 * Made to cost a few nanoseconds: what is written here is copied, not encoded; codec/trace encodes
 * it when it is wanted. Knows nothing of what is recorded.
 */
#ifndef BASE_RECORDER_H
#define BASE_RECORDER_H

#include "base/slice.h"

#include <string.h>

enum {
    RECORDER_RECORD_MAX = 32768, /* bytes of one record; half of the ring at most, too */
    RECORDER_HEAD = 16
};

enum recorder_what { RECORDER_STATE, RECORDER_EVENT };

struct recorder {
    uint8_t *memory;   /* two halves of half_cap */
    uint32_t half_cap; /* a multiple of 16; 0: nothing is recorded */
    uint32_t turn;     /* of the half in use, which is turn % 2; from 1, rising */
    uint32_t used[2];  /* bytes */
    uint64_t events;   /* recorded, ever */
    uint64_t unseen;   /* events that were too large to be recorded */
};

/* `memory` is aligned for any type and outlives the recorder. `len` 0, memory NULL: records
 * nothing. */
void recorder_init(struct recorder *r, void *memory, uint32_t len);

/*
 * Room for an event with `event_len` bytes behind its head and, where the half in use does not know
 * the instance, for its state of `state_len` bytes. False where it can never fit: it is counted,
 * and the instance is no longer known. `mark` belongs to the instance and begins as 0.
 */
MUST_USE bool recorder_make_room(struct recorder *r,
                                 uint32_t *mark,
                                 uint32_t state_len,
                                 uint32_t event_len);

/* Is the instance's state in the half in use? */
static inline bool recorder_knows(const struct recorder *r, const uint32_t *mark)
{
    return *mark == r->turn;
}

struct recorder_head {
    uint32_t image_len, bytes_len;
    uint32_t instance;
    uint16_t core;
    uint16_t what; /* enum recorder_what */
};

static inline uint32_t recorder_size(uint32_t len)
{
    return RECORDER_HEAD + ((len + 15) & ~UINT32_C(15));
}

/*
 * A record of its state or an event, in room that recorder_make_room made: gives the place of the
 * image, `image_len` bytes aligned for any type, with the place of `bytes_len` bytes right behind
 * it. An image may be cut after its last field that is not zero.
 */
static inline void *recorder_put(struct recorder *r, struct recorder_head head)
{
    uint32_t half = r->turn % 2;
    uint8_t *at = r->memory + (size_t)half * r->half_cap + r->used[half];
    r->used[half] += recorder_size(head.image_len + head.bytes_len);
    r->events += head.what == RECORDER_EVENT;
    memcpy(at, &head, sizeof head);
    return at + RECORDER_HEAD;
}

/* recorder_put for an event of an instance that the half in use knows; NULL where that is not so,
 * there is no room, or it is too large: then recorder_make_room is to be asked first. */
static inline void *recorder_put_quickly(struct recorder *r,
                                         const uint32_t *mark,
                                         struct recorder_head head)
{
    uint32_t size = recorder_size(head.image_len + head.bytes_len);
    bool has_room = size <= r->half_cap - r->used[r->turn % 2] && size <= RECORDER_RECORD_MAX;
    return *mark == r->turn && has_room ? recorder_put(r, head) : NULL;
}

struct recorder_record {
    enum recorder_what what;
    uint16_t core;
    uint32_t instance;
    struct slice image; /* aligned for any type; perhaps cut */
    struct slice bytes;
};

/* Oldest first: begin with *at = 0; false at the end. Nothing may be recorded in between. */
bool recorder_next(const struct recorder *r, uint64_t *at, struct recorder_record *out);

#endif
