/*
 * Where a gateway finds a message again that it has to deliver: in memory, where it is one of the
 * newest, else in the journal. Knows positions and bytes, and nothing of sessions.
 */
#ifndef ROLE_GATEWAY_FETCH_H
#define ROLE_GATEWAY_FETCH_H

#include "codec/bus_record.h"
#include "io/bus.h"

/* The newest records, by keys that rise: a ring of bytes, and a ring of what lies where. */
struct gateway_recent {
    uint8_t *bytes;
    size_t bytes_cap, at; /* the next one is put there */
    struct gateway_kept {
        uint64_t key;
        size_t at, len;
    } * kept;
    uint32_t kept_cap, head, count;
};
bool gateway_recent_init(struct gateway_recent *r, size_t bytes_cap, uint32_t kept_cap);
void gateway_recent_free(struct gateway_recent *r);
/* The oldest ones make room. A record longer than the ring is not kept. */
void gateway_recent_put(struct gateway_recent *r, uint64_t key, struct slice record);
bool gateway_recent_find(const struct gateway_recent *r, uint64_t key, struct slice *record);

/*
 * The durable record that begins at `at`. *cursor is where the reader is: reading one after the
 * other seeks nothing. False: it is not there (gone, or damaged: see bus_reader_why).
 */
bool gateway_fetch_at(struct bus_reader *reader,
                      bus_position *cursor,
                      bus_position at,
                      struct slice *record);

#endif
